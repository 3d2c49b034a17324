/* Configuration files of a model folder: what the families share, and who reads which.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/config.h"

#include <math.h>
#include <stdio.h>

enum snug_status snug_config_bad(const struct snug_config_reader *r, enum snug_status status,
                                 const char *key, const char *expected, const char *found)
{
    return snug_error_set(r->error, status, "%s: %s is %s, but only %s is supported", r->file, key,
                          found, expected);
}

enum snug_status snug_config_int(const struct snug_config_reader *r, json_t *object,
                                 const char *key, int64_t low, int64_t high, int64_t *out)
{
    return snug_json_get_int(object, key, low, high, out, r->file, r->error);
}

enum snug_status snug_config_need_int(const struct snug_config_reader *r, json_t *object,
                                      const char *key, int64_t high, int64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: key \"%s\" is missing", r->file,
                              key);
    return snug_config_int(r, object, key, 1, high, out);
}

/* A number or [height, width] with both equal. */
enum snug_status snug_config_need_side(const struct snug_config_reader *r, json_t *object,
                                       const char *key, int64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (json_is_array(value)) {
        json_int_t h = json_integer_value(json_array_get(value, 0));
        json_int_t w = json_integer_value(json_array_get(value, 1));
        if (json_array_size(value) != 2 || h != w || h < 1 || h > 16384)
            return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, key, "a square of 1 to 16384",
                                   "another size");
        *out = h;
        return SNUG_STATUS_OK;
    }
    return snug_config_need_int(r, object, key, 16384, out);
}

/* The key must be absent, null or this string. */
enum snug_status snug_config_only_string(const struct snug_config_reader *r, json_t *object,
                                         const char *key, const char *expected)
{
    const char *found = expected;
    enum snug_status status = snug_json_get_string(object, key, &found, r->file, r->error);
    if (!status && strcmp(found, expected))
        status = snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, key, expected, found);
    return status;
}

enum snug_status snug_config_only_bool(const struct snug_config_reader *r, json_t *object,
                                       const char *key, bool expected)
{
    bool found = expected;
    enum snug_status status = snug_json_get_bool(object, key, &found, r->file, r->error);
    if (!status && found != expected)
        status = snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, key, expected ? "true" : "false",
                                 found ? "true" : "false");
    return status;
}

enum snug_status snug_config_eps(const struct snug_config_reader *r, json_t *object,
                                 const char *key, float *out)
{
    double eps = *out;
    enum snug_status status = snug_json_get_double(object, key, &eps, r->file, r->error);
    if (!status && !((float)eps > 0 && eps < 1)) /* 0 in f32 is none either */
        status = snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: %s must lie between 0 and 1",
                                r->file, key);
    *out = (float)eps;
    return status;
}

/* The bands of "llama3" scaling. */
static enum snug_status read_llama3(const struct snug_config_reader *r, json_t *scaling,
                                    struct snug_rope_config *rope)
{
    rope->low_freq_factor = 1;
    rope->high_freq_factor = 4;
    json_t *factor = json_object_get(scaling, "factor");
    if (!factor || json_is_null(factor))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: key \"factor\" of llama3's scaling is missing", r->file);
    SNUG_TRY(snug_json_get_double(scaling, "low_freq_factor", &rope->low_freq_factor, r->file,
                                  r->error));
    SNUG_TRY(snug_json_get_double(scaling, "high_freq_factor", &rope->high_freq_factor, r->file,
                                  r->error));
    SNUG_TRY(snug_config_need_int(r, scaling, "original_max_position_embeddings", 1 << 30,
                                  &rope->original_position));
    if (rope->low_freq_factor > 0 && rope->high_freq_factor > rope->low_freq_factor &&
        rope->high_freq_factor < 1e6)
        return SNUG_STATUS_OK;
    return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                          "%s: low_freq_factor must be above 0, high_freq_factor above it",
                          r->file);
}

/* rope_theta + rope_scaling (4.x), or rope_parameters (5.x); a bare "type" counts as rope_type. */
enum snug_status snug_config_rope(const struct snug_config_reader *r, json_t *text,
                                  struct snug_rope_config *rope)
{
    *rope = (struct snug_rope_config){.theta = rope->theta, .factor = 1.0};
    SNUG_TRY(
        snug_config_need_int(r, text, "max_position_embeddings", 1 << 30, &rope->max_position));
    SNUG_TRY(snug_json_get_double(text, "rope_theta", &rope->theta, r->file, r->error));
    const char *key = "rope_parameters";
    json_t *scaling = json_object_get(text, key);
    if (!scaling || json_is_null(scaling))
        scaling = json_object_get(text, key = "rope_scaling");
    if (json_is_object(scaling)) {
        const char *type = "default";
        SNUG_TRY(snug_json_get_double(scaling, "rope_theta", &rope->theta, r->file, r->error));
        SNUG_TRY(snug_json_get_string(scaling, "type", &type, r->file, r->error));
        SNUG_TRY(snug_json_get_string(scaling, "rope_type", &type, r->file, r->error));
        rope->dynamic = !strcmp(type, "dynamic");
        rope->llama3 = !strcmp(type, "llama3");
        if (rope->dynamic || rope->llama3)
            SNUG_TRY(snug_json_get_double(scaling, "factor", &rope->factor, r->file, r->error));
        else if (strcmp(type, "default"))
            return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "rope_type",
                                   "\"default\", \"dynamic\" or \"llama3\"", type);
        if (rope->llama3)
            SNUG_TRY(read_llama3(r, scaling, rope));
    } else if (scaling && !json_is_null(scaling))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: %s must be an object", r->file,
                              key);
    if (!(rope->theta > 1) || !isfinite(rope->theta) || !(rope->factor >= 1) ||
        !isfinite(rope->factor))
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: rope_theta or factor is out of range", r->file);
    return SNUG_STATUS_OK;
}

enum snug_status snug_config_text(const struct snug_config_reader *r, json_t *text,
                                  struct snug_text_config *out)
{
    SNUG_TRY(snug_config_only_string(r, text, "hidden_act", "silu"));
    SNUG_TRY(snug_config_need_int(r, text, "hidden_size", SNUG_MAX_WIDTH, &out->hidden));
    SNUG_TRY(
        snug_config_need_int(r, text, "intermediate_size", SNUG_MAX_WIDTH, &out->intermediate));
    SNUG_TRY(snug_config_need_int(r, text, "num_hidden_layers", SNUG_MAX_LAYERS, &out->layers));
    SNUG_TRY(snug_config_need_int(r, text, "num_attention_heads", 65536, &out->heads));
    out->kv_heads = out->heads;
    SNUG_TRY(snug_config_int(r, text, "num_key_value_heads", 1, out->heads, &out->kv_heads));
    out->head_dim = out->hidden / out->heads;
    SNUG_TRY(snug_config_int(r, text, "head_dim", 1, SNUG_MAX_HEAD_DIM, &out->head_dim));
    SNUG_TRY(snug_config_need_int(r, text, "vocab_size", SNUG_MAX_VOCABULARY, &out->vocabulary));
    out->embedding_rows = out->vocabulary;
    SNUG_TRY(snug_config_eps(r, text, "rms_norm_eps", &out->eps));
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
    return snug_config_rope(r, text, &out->rope);
}

/* The type in which weights are stored, where nobody can look: "dtype" (5.x) or "torch_dtype", of
 * the whole or of the text model. */
enum snug_status snug_config_stored(const struct snug_config_reader *r, json_t *root, json_t *text,
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

static enum snug_status read_colour(const struct snug_config_reader *r, json_t *root,
                                    const char *key, bool positive, float out[3])
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

static enum snug_status read_colours(const struct snug_config_reader *r, json_t *root,
                                     struct snug_model_config *out)
{
    SNUG_TRY(read_colour(r, root, "image_mean", false, out->tiles.mean));
    return read_colour(r, root, "image_std", true, out->tiles.std);
}

/* The image processor's settings. The original layout's file holds crop_size and no tiling keys. */
static enum snug_status read_processor(const struct snug_config_reader *r, json_t *root,
                                       struct snug_model_config *out)
{
    bool llama = out->family == SNUG_FAMILY_LLAMA_VISION;
    int64_t resample = llama ? 2 : 3, side = out->tiles.tile_side;
    json_t *size = json_object_get(root, "size");
    if (json_is_object(size)) {
        int64_t width = side;
        SNUG_TRY(snug_config_int(r, size, "height", 1, 16384, &side));
        SNUG_TRY(snug_config_int(r, size, "width", 1, 16384, &width));
        if (width != side)
            return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "size", "a square", "not square");
    } else
        SNUG_TRY(snug_config_int(r, root, "size", 1, 16384, &side));
    if (side != out->tiles.tile_side)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s: size is %lld, but the vision tower takes %lld", r->file,
                              (long long)side, (long long)out->tiles.tile_side);
    SNUG_TRY(snug_config_int(r, root, "resample", 0, 5, &resample));
    if (resample != 2 && resample != 3)
        return snug_config_bad(r, SNUG_STATUS_UNSUPPORTED, "resample",
                               "3 (bicubic) or 2 (bilinear)", "another filter");
    out->tiles.filter = resample == 3 ? SNUG_FILTER_BICUBIC : SNUG_FILTER_BILINEAR;
    if (llama)
        SNUG_TRY(snug_config_int(r, root, "max_image_tiles", 1, out->vision.max_tiles,
                                 &out->tiles.max_tiles));
    if (llama)
        return read_colours(r, root, out);
    SNUG_TRY(snug_config_int(r, root, "min_patches", 1, SNUG_MAX_TILES, &out->tiles.min_tiles));
    SNUG_TRY(snug_config_int(r, root, "max_patches", 1, SNUG_MAX_TILES, &out->tiles.max_tiles));
    if (out->tiles.min_tiles > out->tiles.max_tiles)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s: min_patches is above max_patches",
                              r->file);
    return read_colours(r, root, out);
}

static enum snug_status add_stop_id(const struct snug_config_reader *r,
                                    struct snug_model_config *out, json_t *value)
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

static enum snug_status read_stop_ids(const struct snug_config_reader *r, json_t *root,
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

static enum snug_status read_generation(const struct snug_config_reader *r, json_t *root,
                                        struct snug_model_config *out)
{
    SNUG_TRY(
        snug_config_int(r, root, "max_new_tokens", 1, SNUG_MAX_NEW_TOKENS, &out->max_new_tokens));
    return read_stop_ids(r, root, out);
}

typedef enum snug_status read_fn(const struct snug_config_reader *r, json_t *root,
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
    struct snug_config_reader r = {file, error};
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

static enum snug_status read_eos_of_config(const struct snug_config_reader *r, json_t *root,
                                           struct snug_model_config *out)
{
    /* llm_config's eos of the original layout is not a stop token (internvl.md). */
    json_t *text = json_object_get(root, "text_config");
    return json_is_object(text) ? read_stop_ids(r, text, out) : SNUG_STATUS_OK;
}

/* The family that model_type names reads its own file, and sets what its processor's file may
 * leave out. */
static enum snug_status read_config(const struct snug_config_reader *r, json_t *root,
                                    struct snug_model_config *out)
{
    const char *type = "";
    SNUG_TRY(snug_json_get_string(root, "model_type", &type, r->file, r->error));
    json_t *architecture = json_array_get(json_object_get(root, "architectures"), 0);
    const char *name = json_is_string(architecture) ? json_string_value(architecture) : type;
    snprintf(out->architecture, sizeof out->architecture, "%s", name);
    if (!strcmp(type, "internvl") || !strcmp(type, "internvl_chat"))
        return snug_internvl_config(r, root, out);
    if (!strcmp(type, "mllama"))
        return snug_llama_vision_config(r, root, out);
    return snug_error_set(r->error, SNUG_STATUS_UNSUPPORTED,
                          "%s: model_type \"%s\" (%s) is not supported; snug reads folders of "
                          "InternVL3 (\"internvl\", \"internvl_chat\") and Llama-3.2-Vision "
                          "(\"mllama\")",
                          r->file, type, name);
}

enum snug_status snug_model_config_read(const struct snug_folder *folder,
                                        const struct snug_allocator *allocator,
                                        struct snug_model_config *out, struct snug_error *error)
{
    struct snug_model_config config = {0};
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
