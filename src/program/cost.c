/* Estimates of time. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/cost.h"

#include "program/transfer.h"

static double operand_bytes(const struct snug_program *program, const struct snug_run *run,
                            int operand)
{
    if (operand < 0)
        return 0;
    const struct snug_operand *o = &program->operands[operand];
    if (o->kind == SNUG_OPERAND_KIND_WEIGHT)
        return (double)o->bytes;
    return (double)snug_run_rows(o, run) * (double)o->cols * (double)snug_dtype_size(o->dtype);
}

/* Keys that a row of a step's attention sees, and how many caches are read. */
static double keys_seen(const struct snug_program *program, const struct snug_step *step,
                        const struct snug_run *run, double *caches)
{
    double rows = (double)snug_run_rows(&program->operands[step->in[0]], run);
    *caches = 1;
    switch (step->sequence) {
    case SNUG_SEQUENCE_KIND_TILE:
        *caches = (double)run->units;
        return (double)step->rows_per_sequence;
    case SNUG_SEQUENCE_KIND_PICTURE:
        return (double)step->rows_per_sequence;
    case SNUG_SEQUENCE_KIND_CROSS:
        *caches = step->in[3] >= 0 ? rows : 1;
        return (double)step->capacity;
    case SNUG_SEQUENCE_KIND_TEXT:
        break;
    }
    if (step->in[3] >= 0) {
        *caches = rows;
        return (double)run->first_position + 1;
    }
    return (double)run->first_position + rows; /* causal: half of the last rows', all before */
}

static struct snug_work attention_work(const struct snug_program *program,
                                       const struct snug_step *step, const struct snug_run *run)
{
    double caches, keys = keys_seen(program, step, run, &caches);
    double rows = (double)snug_run_rows(&program->operands[step->in[0]], run);
    double head = (double)step->head_dim, size = 4;
    if (step->in[1] >= 0)
        size = (double)snug_dtype_size(program->operands[step->in[1]].dtype);
    return (struct snug_work){.bytes = caches * keys * head * (double)step->kv_heads * 2 * size +
                                       2 * operand_bytes(program, run, step->in[0]),
                              .f32_flops = 4 * rows * keys * head * (double)step->heads};
}

static struct snug_work linear_work(const struct snug_program *program,
                                    const struct snug_step *step, const struct snug_run *run)
{
    double rows = (double)snug_run_rows(&program->operands[step->in[0]], run);
    double operations = 2 * rows * (double)step->n * (double)step->k;
    bool quantised = program->operands[step->in[1]].quant != SNUG_QUANT_NONE;
    return (struct snug_work){.bytes = operand_bytes(program, run, step->in[0]) +
                                       operand_bytes(program, run, step->in[1]) +
                                       operand_bytes(program, run, step->out[0]),
                              .f32_flops = quantised ? 0 : operations,
                              .int8_ops = quantised ? operations : 0};
}

struct snug_work snug_step_work(const struct snug_program *program, const struct snug_step *step,
                                const struct snug_run *run)
{
    struct snug_work work = {0};
    if (step->op == SNUG_OP_KIND_ATTENTION)
        return attention_work(program, step, run);
    if (step->op == SNUG_OP_KIND_LINEAR)
        return linear_work(program, step, run);
    if (step->op == SNUG_OP_KIND_EMBED || step->op == SNUG_OP_KIND_KV_STORE) {
        work.bytes = 2 * operand_bytes(program, run, step->in[0]) +
                     2 * operand_bytes(program, run,
                                       step->op == SNUG_OP_KIND_EMBED ? step->out[0] : step->in[1]);
        return work;
    }
    for (int i = 0; i < SNUG_STEP_INPUTS; i++)
        work.bytes += operand_bytes(program, run, step->in[i]);
    for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
        work.bytes += operand_bytes(program, run, step->out[i]);
    return work;
}

/* ---- a phase on clocks ---- */

struct clocks {
    const struct snug_placed *placed;
    const struct snug_run *run;
    const struct snug_speed *speeds;
    struct snug_cost *cost;
    double now;                         /* of the host */
    double launches[SNUG_MAX_SPACES];   /* when each queue is done */
    double copies[SNUG_MAX_SPACES];     /* */
    double fetched[SNUG_MAX_SPACES][2]; /* when each staging buffer is full */
};

static double longer(double a, double b)
{
    return a > b ? a : b;
}

static double over(double amount, double giga_per_second)
{
    return giga_per_second > 0 ? amount / giga_per_second / 1e6 : 0; /* ms */
}

static double work_ms(const struct snug_work *work, const struct snug_speed *speed)
{
    double ms =
        longer(over(work->bytes, speed->read_gbs), over(work->f32_flops, speed->f32_gflops));
    return longer(ms, over(work->int8_ops, speed->int8_gops));
}

/* A copy starts when launches made before it are done. Returns when it is. */
static double copy(struct clocks *c, int device, double bytes)
{
    const struct snug_speed *speed = &c->speeds[device];
    double ms = speed->copy_us / 1000 + over(bytes, speed->link_gbs);
    double start = longer(longer(c->copies[device], c->launches[device]), c->now);
    c->copies[device] = start + ms;
    c->cost->copy_ms[device] += ms;
    c->cost->copied_bytes[device] += bytes;
    return c->copies[device];
}

static void wait_for(struct clocks *c, int device, double until)
{
    if (until <= c->launches[device])
        return;
    /* While the host computed, the device had nothing to wait with. */
    double from = longer(c->launches[device], c->now);
    c->cost->waited_ms[device] += until > from ? until - from : 0;
    c->launches[device] = until;
}

static double part_bytes(const struct clocks *c, const struct snug_staged_part *part)
{
    const struct snug_program *program = c->placed->program;
    const struct snug_operand *o = &program->operands[part->operand];
    const struct snug_step *step = &program->steps[part->extent_step];
    if (o->kind == SNUG_OPERAND_KIND_WEIGHT)
        return (double)o->bytes;
    double caches = 1, positions = (double)o->cache.capacity;
    if (step->op == SNUG_OP_KIND_ATTENTION)
        positions = keys_seen(program, step, c->run, &caches);
    return caches * positions * (double)(o->cache.heads * o->cache.head_dim) *
           (double)snug_dtype_size(o->dtype);
}

static void run_step(struct clocks *c, int index)
{
    const struct snug_program *program = c->placed->program;
    const struct snug_step *step = &program->steps[index];
    int space = c->placed->compute[index];
    if (step->needs_picture && c->run->no_picture)
        return;
    struct snug_work work = snug_step_work(program, step, c->run);
    double ms = work_ms(&work, &c->speeds[space]);
    c->cost->busy_ms[space] += ms;
    if (space == SNUG_SPACE_HOST) {
        c->now += ms;
        return;
    }
    c->launches[space] =
        longer(c->launches[space], c->now) + ms + c->speeds[space].launch_us / 1000;
}

static void act(struct clocks *c, const struct snug_action *action)
{
    const struct snug_program *program = c->placed->program;
    const struct snug_transfer *t = &c->placed->transfers[action->index];
    switch ((enum snug_action_kind)action->kind) {
    case SNUG_ACTION_RUN:
        run_step(c, action->index);
        return;
    case SNUG_ACTION_COPY: {
        double bytes = operand_bytes(program, c->run, action->index);
        if (action->to)
            wait_for(c, action->to, copy(c, action->to, bytes));
        else
            c->now = longer(c->now, copy(c, action->from, bytes));
        return;
    }
    case SNUG_ACTION_FETCH: {
        double bytes = 0;
        for (int i = 0; i < t->part_count; i++)
            bytes += part_bytes(c, &c->placed->parts[t->first_part + i]);
        c->fetched[t->space][t->buffer] = copy(c, t->space, bytes);
        return;
    }
    case SNUG_ACTION_JOIN:
        wait_for(c, t->space, c->fetched[t->space][t->buffer]);
        return;
    case SNUG_ACTION_STORE: {
        const struct snug_step *step = &program->steps[action->index];
        copy(c, c->placed->compute[action->index],
             operand_bytes(program, c->run, step->in[0]) +
                 operand_bytes(program, c->run, step->in[1]));
        return;
    }
    }
}

struct snug_cost snug_placed_cost(const struct snug_placed *placed, const struct snug_run *run,
                                  const struct snug_speed *speeds)
{
    struct snug_cost cost = {0};
    struct clocks c = {.placed = placed, .run = run, .speeds = speeds, .cost = &cost};
    for (int a = placed->phase_actions[run->phase]; a < placed->phase_actions[run->phase + 1]; a++)
        act(&c, &placed->actions[a]);
    cost.total_ms = c.now;
    for (int space = 1; space < placed->spaces; space++)
        cost.total_ms = longer(cost.total_ms, longer(c.launches[space], c.copies[space]));
    return cost;
}
