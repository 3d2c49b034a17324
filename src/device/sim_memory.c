/* The simulated device's regions: anonymous mappings of this process. A region is put out of reach
 * by its protection, so that whoever still uses it is stopped at that very instruction.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/sim_internal.h"

#include <string.h>
#include <sys/mman.h>

/* ---- guard ---- */

static void lock(struct snug_sim *sim)
{
    if (sim->options.guard)
        pthread_mutex_lock(&sim->lock);
}

static void unlock(struct snug_sim *sim)
{
    if (sim->options.guard)
        pthread_mutex_unlock(&sim->lock);
}

/* To lower or raise the protection of what is mapped can fail only for lack of kernel memory. */
static void protect(const struct snug_region *region, bool reachable)
{
    int number =
        mprotect(region->base, region->bytes, reachable ? PROT_READ | PROT_WRITE : PROT_NONE);
    SNUG_ASSERT(number == 0);
}

static bool is_open(const struct snug_sim *sim)
{
    return !sim->options.guard || sim->launching || sim->copying;
}

static void set_flag(struct snug_sim *sim, bool *flag, bool value)
{
    if (!sim->options.guard)
        return;
    lock(sim);
    bool before = is_open(sim);
    *flag = value;
    bool after = is_open(sim);
    for (int i = 0; before != after && i < SNUG_SIM_MAX_REGIONS; i++) {
        const struct snug_sim_region *entry = &sim->regions[i];
        if (entry->region.base && !entry->host && !entry->lost)
            protect(&entry->region, after);
    }
    unlock(sim);
}

void snug_sim_set_launching(struct snug_sim *sim, bool launching)
{
    set_flag(sim, &sim->launching, launching);
}

void snug_sim_set_copying(struct snug_sim *sim, bool copying)
{
    set_flag(sim, &sim->copying, copying);
}

/* ---- regions ---- */

static struct snug_sim_region *find(struct snug_sim *sim, const unsigned char *base)
{
    for (int i = 0; i < SNUG_SIM_MAX_REGIONS; i++)
        if (sim->regions[i].region.base == base)
            return &sim->regions[i];
    return NULL;
}

enum snug_status snug_sim_map(struct snug_sim *sim, size_t bytes, bool host,
                              struct snug_region *region, struct snug_error *error)
{
    const struct snug_sim_options *options = &sim->options;
    if (sim->region_count == SNUG_SIM_MAX_REGIONS)
        return snug_error_set(error, SNUG_STATUS_MEMORY, "%s: %d regions are taken, and no more go",
                              options->name, SNUG_SIM_MAX_REGIONS);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (options->dry ? MAP_NORESERVE : 0);
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED)
        return snug_error_memory(error, bytes, "a region of the simulated device");
    if (!options->dry)
        (void)madvise(base, bytes, MADV_HUGEPAGE); /* a hint; not every kernel has it */
    if (options->guard && !options->dry && bytes <= SNUG_SIM_FILL_BYTES)
        memset(base, SNUG_SIM_FILL, bytes); /* whoever reads before writing gets nonsense */
    *region = (struct snug_region){base, bytes};
    lock(sim);
    *find(sim, NULL) = (struct snug_sim_region){.region = *region, .host = host};
    sim->region_count++;
    if (!host && !is_open(sim))
        protect(region, false);
    unlock(sim);
    return SNUG_STATUS_OK;
}

bool snug_sim_unmap(struct snug_sim *sim, struct snug_region *region)
{
    lock(sim);
    struct snug_sim_region *entry = find(sim, region->base);
    SNUG_ASSERT(entry && entry->region.bytes == region->bytes);
    bool counted = !entry->host && !entry->lost;
    *entry = (struct snug_sim_region){0};
    sim->region_count--;
    munmap(region->base, region->bytes);
    unlock(sim);
    *region = (struct snug_region){0};
    return counted;
}

void snug_sim_forget(struct snug_sim *sim, bool host)
{
    lock(sim);
    for (int i = 0; i < SNUG_SIM_MAX_REGIONS; i++) {
        struct snug_sim_region *entry = &sim->regions[i];
        if (!entry->region.base || entry->lost || (entry->host && !host))
            continue;
        protect(&entry->region, false);
        entry->lost = true;
    }
    sim->launching = false;
    unlock(sim);
}

enum snug_status snug_sim_touch(const struct snug_device *device, const struct snug_region *region,
                                struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    if (sim->lost) {
        snug_sim_forget(sim, true);
        return snug_error_set(error, SNUG_STATUS_DEVICE_LOST, "%s: the device is lost",
                              device->name);
    }
    if (sim->options.dry)
        return SNUG_STATUS_OK;
    bool launching = sim->launching;
    snug_sim_set_launching(sim, true);
    enum snug_status status = snug_device_cpu()->touch(device, region, error);
    snug_sim_set_launching(sim, launching);
    return status;
}
