/* Rows for people: aligned, wrapped, within 80 columns.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/row.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#define COLUMNS 80
#define MOST_NAME_COLUMNS 24
#define CONFIDENCE_COLUMNS 6 /* "  100%" */

/* Decodes the code point at `at`, U+FFFD for what is invalid; its columns in *columns. Returns its
 * bytes. */
static size_t step(const char *text, size_t length, size_t at, uint32_t *code, int *columns)
{
    int bytes = snug_utf8_decode((const unsigned char *)text + at, length - at, code);
    if (bytes <= 0) {
        *code = 0xfffd;
        bytes = bytes < 0 ? -bytes : (int)(length - at);
    }
    if (*code < 0x20 || *code == 0x7f || (*code >= 0x80 && *code < 0xa0))
        *code = ' '; /* no terminal shall obey a document */
    *columns = utf8proc_charwidth((utf8proc_int32_t)*code);
    if (*columns < 0)
        *columns = 0;
    return (size_t)bytes;
}

/* Appends as much of text[at..length) as fits in `room` columns, broken at a space where there is
 * one. Returns where to go on; *used: columns written. */
static size_t put_piece(const char *text, size_t length, size_t at, int room, struct snug_text *out,
                        int *used)
{
    size_t end = at, break_at = 0;
    int columns = 0, break_columns = 0;
    while (end < length) {
        uint32_t code;
        int width;
        size_t bytes = step(text, length, end, &code, &width);
        if (columns + width > room)
            break;
        if (code == ' ' && end > at) {
            break_at = end;
            break_columns = columns;
        }
        columns += width;
        end += bytes;
    }
    if (end == at && at < length) { /* a character wider than the room */
        uint32_t code;
        int width;
        end += step(text, length, at, &code, &width);
        columns = width;
    } else if (end < length && break_at > at) {
        end = break_at;
        columns = break_columns;
    }
    for (size_t i = at; i < end;) {
        uint32_t code;
        int width;
        i += step(text, length, i, &code, &width);
        snug_text_put_code_point(out, code);
    }
    *used = columns;
    while (end < length && text[end] == ' ')
        end++;
    return end;
}

static void put_spaces(int count, struct snug_text *out)
{
    for (int i = 0; i < count; i++)
        snug_text_putc(out, ' ');
}

/* Text wrapped into lines that begin `indent` columns in; the first continues the current line. */
static void put_wrapped(const char *text, int indent, int room, struct snug_text *out,
                        const char *behind_first)
{
    size_t length = strlen(text), at = 0;
    int used = 0;
    for (bool first = true; first || at < length; first = false) {
        if (!first)
            put_spaces(indent, out);
        at = put_piece(text, length, at, room, out, &used);
        if (first && behind_first[0] != '\0') {
            put_spaces(room - used, out);
            snug_text_puts(out, behind_first);
        }
        snug_text_putc(out, '\n');
    }
}

static int columns_of(const char *text)
{
    size_t length = strlen(text), at = 0;
    int all = 0;
    while (at < length) {
        uint32_t code;
        int width;
        at += step(text, length, at, &code, &width);
        all += width;
    }
    return all;
}

static void put_field(const struct snug_row_field *field, int name_columns, struct snug_text *out)
{
    char confidence[16] = "";
    int indent = 2 + name_columns + 2;
    int room = COLUMNS - indent - CONFIDENCE_COLUMNS;
    if (isfinite(field->confidence))
        snprintf(confidence, sizeof confidence, "%5.0f%%", field->confidence * 100);
    snug_text_puts(out, "  ");
    int columns = columns_of(field->name);
    snug_text_puts(out, field->name);
    if (columns > name_columns) { /* a long name has a line of its own */
        snug_text_putc(out, '\n');
        put_spaces(indent, out);
    } else {
        put_spaces(name_columns - columns + 2, out);
    }
    put_wrapped(field->value, indent, room, out, confidence);
    for (size_t i = 0; i < field->warning_count; i++) {
        put_spaces(indent, out);
        snug_text_puts(out, "! ");
        put_wrapped(field->warnings[i], indent + 2, COLUMNS - indent - 2, out, "");
    }
}

/* The names of the fields that are absent, and the warnings about that. */
static void put_absent(const struct snug_row *row, struct snug_text *out)
{
    int column = 0;
    for (size_t i = 0; i < row->field_count; i++) {
        if (row->fields[i].value != NULL)
            continue;
        const char *name = row->fields[i].name;
        int width = columns_of(name);
        if (column == 0) {
            snug_text_puts(out, "  not found: ");
            column = 13;
        } else if (column + 2 + width > COLUMNS - 1) {
            snug_text_puts(out, ",\n    ");
            column = 4;
        } else {
            snug_text_puts(out, ", ");
            column += 2;
        }
        snug_text_puts(out, name);
        column += width;
    }
    if (column > 0)
        snug_text_putc(out, '\n');
    for (size_t i = 0; i < row->field_count; i++)
        for (size_t w = 0; row->fields[i].value == NULL && w < row->fields[i].warning_count; w++) {
            snug_text_puts(out, "    ! ");
            put_wrapped(row->fields[i].warnings[w], 6, COLUMNS - 6, out, "");
        }
}

void snug_row_put_table(const struct snug_row *row, struct snug_text *out)
{
    const char *document = row->document != NULL ? row->document : "";
    put_wrapped(document, 2, COLUMNS - 2, out, "");
    if (row->status == SNUG_ROW_STATUS_PARTIAL) {
        snug_text_printf(out, "  ! partial: %s\n",
                         row->finish != NULL && strcmp(row->finish, "loop") == 0
                             ? "the model began to repeat itself"
                             : "the answer was cut off at the token limit");
    } else if (row->status == SNUG_ROW_STATUS_ERROR) {
        snug_text_puts(out, "  ! ");
        put_wrapped(row->error_message != NULL ? row->error_message : "failed", 4, COLUMNS - 4, out,
                    "");
    }
    int name_columns = 0;
    for (size_t i = 0; i < row->field_count; i++) {
        int columns = columns_of(row->fields[i].name);
        if (row->fields[i].value != NULL && columns > name_columns)
            name_columns = columns < MOST_NAME_COLUMNS ? columns : MOST_NAME_COLUMNS;
    }
    for (size_t i = 0; i < row->field_count; i++)
        if (row->fields[i].value != NULL)
            put_field(&row->fields[i], name_columns, out);
    put_absent(row, out);
    snug_text_putc(out, '\n');
}
