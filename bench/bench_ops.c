/* How fast the ops are, beside what the machine can do, measured in the same run.
 *
 * One line of JSON a case: median and spread (quartiles) of the milliseconds, GFLOP/s and GB/s, and
 * the ratio to the limit that binds: a loop of independent f32 fused multiply-adds for matrix work,
 * a sum over memory for the single row of decoding. Every repetition measures the limit and the
 * case one after the other, so that a busy neighbour slows both. Usage: bench_ops [BACKEND [THREADS
 * [REPETITIONS [CASE]]]] Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "ops/op.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_REPETITIONS 101
#define MAX_WORKERS 64
#define READ_BYTES ((size_t)256 << 20)
#define PEAK_STEPS 400000

static const struct snug_allocator *heap;
static struct snug_pool *pool;
static float *read_buffer;
static volatile float keep; /* so that no loop is optimised away */

/* ---- the limits ---- */

#if defined(__x86_64__)
/* Twelve independent chains in registers: enough for a latency of 4 cycles at 2 a cycle. */
#define CHAINS 12
#define STEP                                                                                       \
    "vfmadd132ps %13, %12, %0\n\tvfmadd132ps %13, %12, %1\n\tvfmadd132ps %13, %12, %2\n\t"         \
    "vfmadd132ps %13, %12, %3\n\tvfmadd132ps %13, %12, %4\n\tvfmadd132ps %13, %12, %5\n\t"         \
    "vfmadd132ps %13, %12, %6\n\tvfmadd132ps %13, %12, %7\n\tvfmadd132ps %13, %12, %8\n\t"         \
    "vfmadd132ps %13, %12, %9\n\tvfmadd132ps %13, %12, %10\n\tvfmadd132ps %13, %12, %11"
#define DEFINE_PEAK(name, bytes, instructions)                                                     \
    __attribute__((target(instructions))) static float name(int64_t steps)                         \
    {                                                                                              \
        typedef float wide __attribute__((vector_size(bytes)));                                    \
        wide zero = {0}, scale = zero + 0.999999f, add = zero + 1e-7f, sum;                        \
        wide a = scale, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a,      \
             l = a;                                                                                \
        for (int64_t s = 0; s < steps; s++)                                                        \
            __asm__ volatile(STEP                                                                  \
                             : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g),      \
                               "+v"(h), "+v"(i), "+v"(j), "+v"(k), "+v"(l)                         \
                             : "v"(add), "v"(scale));                                              \
        sum = a + b + c + d + e + f + g + h + i + j + k + l;                                       \
        return sum[0];                                                                             \
    }
DEFINE_PEAK(peak_256, 32, "avx2,fma")
DEFINE_PEAK(peak_512, 64, "avx512f")
#endif

static bool wide_512;
static void peak_task(void *context, int64_t index, int worker)
{
    (void)context, (void)index, (void)worker;
#if defined(__x86_64__)
    keep = wide_512 ? peak_512(PEAK_STEPS) : peak_256(PEAK_STEPS);
#endif
}

/* GFLOP/s of all threads together. */
static double measure_peak(void)
{
#if !defined(__x86_64__)
    return 0; /* no peak loop written for this processor */
#else
    int threads = snug_pool_threads(pool);
    double start = snug_clock_ms();
    snug_pool_run(pool, peak_task, NULL, threads);
    double flops = 2.0 * PEAK_STEPS * CHAINS * (wide_512 ? 16 : 8) * threads;
    return flops / (snug_clock_ms() - start) / 1e6;
#endif
}

/* Four streams at once with prefetching: one stream alone reads a fifth less. */
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint64_t
read_streams(const uint64_t *data, size_t count)
{
    uint64_t sum[4][8] = {{0}};
    size_t quarter = count / 4;
    for (size_t i = 0; i < quarter; i += 8)
        for (size_t s = 0; s < 4; s++) {
            __builtin_prefetch(data + s * quarter + i + 64);
            for (size_t l = 0; l < 8; l++)
                sum[s][l] += data[s * quarter + i + l];
        }
    for (size_t s = 0; s < 4; s++)
        for (size_t l = 0; l < 8; l++)
            sum[0][0] += sum[s][l];
    return sum[0][0];
}

static void read_task(void *context, int64_t index, int worker)
{
    const uint64_t *data = (const uint64_t *)(void *)read_buffer;
    size_t count = READ_BYTES / 8 / MAX_WORKERS;
    (void)context, (void)worker;
    keep = keep + (float)read_streams(data + (size_t)index * count, count);
}

/* GB/s of reading memory. */
static double measure_read(void)
{
    double start = snug_clock_ms();
    snug_pool_run(pool, read_task, NULL, MAX_WORKERS);
    return (double)READ_BYTES / (snug_clock_ms() - start) / 1e6;
}

/* ---- the cases ---- */

struct bench {
    const char *name, *shape;
    bool memory_bound;
    double flops, bytes; /* of one call */
    const struct snug_ops *ops;
    struct snug_linear linear;
    struct snug_attention attention;
    struct snug_unary unary;
    enum { LINEAR, ATTENTION, GELU } op;
};

static void run_once(struct bench *b)
{
    enum snug_status status = b->op == LINEAR      ? b->ops->linear(&b->linear, pool)
                              : b->op == ATTENTION ? b->ops->attention(&b->attention, pool)
                                                   : b->ops->gelu(&b->unary, pool);
    SNUG_ASSERT(status == SNUG_STATUS_OK);
}

static void *filled(size_t elements, bool half)
{
    size_t size = half ? 2 : 4;
    char *memory = snug_alloc_array(heap, elements, size);
    uint32_t random = 1;

    SNUG_ASSERT(memory);
    for (size_t i = 0; i < elements; i++) {
        random = random * 1664525u + 1013904223u;
        float value = (float)(random >> 8) * 0x1p-24f - 0.5f;
        if (half) { /* 0 to 2 as f16 and a small number as bf16 */
            uint16_t bits = (uint16_t)(0x3800u | (random >> 24));
            memcpy(memory + i * 2, &bits, 2);
        } else {
            memcpy(memory + i * 4, &value, 4);
        }
    }
    return memory;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *sorted, int count, double q)
{
    return sorted[(int)(q * (count - 1) + 0.5)];
}

static void measure(struct bench *b, int repetitions)
{
    double ms[MAX_REPETITIONS], ratio[MAX_REPETITIONS], limit[MAX_REPETITIONS];

    run_once(b); /* warm */
    for (int i = 0; i < repetitions; i++) {
        limit[i] = b->memory_bound ? measure_read() : measure_peak();
        double start = snug_clock_ms();
        int calls = 0;
        do {
            run_once(b);
            calls++;
        } while (snug_clock_ms() - start < 20);
        ms[i] = (snug_clock_ms() - start) / calls;
        ratio[i] = (b->memory_bound ? b->bytes : b->flops) / ms[i] / 1e6 / limit[i];
    }
    qsort(ms, (size_t)repetitions, sizeof *ms, compare_doubles);
    qsort(ratio, (size_t)repetitions, sizeof *ratio, compare_doubles);
    qsort(limit, (size_t)repetitions, sizeof *limit, compare_doubles);
    double median = quantile(ms, repetitions, 0.5);
    printf("{\"bench\": \"%s\", \"shape\": \"%s\", \"backend\": \"%s\", \"threads\": %d, "
           "\"median_ms\": %.4f, "
           "\"quartiles_ms\": [%.4f, %.4f], \"gflops\": %.1f, \"gbps\": %.2f, \"limit\": \"%s\", "
           "\"limit_value\": %.1f, \"ratio\": %.3f}\n",
           b->name, b->shape, b->ops->name, snug_pool_threads(pool), median,
           quantile(ms, repetitions, 0.25), quantile(ms, repetitions, 0.75),
           b->flops / median / 1e6, b->bytes / median / 1e6,
           b->memory_bound ? "memory read GB/s" : "f32 fma GFLOP/s",
           quantile(limit, repetitions, 0.5), quantile(ratio, repetitions, 0.5));
    fflush(stdout);
}

static void bench_linear(const struct snug_ops *ops, const char *name, int64_t rows, int64_t n,
                         int64_t k, enum snug_dtype dtype, int repetitions)
{
    bool half = dtype != SNUG_DTYPE_F32;
    char shape[64];
    float *x = filled((size_t)(rows * k), false), *bias = filled((size_t)n, false);
    float *y = filled((size_t)(rows * n), false);
    void *w = filled((size_t)snug_panel_elements(n, k), half);
    snprintf(shape, sizeof shape, "%lldx%lldx%lld %s", (long long)rows, (long long)n, (long long)k,
             snug_dtype_name(dtype));
    struct bench b = {.name = name,
                      .shape = shape,
                      .memory_bound = rows == 1,
                      .ops = ops,
                      .flops = 2.0 * (double)rows * (double)n * (double)k,
                      .bytes = (double)snug_panel_elements(n, k) * (half ? 2 : 4),
                      .op = LINEAR,
                      .linear = {.rows = rows,
                                 .n = n,
                                 .k = k,
                                 .x = x,
                                 .x_ld = k,
                                 .w_dtype = dtype,
                                 .w = w,
                                 .bias = bias,
                                 .y = y,
                                 .y_ld = n}};
    measure(&b, repetitions);
    snug_free(heap, x);
    snug_free(heap, bias);
    snug_free(heap, y);
    snug_free(heap, w);
}

static void bench_attention(const struct snug_ops *ops, const char *name,
                            struct snug_attention args, int repetitions)
{
    char shape[96];
    bool half = args.dtype != SNUG_DTYPE_F32;
    int64_t caches = args.sequences * args.kv_heads, width = args.heads * args.head_dim;
    int64_t rows = args.sequences * args.rows_per_sequence;
    size_t k_count = (size_t)(caches * snug_k_cache_elements(args.capacity, args.head_dim));
    size_t v_count = (size_t)(caches * snug_v_cache_elements(args.capacity, args.head_dim));
    float *q = filled((size_t)(rows * width), false), *out = filled((size_t)(rows * width), false);
    void *k = filled(k_count, half), *v = filled(v_count, half);
    double pairs = (double)rows * (double)args.heads *
                   (args.causal ? (double)args.keys - (double)(args.rows_per_sequence - 1) / 2
                                : (double)args.keys);

    snprintf(shape, sizeof shape, "%lld queries, %lld keys, %lld/%lld heads x %lld %s",
             (long long)args.rows_per_sequence, (long long)args.keys, (long long)args.heads,
             (long long)args.kv_heads, (long long)args.head_dim, snug_dtype_name(args.dtype));
    args.scale = 0.125f;
    args.q = q, args.out = out, args.k_cache = k, args.v_cache = v;
    args.q_ld = args.out_ld = width;
    struct bench b = {.name = name,
                      .shape = shape,
                      .ops = ops,
                      .op = ATTENTION,
                      .attention = args,
                      .flops = 4.0 * pairs * (double)args.head_dim,
                      .bytes = 2.0 * (double)(args.keys * args.head_dim * caches) * (half ? 2 : 4)};
    measure(&b, repetitions);
    snug_free(heap, q);
    snug_free(heap, out);
    snug_free(heap, k);
    snug_free(heap, v);
}

static void bench_gelu(const struct snug_ops *ops, int64_t count, int repetitions)
{
    float *x = filled((size_t)count, false);
    struct bench b = {.name = "gelu",
                      .shape = "1025x4096 in place",
                      .memory_bound = true,
                      .ops = ops,
                      .op = GELU,
                      .bytes = 8.0 * (double)count,
                      .unary = {.count = count, .x = x, .y = x}};
    measure(&b, repetitions);
    snug_free(heap, x);
}

static void run_cases(const struct snug_ops *ops, int repetitions, int only)
{
#define CASE(number, call)                                                                         \
    do {                                                                                           \
        if (only < 0 || only == (number))                                                          \
            call;                                                                                  \
    } while (0)
    CASE(0, bench_linear(ops, "vision projection", 1025, 1024, 1024, SNUG_DTYPE_F32, repetitions));
    CASE(1, bench_linear(ops, "vision mlp", 1025, 4096, 1024, SNUG_DTYPE_F32, repetitions));
    CASE(2, bench_linear(ops, "vision mlp", 1025, 4096, 1024, SNUG_DTYPE_BF16, repetitions));
    CASE(3, bench_linear(ops, "vision mlp", 1025, 1024, 4096, SNUG_DTYPE_BF16, repetitions));
    CASE(4, bench_linear(ops, "prefill", 512, 896, 896, SNUG_DTYPE_F32, repetitions));
    CASE(5, bench_linear(ops, "prefill", 512, 896, 896, SNUG_DTYPE_BF16, repetitions));
    CASE(6, bench_linear(ops, "decode", 1, 4864, 896, SNUG_DTYPE_BF16, repetitions));
    CASE(7, bench_linear(ops, "decode head", 1, 151674, 896, SNUG_DTYPE_BF16, repetitions));
    CASE(8, bench_linear(ops, "four documents", 4, 4864, 896, SNUG_DTYPE_BF16, repetitions));
    struct snug_attention vision = {.sequences = 1,
                                    .rows_per_sequence = 1025,
                                    .heads = 16,
                                    .kv_heads = 16,
                                    .head_dim = 64,
                                    .capacity = 1040,
                                    .keys = 1025,
                                    .dtype = SNUG_DTYPE_F32};
    CASE(9, bench_attention(ops, "vision attention", vision, repetitions));
    struct snug_attention prefill = {.sequences = 1,
                                     .rows_per_sequence = 512,
                                     .heads = 14,
                                     .kv_heads = 2,
                                     .head_dim = 64,
                                     .capacity = 2048,
                                     .first_position = 1024,
                                     .keys = 1536,
                                     .causal = true,
                                     .dtype = SNUG_DTYPE_F16};
    CASE(10, bench_attention(ops, "prefill attention", prefill, repetitions));
    struct snug_attention decode = {.sequences = 1,
                                    .rows_per_sequence = 1,
                                    .heads = 14,
                                    .kv_heads = 2,
                                    .head_dim = 64,
                                    .capacity = 3584,
                                    .first_position = 3583,
                                    .keys = 3584,
                                    .causal = true,
                                    .dtype = SNUG_DTYPE_F16};
    CASE(11, bench_attention(ops, "decode attention", decode, repetitions));
    CASE(12, bench_gelu(ops, 1025 * 4096, repetitions));
#undef CASE
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "auto";
    const struct snug_ops *ops = snug_ops_find(name);
    long threads = argc > 2 ? strtol(argv[2], NULL, 10) : snug_cpu_count();
    long repetitions = argc > 3 ? strtol(argv[3], NULL, 10) : 11;
    long only = argc > 4 ? strtol(argv[4], NULL, 10) : -1;

    heap = snug_allocator_heap();
    if (!ops || threads < 1 || threads > MAX_WORKERS || repetitions < 1 ||
        repetitions > MAX_REPETITIONS) {
        fprintf(stderr, "usage: bench_ops [BACKEND [THREADS [REPETITIONS [CASE]]]]\n");
        return 2;
    }
    wide_512 = strcmp(ops->name, "avx512") == 0;
    read_buffer = filled(READ_BYTES / sizeof(float), false);
    if (snug_pool_create((int)threads, heap, &pool, NULL))
        return 1;
    run_cases(ops, (int)repetitions, (int)only);
    snug_pool_destroy(pool);
    snug_free(heap, read_buffer);
    return 0;
}
