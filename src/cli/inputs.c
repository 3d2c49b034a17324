/* Files and folders to a list of documents.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/inputs.h"

#include "base/limits.h"
#include "base/text.h"

#include <string.h>

static bool is_document(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp",  ".ppm",
                                          ".pgm", ".pbm",  ".pnm", ".tif",  ".tiff", ".pdf"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (snug_text_ends_with_ignore_case(name, endings[i]))
            return true;
    return false;
}

static enum snug_status add(struct snug_inputs *documents, const char *path,
                            struct snug_error *error)
{
    if (documents->count == documents->capacity) {
        size_t capacity = documents->capacity ? 2 * documents->capacity : 64;
        struct snug_input *grown =
            snug_realloc_array(documents->allocator, documents->items, capacity, sizeof *grown);
        if (!grown)
            return snug_error_memory(error, capacity * sizeof *grown, "the list of documents");
        documents->items = grown;
        documents->capacity = capacity;
    }
    const char *copy = snug_arena_strdup(&documents->arena, path);
    if (!copy)
        return snug_error_memory(error, strlen(path), "the list of documents");
    documents->items[documents->count++] = (struct snug_input){copy, copy};
    return SNUG_STATUS_OK;
}

static enum snug_status add_folder(struct snug_inputs *documents, const char *folder,
                                   struct snug_error *error)
{
    struct snug_directory directory = {0};
    enum snug_status status = snug_directory_read(folder, SNUG_MAX_DIRECTORY_ENTRIES,
                                                  documents->allocator, &directory, error);
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    for (size_t i = 0; !status && i < directory.count; i++) {
        if (!is_document(directory.names[i])) {
            documents->ignored++;
            continue;
        }
        const char *separator = folder[length - 1] == '/' ? "" : "/";
        char *path = snug_arena_printf(&documents->arena, "%.*s%s%s", (int)length, folder,
                                       separator, directory.names[i]);
        status = path ? add(documents, path, error)
                      : snug_error_memory(error, length, "the list of documents");
    }
    snug_directory_free(&directory);
    return status;
}

enum snug_status snug_inputs_collect(struct snug_inputs *documents, char *const *names, int count,
                                     const struct snug_allocator *allocator,
                                     struct snug_error *error)
{
    *documents = (struct snug_inputs){.allocator = allocator};
    snug_arena_init(&documents->arena, allocator);
    enum snug_status status = SNUG_STATUS_OK;
    for (int i = 0; i < count && !status; i++)
        status = *names[i] && snug_path_is_directory(names[i])
                     ? add_folder(documents, names[i], error)
                     : add(documents, names[i], error);
    return status;
}

void snug_inputs_free(struct snug_inputs *documents)
{
    if (!documents->allocator)
        return;
    snug_free(documents->allocator, documents->items);
    snug_arena_free(&documents->arena);
    *documents = (struct snug_inputs){0};
}
