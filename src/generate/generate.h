/* Generation: prompt in, tokens out, until a stop id, the limit, or a loop.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_GENERATE_H
#define SNUG_GENERATE_GENERATE_H

#include "generate/sampler.h"
#include "generate/session.h"

enum snug_finish { SNUG_FINISH_STOP, SNUG_FINISH_LENGTH, SNUG_FINISH_LOOP };
const char *snug_finish_text(enum snug_finish finish); /* "stop", "length", "loop" */

/* ---- repetition: a pure function of the tokens ----
 * A loop: the last max(10 * p, 256) tokens repeat with period p, for some p in 1 .. 128. Ten
 * repeats, so that a page with nine like lines is no loop; 256 tokens, so that a ruled line of
 * dashes is none. */
#define SNUG_LOOP_MAX_PERIOD 128
#define SNUG_LOOP_MIN_REPEATS 10
#define SNUG_LOOP_MIN_TOKENS 256
struct snug_loop_detector {
    int64_t count;                        /* tokens seen */
    int32_t recent[SNUG_LOOP_MAX_PERIOD]; /* ring of the last tokens */
    int64_t matched[SNUG_LOOP_MAX_PERIOD +
                    1]; /* by period p: how many tokens on end equalled the one p before */
};
/* Feeds one token; true if the sequence so far ends in a loop. Zeroed struct to start. */
bool snug_loop_detector_push(struct snug_loop_detector *detector, int32_t id);

struct snug_generation_options {
    int64_t max_new_tokens;
    struct snug_sampling sampling;
    uint64_t document; /* for the sampler's counter */
    const int32_t *stop_ids;
    int stop_id_count; /* 0: never stopped by an id */
    bool detect_loops;
    /* Called after each token (not for a stop id); false interrupts. May be NULL. */
    bool (*progress)(void *context, int64_t tokens);
    void *progress_context;
};

/* Arrays of max_new_tokens, the caller's. */
struct snug_generation {
    int32_t *ids;
    double *log_probabilities;
    int64_t count; /* a stop id is the last of ids and counted */
    enum snug_finish finish;
    double prefill_ms, decode_ms;
};

/* session: begun with room for count + max_new_tokens, its tiles seen. Errors: NON_FINITE naming
 * the op, INTERRUPTED, SHAPE, MEMORY (before the first token only). */
SNUG_CHECK_RESULT enum snug_status snug_generate(struct snug_session *session,
                                                 const int32_t *prompt, int64_t count,
                                                 const struct snug_generation_options *options,
                                                 struct snug_generation *out,
                                                 struct snug_error *error);

#endif
