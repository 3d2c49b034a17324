/* WebP through libwebp with its defaults (smooth upsampling, no dithering); of an animation the
 * first frame, on white. The library needs the whole file in memory and decodes the whole picture;
 * its own memory comes from malloc; its sides end at 16,383 pixels. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

/* The most that the library takes: for lossless pictures and for transparency 4 bytes a pixel, some
 * rows (measured with libwebp 1.2: 77 to 215 bytes a pixel of width), tables. */
#define LIBRARY_PIXEL_BYTES 4u
#define TRANSPARENT_PIXEL_BYTES 4u /* ours: RGBA before it lies over white */
#define LIBRARY_ROW_BYTES 256u
#define LIBRARY_FIXED_BYTES ((size_t)1 << 20)

static enum snug_status damaged(const struct snug_image_source *source, const char *why,
                                struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: damaged WebP picture: %s", source->name,
                          why);
}

/* Decodes one frame's bytes into rows of `channels` (3: RGB, 4: RGBA) samples. */
static enum snug_status decode_into(const struct snug_image_source *source,
                                    const WebPData *fragment, int channels, unsigned char *target,
                                    size_t stride, size_t bytes, struct snug_error *error)
{
    WebPDecoderConfig config;
    if (stride > INT32_MAX || !WebPInitDecoderConfig(&config))
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, "%s: this libwebp cannot be used",
                              source->name);
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = target;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = bytes;
    VP8StatusCode code = WebPDecode(fragment->bytes, fragment->size, &config);
    WebPFreeDecBuffer(&config.output);
    switch (code) {
    case VP8_STATUS_OK:
        return SNUG_STATUS_OK;
    case VP8_STATUS_OUT_OF_MEMORY:
        return snug_error_set(error, SNUG_STATUS_MEMORY, "%s: out of memory in the WebP reader",
                              source->name);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, "%s: this kind of WebP is not read",
                              source->name);
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return damaged(source, "the file ends too early", error);
    default:
        return damaged(source, "wrong picture data", error);
    }
}

static enum snug_status decode_opaque(const struct snug_image_source *source,
                                      const WebPIterator *frame, struct snug_rows *rows,
                                      struct snug_error *error)
{
    size_t stride = (size_t)rows->width * 3;
    size_t start = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * 3;
    size_t bytes = ((size_t)frame->height - 1) * stride + (size_t)frame->width * 3;
    return decode_into(source, &frame->fragment, 3, rows->pixels + start, stride, bytes, error);
}

static enum snug_status decode_transparent(const struct snug_image_source *source,
                                           const WebPIterator *frame, struct snug_rows *rows,
                                           struct snug_error *error)
{
    size_t stride = (size_t)frame->width * 4, bytes = stride * (size_t)frame->height;
    unsigned char *rgba = snug_alloc(source->allocator, bytes);
    if (!rgba)
        return snug_error_memory(error, bytes, "a picture with transparency");
    enum snug_status status = decode_into(source, &frame->fragment, 4, rgba, stride, bytes, error);
    for (int64_t y = 0; status == SNUG_STATUS_OK && y < frame->height; y++) {
        const unsigned char *from = rgba + (size_t)y * stride;
        unsigned char *to =
            rows->pixels + ((y + frame->y_offset) * rows->width + frame->x_offset) * 3;
        for (int64_t x = 0; x < frame->width; x++, from += 4, to += 3)
            for (int c = 0; c < 3; c++)
                to[c] = snug_over_white(from[c], from[3]);
    }
    snug_free(source->allocator, rgba);
    return status;
}

/* The frame must lie on the canvas and be of the size that its own header says. */
static enum snug_status read_frame(const struct snug_image_source *source,
                                   const WebPIterator *frame, struct snug_rows *rows,
                                   struct snug_error *error)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &features) != VP8_STATUS_OK)
        return damaged(source, "wrong frame header", error);
    if (!frame->complete || frame->width < 1 || frame->height < 1 || frame->x_offset < 0 ||
        frame->y_offset < 0 || frame->width > rows->width - frame->x_offset ||
        frame->height > rows->height - frame->y_offset || features.width != frame->width ||
        features.height != frame->height)
        return damaged(source, "the frame does not fit the picture", error);
    if (frame->width != rows->width || frame->height != rows->height)
        memset(rows->pixels, 255, (size_t)rows->width * (size_t)rows->height * 3);
    return features.has_alpha ? decode_transparent(source, frame, rows, error)
                              : decode_opaque(source, frame, rows, error);
}

static int find_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    int orientation = 1;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk))
        orientation = snug_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

size_t snug_webp_bytes(int64_t width, int64_t height)
{
    return (size_t)(width * height) * (LIBRARY_PIXEL_BYTES + TRANSPARENT_PIXEL_BYTES) +
           (size_t)width * LIBRARY_ROW_BYTES + LIBRARY_FIXED_BYTES;
}

static enum snug_status read_canvas(struct snug_rows *rows, const WebPDemuxer *demuxer,
                                    size_t file_bytes, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    struct snug_rows_needs needs = {.width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                                    .height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT),
                                    .orientation = find_orientation(demuxer),
                                    .whole = true};
    WebPIterator frame;
    SNUG_TRY(snug_image_check(source, needs.width, needs.height, error));
    needs.library_bytes = snug_webp_bytes(needs.width, needs.height) + file_bytes;
    SNUG_TRY(snug_rows_begin(rows, &needs, error));
    if (!WebPDemuxGetFrame(demuxer, 1, &frame))
        return damaged(source, "no frame", error);
    enum snug_status status = read_frame(source, &frame, rows, error);
    WebPDemuxReleaseIterator(&frame);
    return status;
}

static enum snug_status read_file(struct snug_rows *rows, const unsigned char *data, size_t size,
                                  size_t held_bytes, struct snug_error *error)
{
    const WebPData file = {data, size};
    WebPDemuxer *demuxer = WebPDemux(&file);
    if (!demuxer)
        return damaged(rows->source, "its parts do not fit together, or the file ends too early",
                       error);
    enum snug_status status = read_canvas(rows, demuxer, held_bytes, error);
    WebPDemuxDelete(demuxer);
    return status;
}

enum snug_status snug_webp_read(struct snug_rows *rows, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    struct snug_bytes *bytes = source->bytes;
    size_t size = (size_t)bytes->size;
    if (bytes->data)
        return read_file(rows, bytes->data, size, 0, error);
    if (size > source->max_bytes)
        return snug_error_set(error, SNUG_STATUS_DOES_NOT_FIT,
                              "%s: a WebP file of %zu bytes is read as a whole, and only %zu are "
                              "left for it; try a larger --budget",
                              source->name, size, source->max_bytes);
    unsigned char *data = snug_alloc(source->allocator, size);
    if (!data)
        return snug_error_memory(error, size, source->name);
    enum snug_status status = SNUG_STATUS_IO; /* said by the caller */
    if (snug_bytes_peek(bytes, 0, data, size))
        status = read_file(rows, data, size, size, error);
    snug_free(source->allocator, data);
    return status;
}
