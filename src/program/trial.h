/* A program made up for a comparison: one step, or two, of every kind that another program has.
 * Private to the validation of devices (validate.h). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_TRIAL_H
#define SNUG_PROGRAM_TRIAL_H

#include "program/execute.h"

#define SNUG_TRIAL_UNITS 3   /* rows, tiles or documents of the larger runs; odd */
#define SNUG_TRIAL_TERMS 600 /* the widest row */

/* What selects a kernel, or a path in one; widths as the trial has them. Compared by memcmp: zeroed
 * before it is filled. */
struct snug_variant {
    enum snug_op_kind op;
    enum snug_sequence_kind sequence; /* kv_store, attention */
    enum snug_dtype dtype;            /* of the weight, table or cache */
    enum snug_quant quant;
    bool has[SNUG_STEP_INPUTS]; /* which inputs there are */
    bool in_place, row_each;    /* row_each: rope has a row of frequencies for every row */
    bool transposed, complement;
    float eps, threshold;
    int64_t cols, n;                   /* a row's terms; outputs beyond a multiple of 16 */
    int64_t heads, kv_heads, head_dim; /* norms: heads */
    int64_t rows, many_rows;           /* of a sequence, and of a long one (tiles) */
    int64_t patch, grid, stride;
};

/* "linear (q8, bias)" */
#define SNUG_VARIANT_NAME_BYTES 96
const char *snug_variant_name(const struct snug_variant *variant,
                              char out[SNUG_VARIANT_NAME_BYTES]);

/* The distinct kinds of steps that `space` computes. *out: the caller's, of `allocator`. Errors:
 * MEMORY, UNSUPPORTED. */
SNUG_CHECK_RESULT enum snug_status snug_variants_find(const struct snug_program *program,
                                                      const struct snug_placed *placed, int space,
                                                      const struct snug_allocator *allocator,
                                                      struct snug_variant **out, int *count,
                                                      struct snug_error *error);

/* What an operand of the trial holds before a run. */
enum snug_fill {
    SNUG_FILL_PLAIN,       /* random numbers below `limit`, some zero, some small */
    SNUG_FILL_ROWS,        /* the same with rows of outliers, of subnormals, of large numbers */
    SNUG_FILL_FREQUENCIES, /* above 0, up to 1 */
    SNUG_FILL_RECORDS,     /* quantised rows of k terms */
    SNUG_FILL_INTEGERS,    /* `integers`, over and over */
    SNUG_FILL_VECTOR,      /* a weight of n elements, or rows of them */
    SNUG_FILL_PANELS       /* a weight [n, k] in panels, quantised if the operand is */
};
struct snug_content {
    enum snug_fill fill;
    float limit;
    int64_t n, k;
    const int32_t *integers;
    int64_t integer_count;
    size_t offset; /* of a weight, among all */
};

/* Every operand but the weights is an INPUT: outputs, too, so that what was there before a step is
 * known, and differs from run to run. */
struct snug_trial {
    const struct snug_allocator *allocator;
    struct snug_program program;
    const struct snug_variant *variants;
    const struct snug_variant *variant; /* of the steps added next */
    const struct snug_variant **of_step;
    struct snug_content *contents; /* [operands] */
    int content_capacity, step_capacity;
    size_t weight_bytes;
};

/* Builds the same program whenever the variants are the same. Weights have no place yet
 * (snug_trial_place_weights), the program is not finished. Phase 0: SNUG_TRIAL_UNITS units; phase
 * 1, if there is one: 1 unit. Free with snug_trial_free, also after a failure. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_trial_build(const struct snug_variant *variants, int count,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_trial *out,
                                                    struct snug_error *error);
void snug_trial_free(struct snug_trial *trial); /* zeroed allowed */
/* All weights lie at base (64-byte aligned), weight_bytes in all. */
void snug_trial_place_weights(struct snug_trial *trial, unsigned char *base);
/* How its steps are to be run. */
struct snug_run snug_trial_run(int phase, int64_t units);

/* ---- contents (trial_fill.c) ---- */

/* Writes all weights, [weight_bytes] at base. */
void snug_trial_fill_weights(const struct snug_trial *trial, unsigned char *base);
/* Writes an operand of `rows` rows that is no weight. Another seed, other numbers. */
void snug_trial_fill(const struct snug_trial *trial, int operand, int64_t rows, uint32_t seed,
                     void *out);

#endif
