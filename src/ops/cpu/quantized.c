/* Quantised linear layers over the tiles of gemm_quantized.c, and activations to integers. Rules:
 * DESIGN 2.11 to 2.13.
 *
 * A task takes up to 96 rows and a range of panels. It lays out the rows' integers of one group (of
 * several if there are few rows) side by side, passes all panels under them, and goes on to the
 * next group; y, in the second cache, holds the sums between groups. Then come outliers and bias.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"
#include "ops/cpu/simd_int.h"

#define CHUNK_ROWS 96
#define CHUNK_BYTES (CHUNK_ROWS * QUANT_A_LD)
#define ALONE_BELOW_PRODUCTS 400000
#define TASK_PRODUCTS 200000 /* about 5 microseconds */
#define TASKS_A_THREAD 8
#define MOST_PANELS 32 /* 96 x 512 f32 of y, 192 KiB, stay in the second cache between groups */

/* ---- the product ---- */

struct linear {
    const struct snug_linear_quantized *args;
    int64_t chunk_rows, row_chunks, panels_a_task;
};

/* The integers of some groups of a task's rows, laid out for the kernels. */
struct operand {
    _Alignas(64) char a[CHUNK_BYTES];
    float sx[CHUNK_ROWS];
    int32_t comp[CHUNK_ROWS * 4];
};

/* One row's group. */
static void lay_out(const struct snug_linear_quantized *args, const struct snug_quantized_row *row,
                    int64_t group, struct operand *o, int64_t at)
{
    const int8_t *q = row->q + group * SNUG_QUANT_GROUP;
    const int16_t *sums = row->sums + group * 4;
    char *to = o->a + at * QUANT_A_LD;

    o->sx[at] = row->scale[group];
#if SIMD_VNNI
    memcpy(to, q, SNUG_QUANT_GROUP);
#else
    if (args->quant == SNUG_QUANT_Q4)
        memcpy(to, q, SNUG_QUANT_GROUP);
    else
        for (int i = 0; i < SNUG_QUANT_GROUP; i += 32)
            iv_spread(q + i, to + 2 * i);
#endif
    if (args->quant == SNUG_QUANT_Q4)
        for (int i = 0; i < 4; i++)
            o->comp[at * 4 + i] = -8 * sums[i];
    else
        o->comp[at] = -128 * (sums[0] + sums[1] + sums[2] + sums[3]);
}

/* (float)q * sw of one term and a panel's outputs. */
ALWAYS_INLINE void weight_terms(const struct snug_linear_quantized *args, int64_t panel, int32_t k,
                                vec out[PANEL_VECS])
{
    bool q4 = args->quant == SNUG_QUANT_Q4;
    int64_t groups = snug_quant_groups(args->quant, args->k);
    const unsigned char *line = (const unsigned char *)args->w +
                                panel * snug_quant_panel_bytes(args->quant, args->k) +
                                (q4 ? k / 8 : k / 4) * 64;
    const uint16_t *scale =
        args->w_scales + (panel * groups + (q4 ? k / 32 : k / 128)) * SNUG_PANEL;
    const ivec mask = iv_set1(q4 ? 15 : 255);
    const vec offset = v_set1(q4 ? -8.0f : -128.0f);
    int shift = k % 4 * 8 + (q4 ? k & 4 : 0);
    UNROLL
    for (int v = 0; v < PANEL_VECS; v++) {
        ivec bits = iv_and(iv_shift32(iv_load(line + v * (int64_t)sizeof bits), shift), mask);
        vec q = v_add(iv_float(bits), offset); /* exact */
        out[v] = v_mul(q, v_load_f16(scale + v * SIMD_LANES));
    }
}

/* The same outliers' channels as the row before? They often are: then their weights serve again. */
static bool same_channels(const struct snug_quantized_row *a, const struct snug_quantized_row *b)
{
    return *a->count == *b->count &&
           !memcmp(a->outlier_k, b->outlier_k, (size_t)*a->count * sizeof *a->outlier_k);
}

#define KEPT_TERMS 16 /* channels whose weights are kept from row to row */

/* y += o of all rows of a task and one panel. */
static void add_outliers(const struct snug_linear_quantized *args, int64_t first_row, int64_t rows,
                         const bool *repeats, int64_t panel, float *y, int64_t y_ld)
{
    vec kept[KEPT_TERMS][PANEL_VECS];
    for (int64_t r = 0; r < rows; r++) {
        struct snug_quantized_row row = snug_quantized_row(args->x, first_row + r, args->k);
        vec sum[PANEL_VECS];
        if (*row.count == 0)
            continue;
        for (int v = 0; v < PANEL_VECS; v++)
            sum[v] = v_set1(0.0f);
        for (int32_t i = 0; i < *row.count; i++) {
            vec here[PANEL_VECS], *term = i < KEPT_TERMS ? kept[i] : here;
            if (!repeats[r] || i >= KEPT_TERMS)
                weight_terms(args, panel, row.outlier_k[i], term);
            UNROLL
            for (int v = 0; v < PANEL_VECS; v++)
                sum[v] = v_fma(v_set1(row.outlier_x[i]), term[v], sum[v]);
        }
        for (int v = 0; v < PANEL_VECS; v++) {
            float *at = y + r * y_ld + v * SIMD_LANES;
            v_store(at, v_add(v_load(at), sum[v]));
        }
    }
}

/* Outliers and bias of a task's rows; the last panel's outputs come from `tail`. */
static void finish(const struct snug_linear_quantized *args, int64_t first_row, int64_t rows,
                   int64_t panel, int64_t end, float *tail)
{
    int64_t full = min_i64(end, args->n / SNUG_PANEL), last = min_i64(end * SNUG_PANEL, args->n);
    float *first = args->y + first_row * args->y_ld;
    bool repeats[CHUNK_ROWS], any = false;

    for (int64_t r = 0; r < rows; r++) {
        struct snug_quantized_row row = snug_quantized_row(args->x, first_row + r, args->k);
        struct snug_quantized_row before =
            snug_quantized_row(args->x, first_row + (r ? r - 1 : 0), args->k);
        repeats[r] = r > 0 && same_channels(&row, &before);
        any |= *row.count > 0;
    }
    for (int64_t p = panel; any && p < full; p++)
        add_outliers(args, first_row, rows, repeats, p, first + p * SNUG_PANEL, args->y_ld);
    if (any && full < end)
        add_outliers(args, first_row, rows, repeats, full, tail, SNUG_PANEL);
    for (int64_t r = 0; r < rows; r++) {
        float *y = first + r * args->y_ld;
        if (full < end)
            memcpy(y + full * SNUG_PANEL, tail + r * SNUG_PANEL,
                   (size_t)(args->n - full * SNUG_PANEL) * sizeof *y);
        if (!args->bias)
            continue;
        INDEPENDENT
        for (int64_t c = panel * SNUG_PANEL; c < last; c++)
            y[c] = y[c] + args->bias[c];
    }
}

/* Task index: row chunk fastest, so that threads read the same panels at about the same time. */
static void linear_task(void *context, int64_t index, int worker)
{
    const struct linear *l = context;
    const struct snug_linear_quantized *args = l->args;
    int64_t row = index % l->row_chunks * l->chunk_rows;
    int64_t rows = min_i64(l->chunk_rows, args->rows - row);
    int64_t panel = index / l->row_chunks * l->panels_a_task;
    int64_t end = min_i64(snug_panel_count(args->n), panel + l->panels_a_task);
    int64_t full = min_i64(end, args->n / SNUG_PANEL), at_once = CHUNK_ROWS / rows;
    int64_t groups = snug_quant_groups(SNUG_QUANT_Q8, args->k);
    int64_t panel_bytes = snug_quant_panel_bytes(args->quant, args->k);
    int64_t group_scales = args->quant == SNUG_QUANT_Q4 ? 4 * SNUG_PANEL : SNUG_PANEL;
    struct operand o;
    float tail[CHUNK_ROWS * SNUG_PANEL];

    (void)worker;
    for (int64_t group = 0; group < groups; group += at_once) {
        struct gemm_quantized g = {.rows = rows,
                                   .groups = min_i64(at_once, groups - group),
                                   .quant = args->quant,
                                   .a = o.a,
                                   .sx = o.sx,
                                   .comp = o.comp,
                                   .w_panel = panel_bytes,
                                   .scale_panel =
                                       snug_quant_groups(args->quant, args->k) * SNUG_PANEL,
                                   .first = group == 0};
        g.terms = min_i64(g.groups * SNUG_QUANT_GROUP, args->k - group * SNUG_QUANT_GROUP);
        for (int64_t r = 0; r < rows; r++) {
            struct snug_quantized_row from = snug_quantized_row(args->x, row + r, args->k);
            for (int64_t i = 0; i < g.groups; i++)
                lay_out(args, &from, group + i, &o, i * rows + r);
        }
        for (int part = 0; part < 2; part++) {
            int64_t first = part ? full : panel;
            g.panels = part ? end - full : full - panel;
            g.w = (const unsigned char *)args->w + first * panel_bytes +
                  group * (args->quant == SNUG_QUANT_Q4 ? 16 : 32) * 64;
            g.scales = args->w_scales + first * g.scale_panel + group * group_scales;
            g.y = part ? tail : args->y + row * args->y_ld + panel * SNUG_PANEL;
            g.y_ld = part ? SNUG_PANEL : args->y_ld;
            if (g.panels > 0)
                cpu_gemm_quantized(&g);
        }
    }
    finish(args, row, rows, panel, end, tail);
}

enum snug_status cpu_linear_quantized(const struct snug_linear_quantized *args,
                                      struct snug_pool *pool)
{
    enum snug_status status = snug_check_linear_quantized(args);
    if (status)
        return status;
    if (args->rows == 0)
        return SNUG_STATUS_OK;
    int64_t tile = cpu_gemm_quantized_rows(), panels = snug_panel_count(args->n);
    int64_t chunks = ceil_div(args->rows, CHUNK_ROWS);
    struct linear l = {.args = args, .chunk_rows = ceil_div(args->rows, chunks)};
    if (l.chunk_rows > tile) /* whole tiles but for the last chunk */
        l.chunk_rows = min_i64(CHUNK_ROWS, ceil_div(l.chunk_rows, tile) * tile);
    l.row_chunks = ceil_div(args->rows, l.chunk_rows);
    int64_t panel_products = args->k * SNUG_PANEL * l.chunk_rows;
    pool = pool_if(pool, panels * panel_products * l.row_chunks, ALONE_BELOW_PRODUCTS);

    int64_t tasks = ceil_div(TASKS_A_THREAD * pool_threads(pool), l.row_chunks);
    l.panels_a_task = max_i64(ceil_div(panels, tasks), ceil_div(TASK_PRODUCTS, panel_products));
    l.panels_a_task = ceil_div(min_i64(l.panels_a_task, MOST_PANELS), 4) * 4;
    snug_pool_run(pool, linear_task, &l, l.row_chunks * ceil_div(panels, l.panels_a_task));
    return SNUG_STATUS_OK;
}

/* ---- activations ---- */

/* Largest magnitude of x over its bits. */
static uint32_t amax_bits(const float *x, int64_t count)
{
    int32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t m = (int32_t)(snug_f32_bits(x[i]) & 0x7fffffffu);
        most = m > most ? m : most;
    }
    return (uint32_t)most;
}

/* One group: q, its sums by 32, its scale. The nearest integer comes of adding 1.5 * 2^23, whose
 * last bit is worth one. */
static void quantize_group(const float *x, int8_t *q, int16_t *sums, float *scale)
{
    float amax = snug_f32_from_bits(amax_bits(x, SNUG_QUANT_GROUP));
    if (amax < 0x1p-100f)
        return; /* the record is zero */
    float inverse = 127.0f / amax;
    int32_t rounded[SNUG_QUANT_GROUP];
    for (int i = 0; i < SNUG_QUANT_GROUP; i++)
        rounded[i] = (int32_t)(snug_f32_bits(x[i] * inverse + 0x1.8p23f) - 0x4b400000u);
    for (int i = 0; i < SNUG_QUANT_GROUP; i++)
        q[i] = (int8_t)rounded[i];
    for (int s = 0; s < 4; s++) {
        int32_t sum = 0;
        for (int i = 0; i < 32; i++)
            sum += rounded[s * 32 + i];
        sums[s] = (int16_t)sum;
    }
    *scale = amax / 127.0f;
}

static int64_t count_outliers(const struct snug_quantize *args, const float *x)
{
    int32_t count = 0;
    for (int64_t i = 0; i < args->k; i++)
        count += fabsf(x[i]) >= args->threshold;
    return count <= args->k / SNUG_QUANT_GROUP ? count : 0;
}

static void take_outliers(const struct snug_quantize *args, float *x, int64_t first, int64_t count,
                          struct snug_quantized_row *row)
{
    for (int64_t i = 0; i < count; i++) {
        if (fabsf(x[i]) < args->threshold)
            continue;
        row->outlier_k[*row->count] = (int32_t)(first + i);
        row->outlier_x[(*row->count)++] = x[i];
        x[i] = 0;
    }
}

static void quantize_row(const struct snug_quantize *args, int64_t r)
{
    const float *x = args->x + r * args->x_ld;
    struct snug_quantized_row row = snug_quantized_row(args->y, r, args->k);

    memset(row.q, 0, (size_t)snug_quantized_row_bytes(args->k));
    uint32_t amax = amax_bits(x, args->k);
    if (amax >= 0x7f800000u) {
        for (int64_t g = 0; g < snug_quant_groups(SNUG_QUANT_Q8, args->k); g++)
            row.scale[g] = NAN;
        return;
    }
    bool leave = args->threshold > 0 && snug_f32_from_bits(amax) >= args->threshold &&
                 count_outliers(args, x) > 0;
    for (int64_t k = 0, g = 0; k < args->k; k += SNUG_QUANT_GROUP, g++) {
        int64_t count = min_i64(SNUG_QUANT_GROUP, args->k - k);
        float copy[SNUG_QUANT_GROUP] = {0};
        const float *from = x + k;
        if (leave || count < SNUG_QUANT_GROUP) {
            memcpy(copy, from, (size_t)count * sizeof *copy);
            if (leave)
                take_outliers(args, copy, k, count, &row);
            from = copy;
        }
        quantize_group(from, row.q + k, row.sums + g * 4, &row.scale[g]);
    }
}

struct quantize {
    const struct snug_quantize *args;
    int64_t rows_a_task;
};

static void quantize_task(void *context, int64_t index, int worker)
{
    const struct quantize *q = context;
    int64_t row = index * q->rows_a_task, end = min_i64(q->args->rows, row + q->rows_a_task);

    (void)worker;
    for (; row < end; row++)
        quantize_row(q->args, row);
}

enum snug_status cpu_quantize(const struct snug_quantize *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_quantize(args);
    if (status)
        return status;
    pool = pool_if(pool, args->rows * args->k, 50000);
    struct quantize q = {.args = args};
    q.rows_a_task = max_i64(ceil_div(args->rows, 4 * pool_threads(pool)), 20000 / args->k + 1);
    snug_pool_run(pool, quantize_task, &q, ceil_div(args->rows, q.rows_a_task));
    return SNUG_STATUS_OK;
}
