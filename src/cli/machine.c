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

/* ---- devices ---- */

static struct snug_device_profile profile_of_sim(const struct snug_sim_options *sim)
{
    struct snug_device_profile profile = {.kind = SNUG_DEVICE_KIND_GPU,
                                          .title = "simulated",
                                          .memory_bytes = sim->capacity_bytes,
                                          .granularity_bytes = sim->granularity_bytes,
                                          .read_gbs = sim->read_gbs,
                                          .f32_gflops = sim->f32_gflops,
                                          .int8_gops = sim->int8_gops,
                                          .link_gbs = sim->link_gbs};
    snprintf(profile.name, sizeof profile.name, "%.31s", sim->name);
    return profile;
}

/* What stands after "sim:". */
static enum snug_status find_sim(const char *text, const struct snug_device_profiles *list,
                                 struct snug_sim_script *out, struct snug_error *error)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_blob blob = {0};
    if (snug_sim_spec_of(text) != SNUG_SIM_SPEC_FILE)
        return snug_sim_options_of_spec(text, list, &out->options, error);
    SNUG_TRY(snug_file_read(text, SNUG_SIM_MAX_SCRIPT_BYTES, heap, &blob, error));
    enum snug_status status =
        snug_sim_script_parse((const char *)blob.data, blob.size, text, list, heap, out, error);
    snug_blob_free(&blob);
    return status;
}

static enum snug_status find_device(const char *name, const struct snug_device_profiles *list,
                                    struct snug_machine_device *out, struct snug_error *error)
{
    const struct snug_device_profile *found = NULL;
    if (!strncmp(name, "sim:", 4)) {
        SNUG_TRY(find_sim(name + 4, list, &out->script, error));
        out->simulated = true;
        out->profile = profile_of_sim(&out->script.options);
        return SNUG_STATUS_OK;
    }
    SNUG_TRY(snug_device_profile_find(list, name, &found, error));
    out->profile = *found;
    return SNUG_STATUS_OK;
}

/* "sim:8GiB,sim:8GiB": devices one after the other. */
static enum snug_status find_devices(const char *names, const struct snug_device_profiles *list,
                                     struct snug_machine *out, struct snug_error *error)
{
    while (*names) {
        char name[1024];
        size_t length = strcspn(names, ",");
        if (out->device_count + 1 == SNUG_MAX_SPACES || length >= sizeof name)
            return snug_error_set(error, SNUG_STATUS_USAGE, "--device names at most %d devices",
                                  SNUG_MAX_SPACES - 1);
        memcpy(name, names, length);
        name[length] = 0;
        struct snug_machine_device *device = &out->devices[out->device_count + 1];
        SNUG_TRY(find_device(name, list, device, error));
        out->device_count++;
        if (device->profile.kind == SNUG_DEVICE_KIND_CPU &&
            (out->device_count > 1 || names[length]))
            return snug_error_set(error, SNUG_STATUS_USAGE,
                                  "--device %s: the host is always there; name graphics cards only",
                                  name);
        names += length + (names[length] == ',');
    }
    return SNUG_STATUS_OK;
}

static enum snug_status find_profile(const struct snug_machine_options *options,
                                     struct snug_machine *out, struct snug_error *error)
{
    struct snug_device_profiles list = {.allocator = snug_allocator_heap()};
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
        status = find_devices(options->device, &list, out, error);
        if (!status && !out->device_count)
            status = snug_device_profile_find(&list, "", NULL, error);
        out->profile = out->devices[1].profile;
        if (out->profile.kind == SNUG_DEVICE_KIND_CPU)
            out->device_count = 0; /* another host */
    }
    snug_device_profiles_free(&list);
    return status;
}

void snug_machine_free(struct snug_machine *machine)
{
    for (int i = 1; i < SNUG_MAX_SPACES; i++)
        snug_sim_script_free(&machine->devices[i].script);
    *machine = (struct snug_machine){.is_this = true};
}

int snug_machine_open_devices(const char *command, const struct snug_machine *machine, bool dry,
                              const struct snug_device *devices[SNUG_MAX_SPACES])
{
    struct snug_error error;
    for (int i = 1; i <= machine->device_count; i++) {
        const struct snug_machine_device *device = &machine->devices[i];
        struct snug_sim_options options = device->script.options;
        if (!device->simulated) {
            fprintf(stderr,
                    "snug %s: --device %s: this version computes on the CPU only; 'snug plan' "
                    "tells what would fit there, --device sim:%s rehearses it\n",
                    command, device->profile.name, device->profile.name);
            snug_machine_close_devices(devices);
            return 2;
        }
        options.dry = dry;
        if (snug_sim_open(&options, snug_allocator_heap(), &devices[i], &error)) {
            snug_machine_close_devices(devices);
            return snug_cli_fail(&error);
        }
    }
    return -1;
}

void snug_machine_close_devices(const struct snug_device *devices[SNUG_MAX_SPACES])
{
    for (int i = 1; i < SNUG_MAX_SPACES; i++) {
        snug_sim_close(devices[i]);
        devices[i] = NULL;
    }
}

/* ---- budget and page ---- */

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
    if (find_profile(options, out, &error)) {
        snug_machine_free(out);
        return snug_cli_fail_as(2, &error);
    }
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
    for (int i = 1; i <= out->device_count; i++) {
        usable = snug_device_profile_usable_bytes(&out->devices[i].profile);
        out->devices[i].budget_bytes =
            (size_t)(options->budget && budget < usable ? budget : usable);
    }
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
