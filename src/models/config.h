/* Reading configuration files: what the families share. Every function names file and key in its
 * error. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_CONFIG_H
#define SNUG_MODELS_CONFIG_H

#include "models/model.h"

/* What every reader below needs. */
struct snug_config_reader {
    const char *file; /* "FOLDER/config.json" for messages */
    struct snug_error *error;
};

/* "FILE: KEY is FOUND, but only EXPECTED is supported"; returns status. */
enum snug_status snug_config_bad(const struct snug_config_reader *r, enum snug_status status,
                                 const char *key, const char *expected, const char *found);
/* *out keeps its value if the key is absent or null. Errors: FORMAT. */
SNUG_CHECK_RESULT enum snug_status snug_config_int(const struct snug_config_reader *r,
                                                   json_t *object, const char *key, int64_t low,
                                                   int64_t high, int64_t *out);
/* From 1 to high; must be there. */
SNUG_CHECK_RESULT enum snug_status snug_config_need_int(const struct snug_config_reader *r,
                                                        json_t *object, const char *key,
                                                        int64_t high, int64_t *out);
/* A number or [height, width] with both equal. */
SNUG_CHECK_RESULT enum snug_status snug_config_need_side(const struct snug_config_reader *r,
                                                         json_t *object, const char *key,
                                                         int64_t *out);
/* The key must be absent, null or this value. Errors: also UNSUPPORTED. */
SNUG_CHECK_RESULT enum snug_status snug_config_only_string(const struct snug_config_reader *r,
                                                           json_t *object, const char *key,
                                                           const char *expected);
SNUG_CHECK_RESULT enum snug_status snug_config_only_bool(const struct snug_config_reader *r,
                                                         json_t *object, const char *key,
                                                         bool expected);
/* *out keeps its value if the key is absent. */
SNUG_CHECK_RESULT enum snug_status snug_config_eps(const struct snug_config_reader *r,
                                                   json_t *object, const char *key, float *out);
/* rope_theta and rope_scaling, or rope_parameters, of a text model. rope->theta: where none is
 * given. */
SNUG_CHECK_RESULT enum snug_status snug_config_rope(const struct snug_config_reader *r,
                                                    json_t *text, struct snug_rope_config *rope);
/* hidden_size, layers, heads, vocabulary, activation, rope: what Qwen2 and Llama have alike.
 * out->eps and out->rope.theta: where none is given. */
SNUG_CHECK_RESULT enum snug_status snug_config_text(const struct snug_config_reader *r,
                                                    json_t *text, struct snug_text_config *out);
/* The type in which weights are stored, where nobody can look: "dtype" (5.x) or "torch_dtype", of
 * the whole or of the text model; BF16 without. */
SNUG_CHECK_RESULT enum snug_status snug_config_stored(const struct snug_config_reader *r,
                                                      json_t *root, json_t *text,
                                                      enum snug_dtype *out);

/* config.json of each family, by model_type; name: of the architecture. */
SNUG_CHECK_RESULT enum snug_status snug_internvl_config(const struct snug_config_reader *r,
                                                        json_t *root,
                                                        struct snug_model_config *out);
SNUG_CHECK_RESULT enum snug_status snug_llama_vision_config(const struct snug_config_reader *r,
                                                            json_t *root,
                                                            struct snug_model_config *out);

#endif
