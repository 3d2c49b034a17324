/* Which backends are compiled in, and which of them this processor runs.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/backends.h"
#include "ops/peak.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
/* Conversion of 16-bit floats: clang's __builtin_cpu_supports has no name for it. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* Leaf 7, subleaf 1, bit 4 of eax: likewise. */
static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1u);
}

/* What the files of each backend are compiled with. The compiler's check covers the operating
 * system too: it counts AVX only where the system saves the wide registers. */
static bool runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool runs_avxvnni(void)
{
    return runs_avx2() && has_avxvnni();
}

static bool runs_avx512vnni(void)
{
    return runs_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif

/* The best comes last. */
size_t snug_ops_list(struct snug_backend out[8])
{
    size_t count = 0;

    out[count++] = (struct snug_backend){snug_ops_ref(), true};
#if defined(__x86_64__)
    out[count++] = (struct snug_backend){snug_avx2_ops(), runs_avx2()};
    out[count++] = (struct snug_backend){snug_avxvnni_ops(), runs_avxvnni()};
    out[count++] = (struct snug_backend){snug_avx512_ops(), runs_avx512()};
    out[count++] = (struct snug_backend){snug_avx512vnni_ops(), runs_avx512vnni()};
#endif
    out[count] = (struct snug_backend){NULL, false};
    return count;
}

const struct snug_ops *snug_ops_find(const char *name)
{
    struct snug_backend list[8];
    size_t count = snug_ops_list(list);

    while (count > 0) {
        count--;
        if (list[count].runnable &&
            (!name || strcmp(name, "auto") == 0 || strcmp(name, list[count].ops->name) == 0))
            return list[count].ops;
    }
    return NULL;
}

const struct snug_peaks *snug_peaks_find(const struct snug_ops *ops)
{
#if defined(__x86_64__)
    if (ops == snug_avx2_ops())
        return snug_avx2_peaks();
    if (ops == snug_avxvnni_ops())
        return snug_avxvnni_peaks();
    if (ops == snug_avx512_ops())
        return snug_avx512_peaks();
    if (ops == snug_avx512vnni_ops())
        return snug_avx512vnni_peaks();
#endif
    return NULL;
}
