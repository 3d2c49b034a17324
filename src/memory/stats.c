/* Counting under PyTorch's names.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/stats.h"

#include <inttypes.h>

void snug_stat_add(struct snug_stat *stat, uint64_t amount)
{
    stat->current += amount;
    stat->allocated += amount;
    stat->peak = stat->current > stat->peak ? stat->current : stat->peak;
}

void snug_stat_remove(struct snug_stat *stat, uint64_t amount)
{
    SNUG_ASSERT(amount <= stat->current);
    stat->current -= amount;
    stat->freed += amount;
}

static void put_stat(struct snug_text *text, const char *name, const struct snug_stat *stat)
{
    snug_text_printf(text,
                     "\"%s.all.current\": %" PRIu64 ", \"%s.all.peak\": %" PRIu64
                     ", \"%s.all.allocated\": %" PRIu64 ", \"%s.all.freed\": %" PRIu64 ", ",
                     name, stat->current, name, stat->peak, name, stat->allocated, name,
                     stat->freed);
}

void snug_memory_stats_put_json(const struct snug_memory_stats *s, struct snug_text *text)
{
    uint64_t unused = s->inactive_split_bytes.peak;
    double outside = unused ? 1 - (double)s->largest_free_bytes / (double)unused : 0;
    double ratio = s->reserved_bytes.peak
                       ? (double)s->allocated_bytes.peak / (double)s->reserved_bytes.peak
                       : 0;
    snug_text_putc(text, '{');
    put_stat(text, "allocation", &s->allocation);
    put_stat(text, "allocated_bytes", &s->allocated_bytes);
    put_stat(text, "requested_bytes", &s->requested_bytes);
    put_stat(text, "active", &s->allocation);
    put_stat(text, "active_bytes", &s->allocated_bytes);
    put_stat(text, "segment", &s->segment);
    put_stat(text, "reserved_bytes", &s->reserved_bytes);
    put_stat(text, "inactive_split_bytes", &s->inactive_split_bytes);
    snug_text_printf(text,
                     "\"num_alloc_retries\": %" PRIu64 ", \"num_ooms\": %" PRIu64
                     ", \"num_device_alloc\": %" PRIu64 ", \"num_device_free\": %" PRIu64
                     ", \"largest_free_bytes\": %" PRIu64
                     ", \"external_fragmentation\": %.6f, \"reserved_ratio\": %.6f}",
                     s->num_alloc_retries, s->num_ooms, s->num_device_alloc, s->num_device_free,
                     s->largest_free_bytes, outside > 0 ? outside : 0.0, ratio);
}
