/* Reads truth and results into one table of documents by fields.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/documents.h"

#include "base/files.h"
#include "base/json.h"
#include "extract/csv.h"
#include "extract/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_IGNORED 64

struct loader {
    const struct snug_schema *schema;
    const char *file;
    struct snug_error *error;
    struct snug_documents *out;
    const struct snug_allocator *allocator;
    struct snug_document *items; /* from the allocator while it grows, then in the arena */
    size_t *lines;               /* of each document, for messages */
    size_t capacity;
    bool *has_field;
    const char **ignored;
};

static enum snug_status no_memory(struct loader *loader, size_t bytes)
{
    return snug_error_memory(loader->error, bytes, "documents");
}

static bool absent_text(const struct loader *loader, const char *text, size_t length)
{
    return snug_value_is_absent(text, length, loader->schema->absent) ||
           snug_value_is_absent(text, length, NULL);
}

/* Sets *out to the value, trimmed and copied, or to NULL if it is absent. */
static enum snug_status read_value(struct loader *loader, size_t field, const char *text,
                                   const char **out)
{
    size_t start = 0, end = strlen(text);
    snug_value_trim(text, &start, &end);
    bool absent = absent_text(loader, text + start, end - start);
    if (!absent && loader->schema->fields[field].type == SNUG_FIELD_TYPE_LIST) {
        size_t offset = 0, length;
        const char *item;
        absent = true;
        while (absent && snug_list_next(text, &offset, &item, &length))
            absent = absent_text(loader, item, length);
    }
    *out = absent ? NULL : snug_arena_strndup(&loader->out->arena, text + start, end - start);
    return absent || *out != NULL ? SNUG_STATUS_OK : no_memory(loader, end - start);
}

static enum snug_status ignore_name(struct loader *loader, const char *name)
{
    struct snug_documents *out = loader->out;
    for (size_t i = 0; i < out->ignored_count; i++)
        if (strcmp(loader->ignored[i], name) == 0)
            return SNUG_STATUS_OK;
    if (out->ignored_count == MOST_IGNORED)
        return SNUG_STATUS_OK;
    const char *copy = snug_arena_strdup(&out->arena, name);
    if (copy == NULL)
        return no_memory(loader, strlen(name));
    loader->ignored[out->ignored_count++] = copy;
    return SNUG_STATUS_OK;
}

/* Adds a document without values yet; *values is its own, all NULL. */
static enum snug_status add_document(struct loader *loader, const char *path, size_t line,
                                     const char ***values, struct snug_document **document)
{
    struct snug_documents *out = loader->out;
    if (out->count == SNUG_MAX_DOCUMENTS)
        return snug_error_set(loader->error, SNUG_STATUS_LIMIT, "%s: over %d documents",
                              loader->file, SNUG_MAX_DOCUMENTS);
    if (out->count == loader->capacity) {
        size_t capacity = loader->capacity > 0 ? 2 * loader->capacity : 64;
        struct snug_document *items =
            snug_realloc_array(loader->allocator, loader->items, capacity, sizeof *items);
        if (items == NULL)
            return no_memory(loader, capacity * sizeof *items);
        loader->items = items;
        size_t *lines =
            snug_realloc_array(loader->allocator, loader->lines, capacity, sizeof *lines);
        if (lines == NULL)
            return no_memory(loader, capacity * sizeof *lines);
        loader->lines = lines;
        loader->capacity = capacity;
    }
    *values = snug_arena_calloc(&out->arena, loader->schema->field_count, sizeof **values);
    const char *copy = snug_arena_strdup(&out->arena, path);
    if (*values == NULL || copy == NULL)
        return no_memory(loader, loader->schema->field_count * sizeof **values);
    loader->lines[out->count] = line;
    *document = &loader->items[out->count++];
    **document =
        (struct snug_document){.path = copy, .name = snug_path_base(copy), .values = *values};
    return SNUG_STATUS_OK;
}

/* ---- CSV ---- */

#define STATUS_COLUMN (SNUG_NO_FIELD - 1)

static enum snug_status read_header(struct loader *loader, struct snug_csv *csv, size_t *columns)
{
    bool more;
    enum snug_status status = snug_csv_next(csv, &more, loader->error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (!more || csv->count < 2)
        return snug_error_set(
            loader->error, SNUG_STATUS_FORMAT,
            "%s: line %zu: a header is needed: image_file, then the names of fields", loader->file,
            csv->line);
    size_t known = 0;
    for (size_t i = 1; i < csv->count; i++) {
        size_t field = snug_schema_match(loader->schema, csv->cells[i], strlen(csv->cells[i]));
        columns[i] = field;
        if (field == SNUG_NO_FIELD) {
            if (snug_text_equal_ignore_case(csv->cells[i], "status"))
                columns[i] = STATUS_COLUMN;
            else if ((status = ignore_name(loader, csv->cells[i])) != SNUG_STATUS_OK)
                return status;
            continue;
        }
        if (loader->has_field[field])
            return snug_error_set(loader->error, SNUG_STATUS_FORMAT,
                                  "%s: line %zu: two columns for field %s", loader->file, csv->line,
                                  loader->schema->fields[field].name);
        loader->has_field[field] = true;
        known++;
    }
    if (known == 0)
        return snug_error_set(loader->error, SNUG_STATUS_FORMAT,
                              "%s: no column is named after a field of schema %s", loader->file,
                              loader->schema->name);
    return SNUG_STATUS_OK;
}

static enum snug_status read_csv_row(struct loader *loader, const struct snug_csv *csv,
                                     size_t width, const size_t *columns)
{
    if (csv->count != width)
        return snug_error_set(loader->error, SNUG_STATUS_FORMAT,
                              "%s: line %zu: %zu cells, the header has %zu", loader->file,
                              csv->line, csv->count, width);
    const char **values;
    struct snug_document *document;
    enum snug_status status = add_document(loader, csv->cells[0], csv->line, &values, &document);
    for (size_t i = 1; i < width && status == SNUG_STATUS_OK; i++) {
        if (columns[i] == STATUS_COLUMN)
            document->failed = strcmp(csv->cells[i], "error") == 0;
        else if (columns[i] != SNUG_NO_FIELD)
            status = read_value(loader, columns[i], csv->cells[i], &values[columns[i]]);
    }
    return status;
}

static enum snug_status read_csv(struct loader *loader, const char *data, size_t length)
{
    struct snug_csv csv = {0};
    enum snug_status status =
        snug_csv_open(&csv, data, length, loader->file, loader->allocator, loader->error);
    size_t *columns = snug_alloc_array(loader->allocator, SNUG_MAX_CSV_COLUMNS, sizeof *columns);
    if (status == SNUG_STATUS_OK && columns == NULL)
        status = no_memory(loader, SNUG_MAX_CSV_COLUMNS * sizeof *columns);
    if (status == SNUG_STATUS_OK)
        status = read_header(loader, &csv, columns);
    size_t width = csv.count;
    for (bool more = true; status == SNUG_STATUS_OK;) {
        status = snug_csv_next(&csv, &more, loader->error);
        if (!more)
            break;
        if (status == SNUG_STATUS_OK)
            status = read_csv_row(loader, &csv, width, columns);
    }
    snug_free(loader->allocator, columns);
    snug_csv_close(&csv);
    return status;
}

/* ---- JSON ---- */

/* A value that is not an object as text: lists joined as they are in rows. */
static void put_plain(json_t *value, const char *absent, struct snug_text *out)
{
    if (json_is_string(value))
        snug_text_puts(out, json_string_value(value));
    else if (json_is_integer(value))
        snug_text_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snug_json_put_double(out, json_real_value(value));
    else if (json_is_boolean(value))
        snug_text_puts(out, json_is_true(value) ? "true" : "false");
    else if (json_is_array(value)) {
        size_t i;
        json_t *item;
        json_array_foreach(value, i, item)
        {
            snug_text_puts(out, i > 0 ? " | " : "");
            if (json_is_array(item) || json_is_object(item) || json_is_null(item))
                snug_text_puts(out, absent);
            else
                put_plain(item, absent, out);
        }
    }
}

static enum snug_status read_json_field(struct loader *loader, size_t field, json_t *value,
                                        const char **values, double *confidences)
{
    if (json_is_object(value)) {
        json_t *confidence = json_object_get(value, "confidence");
        if (json_is_number(confidence))
            confidences[field] = json_number_value(confidence);
        value = json_object_get(value, "value");
    }
    loader->has_field[field] = true;
    struct snug_text text;
    snug_text_init(&text, loader->allocator, (size_t)64 << 20);
    put_plain(value, loader->schema->absent, &text);
    enum snug_status status = snug_text_status(&text, loader->error, "documents");
    if (status == SNUG_STATUS_OK)
        status = read_value(loader, field, snug_text_c(&text), &values[field]);
    snug_text_free(&text);
    return status;
}

static enum snug_status read_json_row(struct loader *loader, json_t *row, size_t line)
{
    json_t *path = json_object_get(row, "document"), *fields = json_object_get(row, "fields");
    if (path == NULL)
        path = json_object_get(row, "image_file");
    if (!json_is_string(path) ||
        (fields != NULL && !json_is_null(fields) && !json_is_object(fields)))
        return snug_error_set(loader->error, SNUG_STATUS_FORMAT,
                              "%s: row %zu: a row is an object with \"document\" and \"fields\"",
                              loader->file, line);
    const char **values;
    struct snug_document *document;
    enum snug_status status =
        add_document(loader, json_string_value(path), line, &values, &document);
    if (status != SNUG_STATUS_OK)
        return status;
    const char *word = json_string_value(json_object_get(row, "status"));
    document->failed = word != NULL && strcmp(word, "error") == 0;
    size_t count = loader->schema->field_count;
    double *confidences = snug_arena_calloc(&loader->out->arena, count, sizeof *confidences);
    if (confidences == NULL)
        return no_memory(loader, count * sizeof *confidences);
    for (size_t i = 0; i < count; i++)
        confidences[i] = (double)NAN;
    document->confidences = confidences;
    const char *key;
    json_t *value;
    json_object_foreach(fields, key, value)
    {
        size_t field = snug_schema_match(loader->schema, key, strlen(key));
        status = field == SNUG_NO_FIELD
                     ? ignore_name(loader, key)
                     : read_json_field(loader, field, value, values, confidences);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_array(struct loader *loader, const char *data, size_t length)
{
    json_t *root = NULL;
    enum snug_status status =
        snug_json_parse(data, length, true, loader->file, &root, loader->error);
    for (size_t i = 0; status == SNUG_STATUS_OK && i < json_array_size(root); i++)
        status = read_json_row(loader, json_array_get(root, i), i + 1);
    json_decref(root);
    return status;
}

static enum snug_status read_jsonl(struct loader *loader, const char *data, size_t length)
{
    size_t start = 0, line = 0;
    enum snug_status status = SNUG_STATUS_OK;
    while (start < length && status == SNUG_STATUS_OK) {
        const char *newline = memchr(data + start, '\n', length - start);
        size_t end = newline != NULL ? (size_t)(newline - data) : length, from = start, to = end;
        line++;
        snug_value_trim(data, &from, &to);
        if (from < to) {
            json_t *root = NULL;
            struct snug_error detail = {0};
            status = snug_json_parse(data + from, to - from, true, "row", &root, &detail);
            if (status != SNUG_STATUS_OK)
                snug_error_set(loader->error, status, "%s: line %zu: %s", loader->file, line,
                               detail.message);
            else
                status = read_json_row(loader, root, line);
            json_decref(root);
        }
        start = end + 1;
    }
    return status;
}

/* ---- the whole ---- */

struct named {
    const char *name;
    size_t index;
};
static int by_name(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* Sorts by name and refuses two documents of one name. */
static enum snug_status index_names(struct loader *loader)
{
    struct snug_documents *out = loader->out;
    struct named *names = snug_alloc_array(loader->allocator, out->count + 1, sizeof *names);
    size_t *order = snug_arena_calloc(&out->arena, out->count + 1, sizeof *order);
    enum snug_status status = SNUG_STATUS_OK;
    if (names == NULL || order == NULL) {
        snug_free(loader->allocator, names);
        return no_memory(loader, (out->count + 1) * sizeof *names);
    }
    for (size_t i = 0; i < out->count; i++)
        names[i] = (struct named){out->items[i].name, i};
    qsort(names, out->count, sizeof *names, by_name);
    for (size_t i = 0; i < out->count && status == SNUG_STATUS_OK; i++) {
        order[i] = names[i].index;
        if (i > 0 && strcmp(names[i - 1].name, names[i].name) == 0)
            status = snug_error_set(
                loader->error, SNUG_STATUS_FORMAT,
                "%s: rows %zu and %zu are both for %s (documents are told apart by the "
                "last part of their path)",
                loader->file, loader->lines[names[i - 1].index], loader->lines[names[i].index],
                names[i].name);
    }
    snug_free(loader->allocator, names);
    out->by_name = order;
    return status;
}

static enum snug_status load(struct loader *loader, const char *data, size_t length,
                             bool json_allowed)
{
    struct snug_documents *out = loader->out;
    snug_arena_init(&out->arena, loader->allocator);
    loader->has_field =
        snug_arena_calloc(&out->arena, loader->schema->field_count, sizeof *loader->has_field);
    loader->ignored = snug_arena_calloc(&out->arena, MOST_IGNORED, sizeof *loader->ignored);
    if (loader->has_field == NULL || loader->ignored == NULL)
        return no_memory(loader, MOST_IGNORED * sizeof *loader->ignored);
    out->has_field = loader->has_field;
    out->ignored = loader->ignored;
    size_t start = 0, end = length;
    snug_value_trim(data, &start, &end);
    enum snug_status status;
    if (json_allowed && (start == end || data[start] == '{'))
        status = read_jsonl(loader, data, length); /* an empty file holds no rows */
    else if (json_allowed && data[start] == '[')
        status = read_array(loader, data, length);
    else
        status = read_csv(loader, data, length);
    if (status != SNUG_STATUS_OK)
        return status;
    out->items = snug_arena_calloc(&out->arena, out->count + 1, sizeof *out->items);
    if (out->items == NULL)
        return no_memory(loader, (out->count + 1) * sizeof *out->items);
    if (out->count > 0)
        memcpy(out->items, loader->items, out->count * sizeof *out->items);
    return index_names(loader);
}

static enum snug_status parse(const char *data, size_t length, const char *name,
                              const struct snug_schema *schema,
                              const struct snug_allocator *allocator, bool json_allowed,
                              struct snug_documents *out, struct snug_error *error)
{
    struct snug_documents documents = {0};
    struct loader loader = {
        .schema = schema, .file = name, .error = error, .out = &documents, .allocator = allocator};
    enum snug_status status = load(&loader, data, length, json_allowed);
    snug_free(allocator, loader.items);
    snug_free(allocator, loader.lines);
    if (status != SNUG_STATUS_OK)
        snug_documents_free(&documents);
    else
        *out = documents;
    return status;
}

enum snug_status snug_truth_parse(const char *data, size_t length, const char *name,
                                  const struct snug_schema *schema,
                                  const struct snug_allocator *allocator,
                                  struct snug_documents *out, struct snug_error *error)
{
    return parse(data, length, name, schema, allocator, false, out, error);
}

enum snug_status snug_predictions_parse(const char *data, size_t length, const char *name,
                                        const struct snug_schema *schema,
                                        const struct snug_allocator *allocator,
                                        struct snug_documents *out, struct snug_error *error)
{
    return parse(data, length, name, schema, allocator, true, out, error);
}

void snug_documents_free(struct snug_documents *documents)
{
    if (documents->arena.allocator != NULL)
        snug_arena_free(&documents->arena);
    *documents = (struct snug_documents){0};
}

const struct snug_document *snug_documents_find(const struct snug_documents *documents,
                                                const char *name)
{
    size_t low = 0, high = documents->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct snug_document *at = &documents->items[documents->by_name[middle]];
        int order = strcmp(name, at->name);
        if (order == 0)
            return at;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
