/* Values of many documents, read back from files: results to be scored, and the truth to score
 * against.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_DOCUMENTS_H
#define SNUG_EXTRACT_DOCUMENTS_H

#include "extract/schema.h"

#define SNUG_MAX_DOCUMENTS 1000000

struct snug_document {
    const char *path;          /* as the file gives it */
    const char *name;          /* its last part, which documents are matched by */
    const char *const *values; /* one for each field of the schema; NULL: absent or not there */
    const double *confidences; /* the same; NaN: unknown. NULL: none at all */
    bool failed;               /* an error row: it has no values */
};

struct snug_documents {
    struct snug_document *items; /* in the order of the file */
    size_t count;
    const bool *has_field; /* by field of the schema: a column or key of that name is in the file */
    /* Columns or keys that the schema does not know, each once. */
    const char *const *ignored;
    size_t ignored_count;
    /* private */
    const size_t *by_name; /* indices sorted by name */
    struct snug_arena arena;
};

/* A CSV of the truth: a header whose first column holds the document ("image_file"), the others
 * named after fields (case, spaces and punctuation do not matter; a column "status" is passed
 * over); a line a document. Absent: NOT_FOUND, the schema's word, or what snug_value_is_absent
 * takes for it; a list of such items alone too. name stands in messages. *out is filled on success,
 * then freed with snug_documents_free. Errors: FORMAT (no header or no column that the schema
 * knows, a line with another number of cells, two lines for one document: names the line), LIMIT,
 * MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_truth_parse(const char *data, size_t length, const char *name,
                 const struct snug_schema *schema, const struct snug_allocator *allocator,
                 struct snug_documents *out, struct snug_error *error);

/* Results: JSONL or a JSON array of rows as extract/row.h writes them, or CSV as above with or
 * without a column "status"; told apart by the first character. In JSON a field may also be a plain
 * string, number, list or null, and the document's key may be "image_file". In JSON an ignored key
 * is one within "fields". Errors as above. */
SNUG_CHECK_RESULT enum snug_status
snug_predictions_parse(const char *data, size_t length, const char *name,
                       const struct snug_schema *schema, const struct snug_allocator *allocator,
                       struct snug_documents *out, struct snug_error *error);
void snug_documents_free(struct snug_documents *documents); /* zeroed allowed; leaves it zeroed */

/* The document of this name (a path's last part); NULL if there is none. */
const struct snug_document *snug_documents_find(const struct snug_documents *documents,
                                                const char *name);

#endif
