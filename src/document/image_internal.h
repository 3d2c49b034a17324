/* What the picture readers share: the source, the header check, alpha, orientation.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DOCUMENT_IMAGE_INTERNAL_H
#define SNUG_DOCUMENT_IMAGE_INTERNAL_H

#include "document/image.h"

struct snug_image_source {
    const unsigned char *data;
    size_t size;
    int64_t max_pixels; /* 1..SNUG_MAX_PIXELS */
    const char *name;   /* for messages */
    const struct snug_allocator *allocator;
};

/* Checks the size that a header claims. Errors: FORMAT (a side < 1), LIMIT (a side > SNUG_MAX_SIDE,
 * too many pixels). */
SNUG_CHECK_RESULT enum snug_status snug_image_check(const struct snug_image_source *source,
                                                    int64_t width, int64_t height,
                                                    struct snug_error *error);

/* The same, and then allocates *image (pixels not cleared). Errors: also MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_image_begin(const struct snug_image_source *source,
                                                    int64_t width, int64_t height,
                                                    struct snug_image *image,
                                                    struct snug_error *error);

/* A reader decodes the whole of its format into *image (zeroed on entry) and sets *orientation if
 * the file carries a valid one. On failure *image may be begun: the caller frees it. */
typedef enum snug_status snug_image_reader(const struct snug_image_source *source,
                                           struct snug_image *image, int *orientation,
                                           struct snug_error *error);
SNUG_CHECK_RESULT snug_image_reader snug_jpeg_read;
SNUG_CHECK_RESULT snug_image_reader snug_png_read;
SNUG_CHECK_RESULT snug_image_reader snug_webp_read;
SNUG_CHECK_RESULT snug_image_reader snug_bmp_read;
SNUG_CHECK_RESULT snug_image_reader snug_pnm_read;

/* EXIF orientation 1..8 of a TIFF structure, with or without "Exif\0\0" before it. Absent, invalid
 * or damaged: 1 (EXIF never makes a picture unreadable). Looks at the first directory only, follows
 * nothing, so it always ends. */
int snug_exif_orientation(const unsigned char *data, size_t size);

/* Turns *image so that orientation 1 results; 2..4 in place, 5..8 through a second buffer.
 * Errors: MEMORY (*image as it was). */
SNUG_CHECK_RESULT enum snug_status snug_image_orient(struct snug_image *image, int orientation,
                                                     struct snug_error *error);

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
