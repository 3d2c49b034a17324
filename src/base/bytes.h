/* Bytes that are read at offsets: in memory, or of a file through one small window, so that a large
 * file costs little. Read with pread, never mapped: a file that is cut short while it is read is an
 * error, not a signal. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_BYTES_H
#define SNUG_BASE_BYTES_H

#include "base/alloc.h"

#define SNUG_BYTES_WINDOW ((size_t)65536)

/* One thread at a time. */
struct snug_bytes {
    const char *name; /* for messages; the caller's, must live as long */
    uint64_t size;
    size_t most; /* a view gives no more than this; 0: whatever there is (tests set it) */
    /* private */
    const unsigned char *data; /* in memory; NULL: a file */
    int fd;
    unsigned char *window; /* SNUG_BYTES_WINDOW bytes of room */
    uint64_t window_at;    /* what it holds: window_bytes from this offset of the file on */
    size_t window_bytes;
    const struct snug_allocator *allocator;
    bool failed; /* a read has failed, */
    int reason;  /* for this errno; 0: the file has become shorter */
};

/* Bytes in memory, which must live as long. Nothing to close, nothing can fail. */
struct snug_bytes snug_bytes_of(const char *name, const unsigned char *data, size_t size);
/* A regular file of at most max_bytes; its size is that of now. Errors: NOT_FOUND, IO (also for a
 * folder, a device, a pipe), LIMIT, MEMORY (the window). */
SNUG_CHECK_RESULT enum snug_status snug_bytes_open(const char *path, size_t max_bytes,
                                                   const struct snug_allocator *allocator,
                                                   struct snug_bytes *out,
                                                   struct snug_error *error);
void snug_bytes_close(struct snug_bytes *bytes); /* zeroed allowed, memory allowed */

/* What is there from `offset` on, at least one byte, *count of them; moves the window if it must.
 * NULL, and *count 0: at the end, or a read has failed. Valid until the next view, span or read. */
const unsigned char *snug_bytes_view(struct snug_bytes *bytes, uint64_t offset, size_t *count);
/* Exactly these bytes, count <= SNUG_BYTES_WINDOW, in one piece. NULL: beyond the end, or failed.
 */
const unsigned char *snug_bytes_span(struct snug_bytes *bytes, uint64_t offset, size_t count);
/* Copies them through the window: for reading on and on. False: beyond the end, or failed. */
SNUG_CHECK_RESULT bool snug_bytes_read(struct snug_bytes *bytes, uint64_t offset, void *to,
                                       size_t count);
/* The same, but leaves the window where it is: for a look elsewhere, or for much at once. */
SNUG_CHECK_RESULT bool snug_bytes_peek(struct snug_bytes *bytes, uint64_t offset, void *to,
                                       size_t count);
/* OK, or IO once a read has failed, with the system's reason. */
SNUG_CHECK_RESULT enum snug_status snug_bytes_status(const struct snug_bytes *bytes,
                                                     struct snug_error *error);

#endif
