/* Greedy orders: each interval in turn at the lowest offset that is free over its whole life.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/greedy.h"

#include <stdlib.h>
#include <string.h>

#define PLACED_BETWEEN_QUESTIONS 512

struct placed {
    size_t offset, end;
    int first, last;
};

struct ordered {
    double key; /* larger first */
    size_t bytes;
    int first;
    uint32_t index;
};

struct snug_greedy {
    const struct snug_allocator *allocator;
    const struct snug_interval *intervals;
    size_t count;
    struct placed *placed;        /* [count] ascending offsets */
    struct ordered *order, *best; /* [count] the one being tried, the best so far */
    size_t *offsets;              /* [count] of the one being tried */
    int *firsts, *lasts;          /* [count] sorted */
    size_t *conflicts;            /* [count] intervals that live at the same time */
};

static int by_number(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return a < b ? -1 : a > b;
}

static int by_key(const void *left, const void *right)
{
    const struct ordered *a = left, *b = right;
    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* How many of the sorted numbers are below the limit. */
static size_t count_below(const int *numbers, size_t count, int64_t limit)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers[middle] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum snug_status snug_greedy_open(const struct snug_interval *intervals, size_t count,
                                  const struct snug_allocator *allocator, struct snug_greedy **out,
                                  struct snug_error *error)
{
    struct snug_greedy *g = snug_calloc(allocator, 1, sizeof *g);
    if (!g)
        return snug_error_memory(error, sizeof *g, "the memory plan");
    *g = (struct snug_greedy){.allocator = allocator, .intervals = intervals, .count = count};
    g->placed = snug_alloc_array(allocator, count, sizeof *g->placed);
    g->order = snug_alloc_array(allocator, count, sizeof *g->order);
    g->best = snug_alloc_array(allocator, count, sizeof *g->best);
    g->offsets = snug_alloc_array(allocator, count, sizeof *g->offsets);
    g->firsts = snug_alloc_array(allocator, count, sizeof *g->firsts);
    g->lasts = snug_alloc_array(allocator, count, sizeof *g->lasts);
    g->conflicts = snug_alloc_array(allocator, count, sizeof *g->conflicts);
    if (!g->placed || !g->order || !g->best || !g->offsets || !g->firsts || !g->lasts ||
        !g->conflicts) {
        snug_greedy_close(g);
        return snug_error_memory(error, count * sizeof(struct placed), "the memory plan");
    }
    for (size_t i = 0; i < count; i++) {
        g->firsts[i] = intervals[i].first;
        g->lasts[i] = intervals[i].last;
    }
    qsort(g->firsts, count, sizeof *g->firsts, by_number);
    qsort(g->lasts, count, sizeof *g->lasts, by_number);
    for (size_t i = 0; i < count; i++)
        g->conflicts[i] = count_below(g->firsts, count, (int64_t)intervals[i].last + 1) -
                          count_below(g->lasts, count, intervals[i].first);
    *out = g;
    return SNUG_STATUS_OK;
}

void snug_greedy_close(struct snug_greedy *g)
{
    if (!g)
        return;
    snug_free(g->allocator, g->conflicts);
    snug_free(g->allocator, g->lasts);
    snug_free(g->allocator, g->firsts);
    snug_free(g->allocator, g->offsets);
    snug_free(g->allocator, g->best);
    snug_free(g->allocator, g->order);
    snug_free(g->allocator, g->placed);
    snug_free(g->allocator, g);
}

/* Lowest offset for `wanted`, by one pass over what is placed. */
static size_t first_gap(const struct placed *placed, size_t count,
                        const struct snug_interval *wanted)
{
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (placed[i].first > wanted->last || placed[i].last < wanted->first)
            continue;
        if (placed[i].offset >= offset && placed[i].offset - offset >= wanted->bytes)
            break;
        if (placed[i].end > offset)
            offset = placed[i].end;
    }
    return offset;
}

static void insert(struct placed *placed, size_t count, struct placed next)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (placed[middle].offset <= next.offset)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(placed + low + 1, placed + low, (count - low) * sizeof *placed);
    placed[low] = next;
}

/* Places g->order into g->offsets. Returns the peak, SIZE_MAX if it would be above `limit` or was
 * halted. */
static size_t place_order(struct snug_greedy *g, size_t limit, bool (*halt)(void *context),
                          void *context)
{
    size_t peak = 0, count = 0;
    for (size_t i = 0; i < g->count; i++) {
        const struct snug_interval *interval = &g->intervals[i];
        if (!interval->pinned)
            continue;
        size_t end = interval->offset + interval->bytes;
        insert(g->placed, count++,
               (struct placed){interval->offset, end, interval->first, interval->last});
        g->offsets[i] = interval->offset;
        peak = end > peak ? end : peak;
    }
    for (size_t i = 0; i < g->count; i++) {
        const struct snug_interval *interval = &g->intervals[g->order[i].index];
        if (interval->pinned)
            continue;
        if (i % PLACED_BETWEEN_QUESTIONS == PLACED_BETWEEN_QUESTIONS - 1 && halt && halt(context))
            return SIZE_MAX;
        size_t offset = first_gap(g->placed, count, interval), end = offset + interval->bytes;
        if (end > limit)
            return SIZE_MAX;
        g->offsets[g->order[i].index] = offset;
        peak = end > peak ? end : peak;
        insert(g->placed, count++, (struct placed){offset, end, interval->first, interval->last});
    }
    return peak;
}

/* The orders; ties go by size, then beginning, then index. */
enum { BY_SIZE, BY_AREA, BY_LIFE, BY_CONFLICTS, BY_SIZE_CONFLICTS, BY_FIRST, BY_LAST, ORDERS };

static double order_key(const struct snug_greedy *g, size_t index, int order)
{
    const struct snug_interval *interval = &g->intervals[index];
    double life = (double)interval->last - interval->first + 1, bytes = (double)interval->bytes;
    switch (order) {
    case BY_SIZE:
        return bytes;
    case BY_AREA:
        return bytes * life;
    case BY_LIFE:
        return life;
    case BY_CONFLICTS:
        return (double)g->conflicts[index];
    case BY_SIZE_CONFLICTS:
        return bytes * (double)g->conflicts[index];
    case BY_FIRST:
        return -(double)interval->first;
    default:
        return interval->last;
    }
}

static void keep(struct snug_greedy *g, size_t *offsets, size_t found, size_t *peak)
{
    memcpy(offsets, g->offsets, g->count * sizeof *offsets);
    memcpy(g->best, g->order, g->count * sizeof *g->best);
    *peak = found;
}

void snug_greedy_run(struct snug_greedy *g, size_t enough, bool (*halt)(void *context),
                     void *context, size_t *offsets, size_t *peak)
{
    *peak = SIZE_MAX;
    for (int order = 0; order<ORDERS && * peak> enough; order++) {
        for (size_t i = 0; i < g->count; i++)
            g->order[i] = (struct ordered){order_key(g, i, order), g->intervals[i].bytes,
                                           g->intervals[i].first, (uint32_t)i};
        qsort(g->order, g->count, sizeof *g->order, by_key);
        size_t found = place_order(g, *peak - 1, halt, context);
        if (found < *peak)
            keep(g, offsets, found, peak);
        else if (halt && halt(context))
            return;
    }
}

void snug_greedy_improve(struct snug_greedy *g, size_t enough, uint64_t work,
                         bool (*halt)(void *context), void *context, size_t *offsets, size_t *peak)
{
    uint64_t cost = (uint64_t)g->count * g->count / 4 + 1, random = 1;
    size_t *current = g->conflicts; /* not needed any more: offsets of the order being changed */
    memcpy(g->order, g->best, g->count * sizeof *g->order);
    memcpy(current, offsets, g->count * sizeof *current);
    for (; *peak > enough && work >= cost && !(halt && halt(context)); work -= cost) {
        /* One that reaches the peak goes to a place before its own. */
        size_t from = g->count, to;
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t start = (size_t)(random >> 33) % g->count;
        for (size_t i = 0; i < g->count && from == g->count; i++) {
            size_t at = (start + i) % g->count, index = g->order[at].index;
            if (!g->intervals[index].pinned && current[index] + g->intervals[index].bytes == *peak)
                from = at;
        }
        if (from == g->count || from == 0)
            continue;
        random = random * 6364136223846793005u + 1442695040888963407u;
        to = (size_t)(random >> 33) % from;
        struct ordered moved = g->order[from];
        memmove(g->order + to + 1, g->order + to, (from - to) * sizeof *g->order);
        g->order[to] = moved;
        size_t found = place_order(g, *peak, halt, context);
        if (found == SIZE_MAX) {
            memmove(g->order + to, g->order + to + 1, (from - to) * sizeof *g->order);
            g->order[from] = moved;
            continue;
        }
        memcpy(current, g->offsets, g->count * sizeof *current);
        keep(g, offsets, found, peak);
    }
}

size_t snug_greedy_settle(struct snug_greedy *g, size_t *offsets)
{
    for (size_t i = 0; i < g->count; i++)
        g->order[i] = (struct ordered){-(double)offsets[i], g->intervals[i].bytes,
                                       g->intervals[i].first, (uint32_t)i};
    qsort(g->order, g->count, sizeof *g->order, by_key);
    size_t peak = place_order(g, SIZE_MAX, NULL, NULL);
    memcpy(offsets, g->offsets, g->count * sizeof *offsets);
    return peak;
}
