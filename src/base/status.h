/* What a fallible function answers, and the words that go with it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_STATUS_H
#define SNUG_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

/* One line a status: name, text (stands in rows and messages), exit code of the command line,
 * HTTP code of the server to come. */
#define SNUG_STATUS_LIST(X)                                                                        \
    X(OK, "ok", 0, 200)                                                                            \
    X(USAGE, "usage", 2, 400)             /* the caller's request makes no sense */                \
    X(IO, "io", 1, 500)                   /* reading or writing failed */                          \
    X(NOT_FOUND, "not_found", 1, 404)     /* no such file, folder, tensor */                       \
    X(FORMAT, "bad_format", 1, 422)       /* malformed, truncated or damaged input */              \
    X(UNSUPPORTED, "unsupported", 1, 415) /* well formed, but not something we read */             \
    X(LIMIT, "limit", 1, 413)             /* beyond a maximum of base/limits.h */                  \
    X(SHAPE, "shape", 3, 500)             /* operands that do not go together */                   \
    X(MODEL, "model", 3, 500)             /* model folder unusable */                              \
    X(SCHEMA, "schema", 3, 400)           /* schema file unusable */                               \
    X(MEMORY, "memory", 4, 507)           /* an allocation was refused */                          \
    X(DOES_NOT_FIT, "does_not_fit", 4, 507)                                                        \
    X(NON_FINITE, "non_finite", 1, 500)   /* NaN or infinity where a number must be */             \
    X(DEVICE, "device", 5, 507)           /* a device's copy or launch failed */                   \
    X(DEVICE_LOST, "device_lost", 5, 507) /* and it has gone, with all its memory */               \
    X(INTERRUPTED, "interrupted", 130, 503)

enum snug_status {
#define X(name, text, exit_code, http_code) SNUG_STATUS_##name,
    SNUG_STATUS_LIST(X)
#undef X
        SNUG_STATUS_COUNT
};

#define SNUG_ERROR_MESSAGE_BYTES 512

/* Owned by the caller, who may pass NULL where the detail does not matter. Filled only on failure.
 */
struct snug_error {
    enum snug_status status;
    char message[SNUG_ERROR_MESSAGE_BYTES]; /* NUL-terminated UTF-8: what is wrong, where, what to
                                               do */
};

/* A fallible function: its result must be looked at. */
#define SNUG_CHECK_RESULT __attribute__((warn_unused_result))
#define SNUG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

const char *snug_status_text(enum snug_status status);
int snug_status_exit_code(enum snug_status status);
int snug_status_http_code(enum snug_status status);

/* Fills *error (if not NULL) and returns status, so that `return snug_error_set(...)` reads well.
 * A message that does not fit ends in "..." at a UTF-8 boundary; control characters become '?'. */
enum snug_status snug_error_set(struct snug_error *error, enum snug_status status,
                                const char *format, ...) SNUG_PRINTF(3, 4);

/* Puts "prefix: " before the message already in *error (context added on the way up); returns
 * error->status, or `status` if error is NULL. */
enum snug_status snug_error_prefix(struct snug_error *error, enum snug_status status,
                                   const char *format, ...) SNUG_PRINTF(3, 4);

/* Passes a failure on: for functions with nothing to release. */
#define SNUG_TRY(call)                                                                             \
    do {                                                                                           \
        enum snug_status snug_try_status = (call);                                                 \
        if (snug_try_status)                                                                       \
            return snug_try_status;                                                                \
    } while (0)

/* A broken invariant: a bug of ours, also in release builds. Prints and aborts. */
void snug_assert_failed(const char *expression, const char *file, int line)
    __attribute__((noreturn));
#define SNUG_ASSERT(expression)                                                                    \
    ((expression) ? (void)0 : snug_assert_failed(#expression, __FILE__, __LINE__))

#endif
