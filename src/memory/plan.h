/* The planner: lifetimes in, offsets out. Pure: it owns no memory and touches none.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MEMORY_PLAN_H
#define SNUG_MEMORY_PLAN_H

#include "base/alloc.h"

/* One operand's life: alive during steps first .. last, both included. */
struct snug_interval {
    size_t bytes;
    int first, last;
    size_t offset; /* out, a multiple of the alignment */
};

struct snug_plan {
    size_t peak_bytes;        /* end of the highest interval, rounded up to the alignment */
    size_t lower_bound_bytes; /* largest sum of (aligned) bytes alive in one step: no plan is below
                                 it */
};

/* Places the intervals by one greedy order: larger first (ties: earlier first step, lower index),
 * each at the lowest aligned offset that is free over its whole life. Two intervals may share bytes
 * only if their lives do not meet. alignment: a power of two. O(n^2). Errors: LIMIT if a sum
 * overflows, MEMORY for its work list. Thread-safe.
 * A portfolio of orders and a search belong here later; the verifier below stays. */
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
