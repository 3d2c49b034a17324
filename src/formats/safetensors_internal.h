/* What safetensors.c (one file) and checkpoint.c (folders, shards) share; nobody else includes it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_FORMATS_SAFETENSORS_INTERNAL_H
#define SNUG_FORMATS_SAFETENSORS_INTERNAL_H

#include "formats/safetensors.h"

struct snug_safetensors_shard {
    const char *name; /* in the arena */
    struct snug_blob blob;
};

/* Between add_file calls: views [0, count) are complete, each shard's in order of offset; shards
 * [0, shard_count) own their blobs. After finish: views in order of name, all different. */
struct snug_safetensors {
    const struct snug_allocator *allocator;
    struct snug_arena arena; /* names and metadata */
    struct snug_tensor_view *views;
    size_t count;
    struct snug_safetensors_shard *shards;
    size_t shard_count, shard_capacity;
    struct snug_metadata_entry *metadata; /* in the arena */
    size_t metadata_count;
};

/* An empty checkpoint with room for shard_capacity files. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_safetensors_create(size_t shard_capacity,
                                                           const struct snug_allocator *allocator,
                                                           struct snug_safetensors **out,
                                                           struct snug_error *error);
/* Parses one file and adds its tensors. Takes over *blob in every case. `label` stands in messages,
 * `name` (copied) is the shard's. On failure only snug_safetensors_close may follow. */
SNUG_CHECK_RESULT enum snug_status snug_safetensors_add_file(struct snug_safetensors *checkpoint,
                                                             struct snug_blob *blob,
                                                             const char *label, const char *name,
                                                             struct snug_error *error);
/* Sorts by name; a name in two files is FORMAT. */
SNUG_CHECK_RESULT enum snug_status snug_safetensors_finish(struct snug_safetensors *checkpoint,
                                                           const char *label,
                                                           struct snug_error *error);
/* Refuses JSON text that could make the parser take memory out of proportion to what a checkpoint
 * may hold: more values than SNUG_MAX_TENSORS tensors need, or nesting beyond max_depth. Not a
 * check of the syntax. Errors: LIMIT, FORMAT (nesting). */
SNUG_CHECK_RESULT enum snug_status snug_safetensors_scan(const unsigned char *json, size_t length,
                                                         size_t max_depth, const char *label,
                                                         struct snug_error *error);

#endif
