/* Loading a model and building its program: what every family shares.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include "base/clock.h"
#include "models/internvl.h"
#include "models/llama_vision.h"
#include "models/placement.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[SNUG_PART_COUNT] = {"vision", "projector", "text", "lm_head"};

const char *snug_part_name(enum snug_part part)
{
    return part_names[part];
}

struct snug_model_options snug_model_options_default(void)
{
    return (struct snug_model_options){.outlier_threshold = 6};
}

bool snug_parts_parse(const char *text, unsigned *out)
{
    unsigned parts = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        int part = 0;
        while (part < SNUG_PART_COUNT &&
               (strlen(part_names[part]) != length || strncmp(part_names[part], text, length)))
            part++;
        if (part == SNUG_PART_COUNT)
            return false;
        parts |= 1u << part;
        text += length;
        if (*text && !*++text) /* a comma at the end */
            return false;
    }
    *out = parts;
    return true;
}

const char *snug_parts_format(unsigned parts, char out[64])
{
    size_t used = 0;
    out[0] = 0;
    for (int part = 0; part < SNUG_PART_COUNT; part++)
        if (parts >> part & 1u)
            used +=
                (size_t)snprintf(out + used, 64 - used, "%s%s", used ? "," : "", part_names[part]);
    return out;
}

/* ---- the list of weights ---- */

static enum snug_status list_family(struct snug_weight_list *list,
                                    const struct snug_model_config *config,
                                    const struct snug_safetensors *checkpoint,
                                    struct snug_error *error)
{
    if (config->family == SNUG_FAMILY_LLAMA_VISION)
        return snug_llama_vision_list(list, config, error);
    return snug_internvl_list(list, config, checkpoint, error);
}

/* Found in the checkpoint, and every tensor of it accounted for. */
static enum snug_status find_weights(struct snug_model *model,
                                     const struct snug_safetensors *checkpoint, const char *folder,
                                     struct snug_error *error)
{
    struct snug_weight_list list;
    SNUG_TRY(snug_weight_list_init(&list, model, checkpoint, folder, error));
    enum snug_status status = list_family(&list, &model->config, checkpoint, error);
    if (!status)
        status = snug_weight_list_finish(&list, error);
    snug_weight_list_free(&list);
    return status;
}

/* Without a checkpoint: as the configuration says, in the type it names. */
static enum snug_status imagine_weights(struct snug_model *model, struct snug_error *error)
{
    struct snug_weight_list list = {.model = model, .outline = true};
    SNUG_TRY(list_family(&list, &model->config, NULL, error));
    return snug_weight_list_finish(&list, error);
}

enum snug_status snug_model_visit_weights(const struct snug_model_config *config,
                                          snug_weight_visit_fn *visit, void *context,
                                          struct snug_error *error)
{
    struct snug_weight_list list = {.visit = visit, .visit_context = context};
    return list_family(&list, config, NULL, error);
}

/* ---- loading ---- */

/* A model with its configuration and nothing else. */
static enum snug_status new_model(const struct snug_folder *folder,
                                  const struct snug_device *device,
                                  const struct snug_model_options *options,
                                  const struct snug_allocator *allocator, struct snug_model **out,
                                  struct snug_error *error)
{
    struct snug_model *model = snug_calloc(allocator, 1, sizeof *model);
    if (!model)
        return snug_error_memory(error, sizeof *model, "the model");
    model->allocator = allocator;
    model->device = device;
    model->options = options ? *options : snug_model_options_default();
    snug_arena_init(&model->arena, allocator);
    snprintf(model->name, sizeof model->name, "%s", snug_path_base(folder->path));
    enum snug_status status = snug_model_config_read(folder, allocator, &model->config, error);
    if (status) {
        snug_model_free(model);
        return status;
    }
    *out = model;
    return SNUG_STATUS_OK;
}

size_t snug_model_part_bytes(const struct snug_model *model, enum snug_part part)
{
    size_t bytes = 0;
    for (size_t i = 0; i < model->weight_count; i++)
        if (snug_weight_part(model->weights[i].name) == part)
            bytes += model->weights[i].bytes;
    return bytes;
}

/* Keys and values of cross-attention layers are made once a picture. */
static bool is_of_pictures(const struct snug_model *model, const char *name)
{
    char *end;
    long layer = strtol(name + 11, &end, 10);
    return model->config.text.cross_layer[layer] &&
           (!strncmp(end, ".k.", 3) || !strncmp(end, ".v.", 3));
}

size_t snug_model_step_bytes(const struct snug_model *model)
{
    size_t bytes = 0, head = 0, embedding = 0;
    for (size_t i = 0; i < model->weight_count; i++) {
        const struct snug_weight *w = &model->weights[i];
        if (!strncmp(w->name, "text.layer.", 11) && !is_of_pictures(model, w->name))
            bytes += w->bytes;
        if (!strcmp(w->name, "lm_head.weight"))
            head = w->bytes;
        if (!strcmp(w->name, "text.embed.weight"))
            embedding = w->bytes;
    }
    return bytes + (head ? head : embedding);
}

enum snug_status snug_model_load_bytes(const struct snug_model *model, size_t *bytes,
                                       struct snug_error *error)
{
    size_t packed = 0;
    *bytes = model->weights_bytes;
    if (model->converted) /* mapped */
        return SNUG_STATUS_OK;
    struct snug_weight **order = snug_loading_order(model);
    if (!order)
        return snug_error_memory(error, model->weight_count * sizeof *order, "the weights");
    for (size_t i = 0; i < model->weight_count; i++) {
        packed += order[i]->bytes;
        *bytes =
            packed + order[i]->source_bytes > *bytes ? packed + order[i]->source_bytes : *bytes;
    }
    snug_free(model->allocator, order);
    return SNUG_STATUS_OK;
}

/* Without a file of weights, or with some: their list. */
static enum snug_status outline_weights(struct snug_model *model, const struct snug_folder *folder,
                                        struct snug_error *error)
{
    struct snug_safetensors *checkpoint = NULL;
    struct snug_error local;
    enum snug_status status = snug_safetensors_open_folder(folder, &checkpoint, &local);
    if (status == SNUG_STATUS_NOT_FOUND)
        return imagine_weights(model, error);
    if (status)
        return snug_error_set(error, status, "%s", local.message);
    status = find_weights(model, checkpoint, folder->path, error);
    for (size_t i = 0; i < model->weight_count; i++) {
        model->weights[i].view = NULL;
        model->weights[i].data = NULL;
    }
    snug_safetensors_close(checkpoint);
    return status;
}

enum snug_status snug_model_outline(const struct snug_folder *folder,
                                    const struct snug_model_options *options,
                                    const struct snug_allocator *allocator, struct snug_model **out,
                                    struct snug_error *error)
{
    struct snug_model *model = NULL;
    SNUG_TRY(new_model(folder, snug_device_cpu(), options, allocator, &model, error));
    enum snug_status status = outline_weights(model, folder, error);
    if (status) {
        snug_model_free(model);
        return status;
    }
    *out = model;
    return SNUG_STATUS_OK;
}

enum snug_status snug_model_weights_list(struct snug_model *model,
                                         const struct snug_safetensors *checkpoint,
                                         const char *folder, struct snug_error *error)
{
    snug_arena_init(&model->arena, model->allocator);
    return find_weights(model, checkpoint, folder, error);
}

void snug_model_weights_free(struct snug_model *model)
{
    snug_free(model->allocator, model->weights);
    snug_arena_free(&model->arena);
    model->weights = NULL;
    model->weight_count = 0;
}

enum snug_status snug_model_open(const struct snug_folder *folder, const struct snug_device *device,
                                 const struct snug_model_options *options,
                                 const struct snug_allocator *allocator, struct snug_model **out,
                                 struct snug_error *error)
{
    struct snug_model *model = NULL;
    SNUG_TRY(new_model(folder, device, options, allocator, &model, error));
    model->folder = snug_strdup(allocator, folder->path);
    enum snug_status status =
        model->folder ? SNUG_STATUS_OK
                      : snug_error_memory(error, strlen(folder->path) + 1, "the model's name");
    if (!status)
        status = snug_safetensors_open_folder(folder, &model->source, error);
    if (!status)
        status = find_weights(model, model->source, folder->path, error);
    if (status) {
        snug_model_free(model);
        return status;
    }
    *out = model;
    return SNUG_STATUS_OK;
}

enum snug_status snug_model_load(const struct snug_folder *folder, const struct snug_device *device,
                                 struct snug_pool *pool, const struct snug_model_options *options,
                                 const struct snug_allocator *allocator, struct snug_model **out,
                                 struct snug_error *error)
{
    const struct snug_placing on_host = {0};
    double start = snug_clock_ms();
    struct snug_model *model = NULL;
    SNUG_TRY(snug_model_open(folder, device, options, allocator, &model, error));
    enum snug_status status = snug_model_hold(model, &on_host, pool, error);
    if (status) {
        snug_model_free(model);
        return status;
    }
    snug_model_release_source(model);
    model->load_ms = snug_clock_ms() - start;
    *out = model;
    return SNUG_STATUS_OK;
}

void snug_model_free(struct snug_model *model)
{
    if (!model)
        return;
    snug_model_drop(model);
    snug_safetensors_close(model->source);
    snug_model_weights_free(model);
    snug_free(model->allocator, model->folder);
    snug_free(model->allocator, model);
}

enum snug_status snug_model_program(const struct snug_model *model,
                                    const struct snug_program_options *options,
                                    const struct snug_allocator *allocator,
                                    struct snug_program *program,
                                    struct snug_program_handles *handles, struct snug_error *error)
{
    snug_program_init(program, allocator);
    memset(handles, 0xff, sizeof *handles); /* every member is -1 */
    if (model->config.family == SNUG_FAMILY_LLAMA_VISION)
        snug_llama_vision_program(model, options, program, handles);
    else
        snug_internvl_program(model, options, program, handles);
    enum snug_status status = snug_program_finish(program, error);
    if (status)
        snug_program_free(program);
    return status;
}
