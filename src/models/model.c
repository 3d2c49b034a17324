/* Loading a model and building its program: what every family shares.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include "base/clock.h"
#include "models/internvl.h"
#include "models/weights.h"

#include <stdio.h>

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

bool snug_model_is_converted(const struct snug_model *model)
{
    return model->weight_count > 0 && model->weights[0].data && !model->region.base;
}

/* The weights stay where a converted folder's file is mapped. */
static enum snug_status map_weights(struct snug_model *model, struct snug_safetensors *checkpoint,
                                    struct snug_error *error)
{
    model->mapped = checkpoint;
    return snug_safetensors_populate(checkpoint, error);
}

static enum snug_status load_weights(struct snug_model *model, const struct snug_folder *folder,
                                     struct snug_pool *pool, struct snug_error *error)
{
    struct snug_safetensors *checkpoint = NULL;
    enum snug_status status = snug_safetensors_open_folder(folder, &checkpoint, error);
    if (!status)
        status = snug_internvl_weights(model, checkpoint, folder->path, error);
    uint64_t available = snug_memory_available();
    if (!status && model->weights_bytes > available) {
        char want[24], have[24];
        status = snug_error_set(error, SNUG_STATUS_DOES_NOT_FIT,
                                "%s: the weights take %s, but only %s of memory is free",
                                folder->path, snug_format_bytes(model->weights_bytes, want),
                                snug_format_bytes(available, have));
    }
    if (!status && snug_model_is_converted(model))
        return map_weights(model, checkpoint, error);
    if (!status)
        status = model->device->take(model->device, model->weights_bytes, &model->region, error);
    for (size_t i = 0; !status && i < model->weight_count; i++) {
        struct snug_weight *weight = &model->weights[i];
        struct snug_error local;
        status = snug_weight_pack(weight, model->region.base, pool, NULL, &local);
        if (status) {
            snug_error_set(error, status, "%s: %s", folder->path, local.message);
            break;
        }
        weight->data = model->region.base + weight->offset;
        snug_safetensors_discard(checkpoint,
                                 weight->view); /* a hint: never a second copy in memory */
        weight->view = NULL;
    }
    snug_safetensors_close(checkpoint);
    return status;
}

enum snug_status snug_model_weights_list(struct snug_model *model,
                                         const struct snug_safetensors *checkpoint,
                                         const char *folder, struct snug_error *error)
{
    snug_arena_init(&model->arena, model->allocator);
    return snug_internvl_weights(model, checkpoint, folder, error);
}

enum snug_status snug_model_visit_weights(const struct snug_model_config *config,
                                          snug_weight_visit_fn *visit, void *context,
                                          struct snug_error *error)
{
    return snug_internvl_visit(config, visit, context, error);
}

void snug_model_weights_free(struct snug_model *model)
{
    snug_free(model->allocator, model->weights);
    snug_arena_free(&model->arena);
    model->weights = NULL;
    model->weight_count = 0;
}

enum snug_status snug_model_load(const struct snug_folder *folder, const struct snug_device *device,
                                 struct snug_pool *pool, const struct snug_model_options *options,
                                 const struct snug_allocator *allocator, struct snug_model **out,
                                 struct snug_error *error)
{
    double start = snug_clock_ms();
    struct snug_model *model = snug_calloc(allocator, 1, sizeof *model);
    if (!model)
        return snug_error_memory(error, sizeof *model, "the model");
    model->allocator = allocator;
    model->device = device;
    model->options = options ? *options : snug_model_options_default();
    snug_arena_init(&model->arena, allocator);
    snprintf(model->name, sizeof model->name, "%s", snug_path_base(folder->path));
    enum snug_status status = snug_model_config_read(folder, allocator, &model->config, error);
    if (!status)
        status = load_weights(model, folder, pool, error);
    if (status) {
        snug_model_free(model);
        return status;
    }
    model->load_ms = snug_clock_ms() - start;
    *out = model;
    return SNUG_STATUS_OK;
}

void snug_model_free(struct snug_model *model)
{
    if (!model)
        return;
    model->device->give(model->device, &model->region);
    snug_safetensors_close(model->mapped);
    snug_model_weights_free(model);
    snug_free(model->allocator, model);
}

enum snug_status snug_model_program(const struct snug_model *model,
                                    const struct snug_program_options *options,
                                    const struct snug_allocator *allocator,
                                    struct snug_program *program,
                                    struct snug_program_handles *handles, struct snug_error *error)
{
    snug_program_init(program, allocator);
    snug_internvl_program(model, options, program, handles);
    enum snug_status status = snug_program_finish(program, error);
    if (status)
        snug_program_free(program);
    return status;
}
