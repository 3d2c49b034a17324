/* Chooses between the readers and keeps what they find.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/parse.h"

#include "extract/parse_internal.h"

#include <string.h>

enum snug_status snug_answer_store(struct snug_answer *answer, size_t field, const char *text,
                                   size_t length, bool real, struct snug_range range)
{
    struct snug_value *value = &answer->values[field];
    if (value->text != NULL)
        return SNUG_STATUS_OK;
    if (real) {
        char *copy = snug_arena_strndup(&answer->arena, text, length);
        if (copy == NULL)
            return SNUG_STATUS_MEMORY;
        value->text = copy;
    }
    if (real || value->end == 0) {
        value->start = range.start;
        value->end = range.end;
    }
    value->named = true;
    return SNUG_STATUS_OK;
}

enum snug_status snug_answer_keep(struct snug_answer *answer, const char *clean,
                                  struct snug_range key, struct snug_range value)
{
    if (answer->unknown_count == SNUG_MAX_UNKNOWN_KEYS)
        return SNUG_STATUS_OK;
    if (answer->unknown == NULL)
        answer->unknown =
            snug_arena_calloc(&answer->arena, SNUG_MAX_UNKNOWN_KEYS, sizeof *answer->unknown);
    if (answer->unknown == NULL)
        return SNUG_STATUS_MEMORY;
    snug_clean_trim(clean, &key);
    snug_clean_trim(clean, &value);
    struct snug_unknown_key *kept = &answer->unknown[answer->unknown_count];
    struct snug_range parts[2] = {key, value};
    const char **out[2] = {&kept->key, &kept->value};
    struct snug_text text;
    snug_text_init(&text, answer->arena.allocator, 4 * (size_t)SNUG_MAX_ANSWER_BYTES);
    enum snug_status status = SNUG_STATUS_OK;
    for (int i = 0; i < 2 && status == SNUG_STATUS_OK; i++) {
        snug_text_clear(&text);
        snug_clean_append(clean, parts[i], &text);
        status = text.status;
        *out[i] = snug_arena_strndup(&answer->arena, snug_text_c(&text), text.length);
        if (*out[i] == NULL)
            status = SNUG_STATUS_MEMORY;
    }
    snug_text_free(&text);
    if (status != SNUG_STATUS_OK)
        return status;
    kept->start = value.start;
    kept->end = value.end;
    answer->unknown_count++;
    return SNUG_STATUS_OK;
}

/* The words in which models decline, in the first bytes of an answer without a single field. */
static bool is_refusal(const char *clean, size_t length)
{
    static const char *const phrases[] = {
        "i'm sorry",     "i am sorry", "i apologize",  "i apologise",   "i can't",
        "i cannot",      "i can not",  "can't assist", "cannot assist", "can't help",
        "cannot help",   "unable to",  "not able to",  "as an ai",      "i don't see",
        "i do not see",  "can't see",  "cannot see",   "no image",      "not comfortable",
        "won't be able", "i can’t",    "i’m sorry",    "can’t assist",  "can’t help"};
    char head[1024];
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof head - 1; i++)
        if (clean[i] > SNUG_CLEAN_BREAK || clean[i] < 0)
            head[used++] = snug_ascii_lower(clean[i] == '\n' ? ' ' : clean[i]);
    head[used] = '\0';
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (strstr(head, phrases[i]) != NULL)
            return true;
    return false;
}

static enum snug_status start(struct snug_answer *answer, const struct snug_schema *schema,
                              const struct snug_allocator *allocator)
{
    *answer = (struct snug_answer){.field_count = schema->field_count};
    snug_arena_init(&answer->arena, allocator);
    answer->values = snug_arena_calloc(&answer->arena, schema->field_count, sizeof *answer->values);
    return answer->values != NULL ? SNUG_STATUS_OK : SNUG_STATUS_MEMORY;
}

static void count_named(struct snug_answer *answer)
{
    answer->named_count = 0;
    for (size_t i = 0; i < answer->field_count; i++)
        answer->named_count += answer->values[i].named;
}

enum snug_status snug_answer_parse(const struct snug_schema *schema, const char *raw, size_t length,
                                   const struct snug_allocator *allocator, struct snug_answer *out,
                                   struct snug_error *error)
{
    if (length > SNUG_MAX_ANSWER_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "an answer of %zu bytes, over %u", length,
                              SNUG_MAX_ANSWER_BYTES);
    struct snug_answer json = {0}, lines = {0};
    char *clean = snug_alloc(allocator, length + 1);
    if (clean == NULL)
        return snug_error_memory(error, length + 1, "answer");
    snug_clean_copy(raw, length, clean);
    clean[length] = '\0';

    enum snug_status status = start(&json, schema, allocator);
    if (status == SNUG_STATUS_OK)
        status = snug_answer_read_json(schema, raw, length, &json);
    if (status == SNUG_STATUS_OK)
        status = start(&lines, schema, allocator);
    if (status == SNUG_STATUS_OK)
        status = snug_answer_read_lines(schema, clean, length, &lines);
    if (status != SNUG_STATUS_OK) {
        status = status == SNUG_STATUS_MEMORY
                     ? snug_error_memory(error, length, "answer")
                     : snug_error_set(error, status, "the answer holds too much");
        goto out;
    }
    count_named(&json);
    count_named(&lines);
    json.json = json.named_count > 0 && json.named_count >= lines.named_count;
    struct snug_answer *chosen = json.json ? &json : &lines;
    chosen->refusal = chosen->named_count == 0 && is_refusal(clean, length);
    *out = *chosen;
    *chosen = (struct snug_answer){0};
out:
    snug_answer_free(&json);
    snug_answer_free(&lines);
    snug_free(allocator, clean);
    return status;
}

void snug_answer_free(struct snug_answer *answer)
{
    if (answer->arena.allocator != NULL)
        snug_arena_free(&answer->arena);
    *answer = (struct snug_answer){0};
}
