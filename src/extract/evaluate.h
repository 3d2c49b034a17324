/* Scores of results against the truth, each with a 95 % interval and with what an empty answer
 * would get.
 *
 * A cell is one field of one document; it is present if the truth has a value. Scored are the
 * documents that both sides have, and the fields that the truth has a column for and the results
 * were asked for. A document that failed counts as an empty answer. Definitions, over the cells of
 * a field or of all:
 *   exact        cells right: absent where it is absent, else the same text after trimming
 *   normalised   the same with snug_normalise_value's forms
 *   precision    right values / values given; recall: right values / values there are; F1: their
 *                harmonic mean; right as in `normalised`
 *   invented     values given where there is none / cells absent (the hallucination rate)
 *   ANLS         mean over present cells of the texts' ANLS, 0 where no value is given
 *   lists        items right at their place, as F1 (placeholders are no items, but keep places);
 *                and the ANLS of the best matching of items, as F1
 *   original     the score of the V100 system that came before, for comparison only: absent =
 *                absent 1, amounts within 1 % 1, dates 1 for the same numbers and 0.8 for two in
 *                common, lists by place over the longer, text 1 if equal and 0.9 for a part of the
 *                other; else 0
 * and over documents:
 *   ANLS*        mean of each document's; absent fields are missing keys
 *   all exact, all normalised: documents without one wrong cell
 *   ECE          expected calibration error over the values given with a confidence, 10 bins of
 *                equal width
 *   coverage     the largest share of those values that can be kept, most confident first, with at
 *                least the target precision
 * Intervals: percentile bootstrap over documents, seeded (splitmix64), 2.5 % and 97.5 %.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_EVALUATE_H
#define SNUG_EXTRACT_EVALUATE_H

#include "base/text.h"
#include "extract/documents.h"

#define SNUG_MAX_RESAMPLES 100000

struct snug_evaluation_options {
    uint64_t seed;
    int resamples;           /* 0: no intervals; at most SNUG_MAX_RESAMPLES */
    double target_precision; /* of coverage, 0..1 */
};
struct snug_evaluation_options snug_evaluation_options_default(void); /* seed 1, 1000, 0.99 */

/* A score as a share, 0..1. NaN: undefined (nothing to divide by). */
struct snug_estimate {
    double value, low, high;
    double empty; /* of an answer that gives no value at all */
};

struct snug_scores {
    const char *name; /* of the field; "all" */
    bool list;        /* it has items to score */
    size_t present, present_exact, present_normalised;
    size_t absent, absent_right;
    struct snug_estimate exact, normalised, precision, recall, f1, invented, anls, original;
    struct snug_estimate list_place_f1, list_match_f1;
};

struct snug_evaluation {
    size_t documents; /* scored */
    size_t missing;   /* in the truth, not in the results: not scored */
    size_t extra;     /* in the results, not in the truth: not scored */
    size_t failed;    /* scored, error rows */
    size_t unread;    /* scored, no error, yet not one value (a parse failure) */
    struct snug_scores all;
    struct snug_scores *fields; /* of the fields scored, in schema order */
    size_t field_count;
    const char *const *not_asked; /* fields of the truth that no result has */
    size_t not_asked_count;
    struct snug_estimate anls_star, all_exact, all_normalised, ece, coverage;
    struct snug_evaluation_options options;
    size_t confident_values;   /* values given with a confidence: what ece and coverage are over */
    const char *first_missing; /* the first document missing, or NULL */
    struct snug_arena arena;   /* private */
};

/* Scores. Both tables were read with this schema. *out is filled on success, then freed with
 * snug_evaluation_free; it keeps no pointer into truth and results, but names of fields are the
 * schema's. Time: documents * fields * resamples, plus matching of lists. Errors: USAGE (no
 * document or no field in common, options out of range), MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_evaluate(const struct snug_schema *schema, const struct snug_documents *truth,
              const struct snug_documents *results, const struct snug_evaluation_options *options,
              const struct snug_allocator *allocator, struct snug_evaluation *out,
              struct snug_error *error);
void snug_evaluation_free(
    struct snug_evaluation *evaluation); /* zeroed allowed; leaves it zeroed */

/* "accuracy: present P % (a/b), absent Q % (c/d), empty baseline R %", exact matches; R is the
 * share of cells that are absent in truth. No line end. */
void snug_evaluation_put_line(const struct snug_evaluation *evaluation, struct snug_text *out);
/* A report for people: that line, then tables within 80 columns. Ends in a line end. */
void snug_evaluation_put_text(const struct snug_evaluation *evaluation, struct snug_text *out);
/* The same as one JSON object with a line end; undefined scores are null. */
void snug_evaluation_put_json(const struct snug_evaluation *evaluation, struct snug_text *out);

#endif
