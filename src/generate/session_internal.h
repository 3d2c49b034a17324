/* What the session's files share. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef SNUG_GENERATE_SESSION_INTERNAL_H
#define SNUG_GENERATE_SESSION_INTERNAL_H

#include "generate/session.h"

/* Where an operand of the session's program lies. */
static inline void *snug_session_operand(const struct snug_session *session, int index)
{
    return snug_executor_operand(&session->executor, index);
}

/* A run, in which nothing may be allocated. */
SNUG_CHECK_RESULT enum snug_status
snug_session_execute(struct snug_session *session, struct snug_run *run, struct snug_error *error);

/* ---- pictures.c: which rows of pictures a token sees ---- */

/* Whether the prompt's image tokens match what was seen. Errors: SHAPE. */
SNUG_CHECK_RESULT enum snug_status snug_session_check_images(const struct snug_session *session,
                                                             const int32_t *ids, int64_t count,
                                                             struct snug_error *error);
/* The current document's prompt begins; then for each of its tokens, in order: is_image: it stands
 * for the next picture, first_of_run: and the one before it does not. */
void snug_session_forget_view(struct snug_session *session);
void snug_session_follow(struct snug_session *session, bool first_of_run, bool is_image);
/* Writes what the slot's last token saw as row `row` of a text phase's inputs, if it has such.
 * Returns whether cross-attention layers have something to do for it. */
bool snug_session_write_view(struct snug_session *session, const struct snug_text_handles *handles,
                             int64_t row, int slot);

#endif
