/* snug doctor: what this machine offers, and whether snug works on it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include "base/clock.h"
#include "generate/generate.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static struct {
    const char *model;
    struct snug_machine_options machine;
} settings;

static const struct snug_option options[] = {
    {'m', "model", SNUG_OPTION_KIND_TEXT, &settings.model, 0, 0, "DIR",
     "model folder to check with; default: the embedded model"},
    {0, "device", SNUG_OPTION_KIND_TEXT, &settings.machine.device, 0, 0, "NAME",
     "a simulated card (sim:v100-16gb, sim:8GiB, sim:FILE.json), two with a comma: runs a small "
     "document on every rung of the ladder and compares the logits with the CPU's"},
    {0, "devices", SNUG_OPTION_KIND_TEXT, &settings.machine.devices_file, 0, 0, "FILE",
     "more devices, as JSON (docs/devices.md)"},
};

static const struct snug_usage usage = {
    "snug doctor [options]",
    "Shows the processor, memory and libraries, then runs the model on every\n"
    "instruction set this processor has, or with --device on every rung of the\n"
    "ladder, and compares the logits bit for bit.",
    "Exit codes: 0 all well, 1 something is wrong, 2 wrong usage, 3 no such model.\n", options,
    sizeof options / sizeof *options};

static int name_width = 12;
#define row(...) snug_cli_row(name_width, __VA_ARGS__)

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

static void print_machine(bool has_device)
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
    if (has_device)
        row("devices", "cpu, %s", settings.machine.device);
    else
        row("devices", "cpu, sim:NAME, sim:SIZE, sim:FILE.json (simulated: docs/devices.md)");
}

/* Feeds a fixed prompt to a model on one backend; the logits of its last row. */
static enum snug_status probe(const struct snug_model *model, const struct snug_ops *ops,
                              struct snug_pool *pool, float *out, double *milliseconds,
                              struct snug_error *error)
{
    struct snug_session session;
    struct snug_session_options how = snug_session_options_default();
    const float *logits = NULL;
    int32_t ids[96];
    for (int i = 0; i < 96; i++)
        ids[i] = doctor_plain_id(model, i);
    how.ops = ops;
    how.pool = pool;
    snug_session_init(&session, model, &how, snug_allocator_heap());
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

/* Loads the model and compares; the number of problems. */
static int check_host(const struct snug_folder *folder, struct snug_pool *pool)
{
    struct snug_model *model = NULL;
    struct snug_error error;
    if (snug_model_load(folder, snug_device_cpu(), pool, NULL, snug_allocator_heap(), &model,
                        &error)) {
        row("model", "PROBLEM: %s", error.message);
        return 1;
    }
    row("model", "%s, %.1f M parameters, loaded in %.1f ms", model->name,
        (double)model->parameters / 1e6, model->load_ms);
    int problems = compare_backends(model, pool);
    snug_model_free(model);
    return problems;
}

static int check(const struct snug_machine *machine, const struct snug_device *const *devices)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_folder folder = snug_embedded_model(heap);
    struct snug_pool *pool = NULL;
    struct snug_error error;
    int problems = 1;
    if (settings.model)
        folder = (struct snug_folder){.path = settings.model, .allocator = heap};
    if (machine->device_count)
        name_width = DOCTOR_DEVICE_WIDTH;
    print_machine(machine->device_count > 0);
    if (snug_pool_create(snug_cpu_count(), heap, &pool, &error))
        row("threads", "PROBLEM: %s", error.message);
    else if (machine->device_count)
        problems = doctor_check_devices(&folder, devices, machine->device_count, pool);
    else
        problems = check_host(&folder, pool);
    row("verdict", problems ? "%d problem(s)" : "all well", problems);
    snug_pool_destroy(pool);
    return problems ? 1 : 0;
}

int snug_cli_doctor(int argc, char **argv)
{
    struct snug_machine machine = {0};
    const struct snug_device *devices[SNUG_MAX_SPACES] = {NULL};
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code < 0 && argc > 1) {
        fprintf(stderr, "snug doctor: takes no arguments\nTry 'snug doctor --help'.\n");
        code = 2;
    }
    if (code < 0 && settings.model && !snug_path_is_directory(settings.model)) {
        fprintf(stderr, "snug doctor: %s: no such model folder\n", settings.model);
        code = 3;
    }
    if (code < 0)
        code = snug_cli_machine("doctor", &settings.machine, &machine);
    if (code < 0)
        code = snug_machine_open_devices("doctor", &machine, false, devices);
    if (code < 0)
        code = check(&machine, devices);
    snug_machine_close_devices(devices);
    snug_machine_free(&machine);
    return code;
}
