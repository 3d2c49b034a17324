/* Llama-3.2-Vision: names of its tensors, and its forward pass. Facts: llama_vision.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_LLAMA_VISION_H
#define SNUG_MODELS_LLAMA_VISION_H

#include "models/weights.h"

/* Adds every weight that the configuration calls for, with its names and shape. Errors: those of
 * snug_weight_list_add. */
SNUG_CHECK_RESULT enum snug_status snug_llama_vision_list(struct snug_weight_list *weights,
                                                          const struct snug_model_config *config,
                                                          struct snug_error *error);

/* Of loaded weights: for which aspect ratio ids the rows of the tile tables are the same bytes for
 * every tile that such a picture does not use (model->alike_ratios). */
uint64_t snug_llama_vision_alike(const struct snug_model *model);

/* Lays out vision (a picture a run), projector with the keys and values of the cross-attention
 * layers, prefill and decode. */
void snug_llama_vision_program(const struct snug_model *model,
                               const struct snug_program_options *options,
                               struct snug_program *program, struct snug_program_handles *handles);

#endif
