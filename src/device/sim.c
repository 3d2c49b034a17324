/* The simulated device's table of calls. Each call that can fail goes the same way:
 *
 *     events whose time has come -> lost? -> counted -> told to fail? -> done, clocks moved on
 *
 * Virtual time, in milliseconds; L, C: when the last launch, the last copy ends:
 *
 *     copy      start = max(C, L); C = start + latency + bytes / (link * factor)
 *     join      L = max(L, end of that copy)
 *     launch    L += latency + max(bytes / reading, f32 / its rate, int8 / its rate)
 *     synchronise   L = max(L, C)
 *
 * What join and synchronise add to L is time in which launches waited.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LAUNCH_US 5 /* what graphics cards take, roughly; nothing was measured */
#define COPY_US 10

static const char *const call_names[SNUG_SIM_CALL_COUNT] = {
    "any", "take", "take_host", "copy_to", "copy_from", "launch", "synchronise"};

const char *snug_sim_call_name(enum snug_sim_call call)
{
    return (unsigned)call < SNUG_SIM_CALL_COUNT ? call_names[call] : "?";
}

static struct snug_sim *sim_of(const struct snug_device *device)
{
    SNUG_ASSERT(snug_device_is_sim(device));
    return device->context;
}

/* ---- loss ---- */

/* Whoever is told knows: from now on what it had pinned is out of reach, too. Before that a program
 * cannot know, and may be writing there. */
static enum snug_status lost_error(struct snug_sim *sim, struct snug_error *error)
{
    snug_sim_forget(sim, true);
    return snug_error_set(error, SNUG_STATUS_DEVICE_LOST, "%s: the device is lost",
                          sim->options.name);
}

static void lose(struct snug_sim *sim, uint64_t resets_to_fail)
{
    sim->resets_to_fail = resets_to_fail;
    if (sim->lost)
        return;
    snug_sim_copies_abandon(sim);
    snug_sim_forget(sim, false);
    sim->lost = true;
    sim->first_failed = sim->last_failed = 0;
    sim->figures.losses++;
    sim->figures.ours = 0;
}

void snug_sim_lose(const struct snug_device *device, uint64_t resets)
{
    lose(sim_of(device), resets);
}

/* ---- neighbour ---- */

static uint64_t room(const struct snug_sim *sim)
{
    return sim->options.capacity_bytes - sim->figures.ours - sim->figures.neighbour;
}

static void set_neighbour(struct snug_sim *sim, uint64_t bytes)
{
    uint64_t most = sim->options.capacity_bytes - sim->figures.ours;
    sim->figures.neighbour = bytes < most ? bytes : most;
}

uint64_t snug_sim_neighbour(const struct snug_device *device, uint64_t bytes)
{
    struct snug_sim *sim = sim_of(device);
    set_neighbour(sim, bytes);
    return sim->figures.neighbour;
}

/* ---- events ---- */

static void find_next_timed(struct snug_sim *sim)
{
    sim->next_timed_ms = INFINITY;
    for (size_t i = 0; i < sim->options.event_count; i++) {
        const struct snug_sim_event *event = &sim->options.events[i];
        if (!sim->happened[i] && event->document < 0 && event->at_ms < sim->next_timed_ms)
            sim->next_timed_ms = event->at_ms;
    }
}

static void happen(struct snug_sim *sim, size_t index)
{
    const struct snug_sim_event *event = &sim->options.events[index];
    sim->happened[index] = 1;
    switch (event->kind) {
    case SNUG_SIM_EVENT_NEIGHBOUR:
        set_neighbour(sim, event->bytes);
        break;
    case SNUG_SIM_EVENT_FAIL:
        sim->fail_next[event->call] += event->count;
        break;
    case SNUG_SIM_EVENT_LOSE:
        lose(sim, event->count);
        break;
    case SNUG_SIM_EVENT_LINK:
        sim->link_factor = event->factor;
        break;
    }
}

static double now_ms(const struct snug_sim *sim)
{
    return fmax(sim->launch_end_ms, sim->copy_end_ms);
}

static void timed_events(struct snug_sim *sim)
{
    double now = now_ms(sim);
    if (now < sim->next_timed_ms)
        return;
    for (size_t i = 0; i < sim->options.event_count; i++) {
        const struct snug_sim_event *event = &sim->options.events[i];
        if (!sim->happened[i] && event->document < 0 && event->at_ms <= now)
            happen(sim, i);
    }
    find_next_timed(sim);
}

/* A start is due in its document and in every later one (a document may be passed over); a token
 * only in its own: with several documents at once a later one's marks say nothing about it. */
static bool is_due(const struct snug_sim_event *event, int64_t document, int64_t token)
{
    if (event->document < 0)
        return false;
    if (event->token < 0)
        return document >= event->document;
    return document == event->document && token >= event->token;
}

static void sim_mark(const struct snug_device *device, int64_t document, int64_t token)
{
    struct snug_sim *sim = sim_of(device);
    if (sim->on_mark)
        sim->on_mark(sim->mark_context, device, document, token);
    timed_events(sim);
    for (size_t i = 0; i < sim->options.event_count; i++)
        if (!sim->happened[i] && is_due(&sim->options.events[i], document, token))
            happen(sim, i);
}

void snug_sim_on_mark(const struct snug_device *device,
                      void (*call)(void *context, const struct snug_device *device,
                                   int64_t document, int64_t token),
                      void *context)
{
    struct snug_sim *sim = sim_of(device);
    sim->on_mark = call;
    sim->mark_context = context;
}

/* ---- faults ---- */

static bool fault_is_due(const struct snug_sim *sim, const struct snug_sim_fault *fault,
                         enum snug_sim_call call)
{
    if (fault->call != SNUG_SIM_CALL_ANY && fault->call != call)
        return false;
    uint64_t number = sim->figures.calls[fault->call] - sim->fault_base[fault->call];
    return number >= fault->at && number - fault->at < fault->count;
}

static bool take_one(uint64_t *count)
{
    bool due = *count > 0;
    *count -= due;
    return due;
}

/* What every call goes through: DEVICE_LOST, or MEMORY (takes) or DEVICE if it was told to fail. */
static enum snug_status begin(struct snug_sim *sim, enum snug_sim_call call,
                              struct snug_error *error)
{
    timed_events(sim);
    if (sim->lost)
        return lost_error(sim, error);
    uint64_t number = ++sim->figures.calls[call];
    sim->figures.calls[SNUG_SIM_CALL_ANY]++;
    bool fails = take_one(&sim->fail_next[call]);
    fails = take_one(&sim->fail_next[SNUG_SIM_CALL_ANY]) || fails;
    for (int i = 0; i < sim->options.fault_count; i++) {
        const struct snug_sim_fault *fault = &sim->options.faults[i];
        if (!fault_is_due(sim, fault, call))
            continue;
        fails = true;
        if (fault->lose) {
            lose(sim, 0);
            return lost_error(sim, error);
        }
    }
    if (!fails)
        return SNUG_STATUS_OK;
    bool take = call == SNUG_SIM_CALL_TAKE || call == SNUG_SIM_CALL_TAKE_HOST;
    return snug_error_set(error, take ? SNUG_STATUS_MEMORY : SNUG_STATUS_DEVICE,
                          "%s: %s number %llu was told to fail", sim->options.name,
                          call_names[call], (unsigned long long)number);
}

void snug_sim_set_faults(const struct snug_device *device, const struct snug_sim_fault *faults,
                         int count)
{
    struct snug_sim *sim = sim_of(device);
    SNUG_ASSERT(count >= 0 && count <= SNUG_SIM_MAX_FAULTS);
    for (int i = 0; i < count; i++)
        sim->options.faults[i] = faults[i];
    sim->options.fault_count = count;
    memcpy(sim->fault_base, sim->figures.calls, sizeof sim->fault_base);
}

/* ---- memory ---- */

static enum snug_status refuse(struct snug_sim *sim, size_t bytes, struct snug_error *error)
{
    const struct snug_sim_figures *figures = &sim->figures;
    return snug_error_set(error, SNUG_STATUS_MEMORY,
                          "%s: %zu bytes are wanted; of its %llu we hold %llu and others %llu",
                          sim->options.name, bytes, (unsigned long long)sim->options.capacity_bytes,
                          (unsigned long long)figures->ours,
                          (unsigned long long)figures->neighbour);
}

static enum snug_status take_rounded(struct snug_sim *sim, size_t bytes, struct snug_region *region,
                                     struct snug_error *error)
{
    SNUG_TRY(begin(sim, SNUG_SIM_CALL_TAKE, error));
    size_t grain = sim->device.granularity, rounded = 0;
    if (!snug_add_size(bytes ? bytes : 1, grain - 1, &rounded))
        return refuse(sim, bytes, error);
    rounded &= ~(grain - 1);
    if (rounded > room(sim))
        return refuse(sim, bytes, error);
    SNUG_TRY(snug_sim_map(sim, rounded, false, region, error));
    sim->figures.ours += rounded;
    if (sim->figures.ours > sim->figures.peak_ours)
        sim->figures.peak_ours = sim->figures.ours;
    return SNUG_STATUS_OK;
}

static enum snug_status sim_take(const struct snug_device *device, size_t bytes,
                                 struct snug_region *region, struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    enum snug_status status = take_rounded(sim, bytes, region, error);
    sim->figures.refused += status == SNUG_STATUS_MEMORY;
    return status;
}

static enum snug_status sim_take_host(const struct snug_device *device, size_t bytes,
                                      struct snug_region *region, struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    enum snug_status status = begin(sim, SNUG_SIM_CALL_TAKE_HOST, error);
    if (!status)
        status = snug_sim_map(sim, bytes ? bytes : 1, true, region, error);
    sim->figures.refused += status == SNUG_STATUS_MEMORY;
    return status;
}

/* Copies under way are waited for, as graphics cards do. */
static void sim_give(const struct snug_device *device, struct snug_region *region)
{
    struct snug_sim *sim = device->context;
    if (!region->base)
        return;
    uint64_t bytes = region->bytes;
    snug_sim_copies_wait(sim, sim->tickets);
    if (snug_sim_unmap(sim, region))
        sim->figures.ours -= bytes;
}

static enum snug_status sim_free_bytes(const struct snug_device *device, uint64_t *bytes,
                                       struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    timed_events(sim);
    if (sim->lost)
        return lost_error(sim, error);
    *bytes = room(sim) & ~(sim->options.granularity_bytes - 1);
    return SNUG_STATUS_OK;
}

/* ---- copies and launches ---- */

/* Milliseconds that `amount` takes at `giga` 10^9 a second; 0: none. */
static double takes_ms(double amount, double giga)
{
    return giga > 0 ? amount / (giga * 1e6) : 0;
}

static struct snug_sim_end *end_of(struct snug_sim *sim, uint64_t ticket)
{
    return &sim->ends[ticket % SNUG_SIM_ENDS];
}

static enum snug_status sim_copy(const struct snug_device *device, const struct snug_copy *copy,
                                 uint64_t *ticket, struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    bool to = copy->direction == SNUG_DIRECTION_TO_DEVICE;
    enum snug_status status =
        begin(sim, to ? SNUG_SIM_CALL_COPY_TO : SNUG_SIM_CALL_COPY_FROM, error);
    if (status && status != SNUG_STATUS_DEVICE)
        return status;
    bool failed = status == SNUG_STATUS_DEVICE;
    snug_sim_copies_queue(sim, copy, failed);

    double took = sim->options.copy_us / 1000 + takes_ms((double)copy->bytes * (double)copy->rows,
                                                         sim->options.link_gbs * sim->link_factor);
    sim->copy_end_ms = now_ms(sim) + took;
    sim->figures.copy_ms += took;
    *end_of(sim, sim->tickets) = (struct snug_sim_end){sim->copy_end_ms, failed};
    if (failed) {
        sim->last_failed = sim->tickets;
        if (!sim->first_failed)
            sim->first_failed = sim->tickets;
    }
    *ticket = sim->tickets;
    return SNUG_STATUS_OK;
}

/* Failed copies up to `ticket`, if one was not reported yet; from now on they are. */
static enum snug_status report(struct snug_sim *sim, uint64_t ticket, struct snug_error *error)
{
    uint64_t failed = sim->first_failed;
    if (!failed || failed > ticket)
        return SNUG_STATUS_OK;
    uint64_t next = sim->tickets < SNUG_SIM_ENDS ? 1 : sim->tickets - SNUG_SIM_ENDS + 1;
    next = next > ticket ? next : ticket + 1;
    while (next <= sim->last_failed && !end_of(sim, next)->failed)
        next++;
    sim->first_failed = next <= sim->last_failed ? next : 0;
    return snug_error_set(error, SNUG_STATUS_DEVICE, "%s: copy %llu has failed", sim->options.name,
                          (unsigned long long)failed);
}

static void launches_wait_until(struct snug_sim *sim, double ms)
{
    if (ms <= sim->launch_end_ms)
        return;
    sim->figures.waited_ms += ms - sim->launch_end_ms;
    sim->launch_end_ms = ms;
}

static enum snug_status sim_join(const struct snug_device *device, uint64_t ticket,
                                 struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    timed_events(sim);
    if (sim->lost)
        return lost_error(sim, error);
    snug_sim_copies_wait(sim, ticket);
    /* one whose end is forgotten counts as long done */
    if (ticket && sim->tickets - ticket < SNUG_SIM_ENDS)
        launches_wait_until(sim, end_of(sim, ticket)->ms);
    return report(sim, ticket, error);
}

static enum snug_status sim_synchronise(const struct snug_device *device, struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    enum snug_status status = begin(sim, SNUG_SIM_CALL_SYNCHRONISE, error);
    if (status == SNUG_STATUS_DEVICE_LOST)
        return status;
    snug_sim_copies_wait(sim, sim->tickets);
    launches_wait_until(sim, sim->copy_end_ms);
    enum snug_status copies = report(sim, sim->tickets, error);
    return copies ? copies : status;
}

static enum snug_status sim_launch(const struct snug_device *device, const struct snug_work *work,
                                   struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    const struct snug_sim_options *options = &sim->options;
    SNUG_TRY(begin(sim, SNUG_SIM_CALL_LAUNCH, error));
    double took = fmax(takes_ms(work->bytes, options->read_gbs),
                       fmax(takes_ms(work->f32_flops, options->f32_gflops),
                            takes_ms(work->int8_ops, options->int8_gops)));
    took += options->launch_us / 1000;
    sim->launch_end_ms += took;
    sim->figures.launch_ms += took;
    snug_sim_set_launching(sim, true);
    return SNUG_STATUS_OK;
}

static void sim_launched(const struct snug_device *device)
{
    snug_sim_set_launching(device->context, false);
}

static double sim_time_ms(const struct snug_device *device)
{
    return now_ms(device->context);
}

static enum snug_status sim_reset(const struct snug_device *device, struct snug_error *error)
{
    struct snug_sim *sim = device->context;
    timed_events(sim);
    if (!sim->lost)
        return SNUG_STATUS_OK;
    if (take_one(&sim->resets_to_fail))
        return lost_error(sim, error);
    sim->lost = false;
    sim->figures.resets++;
    return SNUG_STATUS_OK;
}

/* ---- life ---- */

struct snug_sim_options snug_sim_options_of(const struct snug_device_profile *profile)
{
    struct snug_sim_options options = {.capacity_bytes = snug_device_profile_usable_bytes(profile),
                                       .granularity_bytes = profile->granularity_bytes,
                                       .read_gbs = profile->read_gbs,
                                       .f32_gflops = profile->f32_gflops,
                                       .int8_gops = profile->int8_gops,
                                       .link_gbs = profile->link_gbs,
                                       .launch_us = LAUNCH_US,
                                       .copy_us = COPY_US};
    snprintf(options.name, sizeof options.name, "sim:%s", profile->name);
    return options;
}

static struct snug_device table_of(struct snug_sim *sim)
{
    return (struct snug_device){.name = sim->options.name,
                                .dry = sim->options.dry,
                                .take = sim_take,
                                .give = sim_give,
                                .touch = snug_sim_touch,
                                .take_host = sim_take_host,
                                .give_host = sim_give,
                                .copy = sim_copy,
                                .join = sim_join,
                                .launch = sim_launch,
                                .launched = sim_launched,
                                .synchronise = sim_synchronise,
                                .free_bytes = sim_free_bytes,
                                .reset = sim_reset,
                                .time_ms = sim_time_ms,
                                .mark = sim_mark,
                                .granularity = (size_t)sim->options.granularity_bytes,
                                .context = sim};
}

static void release(struct snug_sim *sim)
{
    pthread_mutex_destroy(&sim->lock);
    snug_free(sim->allocator, sim->happened);
    snug_free(sim->allocator, sim);
}

enum snug_status snug_sim_open(const struct snug_sim_options *options,
                               const struct snug_allocator *allocator,
                               const struct snug_device **out, struct snug_error *error)
{
    uint64_t grain = options->granularity_bytes;
    SNUG_ASSERT(grain && !(grain & (grain - 1)) && options->fault_count >= 0 &&
                options->fault_count <= SNUG_SIM_MAX_FAULTS);
    struct snug_sim *sim = snug_calloc(allocator, 1, sizeof *sim);
    if (!sim)
        return snug_error_memory(error, sizeof *sim, "a simulated device");
    pthread_mutex_init(&sim->lock, NULL);
    sim->allocator = allocator;
    sim->options = *options;
    sim->link_factor = 1;
    sim->device = table_of(sim);
    sim->happened = snug_calloc(allocator, options->event_count, 1);
    enum snug_status status =
        sim->happened ? SNUG_STATUS_OK
                      : snug_error_memory(error, options->event_count, "a simulated device");
    if (!status) {
        find_next_timed(sim);
        if (!options->dry)
            status = snug_sim_copies_start(sim, error);
    }
    if (status) {
        release(sim);
        return status;
    }
    *out = &sim->device;
    return SNUG_STATUS_OK;
}

void snug_sim_close(const struct snug_device *device)
{
    if (!device)
        return;
    struct snug_sim *sim = sim_of(device);
    SNUG_ASSERT(sim->region_count == 0);
    snug_sim_copies_stop(sim);
    release(sim);
}

bool snug_device_is_sim(const struct snug_device *device)
{
    return device && device->take == sim_take;
}

struct snug_sim_figures snug_sim_figures(const struct snug_device *device)
{
    return sim_of(device)->figures;
}
