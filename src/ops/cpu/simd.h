/* A vector of 8 or 16 floats: all that the kernels know of the instruction set.
 *
 * The build defines one of SNUG_SIMD_AVX2 (8 lanes), SNUG_SIMD_AVX512 (16) and SNUG_SIMD_GENERIC16
 * (16 lanes in plain C: the AVX-512 code path on any machine), and SIMD_VNNI as 1 where the
 * processor sums four products of bytes (simd_int.h). Every operation is one IEEE
 * operation a lane, so the variants differ in speed alone. Loads and stores need no alignment.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_CPU_SIMD_H
#define SNUG_OPS_CPU_SIMD_H

#include "base/math.h"
#include "tensor/tensor.h"

#ifndef SIMD_VNNI
#define SIMD_VNNI 0
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* UNROLL: a loop whose bounds are constants after inlining, so that arrays of vectors become
 * registers. INDEPENDENT: the iterations do not depend on each other (y may be x itself, never a
 * shifted part of it). */
#if defined(SNUG_SIMD_GENERIC16)
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#if defined(SNUG_SIMD_AVX2)

#include <immintrin.h>

#if SIMD_VNNI
#define SIMD_NAME(name) snug_avxvnni_##name
#define SIMD_BACKEND "avxvnni"
#else
#define SIMD_NAME(name) snug_avx2_##name
#define SIMD_BACKEND "avx2"
#endif
#define SIMD_LANES 8
typedef __m256 vec;

ALWAYS_INLINE vec v_set1(float x)
{
    return _mm256_set1_ps(x);
}
ALWAYS_INLINE vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
ALWAYS_INLINE void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
ALWAYS_INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
ALWAYS_INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
/* a * b + c, rounded once */
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
/* a > b ? a : b */
ALWAYS_INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
ALWAYS_INLINE vec v_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
ALWAYS_INLINE vec v_load_bf16(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
ALWAYS_INLINE void v_store_f16(uint16_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(SNUG_SIMD_AVX512)

#include <immintrin.h>

#if SIMD_VNNI
#define SIMD_NAME(name) snug_avx512vnni_##name
#define SIMD_BACKEND "avx512vnni"
#else
#define SIMD_NAME(name) snug_avx512_##name
#define SIMD_BACKEND "avx512"
#endif
#define SIMD_LANES 16
typedef __m512 vec;

ALWAYS_INLINE vec v_set1(float x)
{
    return _mm512_set1_ps(x);
}
ALWAYS_INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
ALWAYS_INLINE void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
ALWAYS_INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
ALWAYS_INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
ALWAYS_INLINE vec v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
ALWAYS_INLINE vec v_load_bf16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
ALWAYS_INLINE void v_store_f16(uint16_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(SNUG_SIMD_GENERIC16)

#define SIMD_NAME(name) snug_generic16_##name
#define SIMD_BACKEND "generic16"
#define SIMD_LANES 16
#undef SIMD_VNNI
#define SIMD_VNNI 1 /* so that this path is tested too */
typedef struct {
    float lane[16];
} vec;

#define EACH_LANE(expression)                                                                      \
    vec r;                                                                                         \
    for (int i = 0; i < 16; i++)                                                                   \
        r.lane[i] = (expression);                                                                  \
    return r

ALWAYS_INLINE vec v_set1(float x)
{
    EACH_LANE(x);
}
ALWAYS_INLINE vec v_load(const float *p)
{
    EACH_LANE(p[i]);
}
ALWAYS_INLINE void v_store(float *p, vec v)
{
    memcpy(p, v.lane, sizeof v.lane);
}
ALWAYS_INLINE vec v_add(vec a, vec b)
{
    EACH_LANE(a.lane[i] + b.lane[i]);
}
ALWAYS_INLINE vec v_mul(vec a, vec b)
{
    EACH_LANE(a.lane[i] * b.lane[i]);
}
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c)
{
    EACH_LANE(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
ALWAYS_INLINE vec v_max(vec a, vec b)
{
    EACH_LANE(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
ALWAYS_INLINE vec v_load_f16(const uint16_t *p)
{
    EACH_LANE(snug_f16_to_f32(p[i]));
}
ALWAYS_INLINE vec v_load_bf16(const uint16_t *p)
{
    EACH_LANE(snug_bf16_to_f32(p[i]));
}
ALWAYS_INLINE void v_store_f16(uint16_t *p, vec v)
{
    for (int i = 0; i < 16; i++)
        p[i] = snug_f32_to_f16(v.lane[i]);
}

#else
#error "define SNUG_SIMD_AVX2, SNUG_SIMD_AVX512 or SNUG_SIMD_GENERIC16"
#endif

/* Vectors of one row of a panel, and of rule 3's 32 lanes. */
#define PANEL_VECS (SNUG_PANEL / SIMD_LANES)
#define LANE_VECS (32 / SIMD_LANES)

/* SIMD_LANES elements from array[index], of f32, f16 or bf16, widened exactly. */
ALWAYS_INLINE vec v_load_as(enum snug_dtype dtype, const void *array, int64_t index)
{
    if (dtype == SNUG_DTYPE_F16)
        return v_load_f16((const uint16_t *)array + index);
    if (dtype == SNUG_DTYPE_BF16)
        return v_load_bf16((const uint16_t *)array + index);
    return v_load((const float *)array + index);
}

/* Rule 3's tree: lane i += lane i + 16, then i + 8, 4, 2, 1. */
ALWAYS_INLINE float lane_tree(const vec lanes[LANE_VECS])
{
    float lane[32];
    UNROLL
    for (int v = 0; v < LANE_VECS; v++)
        v_store(lane + v * SIMD_LANES, lanes[v]);
    for (int i = 0; i < 16; i++)
        lane[i] = lane[i] + lane[i + 16];
    for (int i = 0; i < 8; i++)
        lane[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        lane[i] = lane[i] + lane[i + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

#endif
