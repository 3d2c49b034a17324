/* Figures of a run's memory, as JSON: a document's are written with its row, so that the report
 * takes the same memory for ten documents and for a million; those of the run follow at its end.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_MEMORY_REPORT_H
#define SNUG_CLI_MEMORY_REPORT_H

#include "base/files.h"
#include "extract/reader.h"

enum snug_alert_kind {
    SNUG_ALERT_INACTIVE_SPLIT, /* more of the region unused at some time */
    SNUG_ALERT_FREE,           /* less memory of the machine free */
    SNUG_ALERT_LEAK,           /* more bytes in use after a document than before it */
    SNUG_ALERT_COUNT
};

struct snug_memory_report {
    const struct snug_reader *reader;
    struct snug_file_writer *writer; /* NULL: only alerts */
    struct snug_text text;           /* what is not written yet */
    enum snug_status status;         /* of the first write that failed */
    struct snug_error error;
    uint64_t limits[SNUG_ALERT_COUNT];
    bool has_limit[SNUG_ALERT_COUNT], raised[SNUG_ALERT_COUNT];
    uint64_t heap_before; /* of the document begun last */
    bool open;            /* a document's entry lacks what was in use after it */
    uint64_t lowest_free;
    uint64_t leaked; /* by all documents but the first, which fills what is kept */
    uint64_t count;
};

/* "inactive-split=0.5GiB,free=1GiB,leak=1MiB" into the limits; false: something is unknown. */
bool snug_memory_report_alerts(struct snug_memory_report *report, const char *text);
/* Opens the report's file, before anything else takes long. Errors: NOT_FOUND, IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_memory_report_open(struct snug_memory_report *report,
                                                           const char *path,
                                                           struct snug_error *error);
void snug_memory_report_start(struct snug_memory_report *report, const struct snug_reader *reader);
/* Between documents, when nothing of the one before is left, and at the end. An alert that is
 * raised for the first time is told in note[200], which is "" otherwise. With several documents at
 * once there is no such moment: then nothing is said of leaks. */
void snug_memory_report_between(struct snug_memory_report *report, char note[200]);
/* With a document's row; note as above. */
void snug_memory_report_row(struct snug_memory_report *report, const struct snug_row *row,
                            char note[200]);
/* Writes what is said of the whole run and makes the file appear, after the last `between`. Without
 * an open file: nothing. Errors: IO, MEMORY, also those of writing before. */
SNUG_CHECK_RESULT enum snug_status snug_memory_report_finish(struct snug_memory_report *report,
                                                             struct snug_error *error);
/* What was not finished is no file. */
void snug_memory_report_free(struct snug_memory_report *report); /* zeroed allowed */

#endif
