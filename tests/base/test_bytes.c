/* Tests of base/bytes.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/bytes.h"

#include <unistd.h>

#define SIZE ((size_t)200000) /* three windows and a bit */

static char path[64];

static unsigned char expected(uint64_t at)
{
    return (unsigned char)(at * 31 ^ at >> 8);
}

static int make_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/snug-bytes-XXXXXX");
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!file)
        return -1;
    for (size_t i = 0; i < SIZE; i++)
        fputc(expected(i), file);
    return fclose(file);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static struct snug_bytes open_file(const struct snug_allocator *allocator)
{
    struct snug_bytes bytes = {0};
    struct snug_error error = {0};
    assert_ok(snug_bytes_open(path, SIZE, allocator, &bytes, &error));
    assert_int_equal(bytes.size, SIZE);
    return bytes;
}

static void check_all(const unsigned char *found, uint64_t at, size_t count)
{
    assert_non_null(found);
    for (size_t i = 0; i < count; i++)
        if (found[i] != expected(at + i))
            fail_msg("byte %llu: %d, expected %d", (unsigned long long)(at + i), found[i],
                     expected(at + i));
}

/* Views one after the other cover the file, whatever they are limited to. */
static void walk(struct snug_bytes *bytes)
{
    uint64_t at = 0;
    size_t count;
    for (const unsigned char *view; (view = snug_bytes_view(bytes, at, &count)); at += count) {
        assert_true(count >= 1 && (!bytes->most || count <= bytes->most));
        check_all(view, at, count);
    }
    assert_int_equal(count, 0);
    assert_int_equal(at, bytes->size);
    assert_int_equal(snug_bytes_status(bytes, NULL), SNUG_STATUS_OK);
}

static void check_offsets(struct snug_bytes *bytes)
{
    static const struct {
        uint64_t at;
        size_t count;
    } cases[] = {
        {0, 0},
        {0, 1},
        {SIZE - 1, 1},
        {SIZE, 0},
        {65535, 2},
        {0, 65536},
        {SIZE - 65536, 65536},
        {70000, 300},
        {69999, 301},
        {131072, 65536},
        {5, 65536},
    };
    static unsigned char copy[SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t at = cases[i].at;
        size_t count = cases[i].count;
        check_all(snug_bytes_span(bytes, at, count), at, count);
        memset(copy, 0, count);
        assert_true(snug_bytes_read(bytes, at, copy, count));
        check_all(copy, at, count);
        memset(copy, 0, count);
        assert_true(snug_bytes_peek(bytes, at, copy, count));
        check_all(copy, at, count);
    }
    memset(copy, 0, SIZE);
    assert_true(snug_bytes_read(bytes, 0, copy, SIZE));
    check_all(copy, 0, SIZE);
    memset(copy, 0, SIZE);
    assert_true(snug_bytes_peek(bytes, 0, copy, SIZE));
    check_all(copy, 0, SIZE);
    static const struct {
        uint64_t at;
        size_t count;
    } outside[] = {{SIZE, 1}, {SIZE - 1, 2}, {SIZE + 1, 0}, {UINT64_MAX, 0}, {UINT64_MAX - 9, 9}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        size_t count = 7;
        assert_null(snug_bytes_span(bytes, outside[i].at, outside[i].count));
        assert_false(snug_bytes_read(bytes, outside[i].at, copy, outside[i].count));
        assert_false(snug_bytes_peek(bytes, outside[i].at, copy, outside[i].count));
        assert_null(snug_bytes_view(bytes, outside[i].at + outside[i].count, &count));
        assert_int_equal(count, 0);
    }
    assert_int_equal(snug_bytes_status(bytes, NULL), SNUG_STATUS_OK); /* none of it is a failure */
}

static void test_file_and_memory(void **state)
{
    (void)state;
    static unsigned char memory[SIZE];
    static const size_t limits[] = {0, 1, 7, 4096, 65536, 100000};
    struct snug_bytes file = open_file(snug_allocator_heap());
    assert_true(snug_bytes_peek(&file, 0, memory, SIZE));
    struct snug_bytes inside = snug_bytes_of("memory", memory, SIZE);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        file.most = inside.most = limits[i];
        walk(&file);
        walk(&inside);
        check_offsets(&file);
        check_offsets(&inside);
    }
    snug_bytes_close(&file);
    snug_bytes_close(&inside);
    snug_bytes_close(&inside); /* twice is allowed */
}

/* peek leaves the window: what a view has given stays. */
static void test_peek_moves_nothing(void **state)
{
    (void)state;
    struct snug_bytes file = open_file(snug_allocator_heap());
    size_t count;
    unsigned char one[8];
    const unsigned char *view = snug_bytes_view(&file, 1000, &count);
    assert_true(snug_bytes_peek(&file, SIZE - sizeof one, one, sizeof one));
    check_all(one, SIZE - sizeof one, sizeof one);
    check_all(view, 1000, count);
    snug_bytes_close(&file);
}

static void test_empty(void **state)
{
    (void)state;
    struct snug_bytes empty = snug_bytes_of("nothing", NULL, 0);
    size_t count;
    assert_null(snug_bytes_view(&empty, 0, &count));
    assert_non_null(snug_bytes_span(&empty, 0, 0));
    assert_true(snug_bytes_read(&empty, 0, NULL, 0));
    assert_true(snug_bytes_peek(&empty, 0, NULL, 0));
    assert_null(snug_bytes_span(&empty, 0, 1));
}

static void test_cut_meanwhile(void **state)
{
    (void)state;
    struct snug_bytes file = open_file(snug_allocator_heap());
    struct snug_error error = {0};
    unsigned char copy[8];
    size_t count;
    assert_non_null(snug_bytes_view(&file, 0, &count));
    assert_int_equal(truncate(path, 150000), 0);
    assert_false(snug_bytes_peek(&file, 149996, copy, sizeof copy));
    assert_int_equal(snug_bytes_status(&file, &error), SNUG_STATUS_IO);
    assert_non_null(strstr(error.message, "shorter"));
    assert_non_null(strstr(error.message, path));
    assert_null(snug_bytes_span(&file, 0, 1)); /* it stays failed */
    assert_false(snug_bytes_read(&file, 0, copy, 1));
    snug_bytes_close(&file);
    assert_int_equal(remove_file(NULL), 0);
    assert_int_equal(make_file(NULL), 0);
}

static void test_errors(void **state)
{
    (void)state;
    struct snug_bytes bytes = {0};
    struct snug_error error = {0};
    const struct snug_allocator *heap = snug_allocator_heap();
    assert_int_equal(snug_bytes_open("/nowhere/at/all", SIZE, heap, &bytes, &error),
                     SNUG_STATUS_NOT_FOUND);
    assert_int_equal(snug_bytes_open("/tmp", SIZE, heap, &bytes, &error), SNUG_STATUS_IO);
    assert_int_equal(snug_bytes_open("/dev/null", SIZE, heap, &bytes, &error), SNUG_STATUS_IO);
    assert_int_equal(snug_bytes_open(path, SIZE - 1, heap, &bytes, &error), SNUG_STATUS_LIMIT);
    struct snug_counting_allocator counting;
    snug_counting_allocator_init(&counting, heap, 1);
    assert_int_equal(snug_bytes_open(path, SIZE, &counting.allocator, &bytes, &error),
                     SNUG_STATUS_MEMORY);
    assert_null(bytes.name);
    snug_counting_allocator_init(&counting, heap, 0);
    struct snug_bytes file = open_file(&counting.allocator);
    assert_int_equal(counting.live, 1);
    snug_bytes_close(&file);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_and_memory), cmocka_unit_test(test_peek_moves_nothing),
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_cut_meanwhile),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
