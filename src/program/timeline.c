/* A program's memory over its steps.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/timeline.h"

#include "device/device.h"

#include <stdlib.h>

const char *snug_use_name(enum snug_use use)
{
    static const char *const names[SNUG_USE_COUNT] = {"scratch", "features", "kv_cache", "staging"};
    return names[use];
}

static size_t aligned(size_t bytes)
{
    return (bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
}

static bool within_a_phase(const struct snug_program *program, const struct snug_operand *o)
{
    for (int p = 0; p < program->phase_count; p++) {
        const struct snug_phase *phase = &program->phases[p];
        if (o->first_step >= phase->first_step)
            if (o->last_step < phase->first_step + phase->step_count)
                return true;
    }
    return false;
}

/* Features that leave the space within the phase that makes them come and go like scratch. */
static enum snug_use use_of(const struct snug_program *program, int index)
{
    const struct snug_operand *o = &program->operands[index];
    if (o->kind != SNUG_OPERAND_KIND_STATE && o->kind != SNUG_OPERAND_KIND_LASTING)
        return SNUG_USE_SCRATCH;
    if (o->cache.heads)
        return SNUG_USE_CACHE;
    for (int s = 0; s < program->step_count; s++)
        for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
            if (program->steps[s].out[i] == index)
                return within_a_phase(program, o) ? SNUG_USE_SCRATCH : SNUG_USE_FEATURES;
    return SNUG_USE_STAGING; /* no step names it */
}

/* ---- the timeline ---- */

static void add_operand(struct snug_timeline *t, int index)
{
    const struct snug_operand *o = &t->program->operands[index];
    enum snug_use use = use_of(t->program, index);
    bool comes_and_goes = use == SNUG_USE_SCRATCH || use == SNUG_USE_STAGING;
    if (use != SNUG_USE_SCRATCH) {
        t->own_bytes[use] += aligned(o->bytes);
        t->own_requested[use] += o->bytes;
        t->own_count[use]++;
    }
    for (int s = o->first_step; s <= o->last_step; s++) {
        t->moments[s].bytes[use] += aligned(o->bytes);
        t->moments[s].live_bytes += aligned(o->bytes);
        t->moments[s].requested_bytes += o->bytes;
        t->moments[s].scratch_requested += comes_and_goes ? o->bytes : 0;
        t->moments[s].scratch_operands += comes_and_goes;
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct snug_operand *x = *(const struct snug_operand *const *)a,
                              *y = *(const struct snug_operand *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* sorted: the operands in the region by offset. */
static size_t largest_free(const struct snug_operand *const *sorted, size_t count, int step,
                           size_t region_bytes)
{
    size_t end = 0, most = 0;
    for (size_t i = 0; i < count; i++) {
        const struct snug_operand *o = sorted[i];
        if (step < o->first_step || step > o->last_step || !o->bytes)
            continue;
        most = o->offset - end > most ? o->offset - end : most;
        end = o->offset + aligned(o->bytes);
    }
    return region_bytes > end && region_bytes - end > most ? region_bytes - end : most;
}

static void find_peaks(struct snug_timeline *t)
{
    const struct snug_program *program = t->program;
    for (int p = 0; p < program->phase_count; p++) {
        const struct snug_phase *phase = &program->phases[p];
        t->phase_peak_step[p] = phase->first_step;
        for (int s = phase->first_step; s < phase->first_step + phase->step_count; s++) {
            const struct snug_moment *m = &t->moments[s];
            if (m->live_bytes > t->moments[t->phase_peak_step[p]].live_bytes)
                t->phase_peak_step[p] = s;
            if (m->live_bytes > t->moments[t->peak_step].live_bytes)
                t->peak_step = s;
            size_t scratch = m->bytes[SNUG_USE_SCRATCH] + m->bytes[SNUG_USE_STAGING];
            if (scratch <= t->phase_scratch_bytes[p])
                continue;
            t->phase_scratch_bytes[p] = scratch;
            t->phase_scratch_requested[p] = m->scratch_requested;
            t->phase_operands[p] = m->scratch_operands;
        }
    }
}

enum snug_status snug_timeline_make(const struct snug_program *program, size_t region_bytes,
                                    const struct snug_allocator *allocator,
                                    struct snug_timeline *out, struct snug_error *error)
{
    struct snug_timeline t = {
        .allocator = allocator, .program = program, .region_bytes = region_bytes};
    size_t count = 0, steps = (size_t)program->step_count;
    const struct snug_operand **sorted =
        snug_alloc_array(allocator, (size_t)program->operand_count, sizeof *sorted);
    t.moments = snug_calloc(allocator, steps, sizeof *t.moments);
    if (!sorted || !t.moments) {
        snug_free(allocator, sorted);
        snug_free(allocator, t.moments);
        return snug_error_memory(error, steps * sizeof *t.moments, "the plan's timeline");
    }
    for (int i = 0; i < program->operand_count; i++)
        if (snug_operand_lies_in_region(&program->operands[i])) {
            add_operand(&t, i);
            sorted[count++] = &program->operands[i];
        }
    qsort(sorted, count, sizeof *sorted, by_offset);
    for (int s = 0; s < program->step_count; s++)
        t.moments[s].largest_free = largest_free(sorted, count, s, region_bytes);
    find_peaks(&t);
    snug_free(allocator, sorted);
    *out = t;
    return SNUG_STATUS_OK;
}

void snug_timeline_free(struct snug_timeline *timeline)
{
    if (timeline->allocator)
        snug_free(timeline->allocator, timeline->moments);
    *timeline = (struct snug_timeline){0};
}

/* ---- dry runs ---- */

enum snug_status snug_dry_init(struct snug_dry *dry, const struct snug_program *program,
                               size_t region_bytes, const struct snug_allocator *allocator,
                               struct snug_error *error)
{
    *dry =
        (struct snug_dry){.allocator = allocator, .program = program, .region_bytes = region_bytes};
    for (int p = 0; p < program->phase_count; p++) {
        size_t units = (size_t)program->phases[p].max_units + 1;
        dry->reach[p] = snug_calloc(allocator, units, sizeof *dry->reach[p]);
        if (!dry->reach[p]) {
            snug_dry_free(dry);
            return snug_error_memory(error, units * sizeof *dry->reach[p], "a dry run");
        }
    }
    return SNUG_STATUS_OK;
}

void snug_dry_free(struct snug_dry *dry)
{
    for (int p = 0; dry->allocator && p < SNUG_MAX_PHASES; p++)
        snug_free(dry->allocator, dry->reach[p]);
    *dry = (struct snug_dry){0};
}

/* End of the highest byte of the region that a step names. */
static enum snug_status reach_of_step(const struct snug_dry *dry, int index, int64_t units,
                                      size_t *reach, struct snug_error *error)
{
    const struct snug_step *step = &dry->program->steps[index];
    for (int i = 0; i < SNUG_STEP_INPUTS + SNUG_STEP_OUTPUTS; i++) {
        int id = i < SNUG_STEP_INPUTS ? step->in[i] : step->out[i - SNUG_STEP_INPUTS];
        if (id < 0 || !snug_operand_lies_in_region(&dry->program->operands[id]))
            continue;
        const struct snug_operand *o = &dry->program->operands[id];
        size_t rows = (size_t)(o->rows_per_unit * units + o->fixed_rows);
        size_t bytes = rows * (size_t)o->cols * snug_dtype_size(o->dtype);
        if (bytes > o->bytes || o->offset > dry->region_bytes ||
            bytes > dry->region_bytes - o->offset)
            return snug_error_set(error, SNUG_STATUS_SHAPE,
                                  "step %d (%s): %s ends beyond the region", index,
                                  snug_op_kind_name(step->op), o->name);
        *reach = o->offset + bytes > *reach ? o->offset + bytes : *reach;
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_dry_run(struct snug_dry *dry, int phase, int64_t units,
                              struct snug_error *error)
{
    const struct snug_phase *p = &dry->program->phases[phase];
    SNUG_ASSERT(units >= 1 && units <= p->max_units);
    size_t *reach = &dry->reach[phase][units], now = 0;
    if (!*reach) {
        for (int s = p->first_step; s < p->first_step + p->step_count; s++)
            SNUG_TRY(reach_of_step(dry, s, units, &now, error));
        *reach = now;
    }
    dry->runs++;
    dry->steps += (uint64_t)p->step_count;
    dry->high_water = *reach > dry->high_water ? *reach : dry->high_water;
    return SNUG_STATUS_OK;
}
