/* snug rehearse: documents of true size on a simulated machine, without weights and without
 * arithmetic: which rung each of them runs on, and what the device's memory does.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/machine.h"
#include "cli/schema_file.h"

#include "base/clock.h"
#include "base/json.h"
#include "extract/reader.h"

#include <inttypes.h>
#include <string.h>

#define MOST_LINES 40 /* of the table; of more documents those that differ from the one before */

static struct {
    const char *model, *schema, *quantize, *skip, *kv, *ladder;
    struct snug_machine_options machine;
    int64_t documents, tokens, parallel, max_tiles, max_new_tokens, seed;
    bool json, elastic;
} settings = {.quantize = "none",
              .skip = "",
              .kv = "f16",
              .documents = 20,
              .tokens = 300,
              .seed = 1,
              .machine = {.device = "sim:v100-16gb"}};

#define TEXT SNUG_OPTION_KIND_TEXT
#define INTEGER SNUG_OPTION_KIND_INTEGER
static const struct snug_option options[] = {
    {.help = "Model and documents:"},
    {'m', "model", TEXT, &settings.model, 0, 0, "MODEL",
     "model folder (config.json is enough), or a name that 'snug plan' knows; default snug-nano"},
    {'s', "schema", TEXT, &settings.schema, 0, 0, "FILE",
     "the fields to read; default: business-document (25 fields)"},
    {'n', "documents", INTEGER, &settings.documents, 1, 1e9, "N", "how many; default 20"},
    {0, "tokens", INTEGER, &settings.tokens, 1, SNUG_MAX_NEW_TOKENS, "N",
     "of each answer; default 300"},
    {0, "max-tiles", INTEGER, &settings.max_tiles, 1, SNUG_MAX_TILES, "N",
     "tiles of a picture, without the thumbnail; default: as the model says"},
    {0, "max-new-tokens", INTEGER, &settings.max_new_tokens, 1, SNUG_MAX_NEW_TOKENS, "N",
     "tokens of an answer that memory is planned for; default: as extract's"},
    {0, "seed", INTEGER, &settings.seed, 0, 9007199254740992.0, "N",
     "the documents' sizes are made up from it; default 1"},
    {.help = "Machine:"},
    {0, "device", TEXT, &settings.machine.device, 0, 0, "NAME",
     "sim:PROFILE, sim:SIZE or sim:FILE.json (docs/devices.md), two with a comma; default "
     "sim:v100-16gb"},
    {0, "devices", TEXT, &settings.machine.devices_file, 0, 0, "FILE", "more devices, as JSON"},
    {0, "budget", TEXT, &settings.machine.budget, 0, 0, "SIZE",
     "memory of the device that may be taken; default: all that is free"},
    {0, "ladder", TEXT, &settings.ladder, 0, 0, "RUNGS",
     SNUG_RUNG_NAMES "; default: all; a single one is forced"},
    {0, "elastic", SNUG_OPTION_KIND_FLAG, &settings.elastic, 0, 0, NULL,
     "give working memory back whenever no document is being read"},
    {.help = "How the model is held and run:"},
    {0, "quantize", TEXT, &settings.quantize, 0, 0, "TYPE", "q8, q4, or none (default): as stored"},
    {0, "quantize-skip", TEXT, &settings.skip, 0, 0, "PARTS",
     "parts to leave as stored: vision,projector,text,lm_head"},
    {0, "kv", TEXT, &settings.kv, 0, 0, "TYPE", "key/value cache in f16 (default) or f32"},
    {.help = "Output:"},
    {0, "json", SNUG_OPTION_KIND_FLAG, &settings.json, 0, 0, NULL,
     "JSON lines: one a document, one of the whole run"},
};
#undef TEXT
#undef INTEGER

static const struct snug_usage usage = {
    "snug rehearse [options]",
    "Runs documents of true size through a model's true program on a simulated device,\n"
    "memory and ladder only: no weights are loaded and nothing is computed, so that\n"
    "a thousand documents of an 8B model take half a minute.",
    "Exit codes: 0 every document went through, 1 some did not, 2 wrong usage,\n"
    "3 model or schema unusable, 4 no rung fits.\n\n"
    "Examples:\n"
    "  snug rehearse -m internvl3-8b --quantize q8 --device sim:v100-16gb\n"
    "  snug rehearse -m llama-3.2-11b-vision --quantize q8 --device sim:neighbour.json\n",
    options, sizeof options / sizeof *options};

struct rehearsal {
    const struct snug_allocator *allocator;
    struct snug_machine machine;
    const struct snug_device *devices[SNUG_MAX_SPACES];
    struct snug_schema *schema;
    struct snug_model_source source;
    struct snug_reader *reader;
    struct snug_model *model; /* an outline of its own */
    struct snug_forecast_request request;
    struct snug_ladder ladder;
    int32_t *prompt, *ids;
    double *log_probabilities;
    uint32_t random;
    /* of the document before, and of all */
    enum snug_rung rung;
    int64_t lines, failed, moved;
    uint64_t most_ours, most_others;
    struct snug_event events[SNUG_MAX_MOVES];
    int event_count;
};

static uint32_t next_random(struct rehearsal *r)
{
    r->random = r->random * 1664525u + 1013904223u;
    return r->random >> 8;
}

static void on_event(void *context, const struct snug_event *event)
{
    struct rehearsal *r = context;
    if (r->event_count < SNUG_MAX_MOVES)
        r->events[r->event_count++] = *event;
}

/* ---- getting ready ---- */

static enum snug_status open_model(struct rehearsal *r, const struct snug_model_options *model,
                                   struct snug_error *error)
{
    struct snug_reader_options reader = snug_reader_options_default();
    reader.model = *model;
    reader.max_tiles = settings.max_tiles;
    reader.max_new_tokens = settings.max_new_tokens;
    reader.kv_dtype = strcmp(settings.kv, "f32") ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
    SNUG_TRY(snug_cli_load_schema(settings.schema, r->allocator, &r->schema, error));
    SNUG_TRY(snug_model_source_open(settings.model, r->allocator, &r->source, error));
    SNUG_TRY(snug_reader_prepare(&r->source.folder, r->schema, &reader, true, r->allocator,
                                 &r->reader, error));
    SNUG_TRY(snug_model_outline(&r->source.folder, model, r->allocator, &r->model, error));
    r->model->device = snug_device_dry();
    return snug_reader_request(r->reader, &r->request, error);
}

static enum snug_status open_ladder(struct rehearsal *r, const struct snug_rung_list *rungs,
                                    struct snug_error *error)
{
    struct snug_ladder_options o = {.rungs = *rungs,
                                    .forced = settings.ladder && rungs->count == 1,
                                    .elastic = settings.elastic,
                                    .watermark_bytes = SIZE_MAX,
                                    .device_count = r->machine.device_count,
                                    .session = snug_session_options_default(),
                                    .tokens = r->request.tokens,
                                    .tiles = r->request.tiles,
                                    .event = on_event,
                                    .event_context = r};
    size_t room = (size_t)settings.tokens;
    o.session.device = snug_device_dry();
    o.session.kv_dtype = r->request.kv_dtype;
    o.session.image_token_id = 0; /* prompts are made up */
    o.speeds[SNUG_SPACE_HOST] = snug_cli_host_speed();
    for (int i = 1; i <= o.device_count; i++) {
        o.devices[i] = r->devices[i];
        o.budget_bytes[i] = r->machine.budget_stated ? r->machine.devices[i].budget_bytes : 0;
        o.speeds[i] = snug_cli_profile_speed(&r->machine.devices[i].profile);
    }
    r->prompt = snug_calloc(r->allocator, (size_t)r->request.tokens, sizeof *r->prompt);
    r->ids = snug_calloc(r->allocator, room, sizeof *r->ids);
    r->log_probabilities = snug_calloc(r->allocator, room, sizeof *r->log_probabilities);
    if (!r->prompt || !r->ids || !r->log_probabilities)
        return snug_error_memory(error, room * sizeof *r->ids, "the documents");
    return snug_ladder_open(&r->ladder, r->model, &o, r->allocator, error);
}

/* ---- documents ---- */

struct seen {
    int64_t tiles, tokens;
    enum snug_rung rung;
    uint64_t ours, others, free;
    enum snug_status status;
    struct snug_error error;
};

/* A picture of as many tiles as comes, and a prompt around its tokens. */
static struct snug_request make_request(struct rehearsal *r, struct snug_generation *out)
{
    const struct snug_model_config *c = &r->model->config;
    bool llama = c->family == SNUG_FAMILY_LLAMA_VISION;
    int64_t most = r->request.tiles;
    int64_t tiles = 1 + (int64_t)(next_random(r) % (uint32_t)most);
    int64_t images = llama ? 1 : tiles * c->tokens_per_tile;
    int64_t words =
        r->request.tokens - snug_reader_answer_tokens(r->reader) - most * c->tokens_per_tile;
    int64_t columns = llama && tiles == 4 ? 2 : tiles;
    int64_t count = images + (words > 1 ? words : 1);
    for (int64_t i = 0; i < count; i++)
        r->prompt[i] = i < images ? 0 : 1;
    return (struct snug_request){
        .prompt = r->prompt,
        .prompt_count = count,
        .picture = {.tiles = tiles, .rows = tiles / columns, .columns = columns},
        .tokens = count + settings.tokens,
        .options = {.max_new_tokens = settings.tokens, .sampling = {.top_p = 1}},
        .out = out};
}

static void look(struct rehearsal *r, struct seen *seen)
{
    struct snug_sim_figures f = snug_sim_figures(r->devices[1]);
    uint64_t all = r->machine.devices[1].script.options.capacity_bytes;
    seen->ours = f.ours > seen->ours ? f.ours : seen->ours;
    seen->others = f.neighbour > seen->others ? f.neighbour : seen->others;
    seen->free = all - f.ours - f.neighbour;
    r->most_ours = f.peak_ours > r->most_ours ? f.peak_ours : r->most_ours;
    r->most_others = f.neighbour > r->most_others ? f.neighbour : r->most_others;
}

static void read_document(struct rehearsal *r, struct seen *seen)
{
    struct snug_generation generation = {.ids = r->ids, .log_probabilities = r->log_probabilities};
    struct snug_answering answer = {0};
    const struct snug_request request = make_request(r, &generation);
    *seen = (struct seen){.tiles = request.picture.tiles};
    r->event_count = 0;
    seen->status = snug_ladder_start(&r->ladder, &answer, &request, &seen->error);
    while (!seen->status && !answer.over) {
        look(r, seen);
        seen->status = snug_ladder_advance(&r->ladder, &seen->error);
    }
    look(r, seen);
    seen->rung = answer.rung;
    seen->tokens = request.prompt_count + generation.count;
    r->moved += answer.move_count > 0;
    r->failed += seen->status != SNUG_STATUS_OK;
    snug_ladder_end(&r->ladder, &answer);
}

/* ---- output ---- */

static void print_document(struct rehearsal *r, int64_t number, const struct seen *seen)
{
    char ours[24], others[24], left[24];
    bool dull = number > 1 && seen->rung == r->rung && !r->event_count && !seen->status;
    r->rung = seen->rung;
    if (dull && settings.documents > MOST_LINES)
        return;
    if (!r->lines++)
        printf("%-9s %5s %6s  %-18s %11s %11s %11s\n", "document", "tiles", "tokens", "rung",
               "ours", "others'", "free");
    printf("%-9lld %5lld %6lld  %-18s %11s %11s %11s\n", (long long)number, (long long)seen->tiles,
           (long long)seen->tokens, seen->status ? "failed" : snug_rung_name(seen->rung),
           snug_format_bytes(seen->ours, ours), snug_format_bytes(seen->others, others),
           snug_format_bytes(seen->free, left));
    if (seen->status)
        printf("    %s\n", seen->error.message);
    for (int i = 0; i < r->event_count; i++) {
        const struct snug_event *e = &r->events[i];
        if (e->kind == SNUG_EVENT_KIND_DOWN || e->kind == SNUG_EVENT_KIND_UP)
            printf("    token %lld: %s -> %s (%s)\n", (long long)e->token, snug_rung_name(e->from),
                   snug_rung_name(e->to), e->cause ? snug_status_text(e->cause) : "room again");
    }
}

static void put_document(const struct rehearsal *r, int64_t number, const struct seen *seen)
{
    printf("{\"document\": %lld, \"tiles\": %lld, \"tokens\": %lld, \"rung\": \"%s\", "
           "\"status\": \"%s\", \"our_bytes\": %" PRIu64 ", \"neighbour_bytes\": %" PRIu64
           ", \"free_bytes\": %" PRIu64 ", \"moves\": [",
           (long long)number, (long long)seen->tiles, (long long)seen->tokens,
           snug_rung_name(seen->rung), snug_status_text(seen->status), seen->ours, seen->others,
           seen->free);
    for (int i = 0, n = 0; i < r->event_count; i++) {
        const struct snug_event *e = &r->events[i];
        if (e->kind == SNUG_EVENT_KIND_DOWN || e->kind == SNUG_EVENT_KIND_UP)
            printf("%s{\"token\": %lld, \"from\": \"%s\", \"to\": \"%s\", \"why\": \"%s\"}",
                   n++ ? ", " : "", (long long)e->token, snug_rung_name(e->from),
                   snug_rung_name(e->to), e->cause ? snug_status_text(e->cause) : "room again");
    }
    printf("]}\n");
}

/* Free memory in pieces within our region at its worst moment (PyTorch's inactive_split). */
static double fragmentation(const struct rehearsal *r)
{
    const struct snug_memory_stats *m =
        r->ladder.stands ? &r->ladder.session.stats : &r->ladder.stats.memory;
    uint64_t all = m->reserved_bytes.peak, used = m->allocated_bytes.peak;
    return all ? (double)(all - (used < all ? used : all)) / (double)all : 0;
}

static void print_end(const struct rehearsal *r, double ms)
{
    const struct snug_ladder_stats *s = &r->ladder.stats;
    char most[24], bytes[24];
    uint64_t capacity = r->machine.devices[1].script.options.capacity_bytes;
    if (settings.json) {
        printf("{\"documents\": %lld, \"failed\": %lld, \"moved\": %lld, \"down\": %" PRIu64
               ", \"up\": %" PRIu64 ", \"retries\": %" PRIu64 ", \"high_water_bytes\": %" PRIu64
               ", \"capacity_bytes\": %" PRIu64 ", \"unused_at_peak\": %.6f, "
               "\"regions_taken_after_start\": %" PRIu64 "}\n",
               (long long)settings.documents, (long long)r->failed, (long long)r->moved, s->downs,
               s->ups, s->retries, r->most_ours, capacity, fragmentation(r),
               snug_ladder_takes(&r->ladder));
        return;
    }
    printf("\n%lld documents, %lld failed, %lld moved; %" PRIu64 " down, %" PRIu64 " up, %" PRIu64
           " retries\n",
           (long long)settings.documents, (long long)r->failed, (long long)r->moved, s->downs,
           s->ups, s->retries);
    printf("high-water mark %s of %s; unused in our region at its peak %.2f %%;\n"
           "%" PRIu64 " regions taken after the start\n",
           snug_format_bytes(r->most_ours, most), snug_format_bytes(capacity, bytes),
           100 * fragmentation(r), snug_ladder_takes(&r->ladder));
    for (int i = 0; i < SNUG_RUNG_COUNT; i++)
        if (s->documents[i])
            printf("  %-18s %lld documents\n", snug_rung_name((enum snug_rung)i),
                   (long long)s->documents[i]);
    printf("rehearsed in %.1f s\n", ms / 1000);
}

/* ---- the command ---- */

static int rehearse(struct rehearsal *r, const struct snug_model_options *model,
                    const struct snug_rung_list *rungs)
{
    struct snug_error error;
    double start = snug_clock_ms();
    enum snug_status status = open_model(r, model, &error);
    if (!status)
        status = open_ladder(r, rungs, &error);
    if (status)
        return snug_cli_fail_to_open(&error);
    for (int64_t i = 1; i <= settings.documents && !snug_cli_interrupted; i++) {
        struct seen seen;
        read_document(r, &seen);
        if (settings.json)
            put_document(r, i, &seen);
        else
            print_document(r, i, &seen);
    }
    if (snug_cli_interrupted)
        return 130;
    print_end(r, snug_clock_ms() - start);
    if (fflush(stdout) || ferror(stdout)) {
        snug_error_set(&error, SNUG_STATUS_IO, "standard output cannot be written");
        return snug_cli_fail_as(1, &error);
    }
    return r->failed ? 1 : 0;
}

static int check(struct rehearsal *r, struct snug_model_options *model,
                 struct snug_rung_list *rungs)
{
    if (strcmp(settings.kv, "f16") && strcmp(settings.kv, "f32")) {
        fprintf(stderr, "snug rehearse: --kv is f16 or f32, not '%s'\n", settings.kv);
        return 2;
    }
    if (settings.ladder && !snug_rungs_parse(settings.ladder, rungs)) {
        fprintf(stderr, "snug rehearse: --ladder is a list of " SNUG_RUNG_NAMES ", not '%s'\n",
                settings.ladder);
        return 2;
    }
    int code = snug_cli_quantize("rehearse", settings.quantize, settings.skip, model);
    if (code < 0)
        code = snug_cli_machine("rehearse", &settings.machine, &r->machine);
    if (code < 0 && !r->machine.device_count) {
        fprintf(stderr, "snug rehearse: --device names a simulated card, such as sim:v100-16gb\n");
        code = 2;
    }
    if (code < 0)
        code = snug_machine_open_devices("rehearse", &r->machine, true, r->devices);
    return code;
}

int snug_cli_rehearse(int argc, char **argv)
{
    static struct rehearsal r;
    struct snug_model_options model = snug_model_options_default();
    struct snug_rung_list rungs = snug_rungs_all(true);
    r.allocator = snug_allocator_heap();
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code < 0 && argc > 1) {
        fprintf(stderr,
                "snug rehearse: '%s': documents are made up; a model is given with -m\n"
                "Try 'snug rehearse --help'.\n",
                argv[1]);
        code = 2;
    }
    r.random = (uint32_t)settings.seed;
    if (code < 0)
        code = check(&r, &model, &rungs);
    if (code < 0) {
        snug_cli_catch_signals();
        code = rehearse(&r, &model, &rungs);
    }
    snug_ladder_close(&r.ladder);
    snug_model_free(r.model);
    snug_reader_close(r.reader);
    snug_model_source_close(&r.source);
    snug_machine_close_devices(r.devices);
    snug_machine_free(&r.machine);
    snug_schema_free(r.schema);
    snug_free(r.allocator, r.prompt);
    snug_free(r.allocator, r.ids);
    snug_free(r.allocator, r.log_probabilities);
    return code;
}
