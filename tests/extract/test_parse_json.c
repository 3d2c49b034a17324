/* Answers that are JSON, whole or not.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

static const struct {
    const char *what, *input, *expected;
} cases[] = {
    {"an object",
     "{\"ABN\": \"12 3\", \"TOTAL\": 5.50, \"GST\": null, \"PAYER_NAME\": \"\", \"foo\": \"bar\"}",
     "ABN=12 3\nPAYER_NAME=-\nGST=-\nTOTAL=5.50\n?foo=bar\n"},
    {"in a fence, with words around",
     "Here it is:\n```json\n{\n  \"abn\": \"12\",\n  \"total\": \"$5\"\n}\n```\nBye: now",
     "ABN=12\nTOTAL=$5\n"},
    {"lists",
     "{\"QUANTITIES\": [5, 1], \"PRICES\": [\"$1\", null], \"DESCRIPTIONS\": [\"a | b\", \"c\"]}",
     "QUANTITIES=5 | 1\nPRICES=$1 | NOT_FOUND\nDESCRIPTIONS=a | b | c\n"},
    {"a list as one string",
     "{\"QUANTITIES\": \"5 | 1\", \"PRICES\": \"$1,000.00, $2.00\", \"DESCRIPTIONS\": \"Milk\"}",
     "QUANTITIES=5 | 1\nPRICES=$1,000.00 | $2.00\nDESCRIPTIONS=Milk\n"},
    {"placeholders",
     "{\"QUANTITIES\": [\"N/A\", 1], \"PRICES\": [null, \"NOT_FOUND\"], \"DESCRIPTIONS\": []}",
     "QUANTITIES=N/A | 1\nPRICES=-\nDESCRIPTIONS=-\n"},
    {"cut in a string", "{\"ABN\": \"12\", \"SUPPLIER\": \"Acme P", "SUPPLIER=Acme P\nABN=12\n"},
    {"cut in a list", "{\"ABN\": \"12\", \"DESCRIPTIONS\": [\"Milk\", \"Br",
     "ABN=12\nDESCRIPTIONS=Milk | Br\n"},
    {"cut behind a key", "{\"ABN\": \"12\", \"TOTAL\":", "ABN=12\nTOTAL=-\n"},
    {"cut in a key", "{\"ABN\": \"12\", \"TOT", "ABN=12\n"},
    {"cut with a token", "{\"ABN\": \"12\", \"SUPPLIER\": \"Acme<|im_end|>",
     "SUPPLIER=Acme\nABN=12\n"},
    {"single quotes and trailing commas", "{'ABN': '12', 'SUPPLIER': \"Bob's\", }",
     "SUPPLIER=Bob's\nABN=12\n"},
    {"escapes",
     "{\"SUPPLIER\": \"Caf\\u00e9 \\\"A\\\" \\ud83d\\ude00\\n\\/x\", \"ABN\": \"\\ud83d\"}",
     "SUPPLIER=Caf\xc3\xa9 \"A\" \xf0\x9f\x98\x80 /x\nABN=\xef\xbf\xbd\n"},
    {"nested objects",
     "{\"supplier\": {\"name\": \"Acme\", \"abn\": \"12\", \"address\": \"1 St\"}, \"payer\": "
     "{\"name\": "
     "\"Bob\", \"address\": \"2 St\", \"phone\": \"03\"}}",
     "SUPPLIER=Acme\nABN=12\nPAYER_NAME=Bob\nPAYER_ADDRESS=2 "
     "St\nPAYER_PHONE=03\nBUSINESS_ADDRESS=1 St\n"},
    {"an address in parts",
     "{\"PAYER_ADDRESS\": {\"street\": \"1 St\", \"unit\": null, \"city\": \"Perth\"}}",
     "PAYER_ADDRESS=1 St, Perth\n"},
    {"a scalar as a list", "{\"PAYER_ADDRESS\": [\"1 St\", \"Perth\"]}",
     "PAYER_ADDRESS=1 St, Perth\n"},
    {"values with a confidence", "{\"ABN\": {\"value\": \"12\", \"confidence\": 0.9, \"page\": 1}}",
     "ABN=12\n"},
    {"our own rows",
     "{\"fields\": {\"ABN\": {\"value\": \"12\", \"confidence\": 0.9, \"warnings\": [\"x\"]}}}",
     "ABN=12\n"},
    {"field and value",
     "[{\"field\": \"ABN\", \"type\": \"id\", \"value\": \"12\"}, {\"name\": \"TOTAL\", \"value\": "
     "5}]",
     "ABN=12\nTOTAL=5\n"},
    {"line items",
     "{\"items\": [{\"description\": \"Milk\", \"qty\": 1, \"unit_price\": 2.5, \"total\": 9, "
     "\"code\": \"A\"}, "
     "{\"description\": \"Bread\", \"unit_price\": 3}, {\"name\": \"Eggs\", \"qty\": 2}], "
     "\"total\": 20}",
     "TOTAL=20\nQUANTITIES=1 | NOT_FOUND | 2\nPRICES=2.5 | 3 | NOT_FOUND\nDESCRIPTIONS=Milk | "
     "Bread | Eggs\n"},
    {"line items under an unknown key",
     "{\"transactions\": [{\"description\": \"A\"}, {\"description\": \"B\"}]}",
     "DESCRIPTIONS=A | B\n"},
    {"rows that begin late",
     "{\"items\": [{\"description\": \"A\"}, {\"description\": \"B\", \"qty\": 3}]}",
     "QUANTITIES=NOT_FOUND | 3\nDESCRIPTIONS=A | B\n"},
    {"pages",
     "{\"pages\": [{\"ABN\": \"12\", \"DESCRIPTIONS\": [\"a\", \"b\"]}, {\"ABN\": \"9\", "
     "\"TOTAL\": 5}]}",
     "ABN=12\nTOTAL=5\nDESCRIPTIONS=a | b\n"},
    {"two objects", "{\"ABN\": \"12\"}\n{\"ABN\": \"13\", \"TOTAL\": 5}", "ABN=12\nTOTAL=5\n"},
    {"the first real value wins", "{\"ABN\": null, \"a.b.n.\": \"12\", \"ABN\": \"13\"}",
     "ABN=12\n"},
    {"nested arrays", "{\"DESCRIPTIONS\": [[\"a\", \"b\"], [\"c\"]]}", "DESCRIPTIONS=a | b | c\n"},
    {"bare words", "{\"ABN\": 12 345, \"SUPPLIER\": Acme, \"TOTAL\": true}",
     "SUPPLIER=Acme\nABN=12 345\nTOTAL=true\n"},
    {"not an object of ours", "ABN: 12\nSUPPLIER: {\"x\": 1}", "SUPPLIER={\"x\": 1}\nABN=12\n"},
    {"rubbish", "{\"ABN\" \"12\" ]]}}{{\"TOTAL\": \"5\"}", "TOTAL=5\n"},
    {"lines with a brace", "{ABN: 12,\nTOTAL: $5}", "ABN=12,\nTOTAL=$5}\n"},
};

static void test_cases(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(cases); i++)
        check_parse(schema, cases[i].input, cases[i].expected);
    snug_schema_free(schema);
}

/* Deeper than any document: read flat from there on, without a crash. */
static void test_depth(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 8 << 20);
    for (int i = 0; i < 200000; i++)
        snug_text_puts(&text, "{\"a\": [");
    snug_text_puts(&text, "{\"ABN\": \"12\"}");
    struct snug_answer answer = {0};
    assert_int_equal(
        snug_answer_parse(schema, text.data, text.length, snug_allocator_heap(), &answer, NULL),
        SNUG_STATUS_OK);
    check_answer(&answer, text.length);
    snug_answer_free(&answer);
    snug_text_free(&text);
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_depth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
