/* The CSV of MiniMalloc: buffers with lifetimes and sizes, to be given offsets.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_MINIMALLOC_H
#define SNUG_FORMATS_MINIMALLOC_H

#include "base/text.h"
#include "memory/plan.h"

struct snug_minimalloc_row {
    const char *id; /* not NUL-terminated */
    size_t id_bytes;
    int64_t lower, upper; /* half-open lifetime [lower, upper) */
};

struct snug_minimalloc {
    struct snug_minimalloc_row *rows;
    /* [count] the same for the planner: times are numbers of distinct times, last inclusive. */
    struct snug_interval *intervals;
    size_t count;
    const struct snug_allocator *allocator;
};

/* data must stay: ids point into it. name stands in messages, which say "NAME:LINE: what". Errors:
 * FORMAT, LIMIT (base/limits.h), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_minimalloc_parse(const char *data, size_t length,
                                                         const char *name,
                                                         const struct snug_allocator *allocator,
                                                         struct snug_minimalloc *out,
                                                         struct snug_error *error);
void snug_minimalloc_free(struct snug_minimalloc *instance); /* zeroed allowed; leaves it zeroed */

/* The rows as they were read, in their order, with the column `offset`. */
void snug_minimalloc_put(const struct snug_minimalloc *instance, struct snug_text *text);

#endif
