/* What the checkers of models share: one case while it runs, and comparing its tensors.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GOLDEN_MODEL_CASE_H
#define SNUG_GOLDEN_MODEL_CASE_H

#include "golden.h"

#include "formats/tokenizer.h"
#include "generate/generate.h"

/* One tensor caught while the case ran. */
struct caught {
    char name[96];
    float *data;
    int64_t rows, cols;
};

struct model_case {
    struct golden *g;
    const char *folder; /* for messages: last part of the path */
    const char *name;   /* "tile1" */
    json_t *json;
    const struct snug_safetensors *reference;
    struct snug_model *model;
    struct snug_tokenizer *tokenizer; /* may be NULL */
    enum snug_dtype kv_dtype;
    int32_t *ids;
    int64_t count;
    struct caught *caught;
    size_t caught_count;
};

/* "FOLDER CASE KV TENSOR", valid until the next call. */
const char *golden_case_line(const struct model_case *c, const char *tensor);
/* False: out of memory. */
bool golden_case_catch(struct model_case *c, const char *name, const float *data, int64_t rows,
                       int64_t cols);
const struct caught *golden_case_find(const struct model_case *c, const char *name); /* or NULL */
void golden_case_forget(struct model_case *c);

double golden_case_largest(const float *data, int64_t count);
/* Reference values as f32, the caller's; NULL after a golden_fail. */
float *golden_case_values(struct model_case *c, const char *name, int64_t *count);
/* One line: elements differ by at most `allowed` (a name that begins "rope.": relatively); with
 * quantised weights how far they move the tensor, instead. */
void golden_case_compare(struct model_case *c, const char *name, const float *have,
                         int64_t have_count, const float *want, int64_t count, double allowed);

/* input_ids of the case's JSON. */
bool golden_case_read_ids(struct model_case *c);

/* Greedy continuation along the reference's tokens; *logits: of the last row, then of the last
 * token. One line. */
SNUG_CHECK_RESULT enum snug_status golden_case_greedy(struct model_case *c, const char *name,
                                                      struct snug_session *session,
                                                      const float **logits, json_t *tokens,
                                                      struct snug_error *error);

#endif
