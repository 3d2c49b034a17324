/* InternVL: names of its tensors in the three layouts, and its forward pass. Facts: internvl.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_INTERNVL_H
#define SNUG_MODELS_INTERNVL_H

#include "models/weights.h"

/* Adds every weight that the configuration calls for, with its names and shape. checkpoint: where a
 * head of its own may be missing; NULL: it is asked for. Errors: those of snug_weight_list_add,
 * MODEL (no head). */
SNUG_CHECK_RESULT enum snug_status snug_internvl_list(struct snug_weight_list *weights,
                                                      const struct snug_model_config *config,
                                                      const struct snug_safetensors *checkpoint,
                                                      struct snug_error *error);

/* Lays out vision, prefill and decode. */
void snug_internvl_program(const struct snug_model *model,
                           const struct snug_program_options *options, struct snug_program *program,
                           struct snug_program_handles *handles);

#endif
