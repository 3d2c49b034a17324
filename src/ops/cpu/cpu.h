/* What the kernel files share. Every name here is the instruction set's own (SIMD_NAME), because
 * the files are compiled once for each. Arguments and errors of the ops: ops/op.h. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_CPU_CPU_H
#define SNUG_OPS_CPU_CPU_H

#include "ops/check.h"
#include "ops/cpu/backends.h"
#include "ops/cpu/simd.h"

#define cpu_linear SIMD_NAME(linear)
#define cpu_quantize SIMD_NAME(quantize)
#define cpu_linear_quantized SIMD_NAME(linear_quantized)
#define cpu_layer_norm SIMD_NAME(layer_norm)
#define cpu_rms_norm SIMD_NAME(rms_norm)
#define cpu_residual SIMD_NAME(residual)
#define cpu_add_rows SIMD_NAME(add_rows)
#define cpu_gelu SIMD_NAME(gelu)
#define cpu_silu_mul SIMD_NAME(silu_mul)
#define cpu_rope SIMD_NAME(rope)
#define cpu_kv_store SIMD_NAME(kv_store)
#define cpu_attention SIMD_NAME(attention)
#define cpu_patches SIMD_NAME(patches)
#define cpu_vision_embed SIMD_NAME(vision_embed)
#define cpu_drop_cls SIMD_NAME(drop_cls)
#define cpu_pixel_shuffle SIMD_NAME(pixel_shuffle)
#define cpu_embed SIMD_NAME(embed)
#define cpu_logit_stats SIMD_NAME(logit_stats)
#define cpu_gemm SIMD_NAME(gemm)
#define cpu_gemm_quantized SIMD_NAME(gemm_quantized)
#define cpu_gemm_quantized_rows SIMD_NAME(gemm_quantized_rows)
#define cpu_gemm_wide SIMD_NAME(gemm_wide)

enum snug_status cpu_linear(const struct snug_linear *args, struct snug_pool *pool);
enum snug_status cpu_quantize(const struct snug_quantize *args, struct snug_pool *pool);
enum snug_status cpu_linear_quantized(const struct snug_linear_quantized *args,
                                      struct snug_pool *pool);
enum snug_status cpu_layer_norm(const struct snug_norm *args, struct snug_pool *pool);
enum snug_status cpu_rms_norm(const struct snug_norm *args, struct snug_pool *pool);
enum snug_status cpu_add_rows(const struct snug_add_rows *args, struct snug_pool *pool);
enum snug_status cpu_residual(const struct snug_residual *args, struct snug_pool *pool);
enum snug_status cpu_gelu(const struct snug_unary *args, struct snug_pool *pool);
enum snug_status cpu_silu_mul(const struct snug_unary *args, struct snug_pool *pool);
enum snug_status cpu_rope(const struct snug_rope *args, struct snug_pool *pool);
enum snug_status cpu_kv_store(const struct snug_kv_store *args, struct snug_pool *pool);
enum snug_status cpu_attention(const struct snug_attention *args, struct snug_pool *pool);
enum snug_status cpu_patches(const struct snug_patches *args, struct snug_pool *pool);
enum snug_status cpu_vision_embed(const struct snug_vision_embed *args, struct snug_pool *pool);
enum snug_status cpu_drop_cls(const struct snug_drop_cls *args, struct snug_pool *pool);
enum snug_status cpu_pixel_shuffle(const struct snug_pixel_shuffle *args, struct snug_pool *pool);
enum snug_status cpu_embed(const struct snug_embed *args, struct snug_pool *pool);
enum snug_status cpu_logit_stats(struct snug_logit_stats *args, struct snug_pool *pool);

/* ---- the matrix product of one k block (gemm.c) ---- */

/* Rows of x lie this far apart: one k block, so that the kernels' addresses are constants. */
#define GEMM_LD 256

enum gemm_mode {
    GEMM_STORE,    /* y = the chain from +0 */
    GEMM_ADD,      /* y = y + the chain from +0 */
    GEMM_CONTINUE, /* y = the chain from y */
};

/* y[r, c] for r in [0, rows), c in [0, 16 * panels): one fmaf chain an output over k in [0, count).
 * Then y = y + bias[c] if there is a bias. All lanes of every panel are written. */
struct gemm {
    int64_t rows, panels, count;
    const float *x; /* [rows, count], GEMM_LD apart */
    enum snug_dtype dtype;
    const void *w;        /* first panel, at its first term */
    int64_t panel_stride; /* elements from panel to panel */
    float *y;
    int64_t y_ld;
    enum gemm_mode mode;
    const float *bias; /* [16 * panels], optional */
};
void cpu_gemm(const struct gemm *g);
/* How many panels a product of so few rows likes to take at once. */
int64_t cpu_gemm_wide(int64_t rows);

/* ---- the same of quantised operands (gemm_quantized.c) ---- */

/* Bytes of 128 integers of a row as the kernels take them: 16 bits each where there is no VNNI and
 * weights have 8. One distance for all. */
#define QUANT_A_LD (SIMD_VNNI ? 128 : 256)

/* y[r, c] = fmaf((float)S * sx, sw, y or +0) for some groups of 128 terms on end. */
struct gemm_quantized {
    int64_t rows, panels, groups, terms; /* terms: of these groups, the last may be short */
    enum snug_quant quant;
    const char *a;          /* [groups][rows], QUANT_A_LD bytes each */
    const float *sx;        /* [groups][rows] */
    const int32_t *comp;    /* [groups][rows]: what the offset of w added, negated; q4: [..][4] */
    const unsigned char *w; /* first panel's first group */
    int64_t w_panel;        /* bytes from panel to panel */
    const uint16_t *scales; /* likewise */
    int64_t scale_panel;    /* elements from panel to panel */
    float *y;
    int64_t y_ld;
    bool first; /* these are the row's first groups: from +0 */
};
void cpu_gemm_quantized(const struct gemm_quantized *g);
/* With so many rows or fewer, weights are unpacked in registers as they are read. */
int64_t cpu_gemm_quantized_rows(void);

/* ---- sharing work ---- */

/* The pool, or NULL (the caller alone) where waking threads costs more than the work. */
static inline struct snug_pool *pool_if(struct snug_pool *pool, int64_t work, int64_t threshold)
{
    return work < threshold ? NULL : pool;
}
static inline int64_t pool_threads(struct snug_pool *pool)
{
    return pool ? snug_pool_threads(pool) : 1;
}
static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
