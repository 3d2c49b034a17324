/* Tests of formats/nfc.c: against utf8proc's own normalisation, and long runs of marks.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "formats/tokenizer_internal.h"

static struct snug_nfc_work work;

static void check_like_utf8proc(const char *text, size_t length)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_error error = {0};
    const char *found;
    size_t found_length;
    utf8proc_uint8_t *wanted = NULL;
    utf8proc_ssize_t wanted_length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &wanted,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    assert_true(wanted_length >= 0);
    assert_ok(snug_nfc(&work, heap, text, length, &found, &found_length, &error));
    if (found_length != (size_t)wanted_length || memcmp(found, wanted, found_length) != 0)
        fail_msg("\"%s\": \"%.*s\", expected \"%s\"", text, (int)found_length, found,
                 (const char *)wanted);
    free(wanted);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "plain",
        "caf\xC3\xA9",
        "cafe\xCC\x81",
        "e\xCC\x81\xCC\x96", /* above, then below */
        "a\xCC\x96\xCC\x81\xCC\x80",
        "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", /* Hangul */
        "\xE2\x84\xAB",                         /* Angstrom sign */
        "\xE1\xBE\x82",                         /* four code points */
        "\xF0\x9D\x85\xA0",                     /* excluded from composition */
        "\xCC\x81z",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_like_utf8proc(texts[i], strlen(texts[i]));
}

static void test_random(void **state)
{
    (void)state;
    static const uint32_t points[] = {'a',     'e',     0xE9,    0x301,  0x316,  0x327,
                                      0x345,   0x3B1,   0x1100,  0x1161, 0x11A8, 0xAC00,
                                      0x1F82,  0x212B,  0x9BE,   0x9C7,  0x5B0,  0x5BC,
                                      0x1D15F, 0x1D165, 0x2FA1D, 0x0F71, 0x0F72, 0xFB2C};
    uint32_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        unsigned char text[200];
        size_t used = 0;
        int count = round % 45; /* runs on both sides of the two ways to sort */
        for (int i = 0; i < count; i++) {
            seed = seed * 1664525u + 1013904223u;
            size_t pick = (seed >> 12) % (round % 3 == 0 ? 7 : sizeof points / sizeof points[0]);
            used +=
                (size_t)snug_utf8_encode(points[round % 3 == 1 ? 3 + pick % 4 : pick], text + used);
        }
        text[used] = '\0';
        check_like_utf8proc((const char *)text, used);
    }
}

/* 100,000 marks in the wrong order: exchanging neighbours would take 10^10 steps. */
static void test_long_run(void **state)
{
    (void)state;
    enum { HALF = 100000 };
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_error error = {0};
    char *text = snug_alloc(heap, 4 * HALF);
    assert_non_null(text);
    for (int i = 0; i < HALF; i++) {
        memcpy(text + 2 * i, "\xCC\x81", 2);          /* class 230 */
        memcpy(text + 2 * (HALF + i), "\xCC\x96", 2); /* class 220 */
    }
    const char *found;
    size_t length;
    assert_ok(snug_nfc(&work, heap, text, 4 * HALF, &found, &length, &error));
    assert_int_equal(length, 4 * HALF);
    for (int i = 0; i < 2 * HALF; i++)
        assert_memory_equal(found + 2 * i, i < HALF ? "\xCC\x96" : "\xCC\x81", 2);
    snug_free(heap, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_long_run),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snug_nfc_work_free(&work, snug_allocator_heap());
    return failed;
}
