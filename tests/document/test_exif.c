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
        cmocka_unit_test(test_over_white),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
