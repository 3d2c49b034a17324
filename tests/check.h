/* What every cmocka test includes first, and a few helpers.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_CHECK_H
#define SNUG_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file of the repository: ROOT/name, into one of 64 static buffers. */
static inline const char *test_path(const char *name)
{
    static char path[64][1024];
    static int next;
    const char *root = getenv("SNUG_SOURCE_ROOT");
    char *out = path[next++ % 64];
    snprintf(out, sizeof path[0], "%s/%s", root ? root : ".", name);
    return out;
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        enum snug_status assert_ok_status = (call);                                                \
        if (assert_ok_status)                                                                      \
            fail_msg("%s: %s: %s", #call, snug_status_text(assert_ok_status), error.message);      \
    } while (0)

#endif
