/* Tests of base/files.c and base/writer.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64]; /* a fresh one for every test */

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/snug-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

/* One level of files and folders is all that the tests make. */
static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void make_file(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(in_folder(name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *name, const char *expected)
{
    struct snug_blob blob = {0};
    struct snug_error error = {0};

    if (snug_file_read(in_folder(name), 1 << 20, snug_allocator_heap(), &blob, &error))
        fail_msg("%s", error.message);
    assert_string_equal((const char *)blob.data, expected);
    snug_blob_free(&blob);
}

static size_t entries(void)
{
    struct snug_directory directory;

    assert_int_equal(snug_directory_read(folder, 1000, snug_allocator_heap(), &directory, NULL), 0);
    size_t count = directory.count + directory.skipped;
    snug_directory_free(&directory);
    return count;
}

/* ---- reading ---- */

static void test_read(void **state)
{
    (void)state;
    struct snug_blob blob = {0};
    struct snug_error error;
    const struct snug_allocator *heap = snug_allocator_heap();

    make_file("empty", "", 0);
    make_file("ten", "0123456789", 10);
    assert_int_equal(snug_file_read(in_folder("empty"), 0, heap, &blob, &error), 0);
    assert_int_equal(blob.size, 0);
    assert_int_equal(blob.data[0], 0);
    snug_blob_free(&blob);
    assert_null(blob.data);
    snug_blob_free(&blob);

    assert_int_equal(snug_file_read(in_folder("ten"), 10, heap, &blob, &error), 0);
    assert_int_equal(blob.size, 10);
    assert_memory_equal(blob.data, "0123456789", 11);
    snug_blob_free(&blob);
    assert_int_equal(snug_file_read(in_folder("ten"), SIZE_MAX, heap, &blob, &error), 0);
    snug_blob_free(&blob);
    assert_int_equal(snug_file_read(in_folder("ten"), 9, heap, &blob, &error), SNUG_STATUS_LIMIT);
    assert_non_null(strstr(error.message, in_folder("ten")));
    assert_null(blob.data);

    assert_int_equal(snug_file_map(in_folder("ten"), &blob, &error), 0);
    assert_int_equal(blob.size, 10);
    assert_memory_equal(blob.data, "0123456789", 10);
    snug_blob_free(&blob);
    assert_int_equal(snug_file_map(in_folder("empty"), &blob, &error), 0);
    assert_int_equal(blob.size, 0);
    assert_non_null(blob.data);
    snug_blob_free(&blob);

    /* says it has 0 bytes, and has more; the limit holds for what comes */
    assert_int_equal(snug_file_read("/proc/self/status", 1 << 20, heap, &blob, &error), 0);
    assert_in_range(blob.size, 200, 1 << 20);
    assert_int_equal(strlen((const char *)blob.data), blob.size);
    snug_blob_free(&blob);
    assert_int_equal(snug_file_read("/proc/self/status", 100, heap, &blob, &error),
                     SNUG_STATUS_LIMIT);
}

/* Whatever is not a readable regular file: the right status, at once, with path and reason. */
static void test_read_errors(void **state)
{
    (void)state;
    make_file("file", "x", 1);
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    assert_int_equal(mkfifo(in_folder("pipe"), 0666), 0);
    assert_int_equal(symlink("nowhere", in_folder("dangling")), 0);
    assert_int_equal(symlink("loop", in_folder("loop")), 0);
    assert_int_equal(symlink("file", in_folder("link")), 0);
    char null[] = "../../../../../../dev/null", full[] = "../../../../../../dev/zero";
    static const char *words[] = {"No such file", "a folder", "a pipe", "a device"};
    const struct {
        const char *name;
        enum snug_status expected;
        const char *word;
    } cases[] = {
        {"missing", SNUG_STATUS_NOT_FOUND, words[0]},
        {"file/x", SNUG_STATUS_NOT_FOUND, ""},
        {"dangling", SNUG_STATUS_NOT_FOUND, words[0]},
        {"sub", SNUG_STATUS_IO, words[1]},
        {"pipe", SNUG_STATUS_IO, words[2]},
        {null, SNUG_STATUS_IO, words[3]},
        {full, SNUG_STATUS_IO, words[3]},
        {"loop", SNUG_STATUS_IO, ""},
        {"link", SNUG_STATUS_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int map = 0; map < 2; map++) {
            const char *path = in_folder(cases[i].name);
            struct snug_blob blob = {0};
            struct snug_error error = {.message = ""};
            enum snug_status status =
                map ? snug_file_map(path, &blob, &error)
                    : snug_file_read(path, 100, snug_allocator_heap(), &blob, &error);
            if (status != cases[i].expected || !strstr(error.message, cases[i].word) ||
                (status && !strstr(error.message, path)))
                fail_msg("%s: status %s (%s)", path, snug_status_text(status), error.message);
            if (status)
                assert_null(blob.data);
            snug_blob_free(&blob);
        }
    }
}

static void test_discard(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 5 * page + 100;
    unsigned char *bytes = snug_alloc(snug_allocator_heap(), size);
    struct snug_blob blob = {0};

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    make_file("big", bytes, size);
    assert_int_equal(snug_file_map(in_folder("big"), &blob, NULL), 0);
    assert_memory_equal(blob.data, bytes, size);
    static const size_t ranges[][2] = {{0, SIZE_MAX},  {0, 0},       {1, 5000},        {4096, 4096},
                                       {100000000, 1}, {20480, 100}, {20000, SIZE_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        snug_blob_discard(&blob, ranges[i][0], ranges[i][1]);
        assert_memory_equal(blob.data, bytes, size); /* a hint: the bytes come back */
    }
    snug_blob_free(&blob);
    snug_blob_discard(&blob, 0, 10); /* nothing mapped */
    snug_free(snug_allocator_heap(), bytes);
}

/* ---- writing ---- */

static void test_write(void **state)
{
    (void)state;
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {0};
    struct stat info;
    const char *path = in_folder("out.jsonl");

    assert_int_equal(snug_file_writer_open(path, snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "one\n", 4, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, NULL, 0, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "two\n", 4, &error), 0);
    assert_false(snug_path_exists(path)); /* not before commit */
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(snug_file_writer_commit(writer, &error), 0);
    assert_content("out.jsonl", "one\ntwo\n");
    assert_int_equal(entries(), 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);

    /* replaced as a whole; two writers at once do not meet */
    struct snug_file_writer *second = NULL;
    assert_int_equal(snug_file_writer_open(path, snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_open(path, snug_allocator_heap(), &second, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "a", 1, &error), 0);
    assert_int_equal(snug_file_writer_write(second, "b", 1, &error), 0);
    assert_content("out.jsonl", "one\ntwo\n");
    assert_int_equal(snug_file_writer_commit(writer, &error), 0);
    assert_content("out.jsonl", "a");
    snug_file_writer_cancel(second);
    snug_file_writer_cancel(NULL);
    assert_content("out.jsonl", "a");
    assert_int_equal(entries(), 1);
}

/* The name alone, in the current folder. */
static void test_write_here(void **state)
{
    (void)state;
    char here[4096];
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {0};

    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    enum snug_status status =
        snug_file_writer_open("plain", snug_allocator_heap(), &writer, &error);
    if (status == SNUG_STATUS_OK)
        status = snug_file_writer_commit(writer, &error);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(status, SNUG_STATUS_OK);
    assert_content("plain", "");
    assert_int_equal(entries(), 1);
}

static void test_write_links(void **state)
{
    (void)state;
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {0};
    struct stat info;

    make_file("target", "old", 3);
    assert_int_equal(symlink("target", in_folder("link")), 0);
    assert_int_equal(
        snug_file_writer_open(in_folder("link"), snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "new", 3, &error), 0);
    assert_int_equal(snug_file_writer_commit(writer, &error), 0);
    assert_content("target", "old");
    assert_content("link", "new");
    assert_int_equal(lstat(in_folder("link"), &info), 0);
    assert_true(S_ISREG(info.st_mode));

    /* a link to a device leads to the device and stays */
    assert_int_equal(symlink("/dev/null", in_folder("sink")), 0);
    assert_int_equal(
        snug_file_writer_open(in_folder("sink"), snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "new", 3, &error), 0);
    assert_int_equal(snug_file_writer_commit(writer, &error), 0);
    assert_int_equal(lstat(in_folder("sink"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(entries(), 3);
}

static void test_write_errors(void **state)
{
    (void)state;
    make_file("file", "x", 1);
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    char empty[] = "", slash[200], missing[200], through[200], sub[200];
    snprintf(slash, sizeof slash, "%s/", folder);
    snprintf(missing, sizeof missing, "%s/none/out", folder);
    snprintf(through, sizeof through, "%s/file/out", folder);
    snprintf(sub, sizeof sub, "%s/sub", folder);
    const struct {
        const char *path;
        enum snug_status expected;
    } cases[] = {{empty, SNUG_STATUS_NOT_FOUND},
                 {slash, SNUG_STATUS_IO},
                 {missing, SNUG_STATUS_NOT_FOUND},
                 {through, SNUG_STATUS_NOT_FOUND},
                 {sub, SNUG_STATUS_IO},
                 {"/proc/nothing", SNUG_STATUS_NOT_FOUND}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_file_writer *writer = NULL;
        struct snug_error error = {.message = ""};
        enum snug_status status =
            snug_file_writer_open(cases[i].path, snug_allocator_heap(), &writer, &error);
        if (status != cases[i].expected || !strstr(error.message, cases[i].path))
            fail_msg("%s: status %s (%s)", cases[i].path, snug_status_text(status), error.message);
        assert_null(writer);
    }

    /* the target becomes a folder meanwhile: the rename fails, and nothing is left behind */
    struct snug_file_writer *writer = NULL;
    struct snug_error error;
    assert_int_equal(
        snug_file_writer_open(in_folder("late"), snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(mkdir(in_folder("late"), 0777), 0);
    assert_int_equal(snug_file_writer_commit(writer, &error), SNUG_STATUS_IO);
    assert_true(snug_path_is_directory(in_folder("late")));
    assert_int_equal(entries(), 3);
}

static void test_disk_full(void **state)
{
    (void)state;
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {.message = ""};

    if (!snug_path_exists("/dev/full"))
        skip();
    assert_int_equal(snug_file_writer_open("/dev/full", snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "x", 1, &error), SNUG_STATUS_IO);
    assert_non_null(strstr(error.message, "No space left"));
    assert_non_null(strstr(error.message, "/dev/full"));
    /* a caller that goes on does not get it committed */
    assert_int_equal(snug_file_writer_write(writer, "y", 1, &error), SNUG_STATUS_IO);
    assert_int_equal(snug_file_writer_commit(writer, &error), SNUG_STATUS_IO);
}

/* A pipe: bytes arrive, more than it holds, and the name stays. */
static void test_write_pipe(void **state)
{
    (void)state;
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {0};
    struct stat info;
    char got[8] = "";

    assert_int_equal(mkfifo(in_folder("pipe"), 0666), 0);
    int reader = open(in_folder("pipe"), O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(
        snug_file_writer_open(in_folder("pipe"), snug_allocator_heap(), &writer, &error), 0);
    assert_int_equal(snug_file_writer_write(writer, "row\n", 4, &error), 0);
    assert_int_equal(snug_file_writer_commit(writer, &error), 0);
    assert_int_equal(read(reader, got, sizeof got), 4);
    assert_string_equal(got, "row\n");
    close(reader);
    assert_int_equal(lstat(in_folder("pipe"), &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(entries(), 1);
}

/* `-o /dev/stdout > file`: the file gets the bytes where its position is, /dev/stdout stays a link.
 */
static void test_write_stdout(void **state)
{
    (void)state;
    struct snug_file_writer *writer = NULL;
    struct snug_error error = {0};
    struct stat info;

    make_file("log", "head ", 5);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), file = open(in_folder("log"), O_WRONLY | O_APPEND);
    assert_true(kept >= 0 && file >= 0);
    assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    enum snug_status status =
        snug_file_writer_open("/dev/stdout", snug_allocator_heap(), &writer, &error);
    if (!status)
        status = snug_file_writer_write(writer, "tail", 4, &error);
    if (!status)
        status = snug_file_writer_commit(writer, &error);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(file);
    assert_int_equal(status, SNUG_STATUS_OK);
    assert_content("log", "head tail");
    assert_int_equal(lstat("/dev/stdout", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

/* ---- paths and folders ---- */

static void test_paths(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {"a", "", "a/"}};
    static const char *const bases[][2] = {
        {"a/b.c", "b.c"}, {"b", "b"}, {"a/", ""}, {"/x", "x"}, {"", ""}};

    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *path = snug_path_join(snug_allocator_heap(), joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        snug_free(snug_allocator_heap(), path);
    }
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        assert_string_equal(snug_path_base(bases[i][0]), bases[i][1]);
    make_file("file", "", 0);
    assert_true(snug_path_is_directory(folder));
    assert_false(snug_path_is_directory(in_folder("file")));
    assert_true(snug_path_exists(in_folder("file")));
    assert_false(snug_path_exists(in_folder("none")));
}

static void test_directory(void **state)
{
    (void)state;
    static const char *const sorted[] = {"A", "Z", "a", "aa", "b.pdf", "link", "\xc3\xa4", "\xff"};
    const size_t count = sizeof sorted / sizeof *sorted;
    struct snug_directory directory = {0};
    struct snug_error error;

    for (size_t i = 0; i < count; i++)
        if (strcmp(sorted[i], "link") != 0)
            make_file(sorted[i], "x", 1);
    assert_int_equal(symlink("A", in_folder("link")), 0);
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    assert_int_equal(mkfifo(in_folder("pipe"), 0666), 0);
    assert_int_equal(symlink("nowhere", in_folder("dangling")), 0);

    assert_int_equal(snug_directory_read(folder, 1000, snug_allocator_heap(), &directory, &error),
                     0);
    assert_int_equal(directory.count, count);
    assert_int_equal(directory.skipped, 3);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(directory.names[i], sorted[i]);
    snug_directory_free(&directory);
    snug_directory_free(&directory);

    assert_int_equal(
        snug_directory_read(folder, count + 3, snug_allocator_heap(), &directory, &error), 0);
    snug_directory_free(&directory);
    assert_int_equal(
        snug_directory_read(folder, count + 2, snug_allocator_heap(), &directory, &error),
        SNUG_STATUS_LIMIT);
    assert_int_equal(
        snug_directory_read(in_folder("sub"), 0, snug_allocator_heap(), &directory, &error), 0);
    assert_int_equal(directory.count, 0);
    snug_directory_free(&directory);
    assert_int_equal(
        snug_directory_read(in_folder("none"), 9, snug_allocator_heap(), &directory, &error),
        SNUG_STATUS_NOT_FOUND);
    assert_int_equal(
        snug_directory_read(in_folder("A"), 9, snug_allocator_heap(), &directory, &error),
        SNUG_STATUS_IO);
    assert_int_equal(
        snug_directory_read(in_folder("pipe"), 9, snug_allocator_heap(), &directory, &error),
        SNUG_STATUS_IO);
}

static void check_folder(const struct snug_folder *model)
{
    struct snug_blob blob = {0};
    struct snug_error error;
    static const char *const bad[] = {"", ".", "..", "a/b", "/etc/passwd", "../config.json"};

    assert_true(snug_folder_has(model, "config.json"));
    assert_false(snug_folder_has(model, "none"));
    assert_false(snug_folder_has(model, "sub"));
    assert_int_equal(snug_folder_read(model, "config.json", 2, &blob, &error), 0);
    assert_int_equal(blob.size, 2);
    assert_memory_equal(blob.data, "{}", 2);
    snug_blob_free(&blob);
    assert_int_equal(snug_folder_map(model, "config.json", &blob, &error), 0);
    assert_int_equal(blob.size, 2);
    assert_memory_equal(blob.data, "{}", 2);
    snug_blob_free(&blob);
    assert_int_equal(snug_folder_read(model, "config.json", 1, &blob, &error), SNUG_STATUS_LIMIT);
    assert_int_equal(snug_folder_read(model, "none", 9, &blob, &error), SNUG_STATUS_NOT_FOUND);
    char expected[128];
    snprintf(expected, sizeof expected, "%s/none", model->path);
    assert_non_null(strstr(error.message, expected));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(snug_folder_has(model, bad[i]));
        assert_int_equal(snug_folder_read(model, bad[i], 9, &blob, &error), SNUG_STATUS_FORMAT);
        assert_int_equal(snug_folder_map(model, bad[i], &blob, &error), SNUG_STATUS_FORMAT);
    }
}

static void test_folder(void **state)
{
    (void)state;
    static const struct snug_embedded_file files[] = {
        {"other", (const unsigned char *)"x", 1}, {"config.json", (const unsigned char *)"{}", 2}};
    const struct snug_folder embedded = {.path = "embedded:nano",
                                         .files = files,
                                         .file_count = 2,
                                         .allocator = snug_allocator_heap()};
    const struct snug_folder disk = {.path = folder, .allocator = snug_allocator_heap()};

    make_file("config.json", "{}", 2);
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    check_folder(&embedded);
    check_folder(&disk);
}

/* ---- every allocation refused in turn ---- */

static enum snug_status use_all(const struct snug_allocator *allocator, struct snug_error *error)
{
    struct snug_blob blob = {0};
    struct snug_directory directory = {0};
    struct snug_file_writer *writer = NULL;
    struct snug_folder model = {.path = folder, .allocator = allocator};
    enum snug_status status = snug_file_read(in_folder("ten"), 100, allocator, &blob, error);

    snug_blob_free(&blob);
    if (!status)
        status = snug_folder_map(&model, "ten", &blob, error);
    snug_blob_free(&blob);
    if (!status)
        status = snug_file_read("/proc/self/status", 1 << 20, allocator, &blob, error);
    snug_blob_free(&blob);
    if (!status)
        status = snug_directory_read(folder, 1000, allocator, &directory, error);
    snug_directory_free(&directory);
    if (!status)
        status = snug_file_writer_open(in_folder("out"), allocator, &writer, error);
    if (!status)
        status = snug_file_writer_commit(writer, error);
    return status;
}

static void test_sweep(void **state)
{
    (void)state;
    bool failed = true;

    make_file("ten", "0123456789", 10);
    for (int i = 0; i < 70; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        make_file(name, "", 0);
    }
    for (uint64_t fail_at = 1; failed; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};

        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = use_all(&counting.allocator, &error);
        failed = counting.failed;
        if (status != (failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK))
            fail_msg("refused request %llu: status %s (%s)", (unsigned long long)fail_at,
                     snug_status_text(status), error.message);
        assert_int_equal(counting.live, 0);
        assert_int_equal(entries(), failed ? 71 : 72);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        T(test_read),       T(test_read_errors),  T(test_discard),      T(test_write),
        T(test_write_here), T(test_write_links),  T(test_write_errors), T(test_disk_full),
        T(test_write_pipe), T(test_write_stdout), T(test_paths),        T(test_directory),
        T(test_folder),     T(test_sweep),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
