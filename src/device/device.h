/* Devices own bytes: a region is taken once and computed in. Today: the CPU.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_DEVICE_H
#define SNUG_DEVICE_DEVICE_H

#include "base/alloc.h"

#define SNUG_REGION_ALIGNMENT 64 /* of every offset in a region: one cache line, one ZMM */

/* One piece of device memory, taken whole and given back whole. */
struct snug_region {
    unsigned char *base; /* NULL: none taken */
    size_t bytes;
};

/* How a device hands out memory; sim and cuda will fill the same table. */
struct snug_device {
    const char *name;
    bool dry; /* nothing is computed there: programs run their memory only */
    enum snug_status (*take)(const struct snug_device *device, size_t bytes,
                             struct snug_region *region, struct snug_error *error);
    void (*give)(const struct snug_device *device, struct snug_region *region);
    /* Makes every byte of the region memory now, so that none is missing later. */
    enum snug_status (*touch)(const struct snug_device *device, const struct snug_region *region,
                              struct snug_error *error);
    void *context;
};

/* Host memory, anonymous mapping, zeroed, transparent huge pages asked for. take: MEMORY when
 * the system refuses; nothing is left behind. give leaves a zeroed region; giving none is allowed.
 */
const struct snug_device *snug_device_cpu(void);
/* Takes addresses only: a region costs nothing but the few pages that a caller writes to. For
 * planning, and for running many documents' memory in little time. */
const struct snug_device *snug_device_dry(void);
/* As cpu, but take is refused when the counting allocator's turn has come (allocation-failure
 * sweeps): the request is counted there. `counting` must outlive the device. */
void snug_device_counted(struct snug_device *device, struct snug_counting_allocator *counting);

/* Bytes of memory a process may still take: the kernel's estimate (MemAvailable), lowered to what
 * the cgroup leaves. UINT64_MAX if neither can be read. */
uint64_t snug_memory_available(void);
/* A figure of this process from /proc/self/status in bytes ("VmRSS", "VmHWM"); 0 if it cannot be
 * read. */
uint64_t snug_memory_of_process(const char *name);

#endif
