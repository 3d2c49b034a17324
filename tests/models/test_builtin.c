/* Tests of models/builtin.c, and of the list of weights that a configuration alone gives: shapes,
 * numbers of tensors and parameters against those of the real models (internvl.md).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "models/builtin.h"
#include "models/weights.h"

struct totals {
    int64_t tensors, parameters;
    char first[SNUG_WEIGHT_NAME_BYTES], last[SNUG_WEIGHT_NAME_BYTES];
};

static enum snug_status count(void *context, const struct snug_weight_request *request,
                              const struct snug_shape *shape, struct snug_error *error)
{
    struct totals *totals = context;
    int64_t elements;
    (void)error;
    assert_true(snug_shape_elements(shape, &elements));
    assert_int_equal(elements, request->k ? request->n * request->k : request->n);
    if (!totals->tensors++)
        snprintf(totals->first, sizeof totals->first, "%s", request->candidates[0]);
    snprintf(totals->last, sizeof totals->last, "%s", request->candidates[0]);
    totals->parameters += elements;
    return SNUG_STATUS_OK;
}

static void open_config(const char *name, int64_t layers, struct snug_builtin *builtin,
                        struct snug_model_config *config)
{
    struct snug_error error;
    assert_ok(snug_builtin_open(name, layers, snug_allocator_heap(), builtin, &error));
    assert_ok(snug_model_config_read(&builtin->folder, snug_allocator_heap(), config, &error));
}

static void test_true_shapes(void **state)
{
    (void)state;
    /* hidden, MLP, layers, heads, kv heads, vision hidden and layers; tensors and parameters as
     * counted on the reference implementation's models */
    static const struct {
        const char *name;
        int64_t hidden, intermediate, layers, heads, kv_heads, vision_hidden, vision_layers;
        int64_t tensors, parameters;
    } cases[] = {
        {"internvl3-1b", 896, 4864, 24, 14, 2, 1024, 24, 733, 938193024},
        {"internvl3-2b", 1536, 8960, 28, 12, 2, 1024, 24, 781, 2088957440},
        {"internvl3-8b", 3584, 18944, 28, 28, 4, 1024, 24, 781, 7944373760},
        {"internvl3-14b", 5120, 13824, 48, 40, 8, 1024, 24, 1021, 15117256704},
        {"internvl3-38b", 5120, 27648, 64, 40, 8, 3200, 45, 1456, 38388164992},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_builtin builtin = {0};
        struct snug_model_config c;
        struct totals totals = {0};
        struct snug_error error;
        open_config(cases[i].name, 0, &builtin, &c);
        assert_int_equal(c.layout, SNUG_LAYOUT_KIND_HF);
        assert_int_equal(c.text.hidden, cases[i].hidden);
        assert_int_equal(c.text.intermediate, cases[i].intermediate);
        assert_int_equal(c.text.layers, cases[i].layers);
        assert_int_equal(c.text.heads, cases[i].heads);
        assert_int_equal(c.text.kv_heads, cases[i].kv_heads);
        assert_int_equal(c.text.vocabulary, 151674);
        assert_true(c.text.rope.dynamic && c.text.rope.theta == 1e6);
        assert_int_equal(c.vision.hidden, cases[i].vision_hidden);
        assert_int_equal(c.vision.layers, cases[i].vision_layers);
        assert_int_equal(c.vision.run_layers, cases[i].vision_layers);
        assert_int_equal(c.vision.rms_norm, cases[i].vision_hidden == 3200);
        assert_int_equal(c.vision.qk_norm, cases[i].vision_hidden == 3200);
        assert_int_equal(c.vision.qkv_bias, cases[i].vision_hidden != 3200);
        assert_int_equal(c.tokens_per_tile, 256);
        assert_int_equal(c.image_token_id, 151667);
        assert_int_equal(c.tiles.max_tiles, 12);
        assert_int_equal(c.stop_id_count, 1);
        assert_int_equal(c.stop_ids[0], 151645);
        assert_ok(snug_model_visit_weights(&c, count, &totals, &error));
        if (totals.tensors != cases[i].tensors || totals.parameters != cases[i].parameters)
            fail_msg("%s: %lld tensors, %lld parameters", cases[i].name, (long long)totals.tensors,
                     (long long)totals.parameters);
        assert_string_equal(totals.first, "vision_tower.embeddings.cls_token");
        assert_string_equal(totals.last, "language_model.lm_head.weight");
        snug_builtin_close(&builtin);
    }
}

static void test_names(void **state)
{
    (void)state;
    char joined[512] = "";
    for (size_t i = 0; i < snug_builtin_count(); i++) {
        struct snug_builtin builtin = {0};
        struct snug_model_config config;
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof joined - used, "%s%s", i ? ", " : "", snug_builtin_name(i));
        open_config(snug_builtin_name(i), 0, &builtin, &config);
        snug_builtin_close(&builtin);
    }
    assert_string_equal(joined, snug_builtin_names());
}

static void test_layers(void **state)
{
    (void)state;
    struct snug_builtin builtin = {0};
    struct snug_model_config config;
    struct snug_error error;
    open_config("internvl3-1b", 2, &builtin, &config);
    assert_int_equal(config.text.layers, 2);
    assert_int_equal(config.vision.layers, 2);
    snug_builtin_close(&builtin);
    open_config("internvl3-2b", 26, &builtin, &config); /* the tower has 24 */
    assert_int_equal(config.text.layers, 26);
    assert_int_equal(config.vision.layers, 24);
    snug_builtin_close(&builtin);
    assert_int_equal(snug_builtin_open("internvl3-2b", 29, snug_allocator_heap(), &builtin, &error),
                     SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "28 layers"));
    assert_int_equal(snug_builtin_open("internvl3-3b", 0, snug_allocator_heap(), &builtin, &error),
                     SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "internvl3-38b"));
}

static enum snug_status stop(void *context, const struct snug_weight_request *request,
                             const struct snug_shape *shape, struct snug_error *error)
{
    (void)shape;
    int *left = context;
    return --*left ? SNUG_STATUS_OK
                   : snug_error_set(error, SNUG_STATUS_IO, "%s", request->candidates[0]);
}

static void test_visit_stops(void **state)
{
    (void)state;
    struct snug_builtin builtin = {0};
    struct snug_model_config config;
    struct snug_error error;
    int left = 2;
    open_config("tiny", 0, &builtin, &config);
    assert_int_equal(snug_model_visit_weights(&config, stop, &left, &error), SNUG_STATUS_IO);
    assert_string_equal(error.message, "vision_tower.embeddings.position_embeddings");
    assert_int_equal(left, 0);
    snug_builtin_close(&builtin);
}

static void test_sweep(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_builtin builtin = {0};
        struct snug_error error;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status =
            snug_builtin_open("internvl3-8b", 0, &counting.allocator, &builtin, &error);
        assert_int_equal(status, counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK);
        snug_builtin_close(&builtin);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_true(fail_at > 3);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_true_shapes), cmocka_unit_test(test_names),
        cmocka_unit_test(test_layers),      cmocka_unit_test(test_visit_stops),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests_name("models/builtin", tests, NULL, NULL);
}
