/* EXIF orientation: reading it, and turning a picture by it.
 *
 * The structure is a TIFF file: "II*\0" or "MM\0*", the offset of the first directory, there a
 * count of 2 bytes and entries of 12: tag 2, type 2, count 4, value 4. Tag 0x0112 is the
 * orientation, type 3 (SHORT). The values (row 0, column 0 of the stored picture as it should be
 * seen):
 *
 *     1 top left     2 top right     3 bottom right     4 bottom left
 *     5 left top     6 right top     7 right bottom     8 left bottom
 *
 * Source: EXIF 2.32, 4.6.4; TIFF 6.0, section 2.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4
#define ENTRY_BYTES 12u

/* Square blocks keep both pictures in the cache while one is turned into the other. */
#define BLOCK_SIDE 32

int snug_exif_orientation(const unsigned char *data, size_t size)
{
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8)
        return 1;
    bool little = memcmp(data, "II*\0", 4) == 0;
    if (!little && memcmp(data, "MM\0*", 4) != 0)
        return 1;
    size_t directory = little ? snug_le32(data + 4) : snug_be32(data + 4);
    if (directory > size || size - directory < 2)
        return 1;
    const unsigned char *entry = data + directory + 2;
    size_t count = little ? snug_le16(data + directory) : snug_be16(data + directory);
    size_t room = (size - directory - 2) / ENTRY_BYTES;
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++, entry += ENTRY_BYTES) {
        uint32_t tag = little ? snug_le16(entry) : snug_be16(entry);
        if (tag != TAG_ORIENTATION)
            continue;
        uint32_t type = little ? snug_le16(entry + 2) : snug_be16(entry + 2);
        uint32_t values = little ? snug_le32(entry + 4) : snug_be32(entry + 4);
        uint32_t value = 0;
        if (type == TYPE_SHORT)
            value = little ? snug_le16(entry + 8) : snug_be16(entry + 8);
        else if (type == TYPE_LONG)
            value = little ? snug_le32(entry + 8) : snug_be32(entry + 8);
        return values == 1 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* ---- turning ---- */

static void swap_pixels(unsigned char *a, unsigned char *b)
{
    for (int c = 0; c < 3; c++) {
        unsigned char t = a[c];
        a[c] = b[c];
        b[c] = t;
    }
}

static void mirror_row(unsigned char *row, int64_t width)
{
    for (int64_t left = 0, right = width - 1; left < right; left++, right--)
        swap_pixels(row + left * 3, row + right * 3);
}

static void flip_rows(struct snug_image *image)
{
    int64_t stride = image->width * 3;
    for (int64_t top = 0, bottom = image->height - 1; top < bottom; top++, bottom--) {
        unsigned char *a = image->pixels + top * stride, *b = image->pixels + bottom * stride;
        for (int64_t i = 0; i < stride; i++) {
            unsigned char t = a[i];
            a[i] = b[i];
            b[i] = t;
        }
    }
}

/* Column x of the source becomes row x (or, from_bottom, the row x from the bottom) of the target;
 * row y becomes column y (or, from_right, the column y from the right). */
static void transpose(const struct snug_image *image, bool from_right, bool from_bottom,
                      unsigned char *target)
{
    int64_t w = image->width, h = image->height;
    for (int64_t y0 = 0; y0 < h; y0 += BLOCK_SIDE)
        for (int64_t x0 = 0; x0 < w; x0 += BLOCK_SIDE) {
            int64_t y1 = h - y0 < BLOCK_SIDE ? h : y0 + BLOCK_SIDE;
            int64_t x1 = w - x0 < BLOCK_SIDE ? w : x0 + BLOCK_SIDE;
            for (int64_t x = x0; x < x1; x++) {
                unsigned char *row = target + (from_bottom ? w - 1 - x : x) * h * 3;
                for (int64_t y = y0; y < y1; y++) {
                    const unsigned char *from = image->pixels + (y * w + x) * 3;
                    unsigned char *to = row + (from_right ? h - 1 - y : y) * 3;
                    to[0] = from[0];
                    to[1] = from[1];
                    to[2] = from[2];
                }
            }
        }
}

enum snug_status snug_image_orient(struct snug_image *image, int orientation,
                                   struct snug_error *error)
{
    if (orientation < 2 || orientation > 8)
        return SNUG_STATUS_OK;
    if (orientation == 3 || orientation == 4)
        flip_rows(image);
    if (orientation == 2 || orientation == 3)
        for (int64_t y = 0; y < image->height; y++)
            mirror_row(image->pixels + y * image->width * 3, image->width);
    if (orientation < 5)
        return SNUG_STATUS_OK;

    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    unsigned char *turned = snug_alloc(image->allocator, bytes);
    if (!turned)
        return snug_error_memory(error, bytes, "a turned picture");
    transpose(image, orientation == 6 || orientation == 7, orientation == 7 || orientation == 8,
              turned);
    snug_free(image->allocator, image->pixels);
    int64_t width = image->width;
    image->pixels = turned;
    image->width = image->height;
    image->height = width;
    return SNUG_STATUS_OK;
}
