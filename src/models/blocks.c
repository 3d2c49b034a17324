/* Shared blocks: one function a block, one call a step.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/blocks.h"

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
}

int snug_builder_scratch(struct snug_builder *b, int64_t rows_per_unit, int64_t fixed_rows,
                         int64_t cols, const char *name)
{
    return snug_program_operand(b->program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32,
                                rows_per_unit, fixed_rows, cols, "%s.%s", b->prefix, name);
}

/* A weight that is used in several phases is one operand. */
static int weight_operand(struct snug_builder *b, const struct snug_weight *weight)
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
    return weight ? weight_operand(b, weight) : -1;
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

/* y = x * w^T + bias. */
static void linear_step(struct snug_builder *b, int x, int w, int bias, int y)
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

static void norm_step(struct snug_builder *b, int x, int y, bool rms, float eps, const char *name)
{
    int weight = weight_part(b, name, "weight"), bias = weight_part(b, name, "bias");
    struct snug_step *step =
        snug_program_step(b->program, rms ? SNUG_OP_KIND_RMS_NORM : SNUG_OP_KIND_LAYER_NORM);
    step->in[0] = x;
    step->in[1] = weight;
    step->in[2] = bias;
    step->out[0] = y;
    step->eps = eps;
    rewritten(b, y);
}

int snug_build_norm(struct snug_builder *b, int x, bool rms, float eps, const char *name)
{
    int y = like(b, x, cols_of(b, x), name);
    norm_step(b, x, y, rms, eps, name);
    return y;
}

void snug_build_norm_in_place(struct snug_builder *b, int x, float eps, const char *name)
{
    norm_step(b, x, x, true, eps, name);
}

int snug_build_linear(struct snug_builder *b, int x, int64_t n, const char *weight,
                      const char *name)
{
    int y = like(b, x, n, name);
    int w = weight_part(b, weight, "weight"), bias = weight_part(b, weight, "bias");
    linear_step(b, x, w, bias, y);
    return y;
}

void snug_build_gelu(struct snug_builder *b, int x, int y)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_GELU);
    step->in[0] = x;
    step->out[0] = y;
    rewritten(b, y);
}

void snug_build_residual(struct snug_builder *b, int x, int y, const char *scale, const char *label)
{
    int g = scale ? snug_builder_weight(b, scale) : -1;
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_RESIDUAL);
    step->in[0] = y;
    step->in[1] = g;
    step->out[0] = x;
    rewritten(b, x);
    if (label)
        step->label = snug_arena_strdup(&b->program->arena, *label ? label : b->prefix);
}

int snug_build_cache(struct snug_builder *b, enum snug_operand_kind kind, enum snug_dtype dtype,
                     const struct snug_attention_shape *shape, bool values, const char *name)
{
    int64_t elements = values ? snug_v_cache_elements(shape->capacity, shape->head_dim)
                              : snug_k_cache_elements(shape->capacity, shape->head_dim);
    bool scratch = kind == SNUG_OPERAND_KIND_SCRATCH;
    return snug_program_operand(b->program, kind, dtype, scratch ? 1 : 0,
                                scratch ? 0 : shape->caches, elements * shape->kv_heads, "%s.%s",
                                b->prefix, name);
}

int snug_build_attention(struct snug_builder *b, const struct snug_attention_shape *shape, int q,
                         int k, int v, int k_cache, int v_cache)
{
    int mixed = like(b, q, cols_of(b, q), "mixed");
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_KV_STORE);
    step->in[0] = k;
    step->in[1] = v;
    step->out[0] = k_cache;
    step->out[1] = v_cache;
    step->heads = shape->heads;
    step->kv_heads = shape->kv_heads;
    step->head_dim = shape->head_dim;
    step->capacity = shape->capacity;
    step->rows_per_sequence = shape->rows_per_sequence;
    step->in[2] = shape->slots;
    step->in[3] = shape->positions;
    struct snug_step store = *step;
    step = snug_program_step(b->program, SNUG_OP_KIND_ATTENTION);
    *step = store;
    step->op = SNUG_OP_KIND_ATTENTION;
    step->in[0] = q;
    step->in[1] = k_cache;
    step->in[2] = v_cache;
    step->in[3] = shape->slots;
    step->in[4] = shape->positions;
    step->out[0] = mixed;
    step->out[1] = -1;
    step->causal = shape->rows_per_sequence == 0;
    return mixed;
}

/* ---- the text model ---- */

static void rope_step(struct snug_builder *b, int inv_freq, int positions, int x, int64_t heads,
                      int64_t head_dim, const char *label)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_ROPE);
    step->in[0] = inv_freq;
    step->in[1] = positions;
    step->out[0] = x;
    step->heads = heads;
    step->head_dim = head_dim;
    if (label)
        step->label = label;
}

/* h = x + o(attention(norm(x))); x = h + down(silu(gate(norm(h))) * up(norm(h))). Llama and Qwen2
 * differ only in which biases exist. */
static void text_layer(struct snug_builder *b, int i, int x, int inv_freq, int k_cache, int v_cache,
                       const struct snug_attention_shape *shape)
{
    const struct snug_text_config *t = &b->model->config.text;
    snug_builder_prefix(b, "text.layer.%d", i);
    int normed = snug_build_norm(b, x, true, t->eps, "norm1");
    int q = snug_build_linear(b, normed, t->heads * t->head_dim, "q", "q");
    int k = snug_build_linear(b, normed, t->kv_heads * t->head_dim, "k", "k");
    int v = snug_build_linear(b, normed, t->kv_heads * t->head_dim, "v", "v");
    rope_step(b, inv_freq, shape->positions, q, t->heads, t->head_dim, NULL);
    rope_step(b, inv_freq, shape->positions, k, t->kv_heads, t->head_dim, NULL);
    int mixed = snug_build_attention(b, shape, q, k, v, k_cache, v_cache);
    int attention = snug_build_linear(b, mixed, t->hidden, "o", "attention");
    snug_build_residual(b, x, attention, NULL, NULL);
    normed = snug_build_norm(b, x, true, t->eps, "norm2");
    int gate = snug_build_linear(b, normed, t->intermediate, "gate", "gate");
    int up = snug_build_linear(b, normed, t->intermediate, "up", "up");
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_SILU_MUL);
    step->in[0] = gate;
    step->in[1] = up;
    step->out[0] = gate;
    rewritten(b, gate);
    int mlp = snug_build_linear(b, gate, t->hidden, "down", "mlp");
    snug_build_residual(b, x, mlp, NULL, "");
}

/* What the two text phases do not share. */
struct text_phase {
    const char *name;
    int64_t units;
    bool all_logits; /* a row for every unit */
    bool batch;      /* every unit is the next token of a document of its own */
    int *ids, *image_row, *inv_freq, *logits; /* handles to fill */
    int *slots, *positions;                   /* of a batch */
};

static int batch_input(struct snug_builder *b, const struct text_phase *phase, const char *name)
{
    return snug_program_operand(b->program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_I32, 1, 0, 1,
                                "%s.%s", phase->name, name);
}

static int embed_step(struct snug_builder *b, const struct text_phase *phase, int features)
{
    const struct snug_text_config *t = &b->model->config.text;
    struct snug_program *p = b->program;
    *phase->ids = snug_program_operand(p, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_I32, 1, 0, 1,
                                       "%s.ids", phase->name);
    *phase->image_row = snug_program_operand(p, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_I32, 1, 0, 1,
                                             "%s.image_row", phase->name);
    *phase->inv_freq =
        snug_program_operand(p, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_F32, phase->batch ? 1 : 0,
                             phase->batch ? 0 : 1, t->head_dim / 2, "%s.inv_freq", phase->name);
    if (phase->batch) {
        *phase->slots = batch_input(b, phase, "slots");
        *phase->positions = batch_input(b, phase, "positions");
    }
    snug_builder_prefix(b, "text");
    int table = snug_builder_weight(b, "embed.weight");
    int x = snug_builder_scratch(b, 1, 0, t->hidden, "inputs_embeds"); /* the residual stream */
    struct snug_step *step = snug_program_step(p, SNUG_OP_KIND_EMBED);
    step->in[0] = *phase->ids;
    step->in[1] = *phase->image_row;
    step->in[2] = table;
    step->in[3] = features;
    step->out[0] = x;
    step->n = t->vocabulary;
    step->k = t->hidden;
    return x;
}

static void head_steps(struct snug_builder *b, const struct text_phase *phase, int x)
{
    const struct snug_text_config *t = &b->model->config.text;
    snug_builder_prefix(b, "text");
    if (!phase->all_logits) {
        int last = snug_builder_scratch(b, 0, 1, t->hidden, "last");
        struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_LAST_ROW);
        step->in[0] = x;
        step->out[0] = last;
        x = last;
    }
    int normed = snug_build_norm(b, x, true, t->eps, "norm");
    const struct snug_weight *head = snug_model_weight_or_null(b->model, "lm_head.weight");
    int w = weight_operand(b, head ? head : snug_model_weight(b->model, "text.embed.weight"));
    *phase->logits = snug_program_operand(b->program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32,
                                          phase->all_logits ? 1 : 0, phase->all_logits ? 0 : 1,
                                          t->vocabulary, "logits");
    linear_step(b, normed, w, -1, *phase->logits);
}

void snug_build_text_phases(struct snug_builder *b, const struct snug_program_options *options,
                            struct snug_program_handles *handles)
{
    const struct snug_text_config *t = &b->model->config.text;
    struct snug_program *p = b->program;
    int64_t slots = options->slots ? options->slots : 1;
    struct snug_attention_shape shape = {.heads = t->heads,
                                         .kv_heads = t->kv_heads,
                                         .head_dim = t->head_dim,
                                         .capacity =
                                             snug_panel_count(options->capacity) * SNUG_PANEL,
                                         .caches = slots,
                                         .slots = -1,
                                         .positions = -1};
    struct text_phase phases[2] = {
        {"prefill", options->prefill_chunk, options->all_logits, false, &handles->prefill_ids,
         &handles->prefill_image_row, &handles->prefill_inv_freq, &handles->prefill_logits, NULL,
         NULL},
        {"decode", slots, true, true, &handles->decode_ids, &handles->decode_image_row,
         &handles->decode_inv_freq, &handles->decode_logits, &handles->decode_slots,
         &handles->decode_positions}};
    /* One document's keys may lie where its own pictures were looked at; those of several may not,
     * because the next one is looked at while the others are written. */
    enum snug_operand_kind kind = slots > 1 ? SNUG_OPERAND_KIND_LASTING : SNUG_OPERAND_KIND_STATE;
    int first_cache =
        -1; /* keys and values of layer i: first_cache + 2 i, + 1; shared by both phases */
    for (int phase = 0; phase < 2; phase++) {
        *(phase ? &handles->decode : &handles->prefill) = p->phase_count;
        snug_program_phase(p, phases[phase].name, phases[phase].units);
        for (int i = 0; phase == 0 && i < t->layers; i++) {
            snug_builder_prefix(b, "text");
            char name[32];
            snprintf(name, sizeof name, "k.%d", i);
            int k = snug_build_cache(b, kind, options->kv_dtype, &shape, false, name);
            snprintf(name, sizeof name, "v.%d", i);
            snug_build_cache(b, kind, options->kv_dtype, &shape, true, name);
            first_cache = i ? first_cache : k;
        }
        int x = embed_step(b, &phases[phase], phase ? -1 : handles->features);
        if (phases[phase].batch) {
            shape.slots = *phases[phase].slots;
            shape.positions = *phases[phase].positions;
        }
        for (int i = 0; i < t->layers; i++)
            text_layer(b, i, x, *phases[phase].inv_freq, first_cache + 2 * i,
                       first_cache + 2 * i + 1, &shape);
        head_steps(b, &phases[phase], x);
    }
}
