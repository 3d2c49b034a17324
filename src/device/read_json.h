/* Reads one JSON object of a devices file or a script, strictly. Private to this folder.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_READ_JSON_H
#define SNUG_DEVICE_READ_JSON_H

#include "base/json.h"
#include "device/profile.h"

struct snug_device_json {
    const char *file;
    char where[64]; /* "device 3 (t4-16gb)", for messages; "": the file's one object */
    json_t *object;
    struct snug_error *error;
};

/* FORMAT. FILE: WHERE: "KEY" and the rest. */
enum snug_status snug_device_json_fail(const struct snug_device_json *json, const char *key,
                                       const char *format, ...) SNUG_PRINTF(3, 4);
/* Every key of the object must be known; `what`: "a device", for messages. */
SNUG_CHECK_RESULT enum snug_status snug_device_json_keys(const struct snug_device_json *json,
                                                         const char *const *known, size_t count,
                                                         const char *what);
/* The value, or *out as it was if the key is missing. A string has 1..room-1 bytes and no control
 * character; a size is at most SNUG_MAX_DEVICE_MEMORY_BYTES. Errors: FORMAT. */
SNUG_CHECK_RESULT enum snug_status snug_device_json_string(const struct snug_device_json *json,
                                                           const char *key, size_t room,
                                                           const char **out);
SNUG_CHECK_RESULT enum snug_status snug_device_json_size(const struct snug_device_json *json,
                                                         const char *key, uint64_t *out);
SNUG_CHECK_RESULT enum snug_status snug_device_json_integer(const struct snug_device_json *json,
                                                            const char *key, int64_t low,
                                                            int64_t high, int64_t *out);
SNUG_CHECK_RESULT enum snug_status snug_device_json_number(const struct snug_device_json *json,
                                                           const char *key, double low, double high,
                                                           double *out);
/* memory, reserved, granularity and the four speeds: what is missing stays as it is in *profile. */
SNUG_CHECK_RESULT enum snug_status snug_device_json_figures(const struct snug_device_json *json,
                                                            struct snug_device_profile *profile);

#endif
