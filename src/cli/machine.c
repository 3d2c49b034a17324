/* What a machine has, from options.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine.h"

#include "cli/cli.h"
#include "cli/embedded_model.h"
#include "device/device.h"
#include "extract/reader.h"

#include <string.h>

static enum snug_status parse_devices(const char *path, struct snug_device_profiles *list,
                                      struct snug_error *error)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_embedded_file builtin = snug_embedded_devices();
    struct snug_device_profiles more = {.allocator = heap};
    struct snug_blob blob = {0};
    SNUG_TRY(snug_device_profiles_parse((const char *)builtin.data, builtin.size, builtin.name,
                                        heap, list, error));
    if (!path)
        return SNUG_STATUS_OK;
    enum snug_status status = snug_file_read(path, SNUG_MAX_DEVICES_BYTES, heap, &blob, error);
    if (!status)
        status = snug_device_profiles_parse((const char *)blob.data, blob.size, path, heap, &more,
                                            error);
    if (!status)
        status = snug_device_profiles_add(list, &more, error);
    snug_device_profiles_free(&more);
    snug_blob_free(&blob);
    return status;
}

static enum snug_status find_profile(const struct snug_machine_options *options,
                                     struct snug_machine *out, struct snug_error *error)
{
    struct snug_device_profiles list = {.allocator = snug_allocator_heap()};
    const struct snug_device_profile *found = NULL;
    enum snug_status status = parse_devices(options->devices_file, &list, error);
    out->is_this = !options->device || !strcmp(options->device, "cpu");
    if (!status && out->is_this) {
        uint64_t available = snug_memory_available();
        out->profile = (struct snug_device_profile){.name = "cpu",
                                                    .title = "this machine",
                                                    .kind = SNUG_DEVICE_KIND_CPU,
                                                    .memory_bytes = available,
                                                    .granularity_bytes = 4096};
    } else if (!status) {
        status = snug_device_profile_find(&list, options->device, &found, error);
        if (!status)
            out->profile = *found;
    }
    snug_device_profiles_free(&list);
    return status;
}

/* "2480x3508" */
static bool parse_page(const char *text, int64_t *width, int64_t *height)
{
    char *end;
    long long w = strtoll(text, &end, 10), h = 0;
    if (end == text || *end != 'x')
        return false;
    text = end + 1;
    h = strtoll(text, &end, 10);
    if (end == text || *end || w < 1 || h < 1 || w > SNUG_MAX_SIDE || h > SNUG_MAX_SIDE ||
        w * h > SNUG_MAX_PIXELS)
        return false;
    *width = w;
    *height = h;
    return true;
}

int snug_cli_machine(const char *command, const struct snug_machine_options *options,
                     struct snug_machine *out)
{
    struct snug_error error;
    uint64_t usable, budget;
    char text[24];
    *out = (struct snug_machine){.page_width = SNUG_PAGE_WIDTH, .page_height = SNUG_PAGE_HEIGHT};
    if (find_profile(options, out, &error))
        return snug_cli_fail_as(2, &error);
    usable = budget = snug_device_profile_usable_bytes(&out->profile);
    if (options->budget && (!snug_size_parse(options->budget, &budget) || budget == 0)) {
        fprintf(stderr, "snug %s: --budget is a size such as 12GiB or 800MiB, not '%s'\n", command,
                options->budget);
        return 2;
    }
    if (budget > usable && !out->is_this) {
        fprintf(stderr, "snug %s: --budget %s: of %s at most %s can be taken\n", command,
                options->budget, out->profile.name, snug_format_bytes(usable, text));
        return 2;
    }
    if (options->page && !parse_page(options->page, &out->page_width, &out->page_height)) {
        fprintf(stderr,
                "snug %s: --page is WIDTHxHEIGHT in pixels, such as 2480x3508, and at most %d "
                "together, not '%s'\n",
                command, SNUG_MAX_PIXELS, options->page);
        return 2;
    }
    out->budget_bytes = (size_t)budget;
    out->budget_stated = options->budget != NULL;
    return -1;
}

enum snug_status snug_model_source_open(const char *name, const struct snug_allocator *allocator,
                                        struct snug_model_source *out, struct snug_error *error)
{
    *out = (struct snug_model_source){0};
    if (!name || !strcmp(name, "snug-nano")) {
        out->folder = snug_embedded_model(allocator);
        return SNUG_STATUS_OK;
    }
    if (snug_path_is_directory(name)) {
        out->folder = (struct snug_folder){.path = name, .allocator = allocator};
        return SNUG_STATUS_OK;
    }
    for (size_t i = 0; i < snug_builtin_count(); i++)
        if (!strcmp(name, snug_builtin_name(i))) {
            SNUG_TRY(snug_builtin_open(name, 0, allocator, &out->builtin, error));
            out->folder = out->builtin.folder;
            return SNUG_STATUS_OK;
        }
    return snug_error_set(error, SNUG_STATUS_NOT_FOUND,
                          "%s: neither a model folder nor a known model: snug-nano, %s", name,
                          snug_builtin_names());
}

void snug_model_source_close(struct snug_model_source *source)
{
    snug_builtin_close(&source->builtin);
}
