/* Names for the bytes that embedded_model.S brings in.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/embedded_model.h"

#define SYMBOL(name) extern const unsigned char snug_bytes_##name[], snug_bytes_##name##_end[];
SYMBOL(config)
SYMBOL(generation_config)
SYMBOL(preprocessor_config)
SYMBOL(tokenizer)
SYMBOL(tokenizer_config)
SYMBOL(chat_template)
SYMBOL(weights)
SYMBOL(schema)
SYMBOL(devices)
#undef SYMBOL

#define FILE_OF(symbol, name)                                                                      \
    {                                                                                              \
        name, snug_bytes_##symbol, (size_t)(snug_bytes_##symbol##_end - snug_bytes_##symbol)       \
    }

struct snug_folder snug_embedded_model(const struct snug_allocator *allocator)
{
    static struct snug_embedded_file files[7]; /* filled the same way by whoever comes first */
    const struct snug_embedded_file all[7] = {
        FILE_OF(config, "config.json"),
        FILE_OF(generation_config, "generation_config.json"),
        FILE_OF(preprocessor_config, "preprocessor_config.json"),
        FILE_OF(tokenizer, "tokenizer.json"),
        FILE_OF(tokenizer_config, "tokenizer_config.json"),
        FILE_OF(chat_template, "chat_template.jinja"),
        FILE_OF(weights, "model.safetensors"),
    };
    for (size_t i = 0; i < 7; i++)
        files[i] = all[i];
    return (struct snug_folder){
        .path = "snug-nano", .files = files, .file_count = 7, .allocator = allocator};
}

struct snug_embedded_file snug_embedded_schema(void)
{
    return (struct snug_embedded_file)FILE_OF(schema, "business-document.json");
}

struct snug_embedded_file snug_embedded_devices(void)
{
    return (struct snug_embedded_file)FILE_OF(devices, "devices.json");
}
