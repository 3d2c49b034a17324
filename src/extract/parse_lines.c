/* Reads answers made of lines: FIELD: value and all that models make of it.
 *
 * Line by line over the clean copy. A line may open a field (its key at the head, or further in
 * when several fields share a line), go on with the open one, or belong to nothing. What an open
 * field gathers is a list of byte ranges, turned into its value when the next thing begins.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/parse_internal.h"

#include <string.h>

/* How far before a colon a key may begin, and lines a text goes on over. */
#define KEY_REACH_BYTES (SNUG_MAX_FIELD_NAME_BYTES + 32)
#define TEXT_LINES 5

struct lines {
    const struct snug_schema *schema;
    const char *clean;
    struct snug_answer *answer;
    size_t field;              /* the open field, or SNUG_NO_FIELD */
    struct snug_range *pieces; /* room for SNUG_MAX_LIST_ITEMS */
    size_t piece_count, most_pieces;
    struct snug_text scratch;
    enum snug_status status;
};

/* What stands at the head of a line. */
struct head {
    size_t field;          /* of a known key */
    struct snug_range key; /* of the key, known or not; empty if there is none */
    size_t value;          /* where the value begins */
    bool bullet;
};

static bool is_list(const struct lines *lines)
{
    return lines->field != SNUG_NO_FIELD &&
           lines->schema->fields[lines->field].type == SNUG_FIELD_TYPE_LIST;
}

static bool name_byte(char c)
{
    return c == '_' || c == '-' || c == ' ' || snug_ascii_is_digit(c) ||
           (snug_ascii_lower(c) >= 'a' && snug_ascii_lower(c) <= 'z');
}

static bool upper_byte(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool blank_byte(char c)
{
    return c == ' ' || c == '\t' || c == SNUG_CLEAN_NOTHING;
}

static size_t skip_blanks(const char *clean, size_t at, size_t end)
{
    while (at < end && blank_byte(clean[at]))
        at++;
    return at;
}

/* ---- the open field ---- */

static void close_field(struct lines *lines)
{
    size_t index = lines->field, count = lines->piece_count;
    lines->field = SNUG_NO_FIELD;
    lines->piece_count = 0;
    if (index == SNUG_NO_FIELD || lines->status != SNUG_STATUS_OK)
        return;
    const struct snug_field *field = &lines->schema->fields[index];
    struct snug_range covered = {0};
    bool real = false;
    snug_text_clear(&lines->scratch);
    if (field->type == SNUG_FIELD_TYPE_LIST) {
        snug_list_build(lines->clean, lines->pieces, count, field, lines->schema->absent,
                        &lines->scratch, &real, &covered);
    } else {
        for (size_t i = 0; i < count; i++) {
            struct snug_range piece = lines->pieces[i];
            snug_clean_trim(lines->clean, &piece);
            if (piece.start == piece.end)
                continue;
            if (lines->scratch.length > 0)
                snug_text_putc(&lines->scratch, ' ');
            snug_clean_append(lines->clean, piece, &lines->scratch);
            covered.start = covered.end == 0 ? piece.start : covered.start;
            covered.end = piece.end;
        }
        real = !snug_value_is_absent(snug_text_c(&lines->scratch), lines->scratch.length,
                                     lines->schema->absent);
    }
    lines->status = lines->scratch.status;
    if (lines->status == SNUG_STATUS_OK)
        lines->status = snug_answer_store(lines->answer, index, snug_text_c(&lines->scratch),
                                          lines->scratch.length, real, covered);
}

static void add_piece(struct lines *lines, size_t start, size_t end)
{
    if (lines->field == SNUG_NO_FIELD || lines->piece_count >= lines->most_pieces)
        return;
    struct snug_range piece = {start, end}, trimmed = piece;
    snug_clean_trim(lines->clean, &trimmed);
    if (trimmed.start == trimmed.end)
        return;
    lines->pieces[lines->piece_count++] = piece;
    /* A text that was said to be absent does not go on in the next line: that is the model's
     * remark. */
    if (lines->piece_count == 1 && trimmed.end - trimmed.start <= 256) {
        bool absent = snug_value_is_absent(lines->clean + trimmed.start,
                                           trimmed.end - trimmed.start, lines->schema->absent);
        lines->most_pieces = absent ? 1 : lines->most_pieces;
    }
}

static void open_field(struct lines *lines, size_t field)
{
    close_field(lines);
    lines->field = field;
    enum snug_field_type type = lines->schema->fields[field].type;
    lines->most_pieces = type == SNUG_FIELD_TYPE_LIST   ? SNUG_MAX_LIST_ITEMS
                         : type == SNUG_FIELD_TYPE_TEXT ? TEXT_LINES
                                                        : 1;
    /* The first real value wins, so the rest is not even looked at. */
    if (lines->answer->values[field].text != NULL)
        lines->most_pieces = 0;
}

/* ---- keys within a line ---- */

/* Whether the key is written as a name: to the byte, or in capitals of more than one word. A single
 * word such as "Phone" opens a field at the head of a line only. */
static bool written_as_name(const struct snug_schema *schema, size_t field, const char *clean,
                            struct snug_range key)
{
    const char *name = schema->fields[field].name;
    size_t at = 0;
    bool same = true, upper = true, words = false;
    for (size_t i = key.start; i < key.end; i++) {
        char c = clean[i];
        if (c == SNUG_CLEAN_NOTHING)
            continue;
        same = same && name[at] != '\0' && name[at] == c;
        at += name[at] != '\0';
        words = words || c == ' ' || c == '_' || c == '-';
        upper =
            upper && (upper_byte(c) || snug_ascii_is_digit(c) || c == ' ' || c == '_' || c == '-');
    }
    return (same && name[at] == '\0') || (upper && words);
}

/* The key that ends before the colon at `colon` and does not begin before `floor`; false if
 * none. */
static bool key_before(const struct lines *lines, size_t floor, size_t colon,
                       struct snug_range *key, size_t *field)
{
    const char *clean = lines->clean;
    size_t end = colon;
    while (end > floor && (blank_byte(clean[end - 1]) || strchr("*`\"'", clean[end - 1]) != NULL))
        end--;
    if (end > floor && clean[end - 1] == ')') { /* ABN (11 digits): */
        size_t open = end - 1;
        while (open > floor && end - open < 64 && clean[open] != '(')
            open--;
        if (clean[open] != '(')
            return false;
        end = open;
        while (end > floor && blank_byte(clean[end - 1]))
            end--;
    }
    size_t start = end;
    while (start > floor && end - start < KEY_REACH_BYTES &&
           (name_byte(clean[start - 1]) || clean[start - 1] == SNUG_CLEAN_NOTHING))
        start--;
    for (size_t at = start; at < end; at++) {
        bool word_start = name_byte(clean[at]) && clean[at] != ' ' && clean[at] != '-' &&
                          (at == floor || at == start || clean[at - 1] == ' ');
        if (!word_start || (at == start && at > floor && end - start >= KEY_REACH_BYTES))
            continue;
        *field = snug_schema_match(lines->schema, clean + at, end - at);
        *key = (struct snug_range){at, end};
        if (*field != SNUG_NO_FIELD && written_as_name(lines->schema, *field, clean, *key))
            return true;
    }
    return false;
}

/* Feeds [start, end) of a line to what is open, opening every field whose key stands in it. `keep`
 * is the unknown key that owns the part up to the first of them, or empty. */
static void feed(struct lines *lines, size_t start, size_t end, struct snug_range keep)
{
    const char *clean = lines->clean;
    size_t from = start;
    bool kept = keep.start == keep.end;
    for (size_t at = start; at <= end && lines->status == SNUG_STATUS_OK; at++) {
        struct snug_range key = {0};
        size_t field = SNUG_NO_FIELD;
        bool found = false;
        if (at < end) {
            if (clean[at] != ':' || (end - at >= 3 && clean[at + 1] == '/' && clean[at + 2] == '/'))
                continue;
            found = key_before(lines, from, at, &key, &field);
            if (!found)
                continue;
        }
        size_t stop = found ? key.start : end;
        /* Before a key on the same line a comma, bar or bold mark only parts the two. */
        while (found && stop > from &&
               (blank_byte(clean[stop - 1]) || strchr(",;|*", clean[stop - 1]) != NULL))
            stop--;
        if (!kept)
            lines->status =
                snug_answer_keep(lines->answer, clean, keep, (struct snug_range){from, stop});
        else
            add_piece(lines, from, stop);
        kept = true;
        if (found) {
            open_field(lines, field);
            from = at + 1;
        }
    }
}

/* ---- the head of a line ---- */

/* Skips bullets, quotes, headings and numbering ("- ", "* ", "1. ", "## ", "> "). */
static size_t skip_decoration(const char *clean, size_t at, size_t end, bool *bullet)
{
    for (;;) {
        at = skip_blanks(clean, at, end);
        if (at == end)
            return at;
        char c = clean[at];
        size_t left = end - at;
        bool spaced = left >= 2 && (clean[at + 1] == ' ' || clean[at + 1] == '\t');
        if ((c == '-' || c == '+' || c == '*') && spaced) {
            at += 2;
        } else if (left >= 3 && memcmp(clean + at, "\xe2\x80\xa2", 3) == 0) {
            at += 3;
        } else if (c == '#' || c == '>') {
            at++;
            continue;
        } else if (snug_ascii_is_digit(c)) {
            size_t digits = at;
            while (digits < end && digits - at < 4 && snug_ascii_is_digit(clean[digits]))
                digits++;
            if (end - digits < 2 || (clean[digits] != '.' && clean[digits] != ')') ||
                clean[digits + 1] != ' ')
                return at;
            at = digits + 2;
        } else {
            return at;
        }
        *bullet = true;
    }
}

/* Cuts marks, quotes and a hint in brackets off a key. */
static struct snug_range trim_key(const char *clean, struct snug_range key)
{
    for (int round = 0; round < 2; round++) {
        while (key.start < key.end &&
               (blank_byte(clean[key.start]) || strchr("*_`\"'{|", clean[key.start])))
            key.start++;
        while (key.start < key.end &&
               (blank_byte(clean[key.end - 1]) || strchr("*_`\"':|", clean[key.end - 1])))
            key.end--;
        if (key.end > key.start && clean[key.end - 1] == ')') {
            size_t open = key.end;
            while (open > key.start && clean[open - 1] != '(')
                open--;
            if (open > key.start)
                key.end = open - 1;
        }
    }
    return key;
}

/* Whether this looks like a key that we do not know: CAPITALS, snake_case, bold, or Few Title
 * Words. */
static bool looks_like_key(const char *clean, struct snug_range key, bool bold, bool strict)
{
    size_t length = key.end - key.start, letters = 0, capitals = 0, words = 0;
    if (length < 2 || length > 64 || snug_ascii_is_digit(clean[key.start]))
        return false;
    bool snake = false, titles = true, in_word = false;
    for (size_t i = key.start; i < key.end; i++) {
        char c = clean[i];
        if (c == SNUG_CLEAN_NOTHING)
            continue;
        if (!name_byte(c) && strchr("/&.'#()", c) == NULL)
            return false;
        bool letter = name_byte(c) && c != ' ' && c != '-' && c != '_' && !snug_ascii_is_digit(c);
        letters += letter;
        capitals += upper_byte(c);
        snake = snake || c == '_';
        if (!in_word && c != ' ') {
            words++;
            titles = titles && (!letter || upper_byte(c) ||
                                (key.end - i >= 3 && memcmp(clean + i, "of ", 3) == 0));
        }
        in_word = c != ' ';
    }
    if (letters < 2 || words > 6)
        return false;
    bool constant = letters == capitals && (snake || !strict);
    return constant || bold || (snake && words == 1) || (titles && !strict);
}

static bool key_is(const char *clean, struct snug_range key, const char *words)
{
    char canonical[16];
    size_t used = 0;
    for (size_t i = key.start; i < key.end; i++) {
        if (!name_byte(clean[i]) || clean[i] == '_' || clean[i] == '-' || clean[i] == ' ')
            continue;
        if (used == sizeof canonical - 1)
            return false;
        canonical[used++] = snug_ascii_lower(clean[i]);
    }
    canonical[used] = '\0';
    const char *found = used > 0 ? strstr(words, canonical) : NULL;
    return found != NULL && (found == words || found[-1] == ' ') &&
           (found[used] == ' ' || found[used] == '\0');
}

/* The field whose name is written here to the byte, whatever the sign behind it. */
static size_t exact_field(const struct lines *lines, struct snug_range key)
{
    size_t length = key.end - key.start;
    if (length == 0 || length > KEY_REACH_BYTES)
        return SNUG_NO_FIELD;
    size_t field = snug_schema_match(lines->schema, lines->clean + key.start, length);
    if (field == SNUG_NO_FIELD)
        return field;
    const char *name = lines->schema->fields[field].name;
    size_t at = 0;
    for (size_t i = key.start; i < key.end; i++) {
        if (lines->clean[i] == SNUG_CLEAN_NOTHING)
            continue;
        if (name[at] != lines->clean[i])
            return SNUG_NO_FIELD;
        at++;
    }
    return name[at] == '\0' ? field : SNUG_NO_FIELD;
}

/* ABN = 12, ABN - 12, ABN<tab>12, ABN | 12 and ABN alone: the name must stand there as it is. */
static bool head_without_colon(const struct lines *lines, size_t start, size_t end,
                               struct head *head)
{
    const char *clean = lines->clean;
    size_t reach = end - start > KEY_REACH_BYTES ? start + KEY_REACH_BYTES : end;
    for (size_t at = start; at < reach; at++) {
        size_t width = 0;
        size_t left = end - at;
        if (clean[at] == '=' || clean[at] == '\t' || clean[at] == '|')
            width = 1;
        else if (left >= 3 && memcmp(clean + at, " - ", 3) == 0)
            width = 3;
        else if (left >= 4 && clean[at] == ' ' &&
                 (memcmp(clean + at + 1, "\xe2\x80\x93", 3) == 0 ||
                  memcmp(clean + at + 1, "\xe2\x80\x94", 3) == 0 ||
                  memcmp(clean + at + 1, "\xe2\x86\x92", 3) == 0))
            width = 4;
        if (width == 0)
            continue;
        struct snug_range key = trim_key(clean, (struct snug_range){start, at});
        head->field = exact_field(lines, key);
        head->key = key;
        head->value = at + width;
        return head->field != SNUG_NO_FIELD;
    }
    head->key = trim_key(clean, (struct snug_range){start, end});
    head->field = exact_field(lines, head->key);
    head->value = end;
    return head->field != SNUG_NO_FIELD;
}

/* Finds the key at the head of [start, end). False: the line has none there. */
static bool find_head(const struct lines *lines, size_t start, size_t end, struct head *head)
{
    const char *clean = lines->clean;
    *head = (struct head){.field = SNUG_NO_FIELD};
    size_t at = skip_decoration(clean, start, end, &head->bullet);
    size_t reach = end - at > KEY_REACH_BYTES ? at + KEY_REACH_BYTES : end;
    const char *colon = memchr(clean + at, ':', reach - at);
    if (colon != NULL) {
        size_t split = (size_t)(colon - clean);
        struct snug_range key = trim_key(clean, (struct snug_range){at, split});
        bool scheme = end - split >= 3 && clean[split + 1] == '/' && clean[split + 2] == '/';
        size_t field =
            scheme || key.start == key.end
                ? SNUG_NO_FIELD
                : snug_schema_match(lines->schema, clean + key.start, key.end - key.start);
        bool bold = clean[at] == '*' && end - at >= 2 && clean[at + 1] == '*';
        bool strict = is_list(lines) && head->bullet;
        if (field != SNUG_NO_FIELD || (!scheme && looks_like_key(clean, key, bold, strict))) {
            head->field = field;
            head->key = key;
            head->value = split + 1;
            return true;
        }
    }
    return head_without_colon(lines, at, end, head);
}

/* ---- kinds of lines ---- */

/* ```json, ---, |---|---|: lines that only rule off. */
static bool is_ruler(const char *clean, size_t start, size_t end)
{
    size_t dashes = 0;
    for (size_t i = start; i < end; i++) {
        if (strchr("-=*_|: ", clean[i]) == NULL && !blank_byte(clean[i]))
            return false;
        dashes += clean[i] == '-' || clean[i] == '=' || clean[i] == '*' || clean[i] == '_';
    }
    return dashes >= 3;
}

/* | FIELD | value |. False if its first cell is no key and a list is open, whose item it then
 * is. */
static bool read_row(struct lines *lines, size_t start, size_t end)
{
    const char *clean = lines->clean;
    size_t from = start + 1;
    const char *bar = memchr(clean + from, '|', end - from);
    if (bar == NULL)
        return false;
    struct snug_range key = trim_key(clean, (struct snug_range){from, (size_t)(bar - clean)});
    size_t field = snug_schema_match(lines->schema, clean + key.start, key.end - key.start);
    if (field == SNUG_NO_FIELD && is_list(lines) && lines->piece_count > 0)
        return false;
    struct snug_range value = {(size_t)(bar - clean) + 1, end};
    const char *second = memchr(clean + value.start, '|', value.end - value.start);
    struct snug_range cell = {value.start, second != NULL ? (size_t)(second - clean) : end};
    if (field == SNUG_NO_FIELD && key.start < key.end && snug_ascii_is_digit(clean[key.start]) &&
        exact_field(lines, trim_key(clean, cell)) != SNUG_NO_FIELD && second != NULL) {
        /* | 3 | ABN | ... |: a column of numbers before the names */
        field = exact_field(lines, trim_key(clean, cell));
        value.start = cell.end + 1;
        second = memchr(clean + value.start, '|', value.end - value.start);
        cell = (struct snug_range){value.start, second != NULL ? (size_t)(second - clean) : end};
    }
    close_field(lines);
    if (field == SNUG_NO_FIELD) {
        if (key.start < key.end && !key_is(clean, key, "field key name fieldname"))
            lines->status = snug_answer_keep(lines->answer, clean, key, cell);
        return true;
    }
    if (exact_field(lines, trim_key(clean, cell)) != SNUG_NO_FIELD)
        return true; /* a row of names is the head of a table that lies on its side */
    open_field(lines, field);
    while (value.end > value.start &&
           (blank_byte(clean[value.end - 1]) || clean[value.end - 1] == '|'))
        value.end--;
    if (lines->schema->fields[field].type == SNUG_FIELD_TYPE_LIST)
        add_piece(lines, value.start, value.end);
    else
        add_piece(lines, cell.start, cell.end);
    close_field(lines);
    return true;
}

static void continue_field(struct lines *lines, size_t start, size_t end, bool bullet)
{
    size_t from = start;
    if (is_list(lines))
        from = skip_decoration(lines->clean, start, end, &bullet);
    else if (bullet && lines->piece_count > 0)
        close_field(lines); /* a remark in a bulleted list is not the next line of a text */
    feed(lines, from, end, (struct snug_range){0});
}

static void read_head(struct lines *lines, const struct head *head, size_t end)
{
    const char *clean = lines->clean;
    if (head->field != SNUG_NO_FIELD) {
        open_field(lines, head->field);
        feed(lines, head->value, end, (struct snug_range){0});
        return;
    }
    /* "KEY: ABN" and then "VALUE: 12" */
    if (key_is(clean, head->key, "value answer") && lines->field != SNUG_NO_FIELD &&
        lines->piece_count == 0) {
        feed(lines, head->value, end, (struct snug_range){0});
        return;
    }
    close_field(lines);
    struct snug_range rest = {head->value, end};
    size_t field = exact_field(lines, trim_key(clean, rest));
    if (field != SNUG_NO_FIELD && key_is(clean, head->key, "field key name fieldname")) {
        open_field(lines, field);
        return;
    }
    feed(lines, head->value, end, head->key);
}

static void read_line(struct lines *lines, size_t start, size_t end)
{
    const char *clean = lines->clean;
    size_t at = skip_blanks(clean, start, end);
    while (end > at && blank_byte(clean[end - 1]))
        end--;
    if (at == end) { /* an empty line ends what has begun */
        if (lines->piece_count > 0)
            close_field(lines);
        return;
    }
    if (end - at >= 3 && (memcmp(clean + at, "```", 3) == 0 || memcmp(clean + at, "~~~", 3) == 0)) {
        close_field(lines);
        if (memchr(clean + at, ':', end - at) == NULL)
            return;
        at += 3;
    }
    if (is_ruler(clean, at, end)) {
        if (memchr(clean + at, '|', end - at) == NULL)
            close_field(lines);
        return;
    }
    if (clean[at] == '|' && read_row(lines, at, end))
        return;
    struct head head;
    if (find_head(lines, at, end, &head))
        read_head(lines, &head, end);
    else
        continue_field(lines, at, end, head.bullet);
}

enum snug_status snug_answer_read_lines(const struct snug_schema *schema, const char *clean,
                                        size_t length, struct snug_answer *answer)
{
    struct lines lines = {.schema = schema,
                          .clean = clean,
                          .answer = answer,
                          .field = SNUG_NO_FIELD,
                          .status = SNUG_STATUS_OK};
    lines.pieces = snug_arena_calloc(&answer->arena, SNUG_MAX_LIST_ITEMS, sizeof *lines.pieces);
    if (lines.pieces == NULL)
        return SNUG_STATUS_MEMORY;
    /* The longest a value can grow: every byte invalid, every item with a separator before it. */
    snug_text_init(&lines.scratch, answer->arena.allocator, 4 * (size_t)SNUG_MAX_ANSWER_BYTES);
    size_t start = 0;
    for (size_t at = 0; at <= length && lines.status == SNUG_STATUS_OK; at++) {
        if (at < length && clean[at] != '\n' && clean[at] != SNUG_CLEAN_END)
            continue;
        read_line(&lines, start, at);
        if (at < length && clean[at] == SNUG_CLEAN_END)
            close_field(&lines);
        start = at + 1;
    }
    close_field(&lines);
    snug_text_free(&lines.scratch);
    return lines.status;
}
