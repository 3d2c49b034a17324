/* What the ladder's files share. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef SNUG_GENERATE_LADDER_INTERNAL_H
#define SNUG_GENERATE_LADDER_INTERNAL_H

#include "generate/ladder.h"

#define SNUG_LADDER_MAX_BACKOFF 64
#define SNUG_LADDER_TEXT_BYTES 400

bool snug_is_device_failure(enum snug_status status);
/* Bytes of a device that stay free while others use it. */
static inline size_t snug_ladder_watermark(uint64_t all_bytes)
{
    uint64_t most = (uint64_t)256 << 20;
    return (size_t)(all_bytes / 32 < most ? all_bytes / 32 : most);
}

/* ---- ladder.c ---- */

bool snug_ladder_has_device(const struct snug_ladder *ladder); /* the rung uses one */
bool snug_ladder_same_weights(const struct snug_placing *a, const struct snug_placing *b);
/* The first device's; false: there is none, or it does not answer. A loss is remembered. */
bool snug_ladder_free_of_device(struct snug_ladder *ladder, uint64_t *bytes);
size_t snug_ladder_bytes_taken(const struct snug_ladder *ladder); /* by the rung */
/* Enters the first rung from `index` on that fits and works; none is entered now. cause: why the
 * one before was left. Errors: DOES_NOT_FIT, DEVICE, DEVICE_LOST, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_find(struct snug_ladder *ladder, int index,
                                                    enum snug_status cause,
                                                    struct snug_error *error);
/* Leaves the rung for one from `index` on; documents under way come along, or if none is left are
 * over. Errors: as find. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_move(struct snug_ladder *ladder, int index,
                                                    enum snug_event_kind kind,
                                                    enum snug_status cause, const char *why,
                                                    struct snug_error *error);
/* Keeps account of a device's failure; others are none of its business. A lost device is of no use
 * until it has been reset: what was held there is only given back. */
void snug_ladder_note_cause(struct snug_ladder *ladder, enum snug_status cause);
/* A lost device may be there again. */
void snug_ladder_try_reset(struct snug_ladder *ladder);
/* Hands an event on, with what is known of the moment filled in. */
void snug_ladder_tell(struct snug_ladder *ladder, struct snug_event event);
/* The rung failed with `cause` (error: why); documents under way move to a lower one, without slots
 * yet. Errors: the cause itself where there is no fallback, or no rung is left. */
SNUG_CHECK_RESULT enum snug_status
snug_ladder_step_down(struct snug_ladder *ladder, enum snug_status cause, struct snug_error *error);

/* ---- ladder_climb.c ---- */

/* A document is about to begin. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_boundary(struct snug_ladder *ladder,
                                                        struct snug_error *error);
/* Bytes of a space that are ours now, as it hands them out. */
size_t snug_ladder_ours(const struct snug_ladder *ladder, int space);

/* ---- ladder_run.c ---- */

/* The first device's free memory as a document begins: for figures, and to tell in time when it
 * runs short. */
void snug_ladder_watch(struct snug_ladder *ladder, uint64_t free_bytes);

#endif
