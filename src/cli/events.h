/* What the ladder did: a log for programs (--events, JSON Lines: docs/formats.md, 7) and a line for
 * people. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_EVENTS_H
#define SNUG_CLI_EVENTS_H

#include "base/text.h"
#include "generate/ladder.h"

#include <stdio.h>

struct snug_event_log {
    FILE *file; /* NULL: there is none */
    const char *path;
    double start_ms;         /* of the run, by snug_clock_ms */
    enum snug_status status; /* of the first write that failed */
    struct snug_error error;
};

/* Starts the log's clock and, unless path is NULL, creates the file or empties it; "-" and
 * /dev/stderr: standard error. It is a log, not a result: every event is written through as it
 * happens, so that a run that is killed leaves those that were. Errors: NOT_FOUND, IO. */
SNUG_CHECK_RESULT enum snug_status snug_event_log_open(struct snug_event_log *log, const char *path,
                                                       struct snug_error *error);
/* A failure is kept for the end. */
void snug_event_log_put(struct snug_event_log *log, const struct snug_event *event);
/* Errors: IO, MEMORY, also those of writing before. Without a file: nothing. */
SNUG_CHECK_RESULT enum snug_status snug_event_log_finish(struct snug_event_log *log,
                                                         struct snug_error *error);
void snug_event_log_close(struct snug_event_log *log); /* zeroed allowed */

/* "a.png, token 40: resident -> cpu: sim:v100-16gb: the device is lost (12 ms)"; "" if the event is
 * nothing to be told of. */
void snug_event_note(const struct snug_event *event, char note[SNUG_ERROR_MESSAGE_BYTES]);

#endif
