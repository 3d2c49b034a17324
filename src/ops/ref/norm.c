/* Norms over the columns of a row. Sums in 32 lanes and a tree: DESIGN 2.3; formulas: DESIGN 2.15.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

static float sum(const float *x, int64_t cols)
{
    float lane[32] = {0};
    for (int64_t c = 0; c < cols; c++)
        lane[c % 32] = lane[c % 32] + x[c];
    return snug_ref_tree(lane);
}

/* Sum of (x - mean)^2. */
static float sum_of_squares(const float *x, int64_t cols, float mean)
{
    float lane[32] = {0};
    for (int64_t c = 0; c < cols; c++) {
        float d = x[c] - mean;
        lane[c % 32] = fmaf(d, d, lane[c % 32]);
    }
    return snug_ref_tree(lane);
}

static void layer_norm_task(void *context, int64_t row, int worker)
{
    const struct snug_norm *args = context;
    const float *x = args->x + row * args->x_ld;
    float *y = args->y + row * args->y_ld;
    float n = (float)args->cols, mean = sum(x, args->cols) / n;
    float s = 1.0f / sqrtf(sum_of_squares(x, args->cols, mean) / n + args->eps);

    (void)worker;
    for (int64_t c = 0; c < args->cols; c++) {
        float scaled = ((x[c] - mean) * s) * args->w[c];
        y[c] = args->b ? scaled + args->b[c] : scaled;
    }
}

static void rms_norm_task(void *context, int64_t row, int worker)
{
    const struct snug_norm *args = context;
    const float *x = args->x + row * args->x_ld;
    float *y = args->y + row * args->y_ld;
    float lane[32] = {0};

    (void)worker;
    for (int64_t c = 0; c < args->cols; c++)
        lane[c % 32] = fmaf(x[c], x[c], lane[c % 32]);
    float s = 1.0f / sqrtf(snug_ref_tree(lane) / (float)args->cols + args->eps);
    for (int64_t c = 0; c < args->cols; c++)
        y[c] = (x[c] * s) * args->w[c];
}

static enum snug_status run(const struct snug_norm *args, struct snug_pool *pool,
                            snug_task_fn *task)
{
    enum snug_status status = snug_check_norm(args);
    if (status)
        return status;
    snug_pool_run(pool, task, (void *)(uintptr_t)args, args->rows);
    return SNUG_STATUS_OK;
}

enum snug_status snug_ref_layer_norm(const struct snug_norm *args, struct snug_pool *pool)
{
    return run(args, pool, layer_norm_task);
}

enum snug_status snug_ref_rms_norm(const struct snug_norm *args, struct snug_pool *pool)
{
    return run(args, pool, rms_norm_task);
}
