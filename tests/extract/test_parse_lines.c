/* Answers made of lines, as models write them.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

static const struct {
    const char *what, *input, *expected;
} cases[] = {
    {"as asked", "SUPPLIER: Acme & Co\nABN: 12 345\nPAYER_NAME: NOT_FOUND\nQUANTITIES: 5 | 1 | 2",
     "SUPPLIER=Acme & Co\nABN=12 345\nPAYER_NAME=-\nQUANTITIES=5 | 1 | 2\n"},
    {"CRLF", "SUPPLIER: Acme\r\nABN: 12\r\n", "SUPPLIER=Acme\nABN=12\n"},
    {"old Mac line ends", "SUPPLIER: Acme\rABN: 12\r", "SUPPLIER=Acme\nABN=12\n"},
    {"no space behind the colon", "SUPPLIER:Acme\nABN :12", "SUPPLIER=Acme\nABN=12\n"},
    {"a colon within", "SUPPLIER: Acme: the shop\nSUPPLIER_WEBSITE: https://acme.com.au:80/x",
     "SUPPLIER=Acme: the shop\nSUPPLIER_WEBSITE=https://acme.com.au:80/x\n"},
    {"preamble",
     "Sure! Here are the extracted fields:\n\nABN: 12\n\nLet me know if you need more: just ask.",
     "ABN=12\n"},
    {"bold keys", "**ABN:** 12\n**TOTAL**: $5.00\n__GST__: $1\n*SUBTOTAL*: $4\n**SUPPLIER: Acme**",
     "SUPPLIER=Acme\nABN=12\nGST=$1\nTOTAL=$5.00\nSUBTOTAL=$4\n"},
    {"bold values", "ABN: **12 3**\nSUPPLIER: The **Big** Shop\nTOTAL: `$5`\nGST: \"$1\"",
     "SUPPLIER=The Big Shop\nABN=12 3\nGST=$1\nTOTAL=$5\n"},
    {"a fence", "```\nABN: 12\nTOTAL: $5\n```\nDone.", "ABN=12\nTOTAL=$5\n"},
    {"a fence with a language", "```yaml\nABN: 12\n```", "ABN=12\n"},
    {"bullets and numbers",
     "- ABN: 12\n* TOTAL: $5\n\xe2\x80\xa2 GST: $1\n4. SUBTOTAL: $4\n5) SUPPLIER: Acme",
     "SUPPLIER=Acme\nABN=12\nGST=$1\nTOTAL=$5\nSUBTOTAL=$4\n"},
    {"headings", "### ABN\n12 345\n## TOTAL:\n$5\n**GST**\n$1", "ABN=12 345\nGST=$1\nTOTAL=$5\n"},
    {"a table",
     "| Field | Value |\n|---|---|\n| ABN | 12 345 |\n| TOTAL | $5 |\n| PRICES | $1 | $2 |\n| "
     "PAYER_NAME | |",
     "ABN=12 345\nPAYER_NAME=-\nTOTAL=$5\nPRICES=$1 | $2\n"},
    {"a table with numbers and bold", "| 1 | **ABN** | 12 |\n| 2 | **TOTAL** | $5 |",
     "ABN=12\nTOTAL=$5\n"},
    {"a table with bars escaped", "| QUANTITIES | 5 \\| 1 |", "QUANTITIES=5 | 1\n"},
    {"a table lying on its side gives nothing wrong", "| ABN | TOTAL |\n|---|---|\n| 12 | $5 |",
     "?12=$5\n"},
    {"one line", "DOCUMENT_TYPE: RECEIPT SUPPLIER: Acme Pty Ltd ABN: 12 TOTAL: $5",
     "DOCUMENT_TYPE=RECEIPT\nSUPPLIER=Acme Pty Ltd\nABN=12\nTOTAL=$5\n"},
    {"one line with commas or bars", "SUPPLIER: Acme, ABN: 12 | TOTAL: $5; GST: $1",
     "SUPPLIER=Acme\nABN=12\nGST=$1\nTOTAL=$5\n"},
    {"one line in bold", "**SUPPLIER:** Acme **ABN:** 12 **TOTAL**: $5",
     "SUPPLIER=Acme\nABN=12\nTOTAL=$5\n"},
    {"one line of capitals with spaces", "INVOICE DATE: 1/2/2020 SUB TOTAL: $4 TOTAL: $5",
     "INVOICE_DATE=1/2/2020\nTOTAL=$5\nSUBTOTAL=$4\n"},
    {"one line with lists", "QUANTITIES: 1 | 2 PRICES: $1 | $2 DESCRIPTIONS: Milk | Bread",
     "QUANTITIES=1 | 2\nPRICES=$1 | $2\nDESCRIPTIONS=Milk | Bread\n"},
    {"one line, a list before a bar", "QUANTITIES: 1 | 2 | PRICES: $1 | $2",
     "QUANTITIES=1 | 2\nPRICES=$1 | $2\n"},
    {"the first real value wins", "ABN: NOT_FOUND\nABN: 12\nABN: 99\nTOTAL: $5\nTOTAL: NOT_FOUND",
     "ABN=12\nTOTAL=$5\n"},
    {"KEY: FIELD: value", "KEY: ABN: 12\nFIELD: TOTAL: $5", "ABN=12\nTOTAL=$5\n?KEY=\n?FIELD=\n"},
    {"field and value on two lines", "Field: ABN\nValue: 12\nField: TOTAL\nValue: $5",
     "ABN=12\nTOTAL=$5\n"},
    {"a key twice", "ABN: ABN: 12", "ABN=12\n"},
    {"hints repeated", "ABN (11 digits): 12\nTOTAL (amount including GST): $5",
     "ABN=12\nTOTAL=$5\n"},
    {"hints repeated, one line", "ABN (11 digits): 12 TOTAL (amount including GST): $5",
     "ABN=12\nTOTAL=$5\n"},
    {"other words for keys",
     "Description: Milk | Bread\nqty: 1 | 2\nUnit Price: $1 | $2\nInvoice Date: 1/2/2020",
     "INVOICE_DATE=1/2/2020\nQUANTITIES=1 | 2\nPRICES=$1 | $2\nDESCRIPTIONS=Milk | Bread\n"},
    {"escaped underscores", "PAYER\\_NAME: Bob\nTOTAL: \\$5", "PAYER_NAME=Bob\nTOTAL=$5\n"},
    {"commas for bars",
     "DESCRIPTIONS: Milk, Bread, Eggs\nQUANTITIES: 1,2,3\nPRICES: $1,234.00, $2.50",
     "QUANTITIES=1 | 2 | 3\nPRICES=$1,234.00 | $2.50\nDESCRIPTIONS=Milk | Bread | Eggs\n"},
    {"commas without spaces in amounts", "PRICES: $1.50,$2.50,$1,000.00",
     "PRICES=$1.50 | $2.50 | $1,000.00\n"},
    {"a bar keeps commas", "DESCRIPTIONS: Screws, 5 mm | Nails",
     "DESCRIPTIONS=Screws, 5 mm | Nails\n"},
    {"one amount with a comma", "PRICES: $1,234.00", "PRICES=$1,234.00\n"},
    {"semicolons for bars", "DESCRIPTIONS: Milk, fresh; Bread",
     "DESCRIPTIONS=Milk, fresh | Bread\n"},
    {"brackets and quotes", "DESCRIPTIONS: [\"Milk, fresh\", 'Bread']\nQUANTITIES: [1, 2]",
     "QUANTITIES=1 | 2\nDESCRIPTIONS=Milk, fresh | Bread\n"},
    {"items one a line", "DESCRIPTIONS:\n- Milk\n- Bread, white\n* Eggs\nTOTAL: $5",
     "TOTAL=$5\nDESCRIPTIONS=Milk | Bread, white | Eggs\n"},
    {"items one a line, numbered", "DESCRIPTIONS:\n1. Milk\n2. Bread\n\nQUANTITIES:\n1. 5\n2. 6\n",
     "QUANTITIES=5 | 6\nDESCRIPTIONS=Milk | Bread\n"},
    {"items one a line, bare", "PRICES:\n$1.00\n$2.00\n\nThanks.", "PRICES=$1.00 | $2.00\n"},
    {"items behind the key line", "DESCRIPTIONS: Milk |\nBread |\nEggs",
     "DESCRIPTIONS=Milk | Bread | Eggs\n"},
    {"items with a colon", "DESCRIPTIONS:\n- Delivery: express\n- Service: 2 hours\nGST: $1",
     "GST=$1\nDESCRIPTIONS=Delivery: express | Service: 2 hours\n"},
    {"<br> parts items", "DESCRIPTIONS: Milk<br>Bread<br/>Eggs\nPAYER_ADDRESS: 1 St<br>Perth",
     "PAYER_ADDRESS=1 St Perth\nDESCRIPTIONS=Milk | Bread | Eggs\n"},
    {"placeholders stay",
     "QUANTITIES: 5 | NOT_FOUND | 2\nPRICES: N/A | $2 | -\nDESCRIPTIONS: a | | c",
     "QUANTITIES=5 | NOT_FOUND | 2\nPRICES=N/A | $2 | -\nDESCRIPTIONS=a | NOT_FOUND | c\n"},
    {"placeholders alone are absent",
     "QUANTITIES: NOT_FOUND | NOT_FOUND\nPRICES: N/A\nDESCRIPTIONS: - | -",
     "QUANTITIES=-\nPRICES=-\nDESCRIPTIONS=-\n"},
    {"bars at both ends", "QUANTITIES: | 5 | 1 |", "QUANTITIES=5 | 1\n"},
    {"unknown keys stay apart",
     "ABN: 12\nINVOICE_NUMBER: 55\nTOTAL: $5\nCurrency: AUD\n**Due:** now\ninvoice_no: 3",
     "ABN=12\nTOTAL=$5\n?INVOICE_NUMBER=55\n?Currency=AUD\n?Due=now\n?invoice_no=3\n"},
    {"an unknown key ends a list", "DESCRIPTIONS:\nMilk\nBread\nInvoice Number: 7",
     "DESCRIPTIONS=Milk | Bread\n?Invoice Number=7\n"},
    {"special tokens",
     "<|im_start|>assistant\nABN: 12<|im_end|>\n<|im_start|>user\nTOTAL: $5</s>rest",
     "ABN=12\nTOTAL=$5\n"},
    {"what follows a turn is not the value",
     "SUPPLIER: Acme<|eot_id|><|start_header_id|>assistant<|end_header_id|>\nx", "SUPPLIER=Acme\n"},
    {"tokens within a value", "SUPPLIER: Ac<|x|>me <IMG_CONTEXT>Pty", "SUPPLIER=Acme Pty\n"},
    {"other signs behind the name", "ABN = 12\nTOTAL - $5\nGST\t$1\nSUBTOTAL \xe2\x86\x92 $4",
     "ABN=12\nGST=$1\nTOTAL=$5\nSUBTOTAL=$4\n"},
    {"a full-width colon",
     "ABN\xef\xbc\x9a"
     "12",
     "ABN=12\n"},
    {"an address on two lines", "PAYER_ADDRESS: 12 Main St\nSydney NSW 2000\nABN: 12",
     "ABN=12\nPAYER_ADDRESS=12 Main St Sydney NSW 2000\n"},
    {"the value on the next line", "SUPPLIER:\nAcme\nABN:\n\n12\n", "SUPPLIER=Acme\nABN=12\n"},
    {"absent does not go on",
     "PAYER_ADDRESS: NOT_FOUND\nThe invoice shows no address of the payer.", "PAYER_ADDRESS=-\n"},
    {"a remark in a bulleted list", "SUPPLIER: Acme\n- I am not quite sure about it",
     "SUPPLIER=Acme\n"},
    {"numbers do not go on", "TOTAL: $5\nThat is all", "TOTAL=$5\n"},
    {"a rule ends a value", "SUPPLIER: Acme\n---\nThat was it", "SUPPLIER=Acme\n"},
    {"links", "SUPPLIER_WEBSITE: [acme.com.au](http://acme.com.au)\nPAYER_EMAIL: <a@b.c>",
     "PAYER_EMAIL=a@b.c\nSUPPLIER_WEBSITE=acme.com.au\n"},
    {"quoted pairs", "\"ABN\": \"12 3\",\n'TOTAL': '$5',", "ABN=12 3\nTOTAL=$5\n"},
    {"quotes within stay", "SUPPLIER: The \"Big\" Shop\nDESCRIPTIONS: 5\" pipe | 'A' and 'B'",
     "SUPPLIER=The \"Big\" Shop\nDESCRIPTIONS=5\" pipe | 'A' and 'B'\n"},
    {"negative amounts are no bullets", "OPENING_BALANCE: -$5.00\nCLOSING_BALANCE:\n-$6.00",
     "OPENING_BALANCE=-$5.00\nCLOSING_BALANCE=-$6.00\n"},
    {"a remark behind an absent one", "ABN: NOT_FOUND (the document shows none)", "ABN=-\n"},
    {"non-ASCII values",
     "SUPPLIER: Caf\xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac\nABN:\xc2\xa0"
     "12\xc2\xa0\n",
     "SUPPLIER=Caf\xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac\nABN=12\n"},
    {"invalid UTF-8",
     "SUPPLIER: A\xff"
     "B\xe6\x9d",
     "SUPPLIER=A\xef\xbf\xbd"
     "B\xef\xbf\xbd\n"},
    {"control characters",
     "SUPPLIER: A\x01"
     "B\x07\tC\x1b[0m",
     "SUPPLIER=AB C[0m\n"},
    {"nothing", "", ""},
    {"just words", "The quick brown fox.\nNo fields here", ""},
};

static void test_cases(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(cases); i++)
        check_parse(schema, cases[i].input, cases[i].expected);
    snug_schema_free(schema);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *input, *name, *slice;
    } ranges[] = {
        {"ABN: 12 345\nTOTAL: $5", "ABN", "12 345"},
        {"**ABN:** **12 345**  \n", "ABN", "12 345"},
        {"ABN: NOT_FOUND\n", "ABN", "NOT_FOUND"},
        {"ABN: NOT_FOUND\nABN: 7", "ABN", "7"},
        {"ABN: 7\nABN: 8", "ABN", "7"},
        {"QUANTITIES: 5 | 1\n", "QUANTITIES", "5 | 1"},
        {"QUANTITIES: NOT_FOUND | 1\n", "QUANTITIES", "NOT_FOUND | 1"},
        {"DESCRIPTIONS:\n- Milk\n- Bread\n", "DESCRIPTIONS", "Milk\n- Bread"},
        {"SUPPLIER: Acme, ABN: 12", "SUPPLIER", "Acme"},
        {"{\"ABN\": \"12 3\"}", "ABN", "12 3"},
        {"{\"TOTAL\": 5.50, \"GST\": null}", "TOTAL", "5.50"},
        {"{\"TOTAL\": 5.50, \"GST\": null}", "GST", "null"},
        {"{\"QUANTITIES\": [5, 1]}", "QUANTITIES", "5, 1"},
    };
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(ranges); i++) {
        struct snug_answer answer = {0};
        const char *input = ranges[i].input;
        assert_int_equal(
            snug_answer_parse(schema, input, strlen(input), snug_allocator_heap(), &answer, NULL),
            SNUG_STATUS_OK);
        const struct snug_value *value = &answer.values[snug_schema_find(schema, ranges[i].name)];
        char slice[64];
        snprintf(slice, sizeof slice, "%.*s", (int)(value->end - value->start),
                 input + value->start);
        assert_string_equal(slice, ranges[i].slice);
        snug_answer_free(&answer);
    }
    snug_schema_free(schema);
}

static void test_lower_case_names(void **state)
{
    (void)state;
    struct snug_schema *schema =
        parse_schema("{\"name\": \"s\", \"absent\": \"MISSING\", \"fields\": [{\"name\": \"Invoice "
                     "number\", \"type\": "
                     "\"text\"}, {\"name\": \"value\", \"type\": \"money\"}, {\"name\": "
                     "\"e-mail\", \"type\": \"text\"}]}");
    check_parse(schema, "Invoice number: 5 value: $3 e-mail: a@b.c",
                "Invoice number=5\nvalue=$3\ne-mail=a@b.c\n");
    check_parse(schema, "INVOICE_NUMBER: MISSING\nValue: $3", "Invoice number=-\nvalue=$3\n");
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_lower_case_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
