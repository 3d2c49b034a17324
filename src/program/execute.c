/* The executor: one small function an op, which turns a step and its operands into the op's
 * arguments. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/execute.h"

#include "program/cost.h"
#include "program/transfer.h"

#include <math.h>

void *snug_executor_operand(const struct snug_executor *executor, int operand)
{
    return operand < 0 ? NULL : snug_placed_address(executor, SNUG_SPACE_HOST, -1, operand);
}

/* What the functions below share: the step, where it is computed, and the run it belongs to. */
struct context {
    const struct snug_executor *executor;
    const struct snug_step *step;
    int index, space; /* of the step */
    struct snug_run *run;
};

static void *in(const struct context *c, int i)
{
    int index = c->step->in[i];
    return index < 0 ? NULL : snug_placed_address(c->executor, c->space, c->index, index);
}
static void *out(const struct context *c, int i)
{
    int index = c->step->out[i];
    return index < 0 ? NULL : snug_placed_address(c->executor, c->space, c->index, index);
}
static const struct snug_operand *operand(const struct context *c, int index)
{
    return &c->executor->program->operands[index];
}
static int64_t rows_of(const struct context *c, int index)
{
    return snug_run_rows(operand(c, index), c->run);
}
static int64_t cols_of(const struct context *c, int index)
{
    return operand(c, index)->cols;
}
static bool all_finite(const float *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(data[i]))
            return false;
    return true;
}

static enum snug_status run_patches(const struct context *c)
{
    struct snug_patches args = {.tiles = c->run->units,
                                .side = c->step->side,
                                .patch = c->step->patch,
                                .pixels = in(c, 0),
                                .y = out(c, 0)};
    return c->executor->ops->patches(&args, c->executor->pool);
}

static enum snug_status run_vision_embed(const struct context *c)
{
    struct snug_vision_embed args = {.tiles = c->run->units,
                                     .count = operand(c, c->step->in[0])->rows_per_unit,
                                     .d = cols_of(c, c->step->in[0]),
                                     .x = in(c, 0),
                                     .cls = in(c, 1),
                                     .position = in(c, 2),
                                     .y = out(c, 0)};
    return c->executor->ops->vision_embed(&args, c->executor->pool);
}

static enum snug_status run_drop_cls(const struct context *c)
{
    struct snug_drop_cls args = {.tiles = c->run->units,
                                 .count = operand(c, c->step->out[0])->rows_per_unit,
                                 .d = cols_of(c, c->step->out[0]),
                                 .x = in(c, 0),
                                 .y = out(c, 0)};
    return c->executor->ops->drop_cls(&args, c->executor->pool);
}

static enum snug_status run_pixel_shuffle(const struct context *c)
{
    struct snug_pixel_shuffle args = {.tiles = c->run->units,
                                      .grid = c->step->grid,
                                      .d = cols_of(c, c->step->in[0]),
                                      .transposed = c->step->transposed,
                                      .x = in(c, 0),
                                      .y = out(c, 0)};
    return c->executor->ops->pixel_shuffle(&args, c->executor->pool);
}

static enum snug_status run_store_rows(const struct context *c)
{
    int64_t rows = rows_of(c, c->step->in[0]), cols = cols_of(c, c->step->in[0]);
    int64_t room = operand(c, c->step->out[0])->fixed_rows;
    if (c->run->first_row < 0 || c->run->first_row > room || rows > room - c->run->first_row)
        return SNUG_STATUS_SHAPE;
    memcpy((float *)out(c, 0) + c->run->first_row * cols, in(c, 0),
           (size_t)(rows * cols) * sizeof(float));
    c->run->state_non_finite |= !all_finite(in(c, 0), rows * cols);
    return SNUG_STATUS_OK;
}

static enum snug_status run_store_columns(const struct context *c)
{
    int64_t rows = rows_of(c, c->step->out[0]), cols = cols_of(c, c->step->in[0]);
    int64_t width = cols_of(c, c->step->out[0]), stride = c->step->stride;
    const float *x = in(c, 0);
    float *y = (float *)out(c, 0) + c->step->first_column;
    if (rows > rows_of(c, c->step->in[0]) || c->step->first_column + (cols - 1) * stride >= width)
        return SNUG_STATUS_SHAPE;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++)
            y[r * width + i * stride] = x[r * cols + i];
    if (c->run->valid_rows && c->run->valid_rows < rows)
        rows = c->run->valid_rows;
    c->run->state_non_finite |= !all_finite(x, rows * cols);
    return SNUG_STATUS_OK;
}

static enum snug_status run_pad_rows(const struct context *c)
{
    int64_t rows = rows_of(c, c->step->in[0]), cols = cols_of(c, c->step->in[0]);
    int64_t all = rows_of(c, c->step->out[0]);
    if (rows > all)
        return SNUG_STATUS_SHAPE;
    memcpy(out(c, 0), in(c, 0), (size_t)(rows * cols) * sizeof(float));
    memset((float *)out(c, 0) + rows * cols, 0, (size_t)((all - rows) * cols) * sizeof(float));
    return SNUG_STATUS_OK;
}

static enum snug_status run_add_rows(const struct context *c)
{
    const struct snug_operand *table = operand(c, c->step->in[1]);
    int64_t cols = cols_of(c, c->step->out[0]);
    struct snug_add_rows args = {.rows = rows_of(c, c->step->out[0]),
                                 .cols = cols,
                                 .table_rows =
                                     (int64_t)(table->bytes / snug_dtype_size(table->dtype)) / cols,
                                 .x = out(c, 0),
                                 .index = in(c, 0),
                                 .table_dtype = table->dtype,
                                 .table = in(c, 1),
                                 .gate = in(c, 2),
                                 .complement = c->step->complement};
    return c->executor->ops->add_rows(&args, c->executor->pool);
}

static enum snug_status run_embed(const struct context *c)
{
    int features = c->step->in[3];
    struct snug_embed args = {.rows = c->run->units,
                              .d = c->step->k,
                              .vocabulary = c->step->n,
                              .feature_rows = features < 0 ? 0 : operand(c, features)->fixed_rows,
                              .ids = in(c, 0),
                              .image_row = in(c, 1),
                              .table_dtype = operand(c, c->step->in[2])->dtype,
                              .table = in(c, 2),
                              .features = in(c, 3),
                              .y = out(c, 0)};
    return c->executor->ops->embed(&args, c->executor->pool);
}

static struct snug_norm norm_args(const struct context *c)
{
    int64_t heads = c->step->heads ? c->step->heads : 1;
    int64_t cols = cols_of(c, c->step->in[0]) / heads;
    return (struct snug_norm){.rows = rows_of(c, c->step->in[0]) * heads,
                              .cols = cols,
                              .x = in(c, 0),
                              .x_ld = cols,
                              .w = in(c, 1),
                              .b = in(c, 2),
                              .eps = c->step->eps,
                              .y = out(c, 0),
                              .y_ld = cols};
}

static enum snug_status run_layer_norm(const struct context *c)
{
    struct snug_norm args = norm_args(c);
    return c->executor->ops->layer_norm(&args, c->executor->pool);
}

static enum snug_status run_rms_norm(const struct context *c)
{
    struct snug_norm args = norm_args(c);
    return c->executor->ops->rms_norm(&args, c->executor->pool);
}

static enum snug_status run_quantize(const struct context *c)
{
    struct snug_quantize args = {.rows = rows_of(c, c->step->in[0]),
                                 .k = c->step->k,
                                 .x = in(c, 0),
                                 .x_ld = cols_of(c, c->step->in[0]),
                                 .threshold = c->step->threshold,
                                 .y = out(c, 0)};
    return c->executor->ops->quantize(&args, c->executor->pool);
}

static enum snug_status run_linear_quantized(const struct context *c, enum snug_quant quant)
{
    const unsigned char *w = in(c, 1);
    struct snug_linear_quantized args = {
        .rows = rows_of(c, c->step->in[0]),
        .n = c->step->n,
        .k = c->step->k,
        .x = in(c, 0),
        .quant = quant,
        .w = w,
        .w_scales =
            (const uint16_t *)(const void *)(w + snug_quant_bytes(quant, c->step->n, c->step->k)),
        .bias = in(c, 2),
        .y = out(c, 0),
        .y_ld = cols_of(c, c->step->out[0])};
    return c->executor->ops->linear_quantized(&args, c->executor->pool);
}

static enum snug_status run_linear(const struct context *c)
{
    enum snug_quant quant = operand(c, c->step->in[1])->quant;
    if (quant != SNUG_QUANT_NONE)
        return run_linear_quantized(c, quant);
    struct snug_linear args = {.rows = rows_of(c, c->step->in[0]),
                               .n = c->step->n,
                               .k = c->step->k,
                               .x = in(c, 0),
                               .x_ld = cols_of(c, c->step->in[0]),
                               .w_dtype = operand(c, c->step->in[1])->dtype,
                               .w = in(c, 1),
                               .bias = in(c, 2),
                               .y = out(c, 0),
                               .y_ld = cols_of(c, c->step->out[0])};
    return c->executor->ops->linear(&args, c->executor->pool);
}

static enum snug_status run_rope(const struct context *c)
{
    bool row_each = c->step->in[0] >= 0 && operand(c, c->step->in[0])->rows_per_unit > 0;
    struct snug_rope args = {.rows = c->run->units,
                             .heads = c->step->heads,
                             .head_dim = c->step->head_dim,
                             .first_position = c->run->first_position,
                             .inv_freq = in(c, 0),
                             .inv_freq_ld = row_each ? cols_of(c, c->step->in[0]) : 0,
                             .positions = in(c, 1),
                             .x = out(c, 0),
                             .x_ld = cols_of(c, c->step->out[0])};
    return c->executor->ops->rope(&args, c->executor->pool);
}

/* Which rows belong together, and in which caches their keys lie. */
struct sequences {
    int64_t count, rows, first_position, caches;
    int32_t slot;                     /* of the only one */
    const int32_t *slots, *positions; /* NULL: in order, and first_position */
};

/* slots, positions: inputs of the step; rows: the operand of queries, or of keys; cache: that of
 * keys. */
static void set_sequences(const struct context *c, int slots, int positions, int rows, int cache,
                          struct sequences *s)
{
    *s = (struct sequences){.count = 1, .rows = rows_of(c, rows)};
    switch (c->step->sequence) {
    case SNUG_SEQUENCE_KIND_TILE:
        s->count = c->run->units;
        s->rows = c->step->rows_per_sequence;
        return;
    case SNUG_SEQUENCE_KIND_PICTURE:
        s->rows = c->step->rows_per_sequence;
        return;
    case SNUG_SEQUENCE_KIND_TEXT:
    case SNUG_SEQUENCE_KIND_CROSS:
        break;
    }
    s->caches = operand(c, cache)->fixed_rows;
    if (c->step->in[slots] >= 0) {
        s->count = c->run->units;
        s->rows = 1;
        s->slots = in(c, slots);
        s->positions = in(c, positions);
        return;
    }
    s->first_position = c->run->first_position;
    s->slot = (int32_t)c->run->slot;
    s->slots = &s->slot;
}

static enum snug_status run_kv_store(const struct context *c)
{
    struct sequences s;
    bool found[SNUG_MAX_PARALLEL] = {false}, text = c->step->sequence == SNUG_SEQUENCE_KIND_TEXT;
    set_sequences(c, 2, 3, c->step->in[0], c->step->out[0], &s);
    struct snug_kv_store args = {.sequences = s.count,
                                 .rows_per_sequence = s.rows,
                                 .kv_heads = c->step->kv_heads,
                                 .head_dim = c->step->head_dim,
                                 .capacity = c->step->capacity,
                                 .first_position = s.first_position,
                                 .k = in(c, 0),
                                 .v = in(c, 1),
                                 .k_ld = cols_of(c, c->step->in[0]),
                                 .v_ld = cols_of(c, c->step->in[1]),
                                 .dtype = operand(c, c->step->out[0])->dtype,
                                 .k_cache = out(c, 0),
                                 .v_cache = out(c, 1),
                                 .caches = s.caches,
                                 .slots = s.slots,
                                 .positions = s.positions,
                                 .non_finite = text ? found : NULL,
                                 .source = in(c, 4),
                                 .source_rows = rows_of(c, c->step->in[0])};
    if (text && s.count > SNUG_MAX_PARALLEL)
        return SNUG_STATUS_SHAPE;
    enum snug_status status = c->executor->ops->kv_store(&args, c->executor->pool);
    for (int64_t i = 0; text && i < s.count; i++) {
        if (!found[i])
            continue;
        c->run->non_finite_rows[i] = true;
        if (!c->run->kv_non_finite)
            c->run->kv_step = (int)(c->step - c->executor->program->steps);
        c->run->kv_non_finite = true;
    }
    return status;
}

/* What every attention of a step has alike: all rows of the run as one sequence that sees `keys`
 * keys of the first cache. */
static struct snug_attention attention_args(const struct context *c, int64_t keys)
{
    return (struct snug_attention){.sequences = 1,
                                   .rows_per_sequence = rows_of(c, c->step->in[0]),
                                   .heads = c->step->heads,
                                   .kv_heads = c->step->kv_heads,
                                   .head_dim = c->step->head_dim,
                                   .capacity = c->step->capacity,
                                   .keys = keys,
                                   .scale = (float)(1.0 / sqrt((double)c->step->head_dim)),
                                   .q = in(c, 0),
                                   .q_ld = cols_of(c, c->step->in[0]),
                                   .dtype = operand(c, c->step->in[1])->dtype,
                                   .k_cache = in(c, 1),
                                   .v_cache = in(c, 2),
                                   .out = out(c, 0),
                                   .out_ld = cols_of(c, c->step->out[0])};
}

/* Rows [first, first + count) of what args describes. */
static enum snug_status attend_rows(const struct context *c, const struct snug_attention *args,
                                    int64_t first, int64_t count)
{
    struct snug_attention part = *args;
    part.rows_per_sequence = count;
    part.q += first * args->q_ld;
    part.out += first * args->out_ld;
    return c->executor->ops->attention(&part, c->executor->pool);
}

static enum snug_status attend_picture(const struct context *c)
{
    struct snug_attention args = attention_args(c, c->step->rows_per_sequence);
    int64_t rows = args.rows_per_sequence, valid = c->run->valid_rows;
    if (valid < 1 || valid > rows)
        return SNUG_STATUS_SHAPE;
    enum snug_status status = attend_rows(c, &args, 0, valid);
    args.keys = valid;
    return status ? status : attend_rows(c, &args, valid, rows - valid);
}

/* Rows of one document that see the same keys go together; those of several each alone. */
static enum snug_status attend_cross(const struct context *c)
{
    struct sequences s;
    set_sequences(c, 3, 3, c->step->in[0], c->step->in[1], &s);
    struct snug_attention args = attention_args(c, c->step->capacity);
    const int32_t *first = in(c, 4), *count = in(c, 5);
    args.caches = s.caches;
    args.slots = s.slots;
    if (s.rows == 1 || s.count > 1) {
        args.sequences = s.count;
        args.rows_per_sequence = 1;
        args.first_keys = first;
        args.key_counts = count;
        return c->executor->ops->attention(&args, c->executor->pool);
    }
    for (int64_t r = 0, end; r < s.rows; r = end) {
        for (end = r + 1; end < s.rows && first[end] == first[r] && count[end] == count[r];)
            end++;
        args.first_keys = first + r;
        args.key_counts = count + r;
        enum snug_status status = attend_rows(c, &args, r, end - r);
        if (status)
            return status;
    }
    return SNUG_STATUS_OK;
}

static enum snug_status run_attention(const struct context *c)
{
    struct sequences s;
    if (c->step->sequence == SNUG_SEQUENCE_KIND_PICTURE)
        return attend_picture(c);
    if (c->step->sequence == SNUG_SEQUENCE_KIND_CROSS)
        return attend_cross(c);
    set_sequences(c, 3, 4, c->step->in[0], c->step->in[1], &s);
    struct snug_attention args =
        attention_args(c, s.positions ? c->step->capacity : s.first_position + s.rows);
    args.sequences = s.count;
    args.rows_per_sequence = s.rows;
    args.first_position = s.first_position;
    args.causal = c->step->sequence == SNUG_SEQUENCE_KIND_TEXT;
    args.caches = s.caches;
    args.slots = s.slots;
    args.positions = s.positions;
    return c->executor->ops->attention(&args, c->executor->pool);
}

static enum snug_status run_gelu(const struct context *c)
{
    struct snug_unary args = {.count = rows_of(c, c->step->in[0]) * cols_of(c, c->step->in[0]),
                              .x = in(c, 0),
                              .y = out(c, 0)};
    return c->executor->ops->gelu(&args, c->executor->pool);
}

static enum snug_status run_silu_mul(const struct context *c)
{
    struct snug_unary args = {.count = rows_of(c, c->step->in[0]) * cols_of(c, c->step->in[0]),
                              .x = in(c, 0),
                              .up = in(c, 1),
                              .y = out(c, 0)};
    return c->executor->ops->silu_mul(&args, c->executor->pool);
}

static enum snug_status run_residual(const struct context *c)
{
    struct snug_residual args = {.rows = rows_of(c, c->step->out[0]),
                                 .cols = cols_of(c, c->step->out[0]),
                                 .x = out(c, 0),
                                 .y = in(c, 0),
                                 .g = in(c, 1),
                                 .gate = in(c, 2),
                                 .mask = in(c, 3)};
    return c->executor->ops->residual(&args, c->executor->pool);
}

static enum snug_status run_last_row(const struct context *c)
{
    int64_t cols = cols_of(c, c->step->in[0]), rows = rows_of(c, c->step->in[0]);
    memcpy(out(c, 0), (const float *)in(c, 0) + (rows - 1) * cols, (size_t)cols * sizeof(float));
    return SNUG_STATUS_OK;
}

typedef enum snug_status run_step_fn(const struct context *c);

static run_step_fn *const run_step[SNUG_OP_KIND_COUNT] = {
    [SNUG_OP_KIND_PATCHES] = run_patches,
    [SNUG_OP_KIND_VISION_EMBED] = run_vision_embed,
    [SNUG_OP_KIND_DROP_CLS] = run_drop_cls,
    [SNUG_OP_KIND_PIXEL_SHUFFLE] = run_pixel_shuffle,
    [SNUG_OP_KIND_STORE_ROWS] = run_store_rows,
    [SNUG_OP_KIND_STORE_COLUMNS] = run_store_columns,
    [SNUG_OP_KIND_PAD_ROWS] = run_pad_rows,
    [SNUG_OP_KIND_ADD_ROWS] = run_add_rows,
    [SNUG_OP_KIND_EMBED] = run_embed,
    [SNUG_OP_KIND_LAYER_NORM] = run_layer_norm,
    [SNUG_OP_KIND_RMS_NORM] = run_rms_norm,
    [SNUG_OP_KIND_QUANTIZE] = run_quantize,
    [SNUG_OP_KIND_LINEAR] = run_linear,
    [SNUG_OP_KIND_ROPE] = run_rope,
    [SNUG_OP_KIND_KV_STORE] = run_kv_store,
    [SNUG_OP_KIND_ATTENTION] = run_attention,
    [SNUG_OP_KIND_GELU] = run_gelu,
    [SNUG_OP_KIND_SILU_MUL] = run_silu_mul,
    [SNUG_OP_KIND_RESIDUAL] = run_residual,
    [SNUG_OP_KIND_LAST_ROW] = run_last_row,
};

/* Caches are panels and quantised rows records, not matrices; features are traced where they are
 * made, and a matrix that is stored by columns once it is whole, which its label says. */
static bool is_traced(const struct snug_step *step)
{
    return step->op != SNUG_OP_KIND_KV_STORE && step->op != SNUG_OP_KIND_STORE_ROWS &&
           step->op != SNUG_OP_KIND_QUANTIZE &&
           (step->op != SNUG_OP_KIND_STORE_COLUMNS || step->label);
}

/* A step's first output where it can be read, for a trace. */
static enum snug_status trace_step(const struct context *c, struct snug_error *error)
{
    const struct snug_executor *e = c->executor;
    int64_t rows = rows_of(c, c->step->out[0]), cols = cols_of(c, c->step->out[0]);
    const char *name = snug_step_name(e->program, c->step);
    size_t bytes = (size_t)(rows * cols) * sizeof(float);
    float *copy = NULL, *data = out(c, 0);
    if (c->space != SNUG_SPACE_HOST) {
        copy = data = snug_alloc(e->allocator, bytes);
        if (!copy)
            return snug_error_memory(error, bytes, "a trace");
        enum snug_status status = snug_copy_out(e, c->space, copy, out(c, 0), bytes, error);
        if (status) {
            snug_free(e->allocator, copy);
            return status;
        }
    }
    bool goes_on = e->trace(e->trace_context, c->step, name, data, rows, cols);
    snug_free(e->allocator, copy);
    if (goes_on)
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "%s: stopped after step %d",
                          e->program->phases[c->run->phase].name, c->index);
}

static enum snug_status launch(const struct context *c, struct snug_error *error)
{
    const struct snug_device *device = c->executor->devices[c->space];
    struct snug_work work = snug_step_work(c->executor->program, c->step, c->run);
    return device->launch(device, &work, error);
}

static enum snug_status run_one(const struct snug_executor *executor, struct snug_run *run,
                                int index, struct snug_error *error)
{
    const struct snug_step *step = &executor->program->steps[index];
    int space = executor->placed->compute[index];
    struct context c = {executor, step, index, space, run};
    const char *phase = executor->program->phases[run->phase].name;
    if (step->needs_picture && run->no_picture)
        return SNUG_STATUS_OK;
    if (executor->goes_on && !executor->goes_on(executor->goes_on_context))
        return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
    if (space != SNUG_SPACE_HOST)
        SNUG_TRY(launch(&c, error));
    enum snug_status status = run_step[step->op](&c);
    if (space != SNUG_SPACE_HOST && executor->devices[space]->launched)
        executor->devices[space]->launched(executor->devices[space]);
    if (status)
        return snug_error_set(error, status, "%s: step %d (%s -> %s): operands do not go together",
                              phase, index, snug_op_kind_name(step->op),
                              snug_step_name(executor->program, step));
    return executor->trace && is_traced(step) ? trace_step(&c, error) : SNUG_STATUS_OK;
}

static enum snug_status act(const struct snug_executor *executor, struct snug_run *run,
                            const struct snug_action *action, struct snug_error *error)
{
    switch ((enum snug_action_kind)action->kind) {
    case SNUG_ACTION_RUN:
        return run_one(executor, run, action->index, error);
    case SNUG_ACTION_COPY:
        return snug_copy_operand(executor, run, action, error);
    case SNUG_ACTION_FETCH:
        return snug_fetch(executor, run, action->index, error);
    case SNUG_ACTION_JOIN:
        return snug_join(executor, run, action->index, error);
    case SNUG_ACTION_STORE:
        return snug_store_back(executor, run, action->index, error);
    }
    return SNUG_STATUS_OK;
}

/* Which step an action belongs to, for messages. */
static int step_of(const struct snug_executor *executor, const struct snug_action *action)
{
    const struct snug_placed *p = executor->placed;
    const struct snug_action *end = p->actions + p->action_count;
    for (const struct snug_action *a = action; a < end; a++)
        if (a->kind == SNUG_ACTION_RUN)
            return a->index;
    return p->program->step_count - 1;
}

static enum snug_status act_all(const struct snug_executor *executor, struct snug_run *run,
                                struct snug_error *error)
{
    const struct snug_placed *p = executor->placed;
    for (int a = p->phase_actions[run->phase]; a < p->phase_actions[run->phase + 1]; a++) {
        enum snug_status status = act(executor, run, &p->actions[a], error);
        if (status != SNUG_STATUS_DEVICE && status != SNUG_STATUS_DEVICE_LOST) {
            SNUG_TRY(status);
            continue;
        }
        int step = step_of(executor, &p->actions[a]);
        return snug_error_prefix(error, status, "%s: step %d (%s)",
                                 p->program->phases[run->phase].name, step,
                                 snug_op_kind_name(p->program->steps[step].op));
    }
    return SNUG_STATUS_OK;
}

/* A dry run: what every space must hold is checked, and each device is told of one launch. */
static enum snug_status run_dry(const struct snug_executor *executor, const struct snug_run *run,
                                struct snug_error *error)
{
    const struct snug_work none = {0};
    for (int space = 0; space < executor->placed->spaces; space++) {
        SNUG_TRY(snug_dry_run(&executor->dry[space], run->phase, run->units, error));
        if (space)
            SNUG_TRY(executor->devices[space]->launch(executor->devices[space], &none, error));
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_execute(const struct snug_executor *executor, struct snug_run *run,
                              struct snug_error *error)
{
    const struct snug_program *program = executor->program;
    SNUG_ASSERT(run->phase >= 0 && run->phase < program->phase_count);
    SNUG_ASSERT(run->units >= 1 && run->units <= program->phases[run->phase].max_units);
    if (executor->dry)
        return run_dry(executor, run, error);
    enum snug_status status = act_all(executor, run, error);
    for (int space = 1; space < executor->placed->spaces; space++) {
        const struct snug_device *device = executor->devices[space];
        struct snug_error local;
        enum snug_status done = device->synchronise(device, &local);
        if (done && (!status || done == SNUG_STATUS_DEVICE_LOST)) /* a loss is what must be known */
            status = snug_error_set(error, done, "%s", local.message);
    }
    return status;
}

/* ---- blame ---- */

struct blame {
    const struct snug_step *step;
    const char *name;
    int64_t row;
};

static bool find_non_finite(void *context, const struct snug_step *step, const char *name,
                            const float *data, int64_t rows, int64_t cols)
{
    struct blame *blame = context;
    for (int64_t i = 0; i < rows * cols; i++)
        if (!isfinite(data[i])) {
            *blame = (struct blame){step, name, i / cols};
            return false;
        }
    return true;
}

enum snug_status snug_execute_blame(const struct snug_executor *executor,
                                    const struct snug_run *run, const char *symptom,
                                    struct snug_error *error)
{
    struct blame blame = {0};
    struct snug_executor traced = *executor;
    struct snug_run again = *run;
    traced.trace = find_non_finite;
    traced.trace_context = &blame;
    again.kv_non_finite = again.state_non_finite = false;
    enum snug_status status = snug_execute(&traced, &again, error);
    if (status && !blame.step)
        return status;
    const struct snug_program *program = executor->program;
    const char *phase = program->phases[run->phase].name;
    if (blame.step && (!again.kv_non_finite || again.kv_step > blame.step - program->steps))
        return snug_error_set(error, SNUG_STATUS_NON_FINITE,
                              "%s: %s: the first non-finite value comes from op %s (%s, row %lld); "
                              "the weights or the input are damaged",
                              phase, symptom, snug_op_kind_name(blame.step->op), blame.name,
                              (long long)blame.row);
    if (!again.kv_non_finite)
        return snug_error_set(error, SNUG_STATUS_NON_FINITE, "%s: %s", phase, symptom);
    const struct snug_step *step = &program->steps[again.kv_step];
    return snug_error_set(
        error, SNUG_STATUS_NON_FINITE,
        "%s: %s: the first non-finite value comes from op %s (%s): beyond the range of the f16 "
        "cache; try --kv f32",
        phase, symptom, snug_op_kind_name(step->op), program->operands[step->in[0]].name);
}
