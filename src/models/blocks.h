/* The blocks that model families share: each appends steps to a program.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_BLOCKS_H
#define SNUG_MODELS_BLOCKS_H

#include "models/model.h"
#include "ops/op.h"

/* Builds one program of one model. Operands and weights are named PREFIX.NAME. */
struct snug_builder {
    const struct snug_model *model;
    struct snug_program *program;
    char prefix[64];
    int quantized_of, quantized; /* the operand quantised last, and its records; -1: none */
};
void snug_builder_init(struct snug_builder *b, const struct snug_model *model,
                       struct snug_program *program);
void snug_builder_prefix(struct snug_builder *b, const char *format, ...) SNUG_PRINTF(2, 3);
/* Scratch of rows_per_unit * units + fixed_rows rows of f32. */
int snug_builder_scratch(struct snug_builder *b, int64_t rows_per_unit, int64_t fixed_rows,
                         int64_t cols, const char *name);
/* The weight PREFIX.NAME; -1 if the model has none by that name (an absent bias). */
int snug_builder_weight(struct snug_builder *b, const char *name);

/* y = norm(x) with weights NAME.weight (and NAME.bias); rms: RMSNorm, else LayerNorm. Returns y,
 * named NAME. */
int snug_build_norm(struct snug_builder *b, int x, bool rms, float eps, const char *name);
/* x = rms_norm(x) over whole rows. */
void snug_build_norm_in_place(struct snug_builder *b, int x, float eps, const char *name);
/* y = x * WEIGHT.weight^T + WEIGHT.bias, n columns. Returns y, named NAME. */
int snug_build_linear(struct snug_builder *b, int x, int64_t n, const char *weight,
                      const char *name);
void snug_build_gelu(struct snug_builder *b, int x, int y);
/* x = x + SCALE * y; scale NULL: x + y. label NULL: none; "": the prefix (the layer is done). */
void snug_build_residual(struct snug_builder *b, int x, int y, const char *scale,
                         const char *label);

struct snug_attention_shape {
    int64_t heads, kv_heads, head_dim, capacity;
    int64_t rows_per_sequence; /* 0: text, causal */
    int64_t caches;            /* text: how many there are */
    int slots, positions;      /* text: operands that say whose the rows are; -1: one sequence */
};
/* A key (values = false) or value cache; SCRATCH: one a unit (tile), else shape->caches. */
int snug_build_cache(struct snug_builder *b, enum snug_operand_kind kind, enum snug_dtype dtype,
                     const struct snug_attention_shape *shape, bool values, const char *name);
/* Stores k and v, then attends with q. Returns the mixed heads. */
int snug_build_attention(struct snug_builder *b, const struct snug_attention_shape *shape, int q,
                         int k, int v, int k_cache, int v_cache);

/* Prefill and decode of the text model: embedding (pictures' rows from handles->features), layers,
 * norm, head. Fills the text members of handles. */
void snug_build_text_phases(struct snug_builder *b, const struct snug_program_options *options,
                            struct snug_program_handles *handles);

#endif
