/* Others take and return a device's memory at random: every document is read, with the same text,
 * and none for long on a lower rung than the memory asks for. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ladder_world.h"

#include "base/clock.h"
#include "models/builtin.h"

#define MOST_DOCUMENTS 6
#define MOST_CUT 3
#define MOST_NEW 4

static int64_t how_many(int64_t sample, int64_t slow, int64_t all)
{
    return exhaustive() ? all : getenv("SNUG_SLOW") ? slow : sample;
}

/* Moves made up as a document goes on. */
struct neighbour {
    uint32_t seed;
    uint64_t capacity; /* for us and the others; */
    uint64_t beyond;   /* of the device beside it, which is always taken */
    bool failures;
    uint32_t calm;                         /* documents to one at whose start something changes */
    uint64_t at_start[MOST_DOCUMENTS + 1]; /* what others held as a document began; [0]: the last */
};

static uint32_t below(uint32_t *seed, uint32_t limit)
{
    return (uint32_t)((uint64_t)next_random(seed) * limit >> 24);
}

/* Nothing, all, or anything between. */
static uint64_t some_bytes(struct neighbour *n)
{
    uint32_t kind = below(&n->seed, 6);
    if (kind < 2)
        return 0;
    if (kind == 2)
        return n->capacity;
    return n->capacity / 4096 * below(&n->seed, 4096);
}

static void strike(struct neighbour *n, const struct snug_device *device)
{
    const struct snug_sim_fault fault = {
        .call = (enum snug_sim_call)below(&n->seed, SNUG_SIM_CALL_COUNT),
        .at = 1 + below(&n->seed, 60),
        .count = 1 + below(&n->seed, 3),
        .lose = below(&n->seed, 4) == 0};
    if (below(&n->seed, 8) == 0)
        snug_sim_lose(device, below(&n->seed, 3));
    else
        snug_sim_set_faults(device, &fault, 1);
}

static void on_mark(void *context, const struct snug_device *device, int64_t document,
                    int64_t token)
{
    struct neighbour *n = context;
    if (below(&n->seed, token < 0 ? n->calm : 12) == 0)
        snug_sim_neighbour(device, n->beyond + some_bytes(n));
    if (n->failures && below(&n->seed, 5 * n->calm) == 0)
        strike(n, device);
    if (token < 0)
        n->at_start[0] = snug_sim_figures(device).neighbour - n->beyond;
    if (token < 0 && document <= MOST_DOCUMENTS)
        n->at_start[document] = n->at_start[0];
}

/* ---- true arithmetic ---- */

/* Loaded afresh counts as without that. */
static int place_of(enum snug_rung rung)
{
    return rung == SNUG_RUNG_RELOAD              ? SNUG_RUNG_RESIDENT
           : rung == SNUG_RUNG_RELOAD_KV_OFFLOAD ? SNUG_RUNG_KV_OFFLOAD
                                                 : (int)rung;
}

static struct snug_rung_request request_for(const struct snug_ladder_options *o,
                                            const struct snug_model *model, size_t free_bytes)
{
    struct snug_rung_request r = {.model = model,
                                  .session = o->session,
                                  .tokens = o->tokens,
                                  .tiles = o->tiles,
                                  .device_count = 1,
                                  .devices = {NULL, o->devices[1]}};
    r.free_bytes[0] = SIZE_MAX;
    r.free_bytes[1] = free_bytes;
    r.granularity[0] = 4096;
    r.granularity[1] = o->devices[1]->granularity;
    memcpy(r.speeds, o->speeds, sizeof r.speeds);
    return r;
}

/* The first rung that fits beside a neighbour. */
static int required_place(const struct snug_ladder_options *o, const struct snug_model *model,
                          uint64_t capacity, uint64_t neighbour, uint64_t spare,
                          struct snug_rung_known *known)
{
    uint64_t grain = o->devices[1]->granularity;
    uint64_t left = (capacity - neighbour) / grain * grain; /* as the device tells it */
    struct snug_rung_request r = request_for(o, model, (size_t)(left > spare ? left - spare : 0));
    r.known = known;
    for (int rung = 0; rung < SNUG_RUNG_COUNT; rung++) {
        struct snug_rung_plan plan;
        struct snug_error error;
        assert_ok(snug_rung_plan(&r, (enum snug_rung)rung, &plan, &error));
        if (plan.applies && plan.fits)
            return place_of((enum snug_rung)rung);
    }
    fail_msg("no rung fits");
    return 0;
}

static uint64_t resident_bytes(const struct snug_ladder_options *o, const struct snug_model *model)
{
    const struct snug_rung_request r = request_for(o, model, SIZE_MAX);
    struct snug_rung_plan plan;
    struct snug_error error;
    assert_ok(snug_rung_plan(&r, SNUG_RUNG_RESIDENT, &plan, &error));
    return plan.need_bytes[1];
}

struct tally {
    int64_t documents, low, rungs[SNUG_RUNG_COUNT];
    uint64_t ups, downs;
};

/* At most one document in a row on a lower rung than its start asked for. */
static void check_rungs(const struct snug_ladder_options *o, const struct world *w,
                        const struct neighbour *n, const struct text *texts, int count,
                        int64_t history, struct tally *tally)
{
    int low = 0;
    for (int i = 0; i < count; i++) {
        int required =
            required_place(o, w->model, n->capacity, n->at_start[i + 1], o->watermark_bytes, NULL);
        low = place_of(texts[i].rung) > required ? low + 1 : 0;
        tally->low += low > 0;
        if (low > 1)
            fail_msg("history %lld: document %d is the second on a lower rung (%s) than it needs "
                     "(%s)",
                     (long long)history, i + 1, snug_rung_name(texts[i].rung),
                     snug_rung_name((enum snug_rung)required));
    }
}

static void run_history(const struct world *w, int64_t number, struct text (*want)[MOST_NEW + 1],
                        struct tally *tally)
{
    static struct text texts[MOST_DOCUMENTS];
    struct asked asked[MOST_DOCUMENTS];
    struct neighbour n = {.seed = (uint32_t)number * 2654435761u + 1, .calm = 2};
    const struct snug_sim_options sim = sim_options(SIM_BYTES);
    const struct snug_device *device;
    struct snug_ladder ladder;
    struct snug_error error;
    for (int i = 0; i < 3; i++)
        (void)next_random(&n.seed);
    n.failures = below(&n.seed, 2);
    int count = 2 + (int)below(&n.seed, MOST_DOCUMENTS - 1);
    int64_t slots = below(&n.seed, 3) ? 1 : 2 + below(&n.seed, 2);
    assert_ok(snug_sim_open(&sim, snug_allocator_heap(), &device, &error));
    struct snug_ladder_options o = ladder_options(w, MOST_NEW, device, rungs_from(0, true));
    o.forced = false;
    o.session.slots = slots;
    o.elastic = below(&n.seed, 2);
    o.unchecked = number % 8;
    n.capacity =
        resident_bytes(&o, w->model) / 10 * (10 + below(&n.seed, 4)) / SIM_GRAIN * SIM_GRAIN;
    n.beyond = SIM_BYTES - n.capacity; /* the warm-up takes more than this small model */
    o.watermark_bytes = n.capacity / 32;
    for (int i = 0; i < count; i++)
        asked[i] = asked_usually(below(&n.seed, MOST_CUT + 1), 1 + below(&n.seed, MOST_NEW));
    assert_ok(snug_ladder_open(&ladder, w->model, &o, snug_allocator_heap(), &error));
    snug_sim_neighbour(device, n.beyond);
    snug_sim_on_mark(device, on_mark, &n);
    read_together(&ladder, w, asked, count, texts);
    for (int i = 0; i < count; i++) {
        char what[64];
        snprintf(what, sizeof what, "history %lld, document %d", (long long)number, i + 1);
        assert_same_text(&texts[i], &want[asked[i].cut][asked[i].new_tokens], what);
        tally->rungs[texts[i].rung]++;
    }
    tally->documents += count;
    tally->ups += ladder.stats.ups;
    tally->downs += ladder.stats.downs;
    if (!n.failures && slots == 1)
        check_rungs(&o, w, &n, texts, count, number, tally);
    snug_ladder_close(&ladder);
    close_sim(device);
}

static void test_histories(void **state)
{
    (void)state;
    static struct text want[MOST_CUT + 1][MOST_NEW + 1];
    int64_t histories = how_many(300, 40, 10000);
    struct world w = open_world("tests/golden/internvl/hf-a", 1);
    struct tally tally = {.documents = 0};
    for (int cut = 0; cut <= MOST_CUT; cut++)
        for (int count = 1; count <= MOST_NEW; count++) {
            const struct asked asked = asked_usually(cut, count);
            expect_text(&w, &asked, &want[cut][count]);
        }
    for (int64_t i = 0; i < histories; i++)
        run_history(&w, i, want, &tally);
    print_message(
        "%lld histories, %lld documents, %llu moves down, %llu up; by rung:", (long long)histories,
        (long long)tally.documents, (unsigned long long)tally.downs, (unsigned long long)tally.ups);
    for (int r = 0; r < SNUG_RUNG_COUNT; r++)
        print_message(" %s %lld", snug_rung_name((enum snug_rung)r), (long long)tally.rungs[r]);
    print_message("; %lld waited a document for a better one\n", (long long)tally.low);
    close_world(&w);
}

/* A plan from what was remembered is the plan made anew. */
static void test_remembered(void **state)
{
    (void)state;
    struct world w = open_world("tests/golden/internvl/hf-a", 1);
    const struct snug_device *one = open_sim(SIM_BYTES, false), *two = open_sim(SIM_BYTES, false);
    uint32_t seed = 5;
    for (int devices = 1; devices <= 2; devices++) {
        struct snug_rung_known known = {.allocator = snug_allocator_heap()};
        struct snug_ladder_options o = ladder_options(&w, MOST_NEW, one, "cpu");
        o.session.slots = 3;
        o.speeds[0] = (struct snug_speed){.read_gbs = 20, .f32_gflops = 50, .int8_gops = 200};
        o.speeds[1] = o.speeds[2] = (struct snug_speed){
            .read_gbs = 900, .f32_gflops = 14000, .int8_gops = 56000, .link_gbs = 2};
        uint64_t most = resident_bytes(&o, w.model) * 3 / 2;
        for (int i = 0; i < (getenv("SNUG_SLOW") ? 10 : 60); i++) {
            struct snug_rung_request r =
                request_for(&o, w.model, (size_t)(most / 4096 * below(&seed, 4096)));
            r.devices[2] = two;
            r.device_count = devices;
            r.free_bytes[2] = (size_t)(most / 4096 * below(&seed, 4096));
            r.granularity[2] = SIM_GRAIN;
            for (int rung = 0; rung < SNUG_RUNG_COUNT; rung++) {
                struct snug_rung_plan anew, recalled;
                struct snug_error error;
                r.known = NULL;
                assert_ok(snug_rung_plan(&r, (enum snug_rung)rung, &anew, &error));
                r.known = &known;
                assert_ok(snug_rung_plan(&r, (enum snug_rung)rung, &recalled, &error));
                const struct snug_placing *a = &anew.placing, *b = &recalled.placing;
                if (anew.applies != recalled.applies || anew.fits != recalled.fits ||
                    anew.slots != recalled.slots || anew.staging_bytes != recalled.staging_bytes ||
                    memcmp(anew.need_bytes, recalled.need_bytes, sizeof anew.need_bytes) ||
                    memcmp(anew.weight_bytes, recalled.weight_bytes, sizeof anew.weight_bytes) ||
                    a->host_units != b->host_units || a->split != b->split ||
                    a->kv_on_host != b->kv_on_host || a->decode_on_host != b->decode_on_host ||
                    a->rest_on_host != b->rest_on_host)
                    fail_msg("%d devices, request %d, %s: another plan", devices, i,
                             snug_rung_name((enum snug_rung)rung));
            }
        }
        assert_true(known.count > 10);
        snug_rung_known_free(&known);
    }
    snug_sim_close(one);
    snug_sim_close(two);
    close_world(&w);
}

/* ---- 8B without arithmetic ---- */

#define DRY_TILES 13
#define DRY_TEXT 100
#define DRY_NEW 2

/* As the profile v100-16gb says. */
static const struct snug_sim_options v100 = {.name = "sim:v100-16gb",
                                             .capacity_bytes = (uint64_t)15841 << 20,
                                             .granularity_bytes = 2 << 20,
                                             .read_gbs = 900,
                                             .f32_gflops = 14100,
                                             .int8_gops = 56500,
                                             .link_gbs = 15.75,
                                             .dry = true};

static struct snug_model *outline_8b(void)
{
    struct snug_model_options options = snug_model_options_default();
    struct snug_builtin builtin;
    struct snug_model *model = NULL;
    struct snug_error error;
    options.quantize = SNUG_QUANT_Q8;
    assert_ok(snug_builtin_open("internvl3-8b", 0, snug_allocator_heap(), &builtin, &error));
    assert_ok(snug_model_outline(&builtin.folder, &options, snug_allocator_heap(), &model, &error));
    snug_builtin_close(&builtin);
    model->device = snug_device_dry();
    return model;
}

static struct snug_ladder_options dry_options(const struct snug_model *model,
                                              const struct snug_device *device)
{
    struct snug_ladder_options o = {.rungs = snug_rungs_all(true),
                                    .session = snug_session_options_default(),
                                    .tokens = DRY_TILES * 256 + DRY_TEXT + DRY_NEW,
                                    .tiles = DRY_TILES,
                                    .watermark_bytes = SIZE_MAX,
                                    .devices = {NULL, device},
                                    .device_count = 1};
    o.session.device = snug_device_dry();
    o.session.image_token_id = model->config.image_token_id;
    o.speeds[0] = (struct snug_speed){.read_gbs = 20, .f32_gflops = 500, .int8_gops = 2000};
    o.speeds[1] = (struct snug_speed){.read_gbs = v100.read_gbs,
                                      .f32_gflops = v100.f32_gflops,
                                      .int8_gops = v100.int8_gops,
                                      .link_gbs = v100.link_gbs};
    return o;
}

/* ids: DRY_TILES * 256 of the picture, then text. Returns the rung of the last token. */
static enum snug_rung read_dry(struct snug_ladder *ladder, const int32_t *ids, struct neighbour *n,
                               int64_t number)
{
    int64_t tiles = 1 + below(&n->seed, DRY_TILES), rest = 20 + below(&n->seed, DRY_TEXT - 19);
    int32_t answer[DRY_NEW];
    double log_probabilities[DRY_NEW];
    struct snug_generation out = {.ids = answer, .log_probabilities = log_probabilities};
    const struct snug_request request = {
        .name = "dry",
        .prompt = ids + (DRY_TILES - tiles) * 256,
        .prompt_count = tiles * 256 + rest,
        .picture = {.tiles = tiles, .rows = 1, .columns = tiles},
        .tokens = tiles * 256 + rest + DRY_NEW,
        .options = {.max_new_tokens = DRY_NEW, .sampling = {.top_p = 1}},
        .out = &out};
    struct snug_answering a = {0};
    struct snug_error error;
    enum snug_status status = snug_ladder_start(ladder, &a, &request, &error);
    while (!status && !a.over)
        status = snug_ladder_advance(ladder, &error);
    if (status || a.status)
        fail_msg("document %lld: %s", (long long)number, status ? error.message : a.error.message);
    assert_int_equal(out.count, DRY_NEW);
    enum snug_rung rung = a.rung;
    snug_ladder_end(ladder, &a);
    return rung;
}

static void print_rungs(const int64_t *rungs)
{
    for (int r = 0; r < SNUG_RUNG_COUNT; r++)
        print_message(" %s %lld", snug_rung_name((enum snug_rung)r), (long long)rungs[r]);
    print_message("\n");
}

static void test_dry(void **state)
{
    (void)state;
    static int32_t ids[DRY_TILES * 256 + DRY_TEXT];
    int64_t documents = how_many(2000, 200, 1000000), rungs[SNUG_RUNG_COUNT] = {0};
    struct neighbour n = {.seed = 99, .capacity = v100.capacity_bytes, .calm = 6};
    struct snug_rung_known known = {.allocator = snug_allocator_heap()};
    int64_t waited = 0;
    int low = 0;
    struct snug_model *model = outline_8b();
    const struct snug_device *device;
    struct snug_ladder ladder;
    struct snug_error error;
    for (int i = 0; i < DRY_TILES * 256 + DRY_TEXT; i++)
        ids[i] = i < DRY_TILES * 256 ? (int32_t)model->config.image_token_id : 5;
    assert_ok(snug_sim_open(&v100, snug_allocator_heap(), &device, &error));
    struct snug_ladder_options o = dry_options(model, device);
    double start = snug_clock_ms();
    assert_ok(snug_ladder_open(&ladder, model, &o, snug_allocator_heap(), &error));
    snug_sim_on_mark(device, on_mark, &n);
    for (int64_t i = 0; i < documents; i++) {
        n.failures = i >= documents / 2;
        enum snug_rung rung = read_dry(&ladder, ids, &n, i + 1);
        rungs[rung]++;
        const struct snug_sim_figures f = snug_sim_figures(device);
        if (!n.failures) { /* nothing is refused if all is planned; no rung is too low for long */
            int required = required_place(&o, model, n.capacity, n.at_start[0],
                                          n.at_start[0] ? (uint64_t)256 << 20 : 0, &known);
            low = place_of(rung) > required ? low + 1 : 0;
            waited += low > 0;
            if (f.refused || low > 1)
                fail_msg("document %lld: on %s instead of %s for %d documents, %llu refusals",
                         (long long)i + 1, snug_rung_name(rung),
                         snug_rung_name((enum snug_rung)required), low,
                         (unsigned long long)f.refused);
        }
        if (f.ours + f.neighbour > n.capacity || f.peak_ours > n.capacity)
            fail_msg("document %lld: more is held than there is", (long long)i + 1);
    }
    const struct snug_sim_figures f = snug_sim_figures(device);
    print_message("%lld dry documents of 8B in %.1f s: %llu moves down, %llu up, %llu losses, %llu "
                  "refusals, %lld waited for a better rung, high-water mark %llu of %llu; by rung:",
                  (long long)documents, (snug_clock_ms() - start) / 1e3,
                  (unsigned long long)ladder.stats.downs, (unsigned long long)ladder.stats.ups,
                  (unsigned long long)f.losses, (unsigned long long)f.refused, (long long)waited,
                  (unsigned long long)f.peak_ours, (unsigned long long)n.capacity);
    print_rungs(rungs);
    snug_rung_known_free(&known);
    snug_ladder_close(&ladder);
    close_sim(device);
    snug_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_dry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
