/* A made-up tokeniser of true size: as many tokens as Qwen2's, InternVL3's added tokens at their
 * ids and the same pipeline, but merges of our own; or Llama-3's with Llama-3.2-Vision's. English
 * comes out at about 4 characters a token, as with the real ones; the ids mean nothing to a real
 * model. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_SYNTH_TOKENIZER_H
#define SNUG_FORMATS_SYNTH_TOKENIZER_H

#include "base/text.h"

#define SNUG_SYNTH_VOCABULARY 151643     /* ids 0 .. 151642; 256 bytes, the rest by merges */
#define SNUG_SYNTH_TOKENIZER_SIZE 151674 /* with the added tokens */
#define SNUG_SYNTH_LLAMA_VOCABULARY 128000
#define SNUG_SYNTH_LLAMA_TOKENIZER_SIZE 128257 /* 256 added tokens, then <|image|> = 128256 */

/* Appends a tokenizer.json, always the same (about 7 MB). Errors: MEMORY, LIMIT (of the text). */
SNUG_CHECK_RESULT enum snug_status snug_synth_tokenizer(struct snug_text *out,
                                                        const struct snug_allocator *allocator,
                                                        struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status
snug_synth_llama_tokenizer(struct snug_text *out, const struct snug_allocator *allocator,
                           struct snug_error *error);
/* Appends the tokenizer_config.json that goes with it. */
void snug_synth_tokenizer_config(struct snug_text *out);
void snug_synth_llama_tokenizer_config(struct snug_text *out);
/* The chat_template.jinja of the "-hf" folders. Static. */
const char *snug_synth_chat_template(void);
/* One that snug_chat_recognise takes for LLAMA, trimming, without tools or clock. Static. */
const char *snug_synth_llama_chat_template(void);

#endif
