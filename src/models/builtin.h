/* Architectures known by name: the configuration files of their folders, without weights. For
 * making a folder of true shape, and for planning a model that is not on this machine. Copyright
 * snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_BUILTIN_H
#define SNUG_MODELS_BUILTIN_H

#include "base/files.h"
#include "base/limits.h"
#include "base/text.h"

/* config.json, generation_config.json, preprocessor_config.json */
#define SNUG_BUILTIN_FILES 3

size_t snug_builtin_count(void);
/* "internvl3-1b"; index < snug_builtin_count(). Static. */
const char *snug_builtin_name(size_t index);
/* All names, with commas between. Static. */
const char *snug_builtin_names(void);

/* The files as the Hugging Face layout has them; folder goes to snug_model_config_read. The struct
 * must stay where it is. */
struct snug_builtin {
    struct snug_folder folder;
    /* private */
    struct snug_embedded_file files[SNUG_BUILTIN_FILES];
    struct snug_text texts[SNUG_BUILTIN_FILES];
};

/* layers: keep only so many of the text model and of the tower; 0: all. Free with
 * snug_builtin_close. Errors: USAGE (unknown name, the known ones are named; fewer layers than
 * none, more than there are), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_builtin_open(const char *name, int64_t layers,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_builtin *out,
                                                     struct snug_error *error);
void snug_builtin_close(struct snug_builtin *builtin); /* zeroed struct allowed */

#endif
