/* golden-check: what the checkers of the kinds share.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GOLDEN_H
#define SNUG_GOLDEN_H

#include "base/files.h"
#include "base/json.h"
#include "tensor/quant.h"

struct golden {
    const struct snug_allocator *allocator;
    uint64_t passed, failed, skipped;
    struct snug_pool *pool;
    const char *isa;          /* NULL: best */
    enum snug_quant quantize; /* of models: instead of the tolerances, how far quantising moves */
};

/* One line each: "pass NAME: detail", "FAIL NAME: detail", "skip NAME: why". */
void golden_pass(struct golden *g, const char *name, const char *format, ...) SNUG_PRINTF(3, 4);
void golden_fail(struct golden *g, const char *name, const char *format, ...) SNUG_PRINTF(3, 4);
void golden_skip(struct golden *g, const char *name, const char *format, ...) SNUG_PRINTF(3, 4);

/* Checkers by kind. folder: path; manifest: its manifest.json. A checker never exits: what it
 * cannot read is a golden_fail. It counts one pass, fail or skip a case, and prints one line a
 * tensor (models), one line a file otherwise. */
typedef void golden_check_fn(struct golden *g, const char *folder, json_t *manifest);
golden_check_fn golden_check_safetensors, golden_check_tokenizer, golden_check_unicode,
    golden_check_chat, golden_check_resize, golden_check_internvl_tiles, golden_check_mllama_tiles,
    golden_check_decode, golden_check_malformed_images, golden_check_model, golden_check_documents,
    golden_check_mllama, golden_check_mllama_masks;
/* FOLDER/expected/chat.json of a model's folder, with the folder's own template and tokenizer. */
void golden_check_chat_json(struct golden *g, const char *folder);

/* Rows of one file: a line is printed for all of them, with the first that is wrong. */
struct golden_rows {
    int rows, wrong;
    char problem[1024]; /* of the first wrong row */
};
void golden_wrong(struct golden_rows *rows, int line, const char *format, ...) SNUG_PRINTF(3, 4);

/* Helpers. */
/* FOLDER/NAME or FOLDER/NAME.xz (unpacked) into memory; NULL-terminated. False (nothing printed) if
 * neither is there. */
bool golden_read(struct golden *g, const char *folder, const char *name, struct snug_blob *out);
/* Whole JSON file; NULL (after a golden_fail) if unreadable. */
json_t *golden_json(struct golden *g, const char *folder, const char *name);
/* Calls row(context, line number from 1, value) for every line of a JSONL file; false if it is not
 * there. */
typedef void golden_row_fn(struct golden *g, void *context, int line, json_t *row);
bool golden_jsonl(struct golden *g, const char *folder, const char *name, golden_row_fn *row,
                  void *context);
void golden_sha256(const void *data, size_t bytes, char hex[65]);

#endif
