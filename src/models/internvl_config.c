/* config.json, (pre)processor_config.json and generation_config.json of InternVL, all layouts.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include <math.h>
#include <stdio.h>

/* What every reader below needs. */
struct reader {
    const char *file; /* "FOLDER/config.json" for messages */
    struct snug_error *error;
};

static enum snug_status bad(const struct reader *r, enum snug_status status, const char *key,
                            const char *expected, const char *found)
{
    return snug_error_set(r->error, status, "%s: %s is %s, but only %s is supported", r->file, key,
                          found, expected);
}

static enum snug_status get_int(const struct reader *r, json_t *object, const char *key,
                                int64_t low, int64_t high, int64_t *out)
{
    return snug_json_get_int(object, key, low, high, out, r->file, r->error);
}

static enum snug_status need_int(const struct reader *r, json_t *object, const char *key,
                                 int64_t high, int64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: key \"%s\" is missing", r->file,
                              key);
    return get_int(r, object, key, 1, high, out);
}

/* A number or [height, width] with both equal. */
static enum snug_status need_side(const struct reader *r, json_t *object, const char *key,
                                  int64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (json_is_array(value)) {
        json_int_t h = json_integer_value(json_array_get(value, 0));
        json_int_t w = json_integer_value(json_array_get(value, 1));
        if (json_array_size(value) != 2 || h != w || h < 1 || h > 16384)
            return bad(r, SNUG_STATUS_UNSUPPORTED, key, "a square of 1 to 16384", "another size");
        *out = h;
        return SNUG_STATUS_OK;
    }
    return need_int(r, object, key, 16384, out);
}

/* The key must be absent, null or this string. */
static enum snug_status only_string(const struct reader *r, json_t *object, const char *key,
                                    const char *expected)
{
    const char *found = expected;
    enum snug_status status = snug_json_get_string(object, key, &found, r->file, r->error);
    if (!status && strcmp(found, expected))
        status = bad(r, SNUG_STATUS_UNSUPPORTED, key, expected, found);
    return status;
}

static enum snug_status only_bool(const struct reader *r, json_t *object, const char *key,
                                  bool expected)
{
    bool found = expected;
    enum snug_status status = snug_json_get_bool(object, key, &found, r->file, r->error);
    if (!status && found != expected)
        status = bad(r, SNUG_STATUS_UNSUPPORTED, key, expected ? "true" : "false",
                     found ? "true" : "false");
    return status;
}

static enum snug_status get_eps(const struct reader *r, json_t *object, const char *key, float *out)
{
    double eps = 1e-6;
    enum snug_status status = snug_json_get_double(object, key, &eps, r->file, r->error);
    if (!status && !(eps > 0 && eps < 1))
        status = snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: %s must lie between 0 and 1",
                                r->file, key);
    *out = (float)eps;
    return status;
}

/* rope_theta + rope_scaling (4.x), or rope_parameters (5.x); a bare "type" counts as rope_type. */
static enum snug_status read_rope(const struct reader *r, json_t *text,
                                  struct snug_rope_config *rope)
{
    *rope = (struct snug_rope_config){.theta = 10000.0, .factor = 1.0};
    SNUG_TRY(need_int(r, text, "max_position_embeddings", 1 << 30, &rope->max_position));
    SNUG_TRY(snug_json_get_double(text, "rope_theta", &rope->theta, r->file, r->error));
    json_t *scaling = json_object_get(text, "rope_parameters");
    if (!json_is_object(scaling))
        scaling = json_object_get(text, "rope_scaling");
    if (json_is_object(scaling)) {
        const char *type = "default";
        SNUG_TRY(snug_json_get_double(scaling, "rope_theta", &rope->theta, r->file, r->error));
        SNUG_TRY(snug_json_get_string(scaling, "type", &type, r->file, r->error));
        SNUG_TRY(snug_json_get_string(scaling, "rope_type", &type, r->file, r->error));
        if (!strcmp(type, "dynamic")) {
            rope->dynamic = true;
            SNUG_TRY(snug_json_get_double(scaling, "factor", &rope->factor, r->file, r->error));
        } else if (strcmp(type, "default"))
            return bad(r, SNUG_STATUS_UNSUPPORTED, "rope_type", "\"default\" or \"dynamic\"", type);
    } else if (scaling && !json_is_null(scaling))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: rope_scaling must be an object",
                              r->file);
    if (!(rope->theta > 1) || !isfinite(rope->theta) || !(rope->factor >= 1) ||
        !isfinite(rope->factor))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: rope_theta or factor is out of range", r->file);
    return SNUG_STATUS_OK;
}

static enum snug_status read_text(const struct reader *r, json_t *text,
                                  struct snug_text_config *out)
{
    SNUG_TRY(only_string(r, text, "model_type", "qwen2"));
    json_t *architecture = json_array_get(json_object_get(text, "architectures"), 0);
    if (json_is_string(architecture) && strcmp(json_string_value(architecture), "Qwen2ForCausalLM"))
        return bad(r, SNUG_STATUS_UNSUPPORTED, "the text model's architecture", "Qwen2ForCausalLM",
                   json_string_value(architecture));
    SNUG_TRY(only_string(r, text, "hidden_act", "silu"));
    SNUG_TRY(only_bool(r, text, "use_sliding_window", false));
    SNUG_TRY(need_int(r, text, "hidden_size", SNUG_MAX_WIDTH, &out->hidden));
    SNUG_TRY(need_int(r, text, "intermediate_size", SNUG_MAX_WIDTH, &out->intermediate));
    SNUG_TRY(need_int(r, text, "num_hidden_layers", SNUG_MAX_LAYERS, &out->layers));
    SNUG_TRY(need_int(r, text, "num_attention_heads", 65536, &out->heads));
    out->kv_heads = out->heads;
    SNUG_TRY(get_int(r, text, "num_key_value_heads", 1, out->heads, &out->kv_heads));
    out->head_dim = out->hidden / out->heads;
    SNUG_TRY(get_int(r, text, "head_dim", 1, SNUG_MAX_HEAD_DIM, &out->head_dim));
    SNUG_TRY(need_int(r, text, "vocab_size", SNUG_MAX_VOCABULARY, &out->vocabulary));
    SNUG_TRY(get_eps(r, text, "rms_norm_eps", &out->eps));
    if (out->hidden % out->heads || out->heads % out->kv_heads)
        return snug_error_set(
            r->error, SNUG_STATUS_FORMAT,
            "%s: hidden_size %lld, num_attention_heads %lld and num_key_value_heads %lld do not "
            "divide",
            r->file, (long long)out->hidden, (long long)out->heads, (long long)out->kv_heads);
    if (out->head_dim % 2 || out->head_dim > SNUG_MAX_HEAD_DIM)
        return snug_error_set(r->error, SNUG_STATUS_UNSUPPORTED,
                              "%s: a head of %lld is odd or above %d", r->file,
                              (long long)out->head_dim, SNUG_MAX_HEAD_DIM);
    return read_rope(r, text, &out->rope);
}

static enum snug_status read_vision(const struct reader *r, json_t *vision,
                                    enum snug_layout_kind layout, struct snug_vision_config *out)
{
    bool hf = layout == SNUG_LAYOUT_KIND_HF;
    const char *norm = "layer_norm";
    int64_t channels = 3;
    out->qkv_bias = hf ? false : true;
    SNUG_TRY(only_string(r, vision, "hidden_act", "gelu"));
    SNUG_TRY(get_int(r, vision, "num_channels", 1, 64, &channels));
    if (channels != 3)
        return bad(r, SNUG_STATUS_UNSUPPORTED, "num_channels", "3", "another number");
    SNUG_TRY(need_int(r, vision, "hidden_size", SNUG_MAX_WIDTH, &out->hidden));
    SNUG_TRY(need_int(r, vision, "intermediate_size", SNUG_MAX_WIDTH, &out->intermediate));
    SNUG_TRY(need_int(r, vision, "num_hidden_layers", SNUG_MAX_LAYERS, &out->layers));
    SNUG_TRY(need_int(r, vision, "num_attention_heads", 65536, &out->heads));
    SNUG_TRY(need_side(r, vision, "image_size", &out->image_side));
    SNUG_TRY(need_side(r, vision, "patch_size", &out->patch));
    SNUG_TRY(get_eps(r, vision, "layer_norm_eps", &out->eps));
    SNUG_TRY(snug_json_get_string(vision, "norm_type", &norm, r->file, r->error));
    SNUG_TRY(snug_json_get_bool(vision, hf ? "attention_bias" : "qkv_bias", &out->qkv_bias, r->file,
                                r->error));
    SNUG_TRY(snug_json_get_bool(vision, hf ? "use_qk_norm" : "qk_normalization", &out->qk_norm,
                                r->file, r->error));
    SNUG_TRY(only_bool(r, vision, "use_absolute_position_embeddings", true));
    SNUG_TRY(only_bool(r, vision, "use_mean_pooling", true));
    SNUG_TRY(only_bool(r, vision, "use_mask_token", false));
    SNUG_TRY(only_bool(r, vision, "use_moe", false));
    out->rms_norm = !strcmp(norm, "rms_norm");
    if (!out->rms_norm && strcmp(norm, "layer_norm"))
        return bad(r, SNUG_STATUS_UNSUPPORTED, "norm_type", "\"layer_norm\" or \"rms_norm\"", norm);
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
static enum snug_status read_select_layer(const struct reader *r, json_t *root, const char *key,
                                          struct snug_vision_config *vision)
{
    int64_t select = -1;
    SNUG_TRY(get_int(r, root, key, -vision->layers - 1, vision->layers, &select));
    vision->run_layers = select < 0 ? vision->layers + 1 + select : select;
    return SNUG_STATUS_OK;
}

/* The type in which weights are stored, where nobody can look: "dtype" (5.x) or "torch_dtype", of
 * the whole or of the text model. */
static enum snug_status read_stored(const struct reader *r, json_t *root, json_t *text,
                                    enum snug_dtype *out)
{
    const char *name = "bfloat16";
    json_t *const objects[2] = {text, root};
    for (int i = 0; i < 2; i++) {
        SNUG_TRY(snug_json_get_string(objects[i], "torch_dtype", &name, r->file, r->error));
        SNUG_TRY(snug_json_get_string(objects[i], "dtype", &name, r->file, r->error));
    }
    *out = !strcmp(name, "float32")   ? SNUG_DTYPE_F32
           : !strcmp(name, "float16") ? SNUG_DTYPE_F16
                                      : SNUG_DTYPE_BF16;
    return SNUG_STATUS_OK;
}

static enum snug_status read_config(const struct reader *r, json_t *root,
                                    struct snug_model_config *out)
{
    const char *type = "";
    SNUG_TRY(snug_json_get_string(root, "model_type", &type, r->file, r->error));
    json_t *architecture = json_array_get(json_object_get(root, "architectures"), 0);
    const char *name = json_is_string(architecture) ? json_string_value(architecture) : type;
    bool hf = !strcmp(type, "internvl"), original = !strcmp(type, "internvl_chat");
    if (!hf && !original)
        return snug_error_set(
            r->error, SNUG_STATUS_UNSUPPORTED,
            "%s: model_type \"%s\" (%s) is not supported; snug reads InternVL3 folders: "
            "\"internvl\" (-hf) and \"internvl_chat\" (original)",
            r->file, type, name);
    snprintf(out->architecture, sizeof out->architecture, "%s", name);
    out->layout = hf ? SNUG_LAYOUT_KIND_HF : SNUG_LAYOUT_KIND_ORIGINAL;
    json_t *text = json_object_get(root, hf ? "text_config" : "llm_config");
    json_t *vision = json_object_get(root, "vision_config");
    if (!json_is_object(text) || !json_is_object(vision))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: %s and vision_config must both be there", r->file,
                              hf ? "text_config" : "llm_config");
    SNUG_TRY(read_stored(r, root, text, &out->stored));
    SNUG_TRY(read_text(r, text, &out->text));
    SNUG_TRY(read_vision(r, vision, out->layout, &out->vision));
    SNUG_TRY(
        read_select_layer(r, root, hf ? "vision_feature_layer" : "select_layer", &out->vision));

    double ratio = 0.5;
    SNUG_TRY(snug_json_get_double(root, "downsample_ratio", &ratio, r->file, r->error));
    if (ratio != 0.5)
        return bad(r, SNUG_STATUS_UNSUPPORTED, "downsample_ratio", "0.5", "another number");
    int64_t grid = out->vision.image_side / out->vision.patch / 2;
    out->tokens_per_tile = grid * grid;
    out->image_token_id = -1;
    out->tie_allowed = hf;
    SNUG_TRY(snug_json_get_bool(root, "tie_word_embeddings", &out->tie_allowed, r->file, r->error));
    if (hf) {
        int64_t length = out->tokens_per_tile;
        SNUG_TRY(only_string(r, root, "projector_hidden_act", "gelu"));
        SNUG_TRY(only_string(r, root, "vision_feature_select_strategy", "default"));
        SNUG_TRY(
            get_int(r, root, "image_token_id", 0, out->text.vocabulary - 1, &out->image_token_id));
        SNUG_TRY(get_int(r, root, "image_seq_length", 1, 1 << 20, &length));
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
        return bad(r, SNUG_STATUS_UNSUPPORTED, "ps_version", "\"v1\" or \"v2\"", version);
    SNUG_TRY(get_int(r, root, "force_image_size", 1, 16384, &forced));
    if (forced != out->vision.image_side)
        return bad(r, SNUG_STATUS_UNSUPPORTED, "force_image_size", "vision_config.image_size",
                   "another size");
    SNUG_TRY(get_int(r, root, "min_dynamic_patch", 1, SNUG_MAX_TILES, &out->tiles.min_tiles));
    SNUG_TRY(get_int(r, root, "max_dynamic_patch", 1, SNUG_MAX_TILES, &out->tiles.max_tiles));
    return snug_json_get_bool(root, "use_thumbnail", &out->tiles.thumbnail, r->file, r->error);
}

static enum snug_status read_colour(const struct reader *r, json_t *root, const char *key,
                                    bool positive, float out[3])
{
    json_t *list = json_object_get(root, key);
    if (!list || json_is_null(list))
        return SNUG_STATUS_OK;
    for (size_t i = 0; i < 3; i++) {
        json_t *value = json_array_get(list, i);
        double v = json_number_value(value);
        if (json_array_size(list) != 3 || !json_is_number(value) || !(fabs(v) < 1e6) ||
            (positive && !(v > 0)))
            return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: %s must be three numbers",
                                  r->file, key);
        out[i] = (float)v;
    }
    return SNUG_STATUS_OK;
}

/* The image processor's settings. The original layout's file holds crop_size and no tiling keys. */
static enum snug_status read_processor(const struct reader *r, json_t *root,
                                       struct snug_model_config *out)
{
    int64_t resample = 3, side = out->tiles.tile_side;
    json_t *size = json_object_get(root, "size");
    if (json_is_object(size)) {
        int64_t width = side;
        SNUG_TRY(get_int(r, size, "height", 1, 16384, &side));
        SNUG_TRY(get_int(r, size, "width", 1, 16384, &width));
        if (width != side)
            return bad(r, SNUG_STATUS_UNSUPPORTED, "size", "a square", "not square");
    } else
        SNUG_TRY(get_int(r, root, "size", 1, 16384, &side));
    if (side != out->tiles.tile_side)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: size is %lld, but the vision tower takes %lld", r->file,
                              (long long)side, (long long)out->tiles.tile_side);
    SNUG_TRY(get_int(r, root, "resample", 0, 5, &resample));
    if (resample != 2 && resample != 3)
        return bad(r, SNUG_STATUS_UNSUPPORTED, "resample", "3 (bicubic) or 2 (bilinear)",
                   "another filter");
    out->tiles.filter = resample == 3 ? SNUG_FILTER_BICUBIC : SNUG_FILTER_BILINEAR;
    SNUG_TRY(get_int(r, root, "min_patches", 1, SNUG_MAX_TILES, &out->tiles.min_tiles));
    SNUG_TRY(get_int(r, root, "max_patches", 1, SNUG_MAX_TILES, &out->tiles.max_tiles));
    if (out->tiles.min_tiles > out->tiles.max_tiles)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: min_patches is above max_patches",
                              r->file);
    SNUG_TRY(read_colour(r, root, "image_mean", false, out->tiles.mean));
    return read_colour(r, root, "image_std", true, out->tiles.std);
}

static enum snug_status add_stop_id(const struct reader *r, struct snug_model_config *out,
                                    json_t *value)
{
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= SNUG_MAX_VOCABULARY)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: eos_token_id must hold token ids",
                              r->file);
    for (int i = 0; i < out->stop_id_count; i++)
        if (out->stop_ids[i] == (int32_t)id)
            return SNUG_STATUS_OK;
    if (out->stop_id_count == SNUG_MAX_STOP_IDS)
        return snug_error_set(r->error, SNUG_STATUS_LIMIT, "%s: more than %d stop ids", r->file,
                              SNUG_MAX_STOP_IDS);
    out->stop_ids[out->stop_id_count++] = (int32_t)id;
    return SNUG_STATUS_OK;
}

static enum snug_status read_stop_ids(const struct reader *r, json_t *root,
                                      struct snug_model_config *out)
{
    json_t *eos = json_object_get(root, "eos_token_id");
    if (!eos || json_is_null(eos))
        return SNUG_STATUS_OK;
    if (!json_is_array(eos))
        return add_stop_id(r, out, eos);
    for (size_t i = 0; i < json_array_size(eos); i++)
        SNUG_TRY(add_stop_id(r, out, json_array_get(eos, i)));
    return SNUG_STATUS_OK;
}

static enum snug_status read_generation(const struct reader *r, json_t *root,
                                        struct snug_model_config *out)
{
    SNUG_TRY(get_int(r, root, "max_new_tokens", 1, SNUG_MAX_NEW_TOKENS, &out->max_new_tokens));
    return read_stop_ids(r, root, out);
}

typedef enum snug_status read_fn(const struct reader *r, json_t *root,
                                 struct snug_model_config *out);

/* Reads FOLDER/NAME as an object (or its member `within`) through `read`. */
static enum snug_status read_file(const struct snug_folder *folder,
                                  const struct snug_allocator *allocator, const char *name,
                                  const char *within, read_fn *read, struct snug_model_config *out,
                                  struct snug_error *error)
{
    struct snug_blob blob = {0};
    json_t *root = NULL, *part;
    enum snug_status status;
    char *file = snug_path_join(allocator, folder->path, name);
    struct reader r = {file, error};
    if (!file)
        return snug_error_memory(error, strlen(name), "a file's path");
    status = snug_folder_read(folder, name, SNUG_MAX_CONFIG_BYTES, &blob, error);
    if (!status)
        status = snug_json_parse((const char *)blob.data, blob.size, false, file, &root, error);
    if (!status && !json_is_object(root))
        status = snug_error_set(error, SNUG_STATUS_FORMAT, "%s: not a JSON object", file);
    part = within ? json_object_get(root, within) : root;
    if (!status && json_is_object(part))
        status = read(&r, part, out);
    json_decref(root);
    snug_blob_free(&blob);
    snug_free(allocator, file);
    return status;
}

static enum snug_status read_eos_of_config(const struct reader *r, json_t *root,
                                           struct snug_model_config *out)
{
    /* llm_config's eos of the original layout is not a stop token (internvl.md). */
    json_t *text = json_object_get(root, "text_config");
    return json_is_object(text) ? read_stop_ids(r, text, out) : SNUG_STATUS_OK;
}

enum snug_status snug_model_config_read(const struct snug_folder *folder,
                                        const struct snug_allocator *allocator,
                                        struct snug_model_config *out, struct snug_error *error)
{
    struct snug_model_config config = {0};
    config.tiles = (struct snug_tile_options){.min_tiles = 1,
                                              .max_tiles = 12,
                                              .thumbnail = true,
                                              .filter = SNUG_FILTER_BICUBIC,
                                              .mean = {0.485f, 0.456f, 0.406f},
                                              .std = {0.229f, 0.224f, 0.225f}};
    SNUG_TRY(read_file(folder, allocator, "config.json", NULL, read_config, &config, error));
    config.tiles.tile_side = config.vision.image_side;
    if (snug_folder_has(folder, "preprocessor_config.json"))
        SNUG_TRY(read_file(folder, allocator, "preprocessor_config.json", NULL, read_processor,
                           &config, error));
    else if (snug_folder_has(folder, "processor_config.json"))
        SNUG_TRY(read_file(folder, allocator, "processor_config.json", "image_processor",
                           read_processor, &config, error));
    if (snug_folder_has(folder, "generation_config.json"))
        SNUG_TRY(read_file(folder, allocator, "generation_config.json", NULL, read_generation,
                           &config, error));
    if (!config.stop_id_count)
        SNUG_TRY(
            read_file(folder, allocator, "config.json", NULL, read_eos_of_config, &config, error));
    *out = config;
    return SNUG_STATUS_OK;
}
