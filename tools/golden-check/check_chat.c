/* golden-check, kind "chat", and the chat.json of models' folders.
 *
 * cases.jsonl: the template of a row is a file under templates/. A template that snug recognises is
 * rendered natively and compared with `rendered`, or must be refused as the row's `error` says; the
 * text is then encoded with the tokenizer in ../tokenizers/NAME and compared with `ids` (where that
 * folder is there). Llama's rows that have the form of an extraction prompt are also built as ids
 * at once. Rows of other templates and rows with tools are skipped, as are the units for a template
 * engine (jinja_units.jsonl). A template that must be recognised and is not fails. One line a
 * template.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "formats/chat_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 24)
#define MAX_MESSAGES 64
#define MAX_PARTS 64
#define CLOCK "23 Nov 2026" /* of the templates that look at it */

static const struct {
    const char *template;
    enum snug_chat_kind kind;
} known[] = {{"internvl3-hf.jinja", SNUG_CHAT_KIND_INTERNVL_HF},
             {"internvl3-hf-first.jinja", SNUG_CHAT_KIND_INTERNVL_HF},
             {"nano.jinja", SNUG_CHAT_KIND_INTERNVL_HF},
             {"llama-3.2-vision-instruct.jinja", SNUG_CHAT_KIND_LLAMA}};

/* One template. */
struct run {
    const char *folder, *template;
    bool own; /* the tokenizer is the folder's */
    struct snug_chat_format format;
    char tokenizer_name[64]; /* the one loaded, or looked for in vain */
    struct snug_tokenizer *tokenizer;
    struct golden_rows tally;
    int encoded, refused, prompts, tools;
};

static bool load_tokenizer(struct golden *g, struct run *run, const char *name)
{
    if (run->own)
        return true;
    if (!name)
        return false;
    if (strcmp(run->tokenizer_name, name) == 0)
        return run->tokenizer != NULL;
    char folder[4096];
    struct snug_blob json = {0};
    struct snug_error error = {0};
    snug_tokenizer_free(run->tokenizer);
    run->tokenizer = NULL;
    snprintf(run->tokenizer_name, sizeof run->tokenizer_name, "%s", name);
    snprintf(folder, sizeof folder, "%s/../tokenizers/%s", run->folder, name);
    if (strchr(name, '/') || !golden_read(g, folder, "tokenizer.json", &json))
        return false;
    if (snug_tokenizer_load_json((const char *)json.data, json.size, name, g->allocator,
                                 &run->tokenizer, &error) != SNUG_STATUS_OK)
        golden_fail(g, folder, "%s", error.message);
    snug_blob_free(&json);
    return run->tokenizer != NULL;
}

/* One message of a row; parts of a type that the templates pass over are left out. */
static bool read_message(json_t *object, struct snug_chat_message *message,
                         struct snug_chat_part parts[MAX_PARTS])
{
    json_t *content = json_object_get(object, "content");
    *message =
        (struct snug_chat_message){.role = json_string_value(json_object_get(object, "role")),
                                   .parts = parts,
                                   .is_string = json_is_string(content)};
    if (!message->role || (!json_is_string(content) && !json_is_array(content)) ||
        json_array_size(content) > MAX_PARTS)
        return false;
    if (message->is_string) {
        parts[message->part_count++] = (struct snug_chat_part){.kind = SNUG_CHAT_PART_KIND_TEXT,
                                                               .text = json_string_value(content)};
        return true;
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *part = json_array_get(content, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *text = json_string_value(json_object_get(part, "text"));
        struct snug_chat_part out = {.text = text};
        if (!type)
            return false;
        if (strcmp(type, "image") == 0)
            out.kind = SNUG_CHAT_PART_KIND_IMAGE;
        else if (strcmp(type, "video") == 0)
            out.kind = SNUG_CHAT_PART_KIND_VIDEO;
        else if (strcmp(type, "text") == 0 && text)
            out.kind = SNUG_CHAT_PART_KIND_TEXT;
        else
            continue;
        parts[message->part_count++] = out;
    }
    return true;
}

static void compare_ids(struct run *run, int line, json_t *expected, const struct snug_ids *ids,
                        const char *what)
{
    size_t at = 0, count = json_array_size(expected);
    while (at < ids->count && at < count &&
           json_integer_value(json_array_get(expected, at)) == ids->data[at])
        at++;
    if (at < ids->count || at < count)
        golden_wrong(&run->tally, line, "%s: id %zu: %d, expected %d (%zu ids, expected %zu)", what,
                     at, at < ids->count ? (int)ids->data[at] : -1,
                     at < count ? (int)json_integer_value(json_array_get(expected, at)) : -1,
                     ids->count, count);
}

/* A user message of pictures, then one text, maybe after a system text: as ids at once. */
static void check_prompt(struct golden *g, struct run *run, int line,
                         const struct snug_chat_message *messages, size_t count, json_t *expected)
{
    const struct snug_chat_message *user = &messages[count ? count - 1 : 0];
    bool has_system = count == 2 && strcmp(messages[0].role, "system") == 0 &&
                      messages[0].is_string && messages[0].part_count == 1;
    if (run->format.kind != SNUG_CHAT_KIND_LLAMA || (count != 1 && !has_system) ||
        strcmp(user->role, "user") != 0 || user->part_count == 0 ||
        user->parts[user->part_count - 1].kind != SNUG_CHAT_PART_KIND_TEXT)
        return;
    size_t images = user->part_count - 1;
    for (size_t i = 0; i < images; i++)
        if (user->parts[i].kind != SNUG_CHAT_PART_KIND_IMAGE)
            return;
    const struct snug_image_tokens image = {
        .begin = -1,
        .context = snug_tokenizer_added_id(run->tokenizer, SNUG_CHAT_LLAMA_IMAGE),
        .end = -1};
    struct snug_ids ids;
    struct snug_error error = {0};
    snug_ids_init(&ids, g->allocator);
    run->prompts++;
    if (snug_chat_prompt_ids(&run->format, run->tokenizer, &image, NULL, images,
                             has_system ? messages[0].parts[0].text : NULL,
                             user->parts[images].text, &ids, &error) != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s", error.message);
    else
        compare_ids(run, line, expected, &ids, "as a prompt");
    snug_ids_free(&ids);
}

static void check_ids(struct golden *g, struct run *run, int line, json_t *row,
                      const struct snug_chat_message *messages, size_t count,
                      const struct snug_text *text)
{
    json_t *expected = json_object_get(row, "ids");
    struct snug_ids ids;
    struct snug_error error = {0};
    if (!json_is_array(expected) ||
        !load_tokenizer(g, run, json_string_value(json_object_get(row, "tokenizer"))))
        return;
    run->encoded++;
    snug_ids_init(&ids, g->allocator);
    if (snug_tokenizer_encode(run->tokenizer, snug_text_c(text), text->length,
                              SNUG_ADDED_TOKENS_ALL, &ids, &error) != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s", error.message);
    else
        compare_ids(run, line, expected, &ids, "encoded");
    snug_ids_free(&ids);
    if (json_is_true(json_object_get(row, "add_generation_prompt")))
        check_prompt(g, run, line, messages, count, expected);
}

/* The template's own raise_exception is to be answered in its words, other errors in any. */
static void check_refused(struct run *run, int line, json_t *row, enum snug_status status,
                          const struct snug_error *error)
{
    const char *text = json_string_value(json_object_get(row, "error"));
    const char *kind = json_string_value(json_object_get(row, "error_kind"));
    run->refused++;
    if (status == SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "rendered, but must be refused: %s", text);
    else if ((!kind || strcmp(kind, "TemplateError") == 0) && !strstr(error->message, text))
        golden_wrong(&run->tally, line, "refused with \"%s\", expected \"%s\"", error->message,
                     text);
}

static void check_row(struct golden *g, struct run *run, int line, json_t *row)
{
    static struct snug_chat_part parts[MAX_MESSAGES][MAX_PARTS];
    struct snug_chat_message messages[MAX_MESSAGES];
    json_t *list = json_object_get(row, "messages"), *rendered = json_object_get(row, "rendered");
    bool must_fail = json_is_string(json_object_get(row, "error"));
    struct snug_text text;
    struct snug_error error = {0};
    size_t count = json_array_size(list);
    bool fine =
        json_is_array(list) && (json_is_string(rendered) || must_fail) && count <= MAX_MESSAGES;
    for (size_t i = 0; i < count && fine; i++)
        fine = read_message(json_array_get(list, i), &messages[i], parts[i]);
    if (!fine) {
        golden_wrong(&run->tally, line, "messages or rendered is missing, or of another form");
        return;
    }
    snug_text_init(&text, g->allocator, MAX_TEXT_BYTES);
    enum snug_status status = snug_chat_render(
        &run->format, messages, count, json_is_true(json_object_get(row, "add_generation_prompt")),
        &text, &error);
    if (must_fail)
        check_refused(run, line, row, status, &error);
    else if (status != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s", error.message);
    else if (text.length != json_string_length(rendered) ||
             memcmp(snug_text_c(&text), json_string_value(rendered), text.length) != 0)
        golden_wrong(&run->tally, line, "rendered \"%.300s\", expected \"%.300s\"",
                     snug_text_c(&text), json_string_value(rendered));
    else
        check_ids(g, run, line, row, messages, count, &text);
    snug_text_free(&text);
}

/* What the row defines beside the messages: bos_token and date_string. */
static void set_variables(struct run *run, json_t *row)
{
    json_t *vars = json_object_get(row, "vars");
    const char *bos = json_string_value(json_object_get(vars, "bos_token"));
    const char *date = json_string_value(json_object_get(vars, "date_string"));
    run->format.no_bos = bos && !*bos;
    snprintf(run->format.bos, sizeof run->format.bos, "%s", bos ? bos : "");
    snprintf(run->format.date, sizeof run->format.date, "%s", date ? date : CLOCK);
}

static bool has_tools(json_t *row)
{
    json_t *tools = json_object_get(row, "tools");
    json_t *messages = json_object_get(row, "messages");
    bool found = (tools && !json_is_null(tools)) ||
                 json_object_get(json_object_get(row, "vars"), "custom_tools");
    for (size_t i = 0; i < json_array_size(messages) && !found; i++) {
        json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        found = json_object_get(message, "tool_calls") ||
                (role && (strcmp(role, "tool") == 0 || strcmp(role, "ipython") == 0));
    }
    return found;
}

static void case_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    const char *template = json_string_value(json_object_get(row, "template"));
    if (!template || strcmp(template, run->template) != 0)
        return;
    if (run->format.kind == SNUG_CHAT_KIND_LLAMA) {
        if (has_tools(row)) {
            run->tools++;
            return;
        }
        set_variables(run, row);
    }
    run->tally.rows++;
    check_row(g, run, line, row);
}

static void report(struct golden *g, const char *name, const struct run *run)
{
    char more[100] = "";
    if (run->refused > 0 || run->prompts > 0)
        snprintf(more, sizeof more, "; %d refused as they must be, %d as prompts", run->refused,
                 run->prompts);
    if (run->tally.wrong > 0)
        golden_fail(g, name, "%d of %d rows wrong; %s", run->tally.wrong, run->tally.rows,
                    run->tally.problem);
    else if (run->tally.rows == 0)
        golden_skip(g, name, "no row uses it");
    else if (run->encoded + run->refused == run->tally.rows)
        golden_pass(g, name, "%d rows, text and ids%s", run->tally.rows, more);
    else
        golden_pass(g, name,
                    "%d rows, text; ids of %d (the tokenizer of the others is not there)%s",
                    run->tally.rows, run->encoded, more);
    if (run->tools > 0)
        golden_skip(g, name, "%d rows of the template's tools, which snug does not have",
                    run->tools);
}

static void count_own_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    (void)line;
    struct run *run = context;
    const char *template = json_string_value(json_object_get(row, "template"));
    run->tally.rows += template && strcmp(template, run->template) == 0;
}

static void check_template(struct golden *g, const char *folder, const char *template,
                           enum snug_chat_kind kind)
{
    char templates[4096], name[4400];
    struct snug_blob jinja = {0};
    struct run run = {.folder = folder, .template = template};
    snprintf(templates, sizeof templates, "%s/templates", folder);
    snprintf(name, sizeof name, "%s/%s", templates, template);
    if (!golden_read(g, templates, template, &jinja)) {
        (void)golden_jsonl(g, folder, "cases.jsonl", count_own_row, &run);
        if (run.tally.rows > 0)
            golden_skip(g, name, "is not there; %d rows", run.tally.rows);
        return;
    }
    snug_chat_recognise((const char *)jinja.data, jinja.size, &run.format);
    if (run.format.kind != kind) {
        uint64_t digest = 0;
        (void)snug_chat_digest((const char *)jinja.data, jinja.size, &digest);
        golden_fail(g, name, "not recognised: %s (digest %016" PRIx64 ")", run.format.reason,
                    digest);
    } else {
        (void)golden_jsonl(g, folder, "cases.jsonl", case_row, &run);
        report(g, name, &run);
    }
    snug_tokenizer_free(run.tokenizer);
    snug_blob_free(&jinja);
}

static void count_other_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    (void)line;
    const char *template = json_string_value(json_object_get(row, "template"));
    for (size_t i = 0; template && i < sizeof known / sizeof known[0]; i++)
        if (strcmp(template, known[i].template) == 0)
            return;
    ++*(int *)context;
}

static void count_row(struct golden *g, void *context, int line, json_t *row)
{
    (void)g;
    (void)line;
    (void)row;
    ++*(int *)context;
}

void golden_check_chat(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    int others = 0, units = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        check_template(g, folder, known[i].template, known[i].kind);
    if (!golden_jsonl(g, folder, "cases.jsonl", count_other_row, &others))
        golden_fail(g, folder, "cases.jsonl is not there");
    if (others > 0)
        golden_skip(g, folder, "cases.jsonl: %d rows of other templates", others);
    if (golden_jsonl(g, folder, "jinja_units.jsonl", count_row, &units))
        golden_skip(g, folder, "jinja_units.jsonl: %d rows, there is no template engine", units);
}

void golden_check_chat_json(struct golden *g, const char *folder)
{
    char expected[4096], name[4200];
    struct snug_folder files = {.path = folder, .allocator = g->allocator};
    struct snug_error error = {0};
    struct run run = {.folder = folder, .own = true};
    snprintf(expected, sizeof expected, "%s/expected", folder);
    snprintf(name, sizeof name, "%s/chat.json", expected);
    json_t *root = golden_json(g, expected, "chat.json");
    if (!root)
        return;
    if (snug_chat_load(&files, false, g->allocator, &run.format, &error) != SNUG_STATUS_OK ||
        snug_tokenizer_load(&files, g->allocator, &run.tokenizer, &error) != SNUG_STATUS_OK) {
        golden_fail(g, name, "%s", error.message);
    } else {
        json_t *cases = json_object_get(root, "cases"), *refused = json_object_get(root, "refused");
        size_t count = json_array_size(cases);
        for (size_t i = 0; i < count + json_is_object(refused); i++) {
            json_t *row = i < count ? json_array_get(cases, i) : refused;
            const char *date = json_string_value(json_object_get(row, "date_string"));
            snprintf(run.format.date, sizeof run.format.date, "%s", date ? date : "");
            run.tally.rows++;
            check_row(g, &run, (int)i, row);
        }
        report(g, name, &run);
    }
    snug_tokenizer_free(run.tokenizer);
    json_decref(root);
}
