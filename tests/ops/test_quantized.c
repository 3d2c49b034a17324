/* Quantised linear layers of every backend against the reference: the same bits.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "backends_check.h"

/* A row now and then without outliers, with few, with too many, with values that vanish. */
static struct floats quantizable(int64_t rows, int64_t k, bool damaged)
{
    struct floats x = random_floats(rows * k, FINITE);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < k; i++) {
            float *at = &x.data[r * k + i];
            *at *= r % 7 == 5 ? 0x1p-110f : 1.0f;
            if ((r % 4 == 1 && next_random() % 400 == 0) || (r % 4 == 3 && next_random() % 5 == 0))
                *at = next_random() % 2 ? 6.0f : -77.0f;
            if (damaged && r % 5 == 2 && next_random() % 90 == 0)
                *at = next_random() % 2 ? NAN : INFINITY;
        }
    return x;
}

static void run_quantize(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                         struct floats out)
{
    struct snug_quantize a = *(const struct snug_quantize *)args;
    a.y = out.data;
    assert_int_equal(ops->quantize(&a, pool), SNUG_STATUS_OK);
}

static const int64_t quant_ks[] = {1,   3,   4,   7,   8,   31,  32,  33,  96,   100, 127,
                                   128, 129, 136, 200, 255, 256, 300, 896, 1152, 2048};

static void test_quantize(void **state)
{
    static const int64_t rows[] = {0, 1, 2, 7, 33};
    static const float thresholds[] = {0, 6, 2.5f};
    (void)state;
    for (size_t i = 0; i < COUNT(quant_ks) * COUNT(rows) * 2; i++) {
        int64_t k = quant_ks[i % COUNT(quant_ks)], r = rows[i / COUNT(quant_ks) % COUNT(rows)];
        struct floats x = quantizable(r, k, i % 2);
        struct snug_quantize args = {
            .rows = r, .k = k, .x = x.data, .x_ld = k, .threshold = thresholds[i % 3]};
        compare("quantize", i, run_quantize, &args,
                make_floats(r * snug_quantized_row_bytes(k) / 4));
        free_floats(x);
    }
}

static void run_linear_quantized(const void *args, const struct snug_ops *ops,
                                 struct snug_pool *pool, struct floats out)
{
    struct snug_linear_quantized a = *(const struct snug_linear_quantized *)args;
    a.y = out.data;
    assert_int_equal(ops->linear_quantized(&a, pool), SNUG_STATUS_OK);
}

static void linear_quantized_case(size_t number, int64_t rows, int64_t n, int64_t k)
{
    enum snug_quant quant = number % 2 ? SNUG_QUANT_Q4 : SNUG_QUANT_Q8;
    const struct snug_allocator *heap = snug_allocator_heap();
    int64_t y_ld = n + (number % 3 ? 5 : 0);
    struct floats x = quantizable(rows, k, number % 7 == 3), w = random_floats(n * k, FINITE);
    struct floats bias = random_floats(n, SPECIAL);
    struct floats records = make_floats(rows * snug_quantized_row_bytes(k) / 4 + 1);
    unsigned char *q = snug_calloc(heap, (size_t)snug_quant_bytes(quant, n, k), 1);
    uint16_t *scales = snug_calloc(heap, (size_t)snug_quant_scale_count(quant, n, k), 2);

    if (number % 11 == 4) /* the largest sums there are */
        for (int64_t i = 0; i < n * k; i++)
            w.data[i] = number % 4 < 2 ? 1.0f : -1.0f;
    if (number % 11 == 4)
        for (int64_t i = 0; i < rows * k; i++)
            x.data[i] = -3.0f;
    for (int64_t r = 0; number % 5 == 2 && r < rows; r++) /* the same channels in most rows */
        for (int64_t i = 0; i < k / SNUG_QUANT_GROUP; i++)
            x.data[r * k + i * 71] = r % 6 == 5 ? 0 : (float)(r + 7);
    assert_int_equal(snug_quant_pack(quant, SNUG_DTYPE_F32, w.data, n, k, 0, snug_panel_count(n), q,
                                     scales, NULL),
                     -1);
    struct snug_quantize make = {
        .rows = rows, .k = k, .x = x.data, .x_ld = k, .threshold = 6, .y = records.data};
    assert_int_equal(snug_ops_ref()->quantize(&make, NULL), SNUG_STATUS_OK);
    struct snug_linear_quantized args = {.rows = rows,
                                         .n = n,
                                         .k = k,
                                         .x = records.data,
                                         .quant = quant,
                                         .w = q,
                                         .w_scales = scales,
                                         .bias = number % 5 ? bias.data : NULL,
                                         .y_ld = y_ld};
    compare(quant == SNUG_QUANT_Q8 ? "linear q8" : "linear q4", number, run_linear_quantized, &args,
            make_floats(rows * y_ld));
    snug_free(heap, scales);
    snug_free(heap, q);
    free_floats(records);
    free_floats(bias);
    free_floats(w);
    free_floats(x);
}

static void test_linear_quantized(void **state)
{
    static const int64_t rows[] = {0, 1, 2, 5, 6, 7, 12, 13, 31, 97},
                         ns[] = {1, 15, 16, 17, 49, 130};
    size_t number = 0;
    (void)state;
    for (size_t k = 0; k < COUNT(quant_ks); k++)
        for (size_t r = 0; r < COUNT(rows); r++)
            for (int twice = 0; twice < 2; twice++, number++)
                linear_quantized_case(number, rows[r], ns[(number / 2 + k) % COUNT(ns)],
                                      quant_ks[k]);
    linear_quantized_case(0, 4, 1040, 13000); /* more groups than one pass takes */
    linear_quantized_case(1, 4, 1040, 13000);
    linear_quantized_case(4, 200, 300, 640);
    linear_quantized_case(5, 200, 300, 640);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_linear_quantized),
    };
    return cmocka_run_group_tests(tests, make_pools, free_pools);
}
