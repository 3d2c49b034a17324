/* One greedy order and an independent verifier.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/plan.h"

#include <stdlib.h>

static size_t align_up(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) & ~(alignment - 1);
}

static bool lives_meet(const struct snug_interval *a, const struct snug_interval *b)
{
    return a->first <= b->last && b->first <= a->last;
}

struct order {
    const struct snug_interval *interval;
    size_t index;
};

static int by_size(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    if (a->interval->bytes != b->interval->bytes)
        return a->interval->bytes > b->interval->bytes ? -1 : 1;
    if (a->interval->first != b->interval->first)
        return a->interval->first < b->interval->first ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Lowest offset at which `bytes` fit beside the placed intervals whose lives meet. `placed` holds
 * them in ascending order of offset, so one pass finds the first gap. */
static size_t first_gap(struct snug_interval **placed, size_t count,
                        const struct snug_interval *wanted, size_t alignment)
{
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (!lives_meet(placed[i], wanted))
            continue;
        if (placed[i]->offset >= offset &&
            placed[i]->offset - offset >= align_up(wanted->bytes, alignment))
            return offset;
        size_t end = placed[i]->offset + align_up(placed[i]->bytes, alignment);
        if (end > offset)
            offset = end;
    }
    return offset;
}

/* Largest sum of aligned bytes alive in one step. The sum can only be largest where a life begins.
 */
static bool lower_bound(const struct snug_interval *intervals, size_t count, size_t alignment,
                        size_t *out)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        size_t sum = 0;
        int step = intervals[i].first;
        for (size_t j = 0; j < count; j++) {
            if (intervals[j].first > step || intervals[j].last < step)
                continue;
            if (intervals[j].bytes > SIZE_MAX - alignment ||
                !snug_add_size(sum, align_up(intervals[j].bytes, alignment), &sum))
                return false;
        }
        if (sum > best)
            best = sum;
    }
    *out = best;
    return true;
}

enum snug_status snug_plan_place(struct snug_interval *intervals, size_t count, size_t alignment,
                                 const struct snug_allocator *allocator, struct snug_plan *plan,
                                 struct snug_error *error)
{
    SNUG_ASSERT(alignment && !(alignment & (alignment - 1)));
    enum snug_status status = SNUG_STATUS_OK;
    struct order *order = snug_alloc_array(allocator, count, sizeof *order);
    struct snug_interval **placed = snug_alloc_array(allocator, count, sizeof *placed);
    struct snug_plan result = {0};
    size_t total = 0;
    if (!order || !placed) {
        status =
            snug_error_memory(error, count * (sizeof *order + sizeof *placed), "the memory plan");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        SNUG_ASSERT(intervals[i].first <= intervals[i].last);
        if (intervals[i].bytes > SIZE_MAX / 2 ||
            !snug_add_size(total, align_up(intervals[i].bytes, alignment), &total)) {
            status = snug_error_set(error, SNUG_STATUS_LIMIT, "the memory plan's sizes overflow");
            goto out;
        }
        order[i] = (struct order){&intervals[i], i};
    }
    if (!lower_bound(intervals, count, alignment, &result.lower_bound_bytes)) {
        status = snug_error_set(error, SNUG_STATUS_LIMIT, "the memory plan's sizes overflow");
        goto out;
    }
    qsort(order, count, sizeof *order, by_size);
    for (size_t i = 0; i < count; i++) {
        struct snug_interval *interval = &intervals[order[i].index];
        interval->offset = first_gap(placed, i, interval, alignment);
        size_t end = interval->offset + align_up(interval->bytes, alignment);
        if (end > result.peak_bytes)
            result.peak_bytes = end;
        size_t slot = i;
        for (; slot && placed[slot - 1]->offset > interval->offset; slot--)
            placed[slot] = placed[slot - 1];
        placed[slot] = interval;
    }
    *plan = result;
out:
    snug_free(allocator, placed);
    snug_free(allocator, order);
    return status;
}

static int by_first(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    if (a->interval->first != b->interval->first)
        return a->interval->first < b->interval->first ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Puts `next` into the list of what is alive, which is sorted by offset; true if it overlaps a
 * neighbour. Zero-sized intervals share bytes with nothing. */
static bool enter_alive(struct order *alive, size_t *count, struct order next, size_t *other)
{
    size_t at = *count;
    for (; at && alive[at - 1].interval->offset > next.interval->offset; at--)
        alive[at] = alive[at - 1];
    alive[at] = next;
    ++*count;
    const struct snug_interval *here = next.interval;
    if (at) {
        const struct snug_interval *below = alive[at - 1].interval;
        *other = alive[at - 1].index;
        if (below->bytes > here->offset - below->offset)
            return true;
    }
    if (at + 1 < *count) {
        const struct snug_interval *above = alive[at + 1].interval;
        *other = alive[at + 1].index;
        if (here->bytes > above->offset - here->offset)
            return true;
    }
    return false;
}

enum snug_status snug_plan_verify(const struct snug_interval *intervals, size_t count,
                                  size_t alignment, size_t peak_bytes,
                                  const struct snug_allocator *allocator, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    struct order *order = snug_alloc_array(allocator, count, sizeof *order);
    struct order *alive = snug_alloc_array(allocator, count, sizeof *alive);
    size_t alive_count = 0, entries = 0, other = 0;
    if (!order || !alive) {
        status = snug_error_memory(error, 2 * count * sizeof *order, "verifying the memory plan");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        if (intervals[i].offset % alignment || intervals[i].bytes > peak_bytes ||
            intervals[i].offset > peak_bytes - intervals[i].bytes) {
            status =
                snug_error_set(error, SNUG_STATUS_SHAPE,
                               "memory plan: operand %zu is misaligned or ends past the peak", i);
            goto out;
        }
        if (intervals[i].bytes)
            order[entries++] = (struct order){&intervals[i], i};
    }
    qsort(order, entries, sizeof *order, by_first);
    for (size_t i = 0; i < entries; i++) {
        size_t kept = 0;
        for (size_t j = 0; j < alive_count; j++)
            if (alive[j].interval->last >= order[i].interval->first)
                alive[kept++] = alive[j];
        alive_count = kept;
        if (enter_alive(alive, &alive_count, order[i], &other)) {
            status =
                snug_error_set(error, SNUG_STATUS_SHAPE,
                               "memory plan: operands %zu and %zu overlap", order[i].index, other);
            goto out;
        }
    }
out:
    snug_free(allocator, alive);
    snug_free(allocator, order);
    return status;
}
