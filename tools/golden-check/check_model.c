/* Kind "model": a folder and what the reference computed on it, tensor by tensor, so that the first
 * wrong layer shows in one run. Every case runs twice: with an f32 and with an f16 key/value cache.
 * With --quantize the same tensors say, layer by layer, how far quantised weights move the model.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "model_case.h"

#include <stdio.h>

#define TOLERANCE_F32 1e-5  /* of the reference tensor's largest magnitude */
#define TOLERANCE_F16 2e-3  /* text and logits with an f16 cache */
#define TOLERANCE_ROPE 1e-6 /* relative, an element */

static bool wanted(const struct model_case *c, const char *name)
{
    char last[112];
    json_t *tensors = json_object_get(c->json, "tensors");
    snprintf(last, sizeof last, "%s.last", name);
    return json_object_get(tensors, name) || json_object_get(tensors, last);
}

static bool trace(void *context, const struct snug_step *step, const char *name, const float *data,
                  int64_t rows, int64_t cols)
{
    (void)step;
    struct model_case *c = context;
    if (!wanted(c, name))
        return true;
    for (size_t i = 0; i < c->caught_count; i++)
        if (!strcmp(c->caught[i].name, name))
            return true; /* decode steps make them again */
    return golden_case_catch(c, name, data, rows, cols);
}

/* ---- comparing ---- */

static void compare(struct model_case *c, const char *name, const float *have, int64_t have_count,
                    const float *want, int64_t count)
{
    bool rope = !strncmp(name, "rope.", 5);
    bool exactish = !strncmp(name, "vision.", 7) || !strncmp(name, "projector.", 10);
    double factor = c->kv_dtype == SNUG_DTYPE_F32 || exactish ? TOLERANCE_F32 : TOLERANCE_F16;
    golden_case_compare(c, name, have, have_count, want, count,
                        rope ? TOLERANCE_ROPE : factor * golden_case_largest(want, count));
}

static void compare_caught(struct model_case *c, const char *name)
{
    char base[96];
    snprintf(base, sizeof base, "%s", name);
    bool last = snug_text_ends_with_ignore_case(name, ".last");
    if (last)
        base[strlen(base) - 5] = 0;
    const struct caught *caught = golden_case_find(c, base);
    int64_t count = 0;
    float *want = golden_case_values(c, name, &count);
    if (want && !caught)
        golden_fail(c->g, golden_case_line(c, name), "nothing of this name was computed");
    else if (want && last)
        compare(c, name, caught->data + (caught->rows - 1) * caught->cols, caught->cols, want,
                count);
    else if (want)
        compare(c, name, caught->data, caught->rows * caught->cols, want, count);
    snug_free(c->g->allocator, want);
}

/* ---- running ---- */

static void catch_cache(struct model_case *c, const struct snug_session *session,
                        const char *suffix)
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
        golden_case_catch(c, name, copy, 1, count);
    }
    snug_free(c->g->allocator, copy);
}

static void catch_frequencies(struct model_case *c, int64_t steps)
{
    const struct snug_text_config *t = &c->model->config.text;
    int64_t width = t->head_dim / 2;
    float *rows = snug_alloc_array(c->g->allocator, (size_t)(width * (steps + 1)), sizeof *rows);
    if (!rows)
        return;
    snug_rope_frequencies(&t->rope, t->head_dim, c->count, rows);
    golden_case_catch(c, "rope.inv_freq", rows, 1, width);
    for (int64_t i = 0; i < steps; i++)
        snug_rope_frequencies(&t->rope, t->head_dim, c->count + i + 1, rows + i * width);
    if (steps)
        golden_case_catch(c, "rope.inv_freq.decode", rows, steps, width);
    snug_free(c->g->allocator, rows);
}

/* Greedy continuation; catches what is wanted at its end. */
static enum snug_status run_greedy(struct model_case *c, struct snug_session *session,
                                   const float *logits, struct snug_error *error)
{
    json_t *tokens = json_object_get(json_object_get(c->json, "greedy"), "tokens");
    int64_t steps = (int64_t)json_array_size(tokens);
    catch_frequencies(c, steps > 0 ? steps - 1 : 0);
    if (steps)
        SNUG_TRY(golden_case_greedy(c, "greedy", session, &logits, tokens, error));
    catch_cache(c, session, ".end");
    golden_case_catch(c, "logits.end", logits, 1, c->model->config.text.vocabulary);
    return SNUG_STATUS_OK;
}

static enum snug_status run_model(struct model_case *c, struct snug_error *error)
{
    int64_t tiles = 0, elements = 0,
            tile = 3 * c->model->config.tiles.tile_side * c->model->config.tiles.tile_side;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(c->json, "tiles"), i, value) tiles +=
        json_integer_value(value);
    float *pixels = tiles ? golden_case_values(c, "pixel_values", &elements) : NULL;
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
static void expand_prompt(const struct model_case *c, const char *prompt, struct snug_text *out)
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

static void check_prompt(struct model_case *c)
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
        golden_fail(c->g, golden_case_line(c, "prompt"), "%s", error.message);
    else if ((int64_t)ids.count != c->count ||
             memcmp(ids.data, c->ids, ids.count * sizeof *ids.data))
        golden_fail(c->g, golden_case_line(c, "prompt"),
                    "%zu ids differ from the %lld of the reference", ids.count,
                    (long long)c->count);
    else
        golden_pass(c->g, golden_case_line(c, "prompt"), "%zu ids equal", ids.count);
    snug_ids_free(&ids);
    snug_text_free(&text);
}

/* ---- cases ---- */

static void check_case(struct model_case *c)
{
    struct snug_error error;
    const char *key;
    json_t *value;
    if (c->kv_dtype == SNUG_DTYPE_F32)
        check_prompt(c);
    enum snug_status status = run_model(c, &error);
    if (status)
        golden_fail(c->g, golden_case_line(c, "run"), "%s: %s", snug_status_text(status),
                    error.message);
    else
        json_object_foreach(json_object_get(c->json, "tensors"), key,
                            value) if (strcmp(key, "pixel_values")) compare_caught(c, key);
    golden_case_forget(c);
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
    struct model_case c = {.g = g,
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
        golden_fail(g, golden_case_line(&c, "reference"), "%s",
                    path ? error.message : "out of memory");
    else if (!golden_case_read_ids(&c))
        golden_fail(g, golden_case_line(&c, "reference"), "no input_ids");
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
