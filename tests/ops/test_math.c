/* Tests of base/math.h and math.c: the stated errors against libm's f64 functions, the special
 * cases, and that a loop the compiler may vectorise gives the bits of single calls. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- f32: a sample of all values ---- */

static double libm_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}
static double libm_silu(double x)
{
    return x / (1.0 + exp(-x));
}
static float call_exp(float x)
{
    return snug_expf(x);
}
static float call_erf(float x)
{
    return snug_erff(x);
}
static float call_tanh(float x)
{
    return snug_tanhf(x);
}
static float call_sigmoid(float x)
{
    return snug_sigmoidf(x);
}
static float call_silu(float x)
{
    return snug_siluf(x);
}

static const struct {
    const char *name;
    float (*ours)(float);
    double (*theirs)(double);
    float low, high; /* the range where the error is stated */
    double ulp;
} functions[] = {
    {"exp", call_exp, exp, -87.0f, 88.72f, 1.1},
    {"erf", call_erf, erf, -INFINITY, INFINITY, 1.3},
    {"tanh", call_tanh, tanh, -INFINITY, INFINITY, 1.4},
    {"sigmoid", call_sigmoid, libm_sigmoid, -86.0f, INFINITY, 2.5},
    {"silu", call_silu, libm_silu, -80.0f, 1e30f, 3.0},
};

static double ulp_of(double value)
{
    int exponent;
    double a = fabs(value);
    frexp(a < 0x1p-126 ? 0x1p-126 : a, &exponent);
    return ldexp(1.0, exponent - 24);
}

static void test_errors(void **state)
{
    const uint64_t step = 4099 * 7; /* an odd number: all low bits come up */

    (void)state;
    for (size_t f = 0; f < COUNT(functions); f++) {
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += step) {
            float x = snug_f32_from_bits((uint32_t)bits);
            if (!(x >= functions[f].low && x <= functions[f].high))
                continue;
            float y = functions[f].ours(x);
            double want = functions[f].theirs((double)x);
            double error = fabs((double)y - want) / ulp_of(want);
            if (!(error < functions[f].ulp) && (double)y != want)
                fail_msg("%s(%a): got %a, want %a, error %.3f ulp", functions[f].name, (double)x,
                         (double)y, want, error);
        }
    }
}

static void check_bits(const char *name, float x, float got, float want)
{
    if (snug_f32_bits(got) != snug_f32_bits(want) && !(got != got && want != want))
        fail_msg("%s(%a): got %a, want %a", name, (double)x, (double)got, (double)want);
}

static void test_special(void **state)
{
    static const struct {
        float x, exp, erf, tanh, sigmoid;
    } cases[] = {
        {0.0f, 1.0f, 0.0f, 0.0f, 0.5f},
        {-0.0f, 1.0f, -0.0f, -0.0f, 0.5f},
        {INFINITY, INFINITY, 1.0f, 1.0f, 1.0f},
        {-INFINITY, 0.0f, -1.0f, -1.0f, 0.0f},
        {NAN, NAN, NAN, NAN, NAN},
        {-NAN, NAN, NAN, NAN, NAN},
        {88.721f, INFINITY, 1.0f, 1.0f, 1.0f},
        {-87.01f, 0.0f, -1.0f, -1.0f, 0x1.62e5bp-126f},
        {-1e30f, 0.0f, -1.0f, -1.0f, 0.0f},
        {3e38f, INFINITY, 1.0f, 1.0f, 1.0f},
        {0x1p-149f, 1.0f, 0x1p-149f, 0x1p-149f, 0.5f},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        float x = cases[i].x;
        check_bits("exp", x, snug_expf(x), cases[i].exp);
        check_bits("erf", x, snug_erff(x), cases[i].erf);
        check_bits("tanh", x, snug_tanhf(x), cases[i].tanh);
        if (x != -87.01f) /* 1 / exp(87.01): its last bit is not stated */
            check_bits("sigmoid", x, snug_sigmoidf(x), cases[i].sigmoid);
    }
    assert_true(snug_expf(-87.0f) > 0);
    assert_true(isfinite(snug_expf(88.72f)));
    check_bits("gelu", -0.0f, snug_geluf(-0.0f), -0.0f);
    check_bits("silu", 0.0f, snug_siluf(0.0f), 0.0f);
    check_bits("silu", -200.0f, snug_siluf(-200.0f), -0.0f);
}

/* These functions' bits are part of every answer: they may not change by accident. */
static void test_pinned(void **state)
{
    uint32_t hash = 2166136261u;

    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        float x = snug_f32_from_bits(i * 21467u);
        float all[] = {snug_expf(x), snug_erff(x), snug_tanhf(x), snug_geluf(x), snug_siluf(x)};
        for (size_t f = 0; f < COUNT(all); f++) {
            uint32_t bits = all[f] == all[f] ? snug_f32_bits(all[f]) : 0x7fc00000u;
            hash = (hash ^ bits) * 16777619u;
        }
    }
    assert_int_equal(hash, 0xbfd1c486u);
}

/* ---- f64 ---- */

static double random_unit(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (double)(s >> 11) * 0x1p-53;
}

static void check_f64(const char *name, double x, double y, double got, long double want,
                      double limit_ulp)
{
    int exponent;
    frexpl(fabsl(want), &exponent);
    double error = (double)(fabsl((long double)got - want) / ldexpl(1.0L, exponent - 53));
    if (!(error < limit_ulp) && (long double)got != want)
        fail_msg("%s(%a, %a): got %a, want %a, error %.3f ulp", name, x, y, got, (double)want,
                 error);
}

static void test_f64(void **state)
{
    static const double scales[] = {1.0, 100.0, 2097152.0};

    (void)state;
    for (int i = 0; i < 300000; i++) {
        float angle = (float)((random_unit() - 0.5) * scales[i % 3]);
        check_f64("sin", (double)angle, 0, snug_sin((double)angle), sinl((long double)angle), 2.5);
        check_f64("cos", (double)angle, 0, snug_cos((double)angle), cosl((long double)angle), 2.5);
        double x = (random_unit() - 0.5) * 1400.0;
        check_f64("exp", x, 0, snug_exp(x), expl((long double)x), 1.1);
        x = exp((random_unit() - 0.5) * (i & 1 ? 1.0 : 1400.0));
        check_f64("log", x, 0, snug_log(x), logl((long double)x), 1.1);
        double y = (random_unit() - 0.5) * (i & 1 ? 2.0 : 50.0);
        x = exp((random_unit() - 0.5) * 28.0);
        check_f64("pow", x, y, snug_pow(x, y), powl((long double)x, (long double)y), 1.1);
    }
}

static void test_f64_special(void **state)
{
    static const double values[] = {0.0, -0.0,  1.0,    -1.0,      2.0,      -2.0,
                                    0.5, -0.5,  3.0,    -3.0,      INFINITY, -INFINITY,
                                    NAN, 1e300, -1e300, 0x1p-1074, 0.75,     4.0};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t j = 0; j < COUNT(values); j++) {
            double got = snug_pow(values[i], values[j]), want = pow(values[i], values[j]);
            bool same = got == want ? signbit(got) == signbit(want)
                                    : fabs(got - want) <= 1e-15 * fabs(want) ||
                                          (got != got && want != want);
            if (!same)
                fail_msg("pow(%g, %g): got %g, want %g", values[i], values[j], got, want);
        }
        double got = snug_log(values[i]), want = log(values[i]);
        if (got != want && !(fabs(got - want) <= 1e-15 * fabs(want)) &&
            !(got != got && want != want))
            fail_msg("log(%g): got %g, want %g", values[i], got, want);
    }
    assert_true(snug_exp(0.0) == 1.0 && snug_exp(-0.0) == 1.0);
    assert_true(snug_exp(-INFINITY) == 0 && snug_exp(INFINITY) == INFINITY && isnan(snug_exp(NAN)));
    assert_true(snug_sin(0.0) == 0 && signbit(snug_sin(-0.0)) && snug_cos(0.0) == 1.0);
    assert_true(isnan(snug_sin(INFINITY)) && isnan(snug_cos(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_special),
        cmocka_unit_test(test_pinned),      cmocka_unit_test(test_f64),
        cmocka_unit_test(test_f64_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
