/* golden-check, kind "unicode".
 *
 *     utf8.jsonl    hex; valid, lossy_hex, and byte by byte emit_hex, pending_bytes, flush_hex
 *     pretok.jsonl  text; qwen2, llama3 (only where it differs): the chunks
 *     nul.jsonl     text_hex; NAME: ids, by the tokenizer in the neighbouring folder NAME
 *
 * One line a file (nul: a tokenizer), with the first difference.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "formats/tokenizer.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 24)
#define MAX_HEX_BYTES 4096

struct run {
    struct snug_tokenizer *tokenizer;
    const char *tokenizer_name;
    int32_t byte_ids[256];
    struct golden_rows tally;
};

static void report(struct golden *g, const char *folder, const char *file, const struct run *run,
                   const char *what)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", folder, file);
    if (run->tally.wrong == 0 && run->tally.rows > 0)
        golden_pass(g, name, "%d rows%s", run->tally.rows, what);
    else
        golden_fail(g, name, "%d of %d rows wrong%s; %s", run->tally.wrong, run->tally.rows, what,
                    run->tally.rows == 0 ? "no rows" : run->tally.problem);
}

static int hex_digit(char c)
{
    if (snug_ascii_is_digit(c))
        return c - '0';
    c = snug_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number of bytes, SIZE_MAX if it is not hex or too long. */
static size_t unhex(const char *hex, unsigned char out[MAX_HEX_BYTES])
{
    size_t length = hex ? strlen(hex) : 1;
    if (length % 2 != 0 || length / 2 > MAX_HEX_BYTES)
        return SIZE_MAX;
    for (size_t i = 0; i < length / 2; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return SIZE_MAX;
        out[i] = (unsigned char)(high * 16 + low);
    }
    return length / 2;
}

/* ---- utf8 ---- */

/* A tokenizer of the 256 byte symbols and nothing else, to stream single bytes through. */
static struct snug_tokenizer *byte_tokenizer(struct golden *g, struct run *run)
{
    static const char head[] =
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
        "\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
        "\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
        "\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":"
        "{";
    struct snug_text json;
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_error error = {0};
    snug_text_init(&json, g->allocator, MAX_TEXT_BYTES);
    snug_text_puts(&json, head);
    unsigned other = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        snug_text_printf(&json, "%s\"\\u%04x\":%u", byte ? "," : "", itself ? byte : other++, byte);
        run->byte_ids[byte] = (int32_t)byte;
    }
    snug_text_puts(&json, "}}}");
    if (snug_tokenizer_load_json(snug_text_c(&json), json.length, "the byte symbols", g->allocator,
                                 &tokenizer, &error) != SNUG_STATUS_OK)
        golden_fail(g, "utf8.jsonl", "%s", error.message);
    snug_text_free(&json);
    return tokenizer;
}

static bool check_hex(struct run *run, int line, const char *what, const struct snug_text *found,
                      const char *expected)
{
    unsigned char bytes[MAX_HEX_BYTES];
    size_t length = unhex(expected, bytes);
    if (length == found->length && memcmp(snug_text_c(found), bytes, length) == 0)
        return true;
    golden_wrong(&run->tally, line, "%s: \"%.80s\" (%zu bytes), expected %.160s", what,
                 snug_text_c(found), found->length, expected ? expected : "(nothing)");
    return false;
}

static void stream_bytes(struct run *run, int line, json_t *row, const unsigned char *bytes,
                         size_t length, struct snug_text *text)
{
    struct snug_detokenizer state = {0};
    json_t *emit = json_object_get(row, "emit_hex"), *held = json_object_get(row, "pending_bytes");
    char what[64];
    for (size_t i = 0; i < length; i++) {
        int pending = (int)json_integer_value(json_array_get(held, i));
        snug_text_clear(text);
        snug_detokenizer_push(&state, run->tokenizer, run->byte_ids[bytes[i]], false, text);
        snprintf(what, sizeof what, "emit_hex[%zu]", i);
        if (!check_hex(run, line, what, text, json_string_value(json_array_get(emit, i))))
            return;
        if (state.pending_bytes != pending) {
            golden_wrong(&run->tally, line, "pending_bytes[%zu]: %d, expected %d", i,
                         state.pending_bytes, pending);
            return;
        }
    }
    snug_text_clear(text);
    snug_detokenizer_finish(&state, text);
    (void)check_hex(run, line, "flush_hex", text,
                    json_string_value(json_object_get(row, "flush_hex")));
}

static void utf8_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    unsigned char bytes[MAX_HEX_BYTES];
    size_t length = unhex(json_string_value(json_object_get(row, "hex")), bytes);
    run->tally.rows++;
    if (length == SIZE_MAX) {
        golden_wrong(&run->tally, line, "hex is missing or too long");
        return;
    }
    bool valid = snug_utf8_valid((const char *)bytes, length);
    if (valid != json_is_true(json_object_get(row, "valid")))
        golden_wrong(&run->tally, line, "valid: %s, expected %s", valid ? "yes" : "no",
                     valid ? "no" : "yes");
    struct snug_text text;
    snug_text_init(&text, g->allocator, MAX_TEXT_BYTES);
    snug_text_append_lossy(&text, bytes, length);
    if (check_hex(run, line, "lossy_hex", &text,
                  json_string_value(json_object_get(row, "lossy_hex"))))
        stream_bytes(run, line, row, bytes, length, &text);
    snug_text_free(&text);
}

/* ---- pretok ---- */

struct chunks {
    const char *text;
    json_t *expected;
    size_t count;
    bool wrong;
};

static void check_chunk(void *context, size_t offset, size_t length)
{
    struct chunks *chunks = context;
    json_t *expected = json_array_get(chunks->expected, chunks->count);
    if (!json_is_string(expected) || json_string_length(expected) != length ||
        memcmp(json_string_value(expected), chunks->text + offset, length) != 0)
        chunks->wrong = true;
    if (!chunks->wrong)
        chunks->count++;
}

static void check_pattern(struct golden *g, struct run *run, int line, json_t *text,
                          const char *pattern, json_t *expected)
{
    struct chunks chunks = {.text = json_string_value(text), .expected = expected};
    struct snug_error error = {0};
    enum snug_status status = snug_pretokenize(pattern, chunks.text, json_string_length(text),
                                               g->allocator, check_chunk, &chunks, &error);
    if (status != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s: %s", pattern, error.message);
    else if (chunks.wrong || chunks.count != json_array_size(expected))
        golden_wrong(&run->tally, line, "%s: chunk %zu of \"%.80s\" is not \"%.80s\"", pattern,
                     chunks.count, chunks.text,
                     chunks.count < json_array_size(expected)
                         ? json_string_value(json_array_get(expected, chunks.count))
                         : "");
}

static void pretok_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    json_t *text = json_object_get(row, "text"), *qwen2 = json_object_get(row, "qwen2");
    json_t *llama3 = json_object_get(row, "llama3");
    run->tally.rows++;
    if (!json_is_string(text) || !json_is_array(qwen2)) {
        golden_wrong(&run->tally, line, "text or qwen2 is missing");
        return;
    }
    check_pattern(g, run, line, text, "qwen2", qwen2);
    check_pattern(g, run, line, text, "llama3", llama3 ? llama3 : qwen2);
}

/* ---- nul ---- */

static void nul_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    unsigned char bytes[MAX_HEX_BYTES];
    size_t length = unhex(json_string_value(json_object_get(row, "text_hex")), bytes);
    json_t *expected = json_object_get(row, run->tokenizer_name);
    struct snug_ids ids;
    struct snug_error error = {0};
    run->tally.rows++;
    if (length == SIZE_MAX || !json_is_array(expected)) {
        golden_wrong(&run->tally, line, "text_hex or %s is missing", run->tokenizer_name);
        return;
    }
    snug_ids_init(&ids, g->allocator);
    if (snug_tokenizer_encode(run->tokenizer, (const char *)bytes, length, SNUG_ADDED_TOKENS_ALL,
                              &ids, &error) != SNUG_STATUS_OK) {
        golden_wrong(&run->tally, line, "%s", error.message);
    } else {
        size_t at = 0;
        while (at < ids.count && at < json_array_size(expected) &&
               json_integer_value(json_array_get(expected, at)) == ids.data[at])
            at++;
        if (at < ids.count || at < json_array_size(expected))
            golden_wrong(&run->tally, line, "id %zu of %s: %d, expected %d", at,
                         json_string_value(json_object_get(row, "text_hex")),
                         at < ids.count ? (int)ids.data[at] : -1,
                         at < json_array_size(expected)
                             ? (int)json_integer_value(json_array_get(expected, at))
                             : -1);
    }
    snug_ids_free(&ids);
}

/* Names of tokenizers that the rows have ids for. */
static void name_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    (void)line;
    json_t *names = context;
    for (void *at = json_object_iter(row); at; at = json_object_iter_next(row, at))
        if (strcmp(json_object_iter_key(at), "text_hex") != 0)
            json_object_set_new(names, json_object_iter_key(at), json_true());
}

static void check_nul(struct golden *g, const char *folder, const char *name)
{
    char neighbour[4096], what[128];
    struct snug_blob json = {0};
    struct snug_error error = {0};
    struct run run = {.tokenizer_name = name};
    snprintf(neighbour, sizeof neighbour, "%s/../%s", folder, name);
    snprintf(what, sizeof what, " with %s", name);
    if (strchr(name, '/') || !golden_read(g, neighbour, "tokenizer.json", &json)) {
        golden_skip(g, folder, "nul.jsonl: there is no tokenizer.json in ../%s", name);
        return;
    }
    if (snug_tokenizer_load_json((const char *)json.data, json.size, name, g->allocator,
                                 &run.tokenizer, &error) != SNUG_STATUS_OK) {
        golden_fail(g, folder, "nul.jsonl: %s", error.message);
    } else {
        (void)golden_jsonl(g, folder, "nul.jsonl", nul_row, &run);
        report(g, folder, "nul.jsonl", &run, what);
        snug_tokenizer_free(run.tokenizer);
    }
    snug_blob_free(&json);
}

void golden_check_unicode(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    struct run utf8 = {0}, pretok = {0};
    utf8.tokenizer = byte_tokenizer(g, &utf8);
    if (utf8.tokenizer && golden_jsonl(g, folder, "utf8.jsonl", utf8_row, &utf8))
        report(g, folder, "utf8.jsonl", &utf8, "");
    snug_tokenizer_free(utf8.tokenizer);
    if (golden_jsonl(g, folder, "pretok.jsonl", pretok_row, &pretok))
        report(g, folder, "pretok.jsonl", &pretok, "");
    json_t *names = json_object();
    if (names && golden_jsonl(g, folder, "nul.jsonl", name_row, names))
        for (void *at = json_object_iter(names); at; at = json_object_iter_next(names, at))
            check_nul(g, folder, json_object_iter_key(at));
    json_decref(names);
}
