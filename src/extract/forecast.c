/* Consumers of memory, from a program that is laid out and not run.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/forecast.h"

static size_t round_up(size_t bytes, size_t granularity)
{
    return (bytes + granularity - 1) / granularity * granularity;
}

static void add(struct snug_consumers *list, const char *name, size_t bytes, size_t alone_bytes)
{
    SNUG_ASSERT(list->count < SNUG_MAX_CONSUMERS);
    list->items[list->count++] = (struct snug_consumer){name, bytes, alone_bytes};
}

static size_t sum(const struct snug_consumers *list)
{
    size_t bytes = 0;
    for (int i = 0; i < list->count; i++)
        bytes += list->items[i].bytes;
    return bytes;
}

/* A space's weights by part. Their places in the region are aligned: the rest is "alignment". */
static void add_weights(const struct snug_forecast_request *request, int space,
                        struct snug_consumers *list)
{
    static const char *const names[SNUG_PART_COUNT] = {"weights.vision", "weights.projector",
                                                       "weights.text", "weights.lm_head"};
    size_t bytes[SNUG_MAX_SPACES][SNUG_PART_COUNT];
    snug_placing_part_bytes(&request->placing, request->model, bytes);
    for (int part = 0; part < SNUG_PART_COUNT; part++)
        add(list, names[part], bytes[space][part], bytes[space][part]);
}

static const char *scratch_name(const char *phase)
{
    static const char *const names[] = {"scratch.vision", "scratch.projector", "scratch.prefill",
                                        "scratch.decode"};
    size_t i = 0;
    while (i + 1 < sizeof names / sizeof *names && strcmp(names[i] + 8, phase))
        i++;
    return names[i];
}

/* What is alive when the region is fullest. */
static void add_region(const struct snug_timeline *timeline, struct snug_consumers *list)
{
    const struct snug_program *program = timeline->program;
    const struct snug_moment *peak = &timeline->moments[timeline->peak_step];
    for (int p = 0; p < program->phase_count; p++) {
        const struct snug_phase *phase = &program->phases[p];
        bool fullest = timeline->peak_step >= phase->first_step &&
                       timeline->peak_step < phase->first_step + phase->step_count;
        add(list, scratch_name(phase->name), fullest ? peak->bytes[SNUG_USE_SCRATCH] : 0,
            timeline->phase_scratch_bytes[p]);
    }
    add(list, "features", peak->bytes[SNUG_USE_FEATURES], timeline->own_bytes[SNUG_USE_FEATURES]);
    add(list, "kv_cache", peak->bytes[SNUG_USE_CACHE], timeline->own_bytes[SNUG_USE_CACHE]);
    add(list, "staging", peak->bytes[SNUG_USE_STAGING], timeline->own_bytes[SNUG_USE_STAGING]);
}

/* What the process takes whatever the device. Beside one, pictures are kept until their answers are
 * there, in case they must be looked at again. */
static void add_host(const struct snug_forecast_request *request, struct snug_consumers *list)
{
    int64_t side = request->model->config.vision.image_side;
    size_t kept = (size_t)((request->parallel - 1) * request->tiles * 3 * side * side);
    kept = request->placing.device_count ? kept : 0;
    add(list, "document", request->document_bytes, request->document_bytes);
    if (kept)
        add(list, "pictures", kept, kept);
    add(list, "tokenizer", request->tokenizer_bytes, request->tokenizer_bytes);
    size_t process = SNUG_PROCESS_BYTES + (size_t)request->threads * SNUG_THREAD_BYTES;
    add(list, "runtime", process + request->embedded_bytes, process + request->embedded_bytes);
}

/* Weights and region of a space, and what rounding adds to them. Errors: MEMORY. */
static enum snug_status add_space(const struct snug_forecast_request *request,
                                  const struct snug_session *session, int space,
                                  struct snug_consumers *list, size_t *lower_bound,
                                  struct snug_error *error)
{
    struct snug_timeline timeline;
    size_t weights[SNUG_MAX_SPACES];
    size_t grain = space ? request->granularity : 4096;
    SNUG_TRY(snug_timeline_make(snug_placed_view(&session->placed, space),
                                session->placed.peak_bytes[space], session->allocator, &timeline,
                                error));
    snug_placing_weight_bytes(&request->placing, request->model, weights);
    add_weights(request, space, list);
    add_region(&timeline, list);
    snug_timeline_free(&timeline);
    size_t taken =
        round_up(weights[space], grain) + round_up(session->placed.peak_bytes[space], grain);
    size_t named = sum(list);
    add(list, "alignment", taken - named, taken - named);
    *lower_bound =
        round_up(weights[space], grain) + round_up(session->placed.lower_bound_bytes[space], grain);
    return SNUG_STATUS_OK;
}

/* Most bytes of the host while weights go to devices: its own, one that is packed, its source. */
static size_t bounce_bytes(const struct snug_model *model)
{
    size_t most = 0;
    for (size_t i = 0; i < model->weight_count && !model->converted; i++) {
        const struct snug_weight *w = &model->weights[i];
        most = w->bytes + w->source_bytes > most ? w->bytes + w->source_bytes : most;
    }
    return most;
}

static size_t kv_bytes(const struct snug_session *session)
{
    size_t bytes = 0;
    for (int i = 0; i < session->program.operand_count; i++)
        if (session->program.operands[i].cache.heads)
            bytes += round_up(session->program.operands[i].bytes, SNUG_REGION_ALIGNMENT);
    return bytes / (size_t)session->options.slots;
}

static enum snug_status add_all(const struct snug_forecast_request *request,
                                const struct snug_session *session, size_t load_bytes,
                                struct snug_forecast *f, struct snug_error *error)
{
    const struct snug_model *model = request->model;
    int devices = request->placing.device_count;
    size_t bound, held[SNUG_MAX_SPACES];
    f->weights_bytes = model->weights_bytes;
    f->region_bytes = session->peak_bytes;
    f->region_lower_bound_bytes = session->lower_bound_bytes;
    f->capacity = session->capacity;
    f->kv_bytes = kv_bytes(session);
    f->step_bytes = snug_model_step_bytes(model) + f->kv_bytes;
    snug_placing_weight_bytes(&request->placing, model, held);
    struct snug_consumers *host = devices ? &f->host : &f->device;
    SNUG_TRY(add_space(request, session, SNUG_SPACE_HOST, host, &bound, error));
    /* Sources of weights lie in memory only while region and pages do not. */
    size_t load = devices ? held[SNUG_SPACE_HOST] + bounce_bytes(model) : load_bytes;
    size_t running = sum(host) + request->document_bytes, before = sum(host);
    load = round_up(load, 4096);
    add(host, "loading", load > running ? load - running : 0, load > running ? load - running : 0);
    add_host(request, host);
    f->lower_bound_bytes = bound + sum(host) - before;
    if (devices)
        SNUG_TRY(add_space(request, session, 1, &f->device, &f->lower_bound_bytes, error));
    if (devices > 1)
        SNUG_TRY(add_space(request, session, 2, &f->second, &bound, error));
    f->peak_bytes = sum(&f->device);
    f->second_bytes = sum(&f->second);
    f->host_bytes = sum(&f->host);
    return SNUG_STATUS_OK;
}

void snug_forecast_on_device(struct snug_forecast_request *request, size_t granularity)
{
    request->placing =
        (struct snug_placing){.devices = {NULL, snug_device_dry()}, .device_count = 1};
    request->granularity = granularity;
}

enum snug_status snug_forecast_session(const struct snug_forecast_request *request,
                                       const struct snug_allocator *allocator,
                                       struct snug_session *out, struct snug_error *error)
{
    struct snug_session_options options = snug_session_options_default();
    options.device = snug_device_dry();
    options.placing = request->placing;
    options.kv_dtype = request->kv_dtype;
    options.slots = request->parallel;
    if (request->vision_batch)
        options.vision_batch = request->vision_batch;
    if (request->prefill_chunk)
        options.prefill_chunk = request->prefill_chunk;
    snug_session_init(out, request->model, &options, allocator);
    return snug_session_plan(out, request->tokens, request->tiles, error);
}

enum snug_status snug_forecast_make(const struct snug_forecast_request *request,
                                    const struct snug_allocator *allocator,
                                    struct snug_forecast *out, struct snug_error *error)
{
    struct snug_session session;
    size_t load_bytes;
    *out = (struct snug_forecast){0};
    SNUG_TRY(snug_model_load_bytes(request->model, &load_bytes, error));
    enum snug_status status = snug_forecast_session(request, allocator, &session, error);
    if (!status)
        status = add_all(request, &session, load_bytes, out, error);
    snug_session_free(&session);
    return status;
}

/* ---- the most that fits ---- */

enum member { DOCUMENTS, TILES, TOKENS };

static struct snug_forecast_request with(const struct snug_forecast_request *request,
                                         enum member member, int64_t value)
{
    struct snug_forecast_request changed = *request;
    switch (member) {
    case DOCUMENTS:
        changed.parallel = value;
        break;
    case TILES:
        changed.tokens += (value - changed.tiles) * changed.model->config.tokens_per_tile;
        changed.tiles = value;
        break;
    case TOKENS:
        changed.tokens = value;
        break;
    }
    return changed;
}

static bool is_within(const struct snug_forecast *f, const struct snug_forecast_request *request,
                      size_t budget)
{
    size_t host = request->host_budget_bytes, second = request->second_budget_bytes;
    return f->peak_bytes <= budget && (!host || f->host_bytes <= host) &&
           (!second || f->second_bytes <= second);
}

/* The largest value in [low, high], a multiple of low, that fits; 0 if low does not. What is taken
 * never falls with the value. */
static enum snug_status most(const struct snug_forecast_request *request, enum member member,
                             int64_t low, int64_t high, size_t budget,
                             const struct snug_allocator *allocator, int64_t *out,
                             struct snug_error *error)
{
    int64_t good = 0, bad = high / low + 1;
    while (bad - good > 1) {
        int64_t middle = good + (bad - good) / 2;
        struct snug_forecast_request changed = with(request, member, middle * low);
        struct snug_forecast forecast;
        if (changed.tokens > SNUG_MAX_CONTEXT) {
            bad = middle;
            continue;
        }
        SNUG_TRY(snug_forecast_make(&changed, allocator, &forecast, error));
        *(is_within(&forecast, &changed, budget) ? &good : &bad) = middle;
    }
    *out = good * low;
    return SNUG_STATUS_OK;
}

enum snug_status snug_forecast_most_documents(const struct snug_forecast_request *request,
                                              size_t budget_bytes,
                                              const struct snug_allocator *allocator, int64_t *out,
                                              struct snug_error *error)
{
    return most(request, DOCUMENTS, 1, SNUG_MAX_PARALLEL, budget_bytes, allocator, out, error);
}

enum snug_status snug_forecast_most_tiles(const struct snug_forecast_request *request,
                                          size_t budget_bytes,
                                          const struct snug_allocator *allocator, int64_t *out,
                                          struct snug_error *error)
{
    const struct snug_model_config *config = &request->model->config;
    int64_t high =
        config->family == SNUG_FAMILY_LLAMA_VISION ? config->vision.max_tiles : SNUG_MAX_TILES + 1;
    return most(request, TILES, 1, high, budget_bytes, allocator, out, error);
}

enum snug_status snug_forecast_most_tokens(const struct snug_forecast_request *request,
                                           size_t budget_bytes,
                                           const struct snug_allocator *allocator, int64_t *out,
                                           struct snug_error *error)
{
    return most(request, TOKENS, SNUG_PANEL, SNUG_MAX_CONTEXT, budget_bytes, allocator, out, error);
}
