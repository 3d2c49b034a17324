/* Tests of document/tiles.c: InternVL's tiles, and errors of both ways (more of Llama's:
 * test_tiles_fit.c). More results to the byte: golden-check, kind "internvl-tiles".
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "document/image.h"

#include <math.h>

static struct snug_tile_options default_options(void)
{
    return (struct snug_tile_options){
        .tile_side = 448,
        .min_tiles = 1,
        .max_tiles = 12,
        .thumbnail = true,
        .filter = SNUG_FILTER_BICUBIC,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
    };
}

static struct snug_tile_options fit_options(void)
{
    struct snug_tile_options options = default_options();
    options.tiling = SNUG_TILING_FIT;
    options.max_tiles = 4;
    options.thumbnail = false;
    options.filter = SNUG_FILTER_BILINEAR;
    return options;
}

/* ---- grids ---- */

static void test_grids(void **state)
{
    (void)state;
    static const struct {
        int64_t width, height, min, max;
        bool thumbnail;
        int64_t columns, rows, tiles;
    } cases[] = {
        {448, 448, 1, 12, true, 1, 1, 1},    {640, 480, 1, 12, true, 4, 3, 13},
        {480, 640, 1, 12, true, 3, 4, 13},   {800, 400, 1, 12, true, 2, 1, 3},
        {3000, 1000, 1, 12, true, 6, 2, 13}, {1000, 3000, 1, 12, true, 2, 6, 13},
        {1920, 1080, 1, 12, true, 4, 2, 9},  {300, 800, 1, 12, true, 2, 5, 11},
        {1344, 896, 1, 12, true, 3, 2, 7},   {100, 100, 1, 12, true, 1, 1, 1},
        {634, 634, 1, 12, true, 2, 2, 5},    {633, 633, 1, 12, true, 1, 1, 1},
        {900, 900, 1, 12, true, 2, 2, 5},    {1100, 1100, 1, 12, true, 3, 3, 10},
        {1268, 1268, 1, 12, true, 3, 3, 10}, {640, 360, 1, 12, true, 2, 1, 3},
        {2480, 3508, 1, 12, true, 2, 3, 7},  {5000, 300, 1, 12, true, 12, 1, 13},
        {640, 480, 1, 12, false, 4, 3, 12},  {640, 480, 1, 1, true, 1, 1, 1},
        {100, 100, 2, 4, true, 2, 2, 5},     {100, 100, 3, 3, true, 1, 3, 4},
        {65500, 1, 1, 64, true, 64, 1, 65},  {1, 65500, 1, 64, true, 1, 64, 65},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_tile_options options = default_options();
        options.min_tiles = cases[i].min;
        options.max_tiles = cases[i].max;
        options.thumbnail = cases[i].thumbnail;
        struct snug_tile_grid grid = snug_tile_choose(cases[i].width, cases[i].height, &options);
        if (grid.columns != cases[i].columns || grid.rows != cases[i].rows ||
            grid.tiles != cases[i].tiles)
            print_error("%lldx%lld: %lldx%lld, %lld tiles, expected %lldx%lld, %lld\n",
                        (long long)cases[i].width, (long long)cases[i].height,
                        (long long)grid.columns, (long long)grid.rows, (long long)grid.tiles,
                        (long long)cases[i].columns, (long long)cases[i].rows,
                        (long long)cases[i].tiles);
        assert_int_equal(grid.columns, cases[i].columns);
        assert_int_equal(grid.rows, cases[i].rows);
        assert_int_equal(grid.tiles, cases[i].tiles);
        assert_int_equal(grid.width, cases[i].columns * 448);
        assert_int_equal(grid.height, cases[i].rows * 448);
    }
}

/* ---- normalising ---- */

static void test_normalise(void **state)
{
    (void)state;
    /* A tile of side 16: 768 samples, all values thrice. */
    enum { SIDE = 16 };
    static unsigned char tile[SIDE * SIDE * 3];
    static float out[3 * SIDE * SIDE + 1];
    struct snug_tile_options options = default_options();
    options.tile_side = SIDE;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        tile[i] = (unsigned char)(i * 89);
    out[3 * SIDE * SIDE] = 12345.0f;
    snug_tile_normalise(tile, &options, out);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < SIDE * SIDE; i++) {
            volatile float scaled = (float)tile[i * 3 + c] / 255.0f;
            volatile float centred = scaled - options.mean[c];
            float wanted = centred / options.std[c], found = out[c * SIDE * SIDE + i];
            if (memcmp(&found, &wanted, sizeof found) != 0)
                print_error("channel %d, pixel %d: %.9g, expected %.9g\n", c, i, (double)found,
                            (double)wanted);
            assert_memory_equal(&found, &wanted, sizeof found);
        }
    assert_true(out[3 * SIDE * SIDE] == 12345.0f);
}

/* ---- the whole of it ---- */

/* A picture that is its own canvas (nothing is resized): every tile must be the right part of it.
 */
static void test_cutting(void **state)
{
    (void)state;
    enum { SIDE = 8, COLUMNS = 3, ROWS = 2, WIDTH = SIDE * COLUMNS, HEIGHT = SIDE * ROWS };
    static unsigned char pixels[WIDTH * HEIGHT * 3], thumbnail[SIDE * SIDE * 3];
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_tile_options options = default_options();
    options.tile_side = SIDE;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        pixels[i * 3] = (unsigned char)(i % WIDTH);
        pixels[i * 3 + 1] = (unsigned char)(i / WIDTH);
        pixels[i * 3 + 2] = (unsigned char)(i * 31);
    }
    const struct snug_image image = {WIDTH, HEIGHT, pixels, heap};
    struct snug_tile_grid grid = {0};
    unsigned char *u8 = NULL;
    assert_int_equal(snug_tiles_make(&image, &options, heap, &grid, &u8, NULL), SNUG_STATUS_OK);
    assert_int_equal(grid.columns, COLUMNS);
    assert_int_equal(grid.rows, ROWS);
    assert_int_equal(grid.tiles, COLUMNS * ROWS + 1);
    for (int tile = 0; tile < COLUMNS * ROWS; tile++)
        for (int y = 0; y < SIDE; y++)
            assert_memory_equal(
                u8 + (tile * SIDE + y) * SIDE * 3,
                pixels + ((tile / COLUMNS * SIDE + y) * WIDTH + tile % COLUMNS * SIDE) * 3,
                SIDE * 3);
    assert_int_equal(
        snug_resize(pixels, WIDTH, HEIGHT, 3, SIDE, SIDE, options.filter, heap, thumbnail, NULL),
        SNUG_STATUS_OK);
    assert_memory_equal(u8 + COLUMNS * ROWS * SIDE * SIDE * 3, thumbnail, sizeof thumbnail);
    snug_free(heap, u8);
}

/* One of each way that a picture can go: by rows, mirrored, turned, held as a whole. */
static const char *const files[] = {
    "exif_1.jpg",     "exif_2.jpg",       "exif_3.jpg",     "exif_4.jpg",    "exif_5.jpg",
    "exif_6.jpg",     "exif_7.jpg",       "exif_8.jpg",     "gray.jpg",      "progressive.jpg",
    "cmyk_adobe.jpg", "rgba8.png",        "la16_adam7.png", "pal4_trns.png", "exif6.png",
    "lossless.webp",  "lossy_alpha.webp", "anim.webp",      "rgb24.bmp",     "rgb.ppm",
};
#define FILES (sizeof files / sizeof files[0])

static const char *path_of(const char *file)
{
    char name[128];
    snprintf(name, sizeof name, "tests/golden/images/decode/in/%s", file);
    return test_path(name);
}

/* The tiles of a file are those of its picture. */
static void test_files(void **state)
{
    (void)state;
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < FILES; i++) {
        struct snug_tile_options options = default_options();
        options.tile_side = 20;
        struct snug_error error = {0};
        struct snug_bytes bytes = {0};
        struct snug_image image = {0};
        struct snug_tile_grid grid, wanted_grid;
        unsigned char *tiles = NULL, *wanted = NULL;
        assert_ok(snug_bytes_open(path_of(files[i]), 1 << 20, heap, &bytes, &error));
        assert_ok(snug_image_collect(&bytes, NULL, heap, &image, &error));
        assert_ok(snug_tiles_make(&image, &options, heap, &wanted_grid, &wanted, &error));
        assert_ok(snug_tiles_read(&bytes, NULL, &options, heap, &grid, &tiles, &error));
        assert_int_equal(grid.columns, wanted_grid.columns);
        assert_int_equal(grid.rows, wanted_grid.rows);
        assert_int_equal(grid.tiles, wanted_grid.tiles);
        assert_true(grid.tiles > 1);
        assert_memory_equal(tiles, wanted, (size_t)grid.tiles * 20 * 20 * 3);
        snug_free(heap, tiles);
        snug_free(heap, wanted);
        snug_image_free(&image);
        snug_bytes_close(&bytes);
    }
}

/* Every allocation refused in turn, and the file cut in the middle: no tiles, nothing left. */
static void check_refusals(struct snug_tile_options options)
{
    options.tile_side = 20;
    for (size_t i = 0; i < FILES; i++)
        for (uint64_t n = 1;; n++) {
            struct snug_counting_allocator counting;
            struct snug_error error = {0};
            struct snug_bytes bytes = {0};
            struct snug_tile_grid grid = {.tiles = 7};
            unsigned char *tiles = NULL;
            snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
            enum snug_status status =
                snug_bytes_open(path_of(files[i]), 1 << 20, &counting.allocator, &bytes, &error);
            if (!status)
                status = snug_tiles_read(&bytes, NULL, &options, &counting.allocator, &grid, &tiles,
                                         &error);
            if (status != (counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK))
                fail_msg("%s, request %llu: %s (%s)", files[i], (unsigned long long)n,
                         snug_status_text(status), error.message);
            assert_true(!status || (!tiles && grid.tiles == 7));
            snug_free(&counting.allocator, tiles);
            snug_bytes_close(&bytes);
            assert_int_equal(counting.live, 0);
            if (!counting.failed) {
                assert_true(n > 5);
                break;
            }
        }
    for (size_t i = 0; i < FILES; i++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        struct snug_blob blob = {0};
        struct snug_tile_grid grid = {.tiles = 7};
        unsigned char *tiles = NULL;
        assert_ok(snug_file_read(path_of(files[i]), 1 << 20, snug_allocator_heap(), &blob, &error));
        struct snug_bytes bytes = snug_bytes_of(files[i], blob.data, blob.size - 20);
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
        assert_int_equal(
            snug_tiles_read(&bytes, NULL, &options, &counting.allocator, &grid, &tiles, &error),
            SNUG_STATUS_FORMAT);
        assert_null(tiles);
        assert_int_equal(grid.tiles, 7);
        assert_int_equal(counting.live, 0);
        snug_blob_free(&blob);
    }
}

static void test_files_refused(void **state)
{
    (void)state;
    check_refusals(default_options());
    check_refusals(fit_options());
}

static void test_errors(void **state)
{
    (void)state;
    unsigned char pixels[3] = {0};
    const struct snug_allocator *heap = snug_allocator_heap();
    for (int i = 0; i < 13; i++) {
        struct snug_tile_options options = i < 9 ? default_options() : fit_options();
        struct snug_image image = {1, 1, pixels, heap};
        struct snug_tile_grid grid = {.tiles = 7};
        unsigned char *tiles = NULL;
        struct snug_error error = {0};
        switch (i) {
        case 0:
            image.width = 0;
            break;
        case 1:
            image.height = -1;
            break;
        case 2:
            image.pixels = NULL;
            break;
        case 3:
            options.tile_side = 0;
            break;
        case 4:
            options.min_tiles = 0;
            break;
        case 5:
            options.min_tiles = 13;
            break;
        case 6:
            options.max_tiles = SNUG_MAX_TILES + 1;
            break;
        case 7:
            options.std[1] = 0.0f;
            break;
        case 8:
            options.mean[2] = NAN;
            break;
        case 9:
            options.thumbnail = true;
            break;
        case 10:
            options.min_tiles = 2;
            break;
        case 11:
            options.tiling = (enum snug_tiling)(SNUG_TILING_FIT + 1);
            break;
        default:
            options.max_tiles = 0;
            break;
        }
        enum snug_status status = snug_tiles_make(&image, &options, heap, &grid, &tiles, &error);
        if (status != SNUG_STATUS_SHAPE)
            print_error("case %d: %s, expected shape\n", i, snug_status_text(status));
        assert_int_equal(status, SNUG_STATUS_SHAPE);
        assert_null(tiles);
        assert_int_equal(grid.tiles, 7);
    }
}

static void check_refused_memory(struct snug_tile_options options)
{
    static unsigned char pixels[30 * 14 * 3];
    options.tile_side = 8;
    uint64_t n = 1;
    for (;; n++) {
        struct snug_counting_allocator counting;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        const struct snug_image image = {30, 14, pixels, snug_allocator_heap()};
        struct snug_tile_grid grid = {0};
        struct snug_error error = {0};
        unsigned char *u8 = NULL;
        enum snug_status status =
            snug_tiles_make(&image, &options, &counting.allocator, &grid, &u8, &error);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            snug_free(&counting.allocator, u8);
            assert_int_equal(counting.live, 0);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
        assert_null(u8);
        assert_int_equal(counting.live, 0);
    }
    assert_true(n > 5);
}

static void test_refused_memory(void **state)
{
    (void)state;
    check_refused_memory(default_options());
    check_refused_memory(fit_options());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),          cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_cutting),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_refused_memory), cmocka_unit_test(test_files),
        cmocka_unit_test(test_files_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
