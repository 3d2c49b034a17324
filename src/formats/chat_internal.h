/* The canonical form of a chat template, between chat_template.c and chat.c.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_CHAT_INTERNAL_H
#define SNUG_FORMATS_CHAT_INTERNAL_H

#include "formats/chat.h"

/* Larger than the canonical form of any template we know. */
#define SNUG_CHAT_CANONICAL_BYTES 1024

/* Ends an item of the canonical form. */
#define SNUG_CHAT_ITEM_END '\x1e'

/* Writes the template as a row of items, each ended by SNUG_CHAT_ITEM_END:
 *     "TEXT            what is printed literally, however the template spells it
 *     $0.role          a printed value; loop variables are $0, $1, ... from the outermost
 *     for $0 in X, endfor, if X, if X is string, if X == TEXT, elif ..., else, endif
 * Returns false when the template uses anything else, or more than fits; then *at..*at_length is
 * the part of the template that was not understood. */
bool snug_chat_canonical(const char *jinja, size_t length, char out[SNUG_CHAT_CANONICAL_BYTES],
                         const char **at, size_t *at_length);

#endif
