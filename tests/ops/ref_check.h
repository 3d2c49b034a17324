/* What the tests of the reference share. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_TESTS_OPS_REF_CHECK_H
#define SNUG_TESTS_OPS_REF_CHECK_H

#include "base/math.h"
#include "ops/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BIG 16777216.0f /* 2^24: adding 1 to it is lost, adding 2 is not */

static inline void check(const char *what, int64_t index, float got, float want)
{
    if (snug_f32_bits(got) != snug_f32_bits(want))
        fail_msg("%s [%lld]: got %a, want %a", what, (long long)index, (double)got, (double)want);
}

static inline void check_near(const char *what, int64_t index, float got, double want,
                              double distance)
{
    if (!(fabs((double)got - want) <= distance))
        fail_msg("%s [%lld]: got %.9g, want %.9g within %g", what, (long long)index, (double)got,
                 want, distance);
}

#endif
