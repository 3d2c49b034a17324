/* Statuses in words, and the messages that go with them.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct status_row {
    const char *text;
    int exit_code, http_code;
};

static const struct status_row status_table[SNUG_STATUS_COUNT] = {
#define X(name, text, exit_code, http_code) {text, exit_code, http_code},
    SNUG_STATUS_LIST(X)
#undef X
};

static const struct status_row *status_find(enum snug_status status)
{
    SNUG_ASSERT((unsigned)status < SNUG_STATUS_COUNT);
    return &status_table[status];
}

const char *snug_status_text(enum snug_status status)
{
    return status_find(status)->text;
}

int snug_status_exit_code(enum snug_status status)
{
    return status_find(status)->exit_code;
}

int snug_status_http_code(enum snug_status status)
{
    return status_find(status)->http_code;
}

/* Copies text into message so that it is one line of valid UTF-8 whatever file names and bad input
 * bring along: control characters and invalid parts become '?', and what does not fit is cut at a
 * character's boundary and ends in "...". */
static void message_set(char message[SNUG_ERROR_MESSAGE_BYTES], const char *text, size_t length)
{
    const size_t room = SNUG_ERROR_MESSAGE_BYTES - 1;
    size_t out = 0, cut = 0; /* cut: the last boundary that leaves space for the dots */

    for (size_t in = 0; in < length;) {
        uint32_t code_point = 0;
        int count = snug_utf8_decode((const unsigned char *)text + in, length - in, &code_point);
        size_t taken = count > 0 ? (size_t)count : count < 0 ? (size_t)-count : length - in;
        /* C0, DEL and C1, which terminals obey */
        bool plain = count > 0 && code_point >= 0x20 && (code_point < 0x7f || code_point > 0x9f);
        size_t size = plain ? taken : 1;

        if (size > room - out) {
            memcpy(message + cut, "...", 4);
            return;
        }
        if (plain)
            memcpy(message + out, text + in, taken);
        else
            message[out] = '?';
        out += size;
        in += taken;
        if (out <= room - 3)
            cut = out;
    }
    message[out] = '\0';
}

/* Formatted before cleaning, which makes three bytes one at most: what is cut here is cut again. */
#define FORMATTED_BYTES (4 * SNUG_ERROR_MESSAGE_BYTES)

static size_t format_into(char out[FORMATTED_BYTES], const char *format, va_list arguments)
{
    int length = vsnprintf(out, FORMATTED_BYTES, format, arguments);

    if (length < 0) { /* the format itself, rather than nothing */
        length = snprintf(out, FORMATTED_BYTES, "%s", format);
        if (length < 0)
            length = 0;
    }
    return length < FORMATTED_BYTES ? (size_t)length : FORMATTED_BYTES - 1;
}

enum snug_status snug_error_set(struct snug_error *error, enum snug_status status,
                                const char *format, ...)
{
    if (error) {
        char formatted[FORMATTED_BYTES]; /* arguments may point into error->message */
        va_list arguments;

        va_start(arguments, format);
        size_t length = format_into(formatted, format, arguments);
        va_end(arguments);
        error->status = status;
        message_set(error->message, formatted, length);
    }
    return status;
}

enum snug_status snug_error_prefix(struct snug_error *error, enum snug_status status,
                                   const char *format, ...)
{
    if (!error)
        return status;

    char joined[FORMATTED_BYTES + 2 + SNUG_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_into(joined, format, arguments);
    va_end(arguments);

    size_t old = strnlen(error->message, SNUG_ERROR_MESSAGE_BYTES - 1);
    memcpy(joined + length, ": ", 2);
    memcpy(joined + length + 2, error->message, old);
    message_set(error->message, joined, length + 2 + old);
    return error->status;
}

void snug_assert_failed(const char *expression, const char *file, int line)
{
    /* The one place of a library that prints: nobody is left to be told otherwise. */
    fprintf(stderr, "snug: bug: %s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}
