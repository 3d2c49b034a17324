/* Warnings of fields and rules.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/validate.h"

static void test_abn(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {{"51 824 753 556", true},  {"56 776 904 578", true},
                 {"48667076130", true},     {"51 824 753 557", false},
                 {"15 824 753 556", false}, {"5182475355", false},
                 {"518247535561", false},   {"", false}};
    for (size_t i = 0; i < COUNT(cases); i++)
        if (snug_abn_valid(cases[i].text) != cases[i].valid)
            fail_msg("%s: not %d", cases[i].text, cases[i].valid);
}

/* fields: "NAME=value;..."; expected: "NAME: text" lines. */
static void check(const struct snug_schema *schema, const char *fields, const char *expected)
{
    char copy[1024], *values[64] = {0};
    snprintf(copy, sizeof copy, "%s", fields);
    for (char *at = copy; *at != '\0';) {
        char *end = strchr(at, ';'), *equals = strchr(at, '=');
        assert_non_null(end);
        *end = *equals = '\0';
        size_t field = snug_schema_find(schema, at);
        assert_true(field < 64);
        values[field] = equals + 1;
        at = end + 1;
    }
    struct snug_warnings warnings = {0};
    struct snug_text text;
    assert_int_equal(
        snug_validate(schema, (const char *const *)values, snug_allocator_heap(), &warnings, NULL),
        SNUG_STATUS_OK);
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    for (size_t i = 0; i < warnings.count; i++) {
        const char *code = snug_warning_code_text(warnings.items[i].code);
        assert_int_equal(strncmp(warnings.items[i].text, code, strlen(code)), 0);
        snug_text_printf(&text, "%s: %s\n", schema->fields[warnings.items[i].field].name,
                         warnings.items[i].text);
    }
    if (strcmp(snug_text_c(&text), expected) != 0)
        fail_msg("for %s got\n%swanted\n%s", fields, snug_text_c(&text), expected);
    snug_text_free(&text);
    snug_warnings_free(&warnings);
}

static void test_business_document(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    check(schema, "", "");
    check(schema,
          "DOCUMENT_TYPE=TAX INVOICE;ABN=56 776 904 "
          "578;INVOICE_DATE=22/09/2022;DUE_DATE=04/06/2025;GST=$45.10;"
          "TOTAL=$496.11;SUBTOTAL=$451.01;QUANTITIES=5 | 1 | 2 | 2;PRICES=$74.29 | $2.26 | $31.09 "
          "| $7.56;"
          "DESCRIPTIONS=a | b | c | d;",
          "");
    check(schema, "ABN=56 776 904 579;", "ABN: checksum: 56 776 904 579 is no valid ABN\n");
    check(schema, "ABN=56 776 904;BSB_NUMBER=074-345;",
          "ABN: digits: 8 digits where 11 are needed\n");
    check(schema, "BSB_NUMBER=074;", "BSB_NUMBER: digits: 3 digits where 6 are needed\n");
    check(schema, "DOCUMENT_TYPE=Invoice;",
          "DOCUMENT_TYPE: unknown_value: \"Invoice\" is none of the values of the schema\n");
    check(schema, "DOCUMENT_TYPE=tax  invoice;", "");
    check(schema, "GST=four;INVOICE_DATE=soon;STATEMENT_PERIOD=May;",
          "INVOICE_DATE: unreadable_date: \"soon\"\nGST: unreadable_amount: \"four\"\n"
          "STATEMENT_PERIOD: unreadable_date_range: \"May\"\n");
    check(schema, "QUANTITIES=1 | NOT_FOUND | x;PRICES=N/A | 2;",
          "QUANTITIES: unreadable_number: item 3 is \"x\"\n");
    const char *sum = "sum: SUBTOTAL + GST is 11.00, TOTAL says 12.00\n";
    char expected[512];
    snprintf(expected, sizeof expected, "GST: %sTOTAL: %sSUBTOTAL: %s", sum, sum, sum);
    check(schema, "SUBTOTAL=10.00;GST=1.00;TOTAL=$12;", expected);
    check(schema, "SUBTOTAL=10.00;GST=1.00;TOTAL=11.01;", ""); /* within the tolerance */
    check(schema, "SUBTOTAL=10.00;TOTAL=$12;", "");            /* an absent operand: silent */
    check(schema, "SUBTOTAL=10.00;GST=one;TOTAL=$12;", "GST: unreadable_amount: \"one\"\n");
    check(schema, "SUBTOTAL=10.00;GST=1.50;",
          "GST: ratio: GST 1.50 is not 0.1 of SUBTOTAL 10.00\n"
          "SUBTOTAL: ratio: GST 1.50 is not 0.1 of SUBTOTAL 10.00\n");
    const char *dot =
        "quantities_times_prices: sum of QUANTITIES x PRICES is 11.50, SUBTOTAL says 12.00\n";
    snprintf(expected, sizeof expected, "SUBTOTAL: %sQUANTITIES: %sPRICES: %s", dot, dot, dot);
    check(schema, "SUBTOTAL=12.00;QUANTITIES=2 | 1.5;PRICES=$5 | $1;", expected);
    check(schema, "SUBTOTAL=12.00;QUANTITIES=2 | NOT_FOUND;PRICES=$5 | $1;", "");
    check(schema, "INVOICE_DATE=05/01/2024;DUE_DATE=04/01/2024;",
          "INVOICE_DATE: date_order: INVOICE_DATE 05/01/2024 is later than DUE_DATE 04/01/2024\n"
          "DUE_DATE: date_order: INVOICE_DATE 05/01/2024 is later than DUE_DATE 04/01/2024\n");
    check(schema, "INVOICE_DATE=05/01/2024;DUE_DATE=5 Jan 2024;", "");
    const char *lengths =
        "list_lengths: DESCRIPTIONS has 1, QUANTITIES has 2, PRICES has 2 items\n";
    snprintf(expected, sizeof expected, "QUANTITIES: %sPRICES: %sDESCRIPTIONS: %s", lengths,
             lengths, lengths);
    check(schema, "QUANTITIES=2 | 1;PRICES=$5 | $1;DESCRIPTIONS=a;", expected);
    check(schema, "DESCRIPTIONS=a | b;OPENING_BALANCE=$5;CLOSING_BALANCE=5.00 DR;",
          ""); /* a statement */
    snug_schema_free(schema);
}

static void test_required(void **state)
{
    (void)state;
    struct snug_schema *schema =
        parse_schema("{\"name\": \"s\", \"fields\": [{\"name\": \"A\", \"type\": \"number\", "
                     "\"required\": true}, {\"name\": "
                     "\"B\", \"type\": \"number\"}], \"rules\": [{\"rule\": \"sum\", \"of\": "
                     "[\"A\", \"A\"], \"equals\": "
                     "\"B\", \"tolerance\": 0}]}");
    check(schema, "B=2;", "A: required_absent: A is needed and was not found\n");
    check(schema, "A=1;B=2;", "");
    /* A field that a rule names twice gets its warning once. */
    check(schema, "A=1;B=2.001;",
          "A: sum: A + A is 2.00, B says 2.00\nB: sum: A + A is 2.00, B says 2.00\n");
    snug_schema_free(schema);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    const char *values[25] = {[0] = "x", [2] = "1", [9] = "1", [10] = "9", [11] = "2"};
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_warnings warnings = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status =
            snug_validate(schema, values, &counting.allocator, &warnings, NULL);
        snug_warnings_free(&warnings);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abn), cmocka_unit_test(test_business_document),
        cmocka_unit_test(test_required), cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
