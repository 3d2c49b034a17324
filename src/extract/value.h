/* What a value is: when it counts as absent, and how a list is written.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_VALUE_H
#define SNUG_EXTRACT_VALUE_H

#include "base/alloc.h"

/* Items of one list that are kept; what a model repeats beyond that is dropped. */
#define SNUG_MAX_LIST_ITEMS 4096

/* Moves [*start, *end) inwards over ASCII white space, U+00A0, U+200B and U+FEFF. */
void snug_value_trim(const char *text, size_t *start, size_t *end);

/* Whether this text says that there is no value: nothing but white space, `absent` (the schema's
 * word) also with a remark behind it ("NOT_FOUND (not shown)"), N/A, NA, none, null, nil, nan,
 * empty, "not found" and its like (not available, not shown, ...), dashes alone; in any case, also
 * in brackets or with a full stop. absent: NULL for "NOT_FOUND". Not for whole lists: a list is
 * absent if every item is. Thread-safe. */
bool snug_value_is_absent(const char *text, size_t length, const char *absent);

/* Steps through the items of a list written "a | b | c": returns false at the end, else the trimmed
 * item as [*item, *item + *length), which may be empty. *offset starts at 0. A text without '|' is
 * one item; an empty text has none. */
bool snug_list_next(const char *list, size_t *offset, const char **item, size_t *length);

/* How many items that gives. */
size_t snug_list_count(const char *list);

#endif
