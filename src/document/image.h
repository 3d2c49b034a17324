/* Pictures: bytes in, 8-bit RGB out; Pillow-exact resampling; InternVL tiles.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DOCUMENT_IMAGE_H
#define SNUG_DOCUMENT_IMAGE_H

#include "base/files.h"
#include "base/limits.h"

/* Interleaved RGB, 8 bit, rows without padding: pixels[(y * width + x) * 3 + c]. */
struct snug_image {
    int64_t width, height;
    unsigned char *pixels; /* width * height * 3 bytes, from `allocator` */
    const struct snug_allocator *allocator;
};
void snug_image_free(struct snug_image *image); /* zeroed image allowed; leaves it zeroed */

enum snug_image_format {
    SNUG_IMAGE_FORMAT_UNKNOWN,
    SNUG_IMAGE_FORMAT_JPEG,
    SNUG_IMAGE_FORMAT_PNG,
    SNUG_IMAGE_FORMAT_WEBP,
    SNUG_IMAGE_FORMAT_BMP,
    SNUG_IMAGE_FORMAT_PNM,
    SNUG_IMAGE_FORMAT_TIFF, /* recognised, not read yet */
    SNUG_IMAGE_FORMAT_PDF   /* recognised, not read yet */
};
enum snug_image_format snug_image_sniff(const unsigned char *data, size_t size);
const char *snug_image_format_name(enum snug_image_format format);

/* Decodes one picture by its content. Grey and palette expanded, 16 bit by the high byte, alpha
 * over white, EXIF orientation applied (policy: tests/golden/images/decode/README.md). Refused from
 * the header if width * height > max_pixels (0: SNUG_MAX_PIXELS). A damaged or truncated picture is
 * FORMAT: never a partial page. TIFF, PDF and unknown contents: UNSUPPORTED, naming what it is.
 * `name` stands in messages. Memory beyond the result is bounded by a small multiple of it.
 * Thread-safe. Errors: FORMAT, UNSUPPORTED, LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_image_decode(const unsigned char *data, size_t size,
                                                     int64_t max_pixels, const char *name,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_image *out,
                                                     struct snug_error *error);

/* ---- resampling: Pillow's Image.resize to the bit, horizontal pass first ---- */
enum snug_filter { SNUG_FILTER_BILINEAR, SNUG_FILTER_BICUBIC };
/* channels 1 or 3 interleaved 8-bit samples; source and target must not overlap. Work memory from
 * `allocator`, freed before returning. Errors: SHAPE (a side < 1), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_resize(const unsigned char *source, int64_t source_width,
                                               int64_t source_height, int channels, int64_t width,
                                               int64_t height, enum snug_filter filter,
                                               const struct snug_allocator *allocator,
                                               unsigned char *target, struct snug_error *error);

/* ---- InternVL tiles (internvl3.md 7.1) ---- */
struct snug_tile_options {
    int64_t tile_side;            /* 448 */
    int64_t min_tiles, max_tiles; /* without the thumbnail; 1 <= min <= max <= SNUG_MAX_TILES */
    bool thumbnail;               /* appended last when there is more than one tile */
    enum snug_filter filter;
    float mean[3], std[3];
};
struct snug_tile_grid {
    int64_t columns, rows, tiles; /* tiles includes the thumbnail */
};
/* The grid for a picture of width x height: float64 rule, ascending products, ties as the
 * reference. */
struct snug_tile_grid snug_tile_choose(int64_t width, int64_t height,
                                       const struct snug_tile_options *options);

/* Cuts tile `index` (row-major; the thumbnail last) of an already resized canvas into
 * out[3][side][side] f32, (v / 255 - mean) / std with true divisions. */
void snug_tile_normalise(const unsigned char *canvas, int64_t canvas_width, int64_t left,
                         int64_t top, const struct snug_tile_options *options, float *out);

/* The whole of it: grid, resize, cut, thumbnail, normalise. *pixels: [tiles, 3, side, side] f32
 * from `allocator`, the caller's. If u8 is not NULL it receives the tiles as RGB bytes
 * [tiles][side][side][3] (golden tests). Errors: SHAPE, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_tiles_make(const struct snug_image *image,
                                                   const struct snug_tile_options *options,
                                                   const struct snug_allocator *allocator,
                                                   struct snug_tile_grid *grid, float **pixels,
                                                   unsigned char **u8, struct snug_error *error);

#endif
