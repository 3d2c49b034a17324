/* Bytes at offsets: memory, or a file through a window.
 *
 *     file    |..........................................|
 *     window           |=========|                          window_at, window_bytes
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include "base/files.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct snug_bytes snug_bytes_of(const char *name, const unsigned char *data, size_t size)
{
    return (struct snug_bytes){
        .name = name, .size = size, .data = size ? data : (const unsigned char *)"", .fd = -1};
}

enum snug_status snug_bytes_open(const char *path, size_t max_bytes,
                                 const struct snug_allocator *allocator, struct snug_bytes *out,
                                 struct snug_error *error)
{
    int fd = -1;
    size_t size = 0;
    SNUG_TRY(snug_file_open(path, &fd, &size, error));
    if (size > max_bytes) {
        close(fd);
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s is larger than %zu bytes", path,
                              max_bytes);
    }
    unsigned char *window = snug_alloc(allocator, SNUG_BYTES_WINDOW);
    if (!window) {
        close(fd);
        return snug_error_memory(error, SNUG_BYTES_WINDOW, path);
    }
    *out = (struct snug_bytes){
        .name = path, .size = size, .fd = fd, .window = window, .allocator = allocator};
    return SNUG_STATUS_OK;
}

void snug_bytes_close(struct snug_bytes *bytes)
{
    if (bytes->window) {
        snug_free(bytes->allocator, bytes->window);
        close(bytes->fd);
    }
    *bytes = (struct snug_bytes){.fd = -1};
}

/* All of them or none. */
static bool read_file(struct snug_bytes *bytes, uint64_t offset, unsigned char *to, size_t count)
{
    while (count && !bytes->failed) {
        ssize_t got = pread(bytes->fd, to, count, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            bytes->failed = true;
            bytes->reason = got < 0 ? errno : 0;
            break;
        }
        to += got;
        offset += (uint64_t)got;
        count -= (size_t)got;
    }
    return !bytes->failed;
}

static bool is_inside(const struct snug_bytes *bytes, uint64_t offset, size_t count)
{
    return offset <= bytes->size && count <= bytes->size - offset;
}

static bool window_holds(const struct snug_bytes *bytes, uint64_t offset, size_t count)
{
    return offset >= bytes->window_at && offset - bytes->window_at <= bytes->window_bytes &&
           count <= bytes->window_bytes - (size_t)(offset - bytes->window_at);
}

/* Puts the window at `offset`, as full as the file allows. */
static bool move_window(struct snug_bytes *bytes, uint64_t offset)
{
    uint64_t left = bytes->size - offset;
    size_t count = left < SNUG_BYTES_WINDOW ? (size_t)left : SNUG_BYTES_WINDOW;
    bytes->window_bytes = 0;
    if (!read_file(bytes, offset, bytes->window, count))
        return false;
    bytes->window_at = offset;
    bytes->window_bytes = count;
    return true;
}

const unsigned char *snug_bytes_span(struct snug_bytes *bytes, uint64_t offset, size_t count)
{
    SNUG_ASSERT(count <= SNUG_BYTES_WINDOW);
    if (bytes->failed || !is_inside(bytes, offset, count))
        return NULL;
    if (bytes->data)
        return bytes->data + offset;
    if (!window_holds(bytes, offset, count) && !move_window(bytes, offset))
        return NULL;
    return bytes->window + (offset - bytes->window_at);
}

const unsigned char *snug_bytes_view(struct snug_bytes *bytes, uint64_t offset, size_t *count)
{
    const unsigned char *from = snug_bytes_span(bytes, offset, 1);
    *count = 0;
    if (!from)
        return NULL;
    *count = bytes->data ? (size_t)(bytes->size - offset)
                         : bytes->window_bytes - (size_t)(offset - bytes->window_at);
    if (bytes->most && *count > bytes->most)
        *count = bytes->most;
    return from;
}

bool snug_bytes_read(struct snug_bytes *bytes, uint64_t offset, void *to, size_t count)
{
    if (!is_inside(bytes, offset, count))
        return false;
    for (unsigned char *at = to; count;) {
        size_t now;
        const unsigned char *from = snug_bytes_view(bytes, offset, &now);
        if (!from)
            return false;
        if (now > count)
            now = count;
        memcpy(at, from, now);
        at += now;
        offset += now;
        count -= now;
    }
    return true;
}

bool snug_bytes_peek(struct snug_bytes *bytes, uint64_t offset, void *to, size_t count)
{
    if (bytes->failed || !is_inside(bytes, offset, count))
        return false;
    if (!bytes->data && !window_holds(bytes, offset, count))
        return read_file(bytes, offset, to, count);
    if (count)
        memcpy(to, bytes->data ? bytes->data + offset : bytes->window + (offset - bytes->window_at),
               count);
    return true;
}

enum snug_status snug_bytes_status(const struct snug_bytes *bytes, struct snug_error *error)
{
    if (!bytes->failed)
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_IO, "cannot read %s: %s", bytes->name,
                          bytes->reason ? strerror(bytes->reason)
                                        : "it has become shorter while it was read");
}
