/* How a model is spread over the host and devices: by units, which are its layers and what stands
 * before and after them.
 *
 *     0 the tower's stem | its layers | projector | embedding | text layers | norm and head
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_PLACEMENT_H
#define SNUG_MODELS_PLACEMENT_H

#include "models/model.h"
#include "program/placement.h"

/* The unit of a weight, or of a builder's prefix ("text.layer.3"). */
int snug_model_unit(const struct snug_model_config *config, const char *name);
int snug_model_unit_count(const struct snug_model_config *config);
#define SNUG_MAX_UNITS (3 * SNUG_MAX_LAYERS + 8)

/* The zeroed struct is "everything on the host". */
struct snug_placing {
    const struct snug_device *devices[SNUG_MAX_SPACES]; /* [1 ..]; [0] is not looked at */
    int device_count;                                   /* 0, 1 or 2 */
    int split;      /* two devices: first unit of the second in the order above */
    int host_units; /* how many lie on the host: snug_placing_host_set says which */
    bool kv_on_host;
    /* Layers on the host are computed there, in steps of decoding and in all other phases; else
     * they are streamed. Embedding and head on the host are always computed there. */
    bool decode_on_host, rest_on_host;
    size_t staging_bytes; /* of one buffer; 0: as small as can be */
};

/* Which units are on the host if `host_units` are. They leave a device in this order: the embedding
 * (a look-up costs the host nothing), text layers spread evenly, the tower's, projector, stem; the
 * head last, and where it is the embedding, that with it. on_host: [unit_count]. */
void snug_placing_host_set(const struct snug_model *model, int host_units, bool *on_host);
/* host_units with which every layer of text and tower is on the host, and half of the text's. */
int snug_placing_every_layer(const struct snug_model *model);
int snug_placing_half_the_layers(const struct snug_model *model);

/* Where each weight lies: writes weight->space of every weight. */
void snug_placing_weights(const struct snug_placing *placing, struct snug_model *model);
/* Bytes of the weights that would lie in each space, each aligned. */
void snug_placing_weight_bytes(const struct snug_placing *placing, const struct snug_model *model,
                               size_t bytes[SNUG_MAX_SPACES]);
/* The same by part, not aligned. */
void snug_placing_part_bytes(const struct snug_placing *placing, const struct snug_model *model,
                             size_t bytes[SNUG_MAX_SPACES][SNUG_PART_COUNT]);
/* home and compute for a program of this model: arrays of operand_count and step_count bytes. */
void snug_placing_program(const struct snug_placing *placing, const struct snug_model *model,
                          const struct snug_program *program, unsigned char *home,
                          unsigned char *compute);
static inline int snug_placing_spaces(const struct snug_placing *placing)
{
    return 1 + placing->device_count;
}

#endif
