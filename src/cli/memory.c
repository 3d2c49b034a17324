/* snug memory: what a plan needs.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/files.h"
#include "base/json.h"
#include "base/limits.h"
#include "formats/minimalloc.h"

#include <errno.h>
#include <string.h>

static struct {
    const char *plan_out;
    int64_t capacity;
    double time_limit;
    bool json;
} settings = {.time_limit = 10};

static const struct snug_option options[] = {
    {0, "capacity", SNUG_OPTION_KIND_INTEGER, &settings.capacity, 1, 9007199254740992.0, "BYTES",
     "stop at the first plan within so many bytes; default: as few as can be found"},
    {0, "time-limit", SNUG_OPTION_KIND_NUMBER, &settings.time_limit, 0.001, 1e6, "SECONDS",
     "then the best plan so far is the answer; default 10"},
    {0, "plan-out", SNUG_OPTION_KIND_TEXT, &settings.plan_out, 0, 0, "OUT.csv",
     "write the plan: the rows with a column 'offset'"},
    {0, "json", SNUG_OPTION_KIND_FLAG, &settings.json, 0, 0, NULL,
     "one JSON object instead of text"},
};
static const struct snug_usage usage = {
    "snug memory FILE.csv [options]",
    "Plans the buffers of a MiniMalloc file (CSV: id,lower,upper,size; alive from\n"
    "lower until before upper): gives each an offset, so that no two that are alive\n"
    "together overlap, and the peak is small. A buffer whose column 'offset' is\n"
    "filled in stays there. Without --capacity the search ends at the lower bound\n"
    "(the most bytes alive together), at a proof that nothing is smaller, or at the\n"
    "time limit. Every plan is verified before it is shown.",
    "Exit codes: 0 planned, 1 plan not written, 2 wrong usage or unreadable file,\n"
    "4 no plan within --capacity was found, or not enough memory, 130 interrupted\n"
    "before there was any plan. Ctrl-C ends the search with the best plan so far.\n\n"
    "Examples:\n"
    "  snug memory buffers.csv\n"
    "  snug memory buffers.csv --capacity 1048576 --plan-out plan.csv\n",
    options, sizeof options / sizeof *options};

static bool interrupted(void *context)
{
    (void)context;
    return snug_cli_interrupted;
}

static enum snug_status write_plan(const struct snug_minimalloc *instance, struct snug_error *error)
{
    struct snug_text text;
    struct snug_file_writer *writer = NULL;
    snug_text_init(&text, snug_allocator_heap(), (size_t)256 << 20);
    snug_minimalloc_put(instance, &text);
    enum snug_status status = snug_text_status(&text, error, settings.plan_out);
    if (!status)
        status = snug_file_writer_open(settings.plan_out, snug_allocator_heap(), &writer, error);
    if (!status) {
        status = snug_file_writer_write(writer, snug_text_c(&text), text.length, error);
        if (status)
            snug_file_writer_cancel(writer);
        else
            status = snug_file_writer_commit(writer, error);
    }
    snug_text_free(&text);
    return status;
}

#define row(...) snug_cli_row(12, __VA_ARGS__)

static void print_text(const struct snug_minimalloc *instance, const struct snug_plan *plan,
                       double gap)
{
    char bytes[24];
    size_t sum = 0;
    for (size_t i = 0; i < instance->count; i++)
        sum += instance->intervals[i].bytes;
    row("buffers", "%zu, %s in all (each with its own place)", instance->count,
        snug_format_bytes(sum, bytes));
    row("peak", "%zu bytes (%s)", plan->peak_bytes, snug_format_bytes(plan->peak_bytes, bytes));
    row("lower bound", "%zu bytes (%s): the most alive together", plan->lower_bound_bytes,
        snug_format_bytes(plan->lower_bound_bytes, bytes));
    row("gap", "%.3f %%%s", 100 * gap,
        plan->peak_bytes == plan->lower_bound_bytes ? ": nothing could be smaller"
        : plan->proven && !settings.capacity        ? ", and proven: nothing could be smaller"
                                                    : "");
    row("time", "%.3f s, %llu nodes searched", plan->seconds, (unsigned long long)plan->nodes);
    if (settings.plan_out)
        row("written to", "%s", settings.plan_out);
}

static enum snug_status print_plan(const struct snug_minimalloc *instance,
                                   const struct snug_plan *plan, struct snug_error *error)
{
    double gap = plan->peak_bytes ? (double)(plan->peak_bytes - plan->lower_bound_bytes) /
                                        (double)plan->peak_bytes
                                  : 0;
    if (settings.json) {
        struct snug_text text;
        snug_text_init(&text, snug_allocator_heap(), 4096);
        snug_text_printf(&text, "{\"plan\": {\"peak_bytes\": %zu, \"lower_bound_bytes\": %zu, ",
                         plan->peak_bytes, plan->lower_bound_bytes);
        snug_text_puts(&text, "\"gap\": ");
        snug_json_put_double(&text, gap);
        snug_text_puts(&text, ", \"seconds\": ");
        snug_json_put_double(&text, plan->seconds);
        snug_text_puts(&text, "}}\n");
        enum snug_status status = snug_text_status(&text, error, "the plan");
        if (!status)
            fputs(snug_text_c(&text), stdout);
        snug_text_free(&text);
        if (status)
            return status;
    } else {
        print_text(instance, plan, gap);
    }
    if (fflush(stdout) || ferror(stdout))
        return snug_error_set(error, SNUG_STATUS_IO, "standard output: %s", strerror(errno));
    return SNUG_STATUS_OK;
}

static int no_plan_within(const struct snug_plan *plan)
{
    struct snug_error error;
    bool bound = plan->lower_bound_bytes > (size_t)settings.capacity;
    (void)snug_error_set(
        &error, SNUG_STATUS_DOES_NOT_FIT,
        "%s within %lld bytes%s; the best has a peak of %zu, the lower bound is %zu%s",
        plan->proven ? "there is no plan" : "no plan found", (long long)settings.capacity,
        bound ? ", which is below the most alive together" : "", plan->peak_bytes,
        plan->lower_bound_bytes,
        plan->proven || snug_cli_interrupted ? "" : "; a longer --time-limit may find one");
    return snug_cli_fail(&error);
}

/* Plans, verifies, writes and prints. */
static int plan_instance(struct snug_minimalloc *instance)
{
    struct snug_plan_options wanted = {.capacity_bytes = (size_t)settings.capacity,
                                       .nodes = UINT64_MAX,
                                       .seconds = settings.time_limit,
                                       .stop = interrupted};
    struct snug_plan plan = {0};
    struct snug_error error;
    snug_cli_catch_signals();
    enum snug_status status = snug_plan_search(instance->intervals, instance->count, 1, &wanted,
                                               snug_allocator_heap(), &plan, &error);
    if (status == SNUG_STATUS_SHAPE || status == SNUG_STATUS_LIMIT)
        return snug_cli_fail_as(2, &error);
    if (!status)
        status = snug_plan_verify(instance->intervals, instance->count, 1, plan.peak_bytes,
                                  snug_allocator_heap(), &error);
    if (status)
        return snug_cli_fail(&error);
    if (settings.capacity && plan.peak_bytes > (size_t)settings.capacity)
        return no_plan_within(&plan);
    if (settings.plan_out)
        status = write_plan(instance, &error);
    if (!status)
        status = print_plan(instance, &plan, &error);
    return status ? snug_cli_fail(&error) : 0;
}

static int plan_minimalloc(const struct snug_blob *blob, const char *path)
{
    struct snug_minimalloc instance = {0};
    struct snug_error error;
    enum snug_status status = snug_minimalloc_parse((const char *)blob->data, blob->size, path,
                                                    snug_allocator_heap(), &instance, &error);
    if (status)
        return status == SNUG_STATUS_MEMORY ? snug_cli_fail(&error) : snug_cli_fail_as(2, &error);
    int code = plan_instance(&instance);
    snug_minimalloc_free(&instance);
    return code;
}

/* The kinds of file, told apart by their first bytes; the last one takes what no other wants. */
static const struct kind {
    bool (*is)(const struct snug_blob *blob); /* NULL: any */
    int (*run)(const struct snug_blob *blob, const char *path);
} kinds[] = {
    {NULL, plan_minimalloc},
};

int snug_cli_memory(int argc, char **argv)
{
    struct snug_blob blob = {0};
    struct snug_error error;
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code >= 0)
        return code;
    if (argc != 2) {
        fprintf(stderr, "snug memory: takes one file\nTry 'snug memory --help'.\n");
        return 2;
    }
    enum snug_status status =
        snug_file_read(argv[1], SNUG_MAX_MINIMALLOC_BYTES, snug_allocator_heap(), &blob, &error);
    if (status)
        return status == SNUG_STATUS_MEMORY ? snug_cli_fail(&error) : snug_cli_fail_as(2, &error);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].is && !kinds[i].is(&blob))
            continue;
        code = kinds[i].run(&blob, argv[1]);
        break;
    }
    snug_blob_free(&blob);
    return code;
}
