/* Fuzz target: the input as a chat template. What is recognised renders a fixed conversation, or
 * refuses it; the kind of line breaks and a last one do not matter. Seeds: fuzz/corpus/chat,
 * tests/golden/chat/templates, tests/golden/mllama/tiny-b/chat_template.jinja.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const struct snug_chat_format *format)
{
    static const struct snug_chat_part parts[] = {{SNUG_CHAT_PART_KIND_IMAGE, NULL},
                                                  {SNUG_CHAT_PART_KIND_VIDEO, NULL},
                                                  {SNUG_CHAT_PART_KIND_TEXT, " Read. "}};
    static const struct snug_chat_message messages[] = {
        {.role = "user", .parts = parts, .part_count = 3},
        {.role = "assistant", .parts = parts + 2, .part_count = 1, .is_string = true}};
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 10000);
    enum snug_status status = snug_chat_render(format, messages, 2, true, &text, NULL);
    SNUG_ASSERT((status == SNUG_STATUS_OK) == (format->kind != SNUG_CHAT_KIND_UNKNOWN));
    SNUG_ASSERT((status == SNUG_STATUS_OK) == (strstr(snug_text_c(&text), "Read.") != NULL));
    snug_text_free(&text);
}

/* The digest with every "\n" as "\r\n" is the same. */
static void check_line_breaks(const char *data, size_t size)
{
    uint64_t digest = 0, again = 0;
    struct snug_text text;
    if (size > 1 << 14 || memchr(data, '\r', size) || !snug_chat_digest(data, size, &digest))
        return;
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            snug_text_putc(&text, '\r');
        snug_text_putc(&text, data[i]);
    }
    SNUG_ASSERT(snug_chat_digest(snug_text_c(&text), text.length, &again) && digest == again);
    snug_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snug_chat_format format;
    snug_chat_recognise(size ? (const char *)data : "", size, &format);
    SNUG_ASSERT((format.kind == SNUG_CHAT_KIND_UNKNOWN) == (format.reason[0] != '\0'));
    render(&format);
    if (size)
        check_line_breaks((const char *)data, size);
    return 0;
}
