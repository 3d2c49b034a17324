/* Runs the phases of a program, for one document or several.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/session_internal.h"
#include "generate/session_memory.h"

#include <stdio.h>

#define CAPACITY_STEP 256 /* positions: so that documents of like length share one region */

struct snug_session_options snug_session_options_default(void)
{
    return (struct snug_session_options){.kv_dtype = SNUG_DTYPE_F16,
                                         .vision_batch = 1,
                                         .prefill_chunk = 512,
                                         .image_token_id = -1,
                                         .slots = 1,
                                         .pictures = 1};
}

void snug_session_init(struct snug_session *session, const struct snug_model *model,
                       const struct snug_session_options *options,
                       const struct snug_allocator *allocator)
{
    SNUG_ASSERT(options->slots >= 1 && options->slots <= SNUG_MAX_PARALLEL);
    *session = (struct snug_session){.model = model, .allocator = allocator, .options = *options};
    if (!session->options.device)
        session->options.device = model->device;
    if (!session->options.ops)
        session->options.ops = snug_ops_find(NULL);
    if (session->options.image_token_id < 0)
        session->options.image_token_id = model->config.image_token_id;
    const struct snug_placing *placing = &options->placing;
    session->main_space = placing->device_count ? 1 : SNUG_SPACE_HOST;
    session->is_dry =
        placing->device_count ? placing->devices[1]->dry : session->options.device->dry;
}

static void return_regions(struct snug_session *session)
{
    const struct snug_placing *placing = &session->options.placing;
    for (int space = 1; space <= placing->device_count; space++)
        if (session->on_device[space].base)
            placing->devices[space]->give(placing->devices[space], &session->on_device[space]);
    if (placing->device_count && session->region.base)
        placing->devices[1]->give_host(placing->devices[1], &session->region);
    else if (session->region.base)
        session->options.device->give(session->options.device, &session->region);
}

static void give_region(struct snug_session *session)
{
    snug_session_count_give(session);
    return_regions(session);
}

static void drop_layout(struct snug_session *session)
{
    give_region(session);
    for (int space = 0; space < SNUG_MAX_SPACES; space++)
        snug_dry_free(&session->dry[space]);
    snug_timeline_free(&session->timeline);
    snug_placed_free(&session->placed);
    snug_program_free(&session->program);
    session->capacity = session->tiles = 0;
    session->reserved = false;
}

void snug_session_free(struct snug_session *session)
{
    drop_layout(session);
    *session = (struct snug_session){0};
}

/* The region was refused: with several slots, the remedy is fewer of them. */
static enum snug_status refused(const struct snug_session *session, enum snug_status status,
                                struct snug_error *error)
{
    char text[SNUG_ERROR_MESSAGE_BYTES];
    if (session->options.slots == 1 || !error)
        return status;
    snprintf(text, sizeof text, "%s", error->message);
    return snug_error_set(error, status, "%s, for %lld documents at once; try a lower --parallel",
                          text, (long long)session->options.slots);
}

/* Gives operands and steps their places, and lays every space out. */
static enum snug_status place(struct snug_session *session, struct snug_error *error)
{
    const struct snug_placing *placing = &session->options.placing;
    size_t operands = (size_t)session->program.operand_count,
           steps = (size_t)session->program.step_count;
    struct snug_placement placement = {.spaces = snug_placing_spaces(placing),
                                       .staging_bytes = placing->staging_bytes};
    if (!placing->device_count)
        return snug_placed_make(&session->program, &placement, session->allocator, &session->placed,
                                error);
    unsigned char *places = snug_calloc(session->allocator, operands + steps, 1);
    if (!places)
        return snug_error_memory(error, operands + steps, "the placement");
    placement.home = places;
    placement.compute = places + operands;
    snug_placing_program(placing, session->model, &session->program, places, places + operands);
    enum snug_status status = snug_placed_make(&session->program, &placement, session->allocator,
                                               &session->placed, error);
    snug_free(session->allocator, places);
    return status;
}

static enum snug_status init_dry(struct snug_session *session, struct snug_error *error)
{
    for (int space = 0; session->is_dry && space < session->placed.spaces; space++)
        SNUG_TRY(snug_dry_init(&session->dry[space], snug_placed_view(&session->placed, space),
                               session->placed.peak_bytes[space], session->allocator, error));
    return SNUG_STATUS_OK;
}

/* Builds the program for this capacity and lays it out. */
static enum snug_status make_layout(struct snug_session *session, int64_t capacity, int64_t tiles,
                                    struct snug_error *error)
{
    struct snug_program_options options = {.vision_batch = session->options.vision_batch,
                                           .tiles = tiles,
                                           .prefill_chunk = session->options.prefill_chunk,
                                           .capacity = capacity,
                                           .kv_dtype = session->options.kv_dtype,
                                           .all_logits = session->options.all_logits,
                                           .semantics = session->options.semantics,
                                           .pictures = session->options.pictures,
                                           .slots = session->options.slots};
    int main_space = session->main_space;
    enum snug_status status = snug_model_program(session->model, &options, session->allocator,
                                                 &session->program, &session->handles, error);
    if (!status)
        status = place(session, error);
    session->peak_bytes = session->placed.peak_bytes[main_space];
    session->lower_bound_bytes = session->placed.lower_bound_bytes[main_space];
    if (!status)
        status =
            snug_timeline_make(snug_placed_view(&session->placed, main_space), session->peak_bytes,
                               session->allocator, &session->timeline, error);
    if (!status)
        status = init_dry(session, error);
    if (status) {
        drop_layout(session);
        return status;
    }
    session->capacity = capacity;
    session->tiles = tiles;
    return SNUG_STATUS_OK;
}

static enum snug_status check_available(const struct snug_session *session,
                                        struct snug_error *error)
{
    char want[24], have[24], several[48] = "";
    uint64_t available = snug_memory_available();
    size_t needed = session->placed.peak_bytes[SNUG_SPACE_HOST];
    if (session->is_dry || needed <= available)
        return SNUG_STATUS_OK;
    if (session->options.slots > 1)
        snprintf(several, sizeof several, " in each of %lld slots",
                 (long long)session->options.slots);
    return snug_error_set(
        error, SNUG_STATUS_DOES_NOT_FIT,
        "a document needs %s beside the weights (%lld tokens%s, %lld tiles), but only %s "
        "is free; try %sfewer --max-tiles or --max-new-tokens",
        snug_format_bytes(needed, want), (long long)session->capacity, several,
        (long long)session->tiles, snug_format_bytes(available, have),
        session->options.slots > 1 ? "a lower --parallel, " : "");
}

/* The regions of devices; what they have pinned is the host's. */
static enum snug_status take_devices(struct snug_session *session, struct snug_error *error)
{
    const struct snug_placing *placing = &session->options.placing;
    for (int space = 1; space <= placing->device_count; space++) {
        const struct snug_device *device = placing->devices[space];
        SNUG_TRY(device->take(device, session->placed.peak_bytes[space], &session->on_device[space],
                              error));
        if (!device->dry)
            SNUG_TRY(device->touch(device, &session->on_device[space], error));
    }
    const struct snug_device *first = placing->devices[1];
    return first->take_host(first, session->placed.peak_bytes[SNUG_SPACE_HOST], &session->region,
                            error);
}

static enum snug_status take_host(struct snug_session *session, struct snug_error *error)
{
    const struct snug_device *device = session->options.device;
    SNUG_TRY(device->take(device, session->peak_bytes, &session->region, error));
    return device->touch(device, &session->region, error);
}

static void init_executor(struct snug_session *session)
{
    const struct snug_session_options *o = &session->options;
    session->executor = (struct snug_executor){.program = &session->program,
                                               .placed = &session->placed,
                                               .ops = o->ops,
                                               .pool = o->pool,
                                               .dry = session->is_dry ? session->dry : NULL,
                                               .trace = o->trace,
                                               .trace_context = o->trace_context,
                                               .allocator = session->allocator,
                                               .goes_on = o->goes_on,
                                               .goes_on_context = o->goes_on_context};
    session->executor.regions[SNUG_SPACE_HOST] = session->region.base;
    for (int space = 1; space <= o->placing.device_count; space++) {
        session->executor.devices[space] = o->placing.devices[space];
        session->executor.regions[space] = session->on_device[space].base;
    }
}

/* Takes the regions of the layout, all of them touched. */
static enum snug_status take_region(struct snug_session *session, struct snug_error *error)
{
    SNUG_TRY(check_available(session, error));
    enum snug_status status = session->options.placing.device_count ? take_devices(session, error)
                                                                    : take_host(session, error);
    if (status) {
        snug_session_count_refusal(session);
        return_regions(session);
        return refused(session, status, error);
    }
    snug_session_count_take(session);
    session->takes++;
    init_executor(session);
    return SNUG_STATUS_OK;
}

static enum snug_status check_tokens_count(int64_t tokens, struct snug_error *error)
{
    if (tokens <= SNUG_MAX_CONTEXT)
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_LIMIT,
                          "%lld tokens of prompt and answer; at most %d fit", (long long)tokens,
                          SNUG_MAX_CONTEXT);
}

enum snug_status snug_session_plan(struct snug_session *session, int64_t tokens, int64_t tiles,
                                   struct snug_error *error)
{
    SNUG_ASSERT(tokens > 0 && tiles >= 0);
    SNUG_TRY(check_tokens_count(tokens, error));
    drop_layout(session);
    return make_layout(session, snug_panel_count(tokens) * SNUG_PANEL, tiles, error);
}

enum snug_status snug_session_reserve(struct snug_session *session, int64_t tokens, int64_t tiles,
                                      struct snug_error *error)
{
    SNUG_TRY(snug_session_plan(session, tokens, tiles, error));
    enum snug_status status = take_region(session, error);
    if (status)
        drop_layout(session);
    session->reserved = !status;
    return status;
}

static bool is_idle(const struct snug_session *session)
{
    for (int i = 0; i < session->options.slots; i++)
        if (session->slots[i].in_use)
            return false;
    return true;
}

void snug_session_rest(struct snug_session *session)
{
    if (is_idle(session))
        give_region(session);
}

/* Room for a document that starts: a region as large as it needs. */
static enum snug_status make_room(struct snug_session *session, int64_t tokens, int64_t tiles,
                                  struct snug_error *error)
{
    bool fits = snug_session_fits(session, tokens, tiles);
    if (fits && session->region.base)
        return SNUG_STATUS_OK;
    if (fits)
        return take_region(session, error);
    if (session->reserved)
        return snug_error_set(error, SNUG_STATUS_DOES_NOT_FIT,
                              "the document needs %lld tokens and %lld tiles; what was planned "
                              "holds %lld and %lld",
                              (long long)tokens, (long long)tiles, (long long)session->capacity,
                              (long long)session->tiles);
    if (!is_idle(session))
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "more room is needed, but other documents are running");
    int64_t capacity = (tokens + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
    capacity = capacity < session->capacity ? session->capacity : capacity;
    tiles = tiles < session->tiles ? session->tiles : tiles;
    drop_layout(session);
    SNUG_TRY(make_layout(session, capacity, tiles, error));
    enum snug_status status = take_region(session, error);
    if (status)
        drop_layout(session);
    return status;
}

bool snug_session_fits(const struct snug_session *session, int64_t tokens, int64_t tiles)
{
    return tokens <= session->capacity && tiles <= session->tiles;
}

int snug_session_free_slot(const struct snug_session *session)
{
    for (int i = 0; i < session->options.slots; i++)
        if (!session->slots[i].in_use)
            return i;
    return -1;
}

void snug_session_end(struct snug_session *session, int slot)
{
    snug_session_count_cache(session, slot, false);
    if (slot == session->current)
        snug_session_count_features(session, false);
    session->slots[slot] = (struct snug_session_slot){0};
}

enum snug_status snug_session_begin(struct snug_session *session, int64_t tokens, int64_t tiles,
                                    struct snug_error *error)
{
    return snug_session_begin_slot(session, 0, tokens, tiles, error);
}

enum snug_status snug_session_begin_slot(struct snug_session *session, int slot, int64_t tokens,
                                         int64_t tiles, struct snug_error *error)
{
    SNUG_ASSERT(tokens > 0 && tiles >= 0 && slot >= 0 && slot < session->options.slots);
    snug_session_end(session, slot);
    SNUG_TRY(check_tokens_count(tokens, error));
    SNUG_TRY(make_room(session, tokens, tiles, error));
    session->slots[slot].in_use = true;
    session->current = slot;
    session->tiles_announced = tiles;
    session->tiles_done = session->picture_count = session->unused_tiles = 0;
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_execute(struct snug_session *session, struct snug_run *run,
                                      struct snug_error *error)
{
    snug_alloc_quiet_enter();
    enum snug_status status = snug_execute(&session->executor, run, error);
    snug_alloc_quiet_leave();
    session->runs++;
    snug_session_count_run(session, run->phase);
    return status;
}

/* Runs one chunk of the current document's prompt, whose inputs are written. */
static enum snug_status run_chunk(struct snug_session *session, int64_t units, bool sees,
                                  struct snug_error *error)
{
    struct snug_session_slot *slot = &session->slots[session->current];
    struct snug_run run = {.phase = session->handles.prefill.phase,
                           .units = units,
                           .first_position = slot->positions,
                           .slot = session->current,
                           .no_picture = !sees};
    enum snug_status status = snug_session_execute(session, &run, error);
    if (status)
        return status;
    session->last_run = run;
    if (run.kv_non_finite)
        return snug_session_blame(session, session->current, error);
    slot->positions += units;
    return SNUG_STATUS_OK;
}

static enum snug_status check_ids(const struct snug_session *session, const int32_t *ids,
                                  int64_t count, struct snug_error *error)
{
    const struct snug_model_config *config = &session->model->config;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= config->text.embedding_rows)
            return snug_error_set(error, SNUG_STATUS_SHAPE,
                                  "token id %d is outside the model's %lld rows", (int)ids[i],
                                  (long long)config->text.embedding_rows);
    return SNUG_STATUS_OK;
}

static enum snug_status check_room(const struct snug_session *session, int slot, int64_t count,
                                   struct snug_error *error)
{
    if (count > session->capacity - session->slots[slot].positions)
        return snug_error_set(error, SNUG_STATUS_SHAPE, "the sequence is longer than announced");
    return SNUG_STATUS_OK;
}

/* Writes the next chunk of the prompt, ids[done ..]: which id, which row of the features, which
 * rows of pictures. Returns whether any token of it sees a picture. */
static bool write_chunk(struct snug_session *session, const int32_t *ids, int64_t done,
                        int64_t units, int64_t *next_row)
{
    const struct snug_text_handles *h = &session->handles.prefill;
    int32_t *chunk_ids = snug_session_operand(session, h->ids),
            *image_row = snug_session_operand(session, h->image_row);
    bool any = false;
    for (int64_t i = 0; i < units; i++) {
        bool is_image = ids[done + i] == session->options.image_token_id;
        chunk_ids[i] = ids[done + i];
        image_row[i] = is_image && *next_row >= 0 ? (int32_t)(*next_row)++ : -1;
        snug_session_follow(
            session, is_image && (done + i == 0 || ids[done + i - 1] != ids[done + i]), is_image);
        any |= snug_session_write_view(session, h, i, session->current);
    }
    return any;
}

enum snug_status snug_session_prompt(struct snug_session *session, const int32_t *ids,
                                     int64_t count, const float **logits, struct snug_error *error)
{
    const struct snug_model_config *config = &session->model->config;
    const struct snug_text_handles *h = &session->handles.prefill;
    SNUG_ASSERT(count > 0 && session->slots[session->current].positions == 0);
    SNUG_TRY(check_ids(session, ids, count, error));
    SNUG_TRY(check_room(session, session->current, count, error));
    SNUG_TRY(snug_session_check_images(session, ids, count, error));
    snug_session_count_cache(session, session->current, true);
    /* Every key of the prompt is rotated with n = the prompt's length, whatever the chunk
     * (DESIGN 2.5). */
    snug_rope_frequencies(&config->text.rope, config->text.head_dim, count,
                          snug_session_operand(session, h->inv_freq));
    int64_t next_row = session->handles.features >= 0 && session->tiles_done ? 0 : -1;
    snug_session_forget_view(session);
    for (int64_t done = 0; done < count;) {
        int64_t units = count - done < session->options.prefill_chunk
                            ? count - done
                            : session->options.prefill_chunk;
        bool sees = write_chunk(session, ids, done, units, &next_row);
        SNUG_TRY(run_chunk(session, units, sees, error));
        done += units;
    }
    snug_session_count_features(session, false);
    *logits = snug_session_operand(session, h->logits);
    return SNUG_STATUS_OK;
}

/* Whether tokens up to `count` positions are rotated as those of a prompt are. */
static bool rotates_alike(const struct snug_session *session, int64_t count)
{
    const struct snug_rope_config *rope = &session->model->config.text.rope;
    return !rope->dynamic || count <= rope->max_position;
}

enum snug_status snug_session_read_on(struct snug_session *session, const int32_t *ids,
                                      int64_t count, struct snug_error *error)
{
    const struct snug_session_slot *slot = &session->slots[session->current];
    const float *logits;
    SNUG_TRY(check_ids(session, ids, count, error));
    SNUG_TRY(check_room(session, session->current, count, error));
    if (!rotates_alike(session, slot->positions + count)) {
        for (int64_t i = 0; i < count; i++)
            SNUG_TRY(snug_session_step(session, ids[i], &logits, error));
        return SNUG_STATUS_OK;
    }
    const struct snug_text_config *text = &session->model->config.text;
    int64_t chunk = session->options.prefill_chunk, units;
    snug_rope_frequencies(&text->rope, text->head_dim, slot->positions + count,
                          snug_session_operand(session, session->handles.prefill.inv_freq));
    for (int64_t done = 0; done < count; done += units) {
        bool sees = false;
        units = count - done < chunk ? count - done : chunk;
        for (int64_t i = 0; i < units; i++) {
            ((int32_t *)snug_session_operand(session, session->handles.prefill.ids))[i] =
                ids[done + i];
            ((int32_t *)snug_session_operand(session, session->handles.prefill.image_row))[i] = -1;
            sees |=
                snug_session_write_view(session, &session->handles.prefill, i, session->current);
        }
        SNUG_TRY(run_chunk(session, units, sees, error));
    }
    return SNUG_STATUS_OK;
}

/* Writes a row of the decode phase's inputs: the next token of a slot, at its position.
 * Returns whether it sees a picture. */
static bool write_row(struct snug_session *session, int64_t row, int slot, int32_t id,
                      int64_t position)
{
    const struct snug_text_config *text = &session->model->config.text;
    const struct snug_program_handles *h = &session->handles;
    ((int32_t *)snug_session_operand(session, h->decode.ids))[row] = id;
    ((int32_t *)snug_session_operand(session, h->decode.image_row))[row] = -1;
    ((int32_t *)snug_session_operand(session, h->decode.slots))[row] = slot;
    ((int32_t *)snug_session_operand(session, h->decode.positions))[row] = (int32_t)position;
    snug_rope_frequencies(&text->rope, text->head_dim, position + 1,
                          (float *)snug_session_operand(session, h->decode.inv_freq) +
                              row * text->head_dim / 2);
    return snug_session_write_view(session, &h->decode, row, slot);
}

static enum snug_status check_tokens(const struct snug_session *session,
                                     const struct snug_session_token *tokens, int64_t count,
                                     struct snug_error *error)
{
    bool taken[SNUG_MAX_PARALLEL] = {false};
    SNUG_ASSERT(count >= 1 && count <= session->options.slots);
    for (int64_t i = 0; i < count; i++) {
        int slot = tokens[i].slot;
        SNUG_ASSERT(slot >= 0 && slot < session->options.slots && !taken[slot]);
        SNUG_ASSERT(session->slots[slot].in_use && session->slots[slot].positions > 0);
        taken[slot] = true;
        SNUG_TRY(check_ids(session, &tokens[i].id, 1, error));
        SNUG_TRY(check_room(session, slot, 1, error));
    }
    return SNUG_STATUS_OK;
}

static int64_t furthest(const struct snug_session *session, const struct snug_session_token *tokens,
                        int64_t count)
{
    int64_t most = 0;
    for (int64_t i = 0; i < count; i++)
        if (session->slots[tokens[i].slot].positions > most)
            most = session->slots[tokens[i].slot].positions;
    return most;
}

enum snug_status snug_session_step_together(struct snug_session *session,
                                            struct snug_session_token *tokens, int64_t count,
                                            const float **logits, struct snug_error *error)
{
    SNUG_TRY(check_tokens(session, tokens, count, error));
    bool sees = false;
    for (int64_t i = 0; i < count; i++)
        sees |= write_row(session, i, tokens[i].slot, tokens[i].id,
                          session->slots[tokens[i].slot].positions);
    struct snug_run run = {.phase = session->handles.decode.phase,
                           .units = count,
                           .first_position = furthest(session, tokens, count),
                           .no_picture = !sees};
    SNUG_TRY(snug_session_execute(session, &run, error));
    for (int64_t i = 0; i < count; i++) {
        session->slots[tokens[i].slot].positions++;
        tokens[i].non_finite = run.non_finite_rows[i];
        session->last[i] = tokens[i];
    }
    session->last_run = run;
    *logits = snug_session_operand(session, session->handles.decode.logits);
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_step(struct snug_session *session, int32_t id, const float **logits,
                                   struct snug_error *error)
{
    struct snug_session_token token = {.slot = session->current, .id = id};
    SNUG_TRY(snug_session_step_together(session, &token, 1, logits, error));
    return token.non_finite ? snug_session_blame(session, token.slot, error) : SNUG_STATUS_OK;
}

enum snug_status snug_session_blame(struct snug_session *session, int slot,
                                    struct snug_error *error)
{
    const struct snug_run *last = &session->last_run;
    struct snug_run run = {.phase = last->phase,
                           .units = last->units,
                           .first_position = last->first_position,
                           .slot = last->slot,
                           .no_picture = last->no_picture};
    bool in_cache = last->non_finite_rows[0];
    /* A chunk's inputs still lie where it read them; of a step one row is written again. Its keys
     * and values are stored once more where they are. */
    if (last->phase == session->handles.decode.phase) {
        int64_t row = 0;
        while (row < last->units && session->last[row].slot != slot)
            row++;
        SNUG_ASSERT(row < last->units);
        in_cache = session->last[row].non_finite;
        write_row(session, 0, slot, session->last[row].id, session->slots[slot].positions - 1);
        run.units = 1;
    }
    return snug_execute_blame(
        &session->executor, &run,
        in_cache ? "a key or value is not finite" : "the logits are not finite", error);
}

/* Rows in the caches of slot 0's cross-attention layers. */
static int64_t cross_rows(const struct snug_session *session)
{
    return session->options.every_tile ? session->tiles * session->model->config.rows_per_tile
                                       : session->slots[0].cross_rows;
}

void snug_session_cache(const struct snug_session *session, int layer, bool values, float *out)
{
    const struct snug_text_config *t = &session->model->config.text;
    char name[32];
    snprintf(name, sizeof name, "text.%c.%d", values ? 'v' : 'k', layer);
    int index = snug_program_find(&session->program, name);
    SNUG_ASSERT(index >= 0);
    enum snug_dtype dtype = session->program.operands[index].dtype;
    const unsigned char *cache = snug_session_operand(session, index);
    bool cross = t->cross_layer[layer];
    int64_t hd = t->head_dim;
    int64_t n = cross ? cross_rows(session) : session->slots[0].positions;
    int64_t capacity =
        cross ? session->tiles * session->model->config.rows_per_tile : session->capacity;
    capacity = snug_panel_count(capacity) * SNUG_PANEL;
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
