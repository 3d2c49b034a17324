/* What the checkers of models share: one case while it runs, and comparing its tensors.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "model_case.h"

#include <math.h>
#include <stdio.h>

/* Quantised: |have - want| / |want| over a tensor. The golden models are random and a few dozen
 * channels wide, the worst there is; trained ones move less. */
#define TOLERANCE_Q8 0.08
#define TOLERANCE_Q4 0.6

static const char *kv_name(const struct model_case *c)
{
    return c->kv_dtype == SNUG_DTYPE_F32 ? "f32" : "f16";
}

const char *golden_case_line(const struct model_case *c, const char *tensor)
{
    static char text[256];
    snprintf(text, sizeof text, "%s %s %s %s", c->folder, c->name, kv_name(c), tensor);
    return text;
}

bool golden_case_catch(struct model_case *c, const char *name, const float *data, int64_t rows,
                       int64_t cols)
{
    struct caught *grown =
        snug_realloc_array(c->g->allocator, c->caught, c->caught_count + 1, sizeof *grown);
    if (!grown)
        return false;
    c->caught = grown;
    struct caught *new = &grown[c->caught_count];
    *new = (struct caught){.rows = rows, .cols = cols};
    snprintf(new->name, sizeof new->name, "%s", name);
    new->data = snug_alloc_array(c->g->allocator, (size_t)(rows * cols), sizeof *new->data);
    if (!new->data)
        return false;
    memcpy(new->data, data, (size_t)(rows * cols) * sizeof *data);
    c->caught_count++;
    return true;
}

const struct caught *golden_case_find(const struct model_case *c, const char *name)
{
    for (size_t i = 0; i < c->caught_count; i++)
        if (!strcmp(c->caught[i].name, name))
            return &c->caught[i];
    return NULL;
}

/* ---- comparing ---- */

double golden_case_largest(const float *data, int64_t count)
{
    double max = 0;
    for (int64_t i = 0; i < count; i++)
        max = fabs((double)data[i]) > max ? fabs((double)data[i]) : max;
    return max;
}

/* |have - want| / |want|. */
static void compare_quantized(struct model_case *c, const char *name, const float *have,
                              const float *want, int64_t count)
{
    double difference = 0, size = 0;
    double allowed = c->g->quantize == SNUG_QUANT_Q8 ? TOLERANCE_Q8 : TOLERANCE_Q4;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)have[i] - (double)want[i];
        difference += d * d;
        size += (double)want[i] * (double)want[i];
    }
    double relative = size > 0 ? sqrt(difference / size) : sqrt(difference);
    if (relative <= allowed)
        golden_pass(c->g, golden_case_line(c, name), "relative error %.3f %%", 100 * relative);
    else
        golden_fail(c->g, golden_case_line(c, name), "relative error %.3f %%, allowed %.0f %%",
                    100 * relative, 100 * allowed);
}

void golden_case_compare(struct model_case *c, const char *name, const float *have,
                         int64_t have_count, const float *want, int64_t count, double allowed)
{
    bool rope = !strncmp(name, "rope.", 5);
    double worst = 0;
    int64_t at = 0;
    if (have_count != count) {
        golden_fail(c->g, golden_case_line(c, name), "has %lld elements, the reference %lld",
                    (long long)have_count, (long long)count);
        return;
    }
    if (c->g->quantize != SNUG_QUANT_NONE && !rope) {
        compare_quantized(c, name, have, want, count);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double difference = fabs((double)have[i] - (double)want[i]);
        if (rope)
            difference /= fabs((double)want[i]);
        if (!(difference <= worst)) { /* a NaN counts as the worst */
            worst = difference;
            at = i;
        }
    }
    if (worst <= allowed)
        golden_pass(c->g, golden_case_line(c, name), "largest error %.3g, allowed %.3g", worst,
                    allowed);
    else
        golden_fail(c->g, golden_case_line(c, name),
                    "largest error %.3g, allowed %.3g: element %lld is %.9g, not %.9g", worst,
                    allowed, (long long)at, (double)have[at], (double)want[at]);
}

/* Reference values as f32; NULL after a golden_fail. */
float *golden_case_values(struct model_case *c, const char *name, int64_t *count)
{
    const struct snug_tensor_view *view = snug_safetensors_find(c->reference, name);
    if (!view || (view->dtype != SNUG_DTYPE_F32 && view->dtype != SNUG_DTYPE_F16 &&
                  view->dtype != SNUG_DTYPE_BF16)) {
        golden_fail(c->g, golden_case_line(c, name), "the reference has no such tensor of floats");
        return NULL;
    }
    float *values = snug_alloc_array(c->g->allocator, (size_t)view->elements + 1, sizeof *values);
    if (values) {
        snug_widen(view->dtype, view->data, view->elements, values);
        *count = view->elements;
    } else
        golden_fail(c->g, golden_case_line(c, name), "out of memory");
    return values;
}

/* ---- greedy ---- */

/* How many ids a quantised model shares with the reference, and how close the first other one was:
 * what separates the two logits, in standard deviations of all. */
static void report_greedy(struct model_case *c, const char *name, int64_t steps, int64_t wrong,
                          int64_t different, double margin)
{
    if (wrong < 0)
        golden_pass(c->g, golden_case_line(c, name), "%lld ids equal", (long long)steps);
    else if (c->g->quantize == SNUG_QUANT_Q4 || margin < 0.5)
        golden_pass(c->g, golden_case_line(c, name),
                    "%lld of %lld ids equal, the first %lld on end; there the two logits are %.4f "
                    "standard deviations apart",
                    (long long)(steps - different), (long long)steps, (long long)wrong, margin);
    else
        golden_fail(c->g, golden_case_line(c, name),
                    "the id of step %lld differs by %.4f standard deviations", (long long)wrong,
                    margin);
}

static double deviation(const float *logits, int64_t count)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)logits[i];
    for (int64_t i = 0; i < count; i++)
        squares +=
            ((double)logits[i] - sum / (double)count) * ((double)logits[i] - sum / (double)count);
    return sqrt(squares / (double)count);
}

enum snug_status golden_case_greedy(struct model_case *c, const char *name,
                                    struct snug_session *session, const float **logits,
                                    json_t *tokens, struct snug_error *error)
{
    int64_t steps = (int64_t)json_array_size(tokens), wrong = -1, found = -1, different = 0;
    int64_t vocabulary = c->model->config.text.vocabulary;
    double margin = 0;
    for (int64_t i = 0; i < steps; i++) {
        struct snug_logit_stats stats = {.count = vocabulary, .logits = *logits};
        SNUG_TRY(session->options.ops->logit_stats(&stats, session->options.pool));
        int64_t expected = json_integer_value(json_array_get(tokens, (size_t)i));
        different += stats.argmax != expected;
        if (stats.argmax != expected && wrong < 0) {
            wrong = i;
            found = stats.argmax;
            margin = ((double)(*logits)[found] - (double)(*logits)[expected]) /
                     deviation(*logits, vocabulary);
        }
        if (i + 1 < steps)
            SNUG_TRY(snug_session_step(session, (int32_t)expected, logits, error));
    }
    if (c->g->quantize != SNUG_QUANT_NONE)
        report_greedy(c, name, steps, wrong, different, margin);
    else if (wrong < 0)
        golden_pass(c->g, golden_case_line(c, name), "%lld ids equal", (long long)steps);
    else
        golden_fail(c->g, golden_case_line(c, name), "step %lld gives id %lld, not %lld",
                    (long long)wrong, (long long)found,
                    (long long)json_integer_value(json_array_get(tokens, (size_t)wrong)));
    return SNUG_STATUS_OK;
}

bool golden_case_read_ids(struct model_case *c)
{
    json_t *list = json_object_get(c->json, "input_ids"), *value;
    size_t i;
    c->count = (int64_t)json_array_size(list);
    c->ids = snug_alloc_array(c->g->allocator, (size_t)c->count + 1, sizeof *c->ids);
    if (!c->ids || !c->count)
        return false;
    json_array_foreach(list, i, value) c->ids[i] = (int32_t)json_integer_value(value);
    return true;
}

void golden_case_forget(struct model_case *c)
{
    for (size_t i = 0; i < c->caught_count; i++)
        snug_free(c->g->allocator, c->caught[i].data);
    snug_free(c->g->allocator, c->caught);
    c->caught = NULL;
    c->caught_count = 0;
}
