/* What the picture readers share: the source, the way of the rows, alpha, orientation.
 *
 *     reader --begin, next, push--> rows --begin, row--> sink
 *
 * A reader hands over rows as they are stored; the sink gets them upright, from the top. Rows go
 * straight on where that needs no more than one of them. Where the reader makes the picture in
 * another order, or the orientation needs its last row first, the picture is held as a whole and
 * handed on when the reader has ended. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_DOCUMENT_IMAGE_INTERNAL_H
#define SNUG_DOCUMENT_IMAGE_INTERNAL_H

#include "document/image.h"

/* The first so many bytes of an EXIF block are looked at: as many as a JPEG segment has. */
#define SNUG_EXIF_BYTES ((size_t)65535)

struct snug_image_source {
    struct snug_bytes *bytes;
    int64_t max_pixels; /* 1..SNUG_MAX_PIXELS */
    size_t max_bytes;   /* SIZE_MAX: no limit */
    const char *name;   /* for messages */
    const struct snug_allocator *allocator;
};

/* Checks the size that a header claims. Errors: FORMAT (a side < 1), LIMIT (a side > SNUG_MAX_SIDE,
 * too many pixels). */
SNUG_CHECK_RESULT enum snug_status snug_image_check(const struct snug_image_source *source,
                                                    int64_t width, int64_t height,
                                                    struct snug_error *error);

/* ---- rows ---- */

struct snug_rows {
    const struct snug_image_source *source;
    const struct snug_row_sink *sink;
    int64_t width, height; /* as stored */
    int orientation;
    unsigned char *pixels; /* the whole picture, or one row */
    bool is_whole;
    int64_t pushed; /* rows */
};

/* What a reader needs to say before its first row. */
struct snug_rows_needs {
    int64_t width, height;
    int orientation;      /* 1..8 */
    bool whole;           /* writes rows->pixels in its own order and never pushes */
    size_t library_bytes; /* the most that reader and library hold besides */
};

/* Checks the size (snug_image_check) and the memory, begins the sink, makes room for a row or for
 * the picture (not cleared). Errors: also DOES_NOT_FIT (beyond max_bytes), MEMORY, the sink's. */
SNUG_CHECK_RESULT enum snug_status snug_rows_begin(struct snug_rows *rows,
                                                   const struct snug_rows_needs *needs,
                                                   struct snug_error *error);
/* Where the next row goes, width * 3 bytes; the same place for each or not. */
unsigned char *snug_rows_next(const struct snug_rows *rows);
/* The row that was written there is complete. Errors: the sink's. */
SNUG_CHECK_RESULT enum snug_status snug_rows_push(struct snug_rows *rows, struct snug_error *error);
/* The reader has ended well: hands on what was held. Errors: MEMORY, the sink's. */
SNUG_CHECK_RESULT enum snug_status snug_rows_end(struct snug_rows *rows, struct snug_error *error);
void snug_rows_free(struct snug_rows *rows); /* not begun allowed */

/* Whether this orientation needs the whole picture before its first upright row. */
bool snug_orientation_needs_whole(int orientation);
/* What turning takes beside the picture; 0 where nothing is transposed. */
size_t snug_turning_bytes(int64_t width, int64_t height, int orientation);
/* Hands the rows of a stored picture to sink->row, upright; the picture may be changed. Errors:
 * MEMORY, the sink's. */
SNUG_CHECK_RESULT enum snug_status snug_rows_turn(unsigned char *pixels, int64_t width,
                                                  int64_t height, int orientation,
                                                  const struct snug_allocator *allocator,
                                                  const struct snug_row_sink *sink,
                                                  struct snug_error *error);

/* A reader decodes the whole of its format: begin, then its rows, then all that is left to find
 * damage in. */
typedef enum snug_status snug_image_reader(struct snug_rows *rows, struct snug_error *error);
SNUG_CHECK_RESULT snug_image_reader snug_jpeg_read;
SNUG_CHECK_RESULT snug_image_reader snug_png_read;
SNUG_CHECK_RESULT snug_image_reader snug_webp_read;
SNUG_CHECK_RESULT snug_image_reader snug_bmp_read;
SNUG_CHECK_RESULT snug_image_reader snug_pnm_read;

/* The most that reader and library hold beside rows->pixels, of any file of this size: by rows,
 * and, where that is more, for the kinds that are held as a whole. */
size_t snug_jpeg_bytes(int64_t width);
size_t snug_jpeg_whole_bytes(int64_t width, int64_t height);
size_t snug_png_bytes(int64_t width);
size_t snug_webp_bytes(int64_t width, int64_t height); /* without the file, which is in memory */

/* The most that tiles, and making them of rows, hold of the allocator. */
size_t snug_tiles_bytes(int64_t width, int64_t height, const struct snug_tile_options *options);

/* EXIF orientation 1..8 of a TIFF structure, with or without "Exif\0\0" before it. Absent, invalid
 * or damaged: 1 (EXIF never makes a picture unreadable). Looks at the first directory only, follows
 * nothing, so it always ends. */
int snug_exif_orientation(const unsigned char *data, size_t size);

/* One sample over white paper. */
static inline unsigned char snug_over_white(unsigned int sample, unsigned int alpha)
{
    return (unsigned char)((sample * alpha + 255u * (255u - alpha) + 127u) / 255u);
}

/* Little- and big-endian numbers of a file; the caller has checked the bounds. */
static inline uint32_t snug_le16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static inline uint32_t snug_le32(const unsigned char *p)
{
    return snug_le16(p) | snug_le16(p + 2) << 16;
}
static inline uint32_t snug_be16(const unsigned char *p)
{
    return (uint32_t)p[1] | (uint32_t)p[0] << 8;
}
static inline uint32_t snug_be32(const unsigned char *p)
{
    return snug_be16(p + 2) | snug_be16(p) << 16;
}

#endif
