/* A thread pool that sleeps when it has nothing to do.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_THREADS_H
#define SNUG_BASE_THREADS_H

#include "base/alloc.h"

struct snug_pool; /* opaque */

/* One task of a job: index in [0, count). worker in [0, thread count) tells which thread runs it.
 * Tasks may run in any order and on any thread: they must write disjoint memory. */
typedef void snug_task_fn(void *context, int64_t index, int worker);

/* threads >= 1, the caller's own included: threads - 1 are started. Workers set the floating-point
 * control word to its default (round to nearest, denormals kept, all exceptions masked) and block
 * all signals. Errors: LIMIT (over SNUG_MAX_THREADS), MEMORY, IO if the system refuses a thread. */
SNUG_CHECK_RESULT enum snug_status snug_pool_create(int threads,
                                                    const struct snug_allocator *allocator,
                                                    struct snug_pool **out,
                                                    struct snug_error *error);
void snug_pool_destroy(struct snug_pool *pool); /* NULL allowed */
int snug_pool_threads(const struct snug_pool *pool);

/* Runs task(context, i, worker) for every i in [0, count) and returns when all are done. The caller
 * works too. pool NULL, one thread or count <= 1: runs on the caller alone. Idle workers sleep in
 * the kernel (a short bounded wait first), so a busy neighbour costs at most its share. Allocates
 * nothing. One job at a time: not for concurrent callers. The caller's floating-point control word
 * is saved, set to default while its tasks run, and restored. */
void snug_pool_run(struct snug_pool *pool, snug_task_fn *task, void *context, int64_t count);

/* Processors this process may use (affinity and cgroup quota respected), at least 1. */
int snug_cpu_count(void);
/* What snug_cpu_count asks for the quota: processors (rounded up) that the control groups named in
 * the file cgroup_path allow, mounted at `mount` (v1: at MOUNT/cpu); INT_MAX without a quota. */
int snug_cpu_quota(const char *cgroup_path, const char *mount);

#endif
