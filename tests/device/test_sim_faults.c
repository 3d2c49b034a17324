/* Tests of device/sim.c: what goes wrong, when, and what time it is.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "sim_bench.h"

/* ---- faults ---- */

static enum snug_status status_of(enum snug_sim_call call)
{
    return call == SNUG_SIM_CALL_TAKE || call == SNUG_SIM_CALL_TAKE_HOST ? SNUG_STATUS_MEMORY
                                                                         : SNUG_STATUS_DEVICE;
}

/* Of every kind: the at-th call and the count - 1 after it, by a fault and by an event. */
static void test_faults(void **state)
{
    (void)state;
    for (int kind = 0; kind < SNUG_SIM_CALL_COUNT; kind++) {
        for (uint64_t at = 1; at <= 3; at++) {
            for (uint64_t count = 1; count <= 2; count++) {
                struct snug_sim_options options = small();
                struct bench bench = bench_of(&options);
                struct snug_sim_fault fault = {(enum snug_sim_call)kind, at, count, false};
                snug_sim_set_faults(bench.device, &fault, 1); /* counted from here */
                uint64_t seen = 0;                            /* calls that the fault counts */
                for (int call = 1; call < SNUG_SIM_CALL_COUNT * 5; call++) {
                    enum snug_sim_call what =
                        (enum snug_sim_call)(1 + call % (SNUG_SIM_CALL_COUNT - 1));
                    struct snug_error error = {0};
                    bool counts = kind == SNUG_SIM_CALL_ANY || (int)what == kind;
                    seen += counts;
                    bool due = counts && seen >= at && seen < at + count;
                    enum snug_status status = do_call(&bench, what, &error);
                    if (status != (due ? status_of(what) : SNUG_STATUS_OK))
                        fail_msg("fault of %s at %d, count %d: call %d (%s): %s: %s",
                                 snug_sim_call_name((enum snug_sim_call)kind), (int)at, (int)count,
                                 call, snug_sim_call_name(what), snug_status_text(status),
                                 error.message);
                }
                bench_free(&bench);
            }
        }
    }
}

/* A copy that fails writes nothing; it is told once, at the first join or synchronise after it. */
static void test_failed_copies(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    struct bench bench = bench_of(&options);
    const struct snug_device *device = bench.device;
    struct snug_error error = {0};
    uint64_t tickets[5];
    const struct snug_sim_fault faults[] = {{SNUG_SIM_CALL_COPY_TO, 2, 1, false},
                                            {SNUG_SIM_CALL_COPY_TO, 5, 1, false}};
    memset(bench.pinned.base, 9, 100);
    for (int synchronise = 0; synchronise < 2; synchronise++) {
        memset(bench.region.base, 1, 100);
        snug_sim_set_faults(device, faults, 2);
        for (size_t i = 0; i < 5; i++)
            tickets[i] = copy(device, SNUG_DIRECTION_TO_DEVICE, bench.region.base + 10 * i,
                              bench.pinned.base, 10);
        assert_ok(device->join(device, tickets[0], &error));
        if (!synchronise) {
            assert_int_equal(device->join(device, tickets[2], &error), SNUG_STATUS_DEVICE);
            assert_ok(device->join(device, tickets[3], &error)); /* told already */
        }
        assert_int_equal(device->synchronise(device, &error), SNUG_STATUS_DEVICE);
        assert_ok(device->synchronise(device, &error));
        assert_ok(device->join(device, tickets[4], &error));
        for (size_t i = 0; i < 100; i++) {
            unsigned char expected = i / 10 == 1 || i / 10 == 4 || i >= 50 ? 1 : 9;
            if (bench.region.base[i] != expected)
                fail_msg("byte %zu is %d, not %d", i, bench.region.base[i], expected);
        }
    }
    /* hundreds of copies after it, it is still told */
    const struct snug_sim_fault both[] = {{SNUG_SIM_CALL_COPY_TO, 1, 1, false},
                                          {SNUG_SIM_CALL_COPY_TO, 600, 1, false}};
    snug_sim_set_faults(device, both, 2);
    for (int i = 0; i < 600; i++)
        tickets[i % 5] =
            copy(device, SNUG_DIRECTION_TO_DEVICE, bench.region.base, bench.pinned.base, 10);
    assert_int_equal(device->join(device, tickets[598 % 5], &error), SNUG_STATUS_DEVICE);
    assert_ok(device->join(device, tickets[598 % 5], &error));
    assert_int_equal(device->join(device, tickets[599 % 5], &error), SNUG_STATUS_DEVICE);
    assert_ok(device->synchronise(device, &error));
    bench_free(&bench);
}

/* ---- loss ---- */

/* Lost at a call of every kind; nothing works until a reset; the old memory stays out of reach
 * after it, but no longer counts. */
static void test_loss(void **state)
{
    (void)state;
    for (int kind = 0; kind < SNUG_SIM_CALL_COUNT; kind++) {
        struct snug_sim_options options = small();
        struct bench bench = bench_of(&options);
        const struct snug_device *device = bench.device;
        struct snug_error error = {0};
        struct snug_sim_fault fault = {(enum snug_sim_call)kind, 2, 1, true};
        enum snug_sim_call call = kind ? (enum snug_sim_call)kind : SNUG_SIM_CALL_LAUNCH;
        (void)copy(device, SNUG_DIRECTION_TO_DEVICE, bench.region.base, bench.pinned.base, KIB(9));
        snug_sim_set_faults(device, &fault, 1);
        assert_ok(do_call(&bench, call, &error));
        assert_true(can_read(bench.region.base) && can_read(bench.pinned.base));
        enum snug_status status = do_call(&bench, call, &error);
        if (status != SNUG_STATUS_DEVICE_LOST)
            fail_msg("%s: %s", snug_sim_call_name(call), snug_status_text(status));
        assert_all_lost(&bench);
        assert_bytes(snug_sim_figures(device).losses, 1, "losses");

        assert_ok(device->reset(device, &error)); /* a fault's loss: the first attempt succeeds */
        assert_ok(device->reset(device, &error)); /* and nothing more to do */
        assert_bytes(snug_sim_figures(device).resets, 1, "resets");
        assert_bytes(snug_sim_figures(device).ours, 0, "ours");
        assert_false(can_read(bench.region.base) || can_read(bench.pinned.base));
        struct snug_region all = take(device, MIB(16));
        assert_true(can_read(all.base));
        device->give(device, &bench.region);
        assert_bytes(snug_sim_figures(device).ours, MIB(16), "ours");
        device->give(device, &all);
        bench.region = take(device, MIB(2));
        assert_ok(device->synchronise(device, &error));
        bench_free(&bench);
    }
}

static void test_resets_that_fail(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    struct bench bench = bench_of(&options);
    struct snug_error error = {0};
    assert_bytes(snug_sim_neighbour(bench.device, MIB(3)), MIB(3), "neighbour");
    snug_sim_lose(bench.device, 5);
    snug_sim_lose(bench.device, 2); /* lost already: only the attempts change */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bench.device->reset(bench.device, &error), SNUG_STATUS_DEVICE_LOST);
        assert_all_lost(&bench);
    }
    assert_ok(bench.device->reset(bench.device, &error));
    assert_bytes(snug_sim_figures(bench.device).losses, 1, "losses");
    assert_bytes(free_bytes(bench.device), MIB(13), "free"); /* others keep what they hold */
    bench_free(&bench);
}

/* ---- virtual time ---- */

static void assert_time(const struct snug_device *device, double expected, int step)
{
    double got = device->time_ms(device);
    if (got != expected)
        fail_msg("step %d: %.17g ms, not %.17g", step, got, expected);
}

/* Figures that binary fractions hold: every result is exact. Launches 0.5 ms and copies 0.25 ms of
 * latency; a million bytes a millisecond. */
static void test_time(void **state)
{
    (void)state;
    const struct snug_sim_event slower = {
        .kind = SNUG_SIM_EVENT_LINK, .document = -1, .token = -1, .at_ms = 5.5, .factor = 0.5};
    struct snug_sim_options options = small();
    options.read_gbs = 1;
    options.f32_gflops = 2;
    options.int8_gops = 4;
    options.link_gbs = 1;
    options.launch_us = 500;
    options.copy_us = 250;
    options.events = &slower;
    options.event_count = 1;
    struct bench bench = bench_of(&options);
    const struct snug_device *device = bench.device;
    struct snug_error error;
    uint64_t tickets[3];
    struct snug_copy half = {
        SNUG_DIRECTION_TO_DEVICE, bench.region.base, bench.pinned.base, 500000, 2, 500000, 500000};
    const struct snug_work reads = {2e6, 1e6, 1e6}, sums = {0.25e6, 1e6, 4e6}, none = {0};

    assert_time(device, 0, 0);
    assert_ok(device->copy(device, &half, &tickets[0], &error)); /* 0 to 1.25 */
    assert_time(device, 1.25, 1);
    assert_ok(device->launch(device, &reads, &error)); /* 0 to 2.5: beside the copy */
    assert_time(device, 2.5, 2);
    half.rows = 1;
    assert_ok(device->copy(device, &half, &tickets[1], &error)); /* 2.5 to 3.25: after the launch */
    assert_time(device, 3.25, 3);
    half.rows = 2;
    assert_ok(device->copy(device, &half, &tickets[1], &error)); /* 3.25 to 4.5 */
    assert_time(device, 4.5, 4);
    assert_ok(device->join(device, tickets[0], &error)); /* over before the first launch ended */
    assert_ok(device->launch(device, &sums, &error));    /* 2.5 to 4: int8 takes longest */
    assert_time(device, 4.5, 5);
    assert_true(snug_sim_figures(device).waited_ms == 0);
    assert_ok(device->join(device, tickets[1], &error)); /* launches wait from 4 to 4.5 */
    assert_ok(device->launch(device, &none, &error));    /* to 5 */
    assert_time(device, 5, 6);
    assert_ok(device->launch(device, &none, &error)); /* to 5.5: the link is slow from here */
    assert_ok(device->copy(device, &half, &tickets[2], &error)); /* 5.5 to 7.75 */
    assert_time(device, 7.75, 7);
    assert_ok(device->synchronise(device, &error)); /* launches wait from 5.5 to 7.75 */
    assert_ok(device->launch(device, &none, &error));
    assert_time(device, 8.25, 8);

    struct snug_sim_figures figures = snug_sim_figures(device);
    const double got[] = {figures.launch_ms, figures.copy_ms, figures.waited_ms};
    const double expected[] = {2.5 + 1.5 + 3 * 0.5, 1.25 + 0.75 + 1.25 + 2.25, 0.5 + 2.25};
    for (size_t i = 0; i < COUNT(got); i++)
        if (got[i] != expected[i])
            fail_msg("figure %zu: %.17g, not %.17g", i, got[i], expected[i]);

    const struct snug_sim_fault fault = {SNUG_SIM_CALL_LAUNCH, 1, 1, false};
    snug_sim_set_faults(device, &fault, 1);
    assert_int_equal(device->launch(device, &reads, &error), SNUG_STATUS_DEVICE);
    assert_time(device, 8.25, 9); /* a launch that fails takes none */
    bench_free(&bench);
}

/* ---- events ---- */

struct seen {
    int count;
    uint64_t neighbour; /* when the callback ran */
    int64_t document, token;
};

static void see(void *context, const struct snug_device *device, int64_t document, int64_t token)
{
    struct seen *seen = context;
    seen->count++;
    seen->neighbour = snug_sim_figures(device).neighbour;
    seen->document = document;
    seen->token = token;
}

static void test_events(void **state)
{
    (void)state;
    static const struct snug_sim_event events[] = {
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 1, .token = -1, .bytes = MIB(1)},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 2, .token = 5, .bytes = MIB(2)},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 3, .token = 9, .bytes = MIB(3)},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 5, .token = -1, .bytes = MIB(4)},
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 7,
         .token = 1,
         .call = SNUG_SIM_CALL_LAUNCH,
         .count = 2},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 8, .token = -1, .count = 1}};
    static const struct {
        int64_t document, token;
        uint64_t neighbour;
    } marks[] = {{1, -1, MIB(1)}, {1, 0, MIB(1)}, {2, 4, MIB(1)},  {3, 5, MIB(1)},
                 {2, 6, MIB(2)},  {2, 5, MIB(2)}, {3, 8, MIB(2)},  {4, 9, MIB(2)},
                 {6, -1, MIB(4)}, {3, 9, MIB(3)}, {5, -1, MIB(3)}, {7, 1, MIB(3)}};
    struct snug_sim_options options = small();
    options.events = events;
    options.event_count = COUNT(events);
    struct bench bench = bench_of(&options);
    const struct snug_device *device = bench.device;
    struct snug_error error = {0};
    struct seen seen = {0};
    snug_sim_on_mark(device, see, &seen);
    for (size_t i = 0; i < COUNT(marks); i++) {
        uint64_t before = snug_sim_figures(device).neighbour;
        device->mark(device, marks[i].document, marks[i].token);
        uint64_t got = snug_sim_figures(device).neighbour;
        if (got != marks[i].neighbour || seen.neighbour != before || seen.count != (int)i + 1 ||
            seen.document != marks[i].document || seen.token != marks[i].token)
            fail_msg("mark %zu: the neighbour holds %llu, not %llu", i, (unsigned long long)got,
                     (unsigned long long)marks[i].neighbour);
    }
    assert_ok(do_call(&bench, SNUG_SIM_CALL_SYNCHRONISE, &error)); /* another kind */
    assert_int_equal(do_call(&bench, SNUG_SIM_CALL_LAUNCH, &error), SNUG_STATUS_DEVICE);
    assert_int_equal(do_call(&bench, SNUG_SIM_CALL_LAUNCH, &error), SNUG_STATUS_DEVICE);
    assert_ok(do_call(&bench, SNUG_SIM_CALL_LAUNCH, &error));
    device->mark(device, 8, -1);
    assert_all_lost(&bench);
    assert_int_equal(device->reset(device, &error), SNUG_STATUS_DEVICE_LOST);
    assert_ok(device->reset(device, &error));
    device->mark(device, 8, -1);
    assert_bytes(free_bytes(device), MIB(13), "free");
    bench_free(&bench);
}

/* The device is lost at the first call of whatever kind at or after 3 ms. */
static void test_timed_events(void **state)
{
    (void)state;
    static const struct snug_sim_event events[] = {
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = -1, .at_ms = 2, .bytes = MIB(1)},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = -1, .at_ms = 3}};
    for (int kind = 1; kind < SNUG_SIM_CALL_COUNT + 3; kind++) {
        struct snug_sim_options options = small();
        options.launch_us = 1000;
        options.events = events;
        options.event_count = COUNT(events);
        struct bench bench = bench_of(&options);
        const struct snug_device *device = bench.device;
        struct snug_error error = {0};
        uint64_t bytes = 0;
        enum snug_status status = SNUG_STATUS_OK;
        for (int ms = 0; ms < 3; ms++) {
            assert_bytes(free_bytes(device), MIB(ms < 2 ? 15 : 14), "free");
            assert_ok(do_call(&bench, SNUG_SIM_CALL_LAUNCH, &error));
        }
        if (kind < SNUG_SIM_CALL_COUNT)
            status = do_call(&bench, (enum snug_sim_call)kind, &error);
        else if (kind == SNUG_SIM_CALL_COUNT)
            status = device->free_bytes(device, &bytes, &error);
        else if (kind == SNUG_SIM_CALL_COUNT + 1)
            status = device->join(device, 0, &error);
        else
            device->mark(device, 1, -1);
        assert_int_equal(status,
                         kind < SNUG_SIM_CALL_COUNT + 2 ? SNUG_STATUS_DEVICE_LOST : SNUG_STATUS_OK);
        assert_all_lost(&bench);
        assert_ok(device->reset(device, &error));
        assert_bytes(free_bytes(device), MIB(15), "free"); /* once only */
        bench_free(&bench);
    }
}

/* ---- histories ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* What was lost must not be used after a reset. A take may be told to fail: then once more. */
static enum snug_status reset_and_retake(struct bench *bench, struct snug_error *error)
{
    const struct snug_device *device = bench->device;
    uint64_t before = snug_sim_figures(device).resets;
    SNUG_TRY(device->reset(device, error));
    if (snug_sim_figures(device).resets == before)
        return SNUG_STATUS_OK;
    device->give(device, &bench->region);
    device->give_host(device, &bench->pinned);
    while (device->take(device, MIB(1), &bench->region, error))
        continue;
    while (device->take_host(device, MIB(1), &bench->pinned, error))
        continue;
    return SNUG_STATUS_OK;
}

/* Some hundreds of calls in an order that the seed gives; everything they answer, as one number. */
static uint64_t history(unsigned seed, bool dry)
{
    static const struct snug_sim_event events[] = {
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 2, .token = -1, .bytes = MIB(9)},
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 3,
         .token = 3,
         .call = SNUG_SIM_CALL_ANY,
         .count = 2},
        {.kind = SNUG_SIM_EVENT_LINK, .document = -1, .at_ms = 0.2, .factor = 0.1},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = -1, .at_ms = 0.5, .count = 2}};
    struct snug_sim_options options = small();
    struct snug_sim_fault fault = {SNUG_SIM_CALL_COPY_TO, 5, 2, false};
    options.link_gbs = 7.7;
    options.read_gbs = 99;
    options.launch_us = 3.3;
    options.copy_us = 9.1;
    options.events = events;
    options.event_count = COUNT(events);
    options.faults[0] = fault;
    options.fault_count = 1;
    options.dry = dry;
    struct bench bench = bench_of(&options);
    uint64_t hash = seed;
    for (int i = 0; i < 400; i++) {
        struct snug_error error = {0};
        seed = seed * 1103515245 + 12345;
        unsigned choice = (seed >> 16) % 9;
        enum snug_status status = SNUG_STATUS_OK;
        if (choice < 7)
            status = do_call(&bench, (enum snug_sim_call)(choice ? choice : 1), &error);
        else if (choice == 7)
            bench.device->mark(bench.device, i / 80 + 1, i % 80 - 1);
        else
            status = reset_and_retake(&bench, &error);
        double ms = bench.device->time_ms(bench.device);
        hash = mix(mix(hash, &status, sizeof status), &ms, sizeof ms);
        hash = mix(hash, error.message, strlen(error.message));
    }
    struct snug_sim_figures figures = snug_sim_figures(bench.device);
    hash = mix(hash, &figures, sizeof figures);
    assert_bytes(figures.losses, 1, "losses");
    bench_free(&bench);
    return hash;
}

static void test_histories(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (unsigned seed = 1; seed <= 10; seed++) {
        uint64_t first = history(seed, false);
        assert_bytes(history(seed, false), first, "the same calls again");
        assert_bytes(history(seed, true), first, "the same calls, dry");
        assert_true(first != last);
        last = first;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_failed_copies),
        cmocka_unit_test(test_loss),         cmocka_unit_test(test_resets_that_fail),
        cmocka_unit_test(test_time),         cmocka_unit_test(test_events),
        cmocka_unit_test(test_timed_events), cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
