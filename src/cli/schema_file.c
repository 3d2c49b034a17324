/* Loads a schema for a command.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/schema_file.h"

#include "cli/embedded_model.h"

enum snug_status snug_cli_load_schema(const char *path, const struct snug_allocator *allocator,
                                      struct snug_schema **out, struct snug_error *error)
{
    struct snug_embedded_file embedded = snug_embedded_schema();
    if (!path)
        return snug_schema_parse((const char *)embedded.data, embedded.size, embedded.name,
                                 allocator, out, error);
    struct snug_blob blob = {0};
    enum snug_status status = snug_file_read(path, SNUG_MAX_SCHEMA_BYTES, allocator, &blob, error);
    if (!status)
        status = snug_schema_parse((const char *)blob.data, blob.size, path, allocator, out, error);
    snug_blob_free(&blob);
    return status;
}
