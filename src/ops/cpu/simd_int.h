/* Vectors of integers for quantised products: one 32-bit lane an output, as many outputs as simd.h
 * has lanes. The instruction that matters sums products within a lane:
 *
 *     SIMD_VNNI        four, u8 x s8                    a step of iv_dot is one quad of terms
 *     otherwise        two, 16 bit x 16 bit, and an addition     ... half a quad: even terms, then
 * odd
 *
 * Without VNNI u8 x s8 (vpmaddubsw) saturates, unless the unsigned side is small: q4 weights, 0 to
 * 15, take it, and sum 8 quads in 16 bits (8 * 2 * 15 * 127 = 30480). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_CPU_SIMD_INT_H
#define SNUG_OPS_CPU_SIMD_INT_H

#include "ops/cpu/simd.h"

#if SIMD_LANES == 8

typedef __m256i ivec;

ALWAYS_INLINE ivec iv_set1(int32_t x)
{
    return _mm256_set1_epi32(x);
}
ALWAYS_INLINE ivec iv_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
ALWAYS_INLINE void iv_store(void *p, ivec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}
ALWAYS_INLINE ivec iv_and(ivec a, ivec b)
{
    return _mm256_and_si256(a, b);
}
/* Each 16-bit lane shifted right, zeros from the left. */
#define iv_shift16(v, bits) _mm256_srli_epi16(v, bits)
ALWAYS_INLINE vec iv_float(ivec v)
{
    return _mm256_cvtepi32_ps(v);
}
ALWAYS_INLINE ivec iv_shift32(ivec v, int bits)
{
    return _mm256_srl_epi32(v, _mm_cvtsi32_si128(bits));
}

#if SIMD_VNNI
ALWAYS_INLINE ivec iv_dot(ivec acc, ivec w, ivec a)
{
    return _mm256_dpbusd_avx_epi32(acc, w, a);
}
#define iv_dot_small iv_dot
#define iv_small_start(comp) (comp)
#define iv_small_end(acc, comp) (acc)
#else
ALWAYS_INLINE ivec iv_dot(ivec acc, ivec w, ivec a)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(w, a));
}
ALWAYS_INLINE ivec iv_dot_small(ivec acc, ivec w, ivec a)
{
    return _mm256_add_epi16(acc, _mm256_maddubs_epi16(w, a));
}
#define iv_small_start(comp) _mm256_setzero_si256()
ALWAYS_INLINE ivec iv_small_end(ivec acc, ivec comp)
{
    return _mm256_add_epi32(_mm256_madd_epi16(acc, _mm256_set1_epi16(1)), comp);
}
#endif

#elif defined(SNUG_SIMD_AVX512)

typedef __m512i ivec;

ALWAYS_INLINE ivec iv_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}
ALWAYS_INLINE ivec iv_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
ALWAYS_INLINE void iv_store(void *p, ivec v)
{
    _mm512_storeu_si512(p, v);
}
ALWAYS_INLINE ivec iv_and(ivec a, ivec b)
{
    return _mm512_and_si512(a, b);
}
#define iv_shift16(v, bits) _mm512_srli_epi16(v, bits)
ALWAYS_INLINE vec iv_float(ivec v)
{
    return _mm512_cvtepi32_ps(v);
}
ALWAYS_INLINE ivec iv_shift32(ivec v, int bits)
{
    return _mm512_srl_epi32(v, _mm_cvtsi32_si128(bits));
}

#if SIMD_VNNI
ALWAYS_INLINE ivec iv_dot(ivec acc, ivec w, ivec a)
{
    return _mm512_dpbusd_epi32(acc, w, a);
}
#define iv_dot_small iv_dot
#define iv_small_start(comp) (comp)
#define iv_small_end(acc, comp) (acc)
#else
ALWAYS_INLINE ivec iv_dot(ivec acc, ivec w, ivec a)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(w, a));
}
ALWAYS_INLINE ivec iv_dot_small(ivec acc, ivec w, ivec a)
{
    return _mm512_add_epi16(acc, _mm512_maddubs_epi16(w, a));
}
#define iv_small_start(comp) _mm512_setzero_si512()
ALWAYS_INLINE ivec iv_small_end(ivec acc, ivec comp)
{
    return _mm512_add_epi32(_mm512_madd_epi16(acc, _mm512_set1_epi16(1)), comp);
}
#endif

#else /* SNUG_SIMD_GENERIC16 */

typedef struct {
    uint32_t lane[16];
} ivec;

#define EACH_INT(expression)                                                                       \
    ivec r;                                                                                        \
    for (int i = 0; i < 16; i++)                                                                   \
        r.lane[i] = (uint32_t)(expression);                                                        \
    return r

ALWAYS_INLINE ivec iv_set1(int32_t x)
{
    EACH_INT(x);
}
ALWAYS_INLINE ivec iv_load(const void *p)
{
    ivec r;
    memcpy(r.lane, p, sizeof r.lane);
    return r;
}
ALWAYS_INLINE void iv_store(void *p, ivec v)
{
    memcpy(p, v.lane, sizeof v.lane);
}
ALWAYS_INLINE ivec iv_and(ivec a, ivec b)
{
    EACH_INT(a.lane[i] & b.lane[i]);
}
ALWAYS_INLINE ivec iv_shift16(ivec v, int bits)
{
    EACH_INT((v.lane[i] & 0xffffu) >> bits | v.lane[i] >> 16 >> bits << 16);
}
ALWAYS_INLINE vec iv_float(ivec v)
{
    vec r;
    for (int i = 0; i < 16; i++)
        r.lane[i] = (float)(int32_t)v.lane[i];
    return r;
}
ALWAYS_INLINE ivec iv_shift32(ivec v, int bits)
{
    EACH_INT(v.lane[i] >> bits);
}
ALWAYS_INLINE ivec iv_dot(ivec acc, ivec w, ivec a)
{
    for (int i = 0; i < 16; i++)
        for (int b = 0; b < 32; b += 8)
            acc.lane[i] += (uint32_t)((int32_t)(w.lane[i] >> b & 255u) *
                                      (int32_t)(int8_t)(uint8_t)(a.lane[i] >> b & 255u));
    return acc;
}
#define iv_dot_small iv_dot
#define iv_small_start(comp) (comp)
#define iv_small_end(acc, comp) (acc)

#endif

#if !SIMD_VNNI
/* 32 integers of a row as 16-bit pairs: per quad its even terms, then its odd ones, as they meet
 * the bytes of w that a mask and a shift leave. */
ALWAYS_INLINE void iv_spread(const int8_t *a, void *out)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)a), *to = out;
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
    __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
}
#endif

/* Keeps a sum in its register where it is. Left alone, the compiler computes the products of many
 * sums first and spills them, at half the speed. */
#if defined(SNUG_SIMD_GENERIC16)
#define KEEP(v) (void)(v)
#elif defined(SNUG_SIMD_AVX512)
#define KEEP(v) __asm__ volatile("" : "+v"(v))
#else
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#endif

/* Four bytes of a row in every lane. */
ALWAYS_INLINE ivec iv_broadcast(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return iv_set1(four);
}

#endif
