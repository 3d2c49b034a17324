/* Draws a run's history.
 *
 *     title                                              y 26
 *     documents, most and least free memory              y 46
 *     plot: x LEFT..RIGHT, y TOP..BOTTOM                 0 bytes at BOTTOM
 *     marks                                              y MARKS
 *     rungs                                              y BAND..BAND + BAND_HEIGHT
 *     numbers of documents, legend
 *
 * A moment of several documents is drawn as two: those with the least and the most free memory, in
 * the order in which they were.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/ladder_svg.h"

#include "base/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PAGE_WIDTH 900
#define PAGE_HEIGHT 520
#define LEFT 72.0
#define RIGHT 884.0
#define TOP 64.0
#define BOTTOM 360.0
#define MARKS 374.0
#define BAND 386.0
#define BAND_HEIGHT 20.0
#define HEADROOM 1.08 /* above the capacity, for its label */
#define SMALLEST 1.5  /* what is ours is seen, however large the device */
#define LETTER 6.4    /* width of one, on average, at 11 pixels */
#define MOST_LINES 60 /* of marks, through the plot */

struct drawing {
    const struct snug_history *history;
    struct snug_text *text;
    double document_width, byte_height; /* pixels */
    uint64_t capacity;
};

/* How much of a sample a layer covers, from 0 up; later ones lie on top. */
enum layer { LAYER_FREE, LAYER_OTHERS, LAYER_OURS, LAYER_COUNT };
static const struct {
    const char *class, *fill, *name;
} layers[LAYER_COUNT] = {[LAYER_FREE] = {"f", "#e3eef6", "free"},
                         [LAYER_OTHERS] = {"o", "#e69f00", "held by others"},
                         [LAYER_OURS] = {"s", "#2b8a6b", "ours"}};

static const char *const rung_fills[SNUG_RUNG_COUNT] = {[SNUG_RUNG_RESIDENT] = "#4fae8a",
                                                        [SNUG_RUNG_NARROW] = "#8fcbb3",
                                                        [SNUG_RUNG_KV_OFFLOAD] = "#c9d66b",
                                                        [SNUG_RUNG_RELOAD] = "#6aa5d8",
                                                        [SNUG_RUNG_RELOAD_KV_OFFLOAD] = "#a9cbe8",
                                                        [SNUG_RUNG_STREAM] = "#f0b45a",
                                                        [SNUG_RUNG_HYBRID] = "#dd8452",
                                                        [SNUG_RUNG_CPU] = "#a9a9a9"};

/* Marks, drawn around 0, 0. */
static const struct {
    const char *class, *fill, *path, *name;
} marks[SNUG_EVENT_KIND_COUNT] = {
    [SNUG_EVENT_KIND_DOWN] = {"d", "#c00", "m-5 -5h10l-5 10z", "down"},
    [SNUG_EVENT_KIND_UP] = {"u", "#080", "m-5 5h10l-5 -10z", "up"},
    [SNUG_EVENT_KIND_RETRY] = {"r", "#86c", "m-5 0l5 -5l5 5l-5 5z", "could not be entered"},
    [SNUG_EVENT_KIND_ALERT] = {"a", "#e5c100", "m-4 -5h8v10h-8z", "alert"}};

/* Text: h title, l larger, m and e anchors, k a line's label. c: catches the pointer for tooltips.
 * n: no answer. */
static const char style[] =
    "text{font:11px sans-serif;fill:#222}\n"
    ".h{font:bold 16px sans-serif}\n.l{font-size:13px}\n"
    ".m{text-anchor:middle}\n.e{text-anchor:end}\n"
    ".k{text-anchor:end;font-weight:bold}\n.p{pointer-events:none}\n"
    ".w{fill:#fff}\n.c{fill:#000;fill-opacity:0}\n"
    ".c:hover{fill-opacity:.12}\n.n{fill:#444;fill-opacity:.35}\n"
    ".g{stroke:#000;stroke-opacity:.1}\n.x{stroke:#444}\n"
    ".y{stroke:#222;stroke-width:1.5px;stroke-dasharray:7 4}\n"
    ".v{stroke:#222;stroke-opacity:.5;stroke-dasharray:2 3}\n"
    ".b{stroke:#fff;stroke-width:.7px}\n.j{stroke:#fff;stroke-width:.7px}\n";

/* ---- where things are ---- */

/* The left edge of a document, from 1. */
static double x_of(const struct drawing *d, int64_t document)
{
    return LEFT + (double)(document - 1) * d->document_width;
}

static uint64_t all_of(const struct snug_ladder_memory *memory)
{
    return memory->free_bytes + memory->our_bytes + memory->other_bytes;
}

static double y_of(const struct drawing *d, const struct snug_ladder_memory *memory,
                   enum layer layer)
{
    uint64_t bytes = memory->our_bytes;
    if (!memory->known)
        return BOTTOM;
    if (layer == LAYER_OTHERS)
        bytes += memory->other_bytes;
    if (layer == LAYER_FREE)
        bytes = all_of(memory);
    double height = (double)bytes * d->byte_height;
    return BOTTOM - (layer == LAYER_OURS && bytes && height < SMALLEST ? SMALLEST : height);
}

/* ---- the frame ---- */

static void put_head(const struct drawing *d, const char *title)
{
    struct snug_text *text = d->text;
    const struct snug_history *h = d->history;
    uint64_t least = UINT64_MAX, most_ours = 0;
    char bytes[24], ours[24], capacity[24];
    for (int i = 0; i < h->count; i++) {
        const struct snug_ladder_memory *low = &h->moments[i].lowest.memory,
                                        *high = &h->moments[i].highest.memory;
        least = low->known && low->free_bytes < least ? low->free_bytes : least;
        most_ours = low->our_bytes > most_ours ? low->our_bytes : most_ours;
        most_ours = high->our_bytes > most_ours ? high->our_bytes : most_ours;
    }
    snug_text_printf(text,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                     "height=\"%d\">\n<style>\n%s",
                     PAGE_WIDTH, PAGE_HEIGHT, PAGE_WIDTH, PAGE_HEIGHT, style);
    for (int i = 0; i < LAYER_COUNT; i++)
        snug_text_printf(text, ".%s{fill:%s}\n", layers[i].class, layers[i].fill);
    for (int i = 0; i < SNUG_RUNG_COUNT; i++)
        snug_text_printf(text, ".r%d{fill:%s}\n", i, rung_fills[i]);
    for (int i = 0; i < SNUG_EVENT_KIND_COUNT; i++)
        if (marks[i].class)
            snug_text_printf(text, ".%s{fill:%s}\n", marks[i].class, marks[i].fill);
    snug_text_puts(text, "</style>\n");
    snug_svg_open_box(text, "w", 0, 0, PAGE_WIDTH, PAGE_HEIGHT);
    snug_text_puts(text, "/>\n");
    snug_svg_open_label(text, "h", LEFT, 26);
    snug_svg_put_escaped(text, title, 90);
    snug_svg_close_label(text);
    snug_svg_open_label(text, "l", LEFT, 46);
    snug_text_printf(text, "%lld documents; of %s ours at most %s, free at least %s",
                     (long long)h->documents, snug_format_bytes(d->capacity, capacity),
                     snug_format_bytes(most_ours, ours),
                     least == UINT64_MAX ? "unknown" : snug_format_bytes(least, bytes));
    snug_svg_close_label(text);
}

static void put_axes(const struct drawing *d)
{
    struct snug_text *text = d->text;
    int decimals, none;
    bool large = d->capacity >= (uint64_t)2 << 30;
    double unit = large ? 1073741824.0 : 1048576.0;
    double top = (double)(d->capacity ? d->capacity : 1) / unit;
    double step = snug_svg_nice_step(top, 5, &decimals);
    for (int n = 0; (double)n * step <= top * 1.0001 && n < 100; n++) {
        double y = BOTTOM - (double)n * step * unit * d->byte_height;
        snug_svg_put_line(text, "g", LEFT, y, RIGHT, y);
        snug_svg_open_label(text, "e", LEFT - 6, y + 4);
        snug_svg_put_fixed(text, (double)n * step, decimals);
        snug_svg_close_label(text);
    }
    snug_text_printf(text,
                     "<text class=\"m l\" transform=\"translate(22 %d) rotate(-90)\">the device's "
                     "memory, %s</text>\n",
                     (int)((TOP + BOTTOM) / 2), large ? "GiB" : "MiB");
    double documents = (double)d->history->documents;
    double every = documents > 0 ? fmax(snug_svg_nice_step(documents, 8, &none), 1) : 1;
    for (int n = 0; n < 100; n++) {
        double document = n ? (double)n * every : 1;
        if (document > documents || (every <= 1 && !n))
            continue;
        double x = LEFT + (document - 0.5) * d->document_width;
        snug_svg_put_line(text, "x", x, BAND + BAND_HEIGHT, x, BAND + BAND_HEIGHT + 4);
        snug_svg_open_label(text, "m", x, BAND + BAND_HEIGHT + 17);
        snug_svg_put_fixed(text, document, 0);
        snug_svg_close_label(text);
    }
    snug_svg_open_label(text, "m l", (LEFT + RIGHT) / 2, BAND + BAND_HEIGHT + 34);
    snug_text_puts(text, "document");
    snug_svg_close_label(text);
    snug_svg_open_label(text, "e", LEFT - 6, BAND + BAND_HEIGHT / 2 + 4);
    snug_text_puts(text, "rung");
    snug_svg_close_label(text);
    snug_svg_put_line(text, "x", LEFT, BOTTOM, RIGHT, BOTTOM);
    snug_svg_put_line(text, "x", LEFT, TOP, LEFT, BOTTOM);
}

static void put_capacity(const struct drawing *d)
{
    double y = BOTTOM - (double)d->capacity * d->byte_height;
    char bytes[24];
    snug_svg_put_line(d->text, "y", LEFT, y, RIGHT, y);
    snug_svg_open_label(d->text, "k", RIGHT - 4, y - 5);
    snug_text_printf(d->text, "the most there was: %s", snug_format_bytes(d->capacity, bytes));
    snug_svg_close_label(d->text);
}

/* ---- memory ---- */

/* Two numbers of a path, and the command before them. */
static void put_point(struct snug_text *text, char command, double x, double y)
{
    snug_text_putc(text, command);
    snug_svg_put_fixed(text, x, 2);
    snug_text_putc(text, ' ');
    snug_svg_put_fixed(text, y, 2);
}

/* The layer's outline, in steps; a point only where the height changes. */
static void put_layer(const struct drawing *d, enum layer layer)
{
    struct snug_text *text = d->text;
    double height = BOTTOM, x = LEFT;
    snug_text_printf(text, "<path class=\"%s\" d=\"", layers[layer].class);
    put_point(text, 'M', LEFT, BOTTOM);
    for (int i = 0; i < d->history->count; i++) {
        const struct snug_history_moment *m = &d->history->moments[i];
        const struct snug_history_sample *one = &m->lowest, *two = &m->highest;
        double width = (double)m->count * d->document_width / 2;
        if (one->document > two->document) {
            one = &m->highest;
            two = &m->lowest;
        }
        for (int half = 0; half < 2; half++) {
            double y = y_of(d, half ? &two->memory : &one->memory, layer);
            x = x_of(d, m->first) + half * width;
            if (fabs(y - height) < 0.005)
                continue;
            put_point(text, 'L', x, height);
            put_point(text, 'L', x, y);
            height = y;
        }
        x += width;
    }
    put_point(text, 'L', x, height);
    put_point(text, 'L', x, BOTTOM);
    snug_text_puts(text, "z\"/>\n");
}

/* Where the device did not answer: one box for moments that follow each other. */
static void put_silence(const struct drawing *d)
{
    const struct snug_history *h = d->history;
    for (int i = 0; i < h->count; i++) {
        int first = i;
        while (i < h->count && !h->moments[i].lowest.memory.known)
            i++;
        if (i == first)
            continue;
        double x = x_of(d, h->moments[first].first);
        double end = x_of(d, h->moments[i - 1].first + h->moments[i - 1].count);
        snug_svg_open_box(d->text, "n", x, TOP, end - x, BOTTOM - TOP);
        snug_text_puts(d->text, "/>\n");
        if (end - x < 110)
            continue;
        snug_svg_open_label(d->text, "m l p", (x + end) / 2, (TOP + BOTTOM) / 2);
        snug_text_puts(d->text, "lost: no answer");
        snug_svg_close_label(d->text);
    }
}

static void put_sample(struct snug_text *text, const struct snug_history_sample *sample)
{
    const struct snug_ladder_memory *m = &sample->memory;
    char ours[24], others[24], left[24];
    snug_text_printf(text, "\ndocument %lld, ", (long long)sample->document);
    snug_svg_put_escaped(text, sample->name ? sample->name : "", 200);
    if (m->known)
        snug_text_printf(
            text, ": %s ours, %s held by others, %s free", snug_format_bytes(m->our_bytes, ours),
            snug_format_bytes(m->other_bytes, others), snug_format_bytes(m->free_bytes, left));
    else
        snug_text_puts(text, ": the device does not answer");
}

/* What catches the pointer. */
static void put_moments(const struct drawing *d)
{
    struct snug_text *text = d->text;
    for (int i = 0; i < d->history->count; i++) {
        const struct snug_history_moment *m = &d->history->moments[i];
        snug_svg_open_box(text, "c", x_of(d, m->first), TOP, (double)m->count * d->document_width,
                          BOTTOM - TOP);
        snug_text_printf(text, "><title>%s%s", m->count > 1 ? "at worst " : "",
                         snug_rung_name(m->rung));
        put_sample(text, &m->lowest);
        if (m->count > 1)
            put_sample(text, &m->highest);
        snug_text_puts(text, "</title></rect>\n");
    }
}

/* ---- what the ladder did ---- */

static void put_rungs(const struct drawing *d)
{
    const struct snug_history *h = d->history;
    struct snug_text *text = d->text;
    for (int i = 0, next; i < h->count; i = next) {
        char class[8];
        const char *name = snug_rung_name(h->moments[i].rung);
        for (next = i + 1; next < h->count && h->moments[next].rung == h->moments[i].rung;)
            next++;
        int64_t first = h->moments[i].first;
        int64_t end = h->moments[next - 1].first + h->moments[next - 1].count;
        double x = x_of(d, first), width = x_of(d, end) - x;
        snprintf(class, sizeof class, "r%d b", (int)h->moments[i].rung);
        snug_svg_open_box(text, class, x, BAND, width, BAND_HEIGHT);
        snug_text_printf(text, "><title>%s: documents %lld to %lld</title></rect>\n", name,
                         (long long)first, (long long)end - 1);
        if ((double)strlen(name) * LETTER + 6 > width)
            continue;
        snug_svg_open_label(text, "m p", x + width / 2, BAND + BAND_HEIGHT / 2 + 4);
        snug_text_puts(text, name);
        snug_svg_close_label(text);
    }
}

static void open_mark(struct snug_text *text, enum snug_event_kind kind, double x, double y)
{
    snug_text_printf(text, "<path class=\"%s j\" d=\"", marks[kind].class);
    put_point(text, 'M', x, y);
    snug_text_printf(text, "%s\"", marks[kind].path);
}

static void put_marks(const struct drawing *d)
{
    const struct snug_history *h = d->history;
    struct snug_text *text = d->text;
    for (int i = 0; i < h->mark_count; i++) {
        const struct snug_history_mark *m = &h->marks[i];
        double x = fmin(x_of(d, m->document) + (m->at_start ? 0 : d->document_width / 2), RIGHT);
        if (h->mark_count <= MOST_LINES)
            snug_svg_put_line(text, "v", x, TOP, x, MARKS);
        open_mark(text, m->kind, x, MARKS);
        snug_text_printf(text, "><title>%s %s document %lld, ", snug_event_kind_name(m->kind),
                         m->at_start ? "before" : "in", (long long)m->document);
        snug_svg_put_escaped(text, m->name, SIZE_MAX);
        snug_text_printf(text, "\n%s", snug_rung_name(m->from));
        if (m->to != m->from)
            snug_text_printf(text, " to %s", snug_rung_name(m->to));
        snug_text_puts(text, ": ");
        snug_svg_put_escaped(text, m->why, SIZE_MAX);
        snug_text_puts(text, "</title></path>\n");
    }
}

/* ---- the legend ---- */

static double put_entry(struct snug_text *text, double x, double y, const char *name)
{
    snug_svg_open_label(text, "", x, y + 10);
    snug_text_puts(text, name);
    snug_svg_close_label(text);
    return x + (double)strlen(name) * LETTER + 16;
}

static void put_legend(const struct drawing *d)
{
    struct snug_text *text = d->text;
    const struct snug_history *h = d->history;
    double x = LEFT, y = PAGE_HEIGHT - 62;
    for (int i = LAYER_COUNT - 1; i >= 0; i--) {
        snug_svg_open_box(text, layers[i].class, x, y, 12, 12);
        snug_text_puts(text, "/>\n");
        x = put_entry(text, x + 16, y, layers[i].name);
    }
    for (int k = 0; k < SNUG_EVENT_KIND_COUNT; k++) {
        if (!marks[k].class)
            continue;
        open_mark(text, (enum snug_event_kind)k, x + 6, y + 6);
        snug_text_puts(text, "/>\n");
        x = put_entry(text, x + 16, y, marks[k].name);
    }
    x = LEFT;
    y += 20;
    for (int r = 0; r < SNUG_RUNG_COUNT; r++) {
        char class[8];
        snprintf(class, sizeof class, "r%d", r);
        snug_svg_open_box(text, class, x, y, 12, 12);
        snug_text_puts(text, "/>\n");
        x = put_entry(text, x + 16, y, snug_rung_name((enum snug_rung)r));
    }
    snug_svg_open_label(text, "", LEFT, y + 30);
    if (h->span > 1)
        snug_text_printf(text,
                         "%lld documents are drawn together: those with the least and the most "
                         "free memory, and the lowest rung. ",
                         (long long)h->span);
    if (h->marks_left_out)
        snug_text_printf(text, "%lld more events are not marked.", (long long)h->marks_left_out);
    snug_svg_close_label(text);
}

enum snug_status snug_ladder_svg(const struct snug_history *history, const char *title,
                                 struct snug_text *text, struct snug_error *error)
{
    struct drawing d = {.history = history, .text = text};
    for (int i = 0; i < history->count; i++) {
        uint64_t low = all_of(&history->moments[i].lowest.memory);
        uint64_t high = all_of(&history->moments[i].highest.memory);
        d.capacity = low > d.capacity ? low : d.capacity;
        d.capacity = high > d.capacity ? high : d.capacity;
    }
    d.document_width = (RIGHT - LEFT) / (double)(history->documents ? history->documents : 1);
    d.byte_height = (BOTTOM - TOP) / ((double)(d.capacity ? d.capacity : 1) * HEADROOM);
    put_head(&d, title);
    for (int layer = 0; layer < LAYER_COUNT; layer++)
        put_layer(&d, (enum layer)layer);
    put_silence(&d);
    put_axes(&d);
    put_capacity(&d);
    put_moments(&d);
    put_rungs(&d);
    put_marks(&d);
    put_legend(&d);
    snug_text_puts(text, "</svg>\n");
    return snug_text_status(text, error, "the timeline");
}
