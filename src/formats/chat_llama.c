/* Chat prompts built natively: Llama-3.2-Vision's two forms (llama-3.2-vision.md, 7).
 *
 * LLAMA: BOS, then per message  <|start_header_id|>ROLE<|end_header_id|>\n\n CONTENT <|eot_id|> ; a
 * picture is <|image|> and nothing else. Without pictures a system block comes first, whether there
 * is a system message or not; with pictures there is none, and no system message either.
 * LLAMA_BASE: BOS, <|image|> a picture, text. Nothing follows: the model continues the text.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat_internal.h"

#include "base/limits.h"
#include "formats/tokenizer_internal.h"

#include <stdio.h>
#include <string.h>

#define BEGIN_OF_TEXT "<|begin_of_text|>"
#define START_HEADER "<|start_header_id|>"
#define END_HEADER "<|end_header_id|>"
#define END_OF_TURN "<|eot_id|>"
#define DEFAULT_DATE "26 Jul 2024"
#define SYSTEM_BEFORE_DATE "\n\nCutting Knowledge Date: December 2023\nToday Date: "
#define SYSTEM_AFTER_DATE "\n\n"
#define NO_SYSTEM "Prompting with images is incompatible with system messages."

/* ---- recognition ---- */

/* Templates that are known, by the digest of their words: their text is another's, or says nothing
 * that the code below does not. A new one: the digest is in the message of a failed golden-check.
 */
static const struct {
    uint64_t digest;
    bool trims;
} known[] = {
    {UINT64_C(0xde4ae1853e5cfb22), false}, /* the hub's, of the 11B and 90B instruct models */
    {UINT64_C(0xae933eb3f5d1e8db),
     true}, /* without tools, every text trimmed: small folders for tests */
    {UINT64_C(0x2af161a27ba2e230),
     true}, /* the same in the words of snug_synth_llama_chat_template */
};

bool snug_chat_llama_recognise(const char *jinja, size_t length, struct snug_chat_format *out)
{
    uint64_t digest;
    if (!snug_chat_digest(jinja, length, &digest))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].digest != digest)
            continue;
        *out = (struct snug_chat_format){.kind = SNUG_CHAT_KIND_LLAMA,
                                         .image_placeholder = SNUG_CHAT_LLAMA_IMAGE,
                                         .trims = known[i].trims};
        return true;
    }
    return false;
}

/* ---- texts ---- */

struct span {
    const char *text;
    size_t bytes;
};

/* What Jinja's trim strips: Unicode's white space, and four separators that Python counts too. */
static bool is_stripped(uint32_t code_point)
{
    return snug_is_white_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

static struct span trimmed(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t start = 0, end = strlen(text);
    uint32_t c = 0;
    int length;
    while (start < end && (length = snug_utf8_decode(bytes + start, end - start, &c)) > 0 &&
           is_stripped(c))
        start += (size_t)length;
    while (end > start) {
        size_t at = end - 1;
        while (at > start && end - at < 4 && (bytes[at] & 0xC0) == 0x80)
            at--;
        length = snug_utf8_decode(bytes + at, end - at, &c);
        if (length < 1 || (size_t)length != end - at || !is_stripped(c))
            break;
        end = at;
    }
    return (struct span){text + start, end - start};
}

/* A text of a turn. */
static struct span turn_text(const struct snug_chat_format *format, const char *text)
{
    return format->trims ? trimmed(text) : (struct span){text, strlen(text)};
}

static const char *bos_of(const struct snug_chat_format *format)
{
    if (format->no_bos)
        return "";
    return format->bos[0] ? format->bos : BEGIN_OF_TEXT;
}

static const char *date_of(const struct snug_chat_format *format)
{
    return format->date[0] ? format->date : DEFAULT_DATE;
}

/* ---- rendering ---- */

static void put_parts(const struct snug_chat_format *format,
                      const struct snug_chat_message *message, struct snug_text *out)
{
    for (size_t i = 0; i < message->part_count; i++) {
        const struct snug_chat_part *part = &message->parts[i];
        if (part->kind == SNUG_CHAT_PART_KIND_IMAGE)
            snug_text_puts(out, SNUG_CHAT_LLAMA_IMAGE);
        if (part->kind != SNUG_CHAT_PART_KIND_TEXT)
            continue; /* a video prints nothing */
        struct span text = turn_text(format, part->text);
        snug_text_append(out, text.text, text.bytes);
    }
}

static enum snug_status render_base(const struct snug_chat_format *format,
                                    const struct snug_chat_message *messages, size_t count,
                                    struct snug_text *out, struct snug_error *error)
{
    if (count != 1 || strcmp(messages[0].role, "user") != 0)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "a base model continues one text: one user message, no system text");
    snug_text_puts(out, bos_of(format));
    put_parts(format, &messages[0], out);
    return snug_text_status(out, error, "the prompt");
}

/* The system message's text. The hub's template trims whatever the content is, and would print a
 * list of parts as Python shows it; the short ones take the first part of a list. */
static enum snug_status system_text_of(const struct snug_chat_format *format,
                                       const struct snug_chat_message *message, struct span *out,
                                       struct snug_error *error)
{
    if (!message->is_string && !format->trims)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "a system message that is a list: the chat template would print it "
                              "as a Python list; give its content as one string");
    if (message->part_count == 0)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, "a system message without content");
    *out =
        trimmed(message->parts[0].kind == SNUG_CHAT_PART_KIND_TEXT ? message->parts[0].text : "");
    return SNUG_STATUS_OK;
}

/* What the turns after the system message hold. */
static enum snug_status look_at_turns(const struct snug_chat_format *format,
                                      const struct snug_chat_message *messages, size_t count,
                                      bool *pictures, struct snug_error *error)
{
    *pictures = false;
    for (size_t i = 0; i < count; i++) {
        const char *role = messages[i].role;
        if (!format->trims && (strcmp(role, "tool") == 0 || strcmp(role, "ipython") == 0))
            return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                                  "a message of role \"%s\": tools are not supported", role);
        for (size_t j = 0; j < messages[i].part_count; j++)
            *pictures |= messages[i].parts[j].kind == SNUG_CHAT_PART_KIND_IMAGE;
    }
    return SNUG_STATUS_OK;
}

static void put_header(struct snug_text *out, const char *role)
{
    snug_text_puts(out, START_HEADER);
    snug_text_puts(out, role);
    snug_text_puts(out, END_HEADER);
}

enum snug_status snug_chat_llama_render(const struct snug_chat_format *format,
                                        const struct snug_chat_message *messages, size_t count,
                                        bool add_generation_prompt, struct snug_text *out,
                                        struct snug_error *error)
{
    struct span system = {"", 0};
    bool pictures;
    if (format->kind == SNUG_CHAT_KIND_LLAMA_BASE)
        return render_base(format, messages, count, out, error);
    if (count == 0)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "Llama's chat template needs a message");
    size_t first = strcmp(messages[0].role, "system") == 0;
    if (first)
        SNUG_TRY(system_text_of(format, &messages[0], &system, error));
    SNUG_TRY(look_at_turns(format, messages + first, count - first, &pictures, error));
    if (pictures && system.bytes > 0)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, NO_SYSTEM);
    snug_text_puts(out, bos_of(format));
    if (!pictures) {
        put_header(out, "system");
        snug_text_puts(out, SYSTEM_BEFORE_DATE);
        snug_text_puts(out, date_of(format));
        snug_text_puts(out, SYSTEM_AFTER_DATE);
        snug_text_append(out, system.text, system.bytes);
        snug_text_puts(out, END_OF_TURN);
    }
    for (size_t i = first; i < count; i++) {
        put_header(out, messages[i].role);
        snug_text_puts(out, "\n\n");
        put_parts(format, &messages[i], out);
        snug_text_puts(out, END_OF_TURN);
    }
    if (add_generation_prompt) {
        put_header(out, "assistant");
        snug_text_puts(out, "\n\n");
    }
    return snug_text_status(out, error, "the prompt");
}

/* ---- ids ---- */

struct frame {
    int32_t start_header, end_header, end_of_turn;
};

static enum snug_status add_header(const struct snug_chat_prompt *prompt, const struct frame *frame,
                                   const char *role)
{
    SNUG_TRY(snug_ids_append(prompt->ids, frame->start_header, 1, prompt->error));
    SNUG_TRY(snug_chat_add_piece(prompt, role, "", 0));
    return snug_ids_append(prompt->ids, frame->end_header, 1, prompt->error);
}

static enum snug_status add_system(const struct snug_chat_format *format,
                                   const struct snug_chat_prompt *prompt, const struct frame *frame,
                                   struct span text)
{
    char before[sizeof(SYSTEM_BEFORE_DATE SYSTEM_AFTER_DATE) + sizeof(format->date)];
    (void)snprintf(before, sizeof(before), SYSTEM_BEFORE_DATE "%s" SYSTEM_AFTER_DATE,
                   date_of(format));
    SNUG_TRY(add_header(prompt, frame, "system"));
    SNUG_TRY(snug_chat_add_piece(prompt, before, text.text, text.bytes));
    return snug_ids_append(prompt->ids, frame->end_of_turn, 1, prompt->error);
}

/* Pictures, then text; `before` is what the frame writes in front of both. */
static enum snug_status add_content(const struct snug_chat_prompt *prompt, const char *before,
                                    size_t images, struct span text)
{
    if (images == 0)
        return snug_chat_add_piece(prompt, before, text.text, text.bytes);
    SNUG_TRY(snug_chat_add_piece(prompt, before, "", 0));
    SNUG_TRY(snug_ids_append(prompt->ids, prompt->image->context, images, prompt->error));
    return snug_chat_add_piece(prompt, "", text.text, text.bytes);
}

static enum snug_status check_prompt(const struct snug_chat_format *format,
                                     const struct snug_chat_prompt *prompt, size_t images,
                                     struct span system)
{
    int32_t context = prompt->image->context;
    if (images > 0 && context < 0)
        return snug_error_set(prompt->error, SNUG_STATUS_USAGE,
                              "a picture, but no token that stands for it");
    if (images > SNUG_MAX_CONTEXT)
        return snug_error_set(prompt->error, SNUG_STATUS_LIMIT, "%zu pictures (at most %d)", images,
                              SNUG_MAX_CONTEXT);
    if (system.bytes > 0 && format->kind == SNUG_CHAT_KIND_LLAMA_BASE)
        return snug_error_set(prompt->error, SNUG_STATUS_UNSUPPORTED,
                              "the prompt of a Llama base model has no place for the text of "
                              "--system; leave it out");
    if (system.bytes > 0 && images > 0)
        return snug_error_set(prompt->error, SNUG_STATUS_UNSUPPORTED,
                              "Llama's chat template refuses the text of --system (\"" NO_SYSTEM
                              "\"); leave it out");
    return SNUG_STATUS_OK;
}

enum snug_status snug_chat_llama_prompt_ids(const struct snug_chat_format *format,
                                            struct snug_chat_prompt *prompt, size_t images,
                                            const char *system_text, const char *user_text)
{
    struct span system = trimmed(system_text ? system_text : "");
    struct span text = turn_text(format, user_text);
    struct frame frame;
    SNUG_TRY(check_prompt(format, prompt, images, system));
    if (!format->no_bos) {
        int32_t bos;
        SNUG_TRY(snug_chat_frame_token(prompt, bos_of(format), &bos));
        SNUG_TRY(snug_ids_append(prompt->ids, bos, 1, prompt->error));
    }
    if (format->kind == SNUG_CHAT_KIND_LLAMA_BASE)
        return add_content(prompt, "", images, text);
    SNUG_TRY(snug_chat_frame_token(prompt, START_HEADER, &frame.start_header));
    SNUG_TRY(snug_chat_frame_token(prompt, END_HEADER, &frame.end_header));
    SNUG_TRY(snug_chat_frame_token(prompt, END_OF_TURN, &frame.end_of_turn));
    if (images == 0)
        SNUG_TRY(add_system(format, prompt, &frame, system));
    SNUG_TRY(add_header(prompt, &frame, "user"));
    SNUG_TRY(add_content(prompt, "\n\n", images, text));
    SNUG_TRY(snug_ids_append(prompt->ids, frame.end_of_turn, 1, prompt->error));
    SNUG_TRY(add_header(prompt, &frame, "assistant"));
    return snug_chat_add_piece(prompt, "\n\n", "", 0);
}
