/* golden-check, kind "internvl-tiles": grids, tiles to the byte, normalised samples.
 *
 * cases.json: pictures with the tiles of several settings. grids.csv: the grid of many sizes.
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
        columns * tiles->side == integer_at(config, "resized_w") &&
        rows * tiles->side == integer_at(config, "resized_h"))
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
                         const struct tiles *tiles, const float *pixels)
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
    double wanted = json_number_value(json_array_get(row, 4)), found = pixels[index];
    if (fabs(found - wanted) <= SAMPLE_TOLERANCE)
        return true;
    golden_fail(g, label, "tile %lld, channel %lld, y %lld, x %lld: %.9g, expected %.9g",
                (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3], found,
                wanted);
    return false;
}

static bool check_samples(struct golden *g, const char *label, json_t *config,
                          const struct snug_tile_options *options, const struct tiles *tiles)
{
    json_t *list = json_object_get(config, "samples");
    int64_t elements = 3 * tiles->side * tiles->side;
    float *pixels =
        snug_alloc_array(g->allocator, (size_t)(tiles->grid.tiles * elements), sizeof *pixels);
    bool good = pixels != NULL;
    if (!good)
        golden_fail(g, label, "out of memory");
    for (int64_t i = 0; good && i < tiles->grid.tiles; i++)
        snug_tile_normalise(tiles->u8 + i * elements, options, pixels + i * elements);
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = check_sample(g, label, i, json_array_get(list, i), tiles, pixels);
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
