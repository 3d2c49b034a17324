/* Tests of base/status.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void test_table(void **state)
{
    (void)state;
    static const struct {
        enum snug_status status;
        const char *text;
        int exit_code, http_code;
    } cases[] = {
        {SNUG_STATUS_OK, "ok", 0, 200},
        {SNUG_STATUS_USAGE, "usage", 2, 400},
        {SNUG_STATUS_FORMAT, "bad_format", 1, 422},
        {SNUG_STATUS_MEMORY, "memory", 4, 507},
        {SNUG_STATUS_INTERRUPTED, "interrupted", 130, 503},
        {SNUG_STATUS_DEVICE, "device", 5, 507},
        {SNUG_STATUS_DEVICE_LOST, "device_lost", 5, 507},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(snug_status_text(cases[i].status), cases[i].text);
        assert_int_equal(snug_status_exit_code(cases[i].status), cases[i].exit_code);
        assert_int_equal(snug_status_http_code(cases[i].status), cases[i].http_code);
    }
    /* texts stand in rows: no two statuses may share one */
    for (int a = 0; a < SNUG_STATUS_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(snug_status_text((enum snug_status)a),
                                    snug_status_text((enum snug_status)b));
}

static void test_set(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"Gr\xc3\xb6\xc3\x9f"
         "e \xe2\x82\xac",
         "Gr\xc3\xb6\xc3\x9f"
         "e \xe2\x82\xac"},
        {"a\nb\tc\x1b[31m\x7f", "a?b?c?[31m?"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 ?31m"},
        {"bad \xff and \xe2\x82", "bad ? and ?"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_error error;
        assert_int_equal(snug_error_set(&error, SNUG_STATUS_FORMAT, "%s", cases[i].text),
                         SNUG_STATUS_FORMAT);
        assert_int_equal(error.status, SNUG_STATUS_FORMAT);
        assert_string_equal(error.message, cases[i].expected);
    }
    assert_int_equal(snug_error_set(NULL, SNUG_STATUS_IO, "x"), SNUG_STATUS_IO);
    assert_int_equal(snug_error_prefix(NULL, SNUG_STATUS_IO, "x"), SNUG_STATUS_IO);
}

/* Every length round the maximum, with characters of 1 to 4 bytes: valid, cut at a boundary. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    char text[1300];

    for (size_t c = 0; c < 4; c++) {
        size_t size = strlen(characters[c]);
        for (size_t lead = 0; lead < 5; lead++) {
            for (size_t count = 480 / size; count <= 1200 / size; count++) {
                size_t length = lead + count * size;
                memset(text, 'x', lead);
                for (size_t i = 0; i < count; i++)
                    memcpy(text + lead + i * size, characters[c], size);
                text[length] = '\0';

                struct snug_error error;
                (void)snug_error_set(&error, SNUG_STATUS_IO, "%s", text);
                size_t got = strlen(error.message);
                assert_true(snug_utf8_valid(error.message, got));
                if (length <= SNUG_ERROR_MESSAGE_BYTES - 1) {
                    assert_string_equal(error.message, text);
                    continue;
                }
                assert_in_range(got, SNUG_ERROR_MESSAGE_BYTES - 4, SNUG_ERROR_MESSAGE_BYTES - 1);
                assert_string_equal(error.message + got - 3, "...");
                assert_memory_equal(error.message, text, got - 3);
            }
        }
    }
}

static void test_prefix(void **state)
{
    (void)state;
    struct snug_error error;

    (void)snug_error_set(&error, SNUG_STATUS_NOT_FOUND, "no such tensor");
    assert_int_equal(snug_error_prefix(&error, SNUG_STATUS_IO, "%s, layer %d", "model", 3),
                     SNUG_STATUS_NOT_FOUND);
    assert_string_equal(error.message, "model, layer 3: no such tensor");
    /* arguments that point into the message itself */
    (void)snug_error_prefix(&error, SNUG_STATUS_IO, "%s", error.message);
    assert_string_equal(error.message,
                        "model, layer 3: no such tensor: model, layer 3: no such tensor");
    for (int i = 0; i < 20; i++)
        (void)snug_error_prefix(&error, SNUG_STATUS_IO, "one more level of context");
    assert_string_equal(error.message + strlen(error.message) - 3, "...");
    assert_in_range(strlen(error.message), 500, SNUG_ERROR_MESSAGE_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
