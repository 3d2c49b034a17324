/* The text model that the families share, Qwen2 and Llama: a prompt's chunk, and a step of several
 * documents. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/blocks.h"
#include "models/placement.h"
#include "models/weights.h"

#include <stdio.h>

/* A phase while it is built. */
struct text_phase {
    const char *name;
    int64_t units;
    bool all_logits; /* a row for every unit */
    bool batch;      /* every unit is the next token of a document of its own */
    struct snug_text_handles *handles;
};

/* ---- caches ---- */

struct snug_attention_shape snug_text_shape(const struct snug_builder *b,
                                            const struct snug_program_options *options,
                                            int64_t positions)
{
    const struct snug_text_config *t = &b->model->config.text;
    return (struct snug_attention_shape){.sequence = SNUG_SEQUENCE_KIND_TEXT,
                                         .heads = t->heads,
                                         .kv_heads = t->kv_heads,
                                         .head_dim = t->head_dim,
                                         .capacity = snug_panel_count(positions) * SNUG_PANEL,
                                         .caches = options->slots ? options->slots : 1,
                                         .slots = -1,
                                         .positions = -1,
                                         .source = -1};
}

void snug_build_text_cache(struct snug_builder *b, const struct snug_program_options *options,
                           const struct snug_attention_shape *shape, bool lasting, int layer)
{
    enum snug_operand_kind kind = lasting ? SNUG_OPERAND_KIND_LASTING : SNUG_OPERAND_KIND_STATE;
    snug_builder_prefix(b, "text");
    for (int values = 0; values < 2; values++) {
        char name[32];
        snprintf(name, sizeof name, "%c.%d", values ? 'v' : 'k', layer);
        snug_build_cache(b, kind, options->kv_dtype, shape, values, name);
    }
}

int snug_builder_text_cache(const struct snug_builder *b, bool values, int layer)
{
    char name[32];
    snprintf(name, sizeof name, "text.%c.%d", values ? 'v' : 'k', layer);
    return snug_program_find(b->program, name);
}

/* ---- layers ---- */

static void rope_step(struct snug_builder *b, int inv_freq, int positions, int x, int64_t heads,
                      int64_t head_dim)
{
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_ROPE);
    step->in[0] = inv_freq;
    step->in[1] = positions;
    step->out[0] = x;
    step->heads = heads;
    step->head_dim = head_dim;
}

/* down(silu(gate(norm(x))) * up(norm(x))) */
static int mlp(struct snug_builder *b, int x)
{
    const struct snug_text_config *t = &b->model->config.text;
    int normed = snug_build_norm(b, x, true, t->eps, "norm2");
    int gate = snug_build_linear(b, normed, t->intermediate, "gate", "gate");
    int up = snug_build_linear(b, normed, t->intermediate, "up", "up");
    snug_build_silu_mul(b, gate, up);
    return snug_build_linear(b, gate, t->hidden, "down", "mlp");
}

/* x = x + o(attention(norm(x))); x = x + mlp(x). Qwen2 and Llama differ only in which biases
 * exist. */
static void self_layer(struct snug_builder *b, int i, int x, int inv_freq,
                       const struct snug_attention_shape *shape)
{
    const struct snug_text_config *t = &b->model->config.text;
    int k_cache = snug_builder_text_cache(b, false, i),
        v_cache = snug_builder_text_cache(b, true, i);
    int normed = snug_build_norm(b, x, true, t->eps, "norm1");
    int q = snug_build_linear(b, normed, t->heads * t->head_dim, "q", "q");
    int k = snug_build_linear(b, normed, t->kv_heads * t->head_dim, "k", "k");
    int v = snug_build_linear(b, normed, t->kv_heads * t->head_dim, "v", "v");
    rope_step(b, inv_freq, shape->positions, q, t->heads, t->head_dim);
    rope_step(b, inv_freq, shape->positions, k, t->kv_heads, t->head_dim);
    snug_build_kv_store(b, shape, k, v, k_cache, v_cache);
    int mixed = snug_build_attention(b, shape, q, k_cache, v_cache);
    int attention = snug_build_linear(b, mixed, t->hidden, "o", "attention");
    snug_build_residual(b, x, attention, NULL, true);
    snug_build_residual(b, x, mlp(b, x), NULL, false);
}

/* The rows of pictures in place of the text before: x = x + tanh(g) * o(attention(norm(x))); x = x
 * + tanh(g') * mlp(x), neither for rows that see no picture. */
static void cross_layer(struct snug_builder *b, int i, int x, const struct snug_text_handles *h,
                        const struct snug_attention_shape *shape, enum snug_semantics semantics)
{
    const struct snug_text_config *t = &b->model->config.text;
    int k_cache = snug_builder_text_cache(b, false, i),
        v_cache = snug_builder_text_cache(b, true, i);
    int first_step = b->program->step_count;
    int normed = snug_build_norm(b, x, true, t->eps, "norm1");
    int q = snug_build_linear(b, normed, t->heads * t->head_dim, "q", "q");
    snug_build_norm_in_place(b, q, true, t->eps, t->heads, "q_norm");
    int mixed = snug_build_attention(b, shape, q, k_cache, v_cache);
    struct snug_step *attend = snug_program_last_step(b->program);
    attend->in[4] = h->first_keys;
    attend->in[5] = h->key_counts;
    int attention = snug_build_linear(b, mixed, t->hidden, "o", "attention");
    bool meta = semantics == SNUG_SEMANTICS_META;
    snug_build_gated_residual(b, x, attention, "attention_gate", meta ? h->key_counts : -1, true);
    snug_build_gated_residual(b, x, mlp(b, x), "mlp_gate", meta ? h->key_counts : h->row_mask,
                              false);
    for (int s = first_step; s < b->program->step_count; s++)
        b->program->steps[s].needs_picture = true;
}

/* ---- phases ---- */

static int input(struct snug_builder *b, const struct text_phase *phase, const char *name)
{
    return snug_program_operand(b->program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_I32, 1, 0, 1,
                                "%s.%s", phase->name, name);
}

static void inputs(struct snug_builder *b, const struct text_phase *phase, bool cross,
                   enum snug_semantics semantics)
{
    const struct snug_text_config *t = &b->model->config.text;
    struct snug_text_handles *h = phase->handles;
    h->ids = input(b, phase, "ids");
    h->image_row = input(b, phase, "image_row");
    h->inv_freq = snug_program_operand(b->program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_F32,
                                       phase->batch ? 1 : 0, phase->batch ? 0 : 1, t->head_dim / 2,
                                       "%s.inv_freq", phase->name);
    h->slots = phase->batch ? input(b, phase, "slots") : -1;
    h->positions = phase->batch ? input(b, phase, "positions") : -1;
    h->first_keys = cross ? input(b, phase, "first_keys") : -1;
    h->key_counts = cross ? input(b, phase, "key_counts") : -1;
    h->row_mask = cross && semantics != SNUG_SEMANTICS_META ? input(b, phase, "row_mask") : -1;
}

static int embed_step(struct snug_builder *b, const struct snug_text_handles *h, int features)
{
    const struct snug_text_config *t = &b->model->config.text;
    snug_builder_prefix(b, "text");
    int table = snug_builder_weight(b, "embed.weight");
    int x = snug_builder_scratch(b, 1, 0, t->hidden, "inputs_embeds"); /* the residual stream */
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_EMBED);
    step->in[0] = h->ids;
    step->in[1] = h->image_row;
    step->in[2] = table;
    step->in[3] = features;
    step->out[0] = x;
    step->n = t->embedding_rows;
    step->k = t->hidden;
    return x;
}

static void head_steps(struct snug_builder *b, const struct text_phase *phase, int x)
{
    const struct snug_text_config *t = &b->model->config.text;
    snug_builder_prefix(b, "text");
    b->program->unit = snug_model_unit(&b->model->config, "lm_head");
    if (!phase->all_logits) {
        int last = snug_builder_scratch(b, 0, 1, t->hidden, "last");
        struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_LAST_ROW);
        step->in[0] = x;
        step->out[0] = last;
        x = last;
    }
    int normed = snug_build_norm(b, x, true, t->eps, "norm");
    const struct snug_weight *head = snug_model_weight_or_null(b->model, "lm_head.weight");
    int w =
        snug_builder_operand_of(b, head ? head : snug_model_weight(b->model, "text.embed.weight"));
    phase->handles->logits = snug_program_operand(
        b->program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, phase->all_logits ? 1 : 0,
        phase->all_logits ? 0 : 1, t->vocabulary, "logits");
    if (phase->handles->logits >= 0)
        b->program->operands[phase->handles->logits].output = true;
    snug_build_linear_into(b, normed, w, -1, phase->handles->logits);
}

static void build_phase(struct snug_builder *b, const struct snug_program_options *options,
                        const struct text_phase *phase, int features)
{
    const struct snug_text_config *t = &b->model->config.text;
    const struct snug_text_handles *h = phase->handles;
    bool cross = t->cross_layer_count && options->tiles > 0;
    struct snug_attention_shape self = snug_text_shape(b, options, options->capacity);
    struct snug_attention_shape pictures =
        snug_text_shape(b, options, options->tiles * b->model->config.rows_per_tile);
    phase->handles->phase = b->program->phase_count;
    snug_program_phase(b->program, phase->name, phase->units);
    for (int i = 0; !phase->batch && i < t->layers; i++)
        if (!t->cross_layer[i])
            /* One document's keys may lie where its own pictures were looked at; those of several
             * may not, because the next one is looked at while the others are written. */
            snug_build_text_cache(b, options, &self, self.caches > 1, i);
    inputs(b, phase, cross, options->semantics);
    pictures.sequence = SNUG_SEQUENCE_KIND_CROSS;
    self.slots = pictures.slots = h->slots;
    self.positions = h->positions;
    int x = embed_step(b, h, features);
    for (int i = 0; i < t->layers; i++) {
        snug_builder_prefix(b, "text.layer.%d", i);
        if (!t->cross_layer[i])
            self_layer(b, i, x, h->inv_freq, &self);
        else if (cross)
            cross_layer(b, i, x, h, &pictures, options->semantics);
    }
    head_steps(b, phase, x);
}

void snug_build_text_phases(struct snug_builder *b, const struct snug_program_options *options,
                            struct snug_program_handles *handles)
{
    struct text_phase prefill = {.name = "prefill",
                                 .units = options->prefill_chunk,
                                 .all_logits = options->all_logits,
                                 .handles = &handles->prefill};
    struct text_phase decode = {.name = "decode",
                                .units = options->slots ? options->slots : 1,
                                .all_logits = true,
                                .batch = true,
                                .handles = &handles->decode};
    build_phase(b, options, &prefill, handles->features);
    build_phase(b, options, &decode, -1);
}
