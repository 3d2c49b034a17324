/* A loaded model: its configuration, its weights in one region, and how to build its program. What
 * is here is common to every family; a family adds a file that reads its folder and one that lays
 * out its forward pass. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_MODEL_H
#define SNUG_MODELS_MODEL_H

#include "base/json.h"
#include "base/threads.h"
#include "device/device.h"
#include "document/image.h"
#include "formats/safetensors.h"
#include "models/rope.h"
#include "program/placement.h"

enum snug_family { SNUG_FAMILY_INTERNVL, SNUG_FAMILY_LLAMA_VISION };
enum snug_layout_kind { SNUG_LAYOUT_KIND_HF, SNUG_LAYOUT_KIND_ORIGINAL };

struct snug_text_config {
    int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary;
    int64_t embedding_rows; /* ids the embedding has rows for; Llama: 8 beyond the vocabulary */
    float eps;
    struct snug_rope_config rope;
    /* Llama-3.2-Vision: layers that look at the pictures instead of at the text before. */
    int64_t cross_layer_count;
    bool cross_layer[SNUG_MAX_LAYERS];
};

#define SNUG_MAX_TAKEN_STATES 16
struct snug_vision_config {
    int64_t hidden, intermediate, layers, heads, head_dim, image_side, patch;
    int64_t run_layers; /* how many of `layers` are computed (select_layer) */
    float eps;
    bool rms_norm, qk_norm, qkv_bias;
    bool shuffle_transposed; /* ps_version "v1" */
    /* Llama-3.2-Vision: the tower looks at all tiles of a picture together. */
    int64_t global_layers; /* gated, after `layers` */
    int64_t max_tiles;     /* slots for tiles; the tables of positions have rows for them */
    int64_t taken_count;   /* states beside the last that the text model gets, in this order: */
    int64_t taken[SNUG_MAX_TAKEN_STATES]; /* what goes into these of `layers` */
};

#define SNUG_MAX_STOP_IDS 16

struct snug_model_config {
    enum snug_family family;
    enum snug_layout_kind layout;
    char architecture[64]; /* as config.json names it */
    struct snug_text_config text;
    struct snug_vision_config vision;
    struct snug_tile_options tiles;
    int64_t tokens_per_tile; /* positions of the text that a tile takes; 0: a picture takes one */
    int64_t rows_per_tile;   /* features of a tile */
    int64_t image_token_id;  /* -1: not in config.json (original layout) */
    bool tie_allowed;        /* without a head on disk the embedding serves */
    int32_t stop_ids[SNUG_MAX_STOP_IDS];
    int stop_id_count;
    int64_t max_new_tokens; /* of generation_config.json; 0: not given */
    enum snug_dtype stored; /* what config.json says of the weights' type; BF16 if it does not */
};

/* Rows of a tile in the sequence of Llama's tower: padded to a multiple of 8. */
static inline int64_t snug_padded_rows_per_tile(const struct snug_model_config *config)
{
    return (config->rows_per_tile + 7) / 8 * 8;
}

/* ---- how weights are held ---- */

/* Parts of a model, to leave out of quantising. */
enum snug_part {
    SNUG_PART_VISION,
    SNUG_PART_PROJECTOR,
    SNUG_PART_TEXT,
    SNUG_PART_LM_HEAD,
    SNUG_PART_COUNT
};
const char *snug_part_name(enum snug_part part); /* "vision", "projector", "text", "lm_head" */

struct snug_model_options {
    enum snug_quant quantize; /* of every linear layer, tied head included, but for ... */
    unsigned quantize_skip;   /* ... these parts: a bit 1 << SNUG_PART_... each */
    float outlier_threshold;  /* of activations (DESIGN 2.12); 0: none is one */
};
/* As stored; threshold 6. */
struct snug_model_options snug_model_options_default(void);
/* "vision,projector" to bits; false if a name is none. "" is 0. */
bool snug_parts_parse(const char *text, unsigned *out);
/* And back, into out. */
const char *snug_parts_format(unsigned parts, char out[64]);

/* One weight as the program uses it. Matrices are panels, in the stored type or quantised (then the
 * scales lie behind the integers); vectors and position tables are widened to f32 rows. */
struct snug_weight {
    const char *name;                    /* ours: "text.layer.3.q.weight" */
    const char *source;                  /* the checkpoint's tensor, for messages */
    const struct snug_tensor_view *view; /* while the source is open */
    int64_t n, k;          /* matrix [n, k]; vector or table of n elements if k == 0 */
    int64_t first_row;     /* of the source (the original layout stacks q, k, v) */
    enum snug_dtype dtype; /* as held: f32, f16, bf16; U8 if quantised */
    enum snug_quant quant;
    bool copy;            /* of another weight: a tied head's own */
    bool as_stored;       /* a table in the stored type */
    size_t source_bytes;  /* of the file, read while it is packed */
    int space;            /* where it is held: the host (0) or a device (program/placement.h) */
    size_t offset, bytes; /* in the region of that space */
    const void *data;     /* there */
};

struct snug_model {
    const struct snug_allocator *allocator;
    const struct snug_device *device;
    struct snug_arena arena; /* names */
    char name[128];          /* last part of the folder's path */
    struct snug_model_config config;
    struct snug_model_options options; /* of a converted folder: as it was converted */
    /* The checkpoint, while weights may be loaded from it again; of a converted folder the host's
     * weights lie in it, not in a region. */
    struct snug_safetensors *source;
    char *folder;
    bool converted;
    struct snug_weight *weights;
    size_t weight_count;
    struct snug_region region;                     /* of the host's weights, */
    const struct snug_device *pinned_by;           /* pinned by that device; NULL: plain memory */
    struct snug_region on_device[SNUG_MAX_SPACES]; /* [1 ..]: of the devices' */
    const struct snug_device *devices[SNUG_MAX_SPACES];
    size_t weights_bytes;  /* of all, wherever they are */
    uint64_t alike_ratios; /* Llama: bit i: with aspect ratio id i, tiles that are not used are all
                              alike, so that one serves for all */
    int64_t parameters;
    double load_ms;
};

/* Reads config.json, (pre)processor_config.json and generation_config.json of a folder. No weights
 * are touched. Errors: NOT_FOUND, FORMAT, UNSUPPORTED naming file, key, expected and found. */
SNUG_CHECK_RESULT enum snug_status snug_model_config_read(const struct snug_folder *folder,
                                                          const struct snug_allocator *allocator,
                                                          struct snug_model_config *out,
                                                          struct snug_error *error);

/* Loads a folder: configuration, every tensor's name and shape checked, weights packed (and
 * quantised) one by one into one region of the device, the source's pages given back as it goes; a
 * converted folder is mapped instead. options NULL: the default. pool may be NULL. *out: free with
 * snug_model_free. Errors: those above, MODEL (missing, misshapen or unknown tensor), NON_FINITE (a
 * weight that cannot be quantised), USAGE (a converted folder is held otherwise than asked for),
 * DOES_NOT_FIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_model_load(const struct snug_folder *folder, const struct snug_device *device,
                struct snug_pool *pool, const struct snug_model_options *options,
                const struct snug_allocator *allocator, struct snug_model **out,
                struct snug_error *error);
void snug_model_free(struct snug_model *model); /* NULL allowed */

/* The same in two steps, for models that are held now here, now there. open: everything but the
 * weights' bytes; the checkpoint stays open, so that they can be loaded again whatever becomes of
 * the folder. hold: gives back what was held, then loads every weight into its space: regions of
 * devices, and for what stays on the host a region that the first device has pinned (without
 * devices: plain memory, or the mapping of a converted folder). Errors: as above, DEVICE,
 * DEVICE_LOST; nothing is held then. */
struct snug_placing; /* models/placement.h */
SNUG_CHECK_RESULT enum snug_status
snug_model_open(const struct snug_folder *folder, const struct snug_device *device,
                const struct snug_model_options *options, const struct snug_allocator *allocator,
                struct snug_model **out, struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_model_hold(struct snug_model *model,
                                                   const struct snug_placing *placing,
                                                   struct snug_pool *pool,
                                                   struct snug_error *error);
void snug_model_drop(struct snug_model *model);
/* What is held now is held to the end: the checkpoint is closed, unless weights lie in it. */
void snug_model_release_source(struct snug_model *model);

/* Only the list of weights with their sources, checked against a checkpoint, nothing loaded:
 * for `inspect` and `convert`. Fills weights, weight_count, weights_bytes and parameters of *model
 * (zeroed before, allocator, config and options set; the options become those of a converted
 * folder); free with snug_model_weights_free. */
SNUG_CHECK_RESULT enum snug_status
snug_model_weights_list(struct snug_model *model, const struct snug_safetensors *checkpoint,
                        const char *folder, struct snug_error *error);
void snug_model_weights_free(struct snug_model *model);

/* A model without its weights: configuration, list of weights and their sizes, so that its program
 * can be built and planned. A folder without any weights will do: then they are those that the
 * configuration calls for, in the type it names, with a head of its own. Errors: as
 * snug_model_load, but nothing large is taken. *out: free with snug_model_free. */
SNUG_CHECK_RESULT enum snug_status snug_model_outline(const struct snug_folder *folder,
                                                      const struct snug_model_options *options,
                                                      const struct snug_allocator *allocator,
                                                      struct snug_model **out,
                                                      struct snug_error *error);
/* Bytes of the weights that belong to a part. */
size_t snug_model_part_bytes(const struct snug_model *model, enum snug_part part);
/* Bytes of the weights that a step of decoding reads: text layers and head, each once. */
size_t snug_model_step_bytes(const struct snug_model *model);
/* Most bytes that loading holds at once: packed weights, and the source of the one being packed.
 * Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_model_load_bytes(const struct snug_model *model,
                                                         size_t *bytes, struct snug_error *error);

/* ---- the program ---- */

/* Whose cross-attention (Llama-3.2-Vision). The product computes META's alone, with which the
 * weights were trained; the others are what two ranges of releases of a well-known library compute
 * (llama_vision.md), for comparison with their results. */
enum snug_semantics { SNUG_SEMANTICS_META, SNUG_SEMANTICS_HF4, SNUG_SEMANTICS_HF5 };

struct snug_program_options {
    int64_t vision_batch;     /* tiles a run; Llama: a picture is always one run */
    int64_t tiles;            /* of a document; 0: no vision phase */
    int64_t prefill_chunk;    /* tokens a run */
    int64_t capacity;         /* positions of the key/value cache; rounded up to a multiple of 16 */
    enum snug_dtype kv_dtype; /* F16 or F32 */
    bool all_logits;          /* logits of every row of a chunk, not only the last (tests) */
    int64_t slots;            /* documents that decode together, each with a cache; 0: one */
    int64_t pictures;         /* Llama: of a document, at most; 0: one */
    enum snug_semantics semantics; /* tests */
};

/* Inputs and result of a text phase; -1: it has none. */
struct snug_text_handles {
    int phase;
    int ids, image_row, inv_freq, logits;
    int slots, positions;                 /* decode: a row a document */
    int first_keys, key_counts, row_mask; /* cross-attention: rows of pictures that a row sees */
};

/* Phases and operands the driver needs to know. -1 where there is none. */
struct snug_program_handles {
    int vision, projector; /* phases; InternVL's projector is part of vision */
    int pixels, features;
    int pre_rows, tile_rows, post_rows, key_rows; /* Llama's tower: rows of tables, and of keys */
    int states;                                   /* what it hands to the projector */
    struct snug_text_handles prefill, decode;
};

/* Builds and finishes the program of `model` into *program (initialised here; the caller frees it).
 */
SNUG_CHECK_RESULT enum snug_status
snug_model_program(const struct snug_model *model, const struct snug_program_options *options,
                   const struct snug_allocator *allocator, struct snug_program *program,
                   struct snug_program_handles *handles, struct snug_error *error);

#endif
