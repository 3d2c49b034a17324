/* Dates in all their shapes, and ranges.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/normalise.h"

static void put(char out[64], struct snug_date date)
{
    snprintf(out, 64, "%04d-%02d-%02d", date.year, date.month, date.day);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text, *date; /* date: "" for none */
    } cases[] = {{"05/01/2024", "2024-01-05"},
                 {"5/1/2024", "2024-01-05"},
                 {"05-01-2024", "2024-01-05"},
                 {"05.01.2024", "2024-01-05"},
                 {"05 01 2024", "2024-01-05"},
                 {"05/01/24", "2024-01-05"},
                 {"05-01-24", "2024-01-05"},
                 {"05.01.24", "2024-01-05"},
                 {"2024-01-05", "2024-01-05"},
                 {"2024/01/05", "2024-01-05"},
                 {"2024.01.05", "2024-01-05"},
                 {"20240105", "2024-01-05"},
                 {"05012024", "2024-01-05"},
                 {"5 Jan 2024", "2024-01-05"},
                 {"05 January 2024", "2024-01-05"},
                 {"05-Jan-2024", "2024-01-05"},
                 {"05-Jan-24", "2024-01-05"},
                 {"05/Jan/2024", "2024-01-05"},
                 {"5 Jan '24", "2024-01-05"},
                 {"5 Jan \xe2\x80\x99"
                  "24",
                  "2024-01-05"},
                 {"05Jan2024", "2024-01-05"},
                 {"05JAN24", "2024-01-05"},
                 {"5th January 2024", "2024-01-05"},
                 {"1st of May 2024", "2024-05-01"},
                 {"Jan 5, 2024", "2024-01-05"},
                 {"January 5th, 2024", "2024-01-05"},
                 {"2024-Jan-05", "2024-01-05"},
                 {"Friday, 5 January 2024", "2024-01-05"},
                 {"Fri 05/01/2024", "2024-01-05"},
                 {"05/01/2024 10:33", "2024-01-05"},
                 {"05/01/2024 10:33:01 AM", "2024-01-05"},
                 {"2024-01-05T10:33:01Z", "2024-01-05"},
                 {"5 Jan 2024 at 3 PM", "2024-01-05"},
                 {"5 Sept 2024", "2024-09-05"},
                 {"29/02/2024", "2024-02-29"},
                 {"29/02/2023", ""},
                 {"31/04/2024", ""},
                 {"12/31/2024", "2024-12-31"},
                 {"01/01/68", "2068-01-01"},
                 {"01/01/69", "1969-01-01"},
                 {"00/01/2024", ""},
                 {"32/01/2024", ""},
                 {"13/13/2024", ""},
                 {"", ""},
                 {"2024", ""},
                 {"5 2024", ""},
                 {"NOT_FOUND", ""},
                 {"05/01/202", ""},
                 {"5/1/2024/6", ""},
                 {"999999999", ""},
                 {"Jan Feb Mar", ""},
                 {"5 Foo 2024", ""},
                 {"10:30", ""},
                 {"Ma 5 2024", ""},
                 {"1 2 3 4 5 6 7 8 9", ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_date date = {0};
        char text[64] = "";
        if (snug_normalise_date(cases[i].text, &date))
            put(text, date);
        if (strcmp(text, cases[i].date) != 0)
            fail_msg("\"%s\" gave \"%s\", wanted \"%s\"", cases[i].text, text, cases[i].date);
    }
}

static void test_days(void **state)
{
    (void)state;
    struct snug_date epoch = {1970, 1, 1}, leap = {2024, 2, 29}, march = {2024, 3, 1},
                     late = {2024, 12, 31};
    assert_int_equal(snug_date_days(epoch), 719528);
    assert_int_equal(snug_date_days(march) - snug_date_days(leap), 1);
    assert_int_equal(snug_date_days(late) - snug_date_days(epoch), 20088);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *text, *range;
    } cases[] = {{"24/06/2023 to 26/01/2024", "2023-06-24 2024-01-26"},
                 {"24/06/2023 - 26/01/2024", "2023-06-24 2024-01-26"},
                 {"24/06/2023-26/01/2024", "2023-06-24 2024-01-26"},
                 {"24/06/2023 \xe2\x80\x93 26/01/2024", "2023-06-24 2024-01-26"},
                 {"From 24 June 2023 to 26 Jan 2024", "2023-06-24 2024-01-26"},
                 {"24-06-2023 - 26-01-2024", "2023-06-24 2024-01-26"},
                 {"2023-06-24 to 2024-01-26", "2023-06-24 2024-01-26"},
                 {"between 1/5/24 and 31/5/24", "2024-05-01 2024-05-31"},
                 {"1 May to 31 May 2024", "2024-05-01 2024-05-31"},
                 {"1 - 31 May 2024", "2024-05-01 2024-05-31"},
                 {"May 1 - May 31, 2024", "2024-05-01 2024-05-31"},
                 {"1 Oct 2023 until 2 Oct 2023", "2023-10-01 2023-10-02"},
                 {"24/06/2023TO26/01/2024", ""},
                 {"24/06/2023", ""},
                 {"", ""},
                 {"to", ""},
                 {"24/06/2023 to", ""},
                 {"a to b", ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct snug_date from = {0}, to = {0};
        char first[64], second[64], text[130] = "";
        if (snug_normalise_date_range(cases[i].text, &from, &to)) {
            put(first, from);
            put(second, to);
            snprintf(text, sizeof text, "%s %s", first, second);
        }
        if (strcmp(text, cases[i].range) != 0)
            fail_msg("\"%s\" gave \"%s\", wanted \"%s\"", cases[i].text, text, cases[i].range);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dates), cmocka_unit_test(test_days),
                                       cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
