/* JSON through jansson, behind limits.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_JSON_H
#define SNUG_BASE_JSON_H

#include "base/text.h"

#include <jansson.h>

/* Parses one JSON value that fills data[0..length) (white space around it allowed). Strict UTF-8,
 * duplicate keys refused, nesting at most SNUG_MAX_JSON_DEPTH (checked before jansson sees it),
 * integers beyond int64 refused, U+0000 in strings allowed if allow_nul (then use
 * json_string_length). `name` stands in the message, with line and column. *out: a new reference,
 * the caller's. jansson's memory comes from the snug_allocator_global() of the moment and goes back
 * to the same one (so what json_dumps returns is not for snug_free: write with snug_json_put_*).
 * Errors: FORMAT, LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_json_parse(const char *data, size_t length, bool allow_nul,
                                                   const char *name, json_t **out,
                                                   struct snug_error *error);

/* Typed look-ups for configuration files. `object` must be an object. A missing or null key leaves
 * *out as it was and is OK (set the default first); a wrong type or a value outside [low, high] is
 * FORMAT, naming file and key. */
SNUG_CHECK_RESULT enum snug_status snug_json_get_int(json_t *object, const char *key, int64_t low,
                                                     int64_t high, int64_t *out, const char *name,
                                                     struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_json_get_double(json_t *object, const char *key,
                                                        double *out, const char *name,
                                                        struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_json_get_bool(json_t *object, const char *key, bool *out,
                                                      const char *name, struct snug_error *error);
/* *out points into the object's own string (NUL-free). */
SNUG_CHECK_RESULT enum snug_status snug_json_get_string(json_t *object, const char *key,
                                                        const char **out, const char *name,
                                                        struct snug_error *error);

/* ---- writing: appends to a snug_text, keys in the order of the calls ---- */
/* A quoted, escaped JSON string: the two-character escapes where they exist, \u00XX for the other
 * control characters, all else as UTF-8 (invalid parts as U+FFFD). NULL writes null. */
void snug_json_put_string(struct snug_text *text, const char *string);
void snug_json_put_string_n(struct snug_text *text, const char *string, size_t length);
/* The fewest digits that read back equal; whole numbers below 1e15 without an exponent; NaN and
 * infinities as null. */
void snug_json_put_double(struct snug_text *text, double value);

#endif
