/* Copies between the host and devices, and where operands lie.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/transfer.h"

static unsigned char *in_region(const struct snug_executor *e, int space, int operand)
{
    return e->regions[space] + snug_placed_view(e->placed, space)->operands[operand].offset;
}

/* Where the home of a weight or cache is. */
static void *at_home(const struct snug_executor *e, int operand)
{
    const struct snug_operand *o = &e->program->operands[operand];
    if (o->kind == SNUG_OPERAND_KIND_WEIGHT) /* read only: no op writes to what it takes as input */
        return (void *)(uintptr_t)o->weight;
    return in_region(e, e->placed->home[operand], operand);
}

static unsigned char *buffer_of(const struct snug_executor *e, const struct snug_transfer *t)
{
    return in_region(e, t->space, e->placed->staging[t->space]) +
           (size_t)t->buffer * e->placed->staging_bytes[t->space];
}

static void *staged(const struct snug_executor *e, int step, int operand)
{
    const struct snug_placed *p = e->placed;
    SNUG_ASSERT(step >= 0 && p->transfer_of[step] >= 0);
    const struct snug_transfer *t = &p->transfers[p->transfer_of[step]];
    int i = 0;
    while (p->parts[t->first_part + i].operand != operand)
        SNUG_ASSERT(++i < t->part_count);
    return buffer_of(e, t) + p->parts[t->first_part + i].offset;
}

void *snug_placed_address(const struct snug_executor *e, int space, int step, int operand)
{
    if (!snug_operand_has_home(&e->program->operands[operand]))
        return in_region(e, space, operand);
    return e->placed->home[operand] == space ? at_home(e, operand) : staged(e, step, operand);
}

/* ---- copies ---- */

static enum snug_status queue(const struct snug_executor *e, int space,
                              enum snug_direction direction, void *to, const void *from,
                              size_t bytes, uint64_t *ticket, struct snug_error *error)
{
    const struct snug_copy copy = snug_copy_whole(direction, to, from, bytes);
    *ticket = 0;
    return bytes ? e->devices[space]->copy(e->devices[space], &copy, ticket, error)
                 : SNUG_STATUS_OK;
}

enum snug_status snug_copy_out(const struct snug_executor *e, int space, void *to, const void *from,
                               size_t bytes, struct snug_error *error)
{
    uint64_t ticket;
    SNUG_TRY(queue(e, space, SNUG_DIRECTION_FROM_DEVICE, to, from, bytes, &ticket, error));
    return e->devices[space]->synchronise(e->devices[space], error);
}

/* The bytes of an operand that a run has: of a state the rows that its last writer stored. */
static void extent(const struct snug_executor *e, const struct snug_run *run,
                   const struct snug_action *action, size_t *offset, size_t *bytes)
{
    const struct snug_operand *o = &e->program->operands[action->index];
    int64_t first = 0, rows = snug_run_rows(o, run);
    if (action->writer >= 0 && e->program->steps[action->writer].op == SNUG_OP_KIND_STORE_ROWS) {
        const struct snug_step *step = &e->program->steps[action->writer];
        first = run->first_row;
        rows = snug_run_rows(&e->program->operands[step->in[0]], run);
    }
    size_t row = (size_t)o->cols * snug_dtype_size(o->dtype);
    *offset = (size_t)first * row;
    *bytes = (size_t)rows * row;
}

enum snug_status snug_copy_operand(const struct snug_executor *e, const struct snug_run *run,
                                   const struct snug_action *action, struct snug_error *error)
{
    size_t offset, bytes;
    uint64_t ticket;
    extent(e, run, action, &offset, &bytes);
    unsigned char *to = in_region(e, action->to, action->index) + offset;
    const unsigned char *from = in_region(e, action->from, action->index) + offset;
    if (action->to == SNUG_SPACE_HOST)
        return snug_copy_out(e, action->from, to, from, bytes, error);
    SNUG_TRY(queue(e, action->to, SNUG_DIRECTION_TO_DEVICE, to, from, bytes, &ticket, error));
    return e->devices[action->to]->join(e->devices[action->to], ticket, error);
}

/* ---- caches ---- */

struct snug_cache_pieces snug_cache_pieces(const struct snug_operand *cache, int64_t slot,
                                           int64_t from, int64_t to)
{
    const struct snug_cache_shape *s = &cache->cache;
    size_t size = snug_dtype_size(cache->dtype);
    int64_t slot_elements = cache->cols;
    from = from / SNUG_PANEL * SNUG_PANEL;
    to = snug_panel_count(to) * SNUG_PANEL;
    to = to > s->capacity ? s->capacity : to;
    struct snug_cache_pieces p;
    if (s->values) { /* panels of channels, [capacity][16] each */
        p.rows = (size_t)(s->heads * snug_panel_count(s->head_dim));
        p.pitch = (size_t)(s->capacity * SNUG_PANEL) * size;
        p.bytes = (size_t)((to - from) * SNUG_PANEL) * size;
        p.offset = (size_t)(slot * slot_elements + from * SNUG_PANEL) * size;
    } else { /* panels of 16 positions, one after the other */
        p.rows = (size_t)s->heads;
        p.pitch = (size_t)(s->capacity * s->head_dim) * size;
        p.bytes = (size_t)((to - from) * s->head_dim) * size;
        p.offset = (size_t)(slot * slot_elements + from * s->head_dim) * size;
    }
    return p;
}

/* What a step reads, or stores, of the caches: positions of one document after the other. */
struct positions {
    int64_t slot, from, to;
};

static const int32_t *host_input(const struct snug_executor *e, int operand)
{
    return (const int32_t *)(const void *)in_region(e, SNUG_SPACE_HOST, operand);
}

/* Row r of a step of several documents, or all rows of one; false: there is no such. */
static bool positions_of(const struct snug_executor *e, const struct snug_run *run, int index,
                         int64_t r, struct positions *out)
{
    const struct snug_step *step = &e->program->steps[index];
    bool stores = step->op == SNUG_OP_KIND_KV_STORE;
    bool cross = step->sequence == SNUG_SEQUENCE_KIND_CROSS;
    int slots = stores ? step->in[2] : step->in[3];
    int64_t rows = snug_run_rows(&e->program->operands[step->in[0]], run);
    if (r >= (slots >= 0 ? rows : 1))
        return false;
    *out = (struct positions){.slot = slots >= 0 ? host_input(e, slots)[r] : run->slot};
    if (cross) {
        const int32_t *first = host_input(e, step->in[4]), *count = host_input(e, step->in[5]);
        int64_t end = slots >= 0 ? r + 1 : rows;
        for (int64_t i = slots >= 0 ? r : 0; i < end; i++)
            out->to = first[i] + count[i] > out->to ? first[i] + count[i] : out->to;
        return true;
    }
    int positions = stores ? step->in[3] : step->in[4];
    int64_t first = slots >= 0 ? host_input(e, positions)[r] : run->first_position;
    out->from = stores ? first : 0;
    out->to = first + (slots >= 0 ? 1 : rows);
    return true;
}

/* Queues the copies of one cache between its home and a staging buffer. */
static enum snug_status copy_positions(const struct snug_executor *e, const struct snug_run *run,
                                       int space, int step, int operand, unsigned char *buffer,
                                       bool home, uint64_t *ticket, struct snug_error *error)
{
    const struct snug_operand *o = &e->program->operands[operand];
    const struct snug_device *device = e->devices[space];
    struct positions p;
    for (int64_t r = 0; positions_of(e, run, step, r, &p); r++) {
        struct snug_cache_pieces pieces = snug_cache_pieces(o, p.slot, p.from, p.to);
        unsigned char *there = (unsigned char *)at_home(e, operand) + pieces.offset;
        unsigned char *here = buffer + pieces.offset;
        struct snug_copy copy = {.direction =
                                     home ? SNUG_DIRECTION_FROM_DEVICE : SNUG_DIRECTION_TO_DEVICE,
                                 .to = home ? there : here,
                                 .from = home ? here : there,
                                 .bytes = pieces.bytes,
                                 .rows = pieces.rows,
                                 .to_pitch = pieces.pitch,
                                 .from_pitch = pieces.pitch};
        if (copy.bytes)
            SNUG_TRY(device->copy(device, &copy, ticket, error));
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_fetch(const struct snug_executor *e, struct snug_run *run, int transfer,
                            struct snug_error *error)
{
    const struct snug_placed *p = e->placed;
    const struct snug_transfer *t = &p->transfers[transfer];
    uint64_t *ticket = &run->fetched[t->space][t->buffer];
    for (int i = 0; i < t->part_count; i++) {
        const struct snug_staged_part *part = &p->parts[t->first_part + i];
        const struct snug_operand *o = &p->program->operands[part->operand];
        unsigned char *to = buffer_of(e, t) + part->offset;
        if (o->kind == SNUG_OPERAND_KIND_WEIGHT)
            SNUG_TRY(queue(e, t->space, SNUG_DIRECTION_TO_DEVICE, to, o->weight, o->bytes, ticket,
                           error));
        else
            SNUG_TRY(copy_positions(e, run, t->space, part->extent_step, part->operand, to, false,
                                    ticket, error));
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_join(const struct snug_executor *e, const struct snug_run *run, int transfer,
                           struct snug_error *error)
{
    const struct snug_transfer *t = &e->placed->transfers[transfer];
    const struct snug_device *device = e->devices[t->space];
    return device->join(device, run->fetched[t->space][t->buffer], error);
}

enum snug_status snug_store_back(const struct snug_executor *e, const struct snug_run *run,
                                 int step, struct snug_error *error)
{
    const struct snug_step *s = &e->program->steps[step];
    int space = e->placed->compute[step];
    uint64_t ticket; /* nobody waits for it: the queue is in order */
    if (s->needs_picture && run->no_picture)
        return SNUG_STATUS_OK;
    for (int i = 0; i < SNUG_STEP_OUTPUTS; i++)
        SNUG_TRY(copy_positions(e, run, space, step, s->out[i], staged(e, step, s->out[i]), true,
                                &ticket, error));
    return SNUG_STATUS_OK;
}
