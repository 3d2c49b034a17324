/* golden-check: compares this build with results of the models' reference implementations.
 *
 * Usage: golden-check [--isa NAME] [--threads N] FOLDER...
 *
 * Walks every folder; each manifest.json found names the kind of data beside it, and the kind names
 * the checker. One line a tensor or file, then "N passed, N failed, N skipped" alone on the last
 * line. Exit status: 0 if something passed and nothing failed, 1 otherwise, 2 for a wrong command
 * line. Data that nothing looked at (an unknown kind, a folder in which nothing ran) is a failure:
 * a checker that checks nothing must not look like success. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "base/threads.h"
#include "ops/op.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_FOLDER_DEPTH 32

/* ---- kinds ---- */

static void check_model(struct golden *g, const char *folder, json_t *manifest)
{
    const char *family = json_string_value(json_object_get(manifest, "family"));
    if (family && strcmp(family, "internvl") == 0)
        golden_check_model(g, folder, manifest);
    else if (family && strcmp(family, "mllama") == 0)
        golden_check_mllama(g, folder, manifest);
    else
        golden_fail(g, folder, "unknown model family '%s'", family ? family : "(none)");
}

static const struct {
    const char *kind;
    golden_check_fn *check;
} kinds[] = {
    {"model", check_model},
    {"documents", golden_check_documents},
    {"tokenizer", golden_check_tokenizer},
    {"unicode", golden_check_unicode},
    {"chat", golden_check_chat},
    {"resize", golden_check_resize},
    {"internvl-tiles", golden_check_internvl_tiles},
    {"mllama-tiles", golden_check_mllama_tiles},
    {"mllama-masks", golden_check_mllama_masks},
    {"decode", golden_check_decode},
    {"malformed-images", golden_check_malformed_images},
    {"safetensors", golden_check_safetensors},
};

static void check_folder(struct golden *g, const char *folder)
{
    json_t *manifest = golden_json(g, folder, "manifest.json");
    if (!manifest)
        return;
    const char *kind = json_string_value(json_object_get(manifest, "kind"));
    golden_check_fn *check = NULL;
    for (size_t i = 0; kind && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            check = kinds[i].check;
    if (check) {
        uint64_t before = g->passed + g->failed + g->skipped;
        check(g, folder, manifest);
        if (g->passed + g->failed + g->skipped == before)
            golden_fail(g, folder, "kind %s: nothing to check here", kind);
    } else {
        golden_fail(g, folder, "manifest.json: unknown kind '%s'", kind ? kind : "(none)");
    }
    json_decref(manifest);
}

/* ---- the walk ---- */

/* A folder on the way down, so that a symbolic link back to it is noticed. */
struct ancestor {
    dev_t device;
    ino_t inode;
    const struct ancestor *parent;
};

static bool is_visible_folder(const char *folder, const char *name, struct golden *g)
{
    if (name[0] == '.')
        return false;
    char *path = snug_path_join(g->allocator, folder, name);
    bool is_folder = path && snug_path_is_directory(path);
    snug_free(g->allocator, path);
    return is_folder;
}

static int compare_string(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Names of the sub-folders, sorted by bytes. False (after a golden_fail) if the folder cannot be
 * read; the caller frees the names in either case. */
static bool list_folders(struct golden *g, const char *folder, char ***names, size_t *count)
{
    DIR *directory = opendir(folder);
    if (!directory) {
        golden_fail(g, folder, "cannot read this folder: %s", strerror(errno));
        return false;
    }
    bool done = true;
    const struct dirent *entry;
    while (done && (entry = readdir(directory))) {
        if (!is_visible_folder(folder, entry->d_name, g))
            continue;
        char **more = snug_realloc_array(g->allocator, *names, *count + 1, sizeof *more);
        char *name = snug_strdup(g->allocator, entry->d_name);
        if (more)
            *names = more;
        done = more && name;
        if (done)
            more[(*count)++] = name;
        else
            snug_free(g->allocator, name);
    }
    closedir(directory);
    if (!done)
        golden_fail(g, folder, "out of memory");
    else if (*count)
        qsort(*names, *count, sizeof **names, compare_string);
    return done;
}

/* True if there was a manifest anywhere below. */
static bool walk(struct golden *g, const char *folder, const struct ancestor *parent, int depth)
{
    struct stat info;
    if (stat(folder, &info) != 0) {
        golden_fail(g, folder, "cannot read this folder: %s", strerror(errno));
        return true;
    }
    if (!S_ISDIR(info.st_mode)) {
        golden_fail(g, folder, "not a folder");
        return true;
    }
    for (const struct ancestor *a = parent; a; a = a->parent)
        if (a->device == info.st_dev && a->inode == info.st_ino)
            return false;
    if (depth > MAX_FOLDER_DEPTH) {
        golden_fail(g, folder, "more than %d folders deep", MAX_FOLDER_DEPTH);
        return true;
    }
    char *manifest = snug_path_join(g->allocator, folder, "manifest.json");
    bool found = manifest && snug_path_exists(manifest);
    snug_free(g->allocator, manifest);
    if (found)
        check_folder(g, folder);

    const struct ancestor self = {info.st_dev, info.st_ino, parent};
    char **names = NULL;
    size_t count = 0;
    if (!list_folders(g, folder, &names, &count))
        found = true; /* said so already */
    for (size_t i = 0; i < count; i++) {
        char *path = snug_path_join(g->allocator, folder, names[i]);
        if (!path)
            golden_fail(g, names[i], "out of memory");
        else if (walk(g, path, &self, depth + 1))
            found = true;
        snug_free(g->allocator, path);
        snug_free(g->allocator, names[i]);
    }
    snug_free(g->allocator, names);
    return found;
}

/* ---- the command line ---- */

static int usage(const char *problem, const char *argument)
{
    if (problem)
        fprintf(stderr, "golden-check: %s%s\n", problem, argument ? argument : "");
    fputs(
        "usage: golden-check [--isa NAME] [--threads N] [--quantize q8|q4] FOLDER...\n"
        "  --isa NAME     arithmetic backend: ref, avx2, avx512 or auto (default: the best here)\n"
        "  --threads N    threads, 1 or more (default: one a processor)\n"
        "  --quantize Q   q8 or q4: runs the models quantised; a tensor's error is relative to "
        "the\n"
        "                 reference's, greedy ids are counted up to the first that differs\n",
        stderr);
    return 2;
}

static bool parse_threads(const char *text, int *threads)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!snug_ascii_is_digit(text[0]) || *end || errno || value < 1 || value > SNUG_MAX_THREADS)
        return false;
    *threads = (int)value;
    return true;
}

int main(int argc, char **argv)
{
    struct golden g = {.allocator = snug_allocator_heap()};
    int threads = snug_cpu_count(), first = 1;
    for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
        const char *option = argv[first], *value = first + 1 < argc ? argv[first + 1] : NULL;
        if (strcmp(option, "--") == 0) {
            first++;
            break;
        }
        if (strcmp(option, "--isa") != 0 && strcmp(option, "--threads") != 0 &&
            strcmp(option, "--quantize") != 0)
            return usage("unknown option ", option);
        if (!value)
            return usage("a value must follow ", option);
        first++;
        if (strcmp(option, "--isa") == 0)
            g.isa = value;
        else if (strcmp(option, "--quantize") == 0 && !snug_quant_parse(value, &g.quantize))
            return usage("--quantize is q8, q4 or none, not ", value);
        else if (strcmp(option, "--quantize") == 0)
            continue;
        else if (!parse_threads(value, &threads))
            return usage("not a number of threads: ", value);
    }
    if (first >= argc)
        return usage(argc > 1 ? "no folder given" : NULL, NULL);
    if (!snug_ops_find(g.isa))
        return usage("unknown, or not for this processor: --isa ", g.isa);

    struct snug_error error = {0};
    if (snug_pool_create(threads, g.allocator, &g.pool, &error) != SNUG_STATUS_OK) {
        fprintf(stderr, "golden-check: %s\n", error.message);
        return 1;
    }
    for (int i = first; i < argc; i++)
        if (!walk(&g, argv[i], NULL, 0))
            golden_fail(&g, argv[i], "no manifest.json in or below this folder");
    snug_pool_destroy(g.pool);
    printf("%" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped\n", g.passed, g.failed,
           g.skipped);
    if (fflush(stdout) != 0)
        return 1;
    return g.failed == 0 && g.passed > 0 ? 0 : 1;
}
