/* config.json of InternVL, both layouts.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/config.h"

#include <stdio.h>

static enum snug_status read_text(const struct snug_config_reader *r, json_t *text,
                                  struct snug_text_config *out)
{
    SNUG_TRY(snug_config_only_string(r, text, "model_type", "qwen2"));
    json_t *architecture = json_array_get(json_object_get(text, "architectures"), 0);
    if (json_is_string(architecture) && strcmp(json_string_value(architecture), "Qwen2ForCausalLM"))
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "the text model's architecture",
                               "Qwen2ForCausalLM", json_string_value(architecture));
    SNUG_TRY(snug_config_only_bool(r, text, "use_sliding_window", false));
    out->eps = 1e-6f;
    out->rope.theta = 10000;
    return snug_config_text(r, text, out);
}

static enum snug_status read_vision(const struct snug_config_reader *r, json_t *vision,
                                    enum snug_layout_kind layout, struct snug_vision_config *out)
{
    bool hf = layout == SNUG_LAYOUT_KIND_HF;
    const char *norm = "layer_norm";
    int64_t channels = 3;
    out->qkv_bias = hf ? false : true;
    SNUG_TRY(snug_config_only_string(r, vision, "hidden_act", "gelu"));
    SNUG_TRY(snug_config_int(r, vision, "num_channels", 1, 64, &channels));
    if (channels != 3)
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "num_channels", "3", "another number");
    SNUG_TRY(snug_config_need_int(r, vision, "hidden_size", SNUG_MAX_WIDTH, &out->hidden));
    SNUG_TRY(
        snug_config_need_int(r, vision, "intermediate_size", SNUG_MAX_WIDTH, &out->intermediate));
    SNUG_TRY(snug_config_need_int(r, vision, "num_hidden_layers", SNUG_MAX_LAYERS, &out->layers));
    SNUG_TRY(snug_config_need_int(r, vision, "num_attention_heads", 65536, &out->heads));
    SNUG_TRY(snug_config_need_side(r, vision, "image_size", &out->image_side));
    SNUG_TRY(snug_config_need_side(r, vision, "patch_size", &out->patch));
    out->eps = 1e-6f;
    SNUG_TRY(snug_config_eps(r, vision, "layer_norm_eps", &out->eps));
    SNUG_TRY(snug_json_get_string(vision, "norm_type", &norm, r->file, r->error));
    SNUG_TRY(snug_json_get_bool(vision, hf ? "attention_bias" : "qkv_bias", &out->qkv_bias, r->file,
                                r->error));
    SNUG_TRY(snug_json_get_bool(vision, hf ? "use_qk_norm" : "qk_normalization", &out->qk_norm,
                                r->file, r->error));
    SNUG_TRY(snug_config_only_bool(r, vision, "use_absolute_position_embeddings", true));
    SNUG_TRY(snug_config_only_bool(r, vision, "use_mean_pooling", true));
    SNUG_TRY(snug_config_only_bool(r, vision, "use_mask_token", false));
    SNUG_TRY(snug_config_only_bool(r, vision, "use_moe", false));
    out->rms_norm = !strcmp(norm, "rms_norm");
    if (!out->rms_norm && strcmp(norm, "layer_norm"))
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "norm_type",
                               "\"layer_norm\" or \"rms_norm\"", norm);
    if (out->hidden % out->heads || out->image_side % out->patch ||
        (out->image_side / out->patch) % 2)
        return snug_error_set(
            r->error, SNUG_STATUS_UNSUPPORTED,
            "%s: vision: hidden_size must divide by the heads, image_size by patch_size into an "
            "even number",
            r->file);
    out->head_dim = out->hidden / out->heads;
    if (out->head_dim > SNUG_MAX_HEAD_DIM)
        return snug_error_set(r->error, SNUG_STATUS_UNSUPPORTED,
                              "%s: vision: a head of %lld is above %d", r->file,
                              (long long)out->head_dim, SNUG_MAX_HEAD_DIM);
    return SNUG_STATUS_OK;
}

/* select_layer / vision_feature_layer: index into [embeddings, layer 0, layer 1, ...], negative
 * from the end. */
static enum snug_status read_select_layer(const struct snug_config_reader *r, json_t *root,
                                          const char *key, struct snug_vision_config *vision)
{
    int64_t select = -1;
    SNUG_TRY(snug_config_int(r, root, key, -vision->layers - 1, vision->layers, &select));
    vision->run_layers = select < 0 ? vision->layers + 1 + select : select;
    return SNUG_STATUS_OK;
}

enum snug_status snug_internvl_config(const struct snug_config_reader *r, json_t *root,
                                      struct snug_model_config *out)
{
    const char *type = "";
    SNUG_TRY(snug_json_get_string(root, "model_type", &type, r->file, r->error));
    bool hf = !strcmp(type, "internvl");
    out->family = SNUG_FAMILY_INTERNVL;
    out->tiles = (struct snug_tile_options){.min_tiles = 1,
                                            .max_tiles = 12,
                                            .thumbnail = true,
                                            .filter = SNUG_FILTER_BICUBIC,
                                            .mean = {0.485f, 0.456f, 0.406f},
                                            .std = {0.229f, 0.224f, 0.225f}};
    out->layout = hf ? SNUG_LAYOUT_KIND_HF : SNUG_LAYOUT_KIND_ORIGINAL;
    json_t *text = json_object_get(root, hf ? "text_config" : "llm_config");
    json_t *vision = json_object_get(root, "vision_config");
    if (!json_is_object(text) || !json_is_object(vision))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: %s and vision_config must both be there", r->file,
                              hf ? "text_config" : "llm_config");
    SNUG_TRY(snug_config_stored(r, root, text, &out->stored));
    SNUG_TRY(read_text(r, text, &out->text));
    SNUG_TRY(read_vision(r, vision, out->layout, &out->vision));
    SNUG_TRY(
        read_select_layer(r, root, hf ? "vision_feature_layer" : "select_layer", &out->vision));

    double ratio = 0.5;
    SNUG_TRY(snug_json_get_double(root, "downsample_ratio", &ratio, r->file, r->error));
    if (ratio != 0.5)
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "downsample_ratio", "0.5",
                               "another number");
    int64_t grid = out->vision.image_side / out->vision.patch / 2;
    out->tokens_per_tile = out->rows_per_tile = grid * grid;
    out->image_token_id = -1;
    out->tie_allowed = hf;
    SNUG_TRY(snug_json_get_bool(root, "tie_word_embeddings", &out->tie_allowed, r->file, r->error));
    if (hf) {
        int64_t length = out->tokens_per_tile;
        SNUG_TRY(snug_config_only_string(r, root, "projector_hidden_act", "gelu"));
        SNUG_TRY(snug_config_only_string(r, root, "vision_feature_select_strategy", "default"));
        SNUG_TRY(snug_config_int(r, root, "image_token_id", 0, out->text.vocabulary - 1,
                                 &out->image_token_id));
        SNUG_TRY(snug_config_int(r, root, "image_seq_length", 1, 1 << 20, &length));
        if (length != out->tokens_per_tile)
            return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                                  "%s: image_seq_length is %lld, but image_size and patch_size "
                                  "give %lld tokens a tile",
                                  r->file, (long long)length, (long long)out->tokens_per_tile);
        return SNUG_STATUS_OK;
    }
    const char *version = "v1"; /* the original class's default when the key is absent */
    int64_t forced = out->vision.image_side;
    SNUG_TRY(snug_json_get_string(root, "ps_version", &version, r->file, r->error));
    out->vision.shuffle_transposed = !strcmp(version, "v1");
    if (strcmp(version, "v1") && strcmp(version, "v2"))
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "ps_version", "\"v1\" or \"v2\"",
                               version);
    SNUG_TRY(snug_config_int(r, root, "force_image_size", 1, 16384, &forced));
    if (forced != out->vision.image_side)
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "force_image_size",
                               "vision_config.image_size", "another size");
    SNUG_TRY(
        snug_config_int(r, root, "min_dynamic_patch", 1, SNUG_MAX_TILES, &out->tiles.min_tiles));
    SNUG_TRY(
        snug_config_int(r, root, "max_dynamic_patch", 1, SNUG_MAX_TILES, &out->tiles.max_tiles));
    return snug_json_get_bool(root, "use_thumbnail", &out->tiles.thumbnail, r->file, r->error);
}
