/* The planner and its verifier.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "memory/plan.h"

/* Bytes, first and last step, offset; one that is pinned there. */
#define FREE(bytes, first, last, offset)                                                           \
    {                                                                                              \
        bytes, first, last, offset, false                                                          \
    }
#define PINNED(bytes, first, last, offset)                                                         \
    {                                                                                              \
        bytes, first, last, offset, true                                                           \
    }

static void test_hand_made(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct snug_interval intervals[4];
        size_t count, peak, bound;
    } cases[] = {
        {"nothing", {FREE(0, 0, 0, 0)}, 0, 0, 0},
        {"one", {FREE(100, 0, 5, 9)}, 1, 128, 128},
        {"lives apart share bytes", {FREE(64, 0, 1, 0), FREE(64, 2, 3, 0)}, 2, 64, 64},
        {"meeting in one step do not", {FREE(64, 0, 2, 0), FREE(64, 2, 3, 0)}, 2, 128, 128},
        {"a hole is used", {FREE(128, 0, 9, 0), FREE(64, 0, 3, 0), FREE(64, 4, 9, 0)}, 3, 192, 192},
        {"empty ones cost nothing", {FREE(0, 0, 9, 0), FREE(64, 0, 3, 0)}, 2, 64, 64},
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
        {"overlap", {FREE(64, 0, 2, 0), FREE(64, 1, 3, 0)}, 2, 64},
        {"overlap by one byte", {FREE(65, 0, 2, 0), FREE(64, 2, 3, 64)}, 2, 128},
        {"past the peak", {FREE(64, 0, 2, 64)}, 1, 127},
        {"misaligned", {FREE(64, 0, 2, 32)}, 1, 256},
        {"inside another", {FREE(640, 0, 9, 0), FREE(64, 3, 3, 128)}, 2, 640},
        {"offset that wraps", {FREE(64, 0, 2, SIZE_MAX - 63)}, 1, 128},
        {"one that died is no neighbour",
         {FREE(64, 0, 0, 0), FREE(256, 1, 9, 0), FREE(64, 5, 5, 64)},
         3,
         256},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct snug_error error;
        enum snug_status status = snug_plan_verify(wrong[i].intervals, wrong[i].count, 64,
                                                   wrong[i].peak, snug_allocator_heap(), &error);
        if (status != SNUG_STATUS_SHAPE)
            fail_msg("%s: %s", wrong[i].what, snug_status_text(status));
    }
}

static uint64_t seed = 1;

static uint64_t random_below(uint64_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % limit;
}

static size_t random_intervals(struct snug_interval *intervals, size_t most, int steps)
{
    size_t count = 1 + random_below(most);
    for (size_t i = 0; i < count; i++) {
        int first = (int)random_below((uint64_t)steps);
        int last = first + (int)random_below((uint64_t)steps / 2 + 1);
        intervals[i] = (struct snug_interval){
            .bytes = random_below(20) ? random_below(4096) : 0, .first = first, .last = last};
    }
    return count;
}

static void check_plan(const struct snug_interval *intervals, size_t count, size_t alignment,
                       const struct snug_plan *plan)
{
    struct snug_error error;
    size_t end = 0;
    assert_ok(snug_plan_verify(intervals, count, alignment, plan->peak_bytes, snug_allocator_heap(),
                               &error));
    for (size_t i = 0; i < count; i++)
        if (intervals[i].bytes) {
            size_t top = intervals[i].offset + intervals[i].bytes;
            end = top > end ? top : end;
        }
    if (plan->peak_bytes < plan->lower_bound_bytes || plan->peak_bytes < end ||
        plan->peak_bytes - end >= alignment)
        fail_msg("peak %zu, bound %zu, end %zu", plan->peak_bytes, plan->lower_bound_bytes, end);
}

/* Random lives: no plan may overlap, nor lie below the bound; the same twice. How many:
 * SNUG_PLAN_INSTANCES, 100,000 or, where all is slow, 3,000. */
static void test_random(void **state)
{
    (void)state;
    const char *wanted = getenv("SNUG_PLAN_INSTANCES");
    long rounds = wanted ? strtol(wanted, NULL, 10) : getenv("SNUG_SLOW") ? 3000 : 100000;
    size_t proven = 0;
    for (long round = 0; round < rounds; round++) {
        struct snug_interval intervals[40], again[40];
        struct snug_plan plan, same;
        struct snug_error error;
        struct snug_plan_options options = {.nodes = 100};
        size_t alignment = (size_t)1 << random_below(8);
        size_t count = random_intervals(intervals, 1 + random_below(40), 16);
        memcpy(again, intervals, sizeof again);
        assert_ok(snug_plan_search(intervals, count, alignment, &options, snug_allocator_heap(),
                                   &plan, &error));
        check_plan(intervals, count, alignment, &plan);
        proven += plan.proven;
        if (round % 64)
            continue;
        assert_ok(snug_plan_search(again, count, alignment, &options, snug_allocator_heap(), &same,
                                   &error));
        for (size_t i = 0; i < count; i++)
            assert_int_equal(again[i].offset, intervals[i].offset);
    }
    print_message("%ld random instances, %zu proven smallest\n", rounds, proven);
}

/* ---- the smallest peak of a few intervals, by trying every order ---- */

static bool collides(const struct snug_interval *a, const struct snug_interval *b, size_t offset)
{
    return a->first <= b->last && b->first <= a->last && offset < b->offset + b->bytes &&
           b->offset < offset + a->bytes;
}

static size_t smallest_peak(struct snug_interval *intervals, size_t count, unsigned placed)
{
    size_t best = SIZE_MAX, peak = 0;
    bool complete = true;
    for (size_t i = 0; i < count; i++) {
        if (placed >> i & 1) {
            size_t end = intervals[i].offset + intervals[i].bytes;
            peak = end > peak ? end : peak;
            continue;
        }
        complete = false;
        size_t offset = 0;
        for (size_t j = 0; j < count; j++)
            if ((placed >> j & 1) && collides(&intervals[i], &intervals[j], offset)) {
                offset = intervals[j].offset + intervals[j].bytes;
                j = (size_t)-1; /* from the beginning */
            }
        intervals[i].offset = offset;
        size_t found = smallest_peak(intervals, count, placed | 1u << i);
        best = found < best ? found : best;
    }
    return complete ? peak : best;
}

static void test_smallest(void **state)
{
    (void)state;
    long rounds = getenv("SNUG_SLOW") ? 300 : 20000;
    for (long round = 0; round < rounds; round++) {
        struct snug_interval intervals[6], brute[6];
        struct snug_plan plan;
        struct snug_error error;
        size_t count = random_intervals(intervals, 6, 8), total = 0;
        unsigned pinned = 0;
        for (size_t i = 0; i < count; i++)
            intervals[i].bytes = 1 + random_below(9);
        for (size_t i = 0; i < count && round % 2; i++) {
            if (random_below(3) == 0) { /* far enough apart never to overlap */
                intervals[i].pinned = true;
                intervals[i].offset = total + random_below(4);
                total = intervals[i].offset + intervals[i].bytes;
                pinned |= 1u << i;
            }
        }
        memcpy(brute, intervals, sizeof brute);
        size_t best = smallest_peak(brute, count, pinned);
        assert_ok(snug_plan_place(intervals, count, 1, snug_allocator_heap(), &plan, &error));
        check_plan(intervals, count, 1, &plan);
        if (plan.peak_bytes != best || !plan.proven)
            fail_msg("round %ld: peak %zu, smallest %zu, proven %d", round, plan.peak_bytes, best,
                     plan.proven);
        struct snug_plan_options within = {.capacity_bytes = best - 1, .nodes = 5000};
        if (best > 1) {
            assert_ok(snug_plan_search(intervals, count, 1, &within, snug_allocator_heap(), &plan,
                                       &error));
            assert_true(plan.peak_bytes >= best && plan.proven);
        }
        within.capacity_bytes = best;
        assert_ok(
            snug_plan_search(intervals, count, 1, &within, snug_allocator_heap(), &plan, &error));
        assert_int_equal(plan.peak_bytes, best);
    }
}

static void test_pinned(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct snug_interval intervals[3];
        size_t count, peak;
        enum snug_status status;
    } cases[] = {
        {"below", {PINNED(64, 0, 3, 128), FREE(128, 0, 3, 0)}, 2, 192, SNUG_STATUS_OK},
        {"above", {PINNED(64, 0, 3, 64), FREE(128, 0, 3, 0)}, 2, 256, SNUG_STATUS_OK},
        {"alone", {PINNED(64, 0, 3, 640)}, 1, 704, SNUG_STATUS_OK},
        {"not aligned", {PINNED(64, 0, 3, 32)}, 1, 0, SNUG_STATUS_SHAPE},
        {"overlap", {PINNED(65, 0, 3, 0), PINNED(64, 3, 4, 64)}, 2, 0, SNUG_STATUS_SHAPE},
        {"apart in time", {PINNED(65, 0, 3, 0), PINNED(64, 4, 4, 64)}, 2, 128, SNUG_STATUS_OK},
        {"wraps", {PINNED(64, 0, 3, SIZE_MAX - 63)}, 1, 0, SNUG_STATUS_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_interval intervals[3];
        struct snug_plan plan;
        struct snug_error error;
        memcpy(intervals, cases[i].intervals, sizeof intervals);
        enum snug_status status =
            snug_plan_place(intervals, cases[i].count, 64, snug_allocator_heap(), &plan, &error);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].what, snug_status_text(status));
        for (size_t j = 0; j < cases[i].count; j++)
            if (intervals[j].pinned)
                assert_int_equal(intervals[j].offset, cases[i].intervals[j].offset);
        if (status)
            continue;
        if (plan.peak_bytes != cases[i].peak)
            fail_msg("%s: peak %zu, not %zu", cases[i].what, plan.peak_bytes, cases[i].peak);
        check_plan(intervals, cases[i].count, 64, &plan);
    }
}

/* Sizes that have no common unit and do not fit the search's numbers are rounded, never wrong. */
static void test_huge_sizes(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct snug_interval intervals[24];
        struct snug_plan plan;
        struct snug_error error;
        size_t count = random_intervals(intervals, 24, 12);
        for (size_t i = 0; i < count; i++)
            intervals[i].bytes = (intervals[i].bytes << 40) + random_below(1000);
        assert_ok(snug_plan_place(intervals, count, 1, snug_allocator_heap(), &plan, &error));
        check_plan(intervals, count, 1, &plan);
    }
}

static bool stop_at_once(void *context)
{
    ++*(int *)context;
    return true;
}

static void test_stops(void **state)
{
    (void)state;
    struct snug_interval intervals[40];
    struct snug_plan plan;
    struct snug_error error;
    int asked = 0;
    struct snug_plan_options options = {
        .nodes = UINT64_MAX, .stop = stop_at_once, .stop_context = &asked};
    size_t count = random_intervals(intervals, 40, 16);
    assert_ok(
        snug_plan_search(intervals, count, 1, &options, snug_allocator_heap(), &plan, &error));
    check_plan(intervals, count, 1, &plan);
    /* one that begins with many is stopped before there is a plan */
    enum { MANY = 3000 };
    struct snug_interval *many = calloc(MANY, sizeof *many);
    for (int i = 0; i < MANY; i++)
        many[i] = (struct snug_interval){.bytes = 64, .first = i, .last = i + 5};
    assert_int_equal(
        snug_plan_search(many, MANY, 1, &options, snug_allocator_heap(), &plan, &error),
        SNUG_STATUS_INTERRUPTED);
    assert_true(asked > 0);
    free(many);
}

/* Every allocation of a plan that needs the search is refused once. */
static void test_refused_memory(void **state)
{
    (void)state;
    struct snug_interval hard[40];
    struct snug_plan plan = {0};
    struct snug_error error;
    enum snug_status status = SNUG_STATUS_MEMORY;
    size_t count = 0;
    uint64_t n;
    while (!plan.nodes) { /* one that no greedy order solves */
        count = random_intervals(hard, 39, 16);
        hard[count] = (struct snug_interval)PINNED(16, 0, 3, 1024);
        count++;
        assert_ok(snug_plan_place(hard, count, 16, snug_allocator_heap(), &plan, &error));
    }
    for (n = 1; status; n++) {
        struct snug_counting_allocator counting;
        struct snug_interval intervals[40];
        memcpy(intervals, hard, sizeof intervals);
        intervals[0].offset = plan.peak_bytes = 77;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        status = snug_plan_place(intervals, count, 16, &counting.allocator, &plan, &error);
        assert_int_equal(status, counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK);
        assert_int_equal(counting.live, 0);
        if (status) { /* nothing is written */
            assert_int_equal(intervals[0].offset, 77);
            assert_int_equal(plan.peak_bytes, 77);
        }
    }
    assert_true(plan.nodes > 0 && n > 40);
}

static void test_overflow(void **state)
{
    (void)state;
    struct snug_interval huge[3] = {FREE(SIZE_MAX / 2, 0, 1, 0), FREE(SIZE_MAX / 2, 0, 1, 0),
                                    FREE(SIZE_MAX / 2, 0, 1, 0)};
    struct snug_plan plan;
    struct snug_error error;
    assert_int_equal(snug_plan_place(huge, 3, 64, snug_allocator_heap(), &plan, &error),
                     SNUG_STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_made), cmocka_unit_test(test_verifier_catches),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_pinned),    cmocka_unit_test(test_huge_sizes),
        cmocka_unit_test(test_stops),     cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_overflow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
