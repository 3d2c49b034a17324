/* Rotary position embedding, rotate-half form, in place. Order: DESIGN 2.5.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

static void rope_task(void *context, int64_t row, int worker)
{
    const struct snug_rope *args = context;
    int64_t half = args->head_dim / 2;
    float position = (float)(args->positions ? args->positions[row] : args->first_position + row);
    const float *inv_freq = args->inv_freq + row * args->inv_freq_ld;

    (void)worker;
    for (int64_t i = 0; i < half; i++) {
        double sine, cosine;
        snug_sincos((double)(position * inv_freq[i]), &sine, &cosine);
        float s = (float)sine, c = (float)cosine;
        for (int64_t h = 0; h < args->heads; h++) {
            float *x = args->x + row * args->x_ld + h * args->head_dim + i;
            float a = x[0], b = x[half];
            x[0] = (a * c) - (b * s);
            x[half] = (b * c) + (a * s);
        }
    }
}

enum snug_status snug_ref_rope(const struct snug_rope *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_rope(args);
    if (status)
        return status;
    snug_pool_run(pool, rope_task, (void *)(uintptr_t)args, args->rows);
    return SNUG_STATUS_OK;
}
