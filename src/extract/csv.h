/* Reads CSV as RFC 4180 has it: commas, cells in double quotes where they must be, "" for a quote
 * within, line ends \n, \r\n or \r, an optional byte order mark, the last line end optional. Empty
 * lines are passed over. Limits keep a hostile file small.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_CSV_H
#define SNUG_EXTRACT_CSV_H

#include "base/text.h"

#define SNUG_MAX_CSV_COLUMNS 1024
#define SNUG_MAX_CSV_ROW_BYTES (8u << 20)

struct snug_csv {
    const char *const *cells; /* of the row just read: NUL-terminated, valid until the next call */
    size_t count;
    size_t line; /* where that row begins, from 1 */
    /* private */
    const char *data, *name;
    size_t length, at, next_line;
    struct snug_text text;
    const char **pointers;
    size_t *offsets;
    const struct snug_allocator *allocator;
};

/* data must stay; name stands in messages. Then snug_csv_close, also after errors.
 * Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_csv_open(struct snug_csv *csv, const char *data,
                                                 size_t length, const char *name,
                                                 const struct snug_allocator *allocator,
                                                 struct snug_error *error);
/* Reads the next row; *more is false at the end. Errors, naming file and line: FORMAT (a quote that
 * is never closed, text behind a closing quote, a NUL byte), LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_csv_next(struct snug_csv *csv, bool *more,
                                                 struct snug_error *error);
void snug_csv_close(struct snug_csv *csv); /* zeroed allowed; leaves it zeroed */

#endif
