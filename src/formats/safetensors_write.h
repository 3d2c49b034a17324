/* Writing one safetensors file as a stream: the header first, then the data in pieces of any size.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_SAFETENSORS_WRITE_H
#define SNUG_FORMATS_SAFETENSORS_WRITE_H

#include "formats/safetensors.h"

/* Data begins at a multiple of this many bytes. */
#define SNUG_SAFETENSORS_ALIGNMENT 64

struct snug_tensor_spec {
    const char *name; /* UTF-8, not "__metadata__" */
    enum snug_dtype dtype;
    struct snug_shape shape;
};

struct snug_safetensors_writer; /* opaque */

/* Bytes of a tensor's data. Errors: LIMIT (rank, overflow), FORMAT (a negative dim, or a type below
 * a byte that leaves a part of one). Thread-safe. */
SNUG_CHECK_RESULT enum snug_status snug_tensor_spec_bytes(const struct snug_tensor_spec *tensor,
                                                          uint64_t *bytes,
                                                          struct snug_error *error);

/* Begins `path` and writes its header: tensors in the order given, without holes, data aligned. The
 * file appears under its name with commit only. tensors and metadata may be NULL if there are none;
 * they are not needed after the call. Free with commit or cancel. One thread a writer. Errors:
 * FORMAT (a name or a metadata key twice, "__metadata__" as a name, text that is not UTF-8), LIMIT
 * (what the reader would refuse), NOT_FOUND (no such folder), IO, MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_safetensors_writer_open(const char *path, const struct snug_tensor_spec *tensors, size_t count,
                             const struct snug_metadata_entry *metadata, size_t metadata_count,
                             const struct snug_allocator *allocator,
                             struct snug_safetensors_writer **out, struct snug_error *error);
/* The next bytes of the data. More than the tensors hold is a bug of the caller (assert). Errors:
 * IO; then only commit (which fails too) or cancel may follow. */
SNUG_CHECK_RESULT enum snug_status
snug_safetensors_writer_write(struct snug_safetensors_writer *writer, const void *bytes,
                              size_t length, struct snug_error *error);
/* Makes the file appear; frees the writer, also on failure. Bytes still missing are a bug of the
 * caller (assert), unless a write has failed. Errors: IO. */
SNUG_CHECK_RESULT enum snug_status
snug_safetensors_writer_commit(struct snug_safetensors_writer *writer, struct snug_error *error);
/* Removes what was written and frees the writer. NULL allowed. */
void snug_safetensors_writer_cancel(struct snug_safetensors_writer *writer);

#endif
