/* What this processor can do at most: loops of the instructions that the kernels are made of, in
 * registers, and reading memory. The limits that `snug bench` divides by.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_PEAK_H
#define SNUG_OPS_PEAK_H

#include "ops/op.h"

struct snug_peak {
    const char *how;   /* the instructions, for people */
    double operations; /* of one round: a multiplication and an addition count two */
    void (*run)(int64_t rounds);
};

struct snug_peaks {
    /* Fused multiply-adds of f32. */
    struct snug_peak f32;
    /* Exact 32-bit sums of products of signed bytes of at most 127, the fastest way of two at most
     * (the second's run may be NULL). */
    struct snug_peak int8[2];
    /* Products of bf16; run NULL where there is no such instruction (they are widened then). */
    struct snug_peak bf16;
    /* Reads `bytes` (a multiple of 4 KiB) in four streams. */
    void (*read)(const void *data, int64_t bytes);
};

/* Of a backend; NULL for ref. */
const struct snug_peaks *snug_peaks_find(const struct snug_ops *ops);

#endif
