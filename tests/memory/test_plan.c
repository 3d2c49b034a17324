/* The planner and its verifier.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "memory/plan.h"

static void test_hand_made(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct snug_interval intervals[4];
        size_t count, peak, bound;
    } cases[] = {
        {"nothing", {{0}}, 0, 0, 0},
        {"one", {{100, 0, 5, 9}}, 1, 128, 128},
        {"lives apart share bytes", {{64, 0, 1, 0}, {64, 2, 3, 0}}, 2, 64, 64},
        {"meeting in one step do not", {{64, 0, 2, 0}, {64, 2, 3, 0}}, 2, 128, 128},
        {"a hole is used", {{128, 0, 9, 0}, {64, 0, 3, 0}, {64, 4, 9, 0}}, 3, 192, 192},
        {"empty ones cost nothing", {{0, 0, 9, 0}, {64, 0, 3, 0}}, 2, 64, 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_interval intervals[4];
        struct snug_plan plan;
        struct snug_error error;
        memcpy(intervals, cases[i].intervals, sizeof intervals);
        assert_ok(
            snug_plan_place(intervals, cases[i].count, 64, snug_allocator_heap(), &plan, &error));
        if (plan.peak_bytes != cases[i].peak || plan.lower_bound_bytes != cases[i].bound)
            fail_msg("%s: peak %zu, not %zu; bound %zu, not %zu", cases[i].what, plan.peak_bytes,
                     cases[i].peak, plan.lower_bound_bytes, cases[i].bound);
        assert_ok(snug_plan_verify(intervals, cases[i].count, 64, plan.peak_bytes,
                                   snug_allocator_heap(), &error));
    }
}

static void test_verifier_catches(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct snug_interval intervals[3];
        size_t count, peak;
    } wrong[] = {
        {"overlap", {{64, 0, 2, 0}, {64, 1, 3, 0}}, 2, 64},
        {"overlap by one byte", {{65, 0, 2, 0}, {64, 2, 3, 64}}, 2, 128},
        {"past the peak", {{64, 0, 2, 64}}, 1, 127},
        {"misaligned", {{64, 0, 2, 32}}, 1, 256},
        {"inside another", {{640, 0, 9, 0}, {64, 3, 3, 128}}, 2, 640},
        {"offset that wraps", {{64, 0, 2, SIZE_MAX - 63}}, 1, 128},
        {"one that died is no neighbour", {{64, 0, 0, 0}, {256, 1, 9, 0}, {64, 5, 5, 64}}, 3, 256},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct snug_error error;
        enum snug_status status = snug_plan_verify(wrong[i].intervals, wrong[i].count, 64,
                                                   wrong[i].peak, snug_allocator_heap(), &error);
        if (status != SNUG_STATUS_SHAPE)
            fail_msg("%s: %s", wrong[i].what, snug_status_text(status));
    }
}

/* Random lives: no plan may overlap, nor lie below the bound. */
static void test_random(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct snug_interval intervals[60];
        struct snug_plan plan;
        struct snug_error error;
        size_t count = 1 + (size_t)round % 60;
        for (size_t i = 0; i < count; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            int first = (int)(seed >> 60), last = first + (int)(seed >> 40 & 7);
            intervals[i] = (struct snug_interval){(size_t)(seed >> 20 & 0xfff), first, last, 0};
        }
        assert_ok(snug_plan_place(intervals, count, 64, snug_allocator_heap(), &plan, &error));
        assert_ok(
            snug_plan_verify(intervals, count, 64, plan.peak_bytes, snug_allocator_heap(), &error));
        if (plan.peak_bytes < plan.lower_bound_bytes)
            fail_msg("round %d: peak %zu below the bound %zu", round, plan.peak_bytes,
                     plan.lower_bound_bytes);
    }
}

static void test_refused_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        struct snug_counting_allocator counting;
        struct snug_interval interval = {64, 0, 1, 0};
        struct snug_plan plan;
        struct snug_error error;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        assert_int_equal(snug_plan_place(&interval, 1, 64, &counting.allocator, &plan, &error),
                         SNUG_STATUS_MEMORY);
        assert_int_equal(counting.live, 0);
    }
}

static void test_overflow(void **state)
{
    (void)state;
    struct snug_interval huge[3] = {
        {SIZE_MAX / 2, 0, 1, 0}, {SIZE_MAX / 2, 0, 1, 0}, {SIZE_MAX / 2, 0, 1, 0}};
    struct snug_plan plan;
    struct snug_error error;
    assert_int_equal(snug_plan_place(huge, 3, 64, snug_allocator_heap(), &plan, &error),
                     SNUG_STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_made), cmocka_unit_test(test_verifier_catches),
        cmocka_unit_test(test_random), cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_overflow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
