/* From what a model wrote to values by field.
 *
 * Asked for one "FIELD: value" a line, models write much else: a preamble, markdown (bold keys,
 * fences, bullets, headings, tables), everything on one line, JSON (also cut off), keys in the
 * singular or in other words, a field twice, items one a line, commas for bars, the tokens that end
 * a turn. All of it is read. A value is what the model wrote, trimmed and freed of markdown, never
 * normalised. It is a pure function of the text, in time linear in its length, for any bytes.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_PARSE_H
#define SNUG_EXTRACT_PARSE_H

#include "base/alloc.h"
#include "extract/schema.h"

/* Unknown keys that are kept; more are dropped. */
#define SNUG_MAX_UNKNOWN_KEYS 256

struct snug_value {
    const char *text; /* valid UTF-8 without control characters; NULL: absent. Items of a list are
                          joined by " | "; a placeholder keeps its place among them */
    /* The bytes of the raw text it came from, also of an absence the model wrote; 0, 0 if it was
     * not named. From a list's first item to its last, with whatever stands between. */
    size_t start, end;
    bool named; /* the text names the field, with a value or without */
};

struct snug_unknown_key {
    const char *key, *value; /* value: what stands behind it, maybe "" */
    size_t start, end;       /* of the value in the raw text */
};

struct snug_answer {
    struct snug_value *values; /* one for each field of the schema, in its order */
    size_t field_count;
    size_t named_count;               /* fields that the text names; 0: nothing could be read */
    struct snug_unknown_key *unknown; /* keys of no field, kept aside */
    size_t unknown_count;
    bool json;    /* it was read as JSON */
    bool refusal; /* it names no field and says that the model cannot or will not */
    /* private */
    struct snug_arena arena;
};

/* Reads an answer. raw: length bytes, any. Of a field that occurs again the first real value
 * counts. *out is filled on success and then freed with snug_answer_free. Thread-safe.
 * Errors: LIMIT (over SNUG_MAX_ANSWER_BYTES), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_answer_parse(const struct snug_schema *schema,
                                                     const char *raw, size_t length,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_answer *out,
                                                     struct snug_error *error);
void snug_answer_free(struct snug_answer *answer); /* zeroed allowed; leaves it zeroed */

#endif
