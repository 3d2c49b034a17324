/* The ladder: documents run on a rung (rungs.h) as long as it works; when memory is refused, a copy
 * or launch fails or the device is lost, the run steps down, goes on at the same token, and climbs
 * back at a later document. The bytes of the answers do not depend on it.
 *
 *     document   start            advance ... advance              end
 *                  |                 |   a call fails               |
 *     boundary: climb?          state saved or thrown away       give back?
 *               give back?      next rung that fits is entered
 *                               state restored, or made again from prompt and tokens
 *
 * Stepping down: a step of the model has happened or has not; its token is taken only if it has.
 * What the failed rung held is given back before the next one takes anything. Keys and values are
 * copied out first if the device still answers; else picture, prompt and tokens are read again
 * (each token with its own n, DESIGN 2.5). Within a document rungs are tried downwards only, each
 * once.
 *
 * Climbing: at the start of a document, to the first rung that fits. Memory must have been there at
 * two starts in a row; after a failure of the device the next document tries it again, and if that
 * fails the second, fourth, ... after that.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_LADDER_H
#define SNUG_GENERATE_LADDER_H

#include "generate/generate.h"
#include "generate/pressure.h"
#include "generate/rungs.h"

enum snug_event_kind {
    SNUG_EVENT_KIND_START, /* the first rung was entered: to */
    SNUG_EVENT_KIND_DOWN,  /* from one rung to a lower one, or away from all (bytes 0) */
    SNUG_EVENT_KIND_UP,    /* and back */
    SNUG_EVENT_KIND_RETRY, /* a rung (to) was to be entered and could not */
    SNUG_EVENT_KIND_GIVE,  /* memory given back between documents */
    SNUG_EVENT_KIND_ALERT, /* nothing has happened yet: see why */
    SNUG_EVENT_KIND_COUNT
};
const char *snug_event_kind_name(enum snug_event_kind kind); /* "start", "down", ... */

struct snug_event {
    enum snug_event_kind kind;
    const char *document; /* being worked on, or about to be; NULL: none */
    int64_t number;       /* of that document, from 1 */
    int64_t token;        /* how many of its tokens there are */
    int64_t step;         /* runs of a phase so far, in all */
    enum snug_rung from, to;
    enum snug_status cause;
    const char *why;     /* for people; valid during the call */
    size_t bytes;        /* of the device: taken by the new rung, or given back */
    uint64_t free_bytes; /* of the first device, afterwards; 0: not known */
    double ms;           /* that it took */
    int64_t documents;   /* under way, which all moved */
};

/* Documents and time by rung, and what the device's memory was seen to do. */
struct snug_ladder_stats {
    int64_t documents[SNUG_RUNG_COUNT]; /* by where their last token was made */
    double busy_ms[SNUG_RUNG_COUNT];    /* reading and writing documents */
    double moving_ms;                   /* stepping down, climbing, restoring */
    uint64_t downs, ups, retries;
    uint64_t runs, takes;                 /* of all sessions so far */
    uint64_t lowest_free_bytes;           /* of the first device, at starts of documents; */
    bool watched;                         /* false: never seen */
    uint64_t peak_bytes[SNUG_MAX_SPACES]; /* of each device, ours at most */
    struct snug_memory_stats memory;      /* of all sessions so far */
};

/* The first device's memory at some moment. */
struct snug_ladder_memory {
    bool known;                     /* false: there is no device, or it does not answer */
    uint64_t free_bytes, our_bytes; /* as the device hands them out */
    uint64_t other_bytes;           /* what is missing of the most that was ever free or ours */
};

struct snug_ladder_options {
    struct snug_rung_list rungs;
    bool forced;      /* the only rung is taken whole (rungs.h) */
    bool no_fallback; /* a failure is an error */
    bool elastic;     /* working memory is given back whenever no document is under way */
    size_t budget_bytes[SNUG_MAX_SPACES]; /* what may be taken of each space; 0: what is free */
    size_t watermark_bytes; /* while others hold memory of a device, so much stays free; SIZE_MAX: a
                               32nd of what there is, at most 256 MiB */
    const struct snug_device *devices[SNUG_MAX_SPACES]; /* [1 ..] */
    int device_count;
    struct snug_speed speeds[SNUG_MAX_SPACES];
    struct snug_session_options session; /* slots: as many documents as are wanted at once */
    int64_t tokens, tiles;               /* of the largest document */
    bool unchecked; /* tests: a device's kernels are not compared with the reference first */
    /* Told of what happens. May be NULL. */
    void (*event)(void *context, const struct snug_event *event);
    void *event_context;
};

struct snug_ladder {
    const struct snug_allocator *allocator;
    struct snug_ladder_options options;
    struct snug_model *model;
    bool stands; /* there is a rung, and a session on it */
    int index;   /* of the rung in the list */
    struct snug_rung_plan plan;
    struct snug_rung_known known; /* of earlier plans */
    struct snug_session session;
    bool holds;                  /* the model holds weights, */
    struct snug_placing held;    /* so */
    bool valid[SNUG_MAX_SPACES]; /* the device's kernels have been checked since it was reset */
    struct snug_answering *answers[SNUG_MAX_PARALLEL]; /* under way; slot -1: waiting for one */
    int answer_count;
    struct snug_ladder_stats stats;
    /* climbing */
    int64_t documents;   /* begun so far */
    int64_t try_at;      /* no climb before this one */
    int64_t backoff;     /* documents to wait after the last failure of a device */
    int64_t failed_at;   /* the document of that failure */
    int64_t roomy_at;    /* at whose start there was room for a better rung */
    bool lost;           /* a device waits for its reset */
    bool gone;           /* it was seen to be lost, and nothing was done about it yet */
    uint64_t most_bytes; /* of the first device that were free or ours, ever */
    /* watching */
    struct snug_pressure pressure;
    struct snug_ladder_memory ended; /* as the last document ended, or when the ladder was opened */
    const char *begins;              /* name of the document that is about to begin, or NULL */
};

/* Enters the first rung of the list that fits; the model (opened, not held; the caller's) and the
 * devices must outlive the ladder. Errors: DOES_NOT_FIT, saying what each rung would need; those of
 * snug_model_hold; DEVICE if a device's kernels give wrong bits. *ladder: snug_ladder_close. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_open(struct snug_ladder *ladder,
                                                    struct snug_model *model,
                                                    const struct snug_ladder_options *options,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_error *error);
void snug_ladder_close(struct snug_ladder *ladder); /* zeroed allowed */

/* Whether another document can start: a slot is free, and nobody waits for one. */
bool snug_ladder_has_room(const struct snug_ladder *ladder);

/* Begins a document in a free slot: picture, prompt, first token. The answer is under way until
 * snug_ladder_end, and must stay where it is. It may have to wait for a slot, if fewer than before
 * are left. Errors: of the document (it is over then), INTERRUPTED, and if no rung is left
 * DEVICE, DEVICE_LOST, DOES_NOT_FIT. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_start(struct snug_ladder *ladder,
                                                     struct snug_answering *answer,
                                                     const struct snug_request *request,
                                                     struct snug_error *error);
/* One more token of every answer that is not over and has a slot; none if the run steps down
 * instead. Errors: as above, but a document's own failure only ends that one. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_advance(struct snug_ladder *ladder,
                                                       struct snug_error *error);
/* The document is over, or given up. An answer that was never started is allowed. */
void snug_ladder_end(struct snug_ladder *ladder, struct snug_answering *answer);

/* Runs of a phase so far; and regions taken since it was opened, which is 0 as long as nothing
 * moved and nothing was given back. */
uint64_t snug_ladder_runs(const struct snug_ladder *ladder);
uint64_t snug_ladder_takes(const struct snug_ladder *ladder);

struct snug_ladder_memory snug_ladder_memory(struct snug_ladder *ladder);
/* How the memory that is free or ours moves, and when it will be less than this rung needs. */
struct snug_pressure_trend snug_ladder_trend(const struct snug_ladder *ladder);

/* Whether pictures and prompts may be looked at again after the first token. */
bool snug_ladder_may_replay(const struct snug_ladder *ladder);

/* What the ladder's rungs would be asked for with the memory that is free or ours now. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_request(struct snug_ladder *ladder,
                                                       struct snug_rung_request *out,
                                                       struct snug_error *error);

#endif
