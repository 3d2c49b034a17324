/* Llama-3.2-Vision by name: the part of builtin.c that is its own.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_BUILTIN_LLAMA_H
#define SNUG_MODELS_BUILTIN_LLAMA_H

#include "models/builtin.h"

struct snug_llama_architecture {
    const char *name;
    int hidden, intermediate, layers, cross_layers, heads, kv_heads;
    int tower_hidden, tower_intermediate, tower_layers, global_layers, tower_heads;
};

/* Layers that are kept of `have` where so many are wanted (0: all). */
static inline int snug_builtin_layers(int64_t wanted, int have)
{
    return wanted && wanted < have ? (int)wanted : have;
}

size_t snug_builtin_llama_count(void);
const char *snug_builtin_llama_name(size_t index);
const struct snug_llama_architecture *snug_builtin_llama_find(const char *name); /* NULL: none */
/* config.json, generation_config.json, preprocessor_config.json, with so many layers at most (0:
 * all). */
void snug_builtin_llama_put(const struct snug_llama_architecture *a, int64_t layers,
                            struct snug_text texts[SNUG_BUILTIN_FILES]);

#endif
