/* Where rows go: standard output as they come, or a file that appears whole.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_OUTPUT_H
#define SNUG_CLI_OUTPUT_H

#include "base/files.h"
#include "extract/row.h"

enum snug_output_format {
    SNUG_OUTPUT_FORMAT_JSONL,
    SNUG_OUTPUT_FORMAT_JSON,
    SNUG_OUTPUT_FORMAT_CSV,
    SNUG_OUTPUT_FORMAT_TABLE
};
bool snug_output_format_parse(const char *name, enum snug_output_format *out);
/* The format a file's ending asks for: "json" of out.json; "jsonl" if there is none or it is
 * unknown. */
const char *snug_output_ending(const char *path);

struct snug_output {
    enum snug_output_format format;
    struct snug_file_writer *writer; /* NULL: standard output */
    struct snug_text text;
    const struct snug_schema *schema;
    const char **names; /* columns of CSV */
    size_t rows;
    const struct snug_allocator *allocator;
};

/* path NULL or "-": standard output. Else a temporary file beside path, which takes its name in
 * snug_output_finish. Errors: IO naming the path. */
SNUG_CHECK_RESULT enum snug_status snug_output_open(struct snug_output *output, const char *path,
                                                    enum snug_output_format format,
                                                    const struct snug_schema *schema,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status
snug_output_row(struct snug_output *output, const struct snug_row *row, struct snug_error *error);
/* Ends the document (JSON's bracket) and makes the file appear. */
SNUG_CHECK_RESULT enum snug_status snug_output_finish(struct snug_output *output,
                                                      struct snug_error *error);
void snug_output_close(
    struct snug_output *output); /* zeroed allowed; an unfinished file is removed */

#endif
