/* What the three kinds of `snug bench` share.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_BENCH_H
#define SNUG_CLI_BENCH_H

#include "base/clock.h"
#include "models/model.h"
#include "ops/peak.h"

enum bench_limit { BENCH_LIMIT_NONE, BENCH_LIMIT_F32, BENCH_LIMIT_INT8, BENCH_LIMIT_READ };

struct bench_row {
    char name[40], shape[40];
    double value;     /* in `unit` */
    const char *unit; /* "GOP/s", "GFLOP/s", "GB/s", "tokens/s", "ms", "MiB" */
    double rate;      /* what is compared with the limit, in its unit; 0: nothing is */
    enum bench_limit limit;
};

#define BENCH_MOST_ROWS 200
#define BENCH_MOST_PEAKS 16
struct bench {
    const struct snug_ops *ops;
    const struct snug_peaks *peaks;
    struct snug_pool *pool;
    int threads;
    bool quick;
    const char *suffix; /* "@avx2" if --isa was given, else "" */
    struct bench_row rows[BENCH_MOST_ROWS];
    size_t count;
    /* Measured several times while the rest runs; the median is the limit. */
    double f32[BENCH_MOST_PEAKS], int8[BENCH_MOST_PEAKS], bf16[BENCH_MOST_PEAKS],
        read[BENCH_MOST_PEAKS];
    int peak_count;
    const char *int8_how, *bf16_how;
    void *read_data; /* what is read, larger than any cache */
};

/* Measures all four limits once more. */
void bench_peaks(struct bench *b);
void bench_add(struct bench *b, const char *name, const char *shape, double value, const char *unit,
               double rate, enum bench_limit limit);
/* Runs it until it has taken about `milliseconds` (once untimed, three times at least); the median.
 */
double bench_time(const struct bench *b, double milliseconds, void (*run)(void *context),
                  void *context);

void bench_ops(struct bench *b);
enum snug_status bench_model(struct bench *b, const struct snug_folder *folder,
                             const struct snug_model_options *options, struct snug_error *error);

#endif
