/* Tests of document/page.c: what a page costs, against what it really takes of the allocator, for
 * pictures of several sizes in every format. What libjpeg and libwebp take from malloc themselves
 * is not seen by the allocator and not counted here; it is in the figures (jpeg.c, webp.c).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "document/image_internal.h"

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

/* ---- an allocator that knows how much is out ---- */

struct meter {
    struct snug_allocator allocator;
    size_t live, top;
};

#define HEAD 16

static void *meter_resize(void *context, void *memory, size_t bytes)
{
    struct meter *meter = context;
    char *block = memory ? (char *)memory - HEAD : NULL;
    size_t before = 0;
    if (block)
        memcpy(&before, block, sizeof before);
    block = realloc(block, bytes + HEAD);
    assert_non_null(block);
    memcpy(block, &bytes, sizeof bytes);
    meter->live = meter->live - before + bytes;
    if (meter->live > meter->top)
        meter->top = meter->live;
    return block + HEAD;
}

static void *meter_allocate(void *context, size_t bytes)
{
    return meter_resize(context, NULL, bytes);
}

static void meter_release(void *context, void *memory)
{
    struct meter *meter = context;
    size_t bytes;
    if (!memory)
        return;
    memcpy(&bytes, (char *)memory - HEAD, sizeof bytes);
    meter->live -= bytes;
    free((char *)memory - HEAD);
}

static void meter_init(struct meter *meter)
{
    *meter = (struct meter){.allocator = {meter_allocate, meter_resize, meter_release, meter}};
}

/* ---- files of every format, written here ---- */

static void paint(unsigned char *row, int width, int y, int channels)
{
    for (int i = 0; i < width * channels; i++)
        row[i] = (unsigned char)(i * 5 + y * 11 + (i / 40 ^ y / 30) * 50);
}

/* components 3 or 4 (CMYK); v: rows of chroma a row of brightness stands for. */
static void write_jpeg(FILE *file, int width, int height, int components, int v, bool progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = v;
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    unsigned char *row = malloc((size_t)width * (size_t)components);
    for (int y = 0; y < height; y++) {
        paint(row, width, y, components);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
}

static void write_png(FILE *file, int width, int height, int colour, int depth, bool interlaced)
{
    int channels = colour == PNG_COLOR_TYPE_GRAY ? 1 : colour == PNG_COLOR_TYPE_RGB ? 3 : 4;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_compression_level(png, 1);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, colour,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    unsigned char *row = malloc((size_t)width * (size_t)channels * 2);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < height; y++) {
            paint(row, width, y, channels * depth / 8);
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
}

static void write_webp(FILE *file, int width, int height, bool lossless)
{
    size_t pixel = lossless ? 4 : 3, bytes = (size_t)width * pixel;
    unsigned char *all = malloc(bytes * (size_t)height);
    uint8_t *out = NULL;
    for (int y = 0; y < height; y++)
        paint(all + (size_t)y * bytes, width, y, (int)pixel);
    size_t size = lossless ? WebPEncodeLosslessRGBA(all, width, height, width * (int)pixel, &out)
                           : WebPEncodeRGB(all, width, height, width * (int)pixel, 50, &out);
    assert_true(size > 0 && fwrite(out, 1, size, file) == size);
    WebPFree(out);
    free(all);
}

static void write_pnm(FILE *file, int width, int height)
{
    unsigned char *row = malloc((size_t)width * 3);
    fprintf(file, "P6\n%d %d\n255\n", width, height);
    for (int y = 0; y < height; y++) {
        paint(row, width, y, 3);
        fwrite(row, 3, (size_t)width, file);
    }
    free(row);
}

/* Little-endian. */
static void put(FILE *file, unsigned int value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        fputc((int)(value & 255), file);
}

static void write_bmp(FILE *file, int width, int height)
{
    unsigned char *row = malloc((size_t)width * 4);
    fputs("BM", file);
    put(file, 0, 8);
    put(file, 54, 4);
    put(file, 40, 4);
    put(file, (unsigned int)width, 4);
    put(file, (unsigned int)height, 4);
    put(file, 1, 2);
    put(file, 32, 2);
    put(file, 0, 24);
    for (int y = 0; y < height; y++) {
        paint(row, width, y, 4);
        fwrite(row, 4, (size_t)width, file);
    }
    free(row);
}

enum kind {
    JPEG_420,
    JPEG_CMYK,
    PNG_RGB,
    PNG_GRAY,
    PNG_RGBA_16,
    BMP_32,
    PNM_RGB,
    FIRST_WHOLE,
    JPEG_PROGRESSIVE = FIRST_WHOLE,
    PNG_INTERLACED,
    WEBP_LOSSY,
    WEBP_LOSSLESS,
    KINDS
};

static void write_picture(FILE *file, enum kind kind, int width, int height)
{
    switch (kind) {
    case JPEG_420:
    case JPEG_PROGRESSIVE:
        write_jpeg(file, width, height, 3, 2, kind == JPEG_PROGRESSIVE);
        break;
    case JPEG_CMYK:
        write_jpeg(file, width, height, 4, 1, false);
        break;
    case PNG_RGB:
    case PNG_INTERLACED:
        write_png(file, width, height, PNG_COLOR_TYPE_RGB, 8, kind == PNG_INTERLACED);
        break;
    case PNG_GRAY:
        write_png(file, width, height, PNG_COLOR_TYPE_GRAY, 8, false);
        break;
    case PNG_RGBA_16:
        write_png(file, width, height, PNG_COLOR_TYPE_RGB_ALPHA, 16, false);
        break;
    case WEBP_LOSSY:
    case WEBP_LOSSLESS:
        write_webp(file, width, height, kind == WEBP_LOSSLESS);
        break;
    case BMP_32:
        write_bmp(file, width, height);
        break;
    default:
        write_pnm(file, width, height);
    }
}

/* ---- the cost ---- */

static const struct snug_tile_options stretch = {.tile_side = 448,
                                                 .min_tiles = 1,
                                                 .max_tiles = 12,
                                                 .thumbnail = true,
                                                 .filter = SNUG_FILTER_BICUBIC,
                                                 .mean = {0.5f, 0.5f, 0.5f},
                                                 .std = {0.5f, 0.5f, 0.5f}};
static const struct snug_tile_options fit = {.tiling = SNUG_TILING_FIT,
                                             .tile_side = 560,
                                             .min_tiles = 1,
                                             .max_tiles = 4,
                                             .filter = SNUG_FILTER_BILINEAR,
                                             .mean = {0.5f, 0.5f, 0.5f},
                                             .std = {0.5f, 0.5f, 0.5f}};

/* Reads the file; the most that was out at a time. */
static size_t measure(const char *path, const struct snug_tile_options *options,
                      const struct snug_image_limits *limits, enum snug_status wanted,
                      size_t *file_bytes)
{
    struct meter meter;
    struct snug_bytes bytes = {0};
    struct snug_tile_grid grid;
    struct snug_error error = {0};
    unsigned char *tiles = NULL;
    meter_init(&meter);
    assert_ok(snug_bytes_open(path, SNUG_MAX_DOCUMENT_BYTES, &meter.allocator, &bytes, &error));
    *file_bytes = (size_t)bytes.size;
    enum snug_status status =
        snug_tiles_read(&bytes, limits, options, &meter.allocator, &grid, &tiles, &error);
    if (status != wanted)
        fail_msg("%s (%s), expected %s", snug_status_text(status), status ? error.message : "",
                 snug_status_text(wanted));
    snug_free(&meter.allocator, tiles);
    snug_bytes_close(&bytes);
    assert_int_equal(meter.live, 0);
    return meter.top;
}

static void check_cost(const struct snug_tile_options *options, enum kind kind, int width,
                       int height)
{
    char path[] = "/tmp/snug-page-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    assert_non_null(file);
    write_picture(file, kind, width, height);
    assert_int_equal(fclose(file), 0);

    size_t file_bytes, top = measure(path, options, NULL, SNUG_STATUS_OK, &file_bytes);
    bool whole = kind >= FIRST_WHOLE;
    size_t said = whole ? snug_page_bytes_whole(width, height, options) +
                              (kind >= WEBP_LOSSY ? file_bytes : 0)
                        : snug_page_bytes(width, height, options);
    /* Not more than that; nor so much less that the figure is of no use. The allowance for
     * libraries: 80 KiB and 180 bytes a pixel of width. A whole picture has 3 bytes a pixel, the
     * figure allows for 8 more. */
    size_t pixels = (size_t)width * (size_t)height;
    size_t slack = (80u << 10) + (size_t)width * 180;
    if (whole)
        slack += (2u << 20) + pixels * 11 + (size_t)(width > height ? width : height) * 400;
    if (top > said || said > top + top / 20 + slack)
        fail_msg("kind %d, %d x %d: %zu bytes were out, %zu said", (int)kind, width, height, top,
                 said);
    /* The figure is enough as a limit, and a limit below what is needed refuses. */
    struct snug_image_limits limits = {.max_bytes = said};
    assert_int_equal(measure(path, options, &limits, SNUG_STATUS_OK, &file_bytes), top);
    limits.max_bytes = top - 1;
    assert_true(measure(path, options, &limits, SNUG_STATUS_DOES_NOT_FIT, &file_bytes) <=
                SNUG_BYTES_WINDOW + file_bytes + 65536);
    assert_int_equal(remove(path), 0);
}

static void test_costs(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1240, 1754}, {640, 480}, {100, 100}, {3000, 200},
                                   {200, 3000},  {1, 700},   {9000, 1},  {448, 448}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int kind = 0; kind < KINDS; kind++)
            check_cost(&stretch, (enum kind)kind, sizes[i][0], sizes[i][1]);
    /* From 1 on: the page is dear to write. */
    for (size_t i = 1; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int kind = 0; kind < KINDS; kind++)
            check_cost(&fit, (enum kind)kind, sizes[i][0], sizes[i][1]);
}

/* Turned pictures: the golden files of every orientation, as small as they are. */
static void check_orientations(const struct snug_tile_options *options)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        char name[128];
        size_t file_bytes;
        snprintf(name, sizeof name, "tests/golden/images/decode/in/exif_%d.jpg", orientation);
        size_t top = measure(test_path(name), options, NULL, SNUG_STATUS_OK, &file_bytes);
        size_t said = orientation <= 2 ? snug_page_bytes(24, 16, options)
                                       : snug_page_bytes_whole(16, 24, options);
        assert_true(top <= said);
    }
}

static void test_orientations(void **state)
{
    (void)state;
    check_orientations(&stretch);
    check_orientations(&fit);
}

/* The message helps: size, need, limit. */
static void test_message(void **state)
{
    (void)state;
    const struct snug_image_limits limits = {.max_bytes = 1000000};
    struct snug_bytes bytes = {0};
    struct snug_tile_grid grid = {.tiles = 7};
    struct snug_error error = {0};
    unsigned char *tiles = NULL;
    assert_ok(snug_bytes_open(test_path("tests/golden/images/internvl/src/11_2480x3508.png"),
                              1 << 24, snug_allocator_heap(), &bytes, &error));
    assert_int_equal(
        snug_tiles_read(&bytes, &limits, &stretch, snug_allocator_heap(), &grid, &tiles, &error),
        SNUG_STATUS_DOES_NOT_FIT);
    assert_non_null(strstr(error.message, "2480 x 3508"));
    assert_non_null(strstr(error.message, "MiB"));
    assert_non_null(strstr(error.message, "left for it; try a larger --budget"));
    assert_null(tiles);
    assert_int_equal(grid.tiles, 7);
    snug_bytes_close(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
