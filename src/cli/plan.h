/* What the files of `snug plan` share.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_PLAN_H
#define SNUG_CLI_PLAN_H

#include "cli/cli.h"
#include "cli/machine.h"
#include "extract/reader.h"

/* A rung of the ladder, and what it would be like there. */
struct rung {
    struct snug_rung_plan plan;
    struct snug_forecast forecast;
    bool fits; /* devices and host, with all that lies beside weights and region */
    size_t device_bytes, second_bytes, host_bytes;
    /* Estimates; all 0 where a speed that matters is not known. */
    struct snug_cost token; /* of one document, at half its context */
    double tokens_per_s, prefill_tokens_per_s;
    double vision_ms, prompt_ms, answer_ms; /* of the largest document */
};

struct plan {
    const struct snug_allocator *allocator;
    struct snug_machine machine;
    struct snug_model_options model_options;
    struct snug_schema *schema;
    struct snug_model_source source;
    struct snug_reader *reader;
    struct snug_forecast_request asked; /* as the options say, on the host */
    int64_t answer_tokens;              /* of asked.tokens, at most */
    struct snug_rung_list ladder;
    struct snug_rung_request request; /* speeds and bytes of every space */
    struct snug_rung_known known;     /* what rungs have in common */
    size_t host_budget;               /* what may be taken of the host */
    struct rung rungs[SNUG_RUNG_COUNT];
    int used; /* the first that fits, else the first that applies: the plan's figures are its */
    struct snug_forecast_request used_request;
    int64_t most_documents, most_tiles, most_tokens;
};

static inline const struct rung *plan_used(const struct plan *p)
{
    return &p->rungs[p->used];
}

/* Of the space whose memory counts: the first device, on the rung `cpu` the host. */
static inline size_t plan_budget(const struct plan *p, const struct rung *rung)
{
    return rung->plan.placing.device_count ? p->request.free_bytes[1] : p->host_budget;
}
/* Share of the peak above the lower bound. */
static inline double plan_gap(const struct snug_forecast *f)
{
    return f->peak_bytes ? (double)(f->peak_bytes - f->lower_bound_bytes) / (double)f->peak_bytes
                         : 0;
}
/* What the rung lacks, of the first space that has too little; 0 if it fits. */
size_t plan_missing(const struct plan *p, const struct rung *rung);

/* Fills request, rungs, used and what would fit, from what was asked. Errors: LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status plan_work_out(struct plan *p, struct snug_error *error);

/* Both onto standard output. Errors: IO. */
SNUG_CHECK_RESULT enum snug_status plan_print_table(const struct plan *p, struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status plan_print_json(const struct plan *p, struct snug_error *error);
/* The timeline of the used rung's main space as SVG into a file. Errors: IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status plan_draw(const struct plan *p, const char *path,
                                             struct snug_error *error);
/* Flushes standard output. Errors: IO. */
SNUG_CHECK_RESULT enum snug_status plan_check_written(struct snug_error *error);

#endif
