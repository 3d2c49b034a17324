/* snug doctor: what this machine offers, and whether snug works on it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/embedded_model.h"

#include "base/clock.h"
#include "generate/generate.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct snug_usage usage = {
    "snug doctor",
    "Shows the processor, memory and libraries, then runs the embedded model on every\n"
    "instruction set this processor has and compares the logits bit for bit.",
    "Exit codes: 0 all well, 1 something is wrong, 2 wrong usage.\n", NULL, 0};

#define row(...) snug_cli_row(12, __VA_ARGS__)

static void print_processor(void)
{
    char line[256], name[256] = "unknown";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            snprintf(name, sizeof name, "%s", strchr(line, ':') + 2);
            name[strcspn(name, "\n")] = 0;
            break;
        }
    if (file)
        fclose(file);
    row("processor", "%s, %d usable", name, snug_cpu_count());
}

static void print_machine(void)
{
    struct utsname system;
    char total[24], available[24];
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES), page = (uint64_t)sysconf(_SC_PAGESIZE);
    row("snug", "%s", SNUG_VERSION);
    if (!uname(&system))
        row("system", "%s %s, %s", system.sysname, system.release, system.machine);
    print_processor();
    row("memory", "%s, %s available", snug_format_bytes(pages * page, total),
        snug_format_bytes(snug_memory_available(), available));
    row("libraries", "%s", SNUG_LIBRARIES);
    row("devices", "cpu");
}

/* Feeds a fixed prompt to a model on one backend; the logits of its last row. */
static enum snug_status probe(const struct snug_model *model, const struct snug_ops *ops,
                              struct snug_pool *pool, float *out, double *milliseconds,
                              struct snug_error *error)
{
    struct snug_session session;
    struct snug_session_options options = snug_session_options_default();
    const float *logits = NULL;
    int32_t ids[96];
    for (int i = 0; i < 96; i++)
        ids[i] = i * 37 % 396; /* plain tokens of the embedded model */
    options.ops = ops;
    options.pool = pool;
    snug_session_init(&session, model, &options, snug_allocator_heap());
    enum snug_status status = snug_session_begin(&session, 128, 0, error);
    double start = snug_clock_ms();
    if (!status)
        status = snug_session_prompt(&session, ids, 96, &logits, error);
    for (int i = 0; i < 16 && !status; i++)
        status = snug_session_step(&session, ids[i], &logits, error);
    *milliseconds = snug_clock_ms() - start;
    if (!status)
        memcpy(out, logits, (size_t)model->config.text.vocabulary * sizeof(float));
    snug_session_free(&session);
    return status;
}

/* Compares every runnable backend with ref; the number of problems. */
static int compare_backends(const struct snug_model *model, struct snug_pool *pool)
{
    struct snug_backend backends[8];
    size_t count = snug_ops_list(backends),
           bytes = (size_t)model->config.text.vocabulary * sizeof(float);
    float *expected = snug_alloc(snug_allocator_heap(), bytes),
          *have = snug_alloc(snug_allocator_heap(), bytes);
    struct snug_error error = {0};
    double reference_ms = 0, ms = 0;
    int problems = 0;
    enum snug_status status =
        expected && have ? probe(model, snug_ops_ref(), pool, expected, &reference_ms, &error)
                         : snug_error_memory(&error, bytes, "the check");
    if (status) {
        row("check", "PROBLEM: %s", error.message);
        problems++;
    }
    for (size_t i = 0; i < count && !status; i++) {
        const char *name = backends[i].ops->name;
        if (!backends[i].runnable) {
            row(name, "not on this processor");
            continue;
        }
        status = probe(model, backends[i].ops, pool, have, &ms, &error);
        bool same = !status && !memcmp(have, expected, bytes);
        if (same)
            row(name, "same bits as ref, %.1f ms%s", ms,
                backends[i].ops == snug_ops_find(NULL) ? " (in use)" : "");
        else
            row(name, "PROBLEM: %s", status ? error.message : "other bits than ref");
        problems += !same;
    }
    snug_free(snug_allocator_heap(), expected);
    snug_free(snug_allocator_heap(), have);
    return problems;
}

int snug_cli_doctor(int argc, char **argv)
{
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code >= 0)
        return code;
    if (argc > 1) {
        fprintf(stderr, "snug doctor: takes no arguments\nTry 'snug doctor --help'.\n");
        return 2;
    }
    print_machine();
    struct snug_folder folder = snug_embedded_model(snug_allocator_heap());
    struct snug_pool *pool = NULL;
    struct snug_model *model = NULL;
    struct snug_error error;
    int problems = 0;
    enum snug_status status =
        snug_pool_create(snug_cpu_count(), snug_allocator_heap(), &pool, &error);
    if (!status)
        status = snug_model_load(&folder, snug_device_cpu(), pool, NULL, snug_allocator_heap(),
                                 &model, &error);
    if (status) {
        row("model", "PROBLEM: %s", error.message);
        problems = 1;
    } else {
        row("model", "%s, %.1f M parameters, loaded in %.1f ms", model->name,
            (double)model->parameters / 1e6, model->load_ms);
        problems = compare_backends(model, pool);
    }
    row("verdict", problems ? "%d problem(s)" : "all well", problems);
    snug_model_free(model);
    snug_pool_destroy(pool);
    return problems ? 1 : 0;
}
