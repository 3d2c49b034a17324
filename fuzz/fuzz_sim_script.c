/* Any bytes as a script of a simulated device; what is accepted must keep its promises, and the
 * machine it describes must open. Seeds: fuzz/corpus/sim_script, tests/device/malformed-sim.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/sim_script.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_event(const struct snug_sim_event *event, const struct snug_sim_event *before)
{
    if (event->document < 0) {
        require(event->document == -1 && isfinite(event->at_ms) && event->at_ms >= 0);
        require(!before || before->document > 0 || before->at_ms <= event->at_ms);
    } else {
        require(event->document >= 1 && event->token >= -1);
        require(!before || (before->document > 0 && before->document <= event->document));
        require(!before || before->document < event->document || before->token <= event->token);
    }
    switch (event->kind) {
    case SNUG_SIM_EVENT_NEIGHBOUR:
        require(event->bytes <= SNUG_MAX_DEVICE_MEMORY_BYTES);
        break;
    case SNUG_SIM_EVENT_FAIL:
        require((unsigned)event->call < SNUG_SIM_CALL_COUNT && event->count >= 1);
        break;
    case SNUG_SIM_EVENT_LOSE:
        require(event->count <= SNUG_SIM_MAX_DOCUMENT);
        break;
    case SNUG_SIM_EVENT_LINK:
        require(isfinite(event->factor) && event->factor > 0);
        break;
    default:
        abort();
    }
}

/* A few documents on it, dry: whatever the script lets happen, the device answers. */
static void rehearse(const struct snug_sim_options *options)
{
    struct snug_sim_options dry = *options;
    const struct snug_device *device = NULL;
    dry.dry = true;
    require(!snug_sim_open(&dry, snug_allocator_heap(), &device, NULL));
    for (int64_t document = 1; document <= 3; document++) {
        struct snug_region region = {0};
        struct snug_copy copy = {.bytes = 1 << 20, .rows = 1};
        struct snug_work work = {.bytes = 1e9};
        uint64_t ticket = 0;
        device->mark(device, document, -1);
        (void)device->take(device, 4096, &region, NULL);
        device->mark(device, document, 0);
        if (!device->copy(device, &copy, &ticket, NULL))
            (void)device->join(device, ticket, NULL);
        (void)device->launch(device, &work, NULL);
        (void)device->synchronise(device, NULL);
        device->give(device, &region);
        (void)device->reset(device, NULL);
        struct snug_sim_figures figures = snug_sim_figures(device);
        require(figures.ours == 0 && figures.neighbour <= options->capacity_bytes);
        require(isfinite(device->time_ms(device)));
    }
    snug_sim_close(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct snug_device_profile card = {.name = "v100-16gb",
                                                    .memory_bytes = UINT64_C(16) << 30,
                                                    .reserved_bytes = UINT64_C(543) << 20,
                                                    .granularity_bytes = 2 << 20,
                                                    .read_gbs = 900};
    struct snug_device_profile items[] = {card};
    struct snug_device_profiles profiles = {snug_allocator_heap(), items, 1};
    struct snug_sim_script script = {0};
    struct snug_error error;
    if (snug_sim_script_parse((const char *)data, size, "fuzz.json", &profiles,
                              snug_allocator_heap(), &script, &error) != SNUG_STATUS_OK) {
        require(strstr(error.message, "fuzz.json") != NULL && !script.events);
        return 0;
    }
    const struct snug_sim_options *options = &script.options;
    require(options->events == script.events && options->event_count == script.event_count);
    require(script.event_count <= SNUG_SIM_MAX_EVENTS);
    require(options->capacity_bytes % options->granularity_bytes == 0);
    require(options->capacity_bytes <= SNUG_MAX_DEVICE_MEMORY_BYTES);
    for (size_t i = 0; i < script.event_count; i++)
        check_event(&script.events[i], i ? &script.events[i - 1] : NULL);
    rehearse(options);
    snug_sim_script_free(&script);
    return 0;
}
