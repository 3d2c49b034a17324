/* Files: whole reads with a maximum, read-only mappings, atomic writes, folders.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_FILES_H
#define SNUG_BASE_FILES_H

#include "base/alloc.h"

/* Read-only bytes, however they came: mapped, read into memory, or linked into the program. */
struct snug_blob {
    const unsigned char
        *data; /* not NUL-terminated, except after snug_file_read (then one NUL follows) */
    size_t size;
    /* private */
    void *owned;
    size_t mapped_bytes;
    const struct snug_allocator *allocator;
};
void snug_blob_free(struct snug_blob *blob); /* zeroed blob allowed; leaves it zeroed */

/* Opens a regular file for reading; the caller closes *fd. Errors: NOT_FOUND, IO, LIMIT (a size
 * beyond memory's). For base; others read through bytes.h or the functions below. */
SNUG_CHECK_RESULT enum snug_status snug_file_open(const char *path, int *fd, size_t *size_bytes,
                                                  struct snug_error *error);

/* The whole of a regular file into memory. Errors: NOT_FOUND, IO (also for a folder, a device, a
 * pipe), LIMIT if larger than max_bytes, MEMORY. Messages carry the path and the system's reason.
 */
SNUG_CHECK_RESULT enum snug_status snug_file_read(const char *path, size_t max_bytes,
                                                  const struct snug_allocator *allocator,
                                                  struct snug_blob *out, struct snug_error *error);
/* Maps a regular file read-only (an empty file gives size 0). If another process truncates it
 * later, touching the lost pages raises SIGBUS. Same errors. */
SNUG_CHECK_RESULT enum snug_status snug_file_map(const char *path, struct snug_blob *out,
                                                 struct snug_error *error);

/* Reads all pages of a mapping in; false if some cannot be (the file was cut short, the disk
 * fails). True for bytes that are not mapped. */
bool snug_blob_populate(const struct snug_blob *blob);
/* Tells the kernel that these bytes of a mapping are not needed any more (a hint). */
void snug_blob_discard(const struct snug_blob *blob, size_t offset, size_t bytes);

/* ---- atomic writing: temporary file beside the target, fsync, rename, fsync of the folder ----
 * A target that is no regular file (/dev/null, a pipe) or one of the process's streams
 * (/dev/stdout) is written directly. A symbolic link to a file is replaced, not followed. One
 * thread a writer. Errors: NOT_FOUND (no such folder), IO (also a full disk), MEMORY. */
struct snug_file_writer; /* opaque */
SNUG_CHECK_RESULT enum snug_status snug_file_writer_open(const char *path,
                                                         const struct snug_allocator *allocator,
                                                         struct snug_file_writer **out,
                                                         struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_file_writer_write(struct snug_file_writer *writer,
                                                          const void *bytes, size_t length,
                                                          struct snug_error *error);
/* Makes the file appear under its name and frees the writer, also on failure (then nothing
 * appears, unless only the folder's fsync failed). Fails if a write has failed before. */
SNUG_CHECK_RESULT enum snug_status snug_file_writer_commit(struct snug_file_writer *writer,
                                                           struct snug_error *error);
void snug_file_writer_cancel(
    struct snug_file_writer *writer); /* removes the temporary; NULL allowed */

/* ---- folders ---- */
bool snug_path_is_directory(const char *path);
bool snug_path_exists(const char *path);
/* The part after the last '/', the path itself if there is none. */
const char *snug_path_base(const char *path);
/* folder + "/" + name, allocated (no '/' added after one, or after ""). NULL if refused. */
char *snug_path_join(const struct snug_allocator *allocator, const char *folder, const char *name);

struct snug_directory {
    char **names; /* names of regular files (symbolic links followed), sorted by bytes */
    size_t count;
    size_t skipped; /* entries that are not regular files */
    const struct snug_allocator *allocator;
};
SNUG_CHECK_RESULT enum snug_status snug_directory_read(const char *path, size_t max_entries,
                                                       const struct snug_allocator *allocator,
                                                       struct snug_directory *out,
                                                       struct snug_error *error);
void snug_directory_free(struct snug_directory *directory);

/* ---- a model folder: on disk, or linked into the program; one way to get at its files ---- */
struct snug_embedded_file {
    const char *name;
    const unsigned char *data;
    size_t size;
};
struct snug_folder {
    const char *path;                       /* for messages; the folder on disk if files is NULL */
    const struct snug_embedded_file *files; /* linked-in files, or NULL */
    size_t file_count;
    const struct snug_allocator *allocator; /* for reads and paths */
};
bool snug_folder_has(const struct snug_folder *folder, const char *name);
/* Reads (small files: configuration) or maps (weights) a file of the folder. `name` must be a plain
 * base name, else FORMAT. Messages carry "FOLDER/NAME". Embedded files are not copied. */
SNUG_CHECK_RESULT enum snug_status snug_folder_read(const struct snug_folder *folder,
                                                    const char *name, size_t max_bytes,
                                                    struct snug_blob *out,
                                                    struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_folder_map(const struct snug_folder *folder,
                                                   const char *name, struct snug_blob *out,
                                                   struct snug_error *error);

#endif
