/* Moving operands between spaces while a phase runs.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_TRANSFER_H
#define SNUG_PROGRAM_TRANSFER_H

#include "program/execute.h"

/* Where a space finds an operand: in its region, a weight's own place, or (streamed: neither is in
 * this space) in the staging buffer of the step's transfer. */
void *snug_placed_address(const struct snug_executor *executor, int space, int step, int operand);

static inline int64_t snug_run_rows(const struct snug_operand *operand, const struct snug_run *run)
{
    return operand->rows_per_unit * run->units + operand->fixed_rows;
}

/* The actions of a placement. Errors: DEVICE, DEVICE_LOST. A copy to the host is done when it
 * returns, others are queued. */
SNUG_CHECK_RESULT enum snug_status snug_copy_operand(const struct snug_executor *executor,
                                                     const struct snug_run *run,
                                                     const struct snug_action *action,
                                                     struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_fetch(const struct snug_executor *executor,
                                              struct snug_run *run, int transfer,
                                              struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_join(const struct snug_executor *executor,
                                             const struct snug_run *run, int transfer,
                                             struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_store_back(const struct snug_executor *executor,
                                                   const struct snug_run *run, int step,
                                                   struct snug_error *error);
/* `bytes` of a device to the host; waits for them. */
SNUG_CHECK_RESULT enum snug_status snug_copy_out(const struct snug_executor *executor, int space,
                                                 void *to, const void *from, size_t bytes,
                                                 struct snug_error *error);

/* ---- positions of a cache ---- */

/* Positions [from, to) of a document's keys or values as pieces of the cache: the first begins at
 * `offset`; `rows` pieces of `bytes`, `pitch` apart. Keys go by whole panels, so `from` is rounded
 * down and `to` up. */
struct snug_cache_pieces {
    size_t offset, bytes, rows, pitch;
};
struct snug_cache_pieces snug_cache_pieces(const struct snug_operand *cache, int64_t slot,
                                           int64_t from, int64_t to);

#endif
