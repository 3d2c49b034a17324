/* Monotonic time and log lines.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_CLOCK_H
#define SNUG_BASE_CLOCK_H

#include "base/status.h"

#include <stdint.h>

double snug_clock_ms(void); /* monotonic, arbitrary origin, milliseconds */

/* Libraries log through a callback; without one nothing is written. Set before threads start. */
enum snug_log_level { SNUG_LOG_LEVEL_DEBUG, SNUG_LOG_LEVEL_INFO, SNUG_LOG_LEVEL_WARNING };
typedef void snug_log_fn(void *context, enum snug_log_level level, const char *message);
void snug_log_set(snug_log_fn *callback, void *context);
void snug_log_write(enum snug_log_level level, const char *format, ...) SNUG_PRINTF(2, 3);

#endif
