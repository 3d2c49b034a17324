/* A simulated device: the CPU behind a device's memory. Capacity, granularity, a neighbour that
 * takes and returns memory, slow copies, calls that fail, loss: whatever a graphics card can do to
 * a program, on a machine without one, at the very call where it is wanted.
 *
 * Time is virtual: two clocks, of launches and of copies, are moved on by the figures below;
 * nothing waits for them. Copies really run beside the launches, on a thread of their own, so that
 * a missing join is a data race that ThreadSanitizer sees.
 *
 * The same calls give the same history: faults are counted by calls, scripts by documents, tokens,
 * calls or virtual time.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_SIM_H
#define SNUG_DEVICE_SIM_H

#include "device/device.h"
#include "device/profile.h"

enum snug_sim_call {
    SNUG_SIM_CALL_ANY, /* faults only: whichever it is */
    SNUG_SIM_CALL_TAKE,
    SNUG_SIM_CALL_TAKE_HOST,
    SNUG_SIM_CALL_COPY_TO, /* to the device */
    SNUG_SIM_CALL_COPY_FROM,
    SNUG_SIM_CALL_LAUNCH,
    SNUG_SIM_CALL_SYNCHRONISE,
    SNUG_SIM_CALL_COUNT
};
const char *snug_sim_call_name(enum snug_sim_call call); /* "any", "take", ..., "synchronise" */

/* The `at`-th call of a kind (from 1), and the `count - 1` after it, go wrong: with MEMORY if it is
 * a take, else DEVICE; or the device is lost. A copy that fails says so at its join or synchronise,
 * and has not written anything. */
struct snug_sim_fault {
    enum snug_sim_call call;
    uint64_t at, count;
    bool lose;
};

/* Something that happens once when its moment has come: before the given token (-1: the start) of
 * the given document, or at the first call at or after virtual time at_ms. */
enum snug_sim_event_kind {
    SNUG_SIM_EVENT_NEIGHBOUR, /* holds `bytes` from now on, as far as there is room */
    SNUG_SIM_EVENT_FAIL,      /* the next `count` calls of kind `call` fail */
    SNUG_SIM_EVENT_LOSE,      /* the device is lost; `count` attempts at reset fail */
    SNUG_SIM_EVENT_LINK       /* copies run at `factor` of their speed from now on */
};
struct snug_sim_event {
    enum snug_sim_event_kind kind;
    int64_t document, token; /* document -1: by time */
    double at_ms;
    uint64_t bytes;
    enum snug_sim_call call;
    uint64_t count;
    double factor;
};

#define SNUG_SIM_MAX_FAULTS 8
#define SNUG_SIM_MAX_EVENTS 4096

struct snug_sim_options {
    char name[64];              /* "sim:v100-16gb" */
    uint64_t capacity_bytes;    /* what can be taken when nobody else is there */
    uint64_t granularity_bytes; /* a power of two */
    double read_gbs, f32_gflops, int8_gops, link_gbs; /* 0: takes no time */
    double launch_us, copy_us;                        /* latency of each */
    bool dry;                                         /* addresses only, and nothing is copied */
    bool guard; /* tests: memory is out of reach but for launches and copies under way (not with
                   several devices at once on one thread) */
    struct snug_sim_fault faults[SNUG_SIM_MAX_FAULTS];
    int fault_count;
    const struct snug_sim_event
        *events; /* in the order of their moments; must outlive the device */
    size_t event_count;
};
/* Of a profile: what can be taken of it, its speeds, and a graphics card's usual latencies. */
struct snug_sim_options snug_sim_options_of(const struct snug_device_profile *profile);

struct snug_sim_figures {
    uint64_t calls[SNUG_SIM_CALL_COUNT]; /* so far; [ANY]: of all kinds */
    uint64_t ours, peak_ours, neighbour; /* bytes held now, by us (rounded up) at most, by others */
    uint64_t refused, losses, resets;
    double launch_ms, copy_ms, waited_ms; /* busy, and launches waiting for copies; virtual */
};

/* *out points to a device until snug_sim_close. Errors: MEMORY, IO (no thread). Calls of the device
 * come from one thread at a time. */
SNUG_CHECK_RESULT enum snug_status snug_sim_open(const struct snug_sim_options *options,
                                                 const struct snug_allocator *allocator,
                                                 const struct snug_device **out,
                                                 struct snug_error *error);
/* Every region must have been given back (a lost one too). NULL allowed. */
void snug_sim_close(const struct snug_device *device);
bool snug_device_is_sim(const struct snug_device *device);

struct snug_sim_figures snug_sim_figures(const struct snug_device *device);
/* The neighbour holds `bytes` from now on, or as much as there is room for; returns what it holds.
 */
uint64_t snug_sim_neighbour(const struct snug_device *device, uint64_t bytes);
/* Between tests: other faults, counted from now on. */
void snug_sim_set_faults(const struct snug_device *device, const struct snug_sim_fault *faults,
                         int count);
/* Lost now, until `resets` attempts at reset have failed. */
void snug_sim_lose(const struct snug_device *device, uint64_t resets);
/* Called by mark before the events of that moment; for histories that a test makes up. */
void snug_sim_on_mark(const struct snug_device *device,
                      void (*call)(void *context, const struct snug_device *device,
                                   int64_t document, int64_t token),
                      void *context);

#endif
