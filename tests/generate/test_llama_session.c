/* Llama-3.2-Vision's documents, many ways to run them: the same bytes of logits whatever must not
 * matter; what is left out for tiles that a picture does not use; several pictures, several
 * documents; wrong uses, damage and refused memory. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "llama_documents.h"

#include "generate/generate.h"
#include "models/converted.h"

#include <ftw.h>
#include <math.h>
#include <unistd.h>

static struct snug_session_options options_of(const struct snug_ops *ops, struct snug_pool *pool,
                                              int64_t chunk, enum snug_dtype kv)
{
    struct snug_session_options options = snug_session_options_default();
    options.ops = ops;
    options.pool = pool;
    options.prefill_chunk = chunk;
    options.kv_dtype = kv;
    options.pictures = 3;
    return options;
}

/* Under a sanitizer: fewer of what would be more of the same. */
static bool is_slow(void)
{
    return getenv("SNUG_SLOW") != NULL;
}

/* ---- what must not matter ---- */

static void same(const struct snug_model *model, const struct document *d,
                 const struct snug_session_options *options, const float *expected,
                 const char *what, int64_t number)
{
    size_t bytes = logits_bytes(model);
    float *have = malloc(bytes);
    run_document(model, d, options, have);
    if (memcmp(have, expected, bytes))
        fail_msg("%s %s: %s %lld gives other bytes", model->name,
                 snug_quant_name(model->options.quantize), what, (long long)number);
    free(have);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The folder converted and loaded gives the same bytes, and saves as much. */
static void check_converted(const struct world *w, const struct document *d, enum snug_dtype kv,
                            const float *expected)
{
    char out[] = "/tmp/snug-test-XXXXXX";
    struct snug_error error;
    struct snug_folder in = {.path = w->path, .allocator = snug_allocator_heap()};
    struct snug_folder folder = {.path = out, .allocator = snug_allocator_heap()};
    struct snug_model *model = NULL;
    uint64_t bytes;
    assert_non_null(mkdtemp(out));
    assert_ok(snug_convert(&in, out, &w->model->options, NULL, NULL, NULL, NULL,
                           snug_allocator_heap(), &bytes, &error));
    assert_ok(snug_model_load(&folder, snug_device_cpu(), NULL, NULL, snug_allocator_heap(), &model,
                              &error));
    assert_true(model->converted);
    assert_null(model->region.base);
    assert_int_equal(model->options.quantize, w->model->options.quantize);
    assert_true(model->alike_ratios == w->model->alike_ratios);
    model->options.outlier_threshold = w->model->options.outlier_threshold;
    struct snug_session_options options = options_of(NULL, NULL, 64, kv);
    same(model, d, &options, expected, "converted", 0);
    snug_model_free(model);
    nftw(out, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Against ops/ref on one thread with the whole prompt at once. */
static void check_identity(const char *name, enum snug_quant quant, enum snug_dtype kv)
{
    static const int64_t chunks[] = {1, 7, 64, 512};
    static const int threads[] = {2, 3, 5};
    struct world w = world_open(name, quant);
    struct document d = three_pictures(&w);
    float *expected = malloc(logits_bytes(w.model));
    struct snug_session_options options = options_of(snug_ops_ref(), NULL, d.count, kv);
    run_document(w.model, &d, &options, expected);
    struct snug_backend backends[8];
    size_t count = snug_ops_list(backends);
    for (size_t i = 0; i < count; i++)
        if (backends[i].runnable) {
            options = options_of(backends[i].ops, NULL, d.count, kv);
            same(w.model, &d, &options, expected, backends[i].ops->name, 0);
        }
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        options = options_of(NULL, NULL, chunks[i], kv);
        same(w.model, &d, &options, expected, "prefill chunk", chunks[i]);
    }
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        struct snug_pool *pool;
        struct snug_error error;
        assert_ok(snug_pool_create(threads[i], snug_allocator_heap(), &pool, &error));
        options = options_of(NULL, pool, 64, kv);
        same(w.model, &d, &options, expected, "threads", threads[i]);
        snug_pool_destroy(pool);
    }
    check_converted(&w, &d, kv, expected);
    free(expected);
    world_close(&w);
}

static void test_identity(void **state)
{
    (void)state;
    for (int quant = SNUG_QUANT_NONE; quant <= SNUG_QUANT_Q4; quant++)
        for (int i = 0; i < 2; i++) {
            check_identity(i ? "tiny-b" : "tiny-a", (enum snug_quant)quant, SNUG_DTYPE_F16);
            if (!quant || !is_slow())
                check_identity(i ? "tiny-b" : "tiny-a", (enum snug_quant)quant, SNUG_DTYPE_F32);
        }
}

/* ---- tiles that are not used ---- */

/* What a run saw and left behind. */
struct looked {
    int64_t tower_rows; /* of the first layer */
    float *logits;
    float *caches; /* keys, then values, of every cross-attention layer's rows that are used */
    size_t cache_bytes;
};

static bool count_rows(void *context, const struct snug_step *step, const char *name,
                       const float *data, int64_t rows, int64_t cols)
{
    int64_t *tower_rows = context;
    (void)step;
    (void)data;
    (void)cols;
    if (!strcmp(name, "vision.local.0"))
        *tower_rows += rows;
    return true;
}

/* The rows [0, used) of each head of the cross-attention layers' caches. */
static float *used_caches(const struct snug_session *session, bool every_tile, size_t *bytes)
{
    const struct snug_model_config *c = &session->model->config;
    int64_t used = session->slots[0].cross_rows, d = c->text.head_dim;
    int64_t rows = every_tile ? session->tiles * c->rows_per_tile : used;
    size_t count = (size_t)(2 * c->text.cross_layer_count * c->text.kv_heads * used * d);
    float *all = malloc((size_t)(c->text.kv_heads * rows * d) * sizeof *all);
    float *out = malloc(count * sizeof *out), *to = out;
    for (int layer = 0; layer < c->text.layers; layer++)
        for (int values = 0; c->text.cross_layer[layer] && values < 2; values++) {
            snug_session_cache(session, layer, values, all);
            for (int64_t head = 0; head < c->text.kv_heads; head++, to += used * d)
                memcpy(to, all + head * rows * d, (size_t)(used * d) * sizeof *to);
        }
    free(all);
    *bytes = count * sizeof *out;
    return out;
}

static struct looked look(const struct world *w, const struct document *d, bool every_tile)
{
    struct looked out = {.logits = malloc(logits_bytes(w->model))};
    struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
    struct snug_session session;
    struct snug_error error;
    options.every_tile = every_tile;
    options.trace = count_rows;
    options.trace_context = &out.tower_rows;
    snug_session_init(&session, w->model, &options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, d->count + STEPS, MOST_TILES * d->page_count, &error));
    answer_begun(&session, d, out.logits);
    out.caches = used_caches(&session, every_tile, &out.cache_bytes);
    snug_session_free(&session);
    return out;
}

static void compare_looks(const struct world *w, const struct document *d, int64_t tiles_computed)
{
    struct looked all = look(w, d, true), some = look(w, d, false);
    int64_t n = w->model->config.rows_per_tile;
    /* every tile, and a row of padding for each slot */
    assert_int_equal(all.tower_rows, d->page_count * MOST_TILES * (n + 1));
    assert_int_equal(some.tower_rows, tiles_computed * n + d->page_count * MOST_TILES);
    assert_memory_equal(all.logits, some.logits, logits_bytes(w->model));
    assert_int_equal(all.cache_bytes, some.cache_bytes);
    assert_memory_equal(all.caches, some.caches, all.cache_bytes);
    free(all.logits);
    free(all.caches);
    free(some.logits);
    free(some.caches);
}

/* A picture's unused slots are computed once where the tables tell them not apart (tiny-a, as the
 * published weights), and each where they do (tiny-b). Nothing else changes. */
static void test_saving(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w = world_open(i ? "tiny-b" : "tiny-a", SNUG_QUANT_NONE);
        for (int shape = 0; shape < SHAPES; shape++) {
            int64_t tiles = shapes[shape].rows * shapes[shape].columns;
            /* from three tiles on, no two slots are left that could differ */
            bool alike = i == 0 || tiles >= 3;
            int64_t computed = tiles == MOST_TILES ? tiles : alike ? tiles + 1 : MOST_TILES;
            assert_int_equal(w.model->alike_ratios >> (shape + 1) & 1u, alike);
            struct document d =
                make_document(&w, 3 + (uint32_t)shape, 20, 1, (int[]){shape}, (int[]){4});
            compare_looks(&w, &d, computed);
        }
        struct document d = three_pictures(&w);
        compare_looks(&w, &d, i ? 12 : 3 + 2 + 3);
        world_close(&w);
    }
}

/* One entry of a table that makes an unused slot's row differ is noticed. */
static void test_saving_is_exact(void **state)
{
    static const char *const tables[] = {"vision.pre_tile", "vision.post_tile",
                                         "vision.tile_position"};
    (void)state;
    for (int t = 0; t < 3; t++) {
        struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
        const struct snug_weight *weight = weight_of(w.model, tables[t]);
        int64_t width = weight->n / (9 * MOST_TILES); /* of a slot */
        float *table = (float *)(void *)(w.model->region.base + weight->offset);
        uint64_t before = w.model->alike_ratios;
        table[(2 * MOST_TILES + 3) * width + width - 1] = 1e-30f; /* id 2 is 1x2: slots 2 and 3 */
        assert_true(snug_llama_vision_alike(w.model) == (before & ~(uint64_t)4));
        world_close(&w);
    }
}

/* ---- pictures in a prompt ---- */

static struct document text_only(const struct world *w)
{
    return make_document(w, 77, 40, 0, NULL, NULL);
}

/* A prompt without pictures is read the same in a session with room for tiles, also after one with
 * pictures. */
static void test_text_only(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world w = world_open(i % 2 ? "tiny-b" : "tiny-a", SNUG_QUANT_NONE);
        struct document text = text_only(&w), pictures = three_pictures(&w);
        size_t bytes = logits_bytes(w.model);
        float *expected = malloc(bytes), *seen = malloc(bytes), *have = malloc(bytes);
        struct snug_session_options options =
            options_of(NULL, NULL, 16, i / 2 ? SNUG_DTYPE_F32 : SNUG_DTYPE_F16);
        struct snug_session session;
        struct snug_error error;
        run_document(w.model, &text, &options, expected);
        run_document(w.model, &pictures, &options, seen);
        snug_session_init(&session, w.model, &options, snug_allocator_heap());
        assert_ok(snug_session_reserve(&session, 100, 12, &error));
        for (int round = 0; round < 3; round++) {
            answer(&session, 0, &text, have);
            assert_memory_equal(have, expected, bytes);
            answer(&session, 0, &pictures, have);
            assert_memory_equal(have, seen, bytes);
        }
        snug_session_free(&session);
        free(expected);
        free(seen);
        free(have);
        world_close(&w);
    }
}

/* Text sees the pictures announced last: all of a run of adjacent ones, none of the runs before. */
static void test_who_sees(void **state)
{
    (void)state;
    struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
    const int64_t n = w.model->config.rows_per_tile;
    static const struct {
        int at[3];
        int64_t first, count; /* in tiles: what the last token sees of 2 + 1 + 2 */
    } cases[] = {{{5, 30, 31}, 2, 3}, {{5, 6, 7}, 0, 5}, {{5, 6, 9}, 3, 2}, {{0, 19, 39}, 3, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int64_t chunk = 1; chunk <= 64; chunk *= 4) {
            struct document d =
                make_document(&w, 5, 40, 3, (int[]){SHAPE_2X1, SHAPE_1X1, SHAPE_1X2}, cases[i].at);
            struct snug_session_options options = options_of(NULL, NULL, chunk, SNUG_DTYPE_F16);
            struct snug_session session;
            float *logits = malloc(logits_bytes(w.model));
            snug_session_init(&session, w.model, &options, snug_allocator_heap());
            answer(&session, 0, &d, logits);
            const struct snug_cross_view *view = &session.slots[0].view;
            assert_int_equal(view->first, cases[i].first * n);
            assert_int_equal(view->count, cases[i].count * n);
            free(logits);
            snug_session_free(&session);
        }
    world_close(&w);
}

/* ---- several documents ---- */

static struct snug_session_token next_token(const struct document *d, int slot, int step)
{
    return (struct snug_session_token){.slot = slot, .id = step_id(d, step)};
}

/* Documents begun one after the other in slots, then decoded together, in rows of any order: each
 * gives what it gives alone. One has no picture. */
static void check_together(struct world *w, struct snug_pool *pool, int64_t chunk,
                           enum snug_dtype kv, int rotation)
{
    struct document d[3] = {three_pictures(w), text_only(w),
                            make_document(w, 9, 31, 1, (int[]){SHAPE_2X2}, (int[]){20})};
    size_t vocabulary = (size_t)w->model->config.text.vocabulary;
    float *alone[3];
    const float *logits;
    struct snug_session session;
    struct snug_error error;
    struct snug_session_options options = options_of(NULL, NULL, 64, kv);
    for (int i = 0; i < 3; i++) {
        alone[i] = malloc(logits_bytes(w->model));
        run_document(w->model, &d[i], &options, alone[i]);
    }
    options = options_of(NULL, pool, chunk, kv);
    options.slots = 3;
    snug_session_init(&session, w->model, &options, snug_allocator_heap());
    assert_ok(snug_session_reserve(&session, 100, 12, &error));
    for (int k = 0; k < 3; k++) {
        int i = (k + rotation) % 3;
        assert_ok(snug_session_begin_slot(&session, i, d[i].count + STEPS, d[i].tiles, &error));
        look_at_pages(&session, &d[i]);
        assert_ok(snug_session_prompt(&session, d[i].ids, d[i].count, &logits, &error));
        assert_memory_equal(logits, alone[i], vocabulary * sizeof(float));
    }
    for (int step = 0; step + 1 < STEPS; step++) {
        struct snug_session_token tokens[3];
        for (int row = 0; row < 3; row++) {
            int i = (row + step) % 3;
            tokens[row] = next_token(&d[i], i, step);
        }
        assert_ok(snug_session_step_together(&session, tokens, 3, &logits, &error));
        for (int row = 0; row < 3; row++)
            if (memcmp(logits + (size_t)row * vocabulary,
                       alone[tokens[row].slot] + (size_t)(step + 1) * vocabulary,
                       vocabulary * sizeof(float)))
                fail_msg("%s: document %d gives other bytes at step %d than alone", w->model->name,
                         tokens[row].slot, step);
    }
    snug_session_free(&session);
    for (int i = 0; i < 3; i++)
        free(alone[i]);
}

static void test_together(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w = world_open(i ? "tiny-b" : "tiny-a", SNUG_QUANT_NONE);
        struct snug_pool *pool;
        struct snug_error error;
        assert_ok(snug_pool_create(3, snug_allocator_heap(), &pool, &error));
        for (int rotation = 0; rotation < 3; rotation++) {
            check_together(&w, NULL, 7, SNUG_DTYPE_F16, rotation);
            check_together(&w, pool, 64, SNUG_DTYPE_F32, rotation);
        }
        snug_pool_destroy(pool);
        world_close(&w);
    }
}

/* ---- one region ---- */

static int takes;
static enum snug_status counted_take(const struct snug_device *device, size_t bytes,
                                     struct snug_region *region, struct snug_error *error)
{
    (void)device;
    takes++;
    return snug_device_cpu()->take(snug_device_cpu(), bytes, region, error);
}

/* The second, the third and the hundredth document on one reserved region: nothing is taken, no
 * mark rises, the bytes stay the same. */
static void test_one_region(void **state)
{
    (void)state;
    struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
    struct document d[3] = {three_pictures(&w), text_only(&w),
                            make_document(&w, 9, 31, 1, (int[]){SHAPE_2X2}, (int[]){20})};
    struct snug_session_options options = options_of(NULL, NULL, 32, SNUG_DTYPE_F16);
    struct snug_counting_allocator counting;
    struct snug_device device = *snug_device_cpu();
    struct snug_session session;
    struct snug_error error;
    float *first[3], *have = malloc(logits_bytes(w.model));
    takes = 0;
    device.take = counted_take;
    options.device = &device;
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_session_init(&session, w.model, &options, &counting.allocator);
    assert_ok(snug_session_reserve(&session, 80, 8, &error));
    uint64_t requests = counting.requests, quiet = snug_alloc_quiet_requests(), peak = 0;
    for (int i = 0; i < 100; i++) {
        if (i < 3)
            first[i] = malloc(logits_bytes(w.model));
        answer(&session, 0, &d[i % 3], i < 3 ? first[i] : have);
        if (i >= 3)
            assert_memory_equal(have, first[i % 3], logits_bytes(w.model));
        snug_session_end(&session, 0);
        peak = i ? peak : session.stats.allocated_bytes.peak;
        assert_int_equal(session.stats.allocated_bytes.peak, peak);
        assert_int_equal(session.stats.allocated_bytes.current, 0);
    }
    assert_int_equal(takes, 1);
    assert_int_equal(session.takes, 1);
    assert_int_equal(counting.requests, requests);
    assert_int_equal(snug_alloc_quiet_requests(), quiet);
    assert_int_equal(session.stats.reserved_bytes.peak, session.peak_bytes);
    assert_true(peak <= session.peak_bytes);
    assert_int_equal(snug_session_begin(&session, 80, 9, &error), SNUG_STATUS_DOES_NOT_FIT);
    snug_session_free(&session);
    assert_int_equal(counting.live, 0);
    for (int i = 0; i < 3; i++)
        free(first[i]);
    free(have);
    world_close(&w);
}

/* On a dry device the same documents reach no further than planned, and nothing is looked at. */
static void test_dry(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int64_t slots = 1; slots <= 3; slots += 2) {
            struct world w = world_open(i ? "tiny-b" : "tiny-a", SNUG_QUANT_NONE);
            struct document d = three_pictures(&w);
            struct snug_session_options options = options_of(NULL, NULL, 32, SNUG_DTYPE_F16);
            struct snug_model *outline = NULL;
            struct snug_session session;
            struct snug_error error;
            const float *logits;
            struct snug_folder folder = {.path = w.path, .allocator = snug_allocator_heap()};
            assert_ok(snug_model_outline(&folder, NULL, snug_allocator_heap(), &outline, &error));
            options.device = snug_device_dry();
            options.slots = slots;
            snug_session_init(&session, outline, &options, snug_allocator_heap());
            assert_ok(snug_session_reserve(&session, d.count + STEPS, 12, &error));
            for (int round = 0; round < 20; round++) {
                int slot = (int)(round % slots);
                assert_ok(
                    snug_session_begin_slot(&session, slot, d.count + STEPS, d.tiles, &error));
                for (int k = 0; k < d.page_count; k++) {
                    struct snug_picture picture = d.pages[k];
                    picture.bytes = NULL;
                    assert_ok(snug_session_see_picture(&session, &picture, &error));
                }
                assert_ok(snug_session_prompt(&session, d.ids, d.count, &logits, &error));
                for (int step = 0; step < STEPS; step++)
                    assert_ok(snug_session_step(&session, 5, &logits, &error));
            }
            assert_int_equal(session.takes, 1);
            assert_true(session.dry[0].runs > 20 * 9);
            assert_true(session.dry[0].high_water <= session.peak_bytes);
            snug_session_free(&session);
            snug_model_free(outline);
            world_close(&w);
        }
}

/* ---- wrong uses ---- */

static void expect(enum snug_status have, enum snug_status want, const struct snug_error *error,
                   const char *says)
{
    if (have != want || !strstr(error->message, says))
        fail_msg("status %s, message '%s'; expected %s and '%s'", snug_status_text(have),
                 error->message, snug_status_text(want), says);
}

static void test_refuses(void **state)
{
    (void)state;
    struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
    struct document d = three_pictures(&w);
    struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
    struct snug_session session;
    struct snug_error error = {0};
    struct snug_picture picture;
    const float *logits;
    float *expected = malloc(logits_bytes(w.model)), *have = malloc(logits_bytes(w.model));
    int64_t image = w.model->config.image_token_id;
    run_document(w.model, &d, &options, expected);
    snug_session_init(&session, w.model, &options, snug_allocator_heap());
    /* pictures the model has no shape for, or too many tiles */
    static const struct {
        int64_t tiles, rows, columns;
        const char *says;
    } shapeless[] = {
        {2, 2, 2, "a picture of 2 tiles in 2 rows and 2 columns is none of the model's shapes"},
        {1, 0, 0, "a picture of 1 tiles in 0 rows and 0 columns"},
        {2, -1, -2, "in -1 rows and -2 columns"},
        {5, 1, 5, "a picture of 5 tiles in 1 rows and 5 columns"},
        {4, INT64_MAX, INT64_MAX, "none of the model's shapes"},
        {6, 2, 3, "more tiles than the document announced"},
        {-1, 1, 1, "more tiles than the document announced"},
    };
    assert_ok(snug_session_begin(&session, 100, 5, &error));
    for (size_t i = 0; i < sizeof shapeless / sizeof *shapeless; i++) {
        picture = (struct snug_picture){.tiles = shapeless[i].tiles,
                                        .rows = shapeless[i].rows,
                                        .columns = shapeless[i].columns,
                                        .bytes = d.pages[0].bytes};
        expect(snug_session_see_picture(&session, &picture, &error), SNUG_STATUS_SHAPE, &error,
               shapeless[i].says);
    }
    /* tiles that nobody put into a grid */
    expect(snug_session_see(&session, NULL, 1, &error), SNUG_STATUS_SHAPE, &error, "shapes");
    /* image tokens for more pictures than were seen, and for fewer */
    assert_ok(snug_session_see_picture(&session, &d.pages[0], &error));
    expect(snug_session_prompt(&session, d.ids, d.count, &logits, &error), SNUG_STATUS_SHAPE,
           &error, "the prompt has 3 image tokens for 1 pictures");
    assert_ok(snug_session_see_picture(&session, &d.pages[1], &error));
    assert_ok(snug_session_see_picture(&session, &d.pages[2], &error));
    expect(snug_session_prompt(&session, d.ids, 20, &logits, &error), SNUG_STATUS_SHAPE, &error,
           "the prompt has 1 image tokens for 3 pictures");
    expect(snug_session_see_picture(&session, &d.pages[1], &error), SNUG_STATUS_SHAPE, &error,
           "more tiles than the document announced");
    /* ids beyond the embedding's rows; rows beyond the vocabulary are there */
    int32_t kept = d.ids[2];
    d.ids[2] = (int32_t)w.model->config.text.embedding_rows;
    expect(snug_session_prompt(&session, d.ids, d.count, &logits, &error), SNUG_STATUS_SHAPE,
           &error, "token id 595 is outside the model's 595 rows");
    d.ids[2] = kept;
    /* after all of that the document is read as if nothing had happened */
    assert_ok(snug_session_prompt(&session, d.ids, d.count, &logits, &error));
    assert_memory_equal(logits, expected, (size_t)w.model->config.text.vocabulary * sizeof(float));
    /* a fourth picture of a session for three */
    assert_ok(snug_session_begin(&session, 100, 8, &error));
    for (int k = 0; k < 3; k++)
        assert_ok(snug_session_see_picture(&session, &d.pages[1], &error));
    expect(snug_session_see_picture(&session, &d.pages[1], &error), SNUG_STATUS_LIMIT, &error,
           "more than 3 pictures in a document");
    answer(&session, 0, &d, have);
    assert_memory_equal(have, expected, logits_bytes(w.model));
    /* the region has room, the document announced none */
    assert_ok(snug_session_begin(&session, 20, 0, &error));
    expect(snug_session_see_picture(&session, &d.pages[1], &error), SNUG_STATUS_SHAPE, &error,
           "more tiles than the document announced");
    snug_session_free(&session);
    /* an image token where there are no pictures, and a picture where no tile was announced */
    snug_session_init(&session, w.model, &options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, 100, 0, &error));
    expect(snug_session_prompt(&session, (int32_t[]){1, (int32_t)image}, 2, &logits, &error),
           SNUG_STATUS_SHAPE, &error, "1 image tokens for 0 pictures");
    expect(snug_session_see_picture(&session, &d.pages[1], &error), SNUG_STATUS_SHAPE, &error,
           "more tiles than the document announced");
    snug_session_free(&session);
    /* the default is one picture */
    options.pictures = snug_session_options_default().pictures;
    snug_session_init(&session, w.model, &options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, 100, 8, &error));
    assert_ok(snug_session_see_picture(&session, &d.pages[1], &error));
    expect(snug_session_see_picture(&session, &d.pages[1], &error), SNUG_STATUS_LIMIT, &error,
           "more than 1 pictures in a document");
    snug_session_free(&session);
    free(expected);
    free(have);
    world_close(&w);
}

/* ---- interrupted ---- */

static bool countdown(void *context)
{
    int64_t *left = context;
    return --*left != 0;
}

/* Ended at any of its steps, a session can be used again and gives the same bytes. */
static void test_interrupted(void **state)
{
    (void)state;
    struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
    struct document d = three_pictures(&w);
    size_t bytes = logits_bytes(w.model);
    float *expected = malloc(bytes), *have = malloc(bytes);
    int64_t left = 0, n = 1, ended = 0;
    struct snug_session_options options = options_of(NULL, NULL, 32, SNUG_DTYPE_F16);
    struct snug_session session;
    run_document(w.model, &d, &options, expected);
    options.goes_on = countdown;
    options.goes_on_context = &left;
    snug_session_init(&session, w.model, &options, snug_allocator_heap());
    for (;; n += is_slow() ? 61 : 13, ended++) {
        struct snug_error error = {0};
        left = n;
        enum snug_status status = try_answer(&session, 0, &d, have, &error);
        if (left > 0) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_INTERRUPTED);
        assert_true(error.message[0]);
        if (ended % 8 && !is_slow())
            continue;
        left = INT64_MAX;
        answer(&session, 0, &d, have);
        assert_memory_equal(have, expected, bytes);
    }
    assert_true(ended > 4);
    assert_memory_equal(have, expected, bytes);
    snug_session_free(&session);
    free(expected);
    free(have);
    world_close(&w);
}

/* ---- damage ---- */

static void poison(struct snug_model *model, const char *name, int64_t at, float value)
{
    const struct snug_weight *weight = weight_of(model, name);
    assert_int_equal(weight->dtype, SNUG_DTYPE_F32);
    ((float *)(void *)(model->region.base + weight->offset))[at] = value;
}

/* A NaN in a weight is found and named, wherever it sits. */
static void test_blame(void **state)
{
    static const struct {
        const char *weight;
        int64_t at;
        float value;
        enum snug_dtype kv;
        const char *says;
    } cases[] = {
        {"vision.patch.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (vision.patch"},
        {"vision.cls", 3, INFINITY, SNUG_DTYPE_F16, "op vision_embed (vision.tiles"},
        {"vision.pre_tile", (5 * 4) * 40 + 7, NAN, SNUG_DTYPE_F16, "op add_rows (vision.pre_tile"},
        {"vision.position", 11, NAN, SNUG_DTYPE_F16, "op add_rows (vision.tiles"},
        {"vision.position_gate", 0, NAN, SNUG_DTYPE_F16, "op add_rows (vision.tiles"},
        {"vision.ln_pre.weight", 1, NAN, SNUG_DTYPE_F16, "op layer_norm (vision.ln_pre"},
        {"vision.local.2.fc1.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (vision.local.2.fc1"},
        {"vision.ln_post.bias", 2, NAN, SNUG_DTYPE_F16, "op layer_norm (vision.ln_post"},
        {"vision.global.1.attention_gate", 0, NAN, SNUG_DTYPE_F16,
         "op residual (vision.global.1.attended,"},
        {"vision.global.1.mlp_gate", 0, NAN, SNUG_DTYPE_F16, "op residual (vision.global.1,"},
        {"projector.linear.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (projector.linear"},
        {"projector.linear.bias", 5, NAN, SNUG_DTYPE_F16, "op linear (projector.linear"},
        {"text.layer.1.k.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (text.layer.1.k"},
        {"text.layer.4.v.weight", 5, NAN, SNUG_DTYPE_F32, "op linear (text.layer.4.v"},
        {"text.layer.1.k_norm.weight", 5, NAN, SNUG_DTYPE_F16, "op rms_norm (text.layer.1.k"},
        {"text.layer.1.k_norm.weight", 5, 1e30f, SNUG_DTYPE_F16, "op kv_store (text.layer.1.k"},
        {"text.layer.1.q.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (text.layer.1.q"},
        {"text.layer.4.q_norm.weight", 5, NAN, SNUG_DTYPE_F32, "op rms_norm (text.layer.4.q"},
        {"text.layer.4.o.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (text.layer.4.attention"},
        {"text.layer.4.attention_gate", 0, NAN, SNUG_DTYPE_F16,
         "op residual (text.layer.4.attended,"},
        {"text.layer.4.mlp_gate", 0, NAN, SNUG_DTYPE_F16, "op residual (text.layer.4,"},
        {"text.layer.2.k.weight", 5, NAN, SNUG_DTYPE_F16, "op linear (text.layer.2.k"},
    };
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        const size_t c = i / 2;
        struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
        struct document d = three_pictures(&w);
        struct snug_session_options options = options_of(NULL, NULL, i % 2 ? 512 : 16, cases[c].kv);
        struct snug_session session;
        struct snug_error error = {0};
        float *logits = malloc(logits_bytes(w.model));
        poison(w.model, cases[c].weight, cases[c].at, cases[c].value);
        snug_session_init(&session, w.model, &options, snug_allocator_heap());
        enum snug_status status = try_answer(&session, 0, &d, logits, &error);
        if (status != SNUG_STATUS_NON_FINITE || !strstr(error.message, cases[c].says))
            fail_msg("%s: status %s, message '%s', expected '%s'", cases[c].weight,
                     snug_status_text(status), error.message, cases[c].says);
        snug_session_free(&session);
        free(logits);
        world_close(&w);
    }
}

/* Behind the last layer no key tells: the logits do, and the layer is named. */
static void test_blames_the_last_layer(void **state)
{
    static const char *const cases[][2] = {
        {"text.layer.6.attention_gate", "op residual (text.layer.6.attended,"},
        {"text.layer.6.mlp_gate", "op residual (text.layer.6,"},
        {"text.layer.6.q_norm.weight", "op rms_norm (text.layer.6.q"},
        {"text.norm.weight", "op rms_norm (text.norm"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w = world_open("tiny-b", SNUG_QUANT_NONE);
        struct document d = three_pictures(&w);
        struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
        struct snug_generation_options how = {.max_new_tokens = 3, .sampling = {.top_p = 1}};
        int32_t ids[3];
        double log_probabilities[3];
        struct snug_generation out = {.ids = ids, .log_probabilities = log_probabilities};
        struct snug_session session;
        struct snug_error error = {0};
        poison(w.model, cases[i][0], 0, NAN);
        snug_session_init(&session, w.model, &options, snug_allocator_heap());
        assert_ok(snug_session_begin(&session, d.count + 3, d.tiles, &error));
        look_at_pages(&session, &d);
        expect(snug_generate(&session, d.ids, d.count, &how, &out, &error), SNUG_STATUS_NON_FINITE,
               &error, cases[i][1]);
        snug_session_free(&session);
        world_close(&w);
    }
}

/* What is wrong with cross-attention alone concerns no document without pictures: not alone, and
 * not beside one that has some. */
static void test_blames_the_right_one(void **state)
{
    static const char *const weights[] = {"text.layer.1.q.weight", "text.layer.1.o.weight",
                                          "text.layer.1.attention_gate", "text.layer.4.up.weight"};
    (void)state;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        struct world w = world_open("tiny-a", SNUG_QUANT_NONE);
        struct document text = text_only(&w), pictures = three_pictures(&w);
        size_t vocabulary = (size_t)w.model->config.text.vocabulary;
        struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
        struct snug_session session;
        struct snug_error error = {0};
        const float *logits;
        float *alone = malloc(logits_bytes(w.model)), *have = malloc(logits_bytes(w.model));
        run_document(w.model, &text, &options, alone);
        options.slots = 2;
        snug_session_init(&session, w.model, &options, snug_allocator_heap());
        assert_ok(snug_session_reserve(&session, 100, 8, &error));
        answer(&session, 1, &pictures, have);
        assert_ok(snug_session_begin_slot(&session, 0, text.count + STEPS, 0, &error));
        assert_ok(snug_session_prompt(&session, text.ids, text.count, &logits, &error));
        poison(w.model, weights[i], 0, NAN);
        for (int step = 0; step + 1 < STEPS; step++) {
            struct snug_session_token tokens[2] = {next_token(&pictures, 1, step),
                                                   next_token(&text, 0, step)};
            assert_ok(snug_session_step_together(&session, tokens, step ? 1 : 2, &logits, &error));
            if (step) /* the rest alone, out of the same cache */
                break;
            assert_true(tokens[0].non_finite);
            assert_false(tokens[1].non_finite);
            assert_memory_equal(logits + vocabulary, alone + vocabulary,
                                vocabulary * sizeof(float));
            assert_int_equal(snug_session_blame(&session, 1, &error), SNUG_STATUS_NON_FINITE);
            if (!strstr(error.message,
                        strstr(weights[i], "layer.1") ? "text.layer.1" : "text.layer.4"))
                fail_msg("%s: blamed: %s", weights[i], error.message);
        }
        snug_session_end(&session, 1);
        answer(&session, 0, &text, have);
        assert_memory_equal(have, alone, logits_bytes(w.model));
        snug_session_free(&session);
        free(alone);
        free(have);
        world_close(&w);
    }
}

/* ---- refused memory ---- */

/* Nothing is given any more from the n-th request on: what is built goes on being built without. */
static uint64_t requests_left;
static void *last_allocate(void *context, size_t bytes)
{
    (void)context;
    return requests_left && requests_left-- ? snug_alloc(snug_allocator_heap(), bytes) : NULL;
}
static void *last_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    if (!requests_left || !requests_left--)
        return NULL;
    return snug_realloc_array(snug_allocator_heap(), memory, 1, bytes);
}
static void last_release(void *context, void *memory)
{
    (void)context;
    snug_free(snug_allocator_heap(), memory);
}

static void test_exhausted_memory(void **state)
{
    static const struct snug_allocator allocator = {last_allocate, last_resize, last_release, NULL};
    (void)state;
    struct world w = world_open("tiny-b", SNUG_QUANT_Q8);
    struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
    enum snug_status status = SNUG_STATUS_MEMORY;
    for (uint64_t n = 0; status; n++) {
        struct snug_session session;
        struct snug_error error = {0};
        requests_left = n;
        snug_session_init(&session, w.model, &options, &allocator);
        status = snug_session_plan(&session, 100, 5, &error);
        if (status && (status != SNUG_STATUS_MEMORY || !error.message[0]))
            fail_msg("nothing from request %llu on: status %s, message '%s'", (unsigned long long)n,
                     snug_status_text(status), error.message);
        snug_session_free(&session);
        assert_true(!status || n < 10000);
    }
    world_close(&w);
}

/* Every allocation of a document refused in turn: a clear error, nothing left behind, and the same
 * session reads the document afterwards. */
static void test_refused_memory(void **state)
{
    (void)state;
    struct world w = world_open("tiny-b", SNUG_QUANT_NONE);
    struct document d = three_pictures(&w);
    size_t bytes = logits_bytes(w.model);
    float *expected = malloc(bytes), *have = malloc(bytes);
    struct snug_session_options options = options_of(NULL, NULL, 512, SNUG_DTYPE_F16);
    run_document(w.model, &d, &options, expected);
    for (uint64_t n = 1;; n++) {
        struct snug_counting_allocator counting;
        struct snug_device device;
        struct snug_session session;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        snug_device_counted(&device, &counting);
        options.device = &device;
        snug_session_init(&session, w.model, &options, &counting.allocator);
        enum snug_status status = try_answer(&session, 0, &d, have, &error);
        bool failed = counting.failed;
        if (failed) {
            if (status != SNUG_STATUS_MEMORY || !error.message[0])
                fail_msg("allocation %llu refused: status %s, message '%s'", (unsigned long long)n,
                         snug_status_text(status), error.message);
            answer(&session, 0, &d, have); /* only that one was refused */
        } else
            assert_int_equal(status, SNUG_STATUS_OK);
        assert_memory_equal(have, expected, bytes);
        snug_session_free(&session);
        assert_int_equal(counting.live, 0);
        if (!failed) {
            assert_true(n > 10);
            break;
        }
    }
    free(expected);
    free(have);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_saving),
        cmocka_unit_test(test_saving_is_exact),
        cmocka_unit_test(test_text_only),
        cmocka_unit_test(test_who_sees),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_one_region),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_blame),
        cmocka_unit_test(test_blames_the_right_one),
        cmocka_unit_test(test_blames_the_last_layer),
        cmocka_unit_test(test_exhausted_memory),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
