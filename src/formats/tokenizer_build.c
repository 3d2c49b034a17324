/* From what the files say to a tokenizer: every rule checked, then the tables.
 *
 * Rules (else FORMAT): vocabulary ids are integers, unique, not negative; entries are written in
 * byte symbols, unless they are an added token's content under the same id; each of the 256 byte
 * symbols has an entry; an added token shares an id only with an entry of the same content;
 * contents and ids of added tokens are unique; both sides and the result of a merge are entries.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

/* Only while building. */
#define FLAG_ENTRY 64u   /* the vocabulary has the id */
#define FLAG_SHARED 128u /* the vocabulary has the added token's content, under its id */

struct build {
    const struct snug_tokenizer_source *source;
    struct snug_tokenizer *tokenizer;
    struct snug_error *error;
    size_t entries;         /* of the vocabulary */
    unsigned char *scratch; /* two tokens side by side */
};

void snug_tokenizer_source_free(struct snug_tokenizer_source *source)
{
    snug_free(source->allocator, source->added);
    source->added = NULL;
}

enum snug_status snug_tokenizer_source_add(struct snug_tokenizer_source *source,
                                           const struct snug_added_token *token,
                                           struct snug_error *error)
{
    if (token->length == 0)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: added token %d has no content",
                              source->name, (int)token->id);
    if (token->length > SNUG_MAX_ADDED_TOKEN_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "%s: added token %d has %zu bytes (at most %d)", source->name,
                              (int)token->id, token->length, SNUG_MAX_ADDED_TOKEN_BYTES);
    if (source->added_count == source->added_capacity) {
        size_t capacity = source->added_capacity ? 2 * source->added_capacity : 64;
        void *grown =
            snug_realloc_array(source->allocator, source->added, capacity, sizeof(*source->added));
        if (!grown)
            return snug_error_memory(error, capacity * sizeof(*source->added), "added tokens");
        source->added = grown;
        source->added_capacity = capacity;
    }
    source->added[source->added_count++] = *token;
    return SNUG_STATUS_OK;
}

enum snug_status snug_added_token_read_flags(json_t *object, struct snug_added_token *token,
                                             const char *name, struct snug_error *error)
{
    struct {
        const char *key;
        bool *flag;
    } flags[] = {
        {"special", &token->special},       {"lstrip", &token->lstrip},
        {"rstrip", &token->rstrip},         {"single_word", &token->single_word},
        {"normalized", &token->normalized},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        *flags[i].flag = i == 4 && !token->special;
        enum snug_status status =
            snug_json_get_bool(object, flags[i].key, flags[i].flag, name, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status check_id(const struct build *build, const char *content, json_int_t id)
{
    if (id < 0)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT, "%s: token \"%s\" has id %lld",
                              build->source->name, content, (long long)id);
    if (id >= SNUG_MAX_VOCABULARY)
        return snug_error_set(build->error, SNUG_STATUS_LIMIT,
                              "%s: token \"%s\" has id %lld (at most %d)", build->source->name,
                              content, (long long)id, SNUG_MAX_VOCABULARY - 1);
    return SNUG_STATUS_OK;
}

/* Largest id, number of entries; each entry by itself. */
static enum snug_status measure(struct build *build)
{
    const struct snug_tokenizer_source *source = build->source;
    int32_t size = 0;
    for (void *at = json_object_iter(source->vocabulary); at;
         at = json_object_iter_next(source->vocabulary, at)) {
        const char *key = json_object_iter_key(at);
        size_t length = json_object_iter_key_len(at);
        json_t *value = json_object_iter_value(at);
        if (!json_is_integer(value) || length == 0)
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: vocabulary entry \"%s\" is %s", source->name, key,
                                  length == 0 ? "empty" : "not an integer");
        if (length > SNUG_MAX_TOKEN_BYTES)
            return snug_error_set(build->error, SNUG_STATUS_LIMIT,
                                  "%s: a vocabulary entry of %zu bytes (at most %d)", source->name,
                                  length, SNUG_MAX_TOKEN_BYTES);
        enum snug_status status = check_id(build, key, json_integer_value(value));
        if (status != SNUG_STATUS_OK)
            return status;
        if (json_integer_value(value) >= size)
            size = (int32_t)json_integer_value(value) + 1;
        build->entries++;
    }
    for (size_t i = 0; i < source->added_count; i++) {
        enum snug_status status = check_id(build, source->added[i].content, source->added[i].id);
        if (status != SNUG_STATUS_OK)
            return status;
        if (source->added[i].id >= size)
            size = source->added[i].id + 1;
    }
    build->tokenizer->size = size;
    return SNUG_STATUS_OK;
}

/* Bytes of an added token, as the decoder of the reference gives them: the content (in its normal
 * form if it is a normalised token), through the byte symbols if it consists of them. out may be
 * NULL. */
static size_t added_bytes(const struct snug_added_token *token, unsigned char *out)
{
    size_t length = snug_byte_level_decode(token->content, token->length, NULL);
    if (length == SIZE_MAX) {
        if (out)
            memcpy(out, token->content, token->length);
        return token->length;
    }
    return out ? snug_byte_level_decode(token->content, token->length, out) : length;
}

/* Room for the contents as filed, and after them the normalised ones in their normal form. */
static enum snug_status copy_contents(struct build *build, size_t *normalized)
{
    const struct snug_tokenizer_source *source = build->source;
    struct snug_tokenizer *tokenizer = build->tokenizer;
    const struct snug_allocator *allocator = tokenizer->allocator;
    size_t total = 1, used = 0, count = source->added_count;
    for (size_t i = 0; i < count; i++)
        total += source->added[i].length * (source->added[i].normalized ? 5 : 1);
    tokenizer->contents = snug_alloc(allocator, total);
    tokenizer->added = snug_alloc_array(allocator, count, sizeof(*tokenizer->added));
    tokenizer->added_split = snug_alloc_array(allocator, count, sizeof(*tokenizer->added));
    if (!tokenizer->contents || !tokenizer->added || !tokenizer->added_split)
        return snug_error_memory(build->error, total, "added tokens");
    size_t raw = 0;
    *normalized = 0;
    for (size_t i = 0; i < count; i++) {
        struct snug_added_token token = source->added[i];
        memcpy(tokenizer->contents + used, token.content, token.length);
        token.content = tokenizer->contents + used;
        used += token.length;
        tokenizer->added[i] = token;
        if (!token.normalized) {
            tokenizer->added_split[raw++] = token;
            continue;
        }
        const char *text = token.content;
        if (source->nfc) {
            enum snug_status status = snug_nfc(&tokenizer->nfc_work, allocator, token.content,
                                               token.length, &text, &token.length, build->error);
            if (status != SNUG_STATUS_OK)
                return status;
        }
        SNUG_ASSERT(token.length <= total - used);
        memcpy(tokenizer->contents + used, text, token.length);
        token.content = tokenizer->contents + used;
        used += token.length;
        tokenizer->added_split[count - ++*normalized] = token;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status build_added(struct build *build)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    size_t count = build->source->added_count, normalized = 0, duplicate = 0;
    enum snug_status status = copy_contents(build, &normalized);
    if (status != SNUG_STATUS_OK)
        return status;
    struct snug_added_token *rest = tokenizer->added_split + (count - normalized);
    const struct snug_added_token *twice = NULL;
    if (!snug_added_set_init(&tokenizer->all, tokenizer->added, count, &duplicate))
        twice = &tokenizer->added[duplicate];
    else if (!snug_added_set_init(&tokenizer->raw, tokenizer->added_split, count - normalized,
                                  &duplicate))
        twice = &tokenizer->added_split[duplicate];
    else if (!snug_added_set_init(&tokenizer->normalized, rest, normalized, &duplicate))
        twice = &rest[duplicate];
    if (twice)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                              "%s: added token \"%.*s\" stands there twice", build->source->name,
                              (int)(twice->length < 64 ? twice->length : 64), twice->content);
    tokenizer->bos_id = -1;
    if (build->source->bos)
        tokenizer->bos_id = snug_tokenizer_added_id(tokenizer, build->source->bos);
    return SNUG_STATUS_OK;
}

/* offsets[id + 1] = length of the token; flags. */
static enum snug_status claim_added(struct build *build)
{
    const struct snug_tokenizer_source *source = build->source;
    struct snug_tokenizer *tokenizer = build->tokenizer;
    for (size_t i = 0; i < source->added_count; i++) {
        const struct snug_added_token *token = &source->added[i];
        if (tokenizer->flags[token->id])
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: two added tokens have id %d, one is \"%.64s\"", source->name,
                                  (int)token->id, token->content);
        unsigned flags = SNUG_TOKEN_FLAG_PRESENT | SNUG_TOKEN_FLAG_ADDED;
        if (token->special)
            flags |= SNUG_TOKEN_FLAG_SPECIAL;
        json_t *entry = json_object_getn(source->vocabulary, token->content, token->length);
        if (entry) {
            if (json_integer_value(entry) != token->id)
                return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                      "%s: \"%.64s\" has id %lld in the vocabulary and %d among "
                                      "the added tokens",
                                      source->name, token->content,
                                      (long long)json_integer_value(entry), (int)token->id);
            flags |= FLAG_SHARED;
        }
        tokenizer->flags[token->id] = (uint8_t)flags;
    }
    for (size_t i = 0; i < source->added_count; i++) {
        const struct snug_added_token *token = &tokenizer->added_split[i];
        tokenizer->offsets[token->id + 1] = (uint32_t)added_bytes(token, NULL);
    }
    return SNUG_STATUS_OK;
}

static enum snug_status claim_entries(struct build *build)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    json_t *vocabulary = build->source->vocabulary;
    for (void *at = json_object_iter(vocabulary); at; at = json_object_iter_next(vocabulary, at)) {
        const char *key = json_object_iter_key(at);
        int32_t id = (int32_t)json_integer_value(json_object_iter_value(at));
        uint8_t *flags = &tokenizer->flags[id];
        if (*flags & FLAG_ENTRY)
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: two vocabulary entries have id %d, one is \"%.64s\"",
                                  build->source->name, (int)id, key);
        if ((*flags & SNUG_TOKEN_FLAG_ADDED) && !(*flags & FLAG_SHARED))
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: id %d is \"%.64s\" in the vocabulary and another text among "
                                  "the added tokens",
                                  build->source->name, (int)id, key);
        size_t length = snug_byte_level_decode(key, json_object_iter_key_len(at), NULL);
        if (length == SIZE_MAX && !(*flags & FLAG_SHARED))
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: vocabulary entry \"%.64s\" (id %d) is not written in byte "
                                  "symbols",
                                  build->source->name, key, (int)id);
        *flags |= FLAG_ENTRY | SNUG_TOKEN_FLAG_PRESENT;
        if (length != SIZE_MAX)
            tokenizer->offsets[id + 1] = (uint32_t)length;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status reserve(struct build *build)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    size_t size = (size_t)tokenizer->size;
    tokenizer->flags = snug_calloc(tokenizer->allocator, size + 1, 1);
    tokenizer->offsets = snug_calloc(tokenizer->allocator, size + 1, sizeof(*tokenizer->offsets));
    build->scratch = snug_alloc(tokenizer->allocator, 2 * SNUG_MAX_TOKEN_BYTES);
    if (!tokenizer->flags || !tokenizer->offsets || !build->scratch)
        return snug_error_memory(build->error, size * 5, "the vocabulary");
    return SNUG_STATUS_OK;
}

/* Token bytes and the table that finds them. The sum of all lengths is bounded by the file's. */
static enum snug_status fill(struct build *build)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    const struct snug_tokenizer_source *source = build->source;
    for (int32_t id = 0; id < tokenizer->size; id++)
        tokenizer->offsets[id + 1] += tokenizer->offsets[id];
    size_t total = tokenizer->offsets[tokenizer->size];
    tokenizer->bytes = snug_alloc(tokenizer->allocator, total + 1);
    if (!tokenizer->bytes)
        return snug_error_memory(build->error, total, "the vocabulary");
    enum snug_status status = snug_vocabulary_reserve(tokenizer, build->entries, build->error);
    if (status != SNUG_STATUS_OK)
        return status;
    for (size_t i = 0; i < source->added_count; i++)
        (void)added_bytes(&tokenizer->added_split[i],
                          tokenizer->bytes + tokenizer->offsets[tokenizer->added_split[i].id]);
    json_t *vocabulary = source->vocabulary;
    for (void *at = json_object_iter(vocabulary); at; at = json_object_iter_next(vocabulary, at)) {
        int32_t id = (int32_t)json_integer_value(json_object_iter_value(at));
        size_t length =
            snug_byte_level_decode(json_object_iter_key(at), json_object_iter_key_len(at),
                                   tokenizer->bytes + tokenizer->offsets[id]);
        /* Symbols and bytes are one to one, so two entries cannot have the same bytes. */
        if (length != SIZE_MAX)
            SNUG_ASSERT(snug_vocabulary_insert(tokenizer, id));
    }
    for (int b = 0; b < 256; b++) {
        unsigned char byte = (unsigned char)b;
        tokenizer->byte_ids[b] = snug_vocabulary_find(tokenizer, &byte, 1);
        if (tokenizer->byte_ids[b] < 0)
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: the vocabulary lacks the symbol of byte 0x%02X (U+%04X)",
                                  source->name, (unsigned)b, (unsigned)snug_byte_symbol(byte));
    }
    return SNUG_STATUS_OK;
}

static enum snug_status add_merge(struct build *build, const char *left, size_t left_length,
                                  const char *right, size_t right_length, size_t rank)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    int32_t ids[3] = {-1, -1, -1};
    if (left_length <= SNUG_MAX_TOKEN_BYTES && right_length <= SNUG_MAX_TOKEN_BYTES) {
        size_t a = snug_byte_level_decode(left, left_length, build->scratch);
        size_t b = a == SIZE_MAX ? SIZE_MAX
                                 : snug_byte_level_decode(right, right_length, build->scratch + a);
        if (b != SIZE_MAX && a > 0 && b > 0) {
            ids[0] = snug_vocabulary_find(tokenizer, build->scratch, a);
            ids[1] = snug_vocabulary_find(tokenizer, build->scratch + a, b);
            ids[2] = snug_vocabulary_find(tokenizer, build->scratch, a + b);
        }
    }
    if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0)
        return snug_error_set(
            build->error, SNUG_STATUS_FORMAT, "%s: merge %zu (\"%.*s\", \"%.*s\") %s",
            build->source->name, rank, (int)(left_length < 64 ? left_length : 64), left,
            (int)(right_length < 64 ? right_length : 64), right,
            ids[0] < 0 || ids[1] < 0 ? "has a side that is not in the vocabulary"
                                     : "gives a token that is not in the vocabulary");
    snug_merge_insert(tokenizer, ids[0], ids[1], (int32_t)rank, ids[2]);
    return SNUG_STATUS_OK;
}

static enum snug_status merge_form(const struct build *build, size_t rank)
{
    return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                          "%s: merge %zu is not two tokens with a space between",
                          build->source->name, rank);
}

static enum snug_status add_merge_line(struct build *build, const char *line, size_t length,
                                       size_t rank)
{
    const char *space = memchr(line, ' ', length);
    size_t left = space ? (size_t)(space - line) : 0;
    if (!space || left == 0 || left + 1 == length ||
        memchr(space + 1, ' ', length - left - 1) != NULL)
        return merge_form(build, rank);
    return add_merge(build, line, left, space + 1, length - left - 1, rank);
}

static enum snug_status reserve_merges(struct build *build, size_t count)
{
    if (count > SNUG_MAX_VOCABULARY)
        return snug_error_set(build->error, SNUG_STATUS_LIMIT, "%s: %zu merges (at most %d)",
                              build->source->name, count, SNUG_MAX_VOCABULARY);
    return snug_merges_reserve(build->tokenizer, count, build->error);
}

static enum snug_status add_merge_array(struct build *build)
{
    json_t *merges = build->source->merge_array;
    size_t count = json_array_size(merges);
    enum snug_status status = reserve_merges(build, count);
    for (size_t rank = 0; rank < count && status == SNUG_STATUS_OK; rank++) {
        json_t *merge = json_array_get(merges, rank);
        json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_is_string(merge))
            status =
                add_merge_line(build, json_string_value(merge), json_string_length(merge), rank);
        else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
            status = add_merge(build, json_string_value(left), json_string_length(left),
                               json_string_value(right), json_string_length(right), rank);
        else
            status = merge_form(build, rank);
    }
    return status;
}

/* merges.txt: a first line that begins with "#version" and empty lines are passed over. */
static enum snug_status add_merge_text(struct build *build)
{
    const char *at = build->source->merge_text;
    const char *end = at + build->source->merge_text_bytes;
    size_t lines = 1;
    for (const char *p = at; p < end; p++)
        lines += *p == '\n';
    enum snug_status status = reserve_merges(build, lines);
    size_t rank = 0;
    for (bool first = true; at < end && status == SNUG_STATUS_OK; first = false) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        const char *line = at;
        at = newline ? newline + 1 : end;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        if (length == 0 || (first && length >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        status = add_merge_line(build, line, length, rank++);
    }
    return status;
}

enum snug_status snug_tokenizer_build(const struct snug_tokenizer_source *source,
                                      struct snug_tokenizer **out, struct snug_error *error)
{
    struct snug_tokenizer *tokenizer = snug_calloc(source->allocator, 1, sizeof(*tokenizer));
    if (!tokenizer)
        return snug_error_memory(error, sizeof(*tokenizer), "the tokenizer");
    tokenizer->allocator = source->allocator;
    tokenizer->nfc = source->nfc;
    tokenizer->ignore_merges = source->ignore_merges;
    tokenizer->pattern = source->pattern;
    struct build build = {.source = source, .tokenizer = tokenizer, .error = error};
    enum snug_status status = measure(&build);
    if (status == SNUG_STATUS_OK)
        status = reserve(&build);
    if (status == SNUG_STATUS_OK)
        status = build_added(&build);
    if (status == SNUG_STATUS_OK)
        status = claim_added(&build);
    if (status == SNUG_STATUS_OK)
        status = claim_entries(&build);
    if (status == SNUG_STATUS_OK)
        status = fill(&build);
    if (status == SNUG_STATUS_OK)
        status = source->merge_array ? add_merge_array(&build) : add_merge_text(&build);
    if (status == SNUG_STATUS_OK)
        status =
            snug_splitter_init(&tokenizer->splitter, source->pattern, source->allocator, error);
    snug_free(source->allocator, build.scratch);
    if (status != SNUG_STATUS_OK) {
        snug_tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return SNUG_STATUS_OK;
}
