/* The tokenizer's own tables, shared by its source files only.
 *
 *     text -> added_tokens.c -> nfc.c -> added_tokens.c -> pretokenize.c -> bpe.c -> ids
 *             (raw content)            (normalised content)
 *     tokenizer_json.c, tokenizer_files.c -> tokenizer_build.c -> vocabulary.c (tables)
 *     detokenize.c: ids -> text
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_TOKENIZER_INTERNAL_H
#define SNUG_FORMATS_TOKENIZER_INTERNAL_H

#include "formats/tokenizer.h"

#include "base/json.h"
#include "base/json_cursor.h"
#include "base/limits.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

/* Work buffers above this size are given back after the call that needed them. */
#define SNUG_KEEP_WORK_BYTES (1u << 20)

/* ---- byte level: 256 symbols stand for the bytes (docs/formats.md, 2) ---- */

/* Bytes of a token written in symbols; SIZE_MAX if a character is none. out: as long as the text,
 * or NULL to measure only. */
size_t snug_byte_level_decode(const char *text, size_t length, unsigned char *out);
/* The code point that stands for a byte. */
uint32_t snug_byte_symbol(unsigned char byte);

/* ---- added tokens ---- */

struct snug_added_token {
    const char *content; /* as in the file */
    size_t length;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
};

/* Patterns sorted by bytes; those that begin with byte b are [first[b], first[b + 1]). */
struct snug_added_set {
    struct snug_added_token *tokens;
    size_t count;
    uint32_t first[257];
};

/* Sorts tokens[0..count) and fills *set, which borrows them. False: two have the same content,
 * whose index is then *duplicate. */
bool snug_added_set_init(struct snug_added_set *set, struct snug_added_token *tokens, size_t count,
                         size_t *duplicate);
const struct snug_added_token *snug_added_set_find(const struct snug_added_set *set,
                                                   const char *content, size_t length);

/* Ids that a text may not bring in, beside those that the mode forbids. */
struct snug_added_filter {
    enum snug_added_tokens mode;
    const int32_t *banned;
    size_t banned_count;
};

/* A walk over one text. Zero position and plain_start to begin with. */
struct snug_added_scan {
    const struct snug_added_set *set;
    const struct snug_added_filter *filter;
    const char *text;
    size_t length;
    size_t position;    /* where the search goes on */
    size_t plain_start; /* end of the last hit */
};
struct snug_added_hit {
    size_t start, end; /* white space taken in by lstrip and rstrip included */
    int32_t id;
};
/* The next hit, leftmost and longest; false at the end. The text before it, from the plain_start it
 * had before the call, is plain. The search goes on behind the token itself, not behind the white
 * space that rstrip took in, as in the reference: a token that begins with that white space is
 * still found, so a hit may start before plain_start. */
bool snug_added_scan_next(struct snug_added_scan *scan, struct snug_added_hit *hit);

/* The 25 code points with property White_Space. */
bool snug_is_white_space(uint32_t code_point);

/* ---- NFC ---- */

struct snug_nfc_work {
    utf8proc_int32_t *points;
    size_t capacity;
    utf8proc_int32_t *run; /* one run of combining marks, while it is sorted */
    size_t run_capacity;
    char *text;
    size_t text_capacity;
};
/* *out, *out_length: the text itself if it is plainly in NFC, else the work buffer. text is valid
 * UTF-8 of at most SNUG_MAX_ENCODE_BYTES. Linear. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_nfc(struct snug_nfc_work *work,
                                            const struct snug_allocator *allocator,
                                            const char *text, size_t length, const char **out,
                                            size_t *out_length, struct snug_error *error);
void snug_nfc_work_free(struct snug_nfc_work *work, const struct snug_allocator *allocator);

/* ---- pre-tokeniser ---- */

enum snug_pattern { SNUG_PATTERN_QWEN2, SNUG_PATTERN_LLAMA3, SNUG_PATTERN_COUNT };
/* By the exact regex of the file; SNUG_PATTERN_COUNT if it is another. */
enum snug_pattern snug_pattern_from_regex(const char *regex);

struct snug_splitter {
    const struct snug_allocator *allocator;
    size_t bytes; /* what PCRE2 holds of the allocator's memory now */
    pcre2_general_context *general;
    pcre2_match_context *match;
    pcre2_match_data *data;
    pcre2_code *code;
};
/* Errors: MEMORY; UNSUPPORTED if PCRE2 was built without Unicode. *splitter is zeroed on failure.
 * The allocator must outlive the splitter, which must stay where it is (PCRE2 keeps its address).
 */
SNUG_CHECK_RESULT enum snug_status snug_splitter_init(struct snug_splitter *splitter,
                                                      enum snug_pattern pattern,
                                                      const struct snug_allocator *allocator,
                                                      struct snug_error *error);
void snug_splitter_free(struct snug_splitter *splitter);
/* The end of the chunk that begins at start < length. text is valid UTF-8. Errors: MEMORY, LIMIT.
 */
SNUG_CHECK_RESULT enum snug_status snug_splitter_next(const struct snug_splitter *splitter,
                                                      const char *text, size_t length, size_t start,
                                                      size_t *end, struct snug_error *error);

/* ---- vocabulary and merges ---- */

/* Its place in the list is its rank; lower ranks merge first. */
struct snug_merge {
    int32_t left, right, id;
};

/* Open addressing, one index + 1 a slot, 0 is empty; the keys are in the tables beside it. */
struct snug_index {
    uint32_t *slots;
    uint32_t count; /* more than twice what it holds */
};

struct snug_bpe_symbol {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t previous, next;
};
struct snug_bpe_candidate {
    uint64_t key; /* rank, then position: the lowest is merged first, ties leftmost */
    int32_t left, right, id;
};
struct snug_bpe_work {
    struct snug_bpe_symbol *symbols;
    size_t symbol_capacity;
    struct snug_bpe_candidate *heap;
    size_t heap_capacity, heap_count;
};

#define SNUG_TOKEN_FLAG_PRESENT 1u
#define SNUG_TOKEN_FLAG_ADDED 2u
#define SNUG_TOKEN_FLAG_SPECIAL 4u

struct snug_tokenizer {
    const struct snug_allocator *allocator;

    int32_t size;          /* largest id + 1 */
    uint8_t *flags;        /* [size] */
    uint32_t *offsets;     /* [size + 1] into bytes */
    unsigned char *bytes;  /* of all tokens, as the decoder gives them */
    int32_t byte_ids[256]; /* id of each single byte */

    struct snug_index tokens;      /* token bytes -> id */
    struct snug_merge *merges;     /* [merge_count], by rank */
    size_t merge_count;            /* as many as there is room for */
    struct snug_index merge_pairs; /* left and right -> rank */
    bool ignore_merges;

    char *contents; /* bytes of the added tokens' contents */
    size_t contents_bytes;
    struct snug_added_token *added, *added_split; /* all; the same again, raw ones first */
    struct snug_added_set all, raw, normalized;

    bool nfc;
    enum snug_pattern pattern;
    int32_t bos_id; /* what the file's template puts in front, -1 if nothing */

    struct snug_splitter splitter;
    struct snug_nfc_work nfc_work;
    struct snug_bpe_work bpe_work;
};

/* Hash tables; the tokens' bytes must be in place. -1 if absent. */
int32_t snug_vocabulary_find(const struct snug_tokenizer *tokenizer, const unsigned char *bytes,
                             size_t length);
const struct snug_merge *snug_merge_find(const struct snug_tokenizer *tokenizer, int32_t left,
                                         int32_t right);
/* Empty tables of the right size. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_vocabulary_reserve(struct snug_tokenizer *tokenizer,
                                                           size_t tokens, struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_merges_reserve(struct snug_tokenizer *tokenizer,
                                                       size_t merges, struct snug_error *error);
/* False if other id has the same bytes. */
bool snug_vocabulary_insert(struct snug_tokenizer *tokenizer, int32_t id);
/* Writes merges[rank]. A later merge of the same pair replaces the earlier one, as in the
 * reference. */
void snug_merge_insert(struct snug_tokenizer *tokenizer, size_t rank,
                       const struct snug_merge *merge);

/* Appends the ids of one chunk, length >= 1. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_bpe_encode(struct snug_tokenizer *tokenizer,
                                                   const unsigned char *chunk, size_t length,
                                                   struct snug_ids *ids, struct snug_error *error);
void snug_bpe_work_free(struct snug_bpe_work *work, const struct snug_allocator *allocator);

/* ---- loading ---- */

/* What the files say, before it is checked against itself. All borrowed but for `added`. The two
 * large members are text as it stands in the file, not yet looked at (snug_json_skip). */
struct snug_tokenizer_source {
    const char *name; /* for messages */
    const struct snug_allocator *allocator;
    struct snug_json_span vocabulary; /* object: token -> id */
    struct snug_json_span merge_list; /* ["left right", ...] or [["left", "right"], ...]; none: */
    const char *merge_text;           /* lines "left right" */
    size_t merge_text_bytes;
    struct snug_added_token *added; /* owned: snug_tokenizer_source_free */
    size_t added_count, added_capacity;
    bool nfc, ignore_merges;
    enum snug_pattern pattern;
    const char *bos; /* content of the token that the template puts in front, or NULL */
};
void snug_tokenizer_source_free(struct snug_tokenizer_source *source);
/* Errors: FORMAT (empty content), LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_source_add(struct snug_tokenizer_source *source,
                                                             const struct snug_added_token *token,
                                                             struct snug_error *error);
/* The five flags of an added token's JSON object; false is what is not there, except normalized,
 * which is then what special is not. */
SNUG_CHECK_RESULT enum snug_status snug_added_token_read_flags(json_t *object,
                                                               struct snug_added_token *token,
                                                               const char *name,
                                                               struct snug_error *error);
/* Checks all that docs/formats.md, 2 names and builds the tables. Errors: FORMAT, UNSUPPORTED,
 * LIMIT, MEMORY.
 */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_build(const struct snug_tokenizer_source *source,
                                                        struct snug_tokenizer **out,
                                                        struct snug_error *error);
/* The status and message to give for a file whose loading ended in `status`. If the file is no
 * well-formed JSON, that comes first, in jansson's words, with line and column: it has seen a
 * refused file as a whole, one that loads never. OK and MEMORY stay as they are. */
SNUG_CHECK_RESULT enum snug_status snug_tokenizer_explain(enum snug_status status, const char *json,
                                                          size_t length, const char *name,
                                                          struct snug_error *error);

/* snug_tokenizer_encode with a list of ids beside the mode. */
SNUG_CHECK_RESULT enum snug_status
snug_tokenizer_encode_filtered(struct snug_tokenizer *tokenizer, const char *text, size_t length,
                               const struct snug_added_filter *filter, struct snug_ids *ids,
                               struct snug_error *error);
/* The added token of an id, NULL if it is none. Linear in their number. */
const struct snug_added_token *snug_tokenizer_added(const struct snug_tokenizer *tokenizer,
                                                    int32_t id);

#endif
