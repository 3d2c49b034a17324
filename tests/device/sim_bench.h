/* A small simulated device and something to do with it, for its tests.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_DEVICE_SIM_BENCH_H
#define SNUG_TESTS_DEVICE_SIM_BENCH_H

#include "../check.h"

#include "device/sim.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/* 16 MiB in steps of 64 KiB; nothing takes time. */
static inline struct snug_sim_options small(void)
{
    return (struct snug_sim_options){
        .name = "sim:test", .capacity_bytes = MIB(16), .granularity_bytes = KIB(64)};
}

static inline const struct snug_device *open_device(const struct snug_sim_options *options)
{
    const struct snug_device *device = NULL;
    struct snug_error error;
    assert_ok(snug_sim_open(options, snug_allocator_heap(), &device, &error));
    return device;
}

static inline struct snug_region take(const struct snug_device *device, size_t bytes)
{
    struct snug_region region = {0};
    struct snug_error error;
    assert_ok(device->take(device, bytes, &region, &error));
    return region;
}

static inline struct snug_region take_host(const struct snug_device *device, size_t bytes)
{
    struct snug_region region = {0};
    struct snug_error error;
    assert_ok(device->take_host(device, bytes, &region, &error));
    return region;
}

static inline uint64_t copy(const struct snug_device *device, enum snug_direction direction,
                            void *to, const void *from, size_t bytes)
{
    struct snug_copy what = {direction, to, from, bytes, 1, bytes, bytes};
    uint64_t ticket = 0;
    struct snug_error error;
    assert_ok(device->copy(device, &what, &ticket, &error));
    return ticket;
}

static inline uint64_t free_bytes(const struct snug_device *device)
{
    uint64_t bytes = 0;
    struct snug_error error;
    assert_ok(device->free_bytes(device, &bytes, &error));
    return bytes;
}

static inline void assert_bytes(uint64_t got, uint64_t expected, const char *what)
{
    if (got != expected)
        fail_msg("%s: %llu, not %llu", what, (unsigned long long)got, (unsigned long long)expected);
}

static inline void leave_on_fault(int number)
{
    (void)number;
    _exit(77);
}

/* Whether a child of this process can read there. */
static inline bool can_read(const unsigned char *address)
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

static inline void fill(unsigned char *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)((i * 7 + seed) ^ (i >> 8));
}

/* ---- a device, a region of it, pinned memory ---- */

struct bench {
    const struct snug_device *device;
    struct snug_region region, pinned;
    enum snug_status join; /* of the last copy */
};

static inline struct bench bench_of(const struct snug_sim_options *options)
{
    struct bench bench = {.device = open_device(options)};
    bench.region = take(bench.device, MIB(1));
    bench.pinned = take_host(bench.device, MIB(1));
    return bench;
}

static inline void bench_free(struct bench *bench)
{
    bench->device->give(bench->device, &bench->region);
    bench->device->give_host(bench->device, &bench->pinned);
    snug_sim_close(bench->device);
}

static inline enum snug_status do_copy(struct bench *bench, enum snug_direction direction,
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
static inline enum snug_status do_call(struct bench *bench, enum snug_sim_call call,
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

static inline void assert_all_lost(struct bench *bench)
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

#endif
