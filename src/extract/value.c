/* Absent values and lists.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/value.h"

#include "base/text.h"

#include <string.h>

/* Bytes of white space at text[0..length), 0 if it starts with something else. */
static size_t space_at(const unsigned char *text, size_t length)
{
    if (length >= 1 && (snug_ascii_is_space((char)text[0]) || text[0] == '\0'))
        return 1;
    if (length >= 2 && text[0] == 0xc2 && text[1] == 0xa0)
        return 2;
    if (length >= 3 && ((text[0] == 0xe2 && text[1] == 0x80 && text[2] == 0x8b) ||
                        (text[0] == 0xef && text[1] == 0xbb && text[2] == 0xbf)))
        return 3;
    return 0;
}

void snug_value_trim(const char *text, size_t *start, size_t *end)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t step;
    while (*start < *end && (step = space_at(bytes + *start, *end - *start)) > 0)
        *start += step;
    while (*start < *end) {
        size_t length = *end - *start, before = length;
        for (size_t width = 1; width <= 3 && width <= length; width++)
            if (space_at(bytes + *end - width, width) == width) {
                *end -= width;
                length = 0;
                break;
            }
        if (length == before)
            break;
    }
}

static bool dash_run(const unsigned char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        if (text[at] == '-' || text[at] == '_' || text[at] == '.')
            at++;
        else if (length - at >= 3 && text[at] == 0xe2 &&
                 ((text[at + 1] == 0x80 && text[at + 2] >= 0x90 && text[at + 2] <= 0x95) ||
                  (text[at + 1] == 0x88 && text[at + 2] == 0x92)))
            at += 3; /* U+2010..U+2015, U+2212 */
        else
            return false;
    }
    return true;
}

static bool equal_ignore_case(const char *text, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (snug_ascii_lower(text[i]) != snug_ascii_lower(word[i]))
            return false;
    return true;
}

static bool word_byte(char c)
{
    return (unsigned char)c >= 0x80 || snug_ascii_is_digit(c) || c == '_' ||
           (snug_ascii_lower(c) >= 'a' && snug_ascii_lower(c) <= 'z');
}

/* The synonyms, letters and digits alone: "n/a", "N.A." and "NA" are one. */
static bool absent_word(const char *text, size_t length)
{
    static const char *const words[] = {
        "na",        "none",       "null",         "nil",           "nan",
        "empty",     "notfound",   "notavailable", "notprovided",   "notspecified",
        "notshown",  "notvisible", "notpresent",   "notapplicable", "notmentioned",
        "notlisted", "notgiven",   "notstated",    "absent"};
    char letters[16];
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if ((unsigned char)c >= 0x80 || c == '&' || c == '@' || c == '+')
            return false;
        if (!word_byte(c) || c == '_')
            continue;
        if (used == sizeof letters)
            return false;
        letters[used++] = snug_ascii_lower(c);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == used && memcmp(words[i], letters, used) == 0)
            return true;
    return false;
}

bool snug_value_is_absent(const char *text, size_t length, const char *absent)
{
    if (absent == NULL)
        absent = "NOT_FOUND";
    size_t start = 0, end = length;
    snug_value_trim(text, &start, &end);
    if (end - start >= 2 && ((text[start] == '(' && text[end - 1] == ')') ||
                             (text[start] == '[' && text[end - 1] == ']') ||
                             (text[start] == '<' && text[end - 1] == '>'))) {
        start++;
        end--;
        snug_value_trim(text, &start, &end);
    }
    size_t left = end - start, word = strlen(absent);
    if (left == 0 || dash_run((const unsigned char *)text + start, left))
        return true;
    if (left >= word && equal_ignore_case(text + start, absent, word)) {
        if (left == word)
            return true;
        /* A remark may follow a word that no document would print, such as NOT_FOUND. */
        if (strchr(absent, '_') != NULL && !word_byte(text[start + word]))
            return true;
    }
    return left <= 32 && absent_word(text + start, left);
}

bool snug_list_next(const char *list, size_t *offset, const char **item, size_t *length)
{
    const char *from = list + *offset;
    /* After the last item the offset points behind the NUL's place: one past the end. */
    if (*offset > 0 && from[-1] == '\0')
        return false;
    if (*offset == 0 && *from == '\0')
        return false;
    const char *bar = strchr(from, '|');
    size_t span = bar != NULL ? (size_t)(bar - from) : strlen(from);
    size_t start = 0, end = span;
    snug_value_trim(from, &start, &end);
    *item = from + start;
    *length = end - start;
    *offset += span + 1;
    return true;
}

size_t snug_list_count(const char *list)
{
    size_t offset = 0, count = 0, length;
    const char *item;
    while (snug_list_next(list, &offset, &item, &length))
        count++;
    return count;
}
