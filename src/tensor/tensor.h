/* Element types, shapes, 16-bit floats, and the one layout of packed weights.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TENSOR_TENSOR_H
#define SNUG_TENSOR_TENSOR_H

#include "base/alloc.h"
#include "base/limits.h"

#include <string.h>

/* name, text as in safetensors, bits an element, what we do with it */
#define SNUG_DTYPE_LIST(X)                                                                         \
    X(BOOL, "BOOL", 8)                                                                             \
    X(U8, "U8", 8)                                                                                 \
    X(I8, "I8", 8)                                                                                 \
    X(F8_E5M2, "F8_E5M2", 8)                                                                       \
    X(F8_E4M3, "F8_E4M3", 8)                                                                       \
    X(F8_E8M0, "F8_E8M0", 8)                                                                       \
    X(F8_E4M3FNUZ, "F8_E4M3FNUZ", 8)                                                               \
    X(F8_E5M2FNUZ, "F8_E5M2FNUZ", 8)                                                               \
    X(I16, "I16", 16)                                                                              \
    X(U16, "U16", 16)                                                                              \
    X(F16, "F16", 16)                                                                              \
    X(BF16, "BF16", 16)                                                                            \
    X(I32, "I32", 32)                                                                              \
    X(U32, "U32", 32)                                                                              \
    X(F32, "F32", 32)                                                                              \
    X(F64, "F64", 64)                                                                              \
    X(I64, "I64", 64)                                                                              \
    X(U64, "U64", 64)                                                                              \
    X(C64, "C64", 64)                                                                              \
    X(F4, "F4", 4)                                                                                 \
    X(F6_E2M3, "F6_E2M3", 6)                                                                       \
    X(F6_E3M2, "F6_E3M2", 6)

enum snug_dtype {
#define X(name, text, bits) SNUG_DTYPE_##name,
    SNUG_DTYPE_LIST(X)
#undef X
        SNUG_DTYPE_COUNT
};

const char *snug_dtype_name(enum snug_dtype dtype);
int snug_dtype_bits(enum snug_dtype dtype);
size_t snug_dtype_size(enum snug_dtype dtype); /* bytes an element; asserts that bits % 8 == 0 */
bool snug_dtype_parse(const char *text, enum snug_dtype *out);

struct snug_shape {
    int rank;
    int64_t dims[SNUG_MAX_TENSOR_RANK];
};
/* Product of the dims, checked: false on overflow or a negative dim. Rank 0 has one element. */
bool snug_shape_elements(const struct snug_shape *shape, int64_t *out);
/* "[2, 17, 64]" into out. */
const char *snug_shape_format(const struct snug_shape *shape, char out[128]);

/* f16: round to nearest even, subnormals kept, overflow gives infinity, NaN stays NaN (quiet).
 * bf16: the top half of an f32; both widenings are exact. */
static inline float snug_bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
float snug_f16_to_f32(uint16_t bits);
uint16_t snug_f32_to_f16(float value);

/* n elements of f32, f16, bf16 (unaligned source allowed) to f32. */
void snug_widen(enum snug_dtype dtype, const void *source, int64_t n, float *out);

/* ---- panels: how every matrix operand that is reduced along k lies in memory ----
 *
 * A matrix W of n outputs by k terms is stored as ceil(n / 16) panels; panel p holds outputs 16p ..
 * 16p + 15 as k rows of 16 consecutive elements: element (n, k) at ((n / 16) * K + k) * 16 + n
 * % 16. Outputs past n are zero. So a vector register holds the same term of 16 outputs and every
 * backend vectorises across outputs, never along k (DESIGN 2.2); one layout serves the scalar
 * reference, 8 and 16 lanes, weights, keys and values. */
#define SNUG_PANEL 16
static inline int64_t snug_panel_count(int64_t n)
{
    return (n + SNUG_PANEL - 1) / SNUG_PANEL;
}
static inline int64_t snug_panel_index(int64_t n, int64_t k, int64_t k_count)
{
    return ((n / SNUG_PANEL) * k_count + k) * SNUG_PANEL + n % SNUG_PANEL;
}
static inline int64_t snug_panel_elements(int64_t n, int64_t k)
{
    return snug_panel_count(n) * k * SNUG_PANEL;
}

/* Packs panels [first_panel, end_panel) of a row-major [n, k] matrix of dtype f32, f16 or bf16
 * (element size kept; unaligned source allowed). */
void snug_panel_pack(enum snug_dtype dtype, const void *source, int64_t n, int64_t k,
                     int64_t first_panel, int64_t end_panel, void *out);

#endif
