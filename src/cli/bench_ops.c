/* snug bench ops: each kernel at the shapes of InternVL3-1B and -8B, and attention at those of
 * Llama-3.2-Vision. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Linear layers, by model and part; n x k. Rows: a prompt chunk of 512, a tile's 1025, and two
 * tiles' 512 for the projector. `times`: in one layer (or in all, for what is not in a layer). */
struct linear_shape {
    const char *part;
    int64_t rows, n, k;
    int times;
};
static const struct linear_shape shapes_1b[] = {
    {"text", 512, 896, 896, 2},      {"text", 512, 128, 896, 2},
    {"text", 512, 4864, 896, 2},     {"text", 512, 896, 4864, 1},
    {"vision", 1025, 1024, 1024, 4}, {"vision", 1025, 4096, 1024, 1},
    {"vision", 1025, 1024, 4096, 1}, {"projector", 512, 896, 4096, 1},
};
/* The tower is the same; layers of the text model and of the projector are not. */
static const struct linear_shape shapes_8b[] = {
    {"text", 512, 3584, 3584, 2},  {"text", 512, 512, 3584, 2},       {"text", 512, 18944, 3584, 2},
    {"text", 512, 3584, 18944, 1}, {"projector", 512, 3584, 4096, 1},
};
/* projector.linear_2 of both has the shape of q and o. */

static uint32_t random_state = 1;
static float random_value(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(int32_t)(random_state >> 8 & 0xffffu) / 16384.0f - 2;
}

static void *take(int64_t bytes)
{
    void *data = snug_calloc(snug_allocator_heap(), (size_t)bytes + 64, 1);
    SNUG_ASSERT(data);
    return data;
}

static void drop(void *data)
{
    snug_free(snug_allocator_heap(), data);
}

/* One linear layer with operands of its own; quantised: activations too, each time. */
struct linear_case {
    const struct bench *b;
    struct snug_quantize quantize;
    struct snug_linear_quantized quantized;
    struct snug_linear plain;
};

static void run_case(void *context)
{
    struct linear_case *c = context;
    enum snug_status status;
    if (c->quantized.quant == SNUG_QUANT_NONE) {
        status = c->b->ops->linear(&c->plain, c->b->pool);
    } else {
        status = c->b->ops->quantize(&c->quantize, c->b->pool);
        if (!status)
            status = c->b->ops->linear_quantized(&c->quantized, c->b->pool);
    }
    SNUG_ASSERT(!status);
}

/* Milliseconds of one; bytes of its weights. Integers and scales are made up in place: any byte is
 * a weight, and 2^-8 a scale. outliers: 0.1 % of the channels, at least one, in every row. */
static double time_linear(const struct bench *b, enum snug_quant quant, enum snug_dtype dtype,
                          int64_t rows, int64_t n, int64_t k, bool outliers, double *bytes)
{
    int64_t scales = quant ? snug_quant_scale_count(quant, n, k) : 0;
    int64_t w_bytes = quant ? snug_quant_bytes(quant, n, k)
                            : snug_panel_elements(n, k) * (int64_t)snug_dtype_size(dtype);
    float *x = take(rows * k * 4), *y = take(rows * n * 4);
    unsigned char *w = take(w_bytes);
    uint16_t *w_scales = take(scales * 2);
    void *records = take(rows * snug_quantized_row_bytes(k));
    for (int64_t i = 0; i < rows * k; i++)
        x[i] = random_value();
    for (int64_t r = 0; outliers && r < rows; r++)
        for (int64_t i = 0; i < 1 + k / 1000; i++)
            x[r * k + (i * 997 + 31) % k] = 20;
    for (int64_t i = 0; i < w_bytes; i += 2) { /* small 16-bit floats, or bytes of 1 .. 255 */
        random_state = random_state * 1664525u + 1013904223u;
        w[i] = (unsigned char)(random_state >> 16 | 1u);
        w[i + 1] = quant ? (unsigned char)(random_state >> 24 | 1u) : 0x3c;
    }
    for (int64_t i = 0; i < scales; i++)
        w_scales[i] = 0x1c00;
    struct linear_case c = {.b = b,
                            .quantize = {rows, k, x, k, 6, records},
                            .quantized = {rows, n, k, records, quant, w, w_scales, NULL, y, n},
                            .plain = {rows, n, k, x, k, dtype, w, NULL, y, n}};
    double work = 2e-9 * (double)(rows * n) * (double)k;
    double ms = bench_time(b, b->quick ? 1 : work > 20 ? 900 : 250, run_case, &c);
    *bytes = (double)w_bytes + 2 * (double)scales;
    drop(x);
    drop(y);
    drop(w);
    drop(w_scales);
    drop(records);
    return ms;
}

static const char *shape_text(int64_t m, int64_t n, int64_t k)
{
    static char text[40];
    snprintf(text, sizeof text, "%lldx%lldx%lld", (long long)m, (long long)n, (long long)k);
    return text;
}

/* One row; returns the milliseconds. */
static double gemm(struct bench *b, const char *name, enum snug_quant quant, enum snug_dtype dtype,
                   const struct linear_shape *s, bool outliers)
{
    double bytes, ms = time_linear(b, quant, dtype, s->rows, s->n, s->k, outliers, &bytes);
    double rate = 2 * (double)(s->rows * s->n) * (double)s->k / ms / 1e6;
    bench_add(b, name, shape_text(s->rows, s->n, s->k), rate, quant ? "GOP/s" : "GFLOP/s", rate,
              quant ? BENCH_LIMIT_INT8 : BENCH_LIMIT_F32);
    return ms;
}

/* All shapes of the 1B model, and what they come to over a layer of each part. */
static void gemm_layers(struct bench *b, const char *name, bool outliers)
{
    static const char *const parts[] = {"text", "vision"};
    double ms[2] = {0}, operations[2] = {0};
    char label[40];
    size_t count = b->quick ? 2 : sizeof shapes_1b / sizeof *shapes_1b;
    for (size_t i = 0; i < count; i++) {
        const struct linear_shape *s = &shapes_1b[i];
        double one = gemm(b, name, SNUG_QUANT_Q8, SNUG_DTYPE_F32, s, outliers);
        for (int p = 0; p < 2; p++)
            if (!strcmp(parts[p], s->part)) {
                ms[p] += one * s->times;
                operations[p] += 2.0 * s->times * (double)(s->rows * s->n) * (double)s->k;
            }
        if (i == 3)
            bench_peaks(b);
    }
    for (int p = 0; p < 2 && !b->quick; p++) {
        snprintf(label, sizeof label, "%s_layer", name);
        bench_add(b, label, parts[p], operations[p] / ms[p] / 1e6, "GOP/s",
                  operations[p] / ms[p] / 1e6, BENCH_LIMIT_INT8);
    }
}

static void gemv(struct bench *b, const char *name, enum snug_quant quant, int64_t rows, int64_t n,
                 int64_t k)
{
    double bytes, ms = time_linear(b, quant, SNUG_DTYPE_BF16, rows, n, k, false, &bytes);
    bench_add(b, name, shape_text(rows, n, k), bytes / ms / 1e6, "GB/s", bytes / ms / 1e6,
              BENCH_LIMIT_READ);
}

static void gemvs(struct bench *b)
{
    static const struct {
        const char *name;
        enum snug_quant quant;
        int64_t rows;
    } kinds[] = {{"gemv_q8", SNUG_QUANT_Q8, 1},
                 {"gemv_q4", SNUG_QUANT_Q4, 1},
                 {"gemv_bf16", SNUG_QUANT_NONE, 1},
                 {"gemv4_q8", SNUG_QUANT_Q8, 4},
                 {"gemv4_q4", SNUG_QUANT_Q4, 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        gemv(b, kinds[i].name, kinds[i].quant, kinds[i].rows, 4864, 896);
        if (b->quick)
            continue;
        gemv(b, kinds[i].name, kinds[i].quant, kinds[i].rows, 151674, 896);
        gemv(b, kinds[i].name, kinds[i].quant, kinds[i].rows, 18944, 3584);
    }
}

/* ---- attention and the rest ---- */

struct attention_case {
    const struct bench *b;
    struct snug_attention args;
};

static void run_attention(void *context)
{
    struct attention_case *c = context;
    enum snug_status status = c->b->ops->attention(&c->args, c->b->pool);
    SNUG_ASSERT(!status);
}

enum seen { SEEN_CAUSAL, SEEN_ALL, SEEN_RANGE };
struct attention_shape {
    const char *name;
    int64_t rows, keys, heads, kv_heads, head_dim;
    enum seen seen;
    enum snug_dtype dtype;
};
/* InternVL3-1B's text and tower; Llama-3.2-Vision's tower with a part of its rows, and a chunk and
 * a token of its text that read the four tiles of a picture. */
static const struct attention_shape attention_shapes[] = {
    {"attention_prefill", 512, 512, 14, 2, 64, SEEN_CAUSAL, SNUG_DTYPE_F16},
    {"attention_prefill", 512, 3584, 14, 2, 64, SEEN_CAUSAL, SNUG_DTYPE_F16},
    {"attention_decode", 1, 512, 14, 2, 64, SEEN_CAUSAL, SNUG_DTYPE_F16},
    {"attention_decode", 1, 3584, 14, 2, 64, SEEN_CAUSAL, SNUG_DTYPE_F16},
    {"attention_vision", 1025, 1025, 16, 16, 64, SEEN_ALL, SNUG_DTYPE_F32},
    {"attention_tower", 512, 6432, 16, 16, 80, SEEN_ALL, SNUG_DTYPE_F32},
    {"attention_cross", 512, 6404, 32, 8, 128, SEEN_RANGE, SNUG_DTYPE_F16},
    {"attention_cross_decode", 1, 6404, 32, 8, 128, SEEN_RANGE, SNUG_DTYPE_F16},
};

static void attention(struct bench *b, const struct attention_shape *s)
{
    int64_t d = s->head_dim, capacity = (s->keys + 15) / 16 * 16, q_count = s->rows * s->heads * d;
    int64_t size = s->dtype == SNUG_DTYPE_F32 ? 4 : 2;
    int64_t k_bytes = s->kv_heads * snug_k_cache_elements(capacity, d) * size;
    int64_t v_bytes = s->kv_heads * snug_v_cache_elements(capacity, d) * size;
    float *q = take(q_count * 4), *out = take(q_count * 4);
    unsigned char *k = take(k_bytes), *v = take(v_bytes);
    const int32_t first_key = 0, key_count = (int32_t)s->keys;
    bool causal = s->seen == SEEN_CAUSAL;
    char shape[40];
    for (int64_t i = 0; i < q_count; i++)
        q[i] = random_value();
    memset(k, 0x2c, (size_t)k_bytes); /* 0x2c2c is 0.065 in f16, 2e-12 in f32 */
    memset(v, 0x2c, (size_t)v_bytes);
    struct attention_case c = {.b = b,
                               .args = {.sequences = 1,
                                        .rows_per_sequence = s->rows,
                                        .heads = s->heads,
                                        .kv_heads = s->kv_heads,
                                        .head_dim = d,
                                        .capacity = capacity,
                                        .first_position = causal ? s->keys - s->rows : 0,
                                        .keys = s->keys,
                                        .causal = causal,
                                        .scale = (float)(1.0 / sqrt((double)d)),
                                        .q = q,
                                        .q_ld = s->heads * d,
                                        .dtype = s->dtype,
                                        .k_cache = k,
                                        .v_cache = v,
                                        .first_keys = s->seen == SEEN_RANGE ? &first_key : NULL,
                                        .key_counts = s->seen == SEEN_RANGE ? &key_count : NULL,
                                        .out = out,
                                        .out_ld = s->heads * d}};
    double ms = bench_time(b, b->quick ? 1 : 250, run_attention, &c);
    double seen = (double)s->rows * (double)s->keys -
                  (causal ? (double)s->rows * (double)(s->rows - 1) / 2 : 0);
    double rate = 4 * seen * (double)(s->heads * d) / ms / 1e6;
    snprintf(shape, sizeof shape, "%lldx%lld h%lld/%lld", (long long)s->rows, (long long)s->keys,
             (long long)s->heads, (long long)s->kv_heads);
    bench_add(b, s->name, shape, rate, "GFLOP/s", rate, BENCH_LIMIT_F32);
    drop(q);
    drop(out);
    drop(k);
    drop(v);
}

enum row_op { GELU, SILU_MUL, RMS_NORM, LAYER_NORM, ROPE, QUANTIZE };
struct row_case {
    const struct bench *b;
    enum row_op op;
    int64_t rows, cols;
    float *x, *y, *w;
    void *records;
};

static void run_row_op(void *context)
{
    struct row_case *c = context;
    const struct snug_ops *ops = c->b->ops;
    struct snug_unary unary = {.count = c->rows * c->cols, .x = c->x, .up = c->x, .y = c->y};
    struct snug_norm norm = {c->rows, c->cols, c->x, c->cols, c->w, c->w, 1e-6f, c->y, c->cols};
    struct snug_rope rope = {.rows = c->rows,
                             .heads = c->cols / 64,
                             .head_dim = 64,
                             .inv_freq = c->w,
                             .x = c->y,
                             .x_ld = c->cols};
    struct snug_quantize quantize = {c->rows, c->cols, c->x, c->cols, 6, c->records};
    enum snug_status status = c->op == GELU         ? ops->gelu(&unary, c->b->pool)
                              : c->op == SILU_MUL   ? ops->silu_mul(&unary, c->b->pool)
                              : c->op == RMS_NORM   ? ops->rms_norm(&norm, c->b->pool)
                              : c->op == LAYER_NORM ? ops->layer_norm(&norm, c->b->pool)
                              : c->op == ROPE       ? ops->rope(&rope, c->b->pool)
                                                    : ops->quantize(&quantize, c->b->pool);
    SNUG_ASSERT(!status);
}

static void row_op(struct bench *b, const char *name, enum row_op op, int64_t rows, int64_t cols)
{
    char shape[40];
    struct row_case c = {b,
                         op,
                         rows,
                         cols,
                         take(rows * cols * 4),
                         take(rows * cols * 4),
                         take(cols * 4),
                         take(rows * snug_quantized_row_bytes(cols))};
    for (int64_t i = 0; i < rows * cols; i++)
        c.x[i] = c.y[i] = random_value();
    for (int64_t i = 0; i < cols; i++)
        c.w[i] = 0.5f;
    double moved = (double)(rows * cols) * (op == SILU_MUL ? 12 : op == QUANTIZE ? 5 : 8);
    double ms = bench_time(b, b->quick ? 1 : 120, run_row_op, &c);
    snprintf(shape, sizeof shape, "%lldx%lld", (long long)rows, (long long)cols);
    bench_add(b, name, shape, moved / ms / 1e6, "GB/s", moved / ms / 1e6, BENCH_LIMIT_READ);
    drop(c.x);
    drop(c.y);
    drop(c.w);
    drop(c.records);
}

void bench_ops(struct bench *b)
{
    static const struct linear_shape plain[] = {{"", 1025, 4096, 1024, 1}, {"", 512, 896, 4864, 1}};
    static const struct linear_shape q4[] = {{"", 512, 4864, 896, 1}, {"", 512, 3584, 3584, 1}};
    gemm_layers(b, "gemm_q8", false);
    if (!b->quick)
        gemm_layers(b, "gemm_q8_outliers", true);
    for (size_t i = 0; !b->quick && i < sizeof shapes_8b / sizeof *shapes_8b; i++)
        gemm(b, "gemm_q8", SNUG_QUANT_Q8, SNUG_DTYPE_F32, &shapes_8b[i], false);
    bench_peaks(b);
    for (size_t i = 0; i < 2; i++)
        gemm(b, "gemm_q4", SNUG_QUANT_Q4, SNUG_DTYPE_F32, &q4[i], false);
    for (size_t i = 0; i < (b->quick ? 1 : 2); i++) {
        gemm(b, "gemm_f32", SNUG_QUANT_NONE, SNUG_DTYPE_F32, &plain[i], false);
        gemm(b, "gemm_f16", SNUG_QUANT_NONE, SNUG_DTYPE_F16, &plain[i], false);
        gemm(b, "gemm_bf16", SNUG_QUANT_NONE, SNUG_DTYPE_BF16, &plain[i], false);
    }
    gemvs(b);
    bench_peaks(b);
    for (size_t i = 0; i < sizeof attention_shapes / sizeof *attention_shapes; i++) {
        struct attention_shape shape = attention_shapes[i];
        if (b->quick && shape.keys > 4000 && shape.rows > 1)
            shape.rows = 16;
        attention(b, &shape);
    }
    row_op(b, "gelu", GELU, 1025, 4096);
    row_op(b, "silu_mul", SILU_MUL, 512, 4864);
    row_op(b, "rms_norm", RMS_NORM, 512, 896);
    row_op(b, "layer_norm", LAYER_NORM, 1025, 1024);
    row_op(b, "rope", ROPE, 512, 896);
    row_op(b, "quantize", QUANTIZE, 1025, 4096);
}
