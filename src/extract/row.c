/* Rows: filling, JSON and CSV. Tables are in row_table.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/row.h"

#include "base/json.h"
#include "extract/validate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *snug_row_status_text(enum snug_row_status status)
{
    static const char *const texts[] = {"ok", "partial", "error"};
    return (unsigned)status < 3 ? texts[status] : "?";
}

void snug_row_init(struct snug_row *row, const struct snug_allocator *allocator)
{
    double none = (double)NAN;
    *row = (struct snug_row){.tokens = {-1, -1, -1}, .timing = {none, none, none, none, none}};
    snug_arena_init(&row->arena, allocator);
}

void snug_row_free(struct snug_row *row)
{
    if (row->arena.allocator != NULL)
        snug_arena_free(&row->arena);
    *row = (struct snug_row){0};
}

void snug_row_set_error(struct snug_row *row, enum snug_status status, const char *message)
{
    const char *copy = snug_arena_strdup(&row->arena, message);
    row->status = SNUG_ROW_STATUS_ERROR;
    row->error_code = snug_status_text(status);
    row->error_message = copy != NULL ? copy : "out of memory, also for the message";
    row->fields = NULL;
    row->field_count = 0;
}

/* ---- filling ---- */

static enum snug_status fill_field(struct snug_row *row, const struct snug_warnings *warnings,
                                   size_t index, const char *text, struct snug_row_field *field)
{
    if (text != NULL && (field->value = snug_arena_strdup(&row->arena, text)) == NULL)
        return SNUG_STATUS_MEMORY;
    for (size_t i = 0; i < warnings->count; i++)
        field->warning_count += warnings->items[i].field == index;
    if (field->warning_count == 0)
        return SNUG_STATUS_OK;
    const char **texts = snug_arena_calloc(&row->arena, field->warning_count, sizeof *texts);
    if (texts == NULL)
        return SNUG_STATUS_MEMORY;
    field->warnings = texts;
    for (size_t i = 0; i < warnings->count; i++)
        if (warnings->items[i].field == index &&
            (*texts++ = snug_arena_strdup(&row->arena, warnings->items[i].text)) == NULL)
            return SNUG_STATUS_MEMORY;
    return SNUG_STATUS_OK;
}

enum snug_status snug_row_set_answer(struct snug_row *row, const struct snug_schema *schema,
                                     const size_t *asked, size_t asked_count,
                                     const struct snug_answer *answer, const double *confidences,
                                     struct snug_error *error)
{
    SNUG_ASSERT(answer->field_count == schema->field_count);
    size_t count = asked != NULL ? asked_count : schema->field_count;
    struct snug_row_field *fields = snug_arena_calloc(&row->arena, count + 1, sizeof *fields);
    const char **values = snug_arena_calloc(&row->arena, schema->field_count, sizeof *values);
    bool *wanted = snug_arena_calloc(&row->arena, schema->field_count, sizeof *wanted);
    if (fields == NULL || values == NULL || wanted == NULL)
        return snug_error_memory(error, (count + 1) * sizeof *fields, "row");
    /* What was not asked for takes no part in rules either. */
    for (size_t i = 0; i < count; i++)
        wanted[asked != NULL ? asked[i] : i] = true;
    for (size_t i = 0; i < schema->field_count; i++)
        values[i] = wanted[i] ? answer->values[i].text : NULL;
    struct snug_warnings warnings = {0};
    enum snug_status status = snug_validate(schema, values, row->arena.allocator, &warnings, error);
    if (status != SNUG_STATUS_OK)
        return status;
    for (size_t i = 0; i < count && status == SNUG_STATUS_OK; i++) {
        size_t index = asked != NULL ? asked[i] : i;
        fields[i].confidence = confidences != NULL ? confidences[index] : (double)NAN;
        fields[i].name = snug_arena_strdup(&row->arena, schema->fields[index].name);
        status = fields[i].name == NULL
                     ? SNUG_STATUS_MEMORY
                     : fill_field(row, &warnings, index, values[index], &fields[i]);
    }
    snug_warnings_free(&warnings);
    if (status != SNUG_STATUS_OK)
        return snug_error_memory(error, (count + 1) * sizeof *fields, "row");
    row->fields = fields;
    row->field_count = count;
    return SNUG_STATUS_OK;
}

/* ---- JSON ---- */

static void put_number(struct snug_text *out, double value, const char *format)
{
    if (!isfinite(value)) {
        snug_text_puts(out, "null");
        return;
    }
    /* Printed short, then without needless zeros: 1.0000 is 1. */
    char digits[64];
    int length = snprintf(digits, sizeof digits, format, value);
    if (length <= 0 || (size_t)length >= sizeof digits) {
        snug_json_put_double(out, value);
        return;
    }
    if (strchr(digits, '.') != NULL) {
        while (digits[length - 1] == '0')
            length--;
        length -= digits[length - 1] == '.';
    }
    snug_text_append(out, digits, (size_t)length);
}

static void put_fields(const struct snug_row *row, struct snug_text *out)
{
    if (row->fields == NULL) {
        snug_text_puts(out, "null");
        return;
    }
    snug_text_putc(out, '{');
    for (size_t i = 0; i < row->field_count; i++) {
        const struct snug_row_field *field = &row->fields[i];
        snug_text_puts(out, i > 0 ? ", " : "");
        snug_json_put_string(out, field->name);
        snug_text_puts(out, ": {\"value\": ");
        snug_json_put_string(out, field->value);
        snug_text_puts(out, ", \"confidence\": ");
        put_number(out, field->confidence, "%.4f");
        snug_text_puts(out, ", \"warnings\": [");
        for (size_t w = 0; w < field->warning_count; w++) {
            snug_text_puts(out, w > 0 ? ", " : "");
            snug_json_put_string(out, field->warnings[w]);
        }
        snug_text_puts(out, "]}");
    }
    snug_text_putc(out, '}');
}

static void put_tokens(const struct snug_row *row, struct snug_text *out)
{
    const int64_t counts[] = {row->tokens.image, row->tokens.prompt, row->tokens.output};
    static const char *const names[] = {"image", "prompt", "output"};
    if (counts[0] < 0 && counts[1] < 0 && counts[2] < 0) {
        snug_text_puts(out, "null");
        return;
    }
    for (int i = 0; i < 3; i++) {
        snug_text_printf(out, "%s\"%s\": ", i > 0 ? ", " : "{", names[i]);
        if (counts[i] < 0)
            snug_text_puts(out, "null");
        else
            snug_text_printf(out, "%lld", (long long)counts[i]);
    }
    snug_text_putc(out, '}');
}

static void put_timing(const struct snug_row *row, struct snug_text *out)
{
    const struct snug_timing *t = &row->timing;
    const double times[] = {t->decode_image, t->vision, t->prefill, t->decode, t->total};
    static const char *const names[] = {"decode_image", "vision", "prefill", "decode", "total"};
    bool any = false;
    for (int i = 0; i < 5; i++)
        any = any || isfinite(times[i]);
    if (!any) {
        snug_text_puts(out, "null");
        return;
    }
    for (int i = 0; i < 5; i++) {
        snug_text_printf(out, "%s\"%s\": ", i > 0 ? ", " : "{", names[i]);
        put_number(out, times[i], "%.1f");
    }
    snug_text_putc(out, '}');
}

static void put_moves(const struct snug_row *row, struct snug_text *out)
{
    snug_text_puts(out, ", \"moves\": [");
    for (int64_t i = 0; i < row->move_count; i++) {
        snug_text_printf(out, "%s{\"token\": %lld, \"from\": ", i ? ", " : "",
                         (long long)row->moves[i].token);
        snug_json_put_string(out, row->moves[i].from);
        snug_text_puts(out, ", \"to\": ");
        snug_json_put_string(out, row->moves[i].to);
        snug_text_puts(out, ", \"why\": ");
        snug_json_put_string(out, row->moves[i].why);
        snug_text_putc(out, '}');
    }
    snug_text_putc(out, ']');
}

void snug_row_put_json(const struct snug_row *row, struct snug_text *out)
{
    snug_text_puts(out, "{\"document\": ");
    snug_json_put_string(out, row->document);
    snug_text_printf(out, ", \"status\": \"%s\", \"error\": ", snug_row_status_text(row->status));
    if (row->error_code != NULL) {
        snug_text_puts(out, "{\"code\": ");
        snug_json_put_string(out, row->error_code);
        snug_text_puts(out, ", \"message\": ");
        snug_json_put_string(out, row->error_message);
        snug_text_putc(out, '}');
    } else {
        snug_text_puts(out, "null");
    }
    snug_text_puts(out, ", \"fields\": ");
    put_fields(row, out);
    snug_text_puts(out, ", \"raw\": ");
    if (row->raw != NULL)
        snug_json_put_string_n(out, row->raw, row->raw_bytes);
    else
        snug_text_puts(out, "null");
    snug_text_puts(out, ", \"finish\": ");
    snug_json_put_string(out, row->finish);
    snug_text_puts(out, ", \"model\": ");
    snug_json_put_string(out, row->model);
    snug_text_puts(out, ", \"tokens\": ");
    put_tokens(row, out);
    snug_text_puts(out, ", \"timing_ms\": ");
    put_timing(row, out);
    snug_text_puts(out, ", \"rung\": ");
    snug_json_put_string(out, row->rung);
    put_moves(row, out);
    snug_text_putc(out, '}');
}

void snug_row_put_jsonl(const struct snug_row *row, struct snug_text *out)
{
    snug_row_put_json(row, out);
    snug_text_putc(out, '\n');
}

void snug_row_put_array_element(const struct snug_row *row, bool first, struct snug_text *out)
{
    snug_text_puts(out, first ? "[\n" : ",\n");
    snug_row_put_json(row, out);
}

void snug_row_put_array_end(bool empty, struct snug_text *out)
{
    snug_text_puts(out, empty ? "[]\n" : "\n]\n");
}

/* ---- CSV ---- */

void snug_csv_put_cell(const char *text, struct snug_text *out)
{
    size_t length = strlen(text);
    bool edge = length > 0 && (text[0] == ' ' || text[length - 1] == ' ');
    if (!edge && strpbrk(text, ",\"\r\n") == NULL) {
        snug_text_append(out, text, length);
        return;
    }
    snug_text_putc(out, '"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"')
            snug_text_putc(out, '"');
        snug_text_putc(out, *at);
    }
    snug_text_putc(out, '"');
}

void snug_row_put_csv_header(const char *const *names, size_t count, struct snug_text *out)
{
    snug_text_puts(out, "image_file,status");
    for (size_t i = 0; i < count; i++) {
        snug_text_putc(out, ',');
        snug_csv_put_cell(names[i], out);
    }
    snug_text_putc(out, '\n');
}

void snug_row_put_csv(const struct snug_row *row, const char *const *names, size_t count,
                      const char *absent, struct snug_text *out)
{
    snug_csv_put_cell(row->document != NULL ? row->document : "", out);
    snug_text_printf(out, ",%s", snug_row_status_text(row->status));
    for (size_t i = 0; i < count; i++) {
        const struct snug_row_field *field = NULL;
        /* Usually the fields stand in the order of the columns. */
        if (i < row->field_count && strcmp(row->fields[i].name, names[i]) == 0)
            field = &row->fields[i];
        for (size_t f = 0; field == NULL && f < row->field_count; f++)
            if (strcmp(row->fields[f].name, names[i]) == 0)
                field = &row->fields[f];
        snug_text_putc(out, ',');
        if (field != NULL)
            snug_csv_put_cell(field->value != NULL ? field->value : absent, out);
    }
    snug_text_putc(out, '\n');
}
