/* safetensors: one file, or a sharded checkpoint; mapped, every bound checked.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_SAFETENSORS_H
#define SNUG_FORMATS_SAFETENSORS_H

#include "base/files.h"
#include "tensor/tensor.h"

/* One tensor. Row-major, little-endian, no alignment promised. Owned by the checkpoint. */
struct snug_tensor_view {
    const char *name;
    enum snug_dtype dtype;
    struct snug_shape shape;
    int64_t elements;
    const unsigned char *data;
    size_t bytes;
    int shard; /* index of the file that holds it */
};

struct snug_metadata_entry {
    const char *key, *value;
};

struct snug_safetensors; /* opaque: a checkpoint of one or more files */

/* Parses one file already in memory or mapped. Takes over *blob (freed with the checkpoint, also
 * when this fails). `name` stands in messages. Refuses all that docs/formats.md, 1 lists. Errors:
 * FORMAT, LIMIT, MEMORY. Thread-safe once open. */
SNUG_CHECK_RESULT enum snug_status
snug_safetensors_open_blob(struct snug_blob *blob, const char *name,
                           const struct snug_allocator *allocator, struct snug_safetensors **out,
                           struct snug_error *error);
/* model.safetensors, or model.safetensors.index.json and its shards; both present is ambiguous
 * unless the index maps everything to model.safetensors: refused. Nothing there: NOT_FOUND. */
SNUG_CHECK_RESULT enum snug_status snug_safetensors_open_folder(const struct snug_folder *folder,
                                                                struct snug_safetensors **out,
                                                                struct snug_error *error);
void snug_safetensors_close(struct snug_safetensors *checkpoint); /* NULL allowed */

size_t snug_safetensors_count(const struct snug_safetensors *checkpoint);
/* In order of name. */
const struct snug_tensor_view *snug_safetensors_at(const struct snug_safetensors *checkpoint,
                                                   size_t index);
/* NULL if absent; O(log n). */
const struct snug_tensor_view *snug_safetensors_find(const struct snug_safetensors *checkpoint,
                                                     const char *name);
/* File name of a shard, for messages. */
const char *snug_safetensors_shard_name(const struct snug_safetensors *checkpoint, int shard);
/* "__metadata__" of the first file. */
size_t snug_safetensors_metadata(const struct snug_safetensors *checkpoint,
                                 const struct snug_metadata_entry **entries);
/* Brings all pages of mapped files into memory now, so that a file which cannot be read, or was cut
 * short since it was opened, is an error here and not a signal later. Errors: IO. */
SNUG_CHECK_RESULT enum snug_status
snug_safetensors_populate(const struct snug_safetensors *checkpoint, struct snug_error *error);
/* Tells the kernel that a tensor's pages are not needed any more (it has been packed). */
void snug_safetensors_discard(const struct snug_safetensors *checkpoint,
                              const struct snug_tensor_view *view);

#endif
