/* Every backend against the reference: the same bits (a NaN equals any NaN), nothing written
 * outside the output, whatever the number of threads. Backends that this processor cannot run are
 * skipped, by name; their 16-lane code path is tested in plain C instead. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "backends_run.h"

/* ---- linear ---- */

static void run_linear(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                       struct floats out)
{
    struct snug_linear a = *(const struct snug_linear *)args;
    a.y = out.data;
    assert_int_equal(ops->linear(&a, pool), SNUG_STATUS_OK);
}

static void linear_case(size_t number, int64_t rows, int64_t n, int64_t k)
{
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
    enum values values = number / 3 % 3 == 0 ? SPECIAL : number / 3 % 3 == 1 ? FINITE : PLAIN;
    int64_t x_ld = k + (number % 5 ? 3 : 0), y_ld = n + (number % 3 ? 5 : 0);
    struct floats x = random_floats(rows * x_ld, values), bias = random_floats(n, values);
    struct snug_linear args = {.rows = rows,
                               .n = n,
                               .k = k,
                               .x = x.data,
                               .x_ld = x_ld,
                               .w_dtype = dtypes[number % 3],
                               .bias = number % 4 ? bias.data : NULL,
                               .y_ld = y_ld};
    void *w =
        random_panels(args.w_dtype, n, k, values == SPECIAL && number % 8 < 6 ? PLAIN : values);

    args.w = w;
    compare("linear", number, run_linear, &args, make_floats(rows * y_ld));
    snug_free(snug_allocator_heap(), w);
    free_floats(x);
    free_floats(bias);
}

static void test_linear_edges(void **state)
{
    static const int64_t rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 23, 49};
    static const int64_t ns[] = {1, 15, 16, 17, 33, 68, 143};
    static const int64_t ks[] = {1, 255, 256, 257, 512, 513, 1000};
    size_t number = 0;

    (void)state;
    for (size_t r = 0; r < COUNT(rows); r++)
        for (size_t n = 0; n < COUNT(ns); n++)
            for (size_t k = 0; k < COUNT(ks); k++, number++)
                if (number % 5 < 2 || rows[r] * ns[n] * ks[k] < 20000)
                    linear_case(number, rows[r], ns[n], ks[k]);
}

static void test_linear_large(void **state)
{
    static const int64_t shapes[][3] = {{1, 5003, 257}, {1, 2000, 896}, {2, 700, 300},
                                        {60, 200, 270}, {131, 97, 513}, {97, 1041, 64}};
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (size_t kind = 0; kind < 3; kind++)
            linear_case(3 * i + kind, shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* ---- norms, elementwise, rope ---- */

struct norm_case {
    struct snug_norm args;
    bool rms, alias;
};

static void run_norm(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                     struct floats out)
{
    struct norm_case c = *(const struct norm_case *)args;
    c.args.y = out.data;
    if (c.alias)
        c.args.x = out.data;
    assert_int_equal((c.rms ? ops->rms_norm : ops->layer_norm)(&c.args, pool), SNUG_STATUS_OK);
}

static void test_norms(void **state)
{
    static const int64_t shapes[][2] = {{0, 5},    {1, 1},    {2, 31},   {3, 32},   {3, 33},
                                        {7, 63},   {5, 64},   {4, 255},  {1, 896},  {37, 1024},
                                        {64, 896}, {9, 4096}, {3, 1001}, {500, 100}};
    (void)state;
    for (size_t i = 0; i < COUNT(shapes) * 8; i++) {
        int64_t rows = shapes[i / 8][0], cols = shapes[i / 8][1];
        bool alias = i & 4;
        int64_t ld = cols + (i % 3 ? 2 : 0);
        struct floats x = random_floats(rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct floats w = random_floats(cols, PLAIN), b = random_floats(cols, PLAIN);
        struct norm_case c = {.rms = i & 1,
                              .alias = alias,
                              .args = {.rows = rows,
                                       .cols = cols,
                                       .x = x.data,
                                       .x_ld = ld,
                                       .w = w.data,
                                       .b = i % 5 ? b.data : NULL,
                                       .eps = 1e-6f,
                                       .y_ld = ld}};
        compare("norm", i, run_norm, &c, alias ? copy_floats(x) : make_floats(rows * ld));
        free_floats(x);
        free_floats(w);
        free_floats(b);
    }
}

static void test_residual(void **state)
{
    static const int64_t shapes[][2] = {{0, 3},  {1, 1},     {3, 7},   {5, 16},
                                        {2, 33}, {70, 1024}, {3, 9001}};
    (void)state;
    for (size_t i = 0; i < COUNT(shapes) * 4; i++) {
        int64_t rows = shapes[i / 4][0], cols = shapes[i / 4][1];
        enum values values = i & 2 ? SPECIAL : PLAIN;
        struct floats y = random_floats(rows * cols, values), g = random_floats(cols, values);
        struct snug_residual args = {
            .rows = rows, .cols = cols, .y = y.data, .g = i & 1 ? g.data : NULL};
        compare("residual", i, run_residual, &args, random_floats(rows * cols, values));
        free_floats(y);
        free_floats(g);
    }
}

struct unary_case {
    struct snug_unary args;
    bool silu;
    int alias; /* 0 none, 1 y is x, 2 y is up */
};

static void run_unary(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                      struct floats out)
{
    struct unary_case c = *(const struct unary_case *)args;
    c.args.y = out.data;
    if (c.alias == 1)
        c.args.x = out.data;
    if (c.alias == 2)
        c.args.up = out.data;
    assert_int_equal((c.silu ? ops->silu_mul : ops->gelu)(&c.args, pool), SNUG_STATUS_OK);
}

static void test_activations(void **state)
{
    static const int64_t counts[] = {0, 1, 7, 8, 15, 16, 17, 100, 8192, 8193, 40001};
    (void)state;
    for (size_t i = 0; i < COUNT(counts) * 12; i++) {
        int64_t count = counts[i / 12];
        enum values values = i & 1 ? SPECIAL : PLAIN;
        struct floats x = random_floats(count, values), up = random_floats(count, values);
        struct unary_case c = {.silu = i & 2,
                               .alias = (int)(i / 4 % 3),
                               .args = {.count = count, .x = x.data, .up = up.data}};
        for (int64_t e = 0; e < count; e++)
            x.data[e] *= 16.0f; /* into the saturated parts too */
        compare("activation", i, run_unary, &c, c.alias ? copy_floats(x) : make_floats(count));
        free_floats(x);
        free_floats(up);
    }
}

static void run_rope(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                     struct floats out)
{
    struct snug_rope a = *(const struct snug_rope *)args;
    a.x = out.data;
    assert_int_equal(ops->rope(&a, pool), SNUG_STATUS_OK);
}

static void test_rope(void **state)
{
    static const struct snug_rope cases[] = {
        {.rows = 0, .heads = 1, .head_dim = 2},
        {.rows = 1, .heads = 1, .head_dim = 2, .first_position = 5},
        {.rows = 3, .heads = 2, .head_dim = 6, .first_position = 1000000},
        {.rows = 17, .heads = 14, .head_dim = 64, .first_position = 3000},
        {.rows = 40, .heads = 3, .head_dim = 34},
        {.rows = 9, .heads = 2, .head_dim = 256, .first_position = 77},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        struct snug_rope args = cases[i / 2];
        struct floats frequencies = make_floats(args.head_dim / 2);
        for (int64_t f = 0; f < args.head_dim / 2; f++)
            frequencies.data[f] =
                (float)(1.0 / snug_pow(1e6, 2.0 * (double)f / (double)args.head_dim));
        args.inv_freq = frequencies.data;
        args.x_ld = args.heads * args.head_dim + (int64_t)(i & 1) * 3;
        compare("rope", i, run_rope, &args,
                random_floats(args.rows * args.x_ld, i & 1 ? SPECIAL : PLAIN));
        free_floats(frequencies);
    }
}

/* ---- cache and attention ---- */

struct shape {
    int64_t sequences, rows, heads, kv_heads, head_dim, capacity, first, keys;
    bool causal;
};

static const struct shape shapes[] = {
    {1, 1, 1, 1, 1, 16, 0, 1, false},          {1, 1, 2, 1, 8, 16, 0, 0, false},
    {1, 5, 2, 2, 24, 16, 0, 15, false},        {2, 3, 2, 1, 16, 32, 0, 16, false},
    {3, 17, 4, 2, 64, 32, 0, 17, false},       {1, 50, 2, 2, 80, 256, 0, 255, false},
    {2, 26, 3, 3, 64, 256, 0, 256, false},     {1, 30, 2, 1, 128, 272, 0, 257, false},
    {1, 70, 4, 4, 64, 608, 0, 600, false},     {1, 1, 14, 2, 64, 608, 599, 600, true},
    {1, 1, 14, 2, 64, 1040, 1030, 1031, true}, {1, 1, 28, 4, 128, 768, 700, 701, true},
    {1, 3, 14, 2, 64, 608, 510, 513, true},    {1, 40, 14, 2, 64, 48, 0, 40, true},
    {1, 40, 3, 3, 32, 304, 250, 290, true},    {1, 280, 2, 1, 16, 288, 0, 280, true},
    {1, 30, 4, 4, 256, 560, 500, 530, true},   {2, 20, 2, 2, 64, 288, 255, 275, true},
    {2, 0, 2, 2, 64, 32, 0, 7, false},         {0, 4, 2, 2, 64, 32, 0, 7, false},
    {1, 2, 12, 1, 80, 1296, 0, 1290, false},   {4, 1, 6, 2, 64, 528, 0, 520, false},
};

static void test_kv_store(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes) * 4; i++) {
        const struct shape *s = &shapes[i / 4];
        int64_t heads = s->sequences * s->kv_heads,
                ld = s->kv_heads * s->head_dim + (i & 2 ? 3 : 0);
        int64_t rows = s->rows < s->capacity - s->first ? s->rows : s->capacity - s->first;
        int64_t elements = heads * (snug_k_cache_elements(s->capacity, s->head_dim) +
                                    snug_v_cache_elements(s->capacity, s->head_dim));
        struct floats k = random_floats(s->sequences * rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct floats v = random_floats(s->sequences * rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct snug_kv_store args = {.sequences = s->sequences,
                                     .rows_per_sequence = rows,
                                     .kv_heads = s->kv_heads,
                                     .head_dim = s->head_dim,
                                     .capacity = s->capacity,
                                     .first_position = s->first,
                                     .k = k.data,
                                     .v = v.data,
                                     .k_ld = ld,
                                     .v_ld = ld,
                                     .dtype = i & 1 ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32};
        for (int64_t e = 0; e < k.count; e += 13)
            k.data[e] *= i & 2 ? 0x1p-14f : 0x1p14f; /* subnormal or large as f16 */
        compare("kv_store", i, run_kv_store, &args, make_floats(elements + 1));
        free_floats(k);
        free_floats(v);
    }
}

static void attention_case(size_t number, const struct shape *s, enum snug_dtype dtype,
                           enum values values)
{
    int64_t ld = s->heads * s->head_dim + (number & 1 ? 7 : 0), rows = s->sequences * s->rows;
    int64_t caches = s->sequences * s->kv_heads;
    int64_t k_elements = snug_k_cache_elements(s->capacity, s->head_dim);
    int64_t v_elements = snug_v_cache_elements(s->capacity, s->head_dim);
    struct floats q = random_floats(rows * ld, values);
    void *k = random_panels(dtype, caches * s->capacity, s->head_dim, values);
    void *v = random_panels(dtype, caches * snug_panel_count(s->head_dim) * SNUG_PANEL, s->capacity,
                            values);
    for (int64_t c = 0; c < caches; c++) {
        size_t size = snug_dtype_size(dtype);
        poison((char *)k + (size_t)(c * k_elements) * size, dtype, k_elements, s->head_dim, true, 0,
               s->keys);
        poison((char *)v + (size_t)(c * v_elements) * size, dtype, v_elements, s->capacity, false,
               0, s->keys);
    }
    struct snug_attention args = {.sequences = s->sequences,
                                  .rows_per_sequence = s->rows,
                                  .heads = s->heads,
                                  .kv_heads = s->kv_heads,
                                  .head_dim = s->head_dim,
                                  .capacity = s->capacity,
                                  .first_position = s->first,
                                  .keys = s->keys,
                                  .causal = s->causal,
                                  .scale = (float)(1.0 / sqrt((double)s->head_dim)),
                                  .q = q.data,
                                  .q_ld = ld,
                                  .dtype = dtype,
                                  .k_cache = k,
                                  .v_cache = v,
                                  .out_ld = ld};

    compare("attention", number, run_attention, &args, make_floats(rows * ld));
    snug_free(snug_allocator_heap(), k);
    snug_free(snug_allocator_heap(), v);
    free_floats(q);
}

static void test_attention(void **state)
{
    static const enum values values[] = {PLAIN, FINITE, SPECIAL};

    (void)state;
    for (size_t i = 0; i < COUNT(shapes) * 6; i++)
        attention_case(i, &shapes[i / 6], i & 1 ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32,
                       values[i / 2 % 3]);
}

/* ---- sequences of different lengths, each in a cache of its own ---- */

static void test_rope_positions(void **state)
{
    static const int32_t positions[11] = {7, 0, 1048575, 3, 3, 900, 12, 1, 0, 255, 256};

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        int64_t heads = i & 1 ? 14 : 2, head_dim = i & 2 ? 64 : 10, half = head_dim / 2;
        int64_t freq_ld = i & 4 ? half + 3 : 0, ld = heads * head_dim + 5;
        struct floats frequencies = random_floats(11 * (half + 3), PLAIN);
        struct floats x = random_floats(11 * ld, i & 8 ? SPECIAL : PLAIN);
        struct snug_rope args = {.rows = 11,
                                 .heads = heads,
                                 .head_dim = head_dim,
                                 .inv_freq = frequencies.data,
                                 .inv_freq_ld = freq_ld,
                                 .positions = positions,
                                 .x_ld = ld};
        struct floats alone = copy_floats(x), together = copy_floats(x);

        compare("rope of positions", i, run_rope, &args, x);
        run_rope(&args, snug_ops_ref(), NULL, together);
        for (int64_t r = 0; r < 11; r++) {
            struct snug_rope one = {.rows = 1,
                                    .heads = heads,
                                    .head_dim = head_dim,
                                    .first_position = positions[r],
                                    .inv_freq = frequencies.data + r * freq_ld,
                                    .x = alone.data + r * ld,
                                    .x_ld = ld};
            assert_int_equal(snug_ops_ref()->rope(&one, NULL), SNUG_STATUS_OK);
        }
        check_floats(alone, together, "ref", "rope of each row alone", i);
        free_floats(alone);
        free_floats(together);
        free_floats(frequencies);
    }
}

/* Caches, slots and positions of a batch; rows_per_sequence mostly 1, as in decoding. */
struct batch {
    int64_t sequences, rows, heads, kv_heads, head_dim, capacity, caches;
    int32_t slots[MAX_SEQUENCES], positions[MAX_SEQUENCES];
};

static const struct batch batches[] = {
    {1, 1, 2, 1, 8, 16, 3, {2}, {0}},
    {2, 1, 14, 2, 64, 608, 2, {1, 0}, {599, 3}},
    {3, 1, 14, 2, 64, 608, 5, {4, 0, 2}, {0, 607, 256}},
    {3, 1, 4, 1, 16, 1040, 3, {1, 2, 0}, {1030, 255, 512}},
    {4, 1, 6, 3, 34, 304, 6, {5, 3, 1, 0}, {17, 303, 16, 15}},
    {6, 1, 28, 4, 128, 528, 6, {3, 5, 0, 1, 4, 2}, {520, 1, 300, 255, 256, 257}},
    {2, 5, 4, 2, 80, 272, 3, {2, 0}, {267, 14}},
    {3, 40, 2, 1, 64, 320, 3, {2, 1, 0}, {230, 0, 280}},
};

static void test_kv_store_slots(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(batches) * 4; i++) {
        const struct batch *b = &batches[i / 4];
        int64_t ld = b->kv_heads * b->head_dim + 3, rows = b->sequences * b->rows;
        int64_t k_elements =
            b->caches * b->kv_heads * snug_k_cache_elements(b->capacity, b->head_dim);
        int64_t v_elements =
            b->caches * b->kv_heads * snug_v_cache_elements(b->capacity, b->head_dim);
        struct floats k = random_floats(rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct floats v = random_floats(rows * ld, i & 2 ? SPECIAL : PLAIN);
        struct snug_kv_store args = {.sequences = b->sequences,
                                     .rows_per_sequence = b->rows,
                                     .kv_heads = b->kv_heads,
                                     .head_dim = b->head_dim,
                                     .capacity = b->capacity,
                                     .k = k.data,
                                     .v = v.data,
                                     .k_ld = ld,
                                     .v_ld = ld,
                                     .dtype = i & 1 ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32,
                                     .caches = b->caches,
                                     .slots = b->slots,
                                     .positions = b->positions};
        struct floats start = make_floats(k_elements + v_elements + 1);
        struct floats alone = copy_floats(start), together = copy_floats(start);

        compare("kv_store of slots", i, run_kv_store, &args, start);
        run_kv_store(&args, snug_ops_ref(), NULL, together);
        float found = 0;
        for (int64_t s = 0; s < b->sequences; s++) {
            struct snug_kv_store one = args;
            one.sequences = 1;
            one.k = k.data + s * b->rows * ld;
            one.v = v.data + s * b->rows * ld;
            one.slots = b->slots + s;
            one.positions = NULL;
            one.first_position = b->positions[s];
            run_kv_store(&one, snug_ops_ref(), NULL, alone);
            found += alone.data[alone.count - 1] * (float)(1 << s);
        }
        alone.data[alone.count - 1] = found;
        check_floats(alone, together, "ref", "kv_store of each sequence alone", i);
        free_floats(alone);
        free_floats(together);
        free_floats(k);
        free_floats(v);
    }
}

static void batch_attention_case(size_t number, const struct batch *b, enum snug_dtype dtype,
                                 enum values values)
{
    int64_t ld = b->heads * b->head_dim + 3, heads = b->caches * b->kv_heads;
    int64_t k_elements = b->kv_heads * snug_k_cache_elements(b->capacity, b->head_dim);
    int64_t v_elements = b->kv_heads * snug_v_cache_elements(b->capacity, b->head_dim);
    size_t size = snug_dtype_size(dtype);
    struct floats q = random_floats(b->sequences * b->rows * ld, values);
    char *k = random_panels(dtype, heads * b->capacity, b->head_dim, values);
    char *v = random_panels(dtype, heads * snug_panel_count(b->head_dim) * SNUG_PANEL, b->capacity,
                            values);
    for (int64_t s = 0; s < b->sequences; s++)
        for (int64_t h = 0; h < b->kv_heads; h++) { /* what lies behind a sequence's end */
            int64_t at = b->slots[s] * b->kv_heads + h, keys = b->positions[s] + b->rows;
            int64_t k_head = k_elements / b->kv_heads, v_head = v_elements / b->kv_heads;
            poison(k + (size_t)(at * k_head) * size, dtype, k_head, b->head_dim, true, 0, keys);
            poison(v + (size_t)(at * v_head) * size, dtype, v_head, b->capacity, false, 0, keys);
        }
    struct snug_attention args = {.sequences = b->sequences,
                                  .rows_per_sequence = b->rows,
                                  .heads = b->heads,
                                  .kv_heads = b->kv_heads,
                                  .head_dim = b->head_dim,
                                  .capacity = b->capacity,
                                  .keys = b->capacity,
                                  .causal = true,
                                  .scale = (float)(1.0 / sqrt((double)b->head_dim)),
                                  .q = q.data,
                                  .q_ld = ld,
                                  .dtype = dtype,
                                  .k_cache = k,
                                  .v_cache = v,
                                  .caches = b->caches,
                                  .slots = b->slots,
                                  .positions = b->positions,
                                  .out_ld = ld};
    struct floats alone = make_floats(b->sequences * b->rows * ld), together = copy_floats(alone);

    compare("attention of slots", number, run_attention, &args, copy_floats(alone));
    run_attention(&args, snug_ops_ref(), NULL, together);
    for (int64_t s = 0; s < b->sequences; s++) {
        struct snug_attention one = args; /* as if its cache were the only one */
        one.sequences = 1;
        one.q = q.data + s * b->rows * ld;
        one.out = alone.data + s * b->rows * ld;
        one.k_cache = k + (size_t)(b->slots[s] * k_elements) * size;
        one.v_cache = v + (size_t)(b->slots[s] * v_elements) * size;
        one.slots = one.positions = NULL;
        one.first_position = b->positions[s];
        one.keys = b->positions[s] + b->rows;
        assert_int_equal(snug_ops_ref()->attention(&one, NULL), SNUG_STATUS_OK);
    }
    check_floats(alone, together, "ref", "attention of each sequence alone", number);
    free_floats(alone);
    free_floats(together);
    snug_free(snug_allocator_heap(), k);
    snug_free(snug_allocator_heap(), v);
    free_floats(q);
}

static void test_attention_slots(void **state)
{
    static const enum values values[] = {PLAIN, FINITE, SPECIAL};

    (void)state;
    for (size_t i = 0; i < COUNT(batches) * 6; i++)
        batch_attention_case(i, &batches[i / 6], i & 1 ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32,
                             values[i / 2 % 3]);
}

/* ---- moving rows ---- */

enum gather { PATCHES, VISION_EMBED, DROP_CLS, PIXEL_SHUFFLE, EMBED };

struct gather_case {
    enum gather op;
    struct snug_patches patches;
    struct snug_vision_embed vision_embed;
    struct snug_drop_cls drop_cls;
    struct snug_pixel_shuffle pixel_shuffle;
    struct snug_embed embed;
};

static void run_gather(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                       struct floats out)
{
    struct gather_case c = *(const struct gather_case *)args;
    enum snug_status status = SNUG_STATUS_OK;

    c.patches.y = c.vision_embed.y = c.drop_cls.y = c.pixel_shuffle.y = c.embed.y = out.data;
    switch (c.op) {
    case PATCHES:
        status = ops->patches(&c.patches, pool);
        break;
    case VISION_EMBED:
        status = ops->vision_embed(&c.vision_embed, pool);
        break;
    case DROP_CLS:
        status = ops->drop_cls(&c.drop_cls, pool);
        break;
    case PIXEL_SHUFFLE:
        status = ops->pixel_shuffle(&c.pixel_shuffle, pool);
        break;
    case EMBED:
        status = ops->embed(&c.embed, pool);
        break;
    }
    assert_int_equal(status, SNUG_STATUS_OK);
}

static void test_gather(void **state)
{
    static const int64_t tiles[] = {0, 1, 3}, grids[] = {2, 4, 10}, ds[] = {1, 7, 64, 200};
    size_t number = 0;

    (void)state;
    for (size_t t = 0; t < COUNT(tiles); t++) {
        for (size_t g = 0; g < COUNT(grids); g++) {
            for (size_t d = 0; d < COUNT(ds); d++, number++) {
                int64_t n = tiles[t], grid = grids[g], cells = grid * grid, width = ds[d];
                int64_t patch = 1 + (int64_t)d;
                struct floats x = random_floats(n * (cells + 1) * width + 1, SPECIAL);
                struct floats rows = random_floats((cells + 2) * width, SPECIAL);
                struct floats pixels = random_floats(n * 3 * cells * patch * patch, SPECIAL);
                struct gather_case c = {
                    .patches = {n, grid * patch, patch, pixels.data, NULL},
                    .vision_embed = {n, cells, width, x.data, rows.data, rows.data + width, NULL},
                    .drop_cls = {n, cells, width, x.data, NULL},
                    .pixel_shuffle = {n, grid, width, number & 1, x.data, NULL}};
                c.op = PATCHES;
                compare("patches", number, run_gather, &c, make_floats(pixels.count));
                c.op = VISION_EMBED;
                compare("vision_embed", number, run_gather, &c,
                        make_floats(n * (cells + 1) * width));
                c.op = DROP_CLS;
                compare("drop_cls", number, run_gather, &c, make_floats(n * cells * width));
                c.op = PIXEL_SHUFFLE;
                compare("pixel_shuffle", number, run_gather, &c, make_floats(n * cells * width));
                free_floats(x);
                free_floats(rows);
                free_floats(pixels);
            }
        }
    }
}

static void test_embed(void **state)
{
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
    enum { ROWS = 90, VOCABULARY = 37, FEATURES = 5 };
    int32_t ids[ROWS], image_row[ROWS];

    (void)state;
    for (int r = 0; r < ROWS; r++) {
        ids[r] = (int32_t)(next_random() % VOCABULARY);
        image_row[r] = r % 3 ? -1 : (int32_t)(next_random() % FEATURES);
    }
    for (size_t i = 0; i < 18; i++) {
        int64_t d = i / 6 == 0 ? 1 : i / 6 == 1 ? 33 : 896, rows = i % 2 ? ROWS : 1;
        struct floats features = random_floats(FEATURES * d, SPECIAL);
        void *table = random_panels(dtypes[i % 3], VOCABULARY, d, SPECIAL);
        struct gather_case c = {.op = EMBED,
                                .embed = {.rows = rows,
                                          .d = d,
                                          .vocabulary = VOCABULARY,
                                          .feature_rows = FEATURES,
                                          .ids = ids,
                                          .image_row = i % 4 < 2 ? image_row : NULL,
                                          .table_dtype = dtypes[i % 3],
                                          .table = table,
                                          .features = features.data}};
        compare("embed", i, run_gather, &c, make_floats(rows * d));
        snug_free(snug_allocator_heap(), table);
        free_floats(features);
    }
}

/* ---- logits ---- */

static void run_logit_stats(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                            struct floats out)
{
    struct snug_logit_stats a = *(const struct snug_logit_stats *)args;
    a.argmax = -1;
    assert_int_equal(ops->logit_stats(&a, pool), SNUG_STATUS_OK);
    out.data[0] = (float)a.argmax;
    out.data[1] = a.max;
    out.data[2] = a.sum;
    out.data[3] = a.finite ? 1 : 0;
}

static void test_logit_stats(void **state)
{
    static const int64_t counts[] = {1, 2, 31, 32, 33, 64, 255, 256, 257, 1000, 30001};
    (void)state;
    for (size_t i = 0; i < COUNT(counts) * 6; i++) {
        int64_t count = counts[i / 6];
        struct floats logits = random_floats(count, i % 6 == 1 ? SPECIAL : PLAIN);
        for (int64_t e = 0; e < count; e++) {
            if (i % 6 == 2) /* all tie, the first zero's sign counts */
                logits.data[e] = next_random() % 2 ? -0.0f : 0.0f;
            if (i % 6 == 3)
                logits.data[e] = e % 2 ? 0.0f : -0.0f;
            if (i % 6 == 4)
                logits.data[e] = floorf(logits.data[e]); /* many ties */
            if (i % 6 == 5 && e % 7 == 0)
                logits.data[e] = -INFINITY;
        }
        struct snug_logit_stats args = {.count = count, .logits = logits.data};
        compare("logit_stats", i, run_logit_stats, &args, make_floats(4));
        free_floats(logits);
    }
}

/* ---- which backends there are ---- */

static void test_find(void **state)
{
    struct snug_backend list[8];
    size_t count = snug_ops_list(list);
    const struct snug_ops *best = snug_ops_find("auto");

    (void)state;
    assert_true(count >= 1);
    assert_null(list[count].ops);
    assert_string_equal(list[0].ops->name, "ref");
    assert_ptr_equal(snug_ops_find(NULL), best);
    assert_null(snug_ops_find("no such backend"));
    assert_null(snug_ops_find(""));
    for (size_t i = 0; i < count; i++) {
        const struct snug_ops *found = snug_ops_find(list[i].ops->name);
        assert_ptr_equal(found, list[i].runnable ? list[i].ops : NULL);
        if (list[i].runnable && i + 1 == count)
            assert_ptr_equal(best, list[i].ops);
    }
}

/* Skipped backends show as skipped tests. */
static void skip_unless_runnable(const char *name)
{
    if (snug_ops_find(name))
        return;
    print_message(
        "%s: skipped, this processor cannot run it (its code path ran as generic16 if it has "
        "16 lanes)\n",
        name);
    skip();
}

static void test_avx2_ran(void **state)
{
    (void)state;
    skip_unless_runnable("avx2");
}

static void test_avx512_ran(void **state)
{
    (void)state;
    skip_unless_runnable("avx512");
}

static void test_vnni_ran(void **state)
{
    (void)state;
    skip_unless_runnable(snug_ops_find("avxvnni") ? "avxvnni" : "avx512vnni");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_avx2_ran),
        cmocka_unit_test(test_avx512_ran),
        cmocka_unit_test(test_linear_edges),
        cmocka_unit_test(test_linear_large),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_kv_store),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_rope_positions),
        cmocka_unit_test(test_kv_store_slots),
        cmocka_unit_test(test_attention_slots),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_logit_stats),
        cmocka_unit_test(test_vnni_ran),
    };
    return cmocka_run_group_tests(tests, make_pools, free_pools);
}
