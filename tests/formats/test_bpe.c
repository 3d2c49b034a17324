/* Tests of formats/bpe.c: the heap gives what the plain loop gives.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "formats/tokenizer_internal.h"

#define MAX_BYTES 64

/* The definition: lowest rank, then leftmost, until nothing merges. */
static size_t plain(const struct snug_tokenizer *tokenizer, const unsigned char *bytes,
                    size_t count, int32_t ids[MAX_BYTES])
{
    for (size_t i = 0; i < count; i++)
        ids[i] = tokenizer->byte_ids[bytes[i]];
    for (;;) {
        const struct snug_merge *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            const struct snug_merge *merge = snug_merge_find(tokenizer, ids[i], ids[i + 1]);
            if (merge && (!best || merge < best)) {
                best = merge;
                at = i;
            }
        }
        if (!best)
            return count;
        ids[at] = best->id;
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
    }
}

static void check_random(const char *name, const char *letters)
{
    struct snug_folder folder = {.path = test_path(name), .allocator = snug_allocator_heap()};
    struct snug_error error = {0};
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_ids found;
    assert_ok(snug_tokenizer_load(&folder, folder.allocator, &tokenizer, &error));
    snug_ids_init(&found, folder.allocator);
    uint32_t seed = 3;
    size_t merged = 0;
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[MAX_BYTES];
        int32_t wanted[MAX_BYTES];
        size_t count = 1 + (size_t)round % MAX_BYTES;
        for (size_t i = 0; i < count; i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (unsigned char)letters[(seed >> 8) % strlen(letters)];
        }
        found.count = 0;
        assert_ok(snug_bpe_encode(tokenizer, bytes, count, &found, &error));
        size_t wanted_count = plain(tokenizer, bytes, count, wanted);
        assert_int_equal(found.count, wanted_count);
        assert_memory_equal(found.data, wanted, wanted_count * sizeof *wanted);
        merged += count - wanted_count;
    }
    assert_true(merged > 10000); /* else the test shows nothing */
    snug_ids_free(&found);
    snug_tokenizer_free(tokenizer);
}

static void test_random(void **state)
{
    (void)state;
    check_random("models/snug-nano", " TheToandotalerinstvoic");
    check_random("tests/golden/internvl/orig", " NOTFOUND_INERMAYPAYDATE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
