/* Greedy and top-p sampling; the random number is a function of seed, document and step.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/sampler.h"

#include "base/math.h"

#include <math.h>
#include <stdlib.h>

struct snug_candidate {
    float p;
    int32_t id;
};

void snug_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

enum snug_status snug_sampler_init(struct snug_sampler *sampler,
                                   const struct snug_sampling *sampling, int64_t vocabulary,
                                   const struct snug_allocator *allocator, struct snug_error *error)
{
    *sampler = (struct snug_sampler){
        .allocator = allocator, .sampling = *sampling, .vocabulary = vocabulary};
    if (!(sampling->temperature >= 0) || !isfinite(sampling->temperature) ||
        !(sampling->top_p > 0) || sampling->top_p > 1)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "temperature must be 0 or more, top-p above 0 and at most 1");
    if (sampling->temperature > 0) {
        sampler->candidates =
            snug_alloc_array(allocator, (size_t)vocabulary, sizeof *sampler->candidates);
        if (!sampler->candidates)
            return snug_error_memory(error, (size_t)vocabulary * sizeof *sampler->candidates,
                                     "sampling");
    }
    return SNUG_STATUS_OK;
}

void snug_sampler_free(struct snug_sampler *sampler)
{
    if (sampler->allocator)
        snug_free(sampler->allocator, sampler->candidates);
    *sampler = (struct snug_sampler){0};
}

/* p descending, id ascending. */
static int by_probability(const void *left, const void *right)
{
    const struct snug_candidate *a = left, *b = right;
    if (a->p != b->p)
        return a->p > b->p ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Rule 3's sum: 32 lanes ascending, then the tree. */
static float lane_sum(const struct snug_candidate *candidates, int64_t count)
{
    float lanes[32] = {0};
    for (int64_t i = 0; i < count; i++)
        lanes[i % 32] += candidates[i].p;
    for (int width = 16; width; width /= 2)
        for (int i = 0; i < width; i++)
            lanes[i] += lanes[i + width];
    return lanes[0];
}

static int32_t sample(const struct snug_sampler *sampler, const float *logits, uint64_t step)
{
    struct snug_candidate *candidates = sampler->candidates;
    int64_t count = sampler->vocabulary, kept = 0;
    float temperature = sampler->sampling.temperature, max = logits[0] / temperature;
    for (int64_t i = 1; i < count; i++) {
        float scaled = logits[i] / temperature;
        max = max > scaled ? max : scaled;
    }
    for (int64_t i = 0; i < count; i++)
        candidates[i] =
            (struct snug_candidate){snug_expf(logits[i] / temperature - max), (int32_t)i};
    float total = lane_sum(candidates, count), running = 0;
    qsort(candidates, (size_t)count, sizeof *candidates, by_probability);
    while (kept < count) {
        running += candidates[kept++].p;
        if (running >= sampler->sampling.top_p * total)
            break;
    }
    uint64_t seed = sampler->sampling.seed, document = sampler->document;
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words[4];
    uint32_t counter[4] = {(uint32_t)step, (uint32_t)(step >> 32), (uint32_t)document,
                           (uint32_t)(document >> 32)};
    snug_philox(counter, key, words);
    float u = (float)(words[0] >> 8) * 0x1p-24f, sum = 0;
    for (int64_t i = 0; i < kept; i++) {
        sum += candidates[i].p;
        if (sum > u * running)
            return candidates[i].id;
    }
    return candidates[kept - 1].id;
}

enum snug_status snug_sampler_next(const struct snug_sampler *sampler, const struct snug_ops *ops,
                                   struct snug_pool *pool, const float *logits, uint64_t step,
                                   struct snug_token *out, struct snug_error *error)
{
    struct snug_logit_stats stats = {.count = sampler->vocabulary, .logits = logits};
    enum snug_status status = ops->logit_stats(&stats, pool);
    if (status)
        return snug_error_set(error, status, "the logits have a wrong shape");
    if (!stats.finite)
        return snug_error_set(error, SNUG_STATUS_NON_FINITE, "the logits are not finite");
    int64_t id = sampler->sampling.temperature > 0 ? sample(sampler, logits, step) : stats.argmax;
    out->id = (int32_t)id;
    out->log_probability = snug_log((double)(snug_expf(logits[id] - stats.max) / stats.sum));
    return SNUG_STATUS_OK;
}
