/* golden-check, kind "tokenizer".
 *
 * Every form of the tokenizer that is there (tokenizer.json; vocab.json with merges.txt,
 * added_tokens.json and tokenizer_config.json; each also as .xz) is loaded and checked against
 * every file of rows:
 *
 *     cases.jsonl            text; ids, ids_no_special, decoded, decoded_skip_special
 *     stream.jsonl           ids, skip_special; bytes, emit, pending_bytes, flush, decoded
 *     llama_cpp_cases.jsonl  text; ids_no_special
 *
 * One line a form and file, with the first difference.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "formats/tokenizer.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 28)

/* One file of rows with one form. */
struct run {
    struct snug_tokenizer *tokenizer;
    struct golden_rows tally;
};

/* Up to twelve ids from `from` on. */
static const char *show_ids(char out[160], const int32_t *ids, size_t count, size_t from)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = from; i < count && i < from + 12; i++)
        used += (size_t)snprintf(out + used, 160 - used, "%s%d", i > from ? " " : "", (int)ids[i]);
    return out;
}

static bool check_encode(struct run *run, int line, const char *what, json_t *text,
                         enum snug_added_tokens added, json_t *expected)
{
    struct snug_ids ids, want;
    struct snug_error error = {0};
    char a[160], b[160];
    const struct snug_allocator *allocator = snug_allocator_heap();
    bool fine = false;
    snug_ids_init(&ids, allocator);
    snug_ids_init(&want, allocator);
    enum snug_status status = SNUG_STATUS_OK;
    for (size_t i = 0; i < json_array_size(expected) && status == SNUG_STATUS_OK; i++)
        status = snug_ids_append(&want, (int32_t)json_integer_value(json_array_get(expected, i)), 1,
                                 &error);
    if (status == SNUG_STATUS_OK)
        status = snug_tokenizer_encode(run->tokenizer, json_string_value(text),
                                       json_string_length(text), added, &ids, &error);
    size_t at = 0;
    while (at < ids.count && at < want.count && ids.data[at] == want.data[at])
        at++;
    if (status != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s: %s", what, error.message);
    else if (at < ids.count || at < want.count)
        golden_wrong(&run->tally, line,
                     "%s of \"%.80s\" from id %zu on: %s, expected %s (%zu and %zu in all)", what,
                     json_string_value(text), at, show_ids(a, ids.data, ids.count, at),
                     show_ids(b, want.data, want.count, at), ids.count, want.count);
    else
        fine = true;
    snug_ids_free(&ids);
    snug_ids_free(&want);
    return fine;
}

static bool check_text(struct run *run, int line, const char *what, const struct snug_text *found,
                       json_t *expected)
{
    if (found->status == SNUG_STATUS_OK && found->length == json_string_length(expected) &&
        memcmp(snug_text_c(found), json_string_value(expected), found->length) == 0)
        return true;
    golden_wrong(&run->tally, line, "%s: \"%.120s\", expected \"%.120s\"", what, snug_text_c(found),
                 json_string_value(expected));
    return false;
}

static bool check_decode(struct run *run, int line, const char *what, json_t *ids,
                         bool skip_special, json_t *expected)
{
    struct snug_text text;
    struct snug_error error = {0};
    const struct snug_allocator *allocator = snug_allocator_heap();
    size_t count = json_array_size(ids);
    int32_t *numbers = snug_alloc_array(allocator, count, sizeof *numbers);
    bool fine = false;
    snug_text_init(&text, allocator, MAX_TEXT_BYTES);
    for (size_t i = 0; i < count && numbers; i++)
        numbers[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    if (!numbers)
        golden_wrong(&run->tally, line, "out of memory");
    else if (snug_tokenizer_decode(run->tokenizer, numbers, count, skip_special, &text, &error) !=
             SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s: %s", what, error.message);
    else
        fine = check_text(run, line, what, &text, expected);
    snug_text_free(&text);
    snug_free(allocator, numbers);
    return fine;
}

/* ---- rows ---- */

static void case_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    struct run *run = context;
    json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
    json_t *plain = json_object_get(row, "ids_no_special");
    json_t *decoded = json_object_get(row, "decoded");
    json_t *skipped = json_object_get(row, "decoded_skip_special");
    run->tally.rows++;
    if (!json_is_string(text) || !json_is_array(ids) || !json_is_string(decoded)) {
        golden_wrong(&run->tally, line, "text, ids or decoded is missing");
        return;
    }
    (void)(check_encode(run, line, "ids", text, SNUG_ADDED_TOKENS_ALL, ids) &&
           check_encode(run, line, "ids_no_special", text, SNUG_ADDED_TOKENS_NONE,
                        plain ? plain : ids) &&
           check_decode(run, line, "decoded", ids, false, decoded) &&
           check_decode(run, line, "decoded_skip_special", ids, true, skipped ? skipped : decoded));
}

static void plain_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    struct run *run = context;
    json_t *text = json_object_get(row, "text"), *plain = json_object_get(row, "ids_no_special");
    run->tally.rows++;
    if (!json_is_string(text) || !json_is_array(plain))
        golden_wrong(&run->tally, line, "text or ids_no_special is missing");
    else
        (void)check_encode(run, line, "ids_no_special", text, SNUG_ADDED_TOKENS_NONE, plain);
}

static bool check_bytes(struct run *run, int line, int32_t id, const char *expected)
{
    size_t length = 0;
    const unsigned char *bytes = snug_tokenizer_bytes(run->tokenizer, id, &length);
    bool fine = bytes && expected && strlen(expected) == 2 * length;
    char hex[3];
    for (size_t i = 0; fine && i < length; i++) {
        snprintf(hex, sizeof hex, "%02x", bytes[i]);
        fine = memcmp(hex, expected + 2 * i, 2) == 0;
    }
    if (!fine)
        golden_wrong(&run->tally, line, "id %d has other bytes (%zu) than %s", (int)id, length,
                     expected ? expected : "(none)");
    return fine;
}

/* What comes out after each id, and is held back; then the rest. */
static bool check_pushes(struct run *run, int line, json_t *row, struct snug_text *part,
                         struct snug_text *all)
{
    json_t *ids = json_object_get(row, "ids");
    bool skip_special = json_is_true(json_object_get(row, "skip_special"));
    struct snug_detokenizer state = {0};
    char what[64];
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
        int pending =
            (int)json_integer_value(json_array_get(json_object_get(row, "pending_bytes"), i));
        if (!check_bytes(run, line, id,
                         json_string_value(json_array_get(json_object_get(row, "bytes"), i))))
            return false;
        snug_text_clear(part);
        snug_detokenizer_push(&state, run->tokenizer, id, skip_special, part);
        snprintf(what, sizeof what, "emit[%zu]", i);
        if (!check_text(run, line, what, part, json_array_get(json_object_get(row, "emit"), i)))
            return false;
        if (state.pending_bytes != pending) {
            golden_wrong(&run->tally, line, "pending_bytes[%zu]: %d, expected %d", i,
                         state.pending_bytes, pending);
            return false;
        }
        snug_text_append(all, snug_text_c(part), part->length);
    }
    snug_text_clear(part);
    snug_detokenizer_finish(&state, part);
    snug_text_append(all, snug_text_c(part), part->length);
    return check_text(run, line, "flush", part, json_object_get(row, "flush")) &&
           check_text(run, line, "decoded", all, json_object_get(row, "decoded"));
}

static void stream_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    struct snug_text part, all;
    run->tally.rows++;
    snug_text_init(&part, g->allocator, MAX_TEXT_BYTES);
    snug_text_init(&all, g->allocator, MAX_TEXT_BYTES);
    if (!json_is_array(json_object_get(row, "ids")) ||
        !json_is_string(json_object_get(row, "decoded")))
        golden_wrong(&run->tally, line, "ids or decoded is missing");
    else if (check_pushes(run, line, row, &part, &all))
        (void)check_decode(run, line, "decoded at once", json_object_get(row, "ids"),
                           json_is_true(json_object_get(row, "skip_special")),
                           json_object_get(row, "decoded"));
    snug_text_free(&part);
    snug_text_free(&all);
}

/* ---- forms ---- */

static void check_rows(struct golden *g, const char *folder, struct snug_tokenizer *tokenizer,
                       const char *form)
{
    static const struct {
        const char *name;
        golden_row_fn *row;
    } files[] = {
        {"cases.jsonl", case_row},
        {"stream.jsonl", stream_row},
        {"llama_cpp_cases.jsonl", plain_row},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct run run = {.tokenizer = tokenizer};
        char name[512];
        if (!golden_jsonl(g, folder, files[i].name, files[i].row, &run))
            continue;
        snprintf(name, sizeof name, "%s/%s", folder, files[i].name);
        if (run.tally.wrong == 0 && run.tally.rows > 0)
            golden_pass(g, name, "%d rows with %s", run.tally.rows, form);
        else
            golden_fail(g, name, "%d of %d rows wrong with %s; %s", run.tally.wrong, run.tally.rows,
                        form, run.tally.rows == 0 ? "no rows" : run.tally.problem);
    }
}

static void check_loaded(struct golden *g, const char *folder, enum snug_status status,
                         const struct snug_error *error, struct snug_tokenizer *tokenizer,
                         const char *form)
{
    if (status != SNUG_STATUS_OK) {
        golden_fail(g, folder, "%s: %s", form, error->message);
        return;
    }
    check_rows(g, folder, tokenizer, form);
    snug_tokenizer_free(tokenizer);
}

void golden_check_tokenizer(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_error error = {0};
    struct snug_blob json = {0}, vocab = {0}, merges = {0}, added = {0}, config = {0};
    if (golden_read(g, folder, "tokenizer.json", &json)) {
        enum snug_status status = snug_tokenizer_load_json(
            (const char *)json.data, json.size, "tokenizer.json", g->allocator, &tokenizer, &error);
        check_loaded(g, folder, status, &error, tokenizer, "tokenizer.json");
    }
    if (golden_read(g, folder, "vocab.json", &vocab) &&
        golden_read(g, folder, "merges.txt", &merges)) {
        bool has_added = golden_read(g, folder, "added_tokens.json", &added);
        bool has_config = golden_read(g, folder, "tokenizer_config.json", &config);
        enum snug_status status = snug_tokenizer_load_files(
            &vocab, &merges, has_added ? &added : NULL, has_config ? &config : NULL, folder,
            g->allocator, &tokenizer, &error);
        check_loaded(g, folder, status, &error, tokenizer, "vocab.json and merges.txt");
    }
    struct snug_blob *blobs[] = {&json, &vocab, &merges, &added, &config};
    for (size_t i = 0; i < sizeof blobs / sizeof blobs[0]; i++)
        snug_blob_free(blobs[i]);
}
