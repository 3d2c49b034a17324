/* Counting what is alive in a session's region.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/session_memory.h"

void snug_session_count_take(struct snug_session *session)
{
    struct snug_memory_stats *s = &session->stats;
    s->num_device_alloc++;
    snug_stat_add(&s->segment, 1);
    snug_stat_add(&s->reserved_bytes, session->peak_bytes);
    snug_stat_add(&s->inactive_split_bytes, session->peak_bytes);
}

void snug_session_count_give(struct snug_session *session)
{
    struct snug_memory_stats *s = &session->stats;
    if (!session->region.base)
        return;
    s->num_device_free++;
    snug_stat_remove(&s->segment, 1);
    snug_stat_remove(&s->reserved_bytes, session->peak_bytes);
    snug_stat_remove(&s->inactive_split_bytes, s->inactive_split_bytes.current);
}

void snug_session_count_refusal(struct snug_session *session)
{
    session->stats.num_ooms++;
}

/* `bytes` of operands come alive, or die. */
static void count(struct snug_session *session, uint64_t operands, uint64_t bytes,
                  uint64_t requested, bool alive)
{
    struct snug_memory_stats *s = &session->stats;
    void (*change)(struct snug_stat *, uint64_t) = alive ? snug_stat_add : snug_stat_remove;
    change(&s->allocation, operands);
    change(&s->allocated_bytes, bytes);
    change(&s->requested_bytes, requested);
    (alive ? snug_stat_remove : snug_stat_add)(&s->inactive_split_bytes, bytes);
}

static void count_use(struct snug_session *session, enum snug_use use, uint64_t shares, bool alive)
{
    const struct snug_timeline *t = &session->timeline;
    count(session, t->own_count[use] / shares, t->own_bytes[use] / shares,
          t->own_requested[use] / shares, alive);
}

void snug_session_count_features(struct snug_session *session, bool alive)
{
    if (session->features_alive == alive)
        return;
    session->features_alive = alive;
    count_use(session, SNUG_USE_FEATURES, 1, alive);
}

void snug_session_count_cache(struct snug_session *session, int slot, bool alive)
{
    if (session->slots[slot].cache_alive == alive)
        return;
    session->slots[slot].cache_alive = alive;
    count_use(session, SNUG_USE_CACHE, (uint64_t)session->options.slots, alive);
}

void snug_session_count_run(struct snug_session *session, int phase)
{
    const struct snug_timeline *t = &session->timeline;
    struct snug_memory_stats *s = &session->stats;
    const struct snug_moment *peak = &t->moments[t->phase_peak_step[phase]];
    uint64_t scratch = t->phase_scratch_bytes[phase];
    count(session, t->phase_operands[phase], scratch, t->phase_scratch_requested[phase], true);
    if (!s->largest_free_bytes || peak->largest_free < s->largest_free_bytes)
        s->largest_free_bytes = peak->largest_free;
    count(session, t->phase_operands[phase], scratch, t->phase_scratch_requested[phase], false);
}
