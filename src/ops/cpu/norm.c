/* Norms: 32 lanes as two or four vectors, then the tree. Order: DESIGN 2.3, 2.15.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define ALONE_BELOW_ELEMENTS 32768
#define TASK_ELEMENTS 8192

struct norm {
    const struct snug_norm *args;
    int64_t task_rows;
};

/* The last, incomplete group of 32, with +0 after it: lanes start at +0 and never become -0, so
 * adding +0 or its square changes no lane. */
static void load_tail(float tail[32], const float *x, int64_t count, float minus)
{
    for (int64_t i = 0; i < 32; i++)
        tail[i] = i < count ? x[i] - minus : 0;
}

static float sum_of(const float *x, int64_t cols)
{
    vec lanes[LANE_VECS];
    int64_t full = cols / 32 * 32;
    float tail[32];

    UNROLL
    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_set1(0.0f);
    for (int64_t c = 0; c < full; c += 32) {
        UNROLL
        for (int v = 0; v < LANE_VECS; v++)
            lanes[v] = v_add(lanes[v], v_load(x + c + v * SIMD_LANES));
    }
    load_tail(tail, x + full, cols - full, 0);
    UNROLL
    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_add(lanes[v], v_load(tail + v * SIMD_LANES));
    return lane_tree(lanes);
}

/* Sum of (x - mean)^2; x - 0 is x, so RMSNorm takes mean 0. */
static float squares_of(const float *x, int64_t cols, float mean)
{
    vec lanes[LANE_VECS], minus_mean = v_set1(-mean);
    int64_t full = cols / 32 * 32;
    float tail[32];

    UNROLL
    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_set1(0.0f);
    for (int64_t c = 0; c < full; c += 32) {
        UNROLL
        for (int v = 0; v < LANE_VECS; v++) {
            vec d = v_add(v_load(x + c + v * SIMD_LANES), minus_mean);
            lanes[v] = v_fma(d, d, lanes[v]);
        }
    }
    load_tail(tail, x + full, cols - full, mean);
    UNROLL
    for (int v = 0; v < LANE_VECS; v++) {
        vec d = v_load(tail + v * SIMD_LANES);
        lanes[v] = v_fma(d, d, lanes[v]);
    }
    return lane_tree(lanes);
}

static void layer_norm_row(const float *x, const float *w, const float *b, int64_t cols, float eps,
                           float *y)
{
    float n = (float)cols, mean = sum_of(x, cols) / n;
    float s = 1.0f / sqrtf(squares_of(x, cols, mean) / n + eps);

    if (b) {
        INDEPENDENT
        for (int64_t c = 0; c < cols; c++)
            y[c] = ((x[c] - mean) * s) * w[c] + b[c];
    } else {
        INDEPENDENT
        for (int64_t c = 0; c < cols; c++)
            y[c] = ((x[c] - mean) * s) * w[c];
    }
}

static void rms_norm_row(const float *x, const float *w, int64_t cols, float eps, float *y)
{
    float s = 1.0f / sqrtf(squares_of(x, cols, 0) / (float)cols + eps);

    INDEPENDENT
    for (int64_t c = 0; c < cols; c++)
        y[c] = (x[c] * s) * w[c];
}

static void layer_norm_task(void *context, int64_t index, int worker)
{
    const struct norm *norm = context;
    const struct snug_norm *a = norm->args;
    int64_t row = index * norm->task_rows, end = min_i64(a->rows, row + norm->task_rows);

    (void)worker;
    for (; row < end; row++)
        layer_norm_row(a->x + row * a->x_ld, a->w, a->b, a->cols, a->eps, a->y + row * a->y_ld);
}

static void rms_norm_task(void *context, int64_t index, int worker)
{
    const struct norm *norm = context;
    const struct snug_norm *a = norm->args;
    int64_t row = index * norm->task_rows, end = min_i64(a->rows, row + norm->task_rows);

    (void)worker;
    for (; row < end; row++)
        rms_norm_row(a->x + row * a->x_ld, a->w, a->cols, a->eps, a->y + row * a->y_ld);
}

static enum snug_status run(const struct snug_norm *args, struct snug_pool *pool,
                            snug_task_fn *task)
{
    enum snug_status status = snug_check_norm(args);
    if (status)
        return status;
    struct norm norm = {args, max_i64(1, TASK_ELEMENTS / args->cols)};
    snug_pool_run(pool_if(pool, args->rows * args->cols, ALONE_BELOW_ELEMENTS), task, &norm,
                  ceil_div(args->rows, norm.task_rows));
    return SNUG_STATUS_OK;
}

enum snug_status cpu_layer_norm(const struct snug_norm *args, struct snug_pool *pool)
{
    return run(args, pool, layer_norm_task);
}

enum snug_status cpu_rms_norm(const struct snug_norm *args, struct snug_pool *pool)
{
    return run(args, pool, rms_norm_task);
}
