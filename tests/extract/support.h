/* What the tests of extraction share: files of the repository, the built-in schema, answers as
 * text.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_EXTRACT_SUPPORT_H
#define SNUG_TESTS_EXTRACT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/text.h"
#include "extract/parse.h"
#include "extract/schema.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static inline struct snug_blob read_repository_file(const char *path)
{
    const char *root = getenv("SNUG_SOURCE_ROOT");
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    char *full = snug_path_join(snug_allocator_heap(), root != NULL ? root : ".", path);
    assert_non_null(full);
    if (snug_file_read(full, (size_t)64 << 20, snug_allocator_heap(), &blob, &error) !=
        SNUG_STATUS_OK)
        fail_msg("%s", error.message);
    snug_free(snug_allocator_heap(), full);
    return blob;
}

static inline struct snug_schema *parse_schema(const char *text)
{
    struct snug_schema *schema = NULL;
    struct snug_error error = {0};
    if (snug_schema_parse(text, strlen(text), "test.json", snug_allocator_heap(), &schema,
                          &error) != SNUG_STATUS_OK)
        fail_msg("%s", error.message);
    return schema;
}

static inline struct snug_schema *business_schema(void)
{
    struct snug_blob blob = read_repository_file("schemas/business-document.json");
    struct snug_schema *schema = parse_schema((const char *)blob.data);
    snug_blob_free(&blob);
    return schema;
}

/* An answer as "NAME=value" lines, "NAME=-" for absent, "?KEY=value" for unknown keys. */
static inline void put_answer(const struct snug_schema *schema, const struct snug_answer *answer,
                              struct snug_text *out)
{
    for (size_t i = 0; i < answer->field_count; i++)
        if (answer->values[i].named)
            snug_text_printf(out, "%s=%s\n", schema->fields[i].name,
                             answer->values[i].text != NULL ? answer->values[i].text : "-");
    for (size_t i = 0; i < answer->unknown_count; i++)
        snug_text_printf(out, "?%s=%s\n", answer->unknown[i].key, answer->unknown[i].value);
}

/* What must hold of any answer. */
static inline void check_answer(const struct snug_answer *answer, size_t length)
{
    size_t named = 0;
    for (size_t i = 0; i < answer->field_count; i++) {
        const struct snug_value *value = &answer->values[i];
        named += value->named;
        assert_true(value->start <= value->end);
        assert_true(value->end <= length);
        if (value->text == NULL)
            continue;
        assert_true(value->named);
        assert_true(value->end > value->start);
        assert_true(snug_utf8_valid(value->text, strlen(value->text)));
        for (const char *at = value->text; *at != '\0'; at++)
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
    }
    assert_int_equal(named, answer->named_count);
    for (size_t i = 0; i < answer->unknown_count; i++) {
        assert_non_null(answer->unknown[i].key);
        assert_non_null(answer->unknown[i].value);
        assert_true(answer->unknown[i].start <= answer->unknown[i].end &&
                    answer->unknown[i].end <= length);
    }
}

/* Parses and compares; also parses every prefix, for robustness. */
static inline void check_parse(const struct snug_schema *schema, const char *input,
                               const char *expected)
{
    struct snug_answer answer = {0};
    struct snug_text text;
    struct snug_error error = {0};
    size_t length = strlen(input);
    snug_text_init(&text, snug_allocator_heap(), 1 << 20);
    if (snug_answer_parse(schema, input, length, snug_allocator_heap(), &answer, &error) !=
        SNUG_STATUS_OK)
        fail_msg("%s", error.message);
    check_answer(&answer, length);
    put_answer(schema, &answer, &text);
    if (strcmp(snug_text_c(&text), expected) != 0)
        fail_msg("for\n%s\n---- got\n%s---- wanted\n%s----", input, snug_text_c(&text), expected);
    snug_answer_free(&answer);
    snug_text_free(&text);
    for (size_t cut = 0; cut < length; cut++) {
        /* Its own block, so that reading past the end is seen. */
        char *prefix = snug_alloc(snug_allocator_heap(), cut > 0 ? cut : 1);
        assert_non_null(prefix);
        memcpy(prefix, input, cut);
        assert_int_equal(
            snug_answer_parse(schema, prefix, cut, snug_allocator_heap(), &answer, NULL),
            SNUG_STATUS_OK);
        check_answer(&answer, cut);
        snug_answer_free(&answer);
        snug_free(snug_allocator_heap(), prefix);
    }
}

#endif
