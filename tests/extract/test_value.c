/* Absent words and list items.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/value.h"

static void test_absent(void **state)
{
    (void)state;
    static const char *const absent[] = {"",
                                         "  ",
                                         "NOT_FOUND",
                                         "not_found",
                                         " NOT_FOUND. ",
                                         "NOT_FOUND (not shown)",
                                         "NOT_FOUND - no email",
                                         "(NOT_FOUND)",
                                         "[not found]",
                                         "<none>",
                                         "N/A",
                                         "n/a",
                                         "NA",
                                         "N.A.",
                                         "none",
                                         "None.",
                                         "null",
                                         "NULL",
                                         "nil",
                                         "NaN",
                                         "empty",
                                         "Not Found",
                                         "not available",
                                         "Not provided",
                                         "not specified",
                                         "-",
                                         "--",
                                         "\xe2\x80\x94",
                                         "\xe2\x80\x93",
                                         "_",
                                         "...",
                                         "\xc2\xa0"};
    static const char *const values[] = {"0",           "$0.00",
                                         "NOT_FOUNDRY", "Nil Desperandum",
                                         "nana",        "Nan's Kitchen",
                                         "NA&A",        "none of them",
                                         "-5",          "- 12",
                                         "a",           "Null Pty Ltd",
                                         "\xc3\xa9",    "Not Found Records",
                                         "()x"};
    for (size_t i = 0; i < COUNT(absent); i++)
        if (!snug_value_is_absent(absent[i], strlen(absent[i]), NULL))
            fail_msg("\"%s\" should be absent", absent[i]);
    for (size_t i = 0; i < COUNT(values); i++)
        if (snug_value_is_absent(values[i], strlen(values[i]), NULL))
            fail_msg("\"%s\" should be a value", values[i]);
    assert_true(snug_value_is_absent("missing", 7, "MISSING"));
    assert_false(snug_value_is_absent("missing", 7, NULL));
    /* A plain word may begin a real value. */
    assert_false(snug_value_is_absent("missing link", 12, "MISSING"));
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list, *items; /* items between slashes */
    } cases[] = {
        {"", ""},           {"a", "a/"},     {"a | b", "a/b/"},   {"a|b|c", "a/b/c/"},
        {"a | ", "a//"},    {" | a", "/a/"}, {"a || b", "a//b/"}, {"NOT_FOUND | b", "NOT_FOUND/b/"},
        {"  x y  ", "x y/"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char joined[64] = "";
        size_t offset = 0, length, count = 0;
        const char *item;
        while (snug_list_next(cases[i].list, &offset, &item, &length)) {
            snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%.*s/", (int)length,
                     item);
            count++;
        }
        assert_string_equal(joined, cases[i].items);
        assert_int_equal(snug_list_count(cases[i].list), count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent), cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
