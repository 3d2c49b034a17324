/* Finding, checking, laying out and packing a model's weights.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/weights.h"

#include "models/converted.h"

#include <stdlib.h>

/* Panels or elements one task packs: about 256 KiB, so that threads share the work evenly. */
#define PACK_TASK_ELEMENTS 65536

enum snug_status snug_weight_list_init(struct snug_weight_list *list, struct snug_model *model,
                                       const struct snug_safetensors *checkpoint,
                                       const char *folder, struct snug_error *error)
{
    *list = (struct snug_weight_list){.model = model, .checkpoint = checkpoint, .folder = folder};
    return snug_converted_options(checkpoint, folder, &model->options, &model->converted, error);
}

enum snug_part snug_weight_part(const char *name)
{
    for (int part = 0; part < SNUG_PART_COUNT; part++) {
        size_t length = strlen(snug_part_name((enum snug_part)part));
        if (!strncmp(name, snug_part_name((enum snug_part)part), length) && name[length] == '.')
            return (enum snug_part)part;
    }
    SNUG_ASSERT(!"a weight's name begins with its part");
    return SNUG_PART_TEXT;
}

static bool is_quantized(const struct snug_model_options *options, const char *name)
{
    return options->quantize != SNUG_QUANT_NONE &&
           !(options->quantize_skip >> snug_weight_part(name) & 1u);
}

bool snug_weight_list_copies_head(const struct snug_weight_list *list)
{
    return is_quantized(&list->model->options, "lm_head.weight");
}

void snug_weight_list_free(struct snug_weight_list *list)
{
    snug_free(list->model->allocator, list->used);
}

static bool same_shape(const struct snug_shape *a, const struct snug_shape *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

static enum snug_status grow(struct snug_weight_list *list, struct snug_error *error)
{
    struct snug_model *model = list->model;
    if (!list->used && !list->outline) {
        list->used = snug_calloc(model->allocator, snug_safetensors_count(list->checkpoint) + 1,
                                 sizeof *list->used);
        if (!list->used)
            return snug_error_memory(error, snug_safetensors_count(list->checkpoint),
                                     "the list of weights");
    }
    if (model->weight_count < list->capacity)
        return SNUG_STATUS_OK;
    size_t capacity = list->capacity ? 2 * list->capacity : 64;
    struct snug_weight *grown =
        snug_realloc_array(model->allocator, model->weights, capacity, sizeof *grown);
    if (!grown)
        return snug_error_memory(error, capacity * sizeof *grown, "the list of weights");
    model->weights = grown;
    list->capacity = capacity;
    return SNUG_STATUS_OK;
}

static enum snug_status find_view(const struct snug_weight_list *list,
                                  const struct snug_weight_request *request,
                                  const struct snug_shape *expected,
                                  const struct snug_tensor_view **out, struct snug_error *error)
{
    char text[128];
    *out = NULL;
    for (int i = 0; i < 3; i++) {
        bool repeated = false;
        for (int j = 0; j < i; j++)
            repeated |= !strcmp(request->candidates[i], request->candidates[j]);
        const struct snug_tensor_view *view =
            repeated ? NULL : snug_safetensors_find(list->checkpoint, request->candidates[i]);
        if (view && *out)
            return snug_error_set(error, SNUG_STATUS_MODEL,
                                  "%s: tensors %s and %s are the same weight, but both are "
                                  "there",
                                  list->folder, (*out)->name, view->name);
        if (view)
            *out = view;
    }
    if (!*out)
        return snug_error_set(error, SNUG_STATUS_MODEL, "%s: tensor %s %s is missing", list->folder,
                              request->candidates[0], snug_shape_format(expected, text));
    return SNUG_STATUS_OK;
}

static enum snug_status check_view(const struct snug_weight_list *list,
                                   const struct snug_tensor_view *view,
                                   const struct snug_shape *expected, struct snug_error *error)
{
    char want[128], have[128];
    const char *shard = snug_safetensors_shard_name(list->checkpoint, view->shard);
    if (!same_shape(&view->shape, expected))
        return snug_error_set(error, SNUG_STATUS_MODEL,
                              "%s: tensor %s has shape %s, but config.json calls for %s", shard,
                              view->name, snug_shape_format(&view->shape, have),
                              snug_shape_format(expected, want));
    if (!list->model->converted && view->dtype != SNUG_DTYPE_F32 && view->dtype != SNUG_DTYPE_F16 &&
        view->dtype != SNUG_DTYPE_BF16)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: tensor %s is of type %s; snug reads BF16, F16 and F32 weights",
                              shard, view->name, snug_dtype_name(view->dtype));
    return SNUG_STATUS_OK;
}

static size_t index_of(const struct snug_safetensors *checkpoint,
                       const struct snug_tensor_view *view)
{
    return (size_t)(view - snug_safetensors_at(checkpoint, 0));
}

static enum snug_dtype held_as(const struct snug_weight *weight, enum snug_dtype stored)
{
    if (weight->quant)
        return SNUG_DTYPE_U8;
    return weight->k || weight->as_stored ? stored : SNUG_DTYPE_F32;
}

/* Our own folder: one name, and type and shape follow from the weight. The data are used where they
 * lie, so they must be aligned and scales must be numbers. */
static enum snug_status find_converted(const struct snug_weight_list *list,
                                       struct snug_weight *weight, struct snug_error *error)
{
    struct snug_shape expected;
    enum snug_dtype dtype;
    const struct snug_tensor_view *view = snug_safetensors_find(list->checkpoint, weight->name);
    if (!view)
        return snug_error_set(error, SNUG_STATUS_MODEL, "%s: tensor %s is missing", list->folder,
                              weight->name);
    weight->dtype = held_as(weight, view->dtype);
    snug_weight_converted_shape(weight, &dtype, &expected);
    SNUG_TRY(check_view(list, view, &expected, error));
    if (view->dtype != dtype ||
        (uintptr_t)view->data % (weight->quant ? 2 : snug_dtype_size(dtype)))
        return snug_error_set(error, SNUG_STATUS_MODEL,
                              "%s: tensor %s is of type %s or lies askew; convert the model again",
                              list->folder, view->name, snug_dtype_name(view->dtype));
    weight->view = view;
    weight->data = view->data;
    list->used[index_of(list->checkpoint, view)] = true;
    if (!weight->quant)
        return SNUG_STATUS_OK;
    const uint16_t *scales =
        (const uint16_t *)(const void *)(view->data +
                                         snug_quant_bytes(weight->quant, weight->n, weight->k));
    for (int64_t i = 0; i < snug_quant_scale_count(weight->quant, weight->n, weight->k); i++)
        if ((scales[i] & 0x7c00) == 0x7c00)
            return snug_error_set(error, SNUG_STATUS_MODEL,
                                  "%s: tensor %s: a scale is not finite; convert the model again",
                                  list->folder, view->name);
    return SNUG_STATUS_OK;
}

/* A checkpoint as published: one of the names it may have. */
static enum snug_status find_published(const struct snug_weight_list *list,
                                       const struct snug_weight_request *request,
                                       struct snug_shape expected, struct snug_weight *weight,
                                       struct snug_error *error)
{
    const struct snug_tensor_view *view;
    SNUG_TRY(find_view(list, request, &expected, &view, error));
    bool stacked = request->stacked_name && !strcmp(view->name, request->stacked_name);
    if (stacked)
        expected.dims[0] = request->stacked_rows;
    SNUG_TRY(check_view(list, view, &expected, error));
    list->used[index_of(list->checkpoint, view)] = true;
    weight->view = view;
    weight->source_bytes =
        (size_t)(weight->n * (weight->k ? weight->k : 1)) * snug_dtype_size(view->dtype);
    weight->first_row = stacked ? request->stacked_first : 0;
    weight->dtype = held_as(weight, view->dtype);
    return SNUG_STATUS_OK;
}

/* As it would be held, if it were there. */
static void outline(const struct snug_weight_list *list, struct snug_weight *weight)
{
    enum snug_dtype stored = list->model->config.stored;
    int64_t elements = weight->n * (weight->k ? weight->k : 1);
    weight->dtype = held_as(weight, stored);
    weight->source_bytes = (size_t)elements * snug_dtype_size(stored);
}

enum snug_status snug_weight_list_add(struct snug_weight_list *list,
                                      const struct snug_weight_request *request,
                                      struct snug_error *error)
{
    struct snug_model *model = list->model;
    struct snug_shape expected = request->shape;
    if (!expected.rank)
        expected = request->k ? (struct snug_shape){2, {request->n, request->k}}
                              : (struct snug_shape){1, {request->n}};
    if (list->visit)
        return list->visit(list->visit_context, request, &expected, error);
    SNUG_TRY(grow(list, error));
    const char *name = snug_arena_strdup(&model->arena, request->name);
    if (!name)
        return snug_error_memory(error, strlen(request->name), "a weight's name");
    struct snug_weight weight = {.name = name,
                                 .n = request->n,
                                 .k = request->k,
                                 .copy = request->copy,
                                 .as_stored = request->as_stored};
    if (request->linear && is_quantized(&model->options, name))
        weight.quant = model->options.quantize;
    if (list->outline)
        outline(list, &weight);
    else if (list->model->converted)
        SNUG_TRY(find_converted(list, &weight, error));
    else
        SNUG_TRY(find_published(list, request, expected, &weight, error));
    const char *source = weight.view ? weight.view->name : request->candidates[0];
    weight.source = snug_arena_strdup(&model->arena, source);
    if (!weight.source)
        return snug_error_memory(error, strlen(source), "a weight's name");
    model->weights[model->weight_count++] = weight;
    return SNUG_STATUS_OK;
}

/* Buffers some exporters leave in a state dict; they hold nothing a forward pass needs. */
static bool is_harmless(const char *name)
{
    return snug_text_ends_with_ignore_case(name, "rotary_emb.inv_freq") ||
           snug_text_ends_with_ignore_case(name, "position_ids");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct snug_weight *)a)->name, ((const struct snug_weight *)b)->name);
}

/* Integers, then scales; a multiple of 64. */
static size_t quantized_bytes(const struct snug_weight *w)
{
    int64_t bytes =
        snug_quant_bytes(w->quant, w->n, w->k) + 2 * snug_quant_scale_count(w->quant, w->n, w->k);
    return (size_t)(bytes + 63) / 64 * 64;
}

void snug_weight_converted_shape(const struct snug_weight *weight, enum snug_dtype *dtype,
                                 struct snug_shape *shape)
{
    *dtype = weight->dtype;
    if (weight->quant)
        *shape = (struct snug_shape){1, {(int64_t)quantized_bytes(weight)}};
    else if (weight->k)
        *shape = (struct snug_shape){3, {snug_panel_count(weight->n), weight->k, SNUG_PANEL}};
    else
        *shape = (struct snug_shape){1, {weight->n}};
}

enum snug_status snug_weight_list_finish(struct snug_weight_list *list, struct snug_error *error)
{
    struct snug_model *model = list->model;
    char text[128];
    size_t tensors = list->outline ? 0 : snug_safetensors_count(list->checkpoint);
    for (size_t i = 0; i < tensors; i++) {
        const struct snug_tensor_view *view = snug_safetensors_at(list->checkpoint, i);
        if (!list->used[i] && !is_harmless(view->name))
            return snug_error_set(
                error, SNUG_STATUS_MODEL,
                "%s: tensor %s %s is not part of the model that config.json describes",
                snug_safetensors_shard_name(list->checkpoint, view->shard), view->name,
                snug_shape_format(&view->shape, text));
    }
    size_t offset = 0;
    for (size_t i = 0; i < model->weight_count; i++) {
        struct snug_weight *w = &model->weights[i];
        int64_t elements = w->k ? snug_panel_elements(w->n, w->k) : w->n;
        w->bytes = w->quant ? quantized_bytes(w) : (size_t)elements * snug_dtype_size(w->dtype);
        w->offset = offset;
        offset +=
            (w->bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
        model->parameters += w->copy ? 0 : w->k ? w->n * w->k : w->n;
    }
    model->weights_bytes = offset;
    qsort(model->weights, model->weight_count, sizeof *model->weights, by_name);
    return SNUG_STATUS_OK;
}

const struct snug_weight *snug_model_weight_or_null(const struct snug_model *model,
                                                    const char *name)
{
    struct snug_weight key = {.name = name};
    return bsearch(&key, model->weights, model->weight_count, sizeof key, by_name);
}

const struct snug_weight *snug_model_weight(const struct snug_model *model, const char *name)
{
    const struct snug_weight *weight = snug_model_weight_or_null(model, name);
    SNUG_ASSERT(weight);
    return weight;
}

/* ---- packing ---- */

struct packing {
    const struct snug_weight *weight;
    unsigned char *base;
    int64_t per_task;                    /* panels of a matrix, elements of a vector */
    struct snug_quant_error *deviations; /* by worker */
    int64_t *bad_rows;                   /* by worker; -1: none */
};

static void pack_task(void *context, int64_t index, int worker)
{
    const struct packing *p = context;
    const struct snug_weight *w = p->weight;
    enum snug_dtype dtype = w->view->dtype;
    const unsigned char *source =
        w->view->data + (size_t)(w->first_row * (w->k ? w->k : 1)) * snug_dtype_size(dtype);
    unsigned char *target = p->base + w->offset;
    int64_t first = index * p->per_task, all = w->k ? snug_panel_count(w->n) : w->n;
    int64_t end = first + p->per_task < all ? first + p->per_task : all;
    if (w->quant) {
        void *scales = target + snug_quant_bytes(w->quant, w->n, w->k);
        int64_t bad = snug_quant_pack(w->quant, dtype, source, w->n, w->k, first, end, target,
                                      scales, p->deviations ? &p->deviations[worker] : NULL);
        if (bad >= 0)
            p->bad_rows[worker] = bad;
    } else if (w->k) {
        snug_panel_pack(dtype, source, w->n, w->k, first, end, target);
    } else if (w->as_stored) {
        size_t size = snug_dtype_size(dtype);
        memcpy(target + (size_t)first * size, source + (size_t)first * size,
               (size_t)(end - first) * size);
    } else {
        snug_widen(dtype, source + (size_t)first * snug_dtype_size(dtype), end - first,
                   (float *)(void *)target + first);
    }
}

enum snug_status snug_weight_pack(const struct snug_weight *weight, unsigned char *base,
                                  struct snug_pool *pool, struct snug_quant_error *deviation,
                                  struct snug_error *error)
{
    int64_t bad_rows[SNUG_MAX_THREADS];
    struct snug_quant_error deviations[SNUG_MAX_THREADS] = {0};
    int64_t all = weight->k ? snug_panel_count(weight->n) : weight->n;
    int64_t per_task =
        weight->k ? 1 + PACK_TASK_ELEMENTS / (weight->k * SNUG_PANEL) : PACK_TASK_ELEMENTS;
    struct packing packing = {weight, base, per_task, deviation ? deviations : NULL, bad_rows};
    for (int i = 0; i < SNUG_MAX_THREADS; i++)
        bad_rows[i] = -1;
    if (weight->quant) { /* what no panel covers */
        size_t used = (size_t)(snug_quant_bytes(weight->quant, weight->n, weight->k) +
                               2 * snug_quant_scale_count(weight->quant, weight->n, weight->k));
        memset(base + weight->offset + used, 0, weight->bytes - used);
    }
    snug_pool_run(pool, pack_task, &packing, (all + per_task - 1) / per_task);
    for (int i = 0; i < SNUG_MAX_THREADS; i++) {
        if (bad_rows[i] >= 0)
            return snug_error_set(error, SNUG_STATUS_NON_FINITE,
                                  "tensor %s, row %lld: a weight is not finite, or too large to "
                                  "quantise; the file is damaged, or try --quantize none",
                                  weight->source, (long long)(weight->first_row + bad_rows[i]));
        if (deviation) {
            deviation->difference += deviations[i].difference;
            deviation->weight += deviations[i].weight;
        }
    }
    return SNUG_STATUS_OK;
}
