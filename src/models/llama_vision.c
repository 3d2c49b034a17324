/* Llama-3.2-Vision: tensor names, and the forward pass as a flat list of steps.
 * The facts behind every line are in llama_vision.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/llama_vision.h"

#include "models/blocks.h"
#include "models/names.h"

#include <stdio.h>

/* ---- names ----
 * Ours, and the Hugging Face layout's (form a; form b follows by rule). "%d" is the layer. */
struct name_row {
    const char *ours, *hf;
};

#define V "vision_model."
#define G "vision_model.gated_positional_embedding."
#define T "language_model.model."
#define TL "language_model.model.layers.%d."

static const struct name_row vision_names[] = {
    {"vision.cls", V "class_embedding"},
    {"vision.patch.weight", V "patch_embedding.weight"},
    {"vision.position", G "embedding"},
    {"vision.position_gate", G "gate"},
    {"vision.tile_position", G "tile_embedding.weight"},
    {"vision.pre_tile", V "pre_tile_positional_embedding.embedding.weight"},
    {"vision.pre_tile_gate", V "pre_tile_positional_embedding.gate"},
    {"vision.post_tile", V "post_tile_positional_embedding.embedding.weight"},
    {"vision.post_tile_gate", V "post_tile_positional_embedding.gate"},
    {"vision.ln_pre.weight", V "layernorm_pre.weight"},
    {"vision.ln_pre.bias", V "layernorm_pre.bias"},
    {"vision.ln_post.weight", V "layernorm_post.weight"},
    {"vision.ln_post.bias", V "layernorm_post.bias"},
    {"projector.linear.weight", "multi_modal_projector.weight"},
    {"projector.linear.bias", "multi_modal_projector.bias"},
};

/* Of a layer, after "vision_model.transformer.layers.N." or "...global_transformer...". */
static const struct name_row tower_names[] = {
    {"norm1.weight", "input_layernorm.weight"},
    {"norm1.bias", "input_layernorm.bias"},
    {"q.weight", "self_attn.q_proj.weight"},
    {"k.weight", "self_attn.k_proj.weight"},
    {"v.weight", "self_attn.v_proj.weight"},
    {"o.weight", "self_attn.o_proj.weight"},
    {"norm2.weight", "post_attention_layernorm.weight"},
    {"norm2.bias", "post_attention_layernorm.bias"},
    {"fc1.weight", "mlp.fc1.weight"},
    {"fc1.bias", "mlp.fc1.bias"},
    {"fc2.weight", "mlp.fc2.weight"},
    {"fc2.bias", "mlp.fc2.bias"},
    {"attention_gate", "gate_attn"},
    {"mlp_gate", "gate_ffn"},
};

static const struct name_row text_names[] = {
    {"text.embed.weight", T "embed_tokens.weight"},
    {"text.norm.weight", T "norm.weight"},
    {"lm_head.weight", "language_model.lm_head.weight"},
    {"text.layer.%d.norm1.weight", TL "input_layernorm.weight"},
    {"text.layer.%d.q.weight", TL "self_attn.q_proj.weight"},
    {"text.layer.%d.k.weight", TL "self_attn.k_proj.weight"},
    {"text.layer.%d.v.weight", TL "self_attn.v_proj.weight"},
    {"text.layer.%d.o.weight", TL "self_attn.o_proj.weight"},
    {"text.layer.%d.norm2.weight", TL "post_attention_layernorm.weight"},
    {"text.layer.%d.gate.weight", TL "mlp.gate_proj.weight"},
    {"text.layer.%d.up.weight", TL "mlp.up_proj.weight"},
    {"text.layer.%d.down.weight", TL "mlp.down_proj.weight"},
};

/* What cross-attention layers have instead of self_attn, or besides. */
static const struct name_row cross_names[] = {
    {"text.layer.%d.q.weight", TL "cross_attn.q_proj.weight"},
    {"text.layer.%d.k.weight", TL "cross_attn.k_proj.weight"},
    {"text.layer.%d.v.weight", TL "cross_attn.v_proj.weight"},
    {"text.layer.%d.o.weight", TL "cross_attn.o_proj.weight"},
    {"text.layer.%d.q_norm.weight", TL "cross_attn.q_norm.weight"},
    {"text.layer.%d.k_norm.weight", TL "cross_attn.k_norm.weight"},
    {"text.layer.%d.attention_gate", TL "cross_attn_attn_gate"},
    {"text.layer.%d.mlp_gate", TL "cross_attn_mlp_gate"},
};
#undef V
#undef G
#undef T
#undef TL

#define FIND(rows, ours) find_row(rows, sizeof(rows) / sizeof *(rows), ours)
static const char *find_row(const struct name_row *rows, size_t count, const char *ours)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rows[i].ours, ours))
            return rows[i].hf;
    return NULL;
}

/* ---- weights ---- */

/* Adds one weight: matrix [n, k], or vector or table of n if k == 0. disk: its shape there, if it
 * is not that (rank 0: it is). */
static enum snug_status add(struct snug_weight_list *list, const char *ours, const char *hf,
                            int layer, int64_t n, int64_t k, struct snug_shape disk, bool linear,
                            struct snug_error *error)
{
    char name[96], form_a[SNUG_WEIGHT_NAME_BYTES], form_b[SNUG_WEIGHT_NAME_BYTES];
    snug_name_of_layer(ours, layer, name, sizeof name);
    snug_name_of_layer(hf, layer, form_a, sizeof form_a);
    snug_name_form_b(form_a, form_b, sizeof form_b);
    struct snug_weight_request request = {.name = name,
                                          .n = n,
                                          .k = k,
                                          .shape = disk,
                                          .candidates = {form_a, form_b, form_b},
                                          .linear = linear,
                                          .as_stored = k == 0 && disk.rank == 2};
    return snug_weight_list_add(list, &request, error);
}

#define AS_IS ((struct snug_shape){0})
#define VISION(ours, n, k, disk)                                                                   \
    SNUG_TRY(add(list, ours, FIND(vision_names, ours), 0, n, k, disk, false, error))

static enum snug_status add_tower_layer(struct snug_weight_list *list,
                                        const struct snug_vision_config *v, bool global, int i,
                                        struct snug_error *error)
{
    const int64_t d = v->hidden, f = v->intermediate;
    for (size_t j = 0; j < sizeof tower_names / sizeof *tower_names; j++) {
        const char *last = tower_names[j].ours;
        char ours[64], hf[96];
        bool gate = strstr(last, "_gate") != NULL, norm = !strncmp(last, "norm", 4);
        bool matrix = !gate && !norm && strstr(last, ".weight");
        int64_t n = gate ? 1 : !strncmp(last, "fc1", 3) ? f : d;
        int64_t k = !matrix ? 0 : !strncmp(last, "fc2", 3) ? f : d;
        if (gate && !global)
            continue;
        snprintf(ours, sizeof ours, "vision.%s.%%d.%s", global ? "global" : "local", last);
        snprintf(hf, sizeof hf, "vision_model.%s.layers.%%d.%s",
                 global ? "global_transformer" : "transformer", tower_names[j].hf);
        SNUG_TRY(add(list, ours, hf, i, n, k, AS_IS, matrix, error));
    }
    return SNUG_STATUS_OK;
}

static enum snug_status add_vision(struct snug_weight_list *list,
                                   const struct snug_model_config *config, struct snug_error *error)
{
    const struct snug_vision_config *v = &config->vision;
    int64_t d = v->hidden, rows = config->rows_per_tile, tiles = v->max_tiles;
    int64_t ratios = 1 + snug_tile_aspect_count(tiles), terms = 3 * v->patch * v->patch;
    VISION("vision.cls", d, 0, AS_IS);
    VISION("vision.patch.weight", d, terms, ((struct snug_shape){4, {d, 3, v->patch, v->patch}}));
    VISION("vision.position", rows * d, 0, ((struct snug_shape){2, {rows, d}}));
    VISION("vision.position_gate", 1, 0, AS_IS);
    VISION("vision.tile_position", ratios * tiles * rows * d, 0,
           ((struct snug_shape){2, {ratios, tiles * rows * d}}));
    VISION("vision.pre_tile", ratios * tiles * d, 0, ((struct snug_shape){2, {ratios, tiles * d}}));
    VISION("vision.pre_tile_gate", 1, 0, AS_IS);
    VISION("vision.post_tile", ratios * tiles * d, 0,
           ((struct snug_shape){2, {ratios, tiles * d}}));
    VISION("vision.post_tile_gate", 1, 0, AS_IS);
    VISION("vision.ln_pre.weight", d, 0, AS_IS);
    VISION("vision.ln_pre.bias", d, 0, AS_IS);
    VISION("vision.ln_post.weight", d, 0, AS_IS);
    VISION("vision.ln_post.bias", d, 0, AS_IS);
    for (int i = 0; i < v->layers; i++)
        SNUG_TRY(add_tower_layer(list, v, false, i, error));
    for (int i = 0; i < v->global_layers; i++)
        SNUG_TRY(add_tower_layer(list, v, true, i, error));
    SNUG_TRY(add(list, "projector.linear.weight", FIND(vision_names, "projector.linear.weight"), 0,
                 config->text.hidden, d * (1 + v->taken_count), AS_IS, true, error));
    VISION("projector.linear.bias", config->text.hidden, 0, AS_IS);
    return SNUG_STATUS_OK;
}

/* A weight of text layer i: cross-attention layers have names of their own for some. */
static enum snug_status add_of_layer(struct snug_weight_list *list,
                                     const struct snug_text_config *t, int i, const char *last,
                                     int64_t n, int64_t k, struct snug_error *error)
{
    char ours[64];
    snprintf(ours, sizeof ours, "text.layer.%%d.%s", last);
    const char *hf = t->cross_layer[i] ? FIND(cross_names, ours) : NULL;
    return add(list, ours, hf ? hf : FIND(text_names, ours), i, n, k, AS_IS, k > 0, error);
}
#define LAYER(last, n, k) SNUG_TRY(add_of_layer(list, t, i, last, n, k, error))

static enum snug_status add_text(struct snug_weight_list *list, const struct snug_text_config *t,
                                 struct snug_error *error)
{
    int64_t h = t->hidden, q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim;
    SNUG_TRY(add(list, "text.embed.weight", FIND(text_names, "text.embed.weight"), 0,
                 t->embedding_rows, h, AS_IS, false, error));
    for (int i = 0; i < t->layers; i++) {
        LAYER("norm1.weight", h, 0);
        LAYER("q.weight", q, h);
        LAYER("k.weight", kv, h);
        LAYER("v.weight", kv, h);
        LAYER("o.weight", h, q);
        if (t->cross_layer[i]) {
            LAYER("q_norm.weight", t->head_dim, 0);
            LAYER("k_norm.weight", t->head_dim, 0);
            LAYER("attention_gate", 1, 0);
            LAYER("mlp_gate", 1, 0);
        }
        LAYER("norm2.weight", h, 0);
        LAYER("gate.weight", t->intermediate, h);
        LAYER("up.weight", t->intermediate, h);
        LAYER("down.weight", h, t->intermediate);
    }
    SNUG_TRY(add(list, "text.norm.weight", FIND(text_names, "text.norm.weight"), 0, h, 0, AS_IS,
                 false, error));
    return add(list, "lm_head.weight", FIND(text_names, "lm_head.weight"), 0, t->vocabulary, h,
               AS_IS, true, error);
}

enum snug_status snug_llama_vision_list(struct snug_weight_list *weights,
                                        const struct snug_model_config *config,
                                        struct snug_error *error)
{
    SNUG_TRY(add_vision(weights, config, error));
    return add_text(weights, &config->text, error);
}

/* ---- tiles that are not used ---- */

/* Rows `row` and `other` of a table with that many columns are the same bytes. */
static bool same_rows(const struct snug_model *model, const char *name, int64_t cols, int64_t row,
                      int64_t other)
{
    const struct snug_weight *table = snug_model_weight(model, name);
    size_t bytes = (size_t)cols * snug_dtype_size(table->dtype);
    const unsigned char *data = table->data;
    return !memcmp(data + (size_t)row * bytes, data + (size_t)other * bytes, bytes);
}

uint64_t snug_llama_vision_alike(const struct snug_model *model)
{
    const struct snug_model_config *config = &model->config;
    int64_t d = config->vision.hidden, tiles = config->vision.max_tiles;
    uint64_t alike = 0;
    for (int id = 1; id <= snug_tile_aspect_count(tiles); id++) {
        int64_t first = id * tiles + snug_tile_aspect_tiles(id, tiles);
        bool same = true;
        for (int64_t row = first + 1; row < (id + 1) * tiles; row++)
            same = same && same_rows(model, "vision.pre_tile", d, row, first) &&
                   same_rows(model, "vision.post_tile", d, row, first) &&
                   same_rows(model, "vision.tile_position", config->rows_per_tile * d, row, first);
        if (same)
            alike |= (uint64_t)1 << id;
    }
    return alike;
}

/* ---- forward pass ---- */

#define OUTER_EPS 1e-5f /* of layernorm_pre and layernorm_post: norm_eps is the layers' */

/* One picture at a time, its tiles together. The rows of the tower's matrices are
 *
 *     the picture's own tiles; tiles that fill up the slots (computed as far as they differ);
 *     one row a slot for the padding behind its tile
 *
 * and each row is computed once. Keys stand for all rows of the reference, which has every slot and
 * pads each tile to a multiple of 8: `source` says which row of ours a key is. */
static struct snug_attention_shape tower_shape(const struct snug_model_config *config, int source)
{
    const struct snug_vision_config *v = &config->vision;
    int64_t keys = v->max_tiles * snug_padded_rows_per_tile(config);
    return (struct snug_attention_shape){.sequence = SNUG_SEQUENCE_KIND_PICTURE,
                                         .heads = v->heads,
                                         .kv_heads = v->heads,
                                         .head_dim = v->head_dim,
                                         .capacity = snug_panel_count(keys) * SNUG_PANEL,
                                         .rows_per_sequence = keys,
                                         .caches = 1,
                                         .slots = -1,
                                         .positions = -1,
                                         .source = source};
}

/* x = x + g * attention(norm(x)); x = x + g' * mlp(norm(x)); g = 1 in local layers. */
static void tower_layer(struct snug_builder *b, const struct snug_attention_shape *shape, int x,
                        bool global)
{
    const struct snug_vision_config *v = &b->model->config.vision;
    int64_t d = v->hidden;
    int normed = snug_build_norm(b, x, false, v->eps, "norm1");
    int q = snug_build_linear(b, normed, d, "q", "q");
    int k = snug_build_linear(b, normed, d, "k", "k");
    int u = snug_build_linear(b, normed, d, "v", "v");
    int k_cache =
        snug_build_cache(b, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, shape, false, "k_cache");
    int v_cache =
        snug_build_cache(b, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, shape, true, "v_cache");
    snug_build_kv_store(b, shape, k, u, k_cache, v_cache);
    int mixed = snug_build_attention(b, shape, q, k_cache, v_cache);
    int attention = snug_build_linear(b, mixed, d, "o", "attention");
    if (global)
        snug_build_gated_residual(b, x, attention, "attention_gate", -1, true);
    else
        snug_build_residual(b, x, attention, NULL, true);
    normed = snug_build_norm(b, x, false, v->eps, "norm2");
    int wide = snug_build_linear(b, normed, v->intermediate, "fc1", "fc1");
    snug_build_gelu(b, wide, wide);
    int mlp = snug_build_linear(b, wide, d, "fc2", "mlp");
    if (global)
        snug_build_gated_residual(b, x, mlp, "mlp_gate", -1, false);
    else
        snug_build_residual(b, x, mlp, NULL, false);
}

static int row_input(struct snug_builder *b, int64_t per_tile, int64_t fixed, const char *name)
{
    return snug_program_operand(b->program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_I32, per_tile,
                                fixed, 1, "vision.%s", name);
}

/* Pixels to the rows that enter the tower. */
static int tower_input(struct snug_builder *b, struct snug_program_handles *handles)
{
    const struct snug_model_config *config = &b->model->config;
    const struct snug_vision_config *v = &config->vision;
    int64_t d = v->hidden, rows = config->rows_per_tile, terms = 3 * v->patch * v->patch;
    handles->pixels = snug_program_operand(b->program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_F32, 1,
                                           0, 3 * v->image_side * v->image_side, "pixel_values");
    handles->pre_rows = row_input(b, rows - 1, 0, "pre_rows");
    handles->tile_rows = row_input(b, rows, 0, "tile_rows");
    snug_builder_prefix(b, "vision");
    int pieces = snug_builder_scratch(b, rows - 1, 0, terms, "pieces");
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_PATCHES);
    step->in[0] = handles->pixels;
    step->out[0] = pieces;
    step->side = v->image_side;
    step->patch = v->patch;
    int patches = snug_build_linear(b, pieces, d, "patch", "patch");
    snug_build_add_rows(b, patches, handles->pre_rows, "pre_tile", "pre_tile_gate", false,
                        "vision.pre_tile");
    int cls = snug_builder_weight(b, "cls"), tiles = snug_builder_scratch(b, rows, 0, d, "tiles");
    step = snug_program_step(b->program, SNUG_OP_KIND_VISION_EMBED);
    step->in[0] = patches;
    step->in[1] = cls;
    step->out[0] = tiles;
    snug_build_add_rows(b, tiles, -1, "position", "position_gate", true, NULL);
    snug_build_add_rows(b, tiles, handles->tile_rows, "tile_position", "position_gate", false,
                        "vision.positions");
    int normed = snug_build_norm(b, tiles, false, OUTER_EPS, "ln_pre");
    int x = snug_builder_scratch(b, rows, v->max_tiles, d, "rows"); /* the residual stream */
    step = snug_program_step(b->program, SNUG_OP_KIND_PAD_ROWS);
    step->in[0] = normed;
    step->out[0] = x;
    return x;
}

/* State `index` of those that go to the projector, interleaved behind the last: channel c at d + c
 * * count + index. index -1: the last itself. */
static void hand_on(struct snug_builder *b, int x, int states, int64_t index)
{
    const struct snug_vision_config *v = &b->model->config.vision;
    struct snug_step *step = snug_program_step(b->program, SNUG_OP_KIND_STORE_COLUMNS);
    step->in[0] = x;
    step->out[0] = states;
    step->first_column = index < 0 ? 0 : v->hidden + index;
    step->stride = index < 0 ? 1 : v->taken_count;
    step->label = index < 0 ? "vision.out" : NULL;
}

/* Hands on what goes into (HF5: comes out of) local layer i. */
static void take_states(struct snug_builder *b, int x, int states, int i)
{
    const struct snug_vision_config *v = &b->model->config.vision;
    for (int64_t k = 0; k < v->taken_count; k++)
        if (v->taken[k] == i)
            hand_on(b, x, states, k);
}

static void vision_phase(struct snug_builder *b, const struct snug_program_options *options,
                         struct snug_program_handles *handles)
{
    const struct snug_model_config *config = &b->model->config;
    const struct snug_vision_config *v = &config->vision;
    bool before = options->semantics != SNUG_SEMANTICS_HF5;
    handles->vision = b->program->phase_count;
    snug_program_phase(b->program, "vision", v->max_tiles);
    int x = tower_input(b, handles);
    handles->post_rows = row_input(b, config->rows_per_tile, v->max_tiles, "post_rows");
    struct snug_attention_shape shape = tower_shape(config, -1);
    handles->key_rows = shape.source = row_input(b, 0, shape.rows_per_sequence, "key_rows");
    handles->states = snug_program_operand(b->program, SNUG_OPERAND_KIND_STATE, SNUG_DTYPE_F32,
                                           config->rows_per_tile, 0,
                                           v->hidden * (1 + v->taken_count), "vision.states");
    for (int i = 0; i < v->layers; i++) {
        if (before)
            take_states(b, x, handles->states, i);
        snug_builder_prefix(b, "vision.local.%d", i);
        tower_layer(b, &shape, x, false);
        if (!before)
            take_states(b, x, handles->states, i);
    }
    snug_builder_prefix(b, "vision");
    snug_build_norm_in_place(b, x, false, OUTER_EPS, 1, "ln_post");
    snug_program_last_step(b->program)->label = "vision.ln_post";
    snug_build_add_rows(b, x, handles->post_rows, "post_tile", "post_tile_gate", false,
                        "vision.post_tile");
    for (int i = 0; i < v->global_layers; i++) {
        snug_builder_prefix(b, "vision.global.%d", i);
        tower_layer(b, &shape, x, true);
    }
    hand_on(b, x, handles->states, -1);
}

/* The picture's own tiles to the text model's width, and at once to the keys and values of every
 * cross-attention layer, which is all that the text model reads of them. */
static void projector_phase(struct snug_builder *b, const struct snug_program_options *options,
                            struct snug_program_handles *handles)
{
    const struct snug_model_config *config = &b->model->config;
    const struct snug_text_config *t = &config->text;
    int64_t tiles =
        options->tiles < config->vision.max_tiles ? options->tiles : config->vision.max_tiles;
    struct snug_attention_shape shape =
        snug_text_shape(b, options, options->tiles * config->rows_per_tile);
    bool lasting = shape.caches > 1 || options->pictures > 1;
    handles->projector = b->program->phase_count;
    snug_program_phase(b->program, "projector", tiles);
    for (int i = 0; i < t->layers; i++)
        if (t->cross_layer[i])
            snug_build_text_cache(b, options, &shape, lasting, i);
    snug_builder_prefix(b, "projector");
    int rows = snug_build_linear(b, handles->states, t->hidden, "linear", "linear");
    for (int i = 0; i < t->layers; i++) {
        if (!t->cross_layer[i])
            continue;
        snug_builder_prefix(b, "text.layer.%d", i);
        int k = snug_build_linear(b, rows, t->kv_heads * t->head_dim, "k", "k");
        snug_build_norm_in_place(b, k, true, t->eps, t->kv_heads, "k_norm");
        int v = snug_build_linear(b, rows, t->kv_heads * t->head_dim, "v", "v");
        snug_build_kv_store(b, &shape, k, v, snug_builder_text_cache(b, false, i),
                            snug_builder_text_cache(b, true, i));
    }
}

void snug_llama_vision_program(const struct snug_model *model,
                               const struct snug_program_options *options,
                               struct snug_program *program, struct snug_program_handles *handles)
{
    struct snug_builder b;
    snug_builder_init(&b, model, program);
    if (options->tiles > 0) {
        vision_phase(&b, options, handles);
        projector_phase(&b, options, handles);
    }
    snug_build_text_phases(&b, options, handles);
}
