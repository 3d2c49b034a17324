/* Ops whose backends more than one file of tests compares: how they are run, and what lies in a
 * cache beside the keys that are seen. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_TESTS_OPS_BACKENDS_RUN_H
#define SNUG_TESTS_OPS_BACKENDS_RUN_H

#include "backends_check.h"

static inline void run_residual(const void *args, const struct snug_ops *ops,
                                struct snug_pool *pool, struct floats out)
{
    struct snug_residual a = *(const struct snug_residual *)args;
    a.x = out.data;
    assert_int_equal(ops->residual(&a, pool), SNUG_STATUS_OK);
}

#define MAX_SEQUENCES 6

static inline void run_kv_store(const void *args, const struct snug_ops *ops,
                                struct snug_pool *pool, struct floats out)
{
    struct snug_kv_store a = *(const struct snug_kv_store *)args;
    bool found[MAX_SEQUENCES] = {false};
    int64_t caches = a.slots ? a.caches : a.sequences;
    int64_t k_elements = caches * a.kv_heads * snug_k_cache_elements(a.capacity, a.head_dim);
    a.k_cache = out.data;
    a.v_cache = out.data + (a.dtype == SNUG_DTYPE_F32 ? k_elements : (k_elements + 1) / 2);
    a.non_finite = found;
    assert_int_equal(ops->kv_store(&a, pool), SNUG_STATUS_OK);
    out.data[out.count - 1] = 0;
    for (int s = 0; s < MAX_SEQUENCES; s++)
        out.data[out.count - 1] += found[s] ? (float)(1 << s) : 0.0f;
    if (a.dtype == SNUG_DTYPE_F32)
        return;
    /* NaNs of 16 bits to one pattern, so that the comparison may be by bits */
    uint16_t *half = (void *)out.data;
    for (int64_t i = 0; i < (out.count - 1) * 2; i++)
        if ((half[i] & 0x7c00) == 0x7c00 && (half[i] & 0x3ff))
            half[i] = 0x7e00;
}

static inline void run_attention(const void *args, const struct snug_ops *ops,
                                 struct snug_pool *pool, struct floats out)
{
    struct snug_attention a = *(const struct snug_attention *)args;
    a.out = out.data;
    assert_int_equal(ops->attention(&a, pool), SNUG_STATUS_OK);
}

/* NaN in all of a head's panels but for positions [first, end): what is absent must not matter. */
static inline void poison(void *cache, enum snug_dtype dtype, int64_t elements, int64_t inner,
                          bool key, int64_t first, int64_t end)
{
    for (int64_t i = 0; i < elements; i++) {
        int64_t row = i / SNUG_PANEL % inner; /* dimension for keys, position for values */
        int64_t position = key ? i / SNUG_PANEL / inner * SNUG_PANEL + i % SNUG_PANEL : row;
        if (position >= first && position < end)
            continue;
        if (dtype == SNUG_DTYPE_F32)
            ((float *)cache)[i] = NAN;
        else
            ((uint16_t *)cache)[i] = 0x7e00;
    }
}

#endif
