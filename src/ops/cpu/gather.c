/* Ops that move rows: patches, class and position rows, pixel shuffle, embedding. A task an output
 * row, or a group of them: they are bound by memory. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define ALONE_BELOW_ELEMENTS 65536

static size_t float_bytes(int64_t count)
{
    return (size_t)count * sizeof(float);
}

/* One row of the grid of one tile. */
static void patches_task(void *context, int64_t index, int worker)
{
    const struct snug_patches *args = context;
    int64_t side = args->side, patch = args->patch, grid = side / patch;
    int64_t tile = index / grid, gy = index % grid;
    float *out = args->y + index * grid * 3 * patch * patch;

    (void)worker;
    for (int64_t gx = 0; gx < grid; gx++) {
        for (int64_t channel = 0; channel < 3; channel++) {
            const float *in =
                args->pixels + ((tile * 3 + channel) * side + gy * patch) * side + gx * patch;
            for (int64_t y = 0; y < patch; y++, out += patch)
                memcpy(out, in + y * side, float_bytes(patch));
        }
    }
}

enum snug_status cpu_patches(const struct snug_patches *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_patches(args);
    if (status)
        return status;
    pool = pool_if(pool, args->tiles * args->side * args->side * 3, ALONE_BELOW_ELEMENTS);
    snug_pool_run(pool, patches_task, (void *)(uintptr_t)args,
                  args->tiles * (args->side / args->patch));
    return SNUG_STATUS_OK;
}

static void sum_rows(float *y, const float *a, const float *b, int64_t d)
{
    INDEPENDENT
    for (int64_t c = 0; c < d; c++)
        y[c] = a[c] + b[c];
}

static void vision_embed_task(void *context, int64_t index, int worker)
{
    const struct snug_vision_embed *args = context;
    int64_t d = args->d, rows = args->count + 1, tile = index / rows, row = index % rows;
    const float *x = row == 0 ? args->cls : args->x + (tile * args->count + row - 1) * d;

    (void)worker;
    if (args->position)
        sum_rows(args->y + index * d, x, args->position + row * d, d);
    else
        memcpy(args->y + index * d, x, float_bytes(d));
}

enum snug_status cpu_vision_embed(const struct snug_vision_embed *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_vision_embed(args);
    if (status)
        return status;
    int64_t rows = args->tiles * (args->count + 1);
    snug_pool_run(pool_if(pool, rows * args->d, ALONE_BELOW_ELEMENTS), vision_embed_task,
                  (void *)(uintptr_t)args, rows);
    return SNUG_STATUS_OK;
}

static void drop_cls_task(void *context, int64_t tile, int worker)
{
    const struct snug_drop_cls *args = context;
    int64_t elements = args->count * args->d;

    (void)worker;
    memcpy(args->y + tile * elements, args->x + tile * (elements + args->d) + args->d,
           float_bytes(elements));
}

enum snug_status cpu_drop_cls(const struct snug_drop_cls *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_drop_cls(args);
    if (status)
        return status;
    pool = pool_if(pool, args->tiles * args->count * args->d, ALONE_BELOW_ELEMENTS);
    snug_pool_run(pool, drop_cls_task, (void *)(uintptr_t)args, args->count > 0 ? args->tiles : 0);
    return SNUG_STATUS_OK;
}

/* One row of the halved grid of one tile. */
static void pixel_shuffle_task(void *context, int64_t index, int worker)
{
    const struct snug_pixel_shuffle *args = context;
    int64_t half = args->grid / 2, d = args->d, tile = index / half, y = index % half;

    (void)worker;
    for (int64_t x = 0; x < half; x++) {
        int64_t token = args->transposed ? x * half + y : y * half + x;
        const float *in = args->x + ((tile * args->grid + 2 * y) * args->grid + 2 * x) * d;
        float *out = args->y + (tile * half * half + token) * 4 * d;
        memcpy(out, in, float_bytes(2 * d));
        memcpy(out + 2 * d, in + args->grid * d, float_bytes(2 * d));
    }
}

enum snug_status cpu_pixel_shuffle(const struct snug_pixel_shuffle *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_pixel_shuffle(args);
    if (status)
        return status;
    pool = pool_if(pool, args->tiles * args->grid * args->grid * args->d, ALONE_BELOW_ELEMENTS);
    snug_pool_run(pool, pixel_shuffle_task, (void *)(uintptr_t)args,
                  args->tiles * (args->grid / 2));
    return SNUG_STATUS_OK;
}

static void embed_task(void *context, int64_t row, int worker)
{
    const struct snug_embed *args = context;
    int64_t d = args->d, image = args->image_row ? args->image_row[row] : -1;
    float *y = args->y + row * d;

    (void)worker;
    if (image >= 0) {
        memcpy(y, args->features + image * d, float_bytes(d));
        return;
    }
    int64_t at = snug_panel_index(args->ids[row], 0, d);
    const uint16_t *half = (const uint16_t *)args->table + at;
    if (args->table_dtype == SNUG_DTYPE_F32) {
        for (int64_t c = 0; c < d; c++)
            y[c] = ((const float *)args->table)[at + c * SNUG_PANEL];
    } else if (args->table_dtype == SNUG_DTYPE_BF16) {
        for (int64_t c = 0; c < d; c++)
            y[c] = snug_bf16_to_f32(half[c * SNUG_PANEL]);
    } else {
        for (int64_t c = 0; c < d; c++)
            y[c] = snug_f16_to_f32(half[c * SNUG_PANEL]);
    }
}

enum snug_status cpu_embed(const struct snug_embed *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_embed(args);
    if (status)
        return status;
    snug_pool_run(pool_if(pool, args->rows * args->d, ALONE_BELOW_ELEMENTS), embed_task,
                  (void *)(uintptr_t)args, args->rows);
    return SNUG_STATUS_OK;
}
