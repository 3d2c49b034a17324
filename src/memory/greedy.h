/* Greedy orders: quick plans, and the ground that the search starts from.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MEMORY_GREEDY_H
#define SNUG_MEMORY_GREEDY_H

#include "memory/plan.h"

struct snug_greedy; /* opaque */

/* Intervals have bytes > 0, multiples of the alignment; they must stay. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_greedy_open(const struct snug_interval *intervals,
                                                    size_t count,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_greedy **out,
                                                    struct snug_error *error);
void snug_greedy_close(struct snug_greedy *greedy); /* NULL allowed */

/* Tries the orders in turn until the peak is at most `enough` or halt(context) is true. *peak: the
 * best, SIZE_MAX if halted in the first order; offsets [count] go with it. */
void snug_greedy_run(struct snug_greedy *greedy, size_t enough, bool (*halt)(void *context),
                     void *context, size_t *offsets, size_t *peak);

/* Improves the best order by moving what lies highest to the front, deterministically, until the
 * peak is at most `enough`, `work` comparisons are spent (roughly), or halt. */
void snug_greedy_improve(struct snug_greedy *greedy, size_t enough, uint64_t work,
                         bool (*halt)(void *context), void *context, size_t *offsets, size_t *peak);

/* Places once more in the order of the given offsets: nothing ends higher. Returns the peak. */
size_t snug_greedy_settle(struct snug_greedy *greedy, size_t *offsets);

#endif
