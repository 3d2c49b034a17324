/* Samples of a run's documents, merged when there are many.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/history.h"

#include <stdio.h>
#include <string.h>

enum snug_status snug_history_init(struct snug_history *history,
                                   const struct snug_allocator *allocator, struct snug_error *error)
{
    struct snug_history h = {.allocator = allocator, .span = 1};
    h.moments = snug_calloc(allocator, SNUG_HISTORY_MOMENTS, sizeof *h.moments);
    h.marks = snug_calloc(allocator, SNUG_HISTORY_MARKS, sizeof *h.marks);
    if (!h.moments || !h.marks) {
        snug_history_free(&h);
        return snug_error_memory(error, SNUG_HISTORY_MOMENTS * sizeof *h.moments, "the timeline");
    }
    *history = h;
    return SNUG_STATUS_OK;
}

void snug_history_free(struct snug_history *history)
{
    if (!history->allocator)
        return;
    snug_free(history->allocator, history->moments);
    snug_free(history->allocator, history->marks);
    *history = (struct snug_history){0};
}

/* Less free memory; not to be known is least. */
static bool is_lower(const struct snug_history_sample *a, const struct snug_history_sample *b)
{
    if (a->memory.known != b->memory.known)
        return b->memory.known;
    return a->memory.free_bytes < b->memory.free_bytes;
}

/* b follows a. */
static void merge(struct snug_history_moment *a, const struct snug_history_moment *b)
{
    a->count += b->count;
    if (is_lower(&b->lowest, &a->lowest))
        a->lowest = b->lowest;
    if (is_lower(&a->highest, &b->highest))
        a->highest = b->highest;
    a->rung = b->rung > a->rung ? b->rung : a->rung;
}

static void halve(struct snug_history *history)
{
    for (int i = 0; i < history->count / 2; i++) {
        history->moments[i] = history->moments[2 * i];
        merge(&history->moments[i], &history->moments[2 * i + 1]);
    }
    history->count /= 2;
    history->span *= 2;
}

void snug_history_add(struct snug_history *history, const char *name, enum snug_rung rung,
                      const struct snug_ladder_memory *memory)
{
    int64_t number = ++history->documents;
    const struct snug_history_sample sample = {number, name, *memory};
    const struct snug_history_moment moment = {number, 1, sample, sample, rung};
    struct snug_history_moment *last =
        history->count ? &history->moments[history->count - 1] : NULL;
    if (last && last->count < history->span) {
        merge(last, &moment);
        return;
    }
    if (history->count == SNUG_HISTORY_MOMENTS)
        halve(history); /* all are full: a new one is begun */
    history->moments[history->count++] = moment;
}

/* The end of a name, whole characters. */
static void copy_end(char *out, size_t size, const char *name)
{
    size_t length = strlen(name), from = length < size ? 0 : length - (size - 1);
    while (from && ((unsigned char)name[from] & 0xC0) == 0x80)
        from++;
    snprintf(out, size, "%s", name + from);
}

void snug_history_mark(struct snug_history *history, int64_t document,
                       const struct snug_event *event)
{
    if (event->kind == SNUG_EVENT_KIND_START || event->kind == SNUG_EVENT_KIND_GIVE)
        return;
    if (history->mark_count == SNUG_HISTORY_MARKS) {
        history->marks_left_out++;
        return;
    }
    struct snug_history_mark *mark = &history->marks[history->mark_count++];
    *mark = (struct snug_history_mark){.kind = event->kind,
                                       .document = document,
                                       .at_start = event->token == 0,
                                       .from = event->from,
                                       .to = event->to};
    copy_end(mark->name, sizeof mark->name, event->document ? event->document : "");
    snprintf(mark->why, sizeof mark->why, "%s", event->why ? event->why : "");
}
