/* What each rung takes, and how fast it should be: programs that are laid out and not run.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include <string.h>

/* ---- the machine ---- */

static void set_speeds(struct plan *p)
{
    const struct snug_machine *m = &p->machine;
    bool named = !m->device_count && !m->is_this && m->profile.read_gbs > 0;
    p->request.speeds[SNUG_SPACE_HOST] =
        named ? snug_cli_profile_speed(&m->profile) : snug_cli_host_speed();
    for (int i = 1; i <= m->device_count; i++)
        p->request.speeds[i] = snug_cli_profile_speed(&m->devices[i].profile);
}

/* Devices need not be here: dry ones stand for them. */
static void set_request(struct plan *p)
{
    const struct snug_machine *m = &p->machine;
    struct snug_rung_request *r = &p->request;
    *r = (struct snug_rung_request){.model = p->asked.model,
                                    .session = snug_session_options_default(),
                                    .tokens = p->asked.tokens,
                                    .tiles = p->asked.tiles,
                                    .device_count = m->device_count,
                                    .known = &p->known,
                                    .whole = m->device_count && p->ladder.count == 1};
    r->session.device = snug_device_dry();
    r->session.kv_dtype = p->asked.kv_dtype;
    r->session.slots = p->asked.parallel;
    if (p->asked.vision_batch)
        r->session.vision_batch = p->asked.vision_batch;
    if (p->asked.prefill_chunk)
        r->session.prefill_chunk = p->asked.prefill_chunk;
    p->host_budget = m->device_count ? (size_t)snug_memory_available() : m->budget_bytes;
    /* Without a device there is nothing to fall back to: as many documents at once as are asked. */
    r->free_bytes[SNUG_SPACE_HOST] = m->device_count ? p->host_budget : SIZE_MAX;
    r->granularity[SNUG_SPACE_HOST] = 4096;
    for (int i = 1; i <= m->device_count; i++) {
        r->devices[i] = snug_device_dry();
        r->free_bytes[i] = m->devices[i].budget_bytes;
        r->granularity[i] = (size_t)m->devices[i].profile.granularity_bytes;
    }
    set_speeds(p);
}

/* ---- time ---- */

static double ms_of(const struct plan *p, const struct snug_session *session,
                    const struct snug_run *run)
{
    return snug_placed_cost(&session->placed, run, p->request.speeds).total_ms;
}

/* All tiles through the tower: in batches, or (Llama) all together and then the projector. */
static double vision_ms(const struct plan *p, const struct snug_session *session)
{
    int64_t tiles = p->asked.tiles, batch = session->options.vision_batch;
    struct snug_run run = {.phase = session->handles.vision};
    if (run.phase < 0)
        return 0;
    if (session->handles.projector >= 0) {
        struct snug_run project = {.phase = session->handles.projector};
        run.units = tiles;
        project.units = tiles * p->asked.model->config.rows_per_tile;
        return ms_of(p, session, &run) + ms_of(p, session, &project);
    }
    run.units = batch < tiles ? batch : tiles;
    double ms = run.units ? (double)(tiles / run.units) * ms_of(p, session, &run) : 0;
    run.units = run.units ? tiles % run.units : 0;
    return ms + (run.units ? ms_of(p, session, &run) : 0);
}

static double prompt_ms(const struct plan *p, const struct snug_session *session, int64_t tokens)
{
    struct snug_run run = {.phase = session->handles.prefill.phase};
    int64_t chunk = session->options.prefill_chunk;
    double ms = 0;
    for (; run.first_position < tokens; run.first_position += run.units) {
        int64_t left = tokens - run.first_position;
        run.units = left < chunk ? left : chunk;
        ms += ms_of(p, session, &run);
    }
    return ms;
}

/* Whether speeds are known of all that a rung makes use of. */
static bool speeds_known(const struct plan *p, const struct snug_session *session)
{
    const struct snug_speed *s = p->request.speeds;
    bool known = s[SNUG_SPACE_HOST].read_gbs > 0;
    for (int space = 1; space < session->placed.spaces; space++)
        known = known && s[space].read_gbs > 0 && s[space].f32_gflops > 0 &&
                s[space].int8_gops > 0 &&
                (s[space].link_gbs > 0 || !session->placed.transfer_count);
    return known;
}

/* Errors: LIMIT, MEMORY. */
static enum snug_status estimate(const struct plan *p, struct rung *rung, struct snug_error *error)
{
    struct snug_session session;
    int64_t prompt = p->asked.tokens - p->answer_tokens;
    enum snug_status status = snug_rung_session(&p->request, &rung->plan, &session, error);
    if (!status && speeds_known(p, &session)) {
        struct snug_run step = {.phase = session.handles.decode.phase, .units = 1};
        step.first_position = p->asked.tokens / 2;
        rung->token = snug_placed_cost(&session.placed, &step, p->request.speeds);
        rung->tokens_per_s = 1000 / rung->token.total_ms;
        rung->vision_ms = vision_ms(p, &session);
        rung->prompt_ms = prompt_ms(p, &session, prompt);
        rung->prefill_tokens_per_s = (double)prompt / rung->prompt_ms * 1000;
        step.first_position = prompt + p->answer_tokens / 2;
        rung->answer_ms = (double)p->answer_tokens * ms_of(p, &session, &step);
    }
    snug_session_free(&session);
    return status;
}

/* ---- bytes ---- */

static struct snug_forecast_request forecast_request(const struct plan *p,
                                                     const struct snug_rung_plan *plan)
{
    struct snug_forecast_request request = p->asked;
    request.placing = plan->placing;
    request.parallel = plan->slots;
    if (plan->placing.device_count) {
        request.granularity = p->request.granularity[1];
        request.host_budget_bytes = p->host_budget;
    }
    if (plan->placing.device_count > 1)
        request.second_budget_bytes = p->request.free_bytes[2];
    return request;
}

size_t plan_missing(const struct plan *p, const struct rung *rung)
{
    const struct snug_forecast *f = &rung->forecast;
    size_t second = p->request.free_bytes[2], main = plan_budget(p, rung);
    if (f->peak_bytes > main)
        return f->peak_bytes - main;
    if (f->second_bytes > second)
        return f->second_bytes - second;
    return f->host_bytes > p->host_budget ? f->host_bytes - p->host_budget : 0;
}

/* Where everything is loaded afresh all else is as on another rung, which may be worked out. */
static const struct rung *like(const struct plan *p, int index)
{
    enum snug_rung rung = p->ladder.items[index], other = rung;
    if (rung == SNUG_RUNG_RELOAD)
        other = SNUG_RUNG_RESIDENT;
    if (rung == SNUG_RUNG_RELOAD_KV_OFFLOAD)
        other = SNUG_RUNG_KV_OFFLOAD;
    for (int i = 0; i < index && other != rung; i++) {
        const struct rung *done = &p->rungs[i];
        if (done->plan.rung == other && done->plan.slots == p->asked.parallel && done->fits)
            return done;
    }
    return NULL;
}

static enum snug_status work_out_rung(struct plan *p, int index, struct snug_error *error)
{
    struct rung *rung = &p->rungs[index];
    const struct rung *done = like(p, index);
    if (done) {
        *rung = *done;
        rung->plan.rung = p->ladder.items[index];
        return SNUG_STATUS_OK;
    }
    SNUG_TRY(snug_rung_plan(&p->request, p->ladder.items[index], &rung->plan, error));
    if (!rung->plan.applies)
        return SNUG_STATUS_OK;
    struct snug_forecast_request request = forecast_request(p, &rung->plan);
    bool on_device = rung->plan.placing.device_count > 0;
    SNUG_TRY(snug_forecast_make(&request, p->allocator, &rung->forecast, error));
    rung->device_bytes = on_device ? rung->forecast.peak_bytes : 0;
    rung->second_bytes = rung->forecast.second_bytes;
    rung->host_bytes = on_device ? rung->forecast.host_bytes : rung->forecast.peak_bytes;
    rung->fits = rung->plan.fits && !plan_missing(p, rung);
    return estimate(p, rung, error);
}

/* ---- all of it ---- */

static int choose_used(const struct plan *p)
{
    for (int i = 0; i < p->ladder.count; i++)
        if (p->rungs[i].fits)
            return i;
    for (int i = 0; i < p->ladder.count; i++)
        if (p->rungs[i].plan.applies)
            return i;
    return 0;
}

static enum snug_status work_out_most(struct plan *p, struct snug_error *error)
{
    const struct snug_forecast_request *request = &p->used_request;
    size_t budget = plan_budget(p, plan_used(p));
    bool thumbnail = request->model->config.tiles.thumbnail;
    SNUG_TRY(
        snug_forecast_most_documents(request, budget, p->allocator, &p->most_documents, error));
    SNUG_TRY(snug_forecast_most_tiles(request, budget, p->allocator, &p->most_tiles, error));
    if (thumbnail && p->most_tiles > 2)
        p->most_tiles--;
    else if (thumbnail && p->most_tiles == 2)
        p->most_tiles = 1;
    return snug_forecast_most_tokens(request, budget, p->allocator, &p->most_tokens, error);
}

enum snug_status plan_work_out(struct plan *p, struct snug_error *error)
{
    set_request(p);
    for (int i = 0; i < p->ladder.count; i++)
        SNUG_TRY(work_out_rung(p, i, error));
    p->used = choose_used(p);
    p->used_request = forecast_request(p, &plan_used(p)->plan);
    return work_out_most(p, error);
}
