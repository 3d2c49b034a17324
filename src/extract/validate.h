/* What is odd about the values read: wrong check digits, sums that do not add up. Warnings, never
 * changes.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_VALIDATE_H
#define SNUG_EXTRACT_VALIDATE_H

#include "extract/schema.h"

/* One line a warning: name, code as it stands in rows. */
#define SNUG_WARNING_LIST(X)                                                                       \
    X(CHECKSUM, "checksum")       /* an id whose check digits are wrong */                         \
    X(DIGITS, "digits")           /* an id with too few or too many digits */                      \
    X(MONEY, "unreadable_amount") /* not an amount, also of one item */                            \
    X(NUMBER, "unreadable_number")                                                                 \
    X(DATE, "unreadable_date")                                                                     \
    X(DATE_RANGE, "unreadable_date_range")                                                         \
    X(VALUE, "unknown_value") /* not among the values of an enum */                                \
    X(REQUIRED, "required_absent")                                                                 \
    X(SUM, "sum") /* rules from here on: one warning for each field concerned */                   \
    X(DOT, "quantities_times_prices")                                                              \
    X(RATIO, "ratio")                                                                              \
    X(ORDER, "date_order")                                                                         \
    X(SAME_LENGTH, "list_lengths")

enum snug_warning_code {
#define X(name, text) SNUG_WARNING_##name,
    SNUG_WARNING_LIST(X)
#undef X
        SNUG_WARNING_COUNT
};
const char *snug_warning_code_text(enum snug_warning_code code);

struct snug_warning {
    enum snug_warning_code code;
    size_t field; /* the field it concerns */
    size_t rule;  /* index into schema->rules; SNUG_NO_FIELD if it is about the field alone. A rule
                     that is broken gives one warning for each of its fields, with the same text */
    const char *text; /* "sum: SUBTOTAL + GST is 496.12, TOTAL says 496.11"; begins with the code */
};

struct snug_warnings {
    struct snug_warning *items; /* by field in schema order, its own before those of rules */
    size_t count;
    struct snug_arena arena; /* private */
};

/* Looks at the values of one document. values: one for each field of the schema, NULL if absent;
 * lists with " | " between items. A rule with an absent or unreadable field says nothing. *out is
 * filled on success and then freed with snug_warnings_free. Thread-safe. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_validate(const struct snug_schema *schema,
                                                 const char *const *values,
                                                 const struct snug_allocator *allocator,
                                                 struct snug_warnings *out,
                                                 struct snug_error *error);
void snug_warnings_free(struct snug_warnings *warnings); /* zeroed allowed; leaves it zeroed */

/* Whether 11 digits are an Australian Business Number: weights 10, 1, 3, 5, ... 19, one taken from
 * the first digit, a sum that 89 divides. text may hold spaces and other signs. Source: the
 * Australian Business Register's description of the ABN format. */
bool snug_abn_valid(const char *text);

#endif
