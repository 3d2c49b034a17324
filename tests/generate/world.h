/* A model and a made-up document for tests of placements and of the ladder.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_GENERATE_WORLD_H
#define SNUG_TESTS_GENERATE_WORLD_H

#include "../check.h"

#include "device/sim.h"
#include "generate/ladder.h"

#define NEW_TOKENS 24

struct world {
    struct snug_model *model;
    float *pixels;
    int32_t ids[400];
    int64_t count, tiles;
    int64_t words; /* of the prompt beside the picture; 0: 20 */
    int32_t image_id;
    int64_t rows, columns; /* of the picture's grid */
    float *expected;       /* [NEW_TOKENS][vocabulary], on the host */
};

static inline uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static inline void make_document(struct world *w)
{
    const struct snug_model_config *c = &w->model->config;
    bool llama = c->family == SNUG_FAMILY_LLAMA_VISION;
    int64_t elements = 3 * c->vision.image_side * c->vision.image_side;
    int64_t images = llama ? 1 : w->tiles * c->tokens_per_tile;
    uint32_t seed = 7;
    w->image_id = llama ? (int32_t)c->image_token_id : 1023;
    w->pixels = malloc((size_t)(w->tiles * elements) * sizeof(float));
    for (int64_t i = 0; i < w->tiles * elements; i++)
        w->pixels[i] = (float)next_random(&seed) * 0x1p-22f - 2;
    w->count = images + (w->words ? w->words : 20);
    assert_true(w->count <= (int64_t)(sizeof w->ids / sizeof *w->ids));
    for (int64_t i = 0; i < w->count; i++)
        w->ids[i] = i >= 3 && i < 3 + images
                        ? w->image_id
                        : (int32_t)(next_random(&seed) % (uint32_t)(c->text.vocabulary - 30));
}

static inline struct world open_world_of(const char *folder, int64_t tiles, int64_t words)
{
    struct world w = {.tiles = tiles, .rows = 1, .columns = tiles, .words = words};
    struct snug_error error;
    struct snug_folder f = {.path = test_path(folder), .allocator = snug_allocator_heap()};
    assert_ok(
        snug_model_open(&f, snug_device_cpu(), NULL, snug_allocator_heap(), &w.model, &error));
    make_document(&w);
    return w;
}

static inline struct world open_world(const char *folder, int64_t tiles)
{
    return open_world_of(folder, tiles, 0);
}

static inline void close_world(struct world *w)
{
    snug_model_free(w->model);
    free(w->pixels);
    free(w->expected);
}

static inline const struct snug_device *open_sim(uint64_t capacity, bool guard)
{
    const struct snug_device *device;
    struct snug_error error;
    const struct snug_sim_options options = {
        .name = "sim:test", .capacity_bytes = capacity, .granularity_bytes = 4096, .guard = guard};
    assert_ok(snug_sim_open(&options, snug_allocator_heap(), &device, &error));
    return device;
}

#endif
