/* The plan of a program as a picture. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_TIMELINE_SVG_H
#define SNUG_PROGRAM_TIMELINE_SVG_H

#include "base/text.h"
#include "program/program.h"

/* Appends an SVG file (UTF-8, 1200 x 760, no scripts, nothing from outside) to *text: steps from
 * left to right, offsets in the region from bottom to top, one rectangle an operand of the region,
 * in its kind's colour, with name, bytes, offset and steps as a tooltip. Phases stand side by side
 * under their names, the peak and the lower bound are lines. What would be narrower or lower than
 * 0.8 pixels is drawn that large, on top. `title` stands above ("InternVL3-1B, 7 tiles"); it and
 * all names are escaped. About 350 bytes an operand: give *text a maximum to match.
 * The program must be laid out with this peak: SHAPE if an operand lies beyond it. LIMIT and MEMORY
 * as snug_text_status; then part of the file is in *text. Reads the program only. */
SNUG_CHECK_RESULT enum snug_status snug_program_timeline_svg(const struct snug_program *program,
                                                             const char *title, size_t peak_bytes,
                                                             size_t lower_bound_bytes,
                                                             struct snug_text *text,
                                                             struct snug_error *error);

#endif
