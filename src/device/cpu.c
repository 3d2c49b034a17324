/* The CPU's memory.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096 /* at most so many bytes of the system's pages; smaller steps do no harm */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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

/* The kernel does it in one call where it knows how (Linux 5.14); else a byte of each page is
 * written, which keeps what is there: the region is new. */
static enum snug_status cpu_touch(const struct snug_device *device,
                                  const struct snug_region *region, struct snug_error *error)
{
    (void)device;
    if (!madvise(region->base, region->bytes, MADV_POPULATE_WRITE))
        return SNUG_STATUS_OK;
    if (errno == ENOMEM)
        return snug_error_memory(error, region->bytes, "the model's region");
    for (size_t i = 0; i < region->bytes; i += PAGE)
        ((volatile unsigned char *)region->base)[i] = 0;
    return SNUG_STATUS_OK;
}

const struct snug_device *snug_device_cpu(void)
{
    static const struct snug_device cpu = {
        .name = "cpu", .host = true, .take = cpu_take, .give = cpu_give, .touch = cpu_touch};
    return &cpu;
}

static enum snug_status dry_take(const struct snug_device *device, size_t bytes,
                                 struct snug_region *region, struct snug_error *error)
{
    (void)device;
    size_t size = bytes ? bytes : 1;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return snug_error_memory(error, bytes, "the addresses of a region");
    *region = (struct snug_region){base, size};
    return SNUG_STATUS_OK;
}

static enum snug_status dry_touch(const struct snug_device *device,
                                  const struct snug_region *region, struct snug_error *error)
{
    (void)device, (void)region, (void)error;
    return SNUG_STATUS_OK;
}

const struct snug_device *snug_device_dry(void)
{
    static const struct snug_device dry = {.name = "dry",
                                           .dry = true,
                                           .host = true,
                                           .take = dry_take,
                                           .give = cpu_give,
                                           .touch = dry_touch};
    return &dry;
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
    *device = (struct snug_device){.name = "cpu",
                                   .host = true,
                                   .granularity = 4096,
                                   .take = counted_take,
                                   .give = cpu_give,
                                   .touch = cpu_touch,
                                   .context = counting};
}
