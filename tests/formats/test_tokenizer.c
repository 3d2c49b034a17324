/* Tests of formats/tokenizer.c, tokenizer_json.c, tokenizer_files.c, tokenizer_build.c,
 * vocabulary.c and detokenize.c: what is refused, what is read, limits, hostile texts, a sweep over
 * every allocation. The golden ids are golden-check's.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/clock.h"
#include "base/json.h"
#include "formats/tokenizer.h"

#define QWEN2                                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}|"               \
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPLIT(regex, behavior, invert)                                                             \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"" behavior           \
    "\",\"invert\":" invert "}"
#define LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define PIPELINE(a, b) "{\"type\":\"Sequence\",\"pretokenizers\":[" a "," b "]}"
#define ADDED(id, content, special)                                                                \
    "{\"id\":" #id ",\"content\":\"" content "\",\"special\":" special "}"

/* What a tokenizer.json is made of; NULL stands for the usual. */
struct parts {
    const char *normalizer, *pre, *post, *decoder, *added, *model, *entries, *merges;
    int without_byte; /* 1 more than the byte whose symbol is left out, 0 for none */
};

static struct snug_text text;

/* The 256 byte symbols (id = byte), "ab" 256, "abc" 257, and the rest. */
static const char *make_json(const struct parts *p)
{
    snug_text_clear(&text);
    snug_text_printf(&text,
                     "{\"version\":\"1.0\",\"normalizer\":%s,\"pre_tokenizer\":%s,"
                     "\"post_processor\":%s,\"decoder\":%s,\"added_tokens\":%s,\"model\":{%s,"
                     "\"merges\":%s,\"vocab\":{",
                     p->normalizer ? p->normalizer : "null",
                     p->pre ? p->pre : PIPELINE(SPLIT(QWEN2, "Isolated", "false"), LEVEL),
                     p->post ? p->post : "null",
                     p->decoder ? p->decoder : "{\"type\":\"ByteLevel\"}",
                     p->added ? p->added : "[" ADDED(300, "<x>", "true") "]",
                     p->model ? p->model : "\"type\":\"BPE\"",
                     p->merges ? p->merges : "[\"a b\",[\"ab\",\"c\"]]");
    unsigned other = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        unsigned symbol = itself ? byte : other++;
        if ((int)byte + 1 != p->without_byte)
            snug_text_printf(&text, "\"\\u%04x\":%u,", symbol, byte);
    }
    snug_text_printf(&text, "%s}}}", p->entries ? p->entries : "\"ab\":256,\"abc\":257");
    assert_int_equal(text.status, SNUG_STATUS_OK);
    return snug_text_c(&text);
}

static struct snug_tokenizer *load(const struct parts *parts)
{
    struct snug_error error = {0};
    struct snug_tokenizer *tokenizer = NULL;
    const char *json = make_json(parts);
    assert_ok(snug_tokenizer_load_json(json, strlen(json), "t.json", snug_allocator_heap(),
                                       &tokenizer, &error));
    return tokenizer;
}

/* ---- what is refused ---- */

static const struct {
    const char *what;
    struct parts parts;
    enum snug_status status;
    const char *says;
} bad[] = {
    {"normalizer", {.normalizer = "{\"type\":\"NFKC\"}"}, SNUG_STATUS_UNSUPPORTED, "NFKC"},
    {"normalizer in a list",
     {.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}"},
     SNUG_STATUS_UNSUPPORTED,
     "Lowercase"},
    {"normalizer nested",
     {.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Sequence\","
                    "\"normalizers\":[]}]}"},
     SNUG_STATUS_UNSUPPORTED,
     "Sequence"},
    {"normalizer no object", {.normalizer = "7"}, SNUG_STATUS_UNSUPPORTED, "no type"},
    {"no pre-tokenizer", {.pre = "null"}, SNUG_STATUS_UNSUPPORTED, "null"},
    {"pre-tokenizer", {.pre = "{\"type\":\"Whitespace\"}"}, SNUG_STATUS_UNSUPPORTED, "Whitespace"},
    {"another regex",
     {.pre = PIPELINE(SPLIT("\\\\w+", "Isolated", "false"), LEVEL)},
     SNUG_STATUS_UNSUPPORTED,
     "\\w+"},
    {"another behavior",
     {.pre = PIPELINE(SPLIT(QWEN2, "Removed", "false"), LEVEL)},
     SNUG_STATUS_UNSUPPORTED,
     "Removed"},
    {"inverted",
     {.pre = PIPELINE(SPLIT(QWEN2, "Isolated", "true"), LEVEL)},
     SNUG_STATUS_UNSUPPORTED,
     "inverted"},
    {"prefix space",
     {.pre = PIPELINE(SPLIT(QWEN2, "Isolated", "false"),
                      "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}")},
     SNUG_STATUS_UNSUPPORTED,
     "add_prefix_space"},
    {"byte level with its own regex",
     {.pre = PIPELINE(SPLIT(QWEN2, "Isolated", "false"),
                      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}")},
     SNUG_STATUS_UNSUPPORTED,
     "use_regex"},
    {"post processor", {.post = "{\"type\":\"BertProcessing\"}"}, SNUG_STATUS_UNSUPPORTED, "Bert"},
    {"decoder", {.decoder = "{\"type\":\"WordPiece\"}"}, SNUG_STATUS_UNSUPPORTED, "WordPiece"},
    {"model", {.model = "\"type\":\"Unigram\""}, SNUG_STATUS_UNSUPPORTED, "Unigram"},
    {"dropout", {.model = "\"dropout\":0.1"}, SNUG_STATUS_UNSUPPORTED, "dropout"},
    {"suffix", {.model = "\"end_of_word_suffix\":\"</w>\""}, SNUG_STATUS_UNSUPPORTED, "</w>"},
    {"byte fallback",
     {.model = "\"byte_fallback\":true"},
     SNUG_STATUS_UNSUPPORTED,
     "byte_fallback"},
    {"flag of a wrong type", {.model = "\"ignore_merges\":1"}, SNUG_STATUS_FORMAT, "ignore_merges"},
    {"merges no list", {.merges = "{}"}, SNUG_STATUS_FORMAT, "merges"},
    {"a byte is missing", {.without_byte = 0x21}, SNUG_STATUS_FORMAT, "0x20"},
    {"id twice", {.entries = "\"ab\":256,\"abc\":256"}, SNUG_STATUS_FORMAT, "id 256"},
    {"id negative", {.entries = "\"ab\":-1"}, SNUG_STATUS_FORMAT, "-1"},
    {"id no integer", {.entries = "\"ab\":1.5"}, SNUG_STATUS_FORMAT, "not an integer"},
    {"id a text", {.entries = "\"ab\":\"1\""}, SNUG_STATUS_FORMAT, "not an integer"},
    {"id too large", {.entries = "\"ab\":4194304"}, SNUG_STATUS_LIMIT, "4194304"},
    {"empty entry", {.entries = "\"\":256"}, SNUG_STATUS_FORMAT, "empty"},
    {"entry not in symbols", {.entries = "\"a b\":256"}, SNUG_STATUS_FORMAT, "byte symbols"},
    {"entry beyond the symbols",
     {.entries = "\"\\u0144\":256"},
     SNUG_STATUS_FORMAT,
     "byte symbols"},
    {"merge of a stranger", {.merges = "[\"a zz\"]"}, SNUG_STATUS_FORMAT, "side"},
    {"merge to a stranger", {.merges = "[\"b a\"]"}, SNUG_STATUS_FORMAT, "gives"},
    {"merge of three", {.merges = "[\"a b c\"]"}, SNUG_STATUS_FORMAT, "merge 0"},
    {"merge of one", {.merges = "[\"a b\",\"ab\"]"}, SNUG_STATUS_FORMAT, "merge 1"},
    {"merge of nothing", {.merges = "[\" b\"]"}, SNUG_STATUS_FORMAT, "merge 0"},
    {"merge pair of three", {.merges = "[[\"a\",\"b\",\"c\"]]"}, SNUG_STATUS_FORMAT, "merge 0"},
    {"merge pair of numbers", {.merges = "[[1,2]]"}, SNUG_STATUS_FORMAT, "merge 0"},
    {"merge of empty texts", {.merges = "[[\"\",\"ab\"]]"}, SNUG_STATUS_FORMAT, "merge 0"},
    {"added without content", {.added = "[{\"id\":300}]"}, SNUG_STATUS_FORMAT, "added_tokens[0]"},
    {"added without id", {.added = "[{\"content\":\"x\"}]"}, SNUG_STATUS_FORMAT, "added_tokens[0]"},
    {"added empty", {.added = "[" ADDED(300, "", "true") "]"}, SNUG_STATUS_FORMAT, "no content"},
    {"added negative", {.added = "[" ADDED(-3, "x!", "true") "]"}, SNUG_STATUS_FORMAT, "-3"},
    {"added too large",
     {.added = "[" ADDED(9999999, "x!", "true") "]"},
     SNUG_STATUS_LIMIT,
     "9999999"},
    {"added no list", {.added = "{}"}, SNUG_STATUS_FORMAT, "added_tokens"},
    {"added flag", {.added = "[" ADDED(300, "x!", "3") "]"}, SNUG_STATUS_FORMAT, "special"},
    {"added id twice",
     {.added = "[" ADDED(300, "<x>", "true") "," ADDED(300, "<y>", "true") "]"},
     SNUG_STATUS_FORMAT,
     "id 300"},
    {"added content twice",
     {.added = "[" ADDED(300, "<x>", "true") "," ADDED(301, "<x>", "true") "]"},
     SNUG_STATUS_FORMAT,
     "twice"},
    {"added with an entry's id",
     {.added = "[" ADDED(256, "<x>", "true") "]"},
     SNUG_STATUS_FORMAT,
     "id 256"},
    {"added with another id than the entry",
     {.added = "[" ADDED(300, "abc", "true") "]"},
     SNUG_STATUS_FORMAT,
     "257"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct snug_error error = {0};
        struct snug_tokenizer *tokenizer = NULL;
        const char *json = make_json(&bad[i].parts);
        enum snug_status status = snug_tokenizer_load_json(
            json, strlen(json), "dir/t.json", snug_allocator_heap(), &tokenizer, &error);
        if (status != bad[i].status || !strstr(error.message, bad[i].says) ||
            !strstr(error.message, "t.json"))
            fail_msg("%s: %s \"%s\", expected %s with \"%s\"", bad[i].what,
                     snug_status_text(status), error.message, snug_status_text(bad[i].status),
                     bad[i].says);
        assert_null(tokenizer);
    }
}

/* What is wrong with the text as JSON comes first, with line and column, also inside the two
 * members that jansson never sees of a good file. */
static const struct {
    struct parts parts;
    enum snug_status status;
    const char *says;
} malformed[] = {
    {{.entries = "\n\n\"ab\":256 \"abc\":257"}, SNUG_STATUS_FORMAT, "line 3, column"},
    {{.entries = "\"ab\":256,"}, SNUG_STATUS_FORMAT, "line 1, column"},
    {{.entries = "\"ab\":0256"}, SNUG_STATUS_FORMAT, "column"},
    {{.entries = "\"ab\":9223372036854775808"}, SNUG_STATUS_FORMAT, "column"},
    {{.entries = "\"ab\":256,\"ab\":257"}, SNUG_STATUS_FORMAT, "duplicate"},
    {{.entries = "\"ab\":256,\"\\u0061b\":256"}, SNUG_STATUS_FORMAT, "duplicate"},
    {{.entries = "\"\xff\":256"}, SNUG_STATUS_FORMAT, "decode byte 0xff"},
    {{.entries = "\"ab\":256]"}, SNUG_STATUS_FORMAT, "column"},
    {{.entries = "\"ab\":256},\"vocab\":{"}, SNUG_STATUS_FORMAT, "duplicate"},
    {{.merges = "[\"a b\",]"}, SNUG_STATUS_FORMAT, "column"},
    {{.merges = "[\"a b\" \"ab c\"]"}, SNUG_STATUS_FORMAT, "column"},
    {{.merges = "[\"a b\"}"}, SNUG_STATUS_FORMAT, "column"},
    {{.merges = "[\"a \\ud800\"]"}, SNUG_STATUS_FORMAT, "column"},
    {{.merges = "[]", .normalizer = "{\"type\":\"NFKC\"", .entries = "\"ab\":256"},
     SNUG_STATUS_FORMAT,
     "column"},
    {{.normalizer = "{\"type\":\"NFKC\"}", .merges = "[,]"}, SNUG_STATUS_FORMAT, "column"},
    {{.merges = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["},
     SNUG_STATUS_LIMIT,
     "nested"},
};

static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        struct snug_error error = {0};
        struct snug_tokenizer *tokenizer = NULL;
        const char *json = make_json(&malformed[i].parts);
        enum snug_status status = snug_tokenizer_load_json(
            json, strlen(json), "t.json", snug_allocator_heap(), &tokenizer, &error);
        if (status != malformed[i].status || !strstr(error.message, malformed[i].says))
            fail_msg("case %zu: %s \"%s\", expected %s with \"%s\"", i, snug_status_text(status),
                     error.message, snug_status_text(malformed[i].status), malformed[i].says);
        assert_null(tokenizer);
    }
}

/* Mutated files: what jansson refuses is refused with the same status and words. */
static void test_refused_like_jansson(void **state)
{
    (void)state;
    static const char alphabet[] = "\"\\{}[]:,01-.u\n a\x1f\xc3";
    char *json = strdup(make_json(&(struct parts){0}));
    size_t length = strlen(json), loaded = 0, syntax = 0;
    uint32_t random = 7;
    assert_non_null(json);
    for (int round = 0; round < 4000; round++) {
        random = random * 1664525u + 1013904223u;
        size_t at = (random >> 4) % length;
        char kept = json[at];
        json[at] = alphabet[(random >> 24) % (sizeof alphabet - 1)];
        struct snug_error error = {0}, wanted = {0};
        struct snug_tokenizer *tokenizer = NULL;
        json_t *tree = NULL;
        enum snug_status status = snug_tokenizer_load_json(
            json, length, "t.json", snug_allocator_heap(), &tokenizer, &error);
        enum snug_status expected = snug_json_parse(json, length, false, "t.json", &tree, &wanted);
        if (expected != SNUG_STATUS_OK &&
            (status != expected || strcmp(error.message, wanted.message) != 0))
            fail_msg("byte %zu: %s \"%s\", expected %s \"%s\"", at, snug_status_text(status),
                     error.message, snug_status_text(expected), wanted.message);
        loaded += status == SNUG_STATUS_OK;
        syntax += expected != SNUG_STATUS_OK;
        json_decref(tree);
        snug_tokenizer_free(tokenizer);
        json[at] = kept;
    }
    free(json);
    if (loaded < 30 || syntax < 1000)
        fail_msg("%zu loaded, %zu malformed", loaded, syntax);
}

static void test_no_tokenizer_at_all(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     "{",
                                        "[]",   "7",
                                        "{}",   "{\"model\":{}}",
                                        "\xff", "{\"model\":{\"vocab\":[],\"merges\":[]}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct snug_error error = {0};
        struct snug_tokenizer *tokenizer = NULL;
        enum snug_status status = snug_tokenizer_load_json(
            texts[i], strlen(texts[i]), "t.json", snug_allocator_heap(), &tokenizer, &error);
        if (status != SNUG_STATUS_FORMAT)
            fail_msg("\"%s\": %s", texts[i], snug_status_text(status));
        assert_null(tokenizer);
    }
    struct snug_folder folder = {.path = test_path("src"), .allocator = snug_allocator_heap()};
    struct snug_error error = {0};
    struct snug_tokenizer *tokenizer = NULL;
    assert_int_equal(snug_tokenizer_load(&folder, folder.allocator, &tokenizer, &error),
                     SNUG_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.message, "tokenizer.json"));
}

/* ---- what is read ---- */

static void check_ids(struct snug_tokenizer *tokenizer, const char *string,
                      enum snug_added_tokens added, const int32_t *expected, size_t count)
{
    struct snug_error error = {0};
    struct snug_ids ids;
    snug_ids_init(&ids, snug_allocator_heap());
    assert_ok(snug_tokenizer_encode(tokenizer, string, strlen(string), added, &ids, &error));
    for (size_t i = 0; i < ids.count && i < count; i++)
        if (ids.data[i] != expected[i])
            fail_msg("\"%s\" id %zu: %d, expected %d", string, i, (int)ids.data[i],
                     (int)expected[i]);
    if (ids.count != count)
        fail_msg("\"%s\": %zu ids, expected %zu", string, ids.count, count);
    snug_ids_free(&ids);
}
#define CHECK_IDS(tokenizer, string, added, ...)                                                   \
    check_ids(tokenizer, string, added, (const int32_t[]){__VA_ARGS__},                            \
              sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* The same file with members in another order, keys written with escapes, white space anywhere. */
static void test_other_spelling(void **state)
{
    (void)state;
    struct snug_text other;
    struct snug_error error = {0};
    struct snug_tokenizer *tokenizer = NULL;
    const char *json = make_json(&(struct parts){0});
    const char *vocab = strstr(json, "{\"\\u0100\"");
    assert_non_null(vocab);
    snug_text_init(&other, snug_allocator_heap(), (size_t)1 << 20);
    snug_text_printf(&other,
                     " { \"a \\u0022 key that is no key of ours, whatever its length\" : [1,{}],"
                     "\"\\u006dodel\"\n:\t{\"voca\\u0062\" : %.*s ,\"type\":\"BPE\", \"merges\":\n"
                     "[ \"\\u0061 b\" , [ \"a\\u0062\" ,\"\\u0063\" ] ] } ,"
                     "\"decoder\":{\"type\":\"ByteLevel\"},\"pre_tokenizer\":%s} ",
                     (int)(strlen(vocab) - 2), vocab,
                     PIPELINE(SPLIT(QWEN2, "Isolated", "false"), LEVEL));
    assert_ok(snug_tokenizer_load_json(snug_text_c(&other), other.length, "t.json",
                                       snug_allocator_heap(), &tokenizer, &error));
    assert_int_equal(snug_tokenizer_size(tokenizer), 258);
    CHECK_IDS(tokenizer, "abcab", SNUG_ADDED_TOKENS_ALL, 257, 256);
    snug_tokenizer_free(tokenizer);
    snug_text_free(&other);
}

static void test_modes(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(&(struct parts){
        .added = "[" ADDED(300, "<x>", "true") "," ADDED(301, "abc!", "false") "]"});
    assert_int_equal(snug_tokenizer_size(tokenizer), 302);
    assert_int_equal(snug_tokenizer_added_id(tokenizer, "<x>"), 300);
    assert_int_equal(snug_tokenizer_added_id(tokenizer, "<x"), -1);
    assert_int_equal(snug_tokenizer_bos_id(tokenizer), -1);
    assert_true(snug_tokenizer_is_special(tokenizer, 300));
    assert_false(snug_tokenizer_is_special(tokenizer, 301));
    assert_false(snug_tokenizer_is_special(tokenizer, -1));
    assert_false(snug_tokenizer_is_special(tokenizer, 302));
    CHECK_IDS(tokenizer, "abcb<x>abc!", SNUG_ADDED_TOKENS_ALL, 257, 'b', 300, 301);
    CHECK_IDS(tokenizer, "<x>abc!", SNUG_ADDED_TOKENS_NOT_SPECIAL, '<', 'x', '>', 301);
    CHECK_IDS(tokenizer, "<x>abc!", SNUG_ADDED_TOKENS_NONE, '<', 'x', '>', 257, '!');
    snug_tokenizer_free(tokenizer);
}

static void test_ignore_merges(void **state)
{
    (void)state;
    struct parts parts = {.entries = "\"ab\":256,\"abc\":257,\"cab\":258",
                          .model = "\"type\":\"BPE\",\"ignore_merges\":false"};
    struct snug_tokenizer *tokenizer = load(&parts);
    CHECK_IDS(tokenizer, "cab", SNUG_ADDED_TOKENS_ALL, 'c', 256);
    snug_tokenizer_free(tokenizer);
    parts.model = "\"ignore_merges\":true";
    tokenizer = load(&parts);
    CHECK_IDS(tokenizer, "cab", SNUG_ADDED_TOKENS_ALL, 258);
    CHECK_IDS(tokenizer, "caba", SNUG_ADDED_TOKENS_ALL, 'c', 256, 'a');
    snug_tokenizer_free(tokenizer);
}

static void test_normalizer(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(&(struct parts){.normalizer = "null"});
    CHECK_IDS(tokenizer, "e\xCC\x81", SNUG_ADDED_TOKENS_ALL, 'e', 0xCC, 0x81);
    snug_tokenizer_free(tokenizer);
    static const char *const forms[] = {
        "{\"type\":\"NFC\"}", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}"};
    for (size_t i = 0; i < 2; i++) {
        tokenizer = load(&(struct parts){.normalizer = forms[i]});
        CHECK_IDS(tokenizer, "e\xCC\x81", SNUG_ADDED_TOKENS_ALL, 0xC3, 0xA9);
        /* Each piece between added tokens by itself. */
        CHECK_IDS(tokenizer, "e<x>\xCC\x81", SNUG_ADDED_TOKENS_ALL, 'e', 300, 0xCC, 0x81);
        snug_tokenizer_free(tokenizer);
    }
}

static void test_template(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(&(struct parts){
        .post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
                "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<x>\"}},"
                "{\"Sequence\":{\"id\":\"A\"}}]}]}"});
    assert_int_equal(snug_tokenizer_bos_id(tokenizer), 300);
    CHECK_IDS(tokenizer, "ab", SNUG_ADDED_TOKENS_ALL, 256);
    snug_tokenizer_free(tokenizer);
}

/* An entry that is an added token too: found as such, and by merges where it is not looked for. */
static void test_shared_entry(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(
        &(struct parts){.added = "[" ADDED(257, "abc", "true") "," ADDED(258, "a b", "false") "]",
                        .entries = "\"ab\":256,\"abc\":257,\"a b\":258"});
    CHECK_IDS(tokenizer, "xabc", SNUG_ADDED_TOKENS_ALL, 'x', 257);
    CHECK_IDS(tokenizer, "xa b", SNUG_ADDED_TOKENS_ALL, 'x', 258);
    CHECK_IDS(tokenizer, "abc", SNUG_ADDED_TOKENS_NONE, 257);
    size_t length = 0;
    assert_memory_equal(snug_tokenizer_bytes(tokenizer, 258, &length), "a b", 3);
    assert_int_equal(length, 3);
    snug_tokenizer_free(tokenizer);
}

static void test_texts_refused(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(&(struct parts){0});
    struct snug_error error = {0};
    struct snug_ids ids;
    snug_ids_init(&ids, snug_allocator_heap());
    assert_ok(snug_ids_append(&ids, 7, 3, &error));
    assert_int_equal(
        snug_tokenizer_encode(tokenizer, "ab\xC3", 3, SNUG_ADDED_TOKENS_ALL, &ids, &error),
        SNUG_STATUS_FORMAT);
    assert_int_equal(
        snug_tokenizer_encode(tokenizer, "", (size_t)1 << 40, SNUG_ADDED_TOKENS_ALL, &ids, &error),
        SNUG_STATUS_LIMIT);
    assert_int_equal(ids.count, 3);
    assert_ok(snug_tokenizer_encode(tokenizer, "a\0b", 3, SNUG_ADDED_TOKENS_ALL, &ids, &error));
    assert_int_equal(ids.count, 6);
    assert_int_equal(ids.data[4], 0);
    assert_int_equal(snug_ids_append(&ids, 1, SIZE_MAX / 2, &error), SNUG_STATUS_MEMORY);
    snug_ids_free(&ids);
    snug_tokenizer_free(tokenizer);
}

/* ---- older files ---- */

static struct snug_blob blob_of(const char *string)
{
    return (struct snug_blob){.data = (const unsigned char *)string, .size = strlen(string)};
}

static enum snug_status load_files(const char *merges, const char *added, const char *config,
                                   struct snug_tokenizer **tokenizer, struct snug_error *error)
{
    const char *json = make_json(&(struct parts){0});
    const char *vocab = strstr(json, "\"vocab\":") + strlen("\"vocab\":");
    struct snug_blob blobs[4] = {
        {.data = (const unsigned char *)vocab, .size = strlen(vocab) - 2},
        blob_of(merges),
        blob_of(added ? added : ""),
        blob_of(config ? config : ""),
    };
    *tokenizer = NULL;
    return snug_tokenizer_load_files(&blobs[0], &blobs[1], added ? &blobs[2] : NULL,
                                     config ? &blobs[3] : NULL, "dir", snug_allocator_heap(),
                                     tokenizer, error);
}

static void test_older_files(void **state)
{
    (void)state;
    static const struct {
        const char *merges, *added, *config;
        enum snug_status status;
        const char *says;
    } rows[] = {
        {"#version: 0.2\r\na b\r\n\r\nab c", NULL, NULL, SNUG_STATUS_OK, ""},
        {"a b\n#version: 0.2\n", NULL, NULL, SNUG_STATUS_FORMAT, "merge 1"},
        {"a  b\n", NULL, NULL, SNUG_STATUS_FORMAT, "merge 0"},
        {"a \xff\n", NULL, NULL, SNUG_STATUS_FORMAT, "merge 0"},
        {"", "{\"<x>\":300}", "{\"tokenizer_class\":\"Qwen2TokenizerFast\"}", SNUG_STATUS_OK, ""},
        {"", NULL, "{\"tokenizer_class\":\"LlamaTokenizer\"}", SNUG_STATUS_UNSUPPORTED, "Llama"},
        {"", NULL, "{\"tokenizer_class\":3}", SNUG_STATUS_FORMAT, "tokenizer_class"},
        {"", NULL, "{\"add_prefix_space\":true}", SNUG_STATUS_UNSUPPORTED, "add_prefix_space"},
        {"", NULL, "[]", SNUG_STATUS_FORMAT, "tokenizer_config.json"},
        {"", "[]", NULL, SNUG_STATUS_FORMAT, "added_tokens.json"},
        {"", "{\"<x>\":\"300\"}", NULL, SNUG_STATUS_FORMAT, "<x>"},
        {"", "{\"<x>\":300}", "{\"added_tokens_decoder\":{\"301\":{\"content\":\"<x>\"}}}",
         SNUG_STATUS_FORMAT, "301"},
        {"", NULL, "{\"added_tokens_decoder\":{\"30x\":{\"content\":\"<x>\"}}}", SNUG_STATUS_FORMAT,
         "30x"},
        {"", NULL, "{\"added_tokens_decoder\":{\"300\":{}}}", SNUG_STATUS_FORMAT, "300"},
        {"", NULL, "{\"added_tokens_decoder\":{\"99999999999\":{\"content\":\"<x>\"}}}",
         SNUG_STATUS_FORMAT, "9999"},
        {"", NULL,
         "{\"added_tokens_decoder\":{\"300\":{\"content\":\"<x>\"},\"301\":{\"content\":\"<x>\"}}}",
         SNUG_STATUS_FORMAT, "twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snug_error error = {0};
        struct snug_tokenizer *tokenizer;
        enum snug_status status =
            load_files(rows[i].merges, rows[i].added, rows[i].config, &tokenizer, &error);
        if (status != rows[i].status || !strstr(error.message, rows[i].says))
            fail_msg("row %zu: %s \"%s\", expected %s with \"%s\"", i, snug_status_text(status),
                     error.message, snug_status_text(rows[i].status), rows[i].says);
        snug_tokenizer_free(tokenizer);
    }
}

/* Whether a token of added_tokens.json is special where no decoder says so. */
static void test_special_by_lists(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        bool special;
    } rows[] = {
        {NULL, true},
        {"{}", true},
        {"{\"eos_token\":\"<y>\"}", false},
        {"{\"eos_token\":\"<x>\"}", true},
        {"{\"pad_token\":{\"content\":\"<x>\"}}", true},
        {"{\"additional_special_tokens\":[\"<y>\",{\"content\":\"<x>\"}]}", true},
        {"{\"extra_special_tokens\":{\"a\":\"<x>\"}}", true},
        {"{\"added_tokens_decoder\":{\"300\":{\"content\":\"<x>\",\"special\":false}}}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snug_error error = {0};
        struct snug_tokenizer *tokenizer;
        assert_ok(load_files("a b\nab c\n", "{\"<x>\":300}", rows[i].config, &tokenizer, &error));
        if (snug_tokenizer_is_special(tokenizer, 300) != rows[i].special)
            fail_msg("row %zu: special is not %d", i, rows[i].special);
        CHECK_IDS(tokenizer,
                  "e\xCC\x81"
                  "12",
                  SNUG_ADDED_TOKENS_ALL, 0xC3, 0xA9, '1', '2');
        CHECK_IDS(tokenizer, "abc<x>", SNUG_ADDED_TOKENS_ALL, 257, 300);
        snug_tokenizer_free(tokenizer);
    }
}

/* ---- decoding ---- */

static void test_decode(void **state)
{
    (void)state;
    struct snug_tokenizer *tokenizer = load(&(struct parts){0});
    static const struct {
        int32_t ids[6];
        size_t count;
        bool skip;
        const char *expected;
    } rows[] = {
        {{257, 300, 'z'}, 3, false, "abc<x>z"},
        {{257, 300, 'z'}, 3, true, "abcz"},
        {{0xC3, 300, 0xA9}, 3, true, "\xC3\xA9"}, /* what is skipped does not come between */
        {{0xC3, 300, 0xA9}, 3, false, "\xEF\xBF\xBD<x>\xEF\xBF\xBD"},
        {{0xF0, 0x9F, 0x98}, 3, false, "\xEF\xBF\xBD"},
        {{-1, 299, 5000, 'a'}, 4, false, "a"}, /* unknown ids are passed over */
        {{0xED, 0xA0}, 2, false, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {{0}, 0, false, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snug_error error = {0};
        struct snug_text out;
        snug_text_init(&out, snug_allocator_heap(), 1000);
        assert_ok(snug_tokenizer_decode(tokenizer, rows[i].ids, rows[i].count, rows[i].skip, &out,
                                        &error));
        assert_string_equal(snug_text_c(&out), rows[i].expected);
        snug_text_free(&out);
    }
    size_t length = 1;
    assert_null(snug_tokenizer_bytes(tokenizer, 299, &length));
    assert_int_equal(length, 0);
    snug_tokenizer_free(tokenizer);
}

/* ---- hostile texts: time may not grow with the square ---- */

static void test_hostile(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "<|", " ", "\n", "ab", "'", " \n", "\xCC\x81\xCC\x96"};
    struct snug_folder folder = {.path = test_path("models/snug-nano"),
                                 .allocator = snug_allocator_heap()};
    struct snug_error error = {0};
    struct snug_tokenizer *tokenizer = NULL;
    assert_ok(snug_tokenizer_load(&folder, folder.allocator, &tokenizer, &error));
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct snug_text in, out;
        struct snug_ids ids;
        snug_text_init(&in, snug_allocator_heap(), (size_t)1 << 30);
        snug_text_init(&out, snug_allocator_heap(), (size_t)1 << 30);
        snug_ids_init(&ids, snug_allocator_heap());
        for (int k = 0; k < 100000; k++)
            snug_text_puts(&in, units[i]);
        double start = snug_clock_ms();
        assert_ok(snug_tokenizer_encode(tokenizer, snug_text_c(&in), in.length,
                                        SNUG_ADDED_TOKENS_ALL, &ids, &error));
        double spent_ms = snug_clock_ms() - start;
        if (spent_ms > 5000) /* milliseconds are usual; a square would take minutes */
            fail_msg("\"%s\" x 100000 took %.0f ms", units[i], spent_ms);
        assert_ok(snug_tokenizer_decode(tokenizer, ids.data, ids.count, false, &out, &error));
        assert_int_equal(out.length, in.length);
        if (i != 7) /* NFC sorts the marks */
            assert_memory_equal(out.data, in.data, in.length);
        snug_ids_free(&ids);
        snug_text_free(&in);
        snug_text_free(&out);
    }
    snug_tokenizer_free(tokenizer);
}

/* ---- every allocation refused in turn ---- */

static struct snug_counting_allocator counting;

static enum snug_status load_and_encode(const char *path, struct snug_error *error)
{
    static const char sample[] = "<|im_start|>user\nTotal 12.50 e\xCC\x81 abcabc<|im_end|>";
    struct snug_folder folder = {.path = path, .allocator = &counting.allocator};
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_ids ids;
    struct snug_text out;
    snug_ids_init(&ids, &counting.allocator);
    snug_text_init(&out, &counting.allocator, 10000);
    enum snug_status status = snug_tokenizer_load(&folder, &counting.allocator, &tokenizer, error);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_encode(tokenizer, sample, strlen(sample), SNUG_ADDED_TOKENS_ALL,
                                       &ids, error);
    else
        assert_null(tokenizer);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_decode(tokenizer, ids.data, ids.count, false, &out, error);
    if (status == SNUG_STATUS_OK)
        assert_string_equal(snug_text_c(&out),
                            "<|im_start|>user\nTotal 12.50 \xC3\xA9 abcabc<|im_end|>");
    snug_text_free(&out);
    snug_ids_free(&ids);
    snug_tokenizer_free(tokenizer);
    return status;
}

static void sweep(const char *path)
{
    const struct snug_allocator *before = snug_allocator_global();
    unsigned refused = 0;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_allocator_set_global(&counting.allocator);
        enum snug_status status = load_and_encode(path, &error);
        snug_allocator_set_global(before);
        if (counting.live != 0)
            fail_msg("%s: refusal %d leaves %d blocks", path, (int)fail_at, (int)counting.live);
        if (!counting.failed) {
            assert_ok(status);
            break;
        }
        /* PCRE2 may do without its compiled code: then all is well. */
        if (status != SNUG_STATUS_MEMORY && status != SNUG_STATUS_OK)
            fail_msg("%s: refusal %d: %s: %s", path, (int)fail_at, snug_status_text(status),
                     error.message);
        refused += status == SNUG_STATUS_MEMORY;
    }
    assert_true(refused > 200);
}

static void test_sweep(void **state)
{
    (void)state;
    sweep(test_path("tests/golden/internvl/hf-a"));
    sweep(test_path("tests/golden/internvl/orig"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_no_tokenizer_at_all),
        cmocka_unit_test(test_malformed),        cmocka_unit_test(test_refused_like_jansson),
        cmocka_unit_test(test_other_spelling),   cmocka_unit_test(test_modes),
        cmocka_unit_test(test_ignore_merges),    cmocka_unit_test(test_normalizer),
        cmocka_unit_test(test_template),         cmocka_unit_test(test_shared_entry),
        cmocka_unit_test(test_texts_refused),    cmocka_unit_test(test_older_files),
        cmocka_unit_test(test_special_by_lists), cmocka_unit_test(test_decode),
        cmocka_unit_test(test_hostile),          cmocka_unit_test(test_sweep),
    };
    snug_text_init(&text, snug_allocator_heap(), (size_t)1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snug_text_free(&text);
    return failed;
}
