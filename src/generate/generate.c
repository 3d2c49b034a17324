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

static void finish(struct snug_answering *answer, enum snug_finish why)
{
    answer->out->finish = why;
    answer->over = true;
}

/* Takes the next token from logits. Errors: NON_FINITE (nobody is blamed yet), INTERRUPTED. */
static enum snug_status take(struct snug_answering *answer, const struct snug_session *session,
                             const float *logits, struct snug_error *error)
{
    const struct snug_generation_options *options = &answer->options;
    struct snug_generation *out = answer->out;
    struct snug_token token;
    SNUG_TRY(snug_sampler_next(&answer->sampler, session->options.ops, session->options.pool,
                               logits, (uint64_t)out->count, &token, error));
    out->ids[out->count] = token.id;
    out->log_probabilities[out->count++] = token.log_probability;
    if (is_stop(options, token.id))
        finish(answer, SNUG_FINISH_STOP);
    else if (options->detect_loops && snug_loop_detector_push(&answer->detector, token.id))
        finish(answer, SNUG_FINISH_LOOP);
    else if (options->progress && !options->progress(options->progress_context, out->count))
        return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
    else if (out->count == options->max_new_tokens)
        finish(answer, SNUG_FINISH_LENGTH);
    return SNUG_STATUS_OK;
}

static void stop_clock(struct snug_answering *answer)
{
    answer->out->decode_ms = snug_clock_ms() - answer->decode_start_ms;
}

enum snug_status snug_answering_init(struct snug_answering *answer, const struct snug_model *model,
                                     const struct snug_request *request,
                                     const struct snug_allocator *allocator,
                                     struct snug_error *error)
{
    const struct snug_generation_options *options = &request->options;
    *answer = (struct snug_answering){
        .options = *options, .out = request->out, .slot = -1, .request = *request};
    request->out->count = 0;
    request->out->finish = SNUG_FINISH_LENGTH;
    enum snug_status status = snug_sampler_init(&answer->sampler, &options->sampling,
                                                model->config.text.vocabulary, allocator, error);
    answer->sampler.document = options->document;
    return status;
}

/* The prompt, in the slot of the session's document, and the first token. */
static enum snug_status read_prompt(struct snug_answering *answer, struct snug_session *session,
                                    struct snug_error *error)
{
    const struct snug_request *request = &answer->request;
    const float *logits;
    double start = snug_clock_ms();
    answer->slot = session->current;
    enum snug_status status =
        snug_session_prompt(session, request->prompt, request->prompt_count, &logits, error);
    answer->decode_start_ms = snug_clock_ms();
    answer->out->prefill_ms = answer->decode_start_ms - start;
    if (!status && answer->options.max_new_tokens < 1)
        answer->over = true;
    else if (!status) {
        status = take(answer, session, logits, error);
        if (status == SNUG_STATUS_NON_FINITE)
            status = snug_session_blame(session, answer->slot, error);
    }
    stop_clock(answer);
    return status;
}

enum snug_status snug_answering_start(struct snug_answering *answer, struct snug_session *session,
                                      const int32_t *prompt, int64_t count,
                                      const struct snug_generation_options *options,
                                      struct snug_generation *out, struct snug_error *error)
{
    const struct snug_request request = {
        .prompt = prompt, .prompt_count = count, .options = *options, .out = out};
    enum snug_status status =
        snug_answering_init(answer, session->model, &request, session->allocator, error);
    if (!status)
        status = read_prompt(answer, session, error);
    if (status) {
        answer->status = status;
        answer->over = true;
    }
    return status;
}

/* ---- in a slot of any session ---- */

static enum snug_status tell_stage(const struct snug_request *request, bool prompt,
                                   struct snug_error *error)
{
    if (!request->stage || request->stage(request->stage_context, prompt))
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
}

/* Picture, prompt and tokens once more, but for the last token, which the next step reads. */
static enum snug_status replay(struct snug_answering *answer, struct snug_session *session,
                               struct snug_error *error)
{
    const struct snug_request *request = &answer->request;
    const float *logits;
    double start = snug_clock_ms();
    SNUG_TRY(tell_stage(request, false, error));
    SNUG_TRY(snug_session_see_picture(session, &request->picture, error));
    if (!answer->out->count)
        answer->out->vision_ms = snug_clock_ms() - start;
    SNUG_TRY(tell_stage(request, true, error));
    if (!answer->out->count)
        return read_prompt(answer, session, error);
    answer->slot = session->current;
    SNUG_TRY(snug_session_prompt(session, request->prompt, request->prompt_count, &logits, error));
    return snug_session_read_on(session, answer->out->ids, answer->out->count - 1, error);
}

enum snug_status snug_answering_resume(struct snug_answering *answer, struct snug_session *session,
                                       int slot, struct snug_error *error)
{
    const struct snug_request *request = &answer->request;
    SNUG_TRY(
        snug_session_begin_slot(session, slot, request->tokens, request->picture.tiles, error));
    enum snug_status status;
    if (answer->parcel.allocator) {
        answer->slot = slot;
        status = snug_session_restore(session, slot, &answer->parcel, error);
    } else {
        status = replay(answer, session, error);
    }
    if (status) {
        snug_session_end(session, slot);
        answer->slot = -1;
        return status;
    }
    snug_parcel_free(&answer->parcel);
    return SNUG_STATUS_OK;
}

/* An answer goes wrong, the others go on. */
static void blame(struct snug_answering *answer, struct snug_session *session)
{
    answer->status = snug_session_blame(session, answer->slot, &answer->error);
    answer->over = true;
}

enum snug_status snug_answering_advance(struct snug_session *session,
                                        struct snug_answering *const *answers, int64_t count,
                                        struct snug_error *error)
{
    struct snug_session_token tokens[SNUG_MAX_PARALLEL];
    bool wrong[SNUG_MAX_PARALLEL] = {false};
    const float *logits;
    int64_t vocabulary = session->model->config.text.vocabulary;
    SNUG_ASSERT(count >= 1 && count <= SNUG_MAX_PARALLEL);
    for (int64_t i = 0; i < count; i++) {
        const struct snug_generation *out = answers[i]->out;
        SNUG_ASSERT(!answers[i]->over);
        tokens[i] =
            (struct snug_session_token){.slot = answers[i]->slot, .id = out->ids[out->count - 1]};
    }
    SNUG_TRY(snug_session_step_together(session, tokens, count, &logits, error));
    for (int64_t i = 0; i < count; i++) {
        enum snug_status status = SNUG_STATUS_NON_FINITE;
        if (!tokens[i].non_finite)
            status = take(answers[i], session, logits + i * vocabulary, error);
        wrong[i] = status == SNUG_STATUS_NON_FINITE;
        if (status && !wrong[i])
            return status;
    }
    /* Only now: finding who is to blame overwrites the logits. */
    for (int64_t i = 0; i < count; i++) {
        if (wrong[i])
            blame(answers[i], session);
        stop_clock(answers[i]);
    }
    return SNUG_STATUS_OK;
}

void snug_answering_free(struct snug_answering *answer)
{
    snug_sampler_free(&answer->sampler);
    snug_parcel_free(&answer->parcel);
    *answer = (struct snug_answering){0};
}

enum snug_status snug_generate(struct snug_session *session, const int32_t *prompt, int64_t count,
                               const struct snug_generation_options *options,
                               struct snug_generation *out, struct snug_error *error)
{
    struct snug_answering answer, *const answers[1] = {&answer};
    enum snug_status status =
        snug_answering_start(&answer, session, prompt, count, options, out, error);
    while (!status && !answer.over)
        status = snug_answering_advance(session, answers, 1, error);
    if (!status && answer.status)
        status = snug_error_set(error, answer.status, "%s", answer.error.message);
    snug_answering_free(&answer);
    return status;
}
