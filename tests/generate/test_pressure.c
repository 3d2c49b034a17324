/* The trend of a device's memory: what is a fall, what is none, and when an alert comes. Copyright
 * snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/pressure.h"

#include <math.h>

#define MIB ((int64_t)1 << 20)
#define LEVEL (4096 * MIB)

/* A fixed sequence of -1 .. 1. */
static double noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (double)(1 << 23) - 1;
}

/* Bytes at document i of a history of each kind. */
static int64_t flat(int64_t i, uint32_t *state)
{
    (void)i, (void)state;
    return LEVEL;
}
static int64_t noisy(int64_t i, uint32_t *state)
{
    (void)i;
    return LEVEL + (int64_t)(noise(state) * 500.0 * (double)MIB);
}
static int64_t steady(int64_t i, uint32_t *state)
{
    (void)state;
    return LEVEL - i * 50 * MIB;
}
static int64_t steady_noisy(int64_t i, uint32_t *state)
{
    return LEVEL - i * 50 * MIB + (int64_t)(noise(state) * 60.0 * (double)MIB);
}
static int64_t stairs(int64_t i, uint32_t *state)
{
    (void)state;
    return LEVEL - i / 4 * 200 * MIB;
}
static int64_t rising(int64_t i, uint32_t *state)
{
    (void)state;
    return 1024 * MIB + i * 50 * MIB;
}

struct history {
    const char *name;
    int64_t (*bytes)(int64_t i, uint32_t *state);
    bool falls;
};
static const struct history histories[] = {
    {"flat", flat, false},    {"noise", noisy, false},
    {"steady", steady, true}, {"steady with noise", steady_noisy, true},
    {"stairs", stairs, true}, {"rising", rising, false},
};

static void test_slopes(void **state)
{
    (void)state;
    for (size_t h = 0; h < sizeof histories / sizeof *histories; h++) {
        struct snug_pressure pressure = {.count = 0};
        uint32_t random = 7;
        for (int64_t i = 0; i < 40; i++)
            snug_pressure_add(&pressure, i + 1, (uint64_t)histories[h].bytes(i, &random));
        struct snug_pressure_trend trend = snug_pressure_trend(&pressure, 1024 * MIB);
        if (!trend.known || trend.falling != histories[h].falls)
            fail_msg("%s: falling is %d, expected %d", histories[h].name, trend.falling,
                     histories[h].falls);
        double want = histories[h].falls ? -50 * (double)MIB : 0;
        double have = trend.slope_bytes;
        if (histories[h].falls && fabs(have - want) > 0.15 * fabs(want))
            fail_msg("%s: %.0f bytes a document, expected %.0f", histories[h].name, have, want);
        if (!histories[h].falls && trend.documents != -1)
            fail_msg("%s: short in %lld documents", histories[h].name, (long long)trend.documents);
    }
}

/* Too few samples say nothing; documents that were passed over count by their numbers. */
static void test_few_and_gaps(void **state)
{
    (void)state;
    struct snug_pressure pressure = {.count = 0};
    assert_false(snug_pressure_trend(&pressure, 1).known);
    for (int64_t i = 0; i < SNUG_PRESSURE_LEAST; i++) {
        assert_false(snug_pressure_trend(&pressure, 1).known);
        snug_pressure_add(&pressure, 3 * i, (uint64_t)(LEVEL - i * 30 * MIB));
    }
    struct snug_pressure_trend trend = snug_pressure_trend(&pressure, (uint64_t)(LEVEL / 2));
    assert_true(trend.known && trend.falling);
    assert_true(trend.slope_bytes == -10.0 * (double)MIB);
    assert_int_equal(trend.last_bytes, LEVEL - (SNUG_PRESSURE_LEAST - 1) * 30 * MIB);
    /* (2048 - 330) / 10 = 171.8 */
    assert_int_equal(trend.documents, 172);
    assert_int_equal(snug_pressure_trend(&pressure, 0).documents, -1);
    assert_int_equal(snug_pressure_trend(&pressure, (uint64_t)LEVEL).documents, 0);
}

/* A step of any height at any document is no fall, and raises nothing. */
static void test_steps(void **state)
{
    (void)state;
    for (int64_t at = 1; at < 60; at++) {
        struct snug_pressure pressure = {.count = 0};
        struct snug_pressure_trend trend;
        for (int64_t i = 0; i < 60; i++) {
            snug_pressure_add(&pressure, i + 1,
                              (uint64_t)(i < at ? LEVEL : 1030 * MIB)); /* barely enough left */
            if (snug_pressure_alert(&pressure, 1024 * MIB, &trend) || trend.falling)
                fail_msg("a step at %lld: a fall is seen at %lld", (long long)at, (long long)i);
        }
    }
}

/* Noise just above what is needed, for thousands of documents, with many seeds. */
static void test_no_alert_on_noise(void **state)
{
    (void)state;
    int alerts = 0;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct snug_pressure pressure = {.count = 0};
        struct snug_pressure_trend trend;
        uint32_t random = seed * 7919;
        for (int64_t i = 0; i < 400; i++) {
            snug_pressure_add(&pressure, i, (uint64_t)noisy(i, &random));
            alerts += snug_pressure_alert(&pressure, (uint64_t)(LEVEL - 505 * MIB), &trend);
        }
    }
    assert_int_equal(alerts, 0);
}

/* Once, before memory is short, and again only in another fall. */
static void test_alert_comes_first(void **state)
{
    (void)state;
    static const struct history falls[] = {
        {"steady", steady, true}, {"noise", steady_noisy, true}, {"stairs", stairs, true}};
    for (size_t h = 0; h < 3; h++) {
        struct snug_pressure pressure = {.count = 0};
        struct snug_pressure_trend trend;
        uint32_t random = 3;
        int64_t need = 2048 * MIB, number = 0, alert_at[2] = {0, 0}, short_at[2] = {0, 0};
        int alerts[2] = {0, 0};
        for (int fall = 0; fall < 2; fall++) {
            for (int64_t i = 0; i < 60; i++) {
                int64_t bytes = falls[h].bytes(i, &random);
                snug_pressure_add(&pressure, ++number, (uint64_t)bytes);
                if (snug_pressure_alert(&pressure, (uint64_t)need, &trend)) {
                    alerts[fall]++;
                    alert_at[fall] = number;
                }
                if (bytes < need && !short_at[fall])
                    short_at[fall] = number;
            }
            for (int64_t i = 0; i < 40; i++) { /* it has recovered */
                snug_pressure_add(&pressure, ++number, (uint64_t)LEVEL);
                if (snug_pressure_alert(&pressure, (uint64_t)need, &trend))
                    fail_msg("%s: an alert while there is room", falls[h].name);
            }
        }
        for (int fall = 0; fall < 2; fall++) {
            int64_t ahead = short_at[fall] - alert_at[fall];
            if (alerts[fall] != 1 || ahead < 4 || ahead > 12)
                fail_msg("%s, fall %d: %d alerts, the last %lld documents ahead", falls[h].name,
                         fall, alerts[fall], (long long)ahead);
        }
    }
}

/* The largest figures there can be. */
static void test_extremes(void **state)
{
    (void)state;
    struct snug_pressure pressure = {.count = 0};
    for (int64_t i = 0; i < 40; i++)
        snug_pressure_add(&pressure, i, UINT64_MAX - (uint64_t)i * (uint64_t)MIB);
    struct snug_pressure_trend trend = snug_pressure_trend(&pressure, 1);
    assert_true(trend.falling && trend.slope_bytes == -(double)MIB);
    assert_true(trend.documents > (int64_t)1 << 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_few_and_gaps),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_no_alert_on_noise),
        cmocka_unit_test(test_alert_comes_first),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
