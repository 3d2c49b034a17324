/* Tests of device/sim_memory.c and sim_copies.c, and of taking and giving in sim.c; to be run under
 * ThreadSanitizer, too.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "sim_bench.h"

#include <fcntl.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* ---- memory ---- */

static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, expected;
    } cases[] = {{0, KIB(64)},           {1, KIB(64)},
                 {KIB(64), KIB(64)},     {KIB(64) + 1, KIB(128)},
                 {MIB(16) - 1, MIB(16)}, {MIB(16), MIB(16)}};
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    assert_int_equal(device->granularity, KIB(64));
    assert_false(device->host || device->dry);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_region region = take(device, cases[i].bytes);
        assert_bytes(region.bytes, cases[i].expected, "region");
        assert_bytes(snug_sim_figures(device).ours, cases[i].expected, "ours");
        assert_bytes(free_bytes(device), MIB(16) - cases[i].expected, "free");
        assert_true((uintptr_t)region.base % SNUG_REGION_ALIGNMENT == 0);
        region.base[0] = region.base[region.bytes - 1] = 1;
        device->give(device, &region);
        assert_true(!region.base && !region.bytes);
        device->give(device, &region); /* none */
    }
    assert_bytes(snug_sim_figures(device).peak_ours, MIB(16), "peak");
    assert_bytes(snug_sim_figures(device).ours, 0, "ours");
    assert_bytes(snug_sim_figures(device).calls[SNUG_SIM_CALL_TAKE], COUNT(cases), "takes");
    snug_sim_close(device);
    snug_sim_close(NULL);
}

static void test_refusal(void **state)
{
    (void)state;
    static const size_t too_much[] = {MIB(10) + 1, MIB(16), SIZE_MAX, SIZE_MAX - 100};
    static const char *const words[] = {"sim:test", "10485761", "16777216", "4194304", "2097152"};
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region ours = take(device, MIB(4));
    assert_bytes(snug_sim_neighbour(device, MIB(2)), MIB(2), "neighbour");
    for (size_t i = 0; i < COUNT(too_much); i++) {
        struct snug_region region = {0};
        struct snug_error error = {0};
        assert_int_equal(device->take(device, too_much[i], &region, &error), SNUG_STATUS_MEMORY);
        assert_null(region.base);
        for (size_t w = 0; !i && w < COUNT(words); w++)
            if (!strstr(error.message, words[w]))
                fail_msg("%s is not in: %s", words[w], error.message);
        assert_bytes(snug_sim_figures(device).refused, i + 1, "refused");
    }
    assert_bytes(snug_sim_figures(device).ours, MIB(4), "ours");
    struct snug_region rest = take(device, MIB(10));      /* just as much as there is */
    struct snug_region host = take_host(device, MIB(32)); /* not the device's */
    assert_bytes(free_bytes(device), 0, "free");
    memset(host.base, 1, host.bytes);
    device->give(device, &rest);
    device->give(device, &ours);
    device->give_host(device, &host);
    snug_sim_close(device);
}

/* The device has room, this machine has not. */
static void test_host_refuses(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    options.capacity_bytes = UINT64_C(1) << 50;
    const struct snug_device *device = open_device(&options);
    struct snug_region region = {0};
    assert_int_equal(device->take(device, (size_t)1 << 50, &region, NULL), SNUG_STATUS_MEMORY);
    assert_null(region.base);
    assert_bytes(free_bytes(device), UINT64_C(1) << 50, "free");
    assert_bytes(snug_sim_figures(device).refused, 1, "refused");
    region = take(device, MIB(1));
    device->give(device, &region);
    snug_sim_close(device);
}

static void test_many_regions(void **state)
{
    (void)state;
    struct snug_region regions[65] = {{0}};
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    size_t taken = 0;
    while (taken < COUNT(regions) && !device->take(device, 1, &regions[taken], NULL))
        taken++;
    assert_int_equal(taken, 64); /* the 65th is refused, and nothing is lost by it */
    assert_bytes(snug_sim_figures(device).ours, 64 * KIB(64), "ours");
    for (size_t i = 0; i < taken; i++)
        device->give(device, &regions[(i * 7) % 64]);
    assert_bytes(free_bytes(device), MIB(16), "free");
    snug_sim_close(device);
}

static void test_neighbour(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region ours = take(device, MIB(6));
    assert_bytes(snug_sim_neighbour(device, MIB(1) + 1), MIB(1) + 1, "neighbour");
    assert_bytes(free_bytes(device), MIB(9) - KIB(64), "free, in steps");
    assert_bytes(snug_sim_neighbour(device, MIB(12)), MIB(10), "neighbour"); /* into free room */
    assert_bytes(snug_sim_figures(device).neighbour, MIB(10), "neighbour");
    device->give(device, &ours);
    assert_bytes(snug_sim_figures(device).neighbour, MIB(10), "does not grow by itself");
    assert_bytes(free_bytes(device), MIB(6), "free");
    assert_bytes(snug_sim_neighbour(device, UINT64_MAX), MIB(16), "neighbour");
    assert_int_equal(device->take(device, 1, &ours, NULL), SNUG_STATUS_MEMORY);
    assert_bytes(snug_sim_neighbour(device, 0), 0, "neighbour");
    ours = take(device, MIB(16));
    device->give(device, &ours);
    snug_sim_close(device);
}

/* More addresses than memory; nothing is copied, no byte touched; the calls' history is the same.
 */
static void test_dry(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    options.capacity_bytes = UINT64_C(1) << 36;
    options.dry = true;
    const struct snug_device *device = open_device(&options);
    struct snug_error error;
    unsigned char host[64] = {1, 2, 3};
    uint64_t ticket = 0;
    assert_true(device->dry);
    struct snug_region region = take(device, (size_t)1 << 36), pinned = take_host(device, MIB(64));
    assert_ok(device->touch(device, &region, &error));
    for (int i = 0; i < 200; i++)
        ticket = copy(device, SNUG_DIRECTION_TO_DEVICE, region.base, host, sizeof host);
    assert_bytes(ticket, 200, "ticket");
    assert_ok(device->join(device, ticket, &error));
    assert_ok(device->synchronise(device, &error));
    assert_int_equal(region.base[0], 0);
    const struct snug_sim_fault fault = {SNUG_SIM_CALL_COPY_TO, 1, 1, false};
    snug_sim_set_faults(device, &fault, 1);
    ticket = copy(device, SNUG_DIRECTION_TO_DEVICE, region.base, host, sizeof host);
    assert_int_equal(device->join(device, ticket, &error), SNUG_STATUS_DEVICE);
    snug_sim_lose(device, 0);
    assert_false(can_read(region.base));
    device->give(device, &region);
    device->give_host(device, &pinned);
    snug_sim_close(device);
}

/* ---- copies ---- */

static void test_copies(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region region = take(device, MIB(1)), pinned = take_host(device, MIB(1));
    struct snug_error error;
    assert_ok(device->touch(device, &region, &error));
    fill(pinned.base, MIB(1), 5);
    uint64_t up = copy(device, SNUG_DIRECTION_TO_DEVICE, region.base, pinned.base, MIB(1));
    assert_bytes(up, 1, "ticket");
    assert_ok(device->join(device, 0, &error)); /* for none */
    assert_ok(device->join(device, up, &error));
    assert_memory_equal(region.base, pinned.base, MIB(1));
    fill(region.base, MIB(1), 77); /* a launch's work */
    assert_bytes(copy(device, SNUG_DIRECTION_FROM_DEVICE, pinned.base, region.base, MIB(1)), 2,
                 "ticket");
    assert_ok(device->synchronise(device, &error));
    assert_memory_equal(region.base, pinned.base, MIB(1));
    assert_ok(device->join(device, up, &error)); /* again: long done */
    assert_bytes(snug_sim_figures(device).calls[SNUG_SIM_CALL_COPY_TO], 1, "copies to");
    assert_bytes(snug_sim_figures(device).calls[SNUG_SIM_CALL_COPY_FROM], 1, "copies from");
    device->give(device, &region);
    device->give_host(device, &pinned);
    snug_sim_close(device);
}

/* Rows of 5 bytes, and nothing between them. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, rows, to_pitch, from_pitch;
    } cases[] = {{5, 4, 9, 7}, {5, 4, 5, 7}, {5, 4, 9, 5}, {5, 4, 5, 5}, {5, 1, 0, 0},
                 {5, 0, 9, 7}, {0, 4, 9, 7}, {0, 0, 0, 0}, {5, 4, 9, 0}};
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region region = take(device, 64);
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned char from[64], expected[64];
        struct snug_error error;
        uint64_t ticket = 0;
        struct snug_copy what = {SNUG_DIRECTION_TO_DEVICE, region.base,   from,
                                 cases[i].bytes,           cases[i].rows, cases[i].to_pitch,
                                 cases[i].from_pitch};
        fill(from, sizeof from, (unsigned)i);
        memset(region.base, 0xEE, 64);
        memset(expected, 0xEE, 64);
        for (size_t r = 0; r < what.rows; r++)
            memcpy(expected + r * what.to_pitch, from + r * what.from_pitch, what.bytes);
        assert_ok(device->copy(device, &what, &ticket, &error));
        assert_ok(device->join(device, ticket, &error));
        if (memcmp(region.base, expected, 64))
            fail_msg("case %zu differs", i);
    }
    device->give(device, &region);
    snug_sim_close(device);
}

/* More copies than the queue holds; each reads what the one before has written. */
static void test_order(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region region = take(device, 1001), pinned = take_host(device, 1000);
    struct snug_error error;
    uint64_t ticket = 0;
    for (unsigned char round = 1; round < 5; round++) {
        memset(pinned.base, 0, 1000);
        pinned.base[0] = round;
        ticket = copy(device, SNUG_DIRECTION_TO_DEVICE, region.base, pinned.base, 1);
        for (size_t i = 0; i < 999; i++)
            ticket = copy(device, i % 2 ? SNUG_DIRECTION_TO_DEVICE : SNUG_DIRECTION_FROM_DEVICE,
                          (i % 2 ? region.base : pinned.base) + i + 1,
                          (i % 2 ? pinned.base : region.base) + i, 1);
        assert_bytes(ticket, round * UINT64_C(1000), "ticket");
        assert_ok(device->join(device, ticket, &error));
        assert_int_equal(pinned.base[999], round);
    }
    device->give(device, &region);
    device->give_host(device, &pinned);
    snug_sim_close(device);
}

/* A buffer is filled again while the copy of another one runs: the documented use, clean under
 * ThreadSanitizer; and its join left out, which must not be. */
static void double_buffer(bool joins)
{
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region slots[2] = {take(device, KIB(64)), take(device, KIB(64))};
    struct snug_region layers = take_host(device, 20 * KIB(64));
    struct snug_error error;
    uint64_t tickets[2], sum = 0;
    for (unsigned i = 0; i < 20; i++)
        fill(layers.base + i * KIB(64), KIB(64), i);
    tickets[0] = copy(device, SNUG_DIRECTION_TO_DEVICE, slots[0].base, layers.base, KIB(64));
    for (size_t i = 0; i < 20; i++) {
        if (i + 1 < 20)
            tickets[(i + 1) % 2] = copy(device, SNUG_DIRECTION_TO_DEVICE, slots[(i + 1) % 2].base,
                                        layers.base + (i + 1) * KIB(64), KIB(64));
        if (joins)
            assert_ok(device->join(device, tickets[i % 2], &error));
        struct snug_work work = {0};
        assert_ok(device->launch(device, &work, &error));
        for (size_t b = 0; b < KIB(64); b++)
            sum += slots[i % 2].base[b] == layers.base[i * KIB(64) + b];
        device->launched(device);
    }
    if (joins)
        assert_bytes(sum, 20 * KIB(64), "bytes that are the layer's");
    for (int i = 0; i < 2; i++)
        device->give(device, &slots[i]);
    device->give_host(device, &layers);
    snug_sim_close(device);
}

static void test_double_buffer(void **state)
{
    (void)state;
    double_buffer(true);
    for (int joins = 0; UNDER_TSAN && joins < 2; joins++) {
        int code = 0;
        fflush(NULL);
        pid_t child = fork();
        if (!child) {
            (void)!freopen("/dev/null", "w", stderr);
            close(2);
            (void)open("/dev/null", O_WRONLY);
            double_buffer(joins);
            exit(0); /* the sanitizer makes it another code */
        }
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_int_equal(WIFEXITED(code) && WEXITSTATUS(code) == 0, joins);
    }
}

/* Signals go to the program's own threads: with those blocked, one stays pending. */
static void test_signals(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    const struct snug_device *device = open_device(&options);
    struct snug_region region = take(device, 100);
    struct snug_error error;
    sigset_t set, pending;
    int number = 0;
    (void)copy(device, SNUG_DIRECTION_TO_DEVICE, region.base, region.base + 50, 50);
    assert_ok(device->synchronise(device, &error)); /* the thread is there */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    usleep(5000);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGUSR1));
    sigwait(&set, &number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    device->give(device, &region);
    snug_sim_close(device);
}

/* The thread is stopped before the memory goes: else this process would end here. */
static void test_loss_under_copies(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    for (int round = 0; round < 40; round++) {
        struct bench bench = bench_of(&options);
        const struct snug_device *device = bench.device;
        struct snug_error error = {0};
        options.guard = round % 2;
        for (int i = 0; i < round * 4; i++) {
            struct snug_copy rows = {SNUG_DIRECTION_FROM_DEVICE,
                                     bench.pinned.base,
                                     bench.region.base,
                                     1000,
                                     1000,
                                     1000 + i % 2,
                                     1000};
            uint64_t ticket;
            assert_ok(device->copy(device, &rows, &ticket, &error));
        }
        snug_sim_lose(device, 0);
        assert_ok(device->reset(device, &error));
        device->give(device, &bench.region);
        device->give_host(device, &bench.pinned);
        bench.region = take(device, KIB(64));
        bench.pinned = take_host(device, KIB(64));
        assert_ok(do_call(&bench, SNUG_SIM_CALL_COPY_TO, &error));
        bench_free(&bench);
    }
}

/* Giving back waits for copies, as graphics cards do. */
static void test_give_under_copies(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    for (int round = 0; round < 20; round++) {
        struct bench bench = bench_of(&options);
        for (int i = 0; i < 30; i++)
            (void)copy(bench.device, SNUG_DIRECTION_TO_DEVICE, bench.region.base, bench.pinned.base,
                       MIB(1));
        bench_free(&bench);
    }
}

/* ---- guard ---- */

static void test_guard(void **state)
{
    (void)state;
    struct snug_sim_options options = small();
    options.guard = true;
    struct bench bench = bench_of(&options);
    const struct snug_device *device = bench.device;
    struct snug_error error = {0};
    struct snug_work work = {0};
    assert_false(can_read(bench.region.base));
    assert_true(can_read(bench.pinned.base));
    assert_int_equal(bench.pinned.base[MIB(1) - 1], 0xCD);
    assert_ok(device->touch(device, &bench.region, &error));
    assert_false(can_read(bench.region.base));

    assert_ok(device->launch(device, &work, &error));
    struct snug_region late = take(device, KIB(64)); /* open like the others */
    assert_int_equal(bench.region.base[KIB(900)], 0xCD);
    assert_int_equal(late.base[0], 0xCD);
    fill(bench.region.base, MIB(1), 3);
    device->launched(device);
    assert_false(can_read(bench.region.base) || can_read(late.base));
    device->give(device, &late);

    (void)copy(device, SNUG_DIRECTION_FROM_DEVICE, bench.pinned.base, bench.region.base, MIB(1));
    assert_ok(device->synchronise(device, &error));
    assert_false(can_read(bench.region.base));
    unsigned char *expected = malloc(MIB(1));
    fill(expected, MIB(1), 3);
    assert_memory_equal(bench.pinned.base, expected, MIB(1));
    free(expected);

    for (int i = 0; i < 200; i++) { /* launches and copies open and close it beside each other */
        uint64_t ticket = copy(device, SNUG_DIRECTION_FROM_DEVICE, bench.pinned.base,
                               bench.region.base + KIB(512), KIB(16));
        assert_ok(device->launch(device, &work, &error));
        bench.region.base[i] = (unsigned char)i;
        device->launched(device);
        assert_ok(device->join(device, ticket, &error));
    }
    assert_ok(device->synchronise(device, &error));
    assert_false(can_read(bench.region.base));

    assert_ok(device->launch(device, &work, &error)); /* lost before it was computed */
    snug_sim_lose(device, 0);
    device->launched(device);
    assert_all_lost(&bench);
    assert_ok(device->reset(device, &error));
    assert_false(can_read(bench.region.base));
    bench_free(&bench);
}

/* ---- the rest ---- */

static void test_names_and_profiles(void **state)
{
    (void)state;
    static const char *const names[] = {"any",       "take",   "take_host",  "copy_to",
                                        "copy_from", "launch", "synchronise"};
    assert_int_equal(COUNT(names), SNUG_SIM_CALL_COUNT);
    for (int i = 0; i < SNUG_SIM_CALL_COUNT; i++)
        assert_string_equal(snug_sim_call_name((enum snug_sim_call)i), names[i]);
    assert_string_equal(snug_sim_call_name(SNUG_SIM_CALL_COUNT), "?");

    struct snug_device_profile profile = {.name = "card",
                                          .memory_bytes = MIB(10),
                                          .reserved_bytes = KIB(100),
                                          .granularity_bytes = MIB(2),
                                          .read_gbs = 1,
                                          .f32_gflops = 2,
                                          .int8_gops = 3,
                                          .link_gbs = 4};
    struct snug_sim_options options = snug_sim_options_of(&profile);
    assert_string_equal(options.name, "sim:card");
    assert_bytes(options.capacity_bytes, MIB(8), "capacity");
    assert_bytes(options.granularity_bytes, MIB(2), "granularity");
    assert_true(options.read_gbs == 1 && options.f32_gflops == 2 && options.int8_gops == 3 &&
                options.link_gbs == 4 && options.launch_us > 0 && options.copy_us > 0);
    const struct snug_device *device = open_device(&options);
    assert_string_equal(device->name, "sim:card");
    assert_true(snug_device_is_sim(device));
    assert_false(snug_device_is_sim(snug_device_cpu()) || snug_device_is_sim(NULL));
    snug_sim_close(device);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_sim_options options = small();
        const struct snug_device *device = NULL;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = snug_sim_open(&options, &counting.allocator, &device, &error);
        if (!status) {
            uint64_t requests = counting.requests;
            struct snug_region region = take(device, MIB(1));
            (void)copy(device, SNUG_DIRECTION_FROM_DEVICE, region.base + KIB(1), region.base, 100);
            device->give(device, &region);
            assert_bytes(counting.requests, requests, "an open device allocates nothing");
        }
        snug_sim_close(device);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            assert_in_range(fail_at, 3, UINT32_MAX); /* something was refused */
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
        assert_null(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding),
                                       cmocka_unit_test(test_refusal),
                                       cmocka_unit_test(test_host_refuses),
                                       cmocka_unit_test(test_many_regions),
                                       cmocka_unit_test(test_neighbour),
                                       cmocka_unit_test(test_dry),
                                       cmocka_unit_test(test_copies),
                                       cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_double_buffer),
                                       cmocka_unit_test(test_signals),
                                       cmocka_unit_test(test_loss_under_copies),
                                       cmocka_unit_test(test_give_under_copies),
                                       cmocka_unit_test(test_guard),
                                       cmocka_unit_test(test_names_and_profiles),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
