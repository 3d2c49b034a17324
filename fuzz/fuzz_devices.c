/* Any bytes as a devices file; what is accepted must keep its promises.
 * Seeds: fuzz/corpus/devices, tests/device/malformed.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snug_device_profiles list = {0};
    struct snug_error error;
    if (snug_device_profiles_parse((const char *)data, size, "fuzz.json", snug_allocator_heap(),
                                   &list, &error) != SNUG_STATUS_OK) {
        require(strstr(error.message, "fuzz.json") != NULL);
        return 0;
    }
    require(list.count <= SNUG_MAX_DEVICE_PROFILES);
    for (size_t i = 0; i < list.count; i++) {
        const struct snug_device_profile *profile = &list.items[i], *found = NULL;
        require(profile->name[0] && profile->title[0]);
        require(snug_device_profile_find(&list, profile->name, &found, NULL) == SNUG_STATUS_OK);
        require(found == profile); /* names are unique */
        require(profile->reserved_bytes < profile->memory_bytes);
        require(profile->memory_bytes <= SNUG_MAX_DEVICE_MEMORY_BYTES);
        require(!(profile->granularity_bytes & (profile->granularity_bytes - 1)));
        uint64_t usable = snug_device_profile_usable_bytes(profile);
        require(usable % profile->granularity_bytes == 0 && usable <= profile->memory_bytes);
        const double speeds[] = {profile->read_gbs, profile->f32_gflops, profile->int8_gops,
                                 profile->link_gbs};
        for (size_t s = 0; s < 4; s++)
            require(isfinite(speeds[s]) && speeds[s] >= 0);
    }
    size_t count = list.count;
    require(snug_device_profiles_add(&list, &list, NULL) == SNUG_STATUS_OK && list.count == count);
    snug_device_profiles_free(&list);
    return 0;
}
