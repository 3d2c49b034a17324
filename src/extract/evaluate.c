/* From cells to scores: sums by document and field, metrics as ratios of sums, intervals by drawing
 * documents.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/evaluate.h"

#include "extract/evaluate_internal.h"
#include "extract/normalise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS 10

enum metric {
    METRIC_EXACT,
    METRIC_NORMALISED,
    METRIC_PRECISION,
    METRIC_RECALL,
    METRIC_F1,
    METRIC_INVENTED,
    METRIC_ANLS,
    METRIC_ORIGINAL,
    METRIC_PLACE_F1,
    METRIC_MATCH_F1,
    METRIC_COUNT
};
/* Metrics of documents, after those of scopes. */
enum document_metric {
    DOCUMENT_ANLS_STAR,
    DOCUMENT_ALL_EXACT,
    DOCUMENT_ALL_NORMALISED,
    DOCUMENT_ECE,
    DOCUMENT_COVERAGE,
    DOCUMENT_COUNT
};

/* A value given with a confidence. */
struct confident {
    double confidence;
    size_t document;
    bool right;
};

struct evaluator {
    const struct snug_schema *schema;
    const struct snug_allocator *allocator;
    struct snug_evaluation *out;
    struct snug_error *error;
    bool *scored;   /* by field of the schema */
    size_t *fields; /* scored ones */
    size_t field_count, document_count;
    const struct snug_document **truth, **results; /* pairs */
    float *cells;                                  /* [documents, fields, SNUG_SUM_COUNT] */
    double *empty;           /* [fields + 1, SNUG_SUM_COUNT]: sums of an empty answer, "all" last */
    double *document_scores; /* [documents, 3] */
    double empty_scores[3];  /* sums over documents */
    struct confident *values;
    size_t value_count;
};

struct snug_evaluation_options snug_evaluation_options_default(void)
{
    return (struct snug_evaluation_options){.seed = 1, .resamples = 1000, .target_precision = 0.99};
}

/* ---- metrics ---- */

static double divide(double a, double b)
{
    return b > 0 ? a / b : (double)NAN;
}

static double f1(double right, double given, double there)
{
    return divide(2 * right, given + there);
}

static double metric(enum metric which, const double s[SNUG_SUM_COUNT])
{
    double cells = s[SNUG_SUM_PRESENT] + s[SNUG_SUM_ABSENT];
    double right = s[SNUG_SUM_PRESENT_NORMALISED];
    switch (which) {
    case METRIC_EXACT:
        return divide(s[SNUG_SUM_PRESENT_EXACT] + s[SNUG_SUM_ABSENT_RIGHT], cells);
    case METRIC_NORMALISED:
        return divide(right + s[SNUG_SUM_ABSENT_RIGHT], cells);
    case METRIC_PRECISION:
        return divide(right, s[SNUG_SUM_GIVEN]);
    case METRIC_RECALL:
        return divide(right, s[SNUG_SUM_PRESENT]);
    case METRIC_F1:
        return f1(right, s[SNUG_SUM_GIVEN], s[SNUG_SUM_PRESENT]);
    case METRIC_INVENTED:
        return divide(s[SNUG_SUM_ABSENT] - s[SNUG_SUM_ABSENT_RIGHT], s[SNUG_SUM_ABSENT]);
    case METRIC_ANLS:
        return divide(s[SNUG_SUM_ANLS], s[SNUG_SUM_PRESENT]);
    case METRIC_ORIGINAL:
        return divide(s[SNUG_SUM_ORIGINAL], cells);
    case METRIC_PLACE_F1:
        return f1(s[SNUG_SUM_ITEMS_PLACED], s[SNUG_SUM_ITEMS_GIVEN], s[SNUG_SUM_ITEMS_TRUE]);
    case METRIC_MATCH_F1:
        return f1(s[SNUG_SUM_ITEMS_MATCHED], s[SNUG_SUM_ITEMS_GIVEN], s[SNUG_SUM_ITEMS_TRUE]);
    case METRIC_COUNT:
        break;
    }
    return (double)NAN;
}

static struct snug_estimate *estimate_of(struct snug_scores *scores, enum metric which)
{
    struct snug_estimate *all[METRIC_COUNT] = {
        &scores->exact,        &scores->normalised, &scores->precision,
        &scores->recall,       &scores->f1,         &scores->invented,
        &scores->anls,         &scores->original,   &scores->list_place_f1,
        &scores->list_match_f1};
    return all[which];
}

static struct snug_estimate *document_estimate(struct snug_evaluation *out, int which)
{
    struct snug_estimate *all[DOCUMENT_COUNT] = {&out->anls_star, &out->all_exact,
                                                 &out->all_normalised, &out->ece, &out->coverage};
    return all[which];
}

/* weights: how often each document counts; NULL: once. values are sorted, most confident first. */
static double calibration_error(const struct evaluator *e, const uint32_t *weights)
{
    double counts[BINS] = {0}, confidence[BINS] = {0}, right[BINS] = {0}, all = 0, error = 0;
    for (size_t i = 0; i < e->value_count; i++) {
        const struct confident *value = &e->values[i];
        double weight = weights != NULL ? weights[value->document] : 1;
        int bin = (int)(value->confidence * BINS);
        bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
        counts[bin] += weight;
        confidence[bin] += weight * value->confidence;
        right[bin] += weight * value->right;
        all += weight;
    }
    for (int b = 0; b < BINS; b++)
        error += fabs(right[b] - confidence[b]);
    return divide(error, all);
}

static double coverage(const struct evaluator *e, const uint32_t *weights)
{
    double kept = 0, right = 0, best = 0;
    for (size_t i = 0; i < e->value_count; i++) {
        double weight = weights != NULL ? weights[e->values[i].document] : 1;
        kept += weight;
        right += weight * e->values[i].right;
        /* A threshold cannot part values of the same confidence. */
        bool last =
            i + 1 == e->value_count || e->values[i + 1].confidence < e->values[i].confidence;
        if (last && right >= e->out->options.target_precision * kept)
            best = kept;
    }
    return divide(best, kept);
}

/* ---- pairing ---- */

static enum snug_status no_memory(struct evaluator *e, size_t bytes)
{
    return snug_error_memory(e->error, bytes, "scores");
}

static enum snug_status pair_documents(struct evaluator *e, const struct snug_documents *truth,
                                       const struct snug_documents *results)
{
    struct snug_evaluation *out = e->out;
    e->truth = snug_arena_calloc(&out->arena, truth->count + 1, sizeof *e->truth);
    e->results = snug_arena_calloc(&out->arena, truth->count + 1, sizeof *e->results);
    if (e->truth == NULL || e->results == NULL)
        return no_memory(e, (truth->count + 1) * sizeof *e->truth);
    for (size_t i = 0; i < truth->count; i++) {
        const struct snug_document *result = snug_documents_find(results, truth->items[i].name);
        if (result == NULL) {
            if (out->missing++ == 0 &&
                (out->first_missing = snug_arena_strdup(&out->arena, truth->items[i].name)) == NULL)
                return no_memory(e, strlen(truth->items[i].name));
            continue;
        }
        e->truth[e->document_count] = &truth->items[i];
        e->results[e->document_count++] = result;
    }
    out->documents = e->document_count;
    out->extra = results->count - e->document_count;
    if (e->document_count == 0)
        return snug_error_set(
            e->error, SNUG_STATUS_USAGE,
            "no document is in both: %zu in the truth, %zu in the results (they are matched "
            "by the last part of their path)",
            truth->count, results->count);
    return SNUG_STATUS_OK;
}

/* Fields that the truth has; those no result was asked for are set aside, unless all results
 * failed. */
static enum snug_status choose_fields(struct evaluator *e, const struct snug_documents *truth,
                                      const struct snug_documents *results)
{
    size_t count = e->schema->field_count;
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || results->has_field[i];
    const char **not_asked = snug_arena_calloc(&e->out->arena, count, sizeof *not_asked);
    e->fields = snug_arena_calloc(&e->out->arena, count, sizeof *e->fields);
    e->scored = snug_arena_calloc(&e->out->arena, count, sizeof *e->scored);
    if (not_asked == NULL || e->fields == NULL || e->scored == NULL)
        return no_memory(e, count * sizeof *e->fields);
    for (size_t i = 0; i < count; i++) {
        if (!truth->has_field[i])
            continue;
        if (any && !results->has_field[i]) {
            not_asked[e->out->not_asked_count++] = e->schema->fields[i].name;
        } else {
            e->scored[i] = true;
            e->fields[e->field_count++] = i;
        }
    }
    e->out->not_asked = not_asked;
    e->out->field_count = e->field_count;
    if (e->field_count == 0)
        return snug_error_set(e->error, SNUG_STATUS_USAGE,
                              "truth and results have no field in common");
    return SNUG_STATUS_OK;
}

/* ---- cells ---- */

static bool right_cell(const double s[SNUG_SUM_COUNT])
{
    return s[SNUG_SUM_PRESENT_NORMALISED] > 0;
}

static enum snug_status score_document(struct evaluator *e, size_t document)
{
    const struct snug_document *truth = e->truth[document], *result = e->results[document];
    bool exact = true, normalised = true, any = false, empty_right = true;
    for (size_t f = 0; f < e->field_count; f++) {
        size_t index = e->fields[f];
        const struct snug_field *field = &e->schema->fields[index];
        const char *answer = result->values[index];
        double sums[SNUG_SUM_COUNT] = {0};
        enum snug_status status = snug_cell_score(field, e->schema->absent, truth->values[index],
                                                  answer, e->allocator, sums, e->error);
        if (status == SNUG_STATUS_OK)
            status = snug_cell_score(field, e->schema->absent, truth->values[index], NULL,
                                     e->allocator, &e->empty[f * SNUG_SUM_COUNT], e->error);
        if (status != SNUG_STATUS_OK)
            return status;
        for (int i = 0; i < SNUG_SUM_COUNT; i++)
            e->cells[(document * e->field_count + f) * SNUG_SUM_COUNT + (size_t)i] = (float)sums[i];
        exact = exact && (sums[SNUG_SUM_PRESENT_EXACT] > 0 || sums[SNUG_SUM_ABSENT_RIGHT] > 0);
        normalised = normalised && (right_cell(sums) || sums[SNUG_SUM_ABSENT_RIGHT] > 0);
        any = any || answer != NULL;
        empty_right = empty_right && truth->values[index] == NULL;
        if (answer != NULL && result->confidences != NULL && isfinite(result->confidences[index]))
            e->values[e->value_count++] =
                (struct confident){result->confidences[index], document, right_cell(sums)};
    }
    e->out->failed += result->failed;
    e->out->unread += !result->failed && !any;
    double *scores = &e->document_scores[document * 3];
    scores[DOCUMENT_ALL_EXACT] = exact;
    scores[DOCUMENT_ALL_NORMALISED] = normalised;
    e->empty_scores[DOCUMENT_ANLS_STAR] += empty_right;
    e->empty_scores[DOCUMENT_ALL_EXACT] += empty_right;
    e->empty_scores[DOCUMENT_ALL_NORMALISED] += empty_right;
    return snug_document_anls_star(e->schema, e->scored, truth->values, result->values,
                                   e->allocator, &scores[DOCUMENT_ANLS_STAR], e->error);
}

static int by_confidence(const void *left, const void *right)
{
    const struct confident *a = left, *b = right;
    if (a->confidence != b->confidence)
        return a->confidence > b->confidence ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

static enum snug_status score_all(struct evaluator *e)
{
    size_t cells = 0, bytes = 0;
    if (!snug_mul_size(e->document_count, e->field_count, &cells) ||
        !snug_mul_size(cells, SNUG_SUM_COUNT, &bytes))
        return no_memory(e, SIZE_MAX);
    struct snug_arena *arena = &e->out->arena;
    e->cells = snug_arena_calloc(arena, bytes, sizeof *e->cells);
    e->empty = snug_arena_calloc(arena, (e->field_count + 1) * SNUG_SUM_COUNT, sizeof *e->empty);
    e->document_scores =
        snug_arena_calloc(arena, e->document_count * 3, sizeof *e->document_scores);
    e->values = snug_arena_calloc(arena, cells, sizeof *e->values);
    if (e->cells == NULL || e->empty == NULL || e->document_scores == NULL || e->values == NULL)
        return no_memory(e, bytes * sizeof *e->cells);
    for (size_t d = 0; d < e->document_count; d++) {
        enum snug_status status = score_document(e, d);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    double *all = &e->empty[e->field_count * SNUG_SUM_COUNT];
    for (size_t f = 0; f < e->field_count; f++)
        for (int i = 0; i < SNUG_SUM_COUNT; i++)
            all[i] += e->empty[f * SNUG_SUM_COUNT + (size_t)i];
    qsort(e->values, e->value_count, sizeof *e->values, by_confidence);
    e->out->confident_values = e->value_count;
    return SNUG_STATUS_OK;
}

/* ---- sums and intervals ---- */

/* Sums over documents: sums [fields + 1, SNUG_SUM_COUNT], all of them last; documents: 3 means. */
static void add_up(const struct evaluator *e, const uint32_t *weights, double *sums,
                   double means[3])
{
    size_t width = e->field_count * SNUG_SUM_COUNT;
    double *all = &sums[width], documents = 0;
    memset(sums, 0, (width + SNUG_SUM_COUNT) * sizeof *sums);
    means[0] = means[1] = means[2] = 0;
    for (size_t d = 0; d < e->document_count; d++) {
        double weight = weights != NULL ? weights[d] : 1;
        if (weight == 0)
            continue;
        const float *cells = &e->cells[d * width];
        for (size_t i = 0; i < width; i++)
            sums[i] += weight * (double)cells[i];
        for (int i = 0; i < 3; i++)
            means[i] += weight * e->document_scores[d * 3 + (size_t)i];
        documents += weight;
    }
    for (size_t f = 0; f < e->field_count; f++)
        for (size_t i = 0; i < SNUG_SUM_COUNT; i++)
            all[i] += sums[f * SNUG_SUM_COUNT + i];
    for (int i = 0; i < 3; i++)
        means[i] = divide(means[i], documents);
}

static void set_values(struct evaluator *e, const double *sums, const double means[3])
{
    struct snug_evaluation *out = e->out;
    for (size_t f = 0; f <= e->field_count; f++) {
        struct snug_scores *scores = f < e->field_count ? &out->fields[f] : &out->all;
        const double *s = &sums[f * SNUG_SUM_COUNT];
        scores->name = f < e->field_count ? e->schema->fields[e->fields[f]].name : "all";
        scores->list = s[SNUG_SUM_ITEMS_TRUE] + s[SNUG_SUM_ITEMS_GIVEN] > 0;
        scores->present = (size_t)s[SNUG_SUM_PRESENT];
        scores->present_exact = (size_t)s[SNUG_SUM_PRESENT_EXACT];
        scores->present_normalised = (size_t)s[SNUG_SUM_PRESENT_NORMALISED];
        scores->absent = (size_t)s[SNUG_SUM_ABSENT];
        scores->absent_right = (size_t)s[SNUG_SUM_ABSENT_RIGHT];
        for (int m = 0; m < METRIC_COUNT; m++) {
            struct snug_estimate *estimate = estimate_of(scores, (enum metric)m);
            estimate->value = metric((enum metric)m, s);
            estimate->empty = metric((enum metric)m, &e->empty[f * SNUG_SUM_COUNT]);
            estimate->low = estimate->high = (double)NAN;
        }
    }
    for (int i = 0; i < DOCUMENT_COUNT; i++) {
        struct snug_estimate *estimate = document_estimate(out, i);
        estimate->low = estimate->high = (double)NAN;
        estimate->value = i < 3               ? means[i]
                          : i == DOCUMENT_ECE ? calibration_error(e, NULL)
                                              : coverage(e, NULL);
        estimate->empty = i < 3 ? e->empty_scores[i] / (double)e->document_count : (double)NAN;
    }
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The 2.5 % and 97.5 % quantiles of the defined ones among `draws`, between neighbours by
 * distance. */
static void set_interval(double *draws, size_t count, struct snug_estimate *estimate)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(draws[i]))
            draws[kept++] = draws[i];
    if (kept == 0)
        return;
    qsort(draws, kept, sizeof *draws, by_value);
    double quantiles[2];
    for (int side = 0; side < 2; side++) {
        double place = (side == 0 ? 0.025 : 0.975) * (double)(kept - 1);
        size_t below = (size_t)place;
        size_t above = below + 1 < kept ? below + 1 : below;
        quantiles[side] = draws[below] + (place - (double)below) * (draws[above] - draws[below]);
    }
    estimate->low = quantiles[0];
    estimate->high = quantiles[1];
}

static enum snug_status bootstrap(struct evaluator *e, double *sums)
{
    size_t resamples = (size_t)e->out->options.resamples;
    size_t metrics = (e->field_count + 1) * METRIC_COUNT + DOCUMENT_COUNT;
    struct snug_arena *arena = &e->out->arena;
    uint32_t *weights = snug_arena_calloc(arena, e->document_count, sizeof *weights);
    double *draws = snug_arena_calloc(arena, metrics * resamples, sizeof *draws);
    if (weights == NULL || draws == NULL)
        return no_memory(e, metrics * resamples * sizeof *draws);
    uint64_t state = e->out->options.seed;
    for (size_t r = 0; r < resamples; r++) {
        double means[3];
        memset(weights, 0, e->document_count * sizeof *weights);
        for (size_t i = 0; i < e->document_count;
             i++) /* at most 10^6 documents: 32 bits are plenty */
            weights[(splitmix64(&state) >> 32) * e->document_count >> 32]++;
        add_up(e, weights, sums, means);
        size_t at = 0;
        for (size_t f = 0; f <= e->field_count; f++)
            for (int m = 0; m < METRIC_COUNT; m++)
                draws[at++ * resamples + r] = metric((enum metric)m, &sums[f * SNUG_SUM_COUNT]);
        for (int i = 0; i < 3; i++)
            draws[at++ * resamples + r] = means[i];
        draws[at++ * resamples + r] = calibration_error(e, weights);
        draws[at++ * resamples + r] = coverage(e, weights);
    }
    size_t at = 0;
    for (size_t f = 0; f <= e->field_count; f++) {
        struct snug_scores *scores = f < e->field_count ? &e->out->fields[f] : &e->out->all;
        for (int m = 0; m < METRIC_COUNT; m++)
            set_interval(&draws[at++ * resamples], resamples, estimate_of(scores, (enum metric)m));
    }
    for (int i = 0; i < DOCUMENT_COUNT; i++)
        set_interval(&draws[at++ * resamples], resamples, document_estimate(e->out, i));
    return SNUG_STATUS_OK;
}

static enum snug_status evaluate(struct evaluator *e, const struct snug_documents *truth,
                                 const struct snug_documents *results)
{
    enum snug_status status = pair_documents(e, truth, results);
    if (status == SNUG_STATUS_OK)
        status = choose_fields(e, truth, results);
    if (status == SNUG_STATUS_OK)
        status = score_all(e);
    if (status != SNUG_STATUS_OK)
        return status;
    size_t width = (e->field_count + 1) * SNUG_SUM_COUNT;
    e->out->fields = snug_arena_calloc(&e->out->arena, e->field_count, sizeof *e->out->fields);
    double *sums = snug_arena_calloc(&e->out->arena, width, sizeof *sums), means[3];
    if (e->out->fields == NULL || sums == NULL)
        return no_memory(e, width * sizeof *sums);
    add_up(e, NULL, sums, means);
    set_values(e, sums, means);
    return e->out->options.resamples > 0 ? bootstrap(e, sums) : SNUG_STATUS_OK;
}

enum snug_status snug_evaluate(const struct snug_schema *schema, const struct snug_documents *truth,
                               const struct snug_documents *results,
                               const struct snug_evaluation_options *options,
                               const struct snug_allocator *allocator, struct snug_evaluation *out,
                               struct snug_error *error)
{
    if (options->resamples < 0 || options->resamples > SNUG_MAX_RESAMPLES ||
        !(options->target_precision >= 0 && options->target_precision <= 1))
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "resamples must be from 0 to %d, the target precision from 0 to 1",
                              SNUG_MAX_RESAMPLES);
    struct snug_evaluation evaluation = {.options = *options};
    snug_arena_init(&evaluation.arena, allocator);
    struct evaluator e = {
        .schema = schema, .allocator = allocator, .out = &evaluation, .error = error};
    enum snug_status status = evaluate(&e, truth, results);
    if (status != SNUG_STATUS_OK)
        snug_evaluation_free(&evaluation);
    else
        *out = evaluation;
    return status;
}

void snug_evaluation_free(struct snug_evaluation *evaluation)
{
    if (evaluation->arena.allocator != NULL)
        snug_arena_free(&evaluation->arena);
    *evaluation = (struct snug_evaluation){0};
}
