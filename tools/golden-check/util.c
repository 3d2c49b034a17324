/* golden-check: lines, files (also .xz), JSON, SHA-256.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <lzma.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)1 << 30)
#define MAX_LZMA_BYTES ((uint64_t)256 << 20)

/* ---- lines ---- */

/* Flushed at once, so that what was checked before a crash can be seen, in order with stderr. */
static void SNUG_PRINTF(3, 0)
    put_line(const char *verdict, const char *name, const char *format, va_list arguments)
{
    char detail[2048];
    vsnprintf(detail, sizeof detail, format, arguments);
    for (char *c = detail; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    printf("%s %s: %s\n", verdict, name, detail);
    fflush(stdout);
}

void golden_pass(struct golden *g, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line("pass", name, format, arguments);
    va_end(arguments);
    g->passed++;
}

void golden_fail(struct golden *g, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line("FAIL", name, format, arguments);
    va_end(arguments);
    g->failed++;
}

void golden_skip(struct golden *g, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line("skip", name, format, arguments);
    va_end(arguments);
    g->skipped++;
}

/* ---- files ---- */

/* Grows *memory (of *capacity bytes) to at least one byte more, up to MAX_FILE_BYTES + 1 for the
 * NUL. */
static bool grow(struct golden *g, unsigned char **memory, size_t *capacity)
{
    size_t wanted = *capacity ? *capacity * 2 : (size_t)1 << 16;
    if (wanted > MAX_FILE_BYTES + 1)
        wanted = MAX_FILE_BYTES + 1;
    if (wanted == *capacity)
        return false;
    unsigned char *larger = snug_realloc_array(g->allocator, *memory, wanted, 1);
    if (!larger)
        return false;
    *memory = larger;
    *capacity = wanted;
    return true;
}

/* Unpacks one .xz stream or several joined. NULL on success, else what is wrong. */
static const char *unpack(struct golden *g, const struct snug_blob *packed, struct snug_blob *out)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    unsigned char *memory = NULL;
    size_t capacity = 0, length = 0;
    const char *problem = NULL;
    if (lzma_stream_decoder(&stream, MAX_LZMA_BYTES, LZMA_CONCATENATED) != LZMA_OK)
        return "the xz decoder cannot start";
    stream.next_in = packed->data;
    stream.avail_in = packed->size;
    for (;;) {
        /* One byte stays free for the NUL. */
        if (length + 1 >= capacity && !grow(g, &memory, &capacity)) {
            problem = "more than 1 GiB unpacked, or out of memory";
            break;
        }
        stream.next_out = memory + length;
        stream.avail_out = capacity - 1 - length;
        lzma_ret result = lzma_code(&stream, LZMA_FINISH);
        length = capacity - 1 - stream.avail_out;
        if (result == LZMA_STREAM_END)
            break;
        if (result != LZMA_OK) {
            problem = "not a valid xz file";
            break;
        }
    }
    lzma_end(&stream);
    if (problem) {
        snug_free(g->allocator, memory);
        return problem;
    }
    memory[length] = '\0';
    *out = (struct snug_blob){
        .data = memory, .size = length, .owned = memory, .allocator = g->allocator};
    return NULL;
}

/* FOLDER/NAME.xz; false if it is not there, or (after a golden_fail) broken. */
static bool read_packed(struct golden *g, const char *path, struct snug_blob *out)
{
    struct snug_arena arena;
    snug_arena_init(&arena, g->allocator);
    struct snug_blob packed = {0};
    struct snug_error error = {0};
    const char *problem = NULL;
    bool done = false;
    const char *packed_path = snug_arena_printf(&arena, "%s.xz", path);
    if (!packed_path) {
        golden_fail(g, path, "out of memory");
        goto out;
    }
    if (!snug_path_exists(packed_path))
        goto out;
    if (snug_file_read(packed_path, MAX_FILE_BYTES, g->allocator, &packed, &error) !=
        SNUG_STATUS_OK)
        problem = error.message;
    else
        problem = unpack(g, &packed, out);
    if (problem)
        golden_fail(g, packed_path, "%s", problem);
    done = problem == NULL;
out:
    snug_blob_free(&packed);
    snug_arena_free(&arena);
    return done;
}

bool golden_read(struct golden *g, const char *folder, const char *name, struct snug_blob *out)
{
    char *path = snug_path_join(g->allocator, folder, name);
    if (!path) {
        golden_fail(g, name, "out of memory");
        return false;
    }
    bool done;
    if (snug_path_exists(path)) {
        struct snug_error error = {0};
        done = snug_file_read(path, MAX_FILE_BYTES, g->allocator, out, &error) == SNUG_STATUS_OK;
        if (!done)
            golden_fail(g, path, "%s", error.message);
    } else {
        done = read_packed(g, path, out);
    }
    snug_free(g->allocator, path);
    return done;
}

/* ---- JSON ---- */

json_t *golden_json(struct golden *g, const char *folder, const char *name)
{
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    json_t *root = NULL;
    uint64_t failed = g->failed;
    if (!golden_read(g, folder, name, &blob)) {
        if (g->failed == failed)
            golden_fail(g, folder, "%s is not there", name);
        return NULL;
    }
    if (snug_json_parse((const char *)blob.data, blob.size, true, name, &root, &error) !=
        SNUG_STATUS_OK) {
        golden_fail(g, folder, "%s", error.message);
        root = NULL;
    }
    snug_blob_free(&blob);
    return root;
}

bool golden_jsonl(struct golden *g, const char *folder, const char *name, golden_row_fn *row,
                  void *context)
{
    struct snug_blob blob = {0};
    if (!golden_read(g, folder, name, &blob))
        return false;
    int line = 0;
    for (size_t at = 0; at < blob.size;) {
        const unsigned char *start = blob.data + at;
        const unsigned char *end = memchr(start, '\n', blob.size - at);
        size_t length = end ? (size_t)(end - start) : blob.size - at;
        at += end ? length + 1 : length;
        line++;
        size_t first = 0;
        while (first < length && snug_ascii_is_space((char)start[first]))
            first++;
        if (first == length)
            continue;
        struct snug_error error = {0};
        json_t *value = NULL;
        if (snug_json_parse((const char *)start, length, true, name, &value, &error) !=
            SNUG_STATUS_OK) {
            golden_fail(g, folder, "%s, line %d: %s", name, line, error.message);
            continue;
        }
        row(g, context, line, value);
        json_decref(value);
    }
    snug_blob_free(&blob);
    return true;
}

void golden_sha256(const void *data, size_t bytes, char hex[65])
{
    SHA256Data(data, bytes, hex);
}

void golden_wrong(struct golden_rows *rows, int line, const char *format, ...)
{
    if (rows->wrong++ > 0)
        return;
    char detail[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    snprintf(rows->problem, sizeof rows->problem, "line %d: %s", line, detail);
}
