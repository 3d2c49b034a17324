/* Pictures: bytes in, rows of 8-bit RGB out; Pillow-exact resampling; tiles.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DOCUMENT_IMAGE_H
#define SNUG_DOCUMENT_IMAGE_H

#include "base/bytes.h"
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

/* ---- decoding ---- */

/* Who takes a picture's rows. A picture that turns out to be damaged fails after some of its rows
 * have been handed over: what was made of them is to be thrown away. */
struct snug_row_sink {
    /* The most that this sink will hold for such a picture, for max_bytes. */
    size_t (*bytes)(const void *context, int64_t width, int64_t height);
    /* The size of the upright picture, once, before its rows. */
    enum snug_status (*begin)(void *context, int64_t width, int64_t height,
                              struct snug_error *error);
    /* The next row from the top, width * 3 bytes, valid during the call. */
    enum snug_status (*row)(void *context, const unsigned char *rgb, struct snug_error *error);
    void *context;
};

/* Refused from the header, before anything of the picture's size is allocated. */
struct snug_image_limits {
    int64_t max_pixels; /* width * height; 0: SNUG_MAX_PIXELS. Beyond: LIMIT */
    size_t max_bytes;   /* of memory for the page, the sink's included; 0: no limit. Beyond:
                           DOES_NOT_FIT, naming size, need and limit */
};

/* Decodes one picture by its content, row by row. Grey and palette expanded, 16 bit by the high
 * byte, alpha over white, EXIF orientation applied (policy: tests/golden/images/decode/README.md).
 * A damaged or truncated picture is FORMAT: never a partial page. TIFF, PDF and unknown contents:
 * UNSUPPORTED, naming what it is. bytes->name stands in messages. Work memory is a few rows,
 * except for interlaced PNG, WebP and orientations that need the picture's last row first (3 to 8):
 * these are held as a whole; of a progressive JPEG the library holds the coefficients. limits may
 * be NULL. Thread-safe. Errors: FORMAT, UNSUPPORTED, LIMIT, DOES_NOT_FIT, MEMORY, IO (the file),
 * those of the sink. */
SNUG_CHECK_RESULT enum snug_status snug_image_read(struct snug_bytes *bytes,
                                                   const struct snug_image_limits *limits,
                                                   const struct snug_allocator *allocator,
                                                   const struct snug_row_sink *sink,
                                                   struct snug_error *error);

/* The same into a picture in memory, of bytes in memory. */
SNUG_CHECK_RESULT enum snug_status snug_image_decode(const unsigned char *data, size_t size,
                                                     int64_t max_pixels, const char *name,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_image *out,
                                                     struct snug_error *error);
/* snug_image_read into a picture in memory; *out only on success. */
SNUG_CHECK_RESULT enum snug_status snug_image_collect(struct snug_bytes *bytes,
                                                      const struct snug_image_limits *limits,
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

/* ---- tiles ---- */
enum snug_tiling {
    SNUG_TILING_STRETCH, /* InternVL: the picture is stretched to the grid (internvl.md) */
    SNUG_TILING_FIT      /* Llama: it keeps its proportions, top left on black (llama_vision.md) */
};
struct snug_tile_options {
    enum snug_tiling tiling;
    int64_t tile_side;            /* InternVL 448, Llama 560 */
    int64_t min_tiles, max_tiles; /* without the thumbnail; 1 <= min <= max <= SNUG_MAX_TILES */
    bool thumbnail;               /* appended last when there is more than one tile */
                                  /* FIT: min_tiles is 1, and there is no thumbnail */
    enum snug_filter filter;
    float mean[3], std[3];
};
struct snug_tile_grid {
    int64_t columns, rows, tiles; /* tiles includes the thumbnail */
    int64_t width, height;        /* of the resized picture on the canvas */
};
/* The grid for a picture of width x height: float64 rules, ties as the references. FIT: of the
 * grids of rows * columns <= max_tiles; the tiles of the grid alone are made, no more to fill up.
 */
struct snug_tile_grid snug_tile_choose(int64_t width, int64_t height,
                                       const struct snug_tile_options *options);
/* 1 + where this grid stands in FIT's list: all of rows * columns <= max_tiles, rows ascending,
 * then columns ascending. 0 if it is not in it. max_tiles <= SNUG_MAX_TILES. */
int snug_tile_aspect_id(int64_t rows, int64_t columns, int64_t max_tiles);
/* How many there are in the list, and the tiles of the one with this id; 0 if there is none. */
int snug_tile_aspect_count(int64_t max_tiles);
int64_t snug_tile_aspect_tiles(int id, int64_t max_tiles);

/* One tile [side][side][3] to out[3][side][side] f32, (v / 255 - mean) / std with true divisions.
 * v / 255 is also f32(f64(v) * 0.00392156862745098), as Llama's reference has it, to the bit. */
void snug_tile_normalise(const unsigned char *tile, const struct snug_tile_options *options,
                         float *out);

/* A picture to its tiles, row by row: the grid is chosen from the header's size, canvas and
 * thumbnail are resampled from the same rows. *tiles: RGB bytes [tiles][side][side][3] from
 * `allocator`, the caller's; the grid's by rows, black (0) where the picture does not reach.
 * Errors: those of snug_image_read, SHAPE (options), MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_tiles_read(struct snug_bytes *bytes, const struct snug_image_limits *limits,
                const struct snug_tile_options *options, const struct snug_allocator *allocator,
                struct snug_tile_grid *grid, unsigned char **tiles, struct snug_error *error);
/* The same of a picture in memory. Errors: SHAPE, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_tiles_make(const struct snug_image *image,
                                                   const struct snug_tile_options *options,
                                                   const struct snug_allocator *allocator,
                                                   struct snug_tile_grid *grid,
                                                   unsigned char **tiles, struct snug_error *error);

/* The most that snug_tiles_read needs for an upright picture of this size, its tiles and the window
 * of the file included, so that it can be asked before anything is opened: JPEG of one scan, PNG
 * without interlacing, BMP, PNM, shown as stored or mirrored. What libjpeg takes from malloc is in
 * it as an allowance (jpeg.c). Sides as snug_image_read allows them. */
size_t snug_page_bytes(int64_t width, int64_t height, const struct snug_tile_options *options);
/* The same for all others: progressive JPEG, interlaced PNG, WebP (plus its file's size: it is read
 * into memory), any format turned or upside down. */
size_t snug_page_bytes_whole(int64_t width, int64_t height,
                             const struct snug_tile_options *options);

#endif
