/* Units of a model, and which of them lie where.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/placement.h"

#include "models/weights.h"

#include <stdlib.h>
#include <string.h>

static int tower_layers(const struct snug_model_config *config)
{
    return (int)(config->vision.layers + config->vision.global_layers);
}

static int text_layers(const struct snug_model_config *config)
{
    return (int)config->text.layers;
}

/* Units by their places in the order. */
enum { STEM = 0, FIRST_TOWER_LAYER = 1 };
static int projector_of(const struct snug_model_config *config)
{
    return FIRST_TOWER_LAYER + tower_layers(config);
}
static int embedding_of(const struct snug_model_config *config)
{
    return projector_of(config) + 1;
}
static int head_of(const struct snug_model_config *config)
{
    return embedding_of(config) + 1 + text_layers(config);
}

int snug_model_unit_count(const struct snug_model_config *config)
{
    return head_of(config) + 1;
}

/* The number behind `prefix`; -1 if the name does not begin with it. */
static int number_after(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) ? -1 : (int)strtol(name + length, NULL, 10);
}

int snug_model_unit(const struct snug_model_config *config, const char *name)
{
    int layer = number_after(name, "text.layer.");
    if (layer >= 0)
        return embedding_of(config) + 1 + layer;
    layer = number_after(name, "vision.layer.");
    if (layer < 0)
        layer = number_after(name, "vision.local.");
    if (layer >= 0)
        return FIRST_TOWER_LAYER + layer;
    layer = number_after(name, "vision.global.");
    if (layer >= 0)
        return FIRST_TOWER_LAYER + (int)config->vision.layers + layer;
    if (!strncmp(name, "vision", 6))
        return STEM;
    if (!strncmp(name, "projector", 9))
        return projector_of(config);
    if (!strncmp(name, "lm_head", 7) || !strncmp(name, "text.norm", 9))
        return head_of(config);
    return embedding_of(config);
}

/* ---- the host's ---- */

static bool is_tied(const struct snug_model *model)
{
    return !snug_model_weight_or_null(model, "lm_head.weight");
}

/* Of `count` units from `first` on, as many as are left of *n, spread evenly. */
static void spread(bool *on_host, int first, int count, int *n)
{
    int taken = *n < count ? *n : count;
    for (int i = 0; i < count; i++)
        on_host[first + i] = (i + 1) * taken / count > i * taken / count;
    *n -= taken;
}

void snug_placing_host_set(const struct snug_model *model, int host_units, bool *on_host)
{
    const struct snug_model_config *c = &model->config;
    int n = host_units;
    memset(on_host, 0, (size_t)snug_model_unit_count(c) * sizeof *on_host);
    if (!is_tied(model))
        spread(on_host, embedding_of(c), 1, &n);
    spread(on_host, embedding_of(c) + 1, text_layers(c), &n);
    spread(on_host, FIRST_TOWER_LAYER, tower_layers(c), &n);
    spread(on_host, projector_of(c), 1, &n);
    spread(on_host, STEM, 1, &n);
    spread(on_host, head_of(c), 1, &n);
    if (is_tied(model))
        on_host[embedding_of(c)] = on_host[head_of(c)];
}

int snug_placing_every_layer(const struct snug_model *model)
{
    return !is_tied(model) + text_layers(&model->config) + tower_layers(&model->config);
}

int snug_placing_half_the_layers(const struct snug_model *model)
{
    return !is_tied(model) + (text_layers(&model->config) + 1) / 2;
}

/* ---- spaces ---- */

struct units {
    const struct snug_placing *placing;
    const struct snug_model_config *config;
    bool tied;
    bool on_host[SNUG_MAX_UNITS];
};

/* A unit's device, whether its weights lie there or come by the link. A head that is the embedding
 * is where that is. */
static int device_of(const struct units *u, int unit)
{
    if (u->tied && unit == head_of(u->config))
        unit = embedding_of(u->config);
    return u->placing->device_count == 2 && unit >= u->placing->split ? 2
           : u->placing->device_count                                 ? 1
                                                                      : 0;
}

static void find_units(struct units *u, const struct snug_placing *placing,
                       const struct snug_model *model)
{
    u->placing = placing;
    u->config = &model->config;
    u->tied = is_tied(model);
    snug_placing_host_set(model, placing->host_units, u->on_host);
}

static int home_of(const struct units *u, int unit)
{
    return u->on_host[unit] ? SNUG_SPACE_HOST : device_of(u, unit);
}

/* Who computes a unit's steps. */
static int computed_by(const struct units *u, int unit, bool decode)
{
    bool end = unit == embedding_of(u->config) || unit == head_of(u->config);
    bool by_host = end || (decode ? u->placing->decode_on_host : u->placing->rest_on_host);
    return u->on_host[unit] && by_host ? SNUG_SPACE_HOST : device_of(u, unit);
}

void snug_placing_weights(const struct snug_placing *placing, struct snug_model *model)
{
    struct units u;
    find_units(&u, placing, model);
    for (size_t i = 0; i < model->weight_count; i++) {
        struct snug_weight *w = &model->weights[i];
        w->space = home_of(&u, snug_model_unit(&model->config, w->name));
    }
}

void snug_placing_weight_bytes(const struct snug_placing *placing, const struct snug_model *model,
                               size_t bytes[SNUG_MAX_SPACES])
{
    struct units u;
    find_units(&u, placing, model);
    memset(bytes, 0, SNUG_MAX_SPACES * sizeof *bytes);
    for (size_t i = 0; i < model->weight_count; i++) {
        const struct snug_weight *w = &model->weights[i];
        bytes[home_of(&u, snug_model_unit(&model->config, w->name))] +=
            (w->bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
    }
}

void snug_placing_part_bytes(const struct snug_placing *placing, const struct snug_model *model,
                             size_t bytes[SNUG_MAX_SPACES][SNUG_PART_COUNT])
{
    struct units u;
    find_units(&u, placing, model);
    memset(bytes, 0, SNUG_MAX_SPACES * sizeof *bytes);
    for (size_t i = 0; i < model->weight_count; i++) {
        const struct snug_weight *w = &model->weights[i];
        bytes[home_of(&u, snug_model_unit(&model->config, w->name))][snug_weight_part(w->name)] +=
            w->bytes;
    }
}

/* A layer's keys and values lie where they are used, unless the host must hold them: because it was
 * asked to, or computes with them. */
static int home_of_cache(const struct units *u, int unit)
{
    bool by_host = !computed_by(u, unit, true) || !computed_by(u, unit, false);
    return u->placing->kv_on_host || by_host ? SNUG_SPACE_HOST : device_of(u, unit);
}

void snug_placing_program(const struct snug_placing *placing, const struct snug_model *model,
                          const struct snug_program *program, unsigned char *home,
                          unsigned char *compute)
{
    struct units u;
    find_units(&u, placing, model);
    for (int i = 0; i < program->operand_count; i++) {
        const struct snug_operand *o = &program->operands[i];
        home[i] = SNUG_SPACE_HOST;
        if (o->kind == SNUG_OPERAND_KIND_WEIGHT) {
            home[i] = (unsigned char)home_of(&u, snug_model_unit(&model->config, o->name));
        } else if (o->cache.heads) { /* "text.k.3" */
            int unit = embedding_of(&model->config) + 1 + (int)strtol(o->name + 7, NULL, 10);
            home[i] = (unsigned char)home_of_cache(&u, unit);
        }
    }
    for (int p = 0; p < program->phase_count; p++) {
        const struct snug_phase *phase = &program->phases[p];
        bool decode = !strcmp(phase->name, "decode");
        for (int s = phase->first_step; s < phase->first_step + phase->step_count; s++)
            compute[s] = (unsigned char)computed_by(&u, program->steps[s].unit, decode);
    }
}
