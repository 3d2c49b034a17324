/* safetensors: one file. All integers little-endian.
 *
 *   offset 0      u64 N          length of the header in bytes
 *   offset 8      N bytes        UTF-8 JSON object, first byte '{', may be padded with white space
 *   offset 8 + N  data           to the end of the file
 *
 *   header: {"__metadata__": {string: string, ...},                                  (optional)
 *            NAME: {"dtype": "BF16", "shape": [d0, d1, ...], "data_offsets": [b, e]}, ...}
 *
 * A file is valid if, and only if:
 *   8 <= size, N <= size - 8, N <= SNUG_MAX_SAFETENSORS_HEADER_BYTES;
 *   the header is one strict JSON object without duplicate keys, nested at most 4 deep;
 *   every entry has exactly the three fields, of their types; dtype is one of tensor.h, in
 * capitals; dims are integers >= 0, at most SNUG_MAX_TENSOR_RANK of them; elements * bits does not
 * overflow and is a multiple of 8; e - b = elements * bits / 8 for every tensor; sorted by (b, e):
 * the first b is 0, every other b is the e before it, the last e is the size of the data: no hole,
 * no overlap, no byte left over. An unknown field in an entry is refused too, because it might
 * change what the bytes mean (the reference reader ignores it). Names may be empty or hold any
 * character but U+0000. Nothing is promised about alignment. Source: the format's own description
 * and its reference reader. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors_internal.h"

#include "base/json.h"

#include <stdlib.h>

#define LENGTH_BYTES 8
#define METADATA_KEY "__metadata__"
#define MAX_HEADER_DEPTH 4
/* A tensor of the highest rank has 13 values and separators; one more for its name. */
#define MAX_VALUES_A_TENSOR 16

/* ---- life ---- */

enum snug_status snug_safetensors_create(size_t shard_capacity,
                                         const struct snug_allocator *allocator,
                                         struct snug_safetensors **out, struct snug_error *error)
{
    struct snug_safetensors *checkpoint = snug_calloc(allocator, 1, sizeof *checkpoint);
    if (!checkpoint)
        return snug_error_memory(error, sizeof *checkpoint, "a checkpoint");
    checkpoint->allocator = allocator;
    snug_arena_init(&checkpoint->arena, allocator);
    checkpoint->shards = snug_calloc(allocator, shard_capacity, sizeof *checkpoint->shards);
    if (!checkpoint->shards) {
        snug_free(allocator, checkpoint);
        return snug_error_memory(error, shard_capacity * sizeof *checkpoint->shards,
                                 "a checkpoint");
    }
    checkpoint->shard_capacity = shard_capacity;
    *out = checkpoint;
    return SNUG_STATUS_OK;
}

void snug_safetensors_close(struct snug_safetensors *checkpoint)
{
    if (!checkpoint)
        return;
    for (size_t i = 0; i < checkpoint->shard_count; i++)
        snug_blob_free(&checkpoint->shards[i].blob);
    snug_free(checkpoint->allocator, checkpoint->shards);
    snug_free(checkpoint->allocator, checkpoint->views);
    snug_arena_free(&checkpoint->arena);
    snug_free(checkpoint->allocator, checkpoint);
}

/* ---- the header's frame ---- */

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* What people download by mistake, so that the message can say it. "" if nothing known. */
static const char *describe_stranger(const unsigned char *data, size_t size)
{
    static const struct {
        const char *start, *what;
    } known[] = {
        {"version https://git-lfs",
         " (it is a Git LFS pointer: fetch the file itself with 'git lfs pull')"},
        {"<!DOCTYPE", " (it is a web page)"},
        {"<!doctype", " (it is a web page)"},
        {"<html", " (it is a web page)"},
        {"PK\x03\x04", " (it is a zip or PyTorch file)"},
        {"\x80\x02", " (it is a Python pickle)"},
        {"\x80\x04", " (it is a Python pickle)"},
        {"GGUF", " (it is a GGUF file)"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].start);
        if (size >= length && memcmp(data, known[i].start, length) == 0)
            return known[i].what;
    }
    return "";
}

/* Finds the header. *header points into data. */
static enum snug_status find_header(const unsigned char *data, size_t size, const char *label,
                                    const unsigned char **header, size_t *header_bytes,
                                    struct snug_error *error)
{
    if (size < LENGTH_BYTES)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: not a safetensors file: only %zu bytes long", label, size);
    uint64_t length = read_u64(data);
    if (length > size - LENGTH_BYTES)
        return snug_error_set(
            error, SNUG_STATUS_FORMAT,
            "%s: not a safetensors file, or cut short: a header of %llu bytes does not "
            "fit into %zu bytes%s",
            label, (unsigned long long)length, size, describe_stranger(data, size));
    if (length > SNUG_MAX_SAFETENSORS_HEADER_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: header of %llu bytes, more than %u",
                              label, (unsigned long long)length, SNUG_MAX_SAFETENSORS_HEADER_BYTES);
    if (length == 0 || data[LENGTH_BYTES] != '{')
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: not a safetensors file: the header does not begin with '{'",
                              label);
    *header = data + LENGTH_BYTES;
    *header_bytes = (size_t)length;
    return SNUG_STATUS_OK;
}

enum snug_status snug_safetensors_scan(const unsigned char *json, size_t length, size_t max_depth,
                                       const char *label, struct snug_error *error)
{
    size_t objects = 0, arrays = 0, commas = 0, depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = json[i];
        if (in_string) {
            if (c == '\\')
                i++; /* whatever follows does not end the string */
            else if (c == '"')
                in_string = false;
            continue;
        }
        in_string = c == '"';
        objects += c == '{';
        arrays += c == '[';
        commas += c == ',';
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > max_depth)
            return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: JSON nested more than %zu deep",
                                  label, max_depth);
    }
    /* one tensor more than allowed passes, so that its own message comes */
    if (objects > SNUG_MAX_TENSORS + 3 || arrays > 2 * SNUG_MAX_TENSORS + 2 ||
        commas > MAX_VALUES_A_TENSOR * SNUG_MAX_TENSORS)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: more values than %d tensors need",
                              label, SNUG_MAX_TENSORS);
    return SNUG_STATUS_OK;
}

/* ---- one entry ---- */

/* The file being parsed. */
struct parse {
    const char *label;
    const unsigned char *data; /* of the tensors */
    size_t data_bytes;
    int shard;
    struct snug_arena *arena;
    struct snug_error *error;
};

static enum snug_status refuse(const struct parse *parse, enum snug_status status,
                               const char *tensor, const char *reason)
{
    return snug_error_set(parse->error, status, "%s: %s (tensor '%s')", parse->label, reason,
                          tensor);
}

static enum snug_status parse_shape(const struct parse *parse, const char *name, json_t *value,
                                    struct snug_shape *shape, int64_t *elements)
{
    if (!json_is_array(value))
        return refuse(parse, SNUG_STATUS_FORMAT, name, "shape is not a list");
    size_t rank = json_array_size(value);
    if (rank > SNUG_MAX_TENSOR_RANK)
        return refuse(parse, SNUG_STATUS_LIMIT, name, "too many dimensions");
    shape->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        json_t *dim = json_array_get(value, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return refuse(parse, SNUG_STATUS_FORMAT, name,
                          "a dimension is not a whole number >= 0");
        shape->dims[i] = json_integer_value(dim);
    }
    if (!snug_shape_elements(shape, elements))
        return refuse(parse, SNUG_STATUS_FORMAT, name, "the product of the dimensions overflows");
    return SNUG_STATUS_OK;
}

/* Bounds against the data; whether the ranges of all tensors cover it is checked later. */
static enum snug_status parse_offsets(const struct parse *parse, const char *name, json_t *value,
                                      struct snug_tensor_view *view)
{
    json_t *first = json_array_get(value, 0), *second = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(second) ||
        json_integer_value(first) < 0 || json_integer_value(second) < 0)
        return refuse(parse, SNUG_STATUS_FORMAT, name,
                      "data_offsets are not two whole numbers >= 0");
    uint64_t begin = (uint64_t)json_integer_value(first),
             end = (uint64_t)json_integer_value(second);
    if (end < begin)
        return refuse(parse, SNUG_STATUS_FORMAT, name, "data_offsets end before they begin");
    if (end > parse->data_bytes)
        return refuse(parse, SNUG_STATUS_FORMAT, name,
                      "the file is cut short: data_offsets go beyond its end");
    uint64_t bits;
    if (__builtin_mul_overflow((uint64_t)view->elements, (uint64_t)snug_dtype_bits(view->dtype),
                               &bits))
        return refuse(parse, SNUG_STATUS_FORMAT, name, "the size in bits overflows");
    if (bits % 8 != 0)
        return refuse(parse, SNUG_STATUS_FORMAT, name, "the elements do not fill whole bytes");
    if (bits / 8 != end - begin)
        return refuse(parse, SNUG_STATUS_FORMAT, name, "shape and data_offsets differ in size");
    view->data = parse->data + begin;
    view->bytes = (size_t)(end - begin);
    return SNUG_STATUS_OK;
}

static enum snug_status parse_tensor(const struct parse *parse, const char *name, json_t *entry,
                                     struct snug_tensor_view *view)
{
    if (strlen(name) > SNUG_MAX_TENSOR_NAME_BYTES)
        return refuse(parse, SNUG_STATUS_LIMIT, name, "name too long");
    json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape"),
           *offsets = json_object_get(entry, "data_offsets");
    if (!dtype || !shape || !offsets || json_object_size(entry) != 3)
        return refuse(parse, SNUG_STATUS_FORMAT, name,
                      "an entry must have dtype, shape and data_offsets, and nothing else");
    if (!json_is_string(dtype) || !snug_dtype_parse(json_string_value(dtype), &view->dtype))
        return refuse(parse, SNUG_STATUS_FORMAT, name, "unknown dtype");
    enum snug_status status = parse_shape(parse, name, shape, &view->shape, &view->elements);
    if (status == SNUG_STATUS_OK)
        status = parse_offsets(parse, name, offsets, view);
    if (status != SNUG_STATUS_OK)
        return status;
    view->shard = parse->shard;
    view->name = snug_arena_strdup(parse->arena, name);
    if (!view->name)
        return snug_error_memory(parse->error, strlen(name) + 1, "a tensor name");
    return SNUG_STATUS_OK;
}

/* ---- the whole header ---- */

static int compare_offset(const void *left, const void *right)
{
    const struct snug_tensor_view *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* The ranges must follow each other from the first to the last byte of the data. */
static enum snug_status check_coverage(const struct parse *parse, struct snug_tensor_view *views,
                                       size_t count)
{
    qsort(views, count, sizeof *views, compare_offset);
    const unsigned char *expected = parse->data;
    for (size_t i = 0; i < count; i++) {
        if (views[i].data != expected)
            return refuse(parse, SNUG_STATUS_FORMAT, views[i].name,
                          views[i].data > expected ? "unused bytes before its data"
                                                   : "its data overlap another tensor's");
        expected += views[i].bytes;
    }
    if (expected != parse->data + parse->data_bytes)
        return snug_error_set(parse->error, SNUG_STATUS_FORMAT,
                              "%s: %zu bytes after the last tensor", parse->label,
                              (size_t)(parse->data + parse->data_bytes - expected));
    return SNUG_STATUS_OK;
}

/* Checks "__metadata__" and, for the first file, keeps it. */
static enum snug_status parse_metadata(const struct parse *parse,
                                       struct snug_safetensors *checkpoint, json_t *metadata)
{
    if (!metadata)
        return SNUG_STATUS_OK;
    if (!json_is_object(metadata))
        return snug_error_set(parse->error, SNUG_STATUS_FORMAT, "%s: __metadata__ is not an object",
                              parse->label);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return snug_error_set(parse->error, SNUG_STATUS_FORMAT,
                                  "%s: a value of __metadata__ is not a string ('%s')",
                                  parse->label, key);
    }
    if (parse->shard != 0)
        return SNUG_STATUS_OK;

    size_t count = json_object_size(metadata), filled = 0;
    struct snug_metadata_entry *entries =
        snug_arena_calloc(parse->arena, count + 1, sizeof *entries);
    if (!entries)
        return snug_error_memory(parse->error, count * sizeof *entries, "__metadata__");
    json_object_foreach(metadata, key, value)
    {
        struct snug_metadata_entry *entry = &entries[filled++];
        entry->key = snug_arena_strdup(parse->arena, key);
        entry->value = snug_arena_strdup(parse->arena, json_string_value(value));
        if (!entry->key || !entry->value)
            return snug_error_memory(parse->error, strlen(key) + json_string_length(value) + 2,
                                     "__metadata__");
    }
    checkpoint->metadata = entries;
    checkpoint->metadata_count = count;
    return SNUG_STATUS_OK;
}

static enum snug_status parse_header(const struct parse *parse, struct snug_safetensors *checkpoint,
                                     json_t *header)
{
    json_t *metadata = json_object_get(header, METADATA_KEY);
    enum snug_status status = parse_metadata(parse, checkpoint, metadata);
    if (status != SNUG_STATUS_OK)
        return status;

    size_t added = json_object_size(header) - (metadata ? 1 : 0);
    if (added > SNUG_MAX_TENSORS - checkpoint->count)
        return snug_error_set(parse->error, SNUG_STATUS_LIMIT, "%s: more than %d tensors",
                              parse->label, SNUG_MAX_TENSORS);
    struct snug_tensor_view *views = snug_realloc_array(
        checkpoint->allocator, checkpoint->views, checkpoint->count + added + 1, sizeof *views);
    if (!views)
        return snug_error_memory(parse->error, (checkpoint->count + added + 1) * sizeof *views,
                                 "the list of tensors");
    checkpoint->views = views;
    views += checkpoint->count;
    memset(views, 0, (added + 1) * sizeof *views);

    size_t filled = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        if (entry == metadata)
            continue;
        status = parse_tensor(parse, name, entry, &views[filled++]);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    status = check_coverage(parse, views, added);
    if (status == SNUG_STATUS_OK)
        checkpoint->count += added;
    return status;
}

enum snug_status snug_safetensors_add_file(struct snug_safetensors *checkpoint,
                                           struct snug_blob *blob, const char *label,
                                           const char *name, struct snug_error *error)
{
    SNUG_ASSERT(checkpoint->shard_count < checkpoint->shard_capacity);
    struct snug_safetensors_shard *shard = &checkpoint->shards[checkpoint->shard_count++];
    shard->blob = *blob;
    *blob = (struct snug_blob){0};
    shard->name = snug_arena_strdup(&checkpoint->arena, name);
    if (!shard->name)
        return snug_error_memory(error, strlen(name) + 1, "a file name");

    const unsigned char *data = shard->blob.data, *text = NULL;
    size_t size = shard->blob.size, text_bytes = 0;
    enum snug_status status = find_header(data, size, label, &text, &text_bytes, error);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_scan(text, text_bytes, MAX_HEADER_DEPTH, label, error);
    if (status != SNUG_STATUS_OK)
        return status;
    json_t *header = NULL;
    status = snug_json_parse((const char *)text, text_bytes, false, label, &header, error);
    if (status != SNUG_STATUS_OK)
        return status;
    SNUG_ASSERT(json_is_object(header)); /* it begins with '{' */
    struct parse parse = {.label = label,
                          .data = text + text_bytes,
                          .data_bytes = size - LENGTH_BYTES - text_bytes,
                          .shard = (int)(checkpoint->shard_count - 1),
                          .arena = &checkpoint->arena,
                          .error = error};
    status = parse_header(&parse, checkpoint, header);
    json_decref(header);
    return status;
}

static int compare_name(const void *left, const void *right)
{
    const struct snug_tensor_view *a = left, *b = right;
    return strcmp(a->name, b->name);
}

enum snug_status snug_safetensors_finish(struct snug_safetensors *checkpoint, const char *label,
                                         struct snug_error *error)
{
    if (checkpoint->count == 0)
        return SNUG_STATUS_OK;
    struct snug_tensor_view *views = checkpoint->views;
    qsort(views, checkpoint->count, sizeof *views, compare_name);
    for (size_t i = 1; i < checkpoint->count; i++)
        if (strcmp(views[i - 1].name, views[i].name) == 0)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: the same tensor in %s and in %s ('%s')", label,
                                  checkpoint->shards[views[i - 1].shard].name,
                                  checkpoint->shards[views[i].shard].name, views[i].name);
    return SNUG_STATUS_OK;
}

enum snug_status snug_safetensors_open_blob(struct snug_blob *blob, const char *name,
                                            const struct snug_allocator *allocator,
                                            struct snug_safetensors **out, struct snug_error *error)
{
    struct snug_safetensors *checkpoint = NULL;
    enum snug_status status = snug_safetensors_create(1, allocator, &checkpoint, error);
    if (status != SNUG_STATUS_OK) {
        snug_blob_free(blob);
        return status;
    }
    status = snug_safetensors_add_file(checkpoint, blob, name, snug_path_base(name), error);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_finish(checkpoint, name, error);
    if (status != SNUG_STATUS_OK) {
        snug_safetensors_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return SNUG_STATUS_OK;
}

/* ---- look-ups ---- */

size_t snug_safetensors_count(const struct snug_safetensors *checkpoint)
{
    return checkpoint->count;
}

const struct snug_tensor_view *snug_safetensors_at(const struct snug_safetensors *checkpoint,
                                                   size_t index)
{
    SNUG_ASSERT(index < checkpoint->count);
    return &checkpoint->views[index];
}

const struct snug_tensor_view *snug_safetensors_find(const struct snug_safetensors *checkpoint,
                                                     const char *name)
{
    size_t low = 0, high = checkpoint->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(checkpoint->views[middle].name, name);
        if (order == 0)
            return &checkpoint->views[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *snug_safetensors_shard_name(const struct snug_safetensors *checkpoint, int shard)
{
    SNUG_ASSERT(shard >= 0 && (size_t)shard < checkpoint->shard_count);
    return checkpoint->shards[shard].name;
}

size_t snug_safetensors_metadata(const struct snug_safetensors *checkpoint,
                                 const struct snug_metadata_entry **entries)
{
    *entries = checkpoint->metadata;
    return checkpoint->metadata_count;
}

void snug_safetensors_discard(const struct snug_safetensors *checkpoint,
                              const struct snug_tensor_view *view)
{
    SNUG_ASSERT(view->shard >= 0 && (size_t)view->shard < checkpoint->shard_count);
    const struct snug_blob *blob = &checkpoint->shards[view->shard].blob;
    snug_blob_discard(blob, (size_t)(view->data - blob->data), view->bytes);
}

enum snug_status snug_safetensors_populate(const struct snug_safetensors *checkpoint,
                                           struct snug_error *error)
{
    for (size_t i = 0; i < checkpoint->shard_count; i++)
        if (!snug_blob_populate(&checkpoint->shards[i].blob))
            return snug_error_set(error, SNUG_STATUS_IO,
                                  "%s: its pages cannot be read: damaged, or changed while open",
                                  checkpoint->shards[i].name);
    return SNUG_STATUS_OK;
}
