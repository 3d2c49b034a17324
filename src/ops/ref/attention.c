/* Attention by blocks of 256 keys with an ordered fold. Order: DESIGN 2.6.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "ops/ref/ref.h"

/* One query row of one head against one kv head's panels. */
struct row {
    const struct snug_attention *args;
    int64_t k_first, v_first; /* index of the head's first element in the caches */
    float q[SNUG_MAX_HEAD_DIM];
    float *out; /* O of the fold, then the result */
    float max, sum;
};

/* Scores of keys [first, first + count), all of one block of 256, their maximum m, p = exp(s - m)
 * in place, and l. */
static float block_weights(const struct row *row, int64_t first, int64_t count, float p[256],
                           float *max)
{
    const struct snug_attention *args = row->args;
    float lane[32] = {0};

    for (int64_t j = 0; j < count; j++) {
        float acc = 0;
        for (int64_t k = 0; k < args->head_dim; k++) {
            int64_t at = row->k_first + snug_panel_index(first + j, k, args->head_dim);
            acc = fmaf(row->q[k], snug_ref_element(args->dtype, args->k_cache, at), acc);
        }
        p[j] = acc;
    }
    float m = p[0];
    for (int64_t j = 1; j < count; j++)
        m = m > p[j] ? m : p[j];
    for (int64_t j = 0; j < count; j++) {
        p[j] = snug_expf(p[j] - m);
        int64_t at = (first + j) % 32; /* a block begins at a multiple of 256 */
        lane[at] = lane[at] + p[j];
    }
    *max = m;
    return snug_ref_tree(lane);
}

static void fold_block(struct row *row, int64_t first, int64_t count, bool is_first)
{
    const struct snug_attention *args = row->args;
    float p[256], m, l = block_weights(row, first, count, p, &m);
    float new_max = row->max > m ? row->max : m;
    float a = snug_expf(row->max - new_max), b = snug_expf(m - new_max);

    for (int64_t d = 0; d < args->head_dim; d++) {
        float o = 0;
        for (int64_t j = 0; j < count; j++) {
            int64_t at = row->v_first + snug_panel_index(d, first + j, args->capacity);
            o = fmaf(p[j], snug_ref_element(args->dtype, args->v_cache, at), o);
        }
        row->out[d] = is_first ? o : fmaf(row->out[d], a, o * b);
    }
    row->sum = is_first ? l : fmaf(row->sum, a, l * b);
    row->max = is_first ? m : new_max;
}

static void attention_task(void *context, int64_t index, int worker)
{
    const struct snug_attention *args = context;
    int64_t head = index % args->heads, r = index / args->heads; /* row among all sequences */
    int64_t sequence = r / args->rows_per_sequence;
    int64_t position = snug_first_position_of(args->positions, args->first_position, sequence) +
                       r % args->rows_per_sequence;
    int64_t begin = args->first_keys ? args->first_keys[sequence] : 0;
    int64_t end = args->causal       ? position + 1
                  : args->key_counts ? begin + args->key_counts[sequence]
                                     : args->keys;
    int64_t cache = snug_slot_of(args->slots, sequence) * args->kv_heads +
                    head / (args->heads / args->kv_heads);
    struct row row = {.args = args,
                      .k_first = cache * snug_k_cache_elements(args->capacity, args->head_dim),
                      .v_first = cache * snug_v_cache_elements(args->capacity, args->head_dim),
                      .out = args->out + r * args->out_ld + head * args->head_dim};

    (void)worker;
    for (int64_t d = 0; d < args->head_dim; d++) {
        row.q[d] = args->q[r * args->q_ld + head * args->head_dim + d] * args->scale;
        row.out[d] = 0;
    }
    for (int64_t first = begin, next; first < end; first = next) {
        next = (first / 256 + 1) * 256;
        fold_block(&row, first, (next < end ? next : end) - first, first == begin);
    }
    for (int64_t d = 0; d < args->head_dim && end > begin; d++)
        row.out[d] = row.out[d] / row.sum;
}

enum snug_status snug_ref_attention(const struct snug_attention *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_attention(args);
    if (status)
        return status;
    snug_pool_run(pool, attention_task, (void *)(uintptr_t)args,
                  args->sequences * args->rows_per_sequence * args->heads);
    return SNUG_STATUS_OK;
}
