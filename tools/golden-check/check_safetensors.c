/* golden-check, kind "safetensors".
 *
 * values.json: files that must load, with every tensor's dtype, shape, bytes and values.
 * cases.json: `files` and `folders` with the verdict expected: "ok", "error" (the message must name
 * the file or folder) or "ok_or_error". Files that are listed but not there are skipped, and a
 * folder with none of them fails. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
 */
#include "golden.h"

#include "formats/safetensors.h"

#include <stdio.h>

/* Nothing listed is larger; bounds the memory for the widened values. */
#define MAX_ELEMENTS ((int64_t)1 << 24)

/* What is wrong with the case at hand; "" while nothing is. Later problems do not hide the first.
 */
struct problem {
    char text[640];
};

static void SNUG_PRINTF(2, 3) problem_set(struct problem *problem, const char *format, ...)
{
    if (problem->text[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

static bool problem_none(const struct problem *problem)
{
    return problem->text[0] == '\0';
}

/* "" if missing or no string. */
static const char *string_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_verdict(struct golden *g, const char *name, const struct problem *problem,
                          const char *detail)
{
    if (problem_none(problem))
        golden_pass(g, name, "%s", detail);
    else
        golden_fail(g, name, "%s", problem->text);
}

/* ---- valid files ---- */

static void check_shape(const char *name, const struct snug_tensor_view *view, json_t *expected,
                        struct problem *problem)
{
    char found[128];
    snug_shape_format(&view->shape, found);
    bool equal = json_is_array(expected) && json_array_size(expected) == (size_t)view->shape.rank;
    for (int i = 0; equal && i < view->shape.rank; i++)
        equal = json_integer_value(json_array_get(expected, (size_t)i)) == view->shape.dims[i];
    if (!equal)
        problem_set(problem, "%s: shape %s is not the expected one (rank %zu)", name, found,
                    json_array_size(expected));
}

static void check_hex(const char *name, const struct snug_tensor_view *view, const char *expected,
                      struct problem *problem)
{
    if (strlen(expected) != 2 * view->bytes) {
        problem_set(problem, "%s: %zu bytes, not %zu", name, view->bytes, strlen(expected) / 2);
        return;
    }
    for (size_t i = 0; i < view->bytes; i++) {
        char found[3];
        snprintf(found, sizeof found, "%02x", view->data[i]);
        if (memcmp(found, expected + 2 * i, 2) != 0) {
            problem_set(problem, "%s: byte %zu is %s, not %.2s", name, i, found, expected + 2 * i);
            return;
        }
    }
}

static bool is_nan_bits(uint32_t bits)
{
    return (bits & 0x7fffffffu) > 0x7f800000u;
}

static void compare_bits(const char *name, const float *values, json_t *expected,
                         struct problem *problem)
{
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const char *text = json_string_value(json_array_get(expected, i));
        unsigned int wanted = 0;
        uint32_t found;
        memcpy(&found, &values[i], sizeof found);
        if (!text || strlen(text) != 8 || sscanf(text, "%8x", &wanted) != 1)
            problem_set(problem, "%s: f32_bits[%zu] is not 8 hexadecimal digits", name, i);
        else if (found != wanted && !(is_nan_bits(found) && is_nan_bits(wanted)))
            problem_set(problem, "%s: element %zu is %08x, not %08x", name, i, found, wanted);
    }
}

/* The conversions that models use: f32, f16, bf16. */
static void check_widened(struct golden *g, const char *name, const struct snug_tensor_view *view,
                          json_t *expected, struct problem *problem)
{
    if (view->dtype != SNUG_DTYPE_F32 && view->dtype != SNUG_DTYPE_F16 &&
        view->dtype != SNUG_DTYPE_BF16)
        return;
    if (view->elements > MAX_ELEMENTS || (size_t)view->elements != json_array_size(expected)) {
        problem_set(problem, "%s: %lld elements, but %zu f32_bits", name, (long long)view->elements,
                    json_array_size(expected));
        return;
    }
    float *values = snug_alloc_array(g->allocator, (size_t)view->elements, sizeof *values);
    if (!values) {
        problem_set(problem, "%s: out of memory", name);
        return;
    }
    snug_widen(view->dtype, view->data, view->elements, values);
    compare_bits(name, values, expected, problem);
    snug_free(g->allocator, values);
}

static void check_tensor(struct golden *g, const struct snug_safetensors *checkpoint,
                         const char *name, json_t *expected, struct problem *problem)
{
    const struct snug_tensor_view *view = snug_safetensors_find(checkpoint, name);
    if (!view) {
        problem_set(problem, "tensor '%s' not found", name);
        return;
    }
    const char *dtype = string_at(expected, "dtype");
    if (strcmp(snug_dtype_name(view->dtype), dtype) != 0)
        problem_set(problem, "%s: dtype %s, not %s", name, snug_dtype_name(view->dtype), dtype);
    check_shape(name, view, json_object_get(expected, "shape"), problem);
    char digest[65];
    golden_sha256(view->data, view->bytes, digest);
    if (strcmp(digest, string_at(expected, "sha256")) != 0)
        problem_set(problem, "%s: sha256 %s, not %s", name, digest, string_at(expected, "sha256"));
    json_t *hex = json_object_get(expected, "bytes_hex"),
           *bits = json_object_get(expected, "f32_bits");
    if (hex)
        check_hex(name, view, string_at(expected, "bytes_hex"), problem);
    if (bits)
        check_widened(g, name, view, bits, problem);
}

static void check_metadata(const struct snug_safetensors *checkpoint, json_t *expected,
                           struct problem *problem)
{
    const struct snug_metadata_entry *entries = NULL;
    size_t count = snug_safetensors_metadata(checkpoint, &entries);
    if (count != json_object_size(expected))
        problem_set(problem, "%zu metadata entries, not %zu", count, json_object_size(expected));
    for (size_t i = 0; i < count; i++) {
        const char *wanted = json_string_value(json_object_get(expected, entries[i].key));
        if (!wanted || strcmp(wanted, entries[i].value) != 0)
            problem_set(problem, "metadata %s is '%s', not '%s'", entries[i].key, entries[i].value,
                        wanted ? wanted : "(none)");
    }
}

/* The list is in order, without a name twice, and the look-up finds each. */
static void check_order(const struct snug_safetensors *checkpoint, struct problem *problem)
{
    size_t count = snug_safetensors_count(checkpoint);
    for (size_t i = 0; i < count; i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(checkpoint, i);
        if (i > 0 && strcmp(snug_safetensors_at(checkpoint, i - 1)->name, view->name) >= 0)
            problem_set(problem, "tensor %zu ('%s') is out of order", i, view->name);
        if (snug_safetensors_find(checkpoint, view->name) != view)
            problem_set(problem, "look-up of '%s' finds another tensor", view->name);
    }
}

static enum snug_status open_file(struct golden *g, const char *path,
                                  struct snug_safetensors **checkpoint, struct snug_error *error)
{
    struct snug_blob blob = {0};
    enum snug_status status = snug_file_map(path, &blob, error);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_open_blob(&blob, path, g->allocator, checkpoint, error);
    return status;
}

static void check_valid(struct golden *g, const char *path, json_t *row)
{
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    struct problem problem = {{0}};
    enum snug_status status = open_file(g, path, &checkpoint, &error);
    if (status != SNUG_STATUS_OK) {
        if (status == SNUG_STATUS_UNSUPPORTED &&
            json_array_size(json_object_get(row, "may_be_unsupported")) > 0)
            golden_pass(g, path, "refused as unsupported, as it may be: %s", error.message);
        else
            golden_fail(g, path, "refused: %s", error.message);
        return;
    }
    json_t *tensors = json_object_get(row, "tensors"), *expected;
    const char *name;
    if (snug_safetensors_count(checkpoint) != json_object_size(tensors))
        problem_set(&problem, "%zu tensors, not %zu", snug_safetensors_count(checkpoint),
                    json_object_size(tensors));
    json_object_foreach(tensors, name, expected)
        check_tensor(g, checkpoint, name, expected, &problem);
    check_metadata(checkpoint, json_object_get(row, "metadata"), &problem);
    check_order(checkpoint, &problem);
    print_verdict(g, path, &problem, string_at(row, "note"));
    snug_safetensors_close(checkpoint);
}

/* ---- files and folders with a verdict ---- */

static void check_mapped_names(struct golden *g, const char *path,
                               const struct snug_safetensors *checkpoint, struct problem *problem)
{
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    json_t *index = NULL, *value;
    const char *name;
    if (!golden_read(g, path, "model.safetensors.index.json", &blob))
        return;
    if (snug_json_parse((const char *)blob.data, blob.size, true, "index", &index, &error) ==
        SNUG_STATUS_OK) {
        json_object_foreach(json_object_get(index, "weight_map"), name,
                            value) if (!snug_safetensors_find(checkpoint, name))
            problem_set(problem, "tensor '%s' of the index not found", name);
        json_decref(index);
    }
    snug_blob_free(&blob);
}

/* Reads every byte, so that a view beyond its file shows. */
static void touch_all(const struct snug_safetensors *checkpoint)
{
    char digest[65];
    for (size_t i = 0; i < snug_safetensors_count(checkpoint); i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(checkpoint, i);
        golden_sha256(view->data, view->bytes, digest);
    }
}

static void check_case(struct golden *g, const char *path, bool is_folder, json_t *row)
{
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    struct problem problem = {{0}};
    struct snug_folder folder = {.path = path, .allocator = g->allocator};
    const char *expect = string_at(row, "expect");
    enum snug_status status = is_folder ? snug_safetensors_open_folder(&folder, &checkpoint, &error)
                                        : open_file(g, path, &checkpoint, &error);
    if (status == SNUG_STATUS_OK) {
        if (strcmp(expect, "error") == 0)
            problem_set(&problem, "loaded, but must be refused: %s", string_at(row, "why"));
        touch_all(checkpoint);
        check_order(checkpoint, &problem);
        if (is_folder && problem_none(&problem))
            check_mapped_names(g, path, checkpoint, &problem);
    } else {
        if (strcmp(expect, "ok") == 0)
            problem_set(&problem, "refused, but must load: %s", error.message);
        if (!strstr(error.message, snug_path_base(path)))
            problem_set(&problem, "the message does not name it: %s", error.message);
    }
    if (strcmp(expect, "ok") != 0 && strcmp(expect, "error") != 0 &&
        strcmp(expect, "ok_or_error") != 0)
        problem_set(&problem, "unknown expectation '%s'", expect);
    print_verdict(g, path, &problem, status == SNUG_STATUS_OK ? "loads" : error.message);
    snug_safetensors_close(checkpoint);
}

/* ---- the lists ---- */

enum row_kind { ROW_KIND_VALID, ROW_KIND_FILE, ROW_KIND_FOLDER };

static void check_rows(struct golden *g, const char *folder, json_t *rows, enum row_kind kind)
{
    const char *key = kind == ROW_KIND_FOLDER ? "folder" : "file";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *name = string_at(row, key);
        char *path = name[0] ? snug_path_join(g->allocator, folder, name) : NULL;
        if (!path)
            golden_fail(g, folder, "row %zu: no %s", i, key);
        else if (!snug_path_exists(path))
            golden_skip(g, path, "listed, but not there");
        else if (kind == ROW_KIND_VALID)
            check_valid(g, path, row);
        else
            check_case(g, path, kind == ROW_KIND_FOLDER, row);
        snug_free(g->allocator, path);
    }
}

/* A list that is not there is NULL (fine: nothing listed), any other non-list a failure. */
static json_t *list_at(struct golden *g, const char *folder, json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);
    if (list && !json_is_array(list))
        golden_fail(g, folder, "%s is not a list", key);
    return list;
}

/* golden_json, but NULL without a failure if the file is not there. */
static json_t *json_if_there(struct golden *g, const char *folder, const char *name)
{
    struct snug_blob blob = {0};
    if (!golden_read(g, folder, name, &blob))
        return NULL;
    snug_blob_free(&blob);
    return golden_json(g, folder, name);
}

void golden_check_safetensors(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    uint64_t ran = g->passed + g->failed;
    json_t *values = json_if_there(g, folder, "values.json");
    json_t *cases = json_if_there(g, folder, "cases.json");
    if (values && !json_is_array(values))
        golden_fail(g, folder, "values.json is not a list");
    check_rows(g, folder, values, ROW_KIND_VALID);
    check_rows(g, folder, list_at(g, folder, cases, "files"), ROW_KIND_FILE);
    check_rows(g, folder, list_at(g, folder, cases, "folders"), ROW_KIND_FOLDER);
    if (g->passed + g->failed == ran)
        golden_fail(g, folder, "no listed file is there");
    json_decref(values);
    json_decref(cases);
}
