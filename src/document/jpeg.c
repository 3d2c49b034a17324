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
/* Tables, row buffers, upsampling: beside the coefficients; where the library gives up. */
#define LIBRARY_BYTES ((int64_t)32 << 20)
/* The most it really takes: for every pixel of width (filled up to whole units) 4 components of 4
 * rows, ten times (8 lines of a block, 2 of their neighbours for the upsampling), and once more
 * upsampled; and what does not depend on the size. Measured with libjpeg-turbo 2.1: 13 to 90 bytes
 * a pixel of width, and 22 KiB. */
#define LIBRARY_ROWS ((int64_t)176)
#define LIBRARY_FIXED_BYTES ((int64_t)64 << 10)
#define MARKER_SOS 0xda
#define MARKER_EOI 0xd9
#define MARKER_APP1 0xe1

struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    struct jpeg_source_mgr feed;
    uint64_t offset; /* in the file, of the first byte behind what the library has */
    const struct snug_image_source *source;
    struct snug_rows *rows;
    int orientation;
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

/* How many of the `most` bytes before `at`, counted backwards, have this value and no other one
 * between them. */
static uint64_t run_before(const struct jpeg_reader *reader, uint64_t at, uint64_t most,
                           unsigned char value)
{
    unsigned char piece[4096];
    uint64_t run = 0;
    if (most > at)
        most = at;
    while (run < most) {
        size_t now = most - run < sizeof piece ? (size_t)(most - run) : sizeof piece;
        if (!snug_bytes_peek(reader->source->bytes, at - run - now, piece, now))
            return run;
        for (size_t i = now; i > 0; i--, run++)
            if (piece[i - 1] != value)
                return run;
    }
    return run;
}

/* Some cameras fill up with zeros before the end marker. Anything else there is what a damaged scan
 * left over. The source stands at the marker's first byte, or behind it if the library had to ask
 * for more in between. */
static bool is_zero_padding(const struct jpeg_reader *reader)
{
    uint64_t at = reader->offset - reader->feed.bytes_in_buffer;
    int count = reader->errors.msg_parm.i[0];
    if (reader->errors.msg_parm.i[1] != MARKER_EOI || count < 0)
        return false;
    at -= run_before(reader, at, at, 0xff);
    return run_before(reader, at, (uint64_t)count, 0) == (uint64_t)count;
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

/* ---- bytes ---- */

static void start_feed(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean fill_feed(j_decompress_ptr jpeg)
{
    struct jpeg_reader *reader = jpeg->client_data;
    struct jpeg_source_mgr *feed = &reader->feed;
    feed->next_input_byte =
        snug_bytes_view(reader->source->bytes, reader->offset, &feed->bytes_in_buffer);
    reader->offset += feed->bytes_in_buffer;
    if (!feed->next_input_byte)
        WARNMS(jpeg, JWRN_JPEG_EOF); /* escapes */
    return TRUE;
}

/* Beyond the end: found out when the next byte is asked for. */
static void skip_feed(j_decompress_ptr jpeg, long count)
{
    struct jpeg_reader *reader = jpeg->client_data;
    struct jpeg_source_mgr *feed = &reader->feed;
    if (count <= 0)
        return;
    if ((size_t)count <= feed->bytes_in_buffer) {
        feed->next_input_byte += count;
        feed->bytes_in_buffer -= (size_t)count;
    } else {
        reader->offset += (uint64_t)count - feed->bytes_in_buffer;
        feed->bytes_in_buffer = 0;
    }
}

static void stop_feed(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* ---- segments ---- */

/* The orientation in an EXIF segment of this length; 0 if it is something else. */
static int read_exif(struct snug_bytes *bytes, uint64_t at, size_t length)
{
    const unsigned char *data = snug_bytes_span(bytes, at, length);
    if (!data || length < 6 || memcmp(data, "Exif\0\0", 6) != 0)
        return 0;
    return snug_exif_orientation(data, length);
}

/* The orientation in the first EXIF segment before the scan; 0 if a segment's length is impossible,
 * which the library would pass over. EXIF not through the library either: it would keep a copy of
 * every such segment. */
static int walk_segments(struct snug_bytes *bytes)
{
    int orientation = 0;
    uint64_t size = bytes->size;
    unsigned char head[4];
    for (uint64_t at = 2;
         size - at >= 4 && snug_bytes_peek(bytes, at, head, 4) && head[0] == 0xff;) {
        unsigned int marker = head[1];
        size_t length = snug_be16(head + 2);
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
        if (orientation == 0 && marker == MARKER_APP1 && length >= 8)
            orientation = read_exif(bytes, at + 4, length - 2);
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

size_t snug_jpeg_bytes(int64_t width)
{
    return (size_t)(round_up_32(width) * LIBRARY_ROWS + LIBRARY_FIXED_BYTES + width * 4);
}

size_t snug_jpeg_whole_bytes(int64_t width, int64_t height)
{
    return snug_jpeg_bytes(width) + (size_t)(round_up_32(width) * round_up_32(height) * 8);
}

/* Coefficients of a picture in several scans: 2 bytes each, in whole units. */
static size_t coefficient_bytes(struct jpeg_decompress_struct *jpeg)
{
    if (!jpeg_has_multiple_scans(jpeg))
        return 0;
    int64_t across = 8 * jpeg->max_h_samp_factor, down = 8 * jpeg->max_v_samp_factor, bytes = 0;
    int64_t columns = ((int64_t)jpeg->image_width + across - 1) / across;
    int64_t rows = ((int64_t)jpeg->image_height + down - 1) / down;
    for (int i = 0; i < jpeg->num_components; i++)
        bytes += columns * jpeg->comp_info[i].h_samp_factor * rows *
                 jpeg->comp_info[i].v_samp_factor * DCTSIZE2 * (int64_t)sizeof(JCOEF);
    return (size_t)bytes;
}

static enum snug_status choose_colours(struct jpeg_reader *reader, struct snug_error *error)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
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
                              "%s: a JPEG picture of %d components is not read",
                              reader->source->name, jpeg->num_components);
    }
    size_t bytes = (size_t)jpeg->image_width * 4;
    reader->cmyk_row = snug_alloc(reader->source->allocator, bytes);
    return reader->cmyk_row ? SNUG_STATUS_OK : snug_error_memory(error, bytes, "a row of pixels");
}

static enum snug_status begin(struct jpeg_reader *reader, struct snug_error *error)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    struct snug_rows_needs needs = {.width = (int64_t)jpeg->image_width,
                                    .height = (int64_t)jpeg->image_height,
                                    .orientation = reader->orientation};
    SNUG_TRY(snug_image_check(reader->source, needs.width, needs.height, error));
    needs.library_bytes = snug_jpeg_bytes(needs.width) + coefficient_bytes(jpeg);
    SNUG_TRY(snug_rows_begin(reader->rows, &needs, error));
    jpeg->mem->max_memory_to_use = memory_limit(needs.width, needs.height);
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    return choose_colours(reader, error);
}

static enum snug_status read_rows(struct jpeg_reader *reader, struct snug_error *error)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned char *rgb = snug_rows_next(reader->rows);
        JSAMPROW row = reader->cmyk_row ? reader->cmyk_row : rgb;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (reader->cmyk_row)
            convert_cmyk(row, reader->rows->width, jpeg->saw_Adobe_marker, rgb);
        SNUG_TRY(snug_rows_push(reader->rows, error));
    }
    return SNUG_STATUS_OK;
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
    reader->jpeg.src = &reader->feed;
    jpeg_read_header(&reader->jpeg, TRUE);
    if (begin(reader, error) != SNUG_STATUS_OK)
        return error->status;
    jpeg_start_decompress(&reader->jpeg);
    SNUG_ASSERT(reader->jpeg.output_width == (JDIMENSION)reader->rows->width &&
                reader->jpeg.output_height == (JDIMENSION)reader->rows->height &&
                reader->jpeg.output_components == (reader->cmyk_row ? 4 : 3));
    if (read_rows(reader, error) != SNUG_STATUS_OK)
        return error->status;
    jpeg_finish_decompress(&reader->jpeg); /* reads on to the end marker: a cut shows here */
    return SNUG_STATUS_OK;
}

enum snug_status snug_jpeg_read(struct snug_rows *rows, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    int orientation = walk_segments(source->bytes);
    if (orientation == 0)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: damaged JPEG picture: a segment of impossible length",
                              source->name);
    struct jpeg_reader reader = {.progress.progress_monitor = on_progress,
                                 .source = source,
                                 .rows = rows,
                                 .orientation = orientation,
                                 .feed = {.init_source = start_feed,
                                          .fill_input_buffer = fill_feed,
                                          .skip_input_data = skip_feed,
                                          .resync_to_restart = jpeg_resync_to_restart,
                                          .term_source = stop_feed}};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.jpeg.client_data = &reader;
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.errors.output_message = no_output;
    enum snug_status status = read_picture(&reader, error);
    jpeg_destroy_decompress(&reader.jpeg);
    snug_free(source->allocator, reader.cmyk_row);
    return status;
}
