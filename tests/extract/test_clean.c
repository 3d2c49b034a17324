/* The clean copy and the splitting of lists.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/parse_internal.h"

/* '~' stands for SNUG_CLEAN_NOTHING, '!' for _END, '^' for _BREAK. */
static void test_copy(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *clean;
    } cases[] = {{"abc", "abc"},
                 {"a\r\nb\rc", "a~\nb\nc"},
                 {"a\\_b\\c", "a~_b\\c"},
                 {"a<|im_end|>b", "a!~~~~~~~~~b"},
                 {"<|x_1|>", "~~~~~~~"},
                 {"<||>", "<||>"},
                 {"<|a b|>", "<|a b|>"},
                 {"<s>a</s>", "~~~a!~~~"},
                 {"a<br>b", "a^~~~b"},
                 {"a<br />b", "a^~~~~~b"},
                 {"<b>", "<b>"},
                 {"a\x02\x03\x7f"
                  "b",
                  "a~~~b"},
                 {"a\xef\xbc\x9a"
                  "b",
                  "a:~~b"},
                 {"a\tb\n", "a\tb\n"},
                 {"a\\", "a\\"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char clean[64];
        size_t length = strlen(cases[i].raw);
        snug_clean_copy(cases[i].raw, length, clean);
        for (size_t j = 0; j < length; j++)
            clean[j] = clean[j] == SNUG_CLEAN_NOTHING ? '~'
                       : clean[j] == SNUG_CLEAN_END   ? '!'
                       : clean[j] == SNUG_CLEAN_BREAK ? '^'
                                                      : clean[j];
        clean[length] = '\0';
        assert_string_equal(clean, cases[i].clean);
    }
}

static void test_trim(void **state)
{
    (void)state;
    static const struct {
        const char *text, *trimmed;
    } cases[] = {{"  a ", "a"},
                 {"**a**", "a"},
                 {"** a b", "a b"},
                 {"`a`", "a"},
                 {"\"a\"", "a"},
                 {"\"a\",", "a"},
                 {"\"a\" b \"c\"", "\"a\" b \"c\""},
                 {"'a'", "a"},
                 {"_a_", "a"},
                 {"__a__", "a"},
                 {"*a*", "a"},
                 {"<a@b.c>", "a@b.c"},
                 {"[a](b)", "a"},
                 {"[a] (b)", "[a] (b)"},
                 {"a*", "a*"},
                 {"***a***", "a"},
                 {"\xe2\x80\x9c"
                  "a\xe2\x80\x9d",
                  "a"},
                 {"", ""},
                 {"**", ""},
                 {"\"", "\""},
                 {"``", ""},
                 {"O'Brien's", "O'Brien's"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_range range = {0, strlen(cases[i].text)};
        char out[64];
        snug_clean_trim(cases[i].text, &range);
        snprintf(out, sizeof out, "%.*s", (int)(range.end - range.start),
                 cases[i].text + range.start);
        assert_string_equal(out, cases[i].trimmed);
    }
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        enum snug_field_type item;
        const char *text, *list; /* text: pieces are its lines */
        bool real;
    } cases[] = {
        {SNUG_FIELD_TYPE_TEXT, "a|b", "a | b", true},
        {SNUG_FIELD_TYPE_TEXT, "a, b", "a | b", true},
        {SNUG_FIELD_TYPE_TEXT, "Size 1,5 m", "Size 1,5 m", true},
        {SNUG_FIELD_TYPE_MONEY, "1,234,567.00", "1,234,567.00", true},
        {SNUG_FIELD_TYPE_MONEY, "$1,234,$5", "$1,234 | $5", true},
        {SNUG_FIELD_TYPE_MONEY, "1.50,2.50", "1.50 | 2.50", true},
        {SNUG_FIELD_TYPE_NUMBER, "1,2,3", "1 | 2 | 3", true},
        {SNUG_FIELD_TYPE_NUMBER, "1, 200, 3", "1 | 200 | 3", true},
        {SNUG_FIELD_TYPE_TEXT, "a\nb,\nc", "a | b | c", true},
        {SNUG_FIELD_TYPE_TEXT, "a |\nb", "a | b", true},
        {SNUG_FIELD_TYPE_TEXT, "a | | b | ", "a | NOT_FOUND | b", true},
        {SNUG_FIELD_TYPE_TEXT, "- | N/A", "- | N/A", false},
        {SNUG_FIELD_TYPE_TEXT, "**a** | `b`", "a | b", true},
        {SNUG_FIELD_TYPE_TEXT, "", "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_field field = {.type = SNUG_FIELD_TYPE_LIST, .item = cases[i].item};
        struct snug_range pieces[8], covered = {0};
        size_t count = 0, start = 0;
        for (size_t at = 0;; at++)
            if (cases[i].text[at] == '\n' || cases[i].text[at] == '\0') {
                pieces[count++] = (struct snug_range){start, at};
                start = at + 1;
                if (cases[i].text[at] == '\0')
                    break;
            }
        struct snug_text out;
        bool real = false;
        snug_text_init(&out, snug_allocator_heap(), 1000);
        snug_list_build(cases[i].text, pieces, count, &field, "NOT_FOUND", &out, &real, &covered);
        assert_string_equal(snug_text_c(&out), cases[i].list);
        assert_int_equal(real, cases[i].real);
        snug_text_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copy), cmocka_unit_test(test_trim),
                                       cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
