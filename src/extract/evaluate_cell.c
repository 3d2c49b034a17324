/* The score of one cell in all the ways there are.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/evaluate_internal.h"

#include "extract/normalise.h"
#include "extract/similarity.h"
#include "extract/value.h"

#include <math.h>
#include <string.h>

#define MOST_TEXT_BYTES ((size_t)64 << 20)

/* ---- lists ---- */

struct items {
    const char **texts; /* copies; NULL for a placeholder */
    size_t count, real;
};

static bool split(const char *list, const char *absent, struct snug_arena *arena, struct items *out)
{
    size_t count = snug_list_count(list), offset = 0, length;
    const char *item;
    out->texts = snug_arena_calloc(arena, count + 1, sizeof *out->texts);
    if (out->texts == NULL)
        return false;
    while (snug_list_next(list, &offset, &item, &length)) {
        if (!snug_value_is_absent(item, length, absent) &&
            !snug_value_is_absent(item, length, NULL)) {
            out->texts[out->count] = snug_arena_strndup(arena, item, length);
            if (out->texts[out->count] == NULL)
                return false;
            out->real++;
        }
        out->count++;
    }
    return true;
}

/* Whether two normalised texts are equal; frees both. */
static enum snug_status compare_and_free(struct snug_text *left, struct snug_text *right,
                                         bool *same, struct snug_error *error)
{
    enum snug_status status = snug_text_status(left, error, "scores");
    if (status == SNUG_STATUS_OK)
        status = snug_text_status(right, error, "scores");
    if (status == SNUG_STATUS_OK)
        *same = strcmp(snug_text_c(left), snug_text_c(right)) == 0;
    snug_text_free(right);
    snug_text_free(left);
    return status;
}

static enum snug_status same_item(enum snug_field_type type, const char *a, const char *b,
                                  const struct snug_allocator *allocator, bool *same,
                                  struct snug_error *error)
{
    struct snug_text left, right;
    snug_text_init(&left, allocator, MOST_TEXT_BYTES);
    snug_text_init(&right, allocator, MOST_TEXT_BYTES);
    snug_normalise_item(type, a, strlen(a), &left);
    snug_normalise_item(type, b, strlen(b), &right);
    return compare_and_free(&left, &right, same, error);
}

/* The ANLS of items under the best matching; by place if there are too many. */
static enum snug_status match_items(const struct items *truth, const struct items *answer,
                                    const struct snug_allocator *allocator,
                                    struct snug_arena *arena, double *total,
                                    struct snug_error *error)
{
    const char **rows = snug_arena_calloc(arena, truth->real + 1, sizeof *rows);
    const char **columns = snug_arena_calloc(arena, answer->real + 1, sizeof *columns);
    size_t row_count = 0, column_count = 0;
    if (rows == NULL || columns == NULL)
        return snug_error_memory(error, (truth->real + 1) * sizeof *rows, "scores");
    for (size_t i = 0; i < truth->count; i++)
        if (truth->texts[i] != NULL)
            rows[row_count++] = truth->texts[i];
    for (size_t i = 0; i < answer->count; i++)
        if (answer->texts[i] != NULL)
            columns[column_count++] = answer->texts[i];
    *total = 0;
    if (row_count == 0 || column_count == 0)
        return SNUG_STATUS_OK;
    enum snug_status status = SNUG_STATUS_OK;
    if (row_count > SNUG_MAX_MATCHED_ITEMS || column_count > SNUG_MAX_MATCHED_ITEMS) {
        for (size_t i = 0; i < row_count && i < column_count && status == SNUG_STATUS_OK; i++) {
            double score = 0;
            status = snug_anls(rows[i], columns[i], allocator, &score, error);
            *total += score;
        }
        return status;
    }
    double *weights = snug_arena_calloc(arena, row_count * column_count, sizeof *weights);
    size_t *match = snug_arena_calloc(arena, row_count, sizeof *match);
    if (weights == NULL || match == NULL)
        return snug_error_memory(error, row_count * column_count * sizeof *weights, "scores");
    for (size_t i = 0; i < row_count * column_count && status == SNUG_STATUS_OK; i++)
        status = snug_anls(rows[i / column_count], columns[i % column_count], allocator,
                           &weights[i], error);
    return status != SNUG_STATUS_OK
               ? status
               : snug_best_match(weights, row_count, column_count, allocator, match, total, error);
}

/* ---- the original score ---- */

/* The numbers of a date in the order they stand. */
static size_t numbers_of(const char *text, int out[8])
{
    size_t count = 0;
    while (*text != '\0' && count < 8) {
        if (!snug_ascii_is_digit(*text)) {
            text++;
            continue;
        }
        int number = 0;
        for (; snug_ascii_is_digit(*text); text++)
            number = number < 100000 ? number * 10 + (*text - '0') : number;
        out[count++] = number;
    }
    return count;
}

static double original_date(const char *truth, const char *answer)
{
    int a[8], b[8];
    size_t a_count = numbers_of(truth, a), b_count = numbers_of(answer, b), shared = 0;
    bool taken[8] = {false};
    for (size_t i = 0; i < a_count; i++)
        for (size_t j = 0; j < b_count; j++)
            if (!taken[j] && a[i] == b[j]) {
                taken[j] = true;
                shared++;
                break;
            }
    if (a_count == b_count && shared == a_count && shared > 0)
        return 1.0;
    return shared >= 2 ? 0.8 : 0.0;
}

static enum snug_status original_text(const char *truth, const char *answer,
                                      const struct snug_allocator *allocator, double *score,
                                      struct snug_error *error)
{
    struct snug_text left, right;
    snug_text_init(&left, allocator, MOST_TEXT_BYTES);
    snug_text_init(&right, allocator, MOST_TEXT_BYTES);
    snug_normalise_text(truth, strlen(truth), &left);
    snug_normalise_text(answer, strlen(answer), &right);
    enum snug_status status = snug_text_status(&left, error, "scores");
    if (status == SNUG_STATUS_OK)
        status = snug_text_status(&right, error, "scores");
    if (status == SNUG_STATUS_OK) {
        const char *a = snug_text_c(&left), *b = snug_text_c(&right);
        *score = strcmp(a, b) == 0 ? 1.0 : strstr(a, b) != NULL || strstr(b, a) != NULL ? 0.9 : 0.0;
    }
    snug_text_free(&right);
    snug_text_free(&left);
    return status;
}

static enum snug_status original_value(enum snug_field_type type, const char *truth,
                                       const char *answer, const struct snug_allocator *allocator,
                                       double *score, struct snug_error *error)
{
    int64_t a, b;
    if (type == SNUG_FIELD_TYPE_MONEY && snug_normalise_money(truth, &a) &&
        snug_normalise_money(answer, &b)) {
        *score = fabs((double)(a - b)) <= 0.01 * fabs((double)a) ? 1.0 : 0.0;
        return SNUG_STATUS_OK;
    }
    if (type == SNUG_FIELD_TYPE_DATE || type == SNUG_FIELD_TYPE_DATE_RANGE) {
        *score = original_date(truth, answer);
        return SNUG_STATUS_OK;
    }
    return original_text(truth, answer, allocator, score, error);
}

/* ---- cells ---- */

static enum snug_status score_lists(const struct snug_field *field, const char *absent,
                                    const char *truth, const char *answer,
                                    const struct snug_allocator *allocator,
                                    double sums[SNUG_SUM_COUNT], struct snug_error *error)
{
    struct snug_arena arena;
    struct items a = {0}, b = {0};
    snug_arena_init(&arena, allocator);
    enum snug_status status = SNUG_STATUS_OK;
    if ((truth != NULL && !split(truth, absent, &arena, &a)) ||
        (answer != NULL && !split(answer, absent, &arena, &b)))
        status = snug_error_memory(error, sizeof a, "scores");
    sums[SNUG_SUM_ITEMS_TRUE] += (double)a.real;
    sums[SNUG_SUM_ITEMS_GIVEN] += (double)b.real;
    size_t longer = a.count > b.count ? a.count : b.count;
    double original = 0;
    for (size_t i = 0; i < a.count && i < b.count && status == SNUG_STATUS_OK; i++) {
        bool same = false;
        double score = 0;
        if (a.texts[i] == NULL || b.texts[i] == NULL) {
            original += a.texts[i] == b.texts[i];
            continue;
        }
        status = same_item(field->item, a.texts[i], b.texts[i], allocator, &same, error);
        if (status == SNUG_STATUS_OK)
            status = original_value(field->item, a.texts[i], b.texts[i], allocator, &score, error);
        sums[SNUG_SUM_ITEMS_PLACED] += same;
        original += score;
    }
    double matched = 0;
    if (status == SNUG_STATUS_OK)
        status = match_items(&a, &b, allocator, &arena, &matched, error);
    sums[SNUG_SUM_ITEMS_MATCHED] += matched;
    if (truth != NULL && answer != NULL && longer > 0)
        sums[SNUG_SUM_ORIGINAL] += original / (double)longer;
    snug_arena_free(&arena);
    return status;
}

static enum snug_status same_value(const struct snug_field *field, const char *truth,
                                   const char *answer, const struct snug_allocator *allocator,
                                   bool *same, struct snug_error *error)
{
    struct snug_text left, right;
    snug_text_init(&left, allocator, MOST_TEXT_BYTES);
    snug_text_init(&right, allocator, MOST_TEXT_BYTES);
    snug_normalise_value(field, truth, &left);
    snug_normalise_value(field, answer, &right);
    return compare_and_free(&left, &right, same, error);
}

enum snug_status snug_cell_score(const struct snug_field *field, const char *absent,
                                 const char *truth, const char *answer,
                                 const struct snug_allocator *allocator,
                                 double sums[SNUG_SUM_COUNT], struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    bool list = field->type == SNUG_FIELD_TYPE_LIST;
    sums[SNUG_SUM_GIVEN] += answer != NULL;
    if (truth == NULL) {
        sums[SNUG_SUM_ABSENT]++;
        sums[SNUG_SUM_ABSENT_RIGHT] += answer == NULL;
        sums[SNUG_SUM_ORIGINAL] += answer == NULL;
    } else {
        sums[SNUG_SUM_PRESENT]++;
    }
    if (list && (truth != NULL || answer != NULL))
        status = score_lists(field, absent, truth, answer, allocator, sums, error);
    if (truth == NULL || answer == NULL || status != SNUG_STATUS_OK)
        return status;
    /* Both are trimmed already. What is exact is also right in every looser sense. */
    bool exact = strcmp(truth, answer) == 0, same = exact;
    double anls = 1, original = 1;
    if (!exact)
        status = same_value(field, truth, answer, allocator, &same, error);
    if (!exact && status == SNUG_STATUS_OK)
        status = snug_anls(truth, answer, allocator, &anls, error);
    if (!exact && !list && status == SNUG_STATUS_OK)
        status = original_value(field->type, truth, answer, allocator, &original, error);
    sums[SNUG_SUM_PRESENT_EXACT] += exact;
    sums[SNUG_SUM_PRESENT_NORMALISED] += same;
    sums[SNUG_SUM_ANLS] += anls;
    if (!list)
        sums[SNUG_SUM_ORIGINAL] += original;
    return status;
}

/* ---- ANLS* of a document ---- */

/* A value as a node; *used moves over `nodes`. */
static bool make_record(const struct snug_schema *schema, const bool *scored,
                        const char *const *values, struct snug_arena *arena,
                        struct snug_anls_node *out)
{
    struct snug_anls_node *nodes = snug_arena_calloc(arena, schema->field_count, sizeof *nodes);
    if (nodes == NULL)
        return false;
    *out = (struct snug_anls_node){.kind = SNUG_ANLS_KIND_RECORD, .items = nodes};
    for (size_t i = 0; i < schema->field_count; i++) {
        if (!scored[i] || values[i] == NULL)
            continue;
        struct snug_anls_node *node = &nodes[out->count++];
        node->key = schema->fields[i].name;
        node->kind = SNUG_ANLS_KIND_TEXT;
        node->text = values[i];
        if (schema->fields[i].type != SNUG_FIELD_TYPE_LIST)
            continue;
        struct items items = {0};
        if (!split(values[i], schema->absent, arena, &items))
            return false;
        struct snug_anls_node *leaves = snug_arena_calloc(arena, items.count + 1, sizeof *leaves);
        if (leaves == NULL)
            return false;
        node->kind = SNUG_ANLS_KIND_LIST;
        node->items = leaves;
        for (size_t j = 0; j < items.count; j++)
            if (items.texts[j] != NULL)
                leaves[node->count++] =
                    (struct snug_anls_node){.kind = SNUG_ANLS_KIND_TEXT, .text = items.texts[j]};
    }
    return true;
}

enum snug_status snug_document_anls_star(const struct snug_schema *schema, const bool *scored,
                                         const char *const *truth, const char *const *answer,
                                         const struct snug_allocator *allocator, double *score,
                                         struct snug_error *error)
{
    struct snug_arena arena;
    struct snug_anls_node a, b;
    snug_arena_init(&arena, allocator);
    enum snug_status status = SNUG_STATUS_OK;
    if (!make_record(schema, scored, truth, &arena, &a) ||
        !make_record(schema, scored, answer, &arena, &b))
        status = snug_error_memory(error, sizeof a, "scores");
    else
        status = snug_anls_star(&a, &b, allocator, score, error);
    snug_arena_free(&arena);
    return status;
}
