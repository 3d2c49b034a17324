/* Rows to a stream or file, in four formats.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_ROW_BYTES ((size_t)64 << 20)

static const char *const format_names[] = {"jsonl", "json", "csv", "table"};

bool snug_output_format_parse(const char *name, enum snug_output_format *out)
{
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, format_names[i])) {
            *out = (enum snug_output_format)i;
            return true;
        }
    return false;
}

const char *snug_output_ending(const char *path)
{
    for (int i = 1; path && i < 3; i++) {
        char ending[8];
        snprintf(ending, sizeof ending, ".%s", format_names[i]);
        if (snug_text_ends_with_ignore_case(path, ending))
            return format_names[i];
    }
    return format_names[0];
}

/* Writes and empties output->text. */
static enum snug_status flush(struct snug_output *output, struct snug_error *error)
{
    enum snug_status status = snug_text_status(&output->text, error, "a row");
    if (!status && output->writer)
        status = snug_file_writer_write(output->writer, snug_text_c(&output->text),
                                        output->text.length, error);
    else if (!status && (fwrite(snug_text_c(&output->text), 1, output->text.length, stdout) !=
                             output->text.length ||
                         fflush(stdout)))
        status = snug_error_set(error, SNUG_STATUS_IO, "standard output: %s", strerror(errno));
    /* Given back, not kept: a row longer than all before would look like memory that is lost. */
    snug_text_free(&output->text);
    snug_text_init(&output->text, output->allocator, MAX_ROW_BYTES);
    return status;
}

enum snug_status snug_output_open(struct snug_output *output, const char *path,
                                  enum snug_output_format format, const struct snug_schema *schema,
                                  const struct snug_allocator *allocator, struct snug_error *error)
{
    *output = (struct snug_output){.format = format, .schema = schema, .allocator = allocator};
    snug_text_init(&output->text, allocator, MAX_ROW_BYTES);
    output->names = snug_alloc_array(allocator, schema->field_count, sizeof *output->names);
    if (!output->names)
        return snug_error_memory(error, schema->field_count * sizeof *output->names, "the output");
    for (size_t i = 0; i < schema->field_count; i++)
        output->names[i] = schema->fields[i].name;
    if (path && strcmp(path, "-")) {
        enum snug_status status = snug_file_writer_open(path, allocator, &output->writer, error);
        if (status)
            return status;
    }
    if (format == SNUG_OUTPUT_FORMAT_CSV)
        snug_row_put_csv_header(output->names, schema->field_count, &output->text);
    return flush(output, error);
}

enum snug_status snug_output_row(struct snug_output *output, const struct snug_row *row,
                                 struct snug_error *error)
{
    switch (output->format) {
    case SNUG_OUTPUT_FORMAT_JSONL:
        snug_row_put_jsonl(row, &output->text);
        break;
    case SNUG_OUTPUT_FORMAT_JSON:
        snug_row_put_array_element(row, output->rows == 0, &output->text);
        break;
    case SNUG_OUTPUT_FORMAT_CSV:
        snug_row_put_csv(row, output->names, output->schema->field_count, output->schema->absent,
                         &output->text);
        break;
    case SNUG_OUTPUT_FORMAT_TABLE:
        snug_row_put_table(row, &output->text);
        break;
    }
    output->rows++;
    return flush(output, error);
}

enum snug_status snug_output_finish(struct snug_output *output, struct snug_error *error)
{
    if (output->format == SNUG_OUTPUT_FORMAT_JSON)
        snug_row_put_array_end(output->rows == 0, &output->text);
    enum snug_status status = flush(output, error);
    if (!status && output->writer) {
        status = snug_file_writer_commit(output->writer, error);
        output->writer = NULL;
    }
    return status;
}

void snug_output_close(struct snug_output *output)
{
    if (!output->allocator)
        return;
    snug_file_writer_cancel(output->writer);
    snug_free(output->allocator, output->names);
    snug_text_free(&output->text);
    *output = (struct snug_output){0};
}
