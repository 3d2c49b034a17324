/* Runs a phase of a program on a region.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_EXECUTE_H
#define SNUG_PROGRAM_EXECUTE_H

#include "base/limits.h"
#include "device/device.h"
#include "ops/op.h"
#include "program/placement.h"
#include "program/timeline.h"

/* Called after a step that wrote a matrix (not for caches). name: snug_step_name. data: [rows,
 * cols] f32, the first output. Returning false stops the run (status INTERRUPTED). */
typedef bool snug_trace_fn(void *context, const struct snug_step *step, const char *name,
                           const float *data, int64_t rows, int64_t cols);

struct snug_executor {
    const struct snug_program *program;
    const struct snug_placed *placed;                   /* of that program */
    const struct snug_device *devices[SNUG_MAX_SPACES]; /* [0] is not looked at */
    unsigned char *regions[SNUG_MAX_SPACES];            /* base of the planned region of each */
    const struct snug_ops *ops;
    struct snug_pool *pool; /* may be NULL */
    struct snug_dry *dry;   /* [spaces]; not NULL: nothing is computed (program/timeline.h) */
    snug_trace_fn *trace;   /* may be NULL */
    void *trace_context;
    const struct snug_allocator *allocator; /* for traces of what lies on a device */
    bool (*goes_on)(void *context); /* asked between steps; false: INTERRUPTED. May be NULL */
    void *goes_on_context;
};

struct snug_run {
    int phase;
    int64_t units;          /* tiles or tokens of this run, 1 .. max_units */
    int64_t first_position; /* text: position of the first token; of several documents the furthest,
                               for estimates of time alone */
    int64_t slot;           /* text, one sequence: its cache */
    int64_t first_row;      /* vision: row of the features where this micro-batch goes */
    int64_t valid_rows;     /* Llama's tower: rows of the picture's own tiles, which come first */
    bool no_picture;        /* text: steps that need one are left out */
    bool kv_non_finite;     /* out: a key or value that is not finite was stored in a text cache */
    int kv_step;            /* out: by which step first, if so */
    bool non_finite_rows[SNUG_MAX_PARALLEL]; /* out: whose, by row; of one sequence the first */
    bool state_non_finite; /* out: features or states were stored that are not finite */
    uint64_t fetched[SNUG_MAX_SPACES][2]; /* private: last copy into each staging buffer */
};

/* Where an operand lies on the host: what the caller writes, and what it reads. */
void *snug_executor_operand(const struct snug_executor *executor, int operand);

/* Allocates nothing, but for traces from a device. When it returns nothing is queued any more, also
 * after a failure. Errors: SHAPE (from an op), INTERRUPTED (trace or goes_on said so), DEVICE and
 * DEVICE_LOST; the message names the step. */
SNUG_CHECK_RESULT enum snug_status snug_execute(const struct snug_executor *executor,
                                                struct snug_run *run, struct snug_error *error);

/* Runs the phase again and names the first op whose result is not finite: fills *error (status
 * NON_FINITE, `phase OP -> operand, row R`) and returns it. For use after a check failed; positions
 * and inputs must be as they were. */
enum snug_status snug_execute_blame(const struct snug_executor *executor,
                                    const struct snug_run *run, const char *symptom,
                                    struct snug_error *error);

#endif
