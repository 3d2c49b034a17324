/* The ladder: choosing, entering and leaving rungs.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/ladder.h"

#include "base/clock.h"
#include "generate/ladder_internal.h"
#include "program/validate.h"

#include <stdio.h>
#include <string.h>

const char *snug_event_kind_name(enum snug_event_kind kind)
{
    static const char *const names[SNUG_EVENT_KIND_COUNT] = {"start", "down", "up",
                                                             "retry", "give", "alert"};
    return names[kind];
}

/* ---- what there is ---- */

bool snug_ladder_has_device(const struct snug_ladder *ladder)
{
    return ladder->plan.placing.device_count > 0;
}

size_t snug_ladder_ours(const struct snug_ladder *ladder, int space)
{
    size_t grain = space ? ladder->options.devices[space]->granularity : 1;
    size_t regions[2] = {0, 0}, bytes = 0;
    if (ladder->holds)
        regions[0] = space ? ladder->model->on_device[space].bytes : ladder->model->region.bytes;
    if (ladder->stands)
        regions[1] = space ? ladder->session.on_device[space].bytes : ladder->session.region.bytes;
    grain = grain ? grain : 1;
    for (int i = 0; i < 2; i++)
        bytes += (regions[i] + grain - 1) / grain * grain;
    return bytes;
}

/* Free or ours. Others hold the rest of what was seen at most; then some stays free for them. */
static enum snug_status usable(struct snug_ladder *ladder, int space, size_t *bytes,
                               struct snug_error *error)
{
    const struct snug_device *device = ladder->options.devices[space];
    size_t budget = ladder->options.budget_bytes[space];
    uint64_t free_now = 0;
    enum snug_status status = device->free_bytes(device, &free_now, error);
    ladder->gone |= status == SNUG_STATUS_DEVICE_LOST;
    if (status)
        return status;
    uint64_t all = free_now + snug_ladder_ours(ladder, space);
    if (space == 1) {
        ladder->most_bytes = all > ladder->most_bytes ? all : ladder->most_bytes;
        if (all < ladder->most_bytes) {
            size_t spare = ladder->options.watermark_bytes;
            if (spare == SIZE_MAX)
                spare = snug_ladder_watermark(ladder->most_bytes);
            all = all > spare ? all - spare : 0;
        }
    }
    *bytes = budget && budget < all ? budget : (size_t)all;
    return SNUG_STATUS_OK;
}

static bool is_dry(const struct snug_ladder *ladder)
{
    return ladder->options.device_count ? ladder->options.devices[1]->dry
                                        : ladder->options.session.device->dry;
}

enum snug_status snug_ladder_request(struct snug_ladder *ladder, struct snug_rung_request *out,
                                     struct snug_error *error)
{
    const struct snug_ladder_options *o = &ladder->options;
    *out = (struct snug_rung_request){.model = ladder->model,
                                      .session = o->session,
                                      .tokens = o->tokens,
                                      .tiles = o->tiles,
                                      .device_count = o->device_count,
                                      .known = &ladder->known,
                                      .whole = o->forced};
    memcpy(out->devices, o->devices, sizeof out->devices);
    memcpy(out->speeds, o->speeds, sizeof out->speeds);
    uint64_t host = is_dry(ladder) ? SIZE_MAX : snug_memory_available();
    if (host < SIZE_MAX - snug_ladder_ours(ladder, SNUG_SPACE_HOST))
        host += snug_ladder_ours(ladder, SNUG_SPACE_HOST);
    out->free_bytes[SNUG_SPACE_HOST] = (size_t)host;
    out->granularity[SNUG_SPACE_HOST] = 4096;
    for (int space = 1; space <= o->device_count; space++) {
        out->granularity[space] = o->devices[space]->granularity;
        if (!ladder->lost)
            SNUG_TRY(usable(ladder, space, &out->free_bytes[space], error));
    }
    return SNUG_STATUS_OK;
}

/* ---- events ---- */

bool snug_ladder_free_of_device(struct snug_ladder *ladder, uint64_t *bytes)
{
    const struct snug_device *first = ladder->options.devices[1];
    if (!ladder->options.device_count)
        return false;
    enum snug_status status = first->free_bytes(first, bytes, NULL);
    ladder->gone |= status == SNUG_STATUS_DEVICE_LOST && !ladder->lost;
    return status == SNUG_STATUS_OK;
}

void snug_ladder_tell(struct snug_ladder *ladder, struct snug_event event)
{
    const struct snug_answering *first = ladder->answer_count ? ladder->answers[0] : NULL;
    uint64_t free_bytes;
    if (!ladder->options.event)
        return;
    event.document = first ? first->request.name : ladder->begins;
    event.number = first ? first->number : ladder->documents;
    event.token = first ? first->out->count : 0;
    event.step = (int64_t)(ladder->stats.runs + (ladder->stands ? ladder->session.runs : 0));
    event.free_bytes = snug_ladder_free_of_device(ladder, &free_bytes) ? free_bytes : 0;
    event.documents = ladder->answer_count;
    ladder->options.event(ladder->options.event_context, &event);
}

/* ---- entering and leaving ---- */

static void add_stats(struct snug_ladder *ladder)
{
    struct snug_session *s = &ladder->session;
    ladder->stats.runs += s->runs;
    ladder->stats.takes += s->takes;
    ladder->stats.memory = s->stats;
}

/* The session goes, with all that it holds. */
static void leave(struct snug_ladder *ladder)
{
    if (!ladder->stands)
        return;
    for (int i = 0; i < ladder->session.options.slots; i++)
        snug_session_end(&ladder->session, i);
    snug_session_rest(&ladder->session);
    add_stats(ladder);
    snug_session_free(&ladder->session);
    ladder->stands = false;
    for (int i = 0; i < ladder->answer_count; i++)
        ladder->answers[i]->slot = -1;
}

static void drop_weights(struct snug_ladder *ladder)
{
    snug_model_drop(ladder->model);
    ladder->holds = false;
}

bool snug_ladder_same_weights(const struct snug_placing *a, const struct snug_placing *b)
{
    return a->device_count == b->device_count && a->host_units == b->host_units &&
           a->split == b->split;
}

/* Weights where the plan wants them. fresh: loaded again even if they are there. */
static enum snug_status hold(struct snug_ladder *ladder, const struct snug_placing *placing,
                             bool fresh, struct snug_error *error)
{
    if (ladder->holds && !fresh && snug_ladder_same_weights(&ladder->held, placing))
        return SNUG_STATUS_OK;
    drop_weights(ladder);
    SNUG_TRY(snug_model_hold(ladder->model, placing, ladder->options.session.pool, error));
    ladder->held = *placing;
    ladder->holds = true;
    return SNUG_STATUS_OK;
}

static bool is_valid(const struct snug_ladder *ladder, const struct snug_placing *placing)
{
    bool valid = true;
    for (int space = 1; space <= placing->device_count; space++)
        valid = valid && ladder->valid[space];
    return valid || ladder->options.unchecked;
}

/* Every kernel of a device that the program uses runs once, before anything depends on it. */
static enum snug_status validate(struct snug_ladder *ladder, struct snug_error *error)
{
    const struct snug_session *s = &ladder->session;
    for (int space = 1; space < s->placed.spaces; space++) {
        if (ladder->valid[space])
            continue;
        SNUG_TRY(snug_validate_device(&s->program, &s->placed, space,
                                      ladder->options.devices[space], s->options.ops,
                                      s->options.pool, ladder->allocator, error));
        ladder->valid[space] = true;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status enter(struct snug_ladder *ladder, int index,
                              const struct snug_rung_plan *plan, bool fresh,
                              struct snug_error *error)
{
    const struct snug_ladder_options *o = &ladder->options;
    struct snug_session_options session = o->session;
    session.placing = plan->placing;
    session.slots = plan->slots;
    snug_session_init(&ladder->session, ladder->model, &session, ladder->allocator);
    ladder->session.stats = ladder->stats.memory;
    enum snug_status status = SNUG_STATUS_OK;
    if (!is_valid(ladder, &plan->placing)) {
        drop_weights(ladder); /* while nothing is held there is room for it */
        status = snug_session_plan(&ladder->session, o->tokens, o->tiles, error);
        if (!status)
            status = validate(ladder, error);
    }
    if (!status)
        status = hold(ladder, &plan->placing, fresh, error);
    if (!status)
        status = snug_session_reserve(&ladder->session, o->tokens, o->tiles, error);
    if (status) {
        ladder->stats.memory = ladder->session.stats;
        snug_session_free(&ladder->session);
        if (status == SNUG_STATUS_DEVICE || status == SNUG_STATUS_DEVICE_LOST)
            drop_weights(ladder);
        return status;
    }
    ladder->stands = true;
    ladder->index = index;
    ladder->plan = *plan;
    for (int space = 1; space <= o->device_count; space++) {
        uint64_t bytes = snug_ladder_ours(ladder, space);
        if (bytes > ladder->stats.peak_bytes[space])
            ladder->stats.peak_bytes[space] = bytes;
    }
    return SNUG_STATUS_OK;
}

/* ---- choosing ---- */

static bool loads_afresh(enum snug_rung rung)
{
    return rung == SNUG_RUNG_RELOAD || rung == SNUG_RUNG_RELOAD_KV_OFFLOAD;
}

/* Where to go from a rung (-1: from the top) that could not be used for that reason; the count of
 * rungs if nowhere. Memory: the next lower. A device that failed: one where everything is loaded
 * again. A lost one: one without it. */
static int next_index(const struct snug_ladder *ladder, int index, enum snug_status cause)
{
    const struct snug_rung_list *list = &ladder->options.rungs;
    for (int i = index + 1; i < list->count && index >= 0; i++) {
        bool cpu = list->items[i] == SNUG_RUNG_CPU;
        if (cause == SNUG_STATUS_DEVICE_LOST && cpu)
            return i;
        if (cause == SNUG_STATUS_DEVICE &&
            (cpu || loads_afresh(list->items[i]) || list->items[i] == SNUG_RUNG_STREAM ||
             list->items[i] == SNUG_RUNG_HYBRID))
            return i;
    }
    return index + 1;
}

bool snug_is_device_failure(enum snug_status status)
{
    return status == SNUG_STATUS_DEVICE || status == SNUG_STATUS_DEVICE_LOST;
}

static bool is_refusal(enum snug_status status)
{
    return status == SNUG_STATUS_MEMORY || status == SNUG_STATUS_DOES_NOT_FIT;
}

void snug_ladder_note_cause(struct snug_ladder *ladder, enum snug_status cause)
{
    if (!snug_is_device_failure(cause))
        return;
    if (ladder->failed_at != ladder->documents || !ladder->backoff)
        ladder->backoff = ladder->backoff ? 2 * ladder->backoff : 1;
    if (ladder->backoff > SNUG_LADDER_MAX_BACKOFF)
        ladder->backoff = SNUG_LADDER_MAX_BACKOFF;
    ladder->failed_at = ladder->documents;
    ladder->try_at = ladder->documents + ladder->backoff;
    if (cause == SNUG_STATUS_DEVICE_LOST) {
        ladder->lost = true;
        ladder->gone = false;
        memset(ladder->valid, 0, sizeof ladder->valid);
        if (ladder->stands && snug_ladder_has_device(ladder))
            leave(ladder);
        if (ladder->holds && ladder->held.device_count)
            drop_weights(ladder);
    }
}

static bool has_rung_after(const struct snug_ladder *ladder, int index, enum snug_rung rung)
{
    for (int i = index + 1; i < ladder->options.rungs.count; i++)
        if (ladder->options.rungs.items[i] == rung)
            return true;
    return false;
}

/* A rung could not be entered. A loss is met with a reset at once if nothing after that rung does
 * without the device, and it is the first time (last: what failed before). */
static void note_failure(struct snug_ladder *ladder, enum snug_status cause, int index,
                         enum snug_status last)
{
    snug_ladder_note_cause(ladder, cause);
    if (cause == SNUG_STATUS_DEVICE_LOST && last != cause && !ladder->options.no_fallback &&
        !has_rung_after(ladder, index, SNUG_RUNG_CPU))
        snug_ladder_try_reset(ladder);
}

/* What a rung that does not fit would need, for a message. */
static void add_need(const struct snug_rung_plan *plan, const struct snug_rung_request *request,
                     char text[SNUG_LADDER_TEXT_BYTES])
{
    size_t used = strlen(text);
    char need[24], have[24];
    int space = plan->placing.device_count ? 1 : 0;
    if (plan->need_bytes[space] <= request->free_bytes[space])
        space =
            plan->placing.device_count > 1 && plan->need_bytes[2] > request->free_bytes[2] ? 2 : 0;
    snprintf(text + used, SNUG_LADDER_TEXT_BYTES - used, "%s%s needs %s of %s", used ? ", " : "",
             snug_rung_name(plan->rung), snug_format_bytes(plan->need_bytes[space], need),
             snug_format_bytes(request->free_bytes[space], have));
}

/* Enters the first rung from `index` on that fits and works. */
enum snug_status snug_ladder_find(struct snug_ladder *ladder, int index, enum snug_status cause,
                                  struct snug_error *error)
{
    const struct snug_rung_list *list = &ladder->options.rungs;
    char needs[SNUG_LADDER_TEXT_BYTES] = "";
    struct snug_error local = {0};
    enum snug_status last = SNUG_STATUS_OK;
    for (int i = index; i < list->count; i = next_index(ladder, i, last ? last : cause)) {
        struct snug_rung_request request;
        struct snug_rung_plan plan;
        bool off_device = list->items[i] == SNUG_RUNG_CPU;
        if (ladder->lost && !off_device)
            continue;
        enum snug_status status = snug_ladder_request(ladder, &request, &local);
        if (status == SNUG_STATUS_DEVICE_LOST) {
            note_failure(ladder, status, i, last);
            if (ladder->options.no_fallback)
                return snug_error_set(error, status, "%s", local.message);
            last = status;
            i--; /* the host's may do; so may this one, if it has been reset */
            continue;
        }
        if (!status)
            status = snug_rung_plan(&request, list->items[i], &plan, &local);
        if (status)
            return snug_error_set(error, status, "%s", local.message);
        if (!plan.applies)
            continue;
        if (!plan.fits) {
            add_need(&plan, &request, needs);
            continue;
        }
        bool fresh = loads_afresh(plan.rung) || (last ? last : cause) == SNUG_STATUS_DEVICE;
        status = enter(ladder, i, &plan, fresh, &local);
        if (!status)
            return SNUG_STATUS_OK;
        note_failure(ladder, status, i, last);
        if ((!snug_is_device_failure(status) && !is_refusal(status)) ||
            (ladder->options.no_fallback && snug_is_device_failure(status)))
            return snug_error_set(error, status, "%s", local.message);
        last = status;
        ladder->stats.retries++;
        snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_RETRY,
                                                     .from = plan.rung,
                                                     .to = plan.rung,
                                                     .cause = status,
                                                     .why = local.message});
    }
    if (last)
        return snug_error_set(error, last, "no rung is left: %s", local.message);
    last = cause ? cause : ladder->lost ? SNUG_STATUS_DEVICE_LOST : SNUG_STATUS_DOES_NOT_FIT;
    return snug_error_set(error, last, "no rung of the ladder fits: %s",
                          *needs         ? needs
                          : ladder->lost ? "the device is lost"
                                         : "none applies");
}

size_t snug_ladder_bytes_taken(const struct snug_ladder *ladder)
{
    return ladder->stands ? ladder->plan.need_bytes[snug_ladder_has_device(ladder) ? 1 : 0] : 0;
}

enum snug_status snug_ladder_open(struct snug_ladder *ladder, struct snug_model *model,
                                  const struct snug_ladder_options *options,
                                  const struct snug_allocator *allocator, struct snug_error *error)
{
    double start = snug_clock_ms();
    *ladder = (struct snug_ladder){
        .allocator = allocator, .options = *options, .model = model, .roomy_at = -1};
    ladder->known.allocator = allocator;
    if (!ladder->options.session.device)
        ladder->options.session.device = model->device;
    enum snug_status status = snug_ladder_find(ladder, 0, SNUG_STATUS_OK, error);
    if (status) {
        snug_ladder_close(ladder);
        return status;
    }
    ladder->stats.takes = 0;
    ladder->try_at = ladder->backoff = 0;
    snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_START,
                                                 .from = ladder->plan.rung,
                                                 .to = ladder->plan.rung,
                                                 .why = "the first that fits",
                                                 .bytes = snug_ladder_bytes_taken(ladder),
                                                 .ms = snug_clock_ms() - start});
    if (ladder->options.elastic)
        snug_session_rest(&ladder->session);
    ladder->ended = snug_ladder_memory(ladder);
    return SNUG_STATUS_OK;
}

void snug_ladder_close(struct snug_ladder *ladder)
{
    if (!ladder->allocator)
        return;
    leave(ladder);
    if (ladder->holds)
        drop_weights(ladder);
    snug_rung_known_free(&ladder->known);
    *ladder = (struct snug_ladder){0};
}

/* ---- moving ---- */

/* Documents under way take their keys and values along, if they can. */
static void save_all(struct snug_ladder *ladder)
{
    for (int i = 0; ladder->stands && i < ladder->answer_count; i++) {
        struct snug_answering *a = ladder->answers[i];
        int64_t positions = a->request.prompt_count + a->out->count - 1;
        if (a->slot < 0 || a->over || !a->out->count ||
            ladder->session.slots[a->slot].positions != positions)
            continue;
        enum snug_status status = snug_session_save(&ladder->session, a->slot, &a->parcel, NULL);
        if (status == SNUG_STATUS_DEVICE_LOST)
            return;
    }
}

static void note_moves(struct snug_ladder *ladder, enum snug_rung from, enum snug_status cause)
{
    for (int i = 0; i < ladder->answer_count; i++) {
        struct snug_answering *a = ladder->answers[i];
        if (a->over)
            continue;
        if (a->move_count < SNUG_MAX_MOVES)
            a->moves[a->move_count] =
                (struct snug_move){a->out->count, from, ladder->plan.rung, cause};
        a->move_count++;
    }
}

/* No rung is left: that is the end of every document under way. */
static void end_all(struct snug_ladder *ladder, enum snug_status status,
                    const struct snug_error *error)
{
    for (int i = 0; i < ladder->answer_count; i++) {
        struct snug_answering *a = ladder->answers[i];
        if (a->over)
            continue;
        a->over = true;
        a->status = status;
        a->error = *error;
    }
}

enum snug_status snug_ladder_move(struct snug_ladder *ladder, int index, enum snug_event_kind kind,
                                  enum snug_status cause, const char *why, struct snug_error *error)
{
    double start = snug_clock_ms();
    const struct snug_rung_plan before = ladder->plan;
    int index_before = ladder->index;
    save_all(ladder);
    leave(ladder);
    enum snug_status status = snug_ladder_find(ladder, index, cause, error);
    const struct snug_rung_plan *now = status ? &before : &ladder->plan;
    bool up = kind == SNUG_EVENT_KIND_UP;
    if (up && !status && ladder->index == index_before && now->slots == before.slots &&
        now->placing.host_units == before.placing.host_units)
        return status; /* the way up failed, as events have told */
    if (status || (up && ladder->index > index_before))
        kind = SNUG_EVENT_KIND_DOWN;
    double ms = snug_clock_ms() - start;
    ladder->stats.moving_ms += ms;
    *(kind == SNUG_EVENT_KIND_UP ? &ladder->stats.ups : &ladder->stats.downs) += 1;
    if (!status)
        note_moves(ladder, before.rung, cause);
    snug_ladder_tell(ladder, (struct snug_event){.kind = kind,
                                                 .from = before.rung,
                                                 .to = now->rung,
                                                 .cause = status ? status : cause,
                                                 .why = status ? error->message : why,
                                                 .bytes = snug_ladder_bytes_taken(ladder),
                                                 .ms = ms});
    if (status)
        end_all(ladder, status, error);
    return status;
}

void snug_ladder_try_reset(struct snug_ladder *ladder)
{
    bool all = true;
    for (int space = 1; space <= ladder->options.device_count; space++) {
        const struct snug_device *device = ladder->options.devices[space];
        all = device->reset(device, NULL) == SNUG_STATUS_OK && all;
    }
    ladder->lost = !all;
    if (all)
        return;
    snug_ladder_note_cause(ladder, SNUG_STATUS_DEVICE_LOST);
}

enum snug_status snug_ladder_step_down(struct snug_ladder *ladder, enum snug_status cause,
                                       struct snug_error *error)
{
    char why[SNUG_ERROR_MESSAGE_BYTES];
    snprintf(why, sizeof why, "%s", error->message);
    snug_ladder_note_cause(ladder, cause);
    if (ladder->options.no_fallback) {
        snug_ladder_tell(ladder, (struct snug_event){.kind = SNUG_EVENT_KIND_DOWN,
                                                     .from = ladder->plan.rung,
                                                     .to = ladder->plan.rung,
                                                     .cause = cause,
                                                     .why = why});
        if (!ladder->stands)
            end_all(ladder, cause, error);
        return cause;
    }
    if (is_refusal(cause))
        cause = SNUG_STATUS_MEMORY;
    if (ladder->lost && !has_rung_after(ladder, ladder->index, SNUG_RUNG_CPU))
        snug_ladder_try_reset(ladder); /* nothing else is left */
    return snug_ladder_move(ladder, next_index(ladder, ladder->index, cause), SNUG_EVENT_KIND_DOWN,
                            cause, why, error);
}
