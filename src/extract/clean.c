/* Takes markup out of answers without moving a byte, so that offsets stay those of the raw text.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/parse_internal.h"

#include <string.h>

/* ---- the copy ---- */

struct mark {
    const char *text;
    char becomes;
};
/* Tokens that models are known to spell out, and line breaks of HTML. */
static const struct mark marks[] = {
    {"</s>", SNUG_CLEAN_END},
    {"<eos>", SNUG_CLEAN_END},
    {"<end_of_turn>", SNUG_CLEAN_END},
    {"<s>", SNUG_CLEAN_NOTHING},
    {"<bos>", SNUG_CLEAN_NOTHING},
    {"<pad>", SNUG_CLEAN_NOTHING},
    {"<unk>", SNUG_CLEAN_NOTHING},
    {"<img>", SNUG_CLEAN_NOTHING},
    {"</img>", SNUG_CLEAN_NOTHING},
    {"<image>", SNUG_CLEAN_NOTHING},
    {"<IMG_CONTEXT>", SNUG_CLEAN_NOTHING},
    {"<br>", SNUG_CLEAN_BREAK},
    {"<br/>", SNUG_CLEAN_BREAK},
    {"<br />", SNUG_CLEAN_BREAK},
};

/* <|name|>: its length, 0 if it is none; *becomes as above. */
static size_t bar_token(const char *text, size_t length, char *becomes)
{
    static const char *const ends[] = {"im_end",    "eot_id",      "eom_id",
                                       "endoftext", "end_of_text", "end"};
    if (length < 5 || text[1] != '|')
        return 0;
    size_t at = 2;
    while (at < length && at < 66 &&
           (text[at] == '_' || snug_ascii_is_digit(text[at]) ||
            (snug_ascii_lower(text[at]) >= 'a' && snug_ascii_lower(text[at]) <= 'z')))
        at++;
    if (at == 2 || length - at < 2 || text[at] != '|' || text[at + 1] != '>')
        return 0;
    *becomes = SNUG_CLEAN_NOTHING;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strlen(ends[i]) == at - 2 && memcmp(ends[i], text + 2, at - 2) == 0)
            *becomes = SNUG_CLEAN_END;
    return at + 2;
}

static size_t token_at(const char *text, size_t length, char *becomes)
{
    size_t span = bar_token(text, length, becomes);
    for (size_t i = 0; span == 0 && i < sizeof marks / sizeof *marks; i++) {
        size_t size = strlen(marks[i].text);
        if (size <= length && memcmp(marks[i].text, text, size) == 0) {
            span = size;
            *becomes = marks[i].becomes;
        }
    }
    return span;
}

void snug_clean_copy(const char *raw, size_t length, char *clean)
{
    size_t at = 0;
    while (at < length) {
        unsigned char c = (unsigned char)raw[at];
        char becomes = SNUG_CLEAN_NOTHING;
        size_t span = 1;
        if (c == '<' && (span = token_at(raw + at, length - at, &becomes)) > 0) {
            /* becomes what the token stands for */
        } else if (c == '\r') {
            span = 1;
            becomes = length - at >= 2 && raw[at + 1] == '\n' ? SNUG_CLEAN_NOTHING : '\n';
        } else if (c == '\\' && length - at >= 2 &&
                   strchr("_*$#|[]()`~>.-+!&", raw[at + 1]) != NULL && raw[at + 1] != '\0') {
            span = 1;
        } else if (c == 0xef && length - at >= 3 && memcmp(raw + at, "\xef\xbc\x9a", 3) == 0) {
            span = 3; /* a full-width colon */
            becomes = ':';
        } else {
            span = 1;
            bool control = (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
            becomes = control ? SNUG_CLEAN_NOTHING : (char)c;
        }
        memset(clean + at, SNUG_CLEAN_NOTHING, span);
        clean[at] = becomes;
        at += span;
    }
}

/* ---- trimming ---- */

/* Bytes at either end that never belong to a value. */
static bool idle_byte(char c)
{
    return c == SNUG_CLEAN_NOTHING || c == SNUG_CLEAN_END || c == SNUG_CLEAN_BREAK || c == '`';
}

static bool trim_idle(const char *clean, struct snug_range *range)
{
    struct snug_range before = *range;
    snug_value_trim(clean, &range->start, &range->end);
    while (range->start < range->end && idle_byte(clean[range->start]))
        range->start++;
    while (range->start < range->end && idle_byte(clean[range->end - 1]))
        range->end--;
    if (range->end - range->start >= 2 && memcmp(clean + range->start, "**", 2) == 0)
        range->start += 2;
    if (range->end - range->start >= 2 && memcmp(clean + range->end - 2, "**", 2) == 0)
        range->end -= 2;
    return before.start != range->start || before.end != range->end;
}

/* Strips a pair of marks that embraces all, if there is none of them inside ("A" and "B" stays). */
static bool trim_pair(const char *clean, struct snug_range *range)
{
    size_t length = range->end - range->start;
    if (length < 2)
        return false;
    const char *text = clean + range->start;
    char c = text[0];
    if (strchr("*_\"'", c) != NULL && c != '\0' && text[length - 1] == c) {
        size_t width = c == '_' && length >= 4 && text[1] == '_' && text[length - 2] == '_' ? 2 : 1;
        if (memchr(text + width, c, length - 2 * width) != NULL)
            return false;
        range->start += width;
        range->end -= width;
        return true;
    }
    if (length >= 6 && memcmp(text, "\xe2\x80\x9c", 3) == 0 &&
        memcmp(text + length - 3, "\xe2\x80\x9d", 3) == 0) {
        range->start += 3;
        range->end -= 3;
        return true;
    }
    if (c == '<' && text[length - 1] == '>') { /* <https://...> */
        range->start++;
        range->end--;
        return true;
    }
    /* "value", as a line of JSON has it */
    if (text[length - 1] == ',' && (text[length - 2] == '"' || text[length - 2] == '\'')) {
        range->end--;
        return true;
    }
    return false;
}

/* [text](target) becomes text. */
static bool trim_link(const char *clean, struct snug_range *range)
{
    size_t length = range->end - range->start;
    const char *text = clean + range->start;
    if (length < 5 || text[0] != '[' || text[length - 1] != ')')
        return false;
    const char *close = memchr(text, ']', length);
    if (close == NULL || close[1] != '(' ||
        memchr(text + 1, '[', (size_t)(close - text) - 1) != NULL)
        return false;
    range->end = range->start + (size_t)(close - text);
    range->start++;
    return true;
}

void snug_clean_trim(const char *clean, struct snug_range *range)
{
    /* Each turn takes at least a byte off, and a pair is searched for marks of its own kind once:
     * what is left inside has none. */
    while (trim_idle(clean, range) || trim_pair(clean, range) || trim_link(clean, range))
        ;
}

void snug_clean_append(const char *clean, struct snug_range range, struct snug_text *out)
{
    size_t run = range.start;
    for (size_t at = range.start; at < range.end; at++) {
        char c = clean[at];
        bool bold = c == '*' && range.end - at >= 2 && clean[at + 1] == '*';
        bool skip = bold || c == SNUG_CLEAN_NOTHING || c == SNUG_CLEAN_END;
        bool space = c == SNUG_CLEAN_BREAK || ((unsigned char)c < 0x20 && !skip);
        if (!skip && !space)
            continue;
        snug_text_append_lossy(out, clean + run, at - run);
        if (space)
            snug_text_putc(out, ' ');
        at += bold ? 1 : 0;
        run = at + 1;
    }
    if (run < range.end)
        snug_text_append_lossy(out, clean + run, range.end - run);
}

/* ---- lists ---- */

struct list {
    const char *clean, *absent;
    const struct snug_field *field;
    struct snug_text *out;
    struct snug_range covered;
    size_t count;
    size_t gaps; /* empty items not yet written: they count only if another item follows */
    bool real;
};

static void put_item(struct list *list, const char *text, size_t length)
{
    if (list->count > 0)
        snug_text_puts(list->out, " | ");
    snug_text_append(list->out, text, length);
    list->count++;
}

static void add_item(struct list *list, struct snug_range range)
{
    snug_clean_trim(list->clean, &range);
    if (range.start == range.end) {
        if (list->count > 0)
            list->gaps++; /* at the head it is the mark of a table's row */
        return;
    }
    while (list->gaps > 0 && list->count < SNUG_MAX_LIST_ITEMS) {
        put_item(list, list->absent, strlen(list->absent));
        list->gaps--;
    }
    if (list->count >= SNUG_MAX_LIST_ITEMS)
        return;
    put_item(list, "", 0);
    size_t from = list->out->length;
    snug_clean_append(list->clean, range, list->out);
    if (list->out->status == SNUG_STATUS_OK &&
        !snug_value_is_absent(snug_text_c(list->out) + from, list->out->length - from,
                              list->absent))
        list->real = true;
    if (list->covered.end == 0)
        list->covered.start = range.start;
    list->covered.end = range.end;
}

/* Whether the comma (or semicolon) at `at` parts items. In amounts "1,234" is one number, so a
 * comma before just three digits does not; in words any does, except between digits. */
static bool parts_items(const char *clean, struct snug_range line, size_t at,
                        enum snug_field_type item)
{
    bool digit_before = at > line.start && snug_ascii_is_digit(clean[at - 1]);
    size_t digits = 0;
    while (digits < 4 && line.end - at - 1 > digits && snug_ascii_is_digit(clean[at + 1 + digits]))
        digits++;
    if (!digit_before || digits == 0)
        return true;
    return item != SNUG_FIELD_TYPE_TEXT && digits != 3;
}

/* One line without bars: [a, b], "a", "b", a; b or a, b. */
static void split_line(struct list *list, struct snug_range line)
{
    const char *clean = list->clean;
    snug_value_trim(clean, &line.start, &line.end);
    if (line.end - line.start >= 2 && clean[line.start] == '[' && clean[line.end - 1] == ']') {
        line.start++;
        line.end--;
    }
    bool semicolons = memchr(clean + line.start, ';', line.end - line.start) != NULL;
    char quote = '\0';
    size_t from = line.start;
    bool at_start = true;
    for (size_t at = line.start; at < line.end; at++) {
        char c = clean[at];
        if (quote != '\0') {
            quote = c == quote ? '\0' : quote;
        } else if (at_start && (c == '"' || c == '\'') &&
                   memchr(clean + at + 1, c, line.end - at - 1) != NULL) {
            quote = c;
        } else if (c == SNUG_CLEAN_BREAK ||
                   (c == (semicolons ? ';' : ',') &&
                    (semicolons || parts_items(clean, line, at, list->field->item)))) {
            add_item(list, (struct snug_range){from, at});
            from = at + 1;
            at_start = true;
            continue;
        }
        at_start = at_start && snug_ascii_is_space(c);
    }
    add_item(list, (struct snug_range){from, line.end});
}

static void split_bars(struct list *list, struct snug_range line)
{
    size_t from = line.start;
    for (size_t at = line.start; at < line.end; at++)
        if (list->clean[at] == '|' || list->clean[at] == SNUG_CLEAN_BREAK) {
            add_item(list, (struct snug_range){from, at});
            from = at + 1;
        }
    add_item(list, (struct snug_range){from, line.end});
}

void snug_list_build(const char *clean, const struct snug_range *pieces, size_t count,
                     const struct snug_field *field, const char *absent, struct snug_text *out,
                     bool *real, struct snug_range *covered)
{
    struct list list = {.clean = clean, .absent = absent, .field = field, .out = out};
    bool bars = false;
    size_t lines = 0;
    for (size_t i = 0; i < count; i++) {
        struct snug_range piece = pieces[i];
        bars = bars || memchr(clean + piece.start, '|', piece.end - piece.start) != NULL;
        snug_clean_trim(clean, &piece);
        lines += piece.start < piece.end;
    }
    for (size_t i = 0; i < count; i++) {
        struct snug_range piece = pieces[i];
        snug_value_trim(clean, &piece.start, &piece.end);
        if (piece.start == piece.end)
            continue;
        if (bars) {
            /* A bar that ends a line parts it from the next; it is no empty item. */
            if (i + 1 < count && clean[piece.end - 1] == '|')
                piece.end--;
            split_bars(&list, piece);
            list.gaps = 0;
        } else if (lines > 1) {
            if (clean[piece.end - 1] == ',' || clean[piece.end - 1] == ';')
                piece.end--;
            add_item(&list, piece);
        } else {
            split_line(&list, piece);
        }
    }
    *real = list.real;
    if (list.covered.end > 0)
        *covered = list.covered;
}
