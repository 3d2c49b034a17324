/* MiniMalloc's CSV.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "formats/minimalloc.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_reads_and_writes(void **state)
{
    (void)state;
    static const struct {
        const char *csv, *written;
    } cases[] = {
        {"id,lower,upper,size\n", "id,lower,upper,size,offset\n"},
        {"id,lower,upper,size\na,0,4,5\nb,4,8,7",
         "id,lower,upper,size,offset\na,0,4,5,0\nb,4,8,7,0\n"},
        {"\xef\xbb\xbfsize, upper ,offset,lower,id\r\n5,4,,-3,x y\r\n\r\n7,9,64,2,b\r\n",
         "id,lower,upper,size,offset\nx y,-3,4,5,0\nb,2,9,7,64\n"},
        {"id,lower,upper,size\nz,-9223372036854775808,9223372036854775807,9223372036854775807\n",
         "id,lower,upper,size,offset\nz,-9223372036854775808,9223372036854775807,"
         "9223372036854775807,0\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_minimalloc instance = {0};
        struct snug_error error;
        struct snug_text text;
        assert_ok(snug_minimalloc_parse(cases[i].csv, strlen(cases[i].csv), "t.csv",
                                        snug_allocator_heap(), &instance, &error));
        snug_text_init(&text, snug_allocator_heap(), 4096);
        snug_minimalloc_put(&instance, &text);
        assert_string_equal(snug_text_c(&text), cases[i].written);
        snug_text_free(&text);
        snug_minimalloc_free(&instance);
    }
}

/* Half-open times become numbers of steps: what touches does not meet. */
static void test_times(void **state)
{
    (void)state;
    static const char csv[] = "id,lower,upper,size,offset\na,-1000000000000,7,5,\nb,7,"
                              "9000000000000000000,5,3\nc,0,8,5,\n";
    static const int first[] = {0, 2, 1}, last[] = {1, 3, 2};
    struct snug_minimalloc instance = {0};
    struct snug_error error;
    assert_ok(
        snug_minimalloc_parse(csv, strlen(csv), "t.csv", snug_allocator_heap(), &instance, &error));
    assert_int_equal(instance.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(instance.intervals[i].first, first[i]);
        assert_int_equal(instance.intervals[i].last, last[i]);
        assert_int_equal(instance.intervals[i].pinned, i == 1);
    }
    assert_int_equal(instance.intervals[1].offset, 3);
    snug_minimalloc_free(&instance);
}

/* Every file of tests/data/minimalloc-bad is refused, in these words. */
static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *file, *message;
        enum snug_status status;
    } cases[] = {
        {"empty", " is empty", SNUG_STATUS_FORMAT},
        {"only-newlines", " is empty", SNUG_STATUS_FORMAT},
        {"no-upper", ":1: column 'upper' is missing", SNUG_STATUS_FORMAT},
        {"twice", ":1: column 'size' twice", SNUG_STATUS_FORMAT},
        {"unknown-column", ":1: unknown column 'gaps'", SNUG_STATUS_FORMAT},
        {"carriage-return", ":1: unknown column", SNUG_STATUS_FORMAT},
        {"binary", ":1: unknown column", SNUG_STATUS_FORMAT},
        {"few-cells", ":3: 3 cells, where the header has 4", SNUG_STATUS_FORMAT},
        {"many-cells", ":2: 5 cells, where the header has 4", SNUG_STATUS_FORMAT},
        {"no-number", ":2: upper is no whole number: '4x'", SNUG_STATUS_FORMAT},
        {"fraction", ":2: size is no whole number: '5.5'", SNUG_STATUS_FORMAT},
        {"plus", ":2: upper is no whole number: '+4'", SNUG_STATUS_FORMAT},
        {"minus-alone", ":2: lower is no whole number: '-'", SNUG_STATUS_FORMAT},
        {"empty-cell", ":2: upper is missing", SNUG_STATUS_FORMAT},
        {"size-0", ":2: size is 0, less than 1", SNUG_STATUS_FORMAT},
        {"size-negative", ":2: size is -5, less than 1", SNUG_STATUS_FORMAT},
        {"offset-negative", ":2: offset is -1, less than 0", SNUG_STATUS_FORMAT},
        {"backwards", ":2: lower (4) must be less than upper (3)", SNUG_STATUS_FORMAT},
        {"no-life", ":2: lower (4) must be less than upper (4)", SNUG_STATUS_FORMAT},
        {"double-id", ":4: id 'a' stands here again", SNUG_STATUS_FORMAT},
        {"no-id", ":2: id is missing", SNUG_STATUS_FORMAT},
        {"quoted", ":2: id holds a quote", SNUG_STATUS_FORMAT},
        {"nul", ":2: a NUL byte", SNUG_STATUS_FORMAT},
        {"wide-size", ":2: size does not fit 64 bits", SNUG_STATUS_LIMIT},
        {"wide-time", ":2: lower does not fit 64 bits", SNUG_STATUS_LIMIT},
        {"long-line", ":2: the line has", SNUG_STATUS_LIMIT},
        {"long-id", ":2: id is longer than", SNUG_STATUS_LIMIT},
    };
    struct snug_directory folder = {0};
    struct snug_error error;
    assert_ok(snug_directory_read(test_path("tests/data/minimalloc-bad"), 1000,
                                  snug_allocator_heap(), &folder, &error));
    assert_int_equal(folder.count, COUNT(cases));
    snug_directory_free(&folder);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_minimalloc instance = {0};
        struct snug_blob blob = {0};
        char name[128];
        snprintf(name, sizeof name, "tests/data/minimalloc-bad/%s.csv", cases[i].file);
        assert_ok(snug_file_read(test_path(name), 1 << 20, snug_allocator_heap(), &blob, &error));
        enum snug_status status =
            snug_minimalloc_parse((const char *)blob.data, blob.size, cases[i].file,
                                  snug_allocator_heap(), &instance, &error);
        if (status != cases[i].status)
            fail_msg("%s: status %s", name, snug_status_text(status));
        if (strncmp(error.message, cases[i].file, strlen(cases[i].file)) != 0 ||
            strncmp(error.message + strlen(cases[i].file), cases[i].message,
                    strlen(cases[i].message)) != 0)
            fail_msg("%s: '%s', not '%s'", name, error.message, cases[i].message);
        snug_blob_free(&blob);
    }
}

static void test_refused_memory(void **state)
{
    (void)state;
    static const char csv[] = "id,lower,upper,size\na,0,4,5\nb,2,8,7\n";
    struct snug_counting_allocator counting;
    enum snug_status status = SNUG_STATUS_MEMORY;
    uint64_t n;
    for (n = 1; status; n++) {
        struct snug_minimalloc instance = {0};
        struct snug_error error;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        status =
            snug_minimalloc_parse(csv, strlen(csv), "t", &counting.allocator, &instance, &error);
        assert_int_equal(status, counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK);
        snug_minimalloc_free(&instance);
        assert_int_equal(counting.live, 0);
    }
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes), cmocka_unit_test(test_times),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
