/* Comparing a device with the reference.
 *
 *     variants     of the steps that the device is to run
 *     trial        a small program of them, built twice: for the host, and for the device
 *     run          with 3 units, then with 1; the same numbers go into both
 *     compare      every result, whole, by memcmp
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/validate.h"

#include "program/transfer.h"
#include "program/trial.h"

#include <stdio.h>

#define DEVICE_SPACE 1 /* of the trial, whichever it is of the model's program */

struct validation {
    const struct snug_device *device;
    const struct snug_ops *ops;
    struct snug_pool *pool;
    const struct snug_allocator *allocator;
    struct snug_variant *variants;
    int variant_count;
    struct snug_trial host, there; /* the same program, with its own places for operands */
    struct snug_placed host_placed, placed;
    unsigned char *compute, *home; /* of `placed` */
    unsigned char *memory;         /* the host's operands, then the weights */
    struct snug_region pinned;     /* what the device's run has on the host, then the weights */
    struct snug_region region;     /* the device's operands, then the weights */
};

static size_t aligned(size_t bytes)
{
    return (bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
}

/* ---- making ---- */

static unsigned char *host_base(const struct validation *v)
{
    uintptr_t address = (uintptr_t)v->memory;
    return v->memory + (aligned(address) - address);
}

static enum snug_status place(struct validation *v, struct snug_error *error)
{
    size_t operands = (size_t)v->there.program.operand_count;
    size_t steps = (size_t)v->there.program.step_count;
    v->home = snug_alloc(v->allocator, operands);
    v->compute = snug_alloc(v->allocator, steps);
    if (!v->home || !v->compute)
        return snug_error_memory(error, operands + steps, "a device's warm-up");
    memset(v->home, DEVICE_SPACE, operands);
    memset(v->compute, DEVICE_SPACE, steps);
    const struct snug_placement on_host = {.spaces = 1};
    const struct snug_placement on_device = {
        .spaces = DEVICE_SPACE + 1, .home = v->home, .compute = v->compute};
    SNUG_TRY(snug_program_finish(&v->host.program, error));
    SNUG_TRY(snug_program_finish(&v->there.program, error));
    SNUG_TRY(snug_placed_make(&v->host.program, &on_host, v->allocator, &v->host_placed, error));
    return snug_placed_make(&v->there.program, &on_device, v->allocator, &v->placed, error);
}

/* Where the weights begin in each of the three. */
static size_t weights_at(const struct snug_placed *placed, int space)
{
    return aligned(placed->peak_bytes[space]);
}

static enum snug_status take(struct validation *v, struct snug_error *error)
{
    size_t weights = v->host.weight_bytes;
    size_t bytes = weights_at(&v->host_placed, SNUG_SPACE_HOST) + weights + SNUG_REGION_ALIGNMENT;
    v->memory = snug_alloc(v->allocator, bytes);
    if (!v->memory)
        return snug_error_memory(error, bytes, "a device's warm-up");
    SNUG_TRY(v->device->take_host(v->device, weights_at(&v->placed, SNUG_SPACE_HOST) + weights,
                                  &v->pinned, error));
    return v->device->take(v->device, weights_at(&v->placed, DEVICE_SPACE) + weights, &v->region,
                           error);
}

static enum snug_status load_weights(struct validation *v, struct snug_error *error)
{
    size_t bytes = v->host.weight_bytes;
    unsigned char *on_host = host_base(v) + weights_at(&v->host_placed, SNUG_SPACE_HOST);
    unsigned char *from = v->pinned.base + weights_at(&v->placed, SNUG_SPACE_HOST);
    unsigned char *to = v->region.base + weights_at(&v->placed, DEVICE_SPACE);
    const struct snug_copy copy = snug_copy_whole(SNUG_DIRECTION_TO_DEVICE, to, from, bytes);
    uint64_t ticket;
    snug_trial_place_weights(&v->host, on_host);
    snug_trial_place_weights(&v->there, to);
    if (!bytes)
        return SNUG_STATUS_OK;
    snug_trial_fill_weights(&v->host, on_host);
    memcpy(from, on_host, bytes);
    SNUG_TRY(v->device->copy(v->device, &copy, &ticket, error));
    return v->device->join(v->device, ticket, error);
}

/* ---- running ---- */

/* A result that differs: how many values, and the first of them. */
struct difference {
    int64_t count, values, first;
};

static struct difference differ(const unsigned char *have, const unsigned char *want, int64_t count,
                                size_t size)
{
    struct difference d = {.values = count};
    for (int64_t i = count - 1; i >= 0; i--)
        if (memcmp(have + (size_t)i * size, want + (size_t)i * size, size)) {
            d.count++;
            d.first = i;
        }
    return d;
}

/* A value as digits that tell its bits apart. */
static void print_value(enum snug_dtype dtype, const unsigned char *data, int64_t index,
                        char out[32])
{
    size_t size = snug_dtype_size(dtype);
    float value;
    if (dtype == SNUG_DTYPE_U8) {
        snprintf(out, 32, "%d", data[index]);
        return;
    }
    snug_widen(dtype, data + (size_t)index * size, 1, &value);
    snprintf(out, 32, "%.9g", (double)value);
}

static bool is_zero(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

static enum snug_status compare(const struct snug_executor *host, const struct snug_executor *there,
                                const struct snug_trial *trial, const struct snug_run *run,
                                int step, int operand, struct snug_error *error)
{
    const struct snug_operand *o = &trial->program.operands[operand];
    const unsigned char *want = snug_executor_operand(host, operand);
    const unsigned char *have = snug_executor_operand(there, operand);
    int64_t values = snug_run_rows(o, run) * o->cols;
    size_t size = snug_dtype_size(o->dtype), bytes = (size_t)values * size;
    char name[SNUG_VARIANT_NAME_BYTES], is[32], should[32];
    snug_variant_name(trial->of_step[step], name);
    if (is_zero(want, bytes))
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "op %s: the reference gives zeros alone, which shows nothing; the "
                              "device is not used",
                              name);
    if (!memcmp(have, want, bytes))
        return SNUG_STATUS_OK;
    struct difference d = differ(have, want, values, size);
    print_value(o->dtype, have, d.first, is);
    print_value(o->dtype, want, d.first, should);
    return snug_error_set(error, SNUG_STATUS_DEVICE,
                          "op %s: gives other bits than the reference (%lld of %lld values, first: "
                          "%s instead of %s); the device is not used",
                          name, (long long)d.count, (long long)d.values, is, should);
}

/* The same numbers into both: into every operand that is no weight. */
static void fill(const struct snug_executor *host, const struct snug_executor *there,
                 const struct snug_trial *trial, const struct snug_run *run, uint32_t seed)
{
    const struct snug_phase *phase = &trial->program.phases[run->phase];
    for (int i = 0; i < trial->program.operand_count; i++) {
        const struct snug_operand *o = &trial->program.operands[i];
        if (o->kind == SNUG_OPERAND_KIND_WEIGHT || o->first_step < phase->first_step ||
            o->first_step >= phase->first_step + phase->step_count)
            continue;
        int64_t rows = snug_run_rows(o, run);
        unsigned char *to = snug_executor_operand(host, i);
        snug_trial_fill(trial, i, rows, seed, to);
        memcpy(snug_executor_operand(there, i), to,
               (size_t)(rows * o->cols) * snug_dtype_size(o->dtype));
    }
}

static enum snug_status run_both(const struct snug_executor *host,
                                 const struct snug_executor *there, const struct snug_trial *trial,
                                 int phase, int64_t units, struct snug_error *error)
{
    const struct snug_phase *p = &trial->program.phases[phase];
    struct snug_run run = snug_trial_run(phase, units), again = run;
    fill(host, there, trial, &run, (uint32_t)(phase * 8 + units));
    SNUG_TRY(snug_execute(host, &run, error));
    SNUG_TRY(snug_execute(there, &again, error));
    for (int s = p->first_step; s < p->first_step + p->step_count; s++)
        for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
            if (trial->program.steps[s].out[i] >= 0)
                SNUG_TRY(
                    compare(host, there, trial, &run, s, trial->program.steps[s].out[i], error));
    if (run.kv_non_finite == again.kv_non_finite && run.state_non_finite == again.state_non_finite)
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_DEVICE,
                          "op %s: sees values that are not finite where the reference sees none; "
                          "the device is not used",
                          snug_op_kind_name(run.kv_non_finite == again.kv_non_finite
                                                ? SNUG_OP_KIND_STORE_ROWS
                                                : SNUG_OP_KIND_KV_STORE));
}

static enum snug_status run_all(const struct validation *v, struct snug_error *error)
{
    const struct snug_executor host = {.program = &v->host.program,
                                       .placed = &v->host_placed,
                                       .regions = {host_base(v)},
                                       .ops = snug_ops_ref(),
                                       .pool = v->pool,
                                       .allocator = v->allocator};
    const struct snug_executor there = {.program = &v->there.program,
                                        .placed = &v->placed,
                                        .devices = {NULL, v->device},
                                        .regions = {v->pinned.base, v->region.base},
                                        .ops = v->ops,
                                        .pool = v->pool,
                                        .allocator = v->allocator};
    for (int phase = 0; phase < v->host.program.phase_count; phase++)
        for (int64_t units = v->host.program.phases[phase].max_units;; units = 1) {
            SNUG_TRY(run_both(&host, &there, &v->host, phase, units, error));
            if (units == 1)
                break;
        }
    return SNUG_STATUS_OK;
}

/* ---- all of it ---- */

static enum snug_status validate(struct validation *v, struct snug_error *error)
{
    SNUG_TRY(snug_trial_build(v->variants, v->variant_count, v->allocator, &v->host, error));
    SNUG_TRY(snug_trial_build(v->variants, v->variant_count, v->allocator, &v->there, error));
    SNUG_TRY(place(v, error));
    SNUG_TRY(take(v, error));
    SNUG_TRY(load_weights(v, error));
    return run_all(v, error);
}

static void release(struct validation *v)
{
    v->device->give(v->device, &v->region);
    v->device->give_host(v->device, &v->pinned);
    snug_placed_free(&v->placed);
    snug_placed_free(&v->host_placed);
    snug_trial_free(&v->there);
    snug_trial_free(&v->host);
    snug_free(v->allocator, v->memory);
    snug_free(v->allocator, v->compute);
    snug_free(v->allocator, v->home);
    snug_free(v->allocator, v->variants);
}

enum snug_status snug_validate_device(const struct snug_program *program,
                                      const struct snug_placed *placed, int space,
                                      const struct snug_device *device, const struct snug_ops *ops,
                                      struct snug_pool *pool,
                                      const struct snug_allocator *allocator,
                                      struct snug_error *error)
{
    struct validation v = {.device = device, .ops = ops, .pool = pool, .allocator = allocator};
    SNUG_ASSERT(space > SNUG_SPACE_HOST && space < placed->spaces);
    if (device->dry)
        return SNUG_STATUS_OK;
    SNUG_ASSERT(!device->host);
    enum snug_status status =
        snug_variants_find(program, placed, space, allocator, &v.variants, &v.variant_count, error);
    if (!status && v.variant_count)
        status = validate(&v, error);
    release(&v);
    return status;
}
