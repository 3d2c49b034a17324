/* Strict reading: a typing error in a figure would be a wrong plan.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/read_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum snug_status snug_device_json_fail(const struct snug_device_json *json, const char *key,
                                       const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return snug_error_set(json->error, SNUG_STATUS_FORMAT, "%s: %s%s\"%s\" %s", json->file,
                          json->where, *json->where ? ": " : "", key, text);
}

enum snug_status snug_device_json_keys(const struct snug_device_json *json,
                                       const char *const *known, size_t count, const char *what)
{
    const char *key;
    json_t *value;
    json_object_foreach(json->object, key, value)
    {
        (void)value;
        size_t i = 0;
        while (i < count && strcmp(known[i], key))
            i++;
        if (i < count)
            continue;
        char list[192] = "";
        for (size_t k = 0, used = 0; k < count && used < sizeof list; k++)
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : "", known[k]);
        return snug_device_json_fail(json, key, "is not known here; %s has %s", what, list);
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_json_string(const struct snug_device_json *json, const char *key,
                                         size_t room, const char **out)
{
    json_t *value = json_object_get(json->object, key);
    if (!value)
        return SNUG_STATUS_OK;
    if (!json_is_string(value))
        return snug_device_json_fail(json, key, "must be a string");
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!length || length >= room)
        return snug_device_json_fail(json, key, "has %zu bytes; 1 to %zu are allowed", length,
                                     room - 1);
    for (size_t at = 0; at < length;) {
        uint32_t c = 0;
        int bytes = snug_utf8_decode((const unsigned char *)text + at, length - at, &c);
        if (bytes <= 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return snug_device_json_fail(json, key, "has a control character");
        at += (size_t)bytes;
    }
    *out = text;
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_json_size(const struct snug_device_json *json, const char *key,
                                       uint64_t *out)
{
    json_t *value = json_object_get(json->object, key);
    uint64_t bytes = 0;
    if (!value)
        return SNUG_STATUS_OK;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        bytes = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !snug_size_parse(json_string_value(value), &bytes))
        return snug_device_json_fail(
            json, key,
            "must be a size: whole bytes, or a string such as \"16GiB\" or \"15841MiB\"");
    if (bytes > SNUG_MAX_DEVICE_MEMORY_BYTES)
        return snug_device_json_fail(json, key, "is %llu bytes; at most %llu are believed",
                                     (unsigned long long)bytes,
                                     (unsigned long long)SNUG_MAX_DEVICE_MEMORY_BYTES);
    *out = bytes;
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_json_integer(const struct snug_device_json *json, const char *key,
                                          int64_t low, int64_t high, int64_t *out)
{
    json_t *value = json_object_get(json->object, key);
    if (!value)
        return SNUG_STATUS_OK;
    int64_t number = json_integer_value(value); /* 0 if it is none */
    if (!json_is_integer(value) || number < low || number > high)
        return snug_device_json_fail(json, key, "must be a whole number from %lld to %lld",
                                     (long long)low, (long long)high);
    *out = number;
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_json_number(const struct snug_device_json *json, const char *key,
                                         double low, double high, double *out)
{
    json_t *value = json_object_get(json->object, key);
    if (!value)
        return SNUG_STATUS_OK;
    double number = json_number_value(value); /* 0 if it is none */
    if (!json_is_number(value) || !isfinite(number) || number < low || number > high)
        return snug_device_json_fail(json, key, "must be a number from %.15g to %.15g", low, high);
    *out = number;
    return SNUG_STATUS_OK;
}

static enum snug_status read_sizes(const struct snug_device_json *json,
                                   struct snug_device_profile *profile)
{
    SNUG_TRY(snug_device_json_size(json, "memory", &profile->memory_bytes));
    if (!profile->memory_bytes)
        return snug_device_json_fail(json, "memory", "is 0");
    SNUG_TRY(snug_device_json_size(json, "reserved", &profile->reserved_bytes));
    if (profile->reserved_bytes >= profile->memory_bytes)
        return snug_device_json_fail(
            json, "reserved", "is %llu bytes, which leaves nothing of the memory's %llu",
            (unsigned long long)profile->reserved_bytes, (unsigned long long)profile->memory_bytes);
    SNUG_TRY(snug_device_json_size(json, "granularity", &profile->granularity_bytes));
    uint64_t grain = profile->granularity_bytes;
    if (!grain || grain & (grain - 1) || grain > profile->memory_bytes)
        return snug_device_json_fail(json, "granularity",
                                     "is %llu bytes; it must be a power of two, at most the memory",
                                     (unsigned long long)grain);
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_json_figures(const struct snug_device_json *json,
                                          struct snug_device_profile *profile)
{
    struct {
        const char *key;
        double *speed;
    } speeds[] = {{"read_gbs", &profile->read_gbs},
                  {"f32_gflops", &profile->f32_gflops},
                  {"int8_gops", &profile->int8_gops},
                  {"link_gbs", &profile->link_gbs}};
    SNUG_TRY(read_sizes(json, profile));
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++)
        SNUG_TRY(snug_device_json_number(json, speeds[i].key, 0, SNUG_MAX_DEVICE_SPEED,
                                         speeds[i].speed));
    return SNUG_STATUS_OK;
}
