/* A schema: which fields are read, of what type, and which rules tie them together. One JSON file:
 *
 *   {"name": "business-document",         required; letters, digits, '_', '-', '.' and spaces
 *    "title": "...",                      for people
 *    "prompt": "...",                     own instruction lines instead of the default ones
 *    "absent": "NOT_FOUND",               how the model says that a field is not there
 *    "fields": [                          required, 1..SNUG_MAX_FIELDS, as prompts and files order
 *                                         them
 *      {"name": "ABN",                    required; [A-Za-z0-9_ -]
 *       "type": "id",                     required; text id money number date date_range list enum
 *       "hint": "11 digits",              stands in brackets behind the name when hints are on
 *       "aliases": ["A.B.N."],            other keys a model may write for it
 *       "required": false,                a warning if absent
 *       "digits": 11, "checksum": "abn",  id only; both optional
 *       "item": "money",                  list only: text (the default), money, number
 *       "values": ["RECEIPT"]}],          enum only, and needed there
 *    "rules": [                           silent while one of its fields is absent or unreadable
 *      {"rule": "sum", "of": ["SUBTOTAL", "GST"], "equals": "TOTAL"},
 *      {"rule": "dot", "of": ["QUANTITIES", "PRICES"], "equals": "SUBTOTAL"},
 *      {"rule": "ratio", "of": "GST", "to": "SUBTOTAL", "value": 0.1},
 *      {"rule": "order", "before": "INVOICE_DATE", "after": "DUE_DATE"},
 *      {"rule": "same_length", "of": ["DESCRIPTIONS", "PRICES"]}]}
 *
 * sum, dot and ratio take an optional "tolerance" in units of currency (0.01). Other keys are
 * errors; document_types, types, tables and columns are reserved and answered with UNSUPPORTED.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_SCHEMA_H
#define SNUG_EXTRACT_SCHEMA_H

#include "base/alloc.h"
#include "base/limits.h"

#define SNUG_MAX_FIELD_ALIASES 64
#define SNUG_MAX_FIELD_VALUES 256
#define SNUG_MAX_FIELD_DIGITS 64
#define SNUG_MAX_SCHEMA_STRING_BYTES 8192
#define SNUG_MAX_ABSENT_BYTES 64
#define SNUG_MAX_RULES 256
#define SNUG_MAX_RULE_FIELDS 16

enum snug_field_type {
    SNUG_FIELD_TYPE_TEXT,
    SNUG_FIELD_TYPE_ID,
    SNUG_FIELD_TYPE_MONEY,
    SNUG_FIELD_TYPE_NUMBER,
    SNUG_FIELD_TYPE_DATE,
    SNUG_FIELD_TYPE_DATE_RANGE,
    SNUG_FIELD_TYPE_LIST,
    SNUG_FIELD_TYPE_ENUM,
    SNUG_FIELD_TYPE_COUNT
};

enum snug_checksum { SNUG_CHECKSUM_NONE, SNUG_CHECKSUM_ABN };

struct snug_field {
    const char *name;
    enum snug_field_type type;
    enum snug_field_type item; /* of a list: TEXT, MONEY or NUMBER; else TEXT */
    const char *hint;          /* NULL: none */
    const char *const *aliases;
    size_t alias_count;
    const char *const *values; /* of an enum */
    size_t value_count;
    int digits; /* of an id: how many; 0: any */
    enum snug_checksum checksum;
    bool required;
};

enum snug_rule_kind {
    SNUG_RULE_KIND_SUM,        /* fields[0] + ... = target */
    SNUG_RULE_KIND_DOT,        /* sum over i of fields[0][i] * fields[1][i] = target */
    SNUG_RULE_KIND_RATIO,      /* fields[0] = value * target */
    SNUG_RULE_KIND_ORDER,      /* fields[0] is not later than fields[1] */
    SNUG_RULE_KIND_SAME_LENGTH /* all of fields have as many items */
};
struct snug_rule {
    enum snug_rule_kind kind;
    size_t fields[SNUG_MAX_RULE_FIELDS]; /* indices into the schema's fields */
    size_t field_count;
    size_t target;    /* sum, dot: "equals"; ratio: "to"; else SNUG_NO_FIELD */
    double value;     /* ratio */
    double tolerance; /* units of currency; sum, dot, ratio */
};

/* No field: what look-ups answer when nothing matches. */
#define SNUG_NO_FIELD ((size_t)-1)

struct snug_schema_key; /* private: the table behind snug_schema_match */

/* Read-only once built; may be shared between threads. Everything belongs to the arena. */
struct snug_schema {
    const char *name, *title, *prompt; /* title, prompt: NULL if the file has none */
    const char *absent;                /* never NULL */
    const struct snug_field *fields;
    size_t field_count;
    const struct snug_rule *rules;
    size_t rule_count;
    /* private */
    const struct snug_schema_key *keys;
    size_t key_count;
    struct snug_arena arena;
};

/* Builds a schema from the bytes of a file. `name` (usually the path) stands in messages, which
 * also name the field or rule. *out is the caller's, freed with snug_schema_free; untouched on
 * failure. Field names and aliases must differ in more than case, white space and punctuation,
 * because models are careless with these. Thread-safe.
 * Errors: SCHEMA (bad JSON, unknown key, anything that makes no sense), UNSUPPORTED (reserved
 * keys), LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_schema_parse(const char *data, size_t length,
                                                     const char *name,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_schema **out,
                                                     struct snug_error *error);
void snug_schema_free(struct snug_schema *schema); /* NULL allowed */

/* The field of this name, ASCII case ignored; SNUG_NO_FIELD if there is none. */
size_t snug_schema_find(const struct snug_schema *schema, const char *name);

/* The field a model means by this key: by name or alias, looking at letters, digits and bytes above
 * 0x7f alone ("Invoice date", "INVOICE-DATE" and "invoice_date" are the same key). A list is also
 * found by the singular of its name. SNUG_NO_FIELD if there is none. */
size_t snug_schema_match(const struct snug_schema *schema, const char *key, size_t length);

/* Turns names into field indices, in the order given, for a request of some fields only.
 * indices: room for `count`. Errors: USAGE for a name that is unknown (the message lists what there
 * is) or given twice. */
SNUG_CHECK_RESULT enum snug_status snug_schema_select(const struct snug_schema *schema,
                                                      const char *const *names, size_t count,
                                                      size_t *indices, struct snug_error *error);

#endif
