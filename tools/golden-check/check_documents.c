/* Kind "documents": pictures through the whole product (decoder, tiles, prompt, model, tokens),
 * twice: with an f32 and with an f16 key/value cache. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "extract/reader.h"

#include <stdio.h>

#define MAX_NEW_TOKENS 600 /* as the reference ran */

struct documents {
    struct golden *g;
    char *model, *folder;
    struct snug_schema *schema; /* of the last row's fields */
    struct snug_text schema_json;
    struct snug_reader *readers[2]; /* f32, f16 */
};

static void close_readers(struct documents *d)
{
    for (int i = 0; i < 2; i++) {
        snug_reader_close(d->readers[i]);
        d->readers[i] = NULL;
    }
    snug_schema_free(d->schema);
    d->schema = NULL;
}

/* A schema of just these field names: the prompt needs no more. */
static void write_schema(struct snug_text *out, json_t *fields)
{
    size_t i;
    json_t *name;
    snug_text_puts(out, "{\"name\": \"golden\", \"fields\": [");
    json_array_foreach(fields, i, name)
    {
        snug_text_puts(out,
                       i ? ", {\"type\": \"text\", \"name\": " : "{\"type\": \"text\", \"name\": ");
        snug_json_put_string(out, json_string_value(name));
        snug_text_putc(out, '}');
    }
    snug_text_puts(out, "]}");
}

/* Readers for these fields; kept while the rows ask for the same. */
static enum snug_status open_readers(struct documents *d, json_t *fields, struct snug_error *error)
{
    struct snug_text wanted;
    struct snug_folder folder = {.path = d->model, .allocator = d->g->allocator};
    enum snug_status status = SNUG_STATUS_OK;
    snug_text_init(&wanted, d->g->allocator, SNUG_MAX_SCHEMA_BYTES);
    write_schema(&wanted, fields);
    if (d->readers[1] && !strcmp(snug_text_c(&wanted), snug_text_c(&d->schema_json))) {
        snug_text_free(&wanted);
        return status;
    }
    close_readers(d);
    snug_text_free(&d->schema_json);
    d->schema_json = wanted;
    status = snug_schema_parse(snug_text_c(&wanted), wanted.length, "fields of the row",
                               d->g->allocator, &d->schema, error);
    for (int i = 0; !status && i < 2; i++) {
        struct snug_reader_options options = snug_reader_options_default();
        options.ops = snug_ops_find(d->g->isa);
        options.pool = d->g->pool;
        options.kv_dtype = i ? SNUG_DTYPE_F16 : SNUG_DTYPE_F32;
        options.max_new_tokens = MAX_NEW_TOKENS;
        status =
            snug_reader_open(&folder, d->schema, &options, d->g->allocator, &d->readers[i], error);
    }
    return status;
}

/* First index at which the list and the ids differ; -1 if they are equal (up to `limit` if that is
 * >= 0). */
static int64_t first_difference(json_t *list, const int32_t *ids, int64_t count, int64_t limit)
{
    int64_t wanted = (int64_t)json_array_size(list), longest = wanted > count ? wanted : count;
    if (limit >= 0 && limit < longest)
        longest = limit;
    for (int64_t i = 0; i < longest; i++)
        if (i >= wanted || i >= count ||
            json_integer_value(json_array_get(list, (size_t)i)) != ids[i])
            return i;
    return -1;
}

/* The f16 cache may differ from where the reference's own f16 cache or a small margin says so. */
static int64_t f16_limit(json_t *row)
{
    static const char *const keys[2] = {"first_margin_below_0_02", "f16_cache_differs_at"};
    int64_t limit = -1;
    for (int i = 0; i < 2; i++) {
        json_t *value = json_object_get(row, keys[i]);
        int64_t at = json_is_integer(value) ? json_integer_value(value) : -1;
        if (at >= 0 && (limit < 0 || at < limit))
            limit = at;
    }
    return limit;
}

static void check_run(struct documents *d, json_t *row, const char *document,
                      const struct snug_blob *blob, int kv)
{
    char name[256];
    struct snug_arena arena;
    struct snug_reading reading;
    struct snug_error error;
    snprintf(name, sizeof name, "%s %s", document, kv ? "f16" : "f32");
    snug_arena_init(&arena, d->g->allocator);
    struct snug_bytes bytes = snug_bytes_of(document, blob->data, blob->size);
    enum snug_status status = snug_reader_ask(d->readers[kv], &bytes, &arena, &reading, &error);
    if (status) {
        golden_fail(d->g, name, "%s", error.message);
        snug_arena_free(&arena);
        return;
    }
    int64_t prompt = first_difference(json_object_get(row, "prompt_ids"), reading.prompt_ids,
                                      reading.prompt_count, -1);
    int64_t limit = kv ? f16_limit(row) : -1;
    int64_t output =
        first_difference(json_object_get(row, "output_ids"), reading.ids, reading.count, limit);
    const char *text = json_string_value(json_object_get(row, "output_text"));
    bool same_text = limit >= 0 || !text || output >= 0 || !strcmp(text, reading.raw);
    if (prompt >= 0)
        golden_fail(d->g, name, "prompt id %lld differs", (long long)prompt);
    else if (output >= 0)
        golden_fail(d->g, name, "output id %lld differs", (long long)output);
    else if (!same_text)
        golden_fail(d->g, name, "the ids agree, but the text does not: '%.60s'", reading.raw);
    else if (limit >= 0)
        golden_pass(d->g, name, "%lld prompt ids, first %lld output ids equal",
                    (long long)reading.prompt_count, (long long)limit);
    else
        golden_pass(d->g, name, "%lld prompt ids, %lld output ids equal",
                    (long long)reading.prompt_count, (long long)reading.count);
    snug_arena_free(&arena);
}

static void check_row(struct golden *g, void *context, int line, json_t *row)
{
    struct documents *d = context;
    const char *document = json_string_value(json_object_get(row, "document"));
    struct snug_blob blob = {0};
    struct snug_error error;
    char name[64];
    snprintf(name, sizeof name, "row %d", line);
    if (!document) {
        golden_fail(g, name, "no \"document\"");
        return;
    }
    char *path = snug_path_join(g->allocator, d->folder, document);
    enum snug_status status =
        path ? snug_file_read(path, SNUG_MAX_DOCUMENT_BYTES, g->allocator, &blob, &error)
             : snug_error_memory(&error, 0, "a path");
    if (!status)
        status = open_readers(d, json_object_get(row, "fields"), &error);
    if (status)
        golden_fail(g, document, "%s", error.message);
    else
        for (int kv = 0; kv < 2; kv++)
            check_run(d, row, document, &blob, kv);
    snug_blob_free(&blob);
    snug_free(g->allocator, path);
}

void golden_check_documents(struct golden *g, const char *folder, json_t *manifest)
{
    const char *model = json_string_value(json_object_get(manifest, "model"));
    const char *documents = json_string_value(json_object_get(manifest, "documents"));
    const char *cases = json_string_value(json_object_get(manifest, "cases"));
    struct documents d = {.g = g};
    if (!model || !documents || !cases) {
        golden_fail(g, folder, "manifest.json: model, documents and cases must be paths");
        return;
    }
    d.model = snug_path_join(g->allocator, folder, model);
    d.folder = snug_path_join(g->allocator, folder, documents);
    snug_text_init(&d.schema_json, g->allocator, SNUG_MAX_SCHEMA_BYTES);
    if (!d.model || !d.folder || !golden_jsonl(g, folder, cases, check_row, &d))
        golden_fail(g, folder, "%s cannot be read", cases);
    close_readers(&d);
    snug_text_free(&d.schema_json);
    snug_free(g->allocator, d.model);
    snug_free(g->allocator, d.folder);
}
