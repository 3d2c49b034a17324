/* safetensors: a model folder, with one file or with shards.
 *
 *   model.safetensors              the whole checkpoint, or
 *   model.safetensors.index.json   {"metadata": {...}, "weight_map": {TENSOR: SHARD, ...}} and its
 * shards
 *
 * Valid if, and only if: every SHARD is a plain file name in the same folder; every tensor of the
 * map is in the shard the map names; every tensor of a shard is in the map; no tensor is in two
 * shards. "metadata" (total_size) is ignored: it is often wrong. An index beside a
 * model.safetensors that it does not name is ambiguous and refused: two checkpoints in one folder,
 * and no way to know which is meant. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "formats/safetensors_internal.h"

#include "base/json.h"

#include <stdlib.h>

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"

/* Stricter than snug_folder_map asks: names that are harmless here but not on every system (drive
 * letters, control characters) have no place in a checkpoint. */
static bool is_plain_name(const char *name)
{
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == '\\' || *c == ':' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

/* Reads the index. *map is borrowed from *root, a new reference. Checked: a non-empty object of
 * plain names. */
static enum snug_status load_index(const struct snug_folder *folder, const char *label,
                                   json_t **root, json_t **map, struct snug_error *error)
{
    struct snug_blob blob = {0};
    json_t *index = NULL;
    enum snug_status status =
        snug_folder_read(folder, INDEX_NAME, SNUG_MAX_SAFETENSORS_HEADER_BYTES, &blob, error);
    if (status != SNUG_STATUS_OK)
        return status;
    status = snug_safetensors_scan(blob.data, blob.size, SNUG_MAX_JSON_DEPTH, label, error);
    if (status == SNUG_STATUS_OK)
        status = snug_json_parse((const char *)blob.data, blob.size, false, label, &index, error);
    snug_blob_free(&blob);
    if (status != SNUG_STATUS_OK)
        return status;

    json_t *weight_map = json_object_get(index, "weight_map"), *value;
    const char *tensor;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0) {
        status =
            snug_error_set(error, SNUG_STATUS_FORMAT, "%s: no weight_map, or an empty one", label);
        goto out;
    }
    if (json_object_size(weight_map) > SNUG_MAX_TENSORS) {
        status = snug_error_set(error, SNUG_STATUS_LIMIT, "%s: more than %d tensors", label,
                                SNUG_MAX_TENSORS);
        goto out;
    }
    json_object_foreach(weight_map, tensor, value)
    {
        if (json_is_string(value) && is_plain_name(json_string_value(value)))
            continue;
        status = snug_error_set(
            error, SNUG_STATUS_FORMAT,
            "%s: not a plain file name in weight_map: '%s' (tensor '%s')", label,
            json_is_string(value) ? json_string_value(value) : "(no string)", tensor);
        goto out;
    }
    *root = index;
    *map = weight_map;
    return SNUG_STATUS_OK;
out:
    json_decref(index);
    return status;
}

static int compare_string(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The different file names of the map, sorted. *names is the caller's; the strings are the map's.
 */
static enum snug_status list_shards(const struct snug_allocator *allocator, const char *label,
                                    json_t *map, const char ***names, size_t *count,
                                    struct snug_error *error)
{
    size_t total = json_object_size(map), filled = 0, distinct = 0;
    const char **list = snug_alloc_array(allocator, total, sizeof *list);
    if (!list)
        return snug_error_memory(error, total * sizeof *list, "the list of shards");
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value) list[filled++] = json_string_value(value);
    qsort(list, total, sizeof *list, compare_string);
    for (size_t i = 0; i < total; i++)
        if (distinct == 0 || strcmp(list[distinct - 1], list[i]) != 0)
            list[distinct++] = list[i];
    if (distinct > SNUG_MAX_SHARDS) {
        snug_free(allocator, list);
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: %zu shards, more than %d", label,
                              distinct, SNUG_MAX_SHARDS);
    }
    *names = list;
    *count = distinct;
    return SNUG_STATUS_OK;
}

/* Whether the folder has this file. Not snug_folder_has: where memory is refused it says no, and a
 * checkpoint that is there must not be reported missing. */
static enum snug_status look_for(const struct snug_folder *folder, const char *name, bool *found,
                                 struct snug_error *error)
{
    if (folder->files) {
        *found = snug_folder_has(folder, name);
        return SNUG_STATUS_OK;
    }
    char *path = snug_path_join(folder->allocator, folder->path, name);
    if (!path)
        return snug_error_memory(error, strlen(folder->path) + strlen(name) + 2, "a path");
    *found = snug_path_exists(path);
    snug_free(folder->allocator, path);
    return SNUG_STATUS_OK;
}

/* Maps FOLDER/name and adds it. */
static enum snug_status add_from_folder(struct snug_safetensors *checkpoint,
                                        const struct snug_folder *folder, const char *name,
                                        struct snug_error *error)
{
    char *label = snug_path_join(folder->allocator, folder->path, name);
    if (!label)
        return snug_error_memory(error, strlen(folder->path) + strlen(name) + 2, "a path");
    struct snug_blob blob = {0};
    enum snug_status status = snug_folder_map(folder, name, &blob, error);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_add_file(checkpoint, &blob, label, name, error);
    snug_free(folder->allocator, label);
    return status;
}

/* The map and the shards must say the same. Every mapped tensor is there, in its shard; then equal
 * counts leave no room for one that is not mapped. */
static enum snug_status compare_with_map(const struct snug_safetensors *checkpoint, json_t *map,
                                         const char *label, struct snug_error *error)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const struct snug_tensor_view *view = snug_safetensors_find(checkpoint, tensor);
        const char *expected = json_string_value(value);
        if (!view)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: %s lacks a tensor of weight_map ('%s')", label, expected,
                                  tensor);
        const char *found = snug_safetensors_shard_name(checkpoint, view->shard);
        if (strcmp(found, expected) != 0)
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: weight_map names %s, but the tensor is in %s ('%s')", label,
                                  expected, found, tensor);
    }
    if (checkpoint->count == json_object_size(map))
        return SNUG_STATUS_OK;
    for (size_t i = 0; i < checkpoint->count; i++) {
        const struct snug_tensor_view *view = &checkpoint->views[i];
        if (!json_object_get(map, view->name))
            return snug_error_set(error, SNUG_STATUS_FORMAT,
                                  "%s: %s has a tensor that weight_map does not name ('%s')", label,
                                  snug_safetensors_shard_name(checkpoint, view->shard), view->name);
    }
    return SNUG_STATUS_OK;
}

/* Opens the shards named, and compares them with the map. */
static enum snug_status open_shards(const struct snug_folder *folder, const char *label,
                                    json_t *map, const char *const *names, size_t count,
                                    struct snug_safetensors **out, struct snug_error *error)
{
    struct snug_safetensors *checkpoint = NULL;
    enum snug_status status = snug_safetensors_create(count, folder->allocator, &checkpoint, error);
    for (size_t i = 0; i < count && status == SNUG_STATUS_OK; i++)
        status = add_from_folder(checkpoint, folder, names[i], error);
    if (status == SNUG_STATUS_NOT_FOUND)
        status = snug_error_prefix(error, status, "%s names a missing file", INDEX_NAME);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_finish(checkpoint, folder->path, error);
    if (status == SNUG_STATUS_OK)
        status = compare_with_map(checkpoint, map, label, error);
    if (status == SNUG_STATUS_OK)
        *out = checkpoint;
    else
        snug_safetensors_close(checkpoint);
    return status;
}

static enum snug_status open_sharded(const struct snug_folder *folder, bool has_single,
                                     struct snug_safetensors **out, struct snug_error *error)
{
    json_t *root = NULL, *map = NULL;
    const char **names = NULL;
    size_t count = 0;
    char *label = snug_path_join(folder->allocator, folder->path, INDEX_NAME);
    if (!label)
        return snug_error_memory(error, strlen(folder->path) + sizeof INDEX_NAME + 1, "a path");
    enum snug_status status = load_index(folder, label, &root, &map, error);
    if (status != SNUG_STATUS_OK)
        goto out;
    status = list_shards(folder->allocator, label, map, &names, &count, error);
    if (status != SNUG_STATUS_OK)
        goto out;
    if (has_single && (count != 1 || strcmp(names[0], SINGLE_NAME) != 0))
        status = snug_error_set(error, SNUG_STATUS_FORMAT,
                                "%s: both %s and an index of other files; remove the one not meant",
                                folder->path, SINGLE_NAME);
    else
        status = open_shards(folder, label, map, names, count, out, error);
out:
    snug_free(folder->allocator, names);
    json_decref(root);
    snug_free(folder->allocator, label);
    return status;
}

static enum snug_status open_single(const struct snug_folder *folder, struct snug_safetensors **out,
                                    struct snug_error *error)
{
    struct snug_safetensors *checkpoint = NULL;
    enum snug_status status = snug_safetensors_create(1, folder->allocator, &checkpoint, error);
    if (status != SNUG_STATUS_OK)
        return status;
    status = add_from_folder(checkpoint, folder, SINGLE_NAME, error);
    if (status == SNUG_STATUS_OK)
        status = snug_safetensors_finish(checkpoint, folder->path, error);
    if (status != SNUG_STATUS_OK) {
        snug_safetensors_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return SNUG_STATUS_OK;
}

enum snug_status snug_safetensors_open_folder(const struct snug_folder *folder,
                                              struct snug_safetensors **out,
                                              struct snug_error *error)
{
    bool has_index = false, has_single = false;
    enum snug_status status = look_for(folder, INDEX_NAME, &has_index, error);
    if (status == SNUG_STATUS_OK)
        status = look_for(folder, SINGLE_NAME, &has_single, error);
    if (status != SNUG_STATUS_OK)
        return status;
    if (has_index)
        return open_sharded(folder, has_single, out, error);
    if (has_single)
        return open_single(folder, out, error);
    bool pickled = snug_folder_has(folder, "pytorch_model.bin") ||
                   snug_folder_has(folder, "pytorch_model.bin.index.json");
    return snug_error_set(error, SNUG_STATUS_NOT_FOUND, "%s: neither %s nor %s%s", folder->path,
                          SINGLE_NAME, INDEX_NAME,
                          pickled
                              ? " (pytorch_model.bin can run code and is not read: convert it to "
                                "safetensors)"
                              : "");
}
