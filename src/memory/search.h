/* The exact search: is there a plan within a capacity? What plan.c asks, capacity by capacity.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MEMORY_SEARCH_H
#define SNUG_MEMORY_SEARCH_H

#include "memory/plan.h"

/* More intervals are left to the greedy orders: a search keeps a list a level. */
#define SNUG_MAX_SEARCH_INTERVALS 2048
enum snug_search_outcome {
    SNUG_SEARCH_OUTCOME_FOUND,
    SNUG_SEARCH_OUTCOME_IMPOSSIBLE, /* proven: no plan within the capacity */
    SNUG_SEARCH_OUTCOME_STOPPED     /* nodes, time, or the caller */
};

struct snug_search; /* opaque */

/* Prepares intervals, sizes in units (plan.c rounds them up): heights[i] > 0, at most 2^29 in all
 * that live together; fixed[i] >= 0 pins. The arrays must stay. Errors: MEMORY. One thread. */
SNUG_CHECK_RESULT enum snug_status
snug_search_open(const struct snug_interval *intervals, const int32_t *heights,
                 const int32_t *fixed, int count, const struct snug_allocator *allocator,
                 struct snug_search **out, struct snug_error *error);
void snug_search_close(struct snug_search *search); /* NULL allowed */

/* Searches for offsets (out, count of them, in units; written only when found) within `capacity`,
 * preferring by `order` (any number from 0: a few fixed orders, then shuffled versions of them),
 * for at most `nodes` nodes; *used grows by those visited. halt(context) is asked every few hundred
 * nodes; true stops. */
enum snug_search_outcome snug_search_run(struct snug_search *search, int32_t capacity, int order,
                                         uint64_t nodes, bool (*halt)(void *context), void *context,
                                         int32_t *offsets, uint64_t *used);

#endif
