/* Tests of base/json.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) literal, sizeof(literal) - 1

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        bool allow_nul;
        enum snug_status expected;
    } cases[] = {
        {TEXT("{}"), false, SNUG_STATUS_OK},
        {TEXT(" \t\r\n[1, 2.5, true, false, null, \"x\"]\n"), false, SNUG_STATUS_OK},
        {TEXT("7"), false, SNUG_STATUS_OK},
        {TEXT("\"\""), false, SNUG_STATUS_OK},
        {TEXT("null"), false, SNUG_STATUS_OK},
        {TEXT("9223372036854775807"), false, SNUG_STATUS_OK},
        {TEXT("-9223372036854775808"), false, SNUG_STATUS_OK},
        {TEXT("9223372036854775808"), false, SNUG_STATUS_FORMAT},
        {TEXT("1e308"), false, SNUG_STATUS_OK},
        {TEXT("1e309"), false, SNUG_STATUS_FORMAT},
        {TEXT("1e-400"), false, SNUG_STATUS_OK},
        {TEXT(""), false, SNUG_STATUS_FORMAT},
        {TEXT("  "), false, SNUG_STATUS_FORMAT},
        {TEXT("{} x"), false, SNUG_STATUS_FORMAT},
        {TEXT("{}\0"), false, SNUG_STATUS_FORMAT},
        {TEXT("[1,]"), false, SNUG_STATUS_FORMAT},
        {TEXT("[01]"), false, SNUG_STATUS_FORMAT},
        {TEXT("[NaN]"), false, SNUG_STATUS_FORMAT},
        {TEXT("{\"a\":1,\"a\":2}"), false, SNUG_STATUS_FORMAT},
        {TEXT("{\"a\":1,\"\\u0061\":2}"), false, SNUG_STATUS_FORMAT},
        {TEXT("{'a':1}"), false, SNUG_STATUS_FORMAT},
        {TEXT("[\"\n\"]"), false, SNUG_STATUS_FORMAT},
        {TEXT("\xef\xbb\xbf{}"), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\xc3\xa9\""), false, SNUG_STATUS_OK},
        {TEXT("\"\xc3\""), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\xc0\x80\""), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\xed\xa0\x80\""), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\\ud83d\\ude00\""), false, SNUG_STATUS_OK},
        {TEXT("\"\\ud83d\""), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\\u0000\""), false, SNUG_STATUS_FORMAT},
        {TEXT("\"\\u0000\""), true, SNUG_STATUS_OK},
        {TEXT("\"\0\""), true, SNUG_STATUS_FORMAT},
        {TEXT("{\"\\u0000\":1}"), true, SNUG_STATUS_FORMAT},
        {TEXT("[\"[[[[\\\"[[[\\\\\"]"), false, SNUG_STATUS_OK},
        {TEXT("[\"\\"), false, SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* on the heap without a NUL, so that a read beyond the end is caught */
        char *copy = snug_alloc(snug_allocator_heap(), cases[i].length);
        memcpy(copy, cases[i].text, cases[i].length);
        json_t *value = NULL;
        struct snug_error error = {.message = "none"};
        enum snug_status status =
            snug_json_parse(copy, cases[i].length, cases[i].allow_nul, "f.json", &value, &error);
        snug_free(snug_allocator_heap(), copy);
        if (status != cases[i].expected)
            fail_msg("case %zu (%s): status %s, expected %s: %s", i, cases[i].text,
                     snug_status_text(status), snug_status_text(cases[i].expected), error.message);
        if (status == SNUG_STATUS_OK)
            assert_non_null(value);
        else
            assert_null(value);
        json_decref(value);
    }
}

static void test_message(void **state)
{
    (void)state;
    json_t *value = NULL;
    struct snug_error error;

    assert_int_equal(
        snug_json_parse(TEXT("{\n  \"a\": 1,\n  \"b\" 2\n}"), false, "conf.json", &value, &error),
        SNUG_STATUS_FORMAT);
    if (!strstr(error.message, "conf.json: line 3, column 7: "))
        fail_msg("got: %s", error.message);
    assert_int_equal(snug_json_parse(TEXT("{"), false, "x", &value, NULL), SNUG_STATUS_FORMAT);
}

static void test_strings(void **state)
{
    (void)state;
    json_t *value = NULL;
    struct snug_error error;

    assert_int_equal(
        snug_json_parse(TEXT("\"a\\u0000b\\ud83d\\ude00\""), true, "x", &value, &error), 0);
    assert_int_equal(json_string_length(value), 7);
    assert_memory_equal(json_string_value(value), "a\0b\xf0\x9f\x98\x80", 7);
    json_decref(value);
}

static enum snug_status parse_nested(char open, char close, int depth, const char *before)
{
    char text[400];
    size_t length = 0;
    json_t *value = NULL;

    text[length++] = '[';
    memcpy(text + length, before, strlen(before));
    length += strlen(before);
    for (int i = 1; i < depth; i++) {
        text[length++] = open;
        if (open == '{' && i < depth - 1) {
            memcpy(text + length, "\"\":", 3);
            length += 3;
        }
    }
    for (int i = 1; i < depth; i++)
        text[length++] = close;
    text[length++] = ']';
    enum snug_status status = snug_json_parse(text, length, false, "deep", &value, NULL);
    json_decref(value);
    return status;
}

static void test_depth(void **state)
{
    (void)state;
    static const char *const before[] = {"", "\"[[{{\",", "\"\\\\\",", "\"\\\"[\",", "[],{},[[]],"};

    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        for (int depth = SNUG_MAX_JSON_DEPTH - 2; depth < SNUG_MAX_JSON_DEPTH + 3; depth++) {
            enum snug_status expected =
                depth <= SNUG_MAX_JSON_DEPTH ? SNUG_STATUS_OK : SNUG_STATUS_LIMIT;
            assert_int_equal(parse_nested('[', ']', depth, before[i]), expected);
            assert_int_equal(parse_nested('{', '}', depth, before[i]), expected);
        }
    }
    /* a million brackets do not reach the stack */
    size_t length = 1000000;
    char *text = snug_alloc(snug_allocator_heap(), length);
    json_t *value = NULL;
    memset(text, '[', length);
    assert_int_equal(snug_json_parse(text, length, false, "deep", &value, NULL), SNUG_STATUS_LIMIT);
    snug_free(snug_allocator_heap(), text);
}

/* Every allocation refused in turn: MEMORY each time, nothing left, and no value with a lost digit.
 */
static void test_sweep(void **state)
{
    (void)state;
    static const char text[] =
        "{\"model\": [1, -2.5e3, true, null, \"a string that grows the buffer "
        "\\u00e9 \\ud83d\\ude00\"], \"longest\": 1234567890123456789, \"real\": "
        "3.14159265358979323846264338327950288419716939937510, \"o\": {\"a\": "
        "[], \"b\": {}, \"c\": \"\", \"d\": 1, \"e\": 2, \"f\": 3, \"g\": 4, "
        "\"h\": 5, \"i\": 6, \"j\": [1,2,3,4,5,6,7,8,9,10]}}";
    json_t *kept = NULL, *expected = NULL;
    bool failed = true;

    assert_int_equal(snug_json_parse(TEXT("[\"kept\"]"), false, "x", &kept, NULL), 0);
    assert_int_equal(snug_json_parse(TEXT(text), false, "x", &expected, NULL), 0);
    for (uint64_t fail_at = 1; failed; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        json_t *value = NULL;

        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_allocator_set_global(&counting.allocator);
        enum snug_status status = snug_json_parse(TEXT(text), false, "x", &value, &error);
        snug_allocator_set_global(NULL); /* values go back to where they came from all the same */
        failed = counting.failed;
        if (status != (failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK))
            fail_msg("refused request %llu: status %s (%s)", (unsigned long long)fail_at,
                     snug_status_text(status), error.message);
        if (!failed) {
            assert_true(json_equal(value, expected));
            assert_in_range(fail_at, 40, 1000);
        }
        json_decref(value);
        assert_int_equal(counting.live, 0);
    }
    /* and the other way round: freed while another allocator is current */
    struct snug_counting_allocator counting;
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_allocator_set_global(&counting.allocator);
    json_decref(kept);
    snug_allocator_set_global(NULL);
    json_decref(expected);
}

/* ---- look-ups ---- */

static void test_lookups(void **state)
{
    (void)state;
    static const char text[] = "{\"i\": 7, \"r\": 2.5, \"b\": true, \"s\": \"str\", \"n\": null, "
                               "\"z\": \"a\\u0000b\", \"a\": []}";
    json_t *object = NULL;
    struct snug_error error;

    assert_int_equal(snug_json_parse(TEXT(text), true, "x", &object, &error), 0);
    static const struct {
        const char *key;
        int64_t low, high, value; /* -1: as it was */
        enum snug_status expected;
    } ints[] = {
        {"i", 0, 10, 7, SNUG_STATUS_OK},      {"i", 7, 7, 7, SNUG_STATUS_OK},
        {"i", 8, 10, -1, SNUG_STATUS_FORMAT}, {"i", 0, 6, -1, SNUG_STATUS_FORMAT},
        {"r", 0, 10, -1, SNUG_STATUS_FORMAT}, {"b", 0, 10, -1, SNUG_STATUS_FORMAT},
        {"s", 0, 10, -1, SNUG_STATUS_FORMAT}, {"n", 0, 10, -1, SNUG_STATUS_OK},
        {"none", 0, 10, -1, SNUG_STATUS_OK},  {"a", 0, 10, -1, SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t value = -1;
        enum snug_status status = snug_json_get_int(object, ints[i].key, ints[i].low, ints[i].high,
                                                    &value, "conf.json", &error);
        if (status != ints[i].expected || value != ints[i].value)
            fail_msg("case %zu, %s: status %s, value %lld", i, ints[i].key,
                     snug_status_text(status), (long long)value);
        if (status)
            assert_non_null(strstr(error.message, "conf.json: \""));
    }

    double real = -1;
    assert_int_equal(snug_json_get_double(object, "r", &real, "x", &error), 0);
    assert_true(real == 2.5);
    assert_int_equal(snug_json_get_double(object, "i", &real, "x", &error), 0);
    assert_true(real == 7);
    assert_int_equal(snug_json_get_double(object, "n", &real, "x", &error), 0);
    assert_int_equal(snug_json_get_double(object, "s", &real, "x", &error), SNUG_STATUS_FORMAT);
    assert_true(real == 7);

    bool flag = false;
    assert_int_equal(snug_json_get_bool(object, "b", &flag, "x", &error), 0);
    assert_true(flag);
    assert_int_equal(snug_json_get_bool(object, "i", &flag, "x", &error), SNUG_STATUS_FORMAT);
    assert_int_equal(snug_json_get_bool(object, "none", &flag, "x", &error), 0);
    assert_true(flag);

    const char *string = "default";
    assert_int_equal(snug_json_get_string(object, "none", &string, "x", &error), 0);
    assert_string_equal(string, "default");
    assert_int_equal(snug_json_get_string(object, "z", &string, "x", &error), SNUG_STATUS_FORMAT);
    assert_int_equal(snug_json_get_string(object, "i", &string, "x", &error), SNUG_STATUS_FORMAT);
    assert_string_equal(string, "default");
    assert_int_equal(snug_json_get_string(object, "s", &string, "x", &error), 0);
    assert_string_equal(string, "str");

    json_t *array = json_object_get(object, "a");
    assert_int_equal(snug_json_get_string(array, "s", &string, "x", &error), SNUG_STATUS_FORMAT);
    assert_int_equal(snug_json_get_string(NULL, "s", &string, "x", &error), SNUG_STATUS_FORMAT);
    json_decref(object);
}

/* ---- writing ---- */

static void test_put_string(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *expected;
    } cases[] = {
        {TEXT(""), "\"\""},
        {TEXT("plain"), "\"plain\""},
        {TEXT("\"\\/\b\f\n\r\t"), "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {TEXT("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\""},
        {TEXT("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {TEXT("a\xff\nb\xe2\x82"), "\"a\xef\xbf\xbd\\nb\xef\xbf\xbd\""},
        {TEXT("\xe2\n\x82"), "\"\xef\xbf\xbd\\n\xef\xbf\xbd\""},
    };
    struct snug_text out;

    snug_text_init(&out, snug_allocator_heap(), 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snug_text_clear(&out);
        snug_json_put_string_n(&out, cases[i].text, cases[i].length);
        assert_string_equal(snug_text_c(&out), cases[i].expected);
    }
    snug_text_clear(&out);
    snug_json_put_string(&out, NULL);
    snug_json_put_string(&out, "x");
    assert_string_equal(snug_text_c(&out), "null\"x\"");

    /* every byte comes back through the parser */
    char all[0x80];
    json_t *value = NULL;
    for (int i = 0; i < 0x80; i++)
        all[i] = (char)i;
    snug_text_clear(&out);
    snug_json_put_string_n(&out, all, sizeof all);
    assert_int_equal(snug_json_parse(out.data, out.length, true, "x", &value, NULL), 0);
    assert_int_equal(json_string_length(value), sizeof all);
    assert_memory_equal(json_string_value(value), all, sizeof all);
    json_decref(value);
    snug_text_free(&out);
}

static void test_put_double(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *expected;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {100, "100"},
        {123, "123"},
        {1e300, "1e+300"},
        {5e-324, "5e-324"},
        {-1500000, "-1500000"},
        {999999999999999, "999999999999999"},
        {1e15, "1e+15"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {1.0 / 3, "0.3333333333333333"},
        {DBL_MAX, "1.7976931348623157e+308"},
    };
    struct snug_text out;
    uint64_t seed = 1;

    snug_text_init(&out, snug_allocator_heap(), 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snug_text_clear(&out);
        snug_json_put_double(&out, cases[i].value);
        assert_string_equal(snug_text_c(&out), cases[i].expected);
    }
    for (int i = 0; i < 20000; i++) {
        double value;
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&value, &seed, sizeof value);
        if (!isfinite(value))
            continue;
        snug_text_clear(&out);
        snug_json_put_double(&out, value);
        if (strtod(snug_text_c(&out), NULL) != value)
            fail_msg("%a was written as %s", value, snug_text_c(&out));
    }
    snug_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_message),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_depth),
        cmocka_unit_test(test_sweep),      cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_put_string), cmocka_unit_test(test_put_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
