/* Tables for people: alignment, wrapping, width.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/row.h"

#include <math.h>
#include <utf8proc.h>

static int widest(const char *text)
{
    int widest_line = 0, columns = 0;
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        uint32_t code;
        int step = snug_utf8_decode((const unsigned char *)text + at, length - at, &code);
        assert_true(step > 0);
        at += (size_t)step;
        columns = code == '\n' ? 0 : columns + utf8proc_charwidth((utf8proc_int32_t)code);
        widest_line = columns > widest_line ? columns : widest_line;
    }
    return widest_line;
}

static void check(const struct snug_row *row, const char *expected)
{
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 20);
    snug_row_put_table(row, &text);
    assert_string_equal(snug_text_c(&text), expected);
    assert_true(widest(snug_text_c(&text)) <= 80);
    snug_text_free(&text);
}

static void test_table(void **state)
{
    (void)state;
    const char *warnings[] = {"checksum: 12 is no valid ABN"};
    struct snug_row_field fields[] = {
        {.name = "SUPPLIER", .value = "Caf\xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac", .confidence = 0.98},
        {.name = "ABN", .value = "12", .confidence = 1, .warnings = warnings, .warning_count = 1},
        {.name = "PAYER_NAME", .confidence = 0.9},
        {.name = "DESCRIPTIONS",
         .confidence = (double)NAN,
         .value = "Notebook | Towels | Room Service | Cable Ties | Coffee Large | Room Service | "
                  "Yoghurt"},
        {.name = "GST", .confidence = 0.9},
    };
    struct snug_row row = {.document = "a.png", .fields = fields, .field_count = 5};
    check(&row, "a.png\n"
                "  SUPPLIER      Caf\xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac                              "
                "                      98%\n"
                "  ABN           12                                                          100%\n"
                "                ! checksum: 12 is no valid ABN\n"
                "  DESCRIPTIONS  Notebook | Towels | Room Service | Cable Ties | Coffee\n"
                "                Large | Room Service | Yoghurt\n"
                "  not found: PAYER_NAME, GST\n\n");
    row.status = SNUG_ROW_STATUS_PARTIAL;
    row.finish = "length";
    row.field_count = 0;
    check(&row, "a.png\n  ! partial: the answer was cut off at the token limit\n\n");
    row.finish = "loop";
    check(&row, "a.png\n  ! partial: the model began to repeat itself\n\n");
    row.status = SNUG_ROW_STATUS_ERROR;
    row.error_message = "a.png: damaged";
    check(&row, "a.png\n  ! a.png: damaged\n\n");
}

static void test_width(void **state)
{
    (void)state;
    char name[129], value[2000];
    memset(name, 'N', 128);
    name[128] = '\0';
    struct snug_row_field fields[40];
    for (size_t i = 0; i < 40; i++) {
        fields[i] = (struct snug_row_field){
            .name = i % 2 ? "SOME_FIELD_NAME" : "A_RATHER_LONG_FIELD_NAME_OF_THIS_SCHEMA",
            .value = i % 3 ? value : NULL,
            .confidence = (double)i / 40};
    }
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (size_t i = 100; i < 1000; i += 7)
        memcpy(value + i, i % 2 ? "\xe6\x9d\xb1" : " \x1b\n", 3);
    struct snug_row row = {.document = value, .fields = fields, .field_count = 40};
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 20);
    snug_row_put_table(&row, &text);
    assert_true(widest(snug_text_c(&text)) <= 80);
    assert_null(strchr(snug_text_c(&text), '\x1b'));
    snug_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_width)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
