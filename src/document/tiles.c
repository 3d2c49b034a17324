/* InternVL's tiles: the picture stretched to a grid of squares whose proportions come nearest to
 * its own, cut row by row, and the whole picture once more in one square (the thumbnail, last).
 * Facts: internvl3.md, 7.1. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image.h"

#include <math.h>
#include <string.h>

#define LEVELS 256

struct snug_tile_grid snug_tile_choose(int64_t width, int64_t height,
                                       const struct snug_tile_options *options)
{
    SNUG_ASSERT(width >= 1 && height >= 1 && options->tile_side >= 1 && options->min_tiles >= 1 &&
                options->max_tiles >= options->min_tiles);
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
                                   tiles > 1 && options->thumbnail ? tiles + 1 : tiles};
}

void snug_tile_normalise(const unsigned char *canvas, int64_t canvas_width, int64_t left,
                         int64_t top, const struct snug_tile_options *options, float *out)
{
    /* A sample has 256 values: the divisions are done once each. */
    float table[3][LEVELS];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < LEVELS; v++) {
            float scaled = (float)v / 255.0f;
            float centred = scaled - options->mean[c];
            table[c][v] = centred / options->std[c];
        }
    int64_t side = options->tile_side;
    float *red = out, *green = out + side * side, *blue = green + side * side;
    for (int64_t y = 0; y < side; y++) {
        const unsigned char *row = canvas + ((top + y) * canvas_width + left) * 3;
        for (int64_t x = 0; x < side; x++, row += 3) {
            *red++ = table[0][row[0]];
            *green++ = table[1][row[1]];
            *blue++ = table[2][row[2]];
        }
    }
}

/* ---- the whole of it ---- */

struct tile_work {
    const struct snug_image *image;
    const struct snug_tile_options *options;
    const struct snug_allocator *allocator;
    struct snug_tile_grid grid;
    unsigned char *canvas; /* the resized picture, reused for the thumbnail */
    float *pixels;         /* [tiles, 3, side, side] */
    unsigned char *u8;     /* [tiles][side][side][3], or NULL */
};

static enum snug_status resize_to_canvas(struct tile_work *work, int64_t columns, int64_t rows,
                                         struct snug_error *error)
{
    int64_t side = work->options->tile_side;
    return snug_resize(work->image->pixels, work->image->width, work->image->height, 3,
                       columns * side, rows * side, work->options->filter, work->allocator,
                       work->canvas, error);
}

/* Tile `index` from the canvas of `columns` tiles a row, at column c, row r. */
static void cut(struct tile_work *work, int64_t index, int64_t columns, int64_t c, int64_t r)
{
    int64_t side = work->options->tile_side, samples = side * side * 3;
    snug_tile_normalise(work->canvas, columns * side, c * side, r * side, work->options,
                        work->pixels + index * samples);
    for (int64_t y = 0; work->u8 && y < side; y++)
        memcpy(work->u8 + index * samples + y * side * 3,
               work->canvas + ((r * side + y) * columns + c) * side * 3, (size_t)(side * 3));
}

static enum snug_status make(struct tile_work *work, struct snug_error *error)
{
    int64_t columns = work->grid.columns, rows = work->grid.rows;
    enum snug_status status = resize_to_canvas(work, columns, rows, error);
    if (status != SNUG_STATUS_OK)
        return status;
    for (int64_t i = 0; i < columns * rows; i++)
        cut(work, i, columns, i % columns, i / columns);
    if (work->grid.tiles == columns * rows)
        return SNUG_STATUS_OK;
    status = resize_to_canvas(work, 1, 1, error);
    if (status == SNUG_STATUS_OK)
        cut(work, columns * rows, 1, 0, 0);
    return status;
}

static enum snug_status check(const struct snug_image *image,
                              const struct snug_tile_options *options, struct snug_error *error)
{
    bool is_good = image->pixels && image->width >= 1 && image->height >= 1 &&
                   options->tile_side >= 1 && options->tile_side <= SNUG_MAX_SIDE &&
                   options->min_tiles >= 1 && options->min_tiles <= options->max_tiles &&
                   options->max_tiles <= SNUG_MAX_TILES;
    for (int c = 0; c < 3; c++)
        is_good = is_good && isfinite(options->mean[c]) && isfinite(options->std[c]) &&
                  options->std[c] != 0.0f;
    if (is_good)
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_SHAPE,
                          "cannot cut %lld x %lld pixels into %lld to %lld tiles of side %lld",
                          (long long)image->width, (long long)image->height,
                          (long long)options->min_tiles, (long long)options->max_tiles,
                          (long long)options->tile_side);
}

enum snug_status snug_tiles_make(const struct snug_image *image,
                                 const struct snug_tile_options *options,
                                 const struct snug_allocator *allocator,
                                 struct snug_tile_grid *grid, float **pixels, unsigned char **u8,
                                 struct snug_error *error)
{
    enum snug_status status = check(image, options, error);
    if (status != SNUG_STATUS_OK)
        return status;
    struct tile_work work = {.image = image, .options = options, .allocator = allocator};
    work.grid = snug_tile_choose(image->width, image->height, options);
    /* At most 65 tiles of 65,500^2 pixels of 12 bytes: far below 2^63. */
    size_t tile_bytes = (size_t)options->tile_side * (size_t)options->tile_side * 3;
    size_t tiles = (size_t)work.grid.tiles;
    work.canvas = snug_alloc(allocator, (size_t)(work.grid.columns * work.grid.rows) * tile_bytes);
    work.pixels = snug_alloc(allocator, tiles * tile_bytes * sizeof *work.pixels);
    if (u8)
        work.u8 = snug_alloc(allocator, tiles * tile_bytes);
    if (!work.canvas || !work.pixels || (u8 && !work.u8))
        status = snug_error_memory(error, tiles * tile_bytes * sizeof *work.pixels, "tiles");
    else
        status = make(&work, error);
    snug_free(allocator, work.canvas);
    if (status != SNUG_STATUS_OK) {
        snug_free(allocator, work.pixels);
        snug_free(allocator, work.u8);
        return status;
    }
    *grid = work.grid;
    *pixels = work.pixels;
    if (u8)
        *u8 = work.u8;
    return SNUG_STATUS_OK;
}
