/* Looking at pictures, and who sees them afterwards.
 *
 * InternVL's tiles go through the tower in batches of any size, and their features take the places
 * of tokens. Llama's tower looks at all tiles of a picture together; the text model reads it in
 * cross-attention layers, and a token sees the picture that was announced last (with others that
 * were announced right before it).
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/session_internal.h"
#include "generate/session_memory.h"

#include <string.h>

static bool is_llama(const struct snug_session *session)
{
    return session->model->config.family == SNUG_FAMILY_LLAMA_VISION;
}

/* `count` tiles from `first` on into the vision phase's input: floats as they are, or bytes
 * normalised on the way. */
static void put_tiles(struct snug_session *session, const struct snug_picture *picture,
                      int64_t first, int64_t count)
{
    const struct snug_tile_options *options = &session->model->config.tiles;
    int64_t side = session->model->config.vision.image_side, tile = 3 * side * side;
    float *input = snug_session_operand(session, session->handles.pixels);
    if (picture->pixels)
        memcpy(input, picture->pixels + first * tile, (size_t)(count * tile) * sizeof(float));
    for (int64_t i = 0; !picture->pixels && picture->bytes && i < count; i++)
        snug_tile_normalise(picture->bytes + (first + i) * tile, options, input + i * tile);
}

/* ---- InternVL ---- */

static enum snug_status see_batches(struct snug_session *session,
                                    const struct snug_picture *picture, struct snug_error *error)
{
    const struct snug_model_config *config = &session->model->config;
    int64_t rows = config->rows_per_tile, batch = session->options.vision_batch, units;
    for (int64_t done = 0; done < picture->tiles; done += units) {
        units = picture->tiles - done < batch ? picture->tiles - done : batch;
        put_tiles(session, picture, done, units);
        struct snug_run run = {.phase = session->handles.vision,
                               .units = units,
                               .first_row = session->tiles_done * rows};
        SNUG_TRY(snug_session_execute(session, &run, error));
        if (run.state_non_finite)
            return snug_execute_blame(&session->executor, &run,
                                      "the picture's features are not finite", error);
        session->tiles_done += units;
    }
    return SNUG_STATUS_OK;
}

/* ---- Llama ---- */

/* Which of the tower's slots a picture takes, and which are computed. */
struct tower {
    int64_t used, computed; /* tiles; the used ones come first */
    int64_t id;             /* of the aspect ratio */
};

/* The slots that are not used hold the same, unless the tables of positions tell them apart: then
 * one of them is computed for all. */
static enum snug_status choose_tower(const struct snug_session *session,
                                     const struct snug_picture *picture, struct tower *out,
                                     struct snug_error *error)
{
    int64_t slots = session->model->config.vision.max_tiles, used = picture->tiles;
    *out = (struct tower){.used = used, .computed = slots};
    out->id = snug_tile_aspect_id(picture->rows, picture->columns, slots);
    if (out->id < 1 || picture->rows * picture->columns != used)
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "a picture of %lld tiles in %lld rows and %lld columns is none of "
                              "the model's shapes",
                              (long long)used, (long long)picture->rows,
                              (long long)picture->columns);
    bool alike = session->model->alike_ratios >> out->id & 1u;
    if (used < slots && alike && !session->options.every_tile)
        out->computed = used + 1;
    return SNUG_STATUS_OK;
}

/* The vision phase's inputs: pixels, zero where there is no tile, and rows of tables. */
static void write_tower(struct snug_session *session, const struct snug_picture *picture,
                        const struct tower *tower)
{
    const struct snug_model_config *config = &session->model->config;
    const struct snug_program_handles *h = &session->handles;
    int64_t n = config->rows_per_tile, slots = config->vision.max_tiles;
    int64_t side = config->vision.image_side, tile = 3 * side * side;
    int32_t *pre = snug_session_operand(session, h->pre_rows),
            *rows = snug_session_operand(session, h->tile_rows),
            *post = snug_session_operand(session, h->post_rows);
    put_tiles(session, picture, 0, tower->used);
    memset((float *)snug_session_operand(session, h->pixels) + tower->used * tile, 0,
           (size_t)((tower->computed - tower->used) * tile) * sizeof(float));
    for (int64_t t = 0; t < tower->computed; t++) {
        int32_t slot = (int32_t)(tower->id * slots + t);
        for (int64_t i = 0; i < n; i++) {
            rows[t * n + i] = (int32_t)(slot * n + i);
            post[t * n + i] = slot;
        }
        for (int64_t i = 0; i < n - 1; i++)
            pre[t * (n - 1) + i] = slot;
    }
    for (int64_t t = 0; t < slots; t++)
        post[tower->computed * n + t] = (int32_t)(tower->id * slots + t);
}

/* Which of the tower's rows each key is: tiles in order, then what pads each. */
static void write_keys(struct snug_session *session, const struct tower *tower)
{
    const struct snug_model_config *config = &session->model->config;
    int64_t n = config->rows_per_tile, slots = config->vision.max_tiles;
    int64_t pads = snug_padded_rows_per_tile(config) - n;
    int32_t *key = snug_session_operand(session, session->handles.key_rows);
    for (int64_t t = 0; t < slots; t++) {
        int64_t from = t < tower->computed ? t : tower->used;
        for (int64_t i = 0; i < n; i++)
            *key++ = (int32_t)(from * n + i);
    }
    for (int64_t t = 0; t < slots; t++)
        for (int64_t i = 0; i < pads; i++)
            *key++ = (int32_t)(tower->computed * n + t);
}

/* Tiles [first, first + count) of what the tower made, to keys and values from row `to` on. */
static enum snug_status project(struct snug_session *session, int64_t first, int64_t count,
                                int64_t to, struct snug_error *error)
{
    const struct snug_operand *states = &session->program.operands[session->handles.states];
    int64_t elements = session->model->config.rows_per_tile * states->cols;
    float *data = snug_session_operand(session, session->handles.states);
    SNUG_ASSERT(!first || !session->options.placing.device_count); /* every_tile: on the host */
    if (first)
        memmove(data, data + first * elements, (size_t)(count * elements) * sizeof *data);
    struct snug_run run = {.phase = session->handles.projector,
                           .units = count,
                           .first_position = to,
                           .slot = session->current};
    SNUG_TRY(snug_session_execute(session, &run, error));
    if (run.kv_non_finite)
        return snug_execute_blame(&session->executor, &run,
                                  "a picture's key or value is not finite", error);
    return SNUG_STATUS_OK;
}

static enum snug_status see_whole(struct snug_session *session, const struct snug_picture *picture,
                                  struct snug_error *error)
{
    bool dry = session->is_dry;
    int64_t n = session->model->config.rows_per_tile;
    struct snug_session_slot *slot = &session->slots[session->current];
    struct tower tower;
    if (session->picture_count == session->options.pictures ||
        session->picture_count == SNUG_MAX_PICTURES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "more than %lld pictures in a document",
                              (long long)session->picture_count);
    SNUG_TRY(choose_tower(session, picture, &tower, error));
    if (!dry) {
        write_tower(session, picture, &tower);
        write_keys(session, &tower);
    }
    struct snug_run run = {
        .phase = session->handles.vision, .units = tower.computed, .valid_rows = tower.used * n};
    SNUG_TRY(snug_session_execute(session, &run, error));
    if (run.state_non_finite)
        return snug_execute_blame(&session->executor, &run, "the picture's states are not finite",
                                  error);
    int64_t to = session->tiles_done * n;
    SNUG_TRY(project(session, 0, tower.used, to, error));
    session->tiles_done += tower.used;
    slot->cross_rows = to + tower.used * n;
    session->picture_ends[session->picture_count++] = slot->cross_rows;
    if (!session->options.every_tile || tower.used == tower.computed)
        return SNUG_STATUS_OK;
    /* Tests: rows of other slots from the end downwards, behind the rows that tokens see. */
    session->unused_tiles += tower.computed - tower.used;
    return project(session, tower.used, tower.computed - tower.used,
                   (session->tiles - session->unused_tiles) * n, error);
}

/* ---- both ---- */

enum snug_status snug_session_see_picture(struct snug_session *session,
                                          const struct snug_picture *picture,
                                          struct snug_error *error)
{
    if (picture->tiles < 0 || picture->tiles > session->tiles_announced - session->tiles_done ||
        (picture->tiles && session->handles.vision < 0))
        return snug_error_set(error, SNUG_STATUS_SHAPE, "more tiles than the document announced");
    if (!picture->tiles)
        return SNUG_STATUS_OK;
    snug_session_count_features(session, true);
    if (!is_llama(session))
        return see_batches(session, picture, error);
    enum snug_status status = see_whole(session, picture, error);
    snug_session_count_features(session, false); /* they are keys and values now */
    return status;
}

enum snug_status snug_session_see(struct snug_session *session, const float *pixels, int64_t tiles,
                                  struct snug_error *error)
{
    const struct snug_picture picture = {.tiles = tiles, .pixels = pixels};
    return snug_session_see_picture(session, &picture, error);
}

/* ---- who sees them ---- */

enum snug_status snug_session_check_images(const struct snug_session *session, const int32_t *ids,
                                           int64_t count, struct snug_error *error)
{
    int64_t tokens = 0, rows = session->tiles_done * session->model->config.tokens_per_tile;
    for (int64_t i = 0; i < count; i++)
        tokens += ids[i] == session->options.image_token_id;
    if (is_llama(session) && tokens != session->picture_count)
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "the prompt has %lld image tokens for %lld pictures",
                              (long long)tokens, (long long)session->picture_count);
    if (!is_llama(session) && rows && tokens != rows)
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "the prompt has %lld image tokens, the pictures %lld rows",
                              (long long)tokens, (long long)rows);
    return SNUG_STATUS_OK;
}

/* Before the first picture nothing is seen; in the other semantics everything is, by attention. */
void snug_session_forget_view(struct snug_session *session)
{
    struct snug_session_slot *slot = &session->slots[session->current];
    slot->view = (struct snug_cross_view){0};
    session->next_picture = 0;
    if (session->options.semantics != SNUG_SEMANTICS_META && session->picture_count)
        slot->view.count = (int32_t)(session->tiles * session->model->config.rows_per_tile);
}

void snug_session_follow(struct snug_session *session, bool first_of_run, bool is_image)
{
    struct snug_cross_view *view = &session->slots[session->current].view;
    if (!is_image || session->next_picture >= session->picture_count)
        return;
    int64_t i = session->next_picture++;
    if (first_of_run)
        view->first = i ? (int32_t)session->picture_ends[i - 1] : 0;
    view->count = (int32_t)session->picture_ends[i] - view->first;
    view->row_mask = 1;
}

bool snug_session_write_view(struct snug_session *session, const struct snug_text_handles *handles,
                             int64_t row, int slot)
{
    const struct snug_cross_view *view = &session->slots[slot].view;
    if (handles->first_keys < 0 || session->is_dry)
        return view->count > 0;
    ((int32_t *)snug_session_operand(session, handles->first_keys))[row] = view->first;
    ((int32_t *)snug_session_operand(session, handles->key_counts))[row] = view->count;
    if (handles->row_mask >= 0)
        ((int32_t *)snug_session_operand(session, handles->row_mask))[row] = view->row_mask;
    return view->count > 0;
}
