/* Byte-level BPE: Qwen2's and Llama-3's rules, from tokenizer.json or vocab.json + merges.txt.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_TOKENIZER_H
#define SNUG_FORMATS_TOKENIZER_H

#include "base/files.h"
#include "base/text.h"

struct snug_tokenizer; /* opaque; immutable after loading, except that encoding is one thread at a
                          time */

/* From a folder: tokenizer.json, else vocab.json + merges.txt (+ added_tokens.json and
 * tokenizer_config.json: added_tokens_decoder). A normaliser, pre-tokeniser or model other than the
 * two we know is UNSUPPORTED, naming what was found. Errors: NOT_FOUND, FORMAT, UNSUPPORTED, LIMIT,
 * MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_load(const struct snug_folder *folder,
                                                       const struct snug_allocator *allocator,
                                                       struct snug_tokenizer **out,
                                                       struct snug_error *error);
/* From the bytes of a tokenizer.json (tests, fuzzing). */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_load_json(const char *json, size_t length,
                                                            const char *name,
                                                            const struct snug_allocator *allocator,
                                                            struct snug_tokenizer **out,
                                                            struct snug_error *error);
/* From the bytes of the older files; added and config may be NULL. */
SNUG_CHECK_RESULT enum snug_status
snug_tokenizer_load_files(const struct snug_blob *vocab, const struct snug_blob *merges,
                          const struct snug_blob *added, const struct snug_blob *config,
                          const char *name, const struct snug_allocator *allocator,
                          struct snug_tokenizer **out, struct snug_error *error);
void snug_tokenizer_free(struct snug_tokenizer *tokenizer);
/* What it holds of its allocator's memory now, exactly: the sum of its blocks' sizes. A loaded one
 * of 151,674 ids holds about 5.3 MiB; encoding adds work buffers, of which at most 2 MiB stay.
 * PCRE2's machine code comes from the system and is not in it. */
size_t snug_tokenizer_memory_bytes(const struct snug_tokenizer *tokenizer);

/* One more than the largest id. */
int32_t snug_tokenizer_size(const struct snug_tokenizer *tokenizer);
/* Id of an added token by its exact content, -1 if there is none. */
int32_t snug_tokenizer_added_id(const struct snug_tokenizer *tokenizer, const char *content);
/* Id that the file's post-processor puts in front of a text (Llama-3's <|begin_of_text|>), -1 if it
 * puts nothing; encoding never does. */
int32_t snug_tokenizer_bos_id(const struct snug_tokenizer *tokenizer);
bool snug_tokenizer_is_special(const struct snug_tokenizer *tokenizer, int32_t id);

/* Growing list of ids. */
struct snug_ids {
    const struct snug_allocator *allocator;
    int32_t *data;
    size_t count, capacity;
};
void snug_ids_init(struct snug_ids *ids, const struct snug_allocator *allocator);
void snug_ids_free(struct snug_ids *ids);
SNUG_CHECK_RESULT enum snug_status snug_ids_append(struct snug_ids *ids, int32_t id, size_t times,
                                                   struct snug_error *error);

/* Which added tokens are recognised inside a text. NONE is the plain mode; NOT_SPECIAL is for
 * untrusted text: no token whose special flag is set (control tokens) can come out of it. */
enum snug_added_tokens {
    SNUG_ADDED_TOKENS_NONE,
    SNUG_ADDED_TOKENS_NOT_SPECIAL,
    SNUG_ADDED_TOKENS_ALL
};

/* Appends the ids of UTF-8 text[0..length) (invalid UTF-8: FORMAT).
 * Prepends nothing (no BOS). Time is linear but for a logarithm, whatever the text. */
SNUG_CHECK_RESULT enum snug_status
snug_tokenizer_encode(struct snug_tokenizer *tokenizer, const char *text, size_t length,
                      enum snug_added_tokens added, struct snug_ids *ids, struct snug_error *error);

/* Bytes of one token as the decoder gives them (an added token: its content; as in the reference,
 * one that consists of byte symbols alone goes through them, which changes nothing in ASCII without
 * spaces). Unknown id: NULL. The pointer is the tokenizer's own. */
const unsigned char *snug_tokenizer_bytes(const struct snug_tokenizer *tokenizer, int32_t id,
                                          size_t *length);

/* Appends the text of all ids, lossy UTF-8 over the whole; skip_special leaves special added tokens
 * out. Unknown ids are skipped. */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_decode(const struct snug_tokenizer *tokenizer,
                                                         const int32_t *ids, size_t count,
                                                         bool skip_special, struct snug_text *text,
                                                         struct snug_error *error);

/* Incremental detokenisation: never gives out half a character. Zeroed struct to start.
 * push appends to *text all that is decided; finish flushes an unfinished rest as one U+FFFD. */
struct snug_detokenizer {
    unsigned char pending[4];
    int pending_bytes;
};
void snug_detokenizer_push(struct snug_detokenizer *state, const struct snug_tokenizer *tokenizer,
                           int32_t id, bool skip_special, struct snug_text *text);
void snug_detokenizer_finish(struct snug_detokenizer *state, struct snug_text *text);

/* For the golden checker: splits text by the tokeniser's pattern ("qwen2" or "llama3"), calling
 * back with each chunk's [offset, length). */
typedef void snug_chunk_fn(void *context, size_t offset, size_t length);
SNUG_CHECK_RESULT enum snug_status snug_pretokenize(const char *pattern_name, const char *text,
                                                    size_t length,
                                                    const struct snug_allocator *allocator,
                                                    snug_chunk_fn *chunk, void *context,
                                                    struct snug_error *error);

#endif
