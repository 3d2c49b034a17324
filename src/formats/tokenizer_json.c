/* tokenizer.json: recognises the two pipelines we know, refuses any other by name.
 *
 *     normalizer      null, NFC, or a Sequence of these
 *     pre_tokenizer   Sequence [Split(one of the two regexes, Isolated), ByteLevel(no prefix, no
 * regex)] model           BPE without dropout, affixes, byte fallback; ignore_merges read
 *     post_processor  null, ByteLevel, TemplateProcessing or a Sequence of them: the template's
 * first special token is remembered; encoding never prepends it decoder         ByteLevel
 *
 * The vocabulary and the list of merges, 300,000 values, never become jansson's: the file is walked
 * for the two, and jansson is given the rest with {} and [] in their place. It judges that rest,
 * the cursor (base/json_cursor.h) judges the two. If both are content, so would jansson be with the
 * whole. If not, it is asked about the whole, for the message.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

/* ---- the two large members ---- */

struct cut {
    struct snug_json_span vocabulary, merges; /* no text: not found */
    char *rest;                               /* owned */
    size_t rest_bytes;
};

/* The next member of an object, its key one of the two or neither; false at the end of the object,
 * or if the text is not well formed. The cursor then stands before the value. */
static bool next_member(struct snug_json_cursor *cursor, size_t index, const char *const keys[2],
                        int *which)
{
    struct snug_json_span span;
    char scratch[32];
    const char *key;
    size_t length;
    if (snug_json_next(cursor, index, '}') <= 0 || *cursor->text != '"' ||
        !snug_json_skip(cursor, &span))
        return false;
    /* A key of our own fits into the scratch however it is written. */
    struct snug_json_cursor inner = {.text = span.text,
                                     .end = span.text + span.bytes,
                                     .scratch = scratch,
                                     .scratch_bytes = sizeof(scratch)};
    *which = 2;
    if (snug_json_take_string(&inner, &key, &length))
        for (*which = 0; *which < 2; ++*which)
            if (keys[*which] && strlen(keys[*which]) == length &&
                memcmp(keys[*which], key, length) == 0)
                break;
    return snug_json_take(cursor, ':') && snug_json_peek(cursor) != 0;
}

static bool find_in_model(struct snug_json_cursor *cursor, struct cut *cut)
{
    static const char *const keys[2] = {"vocab", "merges"};
    struct snug_json_span *const found[2] = {&cut->vocabulary, &cut->merges};
    struct snug_json_span span;
    int which;
    cursor->text++; /* the bracket */
    for (size_t i = 0; next_member(cursor, i, keys, &which); i++) {
        bool ours = which < 2 && *cursor->text == "{["[which] && !found[which]->text;
        if (!snug_json_skip(cursor, ours ? found[which] : &span))
            return false;
    }
    return true;
}

static void find_members(const char *json, size_t length, struct cut *cut)
{
    static const char *const keys[2] = {"model", NULL};
    struct snug_json_cursor cursor = {.text = json, .end = json + length};
    struct snug_json_span span;
    int which;
    if (!snug_json_take(&cursor, '{'))
        return;
    for (size_t i = 0; next_member(&cursor, i, keys, &which); i++)
        if (which == 0 && *cursor.text == '{' ? !find_in_model(&cursor, cut)
                                              : !snug_json_skip(&cursor, &span))
            return;
}

/* Errors: MEMORY. */
static enum snug_status cut_members(const char *json, size_t length, struct cut *cut,
                                    const struct snug_allocator *allocator,
                                    struct snug_error *error)
{
    find_members(json, length, cut);
    const struct snug_json_span *spans[2] = {&cut->vocabulary, &cut->merges};
    if (spans[0]->text && spans[1]->text && spans[1]->text < spans[0]->text) {
        spans[0] = &cut->merges;
        spans[1] = &cut->vocabulary;
    }
    size_t room = length - spans[0]->bytes - spans[1]->bytes + 4;
    cut->rest = snug_alloc(allocator, room);
    if (!cut->rest)
        return snug_error_memory(error, room, "the tokenizer");
    const char *at = json;
    for (int i = 0; i < 2; i++) {
        if (!spans[i]->text)
            continue;
        size_t before = (size_t)(spans[i]->text - at);
        memcpy(cut->rest + cut->rest_bytes, at, before);
        memcpy(cut->rest + cut->rest_bytes + before, *spans[i]->text == '{' ? "{}" : "[]", 2);
        cut->rest_bytes += before + 2;
        at = spans[i]->text + spans[i]->bytes;
    }
    size_t after = length - (size_t)(at - json);
    memcpy(cut->rest + cut->rest_bytes, at, after);
    cut->rest_bytes += after;
    return SNUG_STATUS_OK;
}

/* ---- the rest ---- */

static const char *type_of(json_t *object)
{
    if (!object || json_is_null(object))
        return "null";
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "(no type)";
}

static bool is_type(json_t *object, const char *type)
{
    return strcmp(type_of(object), type) == 0;
}

static enum snug_status unsupported(const struct snug_tokenizer_source *source, const char *part,
                                    const char *found, const char *wanted, struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, "%s: %s \"%.160s\" is not supported (%s)",
                          source->name, part, found, wanted);
}

static enum snug_status read_normalizer(struct snug_tokenizer_source *source, json_t *normalizer,
                                        int depth, struct snug_error *error)
{
    static const char wanted[] = "NFC or none";
    if (is_type(normalizer, "null"))
        return SNUG_STATUS_OK;
    if (is_type(normalizer, "NFC")) {
        source->nfc = true;
        return SNUG_STATUS_OK;
    }
    json_t *list = json_object_get(normalizer, "normalizers");
    if (!is_type(normalizer, "Sequence") || !json_is_array(list) || depth > 0)
        return unsupported(source, "normalizer", type_of(normalizer), wanted, error);
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum snug_status status =
            read_normalizer(source, json_array_get(list, i), depth + 1, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_split(struct snug_tokenizer_source *source, json_t *split,
                                   struct snug_error *error)
{
    static const char wanted[] = "the pattern of Qwen2 or of Llama-3";
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (!is_type(split, "Split"))
        return unsupported(source, "pre_tokenizer", type_of(split), "Split, then ByteLevel", error);
    if (!behavior || strcmp(behavior, "Isolated") != 0 ||
        json_is_true(json_object_get(split, "invert")))
        return unsupported(source, "split behavior", behavior ? behavior : "(none)",
                           "Isolated, not inverted", error);
    source->pattern = snug_pattern_from_regex(regex ? regex : "");
    if (source->pattern == SNUG_PATTERN_COUNT)
        return unsupported(source, "split pattern", regex ? regex : "(no regex)", wanted, error);
    return SNUG_STATUS_OK;
}

static enum snug_status read_pre_tokenizer(struct snug_tokenizer_source *source, json_t *pre,
                                           struct snug_error *error)
{
    static const char wanted[] = "Split, then ByteLevel";
    json_t *list = json_object_get(pre, "pretokenizers");
    if (!is_type(pre, "Sequence") || json_array_size(list) != 2)
        return unsupported(source, "pre_tokenizer", type_of(pre), wanted, error);
    enum snug_status status = read_split(source, json_array_get(list, 0), error);
    if (status != SNUG_STATUS_OK)
        return status;
    json_t *level = json_array_get(list, 1);
    if (!is_type(level, "ByteLevel"))
        return unsupported(source, "pre_tokenizer", type_of(level), wanted, error);
    bool prefix = true, regex = true; /* the reference's defaults */
    status = snug_json_get_bool(level, "add_prefix_space", &prefix, source->name, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_get_bool(level, "use_regex", &regex, source->name, error);
    if (status == SNUG_STATUS_OK && (prefix || regex))
        return unsupported(source, "pre_tokenizer",
                           prefix ? "ByteLevel with add_prefix_space" : "ByteLevel with use_regex",
                           "both false", error);
    return status;
}

static enum snug_status read_model(struct snug_tokenizer_source *source, json_t *model,
                                   const struct cut *cut, struct snug_error *error)
{
    if (!json_is_object(model))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: model is not an object",
                              source->name);
    if (json_object_get(model, "type") && !is_type(model, "BPE"))
        return unsupported(source, "model", type_of(model), "BPE", error);
    double dropout = 0;
    const char *prefix = "", *suffix = "";
    bool fallback = false;
    enum snug_status status = snug_json_get_double(model, "dropout", &dropout, source->name, error);
    if (status == SNUG_STATUS_OK)
        status =
            snug_json_get_string(model, "continuing_subword_prefix", &prefix, source->name, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_get_string(model, "end_of_word_suffix", &suffix, source->name, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_get_bool(model, "byte_fallback", &fallback, source->name, error);
    if (status == SNUG_STATUS_OK)
        status =
            snug_json_get_bool(model, "ignore_merges", &source->ignore_merges, source->name, error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (dropout != 0)
        return unsupported(source, "model", "BPE with dropout", "none", error);
    if (*prefix || *suffix)
        return unsupported(source, "model affix", *prefix ? prefix : suffix, "none", error);
    if (fallback)
        return unsupported(source, "model", "BPE with byte_fallback", "byte symbols", error);
    source->vocabulary = cut->vocabulary;
    source->merge_list = cut->merges;
    if (!cut->vocabulary.text || !cut->merges.text)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: model.vocab must be an object and model.merges a list",
                              source->name);
    return SNUG_STATUS_OK;
}

static enum snug_status read_post_processor(struct snug_tokenizer_source *source, json_t *post,
                                            int depth, struct snug_error *error)
{
    static const char wanted[] = "ByteLevel, TemplateProcessing or none";
    if (is_type(post, "null") || is_type(post, "ByteLevel"))
        return SNUG_STATUS_OK;
    if (is_type(post, "TemplateProcessing")) {
        json_t *first = json_array_get(json_object_get(post, "single"), 0);
        source->bos =
            json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));
        return SNUG_STATUS_OK;
    }
    json_t *list = json_object_get(post, "processors");
    if (!is_type(post, "Sequence") || !json_is_array(list) || depth > 0)
        return unsupported(source, "post_processor", type_of(post), wanted, error);
    for (size_t i = 0; i < json_array_size(list); i++) {
        enum snug_status status =
            read_post_processor(source, json_array_get(list, i), depth + 1, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_added(struct snug_tokenizer_source *source, json_t *list,
                                   struct snug_error *error)
{
    if (!list || json_is_null(list))
        return SNUG_STATUS_OK;
    if (!json_is_array(list))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: added_tokens is not a list",
                              source->name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *object = json_array_get(list, i);
        json_t *content = json_object_get(object, "content");
        if (!json_is_string(content) || !json_is_integer(json_object_get(object, "id")))
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: added_tokens[%zu] lacks an id or a content", source->name,
                                  i);
        int64_t id = 0;
        struct snug_added_token token = {.content = json_string_value(content),
                                         .length = json_string_length(content)};
        enum snug_status status =
            snug_json_get_int(object, "id", 0, INT32_MAX - 1, &id, source->name, error);
        token.id = (int32_t)id;
        if (status == SNUG_STATUS_OK)
            status = snug_added_token_read_flags(object, &token, source->name, error);
        if (status == SNUG_STATUS_OK)
            status = snug_tokenizer_source_add(source, &token, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status load_root(struct snug_tokenizer_source *source, const struct cut *cut,
                                  json_t *root, struct snug_tokenizer **out,
                                  struct snug_error *error)
{
    if (!json_is_object(root))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: not a JSON object", source->name);
    json_t *decoder = json_object_get(root, "decoder");
    enum snug_status status = read_model(source, json_object_get(root, "model"), cut, error);
    if (status == SNUG_STATUS_OK)
        status = read_normalizer(source, json_object_get(root, "normalizer"), 0, error);
    if (status == SNUG_STATUS_OK)
        status = read_pre_tokenizer(source, json_object_get(root, "pre_tokenizer"), error);
    if (status == SNUG_STATUS_OK)
        status = read_post_processor(source, json_object_get(root, "post_processor"), 0, error);
    if (status == SNUG_STATUS_OK && !is_type(decoder, "ByteLevel"))
        status = unsupported(source, "decoder", type_of(decoder), "ByteLevel", error);
    if (status == SNUG_STATUS_OK)
        status = read_added(source, json_object_get(root, "added_tokens"), error);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_build(source, out, error);
    return status;
}

enum snug_status snug_tokenizer_load_json(const char *json, size_t length, const char *name,
                                          const struct snug_allocator *allocator,
                                          struct snug_tokenizer **out, struct snug_error *error)
{
    struct snug_tokenizer_source source = {.name = name, .allocator = allocator};
    struct cut cut = {.rest = NULL};
    json_t *root = NULL;
    if (length > SNUG_MAX_TOKENIZER_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: %zu bytes (at most %u)", name, length,
                              SNUG_MAX_TOKENIZER_BYTES);
    json = length > 0 ? json : "";
    enum snug_status status = cut_members(json, length, &cut, allocator, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_parse(cut.rest, cut.rest_bytes, false, name, &root, error);
    snug_free(allocator, cut.rest);
    if (status == SNUG_STATUS_OK)
        status = load_root(&source, &cut, root, out, error);
    snug_tokenizer_source_free(&source);
    json_decref(root);
    return snug_tokenizer_explain(status, json, length, name, error);
}
