/* Devices own bytes and compute on them: regions, copies between the host's memory and theirs,
 * launches, loss.
 *
 * Two queues, as on a graphics card: launches run one after the other, copies run one after the
 * other beside them. A copy starts once every launch made before it is done; a launch made after
 * snug_device_join starts once that copy is done. So a buffer that launches have read can be filled
 * again while later launches run:
 *
 *     launches   [ layer 0 ][ layer 1 ][ layer 2 ] ...
 *     copies     [ 1's ]    [ 2's ]   [ 3's ]          each joined before its layer
 *
 * Every call that can fail does so with a status: MEMORY (a region is refused), DEVICE (a copy or
 * launch failed; memory is as it was but for what the call was to write), DEVICE_LOST (every region
 * of the device, pinned ones included, is gone and must not be touched; they can only be given
 * back; no call but reset works). Who computes on the CPU needs none of it: there launches, copies
 * and tickets are nothing. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_DEVICE_H
#define SNUG_DEVICE_DEVICE_H

#include "base/alloc.h"

#define SNUG_REGION_ALIGNMENT 64 /* of every offset in a region: one cache line, one ZMM */

/* One piece of memory, taken whole and given back whole. */
struct snug_region {
    unsigned char *base; /* NULL: none taken */
    size_t bytes;
};

/* `rows` pieces of `bytes` each, whose starts lie `pitch` bytes apart on either side. */
enum snug_direction { SNUG_DIRECTION_TO_DEVICE, SNUG_DIRECTION_FROM_DEVICE };
struct snug_copy {
    enum snug_direction direction;
    void *to;
    const void *from;
    size_t bytes, rows, to_pitch, from_pitch;
};
/* `bytes` in one piece. */
static inline struct snug_copy snug_copy_whole(enum snug_direction direction, void *to,
                                               const void *from, size_t bytes)
{
    return (struct snug_copy){direction, to, from, bytes, 1, bytes, bytes};
}

/* What a launch does, for devices that reckon how long it takes. */
struct snug_work {
    double bytes;     /* read and written */
    double f32_flops; /* a multiply-add is two */
    double int8_ops;  /* of exact integer products, counted the same way */
};

struct snug_device {
    const char *name; /* "cpu", "sim:v100-16gb" */
    bool dry;         /* nothing is computed there: programs run their memory only */
    bool host;        /* its memory is the host's: what follows `touch` is NULL */
    enum snug_status (*take)(const struct snug_device *device, size_t bytes,
                             struct snug_region *region, struct snug_error *error);
    void (*give)(const struct snug_device *device, struct snug_region *region);
    /* Makes every byte of the region memory now, so that none is missing later. */
    enum snug_status (*touch)(const struct snug_device *device, const struct snug_region *region,
                              struct snug_error *error);
    /* Host memory that the device copies from and to (pinned); lost with the device. */
    enum snug_status (*take_host)(const struct snug_device *device, size_t bytes,
                                  struct snug_region *region, struct snug_error *error);
    void (*give_host)(const struct snug_device *device, struct snug_region *region);
    /* Queues a copy. Both sides must stay as they are until it is done. A failure may also be
     * reported by the join, or by synchronise. *ticket: for join; rises from 1. */
    enum snug_status (*copy)(const struct snug_device *device, const struct snug_copy *copy,
                             uint64_t *ticket, struct snug_error *error);
    /* Launches made from now on wait for that copy and all before it; 0: for none. */
    enum snug_status (*join)(const struct snug_device *device, uint64_t ticket,
                             struct snug_error *error);
    /* A kernel is to run. On OK the caller computes it (sim), or it is queued (cuda). */
    enum snug_status (*launch)(const struct snug_device *device, const struct snug_work *work,
                               struct snug_error *error);
    /* The caller has computed what it launched (sim). May be NULL. */
    void (*launched)(const struct snug_device *device);
    /* Returns when all launches and copies are done: what was copied to the host can be read. */
    enum snug_status (*synchronise)(const struct snug_device *device, struct snug_error *error);
    /* Memory that can be taken now; what others hold is not in it. DEVICE_LOST when lost. */
    enum snug_status (*free_bytes)(const struct snug_device *device, uint64_t *bytes,
                                   struct snug_error *error);
    /* After a loss: tries to make the device usable again, empty. Errors: DEVICE_LOST (not yet). */
    enum snug_status (*reset)(const struct snug_device *device, struct snug_error *error);
    /* Milliseconds that the device has been at work, by its own reckoning. */
    double (*time_ms)(const struct snug_device *device);
    /* Where the program is: before a document (token -1: at its start), and before each of its
     * tokens. For scripts and histories. May be NULL. */
    void (*mark)(const struct snug_device *device, int64_t document, int64_t token);
    size_t granularity; /* of take; a power of two */
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
