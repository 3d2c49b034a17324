/* The f64 functions behind tables: Taylor series after exact argument reduction, plain
 * multiplications and additions in a fixed order (fma only where a product must be exact).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"

#include <stdbool.h>

static uint64_t f64_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double f64_from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* pi / 2 in pieces of 33 bits, so that n times a piece is exact for n < 2^20. */
static const double half_pi_1 = 0x1.921fb54400000p+0, half_pi_2 = 0x1.0b4611a600000p-34,
                    half_pi_3 = 0x1.3198a2e037073p-69;

void snug_sincos(double x, double *sine, double *cosine)
{
    const double shifter = 0x1.8p52;
    double t =
        x * 0x1.45f306dc9c883p-1 + shifter; /* x * 2 / pi, rounded to an integer in the low bits */
    double n = t - shifter;
    double r = ((x - n * half_pi_1) - n * half_pi_2) - n * half_pi_3;
    double z = r * r;
    double s = -1.0 / 1307674368000.0; /* 15! */
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    s = s * z - 1.0 / 5040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    s = r + (r * z) * s;
    double c = 1.0 / 20922789888000.0; /* 16! */
    c = c * z - 1.0 / 87178291200.0;
    c = c * z + 1.0 / 479001600.0;
    c = c * z - 1.0 / 3628800.0;
    c = c * z + 1.0 / 40320.0;
    c = c * z - 1.0 / 720.0;
    c = c * z + 1.0 / 24.0;
    double half = 0.5 * z, w = 1.0 - half;
    c = w + (((1.0 - w) - half) + (z * z) * c);
    uint64_t quadrant = f64_bits(t) & 3;
    double a = quadrant & 1 ? c : s, b = quadrant & 1 ? s : c;
    *sine = quadrant & 2 ? -a : a;
    *cosine = (quadrant + 1) & 2 ? -b : b;
    if (x == 0)
        *sine = x; /* -0 stays -0 */
}

double snug_sin(double x)
{
    double sine, cosine;
    snug_sincos(x, &sine, &cosine);
    return sine;
}

double snug_cos(double x)
{
    double sine, cosine;
    snug_sincos(x, &sine, &cosine);
    return cosine;
}

static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;

/* e^(x + low), |low| tiny: n ln 2 + r as in f32, e^r by its series to r^13. */
static double exp_sum(double x, double low)
{
    if (x != x)
        return x;
    if (x > 709.79)
        return INFINITY;
    if (x < -745.2)
        return 0.0;
    const double shifter = 0x1.8p52;
    double n = (x * 0x1.71547652b82fep+0 + shifter) - shifter;
    double high = x - n * ln2_high, rest = low - n * ln2_low;
    double r = high + rest;
    rest = (high - r) + rest;      /* what r lost */
    double p = 1.0 / 6227020800.0; /* 13! */
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    double e = 1.0 + (r + ((r * r) * p + rest));
    int64_t k = (int64_t)n, half = k / 2; /* 2^k in two factors: k reaches 1024 and -1075 */
    e *= f64_from_bits((uint64_t)(1023 + half) << 52);
    return e * f64_from_bits((uint64_t)(1023 + k - half) << 52);
}

double snug_exp(double x)
{
    return exp_sum(x, 0.0);
}

/* log(x) = *high + *low to about 60 bits, x positive and finite: x = 2^e m, m in [sqrt(1/2), sqrt
 * 2), log m = 2 atanh(s), s = (m - 1) / (m + 1), in double-double where it matters. */
static void log_parts(double x, double *high, double *low)
{
    int64_t e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    uint64_t bits = f64_bits(x);
    uint64_t top = bits + ((uint64_t)0x3ff00000 << 32) - ((uint64_t)0x3fe6a09e << 32);
    e += (int64_t)(top >> 52) - 1023;
    double m = f64_from_bits((top & 0xfffffffffffffu) + ((uint64_t)0x3fe6a09e << 32));
    double f = m - 1.0, g = m + 1.0, g_low = m - (g - 1.0);
    double s = f / g;
    double s_low = (fma(-s, g, f) - s * g_low) / g;
    double z = s * s;
    double p = 2.0 / 23.0;
    for (int i = 21; i >= 3; i -= 2)
        p = p * z + 2.0 / (double)i;
    p = p * z; /* log m = s (2 + p) */
    double n = (double)e;
    double a = n * ln2_high; /* exact: 32 bits by 11 */
    double b = s + s;
    double sum = a + b, lost = b - (sum - a); /* a is 0 or the larger */
    double tail = lost + ((s_low + s_low) + (s * p + n * ln2_low));
    *high = sum + tail;
    *low = (sum - *high) + tail;
}

double snug_log(double x)
{
    if (x != x || x == INFINITY)
        return x;
    if (x == 0)
        return -INFINITY;
    if (x < 0)
        return NAN;
    double high, low;
    log_parts(x, &high, &low);
    return high;
}

double snug_pow(double x, double y)
{
    if (x == 1.0 || y == 0.0)
        return 1.0;
    if (x != x || y != y)
        return NAN;
    double sign = 1.0;
    if (signbit(x)) {
        bool integer = isinf(y) || trunc(y) == y;
        if (!integer && x != 0 && x != -INFINITY)
            return NAN;
        if (isfinite(y) && integer && fmod(y, 2.0) != 0)
            sign = -1.0;
        x = -x;
        if (x == 1.0)
            return sign;
    }
    if (x == 0 || x == INFINITY || isinf(y))
        return sign * ((x > 1.0) == (y > 0) ? INFINITY : 0.0);
    double high, low;
    log_parts(x, &high, &low);
    double product = y * high;
    if (!(fabs(product) < 800.0))
        return sign * (product > 0 ? INFINITY : 0.0);
    return sign * exp_sum(product, fma(y, high, -product) + y * low);
}
