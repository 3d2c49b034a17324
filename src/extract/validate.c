/* Checks of single fields, then the schema's rules.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/validate.h"

#include "extract/normalise.h"
#include "extract/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *snug_warning_code_text(enum snug_warning_code code)
{
    static const char *const texts[] = {
#define X(name, text) text,
        SNUG_WARNING_LIST(X)
#undef X
    };
    return (unsigned)code < SNUG_WARNING_COUNT ? texts[code] : "?";
}

struct checker {
    const struct snug_schema *schema;
    const char *const *values;
    struct snug_warnings *out;
    size_t capacity;
    bool refused; /* memory */
};

static void put(struct checker *checker, enum snug_warning_code code, size_t field, size_t rule,
                const char *text)
{
    struct snug_warnings *out = checker->out;
    if (text == NULL || checker->refused) {
        checker->refused = true;
        return;
    }
    SNUG_ASSERT(out->count < checker->capacity);
    out->items[out->count++] = (struct snug_warning){code, field, rule, text};
}

/* The message of a warning; values are cut so that one line stays one line. */
#define MESSAGE(checker, code, format, ...)                                                        \
    snug_arena_printf(&(checker)->out->arena, "%s: " format, snug_warning_code_text(code),         \
                      __VA_ARGS__)

/* ---- single fields ---- */

static size_t digits_of(const char *text, char *digits, size_t room)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        if (snug_ascii_is_digit(*text)) {
            if (count < room)
                digits[count] = *text;
            count++;
        }
    return count;
}

bool snug_abn_valid(const char *text)
{
    static const int weights[11] = {10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19};
    char digits[11];
    if (digits_of(text, digits, 11) != 11)
        return false;
    int sum = 0;
    for (int i = 0; i < 11; i++)
        sum += (digits[i] - '0' - (i == 0)) * weights[i];
    return sum % 89 == 0;
}

static void check_id(struct checker *checker, size_t index)
{
    const struct snug_field *field = &checker->schema->fields[index];
    const char *value = checker->values[index];
    char digits[1];
    size_t count = digits_of(value, digits, 0);
    if (field->digits > 0 && count != (size_t)field->digits)
        put(checker, SNUG_WARNING_DIGITS, index, SNUG_NO_FIELD,
            MESSAGE(checker, SNUG_WARNING_DIGITS, "%zu digits where %d are needed", count,
                    field->digits));
    else if (field->checksum == SNUG_CHECKSUM_ABN && !snug_abn_valid(value))
        put(checker, SNUG_WARNING_CHECKSUM, index, SNUG_NO_FIELD,
            MESSAGE(checker, SNUG_WARNING_CHECKSUM, "%.40s is no valid ABN", value));
}

static bool readable(enum snug_field_type type, const char *text)
{
    int64_t number;
    struct snug_date from, to;
    switch (type) {
    case SNUG_FIELD_TYPE_MONEY:
        return snug_normalise_money(text, &number);
    case SNUG_FIELD_TYPE_NUMBER:
        return snug_normalise_number(text, &number);
    case SNUG_FIELD_TYPE_DATE:
        return snug_normalise_date(text, &from);
    case SNUG_FIELD_TYPE_DATE_RANGE:
        return snug_normalise_date_range(text, &from, &to);
    default:
        return true;
    }
}

static enum snug_warning_code unreadable_code(enum snug_field_type type)
{
    return type == SNUG_FIELD_TYPE_MONEY    ? SNUG_WARNING_MONEY
           : type == SNUG_FIELD_TYPE_NUMBER ? SNUG_WARNING_NUMBER
           : type == SNUG_FIELD_TYPE_DATE   ? SNUG_WARNING_DATE
                                            : SNUG_WARNING_DATE_RANGE;
}

static bool copy_item(const char *item, size_t length, char out[512])
{
    if (length >= 512)
        return false;
    memcpy(out, item, length);
    out[length] = '\0';
    return true;
}

/* Names the first item that cannot be read; one warning a list is enough. */
static void check_list(struct checker *checker, size_t index)
{
    enum snug_field_type type = checker->schema->fields[index].item;
    const char *absent = checker->schema->absent, *item;
    size_t offset = 0, length, number = 0;
    while (snug_list_next(checker->values[index], &offset, &item, &length)) {
        char copy[512];
        number++;
        if (snug_value_is_absent(item, length, absent))
            continue;
        bool short_enough = copy_item(item, length, copy);
        if (short_enough && readable(type, copy))
            continue;
        if (type == SNUG_FIELD_TYPE_TEXT)
            return;
        enum snug_warning_code code = unreadable_code(type);
        put(checker, code, index, SNUG_NO_FIELD,
            MESSAGE(checker, code, "item %zu is \"%.40s\"", number,
                    short_enough ? copy : "(too long)"));
        return;
    }
}

static void check_enum(struct checker *checker, size_t index)
{
    const struct snug_field *field = &checker->schema->fields[index];
    const struct snug_allocator *allocator = checker->out->arena.allocator;
    struct snug_text value, known;
    snug_text_init(&value, allocator, (size_t)16 << 20);
    snug_text_init(&known, allocator, (size_t)16 << 20);
    snug_normalise_text(checker->values[index], strlen(checker->values[index]), &value);
    bool found = false;
    for (size_t i = 0; i < field->value_count && !found; i++) {
        snug_text_clear(&known);
        snug_normalise_text(field->values[i], strlen(field->values[i]), &known);
        checker->refused = checker->refused || known.status == SNUG_STATUS_MEMORY;
        found = strcmp(snug_text_c(&known), snug_text_c(&value)) == 0;
    }
    checker->refused = checker->refused || value.status == SNUG_STATUS_MEMORY;
    if (!checker->refused && !found)
        put(checker, SNUG_WARNING_VALUE, index, SNUG_NO_FIELD,
            MESSAGE(checker, SNUG_WARNING_VALUE, "\"%.60s\" is none of the values of the schema",
                    checker->values[index]));
    snug_text_free(&value);
    snug_text_free(&known);
}

static void check_field(struct checker *checker, size_t index)
{
    const struct snug_field *field = &checker->schema->fields[index];
    const char *value = checker->values[index];
    if (value == NULL) {
        if (field->required)
            put(checker, SNUG_WARNING_REQUIRED, index, SNUG_NO_FIELD,
                MESSAGE(checker, SNUG_WARNING_REQUIRED, "%s is needed and was not found",
                        field->name));
        return;
    }
    switch (field->type) {
    case SNUG_FIELD_TYPE_ID:
        check_id(checker, index);
        break;
    case SNUG_FIELD_TYPE_LIST:
        check_list(checker, index);
        break;
    case SNUG_FIELD_TYPE_ENUM:
        check_enum(checker, index);
        break;
    default:
        if (!readable(field->type, value)) {
            enum snug_warning_code code = unreadable_code(field->type);
            put(checker, code, index, SNUG_NO_FIELD, MESSAGE(checker, code, "\"%.60s\"", value));
        }
    }
}

/* ---- rules ---- */

/* An amount in cents as f64: exact far beyond any document. */
static bool amount(const struct checker *checker, size_t index, double *cents)
{
    const char *value = checker->values[index];
    int64_t number;
    if (value == NULL)
        return false;
    if (checker->schema->fields[index].type == SNUG_FIELD_TYPE_MONEY) {
        if (!snug_normalise_money(value, &number))
            return false;
        *cents = (double)number;
    } else {
        if (!snug_normalise_number(value, &number))
            return false;
        *cents = (double)number / 100;
    }
    return true;
}

static bool item_amount(enum snug_field_type type, const char *item, size_t length, double *out)
{
    char copy[512];
    int64_t number;
    if (!copy_item(item, length, copy))
        return false;
    if (type == SNUG_FIELD_TYPE_MONEY ? !snug_normalise_money(copy, &number)
                                      : !snug_normalise_number(copy, &number))
        return false;
    *out = type == SNUG_FIELD_TYPE_MONEY ? (double)number / 100 : (double)number / 10000;
    return true;
}

/* Sum of products of two lists in cents. False unless both have as many items, all readable. */
static bool dot(const struct checker *checker, const struct snug_rule *rule, double *cents)
{
    const char *left = checker->values[rule->fields[0]], *right = checker->values[rule->fields[1]];
    const struct snug_field *fields = checker->schema->fields;
    if (left == NULL || right == NULL)
        return false;
    size_t left_offset = 0, right_offset = 0, left_length, right_length;
    const char *left_item, *right_item;
    double sum = 0, a, b;
    for (;;) {
        bool more_left = snug_list_next(left, &left_offset, &left_item, &left_length);
        bool more_right = snug_list_next(right, &right_offset, &right_item, &right_length);
        if (more_left != more_right)
            return false;
        if (!more_left)
            break;
        if (!item_amount(fields[rule->fields[0]].item, left_item, left_length, &a) ||
            !item_amount(fields[rule->fields[1]].item, right_item, right_length, &b))
            return false;
        sum += a * b;
    }
    *cents = sum * 100;
    return true;
}

/* Puts the warning on every field of the rule, each once. */
static void put_rule(struct checker *checker, enum snug_warning_code code, size_t rule_index,
                     const char *text)
{
    const struct snug_rule *rule = &checker->schema->rules[rule_index];
    size_t all[SNUG_MAX_RULE_FIELDS + 1], count = rule->field_count;
    memcpy(all, rule->fields, count * sizeof *all);
    if (rule->target != SNUG_NO_FIELD)
        all[count++] = rule->target;
    for (size_t i = 0; i < count; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || all[j] == all[i];
        if (!again)
            put(checker, code, all[i], rule_index, text);
    }
}

static const char *name_of(const struct checker *checker, size_t field)
{
    return checker->schema->fields[field].name;
}

static bool differ(double a_cents, double b_cents, double tolerance)
{
    return fabs(a_cents - b_cents) > tolerance * 100 + 1e-6;
}

static void check_amounts(struct checker *checker, size_t index)
{
    const struct snug_rule *rule = &checker->schema->rules[index];
    double left = 0, target, part;
    char what[400] = "";
    size_t used = 0;
    if (!amount(checker, rule->target, &target))
        return;
    enum snug_warning_code code = SNUG_WARNING_SUM;
    if (rule->kind == SNUG_RULE_KIND_SUM) {
        for (size_t i = 0; i < rule->field_count; i++) {
            if (!amount(checker, rule->fields[i], &part))
                return;
            left += part;
            if (used < sizeof what - 1) {
                int wrote = snprintf(what + used, sizeof what - used, "%s%s", i > 0 ? " + " : "",
                                     name_of(checker, rule->fields[i]));
                used += wrote > 0 ? (size_t)wrote : 0;
            }
        }
    } else if (rule->kind == SNUG_RULE_KIND_DOT) {
        code = SNUG_WARNING_DOT;
        if (!dot(checker, rule, &left))
            return;
        snprintf(what, sizeof what, "sum of %s x %s", name_of(checker, rule->fields[0]),
                 name_of(checker, rule->fields[1]));
    } else {
        code = SNUG_WARNING_RATIO;
        if (!amount(checker, rule->fields[0], &part))
            return;
        if (differ(part, target * rule->value, rule->tolerance))
            put_rule(checker, code, index,
                     MESSAGE(checker, code, "%s %.2f is not %g of %s %.2f",
                             name_of(checker, rule->fields[0]), part / 100, rule->value,
                             name_of(checker, rule->target), target / 100));
        return;
    }
    if (differ(left, target, rule->tolerance))
        put_rule(checker, code, index,
                 MESSAGE(checker, code, "%s is %.2f, %s says %.2f", what, left / 100,
                         name_of(checker, rule->target), target / 100));
}

static void check_order(struct checker *checker, size_t index)
{
    const struct snug_rule *rule = &checker->schema->rules[index];
    const char *before = checker->values[rule->fields[0]],
               *after = checker->values[rule->fields[1]];
    struct snug_date first, second;
    if (before == NULL || after == NULL || !snug_normalise_date(before, &first) ||
        !snug_normalise_date(after, &second))
        return;
    if (snug_date_days(first) > snug_date_days(second))
        put_rule(checker, SNUG_WARNING_ORDER, index,
                 MESSAGE(checker, SNUG_WARNING_ORDER, "%s %.40s is later than %s %.40s",
                         name_of(checker, rule->fields[0]), before,
                         name_of(checker, rule->fields[1]), after));
}

static void check_lengths(struct checker *checker, size_t index)
{
    const struct snug_rule *rule = &checker->schema->rules[index];
    char what[400] = "";
    size_t used = 0, first = 0;
    bool same = true;
    for (size_t i = 0; i < rule->field_count; i++) {
        const char *value = checker->values[rule->fields[i]];
        if (value == NULL)
            return;
        size_t count = snug_list_count(value);
        first = i == 0 ? count : first;
        same = same && count == first;
        if (used < sizeof what - 1) {
            int wrote = snprintf(what + used, sizeof what - used, "%s%s has %zu", i > 0 ? ", " : "",
                                 name_of(checker, rule->fields[i]), count);
            used += wrote > 0 ? (size_t)wrote : 0;
        }
    }
    if (!same)
        put_rule(checker, SNUG_WARNING_SAME_LENGTH, index,
                 MESSAGE(checker, SNUG_WARNING_SAME_LENGTH, "%s items", what));
}

static int by_field(const void *left, const void *right)
{
    const struct snug_warning *a = left, *b = right;
    if (a->field != b->field)
        return a->field < b->field ? -1 : 1;
    /* SNUG_NO_FIELD + 1 is 0: a field's own warning comes first. */
    return (a->rule + 1 > b->rule + 1) - (a->rule + 1 < b->rule + 1);
}

enum snug_status snug_validate(const struct snug_schema *schema, const char *const *values,
                               const struct snug_allocator *allocator, struct snug_warnings *out,
                               struct snug_error *error)
{
    struct snug_warnings warnings = {0};
    snug_arena_init(&warnings.arena, allocator);
    struct checker checker = {.schema = schema, .values = values, .out = &warnings};
    checker.capacity = schema->field_count;
    for (size_t i = 0; i < schema->rule_count; i++)
        checker.capacity += schema->rules[i].field_count + 1;
    warnings.items = snug_arena_calloc(&warnings.arena, checker.capacity, sizeof *warnings.items);
    checker.refused = warnings.items == NULL;
    for (size_t i = 0; i < schema->field_count && !checker.refused; i++)
        check_field(&checker, i);
    for (size_t i = 0; i < schema->rule_count && !checker.refused; i++) {
        if (schema->rules[i].kind == SNUG_RULE_KIND_ORDER)
            check_order(&checker, i);
        else if (schema->rules[i].kind == SNUG_RULE_KIND_SAME_LENGTH)
            check_lengths(&checker, i);
        else
            check_amounts(&checker, i);
    }
    if (checker.refused) {
        snug_arena_free(&warnings.arena);
        return snug_error_memory(error, checker.capacity * sizeof *warnings.items, "warnings");
    }
    qsort(warnings.items, warnings.count, sizeof *warnings.items, by_field);
    *out = warnings;
    return SNUG_STATUS_OK;
}

void snug_warnings_free(struct snug_warnings *warnings)
{
    if (warnings->arena.allocator != NULL)
        snug_arena_free(&warnings->arena);
    *warnings = (struct snug_warnings){0};
}
