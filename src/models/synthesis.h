/* Random weights of a true shape, with or without outlying activations: what a folder for measuring
 * speed, memory and quantisation is made of. The numbers mean nothing; the activations are finite
 * and of the sizes that real models have.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_SYNTHESIS_H
#define SNUG_MODELS_SYNTHESIS_H

#include "models/weights.h"

#define SNUG_MAX_OUTLIERS 0.01 /* fraction of the channels */

struct snug_synthesis {
    const struct snug_model_config *config;
    uint64_t seed;
    double outliers; /* 0 .. SNUG_MAX_OUTLIERS */
};

/* One tensor being made: how it is drawn, and the channels that are treated apart. Filled by
 * snug_synthesis_begin. */
#define SNUG_MAX_OUTLIER_CHANNELS 4096
struct snug_synthesis_tensor {
    int64_t rows, row_elements;
    /* private */
    uint64_t key;
    float mean, deviation;
    int row_rule, column_rule;
    int64_t slots;       /* of a table of tiles; else 0 */
    float row_factor;    /* of the deviation, in the rows listed */
    float column_factor; /* of the value, in the columns listed */
    int row_count, column_count;
    int32_t row_list[SNUG_MAX_OUTLIER_CHANNELS], column_list[SNUG_MAX_OUTLIER_CHANNELS];
    float column_value[SNUG_MAX_OUTLIER_CHANNELS]; /* what stands there, or is added */
    float row_sign[SNUG_MAX_OUTLIER_CHANNELS];
};

/* The recipe of a weight as snug_model_visit_weights gives it (shape: on disk). The Hugging Face
 * layout only. Errors: UNSUPPORTED if the model is so wide that the outliers' list is too short. */
SNUG_CHECK_RESULT enum snug_status snug_synthesis_begin(const struct snug_synthesis *synthesis,
                                                        const struct snug_weight_request *request,
                                                        const struct snug_shape *shape,
                                                        struct snug_synthesis_tensor *out,
                                                        struct snug_error *error);
/* bf16 elements of rows [first, first + count) into out [count, row_elements]. They depend on seed,
 * tensor name and place alone, not on how the rows are cut. Thread-safe. */
void snug_synthesis_rows(const struct snug_synthesis_tensor *tensor, int64_t first, int64_t count,
                         uint16_t *out);

#endif
