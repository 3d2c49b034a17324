/* The rungs of the ladder: placements by name, and what each takes on a given machine.
 *
 *     resident            everything on the device
 *     narrow              the same for fewer documents at once
 *     kv-offload          keys and values on the host, streamed by layer
 *     reload              as resident, everything loaded afresh
 *     reload-kv-offload   as kv-offload, everything loaded afresh
 *     stream              as few layers as need be on the host, streamed
 *     hybrid              the same, computed on the host where that is faster
 *     cpu                 everything on the host; always works
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_RUNGS_H
#define SNUG_GENERATE_RUNGS_H

#include "generate/session.h"
#include "program/cost.h"

enum snug_rung {
    SNUG_RUNG_RESIDENT,
    SNUG_RUNG_NARROW,
    SNUG_RUNG_KV_OFFLOAD,
    SNUG_RUNG_RELOAD,
    SNUG_RUNG_RELOAD_KV_OFFLOAD,
    SNUG_RUNG_STREAM,
    SNUG_RUNG_HYBRID,
    SNUG_RUNG_CPU,
    SNUG_RUNG_COUNT
};
const char *snug_rung_name(enum snug_rung rung);
#define SNUG_RUNG_NAMES                                                                            \
    "resident, narrow, kv-offload, reload, reload-kv-offload, stream, hybrid, cpu"

/* Rungs in the order in which they are tried. */
struct snug_rung_list {
    enum snug_rung items[SNUG_RUNG_COUNT];
    int count;
};
/* All of them, or with no device the last alone. */
struct snug_rung_list snug_rungs_all(bool has_device);
/* "resident,cpu"; a name that is there twice counts once. False if one is unknown or none is given.
 */
bool snug_rungs_parse(const char *text, struct snug_rung_list *out);

/* What candidates have been seen to take, for requests that differ in free_bytes alone: then a plan
 * takes microseconds, where building each candidate's program takes milliseconds. The zeroed struct
 * with an allocator set knows none. */
struct snug_rung_candidate;
struct snug_rung_known {
    const struct snug_allocator *allocator;
    struct snug_rung_candidate *items;
    int count, capacity;
};
void snug_rung_known_free(struct snug_rung_known *known); /* zeroed allowed */

/* What is asked of a rung: documents of up to `tokens` positions and `tiles` tiles. */
struct snug_rung_request {
    const struct snug_model *model;      /* an outline will do */
    struct snug_session_options session; /* slots: documents at once, if there is room for them */
    int64_t tokens, tiles;
    const struct snug_device *devices[SNUG_MAX_SPACES]; /* [1 ..] */
    int device_count;
    size_t free_bytes[SNUG_MAX_SPACES];        /* what may be taken of each space */
    size_t granularity[SNUG_MAX_SPACES];       /* of what each hands out; 0: 1 */
    struct snug_speed speeds[SNUG_MAX_SPACES]; /* for choices between placements; 0: not known */
    struct snug_rung_known *known;             /* may be NULL */
    bool whole; /* stream: every layer, hybrid: half of them, though fewer may do */
};

struct snug_rung_plan {
    enum snug_rung rung;
    bool applies; /* false: there is no such placement (narrow for one document) */
    bool fits;
    struct snug_placing placing;
    int64_t slots;
    size_t weight_bytes[SNUG_MAX_SPACES], work_bytes[SNUG_MAX_SPACES];
    size_t need_bytes[SNUG_MAX_SPACES]; /* both, as the space hands it out */
    size_t staging_bytes;               /* of need_bytes[1], both buffers */
};

/* The best placement of a rung: most documents at once, then fewest units on the host. One that
 * does not fit is worked out all the same, at its smallest. Errors: LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_rung_plan(const struct snug_rung_request *request,
                                                  enum snug_rung rung, struct snug_rung_plan *plan,
                                                  struct snug_error *error);
/* A session laid out as the plan says; nothing is taken. Free with snug_session_free. Errors:
 * LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_rung_session(const struct snug_rung_request *request,
                                                     const struct snug_rung_plan *plan,
                                                     struct snug_session *out,
                                                     struct snug_error *error);

#endif
