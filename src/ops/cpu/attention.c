/* Attention by blocks of 256 keys with an ordered fold. Order: DESIGN 2.6.
 *
 * A tile is up to 24 query rows that read one kv head: rows of the sequence times the heads that
 * share it, heads fastest, so that the number of keys never falls along a tile. For each block of
 * keys it computes
 *
 *     scores   [tile, 256]       gemm of q and the panels of keys      (k = dimension)
 *     weights  p = exp(s - m)    in place, with m and l
 *     o        [tile, head_dim]  gemm of p and the panels of values    (k = key), folded into the
 * output
 *
 * in buffers on the stack (q, p: 24 KiB each; o of some panels: 6 KiB). Rows of a causal tile that
 * see more keys than the first one go on alone from where it ended: a chain can be continued, an
 * absent key cannot be multiplied by zero. Where rows see keys from some later one on, the first
 * block begins in its middle: keys before are weighed as nothing and not in the chain. Where there
 * are fewer tiles than threads (decoding), blocks are tasks too: their o, m and l wait in a buffer
 * of the caller's, and are folded in order after each wave. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define TILE_ROWS 24
#define O_PANELS 4 /* of values at once */
#define O_LD (O_PANELS * SNUG_PANEL)
#define ALONE_BELOW_FMAS 600000 /* about 10 microseconds: a small model decodes faster alone */

#define WAVE_ROWS 128     /* query rows times heads, at most, of a job done in waves */
#define WAVE_FLOATS 12288 /* for o of all rows and the blocks of a wave */
#define WAVE_SCALARS 1024 /* for their m and l */

struct tile {
    const struct snug_attention *args;
    int64_t sequence, kv_head, first_row; /* row: index in [0, rows_per_sequence * group) */
    int rows;
    int64_t first_key;       /* that its rows see */
    int64_t keys[TILE_ROWS]; /* end of the keys that a row sees; never falling */
    float q[TILE_ROWS * GEMM_LD];
    float p[TILE_ROWS * GEMM_LD];
};

/* What a block of keys comes to, per row. */
struct block {
    int64_t first;           /* key, a multiple of 256 */
    int64_t skipped;         /* keys of it before the tile's first */
    int from;                /* rows before it see none of the block */
    int64_t keys[TILE_ROWS]; /* of the block */
    float max[TILE_ROWS], sum[TILE_ROWS];
};

/* Where block results of a row go: folded at once, or kept for later. */
struct sink {
    const float *a, *b; /* factors of the fold, [tile rows]; unused for the first block */
    float *kept;        /* [tile rows, head_dim], or NULL: fold */
};

static int64_t group_of(const struct snug_attention *args)
{
    return args->heads / args->kv_heads;
}

static float *output(const struct tile *tile, int row)
{
    const struct snug_attention *args = tile->args;
    int64_t item = tile->first_row + row, group = group_of(args);
    int64_t r = tile->sequence * args->rows_per_sequence + item / group;
    return args->out + r * args->out_ld + (tile->kv_head * group + item % group) * args->head_dim;
}

/* Where the tile's keys and values lie, among all caches' heads. */
static int64_t head_of(const struct tile *tile)
{
    return snug_slot_of(tile->args->slots, tile->sequence) * tile->args->kv_heads + tile->kv_head;
}

static int64_t first_key_of(const struct snug_attention *args, int64_t sequence)
{
    return args->first_keys ? args->first_keys[sequence] : 0;
}

/* End of the keys that the last row of a sequence sees. */
static int64_t keys_of(const struct snug_attention *args, int64_t sequence)
{
    if (args->key_counts)
        return args->first_keys[sequence] + args->key_counts[sequence];
    return args->causal ? snug_first_position_of(args->positions, args->first_position, sequence) +
                              args->rows_per_sequence
                        : args->keys;
}

static const void *cache_at(const struct snug_attention *args, const void *cache, int64_t element)
{
    return (const char *)cache + (size_t)element * (args->dtype == SNUG_DTYPE_F32 ? 4 : 2);
}

/* Tile `index` of all: kv heads of a sequence slowest, so that neighbours read the same keys. */
static void load_tile(struct tile *tile, const struct snug_attention *args, int64_t index)
{
    int64_t group = group_of(args), items = args->rows_per_sequence * group;
    int64_t tiles = ceil_div(items, TILE_ROWS), head = index / tiles;

    tile->args = args;
    tile->sequence = head / args->kv_heads;
    tile->kv_head = head % args->kv_heads;
    tile->first_row = index % tiles * TILE_ROWS;
    tile->rows = (int)min_i64(TILE_ROWS, items - tile->first_row);
    int64_t keys = keys_of(args, tile->sequence);
    tile->first_key = first_key_of(args, tile->sequence);
    for (int r = 0; r < tile->rows; r++) {
        int64_t item = tile->first_row + r, row = item / group;
        const float *q = args->q + (tile->sequence * args->rows_per_sequence + row) * args->q_ld +
                         (tile->kv_head * group + item % group) * args->head_dim;
        tile->keys[r] = args->causal ? keys - args->rows_per_sequence + row + 1 : keys;
        for (int64_t d = 0; d < args->head_dim; d++)
            tile->q[r * GEMM_LD + d] = q[d] * args->scale;
    }
}

/* The first block that has a key for the tile. */
static int64_t first_block_of(const struct tile *tile)
{
    return tile->first_key / 256 * 256;
}

/* p = exp(s - m) of keys [skipped, keys) of one row in place; m, l. The order of the maximum is
 * free: only a NaN, which makes the row NaN anyway, and the sign of zero, which s - m loses, depend
 * on it. What lies outside the keys ends as zero: lanes start at +0 and never become -0, so adding
 * it changes nothing. */
static void weigh_row(float *p, int64_t skipped, int64_t keys, float *max, float *sum)
{
    int64_t padded = (keys + 31) / 32 * 32;
    vec top[LANE_VECS], lanes[LANE_VECS];
    float top_lane[SIMD_LANES];

    for (int64_t j = 0; j < skipped; j++)
        p[j] = p[skipped];
    for (int64_t j = keys; j < padded; j++)
        p[j] = p[skipped];
    for (int v = 0; v < LANE_VECS; v++)
        top[v] = v_load(p + v * SIMD_LANES);
    for (int64_t j = 32; j < padded; j += 32) {
        for (int v = 0; v < LANE_VECS; v++)
            top[v] = v_max(top[v], v_load(p + j + v * SIMD_LANES));
    }
    UNROLL
    for (int v = 1; v < LANE_VECS; v++)
        top[0] = v_max(top[0], top[v]);
    v_store(top_lane, top[0]);
    for (int width = SIMD_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            top_lane[i] = top_lane[i] > top_lane[i + width] ? top_lane[i] : top_lane[i + width];
    const float m = top_lane[0];

    INDEPENDENT
    for (int64_t j = 0; j < padded; j++)
        p[j] = snug_expf(p[j] - m);
    for (int64_t j = 0; j < skipped; j++)
        p[j] = 0;
    for (int64_t j = keys; j < padded; j++)
        p[j] = 0;
    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_set1(0.0f);
    for (int64_t j = 0; j < padded; j += 32) {
        for (int v = 0; v < LANE_VECS; v++)
            lanes[v] = v_add(lanes[v], v_load(p + j + v * SIMD_LANES));
    }
    *max = m;
    *sum = lane_tree(lanes);
}

/* Scores and weights of the tile's rows for the block's keys. */
static void weigh_block(struct tile *tile, struct block *block)
{
    const struct snug_attention *args = tile->args;
    int64_t panel = block->first / SNUG_PANEL, most = 0;

    block->from = tile->rows;
    block->skipped = max_i64(0, tile->first_key - block->first);
    for (int r = tile->rows - 1; r >= 0 && tile->keys[r] > block->first + block->skipped; r--) {
        block->from = r;
        block->keys[r] = min_i64(256, tile->keys[r] - block->first);
        most = max_i64(most, block->keys[r]);
    }
    if (most == 0)
        return;
    int64_t k_first = head_of(tile) * snug_k_cache_elements(args->capacity, args->head_dim) +
                      panel * args->head_dim * SNUG_PANEL;
    struct gemm g = {.rows = tile->rows - block->from,
                     .panels = snug_panel_count(most),
                     .count = args->head_dim,
                     .x = tile->q + block->from * GEMM_LD,
                     .dtype = args->dtype,
                     .w = cache_at(args, args->k_cache, k_first),
                     .panel_stride = args->head_dim * SNUG_PANEL,
                     .y = tile->p + block->from * GEMM_LD,
                     .y_ld = GEMM_LD,
                     .mode = GEMM_STORE};
    cpu_gemm(&g);
    for (int r = block->from; r < tile->rows; r++)
        weigh_row(tile->p + r * GEMM_LD, block->skipped, block->keys[r], &block->max[r],
                  &block->sum[r]);
}

/* O = fmaf(O, a, o * b) for `width` dimensions; the first block's o as it is. */
static void fold(float *out, const float *o, int64_t width, bool first, float a, float b)
{
    int64_t d = 0;

    if (first) {
        memcpy(out, o, (size_t)width * sizeof(float));
        return;
    }
    for (; d + SIMD_LANES <= width; d += SIMD_LANES)
        v_store(out + d, v_fma(v_load(out + d), v_set1(a), v_mul(v_load(o + d), v_set1(b))));
    for (; d < width; d++)
        out[d] = fmaf(out[d], a, o[d] * b);
}

/* o of the block for all rows, some panels of dimensions at a time, into the sink. */
static void value_block(struct tile *tile, const struct block *block, const struct sink *sink)
{
    const struct snug_attention *args = tile->args;
    int64_t panels = snug_panel_count(args->head_dim), common = block->keys[block->from];
    int64_t v_head = head_of(tile) * snug_v_cache_elements(args->capacity, args->head_dim);
    float o[TILE_ROWS * O_LD];

    for (int64_t panel = 0; panel < panels; panel += O_PANELS) {
        int64_t at = v_head + (panel * args->capacity + block->first) * SNUG_PANEL;
        int64_t skipped = block->skipped;
        struct gemm g = {.rows = tile->rows - block->from,
                         .panels = min_i64(O_PANELS, panels - panel),
                         .count = common - skipped,
                         .x = tile->p + block->from * GEMM_LD + skipped,
                         .dtype = args->dtype,
                         .w = cache_at(args, args->v_cache, at + skipped * SNUG_PANEL),
                         .panel_stride = args->capacity * SNUG_PANEL,
                         .y = o + block->from * O_LD,
                         .y_ld = O_LD,
                         .mode = GEMM_STORE};
        cpu_gemm(&g);
        for (int r = block->from; r < tile->rows; r++) {
            int64_t d = panel * SNUG_PANEL, width = min_i64(O_LD, args->head_dim - d);
            if (block->keys[r] > common) {
                g.rows = 1;
                g.count = block->keys[r] - common;
                g.x = tile->p + r * GEMM_LD + common;
                g.w = cache_at(args, args->v_cache, at + common * SNUG_PANEL);
                g.y = o + r * O_LD;
                g.mode = GEMM_CONTINUE;
                cpu_gemm(&g);
            }
            if (sink->kept)
                memcpy(sink->kept + r * args->head_dim + d, o + r * O_LD,
                       (size_t)width * sizeof(float));
            else
                fold(output(tile, r) + d, o + r * O_LD, width, block->first == first_block_of(tile),
                     sink->a[r], sink->b[r]);
        }
    }
}

/* M' = max(M, m), a = exp(M - M'), b = exp(m - M'), L = fmaf(L, a, l * b); the first block as it
 * is. */
static void fold_scalars(float *max, float *sum, float m, float l, bool first, float *a, float *b)
{
    float new_max = first ? m : *max > m ? *max : m;

    *a = first ? 0 : snug_expf(*max - new_max);
    *b = first ? 1 : snug_expf(m - new_max);
    *sum = first ? l : fmaf(*sum, *a, l * *b);
    *max = new_max;
}

static void divide(float *out, int64_t width, float sum)
{
    for (int64_t d = 0; d < width; d++)
        out[d] = out[d] / sum;
}

static void tile_task(void *context, int64_t index, int worker)
{
    const struct snug_attention *args = context;
    struct tile tile;
    struct block block;
    float max[TILE_ROWS], sum[TILE_ROWS], a[TILE_ROWS], b[TILE_ROWS];
    const struct sink sink = {.a = a, .b = b};

    (void)worker;
    load_tile(&tile, args, index);
    const int64_t first = first_block_of(&tile);
    for (block.first = first; block.first < tile.keys[tile.rows - 1]; block.first += 256) {
        weigh_block(&tile, &block);
        if (block.from == tile.rows)
            continue;
        for (int r = block.from; r < tile.rows; r++)
            fold_scalars(&max[r], &sum[r], block.max[r], block.sum[r], block.first == first, &a[r],
                         &b[r]);
        value_block(&tile, &block, &sink);
    }
    for (int r = 0; r < tile.rows; r++) {
        if (tile.keys[r] > tile.first_key)
            divide(output(&tile, r), args->head_dim, sum[r]);
        else
            memset(output(&tile, r), 0, (size_t)args->head_dim * sizeof(float));
    }
}

/* ---- few tiles and many threads: blocks as tasks, in waves ---- */

struct wave {
    const struct snug_attention *args;
    int64_t heads; /* sequences times kv heads: one tile each */
    int64_t tile_rows;
    int64_t first_block, blocks; /* of this wave */
    float o[WAVE_FLOATS];        /* [head][block][tile row][head_dim] */
    float max[WAVE_SCALARS];     /* [head][block][tile row] */
    float sum[WAVE_SCALARS];
};

static void wave_task(void *context, int64_t index, int worker)
{
    struct wave *wave = context;
    int64_t head = index / wave->blocks, rows = wave->tile_rows, at = index * rows;
    struct tile tile;
    struct block block;
    const struct sink sink = {.kept = wave->o + at * wave->args->head_dim};

    (void)worker;
    load_tile(&tile, wave->args, head);
    block.first = (wave->first_block + index % wave->blocks) * 256;
    if (block.first < first_block_of(&tile))
        return;
    weigh_block(&tile, &block);
    for (int r = block.from; r < tile.rows; r++) {
        wave->max[at + r] = block.max[r];
        wave->sum[at + r] = block.sum[r];
    }
    if (block.from < tile.rows)
        value_block(&tile, &block, &sink);
}

/* Folds the wave's blocks of one head; max, sum: [tile rows], kept from wave to wave. */
static void fold_wave(struct wave *wave, int64_t head, bool last, float *max, float *sum)
{
    const struct snug_attention *args = wave->args;
    int64_t rows = wave->tile_rows, d = args->head_dim;
    struct tile tile;

    load_tile(&tile, args, head);
    for (int r = 0; r < tile.rows; r++) {
        for (int64_t i = 0; i < wave->blocks; i++) {
            int64_t at = (head * wave->blocks + i) * rows + r;
            int64_t block = (wave->first_block + i) * 256;
            bool first = block == first_block_of(&tile);
            float a, b;
            if (block >= tile.keys[r] || block < first_block_of(&tile))
                continue;
            fold_scalars(&max[r], &sum[r], wave->max[at], wave->sum[at], first, &a, &b);
            fold(output(&tile, r), wave->o + at * d, d, first, a, b);
        }
        if (last)
            divide(output(&tile, r), d, sum[r]);
    }
}

/* Every row sees at least one key, and all rows of a head are one tile. keys: of the sequence that
 * sees most; tasks for blocks that another one lacks do nothing. */
static void run_waves(const struct snug_attention *args, int64_t keys, struct snug_pool *pool)
{
    struct wave wave = {.args = args,
                        .heads = args->sequences * args->kv_heads,
                        .tile_rows = args->rows_per_sequence * group_of(args)};
    int64_t rows = wave.heads * wave.tile_rows, blocks = ceil_div(keys, 256);
    int64_t room = min_i64(WAVE_FLOATS / (rows * args->head_dim), WAVE_SCALARS / rows);
    float max[WAVE_ROWS], sum[WAVE_ROWS];

    for (int64_t first = 0; first < blocks; first += room) {
        wave.first_block = first;
        wave.blocks = min_i64(room, blocks - first);
        snug_pool_run(pool, wave_task, &wave, wave.heads * wave.blocks);
        for (int64_t head = 0; head < wave.heads; head++)
            fold_wave(&wave, head, first + room >= blocks, max + head * wave.tile_rows,
                      sum + head * wave.tile_rows);
    }
}

enum snug_status cpu_attention(const struct snug_attention *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_attention(args);
    if (status)
        return status;
    int64_t items = args->rows_per_sequence * group_of(args),
            heads = args->sequences * args->kv_heads;
    int64_t rows = heads * items, tiles = heads * ceil_div(items, TILE_ROWS);
    int64_t keys = 0, all_keys = 0; /* the end of the farthest, and how many there are */
    bool all_see = true;            /* a key at least */
    for (int64_t s = 0; s < args->sequences; s++) {
        int64_t count = keys_of(args, s) - first_key_of(args, s);
        keys = max_i64(keys, keys_of(args, s));
        all_keys += count;
        all_see = all_see && count > 0;
    }
    pool = pool_if(pool, 2 * items * args->kv_heads * all_keys * args->head_dim, ALONE_BELOW_FMAS);

    if (tiles < pool_threads(pool) && items > 0 && items <= TILE_ROWS && rows <= WAVE_ROWS &&
        rows * args->head_dim * 2 <= WAVE_FLOATS && keys > 256 && all_see)
        run_waves(args, keys, pool);
    else
        snug_pool_run(pool, tile_task, (void *)(uintptr_t)args, tiles);
    return SNUG_STATUS_OK;
}
