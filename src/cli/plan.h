/* What the files of `snug plan` share.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_PLAN_H
#define SNUG_CLI_PLAN_H

#include "cli/cli.h"
#include "cli/machine.h"
#include "extract/reader.h"

#define PLAN_RUNGS 2
/* Of the memory speed, what decoding reaches: 0.70-0.73 was measured on a CPU (SPEED.md). */
#define PLAN_READ_SHARE 0.7

struct rung {
    const char *name;
    struct snug_forecast forecast;
    size_t budget, device_bytes, host_bytes;
    bool fits;
    double read_gbs, tokens_per_s;
};

struct plan {
    const struct snug_allocator *allocator;
    struct snug_machine machine;
    struct snug_model_options model_options;
    struct snug_schema *schema;
    struct snug_model_source source;
    struct snug_reader *reader;
    struct snug_forecast_request request; /* of the first rung */
    struct rung rungs[PLAN_RUNGS];        /* the first one's figures are the plan's */
    int rung_count;
    double read_gbs; /* of this machine, once measured */
    int64_t most_documents, most_tiles, most_tokens;
};

/* Both onto standard output. Errors: IO. */
SNUG_CHECK_RESULT enum snug_status plan_print_table(const struct plan *p, struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status plan_print_json(const struct plan *p, struct snug_error *error);
/* The timeline of the first rung as SVG into a file. Errors: IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status plan_draw(const struct plan *p, const char *path,
                                             struct snug_error *error);

#endif
