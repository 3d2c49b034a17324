/* Figures of a device's memory under the names that people know from PyTorch (memory_stats), and
 * ours. Pure counting; memory_report in `cli` writes them down.
 *
 * Here a "segment" is a region taken from the device, an "allocation" an operand that a plan gives
 * bytes of a region while it is alive. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MEMORY_STATS_H
#define SNUG_MEMORY_STATS_H

#include "base/text.h"

struct snug_stat {
    uint64_t current, peak, allocated, freed; /* allocated, freed: all so far */
};

struct snug_memory_stats {
    struct snug_stat allocation, allocated_bytes; /* alive operands, weights among them */
    struct snug_stat requested_bytes;             /* the same before rounding up */
    struct snug_stat segment, reserved_bytes;     /* regions */
    struct snug_stat inactive_split_bytes;        /* of a region, not alive now */
    uint64_t num_alloc_retries, num_ooms;         /* regions refused: tried again, given up */
    uint64_t num_device_alloc, num_device_free;   /* calls */
    uint64_t largest_free_bytes;                  /* least largest gap between what is alive */
};

void snug_stat_add(struct snug_stat *stat, uint64_t amount);
void snug_stat_remove(struct snug_stat *stat, uint64_t amount);
/* Appends a JSON object: names as torch.cuda.memory_stats() has them ("allocated_bytes.all.peak",
 * where active equals allocated: nothing waits for a stream), then largest_free_bytes,
 * external_fragmentation (1 - largest_free / free, at the least largest gap) and reserved_ratio
 * (allocated / reserved, peaks). */
void snug_memory_stats_put_json(const struct snug_memory_stats *stats, struct snug_text *text);

#endif
