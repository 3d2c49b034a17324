/* The embedded model: the files of models/snug-nano, as they are. The build passes the include path.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
    .macro embed symbol, file
    .global snug_bytes_\symbol
    .global snug_bytes_\symbol\()_end
    .balign 64
snug_bytes_\symbol:
    .incbin "\file"
snug_bytes_\symbol\()_end:
    .byte 0
    .endm

    .section .rodata
    embed config, "config.json"
    embed generation_config, "generation_config.json"
    embed preprocessor_config, "preprocessor_config.json"
    embed tokenizer, "tokenizer.json"
    embed tokenizer_config, "tokenizer_config.json"
    embed chat_template, "chat_template.jinja"
    embed weights, "model.safetensors"
    embed schema, "business-document.json"
    embed devices, "devices.json"

    .section .note.GNU-stack, "", @progbits
