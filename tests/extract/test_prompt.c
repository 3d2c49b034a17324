/* The prompt, to the byte.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/prompt.h"

#define HEAD                                                                                       \
    "Extract the following fields from this business document.\nWrite one line per field, "        \
    "exactly as FIELD: "                                                                           \
    "value, in this order. Write NOT_FOUND where the document does not show the field.\n"

static void check(const struct snug_schema *schema, const size_t *fields, size_t count, bool hints,
                  const char *expected)
{
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 20);
    assert_int_equal(snug_prompt_write(schema, fields, count, hints, &text, NULL), SNUG_STATUS_OK);
    assert_string_equal(snug_text_c(&text), expected);
    snug_text_free(&text);
}

static void test_business_document(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    check(schema, NULL, 0, false,
          HEAD
          "DOCUMENT_TYPE\nSUPPLIER\nABN\nPAYER_NAME\nPAYER_ADDRESS\nPAYER_PHONE\nPAYER_"
          "EMAIL\nINVOICE_DATE\n"
          "DUE_DATE\nGST\nTOTAL\nSUBTOTAL\nQUANTITIES\nPRICES\nBUSINESS_ADDRESS\nBUSINESS_PHONE\n"
          "SUPPLIER_WEBSITE\nBANK_NAME\nBSB_NUMBER\nBANK_ACCOUNT_NUMBER\nACCOUNT_HOLDER\n"
          "STATEMENT_PERIOD\nOPENING_BALANCE\nCLOSING_BALANCE\nDESCRIPTIONS");
    check(schema, NULL, 0, true,
          HEAD "DOCUMENT_TYPE (TAX INVOICE, RECEIPT or BANK STATEMENT)\nSUPPLIER\nABN (11 "
               "digits)\nPAYER_NAME\n"
               "PAYER_ADDRESS\nPAYER_PHONE\nPAYER_EMAIL\nINVOICE_DATE (DD/MM/YYYY)\nDUE_DATE "
               "(DD/MM/YYYY)\nGST\n"
               "TOTAL (amount including GST)\nSUBTOTAL (amount before GST)\nQUANTITIES (list, "
               "separated by |)\n"
               "PRICES (list, separated by "
               "|)\nBUSINESS_ADDRESS\nBUSINESS_PHONE\nSUPPLIER_WEBSITE\nBANK_NAME\n"
               "BSB_NUMBER\nBANK_ACCOUNT_NUMBER\nACCOUNT_HOLDER\nSTATEMENT_PERIOD (from "
               "to)\nOPENING_BALANCE\n"
               "CLOSING_BALANCE\nDESCRIPTIONS (list, separated by |)");
    size_t some[] = {10, 2};
    check(schema, some, 2, false, HEAD "TOTAL\nABN");
    check(schema, some, 2, true, HEAD "TOTAL (amount including GST)\nABN (11 digits)");
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 20);
    assert_int_equal(snug_prompt_write(schema, some, 0, false, &text, NULL), SNUG_STATUS_USAGE);
    snug_text_free(&text);
    snug_text_init(&text, snug_allocator_heap(), 100);
    assert_int_equal(snug_prompt_write(schema, NULL, 0, false, &text, NULL), SNUG_STATUS_LIMIT);
    snug_text_free(&text);
    snug_schema_free(schema);
}

static void test_own_words(void **state)
{
    (void)state;
    struct snug_schema *schema =
        parse_schema("{\"name\": \"s\", \"prompt\": \"Read this.\\nNow.\", \"fields\": "
                     "[{\"name\": \"A\", \"type\": \"text\"}]}");
    check(schema, NULL, 0, false, "Read this.\nNow.\nA");
    snug_schema_free(schema);
    schema = parse_schema("{\"name\": \"s\", \"prompt\": \"Read.\\n\", \"fields\": "
                          "[{\"name\": \"A\", \"type\": \"text\"}]}");
    check(schema, NULL, 0, false, "Read.\nA");
    snug_schema_free(schema);
    schema = parse_schema(
        "{\"name\": \"s\", \"absent\": \"MISSING\", \"fields\": [{\"name\": \"A\", \"type\": "
        "\"text\"}]}");
    check(schema, NULL, 0, false,
          "Extract the following fields from this business document.\nWrite one line per field, "
          "exactly as FIELD: "
          "value, in this order. Write MISSING where the document does not show the field.\nA");
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_business_document),
                                       cmocka_unit_test(test_own_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
