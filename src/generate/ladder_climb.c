/* The ladder between documents: up when there is room again, down when others need it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/ladder_internal.h"

#include "base/clock.h"

/* The first rung that would fit now; the count of rungs if none does. */
static enum snug_status first_fitting(struct snug_ladder *ladder, int *index,
                                      struct snug_rung_plan *plan, struct snug_error *error)
{
    const struct snug_rung_list *list = &ladder->options.rungs;
    struct snug_rung_request request;
    SNUG_TRY(snug_ladder_request(ladder, &request, error));
    for (*index = 0; *index < list->count; (*index)++) {
        if (ladder->lost && list->items[*index] != SNUG_RUNG_CPU)
            continue;
        SNUG_TRY(snug_rung_plan(&request, list->items[*index], plan, error));
        if (plan->applies && plan->fits)
            return SNUG_STATUS_OK;
    }
    return SNUG_STATUS_OK;
}

static int find_rung(const struct snug_ladder *ladder, enum snug_rung rung, int otherwise)
{
    for (int i = 0; i < ladder->options.rungs.count; i++)
        if (ladder->options.rungs.items[i] == rung)
            return i;
    return otherwise;
}

/* A rung that has to be loaded again on the way up is called so, if the list has it. */
static int index_upwards(const struct snug_ladder *ladder, int index,
                         const struct snug_rung_plan *plan)
{
    enum snug_rung afresh = plan->rung == SNUG_RUNG_RESIDENT     ? SNUG_RUNG_RELOAD
                            : plan->rung == SNUG_RUNG_KV_OFFLOAD ? SNUG_RUNG_RELOAD_KV_OFFLOAD
                                                                 : SNUG_RUNG_COUNT;
    if (ladder->holds && snug_ladder_same_weights(&ladder->held, &plan->placing))
        return index;
    return find_rung(ladder, afresh, index);
}

/* A plan's place in the list, from the top; what was only loaded afresh is where it would have been
 * without that. */
static int place_of(const struct snug_ladder *ladder, const struct snug_rung_plan *plan, int index)
{
    bool all = plan->slots == ladder->options.session.slots;
    if (plan->rung == SNUG_RUNG_RELOAD)
        return find_rung(ladder, all ? SNUG_RUNG_RESIDENT : SNUG_RUNG_NARROW, index);
    if (plan->rung == SNUG_RUNG_RELOAD_KV_OFFLOAD)
        return find_rung(ladder, SNUG_RUNG_KV_OFFLOAD, index);
    return index;
}

/* Above 0 if plan a is better than b, below if it is worse, 0 if they are as good. */
static int compare(int a_place, const struct snug_rung_plan *a, int b_place,
                   const struct snug_rung_plan *b)
{
    if (a_place != b_place)
        return b_place - a_place;
    if (a->slots != b->slots)
        return a->slots > b->slots ? 1 : -1;
    return b->placing.host_units - a->placing.host_units;
}

/* At the start of a document: up if there is room, down if others need it. */
static enum snug_status reconsider(struct snug_ladder *ladder, struct snug_error *error)
{
    struct snug_rung_plan plan;
    int index = 0;
    bool by_memory = ladder->backoff == 0;
    SNUG_TRY(first_fitting(ladder, &index, &plan, error));
    if (index == ladder->options.rungs.count)
        return SNUG_STATUS_OK;
    int better = compare(place_of(ladder, &plan, index), &plan,
                         place_of(ladder, &ladder->plan, ladder->index), &ladder->plan);
    if (better < 0 && snug_ladder_has_device(ladder))
        return snug_ladder_move(ladder, index, SNUG_EVENT_KIND_DOWN, SNUG_STATUS_MEMORY,
                                "others need memory of the device", error);
    bool again = ladder->roomy_at >= 0 && ladder->roomy_at + 1 == ladder->documents;
    ladder->roomy_at = better > 0 ? ladder->documents : -1;
    if (better <= 0 || (by_memory && !again))
        return SNUG_STATUS_OK;
    ladder->roomy_at = -1;
    return snug_ladder_move(ladder, index_upwards(ladder, index, &plan), SNUG_EVENT_KIND_UP,
                            SNUG_STATUS_OK,
                            by_memory ? "there is room again" : "the device is tried again", error);
}

/* No rung was left for the document before. */
static enum snug_status return_from_none(struct snug_ladder *ladder, struct snug_error *error)
{
    double start = snug_clock_ms();
    enum snug_rung before = ladder->plan.rung;
    SNUG_TRY(snug_ladder_find(ladder, 0, SNUG_STATUS_OK, error));
    double ms = snug_clock_ms() - start;
    ladder->stats.ups++;
    ladder->stats.moving_ms += ms;
    snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_UP,
                                                 .from = before,
                                                 .to = ladder->plan.rung,
                                                 .why = "one can be used again",
                                                 .bytes = snug_ladder_bytes_taken(ladder),
                                                 .ms = ms});
    return SNUG_STATUS_OK;
}

enum snug_status snug_ladder_boundary(struct snug_ladder *ladder, struct snug_error *error)
{
    const struct snug_ladder_options *o = &ladder->options;
    for (int space = 1; space <= o->device_count; space++)
        if (o->devices[space]->mark)
            o->devices[space]->mark(o->devices[space], ladder->documents, -1);
    if (!o->device_count)
        return SNUG_STATUS_OK;
    uint64_t free_bytes;
    if (snug_ladder_free_of_device(ladder, &free_bytes))
        snug_ladder_watch(ladder, free_bytes);
    if (ladder->lost && (ladder->documents >= ladder->try_at || !ladder->stands))
        snug_ladder_try_reset(ladder);
    if (!ladder->stands)
        return return_from_none(ladder, error);
    if (o->no_fallback || o->rungs.count == 1 || ladder->lost || ladder->documents < ladder->try_at)
        return SNUG_STATUS_OK;
    struct snug_error local;
    enum snug_status status = reconsider(ladder, &local);
    if (!snug_is_device_failure(status))
        return status ? snug_error_set(error, status, "%s", local.message) : status;
    *error = local;
    if (ladder->stands && snug_ladder_has_device(ladder))
        return snug_ladder_step_down(ladder, status, error);
    if (!ladder->stands)
        return status;
    snug_ladder_note_cause(ladder, status); /* nothing of ours was there */
    return SNUG_STATUS_OK;
}
