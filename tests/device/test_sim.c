/* Tests of device/sim.c, sim_memory.c and sim_copies.c; to be run under ThreadSanitizer, too.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "device/sim.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

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

/* 16 MiB in steps of 64 KiB; nothing takes time. */
static struct snug_sim_options small(void)
{
    return (struct snug_sim_options){
        .name = "sim:test", .capacity_bytes = MIB(16), .granularity_bytes = KIB(64)};
}

static const struct snug_device *open_device(const struct snug_sim_options *options)
{
    const struct snug_device *device = NULL;
    struct snug_error error;
    assert_ok(snug_sim_open(options, snug_allocator_heap(), &device, &error));
    return device;
}

static struct snug_region take(const struct snug_device *device, size_t bytes)
{
    struct snug_region region = {0};
    struct snug_error error;
    assert_ok(device->take(device, bytes, &region, &error));
    return region;
}

static struct snug_region take_host(const struct snug_device *device, size_t bytes)
{
    struct snug_region region = {0};
    struct snug_error error;
    assert_ok(device->take_host(device, bytes, &region, &error));
    return region;
}

static uint64_t copy(const struct snug_device *device, enum snug_direction direction, void *to,
                     const void *from, size_t bytes)
{
    struct snug_copy what = {direction, to, from, bytes, 1, bytes, bytes};
    uint64_t ticket = 0;
    struct snug_error error;
    assert_ok(device->copy(device, &what, &ticket, &error));
    return ticket;
}

static uint64_t free_bytes(const struct snug_device *device)
{
    uint64_t bytes = 0;
    struct snug_error error;
    assert_ok(device->free_bytes(device, &bytes, &error));
    return bytes;
}

static void assert_bytes(uint64_t got, uint64_t expected, const char *what)
{
    if (got != expected)
        fail_msg("%s: %llu, not %llu", what, (unsigned long long)got, (unsigned long long)expected);
}

static void leave_on_fault(int number)
{
    (void)number;
    _exit(77);
}

/* Whether a child of this process can read there. */
static bool can_read(const unsigned char *address)
{
    int state = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct sigaction action = {.sa_handler = leave_on_fault};
        sigaction(SIGSEGV, &action, NULL);
        (void)*(const volatile unsigned char *)address;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFEXITED(state) && (WEXITSTATUS(state) == 0 || WEXITSTATUS(state) == 77));
    return WEXITSTATUS(state) == 0;
}

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

static void fill(unsigned char *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)((i * 7 + seed) ^ (i >> 8));
}

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
    sigset_t set, pending;
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    usleep(2000);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGUSR1));
    sigwait(&set, &number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    snug_sim_close(device);
}

/* ---- faults ---- */

struct bench {
    const struct snug_device *device;
    struct snug_region region, pinned;
    enum snug_status join; /* of the last copy */
};

static struct bench bench_of(const struct snug_sim_options *options)
{
    struct bench bench = {.device = open_device(options)};
    bench.region = take(bench.device, MIB(1));
    bench.pinned = take_host(bench.device, MIB(1));
    return bench;
}

static void bench_free(struct bench *bench)
{
    bench->device->give(bench->device, &bench->region);
    bench->device->give_host(bench->device, &bench->pinned);
    snug_sim_close(bench->device);
}

static enum snug_status do_copy(struct bench *bench, enum snug_direction direction,
                                struct snug_error *error)
{
    bool up = direction == SNUG_DIRECTION_TO_DEVICE;
    unsigned char *to = up ? bench->region.base : bench->pinned.base,
                  *from = up ? bench->pinned.base : bench->region.base;
    struct snug_copy what = {direction, to, from, 16, 1, 16, 16};
    uint64_t ticket = 0;
    enum snug_status status = bench->device->copy(bench->device, &what, &ticket, error);
    return status ? status : bench->device->join(bench->device, ticket, error);
}

/* One call of that kind and what belongs to it. */
static enum snug_status do_call(struct bench *bench, enum snug_sim_call call,
                                struct snug_error *error)
{
    const struct snug_device *device = bench->device;
    struct snug_region region = {0};
    struct snug_work work = {0};
    enum snug_status status = SNUG_STATUS_OK;
    switch (call) {
    case SNUG_SIM_CALL_TAKE:
        status = device->take(device, 100, &region, error);
        device->give(device, &region);
        return status;
    case SNUG_SIM_CALL_TAKE_HOST:
        status = device->take_host(device, 100, &region, error);
        device->give_host(device, &region);
        return status;
    case SNUG_SIM_CALL_COPY_TO:
        return do_copy(bench, SNUG_DIRECTION_TO_DEVICE, error);
    case SNUG_SIM_CALL_COPY_FROM:
        return do_copy(bench, SNUG_DIRECTION_FROM_DEVICE, error);
    case SNUG_SIM_CALL_SYNCHRONISE:
        return device->synchronise(device, error);
    default:
        status = device->launch(device, &work, error);
        if (!status)
            device->launched(device);
        return status;
    }
}

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
                                            {SNUG_SIM_CALL_COPY_TO, 4, 1, false}};
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
            assert_ok(device->join(device, tickets[2], &error)); /* told already */
        }
        assert_int_equal(device->synchronise(device, &error), SNUG_STATUS_DEVICE);
        assert_ok(device->synchronise(device, &error));
        assert_ok(device->join(device, tickets[4], &error));
        for (size_t i = 0; i < 100; i++) {
            unsigned char expected = i / 10 == 1 || i / 10 == 3 || i >= 50 ? 1 : 9;
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

static void assert_all_lost(struct bench *bench)
{
    const struct snug_device *device = bench->device;
    struct snug_error error = {0};
    uint64_t bytes = 0;
    for (int call = 1; call < SNUG_SIM_CALL_COUNT; call++)
        assert_int_equal(do_call(bench, (enum snug_sim_call)call, &error), SNUG_STATUS_DEVICE_LOST);
    assert_int_equal(device->free_bytes(device, &bytes, &error), SNUG_STATUS_DEVICE_LOST);
    assert_int_equal(device->touch(device, &bench->region, &error), SNUG_STATUS_DEVICE_LOST);
    assert_int_equal(device->join(device, 1, &error), SNUG_STATUS_DEVICE_LOST);
    assert_non_null(strstr(error.message, "sim:test"));
    assert_false(can_read(bench->region.base));
    assert_false(can_read(bench->region.base + bench->region.bytes - 1));
    assert_false(can_read(bench->pinned.base));
}

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
                                       cmocka_unit_test(test_many_regions),
                                       cmocka_unit_test(test_neighbour),
                                       cmocka_unit_test(test_dry),
                                       cmocka_unit_test(test_copies),
                                       cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_double_buffer),
                                       cmocka_unit_test(test_signals),
                                       cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_failed_copies),
                                       cmocka_unit_test(test_loss),
                                       cmocka_unit_test(test_resets_that_fail),
                                       cmocka_unit_test(test_loss_under_copies),
                                       cmocka_unit_test(test_give_under_copies),
                                       cmocka_unit_test(test_guard),
                                       cmocka_unit_test(test_time),
                                       cmocka_unit_test(test_events),
                                       cmocka_unit_test(test_timed_events),
                                       cmocka_unit_test(test_histories),
                                       cmocka_unit_test(test_names_and_profiles),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
