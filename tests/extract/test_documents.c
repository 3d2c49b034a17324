/* Truth and results read back from files.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/documents.h"

#include <math.h>

typedef enum snug_status parse_fn(const char *data, size_t length, const char *name,
                                  const struct snug_schema *schema,
                                  const struct snug_allocator *allocator,
                                  struct snug_documents *out, struct snug_error *error);

static struct snug_schema *small_schema(void)
{
    return parse_schema("{\"name\": \"s\", \"absent\": \"MISSING\", \"fields\": [{\"name\": \"A\", "
                        "\"type\": \"text\"}, "
                        "{\"name\": \"B\", \"type\": \"list\", \"aliases\": [\"bees\"]}]}");
}

/* Documents as "name:A,B(confidence of A)!failed;" and "+A+B" for the fields there are, "~x" for
 * ignored. */
static void check(parse_fn *parse, const char *data, enum snug_status wanted, const char *expected)
{
    struct snug_schema *schema = small_schema();
    struct snug_documents documents = {0};
    struct snug_error error = {0};
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 1 << 16);
    enum snug_status status =
        parse(data, strlen(data), "t", schema, snug_allocator_heap(), &documents, &error);
    for (size_t i = 0; i < documents.count; i++) {
        const struct snug_document *d = &documents.items[i];
        snug_text_printf(&text, "%s:%s,%s", d->name, d->values[0] ? d->values[0] : "-",
                         d->values[1] ? d->values[1] : "-");
        if (d->confidences != NULL && !isnan(d->confidences[0]))
            snug_text_printf(&text, "(%g)", d->confidences[0]);
        snug_text_printf(&text, "%s;", d->failed ? "!" : "");
        assert_ptr_equal(snug_documents_find(&documents, d->name), d);
    }
    for (size_t i = 0; status == SNUG_STATUS_OK && i < 2; i++)
        snug_text_printf(&text, "%s", documents.has_field[i] ? (i ? "+B" : "+A") : "");
    for (size_t i = 0; i < documents.ignored_count; i++)
        snug_text_printf(&text, "~%s", documents.ignored[i]);
    const char *got = status == SNUG_STATUS_OK ? snug_text_c(&text) : error.message;
    if (status != wanted ||
        (status == SNUG_STATUS_OK ? strcmp(got, expected) != 0 : strstr(got, expected) == NULL))
        fail_msg("%s\ngave %s: %s\nwanted %s: %s", data, snug_status_text(status), got,
                 snug_status_text(wanted), expected);
    if (status == SNUG_STATUS_OK)
        assert_null(snug_documents_find(&documents, "nowhere.png"));
    snug_text_free(&text);
    snug_documents_free(&documents);
    snug_schema_free(schema);
}

static void test_truth(void **state)
{
    (void)state;
    check(snug_truth_parse, "image_file,A,B\nx/a.png, one ,1 | 2\nb.png,NOT_FOUND,MISSING\n",
          SNUG_STATUS_OK, "a.png:one,1 | 2;b.png:-,-;+A+B");
    check(snug_truth_parse, "image_file,bees,extra\na.png,- | N/A,5\n", SNUG_STATUS_OK,
          "a.png:-,-;+B~extra");
    check(snug_truth_parse, "image_file,A\n", SNUG_STATUS_OK, "+A");
    check(snug_truth_parse, "", SNUG_STATUS_FORMAT, "header");
    check(snug_truth_parse, "image_file,X\n", SNUG_STATUS_FORMAT, "no column");
    check(snug_truth_parse, "image_file,A,a\n", SNUG_STATUS_FORMAT, "two columns");
    check(snug_truth_parse, "image_file,A\na.png,1\na.png\n", SNUG_STATUS_FORMAT,
          "line 3: 1 cells");
    check(snug_truth_parse, "image_file,A\nx/a.png,1\nb.png,2\ny/a.png,1\n", SNUG_STATUS_FORMAT,
          "rows 2 and 4 are both for a.png");
    check(snug_truth_parse, "[]", SNUG_STATUS_FORMAT, "header");
}

static void test_results(void **state)
{
    (void)state;
    check(snug_predictions_parse,
          "{\"document\": \"x/a.png\", \"status\": \"ok\", \"fields\": {\"A\": {\"value\": "
          "\"one\", \"confidence\": 0.5, "
          "\"warnings\": []}, \"B\": {\"value\": null, \"confidence\": null}, \"C\": {\"value\": "
          "\"x\"}}}\n\n"
          "{\"document\": \"b.png\", \"status\": \"error\", \"fields\": null, \"raw\": "
          "\"\\u0000\"}\n",
          SNUG_STATUS_OK, "a.png:one,-(0.5);b.png:-,-!;+A+B~C");
    check(snug_predictions_parse,
          "[{\"image_file\": \"a.png\", \"fields\": {\"A\": 5, \"B\": [\"x\", 2, null, 1.5]}}, "
          "{\"document\": \"b.png\", \"fields\": {\"A\": true}}]",
          SNUG_STATUS_OK, "a.png:5,x | 2 | MISSING | 1.5;b.png:true,-;+A+B");
    check(snug_predictions_parse, "image_file,status,A\na.png,ok,one\nb.png,error,\n",
          SNUG_STATUS_OK, "a.png:one,-;b.png:-,-!;+A");
    check(snug_predictions_parse, "", SNUG_STATUS_OK, "");
    check(snug_predictions_parse, "\n", SNUG_STATUS_OK, "");
    check(snug_predictions_parse, "[]", SNUG_STATUS_OK, "");
    check(snug_predictions_parse, "{\"fields\": {}}", SNUG_STATUS_FORMAT, "row 1");
    check(snug_predictions_parse, "[3]", SNUG_STATUS_FORMAT, "row 1");
    check(snug_predictions_parse, "{\"document\": \"a\", \"fields\": []}", SNUG_STATUS_FORMAT,
          "row 1");
    check(snug_predictions_parse, "{\"document\": \"a\"}\n{\"docu", SNUG_STATUS_FORMAT,
          "t: line 2");
    check(snug_predictions_parse, "{\"document\": \"a\"}\n{\"document\": \"b/a\"}",
          SNUG_STATUS_FORMAT, "both for a");
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static const char *const inputs[] = {"image_file,A,B,X\na.png,1,2 | 3,4\nb.png,1,2,3\n",
                                         "{\"document\": \"a\", \"fields\": {\"A\": \"x\", \"B\": "
                                         "[1, 2], \"C\": 1}}\n{\"document\": \"b\"}\n"};
    struct snug_schema *schema = small_schema();
    for (size_t i = 0; i < COUNT(inputs); i++)
        for (uint64_t fail_at = 1;; fail_at++) {
            struct snug_counting_allocator counting;
            struct snug_documents documents = {0};
            snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
            enum snug_status status = snug_predictions_parse(
                inputs[i], strlen(inputs[i]), "t", schema, &counting.allocator, &documents, NULL);
            snug_documents_free(&documents);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_truth), cmocka_unit_test(test_results),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
