/* One region for all documents: reserved once, nothing taken afterwards, the same high-water mark;
 * and many documents' memory without arithmetic. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/session.h"
#include "models/builtin.h"

static struct snug_model *outline(const char *name)
{
    struct snug_builtin builtin;
    struct snug_error error;
    struct snug_model *model = NULL;
    assert_ok(snug_builtin_open(name, 0, snug_allocator_heap(), &builtin, &error));
    assert_ok(snug_model_outline(&builtin.folder, NULL, snug_allocator_heap(), &model, &error));
    snug_builtin_close(&builtin);
    return model;
}

static struct snug_model *load(const char *name, const struct snug_allocator *allocator)
{
    char path[128];
    struct snug_error error;
    struct snug_model *model = NULL;
    snprintf(path, sizeof path, "tests/golden/internvl/%s", name);
    struct snug_folder folder = {.path = test_path(path), .allocator = allocator};
    assert_ok(snug_model_load(&folder, snug_device_cpu(), NULL, NULL, allocator, &model, &error));
    return model;
}

/* ---- nothing is allocated in a step ---- */

/* The heap, and an end to the test if it is asked for anything at the wrong time. */
static bool forbidden;
static void *guarded_allocate(void *context, size_t bytes)
{
    (void)context;
    assert_false(forbidden);
    return snug_alloc(snug_allocator_heap(), bytes);
}
static void *guarded_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    assert_false(forbidden);
    return snug_realloc_array(snug_allocator_heap(), memory, 1, bytes);
}
static void guarded_release(void *context, void *memory)
{
    (void)context;
    assert_false(forbidden);
    snug_free(snug_allocator_heap(), memory);
}
static const struct snug_allocator guarded = {guarded_allocate, guarded_resize, guarded_release,
                                              NULL};

/* The device's, likewise. */
static int takes;
static enum snug_status guarded_take(const struct snug_device *device, size_t bytes,
                                     struct snug_region *region, struct snug_error *error)
{
    (void)device;
    assert_false(forbidden);
    takes++;
    return snug_device_cpu()->take(snug_device_cpu(), bytes, region, error);
}

static void read_document(struct snug_session *session, int64_t tiles, int64_t count)
{
    static float pixels[3 * 3 * 64 * 64];
    int32_t ids[300];
    const float *logits;
    struct snug_error error;
    int64_t per_tile = session->model->config.tokens_per_tile;
    assert_true(session->model->config.vision.image_side <= 64 && tiles <= 3);
    for (int64_t i = 0; i < count; i++)
        ids[i] = i >= 3 && i < 3 + tiles * per_tile ? 1023 : (int32_t)(i * 37 % 1000);
    assert_ok(snug_session_begin(session, count + 3, tiles, &error));
    forbidden = true;
    assert_ok(snug_session_see(session, pixels, tiles, &error));
    assert_ok(snug_session_prompt(session, ids, count, &logits, &error));
    for (int i = 0; i < 3; i++)
        assert_ok(snug_session_step(session, 5 + i, &logits, &error));
    forbidden = false;
    snug_session_end(session, 0);
}

static void test_nothing_is_taken(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", &guarded);
    struct snug_device device = *snug_device_cpu();
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_error error;
    device.take = guarded_take;
    options.device = &device;
    options.prefill_chunk = 32;
    options.image_token_id = 1023;
    snug_session_init(&session, model, &options, &guarded);
    assert_ok(snug_session_reserve(&session, 160, 3, &error));
    uint64_t quiet = snug_alloc_quiet_requests();
    for (int i = 0; i < 60; i++)
        read_document(&session, i % 3 + 1,
                      3 + (i % 3 + 1) * model->config.tokens_per_tile + i % 40);
    assert_int_equal(takes, 1);
    assert_int_equal(snug_alloc_quiet_requests(), quiet);
    const struct snug_memory_stats *s = &session.stats;
    assert_int_equal(s->allocated_bytes.current, 0);
    assert_int_equal(s->allocation.current, 0);
    assert_int_equal(s->reserved_bytes.peak, session.peak_bytes);
    assert_int_equal(s->num_device_alloc, 1);
    assert_true(s->allocated_bytes.peak <= session.peak_bytes &&
                s->allocated_bytes.peak >= session.lower_bound_bytes);
    /* What was not planned for is refused, and nothing is changed by that. */
    assert_int_equal(snug_session_begin(&session, 161, 3, &error), SNUG_STATUS_DOES_NOT_FIT);
    assert_int_equal(snug_session_begin(&session, 160, 4, &error), SNUG_STATUS_DOES_NOT_FIT);
    read_document(&session, 1, 60);
    assert_int_equal(takes, 1);
    snug_session_free(&session);
    snug_model_free(model);
}

/* Given back between documents and taken again: the region is new, the figures say so. */
static void test_rests(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_error error;
    options.image_token_id = 1023;
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_reserve(&session, 160, 2, &error));
    assert_ok(snug_session_begin(&session, 100, 1, &error));
    snug_session_rest(&session); /* a document is under way */
    assert_non_null(session.region.base);
    snug_session_end(&session, 0);
    snug_session_rest(&session);
    assert_null(session.region.base);
    assert_int_equal(session.stats.reserved_bytes.current, 0);
    read_document(&session, 1, 60);
    assert_non_null(session.region.base);
    assert_int_equal(session.stats.num_device_alloc, 2);
    assert_int_equal(session.stats.num_device_free, 1);
    assert_int_equal(session.stats.inactive_split_bytes.current, session.peak_bytes);
    snug_session_free(&session);
    snug_model_free(model);
}

/* ---- dry ---- */

static uint32_t seed = 1;
static int64_t below(int64_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (int64_t)((uint64_t)(seed >> 8) * (uint64_t)limit >> 24);
}

/* One document through a session on a dry device. */
static void run_dry(struct snug_session *session, int64_t tiles, int64_t text, int64_t answer)
{
    static int32_t ids[13 * 256 + 400];
    int64_t image = tiles * session->model->config.tokens_per_tile, count = image + text;
    const float *logits;
    struct snug_error error;
    assert_true(count <= 13 * 256 + 400);
    for (int64_t k = 0; k < count; k++)
        ids[k] = k < image ? (int32_t)session->model->config.image_token_id : 5;
    assert_ok(snug_session_begin(session, count + answer, tiles, &error));
    assert_ok(snug_session_see(session, NULL, tiles, &error));
    assert_ok(snug_session_prompt(session, ids, count, &logits, &error));
    for (int64_t k = 0; k < answer; k++)
        assert_ok(snug_session_step(session, 7, &logits, &error));
    snug_session_end(session, 0);
}

/* Documents of 1 to 13 tiles and random lengths through a true-shape model's region: how many, from
 * SNUG_DRY_DOCUMENTS. */
static void test_dry_documents(void **state)
{
    (void)state;
    const char *wanted = getenv("SNUG_DRY_DOCUMENTS");
    int64_t documents = wanted ? strtoll(wanted, NULL, 10) : getenv("SNUG_SLOW") ? 200 : 5000;
    struct snug_model *model = outline("internvl3-1b");
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_error error;
    options.device = snug_device_dry();
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_reserve(&session, 13 * 256 + 400 + 200, 13, &error));
    struct snug_counting_allocator counting; /* whatever the session asks for from now on */
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    session.allocator = &counting.allocator;
    size_t high = 0;
    for (int64_t i = 0; i < documents; i++) {
        int64_t tiles = 1 + below(13), text = 20 + below(380), answer = 1 + below(200);
        if (i == 0)
            tiles = 13, text = 400, answer = 200;
        run_dry(&session, tiles, text, answer);
        high = high ? high : session.dry[0].high_water;
        if (session.dry[0].high_water != high)
            fail_msg("document %lld: %zu, not %zu", (long long)i, session.dry[0].high_water, high);
    }
    assert_true(high <= session.peak_bytes && high + SNUG_REGION_ALIGNMENT > session.peak_bytes);
    assert_int_equal(counting.requests, 0);
    assert_int_equal(session.takes, 1);
    print_message("%lld dry documents, %llu runs of a phase, high-water mark %zu\n",
                  (long long)documents, (unsigned long long)session.dry[0].runs, high);
    session.allocator = snug_allocator_heap();
    snug_session_free(&session);
    snug_model_free(model);
}

/* Llama's shape, 11B: pictures of every shape on one region, as planned. A dry device has addresses
 * and no memory. */
static void test_dry_llama(void **state)
{
    (void)state;
    static const int64_t grids[][2] = {{2, 2}, {1, 1}, {1, 2}, {4, 1},
                                       {3, 1}, {2, 1}, {1, 4}, {1, 3}};
    struct snug_model *model = outline("llama-3.2-11b-vision");
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_error error;
    int32_t ids[500];
    const float *logits;
    size_t high = 0;
    options.device = snug_device_dry();
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_reserve(&session, 800, 4, &error));
    for (int i = 0; i < 500; i++)
        ids[i] = i == 5 ? (int32_t)model->config.image_token_id : 7;
    for (int i = 0; i < 200; i++) {
        int64_t rows = grids[i % 8][0], columns = grids[i % 8][1],
                count = i ? 20 + below(480) : 500;
        const struct snug_picture picture = {
            .tiles = rows * columns, .rows = rows, .columns = columns};
        assert_ok(snug_session_begin(&session, count + 300, rows * columns, &error));
        assert_ok(snug_session_see_picture(&session, &picture, &error));
        assert_ok(snug_session_prompt(&session, ids, count, &logits, &error));
        for (int step = 0; step < 3; step++)
            assert_ok(snug_session_step(&session, 7, &logits, &error));
        snug_session_end(&session, 0);
        high = high ? high : session.dry[0].high_water;
        assert_int_equal(session.dry[0].high_water, high);
    }
    assert_true(high <= session.peak_bytes && high + SNUG_REGION_ALIGNMENT > session.peak_bytes);
    assert_int_equal(session.takes, 1);
    assert_int_equal(session.stats.reserved_bytes.peak, session.peak_bytes);
    /* scores of 6,408 rows with 6,432 keys are nobody's operand */
    for (int i = 0; i < session.program.operand_count; i++)
        assert_true(session.program.operands[i].kind != SNUG_OPERAND_KIND_SCRATCH ||
                    session.program.operands[i].cols != 6432);
    snug_session_free(&session);
    snug_model_free(model);
}

/* The figures that stand in README beside PyTorch's: 40 documents of 1 to 13 tiles through 8B. */
static void test_stream(void **state)
{
    (void)state;
    struct snug_model *model = outline("internvl3-8b");
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_error error;
    int64_t all_tiles = 0;
    options.device = snug_device_dry();
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_reserve(&session, 13 * 256 + 100 + 256, 13, &error));
    seed = 1;
    for (int i = 0; i < 40; i++) {
        int64_t tiles = i ? 1 + below(13) : 13;
        run_dry(&session, tiles, 100, 32 + below(225));
        all_tiles += tiles;
    }
    const struct snug_memory_stats *s = &session.stats;
    print_message(
        "40 documents, %lld tiles: reserved %.1f MiB, %.4f times the live peak; %llu region, "
        "%llu retries, %llu refusals\n",
        (long long)all_tiles, (double)s->reserved_bytes.peak / 1048576,
        (double)s->reserved_bytes.peak / (double)s->allocated_bytes.peak,
        (unsigned long long)s->num_device_alloc, (unsigned long long)s->num_alloc_retries,
        (unsigned long long)s->num_ooms);
    assert_int_equal(s->num_device_alloc, 1);
    assert_true((double)s->reserved_bytes.peak <= 1.001 * (double)s->allocated_bytes.peak);
    snug_session_free(&session);
    snug_model_free(model);
}

/* An operand that ends beyond the region is found. */
static void test_dry_finds(void **state)
{
    (void)state;
    struct snug_model *model = outline("tiny");
    struct snug_session_options options = snug_session_options_default();
    struct snug_session session;
    struct snug_dry dry;
    struct snug_error error;
    options.device = snug_device_dry();
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_plan(&session, 1000, 3, &error));
    assert_null(session.region.base);
    for (int cut = 0; cut < 2; cut++) {
        int failed = 0;
        assert_ok(snug_dry_init(&dry, &session.program, session.peak_bytes - (size_t)cut,
                                snug_allocator_heap(), &error));
        for (int p = 0; p < session.program.phase_count; p++)
            failed += snug_dry_run(&dry, p, session.program.phases[p].max_units, &error) ==
                      SNUG_STATUS_SHAPE;
        assert_int_equal(failed > 0, cut > 0);
        assert_true(cut || dry.high_water <= session.peak_bytes);
        snug_dry_free(&dry);
    }
    snug_session_free(&session);
    snug_model_free(model);
}

/* The timeline's sums are those of the plan, in every shape known by name. */
static void test_timeline(void **state)
{
    (void)state;
    for (size_t i = 0; i < snug_builtin_count(); i++)
        for (int64_t slots = 1; slots <= 4; slots += 3) {
            struct snug_model *model = outline(snug_builtin_name(i));
            struct snug_session_options options = snug_session_options_default();
            struct snug_session session;
            struct snug_error error;
            options.device = snug_device_dry();
            options.slots = slots;
            snug_session_init(&session, model, &options, snug_allocator_heap());
            assert_ok(snug_session_plan(&session, 13 * 256 + 2000, 13, &error));
            const struct snug_timeline *t = &session.timeline;
            assert_int_equal(t->moments[t->peak_step].live_bytes, session.lower_bound_bytes);
            for (int s = 0; s < session.program.step_count; s++) {
                const struct snug_moment *m = &t->moments[s];
                assert_true(m->live_bytes <= session.peak_bytes &&
                            m->requested_bytes <= m->live_bytes &&
                            m->largest_free <= session.peak_bytes - m->live_bytes);
                assert_int_equal(m->bytes[SNUG_USE_SCRATCH] + m->bytes[SNUG_USE_FEATURES] +
                                     m->bytes[SNUG_USE_CACHE],
                                 m->live_bytes);
            }
            /* The plan's own height is nearly the lower bound. */
            double gap = (double)(session.peak_bytes - session.lower_bound_bytes) /
                         (double)session.peak_bytes;
            if (gap > 0.001)
                fail_msg("%s, %lld slots: gap %.4f", snug_builtin_name(i), (long long)slots, gap);
            snug_session_free(&session);
            snug_model_free(model);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_taken), cmocka_unit_test(test_rests),
        cmocka_unit_test(test_dry_documents),    cmocka_unit_test(test_dry_finds),
        cmocka_unit_test(test_timeline),         cmocka_unit_test(test_dry_llama),
        cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
