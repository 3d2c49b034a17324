/* The last lines of snug extract about the machine, on stderr.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_SUMMARY_H
#define SNUG_CLI_SUMMARY_H

#include "cli/cli.h"
#include "extract/reader.h"

/* What was planned, and whether it was kept; with devices also where documents were read, what was
 * moved, and how the device's memory behaved. */
void snug_summary_put_memory(struct snug_progress_bar *bar, const struct snug_reader *reader);

#endif
