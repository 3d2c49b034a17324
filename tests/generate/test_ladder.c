/* Stepping down: the same tokens and probabilities as undisturbed on the host, whichever rung
 * fails, at whichever token, for whatever reason, however many documents are under way. Copyright
 * snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ladder_world.h"

static const struct {
    const char *folder;
    int64_t tiles;
} goldens[] = {{"tests/golden/internvl/hf-a", 2},
               {"tests/golden/internvl/hf-b", 1},
               {"tests/golden/internvl/orig", 1},
               {"tests/golden/mllama/tiny-a", 2},
               {"tests/golden/mllama/tiny-b", 1}};
#define GOLDEN_COUNT (sizeof goldens / sizeof *goldens)

/* n-th of `count`, in steps that reach everywhere; all of them if that was asked for. */
static int64_t stride_of(int64_t count, int64_t sample)
{
    if (getenv("SNUG_SLOW"))
        sample /= 8;
    return exhaustive() || sample >= count ? 1 : count / sample | 1;
}

/* ---- one document ---- */

struct cut_over {
    enum snug_rung from, to;
    int token; /* before which it happens; -1: at the start */
    bool lose, sampled;
};

static struct asked asked_for(const struct cut_over *c)
{
    struct asked asked = asked_usually(0, NEW_TOKENS);
    if (c->sampled)
        asked.sampling = (struct snug_sampling){.temperature = 0.8f, .top_p = 0.9f, .seed = 4711};
    return asked;
}

static const char *cut_over_text(const struct world *w, const struct cut_over *c)
{
    static char text[200];
    snprintf(text, sizeof text, "%s, %s to %s before token %d, %s, %s", w->model->name,
             snug_rung_name(c->from), snug_rung_name(c->to), c->token, c->lose ? "lost" : "failed",
             c->sampled ? "sampled" : "greedy");
    return text;
}

/* What the row and the event say about the move. */
static void check_move(const struct world *w, const struct cut_over *c, const struct text *have,
                       const struct history *history)
{
    const struct snug_move *m = &have->moves[0];
    const struct snug_event *e = find_event(history, SNUG_EVENT_KIND_DOWN);
    int64_t token = c->token < 0 ? 0 : c->token;
    enum snug_status cause = c->lose ? SNUG_STATUS_DEVICE_LOST : SNUG_STATUS_DEVICE;
    bool at_start = c->token < 0 && c->lose; /* the document is not under way yet */
    if (have->rung != c->to || have->move_count != !at_start)
        fail_msg("%s: on %s after %lld moves", cut_over_text(w, c), snug_rung_name(have->rung),
                 (long long)have->move_count);
    if (!at_start &&
        (m->token != token || m->from != c->from || m->to != c->to || m->cause != cause))
        fail_msg("%s: the move says token %lld, %s to %s, %s", cut_over_text(w, c),
                 (long long)m->token, snug_rung_name(m->from), snug_rung_name(m->to),
                 snug_status_text(m->cause));
    if (history->count != 2 || e->token != token || e->number != 1 || e->from != c->from ||
        e->to != c->to || e->cause != cause || !e->bytes || !(e->ms > 0) || history->without_why)
        fail_msg("%s: %d events; token %lld of %lld, %s to %s, %s, %zu bytes, %g ms",
                 cut_over_text(w, c), history->count, (long long)e->token, (long long)e->number,
                 snug_rung_name(e->from), snug_rung_name(e->to), snug_status_text(e->cause),
                 e->bytes, e->ms);
    if (!at_start)
        assert_string_equal(e->document, "made up");
}

static void run_cut_over(const struct world *w, const struct cut_over *c, const struct text *want)
{
    static struct text have;
    const struct asked asked = asked_for(c);
    const struct snug_sim_event event = {.kind =
                                             c->lose ? SNUG_SIM_EVENT_LOSE : SNUG_SIM_EVENT_FAIL,
                                         .document = 1,
                                         .token = c->token,
                                         .call = SNUG_SIM_CALL_LAUNCH,
                                         .count = !c->lose};
    const struct snug_device *device = open_scripted(&event, 1);
    struct snug_ladder ladder;
    struct snug_error error;
    struct history history;
    char rungs[64];
    snprintf(rungs, sizeof rungs, "%s,%s", snug_rung_name(c->from), snug_rung_name(c->to));
    struct snug_ladder_options o = ladder_options(w, NEW_TOKENS, device, rungs);
    tell_to(&o, &history);
    o.unchecked = c->token % 4;
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    read_one(&ladder, w, &asked, &have);
    assert_same_text(&have, want, cut_over_text(w, c));
    check_move(w, c, &have, &history);
    snug_ladder_close(&ladder);
    close_sim(device);
}

/* From each rung to each other one, failing before each token, for each reason. */
static void test_cut_overs(void **state)
{
    (void)state;
    static struct text want[2];
    int64_t number = 0, runs = 0, all = 6 * 6 * NEW_TOKENS * 4;
    for (size_t g = 0; g < GOLDEN_COUNT; g++) {
        struct world w = open_world(goldens[g].folder, goldens[g].tiles);
        for (int sampled = 0; sampled < 2; sampled++) {
            const struct asked asked = asked_for(&(struct cut_over){.sampled = sampled});
            expect_text(&w, &asked, &want[sampled]);
        }
        for (int from = 0; from < SNUG_RUNG_CPU; from++)
            for (int to = 0; to < SNUG_RUNG_COUNT; to++)
                for (int token = -1; token < NEW_TOKENS; token++)
                    for (int how = 0; how < 4; how++) {
                        const struct cut_over c = {(enum snug_rung)from, (enum snug_rung)to, token,
                                                   how & 1, how & 2};
                        /* the first token comes with the prompt: nothing is before it */
                        if (from == to || token == 0 || from == SNUG_RUNG_NARROW ||
                            to == SNUG_RUNG_NARROW || number++ % stride_of(all, 150))
                            continue;
                        run_cut_over(&w, &c, &want[c.sampled]);
                        runs++;
                    }
        close_world(&w);
    }
    print_message("%lld of %lld cut-overs\n", (long long)runs, (long long)number);
}

/* ---- long answers and long prompts ---- */

/* One document, with a loss before a token. */
static void run_loss(const struct world *w, const struct asked *asked, const char *rungs, int token,
                     const struct text *want)
{
    static struct text have;
    char what[160];
    const struct snug_sim_event event = {
        .kind = SNUG_SIM_EVENT_LOSE, .document = 1, .token = token};
    const struct snug_device *device = open_scripted(&event, 1);
    struct snug_ladder ladder;
    struct snug_error error;
    struct snug_ladder_options o = ladder_options(w, asked->new_tokens, device, rungs);
    snprintf(what, sizeof what, "%s, %s, %lld words, lost before token %d", w->model->name, rungs,
             (long long)w->words, token);
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    read_one(&ladder, w, asked, &have);
    assert_same_text(&have, want, what);
    assert_int_equal(have.move_count, 1);
    snug_ladder_close(&ladder);
    close_sim(device);
}

/* A repeating answer is found to be one at the same token. */
static void test_loops(void **state)
{
    (void)state;
    static struct text want;
    static const int tokens[] = {1, 60, 255, 256, 257};
    static const struct {
        int golden;
        int64_t words;
    } cases[] = {{1, 47}, {4, 23}, {4, 35}, {4, 41}}; /* that were found to repeat themselves */
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct world w = open_world_of(goldens[cases[c].golden].folder, 1, cases[c].words);
        struct asked asked = asked_usually(0, MAX_NEW_TOKENS);
        asked.detect_loops = true;
        expect_text(&w, &asked, &want);
        assert_int_equal(want.finish, SNUG_FINISH_LOOP);
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
            run_loss(&w, &asked, i % 2 ? "resident,cpu" : "stream,hybrid", tokens[i], &want);
        run_loss(&w, &asked, "resident,cpu", (int)want.count - 1, &want);
        close_world(&w);
    }
}

/* Dynamic RoPE: prompts and answers on both sides of the longest position that is not scaled, read
 * again after a loss. */
static void test_dynamic_rope(void **state)
{
    (void)state;
    static struct text want;
    static const int64_t words[] = {20, 40, 52, 59, 60, 61, 90, 150};
    int beyond = 0;
    for (size_t g = 1; g < 3; g++)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            const struct asked asked = asked_usually(0, NEW_TOKENS);
            struct world w = open_world_of(goldens[g].folder, 1, words[i]);
            const struct snug_rope_config *rope = &w.model->config.text.rope;
            assert_true(rope->dynamic && rope->max_position == 64);
            beyond += w.count < 64 && w.count + NEW_TOKENS > 64;
            expect_text(&w, &asked, &want);
            for (int token = 0; token < NEW_TOKENS; token += (int)stride_of(NEW_TOKENS, 8))
                run_loss(&w, &asked, token % 2 ? "resident,cpu" : "kv-offload,reload,stream", token,
                         &want);
            close_world(&w);
        }
    assert_true(beyond > 2);
}

/* ---- several documents ---- */

#define TOGETHER 7

/* Documents of different lengths, three at once; something happens at a token of one of them. */
static void run_together(const struct world *w, const char *rungs, uint64_t capacity,
                         const struct snug_sim_event *event, const struct text *want,
                         bool may_read_again, enum snug_rung to, size_t watermark)
{
    static struct text have[TOGETHER];
    struct asked asked[TOGETHER];
    struct snug_sim_options sim = sim_options(capacity);
    const struct snug_device *device;
    struct snug_ladder ladder;
    struct snug_error error;
    struct history history;
    sim.events = event;
    sim.event_count = 1;
    for (int i = 0; i < TOGETHER; i++)
        asked[i] = asked_usually(i % 5, 4 + 3 * (i % 4));
    assert_ok(snug_sim_open(&sim, snug_allocator_heap(), &device, &error));
    struct snug_ladder_options o = ladder_options(w, NEW_TOKENS, device, rungs);
    o.session.slots = 3;
    o.watermark_bytes = watermark;
    tell_to(&o, &history);
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    read_together(&ladder, w, asked, TOGETHER, have);
    for (int i = 0; i < TOGETHER; i++) {
        char what[160];
        snprintf(what, sizeof what, "%s, %s, event %d at %lld/%lld, document %d", w->model->name,
                 rungs, (int)event->kind, (long long)event->document, (long long)event->token,
                 i + 1);
        assert_same_text(&have[i], &want[i], what);
        if (!may_read_again && have[i].stages != 2)
            fail_msg("%s: its prompt was read %d times", what, have[i].stages / 2);
    }
    const struct snug_event *down = find_event(&history, SNUG_EVENT_KIND_DOWN);
    if (to != SNUG_RUNG_COUNT)
        assert_int_equal(down->to, to);
    snug_ladder_close(&ladder);
    close_sim(device);
}

static void test_together(void **state)
{
    (void)state;
    static struct text want[TOGETHER];
    int64_t number = 0, runs = 0;
    for (size_t g = 0; g < GOLDEN_COUNT; g++) {
        struct world w = open_world(goldens[g].folder, 1);
        for (int i = 0; i < TOGETHER; i++) {
            const struct asked asked = asked_usually(i % 5, 4 + 3 * (i % 4));
            expect_text(&w, &asked, &want[i]);
        }
        for (int first = 0; first < SNUG_RUNG_CPU; first++)
            for (int document = 1; document <= TOGETHER; document++)
                for (int token = -1; token < 4; token++)
                    for (int lose = 0; lose < 2; lose++) {
                        const struct snug_sim_event event = {.kind = lose ? SNUG_SIM_EVENT_LOSE
                                                                          : SNUG_SIM_EVENT_FAIL,
                                                             .document = document,
                                                             .token = token,
                                                             .call = SNUG_SIM_CALL_LAUNCH,
                                                             .count = !lose};
                        if (number++ % stride_of(6 * TOGETHER * 5 * 2, 12))
                            continue;
                        run_together(
                            &w, rungs_from(first, document % 2 || first == SNUG_RUNG_HYBRID),
                            SIM_BYTES, &event, want, lose || token < 0, SNUG_RUNG_COUNT, SIZE_MAX);
                        runs++;
                    }
        close_world(&w);
    }
    print_message("%lld of %lld runs of %d documents, three at once\n", (long long)runs,
                  (long long)number, TOGETHER);
}

/* Others take so much that fewer documents fit at once: who is displaced waits, and goes on without
 * being read again. */
static void test_narrow(void **state)
{
    (void)state;
    static struct text want[TOGETHER];
    for (size_t g = 0; g < GOLDEN_COUNT; g++) {
        struct world w = open_world(goldens[g].folder, 1);
        struct snug_ladder_options o = ladder_options(&w, NEW_TOKENS, NULL, "cpu");
        size_t need[4] = {0};
        for (int i = 0; i < TOGETHER; i++) {
            const struct asked asked = asked_usually(i % 5, 4 + 3 * (i % 4));
            expect_text(&w, &asked, &want[i]);
        }
        const struct snug_device *device = open_sim(SIM_BYTES, false);
        for (int slots = 1; slots <= 3; slots++) {
            struct snug_rung_request r = {.model = w.model,
                                          .session = o.session,
                                          .tokens = o.tokens,
                                          .tiles = o.tiles,
                                          .devices = {NULL, device},
                                          .device_count = 1,
                                          .granularity = {4096, SIM_GRAIN}};
            struct snug_rung_plan plan;
            struct snug_error error;
            r.session.slots = slots;
            assert_ok(snug_rung_plan(&r, SNUG_RUNG_RESIDENT, &plan, &error));
            need[slots] = plan.need_bytes[1];
        }
        snug_sim_close(device);
        for (int slots = 1; slots <= 3; slots++) {
            const struct snug_sim_event event = {
                .kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 4, .token = -1, .bytes = UINT64_MAX};
            run_together(&w, slots < 3 ? "resident,narrow,cpu" : "resident,kv-offload,stream",
                         SIM_BYTES, &event, want, false,
                         slots < 3 ? SNUG_RUNG_NARROW : SNUG_RUNG_KV_OFFLOAD,
                         need[3] - need[slots < 3 ? slots : 1]);
        }
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_overs),    cmocka_unit_test(test_loops),
        cmocka_unit_test(test_dynamic_rope), cmocka_unit_test(test_together),
        cmocka_unit_test(test_narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
