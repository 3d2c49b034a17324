/* From logits to the next token: greedy, or seeded sampling (DESIGN 2.9).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_SAMPLER_H
#define SNUG_GENERATE_SAMPLER_H

#include "ops/op.h"

struct snug_sampling {
    float temperature; /* 0: greedy */
    float top_p;       /* (0, 1]; used if temperature > 0 */
    uint64_t seed;
};

struct snug_sampler {
    const struct snug_allocator *allocator;
    struct snug_sampling sampling;
    uint64_t document; /* first 8 bytes of the file's SHA-256, little-endian, xor page */
    int64_t vocabulary;
    struct snug_candidate *candidates; /* [vocabulary], only if temperature > 0 */
};

struct snug_token {
    int32_t id;
    double log_probability; /* log of exp(logit - max) / L at T = 1, f64 */
};

SNUG_CHECK_RESULT enum snug_status snug_sampler_init(struct snug_sampler *sampler,
                                                     const struct snug_sampling *sampling,
                                                     int64_t vocabulary,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_error *error);
void snug_sampler_free(struct snug_sampler *sampler);

/* The token of step `step` (from 0). A pure function of logits, sampling, document and step.
 * Errors: NON_FINITE if a logit is not finite (the caller finds who is to blame). Allocates
 * nothing. */
SNUG_CHECK_RESULT enum snug_status snug_sampler_next(const struct snug_sampler *sampler,
                                                     const struct snug_ops *ops,
                                                     struct snug_pool *pool, const float *logits,
                                                     uint64_t step, struct snug_token *out,
                                                     struct snug_error *error);

/* Philox4x32-10 (Salmon et al. 2011): four words from a counter and a key. */
void snug_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
