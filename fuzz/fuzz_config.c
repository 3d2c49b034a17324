/* Fuzz target: config.json, preprocessor_config.json and generation_config.json of a model folder.
 * The first byte says which of the three (or the chat template) the rest replaces, and whose the
 * others are: a small InternVL folder's, with bit 3 a Llama-3.2-Vision folder's. Seeds:
 * fuzz/corpus/config. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat.h"
#include "models/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LLAMA 8 /* of the first byte */

static const char internvl[] =
    "{\"architectures\": [\"InternVLForConditionalGeneration\"], \"model_type\": \"internvl\","
    "\"text_config\": {\"model_type\": \"qwen2\", \"hidden_size\": 96, \"intermediate_size\": 160,"
    "\"max_position_embeddings\": 64, \"num_attention_heads\": 6, \"num_hidden_layers\": 2,"
    "\"num_key_value_heads\": 2, \"vocab_size\": 1027}, \"vision_config\": {\"hidden_size\": 64,"
    "\"image_size\": 56, \"patch_size\": 14, \"intermediate_size\": 128, \"num_attention_heads\": "
    "4,"
    "\"num_hidden_layers\": 2}}";

static const char llama[] =
    "{\"architectures\": [\"MllamaForConditionalGeneration\"], \"model_type\": \"mllama\","
    "\"image_token_index\": 587, \"text_config\": {\"hidden_size\": 64, \"intermediate_size\": 96,"
    "\"max_position_embeddings\": 2048, \"num_attention_heads\": 4, \"num_hidden_layers\": 6,"
    "\"num_key_value_heads\": 2, \"vocab_size\": 587, \"cross_attention_layers\": [1, 4]},"
    "\"vision_config\": {\"hidden_size\": 40, \"intermediate_size\": 88, \"attention_heads\": 2,"
    "\"num_hidden_layers\": 5, \"num_global_layers\": 2, \"image_size\": 56, \"patch_size\": 14,"
    "\"max_num_tiles\": 4, \"intermediate_layers_indices\": [0, 1, 3], \"vision_output_dim\": "
    "160}}";

/* What the program builder relies on. */
static void check_text(const struct snug_text_config *text)
{
    SNUG_ASSERT(text->heads > 0 && text->heads % text->kv_heads == 0);
    SNUG_ASSERT(text->head_dim > 0 && text->head_dim <= SNUG_MAX_HEAD_DIM);
    SNUG_ASSERT(text->embedding_rows >= text->vocabulary && text->eps > 0);
    int64_t count = 0;
    for (int64_t i = 0; i < SNUG_MAX_LAYERS; i++) {
        SNUG_ASSERT(!text->cross_layer[i] || i < text->layers);
        count += text->cross_layer[i];
    }
    SNUG_ASSERT(count == text->cross_layer_count);
}

static void check_llama(const struct snug_model_config *config)
{
    const struct snug_vision_config *vision = &config->vision;
    int64_t grid = vision->image_side / vision->patch;
    SNUG_ASSERT(config->text.cross_layer_count > 0 && config->tokens_per_tile == 0);
    SNUG_ASSERT(config->rows_per_tile == 1 + grid * grid);
    SNUG_ASSERT(vision->max_tiles >= 1 && config->tiles.max_tiles <= vision->max_tiles);
    SNUG_ASSERT(vision->layers >= 1 && vision->global_layers >= 1 && vision->eps > 0);
    SNUG_ASSERT(vision->heads * vision->head_dim == vision->hidden);
    SNUG_ASSERT(vision->taken_count <= SNUG_MAX_TAKEN_STATES);
    for (int64_t k = 0; k < vision->taken_count; k++)
        SNUG_ASSERT(vision->taken[k] >= 0 && vision->taken[k] < vision->layers);
    SNUG_ASSERT(config->image_token_id >= 0 &&
                config->image_token_id < config->text.embedding_rows);
    /* The tower's rows and tables are named by i32. */
    int64_t ids = 1 + snug_tile_aspect_id(vision->max_tiles, 1, vision->max_tiles);
    SNUG_ASSERT(ids * vision->max_tiles * config->rows_per_tile <= INT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_llama = size && data[0] & LLAMA;
    const char *config = is_llama ? llama : internvl;
    struct snug_embedded_file files[4] = {
        {"config.json", (const unsigned char *)config, strlen(config)},
        {"preprocessor_config.json", (const unsigned char *)"{}", 2},
        {"generation_config.json", (const unsigned char *)"{}", 2},
        {"chat_template.jinja", (const unsigned char *)"", 0},
    };
    struct snug_folder folder = {
        .path = "input", .files = files, .file_count = 4, .allocator = snug_allocator_heap()};
    struct snug_model_config out;
    struct snug_chat_format chat;
    struct snug_error error;
    if (!size)
        return 0;
    files[data[0] % 4].data = data + 1;
    files[data[0] % 4].size = size - 1;
    enum snug_status status = snug_model_config_read(&folder, folder.allocator, &out, &error);
    if (!status) {
        bool llama_read = out.family == SNUG_FAMILY_LLAMA_VISION;
        check_text(&out.text);
        SNUG_ASSERT(out.vision.image_side % out.vision.patch == 0);
        SNUG_ASSERT(llama_read || out.tokens_per_tile > 0);
        if (llama_read)
            check_llama(&out);
        SNUG_ASSERT(out.tiles.min_tiles >= 1 && out.tiles.max_tiles <= SNUG_MAX_TILES);
        SNUG_ASSERT(out.stop_id_count >= 0 && out.stop_id_count <= SNUG_MAX_STOP_IDS);
    }
    if (snug_chat_load(&folder, data[0] & 4, folder.allocator, &chat, &error) == SNUG_STATUS_OK)
        SNUG_ASSERT(chat.kind != SNUG_CHAT_KIND_UNKNOWN || chat.reason[0]);
    return 0;
}
