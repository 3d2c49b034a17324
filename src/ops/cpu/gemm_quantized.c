/* Micro-kernels of quantised products: a tile of rows by panels of exact integer sums in registers,
 * scaled into y after every group (DESIGN 2.11, 2.13).
 *
 * Few rows (decoding) read packed weights and unpack them in registers. Many rows pass over a block
 * of one group that was unpacked once, 2 to 8 KiB in the first cache. With VNNI q8 needs no
 * unpacking. Without, what costs is one multiplication and one addition for 16 products (q8) or 32
 * (q4, whose small bytes may be summed in 16 bits): on four pipes with two multipliers 32 products
 * a cycle, whatever is tried for q8 (SPEED.md). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"
#include "ops/cpu/simd_int.h"

/* (rows, panels) of a tile. */
/* clang-format off */
#if SIMD_LANES == 8
#define TILE_ROWS 6
#define TILES(X, kind) X(kind, 1, 1) X(kind, 2, 1) X(kind, 3, 1) X(kind, 4, 1) X(kind, 5, 1) X(kind, 6, 1)
#else
#define TILE_ROWS 12
#define TILES(X, kind)                                                                             \
    X(kind, 1, 4) X(kind, 2, 4) X(kind, 3, 4) X(kind, 4, 4) X(kind, 5, 4) X(kind, 6, 4)            \
    X(kind, 7, 2) X(kind, 8, 2) X(kind, 9, 2) X(kind, 10, 2) X(kind, 11, 2) X(kind, 12, 2)
#endif
/* clang-format on */
#define TILE_VECS 4 /* at most, of one row */
#define VEC_BYTES ((int64_t)sizeof(ivec))
#define LINE 64 /* bytes of a panel's step: 16 outputs */

/* How a tile meets its weights: one line a quad (q8 with VNNI; q4 unpacked), one line half a quad
 * (q8 unpacked without VNNI), or still packed. */
enum kind { Q8_PACKED, Q8_BLOCK, Q4_PACKED, Q4_BLOCK };

#define Q8_UNPACKS (!SIMD_VNNI) /* two lines of 16-bit integers from one of bytes */
#define BLOCK_LINES 64          /* at most */
#define BLOCK_PANELS (TILE_VECS / PANEL_VECS)

struct tile {
    const struct gemm_quantized *g;
    int64_t row, panel, group, groups;
    const unsigned char *w; /* of the panel and group */
    int64_t w_panel, w_group;
};

static ivec byte_mask(enum snug_quant quant)
{
    return iv_set1(quant == SNUG_QUANT_Q4 ? 0x0f0f0f0f : 0x00ff00ff);
}

/* Vector v of a step's line(s). */
#define W_AT(w, v) ((w) + (v) / PANEL_VECS * w_panel + (v) % PANEL_VECS * VEC_BYTES)

/* y = fmaf((float)S * sx, sw, y) of one tile and weight group. */
ALWAYS_INLINE void scale_into(const int rows, const int vecs, ivec acc[TILE_ROWS][TILE_VECS],
                              const float *sx, const uint16_t *scales, int64_t scale_panel,
                              float *y, int64_t y_ld, bool first)
{
    UNROLL
    for (int v = 0; v < vecs; v++) {
        vec sw = v_load_f16(scales + v / PANEL_VECS * scale_panel + v % PANEL_VECS * SIMD_LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float *at = y + r * y_ld + v * SIMD_LANES;
            vec s = v_mul(iv_float(acc[r][v]), v_set1(sx[r]));
            v_store(at, v_fma(s, sw, first ? v_set1(0.0f) : v_load(at)));
        }
    }
}

/* Packed weights are read once, from memory: two microseconds ahead. */
#define AHEAD 4096
ALWAYS_INLINE void prefetch(const unsigned char *w, const int vecs, int64_t w_panel)
{
    UNROLL
    for (int v = 0; v < vecs; v += PANEL_VECS)
        __builtin_prefetch(W_AT(w, v) + AHEAD);
}

/* Sums of one group of q8. */
ALWAYS_INLINE void sum_q8(const enum kind kind, const int rows, const int vecs,
                          ivec acc[TILE_ROWS][TILE_VECS], const char *a, const unsigned char *w,
                          int64_t w_panel, int64_t quads)
{
    const ivec mask = byte_mask(SNUG_QUANT_Q8);

    if (kind == Q8_PACKED && Q8_UNPACKS) {
        for (int64_t j = 0; j < quads; j++, w += LINE, a += 8) {
            prefetch(w, vecs, w_panel);
            UNROLL
            for (int v = 0; v < vecs; v++) {
                ivec packed = iv_load(W_AT(w, v));
                ivec even = iv_and(packed, mask), odd = iv_shift16(packed, 8);
                UNROLL
                for (int r = 0; r < rows; r++) {
                    acc[r][v] = iv_dot(acc[r][v], even, iv_broadcast(a + r * QUANT_A_LD));
                    acc[r][v] = iv_dot(acc[r][v], odd, iv_broadcast(a + r * QUANT_A_LD + 4));
                    KEEP(acc[r][v]);
                }
            }
        }
        return;
    }
    int64_t steps = Q8_UNPACKS ? 2 * quads : quads;
    for (int64_t j = 0; j < steps; j++, w += LINE, a += 4) {
        ivec terms[TILE_VECS];
        UNROLL
        for (int v = 0; v < vecs; v++)
            terms[v] = iv_load(W_AT(w, v));
        UNROLL
        for (int r = 0; r < rows; r++) {
            ivec four = iv_broadcast(a + r * QUANT_A_LD);
            UNROLL
            for (int v = 0; v < vecs; v++) {
                acc[r][v] = iv_dot(acc[r][v], terms[v], four);
                KEEP(acc[r][v]);
            }
        }
    }
}

/* Sums of one group of 32 terms of q4. */
ALWAYS_INLINE void sum_q4(const enum kind kind, const int rows, const int vecs,
                          ivec acc[TILE_ROWS][TILE_VECS], const char *a, const unsigned char *w,
                          int64_t w_panel, int64_t octets)
{
    const ivec mask = byte_mask(SNUG_QUANT_Q4);

    for (int64_t j = 0; j < octets; j++, w += kind == Q4_PACKED ? LINE : 2 * LINE, a += 8) {
        if (kind == Q4_PACKED)
            prefetch(w, vecs, w_panel);
        UNROLL
        for (int v = 0; v < vecs; v++) {
            ivec low = iv_load(W_AT(w, v)), high;
            if (kind == Q4_PACKED) {
                high = iv_and(iv_shift16(low, 4), mask);
                low = iv_and(low, mask);
            } else {
                high = iv_load(W_AT(w + LINE, v));
            }
            UNROLL
            for (int r = 0; r < rows; r++) {
                acc[r][v] = iv_dot_small(acc[r][v], low, iv_broadcast(a + r * QUANT_A_LD));
                acc[r][v] = iv_dot_small(acc[r][v], high, iv_broadcast(a + r * QUANT_A_LD + 4));
                KEEP(acc[r][v]);
            }
        }
    }
}

/* kind, rows and panels are constants wherever this is inlined. */
ALWAYS_INLINE void tile_kernel(const enum kind kind, const int rows, const int panels,
                               const struct tile *t)
{
    const struct gemm_quantized *g = t->g;
    const int vecs = panels * PANEL_VECS;
    const bool q4 = kind == Q4_PACKED || kind == Q4_BLOCK;
    float *y = g->y + t->row * g->y_ld + t->panel * SNUG_PANEL;

    for (int64_t i = t->group; i < t->group + t->groups; i++) {
        int64_t at = i * g->rows + t->row, terms = min_i64(SNUG_QUANT_GROUP, g->terms - i * 128);
        const char *a = g->a + at * QUANT_A_LD;
        const float *sx = g->sx + at;
        const unsigned char *w = t->w + (i - t->group) * t->w_group;
        bool first = g->first && i == 0;
        ivec acc[TILE_ROWS][TILE_VECS];

        if (!q4) {
            const uint16_t *scales = g->scales + t->panel * g->scale_panel + i * SNUG_PANEL;
            UNROLL
            for (int r = 0; r < rows; r++) {
                UNROLL
                for (int v = 0; v < vecs; v++)
                    acc[r][v] = iv_set1(g->comp[at + r]);
            }
            sum_q8(kind, rows, vecs, acc, a, w, t->w_panel, (terms + 3) / 4);
            scale_into(rows, vecs, acc, sx, scales, g->scale_panel, y, g->y_ld, first);
            continue;
        }
        for (int64_t s = 0; s * SNUG_Q4_GROUP < terms; s++) {
            int64_t octets = (min_i64(SNUG_Q4_GROUP, terms - s * SNUG_Q4_GROUP) + 7) / 8;
            const uint16_t *scales =
                g->scales + t->panel * g->scale_panel + (i * 4 + s) * SNUG_PANEL;
            const int32_t *comp = g->comp + at * 4 + s;
            UNROLL
            for (int r = 0; r < rows; r++) {
                UNROLL
                for (int v = 0; v < vecs; v++)
                    acc[r][v] = iv_small_start(iv_set1(comp[r * 4]));
            }
            sum_q4(kind, rows, vecs, acc, a + s * SNUG_Q4_GROUP,
                   w + s * (kind == Q4_PACKED ? 4 : 8) * LINE, t->w_panel, octets);
            UNROLL
            for (int r = 0; r < rows; r++) {
                UNROLL
                for (int v = 0; v < vecs; v++)
                    acc[r][v] = iv_small_end(acc[r][v], iv_set1(comp[r * 4]));
            }
            scale_into(rows, vecs, acc, sx, scales, g->scale_panel, y, g->y_ld, first && s == 0);
        }
    }
}

typedef void tile_fn(const struct tile *t);

#define DEFINE_TILES(kind, rows, panels)                                                           \
    static void tile_##kind##_##rows##_wide(const struct tile *t)                                  \
    {                                                                                              \
        tile_kernel(kind, rows, panels, t);                                                        \
    }                                                                                              \
    static void tile_##kind##_##rows##_one(const struct tile *t)                                   \
    {                                                                                              \
        tile_kernel(kind, rows, 1, t);                                                             \
    }
TILES(DEFINE_TILES, Q8_PACKED)
TILES(DEFINE_TILES, Q4_PACKED)
TILES(DEFINE_TILES, Q4_BLOCK)
#if Q8_UNPACKS
TILES(DEFINE_TILES, Q8_BLOCK)
#endif

struct kernel {
    tile_fn *wide, *one;
    int64_t panels; /* of wide */
};
#define TILE_ROW(kind, rows, panels)                                                               \
    [rows] = {tile_##kind##_##rows##_wide, tile_##kind##_##rows##_one, panels},
static const struct kernel kernels[4][TILE_ROWS + 1] = {
    [Q8_PACKED] = {TILES(TILE_ROW, Q8_PACKED)},
    [Q4_PACKED] = {TILES(TILE_ROW, Q4_PACKED)},
    [Q4_BLOCK] = {TILES(TILE_ROW, Q4_BLOCK)},
#if Q8_UNPACKS
    [Q8_BLOCK] = {TILES(TILE_ROW, Q8_BLOCK)},
#endif
};

int64_t cpu_gemm_quantized_rows(void)
{
    return TILE_ROWS;
}

/* Few rows: every panel, or some at once, along all groups. */
static void few_rows(const struct gemm_quantized *g)
{
    const struct kernel *kernel =
        &kernels[g->quant == SNUG_QUANT_Q4 ? Q4_PACKED : Q8_PACKED][g->rows];
    int64_t bytes = g->quant == SNUG_QUANT_Q4 ? 16 * LINE : 32 * LINE;

    for (int64_t panel = 0; panel < g->panels;) {
        int64_t taken = g->panels - panel >= kernel->panels ? kernel->panels : 1;
        struct tile t = {.g = g,
                         .panel = panel,
                         .groups = g->groups,
                         .w = g->w + panel * g->w_panel,
                         .w_panel = g->w_panel,
                         .w_group = bytes};
        (taken == 1 ? kernel->one : kernel->wide)(&t);
        panel += taken;
    }
}

/* Bytes or nibbles of `lines` packed lines to twice as many. */
static void unpack(enum snug_quant quant, const unsigned char *w, int64_t lines, unsigned char *out)
{
    const ivec mask = byte_mask(quant);
    for (int64_t j = 0; j < lines; j++) {
        UNROLL
        for (int64_t v = 0; v < PANEL_VECS; v++) {
            ivec packed = iv_load(w + j * LINE + v * VEC_BYTES);
            ivec high = quant == SNUG_QUANT_Q4 ? iv_shift16(packed, 4) : iv_shift16(packed, 8);
            iv_store(out + 2 * j * LINE + v * VEC_BYTES, iv_and(packed, mask));
            iv_store(out + (2 * j + 1) * LINE + v * VEC_BYTES, iv_and(high, mask));
        }
    }
}

/* Many rows: a block of one group and the panels of a tile at a time passes under all of them. */
static void many_rows(const struct gemm_quantized *g)
{
    bool q4 = g->quant == SNUG_QUANT_Q4, unpacks = q4 || Q8_UNPACKS;
    const struct kernel *table = kernels[q4 ? Q4_BLOCK : Q8_UNPACKS ? Q8_BLOCK : Q8_PACKED];
    int64_t lines = q4 ? 16 : 32, tail = g->rows % TILE_ROWS, full = g->rows - tail;
    _Alignas(64) unsigned char block[BLOCK_PANELS * BLOCK_LINES * LINE];

    for (int64_t panel = 0, taken; panel < g->panels; panel += taken) {
        taken = g->panels - panel >= table[TILE_ROWS].panels ? table[TILE_ROWS].panels : 1;
        for (int64_t group = 0; group < g->groups; group++) {
            struct tile t = {.g = g, .group = group, .groups = 1};
            const unsigned char *w = g->w + panel * g->w_panel + group * lines * LINE;
            int64_t terms = min_i64(SNUG_QUANT_GROUP, g->terms - group * SNUG_QUANT_GROUP);
            int64_t used = q4 ? (terms + 7) / 8 : (terms + 3) / 4;
            for (int64_t p = 0; unpacks && p < taken; p++)
                unpack(g->quant, w + p * g->w_panel, used, block + p * 2 * lines * LINE);
            const unsigned char *base = unpacks ? block : w;
            t.w_panel = unpacks ? 2 * lines * LINE : g->w_panel;
            for (t.row = 0; t.row < full; t.row += TILE_ROWS) {
                t.w = base;
                t.panel = panel;
                (taken == 1 ? table[TILE_ROWS].one : table[TILE_ROWS].wide)(&t);
            }
            for (int64_t p = 0, n; tail && p < taken; p += n) {
                n = taken - p >= table[tail].panels ? table[tail].panels : 1;
                t.w = base + p * t.w_panel;
                t.panel = panel + p;
                (n == 1 ? table[tail].one : table[tail].wide)(&t);
            }
        }
    }
}

void cpu_gemm_quantized(const struct gemm_quantized *g)
{
    if (g->rows <= TILE_ROWS)
        few_rows(g);
    else
        many_rows(g);
}
