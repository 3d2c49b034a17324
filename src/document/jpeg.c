/* JPEG through libjpeg(-turbo): accurate integer transform, smooth upsampling, so that the pixels
 * are those of every other program that keeps the library's defaults.
 *
 * The library repairs damage and warns; we stop at the warning, for a repaired page is not the
 * page. Its own memory comes from malloc; it is bounded by the size that the header claims.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Each scan of a progressive picture walks all coefficients, and costs but a few bytes in the file.
 * Encoders write about ten. */
#define MAX_SCANS 100
#define MAX_SCANNED_PIXELS ((int64_t)1 << 32)
/* Tables, row buffers, upsampling: beside the coefficients. */
#define LIBRARY_BYTES ((int64_t)32 << 20)
#define MARKER_SOS 0xda
#define MARKER_EOI 0xd9
#define MARKER_APP1 0xe1

struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const struct snug_image_source *source;
    struct snug_image *image;
    unsigned char *cmyk_row; /* 4 bytes a pixel, or NULL */
    enum snug_status status; /* of the failure that escaped */
    char message[JMSG_LENGTH_MAX];
};

/* ---- failures ---- */

static void escape(struct jpeg_reader *reader, enum snug_status status)
{
    reader->status = status;
    longjmp(reader->escape, 1);
}

static void on_error(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = jpeg->client_data;
    jpeg->err->format_message(jpeg, reader->message);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        escape(reader, SNUG_STATUS_MEMORY);
        break;
    case JERR_NO_BACKING_STORE:
    case JERR_IMAGE_TOO_BIG:
        escape(reader, SNUG_STATUS_LIMIT);
        break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        escape(reader, SNUG_STATUS_UNSUPPORTED);
        break;
    default:
        escape(reader, SNUG_STATUS_FORMAT);
    }
}

/* Some cameras fill up with zeros before the end marker. Anything else there is what a damaged scan
 * left over. The source stands at the marker's first byte. */
static bool is_zero_padding(const struct jpeg_reader *reader)
{
    const unsigned char *at = reader->jpeg.src->next_input_byte;
    size_t before = (size_t)(at - reader->source->data);
    int count = reader->errors.msg_parm.i[0];
    if (reader->errors.msg_parm.i[1] != MARKER_EOI || count < 0 || (size_t)count > before)
        return false;
    for (int i = 1; i <= count; i++)
        if (at[-i] != 0)
            return false;
    return true;
}

static void on_message(j_common_ptr jpeg, int level)
{
    struct jpeg_reader *reader = jpeg->client_data;
    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JFIF_MAJOR: /* versions, colour codes and profiles we do not use */
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
        return;
    case JWRN_EXTRANEOUS_DATA:
        if (is_zero_padding(reader))
            return;
        break;
    default:
        break;
    }
    jpeg->err->format_message(jpeg, reader->message);
    escape(reader, SNUG_STATUS_FORMAT);
}

static void no_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = jpeg->client_data;
    int64_t scans = reader->jpeg.input_scan_number;
    int64_t pixels = (int64_t)reader->jpeg.image_width * (int64_t)reader->jpeg.image_height;
    if (scans <= MAX_SCANS && scans * pixels <= MAX_SCANNED_PIXELS)
        return;
    snprintf(reader->message, sizeof reader->message, "more than %lld scans",
             (long long)(scans - 1));
    escape(reader, SNUG_STATUS_LIMIT);
}

/* ---- segments ---- */

/* The orientation in the first EXIF segment before the scan; 0 if a segment's length is impossible,
 * which the library would pass over. EXIF not through the library either: it would keep a copy of
 * every such segment. */
static int walk_segments(const unsigned char *data, size_t size)
{
    int orientation = 0;
    for (size_t at = 2; size - at >= 4 && data[at] == 0xff;) {
        unsigned int marker = data[at + 1];
        size_t length = snug_be16(data + at + 2);
        if (marker == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) { /* no length */
            at += 2;
            continue;
        }
        if (marker == MARKER_SOS || marker == MARKER_EOI)
            break;
        if (length < 2)
            return 0;
        if (length > size - at - 2)
            break; /* the library will find the end missing */
        if (orientation == 0 && marker == MARKER_APP1 && length >= 8 &&
            memcmp(data + at + 4, "Exif\0\0", 6) == 0)
            orientation = snug_exif_orientation(data + at + 4, length - 2);
        at += 2 + length;
    }
    return orientation ? orientation : 1;
}

/* ---- pixels ---- */

static int64_t round_up_32(int64_t n)
{
    return (n + 31) / 32 * 32;
}

/* The most that coefficients of a picture of this size can need: 4 components of 2 bytes, sides
 * filled up to whole units of at most 32 pixels. Beyond it the library refuses. */
static long memory_limit(int64_t width, int64_t height)
{
    return (long)(round_up_32(width) * round_up_32(height) * 8 + LIBRARY_BYTES);
}

/* Inks to RGB. With an Adobe marker the file holds 255 - ink. */
static void convert_cmyk(const unsigned char *cmyk, int64_t width, bool inverted,
                         unsigned char *rgb)
{
    unsigned int flip = inverted ? 0 : 255;
    for (int64_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        unsigned int light = cmyk[3] ^ flip;
        for (int c = 0; c < 3; c++)
            rgb[c] = (unsigned char)(((cmyk[c] ^ flip) * light + 127) / 255);
    }
}

static enum snug_status begin(struct jpeg_reader *reader, struct snug_error *error)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    const struct snug_image_source *source = reader->source;
    enum snug_status status = snug_image_begin(source, (int64_t)jpeg->image_width,
                                               (int64_t)jpeg->image_height, reader->image, error);
    if (status != SNUG_STATUS_OK)
        return status;
    jpeg->mem->max_memory_to_use = memory_limit(reader->image->width, reader->image->height);
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
        jpeg->out_color_space = JCS_RGB;
        return SNUG_STATUS_OK;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        break;
    default:
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: a JPEG picture of %d components is not read", source->name,
                              jpeg->num_components);
    }
    size_t bytes = (size_t)reader->image->width * 4;
    reader->cmyk_row = snug_alloc(source->allocator, bytes);
    return reader->cmyk_row ? SNUG_STATUS_OK : snug_error_memory(error, bytes, "a row of pixels");
}

static void read_rows(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    struct snug_image *image = reader->image;
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned char *rgb = image->pixels + (int64_t)jpeg->output_scanline * image->width * 3;
        JSAMPROW row = reader->cmyk_row ? reader->cmyk_row : rgb;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (reader->cmyk_row)
            convert_cmyk(row, image->width, jpeg->saw_Adobe_marker, rgb);
    }
}

/* Everything that may escape. No local variables: they would be lost on the way back. */
static enum snug_status read_picture(struct jpeg_reader *reader, struct snug_error *error)
{
    if (setjmp(reader->escape))
        return snug_error_set(
            error, reader->status, "%s: %s JPEG picture: %s", reader->source->name,
            reader->status == SNUG_STATUS_FORMAT ? "damaged" : "cannot read this", reader->message);
    jpeg_create_decompress(&reader->jpeg);
    reader->jpeg.progress = &reader->progress;
    jpeg_mem_src(&reader->jpeg, reader->source->data, (unsigned long)reader->source->size);
    jpeg_read_header(&reader->jpeg, TRUE);
    if (begin(reader, error) != SNUG_STATUS_OK)
        return error->status;
    jpeg_start_decompress(&reader->jpeg);
    SNUG_ASSERT(reader->jpeg.output_width == (JDIMENSION)reader->image->width &&
                reader->jpeg.output_height == (JDIMENSION)reader->image->height &&
                reader->jpeg.output_components == (reader->cmyk_row ? 4 : 3));
    read_rows(reader);
    jpeg_finish_decompress(&reader->jpeg); /* reads on to the end marker: a cut shows here */
    return SNUG_STATUS_OK;
}

enum snug_status snug_jpeg_read(const struct snug_image_source *source, struct snug_image *image,
                                int *orientation, struct snug_error *error)
{
    struct snug_error own;
    int found = walk_segments(source->data, source->size);
    if (found == 0)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: damaged JPEG picture: a segment of impossible length",
                              source->name);
    struct jpeg_reader reader = {
        .progress.progress_monitor = on_progress, .source = source, .image = image};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.jpeg.client_data = &reader;
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.errors.output_message = no_output;
    enum snug_status status = read_picture(&reader, error ? error : &own);
    jpeg_destroy_decompress(&reader.jpeg);
    snug_free(source->allocator, reader.cmyk_row);
    if (status == SNUG_STATUS_OK)
        *orientation = found;
    return status;
}
