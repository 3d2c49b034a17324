/* InternVL: tensor names, and the forward pass as a flat list of steps.
 * The facts behind every line are in internvl.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/internvl.h"

#include "models/blocks.h"
#include "models/names.h"
#include "models/weights.h"

#include <stdio.h>

/* ---- names ----
 * Ours, the original layout's, the Hugging Face layout's (form a; form b follows by rule). "%d" is
 * the layer. `stacked`: the original stacks q, k and v in one tensor; the third this one is. */
struct name_row {
    const char *ours, *original, *hf;
    int stacked; /* 0: not stacked; 1, 2, 3: first, second, last third */
};

#define V "vision_model.embeddings."
#define VL "vision_model.encoder.layers.%d."
#define HL "vision_tower.encoder.layer.%d."
#define T "language_model.model."
#define TL "language_model.model.layers.%d."

static const struct name_row vision_names[] = {
    {"vision.cls", V "class_embedding", "vision_tower.embeddings.cls_token", 0},
    {"vision.position", V "position_embedding", "vision_tower.embeddings.position_embeddings", 0},
    {"vision.patch.weight", V "patch_embedding.weight",
     "vision_tower.embeddings.patch_embeddings.projection.weight", 0},
    {"vision.patch.bias", V "patch_embedding.bias",
     "vision_tower.embeddings.patch_embeddings.projection.bias", 0},
    {"vision.layer.%d.norm1.weight", VL "norm1.weight", HL "layernorm_before.weight", 0},
    {"vision.layer.%d.norm1.bias", VL "norm1.bias", HL "layernorm_before.bias", 0},
    {"vision.layer.%d.q.weight", VL "attn.qkv.weight", HL "attention.q_proj.weight", 1},
    {"vision.layer.%d.k.weight", VL "attn.qkv.weight", HL "attention.k_proj.weight", 2},
    {"vision.layer.%d.v.weight", VL "attn.qkv.weight", HL "attention.v_proj.weight", 3},
    {"vision.layer.%d.q.bias", VL "attn.qkv.bias", HL "attention.q_proj.bias", 1},
    {"vision.layer.%d.k.bias", VL "attn.qkv.bias", HL "attention.k_proj.bias", 2},
    {"vision.layer.%d.v.bias", VL "attn.qkv.bias", HL "attention.v_proj.bias", 3},
    {"vision.layer.%d.q_norm.weight", VL "attn.q_norm.weight", HL "attention.q_norm.weight", 0},
    {"vision.layer.%d.k_norm.weight", VL "attn.k_norm.weight", HL "attention.k_norm.weight", 0},
    {"vision.layer.%d.o.weight", VL "attn.proj.weight", HL "attention.projection_layer.weight", 0},
    {"vision.layer.%d.o.bias", VL "attn.proj.bias", HL "attention.projection_layer.bias", 0},
    {"vision.layer.%d.scale1", VL "ls1", HL "lambda_1", 0},
    {"vision.layer.%d.norm2.weight", VL "norm2.weight", HL "layernorm_after.weight", 0},
    {"vision.layer.%d.norm2.bias", VL "norm2.bias", HL "layernorm_after.bias", 0},
    {"vision.layer.%d.fc1.weight", VL "mlp.fc1.weight", HL "mlp.fc1.weight", 0},
    {"vision.layer.%d.fc1.bias", VL "mlp.fc1.bias", HL "mlp.fc1.bias", 0},
    {"vision.layer.%d.fc2.weight", VL "mlp.fc2.weight", HL "mlp.fc2.weight", 0},
    {"vision.layer.%d.fc2.bias", VL "mlp.fc2.bias", HL "mlp.fc2.bias", 0},
    {"vision.layer.%d.scale2", VL "ls2", HL "lambda_2", 0},
    {"projector.layer_norm.weight", "mlp1.0.weight", "multi_modal_projector.layer_norm.weight", 0},
    {"projector.layer_norm.bias", "mlp1.0.bias", "multi_modal_projector.layer_norm.bias", 0},
    {"projector.linear_1.weight", "mlp1.1.weight", "multi_modal_projector.linear_1.weight", 0},
    {"projector.linear_1.bias", "mlp1.1.bias", "multi_modal_projector.linear_1.bias", 0},
    {"projector.linear_2.weight", "mlp1.3.weight", "multi_modal_projector.linear_2.weight", 0},
    {"projector.linear_2.bias", "mlp1.3.bias", "multi_modal_projector.linear_2.bias", 0},
};

static const struct name_row text_names[] = {
    {"text.embed.weight", T "embed_tokens.weight", T "embed_tokens.weight", 0},
    {"text.norm.weight", T "norm.weight", T "norm.weight", 0},
    {"lm_head.weight", "language_model.lm_head.weight", "language_model.lm_head.weight", 0},
    {"text.layer.%d.norm1.weight", TL "input_layernorm.weight", TL "input_layernorm.weight", 0},
    {"text.layer.%d.q.weight", TL "self_attn.q_proj.weight", TL "self_attn.q_proj.weight", 0},
    {"text.layer.%d.q.bias", TL "self_attn.q_proj.bias", TL "self_attn.q_proj.bias", 0},
    {"text.layer.%d.k.weight", TL "self_attn.k_proj.weight", TL "self_attn.k_proj.weight", 0},
    {"text.layer.%d.k.bias", TL "self_attn.k_proj.bias", TL "self_attn.k_proj.bias", 0},
    {"text.layer.%d.v.weight", TL "self_attn.v_proj.weight", TL "self_attn.v_proj.weight", 0},
    {"text.layer.%d.v.bias", TL "self_attn.v_proj.bias", TL "self_attn.v_proj.bias", 0},
    {"text.layer.%d.o.weight", TL "self_attn.o_proj.weight", TL "self_attn.o_proj.weight", 0},
    {"text.layer.%d.norm2.weight", TL "post_attention_layernorm.weight",
     TL "post_attention_layernorm.weight", 0},
    {"text.layer.%d.gate.weight", TL "mlp.gate_proj.weight", TL "mlp.gate_proj.weight", 0},
    {"text.layer.%d.up.weight", TL "mlp.up_proj.weight", TL "mlp.up_proj.weight", 0},
    {"text.layer.%d.down.weight", TL "mlp.down_proj.weight", TL "mlp.down_proj.weight", 0},
};
#define T_EMBED T "embed_tokens.weight"
static const char embed_name[] = T_EMBED;
#undef T_EMBED
#undef V
#undef VL
#undef HL
#undef T
#undef TL

/* ---- weights ---- */

/* The whole list is being made: what is the same for every weight. */
struct list {
    struct snug_weight_list *weights;
    const struct snug_model_config *config;
};

static const struct name_row *find_row(const char *ours)
{
    for (size_t i = 0; i < sizeof vision_names / sizeof *vision_names; i++)
        if (!strcmp(vision_names[i].ours, ours))
            return &vision_names[i];
    for (size_t i = 0; i < sizeof text_names / sizeof *text_names; i++)
        if (!strcmp(text_names[i].ours, ours))
            return &text_names[i];
    SNUG_ASSERT(!"a name of this file's tables");
    return NULL;
}

/* Adds weight `ours` of layer `layer`: matrix [n, k], or vector of n if k == 0. The shape on disk
 * is given where it is not that (rank 0: it is). */
static enum snug_status add(struct list *list, const char *ours, int layer, int64_t n, int64_t k,
                            struct snug_shape disk, bool linear, struct snug_error *error)
{
    const struct name_row *row = find_row(ours);
    char name[96], candidates[3][SNUG_WEIGHT_NAME_BYTES];
    snug_name_of_layer(row->ours, layer, name, sizeof name);
    snug_name_of_layer(row->original, layer, candidates[0], sizeof candidates[0]);
    snug_name_of_layer(row->hf, layer, candidates[1], sizeof candidates[1]);
    snug_name_form_b(candidates[1], candidates[2], sizeof candidates[2]);
    struct snug_weight_request request = {
        .name = name, .n = n, .k = k, .shape = disk, .linear = linear};
    bool original = list->config->layout == SNUG_LAYOUT_KIND_ORIGINAL;
    /* The layout of config.json names what a message asks for; each tensor may come in any. */
    request.candidates[0] = candidates[original ? 0 : 1];
    request.candidates[1] = candidates[original ? 1 : 2];
    request.candidates[2] = candidates[original ? 2 : 0];
    if (row->stacked) {
        request.stacked_name = candidates[0];
        request.stacked_rows = 3 * n;
        request.stacked_first = (row->stacked - 1) * n;
    }
    return snug_weight_list_add(list->weights, &request, error);
}

#define VECTOR(ours, layer, n)                                                                     \
    SNUG_TRY(add(list, ours, layer, n, 0, (struct snug_shape){0}, false, error))
#define MATRIX(ours, layer, n, k) /* of a linear layer */                                          \
    SNUG_TRY(add(list, ours, layer, n, k, (struct snug_shape){0}, true, error))

static enum snug_status add_vision_layer(struct list *list, int i, struct snug_error *error)
{
    const struct snug_vision_config *v = &list->config->vision;
    int64_t d = v->hidden, f = v->intermediate;
    static const char *const qkv[3] = {"vision.layer.%d.q", "vision.layer.%d.k",
                                       "vision.layer.%d.v"};
    VECTOR("vision.layer.%d.norm1.weight", i, d);
    if (!v->rms_norm)
        VECTOR("vision.layer.%d.norm1.bias", i, d);
    for (int j = 0; j < 3; j++) {
        char name[64];
        snprintf(name, sizeof name, "%s.weight", qkv[j]);
        MATRIX(name, i, d, d);
        snprintf(name, sizeof name, "%s.bias", qkv[j]);
        if (v->qkv_bias)
            VECTOR(name, i, d);
    }
    if (v->qk_norm) {
        VECTOR("vision.layer.%d.q_norm.weight", i, d);
        VECTOR("vision.layer.%d.k_norm.weight", i, d);
    }
    MATRIX("vision.layer.%d.o.weight", i, d, d);
    VECTOR("vision.layer.%d.o.bias", i, d);
    VECTOR("vision.layer.%d.scale1", i, d);
    VECTOR("vision.layer.%d.norm2.weight", i, d);
    if (!v->rms_norm)
        VECTOR("vision.layer.%d.norm2.bias", i, d);
    MATRIX("vision.layer.%d.fc1.weight", i, f, d);
    VECTOR("vision.layer.%d.fc1.bias", i, f);
    MATRIX("vision.layer.%d.fc2.weight", i, d, f);
    VECTOR("vision.layer.%d.fc2.bias", i, d);
    VECTOR("vision.layer.%d.scale2", i, d);
    return SNUG_STATUS_OK;
}

static enum snug_status add_vision(struct list *list, struct snug_error *error)
{
    const struct snug_vision_config *v = &list->config->vision;
    int64_t d = v->hidden, h = list->config->text.hidden;
    int64_t grid = v->image_side / v->patch, patches = grid * grid;
    struct snug_shape cls = {3, {1, 1, d}}, position = {3, {1, 1 + patches, d}};
    struct snug_shape patch = {4, {d, 3, v->patch, v->patch}};
    SNUG_TRY(add(list, "vision.cls", 0, d, 0, cls, false, error));
    SNUG_TRY(add(list, "vision.position", 0, (1 + patches) * d, 0, position, false, error));
    SNUG_TRY(add(list, "vision.patch.weight", 0, d, 3 * v->patch * v->patch, patch, false, error));
    VECTOR("vision.patch.bias", 0, d);
    for (int i = 0; i < v->layers; i++)
        SNUG_TRY(add_vision_layer(list, i, error));
    VECTOR("projector.layer_norm.weight", 0, 4 * d);
    VECTOR("projector.layer_norm.bias", 0, 4 * d);
    MATRIX("projector.linear_1.weight", 0, h, 4 * d);
    VECTOR("projector.linear_1.bias", 0, h);
    MATRIX("projector.linear_2.weight", 0, h, h);
    VECTOR("projector.linear_2.bias", 0, h);
    return SNUG_STATUS_OK;
}

static enum snug_status add_text(struct list *list, struct snug_error *error)
{
    const struct snug_text_config *t = &list->config->text;
    int64_t h = t->hidden, q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim;
    SNUG_TRY(
        add(list, "text.embed.weight", 0, t->vocabulary, h, (struct snug_shape){0}, false, error));
    for (int i = 0; i < t->layers; i++) {
        VECTOR("text.layer.%d.norm1.weight", i, h);
        MATRIX("text.layer.%d.q.weight", i, q, h);
        VECTOR("text.layer.%d.q.bias", i, q);
        MATRIX("text.layer.%d.k.weight", i, kv, h);
        VECTOR("text.layer.%d.k.bias", i, kv);
        MATRIX("text.layer.%d.v.weight", i, kv, h);
        VECTOR("text.layer.%d.v.bias", i, kv);
        MATRIX("text.layer.%d.o.weight", i, h, q);
        VECTOR("text.layer.%d.norm2.weight", i, h);
        MATRIX("text.layer.%d.gate.weight", i, t->intermediate, h);
        MATRIX("text.layer.%d.up.weight", i, t->intermediate, h);
        MATRIX("text.layer.%d.down.weight", i, h, t->intermediate);
    }
    VECTOR("text.norm.weight", 0, h);
    return SNUG_STATUS_OK;
}

/* The embedding's tensor once more, to be quantised as the head. */
static enum snug_status add_head_copy(struct list *list, struct snug_error *error)
{
    const struct snug_text_config *t = &list->config->text;
    const char *names[2] = {embed_name, "model.language_model.embed_tokens.weight"};
    struct snug_weight_request request = {.name = "lm_head.weight",
                                          .n = t->vocabulary,
                                          .k = t->hidden,
                                          .candidates = {names[0], names[0], names[1]},
                                          .linear = true,
                                          .copy = true};
    return snug_weight_list_add(list->weights, &request, error);
}

/* A head on disk is used whatever the tie keys say; without one the embedding serves, if it may. */
static enum snug_status add_head(struct list *list, const struct snug_safetensors *checkpoint,
                                 const char *folder, struct snug_error *error)
{
    const struct snug_text_config *t = &list->config->text;
    if (snug_safetensors_find(checkpoint, "language_model.lm_head.weight") ||
        snug_safetensors_find(checkpoint, "lm_head.weight")) {
        MATRIX("lm_head.weight", 0, t->vocabulary, t->hidden);
        return SNUG_STATUS_OK;
    }
    if (list->config->tie_allowed && snug_weight_list_copies_head(list->weights))
        return add_head_copy(list, error);
    if (list->config->tie_allowed)
        return SNUG_STATUS_OK;
    return snug_error_set(
        error, SNUG_STATUS_MODEL,
        "%s: no tensor language_model.lm_head.weight [%lld, %lld], and tie_word_embeddings is "
        "false: the folder has no output head",
        folder, (long long)t->vocabulary, (long long)t->hidden);
}

enum snug_status snug_internvl_list(struct snug_weight_list *weights,
                                    const struct snug_model_config *config,
                                    const struct snug_safetensors *checkpoint,
                                    struct snug_error *error)
{
    struct list list = {weights, config};
    SNUG_TRY(add_vision(&list, error));
    SNUG_TRY(add_text(&list, error));
    if (checkpoint)
        return add_head(&list, checkpoint, weights->folder, error);
    return add(&list, "lm_head.weight", 0, config->text.vocabulary, config->text.hidden,
               (struct snug_shape){0}, true, error);
}

/* ---- forward pass ---- */

#define PROJECTOR_EPS 1e-5f /* fixed in both reference codes, not the tower's */

/* x <- x + scale1 * attention(norm(x)); x <- x + scale2 * mlp(norm(x)). */
static void vision_layer(struct snug_builder *b, int i, int64_t rows, int x)
{
    const struct snug_vision_config *v = &b->model->config.vision;
    int64_t d = v->hidden, f = v->intermediate;
    struct snug_attention_shape shape = {.heads = v->heads,
                                         .kv_heads = v->heads,
                                         .head_dim = v->head_dim,
                                         .capacity = snug_panel_count(rows) * SNUG_PANEL,
                                         .sequence = SNUG_SEQUENCE_KIND_TILE,
                                         .rows_per_sequence = rows,
                                         .slots = -1,
                                         .positions = -1,
                                         .source = -1};
    snug_builder_prefix(b, "vision.layer.%d", i);
    int normed = snug_build_norm(b, x, v->rms_norm, v->eps, "norm1");
    int q = snug_build_linear(b, normed, d, "q", "q");
    int k = snug_build_linear(b, normed, d, "k", "k");
    int u = snug_build_linear(b, normed, d, "v", "v");
    if (v->qk_norm) {
        snug_build_norm_in_place(b, q, true, v->eps, 1, "q_norm");
        snug_build_norm_in_place(b, k, true, v->eps, 1, "k_norm");
    }
    int k_cache =
        snug_build_cache(b, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, &shape, false, "k_cache");
    int v_cache =
        snug_build_cache(b, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, &shape, true, "v_cache");
    snug_build_kv_store(b, &shape, k, u, k_cache, v_cache);
    int mixed = snug_build_attention(b, &shape, q, k_cache, v_cache);
    int attention = snug_build_linear(b, mixed, d, "o", "attention");
    snug_build_residual(b, x, attention, "scale1", true);
    normed = snug_build_norm(b, x, v->rms_norm, v->eps, "norm2");
    int wide = snug_build_linear(b, normed, f, "fc1", "fc1");
    snug_build_gelu(b, wide, wide);
    int mlp = snug_build_linear(b, wide, d, "fc2", "mlp");
    snug_build_residual(b, x, mlp, "scale2", false);
}

static void vision_phase(struct snug_builder *b, const struct snug_program_options *options,
                         struct snug_program_handles *handles)
{
    const struct snug_vision_config *v = &b->model->config.vision;
    struct snug_program *p = b->program;
    int64_t d = v->hidden, h = b->model->config.text.hidden, grid = v->image_side / v->patch;
    int64_t patches = grid * grid, tokens = patches / 4, terms = 3 * v->patch * v->patch;
    handles->vision = p->phase_count;
    snug_program_phase(p, "vision", options->vision_batch);
    handles->pixels = snug_program_operand(p, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_F32, 1, 0,
                                           3 * v->image_side * v->image_side, "pixel_values");
    snug_builder_prefix(b, "vision");
    int pieces = snug_builder_scratch(b, patches, 0, terms, "pieces");
    struct snug_step *step = snug_program_step(p, SNUG_OP_KIND_PATCHES);
    step->in[0] = handles->pixels;
    step->out[0] = pieces;
    step->side = v->image_side;
    step->patch = v->patch;
    int embedded = snug_build_linear(b, pieces, d, "patch", "patch");
    int cls = snug_builder_weight(b, "cls"), position = snug_builder_weight(b, "position");
    int x = snug_builder_scratch(b, 1 + patches, 0, d, "embeddings"); /* the residual stream */
    step = snug_program_step(p, SNUG_OP_KIND_VISION_EMBED);
    step->in[0] = embedded;
    step->in[1] = cls;
    step->in[2] = position;
    step->out[0] = x;
    for (int i = 0; i < v->run_layers; i++)
        vision_layer(b, i, 1 + patches, x);
    snug_builder_prefix(b, "vision");
    int bare = snug_builder_scratch(b, patches, 0, d, "patches");
    step = snug_program_step(p, SNUG_OP_KIND_DROP_CLS);
    step->in[0] = x;
    step->out[0] = bare;
    int shuffled = snug_builder_scratch(b, tokens, 0, 4 * d, "pixel_shuffle");
    step = snug_program_step(p, SNUG_OP_KIND_PIXEL_SHUFFLE);
    step->in[0] = bare;
    step->out[0] = shuffled;
    step->grid = grid;
    step->transposed = v->shuffle_transposed;
    snug_builder_prefix(b, "projector");
    int normed = snug_build_norm(b, shuffled, false, PROJECTOR_EPS, "layer_norm");
    int hidden = snug_build_linear(b, normed, h, "linear_1", "linear_1");
    int active = snug_builder_scratch(b, tokens, 0, h, "act");
    snug_build_gelu(b, hidden, active);
    int projected = snug_build_linear(b, active, h, "linear_2", "linear_2");
    handles->features = snug_program_operand(p, SNUG_OPERAND_KIND_STATE, SNUG_DTYPE_F32, 0,
                                             options->tiles * tokens, h, "features");
    step = snug_program_step(p, SNUG_OP_KIND_STORE_ROWS);
    step->in[0] = projected;
    step->out[0] = handles->features;
}

void snug_internvl_program(const struct snug_model *model,
                           const struct snug_program_options *options, struct snug_program *program,
                           struct snug_program_handles *handles)
{
    struct snug_builder b;
    snug_builder_init(&b, model, program);
    if (options->tiles > 0)
        vision_phase(&b, options, handles);
    snug_build_text_phases(&b, options, handles);
}
