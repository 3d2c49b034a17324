/* Chat prompts built natively: InternVL3's two forms, and what all forms share (Llama's two are in
 * chat_llama.c).
 *
 * HF (internvl3.md 8.2), per message:  <|im_start|>ROLE\n CONTENT <|im_end|>\n ; a picture is its
 * placeholder and a line break; no default system prompt.
 * ORIG (8.1): the same turns, "<image>\n" for a picture, and a system sentence of its own in front.
 *
 * Prompts for the model are made of ids, piece by piece between the control tokens, so that nothing
 * a document or a user writes can become a control token.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat_internal.h"

#include "base/json.h"
#include "base/limits.h"
#include "formats/tokenizer_internal.h"

#include <stdio.h>
#include <string.h>

#define ORIG_SYSTEM                                                                                                                         \
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多" \
    "模态大语言模型。"
#define IM_START "<|im_start|>"
#define IM_END "<|im_end|>"
#define LINE "\x1e" /* SNUG_CHAT_ITEM_END */

/* ---- names ---- */

bool snug_chat_kind_parse(const char *name, enum snug_chat_kind *kind)
{
    static const struct {
        const char *name;
        enum snug_chat_kind kind;
    } names[] = {{"internvl-hf", SNUG_CHAT_KIND_INTERNVL_HF},
                 {"internvl-orig", SNUG_CHAT_KIND_INTERNVL_ORIG},
                 {"llama", SNUG_CHAT_KIND_LLAMA},
                 {"llama-base", SNUG_CHAT_KIND_LLAMA_BASE}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i].name) == 0) {
            *kind = names[i].kind;
            return true;
        }
    return false;
}

static bool is_llama(const struct snug_chat_format *format)
{
    return format->kind == SNUG_CHAT_KIND_LLAMA || format->kind == SNUG_CHAT_KIND_LLAMA_BASE;
}

/* ---- recognition ---- */

/* Up to 60 bytes of a template, on one line, with the items' ends as spaces. */
static void quote(char out[64], const char *text, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used < 60; i++)
        out[used++] = (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? ' ' : text[i];
    while (used > 0 && ((unsigned char)out[used - 1] & 0xC0) == 0x80)
        used--; /* do not end inside a character */
    if (used > 0 && (unsigned char)out[used - 1] >= 0xC0)
        used--;
    out[used] = '\0';
}

static bool matches(const char *canonical, const char *placeholder, bool video)
{
    char expected[SNUG_CHAT_CANONICAL_BYTES];
    int length = snprintf(
        expected, sizeof(expected),
        "for $0 in messages" LINE "\"" IM_START LINE "$0.role" LINE "\"\n" LINE
        "if $0.content is string" LINE "$0.content" LINE "else" LINE "for $1 in $0.content" LINE
        "if $1.type == image" LINE "\"%s\n" LINE "%selif $1.type == text" LINE "$1.text" LINE
        "endif" LINE "endfor" LINE "endif" LINE "\"" IM_END "\n" LINE "endfor" LINE
        "if add_generation_prompt" LINE "\"" IM_START "assistant\n" LINE "endif" LINE,
        placeholder, video ? "elif $1.type == video" LINE "\"<video>\n" LINE : "");
    SNUG_ASSERT(length > 0 && (size_t)length < sizeof(expected));
    return strcmp(canonical, expected) == 0;
}

void snug_chat_recognise(const char *jinja, size_t length, struct snug_chat_format *out)
{
    static const char *const placeholders[] = {"<IMG_CONTEXT>", "<image>"};
    char canonical[SNUG_CHAT_CANONICAL_BYTES], part[64];
    const char *at;
    size_t at_length;
    if (snug_chat_llama_recognise(jinja, length, out))
        return;
    *out = (struct snug_chat_format){.kind = SNUG_CHAT_KIND_UNKNOWN};
    if (!snug_chat_canonical(jinja, length, canonical, &at, &at_length)) {
        quote(part, at, at_length);
        (void)snprintf(out->reason, sizeof(out->reason),
                       "the chat template is not one of ours, at \"%s\"", part);
        return;
    }
    for (int i = 0; i < 4; i++) {
        const char *placeholder = placeholders[i / 2];
        if (!matches(canonical, placeholder, i % 2 == 0))
            continue;
        out->kind = SNUG_CHAT_KIND_INTERNVL_HF;
        out->video = i % 2 == 0;
        memcpy(out->image_placeholder, placeholder, strlen(placeholder) + 1);
        return;
    }
    quote(part, canonical, strlen(canonical));
    (void)snprintf(out->reason, sizeof(out->reason),
                   "the chat template prints something else than those we know, it begins \"%s\"",
                   part);
}

/* "chat_template" of a parsed file: a string, or a list of {name, template} with a "default". */
static bool recognise_value(json_t *value, struct snug_chat_format *out)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *entry = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0) {
            value = json_object_get(entry, "template");
            break;
        }
    }
    if (!json_is_string(value))
        return false;
    snug_chat_recognise(json_string_value(value), json_string_length(value), out);
    return true;
}

static enum snug_status recognise_file(const struct snug_folder *folder, const char *name,
                                       struct snug_chat_format *out, bool *found,
                                       struct snug_error *error)
{
    struct snug_blob blob = {0};
    enum snug_status status = snug_folder_read(folder, name, SNUG_MAX_CONFIG_BYTES, &blob, error);
    if (status != SNUG_STATUS_OK) /* a file that is not there is no error */
        return status == SNUG_STATUS_NOT_FOUND ? SNUG_STATUS_OK : status;
    if (strcmp(name, "chat_template.jinja") == 0) {
        snug_chat_recognise((const char *)blob.data, blob.size, out);
        *found = true;
    } else {
        json_t *root = NULL;
        status = snug_json_parse((const char *)blob.data, blob.size, false, name, &root, error);
        if (status == SNUG_STATUS_OK)
            *found = recognise_value(json_object_get(root, "chat_template"), out);
        else
            status = snug_error_prefix(error, status, "%s", folder->path);
        json_decref(root);
    }
    snug_blob_free(&blob);
    return status;
}

/* bos_token of tokenizer_config.json: a string, or an object with a content. */
static enum snug_status read_bos(const struct snug_folder *folder, struct snug_chat_format *out,
                                 struct snug_error *error)
{
    static const char name[] = "tokenizer_config.json";
    struct snug_blob blob = {0};
    json_t *root = NULL;
    enum snug_status status = snug_folder_read(folder, name, SNUG_MAX_CONFIG_BYTES, &blob, error);
    if (status != SNUG_STATUS_OK)
        return status == SNUG_STATUS_NOT_FOUND ? SNUG_STATUS_OK : status;
    status = snug_json_parse((const char *)blob.data, blob.size, false, name, &root, error);
    json_t *value = json_object_get(root, "bos_token");
    if (json_is_object(value))
        value = json_object_get(value, "content");
    const char *bos = json_string_value(value);
    if (status == SNUG_STATUS_OK && bos && strlen(bos) >= sizeof(out->bos))
        status =
            snug_error_set(error, SNUG_STATUS_FORMAT, "%s: bos_token has %zu bytes (at most %zu)",
                           name, strlen(bos), sizeof(out->bos) - 1);
    if (status != SNUG_STATUS_OK)
        status = snug_error_prefix(error, status, "%s", folder->path);
    else if (bos) {
        out->no_bos = *bos == '\0';
        memcpy(out->bos, bos, strlen(bos) + 1);
    }
    json_decref(root);
    snug_blob_free(&blob);
    return status;
}

enum snug_status snug_chat_load(const struct snug_folder *folder, bool original_layout,
                                const struct snug_allocator *allocator,
                                struct snug_chat_format *out, struct snug_error *error)
{
    static const char *const names[] = {"chat_template.jinja", "chat_template.json",
                                        "tokenizer_config.json"};
    (void)allocator; /* the folder's serves */
    struct snug_chat_format format = {.kind = SNUG_CHAT_KIND_UNKNOWN};
    if (original_layout) {
        format.kind = SNUG_CHAT_KIND_INTERNVL_ORIG;
        memcpy(format.image_placeholder, "<image>", sizeof("<image>"));
        *out = format;
        return SNUG_STATUS_OK;
    }
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !found; i++) {
        enum snug_status status = recognise_file(folder, names[i], &format, &found, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    if (format.kind == SNUG_CHAT_KIND_LLAMA)
        SNUG_TRY(read_bos(folder, &format, error));
    if (!found)
        (void)snprintf(format.reason, sizeof(format.reason),
                       "the model folder has no chat template");
    *out = format;
    return SNUG_STATUS_OK;
}

/* ---- rendering ---- */

static enum snug_status check_known(const struct snug_chat_format *format, struct snug_error *error)
{
    if (format->kind != SNUG_CHAT_KIND_UNKNOWN)
        return SNUG_STATUS_OK;
    return snug_error_set(
        error, SNUG_STATUS_UNSUPPORTED,
        "%s; if the model was trained on a prompt that snug knows, choose it with "
        "--chat " SNUG_CHAT_KIND_NAMES,
        format->reason[0] ? format->reason : "no chat template");
}

static void render_part(const struct snug_chat_format *format, const struct snug_chat_part *part,
                        struct snug_text *out)
{
    switch (part->kind) {
    case SNUG_CHAT_PART_KIND_TEXT:
        snug_text_puts(out, part->text);
        break;
    case SNUG_CHAT_PART_KIND_IMAGE:
        snug_text_puts(out, format->image_placeholder);
        snug_text_putc(out, '\n');
        break;
    case SNUG_CHAT_PART_KIND_VIDEO:
        if (format->video)
            snug_text_puts(out, "<video>\n");
        break;
    }
}

enum snug_status snug_chat_render(const struct snug_chat_format *format,
                                  const struct snug_chat_message *messages, size_t count,
                                  bool add_generation_prompt, struct snug_text *out,
                                  struct snug_error *error)
{
    enum snug_status status = check_known(format, error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (is_llama(format))
        return snug_chat_llama_render(format, messages, count, add_generation_prompt, out, error);
    if (format->kind == SNUG_CHAT_KIND_INTERNVL_ORIG &&
        (count == 0 || strcmp(messages[0].role, "system") != 0))
        snug_text_puts(out, IM_START "system\n" ORIG_SYSTEM IM_END "\n");
    for (size_t i = 0; i < count; i++) {
        snug_text_puts(out, IM_START);
        snug_text_puts(out, messages[i].role);
        snug_text_putc(out, '\n');
        for (size_t j = 0; j < messages[i].part_count; j++)
            render_part(format, &messages[i].parts[j], out);
        snug_text_puts(out, IM_END "\n");
    }
    if (add_generation_prompt)
        snug_text_puts(out, IM_START "assistant\n");
    return snug_text_status(out, error, "the prompt");
}

/* ---- ids ---- */

/* One that swallows white space would change the text beside it, which the pieces below do not
 * follow; no model we know has one. */
enum snug_status snug_chat_frame_token(struct snug_chat_prompt *prompt, const char *content,
                                       int32_t *id)
{
    *id = snug_tokenizer_added_id(prompt->tokenizer, content);
    if (*id < 0)
        return snug_error_set(prompt->error, SNUG_STATUS_FORMAT,
                              "the tokenizer lacks the token \"%s\" of the chat format", content);
    const struct snug_added_token *token = snug_tokenizer_added(prompt->tokenizer, *id);
    if (token->lstrip || token->rstrip || token->single_word || token->normalized)
        return snug_error_set(prompt->error, SNUG_STATUS_UNSUPPORTED,
                              "the token \"%s\" strips white space, stands alone or is normalised",
                              content);
    SNUG_ASSERT(prompt->banned_count < SNUG_CHAT_MAX_BANNED);
    prompt->banned[prompt->banned_count++] = *id;
    return SNUG_STATUS_OK;
}

/* The whole is encoded at once, as the border of the two texts is no border for the pre-tokeniser.
 */
enum snug_status snug_chat_add_piece(const struct snug_chat_prompt *prompt, const char *frame,
                                     const char *untrusted, size_t untrusted_bytes)
{
    const struct snug_added_filter filter = {.mode = SNUG_ADDED_TOKENS_NOT_SPECIAL,
                                             .banned = prompt->banned,
                                             .banned_count = prompt->banned_count};
    if (untrusted_bytes > SNUG_MAX_ENCODE_BYTES)
        return snug_error_set(prompt->error, SNUG_STATUS_LIMIT,
                              "a prompt of %zu bytes (at most %u)", untrusted_bytes,
                              SNUG_MAX_ENCODE_BYTES);
    struct snug_text text;
    snug_text_init(&text, prompt->ids->allocator, 2u * SNUG_MAX_ENCODE_BYTES);
    snug_text_puts(&text, frame);
    snug_text_append(&text, untrusted, untrusted_bytes);
    enum snug_status status = snug_text_status(&text, prompt->error, "the prompt");
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_encode_filtered(prompt->tokenizer, snug_text_c(&text), text.length,
                                                &filter, prompt->ids, prompt->error);
    snug_text_free(&text);
    return status;
}

static enum snug_status add_image(const struct snug_chat_prompt *prompt, int64_t tiles)
{
    const struct snug_image_tokens *image = prompt->image;
    if (image->context < 0 || image->per_tile < 1 || tiles < 1)
        return snug_error_set(prompt->error, SNUG_STATUS_USAGE,
                              "a picture of %lld tiles with %lld tokens a tile, token %d",
                              (long long)tiles, (long long)image->per_tile, (int)image->context);
    if (tiles > SNUG_MAX_CONTEXT / image->per_tile)
        return snug_error_set(prompt->error, SNUG_STATUS_LIMIT,
                              "a picture of %lld tiles has more than %d tokens", (long long)tiles,
                              SNUG_MAX_CONTEXT);
    enum snug_status status = SNUG_STATUS_OK;
    if (image->begin >= 0)
        status = snug_ids_append(prompt->ids, image->begin, 1, prompt->error);
    if (status == SNUG_STATUS_OK)
        status = snug_ids_append(prompt->ids, image->context, (size_t)(tiles * image->per_tile),
                                 prompt->error);
    if (status == SNUG_STATUS_OK && image->end >= 0)
        status = snug_ids_append(prompt->ids, image->end, 1, prompt->error);
    return status;
}

/* InternVL's frame. */
struct frame {
    int32_t im_start, im_end;
};

/* One turn: control token, role, pictures, text, control token, line break. */
static enum snug_status add_turn(const struct snug_chat_prompt *prompt, const struct frame *frame,
                                 const char *role, const int64_t *tile_counts, size_t images,
                                 const char *text)
{
    size_t bytes = strlen(text);
    SNUG_TRY(snug_ids_append(prompt->ids, frame->im_start, 1, prompt->error));
    SNUG_TRY(snug_chat_add_piece(prompt, role, text, images > 0 ? 0 : bytes));
    for (size_t i = 0; i < images; i++) {
        SNUG_TRY(add_image(prompt, tile_counts[i]));
        SNUG_TRY(snug_chat_add_piece(prompt, "\n", text, i + 1 < images ? 0 : bytes));
    }
    SNUG_TRY(snug_ids_append(prompt->ids, frame->im_end, 1, prompt->error));
    return snug_chat_add_piece(prompt, "\n", "", 0);
}

static enum snug_status internvl_ids(const struct snug_chat_format *format,
                                     struct snug_chat_prompt *prompt, const int64_t *tile_counts,
                                     size_t images, const char *system_text, const char *user_text)
{
    struct frame frame;
    SNUG_TRY(snug_chat_frame_token(prompt, IM_START, &frame.im_start));
    SNUG_TRY(snug_chat_frame_token(prompt, IM_END, &frame.im_end));
    if (!system_text)
        system_text = format->kind == SNUG_CHAT_KIND_INTERNVL_ORIG ? ORIG_SYSTEM : "";
    if (*system_text)
        SNUG_TRY(add_turn(prompt, &frame, "system\n", NULL, 0, system_text));
    SNUG_TRY(add_turn(prompt, &frame, "user\n", tile_counts, images, user_text));
    SNUG_TRY(snug_ids_append(prompt->ids, frame.im_start, 1, prompt->error));
    return snug_chat_add_piece(prompt, "assistant\n", "", 0);
}

enum snug_status snug_chat_prompt_ids(const struct snug_chat_format *format,
                                      struct snug_tokenizer *tokenizer,
                                      const struct snug_image_tokens *image,
                                      const int64_t *tile_counts, size_t images,
                                      const char *system_text, const char *user_text,
                                      struct snug_ids *ids, struct snug_error *error)
{
    struct snug_chat_prompt prompt = {.tokenizer = tokenizer,
                                      .image = image,
                                      .ids = ids,
                                      .error = error,
                                      .banned = {image->begin, image->context, image->end},
                                      .banned_count = 3};
    SNUG_TRY(check_known(format, error));
    size_t before = ids->count;
    enum snug_status status =
        is_llama(format)
            ? snug_chat_llama_prompt_ids(format, &prompt, images, system_text, user_text)
            : internvl_ids(format, &prompt, tile_counts, images, system_text, user_text);
    if (status != SNUG_STATUS_OK)
        ids->count = before;
    return status;
}
