/* Tests of formats/pretokenize.c. The golden splits are golden-check's.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "formats/tokenizer_internal.h"

struct chunks {
    const char *text;
    char joined[512];
    size_t used, next, count;
};

static void add_chunk(void *context, size_t offset, size_t length)
{
    struct chunks *chunks = context;
    assert_int_equal(offset, chunks->next); /* no gaps */
    assert_true(length > 0);
    chunks->next = offset + length;
    chunks->count++;
    if (chunks->used + length + 1 < sizeof chunks->joined) {
        memcpy(chunks->joined + chunks->used, chunks->text + offset, length);
        chunks->used += length;
        chunks->joined[chunks->used++] = '|';
        chunks->joined[chunks->used] = '\0';
    }
}

static void test_chunks(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *expected;
    } rows[] = {
        {"qwen2", "", ""},
        {"qwen2", "I'm here, it's 12345 o'clock", "I|'m| here|,| it|'s| |1|2|3|4|5| o|'clock|"},
        {"llama3", "I'm here, it's 12345 o'clock", "I|'m| here|,| it|'s| |123|45| o|'clock|"},
        {"qwen2", "  hello   world \n\n  x", " | hello|  | world| \n\n| | x|"},
        {"llama3", "DON'T 3.14159 abc123", "DON|'T| |3|.|141|59| abc|123|"},
        {"qwen2", "\tint x=1;\r\n", "\tint| x|=|1|;\r\n|"},
        {"qwen2", "a   ", "a|   |"},
        {"qwen2",
         "'\xC5\xBF"
         "a",
         "'\xC5\xBF|a|"},                             /* long s folds to s */
        {"qwen2", " \xE1\xA0\x8E", " \xE1\xA0\x8E|"}, /* U+180E is no white space */
        {"qwen2", "\xC2\xA0\xE3\x80\x80x", "\xC2\xA0|\xE3\x80\x80x|"},
        {"qwen2", "\x1C\x1Cx", "\x1C\x1C|x|"}, /* nor is U+001C */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chunks chunks = {.text = rows[i].text};
        struct snug_error error = {0};
        assert_ok(snug_pretokenize(rows[i].pattern, rows[i].text, strlen(rows[i].text),
                                   snug_allocator_heap(), add_chunk, &chunks, &error));
        assert_string_equal(chunks.joined, rows[i].expected);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct chunks chunks = {.text = ""};
    struct snug_error error = {0};
    const struct snug_allocator *heap = snug_allocator_heap();
    assert_int_equal(snug_pretokenize("gpt2", "a", 1, heap, add_chunk, &chunks, &error),
                     SNUG_STATUS_UNSUPPORTED);
    assert_int_equal(snug_pretokenize("qwen2", "\xFF", 1, heap, add_chunk, &chunks, &error),
                     SNUG_STATUS_FORMAT);
    assert_int_equal(
        snug_pretokenize("qwen2", "", (size_t)1 << 40, heap, add_chunk, &chunks, &error),
        SNUG_STATUS_LIMIT);
    assert_int_equal(snug_pattern_from_regex("\\w+"), SNUG_PATTERN_COUNT);
    assert_int_equal(snug_pattern_from_regex(""), SNUG_PATTERN_COUNT);
}

/* Without compiled code the interpreter must do, also on what makes it walk back. */
static void test_interpreter(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_splitter splitter;
    struct snug_error error = {0};
    char *text = snug_alloc(heap, COUNT);
    assert_non_null(text);
    assert_ok(snug_splitter_init(&splitter, SNUG_PATTERN_QWEN2, heap, &error));
    pcre2_code *plain = pcre2_code_copy(splitter.code); /* a copy has no compiled code */
    assert_non_null(plain);
    pcre2_code_free(splitter.code);
    splitter.code = plain;
    static const char *const units[] = {" ", "\n ", "a", "!", "'s", " \t\n!"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i]);
        for (size_t k = 0; k < COUNT; k++)
            text[k] = units[i][k % length];
        text[COUNT - 1] = 'x';
        for (size_t start = 0, end = 0; start < COUNT; start = end)
            assert_ok(snug_splitter_next(&splitter, text, COUNT, start, &end, &error));
    }
    snug_splitter_free(&splitter);
    snug_free(heap, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_interpreter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
