/* Finding a rung's placement: each candidate is the model's own program, placed and laid out.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/rungs.h"

#include <string.h>

static const char *const rung_names[SNUG_RUNG_COUNT] = {
    "resident", "narrow", "kv-offload", "reload", "reload-kv-offload", "stream", "hybrid", "cpu"};

const char *snug_rung_name(enum snug_rung rung)
{
    return rung_names[rung];
}

struct snug_rung_list snug_rungs_all(bool has_device)
{
    struct snug_rung_list list = {.count = SNUG_RUNG_COUNT};
    for (int i = 0; i < SNUG_RUNG_COUNT; i++)
        list.items[i] = (enum snug_rung)i;
    return has_device ? list : (struct snug_rung_list){.items = {SNUG_RUNG_CPU}, .count = 1};
}

static bool has_rung(const struct snug_rung_list *list, int rung)
{
    for (int i = 0; i < list->count; i++)
        if (list->items[i] == (enum snug_rung)rung)
            return true;
    return false;
}

bool snug_rungs_parse(const char *text, struct snug_rung_list *out)
{
    struct snug_rung_list list = {.count = 0};
    while (*text) {
        size_t length = strcspn(text, ",");
        int rung = 0;
        while (rung < SNUG_RUNG_COUNT &&
               (strlen(rung_names[rung]) != length || strncmp(rung_names[rung], text, length)))
            rung++;
        if (rung == SNUG_RUNG_COUNT)
            return false;
        if (!has_rung(&list, rung))
            list.items[list.count++] = (enum snug_rung)rung;
        text += length;
        if (*text && !*++text) /* a comma at the end */
            return false;
    }
    if (list.count)
        *out = list;
    return list.count > 0;
}

/* ---- one candidate ---- */

static size_t rounded(size_t bytes, size_t granularity)
{
    size_t grain = granularity ? granularity : 1;
    return (bytes + grain - 1) / grain * grain;
}

enum snug_status snug_rung_session(const struct snug_rung_request *request,
                                   const struct snug_rung_plan *plan, struct snug_session *out,
                                   struct snug_error *error)
{
    struct snug_session_options options = request->session;
    options.placing = plan->placing;
    options.slots = plan->slots;
    snug_session_init(out, request->model, &options, request->model->allocator);
    return snug_session_plan(out, request->tokens, request->tiles, error);
}

/* What a placing with so many slots takes. */
struct snug_rung_candidate {
    struct snug_placing placing;
    int64_t slots;
    size_t weight_bytes[SNUG_MAX_SPACES], work_bytes[SNUG_MAX_SPACES], staging_bytes;
    bool timed[2]; /* [1]: of a step of decoding, [0]: of a chunk of the prompt; */
    double ms[2];  /* so long, if timed */
};

static bool is_of(const struct snug_rung_candidate *c, const struct snug_rung_plan *plan)
{
    const struct snug_placing *a = &c->placing, *b = &plan->placing;
    return c->slots == plan->slots && a->device_count == b->device_count && a->split == b->split &&
           a->host_units == b->host_units && a->kv_on_host == b->kv_on_host &&
           a->decode_on_host == b->decode_on_host && a->rest_on_host == b->rest_on_host;
}

static struct snug_rung_candidate *recall(const struct snug_rung_request *request,
                                          const struct snug_rung_plan *plan)
{
    for (int i = 0; request->known && i < request->known->count; i++)
        if (is_of(&request->known->items[i], plan))
            return &request->known->items[i];
    return NULL;
}

static enum snug_status remember(const struct snug_rung_request *request,
                                 const struct snug_rung_candidate *c, struct snug_error *error)
{
    struct snug_rung_known *known = request->known;
    if (!known)
        return SNUG_STATUS_OK;
    if (known->count == known->capacity) {
        int capacity = known->capacity ? 2 * known->capacity : 32;
        struct snug_rung_candidate *grown =
            snug_realloc_array(known->allocator, known->items, (size_t)capacity, sizeof *grown);
        if (!grown)
            return snug_error_memory(error, (size_t)capacity * sizeof *grown, "the rungs' plans");
        known->items = grown;
        known->capacity = capacity;
    }
    known->items[known->count++] = *c;
    return SNUG_STATUS_OK;
}

void snug_rung_known_free(struct snug_rung_known *known)
{
    if (known->items)
        snug_free(known->allocator, known->items);
    *known = (struct snug_rung_known){.allocator = known->allocator};
}

/* Builds the candidate, or recalls it. */
static enum snug_status examine(const struct snug_rung_request *request,
                                const struct snug_rung_plan *plan, struct snug_rung_candidate *out,
                                struct snug_error *error)
{
    const struct snug_rung_candidate *found = recall(request, plan);
    struct snug_session session;
    if (found) {
        *out = *found;
        return SNUG_STATUS_OK;
    }
    *out = (struct snug_rung_candidate){.placing = plan->placing, .slots = plan->slots};
    enum snug_status status = snug_rung_session(request, plan, &session, error);
    snug_placing_weight_bytes(&plan->placing, request->model, out->weight_bytes);
    for (int space = 0; space < snug_placing_spaces(&plan->placing) && !status; space++)
        out->work_bytes[space] = session.placed.peak_bytes[space];
    out->staging_bytes = 2 * session.placed.staging_bytes[1];
    snug_session_free(&session);
    return status ? status : remember(request, out, error);
}

/* Fills what the plan's placing and slots take. */
static enum snug_status weigh(const struct snug_rung_request *request, struct snug_rung_plan *plan,
                              struct snug_error *error)
{
    struct snug_rung_candidate c;
    SNUG_TRY(examine(request, plan, &c, error));
    plan->fits = plan->applies = true;
    memcpy(plan->weight_bytes, c.weight_bytes, sizeof plan->weight_bytes);
    memcpy(plan->work_bytes, c.work_bytes, sizeof plan->work_bytes);
    memset(plan->need_bytes, 0, sizeof plan->need_bytes);
    for (int space = 0; space < snug_placing_spaces(&plan->placing); space++) {
        size_t grain = request->granularity[space];
        plan->need_bytes[space] =
            rounded(plan->weight_bytes[space], grain) + rounded(plan->work_bytes[space], grain);
        plan->fits = plan->fits && plan->need_bytes[space] <= request->free_bytes[space];
    }
    plan->staging_bytes = c.staging_bytes;
    return SNUG_STATUS_OK;
}

/* Whether the devices have room; the host may have none. */
static bool devices_fit(const struct snug_rung_request *request, const struct snug_rung_plan *plan)
{
    bool fit = true;
    for (int d = 1; d <= plan->placing.device_count; d++)
        fit = fit && plan->need_bytes[d] <= request->free_bytes[d];
    return fit;
}

/* The same from weights alone, beside `work` bytes of each device: cheap, nothing is laid out. */
static bool weights_fit(const struct snug_rung_request *request, const struct snug_placing *placing,
                        const size_t work[SNUG_MAX_SPACES])
{
    size_t bytes[SNUG_MAX_SPACES];
    bool fit = true;
    snug_placing_weight_bytes(placing, request->model, bytes);
    for (int d = 1; d <= placing->device_count; d++) {
        size_t grain = request->granularity[d];
        fit = fit && rounded(bytes[d], grain) + rounded(work[d], grain) <= request->free_bytes[d];
    }
    return fit;
}

static struct snug_placing on_devices(const struct snug_rung_request *request)
{
    struct snug_placing placing = {.device_count = request->device_count,
                                   .staging_bytes = request->session.placing.staging_bytes};
    memcpy(placing.devices, request->devices, sizeof placing.devices);
    return placing;
}

/* ---- searches ---- */

/* Where two devices share the units: so that the fuller one is as little full as can be. */
static enum snug_status choose_split(const struct snug_rung_request *request,
                                     struct snug_rung_plan *plan, struct snug_error *error)
{
    int units = snug_model_unit_count(&request->model->config), best = 0;
    double least = 0;
    if (request->device_count < 2)
        return SNUG_STATUS_OK;
    plan->placing.split = units / 2;
    SNUG_TRY(weigh(request, plan, error));
    for (int split = 1; split < units; split++) {
        struct snug_placing placing = plan->placing;
        size_t bytes[SNUG_MAX_SPACES];
        double fullest = 0;
        placing.split = split;
        snug_placing_weight_bytes(&placing, request->model, bytes);
        for (int d = 1; d <= 2; d++) {
            double part = ((double)bytes[d] + (double)plan->work_bytes[d]) /
                          ((double)request->free_bytes[d] + 1);
            fullest = part > fullest ? part : fullest;
        }
        if (!best || fullest < least) {
            best = split;
            least = fullest;
        }
    }
    plan->placing.split = best;
    return SNUG_STATUS_OK;
}

/* The most documents at once, up to `most`, that fit; one if not even that does. */
static enum snug_status choose_slots(const struct snug_rung_request *request, int64_t most,
                                     struct snug_rung_plan *plan, struct snug_error *error)
{
    static const size_t nothing[SNUG_MAX_SPACES];
    int64_t good = 1, bad = most + 1;
    most = weights_fit(request, &plan->placing, nothing) ? most : 1;
    plan->slots = most;
    SNUG_TRY(weigh(request, plan, error));
    if (plan->fits || most == 1)
        return SNUG_STATUS_OK;
    for (bad = most; bad - good > 1;) {
        plan->slots = good + (bad - good) / 2;
        SNUG_TRY(weigh(request, plan, error));
        *(plan->fits ? &good : &bad) = plan->slots;
    }
    plan->slots = good;
    return weigh(request, plan, error);
}

/* The fewest units, `from` to `to`, that leave room for what was needed beside weights when the
 * plan was weighed last; `to` if none do. */
static int guess_units(const struct snug_rung_request *request, const struct snug_rung_plan *plan,
                       int from, int to)
{
    struct snug_placing placing = plan->placing;
    while (from < to) {
        placing.host_units = from + (to - from) / 2;
        if (weights_fit(request, &placing, plan->work_bytes))
            to = placing.host_units;
        else
            from = placing.host_units + 1;
    }
    return to;
}

#define GUESSES 6 /* each is a layout; two or three do, then halving ends it in any case */

/* The fewest units on the host, from 1 on, with which the devices have room; all if not even those
 * do. */
static enum snug_status choose_units(const struct snug_rung_request *request,
                                     struct snug_rung_plan *plan, struct snug_error *error)
{
    int all = snug_model_unit_count(&request->model->config), bad = 0, good = all;
    struct snug_rung_plan best = {.rung = plan->rung};
    if (request->whole) {
        plan->placing.host_units = plan->rung == SNUG_RUNG_HYBRID
                                       ? snug_placing_half_the_layers(request->model)
                                       : snug_placing_every_layer(request->model);
        return weigh(request, plan, error);
    }
    memset(plan->work_bytes, 0, sizeof plan->work_bytes);
    for (int i = 0; good - bad > 1; i++) {
        plan->placing.host_units =
            i < GUESSES ? guess_units(request, plan, bad + 1, good - 1) : bad + (good - bad) / 2;
        SNUG_TRY(weigh(request, plan, error));
        bool fit = devices_fit(request, plan);
        *(fit ? &good : &bad) = plan->placing.host_units;
        best = fit ? *plan : best;
    }
    if (best.applies) {
        *plan = best;
        return SNUG_STATUS_OK;
    }
    plan->placing.host_units = good;
    return weigh(request, plan, error);
}

/* Time of a run of a phase under a plan; 0 if it has none such. */
static enum snug_status time_of(const struct snug_rung_request *request,
                                const struct snug_rung_plan *plan, bool decode, double *ms,
                                struct snug_error *error)
{
    struct snug_session session;
    struct snug_rung_candidate *known = recall(request, plan);
    if (known && known->timed[decode]) {
        *ms = known->ms[decode];
        return SNUG_STATUS_OK;
    }
    enum snug_status status = snug_rung_session(request, plan, &session, error);
    if (!status) {
        const struct snug_program_handles *h = &session.handles;
        struct snug_run run = {.phase = decode ? h->decode.phase : h->prefill.phase, .units = 1};
        run.units = decode ? plan->slots : session.program.phases[run.phase].max_units;
        run.first_position = decode ? request->tokens - 1 : 0;
        *ms = snug_placed_cost(&session.placed, &run, request->speeds).total_ms;
    }
    if (!status && known) {
        known->timed[decode] = true;
        known->ms[decode] = *ms;
    }
    snug_session_free(&session);
    return status;
}

/* Whether the host's layers are computed there: as soon as that is estimated to take less time, and
 * where no speed is known in steps of decoding alone. */
static enum snug_status choose_computer(const struct snug_rung_request *request,
                                        struct snug_rung_plan *plan, struct snug_error *error)
{
    struct snug_rung_plan streamed = *plan, computed = *plan;
    bool known = request->speeds[1].link_gbs > 0 && request->speeds[0].read_gbs > 0;
    computed.placing.decode_on_host = computed.placing.rest_on_host = true;
    streamed.placing.decode_on_host = streamed.placing.rest_on_host = false;
    plan->placing.decode_on_host = true;
    for (int decode = 0; decode < 2 && known; decode++) {
        double there = 0, here = 0;
        SNUG_TRY(time_of(request, &streamed, decode, &there, error));
        SNUG_TRY(time_of(request, &computed, decode, &here, error));
        *(decode ? &plan->placing.decode_on_host : &plan->placing.rest_on_host) = here < there;
    }
    return weigh(request, plan, error);
}

/* Layers on the host, keys and values on the device if that leaves it fit, or if it is faster. */
static enum snug_status choose_layers(const struct snug_rung_request *request,
                                      struct snug_rung_plan *plan, struct snug_error *error)
{
    struct snug_rung_plan other = *plan;
    double here = 0, there = 0;
    plan->slots = other.slots = request->session.slots;
    SNUG_TRY(choose_units(request, plan, error));
    other.placing.kv_on_host = true;
    SNUG_TRY(choose_units(request, &other, error));
    if (!plan->fits && !other.fits && plan->slots > 1) {
        plan->slots = other.slots = 1;
        SNUG_TRY(choose_units(request, plan, error));
        SNUG_TRY(choose_units(request, &other, error));
    }
    if (plan->fits && other.fits && !request->whole) {
        SNUG_TRY(time_of(request, plan, true, &here, error));
        SNUG_TRY(time_of(request, &other, true, &there, error));
    }
    if (!plan->fits || there < here)
        *plan = other;
    return plan->rung == SNUG_RUNG_HYBRID ? choose_computer(request, plan, error) : SNUG_STATUS_OK;
}

enum snug_status snug_rung_plan(const struct snug_rung_request *request, enum snug_rung rung,
                                struct snug_rung_plan *plan, struct snug_error *error)
{
    struct snug_rung_plan found = {.rung = rung, .slots = request->session.slots};
    bool needs_device = rung != SNUG_RUNG_CPU;
    *plan = found;
    if ((needs_device && !request->device_count) ||
        (rung == SNUG_RUNG_NARROW && request->session.slots == 1))
        return SNUG_STATUS_OK;
    if (needs_device)
        found.placing = on_devices(request);
    found.placing.kv_on_host = rung == SNUG_RUNG_KV_OFFLOAD || rung == SNUG_RUNG_RELOAD_KV_OFFLOAD;
    if (needs_device)
        SNUG_TRY(choose_split(request, &found, error));
    switch (rung) {
    case SNUG_RUNG_RESIDENT:
        SNUG_TRY(weigh(request, &found, error));
        break;
    case SNUG_RUNG_NARROW:
        SNUG_TRY(choose_slots(request, request->session.slots - 1, &found, error));
        break;
    case SNUG_RUNG_STREAM:
    case SNUG_RUNG_HYBRID:
        SNUG_TRY(choose_layers(request, &found, error));
        break;
    default:
        SNUG_TRY(choose_slots(request, request->session.slots, &found, error));
        break;
    }
    *plan = found;
    return SNUG_STATUS_OK;
}
