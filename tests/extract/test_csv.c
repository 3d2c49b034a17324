/* The CSV reader.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/csv.h"
#include "extract/row.h"

/* Rows as "cell;cell|cell;..." with the line number before each. */
static enum snug_status read_all(const char *data, size_t length,
                                 const struct snug_allocator *allocator, struct snug_text *out,
                                 struct snug_error *error)
{
    struct snug_csv csv = {0};
    enum snug_status status = snug_csv_open(&csv, data, length, "t.csv", allocator, error);
    for (bool more = true; status == SNUG_STATUS_OK;) {
        status = snug_csv_next(&csv, &more, error);
        if (status != SNUG_STATUS_OK || !more)
            break;
        snug_text_printf(out, "%zu:", csv.line);
        for (size_t i = 0; i < csv.count; i++)
            snug_text_printf(out, "%s%s", i > 0 ? ";" : "", csv.cells[i]);
        snug_text_puts(out, "|");
    }
    snug_csv_close(&csv);
    return status;
}

static void test_cases(void **state)
{
    (void)state;
    static const struct {
        const char *csv, *rows;
        enum snug_status status;
    } cases[] = {
        {"", "", SNUG_STATUS_OK},
        {"a,b\nc,d\n", "1:a;b|2:c;d|", SNUG_STATUS_OK},
        {"a,b\r\nc,d", "1:a;b|2:c;d|", SNUG_STATUS_OK},
        {"a\rb\r", "1:a|2:b|", SNUG_STATUS_OK},
        {"\xef\xbb\xbf"
         "a\n",
         "1:a|", SNUG_STATUS_OK},
        {"\n\na\n\nb\n", "3:a|5:b|", SNUG_STATUS_OK},
        {",\n,,", "1:;|2:;;|", SNUG_STATUS_OK},
        {"\"a,\"\"b\"\"\nc\",d\ne", "1:a,\"b\"\nc;d|3:e|", SNUG_STATUS_OK},
        {"\"\"\n", "1:|", SNUG_STATUS_OK},
        {"a\"b,c\n", "1:a\"b;c|", SNUG_STATUS_OK},
        {"a,\"b", "t.csv: line 1: a quote is opened and never closed", SNUG_STATUS_FORMAT},
        {"x\n\"a\"b\n", "t.csv: line 2: text behind a closing quote", SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_text text;
        struct snug_error error = {0};
        snug_text_init(&text, snug_allocator_heap(), 1 << 16);
        enum snug_status status =
            read_all(cases[i].csv, strlen(cases[i].csv), snug_allocator_heap(), &text, &error);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(status == SNUG_STATUS_OK ? snug_text_c(&text) : error.message,
                            cases[i].rows);
        snug_text_free(&text);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct snug_text text, out;
    snug_text_init(&out, snug_allocator_heap(), 1 << 24);
    snug_text_init(&text, snug_allocator_heap(), 1 << 24);
    assert_int_equal(read_all("a\0b", 3, snug_allocator_heap(), &out, NULL), SNUG_STATUS_FORMAT);
    assert_int_equal(read_all("\"a\0b\"", 5, snug_allocator_heap(), &out, NULL),
                     SNUG_STATUS_FORMAT);
    for (int i = 0; i < SNUG_MAX_CSV_COLUMNS; i++)
        snug_text_putc(&text, ',');
    assert_int_equal(read_all(text.data, text.length - 1, snug_allocator_heap(), &out, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(read_all(text.data, text.length, snug_allocator_heap(), &out, NULL),
                     SNUG_STATUS_LIMIT);
    snug_text_clear(&text);
    for (size_t i = 0; i < SNUG_MAX_CSV_ROW_BYTES; i++)
        snug_text_putc(&text, 'a');
    snug_text_clear(&out);
    assert_int_equal(read_all(text.data, text.length, snug_allocator_heap(), &out, NULL),
                     SNUG_STATUS_LIMIT);
    snug_text_free(&text);
    snug_text_free(&out);
}

/* What the writer of cells writes, the reader reads. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const cells[] = {"a",          "",     " x ",      "\"", "a,b",
                                        "line\nline", "\r\n", "\xc3\xa9", "=1", "\"\""};
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    for (size_t i = 0; i < COUNT(cells); i++) {
        snug_text_puts(&text, i > 0 ? "," : "");
        snug_csv_put_cell(cells[i], &text);
    }
    struct snug_csv csv = {0};
    bool more = false;
    assert_int_equal(snug_csv_open(&csv, text.data, text.length, "t", snug_allocator_heap(), NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(snug_csv_next(&csv, &more, NULL), SNUG_STATUS_OK);
    assert_int_equal(csv.count, COUNT(cells));
    for (size_t i = 0; i < COUNT(cells); i++)
        assert_string_equal(csv.cells[i], cells[i]);
    snug_csv_close(&csv);
    snug_text_free(&text);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_text out;
        snug_text_init(&out, snug_allocator_heap(), 1 << 16);
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = read_all("a,b\nc", 5, &counting.allocator, &out, NULL);
        snug_text_free(&out);
        assert_int_equal(counting.live, 0);
        if (!counting.failed)
            break;
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
