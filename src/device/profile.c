/* Reads devices files, strictly: a typing error in a figure would be a wrong plan.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/profile.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GPU_GRANULARITY_BYTES (UINT64_C(2) << 20)
#define CPU_GRANULARITY_BYTES UINT64_C(4096)

static const char *const kind_names[SNUG_DEVICE_KIND_COUNT] = {"cpu", "gpu"};

const char *snug_device_kind_name(enum snug_device_kind kind)
{
    return (unsigned)kind < SNUG_DEVICE_KIND_COUNT ? kind_names[kind] : "?";
}

uint64_t snug_device_profile_usable_bytes(const struct snug_device_profile *profile)
{
    uint64_t bytes = profile->memory_bytes - profile->reserved_bytes;
    return bytes - bytes % profile->granularity_bytes;
}

/* ---- reading one device ---- */

struct reader {
    const char *file;
    char where[64]; /* "device 3 (t4-16gb)", for messages */
    json_t *object;
    struct snug_error *error;
};

static enum snug_status fail(const struct reader *reader, const char *key, const char *format, ...)
    SNUG_PRINTF(3, 4);

/* FILE: WHERE: "KEY" and the rest. */
static enum snug_status fail(const struct reader *reader, const char *key, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return snug_error_set(reader->error, SNUG_STATUS_FORMAT, "%s: %s: \"%s\" %s", reader->file,
                          reader->where, key, text);
}

static enum snug_status check_keys(const struct reader *reader)
{
    static const char *const known[] = {"name",        "title",    "kind",       "memory",
                                        "reserved",    "read_gbs", "f32_gflops", "int8_gops",
                                        "granularity", "link_gbs", "source"};
    const char *key;
    json_t *value;
    json_object_foreach(reader->object, key, value)
    {
        (void)value;
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key))
            i++;
        if (i == sizeof known / sizeof *known)
            return fail(reader, key,
                        "is not known here; a device has name, title, kind, memory, reserved, "
                        "granularity, read_gbs, f32_gflops, int8_gops, link_gbs, source");
    }
    return SNUG_STATUS_OK;
}

/* A string of 1..room-1 bytes without control characters. A missing key leaves *out alone. */
static enum snug_status get_string(const struct reader *reader, const char *key, size_t room,
                                   const char **out)
{
    json_t *value = json_object_get(reader->object, key);
    if (!value)
        return SNUG_STATUS_OK;
    if (!json_is_string(value))
        return fail(reader, key, "must be a string");
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!length || length >= room)
        return fail(reader, key, "has %zu bytes; 1 to %zu are allowed", length, room - 1);
    for (size_t at = 0; at < length;) {
        uint32_t c = 0;
        int bytes = snug_utf8_decode((const unsigned char *)text + at, length - at, &c);
        if (bytes <= 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return fail(reader, key, "has a control character");
        at += (size_t)bytes;
    }
    *out = text;
    return SNUG_STATUS_OK;
}

static enum snug_status get_size(const struct reader *reader, const char *key, uint64_t *out)
{
    json_t *value = json_object_get(reader->object, key);
    uint64_t bytes = 0;
    if (!value)
        return SNUG_STATUS_OK;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        bytes = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !snug_size_parse(json_string_value(value), &bytes))
        return fail(reader, key,
                    "must be a size: whole bytes, or a string such as \"16GiB\" or \"15841MiB\"");
    if (bytes > SNUG_MAX_DEVICE_MEMORY_BYTES)
        return fail(reader, key, "is %llu bytes; at most %llu are believed",
                    (unsigned long long)bytes, (unsigned long long)SNUG_MAX_DEVICE_MEMORY_BYTES);
    *out = bytes;
    return SNUG_STATUS_OK;
}

static enum snug_status get_speed(const struct reader *reader, const char *key, double *out)
{
    json_t *value = json_object_get(reader->object, key);
    if (!value)
        return SNUG_STATUS_OK;
    double speed = json_number_value(value); /* 0 if it is none */
    if (!json_is_number(value) || !isfinite(speed) || speed < 0 || speed > SNUG_MAX_DEVICE_SPEED)
        return fail(reader, key, "must be a number from 0 (not known) to %.0f",
                    SNUG_MAX_DEVICE_SPEED);
    *out = speed;
    return SNUG_STATUS_OK;
}

/* Names stand on command lines: nothing that needs quoting, and no colon ("sim:NAME"). */
static bool name_is_plain(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool word = snug_ascii_is_digit(*c) || (*c >= 'a' && *c <= 'z');
        if (!word && (c == name || !strchr("-._", *c)))
            return false;
    }
    return true;
}

static enum snug_status read_name(struct reader *reader, struct snug_device_profile *profile)
{
    const char *name = NULL;
    SNUG_TRY(get_string(reader, "name", sizeof profile->name, &name));
    if (!name)
        return fail(reader, "name", "is missing");
    if (!name_is_plain(name))
        return fail(reader, "name",
                    "is \"%s\"; it may hold a-z, 0-9, '-', '.' and '_', a letter or digit first",
                    name);
    snprintf(profile->name, sizeof profile->name, "%s", name);
    size_t used = strlen(reader->where);
    snprintf(reader->where + used, sizeof reader->where - used, " (%s)", name);
    return SNUG_STATUS_OK;
}

static enum snug_status read_kind(const struct reader *reader, struct snug_device_profile *profile)
{
    const char *kind = NULL;
    SNUG_TRY(get_string(reader, "kind", 64, &kind));
    if (!kind)
        return fail(reader, "kind", "is missing: \"gpu\" or \"cpu\"");
    for (int i = 0; i < SNUG_DEVICE_KIND_COUNT; i++) {
        if (!strcmp(kind, kind_names[i])) {
            profile->kind = (enum snug_device_kind)i;
            return SNUG_STATUS_OK;
        }
    }
    return fail(reader, "kind", "is \"%s\", but must be \"gpu\" or \"cpu\"", kind);
}

static enum snug_status read_sizes(const struct reader *reader, struct snug_device_profile *profile)
{
    if (!json_object_get(reader->object, "memory"))
        return fail(reader, "memory", "is missing");
    SNUG_TRY(get_size(reader, "memory", &profile->memory_bytes));
    if (!profile->memory_bytes)
        return fail(reader, "memory", "is 0");
    SNUG_TRY(get_size(reader, "reserved", &profile->reserved_bytes));
    if (profile->reserved_bytes >= profile->memory_bytes)
        return fail(reader, "reserved", "is %llu bytes, which leaves nothing of the memory's %llu",
                    (unsigned long long)profile->reserved_bytes,
                    (unsigned long long)profile->memory_bytes);
    profile->granularity_bytes =
        profile->kind == SNUG_DEVICE_KIND_GPU ? GPU_GRANULARITY_BYTES : CPU_GRANULARITY_BYTES;
    SNUG_TRY(get_size(reader, "granularity", &profile->granularity_bytes));
    uint64_t grain = profile->granularity_bytes;
    if (!grain || grain & (grain - 1) || grain > profile->memory_bytes)
        return fail(reader, "granularity",
                    "is %llu bytes; it must be a power of two, at most the "
                    "memory",
                    (unsigned long long)grain);
    return SNUG_STATUS_OK;
}

static enum snug_status read_profile(struct reader *reader, struct snug_device_profile *out)
{
    struct snug_device_profile profile = {0};
    const char *title = NULL, *source = NULL;
    if (!json_is_object(reader->object))
        return snug_error_set(reader->error, SNUG_STATUS_FORMAT, "%s: %s: must be an object",
                              reader->file, reader->where);
    SNUG_TRY(read_name(reader, &profile));
    SNUG_TRY(check_keys(reader));
    SNUG_TRY(get_string(reader, "title", sizeof profile.title, &title));
    snprintf(profile.title, sizeof profile.title, "%s", title ? title : profile.name);
    SNUG_TRY(get_string(reader, "source", 2048, &source));
    SNUG_TRY(read_kind(reader, &profile));
    SNUG_TRY(read_sizes(reader, &profile));
    SNUG_TRY(get_speed(reader, "read_gbs", &profile.read_gbs));
    SNUG_TRY(get_speed(reader, "f32_gflops", &profile.f32_gflops));
    SNUG_TRY(get_speed(reader, "int8_gops", &profile.int8_gops));
    SNUG_TRY(get_speed(reader, "link_gbs", &profile.link_gbs));
    *out = profile;
    return SNUG_STATUS_OK;
}

/* ---- lists ---- */

static struct snug_device_profile *look_up(const struct snug_device_profiles *list,
                                           const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (snug_text_equal_ignore_case(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

static enum snug_status read_devices(json_t *devices, const char *file,
                                     struct snug_device_profiles *list, struct snug_error *error)
{
    size_t count = json_array_size(devices);
    list->items = snug_calloc(list->allocator, count, sizeof *list->items);
    if (!list->items)
        return snug_error_memory(error, count * sizeof *list->items, "device profiles");
    for (size_t i = 0; i < count; i++) {
        struct reader reader = {.file = file, .object = json_array_get(devices, i), .error = error};
        struct snug_device_profile profile;
        snprintf(reader.where, sizeof reader.where, "device %zu", i + 1);
        SNUG_TRY(read_profile(&reader, &profile));
        if (look_up(list, profile.name))
            return fail(&reader, "name", "is that of an earlier device, too");
        list->items[list->count++] = profile;
    }
    return SNUG_STATUS_OK;
}

/* The list of devices inside `root`, checked for number. */
static enum snug_status find_devices(json_t *root, const char *file, json_t **devices,
                                     struct snug_error *error)
{
    const char *key;
    json_t *value;
    *devices = json_object_get(root, "devices"); /* NULL if root is no object */
    if (!json_is_array(*devices))
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: an object with \"devices\", a list, was expected", file);
    json_object_foreach(root, key, value)
    {
        if (value != *devices)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: unknown key \"%s\" beside \"devices\"", file, key);
    }
    if (json_array_size(*devices) > SNUG_MAX_DEVICE_PROFILES)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: \"devices\" has %zu; at most %d",
                              file, json_array_size(*devices), SNUG_MAX_DEVICE_PROFILES);
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_profiles_parse(const char *text, size_t size, const char *file,
                                            const struct snug_allocator *allocator,
                                            struct snug_device_profiles *list,
                                            struct snug_error *error)
{
    struct snug_device_profiles read = {.allocator = allocator};
    json_t *root = NULL, *devices = NULL;
    if (size > SNUG_MAX_DEVICES_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: longer than %u bytes", file,
                              SNUG_MAX_DEVICES_BYTES);
    SNUG_TRY(snug_json_parse(text, size, false, file, &root, error));
    enum snug_status status = find_devices(root, file, &devices, error);
    if (!status)
        status = read_devices(devices, file, &read, error);
    json_decref(root);
    if (status) {
        snug_device_profiles_free(&read);
        return status;
    }
    *list = read;
    return SNUG_STATUS_OK;
}

void snug_device_profiles_free(struct snug_device_profiles *list)
{
    if (list->items)
        snug_free(list->allocator, list->items);
    *list = (struct snug_device_profiles){.allocator = list->allocator};
}

enum snug_status snug_device_profiles_add(struct snug_device_profiles *list,
                                          const struct snug_device_profiles *more,
                                          struct snug_error *error)
{
    size_t fresh = 0;
    for (size_t i = 0; i < more->count; i++)
        fresh += !look_up(list, more->items[i].name);
    if (fresh > SNUG_MAX_DEVICE_PROFILES - list->count)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "%zu device profiles and %zu more; at most %d", list->count, fresh,
                              SNUG_MAX_DEVICE_PROFILES);
    if (fresh) {
        struct snug_device_profile *grown =
            snug_realloc_array(list->allocator, list->items, list->count + fresh, sizeof *grown);
        if (!grown)
            return snug_error_memory(error, (list->count + fresh) * sizeof *grown,
                                     "device profiles");
        list->items = grown;
    }
    for (size_t i = 0; i < more->count; i++) {
        struct snug_device_profile *same = look_up(list, more->items[i].name);
        *(same ? same : &list->items[list->count++]) = more->items[i];
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_device_profile_find(const struct snug_device_profiles *list, const char *name,
                                          const struct snug_device_profile **out,
                                          struct snug_error *error)
{
    const struct snug_device_profile *found = look_up(list, name);
    if (found) {
        *out = found;
        return SNUG_STATUS_OK;
    }
    char known[SNUG_ERROR_MESSAGE_BYTES] = "none";
    size_t used = 0;
    for (size_t i = 0; i < list->count && used < sizeof known - 1; i++) {
        int wrote =
            snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", list->items[i].name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return snug_error_set(error, SNUG_STATUS_USAGE, "no device \"%.64s\"; known are: %s", name,
                          known);
}
