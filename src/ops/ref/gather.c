/* Ops that move rows: patches, class and position rows, pixel shuffle, embedding.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/ref/ref.h"

static void patches_task(void *context, int64_t index, int worker)
{
    const struct snug_patches *args = context;
    int64_t side = args->side, patch = args->patch, grid = side / patch;
    int64_t width = 3 * patch * patch, rows = args->tiles * grid * grid;

    (void)index, (void)worker;
    for (int64_t row = 0; row < rows; row++) {
        int64_t tile = row / (grid * grid), gy = row / grid % grid, gx = row % grid;
        for (int64_t e = 0; e < width; e++) {
            int64_t channel = e / (patch * patch);
            int64_t y = gy * patch + e / patch % patch, x = gx * patch + e % patch;
            args->y[row * width + e] = args->pixels[((tile * 3 + channel) * side + y) * side + x];
        }
    }
}

enum snug_status snug_ref_patches(const struct snug_patches *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_patches(args);
    if (status)
        return status;
    snug_pool_run(pool, patches_task, (void *)(uintptr_t)args, 1);
    return SNUG_STATUS_OK;
}

static void vision_embed_task(void *context, int64_t index, int worker)
{
    const struct snug_vision_embed *args = context;
    int64_t d = args->d;

    (void)index, (void)worker;
    for (int64_t tile = 0; tile < args->tiles; tile++) {
        for (int64_t row = 0; row <= args->count; row++) {
            const float *x = row == 0 ? args->cls : args->x + (tile * args->count + row - 1) * d;
            for (int64_t c = 0; c < d; c++)
                args->y[(tile * (args->count + 1) + row) * d + c] =
                    args->position ? x[c] + args->position[row * d + c] : x[c];
        }
    }
}

enum snug_status snug_ref_vision_embed(const struct snug_vision_embed *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_vision_embed(args);
    if (status)
        return status;
    snug_pool_run(pool, vision_embed_task, (void *)(uintptr_t)args, 1);
    return SNUG_STATUS_OK;
}

enum snug_status snug_ref_drop_cls(const struct snug_drop_cls *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_drop_cls(args);
    if (status)
        return status;
    (void)pool;
    for (int64_t tile = 0; args->count > 0 && tile < args->tiles; tile++)
        memcpy(args->y + tile * args->count * args->d,
               args->x + (tile * (args->count + 1) + 1) * args->d,
               (size_t)(args->count * args->d) * sizeof(float));
    return SNUG_STATUS_OK;
}

enum snug_status snug_ref_pixel_shuffle(const struct snug_pixel_shuffle *args,
                                        struct snug_pool *pool)
{
    enum snug_status status = snug_check_pixel_shuffle(args);
    int64_t grid = args->grid, half = grid / 2, d = args->d;

    if (status)
        return status;
    (void)pool;
    for (int64_t row = 0; row < args->tiles * grid * grid; row++) {
        int64_t tile = row / (grid * grid), y = row / grid % grid, x = row % grid;
        int64_t token = args->transposed ? x / 2 * half + y / 2 : y / 2 * half + x / 2;
        int64_t part = y % 2 * 2 + x % 2; /* top-left, top-right, bottom-left, bottom-right */
        memcpy(args->y + ((tile * half * half + token) * 4 + part) * d, args->x + row * d,
               (size_t)d * sizeof(float));
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_ref_embed(const struct snug_embed *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_embed(args);
    if (status)
        return status;
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++) {
        int64_t image = args->image_row ? args->image_row[r] : -1;
        for (int64_t c = 0; c < args->d; c++)
            args->y[r * args->d + c] =
                image >= 0 ? args->features[image * args->d + c]
                           : snug_ref_element(args->table_dtype, args->table,
                                              snug_panel_index(args->ids[r], c, args->d));
    }
    return SNUG_STATUS_OK;
}
