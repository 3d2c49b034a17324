/* golden-check, kind "chat".
 *
 * cases.jsonl: the template of a row is a file under templates/. A template that snug recognises is
 * rendered natively and compared with `rendered`; the text is then encoded with the tokenizer in
 * ../tokenizers/NAME and compared with `ids` (where that folder is there). Rows of other templates
 * are skipped, as are the units for a template engine (jinja_units.jsonl).
 * A template that must be recognised and is not fails. One line a template.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "formats/chat.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 24)
#define MAX_MESSAGES 64
#define MAX_PARTS 64

static const char *const known[] = {"internvl3-hf.jinja", "internvl3-hf-first.jinja", "nano.jinja"};

/* One template. */
struct run {
    const char *folder, *template;
    struct snug_chat_format format;
    char tokenizer_name[64]; /* the one loaded, or looked for in vain */
    struct snug_tokenizer *tokenizer;
    struct golden_rows tally;
    int encoded;
};

static bool load_tokenizer(struct golden *g, struct run *run, const char *name)
{
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

static void check_ids(struct golden *g, struct run *run, int line, json_t *row,
                      const struct snug_text *text)
{
    const char *name = json_string_value(json_object_get(row, "tokenizer"));
    json_t *expected = json_object_get(row, "ids");
    struct snug_ids ids;
    struct snug_error error = {0};
    if (!name || !json_is_array(expected) || !load_tokenizer(g, run, name))
        return;
    run->encoded++;
    snug_ids_init(&ids, g->allocator);
    size_t at = 0;
    if (snug_tokenizer_encode(run->tokenizer, snug_text_c(text), text->length,
                              SNUG_ADDED_TOKENS_ALL, &ids, &error) != SNUG_STATUS_OK) {
        golden_wrong(&run->tally, line, "%s", error.message);
    } else {
        while (at < ids.count && at < json_array_size(expected) &&
               json_integer_value(json_array_get(expected, at)) == ids.data[at])
            at++;
        if (at < ids.count || at < json_array_size(expected))
            golden_wrong(&run->tally, line, "id %zu: %d, expected %d (%zu ids, expected %zu)", at,
                         at < ids.count ? (int)ids.data[at] : -1,
                         at < json_array_size(expected)
                             ? (int)json_integer_value(json_array_get(expected, at))
                             : -1,
                         ids.count, json_array_size(expected));
    }
    snug_ids_free(&ids);
}

static void check_row(struct golden *g, struct run *run, int line, json_t *row)
{
    static struct snug_chat_part parts[MAX_MESSAGES][MAX_PARTS];
    struct snug_chat_message messages[MAX_MESSAGES];
    json_t *list = json_object_get(row, "messages"), *rendered = json_object_get(row, "rendered");
    struct snug_text text;
    struct snug_error error = {0};
    size_t count = json_array_size(list);
    bool fine = json_is_array(list) && json_is_string(rendered) && count <= MAX_MESSAGES;
    for (size_t i = 0; i < count && fine; i++)
        fine = read_message(json_array_get(list, i), &messages[i], parts[i]);
    if (!fine) {
        golden_wrong(&run->tally, line, "messages or rendered is missing, or of another form");
        return;
    }
    snug_text_init(&text, g->allocator, MAX_TEXT_BYTES);
    if (snug_chat_render(&run->format, messages, count,
                         json_is_true(json_object_get(row, "add_generation_prompt")), &text,
                         &error) != SNUG_STATUS_OK)
        golden_wrong(&run->tally, line, "%s", error.message);
    else if (text.length != json_string_length(rendered) ||
             memcmp(snug_text_c(&text), json_string_value(rendered), text.length) != 0)
        golden_wrong(&run->tally, line, "rendered \"%.300s\", expected \"%.300s\"",
                     snug_text_c(&text), json_string_value(rendered));
    else
        check_ids(g, run, line, row, &text);
    snug_text_free(&text);
}

static void case_row(struct golden *g, void *context, int line, json_t *row)
{
    struct run *run = context;
    const char *template = json_string_value(json_object_get(row, "template"));
    if (!template || strcmp(template, run->template) != 0)
        return;
    run->tally.rows++;
    check_row(g, run, line, row);
}

static void check_template(struct golden *g, const char *folder, const char *template)
{
    char templates[4096], name[4400];
    struct snug_blob jinja = {0};
    struct run run = {.folder = folder, .template = template};
    snprintf(templates, sizeof templates, "%s/templates", folder);
    snprintf(name, sizeof name, "%s/%s", templates, template);
    if (!golden_read(g, templates, template, &jinja)) {
        golden_skip(g, name, "is not there");
        return;
    }
    snug_chat_recognise((const char *)jinja.data, jinja.size, &run.format);
    if (run.format.kind != SNUG_CHAT_KIND_INTERNVL_HF) {
        golden_fail(g, name, "not recognised: %s", run.format.reason);
    } else {
        (void)golden_jsonl(g, folder, "cases.jsonl", case_row, &run);
        if (run.tally.wrong > 0)
            golden_fail(g, name, "%d of %d rows wrong; %s", run.tally.wrong, run.tally.rows,
                        run.tally.problem);
        else if (run.tally.rows == 0)
            golden_skip(g, name, "no row uses it");
        else if (run.encoded == run.tally.rows)
            golden_pass(g, name, "%d rows, text and ids", run.tally.rows);
        else
            golden_pass(g, name,
                        "%d rows, text; ids of %d (the tokenizer of the others is not there)",
                        run.tally.rows, run.encoded);
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
        if (strcmp(template, known[i]) == 0)
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
        check_template(g, folder, known[i]);
    if (!golden_jsonl(g, folder, "cases.jsonl", count_other_row, &others))
        golden_fail(g, folder, "cases.jsonl is not there");
    if (others > 0)
        golden_skip(g, folder, "cases.jsonl: %d rows of other templates", others);
    if (golden_jsonl(g, folder, "jinja_units.jsonl", count_row, &units))
        golden_skip(g, folder, "jinja_units.jsonl: %d rows, there is no template engine", units);
}
