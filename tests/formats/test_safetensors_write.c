/* Tests of formats/safetensors_write.c: what is written reads back, what the reader would refuse is
 * refused, refused memory and full disks.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/safetensors_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[128]; /* fresh ones for every test */

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/snug-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if a temporary was left */
}

/* The bytes of the k-th tensor: told from every other's. */
static unsigned char byte_of(size_t tensor, uint64_t at)
{
    return (unsigned char)(tensor * 37 + at * 11 + 5);
}

static const struct snug_tensor_spec odd[] = {
    {"z", SNUG_DTYPE_BF16, {2, {3, 5}}},
    {"", SNUG_DTYPE_F32, {0, {0}}},
    {"quote \" backslash \\ tab \t bell \a", SNUG_DTYPE_U8, {1, {7}}},
    {"empty", SNUG_DTYPE_F64, {3, {4, 0, INT64_MAX}}},
    {"\xe4\xb9\xa6\xe7\x94\x9f", SNUG_DTYPE_F4, {1, {6}}},
    {"../a/b", SNUG_DTYPE_I64, {8, {1, 1, 1, 2, 1, 1, 1, 1}}},
    {"a", SNUG_DTYPE_F16, {1, {1000}}},
};
#define ODD (sizeof odd / sizeof *odd)
static const struct snug_metadata_entry notes[] = {{"format", "pt"}, {"note \"1\"", "a\nb"}};

/* Writes all data in pieces of `piece` bytes that do not stop at a tensor's end. */
static enum snug_status write_odd(size_t piece, const struct snug_allocator *allocator,
                                  struct snug_error *error)
{
    struct snug_safetensors_writer *writer = NULL;
    unsigned char data[4096];
    size_t length = 0;
    enum snug_status status =
        snug_safetensors_writer_open(path, odd, ODD, notes, 2, allocator, &writer, error);
    if (status)
        return status;
    for (size_t i = 0; i < ODD; i++) {
        uint64_t bytes;
        assert_int_equal(snug_tensor_spec_bytes(&odd[i], &bytes, error), SNUG_STATUS_OK);
        for (uint64_t at = 0; at < bytes; at++)
            data[length++] = byte_of(i, at);
    }
    for (size_t at = 0; at < length && !status; at += piece)
        status = snug_safetensors_writer_write(writer, data + at,
                                               piece < length - at ? piece : length - at, error);
    assert_int_equal(status, SNUG_STATUS_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* not before it is whole */
    return snug_safetensors_writer_commit(writer, error);
}

static struct snug_safetensors *read_back(void)
{
    struct snug_folder where = {.path = folder, .allocator = snug_allocator_heap()};
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error;
    if (snug_safetensors_open_folder(&where, &checkpoint, &error))
        fail_msg("%s", error.message);
    return checkpoint;
}

static void check_odd(void)
{
    struct snug_safetensors *checkpoint = read_back();
    const struct snug_metadata_entry *entries;
    assert_int_equal(snug_safetensors_count(checkpoint), ODD);
    for (size_t i = 0; i < ODD; i++) {
        const struct snug_tensor_view *view = snug_safetensors_find(checkpoint, odd[i].name);
        uint64_t bytes = 0;
        assert_non_null(view);
        assert_int_equal(snug_tensor_spec_bytes(&odd[i], &bytes, NULL), SNUG_STATUS_OK);
        assert_int_equal(view->dtype, odd[i].dtype);
        assert_int_equal(view->bytes, bytes);
        assert_int_equal(view->shape.rank, odd[i].shape.rank);
        for (int d = 0; d < view->shape.rank; d++)
            assert_int_equal(view->shape.dims[d], odd[i].shape.dims[d]);
        for (uint64_t at = 0; at < bytes; at++)
            assert_int_equal(view->data[at], byte_of(i, at));
    }
    /* the first tensor's data begins at the alignment; the mapping itself is of whole pages */
    assert_int_equal(
        (uintptr_t)snug_safetensors_find(checkpoint, "z")->data % SNUG_SAFETENSORS_ALIGNMENT, 0);
    assert_int_equal(snug_safetensors_metadata(checkpoint, &entries), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(entries[i].key, notes[i].key);
        assert_string_equal(entries[i].value, notes[i].value);
    }
    snug_safetensors_close(checkpoint);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 64, 4096};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct snug_error error;
        if (write_odd(pieces[i], snug_allocator_heap(), &error))
            fail_msg("pieces of %zu: %s", pieces[i], error.message);
        check_odd();
        unlink(path);
    }
}

static void test_no_tensors(void **state)
{
    (void)state;
    struct snug_safetensors_writer *writer = NULL;
    struct snug_error error;
    assert_int_equal(snug_safetensors_writer_open(path, NULL, 0, NULL, 0, snug_allocator_heap(),
                                                  &writer, &error),
                     SNUG_STATUS_OK);
    assert_int_equal(snug_safetensors_writer_write(writer, "", 0, &error), SNUG_STATUS_OK);
    assert_int_equal(snug_safetensors_writer_commit(writer, &error), SNUG_STATUS_OK);
    struct snug_safetensors *checkpoint = read_back();
    assert_int_equal(snug_safetensors_count(checkpoint), 0);
    snug_safetensors_close(checkpoint);
}

static void test_refused(void **state)
{
    (void)state;
    static char too_long[SNUG_MAX_TENSOR_NAME_BYTES + 2];
    memset(too_long, 'n', sizeof too_long - 1);
    const struct {
        const char *says;
        struct snug_tensor_spec tensors[2];
        enum snug_status wanted;
    } cases[] = {
        {"twice",
         {{"a", SNUG_DTYPE_U8, {1, {1}}}, {"a", SNUG_DTYPE_U8, {1, {2}}}},
         SNUG_STATUS_FORMAT},
        {"__metadata__",
         {{"__metadata__", SNUG_DTYPE_U8, {1, {1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_FORMAT},
        {"UTF-8",
         {{"a\xff", SNUG_DTYPE_U8, {1, {1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_FORMAT},
        {"name",
         {{too_long, SNUG_DTYPE_U8, {1, {1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_LIMIT},
        {"dimension",
         {{"a", SNUG_DTYPE_U8, {1, {-1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_FORMAT},
        {"rank",
         {{"a", SNUG_DTYPE_U8, {SNUG_MAX_TENSOR_RANK + 1, {1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_LIMIT},
        {"overflow",
         {{"a", SNUG_DTYPE_F64, {2, {INT64_MAX, 2}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_LIMIT},
        {"overflow",
         {{"a", SNUG_DTYPE_F64, {1, {(INT64_MAX >> 6) + 1}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_LIMIT},
        {"whole number of bytes",
         {{"a", SNUG_DTYPE_F4, {1, {3}}}, {"b", SNUG_DTYPE_U8, {1, {1}}}},
         SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_safetensors_writer *writer = NULL;
        struct snug_error error = {0};
        enum snug_status status = snug_safetensors_writer_open(
            path, cases[i].tensors, 2, NULL, 0, snug_allocator_heap(), &writer, &error);
        if (status != cases[i].wanted || !strstr(error.message, cases[i].says))
            fail_msg("case %zu: %s, expected %s with '%s'", i, error.message,
                     snug_status_text(cases[i].wanted), cases[i].says);
        assert_null(writer);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    static const struct snug_metadata_entry twice[] = {{"k", "1"}, {"k", "2"}},
                                            broken[] = {{"k", "\xc3"}};
    struct snug_safetensors_writer *writer = NULL;
    assert_int_equal(
        snug_safetensors_writer_open(path, odd, 1, twice, 2, snug_allocator_heap(), &writer, NULL),
        SNUG_STATUS_FORMAT);
    assert_int_equal(
        snug_safetensors_writer_open(path, odd, 1, broken, 1, snug_allocator_heap(), &writer, NULL),
        SNUG_STATUS_FORMAT);
    assert_int_equal(snug_safetensors_writer_open("/nowhere/at/all", odd, 1, NULL, 0,
                                                  snug_allocator_heap(), &writer, NULL),
                     SNUG_STATUS_NOT_FOUND);
}

static void test_cancel(void **state)
{
    (void)state;
    struct snug_safetensors_writer *writer = NULL;
    struct snug_error error;
    assert_int_equal(snug_safetensors_writer_open(path, odd, ODD, NULL, 0, snug_allocator_heap(),
                                                  &writer, &error),
                     SNUG_STATUS_OK);
    assert_int_equal(snug_safetensors_writer_write(writer, "abc", 3, &error), SNUG_STATUS_OK);
    snug_safetensors_writer_cancel(writer); /* teardown finds an empty folder */
    snug_safetensors_writer_cancel(NULL);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct snug_safetensors_writer *writer = NULL;
    struct snug_error error = {0};
    if (access("/dev/full", W_OK))
        skip();
    assert_int_equal(snug_safetensors_writer_open("/dev/full", odd, ODD, NULL, 0,
                                                  snug_allocator_heap(), &writer, &error),
                     SNUG_STATUS_IO);
    assert_null(writer);
    assert_non_null(strstr(error.message, "/dev/full"));
}

static void test_sweep(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = write_odd(4096, &counting.allocator, &error);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            assert_true(fail_at > 4);
            break;
        }
        if (status != SNUG_STATUS_MEMORY)
            fail_msg("refusal %d: %s", (int)fail_at, snug_status_text(status));
        assert_int_not_equal(access(path, F_OK), 0);
    }
    check_odd();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
    };
    return cmocka_run_group_tests_name("formats/safetensors_write", tests, NULL, NULL);
}
