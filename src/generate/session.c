/* Runs the phases of a program for one sequence.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/session.h"

#include <math.h>
#include <stdio.h>

#define CAPACITY_STEP 256 /* positions: so that documents of like length share one region */

struct snug_session_options snug_session_options_default(void)
{
    return (struct snug_session_options){
        .kv_dtype = SNUG_DTYPE_F16, .vision_batch = 1, .prefill_chunk = 512, .image_token_id = -1};
}

void snug_session_init(struct snug_session *session, const struct snug_model *model,
                       const struct snug_session_options *options,
                       const struct snug_allocator *allocator)
{
    *session = (struct snug_session){.model = model, .allocator = allocator, .options = *options};
    if (!session->options.ops)
        session->options.ops = snug_ops_find(NULL);
    if (session->options.image_token_id < 0)
        session->options.image_token_id = model->config.image_token_id;
}

static void drop_layout(struct snug_session *session)
{
    if (session->model)
        session->model->device->give(session->model->device, &session->region);
    snug_program_free(&session->program);
    session->capacity = session->tiles = 0;
}

void snug_session_free(struct snug_session *session)
{
    drop_layout(session);
    *session = (struct snug_session){0};
}

/* Builds the program for this capacity, lays it out, takes the region. */
static enum snug_status make_layout(struct snug_session *session, int64_t capacity, int64_t tiles,
                                    struct snug_error *error)
{
    struct snug_program_options options = {.vision_batch = session->options.vision_batch,
                                           .tiles = tiles,
                                           .prefill_chunk = session->options.prefill_chunk,
                                           .capacity = capacity,
                                           .kv_dtype = session->options.kv_dtype,
                                           .all_logits = session->options.all_logits};
    const struct snug_device *device = session->model->device;
    enum snug_status status = snug_model_program(session->model, &options, session->allocator,
                                                 &session->program, &session->handles, error);
    if (!status)
        status = snug_layout_make(&session->program, &session->peak_bytes,
                                  &session->lower_bound_bytes, error);
    uint64_t available = snug_memory_available();
    if (!status && session->peak_bytes > available) {
        char want[24], have[24];
        status = snug_error_set(
            error, SNUG_STATUS_DOES_NOT_FIT,
            "this document needs %s beside the weights (%lld tokens, %lld tiles), but only %s "
            "is free; try fewer --max-tiles or --max-new-tokens",
            snug_format_bytes(session->peak_bytes, want), (long long)capacity, (long long)tiles,
            snug_format_bytes(available, have));
    }
    if (!status)
        status = device->take(device, session->peak_bytes, &session->region, error);
    if (status) {
        drop_layout(session);
        return status;
    }
    session->capacity = capacity;
    session->tiles = tiles;
    session->executor = (struct snug_executor){.program = &session->program,
                                               .ops = session->options.ops,
                                               .pool = session->options.pool,
                                               .region = session->region.base,
                                               .trace = session->options.trace,
                                               .trace_context = session->options.trace_context};
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_begin(struct snug_session *session, int64_t tokens, int64_t tiles,
                                    struct snug_error *error)
{
    SNUG_ASSERT(tokens > 0 && tiles >= 0);
    if (tokens > SNUG_MAX_CONTEXT)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "%lld tokens of prompt and answer; at most %d fit", (long long)tokens,
                              SNUG_MAX_CONTEXT);
    session->positions = session->tiles_done = 0;
    if (tokens <= session->capacity && tiles <= session->tiles)
        return SNUG_STATUS_OK;
    int64_t capacity = (tokens + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
    if (capacity < session->capacity)
        capacity = session->capacity;
    if (tiles < session->tiles)
        tiles = session->tiles;
    drop_layout(session);
    return make_layout(session, capacity, tiles, error);
}

static void *operand(const struct snug_session *session, int index)
{
    return snug_executor_operand(&session->executor, index);
}

static bool all_finite(const float *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(data[i]))
            return false;
    return true;
}

enum snug_status snug_session_see(struct snug_session *session, const float *pixels, int64_t tiles,
                                  struct snug_error *error)
{
    if (tiles < 0 || tiles > session->tiles - session->tiles_done ||
        (tiles && session->handles.vision < 0))
        return snug_error_set(error, SNUG_STATUS_SHAPE, "more tiles than the document announced");
    const struct snug_model_config *config = &session->model->config;
    int64_t side = config->vision.image_side, tile = 3 * side * side,
            rows = config->tokens_per_tile;
    for (int64_t done = 0; done < tiles;) {
        int64_t units = tiles - done < session->options.vision_batch
                            ? tiles - done
                            : session->options.vision_batch;
        memcpy(operand(session, session->handles.pixels), pixels + done * tile,
               (size_t)(units * tile) * sizeof(float));
        struct snug_run run = {.phase = session->handles.vision,
                               .units = units,
                               .first_row = session->tiles_done * rows};
        enum snug_status status = snug_execute(&session->executor, &run, error);
        if (status)
            return status;
        const float *features = operand(session, session->handles.features);
        int64_t width = config->text.hidden;
        if (!all_finite(features + run.first_row * width, units * rows * width))
            return snug_execute_blame(&session->executor, &run,
                                      "the picture's features are not finite", error);
        done += units;
        session->tiles_done += units;
    }
    return SNUG_STATUS_OK;
}

/* Runs one chunk or step whose inputs are written. */
static enum snug_status run_text(struct snug_session *session, int phase, int64_t units,
                                 struct snug_error *error)
{
    struct snug_run run = {.phase = phase, .units = units, .first_position = session->positions};
    enum snug_status status = snug_execute(&session->executor, &run, error);
    if (status)
        return status;
    if (run.kv_non_finite)
        return snug_execute_blame(&session->executor, &run, "a key or value is not finite", error);
    session->positions += units;
    session->last_phase = phase;
    session->last_units = units;
    return SNUG_STATUS_OK;
}

static enum snug_status check_ids(const struct snug_session *session, const int32_t *ids,
                                  int64_t count, struct snug_error *error)
{
    const struct snug_model_config *config = &session->model->config;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= config->text.vocabulary)
            return snug_error_set(error, SNUG_STATUS_SHAPE,
                                  "token id %d is outside the model's %lld rows", (int)ids[i],
                                  (long long)config->text.vocabulary);
    return SNUG_STATUS_OK;
}

static enum snug_status check_room(const struct snug_session *session, int64_t count,
                                   struct snug_error *error)
{
    if (count > session->capacity - session->positions)
        return snug_error_set(error, SNUG_STATUS_SHAPE, "the sequence is longer than announced");
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_prompt(struct snug_session *session, const int32_t *ids,
                                     int64_t count, const float **logits, struct snug_error *error)
{
    const struct snug_model_config *config = &session->model->config;
    const struct snug_program_handles *h = &session->handles;
    int64_t image_tokens = 0, feature_rows = session->tiles_done * config->tokens_per_tile,
            next_row = 0;
    SNUG_ASSERT(count > 0 && session->positions == 0);
    enum snug_status status = check_ids(session, ids, count, error);
    if (!status)
        status = check_room(session, count, error);
    if (status)
        return status;
    for (int64_t i = 0; i < count; i++)
        image_tokens += ids[i] == session->options.image_token_id;
    if (feature_rows && image_tokens != feature_rows)
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "the prompt has %lld image tokens, the pictures %lld rows",
                              (long long)image_tokens, (long long)feature_rows);
    /* Every key of the prompt is rotated with n = the prompt's length, whatever the chunk
     * (DESIGN 2.5). */
    snug_rope_frequencies(&config->text.rope, config->text.head_dim, count,
                          operand(session, h->prefill_inv_freq));
    for (int64_t done = 0; done < count;) {
        int64_t units = count - done < session->options.prefill_chunk
                            ? count - done
                            : session->options.prefill_chunk;
        int32_t *chunk_ids = operand(session, h->prefill_ids),
                *image_row = operand(session, h->prefill_image_row);
        for (int64_t i = 0; i < units; i++) {
            chunk_ids[i] = ids[done + i];
            image_row[i] = feature_rows && ids[done + i] == session->options.image_token_id
                               ? (int32_t)next_row++
                               : -1;
        }
        status = run_text(session, h->prefill, units, error);
        if (status)
            return status;
        done += units;
    }
    *logits = operand(session, h->prefill_logits);
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_step(struct snug_session *session, int32_t id, const float **logits,
                                   struct snug_error *error)
{
    const struct snug_text_config *text = &session->model->config.text;
    const struct snug_program_handles *h = &session->handles;
    enum snug_status status = check_ids(session, &id, 1, error);
    if (!status)
        status = check_room(session, 1, error);
    if (status)
        return status;
    snug_rope_frequencies(&text->rope, text->head_dim, session->positions + 1,
                          operand(session, h->decode_inv_freq));
    *(int32_t *)operand(session, h->decode_ids) = id;
    *(int32_t *)operand(session, h->decode_image_row) = -1;
    status = run_text(session, h->decode, 1, error);
    if (!status)
        *logits = operand(session, h->decode_logits);
    return status;
}

enum snug_status snug_session_blame(struct snug_session *session, struct snug_error *error)
{
    /* The inputs of the last run still lie where it read them; it is run again at its position. */
    struct snug_run run = {.phase = session->last_phase,
                           .units = session->last_units,
                           .first_position = session->positions - session->last_units};
    return snug_execute_blame(&session->executor, &run, "the logits are not finite", error);
}

void snug_session_cache(const struct snug_session *session, int layer, bool values, float *out)
{
    const struct snug_text_config *t = &session->model->config.text;
    char name[32];
    snprintf(name, sizeof name, "text.%c.%d", values ? 'v' : 'k', layer);
    int index = snug_program_find(&session->program, name);
    SNUG_ASSERT(index >= 0);
    enum snug_dtype dtype = session->program.operands[index].dtype;
    const unsigned char *cache = operand(session, index);
    int64_t capacity = session->capacity, hd = t->head_dim, n = session->positions;
    int64_t head_elements =
        values ? snug_v_cache_elements(capacity, hd) : snug_k_cache_elements(capacity, hd);
    for (int64_t head = 0; head < t->kv_heads; head++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t d = 0; d < hd; d++) {
                int64_t at = values ? snug_panel_index(d, p, capacity) : snug_panel_index(p, d, hd);
                snug_widen(dtype,
                           cache + (size_t)(head * head_elements + at) * snug_dtype_size(dtype), 1,
                           &out[(head * n + p) * hd + d]);
            }
}
