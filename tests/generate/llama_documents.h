/* Made-up documents for Llama-3.2-Vision's tiny models: a prompt with image tokens, and pictures of
 * every shape. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_GENERATE_LLAMA_DOCUMENTS_H
#define SNUG_TESTS_GENERATE_LLAMA_DOCUMENTS_H

#include "../check.h"

#include "generate/session.h"
#include "models/llama_vision.h"
#include "models/weights.h"

enum { STEPS = 4, MOST_TILES = 4, SHAPES = 8, MOST_PAGES = 3 };

/* In the order of their ids, which count from 1. */
enum { SHAPE_1X1, SHAPE_1X2, SHAPE_1X3, SHAPE_1X4, SHAPE_2X1, SHAPE_2X2, SHAPE_3X1, SHAPE_4X1 };
static const struct {
    int64_t rows, columns;
} shapes[SHAPES] = {{1, 1}, {1, 2}, {1, 3}, {1, 4}, {2, 1}, {2, 2}, {3, 1}, {4, 1}};

/* A model and a picture of each shape: the reference's, or noise where it has none. */
struct world {
    char path[1024];
    struct snug_model *model;
    struct snug_picture pictures[SHAPES];
    unsigned char *bytes[SHAPES];
};

static inline unsigned char *noise(size_t count, uint32_t seed)
{
    unsigned char *bytes = snug_alloc(snug_allocator_heap(), count);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(seed >> 24);
    }
    return bytes;
}

static inline struct snug_picture read_picture(struct world *w, int shape)
{
    const struct snug_tile_options *options = &w->model->config.tiles;
    int64_t rows = shapes[shape].rows, columns = shapes[shape].columns;
    char path[1100];
    struct snug_error error;
    struct snug_blob blob;
    snprintf(path, sizeof path, "%s/expected/images/%dx%d.png", w->path, (int)rows, (int)columns);
    if (!snug_file_read(path, SIZE_MAX, snug_allocator_heap(), &blob, &error)) {
        struct snug_bytes bytes = snug_bytes_of(path, blob.data, blob.size);
        struct snug_tile_grid grid;
        assert_ok(snug_tiles_read(&bytes, NULL, options, snug_allocator_heap(), &grid,
                                  &w->bytes[shape], &error));
        assert_true(grid.rows == rows && grid.columns == columns && grid.tiles == rows * columns);
        snug_blob_free(&blob);
    } else
        w->bytes[shape] = noise(
            (size_t)(rows * columns * 3 * options->tile_side * options->tile_side), 1u << shape);
    return (struct snug_picture){
        .tiles = rows * columns, .rows = rows, .columns = columns, .bytes = w->bytes[shape]};
}

static inline struct world world_open(const char *name, enum snug_quant quant)
{
    struct world w = {0};
    struct snug_model_options options = snug_model_options_default();
    struct snug_error error;
    char relative[64];
    options.quantize = quant;
    options.outlier_threshold = quant == SNUG_QUANT_Q8 ? 1.5f : 6;
    snprintf(relative, sizeof relative, "tests/golden/mllama/%s", name);
    snprintf(w.path, sizeof w.path, "%s", test_path(relative));
    struct snug_folder folder = {.path = w.path, .allocator = snug_allocator_heap()};
    assert_ok(snug_model_load(&folder, snug_device_cpu(), NULL, &options, snug_allocator_heap(),
                              &w.model, &error));
    for (int shape = 0; shape < SHAPES; shape++)
        w.pictures[shape] = read_picture(&w, shape);
    return w;
}

static inline void world_close(struct world *w)
{
    for (int shape = 0; shape < SHAPES; shape++)
        snug_free(snug_allocator_heap(), w->bytes[shape]);
    snug_model_free(w->model);
}

static inline const struct snug_weight *weight_of(const struct snug_model *model, const char *name)
{
    return snug_model_weight(model, name);
}

struct document {
    struct snug_picture pages[MOST_PAGES];
    int page_count;
    int64_t tiles;
    int32_t ids[100];
    int64_t count;
    uint32_t seed;
};

/* `count` tokens, image tokens at the positions at[], for pictures of these shapes. */
static inline struct document make_document(const struct world *w, uint32_t seed, int64_t count,
                                            int pages, const int *which, const int *at)
{
    struct document d = {.page_count = pages, .count = count, .seed = seed};
    uint32_t state = seed;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        d.ids[i] = (int32_t)(state >> 8) % 400;
    }
    for (int k = 0; k < pages; k++) {
        d.ids[at[k]] = (int32_t)w->model->config.image_token_id;
        d.pages[k] = w->pictures[which[k]];
        d.tiles += d.pages[k].tiles;
    }
    return d;
}

/* One picture, and two side by side further on. */
static inline struct document three_pictures(const struct world *w)
{
    return make_document(w, 7, 70, 3, (const int[]){SHAPE_2X1, SHAPE_1X1, SHAPE_1X2},
                         (const int[]){5, 40, 41});
}

/* What is fed after the prompt. */
static inline int32_t step_id(const struct document *d, int step)
{
    return (int32_t)((d->seed * 31 + (uint32_t)step * 57) % 400);
}

static inline size_t logits_bytes(const struct snug_model *model)
{
    return STEPS * (size_t)model->config.text.vocabulary * sizeof(float);
}

static inline void look_at_pages(struct snug_session *session, const struct document *d)
{
    struct snug_error error;
    for (int k = 0; k < d->page_count; k++)
        assert_ok(snug_session_see_picture(session, &d->pages[k], &error));
}

/* Of a document that has begun: pictures, prompt, steps. Logits [STEPS][vocabulary]. */
static inline enum snug_status try_begun(struct snug_session *session, const struct document *d,
                                         float *out, struct snug_error *error)
{
    int64_t vocabulary = session->model->config.text.vocabulary;
    const float *logits;
    for (int k = 0; k < d->page_count; k++)
        SNUG_TRY(snug_session_see_picture(session, &d->pages[k], error));
    SNUG_TRY(snug_session_prompt(session, d->ids, d->count, &logits, error));
    for (int i = 0; i < STEPS; i++) {
        memcpy(out + i * vocabulary, logits, (size_t)vocabulary * sizeof *out);
        if (i + 1 < STEPS)
            SNUG_TRY(snug_session_step(session, step_id(d, i), &logits, error));
    }
    return SNUG_STATUS_OK;
}

static inline void answer_begun(struct snug_session *session, const struct document *d, float *out)
{
    struct snug_error error;
    assert_ok(try_begun(session, d, out, &error));
}

static inline enum snug_status try_answer(struct snug_session *session, int slot,
                                          const struct document *d, float *out,
                                          struct snug_error *error)
{
    SNUG_TRY(snug_session_begin_slot(session, slot, d->count + STEPS, d->tiles, error));
    return try_begun(session, d, out, error);
}

static inline void answer(struct snug_session *session, int slot, const struct document *d,
                          float *out)
{
    struct snug_error error;
    assert_ok(try_answer(session, slot, d, out, &error));
}

/* In a session of its own. */
static inline void run_document(const struct snug_model *model, const struct document *d,
                                const struct snug_session_options *options, float *out)
{
    struct snug_session session;
    snug_session_init(&session, model, options, snug_allocator_heap());
    answer(&session, 0, d, out);
    snug_session_free(&session);
}

#endif
