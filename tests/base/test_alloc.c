/* Tests of base/alloc.c and base/arena.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void test_heap(void **state)
{
    (void)state;
    const struct snug_allocator *heap = snug_allocator_heap();
    void *a = snug_alloc(heap, 0), *b = snug_alloc(heap, 0);

    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    snug_free(heap, a);
    snug_free(heap, b);
    snug_free(heap, NULL);

    assert_null(snug_alloc_array(heap, SIZE_MAX / 2, 3));
    assert_null(snug_calloc(heap, SIZE_MAX / 2, 3));

    unsigned char *bytes = snug_calloc(heap, 3, 7);
    assert_non_null(bytes);
    for (int i = 0; i < 21; i++)
        assert_int_equal(bytes[i], 0);
    bytes[20] = 9;
    assert_null(snug_realloc_array(heap, bytes, SIZE_MAX / 2, 3)); /* the old block stays */
    bytes = snug_realloc_array(heap, bytes, 1000, 2);
    assert_non_null(bytes);
    assert_int_equal(bytes[20], 9);
    assert_int_equal((uintptr_t)bytes % 16, 0);
    snug_free(heap, bytes);

    char *text = snug_strndup(heap, "abcdef", 3);
    assert_string_equal(text, "abc");
    snug_free(heap, text);
    text = snug_strdup(heap, "");
    assert_string_equal(text, "");
    snug_free(heap, text);
    assert_null(snug_strndup(heap, "abc", SIZE_MAX));
}

static void test_checked(void **state)
{
    (void)state;
    size_t result = 7;

    assert_false(snug_mul_size(SIZE_MAX, 2, &result));
    assert_false(snug_add_size(SIZE_MAX, 1, &result));
    assert_true(snug_mul_size(SIZE_MAX / 2, 2, &result));
    assert_int_equal(result, SIZE_MAX - 1);
    assert_true(snug_add_size(SIZE_MAX - 1, 1, &result));
    assert_int_equal(result, SIZE_MAX);
}

static void test_global(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;

    assert_ptr_equal(snug_allocator_global(), snug_allocator_heap());
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_allocator_set_global(&counting.allocator);
    assert_ptr_equal(snug_allocator_global(), &counting.allocator);
    snug_allocator_set_global(NULL);
    assert_ptr_equal(snug_allocator_global(), snug_allocator_heap());
}

static void test_counting(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;

    snug_counting_allocator_init(&counting, snug_allocator_heap(), 3);
    const struct snug_allocator *allocator = &counting.allocator;
    void *a = snug_alloc(allocator, 10);
    void *b = snug_realloc_array(allocator, NULL, 1, 10);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(counting.live, 2);
    assert_false(counting.failed);
    assert_null(snug_realloc_array(allocator, a, 20, 1)); /* the third: a stays */
    assert_true(counting.failed);
    a = snug_realloc_array(allocator, a, 20, 1);
    assert_non_null(a);
    assert_int_equal(counting.requests, 4);
    assert_int_equal(counting.live, 2);
    snug_free(allocator, a);
    snug_free(allocator, b);
    snug_free(allocator, NULL);
    assert_int_equal(counting.live, 0);
}

static void test_arena(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;
    struct snug_arena arena;

    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_arena_init(&arena, &counting.allocator);
    snug_arena_free(&arena); /* empty */

    /* sizes round the block's, each filled, all checked at the end: no two overlap */
    enum { COUNT = 400 };
    unsigned char *blocks[COUNT];
    size_t sizes[COUNT], sum = 0;
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = i % 50 == 49 ? 5000u + (size_t)i * 100 : (size_t)i * 7 % 190;
        blocks[i] = snug_arena_alloc(&arena, sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], i & 0xff, sizes[i]);
        sum += ((sizes[i] ? sizes[i] : 1) + 15) / 16 * 16;
    }
    assert_int_equal(arena.used_bytes, sum);
    for (int i = 0; i < COUNT; i++) {
        for (size_t b = 0; b < sizes[i]; b++)
            assert_int_equal(blocks[i][b], i & 0xff);
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(blocks[i], blocks[j]);
    }
    /* few blocks, or the arena would be for nothing */
    assert_in_range(counting.requests, 2, 20);

    assert_null(snug_arena_alloc(&arena, SIZE_MAX));
    assert_null(snug_arena_alloc(&arena, SIZE_MAX - 16));
    assert_null(snug_arena_calloc(&arena, SIZE_MAX / 2, 4));
    int *zeros = snug_arena_calloc(&arena, 100, sizeof *zeros);
    assert_non_null(zeros);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    assert_string_equal(snug_arena_strdup(&arena, "abc"), "abc");
    assert_string_equal(snug_arena_strndup(&arena, "abc", 2), "ab");
    assert_string_equal(snug_arena_printf(&arena, "%d-%s", 5, "x"), "5-x");

    snug_arena_free(&arena);
    assert_int_equal(counting.live, 0);
    assert_int_equal(arena.used_bytes, 0);
    assert_string_equal(snug_arena_strdup(&arena, "again"), "again");
    snug_arena_free(&arena);
    assert_int_equal(counting.live, 0);
}

/* An oversize request must not throw away the rest of the front block. */
static void test_arena_oversize(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;
    struct snug_arena arena;

    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_arena_init(&arena, &counting.allocator);
    assert_non_null(snug_arena_alloc(&arena, 16));
    assert_int_equal(counting.requests, 1);
    assert_non_null(snug_arena_alloc(&arena, 1 << 20));
    assert_int_equal(counting.requests, 2);
    assert_non_null(snug_arena_alloc(&arena, 16));
    assert_int_equal(counting.requests, 2);
    snug_arena_free(&arena);
    assert_int_equal(counting.live, 0);
}

static void test_arena_sweep(void **state)
{
    (void)state;
    bool failed = true;

    for (uint64_t fail_at = 1; failed; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_arena arena;
        int refused = 0;

        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_arena_init(&arena, &counting.allocator);
        for (int i = 0; i < 100; i++)
            refused += !snug_arena_printf(&arena, "%0*d", i * 40, i);
        failed = counting.failed;
        assert_int_equal(refused, failed ? 1 : 0); /* one request refused, the next one served */
        snug_arena_free(&arena);
        assert_int_equal(counting.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap),        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_global),      cmocka_unit_test(test_counting),
        cmocka_unit_test(test_arena),       cmocka_unit_test(test_arena_oversize),
        cmocka_unit_test(test_arena_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
