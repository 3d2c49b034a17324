/* Rotary frequencies.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_ROPE_H
#define SNUG_MODELS_ROPE_H

#include <stdbool.h>
#include <stdint.h>

struct snug_rope_config {
    double theta;
    bool dynamic; /* dynamic NTK scaling with `factor` beyond `max_position` */
    double factor;
    int64_t max_position; /* max_position_embeddings */
    bool llama3;          /* long waves by `factor`, short ones not, smoothly between */
    double low_freq_factor, high_freq_factor;
    int64_t original_position; /* original_max_position_embeddings */
};

/* inv_freq[head_dim / 2], f64 rounded once to f32 (DESIGN 2.5). n: the prompt's length for every
 * position of the prompt, position + 1 for every later one; only dynamic scaling looks at it:
 * n > max_position replaces theta by theta * (factor * n / max - (factor - 1)) ^ (hd / (hd - 2)).
 */
void snug_rope_frequencies(const struct snug_rope_config *config, int64_t head_dim, int64_t n,
                           float *inv_freq);

#endif
