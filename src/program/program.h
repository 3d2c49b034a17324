/* A model's forward pass as data: operands and a flat list of steps. It says what is computed,
 * never where: the layout gives every operand its place, the executor runs the steps.
 *
 * A program has phases (vision tiles, prefill chunk, decode step), each built once for its largest
 * number of units (tiles or tokens) and run with that many or fewer. Phases share operands: the
 * pictures' features, the keys and values, the weights. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_PROGRAM_H
#define SNUG_PROGRAM_PROGRAM_H

#include "tensor/quant.h"

enum snug_operand_kind {
    /* Bound to the model's weights, alive always. */
    SNUG_OPERAND_KIND_WEIGHT,
    /* Written by the caller before the phase runs; alive all through it, so that the next chunk and
     * the search for a non-finite value find it as it was. */
    SNUG_OPERAND_KIND_INPUT,
    /* Alive from the first step that names it to the last, within a phase. */
    SNUG_OPERAND_KIND_SCRATCH,
    /* Outlives steps: alive from the start of the first phase that names it to the end of the last
     * (features, keys and values). */
    SNUG_OPERAND_KIND_STATE,
    /* Alive from the first step to the last: phases run in any order while it holds something (keys
     * and values of several documents, one of which may still be looked at). */
    SNUG_OPERAND_KIND_LASTING,
};

/* What a cache of keys or values holds, per document: [heads][panels] (ops/op.h). */
struct snug_cache_shape {
    int64_t heads, head_dim,
        capacity; /* heads 0: the operand is no cache that outlives its phase */
    bool values;
};

/* A matrix of rows_per_unit * units + fixed_rows rows by cols elements. Panels (weights, keys,
 * values) count as one row of their packed elements. */
struct snug_operand {
    const char *name; /* "text.layer.0.norm1": golden tests and error messages know it by this */
    enum snug_operand_kind kind;
    enum snug_dtype dtype;
    int64_t rows_per_unit, fixed_rows, cols;
    size_t bytes;          /* of the largest run, or of the weight */
    const void *weight;    /* WEIGHT: where it lies */
    enum snug_quant quant; /* WEIGHT: a quantised matrix, its scales behind its integers */
    struct snug_cache_shape cache;
    bool output;               /* the caller reads it when its phase has run */
    int first_step, last_step; /* of the whole timeline; -1: never used */
    size_t offset;             /* in the region; set by snug_layout_make */
};

/* Steps name operands by index; -1 is "without". */
enum snug_op_kind {
    SNUG_OP_KIND_PATCHES,       /* in: pixels                          out: patches */
    SNUG_OP_KIND_VISION_EMBED,  /* in: x, cls, position                out: y */
    SNUG_OP_KIND_DROP_CLS,      /* in: x                               out: y */
    SNUG_OP_KIND_PIXEL_SHUFFLE, /* in: x                               out: y */
    SNUG_OP_KIND_STORE_ROWS, /* in: x; out: y at row first_row      (features of a micro-batch) */
    SNUG_OP_KIND_STORE_COLUMNS, /* in: x; out: y, column c of x at first_column + c * stride; y may
                                   have fewer rows */
    SNUG_OP_KIND_PAD_ROWS,      /* in: x; out: y: its rows, then zeros */
    SNUG_OP_KIND_ADD_ROWS,      /* in: index, table, gate           out: x, in place */
    SNUG_OP_KIND_EMBED,         /* in: ids, image_row, table, features out: y */
    SNUG_OP_KIND_LAYER_NORM,    /* in: x, w, b                         out: y */
    SNUG_OP_KIND_RMS_NORM,      /* in: x, w                            out: y (may be x) */
    SNUG_OP_KIND_QUANTIZE,  /* in: x                               out: y, records of integers */
    SNUG_OP_KIND_LINEAR,    /* in: x (records if w is quantised), w, bias   out: y */
    SNUG_OP_KIND_ROPE,      /* in: inv_freq, positions             out: x, in place */
    SNUG_OP_KIND_KV_STORE,  /* in: k, v, slots, positions, source  out: k_cache, v_cache */
    SNUG_OP_KIND_ATTENTION, /* in: q, k_cache, v_cache, slots, positions (cross: first_keys,
                               key_counts)                         out: y */
    SNUG_OP_KIND_GELU,      /* in: x                               out: y (may be x) */
    SNUG_OP_KIND_SILU_MUL,  /* in: gate, up                        out: y (may be gate) */
    SNUG_OP_KIND_RESIDUAL,  /* in: y, g, gate, mask                out: x, in place */
    SNUG_OP_KIND_LAST_ROW,  /* in: x                               out: y, one row */
    SNUG_OP_KIND_COUNT
};
const char *snug_op_kind_name(enum snug_op_kind op);

#define SNUG_STEP_INPUTS 6
#define SNUG_STEP_OUTPUTS 2

/* Which rows of a run belong together in kv_store and attention. */
enum snug_sequence_kind {
    SNUG_SEQUENCE_KIND_TEXT,    /* the whole run is one, in the run's slot; with slots every row is
                                   the next token of one of its own. Causal */
    SNUG_SEQUENCE_KIND_TILE,    /* rows_per_sequence each, and sees all of itself */
    SNUG_SEQUENCE_KIND_PICTURE, /* the run is one; its keys are rows_per_sequence, gathered through
                                   `source`. The run's first valid_rows rows see all keys, the
                                   others those of the first valid_rows */
    SNUG_SEQUENCE_KIND_CROSS,   /* attention only: as text, but each row sees key_counts[r] keys
                                   from first_keys[r] on */
};

struct snug_step {
    enum snug_op_kind op;
    enum snug_sequence_kind sequence;
    const char *label; /* what the first output now holds, if that is not its operand's name
                          ("text.layer.3") */
    int in[SNUG_STEP_INPUTS], out[SNUG_STEP_OUTPUTS];
    float eps;       /* norms */
    float threshold; /* quantize: of outliers */
    int64_t n, k;    /* linear: outputs and terms; embed: vocabulary rows and width */
    int64_t heads, kv_heads, head_dim; /* rope, kv_store, attention; norms: heads, if each has its
                                          own norm */
    int64_t capacity;                  /* kv_store, attention: positions a cache holds */
    int64_t rows_per_sequence;         /* kv_store, attention: of a tile, or keys of a picture */
    int64_t side, patch, grid;    /* patches: picture and patch side; pixel shuffle: grid side */
    int64_t first_column, stride; /* store_columns */
    bool transposed;              /* pixel shuffle */
    bool complement;              /* add_rows: 1 - tanh(gate) */
    bool needs_picture;           /* left out of runs without one (cross-attention layers) */
    int unit; /* which part of the model it belongs to: what is placed as a whole (placement.h) */
};

#define SNUG_MAX_PHASES 4
struct snug_phase {
    const char *name; /* "vision", "prefill", "decode" */
    int64_t max_units;
    int first_step, step_count;
};

struct snug_program {
    struct snug_arena arena; /* owns the names */
    const struct snug_allocator *allocator;
    struct snug_operand *operands;
    struct snug_step *steps;
    int operand_count, operand_capacity, step_count, step_capacity;
    struct snug_phase phases[SNUG_MAX_PHASES];
    int phase_count;
    int unit;                     /* of the steps added next */
    bool out_of_memory, overflow; /* sticky; snug_program_finish reports them */
};

void snug_program_init(struct snug_program *program, const struct snug_allocator *allocator);
void snug_program_free(struct snug_program *program);

/* Builders: each returns an index, or -1 once something failed (sticky), so that a forward pass
 * reads straight down without a check on every line. The name is a printf format. */
int snug_program_operand(struct snug_program *program, enum snug_operand_kind kind,
                         enum snug_dtype dtype, int64_t rows_per_unit, int64_t fixed_rows,
                         int64_t cols, const char *name, ...) SNUG_PRINTF(7, 8);
int snug_program_weight(struct snug_program *program, const char *name, enum snug_dtype dtype,
                        enum snug_quant quant, const void *weight, size_t bytes);
/* Later steps belong to this phase. */
void snug_program_phase(struct snug_program *program, const char *name, int64_t max_units);
/* A step with every operand -1 and every attribute 0; valid until the next call; never NULL (a
 * dummy after a failure). */
struct snug_step *snug_program_step(struct snug_program *program, enum snug_op_kind op);
/* The one added last; the dummy if there is none. */
struct snug_step *snug_program_last_step(struct snug_program *program);

/* Sets lifetimes. Errors: MEMORY, LIMIT, and SHAPE if a step reads a scratch operand that no
 * earlier step of its phase wrote. */
SNUG_CHECK_RESULT enum snug_status snug_program_finish(struct snug_program *program,
                                                       struct snug_error *error);

/* The step's label, or the name of its first output. */
const char *snug_step_name(const struct snug_program *program, const struct snug_step *step);

/* Whether the plan gives it bytes of the region: it is used, and no weight. */
static inline bool snug_operand_lies_in_region(const struct snug_operand *operand)
{
    return operand->kind != SNUG_OPERAND_KIND_WEIGHT && operand->first_step >= 0;
}

/* Weights and caches have a home (placement.h); all else is where it is made and needed. */
static inline bool snug_operand_has_home(const struct snug_operand *operand)
{
    return operand->kind == SNUG_OPERAND_KIND_WEIGHT || operand->cache.heads > 0;
}

/* Index of an operand by name, -1 if there is none. */
int snug_program_find(const struct snug_program *program, const char *name);

/* Gives every operand but the weights its offset in one region: scratch of different phases
 * overlays. The plan is verified before it is returned. */
SNUG_CHECK_RESULT enum snug_status snug_layout_make(struct snug_program *program,
                                                    size_t *peak_bytes, size_t *lower_bound_bytes,
                                                    struct snug_error *error);

#endif
