/* Where a program's operands lie and who computes its steps, and what must be copied for that.
 *
 * A space is a memory and the processor that computes in it: the host's (0), and one for each
 * device. A placement gives every weight and every cache of keys and values a home, and every step
 * the space that computes it. All else follows and is worked out here:
 *
 *   - an intermediate result that is needed in another space than where it was made is copied there
 *     before the step that needs it; what the caller writes (INPUT) and reads (output) is on the
 * host
 *   - a weight or cache whose home is the host, needed by a device's step, is streamed: fetched
 * into one of two staging buffers while the steps before compute from the other; what a step has
 *     stored in a staged cache goes back home at once
 *   - each space gets a plan of its own: the operands that are there, while they are
 *
 *     host     weights of layer 1   weights of layer 2
 *                    | fetch              | fetch
 *     staging   [ buffer 0 ]         [ buffer 1 ]
 *     device    layer 0 computes     layer 1 computes from buffer 0     layer 2 from buffer 1
 *
 * The arithmetic is the same whatever the placement: that is what makes a fallback harmless.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_PLACEMENT_H
#define SNUG_PROGRAM_PLACEMENT_H

#include "program/program.h"

#define SNUG_MAX_SPACES 3 /* the host and two devices */
#define SNUG_SPACE_HOST 0

struct snug_placement {
    int spaces;                   /* 1: everything on the host */
    const unsigned char *home;    /* [operand_count]; of weights and caches. NULL: the host */
    const unsigned char *compute; /* [step_count]; NULL: the host */
    /* Of one staging buffer; what one step needs must fit. 0: as small as can be. */
    size_t staging_bytes;
};

/* A streamed operand in a staging buffer. */
struct snug_staged_part {
    int operand;
    int extent_step; /* a cache: the step that says which positions are needed */
    size_t offset;   /* in the buffer */
};

/* What is fetched together, for steps that follow each other in one space. */
struct snug_transfer {
    int space, buffer;
    int first_step, last_step;
    int first_part, part_count;
};

enum snug_action_kind {
    SNUG_ACTION_RUN,   /* index: a step */
    SNUG_ACTION_COPY,  /* index: an operand, from one space to the other; one of them the host */
    SNUG_ACTION_FETCH, /* index: a transfer; its buffer is no longer read */
    SNUG_ACTION_JOIN,  /* index: a transfer; the next step reads it */
    SNUG_ACTION_STORE, /* index: a step that wrote to staged caches: back to where they live */
};
struct snug_action {
    unsigned char kind, from, to;
    int index;
    int writer; /* COPY of a state: the step that wrote it; else -1 */
};

struct snug_placed {
    const struct snug_allocator *allocator;
    struct snug_program *program; /* its operands' lifetimes and offsets are those of the host */
    int spaces;
    unsigned char *home, *compute; /* as in the placement */
    /* The program as each device's memory sees it: same steps and phases, own lifetimes and
     * offsets; operand `staging[s]` at the end are the two buffers. [0] is not used. */
    struct snug_program views[SNUG_MAX_SPACES];
    int staging[SNUG_MAX_SPACES];          /* -1: nothing is streamed there */
    size_t staging_bytes[SNUG_MAX_SPACES]; /* of one buffer */
    struct snug_action *actions;
    struct snug_transfer *transfers;
    struct snug_staged_part *parts;
    int *transfer_of; /* [step_count]; -1: the step reads nothing that is staged */
    int action_count, action_capacity, transfer_count, transfer_capacity, part_count, part_capacity;
    int phase_actions[SNUG_MAX_PHASES + 1]; /* first of each phase; the end */
    size_t peak_bytes[SNUG_MAX_SPACES], lower_bound_bytes[SNUG_MAX_SPACES];
};

/* Works out copies and transfers and lays every space out. The program is finished, and must
 * outlive *out; lifetimes and offsets of its operands are rewritten. Free with snug_placed_free,
 * also after a failure. Errors: MEMORY, LIMIT, SHAPE (a step needs more than a staging buffer
 * holds; a device's weight is needed on the host). */
SNUG_CHECK_RESULT enum snug_status snug_placed_make(struct snug_program *program,
                                                    const struct snug_placement *placement,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_placed *out,
                                                    struct snug_error *error);
void snug_placed_free(struct snug_placed *placed); /* zeroed allowed */

/* The program as a space sees it. */
static inline const struct snug_program *snug_placed_view(const struct snug_placed *placed,
                                                          int space)
{
    return space ? &placed->views[space] : placed->program;
}
/* Bytes that a step's streamed operands take in a buffer, with those of the steps that must share
 * its transfer: the least that staging_bytes can be. */
size_t snug_placed_least_staging(const struct snug_program *program,
                                 const struct snug_placement *placement);

#endif
