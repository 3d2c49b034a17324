/* From a placement to what is copied when, and to a plan for every space.
 *
 * A phase is walked twice: first streamed operands are gathered into transfers, then the actions
 * are written down in order. Which spaces hold a result's last version is tracked in between.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/placement.h"

#include "device/device.h"

#include <string.h>

struct maker {
    struct snug_placed *placed;
    struct snug_program *program;
    const struct snug_placement *placement;
    unsigned char *valid;  /* [operand_count], a bit a space: where its last version lies */
    unsigned char *states; /* [operand_count], a bit a space: where a state is written or read */
    const struct snug_phase *phase;
    enum snug_status status;
    struct snug_error *error;
};

static size_t aligned(size_t bytes)
{
    return (bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
}

/* The step's operands, inputs first; -1 where there is none. */
static int operand_at(const struct snug_step *step, int i)
{
    return i < SNUG_STEP_INPUTS ? step->in[i] : step->out[i - SNUG_STEP_INPUTS];
}
#define STEP_OPERANDS (SNUG_STEP_INPUTS + SNUG_STEP_OUTPUTS)

static bool names(const struct snug_step *step, int operand)
{
    for (int i = 0; i < STEP_OPERANDS; i++)
        if (operand_at(step, i) == operand)
            return true;
    return false;
}

/* ---- growing lists ---- */

static void *grow(struct maker *m, void *items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    int more = *capacity ? 2 * *capacity : 256;
    void *grown = snug_realloc_array(m->placed->allocator, items, (size_t)more, size);
    if (!grown) {
        m->status = snug_error_memory(m->error, (size_t)more * size, "the placement");
        return NULL;
    }
    *capacity = more;
    return grown;
}

static void add_action(struct maker *m, struct snug_action action)
{
    struct snug_placed *p = m->placed;
    struct snug_action *grown =
        m->status ? NULL
                  : grow(m, p->actions, p->action_count, &p->action_capacity, sizeof *p->actions);
    if (!grown)
        return;
    p->actions = grown;
    p->actions[p->action_count++] = action;
}

static void add_simple(struct maker *m, enum snug_action_kind kind, int index)
{
    add_action(m, (struct snug_action){.kind = (unsigned char)kind, .index = index, .writer = -1});
}

/* ---- lifetimes ---- */

static struct snug_operand *seen_from(struct maker *m, int space, int operand)
{
    return space ? &m->placed->views[space].operands[operand] : &m->program->operands[operand];
}

static void touch(struct snug_operand *operand, int first, int last)
{
    if (operand->first_step < 0 || first < operand->first_step)
        operand->first_step = first;
    if (last > operand->last_step)
        operand->last_step = last;
}

/* The operand is in that space at this step. */
static void use(struct maker *m, int space, int operand, int step)
{
    struct snug_operand *o = seen_from(m, space, operand);
    int phase_last = m->phase->first_step + m->phase->step_count - 1;
    touch(o, step, step);
    if (o->kind == SNUG_OPERAND_KIND_LASTING)
        touch(o, 0, m->program->step_count - 1);
    else if (o->kind == SNUG_OPERAND_KIND_STATE || o->kind == SNUG_OPERAND_KIND_INPUT)
        touch(o, m->phase->first_step, phase_last);
}

/* ---- transfers ---- */

/* Whether the step, computed in `space`, reads the operand from a staging buffer. */
static bool is_streamed(const struct snug_program *program, const struct snug_placement *p,
                        int space, int operand)
{
    return operand >= 0 && space != SNUG_SPACE_HOST &&
           snug_operand_has_home(&program->operands[operand]) &&
           p->home[operand] == SNUG_SPACE_HOST;
}

/* Last step of those that must read one buffer: what a step stores in a cache is read there. */
static int group_end(const struct snug_program *program, const struct snug_placement *p, int step)
{
    const struct snug_step *first = &program->steps[step];
    int space = p->compute[step];
    if (first->op != SNUG_OP_KIND_KV_STORE || !is_streamed(program, p, space, first->out[0]) ||
        step + 1 == program->step_count || !names(first + 1, first->out[0]) ||
        p->compute[step + 1] != space)
        return step;
    return step + 1;
}

/* Calls visit for each streamed operand of steps [first, last], each once. */
typedef void visit_fn(void *context, int operand, int step);
static void visit_streamed(const struct snug_program *program, const struct snug_placement *p,
                           int first, int last, visit_fn *visit, void *context)
{
    for (int s = first; s <= last; s++)
        for (int i = 0; i < STEP_OPERANDS; i++) {
            int operand = operand_at(&program->steps[s], i);
            bool before = false;
            if (!is_streamed(program, p, p->compute[s], operand))
                continue;
            for (int t = first; t < s; t++)
                before |= names(&program->steps[t], operand);
            for (int j = 0; j < i; j++)
                before |= operand_at(&program->steps[s], j) == operand;
            if (!before)
                visit(context, operand, s);
        }
}

struct need {
    const struct snug_program *program;
    const struct snug_placed *placed;
    const struct snug_transfer *open; /* NULL: nothing is there yet */
    size_t bytes;
};

static void add_need(void *context, int operand, int step)
{
    struct need *need = context;
    (void)step;
    for (int i = 0; need->open && i < need->open->part_count; i++)
        if (need->placed->parts[need->open->first_part + i].operand == operand)
            return;
    need->bytes += aligned(need->program->operands[operand].bytes);
}

size_t snug_placed_least_staging(const struct snug_program *program,
                                 const struct snug_placement *placement)
{
    size_t least = 0;
    if (!placement->home || !placement->compute)
        return 0;
    for (int s = 0, end; s < program->step_count; s = end + 1) {
        struct need need = {.program = program};
        end = group_end(program, placement, s);
        visit_streamed(program, placement, s, end, add_need, &need);
        least = need.bytes > least ? need.bytes : least;
    }
    return least;
}

static size_t filled(const struct snug_placed *placed, const struct snug_transfer *t)
{
    if (!t->part_count)
        return 0;
    const struct snug_staged_part *last = &placed->parts[t->first_part + t->part_count - 1];
    return last->offset + aligned(placed->program->operands[last->operand].bytes);
}

static void add_part(void *context, int operand, int step)
{
    struct maker *m = context;
    struct snug_placed *p = m->placed;
    struct snug_transfer *t = &p->transfers[p->transfer_count - 1];
    for (int i = 0; i < t->part_count; i++)
        if (p->parts[t->first_part + i].operand == operand)
            return;
    struct snug_staged_part *grown =
        m->status ? NULL : grow(m, p->parts, p->part_count, &p->part_capacity, sizeof *p->parts);
    if (!grown)
        return;
    p->parts = grown;
    /* An attention step reads all positions, of which a store writes the last. */
    int extent = step;
    if (p->program->steps[step].op == SNUG_OP_KIND_KV_STORE)
        extent = group_end(p->program, m->placement, step);
    p->parts[p->part_count++] = (struct snug_staged_part){operand, extent, filled(p, t)};
    t->part_count++;
}

/* Opens the next transfer of a space; buffers alternate within a phase. */
static void open_transfer(struct maker *m, int space, int number)
{
    struct snug_placed *p = m->placed;
    struct snug_transfer *grown = m->status ? NULL
                                            : grow(m, p->transfers, p->transfer_count,
                                                   &p->transfer_capacity, sizeof *p->transfers);
    if (!grown)
        return;
    p->transfers = grown;
    p->transfers[p->transfer_count++] = (struct snug_transfer){
        .space = space, .buffer = number % 2, .first_step = -1, .first_part = p->part_count};
}

/* Gathers what a phase streams to one space; transfers of a space are neighbours in the list. */
static void gather(struct maker *m, int space)
{
    struct snug_placed *p = m->placed;
    int end_step = m->phase->first_step + m->phase->step_count, number = 0;
    for (int s = m->phase->first_step, last; s < end_step && !m->status; s = last + 1) {
        struct need need = {.program = m->program, .placed = p};
        last = group_end(m->program, m->placement, s);
        if (p->compute[s] != space)
            continue;
        visit_streamed(m->program, m->placement, s, last, add_need, &need);
        if (!need.bytes)
            continue;
        size_t alone = need.bytes, room = p->staging_bytes[space];
        if (number) {
            need.open = &p->transfers[p->transfer_count - 1];
            need.bytes = 0;
            visit_streamed(m->program, m->placement, s, last, add_need, &need);
        }
        if (alone > room) {
            m->status = snug_error_set(m->error, SNUG_STATUS_SHAPE,
                                       "a staging buffer holds %zu bytes, step %d needs %zu", room,
                                       s, alone);
            return;
        }
        if (!number || filled(p, &p->transfers[p->transfer_count - 1]) + need.bytes > room)
            open_transfer(m, space, number++);
        if (m->status)
            return;
        visit_streamed(m->program, m->placement, s, last, add_part, m);
        struct snug_transfer *t = &p->transfers[p->transfer_count - 1];
        t->first_step = t->first_step < 0 ? s : t->first_step;
        t->last_step = last;
        for (int i = s; i <= last; i++)
            p->transfer_of[i] = p->transfer_count - 1;
    }
}

/* ---- actions ---- */

static void copy(struct maker *m, int operand, int from, int to, int step, int writer)
{
    use(m, from, operand, step);
    use(m, to, operand, step);
    add_action(m, (struct snug_action){.kind = SNUG_ACTION_COPY,
                                       .from = (unsigned char)from,
                                       .to = (unsigned char)to,
                                       .index = operand,
                                       .writer = writer});
    m->valid[operand] |= (unsigned char)(1u << to);
}

/* The operand's last version comes to `space`; from one device to another by way of the host. */
static void bring(struct maker *m, int operand, int space, int step, int writer)
{
    unsigned valid = m->valid[operand];
    if (valid >> space & 1u)
        return;
    if (space != SNUG_SPACE_HOST && !(valid & 1u))
        bring(m, operand, SNUG_SPACE_HOST, step, writer);
    int from = SNUG_SPACE_HOST;
    if (space == SNUG_SPACE_HOST)
        for (int d = 1; d < m->placed->spaces; d++)
            from = valid >> d & 1u ? d : from;
    SNUG_ASSERT(from != space); /* finish has seen that something wrote it */
    copy(m, operand, from, space, step, writer);
}

/* Ops that leave part of what they write to as it was. */
static bool writes_part(enum snug_op_kind op)
{
    return op == SNUG_OP_KIND_ROPE || op == SNUG_OP_KIND_RESIDUAL || op == SNUG_OP_KIND_ADD_ROWS ||
           op == SNUG_OP_KIND_STORE_ROWS || op == SNUG_OP_KIND_STORE_COLUMNS;
}

/* A weight or cache: it lies in the step's space, or is streamed there. */
static void need_home(struct maker *m, int operand, int space, int step)
{
    struct snug_placed *p = m->placed;
    int home = p->home[operand];
    if (home != SNUG_SPACE_HOST && home != space) {
        m->status = snug_error_set(m->error, SNUG_STATUS_SHAPE,
                                   "step %d needs %s, which lies on a device, elsewhere", step,
                                   m->program->operands[operand].name);
        return;
    }
    use(m, home, operand, step);
    if (home != space)
        use(m, space, p->staging[space], step);
}

static void need_operands(struct maker *m, int index, int space)
{
    const struct snug_step *step = &m->program->steps[index];
    for (int i = 0; i < STEP_OPERANDS && !m->status; i++) {
        int operand = operand_at(step, i);
        if (operand < 0)
            continue;
        if (snug_operand_has_home(&m->program->operands[operand])) {
            need_home(m, operand, space, index);
            continue;
        }
        if (i < SNUG_STEP_INPUTS || writes_part(step->op))
            bring(m, operand, space, index, -1);
        use(m, space, operand, index);
    }
    for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
        if (step->out[i] >= 0 && !snug_operand_has_home(&m->program->operands[step->out[i]]))
            m->valid[step->out[i]] = (unsigned char)(1u << space);
}

/* Whether no later step of the phase writes to the operand. */
static bool is_last_writer(const struct maker *m, int operand, int index)
{
    for (int s = index + 1; s < m->phase->first_step + m->phase->step_count; s++)
        for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
            if (m->program->steps[s].out[i] == operand)
                return false;
    return true;
}

/* States are copied to every space that will read them as soon as they are whole. */
static void push_states(struct maker *m, int index)
{
    const struct snug_step *step = &m->program->steps[index];
    for (int i = 0; i < SNUG_STEP_OUTPUTS; i++) {
        int operand = step->out[i];
        if (operand < 0 || m->program->operands[operand].kind != SNUG_OPERAND_KIND_STATE ||
            snug_operand_has_home(&m->program->operands[operand]) ||
            !is_last_writer(m, operand, index))
            continue;
        for (int space = 0; space < m->placed->spaces; space++)
            if (m->states[operand] >> space & 1u)
                bring(m, operand, space, index, index);
    }
}

static bool stores_staged(const struct maker *m, int index)
{
    const struct snug_step *step = &m->program->steps[index];
    return step->op == SNUG_OP_KIND_KV_STORE &&
           is_streamed(m->program, m->placement, m->placed->compute[index], step->out[0]);
}

static bool is_of_phase(const struct maker *m, int operand)
{
    for (int s = 0; s < m->phase->step_count; s++)
        if (names(&m->program->steps[m->phase->first_step + s], operand))
            return true;
    return false;
}

/* What the caller wrote goes first, before the large transfers. */
static void start_phase(struct maker *m, int first_transfer)
{
    const struct snug_placed *p = m->placed;
    for (int i = 0; i < m->program->operand_count; i++) {
        enum snug_operand_kind kind = m->program->operands[i].kind;
        m->valid[i] = kind == SNUG_OPERAND_KIND_INPUT   ? 1u << SNUG_SPACE_HOST
                      : kind == SNUG_OPERAND_KIND_STATE ? 0xff
                                                        : 0;
        if (kind != SNUG_OPERAND_KIND_INPUT || !is_of_phase(m, i))
            continue;
        use(m, SNUG_SPACE_HOST, i, m->phase->first_step);
        for (int space = 1; space < p->spaces; space++)
            if (m->states[i] >> space & 1u)
                bring(m, i, space, m->phase->first_step, -1);
    }
    for (int t = first_transfer, number = 0; t < p->transfer_count; t++) {
        number = t > first_transfer && p->transfers[t].space == p->transfers[t - 1].space
                     ? number + 1
                     : 0;
        if (number < 2)
            add_simple(m, SNUG_ACTION_FETCH, t);
    }
}

static void write_phase(struct maker *m, int first_transfer)
{
    struct snug_placed *p = m->placed;
    int last = m->phase->first_step + m->phase->step_count - 1;
    start_phase(m, first_transfer);
    for (int s = m->phase->first_step; s <= last && !m->status; s++) {
        int t = p->transfer_of[s];
        need_operands(m, s, p->compute[s]);
        if (t >= 0 && p->transfers[t].first_step == s)
            add_simple(m, SNUG_ACTION_JOIN, t);
        add_simple(m, SNUG_ACTION_RUN, s);
        if (stores_staged(m, s))
            add_simple(m, SNUG_ACTION_STORE, s);
        push_states(m, s);
        if (t >= 0 && p->transfers[t].last_step == s && t + 2 < p->transfer_count &&
            p->transfers[t + 2].space == p->transfers[t].space)
            add_simple(m, SNUG_ACTION_FETCH, t + 2);
    }
    for (int i = 0; i < m->program->operand_count && !m->status; i++)
        if (m->program->operands[i].output && m->valid[i])
            bring(m, i, SNUG_SPACE_HOST, last, -1);
}

/* ---- all of it ---- */

static enum snug_status init_view(struct snug_placed *p, int space, struct snug_error *error)
{
    struct snug_program *view = &p->views[space];
    size_t count = (size_t)p->program->operand_count;
    *view = *p->program;
    view->operands = snug_alloc_array(p->allocator, count + 1, sizeof *view->operands);
    if (!view->operands)
        return snug_error_memory(error, (count + 1) * sizeof *view->operands, "the placement");
    memcpy(view->operands, p->program->operands, count * sizeof *view->operands);
    view->operands[count] = (struct snug_operand){.name = "staging",
                                                  .kind = SNUG_OPERAND_KIND_STATE,
                                                  .dtype = SNUG_DTYPE_U8,
                                                  .fixed_rows = 2,
                                                  .cols = (int64_t)p->staging_bytes[space],
                                                  .bytes = 2 * p->staging_bytes[space]};
    view->operand_count++;
    for (int i = 0; i < view->operand_count; i++)
        view->operands[i].first_step = view->operands[i].last_step = -1;
    p->staging[space] = (int)count;
    return SNUG_STATUS_OK;
}

static enum snug_status init(struct snug_placed *p, struct snug_program *program,
                             const struct snug_placement *placement, struct snug_error *error)
{
    size_t operands = (size_t)program->operand_count, steps = (size_t)program->step_count;
    p->program = program;
    p->spaces = placement->spaces;
    p->home = snug_calloc(p->allocator, operands + 1, 1);
    p->compute = snug_calloc(p->allocator, steps + 1, 1);
    p->transfer_of = snug_alloc_array(p->allocator, steps + 1, sizeof *p->transfer_of);
    if (!p->home || !p->compute || !p->transfer_of)
        return snug_error_memory(error, steps * sizeof *p->transfer_of, "the placement");
    if (placement->home)
        memcpy(p->home, placement->home, operands);
    if (placement->compute)
        memcpy(p->compute, placement->compute, steps);
    for (size_t s = 0; s < steps; s++)
        p->transfer_of[s] = -1;
    size_t staging = placement->staging_bytes;
    if (!staging)
        staging = snug_placed_least_staging(program, placement);
    for (int space = 1; space < p->spaces; space++) {
        p->staging_bytes[space] = aligned(staging);
        SNUG_TRY(init_view(p, space, error));
    }
    return SNUG_STATUS_OK;
}

static enum snug_status place(struct maker *m)
{
    struct snug_placed *p = m->placed;
    struct snug_program *program = m->program;
    for (int i = 0; i < program->operand_count; i++)
        program->operands[i].first_step = program->operands[i].last_step = -1;
    for (int s = 0; s < program->step_count; s++)
        for (int i = 0; i < STEP_OPERANDS; i++) {
            int operand = operand_at(&program->steps[s], i);
            if (operand >= 0)
                m->states[operand] |= (unsigned char)(1u << p->compute[s]);
        }
    for (int i = 0; i < program->phase_count && !m->status; i++) {
        int first_transfer = p->transfer_count;
        m->phase = &program->phases[i];
        p->phase_actions[i] = p->action_count;
        for (int space = 1; space < p->spaces; space++)
            gather(m, space);
        write_phase(m, first_transfer);
    }
    p->phase_actions[program->phase_count] = p->action_count;
    return m->status;
}

static enum snug_status lay_out(struct snug_placed *p, struct snug_error *error)
{
    for (int space = 0; space < p->spaces; space++)
        SNUG_TRY(snug_layout_make(space ? &p->views[space] : p->program, &p->peak_bytes[space],
                                  &p->lower_bound_bytes[space], error));
    return SNUG_STATUS_OK;
}

enum snug_status snug_placed_make(struct snug_program *program,
                                  const struct snug_placement *placement,
                                  const struct snug_allocator *allocator, struct snug_placed *out,
                                  struct snug_error *error)
{
    SNUG_ASSERT(placement->spaces >= 1 && placement->spaces <= SNUG_MAX_SPACES);
    size_t operands = (size_t)program->operand_count + 1;
    *out = (struct snug_placed){.allocator = allocator};
    struct snug_placement resolved = *placement;
    struct maker m = {.placed = out, .program = program, .placement = &resolved, .error = error};
    enum snug_status status = init(out, program, placement, error);
    resolved.home = out->home;
    resolved.compute = out->compute;
    m.valid = snug_calloc(allocator, operands, 1);
    m.states = snug_calloc(allocator, operands, 1);
    if (!status && (!m.valid || !m.states))
        status = snug_error_memory(error, operands, "the placement");
    if (!status)
        status = place(&m);
    snug_free(allocator, m.valid);
    snug_free(allocator, m.states);
    return status ? status : lay_out(out, error);
}

void snug_placed_free(struct snug_placed *placed)
{
    if (!placed->allocator)
        return;
    for (int space = 1; space < placed->spaces; space++)
        snug_free(placed->allocator, placed->views[space].operands);
    snug_free(placed->allocator, placed->home);
    snug_free(placed->allocator, placed->compute);
    snug_free(placed->allocator, placed->transfer_of);
    snug_free(placed->allocator, placed->actions);
    snug_free(placed->allocator, placed->transfers);
    snug_free(placed->allocator, placed->parts);
    *placed = (struct snug_placed){0};
}
