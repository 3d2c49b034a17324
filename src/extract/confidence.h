/* How sure the model was of a value.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_CONFIDENCE_H
#define SNUG_EXTRACT_CONFIDENCE_H

#include <stddef.h>

/* The geometric mean of the probabilities of the tokens that wrote bytes [start, end) of the
 * answer: exp of the mean of their logarithms, in f64, tokens ascending.
 * ends: where the text of each of `count` tokens ends, ascending: token i wrote [ends[i - 1],
 * ends[i]), from 0 for the first, maybe nothing. logarithms: natural logarithms of their
 * probabilities. A token that shares one byte counts in full; one that wrote nothing does not. NaN
 * if no token does (an empty range). O(log count + tokens of the range). Pure. */
double snug_field_confidence(size_t start, size_t end, const size_t *ends, const double *logarithms,
                             size_t count);

#endif
