/* Geometric means over the tokens of a range.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/confidence.h"

#include <math.h>

static void test_ranges(void **state)
{
    (void)state;
    /* Texts of 3, 0, 2, 4 and 1 bytes; the second wrote nothing. */
    const size_t ends[] = {3, 3, 5, 9, 10};
    const double p[] = {0.5, 0.001, 0.25, 1.0, 0.125};
    double logarithms[5];
    for (int i = 0; i < 5; i++)
        logarithms[i] = log(p[i]);
    static const struct {
        size_t start, end;
        double confidence; /* -1: NaN */
    } cases[] = {{0, 3, 0.5},
                 {0, 1, 0.5},
                 {2, 3, 0.5},
                 {3, 5, 0.25},
                 {4, 5, 0.25},
                 {2, 4, 0.3535533905932738},
                 {5, 9, 1.0},
                 {9, 10, 0.125},
                 {0, 10, 0.3535533905932738},
                 {3, 3, -1},
                 {0, 0, -1},
                 {10, 12, -1},
                 {8, 20, 0.3535533905932738}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        double got = snug_field_confidence(cases[i].start, cases[i].end, ends, logarithms, 5);
        bool same = cases[i].confidence < 0 ? isnan(got) : fabs(got - cases[i].confidence) < 1e-12;
        if (!same)
            fail_msg("[%zu, %zu): %.17g, wanted %.17g", cases[i].start, cases[i].end, got,
                     cases[i].confidence);
    }
    assert_true(isnan(snug_field_confidence(0, 5, ends, logarithms, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
