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
 * A row goes through the horizontal pass as it is pushed, into a ring that is as high as the
 * largest window of the vertical pass: memory grows with the window, not with the picture. An
 * output row needs rows up to the last one of its window, so it can be made once that one has been
 * pushed; then its first one is still there, because a window fits the ring. Source: Pillow's
 * Image.resize before version 13 (docs/formats.md, 3). Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "document/resize.h"

#include <math.h>
#include <string.h>

#define WEIGHT_BITS 22
#define HALF (1 << (WEIGHT_BITS - 1))
/* Samples whose sums the vertical pass keeps at a time: 4 KiB, in the first cache. */
#define BLOCK_SAMPLES 1024
/* Larger pictures do not occur (SNUG_MAX_SIDE, SNUG_MAX_TILES); keeps indices and memory bounded.
 */
#define MAX_LENGTH (1 << 24)

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

static void axis_free(struct snug_resample_axis *axis, const struct snug_allocator *allocator)
{
    snug_free(allocator, axis->first);
    snug_free(allocator, axis->count);
    snug_free(allocator, axis->weight);
}

/* scratch: [window] doubles. */
static void axis_fill(struct snug_resample_axis *axis, int64_t input, int64_t output,
                      enum snug_filter filter, double support, double *scratch)
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

static double support_of(int64_t input, int64_t output, enum snug_filter filter)
{
    double scale = (double)input / (double)output;
    return (filter == SNUG_FILTER_BICUBIC ? 2.0 : 1.0) * (scale < 1.0 ? 1.0 : scale);
}

static int64_t window_of(int64_t input, int64_t output, enum snug_filter filter)
{
    return (int64_t)ceil(support_of(input, output, filter)) * 2 + 1;
}

/* *axis zeroed; freed by the caller also on failure. */
static enum snug_status axis_make(struct snug_resample_axis *axis, int64_t input, int64_t output,
                                  enum snug_filter filter, const struct snug_allocator *allocator,
                                  struct snug_error *error)
{
    axis->window = window_of(input, output, filter);
    size_t outputs = (size_t)output, weights = 0;
    if (!snug_mul_size(outputs, (size_t)axis->window, &weights))
        return snug_error_memory(error, SIZE_MAX, "resampling weights");
    axis->first = snug_alloc_array(allocator, outputs, sizeof *axis->first);
    axis->count = snug_alloc_array(allocator, outputs, sizeof *axis->count);
    axis->weight = snug_alloc_array(allocator, weights, sizeof *axis->weight);
    double *scratch = snug_alloc_array(allocator, (size_t)axis->window, sizeof *scratch);
    bool done = axis->first && axis->count && axis->weight && scratch;
    if (done)
        axis_fill(axis, input, output, filter, support_of(input, output, filter), scratch);
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

static void horizontal_row_1(const struct snug_resample_axis *axis, const unsigned char *source,
                             int64_t width, unsigned char *target)
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

static void horizontal_row_3(const struct snug_resample_axis *axis, const unsigned char *source,
                             int64_t width, unsigned char *target)
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

/* ---- rows in, rows out ---- */

static bool sides_are_good(int64_t source_width, int64_t source_height, int channels, int64_t width,
                           int64_t height)
{
    return source_width >= 1 && source_height >= 1 && width >= 1 && height >= 1 &&
           source_width <= MAX_LENGTH && source_height <= MAX_LENGTH && width <= MAX_LENGTH &&
           height <= MAX_LENGTH && (channels == 1 || channels == 3);
}

enum snug_status snug_resampler_make(struct snug_resampler *r, int64_t source_width,
                                     int64_t source_height, int channels, int64_t width,
                                     int64_t height, enum snug_filter filter,
                                     const struct snug_allocator *allocator,
                                     struct snug_error *error)
{
    *r = (struct snug_resampler){.source_width = source_width,
                                 .source_height = source_height,
                                 .width = width,
                                 .height = height,
                                 .channels = channels,
                                 .ring_rows = 1,
                                 .allocator = allocator};
    if (!sides_are_good(source_width, source_height, channels, width, height))
        return snug_error_set(error, SNUG_STATUS_SHAPE,
                              "cannot resize %lld x %lld pixels of %d channels to %lld x %lld",
                              (long long)source_width, (long long)source_height, channels,
                              (long long)width, (long long)height);
    if (width != source_width)
        SNUG_TRY(axis_make(&r->horizontal, source_width, width, filter, allocator, error));
    if (height != source_height) {
        SNUG_TRY(axis_make(&r->vertical, source_height, height, filter, allocator, error));
        r->ring_rows = r->vertical.window;
    }
    size_t stride = (size_t)(width * channels);
    r->ring = snug_alloc_array(allocator, (size_t)r->ring_rows, stride);
    return r->ring ? SNUG_STATUS_OK
                   : snug_error_memory(error, (size_t)r->ring_rows * stride, "resampled rows");
}

void snug_resampler_free(struct snug_resampler *r)
{
    if (!r->allocator)
        return;
    axis_free(&r->horizontal, r->allocator);
    axis_free(&r->vertical, r->allocator);
    snug_free(r->allocator, r->ring);
    *r = (struct snug_resampler){0};
}

/* What stays of an axis, and what making it takes for a moment besides. */
static size_t axis_bytes(int64_t input, int64_t output, enum snug_filter filter, size_t *moment)
{
    const struct snug_resample_axis *axis = NULL;
    if (input == output)
        return 0;
    size_t window = (size_t)window_of(input, output, filter);
    if (*moment < window * sizeof(double))
        *moment = window * sizeof(double);
    return (size_t)output *
           (sizeof *axis->first + sizeof *axis->count + window * sizeof *axis->weight);
}

size_t snug_resampler_bytes(int64_t source_width, int64_t source_height, int channels,
                            int64_t width, int64_t height, enum snug_filter filter)
{
    if (!sides_are_good(source_width, source_height, channels, width, height))
        return 0;
    size_t moment = 0, ring_rows = 1;
    size_t bytes = axis_bytes(source_width, width, filter, &moment) +
                   axis_bytes(source_height, height, filter, &moment);
    if (height != source_height)
        ring_rows = (size_t)window_of(source_height, height, filter);
    return bytes + moment + ring_rows * (size_t)(width * channels);
}

static unsigned char *ring_row(const struct snug_resampler *r, int64_t y)
{
    return r->ring + y % r->ring_rows * r->width * r->channels;
}

void snug_resampler_push(struct snug_resampler *r, const unsigned char *row)
{
    SNUG_ASSERT(r->pushed < r->source_height);
    unsigned char *target = ring_row(r, r->pushed++);
    if (!r->horizontal.window)
        memcpy(target, row, (size_t)(r->width * r->channels));
    else if (r->channels == 3)
        horizontal_row_3(&r->horizontal, row, r->width, target);
    else
        horizontal_row_1(&r->horizontal, row, r->width, target);
}

static void vertical_row(const struct snug_resampler *r, int64_t y, unsigned char *target)
{
    int64_t first = r->vertical.first[y], count = r->vertical.count[y];
    const int32_t *weight = r->vertical.weight + y * r->vertical.window;
    int64_t stride = r->width * r->channels;
    for (int64_t start = 0; start < stride; start += BLOCK_SAMPLES) {
        int32_t sums[BLOCK_SAMPLES];
        int64_t samples = stride - start < BLOCK_SAMPLES ? stride - start : BLOCK_SAMPLES;
        for (int64_t i = 0; i < samples; i++)
            sums[i] = HALF;
        for (int64_t k = 0; k < count; k++)
            add_row(sums, ring_row(r, first + k) + start, weight[k], samples);
        for (int64_t i = 0; i < samples; i++)
            target[start + i] = to_sample(sums[i]);
    }
}

bool snug_resampler_pull(struct snug_resampler *r, unsigned char *target)
{
    int64_t y = r->pulled;
    if (y == r->height)
        return false;
    int64_t needed = r->vertical.window ? r->vertical.first[y] + r->vertical.count[y] : y + 1;
    if (r->pushed < needed)
        return false;
    if (r->vertical.window)
        vertical_row(r, y, target);
    else
        memcpy(target, ring_row(r, y), (size_t)(r->width * r->channels));
    r->pulled++;
    return true;
}

enum snug_status snug_resize(const unsigned char *source, int64_t source_width,
                             int64_t source_height, int channels, int64_t width, int64_t height,
                             enum snug_filter filter, const struct snug_allocator *allocator,
                             unsigned char *target, struct snug_error *error)
{
    struct snug_resampler r;
    enum snug_status status = snug_resampler_make(&r, source_width, source_height, channels, width,
                                                  height, filter, allocator, error);
    for (int64_t y = 0; !status && y < source_height; y++) {
        snug_resampler_push(&r, source + y * source_width * channels);
        while (snug_resampler_pull(&r, target))
            target += width * channels;
    }
    SNUG_ASSERT(status || r.pulled == height);
    snug_resampler_free(&r);
    return status;
}
