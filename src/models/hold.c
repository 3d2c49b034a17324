/* Loading a model's weights into the spaces where they are to be.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/placement.h"
#include "models/weights.h"

#include "models/llama_vision.h"

#include <stdlib.h>
#include <string.h>

static int by_source_bytes(const void *a, const void *b)
{
    const struct snug_weight *x = *(struct snug_weight *const *)a,
                             *y = *(struct snug_weight *const *)b;
    if (x->source_bytes != y->source_bytes)
        return x->source_bytes > y->source_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct snug_weight **snug_loading_order(const struct snug_model *model)
{
    struct snug_weight **order =
        snug_alloc_array(model->allocator, model->weight_count, sizeof *order);
    for (size_t i = 0; order && i < model->weight_count; i++)
        order[i] = &model->weights[i];
    if (order)
        qsort(order, model->weight_count, sizeof *order, by_source_bytes);
    return order;
}

void snug_model_release_source(struct snug_model *model)
{
    if (model->converted && !model->region.base)
        return;
    for (size_t i = 0; i < model->weight_count; i++)
        model->weights[i].view = NULL;
    snug_safetensors_close(model->source);
    model->source = NULL;
}

/* ---- one weight ---- */

/* Packed as it is used, at `to`. */
static enum snug_status pack(const struct snug_model *model, const struct snug_weight *weight,
                             unsigned char *to, struct snug_pool *pool, struct snug_error *error)
{
    struct snug_weight placed = *weight;
    struct snug_error local;
    placed.offset = 0;
    if (model->converted) {
        memcpy(to, weight->view->data, weight->bytes);
        return SNUG_STATUS_OK;
    }
    enum snug_status status = snug_weight_pack(&placed, to, pool, NULL, &local);
    return status ? snug_error_set(error, status, "%s: %s", model->folder, local.message) : status;
}

/* To its device: packed in `bounce`, or from where it lies, and copied. */
static enum snug_status send(const struct snug_model *model, const struct snug_weight *weight,
                             unsigned char *bounce, struct snug_pool *pool,
                             struct snug_error *error)
{
    const struct snug_device *device = model->devices[weight->space];
    const void *from = bounce;
    uint64_t ticket;
    if (model->converted)
        from = weight->view->data;
    else
        SNUG_TRY(pack(model, weight, bounce, pool, error));
    const struct snug_copy copy =
        snug_copy_whole(SNUG_DIRECTION_TO_DEVICE,
                        model->on_device[weight->space].base + weight->offset, from, weight->bytes);
    SNUG_TRY(device->copy(device, &copy, &ticket, error));
    return device->synchronise(device, error);
}

/* ---- tables that tell what a picture's unused tiles are (llama_vision.h) ---- */

/* They are looked at once, on the host. */
static enum snug_status look_at_tables(struct snug_model *model, struct snug_pool *pool,
                                       struct snug_error *error)
{
    static const char *const names[3] = {"vision.pre_tile", "vision.post_tile",
                                         "vision.tile_position"};
    unsigned char *copies[3] = {NULL};
    enum snug_status status = SNUG_STATUS_OK;
    for (int i = 0; i < 3 && !status; i++) {
        struct snug_weight *w = (struct snug_weight *)(uintptr_t)snug_model_weight(model, names[i]);
        copies[i] = snug_alloc(model->allocator, w->bytes);
        status = copies[i] ? pack(model, w, copies[i], pool, error)
                           : snug_error_memory(error, w->bytes, "the model's tables");
        w->data = copies[i];
    }
    if (!status)
        model->alike_ratios = snug_llama_vision_alike(model);
    for (int i = 0; i < 3; i++)
        snug_free(model->allocator, copies[i]);
    return status;
}

/* ---- regions ---- */

static void lay_out(struct snug_model *model)
{
    size_t offsets[SNUG_MAX_SPACES] = {0};
    for (size_t i = 0; i < model->weight_count; i++) {
        struct snug_weight *w = &model->weights[i];
        w->offset = offsets[w->space];
        offsets[w->space] +=
            (w->bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
    }
}

/* Where nothing is computed weights are addresses. */
static bool is_dry(const struct snug_model *model, const struct snug_placing *placing)
{
    return placing->device_count ? placing->devices[1]->dry : model->device && model->device->dry;
}

static enum snug_status take_host(struct snug_model *model, const struct snug_placing *placing,
                                  struct snug_error *error)
{
    size_t all[SNUG_MAX_SPACES];
    uint64_t available = snug_memory_available();
    char want[24], have[24];
    snug_placing_weight_bytes(placing, model, all);
    size_t bytes = all[SNUG_SPACE_HOST];
    if (!bytes)
        return SNUG_STATUS_OK;
    if (bytes > available && !is_dry(model, placing))
        return snug_error_set(error, SNUG_STATUS_DOES_NOT_FIT,
                              "%s: the weights take %s, but only %s of memory is free",
                              model->folder, snug_format_bytes(bytes, want),
                              snug_format_bytes(available, have));
    if (placing->device_count) {
        const struct snug_device *device = placing->devices[1];
        SNUG_TRY(device->take_host(device, bytes, &model->region, error));
        model->pinned_by = device;
        return SNUG_STATUS_OK;
    }
    bool mapped = model->converted && !model->device->dry;
    return mapped ? snug_safetensors_populate(model->source, error)
                  : model->device->take(model->device, bytes, &model->region, error);
}

static enum snug_status take_regions(struct snug_model *model, const struct snug_placing *placing,
                                     struct snug_error *error)
{
    size_t bytes[SNUG_MAX_SPACES];
    snug_placing_weight_bytes(placing, model, bytes);
    for (int space = 1; space < snug_placing_spaces(placing); space++) {
        const struct snug_device *device = placing->devices[space];
        model->devices[space] = device;
        if (bytes[space])
            SNUG_TRY(device->take(device, bytes[space], &model->on_device[space], error));
    }
    return take_host(model, placing, error);
}

/* Bytes of the largest weight that must be packed before it is copied to a device. */
static size_t bounce_bytes(const struct snug_model *model)
{
    size_t most = 0;
    for (size_t i = 0; i < model->weight_count && !model->converted; i++)
        if (model->weights[i].space && model->weights[i].bytes > most)
            most = model->weights[i].bytes;
    return most;
}

static enum snug_status fill(struct snug_model *model, struct snug_pool *pool,
                             struct snug_error *error)
{
    struct snug_weight **order = snug_loading_order(model);
    size_t bounce_size = bounce_bytes(model);
    unsigned char *bounce = bounce_size ? snug_alloc(model->allocator, bounce_size) : NULL;
    enum snug_status status = SNUG_STATUS_OK;
    if (!order || (bounce_size && !bounce))
        status = snug_error_memory(error, bounce_size, "the weights");
    for (size_t i = 0; !status && i < model->weight_count; i++) {
        struct snug_weight *w = order[i];
        if (w->space) {
            status = send(model, w, bounce, pool, error);
            w->data = model->on_device[w->space].base + w->offset;
        } else if (model->region.base) {
            status = pack(model, w, model->region.base + w->offset, pool, error);
            w->data = model->region.base + w->offset;
        } else {
            w->data = w->view->data; /* in the mapping */
            continue;
        }
        snug_safetensors_discard(model->source, w->view); /* never a second copy in memory */
    }
    snug_free(model->allocator, bounce);
    snug_free(model->allocator, order);
    return status;
}

/* On a dry device there is nothing to fill: addresses are all that is needed. */
static void point(struct snug_model *model)
{
    for (size_t i = 0; i < model->weight_count; i++) {
        struct snug_weight *w = &model->weights[i];
        unsigned char *base = w->space ? model->on_device[w->space].base : model->region.base;
        w->data = base + w->offset;
    }
}

enum snug_status snug_model_hold(struct snug_model *model, const struct snug_placing *placing,
                                 struct snug_pool *pool, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    bool dry = is_dry(model, placing);
    snug_model_drop(model);
    snug_placing_weights(placing, model);
    lay_out(model);
    if (placing->device_count && !dry && model->config.family == SNUG_FAMILY_LLAMA_VISION)
        status = look_at_tables(model, pool, error);
    if (!status)
        status = take_regions(model, placing, error);
    if (!status && dry)
        point(model);
    else if (!status)
        status = fill(model, pool, error);
    if (status) {
        snug_model_drop(model);
        return status;
    }
    if (!placing->device_count && !dry && model->config.family == SNUG_FAMILY_LLAMA_VISION)
        model->alike_ratios = snug_llama_vision_alike(model);
    return SNUG_STATUS_OK;
}

void snug_model_drop(struct snug_model *model)
{
    for (int space = 1; space < SNUG_MAX_SPACES; space++) {
        if (model->on_device[space].base)
            model->devices[space]->give(model->devices[space], &model->on_device[space]);
        model->devices[space] = NULL;
    }
    if (model->pinned_by)
        model->pinned_by->give_host(model->pinned_by, &model->region);
    else if (model->region.base)
        model->device->give(model->device, &model->region);
    model->pinned_by = NULL;
    for (size_t i = 0; i < model->weight_count; i++)
        model->weights[i].data = NULL;
}
