/* A picture to tiles: squares of bytes, cut row by row from a canvas of rows x columns of them.
 * There are two ways to lay a picture on a canvas:
 *
 *     STRETCH  InternVL   the grid whose proportions come nearest, the picture stretched to all of
 *                         it, and the whole picture once more in one square (the thumbnail, last)
 *     FIT      Llama      the grid that the picture fills best, the picture in its own proportions
 *                         at the top left, the rest black
 *
 * Neither picture nor canvas is ever held: a row of the picture goes into the resamplers, and a row
 * of the canvas that comes out is cut into the tiles at once. Facts: internvl.md, llama_vision.md.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"
#include "document/resize.h"

#include <math.h>
#include <string.h>

#define LEVELS 256

/* ---- the grid ---- */

static struct snug_tile_grid choose_stretch(int64_t width, int64_t height,
                                            const struct snug_tile_options *options)
{
    double aspect = (double)width / (double)height, area = (double)width * (double)height;
    double side = (double)options->tile_side, best = INFINITY;
    int64_t columns = 1, rows = 1;
    for (int64_t tiles = options->min_tiles; tiles <= options->max_tiles; tiles++)
        for (int64_t c = 1; c <= tiles; c++) {
            if (tiles % c != 0)
                continue;
            double distance = fabs(aspect - (double)c / (double)(tiles / c));
            /* Equally near: the larger grid, if the picture has pixels for more than half of it. */
            bool is_better =
                distance < best || (distance == best && area > 0.5 * side * side * (double)tiles);
            if (!is_better)
                continue;
            best = distance;
            columns = c;
            rows = tiles / c;
        }
    int64_t tiles = columns * rows;
    return (struct snug_tile_grid){columns, rows,
                                   tiles > 1 && options->thumbnail ? tiles + 1 : tiles,
                                   columns * options->tile_side, rows * options->tile_side};
}

/* The grid that the picture can fill with the least enlargement; if it is too large for all of
 * them, the one that shrinks it least. Equally good: fewest tiles, then the first of the list. */
static void choose_canvas(int64_t width, int64_t height, const struct snug_tile_options *options,
                          struct snug_tile_grid *grid)
{
    double side = (double)options->tile_side, best = 0.0;
    grid->tiles = 0;
    for (int64_t rows = 1; rows <= options->max_tiles; rows++)
        for (int64_t columns = 1; columns <= options->max_tiles / rows; columns++) {
            double across = (double)columns * side / (double)width;
            double down = (double)rows * side / (double)height;
            double scale = across < down ? across : down;
            bool is_better = best < 1.0 ? scale > best : scale >= 1.0 && scale < best;
            if (!is_better && !(scale == best && rows * columns < grid->tiles))
                continue;
            best = scale;
            grid->rows = rows;
            grid->columns = columns;
            grid->tiles = rows * columns;
        }
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* floor(side * scale), between 1 and most. */
static int64_t scaled_side(int64_t side, double scale, int64_t most)
{
    return clamp((int64_t)floor((double)side * scale), 1, most);
}

/* A side below the tile's may grow to it, a side beyond the canvas shrinks to it; the smaller of
 * both factors goes for both sides. */
static struct snug_tile_grid choose_fit(int64_t width, int64_t height,
                                        const struct snug_tile_options *options)
{
    struct snug_tile_grid grid;
    choose_canvas(width, height, options, &grid);
    int64_t side = options->tile_side;
    int64_t most_width = clamp(width, side, grid.columns * side);
    int64_t most_height = clamp(height, side, grid.rows * side);
    double across = (double)most_width / (double)width;
    double down = (double)most_height / (double)height;
    bool is_wide = across < down;
    grid.width = is_wide ? most_width : scaled_side(width, down, most_width);
    grid.height = is_wide ? scaled_side(height, across, most_height) : most_height;
    return grid;
}

struct snug_tile_grid snug_tile_choose(int64_t width, int64_t height,
                                       const struct snug_tile_options *options)
{
    SNUG_ASSERT(width >= 1 && height >= 1 && options->tile_side >= 1 && options->min_tiles >= 1 &&
                options->max_tiles >= options->min_tiles);
    return options->tiling == SNUG_TILING_FIT ? choose_fit(width, height, options)
                                              : choose_stretch(width, height, options);
}

int snug_tile_aspect_id(int64_t rows, int64_t columns, int64_t max_tiles)
{
    SNUG_ASSERT(max_tiles <= SNUG_MAX_TILES);
    if (rows < 1 || columns < 1 || rows > max_tiles || columns > max_tiles / rows)
        return 0;
    int64_t before = 0;
    for (int64_t r = 1; r < rows; r++)
        before += max_tiles / r;
    return (int)(before + columns);
}

int snug_tile_aspect_count(int64_t max_tiles)
{
    return snug_tile_aspect_id(max_tiles, 1, max_tiles); /* the last */
}

int64_t snug_tile_aspect_tiles(int id, int64_t max_tiles)
{
    for (int64_t rows = 1; id >= 1 && rows <= max_tiles; id -= (int)(max_tiles / rows++))
        if (id <= max_tiles / rows)
            return rows * id;
    return 0;
}

/* ---- floats ---- */

void snug_tile_normalise(const unsigned char *tile, const struct snug_tile_options *options,
                         float *out)
{
    /* A sample has 256 values: the divisions are done once each. */
    float table[3][LEVELS];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < LEVELS; v++) {
            /* For every v the same float as FIT's f32(f64(v) * 0.00392156862745098). */
            float scaled = (float)v / 255.0f;
            float centred = scaled - options->mean[c];
            table[c][v] = centred / options->std[c];
        }
    int64_t pixels = options->tile_side * options->tile_side;
    float *red = out, *green = out + pixels, *blue = green + pixels;
    for (int64_t i = 0; i < pixels; i++, tile += 3) {
        red[i] = table[0][tile[0]];
        green[i] = table[1][tile[1]];
        blue[i] = table[2][tile[2]];
    }
}

/* ---- rows of a picture to tiles ---- */

struct tiler {
    const struct snug_tile_options *options;
    const struct snug_allocator *allocator;
    struct snug_tile_grid grid;
    struct snug_resampler canvas, thumbnail; /* the thumbnail's unused if there is none */
    unsigned char *row;                      /* of the canvas, black right of the picture */
    unsigned char *tiles;                    /* [tiles][side][side][3] */
};

static bool has_thumbnail(const struct snug_tile_grid *grid)
{
    return grid->tiles > grid->columns * grid->rows;
}

/* At most 65 tiles of 65,500^2 pixels of 3 bytes: far below 2^63. */
static size_t tile_bytes(const struct snug_tile_options *options, int64_t tiles)
{
    return (size_t)(options->tile_side * options->tile_side * 3 * tiles);
}

size_t snug_tiles_bytes(int64_t width, int64_t height, const struct snug_tile_options *options)
{
    struct snug_tile_grid grid = snug_tile_choose(width, height, options);
    int64_t side = options->tile_side;
    size_t bytes = tile_bytes(options, grid.tiles) + (size_t)(grid.columns * side * 3) +
                   snug_resampler_bytes(width, height, 3, grid.width, grid.height, options->filter);
    if (has_thumbnail(&grid))
        bytes += snug_resampler_bytes(width, height, 3, side, side, options->filter);
    return bytes;
}

static size_t tiler_bytes(const void *context, int64_t width, int64_t height)
{
    return snug_tiles_bytes(width, height, ((const struct tiler *)context)->options);
}

static enum snug_status tiler_begin(void *context, int64_t width, int64_t height,
                                    struct snug_error *error)
{
    struct tiler *t = context;
    int64_t side = t->options->tile_side;
    t->grid = snug_tile_choose(width, height, t->options);
    size_t bytes = tile_bytes(t->options, t->grid.tiles);
    t->tiles = snug_alloc(t->allocator, bytes);
    t->row = snug_calloc(t->allocator, (size_t)(t->grid.columns * side), 3);
    if (!t->tiles || !t->row)
        return snug_error_memory(error, bytes, "tiles");
    if (t->grid.height < t->grid.rows * side)
        memset(t->tiles, 0, bytes); /* no row comes for what is below the picture */
    SNUG_TRY(snug_resampler_make(&t->canvas, width, height, 3, t->grid.width, t->grid.height,
                                 t->options->filter, t->allocator, error));
    if (!has_thumbnail(&t->grid))
        return SNUG_STATUS_OK;
    return snug_resampler_make(&t->thumbnail, width, height, 3, side, side, t->options->filter,
                               t->allocator, error);
}

/* Row y of the canvas to the tiles that it crosses. */
static void cut_row(struct tiler *t, int64_t y)
{
    int64_t side = t->options->tile_side, columns = t->grid.columns;
    size_t bytes = (size_t)(side * 3);
    unsigned char *to =
        t->tiles + tile_bytes(t->options, y / side * columns) + (size_t)(y % side) * bytes;
    for (int64_t c = 0; c < columns; c++)
        memcpy(to + tile_bytes(t->options, c), t->row + (size_t)c * bytes, bytes);
}

static enum snug_status tiler_row(void *context, const unsigned char *rgb, struct snug_error *error)
{
    struct tiler *t = context;
    (void)error;
    snug_resampler_push(&t->canvas, rgb);
    while (snug_resampler_pull(&t->canvas, t->row))
        cut_row(t, t->canvas.pulled - 1);
    if (!has_thumbnail(&t->grid))
        return SNUG_STATUS_OK;
    unsigned char *last = t->tiles + tile_bytes(t->options, t->grid.tiles - 1);
    snug_resampler_push(&t->thumbnail, rgb);
    while (
        snug_resampler_pull(&t->thumbnail, last + t->thumbnail.pulled * t->options->tile_side * 3))
        continue;
    return SNUG_STATUS_OK;
}

static struct snug_row_sink sink_of(struct tiler *tiler)
{
    return (struct snug_row_sink){tiler_bytes, tiler_begin, tiler_row, tiler};
}

/* Hands over the tiles if all went well. */
static void tiler_end(struct tiler *t, enum snug_status status, struct snug_tile_grid *grid,
                      unsigned char **tiles)
{
    snug_resampler_free(&t->canvas);
    snug_resampler_free(&t->thumbnail);
    snug_free(t->allocator, t->row);
    if (status != SNUG_STATUS_OK) {
        snug_free(t->allocator, t->tiles);
        return;
    }
    *grid = t->grid;
    *tiles = t->tiles;
}

static enum snug_status check(const struct snug_tile_options *options, struct snug_error *error)
{
    bool is_good = options->tile_side >= 1 && options->tile_side <= SNUG_MAX_SIDE &&
                   options->min_tiles >= 1 && options->min_tiles <= options->max_tiles &&
                   options->max_tiles <= SNUG_MAX_TILES;
    if (options->tiling == SNUG_TILING_FIT)
        is_good = is_good && options->min_tiles == 1 && !options->thumbnail;
    else
        is_good = is_good && options->tiling == SNUG_TILING_STRETCH;
    for (int c = 0; c < 3; c++)
        is_good = is_good && isfinite(options->mean[c]) && isfinite(options->std[c]) &&
                  options->std[c] != 0.0f;
    if (is_good)
        return SNUG_STATUS_OK;
    return snug_error_set(
        error, SNUG_STATUS_SHAPE, "cannot cut a picture into %lld to %lld tiles of side %lld%s",
        (long long)options->min_tiles, (long long)options->max_tiles, (long long)options->tile_side,
        options->tiling == SNUG_TILING_FIT ? " (a fitted one: from 1 tile on, no thumbnail)" : "");
}

enum snug_status snug_tiles_read(struct snug_bytes *bytes, const struct snug_image_limits *limits,
                                 const struct snug_tile_options *options,
                                 const struct snug_allocator *allocator,
                                 struct snug_tile_grid *grid, unsigned char **tiles,
                                 struct snug_error *error)
{
    SNUG_TRY(check(options, error));
    struct tiler tiler = {.options = options, .allocator = allocator};
    const struct snug_row_sink sink = sink_of(&tiler);
    enum snug_status status = snug_image_read(bytes, limits, allocator, &sink, error);
    tiler_end(&tiler, status, grid, tiles);
    return status;
}

enum snug_status snug_tiles_make(const struct snug_image *image,
                                 const struct snug_tile_options *options,
                                 const struct snug_allocator *allocator,
                                 struct snug_tile_grid *grid, unsigned char **tiles,
                                 struct snug_error *error)
{
    SNUG_TRY(check(options, error));
    if (!image->pixels || image->width < 1 || image->height < 1)
        return snug_error_set(error, SNUG_STATUS_SHAPE, "cannot cut %lld x %lld pixels",
                              (long long)image->width, (long long)image->height);
    struct tiler tiler = {.options = options, .allocator = allocator};
    enum snug_status status = tiler_begin(&tiler, image->width, image->height, error);
    for (int64_t y = 0; !status && y < image->height; y++)
        status = tiler_row(&tiler, image->pixels + y * image->width * 3, error);
    tiler_end(&tiler, status, grid, tiles);
    return status;
}
