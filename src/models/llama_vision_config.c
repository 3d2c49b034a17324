/* config.json of Llama-3.2-Vision ("mllama"). Facts: llama_vision.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/config.h"

#include <stdio.h>

#define EXTRA_ROWS 8 /* of the embedding, beyond the vocabulary; the first is the picture's */
#define PART_NAME_BYTES 1024 /* "FILE: text_config" for messages: both parts have a hidden_size */
#define MAX_SLOTS 16         /* max_num_tiles; known models have 4 */

static enum snug_status bad_list(const struct snug_config_reader *r, const char *key,
                                 const char *expected)
{
    return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: %s must be %s", r->file, key,
                          expected);
}

/* cross_attention_layers: which of num_hidden_layers look at the pictures. */
static enum snug_status read_cross_layers(const struct snug_config_reader *r, json_t *text,
                                          struct snug_text_config *out)
{
    static const char key[] = "cross_attention_layers";
    json_t *list = json_object_get(text, key), *value;
    char expected[96];
    size_t i;
    snprintf(expected, sizeof expected, "a list of different layers from 0 to %lld",
             (long long)(out->layers - 1));
    if (!json_is_array(list) || json_array_size(list) == 0)
        return bad_list(r, key, expected);
    json_array_foreach(list, i, value)
    {
        json_int_t layer = json_integer_value(value);
        if (!json_is_integer(value) || layer < 0 || layer >= out->layers || out->cross_layer[layer])
            return bad_list(r, key, expected);
        out->cross_layer[layer] = true;
        out->cross_layer_count++;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_text(const struct snug_config_reader *r, json_t *text,
                                  struct snug_text_config *out)
{
    SNUG_TRY(snug_config_only_string(r, text, "model_type", "mllama_text_model"));
    SNUG_TRY(snug_config_only_bool(r, text, "tie_word_embeddings", false));
    out->eps = 1e-5f;
    out->rope.theta = 500000;
    SNUG_TRY(snug_config_text(r, text, out));
    out->embedding_rows = out->vocabulary + EXTRA_ROWS;
    return read_cross_layers(r, text, out);
}

/* intermediate_layers_indices: states that are handed on beside the last, in the list's order. */
static enum snug_status read_taken(const struct snug_config_reader *r, json_t *vision,
                                   struct snug_vision_config *out)
{
    static const char key[] = "intermediate_layers_indices";
    json_t *list = json_object_get(vision, key), *value;
    int64_t width = 0;
    char expected[96];
    size_t i;
    snprintf(expected, sizeof expected, "a list of at most %d layers from 0 to %lld",
             SNUG_MAX_TAKEN_STATES, (long long)(out->layers - 1));
    if (!json_is_array(list) || json_array_size(list) > SNUG_MAX_TAKEN_STATES)
        return bad_list(r, key, expected);
    json_array_foreach(list, i, value)
    {
        json_int_t layer = json_integer_value(value);
        if (!json_is_integer(value) || layer < 0 || layer >= out->layers)
            return bad_list(r, key, expected);
        out->taken[out->taken_count++] = layer;
    }
    SNUG_TRY(snug_config_need_int(r, vision, "vision_output_dim", SNUG_MAX_WIDTH, &width));
    if (width == out->hidden * (1 + out->taken_count))
        return SNUG_STATUS_OK;
    return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                          "%s: vision_output_dim is %lld, but hidden_size %lld and "
                          "%lld intermediate_layers_indices make %lld",
                          r->file, (long long)width, (long long)out->hidden,
                          (long long)out->taken_count,
                          (long long)(out->hidden * (1 + out->taken_count)));
}

/* supported_aspect_ratios must be the list that the ids of the tables count: all [rows, columns]
 * of at most max_num_tiles tiles. */
static enum snug_status check_ratios(const struct snug_config_reader *r, json_t *vision,
                                     int64_t max_tiles)
{
    json_t *list = json_object_get(vision, "supported_aspect_ratios");
    size_t count = 0;
    bool same = true;
    if (!list || json_is_null(list))
        return SNUG_STATUS_OK;
    for (int64_t rows = 1; rows <= max_tiles; rows++)
        for (int64_t columns = 1; rows * columns <= max_tiles; columns++) {
            json_t *pair = json_array_get(list, count++);
            same = same && json_array_size(pair) == 2 &&
                   json_integer_value(json_array_get(pair, 0)) == rows &&
                   json_integer_value(json_array_get(pair, 1)) == columns;
        }
    if (same && json_array_size(list) == count)
        return SNUG_STATUS_OK;
    return snug_error_set(r->error, SNUG_STATUS_UNSUPPORTED,
                          "%s: supported_aspect_ratios is not the list of all %zu "
                          "[rows, columns] of at most %lld tiles (max_num_tiles)",
                          r->file, count, (long long)max_tiles);
}

/* Rows of the tower's tables are named by i32; the largest has one for every place in every slot of
 * every aspect ratio. */
static enum snug_status check_rows(const struct snug_config_reader *r,
                                   const struct snug_vision_config *v)
{
    int64_t grid = v->image_side / v->patch;
    int64_t ids = 1 + snug_tile_aspect_count(v->max_tiles); /* and id 0 */
    if (ids * v->max_tiles * (1 + grid * grid) <= INT32_MAX)
        return SNUG_STATUS_OK;
    return snug_error_set(r->error, SNUG_STATUS_LIMIT,
                          "%s: image_size %lld in patches of %lld (patch_size) and %lld tiles "
                          "(max_num_tiles) make a table of more than %d rows",
                          r->file, (long long)v->image_side, (long long)v->patch,
                          (long long)v->max_tiles, INT32_MAX);
}

static enum snug_status read_vision(const struct snug_config_reader *r, json_t *vision,
                                    struct snug_vision_config *out)
{
    int64_t channels = 3, layers = 0;
    SNUG_TRY(snug_config_only_string(r, vision, "model_type", "mllama_vision_model"));
    SNUG_TRY(snug_config_only_string(r, vision, "hidden_act", "gelu"));
    SNUG_TRY(snug_config_int(r, vision, "num_channels", 1, 64, &channels));
    if (channels != 3)
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "num_channels", "3", "another number");
    SNUG_TRY(snug_config_need_int(r, vision, "hidden_size", SNUG_MAX_WIDTH, &out->hidden));
    SNUG_TRY(
        snug_config_need_int(r, vision, "intermediate_size", SNUG_MAX_WIDTH, &out->intermediate));
    SNUG_TRY(snug_config_need_int(r, vision, "num_hidden_layers", SNUG_MAX_LAYERS, &layers));
    SNUG_TRY(
        snug_config_need_int(r, vision, "num_global_layers", SNUG_MAX_LAYERS, &out->global_layers));
    SNUG_TRY(snug_config_need_int(r, vision, "attention_heads", 65536, &out->heads));
    SNUG_TRY(snug_config_need_side(r, vision, "image_size", &out->image_side));
    SNUG_TRY(snug_config_need_side(r, vision, "patch_size", &out->patch));
    SNUG_TRY(snug_config_need_int(r, vision, "max_num_tiles", MAX_SLOTS, &out->max_tiles));
    out->eps = 1e-5f;
    SNUG_TRY(snug_config_eps(r, vision, "norm_eps", &out->eps));
    out->layers = out->run_layers = layers;
    if (out->hidden % out->heads || out->hidden / out->heads > SNUG_MAX_HEAD_DIM ||
        out->image_side % out->patch)
        return snug_error_set(r->error, SNUG_STATUS_UNSUPPORTED,
                              "%s: hidden_size must divide by attention_heads into "
                              "at most %d, image_size by patch_size",
                              r->file, SNUG_MAX_HEAD_DIM);
    out->head_dim = out->hidden / out->heads;
    SNUG_TRY(check_ratios(r, vision, out->max_tiles));
    SNUG_TRY(check_rows(r, out));
    return read_taken(r, vision, out);
}

/* image_token_index (image_token_id in later files): within the embedding, beyond the head. */
static enum snug_status read_image_token(const struct snug_config_reader *r, json_t *root,
                                         struct snug_model_config *out)
{
    const char *key =
        json_object_get(root, "image_token_index") ? "image_token_index" : "image_token_id";
    out->image_token_id = out->text.vocabulary;
    return snug_config_int(r, root, key, 0, out->text.embedding_rows - 1, &out->image_token_id);
}

enum snug_status snug_llama_vision_config(const struct snug_config_reader *r, json_t *root,
                                          struct snug_model_config *out)
{
    json_t *text = json_object_get(root, "text_config");
    json_t *vision = json_object_get(root, "vision_config");
    out->family = SNUG_FAMILY_LLAMA_VISION;
    out->layout = SNUG_LAYOUT_KIND_HF;
    if (!json_is_object(text) || !json_is_object(vision))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: text_config and vision_config must both be there", r->file);
    SNUG_TRY(snug_config_stored(r, root, text, &out->stored));
    char name[PART_NAME_BYTES];
    struct snug_config_reader part = {name, r->error};
    snprintf(name, sizeof name, "%s: text_config", r->file);
    SNUG_TRY(read_text(&part, text, &out->text));
    snprintf(name, sizeof name, "%s: vision_config", r->file);
    SNUG_TRY(read_vision(&part, vision, &out->vision));
    SNUG_TRY(read_image_token(r, root, out));
    int64_t grid = out->vision.image_side / out->vision.patch;
    out->rows_per_tile = 1 + grid * grid;
    out->tiles = (struct snug_tile_options){.tiling = SNUG_TILING_FIT,
                                            .min_tiles = 1,
                                            .max_tiles = out->vision.max_tiles,
                                            .filter = SNUG_FILTER_BILINEAR,
                                            .mean = {0.48145466f, 0.4578275f, 0.40821073f},
                                            .std = {0.26862954f, 0.26130258f, 0.27577711f}};
    return SNUG_STATUS_OK;
}
