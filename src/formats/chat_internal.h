/* Between the files of the chat prompts: the two ways in which a template is recognised
 * (chat_template.c), the pieces of a prompt that all forms share (chat.c), Llama's form
 * (chat_llama.c).
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_CHAT_INTERNAL_H
#define SNUG_FORMATS_CHAT_INTERNAL_H

#include "formats/chat.h"

/* ---- recognition ---- */

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
/* For templates with more of Jinja in them: 64-bit FNV-1a of a row of items, each ended as above:
 *     "TEXT            text outside tags, after white space is stripped as Jinja does it
 *     { a . b          an expression: names, numbers, signs, strings in double quotes
 *     % if a           a statement, in the same way
 * Comments, white space in tags, quotes, escapes and the kind of line breaks do not count; names
 * do. False if the template is not well formed. */
bool snug_chat_digest(const char *jinja, size_t length, uint64_t *digest);

/* ---- prompts as ids ---- */

#define SNUG_CHAT_MAX_BANNED 8

struct snug_chat_prompt {
    struct snug_tokenizer *tokenizer;
    const struct snug_image_tokens *image;
    struct snug_ids *ids;
    struct snug_error *error;
    int32_t banned[SNUG_CHAT_MAX_BANNED]; /* not to come out of texts, whatever their flags say */
    size_t banned_count;
};

/* The id of a control token of the frame, which texts cannot bring in from then on. Errors: FORMAT
 * if there is none, UNSUPPORTED if it changes the text beside it. */
SNUG_CHECK_RESULT enum snug_status snug_chat_frame_token(struct snug_chat_prompt *prompt,
                                                         const char *content, int32_t *id);
/* Appends one piece between two control tokens: what the frame writes, then what others wrote. */
SNUG_CHECK_RESULT enum snug_status snug_chat_add_piece(const struct snug_chat_prompt *prompt,
                                                       const char *frame, const char *untrusted,
                                                       size_t untrusted_bytes);

/* ---- Llama-3.2-Vision ---- */

#define SNUG_CHAT_LLAMA_IMAGE "<|image|>"

/* True, and *out filled, if it is one of Llama's. */
bool snug_chat_llama_recognise(const char *jinja, size_t length, struct snug_chat_format *out);
/* As the functions of chat.h without "llama", for the two kinds LLAMA and LLAMA_BASE. */
SNUG_CHECK_RESULT enum snug_status snug_chat_llama_render(const struct snug_chat_format *format,
                                                          const struct snug_chat_message *messages,
                                                          size_t count, bool add_generation_prompt,
                                                          struct snug_text *out,
                                                          struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status
snug_chat_llama_prompt_ids(const struct snug_chat_format *format, struct snug_chat_prompt *prompt,
                           size_t images, const char *system_text, const char *user_text);

#endif
