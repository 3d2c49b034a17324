/* snug plan: what reading documents will take, before anything is loaded.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include "cli/schema_file.h"

#include <string.h>

static struct {
    const char *model, *schema, *quantize, *skip, *kv, *ladder, *svg;
    struct snug_machine_options machine;
    int64_t max_tiles, max_new_tokens, parallel, vision_batch, prefill_chunk, threads;
    bool json;
} settings = {.quantize = "none", .skip = "", .kv = "f16"};

#define TEXT SNUG_OPTION_KIND_TEXT
#define INTEGER SNUG_OPTION_KIND_INTEGER
static const struct snug_option options[] = {
    {.help = "Model and documents:"},
    {'m', "model", TEXT, &settings.model, 0, 0, "MODEL",
     "model folder (config.json is enough), or a name: snug-nano (default), internvl3-1b, -2b, "
     "-8b, -14b, -38b, llama-3.2-11b-vision, -90b-vision"},
    {'s', "schema", TEXT, &settings.schema, 0, 0, "FILE",
     "the fields to read; default: business-document (25 fields)"},
    {0, "max-tiles", INTEGER, &settings.max_tiles, 1, SNUG_MAX_TILES, "N",
     "tiles of a picture, without the thumbnail; default: as the model says"},
    {0, "max-new-tokens", INTEGER, &settings.max_new_tokens, 1, SNUG_MAX_NEW_TOKENS, "N",
     "tokens of an answer; default: as the model says, else 800 + 40 a field"},
    {0, "page", TEXT, &settings.machine.page, 0, 0, "WxH",
     "pixels of the largest page; default 2480x3508"},
    {.help = "Machine:"},
    {0, "device", TEXT, &settings.machine.device, 0, 0, "NAME",
     "cpu (this machine, default), cpu-16gb, v100-16gb, ...; an unknown name lists all"},
    {0, "devices", TEXT, &settings.machine.devices_file, 0, 0, "FILE",
     "more devices, as JSON (docs/devices.md)"},
    {0, "budget", TEXT, &settings.machine.budget, 0, 0, "SIZE",
     "memory of the device that may be taken: bytes, or 12GiB; default: all that is free"},
    {0, "ladder", TEXT, &settings.ladder, 0, 0, "RUNGS",
     "placements to look at, in this order: resident, cpu (default: both)"},
    {.help = "How the model is held and run:"},
    {0, "quantize", TEXT, &settings.quantize, 0, 0, "TYPE", "q8, q4, or none (default): as stored"},
    {0, "quantize-skip", TEXT, &settings.skip, 0, 0, "PARTS",
     "parts to leave as stored: vision,projector,text,lm_head"},
    {0, "kv", TEXT, &settings.kv, 0, 0, "TYPE", "key/value cache in f16 (default) or f32"},
    {'t', "threads", INTEGER, &settings.threads, 1, SNUG_MAX_THREADS, "N",
     "each has a stack; default: the processors this process may use"},
    {0, "parallel", INTEGER, &settings.parallel, 1, SNUG_MAX_PARALLEL, "N",
     "documents at once; default 1"},
    {0, "vision-batch", INTEGER, &settings.vision_batch, 1, 64, "N",
     "tiles computed together; default 1"},
    {0, "prefill-chunk", INTEGER, &settings.prefill_chunk, 1, 65536, "N",
     "prompt tokens computed together; default 512"},
    {.help = "Output:"},
    {0, "json", SNUG_OPTION_KIND_FLAG, &settings.json, 0, 0, NULL, "JSON on standard output"},
    {0, "svg", TEXT, &settings.svg, 0, 0, "FILE",
     "draw the plan: what lies where in the region at each step"},
};
#undef TEXT
#undef INTEGER

static const struct snug_usage usage = {
    "snug plan [options]",
    "Says what memory a model will take to read documents, and whether it fits,\n"
    "without loading it: the model's own program is laid out as if it were to run.",
    "Exit codes: 0 it fits, 4 it does not, 2 wrong usage, 3 model or schema unusable.\n\n"
    "Examples:\n"
    "  snug plan -m internvl3-8b --quantize q8 --device v100-16gb\n"
    "  snug plan -m llama-3.2-11b-vision --quantize q8 --device v100-16gb\n"
    "  snug plan -m models/InternVL3-2B --budget 6GiB --json | jq .peak_bytes\n",
    options, sizeof options / sizeof *options};

/* ---- working it out ---- */

static enum snug_status open_source(struct plan *p, struct snug_error *error)
{
    struct snug_reader_options reader = snug_reader_options_default();
    reader.model = p->model_options;
    reader.max_tiles = settings.max_tiles;
    reader.max_new_tokens = settings.max_new_tokens;
    reader.parallel = settings.parallel;
    reader.vision_batch = settings.vision_batch;
    reader.prefill_chunk = settings.prefill_chunk;
    reader.kv_dtype = strcmp(settings.kv, "f32") ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
    reader.threads = settings.threads ? (int)settings.threads : snug_cpu_count();
    reader.page_width = p->machine.page_width;
    reader.page_height = p->machine.page_height;
    SNUG_TRY(snug_cli_load_schema(settings.schema, p->allocator, &p->schema, error));
    SNUG_TRY(snug_model_source_open(settings.model, p->allocator, &p->source, error));
    SNUG_TRY(snug_reader_prepare(&p->source.folder, p->schema, &reader, true, p->allocator,
                                 &p->reader, error));
    return snug_reader_request(p->reader, &p->request, error);
}

/* A rung on this machine's CPU. */
static enum snug_status work_out_cpu(struct plan *p, struct rung *rung, struct snug_error *error)
{
    p->request.placing = (struct snug_placing){.device_count = 0};
    p->request.granularity = 4096;
    SNUG_TRY(snug_forecast_make(&p->request, p->allocator, &rung->forecast, error));
    bool is_device = p->machine.profile.kind == SNUG_DEVICE_KIND_CPU;
    rung->budget = is_device ? p->machine.budget_bytes : (size_t)snug_memory_available();
    rung->read_gbs =
        p->machine.profile.kind == SNUG_DEVICE_KIND_CPU ? p->machine.profile.read_gbs : 0;
    if (rung->read_gbs <= 0 && p->read_gbs <= 0)
        p->read_gbs = snug_cli_host_speed().read_gbs / SNUG_SPEED_SHARE;
    if (rung->read_gbs <= 0)
        rung->read_gbs = p->read_gbs;
    rung->device_bytes = is_device ? rung->forecast.peak_bytes : 0;
    rung->host_bytes = is_device ? 0 : rung->forecast.peak_bytes;
    return SNUG_STATUS_OK;
}

static enum snug_status work_out_resident(struct plan *p, struct rung *rung,
                                          struct snug_error *error)
{
    if (p->machine.profile.kind == SNUG_DEVICE_KIND_CPU)
        return work_out_cpu(p, rung, error);
    snug_forecast_on_device(&p->request, (size_t)p->machine.profile.granularity_bytes);
    SNUG_TRY(snug_forecast_make(&p->request, p->allocator, &rung->forecast, error));
    rung->budget = p->machine.budget_bytes;
    rung->read_gbs = p->machine.profile.read_gbs;
    rung->device_bytes = rung->forecast.peak_bytes;
    rung->host_bytes = rung->forecast.host_bytes;
    return SNUG_STATUS_OK;
}

/* "resident,cpu" */
static int parse_ladder(struct plan *p)
{
    static const char *const names[] = {"resident", "cpu"};
    const char *text = settings.ladder ? settings.ladder : "resident,cpu";
    while (*text && p->rung_count < PLAN_RUNGS) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < 2 && (strlen(names[i]) != length || strncmp(names[i], text, length)))
            i++;
        if (i == 2)
            break;
        bool repeated = false;
        for (int r = 0; r < p->rung_count; r++)
            repeated |= p->rungs[r].name == names[i];
        if (!repeated)
            p->rungs[p->rung_count++].name = names[i];
        text += length;
        text += *text == ',' && text[1] ? 1 : 0;
    }
    if (!*text && p->rung_count)
        return -1;
    fprintf(stderr, "snug plan: --ladder is a list of resident and cpu, not '%s'\n",
            settings.ladder);
    return 2;
}

static enum snug_status work_out(struct plan *p, struct snug_error *error)
{
    for (int i = p->rung_count; i-- > 0;) { /* the first last: the request is then its own */
        struct rung *rung = &p->rungs[i];
        SNUG_TRY(strcmp(rung->name, "cpu") ? work_out_resident(p, rung, error)
                                           : work_out_cpu(p, rung, error));
        rung->fits = rung->forecast.peak_bytes <= rung->budget;
        rung->tokens_per_s =
            PLAN_READ_SHARE * rung->read_gbs * 1e9 / (double)rung->forecast.step_bytes;
    }
    size_t budget = p->rungs[0].budget;
    bool thumbnail = p->request.model->config.tiles.thumbnail;
    SNUG_TRY(
        snug_forecast_most_documents(&p->request, budget, p->allocator, &p->most_documents, error));
    SNUG_TRY(snug_forecast_most_tiles(&p->request, budget, p->allocator, &p->most_tiles, error));
    if (thumbnail && p->most_tiles > 2)
        p->most_tiles--;
    else if (thumbnail && p->most_tiles == 2)
        p->most_tiles = 1;
    return snug_forecast_most_tokens(&p->request, budget, p->allocator, &p->most_tokens, error);
}

static int run(struct plan *p)
{
    struct snug_error error;
    enum snug_status status = open_source(p, &error);
    if (!status)
        status = work_out(p, &error);
    if (status)
        return snug_cli_fail_to_open(&error);
    if (settings.svg)
        status = plan_draw(p, settings.svg, &error);
    if (!status && settings.json)
        status = plan_print_json(p, &error);
    else if (!status)
        status = plan_print_table(p, &error);
    if (status)
        return snug_cli_fail_as(1, &error);
    return p->rungs[0].fits ? 0 : 4;
}

int snug_cli_plan(int argc, char **argv)
{
    struct plan p = {.allocator = snug_allocator_heap(),
                     .model_options = snug_model_options_default()};
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code < 0 && argc > 1) {
        fprintf(stderr, "snug plan: '%s': a model is given with -m\nTry 'snug plan --help'.\n",
                argv[1]);
        code = 2;
    }
    if (code < 0 && strcmp(settings.kv, "f16") && strcmp(settings.kv, "f32")) {
        fprintf(stderr, "snug plan: --kv is f16 or f32, not '%s'\n", settings.kv);
        code = 2;
    }
    if (code < 0)
        code = snug_cli_quantize("plan", settings.quantize, settings.skip, &p.model_options);
    if (code < 0)
        code = snug_cli_machine("plan", &settings.machine, &p.machine);
    if (code < 0)
        code = parse_ladder(&p);
    if (code < 0)
        code = run(&p);
    snug_reader_close(p.reader);
    snug_model_source_close(&p.source);
    snug_schema_free(p.schema);
    snug_machine_free(&p.machine);
    return code;
}
