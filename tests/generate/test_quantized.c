/* Quantised models: the same bytes of logits for every backend, thread count, prefill chunk and
 * tile batch, on the fly and converted; outliers and parts left out matter, how it is computed does
 * not. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/generate.h"
#include "models/converted.h"

#include <ftw.h>
#include <unistd.h>

enum { TILES = 2, PROMPT = 150, STEPS = 4, MOST_VOCABULARY = 4096 };

static float pixels[TILES * 3 * 64 * 64];
static int32_t ids[PROMPT];

static struct snug_model *load(const char *path, const struct snug_model_options *options)
{
    struct snug_error error;
    struct snug_model *model = NULL;
    struct snug_folder folder = {.path = path, .allocator = snug_allocator_heap()};
    assert_ok(snug_model_load(&folder, snug_device_cpu(), NULL, options, snug_allocator_heap(),
                              &model, &error));
    return model;
}

static void make_document(const struct snug_model *model)
{
    const struct snug_model_config *c = &model->config;
    int64_t elements = TILES * 3 * c->vision.image_side * c->vision.image_side;
    uint32_t seed = 7;
    assert_true(elements <= (int64_t)(sizeof pixels / sizeof *pixels));
    for (int64_t i = 0; i < elements; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (float)(seed >> 8) * 0x1p-22f - 2;
    }
    for (int64_t i = 0; i < PROMPT; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = i >= 3 && i < 3 + TILES * c->tokens_per_tile ? 1023 : (int32_t)(seed >> 8) % 1000;
    }
}

/* Logits of the prompt's end and of some steps. */
static void run(const struct snug_model *model, const struct snug_ops *ops, struct snug_pool *pool,
                int64_t chunk, int64_t batch, float *out)
{
    struct snug_error error;
    struct snug_session session;
    const float *logits;
    int64_t vocabulary = model->config.text.vocabulary;
    struct snug_session_options options = snug_session_options_default();
    options.ops = ops;
    options.pool = pool;
    options.prefill_chunk = chunk;
    options.vision_batch = batch;
    options.image_token_id = 1023;
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, PROMPT + STEPS, TILES, &error));
    assert_ok(snug_session_see(&session, pixels, TILES, &error));
    assert_ok(snug_session_prompt(&session, ids, PROMPT, &logits, &error));
    for (int i = 0; i < STEPS; i++) {
        memcpy(out + i * vocabulary, logits, (size_t)vocabulary * sizeof(float));
        if (i + 1 < STEPS)
            assert_ok(snug_session_step(&session, 5 + i, &logits, &error));
    }
    snug_session_free(&session);
}

static float expected[STEPS * MOST_VOCABULARY], have[STEPS * MOST_VOCABULARY];

static void same(const struct snug_model *model, const struct snug_ops *ops, struct snug_pool *pool,
                 int64_t chunk, int64_t batch, const char *what)
{
    run(model, ops, pool, chunk, batch, have);
    if (memcmp(have, expected, (size_t)(STEPS * model->config.text.vocabulary) * sizeof(float)))
        fail_msg("%s %s: %s gives other bytes", model->name,
                 snug_quant_name(model->options.quantize), what);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The folder converted and loaded gives the same bytes, and holds them in a mapping. */
static void check_converted(const char *path, const struct snug_model_options *options)
{
    char out[] = "/tmp/snug-test-XXXXXX";
    struct snug_error error;
    struct snug_folder folder = {.path = path, .allocator = snug_allocator_heap()};
    uint64_t bytes;
    assert_non_null(mkdtemp(out));
    assert_ok(snug_convert(&folder, out, options, NULL, NULL, NULL, NULL, snug_allocator_heap(),
                           &bytes, &error));
    struct snug_model *model = load(out, NULL);
    assert_int_equal(model->options.quantize, options->quantize);
    assert_int_equal(model->options.quantize_skip, options->quantize_skip);
    assert_null(model->region.base);
    model->options.outlier_threshold = options->outlier_threshold;
    same(model, NULL, NULL, 64, 1, "converted");
    snug_model_free(model);
    nftw(out, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void check_identity(const char *name, const struct snug_model_options *options)
{
    char relative[64], path[512];
    snprintf(relative, sizeof relative, "tests/golden/internvl/%s", name);
    snprintf(path, sizeof path, "%s", test_path(relative));
    struct snug_model *model = load(path, options);
    struct snug_backend backends[8];
    size_t count = snug_ops_list(backends);
    assert_true(model->config.text.vocabulary <= MOST_VOCABULARY);
    make_document(model);
    run(model, snug_ops_ref(), NULL, PROMPT, TILES, expected);
    for (size_t i = 0; i < count; i++)
        if (backends[i].runnable)
            same(model, backends[i].ops, NULL, PROMPT, 1, backends[i].ops->name);
    same(model, NULL, NULL, 1, 1, "chunk 1");
    same(model, NULL, NULL, 7, 2, "chunk 7");
    for (int threads = 2; threads <= 5; threads += threads == 2 ? 1 : 2) {
        struct snug_pool *pool;
        struct snug_error error;
        assert_ok(snug_pool_create(threads, snug_allocator_heap(), &pool, &error));
        same(model, NULL, pool, 64, 2, "several threads");
        snug_pool_destroy(pool);
    }
    check_converted(path, options);
    snug_model_free(model);
}

static void test_identity(void **state)
{
    static const char *const names[] = {"hf-a", "hf-b", "orig"};
    (void)state;
    for (int i = 0; i < 3; i++)
        for (int quant = SNUG_QUANT_NONE; quant <= SNUG_QUANT_Q4; quant++) {
            struct snug_model_options options = snug_model_options_default();
            options.quantize = (enum snug_quant)quant;
            options.outlier_threshold = i == 1 ? 1.5f : 6;
            options.quantize_skip = i == 2 ? 1u << SNUG_PART_VISION | 1u << SNUG_PART_LM_HEAD : 0;
            check_identity(names[i], &options);
        }
}

/* What is asked for is done: each part left out changes the answer. */
static void test_parts(void **state)
{
    static float all[STEPS * MOST_VOCABULARY];
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s", test_path("tests/golden/internvl/hf-a"));
    for (int part = -1; part <= SNUG_PART_COUNT; part++) {
        struct snug_model_options options = snug_model_options_default();
        options.quantize = SNUG_QUANT_Q8;
        options.quantize_skip = part >= 0 && part < SNUG_PART_COUNT ? 1u << part : 0;
        options.outlier_threshold = part == SNUG_PART_COUNT ? 2 : 0;
        struct snug_model *model = load(path, &options);
        make_document(model);
        size_t bytes = (size_t)(STEPS * model->config.text.vocabulary) * sizeof(float);
        run(model, NULL, NULL, 64, 1, part < 0 ? all : have);
        if (part >= 0 && !memcmp(all, have, bytes))
            fail_msg("part %d left out changes nothing", part);
        snug_model_free(model);
    }
}

static void test_names(void **state)
{
    unsigned parts = 77;
    char text[64];
    (void)state;
    assert_true(snug_parts_parse("", &parts));
    assert_int_equal(parts, 0);
    assert_true(snug_parts_parse("lm_head,vision", &parts));
    assert_string_equal(snug_parts_format(parts, text), "vision,lm_head");
    assert_false(snug_parts_parse("vision,", &parts));
    assert_false(snug_parts_parse(",vision", &parts));
    assert_false(snug_parts_parse("visio", &parts));
    assert_false(snug_parts_parse("vision lm_head", &parts));
    assert_int_equal(parts, 1u << SNUG_PART_VISION | 1u << SNUG_PART_LM_HEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_identity),
                                       cmocka_unit_test(test_parts), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
