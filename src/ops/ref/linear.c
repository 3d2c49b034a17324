/* y[r, n] = (sum_k x[r, k] w[n, k]) + bias[n]. Order: DESIGN 2.2.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

/* k in blocks of 256: inside a block one chain from +0; block sums ascending, the first as it is.
 */
static float dot(const struct snug_linear *args, const float *x, int64_t n)
{
    float sum = 0;

    for (int64_t block = 0; block < args->k; block += 256) {
        int64_t end = args->k - block < 256 ? args->k : block + 256;
        float acc = 0;
        for (int64_t k = block; k < end; k++)
            acc = fmaf(x[k],
                       snug_ref_element(args->w_dtype, args->w, snug_panel_index(n, k, args->k)),
                       acc);
        sum = block == 0 ? acc : sum + acc;
    }
    return sum;
}

/* One row of one panel of outputs. */
static void linear_task(void *context, int64_t index, int worker)
{
    const struct snug_linear *args = context;
    int64_t panels = snug_panel_count(args->n), row = index / panels;
    int64_t first = index % panels * SNUG_PANEL;
    int64_t end = args->n - first < SNUG_PANEL ? args->n : first + SNUG_PANEL;

    (void)worker;
    for (int64_t n = first; n < end; n++) {
        float sum = dot(args, args->x + row * args->x_ld, n);
        args->y[row * args->y_ld + n] = args->bias ? sum + args->bias[n] : sum;
    }
}

enum snug_status snug_ref_linear(const struct snug_linear *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_linear(args);
    if (status)
        return status;
    snug_pool_run(pool, linear_task, (void *)(uintptr_t)args,
                  args->rows * snug_panel_count(args->n));
    return SNUG_STATUS_OK;
}
