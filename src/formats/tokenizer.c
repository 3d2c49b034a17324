/* The tokenizer as its users see it: loading from a folder, encoding, look-ups.
 *
 * Encoding: added tokens that are not normalised are found in the text as it is; what lies between
 * them is brought to NFC (if the files say so), searched for the other added tokens, split into
 * chunks by the pattern, and each chunk is merged. "End of text" for the pattern is the end of such
 * a piece. Source: Hugging Face tokenizers; golden ids in tests/golden/tokenizers.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

/* ---- loading ---- */

/* Asking whether a file is there cannot say "out of memory", so it is read, and may be missing. */
static enum snug_status read_optional(const struct snug_folder *folder, const char *name,
                                      size_t max_bytes, struct snug_blob *blob, bool *there,
                                      struct snug_error *error)
{
    enum snug_status status = snug_folder_read(folder, name, max_bytes, blob, error);
    *there = status == SNUG_STATUS_OK;
    return status == SNUG_STATUS_NOT_FOUND ? SNUG_STATUS_OK : status;
}

static enum snug_status load_old(const struct snug_folder *folder,
                                 const struct snug_allocator *allocator,
                                 struct snug_tokenizer **out, struct snug_error *error)
{
    static const struct {
        const char *name;
        size_t max_bytes;
    } files[4] = {
        {"vocab.json", SNUG_MAX_TOKENIZER_BYTES},
        {"merges.txt", SNUG_MAX_TOKENIZER_BYTES},
        {"added_tokens.json", SNUG_MAX_CONFIG_BYTES},
        {"tokenizer_config.json", SNUG_MAX_CONFIG_BYTES},
    };
    struct snug_blob blobs[4] = {0};
    bool there[4] = {false};
    enum snug_status status = SNUG_STATUS_OK;
    for (int i = 0; i < 4 && status == SNUG_STATUS_OK; i++)
        status =
            read_optional(folder, files[i].name, files[i].max_bytes, &blobs[i], &there[i], error);
    if (status == SNUG_STATUS_OK && !(there[0] && there[1]))
        status = snug_error_set(
            error, SNUG_STATUS_NOT_FOUND,
            "%s: there is neither tokenizer.json nor vocab.json with merges.txt", folder->path);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_load_files(&blobs[0], &blobs[1], there[2] ? &blobs[2] : NULL,
                                           there[3] ? &blobs[3] : NULL, folder->path, allocator,
                                           out, error);
    for (int i = 0; i < 4; i++)
        snug_blob_free(&blobs[i]);
    return status;
}

enum snug_status snug_tokenizer_load(const struct snug_folder *folder,
                                     const struct snug_allocator *allocator,
                                     struct snug_tokenizer **out, struct snug_error *error)
{
    struct snug_blob blob = {0};
    bool there;
    enum snug_status status =
        read_optional(folder, "tokenizer.json", SNUG_MAX_TOKENIZER_BYTES, &blob, &there, error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (!there)
        return load_old(folder, allocator, out, error);
    char *name = snug_path_join(allocator, folder->path, "tokenizer.json");
    if (name)
        status = snug_tokenizer_load_json((const char *)blob.data, blob.size, name, allocator, out,
                                          error);
    else
        status = snug_error_memory(error, strlen(folder->path) + 16, "a path");
    snug_blob_free(&blob);
    snug_free(allocator, name);
    return status;
}

void snug_tokenizer_free(struct snug_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    const struct snug_allocator *allocator = tokenizer->allocator;
    snug_bpe_work_free(&tokenizer->bpe_work, allocator);
    snug_nfc_work_free(&tokenizer->nfc_work, allocator);
    snug_splitter_free(&tokenizer->splitter);
    snug_free(allocator, tokenizer->added_split);
    snug_free(allocator, tokenizer->added);
    snug_free(allocator, tokenizer->contents);
    snug_free(allocator, tokenizer->merge_pairs.slots);
    snug_free(allocator, tokenizer->merges);
    snug_free(allocator, tokenizer->tokens.slots);
    snug_free(allocator, tokenizer->bytes);
    snug_free(allocator, tokenizer->offsets);
    snug_free(allocator, tokenizer->flags);
    snug_free(allocator, tokenizer);
}

/* What one block holds: an allocator is never asked for nothing. */
static size_t block(const void *memory, size_t bytes)
{
    return memory ? (bytes ? bytes : 1) : 0;
}

size_t snug_tokenizer_memory_bytes(const struct snug_tokenizer *t)
{
    const struct snug_nfc_work *nfc = &t->nfc_work;
    const struct snug_bpe_work *bpe = &t->bpe_work;
    size_t ids = (size_t)t->size, added = t->all.count * sizeof(*t->added);
    size_t tables = block(t->flags, ids + 1) + block(t->offsets, (ids + 1) * sizeof(*t->offsets)) +
                    block(t->bytes, t->offsets[ids] + 1) +
                    block(t->tokens.slots, t->tokens.count * sizeof(*t->tokens.slots)) +
                    block(t->merges, t->merge_count * sizeof(*t->merges)) +
                    block(t->merge_pairs.slots, t->merge_pairs.count * sizeof(uint32_t));
    size_t contents = block(t->contents, t->contents_bytes) + block(t->added, added) +
                      block(t->added_split, added);
    size_t work = nfc->capacity * sizeof(*nfc->points) + nfc->run_capacity * sizeof(*nfc->run) +
                  nfc->text_capacity + bpe->symbol_capacity * sizeof(*bpe->symbols) +
                  bpe->heap_capacity * sizeof(*bpe->heap);
    return sizeof(*t) + tables + contents + t->splitter.bytes + work;
}

/* ---- look-ups ---- */

int32_t snug_tokenizer_size(const struct snug_tokenizer *tokenizer)
{
    return tokenizer->size;
}

int32_t snug_tokenizer_added_id(const struct snug_tokenizer *tokenizer, const char *content)
{
    const struct snug_added_token *token =
        snug_added_set_find(&tokenizer->all, content, strlen(content));
    return token ? token->id : -1;
}

int32_t snug_tokenizer_bos_id(const struct snug_tokenizer *tokenizer)
{
    return tokenizer->bos_id;
}

bool snug_tokenizer_is_special(const struct snug_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->size && (tokenizer->flags[id] & SNUG_TOKEN_FLAG_SPECIAL);
}

const struct snug_added_token *snug_tokenizer_added(const struct snug_tokenizer *tokenizer,
                                                    int32_t id)
{
    for (size_t i = 0; i < tokenizer->all.count; i++)
        if (tokenizer->all.tokens[i].id == id)
            return &tokenizer->all.tokens[i];
    return NULL;
}

/* ---- ids ---- */

void snug_ids_init(struct snug_ids *ids, const struct snug_allocator *allocator)
{
    *ids = (struct snug_ids){.allocator = allocator};
}

void snug_ids_free(struct snug_ids *ids)
{
    snug_free(ids->allocator, ids->data);
    snug_ids_init(ids, ids->allocator);
}

enum snug_status snug_ids_append(struct snug_ids *ids, int32_t id, size_t times,
                                 struct snug_error *error)
{
    if (times > ids->capacity - ids->count) {
        size_t capacity;
        if (!snug_add_size(ids->count, times, &capacity) ||
            !snug_add_size(capacity, capacity / 2 + 64, &capacity))
            return snug_error_memory(error, SIZE_MAX, "token ids");
        void *grown = snug_realloc_array(ids->allocator, ids->data, capacity, sizeof(*ids->data));
        if (!grown)
            return snug_error_memory(error, capacity * sizeof(*ids->data), "token ids");
        ids->data = grown;
        ids->capacity = capacity;
    }
    for (size_t i = 0; i < times; i++)
        ids->data[ids->count + i] = id;
    ids->count += times;
    return SNUG_STATUS_OK;
}

/* ---- encoding ---- */

/* Text without added tokens, already normalised: chunks, then merges. */
static enum snug_status encode_plain(struct snug_tokenizer *tokenizer, const char *text,
                                     size_t length, struct snug_ids *ids, struct snug_error *error)
{
    for (size_t start = 0, end = 0; start < length; start = end) {
        enum snug_status status =
            snug_splitter_next(&tokenizer->splitter, text, length, start, &end, error);
        if (status == SNUG_STATUS_OK)
            status = snug_bpe_encode(tokenizer, (const unsigned char *)text + start, end - start,
                                     ids, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

typedef enum snug_status piece_fn(struct snug_tokenizer *tokenizer, const char *text, size_t length,
                                  const struct snug_added_filter *filter, struct snug_ids *ids,
                                  struct snug_error *error);

/* Ids of the hits of one set, and whatever `piece` makes of the text between them. */
static enum snug_status encode_between(struct snug_tokenizer *tokenizer,
                                       const struct snug_added_set *set, const char *text,
                                       size_t length, const struct snug_added_filter *filter,
                                       piece_fn *piece, struct snug_ids *ids,
                                       struct snug_error *error)
{
    struct snug_added_scan scan = {.set = set, .filter = filter, .text = text, .length = length};
    struct snug_added_hit hit;
    size_t plain = 0;
    while (filter->mode != SNUG_ADDED_TOKENS_NONE && snug_added_scan_next(&scan, &hit)) {
        enum snug_status status = SNUG_STATUS_OK;
        if (hit.start > plain)
            status = piece(tokenizer, text + plain, hit.start - plain, filter, ids, error);
        if (status == SNUG_STATUS_OK)
            status = snug_ids_append(ids, hit.id, 1, error);
        if (status != SNUG_STATUS_OK)
            return status;
        plain = hit.end;
    }
    if (plain == length)
        return SNUG_STATUS_OK;
    return piece(tokenizer, text + plain, length - plain, filter, ids, error);
}

static enum snug_status normalized_piece(struct snug_tokenizer *tokenizer, const char *text,
                                         size_t length, const struct snug_added_filter *filter,
                                         struct snug_ids *ids, struct snug_error *error)
{
    (void)filter;
    return encode_plain(tokenizer, text, length, ids, error);
}

static enum snug_status raw_piece(struct snug_tokenizer *tokenizer, const char *text, size_t length,
                                  const struct snug_added_filter *filter, struct snug_ids *ids,
                                  struct snug_error *error)
{
    if (tokenizer->nfc) {
        enum snug_status status = snug_nfc(&tokenizer->nfc_work, tokenizer->allocator, text, length,
                                           &text, &length, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return encode_between(tokenizer, &tokenizer->normalized, text, length, filter, normalized_piece,
                          ids, error);
}

/* A hostile text must not leave its work buffers behind. */
static void trim_work(struct snug_tokenizer *tokenizer)
{
    struct snug_nfc_work *nfc = &tokenizer->nfc_work;
    struct snug_bpe_work *bpe = &tokenizer->bpe_work;
    if ((nfc->capacity + nfc->run_capacity) * sizeof(*nfc->points) + nfc->text_capacity >
        SNUG_KEEP_WORK_BYTES)
        snug_nfc_work_free(nfc, tokenizer->allocator);
    if (bpe->symbol_capacity * sizeof(*bpe->symbols) + bpe->heap_capacity * sizeof(*bpe->heap) >
        SNUG_KEEP_WORK_BYTES)
        snug_bpe_work_free(bpe, tokenizer->allocator);
}

enum snug_status snug_tokenizer_encode_filtered(struct snug_tokenizer *tokenizer, const char *text,
                                                size_t length,
                                                const struct snug_added_filter *filter,
                                                struct snug_ids *ids, struct snug_error *error)
{
    if (length > SNUG_MAX_ENCODE_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "a text of %zu bytes to encode (at most %u)", length,
                              SNUG_MAX_ENCODE_BYTES);
    if (length == 0)
        return SNUG_STATUS_OK;
    if (!snug_utf8_valid(text, length))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "the text to encode is not valid UTF-8");
    size_t before = ids->count;
    enum snug_status status =
        encode_between(tokenizer, &tokenizer->raw, text, length, filter, raw_piece, ids, error);
    if (status != SNUG_STATUS_OK)
        ids->count = before;
    trim_work(tokenizer);
    return status;
}

enum snug_status snug_tokenizer_encode(struct snug_tokenizer *tokenizer, const char *text,
                                       size_t length, enum snug_added_tokens added,
                                       struct snug_ids *ids, struct snug_error *error)
{
    struct snug_added_filter filter = {.mode = added};
    return snug_tokenizer_encode_filtered(tokenizer, text, length, &filter, ids, error);
}
