/* The older files of a folder: vocab.json, merges.txt, added_tokens.json, tokenizer_config.json.
 *
 * They carry no pipeline: it is the one of the class that the configuration names. Qwen2Tokenizer
 * means NFC and Qwen2's pattern; a configuration without a class means the same; any other is
 * UNSUPPORTED. Added tokens are those of added_tokens_decoder together with those of
 * added_tokens.json, which must not contradict each other. The latter has no flags: a token is
 * special if the configuration lists it (eos_token, additional_special_tokens, ...) or lists
 * nothing at all, which is the safe reading, since special tokens are what untrusted text cannot
 * bring in.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

struct old_files {
    struct snug_tokenizer_source source;
    json_t *added, *config; /* owned */
    json_t *listed;         /* owned: set of special tokens' contents */
};

static enum snug_status parse_object(const struct snug_blob *blob, const char *folder,
                                     const char *name, json_t **out, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    if (blob->size > SNUG_MAX_TOKENIZER_BYTES)
        status = snug_error_set(error, SNUG_STATUS_LIMIT, "%zu bytes (at most %u)", blob->size,
                                SNUG_MAX_TOKENIZER_BYTES);
    if (status == SNUG_STATUS_OK)
        status = snug_json_parse((const char *)blob->data, blob->size, false, name, out, error);
    if (status == SNUG_STATUS_OK && !json_is_object(*out))
        status = snug_error_set(error, SNUG_STATUS_FORMAT, "%s: not a JSON object", name);
    if (status != SNUG_STATUS_OK)
        return snug_error_prefix(error, status, "%s", folder);
    return SNUG_STATUS_OK;
}

/* The vocabulary is left as text, as in tokenizer_json.c: a tree of it is for the error message. */
static enum snug_status find_vocabulary(const struct snug_blob *vocab,
                                        struct snug_tokenizer_source *source,
                                        struct snug_error *error)
{
    const char *text = vocab->size > 0 ? (const char *)vocab->data : "";
    struct snug_json_cursor cursor = {.text = text, .end = text + vocab->size};
    if (vocab->size > SNUG_MAX_TOKENIZER_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: vocab.json has %zu bytes (at most %u)",
                              source->name, vocab->size, SNUG_MAX_TOKENIZER_BYTES);
    if (snug_json_peek(&cursor) != '{' || !snug_json_skip(&cursor, &source->vocabulary) ||
        snug_json_peek(&cursor) != 0 || cursor.text != cursor.end)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: vocab.json: not a JSON object",
                              source->name);
    return SNUG_STATUS_OK;
}

/* The message for a vocab.json that is no well-formed JSON goes before all others. */
static enum snug_status explain(enum snug_status status, const struct snug_blob *vocab,
                                const char *folder, struct snug_error *error)
{
    struct snug_error syntax = {0};
    if (vocab->size > SNUG_MAX_TOKENIZER_BYTES)
        return status;
    enum snug_status found = snug_tokenizer_explain(status, (const char *)vocab->data, vocab->size,
                                                    "vocab.json", &syntax);
    if (!syntax.message[0])
        return status;
    if (error)
        *error = syntax;
    return snug_error_prefix(error, found, "%s", folder);
}

static enum snug_status check_config(const struct old_files *files, struct snug_error *error)
{
    const char *name = files->source.name;
    const char *class = NULL;
    bool prefix = false;
    enum snug_status status =
        snug_json_get_string(files->config, "tokenizer_class", &class, name, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_get_bool(files->config, "add_prefix_space", &prefix, name, error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (class && strcmp(class, "Qwen2Tokenizer") != 0 && strcmp(class, "Qwen2TokenizerFast") != 0)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: tokenizer_class \"%.64s\" is not supported without a "
                              "tokenizer.json (Qwen2Tokenizer is)",
                              name, class);
    if (prefix)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: add_prefix_space is not supported", name);
    return SNUG_STATUS_OK;
}

/* A token given as a string or as an object with its content; NULL if it is neither. */
static const char *token_content(json_t *token)
{
    if (json_is_object(token))
        token = json_object_get(token, "content");
    return json_string_value(token);
}

static bool list_token(json_t *listed, json_t *token)
{
    const char *content = token_content(token);
    return !content || json_object_set_new_nocheck(listed, content, json_true()) == 0;
}

/* files->listed stays NULL if the configuration lists nothing. */
static enum snug_status read_listed(struct old_files *files, struct snug_error *error)
{
    static const char *const keys[] = {
        "bos_token",           "eos_token", "unk_token",  "sep_token",
        "pad_token",           "cls_token", "mask_token", "additional_special_tokens",
        "extra_special_tokens"};
    json_t *listed = json_object();
    bool fine = listed != NULL;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && fine; i++) {
        json_t *value = json_object_get(files->config, keys[i]);
        if (json_is_array(value)) {
            for (size_t j = 0; j < json_array_size(value) && fine; j++)
                fine = list_token(listed, json_array_get(value, j));
        } else if (json_is_object(value) && !json_object_get(value, "content")) {
            for (void *at = json_object_iter(value); at && fine;
                 at = json_object_iter_next(value, at))
                fine = list_token(listed, json_object_iter_value(at));
        } else {
            fine = list_token(listed, value);
        }
    }
    if (!fine) {
        json_decref(listed);
        return snug_error_memory(error, 0, "added tokens");
    }
    if (json_object_size(listed) > 0)
        files->listed = listed;
    else
        json_decref(listed);
    return SNUG_STATUS_OK;
}

/* An id as a key: decimal digits, no sign. -1 if it is not one. */
static int32_t parse_id(const char *key)
{
    int64_t id = 0;
    size_t digits = 0;
    for (; snug_ascii_is_digit(key[digits]); digits++) {
        id = id * 10 + (key[digits] - '0');
        if (id >= SNUG_MAX_VOCABULARY)
            return -1;
    }
    return digits == 0 || key[digits] != '\0' ? -1 : (int32_t)id;
}

static enum snug_status read_decoder(struct old_files *files, struct snug_error *error)
{
    const char *name = files->source.name;
    json_t *decoder = json_object_get(files->config, "added_tokens_decoder");
    for (void *at = json_object_iter(decoder); at; at = json_object_iter_next(decoder, at)) {
        json_t *value = json_object_iter_value(at);
        json_t *content = json_object_get(value, "content");
        struct snug_added_token token = {.content = json_string_value(content),
                                         .length = json_string_length(content),
                                         .id = parse_id(json_object_iter_key(at))};
        if (token.id < 0 || !token.content)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: added_tokens_decoder \"%.64s\" is no id, or lacks a content",
                                  name, json_object_iter_key(at));
        enum snug_status status = snug_added_token_read_flags(value, &token, name, error);
        if (status == SNUG_STATUS_OK)
            status = snug_tokenizer_source_add(&files->source, &token, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_added_file(struct old_files *files, struct snug_error *error)
{
    struct snug_tokenizer_source *source = &files->source;
    struct snug_added_set known;
    size_t count = source->added_count, twice = 0;
    if (!snug_added_set_init(&known, source->added, count, &twice))
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: added token \"%.64s\" stands there twice", source->name,
                              source->added[twice].content);
    for (void *at = json_object_iter(files->added); at;
         at = json_object_iter_next(files->added, at)) {
        const char *content = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= SNUG_MAX_VOCABULARY)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: added_tokens.json: \"%.64s\" has no id", source->name,
                                  content);
        struct snug_added_token token = {
            .content = content, .length = json_object_iter_key_len(at), .id = (int32_t)id};
        known.tokens = source->added; /* it may have moved */
        const struct snug_added_token *same =
            snug_added_set_find(&known, token.content, token.length);
        if (same && same->id != token.id)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: \"%.64s\" is %d in added_tokens.json and %d in "
                                  "tokenizer_config.json",
                                  source->name, content, (int)token.id, (int)same->id);
        if (same)
            continue;
        token.special = !files->listed || json_object_get(files->listed, content) != NULL;
        enum snug_status status = snug_tokenizer_source_add(source, &token, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_tokenizer_load_files(const struct snug_blob *vocab,
                                           const struct snug_blob *merges,
                                           const struct snug_blob *added,
                                           const struct snug_blob *config, const char *name,
                                           const struct snug_allocator *allocator,
                                           struct snug_tokenizer **out, struct snug_error *error)
{
    struct old_files files = {.source = {.name = name,
                                         .allocator = allocator,
                                         .merge_text = (const char *)merges->data,
                                         .merge_text_bytes = merges->size,
                                         .nfc = true,
                                         .pattern = SNUG_PATTERN_QWEN2}};
    if (merges->size > SNUG_MAX_TOKENIZER_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: merges.txt has %zu bytes (at most %u)",
                              name, merges->size, SNUG_MAX_TOKENIZER_BYTES);
    enum snug_status status = find_vocabulary(vocab, &files.source, error);
    if (status == SNUG_STATUS_OK && added)
        status = parse_object(added, name, "added_tokens.json", &files.added, error);
    if (status == SNUG_STATUS_OK && config)
        status = parse_object(config, name, "tokenizer_config.json", &files.config, error);
    if (status == SNUG_STATUS_OK && config)
        status = check_config(&files, error);
    if (status == SNUG_STATUS_OK)
        status = read_listed(&files, error);
    if (status == SNUG_STATUS_OK)
        status = read_decoder(&files, error);
    if (status == SNUG_STATUS_OK)
        status = read_added_file(&files, error);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_build(&files.source, out, error);
    snug_tokenizer_source_free(&files.source);
    json_decref(files.listed);
    json_decref(files.config);
    json_decref(files.added);
    return explain(status, vocab, name, error);
}
