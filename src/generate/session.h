/* A session runs one sequence through a model: pictures, prompt, then token by token. It owns the
 * region that the plan lays out, and grows it between documents, never inside one. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_SESSION_H
#define SNUG_GENERATE_SESSION_H

#include "models/model.h"
#include "program/execute.h"

struct snug_session_options {
    const struct snug_ops *ops; /* NULL: the best this processor runs */
    struct snug_pool *pool;     /* may be NULL */
    enum snug_dtype kv_dtype;   /* F16 (default) or F32 */
    int64_t vision_batch;       /* tiles a run, default 1 */
    int64_t prefill_chunk;      /* tokens a run, default 512 */
    int64_t image_token_id;     /* -1: as config.json says (the original layout does not: ask the
                                   tokeniser) */
    bool all_logits;            /* tests */
    snug_trace_fn *trace;       /* tests; may be NULL */
    void *trace_context;
};
struct snug_session_options snug_session_options_default(void);

struct snug_session {
    const struct snug_model *model;
    const struct snug_allocator *allocator;
    struct snug_session_options options;
    struct snug_program program;
    struct snug_program_handles handles;
    struct snug_region region;
    struct snug_executor executor;
    int64_t capacity, tiles; /* what the region is laid out for */
    size_t peak_bytes, lower_bound_bytes;
    int64_t tiles_done; /* of this document */
    int64_t positions;  /* tokens in the cache */
    int64_t last_units; /* of the last text run, for blame */
    int last_phase;
};

/* Nothing is taken yet. The model and pool must outlive the session. One thread at a time. */
void snug_session_init(struct snug_session *session, const struct snug_model *model,
                       const struct snug_session_options *options,
                       const struct snug_allocator *allocator);
void snug_session_free(struct snug_session *session); /* zeroed session allowed */

/* Starts a document: makes room for `tokens` positions (prompt and answer) and `tiles` tiles, and
 * forgets the one before. The region is taken again only if it is too small. Errors: LIMIT,
 * DOES_NOT_FIT (naming bytes needed and free), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_session_begin(struct snug_session *session, int64_t tokens,
                                                      int64_t tiles, struct snug_error *error);

/* Reads `tiles` more tiles, pixels [tiles, 3, side, side] f32 normalised, through tower and
 * projector into the features. Errors: NON_FINITE naming the op, SHAPE. */
SNUG_CHECK_RESULT enum snug_status snug_session_see(struct snug_session *session,
                                                    const float *pixels, int64_t tiles,
                                                    struct snug_error *error);

/* Feeds the prompt (ids[count], from position 0), in chunks; every image token takes the next row
 * of the features. *logits: of the last row [vocabulary], the session's, valid until the next call;
 * with all_logits the rows of the last chunk. Errors: SHAPE if the image tokens and the tiles' rows
 * do not match in number or an id is outside the vocabulary, NON_FINITE naming the op. */
SNUG_CHECK_RESULT enum snug_status snug_session_prompt(struct snug_session *session,
                                                       const int32_t *ids, int64_t count,
                                                       const float **logits,
                                                       struct snug_error *error);

/* One more token; logits of the next. Same errors. Allocates nothing. */
SNUG_CHECK_RESULT enum snug_status snug_session_step(struct snug_session *session, int32_t id,
                                                     const float **logits,
                                                     struct snug_error *error);

/* The last step produced logits that are not finite: names the first op at fault (status
 * NON_FINITE). */
enum snug_status snug_session_blame(struct snug_session *session, struct snug_error *error);

/* A copy of the cache for tests: keys (values = false) of a layer as [kv_heads, positions,
 * head_dim] f32. */
void snug_session_cache(const struct snug_session *session, int layer, bool values, float *out);

#endif
