/* The reference on cases worked out by hand, each of which fails if the order of operations
 * changes. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ref_check.h"

/* ---- linear ---- */

/* One output of k terms: w[0] = 2^24, then ones. Inside the first block the ones are lost; a block
 * of its own counts them, and its sum is added whole. */
static void test_blocks(void **state)
{
    static const struct {
        int64_t k;
        float want;
    } cases[] = {
        {1, BIG},         {255, BIG},       {256, BIG},       {257, BIG},       {258, BIG + 2},
        {512, BIG + 256}, {513, BIG + 256}, {514, BIG + 258}, {768, BIG + 512},
    };
    float x[768], w[768 * SNUG_PANEL] = {0}, y = 0;

    (void)state;
    for (int k = 0; k < 768; k++)
        x[k] = 1;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int64_t k = 0; k < cases[i].k; k++)
            w[k * SNUG_PANEL] = k == 0 ? BIG : 1.0f;
        struct snug_linear args = {.rows = 1,
                                   .n = 1,
                                   .k = cases[i].k,
                                   .x = x,
                                   .x_ld = 768,
                                   .w_dtype = SNUG_DTYPE_F32,
                                   .w = w,
                                   .y = &y,
                                   .y_ld = 1};
        assert_int_equal(snug_ops_ref()->linear(&args, NULL), SNUG_STATUS_OK);
        check("k", cases[i].k, y, cases[i].want);
    }
}

static void test_fused_and_bias(void **state)
{
    const float e = 0x1p-12f;
    float x[2] = {-(1 + 2 * e), 1 + e}, w[2 * SNUG_PANEL] = {0}, bias = 1.0f, y = 0;
    struct snug_linear args = {.rows = 1,
                               .n = 1,
                               .k = 2,
                               .x = x,
                               .x_ld = 2,
                               .w_dtype = SNUG_DTYPE_F32,
                               .w = w,
                               .y = &y,
                               .y_ld = 1};

    (void)state;
    w[0] = 1;
    w[SNUG_PANEL] = 1 + e;
    assert_int_equal(snug_ops_ref()->linear(&args, NULL), SNUG_STATUS_OK);
    check("(1 + e)^2 - (1 + 2 e), rounded once", 0, y, e * e);

    x[0] = BIG, x[1] = 1, w[0] = 1, w[SNUG_PANEL] = 1;
    args.bias = &bias; /* a bias within the chain would count with the 1 */
    assert_int_equal(snug_ops_ref()->linear(&args, NULL), SNUG_STATUS_OK);
    check("bias comes last", 0, y, BIG);

    x[0] = -0.0f, x[1] = -0.0f, bias = -0.0f;
    assert_int_equal(snug_ops_ref()->linear(&args, NULL), SNUG_STATUS_OK);
    check("chains start at +0", 0, y, 0.0f);
}

/* n over a panel's edge, rows apart, and 16-bit weights. */
static void test_panels(void **state)
{
    enum { ROWS = 2, N = 18, K = 3, Y_LD = 20 };
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
    float x[ROWS * 4] = {1, 10, 100, -1, 2, 20, 200, -1}, y[ROWS * Y_LD];

    (void)state;
    for (size_t t = 0; t < COUNT(dtypes); t++) {
        float wide[N * K], packed[2 * K * SNUG_PANEL];
        uint16_t half[N * K];
        for (int i = 0; i < N * K; i++) {
            wide[i] = (float)(i % 8);
            half[i] = dtypes[t] == SNUG_DTYPE_F16 ? snug_f32_to_f16(wide[i])
                                                  : (uint16_t)(snug_f32_bits(wide[i]) >> 16);
        }
        snug_panel_pack(dtypes[t], dtypes[t] == SNUG_DTYPE_F32 ? (void *)wide : (void *)half, N, K,
                        0, 2, packed);
        for (int i = 0; i < ROWS * Y_LD; i++)
            y[i] = -7;
        struct snug_linear args = {.rows = ROWS,
                                   .n = N,
                                   .k = K,
                                   .x = x,
                                   .x_ld = 4,
                                   .w_dtype = dtypes[t],
                                   .w = packed,
                                   .y = y,
                                   .y_ld = Y_LD};
        assert_int_equal(snug_ops_ref()->linear(&args, NULL), SNUG_STATUS_OK);
        for (int r = 0; r < ROWS; r++) {
            for (int n = 0; n < Y_LD; n++) {
                int a = n * K % 8, b = (n * K + 1) % 8, c = (n * K + 2) % 8;
                int want = n < N ? (r + 1) * (a + 10 * b + 100 * c) : -7;
                check("y", r * Y_LD + n, y[r * Y_LD + n], (float)want);
            }
        }
    }
}

/* ---- norms: lanes and the tree ---- */

static void test_lanes(void **state)
{
    enum { COLS = 64 };
    float x[COLS] = {0}, w[COLS], y[COLS];

    (void)state;
    for (int c = 0; c < COLS; c++)
        w[c] = 0x1p40f;
    x[0] = BIG;
    x[32] = 1;         /* lane 0 again: lost */
    x[16] = x[48] = 1; /* lane 16: 2, arrives with the first step of the tree */
    x[8] = 1;          /* lane 8: arrives second; 2^24 + 2 + 1 rounds to 2^24 + 4 */
    /* eps so large that s = 2^-40 exactly: y = x - mean */
    struct snug_norm args = {.rows = 1,
                             .cols = COLS,
                             .x = x,
                             .x_ld = COLS,
                             .w = w,
                             .eps = 0x1p80f,
                             .y = y,
                             .y_ld = COLS};
    assert_int_equal(snug_ops_ref()->layer_norm(&args, NULL), SNUG_STATUS_OK);
    check("minus the mean", 1, y[1], -(BIG + 4) / 64.0f);
}

static void test_norm_values(void **state)
{
    float x[2] = {3, 4}, w[2] = {2, 10}, b[2] = {1, -1}, y[2];
    struct snug_norm args = {
        .rows = 1, .cols = 2, .x = x, .x_ld = 2, .w = w, .b = b, .eps = 0, .y = y, .y_ld = 2};

    (void)state;
    assert_int_equal(snug_ops_ref()->layer_norm(&args, NULL), SNUG_STATUS_OK);
    check("layer norm", 0, y[0], -1.0f);
    check("layer norm", 1, y[1], 9.0f);
    x[1] = -3;
    args.eps = 7; /* mean of squares 9, s = 1 / 4 */
    args.y = x;   /* in place */
    assert_int_equal(snug_ops_ref()->rms_norm(&args, NULL), SNUG_STATUS_OK);
    check("rms norm", 0, x[0], 1.5f);
    check("rms norm", 1, x[1], -7.5f);
}

/* ---- elementwise, rope ---- */

static void test_elementwise(void **state)
{
    float x[4] = {1, 2, 3, 4}, y[4] = {10, 20, 30, 40}, g[2] = {2, -1};
    struct snug_residual residual = {.rows = 2, .cols = 2, .x = x, .y = y, .g = g};
    float in[3] = {0, 1, -1}, up[3] = {5, 2, 2}, out[3];
    struct snug_unary unary = {.count = 3, .x = in, .up = up, .y = out};

    (void)state;
    assert_int_equal(snug_ops_ref()->residual(&residual, NULL), SNUG_STATUS_OK);
    const float want[4] = {21, -18, 63, -36};
    for (int i = 0; i < 4; i++)
        check("residual", i, x[i], want[i]);
    residual.g = NULL;
    assert_int_equal(snug_ops_ref()->residual(&residual, NULL), SNUG_STATUS_OK);
    check("residual without g", 3, x[3], 4);

    assert_int_equal(snug_ops_ref()->gelu(&unary, NULL), SNUG_STATUS_OK);
    assert_true(out[0] == 0 && fabsf(out[1] - 0.8413447f) < 1e-6f &&
                fabsf(out[2] + 0.1586553f) < 1e-6f);
    assert_int_equal(snug_ops_ref()->silu_mul(&unary, NULL), SNUG_STATUS_OK);
    assert_true(out[0] == 0 && fabsf(out[1] - 1.4621172f) < 1e-6f &&
                fabsf(out[2] + 0.5378828f) < 1e-6f);
}

static void test_rope(void **state)
{
    /* two rows, two heads of 4: pairs (0, 2) and (1, 3) */
    float inv_freq[2] = {1.0f, 0.25f}, x[2 * 9];
    struct snug_rope args = {.rows = 2,
                             .heads = 2,
                             .head_dim = 4,
                             .first_position = 2,
                             .inv_freq = inv_freq,
                             .x = x,
                             .x_ld = 9};

    (void)state;
    for (int i = 0; i < 18; i++)
        x[i] = (float)(i % 9 + 1);
    assert_int_equal(snug_ops_ref()->rope(&args, NULL), SNUG_STATUS_OK);
    for (int r = 0; r < 2; r++) {
        for (int i = 0; i < 8; i++) {
            int base = i / 4 * 4, pair = i % 2;
            double angle = (double)(2 + r) * (pair ? 0.25 : 1.0);
            double a = base + pair + 1, b = base + pair + 3;
            double want =
                i % 4 < 2 ? a * cos(angle) - b * sin(angle) : b * cos(angle) + a * sin(angle);
            assert_true(fabs((double)x[r * 9 + i] - want) < 2e-6);
        }
        check("between rows", r, x[r * 9 + 8], 9);
    }
    args.rows = 1, args.first_position = 0;
    x[0] = 5;
    assert_int_equal(snug_ops_ref()->rope(&args, NULL), SNUG_STATUS_OK);
    check("position 0 turns nothing", 0, x[0], 5);
}

/* Rows of different documents: a position and a row of frequencies each. */
static void test_rope_positions(void **state)
{
    float inv_freq[2][3] = {{1.0f, 0.25f, 99}, {0.5f, 2.0f, 99}}, x[2 * 4];
    const int32_t positions[2] = {9, 3};
    struct snug_rope args = {.rows = 2,
                             .heads = 1,
                             .head_dim = 4,
                             .first_position = 77,
                             .inv_freq = inv_freq[0],
                             .inv_freq_ld = 3,
                             .positions = positions,
                             .x = x,
                             .x_ld = 4};

    (void)state;
    for (int i = 0; i < 8; i++)
        x[i] = i % 4 < 2 ? 1 : 0;
    assert_int_equal(snug_ops_ref()->rope(&args, NULL), SNUG_STATUS_OK);
    for (int i = 0; i < 8; i++) {
        double angle = (double)positions[i / 4] * (double)inv_freq[i / 4][i % 2];
        assert_true(fabs((double)x[i] - (i % 4 < 2 ? cos(angle) : sin(angle))) < 2e-6);
    }
}

/* ---- attention ---- */

enum { KEYS = 528, DIM = 2 };
static float k_cache[2 * KEYS * DIM], v_cache[2 * KEYS * SNUG_PANEL];

static void set_key(int head, int64_t key, float k0, float v0)
{
    float *k = k_cache + head * snug_k_cache_elements(KEYS, DIM);
    float *v = v_cache + head * snug_v_cache_elements(KEYS, DIM);
    k[snug_panel_index(key, 0, DIM)] = k0;
    k[snug_panel_index(key, 1, DIM)] = 0;
    v[snug_panel_index(0, key, KEYS)] = v0;
    v[snug_panel_index(1, key, KEYS)] = -v0;
}

static struct snug_attention attention_args(int64_t rows, int64_t heads, const float *q, float *out)
{
    return (struct snug_attention){.sequences = 1,
                                   .rows_per_sequence = rows,
                                   .heads = heads,
                                   .kv_heads = heads > 1 ? 2 : 1,
                                   .head_dim = DIM,
                                   .capacity = KEYS,
                                   .scale = 0.5f,
                                   .q = q,
                                   .q_ld = heads * DIM,
                                   .dtype = SNUG_DTYPE_F32,
                                   .k_cache = k_cache,
                                   .v_cache = v_cache,
                                   .out = out,
                                   .out_ld = heads * DIM};
}

/* All scores equal: p = 1. Blocks of values are summed on their own, then folded. */
static void test_attention_blocks(void **state)
{
    static const struct {
        int64_t keys;
        float sum;
    } cases[] = {{1, BIG},         {256, BIG},       {257, BIG},      {258, BIG + 2},
                 {512, BIG + 256}, {513, BIG + 256}, {514, BIG + 258}};
    float q[DIM] = {0}, out[DIM];
    struct snug_attention args = attention_args(1, 1, q, out);

    (void)state;
    for (int64_t key = 0; key < KEYS; key++)
        set_key(0, key, 1, key == 0 ? BIG : 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        args.keys = cases[i].keys;
        assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
        check("O / L", cases[i].keys, out[0], cases[i].sum / (float)cases[i].keys);
        check("O / L", cases[i].keys, out[1], -cases[i].sum / (float)cases[i].keys);
    }
    args.keys = 0;
    out[0] = out[1] = 5;
    assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    check("no key", 0, out[0], 0);
    check("no key", 1, out[1], 0);
}

/* The second block holds the larger score: a = exp(M - M') scales what came before. */
static void test_attention_fold(void **state)
{
    float q[DIM] = {4, 0}, out[DIM], e = snug_expf(-2);
    struct snug_attention args = attention_args(1, 1, q, out);

    (void)state;
    for (int64_t key = 0; key < KEYS; key++)
        set_key(0, key, key < 256 ? 0 : 1, key < 256 ? 3 : 5); /* scores 0 and 4 * 0.5 * 1 */
    args.keys = 257;
    assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    check("fold", 0, out[0], fmaf(768, e, 5) / fmaf(256, e, 1));
}

static void test_attention_causal(void **state)
{
    enum { ROWS = 5, FIRST = 254 };
    float q[ROWS * DIM] = {0}, out[ROWS * DIM];
    struct snug_attention args = attention_args(ROWS, 1, q, out);

    (void)state;
    for (int64_t key = 0; key < KEYS; key++)
        set_key(0, key, 1, key > FIRST + ROWS - 1 ? NAN : (float)key);
    args.causal = true;
    args.first_position = FIRST;
    args.keys = FIRST + ROWS;
    assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    for (int r = 0; r < ROWS; r++)
        check("mean of the keys up to its own", r, out[r * DIM], (float)(FIRST + r) / 2);
}

static void test_attention_groups(void **state)
{
    float q[4 * DIM] = {0}, out[4 * DIM];
    struct snug_attention args = attention_args(1, 4, q, out);

    (void)state;
    for (int64_t key = 0; key < KEYS; key++) {
        set_key(0, key, 1, 10);
        set_key(1, key, 1, 20);
    }
    args.keys = 3;
    assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    for (int h = 0; h < 4; h++)
        check("heads 0, 1 read kv head 0", h, out[h * DIM], h < 2 ? 10 : 20);
}

/* Two sequences, the first in cache 1 with three keys, the second in cache 0 with one. */
static void test_attention_slots(void **state)
{
    float q[2 * DIM] = {0}, out[2 * DIM] = {0};
    static const int32_t slots[2] = {1, 0}, positions[2] = {2, 0};
    struct snug_attention args = attention_args(1, 1, q, out);

    (void)state;
    args.sequences = 2;
    args.caches = 2;
    args.slots = slots;
    args.positions = positions;
    args.keys = KEYS;
    args.causal = true;
    set_key(0, 0, 1, 7);
    set_key(0, 1, 1, NAN);
    for (int key = 0; key < 4; key++)
        set_key(1, key, 1, key < 3 ? (float)key : NAN);
    assert_int_equal(snug_ops_ref()->attention(&args, NULL), SNUG_STATUS_OK);
    check("cache 1, the mean of three", 0, out[0], 1);
    check("cache 0, its first key", 0, out[DIM], 7);
}

static void test_kv_store_slots(void **state)
{
    static const int32_t slots[2] = {2, 0}, positions[2] = {5, 17};
    float row[2 * DIM] = {1, 2, 3, INFINITY}, k[3 * 32 * DIM] = {0}, v[3 * 32 * SNUG_PANEL] = {0};
    bool found[2] = {false, false};
    struct snug_kv_store args = {.sequences = 2,
                                 .rows_per_sequence = 1,
                                 .kv_heads = 1,
                                 .head_dim = DIM,
                                 .capacity = 32,
                                 .k = row,
                                 .v = row,
                                 .k_ld = DIM,
                                 .v_ld = DIM,
                                 .dtype = SNUG_DTYPE_F32,
                                 .k_cache = k,
                                 .v_cache = v,
                                 .caches = 3,
                                 .slots = slots,
                                 .positions = positions,
                                 .non_finite = found};

    (void)state;
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
    check("key", 0, k[2 * 32 * DIM + 0 * SNUG_PANEL + 5], 1);
    check("key", 1, k[1 * DIM * SNUG_PANEL + 0 * SNUG_PANEL + 1], 3);
    check("value", 0, v[2 * 32 * SNUG_PANEL + 5 * SNUG_PANEL + 1], 2);
    check("value", 1, v[17 * SNUG_PANEL], 3);
    assert_false(found[0]);
    assert_true(found[1]);
    float sum = 0;
    for (int i = 0; i < 3 * 32 * DIM; i++)
        sum += isfinite(k[i]) ? fabsf(k[i]) : 0;
    check("nothing else", 0, sum, 6);
    args.non_finite = NULL; /* nobody asks */
    assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
}

static void test_kv_store(void **state)
{
    static const struct {
        float value;
        uint16_t half;
        bool non_finite;
    } cases[] = {
        {1.0f, 0x3c00, false},       {65504.0f, 0x7bff, false},   {65519.0f, 0x7bff, false},
        {65520.0f, 0x7c00, true},    {-1e30f, 0xfc00, true},      {0x1p-24f, 0x0001, false},
        {0x1p-25f, 0x0000, false},   {0x1.8p-24f, 0x0002, false}, {-0.0f, 0x8000, false},
        {INFINITY, 0x7c00, true},    {0x1.004p0f, 0x3c01, false}, {0x1.002p0f, 0x3c00, false},
        {0x1.006p0f, 0x3c02, false},
    };
    uint16_t k[32 * DIM], v[32 * SNUG_PANEL];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        float row[DIM] = {2, cases[i].value};
        bool found = false;
        struct snug_kv_store args = {.sequences = 1,
                                     .rows_per_sequence = 1,
                                     .kv_heads = 1,
                                     .head_dim = DIM,
                                     .capacity = 32,
                                     .first_position = 17,
                                     .k = row,
                                     .v = row,
                                     .k_ld = DIM,
                                     .v_ld = DIM,
                                     .dtype = SNUG_DTYPE_F16,
                                     .k_cache = k,
                                     .v_cache = v,
                                     .non_finite = &found};
        memset(k, 0x55, sizeof k);
        memset(v, 0x55, sizeof v);
        assert_int_equal(snug_ops_ref()->kv_store(&args, NULL), SNUG_STATUS_OK);
        assert_int_equal(k[(1 * DIM + 1) * SNUG_PANEL + 1], cases[i].half);
        assert_int_equal(v[17 * SNUG_PANEL + 1], cases[i].half);
        assert_int_equal(k[(1 * DIM + 0) * SNUG_PANEL + 1], 0x4000);
        assert_int_equal(k[(1 * DIM + 1) * SNUG_PANEL + 2], 0x5555); /* the next position */
        assert_int_equal(v[18 * SNUG_PANEL], 0x5555);
        assert_int_equal(found, cases[i].non_finite);
    }
}

/* ---- moving rows ---- */

static void test_patches(void **state)
{
    float pixels[3 * 16], y[4 * 12];
    struct snug_patches args = {.tiles = 1, .side = 4, .patch = 2, .pixels = pixels, .y = y};

    (void)state;
    for (int i = 0; i < 48; i++)
        pixels[i] = (float)(i / 16 * 100 + i % 16);
    assert_int_equal(snug_ops_ref()->patches(&args, NULL), SNUG_STATUS_OK);
    static const float second[12] = {2, 3, 6, 7, 102, 103, 106, 107, 202, 203, 206, 207};
    for (int i = 0; i < 12; i++)
        check("second patch", i, y[12 + i], second[i]);
    check("third patch", 0, y[24], 8);
}

static void test_vision_rows(void **state)
{
    float x[4] = {1, 2, 3, 4}, cls[1] = {100}, position[3] = {10, 20, 30}, y[6], back[4];
    struct snug_vision_embed embed = {
        .tiles = 2, .count = 2, .d = 1, .x = x, .cls = cls, .position = position, .y = y};
    struct snug_drop_cls drop = {.tiles = 2, .count = 2, .d = 1, .x = y, .y = back};
    static const float want[6] = {110, 21, 32, 110, 23, 34};

    (void)state;
    assert_int_equal(snug_ops_ref()->vision_embed(&embed, NULL), SNUG_STATUS_OK);
    for (int i = 0; i < 6; i++)
        check("with class row", i, y[i], want[i]);
    assert_int_equal(snug_ops_ref()->drop_cls(&drop, NULL), SNUG_STATUS_OK);
    check("without", 0, back[0], 21);
    check("without", 2, back[2], 23);
}

static void test_pixel_shuffle(void **state)
{
    static const float v2[16] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
    static const float v1[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
    float x[16], y[16];
    struct snug_pixel_shuffle args = {.tiles = 1, .grid = 4, .d = 1, .x = x, .y = y};

    (void)state;
    for (int i = 0; i < 16; i++)
        x[i] = (float)i;
    assert_int_equal(snug_ops_ref()->pixel_shuffle(&args, NULL), SNUG_STATUS_OK);
    for (int i = 0; i < 16; i++)
        check("v2", i, y[i], v2[i]);
    args.transposed = true;
    assert_int_equal(snug_ops_ref()->pixel_shuffle(&args, NULL), SNUG_STATUS_OK);
    for (int i = 0; i < 16; i++)
        check("v1", i, y[i], v1[i]);
    args.grid = 3;
    assert_int_equal(snug_ops_ref()->pixel_shuffle(&args, NULL), SNUG_STATUS_SHAPE);
}

static void test_embed(void **state)
{
    float table[2 * SNUG_PANEL], features[4] = {-1, -2, -3, -4}, y[6];
    int32_t ids[3] = {3, 99, 0}, image_row[3] = {-1, 1, -1};
    struct snug_embed args = {.rows = 3,
                              .d = 2,
                              .vocabulary = 4,
                              .feature_rows = 2,
                              .ids = ids,
                              .image_row = image_row,
                              .table_dtype = SNUG_DTYPE_F32,
                              .table = table,
                              .features = features,
                              .y = y};
    static const float want[6] = {3, 103, -3, -4, 0, 100};

    (void)state;
    for (int i = 0; i < SNUG_PANEL; i++) {
        table[i] = (float)i;
        table[SNUG_PANEL + i] = (float)(100 + i);
    }
    assert_int_equal(snug_ops_ref()->embed(&args, NULL), SNUG_STATUS_OK); /* 99 is not looked at */
    for (int i = 0; i < 6; i++)
        check("embed", i, y[i], want[i]);
    image_row[1] = 2;
    assert_int_equal(snug_ops_ref()->embed(&args, NULL), SNUG_STATUS_SHAPE);
    image_row[1] = -1;
    assert_int_equal(snug_ops_ref()->embed(&args, NULL), SNUG_STATUS_SHAPE);
    ids[1] = -1;
    assert_int_equal(snug_ops_ref()->embed(&args, NULL), SNUG_STATUS_SHAPE);
}

/* ---- logits ---- */

static void test_logits(void **state)
{
    float x[40];
    struct snug_logit_stats args = {.count = 40, .logits = x};

    (void)state;
    for (int i = 0; i < 40; i++)
        x[i] = i == 7 || i == 30 ? 2.0f : -INFINITY;
    assert_int_equal(snug_ops_ref()->logit_stats(&args, NULL), SNUG_STATUS_OK);
    assert_int_equal(args.argmax, 7);
    check("max", 0, args.max, 2);
    check("sum", 0, args.sum, 2);
    assert_false(args.finite);
    for (int i = 0; i < 40; i++)
        x[i] = i == 39 ? 0.0f : -1.0f;
    assert_int_equal(snug_ops_ref()->logit_stats(&args, NULL), SNUG_STATUS_OK);
    assert_int_equal(args.argmax, 39);
    assert_true(args.finite);
    assert_true(fabsf(args.sum - (1 + 39 * 0.36787944f)) < 1e-5f);
}

/* ---- refusals ---- */

static void test_shapes(void **state)
{
    float f[64] = {0};
    int32_t id = 0;
    bool found;
    const struct snug_ops *ops = snug_ops_ref();
    struct snug_linear linear = {.rows = 1,
                                 .n = 2,
                                 .k = 2,
                                 .x = f,
                                 .x_ld = 1,
                                 .w_dtype = SNUG_DTYPE_F32,
                                 .w = f,
                                 .y = f,
                                 .y_ld = 2};
    struct snug_norm norm = {.rows = 1, .cols = 0, .x = f, .w = f, .y = f};
    struct snug_rope rope = {
        .rows = 1, .heads = 1, .head_dim = 3, .inv_freq = f, .x = f, .x_ld = 3};
    struct snug_kv_store store = {.sequences = 1,
                                  .rows_per_sequence = 2,
                                  .kv_heads = 1,
                                  .head_dim = 1,
                                  .capacity = 16,
                                  .first_position = 15,
                                  .k = f,
                                  .v = f,
                                  .k_ld = 1,
                                  .v_ld = 1,
                                  .dtype = SNUG_DTYPE_F32,
                                  .k_cache = f,
                                  .v_cache = f,
                                  .non_finite = &found};
    struct snug_attention attention = {.sequences = 1,
                                       .rows_per_sequence = 1,
                                       .heads = 3,
                                       .kv_heads = 2,
                                       .head_dim = 1,
                                       .capacity = 16,
                                       .keys = 1,
                                       .q = f,
                                       .q_ld = 3,
                                       .dtype = SNUG_DTYPE_F32,
                                       .k_cache = f,
                                       .v_cache = f,
                                       .out = f,
                                       .out_ld = 3};
    struct snug_embed embed = {.rows = 1,
                               .d = 1,
                               .vocabulary = 1,
                               .ids = &id,
                               .table_dtype = SNUG_DTYPE_I8,
                               .table = f,
                               .y = f};

    (void)state;
    assert_int_equal(ops->linear(&linear, NULL), SNUG_STATUS_SHAPE);
    linear.x_ld = 2;
    linear.w_dtype = SNUG_DTYPE_I8;
    assert_int_equal(ops->linear(&linear, NULL), SNUG_STATUS_SHAPE);
    linear.rows = 0;
    linear.w_dtype = SNUG_DTYPE_F16;
    linear.x = linear.y = NULL;
    assert_int_equal(ops->linear(&linear, NULL), SNUG_STATUS_OK);
    assert_int_equal(ops->layer_norm(&norm, NULL), SNUG_STATUS_SHAPE);
    assert_int_equal(ops->rms_norm(&norm, NULL), SNUG_STATUS_SHAPE);
    assert_int_equal(ops->rope(&rope, NULL), SNUG_STATUS_SHAPE);
    assert_int_equal(ops->kv_store(&store, NULL), SNUG_STATUS_SHAPE);
    assert_int_equal(ops->attention(&attention, NULL), SNUG_STATUS_SHAPE);
    attention.kv_heads = 3;
    attention.keys = 17;
    assert_int_equal(ops->attention(&attention, NULL), SNUG_STATUS_SHAPE);
    attention.keys = 1;
    attention.causal = true;
    attention.first_position = 1;
    assert_int_equal(ops->attention(&attention, NULL), SNUG_STATUS_SHAPE);
    assert_int_equal(ops->embed(&embed, NULL), SNUG_STATUS_SHAPE);
}

/* Slots and positions that lie outside, one change at a time from what is right. */
static void test_refuses_slots(void **state)
{
    float f[64] = {0}, k[2 * 16] = {0}, v[2 * 16 * SNUG_PANEL] = {0};
    bool found[2];
    static const struct {
        int32_t slots[2], positions[2];
        enum snug_status store, attend;
    } cases[] = {
        {{1, 0}, {15, 0}, SNUG_STATUS_OK, SNUG_STATUS_OK},
        {{2, 0}, {15, 0}, SNUG_STATUS_SHAPE, SNUG_STATUS_SHAPE},
        {{1, -1}, {15, 0}, SNUG_STATUS_SHAPE, SNUG_STATUS_SHAPE},
        {{1, 1}, {15, 0}, SNUG_STATUS_SHAPE, SNUG_STATUS_OK}, /* two may read one cache */
        {{1, 0}, {16, 0}, SNUG_STATUS_SHAPE, SNUG_STATUS_SHAPE},
        {{1, 0}, {15, -1}, SNUG_STATUS_SHAPE, SNUG_STATUS_SHAPE},
        {{1, 0}, {15, INT32_MAX}, SNUG_STATUS_SHAPE, SNUG_STATUS_SHAPE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_kv_store store = {.sequences = 2,
                                      .rows_per_sequence = 1,
                                      .kv_heads = 1,
                                      .head_dim = 1,
                                      .capacity = 16,
                                      .k = f,
                                      .v = f,
                                      .k_ld = 1,
                                      .v_ld = 1,
                                      .dtype = SNUG_DTYPE_F32,
                                      .k_cache = k,
                                      .v_cache = v,
                                      .caches = 2,
                                      .slots = cases[i].slots,
                                      .positions = cases[i].positions,
                                      .non_finite = found};
        struct snug_attention attention = {.sequences = 2,
                                           .rows_per_sequence = 1,
                                           .heads = 1,
                                           .kv_heads = 1,
                                           .head_dim = 1,
                                           .capacity = 16,
                                           .keys = 16,
                                           .causal = true,
                                           .q = f,
                                           .q_ld = 1,
                                           .dtype = SNUG_DTYPE_F32,
                                           .k_cache = k,
                                           .v_cache = v,
                                           .caches = 2,
                                           .slots = cases[i].slots,
                                           .positions = cases[i].positions,
                                           .out = f + 8,
                                           .out_ld = 1};
        assert_int_equal(snug_ops_ref()->kv_store(&store, NULL), cases[i].store);
        assert_int_equal(snug_ops_ref()->attention(&attention, NULL), cases[i].attend);
        struct snug_rope rope = {.rows = 2,
                                 .heads = 1,
                                 .head_dim = 2,
                                 .inv_freq = f,
                                 .positions = cases[i].positions,
                                 .x = f + 8,
                                 .x_ld = 2};
        bool fits = cases[i].positions[1] >= 0 && cases[i].positions[1] < SNUG_MAX_CONTEXT;
        assert_int_equal(snug_ops_ref()->rope(&rope, NULL),
                         fits ? SNUG_STATUS_OK : SNUG_STATUS_SHAPE);
        rope.head_dim = 4; /* frequencies that overlap */
        rope.x_ld = 4;
        rope.inv_freq_ld = 1;
        assert_int_equal(snug_ops_ref()->rope(&rope, NULL), SNUG_STATUS_SHAPE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_fused_and_bias),
        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_norm_values),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_positions),
        cmocka_unit_test(test_attention_blocks),
        cmocka_unit_test(test_attention_fold),
        cmocka_unit_test(test_attention_causal),
        cmocka_unit_test(test_attention_groups),
        cmocka_unit_test(test_kv_store),
        cmocka_unit_test(test_attention_slots),
        cmocka_unit_test(test_kv_store_slots),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_vision_rows),
        cmocka_unit_test(test_pixel_shuffle),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refuses_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
