/* From a checkpoint's tensors to packed weights in one region.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_WEIGHTS_H
#define SNUG_MODELS_WEIGHTS_H

#include "models/model.h"

#define SNUG_WEIGHT_NAME_BYTES 160

/* What a family asks for: the weight, and the names it may have on disk (the first one stands in
 * messages). */
struct snug_weight_request {
    const char *name;
    int64_t n, k;            /* matrix [n, k]; k == 0: vector or table of n elements */
    struct snug_shape shape; /* on disk; rank 0: [n, k] or [n] */
    const char *candidates[3];
    const char *stacked_name; /* the candidate that holds it stacked with others, or NULL */
    int64_t stacked_rows, stacked_first;
    bool linear;    /* a linear layer's: may be quantised */
    bool as_stored; /* a large table (k == 0): not widened to f32 */
    bool copy;      /* another request's tensor once more (a tied head of its own) */
};

/* Told of a request; shape: the tensor's on disk. */
typedef enum snug_status snug_weight_visit_fn(void *context,
                                              const struct snug_weight_request *request,
                                              const struct snug_shape *shape,
                                              struct snug_error *error);

struct snug_weight_list {
    snug_weight_visit_fn *visit; /* not NULL: requests go there, and no checkpoint is looked into */
    void *visit_context;
    struct snug_model *model;
    const struct snug_safetensors *checkpoint;
    const char *folder;
    bool outline;    /* there is no checkpoint: weights are as the configuration says */
    bool *used;      /* by index of the checkpoint's tensors */
    size_t capacity; /* of model->weights */
};

/* Looks whether the checkpoint is a converted one; then the model's options become its own. Errors:
 * UNSUPPORTED (a later format), FORMAT, USAGE (quantised otherwise than the model's options ask).
 */
SNUG_CHECK_RESULT enum snug_status snug_weight_list_init(struct snug_weight_list *list,
                                                         struct snug_model *model,
                                                         const struct snug_safetensors *checkpoint,
                                                         const char *folder,
                                                         struct snug_error *error);
/* Whether the head is a weight of its own though none is stored: a quantised copy of the
 * embedding. */
bool snug_weight_list_copies_head(const struct snug_weight_list *list);
/* Finds it, checks type and shape, appends it. Errors: MODEL (missing, misshapen, there twice),
 * UNSUPPORTED (element type), MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_weight_list_add(struct snug_weight_list *list,
                                                        const struct snug_weight_request *request,
                                                        struct snug_error *error);
/* Refuses tensors nobody asked for; lays the weights out (offsets, weights_bytes, parameters). */
SNUG_CHECK_RESULT enum snug_status snug_weight_list_finish(struct snug_weight_list *list,
                                                           struct snug_error *error);
void snug_weight_list_free(struct snug_weight_list *list);
/* The part a weight belongs to, by its name. */
enum snug_part snug_weight_part(const char *name);

/* Every weight that a configuration calls for, in a fixed order and with a head of its own, without
 * a checkpoint. In the Hugging Face layout each request is one tensor, candidates[0]. Ends at the
 * first visit that fails and returns its status. */
SNUG_CHECK_RESULT enum snug_status snug_model_visit_weights(const struct snug_model_config *config,
                                                            snug_weight_visit_fn *visit,
                                                            void *context,
                                                            struct snug_error *error);

/* Packs one weight, quantising it if it is to be, from its view to base + weight->offset. deviation
 * (may be NULL) is added to if it is quantised. Errors: NON_FINITE, naming tensor and row. */
SNUG_CHECK_RESULT enum snug_status snug_weight_pack(const struct snug_weight *weight,
                                                    unsigned char *base, struct snug_pool *pool,
                                                    struct snug_quant_error *deviation,
                                                    struct snug_error *error);

/* The weights in the order in which they are packed: the largest sources first, so that no source
 * lies in memory beside nearly all that is packed. The caller's; NULL: refused. */
struct snug_weight **snug_loading_order(const struct snug_model *model);

/* ---- converted folders (docs/formats.md) ---- */
#define SNUG_CONVERTED_KEY "snug_format"
#define SNUG_CONVERTED_VERSION "1"
/* Type and shape of a weight's tensor there. */
void snug_weight_converted_shape(const struct snug_weight *weight, enum snug_dtype *dtype,
                                 struct snug_shape *shape);

/* By our name; asserts that it is there. Thread-safe. */
const struct snug_weight *snug_model_weight(const struct snug_model *model, const char *name);
/* The same, NULL if absent. */
const struct snug_weight *snug_model_weight_or_null(const struct snug_model *model,
                                                    const char *name);

#endif
