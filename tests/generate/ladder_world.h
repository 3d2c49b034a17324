/* Documents on a ladder, for tests: what is asked, what was answered, how the ladder moved.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_GENERATE_LADDER_WORLD_H
#define SNUG_TESTS_GENERATE_LADDER_WORLD_H

#include "world.h"

#define MAX_NEW_TOKENS 400
#define MAX_EVENTS 256
#define SIM_BYTES ((uint64_t)1 << 28)
#define SIM_GRAIN 4096

struct history {
    struct snug_event events[MAX_EVENTS]; /* `why` is not kept, */
    int without_why;                      /* but must have been there */
    int count;
    int by_kind[SNUG_EVENT_KIND_COUNT];
};

static inline void on_event(void *context, const struct snug_event *event)
{
    struct history *history = context;
    history->without_why += !event->why || !event->why[0];
    if (history->count < MAX_EVENTS)
        history->events[history->count] = *event;
    if (history->count < MAX_EVENTS)
        history->events[history->count].why = NULL;
    history->count++;
    history->by_kind[event->kind]++;
}

/* The first event of a kind; fails if there is none. */
static inline const struct snug_event *find_event(const struct history *history,
                                                  enum snug_event_kind kind)
{
    for (int i = 0; i < history->count && i < MAX_EVENTS; i++)
        if (history->events[i].kind == kind)
            return &history->events[i];
    fail_msg("no event %s", snug_event_kind_name(kind));
    return NULL;
}

/* One document of a world: the prompt without its last `cut` tokens. */
struct asked {
    int64_t cut, new_tokens;
    struct snug_sampling sampling;
    bool detect_loops;
};

static inline struct asked asked_usually(int64_t cut, int64_t new_tokens)
{
    return (struct asked){.cut = cut, .new_tokens = new_tokens, .sampling = {.top_p = 1}};
}

struct text {
    enum snug_status status;
    struct snug_error error;
    int32_t ids[MAX_NEW_TOKENS];
    double log_probabilities[MAX_NEW_TOKENS];
    int64_t count;
    enum snug_finish finish;
    enum snug_rung rung;
    struct snug_move moves[SNUG_MAX_MOVES];
    int64_t move_count;
    int stages; /* pictures and prompts read */
};

static inline struct snug_request request_of(const struct world *w, const struct asked *asked,
                                             struct snug_generation *out)
{
    assert_true(asked->new_tokens <= MAX_NEW_TOKENS);
    return (struct snug_request){
        .name = "made up",
        .prompt = w->ids,
        .prompt_count = w->count - asked->cut,
        .picture = {.tiles = w->tiles, .rows = w->rows, .columns = w->columns, .pixels = w->pixels},
        .tokens = w->count - asked->cut + asked->new_tokens,
        .options = {.max_new_tokens = asked->new_tokens,
                    .sampling = asked->sampling,
                    .document = 77,
                    .detect_loops = asked->detect_loops},
        .out = out};
}

/* For documents of up to new_tokens; without a device the rungs should be "cpu". */
static inline struct snug_ladder_options ladder_options(const struct world *w, int64_t new_tokens,
                                                        const struct snug_device *device,
                                                        const char *rungs)
{
    struct snug_ladder_options o = {.session = snug_session_options_default(),
                                    .tokens = w->count + new_tokens,
                                    .tiles = w->tiles,
                                    .watermark_bytes = SIZE_MAX,
                                    .forced = true,
                                    .unchecked = true}; /* test_validate.c does that */
    o.session.image_token_id = w->image_id;
    o.session.prefill_chunk = 64;
    assert_true(snug_rungs_parse(rungs, &o.rungs));
    if (device) {
        o.devices[1] = device;
        o.device_count = 1;
    }
    return o;
}

static inline void tell_to(struct snug_ladder_options *options, struct history *history)
{
    *history = (struct history){.count = 0};
    options->event = on_event;
    options->event_context = history;
}

/* ---- reading ---- */

static inline bool count_stage(void *context, bool prompt)
{
    (void)prompt;
    ++*(int *)context;
    return true;
}

struct under_way {
    struct snug_answering answer;
    struct snug_generation generation;
    bool started, ended;
};

static inline void end_one(struct snug_ladder *ladder, struct under_way *u, struct text *out,
                           enum snug_status status, const struct snug_error *error)
{
    out->status = status ? status : u->answer.status;
    if (out->status)
        out->error = status ? *error : u->answer.error;
    out->count = u->generation.count;
    out->finish = u->generation.finish;
    out->rung = u->answer.rung;
    out->move_count = u->answer.move_count;
    memcpy(out->moves, u->answer.moves, sizeof out->moves);
    snug_ladder_end(ladder, &u->answer);
    u->ended = true;
}

/* `count` documents, as many at once as there is room for. What concerned all is every text's
 * status. Never hangs. */
static inline void read_together(struct snug_ladder *ladder, const struct world *w,
                                 const struct asked *asked, int count, struct text *texts)
{
    struct under_way *all = calloc((size_t)count, sizeof *all);
    int64_t turns = 0, most = 100;
    int next = 0, ended = 0;
    for (int i = 0; i < count; i++)
        most += 20 * (asked[i].new_tokens + 4);
    while (ended < count) {
        struct snug_error error = {0};
        if (turns++ > most)
            fail_msg("%d of %d documents never end", count - ended, count);
        while (next < count && snug_ladder_has_room(ladder)) {
            struct under_way *u = &all[next];
            u->generation = (struct snug_generation){
                .ids = texts[next].ids, .log_probabilities = texts[next].log_probabilities};
            struct snug_request request = request_of(w, &asked[next], &u->generation);
            texts[next].stages = 0;
            request.stage = count_stage;
            request.stage_context = &texts[next].stages;
            u->started = true;
            enum snug_status status = snug_ladder_start(ladder, &u->answer, &request, &error);
            if (status) {
                assert_true(u->answer.over);
                end_one(ladder, u, &texts[next], status, &error);
                ended++;
            }
            next++;
        }
        enum snug_status status = snug_ladder_advance(ladder, &error);
        for (int i = 0; i < next; i++)
            if (!all[i].ended && (status || all[i].answer.over)) {
                end_one(ladder, &all[i], &texts[i], all[i].answer.over ? SNUG_STATUS_OK : status,
                        &error);
                ended++;
            }
    }
    free(all);
}

static inline void read_one(struct snug_ladder *ladder, const struct world *w,
                            const struct asked *asked, struct text *out)
{
    read_together(ladder, w, asked, 1, out);
}

/* What the host alone answers. */
static inline void expect_text(const struct world *w, const struct asked *asked, struct text *out)
{
    struct snug_ladder ladder;
    struct snug_error error;
    struct snug_ladder_options o = ladder_options(w, asked->new_tokens, NULL, "cpu");
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    read_one(&ladder, w, asked, out);
    assert_int_equal(out->status, SNUG_STATUS_OK);
    snug_ladder_close(&ladder);
}

static inline void assert_same_text(const struct text *have, const struct text *want,
                                    const char *what)
{
    if (have->status)
        fail_msg("%s: %s: %s", what, snug_status_text(have->status), have->error.message);
    if (have->count != want->count || have->finish != want->finish)
        fail_msg("%s: %lld tokens, %s, instead of %lld, %s", what, (long long)have->count,
                 snug_finish_text(have->finish), (long long)want->count,
                 snug_finish_text(want->finish));
    for (int64_t i = 0; i < want->count; i++)
        if (have->ids[i] != want->ids[i] ||
            memcmp(&have->log_probabilities[i], &want->log_probabilities[i], sizeof(double)))
            fail_msg("%s: token %lld is %d instead of %d", what, (long long)i, (int)have->ids[i],
                     (int)want->ids[i]);
}

/* ---- devices ---- */

static inline struct snug_sim_options sim_options(uint64_t capacity)
{
    return (struct snug_sim_options){
        .name = "sim:test", .capacity_bytes = capacity, .granularity_bytes = SIM_GRAIN};
}

static inline const struct snug_device *open_scripted(const struct snug_sim_event *events,
                                                      size_t count)
{
    struct snug_sim_options options = sim_options(SIM_BYTES);
    const struct snug_device *device;
    struct snug_error error;
    options.events = events;
    options.event_count = count;
    assert_ok(snug_sim_open(&options, snug_allocator_heap(), &device, &error));
    return device;
}

static inline void close_sim(const struct snug_device *device)
{
    assert_int_equal(snug_sim_figures(device).ours, 0);
    snug_sim_close(device);
}

/* Every rung after `first`, itself included; with `cpu` false without the last. */
static inline const char *rungs_from(int first, bool cpu)
{
    static char text[160];
    text[0] = 0;
    for (int i = first; i < SNUG_RUNG_COUNT - !cpu; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "",
                 snug_rung_name((enum snug_rung)i));
    return text;
}

static inline bool exhaustive(void)
{
    return getenv("SNUG_EXHAUSTIVE") != NULL;
}

#endif
