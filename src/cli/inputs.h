/* Which documents a command line means.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_INPUTS_H
#define SNUG_CLI_INPUTS_H

#include "base/files.h"

struct snug_input {
    const char *path;  /* to open */
    const char *shown; /* path as given; FOLDER/NAME for a file of a folder */
};
struct snug_inputs {
    struct snug_input *items; /* in the order given, a folder's by name */
    size_t count, capacity;
    size_t ignored; /* files of folders with other endings */
    struct snug_arena arena;
    const struct snug_allocator *allocator;
};

/* A folder means its regular files, not its subfolders, whose ending is jpg, jpeg, png, webp, bmp,
 * ppm, pgm, pbm, pnm, tif, tiff or pdf in any case. A file named explicitly is always taken, even
 * if it is not there (its row will say so). Errors: IO for a folder that cannot be read, LIMIT,
 * MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_inputs_collect(struct snug_inputs *documents,
                                                       char *const *names, int count,
                                                       const struct snug_allocator *allocator,
                                                       struct snug_error *error);
void snug_inputs_free(struct snug_inputs *documents); /* zeroed allowed */

#endif
