/* Rotary frequencies in f64 with our own pow, rounded once.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/rope.h"

#include "base/math.h"

#define TWO_PI 6.283185307179586

/* A wave longer than the original context is stretched; one that fits into it several times is
 * not. */
static double llama3(const struct snug_rope_config *config, double f)
{
    double waves = (double)config->original_position * f / TWO_PI; /* within that context */
    if (waves < config->low_freq_factor)
        return f / config->factor;
    if (waves > config->high_freq_factor)
        return f;
    double z =
        (waves - config->low_freq_factor) / (config->high_freq_factor - config->low_freq_factor);
    return (1.0 - z) * f / config->factor + z * f;
}

void snug_rope_frequencies(const struct snug_rope_config *config, int64_t head_dim, int64_t n,
                           float *inv_freq)
{
    double base = config->theta, hd = (double)head_dim;
    if (config->dynamic && n > config->max_position) {
        double stretch =
            config->factor * (double)n / (double)config->max_position - (config->factor - 1.0);
        base *= snug_pow(stretch, hd / (hd - 2.0));
    }
    for (int64_t i = 0; i < head_dim / 2; i++) {
        double f = 1.0 / snug_pow(base, (double)(2 * i) / hd);
        inv_freq[i] = (float)(config->llama3 ? llama3(config, f) : f);
    }
}
