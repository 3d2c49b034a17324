/* One sequence, many ways to run it: the same bytes of logits for every thread count, prefill
 * chunk, tile batch and backend; the same ids without the cache; damaged weights named. Copyright
 * snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/generate.h"

#include <math.h>

#define NEW_TOKENS 6

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

/* A made-up document: two tiles of noise, and a prompt around their tokens. */
struct document {
    float *pixels;
    int64_t tiles;
    int32_t ids[200];
    int64_t count;
};

static struct document make_document(const struct snug_model *model, int64_t tiles, int64_t count)
{
    const struct snug_model_config *c = &model->config;
    int64_t elements = tiles * 3 * c->vision.image_side * c->vision.image_side;
    struct document d = {
        .pixels = malloc((size_t)(elements + 1) * sizeof(float)), .tiles = tiles, .count = count};
    uint32_t seed = 7;
    for (int64_t i = 0; i < elements; i++) {
        seed = seed * 1664525u + 1013904223u;
        d.pixels[i] = (float)(seed >> 8) * 0x1p-22f - 2;
    }
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        d.ids[i] =
            i >= 3 && i < 3 + tiles * c->tokens_per_tile ? 1023 : (int32_t)(seed >> 8) % 1000;
    }
    return d;
}

/* Runs the document greedily; logits of every step into out [NEW_TOKENS][vocabulary], ids into ids.
 */
static void run(const struct snug_model *model, const struct document *d,
                const struct snug_session_options *options, float *out, int32_t *ids)
{
    struct snug_error error;
    struct snug_session session;
    const float *logits;
    int64_t vocabulary = model->config.text.vocabulary;
    snug_session_init(&session, model, options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, d->count + NEW_TOKENS, d->tiles, &error));
    if (d->tiles)
        assert_ok(snug_session_see(&session, d->pixels, d->tiles, &error));
    assert_ok(snug_session_prompt(&session, d->ids, d->count, &logits, &error));
    for (int i = 0; i < NEW_TOKENS; i++) {
        struct snug_logit_stats stats = {.count = vocabulary, .logits = logits};
        assert_int_equal(snug_ops_ref()->logit_stats(&stats, NULL), SNUG_STATUS_OK);
        memcpy(out + i * vocabulary, logits, (size_t)vocabulary * sizeof(float));
        ids[i] = (int32_t)stats.argmax;
        if (i + 1 < NEW_TOKENS)
            assert_ok(snug_session_step(&session, ids[i], &logits, &error));
    }
    snug_session_free(&session);
}

static struct snug_session_options options_of(const struct snug_ops *ops, struct snug_pool *pool,
                                              int64_t chunk, int64_t batch, enum snug_dtype kv)
{
    struct snug_session_options options = snug_session_options_default();
    options.ops = ops;
    options.pool = pool;
    options.prefill_chunk = chunk;
    options.vision_batch = batch;
    options.kv_dtype = kv;
    options.image_token_id = 1023;
    return options;
}

static void compare(const struct snug_model *model, const struct document *d, const float *expected,
                    const struct snug_session_options *options, const char *what, int64_t number)
{
    size_t bytes = NEW_TOKENS * (size_t)model->config.text.vocabulary * sizeof(float);
    float *have = malloc(bytes);
    int32_t ids[NEW_TOKENS];
    run(model, d, options, have, ids);
    if (memcmp(have, expected, bytes))
        fail_msg("%s: %s %lld gives other bytes", model->name, what, (long long)number);
    free(have);
}

/* Everything that must not matter, against ops/ref on one thread with the whole prompt at once. */
static void check_identity(const char *name, enum snug_dtype kv)
{
    struct snug_model *model = load(name, snug_allocator_heap());
    struct document d = make_document(model, 2, 150);
    size_t bytes = NEW_TOKENS * (size_t)model->config.text.vocabulary * sizeof(float);
    float *expected = malloc(bytes);
    int32_t ids[NEW_TOKENS];
    struct snug_session_options options = options_of(snug_ops_ref(), NULL, 150, 2, kv);
    run(model, &d, &options, expected, ids);

    struct snug_backend backends[8];
    size_t count = snug_ops_list(backends);
    for (size_t i = 0; i < count; i++)
        if (backends[i].runnable) {
            options = options_of(backends[i].ops, NULL, 150, 1, kv);
            compare(model, &d, expected, &options, backends[i].ops->name, 0);
        }
    static const int64_t chunks[] = {1, 7, 64, 512};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        options = options_of(NULL, NULL, chunks[i], 1, kv);
        compare(model, &d, expected, &options, "prefill chunk", chunks[i]);
    }
    static const int threads[] = {2, 3, 5};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        struct snug_pool *pool;
        struct snug_error error;
        assert_ok(snug_pool_create(threads[i], snug_allocator_heap(), &pool, &error));
        options = options_of(NULL, pool, 64, 2, kv);
        compare(model, &d, expected, &options, "threads", threads[i]);
        snug_pool_destroy(pool);
    }
    free(expected);
    free(d.pixels);
    snug_model_free(model);
}

static void test_identity(void **state)
{
    (void)state;
    static const char *const names[3] = {"hf-a", "hf-b", "orig"};
    for (int i = 0; i < 3; i++) {
        check_identity(names[i], SNUG_DTYPE_F16);
        check_identity(names[i], SNUG_DTYPE_F32);
    }
}

/* Feeding the whole sequence afresh for every token gives the same ids as the cache does. (Beyond
 * max_position dynamic RoPE rotates by the prompt's length, so the prompt stays the prompt: the
 * first `count` positions are one run, every later one a step of its own; nothing of the cache is
 * used twice.) */
static void test_without_cache(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    struct document d = make_document(model, 1, 40);
    size_t vocabulary = (size_t)model->config.text.vocabulary;
    float *expected = malloc(NEW_TOKENS * vocabulary * sizeof(float));
    int32_t ids[NEW_TOKENS], unused[NEW_TOKENS];
    struct snug_session_options options = options_of(NULL, NULL, 512, 1, SNUG_DTYPE_F16);
    run(model, &d, &options, expected, ids);
    for (int i = 0; i < NEW_TOKENS; i++) {
        float *again = malloc(NEW_TOKENS * vocabulary * sizeof(float));
        run(model, &d, &options, again, unused);
        if (unused[0] != ids[i] ||
            memcmp(again, expected + (size_t)i * vocabulary, vocabulary * sizeof(float)))
            fail_msg("token %d: id %d, with the cache %d", i, unused[0], ids[i]);
        d.ids[d.count++] = ids[i];
        free(again);
    }
    free(expected);
    free(d.pixels);
    snug_model_free(model);
}

/* A NaN in a weight is found and named, wherever it sits; f16 overflow of a key is named too. */
static void test_blame(void **state)
{
    (void)state;
    static const struct {
        const char *weight;
        float value;
        enum snug_dtype kv;
        const char *says;
    } cases[] = {
        {"vision.layer.1.fc1.weight", NAN, SNUG_DTYPE_F16, "op linear (vision.layer.1.fc1"},
        {"projector.layer_norm.weight", INFINITY, SNUG_DTYPE_F16,
         "op layer_norm (projector.layer_norm"},
        {"text.layer.1.k.bias", NAN, SNUG_DTYPE_F16, "op linear (text.layer.1.k"},
        {"text.layer.1.k.bias", 1e30f, SNUG_DTYPE_F16, "op kv_store (text.layer.1.k"},
        {"text.layer.2.up.weight", NAN, SNUG_DTYPE_F32, "op linear (text.layer.2.up"},
        {"text.norm.weight", NAN, SNUG_DTYPE_F32, "op rms_norm (text.norm"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_model *model = load("hf-a", snug_allocator_heap());
        struct document d = make_document(model, 1, 40);
        for (size_t w = 0; w < model->weight_count; w++)
            if (!strcmp(model->weights[w].name, cases[i].weight))
                ((float *)(void *)(model->region.base + model->weights[w].offset))[5] =
                    cases[i].value;
        struct snug_session_options options = options_of(NULL, NULL, 512, 1, cases[i].kv);
        struct snug_generation_options generation_options = {.max_new_tokens = 3,
                                                             .sampling = {.top_p = 1}};
        int32_t ids[3];
        double log_probabilities[3];
        struct snug_generation generation = {.ids = ids, .log_probabilities = log_probabilities};
        struct snug_session session;
        struct snug_error error = {0};
        snug_session_init(&session, model, &options, snug_allocator_heap());
        assert_ok(snug_session_begin(&session, d.count + 3, 1, &error));
        enum snug_status status = snug_session_see(&session, d.pixels, 1, &error);
        if (!status)
            status =
                snug_generate(&session, d.ids, d.count, &generation_options, &generation, &error);
        if (status != SNUG_STATUS_NON_FINITE || !strstr(error.message, cases[i].says))
            fail_msg("%s: status %s, message '%s', expected '%s'", cases[i].weight,
                     snug_status_text(status), error.message, cases[i].says);
        snug_session_free(&session);
        free(d.pixels);
        snug_model_free(model);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    struct document d = make_document(model, 1, 40);
    struct snug_session_options options = options_of(NULL, NULL, 512, 1, SNUG_DTYPE_F16);
    struct snug_session session;
    struct snug_error error;
    const float *logits;
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_int_equal(snug_session_begin(&session, SNUG_MAX_CONTEXT + 1, 0, &error),
                     SNUG_STATUS_LIMIT);
    assert_ok(snug_session_begin(&session, 41, 1, &error));
    assert_int_equal(snug_session_see(&session, d.pixels, 2, &error), SNUG_STATUS_SHAPE);
    assert_ok(snug_session_see(&session, d.pixels, 1, &error));
    d.ids[39] = 1027;
    assert_int_equal(snug_session_prompt(&session, d.ids, 40, &logits, &error), SNUG_STATUS_SHAPE);
    d.ids[39] = 1023; /* one image token too many */
    assert_int_equal(snug_session_prompt(&session, d.ids, 40, &logits, &error), SNUG_STATUS_SHAPE);
    d.ids[39] = 5;
    assert_ok(snug_session_prompt(&session, d.ids, 40, &logits, &error));
    assert_int_equal(snug_session_step(&session, -1, &logits, &error), SNUG_STATUS_SHAPE);
    for (int64_t i = 40; i < session.capacity; i++)
        assert_ok(snug_session_step(&session, 5, &logits, &error));
    assert_int_equal(snug_session_step(&session, 5, &logits, &error), SNUG_STATUS_SHAPE);
    snug_session_free(&session);
    free(d.pixels);
    snug_model_free(model);
}

/* Once a document has begun, looking, reading and writing allocate nothing. */
static void test_allocates_nothing(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    struct document d = make_document(model, 2, 150);
    struct snug_session_options options = options_of(NULL, NULL, 64, 1, SNUG_DTYPE_F16);
    struct snug_counting_allocator counting;
    struct snug_session session;
    struct snug_error error;
    const float *logits;
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_session_init(&session, model, &options, &counting.allocator);
    assert_ok(snug_session_begin(&session, d.count + NEW_TOKENS, d.tiles, &error));
    uint64_t before = counting.requests;
    assert_true(before > 0);
    assert_ok(snug_session_see(&session, d.pixels, d.tiles, &error));
    assert_ok(snug_session_prompt(&session, d.ids, d.count, &logits, &error));
    for (int i = 0; i < NEW_TOKENS; i++)
        assert_ok(snug_session_step(&session, 5, &logits, &error));
    assert_int_equal(counting.requests, before);
    /* A second document of the same size finds its region laid out. */
    assert_ok(snug_session_begin(&session, d.count + NEW_TOKENS, d.tiles, &error));
    assert_int_equal(counting.requests, before);
    snug_session_free(&session);
    assert_int_equal(counting.live, 0);
    free(d.pixels);
    snug_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_without_cache),
        cmocka_unit_test(test_allocates_nothing), cmocka_unit_test(test_blame),
        cmocka_unit_test(test_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
