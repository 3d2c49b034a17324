/* Schema files: the built-in one, errors, look-ups, every allocation refused.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

static void test_business_document(void **state)
{
    (void)state;
    static const char *const names[] = {"DOCUMENT_TYPE",
                                        "SUPPLIER",
                                        "ABN",
                                        "PAYER_NAME",
                                        "PAYER_ADDRESS",
                                        "PAYER_PHONE",
                                        "PAYER_EMAIL",
                                        "INVOICE_DATE",
                                        "DUE_DATE",
                                        "GST",
                                        "TOTAL",
                                        "SUBTOTAL",
                                        "QUANTITIES",
                                        "PRICES",
                                        "BUSINESS_ADDRESS",
                                        "BUSINESS_PHONE",
                                        "SUPPLIER_WEBSITE",
                                        "BANK_NAME",
                                        "BSB_NUMBER",
                                        "BANK_ACCOUNT_NUMBER",
                                        "ACCOUNT_HOLDER",
                                        "STATEMENT_PERIOD",
                                        "OPENING_BALANCE",
                                        "CLOSING_BALANCE",
                                        "DESCRIPTIONS"};
    struct snug_schema *schema = business_schema();
    assert_string_equal(schema->name, "business-document");
    assert_string_equal(schema->absent, "NOT_FOUND");
    assert_null(schema->prompt);
    assert_int_equal(schema->field_count, 25);
    for (size_t i = 0; i < 25; i++)
        assert_string_equal(schema->fields[i].name, names[i]);
    const struct snug_field *abn = &schema->fields[2], *prices = &schema->fields[13];
    assert_int_equal(abn->type, SNUG_FIELD_TYPE_ID);
    assert_int_equal(abn->digits, 11);
    assert_int_equal(abn->checksum, SNUG_CHECKSUM_ABN);
    assert_int_equal(prices->type, SNUG_FIELD_TYPE_LIST);
    assert_int_equal(prices->item, SNUG_FIELD_TYPE_MONEY);
    assert_int_equal(schema->fields[0].value_count, 3);
    assert_int_equal(schema->rule_count, 5);
    assert_int_equal(schema->rules[0].kind, SNUG_RULE_KIND_SUM);
    assert_int_equal(schema->rules[0].target, 10);
    assert_int_equal(schema->rules[4].field_count, 3);
    snug_schema_free(schema);
}

static void test_look_ups(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *name; /* NULL: none */
    } cases[] = {{"ABN", "ABN"},
                 {"a.b.n.", "ABN"},
                 {"**ABN**", "ABN"},
                 {"invoice date", "INVOICE_DATE"},
                 {"Invoice-Date", "INVOICE_DATE"},
                 {"DESCRIPTION", "DESCRIPTIONS"},
                 {"Quantity", "QUANTITIES"},
                 {"PRICE", "PRICES"},
                 {"Sub Total", "SUBTOTAL"},
                 {"GRAND TOTAL", "TOTAL"},
                 {"INVOICE_NUMBER", NULL},
                 {"", NULL},
                 {"...", NULL},
                 {"ABNX", NULL}};
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t field = snug_schema_match(schema, cases[i].key, strlen(cases[i].key));
        if (cases[i].name == NULL)
            assert_true(field == SNUG_NO_FIELD);
        else
            assert_string_equal(field == SNUG_NO_FIELD ? "(none)" : schema->fields[field].name,
                                cases[i].name);
    }
    char long_key[1000];
    memset(long_key, 'A', sizeof long_key);
    assert_true(snug_schema_match(schema, long_key, sizeof long_key) == SNUG_NO_FIELD);
    assert_int_equal(snug_schema_find(schema, "abn"), 2);
    assert_true(snug_schema_find(schema, "A.B.N.") == SNUG_NO_FIELD);
    snug_schema_free(schema);
}

static void test_guessed_singular(void **state)
{
    (void)state;
    /* A singular gives way to a field of that name. */
    struct snug_schema *schema = parse_schema(
        "{\"name\": \"s\", \"fields\": [{\"name\": \"Categories\", \"type\": \"list\"},"
        "{\"name\": \"Notes\", \"type\": \"list\"}, {\"name\": \"Note\", \"type\": \"text\"}]}");
    assert_int_equal(snug_schema_match(schema, "category", 8), 0);
    assert_int_equal(snug_schema_match(schema, "notes", 5), 1);
    assert_int_equal(snug_schema_match(schema, "note", 4), 2);
    snug_schema_free(schema);
}

static void test_select(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_error error = {0};
    size_t indices[3];
    const char *good[] = {"TOTAL", "abn"}, *unknown[] = {"TOTAL", "XYZ"},
               *twice[] = {"ABN", "TOTAL", "abn"};
    assert_int_equal(snug_schema_select(schema, good, 2, indices, &error), SNUG_STATUS_OK);
    assert_int_equal(indices[0], 10);
    assert_int_equal(indices[1], 2);
    assert_int_equal(snug_schema_select(schema, unknown, 2, indices, &error), SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "XYZ"));
    assert_non_null(strstr(error.message, "DOCUMENT_TYPE"));
    assert_int_equal(snug_schema_select(schema, twice, 3, indices, &error), SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "ABN"));
    snug_schema_free(schema);
}

#define F(body) "{\"name\": \"s\", \"fields\": [" body "]}"
#define R(body)                                                                                    \
    "{\"name\": \"s\", \"fields\": [{\"name\": \"A\", \"type\": \"money\"}, {\"name\": \"B\", "    \
    "\"type\": "                                                                                   \
    "\"list\"}, {\"name\": \"D\", \"type\": \"date\"}], \"rules\": [" body "]}"

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words; /* words: what the message must hold */
        enum snug_status status;
    } cases[] = {
        {"", "test.json", SNUG_STATUS_SCHEMA},
        {"{", "test.json", SNUG_STATUS_SCHEMA},
        {"[]", "object", SNUG_STATUS_SCHEMA},
        {"{\"name\": \"s\"}", "fields", SNUG_STATUS_SCHEMA},
        {"{\"fields\": []}", "name", SNUG_STATUS_SCHEMA},
        {"{\"name\": \"s\", \"fields\": []}", "at least one", SNUG_STATUS_SCHEMA},
        {"{\"name\": \"s/..\", \"fields\": [{\"name\": \"A\", \"type\": \"text\"}]}", "name",
         SNUG_STATUS_SCHEMA},
        {"{\"name\": \"s\", \"colour\": 1, \"fields\": []}", "colour", SNUG_STATUS_SCHEMA},
        {"{\"name\": \"s\", \"tables\": [], \"fields\": []}", "tables", SNUG_STATUS_UNSUPPORTED},
        {"{\"name\": \"s\", \"absent\": \"a|b\", \"fields\": []}", "absent", SNUG_STATUS_SCHEMA},
        {F("3"), "number 1", SNUG_STATUS_SCHEMA},
        {F("{\"type\": \"text\"}"), "no \"name\"", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\"}"), "field A", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"colour\"}"), "colour", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A:B\", \"type\": \"text\"}"), "A:B", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \" A\", \"type\": \"text\"}"), "inner spaces", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"\\u00e9\", \"type\": \"text\"}"), "letters", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"__\", \"type\": \"text\"}"), "no letter", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"size\": 1}"), "size", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"document_types\": []}"), "document_types",
         SNUG_STATUS_UNSUPPORTED},
        {F("{\"name\": \"A\", \"type\": \"text\", \"hint\": 4}"), "hint", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"hint\": \"a\\nb\"}"), "control",
         SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"required\": 1}"), "required",
         SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"digits\": 4}"), "type id", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"id\", \"digits\": 0}"), "digits", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"id\", \"checksum\": \"luhn\"}"), "luhn",
         SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"enum\"}"), "values", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"list\", \"item\": \"date\"}"), "items",
         SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\", \"aliases\": [\"\"]}"), "empty",
         SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\"}, {\"name\": \"a\", \"type\": \"text\"}"),
         "field a", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A_B\", \"type\": \"text\"}, {\"name\": \"A B\", \"type\": \"text\"}"),
         "A_B", SNUG_STATUS_SCHEMA},
        {F("{\"name\": \"A\", \"type\": \"text\"}, {\"name\": \"B\", \"type\": \"text\", "
           "\"aliases\": [\"a\"]}"),
         "field B", SNUG_STATUS_SCHEMA},
        {R("{\"of\": 3}"), "number 1", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"mean\"}"), "mean", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"sum\", \"of\": [\"A\"], \"equals\": \"X\"}"), "X", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"sum\", \"of\": [\"B\"], \"equals\": \"A\"}"), "B is of type list",
         SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"sum\", \"of\": [], \"equals\": \"A\"}"), "of", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"sum\", \"of\": [\"A\"], \"equals\": \"A\", \"x\": 1}"), "\"x\"",
         SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"dot\", \"of\": [\"B\", \"B\"], \"equals\": \"A\"}"), "list of money",
         SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"ratio\", \"of\": \"A\", \"to\": \"A\"}"), "value", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"order\", \"before\": \"D\", \"after\": \"A\"}"), "after",
         SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"same_length\", \"of\": [\"B\"]}"), "2", SNUG_STATUS_SCHEMA},
        {R("{\"rule\": \"sum\", \"of\": [\"A\"], \"equals\": \"A\", \"tolerance\": -1}"),
         "tolerance", SNUG_STATUS_SCHEMA},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_schema *schema = NULL;
        struct snug_error error = {0};
        enum snug_status status =
            snug_schema_parse(cases[i].text, strlen(cases[i].text), "test.json",
                              snug_allocator_heap(), &schema, &error);
        if (status != cases[i].status || schema != NULL ||
            strstr(error.message, cases[i].words) == NULL ||
            strstr(error.message, "test.json") == NULL)
            fail_msg("%s\ngave %s: %s\nwanted %s with \"%s\"", cases[i].text,
                     snug_status_text(status), error.message, snug_status_text(cases[i].status),
                     cases[i].words);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 4 << 20);
    snug_text_puts(&text, "{\"name\": \"s\", \"fields\": [");
    for (int i = 0; i <= SNUG_MAX_FIELDS; i++)
        snug_text_printf(&text, "%s{\"name\": \"F%d\", \"type\": \"text\"}", i > 0 ? "," : "", i);
    snug_text_puts(&text, "]}");
    struct snug_schema *schema = NULL;
    assert_int_equal(snug_schema_parse(text.data, text.length, "test.json", snug_allocator_heap(),
                                       &schema, NULL),
                     SNUG_STATUS_LIMIT);
    snug_text_clear(&text);
    snug_text_puts(&text, "{\"name\": \"s\", \"fields\": [{\"type\": \"text\", \"name\": \"");
    for (int i = 0; i <= SNUG_MAX_FIELD_NAME_BYTES; i++)
        snug_text_putc(&text, 'A');
    snug_text_puts(&text, "\"}]}");
    assert_int_equal(snug_schema_parse(text.data, text.length, "test.json", snug_allocator_heap(),
                                       &schema, NULL),
                     SNUG_STATUS_LIMIT);
    snug_text_free(&text);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_blob blob = read_repository_file("schemas/business-document.json");
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_schema *schema = NULL;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = snug_schema_parse((const char *)blob.data, blob.size, "test.json",
                                                    &counting.allocator, &schema, &error);
        snug_schema_free(schema);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
        assert_int_equal(error.status, SNUG_STATUS_MEMORY);
    }
    snug_blob_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_business_document),
                                       cmocka_unit_test(test_look_ups),
                                       cmocka_unit_test(test_guessed_singular),
                                       cmocka_unit_test(test_select),
                                       cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
