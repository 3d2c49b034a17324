/* A session runs documents through a model: pictures, prompt, then token by token. It owns the
 * region that the plan lays out. Reserved once for the largest document, it stays as it is for all
 * of them; without that it grows between documents, never inside one.
 *
 * It has slots, one unless asked for more. A slot holds the keys and values of one document from
 * its begin to its end. Documents are started one after the other (begin, see, prompt); those whose
 * prompt has been read take their steps together, so that the weights are read once for all of
 * them. The logits of each are the same bytes as if it were alone. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_SESSION_H
#define SNUG_GENERATE_SESSION_H

#include "memory/stats.h"
#include "models/model.h"
#include "models/placement.h"
#include "program/execute.h"

struct snug_session_options {
    const struct snug_ops *ops;       /* NULL: the best this processor runs */
    struct snug_pool *pool;           /* may be NULL */
    const struct snug_device *device; /* of the host's region; NULL: the model's. On
                                         snug_device_dry() nothing is computed and the model may be
                                         an outline */
    struct snug_placing placing;      /* as the model is held (models/placement.h); zeroed: all on
                                         the host. On a dry device nothing is computed either */
    enum snug_dtype kv_dtype;         /* F16 (default) or F32 */
    int64_t vision_batch;             /* tiles a run, default 1 */
    int64_t prefill_chunk;            /* tokens a run, default 512 */
    int64_t image_token_id; /* -1: as config.json says (the original layout does not: ask the
                               tokeniser) */
    int64_t slots;          /* documents at once, 1 (default) .. SNUG_MAX_PARALLEL */
    int64_t pictures;       /* Llama: of a document, 1 (default) .. SNUG_MAX_PICTURES */
    /* Asked between the steps of a run; false ends it with INTERRUPTED. May be NULL. */
    bool (*goes_on)(void *context);
    void *goes_on_context;
    /* tests */
    bool all_logits;
    enum snug_semantics semantics;
    bool every_tile;      /* Llama: nothing is left out for tiles that a picture does not use */
    snug_trace_fn *trace; /* may be NULL */
    void *trace_context;
};
struct snug_session_options snug_session_options_default(void);

/* A document's next token, in a step of several. */
struct snug_session_token {
    int slot;
    int32_t id;
    bool non_finite; /* out: a key or value of this one is not finite; its logits mean nothing, the
                        others' are good */
};

/* Rows of pictures that a token sees in cross-attention layers. */
struct snug_cross_view {
    int32_t first, count;
    int32_t row_mask; /* 0: it sees no picture */
};

struct snug_session_slot {
    bool in_use, cache_alive;
    int64_t positions;           /* tokens in its cache */
    int64_t cross_rows;          /* of pictures in the caches of cross-attention layers */
    struct snug_cross_view view; /* of the next token: as the prompt's last */
};

/* A picture, or some tiles of one where tiles do not look at each other (InternVL). */
struct snug_picture {
    int64_t tiles;
    int64_t rows, columns;      /* of its grid; only looked at by Llama's tower */
    const float *pixels;        /* [tiles, 3, side, side] normalised, or, if NULL, */
    const unsigned char *bytes; /* [tiles][side][side][3] */
};

struct snug_session {
    const struct snug_model *model;
    const struct snug_allocator *allocator;
    struct snug_session_options options;
    struct snug_program program;
    struct snug_program_handles handles;
    struct snug_placed placed;
    struct snug_region region; /* the host's; with devices pinned by the first */
    struct snug_region on_device[SNUG_MAX_SPACES]; /* [1 ..] */
    struct snug_executor executor;
    bool is_dry;
    struct snug_dry dry[SNUG_MAX_SPACES];
    int main_space;                /* whose memory counts: the first device, without one the host */
    struct snug_timeline timeline; /* of the main space */
    struct snug_memory_stats stats; /* of the main space's region alone */
    bool features_alive;
    bool reserved;                        /* the region is the largest there will be */
    uint64_t takes;                       /* regions taken since the session began */
    uint64_t runs;                        /* of a phase */
    int64_t capacity, tiles;              /* what the region is laid out for */
    size_t peak_bytes, lower_bound_bytes; /* of the main space; of each: placed */
    struct snug_session_slot slots[SNUG_MAX_PARALLEL];
    int current;                                       /* slot of the document begun last */
    int64_t tiles_announced, tiles_done;               /* of that document */
    int64_t picture_count;                             /* of it; Llama only, */
    int64_t picture_ends[SNUG_MAX_PICTURES];           /* and the rows up to the end of each */
    int64_t next_picture;                              /* that its prompt announces */
    int64_t unused_tiles;                              /* with every_tile */
    struct snug_run last_run;                          /* of text, for blame */
    struct snug_session_token last[SNUG_MAX_PARALLEL]; /* its rows, if it was a step */
};

/* Nothing is taken yet. The model and pool must outlive the session. One thread at a time. */
void snug_session_init(struct snug_session *session, const struct snug_model *model,
                       const struct snug_session_options *options,
                       const struct snug_allocator *allocator);
void snug_session_free(struct snug_session *session); /* zeroed session allowed */

/* Lays the program out for documents of `tokens` positions (prompt and answer) and `tiles` tiles:
 * program, peak_bytes and lower_bound_bytes are known, no region is taken. No slot is in use.
 * Errors: LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_session_plan(struct snug_session *session, int64_t tokens,
                                                     int64_t tiles, struct snug_error *error);
/* The same, and takes the region and touches every byte of it: from now on documents that need no
 * more take no memory of the device, and larger ones are refused. Errors: also DOES_NOT_FIT (naming
 * bytes needed and free). */
SNUG_CHECK_RESULT enum snug_status snug_session_reserve(struct snug_session *session,
                                                        int64_t tokens, int64_t tiles,
                                                        struct snug_error *error);
/* Gives the region back to the system, if no slot is in use; begin takes it again. */
void snug_session_rest(struct snug_session *session);

/* Starts a document in slot 0: makes room for `tokens` positions and `tiles` tiles, and forgets the
 * one before. What was reserved is enough or the document is refused; else the region is taken
 * again if it is too small. Errors: LIMIT, DOES_NOT_FIT (naming bytes needed and free), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_session_begin(struct snug_session *session, int64_t tokens,
                                                      int64_t tiles, struct snug_error *error);

/* The same in any slot, whose document before is forgotten. The region is laid out for the largest
 * document so far in every slot, and can be taken again only while no other slot is in use: ask
 * snug_session_fits first and let the running ones end. Errors: also SHAPE if it must grow and
 * cannot. */
SNUG_CHECK_RESULT enum snug_status snug_session_begin_slot(struct snug_session *session, int slot,
                                                           int64_t tokens, int64_t tiles,
                                                           struct snug_error *error);
/* Whether such a document needs no larger region than there is. */
bool snug_session_fits(const struct snug_session *session, int64_t tokens, int64_t tiles);
/* A slot without a document, -1 if there is none. */
int snug_session_free_slot(const struct snug_session *session);
/* The slot's document is over, its cache may go to the next one. */
void snug_session_end(struct snug_session *session, int slot);

/* For the document begun last. Looks at one more picture, or at more of its tiles: through tower
 * and projector into the features (Llama: into the caches of the cross-attention layers). Bytes are
 * normalised by the model's mean and std straight into the phase's input. On a dry device neither
 * pixels nor bytes are looked at. Errors: NON_FINITE naming the op, SHAPE, LIMIT (too many
 * pictures), INTERRUPTED. */
SNUG_CHECK_RESULT enum snug_status snug_session_see_picture(struct snug_session *session,
                                                            const struct snug_picture *picture,
                                                            struct snug_error *error);
/* The same of tiles of floats, where they do not look at each other. */
SNUG_CHECK_RESULT enum snug_status snug_session_see(struct snug_session *session,
                                                    const float *pixels, int64_t tiles,
                                                    struct snug_error *error);

/* For the document begun last. Feeds the prompt (ids[count], from position 0), in chunks; every
 * image token takes the next row of the features (Llama: stands for the next picture). *logits: of
 * the last row [vocabulary], the session's, valid until the next call; with all_logits the rows of
 * the last chunk. Errors: SHAPE if the image tokens and the tiles' rows do not match in number or
 * an id is outside the vocabulary, NON_FINITE naming the op. */
SNUG_CHECK_RESULT enum snug_status snug_session_prompt(struct snug_session *session,
                                                       const int32_t *ids, int64_t count,
                                                       const float **logits,
                                                       struct snug_error *error);

/* One more token of the document begun last; logits of the next. Same errors. Allocates nothing. */
SNUG_CHECK_RESULT enum snug_status snug_session_step(struct snug_session *session, int32_t id,
                                                     const float **logits,
                                                     struct snug_error *error);

/* Tokens that the document begun last has already written, after its prompt: their keys and values
 * once more, the same bytes as steps gave (each position with its own n). Errors as above. */
SNUG_CHECK_RESULT enum snug_status snug_session_read_on(struct snug_session *session,
                                                        const int32_t *ids, int64_t count,
                                                        struct snug_error *error);

/* One more token of each of `count` documents, whose slots differ: row i of *logits [count,
 * vocabulary] is of tokens[i]. Valid until the next call. A document with non_finite set has gone
 * wrong and takes no further step; ask snug_session_blame why. Errors: SHAPE. Allocates nothing. */
SNUG_CHECK_RESULT enum snug_status snug_session_step_together(struct snug_session *session,
                                                              struct snug_session_token *tokens,
                                                              int64_t count, const float **logits,
                                                              struct snug_error *error);

/* The last run (prompt or step) gave the document of a slot logits, keys or values that are not
 * finite: names the first op at fault (status NON_FINITE), by running that document again, alone.
 * Logits of the last run are lost, further blame of its other documents is possible. */
enum snug_status snug_session_blame(struct snug_session *session, int slot,
                                    struct snug_error *error);

/* ---- moving a document to another session ---- */

/* What a slot knows, apart from any device: keys and values of its positions. Freed with
 * snug_parcel_free. */
struct snug_parcel {
    const struct snug_allocator *allocator; /* NULL: there is none */
    unsigned char *data;
    size_t bytes;
    struct snug_session_slot slot;
};
/* Copies a slot's keys and values out. The slot is as it was. Errors: MEMORY, DEVICE, DEVICE_LOST.
 */
SNUG_CHECK_RESULT enum snug_status snug_session_save(struct snug_session *session, int slot,
                                                     struct snug_parcel *out,
                                                     struct snug_error *error);
/* And into a slot of another session of the same model, begun for the same document or a larger
 * one: it goes on at the next token. Errors: DEVICE, DEVICE_LOST. */
SNUG_CHECK_RESULT enum snug_status snug_session_restore(struct snug_session *session, int slot,
                                                        const struct snug_parcel *parcel,
                                                        struct snug_error *error);
void snug_parcel_free(struct snug_parcel *parcel); /* zeroed allowed */

/* A copy of slot 0's cache for tests: keys (values = false) of a layer as [kv_heads, positions (of
 * a cross-attention layer: rows of pictures), head_dim] f32. */
void snug_session_cache(const struct snug_session *session, int layer, bool values, float *out);

#endif
