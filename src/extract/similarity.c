/* Edit distance, matching, ANLS and ANLS*.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/similarity.h"

#include "extract/normalise.h"

#include <string.h>

static enum snug_status no_memory(struct snug_error *error, size_t bytes)
{
    return snug_error_memory(error, bytes, "comparing values");
}

/* ---- texts ---- */

/* The characters compared of a text. */
static enum snug_status read_letters(const char *text, const struct snug_allocator *allocator,
                                     uint32_t **letters, size_t *count, struct snug_error *error)
{
    struct snug_text folded;
    snug_text_init(&folded, allocator, (size_t)64 << 20);
    snug_normalise_text(text, strlen(text), &folded);
    *count = 0;
    *letters =
        snug_alloc_array(allocator,
                         SNUG_MAX_COMPARED_CHARACTERS < folded.length ? SNUG_MAX_COMPARED_CHARACTERS
                                                                      : folded.length + 1,
                         sizeof **letters);
    if (folded.status != SNUG_STATUS_OK || *letters == NULL) {
        snug_free(allocator, *letters);
        *letters = NULL;
        snug_text_free(&folded);
        return no_memory(error, SNUG_MAX_COMPARED_CHARACTERS * sizeof **letters);
    }
    for (size_t at = 0; at < folded.length && *count < SNUG_MAX_COMPARED_CHARACTERS;) {
        uint32_t code = 0;
        int step =
            snug_utf8_decode((const unsigned char *)folded.data + at, folded.length - at, &code);
        at += step > 0 ? (size_t)step : 1; /* normalised text is valid */
        (*letters)[(*count)++] = code;
    }
    snug_text_free(&folded);
    return SNUG_STATUS_OK;
}

/* Levenshtein distance by rows. row: room for b_count + 1. */
static size_t edit_distance(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count,
                            size_t *row)
{
    for (size_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_count; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < other ? replace : other;
        }
    }
    return row[b_count];
}

enum snug_status snug_anls(const char *truth, const char *answer,
                           const struct snug_allocator *allocator, double *score,
                           struct snug_error *error)
{
    uint32_t *a = NULL, *b = NULL;
    size_t *row = NULL, a_count = 0, b_count = 0;
    enum snug_status status = read_letters(truth, allocator, &a, &a_count, error);
    if (status == SNUG_STATUS_OK)
        status = read_letters(answer, allocator, &b, &b_count, error);
    if (status == SNUG_STATUS_OK &&
        (row = snug_alloc_array(allocator, b_count + 1, sizeof *row)) == NULL)
        status = no_memory(error, (b_count + 1) * sizeof *row);
    if (status == SNUG_STATUS_OK) {
        size_t longer = a_count > b_count ? a_count : b_count;
        size_t distance = edit_distance(a, a_count, b, b_count, row);
        /* NL < 0.5 in whole numbers */
        *score = longer == 0             ? 1.0
                 : 2 * distance < longer ? 1.0 - (double)distance / (double)longer
                                         : 0.0;
    }
    snug_free(allocator, row);
    snug_free(allocator, b);
    snug_free(allocator, a);
    return status;
}

/* ---- matching ---- */

/* Work memory of the Hungarian method, indices from 1; 0 is the row that is being placed. */
struct matching {
    const double *weights;
    size_t rows, columns; /* rows <= columns */
    bool swapped;         /* weights are [columns, rows] */
    size_t stride;
    double *row_potential, *column_potential, *slack;
    size_t *row_of, *way;
    bool *used;
};

static double cost(const struct matching *m, size_t row, size_t column)
{
    return 1.0 - (m->swapped ? m->weights[(column - 1) * m->stride + (row - 1)]
                             : m->weights[(row - 1) * m->stride + (column - 1)]);
}

/* Places one more row along the cheapest augmenting path. */
static void place_row(struct matching *m, size_t row)
{
    m->row_of[0] = row;
    size_t column = 0;
    for (size_t j = 0; j <= m->columns; j++) {
        m->slack[j] = 1e300;
        m->used[j] = false;
    }
    do {
        m->used[column] = true;
        size_t from = m->row_of[column], next = 0;
        double least = 1e300;
        for (size_t j = 1; j <= m->columns; j++) {
            if (m->used[j])
                continue;
            double reduced = cost(m, from, j) - m->row_potential[from] - m->column_potential[j];
            if (reduced < m->slack[j]) {
                m->slack[j] = reduced;
                m->way[j] = column;
            }
            if (m->slack[j] < least) {
                least = m->slack[j];
                next = j;
            }
        }
        for (size_t j = 0; j <= m->columns; j++) {
            if (m->used[j]) {
                m->row_potential[m->row_of[j]] += least;
                m->column_potential[j] -= least;
            } else {
                m->slack[j] -= least;
            }
        }
        column = next;
    } while (m->row_of[column] != 0);
    do { /* turn the path around */
        size_t before = m->way[column];
        m->row_of[column] = m->row_of[before];
        column = before;
    } while (column != 0);
}

enum snug_status snug_best_match(const double *weights, size_t rows, size_t columns,
                                 const struct snug_allocator *allocator, size_t *match,
                                 double *total, struct snug_error *error)
{
    struct matching m = {.weights = weights, .stride = columns, .swapped = rows > columns};
    m.rows = m.swapped ? columns : rows;
    m.columns = m.swapped ? rows : columns;
    struct snug_arena arena;
    snug_arena_init(&arena, allocator);
    size_t places = m.columns + 1;
    m.row_potential = snug_arena_calloc(&arena, m.rows + 1, sizeof *m.row_potential);
    m.column_potential = snug_arena_calloc(&arena, places, sizeof *m.column_potential);
    m.slack = snug_arena_calloc(&arena, places, sizeof *m.slack);
    m.row_of = snug_arena_calloc(&arena, places, sizeof *m.row_of);
    m.way = snug_arena_calloc(&arena, places, sizeof *m.way);
    m.used = snug_arena_calloc(&arena, places, sizeof *m.used);
    if (m.row_potential == NULL || m.column_potential == NULL || m.slack == NULL ||
        m.row_of == NULL || m.way == NULL || m.used == NULL) {
        snug_arena_free(&arena);
        return no_memory(error, places * sizeof *m.way);
    }
    for (size_t row = 1; row <= m.rows; row++)
        place_row(&m, row);
    for (size_t i = 0; i < rows; i++)
        match[i] = (size_t)-1;
    double sum = 0;
    for (size_t j = 1; j <= m.columns; j++) {
        if (m.row_of[j] == 0)
            continue;
        size_t row = m.swapped ? j - 1 : m.row_of[j] - 1,
               column = m.swapped ? m.row_of[j] - 1 : j - 1;
        match[row] = column;
        sum += weights[row * columns + column];
    }
    *total = sum;
    snug_arena_free(&arena);
    return SNUG_STATUS_OK;
}

/* ---- ANLS* ---- */

/* A score and the number of leaves it is out of. */
struct points {
    double score, leaves;
};

struct scorer {
    const struct snug_allocator *allocator;
    struct snug_error *error;
    enum snug_status status;
};

static struct points compare(struct scorer *scorer, const struct snug_anls_node *truth,
                             const struct snug_anls_node *answer, int depth);

static double leaves(const struct snug_anls_node *node, int depth)
{
    if (node->kind == SNUG_ANLS_KIND_NONE || node->kind == SNUG_ANLS_KIND_TEXT ||
        depth > SNUG_MAX_ANLS_DEPTH || node->count == 0)
        return 1;
    double sum = 0;
    for (size_t i = 0; i < node->count; i++)
        sum += leaves(&node->items[i], depth + 1);
    return node->kind == SNUG_ANLS_KIND_ANY ? leaves(&node->items[0], depth + 1) : sum;
}

static double ratio(struct points points)
{
    return points.leaves > 0 ? points.score / points.leaves : 0;
}

static struct points compare_lists(struct scorer *scorer, const struct snug_anls_node *truth,
                                   const struct snug_anls_node *answer, int depth)
{
    struct points sum = {0, 0};
    size_t rows = truth->count, columns = answer->count;
    struct snug_arena arena;
    snug_arena_init(&arena, scorer->allocator);
    bool match_all = rows <= SNUG_MAX_MATCHED_ITEMS && columns <= SNUG_MAX_MATCHED_ITEMS;
    size_t pairs = match_all ? rows * columns : 0;
    struct points *points = snug_arena_calloc(&arena, pairs + 1, sizeof *points);
    double *weights = snug_arena_calloc(&arena, pairs + 1, sizeof *weights);
    size_t *match = snug_arena_calloc(&arena, rows + 1, sizeof *match);
    bool *taken = snug_arena_calloc(&arena, columns + 1, sizeof *taken);
    if (points == NULL || weights == NULL || match == NULL || taken == NULL)
        scorer->status = no_memory(scorer->error, (pairs + 1) * sizeof *points);
    for (size_t i = 0; i < pairs && scorer->status == SNUG_STATUS_OK; i++) {
        points[i] =
            compare(scorer, &truth->items[i / columns], &answer->items[i % columns], depth + 1);
        weights[i] = ratio(points[i]);
    }
    double total;
    if (scorer->status == SNUG_STATUS_OK && match_all)
        scorer->status = snug_best_match(weights, rows, columns, scorer->allocator, match, &total,
                                         scorer->error);
    for (size_t i = 0; i < rows && scorer->status == SNUG_STATUS_OK; i++) {
        size_t with = match_all ? match[i] : i < columns ? i : (size_t)-1;
        struct points pair = {0, 0};
        if (with == (size_t)-1) {
            pair.leaves = leaves(&truth->items[i], depth + 1);
        } else {
            taken[with] = true;
            pair = match_all ? points[i * columns + with]
                             : compare(scorer, &truth->items[i], &answer->items[with], depth + 1);
        }
        sum.score += pair.score;
        sum.leaves += pair.leaves;
    }
    for (size_t j = 0; j < columns && scorer->status == SNUG_STATUS_OK; j++)
        if (!taken[j])
            sum.leaves += leaves(&answer->items[j], depth + 1);
    snug_arena_free(&arena);
    return sum;
}

static const struct snug_anls_node *find_key(const struct snug_anls_node *record, const char *key,
                                             size_t hint)
{
    if (hint < record->count && strcmp(record->items[hint].key, key) == 0)
        return &record->items[hint];
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->items[i].key, key) == 0)
            return &record->items[i];
    return NULL;
}

static struct points compare_records(struct scorer *scorer, const struct snug_anls_node *truth,
                                     const struct snug_anls_node *answer, int depth)
{
    struct points sum = {0, 0};
    for (size_t i = 0; i < truth->count; i++) {
        const struct snug_anls_node *other = find_key(answer, truth->items[i].key, i);
        struct points pair = {0, 0};
        if (other != NULL)
            pair = compare(scorer, &truth->items[i], other, depth + 1);
        else
            pair.leaves = leaves(&truth->items[i], depth + 1);
        sum.score += pair.score;
        sum.leaves += pair.leaves;
    }
    for (size_t i = 0; i < answer->count; i++)
        if (find_key(truth, answer->items[i].key, i) == NULL)
            sum.leaves += leaves(&answer->items[i], depth + 1);
    return sum;
}

static struct points compare(struct scorer *scorer, const struct snug_anls_node *truth,
                             const struct snug_anls_node *answer, int depth)
{
    struct points none = {0, 1};
    if (scorer->status != SNUG_STATUS_OK)
        return none;
    if (depth > SNUG_MAX_ANLS_DEPTH) {
        scorer->status = snug_error_set(scorer->error, SNUG_STATUS_LIMIT,
                                        "values nested deeper than %d", SNUG_MAX_ANLS_DEPTH);
        return none;
    }
    if (truth->kind == SNUG_ANLS_KIND_ANY) {
        struct points best = none;
        for (size_t i = 0; i < truth->count; i++) {
            struct points other = compare(scorer, &truth->items[i], answer, depth + 1);
            if (i == 0 || ratio(other) > ratio(best))
                best = other;
        }
        return best;
    }
    if (truth->kind != answer->kind) {
        double a = leaves(truth, depth), b = leaves(answer, depth);
        return (struct points){0, a > b ? a : b};
    }
    if (truth->kind == SNUG_ANLS_KIND_TEXT) {
        struct points points = none;
        scorer->status =
            snug_anls(truth->text, answer->text, scorer->allocator, &points.score, scorer->error);
        return points;
    }
    if (truth->kind == SNUG_ANLS_KIND_NONE || (truth->count == 0 && answer->count == 0))
        return (struct points){1, 1};
    return truth->kind == SNUG_ANLS_KIND_LIST ? compare_lists(scorer, truth, answer, depth)
                                              : compare_records(scorer, truth, answer, depth);
}

enum snug_status snug_anls_star(const struct snug_anls_node *truth,
                                const struct snug_anls_node *answer,
                                const struct snug_allocator *allocator, double *score,
                                struct snug_error *error)
{
    struct scorer scorer = {.allocator = allocator, .error = error, .status = SNUG_STATUS_OK};
    struct points points = compare(&scorer, truth, answer, 0);
    if (scorer.status == SNUG_STATUS_OK)
        *score = ratio(points);
    return scorer.status;
}
