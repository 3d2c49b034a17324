/* How alike two texts, lists or records are: edit distance, ANLS, best matching, ANLS*.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_SIMILARITY_H
#define SNUG_EXTRACT_SIMILARITY_H

#include "base/alloc.h"

/* Characters of a text that are compared; what follows is left out on both sides. */
#define SNUG_MAX_COMPARED_CHARACTERS 2048
/* Items of a list up to which the best matching is sought; longer lists are compared by place. */
#define SNUG_MAX_MATCHED_ITEMS 256
#define SNUG_MAX_ANLS_DEPTH 16

/* s = 1 - NL if NL < 0.5, else 0, NL = edit distance / length of the longer, both in characters,
 * case folded, white space collapsed. Two empty texts: 1. Source: Biten et al. 2019 (scene text
 * VQA). Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_anls(const char *truth, const char *answer,
                                             const struct snug_allocator *allocator, double *score,
                                             struct snug_error *error);

/* The assignment of rows to columns with the largest sum of weights. weights: [rows, columns]
 * row-major, each 0..1. match: for each row its column, or (size_t)-1 (only if rows > columns).
 * Returns the sum in *total. Hungarian method with potentials, O(min^2 * max). Source: Kuhn 1955,
 * Munkres 1957. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_best_match(const double *weights, size_t rows,
                                                   size_t columns,
                                                   const struct snug_allocator *allocator,
                                                   size_t *match, double *total,
                                                   struct snug_error *error);

enum snug_anls_kind {
    SNUG_ANLS_KIND_NONE,
    SNUG_ANLS_KIND_TEXT,   /* text */
    SNUG_ANLS_KIND_LIST,   /* items, order does not matter */
    SNUG_ANLS_KIND_RECORD, /* items with keys */
    SNUG_ANLS_KIND_ANY     /* truth only: one of items is right */
};
/* A value to score, a tree owned by the caller. Keys of a record differ from each other. */
struct snug_anls_node {
    enum snug_anls_kind kind;
    const char *key, *text;
    const struct snug_anls_node *items;
    size_t count;
};
/* ANLS*: every leaf scores its ANLS; a record goes over the union of keys, a list over the best
 * matching of items; what one side lacks scores 0; the sum is divided by the number of leaves
 * counted. Empty against empty is 1. Source: Peer et al. 2024 (ANLS*, a universal document
 * processing metric). Errors: LIMIT (too deep), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_anls_star(const struct snug_anls_node *truth,
                                                  const struct snug_anls_node *answer,
                                                  const struct snug_allocator *allocator,
                                                  double *score, struct snug_error *error);

#endif
