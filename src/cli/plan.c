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
     "cpu (this machine, default), cpu-16gb, v100-16gb, sim:8GiB, ..., two cards with a comma; an "
     "unknown name lists all"},
    {0, "devices", TEXT, &settings.machine.devices_file, 0, 0, "FILE",
     "more devices, as JSON (docs/devices.md)"},
    {0, "budget", TEXT, &settings.machine.budget, 0, 0, "SIZE",
     "memory of the device that may be taken: bytes, or 12GiB; default: all that is free"},
    {0, "ladder", TEXT, &settings.ladder, 0, 0, "RUNGS",
     "placements to look at, in this order: " SNUG_RUNG_NAMES
     " (default: all, with a device); a single one is taken whole"},
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
    "without loading it: the model's own program is laid out as if it were to run, on\n"
    "every rung of the ladder. The first one that fits is the one that would be used.",
    "Exit codes: 0 a rung fits, 4 none, 2 wrong usage, 3 model or schema unusable.\n\n"
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
    p->answer_tokens = snug_reader_answer_tokens(p->reader);
    return snug_reader_request(p->reader, &p->asked, error);
}

/* Which rungs to look at: the same names, and the same meaning, as in extract. */
static int parse_ladder(struct plan *p)
{
    bool has_device = p->machine.device_count > 0;
    p->ladder = snug_rungs_all(has_device);
    if (settings.ladder && !snug_rungs_parse(settings.ladder, &p->ladder)) {
        fprintf(stderr, "snug plan: --ladder is a list of " SNUG_RUNG_NAMES ", not '%s'\n",
                settings.ladder);
        return 2;
    }
    if (!has_device && (p->ladder.count > 1 || p->ladder.items[0] != SNUG_RUNG_CPU)) {
        fprintf(stderr, "snug plan: --ladder %s: there is no device (--device)\n", settings.ladder);
        return 2;
    }
    return -1;
}

static int run(struct plan *p)
{
    struct snug_error error;
    enum snug_status status = open_source(p, &error);
    if (!status)
        status = plan_work_out(p, &error);
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
    return plan_used(p)->fits ? 0 : 4;
}

int snug_cli_plan(int argc, char **argv)
{
    struct plan p = {.allocator = snug_allocator_heap(),
                     .known = {.allocator = snug_allocator_heap()},
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
    snug_rung_known_free(&p.known);
    snug_reader_close(p.reader);
    snug_model_source_close(&p.source);
    snug_schema_free(p.schema);
    snug_machine_free(&p.machine);
    return code;
}
