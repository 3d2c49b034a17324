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
/* A weight that is used in several phases is one operand. */
int snug_builder_operand_of(struct snug_builder *b, const struct snug_weight *weight);

/* y = norm(x) with weights NAME.weight (and NAME.bias); rms: RMSNorm, else LayerNorm. Returns y,
 * named NAME. */
int snug_build_norm(struct snug_builder *b, int x, bool rms, float eps, const char *name);
/* x = norm(x); heads > 1: of each head by itself, all with the same weights. */
void snug_build_norm_in_place(struct snug_builder *b, int x, bool rms, float eps, int64_t heads,
                              const char *name);
/* y = x * WEIGHT.weight^T + WEIGHT.bias, n columns. Returns y, named NAME. */
int snug_build_linear(struct snug_builder *b, int x, int64_t n, const char *weight,
                      const char *name);
/* y = x * w^T + bias, of operands. */
void snug_build_linear_into(struct snug_builder *b, int x, int w, int bias, int y);
/* gate = silu(gate) * up */
void snug_build_silu_mul(struct snug_builder *b, int gate, int up);
void snug_build_gelu(struct snug_builder *b, int x, int y);
/* x = x + SCALE * y; scale NULL: x + y. What x holds then is called PREFIX, the layer done, or half
 * of it: PREFIX.attended. */
void snug_build_residual(struct snug_builder *b, int x, int y, const char *scale, bool half);
/* x = x + tanh(GATE) * y; rows whose mask (operand, -1: none) is 0 are left as they are. */
void snug_build_gated_residual(struct snug_builder *b, int x, int y, const char *gate, int mask,
                               bool half);
/* x = x + g * row of TABLE that index names (-1: row for row), g = tanh(GATE) or 1 - tanh(GATE). */
void snug_build_add_rows(struct snug_builder *b, int x, int index, const char *table,
                         const char *gate, bool complement, const char *label);

struct snug_attention_shape {
    enum snug_sequence_kind sequence;
    int64_t heads, kv_heads, head_dim, capacity;
    int64_t rows_per_sequence; /* tile, picture */
    int64_t caches;            /* how many there are, but for tiles */
    int slots, positions;      /* text: operands that say whose the rows are; -1: one sequence */
    int source;                /* picture: operand that says where each key comes from; else -1 */
};
/* A key (values = false) or value cache; of tiles one a unit, else shape->caches. */
int snug_build_cache(struct snug_builder *b, enum snug_operand_kind kind, enum snug_dtype dtype,
                     const struct snug_attention_shape *shape, bool values, const char *name);
void snug_build_kv_store(struct snug_builder *b, const struct snug_attention_shape *shape, int k,
                         int v, int k_cache, int v_cache);
/* Attends with q. Returns the mixed heads. */
int snug_build_attention(struct snug_builder *b, const struct snug_attention_shape *shape, int q,
                         int k_cache, int v_cache);

/* ---- the text model (text.c) ---- */

/* Caches of one layer in the current phase: keys "text.k.LAYER" and values "text.v.LAYER". lasting:
 * they hold something while an earlier phase runs again. */
void snug_build_text_cache(struct snug_builder *b, const struct snug_program_options *options,
                           const struct snug_attention_shape *shape, bool lasting, int layer);
/* The operand; -1 if there is none. */
int snug_builder_text_cache(const struct snug_builder *b, bool values, int layer);
/* As many positions as tokens, or as rows of pictures. */
struct snug_attention_shape snug_text_shape(const struct snug_builder *b,
                                            const struct snug_program_options *options,
                                            int64_t positions);

/* Prefill and decode of the text model: embedding (pictures' rows from handles->features), layers,
 * norm, head. Cross-attention layers read the caches that an earlier phase made; without tiles they
 * are left out. Fills handles->prefill and ->decode. */
void snug_build_text_phases(struct snug_builder *b, const struct snug_program_options *options,
                            struct snug_program_handles *handles);

#endif
