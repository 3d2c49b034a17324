/* Reads devices files.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/profile.h"

#include "device/read_json.h"

#include <stdio.h>
#include <string.h>

#define GPU_GRANULARITY_BYTES (UINT64_C(2) << 20)
#define CPU_GRANULARITY_BYTES UINT64_C(4096)

static const char *const kind_names[SNUG_DEVICE_KIND_COUNT] = {"cpu", "gpu"};
static const char *const known_keys[] = {"name",      "title",       "kind",     "memory",
                                         "reserved",  "granularity", "read_gbs", "f32_gflops",
                                         "int8_gops", "link_gbs",    "source"};

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

static enum snug_status read_name(struct snug_device_json *json,
                                  struct snug_device_profile *profile)
{
    const char *name = NULL;
    SNUG_TRY(snug_device_json_string(json, "name", sizeof profile->name, &name));
    if (!name)
        return snug_device_json_fail(json, "name", "is missing");
    if (!name_is_plain(name))
        return snug_device_json_fail(
            json, "name",
            "is \"%s\"; it may hold a-z, 0-9, '-', '.' and '_', a letter or digit first", name);
    snprintf(profile->name, sizeof profile->name, "%s", name);
    size_t used = strlen(json->where);
    snprintf(json->where + used, sizeof json->where - used, " (%s)", name);
    return SNUG_STATUS_OK;
}

static enum snug_status read_kind(const struct snug_device_json *json,
                                  struct snug_device_profile *profile)
{
    const char *kind = NULL;
    SNUG_TRY(snug_device_json_string(json, "kind", 64, &kind));
    if (!kind)
        return snug_device_json_fail(json, "kind", "is missing: \"gpu\" or \"cpu\"");
    for (int i = 0; i < SNUG_DEVICE_KIND_COUNT; i++) {
        if (!strcmp(kind, kind_names[i])) {
            profile->kind = (enum snug_device_kind)i;
            return SNUG_STATUS_OK;
        }
    }
    return snug_device_json_fail(json, "kind", "is \"%s\", but must be \"gpu\" or \"cpu\"", kind);
}

static enum snug_status read_profile(struct snug_device_json *json, struct snug_device_profile *out)
{
    struct snug_device_profile profile = {0};
    const char *title = NULL, *source = NULL;
    if (!json_is_object(json->object))
        return snug_error_set(json->error, SNUG_STATUS_FORMAT, "%s: %s: must be an object",
                              json->file, json->where);
    SNUG_TRY(read_name(json, &profile));
    SNUG_TRY(snug_device_json_keys(json, known_keys, sizeof known_keys / sizeof *known_keys,
                                   "a device"));
    SNUG_TRY(snug_device_json_string(json, "title", sizeof profile.title, &title));
    snprintf(profile.title, sizeof profile.title, "%s", title ? title : profile.name);
    SNUG_TRY(snug_device_json_string(json, "source", 2048, &source));
    SNUG_TRY(read_kind(json, &profile));
    if (!json_object_get(json->object, "memory"))
        return snug_device_json_fail(json, "memory", "is missing");
    profile.granularity_bytes =
        profile.kind == SNUG_DEVICE_KIND_GPU ? GPU_GRANULARITY_BYTES : CPU_GRANULARITY_BYTES;
    SNUG_TRY(snug_device_json_figures(json, &profile));
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
        struct snug_device_json json = {
            .file = file, .object = json_array_get(devices, i), .error = error};
        struct snug_device_profile profile;
        snprintf(json.where, sizeof json.where, "device %zu", i + 1);
        SNUG_TRY(read_profile(&json, &profile));
        if (look_up(list, profile.name))
            return snug_device_json_fail(&json, "name", "is that of an earlier device, too");
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
