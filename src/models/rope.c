/* Rotary frequencies in f64 with our own pow, rounded once.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/rope.h"

#include "base/math.h"

void snug_rope_frequencies(const struct snug_rope_config *config, int64_t head_dim, int64_t n,
                           float *inv_freq)
{
    double base = config->theta, hd = (double)head_dim;
    if (config->dynamic && n > config->max_position) {
        double stretch =
            config->factor * (double)n / (double)config->max_position - (config->factor - 1.0);
        base *= snug_pow(stretch, hd / (hd - 2.0));
    }
    for (int64_t i = 0; i < head_dim / 2; i++)
        inv_freq[i] = (float)(1.0 / snug_pow(base, (double)(2 * i) / hd));
}
