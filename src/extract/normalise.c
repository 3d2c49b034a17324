/* Amounts, numbers, texts and whole values; dates are in dates.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/normalise.h"

#include "extract/value.h"

#include <string.h>
#include <utf8proc.h>

/* ---- amounts ---- */

#define MOST_DIGITS 15 /* of an amount or number, all together */

struct span {
    const char *text;
    size_t length;
};

static void trim(struct span *span)
{
    size_t start = 0, end = span->length;
    snug_value_trim(span->text, &start, &end);
    span->text += start;
    span->length = end - start;
}

static bool take_prefix(struct span *span, const char *word)
{
    size_t length = strlen(word);
    if (span->length < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (snug_ascii_lower(span->text[i]) != word[i])
            return false;
    span->text += length;
    span->length -= length;
    trim(span);
    return true;
}

static bool take_suffix(struct span *span, const char *word)
{
    size_t length = strlen(word);
    if (span->length < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (snug_ascii_lower(span->text[span->length - length + i]) != word[i])
            return false;
    span->length -= length;
    trim(span);
    return true;
}

/* Strips currency, signs and brackets from both ends; *negative is flipped for each sign. */
static void strip_signs(struct span *span, bool money, bool *negative)
{
    static const char *const codes[] = {"aud", "usd", "nzd",      "eur",          "gbp",     "cad",
                                        "sgd", "jpy", "chf",      "au$",          "us$",     "nz$",
                                        "a$",  "$",   "\xc2\xa3", "\xe2\x82\xac", "\xc2\xa5"};
    bool minus = false, changed = true;
    while (changed) {
        changed = false;
        if (span->length >= 2 && span->text[0] == '(' && span->text[span->length - 1] == ')') {
            span->text++;
            span->length -= 2;
            trim(span);
            minus = changed = true;
        }
        if (take_prefix(span, "-") || take_prefix(span, "\xe2\x88\x92") ||
            take_prefix(span, "\xe2\x80\x93") || take_suffix(span, "-") ||
            take_suffix(span, "\xe2\x88\x92")) {
            minus = changed = true;
        }
        if (take_prefix(span, "+"))
            changed = true;
        if (money && take_suffix(span, "dr"))
            minus = changed = true;
        if (money && take_suffix(span, "cr"))
            changed = true;
        for (size_t i = 0; money && i < sizeof codes / sizeof *codes; i++)
            if (take_prefix(span, codes[i]) || take_suffix(span, codes[i]))
                changed = true;
    }
    *negative = minus;
}

/* Bytes of the separator of thousands at text: comma, apostrophe, space, U+00A0, U+2019, U+202F. */
static size_t separator_at(const struct span *span, size_t at)
{
    const char *text = span->text + at;
    size_t left = span->length - at;
    if (*text == ',' || *text == '\'' || *text == ' ')
        return 1;
    if (left >= 2 && memcmp(text, "\xc2\xa0", 2) == 0)
        return 2;
    if (left >= 3 && (memcmp(text, "\xe2\x80\x99", 3) == 0 || memcmp(text, "\xe2\x80\xaf", 3) == 0))
        return 3;
    return 0;
}

/* Where the decimals begin: the place of the sign before them, or length if there are none.
 * The last '.' is it, unless there are several; the last ',' is it if one or two digits follow it
 * at the end and every '.' stands before it. */
static size_t decimal_sign(const struct span *span)
{
    size_t dot = span->length, comma = span->length, dots = 0, commas = 0;
    for (size_t i = 0; i < span->length; i++) {
        if (span->text[i] == '.') {
            dot = i;
            dots++;
        } else if (span->text[i] == ',') {
            comma = i;
            commas++;
        }
    }
    size_t behind = span->length - comma; /* the comma and what follows; 0 if there is none */
    if (commas == 1 && (dots == 0 || dot < comma) && (behind == 2 || behind == 3))
        return comma;
    return dots == 1 && (commas == 0 || dot > comma) ? dot : span->length;
}

/* Digits in groups, then decimals, as a whole number of 10^-places; rounds half away from zero. */
static bool read_decimal(const struct span *span, int places, int64_t *out)
{
    size_t sign = decimal_sign(span), digits = 0, group = 0;
    bool grouped = false;
    int64_t value = 0;
    for (size_t i = 0; i < sign;) {
        char c = span->text[i];
        size_t width = c == '.' ? 1 : separator_at(span, i);
        if (snug_ascii_is_digit(c)) {
            if (++digits > MOST_DIGITS)
                return false;
            value = value * 10 + (c - '0');
            group++;
            i++;
        } else if (width > 0) {
            /* Groups of three, after the first also of two (as in India); the first of any size up
             * to 3. */
            if (group == 0 || group > 3 || (grouped && group < 2))
                return false;
            grouped = true;
            group = 0;
            i += width;
        } else {
            return false;
        }
    }
    if (grouped && group != 3)
        return false;
    int read = 0;
    bool round_up = false;
    for (size_t i = sign + 1; i < span->length; i++) {
        char c = span->text[i];
        if (!snug_ascii_is_digit(c) || ++digits > MOST_DIGITS)
            return false;
        if (read < places)
            value = value * 10 + (c - '0');
        else if (read == places)
            round_up = c >= '5';
        read++;
    }
    if (digits == 0)
        return false;
    for (; read < places; read++)
        value *= 10;
    *out = value + (round_up ? 1 : 0); /* below 10^(15 + 4): fits */
    return true;
}

static bool read_amount(struct span span, bool money, int places, int64_t *out)
{
    bool negative = false;
    int64_t value;
    trim(&span);
    if (span.length > 64)
        return false;
    strip_signs(&span, money, &negative);
    if (!money && (take_suffix(&span, "x") || take_prefix(&span, "x")))
        trim(&span);
    if (!read_decimal(&span, places, &value))
        return false;
    *out = negative ? -value : value;
    return true;
}

bool snug_normalise_money(const char *text, int64_t *cents)
{
    return read_amount((struct span){text, strlen(text)}, true, 2, cents);
}

bool snug_normalise_number(const char *text, int64_t *ten_thousandths)
{
    return read_amount((struct span){text, strlen(text)}, false, 4, ten_thousandths);
}

/* ---- text ---- */

size_t snug_normalise_digits(const char *text, size_t length, struct snug_text *out)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        if (snug_ascii_is_digit(text[i])) {
            snug_text_putc(out, text[i]);
            count++;
        }
    return count;
}

static bool is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xa0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200b) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000 || code == 0xfeff;
}

void snug_normalise_text(const char *text, size_t length, struct snug_text *out)
{
    size_t begin = out->length, at = 0;
    bool gap = false;
    while (at < length && out->status == SNUG_STATUS_OK) {
        uint32_t code;
        int step = snug_utf8_decode((const unsigned char *)text + at, length - at, &code);
        if (step <= 0) {
            code = 0xfffd;
            step = step < 0 ? -step : (int)(length - at);
        }
        at += (size_t)step;
        if (is_space(code)) {
            gap = out->length > begin;
            continue;
        }
        if (gap)
            snug_text_putc(out, ' ');
        gap = false;
        if (code < 0x80) {
            snug_text_putc(out, snug_ascii_lower((char)code));
            continue;
        }
        /* One code point at a time: marks stacked in another order stay different, which is rare
         * enough. */
        utf8proc_int32_t folded[8];
        int boundary = 0;
        utf8proc_ssize_t count = utf8proc_decompose_char(
            (utf8proc_int32_t)code, folded, 8, UTF8PROC_CASEFOLD | UTF8PROC_DECOMPOSE, &boundary);
        if (count < 0 || count > 8) {
            snug_text_put_code_point(out, code);
            continue;
        }
        for (utf8proc_ssize_t i = 0; i < count; i++)
            snug_text_put_code_point(out, (uint32_t)folded[i]);
    }
}

/* ---- values ---- */

static void put_date(struct snug_text *out, struct snug_date date)
{
    snug_text_printf(out, "%04d-%02d-%02d", date.year, date.month, date.day);
}

/* text is a copy with a NUL; false if it cannot be read by its type. */
static bool put_typed(enum snug_field_type type, const char *text, size_t length,
                      struct snug_text *out)
{
    int64_t number;
    struct snug_date from, to;
    switch (type) {
    case SNUG_FIELD_TYPE_MONEY:
        if (!snug_normalise_money(text, &number))
            return false;
        snug_text_printf(out, "%lld", (long long)number);
        return true;
    case SNUG_FIELD_TYPE_NUMBER:
        if (!snug_normalise_number(text, &number))
            return false;
        snug_text_printf(out, "%lld", (long long)number);
        return true;
    case SNUG_FIELD_TYPE_DATE:
        if (!snug_normalise_date(text, &from))
            return false;
        put_date(out, from);
        return true;
    case SNUG_FIELD_TYPE_DATE_RANGE:
        if (!snug_normalise_date_range(text, &from, &to))
            return false;
        put_date(out, from);
        snug_text_puts(out, " to ");
        put_date(out, to);
        return true;
    case SNUG_FIELD_TYPE_ID:
        return snug_normalise_digits(text, length, out) > 0;
    default:
        return false;
    }
}

void snug_normalise_item(enum snug_field_type type, const char *item, size_t length,
                         struct snug_text *out)
{
    char copy[512]; /* longer things are no amounts, dates or ids */
    if (length < sizeof copy && memchr(item, '\0', length) == NULL) {
        memcpy(copy, item, length);
        copy[length] = '\0';
        if (put_typed(type, copy, length, out))
            return;
    }
    snug_normalise_text(item, length, out);
}

void snug_normalise_value(const struct snug_field *field, const char *value, struct snug_text *out)
{
    if (field->type != SNUG_FIELD_TYPE_LIST) {
        snug_normalise_item(field->type, value, strlen(value), out);
        return;
    }
    size_t offset = 0, length;
    const char *item;
    for (bool first = true; snug_list_next(value, &offset, &item, &length); first = false) {
        if (!first)
            snug_text_putc(out, '\x1f');
        /* Placeholders are one, however they are written. */
        if (!snug_value_is_absent(item, length, NULL))
            snug_normalise_item(field->item, item, length, out);
    }
}
