/* The verifier: it knows nothing of how a plan was made, and shares no code with the planner.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/plan.h"

#include <stdlib.h>

struct order {
    const struct snug_interval *interval;
    size_t index;
};

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
