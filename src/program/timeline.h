/* What a laid-out program holds in its region, step by step, and runs of it without arithmetic.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_TIMELINE_H
#define SNUG_PROGRAM_TIMELINE_H

#include "program/program.h"

/* What an operand is for. */
enum snug_use {
    SNUG_USE_SCRATCH,  /* intermediate results and what the caller writes before a phase */
    SNUG_USE_FEATURES, /* what the tower saw, until the prompt has been read */
    SNUG_USE_CACHE,    /* keys and values of the text */
    SNUG_USE_STAGING,  /* buffers through which the host's operands come (placement.h) */
    SNUG_USE_COUNT
};
const char *snug_use_name(enum snug_use use); /* "scratch", "features", "kv_cache", "staging" */

/* One step. Bytes are rounded up to SNUG_REGION_ALIGNMENT, but for requested_bytes. */
struct snug_moment {
    size_t bytes[SNUG_USE_COUNT];
    size_t live_bytes;      /* their sum */
    size_t requested_bytes; /* of the same operands, not rounded */
    size_t scratch_requested, scratch_operands;
    size_t largest_free; /* the largest piece of the region between them */
};

struct snug_timeline {
    const struct snug_allocator *allocator;
    const struct snug_program *program; /* finished and laid out; must outlive the timeline */
    size_t region_bytes;
    struct snug_moment *moments;          /* [program->step_count] */
    int peak_step;                        /* first with the most live bytes */
    int phase_peak_step[SNUG_MAX_PHASES]; /* the same within each phase */
    /* All operands of a use that outlives phases. */
    size_t own_bytes[SNUG_USE_COUNT], own_requested[SNUG_USE_COUNT], own_count[SNUG_USE_COUNT];
    /* Most scratch (and staging) alive at a step of a phase, and how many operands that is. */
    size_t phase_scratch_bytes[SNUG_MAX_PHASES], phase_scratch_requested[SNUG_MAX_PHASES],
        phase_operands[SNUG_MAX_PHASES];
};

/* region_bytes: the plan's peak. Errors: MEMORY. Free with snug_timeline_free. */
SNUG_CHECK_RESULT enum snug_status snug_timeline_make(const struct snug_program *program,
                                                      size_t region_bytes,
                                                      const struct snug_allocator *allocator,
                                                      struct snug_timeline *out,
                                                      struct snug_error *error);
void snug_timeline_free(struct snug_timeline *timeline); /* zeroed allowed */

/* ---- dry runs ---- */

/* Runs phases as snug_execute does, but only their memory: every operand that a step names must lie
 * in the region with the rows of this run. What a run of so many units reaches is worked out once.
 */
struct snug_dry {
    const struct snug_allocator *allocator;
    const struct snug_program *program;
    size_t region_bytes;
    size_t *reach[SNUG_MAX_PHASES]; /* [max_units + 1]; 0: not yet known */
    uint64_t runs, steps;
    size_t high_water; /* end of the highest byte that any run named */
};
SNUG_CHECK_RESULT enum snug_status
snug_dry_init(struct snug_dry *dry, const struct snug_program *program, size_t region_bytes,
              const struct snug_allocator *allocator, struct snug_error *error);
void snug_dry_free(struct snug_dry *dry); /* zeroed allowed */
/* Errors: SHAPE, naming step and operand, if one ends beyond the region. Allocates nothing. */
SNUG_CHECK_RESULT enum snug_status snug_dry_run(struct snug_dry *dry, int phase, int64_t units,
                                                struct snug_error *error);

#endif
