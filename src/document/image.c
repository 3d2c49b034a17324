/* Pictures: what a file is, by content; limits; the way to the reader of its format.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

/* Readers of PDF look for the mark within the first KiB. */
#define PDF_MARK_BYTES 1024

void snug_image_free(struct snug_image *image)
{
    if (image->allocator)
        snug_free(image->allocator, image->pixels);
    *image = (struct snug_image){0};
}

enum snug_status snug_image_check(const struct snug_image_source *source, int64_t width,
                                  int64_t height, struct snug_error *error)
{
    if (width < 1 || height < 1)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: a picture of %lld x %lld pixels",
                              source->name, (long long)width, (long long)height);
    if (width > SNUG_MAX_SIDE || height > SNUG_MAX_SIDE)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "%s: %lld x %lld pixels; the longest side that is read has %d",
                              source->name, (long long)width, (long long)height, SNUG_MAX_SIDE);
    if (width * height > source->max_pixels)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "%s: %lld x %lld is %lld pixels, the limit is %lld", source->name,
                              (long long)width, (long long)height, (long long)(width * height),
                              (long long)source->max_pixels);
    return SNUG_STATUS_OK;
}

/* ---- what it is ---- */

/* True also if the file ends inside the mark: a file cut there is a damaged one of that format. */
static bool begins(const unsigned char *data, size_t size, const char *mark, size_t length)
{
    return size > 0 && memcmp(data, mark, size < length ? size : length) == 0;
}

static bool is_png(const unsigned char *data, size_t size)
{
    return begins(data, size, "\x89PNG\r\n\x1a\n", 8);
}

static bool is_webp(const unsigned char *data, size_t size)
{
    if (size < 4 || !begins(data, size, "RIFF", 4))
        return false;
    return size <= 8 || begins(data + 8, size - 8, "WEBP", 4);
}

static bool is_bmp(const unsigned char *data, size_t size)
{
    static const unsigned char header_bytes[] = {12, 16, 40, 52, 56, 64, 108, 124};
    if (size < 2 || memcmp(data, "BM", 2) != 0)
        return false;
    if (size < 18)
        return true;
    /* Text may begin with BM as well; the size of the second header decides. */
    for (size_t i = 0; i < sizeof header_bytes; i++)
        if (snug_le32(data + 14) == header_bytes[i])
            return true;
    return false;
}

static bool is_pnm(const unsigned char *data, size_t size)
{
    return size >= 2 && data[0] == 'P' && data[1] >= '1' && data[1] <= '6' &&
           (size == 2 || data[2] == '#' || data[2] == ' ' || (data[2] >= '\t' && data[2] <= '\r'));
}

static bool is_tiff(const unsigned char *data, size_t size)
{
    return size >= 4 && (memcmp(data, "II*\0", 4) == 0 || memcmp(data, "MM\0*", 4) == 0 ||
                         memcmp(data, "II+\0", 4) == 0 || memcmp(data, "MM\0+", 4) == 0);
}

static bool is_pdf(const unsigned char *data, size_t size)
{
    size_t searched = size < PDF_MARK_BYTES ? size : PDF_MARK_BYTES;
    return size > 0 && memmem(data, searched, "%PDF-", 5) != NULL;
}

enum snug_image_format snug_image_sniff(const unsigned char *data, size_t size)
{
    if (size >= 2 && begins(data, size, "\xff\xd8\xff", 3))
        return SNUG_IMAGE_FORMAT_JPEG;
    if (is_png(data, size))
        return SNUG_IMAGE_FORMAT_PNG;
    if (is_webp(data, size))
        return SNUG_IMAGE_FORMAT_WEBP;
    if (is_bmp(data, size))
        return SNUG_IMAGE_FORMAT_BMP;
    if (is_pnm(data, size))
        return SNUG_IMAGE_FORMAT_PNM;
    if (is_tiff(data, size))
        return SNUG_IMAGE_FORMAT_TIFF;
    if (is_pdf(data, size))
        return SNUG_IMAGE_FORMAT_PDF;
    return SNUG_IMAGE_FORMAT_UNKNOWN;
}

const char *snug_image_format_name(enum snug_image_format format)
{
    switch (format) {
    case SNUG_IMAGE_FORMAT_JPEG:
        return "JPEG";
    case SNUG_IMAGE_FORMAT_PNG:
        return "PNG";
    case SNUG_IMAGE_FORMAT_WEBP:
        return "WebP";
    case SNUG_IMAGE_FORMAT_BMP:
        return "BMP";
    case SNUG_IMAGE_FORMAT_PNM:
        return "PNM";
    case SNUG_IMAGE_FORMAT_TIFF:
        return "TIFF";
    case SNUG_IMAGE_FORMAT_PDF:
        return "PDF";
    case SNUG_IMAGE_FORMAT_UNKNOWN:
        break;
    }
    return "unknown";
}

/* What people hand in that we do not read, so that the message can say it. */
static const char *describe(const unsigned char *data, size_t size)
{
    static const struct {
        size_t at, length;
        const char *mark, *what;
    } marks[] = {
        {0, 3, "GIF", "a GIF picture"},
        {4, 8, "ftypavif", "an AVIF picture"},
        {4, 4, "ftyp", "a HEIC picture or a film"},
        {0, 4, "\0\0\0\x0c", "a JPEG 2000 or JPEG XL picture"},
        {0, 2, "\xff\x0a", "a JPEG XL picture"},
        {0, 4, "PK\3\4", "a ZIP archive, as Office documents are"},
        {0, 8, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"},
        {0, 2, "\x1f\x8b", "a gzip archive"},
        {0, 4, "%!PS", "a PostScript document"},
        {0, 4, "{\\rt", "an RTF document"},
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (size >= marks[i].at + marks[i].length &&
            memcmp(data + marks[i].at, marks[i].mark, marks[i].length) == 0)
            return marks[i].what;
    size_t looked_at = size < 512 ? size : 512;
    if (memmem(data, looked_at, "<svg", 4))
        return "an SVG drawing";
    for (size_t i = 0; i < looked_at; i++)
        if (data[i] < 0x09 || (data[i] > 0x0d && data[i] < 0x20 && data[i] != 0x1b))
            return "a file of an unknown kind";
    return "text";
}

/* ---- decoding ---- */

static snug_image_reader *const readers[] = {
    [SNUG_IMAGE_FORMAT_JPEG] = snug_jpeg_read, [SNUG_IMAGE_FORMAT_PNG] = snug_png_read,
    [SNUG_IMAGE_FORMAT_WEBP] = snug_webp_read, [SNUG_IMAGE_FORMAT_BMP] = snug_bmp_read,
    [SNUG_IMAGE_FORMAT_PNM] = snug_pnm_read,   [SNUG_IMAGE_FORMAT_PDF] = NULL,
};

static enum snug_status find_reader(struct snug_bytes *bytes, snug_image_reader **reader,
                                    struct snug_error *error)
{
    const char *name = bytes->name;
    size_t size = bytes->size < PDF_MARK_BYTES ? (size_t)bytes->size : PDF_MARK_BYTES;
    if (size == 0)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: the file is empty", name);
    const unsigned char *data = snug_bytes_span(bytes, 0, size);
    if (!data)
        return snug_bytes_status(bytes, error);
    enum snug_image_format format = snug_image_sniff(data, size);
    if (format == SNUG_IMAGE_FORMAT_UNKNOWN)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: this is %s; JPEG, PNG, WebP, BMP and PNM pictures are read",
                              name, describe(data, size));
    if (!readers[format])
        return snug_error_set(
            error, SNUG_STATUS_UNSUPPORTED,
            "%s: this is a %s document, which is not read yet; convert its pages to PNG or "
            "JPEG pictures",
            name, snug_image_format_name(format));
    *reader = readers[format];
    return SNUG_STATUS_OK;
}

enum snug_status snug_image_read(struct snug_bytes *bytes, const struct snug_image_limits *limits,
                                 const struct snug_allocator *allocator,
                                 const struct snug_row_sink *sink, struct snug_error *error)
{
    struct snug_error own;
    snug_image_reader *reader = NULL;
    struct snug_image_source source = {.bytes = bytes,
                                       .max_pixels = SNUG_MAX_PIXELS,
                                       .max_bytes = SIZE_MAX,
                                       .name = bytes->name,
                                       .allocator = allocator};
    if (limits && limits->max_pixels > 0 && limits->max_pixels < SNUG_MAX_PIXELS)
        source.max_pixels = limits->max_pixels;
    if (limits && limits->max_bytes)
        source.max_bytes = limits->max_bytes;
    if (!error)
        error = &own;
    SNUG_TRY(find_reader(bytes, &reader, error));
    struct snug_rows rows = {.source = &source, .sink = sink};
    enum snug_status status = reader(&rows, error);
    /* What looks like damage may be a disk that fails. */
    if (bytes->failed)
        status = snug_bytes_status(bytes, error);
    if (status == SNUG_STATUS_OK)
        status = snug_rows_end(&rows, error);
    snug_rows_free(&rows);
    return status;
}

/* ---- a picture in memory ---- */

struct collector {
    struct snug_image image;
    const struct snug_allocator *allocator;
    int64_t rows;
};

static size_t collect_bytes(const void *context, int64_t width, int64_t height)
{
    (void)context;
    return (size_t)width * (size_t)height * 3;
}

static enum snug_status collect_begin(void *context, int64_t width, int64_t height,
                                      struct snug_error *error)
{
    struct collector *c = context;
    size_t bytes = collect_bytes(context, width, height);
    unsigned char *pixels = snug_alloc(c->allocator, bytes);
    if (!pixels)
        return snug_error_memory(error, bytes, "a picture");
    c->image = (struct snug_image){width, height, pixels, c->allocator};
    return SNUG_STATUS_OK;
}

static enum snug_status collect_row(void *context, const unsigned char *rgb,
                                    struct snug_error *error)
{
    struct collector *c = context;
    size_t bytes = (size_t)c->image.width * 3;
    (void)error;
    memcpy(c->image.pixels + (size_t)c->rows++ * bytes, rgb, bytes);
    return SNUG_STATUS_OK;
}

enum snug_status snug_image_collect(struct snug_bytes *bytes,
                                    const struct snug_image_limits *limits,
                                    const struct snug_allocator *allocator, struct snug_image *out,
                                    struct snug_error *error)
{
    struct collector collector = {.allocator = allocator};
    const struct snug_row_sink sink = {collect_bytes, collect_begin, collect_row, &collector};
    enum snug_status status = snug_image_read(bytes, limits, allocator, &sink, error);
    if (status != SNUG_STATUS_OK) {
        snug_image_free(&collector.image);
        return status;
    }
    *out = collector.image;
    return SNUG_STATUS_OK;
}

enum snug_status snug_image_decode(const unsigned char *data, size_t size, int64_t max_pixels,
                                   const char *name, const struct snug_allocator *allocator,
                                   struct snug_image *out, struct snug_error *error)
{
    struct snug_bytes bytes = snug_bytes_of(name, data, size);
    const struct snug_image_limits limits = {.max_pixels = max_pixels};
    return snug_image_collect(&bytes, &limits, allocator, out, error);
}
