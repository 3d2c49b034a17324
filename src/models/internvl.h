/* InternVL: names of its tensors in the three layouts, and its forward pass. Facts: internvl.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_INTERNVL_H
#define SNUG_MODELS_INTERNVL_H

#include "models/weights.h"

/* The weights the configuration calls for, with names and shapes, each found in the checkpoint; and
 * every tensor of the checkpoint accounted for. Appends to model->weights. */
SNUG_CHECK_RESULT enum snug_status snug_internvl_weights(struct snug_model *model,
                                                         const struct snug_safetensors *checkpoint,
                                                         const char *folder,
                                                         struct snug_error *error);

/* The same without a checkpoint: as config says, in the type it names. */
SNUG_CHECK_RESULT enum snug_status snug_internvl_outline(struct snug_model *model,
                                                         struct snug_error *error);

/* What snug_model_visit_weights promises, for this family. */
SNUG_CHECK_RESULT enum snug_status snug_internvl_visit(const struct snug_model_config *config,
                                                       snug_weight_visit_fn *visit, void *context,
                                                       struct snug_error *error);

/* Lays out vision, prefill and decode. */
void snug_internvl_program(const struct snug_model *model,
                           const struct snug_program_options *options, struct snug_program *program,
                           struct snug_program_handles *handles);

#endif
