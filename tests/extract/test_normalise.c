/* Amounts, numbers, texts, whole values.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/normalise.h"

#define NONE INT64_MIN

static void test_money(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t cents;
    } cases[] = {{"$45.10", 4510},
                 {"45.1", 4510},
                 {"45", 4500},
                 {" $ 1,234.50 ", 123450},
                 {"$1428.28", 142828},
                 {"1,234,567.89", 123456789},
                 {"12,34,567.00", 123456700},
                 {"1 234.50", 123450},
                 {"1'234.50", 123450},
                 {"1\xc2\xa0"
                  "234",
                  123400},
                 {"1.234,56", 123456},
                 {"1.234.567,8", 123456780},
                 {"5,5", 550},
                 {"5,50", 550},
                 {"5,500", 550000},
                 {"1.234", 123},
                 {"0.005", 1},
                 {"0.004", 0},
                 {"2.675", 268},
                 {"-0.005", -1},
                 {".50", 50},
                 {"AUD 5.00", 500},
                 {"5.00 AUD", 500},
                 {"A$5", 500},
                 {"AU$5.00", 500},
                 {"US$5", 500},
                 {"\xe2\x82\xac"
                  "5",
                  500},
                 {"\xc2\xa3"
                  "5.20",
                  520},
                 {"-$5.00", -500},
                 {"$-5.00", -500},
                 {"5.00-", -500},
                 {"\xe2\x88\x92"
                  "5",
                  -500},
                 {"($5.00)", -500},
                 {"(5.00) AUD", -500},
                 {"5.00 DR", -500},
                 {"5.00DR", -500},
                 {"$5.00 CR", 500},
                 {"5.00cr", 500},
                 {"+5", 500},
                 {"$0", 0},
                 {"999999999999999", 99999999999999900},
                 {"", NONE},
                 {"$", NONE},
                 {"abc", NONE},
                 {"5 | 6", NONE},
                 {"10 20", NONE},
                 {"1,2,3", NONE},
                 {"1,,000", NONE},
                 {"5.0.0", NONE},
                 {"$5 incl GST", NONE},
                 {"1234567890123456", NONE},
                 {"5 EA", NONE},
                 {"12/05/2024", NONE},
                 {"1,23", 123},
                 {",500", NONE},
                 {"1234,567", NONE},
                 {"--5", -500},
                 {"5%", NONE}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t cents = NONE;
        bool read = snug_normalise_money(cases[i].text, &cents);
        if (cents != cases[i].cents || read != (cases[i].cents != NONE))
            fail_msg("\"%s\" gave %lld, wanted %lld", cases[i].text, (long long)cents,
                     (long long)cases[i].cents);
    }
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {{"5", 50000},   {"2.5", 25000}, {"-1", -10000},    {"1,000", 10000000},
                 {"2 x", 20000}, {"x3", 30000},  {"0.33333", 3333}, {"0.66666", 6667},
                 {"$5", NONE},   {"five", NONE}, {"2 EA", NONE},    {"", NONE}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = NONE;
        snug_normalise_number(cases[i].text, &value);
        if (value != cases[i].value)
            fail_msg("\"%s\" gave %lld, wanted %lld", cases[i].text, (long long)value,
                     (long long)cases[i].value);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        enum snug_field_type type, item;
        const char *a, *b;
        bool same;
    } cases[] = {
        {SNUG_FIELD_TYPE_TEXT, 0, "Acme  Pty\tLtd ", "ACME PTY LTD", true},
        {SNUG_FIELD_TYPE_TEXT, 0, "Caf\xc3\xa9", "CAFE\xcc\x81", true},
        {SNUG_FIELD_TYPE_TEXT, 0,
         "Stra\xc3\x9f"
         "e",
         "STRASSE", true},
        {SNUG_FIELD_TYPE_TEXT, 0,
         "a\xc2\xa0"
         "b",
         "a b", true},
        {SNUG_FIELD_TYPE_TEXT, 0, "Acme", "Acne", false},
        {SNUG_FIELD_TYPE_TEXT, 0, "Acme", "Acme.", false},
        {SNUG_FIELD_TYPE_ENUM, 0, "Tax Invoice", "TAX INVOICE", true},
        {SNUG_FIELD_TYPE_ID, 0, "12 345 678", "12-345-678", true},
        {SNUG_FIELD_TYPE_ID, 0, "012", "12", false},
        {SNUG_FIELD_TYPE_ID, 0, "ABC", "abc", true},
        {SNUG_FIELD_TYPE_MONEY, 0, "$1,234.50", "1234.5 AUD", true},
        {SNUG_FIELD_TYPE_MONEY, 0, "$1.00", "$1.01", false},
        {SNUG_FIELD_TYPE_MONEY, 0, "about five", "About Five", true},
        {SNUG_FIELD_TYPE_DATE, 0, "05/01/2024", "5 January 2024", true},
        {SNUG_FIELD_TYPE_DATE, 0, "05/01/2024", "01/05/2024", false},
        {SNUG_FIELD_TYPE_DATE_RANGE, 0, "01/05/2024 to 31/05/2024", "1 May - 31 May 2024", true},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_MONEY, "$1 | 2.00", "1.00|AUD 2", true},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_MONEY, "$1 | $2", "$2 | $1", false},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_NUMBER, "5 | 1", "5.0 | 1", true},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_TEXT, "Milk | Bread", "milk|BREAD", true},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_TEXT, "Milk | NOT_FOUND", "Milk | N/A", true},
        {SNUG_FIELD_TYPE_LIST, SNUG_FIELD_TYPE_TEXT, "Milk | NOT_FOUND", "Milk", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_field field = {.type = cases[i].type, .item = cases[i].item};
        struct snug_text a, b;
        snug_text_init(&a, snug_allocator_heap(), 1000);
        snug_text_init(&b, snug_allocator_heap(), 1000);
        snug_normalise_value(&field, cases[i].a, &a);
        snug_normalise_value(&field, cases[i].b, &b);
        if ((strcmp(snug_text_c(&a), snug_text_c(&b)) == 0) != cases[i].same)
            fail_msg("\"%s\" gave \"%s\", \"%s\" gave \"%s\"", cases[i].a, snug_text_c(&a),
                     cases[i].b, snug_text_c(&b));
        snug_text_free(&a);
        snug_text_free(&b);
    }
}

static void test_digits(void **state)
{
    (void)state;
    struct snug_text out;
    snug_text_init(&out, snug_allocator_heap(), 100);
    assert_int_equal(snug_normalise_digits("a1 2-3\xd9\xa3", 8, &out), 3);
    assert_string_equal(snug_text_c(&out), "123");
    snug_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_money), cmocka_unit_test(test_number),
                                       cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
