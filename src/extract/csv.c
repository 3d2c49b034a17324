/* The CSV reader: one row at a time into one buffer.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/csv.h"

#include <string.h>

enum snug_status snug_csv_open(struct snug_csv *csv, const char *data, size_t length,
                               const char *name, const struct snug_allocator *allocator,
                               struct snug_error *error)
{
    *csv = (struct snug_csv){
        .data = data, .length = length, .name = name, .next_line = 1, .allocator = allocator};
    snug_text_init(&csv->text, allocator, SNUG_MAX_CSV_ROW_BYTES);
    csv->pointers = snug_alloc_array(allocator, SNUG_MAX_CSV_COLUMNS, sizeof *csv->pointers);
    csv->offsets = snug_alloc_array(allocator, SNUG_MAX_CSV_COLUMNS, sizeof *csv->offsets);
    if (csv->pointers == NULL || csv->offsets == NULL) {
        snug_csv_close(csv);
        return snug_error_memory(error, SNUG_MAX_CSV_COLUMNS * sizeof *csv->offsets, "CSV");
    }
    csv->cells = csv->pointers;
    if (length >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        csv->at = 3;
    return SNUG_STATUS_OK;
}

void snug_csv_close(struct snug_csv *csv)
{
    if (csv->allocator == NULL)
        return;
    snug_text_free(&csv->text);
    snug_free(csv->allocator, csv->pointers);
    snug_free(csv->allocator, csv->offsets);
    *csv = (struct snug_csv){0};
}

static bool line_end(const struct snug_csv *csv)
{
    return csv->data[csv->at] == '\n' || csv->data[csv->at] == '\r';
}

/* Steps over \n, \r\n or \r. */
static void skip_line_end(struct snug_csv *csv)
{
    if (csv->data[csv->at] == '\r' && csv->length - csv->at >= 2 && csv->data[csv->at + 1] == '\n')
        csv->at++;
    csv->at++;
    csv->next_line++;
}

static enum snug_status fail(struct snug_csv *csv, struct snug_error *error,
                             enum snug_status status, const char *what)
{
    return snug_error_set(error, status, "%s: line %zu: %s", csv->name, csv->line, what);
}

static enum snug_status quoted_cell(struct snug_csv *csv, struct snug_error *error)
{
    csv->at++;
    for (;;) {
        size_t run = csv->at;
        while (csv->at < csv->length && csv->data[csv->at] != '"') {
            if (csv->data[csv->at] == '\0')
                return fail(csv, error, SNUG_STATUS_FORMAT, "a NUL byte: this is no CSV");
            if (line_end(csv))
                skip_line_end(csv);
            else
                csv->at++;
        }
        snug_text_append(&csv->text, csv->data + run, csv->at - run);
        if (csv->at == csv->length)
            return fail(csv, error, SNUG_STATUS_FORMAT, "a quote is opened and never closed");
        csv->at++;
        if (csv->at == csv->length || csv->data[csv->at] != '"')
            break;
        snug_text_putc(&csv->text, '"');
        csv->at++;
    }
    if (csv->at < csv->length && csv->data[csv->at] != ',' && !line_end(csv))
        return fail(csv, error, SNUG_STATUS_FORMAT, "text behind a closing quote");
    return SNUG_STATUS_OK;
}

static enum snug_status plain_cell(struct snug_csv *csv, struct snug_error *error)
{
    size_t run = csv->at;
    while (csv->at < csv->length && csv->data[csv->at] != ',' && !line_end(csv)) {
        if (csv->data[csv->at] == '\0')
            return fail(csv, error, SNUG_STATUS_FORMAT, "a NUL byte: this is no CSV");
        csv->at++;
    }
    snug_text_append(&csv->text, csv->data + run, csv->at - run);
    return SNUG_STATUS_OK;
}

enum snug_status snug_csv_next(struct snug_csv *csv, bool *more, struct snug_error *error)
{
    while (csv->at < csv->length && line_end(csv))
        skip_line_end(csv);
    csv->count = 0;
    csv->line = csv->next_line;
    *more = csv->at < csv->length;
    if (!*more)
        return SNUG_STATUS_OK;
    snug_text_clear(&csv->text);
    for (;;) {
        if (csv->count == SNUG_MAX_CSV_COLUMNS)
            return fail(csv, error, SNUG_STATUS_LIMIT, "too many columns");
        csv->offsets[csv->count++] = csv->text.length;
        enum snug_status status = csv->at < csv->length && csv->data[csv->at] == '"'
                                      ? quoted_cell(csv, error)
                                      : plain_cell(csv, error);
        if (status != SNUG_STATUS_OK)
            return status;
        snug_text_putc(&csv->text, '\0');
        if (csv->text.status != SNUG_STATUS_OK)
            return csv->text.status == SNUG_STATUS_MEMORY
                       ? snug_error_memory(error, csv->text.length, "CSV")
                       : fail(csv, error, SNUG_STATUS_LIMIT, "the row is too long");
        if (csv->at == csv->length || csv->data[csv->at] != ',')
            break;
        csv->at++;
    }
    if (csv->at < csv->length)
        skip_line_end(csv);
    for (size_t i = 0; i < csv->count; i++)
        csv->pointers[i] = csv->text.data + csv->offsets[i];
    return SNUG_STATUS_OK;
}
