/* Fuzzing: any bytes as a safetensors file; bytes that begin with '{' also as the index of a folder
 * of two good shards (tensors "a" and "b"). Seeds: fuzz/corpus/safetensors,
 * tests/golden/safetensors. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

/* What holds for every checkpoint that was accepted; reads the ends of every tensor. */
static void check(const struct snug_safetensors *checkpoint)
{
    size_t count = snug_safetensors_count(checkpoint);
    for (size_t i = 0; i < count; i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(checkpoint, i);
        SNUG_ASSERT(snug_safetensors_find(checkpoint, view->name) == view);
        SNUG_ASSERT(i == 0 || strcmp(snug_safetensors_at(checkpoint, i - 1)->name, view->name) < 0);
        SNUG_ASSERT((uint64_t)view->elements * (uint64_t)snug_dtype_bits(view->dtype) ==
                    (uint64_t)view->bytes * 8);
        if (view->bytes) {
            sink = view->data[0];
            sink = view->data[view->bytes - 1];
        }
    }
    const struct snug_metadata_entry *entries = NULL;
    size_t entry_count = snug_safetensors_metadata(checkpoint, &entries);
    for (size_t i = 0; i < entry_count; i++)
        SNUG_ASSERT(entries[i].key && entries[i].value);
}

static void try_file(const uint8_t *data, size_t size)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    /* A block of exactly this size, so that the sanitizer sees a read beyond it. */
    unsigned char *copy = snug_alloc(heap, size);
    if (!copy)
        return;
    if (size)
        memcpy(copy, data, size);
    struct snug_blob blob = {.data = copy, .size = size, .owned = copy, .allocator = heap};
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    if (snug_safetensors_open_blob(&blob, "input", heap, &checkpoint, &error) == SNUG_STATUS_OK) {
        check(checkpoint);
        snug_safetensors_close(checkpoint);
    } else {
        SNUG_ASSERT(error.message[0] != '\0');
    }
}

static void try_index(const uint8_t *data, size_t size)
{
    static const unsigned char first[] =
        "\x35\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}xy";
    static const unsigned char second[] =
        "\x35\0\0\0\0\0\0\0{\"b\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]}}xy";
    const struct snug_embedded_file files[] = {
        {"model.safetensors.index.json", data, size},
        {"1.safetensors", first, sizeof first - 1},
        {"2.safetensors", second, sizeof second - 1},
    };
    const struct snug_folder folder = {
        .path = "folder", .files = files, .file_count = 3, .allocator = snug_allocator_heap()};
    struct snug_safetensors *checkpoint = NULL;
    if (snug_safetensors_open_folder(&folder, &checkpoint, NULL) == SNUG_STATUS_OK) {
        check(checkpoint);
        snug_safetensors_close(checkpoint);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_file(data, size);
    if (size && data[0] == '{')
        try_index(data, size);
    return 0;
}
