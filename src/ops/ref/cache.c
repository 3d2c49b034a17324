/* Stores keys and values in the panels of their caches. DESIGN 2.7; layout: ops/op.h.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

/* True if the stored value is finite. */
static bool store(enum snug_dtype dtype, void *cache, int64_t at, float value)
{
    if (dtype == SNUG_DTYPE_F32) {
        ((float *)cache)[at] = value;
        return isfinite(value);
    }
    uint16_t half = snug_f32_to_f16(value);
    ((uint16_t *)cache)[at] = half;
    return (half & 0x7c00) != 0x7c00;
}

static void kv_store_task(void *context, int64_t index, int worker)
{
    const struct snug_kv_store *args = context;
    int64_t rows = args->sequences * args->rows_per_sequence;
    int64_t k_elements = snug_k_cache_elements(args->capacity, args->head_dim);
    int64_t v_elements = snug_v_cache_elements(args->capacity, args->head_dim);

    (void)index, (void)worker;
    for (int64_t r = 0; r < rows; r++) {
        int64_t sequence = r / args->rows_per_sequence;
        int64_t slot = snug_slot_of(args->slots, sequence);
        int64_t position = snug_first_position_of(args->positions, args->first_position, sequence) +
                           r % args->rows_per_sequence;
        int64_t from = args->source ? args->source[r] : r;
        for (int64_t c = 0; c < args->kv_heads * args->head_dim; c++) {
            int64_t head = slot * args->kv_heads + c / args->head_dim, d = c % args->head_dim;
            int64_t k_at = head * k_elements + snug_panel_index(position, d, args->head_dim);
            int64_t v_at = head * v_elements + snug_panel_index(d, position, args->capacity);
            bool k_finite = store(args->dtype, args->k_cache, k_at, args->k[from * args->k_ld + c]);
            bool v_finite = store(args->dtype, args->v_cache, v_at, args->v[from * args->v_ld + c]);
            if (args->non_finite && (!k_finite || !v_finite))
                args->non_finite[sequence] = true;
        }
    }
}

enum snug_status snug_ref_kv_store(const struct snug_kv_store *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_kv_store(args);
    if (status)
        return status;
    snug_pool_run(pool, kv_store_task, (void *)(uintptr_t)args, 1);
    return SNUG_STATUS_OK;
}
