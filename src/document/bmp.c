/* BMP. All numbers little-endian.
 *
 *     0  "BM"                          14  bytes of this second header: 12 (OS/2), 16, 40, 52, 56,
 * 64, 2  file size (ignored)               108, 124 6  reserved                      18  width,
 * height (16 bits each if 12 bytes, else signed 32 bits; 10  offset of the pixels height < 0: top
 * row first, else bottom row first) 22 or 26  planes 16, bits a pixel 16 from 16 bytes on: 30
 * compression 32 (0 none, 3 masks) from 40 bytes on:                 46  colours used 32 (0: all)
 *    masks 32 each:                    54  red, green, blue, and from 56 bytes on alpha
 *
 * Then the palette (1, 4, 8 bits: 3 bytes a colour after 12 bytes, else 4; blue first), then rows
 * of whole 32-bit words. Read: 1, 4, 8, 24 and 32 bits uncompressed, 32 bits with masks of whole
 * bytes. Run lengths, 16 bits and embedded JPEG or PNG are UNSUPPORTED. Source: Microsoft,
 * BITMAPINFOHEADER and BITMAPV4HEADER. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#define FILE_HEADER_BYTES 14u
#define MAX_COLOURS 256u
#define COMPRESSION_NONE 0u
#define COMPRESSION_MASKS 3u

/* What of the headers is looked at: the longest fields end at byte 70. */
#define HEADER_BYTES 70u

struct bmp {
    unsigned char header[HEADER_BYTES]; /* zeros behind the end of the file */
    int64_t width, height;
    bool top_down;
    unsigned int bits;
    uint32_t header_bytes, compression, colours;
    size_t pixels_at, row_bytes, stride;
    int shift[4];        /* byte of red, green, blue, alpha in a 32-bit pixel; -1: none */
    size_t colour_count; /* in palette */
    unsigned char palette[MAX_COLOURS][3]; /* RGB */
};

static enum snug_status damaged(const struct snug_image_source *source, const char *why,
                                struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: damaged BMP picture: %s", source->name,
                          why);
}

/* ---- headers ---- */

static enum snug_status read_header(const struct snug_image_source *source, struct bmp *bmp,
                                    struct snug_error *error)
{
    const unsigned char *p = bmp->header;
    uint64_t size = source->bytes->size;
    if (size < FILE_HEADER_BYTES + 12 ||
        !snug_bytes_peek(source->bytes, 0, bmp->header,
                         size < HEADER_BYTES ? (size_t)size : HEADER_BYTES))
        return damaged(source, "the file ends inside its header", error);
    bmp->pixels_at = snug_le32(p + 10);
    bmp->header_bytes = snug_le32(p + 14);
    if (bmp->header_bytes > size - FILE_HEADER_BYTES)
        return damaged(source, "the file ends inside its header", error);
    if (bmp->header_bytes == 12) {
        bmp->width = snug_le16(p + 18);
        bmp->height = snug_le16(p + 20);
        bmp->bits = snug_le16(p + 24);
        return SNUG_STATUS_OK;
    }
    if (bmp->header_bytes < 16)
        return damaged(source, "unknown header", error);
    bmp->width = (int32_t)snug_le32(p + 18);
    int64_t height = (int32_t)snug_le32(p + 22);
    bmp->top_down = height < 0;
    bmp->height = height < 0 ? -height : height;
    bmp->bits = snug_le16(p + 28);
    bmp->compression = bmp->header_bytes >= 40 ? snug_le32(p + 30) : COMPRESSION_NONE;
    bmp->colours = bmp->header_bytes >= 40 ? snug_le32(p + 46) : 0;
    return SNUG_STATUS_OK;
}

/* -1 if the mask is not one whole byte. */
static int byte_of_mask(uint32_t mask)
{
    for (int i = 0; i < 4; i++)
        if (mask == (uint32_t)0xff << 8 * i)
            return i;
    return -1;
}

/* The three masks stand in the longer headers, and behind the one of 40 bytes. */
static enum snug_status read_masks(const struct snug_image_source *source, struct bmp *bmp,
                                   struct snug_error *error)
{
    if (source->bytes->size < 66)
        return damaged(source, "the file ends inside its header", error);
    for (size_t c = 0; c < 3; c++) {
        bmp->shift[c] = byte_of_mask(snug_le32(bmp->header + 54 + 4 * c));
        if (bmp->shift[c] < 0)
            return snug_error_set(
                error, SNUG_STATUS_UNSUPPORTED,
                "%s: a BMP picture with channels that are not whole bytes is not read",
                source->name);
    }
    if (bmp->header_bytes >= 56)
        bmp->shift[3] = byte_of_mask(snug_le32(bmp->header + 66));
    return SNUG_STATUS_OK;
}

static enum snug_status read_palette(const struct snug_image_source *source, struct bmp *bmp,
                                     struct snug_error *error)
{
    size_t entry_bytes = bmp->header_bytes == 12 ? 3 : 4;
    size_t start = FILE_HEADER_BYTES + bmp->header_bytes;
    size_t count = (size_t)1 << bmp->bits;
    if (bmp->colours > 0 && bmp->colours < count)
        count = bmp->colours;
    if (bmp->pixels_at < start)
        return damaged(source, "the pixels begin inside the header", error);
    /* Some writers store fewer colours than they claim; the pixels say whether that matters. */
    if (count > (bmp->pixels_at - start) / entry_bytes)
        count = (bmp->pixels_at - start) / entry_bytes;
    unsigned char entries[MAX_COLOURS * 4];
    if (!snug_bytes_peek(source->bytes, start, entries, count * entry_bytes))
        return damaged(source, "the file ends inside its palette", error);
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            bmp->palette[i][c] = entries[i * entry_bytes + 2 - c];
    bmp->colour_count = count;
    return SNUG_STATUS_OK;
}

/* Which kinds are read. */
static enum snug_status check_kind(const struct snug_image_source *source, struct bmp *bmp,
                                   struct snug_error *error)
{
    bool masks = bmp->compression == COMPRESSION_MASKS && bmp->header_bytes != 64;
    bool bits_known = bmp->bits == 1 || bmp->bits == 4 || bmp->bits == 8 || bmp->bits == 16 ||
                      bmp->bits == 24 || bmp->bits == 32;
    if (!bits_known)
        return damaged(source, "an impossible number of bits a pixel", error);
    if (bmp->bits == 16 || (bmp->compression != COMPRESSION_NONE && !(masks && bmp->bits == 32)))
        return snug_error_set(
            error, SNUG_STATUS_UNSUPPORTED,
            "%s: a BMP picture of %u bits a pixel with compression %u is not read", source->name,
            bmp->bits, (unsigned int)bmp->compression);
    for (int c = 0; c < 3; c++)
        bmp->shift[c] = 2 - c;
    bmp->shift[3] = -1;
    return masks ? read_masks(source, bmp, error) : SNUG_STATUS_OK;
}

/* ---- pixels ---- */

/* False if a pixel names a colour that the palette lacks. */
static bool convert_palette(const struct bmp *bmp, const unsigned char *row, unsigned char *rgb)
{
    unsigned int per_byte = 8 / bmp->bits, mask = (1u << bmp->bits) - 1;
    for (int64_t x = 0; x < bmp->width; x++, rgb += 3) {
        unsigned int place = (unsigned int)(x % per_byte);
        unsigned int index = row[x / per_byte] >> (8 - bmp->bits * (place + 1)) & mask;
        if (index >= bmp->colour_count)
            return false;
        memcpy(rgb, bmp->palette[index], 3);
    }
    return true;
}

static void convert_direct(const struct bmp *bmp, const unsigned char *row, unsigned char *rgb)
{
    unsigned int step = bmp->bits / 8;
    for (int64_t x = 0; x < bmp->width; x++, row += step, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = bmp->shift[3] < 0 ? row[bmp->shift[c]]
                                       : snug_over_white(row[bmp->shift[c]], row[bmp->shift[3]]);
}

/* All rows, from the top, whichever comes first in the file. row: row_bytes of room. */
static enum snug_status read_rows(const struct bmp *bmp, struct snug_rows *rows, unsigned char *row,
                                  struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    for (int64_t y = 0; y < bmp->height; y++) {
        uint64_t stored = (uint64_t)(bmp->top_down ? y : bmp->height - 1 - y);
        /* past the window: rows come backwards, and each is read once */
        if (!snug_bytes_peek(source->bytes, bmp->pixels_at + stored * bmp->stride, row,
                             bmp->row_bytes))
            return damaged(source, "the file ends before its pixels do", error);
        if (bmp->bits > 8)
            convert_direct(bmp, row, snug_rows_next(rows));
        else if (!convert_palette(bmp, row, snug_rows_next(rows)))
            return damaged(source, "a pixel has a colour that the palette lacks", error);
        SNUG_TRY(snug_rows_push(rows, error));
    }
    return SNUG_STATUS_OK;
}

/* Everything before the pixels. */
static enum snug_status read_headers(const struct snug_image_source *source, struct bmp *bmp,
                                     struct snug_error *error)
{
    SNUG_TRY(read_header(source, bmp, error));
    SNUG_TRY(check_kind(source, bmp, error));
    SNUG_TRY(snug_image_check(source, bmp->width, bmp->height, error));
    /* The last row may lack its filling. The palette lies before the pixels, so it is inside as
     * well. */
    bmp->row_bytes = ((size_t)bmp->width * bmp->bits + 7) / 8;
    bmp->stride = (bmp->row_bytes + 3) / 4 * 4;
    uint64_t size = source->bytes->size;
    if (bmp->pixels_at > size ||
        bmp->stride * ((size_t)bmp->height - 1) + bmp->row_bytes > size - bmp->pixels_at)
        return damaged(source, "the file ends before its pixels do", error);
    if (bmp->bits <= 8)
        return read_palette(source, bmp, error);
    if (bmp->pixels_at < FILE_HEADER_BYTES + bmp->header_bytes)
        return damaged(source, "the pixels begin inside the header", error);
    return SNUG_STATUS_OK;
}

enum snug_status snug_bmp_read(struct snug_rows *rows, struct snug_error *error)
{
    const struct snug_allocator *allocator = rows->source->allocator;
    struct bmp bmp = {0};
    SNUG_TRY(read_headers(rows->source, &bmp, error));
    const struct snug_rows_needs needs = {.width = bmp.width,
                                          .height = bmp.height,
                                          .orientation = 1, /* row order is all there is */
                                          .library_bytes = bmp.row_bytes};
    SNUG_TRY(snug_rows_begin(rows, &needs, error));
    unsigned char *row = snug_alloc(allocator, bmp.row_bytes);
    enum snug_status status = row ? read_rows(&bmp, rows, row, error)
                                  : snug_error_memory(error, bmp.row_bytes, "a row of pixels");
    snug_free(allocator, row);
    return status;
}
