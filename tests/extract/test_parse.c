/* The whole parser: the golden answers of the small model, refusals, repetition, limits, time,
 * memory.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "base/clock.h"
#include "base/json.h"

/* Every line the model wrote comes back as it is. */
static void test_golden_answers(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_blob blob = read_repository_file("tests/golden/nano/cases.jsonl");
    size_t rows = 0;
    const char *at = (const char *)blob.data, *end = at + blob.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        newline = newline != NULL ? newline : end;
        json_t *row = NULL;
        assert_int_equal(snug_json_parse(at, (size_t)(newline - at), false, "cases", &row, NULL),
                         SNUG_STATUS_OK);
        const char *raw = json_string_value(json_object_get(row, "output_text"));
        assert_non_null(raw);
        struct snug_answer answer = {0};
        assert_int_equal(
            snug_answer_parse(schema, raw, strlen(raw), snug_allocator_heap(), &answer, NULL),
            SNUG_STATUS_OK);
        check_answer(&answer, strlen(raw));
        assert_int_equal(answer.unknown_count, 0);
        assert_false(answer.json);
        bool seen[25] = {false};
        for (const char *line = raw; line != NULL && *line != '\0';) {
            char key[64], value[512];
            assert_int_equal(sscanf(line, "%63[A-Z_]: %511[^\n]", key, value), 2);
            size_t field = snug_schema_find(schema, key);
            assert_true(field < 25);
            if (!seen[field]) {
                const char *text = answer.values[field].text;
                assert_string_equal(text != NULL ? text : "NOT_FOUND", value);
                assert_int_equal(answer.values[field].end - answer.values[field].start,
                                 strlen(value));
                assert_memory_equal(raw + answer.values[field].start, value, strlen(value));
            }
            seen[field] = true;
            line = strchr(line, '\n');
            line = line != NULL ? line + 1 : NULL;
        }
        snug_answer_free(&answer);
        json_decref(row);
        rows++;
        at = newline + 1;
    }
    assert_int_equal(rows, 24);
    snug_blob_free(&blob);
    snug_schema_free(schema);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool refusal;
    } cases[] = {
        {"I'm sorry, but I can't help with identifying people in images.", true},
        {"I\xe2\x80\x99m sorry, I cannot assist with that.", true},
        {"As an AI language model I do not have access to the document", true},
        {"I am unable to view images.", true},
        {"There is no image attached to this message", true},
        {"I'm sorry, the scan is poor.\nABN: 12", false},
        {"This is a receipt from Acme.", false},
        {"", false},
    };
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_answer answer = {0};
        assert_int_equal(snug_answer_parse(schema, cases[i].text, strlen(cases[i].text),
                                           snug_allocator_heap(), &answer, NULL),
                         SNUG_STATUS_OK);
        if (answer.refusal != cases[i].refusal)
            fail_msg("\"%s\": refusal is %d", cases[i].text, answer.refusal);
        snug_answer_free(&answer);
    }
    snug_schema_free(schema);
}

static void fill(struct snug_text *text, const char *unit, size_t bytes)
{
    snug_text_clear(text);
    while (text->length + strlen(unit) <= bytes)
        snug_text_puts(text, unit);
}

/* Endless repetition of anything is read in time linear in its length. */
static void test_repetition(void **state)
{
    (void)state;
    static const char *const units[] = {"ABN: 12\n",
                                        "ABN: ",
                                        "A ",
                                        ":",
                                        "A:",
                                        "|",
                                        "| a ",
                                        "{\"",
                                        "{\"ABN\": ",
                                        "[{",
                                        "\"",
                                        "'",
                                        "*",
                                        "**",
                                        "`",
                                        "- ",
                                        "<|",
                                        "<|a",
                                        "(",
                                        "A B C D E F G H: ",
                                        "((((:",
                                        "\\",
                                        "DESCRIPTIONS: a, ",
                                        "x, ",
                                        "1. ",
                                        "Milk | ",
                                        "_ _",
                                        "<br>",
                                        "\xc2\xa0",
                                        "\xff",
                                        "{\"a\":[{\"qty\":1},",
                                        "[",
                                        "A\n",
                                        "DESCRIPTIONS:\n- a\n",
                                        "\"a\": \"b\", ",
                                        "ABN (",
                                        "[a](",
                                        "'a',",
                                        "**ABN:** ",
                                        "{\"DESCRIPTIONS\":[1,",
                                        "\xe2\x80\x9c"};
    struct snug_schema *schema = business_schema();
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 4 << 20);
    size_t bytes = 1 << 18;
    for (size_t i = 0; i < COUNT(units); i++) {
        fill(&text, units[i], bytes);
        for (int list = 0; list < 2; list++) {
            char *input = snug_alloc(snug_allocator_heap(), text.length + 32);
            assert_non_null(input);
            size_t length = (size_t)snprintf(input, 32, "%s", list ? "DESCRIPTIONS: " : "");
            memcpy(input + length, text.data, text.length);
            length += text.length;
            struct snug_answer answer = {0};
            double start = snug_clock_ms();
            assert_int_equal(
                snug_answer_parse(schema, input, length, snug_allocator_heap(), &answer, NULL),
                SNUG_STATUS_OK);
            double took = snug_clock_ms() - start;
            check_answer(&answer, length);
            if (took > 5000) /* quadratic time would take hours */
                fail_msg("256 KiB of \"%s\" took %.0f ms", units[i], took);
            snug_answer_free(&answer);
            snug_free(snug_allocator_heap(), input);
        }
    }
    snug_text_free(&text);
    snug_schema_free(schema);
}

static void test_values_under_repetition(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_text text;
    struct snug_answer answer = {0};
    snug_text_init(&text, snug_allocator_heap(), 4 << 20);
    fill(&text, "ABN: 12\nTOTAL: $5\n", 100000);
    assert_int_equal(
        snug_answer_parse(schema, text.data, text.length, snug_allocator_heap(), &answer, NULL),
        SNUG_STATUS_OK);
    assert_string_equal(answer.values[2].text, "12");
    assert_string_equal(answer.values[10].text, "$5");
    assert_int_equal(answer.named_count, 2);
    snug_answer_free(&answer);
    snug_text_clear(&text);
    snug_text_puts(&text, "ABN: 12\nDESCRIPTIONS: ");
    for (int i = 0; i < 20000; i++)
        snug_text_puts(&text, "FEE | ");
    assert_int_equal(
        snug_answer_parse(schema, text.data, text.length, snug_allocator_heap(), &answer, NULL),
        SNUG_STATUS_OK);
    assert_int_equal(strncmp(answer.values[24].text, "FEE | FEE | ", 12), 0);
    assert_true(strlen(answer.values[24].text) < 4096 * 6);
    snug_answer_free(&answer);
    snug_text_free(&text);
    snug_schema_free(schema);
}

static void test_limit(void **state)
{
    (void)state;
    struct snug_schema *schema = business_schema();
    struct snug_answer answer = {0};
    struct snug_error error = {0};
    char *big = snug_calloc(snug_allocator_heap(), 1, (size_t)SNUG_MAX_ANSWER_BYTES + 1);
    assert_non_null(big);
    assert_int_equal(snug_answer_parse(schema, big, (size_t)SNUG_MAX_ANSWER_BYTES + 1,
                                       snug_allocator_heap(), &answer, &error),
                     SNUG_STATUS_LIMIT);
    /* As many NUL bytes as are allowed are no answer, but no error either. */
    assert_int_equal(snug_answer_parse(schema, big, SNUG_MAX_ANSWER_BYTES, snug_allocator_heap(),
                                       &answer, &error),
                     SNUG_STATUS_OK);
    assert_int_equal(answer.named_count, 0);
    snug_answer_free(&answer);
    snug_free(snug_allocator_heap(), big);
    snug_schema_free(schema);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        "ABN: 12\nDESCRIPTIONS: a | b\nFOO: bar\nPAYER_ADDRESS: 1\n2\n",
        "{\"ABN\": \"12\", \"items\": [{\"description\": \"a\"}, {\"qty\": 1}], \"foo\": 1, "
        "\"PRICES\": \"1, 2\"}"};
    struct snug_schema *schema = business_schema();
    for (size_t i = 0; i < COUNT(inputs); i++)
        for (uint64_t fail_at = 1;; fail_at++) {
            struct snug_counting_allocator counting;
            struct snug_answer answer = {0};
            struct snug_error error = {0};
            snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
            enum snug_status status = snug_answer_parse(schema, inputs[i], strlen(inputs[i]),
                                                        &counting.allocator, &answer, &error);
            snug_answer_free(&answer);
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
        cmocka_unit_test(test_golden_answers), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_repetition),     cmocka_unit_test(test_values_under_repetition),
        cmocka_unit_test(test_limit),          cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
