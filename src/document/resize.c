/* Resampling as Pillow does it for 8-bit pictures, to the bit.
 *
 * Per axis, n samples to m, in double: scale = n / m, fs = max(scale, 1), support = S * fs (bicubic
 * S = 2, bilinear 1). For output x: center = (x + 0.5) * scale, first = max(0, trunc(center -
 * support + 0.5)), end = min(n, trunc(center + support + 0.5)), weight k = K((k + first - center +
 * 0.5) / fs) over their sum, then an integer of 22 fractional bits, halves away from zero. An
 * output sample is (2^21 + sum of sample * weight) >> 22, clamped to 0..255. Horizontal pass first,
 * its result in 8 bits; then the vertical pass. A pass that changes nothing is skipped.
 *
 * The sums are of int32 and exact: the magnitudes of the weights of one output add up to less
 * than 1.5, so no partial sum exceeds 1.5 * 255 * 2^22 + 2^21 < 2^31, in any order.
 *
 * Horizontal rows are made when the vertical pass first needs them and kept in a ring that is as
 * high as the largest window: memory grows with the window, not with the picture. Source: Pillow's
 * Image.resize before version 13 (docs/formats.md, 3). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/image.h"

#include <math.h>
#include <string.h>

#define WEIGHT_BITS 22
#define HALF (1 << (WEIGHT_BITS - 1))
/* Samples whose sums the vertical pass keeps at a time: 4 KiB, in the first cache. */
#define BLOCK_SAMPLES 1024
/* Larger pictures do not occur (SNUG_MAX_SIDE, SNUG_MAX_TILES); keeps indices and memory bounded.
 */
#define MAX_LENGTH (1 << 24)

struct axis {
    int64_t *first;  /* [output] first input sample */
    int64_t *count;  /* [output] input samples */
    int32_t *weight; /* [output][window] */
    int64_t window;
};

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* ---- weights ---- */

static void axis_free(struct axis *axis, const struct snug_allocator *allocator)
{
    snug_free(allocator, axis->first);
    snug_free(allocator, axis->count);
    snug_free(allocator, axis->weight);
}

/* scratch: [window] doubles. */
static void axis_fill(struct axis *axis, int64_t input, int64_t output, enum snug_filter filter,
                      double support, double *scratch)
{
    double scale = (double)input / (double)output;
    double inverse = 1.0 / (scale < 1.0 ? 1.0 : scale);
    for (int64_t x = 0; x < output; x++) {
        double center = ((double)x + 0.5) * scale, sum = 0.0;
        int64_t first = (int64_t)(center - support + 0.5);
        int64_t end = (int64_t)(center + support + 0.5);
        if (first < 0)
            first = 0;
        if (end > input)
            end = input;
        SNUG_ASSERT(end > first && end - first <= axis->window);
        for (int64_t k = 0; k < end - first; k++) {
            double t = ((double)(k + first) - center + 0.5) * inverse;
            scratch[k] = filter == SNUG_FILTER_BICUBIC ? bicubic(t) : bilinear(t);
            sum += scratch[k];
        }
        int32_t *weight = axis->weight + x * axis->window;
        for (int64_t k = 0; k < end - first; k++) {
            double w = (sum != 0.0 ? scratch[k] / sum : scratch[k]) * (1 << WEIGHT_BITS);
            weight[k] = (int32_t)(w < 0.0 ? w - 0.5 : w + 0.5);
        }
        axis->first[x] = first;
        axis->count[x] = end - first;
    }
}

/* *axis zeroed; freed by the caller also on failure. */
static enum snug_status axis_make(struct axis *axis, int64_t input, int64_t output,
                                  enum snug_filter filter, const struct snug_allocator *allocator,
                                  struct snug_error *error)
{
    double scale = (double)input / (double)output;
    double support = (filter == SNUG_FILTER_BICUBIC ? 2.0 : 1.0) * (scale < 1.0 ? 1.0 : scale);
    axis->window = (int64_t)ceil(support) * 2 + 1;
    size_t outputs = (size_t)output, weights = 0;
    if (!snug_mul_size(outputs, (size_t)axis->window, &weights))
        return snug_error_memory(error, SIZE_MAX, "resampling weights");
    axis->first = snug_alloc_array(allocator, outputs, sizeof *axis->first);
    axis->count = snug_alloc_array(allocator, outputs, sizeof *axis->count);
    axis->weight = snug_alloc_array(allocator, weights, sizeof *axis->weight);
    double *scratch = snug_alloc_array(allocator, (size_t)axis->window, sizeof *scratch);
    bool done = axis->first && axis->count && axis->weight && scratch;
    if (done)
        axis_fill(axis, input, output, filter, support, scratch);
    snug_free(allocator, scratch);
    return done ? SNUG_STATUS_OK
                : snug_error_memory(error, weights * sizeof *axis->weight, "resampling weights");
}

/* ---- passes ---- */

static unsigned char to_sample(int32_t sum)
{
    int32_t value = sum >> WEIGHT_BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void horizontal_row_1(const struct axis *axis, const unsigned char *source, int64_t width,
                             unsigned char *target)
{
    for (int64_t x = 0; x < width; x++) {
        const int32_t *weight = axis->weight + x * axis->window;
        const unsigned char *from = source + axis->first[x];
        int32_t sum = HALF;
        for (int64_t k = 0; k < axis->count[x]; k++)
            sum += from[k] * weight[k];
        target[x] = to_sample(sum);
    }
}

static void horizontal_row_3(const struct axis *axis, const unsigned char *source, int64_t width,
                             unsigned char *target)
{
    for (int64_t x = 0; x < width; x++) {
        const int32_t *weight = axis->weight + x * axis->window;
        const unsigned char *from = source + axis->first[x] * 3;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int64_t k = 0; k < axis->count[x]; k++) {
            red += from[k * 3] * weight[k];
            green += from[k * 3 + 1] * weight[k];
            blue += from[k * 3 + 2] * weight[k];
        }
        target[x * 3] = to_sample(red);
        target[x * 3 + 1] = to_sample(green);
        target[x * 3 + 2] = to_sample(blue);
    }
}

/* sums[i] += row[i] * weight: the loop that vectorises. */
static void add_row(int32_t *restrict sums, const unsigned char *restrict row, int32_t weight,
                    int64_t samples)
{
    for (int64_t i = 0; i < samples; i++)
        sums[i] += row[i] * weight;
}

struct resizer {
    const unsigned char *source;
    int64_t source_width, source_height, width, height;
    int channels;
    struct axis horizontal, vertical; /* window 0: the pass is skipped */
    unsigned char *ring;              /* [vertical.window] rows of `width` pixels */
    int64_t rows_made;                /* horizontal rows below this have been made */
};

static void make_row(const struct resizer *r, int64_t y, unsigned char *target)
{
    const unsigned char *row = r->source + y * r->source_width * r->channels;
    if (r->channels == 3)
        horizontal_row_3(&r->horizontal, row, r->width, target);
    else
        horizontal_row_1(&r->horizontal, row, r->width, target);
}

/* Row y after the horizontal pass; the vertical pass asks in ascending windows. */
static const unsigned char *row_at(const struct resizer *r, int64_t y)
{
    int64_t stride = r->width * r->channels;
    return r->ring ? r->ring + y % r->vertical.window * stride : r->source + y * stride;
}

static void vertical_row(struct resizer *r, int64_t y, unsigned char *target)
{
    int64_t first = r->vertical.first[y], count = r->vertical.count[y];
    const int32_t *weight = r->vertical.weight + y * r->vertical.window;
    int64_t stride = r->width * r->channels;
    if (r->ring) {
        if (r->rows_made < first)
            r->rows_made = first;
        for (; r->rows_made < first + count; r->rows_made++)
            make_row(r, r->rows_made, r->ring + r->rows_made % r->vertical.window * stride);
    }
    for (int64_t start = 0; start < stride; start += BLOCK_SAMPLES) {
        int32_t sums[BLOCK_SAMPLES];
        int64_t samples = stride - start < BLOCK_SAMPLES ? stride - start : BLOCK_SAMPLES;
        for (int64_t i = 0; i < samples; i++)
            sums[i] = HALF;
        for (int64_t k = 0; k < count; k++)
            add_row(sums, row_at(r, first + k) + start, weight[k], samples);
        for (int64_t i = 0; i < samples; i++)
            target[start + i] = to_sample(sums[i]);
    }
}

enum snug_status snug_resize(const unsigned char *source, int64_t source_width,
                             int64_t source_height, int channels, int64_t width, int64_t height,
                             enum snug_filter filter, const struct snug_allocator *allocator,
                             unsigned char *target, struct snug_error *error)
{
    if (source_width < 1 || source_height < 1 || width < 1 || height < 1 ||
        source_width > MAX_LENGTH || source_height > MAX_LENGTH || width > MAX_LENGTH ||
        height > MAX_LENGTH || (channels != 1 && channels != 3))
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "cannot resize %lld x %lld pixels of %d channels to %lld x %lld",
                              (long long)source_width, (long long)source_height, channels,
                              (long long)width, (long long)height);
    struct resizer r = {source,   source_width, source_height, width, height,
                        channels, {0},          {0},           NULL,  0};
    int64_t stride = width * channels;
    bool across = width != source_width, down = height != source_height;
    enum snug_status status = SNUG_STATUS_OK;
    if (across)
        status = axis_make(&r.horizontal, source_width, width, filter, allocator, error);
    if (down && status == SNUG_STATUS_OK)
        status = axis_make(&r.vertical, source_height, height, filter, allocator, error);
    if (across && down && status == SNUG_STATUS_OK) {
        r.ring = snug_alloc_array(allocator, (size_t)r.vertical.window, (size_t)stride);
        if (!r.ring)
            status =
                snug_error_memory(error, (size_t)(r.vertical.window * stride), "resampled rows");
    }
    if (status == SNUG_STATUS_OK) {
        if (!across && !down)
            memcpy(target, source, (size_t)(stride * height));
        for (int64_t y = 0; down && y < height; y++)
            vertical_row(&r, y, target + y * stride);
        for (int64_t y = 0; across && !down && y < height; y++)
            make_row(&r, y, target + y * stride);
    }
    axis_free(&r.horizontal, allocator);
    axis_free(&r.vertical, allocator);
    snug_free(allocator, r.ring);
    return status;
}
