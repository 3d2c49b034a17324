/* Weights to integers, and the reference's product against f64 arithmetic.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N = 21, K = 300 };

static float random_value(void)
{
    static uint32_t state = 7;
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (float)(state >> 8) / 0x1p24f - 0.5f;
    }
    return sum;
}

struct packed {
    float w[N * K];
    unsigned char *q;
    uint16_t *scales;
};

static struct packed pack(enum snug_quant quant, float factor)
{
    struct packed p;
    for (int i = 0; i < N * K; i++)
        p.w[i] = random_value() * factor;
    p.q = snug_calloc(snug_allocator_heap(), (size_t)snug_quant_bytes(quant, N, K), 1);
    p.scales = snug_calloc(snug_allocator_heap(), (size_t)snug_quant_scale_count(quant, N, K), 2);
    assert_int_equal(snug_quant_pack(quant, SNUG_DTYPE_F32, p.w, N, K, 0, 2, p.q, p.scales, NULL),
                     -1);
    return p;
}

static void drop(struct packed *p)
{
    snug_free(snug_allocator_heap(), p->q);
    snug_free(snug_allocator_heap(), p->scales);
}

/* Every integer as the rule says, written down once more. */
static void test_rule(void **state)
{
    (void)state;
    for (int quant = SNUG_QUANT_Q8; quant <= SNUG_QUANT_Q4; quant++)
        for (int scale = 0; scale < 3; scale++) {
            int group = quant == SNUG_QUANT_Q4 ? 32 : 128;
            struct packed p = pack((enum snug_quant)quant, scale == 0 ? 1 : scale == 1 ? 1e-6f : 0);
            for (int n = 0; n < N; n++)
                for (int k = 0; k < K; k++) {
                    float most = 0;
                    int first = k / group * group;
                    for (int i = first; i < K && i < first + group; i++)
                        if (fabsf(p.w[n * K + i]) > fabsf(most))
                            most = p.w[n * K + i];
                    float sw = snug_f16_to_f32(
                        snug_f32_to_f16(quant == SNUG_QUANT_Q4 ? most / -8 : fabsf(most) / 127));
                    double q = sw == 0 ? 0 : rint((double)(p.w[n * K + k] / sw));
                    q = quant == SNUG_QUANT_Q4 ? fmin(fmax(q, -8), 7) : fmin(fmax(q, -127), 127);
                    assert_int_equal(snug_quant_at((enum snug_quant)quant, p.q, n, k, K), (int)q);
                    assert_true(
                        snug_f16_to_f32(
                            p.scales[snug_quant_scale_index((enum snug_quant)quant, n, k, K)]) ==
                        sw);
                }
            drop(&p);
        }
}

/* Panels by themselves, from 16-bit weights, give what all at once give; padding is zero. */
static void test_parts(void **state)
{
    (void)state;
    for (int quant = SNUG_QUANT_Q8; quant <= SNUG_QUANT_Q4; quant++) {
        uint16_t halves[N * K];
        enum snug_quant kind = (enum snug_quant)quant;
        size_t bytes = (size_t)snug_quant_bytes(kind, N, K);
        size_t scales = (size_t)snug_quant_scale_count(kind, N, K);
        struct packed p = pack(kind, 1), whole = pack(kind, 1);
        struct snug_quant_error error = {0};
        for (int i = 0; i < N * K; i++)
            halves[i] = snug_f32_to_f16(random_value());
        assert_int_equal(snug_quant_pack(kind, SNUG_DTYPE_F16, halves, N, K, 0, 2, whole.q,
                                         whole.scales, &error),
                         -1);
        for (int panel = 1; panel >= 0; panel--)
            assert_int_equal(snug_quant_pack(kind, SNUG_DTYPE_F16, halves, N, K, panel, panel + 1,
                                             p.q, p.scales, NULL),
                             -1);
        assert_memory_equal(p.q, whole.q, bytes);
        assert_memory_equal(p.scales, whole.scales, scales * 2);
        for (int n = N; n < 32; n++)
            for (int k = 0; k < K; k++)
                assert_int_equal(snug_quant_at(kind, whole.q, n, k, K), 0);
        double relative = sqrt(error.difference / error.weight);
        assert_true(relative > 0 && relative < (quant == SNUG_QUANT_Q8 ? 0.01 : 0.12));
        drop(&p);
        drop(&whole);
    }
}

static void test_not_finite(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    (void)state;
    for (int quant = SNUG_QUANT_Q8; quant <= SNUG_QUANT_Q4; quant++)
        for (int i = 0; i < 4; i++) {
            struct packed p = pack((enum snug_quant)quant, 1);
            p.w[18 * K + 299] = bad[i];
            assert_int_equal(snug_quant_pack((enum snug_quant)quant, SNUG_DTYPE_F32, p.w, N, K, 0,
                                             2, p.q, p.scales, NULL),
                             18);
            drop(&p);
        }
}

/* y of the reference is near x w^T; the outliers, kept in f32, make it nearer. */
static void test_product(void **state)
{
    (void)state;
    for (int quant = SNUG_QUANT_Q8; quant <= SNUG_QUANT_Q4; quant++) {
        enum snug_quant kind = (enum snug_quant)quant;
        struct packed p = pack(kind, 1);
        float x[2 * K], y[2 * N];
        double worst[2] = {0, 0};
        _Alignas(64) char records[2 * 1024];
        assert_true(2 * snug_quantized_row_bytes(K) <= (int64_t)sizeof records);
        for (int i = 0; i < K; i++)
            x[i] = x[K + i] = i == 40 || i == 255 ? 55 : random_value();
        for (int pass = 0; pass < 2; pass++) { /* without, with outliers apart */
            struct snug_quantize make = {2, K, x, K, pass ? 6.0f : 0, records};
            struct snug_linear_quantized args = {2, N, K, records, kind, p.q, p.scales, NULL, y, N};
            assert_int_equal(snug_ops_ref()->quantize(&make, NULL), SNUG_STATUS_OK);
            assert_int_equal(*snug_quantized_row(records, 1, K).count, pass ? 2 : 0);
            assert_int_equal(snug_ops_ref()->linear_quantized(&args, NULL), SNUG_STATUS_OK);
            for (int n = 0; n < N; n++) {
                double sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (double)x[k] * snug_quant_at(kind, p.q, n, k, K) *
                           (double)snug_f16_to_f32(p.scales[snug_quant_scale_index(kind, n, k, K)]);
                worst[pass] = fmax(worst[pass], fabs(sum - (double)y[N + n]));
                assert_true(y[n] == y[N + n]);
            }
        }
        assert_true(worst[1] < 0.2 && worst[1] < worst[0] / 4);
        drop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
