/* Tests of formats/added_tokens.c: leftmost, longest, the flags, the filter. The rows were checked
 * with Hugging Face tokenizers 0.23.3.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "formats/tokenizer_internal.h"

#define TOKEN(text, number, ...)                                                                   \
    {                                                                                              \
        .content = text, .length = sizeof(text) - 1, .id = number, __VA_ARGS__                     \
    }

/* What a scan finds, as "start-end:id" with a space behind each. */
static const char *scan(const struct snug_added_set *set, const struct snug_added_filter *filter,
                        const char *text)
{
    static char out[512];
    struct snug_added_scan state = {
        .set = set, .filter = filter, .text = text, .length = strlen(text)};
    struct snug_added_hit hit;
    size_t used = 0;
    out[0] = '\0';
    while (snug_added_scan_next(&state, &hit))
        used += (size_t)snprintf(out + used, sizeof out - used, "%zu-%zu:%d ", hit.start, hit.end,
                                 (int)hit.id);
    return out;
}

static void test_scan(void **state)
{
    (void)state;
    struct snug_added_token tokens[] = {
        TOKEN("<a>", 1, .lstrip = true),
        TOKEN("<b>", 2, .rstrip = true),
        TOKEN("<c>", 3, .lstrip = true, .rstrip = true, .special = true),
        TOKEN("word", 4, .single_word = true),
        TOKEN("wor", 5, .special = true),
        TOKEN("<a", 6, .special = false),
        TOKEN("<a><d", 7, .special = false),
        TOKEN(" q", 8, .special = false),
    };
    static const struct {
        const char *text;
        enum snug_added_tokens mode;
        int32_t banned;
        const char *expected;
    } rows[] = {
        {"", SNUG_ADDED_TOKENS_ALL, -1, ""},
        {"<", SNUG_ADDED_TOKENS_ALL, -1, ""},
        {"<a", SNUG_ADDED_TOKENS_ALL, -1, "0-2:6 "},
        {"<a>", SNUG_ADDED_TOKENS_ALL, -1, "0-3:1 "},
        {"<a><d", SNUG_ADDED_TOKENS_ALL, -1, "0-5:7 "},
        {"<a><c", SNUG_ADDED_TOKENS_ALL, -1, "0-3:1 "},
        {"<<a>>", SNUG_ADDED_TOKENS_ALL, -1, "1-4:1 "},
        {"x \t\xE3\x80\x80<a> y", SNUG_ADDED_TOKENS_ALL, -1, "1-9:1 "},
        {"x\xE2\x80\x8B<a>", SNUG_ADDED_TOKENS_ALL, -1, "4-7:1 "}, /* U+200B is no space */
        {"x\xE1\xA0\x8E<a>", SNUG_ADDED_TOKENS_ALL, -1, "4-7:1 "}, /* nor U+180E */
        {"<b> \n\xC2\x85x", SNUG_ADDED_TOKENS_ALL, -1, "0-7:2 "},
        {"<b>  <a>", SNUG_ADDED_TOKENS_ALL, -1, "0-5:2 5-8:1 "}, /* lstrip finds them taken */
        {" <c> <c> ", SNUG_ADDED_TOKENS_ALL, -1, "0-5:3 5-9:3 "},
        {"<b> q", SNUG_ADDED_TOKENS_ALL, -1, "0-4:2 3-5:8 "}, /* found though taken in */
        {"word", SNUG_ADDED_TOKENS_ALL, -1, "0-4:4 "},
        {"a word.", SNUG_ADDED_TOKENS_ALL, -1, "2-6:4 "},
        {"words", SNUG_ADDED_TOKENS_ALL, -1, ""}, /* and not "wor" instead */
        {"_word", SNUG_ADDED_TOKENS_ALL, -1, ""},
        {"\xC3\xA9word", SNUG_ADDED_TOKENS_ALL, -1, ""},
        {"word\xCC\x81", SNUG_ADDED_TOKENS_ALL, -1, ""},     /* a mark is a word character */
        {"word\xE2\x93\x90", SNUG_ADDED_TOKENS_ALL, -1, ""}, /* so is a circled letter */
        {"word\xE2\x80\x94", SNUG_ADDED_TOKENS_ALL, -1, "0-4:4 "},
        {"wort", SNUG_ADDED_TOKENS_ALL, -1, "0-3:5 "},
        {"wort<c><a>", SNUG_ADDED_TOKENS_NOT_SPECIAL, -1, "7-10:1 "},
        {"<a><a", SNUG_ADDED_TOKENS_ALL, 1, "3-5:6 "}, /* passed over as a whole */
        {"<a> q", SNUG_ADDED_TOKENS_NONE, -1, ""},
    };
    struct snug_added_set set;
    size_t duplicate = 0, count = sizeof tokens / sizeof tokens[0];
    assert_true(snug_added_set_init(&set, tokens, count, &duplicate));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snug_added_filter filter = {
            .mode = rows[i].mode, .banned = &rows[i].banned, .banned_count = 1};
        const char *found = scan(&set, &filter, rows[i].text);
        if (strcmp(found, rows[i].expected) != 0)
            fail_msg("\"%s\": %s, expected %s", rows[i].text, found, rows[i].expected);
    }
    assert_int_equal(snug_added_set_find(&set, "wor", 3)->id, 5);
    assert_null(snug_added_set_find(&set, "wo", 2));
    assert_null(snug_added_set_find(&set, "words", 5));
}

static void test_sets(void **state)
{
    (void)state;
    struct snug_added_token twice[] = {TOKEN("b", 1, .special = false),
                                       TOKEN("a", 2, .special = false),
                                       TOKEN("b", 3, .special = false)};
    struct snug_added_set set;
    struct snug_added_filter all = {.mode = SNUG_ADDED_TOKENS_ALL};
    size_t duplicate = 0;
    assert_false(snug_added_set_init(&set, twice, 3, &duplicate));
    assert_int_equal(duplicate, 2);
    assert_true(snug_added_set_init(&set, NULL, 0, &duplicate));
    assert_null(snug_added_set_find(&set, "a", 1));
    assert_string_equal(scan(&set, &all, "abc"), "");
}

/* Every byte can begin a pattern; against a plain search, with patterns that are parts of each
 * other. */
static void test_against_plain(void **state)
{
    (void)state;
    static const char *const contents[] = {"a",        "ab",   "abab", "abc", "b",   "bca",
                                           "\xFF\xFE", "\xFF", "ca",   "cab", "aaaa"};
    enum { COUNT = sizeof contents / sizeof contents[0] };
    struct snug_added_token tokens[COUNT];
    struct snug_added_set set;
    size_t duplicate = 0;
    for (int i = 0; i < COUNT; i++)
        tokens[i] = (struct snug_added_token){
            .content = contents[i], .length = strlen(contents[i]), .id = i};
    assert_true(snug_added_set_init(&set, tokens, COUNT, &duplicate));
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[13], wanted[512];
        size_t used = 0;
        for (int i = 0; i < 12; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = "abcabcax\xFF\xFE"[(seed >> 16) % 10];
        }
        text[12] = '\0';
        wanted[0] = '\0';
        for (size_t at = 0; at < 12;) {
            int best = -1;
            for (int i = 0; i < COUNT; i++)
                if (strncmp(text + at, contents[i], strlen(contents[i])) == 0 &&
                    (best < 0 || strlen(contents[i]) > strlen(contents[best])))
                    best = i;
            size_t length = best < 0 ? 1 : strlen(contents[best]);
            if (best >= 0)
                used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%zu-%zu:%d ", at,
                                         at + length, best);
            at += length;
        }
        struct snug_added_filter all = {.mode = SNUG_ADDED_TOKENS_ALL};
        assert_string_equal(scan(&set, &all, text), wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_against_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
