/* --timeline of snug extract: the run as a picture, written at its end. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_TIMELINE_H
#define SNUG_CLI_TIMELINE_H

#include "base/files.h"
#include "extract/reader.h"
#include "generate/history.h"

struct snug_run_timeline {
    struct snug_file_writer *writer; /* NULL: there is none */
    struct snug_history history;
};

/* Opens the file, before anything else takes long. Errors: NOT_FOUND, IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_run_timeline_open(struct snug_run_timeline *timeline,
                                                          const char *path,
                                                          struct snug_error *error);
/* With a document's row. Its name must outlive the timeline. */
void snug_run_timeline_row(struct snug_run_timeline *timeline, const struct snug_reader *reader,
                           const struct snug_row *row);
/* document: of the row it belongs to, from 1. */
void snug_run_timeline_event(struct snug_run_timeline *timeline, int64_t document,
                             const struct snug_event *event);
/* Draws it and makes the file appear. Without one: nothing. Errors: IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_run_timeline_finish(struct snug_run_timeline *timeline,
                                                            const struct snug_reader *reader,
                                                            struct snug_error *error);
/* What was not finished is no file. */
void snug_run_timeline_free(struct snug_run_timeline *timeline); /* zeroed allowed */

/* The first device's memory as the last document ended; of a simulated one what its neighbour holds
 * is exact, of others what is missing of the most there ever was. */
struct snug_ladder_memory snug_cli_device_memory(const struct snug_reader *reader);

#endif
