/* The way of a picture's rows from its reader to who takes them: memory asked for beforehand, and
 * the orientation.
 *
 *     orientation      upright row j is
 *     1, 2             row j                    (2: mirrored)
 *     3, 4             row height - 1 - j       (3: mirrored)
 *     5, 6             column j                 (6: from the bottom up)
 *     8, 7             column width - 1 - j     (7: from the bottom up)
 *
 * 1 and 2 pass on a row at a time, the others hold the picture. Columns are read in strips of 32,
 * so that a line of the cache is used more than once. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include "base/text.h"

#define STRIP_ROWS 32

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

/* ---- turning ---- */

bool snug_orientation_needs_whole(int orientation)
{
    return orientation > 2;
}

static int64_t strip_rows(int64_t width)
{
    return width < STRIP_ROWS ? width : STRIP_ROWS;
}

size_t snug_turning_bytes(int64_t width, int64_t height, int orientation)
{
    return orientation < 5 ? 0 : (size_t)(strip_rows(width) * height) * 3;
}

/* Upright rows first..first+count-1 of a transposed picture into strip, height pixels each. */
static void fill_strip(const unsigned char *pixels, int64_t width, int64_t height, int orientation,
                       int64_t first, int64_t count, unsigned char *strip)
{
    bool from_right = orientation == 7 || orientation == 8;
    bool bottom_up = orientation == 6 || orientation == 7;
    for (int64_t y = 0; y < height; y++) {
        unsigned char *to = strip + (bottom_up ? height - 1 - y : y) * 3;
        for (int64_t j = 0; j < count; j++, to += height * 3) {
            int64_t x = from_right ? width - 1 - first - j : first + j;
            const unsigned char *from = pixels + (y * width + x) * 3;
            to[0] = from[0];
            to[1] = from[1];
            to[2] = from[2];
        }
    }
}

static enum snug_status turn_columns(const unsigned char *pixels, int64_t width, int64_t height,
                                     int orientation, const struct snug_allocator *allocator,
                                     const struct snug_row_sink *sink, struct snug_error *error)
{
    int64_t rows = strip_rows(width);
    size_t bytes = snug_turning_bytes(width, height, orientation);
    unsigned char *strip = snug_alloc(allocator, bytes);
    enum snug_status status =
        strip ? SNUG_STATUS_OK : snug_error_memory(error, bytes, "a turned picture");
    for (int64_t first = 0; !status && first < width; first += rows) {
        int64_t count = width - first < rows ? width - first : rows;
        fill_strip(pixels, width, height, orientation, first, count, strip);
        for (int64_t j = 0; !status && j < count; j++)
            status = sink->row(sink->context, strip + j * height * 3, error);
    }
    snug_free(allocator, strip);
    return status;
}

enum snug_status snug_rows_turn(unsigned char *pixels, int64_t width, int64_t height,
                                int orientation, const struct snug_allocator *allocator,
                                const struct snug_row_sink *sink, struct snug_error *error)
{
    if (orientation >= 5)
        return turn_columns(pixels, width, height, orientation, allocator, sink, error);
    bool upside_down = orientation == 3 || orientation == 4;
    for (int64_t j = 0; j < height; j++) {
        unsigned char *row = pixels + (upside_down ? height - 1 - j : j) * width * 3;
        if (orientation == 2 || orientation == 3)
            mirror_row(row, width);
        SNUG_TRY(sink->row(sink->context, row, error));
    }
    return SNUG_STATUS_OK;
}

/* ---- from the reader to the sink ---- */

/* Nothing of the picture's size has been allocated yet. */
static enum snug_status check_memory(const struct snug_rows *rows, int64_t width, int64_t height,
                                     size_t library_bytes, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    size_t held = (size_t)rows->width * (size_t)(rows->is_whole ? rows->height : 1) * 3;
    size_t need = SNUG_BYTES_WINDOW + held +
                  snug_turning_bytes(rows->width, rows->height, rows->orientation) + library_bytes +
                  rows->sink->bytes(rows->sink->context, width, height);
    char wanted[24], missing[24];
    if (need <= source->max_bytes)
        return SNUG_STATUS_OK;
    size_t over = need - source->max_bytes;
    return snug_error_set(error, SNUG_STATUS_DOES_NOT_FIT,
                          "%s: this picture of %lld x %lld pixels needs %s to be read, %s (%zu "
                          "bytes) more than is left for it; try a larger --budget; a smaller "
                          "picture, or a plain JPEG stored upright, needs less",
                          source->name, (long long)width, (long long)height,
                          snug_format_bytes(need, wanted), snug_format_bytes(over, missing), over);
}

enum snug_status snug_rows_begin(struct snug_rows *rows, const struct snug_rows_needs *needs,
                                 struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    const struct snug_row_sink *sink = rows->sink;
    SNUG_TRY(snug_image_check(source, needs->width, needs->height, error));
    rows->width = needs->width;
    rows->height = needs->height;
    rows->orientation = needs->orientation;
    rows->is_whole = needs->whole || snug_orientation_needs_whole(needs->orientation);
    bool transposed = needs->orientation >= 5;
    int64_t width = transposed ? needs->height : needs->width;
    int64_t height = transposed ? needs->width : needs->height;
    SNUG_TRY(check_memory(rows, width, height, needs->library_bytes, error));
    SNUG_TRY(sink->begin(sink->context, width, height, error));
    size_t bytes = (size_t)rows->width * (size_t)(rows->is_whole ? rows->height : 1) * 3;
    rows->pixels = snug_alloc(source->allocator, bytes);
    if (!rows->pixels)
        return snug_error_memory(error, bytes, rows->is_whole ? "a picture" : "a row of pixels");
    if (needs->whole)
        rows->pushed = rows->height; /* they never come one by one */
    return SNUG_STATUS_OK;
}

unsigned char *snug_rows_next(const struct snug_rows *rows)
{
    return rows->pixels + (rows->is_whole ? rows->pushed * rows->width * 3 : 0);
}

enum snug_status snug_rows_push(struct snug_rows *rows, struct snug_error *error)
{
    SNUG_ASSERT(rows->pushed < rows->height);
    rows->pushed++;
    if (rows->is_whole)
        return SNUG_STATUS_OK;
    if (rows->orientation == 2)
        mirror_row(rows->pixels, rows->width);
    return rows->sink->row(rows->sink->context, rows->pixels, error);
}

enum snug_status snug_rows_end(struct snug_rows *rows, struct snug_error *error)
{
    SNUG_ASSERT(rows->pixels && rows->pushed == rows->height);
    if (!rows->is_whole)
        return SNUG_STATUS_OK;
    return snug_rows_turn(rows->pixels, rows->width, rows->height, rows->orientation,
                          rows->source->allocator, rows->sink, error);
}

void snug_rows_free(struct snug_rows *rows)
{
    snug_free(rows->source->allocator, rows->pixels);
    rows->pixels = NULL;
}
