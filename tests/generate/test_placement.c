/* One document on every placement: the same bytes of logits wherever weights, keys and values lie,
 * whoever computes, however small the staging buffers. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

/* Reads the document and writes NEW_TOKENS tokens; logits of each into out. */
static enum snug_status run(const struct world *w, const struct snug_placing *placing, int slots,
                            float *out, struct snug_error *error)
{
    struct snug_session session;
    struct snug_session_options options = snug_session_options_default();
    const struct snug_picture picture = {
        .tiles = w->tiles, .rows = w->rows, .columns = w->columns, .pixels = w->pixels};
    size_t vocabulary = (size_t)w->model->config.text.vocabulary;
    const float *logits;
    options.placing = *placing;
    options.image_token_id = w->image_id;
    options.prefill_chunk = 64;
    options.slots = slots;
    SNUG_TRY(snug_model_hold(w->model, placing, NULL, error));
    snug_session_init(&session, w->model, &options, snug_allocator_heap());
    enum snug_status status =
        snug_session_begin_slot(&session, slots - 1, w->count + NEW_TOKENS, w->tiles, error);
    if (!status)
        status = snug_session_see_picture(&session, &picture, error);
    if (!status)
        status = snug_session_prompt(&session, w->ids, w->count, &logits, error);
    for (int i = 0; i < NEW_TOKENS && !status; i++) {
        struct snug_logit_stats stats = {.count = (int64_t)vocabulary, .logits = logits};
        memcpy(out + (size_t)i * vocabulary, logits, vocabulary * sizeof *out);
        assert_int_equal(snug_ops_ref()->logit_stats(&stats, NULL), SNUG_STATUS_OK);
        status = snug_session_step(&session, (int32_t)stats.argmax, &logits, error);
    }
    snug_session_free(&session);
    return status;
}

static void expect(struct world *w)
{
    const struct snug_placing on_host = {0};
    struct snug_error error;
    w->expected = malloc(NEW_TOKENS * (size_t)w->model->config.text.vocabulary * sizeof(float));
    assert_ok(run(w, &on_host, 1, w->expected, &error));
}

static void compare(const struct world *w, const struct snug_placing *placing, int slots,
                    const char *what)
{
    size_t vocabulary = (size_t)w->model->config.text.vocabulary;
    size_t bytes = NEW_TOKENS * vocabulary * sizeof(float);
    float *have = malloc(bytes);
    struct snug_error error;
    enum snug_status status = run(w, placing, slots, have, &error);
    if (status)
        fail_msg("%s, %s, %d units, kv %d: %s", w->model->name, what, placing->host_units,
                 placing->kv_on_host, error.message);
    for (size_t i = 0; i < NEW_TOKENS; i++)
        if (memcmp(have + i * vocabulary, w->expected + i * vocabulary, vocabulary * sizeof *have))
            fail_msg("%s, %s, %d units, kv %d: token %zu has other logits", w->model->name, what,
                     placing->host_units, placing->kv_on_host, i);
    free(have);
}

/* Every number of units on the host, keys and values here and there, computed here and there. */
static void check_placements(const char *folder, int64_t tiles, bool guard)
{
    struct world w = open_world(folder, tiles);
    const struct snug_device *device = open_sim((uint64_t)1 << 30, guard);
    int units = guard ? 4 : snug_model_unit_count(&w.model->config);
    expect(&w);
    for (int n = 0; n <= units; n += getenv("SNUG_SLOW") ? 3 : 1)
        for (int how = 0; how < 8; how++) {
            struct snug_placing placing = {.devices = {NULL, device},
                                           .device_count = 1,
                                           .host_units = n,
                                           .kv_on_host = how & 1,
                                           .decode_on_host = how & 2,
                                           .rest_on_host = how & 4};
            compare(&w, &placing, 1, "one device");
        }
    struct snug_placing placing = {.devices = {NULL, device}, .device_count = 1};
    compare(&w, &placing, 3, "third of three slots");
    placing.kv_on_host = true;
    compare(&w, &placing, 3, "third of three slots");
    snug_model_free(w.model);
    w.model = NULL;
    assert_int_equal(snug_sim_figures(device).ours, 0);
    snug_sim_close(device);
    close_world(&w);
}

static void test_placements(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        int64_t tiles;
    } cases[] = {{"tests/golden/internvl/hf-a", 2},
                 {"tests/golden/internvl/hf-b", 1},
                 {"tests/golden/internvl/orig", 1},
                 {"tests/golden/mllama/tiny-a", 2},
                 {"tests/golden/mllama/tiny-b", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_placements(cases[i].folder, cases[i].tiles, false);
}

/* The same while the device's memory is out of the host's reach. */
static void test_guarded(void **state)
{
    (void)state;
    check_placements("tests/golden/internvl/hf-a", 2, true);
    check_placements("tests/golden/mllama/tiny-a", 1, true);
}

/* Staging buffers from the least that one step needs to more than all. */
static void test_staging(void **state)
{
    (void)state;
    struct world w = open_world("tests/golden/internvl/hf-a", 2);
    const struct snug_device *device = open_sim((uint64_t)1 << 30, false);
    struct snug_placing placing = {.devices = {NULL, device},
                                   .device_count = 1,
                                   .host_units = snug_placing_every_layer(w.model),
                                   .kv_on_host = true};
    expect(&w);
    compare(&w, &placing, 1, "least staging");
    for (size_t bytes = (size_t)1 << 12; bytes < (size_t)1 << 26; bytes += bytes / 3) {
        struct snug_error error;
        float *have = malloc(NEW_TOKENS * (size_t)w.model->config.text.vocabulary * sizeof *have);
        placing.staging_bytes = bytes;
        if (run(&w, &placing, 1, have, &error) == SNUG_STATUS_SHAPE)
            assert_non_null(strstr(error.message, "a staging buffer holds"));
        else
            compare(&w, &placing, 1, "staging");
        free(have);
    }
    snug_model_free(w.model);
    w.model = NULL;
    snug_sim_close(device);
    close_world(&w);
}

/* Layers on two devices, cut wherever they can be. */
static void test_two_devices(void **state)
{
    (void)state;
    static const char *const folders[2] = {"tests/golden/internvl/hf-a",
                                           "tests/golden/mllama/tiny-a"};
    for (int f = 0; f < 2; f++) {
        struct world w = open_world(folders[f], 2);
        const struct snug_device *one = open_sim((uint64_t)1 << 30, false),
                                 *two = open_sim((uint64_t)1 << 30, false);
        expect(&w);
        for (int split = 1; split < snug_model_unit_count(&w.model->config); split++)
            for (int n = 0; n < 6; n += 3) {
                struct snug_placing placing = {.devices = {NULL, one, two},
                                               .device_count = 2,
                                               .split = split,
                                               .host_units = n,
                                               .kv_on_host = n > 0};
                compare(&w, &placing, 1, "two devices");
            }
        snug_model_free(w.model);
        w.model = NULL;
        snug_sim_close(one);
        snug_sim_close(two);
        close_world(&w);
    }
}

/* A document goes on in another session, on another placement, after every token. */
static void test_moves(void **state)
{
    (void)state;
    struct world w = open_world("tests/golden/internvl/hf-a", 2);
    const struct snug_device *device = open_sim((uint64_t)1 << 30, false);
    size_t vocabulary = (size_t)w.model->config.text.vocabulary;
    const struct snug_picture picture = {
        .tiles = w.tiles, .rows = w.rows, .columns = w.columns, .pixels = w.pixels};
    struct snug_parcel parcel = {0};
    struct snug_error error;
    expect(&w);
    for (int i = 0; i < NEW_TOKENS; i++) {
        struct snug_session session;
        struct snug_session_options options = snug_session_options_default();
        struct snug_logit_stats stats = {.count = (int64_t)vocabulary,
                                         .logits =
                                             w.expected + (size_t)(i ? i - 1 : 0) * vocabulary};
        const float *logits;
        options.image_token_id = w.image_id;
        options.slots = 1 + i % 3;
        int slot = i % 2 ? (int)options.slots - 1 : 0;
        if (i % 4)
            options.placing = (struct snug_placing){.devices = {NULL, device},
                                                    .device_count = 1,
                                                    .host_units = i / 4,
                                                    .kv_on_host = i % 4 == 2,
                                                    .decode_on_host = i % 4 == 3};
        assert_ok(snug_model_hold(w.model, &options.placing, NULL, &error));
        snug_session_init(&session, w.model, &options, snug_allocator_heap());
        assert_ok(snug_session_begin_slot(&session, slot, w.count + NEW_TOKENS + 16 * i, w.tiles,
                                          &error));
        if (!i) {
            assert_ok(snug_session_see_picture(&session, &picture, &error));
            assert_ok(snug_session_prompt(&session, w.ids, w.count, &logits, &error));
        } else {
            assert_ok(snug_session_restore(&session, slot, &parcel, &error));
            assert_int_equal(snug_ops_ref()->logit_stats(&stats, NULL), SNUG_STATUS_OK);
            assert_ok(snug_session_step(&session, (int32_t)stats.argmax, &logits, &error));
        }
        if (memcmp(logits, w.expected + (size_t)i * vocabulary, vocabulary * sizeof *logits))
            fail_msg("token %d has other logits after a move", i);
        snug_parcel_free(&parcel);
        assert_ok(snug_session_save(&session, slot, &parcel, &error));
        snug_session_free(&session);
    }
    snug_parcel_free(&parcel);
    snug_model_free(w.model);
    w.model = NULL;
    snug_sim_close(device);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placements), cmocka_unit_test(test_guarded),
        cmocka_unit_test(test_staging),    cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
