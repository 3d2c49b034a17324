/* A run on the ladder as a picture. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_LADDER_SVG_H
#define SNUG_GENERATE_LADDER_SVG_H

#include "base/text.h"
#include "generate/history.h"

/* Appends an SVG file (UTF-8, 900 x 520, no scripts, nothing from outside) to *text: documents from
 * left to right; above each other what is ours of the first device, what others hold and what is
 * free, up to a line at the most there was; below it what the ladder did, as marks, and the rungs
 * as a coloured band. Documents, marks and rungs have tooltips. At most about 5,000 elements and 2
 * MiB, however many documents there were. `title` stands above; it and all names are escaped.
 * Errors: LIMIT and MEMORY as snug_text_status; then part of the file is in *text. */
SNUG_CHECK_RESULT enum snug_status snug_ladder_svg(const struct snug_history *history,
                                                   const char *title, struct snug_text *text,
                                                   struct snug_error *error);

#endif
