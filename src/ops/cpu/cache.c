/* Stores keys and values in the panels of their caches. DESIGN 2.7; layout: ops/op.h.
 *
 * Keys: 16 positions of a panel lie side by side for each dimension, so they are gathered first; a
 * panel that is only partly written keeps the keys of other positions. Values: 16 dimensions of a
 * position lie side by side; lanes beyond head_dim are never read as a result, so they need no
 * value. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define ALONE_BELOW_ELEMENTS 32768

/* Stores count <= 16 elements at cache[at ...]; true if all are finite as stored. */
static bool store(enum snug_dtype dtype, void *cache, int64_t at, const float value[SNUG_PANEL],
                  int64_t count)
{
    uint32_t bad = 0;

    if (dtype == SNUG_DTYPE_F32) {
        for (int64_t i = 0; i < count; i++)
            bad |= (snug_f32_bits(value[i]) & 0x7f800000u) == 0x7f800000u;
        memcpy((float *)cache + at, value, (size_t)count * sizeof(float));
        return bad == 0;
    }
    uint16_t half[SNUG_PANEL];
    UNROLL
    for (int v = 0; v < PANEL_VECS; v++)
        v_store_f16(half + v * SIMD_LANES, v_load(value + v * SIMD_LANES));
    for (int64_t i = 0; i < count; i++)
        bad |= (half[i] & 0x7c00u) == 0x7c00u;
    memcpy((uint16_t *)cache + at, half, (size_t)count * sizeof(uint16_t));
    return bad == 0;
}

/* The row of k and v that row r of all sequences is. */
static int64_t row_of(const struct snug_kv_store *args, int64_t r)
{
    return args->source ? args->source[r] : r;
}

/* Rows [row, row + count) of all, of one sequence and one panel of positions. k: of row 0. */
static bool store_keys(const struct snug_kv_store *args, int64_t cache_first, const float *k,
                       int64_t row, int64_t position, int64_t count)
{
    const float *rows[SNUG_PANEL];
    float value[SNUG_PANEL] = {0};
    bool finite = true;

    for (int64_t i = 0; i < count; i++)
        rows[i] = k + row_of(args, row + i) * args->k_ld;
    for (int64_t d = 0; d < args->head_dim; d++) {
        for (int64_t i = 0; i < count; i++)
            value[i] = rows[i][d];
        finite &= store(args->dtype, args->k_cache,
                        cache_first + snug_panel_index(position, d, args->head_dim), value, count);
    }
    return finite;
}

static bool store_values(const struct snug_kv_store *args, int64_t cache_first, const float *v,
                         int64_t position)
{
    bool finite = true;

    for (int64_t d = 0; d < args->head_dim; d += SNUG_PANEL) {
        float value[SNUG_PANEL] = {0};
        int64_t count = min_i64(SNUG_PANEL, args->head_dim - d);
        memcpy(value, v + d, (size_t)count * sizeof(float));
        finite &= store(args->dtype, args->v_cache,
                        cache_first + snug_panel_index(d, position, args->capacity), value, count);
    }
    return finite;
}

/* One kv head of one sequence. */
static void kv_store_task(void *context, int64_t index, int worker)
{
    const struct snug_kv_store *args = context;
    int64_t sequence = index / args->kv_heads, head = index % args->kv_heads;
    int64_t first = sequence * args->rows_per_sequence;
    int64_t cache = snug_slot_of(args->slots, sequence) * args->kv_heads + head;
    int64_t begin = snug_first_position_of(args->positions, args->first_position, sequence);
    const float *k = args->k + head * args->head_dim, *v = args->v + head * args->head_dim;
    bool finite = true;

    (void)worker;
    for (int64_t r = 0; r < args->rows_per_sequence;) {
        int64_t position = begin + r;
        int64_t count = min_i64(args->rows_per_sequence - r, SNUG_PANEL - position % SNUG_PANEL);
        finite &= store_keys(args, cache * snug_k_cache_elements(args->capacity, args->head_dim), k,
                             first + r, position, count);
        r += count;
    }
    for (int64_t r = 0; r < args->rows_per_sequence; r++)
        finite &= store_values(args, cache * snug_v_cache_elements(args->capacity, args->head_dim),
                               v + row_of(args, first + r) * args->v_ld, begin + r);
    if (!finite && args->non_finite)
        __atomic_store_n(&args->non_finite[sequence], true, __ATOMIC_RELAXED);
}

enum snug_status cpu_kv_store(const struct snug_kv_store *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_kv_store(args);
    if (status)
        return status;
    int64_t tasks = args->rows_per_sequence > 0 ? args->sequences * args->kv_heads : 0;
    int64_t elements = tasks * args->rows_per_sequence * args->head_dim;
    snug_pool_run(pool_if(pool, elements, ALONE_BELOW_ELEMENTS), kv_store_task,
                  (void *)(uintptr_t)args, tasks);
    return SNUG_STATUS_OK;
}
