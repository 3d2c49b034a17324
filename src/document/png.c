/* PNG through libpng, its memory from our allocator.
 *
 * Chunks that do not change the pixels (text, profiles, gamma, background) are passed over unread,
 * so that nothing in them is unpacked; their checksums still count. What libpng calls benign (a
 * wrong zlib checksum, left-over data) is damage here, and so is a colour that the palette lacks,
 * which libpng does not notice when it expands palettes itself. Interlaced pictures are put
 * together by us, in the one picture that is held. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#include <png.h>

#define SIGNATURE_BYTES 8u
#define ADAM7_PASSES 7
#define MESSAGE_BYTES 128
/* The most that libpng and zlib take: their structures and tables, zlib's window of 32 KiB and a
 * buffer of compressed bytes; and two rows of up to 8 bytes a pixel beside ours of up to 4. */
#define LIBRARY_FIXED_BYTES ((int64_t)72 << 10)
#define LIBRARY_PIXEL_BYTES ((int64_t)20)

struct png_reader {
    const struct snug_image_source *source;
    struct snug_rows *rows;
    int orientation;
    png_structp png;
    png_infop info;
    uint64_t offset; /* of the next byte to read */
    unsigned char *row;
    int channels; /* of a pixel in `row`: 1 (palette index), 3 (RGB) or 4 (RGBA) */
    int colour_count;
    unsigned char palette[PNG_MAX_PALETTE_LENGTH][3]; /* over white already */
    bool refused;                                     /* an allocation was */
    char message[MESSAGE_BYTES];
};

/* ---- hooks ---- */

static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes)
{
    struct png_reader *reader = png_get_mem_ptr(png);
    void *memory = snug_alloc(reader->source->allocator, bytes);
    if (!memory)
        reader->refused = true;
    return memory;
}

static void on_free(png_structp png, png_voidp memory)
{
    struct png_reader *reader = png_get_mem_ptr(png);
    snug_free(reader->source->allocator, memory);
}

static void on_error(png_structp png, png_const_charp message)
{
    struct png_reader *reader = png_get_error_ptr(png);
    size_t length = strnlen(message, MESSAGE_BYTES - 1);
    memcpy(reader->message, message, length);
    reader->message[length] = '\0';
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep bytes, size_t length)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (!snug_bytes_read(reader->source->bytes, reader->offset, bytes, length))
        png_error(png, "the file ends too early");
    reader->offset += length;
}

/* ---- orientation ---- */

/* The eXIf chunk, before or behind the pixels: rows go on only if it is known. libpng reads the
 * file to its end afterwards, so that a chunk that is not whole or has a wrong checksum is found.
 */
static int find_orientation(struct snug_bytes *bytes)
{
    unsigned char head[8];
    uint64_t at = SIGNATURE_BYTES;
    while (at <= bytes->size && bytes->size - at >= 12 && snug_bytes_peek(bytes, at, head, 8)) {
        size_t length = snug_be32(head);
        if (length > bytes->size - at - 12 || memcmp(head + 4, "IEND", 4) == 0)
            break;
        if (memcmp(head + 4, "eXIf", 4) == 0) {
            size_t count = length < SNUG_EXIF_BYTES ? length : SNUG_EXIF_BYTES;
            const unsigned char *data = snug_bytes_span(bytes, at + 8, count);
            return data ? snug_exif_orientation(data, count) : 1;
        }
        at += 12 + length;
    }
    return 1;
}

/* ---- pixels ---- */

static void put_indices(const struct png_reader *reader, unsigned char *to, int64_t step,
                        int64_t count)
{
    for (int64_t i = 0; i < count; i++, to += step * 3) {
        if (reader->row[i] >= reader->colour_count)
            png_error(reader->png, "a pixel has a colour that the palette lacks");
        memcpy(to, reader->palette[reader->row[i]], 3);
    }
}

/* `count` pixels of reader->row to every step-th one of `to`. */
static void put_row(const struct png_reader *reader, unsigned char *to, int64_t step, int64_t count)
{
    const unsigned char *from = reader->row;
    if (reader->channels == 1) {
        put_indices(reader, to, step, count);
        return;
    }
    if (reader->channels == 3 && step == 1) {
        memcpy(to, from, (size_t)count * 3);
        return;
    }
    for (int64_t i = 0; i < count; i++, from += reader->channels, to += step * 3)
        for (int c = 0; c < 3; c++)
            to[c] = reader->channels == 4 ? snug_over_white(from[c], from[3]) : from[c];
}

static void read_passes(const struct png_reader *reader)
{
    int64_t width = reader->rows->width, height = reader->rows->height;
    for (int pass = 0; pass < ADAM7_PASSES; pass++) {
        int64_t columns = PNG_PASS_COLS((png_uint_32)width, pass);
        int64_t rows = PNG_PASS_ROWS((png_uint_32)height, pass);
        if (columns == 0)
            continue;
        for (int64_t i = 0; i < rows; i++) {
            int64_t y = PNG_ROW_FROM_PASS_ROW(i, pass), x = PNG_COL_FROM_PASS_COL(0, pass);
            png_read_row(reader->png, reader->row, NULL);
            put_row(reader, reader->rows->pixels + (y * width + x) * 3, PNG_PASS_COL_OFFSET(pass),
                    columns);
        }
    }
}

static enum snug_status read_rows(const struct png_reader *reader, struct snug_error *error)
{
    if (png_get_interlace_type(reader->png, reader->info) != PNG_INTERLACE_NONE) {
        read_passes(reader);
        return SNUG_STATUS_OK;
    }
    for (int64_t y = 0; y < reader->rows->height; y++) {
        png_read_row(reader->png, reader->row, NULL);
        put_row(reader, snug_rows_next(reader->rows), 1, reader->rows->width);
        SNUG_TRY(snug_rows_push(reader->rows, error));
    }
    return SNUG_STATUS_OK;
}

size_t snug_png_bytes(int64_t width)
{
    return (size_t)(width * LIBRARY_PIXEL_BYTES + LIBRARY_FIXED_BYTES);
}

static void read_palette(struct png_reader *reader)
{
    png_colorp colours = NULL;
    png_bytep alpha = NULL;
    int alpha_count = 0;
    if (!png_get_PLTE(reader->png, reader->info, &colours, &reader->colour_count))
        png_error(reader->png, "no palette");
    png_get_tRNS(reader->png, reader->info, &alpha, &alpha_count, NULL);
    for (int i = 0; i < reader->colour_count; i++) {
        unsigned int a = alpha && i < alpha_count ? alpha[i] : 255;
        reader->palette[i][0] = snug_over_white(colours[i].red, a);
        reader->palette[i][1] = snug_over_white(colours[i].green, a);
        reader->palette[i][2] = snug_over_white(colours[i].blue, a);
    }
}

/* Limits, and the steps to indices, 8-bit RGB or RGBA. Keys of tRNS are compared before 16 bits
 * become 8. */
static enum snug_status begin(struct png_reader *reader, struct snug_error *error)
{
    png_structp png = reader->png;
    const struct snug_rows_needs needs = {
        .width = png_get_image_width(png, reader->info),
        .height = png_get_image_height(png, reader->info),
        .orientation = reader->orientation,
        .whole = png_get_interlace_type(png, reader->info) != PNG_INTERLACE_NONE,
        .library_bytes = snug_png_bytes(png_get_image_width(png, reader->info))};
    SNUG_TRY(snug_rows_begin(reader->rows, &needs, error));
    bool indexed = png_get_color_type(png, reader->info) == PNG_COLOR_TYPE_PALETTE;
    if (indexed) {
        read_palette(reader);
        png_set_packing(png); /* one index a byte */
    } else {
        png_set_expand(png);
        png_set_strip_16(png);
        png_set_gray_to_rgb(png);
    }
    png_read_update_info(png, reader->info);
    reader->channels = png_get_channels(png, reader->info);
    SNUG_ASSERT(indexed ? reader->channels == 1 : reader->channels == 3 || reader->channels == 4);
    SNUG_ASSERT(png_get_bit_depth(png, reader->info) == 8);
    size_t bytes = png_get_rowbytes(png, reader->info);
    reader->row = snug_alloc(reader->source->allocator, bytes);
    return reader->row ? SNUG_STATUS_OK : snug_error_memory(error, bytes, "a row of pixels");
}

/* Everything that may jump out. No local variables: they would be lost on the way back. */
static enum snug_status read_picture(struct png_reader *reader, struct snug_error *error)
{
    if (setjmp(png_jmpbuf(reader->png))) {
        if (reader->refused)
            return snug_error_set(error, SNUG_STATUS_MEMORY, "%s: out of memory in the PNG reader",
                                  reader->source->name);
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: damaged PNG picture: %s",
                              reader->source->name, reader->message);
    }
    png_set_read_fn(reader->png, reader, on_read);
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* begin() has ours */
    png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(reader->png, 0);
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(reader->png, reader->info);
    if (begin(reader, error) != SNUG_STATUS_OK)
        return error->status;
    if (read_rows(reader, error) != SNUG_STATUS_OK)
        return error->status;
    png_read_end(reader->png, NULL);
    return SNUG_STATUS_OK;
}

enum snug_status snug_png_read(struct snug_rows *rows, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    struct png_reader reader = {
        .source = source, .rows = rows, .orientation = find_orientation(source->bytes)};
    enum snug_status status = SNUG_STATUS_MEMORY;
    reader.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning,
                                          &reader, on_malloc, on_free);
    if (reader.png)
        reader.info = png_create_info_struct(reader.png);
    if (reader.info)
        status = read_picture(&reader, error);
    else
        status = snug_error_set(error, SNUG_STATUS_MEMORY, "%s: out of memory in the PNG reader",
                                source->name);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    snug_free(source->allocator, reader.row);
    return status;
}
