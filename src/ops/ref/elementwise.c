/* Residual sums and activations, an element at a time. Formulas: DESIGN 2.2 and 2.15, base/math.h.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

static void residual_task(void *context, int64_t row, int worker)
{
    const struct snug_residual *args = context;
    float *x = args->x + row * args->cols;
    const float *y = args->y + row * args->cols;

    (void)worker;
    if (args->mask && !args->mask[row])
        return;
    float gate = args->gate ? snug_tanhf(args->gate[0]) : 0;
    for (int64_t c = 0; c < args->cols; c++)
        x[c] = args->g      ? x[c] + (args->g[c] * y[c])
               : args->gate ? x[c] + (gate * y[c])
                            : x[c] + y[c];
}

enum snug_status snug_ref_residual(const struct snug_residual *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_residual(args);
    if (status)
        return status;
    snug_pool_run(pool, residual_task, (void *)(uintptr_t)args, args->rows);
    return SNUG_STATUS_OK;
}

static void add_rows_task(void *context, int64_t row, int worker)
{
    const struct snug_add_rows *args = context;
    int64_t from = args->index ? args->index[row] : row % args->table_rows;
    float g = snug_tanhf(args->gate[0]);
    float *x = args->x + row * args->cols;

    (void)worker;
    if (args->complement)
        g = 1.0f - g;
    for (int64_t c = 0; from >= 0 && c < args->cols; c++)
        x[c] = x[c] + (g * snug_ref_element(args->table_dtype, args->table, from * args->cols + c));
}

enum snug_status snug_ref_add_rows(const struct snug_add_rows *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_add_rows(args);
    if (status)
        return status;
    snug_pool_run(pool, add_rows_task, (void *)(uintptr_t)args, args->rows);
    return SNUG_STATUS_OK;
}

static void gelu_task(void *context, int64_t index, int worker)
{
    const struct snug_unary *args = context;

    (void)index, (void)worker;
    for (int64_t i = 0; i < args->count; i++)
        args->y[i] = snug_geluf(args->x[i]);
}

enum snug_status snug_ref_gelu(const struct snug_unary *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_gelu(args);
    if (status)
        return status;
    snug_pool_run(pool, gelu_task, (void *)(uintptr_t)args, 1);
    return SNUG_STATUS_OK;
}

static void silu_mul_task(void *context, int64_t index, int worker)
{
    const struct snug_unary *args = context;

    (void)index, (void)worker;
    for (int64_t i = 0; i < args->count; i++)
        args->y[i] = snug_siluf(args->x[i]) * args->up[i];
}

enum snug_status snug_ref_silu_mul(const struct snug_unary *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_silu_mul(args);
    if (status)
        return status;
    snug_pool_run(pool, silu_mul_task, (void *)(uintptr_t)args, 1);
    return SNUG_STATUS_OK;
}
