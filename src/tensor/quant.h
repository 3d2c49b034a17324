/* Quantised matrices and rows: layouts and how a value becomes an integer (DESIGN 2.11 to 2.13).
 *
 * A weight [n, k] lies in two arrays, panels of 16 outputs as everywhere (tensor.h):
 *
 *     q8     panel p, quad j: 64 bytes, byte 4 o + i = q(16 p + o, 4 j + i) + 128, in 1 .. 255
 *     q4     panel p, octet j: 64 bytes; byte 4 o + i holds q + 8, in 0 .. 15: of term 8 j + i in
 *            its low four bits, of term 8 j + 4 + i in its high four
 *     scales f16, panel p, group g, output o at (p * groups + g) * 16 + o
 *
 * So 4 bytes of one output lie side by side for the instructions that sum four products, and a
 * register holds them of 8 or 16 outputs. Bytes are unsigned, because those instructions multiply
 * unsigned by signed; what the offset adds is 128 (or 8) times the sum of the row's integers, which
 * every row carries. Terms past k and outputs past n have q = 0. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TENSOR_QUANT_H
#define SNUG_TENSOR_QUANT_H

#include "tensor/tensor.h"

#define SNUG_QUANT_GROUP 128 /* terms that share a scale: of activations, and of q8 weights */
#define SNUG_Q4_GROUP 32     /* of q4 weights */

/* How a matrix is held: as stored, or quantised. */
enum snug_quant { SNUG_QUANT_NONE, SNUG_QUANT_Q8, SNUG_QUANT_Q4 };
const char *snug_quant_name(enum snug_quant quant); /* "none", "q8", "q4" */
bool snug_quant_parse(const char *text, enum snug_quant *out);

static inline int64_t snug_quant_groups(enum snug_quant quant, int64_t k)
{
    int64_t group = quant == SNUG_QUANT_Q4 ? SNUG_Q4_GROUP : SNUG_QUANT_GROUP;
    return (k + group - 1) / group;
}
/* Bytes of one panel's integers; a multiple of 64. */
static inline int64_t snug_quant_panel_bytes(enum snug_quant quant, int64_t k)
{
    return quant == SNUG_QUANT_Q4 ? (k + 7) / 8 * 64 : (k + 3) / 4 * 64;
}
static inline int64_t snug_quant_bytes(enum snug_quant quant, int64_t n, int64_t k)
{
    return snug_panel_count(n) * snug_quant_panel_bytes(quant, k);
}
/* Elements of the array of scales. */
static inline int64_t snug_quant_scale_count(enum snug_quant quant, int64_t n, int64_t k)
{
    return snug_panel_count(n) * snug_quant_groups(quant, k) * SNUG_PANEL;
}
/* q of weight (n, k). */
static inline int snug_quant_at(enum snug_quant quant, const unsigned char *q, int64_t n, int64_t k,
                                int64_t k_count)
{
    const unsigned char *panel =
        q + n / SNUG_PANEL * snug_quant_panel_bytes(quant, k_count) + n % SNUG_PANEL * 4 + k % 4;
    if (quant == SNUG_QUANT_Q8)
        return panel[k / 4 * 64] - 128;
    return (panel[k / 8 * 64] >> (k & 4) & 15) - 8;
}
static inline int64_t snug_quant_scale_index(enum snug_quant quant, int64_t n, int64_t k,
                                             int64_t k_count)
{
    int64_t group = k / (quant == SNUG_QUANT_Q4 ? SNUG_Q4_GROUP : SNUG_QUANT_GROUP);
    return (n / SNUG_PANEL * snug_quant_groups(quant, k_count) + group) * SNUG_PANEL +
           n % SNUG_PANEL;
}

/* What quantising did to a weight: squares of w - q * sw and of w, summed in f64. */
struct snug_quant_error {
    double difference, weight;
};

/* Quantises panels [first_panel, end_panel) of a row-major [n, k] matrix of dtype f32, f16 or bf16
 * (unaligned source allowed) into the two arrays, which begin at panel 0. error (may be NULL) is
 * added to. Returns -1, or the first output that holds a value that is not finite or has too large
 * a scale for f16. */
int64_t snug_quant_pack(enum snug_quant quant, enum snug_dtype dtype, const void *source, int64_t n,
                        int64_t k, int64_t first_panel, int64_t end_panel, unsigned char *q,
                        uint16_t *scales, struct snug_quant_error *error);

/* ---- rows of activations ----
 * One record a row, snug_quantized_row_bytes(k) apart:
 *
 *     q         int8  [groups * 128]  zero past k, and where an outlier left
 *     scale     f32   [groups]        sx
 *     sums      int16 [groups * 4]    of q, by 32 terms
 *     count     int32                 outliers that left, at most k / 128
 *     outlier_k int32 [k / 128]       ascending
 *     outlier_x f32   [k / 128]
 *
 * then zeros up to a multiple of 64 bytes. */
struct snug_quantized_row {
    int8_t *q;
    float *scale;
    int16_t *sums;
    int32_t *count, *outlier_k;
    float *outlier_x;
};
static inline int64_t snug_quantized_row_bytes(int64_t k)
{
    int64_t groups = snug_quant_groups(SNUG_QUANT_Q8, k), outliers = k / SNUG_QUANT_GROUP;
    return (groups * (SNUG_QUANT_GROUP + 4 + 8) + 4 + outliers * 8 + 63) / 64 * 64;
}
static inline struct snug_quantized_row snug_quantized_row(const void *rows, int64_t row, int64_t k)
{
    int64_t groups = snug_quant_groups(SNUG_QUANT_Q8, k), outliers = k / SNUG_QUANT_GROUP;
    /* Readers and writers share this; whoever only reads keeps to reading. */
    char *at = (char *)(uintptr_t)rows + row * snug_quantized_row_bytes(k);
    struct snug_quantized_row r = {.q = (int8_t *)at};
    r.scale = (float *)(void *)(at + groups * SNUG_QUANT_GROUP);
    r.sums = (int16_t *)(void *)(r.scale + groups);
    r.count = (int32_t *)(void *)(r.sums + groups * 4);
    r.outlier_k = r.count + 1;
    r.outlier_x = (float *)(void *)(r.outlier_k + outliers);
    return r;
}

#endif
