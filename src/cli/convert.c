/* snug convert: a model folder to one whose weights lie as the program takes them.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/embedded_model.h"

#include "base/clock.h"
#include "models/converted.h"

#include <math.h>
#include <string.h>

static struct {
    const char *quantize, *skip;
    int64_t threads;
    bool quiet, embedded;
} settings = {.quantize = "q8", .skip = ""};

static const struct snug_option options[] = {
    {0, "quantize", SNUG_OPTION_KIND_TEXT, &settings.quantize, 0, 0, "TYPE",
     "q8 (default), q4, or none: packed as stored"},
    {0, "quantize-skip", SNUG_OPTION_KIND_TEXT, &settings.skip, 0, 0, "PARTS",
     "parts to leave as stored: vision,projector,text,lm_head"},
    {0, "embedded", SNUG_OPTION_KIND_FLAG, &settings.embedded, 0, 0, NULL,
     "convert the embedded model; give only OUT"},
    {'t', "threads", SNUG_OPTION_KIND_INTEGER, &settings.threads, 1, SNUG_MAX_THREADS, "N",
     "default: the processors this process may use"},
    {'q', "quiet", SNUG_OPTION_KIND_FLAG, &settings.quiet, 0, 0, NULL,
     "no table of errors on standard output"},
};

static const struct snug_usage usage = {
    "snug convert IN OUT [options]",
    "Converts the Hugging Face folder IN to the folder OUT: weights quantised and\n"
    "packed once, so that loading is a mapping. Prints how far each part's weights\n"
    "moved: the relative error |w - quantised| / |w|. Killed at any moment, it\n"
    "leaves no folder that loads; run it again.",
    "Exit codes: 0 converted, 1 not written, 2 wrong usage, 3 model unusable,\n"
    "4 not enough memory, 130 interrupted.\n\n"
    "Example: snug convert InternVL3-8B InternVL3-8B-q8 --quantize-skip vision\n",
    options, sizeof options / sizeof *options};

/* Errors by layer ("text.layer.3") or, outside layers, by weight. */
#define MOST_ROWS 4096
struct row {
    char name[64];
    struct snug_quant_error error;
    double worst;
    char worst_name[24];
};
static struct {
    struct row rows[MOST_ROWS];
    size_t count, weights;
} table;

static double relative(const struct snug_quant_error *e)
{
    return e->weight > 0 ? sqrt(e->difference / e->weight) : 0;
}

static void on_weight(void *context, const struct snug_weight *weight,
                      const struct snug_quant_error *error)
{
    (void)context;
    const char *layer = strstr(weight->name, ".layer.");
    size_t length =
        layer ? (size_t)(layer - weight->name) + 7 + strcspn(layer + 7, ".") : strlen(weight->name);
    size_t i = 0;
    table.weights++;
    while (i < table.count && (strlen(table.rows[i].name) != length ||
                               strncmp(table.rows[i].name, weight->name, length)))
        i++;
    if (i == MOST_ROWS)
        return;
    if (i == table.count)
        snprintf(table.rows[table.count++].name, sizeof table.rows[0].name, "%.*s", (int)length,
                 weight->name);
    struct row *row = &table.rows[i];
    row->error.difference += error->difference;
    row->error.weight += error->weight;
    if (relative(error) >= row->worst) {
        row->worst = relative(error);
        snprintf(row->worst_name, sizeof row->worst_name, "%s",
                 layer && weight->name[length] ? weight->name + length + 1 : "");
    }
}

static bool goes_on(void *context)
{
    (void)context;
    return !snug_cli_interrupted;
}

/* Layer 2 before layer 10. */
static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void print_table(void)
{
    struct snug_quant_error all = {0};
    qsort(table.rows, table.count, sizeof table.rows[0], by_name);
    printf("%-28s %10s   %s\n", "layer", "error", "worst weight");
    for (size_t i = 0; i < table.count; i++) {
        const struct row *row = &table.rows[i];
        all.difference += row->error.difference;
        all.weight += row->error.weight;
        printf("%-28s %9.3f%%   ", row->name, 100 * relative(&row->error));
        if (row->worst_name[0])
            printf("%.3f%% %s", 100 * row->worst, row->worst_name);
        putchar('\n');
    }
    printf("%-28s %9.3f%%\n", "all", 100 * relative(&all));
}

static int run(const char *in, const char *out, const struct snug_model_options *o)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_folder folder = {.path = in, .allocator = heap};
    struct snug_pool *pool = NULL;
    struct snug_error error;
    uint64_t bytes = 0;
    char size[24];
    double start = snug_clock_ms();
    if (!in)
        folder = snug_embedded_model(heap);
    else if (!snug_path_is_directory(in)) {
        fprintf(stderr, "snug: %s: no such model folder\n", in);
        return 3;
    }
    enum snug_status status = snug_pool_create(
        settings.threads ? (int)settings.threads : snug_cpu_count(), heap, &pool, &error);
    snug_cli_catch_signals();
    if (!status)
        status =
            snug_convert(&folder, out, o, pool, on_weight, goes_on, NULL, heap, &bytes, &error);
    snug_pool_destroy(pool);
    if (status == SNUG_STATUS_INTERRUPTED) {
        fprintf(stderr, "snug: interrupted; %s holds no weights yet\n", out);
        return 130;
    }
    if (status)
        return snug_cli_fail_as(status == SNUG_STATUS_USAGE ? 2
                                : status == SNUG_STATUS_IO  ? 1
                                                            : snug_status_exit_code(status),
                                &error);
    if (!settings.quiet && table.count)
        print_table();
    fprintf(stderr, "snug: %s: %zu weights quantised, %s, %.1f s\n", out, table.weights,
            snug_format_bytes(bytes, size), (snug_clock_ms() - start) / 1000);
    return 0;
}

int snug_cli_convert(int argc, char **argv)
{
    struct snug_model_options o = snug_model_options_default();
    int code = snug_cli_parse(&argc, argv, &usage), count = argc - 1;
    if (code >= 0)
        return code;
    code = snug_cli_quantize("convert", settings.quantize, settings.skip, &o);
    if (code >= 0)
        return code;
    if (count != (settings.embedded ? 1 : 2)) {
        fprintf(stderr, "snug convert: give the folder to read and the one to write\n"
                        "Try 'snug convert --help'.\n");
        return 2;
    }
    return run(settings.embedded ? NULL : argv[1], argv[count], &o);
}
