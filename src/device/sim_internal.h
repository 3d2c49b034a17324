/* What the files of the simulated device share.
 *
 * sim.c         the table of calls, clocks, faults, events; the caller's thread only
 * sim_memory.c  regions: taken, put out of reach, given back
 * sim_copies.c  the queue of copies and the thread that works it off
 *
 * Caller and thread share the queue alone; with `guard` the regions, too, behind `lock`. Nothing
 * else orders the two: the caller learns that a copy is done by waiting for that very copy, so that
 * ThreadSanitizer sees what has not been waited for.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_SIM_INTERNAL_H
#define SNUG_DEVICE_SIM_INTERNAL_H

#include "device/sim.h"

#include <pthread.h>
#include <stdatomic.h>

#define SNUG_SIM_QUEUE 64 /* copies queued at most; a power of two */
#define SNUG_SIM_ENDS 256 /* copies whose virtual ends are remembered; a power of two */
#define SNUG_SIM_MAX_REGIONS 64
#define SNUG_SIM_FILL_BYTES ((size_t)64 << 20) /* guard: larger regions are not filled */
#define SNUG_SIM_FILL 0xCD

struct snug_sim_region {
    struct snug_region region; /* base NULL: a free entry */
    bool host;                 /* pinned: not counted, not guarded */
    bool lost;                 /* out of reach for good, not counted */
};

struct snug_sim_slot {
    struct snug_copy copy; /* the caller's until it is queued, the thread's until it is done */
    bool skipped;
    _Atomic uint32_t done; /* low half of the last ticket of this slot that is done */
};

struct snug_sim_end {
    double ms;
    bool failed;
};

struct snug_sim {
    struct snug_device device;
    struct snug_sim_options options;
    const struct snug_allocator *allocator;
    struct snug_sim_figures figures;
    bool lost;
    uint64_t resets_to_fail;

    /* faults and events */
    uint64_t fault_base[SNUG_SIM_CALL_COUNT]; /* calls when the faults were set */
    uint64_t fail_next[SNUG_SIM_CALL_COUNT];
    unsigned char *happened; /* [event_count] */
    double next_timed_ms;    /* of the events still to come by time; infinity: none */
    void (*on_mark)(void *context, const struct snug_device *device, int64_t document,
                    int64_t token);
    void *mark_context;

    /* virtual time: when the last launch, the last copy ends */
    double launch_end_ms, copy_end_ms, link_factor;
    struct snug_sim_end ends[SNUG_SIM_ENDS]; /* by ticket */
    uint64_t first_failed, last_failed;      /* copies not yet reported; 0: none */

    /* regions */
    pthread_mutex_t lock; /* of the regions' protection; used only with `guard` */
    struct snug_sim_region regions[SNUG_SIM_MAX_REGIONS];
    int region_count;
    bool launching, copying; /* guard: either opens the device's memory */

    /* copies */
    uint64_t tickets; /* copies queued so far; the last one's ticket */
    bool started;
    pthread_t thread;
    _Atomic uint32_t queued; /* low half of `tickets`; the thread sleeps on it */
    atomic_bool stop, abandoned;
    struct snug_sim_slot slots[SNUG_SIM_QUEUE]; /* by ticket */
};

/* ---- sim_memory.c ---- */

/* Maps a region of `bytes` and enters it. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_sim_map(struct snug_sim *sim, size_t bytes, bool host,
                                                struct snug_region *region,
                                                struct snug_error *error);
/* Takes it out and unmaps it; true if it counted until now. */
bool snug_sim_unmap(struct snug_sim *sim, struct snug_region *region);
/* Every region of the device out of reach, for good, and with `host` what it had pinned. No copy
 * may be under way. */
void snug_sim_forget(struct snug_sim *sim, bool host);
SNUG_CHECK_RESULT enum snug_status snug_sim_touch(const struct snug_device *device,
                                                  const struct snug_region *region,
                                                  struct snug_error *error);
/* guard: the device's memory is within reach while one of the two is set. */
void snug_sim_set_launching(struct snug_sim *sim, bool launching);
void snug_sim_set_copying(struct snug_sim *sim, bool copying);

/* ---- sim_copies.c ---- */

SNUG_CHECK_RESULT enum snug_status snug_sim_copies_start(struct snug_sim *sim,
                                                         struct snug_error *error);
void snug_sim_copies_stop(struct snug_sim *sim); /* after what is queued; never started: nothing */
/* Queues a copy under the ticket sim->tickets + 1; `skipped`: it does nothing. Waits for room. */
void snug_sim_copies_queue(struct snug_sim *sim, const struct snug_copy *copy, bool skipped);
/* Returns when that copy and all before it are done. */
void snug_sim_copies_wait(struct snug_sim *sim, uint64_t ticket);
/* Returns when nothing is queued, and leaves undone what has not begun. */
void snug_sim_copies_abandon(struct snug_sim *sim);

#endif
