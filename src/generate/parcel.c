/* A slot's keys and values apart from any device, so that a document can go on elsewhere.
 *
 * One cache after the other in the order of the program's operands, each as the pieces of
 * snug_cache_pieces, packed. Whatever placement and capacity two sessions have, the pieces of a
 * position are the same.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/session_internal.h"
#include "generate/session_memory.h"
#include "program/transfer.h"

#include <stdlib.h>
#include <string.h>

/* Positions of a cache that hold something: tokens, or rows of pictures. */
static int64_t positions_of(const struct snug_session *session, const struct snug_operand *cache,
                            const struct snug_session_slot *slot)
{
    long layer = strtol(cache->name + 7, NULL, 10); /* "text.k.3" */
    return session->model->config.text.cross_layer[layer] ? slot->cross_rows : slot->positions;
}

static size_t all_bytes(const struct snug_session *session, const struct snug_session_slot *slot)
{
    size_t bytes = 0;
    for (int i = 0; i < session->program.operand_count; i++) {
        const struct snug_operand *o = &session->program.operands[i];
        if (!o->cache.heads)
            continue;
        struct snug_cache_pieces p = snug_cache_pieces(o, 0, 0, positions_of(session, o, slot));
        bytes += p.rows * p.bytes;
    }
    return bytes;
}

/* One cache between its home and `packed`. */
static enum snug_status copy_cache(struct snug_session *session, int operand,
                                   const struct snug_cache_pieces *p, unsigned char *packed,
                                   bool out, struct snug_error *error)
{
    const struct snug_executor *e = &session->executor;
    int space = session->placed.home[operand];
    unsigned char *cache = (unsigned char *)snug_placed_address(e, space, -1, operand) + p->offset;
    if (space != SNUG_SPACE_HOST) {
        const struct snug_copy copy = {.direction = out ? SNUG_DIRECTION_FROM_DEVICE
                                                        : SNUG_DIRECTION_TO_DEVICE,
                                       .to = out ? packed : cache,
                                       .from = out ? cache : packed,
                                       .bytes = p->bytes,
                                       .rows = p->rows,
                                       .to_pitch = out ? p->bytes : p->pitch,
                                       .from_pitch = out ? p->pitch : p->bytes};
        uint64_t ticket;
        return e->devices[space]->copy(e->devices[space], &copy, &ticket, error);
    }
    for (size_t r = 0; r < p->rows; r++) {
        unsigned char *there = cache + r * p->pitch, *here = packed + r * p->bytes;
        memcpy(out ? here : there, out ? there : here, p->bytes);
    }
    return SNUG_STATUS_OK;
}

/* All caches of a slot, out or in. When it returns nothing is queued any more. */
static enum snug_status copy_all(struct snug_session *session, int slot,
                                 const struct snug_session_slot *state, unsigned char *packed,
                                 bool out, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    for (int i = 0; i < session->program.operand_count && !status; i++) {
        const struct snug_operand *o = &session->program.operands[i];
        int64_t positions = o->cache.heads ? positions_of(session, o, state) : 0;
        if (!positions)
            continue;
        struct snug_cache_pieces p = snug_cache_pieces(o, slot, 0, positions);
        status = copy_cache(session, i, &p, packed, out, error);
        packed += p.rows * p.bytes;
    }
    for (int space = 1; space < session->placed.spaces; space++) {
        const struct snug_device *device = session->executor.devices[space];
        struct snug_error local;
        enum snug_status done = device->synchronise(device, &local);
        if (done && (!status || done == SNUG_STATUS_DEVICE_LOST)) /* a loss is what must be known */
            status = snug_error_set(error, done, "%s", local.message);
    }
    return status;
}

enum snug_status snug_session_save(struct snug_session *session, int slot, struct snug_parcel *out,
                                   struct snug_error *error)
{
    struct snug_parcel parcel = {.allocator = session->allocator, .slot = session->slots[slot]};
    parcel.bytes = session->is_dry ? 0 : all_bytes(session, &parcel.slot);
    parcel.data = snug_alloc(parcel.allocator, parcel.bytes);
    if (!parcel.data)
        return snug_error_memory(error, parcel.bytes, "a document's keys and values");
    enum snug_status status = session->is_dry
                                  ? SNUG_STATUS_OK
                                  : copy_all(session, slot, &parcel.slot, parcel.data, true, error);
    if (status) {
        snug_parcel_free(&parcel);
        return status;
    }
    *out = parcel;
    return SNUG_STATUS_OK;
}

enum snug_status snug_session_restore(struct snug_session *session, int slot,
                                      const struct snug_parcel *parcel, struct snug_error *error)
{
    struct snug_session_slot *s = &session->slots[slot];
    SNUG_ASSERT(s->in_use && parcel->slot.positions <= session->capacity);
    if (!session->is_dry)
        SNUG_TRY(copy_all(session, slot, &parcel->slot, parcel->data, false, error));
    s->positions = parcel->slot.positions;
    s->cross_rows = parcel->slot.cross_rows;
    s->view = parcel->slot.view;
    snug_session_count_cache(session, slot, true);
    return SNUG_STATUS_OK;
}

void snug_parcel_free(struct snug_parcel *parcel)
{
    if (parcel->allocator)
        snug_free(parcel->allocator, parcel->data);
    *parcel = (struct snug_parcel){0};
}
