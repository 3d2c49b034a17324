/* One result: what a document gave, and how it is written.
 *
 * A row in JSON has every key, null where it does not apply:
 *   {"document": "scans/a.png",              path as given
 *    "status": "ok",                         ok | partial (cut off or looping) | error
 *    "error": null,                          or {"code": "bad_format", "message": "..."}
 *    "fields": {"ABN": {"value": "...", "confidence": 0.93, "warnings": []}},
 *                                            value null if absent; confidence null if unknown
 *    "raw": "...",                           what the model wrote
 *    "finish": "stop",                       stop | length | loop
 *    "model": "snug-nano",
 *    "tokens": {"image": 256, "prompt": 431, "output": 212},
 *    "timing_ms": {"decode_image": 3.1, "vision": 210, "prefill": 150.2, "decode": 900.7,
 *                  "total": 1264},
 *    "rung": "cpu",                          where the last token was made
 *    "moves": []}                            [{"token": 40, "from": "resident", "to": "cpu",
 *                                            "why": "device_lost"}], the first eight
 *
 * In CSV a row is image_file (the document as given), status, then one column a field. Cells are
 * quoted as in RFC 4180 and are exactly the values: nothing guards against a value that a
 * spreadsheet takes for a formula (one that begins with '=', '+', '-' or '@'), so open such files
 * as text.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_ROW_H
#define SNUG_EXTRACT_ROW_H

#include "base/text.h"
#include "extract/parse.h"
#include "extract/schema.h"

enum snug_row_status { SNUG_ROW_STATUS_OK, SNUG_ROW_STATUS_PARTIAL, SNUG_ROW_STATUS_ERROR };
const char *snug_row_status_text(enum snug_row_status status); /* "ok", "partial", "error" */

struct snug_row_field {
    const char *name, *value; /* value: NULL if absent */
    double confidence;        /* 0 to 1; NaN: unknown */
    const char *const *warnings;
    size_t warning_count;
};
struct snug_row_tokens {
    int64_t image, prompt, output; /* -1: does not apply */
};
/* Milliseconds; NaN: does not apply. */
struct snug_timing {
    double decode_image, vision, prefill, decode, total;
};

/* Where a document went on after a failure: how many tokens there were, names of rungs, and why (a
 * status' word). Static strings. */
struct snug_row_move {
    int64_t token;
    const char *from, *to, *why;
};
#define SNUG_MAX_ROW_MOVES 8 /* that are told of */

/* Strings: NULL where they do not apply. They may lie in the arena, or outlive the row. */
struct snug_row {
    const char *document;
    enum snug_row_status status;
    const char *error_code, *error_message; /* of an error row */
    struct snug_row_field *fields;          /* NULL: none, null in JSON */
    size_t field_count;
    const char *raw;
    size_t raw_bytes;
    const char *finish, *model, *rung;
    struct snug_row_move moves[SNUG_MAX_ROW_MOVES];
    int64_t move_count;
    struct snug_row_tokens tokens;
    struct snug_timing timing;
    struct snug_arena arena; /* for what belongs to this row */
};

/* A row where nothing applies yet. Freed with snug_row_free. */
void snug_row_init(struct snug_row *row, const struct snug_allocator *allocator);
void snug_row_free(struct snug_row *row); /* zeroed allowed; leaves it zeroed */

/* Makes it an error row: status, code (the status' own word) and message, copied. Fields are
 * dropped, all else stays. Never fails: without memory the message is a general one. */
void snug_row_set_error(struct snug_row *row, enum snug_status status, const char *message);

/* Fills `fields` from an answer: values are copied, warnings come from snug_validate, each rule's
 * on every field it concerns. confidences: one for each field of the schema, or NULL. Fields that
 * were not asked for are left out: asked holds `asked_count` indices, NULL means all. Errors:
 * MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_row_set_answer(struct snug_row *row, const struct snug_schema *schema, const size_t *asked,
                    size_t asked_count, const struct snug_answer *answer, const double *confidences,
                    struct snug_error *error);

/* ---- writers: append to a snug_text, whose status tells of failure. Invalid UTF-8 becomes U+FFFD
 * in JSON and in tables, and stays in CSV. ---- */

/* The row as one JSON object on one line, without a line end. Numbers: confidence to four decimals,
 * milliseconds to one. */
void snug_row_put_json(const struct snug_row *row, struct snug_text *out);
/* The same with "\n": a line of JSONL. */
void snug_row_put_jsonl(const struct snug_row *row, struct snug_text *out);
/* An element of a JSON array, with the "[" before the first and the comma before the others. */
void snug_row_put_array_element(const struct snug_row *row, bool first, struct snug_text *out);
/* The end of the array, and all of an empty one. */
void snug_row_put_array_end(bool empty, struct snug_text *out);

/* image_file,status,NAMES... Lines end in "\n". names: of the fields that have a column. */
void snug_row_put_csv_header(const char *const *names, size_t count, struct snug_text *out);
/* A line with those columns: absent values as `absent` (the schema's word), cells of an error row
 * and of fields that the row lacks empty. */
void snug_row_put_csv(const struct snug_row *row, const char *const *names, size_t count,
                      const char *absent, struct snug_text *out);
/* One cell, quoted if it must be. */
void snug_csv_put_cell(const char *text, struct snug_text *out);

/* For people: the document and its status, then a line a field, NAME value confidence %, within 80
 * columns; long values go on in further lines; warnings stand below their field. Absent fields are
 * named in one closing line. An empty line at the end. */
void snug_row_put_table(const struct snug_row *row, struct snug_text *out);

#endif
