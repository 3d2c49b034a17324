/* Runs a fuzz target over given inputs, without libFuzzer: every file named, and every file in each
 * folder named (not below it), in the order of their names. Each input is handed over in a block of
 * exactly its size, so that a sanitizer sees a read past its end. Last line: "replayed N inputs". A
 * crash ends the program; with -v each input is named on stderr before it runs, so that the last
 * one named is the culprit. Exit code 1 if an argument cannot be read or nothing ran. Copyright
 * snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { MAX_INPUT_BYTES = 64 << 20, MAX_DEPTH = 8 };

static bool verbose;
static long replayed;

static bool replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size);
    bool good = file && (data || size == 0) && fread(data, 1, size, file) == size;
    if (!good)
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
    if (good && verbose)
        fprintf(stderr, "%s\n", path);
    if (good) {
        LLVMFuzzerTestOneInput(data, size);
        replayed++;
    }
    free(data);
    if (file)
        fclose(file);
    return good;
}

static bool replay(const char *path, int depth);

static bool replay_folder(const char *path, int depth)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "cannot list %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = true;
    for (int i = 0; i < count; i++) {
        char name[4096];
        int length = snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            good &= length > 0 && (size_t)length < sizeof(name) && replay(name, depth + 1);
        free(entries[i]);
    }
    free(entries);
    return good;
}

static bool replay(const char *path, int depth)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(info.st_mode))
        return depth >= MAX_DEPTH || replay_folder(path, depth);
    if (!S_ISREG(info.st_mode) || info.st_size > MAX_INPUT_BYTES) {
        fprintf(stderr, "not replayed: %s (not a file, or too large)\n", path);
        return false;
    }
    return replay_file(path, (size_t)info.st_size);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            verbose = true;
        else
            good &= replay(argv[i], 0);
    }
    printf("replayed %ld inputs\n", replayed);
    return good && replayed > 0 ? 0 : 1;
}
