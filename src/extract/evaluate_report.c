/* Scores as text and as JSON.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/evaluate.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

/* "93.3", or "-" where undefined, right-aligned in `width`. */
static const char *percent(double value, int width, char out[16])
{
    if (isnan(value))
        snprintf(out, 16, "%*s", width, "-");
    else
        snprintf(out, 16, "%*.1f", width, value * 100);
    return out;
}

/* "88.1-97.0", or nothing where undefined. */
static const char *interval(const struct snug_estimate *estimate, int width, char out[32])
{
    char text[32] = "";
    if (!isnan(estimate->low))
        snprintf(text, sizeof text, "%.1f-%.1f", estimate->low * 100, estimate->high * 100);
    snprintf(out, 32, "%*.20s", width, text);
    return out;
}

void snug_evaluation_put_line(const struct snug_evaluation *evaluation, struct snug_text *out)
{
    const struct snug_scores *all = &evaluation->all;
    char present[16], absent[16], empty[16];
    snug_text_printf(
        out, "accuracy: present %s %% (%zu/%zu), absent %s %% (%zu/%zu), empty baseline %s %%",
        percent(share(all->present_exact, all->present), 0, present), all->present_exact,
        all->present, percent(share(all->absent_right, all->absent), 0, absent), all->absent_right,
        all->absent, percent(all->exact.empty, 0, empty));
}

static void put_score(const char *name, const struct snug_estimate *estimate, struct snug_text *out)
{
    char value[16], empty[16], range[32];
    snug_text_printf(out, "  %-35s %6s   %15s %14s\n", name, percent(estimate->value, 6, value),
                     interval(estimate, 15, range), percent(estimate->empty, 14, empty));
}

static void put_totals(const struct snug_evaluation *e, struct snug_text *out)
{
    char name[64];
    snug_text_puts(out,
                   "  score, in %                          value   95 % interval   empty answer\n");
    put_score("exact", &e->all.exact, out);
    put_score("normalised", &e->all.normalised, out);
    put_score("precision of values", &e->all.precision, out);
    put_score("recall of values", &e->all.recall, out);
    put_score("F1 of values", &e->all.f1, out);
    put_score("invented values (less is better)", &e->all.invented, out);
    put_score("ANLS of values", &e->all.anls, out);
    put_score("ANLS* of documents", &e->anls_star, out);
    if (e->all.list) {
        put_score("list items, by place, F1", &e->all.list_place_f1, out);
        put_score("list items, best match, F1", &e->all.list_match_f1, out);
    }
    put_score("documents all exact", &e->all_exact, out);
    put_score("documents all normalised", &e->all_normalised, out);
    if (e->confident_values > 0) {
        put_score("calibration error (less is better)", &e->ece, out);
        snprintf(name, sizeof name, "kept at %.4g %% precision", e->options.target_precision * 100);
        put_score(name, &e->coverage, out);
    }
    put_score("the earlier system's own score", &e->all.original, out);
}

static void put_field(const struct snug_scores *field, struct snug_text *out)
{
    char exact[16], empty[16], normal[16], f1[16], present[32], absent[32], range[32];
    snprintf(present, sizeof present, "%zu/%zu", field->present_exact, field->present);
    snprintf(absent, sizeof absent, "%zu/%zu", field->absent_right, field->absent);
    int width = (int)strlen(field->name);
    snug_text_printf(out, "  %s", field->name);
    if (width > 20)
        snug_text_puts(out, "\n  ");
    snug_text_printf(out, "%*s %8.20s %8.20s %6s %11s %6s %6s %6s\n", width > 20 ? 20 : 20 - width,
                     "", present, absent, percent(field->exact.value, 6, exact),
                     interval(&field->exact, 11, range), percent(field->exact.empty, 6, empty),
                     percent(field->normalised.value, 6, normal), percent(field->f1.value, 6, f1));
}

void snug_evaluation_put_text(const struct snug_evaluation *e, struct snug_text *out)
{
    snug_text_printf(out, "%zu document%s scored, %zu fields", e->documents,
                     e->documents == 1 ? "" : "s", e->field_count);
    if (e->failed > 0)
        snug_text_printf(out, "; %zu failed", e->failed);
    if (e->unread > 0)
        snug_text_printf(out, "; %zu without any value", e->unread);
    snug_text_putc(out, '\n');
    if (e->missing > 0)
        snug_text_printf(out, "not scored: %zu in the truth without a result (first: %.40s)\n",
                         e->missing, e->first_missing);
    if (e->extra > 0)
        snug_text_printf(out, "not scored: %zu results that the truth does not know\n", e->extra);
    if (e->not_asked_count > 0)
        snug_text_printf(out, "not scored: %zu fields of the truth that were not asked for\n",
                         e->not_asked_count);
    snug_text_putc(out, '\n');
    put_totals(e, out);
    snug_text_puts(
        out,
        "\n  field                 present   absent  exact    interval  empty normal     F1\n");
    for (size_t i = 0; i < e->field_count; i++)
        put_field(&e->fields[i], out);
    if (e->options.resamples > 0)
        snug_text_printf(
            out,
            "\nIntervals: 95 %%, percentile bootstrap over documents, %d resamples, seed "
            "%llu.\nempty: what an answer without any value scores.\n",
            e->options.resamples, (unsigned long long)e->options.seed);
    snug_text_putc(out, '\n');
    snug_evaluation_put_line(e, out);
    snug_text_putc(out, '\n');
}

/* ---- JSON ---- */

static void put_estimate(const char *name, const struct snug_estimate *estimate,
                         struct snug_text *out)
{
    const double values[] = {estimate->value, estimate->low, estimate->high, estimate->empty};
    static const char *const names[] = {"value", "low", "high", "empty"};
    snug_text_printf(out, ", \"%s\": {", name);
    for (int i = 0; i < 4; i++) {
        snug_text_printf(out, "%s\"%s\": ", i > 0 ? ", " : "", names[i]);
        snug_json_put_double(out, values[i]);
    }
    snug_text_putc(out, '}');
}

static void put_scores(const struct snug_scores *s, struct snug_text *out)
{
    snug_text_puts(out, "{\"name\": ");
    snug_json_put_string(out, s->name);
    snug_text_printf(
        out,
        ", \"present\": %zu, \"present_exact\": %zu, \"present_normalised\": %zu, \"absent\": %zu, "
        "\"absent_right\": %zu",
        s->present, s->present_exact, s->present_normalised, s->absent, s->absent_right);
    put_estimate("exact", &s->exact, out);
    put_estimate("normalised", &s->normalised, out);
    put_estimate("precision", &s->precision, out);
    put_estimate("recall", &s->recall, out);
    put_estimate("f1", &s->f1, out);
    put_estimate("invented", &s->invented, out);
    put_estimate("anls", &s->anls, out);
    put_estimate("list_place_f1", &s->list_place_f1, out);
    put_estimate("list_match_f1", &s->list_match_f1, out);
    put_estimate("original", &s->original, out);
    snug_text_putc(out, '}');
}

void snug_evaluation_put_json(const struct snug_evaluation *e, struct snug_text *out)
{
    snug_text_printf(
        out,
        "{\"documents\": %zu, \"missing\": %zu, \"extra\": %zu, \"failed\": %zu, \"unread\": %zu, "
        "\"resamples\": %d, \"seed\": %llu, \"confident_values\": %zu, \"target_precision\": ",
        e->documents, e->missing, e->extra, e->failed, e->unread, e->options.resamples,
        (unsigned long long)e->options.seed, e->confident_values);
    snug_json_put_double(out, e->options.target_precision);
    snug_text_puts(out, ", \"not_asked\": [");
    for (size_t i = 0; i < e->not_asked_count; i++) {
        snug_text_puts(out, i > 0 ? ", " : "");
        snug_json_put_string(out, e->not_asked[i]);
    }
    snug_text_puts(out, "], \"all\": ");
    put_scores(&e->all, out);
    put_estimate("anls_star", &e->anls_star, out);
    put_estimate("all_exact", &e->all_exact, out);
    put_estimate("all_normalised", &e->all_normalised, out);
    put_estimate("ece", &e->ece, out);
    put_estimate("coverage", &e->coverage, out);
    snug_text_puts(out, ", \"fields\": [");
    for (size_t i = 0; i < e->field_count; i++) {
        snug_text_puts(out, i > 0 ? ", " : "");
        put_scores(&e->fields[i], out);
    }
    snug_text_puts(out, "]}\n");
}
