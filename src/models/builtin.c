/* Built-in architectures: one template a file, one table of numbers, for InternVL3; Llama's are in
 * builtin_llama.c. Where the numbers come from: internvl.md; the configurations are those that the
 * folders ending in "-hf" have. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/builtin.h"

#include "models/builtin_llama.h"

#include <string.h>

/* The token ids are the same in every size. */
#define VOCABULARY 151674
#define PAD_ID 151643 /* <|endoftext|> */
#define EOS_ID 151645 /* <|im_end|> */
#define IMAGE_ID 151667

struct tower {
    int hidden, intermediate, layers, heads;
    bool large; /* the 6B tower: RMSNorm, norms of q and k, no bias of q, k, v */
};
static const struct tower tower_300m = {1024, 4096, 24, 16, false};
static const struct tower tower_6b = {3200, 12800, 45, 25, true};
static const struct tower tower_tiny = {64, 128, 2, 2, false};
static const struct tower tower_tiny_rms = {64, 128, 2, 2, true};

static const struct architecture {
    const char *name;
    int hidden, intermediate, layers, heads, kv_heads;
    const struct tower *tower;
} architectures[] = {
    {"internvl3-1b", 896, 4864, 24, 14, 2, &tower_300m},
    {"internvl3-2b", 1536, 8960, 28, 12, 2, &tower_300m},
    {"internvl3-8b", 3584, 18944, 28, 28, 4, &tower_300m},
    {"internvl3-14b", 5120, 13824, 48, 40, 8, &tower_300m},
    {"internvl3-38b", 5120, 27648, 64, 40, 8, &tower_6b},
    /* no model's shapes: for tests */
    {"tiny", 64, 128, 2, 2, 1, &tower_tiny},
    {"tiny-rms", 64, 128, 2, 2, 1, &tower_tiny_rms},
};
#define COUNT (sizeof architectures / sizeof *architectures)

size_t snug_builtin_count(void)
{
    return COUNT + snug_builtin_llama_count();
}

const char *snug_builtin_name(size_t index)
{
    SNUG_ASSERT(index < snug_builtin_count());
    return index < COUNT ? architectures[index].name : snug_builtin_llama_name(index - COUNT);
}

const char *snug_builtin_names(void)
{
    return "internvl3-1b, internvl3-2b, internvl3-8b, internvl3-14b, internvl3-38b, tiny, "
           "tiny-rms, llama-3.2-11b-vision, llama-3.2-90b-vision, tiny-llama";
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

static void put_text_config(struct snug_text *text, const struct architecture *a, int layers)
{
    snug_text_printf(text,
                     "  \"text_config\": {\n"
                     "    \"architectures\": [\n      \"Qwen2ForCausalLM\"\n    ],\n"
                     "    \"attention_dropout\": 0.0,\n"
                     "    \"bos_token_id\": %d,\n"
                     "    \"eos_token_id\": %d,\n"
                     "    \"hidden_act\": \"silu\",\n"
                     "    \"hidden_size\": %d,\n"
                     "    \"initializer_range\": 0.02,\n"
                     "    \"intermediate_size\": %d,\n"
                     "    \"max_position_embeddings\": 32768,\n"
                     "    \"max_window_layers\": 70,\n"
                     "    \"model_type\": \"qwen2\",\n"
                     "    \"num_attention_heads\": %d,\n"
                     "    \"num_hidden_layers\": %d,\n"
                     "    \"num_key_value_heads\": %d,\n"
                     "    \"rms_norm_eps\": 1e-06,\n"
                     "    \"rope_scaling\": {\n"
                     "      \"factor\": 2.0,\n"
                     "      \"rope_type\": \"dynamic\",\n"
                     "      \"type\": \"dynamic\"\n"
                     "    },\n"
                     "    \"rope_theta\": 1000000.0,\n"
                     "    \"sliding_window\": null,\n"
                     "    \"torch_dtype\": \"bfloat16\",\n"
                     "    \"use_cache\": true,\n"
                     "    \"use_sliding_window\": false,\n"
                     "    \"vocab_size\": %d\n"
                     "  },\n",
                     PAD_ID, EOS_ID, a->hidden, a->intermediate, a->heads, layers, a->kv_heads,
                     VOCABULARY);
}

static void put_vision_config(struct snug_text *text, const struct tower *t, int layers)
{
    snug_text_printf(text,
                     "  \"vision_config\": {\n"
                     "    \"architectures\": [\n      \"InternVisionModel\"\n    ],\n"
                     "    \"attention_bias\": %s,\n"
                     "    \"attention_dropout\": 0.0,\n"
                     "    \"dropout\": 0.0,\n"
                     "    \"hidden_act\": \"gelu\",\n"
                     "    \"hidden_dropout_prob\": 0.0,\n"
                     "    \"hidden_size\": %d,\n"
                     "    \"image_size\": [\n      448,\n      448\n    ],\n"
                     "    \"initializer_factor\": 0.1,\n"
                     "    \"initializer_range\": 1e-10,\n"
                     "    \"intermediate_size\": %d,\n"
                     "    \"layer_norm_eps\": 1e-06,\n"
                     "    \"layer_scale_init_value\": 0.1,\n"
                     "    \"model_type\": \"internvl_vision\",\n"
                     "    \"norm_type\": \"%s\",\n"
                     "    \"num_attention_heads\": %d,\n"
                     "    \"num_channels\": 3,\n"
                     "    \"num_hidden_layers\": %d,\n"
                     "    \"patch_size\": [\n      14,\n      14\n    ],\n"
                     "    \"projection_dropout\": 0.0,\n"
                     "    \"torch_dtype\": \"bfloat16\",\n"
                     "    \"use_absolute_position_embeddings\": true,\n"
                     "    \"use_mask_token\": false,\n"
                     "    \"use_mean_pooling\": true,\n"
                     "    \"use_qk_norm\": %s\n"
                     "  },\n",
                     boolean(!t->large), t->hidden, t->intermediate,
                     t->large ? "rms_norm" : "layer_norm", t->heads, layers, boolean(t->large));
}

static void put_config(struct snug_text *text, const struct architecture *a, int64_t layers)
{
    snug_text_printf(text,
                     "{\n"
                     "  \"architectures\": [\n    \"InternVLForConditionalGeneration\"\n  ],\n"
                     "  \"downsample_ratio\": 0.5,\n"
                     "  \"image_seq_length\": 256,\n"
                     "  \"image_token_id\": %d,\n"
                     "  \"model_type\": \"internvl\",\n"
                     "  \"projector_hidden_act\": \"gelu\",\n",
                     IMAGE_ID);
    put_text_config(text, a, snug_builtin_layers(layers, a->layers));
    snug_text_puts(text, "  \"torch_dtype\": \"bfloat16\",\n"
                         "  \"transformers_version\": \"4.52.0.dev0\",\n");
    put_vision_config(text, a->tower, snug_builtin_layers(layers, a->tower->layers));
    snug_text_puts(text, "  \"vision_feature_layer\": -1,\n"
                         "  \"vision_feature_select_strategy\": \"default\"\n"
                         "}\n");
}

static void put_generation_config(struct snug_text *text)
{
    snug_text_printf(text,
                     "{\n"
                     "  \"_from_model_config\": true,\n"
                     "  \"bos_token_id\": %d,\n"
                     "  \"eos_token_id\": %d,\n"
                     "  \"transformers_version\": \"4.52.0.dev0\"\n"
                     "}\n",
                     PAD_ID, EOS_ID);
}

static void put_preprocessor_config(struct snug_text *text)
{
    snug_text_puts(text, "{\n"
                         "  \"crop_to_patches\": false,\n"
                         "  \"do_convert_rgb\": true,\n"
                         "  \"do_normalize\": true,\n"
                         "  \"do_rescale\": true,\n"
                         "  \"do_resize\": true,\n"
                         "  \"image_mean\": [\n    0.485,\n    0.456,\n    0.406\n  ],\n"
                         "  \"image_processor_type\": \"GotOcr2ImageProcessorFast\",\n"
                         "  \"image_std\": [\n    0.229,\n    0.224,\n    0.225\n  ],\n"
                         "  \"max_patches\": 12,\n"
                         "  \"min_patches\": 1,\n"
                         "  \"processor_class\": \"InternVLProcessor\",\n"
                         "  \"resample\": 3,\n"
                         "  \"rescale_factor\": 0.00392156862745098,\n"
                         "  \"size\": {\n    \"height\": 448,\n    \"width\": 448\n  }\n"
                         "}\n");
}

static const struct architecture *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(architectures[i].name, name))
            return &architectures[i];
    return NULL;
}

static enum snug_status check_layers(const char *name, int64_t layers, int text, int vision,
                                     struct snug_error *error)
{
    if (layers >= 0 && layers <= (text > vision ? text : vision))
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_USAGE,
                          "%s has %d layers of text and %d of vision, so not %lld", name, text,
                          vision, (long long)layers);
}

static enum snug_status put_texts(const char *name, int64_t layers, struct snug_text *texts,
                                  const char **known, struct snug_error *error)
{
    const struct architecture *a = find(name);
    const struct snug_llama_architecture *llama = snug_builtin_llama_find(name);
    if (a) {
        SNUG_TRY(check_layers(name, layers, a->layers, a->tower->layers, error));
        put_config(&texts[0], a, layers);
        put_generation_config(&texts[1]);
        put_preprocessor_config(&texts[2]);
        *known = a->name;
        return SNUG_STATUS_OK;
    }
    if (!llama)
        return snug_error_set(error, SNUG_STATUS_USAGE, "there is no architecture '%s'; known: %s",
                              name, snug_builtin_names());
    SNUG_TRY(check_layers(name, layers, llama->layers, llama->tower_layers, error));
    snug_builtin_llama_put(llama, layers, texts);
    *known = llama->name;
    return SNUG_STATUS_OK;
}

enum snug_status snug_builtin_open(const char *name, int64_t layers,
                                   const struct snug_allocator *allocator, struct snug_builtin *out,
                                   struct snug_error *error)
{
    static const char *const names[SNUG_BUILTIN_FILES] = {"config.json", "generation_config.json",
                                                          "preprocessor_config.json"};
    const char *known = NULL;
    for (size_t i = 0; i < SNUG_BUILTIN_FILES; i++)
        snug_text_init(&out->texts[i], allocator, SNUG_MAX_CONFIG_BYTES);
    enum snug_status found = put_texts(name, layers, out->texts, &known, error);
    if (found) {
        snug_builtin_close(out);
        return found;
    }
    for (size_t i = 0; i < SNUG_BUILTIN_FILES; i++) {
        enum snug_status status = snug_text_status(&out->texts[i], error, names[i]);
        if (status) {
            snug_builtin_close(out);
            return status;
        }
        out->files[i] = (struct snug_embedded_file){
            names[i], (const unsigned char *)snug_text_c(&out->texts[i]), out->texts[i].length};
    }
    out->folder = (struct snug_folder){.path = known,
                                       .files = out->files,
                                       .file_count = SNUG_BUILTIN_FILES,
                                       .allocator = allocator};
    return SNUG_STATUS_OK;
}

void snug_builtin_close(struct snug_builtin *builtin)
{
    for (size_t i = 0; i < SNUG_BUILTIN_FILES; i++)
        if (builtin->texts[i].allocator)
            snug_text_free(&builtin->texts[i]);
    *builtin = (struct snug_builtin){0};
}
