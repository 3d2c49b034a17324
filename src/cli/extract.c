/* snug extract: documents in, fields out.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/inputs.h"
#include "cli/embedded_model.h"
#include "cli/events.h"
#include "cli/machine.h"
#include "cli/memory_report.h"
#include "cli/output.h"
#include "cli/schema_file.h"
#include "cli/summary.h"
#include "cli/timeline.h"

#include "base/clock.h"
#include "extract/reader.h"

#include <string.h>

struct settings {
    const char *model, *schema, *output, *format, *kv, *isa, *system, *chat, *quantize, *skip;
    int64_t threads, max_new_tokens, min_tiles, max_tiles, max_pixels, vision_batch, prefill_chunk,
        parallel, seed;
    double temperature, top_p, outlier_threshold;
    struct snug_machine_options machine;
    const char *memory_report, *alert, *ladder, *events, *timeline;
    bool hints, quiet, elastic, no_fallback;
};

static struct settings settings = {
    .kv = "f16", .quantize = "none", .skip = "", .top_p = 1, .outlier_threshold = 6};

#define TEXT SNUG_OPTION_KIND_TEXT
#define FLAG SNUG_OPTION_KIND_FLAG
#define INTEGER SNUG_OPTION_KIND_INTEGER
#define NUMBER SNUG_OPTION_KIND_NUMBER
static const struct snug_option options[] = {
    {.help = "Model and questions:"},
    {'m', "model", TEXT, &settings.model, 0, 0, "DIR",
     "Hugging Face folder of an InternVL3, either layout; default: the small embedded model"},
    {'s', "schema", TEXT, &settings.schema, 0, 0, "FILE",
     "the fields to read, as JSON; default: business-document (25 fields)"},
    {0, "hints", FLAG, &settings.hints, 0, 0, NULL,
     "write the schema's hints behind the field names"},
    {0, "system", TEXT, &settings.system, 0, 0, "TEXT",
     "system text of the prompt, 'none' for none; default: the layout's own"},
    {0, "chat", TEXT, &settings.chat, 0, 0, "NAME",
     SNUG_CHAT_KIND_NAMES ": prompt form for a folder whose chat template is none that snug knows"},
    {.help = "Output:"},
    {'o', "output", TEXT, &settings.output, 0, 0, "FILE",
     "write there instead of to standard output"},
    {'f', "format", TEXT, &settings.format, 0, 0, "NAME",
     "jsonl, json, csv or table (for people); default: by the ending of FILE, else jsonl"},
    {'q', "quiet", FLAG, &settings.quiet, 0, 0, NULL,
     "no progress and no summary on standard error"},
    {.help = "Generation (greedy unless a temperature is given):"},
    {0, "max-new-tokens", INTEGER, &settings.max_new_tokens, 1, SNUG_MAX_NEW_TOKENS, "N",
     "tokens of an answer at most; default: as the model's folder says, else 800 + 40 a field"},
    {0, "temperature", NUMBER, &settings.temperature, 0, 100, "T", "above 0: sample"},
    {0, "top-p", NUMBER, &settings.top_p, 1e-6, 1, "P",
     "sample from the likeliest tokens that make up P"},
    {0, "seed", INTEGER, &settings.seed, 0, 9007199254740992.0, "N",
     "the same seed gives the same answer, in whatever order documents are read"},
    {.help = "Pictures:"},
    {0, "min-tiles", INTEGER, &settings.min_tiles, 1, SNUG_MAX_TILES, "N",
     "tiles of a picture at least"},
    {0, "max-tiles", INTEGER, &settings.max_tiles, 1, SNUG_MAX_TILES, "N",
     "and at most, without the thumbnail; default: as the model's folder says"},
    {0, "max-pixels", INTEGER, &settings.max_pixels, 1, SNUG_MAX_PIXELS, "N",
     "refuse larger pictures"},
    {0, "page", TEXT, &settings.machine.page, 0, 0, "WxH",
     "pixels of the largest page that memory is planned for; default 2480x3508"},
    {.help = "Weights (a converted folder has them as it was converted):"},
    {0, "quantize", TEXT, &settings.quantize, 0, 0, "TYPE", "q8, q4, or none (default): as stored"},
    {0, "quantize-skip", TEXT, &settings.skip, 0, 0, "PARTS",
     "parts to leave as stored: vision,projector,text,lm_head"},
    {0, "outlier-threshold", NUMBER, &settings.outlier_threshold, 0, 1e30, "X",
     "activations of X and more are not quantised, as long as they are few; default 6, 0: all are"},
    {.help = "Machine (none of these changes a bit of the answer, --kv apart):"},
    {'t', "threads", INTEGER, &settings.threads, 1, SNUG_MAX_THREADS, "N",
     "default: the processors this process may use"},
    {0, "kv", TEXT, &settings.kv, 0, 0, "TYPE", "key/value cache in f16 (default) or f32"},
    {0, "isa", TEXT, &settings.isa, 0, 0, "NAME",
     "ref, avx2, avxvnni, avx512 or avx512vnni; default: the best of this processor"},
    {0, "parallel", INTEGER, &settings.parallel, 1, SNUG_MAX_PARALLEL, "N",
     "documents written together, so that the weights are read once for all; takes N times the "
     "memory for keys and values; default 1"},
    {0, "prefill-chunk", INTEGER, &settings.prefill_chunk, 1, 65536, "N",
     "prompt tokens computed together; default 512"},
    {0, "vision-batch", INTEGER, &settings.vision_batch, 1, 64, "N",
     "tiles computed together; default 1"},
    {.help = "Memory ('snug plan' says what it will be):"},
    {0, "budget", TEXT, &settings.machine.budget, 0, 0, "SIZE",
     "what may be taken, bytes or 12GiB: refused before loading if it is not enough; default: what "
     "is free"},
    {0, "device", TEXT, &settings.machine.device, 0, 0, "NAME",
     "cpu (default); a CPU of docs/devices.md, whose memory is then the budget; or a simulated "
     "card: "
     "sim:v100-16gb, sim:8GiB, sim:FILE.json, two with a comma"},
    {0, "devices", TEXT, &settings.machine.devices_file, 0, 0, "FILE", "more devices, as JSON"},
    {0, "ladder", TEXT, &settings.ladder, 0, 0, "RUNGS",
     "where to run, the first that fits, and in which order to fall back: " SNUG_RUNG_NAMES
     " (default: all, with a device); a single one is forced"},
    {0, "no-fallback", FLAG, &settings.no_fallback, 0, 0, NULL,
     "end with exit code 5 instead of going on elsewhere when the device fails"},
    {0, "events", TEXT, &settings.events, 0, 0, "FILE",
     "what the ladder did, a JSON object a line, as it happens: a log, which a run that is killed "
     "leaves; -: standard error"},
    {0, "timeline", TEXT, &settings.timeline, 0, 0, "FILE",
     "a picture of the run, as SVG: the device's memory, the rungs and the events, by document"},
    {0, "memory-report", TEXT, &settings.memory_report, 0, 0, "FILE",
     "figures of the run's memory, as JSON, under PyTorch's names and ours"},
    {0, "alert", TEXT, &settings.alert, 0, 0, "LIMITS",
     "say so once when one is passed: inactive-split=SIZE, free=SIZE (of the machine), leak=SIZE; "
     "several with commas"},
    {0, "elastic", FLAG, &settings.elastic, 0, 0, NULL,
     "give working memory back whenever no document is being read (weights stay)"},
};
#undef TEXT
#undef FLAG
#undef INTEGER
#undef NUMBER

static const struct snug_usage usage = {
    "snug extract DOCS... [options]",
    "Reads pictures of documents (JPEG, PNG, WebP, BMP, PNM) and writes their fields.\n"
    "DOCS are files, always tried, and folders: their pictures, sorted by name.\n"
    "One bad document gives a row with its error; the others go on. Ctrl-C leaves\n"
    "what is finished.",
    "Exit codes: 0 all read, 1 some document partial or failed, 2 wrong usage,\n"
    "3 model or schema unusable, 4 not enough memory, 5 the device failed and there\n"
    "was no fallback, 130 interrupted.\n\n"
    "Examples:\n"
    "  snug extract samples/ --format table\n"
    "  snug extract scans/ -m models/InternVL3-8B -o out.jsonl\n"
    "  snug extract receipt.jpg -s my-fields.json --format json | jq .\n",
    options, sizeof options / sizeof *options};

/* ---- the run ---- */

struct run {
    const struct snug_allocator *allocator;
    struct snug_pool *pool;
    struct snug_schema *schema;
    struct snug_reader *reader;
    struct snug_inputs inputs;
    struct snug_output output;
    struct snug_progress_bar bar;
    const char *current; /* document that was begun last */
    size_t next;         /* of the inputs */
    size_t counts[3];    /* by row status */
    struct snug_timing sums;
    double decode_ms; /* of the answers' steps, all documents together */
    int64_t output_tokens, prompt_tokens;
    struct snug_memory_report memory;
    struct snug_machine machine;
    const struct snug_device *devices[SNUG_MAX_SPACES];
    struct snug_event_log events;
    struct snug_run_timeline timeline;
    bool gave; /* memory, and it was said */
};

static bool on_progress(void *context, enum snug_stage stage, int64_t tokens)
{
    struct run *run = context;
    bool together = settings.parallel > 1 && stage == SNUG_STAGE_DECODE;
    snug_progress_update(&run->bar, together || !run->current ? "" : run->current,
                         snug_stage_text(stage), tokens);
    return !snug_cli_interrupted;
}

/* The row that a document will have: one of those begun last, or about to be. */
static int64_t row_of(const struct run *run, const char *document)
{
    size_t i = run->next;
    while (document && i > 0 && run->inputs.items[i - 1].shown != document)
        i--;
    return (int64_t)(i ? i : run->next ? run->next : 1);
}

static void on_event(void *context, const struct snug_event *event)
{
    struct run *run = context;
    char note[SNUG_ERROR_MESSAGE_BYTES];
    snug_progress_clear(&run->bar); /* the log may be on the same terminal */
    snug_event_log_put(&run->events, event);
    snug_run_timeline_event(&run->timeline, row_of(run, event->document), event);
    snug_event_note(event, note);
    if (*note && !(event->kind == SNUG_EVENT_KIND_GIVE && run->gave))
        snug_progress_tell(&run->bar, note);
    run->gave = run->gave || event->kind == SNUG_EVENT_KIND_GIVE;
}

/* Options that name something: 2 if the name is unknown, -1 to go on. */
static int check_names(struct snug_reader_options *reader, enum snug_output_format *format)
{
    const char *name = settings.format ? settings.format : snug_output_ending(settings.output);
    if (!snug_output_format_parse(name, format)) {
        fprintf(stderr, "snug extract: --format is jsonl, json, csv or table, not '%s'\n", name);
        return 2;
    }
    if (strcmp(settings.kv, "f16") && strcmp(settings.kv, "f32")) {
        fprintf(stderr, "snug extract: --kv is f16 or f32, not '%s'\n", settings.kv);
        return 2;
    }
    reader->kv_dtype = strcmp(settings.kv, "f32") ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
    reader->ops = snug_ops_find(settings.isa);
    if (!reader->ops) {
        fprintf(stderr, "snug extract: --isa %s: unknown, or this processor cannot run it\n",
                settings.isa);
        return 2;
    }
    if (settings.chat && !snug_chat_kind_parse(settings.chat, &reader->chat)) {
        fprintf(stderr, "snug extract: --chat is " SNUG_CHAT_KIND_NAMES ", not '%s'\n",
                settings.chat);
        return 2;
    }
    if (settings.min_tiles && settings.max_tiles && settings.min_tiles > settings.max_tiles) {
        fprintf(stderr, "snug extract: --min-tiles is above --max-tiles\n");
        return 2;
    }
    return -1;
}

/* The machine's devices and which rungs to use; -1 to go on. */
static int set_devices(struct run *run, struct snug_reader_options *o)
{
    const struct snug_machine *machine = &run->machine;
    if (settings.ladder && !snug_rungs_parse(settings.ladder, &o->rungs)) {
        fprintf(stderr, "snug extract: --ladder is a list of " SNUG_RUNG_NAMES ", not '%s'\n",
                settings.ladder);
        return 2;
    }
    if (settings.ladder && !machine->device_count &&
        (o->rungs.count > 1 || o->rungs.items[0] != SNUG_RUNG_CPU)) {
        fprintf(stderr, "snug extract: --ladder %s: there is no device (--device)\n",
                settings.ladder);
        return 2;
    }
    if (settings.timeline && !machine->device_count) {
        fprintf(stderr, "snug extract: --timeline %s: there is no device (--device)\n",
                settings.timeline);
        return 2;
    }
    int code = snug_machine_open_devices("extract", machine, false, run->devices);
    if (code >= 0 || !machine->device_count)
        return code;
    o->device_count = machine->device_count;
    o->no_fallback = settings.no_fallback;
    o->speeds[SNUG_SPACE_HOST] = snug_cli_host_speed();
    for (int i = 1; i <= machine->device_count; i++) {
        o->devices[i] = run->devices[i];
        o->device_budget_bytes[i] = machine->budget_stated ? machine->devices[i].budget_bytes : 0;
        o->speeds[i] = snug_cli_profile_speed(&machine->devices[i].profile);
    }
    return -1;
}

/* The machine's options; -1 to go on. */
static int set_machine(struct run *run, struct snug_reader_options *o)
{
    struct snug_machine *machine = &run->machine;
    int code = snug_cli_machine("extract", &settings.machine, machine);
    if (code >= 0)
        return code;
    if (!machine->device_count && (machine->budget_stated || !machine->is_this))
        o->budget_bytes = machine->budget_bytes;
    o->page_width = machine->page_width;
    o->page_height = machine->page_height;
    o->elastic = settings.elastic;
    return set_devices(run, o);
}

static enum snug_status open_reader(struct run *run, struct snug_reader_options *o,
                                    struct snug_error *error)
{
    struct snug_folder folder = {.path = settings.model, .allocator = run->allocator};
    if (!settings.model)
        folder = snug_embedded_model(run->allocator);
    o->pool = run->pool;
    o->min_tiles = settings.min_tiles;
    o->max_tiles = settings.max_tiles;
    o->max_new_tokens = settings.max_new_tokens;
    o->max_pixels = settings.max_pixels;
    o->vision_batch = settings.vision_batch;
    o->prefill_chunk = settings.prefill_chunk;
    o->parallel = settings.parallel;
    o->sampling = (struct snug_sampling){(float)settings.temperature, (float)settings.top_p,
                                         (uint64_t)settings.seed};
    o->hints = settings.hints;
    o->system = settings.system && !strcmp(settings.system, "none") ? "" : settings.system;
    o->progress = on_progress;
    o->event = on_event;
    o->progress_context = o->event_context = run;
    if (settings.model && !snug_path_is_directory(settings.model))
        return snug_error_set(error, SNUG_STATUS_NOT_FOUND, "%s: no such model folder",
                              settings.model);
    return snug_reader_open(&folder, run->schema, o, run->allocator, &run->reader, error);
}

static void count_row(struct run *run, const struct snug_row *row)
{
    run->counts[row->status]++;
    if (row->status == SNUG_ROW_STATUS_ERROR) {
        snug_progress_note(&run->bar, "snug: %s", row->error_message);
        return;
    }
    if (row->status == SNUG_ROW_STATUS_PARTIAL)
        snug_progress_note(
            &run->bar, "snug: %s: the answer %s after %lld tokens; its row is partial",
            row->document,
            !strcmp(row->finish, "loop") ? "repeats itself and was ended" : "reached its limit",
            (long long)row->tokens.output);
    run->output_tokens += row->tokens.output;
    run->prompt_tokens += row->tokens.prompt;
    run->sums.decode_image += row->timing.decode_image;
    run->sums.vision += row->timing.vision;
    run->sums.prefill += row->timing.prefill;
    run->sums.decode += row->timing.decode;
    run->sums.total += row->timing.total;
}

static void print_summary(struct run *run, double elapsed_ms)
{
    size_t read = run->counts[SNUG_ROW_STATUS_OK] + run->counts[SNUG_ROW_STATUS_PARTIAL];
    const struct snug_model *model = snug_reader_model(run->reader);
    snug_progress_note(
        &run->bar, "%zu of %zu documents: %zu ok, %zu partial, %zu failed; %s, loaded in %.0f ms",
        read + run->counts[SNUG_ROW_STATUS_ERROR], run->inputs.count,
        run->counts[SNUG_ROW_STATUS_OK], run->counts[SNUG_ROW_STATUS_PARTIAL],
        run->counts[SNUG_ROW_STATUS_ERROR], model->name, model->load_ms);
    if (!read)
        return;
    double n = (double)read;
    snug_progress_note(
        &run->bar,
        "%.1f s; a document %.0f ms: picture %.0f, vision %.0f, prompt %.0f, answer %.0f ms",
        elapsed_ms / 1000, run->sums.total / n, run->sums.decode_image / n, run->sums.vision / n,
        run->sums.prefill / n, run->sums.decode / n);
    if (run->sums.prefill > 0 && run->decode_ms > 0)
        snug_progress_note(&run->bar, "prompt %.0f tokens/s, answer%s %.0f tokens/s%s",
                           (double)run->prompt_tokens / run->sums.prefill * 1000,
                           settings.parallel > 1 ? "s" : "",
                           (double)run->output_tokens / run->decode_ms * 1000,
                           settings.parallel > 1 ? " together" : "");
}

static void tell(struct run *run, const char *note)
{
    if (*note)
        snug_progress_note(&run->bar, "snug: %s", note);
}

static bool next_document(void *context, const char **path, const char **document)
{
    struct run *run = context;
    char note[200];
    snug_memory_report_between(&run->memory, note);
    tell(run, note);
    if (run->next == run->inputs.count)
        return false;
    const struct snug_input *input = &run->inputs.items[run->next++];
    *path = input->path;
    *document = run->current = input->shown;
    return true;
}

static enum snug_status take_row(void *context, const struct snug_row *row,
                                 struct snug_error *error)
{
    struct run *run = context;
    count_row(run, row);
    snug_progress_clear(&run->bar);
    SNUG_TRY(snug_output_row(&run->output, row, error));
    run->bar.done++;
    char note[200];
    snug_memory_report_row(&run->memory, row, note);
    snug_run_timeline_row(&run->timeline, run->reader, row);
    tell(run, note);
    return SNUG_STATUS_OK;
}

/* ---- what is written beside the rows ---- */

/* Files that are written must differ: 2 (said so) if two are the same, -1 to go on. */
static int check_outputs(void)
{
    const struct {
        const char *option, *path;
    } files[] = {{"--output", settings.output},
                 {"--memory-report", settings.memory_report},
                 {"--events", settings.events},
                 {"--timeline", settings.timeline}};
    size_t count = sizeof files / sizeof *files;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (files[i].path && files[j].path && !strcmp(files[i].path, files[j].path) &&
                strcmp(files[i].path, "/dev/null") != 0 && strcmp(files[i].path, "-") != 0) {
                fprintf(stderr, "snug extract: %s and %s are the same file\n", files[i].option,
                        files[j].option);
                return 2;
            }
    return -1;
}

/* What is written beside the rows, before anything else takes long. Errors: of the files. */
static enum snug_status open_reports(struct run *run, struct snug_error *error)
{
    if (settings.memory_report)
        SNUG_TRY(snug_memory_report_open(&run->memory, settings.memory_report, error));
    if (settings.timeline)
        SNUG_TRY(snug_run_timeline_open(&run->timeline, settings.timeline, error));
    return snug_event_log_open(&run->events, settings.events, error);
}

/* And at the end, all of it; the first failure is said. */
static enum snug_status finish_reports(struct run *run, struct snug_error *error)
{
    struct snug_error others[2];
    const enum snug_status status[3] = {
        snug_memory_report_finish(&run->memory, error),
        snug_run_timeline_finish(&run->timeline, run->reader, &others[0]),
        snug_event_log_finish(&run->events, &others[1])};
    for (int i = 0; i < 3; i++) {
        if (status[i] && i)
            *error = others[i - 1];
        if (status[i])
            return status[i];
    }
    return SNUG_STATUS_OK;
}

/* ---- from start to end ---- */

/* Reads every document; the exit code. */
static int read_documents(struct run *run)
{
    struct snug_error error = {0};
    struct snug_reader_documents documents = {
        .next = next_document, .row = take_row, .context = run};
    double start = snug_clock_ms();
    snug_memory_report_start(&run->memory, run->reader);
    enum snug_status status = snug_reader_read_all(run->reader, &documents, &error);
    run->decode_ms = documents.decode_ms;
    snug_progress_clear(&run->bar);
    bool gave_up = settings.no_fallback && snug_status_exit_code(status) >= 4 &&
                   status != SNUG_STATUS_INTERRUPTED;
    struct snug_error failure = error;
    enum snug_status written = status && status != SNUG_STATUS_INTERRUPTED && !gave_up
                                   ? status
                                   : snug_output_finish(&run->output, &error);
    if (written)
        return snug_cli_fail_as(1, &error);
    print_summary(run, snug_clock_ms() - start);
    snug_summary_put_memory(&run->bar, run->reader);
    if (finish_reports(run, &error))
        return snug_cli_fail_as(1, &error);
    if (gave_up) {
        snug_error_prefix(&failure, status, "ended after %zu of %zu documents, without a fallback",
                          run->bar.done, run->inputs.count);
        return snug_cli_fail_as(5, &failure);
    }
    if (status == SNUG_STATUS_INTERRUPTED) {
        fprintf(stderr, "snug: interrupted; %zu of %zu documents are finished%s%s\n", run->bar.done,
                run->inputs.count, settings.output ? " and written to " : "",
                settings.output ? settings.output : "");
        return 130;
    }
    return run->counts[SNUG_ROW_STATUS_ERROR] || run->counts[SNUG_ROW_STATUS_PARTIAL] ? 1 : 0;
}

static int open_all(struct run *run, char *const *names, int count)
{
    struct snug_error error;
    struct snug_reader_options reader = snug_reader_options_default();
    enum snug_output_format format;
    int code = check_names(&reader, &format);
    if (code < 0)
        code = snug_cli_quantize("extract", settings.quantize, settings.skip, &reader.model);
    reader.model.outlier_threshold = (float)settings.outlier_threshold;
    if (code < 0)
        code = set_machine(run, &reader);
    if (code < 0)
        code = check_outputs();
    if (code < 0 && settings.alert && !snug_memory_report_alerts(&run->memory, settings.alert)) {
        fprintf(
            stderr,
            "snug extract: --alert is a list such as inactive-split=0.5GiB,free=1GiB,leak=1MiB, "
            "not '%s'\n",
            settings.alert);
        code = 2;
    }
    if (code >= 0)
        return code;
    int threads = settings.threads ? (int)settings.threads : snug_cpu_count();
    enum snug_status status =
        snug_inputs_collect(&run->inputs, names, count, run->allocator, &error);
    if (status)
        return snug_cli_fail_as(2, &error);
    if (!settings.quiet && run->inputs.ignored)
        fprintf(stderr, "snug: %zu other files ignored\n", run->inputs.ignored);
    if (!run->inputs.count) {
        fprintf(stderr, "snug extract: no documents: the folders hold no pictures\n");
        return 2;
    }
    if (open_reports(run, &error))
        return snug_cli_fail_as(1, &error);
    status = snug_pool_create(threads, run->allocator, &run->pool, &error);
    if (status)
        return snug_cli_fail(&error);
    status = snug_cli_load_schema(settings.schema, run->allocator, &run->schema, &error);
    if (!status)
        status = open_reader(run, &reader, &error);
    if (status)
        return snug_cli_fail_to_open(&error);
    status = snug_output_open(&run->output, settings.output, format, run->schema, run->allocator,
                              &error);
    return status ? snug_cli_fail_as(1, &error) : -1;
}

int snug_cli_extract(int argc, char **argv)
{
    struct run run = {.allocator = snug_allocator_heap()};
    int code = snug_cli_parse(&argc, argv, &usage);
    run.bar.quiet = settings.quiet; /* for what happens before the bar is there */
    if (code < 0 && argc == 1) {
        fprintf(stderr, "snug extract: which documents?\nTry 'snug extract --help'.\n");
        code = 2;
    }
    if (code < 0)
        code = open_all(&run, argv + 1, argc - 1);
    if (code < 0) {
        snug_cli_catch_signals();
        snug_progress_start(&run.bar, run.inputs.count, settings.quiet);
        code = read_documents(&run);
    }
    snug_memory_report_free(&run.memory);
    snug_run_timeline_free(&run.timeline);
    snug_event_log_close(&run.events);
    snug_output_close(&run.output);
    snug_reader_close(run.reader);
    snug_machine_close_devices(run.devices);
    snug_machine_free(&run.machine);
    snug_schema_free(run.schema);
    snug_pool_destroy(run.pool);
    snug_inputs_free(&run.inputs);
    return code;
}
