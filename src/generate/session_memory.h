/* A session's figures: what of its region is alive, told by those who use it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_SESSION_MEMORY_H
#define SNUG_GENERATE_SESSION_MEMORY_H

#include "generate/session.h"

void snug_session_count_take(struct snug_session *session);
void snug_session_count_give(struct snug_session *session);
void snug_session_count_refusal(struct snug_session *session);
/* Features live from the first tile seen until the prompt has been read. */
void snug_session_count_features(struct snug_session *session, bool alive);
/* A slot's keys and values live from its prompt to its end. */
void snug_session_count_cache(struct snug_session *session, int slot, bool alive);
/* A phase has run: its scratch came and went. */
void snug_session_count_run(struct snug_session *session, int phase);

#endif
