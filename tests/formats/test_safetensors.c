/* Tests of formats/safetensors.c and formats/checkpoint.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/safetensors.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define INDEX "model.safetensors.index.json"
#define U8_1(b, e) "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[" #b "," #e "]}"

static void report(const char *what, enum snug_status found, enum snug_status wanted,
                   const struct snug_error *error)
{
    if (found != wanted)
        print_error("%s: status %s, expected %s: %s\n", what, snug_status_text(found),
                    snug_status_text(wanted), found == SNUG_STATUS_OK ? "" : error->message);
    assert_int_equal(found, wanted);
}

/* A block of exactly the right size, so that a sanitizer sees every read beyond the file. `length`
 * is written in front of the header, true or not. */
static struct snug_blob make_file(const struct snug_allocator *allocator, uint64_t length,
                                  const char *header, size_t header_bytes, size_t data_bytes)
{
    size_t size = 8 + header_bytes + data_bytes;
    unsigned char *bytes = snug_calloc(allocator, size, 1);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
    memcpy(bytes + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        bytes[8 + header_bytes + i] = (unsigned char)(i + 1);
    return (struct snug_blob){.data = bytes, .size = size, .owned = bytes, .allocator = allocator};
}

/* Opens HEADER + data; on success the checkpoint is the caller's. Every failure must name the file
 * and leave nothing allocated. */
static enum snug_status open_header(const char *header, size_t header_bytes, size_t data_bytes,
                                    struct snug_safetensors **out, struct snug_error *error)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_blob blob = make_file(heap, header_bytes, header, header_bytes, data_bytes);
    enum snug_status status =
        snug_safetensors_open_blob(&blob, "dir/file.safetensors", heap, out, error);
    if (status != SNUG_STATUS_OK)
        assert_non_null(strstr(error->message, "file.safetensors"));
    return status;
}

/* ---- malformed headers ---- */

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        enum snug_status wanted;
    } cases[] = {
        {"{}", 0, SNUG_STATUS_OK},
        {"{}   \n", 0, SNUG_STATUS_OK},
        {"{}", 1, SNUG_STATUS_FORMAT},
        {"", 0, SNUG_STATUS_FORMAT},
        {"{", 0, SNUG_STATUS_FORMAT},
        {" {}", 0, SNUG_STATUS_FORMAT},
        {"[]", 0, SNUG_STATUS_FORMAT},
        {"null", 0, SNUG_STATUS_FORMAT},
        {"{}x", 0, SNUG_STATUS_FORMAT},
        {"{}{}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 1) ",}", 1, SNUG_STATUS_FORMAT},
        {"{'a':" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 1) "}", 1, SNUG_STATUS_OK},
        {"{\"\":" U8_1(0, 1) "}", 1, SNUG_STATUS_OK},
        /* names */
        {"{\"a\":" U8_1(0, 1) ",\"a\":" U8_1(1, 2) "}", 2, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 1) ",\"\\u0061\":" U8_1(1, 2) "}", 2, SNUG_STATUS_FORMAT},
        {"{\"a\\u0000b\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\\ud800\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\xc0\x80\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\xff\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        /* fields */
        {"{\"a\":1}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":null}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":[]}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":1}}", 0,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
         SNUG_STATUS_FORMAT},
        /* dtypes */
        {"{\"a\":{\"dtype\":\"u8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8 \",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\\u0000\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":8,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":null,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, SNUG_STATUS_FORMAT},
        /* shapes */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,1]}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1,-1],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[true],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[[1]],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_OK},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_LIMIT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551617],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        /* 2^32 * 2^32 = 0 mod 2^64; then the same before a zero */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}", 0,
         SNUG_STATUS_FORMAT},
        /* 2^61 elements of 64 bits: elements fit, bits do not; 2^61 + 1 bytes of 8 bits = 8 mod
           2^64 */
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2305843009213693953],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,1]}}", 1, SNUG_STATUS_OK},
        /* offsets */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[]}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\"0\",1]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}", 1,
         SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(-1, 0) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, -1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(1, 0) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 2) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(1, 2) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(9223372036854775806, 9223372036854775807) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 0) "}", 0, SNUG_STATUS_FORMAT},
        /* coverage */
        {"{\"a\":" U8_1(0, 1) ",\"b\":" U8_1(1, 2) "}", 2, SNUG_STATUS_OK},
        {"{\"a\":" U8_1(1, 2) ",\"b\":" U8_1(0, 1) "}", 2, SNUG_STATUS_OK},
        {"{\"a\":" U8_1(0, 1) ",\"b\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 1) ",\"b\":" U8_1(2, 3) "}", 3, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(1, 2) "}", 2, SNUG_STATUS_FORMAT},
        {"{\"a\":" U8_1(0, 1) "}", 2, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":" U8_1(1, 2) "}", 2,
         SNUG_STATUS_FORMAT},
        /* an empty tensor inside another one's bytes; at its edges it is fine */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
         2, SNUG_STATUS_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
         "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         2, SNUG_STATUS_OK},
        /* metadata */
        {"{\"__metadata__\":{}}", 0, SNUG_STATUS_OK},
        {"{\"__metadata__\":{\"k\":\"v\"}}", 0, SNUG_STATUS_OK},
        {"{\"__metadata__\":{\"k\":null}}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":{\"k\":1}}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":{\"k\":[]}}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":[]}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":\"x\"}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":" U8_1(0, 1) "}", 1, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, SNUG_STATUS_FORMAT},
        {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        enum snug_status found = open_header(cases[i].header, strlen(cases[i].header),
                                             cases[i].data_bytes, &checkpoint, &error);
        report(cases[i].header, found, cases[i].wanted, &error);
        if (found != SNUG_STATUS_OK)
            assert_null(checkpoint);
        snug_safetensors_close(checkpoint);
    }
}

/* ---- the eight bytes in front ---- */

static void test_frame(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        enum snug_status wanted;
    } cases[] = {
        {2, SNUG_STATUS_OK},
        {0, SNUG_STATUS_FORMAT},
        {1, SNUG_STATUS_FORMAT},
        {3, SNUG_STATUS_FORMAT},
        {10, SNUG_STATUS_FORMAT},
        {(uint64_t)1 << 32 | 2, SNUG_STATUS_FORMAT},
        {(uint64_t)1 << 63, SNUG_STATUS_FORMAT},
        {UINT64_MAX, SNUG_STATUS_FORMAT},
        {UINT64_MAX - 7, SNUG_STATUS_FORMAT}, /* 8 + length = 0 mod 2^64 */
        {UINT64_MAX - 5, SNUG_STATUS_FORMAT},
    };
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_blob blob = make_file(heap, cases[i].length, "{}", 2, 0);
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        enum snug_status found = snug_safetensors_open_blob(&blob, "f", heap, &checkpoint, &error);
        report("length", found, cases[i].wanted, &error);
        assert_null(blob.data);
        snug_safetensors_close(checkpoint);
    }
    for (size_t size = 0; size < 8; size++) {
        unsigned char *bytes = snug_calloc(heap, size, 1);
        struct snug_blob blob = {.data = bytes, .size = size, .owned = bytes, .allocator = heap};
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        report("short", snug_safetensors_open_blob(&blob, "f", heap, &checkpoint, &error),
               SNUG_STATUS_FORMAT, &error);
    }
}

static void test_strangers(void **state)
{
    (void)state;
    static const struct {
        const char *start, *word;
    } cases[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00", "LFS"},
        {"<!DOCTYPE html><html>", "web page"},
        {"GGUF\3\1\1\1\1", "GGUF"},
    };
    const struct snug_allocator *heap = snug_allocator_heap();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_blob blob = {.data = (const unsigned char *)cases[i].start,
                                 .size = strlen(cases[i].start)};
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        report(cases[i].word, snug_safetensors_open_blob(&blob, "f", heap, &checkpoint, &error),
               SNUG_STATUS_FORMAT, &error);
        assert_non_null(strstr(error.message, cases[i].word));
    }
}

/* ---- limits ---- */

/* prefix + count * part + suffix */
static void expect_repeated(const char *prefix, const char *part, size_t count, const char *suffix,
                            enum snug_status wanted)
{
    struct snug_text text;
    struct snug_error error = {0};
    struct snug_safetensors *checkpoint = NULL;
    snug_text_init(&text, snug_allocator_heap(), (size_t)1 << 28);
    snug_text_puts(&text, prefix);
    for (size_t i = 0; i < count; i++)
        snug_text_puts(&text, part);
    snug_text_puts(&text, suffix);
    assert_int_equal(snug_text_status(&text, &error, "header"), SNUG_STATUS_OK);
    report(prefix, open_header(text.data, text.length, 0, &checkpoint, &error), wanted, &error);
    snug_safetensors_close(checkpoint);
    snug_text_free(&text);
}

static void test_bombs(void **state)
{
    (void)state;
    expect_repeated("{\"a\":", "[", 5000, "", SNUG_STATUS_FORMAT);
    expect_repeated("{\"a\":", "[", 3000000, "", SNUG_STATUS_FORMAT);
    expect_repeated("", "{\"a\":", 100000, "", SNUG_STATUS_FORMAT);
    expect_repeated("{\"__metadata__\":{\"a\":", "{\"a\":", 4, "1}}}}}}", SNUG_STATUS_FORMAT);
    expect_repeated("{\"__metadata__\":{\"a\":[0", ",0", 3100000, "]}}", SNUG_STATUS_FORMAT);
    expect_repeated("{\"__metadata__\":{\"a\":[0", ",0", 3300000, "]}}", SNUG_STATUS_LIMIT);
    expect_repeated("{\"__metadata__\":{\"a\":[0", ",[]", 500000, "]}}", SNUG_STATUS_LIMIT);
    expect_repeated("{\"__metadata__\":{\"a\":[0", ",{}", 250000, "]}}", SNUG_STATUS_LIMIT);
    /* commas and brackets inside a string are no values */
    expect_repeated("{\"__metadata__\":{\"a\":\"\\\"", ",[{", 3300000, "\"}}", SNUG_STATUS_OK);
}

static void test_name_length(void **state)
{
    (void)state;
    const char *suffix = "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    expect_repeated("{\"", "n", SNUG_MAX_TENSOR_NAME_BYTES, suffix, SNUG_STATUS_OK);
    expect_repeated("{\"", "n", SNUG_MAX_TENSOR_NAME_BYTES + 1, suffix, SNUG_STATUS_LIMIT);
}

static void test_header_bytes(void **state)
{
    (void)state;
    const struct snug_allocator *heap = snug_allocator_heap();
    size_t size = 8 + (size_t)SNUG_MAX_SAFETENSORS_HEADER_BYTES + 1;
    unsigned char *bytes = snug_calloc(heap, size, 1);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((size - 8) >> (8 * i));
    bytes[8] = '{';
    struct snug_blob blob = {.data = bytes, .size = size, .owned = bytes, .allocator = heap};
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    report("header too large", snug_safetensors_open_blob(&blob, "f", heap, &checkpoint, &error),
           SNUG_STATUS_LIMIT, &error);
}

static void test_too_many_tensors(void **state)
{
    (void)state;
    struct snug_text text;
    struct snug_error error = {0};
    struct snug_safetensors *checkpoint = NULL;
    snug_text_init(&text, snug_allocator_heap(), (size_t)1 << 28);
    for (int i = 0; i <= SNUG_MAX_TENSORS; i++)
        snug_text_printf(&text, "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                         i ? ',' : '{', i);
    snug_text_puts(&text, "}");
    assert_int_equal(snug_text_status(&text, &error, "header"), SNUG_STATUS_OK);
    report("tensors", open_header(text.data, text.length, 0, &checkpoint, &error),
           SNUG_STATUS_LIMIT, &error);
    snug_text_free(&text);
}

/* ---- what a good file gives ---- */

static void test_views(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"k\\u00e9\":\"\"},"
        "\"b.x\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[1,13]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[13,17]},"
        "\"\xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[17,17]},"
        "\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    static const struct {
        const char *name;
        enum snug_dtype dtype;
        int rank;
        int64_t elements;
        size_t offset, bytes;
    } wanted[] = {
        {"a", SNUG_DTYPE_I8, 1, 1, 0, 1},
        {"b", SNUG_DTYPE_F32, 0, 1, 13, 4},
        {"b.x", SNUG_DTYPE_BF16, 2, 6, 1, 12},
        {"\xc3\xa9", SNUG_DTYPE_F32, 2, 0, 17, 0},
    };
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    report("open", open_header(header, sizeof header - 1, 17, &checkpoint, &error), SNUG_STATUS_OK,
           &error);
    assert_int_equal(snug_safetensors_count(checkpoint), 4);
    const unsigned char *start = snug_safetensors_at(checkpoint, 0)->data;
    for (size_t i = 0; i < 4; i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(checkpoint, i);
        assert_string_equal(view->name, wanted[i].name);
        assert_ptr_equal(snug_safetensors_find(checkpoint, wanted[i].name), view);
        assert_int_equal(view->dtype, wanted[i].dtype);
        assert_int_equal(view->shape.rank, wanted[i].rank);
        assert_int_equal(view->elements, wanted[i].elements);
        assert_int_equal(view->data - start, wanted[i].offset);
        assert_int_equal(view->bytes, wanted[i].bytes);
        assert_int_equal(view->shard, 0);
        if (view->bytes)
            assert_int_equal(view->data[0], wanted[i].offset + 1);
        snug_safetensors_discard(checkpoint, view);
    }
    assert_int_equal(snug_safetensors_at(checkpoint, 2)->shape.dims[0], 2);
    assert_int_equal(snug_safetensors_at(checkpoint, 2)->shape.dims[1], 3);
    assert_null(snug_safetensors_find(checkpoint, ""));
    assert_null(snug_safetensors_find(checkpoint, "b."));
    assert_null(snug_safetensors_find(checkpoint, "zz"));
    assert_null(snug_safetensors_find(checkpoint, "__metadata__"));
    assert_string_equal(snug_safetensors_shard_name(checkpoint, 0), "file.safetensors");
    const struct snug_metadata_entry *entries = NULL;
    assert_int_equal(snug_safetensors_metadata(checkpoint, &entries), 2);
    assert_string_equal(entries[0].key, "format");
    assert_string_equal(entries[0].value, "pt");
    assert_string_equal(entries[1].key, "k\xc3\xa9");
    assert_string_equal(entries[1].value, "");
    snug_safetensors_close(checkpoint);
    snug_safetensors_close(NULL);
}

/* ---- folders: an index of our own over files in memory ---- */

/* Files of one tensor of one byte: A holds "a", B holds "b", AB holds both. */
static const unsigned char file_a[] = "\x35\0\0\0\0\0\0\0{\"a\":" U8_1(0, 1) "}A";
static const unsigned char file_b[] = "\x35\0\0\0\0\0\0\0{\"b\":" U8_1(0, 1) "}B";
static const unsigned char file_ab[] =
    "\x82\0\0\0\0\0\0\0{\"__metadata__\":{\"k\":\"v\"},\"a\":" U8_1(0, 1) ",\"b\":" U8_1(1,
                                                                                         2) "}AB";

static enum snug_status open_index(const char *index, bool with_single,
                                   const struct snug_allocator *allocator,
                                   struct snug_safetensors **out, struct snug_error *error)
{
    const struct snug_embedded_file files[] = {
        {INDEX, (const unsigned char *)index, strlen(index)},
        {"A", file_a, sizeof file_a - 1},
        {"B", file_b, sizeof file_b - 1},
        {"AB", file_ab, sizeof file_ab - 1},
        {"bad", file_a, sizeof file_a - 2},
        {"model.safetensors", file_ab, sizeof file_ab - 1},
    };
    const struct snug_folder folder = {.path = "memory",
                                       .files = files,
                                       .file_count = with_single ? 6 : 5,
                                       .allocator = allocator};
    return snug_safetensors_open_folder(&folder, out, error);
}

#define MAP(entries) "{\"weight_map\":{" entries "}}"

static void test_indices(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        bool with_single;
        enum snug_status wanted;
    } cases[] = {
        {MAP("\"a\":\"A\",\"b\":\"B\""), false, SNUG_STATUS_OK},
        {MAP("\"b\":\"B\",\"a\":\"A\""), false, SNUG_STATUS_OK},
        {MAP("\"a\":\"AB\",\"b\":\"AB\""), false, SNUG_STATUS_OK},
        {MAP("\"a\":\"A\""), false, SNUG_STATUS_OK},
        {"{\"metadata\":[[1.5]],\"weight_map\":{\"a\":\"A\"}}", false, SNUG_STATUS_OK},
        {MAP("\"a\":\"model.safetensors\",\"b\":\"model.safetensors\""), true, SNUG_STATUS_OK},
        {MAP("\"a\":\"A\",\"b\":\"B\""), true, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"b\":\"model.safetensors\""), true, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"model.safetensors\",\"b\":\"model.safetensors\""), false,
         SNUG_STATUS_NOT_FOUND},
        /* map and shards differ */
        {MAP("\"a\":\"AB\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"b\":\"AB\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"B\",\"b\":\"A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"c\":\"A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"b\":\"B\",\"c\":\"B\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"b\":\"bad\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"b\":\"C\""), false, SNUG_STATUS_NOT_FOUND},
        /* names */
        {MAP("\"a\":\"\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\".\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"..\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"./A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"/A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"x/../A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"x\\\\A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"C:A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\\n\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\\u0000\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":[\"A\"]"), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":null"), false, SNUG_STATUS_FORMAT},
        /* the frame */
        {"", false, SNUG_STATUS_FORMAT},
        {"{}", false, SNUG_STATUS_FORMAT},
        {"7", false, SNUG_STATUS_FORMAT},
        {"{\"weight_map\":[]}", false, SNUG_STATUS_FORMAT},
        {MAP(""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\",\"a\":\"A\""), false, SNUG_STATUS_FORMAT},
        {MAP("\"a\":\"A\"") "}", false, SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        enum snug_status found = open_index(cases[i].index, cases[i].with_single,
                                            snug_allocator_heap(), &checkpoint, &error);
        report(cases[i].index, found, cases[i].wanted, &error);
        if (found != SNUG_STATUS_OK)
            assert_non_null(strstr(error.message, "memory"));
        snug_safetensors_close(checkpoint);
    }
}

/* Refusals that another check would make too, with words that mislead. */
static void test_words(void **state)
{
    (void)state;
    static const char cut[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    report(cut, open_header(cut, sizeof cut - 1, 1, &checkpoint, &error), SNUG_STATUS_FORMAT,
           &error);
    assert_non_null(strstr(error.message, "cut short"));
    report("twice",
           open_index(MAP("\"a\":\"A\",\"b\":\"AB\""), false, snug_allocator_heap(), &checkpoint,
                      &error),
           SNUG_STATUS_FORMAT, &error);
    assert_non_null(strstr(error.message, "same tensor"));
}

static void test_shards(void **state)
{
    (void)state;
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error error = {0};
    report("open",
           open_index(MAP("\"b\":\"B\",\"a\":\"A\""), false, snug_allocator_heap(), &checkpoint,
                      &error),
           SNUG_STATUS_OK, &error);
    assert_int_equal(snug_safetensors_count(checkpoint), 2);
    for (size_t i = 0; i < 2; i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(checkpoint, i);
        const char *name = i ? "b" : "a", *shard = i ? "B" : "A";
        assert_string_equal(view->name, name);
        assert_string_equal(snug_safetensors_shard_name(checkpoint, view->shard), shard);
        assert_int_equal(view->data[0], shard[0]);
    }
    snug_safetensors_close(checkpoint);
}

static void test_too_many_shards(void **state)
{
    (void)state;
    struct snug_text text;
    struct snug_error error = {0};
    struct snug_safetensors *checkpoint = NULL;
    snug_text_init(&text, snug_allocator_heap(), (size_t)1 << 20);
    for (int i = 0; i <= SNUG_MAX_SHARDS; i++)
        snug_text_printf(&text, "%s\"%d\":\"s%d\"", i ? "," : "{\"weight_map\":{", i, i);
    snug_text_puts(&text, "}}");
    report("shards",
           open_index(snug_text_c(&text), false, snug_allocator_heap(), &checkpoint, &error),
           SNUG_STATUS_LIMIT, &error);
    snug_text_free(&text);
}

static void test_empty_folder(void **state)
{
    (void)state;
    static const struct snug_embedded_file pickle = {"pytorch_model.bin", file_a, 1};
    struct snug_folder folder = {
        .path = "memory", .files = &pickle, .file_count = 0, .allocator = snug_allocator_heap()};
    struct snug_safetensors *checkpoint = NULL;
    for (folder.file_count = 0; folder.file_count < 2; folder.file_count++) {
        struct snug_error error = {0};
        report("nothing", snug_safetensors_open_folder(&folder, &checkpoint, &error),
               SNUG_STATUS_NOT_FOUND, &error);
        assert_int_equal(strstr(error.message, "convert") != NULL, folder.file_count == 1);
    }
}

/* ---- every allocation refused in turn ---- */

/* The hooks of the JSON library know one allocator for the process: the sweeps share it. */
static struct snug_counting_allocator counting;

typedef enum snug_status open_fn(const struct snug_allocator *allocator,
                                 struct snug_safetensors **out, struct snug_error *error);

static enum snug_status open_disk(const struct snug_allocator *allocator,
                                  struct snug_safetensors **out, struct snug_error *error)
{
    const char *root = getenv("SNUG_SOURCE_ROOT");
    char path[4096];
    int length =
        snprintf(path, sizeof path, "%s/tests/golden/safetensors/sharded/ok", root ? root : ".");
    assert_in_range(length, 1, sizeof path - 1);
    const struct snug_folder folder = {.path = path, .allocator = allocator};
    return snug_safetensors_open_folder(&folder, out, error);
}

static enum snug_status open_memory(const struct snug_allocator *allocator,
                                    struct snug_safetensors **out, struct snug_error *error)
{
    return open_index(MAP("\"a\":\"AB\",\"b\":\"AB\""), false, allocator, out, error);
}

static enum snug_status open_one(const struct snug_allocator *allocator,
                                 struct snug_safetensors **out, struct snug_error *error)
{
    /* The file itself is not part of the sweep, only what becomes of it. */
    struct snug_blob blob = {.data = file_ab, .size = sizeof file_ab - 1};
    return snug_safetensors_open_blob(&blob, "AB", allocator, out, error);
}

static void sweep(const char *what, open_fn *open)
{
    uint64_t refused = 0;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_safetensors *checkpoint = NULL;
        struct snug_error error = {0};
        counting.requests = 0;
        counting.fail_at = fail_at;
        counting.failed = false;
        assert_int_equal(counting.live, 0);
        enum snug_status status = open(&counting.allocator, &checkpoint, &error);
        if (!counting.failed) {
            report(what, status, SNUG_STATUS_OK, &error);
            assert_true(counting.live > 0);
            snug_safetensors_close(checkpoint);
            assert_int_equal(counting.live, 0);
            break;
        }
        if (status != SNUG_STATUS_MEMORY)
            print_error("%s: refusal %d\n", what, (int)fail_at);
        report(what, status, SNUG_STATUS_MEMORY, &error);
        assert_null(checkpoint);
        refused++;
    }
    counting.fail_at = 0;
    assert_true(refused > 10);
}

static void test_sweep(void **state)
{
    (void)state;
    sweep("folder on disk", open_disk);
    sweep("folder in memory", open_memory);
    sweep("one file", open_one);
}

int main(void)
{
    snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
    snug_allocator_set_global(&counting.allocator);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),          cmocka_unit_test(test_frame),
        cmocka_unit_test(test_strangers),        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_name_length),      cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_too_many_tensors), cmocka_unit_test(test_views),
        cmocka_unit_test(test_indices),          cmocka_unit_test(test_words),
        cmocka_unit_test(test_shards),           cmocka_unit_test(test_too_many_shards),
        cmocka_unit_test(test_empty_folder),     cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
