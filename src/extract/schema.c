/* Reads a schema file: fields first, then the table of keys, then the rules that refer to fields.
 * The table of keys holds names, aliases and the singulars of lists in canonical form, sorted.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/schema.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* rank: a name beats an alias beats a guessed singular; two of the first two ranks must not
 * meet. */
struct snug_schema_key {
    const char *canonical;
    size_t length, field;
    int rank;
};

struct reader {
    struct snug_schema *schema;
    const char *file;
    struct snug_error *error;
};

static const char *const type_names[SNUG_FIELD_TYPE_COUNT] = {
    "text", "id", "money", "number", "date", "date_range", "list", "enum"};

#define FAIL(reader, ...) snug_error_set((reader)->error, SNUG_STATUS_SCHEMA, __VA_ARGS__)

static enum snug_status no_memory(struct reader *reader, size_t bytes)
{
    return snug_error_memory(reader->error, bytes, "schema");
}

/* ---- keys ---- */

static bool key_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Writes the canonical form into out[0..capacity); (size_t)-1 if it does not fit. */
static size_t canonical_key(const char *key, size_t length, char *out, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (!key_byte((unsigned char)key[i]))
            continue;
        if (used == capacity)
            return (size_t)-1;
        out[used++] = snug_ascii_lower(key[i]);
    }
    return used;
}

static int compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0 || a_length == b_length)
        return order;
    return a_length < b_length ? -1 : 1;
}

static int compare_keys(const void *left, const void *right)
{
    const struct snug_schema_key *a = left, *b = right;
    int order = compare_bytes(a->canonical, a->length, b->canonical, b->length);
    if (order != 0)
        return order;
    return a->rank != b->rank ? (a->rank < b->rank ? -1 : 1)
                              : (a->field > b->field) - (a->field < b->field);
}

size_t snug_schema_match(const struct snug_schema *schema, const char *key, size_t length)
{
    char canonical[SNUG_MAX_FIELD_NAME_BYTES];
    size_t used = canonical_key(key, length, canonical, sizeof canonical);
    if (used == 0 || used == (size_t)-1)
        return SNUG_NO_FIELD;
    size_t low = 0, high = schema->key_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct snug_schema_key *at = &schema->keys[middle];
        int order = compare_bytes(canonical, used, at->canonical, at->length);
        if (order == 0)
            return at->field;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SNUG_NO_FIELD;
}

size_t snug_schema_find(const struct snug_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (snug_text_equal_ignore_case(schema->fields[i].name, name))
            return i;
    return SNUG_NO_FIELD;
}

static enum snug_status add_key(struct reader *reader, struct snug_schema_key *keys, size_t *count,
                                const char *text, size_t field, int rank)
{
    const char *owner = reader->schema->fields[field].name;
    char canonical[SNUG_MAX_FIELD_NAME_BYTES];
    size_t used = canonical_key(text, strlen(text), canonical, sizeof canonical);
    if (used == (size_t)-1)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT,
                              "%s: field %s: a key of over %d bytes", reader->file, owner,
                              SNUG_MAX_FIELD_NAME_BYTES);
    if (used == 0)
        return FAIL(reader, "%s: field %s: \"%s\" has no letter or digit", reader->file, owner,
                    text);
    if (rank == 2) { /* the singular of a list's name: quantities, prices */
        if (used > 4 && memcmp(canonical + used - 3, "ies", 3) == 0)
            canonical[(used -= 2) - 1] = 'y';
        else if (used > 2 && canonical[used - 1] == 's')
            used--;
        else
            return SNUG_STATUS_OK;
    }
    char *copy = snug_arena_strndup(&reader->schema->arena, canonical, used);
    if (copy == NULL)
        return no_memory(reader, used);
    keys[(*count)++] =
        (struct snug_schema_key){.canonical = copy, .length = used, .field = field, .rank = rank};
    return SNUG_STATUS_OK;
}

/* Sorts, refuses keys that two fields claim, and drops what is there twice. */
static enum snug_status settle_keys(struct reader *reader, struct snug_schema_key *keys,
                                    size_t count)
{
    const struct snug_field *fields = reader->schema->fields;
    qsort(keys, count, sizeof *keys, compare_keys);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct snug_schema_key *last = kept > 0 ? &keys[kept - 1] : NULL;
        bool same = last != NULL && last->length == keys[i].length &&
                    memcmp(last->canonical, keys[i].canonical, keys[i].length) == 0;
        if (!same) {
            keys[kept++] = keys[i];
        } else if (last->field != keys[i].field && keys[i].rank < 2) {
            return FAIL(reader,
                        "%s: field %s: its name or an alias is also that of %s (case, spaces and "
                        "punctuation do not tell keys apart)",
                        reader->file, fields[keys[i].field].name, fields[last->field].name);
        }
    }
    reader->schema->keys = keys;
    reader->schema->key_count = kept;
    return SNUG_STATUS_OK;
}

static enum snug_status build_keys(struct reader *reader)
{
    struct snug_schema *schema = reader->schema;
    size_t most = 2 * schema->field_count, count = 0;
    for (size_t i = 0; i < schema->field_count; i++)
        most += schema->fields[i].alias_count; /* at most 256 * 64 */
    struct snug_schema_key *keys = snug_arena_calloc(&schema->arena, most, sizeof *keys);
    if (keys == NULL)
        return no_memory(reader, most * sizeof *keys);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct snug_field *field = &schema->fields[i];
        enum snug_status status = add_key(reader, keys, &count, field->name, i, 0);
        for (size_t a = 0; status == SNUG_STATUS_OK && a < field->alias_count; a++)
            status = add_key(reader, keys, &count, field->aliases[a], i, 1);
        if (status == SNUG_STATUS_OK && field->type == SNUG_FIELD_TYPE_LIST)
            status = add_key(reader, keys, &count, field->name, i, 2);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return settle_keys(reader, keys, count);
}

/* ---- reading JSON ---- */

/* Every key of the object must be in `known` (words between single spaces). */
static enum snug_status check_keys(struct reader *reader, json_t *object, const char *where,
                                   const char *known)
{
    static const char *const reserved[] = {"document_types", "types", "tables", "columns"};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        (void)value;
        for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
            if (strcmp(key, reserved[i]) == 0)
                return snug_error_set(reader->error, SNUG_STATUS_UNSUPPORTED,
                                      "%s: %s: \"%s\" is reserved for a later version; remove it",
                                      reader->file, where, key);
        size_t length = strlen(key);
        const char *at = known;
        bool found = false;
        while (!found && at != NULL && *at != '\0') {
            const char *space = strchr(at, ' ');
            size_t word = space != NULL ? (size_t)(space - at) : strlen(at);
            found = word == length && memcmp(at, key, word) == 0;
            at = space != NULL ? space + 1 : NULL;
        }
        if (!found)
            return FAIL(reader, "%s: %s: unknown key \"%s\" (known: %s)", reader->file, where, key,
                        known);
    }
    return SNUG_STATUS_OK;
}

/* Copies a string without control characters (new lines only if `lines`). */
static enum snug_status copy_string(struct reader *reader, json_t *value, const char *where,
                                    const char *key, bool lines, const char **out)
{
    if (!json_is_string(value))
        return FAIL(reader, "%s: %s: \"%s\" must be a string", reader->file, where, key);
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (length > SNUG_MAX_SCHEMA_STRING_BYTES)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT, "%s: %s: \"%s\" has over %d bytes",
                              reader->file, where, key, SNUG_MAX_SCHEMA_STRING_BYTES);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && !(lines && c == '\n')) || c == 0x7f)
            return FAIL(reader, "%s: %s: \"%s\" has a control character", reader->file, where, key);
    }
    char *copy = snug_arena_strndup(&reader->schema->arena, text, length);
    if (copy == NULL)
        return no_memory(reader, length);
    *out = copy;
    return SNUG_STATUS_OK;
}

/* An optional string; a missing key leaves *out alone, an empty one is an error. */
static enum snug_status get_string(struct reader *reader, json_t *object, const char *where,
                                   const char *key, bool lines, const char **out)
{
    json_t *value = json_object_get(object, key);
    if (value == NULL)
        return SNUG_STATUS_OK;
    enum snug_status status = copy_string(reader, value, where, key, lines, out);
    if (status == SNUG_STATUS_OK && (*out)[0] == '\0')
        return FAIL(reader, "%s: %s: \"%s\" is empty", reader->file, where, key);
    return status;
}

static enum snug_status get_strings(struct reader *reader, json_t *object, const char *where,
                                    const char *key, size_t most, const char *const **out,
                                    size_t *count)
{
    json_t *array = json_object_get(object, key);
    if (array == NULL)
        return SNUG_STATUS_OK;
    if (!json_is_array(array))
        return FAIL(reader, "%s: %s: \"%s\" must be a list of strings", reader->file, where, key);
    size_t size = json_array_size(array);
    if (size > most)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT,
                              "%s: %s: \"%s\" has %zu entries, over %zu", reader->file, where, key,
                              size, most);
    const char **strings = snug_arena_calloc(&reader->schema->arena, size + 1, sizeof *strings);
    if (strings == NULL)
        return no_memory(reader, (size + 1) * sizeof *strings);
    for (size_t i = 0; i < size; i++) {
        enum snug_status status =
            copy_string(reader, json_array_get(array, i), where, key, false, &strings[i]);
        if (status != SNUG_STATUS_OK)
            return status;
        if (strings[i][0] == '\0')
            return FAIL(reader, "%s: %s: \"%s\" has an empty entry", reader->file, where, key);
    }
    *out = strings;
    *count = size;
    return SNUG_STATUS_OK;
}

static bool good_name(const char *name, const char *signs)
{
    size_t length = strlen(name);
    if (length == 0 || name[0] == ' ' || name[length - 1] == ' ')
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c >= 0x80 || (!key_byte(c) && strchr(signs, c) == NULL))
            return false;
    }
    return true;
}

/* ---- fields ---- */

static enum snug_status read_type(struct reader *reader, const char *where, const char *key,
                                  const char *word, enum snug_field_type *out)
{
    for (int i = 0; i < SNUG_FIELD_TYPE_COUNT; i++) {
        if (strcmp(word, type_names[i]) == 0) {
            *out = (enum snug_field_type)i;
            return SNUG_STATUS_OK;
        }
    }
    return FAIL(reader,
                "%s: %s: \"%s\" is \"%s\", not one of text, id, money, number, date, date_range, "
                "list, enum",
                reader->file, where, key, word);
}

/* digits and checksum of an id, item of a list, values of an enum: each with its own type alone. */
static enum snug_status read_type_options(struct reader *reader, json_t *object, const char *where,
                                          struct snug_field *field)
{
    static const struct {
        const char *key;
        enum snug_field_type type;
    } belongs[] = {{"digits", SNUG_FIELD_TYPE_ID},
                   {"checksum", SNUG_FIELD_TYPE_ID},
                   {"item", SNUG_FIELD_TYPE_LIST},
                   {"values", SNUG_FIELD_TYPE_ENUM}};
    for (size_t i = 0; i < sizeof belongs / sizeof *belongs; i++)
        if (json_object_get(object, belongs[i].key) != NULL && field->type != belongs[i].type)
            return FAIL(reader, "%s: %s: \"%s\" goes with type %s, this is %s", reader->file, where,
                        belongs[i].key, type_names[belongs[i].type], type_names[field->type]);
    json_t *digits = json_object_get(object, "digits");
    if (digits != NULL) {
        if (!json_is_integer(digits) || json_integer_value(digits) < 1 ||
            json_integer_value(digits) > SNUG_MAX_FIELD_DIGITS)
            return FAIL(reader, "%s: %s: \"digits\" must be a whole number from 1 to %d",
                        reader->file, where, SNUG_MAX_FIELD_DIGITS);
        field->digits = (int)json_integer_value(digits);
    }
    const char *word = NULL;
    enum snug_status status = get_string(reader, object, where, "checksum", false, &word);
    if (status != SNUG_STATUS_OK)
        return status;
    if (word != NULL && strcmp(word, "abn") != 0)
        return FAIL(reader, "%s: %s: checksum \"%s\" is not known (known: abn)", reader->file,
                    where, word);
    field->checksum = word != NULL ? SNUG_CHECKSUM_ABN : SNUG_CHECKSUM_NONE;
    word = NULL;
    status = get_string(reader, object, where, "item", false, &word);
    if (status == SNUG_STATUS_OK && word != NULL)
        status = read_type(reader, where, "item", word, &field->item);
    if (status != SNUG_STATUS_OK)
        return status;
    if (field->item != SNUG_FIELD_TYPE_TEXT && field->item != SNUG_FIELD_TYPE_MONEY &&
        field->item != SNUG_FIELD_TYPE_NUMBER)
        return FAIL(reader, "%s: %s: the items of a list are text, money or number", reader->file,
                    where);
    status = get_strings(reader, object, where, "values", SNUG_MAX_FIELD_VALUES, &field->values,
                         &field->value_count);
    if (status == SNUG_STATUS_OK && field->type == SNUG_FIELD_TYPE_ENUM && field->value_count == 0)
        return FAIL(reader, "%s: %s: type enum needs \"values\"", reader->file, where);
    return status;
}

static enum snug_status read_field(struct reader *reader, json_t *object, size_t index,
                                   struct snug_field *field)
{
    char where[SNUG_MAX_FIELD_NAME_BYTES + 32];
    snprintf(where, sizeof where, "field number %zu", index + 1);
    if (!json_is_object(object))
        return FAIL(reader, "%s: %s must be an object", reader->file, where);
    enum snug_status status = get_string(reader, object, where, "name", false, &field->name);
    if (status != SNUG_STATUS_OK)
        return status;
    if (field->name == NULL)
        return FAIL(reader, "%s: %s has no \"name\"", reader->file, where);
    if (strlen(field->name) > SNUG_MAX_FIELD_NAME_BYTES)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT, "%s: %s: a name of over %d bytes",
                              reader->file, where, SNUG_MAX_FIELD_NAME_BYTES);
    if (!good_name(field->name, "_ -"))
        return FAIL(reader,
                    "%s: %s: name \"%s\" may hold letters, digits, '_', '-' and inner spaces",
                    reader->file, where, field->name);
    snprintf(where, sizeof where, "field %s", field->name);
    status = check_keys(reader, object, where,
                        "name type hint aliases required digits checksum item values");
    const char *type = NULL;
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, object, where, "type", false, &type);
    if (status == SNUG_STATUS_OK && type == NULL)
        status = FAIL(reader, "%s: %s has no \"type\"", reader->file, where);
    if (status == SNUG_STATUS_OK)
        status = read_type(reader, where, "type", type, &field->type);
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, object, where, "hint", false, &field->hint);
    if (status == SNUG_STATUS_OK)
        status = get_strings(reader, object, where, "aliases", SNUG_MAX_FIELD_ALIASES,
                             &field->aliases, &field->alias_count);
    json_t *required = json_object_get(object, "required");
    if (status == SNUG_STATUS_OK && required != NULL && !json_is_boolean(required))
        status = FAIL(reader, "%s: %s: \"required\" must be true or false", reader->file, where);
    field->required = json_is_true(required);
    return status == SNUG_STATUS_OK ? read_type_options(reader, object, where, field) : status;
}

static enum snug_status read_fields(struct reader *reader, json_t *root)
{
    json_t *array = json_object_get(root, "fields");
    if (!json_is_array(array) || json_array_size(array) == 0)
        return FAIL(reader, "%s: \"fields\" must be a list with at least one field", reader->file);
    size_t count = json_array_size(array);
    if (count > SNUG_MAX_FIELDS)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT, "%s: %zu fields, over %d",
                              reader->file, count, SNUG_MAX_FIELDS);
    struct snug_field *fields = snug_arena_calloc(&reader->schema->arena, count, sizeof *fields);
    if (fields == NULL)
        return no_memory(reader, count * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        enum snug_status status = read_field(reader, json_array_get(array, i), i, &fields[i]);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    reader->schema->fields = fields;
    reader->schema->field_count = count;
    return build_keys(reader);
}

/* ---- rules ---- */

enum operand { OPERAND_AMOUNT, OPERAND_AMOUNTS, OPERAND_DATE, OPERAND_LIST };

static bool operand_fits(const struct snug_field *field, enum operand operand)
{
    enum snug_field_type type = field->type;
    if (operand == OPERAND_AMOUNTS) {
        if (type != SNUG_FIELD_TYPE_LIST)
            return false;
        type = field->item;
    }
    switch (operand) {
    case OPERAND_AMOUNT:
    case OPERAND_AMOUNTS:
        return type == SNUG_FIELD_TYPE_MONEY || type == SNUG_FIELD_TYPE_NUMBER;
    case OPERAND_DATE:
        return type == SNUG_FIELD_TYPE_DATE;
    case OPERAND_LIST:
        return type == SNUG_FIELD_TYPE_LIST;
    }
    return false;
}

static enum snug_status read_operand(struct reader *reader, json_t *value, const char *where,
                                     const char *key, enum operand operand, size_t *out)
{
    static const char *const wanted[] = {"a money or number field", "a list of money or number",
                                         "a date field", "a list"};
    if (!json_is_string(value))
        return FAIL(reader, "%s: %s: \"%s\" must name %s", reader->file, where, key,
                    wanted[operand]);
    size_t field = snug_schema_find(reader->schema, json_string_value(value));
    if (field == SNUG_NO_FIELD)
        return FAIL(reader, "%s: %s: \"%s\" names \"%s\", which is no field of this schema",
                    reader->file, where, key, json_string_value(value));
    if (!operand_fits(&reader->schema->fields[field], operand))
        return FAIL(reader, "%s: %s: \"%s\" needs %s; %s is of type %s", reader->file, where, key,
                    wanted[operand], reader->schema->fields[field].name,
                    type_names[reader->schema->fields[field].type]);
    *out = field;
    return SNUG_STATUS_OK;
}

static enum snug_status read_operands(struct reader *reader, json_t *rule, const char *where,
                                      enum operand operand, size_t least, size_t most,
                                      struct snug_rule *out)
{
    json_t *of = json_object_get(rule, "of");
    if (!json_is_array(of) || json_array_size(of) < least || json_array_size(of) > most)
        return FAIL(reader, "%s: %s: \"of\" must be a list of %zu to %zu fields", reader->file,
                    where, least, most);
    for (size_t i = 0; i < json_array_size(of); i++) {
        enum snug_status status =
            read_operand(reader, json_array_get(of, i), where, "of", operand, &out->fields[i]);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    out->field_count = json_array_size(of);
    return SNUG_STATUS_OK;
}

static enum snug_status read_number(struct reader *reader, json_t *rule, const char *where,
                                    const char *key, bool needed, double *out)
{
    json_t *value = json_object_get(rule, key);
    if (value == NULL && !needed)
        return SNUG_STATUS_OK;
    if (!json_is_number(value) || !isfinite(json_number_value(value)) ||
        fabs(json_number_value(value)) > 1e9 || (!needed && json_number_value(value) < 0))
        return FAIL(reader, "%s: %s: \"%s\" must be a number", reader->file, where, key);
    *out = json_number_value(value);
    return SNUG_STATUS_OK;
}

static const struct rule_form {
    const char *word, *known;
    enum snug_rule_kind kind;
} rule_forms[] = {
    {"sum", "rule of equals tolerance", SNUG_RULE_KIND_SUM},
    {"dot", "rule of equals tolerance", SNUG_RULE_KIND_DOT},
    {"ratio", "rule of to value tolerance", SNUG_RULE_KIND_RATIO},
    {"order", "rule before after", SNUG_RULE_KIND_ORDER},
    {"same_length", "rule of", SNUG_RULE_KIND_SAME_LENGTH},
};

static enum snug_status read_rule_body(struct reader *reader, json_t *object, const char *where,
                                       struct snug_rule *rule)
{
    enum snug_status status =
        read_number(reader, object, where, "tolerance", false, &rule->tolerance);
    if (status != SNUG_STATUS_OK)
        return status;
    switch (rule->kind) {
    case SNUG_RULE_KIND_SUM:
    case SNUG_RULE_KIND_DOT: {
        bool sum = rule->kind == SNUG_RULE_KIND_SUM;
        status = read_operands(reader, object, where, sum ? OPERAND_AMOUNT : OPERAND_AMOUNTS,
                               sum ? 1 : 2, sum ? SNUG_MAX_RULE_FIELDS : 2, rule);
        return status != SNUG_STATUS_OK
                   ? status
                   : read_operand(reader, json_object_get(object, "equals"), where, "equals",
                                  OPERAND_AMOUNT, &rule->target);
    }
    case SNUG_RULE_KIND_RATIO:
        rule->field_count = 1;
        status = read_operand(reader, json_object_get(object, "of"), where, "of", OPERAND_AMOUNT,
                              &rule->fields[0]);
        if (status == SNUG_STATUS_OK)
            status = read_operand(reader, json_object_get(object, "to"), where, "to",
                                  OPERAND_AMOUNT, &rule->target);
        return status != SNUG_STATUS_OK
                   ? status
                   : read_number(reader, object, where, "value", true, &rule->value);
    case SNUG_RULE_KIND_ORDER:
        rule->field_count = 2;
        status = read_operand(reader, json_object_get(object, "before"), where, "before",
                              OPERAND_DATE, &rule->fields[0]);
        return status != SNUG_STATUS_OK
                   ? status
                   : read_operand(reader, json_object_get(object, "after"), where, "after",
                                  OPERAND_DATE, &rule->fields[1]);
    case SNUG_RULE_KIND_SAME_LENGTH:
        return read_operands(reader, object, where, OPERAND_LIST, 2, SNUG_MAX_RULE_FIELDS, rule);
    }
    return SNUG_STATUS_OK;
}

static enum snug_status read_rule(struct reader *reader, json_t *object, size_t index,
                                  struct snug_rule *rule)
{
    char where[48];
    snprintf(where, sizeof where, "rule number %zu", index + 1);
    const char *word = json_string_value(json_object_get(object, "rule"));
    if (word == NULL)
        return FAIL(reader, "%s: %s must be an object with \"rule\"", reader->file, where);
    const struct rule_form *form = NULL;
    for (size_t i = 0; i < sizeof rule_forms / sizeof *rule_forms; i++)
        if (strcmp(word, rule_forms[i].word) == 0)
            form = &rule_forms[i];
    if (form == NULL)
        return FAIL(reader, "%s: %s: \"%s\" is not one of sum, dot, ratio, order, same_length",
                    reader->file, where, word);
    snprintf(where, sizeof where, "rule number %zu (%s)", index + 1, form->word);
    enum snug_status status = check_keys(reader, object, where, form->known);
    if (status != SNUG_STATUS_OK)
        return status;
    *rule = (struct snug_rule){.kind = form->kind, .target = SNUG_NO_FIELD, .tolerance = 0.01};
    return read_rule_body(reader, object, where, rule);
}

static enum snug_status read_rules(struct reader *reader, json_t *root)
{
    json_t *array = json_object_get(root, "rules");
    if (array == NULL)
        return SNUG_STATUS_OK;
    if (!json_is_array(array))
        return FAIL(reader, "%s: \"rules\" must be a list", reader->file);
    size_t count = json_array_size(array);
    if (count > SNUG_MAX_RULES)
        return snug_error_set(reader->error, SNUG_STATUS_LIMIT, "%s: %zu rules, over %d",
                              reader->file, count, SNUG_MAX_RULES);
    struct snug_rule *rules = snug_arena_calloc(&reader->schema->arena, count + 1, sizeof *rules);
    if (rules == NULL)
        return no_memory(reader, (count + 1) * sizeof *rules);
    for (size_t i = 0; i < count; i++) {
        enum snug_status status = read_rule(reader, json_array_get(array, i), i, &rules[i]);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    reader->schema->rules = rules;
    reader->schema->rule_count = count;
    return SNUG_STATUS_OK;
}

/* ---- the whole ---- */

static enum snug_status read_schema(struct reader *reader, json_t *root)
{
    struct snug_schema *schema = reader->schema;
    if (!json_is_object(root))
        return FAIL(reader, "%s: a schema must be a JSON object", reader->file);
    enum snug_status status =
        check_keys(reader, root, "schema", "name title prompt absent fields rules");
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, root, "schema", "name", false, &schema->name);
    if (status == SNUG_STATUS_OK && (schema->name == NULL || !good_name(schema->name, "_-. ")))
        status =
            FAIL(reader, "%s: \"name\" must be letters, digits, '_', '-', '.' and inner spaces",
                 reader->file);
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, root, "schema", "title", false, &schema->title);
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, root, "schema", "prompt", true, &schema->prompt);
    schema->absent = "NOT_FOUND";
    if (status == SNUG_STATUS_OK)
        status = get_string(reader, root, "schema", "absent", false, &schema->absent);
    if (status == SNUG_STATUS_OK &&
        (strchr(schema->absent, '|') != NULL || strlen(schema->absent) > SNUG_MAX_ABSENT_BYTES))
        status = FAIL(reader, "%s: \"absent\" may have %d bytes and no '|', which separates items",
                      reader->file, SNUG_MAX_ABSENT_BYTES);
    if (status == SNUG_STATUS_OK)
        status = read_fields(reader, root);
    return status == SNUG_STATUS_OK ? read_rules(reader, root) : status;
}

enum snug_status snug_schema_parse(const char *data, size_t length, const char *name,
                                   const struct snug_allocator *allocator, struct snug_schema **out,
                                   struct snug_error *error)
{
    if (length > SNUG_MAX_SCHEMA_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: a schema of over %u bytes", name,
                              SNUG_MAX_SCHEMA_BYTES);
    struct snug_error detail = {0};
    json_t *root = NULL;
    enum snug_status status = snug_json_parse(data, length, false, name, &root, &detail);
    if (status != SNUG_STATUS_OK)
        return snug_error_set(error, status == SNUG_STATUS_FORMAT ? SNUG_STATUS_SCHEMA : status,
                              "%s", detail.message);
    struct snug_schema *schema = snug_calloc(allocator, 1, sizeof *schema);
    if (schema == NULL) {
        json_decref(root);
        return snug_error_memory(error, sizeof *schema, "schema");
    }
    snug_arena_init(&schema->arena, allocator);
    struct reader reader = {.schema = schema, .file = name, .error = error};
    status = read_schema(&reader, root);
    json_decref(root);
    if (status != SNUG_STATUS_OK) {
        snug_schema_free(schema);
        return status;
    }
    *out = schema;
    return SNUG_STATUS_OK;
}

void snug_schema_free(struct snug_schema *schema)
{
    if (schema == NULL)
        return;
    const struct snug_allocator *allocator = schema->arena.allocator;
    snug_arena_free(&schema->arena);
    snug_free(allocator, schema);
}

enum snug_status snug_schema_select(const struct snug_schema *schema, const char *const *names,
                                    size_t count, size_t *indices, struct snug_error *error)
{
    for (size_t i = 0; i < count; i++) {
        indices[i] = snug_schema_find(schema, names[i]);
        if (indices[i] == SNUG_NO_FIELD) {
            char list[SNUG_ERROR_MESSAGE_BYTES];
            size_t used = 0;
            list[0] = '\0';
            for (size_t f = 0; f < schema->field_count && used < sizeof list - 1; f++) {
                int wrote = snprintf(list + used, sizeof list - used, "%s%s", f > 0 ? ", " : "",
                                     schema->fields[f].name);
                used += wrote > 0 ? (size_t)wrote : 0;
            }
            return snug_error_set(error, SNUG_STATUS_USAGE,
                                  "no field \"%.128s\" in schema %s; it has: %s", names[i],
                                  schema->name, list);
        }
        for (size_t j = 0; j < i; j++)
            if (indices[j] == indices[i])
                return snug_error_set(error, SNUG_STATUS_USAGE, "field %s is asked for twice",
                                      schema->fields[indices[i]].name);
    }
    return SNUG_STATUS_OK;
}
