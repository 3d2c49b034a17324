/* Kind "model", family mllama, and kind "mllama-masks": Llama-3.2-Vision against what three codes
 * compute (semantics; golden/mllama/README.md), tensor by tensor. Nothing is left out for tiles
 * that a picture does not use (every_tile), so that their rows are compared too; the rows of ours
 * are put in the reference's order first. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "model_case.h"

#include "document/image.h"
#include "generate/session_internal.h"

#include <math.h>
#include <stdio.h>

#define TOLERANCE_ROPE 1e-6 /* relative, an element */
#define MAX_PICTURES 8

struct tolerance {
    double factor, add, f16;
};

/* A case's pictures, as bytes of tiles. */
struct pictures {
    int count;
    struct snug_tile_grid grids[MAX_PICTURES];
    unsigned char *tiles[MAX_PICTURES];
};

static const struct {
    const char *name;
    enum snug_semantics semantics;
} variants[] = {
    {"meta", SNUG_SEMANTICS_META}, {"hf4", SNUG_SEMANTICS_HF4}, {"hf5", SNUG_SEMANTICS_HF5}};

/* ---- pictures ---- */

static bool read_picture(struct model_case *c, const char *expected, const char *name,
                         struct pictures *out)
{
    struct snug_bytes bytes = {0};
    struct snug_error error;
    int i = out->count;
    char *path = snug_path_join(c->g->allocator, expected, name);
    enum snug_status status =
        path && i < MAX_PICTURES
            ? snug_bytes_open(path, SNUG_MAX_DOCUMENT_BYTES, c->g->allocator, &bytes, &error)
            : snug_error_memory(&error, 0, "a picture");
    if (!status)
        status = snug_tiles_read(&bytes, NULL, &c->model->config.tiles, c->g->allocator,
                                 &out->grids[i], &out->tiles[i], &error);
    out->count += !status;
    if (status)
        golden_fail(c->g, golden_case_line(c, name), "%s", error.message);
    snug_bytes_close(&bytes);
    snug_free(c->g->allocator, path);
    return !status;
}

static void free_pictures(struct model_case *c, struct pictures *pictures)
{
    for (int i = 0; i < pictures->count; i++)
        snug_free(c->g->allocator, pictures->tiles[i]);
}

/* Pixels of the first picture, exactly. */
static void check_pixels(struct model_case *c, const struct pictures *pictures)
{
    const struct snug_tile_options *options = &c->model->config.tiles;
    const char *want = json_string_value(json_object_get(c->json, "pixel_values_sha256"));
    int64_t tiles = pictures->grids[0].tiles, tile = 3 * options->tile_side * options->tile_side;
    float *pixels = snug_alloc_array(c->g->allocator, (size_t)(tiles * tile), sizeof *pixels);
    char have[65];
    if (!pixels || !want)
        golden_fail(c->g, golden_case_line(c, "pixel_values"), "no sum, or out of memory");
    else {
        for (int64_t t = 0; t < tiles; t++)
            snug_tile_normalise(pictures->tiles[0] + t * tile, options, pixels + t * tile);
        golden_sha256(pixels, (size_t)(tiles * tile) * sizeof *pixels, have);
        if (!strcmp(have, want))
            golden_pass(c->g, golden_case_line(c, "pixel_values"), "%lld tiles equal",
                        (long long)tiles);
        else
            golden_fail(c->g, golden_case_line(c, "pixel_values"), "other values");
    }
    snug_free(c->g->allocator, pixels);
}

/* ---- catching ---- */

/* Ours to theirs, where the names differ. */
static const char *reference_name(const char *name)
{
    if (!strcmp(name, "projector.linear"))
        return "vision.proj";
    if (!strcmp(name, "logits"))
        return "text.logits";
    return strcmp(name, "text.inputs_embeds") ? name : "text.embed";
}

static bool trace(void *context, const struct snug_step *step, const char *name, const float *data,
                  int64_t rows, int64_t cols)
{
    struct model_case *c = context;
    const char *theirs = reference_name(name);
    (void)step;
    if (strncmp(theirs, "vision.", 7) && strncmp(theirs, "text.", 5))
        return true;
    if (!json_object_get(json_object_get(c->json, "tensors"), theirs))
        return true;
    struct caught *before = (struct caught *)(uintptr_t)golden_case_find(c, theirs);
    if (!before)
        return golden_case_catch(c, theirs, data, rows, cols);
    if (strcmp(theirs, "vision.proj"))
        return true; /* decode steps make them again */
    /* used tiles came first, then the others */
    float *both = snug_realloc_array(c->g->allocator, before->data,
                                     (size_t)((before->rows + rows) * cols), sizeof *both);
    if (!both)
        return false;
    memcpy(both + before->rows * cols, data, (size_t)(rows * cols) * sizeof *both);
    before->data = both;
    before->rows += rows;
    return true;
}

/* The tower's rows, tiles and then a row of padding a tile, as the reference has them: each tile
 * with its padding. NULL: it has no padding, or out of memory. */
static float *with_padding(const struct model_case *c, const struct caught *caught)
{
    const struct snug_model_config *config = &c->model->config;
    int64_t n = config->rows_per_tile, padded = snug_padded_rows_per_tile(config),
            tiles = config->vision.max_tiles;
    if (caught->rows != tiles * (n + 1))
        return NULL;
    float *out =
        snug_alloc_array(c->g->allocator, (size_t)(tiles * padded * caught->cols), sizeof *out);
    for (int64_t i = 0; out && i < tiles * padded; i++) {
        int64_t tile = i / padded, row = i % padded;
        int64_t from = row < n ? tile * n + row : tiles * n + tile;
        memcpy(out + i * caught->cols, caught->data + from * caught->cols,
               (size_t)caught->cols * sizeof *out);
    }
    return out;
}

/* Row of the cross-attention cache that holds row `row` of slot `tile` of picture `i`. */
static int64_t cross_row(const struct snug_session *session, int i, int64_t tile, int64_t row)
{
    const struct snug_model_config *config = &session->model->config;
    int64_t n = config->rows_per_tile, slots = config->vision.max_tiles, unused = 0;
    for (int j = 0; j <= i; j++) {
        int64_t first = j ? session->picture_ends[j - 1] : 0;
        int64_t used = (session->picture_ends[j] - first) / n;
        unused += slots - used;
        if (j == i)
            return tile < used ? first + tile * n + row
                               : (session->tiles - unused + tile - used) * n + row;
    }
    return -1;
}

/* Keys or values of a layer, those of pictures in the reference's order. */
static void catch_cache(struct model_case *c, const struct snug_session *session, int layer,
                        bool values, const char *name)
{
    const struct snug_text_config *t = &c->model->config.text;
    const struct snug_vision_config *v = &c->model->config.vision;
    bool cross = t->cross_layer[layer];
    int64_t n = c->model->config.rows_per_tile, hd = t->head_dim;
    int64_t rows = cross ? session->tiles * n : session->slots[0].positions;
    size_t bytes = (size_t)(t->kv_heads * rows * hd) * sizeof(float);
    float *have = snug_alloc(c->g->allocator, bytes), *sorted = snug_alloc(c->g->allocator, bytes);
    if (have && sorted) {
        snug_session_cache(session, layer, values, have);
        memcpy(sorted, have, bytes);
        for (int64_t head = 0; cross && head < t->kv_heads; head++)
            for (int64_t i = 0; i < rows; i++) {
                int64_t tile = i / n;
                int64_t from =
                    cross_row(session, (int)(tile / v->max_tiles), tile % v->max_tiles, i % n);
                memcpy(sorted + (head * rows + i) * hd, have + (head * rows + from) * hd,
                       (size_t)hd * sizeof *sorted);
            }
        golden_case_catch(c, name, sorted, 1, t->kv_heads * rows * hd);
    }
    snug_free(c->g->allocator, have);
    snug_free(c->g->allocator, sorted);
}

static void catch_caches(struct model_case *c, const struct snug_session *session)
{
    for (int i = 0; i < c->model->config.text.layers * 2; i++) {
        char name[96];
        snprintf(name, sizeof name, "text.%c.%d", i % 2 ? 'v' : 'k', i / 2);
        if (json_object_get(json_object_get(c->json, "tensors"), name))
            catch_cache(c, session, i / 2, i % 2, name);
    }
}

/* ---- comparing ---- */

/* name: the reference's tensor; base: the same without a variant in front. */
static void compare(struct model_case *c, const struct tolerance *tolerance, const char *name,
                    const char *base)
{
    const struct caught *caught = golden_case_find(c, base);
    json_t *differences = json_object_get(c->json, "f32_max_abs_diff");
    json_t *difference = json_object_get(differences, name);
    int64_t count = 0;
    if (!difference)
        difference = json_object_get(differences, base);
    float *want = golden_case_values(c, name, &count);
    if (want && !caught)
        golden_fail(c->g, golden_case_line(c, name), "nothing of this name was computed");
    if (want && caught) {
        float *padded = strncmp(base, "vision.", 7) ? NULL : with_padding(c, caught);
        bool f16 = c->kv_dtype == SNUG_DTYPE_F16 && strncmp(base, "vision.", 7);
        double allowed = tolerance->factor * json_number_value(difference) + tolerance->add;
        const float *have = padded ? padded : caught->data;
        int64_t elements = caught->rows * caught->cols;
        if (padded)
            elements = count; /* by construction, and compared in full */
        if (!strcmp(base, "text.logits") && count == caught->cols) { /* of the last row */
            have += (caught->rows - 1) * caught->cols;
            elements = count;
        }
        if (f16)
            allowed = tolerance->f16 * golden_case_largest(want, count);
        golden_case_compare(c, name, have, elements, want, count, allowed);
        snug_free(c->g->allocator, padded);
    }
    snug_free(c->g->allocator, want);
}

/* Every tensor of the variant: those without one in front are META's. */
static void compare_all(struct model_case *c, const struct tolerance *tolerance,
                        const char *variant)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(c->json, "tensors"), key, value)
    {
        bool other = !strncmp(key, "hf4.", 4) || !strncmp(key, "hf5.", 4);
        bool mine = strcmp(variant, "meta") ? !strncmp(key, variant, 3) : !other;
        const char *base = other ? key + 4 : key;
        if (mine && (!strncmp(base, "vision.", 7) || !strncmp(base, "text.", 5)))
            compare(c, tolerance, key, base);
    }
}

/* ---- running ---- */

static struct snug_session_options options_of(struct model_case *c, enum snug_semantics semantics)
{
    struct snug_session_options options = snug_session_options_default();
    options.ops = snug_ops_find(c->g->isa);
    options.pool = c->g->pool;
    options.kv_dtype = c->kv_dtype;
    options.prefill_chunk = c->count ? c->count : 1;
    options.all_logits = true;
    options.every_tile = true;
    options.semantics = semantics;
    options.trace = trace;
    options.trace_context = c;
    return options;
}

static enum snug_status look(struct snug_session *session, const struct pictures *pictures,
                             struct snug_error *error)
{
    for (int i = 0; i < pictures->count; i++) {
        const struct snug_tile_grid *grid = &pictures->grids[i];
        const struct snug_picture picture = {.tiles = grid->tiles,
                                             .rows = grid->rows,
                                             .columns = grid->columns,
                                             .bytes = pictures->tiles[i]};
        SNUG_TRY(snug_session_see_picture(session, &picture, error));
    }
    return SNUG_STATUS_OK;
}

static void run_variant(struct model_case *c, const struct tolerance *tolerance,
                        const struct pictures *pictures, int variant)
{
    const char *name = variants[variant].name;
    json_t *ids =
        json_object_get(json_object_get(json_object_get(c->json, "variants"), name), "greedy_ids");
    struct snug_session_options options = options_of(c, variants[variant].semantics);
    struct snug_session session;
    struct snug_error error;
    const float *logits = NULL;
    char line[32];
    options.pictures = pictures->count;
    int64_t tiles = pictures->count * c->model->config.vision.max_tiles;
    snprintf(line, sizeof line, "%s greedy", name);
    snug_session_init(&session, c->model, &options, c->g->allocator);
    enum snug_status status =
        snug_session_begin(&session, c->count + 1 + (int64_t)json_array_size(ids), tiles, &error);
    if (!status)
        status = look(&session, pictures, &error);
    if (!status && c->count) {
        status = snug_session_prompt(&session, c->ids, c->count, &logits, &error);
        if (!status)
            catch_caches(c, &session);
        if (!status)
            logits += (c->count - 1) * c->model->config.text.vocabulary;
        if (!status && json_array_size(ids))
            status = golden_case_greedy(c, line, &session, &logits, ids, &error);
    }
    if (status)
        golden_fail(c->g, golden_case_line(c, name), "%s: %s", snug_status_text(status),
                    error.message);
    else
        compare_all(c, tolerance, name);
    snug_session_free(&session);
    golden_case_forget(c);
}

static bool has_variant(const struct model_case *c, const char *name)
{
    json_t *known = json_object_get(c->json, "variants");
    bool vision = json_object_get(c->json, "image") != NULL;
    /* hf4's tower is META's */
    return vision ? strcmp(name, "hf4") : json_object_get(known, name) != NULL;
}

static void check_prompt(struct model_case *c)
{
    const char *prompt = json_string_value(json_object_get(c->json, "prompt"));
    struct snug_error error;
    struct snug_ids ids;
    if (!c->tokenizer || !prompt)
        return;
    snug_ids_init(&ids, c->g->allocator);
    enum snug_status status = snug_tokenizer_encode(c->tokenizer, prompt, strlen(prompt),
                                                    SNUG_ADDED_TOKENS_ALL, &ids, &error);
    if (status)
        golden_fail(c->g, golden_case_line(c, "prompt"), "%s", error.message);
    else if ((int64_t)ids.count != c->count ||
             memcmp(ids.data, c->ids, ids.count * sizeof *ids.data))
        golden_fail(c->g, golden_case_line(c, "prompt"), "the ids differ from the reference's");
    else
        golden_pass(c->g, golden_case_line(c, "prompt"), "%zu ids equal", ids.count);
    snug_ids_free(&ids);
}

static void run_case(struct model_case *c, const struct tolerance *tolerance, const char *expected)
{
    struct pictures pictures = {0};
    const char *image = json_string_value(json_object_get(c->json, "image"));
    json_t *images = json_object_get(c->json, "images"), *value;
    bool good = true;
    size_t i;
    if (image)
        good = read_picture(c, expected, image, &pictures);
    json_array_foreach(images, i, value)
    {
        char name[64];
        snprintf(name, sizeof name, "images/%.40s.png", json_string_value(value));
        good = good && read_picture(c, expected, name, &pictures);
    }
    if (good && image)
        check_pixels(c, &pictures);
    if (good && !image)
        check_prompt(c);
    for (int kv = 0; good && kv < (image ? 1 : 2); kv++) {
        c->kv_dtype = kv ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
        for (int variant = 0; variant < 3; variant++)
            if (has_variant(c, variants[variant].name))
                run_variant(c, tolerance, &pictures, variant);
    }
    free_pictures(c, &pictures);
}

/* ---- files ---- */

static void check_file(struct model_case *c, const struct tolerance *tolerance,
                       const char *expected, const char *folder, const char *file)
{
    char name[128], tensors[160];
    struct snug_blob blob = {0};
    struct snug_safetensors *reference = NULL;
    struct snug_error error;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 5), file);
    snprintf(tensors, sizeof tensors, "%s.safetensors", name);
    c->name = name;
    c->kv_dtype = SNUG_DTYPE_F32;
    c->json = golden_json(c->g, folder, file);
    char *path = snug_path_join(c->g->allocator, folder, tensors);
    enum snug_status status =
        path ? snug_file_map(path, &blob, &error) : snug_error_memory(&error, 0, "a path");
    if (!status)
        status = snug_safetensors_open_blob(&blob, path, c->g->allocator, &reference, &error);
    c->reference = reference;
    if (status)
        golden_fail(c->g, golden_case_line(c, "reference"), "%s", error.message);
    else if (c->json) {
        if (!golden_case_read_ids(c))
            c->count = 0; /* a picture alone */
        run_case(c, tolerance, expected);
    }
    snug_free(c->g->allocator, c->ids);
    c->ids = NULL;
    snug_safetensors_close(reference);
    snug_free(c->g->allocator, path);
    json_decref(c->json);
}

static void check_frequencies(struct model_case *c, const char *expected)
{
    const struct snug_text_config *t = &c->model->config.text;
    float have[SNUG_MAX_HEAD_DIM / 2], want[SNUG_MAX_HEAD_DIM / 2];
    json_t *about = golden_json(c->g, expected, "about.json");
    json_t *list = json_object_get(about, "inv_freq");
    int64_t count = (int64_t)json_array_size(list);
    snug_rope_frequencies(&t->rope, t->head_dim, 1, have);
    c->name = "about";
    if (count != t->head_dim / 2)
        golden_fail(c->g, golden_case_line(c, "rope.inv_freq"), "%lld frequencies",
                    (long long)count);
    else {
        for (int64_t i = 0; i < count; i++)
            want[i] = (float)json_number_value(json_array_get(list, (size_t)i));
        golden_case_compare(c, "rope.inv_freq", have, count, want, count, TOLERANCE_ROPE);
    }
    json_decref(about);
}

static void check_cases(struct model_case *c, const struct tolerance *tolerance,
                        const char *expected, const char *kind)
{
    struct snug_directory directory = {0};
    struct snug_error error;
    char *folder = snug_path_join(c->g->allocator, expected, kind);
    enum snug_status status = folder ? snug_directory_read(folder, SNUG_MAX_DIRECTORY_ENTRIES,
                                                           c->g->allocator, &directory, &error)
                                     : snug_error_memory(&error, 0, "a path");
    if (status)
        golden_fail(c->g, c->folder, "%s", error.message);
    for (size_t i = 0; !status && i < directory.count; i++)
        if (snug_text_ends_with_ignore_case(directory.names[i], ".json"))
            check_file(c, tolerance, expected, folder, directory.names[i]);
    snug_directory_free(&directory);
    snug_free(c->g->allocator, folder);
}

void golden_check_mllama(struct golden *g, const char *folder, json_t *manifest)
{
    struct snug_folder model_folder = {.path = folder, .allocator = g->allocator};
    struct snug_error error;
    json_t *t = json_object_get(manifest, "tolerance");
    const struct tolerance tolerance = {json_number_value(json_object_get(t, "factor")),
                                        json_number_value(json_object_get(t, "add")),
                                        json_number_value(json_object_get(t, "f16"))};
    struct model_case c = {.g = g, .folder = snug_path_base(folder)};
    struct snug_model_options options = snug_model_options_default();
    options.quantize = g->quantize;
    char *expected = snug_path_join(g->allocator, folder, "expected");
    enum snug_status status = snug_model_load(&model_folder, snug_device_cpu(), g->pool, &options,
                                              g->allocator, &c.model, &error);
    if (!status)
        status = snug_tokenizer_load(&model_folder, g->allocator, &c.tokenizer, &error);
    if (status || !expected)
        golden_fail(g, c.folder, "%s", status ? error.message : "out of memory");
    else {
        check_frequencies(&c, expected);
        golden_check_chat_json(g, folder);
        check_cases(&c, &tolerance, expected, "vision");
        check_cases(&c, &tolerance, expected, "text");
    }
    snug_tokenizer_free(c.tokenizer);
    snug_model_free(c.model);
    snug_free(g->allocator, expected);
}

/* ---- masks ---- */

/* What a token sees, in the reference's writing: a digit a tile, pictures apart by bars. */
static void write_row(const struct snug_session *session, json_t *tiles, int slots, char *out)
{
    const struct snug_cross_view *view = &session->slots[0].view;
    int64_t row = 0;
    for (size_t i = 0; i < json_array_size(tiles); i++) {
        if (i)
            *out++ = '|';
        int64_t used = json_integer_value(json_array_get(tiles, i));
        for (int64_t t = 0; t < slots; t++) {
            bool seen = t < used && row + t >= view->first && row + t < view->first + view->count;
            *out++ = seen ? '1' : '0';
        }
        row += used;
    }
    *out = 0;
}

static void check_mask(struct golden *g, int index, json_t *json)
{
    json_t *positions = json_object_get(json, "image_positions");
    json_t *tiles = json_object_get(json, "num_tiles"), *rows = json_object_get(json, "dense_rows");
    int64_t length = json_integer_value(json_object_get(json, "length")), wrong = -1, end = 0;
    struct snug_session session = {0};
    size_t image = 0;
    char line[32], row[SNUG_MAX_PICTURES * 5 + 1];
    snprintf(line, sizeof line, "masks.json case %d", index);
    for (size_t i = 0; i < json_array_size(tiles) && i < SNUG_MAX_PICTURES; i++)
        session.picture_ends[session.picture_count++] = end +=
            json_integer_value(json_array_get(tiles, i));
    for (int64_t p = 0, last = -2; p < length; p++) {
        bool is_image = json_integer_value(json_array_get(positions, image)) == p &&
                        image < json_array_size(positions);
        if (p == 0)
            snug_session_forget_view(&session);
        snug_session_follow(&session, is_image && last != p - 1, is_image);
        last = is_image ? p : last;
        image += is_image;
        write_row(&session, tiles, 4, row);
        const char *want = json_string_value(json_array_get(rows, (size_t)p));
        if ((!want || strcmp(row, want)) && wrong < 0)
            wrong = p;
    }
    if (wrong < 0 && length > 0 && session.picture_count == (int64_t)json_array_size(positions))
        golden_pass(g, line, "%lld rows equal", (long long)length);
    else
        golden_fail(g, line, "row %lld differs", (long long)wrong);
}

void golden_check_mllama_masks(struct golden *g, const char *folder, json_t *manifest)
{
    const char *file = json_string_value(json_object_get(manifest, "file"));
    json_t *root = golden_json(g, folder, file ? file : "masks.json"), *value;
    size_t i;
    json_array_foreach(json_object_get(root, "cases"), i, value) check_mask(g, (int)i, value);
    json_decref(root);
}
