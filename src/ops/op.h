/* The ops: what they compute is fixed by ops/ref, to the bit; every backend fills the same table.
 *
 * Matrices are f32 row-major [rows, cols] unless said otherwise, rows `ld` elements apart. Matrix
 * operands that are reduced along k (weights, keys, values) are panels (tensor/tensor.h). A backend
 * allocates nothing, checks shapes and returns a status; it may use the pool, and its bits do not
 * depend on it. NULL stands for "without" where a member says optional. Order of operations: DESIGN
 * 2, by rule. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_OP_H
#define SNUG_OPS_OP_H

#include "base/threads.h"
#include "tensor/quant.h"

/* y[r, n] = (sum_k x[r, k] * w[n, k]) + bias[n]. Rule 2: k in blocks of 256, one fmaf chain a block
 * from +0, block sums added ascending (the first taken as it is), then the bias. w: panels [n, k]
 * of dtype f32, f16 or bf16, widened exactly. y must not alias x. */
struct snug_linear {
    int64_t rows, n, k;
    const float *x;
    int64_t x_ld;
    enum snug_dtype w_dtype;
    const void *w;
    const float *bias; /* [n], optional */
    float *y;
    int64_t y_ld;
};

/* Rows of activations to integers, rules 11 and 12: x [rows, k] to records (tensor/quant.h) at y.
 * Per row: if 0 < 128 * c <= k for the number c of |x| >= threshold (0: no outliers), those leave
 * for the record's list. Per group of 128: amax of what is left, q = rne(x * (127 / amax)), scale =
 * amax / 127; amax < 2^-100 gives zeros. A row with a NaN or an infinity has zeros for q and NaN
 * for every scale, so that whatever is computed of it is NaN and the first op at fault can be
 * named. */
struct snug_quantize {
    int64_t rows, k;
    const float *x;
    int64_t x_ld;
    float threshold;
    void *y;
};

/* y[r, n] = (product + o) + bias[n] with a quantised weight, rules 11 to 13. The product over the
 * weight's groups ascending from +0: acc = fmaf((float)S * sx, sw, acc), S the exact sum of q(x) *
 * q(w). o over the row's outliers ascending from +0: o = fmaf(x, (float)q(w) * sw, o); not added
 * where none left. */
struct snug_linear_quantized {
    int64_t rows, n, k;
    const void *x; /* records */
    enum snug_quant quant;
    const void *w;
    const uint16_t *w_scales;
    const float *bias; /* [n], optional */
    float *y;
    int64_t y_ld;
};

/* y = ((x - mean) * s) * w + b, rule 3 and 15. x and y may alias (same ld). b optional. */
struct snug_norm {
    int64_t rows, cols;
    const float *x;
    int64_t x_ld;
    const float *w, *b;
    float eps;
    float *y;
    int64_t y_ld;
};

/* x[r, c] = x[r, c] + (g[c] * y[r, c]); without g: x + y. g optional [cols]. With gate (optional,
 * one number; not with g): x + (tanh(gate[0]) * y). mask optional [rows]: a row whose mask is 0 is
 * left as it is. */
struct snug_residual {
    int64_t rows, cols;
    float *x;
    const float *y, *g;
    const float *gate;
    const int32_t *mask;
};

/* x[r, c] = x[r, c] + (g * table[i, c]), i = index[r], without index r mod table_rows; i = -1
 * leaves the row as it is. g = tanh(gate[0]), complement: 1 - tanh(gate[0]). table [table_rows,
 * cols]: rows of f32, f16 or bf16, widened exactly. */
struct snug_add_rows {
    int64_t rows, cols, table_rows;
    float *x;
    const int32_t *index; /* [rows] in [-1, table_rows), optional */
    enum snug_dtype table_dtype;
    const void *table;
    const float *gate;
    bool complement;
};

/* In place or not, elementwise. gelu (erf form): y = gelu(x). silu_mul: y = silu(x) * up. */
struct snug_unary {
    int64_t count;
    const float *x;
    const float *up; /* silu_mul only */
    float *y;
};

/* Rotate-half RoPE in place on x [rows, heads, head_dim] (rows x_ld apart): pair (i, i + head_dim /
 * 2), angle = f32(position) * inv_freq[i] in f32, cos and sin the f32 of the f64 value at that
 * angle. Position of row r = positions[r], or first_position + r without positions. */
struct snug_rope {
    int64_t rows, heads, head_dim, first_position;
    const float *inv_freq;    /* [head_dim / 2], or a row of that for every row of x */
    int64_t inv_freq_ld;      /* 0: one row of frequencies for all */
    const int32_t *positions; /* [rows], optional */
    float *x;
    int64_t x_ld;
};

/* Stores keys and values of `rows` tokens in caches (rows = sequences * rows_per_sequence):
 * sequence s in cache slots[s], from position positions[s] on; without slots in cache s, without
 * positions from first_position on. Slots must differ. k, v: [rows, kv_heads * head_dim].
 * Cache of keys, per sequence and head: panels [capacity keys, head_dim]; of values: panels
 * [head_dim, capacity] (output = dimension, k = position). dtype f32, or f16 (nearest even;
 * overflow gives infinity: non_finite[s] is set if any stored element of sequence s is not finite,
 * for f32 too). capacity: a multiple of SNUG_PANEL. */
struct snug_kv_store {
    int64_t sequences, rows_per_sequence, kv_heads, head_dim, capacity, first_position;
    const float *k, *v;
    int64_t k_ld, v_ld;
    enum snug_dtype dtype;
    void *k_cache, *v_cache;          /* [caches][kv_heads][panels] */
    int64_t caches;                   /* how many there are; only looked at with slots */
    const int32_t *slots, *positions; /* [sequences], both optional */
    bool *non_finite;                 /* [sequences], optional; set to true, never to false */
    const int32_t *source; /* [rows_per_sequence], optional, one sequence only: row r is */
    int64_t source_rows;   /* row source[r] of the source_rows that k and v have */
};
/* The cache of sequence s, and the position of its first row (kv_store, attention). */
static inline int64_t snug_slot_of(const int32_t *slots, int64_t s)
{
    return slots ? slots[s] : s;
}
static inline int64_t snug_first_position_of(const int32_t *positions, int64_t first_position,
                                             int64_t s)
{
    return positions ? positions[s] : first_position;
}
/* Elements of one sequence's and head's panels: keys capacity * head_dim; values round_up(head_dim,
 * 16) * capacity. */
static inline int64_t snug_k_cache_elements(int64_t capacity, int64_t head_dim)
{
    return snug_panel_elements(capacity, head_dim);
}
static inline int64_t snug_v_cache_elements(int64_t capacity, int64_t head_dim)
{
    return snug_panel_elements(head_dim, capacity);
}

/* Attention, rule 6. q [rows, heads * head_dim]; query head h reads kv head h / (heads / kv_heads).
 * Sequence s reads cache slots[s], without slots cache s. Its row r has position positions[s] + r,
 * without positions first_position + r, and sees keys [0, position] if causal, else [0, keys), or
 * with first_keys and key_counts [first_keys[s], first_keys[s] + key_counts[s]), below keys. A row
 * that sees no key is +0. q is multiplied by scale first. out [rows, heads * head_dim]; must not
 * alias q. */
struct snug_attention {
    int64_t sequences, rows_per_sequence, heads, kv_heads, head_dim, capacity, first_position, keys;
    bool causal;
    float scale; /* f32(1 / sqrt(f64(head_dim))) */
    const float *q;
    int64_t q_ld;
    enum snug_dtype dtype;
    const void *k_cache, *v_cache;
    int64_t caches;                         /* how many there are; only looked at with slots */
    const int32_t *slots, *positions;       /* [sequences], both optional; positions: causal only */
    const int32_t *first_keys, *key_counts; /* [sequences], both or none; not causal only */
    float *out;
    int64_t out_ld;
};

/* pixels [tiles, 3, side, side] to patches [tiles * grid * grid, 3 * patch * patch], (channel, y,
 * x). */
struct snug_patches {
    int64_t tiles, side, patch;
    const float *pixels;
    float *y;
};

/* y [tiles, 1 + count, d]: row 0 = cls + position[0], row 1 + i = x[i] + position[1 + i]; without
 * position the rows as they are. */
struct snug_vision_embed {
    int64_t tiles, count, d;
    const float *x;        /* [tiles, count, d] */
    const float *cls;      /* [d] */
    const float *position; /* [1 + count, d], optional */
    float *y;
};

/* Drops row 0 of every tile: x [tiles, 1 + count, d] to y [tiles, count, d]. */
struct snug_drop_cls {
    int64_t tiles, count, d;
    const float *x;
    float *y;
};

/* Space to depth by 2: x [tiles, grid * grid, d] to y [tiles, (grid / 2)^2, 4 d]; neighbours in the
 * order top-left, top-right, bottom-left, bottom-right. transposed: ps_version "v1" (token Q * grid
 * / 2 + R). */
struct snug_pixel_shuffle {
    int64_t tiles, grid, d;
    bool transposed;
    const float *x;
    float *y;
};

/* y[r] = image_row[r] >= 0 ? features[image_row[r]] : row ids[r] of the table (panels [vocabulary,
 * d], widened exactly). ids must be in [0, vocabulary): SHAPE otherwise. */
struct snug_embed {
    int64_t rows, d, vocabulary, feature_rows;
    const int32_t *ids, *image_row;
    enum snug_dtype table_dtype;
    const void *table;
    const float *features; /* optional if no image_row is >= 0 */
    float *y;
};

/* argmax (ties: lowest id), the maximum, L = sum of exp((x - max)) over rule 3's lanes, and whether
 * every logit is finite. temperature > 0 divides first: exp(x / T - max / T as computed by rule 9).
 */
struct snug_logit_stats {
    int64_t count;
    const float *logits;
    int64_t argmax; /* out */
    float max, sum; /* out: sum at T = 1 */
    bool finite;    /* out */
};

struct snug_ops {
    const char *name; /* "ref", "avx2", "avx512" */
    enum snug_status (*linear)(const struct snug_linear *args, struct snug_pool *pool);
    enum snug_status (*quantize)(const struct snug_quantize *args, struct snug_pool *pool);
    enum snug_status (*linear_quantized)(const struct snug_linear_quantized *args,
                                         struct snug_pool *pool);
    enum snug_status (*layer_norm)(const struct snug_norm *args, struct snug_pool *pool);
    enum snug_status (*rms_norm)(const struct snug_norm *args, struct snug_pool *pool);
    enum snug_status (*residual)(const struct snug_residual *args, struct snug_pool *pool);
    enum snug_status (*add_rows)(const struct snug_add_rows *args, struct snug_pool *pool);
    enum snug_status (*gelu)(const struct snug_unary *args, struct snug_pool *pool);
    enum snug_status (*silu_mul)(const struct snug_unary *args, struct snug_pool *pool);
    enum snug_status (*rope)(const struct snug_rope *args, struct snug_pool *pool);
    enum snug_status (*kv_store)(const struct snug_kv_store *args, struct snug_pool *pool);
    enum snug_status (*attention)(const struct snug_attention *args, struct snug_pool *pool);
    enum snug_status (*patches)(const struct snug_patches *args, struct snug_pool *pool);
    enum snug_status (*vision_embed)(const struct snug_vision_embed *args, struct snug_pool *pool);
    enum snug_status (*drop_cls)(const struct snug_drop_cls *args, struct snug_pool *pool);
    enum snug_status (*pixel_shuffle)(const struct snug_pixel_shuffle *args,
                                      struct snug_pool *pool);
    enum snug_status (*embed)(const struct snug_embed *args, struct snug_pool *pool);
    enum snug_status (*logit_stats)(struct snug_logit_stats *args, struct snug_pool *pool);
};

/* The law. */
const struct snug_ops *snug_ops_ref(void);
/* By name ("ref", "avx2", "avx512"); NULL if unknown or if this processor cannot run it. "auto" or
 * NULL: the best this processor runs. */
const struct snug_ops *snug_ops_find(const char *name);
/* All backends compiled in, NULL-terminated; runnable says whether this processor can. */
struct snug_backend {
    const struct snug_ops *ops;
    bool runnable;
};
size_t snug_ops_list(struct snug_backend out[8]);

#endif
