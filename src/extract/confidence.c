/* Geometric means of token probabilities.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/confidence.h"

#include "base/math.h"

double snug_field_confidence(size_t start, size_t end, const size_t *ends, const double *logarithms,
                             size_t count)
{
    /* The first token that ends behind `start`. */
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ends[middle] > start)
            high = middle;
        else
            low = middle + 1;
    }
    double sum = 0;
    size_t tokens = 0, begin = low > 0 ? ends[low - 1] : 0;
    for (size_t i = low; i < count && begin < end && start < end; i++) {
        if (ends[i] > begin) {
            sum += logarithms[i];
            tokens++;
        }
        begin = ends[i];
    }
    return tokens > 0 ? snug_exp(sum / (double)tokens) : (double)NAN;
}
