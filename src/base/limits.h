/* Every maximum, by name. Beyond one of them the answer is status LIMIT, never a crash.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_LIMITS_H
#define SNUG_BASE_LIMITS_H

#define SNUG_MAX_THREADS 256
#define SNUG_MAX_JSON_DEPTH 64
#define SNUG_MAX_DIRECTORY_ENTRIES 1000000

/* safetensors */
#define SNUG_MAX_SAFETENSORS_HEADER_BYTES 100000000u
#define SNUG_MAX_TENSORS 200000
#define SNUG_MAX_TENSOR_RANK 8
#define SNUG_MAX_TENSOR_NAME_BYTES 512
#define SNUG_MAX_SHARDS 1000

/* model folders */
#define SNUG_MAX_CONFIG_BYTES (16u << 20)
#define SNUG_MAX_TOKENIZER_BYTES (256u << 20)
#define SNUG_MAX_LAYERS 1024
#define SNUG_MAX_WIDTH (1 << 20) /* hidden sizes, vocabulary rows up to 2^22 */
#define SNUG_MAX_VOCABULARY (1 << 22)
#define SNUG_MAX_HEAD_DIM 256
#define SNUG_MAX_CONTEXT (1 << 20) /* tokens of one sequence */
#define SNUG_MAX_TOKEN_BYTES 65536
#define SNUG_MAX_ENCODE_BYTES                                                                      \
    (16u << 20) /* one text: four times the longest context at 4 bytes a token */
#define SNUG_MAX_ADDED_TOKEN_BYTES 1024 /* a search costs at most this many steps a byte */

/* instances of the memory planner */
#define SNUG_MAX_MINIMALLOC_BYTES (64u << 20)
#define SNUG_MAX_MINIMALLOC_ROWS 100000
#define SNUG_MAX_MINIMALLOC_LINE_BYTES 4096
#define SNUG_MAX_MINIMALLOC_ID_BYTES 256

/* documents */
#define SNUG_MAX_DOCUMENT_BYTES (512u << 20)
#define SNUG_MAX_PIXELS 178956970 /* as Pillow's error limit */
#define SNUG_MAX_SIDE 65500
#define SNUG_MAX_TILES 64 /* of one picture, thumbnail not counted */

/* extraction */
#define SNUG_MAX_SCHEMA_BYTES (1u << 20)
#define SNUG_MAX_FIELDS 256
#define SNUG_MAX_FIELD_NAME_BYTES 128
#define SNUG_MAX_ANSWER_BYTES (4u << 20)
#define SNUG_MAX_NEW_TOKENS 100000
#define SNUG_MAX_PICTURES 64 /* of one prompt */
#define SNUG_MAX_PARALLEL 64 /* documents that decode together */

#endif
