/* Dates and ranges of dates, in the shapes in which documents and models write them.
 *
 * A text becomes at most six parts, numbers and words, the signs between them dropped; a time of
 * day ends it. Then the order of numbers and month tells what is what.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/normalise.h"

#include "extract/value.h"

#include <stdio.h>
#include <string.h>

#define MOST_DATE_BYTES 80
#define MOST_PARTS 6

struct part {
    int month;  /* 1..12 if it is the name of one, else 0 */
    int number; /* if it is not */
    size_t digits;
};

static bool letter(char c)
{
    return snug_ascii_lower(c) >= 'a' && snug_ascii_lower(c) <= 'z';
}

/* 1..12; 0: a word to pass over (weekday, of, the, at); -1: neither. Months by three letters or
 * more, written out so far ("Sept"). */
static int read_word(const char *word, size_t length)
{
    static const char *const months[] = {"january",   "february", "march",    "april",
                                         "may",       "june",     "july",     "august",
                                         "september", "october",  "november", "december"};
    static const char *const days[] = {"monday", "tuesday",  "wednesday", "thursday",
                                       "friday", "saturday", "sunday"};
    static const char *const others[] = {"of", "the", "st", "nd", "rd", "th", "date", "on"};
    char lower[12];
    if (length >= sizeof lower)
        return -1;
    for (size_t i = 0; i < length; i++)
        lower[i] = snug_ascii_lower(word[i]);
    lower[length] = '\0';
    for (int i = 0; length >= 3 && i < 12; i++)
        if (strncmp(months[i], lower, length) == 0)
            return i + 1;
    for (int i = 0; length >= 3 && i < 7; i++)
        if (strncmp(days[i], lower, length) == 0)
            return 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i], lower) == 0)
            return 0;
    return -1;
}

/* Splits into parts; their number, or -1 if something does not belong into a date. */
static int split_parts(const char *text, size_t length, struct part *parts)
{
    int count = 0;
    size_t at = 0;
    while (at < length) {
        char c = text[at];
        if (snug_ascii_is_digit(c)) {
            struct part part = {0};
            size_t from = at;
            for (; at < length && snug_ascii_is_digit(text[at]); at++) {
                if (++part.digits > 8)
                    return -1;
                part.number = part.number * 10 + (text[at] - '0');
            }
            /* 10:30 is a time, and so is 10 AM: nothing of the date comes behind it. */
            if (at < length && text[at] == ':')
                return count;
            size_t next = at + (at < length && text[at] == ' ');
            if (length - next >= 2 && snug_ascii_lower(text[next + 1]) == 'm' && count > 0 &&
                (snug_ascii_lower(text[next]) == 'a' || snug_ascii_lower(text[next]) == 'p') &&
                (length - next == 2 || !letter(text[next + 2])))
                return count;
            if (count == MOST_PARTS || at - from > 8)
                return -1;
            parts[count++] = part;
        } else if (letter(c)) {
            size_t from = at;
            while (at < length && letter(text[at]))
                at++;
            if (at - from == 1 && (c == 'T' || c == 't') && count == 3)
                return count; /* 2024-05-01T10:30:00 */
            if (at - from == 2 && count > 0 && snug_ascii_lower(c) == 'a' &&
                snug_ascii_lower(text[at - 1]) == 't')
                return count; /* at 10:30 */
            int month = read_word(text + from, at - from);
            if (month < 0 || (month > 0 && count == MOST_PARTS))
                return -1;
            if (month > 0)
                parts[count++] = (struct part){.month = month};
        } else if (strchr(" \t/-.,'", c) != NULL && c != '\0') {
            at++;
        } else if (length - at >= 3 && (memcmp(text + at, "\xe2\x80\x93", 3) == 0 ||
                                        memcmp(text + at, "\xe2\x80\x99", 3) == 0)) {
            at += 3; /* a long dash, or the apostrophe of '24 */
        } else {
            return -1;
        }
    }
    return count;
}

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* year_digits 2: widened. */
static bool make_date(int year, size_t year_digits, int month, int day, struct snug_date *out)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year_digits == 2)
        year += year <= 68 ? 2000 : 1900;
    else if (year_digits != 4)
        return false;
    if (year < 1000 || month < 1 || month > 12 || day < 1)
        return false;
    if (day > lengths[month - 1] + (month == 2 && leap(year)))
        return false;
    *out = (struct snug_date){.year = year, .month = month, .day = day};
    return true;
}

static bool short_number(const struct part *part)
{
    return part->month == 0 && part->digits >= 1 && part->digits <= 2;
}

static bool read_parts(const struct part *p, int count, struct snug_date *out)
{
    if (count == 1 && p[0].month == 0 && p[0].digits == 8) {
        /* 20241231, else 31122024 */
        int number = p[0].number, year = number / 10000;
        return (year >= 1900 && year < 2100 &&
                make_date(year, 4, number / 100 % 100, number % 100, out)) ||
               make_date(number % 10000, 4, number / 10000 % 100, number / 1000000, out);
    }
    if (count != 3)
        return false;
    if (p[1].month > 0) { /* 31 Dec 2024, or 2024 Dec 31 */
        if (short_number(&p[0]) && p[2].month == 0)
            return make_date(p[2].number, p[2].digits, p[1].month, p[0].number, out);
        return p[0].month == 0 && p[0].digits == 4 && short_number(&p[2]) &&
               make_date(p[0].number, 4, p[1].month, p[2].number, out);
    }
    if (p[0].month > 0) /* Dec 31 2024 */
        return short_number(&p[1]) && p[2].month == 0 &&
               make_date(p[2].number, p[2].digits, p[0].month, p[1].number, out);
    if (p[2].month > 0 || !short_number(&p[1]))
        return false;
    if (p[0].digits == 4)
        return short_number(&p[2]) && make_date(p[0].number, 4, p[1].number, p[2].number, out);
    if (!short_number(&p[0]))
        return false;
    return make_date(p[2].number, p[2].digits, p[1].number, p[0].number, out) ||
           make_date(p[2].number, p[2].digits, p[0].number, p[1].number, out);
}

static bool read_date(const char *text, size_t length, struct snug_date *out)
{
    struct part parts[MOST_PARTS];
    if (length > MOST_DATE_BYTES)
        return false;
    int count = split_parts(text, length, parts);
    return count > 0 && read_parts(parts, count, out);
}

bool snug_normalise_date(const char *text, struct snug_date *date)
{
    return read_date(text, strlen(text), date);
}

int64_t snug_date_days(struct snug_date date)
{
    /* Years begin in March, so that the leap day is the last: months then have lengths by
     * formula. */
    int64_t year = date.year - (date.month <= 2), month = (date.month + 9) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 +
           (date.day - 1) + 60;
}

/* ---- ranges ---- */

/* The first day of a range, completed from the second where it lacks its year, or its month too. */
static bool read_first(const char *text, size_t length, struct snug_date second,
                       struct snug_date *out)
{
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (length == 0 || length > MOST_DATE_BYTES)
        return false;
    if (read_date(text, length, out))
        return true;
    struct part parts[MOST_PARTS];
    int count = split_parts(text, length, parts);
    char whole[MOST_DATE_BYTES + 24];
    int used = 0;
    if (count == 2 && (parts[0].month > 0) != (parts[1].month > 0))
        used = snprintf(whole, sizeof whole, "%.*s %04d", (int)length, text, second.year);
    else if (count == 1 && short_number(&parts[0]))
        used = snprintf(whole, sizeof whole, "%.*s %s %04d", (int)length, text,
                        names[second.month - 1], second.year);
    return used > 0 && (size_t)used < sizeof whole && read_date(whole, (size_t)used, out);
}

static bool read_sides(const char *text, size_t left, size_t right, size_t length,
                       struct snug_date *from, struct snug_date *to)
{
    struct snug_date first, second;
    size_t start = 0, end = left;
    snug_value_trim(text, &start, &end);
    if (!read_date(text + right, length - right, &second) ||
        !read_first(text + start, end - start, second, &first))
        return false;
    *from = first;
    *to = second;
    return true;
}

bool snug_normalise_date_range(const char *text, struct snug_date *from, struct snug_date *to)
{
    static const char *const signs[] = {
        " to ", " until ",      " till ",       " through ", " thru ", " and ", " - ", " TO ",
        " To ", "\xe2\x80\x93", "\xe2\x80\x94", "~",         "to",     "-",     "/",   "|"};
    size_t start = 0, length = strlen(text);
    snug_value_trim(text, &start, &length);
    text += start;
    length -= start;
    if (length > 2 * MOST_DATE_BYTES)
        return false;
    static const char *const openings[] = {"from ", "between ", "period ", "for "};
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        size_t width = strlen(openings[i]), at = 0;
        while (at < width && at < length && snug_ascii_lower(text[at]) == openings[i][at])
            at++;
        if (at == width) {
            text += width;
            length -= width;
        }
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t width = strlen(signs[i]);
        for (size_t at = 0; width <= length && at <= length - width; at++)
            if (memcmp(text + at, signs[i], width) == 0 &&
                read_sides(text, at, at + width, length, from, to))
                return true;
    }
    return false;
}
