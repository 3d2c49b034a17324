/* Tests of document/tiles.c, SNUG_TILING_FIT: grids, ids, and tiles against a plain way that holds
 * picture and canvas as a whole. Errors and refused memory: test_tiles.c. More results to the bit:
 * golden-check, kind "mllama-tiles". Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "document/image.h"

#include <math.h>

static struct snug_tile_options options_of(int64_t side, int64_t max_tiles, enum snug_filter filter)
{
    return (struct snug_tile_options){
        .tiling = SNUG_TILING_FIT,
        .tile_side = side,
        .min_tiles = 1,
        .max_tiles = max_tiles,
        .filter = filter,
        .mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .std = {0.26862954f, 0.26130258f, 0.27577711f},
    };
}

static void print_grid(const char *title, const struct snug_tile_grid *grid)
{
    print_error("%s: %lld rows x %lld columns, %lld tiles, picture %lldx%lld\n", title,
                (long long)grid->rows, (long long)grid->columns, (long long)grid->tiles,
                (long long)grid->width, (long long)grid->height);
}

static void assert_grid(int64_t width, int64_t height, const struct snug_tile_options *options,
                        const struct snug_tile_grid *wanted)
{
    struct snug_tile_grid found = snug_tile_choose(width, height, options);
    if (found.rows == wanted->rows && found.columns == wanted->columns &&
        found.tiles == wanted->tiles && found.width == wanted->width &&
        found.height == wanted->height)
        return;
    print_grid("found", &found);
    print_grid("expected", wanted);
    fail_msg("%lldx%lld, side %lld, at most %lld tiles", (long long)width, (long long)height,
             (long long)options->tile_side, (long long)options->max_tiles);
}

/* ---- grids ---- */

/* Rows are width, height, side, max_tiles; then rows, columns, id, width and height on the canvas.
 */
static void test_grids(void **state)
{
    (void)state;
    static const int64_t cases[][9] = {
        /* what the reference gives */
        {560, 560, 560, 4, 1, 1, 1, 560, 560},
        {224, 224, 560, 4, 1, 1, 1, 560, 560},
        {100, 100, 560, 4, 1, 1, 1, 560, 560},
        {640, 480, 560, 4, 1, 2, 2, 640, 480},
        {480, 640, 560, 4, 2, 1, 5, 480, 640},
        {800, 400, 560, 4, 1, 2, 2, 800, 400},
        {561, 560, 560, 4, 1, 2, 2, 561, 560},
        {500, 333, 560, 4, 1, 1, 1, 560, 372},
        {300, 800, 560, 4, 2, 1, 5, 300, 800},
        {3000, 1000, 560, 4, 1, 3, 3, 1680, 560},
        {1000, 3000, 560, 4, 3, 1, 7, 560, 1680},
        {1920, 1080, 560, 4, 2, 2, 6, 1120, 630},
        {1200, 700, 560, 4, 2, 2, 6, 1120, 653},
        {4000, 3000, 560, 4, 2, 2, 6, 1120, 840},
        {2480, 3508, 560, 4, 2, 2, 6, 791, 1120},
        {5000, 300, 560, 4, 1, 4, 4, 2240, 134},
        {20, 2000, 560, 4, 4, 1, 8, 20, 2000},
        /* full, and a pixel more */
        {2240, 560, 560, 4, 1, 4, 4, 2240, 560},
        {2241, 560, 560, 4, 1, 4, 4, 2240, 559},
        {1120, 1120, 560, 4, 2, 2, 6, 1120, 1120},
        {1121, 1120, 560, 4, 2, 2, 6, 1120, 1119},
        /* a side that comes to less than a pixel is one */
        {1, 1, 560, 4, 1, 1, 1, 560, 560},
        {1, 3329, 560, 4, 4, 1, 8, 1, 2240},
        {3329, 1, 560, 4, 1, 4, 4, 2240, 1},
        {20000, 1, 560, 4, 1, 4, 4, 2240, 1},
        {1, 20000, 560, 4, 4, 1, 8, 1, 2240},
        {65500, 1, 560, 4, 1, 4, 4, 2240, 1},
        {1, 65500, 560, 4, 4, 1, 8, 1, 2240},
        {65500, 2732, 560, 4, 1, 4, 4, 2240, 93},
        /* other numbers of tiles, other sides */
        {640, 480, 560, 1, 1, 1, 1, 560, 420},
        {3000, 2000, 448, 6, 2, 3, 9, 1344, 896},
        {3000, 2000, 56, 12, 3, 4, 22, 224, 149},
        {1, 1, 1, 64, 1, 1, 1, 1, 1},
        {65500, 1, 560, 64, 1, 64, 64, 35840, 1},
        {65500, 2732, 65500, 64, 1, 1, 1, 65500, 2732},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t *c = cases[i];
        const struct snug_tile_options options = options_of(c[2], c[3], SNUG_FILTER_BILINEAR);
        const struct snug_tile_grid wanted = {c[5], c[4], c[4] * c[5], c[7], c[8]};
        assert_grid(c[0], c[1], &options, &wanted);
        assert_int_equal(snug_tile_aspect_id(c[4], c[5], c[3]), c[6]);
    }
}

/* The rule word for word: all scales first, then the smallest of those from 1 on or else the
 * largest, then the fewest tiles. */
static struct snug_tile_grid choose_plainly(int64_t width, int64_t height, int64_t side,
                                            int64_t max_tiles)
{
    enum { MOST = 64 };
    struct snug_tile_grid list[MOST], grid = {0};
    double scale[MOST], wanted = 0.0;
    int count = 0;
    bool is_enlarging = false;
    for (int64_t rows = 1; rows <= max_tiles; rows++)
        for (int64_t columns = 1; columns <= max_tiles; columns++)
            if (rows * columns <= max_tiles) {
                assert_true(count < MOST);
                list[count] = (struct snug_tile_grid){columns, rows, rows * columns, 0, 0};
                scale[count] = fmin((double)(columns * side) / (double)width,
                                    (double)(rows * side) / (double)height);
                is_enlarging = is_enlarging || scale[count] >= 1.0;
                count++;
            }
    if (is_enlarging)
        wanted = INFINITY;
    for (int i = 0; i < count; i++)
        if (is_enlarging && scale[i] >= 1.0)
            wanted = fmin(wanted, scale[i]);
        else if (!is_enlarging)
            wanted = fmax(wanted, scale[i]);
    for (int i = count - 1; i >= 0; i--)
        if (scale[i] == wanted && (!grid.tiles || list[i].tiles <= grid.tiles))
            grid = list[i];
    double target_width = fmin(fmax((double)width, (double)side), (double)(grid.columns * side));
    double target_height = fmin(fmax((double)height, (double)side), (double)(grid.rows * side));
    double across = target_width / (double)width, down = target_height / (double)height;
    double new_width = target_width, new_height = target_height;
    if (across < down)
        new_height = fmin(fmax(floor((double)height * across), 1.0), target_height);
    else
        new_width = fmin(fmax(floor((double)width * down), 1.0), target_width);
    grid.width = (int64_t)new_width;
    grid.height = (int64_t)new_height;
    return grid;
}

static void test_many_grids(void **state)
{
    (void)state;
    static const int64_t most[] = {1, 2, 3, 4, 6, 9, 16};
    for (size_t m = 0; m < sizeof most / sizeof most[0]; m++) {
        const struct snug_tile_options options = options_of(14, most[m], SNUG_FILTER_BILINEAR);
        for (int64_t width = 1; width <= 90; width++)
            for (int64_t height = 1; height <= 90; height++) {
                struct snug_tile_grid wanted = choose_plainly(width, height, 14, most[m]);
                assert_grid(width, height, &options, &wanted);
            }
    }
}

static void test_aspect_ids(void **state)
{
    (void)state;
    for (int64_t most = 1; most <= SNUG_MAX_TILES; most++) {
        int id = 0;
        for (int64_t rows = 1; rows <= most + 1; rows++)
            for (int64_t columns = 1; columns <= most + 1; columns++) {
                assert_int_equal(snug_tile_aspect_id(rows, columns, most),
                                 rows * columns <= most ? ++id : 0);
                if (rows * columns <= most)
                    assert_int_equal(snug_tile_aspect_tiles(id, most), rows * columns);
            }
        assert_int_equal(snug_tile_aspect_count(most), id);
        assert_int_equal(snug_tile_aspect_tiles(0, most), 0);
        assert_int_equal(snug_tile_aspect_tiles(-1, most), 0);
        assert_int_equal(snug_tile_aspect_tiles(id + 1, most), 0);
    }
    static const int64_t outside[][3] = {
        {0, 1, 4},         {1, 0, 4},         {-1, -1, 4},       {1, 5, 4},
        {5, 1, 4},         {2, 3, 4},         {3, 2, 4},         {1, 1, 0},
        {1, 1, -1},        {INT64_MAX, 1, 4}, {1, INT64_MAX, 4}, {INT64_MAX, INT64_MAX, 4},
        {INT64_MIN, 1, 4},
    };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_int_equal(snug_tile_aspect_id(outside[i][0], outside[i][1], outside[i][2]), 0);
}

/* ---- normalising ---- */

/* Llama's reference multiplies in double; for all 256 values that is the quotient. */
static void test_normalise(void **state)
{
    (void)state;
    enum { SIDE = 16 };
    static unsigned char tile[SIDE * SIDE * 3];
    static float out[3 * SIDE * SIDE];
    const struct snug_tile_options options = options_of(SIDE, 4, SNUG_FILTER_BILINEAR);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++)
            tile[i * 3 + c] = (unsigned char)(i + c * 31);
    snug_tile_normalise(tile, &options, out);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < SIDE * SIDE; i++) {
            volatile float scaled = (float)((double)tile[i * 3 + c] * 0.00392156862745098);
            volatile float centred = scaled - options.mean[c];
            float wanted = centred / options.std[c], found = out[c * SIDE * SIDE + i];
            if (memcmp(&found, &wanted, sizeof found) != 0)
                fail_msg("channel %d, value %d: %.9g, expected %.9g", c, tile[i * 3 + c],
                         (double)found, (double)wanted);
        }
}

/* ---- tiles ---- */

/* The tiles by way of a resized picture and a canvas, each held as a whole; the caller's. */
static unsigned char *make_plainly(const struct snug_image *image,
                                   const struct snug_tile_options *options,
                                   struct snug_tile_grid *grid)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    int64_t side = options->tile_side;
    *grid = choose_plainly(image->width, image->height, side, options->max_tiles);
    int64_t width = grid->columns * side, height = grid->rows * side;
    unsigned char *resized = calloc((size_t)(grid->width * grid->height), 3);
    unsigned char *canvas = calloc((size_t)(width * height), 3);
    unsigned char *tiles = malloc((size_t)(width * height * 3)), *to = tiles;
    assert_true(resized && canvas && tiles);
    assert_int_equal(snug_resize(image->pixels, image->width, image->height, 3, grid->width,
                                 grid->height, options->filter, heap, resized, NULL),
                     SNUG_STATUS_OK);
    for (int64_t y = 0; y < grid->height; y++)
        memcpy(canvas + y * width * 3, resized + y * grid->width * 3, (size_t)(grid->width * 3));
    for (int64_t row = 0; row < grid->rows; row++)
        for (int64_t column = 0; column < grid->columns; column++)
            for (int64_t y = 0; y < side; y++, to += side * 3)
                memcpy(to, canvas + ((row * side + y) * width + column * side) * 3,
                       (size_t)(side * 3));
    free(resized);
    free(canvas);
    return tiles;
}

static void assert_tiles(const char *name, const struct snug_image *image,
                         const struct snug_tile_options *options, const struct snug_tile_grid *grid,
                         const unsigned char *tiles)
{
    struct snug_tile_grid wanted_grid;
    unsigned char *wanted = make_plainly(image, options, &wanted_grid);
    assert_grid(image->width, image->height, options, &wanted_grid);
    assert_int_equal(grid->rows, wanted_grid.rows);
    assert_int_equal(grid->columns, wanted_grid.columns);
    assert_int_equal(grid->tiles, wanted_grid.tiles);
    assert_int_equal(grid->width, wanted_grid.width);
    assert_int_equal(grid->height, wanted_grid.height);
    int64_t bytes = options->tile_side * options->tile_side * 3 * grid->tiles;
    for (int64_t i = 0; i < bytes; i++)
        if (tiles[i] != wanted[i])
            fail_msg("%s (%lldx%lld), side %lld, byte %lld: %d, expected %d", name,
                     (long long)image->width, (long long)image->height,
                     (long long)options->tile_side, (long long)i, tiles[i], wanted[i]);
    free(wanted);
}

/* One of each way that a picture can go: by rows, mirrored, turned, held as a whole. */
static const char *const files[] = {
    "exif_1.jpg",     "exif_2.jpg",       "exif_3.jpg",     "exif_4.jpg",    "exif_5.jpg",
    "exif_6.jpg",     "exif_7.jpg",       "exif_8.jpg",     "gray.jpg",      "progressive.jpg",
    "cmyk_adobe.jpg", "rgba8.png",        "la16_adam7.png", "pal4_trns.png", "exif6.png",
    "lossless.webp",  "lossy_alpha.webp", "anim.webp",      "rgb24.bmp",     "rgb.ppm",
};

static void test_files(void **state)
{
    (void)state;
    const struct snug_allocator *heap = snug_allocator_heap();
    static const int64_t sides[] = {6, 7, 14, 20, 100};
    int padded = 0, filled = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[128];
        struct snug_error error = {0};
        struct snug_bytes bytes = {0};
        struct snug_image image = {0};
        snprintf(name, sizeof name, "tests/golden/images/decode/in/%s", files[i]);
        assert_ok(snug_bytes_open(test_path(name), 1 << 20, heap, &bytes, &error));
        assert_ok(snug_image_collect(&bytes, NULL, heap, &image, &error));
        for (size_t k = 0; k < sizeof sides / sizeof sides[0] * 2; k++) {
            const struct snug_tile_options options =
                options_of(sides[k / 2], k % 3 == 2 ? 6 : 4,
                           k % 2 ? SNUG_FILTER_BICUBIC : SNUG_FILTER_BILINEAR);
            struct snug_tile_grid grid;
            unsigned char *tiles = NULL;
            assert_ok(snug_tiles_read(&bytes, NULL, &options, heap, &grid, &tiles, &error));
            assert_tiles(files[i], &image, &options, &grid, tiles);
            bool is_full = grid.width == grid.columns * options.tile_side &&
                           grid.height == grid.rows * options.tile_side;
            padded += !is_full;
            filled += is_full;
            snug_free(heap, tiles);
        }
        snug_image_free(&image);
        snug_bytes_close(&bytes);
    }
    assert_true(padded > 100 && filled > 4);
}

/* Slivers, single pixels, tiles that the picture does not reach. */
static void test_extremes(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},   {1, 3329}, {3329, 1}, {20000, 1}, {1, 20000},
                                       {2, 2},   {31, 1},   {1, 33},   {8, 8},     {9, 8},
                                       {8, 9},   {16, 16},  {17, 16},  {32, 8},    {33, 8},
                                       {24, 17}, {5, 100},  {100, 5},  {300, 200}, {200, 300}};
    static const int64_t sides[] = {1, 8, 56};
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t bytes = (size_t)(sizes[i][0] * sizes[i][1] * 3);
        unsigned char *pixels = malloc(bytes);
        assert_non_null(pixels);
        for (size_t k = 0; k < bytes; k++) /* never black: a tile's black is padding's */
            pixels[k] = (unsigned char)(1 + (k * 7 + k / 90 * 41) % 255);
        const struct snug_image image = {sizes[i][0], sizes[i][1], pixels, heap};
        for (size_t s = 0; s < sizeof sides / sizeof sides[0]; s++) {
            const struct snug_tile_options options = options_of(sides[s], 4, SNUG_FILTER_BILINEAR);
            struct snug_error error = {0};
            struct snug_tile_grid grid;
            unsigned char *tiles = NULL;
            assert_ok(snug_tiles_make(&image, &options, heap, &grid, &tiles, &error));
            assert_tiles("pixels", &image, &options, &grid, tiles);
            int64_t black = 0, pixels_of_tiles = grid.tiles * sides[s] * sides[s];
            for (int64_t k = 0; k < pixels_of_tiles; k++)
                black += !tiles[k * 3] && !tiles[k * 3 + 1] && !tiles[k * 3 + 2];
            assert_int_equal(black, pixels_of_tiles - grid.width * grid.height);
            snug_free(heap, tiles);
        }
        free(pixels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),      cmocka_unit_test(test_many_grids),
        cmocka_unit_test(test_aspect_ids), cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
