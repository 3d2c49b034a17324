/* A walk over the text of a JSON value, for values too large for a tree: a tokeniser's 300,000
 * strings cost jansson some 300 bytes each. Nothing is allocated, nothing is kept.
 *
 * What it takes is exactly what snug_json_parse takes (of strings, integers and the signs round
 * them), except that strings are not checked to be UTF-8 and keys not to be unique: both are for
 * the caller, who knows what a string has to be. False, always, means "not well formed here": the
 * cursor then stands anywhere, and the message is for snug_json_parse to give.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_JSON_CURSOR_H
#define SNUG_BASE_JSON_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set text and end, and scratch if strings are read; the rest zero. */
struct snug_json_cursor {
    const char *text, *end; /* the next byte; behind the last one */
    char *scratch;          /* strings with escapes are written here, without them */
    size_t scratch_bytes, scratch_used;
    bool too_long; /* why a string was not taken: no room in the scratch */
};

/* A value inside a longer text. */
struct snug_json_span {
    const char *text; /* NULL: there is none */
    size_t bytes;
    size_t elements; /* of a list or an object */
};

/* The next byte that is no white space, 0 at the end (and for U+0000, which is never well formed).
 */
static inline char snug_json_peek(struct snug_json_cursor *cursor)
{
    for (; cursor->text < cursor->end; cursor->text++) {
        char c = *cursor->text;
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return c;
    }
    return 0;
}
/* Takes this bracket, comma or colon, white space before it allowed. */
static inline bool snug_json_take(struct snug_json_cursor *cursor, char sign)
{
    if (snug_json_peek(cursor) != sign)
        return false;
    cursor->text++;
    return true;
}

/* Behind an opening bracket or an element: 1 if the cursor stands before element `index` (the comma
 * taken), 0 if the bracket is closed (taken), -1 if neither is the case. */
int snug_json_next(struct snug_json_cursor *cursor, size_t index, char closing);

/* A string's characters: in the text itself, or in the scratch from scratch_used on, which grows
 * (the caller sets it back). No NUL is put behind them, and none is among them. */
bool snug_json_take_string(struct snug_json_cursor *cursor, const char **string, size_t *length);
/* An integer within int64; not a number with a fraction or an exponent. */
bool snug_json_take_integer(struct snug_json_cursor *cursor, int64_t *value);
/* Passes over one value. Only strings and brackets are looked at: well-formed text gives the
 * value's true bounds and number of elements, any other gives some bounds. */
bool snug_json_skip(struct snug_json_cursor *cursor, struct snug_json_span *span);

#endif
