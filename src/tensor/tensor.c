/* Element types, shapes, 16-bit floats in plain C, and packing into panels.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <stdio.h>

static const struct {
    const char *name;
    int bits;
} dtype_table[SNUG_DTYPE_COUNT] = {
#define X(name, text, bits) {text, bits},
    SNUG_DTYPE_LIST(X)
#undef X
};

const char *snug_dtype_name(enum snug_dtype dtype)
{
    SNUG_ASSERT((unsigned)dtype < SNUG_DTYPE_COUNT);
    return dtype_table[dtype].name;
}

int snug_dtype_bits(enum snug_dtype dtype)
{
    SNUG_ASSERT((unsigned)dtype < SNUG_DTYPE_COUNT);
    return dtype_table[dtype].bits;
}

size_t snug_dtype_size(enum snug_dtype dtype)
{
    int bits = snug_dtype_bits(dtype);

    SNUG_ASSERT(bits % 8 == 0);
    return (size_t)bits / 8;
}

bool snug_dtype_parse(const char *text, enum snug_dtype *out)
{
    for (int i = 0; i < SNUG_DTYPE_COUNT; i++) {
        if (strcmp(text, dtype_table[i].name) == 0) {
            *out = (enum snug_dtype)i;
            return true;
        }
    }
    return false;
}

bool snug_shape_elements(const struct snug_shape *shape, int64_t *out)
{
    int64_t product = 1;

    if (shape->rank < 0 || shape->rank > SNUG_MAX_TENSOR_RANK)
        return false;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0 || __builtin_mul_overflow(product, shape->dims[i], &product))
            return false;
    }
    *out = product;
    return true;
}

const char *snug_shape_format(const struct snug_shape *shape, char out[128])
{
    const size_t room = 128;
    int rank = shape->rank < 0                      ? 0
               : shape->rank > SNUG_MAX_TENSOR_RANK ? SNUG_MAX_TENSOR_RANK
                                                    : shape->rank;
    size_t used = 0;

    out[used++] = '[';
    for (int i = 0; i < rank; i++) {
        char number[24];
        int length =
            snprintf(number, sizeof number, "%s%lld", i ? ", " : "", (long long)shape->dims[i]);

        if ((size_t)length > room - 6 - used) { /* "...]" and its NUL must still fit */
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(out + used, number, (size_t)length);
        used += (size_t)length;
    }
    out[used++] = ']';
    out[used] = '\0';
    return out;
}

/* ---- 16-bit floats ---- */

/* All three cases are computed and one is chosen, so that a loop over it vectorises. None of them
 * meets an f32 denormal, so the control word does not matter. */
static inline float f16_widen(uint16_t bits)
{
    uint32_t magnitude = bits & 0x7fffu, wide, tiny_bits;
    float tiny = (float)(int32_t)magnitude * 0x1p-24f, value; /* subnormal: units of 2^-24 */

    memcpy(&tiny_bits, &tiny, sizeof tiny_bits);
    wide = (magnitude << 13) + (112u << 23); /* normal: rebias 15 to 127 */
    wide = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : wide;
    wide = magnitude > 0x7c00u ? wide | 0x00400000u : wide; /* NaN, made quiet */
    wide = magnitude < 0x0400u ? tiny_bits : wide;
    wide |= (uint32_t)(bits & 0x8000u) << 16;
    memcpy(&value, &wide, sizeof value);
    return value;
}

float snug_f16_to_f32(uint16_t bits)
{
    return f16_widen(bits);
}

uint16_t snug_f32_to_f16(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u) /* NaN: the payload's top bits, quiet */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x03ffu));
    if (magnitude >= 0x477ff000u) /* 65520, half-way to 2^16, and above */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude >=
        0x38800000u) { /* 2^-14: normal; a carry moves into the exponent as it should */
        uint32_t rounded = magnitude + 0x0fffu + (magnitude >> 13 & 1u);
        return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
    }
    if (magnitude <= 0x33000000u) /* 2^-25, half of the least subnormal: ties to even zero */
        return (uint16_t)sign;

    /* subnormal: significand * 2^(exponent - 150) in units of 2^-24 */
    uint32_t shift = 126u - (magnitude >> 23); /* 14..24 */
    uint32_t significand = (magnitude & 0x007fffffu) | 0x00800000u;
    uint32_t kept = significand >> shift, rest = significand & ((1u << shift) - 1u);
    uint32_t half = 1u << (shift - 1u);
    if (rest > half || (rest == half && (kept & 1u)))
        kept++;
    return (uint16_t)(sign | kept);
}

void snug_widen(enum snug_dtype dtype, const void *source, int64_t n, float *out)
{
    const unsigned char *in = source;

    SNUG_ASSERT(dtype == SNUG_DTYPE_F32 || dtype == SNUG_DTYPE_F16 || dtype == SNUG_DTYPE_BF16);
    if (n <= 0)
        return;
    if (dtype == SNUG_DTYPE_F32) {
        memcpy(out, in, (size_t)n * sizeof *out);
    } else if (dtype == SNUG_DTYPE_F16) {
        for (int64_t i = 0; i < n; i++) {
            uint16_t bits;
            memcpy(&bits, in + 2 * i, sizeof bits);
            out[i] = f16_widen(bits);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            uint16_t bits;
            memcpy(&bits, in + 2 * i, sizeof bits);
            out[i] = snug_bf16_to_f32(bits);
        }
    }
}

/* ---- panels ---- */

/* One panel: rows (1..16) outputs of k terms, each of `size` bytes, transposed; the rest zero.
 * Sixteen streams are read at once and one is written, each in order. `size` is a constant in both
 * calls. */
static inline void pack_panel(const unsigned char *source, int64_t rows, int64_t k, size_t size,
                              unsigned char *out)
{
    size_t row_bytes = (size_t)k * size;

    for (int64_t column = 0; column < k; column++) {
        const unsigned char *in = source + (size_t)column * size;
        unsigned char *line = out + (size_t)column * SNUG_PANEL * size;

        for (int64_t row = 0; row < rows; row++)
            memcpy(line + (size_t)row * size, in + (size_t)row * row_bytes, size);
        if (rows < SNUG_PANEL)
            memset(line + (size_t)rows * size, 0, (size_t)(SNUG_PANEL - rows) * size);
    }
}

void snug_panel_pack(enum snug_dtype dtype, const void *source, int64_t n, int64_t k,
                     int64_t first_panel, int64_t end_panel, void *out)
{
    SNUG_ASSERT(dtype == SNUG_DTYPE_F32 || dtype == SNUG_DTYPE_F16 || dtype == SNUG_DTYPE_BF16);
    SNUG_ASSERT(n >= 0 && k >= 0 && first_panel >= 0 && end_panel <= snug_panel_count(n));

    size_t size = snug_dtype_size(dtype);
    for (int64_t panel = first_panel; panel < end_panel; panel++) {
        int64_t first = panel * SNUG_PANEL, rows = n - first < SNUG_PANEL ? n - first : SNUG_PANEL;
        const unsigned char *from = (const unsigned char *)source + (size_t)(first * k) * size;
        unsigned char *to = (unsigned char *)out + (size_t)(first * k) * size;

        if (size == 2)
            pack_panel(from, rows, k, 2, to);
        else
            pack_panel(from, rows, k, 4, to);
    }
}
