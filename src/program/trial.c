/* Which kinds of steps a program has, and what they are called. Sizes are cut down to what a kernel
 * can still tell apart: a row keeps its remainder by the blocks of 256 terms that sums go by (and
 * so by groups of 128 and 32), outputs theirs by panels of 16, heads their dimension and how many
 * share one of keys. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/trial.h"

#include <ctype.h>
#include <stdio.h>

#define BLOCK_TERMS 256
#define FEW_HEADS 3
#define FEW_ROWS 19   /* of a tile */
#define MANY_ROWS 261 /* of a tile: its keys are more than a block */
#define MANY_KEYS 300 /* of a picture */
#define FEW_PATCHES 4 /* in a row of a picture; even */

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

/* A block and what is left, or two blocks; short rows as they are. */
static int64_t row_of(int64_t cols)
{
    if (cols <= SNUG_TRIAL_TERMS)
        return cols;
    int64_t left = cols % BLOCK_TERMS;
    return BLOCK_TERMS + (left ? left : BLOCK_TERMS);
}

/* The operand that an input or output is; a step without it has none of its properties. */
static const struct snug_operand *operand(const struct snug_program *program, int index)
{
    static const struct snug_operand none;
    return index < 0 ? &none : &program->operands[index];
}

static int64_t cols_of(const struct snug_program *program, int index)
{
    return operand(program, index)->cols;
}

static void set_attention(struct snug_variant *v, const struct snug_step *step)
{
    v->sequence = step->sequence;
    v->head_dim = step->head_dim;
    v->kv_heads = at_most(step->kv_heads, 2);
    if (step->op == SNUG_OP_KIND_ATTENTION)
        v->heads = step->heads / step->kv_heads * v->kv_heads;
    if (step->sequence == SNUG_SEQUENCE_KIND_TILE) {
        v->rows = at_most(step->rows_per_sequence, FEW_ROWS);
        v->many_rows = at_most(step->rows_per_sequence, MANY_ROWS);
    }
    if (step->sequence == SNUG_SEQUENCE_KIND_PICTURE)
        v->rows = at_most(step->rows_per_sequence, MANY_KEYS);
}

static void set_norm(struct snug_variant *v, const struct snug_step *step, int64_t cols)
{
    int64_t heads = step->heads ? step->heads : 1;
    v->eps = step->eps;
    v->heads = at_most(heads, FEW_HEADS);
    v->cols = row_of(cols / heads);
}

/* Ops with a weight, table or cache, whose type matters. False: a kind of step that is not known
 * here. */
static bool set_typed(const struct snug_program *p, const struct snug_step *step,
                      struct snug_variant *v)
{
    switch (step->op) {
    case SNUG_OP_KIND_ADD_ROWS:
        v->dtype = operand(p, step->in[1])->dtype;
        v->complement = step->complement;
        v->cols = row_of(cols_of(p, step->out[0]));
        return true;
    case SNUG_OP_KIND_EMBED:
        v->dtype = operand(p, step->in[2])->dtype;
        v->cols = row_of(step->k);
        return true;
    case SNUG_OP_KIND_LINEAR:
        v->dtype = operand(p, step->in[1])->dtype;
        v->quant = operand(p, step->in[1])->quant;
        v->cols = row_of(step->k);
        v->n = step->n % SNUG_PANEL;
        return true;
    case SNUG_OP_KIND_KV_STORE:
        v->dtype = operand(p, step->out[0])->dtype;
        set_attention(v, step);
        return true;
    case SNUG_OP_KIND_ATTENTION:
        v->dtype = operand(p, step->in[1])->dtype;
        set_attention(v, step);
        return true;
    default:
        return false;
    }
}

static bool set_variant(const struct snug_program *p, const struct snug_step *step,
                        struct snug_variant *v)
{
    memset(v, 0, sizeof *v);
    v->op = step->op;
    for (int i = 0; i < SNUG_STEP_INPUTS; i++) {
        v->has[i] = step->in[i] >= 0;
        v->in_place |= v->has[i] && step->in[i] == step->out[0];
    }
    switch (step->op) {
    case SNUG_OP_KIND_PATCHES:
        v->patch = step->patch;
        v->grid = at_most(step->side / step->patch, FEW_PATCHES);
        return true;
    case SNUG_OP_KIND_ROPE:
        v->heads = at_most(step->heads, FEW_HEADS);
        v->head_dim = step->head_dim;
        v->row_each = operand(p, step->in[0])->rows_per_unit > 0;
        return true;
    case SNUG_OP_KIND_LAYER_NORM:
    case SNUG_OP_KIND_RMS_NORM:
        set_norm(v, step, cols_of(p, step->in[0]));
        return true;
    case SNUG_OP_KIND_PIXEL_SHUFFLE:
    case SNUG_OP_KIND_STORE_COLUMNS:
    case SNUG_OP_KIND_QUANTIZE:
    case SNUG_OP_KIND_VISION_EMBED:
    case SNUG_OP_KIND_DROP_CLS:
    case SNUG_OP_KIND_STORE_ROWS:
    case SNUG_OP_KIND_PAD_ROWS:
    case SNUG_OP_KIND_GELU:
    case SNUG_OP_KIND_SILU_MUL:
    case SNUG_OP_KIND_RESIDUAL:
    case SNUG_OP_KIND_LAST_ROW:
        v->cols = row_of(cols_of(p, step->in[0]));
        v->grid = at_most(step->grid, FEW_PATCHES);
        v->transposed = step->transposed;
        v->stride = step->stride;
        v->threshold = step->threshold;
        return true;
    default:
        return set_typed(p, step, v);
    }
}

enum snug_status snug_variants_find(const struct snug_program *program,
                                    const struct snug_placed *placed, int space,
                                    const struct snug_allocator *allocator,
                                    struct snug_variant **out, int *count, struct snug_error *error)
{
    struct snug_variant *found = NULL;
    int number = 0, capacity = 0;
    for (int s = 0; s < program->step_count; s++) {
        struct snug_variant v;
        int i = 0;
        if (placed->compute[s] != space)
            continue;
        if (!set_variant(program, &program->steps[s], &v)) {
            snug_free(allocator, found);
            return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                                  "op %s: nothing to compare it by; the device is not used",
                                  snug_op_kind_name(program->steps[s].op));
        }
        while (i < number && memcmp(&found[i], &v, sizeof v))
            i++;
        if (i < number)
            continue;
        if (number == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            struct snug_variant *grown =
                snug_realloc_array(allocator, found, (size_t)capacity, sizeof *grown);
            if (!grown) {
                snug_free(allocator, found);
                return snug_error_memory(error, (size_t)capacity * sizeof v, "kinds of steps");
            }
            found = grown;
        }
        memcpy(&found[number++], &v, sizeof v); /* with what lies between members */
    }
    *out = found;
    *count = number;
    return SNUG_STATUS_OK;
}

/* ---- names ---- */

/* Adds ", word", the first after "op (". */
static void add(char out[SNUG_VARIANT_NAME_BYTES], bool *any, const char *word)
{
    size_t length = strlen(out);
    snprintf(out + length, SNUG_VARIANT_NAME_BYTES - length, "%s%s", *any ? ", " : " (", word);
    *any = true;
}

static const char *sequence_name(enum snug_sequence_kind sequence)
{
    static const char *const names[] = {"text", "tile", "picture", "cross"};
    return names[sequence];
}

static void name_inputs(const struct snug_variant *v, char out[SNUG_VARIANT_NAME_BYTES], bool *any)
{
    switch (v->op) {
    case SNUG_OP_KIND_LINEAR:
    case SNUG_OP_KIND_LAYER_NORM:
    case SNUG_OP_KIND_RMS_NORM:
        if (v->has[2])
            add(out, any, "bias");
        if (v->op != SNUG_OP_KIND_LINEAR && v->heads > 1)
            add(out, any, "each head");
        return;
    case SNUG_OP_KIND_RESIDUAL:
        if (v->has[1])
            add(out, any, "scale");
        if (v->has[2])
            add(out, any, "gate");
        if (v->has[3])
            add(out, any, "mask");
        return;
    case SNUG_OP_KIND_KV_STORE:
    case SNUG_OP_KIND_ATTENTION:
        add(out, any, sequence_name(v->sequence));
        if (v->has[v->op == SNUG_OP_KIND_KV_STORE ? 2 : 3])
            add(out, any, "slots");
        return;
    case SNUG_OP_KIND_ROPE:
        if (v->has[1])
            add(out, any, "positions");
        return;
    default:
        if (v->transposed)
            add(out, any, "transposed");
        if (v->complement)
            add(out, any, "complement");
    }
}

const char *snug_variant_name(const struct snug_variant *v, char out[SNUG_VARIANT_NAME_BYTES])
{
    bool any = false, typed = v->op == SNUG_OP_KIND_LINEAR || v->op == SNUG_OP_KIND_EMBED ||
                              v->op == SNUG_OP_KIND_ADD_ROWS || v->op == SNUG_OP_KIND_KV_STORE ||
                              v->op == SNUG_OP_KIND_ATTENTION;
    snprintf(out, SNUG_VARIANT_NAME_BYTES, "%s", snug_op_kind_name(v->op));
    if (v->quant != SNUG_QUANT_NONE) {
        add(out, &any, snug_quant_name(v->quant));
    } else if (typed) {
        char dtype[16];
        snprintf(dtype, sizeof dtype, "%s", snug_dtype_name(v->dtype));
        for (char *c = dtype; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        add(out, &any, dtype);
    }
    name_inputs(v, out, &any);
    if (any)
        snprintf(out + strlen(out), SNUG_VARIANT_NAME_BYTES - strlen(out), ")");
    return out;
}
