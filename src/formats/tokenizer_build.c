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
#define FLAG_ENTRY 64u /* the vocabulary has the id */

/* A line of two of the longest tokens, each byte a symbol of at most two bytes. */
#define UNESCAPED_BYTES ((size_t)4 * SNUG_MAX_TOKEN_BYTES + 1)

struct build {
    const struct snug_tokenizer_source *source;
    struct snug_tokenizer *tokenizer;
    struct snug_error *error;
    size_t entries;         /* of the vocabulary */
    unsigned char *scratch; /* two tokens side by side */
    char *unescaped;        /* [UNESCAPED_BYTES] for cursors */
};

static enum snug_status malformed(const struct build *build, const char *part)
{
    return snug_error_set(build->error, SNUG_STATUS_FORMAT, "%s: the %s is not well-formed JSON",
                          build->source->name, part);
}

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

/* One entry of the vocabulary: its key, without a NUL behind it, and its id. */
struct entry {
    const char *key;
    size_t length;
    int64_t id;
};

static struct snug_json_cursor cursor_of(const struct build *build,
                                         const struct snug_json_span *span)
{
    return (struct snug_json_cursor){.text = span->text + 1, /* behind the bracket */
                                     .end = span->text + span->bytes,
                                     .scratch = build->unescaped,
                                     .scratch_bytes = UNESCAPED_BYTES};
}

/* For messages: as much of a text as they show. */
static int shown(size_t length)
{
    return (int)(length < 64 ? length : 64);
}

/* The next entry; false behind the last one. For a vocabulary that `measure` has found in order. */
static bool next_entry(struct snug_json_cursor *cursor, size_t index, struct entry *entry)
{
    if (snug_json_next(cursor, index, '}') <= 0)
        return false;
    cursor->scratch_used = 0;
    SNUG_ASSERT(snug_json_take_string(cursor, &entry->key, &entry->length) &&
                snug_json_take(cursor, ':') && snug_json_take_integer(cursor, &entry->id));
    return true;
}

static enum snug_status check_id(const struct build *build, const char *content, size_t length,
                                 int64_t id)
{
    if (id < 0)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT, "%s: token \"%.*s\" has id %lld",
                              build->source->name, shown(length), content, (long long)id);
    if (id >= SNUG_MAX_VOCABULARY)
        return snug_error_set(build->error, SNUG_STATUS_LIMIT,
                              "%s: token \"%.*s\" has id %lld (at most %d)", build->source->name,
                              shown(length), content, (long long)id, SNUG_MAX_VOCABULARY - 1);
    return SNUG_STATUS_OK;
}

/* What stands before the cursor, an element of the vocabulary. */
static enum snug_status read_entry(const struct build *build, struct snug_json_cursor *cursor,
                                   struct entry *entry)
{
    const char *name = build->source->name;
    bool string = snug_json_take_string(cursor, &entry->key, &entry->length);
    if (cursor->too_long || (string && entry->length > SNUG_MAX_TOKEN_BYTES))
        return snug_error_set(build->error, SNUG_STATUS_LIMIT,
                              "%s: a vocabulary entry of more than %d bytes", name,
                              SNUG_MAX_TOKEN_BYTES);
    if (!string || !snug_json_take(cursor, ':'))
        return malformed(build, "vocabulary");
    if (entry->length == 0 || !snug_json_take_integer(cursor, &entry->id))
        return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                              "%s: vocabulary entry \"%.*s\" is %s", name, shown(entry->length),
                              entry->key, entry->length == 0 ? "empty" : "not an integer");
    return check_id(build, entry->key, entry->length, entry->id);
}

/* Largest id; each entry by itself. The only pass that meets text it has not seen. */
static enum snug_status measure(struct build *build)
{
    const struct snug_tokenizer_source *source = build->source;
    struct snug_json_cursor cursor = cursor_of(build, &source->vocabulary);
    int64_t size = 0;
    size_t count = 0;
    int more;
    for (; (more = snug_json_next(&cursor, count, '}')) > 0; count++) {
        struct entry entry = {0};
        cursor.scratch_used = 0;
        enum snug_status status = read_entry(build, &cursor, &entry);
        if (status != SNUG_STATUS_OK)
            return status;
        if (entry.id >= size)
            size = entry.id + 1;
    }
    if (more < 0 || cursor.text != cursor.end)
        return malformed(build, "vocabulary");
    if (count > SNUG_MAX_VOCABULARY)
        return snug_error_set(build->error, SNUG_STATUS_LIMIT,
                              "%s: %zu vocabulary entries (at most %d)", source->name, count,
                              SNUG_MAX_VOCABULARY);
    build->entries = count;
    for (size_t i = 0; i < source->added_count; i++) {
        const struct snug_added_token *token = &source->added[i];
        enum snug_status status = check_id(build, token->content, token->length, token->id);
        if (status != SNUG_STATUS_OK)
            return status;
        if (token->id >= size)
            size = token->id + 1;
    }
    build->tokenizer->size = (int32_t)size;
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
    tokenizer->contents_bytes = total;
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
                              shown(twice->length), twice->content);
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
        tokenizer->flags[token->id] = (uint8_t)flags;
    }
    for (size_t i = 0; i < source->added_count; i++) {
        const struct snug_added_token *token = &tokenizer->added_split[i];
        tokenizer->offsets[token->id + 1] = (uint32_t)added_bytes(token, NULL);
    }
    return SNUG_STATUS_OK;
}

static enum snug_status claim_entry(struct build *build, const struct entry *entry)
{
    const char *name = build->source->name, *key = entry->key;
    struct snug_tokenizer *tokenizer = build->tokenizer;
    int id = (int)entry->id, show = shown(entry->length);
    uint8_t *flags = &tokenizer->flags[id];
    const struct snug_added_token *shared =
        snug_added_set_find(&tokenizer->all, key, entry->length);
    if (shared && shared->id != id)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                              "%s: \"%.*s\" has id %d in the vocabulary and %d among the added "
                              "tokens",
                              name, show, key, id, (int)shared->id);
    if (*flags & FLAG_ENTRY)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                              "%s: two vocabulary entries have id %d, one is \"%.*s\"", name, id,
                              show, key);
    if ((*flags & SNUG_TOKEN_FLAG_ADDED) && !shared)
        return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                              "%s: id %d is \"%.*s\" in the vocabulary and another text among the "
                              "added tokens",
                              name, id, show, key);
    size_t length = snug_byte_level_decode(key, entry->length, NULL);
    if (length == SIZE_MAX && !shared)
        return snug_error_set(
            build->error, SNUG_STATUS_FORMAT,
            "%s: vocabulary entry \"%.*s\" (id %d) is not written in byte symbols", name, show, key,
            id);
    *flags |= FLAG_ENTRY | SNUG_TOKEN_FLAG_PRESENT;
    if (length != SIZE_MAX)
        tokenizer->offsets[id + 1] = (uint32_t)length;
    return SNUG_STATUS_OK;
}

static enum snug_status claim_entries(struct build *build)
{
    struct snug_json_cursor cursor = cursor_of(build, &build->source->vocabulary);
    struct entry entry;
    for (size_t i = 0; next_entry(&cursor, i, &entry); i++) {
        enum snug_status status = claim_entry(build, &entry);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status reserve(struct build *build)
{
    struct snug_tokenizer *tokenizer = build->tokenizer;
    size_t size = (size_t)tokenizer->size;
    tokenizer->flags = snug_calloc(tokenizer->allocator, size + 1, 1);
    tokenizer->offsets = snug_calloc(tokenizer->allocator, size + 1, sizeof(*tokenizer->offsets));
    if (!tokenizer->flags || !tokenizer->offsets)
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
    struct snug_json_cursor cursor = cursor_of(build, &source->vocabulary);
    struct entry entry;
    for (size_t i = 0; next_entry(&cursor, i, &entry); i++) {
        size_t length = snug_byte_level_decode(entry.key, entry.length,
                                               tokenizer->bytes + tokenizer->offsets[entry.id]);
        /* Symbols and bytes are one to one: the same bytes are the same key. */
        if (length != SIZE_MAX && !snug_vocabulary_insert(tokenizer, (int32_t)entry.id))
            return snug_error_set(build->error, SNUG_STATUS_FORMAT,
                                  "%s: vocabulary entry \"%.*s\" stands there twice", source->name,
                                  shown(entry.length), entry.key);
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
            build->source->name, rank, shown(left_length), left, shown(right_length), right,
            ids[0] < 0 || ids[1] < 0 ? "has a side that is not in the vocabulary"
                                     : "gives a token that is not in the vocabulary");
    snug_merge_insert(tokenizer, rank,
                      &(struct snug_merge){.left = ids[0], .right = ids[1], .id = ids[2]});
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

/* What stands before the cursor, an element of the list. */
static enum snug_status add_merge_element(struct build *build, struct snug_json_cursor *cursor,
                                          size_t rank)
{
    const char *left, *right;
    size_t left_length, right_length;
    if (snug_json_peek(cursor) == '"') {
        if (!snug_json_take_string(cursor, &left, &left_length))
            return merge_form(build, rank);
        return add_merge_line(build, left, left_length, rank);
    }
    if (!snug_json_take(cursor, '[') || !snug_json_take_string(cursor, &left, &left_length) ||
        !snug_json_take(cursor, ',') || !snug_json_take_string(cursor, &right, &right_length) ||
        !snug_json_take(cursor, ']'))
        return merge_form(build, rank);
    return add_merge(build, left, left_length, right, right_length, rank);
}

static enum snug_status add_merge_list(struct build *build)
{
    const struct snug_json_span *list = &build->source->merge_list;
    struct snug_json_cursor cursor = cursor_of(build, list);
    enum snug_status status = reserve_merges(build, list->elements);
    size_t rank = 0;
    int more = 0;
    for (; status == SNUG_STATUS_OK && (more = snug_json_next(&cursor, rank, ']')) > 0; rank++) {
        cursor.scratch_used = 0;
        status = add_merge_element(build, &cursor, rank);
    }
    if (status == SNUG_STATUS_OK && (more < 0 || cursor.text != cursor.end))
        status = malformed(build, "list of merges");
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

static enum snug_status build_all(struct build *build)
{
    const struct snug_tokenizer_source *source = build->source;
    struct snug_tokenizer *tokenizer = build->tokenizer;
    const struct snug_allocator *allocator = source->allocator;
    build->scratch = snug_alloc(allocator, 2 * (size_t)SNUG_MAX_TOKEN_BYTES);
    build->unescaped = snug_alloc(allocator, UNESCAPED_BYTES);
    if (!build->scratch || !build->unescaped)
        return snug_error_memory(build->error, UNESCAPED_BYTES, "a token");
    enum snug_status status = measure(build);
    if (status == SNUG_STATUS_OK)
        status = reserve(build);
    if (status == SNUG_STATUS_OK)
        status = build_added(build);
    if (status == SNUG_STATUS_OK)
        status = claim_added(build);
    if (status == SNUG_STATUS_OK)
        status = claim_entries(build);
    if (status == SNUG_STATUS_OK)
        status = fill(build);
    if (status == SNUG_STATUS_OK)
        status = source->merge_list.text ? add_merge_list(build) : add_merge_text(build);
    if (status == SNUG_STATUS_OK)
        status = snug_splitter_init(&tokenizer->splitter, source->pattern, allocator, build->error);
    snug_nfc_work_free(&tokenizer->nfc_work, allocator);
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
    enum snug_status status = build_all(&build);
    snug_free(source->allocator, build.unescaped);
    snug_free(source->allocator, build.scratch);
    if (status != SNUG_STATUS_OK) {
        snug_tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return SNUG_STATUS_OK;
}

enum snug_status snug_tokenizer_explain(enum snug_status status, const char *json, size_t length,
                                        const char *name, struct snug_error *error)
{
    json_t *root = NULL;
    struct snug_error syntax = {0};
    if (status == SNUG_STATUS_OK || status == SNUG_STATUS_MEMORY)
        return status;
    enum snug_status found = snug_json_parse(json, length, false, name, &root, &syntax);
    if (found == SNUG_STATUS_OK) {
        json_decref(root);
        return status;
    }
    if (error)
        *error = syntax;
    return found;
}
