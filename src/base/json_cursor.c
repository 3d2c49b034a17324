/* A walk over the text of a JSON value. The grammar is RFC 8259's; where that leaves room (numbers
 * beyond int64, U+0000, lone surrogates) the rule is jansson's with snug's options.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/json_cursor.h"

#include "base/text.h"

#include <string.h>

int snug_json_next(struct snug_json_cursor *cursor, size_t index, char closing)
{
    char c = snug_json_peek(cursor);
    if (c == closing) {
        cursor->text++;
        return 0;
    }
    if (index > 0) {
        if (c != ',')
            return -1;
        cursor->text++;
        c = snug_json_peek(cursor);
    }
    return c == 0 || c == closing ? -1 : 1;
}

/* ---- strings ---- */

/* Four hexadecimal digits, -1 if they are not. */
static int32_t hex4(const char *text, const char *end)
{
    int32_t value = 0;
    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = snug_ascii_lower(text[i]);
        if (snug_ascii_is_digit(c))
            value = value * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* The code point of "\uXXXX", or of two of them that are a surrogate pair; 0 if it is none. *at:
 * behind the backslash, then behind the escape. */
static uint32_t unicode_escape(const char **at, const char *end)
{
    int32_t high = hex4(*at + 1, end), low = -1;
    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF))
        return 0;
    *at += 5;
    if (high < 0xD800 || high > 0xDBFF)
        return (uint32_t)high;
    if (end - *at >= 2 && (*at)[0] == '\\' && (*at)[1] == 'u')
        low = hex4(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0;
    *at += 6;
    return 0x10000u + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
}

/* The bytes of one escape; 0 if it is none. *at: behind the backslash, then behind the escape. */
static size_t escape(const char **at, const char *end, unsigned char out[4])
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (*at == end || **at == '\0')
        return 0;
    if (**at == 'u') {
        uint32_t code_point = unicode_escape(at, end);
        return code_point ? (size_t)snug_utf8_encode(code_point, out) : 0;
    }
    const char *letter = strchr(letters, **at);
    if (!letter)
        return 0;
    ++*at;
    out[0] = (unsigned char)bytes[letter - letters];
    return 1;
}

/* The rest of a string from its first escape on; at: where that is. */
static bool take_escaped(struct snug_json_cursor *cursor, const char *at, const char **string,
                         size_t *length)
{
    char *out = cursor->scratch + cursor->scratch_used;
    size_t room = cursor->scratch_bytes - cursor->scratch_used;
    size_t used = (size_t)(at - cursor->text);
    if (used <= room && used > 0)
        memcpy(out, cursor->text, used);
    while (used <= room && at < cursor->end && (unsigned char)*at >= 0x20 && *at != '"') {
        unsigned char bytes[4] = {(unsigned char)*at++};
        size_t count = bytes[0] == '\\' ? escape(&at, cursor->end, bytes) : 1;
        if (count == 0)
            return false;
        if (count <= room - used)
            memcpy(out + used, bytes, count);
        used += count;
    }
    cursor->too_long = used > room;
    if (cursor->too_long || at == cursor->end || *at != '"')
        return false;
    cursor->text = at + 1;
    cursor->scratch_used += used;
    *string = out;
    *length = used;
    return true;
}

bool snug_json_take_string(struct snug_json_cursor *cursor, const char **string, size_t *length)
{
    if (!snug_json_take(cursor, '"'))
        return false;
    const char *at = cursor->text, *end = cursor->end;
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
        at++;
    if (at == end || (unsigned char)*at < 0x20)
        return false;
    if (*at == '\\')
        return take_escaped(cursor, at, string, length);
    *string = cursor->text;
    *length = (size_t)(at - cursor->text);
    cursor->text = at + 1;
    return true;
}

/* ---- numbers ---- */

bool snug_json_take_integer(struct snug_json_cursor *cursor, int64_t *value)
{
    char c = snug_json_peek(cursor);
    const char *at = cursor->text, *end = cursor->end;
    int64_t number = 0;
    bool negative = c == '-';
    at += negative;
    const char *digits = at;
    for (; at < end && snug_ascii_is_digit(*at); at++) {
        int digit = *at - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number))
            return false;
    }
    if (at == digits || (*digits == '0' && at - digits > 1))
        return false;
    if (at < end && (*at == '.' || *at == 'e' || *at == 'E'))
        return false;
    cursor->text = at;
    *value = number;
    return true;
}

/* ---- any value ---- */

/* Behind the closing quotation mark of the string whose first character is at `at`; the end if it
 * has none. */
static const char *string_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end ? at + 1 : end;
}

bool snug_json_skip(struct snug_json_cursor *cursor, struct snug_json_span *span)
{
    char first = snug_json_peek(cursor);
    const char *at = cursor->text, *end = cursor->end;
    size_t depth = 0, elements = 0;
    bool closed = false, empty = true; /* empty: no element begun at depth 1 */
    if (first == 0)
        return false;
    while (at < end && !closed) {
        char c = *at;
        if (depth == 0 && at != cursor->text &&
            (c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r'))
            break; /* a number or a literal ends here */
        at++;
        if (c == '"') {
            at = string_end(at, end);
            closed = depth == 0;
            empty = false;
        } else if (c == '{' || c == '[') {
            if (depth++ == 1)
                empty = false;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            closed = --depth == 0;
        } else if (c == ',') {
            elements += depth == 1;
        } else if (depth == 1 && c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            empty = false;
        }
    }
    if (depth > 0)
        return false;
    *span = (struct snug_json_span){cursor->text, (size_t)(at - cursor->text),
                                    elements + (empty ? 0 : 1)};
    cursor->text = at;
    return true;
}
