/* Philox, greedy and top-p sampling, the loop detector.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/generate.h"

#include <math.h>

/* Known answers of Random123 (Salmon et al. 2011), philox4x32-10. */
static void test_philox(void **state)
{
    (void)state;
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        snug_philox(cases[i], cases[i] + 4, out);
        for (int j = 0; j < 4; j++)
            if (out[j] != cases[i][6 + j])
                fail_msg("case %d word %d: %08x, not %08x", i, j, out[j], cases[i][6 + j]);
    }
}

static int32_t next(const float *logits, int64_t count, struct snug_sampling sampling,
                    uint64_t step)
{
    struct snug_sampler sampler;
    struct snug_token token;
    struct snug_error error;
    assert_ok(snug_sampler_init(&sampler, &sampling, count, snug_allocator_heap(), &error));
    assert_ok(snug_sampler_next(&sampler, snug_ops_ref(), NULL, logits, step, &token, &error));
    snug_sampler_free(&sampler);
    return token.id;
}

static void test_greedy(void **state)
{
    (void)state;
    const float logits[5] = {1, 3, -2, 3, 2.5f};
    struct snug_sampling greedy = {.temperature = 0, .top_p = 1};
    assert_int_equal(next(logits, 5, greedy, 0), 1); /* ties: the lowest id */
    struct snug_sampler sampler;
    struct snug_token token;
    struct snug_error error;
    assert_ok(snug_sampler_init(&sampler, &greedy, 5, snug_allocator_heap(), &error));
    assert_ok(snug_sampler_next(&sampler, snug_ops_ref(), NULL, logits, 0, &token, &error));
    double sum = exp(-2) + 1 + exp(-5) + 1 + exp(-0.5);
    assert_true(fabs(token.log_probability - log(1 / sum)) < 1e-6);
    snug_sampler_free(&sampler);
}

static void test_top_p(void **state)
{
    (void)state;
    /* p = 0.5, 0.3, 0.15, 0.05 at ids 2, 0, 3, 1 */
    const float logits[4] = {-1.2039728f, -2.9957323f, -0.6931472f, -1.8971200f};
    int counts[2][4] = {{0}};
    for (uint64_t step = 0; step < 4000; step++) {
        counts[0][next(logits, 4, (struct snug_sampling){1, 1, 7}, step)]++;
        counts[1][next(logits, 4, (struct snug_sampling){1, 0.7f, 7}, step)]++;
    }
    static const double expected[2][4] = {{0.3, 0.05, 0.5, 0.15}, {0.375, 0, 0.625, 0}};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            if (fabs(counts[i][j] / 4000.0 - expected[i][j]) > 0.03)
                fail_msg("row %d id %d: %d of 4000, not %.3f", i, j, counts[i][j], expected[i][j]);
    /* A tiny top_p is greedy; the same seed and step give the same token; another seed another
     * sequence. */
    int differs = 0;
    for (uint64_t step = 0; step < 50; step++) {
        assert_int_equal(next(logits, 4, (struct snug_sampling){1, 0.01f, step}, step), 2);
        int32_t a = next(logits, 4, (struct snug_sampling){1, 1, 1}, step);
        assert_int_equal(a, next(logits, 4, (struct snug_sampling){1, 1, 1}, step));
        differs += a != next(logits, 4, (struct snug_sampling){1, 1, 2}, step);
    }
    assert_true(differs > 5);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct snug_sampling wrong[] = {{-1, 1, 0}, {NAN, 1, 0},  {INFINITY, 1, 0},
                                                 {1, 0, 0},  {1, 1.5f, 0}, {1, NAN, 0}};
    struct snug_sampler sampler;
    struct snug_error error;
    struct snug_token token;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(snug_sampler_init(&sampler, &wrong[i], 4, snug_allocator_heap(), &error),
                         SNUG_STATUS_USAGE);
        snug_sampler_free(&sampler);
    }
    static const float damaged[2][3] = {{1, NAN, 2}, {1, 2, INFINITY}};
    struct snug_sampling greedy = {.temperature = 0, .top_p = 1};
    assert_ok(snug_sampler_init(&sampler, &greedy, 3, snug_allocator_heap(), &error));
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            snug_sampler_next(&sampler, snug_ops_ref(), NULL, damaged[i], 0, &token, &error),
            SNUG_STATUS_NON_FINITE);
    snug_sampler_free(&sampler);
}

/* Pushes `count` tokens id(i) and returns at which the loop was found, -1 if never. */
static int64_t find_loop(int32_t (*id)(int64_t), int64_t count)
{
    struct snug_loop_detector detector = {0};
    for (int64_t i = 0; i < count; i++)
        if (snug_loop_detector_push(&detector, id(i)))
            return i;
    return -1;
}
static int32_t same(int64_t i)
{
    (void)i;
    return 5;
}
static int32_t period_20(int64_t i)
{
    return (int32_t)(i % 20);
}
static int32_t period_100(int64_t i)
{
    return (int32_t)(i % 100);
}
static int32_t period_129(int64_t i)
{
    return (int32_t)(i % 129);
}
static int32_t counting(int64_t i)
{
    return (int32_t)i;
}
static int32_t late(int64_t i)
{
    return i < 500 ? (int32_t)(i * 7919 % 1000) : 3;
}
static int32_t nine_like_lines(int64_t i)
{
    return (int32_t)(i / 30 % 10 == 9 ? i : i % 30);
}

static void test_loops(void **state)
{
    (void)state;
    static const struct {
        int32_t (*id)(int64_t);
        int64_t count, found;
    } cases[] = {{same, 2000, 255},          {period_20, 2000, 255}, {period_100, 2000, 999},
                 {period_129, 5000, -1},     {counting, 5000, -1},   {late, 2000, 755},
                 {nine_like_lines, 3000, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t found = find_loop(cases[i].id, cases[i].count);
        if (found != cases[i].found)
            fail_msg("case %zu: found at %lld, not %lld", i, (long long)found,
                     (long long)cases[i].found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_philox), cmocka_unit_test(test_greedy),
                                       cmocka_unit_test(test_top_p), cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
