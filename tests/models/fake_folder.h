/* A model folder in memory, some of whose files have texts replaced.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_MODELS_FAKE_FOLDER_H
#define SNUG_TESTS_MODELS_FAKE_FOLDER_H

#include "../check.h"

#include "base/files.h"

enum { FAKE_FILES = 8 };
struct fake {
    struct snug_embedded_file files[FAKE_FILES];
    unsigned char *data[FAKE_FILES]; /* what they point to */
    struct snug_folder folder;
};

/* A folder of the repository; those of its files that loading a model looks at. */
static inline void fake_open(struct fake *fake, const char *golden)
{
    static const char *const names[] = {"config.json",
                                        "preprocessor_config.json",
                                        "generation_config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};
    struct snug_folder disk = {.path = test_path(golden), .allocator = snug_allocator_heap()};
    *fake = (struct fake){.folder = {.path = "fake", .allocator = snug_allocator_heap()}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct snug_blob blob;
        struct snug_error error;
        if (!snug_folder_has(&disk, names[i]))
            continue;
        assert_ok(snug_folder_read(&disk, names[i], SIZE_MAX, &blob, &error));
        fake->data[count] = malloc(blob.size + 1);
        memcpy(fake->data[count], blob.data, blob.size);
        fake->files[count] = (struct snug_embedded_file){names[i], fake->data[count], blob.size};
        count++;
        snug_blob_free(&blob);
    }
    assert_true(count >= 3);
    fake->folder.files = fake->files;
    fake->folder.file_count = count;
}

/* Spaces so that a header of weights is a multiple of 8 bytes again, and its length. */
static inline size_t fake_mend_header(unsigned char *data, size_t size, size_t from, size_t to)
{
    uint64_t length;
    memcpy(&length, data, 8);
    size_t header = (size_t)length + to - from, spaces = (8 - header % 8) % 8;
    memmove(data + 8 + header + spaces, data + 8 + header, size - 8 - header);
    memset(data + 8 + header, ' ', spaces);
    length = header + spaces;
    memcpy(data, &length, 8);
    return size + spaces;
}

/* The first place where `file` says `from` says `to` afterwards. A file of weights has its header
 * mended. */
static inline void fake_replace(struct fake *fake, const char *file, const char *from,
                                const char *to)
{
    size_t i = 0;
    while (i < fake->folder.file_count && strcmp(fake->files[i].name, file))
        i++;
    assert_true(i < fake->folder.file_count);
    size_t size = fake->files[i].size, removed = strlen(from), added = strlen(to);
    const unsigned char *at = memmem(fake->data[i], size, from, removed);
    if (!at)
        fail_msg("%s has no '%s'", file, from);
    size_t head = (size_t)(at - fake->data[i]);
    unsigned char *changed = malloc(size - removed + added + 8);
    memcpy(changed, fake->data[i], head);
    memcpy(changed + head, to, added);
    memcpy(changed + head + added, at + removed, size - head - removed);
    size = size - removed + added;
    if (strstr(file, ".safetensors") && !strstr(file, ".json"))
        size = fake_mend_header(changed, size, removed, added);
    free(fake->data[i]);
    fake->data[i] = changed;
    fake->files[i].data = changed;
    fake->files[i].size = size;
}

static inline void fake_close(struct fake *fake)
{
    for (int i = 0; i < FAKE_FILES; i++)
        free(fake->data[i]);
}

#endif
