/* Tests of document/exif.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "document/image_internal.h"

#include <string.h>

/* ---- reading ---- */

#define LE_HEAD "II*\0\x08\0\0\0"
#define BE_HEAD "MM\0*\0\0\0\x08"
#define BYTES(text) text, sizeof text - 1

static void test_reading(void **state)
{
    (void)state;
    static const struct {
        const char *what, *data;
        size_t size;
        int expected;
    } cases[] = {
        {"little-endian",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\6\0\0\0"),
         6},
        {"big-endian",
         BYTES(BE_HEAD "\0\1"
                       "\1\x12"
                       "\0\3"
                       "\0\0\0\1"
                       "\0\x08\0\0"),
         8},
        {"behind Exif",
         BYTES("Exif\0\0" LE_HEAD "\1\0"
               "\x12\1"
               "\3\0"
               "\1\0\0\0"
               "\3\0\0\0"),
         3},
        {"a LONG",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\4\0"
                       "\1\0\0\0"
                       "\2\0\0\0"),
         2},
        {"a big-endian LONG",
         BYTES(BE_HEAD "\0\1"
                       "\1\x12"
                       "\0\4"
                       "\0\0\0\1"
                       "\0\0\0\5"),
         5},
        {"second entry",
         BYTES(LE_HEAD "\2\0"
                       "\x0f\1"
                       "\2\0"
                       "\1\0\0\0"
                       "x\0\0\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\7\0\0\0"),
         7},
        {"more entries claimed than there are",
         BYTES(LE_HEAD "\xff\xff"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\4\0\0\0"),
         4},
        {"no next directory needed, points at itself",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\6\0\0\0"
                       "\x08\0\0\0"),
         6},
        {"value 0",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\0\0\0\0"),
         1},
        {"value 9",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\x09\0\0\0"),
         1},
        {"a LONG beyond 16 bits",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\4\0"
                       "\1\0\0\0"
                       "\6\0\1\0"),
         1},
        {"two values",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\2\0\0\0"
                       "\6\0\0\0"),
         1},
        {"text",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\2\0"
                       "\1\0\0\0"
                       "\6\0\0\0"),
         1},
        {"other tag",
         BYTES(LE_HEAD "\1\0"
                       "\x13\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\6\0\0\0"),
         1},
        {"entry cut",
         BYTES(LE_HEAD "\1\0"
                       "\x12\1"
                       "\3\0"
                       "\1\0\0\0"
                       "\6\0\0"),
         1},
        {"directory outside", BYTES("II*\0\xff\xff\xff\xff\1\0"), 1},
        {"directory at the end", BYTES("II*\0\x0a\0\0\0\1\0"), 1},
        {"no directory", BYTES(LE_HEAD), 1},
        {"other mark",
         BYTES("IM*\0\x08\0\0\0\1\0"
               "\x12\1"
               "\3\0"
               "\1\0\0\0"
               "\6\0\0\0"),
         1},
        {"Exif alone", BYTES("Exif\0\0"), 1},
        {"nothing", BYTES(""), 1},
    };
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* A block of exactly this size: the sanitizer sees a read beyond it. */
        unsigned char *copy = snug_alloc(heap, cases[i].size);
        assert_non_null(copy);
        memcpy(copy, cases[i].data, cases[i].size);
        int found = snug_exif_orientation(copy, cases[i].size);
        if (found != cases[i].expected)
            print_error("%s: %d, expected %d\n", cases[i].what, found, cases[i].expected);
        assert_int_equal(found, cases[i].expected);
        snug_free(heap, copy);
    }
}

/* ---- turning ---- */

static struct snug_image make_picture(int64_t width, int64_t height,
                                      const struct snug_allocator *allocator)
{
    unsigned char *pixels = snug_alloc(allocator, (size_t)(width * height * 3));
    assert_non_null(pixels);
    for (int64_t i = 0; i < width * height; i++) {
        pixels[i * 3] = (unsigned char)(i % width);
        pixels[i * 3 + 1] = (unsigned char)(i / width);
        pixels[i * 3 + 2] = (unsigned char)(i * 7 + 1);
    }
    return (struct snug_image){width, height, pixels, allocator};
}

/* Where the pixel that is shown at (x, y) was stored: row 0 and column 0 of the stored picture are
 * the edges that EXIF's table names. w, h: stored size. */
static void stored_at(int orientation, int64_t w, int64_t h, int64_t x, int64_t y, int64_t *sx,
                      int64_t *sy)
{
    static const struct {
        int transposed, flip_x, flip_y;
    } table[9] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1},
                  {1, 0, 0}, {1, 0, 1}, {1, 1, 1}, {1, 1, 0}};
    int64_t a = table[orientation].transposed ? y : x, b = table[orientation].transposed ? x : y;
    *sx = table[orientation].flip_x ? w - 1 - a : a;
    *sy = table[orientation].flip_y ? h - 1 - b : b;
}

static void check_turned(int orientation, int64_t w, int64_t h)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_image stored = make_picture(w, h, heap), shown = make_picture(w, h, heap);
    assert_int_equal(snug_image_orient(&shown, orientation, NULL), SNUG_STATUS_OK);
    assert_int_equal(shown.width, orientation >= 5 ? h : w);
    assert_int_equal(shown.height, orientation >= 5 ? w : h);
    for (int64_t y = 0; y < shown.height; y++)
        for (int64_t x = 0; x < shown.width; x++) {
            int64_t sx, sy;
            stored_at(orientation, w, h, x, y, &sx, &sy);
            const unsigned char *found = shown.pixels + (y * shown.width + x) * 3;
            const unsigned char *wanted = stored.pixels + (sy * w + sx) * 3;
            if (memcmp(found, wanted, 3) != 0)
                print_error("orientation %d, %lldx%lld, pixel %lld,%lld: column %d row %d, "
                            "expected %d %d\n",
                            orientation, (long long)w, (long long)h, (long long)x, (long long)y,
                            found[0], found[1], wanted[0], wanted[1]);
            assert_memory_equal(found, wanted, 3);
        }
    snug_image_free(&stored);
    snug_image_free(&shown);
}

static void test_turning(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},   {1, 5},   {5, 1},  {3, 2},
                                       {32, 32}, {33, 64}, {70, 45}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int orientation = 1; orientation <= 8; orientation++)
            check_turned(orientation, sizes[i][0], sizes[i][1]);
}

static void test_turning_refused(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 2);
    struct snug_image image = make_picture(4, 3, &counting.allocator);
    struct snug_error error = {0};
    assert_int_equal(snug_image_orient(&image, 6, &error), SNUG_STATUS_MEMORY);
    assert_true(counting.failed);
    assert_int_equal(image.width, 4);
    assert_int_equal(image.height, 3);
    snug_image_free(&image);
    assert_int_equal(counting.live, 0);
}

static void test_over_white(void **state)
{
    (void)state;
    for (unsigned int c = 0; c < 256; c++)
        for (unsigned int a = 0; a < 256; a++) {
            unsigned int exact = c * a + 255 * (255 - a), rounded = exact / 255;
            if (exact % 255 > 127)
                rounded++;
            assert_int_equal(snug_over_white(c, a), rounded);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_turning),
        cmocka_unit_test(test_turning_refused),
        cmocka_unit_test(test_over_white),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
