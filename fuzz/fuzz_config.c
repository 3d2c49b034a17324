/* Fuzz target: config.json, preprocessor_config.json and generation_config.json of a model folder.
 * The first byte says which of the three the rest replaces; the others are a folder's own. Seeds:
 * fuzz/corpus/config. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat.h"
#include "models/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "{\"architectures\": [\"InternVLForConditionalGeneration\"], \"model_type\": \"internvl\","
    "\"text_config\": {\"model_type\": \"qwen2\", \"hidden_size\": 96, \"intermediate_size\": 160,"
    "\"max_position_embeddings\": 64, \"num_attention_heads\": 6, \"num_hidden_layers\": 2,"
    "\"num_key_value_heads\": 2, \"vocab_size\": 1027}, \"vision_config\": {\"hidden_size\": 64,"
    "\"image_size\": 56, \"patch_size\": 14, \"intermediate_size\": 128, \"num_attention_heads\": "
    "4,"
    "\"num_hidden_layers\": 2}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snug_embedded_file files[4] = {
        {"config.json", (const unsigned char *)config, sizeof config - 1},
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
        /* What the program builder relies on. */
        SNUG_ASSERT(out.text.heads > 0 && out.text.heads % out.text.kv_heads == 0);
        SNUG_ASSERT(out.text.head_dim > 0 && out.text.head_dim <= SNUG_MAX_HEAD_DIM);
        SNUG_ASSERT(out.vision.image_side % out.vision.patch == 0 && out.tokens_per_tile > 0);
        SNUG_ASSERT(out.tiles.min_tiles >= 1 && out.tiles.max_tiles <= SNUG_MAX_TILES);
        SNUG_ASSERT(out.stop_id_count >= 0 && out.stop_id_count <= SNUG_MAX_STOP_IDS);
    }
    if (snug_chat_load(&folder, data[0] & 4, folder.allocator, &chat, &error) == SNUG_STATUS_OK)
        SNUG_ASSERT(chat.kind != SNUG_CHAT_KIND_UNKNOWN || chat.reason[0]);
    return 0;
}
