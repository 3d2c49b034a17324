/* How fast this machine is, and how fast others should be.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine.h"

#include "base/clock.h"
#include "base/threads.h"
#include "ops/peak.h"

#define READ_BYTES (96 << 20)
#define READ_PIECE (1 << 20)
#define LAUNCH_US 5 /* as a simulated card's (device/sim.c) */
#define COPY_US 10

struct reading {
    const struct snug_peaks *peaks;
    const char *data;
};

static void read_piece(void *context, int64_t index, int worker)
{
    const struct reading *r = context;
    (void)worker;
    r->peaks->read(r->data + index * READ_PIECE, READ_PIECE);
}

/* GB/s of memory on all threads: the best of five. */
static double read_rate(const struct snug_peaks *peaks, struct snug_pool *pool)
{
    const struct snug_device *cpu = snug_device_cpu();
    struct reading r = {.peaks = peaks};
    struct snug_region region = {0};
    double best = 0;
    if (cpu->take(cpu, READ_BYTES, &region, NULL))
        return 0;
    r.data = (const char *)region.base;
    for (int i = 0; i < 5 && !cpu->touch(cpu, &region, NULL); i++) {
        double from = snug_clock_ms();
        snug_pool_run(pool, read_piece, &r, READ_BYTES / READ_PIECE);
        double gbs = READ_BYTES / (snug_clock_ms() - from) / 1e6;
        best = gbs > best ? gbs : best;
    }
    cpu->give(cpu, &region);
    return best;
}

struct rounds {
    const struct snug_peak *peak;
    int64_t count;
};

static void run_rounds(void *context, int64_t index, int worker)
{
    const struct rounds *r = context;
    (void)index, (void)worker;
    r->peak->run(r->count);
}

/* 10^9 operations a second on all threads: the best of a few milliseconds. */
static double arithmetic_rate(const struct snug_peak *peak, struct snug_pool *pool)
{
    struct rounds r = {peak, 200};
    double best = 0, start = snug_clock_ms();
    peak->run(r.count);
    r.count = 1 + (int64_t)(200 * 3 / (snug_clock_ms() - start + 1e-3)); /* about 3 ms */
    for (int i = 0; i < 5; i++) {
        double from = snug_clock_ms();
        snug_pool_run(pool, run_rounds, &r, snug_pool_threads(pool));
        double rate = peak->operations * (double)r.count * snug_pool_threads(pool) /
                      (snug_clock_ms() - from) / 1e6;
        best = rate > best ? rate : best;
    }
    return best;
}

struct snug_speed snug_cli_host_speed(void)
{
    const struct snug_peaks *peaks = snug_peaks_find(snug_ops_find(NULL));
    struct snug_pool *pool = NULL;
    struct snug_speed speed = {0};
    if (!peaks || snug_pool_create(snug_cpu_count(), snug_allocator_heap(), &pool, NULL))
        return speed;
    speed.read_gbs = SNUG_SPEED_SHARE * read_rate(peaks, pool);
    speed.f32_gflops = SNUG_SPEED_SHARE * arithmetic_rate(&peaks->f32, pool);
    speed.int8_gops = SNUG_SPEED_SHARE * arithmetic_rate(&peaks->int8[0], pool);
    snug_pool_destroy(pool);
    return speed;
}

struct snug_speed snug_cli_profile_speed(const struct snug_device_profile *profile)
{
    bool gpu = profile->kind == SNUG_DEVICE_KIND_GPU;
    return (struct snug_speed){.read_gbs = SNUG_SPEED_SHARE * profile->read_gbs,
                               .f32_gflops = SNUG_SPEED_SHARE * profile->f32_gflops,
                               .int8_gops = SNUG_SPEED_SHARE * profile->int8_gops,
                               .link_gbs = SNUG_SPEED_SHARE * profile->link_gbs,
                               .launch_us = gpu ? LAUNCH_US : 0,
                               .copy_us = gpu ? COPY_US : 0};
}
