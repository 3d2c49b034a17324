/* Monotonic time and the log callback.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

double snug_clock_ms(void)
{
    struct timespec now;

    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    SNUG_ASSERT(failed == 0);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* Set before threads start, as the header asks: plain variables. */
static snug_log_fn *log_callback;
static void *log_context;

void snug_log_set(snug_log_fn *callback, void *context)
{
    log_callback = callback;
    log_context = context;
}

void snug_log_write(enum snug_log_level level, const char *format, ...)
{
    if (!log_callback)
        return;

    /* an error's cleaning and cutting is what a log line needs, too */
    char message[SNUG_ERROR_MESSAGE_BYTES * 2];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    struct snug_error line;
    (void)snug_error_set(&line, SNUG_STATUS_OK, "%s", message);
    log_callback(log_context, level, line.message);
}
