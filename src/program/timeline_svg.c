/* Draws a laid-out program.
 *
 *     title                                          y 28
 *     peak, lower bound, counts                      y 48
 *     names of the phases                            y 64..84
 *     plot: x LEFT..RIGHT, y TOP..BOTTOM             offset 0 at BOTTOM
 *     step numbers, legend
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/timeline_svg.h"

#include "base/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PAGE_WIDTH 1200
#define PAGE_HEIGHT 760
#define LEFT 84.0
#define RIGHT 1180.0
#define TOP 88.0
#define BOTTOM 676.0
#define HEADROOM 1.05    /* of the scale above the peak: room for the line's label */
#define SMALLEST 0.8     /* a side of a rectangle */
#define LETTER 6.4       /* width of one, on average, at 11 pixels */
#define NAME_HEIGHT 12.0 /* of a rectangle, for its name to fit */
#define MIB 1048576.0

struct drawing {
    const struct snug_program *program;
    struct snug_text *text;
    double step_width, byte_height; /* pixels */
};

static const struct {
    const char *letter, *name, *fill, *what;
} kinds[] = {
    [SNUG_OPERAND_KIND_INPUT] = {"i", "input", "#e69f00", "written by the caller"},
    [SNUG_OPERAND_KIND_SCRATCH] = {"s", "scratch", "#7fb3d9", "first use to last"},
    [SNUG_OPERAND_KIND_STATE] = {"t", "state", "#4fae8a", "phase to phase"},
    [SNUG_OPERAND_KIND_LASTING] = {"l", "lasting", "#b98cc4", "from first step to last"},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

/* Beside the kinds' own classes. Text: h title, u under it, p phases, m and e anchors, k lines'
 * labels, n names on rectangles. Boxes: w page, a every other phase, q behind a label, o large
 * ones, z every other narrow one, so that neighbours can be told apart. The rest are lines. */
static const char style[] =
    "text{font:11px sans-serif;fill:#222}\n"
    ".h{font:bold 16px sans-serif}\n.u{font-size:13px}\n"
    ".p{font:bold 13px sans-serif;text-anchor:middle}\n"
    ".m{text-anchor:middle}\n.e{text-anchor:end}\n.k{text-anchor:end;font-weight:bold}\n"
    ".n,.q{pointer-events:none}\n"
    ".w{fill:#fff}\n.a{fill:#f4f4f4}\n.q{fill:#fff;fill-opacity:.92}\n"
    ".o{stroke:#fff;stroke-width:.7px}\n.z{fill-opacity:.65}\n"
    ".g{stroke:#ddd}\n.x{stroke:#444}\n.b{stroke:#444;stroke-dasharray:2 3}\n"
    ".pk{stroke:#222;stroke-width:1.5px}\n"
    ".lb{stroke:#c00;stroke-width:1.5px;stroke-dasharray:7 4}\n";

static double x_of(const struct drawing *d, int step)
{
    return LEFT + (double)step * d->step_width;
}

static double y_of(const struct drawing *d, size_t offset)
{
    return BOTTOM - (double)offset * d->byte_height;
}

/* ---- the frame ---- */

static void put_head(const struct drawing *d, const char *title, size_t peak, size_t bound)
{
    struct snug_text *text = d->text;
    size_t operands = 0, weights = 0;
    char bytes[24];
    for (int i = 0; i < d->program->operand_count; i++) {
        const struct snug_operand *operand = &d->program->operands[i];
        operands += snug_operand_lies_in_region(operand);
        if (operand->kind == SNUG_OPERAND_KIND_WEIGHT)
            weights += operand->bytes;
    }
    snug_text_printf(text,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                     "height=\"%d\">\n<style>\n%s",
                     PAGE_WIDTH, PAGE_HEIGHT, PAGE_WIDTH, PAGE_HEIGHT, style);
    for (size_t k = 0; k < KIND_COUNT; k++)
        if (kinds[k].letter)
            snug_text_printf(text, ".%s{fill:%s}\n", kinds[k].letter, kinds[k].fill);
    snug_text_puts(text, "</style>\n");
    snug_svg_open_box(text, "w", 0, 0, PAGE_WIDTH, PAGE_HEIGHT);
    snug_text_puts(text, "/>\n");
    snug_svg_open_label(text, "h", LEFT, 28);
    snug_svg_put_escaped(text, title, 110);
    snug_svg_close_label(text);
    snug_svg_open_label(text, "u", LEFT, 48);
    snug_text_puts(text, "peak ");
    snug_svg_put_fixed(text, (double)peak / MIB, 2);
    snug_text_puts(text, " MiB, lower bound (dashed) ");
    snug_svg_put_fixed(text, (double)bound / MIB, 2);
    snug_text_puts(text, " MiB, gap ");
    snug_svg_put_fixed(text, peak ? 100.0 * (double)(peak - bound) / (double)peak : 0, 2);
    snug_text_printf(text, " %%; %zu operands over %d steps; weights (%s) lie apart", operands,
                     d->program->step_count, snug_format_bytes(weights, bytes));
    snug_svg_close_label(text);
}

/* Backgrounds, separators and names of the phases. */
static void put_phases(const struct drawing *d)
{
    struct snug_text *text = d->text;
    for (int p = 0; p < d->program->phase_count; p++) {
        const struct snug_phase *phase = &d->program->phases[p];
        double x = x_of(d, phase->first_step);
        double width = (double)phase->step_count * d->step_width;
        char name[64], full[128];
        snprintf(name, sizeof name, "%s", phase->name);
        snprintf(full, sizeof full, "%.60s, up to %lld a run", phase->name,
                 (long long)phase->max_units);
        bool roomy = (double)strlen(full) * 8 < width;
        snug_svg_open_box(text, p % 2 ? "a" : "w", x, TOP - 24, width, BOTTOM - TOP + 24);
        snug_text_puts(text, "/>\n");
        snug_svg_open_label(text, "p", x + width / 2, TOP - 8);
        snug_svg_put_escaped(text, roomy ? full : name, (size_t)fmax(width / 8, 1));
        snug_text_puts(text, "<title>");
        snug_svg_put_escaped(text, full, SIZE_MAX);
        snug_text_printf(text, ", steps %d to %d</title>", phase->first_step,
                         phase->first_step + phase->step_count - 1);
        snug_svg_close_label(text);
    }
}

static void put_axes(const struct drawing *d, size_t peak)
{
    struct snug_text *text = d->text;
    int decimals, none;
    double top = (double)(peak ? peak : 1) / MIB;
    double step = snug_svg_nice_step(top, 6, &decimals);
    for (int n = 0; (double)n * step <= top * HEADROOM && n < 100; n++) {
        double y = BOTTOM - (double)n * step * MIB * d->byte_height;
        snug_svg_put_line(text, "g", LEFT, y, RIGHT, y);
        snug_svg_open_label(text, "e", LEFT - 6, y + 4);
        snug_svg_put_fixed(text, (double)n * step, decimals);
        snug_svg_close_label(text);
    }
    snug_text_printf(text,
                     "<text class=\"m u\" transform=\"translate(22 %d) rotate(-90)\">offset in "
                     "the region, MiB</text>\n",
                     (int)((TOP + BOTTOM) / 2));
    int steps = d->program->step_count > 0 ? d->program->step_count : 1;
    double every = fmax(snug_svg_nice_step(steps, 8, &none), 1);
    for (int n = 0; (double)n * every < steps && n < 100; n++) {
        double x = x_of(d, (int)((double)n * every));
        snug_svg_put_line(text, "x", x, BOTTOM, x, BOTTOM + 4);
        snug_svg_open_label(text, "m", x, BOTTOM + 16);
        snug_svg_put_fixed(text, (double)n * every, 0);
        snug_svg_close_label(text);
    }
    snug_svg_open_label(text, "m u", (LEFT + RIGHT) / 2, BOTTOM + 34);
    snug_text_puts(text, "step");
    snug_svg_close_label(text);
    snug_svg_put_line(text, "x", LEFT, BOTTOM, RIGHT, BOTTOM);
    snug_svg_put_line(text, "x", LEFT, TOP, LEFT, BOTTOM);
}

static void put_legend(const struct drawing *d)
{
    struct snug_text *text = d->text;
    double x = LEFT;
    for (size_t k = 0; k < KIND_COUNT; k++) {
        size_t count = 0;
        double bytes = 0;
        if (!kinds[k].letter)
            continue;
        for (int i = 0; i < d->program->operand_count; i++) {
            const struct snug_operand *operand = &d->program->operands[i];
            if (snug_operand_lies_in_region(operand) && (size_t)operand->kind == k) {
                count++;
                bytes += (double)operand->bytes;
            }
        }
        snug_svg_open_box(text, kinds[k].letter, x, PAGE_HEIGHT - 36, 14, 14);
        snug_text_puts(text, "/>\n");
        snug_svg_open_label(text, "u", x + 20, PAGE_HEIGHT - 25);
        snug_text_printf(text, "%s: %zu, ", kinds[k].name, count);
        snug_svg_put_fixed(text, bytes / MIB, 2);
        snug_text_puts(text, " MiB in all");
        snug_svg_close_label(text);
        snug_svg_open_label(text, "", x + 20, PAGE_HEIGHT - 10);
        snug_text_puts(text, kinds[k].what);
        snug_svg_close_label(text);
        x += (RIGHT - LEFT) / 4;
    }
}

/* ---- what is drawn ---- */

static const char *step_text(const struct snug_program *program, int index)
{
    const struct snug_step *step = &program->steps[index];
    return step->label || step->out[0] >= 0 ? snug_step_name(program, step)
                                            : snug_op_kind_name(step->op);
}

static bool is_small(const struct drawing *d, const struct snug_operand *operand)
{
    return (double)(operand->last_step - operand->first_step + 1) * d->step_width < SMALLEST ||
           (double)operand->bytes * d->byte_height < SMALLEST;
}

static void put_operand(const struct drawing *d, const struct snug_operand *operand)
{
    struct snug_text *text = d->text;
    char bytes[24], class[8];
    double x = x_of(d, operand->first_step);
    double width = fmax(x_of(d, operand->last_step + 1) - x, SMALLEST);
    double height = fmax((double)operand->bytes * d->byte_height, SMALLEST);
    double y = y_of(d, operand->offset) - height;
    bool large = width >= 5 && height >= 5;
    bool odd = (operand - d->program->operands) % 2;
    snprintf(class, sizeof class, "%s%s", kinds[operand->kind].letter,
             large ? " o"
             : odd ? " z"
                   : "");
    snug_svg_open_box(text, class, fmin(x, RIGHT - width), y, width, height);
    snug_text_puts(text, "><title>");
    snug_svg_put_escaped(text, operand->name, SIZE_MAX);
    snug_text_printf(text, "\n%s: %s (%zu bytes) at offset %zu\nstep %d (",
                     kinds[operand->kind].name, snug_format_bytes(operand->bytes, bytes),
                     operand->bytes, operand->offset, operand->first_step);
    snug_svg_put_escaped(text, step_text(d->program, operand->first_step), SIZE_MAX);
    snug_text_printf(text, ") to step %d (", operand->last_step);
    snug_svg_put_escaped(text, step_text(d->program, operand->last_step), SIZE_MAX);
    snug_text_puts(text, ")</title></rect>\n");
    double letters = (width - 8) / LETTER;
    if (height < NAME_HEIGHT || letters < 4)
        return;
    snug_svg_open_label(text, "n", x + 4, y + height / 2 + 4);
    snug_svg_put_escaped(text, operand->name, (size_t)letters);
    snug_svg_close_label(text);
}

static void put_operands(const struct drawing *d)
{
    for (int small = 0; small < 2; small++)
        for (int i = 0; i < d->program->operand_count; i++) {
            const struct snug_operand *operand = &d->program->operands[i];
            if (snug_operand_lies_in_region(operand) && is_small(d, operand) == (small == 1))
                put_operand(d, operand);
        }
}

static bool alike(const struct snug_operand *a, const struct snug_operand *b)
{
    return snug_operand_lies_in_region(a) && snug_operand_lies_in_region(b) && a->kind == b->kind &&
           a->bytes == b->bytes && a->first_step == b->first_step && a->last_step == b->last_step;
}

/* Wide bands that are too low for their names (keys and values of every layer) get one label. */
static void put_bands(const struct drawing *d)
{
    const struct snug_operand *operands = d->program->operands;
    for (int i = 0; i < d->program->operand_count; i++) {
        double width = (double)(operands[i].last_step - operands[i].first_step + 1) * d->step_width;
        double height = (double)operands[i].bytes * d->byte_height;
        if (!snug_operand_lies_in_region(&operands[i]) || width < 300 || height >= NAME_HEIGHT)
            continue;
        int earlier = 0, count = 0, last = i;
        while (earlier < i && !alike(&operands[earlier], &operands[i]))
            earlier++;
        size_t low = operands[i].offset, high = low;
        for (int j = i; earlier == i && j < d->program->operand_count; j++) {
            if (!alike(&operands[j], &operands[i]))
                continue;
            low = operands[j].offset < low ? operands[j].offset : low;
            high = operands[j].offset > high ? operands[j].offset : high;
            last = j;
            count++;
        }
        if (count < 2 || (double)(high - low) * d->byte_height < 2 * NAME_HEIGHT)
            continue;
        double x = x_of(d, operands[i].first_step) + width / 2;
        double y = (y_of(d, low) + y_of(d, high + operands[i].bytes)) / 2;
        snug_svg_open_box(d->text, "q", x - 145, y - 18, 290, 36);
        snug_text_puts(d->text, "/>\n");
        snug_svg_open_label(d->text, "m n", x, y - 4);
        snug_text_printf(d->text, "%d alike, ", count);
        snug_svg_put_fixed(d->text, (double)operands[i].bytes / MIB, 2);
        snug_text_puts(d->text, " MiB each:");
        snug_svg_close_label(d->text);
        snug_svg_open_label(d->text, "m n", x, y + 10);
        snug_svg_put_escaped(d->text, operands[i].name, 20);
        snug_text_puts(d->text, " to ");
        snug_svg_put_escaped(d->text, operands[last].name, 20);
        snug_svg_close_label(d->text);
    }
}

/* A line across the plot at y, its label above it at the right: NAME BYTES MiB. */
static void put_limit(const struct drawing *d, const char *class, const char *name, size_t bytes)
{
    double y = y_of(d, bytes), width = (double)(strlen(name) + 16) * LETTER;
    snug_svg_open_box(d->text, "q", RIGHT - 4 - width, y - 16, width, 14);
    snug_text_puts(d->text, "/>\n");
    snug_svg_put_line(d->text, class, LEFT, y, RIGHT, y);
    snug_svg_open_label(d->text, "k", RIGHT - 8, y - 5);
    snug_text_printf(d->text, "%s ", name);
    snug_svg_put_fixed(d->text, (double)bytes / MIB, 2);
    snug_text_puts(d->text, " MiB");
    snug_svg_close_label(d->text);
}

static void put_limits(const struct drawing *d, size_t peak, size_t bound)
{
    double y = y_of(d, bound);
    bool close = y - y_of(d, peak) < 16; /* their labels would meet */
    for (int p = 1; p < d->program->phase_count; p++) {
        double x = x_of(d, d->program->phases[p].first_step);
        snug_svg_put_line(d->text, "b", x, TOP - 24, x, BOTTOM);
    }
    if (!close)
        put_limit(d, "lb", "lower bound", bound);
    put_limit(d, "pk", peak == bound ? "peak and lower bound" : "peak", peak);
    if (close)
        snug_svg_put_line(d->text, "lb", LEFT, y, RIGHT, y);
}

enum snug_status snug_program_timeline_svg(const struct snug_program *program, const char *title,
                                           size_t peak_bytes, size_t lower_bound_bytes,
                                           struct snug_text *text, struct snug_error *error)
{
    for (int i = 0; i < program->operand_count; i++) {
        const struct snug_operand *operand = &program->operands[i];
        if (snug_operand_lies_in_region(operand) &&
            (operand->offset > peak_bytes || operand->bytes > peak_bytes - operand->offset))
            return snug_error_set(error, SNUG_STATUS_SHAPE,
                                  "timeline: %s ends beyond the peak of %zu bytes: the program was "
                                  "not laid out so",
                                  operand->name, peak_bytes);
    }
    if (lower_bound_bytes > peak_bytes)
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "timeline: the lower bound is above the "
                              "peak");
    int steps = program->step_count > 0 ? program->step_count : 1;
    double bytes = peak_bytes ? (double)peak_bytes : 1;
    struct drawing d = {.program = program,
                        .text = text,
                        .step_width = (RIGHT - LEFT) / steps,
                        .byte_height = (BOTTOM - TOP) / (bytes * HEADROOM)};
    put_head(&d, title, peak_bytes, lower_bound_bytes);
    put_phases(&d);
    put_axes(&d, peak_bytes);
    put_operands(&d);
    put_limits(&d, peak_bytes, lower_bound_bytes);
    put_bands(&d);
    put_legend(&d);
    snug_text_puts(text, "</svg>\n");
    return snug_text_status(text, error, "the timeline");
}
