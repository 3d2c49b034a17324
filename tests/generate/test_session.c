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

static struct document make_seeded_document(const struct snug_model *model, int64_t tiles,
                                            int64_t count, uint32_t seed)
{
    const struct snug_model_config *c = &model->config;
    int64_t elements = tiles * 3 * c->vision.image_side * c->vision.image_side;
    struct document d = {
        .pixels = malloc((size_t)(elements + 1) * sizeof(float)), .tiles = tiles, .count = count};
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

static struct document make_document(const struct snug_model *model, int64_t tiles, int64_t count)
{
    return make_seeded_document(model, tiles, count, 7);
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

static enum snug_status see_bytes(struct snug_session *session, const unsigned char *bytes,
                                  int64_t tiles, struct snug_error *error)
{
    const struct snug_picture picture = {.tiles = tiles, .bytes = bytes};
    return snug_session_see_picture(session, &picture, error);
}

/* Tiles of bytes, normalised on the way in, give the features that their floats give, however many
 * go into a batch. */
static void test_bytes(void **state)
{
    (void)state;
    enum { TILES = 3 };
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    const struct snug_model_config *c = &model->config;
    int64_t elements = 3 * c->vision.image_side * c->vision.image_side;
    unsigned char *bytes = malloc((size_t)(TILES * elements));
    float *floats = malloc((size_t)(TILES * elements) * sizeof *floats);
    size_t row_bytes = (size_t)(TILES * c->tokens_per_tile * c->text.hidden) * sizeof(float);
    float *wanted = malloc(row_bytes);
    for (int64_t i = 0; i < TILES * elements; i++)
        bytes[i] = (unsigned char)(i * 37 + i / 500);
    for (int64_t t = 0; t < TILES; t++)
        snug_tile_normalise(bytes + t * elements, &c->tiles, floats + t * elements);
    for (int64_t batch = 1; batch <= TILES; batch++) {
        struct snug_session_options options =
            options_of(snug_ops_find(NULL), NULL, 64, batch, SNUG_DTYPE_F16);
        struct snug_session session;
        struct snug_error error;
        snug_session_init(&session, model, &options, snug_allocator_heap());
        assert_ok(snug_session_begin(&session, 20, TILES, &error));
        assert_ok(snug_session_see(&session, floats, TILES, &error));
        memcpy(wanted, snug_executor_operand(&session.executor, session.handles.features),
               row_bytes);
        assert_ok(snug_session_begin(&session, 20, TILES, &error));
        memset(snug_executor_operand(&session.executor, session.handles.features), 0, row_bytes);
        assert_ok(see_bytes(&session, bytes, 1, &error));
        assert_ok(see_bytes(&session, bytes + elements, TILES - 1, &error));
        assert_memory_equal(snug_executor_operand(&session.executor, session.handles.features),
                            wanted, row_bytes);
        assert_int_equal(see_bytes(&session, bytes, 1, &error), SNUG_STATUS_SHAPE);
        snug_session_free(&session);
    }
    free(wanted);
    free(floats);
    free(bytes);
    snug_model_free(model);
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

/* ---- several documents ---- */

enum { DOCUMENTS = 4 };

/* What each of some documents gives alone, and what it gave in company so far. */
struct company {
    struct snug_model *model;
    struct document documents[DOCUMENTS];
    float *alone[DOCUMENTS]; /* [NEW_TOKENS][vocabulary] */
    int32_t ids[DOCUMENTS][NEW_TOKENS];
    int written[DOCUMENTS];
    const char *what;
};

static struct company make_company(const char *name, enum snug_dtype kv)
{
    static const int64_t tiles[DOCUMENTS] = {1, 0, 2, 1}, counts[DOCUMENTS] = {60, 13, 150, 31};
    struct company c = {.model = load(name, snug_allocator_heap())};
    struct snug_session_options options = options_of(NULL, NULL, 64, 1, kv);
    for (int i = 0; i < DOCUMENTS; i++) {
        c.documents[i] = make_seeded_document(c.model, tiles[i], counts[i], 11 + 100 * (uint32_t)i);
        c.alone[i] = malloc(NEW_TOKENS * (size_t)c.model->config.text.vocabulary * sizeof(float));
        run(c.model, &c.documents[i], &options, c.alone[i], c.ids[i]);
    }
    return c;
}

static void free_company(struct company *c)
{
    for (int i = 0; i < DOCUMENTS; i++) {
        free(c->documents[i].pixels);
        free(c->alone[i]);
    }
    snug_model_free(c->model);
}

static void check_row(struct company *c, int i, const float *logits)
{
    size_t vocabulary = (size_t)c->model->config.text.vocabulary;
    if (memcmp(c->alone[i] + (size_t)c->written[i] * vocabulary, logits,
               vocabulary * sizeof(float)))
        fail_msg("%s: %s: document %d gives other bytes at token %d than alone", c->model->name,
                 c->what, i, c->written[i]);
    c->written[i]++;
}

/* Starts document i in a slot. */
static void join(struct company *c, struct snug_session *session, int i, int slot)
{
    struct snug_error error;
    const float *logits;
    const struct document *d = &c->documents[i];
    assert_ok(snug_session_begin_slot(session, slot, d->count + NEW_TOKENS, d->tiles, &error));
    if (d->tiles)
        assert_ok(snug_session_see(session, d->pixels, d->tiles, &error));
    assert_ok(snug_session_prompt(session, d->ids, d->count, &logits, &error));
    c->written[i] = 0;
    check_row(c, i, logits);
}

/* One step of those that are in a slot and not done: in the order of slots, or against it. */
static int64_t step_all(struct company *c, struct snug_session *session, const int in_slot[],
                        bool backwards)
{
    struct snug_error error;
    struct snug_session_token tokens[DOCUMENTS];
    int who[DOCUMENTS];
    int64_t count = 0, slots = session->options.slots;
    const float *logits;
    for (int64_t s = 0; s < slots; s++) {
        int slot = (int)(backwards ? slots - 1 - s : s), i = in_slot[slot];
        if (i < 0 || c->written[i] == NEW_TOKENS)
            continue;
        who[count] = i;
        tokens[count++] =
            (struct snug_session_token){.slot = slot, .id = c->ids[i][c->written[i] - 1]};
    }
    if (!count)
        return 0;
    assert_ok(snug_session_step_together(session, tokens, count, &logits, &error));
    for (int64_t r = 0; r < count; r++) {
        assert_false(tokens[r].non_finite);
        check_row(c, who[r], logits + r * c->model->config.text.vocabulary);
    }
    return count;
}

/* The documents in the order given, `slots` at once: each new one joins when a slot is free, one
 * step after the other has joined. The largest is begun first and ended, so that there is room for
 * all. */
static void run_together(struct company *c, const struct snug_session_options *options,
                         const int order[DOCUMENTS])
{
    struct snug_session session;
    struct snug_error error;
    int in_slot[DOCUMENTS] = {-1, -1, -1, -1}, next = 0;
    snug_session_init(&session, c->model, options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, 150 + NEW_TOKENS, 2, &error));
    snug_session_end(&session, 0);
    for (int round = 0;; round++) {
        for (int s = 0; s < options->slots; s++)
            if (in_slot[s] >= 0 && c->written[in_slot[s]] == NEW_TOKENS) {
                snug_session_end(&session, s);
                in_slot[s] = -1;
            }
        int slot = snug_session_free_slot(&session);
        if (slot >= 0 && next < DOCUMENTS) {
            join(c, &session, order[next], slot);
            in_slot[slot] = order[next++];
        }
        if (!step_all(c, &session, in_slot, round % 2) && next == DOCUMENTS)
            break;
    }
    for (int i = 0; i < DOCUMENTS; i++)
        assert_int_equal(c->written[i], NEW_TOKENS);
    snug_session_free(&session);
}

/* Batches of 1 to 4, in several orders of joining: every document's logits are the bytes it has
 * alone, whoever is beside it, on any number of threads and with any chunk. */
static void check_together(const char *name, enum snug_dtype kv)
{
    static const int orders[][DOCUMENTS] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
    struct company c = make_company(name, kv);
    for (int threads = 1; threads <= 3; threads++) {
        struct snug_pool *pool;
        struct snug_error error;
        assert_ok(snug_pool_create(threads, snug_allocator_heap(), &pool, &error));
        for (int slots = 1; slots <= DOCUMENTS; slots++)
            for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
                struct snug_session_options options =
                    options_of(NULL, pool, slots == 2 ? 7 : 512, 1 + slots % 2, kv);
                char what[64];
                options.slots = slots;
                snprintf(what, sizeof what, "%d at once, order %zu, %d threads", slots, o, threads);
                c.what = what;
                run_together(&c, &options, orders[o]);
            }
        snug_pool_destroy(pool);
    }
    struct snug_session_options options = options_of(snug_ops_ref(), NULL, 64, 1, kv);
    options.slots = 3;
    c.what = "ref";
    run_together(&c, &options, orders[2]);
    free_company(&c);
}

static void test_together(void **state)
{
    (void)state;
    static const char *const names[3] = {"hf-a", "hf-b", "orig"};
    for (int i = 0; i < 3; i++) {
        check_together(names[i], SNUG_DTYPE_F16);
        check_together(names[i], SNUG_DTYPE_F32);
    }
}

/* The region grows only while nobody is in it, and the slots of others stay as they are. */
static void test_grows_between(void **state)
{
    (void)state;
    struct company c = make_company("hf-a", SNUG_DTYPE_F16);
    struct snug_session_options options = options_of(NULL, NULL, 512, 1, SNUG_DTYPE_F16);
    struct snug_session session;
    struct snug_error error;
    int in_slot[DOCUMENTS] = {1, -1, -1, -1};
    options.slots = 2;
    c.what = "growth";
    snug_session_init(&session, c.model, &options, snug_allocator_heap());
    assert_false(snug_session_fits(&session, 13 + NEW_TOKENS, 0));
    join(&c, &session, 1, 0);
    assert_true(snug_session_fits(&session, 256, 0));
    assert_false(snug_session_fits(&session, 257, 0));
    assert_false(snug_session_fits(&session, 156, 2));
    assert_int_equal(snug_session_begin_slot(&session, 1, 156, 2, &error), SNUG_STATUS_SHAPE);
    assert_non_null(strstr(error.message, "other documents are running"));
    assert_int_equal(snug_session_free_slot(&session), 1);
    while (step_all(&c, &session, in_slot, false))
        ;
    snug_session_end(&session, 0);
    join(&c, &session, 2, 1);
    assert_int_equal(session.capacity, 256);
    assert_int_equal(session.tiles, 2);
    in_slot[0] = 1, in_slot[1] = 2;
    join(&c, &session, 1, 0); /* smaller: it fits beside */
    while (step_all(&c, &session, in_slot, true))
        ;
    assert_int_equal(c.written[1] + c.written[2], 2 * NEW_TOKENS);
    snug_session_free(&session);
    free_company(&c);
}

/* A region that is refused names the option that helps. */
static void test_refused_region(void **state)
{
    (void)state;
    struct snug_model *model = load("hf-a", snug_allocator_heap());
    struct snug_device device, *real = (struct snug_device *)(uintptr_t)model->device;
    struct snug_session_options options = options_of(NULL, NULL, 512, 1, SNUG_DTYPE_F16);
    for (int64_t slots = 1; slots <= 3; slots += 2) {
        struct snug_counting_allocator counting;
        struct snug_session session;
        struct snug_error error = {0};
        options.slots = slots;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 1);
        snug_device_counted(&device, &counting);
        model->device = &device;
        snug_session_init(&session, model, &options, snug_allocator_heap());
        assert_int_equal(snug_session_begin(&session, 100, 1, &error), SNUG_STATUS_MEMORY);
        assert_int_equal(strstr(error.message, "--parallel") != NULL, slots > 1);
        assert_int_equal(snug_session_free_slot(&session), 0);
        assert_ok(snug_session_begin(&session, 100, 1, &error)); /* only the first was refused */
        snug_session_free(&session);
        model->device = real;
    }
    snug_model_free(model);
}

/* Answers of several documents, one of which goes wrong on its way: it is blamed, the others write
 * what they write alone. */
static void test_blames_the_right_one(void **state)
{
    (void)state;
    struct company c = make_company("hf-a", SNUG_DTYPE_F32);
    static const int who[3] = {0, 3, 1};
    int64_t vocabulary = c.model->config.text.vocabulary, hidden = c.model->config.text.hidden;
    /* A row of the embedding that only the second document comes to, after some steps. */
    int32_t poisoned = -1;
    int at = 0;
    for (int t = 0; t + 1 < NEW_TOKENS && poisoned < 0; t++) {
        bool shared = false;
        for (int i = 0; i < 3; i++)
            for (int u = 0; u < NEW_TOKENS; u++)
                shared |= c.ids[who[i]][u] == c.ids[3][t] && (i != 1 || u < t);
        for (int i = 0; i < 3; i++)
            for (int64_t k = 0; k < c.documents[who[i]].count; k++)
                shared |= c.documents[who[i]].ids[k] == c.ids[3][t];
        if (!shared && t > 0) {
            poisoned = c.ids[3][t];
            at = t;
        }
    }
    assert_true(poisoned >= 0 && poisoned < vocabulary);
    for (size_t w = 0; w < c.model->weight_count; w++) {
        struct snug_weight *weight = &c.model->weights[w];
        if (strcmp(weight->name, "text.embed.weight"))
            continue;
        unsigned char *table = c.model->region.base + weight->offset;
        size_t size = snug_dtype_size(weight->dtype);
        for (int64_t k = 0; k < hidden; k++)
            memset(table + (size_t)snug_panel_index(poisoned, k, hidden) * size, 0xff, size);
    }
    struct snug_session_options options = options_of(NULL, NULL, 512, 1, SNUG_DTYPE_F32);
    struct snug_generation_options how = {.max_new_tokens = NEW_TOKENS, .sampling = {.top_p = 1}};
    struct snug_session session;
    struct snug_answering answers[3], *going[3];
    struct snug_generation out[3];
    int32_t ids[3][NEW_TOKENS];
    double log_probabilities[3][NEW_TOKENS];
    struct snug_error error;
    options.slots = 3;
    snug_session_init(&session, c.model, &options, snug_allocator_heap());
    for (int i = 0; i < 3; i++) {
        const struct document *d = &c.documents[who[i]];
        out[i] = (struct snug_generation){.ids = ids[i], .log_probabilities = log_probabilities[i]};
        assert_ok(snug_session_begin_slot(&session, i, d->count + NEW_TOKENS, d->tiles, &error));
        if (d->tiles)
            assert_ok(snug_session_see(&session, d->pixels, d->tiles, &error));
        assert_ok(
            snug_answering_start(&answers[i], &session, d->ids, d->count, &how, &out[i], &error));
    }
    for (int64_t count = 3; count > 0;) {
        count = 0;
        for (int i = 0; i < 3; i++)
            if (!answers[i].over)
                going[count++] = &answers[i];
        if (count)
            assert_ok(snug_answering_advance(&session, going, count, &error));
    }
    for (int i = 0; i < 3; i++) {
        bool bad = i == 1;
        assert_int_equal(answers[i].status, bad ? SNUG_STATUS_NON_FINITE : SNUG_STATUS_OK);
        assert_int_equal(out[i].count, bad ? at + 1 : NEW_TOKENS);
        assert_memory_equal(ids[i], c.ids[who[i]], (size_t)out[i].count * sizeof(int32_t));
        if (bad && !strstr(answers[i].error.message, "op embed (text.inputs_embeds, row 0)"))
            fail_msg("blamed: %s", answers[i].error.message);
        snug_answering_free(&answers[i]);
    }
    snug_session_free(&session);
    free_company(&c);
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

/* Nor do several at once, nor a document that joins them. */
static void test_together_allocates_nothing(void **state)
{
    (void)state;
    struct company c = make_company("hf-a", SNUG_DTYPE_F16);
    struct snug_session_options options = options_of(NULL, NULL, 64, 1, SNUG_DTYPE_F16);
    struct snug_counting_allocator counting;
    struct snug_session session;
    int in_slot[DOCUMENTS] = {2, 0, -1, -1};
    options.slots = 3;
    c.what = "counted";
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_session_init(&session, c.model, &options, &counting.allocator);
    join(&c, &session, 2, 0);
    uint64_t before = counting.requests;
    join(&c, &session, 0, 1);
    step_all(&c, &session, in_slot, false);
    join(&c, &session, 1, 2);
    in_slot[2] = 1;
    while (step_all(&c, &session, in_slot, true))
        ;
    assert_int_equal(counting.requests, before);
    snug_session_free(&session);
    assert_int_equal(counting.live, 0);
    free_company(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_identity),
                                       cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_without_cache),
                                       cmocka_unit_test(test_allocates_nothing),
                                       cmocka_unit_test(test_blame),
                                       cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_together),
                                       cmocka_unit_test(test_grows_between),
                                       cmocka_unit_test(test_refused_region),
                                       cmocka_unit_test(test_together_allocates_nothing),
                                       cmocka_unit_test(test_blames_the_right_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
