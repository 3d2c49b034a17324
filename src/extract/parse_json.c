/* Reads answers that are JSON, well formed or not: cut off anywhere, single quotes, trailing
 * commas, objects within objects, arrays of line items.
 *
 * A key is looked up together with the key of the object around it first ("supplier": {"abn": ...}
 * is supplier_abn), then alone. Within an array of objects every object is a row: a list that a row
 * does not mention gets a placeholder there, so that the columns stay level.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/parse_internal.h"

#include <string.h>

/* Rows up to which missing items are filled in. */
#define PADDED_ROWS 1024

struct builder {
    struct snug_text text;
    size_t count; /* items, or pieces of a scalar */
    struct snug_range range;
    bool real, done; /* done: a real value came before, later ones do not count */
    bool touched;    /* by the rows being read */
};

struct json {
    const struct snug_schema *schema;
    const char *raw;
    size_t at, end;
    struct snug_answer *answer;
    struct builder *builders;
    struct snug_text scratch;
    bool in_rows;   /* inside an array of objects */
    bool rows_only; /* of line items: other fields there are not the document's */
    size_t row;
    enum snug_status status;
};

/* Where values go: a field, or nowhere. */
struct sink {
    size_t field;
    bool ignore;
    const char *key; /* of the object around, for composed keys */
    size_t key_length;
};

static void read_value(struct json *json, struct sink sink, int depth);

static bool at_end(const struct json *json)
{
    return json->at >= json->end || json->status != SNUG_STATUS_OK;
}

static char peek(const struct json *json)
{
    return json->at < json->end ? json->raw[json->at] : '\0';
}

static void skip_space(struct json *json)
{
    while (json->at < json->end && (snug_ascii_is_space(peek(json)) || peek(json) == ','))
        json->at++;
}

/* ---- strings ---- */

static int hex_value(char c)
{
    if (snug_ascii_is_digit(c))
        return c - '0';
    c = snug_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at `at`; -1 if they are not there. */
static int32_t hex4(const struct json *json, size_t at)
{
    int32_t value = 0;
    if (json->end - at < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_value(json->raw[at + i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* An escape behind the backslash at json->at - 1; moves on. */
static void read_escape(struct json *json, struct snug_text *out)
{
    char c = peek(json);
    json->at++;
    if (c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f') {
        snug_text_putc(out, ' ');
        return;
    }
    if (c != 'u') {
        if ((unsigned char)c >= 0x20)
            snug_text_append_lossy(out, &c, 1);
        return;
    }
    int32_t code = hex4(json, json->at);
    if (code < 0)
        return;
    json->at += 4;
    if (code >= 0xd800 && code < 0xdc00 && json->end - json->at >= 6 &&
        json->raw[json->at] == '\\' && json->raw[json->at + 1] == 'u') {
        int32_t low = hex4(json, json->at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            json->at += 6;
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    if (code >= 0xd800 && code < 0xe000)
        code = 0xfffd;
    if (code >= 0x20 && code != 0x7f)
        snug_text_put_code_point(out, (uint32_t)code);
    else
        snug_text_putc(out, ' ');
}

/* The string at json->at (a quote), decoded into out. Without a closing quote it goes to the end,
 * or to a special token that leaked in. */
static struct snug_range read_string(struct json *json, struct snug_text *out)
{
    char quote = peek(json);
    struct snug_range range = {json->at + 1, json->at + 1};
    size_t run = ++json->at;
    while (json->at < json->end && peek(json) != quote) {
        unsigned char c = (unsigned char)peek(json);
        bool token = c == '<' && json->end - json->at >= 2 && json->raw[json->at + 1] == '|';
        if (c != '\\' && c >= 0x20 && c != 0x7f && !token) {
            json->at++;
            continue;
        }
        snug_text_append_lossy(out, json->raw + run, json->at - run);
        if (token)
            break;
        json->at++;
        if (c == '\\')
            read_escape(json, out);
        else if (c == '\n' || c == '\t')
            snug_text_putc(out, ' ');
        if (json->at > json->end)
            json->at = json->end;
        run = json->at;
    }
    range.end = json->at;
    bool token = peek(json) != quote && json->at < json->end;
    if (token) {
        json->at = json->end;
        return range;
    }
    if (run < json->at)
        snug_text_append_lossy(out, json->raw + run, json->at - run);
    if (json->at < json->end)
        json->at++;
    return range;
}

/* A number or bare word, up to what ends it. */
static struct snug_range read_bare(struct json *json, struct snug_text *out)
{
    struct snug_range range = {json->at, json->at};
    while (json->at < json->end && strchr(",]}\n:", peek(json)) == NULL)
        json->at++;
    range.end = json->at;
    snug_value_trim(json->raw, &range.start, &range.end);
    snug_clean_append(json->raw, range, out); /* control characters out */
    if (range.start == range.end && json->at < json->end)
        json->at++; /* nothing that begins a value: step over it */
    return range;
}

/* ---- builders ---- */

static void builder_add(struct json *json, size_t field, const char *text, size_t length,
                        bool absent, struct snug_range range)
{
    struct builder *builder = &json->builders[field];
    bool list = json->schema->fields[field].type == SNUG_FIELD_TYPE_LIST;
    if (builder->count >= SNUG_MAX_LIST_ITEMS)
        return;
    if (!list && absent && builder->count > 0)
        return; /* a part of an address that is not there */
    if (!list && !absent && !builder->real) {
        snug_text_clear(&builder->text);
        builder->count = 0;
    }
    if (builder->count > 0)
        snug_text_puts(&builder->text, list ? " | " : ", ");
    if (length > 0)
        snug_text_append(&builder->text, text, length);
    else
        snug_text_puts(&builder->text, json->schema->absent);
    if (builder->range.end == 0)
        builder->range = range;
    else if (range.end > builder->range.end)
        builder->range.end = range.end;
    builder->count++;
    builder->real = builder->real || !absent;
    if (builder->text.status != SNUG_STATUS_OK)
        json->status = builder->text.status;
}

/* Brings a list level with the row being read, before its item is added. */
static void pad_list(struct json *json, size_t field, size_t rows)
{
    struct builder *builder = &json->builders[field];
    builder->touched = true;
    while (builder->count < rows && rows <= PADDED_ROWS)
        builder_add(json, field, "", 0, true, builder->range);
}

/* A scalar found for a field. A placeholder among items stays as it is written, but for null and
 * "". */
static void emit(struct json *json, struct sink sink, struct snug_range range)
{
    if (sink.ignore || sink.field == SNUG_NO_FIELD || json->builders[sink.field].done)
        return;
    const char *text = snug_text_c(&json->scratch);
    size_t start = 0, end = json->scratch.length;
    snug_value_trim(text, &start, &end);
    bool absent = snug_value_is_absent(text + start, end - start, json->schema->absent);
    if (json->in_rows && json->schema->fields[sink.field].type == SNUG_FIELD_TYPE_LIST) {
        if (json->builders[sink.field].count > json->row)
            return; /* one item a row */
        pad_list(json, sink.field, json->row);
    }
    bool null = absent && end - start == 4 && memcmp(text + start, "null", 4) == 0;
    builder_add(json, sink.field, text + start, null ? 0 : end - start, absent, range);
}

/* ---- structure ---- */

static bool key_among(const char *key, size_t length, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == length && memcmp(words[i], key, length) == 0)
            return true;
    return false;
}
#define AMONG(key, length, words) key_among(key, length, words, sizeof(words) / sizeof *(words))

/* Keys beside a value that are not part of it. */
static bool side_key(const char *key, size_t length)
{
    static const char *const words[] = {
        "confidence", "score",  "probability", "bbox",      "bounding_box", "box",     "page",
        "warnings",   "source", "explanation", "reasoning", "type",         "currency"};
    return AMONG(key, length, words);
}

static bool label_key(const char *key, size_t length)
{
    static const char *const words[] = {"field", "field_name", "name", "key"};
    return AMONG(key, length, words);
}

/* What an item's own words stand under. */
static bool item_key(const char *key, size_t length)
{
    static const char *const words[] = {"name", "item",    "title",  "value",
                                        "text", "product", "service"};
    return AMONG(key, length, words);
}

static bool value_key(const char *key, size_t length)
{
    static const char *const words[] = {"value", "answer", "text"};
    return AMONG(key, length, words);
}

static size_t match_key(struct json *json, struct sink sink, const char *key, size_t length)
{
    char composed[2 * SNUG_MAX_FIELD_NAME_BYTES];
    if (length > SNUG_MAX_FIELD_NAME_BYTES)
        return SNUG_NO_FIELD;
    if (sink.key_length > 0 && sink.key_length <= SNUG_MAX_FIELD_NAME_BYTES) {
        memcpy(composed, sink.key, sink.key_length);
        memcpy(composed + sink.key_length, key, length);
        size_t field = snug_schema_match(json->schema, composed, sink.key_length + length);
        if (field != SNUG_NO_FIELD)
            return field;
    }
    return snug_schema_match(json->schema, key, length);
}

/* The value behind a key that names a field: begun afresh, unless a real one came before. */
static void read_field(struct json *json, struct sink sink, int depth)
{
    struct builder *builder = &json->builders[sink.field];
    bool list = json->schema->fields[sink.field].type == SNUG_FIELD_TYPE_LIST, rows = json->in_rows;
    if (list && peek(json) == '[')
        json->in_rows = false; /* a whole list, not the item of a row */
    if (json->in_rows && list) {
        sink.ignore = sink.ignore || builder->done;
    } else {
        sink.ignore = sink.ignore || builder->real || (json->in_rows && json->rows_only);
        if (!sink.ignore) {
            snug_text_clear(&builder->text);
            builder->count = 0;
            builder->range = (struct snug_range){0};
        }
    }
    if (!sink.ignore)
        json->answer->values[sink.field].named = true;
    read_value(json, sink, depth);
    json->in_rows = rows;
}

/* A key that is no field's, unless it only holds others. */
static void keep_unknown(struct json *json, struct snug_range key, size_t from)
{
    struct snug_range value = {from, json->at};
    snug_value_trim(json->raw, &value.start, &value.end);
    char first = value.start < value.end ? json->raw[value.start] : '\0';
    if (json->status == SNUG_STATUS_OK && first != '{' && first != '[')
        json->status = snug_answer_keep(json->answer, json->raw, key, value);
}

/* One "key": value of an object. `pending`: the field that {"field": "ABN", "value": ...} speaks
 * of. */
static void read_pair(struct json *json, struct sink sink, size_t *pending, int depth)
{
    snug_text_clear(&json->scratch);
    struct snug_range at = peek(json) == '"' || peek(json) == '\''
                               ? read_string(json, &json->scratch)
                               : read_bare(json, &json->scratch);
    skip_space(json);
    if (json->scratch.status != SNUG_STATUS_OK)
        json->status = json->scratch.status;
    if (peek(json) != ':' || json->status != SNUG_STATUS_OK)
        return; /* cut off, or rubbish: on to what follows */
    json->at++;
    char key[SNUG_MAX_FIELD_NAME_BYTES];
    size_t length = json->scratch.length < sizeof key ? json->scratch.length : 0;
    memcpy(key, snug_text_c(&json->scratch), length);
    for (size_t i = 0; i < length; i++)
        key[i] = snug_ascii_lower(key[i]);
    struct sink inner = {
        .field = SNUG_NO_FIELD, .ignore = sink.ignore, .key = key, .key_length = length};
    bool about_field = sink.field != SNUG_NO_FIELD || *pending != SNUG_NO_FIELD;
    skip_space(json);
    size_t from = json->at;
    inner.field = match_key(json, sink, key, length);
    if (inner.field != SNUG_NO_FIELD) {
        read_field(json, inner, depth);
    } else if (about_field && side_key(key, length)) {
        inner.ignore = true;
        read_value(json, inner, depth);
    } else if (*pending != SNUG_NO_FIELD && value_key(key, length)) {
        inner.field = *pending;
        read_field(json, inner, depth);
    } else if (sink.field == SNUG_NO_FIELD && label_key(key, length) &&
               (peek(json) == '"' || peek(json) == '\'')) {
        snug_text_clear(&json->scratch);
        read_string(json, &json->scratch);
        if (json->scratch.status != SNUG_STATUS_OK)
            json->status = json->scratch.status;
        *pending =
            snug_schema_match(json->schema, snug_text_c(&json->scratch), json->scratch.length);
        if (*pending == SNUG_NO_FIELD)
            keep_unknown(json, at, from);
    } else if (json->in_rows && json->rows_only && !item_key(key, length)) {
        inner.ignore = true; /* of the line item, but no column of ours */
        read_value(json, inner, depth);
    } else {
        inner.field = sink.field;
        read_value(json, inner, depth);
        if (inner.field == SNUG_NO_FIELD)
            keep_unknown(json, at, from);
    }
}

static void read_object(struct json *json, struct sink sink, int depth)
{
    size_t pending = SNUG_NO_FIELD;
    json->at++;
    for (;;) {
        skip_space(json);
        if (at_end(json))
            return;
        char c = peek(json);
        if (c == '}') {
            json->at++;
            return;
        }
        size_t before = json->at;
        if (c == ']' || c == '{' || c == '[' || c == ':')
            json->at++;
        else
            read_pair(json, sink, &pending, depth + 1);
        if (json->at == before)
            json->at++;
    }
}

static bool names_items(struct sink sink)
{
    static const char *const words[] = {"item", "line",    "transaction", "product",
                                        "row",  "service", "goods",       "entries"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sink.key_length >= strlen(words[i]) &&
            memmem(sink.key, sink.key_length, words[i], strlen(words[i])) != NULL)
            return true;
    return false;
}

/* All lists that the rows mention are brought to the same length. */
static void end_rows(struct json *json)
{
    for (size_t i = 0; i < json->schema->field_count; i++) {
        struct builder *builder = &json->builders[i];
        if (!builder->touched)
            continue;
        pad_list(json, i, json->row);
        builder->touched = false;
        builder->done = builder->real;
    }
}

static void read_array(struct json *json, struct sink sink, int depth)
{
    bool owner = false, outer_rows_only = json->rows_only;
    json->at++;
    for (;;) {
        skip_space(json);
        if (at_end(json))
            break;
        char c = peek(json);
        if (c == ']') {
            json->at++;
            break;
        }
        size_t before = json->at;
        if (c == '{' && sink.key_length > 0 && !json->in_rows) {
            owner = json->in_rows = true;
            json->row = 0;
            json->rows_only = names_items(sink) ||
                              (sink.field != SNUG_NO_FIELD &&
                               json->schema->fields[sink.field].type == SNUG_FIELD_TYPE_LIST);
        }
        if (c == '}' || c == ':')
            json->at++;
        else
            read_value(json, sink, depth + 1);
        if (owner && c == '{')
            json->row++;
        if (json->at == before)
            json->at++;
    }
    if (owner) {
        end_rows(json);
        json->in_rows = false;
        json->rows_only = outer_rows_only;
    }
}

static void read_value(struct json *json, struct sink sink, int depth)
{
    skip_space(json);
    if (at_end(json))
        return;
    char c = peek(json);
    if (c == '{' || c == '[') {
        if (depth >= SNUG_MAX_JSON_DEPTH)
            json->at++; /* too deep to follow: its contents are read as if they stood here */
        else if (c == '{')
            read_object(json, sink, depth);
        else
            read_array(json, sink, depth);
        return;
    }
    if (c == '}' || c == ']')
        return;
    snug_text_clear(&json->scratch);
    struct snug_range range =
        c == '"' || c == '\'' ? read_string(json, &json->scratch) : read_bare(json, &json->scratch);
    if (json->scratch.status != SNUG_STATUS_OK)
        json->status = json->scratch.status;
    else
        emit(json, sink, range);
}

/* ---- the whole ---- */

/* A list given as one string is split as a line of text would be. */
static enum snug_status store(struct json *json, size_t index)
{
    struct builder *builder = &json->builders[index];
    const struct snug_field *field = &json->schema->fields[index];
    const char *text = snug_text_c(&builder->text);
    size_t length = builder->text.length;
    bool real = builder->real;
    snug_text_clear(&json->scratch);
    if (field->type == SNUG_FIELD_TYPE_LIST && builder->count == 1 && real) {
        struct snug_range whole = {0, length}, covered = {0};
        snug_list_build(text, &whole, 1, field, json->schema->absent, &json->scratch, &real,
                        &covered);
        if (json->scratch.status != SNUG_STATUS_OK)
            return json->scratch.status;
        text = snug_text_c(&json->scratch);
        length = json->scratch.length;
    }
    return snug_answer_store(json->answer, index, text, length, real, builder->range);
}

/* Where the next object begins: a brace with a quote behind it. */
static bool find_object(struct json *json)
{
    while (json->at < json->end) {
        const char *brace = memchr(json->raw + json->at, '{', json->end - json->at);
        if (brace == NULL)
            break;
        size_t open = (size_t)(brace - json->raw), next = open + 1;
        while (next < json->end && snug_ascii_is_space(json->raw[next]))
            next++;
        if (next < json->end && (json->raw[next] == '"' || json->raw[next] == '\'')) {
            json->at = open;
            return true;
        }
        json->at = next;
    }
    return false;
}

enum snug_status snug_answer_read_json(const struct snug_schema *schema, const char *raw,
                                       size_t length, struct snug_answer *answer)
{
    struct json json = {
        .schema = schema, .raw = raw, .end = length, .answer = answer, .status = SNUG_STATUS_OK};
    if (!find_object(&json))
        return SNUG_STATUS_OK;
    const struct snug_allocator *allocator = answer->arena.allocator;
    size_t most = 4 * (size_t)SNUG_MAX_ANSWER_BYTES;
    snug_text_init(&json.scratch, allocator, most);
    json.builders = snug_arena_calloc(&answer->arena, schema->field_count, sizeof *json.builders);
    if (json.builders == NULL)
        return SNUG_STATUS_MEMORY;
    for (size_t i = 0; i < schema->field_count; i++)
        snug_text_init(&json.builders[i].text, allocator, most);
    while (json.status == SNUG_STATUS_OK && find_object(&json))
        read_value(&json, (struct sink){.field = SNUG_NO_FIELD}, 0);
    for (size_t i = 0; i < schema->field_count; i++) {
        if (json.status == SNUG_STATUS_OK && answer->values[i].named)
            json.status = store(&json, i);
        snug_text_free(&json.builders[i].text);
    }
    snug_text_free(&json.scratch);
    return json.status;
}
