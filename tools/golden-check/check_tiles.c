/* golden-check, kinds "internvl-tiles" and "mllama-tiles": grids, tiles to the byte, floats.
 *
 * internvl-tiles: cases.json, pictures with the tiles of several settings and normalised samples;
 * grids.csv, the grid of many sizes. mllama-tiles: cases.json, pictures with their canvas and
 * their floats to the bit; canvas.json, canvas and size on it of many sizes.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "document/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The data allow for references that fuse (v - 255 mean) / (255 std). */
#define SAMPLE_TOLERANCE 1e-6

static const char *string_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t integer_at(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static struct snug_tile_options options_of(int64_t side, int64_t max_tiles)
{
    return (struct snug_tile_options){
        .tile_side = side,
        .min_tiles = 1,
        .max_tiles = max_tiles,
        .thumbnail = true,
        .filter = SNUG_FILTER_BICUBIC,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
    };
}

/* ---- one picture, one setting ---- */

struct tiles {
    struct snug_tile_grid grid;
    int64_t side;
    unsigned char *u8;
};

static bool check_grid(struct golden *g, const char *label, json_t *config,
                       const struct tiles *tiles)
{
    int64_t columns = integer_at(config, "cols"), rows = integer_at(config, "rows");
    const struct snug_tile_grid *grid = &tiles->grid;
    if (grid->columns == columns && grid->rows == rows &&
        grid->tiles == integer_at(config, "tiles") &&
        grid->width == integer_at(config, "resized_w") &&
        grid->height == integer_at(config, "resized_h"))
        return true;
    golden_fail(g, label, "grid %lldx%lld, %lld tiles; expected %lldx%lld, %lld",
                (long long)grid->columns, (long long)grid->rows, (long long)grid->tiles,
                (long long)columns, (long long)rows, (long long)integer_at(config, "tiles"));
    return false;
}

static bool check_bytes(struct golden *g, const char *label, json_t *config,
                        const struct tiles *tiles)
{
    json_t *list = json_object_get(config, "tile_sha256");
    size_t bytes = (size_t)(tiles->side * tiles->side * 3);
    if (json_array_size(list) != (size_t)tiles->grid.tiles) {
        golden_fail(g, label, "%zu hashes for %lld tiles", json_array_size(list),
                    (long long)tiles->grid.tiles);
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        char hex[65];
        const char *wanted = json_string_value(json_array_get(list, i));
        golden_sha256(tiles->u8 + i * bytes, bytes, hex);
        if (!wanted || strcmp(hex, wanted) != 0) {
            golden_fail(g, label, "tile %zu: sha256 %s, expected %s", i, hex,
                        wanted ? wanted : "(none)");
            return false;
        }
    }
    return true;
}

/* A row [tile, channel, y, x, value]. */
static bool check_sample(struct golden *g, const char *label, size_t number, json_t *row,
                         const struct tiles *tiles, const float *pixels, double tolerance)
{
    int64_t at[4], limit[4] = {tiles->grid.tiles, 3, tiles->side, tiles->side}, index = 0;
    for (size_t k = 0; k < 4; k++) {
        at[k] = json_integer_value(json_array_get(row, k));
        if (json_array_size(row) != 5 || at[k] < 0 || at[k] >= limit[k]) {
            golden_fail(g, label, "sample row %zu lies outside", number);
            return false;
        }
        index = index * limit[k] + at[k];
    }
    double wanted = (float)json_number_value(json_array_get(row, 4)), found = pixels[index];
    if (fabs(found - wanted) <= tolerance)
        return true;
    golden_fail(g, label, "tile %lld, channel %lld, y %lld, x %lld: %.9g, expected %.9g",
                (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3], found,
                wanted);
    return false;
}

/* [tiles][3][side][side]; NULL after a golden_fail. */
static float *normalise(struct golden *g, const char *label,
                        const struct snug_tile_options *options, const struct tiles *tiles)
{
    int64_t elements = 3 * tiles->side * tiles->side;
    float *pixels =
        snug_alloc_array(g->allocator, (size_t)(tiles->grid.tiles * elements), sizeof *pixels);
    if (!pixels)
        golden_fail(g, label, "out of memory");
    for (int64_t i = 0; pixels && i < tiles->grid.tiles; i++)
        snug_tile_normalise(tiles->u8 + i * elements, options, pixels + i * elements);
    return pixels;
}

static bool check_samples(struct golden *g, const char *label, json_t *config,
                          const struct snug_tile_options *options, const struct tiles *tiles)
{
    json_t *list = json_object_get(config, "samples");
    float *pixels = normalise(g, label, options, tiles);
    bool good = pixels != NULL;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = check_sample(g, label, i, json_array_get(list, i), tiles, pixels, SAMPLE_TOLERANCE);
    snug_free(g->allocator, pixels);
    return good;
}

/* The strip: all tiles, one below the other, as a picture. */
static bool check_strip(struct golden *g, const char *label, const char *folder, json_t *config,
                        const struct tiles *tiles)
{
    struct snug_blob blob = {0};
    struct snug_image strip = {0};
    struct snug_error error = {0};
    const char *name = string_at(config, "strip");
    if (!name[0] || !golden_read(g, folder, name, &blob))
        return true;
    bool good = snug_image_decode(blob.data, blob.size, 0, name, g->allocator, &strip, &error) ==
                SNUG_STATUS_OK;
    if (!good) {
        golden_fail(g, label, "%s", error.message);
    } else {
        good = strip.width == tiles->side && strip.height == tiles->side * tiles->grid.tiles &&
               memcmp(strip.pixels, tiles->u8, (size_t)(strip.width * strip.height * 3)) == 0;
        if (!good)
            golden_fail(g, label, "not the same picture as %s", name);
    }
    snug_image_free(&strip);
    snug_blob_free(&blob);
    return good;
}

static void check_config(struct golden *g, const char *folder, const char *name,
                         const struct snug_image *image, json_t *config)
{
    char label[256];
    struct snug_error error = {0};
    struct tiles tiles = {.side = integer_at(config, "tile")};
    struct snug_tile_options options = options_of(tiles.side, integer_at(config, "max_patches"));
    snprintf(label, sizeof label, "%s tile %lld max %lld", name, (long long)tiles.side,
             (long long)options.max_tiles);
    if (snug_tiles_make(image, &options, g->allocator, &tiles.grid, &tiles.u8, &error) !=
        SNUG_STATUS_OK) {
        golden_fail(g, label, "%s", error.message);
        return;
    }
    if (check_grid(g, label, config, &tiles) && check_bytes(g, label, config, &tiles) &&
        check_samples(g, label, config, &options, &tiles) &&
        check_strip(g, label, folder, config, &tiles))
        golden_pass(g, label, "%lldx%lld, %lld tiles, %zu samples", (long long)tiles.grid.columns,
                    (long long)tiles.grid.rows, (long long)tiles.grid.tiles,
                    json_array_size(json_object_get(config, "samples")));
    snug_free(g->allocator, tiles.u8);
}

static void check_picture(struct golden *g, const char *folder, json_t *row)
{
    struct snug_blob blob = {0};
    struct snug_image image = {0};
    struct snug_error error = {0};
    const char *name = string_at(row, "src");
    uint64_t failed = g->failed;
    if (!golden_read(g, folder, name, &blob)) {
        if (g->failed == failed)
            golden_skip(g, name, "not there");
        return;
    }
    enum snug_status status =
        snug_image_decode(blob.data, blob.size, 0, name, g->allocator, &image, &error);
    snug_blob_free(&blob);
    if (status != SNUG_STATUS_OK) {
        golden_fail(g, name, "%s", error.message);
        return;
    }
    char hex[65];
    golden_sha256(image.pixels, (size_t)(image.width * image.height * 3), hex);
    if (image.width != integer_at(row, "w") || image.height != integer_at(row, "h") ||
        strcmp(hex, string_at(row, "rgb_sha256")) != 0) {
        golden_fail(g, name, "decoded %lldx%lld %s, expected %lldx%lld %s", (long long)image.width,
                    (long long)image.height, hex, (long long)integer_at(row, "w"),
                    (long long)integer_at(row, "h"), string_at(row, "rgb_sha256"));
    } else {
        json_t *configs = json_object_get(row, "configs");
        for (size_t i = 0; i < json_array_size(configs); i++)
            check_config(g, folder, name, &image, json_array_get(configs, i));
    }
    snug_image_free(&image);
}

/* ---- grids.csv: w,h, then columns and rows for at most 12, 6 and 1 tiles ---- */

/* False if the line is wrong, and then said so. */
static bool check_grid_line(struct golden *g, const char *text, int line)
{
    static const int64_t max_tiles[] = {12, 6, 1};
    long long value[8];
    if (sscanf(text, "%lld,%lld,%lld,%lld,%lld,%lld,%lld,%lld", &value[0], &value[1], &value[2],
               &value[3], &value[4], &value[5], &value[6], &value[7]) != 8 ||
        value[0] < 1 || value[1] < 1) {
        golden_fail(g, "grids.csv", "line %d is not 8 numbers", line);
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        struct snug_tile_options options = options_of(448, max_tiles[i]);
        struct snug_tile_grid grid = snug_tile_choose(value[0], value[1], &options);
        if (grid.columns != value[2 + 2 * i] || grid.rows != value[3 + 2 * i]) {
            golden_fail(g, "grids.csv",
                        "line %d, %lldx%lld, max %lld: %lldx%lld, expected %lldx%lld", line,
                        value[0], value[1], (long long)max_tiles[i], (long long)grid.columns,
                        (long long)grid.rows, value[2 + 2 * i], value[3 + 2 * i]);
            return false;
        }
    }
    return true;
}

static void check_grids(struct golden *g, const char *folder)
{
    struct snug_blob blob = {0};
    if (!golden_read(g, folder, "grids.csv", &blob)) {
        golden_skip(g, "grids.csv", "not there");
        return;
    }
    int line = 0, wrong = 0, sizes = 0;
    const char *at = (const char *)blob.data, *end = at + blob.size;
    while (at < end && wrong < 10) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        line++;
        if (line > 1 && *at != '\n') { /* the first names the columns; a NUL follows the last */
            sizes++;
            wrong += !check_grid_line(g, at, line);
        }
        at = next ? next + 1 : end;
    }
    if (!wrong && sizes)
        golden_pass(g, "grids.csv", "%d sizes, at most 12, 6 and 1 tiles", sizes);
    else if (!sizes)
        golden_fail(g, "grids.csv", "empty");
    snug_blob_free(&blob);
}

void golden_check_internvl_tiles(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    json_t *cases = golden_json(g, folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_picture(g, folder, json_array_get(cases, i));
    json_decref(cases);
    check_grids(g, folder);
}

/* ---- Llama ---- */

#define FIT_MAX_TILES 4

static struct snug_tile_options fit_options(int64_t side)
{
    return (struct snug_tile_options){
        .tiling = SNUG_TILING_FIT,
        .tile_side = side,
        .min_tiles = 1,
        .max_tiles = FIT_MAX_TILES,
        .filter = SNUG_FILTER_BILINEAR,
        .mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .std = {0.26862954f, 0.26130258f, 0.27577711f},
    };
}

static int64_t number_of(json_t *list, size_t index)
{
    return json_integer_value(json_array_get(list, index));
}

static bool check_fit_grid(struct golden *g, const char *label, json_t *row,
                           const struct snug_tile_grid *grid)
{
    json_t *canvas = json_object_get(row, "canvas_rows_cols");
    json_t *size = json_object_get(row, "resized_wh");
    json_t *mask = json_object_get(row, "aspect_ratio_mask");
    int id = snug_tile_aspect_id(grid->rows, grid->columns, FIT_MAX_TILES);
    bool good = grid->rows == number_of(canvas, 0) && grid->columns == number_of(canvas, 1) &&
                grid->width == number_of(size, 0) && grid->height == number_of(size, 1) &&
                id == integer_at(row, "aspect_ratio_id") &&
                grid->tiles == integer_at(row, "num_tiles") &&
                json_array_size(mask) == FIT_MAX_TILES;
    for (size_t i = 0; good && i < FIT_MAX_TILES; i++)
        good = number_of(mask, i) == ((int64_t)i < grid->tiles);
    if (!good)
        golden_fail(g, label,
                    "canvas %lldx%lld (rows, columns), id %d, %lldx%lld pixels; expected %lldx%lld,"
                    " %lld, %lldx%lld",
                    (long long)grid->rows, (long long)grid->columns, id, (long long)grid->width,
                    (long long)grid->height, (long long)number_of(canvas, 0),
                    (long long)number_of(canvas, 1), (long long)integer_at(row, "aspect_ratio_id"),
                    (long long)number_of(size, 0), (long long)number_of(size, 1));
    return good;
}

/* The tiles put together again. NULL after a golden_fail. */
static unsigned char *put_together(struct golden *g, const char *label, const struct tiles *tiles)
{
    size_t bytes = (size_t)(tiles->side * 3);
    int64_t height = tiles->grid.rows * tiles->side;
    unsigned char *canvas =
        snug_alloc_array(g->allocator, (size_t)(height * tiles->grid.columns), bytes);
    if (!canvas)
        golden_fail(g, label, "out of memory");
    unsigned char *to = canvas;
    for (int64_t y = 0; canvas && y < height; y++)
        for (int64_t c = 0; c < tiles->grid.columns; c++, to += bytes) {
            int64_t tile = y / tiles->side * tiles->grid.columns + c;
            memcpy(to, tiles->u8 + (size_t)(tile * tiles->side + y % tiles->side) * bytes, bytes);
        }
    return canvas;
}

/* The PNG shows where the first difference is. */
static bool check_canvas_picture(struct golden *g, const char *label, const char *folder,
                                 const char *name, const unsigned char *canvas, int64_t width,
                                 int64_t height)
{
    struct snug_blob blob = {0};
    struct snug_image image = {0};
    struct snug_error error = {0};
    uint64_t failed = g->failed;
    if (!golden_read(g, folder, name, &blob)) {
        if (g->failed == failed)
            golden_fail(g, label, "%s is not there", name);
        return false;
    }
    bool good = snug_image_decode(blob.data, blob.size, 0, name, g->allocator, &image, &error) ==
                SNUG_STATUS_OK;
    snug_blob_free(&blob);
    if (!good) {
        golden_fail(g, label, "%s", error.message);
        return false;
    }
    int64_t at = 0, samples = width * height * 3;
    good = image.width == width && image.height == height;
    while (good && at < samples && canvas[at] == image.pixels[at])
        at++;
    if (!good)
        golden_fail(g, label, "%s is not %lld x %lld", name, (long long)width, (long long)height);
    else if (at < samples)
        golden_fail(g, label, "x %lld, y %lld, channel %lld: %d, expected %d",
                    (long long)(at / 3 % width), (long long)(at / 3 / width), (long long)(at % 3),
                    canvas[at], image.pixels[at]);
    snug_image_free(&image);
    return good && at == samples;
}

static bool check_canvas(struct golden *g, const char *label, const char *folder, json_t *row,
                         const struct tiles *tiles)
{
    char hex[65];
    int64_t width = tiles->grid.columns * tiles->side, height = tiles->grid.rows * tiles->side;
    const char *name = string_at(row, "canvas");
    unsigned char *canvas = put_together(g, label, tiles);
    if (!canvas)
        return false;
    bool good = !name[0] || check_canvas_picture(g, label, folder, name, canvas, width, height);
    golden_sha256(canvas, (size_t)(width * height * 3), hex);
    if (good && strcmp(hex, string_at(row, "canvas_rgb_sha256")) != 0) {
        golden_fail(g, label, "canvas: sha256 %s, expected %s", hex,
                    string_at(row, "canvas_rgb_sha256"));
        good = false;
    }
    snug_free(g->allocator, canvas);
    return good;
}

static bool check_floats(struct golden *g, const char *label, json_t *row,
                         const struct snug_tile_options *options, const struct tiles *tiles)
{
    char hex[65];
    json_t *shape = json_object_get(row, "pixel_values_shape");
    json_t *list = json_object_get(row, "samples");
    int64_t wanted[4] = {tiles->grid.tiles, 3, tiles->side, tiles->side}, elements = 1;
    for (size_t k = 0; k < 4; k++) {
        elements *= wanted[k];
        if (json_array_size(shape) != 4 || number_of(shape, k) != wanted[k]) {
            golden_fail(g, label, "side %zu of pixel_values is %lld, expected %lld", k,
                        (long long)wanted[k], (long long)number_of(shape, k));
            return false;
        }
    }
    float *pixels = normalise(g, label, options, tiles);
    if (!pixels)
        return false;
    bool good = true;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = check_sample(g, label, i, json_array_get(list, i), tiles, pixels, 0.0);
    golden_sha256(pixels, (size_t)elements * sizeof *pixels, hex);
    if (good && strcmp(hex, string_at(row, "pixel_values_sha256")) != 0) {
        golden_fail(g, label, "pixel values: sha256 %s, expected %s", hex,
                    string_at(row, "pixel_values_sha256"));
        good = false;
    }
    snug_free(g->allocator, pixels);
    return good;
}

static void check_fit_case(struct golden *g, const char *folder, json_t *row)
{
    char label[256];
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    struct tiles tiles = {.side = integer_at(row, "tile_size")};
    struct snug_tile_options options = fit_options(tiles.side);
    const char *name = string_at(row, "image");
    snprintf(label, sizeof label, "%s tile %lld", name, (long long)tiles.side);
    uint64_t failed = g->failed;
    if (!golden_read(g, folder, name, &blob)) {
        if (g->failed == failed)
            golden_skip(g, label, "not there");
        return;
    }
    struct snug_bytes bytes = snug_bytes_of(name, blob.data, blob.size);
    if (snug_tiles_read(&bytes, NULL, &options, g->allocator, &tiles.grid, &tiles.u8, &error))
        golden_fail(g, label, "%s", error.message);
    else if (check_fit_grid(g, label, row, &tiles.grid) &&
             check_canvas(g, label, folder, row, &tiles) &&
             check_floats(g, label, row, &options, &tiles))
        golden_pass(g, label, "%s, %lldx%lld tiles, id %d, %lldx%lld pixels",
                    string_at(row, "mode"), (long long)tiles.grid.rows,
                    (long long)tiles.grid.columns,
                    snug_tile_aspect_id(tiles.grid.rows, tiles.grid.columns, FIT_MAX_TILES),
                    (long long)tiles.grid.width, (long long)tiles.grid.height);
    snug_free(g->allocator, tiles.u8);
    snug_blob_free(&blob);
}

/* canvas.json: tile side, width, height, then rows, columns, id, width and height on the canvas. */
static void check_sizes(struct golden *g, const char *folder)
{
    struct golden_rows rows = {0};
    json_t *root = golden_json(g, folder, "canvas.json");
    json_t *list = json_object_get(root, "rows");
    if (!root)
        return;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *row = json_array_get(list, i);
        int64_t side = number_of(row, 0), width = number_of(row, 1), height = number_of(row, 2);
        rows.rows++;
        if (json_array_size(row) != 8 || side < 1 || width < 1 || height < 1) {
            golden_wrong(&rows, rows.rows, "not 8 numbers");
            continue;
        }
        struct snug_tile_options options = fit_options(side);
        struct snug_tile_grid grid = snug_tile_choose(width, height, &options);
        int64_t found[5] = {grid.rows, grid.columns,
                            snug_tile_aspect_id(grid.rows, grid.columns, FIT_MAX_TILES), grid.width,
                            grid.height};
        for (size_t k = 0; k < 5; k++)
            if (found[k] != number_of(row, 3 + k)) {
                golden_wrong(&rows, rows.rows, "%lldx%lld, tile %lld, column %zu: %lld, not %lld",
                             (long long)width, (long long)height, (long long)side, 3 + k,
                             (long long)found[k], (long long)number_of(row, 3 + k));
                break;
            }
    }
    if (rows.wrong || !rows.rows)
        golden_fail(g, "canvas.json", "%d of %d sizes wrong; first: %s", rows.wrong, rows.rows,
                    rows.rows ? rows.problem : "there is none");
    else
        golden_pass(g, "canvas.json", "%d sizes", rows.rows);
    json_decref(root);
}

void golden_check_mllama_tiles(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    json_t *cases = golden_json(g, folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_fit_case(g, folder, json_array_get(cases, i));
    json_decref(cases);
    check_sizes(g, folder);
}
