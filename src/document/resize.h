/* Pillow's resampling to the bit, row by row: rows of the source go in, rows of the result come out
 * as soon as they can be made. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DOCUMENT_RESIZE_H
#define SNUG_DOCUMENT_RESIZE_H

#include "document/image.h"

/* Of one axis. window 0: the pass is skipped, the rest is NULL. */
struct snug_resample_axis {
    int64_t *first;  /* [output] first input sample */
    int64_t *count;  /* [output] input samples */
    int32_t *weight; /* [output][window] */
    int64_t window;  /* the most samples of one output */
};

struct snug_resampler {
    int64_t source_width, source_height, width, height;
    int channels;
    struct snug_resample_axis horizontal, vertical;
    unsigned char *ring; /* rows after the horizontal pass: row y in place y % ring_rows */
    int64_t ring_rows;
    int64_t pushed, pulled; /* rows so far */
    const struct snug_allocator *allocator;
};

/* channels 1 or 3 interleaved 8-bit samples. *r is made anew; free it also after a failure. Errors:
 * SHAPE (a side < 1), MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_resampler_make(struct snug_resampler *r, int64_t source_width, int64_t source_height,
                    int channels, int64_t width, int64_t height, enum snug_filter filter,
                    const struct snug_allocator *allocator, struct snug_error *error);
void snug_resampler_free(struct snug_resampler *r); /* zeroed allowed */
/* The most that such a resampler holds of its allocator at a time, made or being made; 0
 * for sides it refuses. */
size_t snug_resampler_bytes(int64_t source_width, int64_t source_height, int channels,
                            int64_t width, int64_t height, enum snug_filter filter);

/* Takes the next row of the source, from the top. Pull until there is no more before the next push:
 * the ring keeps a row only as long as a result that can be pulled needs it. */
void snug_resampler_push(struct snug_resampler *r, const unsigned char *row);
/* Makes the next row of the result, [width * channels]. False: more of the source is needed, or all
 * rows have been made. */
bool snug_resampler_pull(struct snug_resampler *r, unsigned char *target);

#endif
