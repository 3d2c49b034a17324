/* The limits of one instruction set (ops/peak.h). Sums are kept in registers by empty assembly,
 * which the compiler must believe. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
 */
#include "ops/cpu/cpu.h"
#include "ops/cpu/simd_int.h"
#include "ops/peak.h"

#define CHAINS (SIMD_LANES == 16 ? 16 : 10)
#define INNER 1000 /* steps of a round */

static void run_f32(int64_t rounds)
{
    vec acc[CHAINS], a = v_set1(0.5f);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = v_set1(0);
    for (int64_t n = 0; n < rounds * INNER; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = v_fma(a, a, acc[i]);
            KEEP(acc[i]);
        }
    }
}

static void run_dot(int64_t rounds)
{
    ivec acc[CHAINS], a = iv_set1(0x01010101), w = iv_set1(0x02020202);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = iv_set1(0);
    for (int64_t n = 0; n < rounds * INNER; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = iv_dot(acc[i], w, a);
            KEEP(acc[i]);
            KEEP(a);
        }
    }
}

#if SIMD_LANES == 8 && !SIMD_VNNI
/* |a| unsigned, its sign on w: one product of bytes more than 16-bit operands, one addition less.
 */
static void run_sign(int64_t rounds)
{
    const ivec ones = _mm256_set1_epi16(1);
    ivec acc[CHAINS], a = iv_set1(0x01010101), w = iv_set1(0x02020202);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = iv_set1(0);
    for (int64_t n = 0; n < rounds * INNER; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            ivec pairs = _mm256_maddubs_epi16(a, _mm256_sign_epi8(w, a));
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(pairs, ones));
            KEEP(acc[i]);
            KEEP(a);
        }
    }
}
#endif

#if defined(SNUG_SIMD_AVX512)
__attribute__((target("avx512bf16"))) static void run_bf16(int64_t rounds)
{
    __m512 acc[CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f00);
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_setzero_ps();
    for (int64_t n = 0; n < rounds * INNER; n++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_dpbf16_ps(acc[i], a, a);
            KEEP(acc[i]);
        }
    }
}
#endif

static void read_streams(const void *data, int64_t bytes)
{
    const char *at = data;
    int64_t quarter = bytes / 4;
    ivec sum = iv_set1(0);
    for (int64_t i = 0; i < quarter; i += 64) {
        UNROLL
        for (int s = 0; s < 4; s++) {
            const char *line = at + s * quarter + i;
            __builtin_prefetch(line + 2048);
            UNROLL
            for (int v = 0; v < 64 / (int)sizeof(ivec); v++)
                sum = iv_and(sum, iv_load(line + v * (int)sizeof(ivec)));
        }
        KEEP(sum);
    }
}

#define STEP(lane_operations) ((double)INNER * CHAINS * SIMD_LANES * (lane_operations))

const struct snug_peaks *SIMD_NAME(peaks)(void)
{
    static struct snug_peaks peaks = {
        .f32 = {"vfmadd", STEP(2), run_f32},
#if SIMD_VNNI
        .int8 = {{"vpdpbusd", STEP(8), run_dot}},
#else
        .int8 = {{"vpmaddwd + vpaddd", STEP(4), run_dot}},
#endif
        .read = read_streams
    };
#if SIMD_LANES == 8 && !SIMD_VNNI
    peaks.int8[1] =
        (struct snug_peak){"vpsignb + vpmaddubsw + vpmaddwd + vpaddd", STEP(8), run_sign};
#endif
#if defined(SNUG_SIMD_AVX512)
    if (__builtin_cpu_supports("avx512bf16"))
        peaks.bf16 = (struct snug_peak){"vdpbf16ps", STEP(4), run_bf16};
#endif
    return &peaks;
}
