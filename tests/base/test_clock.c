/* Tests of base/clock.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

static void test_clock(void **state)
{
    (void)state;
    double before = snug_clock_ms(), last = before;

    for (int i = 0; i < 1000; i++) {
        double now = snug_clock_ms();
        assert_true(now >= last);
        last = now;
    }
    struct timespec nap = {.tv_nsec = 5000000};
    nanosleep(&nap, NULL);
    double took = snug_clock_ms() - before;
    if (took < 4.9 || took > 60000)
        fail_msg("a nap of 5 ms took %g ms", took);
}

struct seen {
    int calls;
    enum snug_log_level level;
    char message[SNUG_ERROR_MESSAGE_BYTES];
};

static void note(void *context, enum snug_log_level level, const char *message)
{
    struct seen *seen = context;

    seen->calls++;
    seen->level = level;
    strncpy(seen->message, message, sizeof seen->message - 1);
}

static void test_log(void **state)
{
    (void)state;
    struct seen seen = {0};

    snug_log_write(SNUG_LOG_LEVEL_WARNING, "nobody listens %d", 1);
    snug_log_set(note, &seen);
    snug_log_write(SNUG_LOG_LEVEL_WARNING, "page %d\n", 3);
    snug_log_set(NULL, NULL);
    snug_log_write(SNUG_LOG_LEVEL_WARNING, "nobody listens");
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.level, SNUG_LOG_LEVEL_WARNING);
    assert_string_equal(seen.message, "page 3?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
