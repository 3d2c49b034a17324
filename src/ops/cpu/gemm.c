/* Micro-kernels: a tile of rows by panels in registers, one fmaf chain an output, k ascending
 * (DESIGN 2.2).
 *
 * A tile's accumulators stay in registers over the whole block of k; a step of k loads the panels'
 * rows (widening 16 bits), broadcasts one element of every row of x, and multiplies each pair. At
 * least 8 chains run side by side, which hides a latency of 4 cycles at 2 a cycle; 12 (AVX2) and 24
 * (AVX-512) where there are rows enough, so that loads are fewer than multiplications. A panel's
 * block (256 x 16 f32: 16 KiB) stays in the first cache while the tiles of x pass over it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

/* Rows of a tile, and how many panels it spans: (rows, panels). Tiles of one panel exist for all
 * rows. */
/* clang-format off */
#if SIMD_LANES == 8
#define TILE_ROWS 6
#define TILES(X, dtype)                                                                            \
    X(dtype, 1, 4) X(dtype, 2, 2) X(dtype, 3, 2) X(dtype, 4, 1) X(dtype, 5, 1) X(dtype, 6, 1)
#else
#define TILE_ROWS 12
#define TILES(X, dtype)                                                                            \
    X(dtype, 1, 8) X(dtype, 2, 4) X(dtype, 3, 4) X(dtype, 4, 4) X(dtype, 5, 4) X(dtype, 6, 4)      \
    X(dtype, 7, 2) X(dtype, 8, 2) X(dtype, 9, 2) X(dtype, 10, 2) X(dtype, 11, 2) X(dtype, 12, 2)
#endif
/* clang-format on */
#define TILE_VECS 8 /* at most, of one row */

struct tile {
    const float *x;
    const void *w;
    int64_t panel_stride, count;
    float *y;
    int64_t y_ld;
    enum gemm_mode mode;
    const float *bias;
};

/* Vector v of the terms k of all panels of a tile. */
#define TERM_INDEX(v) ((v) / PANEL_VECS * stride + k * SNUG_PANEL + (v) % PANEL_VECS * SIMD_LANES)

/* rows, panels and dtype are constants wherever this is inlined. */
ALWAYS_INLINE void tile_kernel(enum snug_dtype dtype, const int rows, const int panels,
                               const struct tile *t)
{
    const int vecs = panels * PANEL_VECS;
    const float *x = t->x, *bias = t->bias;
    const void *w = t->w;
    const int64_t stride = t->panel_stride, count = t->count, y_ld = t->y_ld;
    const enum gemm_mode mode = t->mode;
    float *const y = t->y;
    vec acc[TILE_ROWS][TILE_VECS];

    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0.0f);
    }
    if (mode == GEMM_CONTINUE) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[r][v] = v_load(y + r * y_ld + v * SIMD_LANES);
        }
    }
    for (int64_t k = 0; k < count; k++) {
        vec terms[TILE_VECS];
        if (rows == 1) { /* a term at a time: there are no registers for all at once */
            vec a = v_set1(x[k]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[0][v] = v_fma(a, v_load_as(dtype, w, TERM_INDEX(v)), acc[0][v]);
            continue;
        }
        UNROLL
        for (int v = 0; v < vecs; v++)
            terms[v] = v_load_as(dtype, w, TERM_INDEX(v));
        UNROLL
        for (int r = 0; r < rows; r++) {
            vec a = v_set1(x[r * GEMM_LD + k]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[r][v] = v_fma(a, terms[v], acc[r][v]);
        }
    }
    if (mode == GEMM_ADD) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[r][v] = v_add(v_load(y + r * y_ld + v * SIMD_LANES), acc[r][v]);
        }
    }
    if (bias) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[r][v] = v_add(acc[r][v], v_load(bias + v * SIMD_LANES));
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            v_store(y + r * y_ld + v * SIMD_LANES, acc[r][v]);
    }
}

typedef void tile_fn(const struct tile *t);

#define DEFINE_TILES(dtype, rows, panels)                                                          \
    static void tile_##dtype##_##rows##_wide(const struct tile *t)                                 \
    {                                                                                              \
        tile_kernel(SNUG_DTYPE_##dtype, rows, panels, t);                                          \
    }                                                                                              \
    static void tile_##dtype##_##rows##_one(const struct tile *t)                                  \
    {                                                                                              \
        tile_kernel(SNUG_DTYPE_##dtype, rows, 1, t);                                               \
    }
TILES(DEFINE_TILES, F32)
TILES(DEFINE_TILES, F16)
TILES(DEFINE_TILES, BF16)

struct kernel {
    tile_fn *wide, *one;
    int64_t panels; /* of wide */
};
#define TILE_ROW(dtype, rows, panels)                                                              \
    [rows] = {tile_##dtype##_##rows##_wide, tile_##dtype##_##rows##_one, panels},
static const struct kernel kernels_f32[TILE_ROWS + 1] = {TILES(TILE_ROW, F32)};
static const struct kernel kernels_f16[TILE_ROWS + 1] = {TILES(TILE_ROW, F16)};
static const struct kernel kernels_bf16[TILE_ROWS + 1] = {TILES(TILE_ROW, BF16)};

int64_t cpu_gemm_wide(int64_t rows)
{
    return kernels_f32[rows < TILE_ROWS ? rows : TILE_ROWS].panels;
}

/* Rows [first, end) in tiles of `rows` (the difference is a multiple of it): every panel, or group
 * of panels, passes under all tiles before the next one. */
static void run_tiles(const struct gemm *g, const struct kernel *kernel, int64_t first, int64_t end,
                      int64_t rows)
{
    size_t element = g->dtype == SNUG_DTYPE_F32 ? 4 : 2;
    struct tile t = {
        .panel_stride = g->panel_stride, .count = g->count, .y_ld = g->y_ld, .mode = g->mode};

    for (int64_t panel = 0; panel < g->panels;) {
        int64_t taken = g->panels - panel >= kernel->panels ? kernel->panels : 1;
        tile_fn *run = taken == 1 ? kernel->one : kernel->wide;
        t.w = (const char *)g->w + (size_t)(panel * g->panel_stride) * element;
        t.bias = g->bias ? g->bias + panel * SNUG_PANEL : NULL;
        for (int64_t r = first; r < end; r += rows) {
            t.x = g->x + r * GEMM_LD;
            t.y = g->y + r * g->y_ld + panel * SNUG_PANEL;
            run(&t);
        }
        panel += taken;
    }
}

void cpu_gemm(const struct gemm *g)
{
    const struct kernel *kernels = g->dtype == SNUG_DTYPE_F16    ? kernels_f16
                                   : g->dtype == SNUG_DTYPE_BF16 ? kernels_bf16
                                                                 : kernels_f32;
    int64_t tail = g->rows % TILE_ROWS, full = g->rows - tail;

    if (full > 0)
        run_tiles(g, &kernels[TILE_ROWS], 0, full, TILE_ROWS);
    if (tail > 0)
        run_tiles(g, &kernels[tail], full, g->rows, tail);
}
