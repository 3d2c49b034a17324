/* Opening a reader: what it will take, then the model.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/reader_internal.h"

#include "base/clock.h"
#include "extract/prompt.h"

#include <stdarg.h>
#include <stdio.h>

struct snug_reader_options snug_reader_options_default(void)
{
    return (struct snug_reader_options){.kv_dtype = SNUG_DTYPE_F16,
                                        .model = snug_model_options_default(),
                                        .sampling = {.temperature = 0, .top_p = 1}};
}

const struct snug_model *snug_reader_model(const struct snug_reader *reader)
{
    return reader->model;
}

const struct snug_forecast *snug_reader_forecast(const struct snug_reader *reader)
{
    return &reader->forecast;
}

const struct snug_session *snug_reader_session(const struct snug_reader *reader)
{
    return &reader->ladder.session;
}

const struct snug_ladder *snug_reader_ladder(const struct snug_reader *reader)
{
    return &reader->ladder;
}

int64_t snug_reader_answer_tokens(const struct snug_reader *reader)
{
    if (reader->options.max_new_tokens)
        return reader->options.max_new_tokens;
    if (reader->model->config.max_new_tokens)
        return reader->model->config.max_new_tokens;
    return 800 + 40 * (int64_t)reader->schema->field_count;
}

/* ---- preparing ---- */

static enum snug_status set_tiles(struct snug_reader *reader, struct snug_error *error)
{
    const struct snug_reader_options *o = &reader->options;
    reader->tiles = reader->model->config.tiles;
    if (reader->tiles.tiling == SNUG_TILING_FIT &&
        (o->min_tiles > 1 || o->max_tiles > reader->model->config.vision.max_tiles))
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "%s: a picture's own shape decides its tiles, from 1 to %lld: leave "
                              "out --min-tiles, and --max-tiles may be at most that",
                              reader->model->name,
                              (long long)reader->model->config.vision.max_tiles);
    if (o->max_tiles)
        reader->tiles.max_tiles = o->max_tiles;
    if (o->min_tiles)
        reader->tiles.min_tiles = o->min_tiles;
    if (o->max_tiles && !o->min_tiles && reader->tiles.min_tiles > o->max_tiles)
        reader->tiles.min_tiles = o->max_tiles;
    if (reader->tiles.min_tiles > reader->tiles.max_tiles)
        return snug_error_set(
            error, SNUG_STATUS_USAGE, "--min-tiles %lld is above --max-tiles %lld",
            (long long)reader->tiles.min_tiles, (long long)reader->tiles.max_tiles);
    return SNUG_STATUS_OK;
}

/* InternVL: <IMG_CONTEXT> for every row of a picture, between <img> and </img>. */
static enum snug_status set_internvl_tokens(struct snug_reader *reader, struct snug_error *error)
{
    const struct snug_model_config *config = &reader->model->config;
    struct snug_tokenizer *t = reader->tokenizer;
    reader->image_tokens =
        (struct snug_image_tokens){.begin = snug_tokenizer_added_id(t, "<img>"),
                                   .context = snug_tokenizer_added_id(t, "<IMG_CONTEXT>"),
                                   .end = snug_tokenizer_added_id(t, "</img>"),
                                   .per_tile = config->tokens_per_tile};
    int32_t context = reader->image_tokens.context;
    if (reader->image_tokens.begin < 0 || context < 0 || reader->image_tokens.end < 0)
        return snug_error_set(error, SNUG_STATUS_MODEL,
                              "%s: the tokeniser has no <img>, <IMG_CONTEXT> and </img>",
                              reader->model->name);
    if (config->image_token_id < 0 || config->image_token_id == context)
        return SNUG_STATUS_OK;
    return snug_error_set(
        error, SNUG_STATUS_MODEL,
        "%s: image_token_id is %lld in config.json, but <IMG_CONTEXT> is %d in the tokeniser",
        reader->model->name, (long long)config->image_token_id, (int)context);
}

/* Llama: one <|image|> for a picture. Tokenisers from Meta's own files have it as a reserved id
 * below the vocabulary's end; the embedding's row is the one that config.json names. */
static enum snug_status set_llama_tokens(struct snug_reader *reader, struct snug_error *error)
{
    const struct snug_model_config *config = &reader->model->config;
    int32_t id = snug_tokenizer_added_id(reader->tokenizer, "<|image|>");
    reader->image_tokens = (struct snug_image_tokens){
        .begin = -1, .context = (int32_t)config->image_token_id, .end = -1};
    if (id >= 0 && (id == config->image_token_id || id < config->text.vocabulary))
        return SNUG_STATUS_OK;
    return snug_error_set(
        error, SNUG_STATUS_MODEL,
        "%s: image_token_index is %lld in config.json, but <|image|> is %d in the tokeniser",
        reader->model->name, (long long)config->image_token_id, (int)id);
}

static enum snug_status set_tokens(struct snug_reader *reader, struct snug_error *error)
{
    const struct snug_model_config *config = &reader->model->config;
    bool llama = config->family == SNUG_FAMILY_LLAMA_VISION;
    SNUG_TRY(llama ? set_llama_tokens(reader, error) : set_internvl_tokens(reader, error));
    memcpy(reader->stop_ids, config->stop_ids, sizeof config->stop_ids);
    reader->stop_id_count = config->stop_id_count;
    int32_t turn_end =
        snug_tokenizer_added_id(reader->tokenizer, llama ? "<|eot_id|>" : "<|im_end|>");
    for (int i = 0; i < reader->stop_id_count; i++)
        if (reader->stop_ids[i] == turn_end)
            return SNUG_STATUS_OK;
    if (turn_end >= 0)
        reader->stop_ids[reader->stop_id_count++] = turn_end;
    return SNUG_STATUS_OK;
}

static bool is_llama_chat(enum snug_chat_kind kind)
{
    return kind == SNUG_CHAT_KIND_LLAMA || kind == SNUG_CHAT_KIND_LLAMA_BASE;
}

/* The form that --chat names, else the folder's own; it must be one of the family's. */
static enum snug_status choose_chat(struct snug_reader *reader, const struct snug_folder *folder,
                                    struct snug_error *error)
{
    const struct snug_model_config *config = &reader->model->config;
    bool llama = config->family == SNUG_FAMILY_LLAMA_VISION;
    const char *forms = llama ? "--chat llama or, for a base model, --chat llama-base"
                              : "--chat internvl-hf or --chat internvl-orig";
    SNUG_TRY(snug_chat_load(folder, config->layout == SNUG_LAYOUT_KIND_ORIGINAL, reader->allocator,
                            &reader->chat, error));
    if (reader->options.chat != SNUG_CHAT_KIND_UNKNOWN)
        reader->chat = (struct snug_chat_format){.kind = reader->options.chat,
                                                 .image_placeholder = "<IMG_CONTEXT>"};
    if (reader->chat.kind == SNUG_CHAT_KIND_UNKNOWN && !reader->tokenizer)
        return SNUG_STATUS_OK; /* a plan */
    if (reader->chat.kind == SNUG_CHAT_KIND_UNKNOWN)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: no prompt can be built: %s; if the model was trained on one of "
                              "the family's prompts, choose it with %s",
                              folder->path, reader->chat.reason, forms);
    if (is_llama_chat(reader->chat.kind) != llama)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "%s: %s is not the prompt of a model of this family; choose it with "
                              "%s",
                              folder->path, reader->options.chat ? "--chat" : "the chat template",
                              forms);
    return SNUG_STATUS_OK;
}

/* How prompts are written, and their words. */
static enum snug_status prepare_prompt(struct snug_reader *reader, const struct snug_folder *folder,
                                       struct snug_error *error)
{
    SNUG_TRY(choose_chat(reader, folder, error));
    return snug_prompt_write(reader->schema, NULL, 0, reader->options.hints, &reader->prompt,
                             error);
}

static bool has_tokenizer(const struct snug_folder *folder)
{
    return snug_folder_has(folder, "tokenizer.json") || snug_folder_has(folder, "vocab.json");
}

/* The tokeniser comes before the weights: what loading it takes for a moment is then below the
 * peak. */
static enum snug_status prepare(struct snug_reader *reader, const struct snug_folder *folder,
                                bool plan_only, struct snug_error *error)
{
    SNUG_TRY(snug_model_outline(folder, &reader->options.model, reader->allocator, &reader->model,
                                error));
    SNUG_TRY(set_tiles(reader, error));
    if (!plan_only || has_tokenizer(folder)) {
        SNUG_TRY(snug_tokenizer_load(folder, reader->allocator, &reader->tokenizer, error));
        SNUG_TRY(set_tokens(reader, error));
    }
    return prepare_prompt(reader, folder, error);
}

enum snug_status snug_reader_prepare(const struct snug_folder *folder,
                                     const struct snug_schema *schema,
                                     const struct snug_reader_options *options, bool plan_only,
                                     const struct snug_allocator *allocator,
                                     struct snug_reader **out, struct snug_error *error)
{
    struct snug_reader *reader = snug_calloc(allocator, 1, sizeof *reader);
    if (!reader)
        return snug_error_memory(error, sizeof *reader, "the reader");
    reader->allocator = allocator;
    reader->schema = schema;
    reader->options = *options;
    snug_text_init(&reader->prompt, allocator, SNUG_MAX_ANSWER_BYTES);
    for (size_t i = 0; i < folder->file_count; i++)
        reader->embedded_bytes += folder->files[i].size;
    enum snug_status status = prepare(reader, folder, plan_only, error);
    if (status) {
        snug_reader_close(reader);
        return status;
    }
    *out = reader;
    return SNUG_STATUS_OK;
}

/* ---- what it will take ---- */

#define FRAME_TOKENS 64 /* more than any prompt form puts around picture and text */

/* The prompt of a document of so many tiles. Without a tokeniser a bound: no token is shorter than
 * a byte. */
static enum snug_status prompt_tokens(const struct snug_reader *reader, int64_t tiles, int64_t *out,
                                      struct snug_error *error)
{
    struct snug_ids ids;
    if (!reader->tokenizer) {
        const char *system = reader->options.system ? reader->options.system : "";
        *out = tiles * reader->model->config.tokens_per_tile + (int64_t)reader->prompt.length +
               (int64_t)strlen(system) + FRAME_TOKENS;
        return SNUG_STATUS_OK;
    }
    snug_ids_init(&ids, reader->allocator);
    enum snug_status status =
        snug_chat_prompt_ids(&reader->chat, reader->tokenizer, &reader->image_tokens, &tiles, 1,
                             reader->options.system, snug_text_c(&reader->prompt), &ids, error);
    *out = (int64_t)ids.count;
    snug_ids_free(&ids);
    return status;
}

/* A tokeniser of 151,674 ids, measured, for models that are known by name only. */
#define TOKENIZER_BYTES ((size_t)6 << 20)

/* A page on its way to tiles. */
static size_t document_bytes(const struct snug_reader *reader)
{
    const struct snug_reader_options *o = &reader->options;
    int64_t width = o->page_width ? o->page_width : SNUG_PAGE_WIDTH;
    int64_t height = o->page_height ? o->page_height : SNUG_PAGE_HEIGHT;
    return snug_page_bytes(width, height, &reader->tiles);
}

enum snug_status snug_reader_request(const struct snug_reader *reader,
                                     struct snug_forecast_request *out, struct snug_error *error)
{
    const struct snug_reader_options *o = &reader->options;
    const struct snug_tile_options *t = &reader->tiles;
    int64_t tiles = t->max_tiles + (t->thumbnail && t->max_tiles > 1 ? 1 : 0), prompt;
    SNUG_TRY(prompt_tokens(reader, tiles, &prompt, error));
    *out = (struct snug_forecast_request){
        .model = reader->model,
        .tiles = tiles,
        .tokens = prompt + snug_reader_answer_tokens(reader),
        .parallel = o->parallel ? o->parallel : 1,
        .vision_batch = o->vision_batch,
        .prefill_chunk = o->prefill_chunk,
        .kv_dtype = o->kv_dtype,
        .document_bytes = document_bytes(reader),
        .tokenizer_bytes =
            reader->tokenizer ? snug_tokenizer_memory_bytes(reader->tokenizer) : TOKENIZER_BYTES,
        .embedded_bytes = reader->embedded_bytes,
        .threads = o->threads ? o->threads
                   : o->pool  ? snug_pool_threads(o->pool)
                              : 1,
        .granularity = 4096};
    return SNUG_STATUS_OK;
}

/* ---- does it fit? ---- */

struct remedies {
    const struct snug_reader *reader;
    const struct snug_folder *folder;
    size_t budget;
    char text[256];
    size_t used;
};

static void offer(struct remedies *r, const char *format, ...) SNUG_PRINTF(2, 3);
static void offer(struct remedies *r, const char *format, ...)
{
    char option[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(option, sizeof option, format, arguments);
    va_end(arguments);
    if (r->used < sizeof r->text)
        r->used += (size_t)snprintf(r->text + r->used, sizeof r->text - r->used, "%s%s",
                                    r->used ? ", " : "", option);
}

static bool would_fit(const struct remedies *r, const struct snug_forecast_request *request)
{
    struct snug_forecast forecast;
    return !snug_forecast_make(request, r->reader->allocator, &forecast, NULL) &&
           forecast.peak_bytes <= r->budget;
}

/* The same model quantised. */
static void offer_quantised(struct remedies *r, const struct snug_forecast_request *request,
                            enum snug_quant quant)
{
    struct snug_model_options options = r->reader->options.model;
    struct snug_forecast_request changed = *request;
    struct snug_model *outline = NULL;
    options.quantize = quant;
    if (snug_model_outline(r->folder, &options, r->reader->allocator, &outline, NULL))
        return;
    changed.model = outline;
    if (would_fit(r, &changed))
        offer(r, "--quantize %s", snug_quant_name(quant));
    snug_model_free(outline);
}

/* Options that would each, by itself, make it fit; with failures to find some, fewer of them. */
static void find_remedies(struct remedies *r, const struct snug_forecast_request *request)
{
    const struct snug_allocator *allocator = r->reader->allocator;
    struct snug_forecast_request changed = *request;
    bool thumbnail = r->reader->tiles.thumbnail;
    int64_t most = 0;
    if (request->parallel > 1 &&
        !snug_forecast_most_documents(request, r->budget, allocator, &most, NULL) && most)
        offer(r, "--parallel %lld", (long long)most);
    changed.prefill_chunk = 64;
    if ((!request->prefill_chunk || request->prefill_chunk > 64) && would_fit(r, &changed))
        offer(r, "--prefill-chunk 64");
    if (!snug_forecast_most_tiles(request, r->budget, allocator, &most, NULL) && most)
        offer(r, "--max-tiles %lld", (long long)(thumbnail && most > 2 ? most - 1 : 1));
    if (!r->reader->model->converted && request->model->options.quantize == SNUG_QUANT_NONE)
        offer_quantised(r, request, SNUG_QUANT_Q8);
    if (!r->reader->model->converted && request->model->options.quantize != SNUG_QUANT_Q4)
        offer_quantised(r, request, SNUG_QUANT_Q4);
}

/* If it does, pages may take what is left. */
static enum snug_status check_fits(struct snug_reader *reader, const struct snug_folder *folder,
                                   const struct snug_forecast_request *request,
                                   struct snug_error *error)
{
    uint64_t budget = reader->options.budget_bytes, available = snug_memory_available();
    size_t peak = reader->forecast.peak_bytes;
    char need[24], have[24], missing[24];
    bool stated = budget && budget <= available;
    budget = stated ? budget : available;
    if (peak <= budget) {
        size_t left = (size_t)budget - (peak - request->document_bytes);
        if (!reader->options.max_page_bytes || left < reader->options.max_page_bytes)
            reader->options.max_page_bytes = left;
        return SNUG_STATUS_OK;
    }
    struct remedies r = {.reader = reader, .folder = folder, .budget = (size_t)budget};
    find_remedies(&r, request);
    return snug_error_set(
        error, SNUG_STATUS_DOES_NOT_FIT,
        "%s needs %s (%zu bytes), %s (%zu bytes) more than %s %s; %s%s%s, or a larger machine",
        folder->path, snug_format_bytes(peak, need), peak,
        snug_format_bytes(peak - budget, missing), (size_t)(peak - budget),
        stated ? "the budget of" : "what is free,", snug_format_bytes(budget, have),
        r.used ? "any of these would fit: "
               : "no option alone makes it fit: try several of "
                 "--quantize q4, --max-tiles 1, --prefill-chunk 64",
        r.text, stated ? ", or a larger --budget" : "");
}

/* ---- opening ---- */

static struct snug_session_options session_options(struct snug_reader *reader)
{
    const struct snug_reader_options *o = &reader->options;
    struct snug_session_options session = snug_session_options_default();
    session.ops = o->ops ? o->ops : snug_ops_find(NULL);
    session.pool = o->pool;
    session.device = o->device ? o->device : snug_device_cpu();
    session.kv_dtype = o->kv_dtype;
    session.image_token_id = reader->image_tokens.context;
    if (o->progress) {
        session.goes_on = snug_reader_still_goes_on;
        session.goes_on_context = reader;
    }
    if (o->parallel)
        session.slots = o->parallel;
    if (o->vision_batch)
        session.vision_batch = o->vision_batch;
    if (o->prefill_chunk)
        session.prefill_chunk = o->prefill_chunk;
    return session;
}

static struct snug_ladder_options ladder_options(struct snug_reader *reader,
                                                 const struct snug_forecast_request *request)
{
    const struct snug_reader_options *o = &reader->options;
    struct snug_ladder_options ladder = {
        .rungs = o->rungs.count ? o->rungs : snug_rungs_all(o->device_count > 0),
        .forced = o->rungs.count == 1,
        .no_fallback = o->no_fallback,
        .elastic = o->elastic,
        .watermark_bytes = SIZE_MAX,
        .device_count = o->device_count,
        .session = session_options(reader),
        .tokens = request->tokens,
        .tiles = request->tiles,
        .event = o->event,
        .event_context = o->event_context};
    memcpy(ladder.devices, o->devices, sizeof ladder.devices);
    memcpy(ladder.speeds, o->speeds, sizeof ladder.speeds);
    memcpy(ladder.budget_bytes, o->device_budget_bytes, sizeof ladder.budget_bytes);
    return ladder;
}

/* Weights in the place of their outline, and regions, on the first rung that fits. */
static enum snug_status load(struct snug_reader *reader, const struct snug_folder *folder,
                             const struct snug_forecast_request *request, struct snug_error *error)
{
    const struct snug_ladder_options options = ladder_options(reader, request);
    struct snug_model *opened = NULL;
    double start = snug_clock_ms();
    SNUG_TRY(snug_model_open(folder, options.session.device, &reader->options.model,
                             reader->allocator, &opened, error));
    snug_model_free(reader->model);
    reader->model = opened;
    SNUG_TRY(snug_ladder_open(&reader->ladder, opened, &options, reader->allocator, error));
    opened->load_ms = snug_clock_ms() - start;
    if (!snug_ladder_may_replay(&reader->ladder))
        snug_model_release_source(opened);
    return SNUG_STATUS_OK;
}

/* On devices the rung that was entered says what is taken. */
static enum snug_status forecast_rung(struct snug_reader *reader,
                                      struct snug_forecast_request *request,
                                      struct snug_error *error)
{
    const struct snug_ladder *ladder = &reader->ladder;
    uint64_t left = snug_memory_available();
    request->model = reader->model;
    request->placing = ladder->plan.placing;
    request->parallel = ladder->plan.slots;
    if (request->placing.device_count)
        request->granularity = reader->options.devices[1]->granularity;
    if (!reader->options.max_page_bytes || left < reader->options.max_page_bytes)
        reader->options.max_page_bytes = (size_t)left;
    return snug_forecast_make(request, reader->allocator, &reader->forecast, error);
}

enum snug_status snug_reader_open(const struct snug_folder *folder,
                                  const struct snug_schema *schema,
                                  const struct snug_reader_options *options,
                                  const struct snug_allocator *allocator, struct snug_reader **out,
                                  struct snug_error *error)
{
    struct snug_reader *reader = NULL;
    struct snug_forecast_request request;
    SNUG_TRY(snug_reader_prepare(folder, schema, options, false, allocator, &reader, error));
    enum snug_status status = snug_reader_request(reader, &request, error);
    if (!status && !options->device_count) {
        status = snug_forecast_make(&request, allocator, &reader->forecast, error);
        if (!status)
            status = check_fits(reader, folder, &request, error);
    }
    if (!status)
        status = load(reader, folder, &request, error);
    if (!status && options->device_count)
        status = forecast_rung(reader, &request, error);
    if (status) {
        snug_reader_close(reader);
        return status;
    }
    *out = reader;
    return SNUG_STATUS_OK;
}

void snug_reader_close(struct snug_reader *reader)
{
    if (!reader)
        return;
    snug_ladder_close(&reader->ladder);
    snug_text_free(&reader->prompt);
    snug_tokenizer_free(reader->tokenizer);
    snug_model_free(reader->model);
    snug_free(reader->allocator, reader);
}
