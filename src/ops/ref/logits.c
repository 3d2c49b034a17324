/* What sampling wants to know of a row of logits. DESIGN 2.9, 2.10; the sum by DESIGN 2.3.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

static void logit_stats_task(void *context, int64_t index, int worker)
{
    struct snug_logit_stats *args = context;
    const float *x = args->logits;
    float lane[32] = {0};
    bool finite = true;
    int64_t best = 0;

    (void)index, (void)worker;
    for (int64_t i = 0; i < args->count; i++) {
        finite = finite && isfinite(x[i]);
        if (x[i] > x[best])
            best = i;
    }
    for (int64_t i = 0; i < args->count; i++)
        lane[i % 32] = lane[i % 32] + snug_expf(x[i] - x[best]);
    args->argmax = best;
    args->max = x[best];
    args->sum = snug_ref_tree(lane);
    args->finite = finite;
}

enum snug_status snug_ref_logit_stats(struct snug_logit_stats *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_logit_stats(args);
    if (status)
        return status;
    snug_pool_run(pool, logit_stats_task, args, 1);
    return SNUG_STATUS_OK;
}
