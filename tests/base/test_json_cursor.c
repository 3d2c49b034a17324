/* Tests of base/json_cursor.c: what it takes, and that it takes of flat values just what jansson
 * takes, with the same meaning, over mutated texts.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/json.h"
#include "base/json_cursor.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static char scratch[256];

static struct snug_json_cursor cursor_over(const char *text, size_t length)
{
    return (struct snug_json_cursor){
        .text = text, .end = text + length, .scratch = scratch, .scratch_bytes = sizeof scratch};
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {TEXT("\"\""), ""},
        {TEXT(" \n\t\r\"ab\""), "ab"},
        {TEXT("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), "a\"\\/\b\f\n\r\tz"},
        {TEXT("\"\\u0041\\u00e9\\u4f60\\ud83d\\uDE00\""), "A\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80"},
        {TEXT("\"\x7f\xc3\xa9\""), "\x7f\xc3\xa9"},
        {TEXT(""), NULL},
        {TEXT("a"), NULL},
        {TEXT("\""), NULL},
        {TEXT("\"ab"), NULL},
        {TEXT("\"ab\\"), NULL},
        {TEXT("\"ab\\\""), NULL},
        {TEXT("\"a\nb\""), NULL},
        {TEXT("\"a\\x\""), NULL},
        {TEXT("\"a\\\0\""), NULL},
        {TEXT("\"a\0\""), NULL},
        {TEXT("\"\\n\x1f\""), NULL},
        {TEXT("\"\\u0000\""), NULL},
        {TEXT("\"\\u12\""), NULL},
        {TEXT("\"\\u12"), NULL},
        {TEXT("\"\\u12g4\""), NULL},
        {TEXT("\"\\ud83d\""), NULL},
        {TEXT("\"\\ud83dx\""), NULL},
        {TEXT("\"\\ud83d\\u0041\""), NULL},
        {TEXT("\"\\ude00\""), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_json_cursor cursor = cursor_over(cases[i].text, cases[i].length);
        const char *string = NULL;
        size_t length = 0;
        bool taken = snug_json_take_string(&cursor, &string, &length);
        if (taken != (cases[i].expected != NULL))
            fail_msg("case %zu: %s", i, taken ? "taken" : "refused");
        if (!taken)
            continue;
        if (length != strlen(cases[i].expected) || memcmp(string, cases[i].expected, length) != 0)
            fail_msg("case %zu: \"%.*s\"", i, (int)length, string);
        assert_ptr_equal(cursor.text, cursor.end);
    }
}

/* Without escapes a string lies in the text; with them the scratch must hold it, to the byte. */
static void test_room(void **state)
{
    (void)state;
    static const char text[] = "\"abcdef\" \"abc\\nef\" \"abc\\nef\" \"\\u00e9\"";
    struct snug_json_cursor cursor = cursor_over(text, sizeof text - 1);
    const char *string;
    size_t length;
    cursor.scratch_bytes = 0;
    assert_true(snug_json_take_string(&cursor, &string, &length));
    assert_ptr_equal(string, text + 1);
    struct snug_json_cursor before = cursor;
    assert_false(snug_json_take_string(&cursor, &string, &length));
    assert_true(cursor.too_long);
    for (size_t room = 0; room <= 12; room++) {
        cursor = before;
        cursor.scratch_bytes = room;
        assert_int_equal(snug_json_take_string(&cursor, &string, &length), room >= 6);
        assert_int_equal(cursor.too_long, room < 6);
        if (room < 6)
            continue;
        assert_int_equal(cursor.scratch_used, 6);
        assert_int_equal(snug_json_take_string(&cursor, &string, &length), room >= 12);
        assert_int_equal(cursor.scratch_used, room >= 12 ? 12 : 6);
    }
    assert_memory_equal(scratch, "abc\nefabc\nef", 12);
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {" -0,", true, 0},
        {"12}", true, 12},
        {"-7 ", true, -7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"92233720368547758070", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {"1.5", false, 0},
        {"1e3", false, 0},
        {"1E3", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_json_cursor cursor = cursor_over(cases[i].text, strlen(cases[i].text));
        int64_t value = 0;
        bool taken = snug_json_take_integer(&cursor, &value);
        if (taken != cases[i].taken || value != cases[i].value)
            fail_msg("%s: %d, %lld", cases[i].text, taken, (long long)value);
    }
}

static void test_skip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
        size_t bytes, elements;
    } cases[] = {
        {"{} x", true, 2, 0},
        {"[ ]", true, 3, 0},
        {"[1]", true, 3, 1},
        {"[[]]", true, 4, 1},
        {"[\"\"]", true, 4, 1},
        {"[null, [1,2,3], {\"a\":[4,5]}], 6", true, 28, 3},
        {"{\"a,\\\"]\":1,\"b\":\"}\"}}", true, 19, 2},
        {"\"a\\\\\",1", true, 5, 1},
        {"12.5e3]", true, 6, 0},
        {"null}", true, 4, 0},
        {"", false, 0, 0},
        {"[", false, 0, 0},
        {"[\"]", false, 0, 0},
        {"[\"\\", false, 0, 0},
        {"]", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_json_cursor cursor = cursor_over(cases[i].text, strlen(cases[i].text));
        struct snug_json_span span = {0};
        bool taken = snug_json_skip(&cursor, &span);
        if (taken != cases[i].taken || span.bytes != cases[i].bytes ||
            (cases[i].text[0] != '"' && span.elements != cases[i].elements))
            fail_msg("%s: %d, %zu bytes, %zu elements", cases[i].text, taken, span.bytes,
                     span.elements);
    }
}

/* ---- the same as jansson ---- */

/* {string: integer, ...} through the cursor, into a tree; NULL if refused. */
static json_t *read_flat(const char *text, size_t length)
{
    struct snug_json_cursor cursor = cursor_over(text, length);
    json_t *object = json_object();
    bool fine = snug_json_take(&cursor, '{');
    int more = fine;
    for (size_t i = 0; fine && (more = snug_json_next(&cursor, i, '}')) > 0; i++) {
        const char *key;
        size_t key_length;
        int64_t value;
        cursor.scratch_used = 0;
        fine = snug_json_take_string(&cursor, &key, &key_length) && snug_json_take(&cursor, ':') &&
               snug_json_take_integer(&cursor, &value) && snug_utf8_valid(key, key_length) &&
               !json_object_getn(object, key, key_length);
        if (fine)
            json_object_setn_new_nocheck(object, key, key_length, json_integer(value));
    }
    if (fine && more == 0 && snug_json_peek(&cursor) == 0 && cursor.text == cursor.end)
        return object;
    json_decref(object);
    return NULL;
}

static bool is_flat(json_t *value)
{
    const char *key;
    json_t *member;
    if (!json_is_object(value))
        return false;
    json_object_foreach(value, key, member) if (!json_is_integer(member)) return false;
    return true;
}

static void test_like_jansson(void **state)
{
    (void)state;
    static const char seed_text[] =
        " {\"a\" : 12,\"\\u00e9\\ud83d\\ude00\":-3 , \"\\n\\\"x\": 0,\n\"\xe4\xbd\xa0\":9}\n";
    static const char alphabet[] = "\"\\{}[]:,0129-.eu\n dD8a\x1f\xc3\xa9\x80";
    size_t taken = 0, refused = 0;
    uint32_t random = 1;
    for (int round = 0; round < 300000; round++) {
        char text[sizeof seed_text + 8];
        size_t length = sizeof seed_text - 1;
        memcpy(text, seed_text, length);
        for (int edits = round % 4; edits > 0; edits--) {
            random = random * 1664525u + 1013904223u;
            size_t at = (random >> 8) % length;
            char c = alphabet[(random >> 20) % (sizeof alphabet - 1)];
            switch (random >> 6 & 3) {
            case 0: /* cut out */
                memmove(text + at, text + at + 1, --length - at);
                break;
            case 1: /* put in */
                memmove(text + at + 1, text + at, length++ - at);
                text[at] = c;
                break;
            default:
                text[at] = c;
            }
        }
        json_t *tree = NULL, *flat = read_flat(text, length);
        struct snug_error error;
        if (snug_json_parse(text, length, false, "t", &tree, &error) != SNUG_STATUS_OK)
            tree = NULL;
        bool wanted = tree && is_flat(tree);
        if (wanted != (flat != NULL) || (wanted && !json_equal(tree, flat)))
            fail_msg("%.*s: cursor %s, jansson %s", (int)length, text, flat ? "takes" : "refuses",
                     wanted ? "takes" : "refuses");
        taken += wanted;
        refused += !wanted;
        json_decref(tree);
        json_decref(flat);
    }
    if (taken < 30000 || refused < 30000) /* else the test shows little */
        fail_msg("%zu taken, %zu refused", taken, refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),      cmocka_unit_test(test_room),
        cmocka_unit_test(test_integers),     cmocka_unit_test(test_skip),
        cmocka_unit_test(test_like_jansson),
    };
    return cmocka_run_group_tests_name("base/json_cursor", tests, NULL, NULL);
}
