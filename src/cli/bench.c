/* snug bench: this machine's limits, and what the kernels and models make of them.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

#include "base/json.h"
#include "cli/cli.h"
#include "cli/embedded_model.h"

#include <stdio.h>
#include <string.h>

#define READ_BYTES (512ll << 20)

static struct {
    const char *isa, *model, *quantize, *skip;
    int64_t threads;
    bool json, quick;
} settings = {.quantize = "none", .skip = ""};

static const struct snug_option options[] = {
    {'m', "model", SNUG_OPTION_KIND_TEXT, &settings.model, 0, 0, "DIR",
     "model folder, for 'model'; default: the embedded one"},
    {0, "quantize", SNUG_OPTION_KIND_TEXT, &settings.quantize, 0, 0, "TYPE",
     "q8, q4 or none, for 'model'"},
    {0, "quantize-skip", SNUG_OPTION_KIND_TEXT, &settings.skip, 0, 0, "PARTS",
     "parts to leave as stored: vision,projector,text,lm_head"},
    {0, "isa", SNUG_OPTION_KIND_TEXT, &settings.isa, 0, 0, "NAME",
     "measure avx2, avxvnni, avx512 or avx512vnni; rows are then called NAME@isa"},
    {'t', "threads", SNUG_OPTION_KIND_INTEGER, &settings.threads, 1, SNUG_MAX_THREADS, "N",
     "default: the processors this process may use"},
    {0, "json", SNUG_OPTION_KIND_FLAG, &settings.json, 0, 0, NULL,
     "JSON on standard output instead of a table"},
    {0, "quick", SNUG_OPTION_KIND_FLAG, &settings.quick, 0, 0, NULL,
     "a few shapes, a few repetitions: to see that it works"},
};

static const struct snug_usage usage = {
    "snug bench peak|ops|model [options]",
    "Measures and compares with this machine's limits, taken in the same run.\n"
    "  peak    f32, bf16 and int8 arithmetic in registers, reading memory\n"
    "  ops     kernels at the models' shapes (under 50 s)\n"
    "  model   a model: vision tile, prompt, answer, load, memory",
    "Exit codes: 0 measured, 2 wrong usage, 3 model unusable, 4 not enough memory.\n\n"
    "Examples:\n"
    "  snug bench ops --json > ops.json\n"
    "  snug bench model -m InternVL3-2B --quantize q8\n",
    options, sizeof options / sizeof *options};

/* ---- measuring ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return count ? values[count / 2] : 0;
}

double bench_time(const struct bench *b, double milliseconds, void (*run)(void *context),
                  void *context)
{
    double times[64], start = snug_clock_ms();
    int count = 0, least = b->quick ? 1 : 3;
    run(context);
    while (count < least || (count < 64 && snug_clock_ms() - start < milliseconds)) {
        double from = snug_clock_ms();
        run(context);
        times[count++] = snug_clock_ms() - from;
    }
    return median(times, count);
}

void bench_add(struct bench *b, const char *name, const char *shape, double value, const char *unit,
               double rate, enum bench_limit limit)
{
    SNUG_ASSERT(b->count < BENCH_MOST_ROWS);
    struct bench_row *row = &b->rows[b->count++];
    *row = (struct bench_row){.value = value, .unit = unit, .rate = rate, .limit = limit};
    snprintf(row->name, sizeof row->name, "%s%s", name, b->suffix);
    snprintf(row->shape, sizeof row->shape, "%s", shape);
}

/* ---- limits ---- */

struct peak_run {
    void (*run)(int64_t rounds);
    int64_t rounds;
};

static void peak_task(void *context, int64_t index, int worker)
{
    const struct peak_run *p = context;
    (void)index;
    (void)worker;
    p->run(p->rounds);
}

/* Operations a nanosecond on all threads together: the best of some short runs. */
static double peak_rate(const struct bench *b, const struct snug_peak *peak)
{
    struct peak_run p = {peak->run, 1};
    double best = 0, start = snug_clock_ms();
    p.run(1); /* wakes the clock up */
    while (snug_clock_ms() - start < 2)
        p.run(100);
    start = snug_clock_ms();
    p.run(200);
    p.rounds = 1 + (int64_t)(200 * 4 / (snug_clock_ms() - start + 1e-3)); /* about 4 ms */
    for (int i = 0; i < 12; i++) {
        double from = snug_clock_ms();
        snug_pool_run(b->pool, peak_task, &p, b->threads);
        double rate =
            peak->operations * (double)p.rounds * b->threads / (snug_clock_ms() - from) / 1e6;
        best = rate > best ? rate : best;
    }
    return best;
}

struct read_run {
    const struct bench *b;
    int64_t bytes;
};

static void read_task(void *context, int64_t index, int worker)
{
    const struct read_run *r = context;
    (void)worker;
    r->b->peaks->read((const char *)r->b->read_data + index * r->bytes, r->bytes);
}

static double read_rate(const struct bench *b)
{
    struct read_run r = {b, READ_BYTES / b->threads / 4096 * 4096};
    double best = 0;
    for (int i = 0; i < (b->quick ? 2 : 5); i++) {
        double from = snug_clock_ms();
        snug_pool_run(b->pool, read_task, &r, b->threads);
        double rate = (double)(r.bytes * b->threads) / (snug_clock_ms() - from) / 1e6;
        best = rate > best ? rate : best;
    }
    return best;
}

void bench_peaks(struct bench *b)
{
    if (b->peak_count == BENCH_MOST_PEAKS)
        return;
    int i = b->peak_count++;
    b->f32[i] = peak_rate(b, &b->peaks->f32);
    b->int8[i] = peak_rate(b, &b->peaks->int8[0]);
    b->int8_how = b->peaks->int8[0].how;
    if (b->peaks->int8[1].run) {
        double other = peak_rate(b, &b->peaks->int8[1]);
        if (other > b->int8[i]) {
            b->int8[i] = other;
            b->int8_how = b->peaks->int8[1].how;
        }
    }
    b->bf16[i] = b->peaks->bf16.run ? peak_rate(b, &b->peaks->bf16) : b->f32[i];
    b->bf16_how = b->peaks->bf16.run ? b->peaks->bf16.how : "vfmadd after widening";
    b->read[i] = read_rate(b);
}

static double limit_of(struct bench *b, enum bench_limit limit)
{
    double *values = limit == BENCH_LIMIT_F32    ? b->f32
                     : limit == BENCH_LIMIT_INT8 ? b->int8
                                                 : b->read;
    return limit == BENCH_LIMIT_NONE ? 0 : median(values, b->peak_count);
}

/* ---- output ---- */

static void cpu_name(char *out, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    char family[16] = "?", model[16] = "?", name[100] = "unknown";
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "cpu family : %15[^\n]", family);
        sscanf(line, "model : %15[^\n]", model);
        sscanf(line, "model name : %99[^\n]", name);
        if (line[0] == '\n')
            break;
    }
    if (file)
        fclose(file);
    snprintf(out, size, "%s, family %s model %s", name, family, model);
}

static void print_table(struct bench *b)
{
    char cpu[200];
    cpu_name(cpu, sizeof cpu);
    printf("%s; %d threads, %s\n", cpu, b->threads, b->ops->name);
    printf("limits: f32 %.0f GFLOP/s; int8 %.0f GOP/s (%s);\n"
           "        bf16 %.0f GOP/s (%s); memory read %.1f GB/s\n",
           median(b->f32, b->peak_count), median(b->int8, b->peak_count), b->int8_how,
           median(b->bf16, b->peak_count), b->bf16_how, median(b->read, b->peak_count));
    for (size_t i = 0; i < b->count; i++) {
        const struct bench_row *row = &b->rows[i];
        double limit = limit_of(b, row->limit);
        printf("%-26s %-20s %10.*f %-8s", row->name, row->shape, row->value < 100 ? 2 : 0,
               row->value, row->unit);
        if (limit > 0)
            printf(" %5.1f %%", 100 * row->rate / limit);
        putchar('\n');
    }
}

static json_t *rounded(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    return json_real(strtod(text, NULL));
}

static void print_json(struct bench *b)
{
    char cpu[200];
    cpu_name(cpu, sizeof cpu);
    json_t *rows = json_array();
    for (size_t i = 0; i < b->count; i++) {
        const struct bench_row *row = &b->rows[i];
        double limit = limit_of(b, row->limit);
        json_array_append_new(
            rows, json_pack("{ss ss so ss so}", "name", row->name, "shape", row->shape, "value",
                            rounded(row->value), "unit", row->unit, "ratio_to_limit",
                            limit > 0 ? rounded(row->rate / limit) : json_null()));
    }
    json_t *all =
        json_pack("{s{ss si ss ss ss} s{so so so so} so}", "machine", "cpu", cpu, "threads",
                  b->threads, "isa", b->ops->name, "int8", b->int8_how, "bf16", b->bf16_how,
                  "peaks", "f32_gflops", rounded(median(b->f32, b->peak_count)), "bf16_gops",
                  rounded(median(b->bf16, b->peak_count)), "int8_gops",
                  rounded(median(b->int8, b->peak_count)), "read_gbs",
                  rounded(median(b->read, b->peak_count)), "rows", rows);
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(all);
}

/* ---- the command ---- */

static int prepare(struct bench *b, struct snug_model_options *model)
{
    struct snug_error error;
    b->ops = snug_ops_find(settings.isa);
    b->peaks = b->ops ? snug_peaks_find(b->ops) : NULL;
    if (!b->peaks) {
        fprintf(stderr,
                "snug bench: --isa %s: unknown, not measured, or this processor cannot run it\n",
                settings.isa ? settings.isa : "auto");
        return 2;
    }
    int code = snug_cli_quantize("bench", settings.quantize, settings.skip, model);
    if (code >= 0)
        return code;
    b->threads = settings.threads ? (int)settings.threads : snug_cpu_count();
    b->quick = settings.quick;
    if (snug_pool_create(b->threads, snug_allocator_heap(), &b->pool, &error))
        return snug_cli_fail(&error);
    b->read_data = snug_alloc(snug_allocator_heap(), READ_BYTES);
    if (!b->read_data) {
        fprintf(stderr, "snug bench: no memory to measure reading with\n");
        return 4;
    }
    memset(b->read_data, 1, READ_BYTES);
    return -1;
}

static int run(struct bench *b, const char *what, const struct snug_model_options *model)
{
    struct snug_error error;
    struct snug_folder folder = {.path = settings.model, .allocator = snug_allocator_heap()};
    enum snug_status status = SNUG_STATUS_OK;
    bench_peaks(b);
    if (!strcmp(what, "ops"))
        bench_ops(b);
    if (!strcmp(what, "model")) {
        if (!settings.model)
            folder = snug_embedded_model(snug_allocator_heap());
        else if (!snug_path_is_directory(settings.model)) {
            fprintf(stderr, "snug: %s: no such model folder\n", settings.model);
            return 3;
        }
        status = bench_model(b, &folder, model, &error);
    }
    if (status)
        return snug_cli_fail_as(snug_status_exit_code(status) == 4 ? 4 : 3, &error);
    bench_peaks(b);
    (settings.json ? print_json : print_table)(b);
    return 0;
}

int snug_cli_bench(int argc, char **argv)
{
    static struct bench b;
    static char suffix[40];
    struct snug_model_options model = snug_model_options_default();
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code >= 0)
        return code;
    if (argc != 2 ||
        (strcmp(argv[1], "peak") && strcmp(argv[1], "ops") && strcmp(argv[1], "model"))) {
        fprintf(stderr, "snug bench: peak, ops or model?\nTry 'snug bench --help'.\n");
        return 2;
    }
    snprintf(suffix, sizeof suffix, "%s%.30s", settings.isa ? "@" : "",
             settings.isa ? settings.isa : "");
    b.suffix = suffix;
    code = prepare(&b, &model);
    if (code < 0)
        code = run(&b, argv[1], &model);
    snug_free(snug_allocator_heap(), b.read_data);
    snug_pool_destroy(b.pool);
    return code;
}
