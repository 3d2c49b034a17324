/* What a page costs in memory until it is tiles, known from its size alone, so that a plan can be
 * made before any file is opened. The readers ask the same functions with what their headers say
 * (rows.c), and then need this much or less.
 *
 *     by rows     window of the file + a row + tiles, tables and rings + the dearest reader
 *     as a whole  window of the file + the picture + a strip for turning + tiles, tables and rings
 *                 + the dearest reader, for a progressive JPEG its coefficients
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t snug_page_bytes(int64_t width, int64_t height, const struct snug_tile_options *options)
{
    return SNUG_BYTES_WINDOW + (size_t)width * 3 + snug_tiles_bytes(width, height, options) +
           larger(snug_jpeg_bytes(width), snug_png_bytes(width));
}

size_t snug_page_bytes_whole(int64_t width, int64_t height, const struct snug_tile_options *options)
{
    int64_t longest = width > height ? width : height; /* it may be stored turned */
    size_t library = larger(snug_jpeg_whole_bytes(longest, width + height - longest),
                            larger(snug_png_bytes(longest), snug_webp_bytes(width, height)));
    return SNUG_BYTES_WINDOW + (size_t)width * (size_t)height * 3 +
           larger(snug_turning_bytes(width, height, 6), snug_turning_bytes(height, width, 6)) +
           snug_tiles_bytes(width, height, options) + library;
}
