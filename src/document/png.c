/* PNG through libpng, its memory from our allocator.
 *
 * Chunks that do not change the pixels (text, profiles, gamma, background) are passed over unread,
 * so that nothing in them is unpacked; their checksums still count. What libpng calls benign (a
 * wrong zlib checksum, left-over data) is damage here, and so is a colour that the palette lacks,
 * which libpng does not notice when it expands palettes itself. Interlaced pictures are put
 * together by us: one row of memory instead of a second picture. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#include <png.h>

#define SIGNATURE_BYTES 8u
#define ADAM7_PASSES 7
#define MESSAGE_BYTES 128

struct png_reader {
    const struct snug_image_source *source;
    struct snug_image *image;
    png_structp png;
    png_infop info;
    size_t offset; /* of the next byte to read */
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
    if (length > reader->source->size - reader->offset)
        png_error(png, "the file ends too early");
    memcpy(bytes, reader->source->data + reader->offset, length);
    reader->offset += length;
}

/* ---- orientation ---- */

/* The eXIf chunk, before or behind the pixels. libpng has read the file to its end by now, so the
 * chunks are whole and their checksums right. */
static int find_orientation(const unsigned char *data, size_t size)
{
    size_t at = SIGNATURE_BYTES;
    while (size - at >= 12) {
        size_t length = snug_be32(data + at);
        const unsigned char *type = data + at + 4;
        if (length > size - at - 12 || memcmp(type, "IEND", 4) == 0)
            break;
        if (memcmp(type, "eXIf", 4) == 0)
            return snug_exif_orientation(data + at + 8, length);
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

/* `count` pixels of reader->row to row y, columns x, x + step, ... */
static void put_row(const struct png_reader *reader, int64_t y, int64_t x, int64_t step,
                    int64_t count)
{
    const unsigned char *from = reader->row;
    unsigned char *to = reader->image->pixels + (y * reader->image->width + x) * 3;
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

static void read_rows(struct png_reader *reader)
{
    int64_t width = reader->image->width, height = reader->image->height;
    if (png_get_interlace_type(reader->png, reader->info) == PNG_INTERLACE_NONE) {
        for (int64_t y = 0; y < height; y++) {
            png_read_row(reader->png, reader->row, NULL);
            put_row(reader, y, 0, 1, width);
        }
        return;
    }
    for (int pass = 0; pass < ADAM7_PASSES; pass++) {
        int64_t columns = PNG_PASS_COLS((png_uint_32)width, pass);
        int64_t rows = PNG_PASS_ROWS((png_uint_32)height, pass);
        if (columns == 0)
            continue;
        for (int64_t i = 0; i < rows; i++) {
            png_read_row(reader->png, reader->row, NULL);
            put_row(reader, PNG_ROW_FROM_PASS_ROW(i, pass), PNG_COL_FROM_PASS_COL(0, pass),
                    PNG_PASS_COL_OFFSET(pass), columns);
        }
    }
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
    enum snug_status status =
        snug_image_begin(reader->source, png_get_image_width(png, reader->info),
                         png_get_image_height(png, reader->info), reader->image, error);
    if (status != SNUG_STATUS_OK)
        return status;
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
    read_rows(reader);
    png_read_end(reader->png, NULL);
    return SNUG_STATUS_OK;
}

enum snug_status snug_png_read(const struct snug_image_source *source, struct snug_image *image,
                               int *orientation, struct snug_error *error)
{
    struct snug_error own;
    struct png_reader reader = {.source = source, .image = image};
    enum snug_status status = SNUG_STATUS_MEMORY;
    reader.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning,
                                          &reader, on_malloc, on_free);
    if (reader.png)
        reader.info = png_create_info_struct(reader.png);
    if (reader.info)
        status = read_picture(&reader, error ? error : &own);
    else
        status = snug_error_set(error, SNUG_STATUS_MEMORY, "%s: out of memory in the PNG reader",
                                source->name);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    snug_free(source->allocator, reader.row);
    if (status == SNUG_STATUS_OK)
        *orientation = find_orientation(source->data, source->size);
    return status;
}
