/* UTF-8, growing text with a maximum, and locale-free helpers.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- UTF-8 ---- */

/* What a lead byte asks for (Unicode table 3-7): length of the sequence, 0 if it cannot lead, and
 * the range of the second byte, which alone rules out overlong forms, surrogates and > U+10FFFF. */
static int lead_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead < 0xf0) {
        if (lead == 0xe0)
            *low = 0xa0;
        if (lead == 0xed)
            *high = 0x9f;
        return 3;
    }
    if (lead < 0xf5) {
        if (lead == 0xf0)
            *low = 0x90;
        if (lead == 0xf4)
            *high = 0x8f;
        return 4;
    }
    return 0;
}

int snug_utf8_decode(const unsigned char *text, size_t length, uint32_t *code_point)
{
    unsigned char low, high;
    int need = lead_length(text[0], &low, &high);

    if (need == 0)
        return -1;
    if (need == 1) {
        *code_point = text[0];
        return 1;
    }
    uint32_t value = text[0] & (0x7fu >> need);
    for (int i = 1; i < need; i++) {
        if ((size_t)i >= length)
            return 0;
        if (text[i] < low || text[i] > high)
            return -i;
        value = value << 6 | (text[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code_point = value;
    return need;
}

int snug_utf8_encode(uint32_t code_point, unsigned char out[4])
{
    SNUG_ASSERT(code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff));
    if (code_point < 0x80) {
        out[0] = (unsigned char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (unsigned char)(0xc0 | code_point >> 6);
        out[1] = (unsigned char)(0x80 | (code_point & 0x3f));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (unsigned char)(0xe0 | code_point >> 12);
        out[1] = (unsigned char)(0x80 | (code_point >> 6 & 0x3f));
        out[2] = (unsigned char)(0x80 | (code_point & 0x3f));
        return 3;
    }
    out[0] = (unsigned char)(0xf0 | code_point >> 18);
    out[1] = (unsigned char)(0x80 | (code_point >> 12 & 0x3f));
    out[2] = (unsigned char)(0x80 | (code_point >> 6 & 0x3f));
    out[3] = (unsigned char)(0x80 | (code_point & 0x3f));
    return 4;
}

bool snug_utf8_valid(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t code_point;
        int count = snug_utf8_decode((const unsigned char *)text + at, length - at, &code_point);
        if (count <= 0)
            return false;
        at += (size_t)count;
    }
    return true;
}

/* ---- growing text ---- */

#define FIRST_CAPACITY 64u

void snug_text_init(struct snug_text *text, const struct snug_allocator *allocator,
                    size_t max_bytes)
{
    *text = (struct snug_text){.allocator = allocator, .max_bytes = max_bytes};
}

void snug_text_free(struct snug_text *text)
{
    if (text->data)
        snug_free(text->allocator, text->data);
    text->data = NULL;
    text->length = text->capacity = 0;
}

void snug_text_clear(struct snug_text *text)
{
    text->length = 0;
    text->status = SNUG_STATUS_OK;
    if (text->data)
        text->data[0] = '\0';
}

/* Room for extra bytes and the NUL, or a status that sticks. */
static bool text_reserve(struct snug_text *text, size_t extra)
{
    if (text->status != SNUG_STATUS_OK)
        return false;
    size_t needed = 0; /* with the NUL */
    if (extra > text->max_bytes - text->length ||
        !snug_add_size(text->length + extra, 1, &needed)) {
        text->status = SNUG_STATUS_LIMIT;
        return false;
    }
    if (needed <= text->capacity)
        return true;

    size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
    while (capacity < needed) {
        if (!snug_mul_size(capacity, 2, &capacity))
            capacity = needed;
    }
    if (text->max_bytes < capacity - 1) /* needed <= max_bytes + 1, so this stays enough */
        capacity = text->max_bytes + 1;
    char *data = snug_realloc_array(text->allocator, text->data, capacity, 1);
    if (!data) {
        text->status = SNUG_STATUS_MEMORY;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void snug_text_append(struct snug_text *text, const void *bytes, size_t length)
{
    if (!text_reserve(text, length))
        return;
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void snug_text_puts(struct snug_text *text, const char *string)
{
    snug_text_append(text, string, strlen(string));
}

void snug_text_putc(struct snug_text *text, char c)
{
    snug_text_append(text, &c, 1);
}

void snug_text_printf(struct snug_text *text, const char *format, ...)
{
    va_list arguments, again;

    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    SNUG_ASSERT(length >= 0);
    if (text_reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

void snug_text_put_code_point(struct snug_text *text, uint32_t code_point)
{
    unsigned char bytes[4];
    int count = snug_utf8_encode(code_point, bytes);

    snug_text_append(text, bytes, (size_t)count);
}

void snug_text_append_lossy(struct snug_text *text, const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    size_t run = 0; /* start of the valid bytes not yet appended */

    for (size_t at = 0; at < length;) {
        uint32_t code_point;
        int count = snug_utf8_decode(in + at, length - at, &code_point);
        if (count > 0) {
            at += (size_t)count;
            continue;
        }
        if (at > run)
            snug_text_append(text, in + run, at - run);
        snug_text_append(text, "\xef\xbf\xbd", 3);
        at += count < 0 ? (size_t)-count : length - at;
        run = at;
    }
    if (length > run)
        snug_text_append(text, in + run, length - run);
}

const char *snug_text_c(const struct snug_text *text)
{
    return text->data ? text->data : "";
}

enum snug_status snug_text_status(const struct snug_text *text, struct snug_error *error,
                                  const char *what)
{
    if (text->status == SNUG_STATUS_LIMIT)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s is longer than %zu bytes", what,
                              text->max_bytes);
    if (text->status != SNUG_STATUS_OK)
        return snug_error_set(error, text->status, "out of memory: %s, after %zu bytes", what,
                              text->length);
    return SNUG_STATUS_OK;
}

/* ---- helpers ---- */

bool snug_ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool snug_ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

char snug_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool snug_text_equal_ignore_case(const char *a, const char *b)
{
    while (*a && snug_ascii_lower(*a) == snug_ascii_lower(*b)) {
        a++;
        b++;
    }
    return snug_ascii_lower(*a) == snug_ascii_lower(*b);
}

bool snug_text_ends_with_ignore_case(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);

    return tail <= length && snug_text_equal_ignore_case(text + length - tail, suffix);
}

const char *snug_format_bytes(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    double value = (double)bytes;
    int unit = 0;

    /* 1023.5 would round to four figures; the next unit's 1.00 says the same */
    while (value >= 1023.5 && unit < 3) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out, 24, "%d B", (int)bytes);
    else
        snprintf(out, 24, "%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[unit]);
    return out;
}

/* The bytes of a unit, 0 if it is none. */
static uint64_t unit_bytes(const char *unit)
{
    static const char letters[] = "kmgt";
    if (!*unit || snug_text_equal_ignore_case(unit, "B"))
        return 1;
    uint64_t binary = 1, decimal = 1;
    for (const char *letter = letters; *letter; letter++) {
        binary *= 1024;
        decimal *= 1000;
        if (snug_ascii_lower(*unit) == *letter)
            return snug_text_equal_ignore_case(unit + 1, "iB")  ? binary
                   : snug_text_equal_ignore_case(unit + 1, "B") ? decimal
                                                                : 0;
    }
    return 0;
}

bool snug_size_parse(const char *text, uint64_t *bytes)
{
    uint64_t whole = 0, part = 0;
    const char *at = text;
    if (!snug_ascii_is_digit(*at))
        return false;
    for (; snug_ascii_is_digit(*at); at++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*at - '0'), &whole))
            return false;
    const char *fraction = *at == '.' ? ++at : NULL;
    while (fraction && snug_ascii_is_digit(*at))
        at++;
    const char *end = at; /* of the digits */
    uint64_t unit = unit_bytes(at + (*at == ' '));
    if (!unit || (*at == ' ' && !at[1]) || (fraction && (fraction == end || unit == 1)))
        return false;
    /* From the last digit on, a tenth at a time: exact but for the dropped part of a byte, however
     * many digits there are. */
    while (fraction && at > fraction)
        part = ((uint64_t)(*--at - '0') * unit + part) / 10;
    if (__builtin_mul_overflow(whole, unit, &whole) || __builtin_add_overflow(whole, part, &whole))
        return false;
    *bytes = whole;
    return true;
}
