/* Residual sums and activations: loops over inline functions, which the compiler turns into vector
 * code. Formulas: DESIGN 2.2 and 2.15, base/math.h. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define ALONE_BELOW_ELEMENTS 16384
#define TASK_ELEMENTS 8192

static void add_row(float *x, const float *y, int64_t cols)
{
    INDEPENDENT
    for (int64_t c = 0; c < cols; c++)
        x[c] = x[c] + y[c];
}

static void add_scaled_row(float *x, const float *y, const float *g, int64_t cols)
{
    INDEPENDENT
    for (int64_t c = 0; c < cols; c++)
        x[c] = x[c] + (g[c] * y[c]);
}

static void add_gated_row(float *x, const float *y, float g, int64_t cols)
{
    INDEPENDENT
    for (int64_t c = 0; c < cols; c++)
        x[c] = x[c] + (g * y[c]);
}

struct residual {
    const struct snug_residual *args;
    int64_t task_rows;
    float gate;
};

static void residual_task(void *context, int64_t index, int worker)
{
    const struct residual *residual = context;
    const struct snug_residual *args = residual->args;
    int64_t row = index * residual->task_rows, end = min_i64(args->rows, row + residual->task_rows);

    (void)worker;
    for (; row < end; row++) {
        float *x = args->x + row * args->cols;
        const float *y = args->y + row * args->cols;
        if (args->mask && !args->mask[row])
            continue;
        if (args->g)
            add_scaled_row(x, y, args->g, args->cols);
        else if (args->gate)
            add_gated_row(x, y, residual->gate, args->cols);
        else
            add_row(x, y, args->cols);
    }
}

enum snug_status cpu_residual(const struct snug_residual *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_residual(args);
    if (status)
        return status;
    struct residual residual = {args, max_i64(1, TASK_ELEMENTS / args->cols),
                                args->gate ? snug_tanhf(args->gate[0]) : 0};
    snug_pool_run(pool_if(pool, args->rows * args->cols, ALONE_BELOW_ELEMENTS), residual_task,
                  &residual, ceil_div(args->rows, residual.task_rows));
    return SNUG_STATUS_OK;
}

struct add_rows {
    const struct snug_add_rows *args;
    float g;
};

static void add_rows_task(void *context, int64_t row, int worker)
{
    const struct add_rows *job = context;
    const struct snug_add_rows *args = job->args;
    int64_t from = args->index ? args->index[row] : row % args->table_rows, cols = args->cols;
    float *x = args->x + row * cols, g = job->g;

    (void)worker;
    if (from < 0)
        return;
    const float *single = (const float *)args->table + from * cols;
    const uint16_t *half = (const uint16_t *)args->table + from * cols;
    if (args->table_dtype == SNUG_DTYPE_F32) {
        add_gated_row(x, single, g, cols);
    } else if (args->table_dtype == SNUG_DTYPE_BF16) {
        INDEPENDENT
        for (int64_t c = 0; c < cols; c++)
            x[c] = x[c] + (g * snug_bf16_to_f32(half[c]));
    } else {
        for (int64_t c = 0; c < cols; c++)
            x[c] = x[c] + (g * snug_f16_to_f32(half[c]));
    }
}

enum snug_status cpu_add_rows(const struct snug_add_rows *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_add_rows(args);
    if (status)
        return status;
    struct add_rows job = {.args = args};
    if (args->rows)
        job.g = snug_tanhf(args->gate[0]);
    if (args->complement)
        job.g = 1.0f - job.g;
    snug_pool_run(pool_if(pool, args->rows * args->cols, ALONE_BELOW_ELEMENTS), add_rows_task, &job,
                  args->rows);
    return SNUG_STATUS_OK;
}

static void gelu_task(void *context, int64_t index, int worker)
{
    const struct snug_unary *args = context;
    int64_t first = index * TASK_ELEMENTS, end = min_i64(args->count, first + TASK_ELEMENTS);
    const float *x = args->x;
    float *y = args->y;

    (void)worker;
    INDEPENDENT
    for (int64_t i = first; i < end; i++)
        y[i] = snug_geluf(x[i]);
}

enum snug_status cpu_gelu(const struct snug_unary *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_gelu(args);
    if (status)
        return status;
    snug_pool_run(pool_if(pool, args->count, ALONE_BELOW_ELEMENTS), gelu_task,
                  (void *)(uintptr_t)args, ceil_div(args->count, TASK_ELEMENTS));
    return SNUG_STATUS_OK;
}

static void silu_mul_task(void *context, int64_t index, int worker)
{
    const struct snug_unary *args = context;
    int64_t first = index * TASK_ELEMENTS, end = min_i64(args->count, first + TASK_ELEMENTS);
    const float *x = args->x, *up = args->up;
    float *y = args->y;

    (void)worker;
    INDEPENDENT
    for (int64_t i = first; i < end; i++)
        y[i] = snug_siluf(x[i]) * up[i];
}

enum snug_status cpu_silu_mul(const struct snug_unary *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_silu_mul(args);
    if (status)
        return status;
    snug_pool_run(pool_if(pool, args->count, ALONE_BELOW_ELEMENTS), silu_mul_task,
                  (void *)(uintptr_t)args, ceil_div(args->count, TASK_ELEMENTS));
    return SNUG_STATUS_OK;
}
