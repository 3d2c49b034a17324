/* Stepping down and climbing: the same tokens and probabilities as undisturbed on the host,
 * whichever rung fails, at whichever token, for whatever reason. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

struct history {
    struct snug_event events[64];
    int count;
};

static void on_event(void *context, const struct snug_event *event)
{
    struct history *history = context;
    if (history->count < 64)
        history->events[history->count] = *event;
    history->count++;
}

struct text {
    int32_t ids[NEW_TOKENS];
    double log_probabilities[NEW_TOKENS];
    int64_t count;
    enum snug_rung rung;
    int64_t moves;
};

static struct snug_request request_of(const struct world *w, struct snug_generation *out)
{
    return (struct snug_request){
        .name = "made up",
        .prompt = w->ids,
        .prompt_count = w->count,
        .picture = {.tiles = w->tiles, .rows = w->rows, .columns = w->columns, .pixels = w->pixels},
        .tokens = w->count + NEW_TOKENS,
        .options = {.max_new_tokens = NEW_TOKENS, .sampling = {.top_p = 1}},
        .out = out};
}

static struct snug_ladder_options options_of(const struct world *w,
                                             const struct snug_device *device, const char *rungs)
{
    struct snug_ladder_options o = {.session = snug_session_options_default(),
                                    .tokens = w->count + NEW_TOKENS,
                                    .tiles = w->tiles,
                                    .watermark_bytes = SIZE_MAX,
                                    .forced = true};
    o.session.image_token_id = w->image_id;
    o.session.prefill_chunk = 64;
    assert_true(snug_rungs_parse(rungs, &o.rungs));
    if (device) {
        o.devices[1] = device;
        o.device_count = 1;
    }
    return o;
}

/* One document from start to end. */
static enum snug_status read_one(struct snug_ladder *ladder, const struct world *w,
                                 struct text *out, struct snug_error *error)
{
    struct snug_answering answer = {0};
    struct snug_generation generation = {.ids = out->ids,
                                         .log_probabilities = out->log_probabilities};
    const struct snug_request request = request_of(w, &generation);
    enum snug_status status = snug_ladder_start(ladder, &answer, &request, error);
    while (!status && !answer.over)
        status = snug_ladder_advance(ladder, error);
    if (!status && answer.status) {
        *error = answer.error;
        status = answer.status;
    }
    out->count = generation.count;
    out->rung = answer.rung;
    out->moves = answer.move_count;
    snug_ladder_end(ladder, &answer);
    return status;
}

static void expect_text(const struct world *w, struct text *out)
{
    struct snug_ladder ladder;
    struct snug_error error;
    struct snug_ladder_options o = options_of(w, NULL, "cpu");
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    assert_ok(read_one(&ladder, w, out, &error));
    snug_ladder_close(&ladder);
}

static void assert_same_text(const struct text *have, const struct text *want, const char *what,
                             int64_t number)
{
    if (have->count != want->count)
        fail_msg("%s %lld: %lld tokens instead of %lld", what, (long long)number,
                 (long long)have->count, (long long)want->count);
    for (int64_t i = 0; i < want->count; i++)
        if (have->ids[i] != want->ids[i] ||
            memcmp(&have->log_probabilities[i], &want->log_probabilities[i], sizeof(double)))
            fail_msg("%s %lld: token %lld is %d instead of %d", what, (long long)number,
                     (long long)i, (int)have->ids[i], (int)want->ids[i]);
}

static const char *const first_rungs[] = {"resident",          "kv-offload", "reload",
                                          "reload-kv-offload", "stream",     "hybrid"};

/* From each rung to each other one, failing before each token, for each reason. */
static void test_cut_overs(void **state)
{
    (void)state;
    struct world w = open_world("tests/golden/internvl/hf-a", 2);
    struct text want, have;
    expect_text(&w, &want);
    for (size_t from = 0; from < 6; from++)
        for (int to = 0; to < SNUG_RUNG_COUNT; to++)
            for (int token = -1; token < NEW_TOKENS; token += 3) {
                const struct snug_sim_event event = {.kind = token % 2 ? SNUG_SIM_EVENT_FAIL
                                                                       : SNUG_SIM_EVENT_LOSE,
                                                     .document = 1,
                                                     .token = token,
                                                     .call = SNUG_SIM_CALL_LAUNCH,
                                                     .count = token % 2 != 0};
                const struct snug_sim_options sim = {.name = "sim:test",
                                                     .capacity_bytes = (uint64_t)1 << 28,
                                                     .granularity_bytes = 4096,
                                                     .events = &event,
                                                     .event_count = 1};
                const struct snug_device *device;
                struct snug_ladder ladder;
                struct snug_error error;
                struct history history = {.count = 0};
                char rungs[64];
                if (!strcmp(first_rungs[from], snug_rung_name((enum snug_rung)to)) ||
                    to == SNUG_RUNG_NARROW)
                    continue;
                snprintf(rungs, sizeof rungs, "%s,%s", first_rungs[from],
                         snug_rung_name((enum snug_rung)to));
                assert_ok(snug_sim_open(&sim, snug_allocator_heap(), &device, &error));
                struct snug_ladder_options o = options_of(&w, device, rungs);
                o.event = on_event;
                o.event_context = &history;
                assert_ok(snug_ladder_open(&ladder, w.model, &o, snug_allocator_heap(), &error));
                enum snug_status status = read_one(&ladder, &w, &have, &error);
                if (status)
                    fail_msg("%s, token %d: %s", rungs, token, error.message);
                assert_same_text(&have, &want, rungs, token);
                assert_int_equal(have.moves, 1);
                assert_int_equal(have.rung, to);
                assert_int_equal(history.count, 2);
                assert_int_equal(history.events[1].token, token < 0 ? 0 : token);
                snug_ladder_close(&ladder);
                assert_int_equal(snug_sim_figures(device).ours, 0);
                snug_sim_close(device);
            }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_overs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
