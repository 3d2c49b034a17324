/* The reference of what Llama-3.2-Vision needs beside the common ops, against values worked out by
 * hand or summed directly in double. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "ref_check.h"

/* ---- gated sums ---- */

/* The gate's factor is rounded, then the product, then the sum. */
static void test_residual_gate(void **state)
{
    enum { ROWS = 3, COLS = 5 };
    static const float gates[] = {0.5f, -0.3f, 0.01f, -2.0f};
    float x[ROWS * COLS], y[ROWS * COLS], rounded[ROWS * COLS];
    struct snug_residual args = {.rows = ROWS, .cols = COLS, .x = x, .y = y};
    int inexact = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(gates); i++) {
        args.gate = &gates[i];
        for (int e = 0; e < ROWS * COLS; e++) {
            x[e] = 0;
            y[e] = (float)(e * e - 40) / 7.0f;
        }
        assert_int_equal(snug_ops_ref()->residual(&args, NULL), SNUG_STATUS_OK);
        for (int e = 0; e < ROWS * COLS; e++) {
            check_near("tanh(gate) * y", e, x[e], tanh((double)gates[i]) * (double)y[e], 2e-6);
            rounded[e] = x[e];
            x[e] = -x[e];
            inexact += (double)rounded[e] != (double)snug_tanhf(gates[i]) * (double)y[e];
        }
        assert_int_equal(snug_ops_ref()->residual(&args, NULL), SNUG_STATUS_OK);
        for (int e = 0; e < ROWS * COLS; e++) /* fused, the product's error would be left */
            check("x - (g * y), of the rounded product", e, x[e], 0);
    }
    assert_true(inexact > 20);
}

static void test_residual_gate_of_zero(void **state)
{
    static const float gates[] = {0.0f, -0.0f, 20.0f, -INFINITY};
    static const float want[][4] = {
        {0.0f, 3, 5, NAN}, {-0.0f, 3, 5, NAN}, {1, 5, 5, INFINITY}, {-1, 1, 5, -INFINITY}};
    static const float y[4] = {1, 2, 0, INFINITY};

    (void)state;
    for (size_t i = 0; i < COUNT(gates); i++) {
        float x[4] = {-0.0f, 3, 5, 7};
        struct snug_residual args = {.rows = 1, .cols = 4, .x = x, .y = y, .gate = &gates[i]};
        assert_int_equal(snug_ops_ref()->residual(&args, NULL), SNUG_STATUS_OK);
        for (int c = 0; c < 4; c++)
            if (want[i][c] != want[i][c])
                assert_true(x[c] != x[c]);
            else
                check("gates whose factor is 0, -0, 1, -1", (int64_t)i * 4 + c, x[c], want[i][c]);
    }
}

/* Rows of mask 0 keep every bit, whatever y holds; any other number lets a row through. */
static void test_residual_mask(void **state)
{
    enum { ROWS = 5, COLS = 4 };
    static const int32_t mask[ROWS] = {0, 1, 0, -1, 2};
    static const float gate = 20, g[COLS] = {2, 2, 2, 2};
    float first[COLS] = {-0.0f, 0.0f, INFINITY, snug_f32_from_bits(0xffc12345u)};
    float want[COLS] = {2, 2, INFINITY, NAN};

    (void)state;
    for (int kind = 0; kind < 3; kind++) { /* a plain sum, with a gate, with g */
        float x[ROWS * COLS], y[ROWS * COLS];
        struct snug_residual args = {.rows = ROWS,
                                     .cols = COLS,
                                     .x = x,
                                     .y = y,
                                     .g = kind == 2 ? g : NULL,
                                     .gate = kind == 1 ? &gate : NULL,
                                     .mask = mask};
        for (int e = 0; e < ROWS * COLS; e++) {
            x[e] = first[e % COLS];
            y[e] = mask[e / COLS] ? 2.0f : e % 2 ? NAN : 0.0f;
        }
        assert_int_equal(snug_ops_ref()->residual(&args, NULL), SNUG_STATUS_OK);
        for (int e = 0; e < ROWS * COLS; e++) {
            float sum = kind == 2 && want[e % COLS] == 2 ? 4 : want[e % COLS];
            if (!mask[e / COLS])
                check("left as it is", e, x[e], first[e % COLS]);
            else if (sum == sum)
                check("summed", e, x[e], sum);
            else
                assert_true(x[e] != x[e]);
        }
    }
}

enum { TABLE_ROWS = 3, TABLE_COLS = 4 };

/* Small numbers that f16 and bf16 hold; row by row, not panels. */
static void fill_table(enum snug_dtype dtype, float wide[TABLE_ROWS * TABLE_COLS], void *table)
{
    for (int i = 0; i < TABLE_ROWS * TABLE_COLS; i++) {
        wide[i] = (float)(i * 5 % 13 - 6) / 4;
        uint16_t half = dtype == SNUG_DTYPE_F16 ? snug_f32_to_f16(wide[i])
                                                : (uint16_t)(snug_f32_bits(wide[i]) >> 16);
        if (dtype == SNUG_DTYPE_F32)
            ((float *)table)[i] = wide[i];
        else
            ((uint16_t *)table)[i] = half;
    }
}

static void test_add_rows(void **state)
{
    enum { ROWS = 7 };
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
    static const int32_t index[ROWS] = {2, -1, 0, 1, 2, 2, -1};
    static const int32_t in_order[ROWS] = {0, 1, 2, 0, 1, 2, 0};
    static const float gate = -0.7f;
    float wide[TABLE_ROWS * TABLE_COLS], table[TABLE_ROWS * TABLE_COLS], x[ROWS * TABLE_COLS];

    (void)state;
    for (size_t i = 0; i < COUNT(dtypes) * 4; i++) {
        bool complement = i & 1, indexed = i & 2;
        double g = complement ? 1 - tanh((double)gate) : tanh((double)gate);
        struct snug_add_rows args = {.rows = ROWS,
                                     .cols = TABLE_COLS,
                                     .table_rows = TABLE_ROWS,
                                     .x = x,
                                     .index = indexed ? index : NULL,
                                     .table_dtype = dtypes[i / 4],
                                     .table = table,
                                     .gate = &gate,
                                     .complement = complement};
        fill_table(dtypes[i / 4], wide, table);
        for (int e = 0; e < ROWS * TABLE_COLS; e++)
            x[e] = e % 3 ? (float)e / 8 : -0.0f;
        assert_int_equal(snug_ops_ref()->add_rows(&args, NULL), SNUG_STATUS_OK);
        for (int e = 0; e < ROWS * TABLE_COLS; e++) {
            int32_t row = (indexed ? index : in_order)[e / TABLE_COLS];
            float before = e % 3 ? (float)e / 8 : -0.0f;
            if (row < 0)
                check("index -1 leaves the row", e, x[e], before);
            else
                check_near("x + g * row", e, x[e],
                           (double)before + g * (double)wide[row * TABLE_COLS + e % TABLE_COLS],
                           1e-6);
        }
    }
}

/* Factors that are exact: a row of the table is added whole, or as zeros; never fused. */
static void test_add_rows_rounds(void **state)
{
    static const float gates[] = {20, -20, 0.5f};
    float table[2] = {1 + 0x1p-23f, -1}, x[2];
    struct snug_add_rows args = {.rows = 1,
                                 .cols = 2,
                                 .table_rows = 1,
                                 .x = x,
                                 .table_dtype = SNUG_DTYPE_F32,
                                 .table = table};

    (void)state;
    for (size_t i = 0; i < COUNT(gates); i++) {
        for (int complement = 0; complement < 2; complement++) {
            float tanh_gate = i == 0 ? 1 : i == 1 ? -1 : snug_tanhf(0.5f);
            float g = complement ? 1.0f - tanh_gate : tanh_gate;
            volatile float product = g * table[0];
            args.gate = &gates[i];
            args.complement = complement;
            x[0] = -product, x[1] = -0.0f;
            assert_int_equal(snug_ops_ref()->add_rows(&args, NULL), SNUG_STATUS_OK);
            check("the rounded product", (int64_t)i * 2 + complement, x[0], 0);
            check("the other column", (int64_t)i * 2 + complement, x[1], -g);
        }
    }
}

/* ---- moving rows ---- */

static void test_vision_embed_without_position(void **state)
{
    enum { TILES = 2, ROWS = 3, D = 2 };
    float x[TILES * ROWS * D], cls[D] = {-0.0f, NAN}, y[TILES * (ROWS + 1) * D];
    struct snug_vision_embed args = {
        .tiles = TILES, .count = ROWS, .d = D, .x = x, .cls = cls, .y = y};

    (void)state;
    for (int i = 0; i < TILES * ROWS * D; i++)
        x[i] = i == 3 ? -0.0f : i == 4 ? -INFINITY : (float)i;
    assert_int_equal(snug_ops_ref()->vision_embed(&args, NULL), SNUG_STATUS_OK);
    for (int tile = 0; tile < TILES; tile++) {
        assert_memory_equal(y + tile * (ROWS + 1) * D, cls, sizeof cls);
        assert_memory_equal(y + (tile * (ROWS + 1) + 1) * D, x + tile * ROWS * D,
                            ROWS * D * sizeof(float));
    }
}

/* ---- caches: rows taken from elsewhere ---- */

static void test_kv_store_source(void **state)
{
    enum { HEADS = 2, DIM = 3, CAPACITY = 48, ROWS = 21, SOURCE_ROWS = 6, LD = HEADS * DIM + 2 };
    enum { K = HEADS * CAPACITY * DIM, V = HEADS * CAPACITY * SNUG_PANEL };
    static const int32_t slots[1] = {1}, positions[1] = {13};
    float k[SOURCE_ROWS * LD], v[SOURCE_ROWS * LD], gathered_k[ROWS * LD], gathered_v[ROWS * LD];
    static float caches[2][2 * (K + V)]; /* two caches each; from rows of source, from gathered */
    int32_t source[ROWS];
    bool found[2];

    (void)state;
    for (int i = 0; i < SOURCE_ROWS * LD; i++) {
        k[i] = (float)(i * 7 % 31 - 15) / 8;
        v[i] = (float)(i * 11 % 29 - 14) / 8;
    }
    k[4 * LD + 1] = INFINITY;
    for (int infinite = 0; infinite < 2; infinite++) {
        for (int r = 0; r < ROWS; r++) {
            source[r] = r == 17 && infinite ? 4 : (int32_t)(r * r % 7 % 4); /* rows 0 to 3 */
            memcpy(gathered_k + r * LD, k + source[r] * LD, sizeof(float) * LD);
            memcpy(gathered_v + r * LD, v + source[r] * LD, sizeof(float) * LD);
        }
        for (int dtype = 0; dtype < 2; dtype++) {
            for (int gathered = 0; gathered < 2; gathered++) {
                memset(caches[gathered], 0x11, sizeof caches[gathered]);
                found[gathered] = false;
                struct snug_kv_store args = {.sequences = 1,
                                             .rows_per_sequence = ROWS,
                                             .kv_heads = HEADS,
                                             .head_dim = DIM,
                                             .capacity = CAPACITY,
                                             .k = gathered ? gathered_k : k,
                                             .v = gathered ? gathered_v : v,
                                             .k_ld = LD,
                                             .v_ld = LD,
                                             .dtype = dtype ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32,
                                             .k_cache = caches[gathered],
                                             .v_cache = caches[gathered] + 2 * K,
                                             .caches = 2,
                                             .slots = slots,
                                             .positions = positions,
                                             .non_finite = &found[gathered],
                                             .source = gathered ? NULL : source,
                                             .source_rows = gathered ? 0 : SOURCE_ROWS};
                assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
                assert_int_equal(found[gathered], infinite);
            }
            assert_memory_equal(caches[0], caches[1], sizeof caches[0]);
            if (!dtype) /* head 1, dimension 2 of the last row, at position 33 */
                check("key", 0, caches[0][K + CAPACITY * DIM + (33 / 16 * DIM + 2) * 16 + 33 % 16],
                      k[source[ROWS - 1] * LD + 5]);
        }
    }
}

/* ---- attention to a range of keys ---- */

enum { KEYS = 1040, MAX_DIM = 18, MAX_CACHES = 4, MAX_KV_HEADS = 2 };

/* Keys and values as plain rows, and the caches they are stored in. */
static struct {
    float k[MAX_CACHES][KEYS * MAX_KV_HEADS * MAX_DIM],
        v[MAX_CACHES][KEYS * MAX_KV_HEADS * MAX_DIM];
    float k_cache[MAX_CACHES * MAX_KV_HEADS * KEYS * MAX_DIM];
    float v_cache[MAX_CACHES * MAX_KV_HEADS * KEYS * 2 * SNUG_PANEL];
} memory;

static void store_all(enum snug_dtype dtype, int64_t caches, int64_t kv_heads, int64_t dim)
{
    for (int32_t c = 0; c < caches; c++) {
        struct snug_kv_store args = {.sequences = 1,
                                     .rows_per_sequence = KEYS,
                                     .kv_heads = kv_heads,
                                     .head_dim = dim,
                                     .capacity = KEYS,
                                     .k = memory.k[c],
                                     .v = memory.v[c],
                                     .k_ld = kv_heads * dim,
                                     .v_ld = kv_heads * dim,
                                     .dtype = dtype,
                                     .k_cache = memory.k_cache,
                                     .v_cache = memory.v_cache,
                                     .caches = caches,
                                     .slots = &c};
        assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
    }
}

/* The element of sum(exp(s) v) / sum(exp(s)), all in double. */
static double direct(const struct snug_attention *args, int64_t row, int64_t head, int64_t d)
{
    int64_t sequence = row / args->rows_per_sequence, dim = args->head_dim;
    int64_t kv_head = head / (args->heads / args->kv_heads), ld = args->kv_heads * dim;
    const float *k = memory.k[args->slots[sequence]] + kv_head * dim;
    const float *v = memory.v[args->slots[sequence]] + kv_head * dim;
    const float *q = args->q + row * args->q_ld + head * dim;
    int64_t first = args->first_keys[sequence], end = first + args->key_counts[sequence];
    double sum = 0, all = 0;

    for (int64_t j = first; j < end; j++) {
        double score = 0;
        for (int64_t i = 0; i < dim; i++)
            score += (double)q[i] * (double)k[j * ld + i];
        double weight = exp(score * (double)args->scale); /* scores are small */
        all += weight;
        sum += weight * (double)v[j * ld + d];
    }
    return sum / all;
}

/* NaN where the sequence that reads the cache sees nothing. */
static void fill_memory(const struct snug_attention *args)
{
    int64_t ld = args->kv_heads * args->head_dim;

    for (int64_t s = 0; s < args->sequences; s++) {
        int64_t first = args->first_keys[s], end = first + args->key_counts[s];
        for (int64_t i = 0; i < KEYS * ld; i++) { /* numbers that f16 holds */
            bool seen = i / ld >= first && i / ld < end;
            memory.k[args->slots[s]][i] = seen ? (float)((i * 37 + s) % 101 - 50) / 32 : NAN;
            memory.v[args->slots[s]][i] = seen ? (float)((i * 53 + s) % 97 - 48) / 16 : NAN;
        }
    }
    store_all(args->dtype, args->caches, args->kv_heads, args->head_dim);
}

static void test_attention_ranges(void **state)
{
    static const struct {
        int64_t heads, kv_heads, dim;
        int32_t slots[3], first[3], count[3];
    } cases[] = {
        {1, 1, 4, {0, 1, 2}, {0, 100, 255}, {1030, 1, 2}},
        {4, 2, 12, {2, 0, 3}, {17, 300, 511}, {1013, 0, 519}},
        {4, 1, 18, {1, 3, 0}, {256, 1029, 1030}, {256, 1, 0}},
        {2, 2, 18, {3, 2, 1}, {777, 0, 500}, {30, 256, 530}},
        {6, 2, 8, {0, 2, 1}, {15, 240, 768}, {2, 33, 262}},
    };
    enum { ROWS = 2, MAX_LD = 6 * 18 + 3 };
    float q[3 * ROWS * MAX_LD], out[3 * ROWS * MAX_LD];

    (void)state;
    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        int64_t heads = cases[i / 2].heads, dim = cases[i / 2].dim, ld = heads * dim + 3;
        struct snug_attention args = {.sequences = 3,
                                      .rows_per_sequence = ROWS,
                                      .heads = heads,
                                      .kv_heads = cases[i / 2].kv_heads,
                                      .head_dim = dim,
                                      .capacity = KEYS,
                                      .keys = 1030,
                                      .scale = (float)(1.0 / sqrt((double)dim)),
                                      .q = q,
                                      .q_ld = ld,
                                      .dtype = i & 1 ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32,
                                      .k_cache = memory.k_cache,
                                      .v_cache = memory.v_cache,
                                      .caches = MAX_CACHES,
                                      .slots = cases[i / 2].slots,
                                      .first_keys = cases[i / 2].first,
                                      .key_counts = cases[i / 2].count,
                                      .out = out,
                                      .out_ld = ld};
        for (int64_t e = 0; e < 3 * ROWS * ld; e++) {
            q[e] = (float)(e * 29 % 83 - 41) / 64;
            out[e] = -7;
        }
        fill_memory(&args);
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
        for (int64_t e = 0; e < 3 * ROWS * ld; e++) {
            if (e % ld >= heads * dim)
                check("between rows", e, out[e], -7);
            else if (args.key_counts[e / ld / ROWS] == 0)
                check("no key", e, out[e], 0);
            else
                check_near("softmax", e, out[e], direct(&args, e / ld, e % ld / dim, e % ld % dim),
                           1e-6);
        }
    }
}

/* Scores alike, the first value 2^24 and then ones: those of the first block are lost, those of
 * later blocks count, and blocks are by absolute index. */
static void test_attention_range_blocks(void **state)
{
    static const struct {
        int32_t first, count;
        float sum;
    } cases[] = {
        {255, 1, BIG},         {255, 2, BIG},
        {255, 3, BIG + 2},     {254, 3, BIG},
        {254, 4, BIG + 2},     {256, 256, BIG},
        {256, 258, BIG + 2},   {100, 412, BIG + 256},
        {100, 414, BIG + 258}, {500, 400, BIG + 256 + 132},
    };
    float q[1] = {0}, out[1];
    static const int32_t slots[1] = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_attention args = {.sequences = 1,
                                      .rows_per_sequence = 1,
                                      .heads = 1,
                                      .kv_heads = 1,
                                      .head_dim = 1,
                                      .capacity = KEYS,
                                      .keys = KEYS,
                                      .scale = 1,
                                      .q = q,
                                      .q_ld = 1,
                                      .dtype = SNUG_DTYPE_F32,
                                      .k_cache = memory.k_cache,
                                      .v_cache = memory.v_cache,
                                      .caches = 1,
                                      .slots = slots,
                                      .first_keys = &cases[i].first,
                                      .key_counts = &cases[i].count,
                                      .out = out,
                                      .out_ld = 1};
        for (int64_t key = 0; key < KEYS; key++) {
            bool seen = key >= cases[i].first && key < cases[i].first + cases[i].count;
            memory.k[0][key] = seen ? 1 : NAN;
            memory.v[0][key] = !seen ? NAN : key == cases[i].first ? BIG : 1;
        }
        store_all(SNUG_DTYPE_F32, 1, 1, 1);
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
        check("O / L", (int64_t)i, out[0], cases[i].sum / (float)cases[i].count);
    }
}

/* ---- refusals ---- */

static void test_refuses_gates(void **state)
{
    float f[8] = {0}, g[4] = {0};
    int32_t index[2] = {1, -1};
    const struct snug_ops *ops = snug_ops_ref();
    struct snug_residual residual = {.rows = 1, .cols = 4, .x = f, .y = f + 4, .gate = g};
    struct snug_add_rows add = {.rows = 2,
                                .cols = 2,
                                .table_rows = 2,
                                .x = f,
                                .index = index,
                                .table_dtype = SNUG_DTYPE_F32,
                                .table = f + 4,
                                .gate = g};
    struct snug_add_rows bad = add;

    (void)state;
    assert_int_equal(ops->residual(&residual, NULL), SNUG_STATUS_OK);
    residual.g = g;
    assert_int_equal(ops->residual(&residual, NULL), SNUG_STATUS_SHAPE);
    residual.gate = NULL;
    assert_int_equal(ops->residual(&residual, NULL), SNUG_STATUS_OK);

    assert_int_equal(ops->add_rows(&add, NULL), SNUG_STATUS_OK);
    bad.gate = NULL;
    assert_int_equal(ops->add_rows(&bad, NULL), SNUG_STATUS_SHAPE);
    bad = add, bad.table = NULL;
    assert_int_equal(ops->add_rows(&bad, NULL), SNUG_STATUS_SHAPE);
    bad = add, bad.table_dtype = SNUG_DTYPE_I8;
    assert_int_equal(ops->add_rows(&bad, NULL), SNUG_STATUS_SHAPE);
    bad = add, bad.index = NULL, bad.table_rows = 0;
    assert_int_equal(ops->add_rows(&bad, NULL), SNUG_STATUS_SHAPE);
    index[0] = 2;
    assert_int_equal(ops->add_rows(&add, NULL), SNUG_STATUS_SHAPE);
    index[0] = 0, index[1] = -2;
    assert_int_equal(ops->add_rows(&add, NULL), SNUG_STATUS_SHAPE);
    add.rows = 1; /* not looked at beyond */
    assert_int_equal(ops->add_rows(&add, NULL), SNUG_STATUS_OK);
    bad = (struct snug_add_rows){.cols = 1, .table_rows = 1, .table_dtype = SNUG_DTYPE_F32};
    assert_int_equal(ops->add_rows(&bad, NULL), SNUG_STATUS_OK); /* no rows, nothing to read */
}

static void test_refuses_source(void **state)
{
    float rows[4] = {0}, k[2 * 16], v[2 * 16 * SNUG_PANEL];
    int32_t source[2] = {3, 0};
    struct snug_kv_store args = {.sequences = 1,
                                 .rows_per_sequence = 2,
                                 .kv_heads = 1,
                                 .head_dim = 1,
                                 .capacity = 16,
                                 .k = rows,
                                 .v = rows,
                                 .k_ld = 1,
                                 .v_ld = 1,
                                 .dtype = SNUG_DTYPE_F32,
                                 .k_cache = k,
                                 .v_cache = v,
                                 .source = source,
                                 .source_rows = 4};

    (void)state;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
    args.source_rows = 3;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_SHAPE);
    args.source_rows = 4;
    source[1] = -1;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_SHAPE);
    source[1] = 0;
    args.sequences = 2;
    args.rows_per_sequence = 1;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_SHAPE);
    args.source = NULL;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
}

static void test_refuses_ranges(void **state)
{
    static const struct {
        const char *what;
        int32_t first[2], count[2];
        bool causal;
        enum snug_status want;
    } cases[] = {
        {"all", {0, 20}, {20, 0}, false, SNUG_STATUS_OK},
        {"the last", {19, 3}, {1, 17}, false, SNUG_STATUS_OK},
        {"causal", {0, 0}, {1, 1}, true, SNUG_STATUS_SHAPE},
        {"negative first key", {0, -1}, {1, 1}, false, SNUG_STATUS_SHAPE},
        {"negative count", {0, 5}, {1, -1}, false, SNUG_STATUS_SHAPE},
        {"one key beyond", {1, 0}, {20, 1}, false, SNUG_STATUS_SHAPE},
        {"first key beyond, of none", {0, 21}, {1, 0}, false, SNUG_STATUS_SHAPE},
        {"within the capacity but beyond", {0, 20}, {1, 1}, false, SNUG_STATUS_SHAPE},
        {"a sum that overflows", {INT32_MAX, 0}, {INT32_MAX, 1}, false, SNUG_STATUS_SHAPE},
        {"a large count", {20, 0}, {INT32_MAX, 1}, false, SNUG_STATUS_SHAPE},
    };
    float q[2] = {0}, out[2];
    static const int32_t positions[2] = {3, 3};

    (void)state;
    for (int64_t key = 0; key < KEYS; key++)
        memory.k[0][key] = memory.v[0][key] = memory.k[1][key] = memory.v[1][key] = 1;
    store_all(SNUG_DTYPE_F32, 2, 1, 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_attention args = {.sequences = 2,
                                      .rows_per_sequence = 1,
                                      .heads = 1,
                                      .kv_heads = 1,
                                      .head_dim = 1,
                                      .capacity = KEYS,
                                      .keys = 20,
                                      .causal = cases[i].causal,
                                      .scale = 1,
                                      .q = q,
                                      .q_ld = 1,
                                      .dtype = SNUG_DTYPE_F32,
                                      .k_cache = memory.k_cache,
                                      .v_cache = memory.v_cache,
                                      .positions = cases[i].causal ? positions : NULL,
                                      .first_keys = cases[i].first,
                                      .key_counts = cases[i].count,
                                      .out = out,
                                      .out_ld = 1};
        enum snug_status got = snug_ops_ref()->attention(&args, NULL);
        if (got != cases[i].want)
            fail_msg("%s: got status %d, want %d", cases[i].what, (int)got, (int)cases[i].want);
        args.first_keys = NULL;
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_SHAPE);
        args.first_keys = cases[i].first;
        args.key_counts = NULL;
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_SHAPE);
        args.first_keys = NULL;
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual_gate),
        cmocka_unit_test(test_residual_gate_of_zero),
        cmocka_unit_test(test_residual_mask),
        cmocka_unit_test(test_add_rows),
        cmocka_unit_test(test_add_rows_rounds),
        cmocka_unit_test(test_vision_embed_without_position),
        cmocka_unit_test(test_kv_store_source),
        cmocka_unit_test(test_attention_ranges),
        cmocka_unit_test(test_attention_range_blocks),
        cmocka_unit_test(test_refuses_gates),
        cmocka_unit_test(test_refuses_source),
        cmocka_unit_test(test_refuses_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
