/* Every device call of a document fails in turn, once, three times or for good, alone and in pairs:
 * the answer is the same, or a clear status where no fallback is allowed; nothing leaks, nothing
 * crashes, and the next document is read. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ladder_world.h"

#define FEW_TOKENS 3
#define MOST_SLOTS 3

static struct snug_counting_allocator counting;

struct trial {
    const char *rungs;
    bool no_fallback, elastic;
    bool checked; /* the warm-up is run, too, which takes most of the time */
    int slots;    /* and documents; 0: one */
    struct snug_sim_fault faults[2];
    int fault_count;
    uint64_t heap_at; /* the request of the heap to refuse, of those since the ladder opened; 0 */
};

static const char *trial_text(const struct trial *t)
{
    static char text[400];
    snprintf(text, sizeof text, "%s%s%s%s, %d slots", t->rungs, t->checked ? ", checked" : "",
             t->no_fallback ? ", no fallback" : "", t->elastic ? ", elastic" : "", t->slots);
    for (int i = 0; i < t->fault_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", call %llu x %llu%s",
                 (unsigned long long)t->faults[i].at, (unsigned long long)t->faults[i].count,
                 t->faults[i].lose ? " loses" : "");
    if (t->heap_at)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", heap %llu",
                 (unsigned long long)t->heap_at);
    return text;
}

static bool is_clear(enum snug_status status)
{
    return status == SNUG_STATUS_DEVICE || status == SNUG_STATUS_DEVICE_LOST ||
           status == SNUG_STATUS_MEMORY || status == SNUG_STATUS_DOES_NOT_FIT;
}

/* Whether the document may be refused: there is nowhere to go, or more bad luck than rungs. */
static bool may_fail(const struct trial *t)
{
    bool once = t->fault_count == 1 && t->faults[0].count == 1 && strchr(t->rungs, ',');
    return t->no_fallback || t->heap_at || !(strstr(t->rungs, "cpu") || once);
}

static void judge(const struct trial *t, const struct text *have, const struct text *want)
{
    if (!have->status || !may_fail(t))
        assert_same_text(have, want, trial_text(t));
    else if (!is_clear(have->status) || !have->error.message[0])
        fail_msg("%s: %s: %s", trial_text(t), snug_status_text(have->status), have->error.message);
}

static void read_all(const struct trial *t, struct snug_ladder *ladder, const struct world *w,
                     struct text *have)
{
    struct asked asked[MOST_SLOTS];
    int count = t->slots ? t->slots : 1;
    for (int i = 0; i < count; i++)
        asked[i] = asked_usually(i, FEW_TOKENS);
    read_together(ladder, w, asked, count, have);
}

/* Opens, reads documents with faults, then without. want: by slots; calls: of the first reading
 * and all before it, if not NULL. */
static void run_trial(const struct world *w, const struct trial *t, const struct text *want,
                      uint64_t *calls)
{
    static struct text have[MOST_SLOTS];
    const struct snug_sim_options sim = sim_options(SIM_BYTES);
    const struct snug_device *device;
    struct snug_ladder ladder;
    uint64_t live = counting.live;
    int count = t->slots ? t->slots : 1;
    assert_int_equal(snug_sim_open(&sim, snug_allocator_heap(), &device, NULL), SNUG_STATUS_OK);
    snug_sim_set_faults(device, t->faults, t->fault_count);
    struct snug_ladder_options o = ladder_options(w, FEW_TOKENS, device, t->rungs);
    o.no_fallback = t->no_fallback;
    o.elastic = t->elastic;
    o.unchecked = !t->checked;
    o.session.slots = count;
    counting.fail_at = t->heap_at ? counting.requests + t->heap_at : 0;
    have[0].error = (struct snug_error){0};
    have[0].status = snug_ladder_open(&ladder, w->model, &o, &counting.allocator, &have[0].error);
    if (have[0].status) {
        judge(t, &have[0], want);
    } else {
        read_all(t, &ladder, w, have);
        for (int i = 0; i < count; i++)
            judge(t, &have[i], &want[i]);
        if (calls)
            *calls = snug_sim_figures(device).calls[SNUG_SIM_CALL_ANY];
        snug_sim_set_faults(device, NULL, 0);
        counting.fail_at = 0;
        read_all(t, &ladder, w, have);
        for (int i = 0; i < count; i++)
            assert_same_text(&have[i], &want[i], trial_text(t));
    }
    counting.fail_at = 0;
    snug_ladder_close(&ladder);
    if (snug_sim_figures(device).ours)
        fail_msg("%s: %llu bytes of the device are kept", trial_text(t),
                 (unsigned long long)snug_sim_figures(device).ours);
    if (counting.live != live)
        fail_msg("%s: %llu blocks are kept", trial_text(t),
                 (unsigned long long)(counting.live - live));
    snug_sim_close(device);
}

static struct world open_counted(const char *folder, int64_t tiles, struct text *want)
{
    struct world w = {.tiles = tiles, .rows = 1, .columns = tiles};
    struct snug_error error;
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    struct snug_folder f = {.path = test_path(folder), .allocator = &counting.allocator};
    assert_ok(snug_model_open(&f, snug_device_cpu(), NULL, &counting.allocator, &w.model, &error));
    make_document(&w);
    for (int i = 0; i < MOST_SLOTS; i++) {
        const struct asked asked = asked_usually(i, FEW_TOKENS);
        expect_text(&w, &asked, &want[i]);
    }
    return w;
}

static const char *const folders[] = {"tests/golden/internvl/hf-a", "tests/golden/internvl/hf-b"};
#define FOLDER_COUNT (sizeof folders / sizeof *folders)

/* The kinds of failure, by the way they end. */
static const struct snug_sim_fault kinds[] = {
    {.count = 1}, {.count = 3}, {.count = 1, .lose = true}};
#define KIND_COUNT 3

/* How many of `all` runs are made: all, or a sample, of which sanitizers get a tenth. */
static int64_t runs_of(int64_t all, int64_t sample)
{
    if (getenv("SNUG_SLOW"))
        sample = sample / 10 + 1;
    return exhaustive() || all < sample ? all : sample;
}

static int64_t common_part(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The n-th of 0 .. count - 1 in an order that is spread over all of them. */
static int64_t spread(int64_t n, int64_t count)
{
    int64_t step = count * 382 / 1000 + 1;
    while (common_part(step, count) != 1)
        step++;
    return n * step % count; /* counts are far below 2^31 */
}

#define MAX_CASES 32
struct sweep {
    struct trial trials[MAX_CASES];
    char rungs[MAX_CASES][160];
    int64_t calls[MAX_CASES]; /* of an undisturbed run, opening included */
    int64_t all_calls;
    int count;
};

static void add_case(struct sweep *s, const struct world *w, const struct text *want, int first,
                     struct trial trial, bool cpu)
{
    uint64_t calls = 0;
    assert_true(s->count < MAX_CASES);
    snprintf(s->rungs[s->count], sizeof s->rungs[0], "%s", rungs_from(first, cpu));
    trial.rungs = s->rungs[s->count];
    run_trial(w, &trial, want, &calls);
    s->trials[s->count] = trial;
    s->calls[s->count++] = (int64_t)calls;
    s->all_calls += (int64_t)calls;
}

/* From every rung: with all below it, with all but the host, elastic, several documents at once,
 * and without fallback. */
static void add_cases(struct sweep *s, const struct world *w, const struct text *want,
                      bool no_fallback)
{
    for (int first = 0; first < SNUG_RUNG_CPU; first++) {
        if (first == SNUG_RUNG_NARROW) /* a single document has no such rung */
            continue;
        add_case(s, w, want, first, (struct trial){.slots = 1, .checked = true}, true);
        add_case(s, w, want, first, (struct trial){.slots = 1}, false);
        add_case(s, w, want, first, (struct trial){.slots = 1, .elastic = true}, true);
        add_case(s, w, want, first, (struct trial){.slots = 3, .elastic = first % 2}, true);
        if (no_fallback)
            add_case(s, w, want, first, (struct trial){.slots = 1, .no_fallback = true}, true);
    }
}

/* The trial of call number `n` of all cases' calls, and that call's number in it from 1. */
static struct trial trial_of(const struct sweep *s, int64_t n, int64_t *call, int64_t *calls)
{
    int i = 0;
    while (n >= s->calls[i])
        n -= s->calls[i++];
    *call = n + 1;
    *calls = s->calls[i];
    return s->trials[i];
}

/* Each call fails, in each way. */
static void test_each_call(void **state)
{
    (void)state;
    for (size_t f = 0; f < FOLDER_COUNT; f++) {
        static struct text want[MOST_SLOTS];
        struct world w = open_counted(folders[f], 1, want);
        struct sweep s = {.count = 0};
        add_cases(&s, &w, want, true);
        int64_t all = s.all_calls * KIND_COUNT, runs = runs_of(all, 200);
        for (int64_t n = 0; n < runs; n++) {
            int64_t index = spread(n, all), call, calls;
            struct trial t = trial_of(&s, index / KIND_COUNT, &call, &calls);
            t.faults[0] = kinds[index % KIND_COUNT];
            t.faults[0].at = (uint64_t)call;
            t.fault_count = 1;
            run_trial(&w, &t, want, NULL);
        }
        print_message("%s: %lld of %lld runs with a failing call\n", folders[f], (long long)runs,
                      (long long)all);
        close_world(&w);
    }
}

/* Each call fails in each way, and another one, seldom far from it, in any way: most of these meet
 * the recovery from the first. */
static void test_pairs(void **state)
{
    (void)state;
    uint32_t seed = 11;
    for (size_t f = 0; f < FOLDER_COUNT; f++) {
        static struct text want[MOST_SLOTS];
        struct world w = open_counted(folders[f], 1, want);
        struct sweep s = {.count = 0};
        add_cases(&s, &w, want, false);
        int64_t all = s.all_calls * KIND_COUNT, runs = runs_of(all, 200);
        for (int64_t n = 0; n < runs; n++) {
            int64_t index = spread(n, all), call, calls;
            struct trial t = trial_of(&s, index / KIND_COUNT, &call, &calls);
            int64_t range = next_random(&seed) % 4 ? 40 : calls;
            t.faults[0] = kinds[index % KIND_COUNT];
            t.faults[0].at = (uint64_t)call;
            t.faults[1] = kinds[next_random(&seed) % KIND_COUNT];
            t.faults[1].at =
                t.faults[0].at + t.faults[0].count + next_random(&seed) % (uint32_t)range;
            t.fault_count = 2;
            run_trial(&w, &t, want, NULL);
        }
        print_message("%s: %lld of %lld runs with two failing calls\n", folders[f], (long long)runs,
                      (long long)all);
        close_world(&w);
    }
}

/* Each request of the heap is refused in a run in which a device's call fails, too. */
static void test_heap(void **state)
{
    (void)state;
    uint32_t seed = 12;
    for (size_t f = 0; f < FOLDER_COUNT; f++) {
        static struct text want[MOST_SLOTS];
        struct world w = open_counted(folders[f], 1, want);
        struct sweep s = {.count = 0};
        int64_t runs = 0, all = 0;
        add_cases(&s, &w, want, false);
        for (int i = 0; i < s.count; i++)
            for (int kind = 0; kind < KIND_COUNT; kind++) {
                struct trial t = s.trials[i];
                t.faults[0] = kinds[kind];
                t.faults[0].at = (uint64_t)(s.calls[i] * 2 / 3) + next_random(&seed) % 5;
                t.fault_count = 1;
                uint64_t before = counting.requests;
                run_trial(&w, &t, want, NULL);
                int64_t requests = (int64_t)(counting.requests - before);
                int64_t some = runs_of(requests, 8);
                all += requests;
                for (int64_t n = 0; n < some; n++, runs++) {
                    t.heap_at = 1 + (uint64_t)spread(n, requests);
                    run_trial(&w, &t, want, NULL);
                }
            }
        print_message("%s: %lld of %lld runs with a move and a refused request\n", folders[f],
                      (long long)runs, (long long)all);
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
