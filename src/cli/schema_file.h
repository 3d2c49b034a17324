/* The schema a command works with: a file, or the one linked in.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_SCHEMA_FILE_H
#define SNUG_CLI_SCHEMA_FILE_H

#include "extract/schema.h"

/* path NULL: schemas/business-document.json as linked in. Errors: those of reading and parsing. */
SNUG_CHECK_RESULT enum snug_status snug_cli_load_schema(const char *path,
                                                        const struct snug_allocator *allocator,
                                                        struct snug_schema **out,
                                                        struct snug_error *error);

#endif
