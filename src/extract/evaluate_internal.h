/* What a cell contributes to scores: sums, so that documents can be drawn again and again.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_EVALUATE_INTERNAL_H
#define SNUG_EXTRACT_EVALUATE_INTERNAL_H

#include "extract/evaluate.h"

enum snug_sum {
    SNUG_SUM_PRESENT,
    SNUG_SUM_PRESENT_EXACT,
    SNUG_SUM_PRESENT_NORMALISED,
    SNUG_SUM_ABSENT,
    SNUG_SUM_ABSENT_RIGHT,
    SNUG_SUM_GIVEN, /* values given */
    SNUG_SUM_ANLS,
    SNUG_SUM_ORIGINAL,
    SNUG_SUM_ITEMS_TRUE,    /* items of the truth's lists */
    SNUG_SUM_ITEMS_GIVEN,   /* items given */
    SNUG_SUM_ITEMS_PLACED,  /* right at their place */
    SNUG_SUM_ITEMS_MATCHED, /* ANLS of the best matching, summed */
    SNUG_SUM_COUNT
};

/* Adds one cell to sums. truth, answer: NULL if absent. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_cell_score(const struct snug_field *field, const char *absent, const char *truth,
                const char *answer, const struct snug_allocator *allocator,
                double sums[SNUG_SUM_COUNT], struct snug_error *error);

/* ANLS* of one document. */
SNUG_CHECK_RESULT enum snug_status snug_document_anls_star(const struct snug_schema *schema,
                                                           const bool *scored,
                                                           const char *const *truth,
                                                           const char *const *answer,
                                                           const struct snug_allocator *allocator,
                                                           double *score, struct snug_error *error);

#endif
