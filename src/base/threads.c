/* The thread pool.
 *
 * One 32-bit word, the gate, holds a job's generation and its open seats:
 *
 *     gate = generation << 9 | seats      seats: workers that may still join
 *
 *     caller: write the job; gate = (generation + 1, wanted seats); wake sleepers; work
 *             gate seats = 0: closed, joined = wanted - seats left; wait until joined workers left
 *     worker: sees seats > 0: takes one by compare-and-swap, works, leaves
 *
 * Only a worker that holds a seat touches the job, and the caller returns when every seat taken has
 * been given back: a worker that wakes too late finds the gate closed, and nobody waits for it.
 * `balance` is joined (added by the caller on closing) minus left: whoever brings it to 0 after
 * closing was the last. Sleeping is futex(2) on the gate (workers) and on the balance (caller).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/threads.h"
#include "base/clock.h"
#include "base/limits.h"

#include <fenv.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEAT_BITS 9u
#define SEAT_MASK ((1u << SEAT_BITS) - 1u)
_Static_assert(SNUG_MAX_THREADS <= SEAT_MASK, "a seat for every thread");

/* Two steps of a decode are microseconds apart; a sleep and a wake cost about five. */
#define SPIN_MS 0.02
#define PAUSES_PER_LOOK 16

struct worker {
    struct snug_pool *pool;
    int index; /* 1.. */
    pthread_t thread;
};

struct snug_pool {
    const struct snug_allocator *allocator;
    int threads, started;
    bool spins; /* no processor is left for a spinning thread otherwise */

    /* the job: written by the caller while the gate is closed */
    snug_task_fn *task;
    void *context;
    int64_t count;
    bool running; /* caller only: catches a task that runs a job on its own pool */

    _Alignas(64) _Atomic int64_t next; /* first index not yet taken */
    _Alignas(64) _Atomic uint32_t gate;
    _Atomic uint32_t sleepers; /* workers in futex_wait, or about to be */
    atomic_bool stop;
    _Alignas(64) _Atomic int32_t balance;
    atomic_bool caller_sleeps;
    struct worker workers[]; /* [threads - 1] */
};

/* ---- futex ---- */

/* Sleeps while *word is value; returns early for any reason, so callers look again. */
static void futex_wait(void *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(void *word, int threads)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- floating-point control word ---- */

#if defined(__x86_64__)
/* MXCSR alone: all arithmetic is SSE or AVX, and fesetenv would cost as much as a small job. */
struct control_word {
    unsigned bits;
};

static void control_word_default(struct control_word *saved)
{
    saved->bits = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80);
}

static void control_word_restore(const struct control_word *saved)
{
    __builtin_ia32_ldmxcsr(saved->bits);
}
#else
struct control_word {
    fenv_t environment;
};

static void control_word_default(struct control_word *saved)
{
    (void)fegetenv(&saved->environment);
    (void)fesetenv(FE_DFL_ENV);
}

static void control_word_restore(const struct control_word *saved)
{
    (void)fesetenv(&saved->environment);
}
#endif

/* ---- workers ---- */

static void work(struct snug_pool *pool, int worker)
{
    int64_t index, count = pool->count;

    while ((index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < count)
        pool->task(pool->context, index, worker);
}

/* A gate of another generation than `done` with a free seat, or any gate once the pool stops. */
static uint32_t wait_for_seat(struct snug_pool *pool, uint32_t done)
{
    double until_ms = pool->spins ? snug_clock_ms() + SPIN_MS : 0;
    bool spinning = pool->spins;

    for (unsigned look = 1;; look++) {
        uint32_t gate = atomic_load(&pool->gate);
        if (atomic_load(&pool->stop) || ((gate & SEAT_MASK) && gate >> SEAT_BITS != done))
            return gate;
        if (spinning) {
            cpu_pause();
            spinning = look % PAUSES_PER_LOOK != 0 || snug_clock_ms() < until_ms;
            continue;
        }
        /* The caller stores the gate, then reads sleepers; we write sleepers, then the kernel reads
         * the gate: one of the two sees the other. */
        atomic_fetch_add(&pool->sleepers, 1);
        futex_wait(&pool->gate, gate);
        atomic_fetch_sub(&pool->sleepers, 1);
    }
}

static void leave(struct snug_pool *pool)
{
    /* after this line the job may be gone; the pool is not: destroying it joins us first */
    if (atomic_fetch_sub(&pool->balance, 1) == 1 && atomic_load(&pool->caller_sleeps))
        futex_wake(&pool->balance, 1);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct snug_pool *pool = worker->pool;
    struct control_word unused;
    uint32_t done =
        0; /* no job has generation 0 before the counter wraps; then one is missed at most */

    control_word_default(&unused);
    for (;;) {
        uint32_t gate = wait_for_seat(pool, done);
        if (atomic_load(&pool->stop))
            return NULL;
        if (!atomic_compare_exchange_strong(&pool->gate, &gate, gate - 1))
            continue;
        done = gate >> SEAT_BITS;
        work(pool, worker->index);
        leave(pool);
    }
}

/* ---- life ---- */

static void stop_workers(struct snug_pool *pool)
{
    atomic_store(&pool->stop, true);
    /* another value, so that nobody falls asleep on the old one */
    uint32_t generation = (atomic_load(&pool->gate) >> SEAT_BITS) + 1;
    atomic_store(&pool->gate, generation << SEAT_BITS);
    futex_wake(&pool->gate, SNUG_MAX_THREADS);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
}

/* Workers inherit a mask that blocks every signal: handlers run on the program's own threads. */
static int start_workers(struct snug_pool *pool)
{
    sigset_t all, old;
    int number = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < pool->threads - 1 && number == 0; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i + 1;
        number = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (number == 0)
            pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return number;
}

/* The pool's lines of 64 bytes keep apart what different threads write; the allocator aligns to 16.
 */
static struct snug_pool *pool_allocate(int threads, const struct snug_allocator *allocator,
                                       size_t *bytes)
{
    *bytes = sizeof(struct snug_pool) + (size_t)(threads - 1) * sizeof(struct worker) + 64 +
             sizeof(void *);
    unsigned char *memory = snug_calloc(allocator, 1, *bytes);
    if (!memory)
        return NULL;
    uintptr_t from = (uintptr_t)memory + sizeof(void *);
    struct snug_pool *pool = (void *)(memory + sizeof(void *) + (64 - from % 64) % 64);
    ((void **)(void *)pool)[-1] = memory; /* what to release */
    return pool;
}

static void pool_release(struct snug_pool *pool)
{
    snug_free(pool->allocator, ((void **)(void *)pool)[-1]);
}

enum snug_status snug_pool_create(int threads, const struct snug_allocator *allocator,
                                  struct snug_pool **out, struct snug_error *error)
{
    size_t bytes = 0;

    if (threads < 1 || threads > SNUG_MAX_THREADS)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%d threads: must be from 1 to %d", threads,
                              SNUG_MAX_THREADS);
    struct snug_pool *pool = pool_allocate(threads, allocator, &bytes);
    if (!pool)
        return snug_error_memory(error, bytes, "the thread pool");
    pool->allocator = allocator;
    pool->threads = threads;
    pool->spins = threads <= snug_cpu_count();

    int number = start_workers(pool);
    if (number) {
        int started = pool->started;
        stop_workers(pool);
        pool_release(pool);
        return snug_error_set(error, SNUG_STATUS_IO, "cannot start thread %d of %d: %s",
                              started + 2, threads, strerror(number));
    }
    *out = pool;
    return SNUG_STATUS_OK;
}

void snug_pool_destroy(struct snug_pool *pool)
{
    if (!pool)
        return;
    SNUG_ASSERT(!pool->running);
    stop_workers(pool);
    pool_release(pool);
}

int snug_pool_threads(const struct snug_pool *pool)
{
    return pool ? pool->threads : 1;
}

/* ---- jobs ---- */

static void wait_for_workers(struct snug_pool *pool)
{
    double until_ms = pool->spins ? snug_clock_ms() + SPIN_MS : 0;
    bool spinning = pool->spins;

    for (unsigned look = 1;; look++) {
        int32_t balance = atomic_load(&pool->balance);
        if (balance == 0)
            return;
        if (spinning) {
            cpu_pause();
            spinning = look % PAUSES_PER_LOOK != 0 || snug_clock_ms() < until_ms;
            continue;
        }
        atomic_store(&pool->caller_sleeps, true);
        futex_wait(&pool->balance, (uint32_t)balance);
        atomic_store(&pool->caller_sleeps, false);
    }
}

static void run_shared(struct snug_pool *pool, snug_task_fn *task, void *context, int64_t count)
{
    uint32_t seats = (uint32_t)(count < pool->threads ? count : pool->threads) - 1;
    uint32_t generation = (atomic_load(&pool->gate) >> SEAT_BITS) + 1;

    SNUG_ASSERT(!pool->running && count <= INT64_MAX - SNUG_MAX_THREADS);
    pool->running = true;
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store(&pool->gate, generation << SEAT_BITS | seats); /* publishes the job */
    if (atomic_load(&pool->sleepers))
        futex_wake(&pool->gate, (int)seats);

    work(pool, 0);

    uint32_t left = atomic_fetch_and(&pool->gate, ~SEAT_MASK) & SEAT_MASK;
    int32_t joined = (int32_t)(seats - left);
    if (joined && atomic_fetch_add(&pool->balance, joined) + joined != 0)
        wait_for_workers(pool);
    pool->running = false;
}

void snug_pool_run(struct snug_pool *pool, snug_task_fn *task, void *context, int64_t count)
{
    struct control_word saved;

    if (count <= 0)
        return;
    control_word_default(&saved);
    if (!pool || pool->threads == 1 || count == 1) {
        for (int64_t i = 0; i < count; i++)
            task(context, i, 0);
    } else {
        run_shared(pool, task, context, count);
    }
    control_word_restore(&saved);
}
