/* Generation: prompt in, tokens out, until a stop id, the limit, or a loop.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_GENERATE_H
#define SNUG_GENERATE_GENERATE_H

#include "generate/rungs.h"
#include "generate/sampler.h"

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
    double vision_ms; /* only where the ladder looks at the picture */
    double prefill_ms, decode_ms;
};

/* A document: what is read, and where it is kept while the answer goes on (all the caller's). */
struct snug_request {
    const char *name; /* for events */
    const int32_t *prompt;
    int64_t prompt_count;
    struct snug_picture picture; /* may be looked at again; tiles 0: none */
    int64_t tokens;              /* positions, the answer's included */
    struct snug_generation_options options;
    struct snug_generation *out;
    /* Told before the picture and before the prompt; false interrupts. May be NULL. */
    bool (*stage)(void *context, bool prompt);
    void *stage_context;
};

/* A move from one rung to another, as the row of a document tells it. */
struct snug_move {
    int64_t token;
    enum snug_rung from, to;
    enum snug_status cause;
};

/* ---- one answer, or several at once ----
 * An answer is a small state machine: start reads the prompt and takes the first token; advance
 * takes one more token of every answer that goes on; it is over when `over` is set. What it writes
 * does not depend on its company. */
#define SNUG_MAX_MOVES 8 /* that are kept of a document; more are counted */
struct snug_answering {
    struct snug_generation_options options;
    struct snug_generation *out; /* the caller's; filled as tokens come */
    struct snug_sampler sampler;
    struct snug_loop_detector detector;
    int slot;
    bool over;
    enum snug_status status; /* once it is over: OK, or what went wrong */
    struct snug_error error;
    double decode_start_ms;
    /* ladder.h: what is needed to go on elsewhere, and where it has been */
    struct snug_request request;
    struct snug_parcel parcel; /* keys and values, while it has no slot */
    int64_t number;            /* of the document, from 1 */
    enum snug_rung rung;       /* where its last token was made */
    struct snug_move moves[SNUG_MAX_MOVES];
    int64_t move_count;
};

/* session: a document begun with room for count + max_new_tokens, its tiles seen; the answer goes
 * on in its slot. Its options and `out` must live until it is freed. Errors: NON_FINITE naming the
 * op, INTERRUPTED, SHAPE, MEMORY; the answer is over then. Freed with snug_answering_free in any
 * case.
 */
SNUG_CHECK_RESULT enum snug_status
snug_answering_start(struct snug_answering *answer, struct snug_session *session,
                     const int32_t *prompt, int64_t count,
                     const struct snug_generation_options *options, struct snug_generation *out,
                     struct snug_error *error);

/* One step of the answers (at most SNUG_MAX_PARALLEL, none of them over). One that goes wrong is
 * over with its own status, and its out->decode_ms is wall time since its prompt was read: what it
 * waited for others included. Errors, which concern all: INTERRUPTED, SHAPE. Allocates nothing. */
SNUG_CHECK_RESULT enum snug_status snug_answering_advance(struct snug_session *session,
                                                          struct snug_answering *const *answers,
                                                          int64_t count, struct snug_error *error);
void snug_answering_free(struct snug_answering *answer); /* zeroed allowed */

/* For the ladder, which begins documents itself: an answer without a slot; and that answer into an
 * empty slot of a session, from the beginning (with its first token) or where it stands: from its
 * parcel, or picture, prompt and tokens once more. The same bytes either way. Errors: also those of
 * beginning, seeing and restoring; it has no slot then. */
SNUG_CHECK_RESULT enum snug_status snug_answering_init(struct snug_answering *answer,
                                                       const struct snug_model *model,
                                                       const struct snug_request *request,
                                                       const struct snug_allocator *allocator,
                                                       struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_answering_resume(struct snug_answering *answer,
                                                         struct snug_session *session, int slot,
                                                         struct snug_error *error);

/* One answer from start to end. Same session, same errors. */
SNUG_CHECK_RESULT enum snug_status snug_generate(struct snug_session *session,
                                                 const int32_t *prompt, int64_t count,
                                                 const struct snug_generation_options *options,
                                                 struct snug_generation *out,
                                                 struct snug_error *error);

#endif
