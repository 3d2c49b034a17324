/* How much memory is left, as the kernel and the cgroup see it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/device.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* First bytes of a small kernel file; false if it cannot be read. */
static bool read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    if (got <= 0)
        return false;
    out[got] = 0;
    return true;
}

/* The number after `key` in text, times `unit`; false if it is not there. */
static bool number_after(const char *text, const char *key, uint64_t unit, uint64_t *out)
{
    const char *at = strstr(text, key);
    return at && sscanf(at + strlen(key), "%" SCNu64, out) == 1 &&
           !__builtin_mul_overflow(*out, unit, out);
}

/* Limit minus use of a cgroup, page cache that can go not counted as use. */
static uint64_t cgroup_left(const char *limit_path, const char *usage_path, const char *stat_path,
                            const char *cache_key)
{
    char text[8192];
    uint64_t limit, usage, cache = 0;
    if (!read_small(limit_path, text, sizeof text) || sscanf(text, "%" SCNu64, &limit) != 1 ||
        limit > UINT64_MAX / 4 || !read_small(usage_path, text, sizeof text) ||
        sscanf(text, "%" SCNu64, &usage) != 1)
        return UINT64_MAX;
    if (read_small(stat_path, text, sizeof text))
        number_after(text, cache_key, 1, &cache);
    usage = usage > cache ? usage - cache : 0;
    return limit > usage ? limit - usage : 0;
}

uint64_t snug_memory_available(void)
{
    char text[8192];
    uint64_t available = UINT64_MAX;
    if (read_small("/proc/meminfo", text, sizeof text) &&
        !number_after(text, "MemAvailable:", 1024, &available))
        available = UINT64_MAX;
    uint64_t v2 = cgroup_left("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                              "/sys/fs/cgroup/memory.stat", "inactive_file ");
    uint64_t v1 = cgroup_left("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                              "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                              "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file ");
    available = v2 < available ? v2 : available;
    return v1 < available ? v1 : available;
}

uint64_t snug_memory_of_process(const char *name)
{
    char text[8192], key[32];
    uint64_t bytes;
    snprintf(key, sizeof key, "\n%s:", name);
    if (!read_small("/proc/self/status", text, sizeof text) ||
        !number_after(text, key, 1024, &bytes))
        return 0;
    return bytes;
}
