/* The simulated device's copies: a ring of slots, filled by the caller, worked off in order by one
 * thread.
 *
 *     slot of a ticket = ticket mod 64        queued = last ticket queued
 *     caller: waits until the slot's last ticket is done; writes the slot; queued = ticket
 * (release) thread: sees queued (acquire); copies; slot.done = ticket (release) join:   waits for
 * slot.done of its ticket (acquire)
 *
 * `done` stands in each slot, not once for all: who waits for one copy has no order with a later
 * one that happens to be done, too. Words hold the low half of a ticket; at most 64 are under way,
 * so that differences tell. Sleeping is futex(2) on the words.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/sim_internal.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert((SNUG_SIM_QUEUE & (SNUG_SIM_QUEUE - 1)) == 0, "slots are found by a mask");

/* Sleeps while *word is value; returns early for any reason, so callers look again. */
static void futex_wait(void *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(void *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static struct snug_sim_slot *slot_of(struct snug_sim *sim, uint64_t ticket)
{
    return &sim->slots[ticket % SNUG_SIM_QUEUE];
}

/* ---- the thread ---- */

static void copy_rows(struct snug_sim *sim, const struct snug_copy *copy)
{
    size_t bytes = copy->bytes, rows = copy->rows;
    if (copy->to_pitch == bytes && copy->from_pitch == bytes) {
        bytes *= rows;
        rows = rows > 0;
    }
    for (size_t r = 0; r < rows && bytes; r++) {
        if (atomic_load_explicit(&sim->abandoned, memory_order_relaxed))
            return;
        memcpy((unsigned char *)copy->to + r * copy->to_pitch,
               (const unsigned char *)copy->from + r * copy->from_pitch, bytes);
    }
}

static void *thread_main(void *argument)
{
    struct snug_sim *sim = argument;
    for (uint32_t ticket = 1;; ticket++) {
        while (atomic_load(&sim->queued) == ticket - 1)
            futex_wait(&sim->queued, ticket - 1);
        if (atomic_load(&sim->stop))
            return NULL;
        struct snug_sim_slot *slot = slot_of(sim, ticket);
        if (!slot->skipped) {
            snug_sim_set_copying(sim, true);
            copy_rows(sim, &slot->copy);
            snug_sim_set_copying(sim, false);
        }
        atomic_store_explicit(&slot->done, ticket, memory_order_release);
        futex_wake(&slot->done);
    }
}

/* ---- the caller ---- */

/* The thread inherits a mask that blocks every signal: handlers run on the program's own threads.
 */
enum snug_status snug_sim_copies_start(struct snug_sim *sim, struct snug_error *error)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int number = pthread_create(&sim->thread, NULL, thread_main, sim);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (number)
        return snug_error_set(error, SNUG_STATUS_IO, "%s: cannot start its thread for copies: %s",
                              sim->options.name, strerror(number));
    sim->started = true;
    return SNUG_STATUS_OK;
}

void snug_sim_copies_stop(struct snug_sim *sim)
{
    if (!sim->started)
        return;
    snug_sim_copies_wait(sim, sim->tickets);
    atomic_store(&sim->stop, true);
    atomic_fetch_add(&sim->queued, 1); /* another value: nobody falls asleep on the old one */
    futex_wake(&sim->queued);
    pthread_join(sim->thread, NULL);
    sim->started = false;
}

static void wait_for_slot(struct snug_sim_slot *slot, uint32_t ticket)
{
    for (;;) {
        uint32_t done = atomic_load_explicit(&slot->done, memory_order_acquire);
        if ((int32_t)(done - ticket) >= 0)
            return;
        futex_wait(&slot->done, done);
    }
}

void snug_sim_copies_queue(struct snug_sim *sim, const struct snug_copy *copy, bool skipped)
{
    uint64_t ticket = ++sim->tickets;
    if (!sim->started)
        return;
    struct snug_sim_slot *slot = slot_of(sim, ticket);
    if (ticket > SNUG_SIM_QUEUE)
        wait_for_slot(slot, (uint32_t)(ticket - SNUG_SIM_QUEUE));
    slot->copy = *copy;
    slot->skipped = skipped;
    atomic_store(&sim->queued, (uint32_t)ticket);
    futex_wake(&sim->queued);
}

void snug_sim_copies_wait(struct snug_sim *sim, uint64_t ticket)
{
    SNUG_ASSERT(ticket <= sim->tickets);
    if (!sim->started || !ticket)
        return;
    if (sim->tickets - ticket < SNUG_SIM_QUEUE) /* else its slot has been taken again: done */
        wait_for_slot(slot_of(sim, ticket), (uint32_t)ticket);
}

void snug_sim_copies_abandon(struct snug_sim *sim)
{
    atomic_store(&sim->abandoned, true);
    snug_sim_copies_wait(sim, sim->tickets);
    atomic_store(&sim->abandoned, false);
}
