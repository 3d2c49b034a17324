/* What the tests of backends share: pools, random inputs, and the comparison with the reference
 * under sentinels. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
 *
 * For slow (emulated) processors: SNUG_TEST_BACKEND=NAME compares this backend alone, with pools of
 * one thread; a failure if it cannot run. SNUG_TEST_STRIDE=N: every N-th of the comparisons. */
#ifndef SNUG_TESTS_OPS_BACKENDS_CHECK_H
#define SNUG_TESTS_OPS_BACKENDS_CHECK_H

#include "base/math.h"
#include "ops/cpu/backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GUARD 64 /* elements before and after every output */
#define SENTINEL 0x4bdeadbeu

static const int thread_counts[] = {1, 2, 3, 5, 0}; /* 0: no pool */
static struct snug_pool *pools[COUNT(thread_counts)];
static size_t pool_count = COUNT(thread_counts);
static const char *only_backend; /* NULL: all */
static size_t comparison_stride = 1;
static size_t comparisons, compared_values; /* of only_backend */

static inline int make_pools(void **state)
{
    (void)state;
    only_backend = getenv("SNUG_TEST_BACKEND");
    if (only_backend)
        pool_count = 1;
    const char *stride = getenv("SNUG_TEST_STRIDE");
    if (stride && strtoul(stride, NULL, 10) > 0)
        comparison_stride = strtoul(stride, NULL, 10);
    for (size_t i = 0; i < pool_count; i++)
        if (thread_counts[i] &&
            snug_pool_create(thread_counts[i], snug_allocator_heap(), &pools[i], NULL))
            return -1;
    return 0;
}

static inline int free_pools(void **state)
{
    (void)state;
    if (only_backend)
        printf("%s: %zu comparisons with ops/ref, %zu values\n", only_backend, comparisons,
               compared_values);
    for (size_t i = 0; i < pool_count; i++)
        snug_pool_destroy(pools[i]);
    return 0;
}

/* The backends under test: all that run here, and the 16-lane path in plain C; or the one that was
 * asked for. */
static inline size_t backends(const struct snug_ops *out[8])
{
    struct snug_backend list[8];
    size_t listed = snug_ops_list(list), count = 0;

    if (only_backend) {
        out[0] = snug_ops_find(only_backend);
        if (!out[0] || out[0] == snug_ops_ref())
            fail_msg("SNUG_TEST_BACKEND=%s: no such backend, or this processor cannot run it",
                     only_backend);
        return 1;
    }
#ifdef __SANITIZE_THREAD__ /* who writes where does not depend on the instructions */
    out[0] = snug_ops_find(NULL);
    return 1;
#endif
    /* Under a sanitizer one of each width: those with VNNI are the same source with a few lines
     * more. */
    bool slow = getenv("SNUG_SLOW") != NULL, wide = false;
    for (size_t i = 0; i < listed; i++) {
        const char *name = list[i].ops->name;
        bool better = (!strcmp(name, "avx2") && snug_ops_find("avxvnni")) ||
                      (!strcmp(name, "avx512") && snug_ops_find("avx512vnni"));
        if (!list[i].runnable || list[i].ops == snug_ops_ref() || (slow && better))
            continue;
        out[count++] = list[i].ops;
        wide = wide || !strncmp(name, "avx512", 6);
    }
    if (!slow || !wide)
        out[count++] = snug_generic16_ops();
    return count;
}

/* ---- inputs ---- */

enum values {
    PLAIN,
    SPECIAL, /* with NaN, infinities, zeros of both signs, subnormals, the largest and smallest */
    FINITE,  /* with zeros of both signs, subnormals and the smallest: results stay numbers */
};

static uint32_t random_state = 1;
static inline uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static inline float random_value(enum values values)
{
    static const uint32_t special[] = {
        0x00000001u, 0x80000001u, 0x007fffffu, 0x00000000u, 0x80000000u, 0x80000000u, 0x00800000u,
        0x3f800000u, 0x7fc00001u, 0xffc12345u, 0x7f800000u, 0xff800000u, 0x7f7fffffu, 0xff7fffffu,
    };
    if (values == SPECIAL && next_random() % 61 == 0)
        return snug_f32_from_bits(special[next_random() % COUNT(special)]);
    if (values == FINITE && next_random() % 5 == 0)
        return snug_f32_from_bits(special[next_random() % 8]);
    float value = (float)(int32_t)(next_random() % 20001 - 10000) / 4096.0f;
    return next_random() % 8 == 0 ? value * 0x1p-20f : value;
}

struct floats {
    float *data, *block;
    int64_t count;
};

static inline struct floats make_floats(int64_t count)
{
    struct floats f = {.count = count};
    f.block = snug_alloc_array(snug_allocator_heap(), (size_t)(count + 2 * GUARD), sizeof(float));
    assert_non_null(f.block);
    f.data = f.block + GUARD;
    for (int64_t i = 0; i < count + 2 * GUARD; i++)
        f.block[i] = snug_f32_from_bits(SENTINEL);
    return f;
}

static inline struct floats random_floats(int64_t count, enum values values)
{
    struct floats f = make_floats(count);
    for (int64_t i = 0; i < count; i++)
        f.data[i] = random_value(values);
    return f;
}

static inline struct floats copy_floats(struct floats from)
{
    struct floats f = make_floats(from.count);
    memcpy(f.block, from.block, (size_t)(from.count + 2 * GUARD) * sizeof(float));
    return f;
}

static inline void free_floats(struct floats f)
{
    snug_free(snug_allocator_heap(), f.block);
}

/* Panels [n, k] of a dtype from random values; the caller frees. */
static inline void *random_panels(enum snug_dtype dtype, int64_t n, int64_t k, enum values values)
{
    int64_t elements = snug_panel_elements(n, k);
    size_t size = snug_dtype_size(dtype);
    char *out = snug_calloc(snug_allocator_heap(), (size_t)elements, size);

    assert_non_null(out);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) {
            float value = random_value(values);
            uint32_t bits = snug_f32_bits(value) >> 16;
            uint16_t half = dtype == SNUG_DTYPE_F16 ? snug_f32_to_f16(value) : (uint16_t)bits;
            memcpy(out + (size_t)snug_panel_index(i, j, k) * size,
                   dtype == SNUG_DTYPE_F32 ? (void *)&value : (void *)&half, size);
        }
    }
    return out;
}

/* ---- comparison ---- */

static inline bool same_f32(float a, float b)
{
    return snug_f32_bits(a) == snug_f32_bits(b) || (a != a && b != b);
}

/* Compares outputs with their surroundings; `what` and `number` name the case. */
static inline void check_floats(struct floats want, struct floats got, const char *backend,
                                const char *what, size_t number)
{
    assert_int_equal(want.count, got.count);
    for (int64_t i = -GUARD; i < want.count + GUARD; i++) {
        uint32_t w = snug_f32_bits(want.data[i]), g = snug_f32_bits(got.data[i]);
        if (i < 0 || i >= want.count)
            w = SENTINEL;
        if (!same_f32(snug_f32_from_bits(w), got.data[i]))
            fail_msg("%s %s case %zu element %lld: want %08x (%a), got %08x (%a)", backend, what,
                     number, (long long)i, w, (double)snug_f32_from_bits(w), g,
                     (double)got.data[i]);
    }
}

/* Does something with a backend and a pool, writing to `out`. */
typedef void run_fn(const void *args, const struct snug_ops *ops, struct snug_pool *pool,
                    struct floats out);

/* Runs the reference and every backend with every number of threads on copies of `start`. */
static inline void compare(const char *what, size_t number, run_fn *run, const void *args,
                           struct floats start)
{
    static size_t calls;
    if (calls++ % comparison_stride != 0) {
        free_floats(start);
        return;
    }
    const struct snug_ops *ops[8];
    size_t count = backends(ops);
    struct floats want = copy_floats(start);

    run(args, snug_ops_ref(), pools[pool_count > 1], want);
    for (size_t b = 0; b < count; b++) {
        bool slow = ops[b] == snug_generic16_ops();
        for (size_t t = slow ? number % pool_count : 0; t < pool_count;
             t += slow ? pool_count : 1) {
            struct floats got = copy_floats(start);
            run(args, ops[b], pools[t], got);
            check_floats(want, got, ops[b]->name, what, number);
            free_floats(got);
            comparisons++;
            compared_values += (size_t)start.count;
        }
    }
    free_floats(want);
    free_floats(start);
}

#endif
