/* Files: whole reads, mappings, and folders. Writing is in writer.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* One read(2) at most; Linux takes no more than 2 GiB anyway. */
#define READ_BYTES ((size_t)1 << 30)

static enum snug_status system_error(struct snug_error *error, const char *path, const char *verb,
                                     int number)
{
    enum snug_status status = number == ENOENT || number == ENOTDIR ? SNUG_STATUS_NOT_FOUND
                              : number == ENOMEM                    ? SNUG_STATUS_MEMORY
                                                                    : SNUG_STATUS_IO;

    return snug_error_set(error, status, "cannot %s %s: %s", verb, path, strerror(number));
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)                    ? "a folder"
           : S_ISFIFO(mode)                 ? "a pipe"
           : S_ISSOCK(mode)                 ? "a socket"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                            : "not a regular file";
}

/* O_NONBLOCK: opening a pipe that nobody writes must not hang. */
enum snug_status snug_file_open(const char *path, int *out, size_t *size_bytes,
                                struct snug_error *error)
{
    struct stat info;
    int fd;

    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return system_error(error, path, "open", errno);

    enum snug_status status = SNUG_STATUS_OK;
    if (fstat(fd, &info) != 0)
        status = system_error(error, path, "read", errno);
    else if (!S_ISREG(info.st_mode))
        status = snug_error_set(error, SNUG_STATUS_IO, "cannot read %s: it is %s, not a file", path,
                                kind_of(info.st_mode));
    else if (info.st_size < 0 || (uint64_t)info.st_size > SIZE_MAX / 2)
        status = snug_error_set(error, SNUG_STATUS_LIMIT, "cannot read %s: too large", path);
    if (status != SNUG_STATUS_OK) {
        close(fd);
        return status;
    }
    *out = fd;
    *size_bytes = (size_t)info.st_size;
    return SNUG_STATUS_OK;
}

/* ---- blobs ---- */

void snug_blob_free(struct snug_blob *blob)
{
    if (blob->mapped_bytes)
        munmap(blob->owned, blob->mapped_bytes);
    else if (blob->owned)
        snug_free(blob->allocator, blob->owned);
    *blob = (struct snug_blob){0};
}

static enum snug_status too_large(const char *path, size_t max_bytes, struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
}

/* Reads to the end of the file, whatever its size was said to be: it may grow or shrink meanwhile,
 * and files of /proc say 0. *buffer: the caller's to free, also on failure. */
static enum snug_status read_all(int fd, const char *path, size_t expected_bytes, size_t max_bytes,
                                 const struct snug_allocator *allocator, unsigned char **buffer,
                                 size_t *length, struct snug_error *error)
{
    size_t capacity = 0, used = 0;

    for (;;) {
        /* one byte more than expected, so that the end is seen, and the NUL */
        if (capacity - used < 2) {
            size_t wanted = capacity ? capacity * 2 : expected_bytes + 2;
            unsigned char *grown = snug_realloc_array(allocator, *buffer, wanted, 1);
            if (!grown)
                return snug_error_memory(error, wanted, path);
            *buffer = grown;
            capacity = wanted;
        }
        size_t room = capacity - used - 1;
        ssize_t count = read(fd, *buffer + used, room < READ_BYTES ? room : READ_BYTES);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return system_error(error, path, "read", errno);
        }
        if (count == 0)
            break;
        used += (size_t)count;
        if (used > max_bytes)
            return too_large(path, max_bytes, error);
    }
    (*buffer)[used] = '\0';
    *length = used;
    return SNUG_STATUS_OK;
}

enum snug_status snug_file_read(const char *path, size_t max_bytes,
                                const struct snug_allocator *allocator, struct snug_blob *out,
                                struct snug_error *error)
{
    int fd = -1;
    size_t size_bytes = 0, length = 0;
    unsigned char *buffer = NULL;
    enum snug_status status = snug_file_open(path, &fd, &size_bytes, error);

    if (status != SNUG_STATUS_OK)
        return status;
    if (size_bytes > max_bytes)
        status = too_large(path, max_bytes, error);
    else
        status = read_all(fd, path, size_bytes, max_bytes, allocator, &buffer, &length, error);
    close(fd);
    if (status != SNUG_STATUS_OK) {
        snug_free(allocator, buffer);
        return status;
    }
    *out =
        (struct snug_blob){.data = buffer, .size = length, .owned = buffer, .allocator = allocator};
    return SNUG_STATUS_OK;
}

enum snug_status snug_file_map(const char *path, struct snug_blob *out, struct snug_error *error)
{
    int fd = -1;
    size_t size_bytes = 0;
    enum snug_status status = snug_file_open(path, &fd, &size_bytes, error);

    if (status != SNUG_STATUS_OK)
        return status;
    if (size_bytes == 0) { /* mmap refuses empty mappings */
        close(fd);
        *out = (struct snug_blob){.data = (const unsigned char *)""};
        return SNUG_STATUS_OK;
    }
    void *memory = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int number = errno;
    close(fd); /* the mapping keeps the file */
    if (memory == MAP_FAILED)
        return system_error(error, path, "map", number);
    *out = (struct snug_blob){
        .data = memory, .size = size_bytes, .owned = memory, .mapped_bytes = size_bytes};
    return SNUG_STATUS_OK;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

bool snug_blob_populate(const struct snug_blob *blob)
{
    if (!blob->mapped_bytes)
        return true;
    if (!madvise(blob->owned, blob->mapped_bytes, MADV_POPULATE_READ))
        return true;
    /* an older kernel: the pages come when they are touched */
    return errno == EINVAL && !madvise(blob->owned, blob->mapped_bytes, MADV_WILLNEED);
}

void snug_blob_discard(const struct snug_blob *blob, size_t offset, size_t bytes)
{
    if (!blob->mapped_bytes || offset >= blob->size)
        return;
    if (bytes > blob->size - offset)
        bytes = blob->size - offset;

    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = offset + bytes;
    /* whole pages only: a neighbour's bytes on the same page would be read again; the last page of
     * the mapping has no neighbour */
    size_t first = offset % page ? offset + (page - offset % page) : offset;
    size_t last = end == blob->size ? end : end - end % page;
    if (first < last)
        (void)madvise((unsigned char *)blob->owned + first, last - first, MADV_DONTNEED);
}

/* ---- paths ---- */

bool snug_path_is_directory(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool snug_path_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

const char *snug_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *snug_path_join(const struct snug_allocator *allocator, const char *folder, const char *name)
{
    size_t head = strlen(folder), tail = strlen(name), bytes = 0;
    /* an empty folder is the current one, not the root */
    size_t slash = head > 0 && folder[head - 1] != '/' ? 1 : 0;

    if (!snug_add_size(head + slash + 1, tail, &bytes))
        return NULL;
    char *path = snug_alloc(allocator, bytes);
    if (!path)
        return NULL;
    memcpy(path, folder, head);
    if (slash)
        path[head] = '/';
    memcpy(path + head + slash, name, tail + 1);
    return path;
}

/* ---- folders ---- */

void snug_directory_free(struct snug_directory *directory)
{
    for (size_t i = 0; i < directory->count; i++)
        snug_free(directory->allocator, directory->names[i]);
    if (directory->names)
        snug_free(directory->allocator, directory->names);
    *directory = (struct snug_directory){0};
}

static bool directory_add(struct snug_directory *directory, size_t *capacity, const char *name)
{
    if (directory->count == *capacity) {
        size_t wanted = *capacity ? *capacity * 2 : 64;
        char **names =
            snug_realloc_array(directory->allocator, directory->names, wanted, sizeof *names);
        if (!names)
            return false;
        directory->names = names;
        *capacity = wanted;
    }
    char *copy = snug_strdup(directory->allocator, name);
    if (!copy)
        return false;
    directory->names[directory->count++] = copy;
    return true;
}

static enum snug_status directory_fill(DIR *stream, const char *path, size_t max_entries,
                                       struct snug_directory *directory, struct snug_error *error)
{
    size_t capacity = 0;

    for (;;) {
        struct stat info;
        errno = 0;
        struct dirent *entry = readdir(stream);

        if (!entry)
            return errno ? system_error(error, path, "read", errno) : SNUG_STATUS_OK;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (directory->count + directory->skipped >= max_entries)
            return snug_error_set(error, SNUG_STATUS_LIMIT, "%s has more than %zu entries", path,
                                  max_entries);
        if (fstatat(dirfd(stream), entry->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode))
            directory->skipped++;
        else if (!directory_add(directory, &capacity, entry->d_name))
            return snug_error_memory(error, strlen(entry->d_name) + 1, path);
    }
}

/* strcmp compares as unsigned bytes. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum snug_status snug_directory_read(const char *path, size_t max_entries,
                                     const struct snug_allocator *allocator,
                                     struct snug_directory *out, struct snug_error *error)
{
    int fd;

    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) /* ENOTDIR: a part of the path, or the path itself */
        return errno == ENOTDIR && snug_path_exists(path)
                   ? snug_error_set(error, SNUG_STATUS_IO, "cannot read %s: it is not a folder",
                                    path)
                   : system_error(error, path, "open", errno);
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int number = errno;
        close(fd);
        return system_error(error, path, "read", number);
    }
    struct snug_directory directory = {.allocator = allocator};
    enum snug_status status = directory_fill(stream, path, max_entries, &directory, error);
    closedir(stream);
    if (status != SNUG_STATUS_OK) {
        snug_directory_free(&directory);
        return status;
    }
    if (directory.count > 1)
        qsort(directory.names, directory.count, sizeof *directory.names, compare_names);
    *out = directory;
    return SNUG_STATUS_OK;
}

/* ---- model folders ---- */

/* No way out of the folder by a name that a file of the model gives. */
static bool name_is_plain(const char *name)
{
    return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static const struct snug_embedded_file *find_embedded(const struct snug_folder *folder,
                                                      const char *name)
{
    for (size_t i = 0; i < folder->file_count; i++) {
        if (strcmp(folder->files[i].name, name) == 0)
            return &folder->files[i];
    }
    return NULL;
}

bool snug_folder_has(const struct snug_folder *folder, const char *name)
{
    struct stat info;

    if (!name_is_plain(name))
        return false;
    if (folder->files)
        return find_embedded(folder, name) != NULL;
    /* On the stack: a refused allocation must not read as "not there". */
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return length > 0 && (size_t)length < sizeof path && stat(path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

/* Reads (at most max_bytes) or maps. */
static enum snug_status folder_open(const struct snug_folder *folder, const char *name, bool map,
                                    size_t max_bytes, struct snug_blob *out,
                                    struct snug_error *error)
{
    if (!name_is_plain(name))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: \"%s\" is not a plain file name",
                              folder->path, name);
    if (folder->files) {
        const struct snug_embedded_file *file = find_embedded(folder, name);
        if (!file)
            return snug_error_set(error, SNUG_STATUS_NOT_FOUND, "%s/%s: no such embedded file",
                                  folder->path, name);
        if (file->size > max_bytes)
            return snug_error_set(error, SNUG_STATUS_LIMIT, "%s/%s is larger than %zu bytes",
                                  folder->path, name, max_bytes);
        *out = (struct snug_blob){.data = file->data, .size = file->size};
        return SNUG_STATUS_OK;
    }
    char *path = snug_path_join(folder->allocator, folder->path, name);
    if (!path)
        return snug_error_memory(error, strlen(folder->path) + strlen(name) + 2, name);
    enum snug_status status = map ? snug_file_map(path, out, error)
                                  : snug_file_read(path, max_bytes, folder->allocator, out, error);
    snug_free(folder->allocator, path);
    return status;
}

enum snug_status snug_folder_read(const struct snug_folder *folder, const char *name,
                                  size_t max_bytes, struct snug_blob *out, struct snug_error *error)
{
    return folder_open(folder, name, false, max_bytes, out, error);
}

enum snug_status snug_folder_map(const struct snug_folder *folder, const char *name,
                                 struct snug_blob *out, struct snug_error *error)
{
    return folder_open(folder, name, true, SIZE_MAX, out, error);
}
