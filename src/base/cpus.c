/* How many processors this process may use: its affinity, and the quotas of its control groups.
 *
 * cgroup v2: cpu.max holds "QUOTA PERIOD" or "max PERIOD". v1: cpu.cfs_quota_us (-1: none) and
 * cpu.cfs_period_us. Every group on the way up to the root may set its own; the least counts. A
 * container sees its own group as the root of the mount, so the walk always ends there.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "base/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The start of a small file as text; false if it is not there. */
static bool read_small(const char *path, char *out, size_t size)
{
    size_t used = 0;
    ssize_t count;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return false;
    do {
        count = read(fd, out + used, size - 1 - used);
        if (count > 0)
            used += (size_t)count;
    } while (used < size - 1 && (count > 0 || (count < 0 && errno == EINTR)));
    close(fd);
    out[used] = '\0';
    return count >= 0;
}

/* Processors, rounded up; INT_MAX for no quota. */
static int quota_processors(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    long long whole = quota / period + (quota % period != 0);
    return whole < INT_MAX ? (int)whole : INT_MAX;
}

/* `folder` is a group's folder: FOLDER/FILE as text. */
static bool read_setting(const char *folder, const char *file, char *out, size_t size)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, file);

    return length > 0 && (size_t)length < sizeof path && read_small(path, out, size);
}

static int group_quota(const char *folder, bool v2)
{
    char text[128];
    char *end = NULL;

    if (v2) {
        if (!read_setting(folder, "cpu.max", text, sizeof text))
            return INT_MAX;
        long long quota = strtoll(text, &end, 10); /* "max": no digits */
        return end == text ? INT_MAX : quota_processors(quota, strtoll(end, NULL, 10));
    }
    if (!read_setting(folder, "cpu.cfs_quota_us", text, sizeof text))
        return INT_MAX;
    long long quota = strtoll(text, NULL, 10);
    if (!read_setting(folder, "cpu.cfs_period_us", text, sizeof text))
        return INT_MAX;
    return quota_processors(quota, strtoll(text, NULL, 10));
}

/* The least quota of the group at mount + group and of those above it. */
static int walk_up(const char *mount, const char *group, bool v2)
{
    char folder[PATH_MAX];
    size_t mount_length = strlen(mount);
    int least = INT_MAX;
    int length =
        snprintf(folder, sizeof folder, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);

    if (length < 0 || (size_t)length >= sizeof folder)
        return group_quota(mount, v2);
    for (;;) {
        int quota = group_quota(folder, v2);
        least = quota < least ? quota : least;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= mount_length || !slash)
            return least;
        *slash = '\0';
    }
}

/* Whether a list "cpu,cpuacct" holds "cpu". */
static bool lists_cpu(const char *controllers)
{
    size_t length = strlen(controllers);

    for (const char *at = controllers; at <= controllers + length;) {
        size_t word = strcspn(at, ",");
        if (word == 3 && memcmp(at, "cpu", 3) == 0)
            return true;
        at += word + 1;
    }
    return false;
}

int snug_cpu_quota(const char *cgroup_path, const char *mount)
{
    char text[8192], v1_mount[PATH_MAX];
    int least = INT_MAX;

    if (!read_small(cgroup_path, text, sizeof text))
        return INT_MAX;
    /* lines "ID:CONTROLLERS:/GROUP"; v2 has ID 0 and no controllers */
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group || group[1] != '/')
            continue;
        *group++ = '\0';
        controllers++;
        int quota = INT_MAX;
        if (!*controllers) {
            quota = walk_up(mount, group, true);
        } else if (lists_cpu(controllers)) {
            int length = snprintf(v1_mount, sizeof v1_mount, "%s/cpu", mount);
            if (length > 0 && (size_t)length < sizeof v1_mount)
                quota = walk_up(v1_mount, group, false);
        }
        least = quota < least ? quota : least;
    }
    return least;
}

/* Processors of the affinity mask, which may be wider than cpu_set_t on large machines. */
static int affinity_count(void)
{
    for (int width = CPU_SETSIZE; width <= 1 << 20; width *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)width);
        size_t bytes = CPU_ALLOC_SIZE((size_t)width);
        if (!set)
            return 1;
        CPU_ZERO_S(bytes, set);
        int failed = sched_getaffinity(0, bytes, set) != 0 ? errno : 0;
        int count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed)
            return count > 0 ? count : 1;
        if (failed != EINVAL)
            return 1;
    }
    return 1;
}

int snug_cpu_count(void)
{
    int allowed = affinity_count();
    int quota = snug_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");

    return quota < allowed ? quota : allowed;
}
