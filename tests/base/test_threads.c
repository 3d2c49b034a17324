/* Tests of base/threads.c and base/cpus.c; to be run under ThreadSanitizer, too.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/threads.h"
#include "base/clock.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static const int thread_counts[] = {1, 2, 3, 5};
#define THREAD_COUNTS (sizeof thread_counts / sizeof *thread_counts)

struct job {
    int threads;
    int64_t count;
    unsigned char done[600]; /* plain: tasks write disjoint memory, and returning publishes it */
    _Atomic int wrong_worker;
};

static void mark(void *context, int64_t index, int worker)
{
    struct job *job = context;

    job->done[index]++;
    if (worker < 0 || worker >= job->threads)
        atomic_fetch_add(&job->wrong_worker, 1);
}

/* Many jobs of every small size, their contexts on the stack and overwritten at once: a worker that
 * came late would write where it must not. */
static void run_jobs(struct snug_pool *pool, int threads, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        struct job job = {.threads = threads, .count = round % 37 == 0 ? 600 : round % 13};

        snug_pool_run(pool, mark, &job, job.count);
        for (int64_t i = 0; i < 600; i++)
            if (job.done[i] != (i < job.count))
                fail_msg("%d threads, job %d of %lld tasks: task %lld ran %d times", threads, round,
                         (long long)job.count, (long long)i, job.done[i]);
        assert_int_equal(atomic_load(&job.wrong_worker), 0);
        memset(&job, 0xee, sizeof job);
    }
}

static void test_jobs(void **state)
{
    (void)state;
    run_jobs(NULL, 1, 200);
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct snug_pool *pool = NULL;
        struct snug_error error;

        assert_int_equal(snug_pool_create(thread_counts[t], snug_allocator_heap(), &pool, &error),
                         0);
        assert_int_equal(snug_pool_threads(pool), thread_counts[t]);
        run_jobs(pool, thread_counts[t], 4000);
        snug_pool_run(pool, mark, NULL, 0);
        snug_pool_run(pool, mark, NULL, -5);
        snug_pool_destroy(pool);
    }
    snug_pool_destroy(NULL);
}

/* Pauses of every kind between jobs, so that workers are met spinning, falling asleep, and asleep.
 */
static void test_pauses(void **state)
{
    (void)state;
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct snug_pool *pool = NULL;

        assert_int_equal(snug_pool_create(thread_counts[t], snug_allocator_heap(), &pool, NULL), 0);
        for (int i = 0; i < 120; i++) {
            struct timespec nap = {.tv_nsec = i % 12 * 9000};
            nanosleep(&nap, NULL);
            run_jobs(pool, thread_counts[t], 3);
        }
        snug_pool_destroy(pool);
    }
    for (int i = 0; i < 50; i++) { /* a pool that never works, or hardly */
        struct snug_pool *pool = NULL;
        assert_int_equal(snug_pool_create(3, snug_allocator_heap(), &pool, NULL), 0);
        if (i % 2)
            run_jobs(pool, 3, 1);
        snug_pool_destroy(pool);
    }
}

/* ---- every thread takes part ---- */

struct meeting {
    _Atomic int arrived, worker_seen[8];
    int expected;
};

/* Returns only when all tasks run at once, each on a thread of its own (or after ten seconds). */
static void meet(void *context, int64_t index, int worker)
{
    struct meeting *meeting = context;
    double until_ms = snug_clock_ms() + 10000;

    (void)index;
    atomic_fetch_add(&meeting->worker_seen[worker], 1);
    atomic_fetch_add(&meeting->arrived, 1);
    while (atomic_load(&meeting->arrived) < meeting->expected && snug_clock_ms() < until_ms) {
        struct timespec nap = {.tv_nsec = 20000};
        nanosleep(&nap, NULL);
    }
}

static void test_meeting(void **state)
{
    (void)state;
    struct snug_pool *pool = NULL;

    assert_int_equal(snug_pool_create(5, snug_allocator_heap(), &pool, NULL), 0);
    for (int expected = 2; expected <= 5; expected++) {
        struct meeting meeting = {.expected = expected};
        snug_pool_run(pool, meet, &meeting, expected);
        assert_int_equal(meeting.arrived, expected);
        for (int w = 0; w < 8; w++)
            assert_in_range(meeting.worker_seen[w], 0, 1);
    }
    snug_pool_destroy(pool);
}

/* ---- floating-point control word and signals ---- */

static volatile float tiny = 0x1p-126f;
static volatile double third_divisor = 3;

struct surroundings {
    _Atomic int arrived, flushed, rounded, unblocked;
    int expected;
};

static void look_round(void *context, int64_t index, int worker)
{
    struct surroundings *seen = context;
    sigset_t blocked;
    double until_ms = snug_clock_ms() + 10000;

    (void)index;
    if (tiny * 0.5f == 0)
        atomic_fetch_add(&seen->flushed, 1);
    if (1.0 / third_divisor != 0x1.5555555555555p-2)
        atomic_fetch_add(&seen->rounded, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (worker > 0 && (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGUSR1)))
        atomic_fetch_add(&seen->unblocked, 1);
    atomic_fetch_add(&seen->arrived, 1);
    while (atomic_load(&seen->arrived) < seen->expected && snug_clock_ms() < until_ms) {
        struct timespec nap = {.tv_nsec = 20000};
        nanosleep(&nap, NULL);
    }
}

static void test_surroundings(void **state)
{
    (void)state;
#if defined(__x86_64__)
    /* flush to zero, denormals are zero, round up: as a careless host program may have it */
    const unsigned strange = 0x1f80 | 0x8000 | 0x0040 | 0x4000, usual = __builtin_ia32_stmxcsr();
    struct snug_pool *pool = NULL;

    __builtin_ia32_ldmxcsr(strange); /* new threads inherit it */
    enum snug_status status = snug_pool_create(3, snug_allocator_heap(), &pool, NULL);
    bool flushes = tiny * 0.5f == 0; /* the test would see it */
    struct surroundings alone = {.expected = 1}, together = {.expected = 3};
    if (status == SNUG_STATUS_OK) {
        snug_pool_run(NULL, look_round, &alone, 1);
        snug_pool_run(pool, look_round, &together, 3);
    }
    unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(usual);

    assert_int_equal(status, SNUG_STATUS_OK);
    assert_true(flushes);
    assert_int_equal(after & 0xffc0, strange); /* without the flags */
    assert_int_equal(alone.flushed + alone.rounded, 0);
    assert_int_equal(together.arrived, 3);
    assert_int_equal(together.flushed + together.rounded, 0);
    assert_int_equal(together.unblocked, 0);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_false(sigismember(&blocked, SIGUSR1)); /* the caller's own mask is back */
    snug_pool_destroy(pool);
#else
    skip();
#endif
}

/* ---- idle workers sleep ---- */

static double processor_ms(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-3;
}

static void test_idle(void **state)
{
    (void)state;
    struct snug_pool *pool = NULL;
    struct timespec nap = {.tv_nsec = 200000000};

    assert_int_equal(snug_pool_create(5, snug_allocator_heap(), &pool, NULL), 0);
    run_jobs(pool, 5, 20);
    double before = processor_ms();
    nanosleep(&nap, NULL);
    double used = processor_ms() - before;
    snug_pool_destroy(pool);
    if (used > 50)
        fail_msg("an idle pool used %g ms of processor time in 200 ms", used);
}

/* ---- refusals ---- */

static void test_errors(void **state)
{
    (void)state;
    struct snug_pool *pool = NULL;
    struct snug_error error;
    struct snug_counting_allocator counting;

    assert_int_equal(snug_pool_create(0, snug_allocator_heap(), &pool, &error), SNUG_STATUS_LIMIT);
    assert_int_equal(snug_pool_create(SNUG_MAX_THREADS + 1, snug_allocator_heap(), &pool, &error),
                     SNUG_STATUS_LIMIT);
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 1);
    assert_int_equal(snug_pool_create(2, &counting.allocator, &pool, &error), SNUG_STATUS_MEMORY);
    assert_null(pool);
    assert_int_equal(snug_pool_create(2, &counting.allocator, &pool, &error), SNUG_STATUS_OK);
    uint64_t requests = counting.requests;
    run_jobs(pool, 2, 50);
    assert_int_equal(counting.requests, requests); /* a run allocates nothing */
    snug_pool_destroy(pool);
    assert_int_equal(counting.live, 0);
    assert_int_equal(snug_pool_threads(NULL), 1);
}

/* ---- processors ---- */

static char root[64];

static void put(const char *name, const char *content)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(path, 0777);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static void test_quota(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup, *file, *content, *file2, *content2;
        int expected;
    } cases[] = {
        {"0::/\n", "cpu.max", "max 100000\n", NULL, NULL, INT_MAX},
        {"0::/\n", "cpu.max", "200000 100000\n", NULL, NULL, 2},
        {"0::/\n", "cpu.max", "150000 100000\n", NULL, NULL, 2},
        {"0::/\n", "cpu.max", "100001 100000\n", NULL, NULL, 2},
        {"0::/\n", "cpu.max", "1000 100000\n", NULL, NULL, 1},
        {"0::/\n", "cpu.max", "nonsense", NULL, NULL, INT_MAX},
        {"0::/\n", "cpu.max", "100000", NULL, NULL, INT_MAX},
        {"0::/a/b\n", "a/cpu.max", "300000 100000\n", "a/b/cpu.max", "max 100000\n", 3},
        {"0::/a/b\n", "a/cpu.max", "max 100000\n", "a/b/cpu.max", "500000 100000\n", 5},
        {"0::/a/b\n", "cpu.max", "100000 100000\n", "a/b/cpu.max", "500000 100000\n", 1},
        {"0::/../gone\n", "cpu.max", "400000 100000\n", NULL, NULL, 4},
        {"12:cpuset:/x\n4:cpu,cpuacct:/d\n", "cpu/d/cpu.cfs_quota_us", "250000\n",
         "cpu/d/cpu.cfs_period_us", "100000\n", 3},
        {"4:cpuacct,cpu:/d\n", "cpu/cpu.cfs_quota_us", "-1\n", "cpu/cpu.cfs_period_us", "100000\n",
         INT_MAX},
        {"4:cpuset:/d\n", "cpu/d/cpu.cfs_quota_us", "100000\n", "cpu/d/cpu.cfs_period_us",
         "100000\n", INT_MAX},
        {"garbage\n::\n:\n", "cpu.max", "100000 100000\n", NULL, NULL, INT_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[128], path[128];
        snprintf(root, sizeof root, "/tmp/snug-test-XXXXXX");
        assert_non_null(mkdtemp(root));
        put("self", cases[i].cgroup);
        put(cases[i].file, cases[i].content);
        if (cases[i].file2)
            put(cases[i].file2, cases[i].content2);
        snprintf(path, sizeof path, "%s/self", root);
        int quota = snug_cpu_quota(path, root);
        snprintf(command, sizeof command, "rm -rf '%s'", root);
        assert_int_equal(system(command), 0);
        if (quota != cases[i].expected)
            fail_msg("case %zu: %d, expected %d", i, quota, cases[i].expected);
    }
    assert_int_equal(snug_cpu_quota("/nonexistent", "/sys/fs/cgroup"), INT_MAX);
    assert_in_range(snug_cpu_count(), 1, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs),    cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_meeting), cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_idle),    cmocka_unit_test(test_errors),
        cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
