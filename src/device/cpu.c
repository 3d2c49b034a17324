/* The CPU's memory.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static enum snug_status cpu_take(const struct snug_device *device, size_t bytes,
                                 struct snug_region *region, struct snug_error *error)
{
    (void)device;
    size_t size = bytes ? bytes : 1;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return snug_error_memory(error, bytes, "the model's region");
    (void)madvise(base, size, MADV_HUGEPAGE); /* a hint; not every kernel has it */
    *region = (struct snug_region){base, size};
    return SNUG_STATUS_OK;
}

static void cpu_give(const struct snug_device *device, struct snug_region *region)
{
    (void)device;
    if (region->base)
        munmap(region->base, region->bytes);
    *region = (struct snug_region){0};
}

const struct snug_device *snug_device_cpu(void)
{
    static const struct snug_device cpu = {"cpu", cpu_take, cpu_give, NULL};
    return &cpu;
}

/* The counting allocator decides with a one-byte request whether this take may happen, and
 * gets its byte back at once. */
static enum snug_status counted_take(const struct snug_device *device, size_t bytes,
                                     struct snug_region *region, struct snug_error *error)
{
    const struct snug_counting_allocator *counting = device->context;
    void *ticket = snug_alloc(&counting->allocator, 1);
    if (!ticket)
        return snug_error_memory(error, bytes, "the model's region");
    snug_free(&counting->allocator, ticket);
    return cpu_take(device, bytes, region, error);
}

void snug_device_counted(struct snug_device *device, struct snug_counting_allocator *counting)
{
    *device = (struct snug_device){"cpu", counted_take, cpu_give, counting};
}
