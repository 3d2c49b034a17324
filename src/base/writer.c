/* Atomic writing: a temporary file beside the target, fsync, rename, fsync of the folder.
 *
 *     open  -> writing --commit--> synced -> renamed -> folder synced
 *                 \--- any failure or cancel: the temporary is removed
 *
 * A target that exists and is no regular file (/dev/null, a terminal, a named pipe), and the names
 * of the process's own streams (/dev/stdout, /dev/fd/N) are written directly: there is nothing to
 * rename. A target that is a symbolic link to a file is replaced, not followed.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names tried before giving up on a folder full of leftovers. */
#define NAME_ATTEMPTS 1000

struct snug_file_writer {
    const struct snug_allocator *allocator;
    char *path;      /* the target */
    char *temporary; /* NULL: written directly */
    int fd;
    int failed; /* errno of the first failed write, 0 = none */
};

static enum snug_status write_error(const char *path, int number, struct snug_error *error)
{
    enum snug_status status =
        number == ENOENT || number == ENOTDIR ? SNUG_STATUS_NOT_FOUND : SNUG_STATUS_IO;

    return snug_error_set(error, status, "cannot write %s: %s", path, strerror(number));
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Length of the folder part of path with its '/', 0 for the current folder. */
static size_t folder_length(const char *path)
{
    return (size_t)(snug_path_base(path) - path);
}

/* Own streams by name: where they lead to a regular file, renaming would replace the name in /dev.
 */
static bool is_own_stream(const char *path)
{
    return strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0 ||
           strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/self/fd/", 14) == 0;
}

static enum snug_status open_directly(struct snug_file_writer *writer, struct snug_error *error)
{
    /* a duplicate shares the position, so that appending redirections are kept */
    if (strcmp(writer->path, "/dev/stdout") == 0)
        writer->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else if (strcmp(writer->path, "/dev/stderr") == 0)
        writer->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        writer->fd = open_retrying(writer->path, O_WRONLY | O_NOCTTY, 0);
    return writer->fd < 0 ? write_error(writer->path, errno, error) : SNUG_STATUS_OK;
}

static enum snug_status open_temporary(struct snug_file_writer *writer, struct snug_error *error)
{
    static unsigned counter; /* shared by threads */
    size_t folder = folder_length(writer->path), bytes = folder + 64;

    writer->temporary = snug_alloc(writer->allocator, bytes);
    if (!writer->temporary)
        return snug_error_memory(error, bytes, writer->path);
    memcpy(writer->temporary, writer->path, folder);
    for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
        unsigned number = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
        /* hidden, short whatever the target is called, and not taken for a document */
        snprintf(writer->temporary + folder, 64, ".snug-%ld-%u.tmp", (long)getpid(), number);
        writer->fd = open_retrying(writer->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (writer->fd >= 0)
            return SNUG_STATUS_OK;
        if (errno != EEXIST)
            break;
    }
    int reason = errno;
    snug_free(writer->allocator, writer->temporary);
    writer->temporary = NULL;
    return write_error(writer->path, reason, error);
}

static void writer_free(struct snug_file_writer *writer)
{
    const struct snug_allocator *allocator = writer->allocator;

    if (writer->fd >= 0)
        close(writer->fd);
    snug_free(allocator, writer->temporary);
    snug_free(allocator, writer->path);
    snug_free(allocator, writer);
}

enum snug_status snug_file_writer_open(const char *path, const struct snug_allocator *allocator,
                                       struct snug_file_writer **out, struct snug_error *error)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;

    if (!path[0])
        return snug_error_set(error, SNUG_STATUS_NOT_FOUND, "cannot write: empty file name");
    if (!snug_path_base(path)[0] || (exists && S_ISDIR(info.st_mode)))
        return snug_error_set(error, SNUG_STATUS_IO, "cannot write %s: it is a folder", path);

    struct snug_file_writer *writer = snug_calloc(allocator, 1, sizeof *writer);
    if (!writer)
        return snug_error_memory(error, sizeof *writer, path);
    writer->allocator = allocator;
    writer->fd = -1;
    writer->path = snug_strdup(allocator, path);
    enum snug_status status;
    if (!writer->path)
        status = snug_error_memory(error, strlen(path) + 1, path);
    else if (is_own_stream(path) || (exists && !S_ISREG(info.st_mode)))
        status = open_directly(writer, error);
    else
        status = open_temporary(writer, error);
    if (status != SNUG_STATUS_OK) {
        writer_free(writer);
        return status;
    }
    *out = writer;
    return SNUG_STATUS_OK;
}

enum snug_status snug_file_writer_write(struct snug_file_writer *writer, const void *bytes,
                                        size_t length, struct snug_error *error)
{
    const unsigned char *at = bytes;

    while (length > 0 && !writer->failed) {
        ssize_t count = write(writer->fd, at, length);
        if (count > 0) {
            at += count;
            length -= (size_t)count;
        } else if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            /* a stream that somebody else made non-blocking */
            struct pollfd wait = {.fd = writer->fd, .events = POLLOUT};
            if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                writer->failed = errno;
        } else if (count == 0 || errno != EINTR) {
            writer->failed = count == 0 ? EIO : errno;
        }
    }
    return writer->failed ? write_error(writer->path, writer->failed, error) : SNUG_STATUS_OK;
}

static int fsync_retrying(int fd)
{
    int result;

    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Makes the rename itself durable. File systems that cannot do it say EINVAL; then nothing can. */
static int sync_folder(const char *temporary)
{
    char *slash = strrchr(temporary, '/');
    int fd, number = 0;

    if (slash) {
        char kept = slash[1];
        slash[1] = '\0'; /* "folder/", or "/" */
        fd = open_retrying(temporary, O_RDONLY | O_DIRECTORY, 0);
        slash[1] = kept;
    } else {
        fd = open_retrying(".", O_RDONLY | O_DIRECTORY, 0);
    }
    if (fd < 0) /* a folder that may be written but not read */
        return errno == EACCES ? 0 : errno;
    if (fsync_retrying(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        number = errno;
    close(fd);
    return number;
}

/* 0, or the errno of what failed. */
static int commit_steps(struct snug_file_writer *writer)
{
    if (writer->failed)
        return writer->failed;
    if (!writer->temporary) { /* streams and devices cannot be synced, mostly */
        int fd = writer->fd;
        writer->fd = -1;
        return close(fd) != 0 && errno != EINTR ? errno : 0;
    }
    if (fsync_retrying(writer->fd) != 0)
        return errno;
    int fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0 && errno != EINTR) /* network file systems tell late */
        return errno;
    if (rename(writer->temporary, writer->path) != 0)
        return errno;
    int number = sync_folder(writer->temporary);
    snug_free(writer->allocator, writer->temporary); /* no longer ours to remove */
    writer->temporary = NULL;
    return number;
}

enum snug_status snug_file_writer_commit(struct snug_file_writer *writer, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    int number = commit_steps(writer);

    if (number) {
        status = write_error(writer->path, number, error);
        if (writer->temporary)
            unlink(writer->temporary);
    }
    writer_free(writer);
    return status;
}

void snug_file_writer_cancel(struct snug_file_writer *writer)
{
    if (!writer)
        return;
    if (writer->temporary)
        unlink(writer->temporary);
    writer_free(writer);
}
