/* Tests of formats/synth_tokenizer.c: it loads, has the true sizes and ids, cuts English into about
 * as many tokens as the real one, and gives every text back.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/limits.h"
#include "formats/chat.h"
#include "formats/synth_tokenizer.h"
#include "formats/tokenizer.h"

static struct snug_text json;
static struct snug_tokenizer *tokenizer;

static int setup(void **state)
{
    (void)state;
    struct snug_error error;
    snug_text_init(&json, snug_allocator_heap(), SNUG_MAX_TOKENIZER_BYTES);
    assert_ok(snug_synth_tokenizer(&json, snug_allocator_heap(), &error));
    assert_ok(snug_tokenizer_load_json(snug_text_c(&json), json.length, "tokenizer.json",
                                       snug_allocator_heap(), &tokenizer, &error));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snug_tokenizer_free(tokenizer);
    snug_text_free(&json);
    return 0;
}

static size_t encode(const char *text, struct snug_ids *ids)
{
    struct snug_error error;
    snug_ids_init(ids, snug_allocator_heap());
    assert_ok(
        snug_tokenizer_encode(tokenizer, text, strlen(text), SNUG_ADDED_TOKENS_ALL, ids, &error));
    return ids->count;
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        int id;
        bool special;
    } added[] = {
        {"<|endoftext|>", 151643, true}, {"<|im_start|>", 151644, true},
        {"<|im_end|>", 151645, true},    {"<|video_pad|>", 151656, true},
        {"<tool_call>", 151657, false},  {"<|file_sep|>", 151664, false},
        {"<img>", 151665, true},         {"</img>", 151666, true},
        {"<IMG_CONTEXT>", 151667, true}, {"</box>", 151673, true},
    };
    assert_int_equal(snug_tokenizer_size(tokenizer), 151674);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        assert_int_equal(snug_tokenizer_added_id(tokenizer, added[i].content), added[i].id);
        assert_int_equal(snug_tokenizer_is_special(tokenizer, added[i].id), added[i].special);
    }
    for (int32_t id = 0; id < 151674; id++) { /* no hole */
        size_t length = 0;
        assert_non_null(snug_tokenizer_bytes(tokenizer, id, &length));
        assert_true(length > 0);
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double low, high; /* bytes a token */
    } cases[] = {
        {"Extract the following fields from this business document.\nWrite one line per field, "
         "exactly as FIELD: value, in this order.",
         3.5, 5.5},
        {"When in the course of human events it becomes necessary for one people to dissolve the "
         "political bands which have connected them with another, and to assume among the powers "
         "of the earth, the separate and equal station to which the laws of nature entitle them.",
         3.5, 5.5},
        {"Byzantine quagmires jeopardise oblique zephyrs, whilst foxtrotting walruses yawn.", 2,
         4.5},
        {"\xe4\xbd\xa0\xe6\x98\xaf\xe4\xb9\xa6\xe7\x94\x9f", 3, 3},
        {"1234567890", 1, 1},
        {"caf\xc3\xa9 \xf0\x9f\x98\x80 na\xc3\xafve\t\r\n\n   x", 1, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_ids ids;
        struct snug_text back;
        struct snug_error error;
        double each = (double)strlen(cases[i].text) / (double)encode(cases[i].text, &ids);
        if (each < cases[i].low || each > cases[i].high)
            fail_msg("'%s': %.2f bytes a token, expected %g to %g", cases[i].text, each,
                     cases[i].low, cases[i].high);
        snug_text_init(&back, snug_allocator_heap(), 1 << 20);
        assert_ok(snug_tokenizer_decode(tokenizer, ids.data, ids.count, false, &back, &error));
        assert_string_equal(snug_text_c(&back), cases[i].text);
        snug_text_free(&back);
        snug_ids_free(&ids);
    }
}

/* Words of the list are one token in every form, and frequent ones have low ids. */
static void test_words(void **state)
{
    (void)state;
    static const char *const one[] = {" the",   "The",      " invoice",    "INVOICE",
                                      " TOTAL", "Subtotal", " authorised", "\n\n",
                                      "    ",   " (",       "),"};
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        struct snug_ids ids;
        if (encode(one[i], &ids) != 1)
            fail_msg("'%s' is %zu tokens", one[i], ids.count);
        if (!i)
            assert_true(ids.data[0] < 1000);
        snug_ids_free(&ids);
    }
}

/* ---- Llama's ---- */

static struct snug_tokenizer *load_llama(struct snug_text *text)
{
    struct snug_error error;
    struct snug_tokenizer *out = NULL;
    snug_text_init(text, snug_allocator_heap(), SNUG_MAX_TOKENIZER_BYTES);
    assert_ok(snug_synth_llama_tokenizer(text, snug_allocator_heap(), &error));
    assert_ok(snug_tokenizer_load_json(snug_text_c(text), text->length, "tokenizer.json",
                                       snug_allocator_heap(), &out, &error));
    return out;
}

static void test_llama(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        int id;
    } added[] = {
        {"<|begin_of_text|>", 128000},
        {"<|end_of_text|>", 128001},
        {"<|finetune_right_pad_id|>", 128004},
        {"<|start_header_id|>", 128006},
        {"<|end_header_id|>", 128007},
        {"<|eom_id|>", 128008},
        {"<|eot_id|>", 128009},
        {"<|python_tag|>", 128010},
        {"<|reserved_special_token_2|>", 128011},
        {"<|reserved_special_token_246|>", 128255},
        {"<|image|>", 128256},
    };
    static const struct {
        const char *text;
        size_t low, high; /* tokens */
    } cases[] = {
        {"1234567", 3, 3},
        {" the invoice TOTAL", 3, 3},
        {"When in the course of human events it becomes necessary for one people to dissolve the "
         "political bands which have connected them with another",
         27, 41},
        {"e\xCC\x81 <|image|>", 4, 4}, /* not composed */
        {"\xe4\xbd\xa0\xe6\x98\xaf\xe4\xb9\xa6\xe7\x94\x9f", 4, 4},
    };
    struct snug_text text;
    struct snug_tokenizer *other = load_llama(&text);
    assert_int_equal(snug_tokenizer_size(other), SNUG_SYNTH_LLAMA_TOKENIZER_SIZE);
    assert_int_equal(snug_tokenizer_bos_id(other), 128000);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        assert_int_equal(snug_tokenizer_added_id(other, added[i].content), added[i].id);
    for (int32_t id = 0; id < SNUG_SYNTH_LLAMA_TOKENIZER_SIZE; id++) {
        size_t length = 0;
        assert_non_null(snug_tokenizer_bytes(other, id, &length));
        assert_true(length > 0);
        assert_int_equal(snug_tokenizer_is_special(other, id), id >= SNUG_SYNTH_LLAMA_VOCABULARY);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_ids ids;
        struct snug_text back;
        struct snug_error error;
        snug_ids_init(&ids, snug_allocator_heap());
        snug_text_init(&back, snug_allocator_heap(), 1 << 20);
        assert_ok(snug_tokenizer_encode(other, cases[i].text, strlen(cases[i].text),
                                        SNUG_ADDED_TOKENS_ALL, &ids, &error));
        if (ids.count < cases[i].low || ids.count > cases[i].high)
            fail_msg("'%s': %zu tokens, expected %zu to %zu", cases[i].text, ids.count,
                     cases[i].low, cases[i].high);
        assert_ok(snug_tokenizer_decode(other, ids.data, ids.count, false, &back, &error));
        assert_string_equal(snug_text_c(&back), cases[i].text);
        snug_text_free(&back);
        snug_ids_free(&ids);
    }
    snug_tokenizer_free(other);
    snug_text_free(&text);
}

static void test_llama_other_files(void **state)
{
    (void)state;
    struct snug_text config;
    struct snug_chat_format chat;
    struct snug_error error;
    snug_text_init(&config, snug_allocator_heap(), 1 << 20);
    snug_synth_llama_tokenizer_config(&config);
    const char *template = snug_synth_llama_chat_template();
    struct snug_embedded_file files[] = {
        {"tokenizer_config.json", (const unsigned char *)snug_text_c(&config), config.length},
        {"chat_template.jinja", (const unsigned char *)template, strlen(template)}};
    struct snug_folder folder = {
        .path = "made", .files = files, .file_count = 2, .allocator = snug_allocator_heap()};
    assert_ok(snug_chat_load(&folder, false, snug_allocator_heap(), &chat, &error));
    assert_int_equal(chat.kind, SNUG_CHAT_KIND_LLAMA);
    assert_true(chat.trims && !chat.no_bos);
    assert_string_equal(chat.bos, "<|begin_of_text|>");
    assert_non_null(strstr(snug_text_c(&config), "\"128256\": {\n      \"content\": "
                                                 "\"<|image|>\""));
    snug_text_free(&config);
}

/* ---- memory ---- */

/* An allocator that knows how many bytes are out: each block's size stands in front of it. */
struct byte_count {
    size_t now, peak;
};
static void *count_resize(void *context, void *memory, size_t bytes)
{
    struct byte_count *count = context;
    size_t *old = memory ? (size_t *)memory - 2 : NULL, before = old ? *old : 0;
    size_t *block = realloc(old, bytes + 16);
    if (!block)
        return NULL;
    *block = bytes;
    count->now += bytes - before;
    count->peak = count->now > count->peak ? count->now : count->peak;
    return block + 2;
}
static void *count_allocate(void *context, size_t bytes)
{
    return count_resize(context, NULL, bytes);
}
static void count_release(void *context, void *memory)
{
    struct byte_count *count = context;
    if (memory) {
        count->now -= ((size_t *)memory)[-2];
        free((size_t *)memory - 2);
    }
}

/* What it says it holds is what it holds, after loading and with work buffers; and little more was
 * needed on the way, jansson included. */
static void test_memory(void **state)
{
    (void)state;
    static const char text[] = "the invoice e\xCC\x81 of Byzantine zephyrs <img>";
    struct byte_count count = {0};
    const struct snug_allocator allocator = {count_allocate, count_resize, count_release, &count};
    struct snug_tokenizer *counted = NULL;
    struct snug_error error;
    struct snug_ids ids;
    snug_allocator_set_global(&allocator);
    enum snug_status status = snug_tokenizer_load_json(
        snug_text_c(&json), json.length, "tokenizer.json", &allocator, &counted, &error);
    snug_allocator_set_global(NULL);
    assert_ok(status);
    size_t held = count.now;
    assert_int_equal(snug_tokenizer_memory_bytes(counted), held);
    assert_in_range(held, 5 << 20, 7 << 20);
    if (count.peak > held + (1 << 20))
        fail_msg("%zu bytes at the most, %zu in the end", count.peak, held);
    snug_ids_init(&ids, snug_allocator_heap());
    assert_ok(
        snug_tokenizer_encode(counted, text, sizeof text - 1, SNUG_ADDED_TOKENS_ALL, &ids, &error));
    assert_true(count.now > held);
    assert_int_equal(snug_tokenizer_memory_bytes(counted), count.now);
    snug_ids_free(&ids);
    snug_tokenizer_free(counted);
    assert_int_equal(count.now, 0);
}

static void test_other_files(void **state)
{
    (void)state;
    struct snug_text config;
    struct snug_chat_format chat;
    struct snug_error error;
    snug_text_init(&config, snug_allocator_heap(), 1 << 20);
    snug_synth_tokenizer_config(&config);
    const char *template = snug_synth_chat_template();
    struct snug_embedded_file files[] = {
        {"tokenizer_config.json", (const unsigned char *)snug_text_c(&config), config.length},
        {"chat_template.jinja", (const unsigned char *)template, strlen(template)}};
    struct snug_folder folder = {
        .path = "made", .files = files, .file_count = 2, .allocator = snug_allocator_heap()};
    assert_ok(snug_chat_load(&folder, false, snug_allocator_heap(), &chat, &error));
    assert_int_equal(chat.kind, SNUG_CHAT_KIND_INTERNVL_HF);
    assert_non_null(strstr(snug_text_c(&config), "\"151667\": {\n      \"content\": "
                                                 "\"<IMG_CONTEXT>\""));
    snug_text_free(&config);
}

typedef enum snug_status make_fn(struct snug_text *out, const struct snug_allocator *allocator,
                                 struct snug_error *error);

static void sweep(make_fn *make, const struct snug_text *expected)
{
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_text out;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_text_init(&out, &counting.allocator, SNUG_MAX_TOKENIZER_BYTES);
        enum snug_status status = make(&out, &counting.allocator, NULL);
        bool same = out.length == expected->length && !memcmp(out.data, expected->data, out.length);
        snug_text_free(&out);
        assert_int_equal(counting.live, 0);
        assert_int_equal(status, counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK);
        if (!counting.failed) {
            assert_true(same && fail_at > 4);
            return;
        }
    }
}

static void test_sweep(void **state)
{
    (void)state;
    struct snug_text text;
    snug_tokenizer_free(load_llama(&text));
    sweep(snug_synth_tokenizer, &json);
    sweep(snug_synth_llama_tokenizer, &text);
    snug_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),  cmocka_unit_test(test_texts),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_llama),  cmocka_unit_test(test_llama_other_files),
        cmocka_unit_test(test_memory), cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests_name("formats/synth_tokenizer", tests, setup, teardown);
}
