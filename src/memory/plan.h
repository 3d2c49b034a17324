/* The planner: lifetimes in, offsets out. Pure: it owns no memory and touches none.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MEMORY_PLAN_H
#define SNUG_MEMORY_PLAN_H

#include "base/alloc.h"

/* One operand's life: alive during steps first .. last, both included. */
struct snug_interval {
    size_t bytes;
    int first, last;
    size_t offset; /* out, a multiple of the alignment; in, if pinned */
    bool pinned;   /* the offset is given and stays */
};

struct snug_plan {
    size_t peak_bytes; /* end of the highest interval, rounded up to the alignment */
    /* Largest sum of (aligned) bytes alive in one step, or the end of a pinned interval: no plan is
     * below it. */
    size_t lower_bound_bytes;
    uint64_t nodes; /* of the search */
    /* No plan has a smaller peak; with a capacity that the peak is above: no plan keeps within. */
    bool proven;
    double seconds;
};

struct snug_plan_options {
    size_t capacity_bytes; /* stop at the first plan within it; 0: as small as can be found */
    /* The search ends after so many nodes (0: greedy orders alone) and, if not 0, seconds. Without
     * seconds no clock is looked at: the same plan on every machine. */
    uint64_t nodes;
    double seconds;
    bool (*stop)(
        void *context); /* asked now and then; true ends with the best so far. May be NULL */
    void *stop_context;
};
/* What snug_plan_place uses: a few milliseconds of search, counted in nodes. */
struct snug_plan_options snug_plan_options_default(size_t count);

/* Gives every interval that is not pinned its offset: two may share bytes only if their lives do
 * not meet. Greedy orders first, then improvements of the best of them, then (up to
 * SNUG_MAX_SEARCH_INTERVALS) an exact search; each only if what came before is above the capacity,
 * or above the lower bound. alignment: a power of two. A greedy order is O(n^2). Intervals without
 * bytes lie at 0. With a capacity that nothing was found for, the best plan is the answer, and
 * plan->peak_bytes is above it. Errors: LIMIT if a sum overflows, SHAPE if pinned intervals overlap
 * or are not aligned, MEMORY, INTERRUPTED if stopped before there was any plan. Offsets are written
 * only on success. Thread-safe. */
SNUG_CHECK_RESULT enum snug_status
snug_plan_search(struct snug_interval *intervals, size_t count, size_t alignment,
                 const struct snug_plan_options *options, const struct snug_allocator *allocator,
                 struct snug_plan *plan, struct snug_error *error);

/* The same with the default options: a small, fixed amount of work. */
SNUG_CHECK_RESULT enum snug_status snug_plan_place(struct snug_interval *intervals, size_t count,
                                                   size_t alignment,
                                                   const struct snug_allocator *allocator,
                                                   struct snug_plan *plan,
                                                   struct snug_error *error);

/* Independent of how the plan was made: checks alignment, that every interval ends at or below
 * peak_bytes, and that no two that are alive in the same step share a byte. Sweeps the steps with
 * a list of what is alive, sorted by offset. SHAPE with the two offenders if the plan is wrong. */
SNUG_CHECK_RESULT enum snug_status snug_plan_verify(const struct snug_interval *intervals,
                                                    size_t count, size_t alignment,
                                                    size_t peak_bytes,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_error *error);

#endif
