/* Kind "model": a folder and what the reference computed on it, tensor by tensor, so that the first
 * wrong layer shows in one run. Every case runs twice: with an f32 and with an f16 key/value cache.
 * With --quantize the same tensors say, layer by layer, how far quantised weights move the model.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "formats/tokenizer.h"
#include "generate/generate.h"

#include <math.h>
#include <stdio.h>

#define TOLERANCE_F32 1e-5  /* of the reference tensor's largest magnitude */
#define TOLERANCE_F16 2e-3  /* text and logits with an f16 cache */
#define TOLERANCE_ROPE 1e-6 /* relative, an element */
/* Quantised: |have - want| / |want| over a tensor. The golden models are random and a few dozen
 * channels wide, the worst there is; trained ones move less. */
#define TOLERANCE_Q8 0.08
#define TOLERANCE_Q4 0.6

/* One tensor caught while the case ran. */
struct caught {
    char name[96];
    float *data;
    int64_t rows, cols;
};

struct run_case {
    struct golden *g;
    const char *folder; /* for messages: last two parts of the path */
    const char *name;   /* "tile1" */
    json_t *json;
    const struct snug_safetensors *reference;
    struct snug_model *model;
    struct snug_tokenizer *tokenizer; /* may be NULL */
    enum snug_dtype kv_dtype;
    int32_t *ids;
    int64_t count;
    struct caught *caught;
    size_t caught_count;
};

static const char *kv_name(const struct run_case *c)
{
    return c->kv_dtype == SNUG_DTYPE_F32 ? "f32" : "f16";
}

static const char *line_name(const struct run_case *c, const char *tensor)
{
    static char text[256];
    snprintf(text, sizeof text, "%s %s %s %s", c->folder, c->name, kv_name(c), tensor);
    return text;
}

static bool wanted(const struct run_case *c, const char *name)
{
    char last[112];
    json_t *tensors = json_object_get(c->json, "tensors");
    snprintf(last, sizeof last, "%s.last", name);
    return json_object_get(tensors, name) || json_object_get(tensors, last);
}

static bool catch_rows(struct run_case *c, const char *name, const float *data, int64_t rows,
                       int64_t cols)
{
    struct caught *grown =
        snug_realloc_array(c->g->allocator, c->caught, c->caught_count + 1, sizeof *grown);
    if (!grown)
        return false;
    c->caught = grown;
    struct caught *new = &grown[c->caught_count];
    *new = (struct caught){.rows = rows, .cols = cols};
    snprintf(new->name, sizeof new->name, "%s", name);
    new->data = snug_alloc_array(c->g->allocator, (size_t)(rows * cols), sizeof *new->data);
    if (!new->data)
        return false;
    memcpy(new->data, data, (size_t)(rows * cols) * sizeof *data);
    c->caught_count++;
    return true;
}

static bool trace(void *context, const struct snug_step *step, const char *name, const float *data,
                  int64_t rows, int64_t cols)
{
    (void)step;
    struct run_case *c = context;
    if (!wanted(c, name))
        return true;
    for (size_t i = 0; i < c->caught_count; i++)
        if (!strcmp(c->caught[i].name, name))
            return true; /* decode steps make them again */
    return catch_rows(c, name, data, rows, cols);
}

static const struct caught *find_caught(const struct run_case *c, const char *name)
{
    for (size_t i = 0; i < c->caught_count; i++)
        if (!strcmp(c->caught[i].name, name))
            return &c->caught[i];
    return NULL;
}

/* ---- comparing ---- */

static double largest(const float *data, int64_t count)
{
    double max = 0;
    for (int64_t i = 0; i < count; i++)
        max = fabs((double)data[i]) > max ? fabs((double)data[i]) : max;
    return max;
}

/* |have - want| / |want|. */
static void compare_quantized(struct run_case *c, const char *name, const float *have,
                              const float *want, int64_t count)
{
    double difference = 0, size = 0;
    double allowed = c->g->quantize == SNUG_QUANT_Q8 ? TOLERANCE_Q8 : TOLERANCE_Q4;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)have[i] - (double)want[i];
        difference += d * d;
        size += (double)want[i] * (double)want[i];
    }
    double relative = size > 0 ? sqrt(difference / size) : sqrt(difference);
    if (relative <= allowed)
        golden_pass(c->g, line_name(c, name), "relative error %.3f %%", 100 * relative);
    else
        golden_fail(c->g, line_name(c, name), "relative error %.3f %%, allowed %.0f %%",
                    100 * relative, 100 * allowed);
}

static void compare(struct run_case *c, const char *name, const float *have, int64_t have_count,
                    const float *want, int64_t count)
{
    bool rope = !strncmp(name, "rope.", 5);
    bool exactish = !strncmp(name, "vision.", 7) || !strncmp(name, "projector.", 10);
    double factor = c->kv_dtype == SNUG_DTYPE_F32 || exactish ? TOLERANCE_F32 : TOLERANCE_F16;
    double allowed = rope ? TOLERANCE_ROPE : factor * largest(want, count), worst = 0;
    int64_t at = 0;
    if (have_count != count) {
        golden_fail(c->g, line_name(c, name), "has %lld elements, the reference %lld",
                    (long long)have_count, (long long)count);
        return;
    }
    if (c->g->quantize != SNUG_QUANT_NONE && !rope) {
        compare_quantized(c, name, have, want, count);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double difference = fabs((double)have[i] - (double)want[i]);
        if (rope)
            difference /= fabs((double)want[i]);
        if (!(difference <= worst)) { /* a NaN counts as the worst */
            worst = difference;
            at = i;
        }
    }
    if (worst <= allowed)
        golden_pass(c->g, line_name(c, name), "largest error %.3g, allowed %.3g", worst, allowed);
    else
        golden_fail(c->g, line_name(c, name),
                    "largest error %.3g, allowed %.3g: element %lld is %.9g, not %.9g", worst,
                    allowed, (long long)at, (double)have[at], (double)want[at]);
}

/* Reference values as f32; NULL after a golden_fail. */
static float *reference_values(struct run_case *c, const char *name, int64_t *count)
{
    const struct snug_tensor_view *view = snug_safetensors_find(c->reference, name);
    if (!view || (view->dtype != SNUG_DTYPE_F32 && view->dtype != SNUG_DTYPE_F16 &&
                  view->dtype != SNUG_DTYPE_BF16)) {
        golden_fail(c->g, line_name(c, name), "the reference has no such tensor of floats");
        return NULL;
    }
    float *values = snug_alloc_array(c->g->allocator, (size_t)view->elements + 1, sizeof *values);
    if (values) {
        snug_widen(view->dtype, view->data, view->elements, values);
        *count = view->elements;
    } else
        golden_fail(c->g, line_name(c, name), "out of memory");
    return values;
}

static void compare_caught(struct run_case *c, const char *name)
{
    char base[96];
    snprintf(base, sizeof base, "%s", name);
    bool last = snug_text_ends_with_ignore_case(name, ".last");
    if (last)
        base[strlen(base) - 5] = 0;
    const struct caught *caught = find_caught(c, base);
    int64_t count = 0;
    float *want = reference_values(c, name, &count);
    if (want && !caught)
        golden_fail(c->g, line_name(c, name), "nothing of this name was computed");
    else if (want && last)
        compare(c, name, caught->data + (caught->rows - 1) * caught->cols, caught->cols, want,
                count);
    else if (want)
        compare(c, name, caught->data, caught->rows * caught->cols, want, count);
    snug_free(c->g->allocator, want);
}

/* ---- running ---- */

static void catch_cache(struct run_case *c, const struct snug_session *session, const char *suffix)
{
    const struct snug_text_config *t = &c->model->config.text;
    int64_t count = t->kv_heads * session->slots[0].positions * t->head_dim;
    float *copy = snug_alloc_array(c->g->allocator, (size_t)count, sizeof *copy);
    for (int i = 0; copy && i < t->layers * 2; i++) {
        char name[96];
        snprintf(name, sizeof name, "text.%c.%d%s", i % 2 ? 'v' : 'k', i / 2, suffix);
        if (!wanted(c, name))
            continue;
        snug_session_cache(session, i / 2, i % 2, copy);
        catch_rows(c, name, copy, 1, count);
    }
    snug_free(c->g->allocator, copy);
}

static void catch_frequencies(struct run_case *c, int64_t steps)
{
    const struct snug_text_config *t = &c->model->config.text;
    int64_t width = t->head_dim / 2;
    float *rows = snug_alloc_array(c->g->allocator, (size_t)(width * (steps + 1)), sizeof *rows);
    if (!rows)
        return;
    snug_rope_frequencies(&t->rope, t->head_dim, c->count, rows);
    catch_rows(c, "rope.inv_freq", rows, 1, width);
    for (int64_t i = 0; i < steps; i++)
        snug_rope_frequencies(&t->rope, t->head_dim, c->count + i + 1, rows + i * width);
    if (steps)
        catch_rows(c, "rope.inv_freq.decode", rows, steps, width);
    snug_free(c->g->allocator, rows);
}

/* How many ids a quantised model shares with the reference, and how close the first other one was:
 * what separates the two logits, in standard deviations of all. */
static void report_greedy(struct run_case *c, int64_t steps, int64_t wrong, int64_t different,
                          double margin)
{
    if (wrong < 0)
        golden_pass(c->g, line_name(c, "greedy"), "%lld ids equal", (long long)steps);
    else if (c->g->quantize == SNUG_QUANT_Q4 || margin < 0.5)
        golden_pass(c->g, line_name(c, "greedy"),
                    "%lld of %lld ids equal, the first %lld on end; there the two logits are %.4f "
                    "standard deviations apart",
                    (long long)(steps - different), (long long)steps, (long long)wrong, margin);
    else
        golden_fail(c->g, line_name(c, "greedy"),
                    "the id of step %lld differs by %.4f standard deviations", (long long)wrong,
                    margin);
}

static double deviation(const float *logits, int64_t count)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)logits[i];
    for (int64_t i = 0; i < count; i++)
        squares +=
            ((double)logits[i] - sum / (double)count) * ((double)logits[i] - sum / (double)count);
    return sqrt(squares / (double)count);
}

/* Greedy continuation, token by token; compares ids and catches what is wanted at the end. */
static enum snug_status run_greedy(struct run_case *c, struct snug_session *session,
                                   const float *logits, struct snug_error *error)
{
    json_t *tokens = json_object_get(json_object_get(c->json, "greedy"), "tokens");
    int64_t steps = (int64_t)json_array_size(tokens), wrong = -1, found = -1, different = 0;
    double margin = 0;
    const struct snug_ops *ops = session->options.ops;
    catch_frequencies(c, steps > 0 ? steps - 1 : 0);
    for (int64_t i = 0; i < steps; i++) {
        struct snug_logit_stats stats = {.count = c->model->config.text.vocabulary,
                                         .logits = logits};
        enum snug_status status = ops->logit_stats(&stats, session->options.pool);
        int64_t expected = json_integer_value(json_array_get(tokens, (size_t)i));
        different += !status && stats.argmax != expected;
        if (!status && stats.argmax != expected && wrong < 0) {
            wrong = i;
            found = stats.argmax;
            margin = ((double)logits[found] - (double)logits[expected]) /
                     deviation(logits, c->model->config.text.vocabulary);
        }
        if (!status && i + 1 < steps)
            status = snug_session_step(session, (int32_t)expected, &logits, error);
        if (status)
            return status;
    }
    catch_cache(c, session, ".end");
    catch_rows(c, "logits.end", logits, 1, c->model->config.text.vocabulary);
    if (steps && c->g->quantize != SNUG_QUANT_NONE)
        report_greedy(c, steps, wrong, different, margin);
    else if (steps && wrong < 0)
        golden_pass(c->g, line_name(c, "greedy"), "%lld ids equal", (long long)steps);
    else if (steps)
        golden_fail(c->g, line_name(c, "greedy"), "step %lld gives id %lld, not %lld",
                    (long long)wrong, (long long)found,
                    (long long)json_integer_value(json_array_get(tokens, (size_t)wrong)));
    return SNUG_STATUS_OK;
}

static enum snug_status run_model(struct run_case *c, struct snug_error *error)
{
    int64_t tiles = 0, elements = 0,
            tile = 3 * c->model->config.tiles.tile_side * c->model->config.tiles.tile_side;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(c->json, "tiles"), i, value) tiles +=
        json_integer_value(value);
    float *pixels = tiles ? reference_values(c, "pixel_values", &elements) : NULL;
    struct snug_session_options options = snug_session_options_default();
    options.ops = snug_ops_find(c->g->isa);
    options.pool = c->g->pool;
    options.kv_dtype = c->kv_dtype;
    options.vision_batch = tiles ? tiles : 1;
    options.prefill_chunk = c->count;
    options.all_logits = true;
    options.trace = trace;
    options.trace_context = c;
    if (c->model->config.image_token_id < 0 && c->tokenizer)
        options.image_token_id = snug_tokenizer_added_id(c->tokenizer, "<IMG_CONTEXT>");
    struct snug_session session;
    const float *logits = NULL;
    int64_t room = c->count + (int64_t)json_array_size(
                                  json_object_get(json_object_get(c->json, "greedy"), "tokens"));
    snug_session_init(&session, c->model, &options, c->g->allocator);
    enum snug_status status = SNUG_STATUS_OK;
    if (tiles && (!pixels || elements != tiles * tile))
        status = snug_error_set(error, SNUG_STATUS_SHAPE,
                                "pixel_values has %lld elements for %lld tiles of %lld",
                                (long long)elements, (long long)tiles, (long long)tile);
    if (!status)
        status = snug_session_begin(&session, room, tiles, error);
    if (!status && tiles)
        status = snug_session_see(&session, pixels, tiles, error);
    if (!status)
        status = snug_session_prompt(&session, c->ids, c->count, &logits, error);
    if (!status) {
        catch_cache(c, &session, "");
        logits += (c->count - 1) * c->model->config.text.vocabulary;
        status = run_greedy(c, &session, logits, error);
    }
    snug_session_free(&session);
    snug_free(c->g->allocator, pixels);
    return status;
}

/* ---- the prompt's ids ---- */

/* The prompt with each placeholder replaced by its picture's tokens. */
static void expand_prompt(const struct run_case *c, const char *prompt, struct snug_text *out)
{
    json_t *tiles = json_object_get(c->json, "tiles");
    size_t image = 0;
    while (*prompt) {
        size_t length = !strncmp(prompt, "<IMG_CONTEXT>", 13) ? 13
                        : !strncmp(prompt, "<image>", 7)      ? 7
                                                              : 0;
        if (!length || image == json_array_size(tiles)) {
            snug_text_putc(out, *prompt++);
            continue;
        }
        int64_t rows =
            json_integer_value(json_array_get(tiles, image++)) * c->model->config.tokens_per_tile;
        snug_text_puts(out, "<img>");
        while (rows-- > 0)
            snug_text_puts(out, "<IMG_CONTEXT>");
        snug_text_puts(out, "</img>");
        prompt += length;
    }
}

static void check_prompt(struct run_case *c)
{
    const char *prompt = json_string_value(json_object_get(c->json, "prompt"));
    struct snug_error error;
    struct snug_text text;
    struct snug_ids ids;
    if (!c->tokenizer || !prompt)
        return;
    snug_text_init(&text, c->g->allocator, SNUG_MAX_ANSWER_BYTES);
    snug_ids_init(&ids, c->g->allocator);
    expand_prompt(c, prompt, &text);
    enum snug_status status = snug_tokenizer_encode(c->tokenizer, snug_text_c(&text), text.length,
                                                    SNUG_ADDED_TOKENS_ALL, &ids, &error);
    if (status)
        golden_fail(c->g, line_name(c, "prompt"), "%s", error.message);
    else if ((int64_t)ids.count != c->count ||
             memcmp(ids.data, c->ids, ids.count * sizeof *ids.data))
        golden_fail(c->g, line_name(c, "prompt"), "%zu ids differ from the %lld of the reference",
                    ids.count, (long long)c->count);
    else
        golden_pass(c->g, line_name(c, "prompt"), "%zu ids equal", ids.count);
    snug_ids_free(&ids);
    snug_text_free(&text);
}

/* ---- cases ---- */

static bool read_ids(struct run_case *c)
{
    json_t *list = json_object_get(c->json, "input_ids"), *value;
    size_t i;
    c->count = (int64_t)json_array_size(list);
    c->ids = snug_alloc_array(c->g->allocator, (size_t)c->count + 1, sizeof *c->ids);
    if (!c->ids || !c->count)
        return false;
    json_array_foreach(list, i, value) c->ids[i] = (int32_t)json_integer_value(value);
    return true;
}

static void check_case(struct run_case *c)
{
    struct snug_error error;
    const char *key;
    json_t *value;
    if (c->kv_dtype == SNUG_DTYPE_F32)
        check_prompt(c);
    enum snug_status status = run_model(c, &error);
    if (status)
        golden_fail(c->g, line_name(c, "run"), "%s: %s", snug_status_text(status), error.message);
    else
        json_object_foreach(json_object_get(c->json, "tensors"), key,
                            value) if (strcmp(key, "pixel_values")) compare_caught(c, key);
    for (size_t i = 0; i < c->caught_count; i++)
        snug_free(c->g->allocator, c->caught[i].data);
    snug_free(c->g->allocator, c->caught);
    c->caught = NULL;
    c->caught_count = 0;
}

static void check_file(struct golden *g, const char *shown, const char *expected, const char *file,
                       struct snug_model *model, struct snug_tokenizer *tokenizer)
{
    char name[128], tensors[160];
    struct snug_blob blob = {0};
    struct snug_safetensors *reference = NULL;
    struct snug_error error;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 5), file);
    json_t *json = golden_json(g, expected, file);
    if (!json || !json_object_get(json, "tensors")) { /* notes beside the cases */
        json_decref(json);
        return;
    }
    const char *named = json_string_value(json_object_get(json, "safetensors"));
    snprintf(tensors, sizeof tensors, "%s.safetensors", name);
    char *path = snug_path_join(g->allocator, expected, named ? named : tensors);
    struct run_case c = {.g = g,
                         .folder = shown,
                         .name = name,
                         .json = json,
                         .model = model,
                         .tokenizer = tokenizer};
    enum snug_status status = path ? snug_file_map(path, &blob, &error) : SNUG_STATUS_MEMORY;
    if (!status)
        status = snug_safetensors_open_blob(&blob, path, g->allocator, &reference, &error);
    c.reference = reference;
    if (status)
        golden_fail(g, line_name(&c, "reference"), "%s", path ? error.message : "out of memory");
    else if (!read_ids(&c))
        golden_fail(g, line_name(&c, "reference"), "no input_ids");
    else
        for (int i = 0; i < 2; i++) {
            c.kv_dtype = i ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
            check_case(&c);
        }
    snug_free(g->allocator, c.ids);
    snug_safetensors_close(reference);
    snug_free(g->allocator, path);
    json_decref(json);
}

void golden_check_model(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest; /* family internvl: main looked */
    struct snug_folder model_folder = {.path = folder, .allocator = g->allocator};
    struct snug_model *model = NULL;
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_directory directory = {0};
    struct snug_error error;
    const char *shown = snug_path_base(folder);
    char *expected = snug_path_join(g->allocator, folder, "expected");
    struct snug_model_options options = snug_model_options_default();
    options.quantize = g->quantize;
    enum snug_status status = snug_model_load(&model_folder, snug_device_cpu(), g->pool, &options,
                                              g->allocator, &model, &error);
    if (!status && (snug_folder_has(&model_folder, "tokenizer.json") ||
                    snug_folder_has(&model_folder, "vocab.json")))
        status = snug_tokenizer_load(&model_folder, g->allocator, &tokenizer, &error);
    if (!status)
        status = snug_directory_read(expected, SNUG_MAX_DIRECTORY_ENTRIES, g->allocator, &directory,
                                     &error);
    if (status)
        golden_fail(g, shown, "%s", error.message);
    for (size_t i = 0; !status && i < directory.count; i++)
        if (snug_text_ends_with_ignore_case(directory.names[i], ".json"))
            check_file(g, shown, expected, directory.names[i], model, tokenizer);
    snug_directory_free(&directory);
    snug_tokenizer_free(tokenizer);
    snug_model_free(model);
    snug_free(g->allocator, expected);
}
