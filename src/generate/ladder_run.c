/* Documents on the ladder: each call of the model may end on another rung than it began on.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/ladder_internal.h"

#include "base/clock.h"

#include <stdio.h>

bool snug_ladder_may_replay(const struct snug_ladder *ladder)
{
    return ladder->options.device_count > 0;
}

uint64_t snug_ladder_runs(const struct snug_ladder *ladder)
{
    return ladder->stats.runs + (ladder->stands ? ladder->session.runs : 0);
}

uint64_t snug_ladder_takes(const struct snug_ladder *ladder)
{
    uint64_t all = ladder->stats.takes + (ladder->stands ? ladder->session.takes : 0);
    return all ? all - 1 : 0;
}

/* A failure that another rung may not have. What a region's taking is refused is one only between
 * documents (elastic): begin says so. */
static bool falls(const struct snug_ladder *ladder, enum snug_status status)
{
    if (!ladder->options.device_count)
        return false;
    return snug_is_device_failure(status) ||
           ((status == SNUG_STATUS_MEMORY || status == SNUG_STATUS_DOES_NOT_FIT) &&
            ladder->stands && !ladder->session.region.base);
}

static struct snug_answering *next_waiting(const struct snug_ladder *ladder)
{
    for (int i = 0; i < ladder->answer_count; i++)
        if (ladder->answers[i]->slot < 0 && !ladder->answers[i]->over)
            return ladder->answers[i];
    return NULL;
}

static void end_badly(struct snug_answering *answer, enum snug_status status,
                      const struct snug_error *error)
{
    answer->over = true;
    answer->status = status;
    answer->error = *error;
}

/* Whoever asked for the device's free memory was told that it is lost: from then on nothing of it
 * may be touched. */
static enum snug_status meet_loss(struct snug_ladder *ladder, struct snug_error *error)
{
    if (!ladder->stands || !snug_ladder_has_device(ladder)) {
        snug_ladder_note_cause(ladder, SNUG_STATUS_DEVICE_LOST);
        return SNUG_STATUS_OK;
    }
    snug_error_set(error, SNUG_STATUS_DEVICE_LOST, "the device is lost");
    return snug_ladder_step_down(ladder, SNUG_STATUS_DEVICE_LOST, error);
}

/* Every document that waits and finds a slot goes on from where it stands. */
static enum snug_status settle(struct snug_ladder *ladder, struct snug_error *error)
{
    for (;;) {
        struct snug_error local;
        while (ladder->gone)
            SNUG_TRY(meet_loss(ladder, error));
        struct snug_answering *answer = next_waiting(ladder);
        if (!answer)
            return SNUG_STATUS_OK;
        int slot = snug_session_free_slot(&ladder->session);
        if (slot < 0)
            return SNUG_STATUS_OK;
        double start = snug_clock_ms();
        bool begins = answer->out->count == 0;
        bool fits = snug_session_fits(&ladder->session, answer->request.tokens,
                                      answer->request.picture.tiles);
        enum snug_status status = snug_answering_resume(answer, &ladder->session, slot, &local);
        double ms = snug_clock_ms() - start;
        *(begins ? &ladder->stats.busy_ms[ladder->plan.rung] : &ladder->stats.moving_ms) += ms;
        answer->rung = ladder->plan.rung;
        if (status == SNUG_STATUS_INTERRUPTED)
            return snug_error_set(error, status, "%s", local.message);
        if (fits && falls(ladder, status)) { /* one that is larger than planned fits nowhere */
            *error = local;
            SNUG_TRY(snug_ladder_step_down(ladder, status, error));
        } else if (status) {
            end_badly(answer, status, &local);
        }
    }
}

static void forget(struct snug_ladder *ladder, const struct snug_answering *answer)
{
    int kept = 0;
    for (int i = 0; i < ladder->answer_count; i++)
        if (ladder->answers[i] != answer)
            ladder->answers[kept++] = ladder->answers[i];
    ladder->answer_count = kept;
}

bool snug_ladder_has_room(const struct snug_ladder *ladder)
{
    if (!ladder->stands)
        return ladder->answer_count == 0;
    return ladder->answer_count < SNUG_MAX_PARALLEL && !next_waiting(ladder) &&
           snug_session_free_slot(&ladder->session) >= 0;
}

enum snug_status snug_ladder_start(struct snug_ladder *ladder, struct snug_answering *answer,
                                   const struct snug_request *request, struct snug_error *error)
{
    SNUG_ASSERT(snug_ladder_has_room(ladder));
    enum snug_status status =
        snug_answering_init(answer, ladder->model, request, ladder->allocator, error);
    ladder->documents++;
    answer->number = ladder->documents;
    ladder->begins = request->name;
    if (!status)
        status = snug_ladder_boundary(ladder, error);
    ladder->begins = NULL;
    if (!status) {
        answer->rung = ladder->plan.rung;
        ladder->answers[ladder->answer_count++] = answer;
        status = settle(ladder, error);
    }
    if (!status && answer->status)
        status = snug_error_set(error, answer->status, "%s", answer->error.message);
    if (status) {
        answer->over = true;
        answer->status = status;
    }
    return status;
}

static void mark(const struct snug_ladder *ladder, const struct snug_answering *answer)
{
    for (int space = 1; space <= ladder->options.device_count; space++) {
        const struct snug_device *device = ladder->options.devices[space];
        if (device->mark)
            device->mark(device, answer->number, answer->out->count);
    }
}

enum snug_status snug_ladder_advance(struct snug_ladder *ladder, struct snug_error *error)
{
    struct snug_answering *together[SNUG_MAX_PARALLEL];
    int64_t count = 0;
    SNUG_TRY(settle(ladder, error));
    for (int i = 0; i < ladder->answer_count; i++) {
        struct snug_answering *a = ladder->answers[i];
        if (a->over || a->slot < 0)
            continue;
        mark(ladder, a);
        together[count++] = a;
    }
    if (!count)
        return SNUG_STATUS_OK;
    double start = snug_clock_ms();
    enum snug_status status = snug_answering_advance(&ladder->session, together, count, error);
    ladder->stats.busy_ms[ladder->plan.rung] += snug_clock_ms() - start;
    if (falls(ladder, status)) {
        SNUG_TRY(snug_ladder_step_down(ladder, status, error));
        return settle(ladder, error);
    }
    for (int64_t i = 0; !status && i < count; i++)
        together[i]->rung = ladder->plan.rung;
    return status;
}

/* With nobody under way: working memory back, if that was asked for. */
static void rest(struct snug_ladder *ladder)
{
    size_t bytes = ladder->stands ? ladder->session.peak_bytes : 0;
    if (!ladder->options.elastic || ladder->answer_count || !ladder->stands ||
        !ladder->session.region.base)
        return;
    double start = snug_clock_ms();
    snug_session_rest(&ladder->session);
    if (!ladder->options.device_count)
        return;
    snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_GIVE,
                                                 .from = ladder->plan.rung,
                                                 .to = ladder->plan.rung,
                                                 .why = "nothing is being read",
                                                 .bytes = bytes,
                                                 .ms = snug_clock_ms() - start});
}

void snug_ladder_end(struct snug_ladder *ladder, struct snug_answering *answer)
{
    if (!answer->out) /* never started */
        return;
    ladder->ended = snug_ladder_memory(ladder);
    if (answer->slot >= 0 && ladder->stands)
        snug_session_end(&ladder->session, answer->slot);
    forget(ladder, answer);
    if (answer->over && !answer->status) {
        ladder->stats.documents[answer->rung]++;
        if (!answer->move_count && answer->rung != SNUG_RUNG_CPU &&
            ladder->documents >= ladder->try_at)
            ladder->backoff = 0; /* the device works, as far up as it was tried */
    }
    snug_answering_free(answer);
    rest(ladder);
}

/* ---- watching ---- */

struct snug_ladder_memory snug_ladder_memory(struct snug_ladder *ladder)
{
    struct snug_ladder_memory memory = {.known = false};
    if (!snug_ladder_free_of_device(ladder, &memory.free_bytes))
        return memory;
    memory.known = true;
    memory.our_bytes = snug_ladder_ours(ladder, 1);
    uint64_t all = memory.free_bytes + memory.our_bytes;
    memory.other_bytes = ladder->most_bytes > all ? ladder->most_bytes - all : 0;
    return memory;
}

/* Of the first device, to stay on this rung while others hold memory: below it the next document
 * moves down (ladder.c, usable). */
static uint64_t need_of(const struct snug_ladder *ladder)
{
    const struct snug_ladder_options *o = &ladder->options;
    size_t spare = o->watermark_bytes;
    if (!ladder->stands || !ladder->plan.placing.device_count)
        return 0;
    return ladder->plan.need_bytes[1] +
           (uint64_t)(spare == SIZE_MAX ? snug_ladder_watermark(ladder->most_bytes) : spare);
}

struct snug_pressure_trend snug_ladder_trend(const struct snug_ladder *ladder)
{
    return snug_pressure_trend(&ladder->pressure, need_of(ladder));
}

static void tell_alert(struct snug_ladder *ladder, const struct snug_pressure_trend *trend)
{
    char why[SNUG_LADDER_TEXT_BYTES], have[24], less[24], need[24];
    snprintf(why, sizeof why,
             "at this rate the device's memory is short in about %lld documents: %s are free or "
             "ours, %s less with each document; %s needs %s, what has to stay free included",
             (long long)trend->documents, snug_format_bytes(trend->last_bytes, have),
             snug_format_bytes((uint64_t)-trend->slope_bytes, less),
             snug_rung_name(ladder->plan.rung), snug_format_bytes(need_of(ladder), need));
    snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_ALERT,
                                                 .from = ladder->plan.rung,
                                                 .to = ladder->plan.rung,
                                                 .why = why});
}

void snug_ladder_watch(struct snug_ladder *ladder, uint64_t free_bytes)
{
    struct snug_ladder_stats *stats = &ladder->stats;
    struct snug_pressure_trend trend;
    if (free_bytes < stats->lowest_free_bytes || !stats->watched)
        stats->lowest_free_bytes = free_bytes;
    stats->watched = true;
    snug_pressure_add(&ladder->pressure, ladder->documents,
                      free_bytes + snug_ladder_ours(ladder, 1));
    if (snug_pressure_alert(&ladder->pressure, need_of(ladder), &trend))
        tell_alert(ladder, &trend);
}
