/* Rotary position embedding, rotate-half form, in place. Order: DESIGN 2.5.
 *
 * The sines of a row serve all its heads; they are computed in f64 by the same function as the
 * reference's. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define TASK_ROWS 8

static void rotate(float *x, const float *sine, const float *cosine, int64_t half)
{
    INDEPENDENT
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[half + i];
        x[i] = (a * cosine[i]) - (b * sine[i]);
        x[half + i] = (b * cosine[i]) + (a * sine[i]);
    }
}

static void rope_task(void *context, int64_t index, int worker)
{
    const struct snug_rope *args = context;
    int64_t half = args->head_dim / 2, end = min_i64(args->rows, (index + 1) * TASK_ROWS);
    float sine[SNUG_MAX_HEAD_DIM / 2], cosine[SNUG_MAX_HEAD_DIM / 2];

    (void)worker;
    for (int64_t row = index * TASK_ROWS; row < end; row++) {
        float position =
            (float)(args->positions ? args->positions[row] : args->first_position + row);
        const float *inv_freq = args->inv_freq + row * args->inv_freq_ld;
        for (int64_t i = 0; i < half; i++) {
            double s, c;
            snug_sincos((double)(position * inv_freq[i]), &s, &c);
            sine[i] = (float)s;
            cosine[i] = (float)c;
        }
        for (int64_t h = 0; h < args->heads; h++)
            rotate(args->x + row * args->x_ld + h * args->head_dim, sine, cosine, half);
    }
}

enum snug_status cpu_rope(const struct snug_rope *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_rope(args);
    if (status)
        return status;
    snug_pool_run(pool, rope_task, (void *)(uintptr_t)args, ceil_div(args->rows, TASK_ROWS));
    return SNUG_STATUS_OK;
}
