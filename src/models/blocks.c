/* Shared blocks: one function a block, one call a step.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/blocks.h"

#include "models/placement.h"
#include "models/weights.h"

#include <stdarg.h>
#include <stdio.h>

void snug_builder_init(struct snug_builder *b, const struct snug_model *model,
                       struct snug_program *program)
{
    *b = (struct snug_builder){
        .model = model, .program = program, .quantized_of = -1, .quantized = -1};
}

void snug_builder_prefix(struct snug_builder *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->prefix, sizeof b->prefix, format, arguments);
    va_end(arguments);
    b->program->unit = snug_model_unit(&b->model->config, b->prefix);
}

int snug_builder_scratch(struct snug_builder *b, int64_t rows_per_unit, int64_t fixed_rows,
                         int64_t cols, const char *name)
{
    return snug_program_operand(b->program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32,
                                rows_per_unit, fixed_rows, cols, "%s.%s", b->prefix, name);
}

int snug_builder_operand_of(struct snug_builder *b, const struct snug_weight *weight)
{
    for (int i = 0; i < b->program->operand_count; i++)
        if (b->program->operands[i].name == weight->name)
            return i;
    return snug_program_weight(b->program, weight->name, weight->dtype, weight->quant, weight->data,
                               weight->bytes);
}

int snug_builder_weight(struct snug_builder *b, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", b->prefix, name);
    const struct snug_weight *weight = snug_model_weight_or_null(b->model, full);
    return weight ? snug_builder_operand_of(b, weight) : -1;
}

/* NAME.PART, for weights such as "norm1.weight". */
static int weight_part(struct snug_builder *b, const char *name, const char *part)
{
    char joined[64];
    snprintf(joined, sizeof joined, "%s.%s", name, part);
    return snug_builder_weight(b, joined);
}

/* A new operand with the rows of x. */
static int like(struct snug_builder *b, int x, int64_t cols, const char *name)
{
    if (x < 0)
        return -1;
    const struct snug_operand *o = &b->program->operands[x];
    return snug_builder_scratch(b, o->rows_per_unit, o->fixed_rows, cols, name);
}

static int64_t cols_of(const struct snug_builder *b, int x)
{
    return x < 0 ? 0 : b->program->operands[x].cols;
}

/* Operand y gets new contents: its records, if there are any, are stale. */
static void rewritten(struct snug_builder *b, int y)
{
    if (b->quantized_of == y)
        b->quantized_of = -1;
}

/* The records of x, made once however many linears read them. */
static int quantized(struct snug_builder *b, int x)
{
    if (x < 0 || b->quantized_of == x)
        return b->quantized;
    const struct snug_operand o = b->program->operands[x];
    b->quantized =
        snug_program_operand(b->program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_U8, o.rows_per_unit,
                             o.fixed_rows, snug_quantized_row_bytes(o.cols), "%s.q", o.name);
    b->quantized_of = x;
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_QUANTIZE);
    step->in[0] = x;
    step->out[0] = b->quantized;
    step->k = o.cols;
    step->threshold = b->model->options.outlier_threshold;
    return b->quantized;
}

void snug_build_linear_into(struct snug_builder *b, int x, int w, int bias, int y)
{
    int64_t k = x < 0 ? 0 : b->program->operands[x].cols;
    if (w >= 0 && b->program->operands[w].quant != SNUG_QUANT_NONE)
        x = quantized(b, x);
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_LINEAR);
    step->in[0] = x;
    step->in[1] = w;
    step->in[2] = bias;
    step->out[0] = y;
    step->n = y < 0 ? 0 : b->program->operands[y].cols;
    step->k = k;
}

/* heads > 1: each has its own norm, all with the same weights. */
static void norm_step(struct snug_builder *b, int x, int y, bool rms, float eps, int64_t heads,
                      const char *name)
{
    int weight = weight_part(b, name, "weight"), bias = weight_part(b, name, "bias");
    struct snug_step *step =
        snug_program_step(b->program, rms ? SNUG_OP_KIND_RMS_NORM : SNUG_OP_KIND_LAYER_NORM);
    step->in[0] = x;
    step->in[1] = weight;
    step->in[2] = bias;
    step->out[0] = y;
    step->eps = eps;
    step->heads = heads;
    rewritten(b, y);
}

int snug_build_norm(struct snug_builder *b, int x, bool rms, float eps, const char *name)
{
    int y = like(b, x, cols_of(b, x), name);
    norm_step(b, x, y, rms, eps, 1, name);
    return y;
}

void snug_build_norm_in_place(struct snug_builder *b, int x, bool rms, float eps, int64_t heads,
                              const char *name)
{
    norm_step(b, x, x, rms, eps, heads, name);
}

int snug_build_linear(struct snug_builder *b, int x, int64_t n, const char *weight,
                      const char *name)
{
    int y = like(b, x, n, name);
    int w = weight_part(b, weight, "weight"), bias = weight_part(b, weight, "bias");
    snug_build_linear_into(b, x, w, bias, y);
    return y;
}

void snug_build_gelu(struct snug_builder *b, int x, int y)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_GELU);
    step->in[0] = x;
    step->out[0] = y;
    rewritten(b, y);
}

void snug_build_silu_mul(struct snug_builder *b, int gate, int up)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_SILU_MUL);
    step->in[0] = gate;
    step->in[1] = up;
    step->out[0] = gate;
    rewritten(b, gate);
}

static struct snug_step *residual_step(struct snug_builder *b, int x, int y, bool half)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_RESIDUAL);
    step->in[0] = y;
    step->out[0] = x;
    rewritten(b, x);
    step->label = snug_arena_printf(&b->program->arena, "%s%s", b->prefix, half ? ".attended" : "");
    if (!step->label)
        b->program->out_of_memory = true;
    return step;
}

void snug_build_residual(struct snug_builder *b, int x, int y, const char *scale, bool half)
{
    int g = scale ? snug_builder_weight(b, scale) : -1;
    residual_step(b, x, y, half)->in[1] = g;
}

void snug_build_gated_residual(struct snug_builder *b, int x, int y, const char *gate, int mask,
                               bool half)
{
    int g = snug_builder_weight(b, gate);
    struct snug_step *step = residual_step(b, x, y, half);
    step->in[2] = g;
    step->in[3] = mask;
}

void snug_build_add_rows(struct snug_builder *b, int x, int index, const char *table,
                         const char *gate, bool complement, const char *label)
{
    int rows = snug_builder_weight(b, table), g = snug_builder_weight(b, gate);
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_ADD_ROWS);
    step->in[0] = index;
    step->in[1] = rows;
    step->in[2] = g;
    step->out[0] = x;
    step->complement = complement;
    step->label = label;
    rewritten(b, x);
}

int snug_build_cache(struct snug_builder *b, enum snug_operand_kind kind, enum snug_dtype dtype,
                     const struct snug_attention_shape *shape, bool values, const char *name)
{
    int64_t elements = values ? snug_v_cache_elements(shape->capacity, shape->head_dim)
                              : snug_k_cache_elements(shape->capacity, shape->head_dim);
    bool each = shape->sequence == SNUG_SEQUENCE_KIND_TILE;
    int cache =
        snug_program_operand(b->program, kind, dtype, each ? 1 : 0, each ? 0 : shape->caches,
                             elements * shape->kv_heads, "%s.%s", b->prefix, name);
    if (cache >= 0 && kind != SNUG_OPERAND_KIND_SCRATCH)
        b->program->operands[cache].cache =
            (struct snug_cache_shape){shape->kv_heads, shape->head_dim, shape->capacity, values};
    return cache;
}

static struct snug_step *shaped_step(struct snug_builder *b, enum snug_op_kind op,
                                     const struct snug_attention_shape *shape)
{
    struct snug_step *step = snug_program_step(b->program, op);
    step->sequence = shape->sequence;
    step->heads = shape->heads;
    step->kv_heads = shape->kv_heads;
    step->head_dim = shape->head_dim;
    step->capacity = shape->capacity;
    step->rows_per_sequence = shape->rows_per_sequence;
    return step;
}

void snug_build_kv_store(struct snug_builder *b, const struct snug_attention_shape *shape, int k,
                         int v, int k_cache, int v_cache)
{
    struct snug_step *step = shaped_step(b, SNUG_OP_KIND_KV_STORE, shape);
    step->in[0] = k;
    step->in[1] = v;
    step->in[2] = shape->slots;
    step->in[3] = shape->positions;
    step->in[4] = shape->source;
    step->out[0] = k_cache;
    step->out[1] = v_cache;
}

int snug_build_attention(struct snug_builder *b, const struct snug_attention_shape *shape, int q,
                         int k_cache, int v_cache)
{
    int mixed = like(b, q, cols_of(b, q), "mixed");
    struct snug_step *step = shaped_step(b, SNUG_OP_KIND_ATTENTION, shape);
    step->in[0] = q;
    step->in[1] = k_cache;
    step->in[2] = v_cache;
    step->in[3] = shape->slots;
    step->in[4] = shape->positions;
    step->out[0] = mixed;
    return mixed;
}
