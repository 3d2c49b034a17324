/* Fuzzing: any bytes as a picture, of whatever format they say they are; what decodes is also
 * turned and cut into tiles. A small pixel limit keeps each run short. Seeds: fuzz/corpus/image,
 * tests/golden/images/decode/in, tests/golden/images/bad. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#define MAX_PIXELS (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sums the samples, so that each is read. */
static unsigned int sum(const unsigned char *samples, int64_t count)
{
    unsigned int total = 0;
    for (int64_t i = 0; i < count; i++)
        total += samples[i];
    return total;
}

static struct snug_tile_options options_for(bool fit)
{
    return (struct snug_tile_options){.tiling = fit ? SNUG_TILING_FIT : SNUG_TILING_STRETCH,
                                      .tile_side = 8,
                                      .min_tiles = 1,
                                      .max_tiles = 6,
                                      .thumbnail = !fit,
                                      .filter = fit ? SNUG_FILTER_BILINEAR : SNUG_FILTER_BICUBIC,
                                      .mean = {0.485f, 0.456f, 0.406f},
                                      .std = {0.229f, 0.224f, 0.225f}};
}

static void check_floats(const unsigned char *tile, const struct snug_tile_options *options)
{
    float pixels[3 * 8 * 8];
    snug_tile_normalise(tile, options, pixels);
    for (int i = 0; i < 3 * 8 * 8; i++)
        SNUG_ASSERT(pixels[i] > -3.0f && pixels[i] < 3.0f);
}

/* The picture's tiles; and the same straight from the bytes, which come a few at a time. The byte
 * in the middle, mostly one of the pixels', says of which way. */
static void cut_tiles(const struct snug_image *image, const uint8_t *data, size_t size)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    const struct snug_image_limits limits = {.max_pixels = MAX_PIXELS};
    const struct snug_tile_options options = options_for(data[size / 2] & 1);
    struct snug_bytes bytes = snug_bytes_of("input", data, size);
    struct snug_tile_grid grid, same_grid;
    unsigned char *tiles, *same_tiles;
    bytes.most = 1 + size % 97;
    if (snug_tiles_make(image, &options, heap, &grid, &tiles, NULL) != SNUG_STATUS_OK)
        return;
    SNUG_ASSERT(snug_tiles_read(&bytes, &limits, &options, heap, &same_grid, &same_tiles, NULL) ==
                SNUG_STATUS_OK);
    SNUG_ASSERT(grid.tiles >= 1 && grid.tiles <= options.max_tiles + 1);
    SNUG_ASSERT(grid.tiles == same_grid.tiles && grid.columns == same_grid.columns);
    SNUG_ASSERT(grid.width >= 1 && grid.width <= grid.columns * 8);
    SNUG_ASSERT(grid.height >= 1 && grid.height <= grid.rows * 8);
    SNUG_ASSERT(memcmp(tiles, same_tiles, (size_t)grid.tiles * 3 * 8 * 8) == 0);
    for (int64_t i = 0; i < grid.tiles; i++)
        check_floats(tiles + i * 3 * 8 * 8, &options);
    snug_free(heap, tiles);
    snug_free(heap, same_tiles);
}

/* Where sums go, so that every byte is really read. */
static volatile unsigned int sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snug_counting_allocator counting;
    struct snug_image image = {0};
    struct snug_error error = {0};
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    enum snug_status status =
        snug_image_decode(data, size, MAX_PIXELS, "input", &counting.allocator, &image, &error);
    if (status == SNUG_STATUS_OK) {
        SNUG_ASSERT(image.width >= 1 && image.height >= 1 &&
                    image.width * image.height <= MAX_PIXELS);
        SNUG_ASSERT(counting.live == 1);
        sink = sink + sum(image.pixels, image.width * image.height * 3); /* every byte is read */
        cut_tiles(&image, data, size);
        snug_image_free(&image);
    } else {
        SNUG_ASSERT(status == SNUG_STATUS_FORMAT || status == SNUG_STATUS_UNSUPPORTED ||
                    status == SNUG_STATUS_LIMIT);
        SNUG_ASSERT(error.message[0] != '\0' && !image.pixels);
    }
    SNUG_ASSERT(counting.live == 0);
    /* EXIF lies deep inside the files: also the bytes themselves. */
    int orientation = snug_exif_orientation(data, size);
    SNUG_ASSERT(orientation >= 1 && orientation <= 8);
    return 0;
}
