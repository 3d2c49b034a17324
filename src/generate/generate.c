/* The loop, and the detector that ends a repeating answer.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/generate.h"

#include "base/clock.h"

const char *snug_finish_text(enum snug_finish finish)
{
    return finish == SNUG_FINISH_STOP ? "stop" : finish == SNUG_FINISH_LENGTH ? "length" : "loop";
}

bool snug_loop_detector_push(struct snug_loop_detector *detector, int32_t id)
{
    bool loop = false;
    for (int64_t p = 1; p <= SNUG_LOOP_MAX_PERIOD; p++) {
        bool same = detector->count >= p &&
                    detector->recent[(detector->count - p) % SNUG_LOOP_MAX_PERIOD] == id;
        detector->matched[p] = same ? detector->matched[p] + 1 : 0;
        int64_t span = p * SNUG_LOOP_MIN_REPEATS;
        span = span > SNUG_LOOP_MIN_TOKENS ? span : SNUG_LOOP_MIN_TOKENS;
        loop |= detector->matched[p] >= span - p;
    }
    detector->recent[detector->count++ % SNUG_LOOP_MAX_PERIOD] = id;
    return loop;
}

static bool is_stop(const struct snug_generation_options *options, int32_t id)
{
    for (int i = 0; i < options->stop_id_count; i++)
        if (options->stop_ids[i] == id)
            return true;
    return false;
}

/* Takes tokens from logits until something ends it. */
static enum snug_status decode(struct snug_session *session, const struct snug_sampler *sampler,
                               const float *logits, const struct snug_generation_options *options,
                               struct snug_generation *out, struct snug_error *error)
{
    struct snug_loop_detector detector = {0};
    out->finish = SNUG_FINISH_LENGTH;
    for (out->count = 0; out->count < options->max_new_tokens;) {
        struct snug_token token;
        enum snug_status status =
            snug_sampler_next(sampler, session->options.ops, session->options.pool, logits,
                              (uint64_t)out->count, &token, error);
        if (status == SNUG_STATUS_NON_FINITE)
            return snug_session_blame(session, error);
        if (status)
            return status;
        out->ids[out->count] = token.id;
        out->log_probabilities[out->count++] = token.log_probability;
        if (is_stop(options, token.id)) {
            out->finish = SNUG_FINISH_STOP;
            return SNUG_STATUS_OK;
        }
        if (options->detect_loops && snug_loop_detector_push(&detector, token.id)) {
            out->finish = SNUG_FINISH_LOOP;
            return SNUG_STATUS_OK;
        }
        if (options->progress && !options->progress(options->progress_context, out->count))
            return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
        if (out->count == options->max_new_tokens)
            break;
        status = snug_session_step(session, token.id, &logits, error);
        if (status)
            return status;
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_generate(struct snug_session *session, const int32_t *prompt, int64_t count,
                               const struct snug_generation_options *options,
                               struct snug_generation *out, struct snug_error *error)
{
    struct snug_sampler sampler;
    const float *logits;
    double start = snug_clock_ms();
    enum snug_status status =
        snug_sampler_init(&sampler, &options->sampling, session->model->config.text.vocabulary,
                          session->allocator, error);
    sampler.document = options->document;
    if (!status)
        status = snug_session_prompt(session, prompt, count, &logits, error);
    out->prefill_ms = snug_clock_ms() - start;
    start = snug_clock_ms();
    if (!status)
        status = decode(session, &sampler, logits, options, out, error);
    out->decode_ms = snug_clock_ms() - start;
    snug_sampler_free(&sampler);
    return status;
}
