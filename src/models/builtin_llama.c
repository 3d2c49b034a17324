/* Llama-3.2-Vision by name. Where the numbers come from: llama_vision.md; the configurations are
 * those of the instruct models' folders. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "models/builtin_llama.h"

#include <string.h>

#define VOCABULARY 128256
#define IMAGE_ID 128256 /* the first row of the embedding beyond it */
#define BOS_ID 128000
#define PAD_ID 128004
#define EOS_IDS "[\n      128001,\n      128008,\n      128009\n    ]"

static const struct snug_llama_architecture architectures[] = {
    {"llama-3.2-11b-vision", 4096, 14336, 40, 8, 32, 8, 1280, 5120, 32, 8, 16},
    {"llama-3.2-90b-vision", 8192, 28672, 100, 20, 64, 8, 1280, 5120, 32, 8, 16},
    /* no model's shape: for tests */
    {"tiny-llama", 64, 128, 5, 1, 2, 1, 64, 128, 4, 1, 2},
};
#define COUNT (sizeof architectures / sizeof *architectures)

size_t snug_builtin_llama_count(void)
{
    return COUNT;
}

const char *snug_builtin_llama_name(size_t index)
{
    return architectures[index].name;
}

const struct snug_llama_architecture *snug_builtin_llama_find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(architectures[i].name, name))
            return &architectures[i];
    return NULL;
}

/* Cross-attention layers stand behind every (self / cross) others, from the fourth on; of fewer
 * layers the last one is kept. */
static void put_cross_layers(struct snug_text *text, const struct snug_llama_architecture *a,
                             int layers)
{
    int count = 0, step = (a->layers - a->cross_layers) / a->cross_layers + 1;
    for (int i = 3; i < layers; i += step)
        snug_text_printf(text, "%s\n      %d", count++ ? "," : "", i);
    if (!count)
        snug_text_printf(text, "\n      %d", layers - 1);
}

static void put_text_config(struct snug_text *text, const struct snug_llama_architecture *a,
                            int layers)
{
    snug_text_printf(text, "  \"text_config\": {\n"
                           "    \"cross_attention_layers\": [");
    put_cross_layers(text, a, layers);
    snug_text_printf(text,
                     "\n    ],\n"
                     "    \"bos_token_id\": %d,\n"
                     "    \"dropout\": 0,\n"
                     "    \"eos_token_id\": " EOS_IDS ",\n"
                     "    \"hidden_act\": \"silu\",\n"
                     "    \"hidden_size\": %d,\n"
                     "    \"initializer_range\": 0.02,\n"
                     "    \"intermediate_size\": %d,\n"
                     "    \"max_position_embeddings\": 131072,\n"
                     "    \"model_type\": \"mllama_text_model\",\n"
                     "    \"num_attention_heads\": %d,\n"
                     "    \"num_hidden_layers\": %d,\n"
                     "    \"num_key_value_heads\": %d,\n"
                     "    \"pad_token_id\": %d,\n"
                     "    \"rms_norm_eps\": 1e-05,\n"
                     "    \"rope_scaling\": {\n"
                     "      \"factor\": 8.0,\n"
                     "      \"high_freq_factor\": 4.0,\n"
                     "      \"low_freq_factor\": 1.0,\n"
                     "      \"original_max_position_embeddings\": 8192,\n"
                     "      \"rope_type\": \"llama3\"\n"
                     "    },\n"
                     "    \"rope_theta\": 500000.0,\n"
                     "    \"tie_word_embeddings\": false,\n"
                     "    \"torch_dtype\": \"bfloat16\",\n"
                     "    \"use_cache\": true,\n"
                     "    \"vocab_size\": %d\n"
                     "  },\n",
                     BOS_ID, a->hidden, a->intermediate, a->heads, layers, a->kv_heads, PAD_ID,
                     VOCABULARY);
}

/* The states that go to the projector beside the last; of a tower that is cut those there are. */
static int put_taken(struct snug_text *text, const struct snug_llama_architecture *a, int layers)
{
    static const int large[] = {3, 7, 15, 23, 30}, small[] = {0, 2};
    const int *taken = a->tower_layers > 30 ? large : small;
    int all = a->tower_layers > 30 ? 5 : 2, count = 0;
    for (int i = 0; i < all; i++)
        if (taken[i] < layers)
            snug_text_printf(text, "%s\n      %d", count++ ? "," : "", taken[i]);
    return count;
}

static void put_vision_config(struct snug_text *text, const struct snug_llama_architecture *a,
                              int layers, int global_layers)
{
    snug_text_printf(text,
                     "  \"vision_config\": {\n"
                     "    \"attention_heads\": %d,\n"
                     "    \"hidden_act\": \"gelu\",\n"
                     "    \"hidden_size\": %d,\n"
                     "    \"image_size\": 560,\n"
                     "    \"initializer_range\": 0.02,\n"
                     "    \"intermediate_layers_indices\": [",
                     a->tower_heads, a->tower_hidden);
    int taken = put_taken(text, a, layers);
    snug_text_printf(text,
                     "\n    ],\n"
                     "    \"intermediate_size\": %d,\n"
                     "    \"max_num_tiles\": 4,\n"
                     "    \"model_type\": \"mllama_vision_model\",\n"
                     "    \"norm_eps\": 1e-05,\n"
                     "    \"num_channels\": 3,\n"
                     "    \"num_global_layers\": %d,\n"
                     "    \"num_hidden_layers\": %d,\n"
                     "    \"patch_size\": 14,\n"
                     "    \"supported_aspect_ratios\": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], "
                     "[2, 2], [3, 1], [4, 1]],\n"
                     "    \"torch_dtype\": \"bfloat16\",\n"
                     "    \"vision_output_dim\": %d\n"
                     "  }\n",
                     a->tower_intermediate, global_layers, layers, a->tower_hidden * (1 + taken));
}

void snug_builtin_llama_put(const struct snug_llama_architecture *a, int64_t layers,
                            struct snug_text texts[SNUG_BUILTIN_FILES])
{
    snug_text_printf(&texts[0],
                     "{\n"
                     "  \"architectures\": [\n    \"MllamaForConditionalGeneration\"\n  ],\n"
                     "  \"image_token_index\": %d,\n"
                     "  \"model_type\": \"mllama\",\n",
                     IMAGE_ID);
    put_text_config(&texts[0], a, snug_builtin_layers(layers, a->layers));
    snug_text_puts(&texts[0], "  \"torch_dtype\": \"bfloat16\",\n"
                              "  \"transformers_version\": \"4.45.0.dev0\",\n");
    put_vision_config(&texts[0], a, snug_builtin_layers(layers, a->tower_layers),
                      snug_builtin_layers(layers, a->global_layers));
    snug_text_puts(&texts[0], "}\n");
    snug_text_printf(&texts[1],
                     "{\n"
                     "  \"_from_model_config\": true,\n"
                     "  \"bos_token_id\": %d,\n"
                     "  \"do_sample\": true,\n"
                     "  \"eos_token_id\": " EOS_IDS ",\n"
                     "  \"pad_token_id\": %d,\n"
                     "  \"temperature\": 0.6,\n"
                     "  \"top_p\": 0.9,\n"
                     "  \"transformers_version\": \"4.45.0.dev0\"\n"
                     "}\n",
                     BOS_ID, PAD_ID);
    snug_text_puts(&texts[2], "{\n"
                              "  \"do_convert_rgb\": true,\n"
                              "  \"do_normalize\": true,\n"
                              "  \"do_pad\": true,\n"
                              "  \"do_rescale\": true,\n"
                              "  \"do_resize\": true,\n"
                              "  \"image_mean\": [\n    0.48145466,\n    0.4578275,\n"
                              "    0.40821073\n  ],\n"
                              "  \"image_processor_type\": \"MllamaImageProcessor\",\n"
                              "  \"image_std\": [\n    0.26862954,\n    0.26130258,\n"
                              "    0.27577711\n  ],\n"
                              "  \"max_image_tiles\": 4,\n"
                              "  \"resample\": 2,\n"
                              "  \"rescale_factor\": 0.00392156862745098,\n"
                              "  \"size\": {\n    \"height\": 560,\n    \"width\": 560\n  }\n"
                              "}\n");
}
