/* Scores, worked out by hand on small sets and, for the small model's golden answers, known.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/json.h"
#include "extract/evaluate.h"
#include "extract/row.h"

#include <math.h>

static void near(double got, double wanted, const char *what)
{
    if (!(fabs(got - wanted) < 1e-6) && !(isnan(got) && isnan(wanted)))
        fail_msg("%s: %.9g, wanted %.9g", what, got, wanted);
}

static struct snug_evaluation evaluate(const struct snug_schema *schema, const char *truth,
                                       const char *results,
                                       const struct snug_evaluation_options *options)
{
    struct snug_documents a = {0}, b = {0};
    struct snug_evaluation out = {0};
    struct snug_error error = {0};
    if (snug_truth_parse(truth, strlen(truth), "truth", schema, snug_allocator_heap(), &a,
                         &error) != SNUG_STATUS_OK ||
        snug_predictions_parse(results, strlen(results), "results", schema, snug_allocator_heap(),
                               &b, &error) != SNUG_STATUS_OK ||
        snug_evaluate(schema, &a, &b, options, snug_allocator_heap(), &out, &error) !=
            SNUG_STATUS_OK)
        fail_msg("%s", error.message);
    snug_documents_free(&a);
    snug_documents_free(&b);
    return out;
}

static struct snug_schema *small_schema(void)
{
    return parse_schema("{\"name\": \"s\", \"fields\": [{\"name\": \"T\", \"type\": \"text\"}, "
                        "{\"name\": \"M\", \"type\": "
                        "\"money\"}, {\"name\": \"L\", \"type\": \"list\"}, {\"name\": \"D\", "
                        "\"type\": \"date\"}]}");
}

static void test_by_hand(void **state)
{
    (void)state;
    struct snug_schema *schema = small_schema();
    struct snug_evaluation_options options = snug_evaluation_options_default();
    options.target_precision = 0.6;
    /* Document a: T exact, M the same amount, L one item out of place, D absent and invented.
     * Document b: T wrong (part of the truth), M missing, L absent right, D two numbers in common.
     * c has no result, d no truth. */
    const char *truth = "image_file,T,M,L,D\n"
                        "a,Acme Pty,$5.00,Milk | Bread | Eggs,NOT_FOUND\n"
                        "b,Acme Pty,$6.00,NOT_FOUND,05/01/2024\n"
                        "c,x,x,x,x\n";
    const char *results = "{\"document\": \"a\", \"fields\": {\"T\": {\"value\": \"Acme Pty\", "
                          "\"confidence\": 0.95}, \"M\": {\"value\": \"5.00\", "
                          "\"confidence\": 0.85}, \"L\": {\"value\": \"Bread | Milk | Eggs\", "
                          "\"confidence\": 0.75}, \"D\": {\"value\": "
                          "\"01/01/2024\", \"confidence\": 0.15}}}\n"
                          "{\"document\": \"b\", \"fields\": {\"T\": {\"value\": \"Acme\", "
                          "\"confidence\": 0.85}, \"M\": {\"value\": null, "
                          "\"confidence\": 0.99}, \"L\": {\"value\": null}, \"D\": {\"value\": "
                          "\"05/02/2024\", \"confidence\": 0.05}}}\n"
                          "{\"document\": \"d\", \"fields\": {}}\n";
    struct snug_evaluation e = evaluate(schema, truth, results, &options);
    assert_int_equal(e.documents, 2);
    assert_int_equal(e.missing, 1);
    assert_string_equal(e.first_missing, "c");
    assert_int_equal(e.extra, 1);
    assert_int_equal(e.field_count, 4);
    assert_int_equal(e.all.present, 6);
    assert_int_equal(e.all.present_exact, 1);
    assert_int_equal(e.all.present_normalised, 2);
    assert_int_equal(e.all.absent, 2);
    assert_int_equal(e.all.absent_right, 1);
    near(e.all.exact.value, 2.0 / 8, "exact");
    near(e.all.exact.empty, 2.0 / 8, "exact, empty");
    near(e.all.normalised.value, 3.0 / 8, "normalised");
    near(e.all.precision.value, 2.0 / 6, "precision");
    near(e.all.precision.empty, (double)NAN, "precision, empty");
    near(e.all.recall.value, 2.0 / 6, "recall");
    near(e.all.recall.empty, 0, "recall, empty");
    near(e.all.f1.value, 4.0 / 12, "F1");
    near(e.all.invented.value, 1.0 / 2, "invented");
    near(e.all.invented.empty, 0, "invented, empty");
    /* T: 1 and NL("acme pty", "acme") = 4 / 8: 0. M: NL("$5.00", "5.00") = 1/5, and 0. D: NL 1/10.
     * L: "milk | bread | eggs" to "bread | milk | eggs" takes 10 steps of 19 characters: 0. */
    near(e.fields[0].anls.value, 0.5, "ANLS of T");
    near(e.fields[1].anls.value, 0.4, "ANLS of M");
    near(e.fields[3].anls.value, 0.9, "ANLS of D");
    near(e.fields[2].list_place_f1.value, 1.0 / 3, "list by place");
    near(e.fields[2].list_match_f1.value, 1, "list by matching");
    near(e.fields[2].list_match_f1.empty, 0, "list by matching, empty");
    near(e.fields[0].list_place_f1.value, (double)NAN, "list of T");
    /* original: T 1, 0.9; M 1, 0; L 1/3, 1; D 0, 0.8 */
    near(e.all.original.value, (1 + 0.9 + 1 + 0 + 1.0 / 3 + 1 + 0 + 0.8) / 8, "original");
    near(e.all.original.empty, 2.0 / 8, "original, empty");
    /* ANLS*: a: T 1, M 0.8, L 3 of 3, D 0 of 1 = 4.8 / 6; b: T 0, M 0, D 0.9 = 0.9 / 3 */
    near(e.anls_star.value, (4.8 / 6 + 0.9 / 3) / 2, "ANLS*");
    near(e.anls_star.empty, 0, "ANLS*, empty");
    near(e.all_exact.value, 0, "documents");
    /* Confident values: 0.95 right, 0.85 right and wrong, 0.75 wrong, 0.15 wrong, 0.05 wrong. */
    assert_int_equal(e.confident_values, 6);
    near(e.ece.value, (0.05 + fabs(1 - 1.7) + 0.75 + 0.15 + 0.05) / 6, "ECE");
    near(e.coverage.value, 3.0 / 6, "coverage"); /* at 0.85 two of three are right: 0.67 */
    assert_true(e.all.exact.low <= e.all.exact.value && e.all.exact.value <= e.all.exact.high);
    snug_evaluation_free(&e);
    options.target_precision = 0.99;
    e = evaluate(schema, truth, results, &options);
    near(e.coverage.value, 1.0 / 6, "coverage at 0.99");
    snug_evaluation_free(&e);
    snug_schema_free(schema);
}

static void test_failures_and_subsets(void **state)
{
    (void)state;
    struct snug_schema *schema = small_schema();
    struct snug_evaluation_options options = {.resamples = 0, .target_precision = 1};
    const char *truth = "image_file,T,M\na,x,$1\nb,x,$1\nc,NOT_FOUND,$1\n";
    /* Only T was asked for; b failed, c gave nothing. */
    struct snug_evaluation e =
        evaluate(schema, truth,
                 "{\"document\": \"a\", \"fields\": {\"T\": \"x\"}}\n"
                 "{\"document\": \"b\", \"status\": \"error\", \"fields\": null}\n"
                 "{\"document\": \"c\", \"fields\": {\"T\": null}}\n",
                 &options);
    assert_int_equal(e.field_count, 1);
    assert_int_equal(e.not_asked_count, 1);
    assert_string_equal(e.not_asked[0], "M");
    assert_int_equal(e.failed, 1);
    assert_int_equal(e.unread, 1);
    near(e.all.exact.value, 2.0 / 3, "exact");
    near(e.all_exact.value, 2.0 / 3, "documents");
    near(e.all_exact.empty, 1.0 / 3, "documents, empty");
    near(e.all.exact.low, (double)NAN, "no interval");
    near(e.ece.value, (double)NAN, "no confidence");
    snug_evaluation_free(&e);
    /* If every result failed, nothing tells what was asked for: all counts. */
    e = evaluate(schema, truth, "{\"document\": \"a\", \"status\": \"error\", \"fields\": null}\n",
                 &options);
    assert_int_equal(e.field_count, 2);
    near(e.all.exact.value, 0, "exact");
    snug_evaluation_free(&e);
    snug_schema_free(schema);
}

static void test_errors(void **state)
{
    (void)state;
    struct snug_schema *schema = small_schema();
    struct snug_documents a = {0}, b = {0};
    struct snug_evaluation out = {0};
    struct snug_error error = {0};
    struct snug_evaluation_options options = snug_evaluation_options_default();
    assert_int_equal(
        snug_truth_parse("image_file,T\na,1\n", 17, "t", schema, snug_allocator_heap(), &a, NULL),
        SNUG_STATUS_OK);
    assert_int_equal(snug_predictions_parse("image_file,M\nb,1\n", 17, "t", schema,
                                            snug_allocator_heap(), &b, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(snug_evaluate(schema, &a, &b, &options, snug_allocator_heap(), &out, &error),
                     SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "no document"));
    snug_documents_free(&b);
    assert_int_equal(snug_predictions_parse("image_file,M\na,1\n", 17, "t", schema,
                                            snug_allocator_heap(), &b, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(snug_evaluate(schema, &a, &b, &options, snug_allocator_heap(), &out, &error),
                     SNUG_STATUS_USAGE);
    assert_non_null(strstr(error.message, "no field"));
    options.resamples = -1;
    assert_int_equal(snug_evaluate(schema, &a, &b, &options, snug_allocator_heap(), &out, &error),
                     SNUG_STATUS_USAGE);
    snug_documents_free(&a);
    snug_documents_free(&b);
    snug_schema_free(schema);
}

/* The answers of the golden cases that ask for all fields, as rows. */
static void golden_rows(const struct snug_schema *schema, struct snug_text *out)
{
    struct snug_blob blob = read_repository_file("tests/golden/nano/cases.jsonl");
    const char *at = (const char *)blob.data, *end = at + blob.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        newline = newline != NULL ? newline : end;
        json_t *json = NULL;
        assert_int_equal(snug_json_parse(at, (size_t)(newline - at), false, "cases", &json, NULL),
                         SNUG_STATUS_OK);
        at = newline + 1;
        if (json_array_size(json_object_get(json, "fields")) == schema->field_count) {
            const char *raw = json_string_value(json_object_get(json, "output_text"));
            struct snug_answer answer = {0};
            struct snug_row row;
            double confidences[25];
            for (size_t i = 0; i < 25; i++)
                confidences[i] = 0.95;
            assert_int_equal(
                snug_answer_parse(schema, raw, strlen(raw), snug_allocator_heap(), &answer, NULL),
                SNUG_STATUS_OK);
            snug_row_init(&row, snug_allocator_heap());
            row.document = json_string_value(json_object_get(json, "document"));
            assert_int_equal(snug_row_set_answer(&row, schema, NULL, 0, &answer, confidences, NULL),
                             SNUG_STATUS_OK);
            snug_row_put_jsonl(&row, out);
            snug_row_free(&row);
            snug_answer_free(&answer);
        }
        json_decref(json);
    }
    snug_blob_free(&blob);
}

static int longest_line(const char *text)
{
    int longest = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        longest = (int)length > longest ? (int)length : longest;
        text += length + (text[length] == '\n');
    }
    return longest;
}

static void test_golden(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_evaluation_options options = snug_evaluation_options_default();
    struct snug_blob truth = read_repository_file("samples/truth.csv");
    struct snug_text rows, text, again;
    snug_text_init(&rows, snug_allocator_heap(), 1 << 22);
    snug_text_init(&text, snug_allocator_heap(), 1 << 22);
    snug_text_init(&again, snug_allocator_heap(), 1 << 22);
    golden_rows(schema, &rows);
    struct snug_evaluation e =
        evaluate(schema, (const char *)truth.data, snug_text_c(&rows), &options);
    assert_int_equal(e.documents, 20);
    assert_int_equal(e.field_count, 25);
    assert_int_equal(e.all.present, 268);
    assert_int_equal(e.all.present_exact, 250);
    assert_int_equal(e.all.absent, 232);
    assert_int_equal(e.all.absent_right, 231);
    near(e.all.exact.value, 481.0 / 500, "exact");
    near(e.all.exact.empty, 232.0 / 500, "exact, empty");
    near(e.all.original.empty, 232.0 / 500, "original, empty");
    near(e.all.invented.value, 1.0 / 232, "invented");
    assert_true(e.all.exact.low < e.all.exact.value && e.all.exact.high > e.all.exact.value);
    assert_true(e.all.anls.value > 0.95 && e.anls_star.value > 0.9);
    assert_true(e.all.list_match_f1.value >= e.all.list_place_f1.value);
    snug_evaluation_put_line(&e, &text);
    assert_string_equal(snug_text_c(&text),
                        "accuracy: present 93.3 % (250/268), absent 99.6 % (231/232), empty "
                        "baseline 46.4 %");
    snug_text_clear(&text);
    snug_evaluation_put_text(&e, &text);
    /* The last line is for programs that look for it, and may be longer. */
    char *last = strstr(text.data, "\naccuracy: present 93.3 %");
    assert_non_null(last);
    assert_ptr_equal(strchr(last + 1, '\n'), text.data + text.length - 1);
    *last = 0;
    if (longest_line(text.data) > 80 || strstr(text.data, "BANK_ACCOUNT_NUMBER") == NULL)
        fail_msg("%s", text.data);
    snug_text_clear(&text);
    snug_evaluation_put_json(&e, &text);
    json_t *json = NULL;
    assert_int_equal(snug_json_parse(text.data, text.length, false, "report", &json, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "all"), "present_exact")), 250);
    assert_int_equal(json_array_size(json_object_get(json, "fields")), 25);
    json_decref(json);
    snug_evaluation_free(&e);
    /* The same seed gives the same report, another one other intervals. */
    e = evaluate(schema, (const char *)truth.data, snug_text_c(&rows), &options);
    snug_evaluation_put_json(&e, &again);
    assert_string_equal(snug_text_c(&text), snug_text_c(&again));
    snug_evaluation_free(&e);
    options.seed = 2;
    e = evaluate(schema, (const char *)truth.data, snug_text_c(&rows), &options);
    snug_text_clear(&again);
    snug_evaluation_put_json(&e, &again);
    assert_true(strcmp(snug_text_c(&text), snug_text_c(&again)) != 0);
    snug_evaluation_free(&e);
    snug_text_free(&again);
    snug_text_free(&text);
    snug_text_free(&rows);
    snug_blob_free(&truth);
    snug_schema_free(schema);
}

/* The truth scored against itself is perfect in every way, read as CSV results. */
static void test_truth_against_itself(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_evaluation_options options = snug_evaluation_options_default();
    struct snug_blob truth = read_repository_file("samples/truth.csv");
    options.resamples = 50;
    struct snug_evaluation e =
        evaluate(schema, (const char *)truth.data, (const char *)truth.data, &options);
    const struct snug_estimate *all[] = {
        &e.all.exact, &e.all.normalised, &e.all.precision,     &e.all.recall,        &e.all.f1,
        &e.all.anls,  &e.all.original,   &e.all.list_place_f1, &e.all.list_match_f1, &e.anls_star,
        &e.all_exact, &e.all_normalised};
    for (size_t i = 0; i < COUNT(all); i++) {
        near(all[i]->value, 1, "value");
        near(all[i]->low, 1, "low");
        near(all[i]->high, 1, "high");
    }
    near(e.all.invented.value, 0, "invented");
    snug_evaluation_free(&e);
    snug_blob_free(&truth);
    snug_schema_free(schema);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_schema *schema = small_schema();
    struct snug_documents a = {0}, b = {0};
    struct snug_evaluation_options options = {.resamples = 3, .target_precision = 1};
    const char *truth = "image_file,T,L,D\na,x,1 | 2,1/2/2020\nb,y,3,NOT_FOUND\nc,z,1,\n";
    const char *results = "image_file,T,L,D\na,xx,2 | 1,2/2/2020\nb,yy,3,1\n";
    assert_int_equal(
        snug_truth_parse(truth, strlen(truth), "t", schema, snug_allocator_heap(), &a, NULL),
        SNUG_STATUS_OK);
    assert_int_equal(snug_predictions_parse(results, strlen(results), "t", schema,
                                            snug_allocator_heap(), &b, NULL),
                     SNUG_STATUS_OK);
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_evaluation out = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status =
            snug_evaluate(schema, &a, &b, &options, &counting.allocator, &out, NULL);
        snug_evaluation_free(&out);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    snug_documents_free(&a);
    snug_documents_free(&b);
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand),
                                       cmocka_unit_test(test_failures_and_subsets),
                                       cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_truth_against_itself),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
