/* What sampling wants to know of a row of logits. DESIGN 2.9, 2.10; the sum by DESIGN 2.3.
 *
 * The maximum of finite numbers does not depend on the order, up to the sign of zero, and its first
 * place is sought afterwards; with a NaN it would depend on it, so then the plain loop decides, as
 * in the reference. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define CHUNK 256 /* a multiple of 32 */

static bool all_finite(const float *x, int64_t count)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++)
        bad |= (snug_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u;
    return bad == 0;
}

static int64_t first_maximum(const float *x, int64_t count)
{
    int64_t best = 0, full = count / 32 * 32;

    if (full > 0) {
        vec top[LANE_VECS];
        float lane[32];
        for (int v = 0; v < LANE_VECS; v++)
            top[v] = v_load(x + v * SIMD_LANES);
        for (int64_t i = 32; i < full; i += 32) {
            for (int v = 0; v < LANE_VECS; v++)
                top[v] = v_max(top[v], v_load(x + i + v * SIMD_LANES));
        }
        for (int v = 0; v < LANE_VECS; v++)
            v_store(lane + v * SIMD_LANES, top[v]);
        for (int i = 1; i < 32; i++)
            lane[0] = lane[i] > lane[0] ? lane[i] : lane[0];
        while (x[best] != lane[0])
            best++;
    }
    for (int64_t i = full; i < count; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static int64_t first_maximum_plain(const float *x, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 0; i < count; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static float sum_of_exp(const float *x, int64_t count, float max)
{
    vec lanes[LANE_VECS];

    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_set1(0.0f);
    for (int64_t first = 0; first < count; first += CHUNK) {
        int64_t taken = min_i64(CHUNK, count - first);
        float p[CHUNK] = {0}; /* adding +0 changes no lane: none is ever -0 */
        for (int64_t i = 0; i < taken; i++)
            p[i] = snug_expf(x[first + i] - max);
        for (int64_t i = 0; i < taken; i += 32) {
            for (int v = 0; v < LANE_VECS; v++)
                lanes[v] = v_add(lanes[v], v_load(p + i + v * SIMD_LANES));
        }
    }
    return lane_tree(lanes);
}

static void logit_stats_task(void *context, int64_t index, int worker)
{
    struct snug_logit_stats *args = context;

    (void)index, (void)worker;
    args->finite = all_finite(args->logits, args->count);
    args->argmax = args->finite ? first_maximum(args->logits, args->count)
                                : first_maximum_plain(args->logits, args->count);
    args->max = args->logits[args->argmax];
    args->sum = sum_of_exp(args->logits, args->count, args->max);
}

enum snug_status cpu_logit_stats(struct snug_logit_stats *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_logit_stats(args);
    if (status)
        return status;
    (void)pool; /* a tenth of a millisecond; the run saves and restores the control word */
    snug_pool_run(NULL, logit_stats_task, args, 1);
    return SNUG_STATUS_OK;
}
