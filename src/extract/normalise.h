/* One form for values that mean the same, for comparison only; what is stored stays as it was
 * written. All functions are pure, locale-free and thread-safe.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_NORMALISE_H
#define SNUG_EXTRACT_NORMALISE_H

#include "base/text.h"
#include "extract/schema.h"

/* An amount in cents, rounded half away from zero. Reads currency signs and codes ($, A$, £, €, ¥,
 * AUD, USD, ...), thousands separators (comma, space, apostrophe; also 1.234,56), a minus at either
 * end, brackets and DR for negative, CR for positive. False, *cents untouched: it is no amount. */
bool snug_normalise_money(const char *text, int64_t *cents);

/* A number in ten-thousandths, written as an amount without its signs of money, with an optional
 * "x" behind or before it ("2 x"). False, *ten_thousandths untouched: it is no number. */
bool snug_normalise_number(const char *text, int64_t *ten_thousandths);

struct snug_date {
    int year, month, day;
};
/* A day of the calendar (years 1000 to 9999). Day first: 31/12/2024, 31-12-2024, 31.12.2024, 31 12
 * 2024, 31/12/24, 31-12-24, 31.12.24, 1/2/2024; year first: 2024-12-31, 2024/12/31, 2024.12.31,
 * 20241231; by name: 31 Dec 2024, 31 December 2024, 31-Dec-2024, 31-Dec-24, 31 Dec '24, 31Dec2024,
 * 31st of December 2024, Dec 31, 2024, December 31st 2024, 2024-Dec-31; with a weekday before or a
 * time behind. Two-digit years: 00-68 are 20xx, 69-99 19xx. Month first is read only if day first
 * is impossible (12/31/2024). False, *date untouched: it is no date. */
bool snug_normalise_date(const char *text, struct snug_date *date);
/* Days since 1 January of year 0 of the proleptic Gregorian calendar; for comparing. */
int64_t snug_date_days(struct snug_date date);

/* "d to d", "d - d", also with a long dash, until, through or and, "from" or "between" before; the
 * first day may lack its year, or month and year ("1 - 31 May 2024"). False: it is no range. */
bool snug_normalise_date_range(const char *text, struct snug_date *from, struct snug_date *to);

/* Appends the ASCII digits of text. Returns how many. */
size_t snug_normalise_digits(const char *text, size_t length, struct snug_text *out);

/* Appends text with case folded (Unicode), compatibility left alone, characters decomposed, and
 * every run of white space as one space; none at the ends. Invalid UTF-8 as U+FFFD. */
void snug_normalise_text(const char *text, size_t length, struct snug_text *out);

/* Appends the comparable form of a value of this field: cents, YYYY-MM-DD, digits, or folded text,
 * which is also what a value that cannot be read by its type becomes; items of a list each by its
 * type, with U+001F between. Two values mean the same if these forms are equal. Errors show in
 * out's status. */
void snug_normalise_value(const struct snug_field *field, const char *value, struct snug_text *out);

/* The same for one item of a list (or any text) of the given type. */
void snug_normalise_item(enum snug_field_type type, const char *item, size_t length,
                         struct snug_text *out);

#endif
