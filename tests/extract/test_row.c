/* Rows: from an answer to JSON and CSV.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json.h"
#include "extract/row.h"

#include <math.h>

static void test_empty_row(void **state)
{
    (void)state;
    struct snug_row row;
    struct snug_text text;
    snug_row_init(&row, snug_allocator_heap());
    row.document = "a.png";
    snug_row_set_error(&row, SNUG_STATUS_FORMAT, "a.png: no \"picture\"");
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    snug_row_put_jsonl(&row, &text);
    assert_string_equal(
        snug_text_c(&text),
        "{\"document\": \"a.png\", \"status\": \"error\", \"error\": {\"code\": \"bad_format\", "
        "\"message\": \"a.png: no \\\"picture\\\"\"}, \"fields\": null, \"raw\": null, \"finish\": "
        "null, "
        "\"model\": null, \"tokens\": null, \"timing_ms\": null, \"rung\": null, \"moves\": []}\n");
    const char *names[] = {"A", "B"};
    snug_text_clear(&text);
    snug_row_put_csv(&row, names, 2, "NOT_FOUND", &text);
    assert_string_equal(snug_text_c(&text), "a.png,error,,\n");
    snug_text_free(&text);
    snug_row_free(&row);
    snug_row_free(&row);
}

static void fill_row(struct snug_row *row, const struct snug_schema *schema, const size_t *asked,
                     size_t count)
{
    static const char raw[] = "SUPPLIER: Acme, \"Big\" Shop\nABN: 56 776 904 579\nGST: NOT_FOUND";
    struct snug_answer answer = {0};
    double confidences[25];
    snug_row_init(row, snug_allocator_heap());
    assert_int_equal(
        snug_answer_parse(schema, raw, strlen(raw), snug_allocator_heap(), &answer, NULL),
        SNUG_STATUS_OK);
    for (size_t i = 0; i < 25; i++)
        confidences[i] = (double)NAN;
    confidences[1] = 0.98765;
    confidences[2] = 1;
    confidences[9] = 0.5;
    row->document = "x/a.png";
    row->raw = raw;
    row->raw_bytes = strlen(raw);
    row->finish = "stop";
    row->model = "snug-nano";
    row->rung = "cpu";
    row->moves[0] = (struct snug_row_move){3, "stream", "cpu", "device"};
    row->move_count = 1;
    row->tokens = (struct snug_row_tokens){256, 431, 212};
    row->timing = (struct snug_timing){3.14, 210, 150.25, 900.7, 1264};
    assert_int_equal(snug_row_set_answer(row, schema, asked, count, &answer, confidences, NULL),
                     SNUG_STATUS_OK);
    snug_answer_free(&answer);
}

static void test_json(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_row row;
    struct snug_text text;
    const size_t asked[] = {2, 1, 9};
    fill_row(&row, schema, asked, 3);
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    snug_row_put_json(&row, &text);
    assert_string_equal(snug_text_c(&text),
                        "{\"document\": \"x/a.png\", \"status\": \"ok\", \"error\": null, "
                        "\"fields\": {\"ABN\": {\"value\": \"56 776 904 "
                        "579\", \"confidence\": 1, \"warnings\": [\"checksum: 56 776 904 579 is no "
                        "valid ABN\"]}, \"SUPPLIER\": "
                        "{\"value\": \"Acme, \\\"Big\\\" Shop\", \"confidence\": 0.9877, "
                        "\"warnings\": []}, \"GST\": {\"value\": null, "
                        "\"confidence\": 0.5, \"warnings\": []}}, \"raw\": \"SUPPLIER: Acme, "
                        "\\\"Big\\\" Shop\\nABN: 56 776 904 579\\nGST: "
                        "NOT_FOUND\", \"finish\": \"stop\", \"model\": \"snug-nano\", \"tokens\": "
                        "{\"image\": 256, \"prompt\": 431, "
                        "\"output\": 212}, \"timing_ms\": {\"decode_image\": 3.1, \"vision\": 210, "
                        "\"prefill\": 150.2, \"decode\": 900.7, "
                        "\"total\": 1264}, \"rung\": \"cpu\", \"moves\": [{\"token\": 3, \"from\": "
                        "\"stream\", \"to\": \"cpu\", "
                        "\"why\": \"device\"}]}");
    row.tokens.output = -1;
    row.timing.decode = (double)NAN;
    snug_text_clear(&text);
    snug_row_put_json(&row, &text);
    assert_non_null(strstr(snug_text_c(&text), "\"output\": null}"));
    assert_non_null(strstr(snug_text_c(&text), "\"decode\": null"));
    snug_text_clear(&text);
    snug_row_put_array_element(&row, true, &text);
    snug_row_put_array_element(&row, false, &text);
    snug_row_put_array_end(false, &text);
    json_t *root = NULL;
    assert_int_equal(snug_json_parse(text.data, text.length, false, "array", &root, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(json_array_size(root), 2);
    json_decref(root);
    snug_text_clear(&text);
    snug_row_put_array_end(true, &text);
    assert_string_equal(snug_text_c(&text), "[]\n");
    snug_text_free(&text);
    snug_row_free(&row);
    snug_schema_free(schema);
}

static void test_rules_of_unasked_fields_are_silent(void **state)
{
    (void)state;
    static const char raw[] = "SUBTOTAL: $10\nGST: $5\nTOTAL: $11";
    struct snug_schema *schema = business_schema();
    struct snug_answer answer = {0};
    struct snug_row row;
    const size_t asked[] = {9, 10};
    assert_int_equal(
        snug_answer_parse(schema, raw, strlen(raw), snug_allocator_heap(), &answer, NULL),
        SNUG_STATUS_OK);
    snug_row_init(&row, snug_allocator_heap());
    assert_int_equal(snug_row_set_answer(&row, schema, asked, 2, &answer, NULL, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(row.fields[0].warning_count, 0);
    snug_row_free(&row);
    snug_row_init(&row, snug_allocator_heap());
    assert_int_equal(snug_row_set_answer(&row, schema, NULL, 0, &answer, NULL, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(row.field_count, 25);
    assert_int_equal(row.fields[9].warning_count, 2); /* sum and ratio */
    assert_int_equal(row.fields[10].warning_count, 1);
    assert_int_equal(row.fields[11].warning_count, 2);
    snug_row_free(&row);
    snug_answer_free(&answer);
    snug_schema_free(schema);
}

static void test_csv(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_row row;
    struct snug_text text;
    const size_t asked[] = {1, 2, 9};
    const char *names[] = {"SUPPLIER", "GST", "ABN", "TOTAL"};
    fill_row(&row, schema, asked, 3);
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    snug_row_put_csv_header(names, 4, &text);
    snug_row_put_csv(&row, names, 4, "NOT_FOUND", &text);
    assert_string_equal(snug_text_c(&text),
                        "image_file,status,SUPPLIER,GST,ABN,TOTAL\n"
                        "x/a.png,ok,\"Acme, \"\"Big\"\" Shop\",NOT_FOUND,56 776 904 579,\n");
    static const struct {
        const char *text, *cell;
    } cells[] = {{"a", "a"},           {"", ""},         {"a,b", "\"a,b\""}, {"a\"b", "\"a\"\"b\""},
                 {"a\nb", "\"a\nb\""}, {" a", "\" a\""}, {"a ", "\"a \""},   {"=1+1", "=1+1"}};
    for (size_t i = 0; i < COUNT(cells); i++) {
        snug_text_clear(&text);
        snug_csv_put_cell(cells[i].text, &text);
        assert_string_equal(snug_text_c(&text), cells[i].cell);
    }
    snug_text_free(&text);
    snug_row_free(&row);
    snug_schema_free(schema);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_answer answer = {0};
    assert_int_equal(snug_answer_parse(schema, "ABN: 1", 6, snug_allocator_heap(), &answer, NULL),
                     SNUG_STATUS_OK);
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_row row;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_row_init(&row, &counting.allocator);
        enum snug_status status = snug_row_set_answer(&row, schema, NULL, 0, &answer, NULL, NULL);
        if (status != SNUG_STATUS_OK)
            snug_row_set_error(&row, status, "no memory");
        assert_true(status == SNUG_STATUS_OK || row.error_message != NULL);
        snug_row_free(&row);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    snug_answer_free(&answer);
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_row), cmocka_unit_test(test_json),
        cmocka_unit_test(test_rules_of_unasked_fields_are_silent), cmocka_unit_test(test_csv),
        cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
