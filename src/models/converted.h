/* Folders that snug has converted: weights packed, and quantised, as the program takes them, so
 * that they are mapped and used where they lie (docs/formats.md). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_CONVERTED_H
#define SNUG_MODELS_CONVERTED_H

#include "models/model.h"

/* Whether a checkpoint is a converted one. If so *options, which say what is asked for, become what
 * it holds (the threshold stays). Errors: UNSUPPORTED (format of a later version), FORMAT, USAGE
 * (something else is asked for). */
SNUG_CHECK_RESULT enum snug_status snug_converted_options(const struct snug_safetensors *checkpoint,
                                                          const char *folder,
                                                          struct snug_model_options *options,
                                                          bool *converted,
                                                          struct snug_error *error);

/* Told of each weight that was quantised, with what that did to it. */
typedef void snug_convert_report_fn(void *context, const struct snug_weight *weight,
                                    const struct snug_quant_error *deviation);

/* Converts folder `in` to the folder `out_path`: configuration and tokeniser files copied,
 * model.safetensors written last and under its name only when it is complete, so that whatever
 * kills the process leaves no folder that loads. Weights go through memory one at a time.
 * `out_path` must not exist, be empty, or be the leavings of a conversion that was killed (no
 * weights in it). Errors: those of snug_model_load, IO, USAGE. `go_on` (may be NULL) is asked
 * between weights: INTERRUPTED. */
SNUG_CHECK_RESULT enum snug_status
snug_convert(const struct snug_folder *in, const char *out_path,
             const struct snug_model_options *options, struct snug_pool *pool,
             snug_convert_report_fn *report, bool (*go_on)(void *context), void *context,
             const struct snug_allocator *allocator, uint64_t *bytes, struct snug_error *error);

#endif
