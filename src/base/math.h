/* Our own elementary functions: the same bits on every machine, compiler and vector width.
 *
 * The f32 functions are inline and free of branches, so that a compiler turns a loop over them into
 * vector code; every step is one IEEE operation (fmaf where written; needs -ffp-contract=off and no
 * -ffast-math), so scalar, 8 and 16 lanes agree. Without a fused instruction fmaf is a call of
 * libm's, which is exact too, only slow. The errors were measured against libm's f64 functions over
 * every 31st of all f32 values (tests/ops/test_math.c repeats a sample). Polynomials: minimax fits
 * of our own (Remez), the f64 ones Taylor series. DESIGN 2.5. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_MATH_H
#define SNUG_BASE_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t snug_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float snug_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* condition ? a : b by masks: a plain conditional may become a jump, and then no vector code. */
static inline float snug_f32_select(int condition, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)condition;
    return snug_f32_from_bits((snug_f32_bits(a) & mask) | (snug_f32_bits(b) & ~mask));
}

/* e^x. exp(+-0) = 1; x < -87 gives +0, x > 88.72 gives +inf, NaN propagates. Error < 1.1 ulp.
 * x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + (r + r^2 q(r)); n goes into the exponent as an
 * integer. */
static inline float snug_expf(float x)
{
    const float shifter = 0x1.8p23f; /* adding it rounds to an integer, in the low bits */
    float t = fmaf(x, 0x1.715476p+0f, shifter);
    float n = t - shifter;
    float r = fmaf(n, -0x1.62e400p-1f, x);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float q = 0x1.6db3b0p-10f;
    q = fmaf(q, r, 0x1.123b58p-7f);
    q = fmaf(q, r, 0x1.555460p-5f);
    q = fmaf(q, r, 0x1.555490p-3f);
    q = fmaf(q, r, 0x1.000000p-1f);
    float e = 1.0f + fmaf(r * r, q, r);
    float y = snug_f32_from_bits(snug_f32_bits(e) + (snug_f32_bits(t) << 23));
    y = snug_f32_select(x < -87.0f, 0.0f, y);
    y = snug_f32_select(x > 88.72f, INFINITY, y);
    return snug_f32_select(x == x, y, x);
}

/* The error function. erf(+-0) = +-0, NaN propagates. Error < 1.3 ulp.
 * |x| < 1: x + x p(x^2); else 1 - exp(-g(|x|)), g = -log(erfc), and 1 beyond 4. */
static inline float snug_erff(float x)
{
    float s = x * x;
    float p = -0x1.43840ap-17f;
    p = fmaf(p, s, 0x1.d82694p-14f);
    p = fmaf(p, s, -0x1.bcbe9ap-11f);
    p = fmaf(p, s, 0x1.5628eep-8f);
    p = fmaf(p, s, -0x1.b829a8p-6f);
    p = fmaf(p, s, 0x1.ce2f08p-4f);
    p = fmaf(p, s, -0x1.812746p-2f);
    p = fmaf(p, s, 0x1.06eba8p-3f);
    float small = fmaf(p, x, x);
    float a = fabsf(x);
    float t = snug_f32_select(a < 4.0f, a, 4.0f);
    float g = -0x1.0dd4aep-22f;
    g = fmaf(g, t, 0x1.a8b49cp-16f);
    g = fmaf(g, t, -0x1.e65082p-12f);
    g = fmaf(g, t, 0x1.18a652p-8f);
    g = fmaf(g, t, -0x1.9fb856p-6f);
    g = fmaf(g, t, 0x1.bcfc38p-4f);
    g = fmaf(g, t, 0x1.441dc6p-1f);
    g = fmaf(g, t, 0x1.21317ap+0f);
    g = fmaf(g, t, -0x1.ac9208p-13f);
    float large = copysignf(1.0f - snug_expf(-g), x);
    float y = snug_f32_select(a < 1.0f, small, large);
    return snug_f32_select(x == x, y, x);
}

/* The hyperbolic tangent. tanh(+-0) = +-0, NaN propagates. Error < 1.4 ulp.
 * |x| < 0.625: x + x^3 p(x^2); else 1 - 2 / (exp(2 |x|) + 1). */
static inline float snug_tanhf(float x)
{
    float s = x * x;
    float p = -0x1.75e1cap-8f;
    p = fmaf(p, s, 0x1.52269ap-6f);
    p = fmaf(p, s, -0x1.b83c5ap-5f);
    p = fmaf(p, s, 0x1.110726p-3f);
    p = fmaf(p, s, -0x1.555532p-2f);
    float a = fabsf(x);
    float small = fmaf(p * s, a, a);
    float large = 1.0f - 2.0f / (snug_expf(a + a) + 1.0f);
    float y = copysignf(snug_f32_select(a < 0.625f, small, large), x);
    return snug_f32_select(x == x, y, x);
}

/* 1 / (1 + exp(-x)). Error < 2.5 ulp. */
static inline float snug_sigmoidf(float x)
{
    return 1.0f / (1.0f + snug_expf(-x));
}

/* x / (1 + exp(-x)). */
static inline float snug_siluf(float x)
{
    return x / (1.0f + snug_expf(-x));
}

/* (0.5 x) (1 + erf(x / sqrt 2)). */
static inline float snug_geluf(float x)
{
    return (0.5f * x) * (1.0f + snug_erff(x * 0x1.6a09e6p-1f));
}

/* Sine and cosine in f64, for arguments that are f32 values: error < 2.5 ulp for |x| <= 2^20 (no
 * exact reduction beyond). Non-finite x gives NaN. */
void snug_sincos(double x, double *sine, double *cosine);
double snug_sin(double x);
double snug_cos(double x);

/* f64, error < 1.1 ulp: e^x; natural logarithm (x < 0: NaN, +-0: -inf); x^y with the special cases
 * of C's pow. Subnormal results are rounded twice. */
double snug_exp(double x);
double snug_log(double x);
double snug_pow(double x, double y);

#endif
