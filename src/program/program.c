/* Building a program, and where its operands lie.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include "device/device.h"
#include "memory/plan.h"

#include <stdarg.h>
#include <stdio.h>

const char *snug_op_kind_name(enum snug_op_kind op)
{
    static const char *const names[SNUG_OP_KIND_COUNT] = {
        "patches",       "vision_embed", "drop_cls", "pixel_shuffle", "store_rows",
        "store_columns", "pad_rows",     "add_rows", "embed",         "layer_norm",
        "rms_norm",      "quantize",     "linear",   "rope",          "kv_store",
        "attention",     "gelu",         "silu_mul", "residual",      "last_row"};
    return (unsigned)op < SNUG_OP_KIND_COUNT ? names[op] : "?";
}

void snug_program_init(struct snug_program *program, const struct snug_allocator *allocator)
{
    *program = (struct snug_program){.allocator = allocator};
    snug_arena_init(&program->arena, allocator);
}

void snug_program_free(struct snug_program *program)
{
    if (!program->allocator)
        return;
    snug_free(program->allocator, program->operands);
    snug_free(program->allocator, program->steps);
    snug_arena_free(&program->arena);
    *program = (struct snug_program){0};
}

static struct snug_operand *new_operand(struct snug_program *program, int *index)
{
    if (program->operand_count == program->operand_capacity) {
        int capacity = program->operand_capacity ? 2 * program->operand_capacity : 64;
        struct snug_operand *grown = snug_realloc_array(program->allocator, program->operands,
                                                        (size_t)capacity, sizeof *grown);
        if (!grown) {
            program->out_of_memory = true;
            return NULL;
        }
        program->operands = grown;
        program->operand_capacity = capacity;
    }
    *index = program->operand_count++;
    return &program->operands[*index];
}

int snug_program_operand(struct snug_program *program, enum snug_operand_kind kind,
                         enum snug_dtype dtype, int64_t rows_per_unit, int64_t fixed_rows,
                         int64_t cols, const char *name, ...)
{
    char text[96];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);

    SNUG_ASSERT(program->phase_count > 0);
    int64_t units = program->phases[program->phase_count - 1].max_units, rows, elements;
    size_t bytes;
    if (__builtin_mul_overflow(rows_per_unit, units, &rows) ||
        __builtin_add_overflow(rows, fixed_rows, &rows) ||
        __builtin_mul_overflow(rows, cols, &elements) || elements < 0 ||
        !snug_mul_size((size_t)elements, snug_dtype_size(dtype), &bytes)) {
        program->overflow = true;
        return -1;
    }
    int index;
    const char *copy = snug_arena_strdup(&program->arena, text);
    if (!copy)
        program->out_of_memory = true;
    /* After the name: an operand that is there is whole. */
    struct snug_operand *operand = copy ? new_operand(program, &index) : NULL;
    if (!operand)
        return -1;
    *operand = (struct snug_operand){.name = copy,
                                     .kind = kind,
                                     .dtype = dtype,
                                     .rows_per_unit = rows_per_unit,
                                     .fixed_rows = fixed_rows,
                                     .cols = cols,
                                     .bytes = bytes,
                                     .first_step = -1,
                                     .last_step = -1};
    return index;
}

int snug_program_weight(struct snug_program *program, const char *name, enum snug_dtype dtype,
                        enum snug_quant quant, const void *weight, size_t bytes)
{
    int index;
    struct snug_operand *operand = new_operand(program, &index);
    if (!operand)
        return -1;
    *operand = (struct snug_operand){.name = name,
                                     .kind = SNUG_OPERAND_KIND_WEIGHT,
                                     .dtype = dtype,
                                     .fixed_rows = 1,
                                     .bytes = bytes,
                                     .weight = weight,
                                     .quant = quant,
                                     .first_step = -1,
                                     .last_step = -1};
    return index;
}

void snug_program_phase(struct snug_program *program, const char *name, int64_t max_units)
{
    SNUG_ASSERT(program->phase_count < SNUG_MAX_PHASES && max_units > 0);
    program->phases[program->phase_count++] = (struct snug_phase){
        .name = name, .max_units = max_units, .first_step = program->step_count};
}

static _Thread_local struct snug_step dummy; /* written and forgotten after a failure */

struct snug_step *snug_program_last_step(struct snug_program *program)
{
    return program->step_count ? &program->steps[program->step_count - 1] : &dummy;
}

struct snug_step *snug_program_step(struct snug_program *program, enum snug_op_kind op)
{
    struct snug_step *step = &dummy;
    if (program->step_count == program->step_capacity) {
        int capacity = program->step_capacity ? 2 * program->step_capacity : 64;
        struct snug_step *grown =
            snug_realloc_array(program->allocator, program->steps, (size_t)capacity, sizeof *grown);
        if (!grown)
            program->out_of_memory = true;
        else {
            program->steps = grown;
            program->step_capacity = capacity;
        }
    }
    if (program->step_count < program->step_capacity) {
        step = &program->steps[program->step_count++];
        program->phases[program->phase_count - 1].step_count++;
    }
    *step = (struct snug_step){
        .op = op, .unit = program->unit, .in = {-1, -1, -1, -1, -1, -1}, .out = {-1, -1}};
    return step;
}

/* Ops that read what they write: the operand must hold something before. */
static bool writes_in_place(enum snug_op_kind op)
{
    return op == SNUG_OP_KIND_ROPE || op == SNUG_OP_KIND_RESIDUAL || op == SNUG_OP_KIND_ADD_ROWS;
}

static void touch(struct snug_operand *operand, int step)
{
    if (operand->first_step < 0 || step < operand->first_step)
        operand->first_step = step;
    if (step > operand->last_step)
        operand->last_step = step;
}

static void stretch(const struct snug_program *program, struct snug_operand *operand,
                    const struct snug_phase *phase)
{
    if (operand->kind == SNUG_OPERAND_KIND_LASTING) {
        touch(operand, 0);
        touch(operand, program->step_count - 1);
    }
    if (operand->kind == SNUG_OPERAND_KIND_STATE || operand->kind == SNUG_OPERAND_KIND_INPUT) {
        touch(operand, phase->first_step);
        touch(operand, phase->first_step + phase->step_count - 1);
    }
}

static enum snug_status finish_step(struct snug_program *program, const struct snug_phase *phase,
                                    int index, struct snug_error *error)
{
    const struct snug_step *step = &program->steps[index];
    for (int i = 0; i < SNUG_STEP_INPUTS + SNUG_STEP_OUTPUTS; i++) {
        bool is_output = i >= SNUG_STEP_INPUTS;
        int id = is_output ? step->out[i - SNUG_STEP_INPUTS] : step->in[i];
        if (id < 0)
            continue;
        struct snug_operand *operand = &program->operands[id];
        bool reads = !is_output || writes_in_place(step->op);
        if (operand->kind == SNUG_OPERAND_KIND_SCRATCH && reads &&
            (operand->first_step < phase->first_step || operand->first_step >= index))
            return snug_error_set(error, SNUG_STATUS_SHAPE,
                                  "program: step %d (%s) reads %s before anything wrote it", index,
                                  snug_op_kind_name(step->op), operand->name);
        touch(operand, index);
        stretch(program, operand, phase);
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_program_finish(struct snug_program *program, struct snug_error *error)
{
    if (program->out_of_memory)
        return snug_error_memory(error, sizeof(struct snug_step) * (size_t)program->step_count,
                                 "the model's program");
    if (program->overflow)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "program: an operand's size overflows");
    for (int p = 0; p < program->phase_count; p++) {
        const struct snug_phase *phase = &program->phases[p];
        for (int s = 0; s < phase->step_count; s++) {
            enum snug_status status = finish_step(program, phase, phase->first_step + s, error);
            if (status)
                return status;
        }
    }
    return SNUG_STATUS_OK;
}

const char *snug_step_name(const struct snug_program *program, const struct snug_step *step)
{
    return step->label ? step->label : program->operands[step->out[0]].name;
}

int snug_program_find(const struct snug_program *program, const char *name)
{
    for (int i = 0; i < program->operand_count; i++)
        if (!strcmp(program->operands[i].name, name))
            return i;
    return -1;
}

enum snug_status snug_layout_make(struct snug_program *program, size_t *peak_bytes,
                                  size_t *lower_bound_bytes, struct snug_error *error)
{
    struct snug_plan plan = {0};
    size_t count = 0;
    struct snug_interval *intervals =
        snug_alloc_array(program->allocator, (size_t)program->operand_count, sizeof *intervals);
    if (!intervals)
        return snug_error_memory(error, (size_t)program->operand_count * sizeof *intervals,
                                 "the memory plan");
    for (int i = 0; i < program->operand_count; i++)
        if (snug_operand_lies_in_region(&program->operands[i]))
            intervals[count++] = (struct snug_interval){.bytes = program->operands[i].bytes,
                                                        .first = program->operands[i].first_step,
                                                        .last = program->operands[i].last_step};
    enum snug_status status =
        snug_plan_place(intervals, count, SNUG_REGION_ALIGNMENT, program->allocator, &plan, error);
    if (!status)
        status = snug_plan_verify(intervals, count, SNUG_REGION_ALIGNMENT, plan.peak_bytes,
                                  program->allocator, error);
    count = 0;
    for (int i = 0; !status && i < program->operand_count; i++)
        if (snug_operand_lies_in_region(&program->operands[i]))
            program->operands[i].offset = intervals[count++].offset;
    if (!status) {
        *peak_bytes = plan.peak_bytes;
        *lower_bound_bytes = plan.lower_bound_bytes;
    }
    snug_free(program->allocator, intervals);
    return status;
}
