/* Quantised linear layers: activations to integers, and the product. Rules: DESIGN 2.11 to 2.13.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

#include <math.h>

/* ---- activations ---- */

static uint32_t magnitude(float x)
{
    return snug_f32_bits(x) & 0x7fffffffu;
}

/* The largest magnitude of a row, over the bits: NaN is above infinity, infinity above all else. */
static uint32_t row_amax(const float *x, int64_t k)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < k; i++)
        most = magnitude(x[i]) > most ? magnitude(x[i]) : most;
    return most;
}

/* Whether the outliers of this row leave: 0 < 128 * c <= k. */
static bool outliers_leave(const struct snug_quantize *args, const float *x)
{
    int64_t count = 0;
    if (args->threshold == 0)
        return false;
    for (int64_t i = 0; i < args->k; i++)
        count += fabsf(x[i]) >= args->threshold;
    return count > 0 && count <= args->k / SNUG_QUANT_GROUP;
}

/* One group of `count` values, outliers already zero. */
static void quantize_group(const float *x, int64_t count, struct snug_quantized_row *row, int64_t g)
{
    float amax = snug_f32_from_bits(row_amax(x, count));
    int8_t *q = row->q + g * SNUG_QUANT_GROUP;
    if (amax < 0x1p-100f)
        return;
    float inverse = 127.0f / amax;
    row->scale[g] = amax / 127.0f;
    for (int64_t i = 0; i < count; i++) {
        q[i] = (int8_t)rintf(x[i] * inverse);
        row->sums[g * 4 + i / 32] = (int16_t)(row->sums[g * 4 + i / 32] + q[i]);
    }
}

enum snug_status snug_ref_quantize(const struct snug_quantize *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_quantize(args);
    (void)pool;
    if (status)
        return status;
    for (int64_t r = 0; r < args->rows; r++) {
        const float *x = args->x + r * args->x_ld;
        struct snug_quantized_row row = snug_quantized_row(args->y, r, args->k);
        memset(row.q, 0, (size_t)snug_quantized_row_bytes(args->k));
        if (row_amax(x, args->k) >= 0x7f800000u) {
            for (int64_t g = 0; g < snug_quant_groups(SNUG_QUANT_Q8, args->k); g++)
                row.scale[g] = NAN;
            continue;
        }
        bool leave = outliers_leave(args, x);
        for (int64_t k = 0; k < args->k; k += SNUG_QUANT_GROUP) {
            int64_t count = args->k - k < SNUG_QUANT_GROUP ? args->k - k : SNUG_QUANT_GROUP;
            float left[SNUG_QUANT_GROUP];
            for (int64_t i = 0; i < count; i++) {
                left[i] = x[k + i];
                if (leave && fabsf(x[k + i]) >= args->threshold) {
                    row.outlier_k[*row.count] = (int32_t)(k + i);
                    row.outlier_x[(*row.count)++] = x[k + i];
                    left[i] = 0;
                }
            }
            quantize_group(left, count, &row, k / SNUG_QUANT_GROUP);
        }
    }
    return SNUG_STATUS_OK;
}

/* ---- the product ---- */

static float weight_scale(const struct snug_linear_quantized *args, int64_t n, int64_t k)
{
    return snug_f16_to_f32(args->w_scales[snug_quant_scale_index(args->quant, n, k, args->k)]);
}

static float product(const struct snug_linear_quantized *args, const struct snug_quantized_row *row,
                     int64_t n)
{
    int64_t group = args->quant == SNUG_QUANT_Q4 ? SNUG_Q4_GROUP : SNUG_QUANT_GROUP;
    float acc = 0;
    for (int64_t first = 0; first < args->k; first += group) {
        int64_t end = args->k - first < group ? args->k : first + group;
        int32_t sum = 0;
        for (int64_t k = first; k < end; k++)
            sum += row->q[k] * snug_quant_at(args->quant, args->w, n, k, args->k);
        acc = fmaf((float)sum * row->scale[first / SNUG_QUANT_GROUP], weight_scale(args, n, first),
                   acc);
    }
    return acc;
}

static float outliers(const struct snug_linear_quantized *args,
                      const struct snug_quantized_row *row, int64_t n)
{
    float o = 0;
    for (int32_t i = 0; i < *row->count; i++) {
        int64_t k = row->outlier_k[i];
        float w =
            (float)snug_quant_at(args->quant, args->w, n, k, args->k) * weight_scale(args, n, k);
        o = fmaf(row->outlier_x[i], w, o);
    }
    return o;
}

/* One row of one panel of outputs. */
static void linear_task(void *context, int64_t index, int worker)
{
    const struct snug_linear_quantized *args = context;
    int64_t panels = snug_panel_count(args->n), r = index / panels;
    int64_t first = index % panels * SNUG_PANEL;
    int64_t end = args->n - first < SNUG_PANEL ? args->n : first + SNUG_PANEL;
    struct snug_quantized_row row = snug_quantized_row(args->x, r, args->k);

    (void)worker;
    for (int64_t n = first; n < end; n++) {
        float y = product(args, &row, n);
        if (*row.count > 0)
            y = y + outliers(args, &row, n);
        args->y[r * args->y_ld + n] = args->bias ? y + args->bias[n] : y;
    }
}

enum snug_status snug_ref_linear_quantized(const struct snug_linear_quantized *args,
                                           struct snug_pool *pool)
{
    enum snug_status status = snug_check_linear_quantized(args);
    if (status)
        return status;
    snug_pool_run(pool, linear_task, (void *)(uintptr_t)args,
                  args->rows * snug_panel_count(args->n));
    return SNUG_STATUS_OK;
}
