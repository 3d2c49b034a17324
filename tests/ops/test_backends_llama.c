/* Every backend against the reference, as test_backends.c does, for what Llama-3.2-Vision needs
 * beside the common ops: gates and masks, table rows, keys stored from repeated rows, and attention
 * to a range of keys of each sequence. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "backends_run.h"

static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
static const float gates[] = {0.5f, -1.25f, 0.0f, -0.0f, 30.0f, 1e-30f, INFINITY, NAN};

/* ---- gated sums ---- */

static void test_residual_gate(void **state)
{
    static const int64_t sizes[][2] = {{0, 3},  {1, 1},     {3, 7},    {5, 16},
                                       {2, 33}, {70, 1024}, {3, 9001}, {1030, 20}};
    int32_t mask[1030];

    (void)state;
    for (int r = 0; r < 1030; r++)
        mask[r] = (int32_t)(next_random() % 3) - 1;
    for (size_t i = 0; i < COUNT(sizes) * 12; i++) {
        int64_t rows = sizes[i / 12][0], cols = sizes[i / 12][1];
        size_t kind = i % 4; /* a gate; a gate, g or neither with a mask */
        enum values values = i % 12 / 4 == 0 ? PLAIN : i % 12 / 4 == 1 ? FINITE : SPECIAL;
        struct floats y = random_floats(rows * cols, values), g = random_floats(cols, values);
        struct snug_residual args = {.rows = rows,
                                     .cols = cols,
                                     .y = y.data,
                                     .g = kind == 2 ? g.data : NULL,
                                     .gate = kind < 2 ? &gates[i / 3 % COUNT(gates)] : NULL,
                                     .mask = kind ? mask : NULL};
        compare("gated residual", i, run_residual, &args, random_floats(rows * cols, values));
        free_floats(y);
        free_floats(g);
    }
}

static void run_add_rows(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                         struct floats out)
{
    struct snug_add_rows a = *(const struct snug_add_rows *)args;
    a.x = out.data;
    assert_int_equal(ops->add_rows(&a, pool), SNUG_STATUS_OK);
}

static void test_add_rows(void **state)
{
    static const int64_t sizes[][3] = {/* rows, cols, rows of the table */
                                       {0, 3, 2},  {1, 1, 1},    {7, 15, 3},   {5, 16, 9},
                                       {9, 33, 4}, {41, 640, 4}, {3, 9001, 2}, {700, 31, 257}};
    int32_t index[700];

    (void)state;
    for (size_t i = 0; i < COUNT(sizes) * 12; i++) {
        int64_t rows = sizes[i / 12][0], cols = sizes[i / 12][1], table_rows = sizes[i / 12][2];
        enum values values = i / 3 % 2 ? SPECIAL : FINITE;
        /* a table has the elements of so many panels of one column, in order */
        void *table = random_panels(dtypes[i % 3], table_rows * cols, 1, values);
        struct snug_add_rows args = {.rows = rows,
                                     .cols = cols,
                                     .table_rows = table_rows,
                                     .index = i % 4 < 2 ? index : NULL,
                                     .table_dtype = dtypes[i % 3],
                                     .table = table,
                                     .gate = &gates[i / 2 % COUNT(gates)],
                                     .complement = i & 1};
        for (int64_t r = 0; r < rows; r++)
            index[r] = (int32_t)(next_random() % (uint32_t)(table_rows + 1)) - 1;
        compare("add_rows", i, run_add_rows, &args, random_floats(rows * cols, values));
        snug_free(snug_allocator_heap(), table);
    }
}

/* ---- moving rows ---- */

static void run_vision_embed(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                             struct floats out)
{
    struct snug_vision_embed a = *(const struct snug_vision_embed *)args;
    a.y = out.data;
    assert_int_equal(ops->vision_embed(&a, pool), SNUG_STATUS_OK);
}

static void test_vision_embed_without_position(void **state)
{
    static const int64_t sizes[][3] = {/* tiles, count, d */
                                       {0, 4, 3},  {1, 0, 5},   {1, 1, 1},
                                       {3, 9, 17}, {4, 16, 64}, {2, 100, 640}};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int64_t tiles = sizes[i][0], count = sizes[i][1], d = sizes[i][2];
        struct floats x = random_floats(tiles * count * d, SPECIAL);
        struct floats cls = random_floats(d, SPECIAL);
        struct snug_vision_embed args = {
            .tiles = tiles, .count = count, .d = d, .x = x.data, .cls = cls.data};
        compare("vision_embed without position", i, run_vision_embed, &args,
                make_floats(tiles * (count + 1) * d));
        free_floats(x);
        free_floats(cls);
    }
}

/* ---- caches ---- */

static void test_kv_store_source(void **state)
{
    static const struct {
        int64_t rows, source_rows, kv_heads, head_dim, capacity, first;
    } cases[] = {
        {0, 3, 2, 8, 16, 5},    {1, 1, 1, 1, 16, 15},    {16, 2, 2, 12, 32, 0},
        {33, 7, 2, 18, 64, 13}, {70, 4, 16, 80, 80, 10}, {100, 301, 8, 128, 304, 201},
    };
    static const int32_t slot = 1;
    int32_t source[100], position;

    (void)state;
    for (size_t i = 0; i < COUNT(cases) * 8; i++) {
        int64_t rows = cases[i / 8].rows, source_rows = cases[i / 8].source_rows;
        int64_t kv_heads = cases[i / 8].kv_heads, d = cases[i / 8].head_dim, caches = i & 4 ? 2 : 1;
        int64_t ld = kv_heads * d + (i & 1 ? 3 : 0), capacity = cases[i / 8].capacity;
        int64_t elements =
            caches * kv_heads *
            (snug_k_cache_elements(capacity, d) + snug_v_cache_elements(capacity, d));
        struct floats k = random_floats(source_rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct floats v = random_floats(source_rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct snug_kv_store args = {.sequences = 1,
                                     .rows_per_sequence = rows,
                                     .kv_heads = kv_heads,
                                     .head_dim = d,
                                     .capacity = capacity,
                                     .first_position = cases[i / 8].first,
                                     .k = k.data,
                                     .v = v.data,
                                     .k_ld = ld,
                                     .v_ld = ld,
                                     .dtype = dtypes[i & 1],
                                     .caches = caches,
                                     .slots = i & 4 ? &slot : NULL,
                                     .positions = i & 4 ? &position : NULL,
                                     .source = source,
                                     .source_rows = source_rows};
        position = (int32_t)cases[i / 8].first;
        for (int64_t r = 0; r < rows; r++)
            source[r] = (int32_t)(next_random() % (uint32_t)source_rows);
        compare("kv_store of a source", i, run_kv_store, &args, make_floats(elements + 1));
        free_floats(k);
        free_floats(v);
    }
}

/* ---- attention to a range of keys ---- */

struct ranges {
    int64_t sequences, rows, heads, kv_heads, head_dim, capacity, keys, caches;
    int32_t slots[MAX_SEQUENCES], first[MAX_SEQUENCES], count[MAX_SEQUENCES];
};

/* All queries of row r have the same kind of trouble. */
static void spoil_queries(struct floats q, int64_t rows, int64_t ld, int64_t head_dim)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < ld; c++) {
            float *at = &q.data[r * ld + c];
            if (r % 6 == 1)
                *at = -0.0f;
            if (c % head_dim == head_dim / 2)
                *at = r % 6 == 2 ? NAN : r % 6 == 3 ? INFINITY : r % 6 == 4 ? *at * 1e37f : *at;
        }
    }
}

/* NaN before and after what the sequences that share a cache see, and on request an infinity in the
 * first key or value seen. */
static void surround(const struct ranges *c, enum snug_dtype dtype, char *k, char *v, int spoil)
{
    int64_t k_head = snug_k_cache_elements(c->capacity, c->head_dim);
    int64_t v_head = snug_v_cache_elements(c->capacity, c->head_dim);
    int64_t size = (int64_t)snug_dtype_size(dtype);
    float wide = INFINITY;
    uint16_t half = 0x7c00;

    for (int64_t s = 0; s < c->sequences; s++) {
        int64_t first = c->capacity, end = 0;
        for (int64_t t = 0; t < c->sequences; t++) {
            if (c->slots[t] != c->slots[s] || c->count[t] == 0)
                continue;
            first = c->first[t] < first ? c->first[t] : first;
            end = c->first[t] + c->count[t] > end ? c->first[t] + c->count[t] : end;
        }
        for (int64_t h = 0; h < c->kv_heads; h++) {
            int64_t head = c->slots[s] * c->kv_heads + h;
            char *keys = k + head * k_head * size, *values = v + head * v_head * size;
            poison(keys, dtype, k_head, c->head_dim, true, first, end);
            poison(values, dtype, v_head, c->capacity, false, first, end);
            char *at = spoil == 1 ? keys + snug_panel_index(first, 0, c->head_dim) * size
                                  : values + snug_panel_index(0, first, c->capacity) * size;
            if (spoil && first < end)
                memcpy(at, dtype == SNUG_DTYPE_F32 ? (void *)&wide : (void *)&half, (size_t)size);
        }
    }
}

static void range_case(const char *what, size_t number, const struct ranges *c,
                       enum snug_dtype dtype, enum values values)
{
    int64_t ld = c->heads * c->head_dim + (number & 1 ? 7 : 0), rows = c->sequences * c->rows;
    int64_t heads = c->caches * c->kv_heads;
    struct floats q = random_floats(rows * ld, values == SPECIAL ? FINITE : values);
    char *k = random_panels(dtype, heads * c->capacity, c->head_dim, FINITE);
    char *v = random_panels(dtype, heads * snug_panel_count(c->head_dim) * SNUG_PANEL, c->capacity,
                            PLAIN);
    struct snug_attention args = {.sequences = c->sequences,
                                  .rows_per_sequence = c->rows,
                                  .heads = c->heads,
                                  .kv_heads = c->kv_heads,
                                  .head_dim = c->head_dim,
                                  .capacity = c->capacity,
                                  .keys = c->keys,
                                  .scale = (float)(1.0 / sqrt((double)c->head_dim)),
                                  .q = q.data,
                                  .q_ld = ld,
                                  .dtype = dtype,
                                  .k_cache = k,
                                  .v_cache = v,
                                  .caches = c->caches,
                                  .slots = c->slots,
                                  .first_keys = c->first,
                                  .key_counts = c->count,
                                  .out_ld = ld};

    surround(c, dtype, k, v, values == SPECIAL ? (int)(number % 3) : 0);
    if (values == SPECIAL)
        spoil_queries(q, rows, ld, c->head_dim);
    compare(what, number, run_attention, &args, make_floats(rows * ld));
    snug_free(snug_allocator_heap(), k);
    snug_free(snug_allocator_heap(), v);
    free_floats(q);
}

/* Decoding: rows of many documents. */
static const struct ranges decoding[] = {
    {1, 1, 1, 1, 1, 16, 16, 1, {0}, {3}, {9}},
    {3, 1, 4, 2, 12, 32, 30, 5, {4, 0, 2}, {29, 30, 0}, {1, 0, 16}},
    {5, 1, 4, 1, 80, 320, 320, 5, {1, 4, 2, 0, 3}, {0, 0, 15, 250, 319}, {0, 320, 2, 20, 1}},
    {6,
     1,
     32,
     8,
     128,
     528,
     527,
     6,
     {5, 3, 1, 0, 2, 4},
     {0, 255, 256, 7, 100, 511},
     {520, 2, 0, 250, 413, 16}},
    {6,
     1,
     16,
     16,
     18,
     288,
     280,
     6,
     {0, 1, 2, 3, 4, 5},
     {0, 1, 2, 254, 255, 256},
     {280, 16, 255, 4, 1, 24}},
    {4, 1, 32, 8, 64, 1040, 1030, 4, {3, 2, 1, 0}, {511, 600, 17, 1029}, {500, 0, 1000, 1}},
    {3, 1, 4, 2, 128, 560, 550, 2, {1, 1, 0}, {100, 300, 0}, {150, 250, 550}}, /* two read one */
    {4, 0, 4, 2, 64, 16, 16, 4, {0, 1, 2, 3}, {0, 0, 0, 0}, {1, 1, 1, 1}},
    {2, 3, 4, 1, 80, 784, 777, 2, {1, 0}, {300, 0}, {477, 0}},
    {4, 1, 16, 16, 80, 272, 270, 4, {0, 1, 2, 3}, {0, 0, 0, 0}, {0, 0, 0, 0}},
};

/* Fewer tiles (sequences times kv heads) than the five threads of a pool, work worth waking them
 * for and a key for everyone: blocks are the tasks, in waves. Blocks a wave: 12288 / (query rows *
 * heads * head_dim). */
static const struct ranges waves[] = {
    {1, 1, 4, 1, 128, 1296, 1290, 1, {0}, {300}, {990}},
    {1, 1, 4, 1, 128, 1296, 1290, 2, {1}, {255}, {1000}},
    {2, 1, 4, 2, 80, 1024, 1024, 2, {1, 0}, {511, 0}, {513, 700}},
    {4, 1, 4, 1, 64, 960, 956, 4, {2, 3, 0, 1}, {0, 255, 600, 256}, {520, 300, 1, 700}},
    {4, 1, 4, 1, 64, 960, 956, 4, {2, 3, 0, 1}, {0, 255, 600, 256}, {520, 300, 0, 700}}, /* none */
    {1, 1, 32, 2, 128, 1808, 1800, 1, {0}, {800}, {999}}, /* nothing in the first wave */
    {1, 1, 32, 2, 128, 1808, 1800, 1, {0}, {5}, {1531}},  /* one row of many heads */
    {2, 1, 8, 1, 128, 1808, 1800, 2, {1, 0}, {0, 1790}, {513, 10}},
    {1, 3, 4, 1, 80, 1296, 1296, 1, {0}, {257}, {1039}},
    {1, 1, 4, 1, 18, 4400, 4400, 1, {0}, {17}, {4380}},
    {2, 1, 4, 1, 12, 6416, 6404, 2, {1, 0}, {3, 3201}, {6400, 3200}},
    {1, 6, 4, 1, 64, 560, 560, 1, {0}, {250}, {310}},
};

static void run_ranges(const char *what, const struct ranges *cases, size_t count)
{
    static const enum values values[] = {PLAIN, FINITE, SPECIAL};

    for (size_t i = 0; i < count * 6; i++)
        range_case(what, i, &cases[i / 6], dtypes[i & 1], values[i / 2 % 3]);
}

static void test_attention_decoding(void **state)
{
    (void)state;
    run_ranges("attention to ranges", decoding, COUNT(decoding));
}

static void test_attention_waves(void **state)
{
    (void)state;
    run_ranges("attention to ranges in waves", waves, COUNT(waves));
}

/* One document's prompt: tiles of 24 rows and heads. Of the large ones a quarter. */
static void test_attention_prompt(void **state)
{
    static const int64_t rows[] = {1, 2, 3, 7, 23, 24, 25, 33, 70}, dims[] = {80, 128, 18, 12, 64};
    static const int64_t heads[][2] = {{4, 1}, {4, 2}, {16, 16}, {32, 8}};
    static const int32_t range[][2] = {{0, 300}, {255, 2},  {100, 412}, {256, 270},
                                       {5, 0},   {511, 49}, {13, 1},    {240, 17}};
    static const enum values values[] = {PLAIN, FINITE, SPECIAL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * COUNT(dims) * COUNT(heads); i++) {
        uint32_t pick = next_random() >> 4;
        const int32_t *seen = range[pick % COUNT(range)];
        struct ranges c = {.sequences = 1,
                           .rows = rows[i / COUNT(heads) / COUNT(dims)],
                           .heads = heads[i % COUNT(heads)][0],
                           .kv_heads = heads[i % COUNT(heads)][1],
                           .head_dim = dims[i / COUNT(heads) % COUNT(dims)],
                           .capacity = 560,
                           .keys = 560,
                           .caches = 2,
                           .slots = {(int32_t)(pick / 8 % 2)},
                           .first = {seen[0]},
                           .count = {seen[1]}};
        if (c.rows * c.heads * c.head_dim * seen[1] < 4000000 || pick / 16 % 4 == 0)
            range_case("attention of a prompt to a range", i, &c, dtypes[pick / 64 % 2],
                       values[pick / 128 % 3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual_gate),
        cmocka_unit_test(test_add_rows),
        cmocka_unit_test(test_vision_embed_without_position),
        cmocka_unit_test(test_kv_store_source),
        cmocka_unit_test(test_attention_decoding),
        cmocka_unit_test(test_attention_waves),
        cmocka_unit_test(test_attention_prompt),
    };
    return cmocka_run_group_tests(tests, make_pools, free_pools);
}
