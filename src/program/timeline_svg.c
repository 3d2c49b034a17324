/* Draws a laid-out program. All numbers are written by put_fixed, so that a locale with decimal
 * commas cannot spoil the file.
 *
 *     title                                          y 28
 *     peak, lower bound, counts                      y 48
 *     names of the phases                            y 64..84
 *     plot: x LEFT..RIGHT, y TOP..BOTTOM             offset 0 at BOTTOM
 *     step numbers, legend
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/timeline_svg.h"

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

/* ---- text ---- */

/* With `decimals` digits after the point. */
static void put_fixed(struct snug_text *text, double value, int decimals)
{
    static const long long powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    long long scaled = llround(value * (double)powers[decimals]);
    unsigned long long size = (unsigned long long)(scaled < 0 ? -scaled : scaled);
    unsigned long long power = (unsigned long long)powers[decimals];
    snug_text_printf(text, "%s%llu", scaled < 0 ? "-" : "", size / power);
    if (decimals)
        snug_text_printf(text, ".%0*llu", decimals, size % power);
}

/* At most `most` characters as XML text; what XML cannot hold becomes U+FFFD. */
static void put_escaped(struct snug_text *text, const char *string, size_t most)
{
    size_t length = strlen(string);
    for (size_t at = 0, count = 0; at < length && count < most; count++) {
        uint32_t c = 0xfffd;
        int bytes = snug_utf8_decode((const unsigned char *)string + at, length - at, &c);
        if (bytes <= 0 || c < 0x20 || c == 0xfffe || c == 0xffff)
            c = 0xfffd;
        at += bytes > 0 ? (size_t)bytes : bytes < 0 ? (size_t)-bytes : length - at;
        if (c == '&')
            snug_text_puts(text, "&amp;");
        else if (c == '<')
            snug_text_puts(text, "&lt;");
        else if (c == '>')
            snug_text_puts(text, "&gt;");
        else
            snug_text_put_code_point(text, c);
    }
}

/* NAME="VALUE" with two digits. */
static void put_attribute(struct snug_text *text, const char *name, double value)
{
    snug_text_printf(text, " %s=\"", name);
    put_fixed(text, value, 2);
    snug_text_putc(text, '"');
}

static void put_box(struct snug_text *text, const char *class, double x, double y, double width,
                    double height)
{
    snug_text_printf(text, "<rect class=\"%s\"", class);
    put_attribute(text, "x", x);
    put_attribute(text, "y", y);
    put_attribute(text, "width", width);
    put_attribute(text, "height", height);
}

static void put_line(struct snug_text *text, const char *class, double x1, double y1, double x2,
                     double y2)
{
    snug_text_printf(text, "<line class=\"%s\"", class);
    put_attribute(text, "x1", x1);
    put_attribute(text, "y1", y1);
    put_attribute(text, "x2", x2);
    put_attribute(text, "y2", y2);
    snug_text_puts(text, "/>\n");
}

/* Opens a text element; the caller writes what it says and closes it. */
static void open_label(struct snug_text *text, const char *class, double x, double y)
{
    snug_text_printf(text, "<text class=\"%s\"", class);
    put_attribute(text, "x", x);
    put_attribute(text, "y", y);
    snug_text_putc(text, '>');
}

static void close_label(struct snug_text *text)
{
    snug_text_puts(text, "</text>\n");
}

static double x_of(const struct drawing *d, int step)
{
    return LEFT + (double)step * d->step_width;
}

static double y_of(const struct drawing *d, size_t offset)
{
    return BOTTOM - (double)offset * d->byte_height;
}

/* The largest of 1, 2, 5 times a power of ten that cuts `length` into at least `parts`; digits
 * after the point in *decimals. */
static double nice_step(double length, int parts, int *decimals)
{
    double step = pow(10, floor(log10(length / parts)));
    if (length / (5 * step) >= parts)
        step *= 5;
    else if (length / (2 * step) >= parts)
        step *= 2;
    *decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    if (*decimals > 6)
        *decimals = 6;
    return step;
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
    put_box(text, "w", 0, 0, PAGE_WIDTH, PAGE_HEIGHT);
    snug_text_puts(text, "/>\n");
    open_label(text, "h", LEFT, 28);
    put_escaped(text, title, 110);
    close_label(text);
    open_label(text, "u", LEFT, 48);
    snug_text_puts(text, "peak ");
    put_fixed(text, (double)peak / MIB, 2);
    snug_text_puts(text, " MiB, lower bound (dashed) ");
    put_fixed(text, (double)bound / MIB, 2);
    snug_text_puts(text, " MiB, gap ");
    put_fixed(text, peak ? 100.0 * (double)(peak - bound) / (double)peak : 0, 2);
    snug_text_printf(text, " %%; %zu operands over %d steps; weights (%s) lie apart", operands,
                     d->program->step_count, snug_format_bytes(weights, bytes));
    close_label(text);
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
        put_box(text, p % 2 ? "a" : "w", x, TOP - 24, width, BOTTOM - TOP + 24);
        snug_text_puts(text, "/>\n");
        open_label(text, "p", x + width / 2, TOP - 8);
        put_escaped(text, roomy ? full : name, (size_t)fmax(width / 8, 1));
        snug_text_puts(text, "<title>");
        put_escaped(text, full, SIZE_MAX);
        snug_text_printf(text, ", steps %d to %d</title>", phase->first_step,
                         phase->first_step + phase->step_count - 1);
        close_label(text);
    }
}

static void put_axes(const struct drawing *d, size_t peak)
{
    struct snug_text *text = d->text;
    int decimals, none;
    double top = (double)(peak ? peak : 1) / MIB;
    double step = nice_step(top, 6, &decimals);
    for (int n = 0; (double)n * step <= top * HEADROOM && n < 100; n++) {
        double y = BOTTOM - (double)n * step * MIB * d->byte_height;
        put_line(text, "g", LEFT, y, RIGHT, y);
        open_label(text, "e", LEFT - 6, y + 4);
        put_fixed(text, (double)n * step, decimals);
        close_label(text);
    }
    snug_text_printf(text,
                     "<text class=\"m u\" transform=\"translate(22 %d) rotate(-90)\">offset in "
                     "the region, MiB</text>\n",
                     (int)((TOP + BOTTOM) / 2));
    int steps = d->program->step_count > 0 ? d->program->step_count : 1;
    double every = fmax(nice_step(steps, 8, &none), 1);
    for (int n = 0; (double)n * every < steps && n < 100; n++) {
        double x = x_of(d, (int)((double)n * every));
        put_line(text, "x", x, BOTTOM, x, BOTTOM + 4);
        open_label(text, "m", x, BOTTOM + 16);
        put_fixed(text, (double)n * every, 0);
        close_label(text);
    }
    open_label(text, "m u", (LEFT + RIGHT) / 2, BOTTOM + 34);
    snug_text_puts(text, "step");
    close_label(text);
    put_line(text, "x", LEFT, BOTTOM, RIGHT, BOTTOM);
    put_line(text, "x", LEFT, TOP, LEFT, BOTTOM);
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
        put_box(text, kinds[k].letter, x, PAGE_HEIGHT - 36, 14, 14);
        snug_text_puts(text, "/>\n");
        open_label(text, "u", x + 20, PAGE_HEIGHT - 25);
        snug_text_printf(text, "%s: %zu, ", kinds[k].name, count);
        put_fixed(text, bytes / MIB, 2);
        snug_text_puts(text, " MiB in all");
        close_label(text);
        open_label(text, "", x + 20, PAGE_HEIGHT - 10);
        snug_text_puts(text, kinds[k].what);
        close_label(text);
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
    put_box(text, class, fmin(x, RIGHT - width), y, width, height);
    snug_text_puts(text, "><title>");
    put_escaped(text, operand->name, SIZE_MAX);
    snug_text_printf(text, "\n%s: %s (%zu bytes) at offset %zu\nstep %d (",
                     kinds[operand->kind].name, snug_format_bytes(operand->bytes, bytes),
                     operand->bytes, operand->offset, operand->first_step);
    put_escaped(text, step_text(d->program, operand->first_step), SIZE_MAX);
    snug_text_printf(text, ") to step %d (", operand->last_step);
    put_escaped(text, step_text(d->program, operand->last_step), SIZE_MAX);
    snug_text_puts(text, ")</title></rect>\n");
    double letters = (width - 8) / LETTER;
    if (height < NAME_HEIGHT || letters < 4)
        return;
    open_label(text, "n", x + 4, y + height / 2 + 4);
    put_escaped(text, operand->name, (size_t)letters);
    close_label(text);
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
        put_box(d->text, "q", x - 145, y - 18, 290, 36);
        snug_text_puts(d->text, "/>\n");
        open_label(d->text, "m n", x, y - 4);
        snug_text_printf(d->text, "%d alike, ", count);
        put_fixed(d->text, (double)operands[i].bytes / MIB, 2);
        snug_text_puts(d->text, " MiB each:");
        close_label(d->text);
        open_label(d->text, "m n", x, y + 10);
        put_escaped(d->text, operands[i].name, 20);
        snug_text_puts(d->text, " to ");
        put_escaped(d->text, operands[last].name, 20);
        close_label(d->text);
    }
}

/* A line across the plot at y, its label above it at the right: NAME BYTES MiB. */
static void put_limit(const struct drawing *d, const char *class, const char *name, size_t bytes)
{
    double y = y_of(d, bytes), width = (double)(strlen(name) + 16) * LETTER;
    put_box(d->text, "q", RIGHT - 4 - width, y - 16, width, 14);
    snug_text_puts(d->text, "/>\n");
    put_line(d->text, class, LEFT, y, RIGHT, y);
    open_label(d->text, "k", RIGHT - 8, y - 5);
    snug_text_printf(d->text, "%s ", name);
    put_fixed(d->text, (double)bytes / MIB, 2);
    snug_text_puts(d->text, " MiB");
    close_label(d->text);
}

static void put_limits(const struct drawing *d, size_t peak, size_t bound)
{
    double y = y_of(d, bound);
    bool close = y - y_of(d, peak) < 16; /* their labels would meet */
    for (int p = 1; p < d->program->phase_count; p++) {
        double x = x_of(d, d->program->phases[p].first_step);
        put_line(d->text, "b", x, TOP - 24, x, BOTTOM);
    }
    if (!close)
        put_limit(d, "lb", "lower bound", bound);
    put_limit(d, "pk", peak == bound ? "peak and lower bound" : "peak", peak);
    if (close)
        put_line(d->text, "lb", LEFT, y, RIGHT, y);
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
