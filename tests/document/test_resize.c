/* Tests of document/resize.c. More results to the byte: golden-check, kind "resize".
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "document/resize.h"

#include <math.h>
#include <string.h>

#define SENTINEL 0xa5
#define SENTINEL_BYTES 16

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Results of Pillow 12 and 13. */
static void test_rows(void **state)
{
    (void)state;
    static const unsigned char input[10] = {0, 255, 13, 200, 7, 91, 180, 33, 64, 128};
    static const struct {
        enum snug_filter filter;
        int64_t length;
        unsigned char expected[13];
    } cases[] = {
        {SNUG_FILTER_BICUBIC, 4, {115, 96, 101, 82}},
        {SNUG_FILTER_BICUBIC, 7, {91, 124, 126, 45, 149, 44, 110}},
        {SNUG_FILTER_BICUBIC, 13, {0, 186, 165, 28, 199, 49, 31, 121, 178, 54, 39, 88, 131}},
        {SNUG_FILTER_BILINEAR, 4, {116, 98, 100, 83}},
        {SNUG_FILTER_BILINEAR, 7, {88, 119, 126, 49, 136, 51, 106}},
        {SNUG_FILTER_BILINEAR, 13, {0, 167, 153, 49, 193, 59, 49, 115, 174, 61, 51, 86, 128}},
    };
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int vertical = 0; vertical < 2; vertical++) {
            unsigned char found[13];
            int64_t m = cases[i].length;
            enum snug_status status =
                vertical ? snug_resize(input, 1, 10, 1, 1, m, cases[i].filter, heap, found, NULL)
                         : snug_resize(input, 10, 1, 1, m, 1, cases[i].filter, heap, found, NULL);
            assert_int_equal(status, SNUG_STATUS_OK);
            for (int64_t k = 0; k < m; k++) {
                if (found[k] != cases[i].expected[k])
                    print_error("case %zu, vertical %d, sample %lld: %d, expected %d\n", i,
                                vertical, (long long)k, found[k], cases[i].expected[k]);
                assert_int_equal(found[k], cases[i].expected[k]);
            }
        }
}

/* ---- a slow resize, written straight from the rule, with 64-bit sums ---- */

static double kernel(enum snug_filter filter, double t)
{
    t = fabs(t);
    if (filter == SNUG_FILTER_BILINEAR)
        return t < 1 ? 1 - t : 0;
    if (t < 1)
        return (1.5 * t - 2.5) * t * t + 1;
    return t < 2 ? (((t - 5) * t + 8) * t - 4) * -0.5 : 0;
}

/* Output sample x of m from n samples that lie `step` bytes apart. */
static unsigned char slow_sample(const unsigned char *from, int64_t step, int64_t n, int64_t m,
                                 int64_t x, enum snug_filter filter)
{
    double scale = (double)n / (double)m, fs = scale > 1 ? scale : 1;
    double support = (filter == SNUG_FILTER_BICUBIC ? 2 : 1) * fs,
           center = ((double)x + 0.5) * scale;
    int64_t first = (int64_t)(center - support + 0.5), end = (int64_t)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > n ? n : end;
    double sum = 0;
    for (int64_t k = first; k < end; k++)
        sum += kernel(filter, ((double)k - center + 0.5) * (1 / fs));
    int64_t result = 1 << 21;
    for (int64_t k = first; k < end; k++) {
        double w = kernel(filter, ((double)k - center + 0.5) * (1 / fs)) / sum * 4194304.0;
        result += from[k * step] * (int64_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    result >>= 22;
    return (unsigned char)(result < 0 ? 0 : result > 255 ? 255 : result);
}

static void slow_resize(const unsigned char *source, int64_t w, int64_t h, int64_t channels,
                        int64_t width, int64_t height, enum snug_filter filter,
                        unsigned char *between, unsigned char *target)
{
    for (int64_t y = 0; y < h; y++)
        for (int64_t i = 0; i < width * channels; i++)
            between[y * width * channels + i] =
                width == w ? source[y * w * channels + i]
                           : slow_sample(source + y * w * channels + i % channels, channels, w,
                                         width, i / channels, filter);
    for (int64_t y = 0; y < height; y++)
        for (int64_t i = 0; i < width * channels; i++)
            target[y * width * channels + i] =
                height == h ? between[y * width * channels + i]
                            : slow_sample(between + i, width * channels, h, height, y, filter);
}

static void compare_with_slow(const unsigned char *source, int64_t w, int64_t h, int channels,
                              int64_t width, int64_t height, enum snug_filter filter)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    size_t bytes = (size_t)(width * height * channels);
    unsigned char *between = snug_alloc(heap, (size_t)(width * h * channels));
    unsigned char *wanted = snug_alloc(heap, bytes),
                  *found = snug_alloc(heap, bytes + SENTINEL_BYTES);
    assert_true(between && wanted && found);
    memset(found + bytes, SENTINEL, SENTINEL_BYTES);
    slow_resize(source, w, h, channels, width, height, filter, between, wanted);
    assert_int_equal(snug_resize(source, w, h, channels, width, height, filter, heap, found, NULL),
                     SNUG_STATUS_OK);
    for (size_t i = 0; i < bytes; i++) {
        if (found[i] != wanted[i])
            print_error(
                "%lldx%lld to %lldx%lld, %d channels, filter %d, sample %zu: %d, expected %d\n",
                (long long)w, (long long)h, (long long)width, (long long)height, channels,
                (int)filter, i, found[i], wanted[i]);
        assert_int_equal(found[i], wanted[i]);
    }
    for (size_t i = 0; i < SENTINEL_BYTES; i++)
        assert_int_equal(found[bytes + i], SENTINEL);
    snug_free(heap, between);
    snug_free(heap, wanted);
    snug_free(heap, found);
}

static void test_against_slow(void **state)
{
    (void)state;
    static const int64_t sizes[][4] = {
        {1, 1, 1, 1},     {1, 1, 7, 5},     {7, 5, 1, 1},    {40, 30, 40, 30},  {40, 30, 13, 30},
        {40, 30, 40, 9},  {40, 30, 41, 31}, {40, 30, 90, 3}, {3, 90, 17, 20},   {90, 2, 6, 50},
        {64, 64, 32, 32}, {1, 500, 9, 4},   {500, 1, 4, 9},  {29, 31, 400, 33},
    };
    static unsigned char source[64 * 64 * 3];
    uint32_t random = 1;
    for (int pattern = 0; pattern < 2; pattern++) {
        /* Noise, and black and white in turn: the largest sums there are. */
        for (size_t i = 0; i < sizeof source; i++)
            source[i] = (unsigned char)(pattern ? (i % 2 ? 255 : 0) : next_random(&random));
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            for (int channels = 1; channels <= 3; channels += 2)
                for (int filter = 0; filter < 2; filter++)
                    compare_with_slow(source, sizes[i][0], sizes[i][1], channels, sizes[i][2],
                                      sizes[i][3],
                                      filter ? SNUG_FILTER_BICUBIC : SNUG_FILTER_BILINEAR);
    }
}

/* A row comes out as soon as the last row of its window is in, not before; pushing and pulling
 * gives the bytes that resizing at once gives. */
static void test_row_by_row(void **state)
{
    (void)state;
    static const int64_t sizes[][4] = {{30, 40, 20, 13}, {30, 13, 20, 40}, {30, 40, 30, 13},
                                       {30, 40, 20, 40}, {30, 40, 30, 40}, {5, 60, 9, 1}};
    static unsigned char source[30 * 60 * 3], wanted[64 * 64 * 3], row[64 * 3];
    uint32_t random = 3;
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (unsigned char)next_random(&random);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t w = sizes[i][0], h = sizes[i][1], width = sizes[i][2], height = sizes[i][3], y = 0;
        const struct snug_allocator *heap = snug_allocator_heap();
        struct snug_resampler r;
        assert_int_equal(
            snug_resize(source, w, h, 3, width, height, SNUG_FILTER_BICUBIC, heap, wanted, NULL),
            SNUG_STATUS_OK);
        assert_int_equal(
            snug_resampler_make(&r, w, h, 3, width, height, SNUG_FILTER_BICUBIC, heap, NULL),
            SNUG_STATUS_OK);
        assert_false(snug_resampler_pull(&r, row));
        double scale = (double)h / (double)height, support = 2 * (scale > 1 ? scale : 1);
        for (int64_t pushed = 1; pushed <= h; pushed++) {
            snug_resampler_push(&r, source + (pushed - 1) * w * 3);
            for (; snug_resampler_pull(&r, row); y++)
                assert_memory_equal(row, wanted + y * width * 3, (size_t)(width * 3));
            int64_t ready = 0;
            for (; ready < height; ready++) {
                int64_t end = h == height
                                  ? ready + 1
                                  : (int64_t)(((double)ready + 0.5) * scale + support + 0.5);
                if ((end > h ? h : end) > pushed)
                    break;
            }
            assert_int_equal(y, ready);
        }
        assert_int_equal(y, height);
        assert_false(snug_resampler_pull(&r, row));
        snug_resampler_free(&r);
        snug_resampler_free(&r); /* twice is allowed */
    }
}

/* A constant picture stays what it is: the weights of each output add up. */
static void test_constant(void **state)
{
    (void)state;
    unsigned char source[30 * 20 * 3], target[41 * 7 * 3];
    for (int level = 0; level <= 255; level += 51) {
        memset(source, level, sizeof source);
        assert_int_equal(snug_resize(source, 30, 20, 3, 41, 7, SNUG_FILTER_BICUBIC,
                                     snug_allocator_heap(), target, NULL),
                         SNUG_STATUS_OK);
        for (size_t i = 0; i < sizeof target; i++)
            assert_int_equal(target[i], level);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        int64_t source_width, source_height, width, height;
        int channels;
    } cases[] = {
        {0, 1, 1, 1, 3}, {1, 0, 1, 1, 3},  {1, 1, 0, 1, 3},         {1, 1, 1, 0, 3},
        {1, 1, 1, 1, 2}, {-1, 1, 1, 1, 3}, {1, 1, INT64_MAX, 1, 3}, {1, 1, 1, INT64_MAX, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char source[3] = {1, 2, 3}, target[3];
        struct snug_error error = {0};
        enum snug_status status =
            snug_resize(source, cases[i].source_width, cases[i].source_height, cases[i].channels,
                        cases[i].width, cases[i].height, SNUG_FILTER_BICUBIC, snug_allocator_heap(),
                        target, &error);
        if (status != SNUG_STATUS_SHAPE)
            print_error("case %zu: %s, expected shape\n", i, snug_status_text(status));
        assert_int_equal(status, SNUG_STATUS_SHAPE);
        assert_true(error.message[0] != '\0');
    }
}

static void test_refused_memory(void **state)
{
    (void)state;
    static unsigned char source[20 * 10 * 3], target[9 * 33 * 3];
    uint64_t n = 1;
    for (;; n++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        enum snug_status status = snug_resize(source, 20, 10, 3, 9, 33, SNUG_FILTER_BICUBIC,
                                              &counting.allocator, target, &error);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_against_slow),
        cmocka_unit_test(test_constant),   cmocka_unit_test(test_errors),
        cmocka_unit_test(test_row_by_row), cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
