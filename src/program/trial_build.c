/* A trial's program: for every kind of step one or two, each with operands of its own, so that a
 * difference has one cause. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "program/trial.h"

#define UNITS SNUG_TRIAL_UNITS
#define LIMIT 4      /* magnitudes of rows; outliers lie above */
#define QUERY_ROWS 3 /* a unit: the reference takes longest over these */
#define MILD 1.5f    /* of queries, keys and values, so that many keys have a weight */
#define CAPACITY 288 /* positions of a cache: more than a block of 256 */
#define SHORT_CAPACITY 48
#define FIRST_POSITION 254 /* the rows of a text run lie on both sides of a block's end */
#define SLOT 1
#define FIRST_ROW 2
#define VALID_ROWS 2
#define TABLE_ROWS 7
#define VOCABULARY 37
#define TILE_PATCHES 5

#define INTEGERS(name, ...) static const int32_t name[] = {__VA_ARGS__}
INTEGERS(ids, 5, 36, 0, 17, 20);
INTEGERS(image_rows, -1, 4, -1, 0, 6);
INTEGERS(no_image_rows, -1);
INTEGERS(table_indices, 3, -1, 6, 0, 5);
INTEGERS(mask, 1, 0, 9);
INTEGERS(slots, 2, 0, 3); /* of UNITS + 1 */
INTEGERS(store_positions, 33, 15, 0);
INTEGERS(attend_positions, 270, 255, 17);
INTEGERS(rope_positions, 3, 0, 1000, 40000, 77);
INTEGERS(first_keys, 7, 7, 0, 40, 256);
INTEGERS(key_counts, 270, 270, 0, 226, 20);
INTEGERS(sources, 1, 0, 4, 3, 3); /* below KEY_ROWS */
#define KEY_ROWS 5

/* ---- operands ---- */

static struct snug_content *content_of(struct snug_trial *t, int operand)
{
    static _Thread_local struct snug_content dummy;
    if (operand < 0)
        return &dummy;
    if (operand >= t->content_capacity) {
        int capacity = t->content_capacity ? 2 * t->content_capacity : 128;
        struct snug_content *grown =
            snug_realloc_array(t->allocator, t->contents, (size_t)capacity, sizeof *grown);
        if (!grown) {
            t->program.out_of_memory = true;
            return &dummy;
        }
        t->contents = grown;
        t->content_capacity = capacity;
    }
    return &t->contents[operand];
}

struct size {
    int64_t rows_per_unit, fixed_rows, cols;
};
static struct size each(int64_t rows_per_unit, int64_t cols)
{
    return (struct size){rows_per_unit, 0, cols};
}
static struct size fixed(int64_t rows, int64_t cols)
{
    return (struct size){0, rows, cols};
}

static int input(struct snug_trial *t, enum snug_dtype dtype, struct size size, enum snug_fill fill,
                 float limit)
{
    int index =
        snug_program_operand(&t->program, SNUG_OPERAND_KIND_INPUT, dtype, size.rows_per_unit,
                             size.fixed_rows, size.cols, "%s", snug_op_kind_name(t->variant->op));
    *content_of(t, index) = (struct snug_content){.fill = fill, .limit = limit};
    return index;
}

static int rows(struct snug_trial *t, struct size size)
{
    return input(t, SNUG_DTYPE_F32, size, SNUG_FILL_ROWS, LIMIT);
}

static int mild(struct snug_trial *t, enum snug_dtype dtype, struct size size)
{
    return input(t, dtype, size, SNUG_FILL_PLAIN, MILD);
}

static int output(struct snug_trial *t, int index)
{
    if (index >= 0)
        t->program.operands[index].output = true;
    return index;
}

static int result(struct snug_trial *t, struct size size)
{
    return output(t, mild(t, SNUG_DTYPE_F32, size));
}

static int integers(struct snug_trial *t, struct size size, const int32_t *values, size_t count)
{
    int index = input(t, SNUG_DTYPE_I32, size, SNUG_FILL_INTEGERS, 0);
    content_of(t, index)->integers = values;
    content_of(t, index)->integer_count = (int64_t)count;
    return index;
}
#define INPUT_OF(t, size, values) integers(t, size, values, sizeof(values) / sizeof *(values))

static int weight(struct snug_trial *t, struct snug_content content, enum snug_dtype dtype,
                  enum snug_quant quant, size_t bytes)
{
    int index = snug_program_weight(&t->program, "weight", dtype, quant, NULL, bytes);
    content.limit = 1;
    content.offset = t->weight_bytes;
    t->weight_bytes +=
        (bytes + SNUG_REGION_ALIGNMENT - 1) / SNUG_REGION_ALIGNMENT * SNUG_REGION_ALIGNMENT;
    *content_of(t, index) = content;
    return index;
}

static int vector(struct snug_trial *t, enum snug_dtype dtype, int64_t n)
{
    const struct snug_content content = {.fill = SNUG_FILL_VECTOR, .n = n};
    return weight(t, content, dtype, SNUG_QUANT_NONE, (size_t)n * snug_dtype_size(dtype));
}

static int matrix(struct snug_trial *t, int64_t n, int64_t k)
{
    const struct snug_variant *v = t->variant;
    const struct snug_content content = {.fill = SNUG_FILL_PANELS, .n = n, .k = k};
    size_t bytes = (size_t)snug_panel_elements(n, k) * snug_dtype_size(v->dtype);
    if (v->quant != SNUG_QUANT_NONE)
        bytes =
            (size_t)(snug_quant_bytes(v->quant, n, k) + 2 * snug_quant_scale_count(v->quant, n, k));
    return weight(t, content, v->dtype, v->quant, bytes);
}

/* The vector, if the variant has that input. */
static int vector_if(struct snug_trial *t, int i, int64_t n)
{
    return t->variant->has[i] ? vector(t, SNUG_DTYPE_F32, n) : -1;
}

/* ---- steps ---- */

static void add_step(struct snug_trial *t, struct snug_step step)
{
    struct snug_step *added = snug_program_step(&t->program, step.op);
    step.unit = added->unit;
    *added = step;
    int count = t->program.step_count;
    if (count > t->step_capacity) {
        int capacity = t->step_capacity ? 2 * t->step_capacity : 64;
        const struct snug_variant **grown =
            snug_realloc_array(t->allocator, t->of_step, (size_t)capacity, sizeof *grown);
        if (!grown) {
            t->program.out_of_memory = true;
            return;
        }
        t->of_step = grown;
        t->step_capacity = capacity;
    }
    if (count)
        t->of_step[count - 1] = t->variant;
}

/* A step of the variant's op with its attributes and no operands. */
static struct snug_step new_step(const struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    return (struct snug_step){.op = v->op,
                              .sequence = v->sequence,
                              .in = {-1, -1, -1, -1, -1, -1},
                              .out = {-1, -1},
                              .eps = v->eps,
                              .threshold = v->threshold,
                              .k = v->cols,
                              .heads = v->heads,
                              .kv_heads = v->kv_heads,
                              .head_dim = v->head_dim,
                              .patch = v->patch,
                              .side = v->patch * v->grid,
                              .grid = v->grid,
                              .stride = v->stride,
                              .transposed = v->transposed,
                              .complement = v->complement};
}

/* One input, one result; both one operand if in place. */
static void one_to_one(struct snug_trial *t, struct size x, struct size y)
{
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, x);
    step.out[0] = t->variant->in_place ? output(t, step.in[0]) : result(t, y);
    add_step(t, step);
}

static void build_patches(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    int64_t side = v->patch * v->grid;
    one_to_one(t, each(1, 3 * side * side), each(v->grid * v->grid, 3 * v->patch * v->patch));
}

static void build_vision_embed(struct snug_trial *t)
{
    int64_t cols = t->variant->cols, count = TILE_PATCHES;
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, each(count, cols));
    step.in[1] = vector(t, SNUG_DTYPE_F32, cols);
    step.in[2] = vector_if(t, 2, (1 + count) * cols);
    step.out[0] = result(t, each(1 + count, cols));
    add_step(t, step);
}

static void build_drop_cls(struct snug_trial *t)
{
    int64_t cols = t->variant->cols, count = TILE_PATCHES;
    one_to_one(t, each(1 + count, cols), each(count, cols));
}

static void build_pixel_shuffle(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    int64_t patches = v->grid * v->grid;
    one_to_one(t, each(patches, v->cols), each(patches / 4, 4 * v->cols));
}

static void build_store_rows(struct snug_trial *t)
{
    int64_t cols = t->variant->cols;
    one_to_one(t, each(3, cols), fixed(FIRST_ROW + 3 * UNITS + 1, cols));
}

/* The states of a tower: one beside the other (stride 1), or interleaved behind the first. */
static void build_store_columns(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, (struct size){3, 2, v->cols});
    step.out[0] = result(t, each(3, v->cols * (1 + v->stride)));
    step.first_column = v->stride > 1 ? v->cols + 1 : 0;
    add_step(t, step);
}

static void build_pad_rows(struct snug_trial *t)
{
    int64_t cols = t->variant->cols;
    one_to_one(t, each(3, cols), (struct size){3, 4, cols});
}

static void build_add_rows(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    if (v->has[0])
        step.in[0] = INPUT_OF(t, each(5, 1), table_indices);
    step.in[1] = vector(t, v->dtype, TABLE_ROWS * v->cols);
    step.in[2] = vector_if(t, 2, 1);
    step.out[0] = output(t, rows(t, each(5, v->cols)));
    add_step(t, step);
}

static void build_embed(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.n = VOCABULARY;
    step.in[0] = INPUT_OF(t, each(1, 1), ids);
    if (v->has[1])
        step.in[1] = v->has[3] ? INPUT_OF(t, each(1, 1), image_rows)
                               : INPUT_OF(t, each(1, 1), no_image_rows);
    step.in[2] = matrix(t, VOCABULARY, v->cols);
    if (v->has[3])
        step.in[3] = rows(t, fixed(TABLE_ROWS, v->cols));
    step.out[0] = result(t, each(1, v->cols));
    add_step(t, step);
}

static void build_norm(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, each(5, v->heads * v->cols));
    step.in[1] = vector(t, SNUG_DTYPE_F32, v->cols);
    step.in[2] = vector_if(t, 2, v->cols);
    step.out[0] = v->in_place ? output(t, step.in[0]) : result(t, each(5, v->heads * v->cols));
    add_step(t, step);
}

static void build_quantize(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    float limit = v->threshold > 0 ? v->threshold : LIMIT;
    step.in[0] = input(t, SNUG_DTYPE_F32, each(5, v->cols), SNUG_FILL_ROWS, limit);
    step.out[0] = output(t, mild(t, SNUG_DTYPE_U8, each(5, snug_quantized_row_bytes(v->cols))));
    add_step(t, step);
}

static void add_linear(struct snug_trial *t, int64_t rows_per_unit, int64_t n)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.n = n;
    if (v->quant == SNUG_QUANT_NONE) {
        step.in[0] = rows(t, each(rows_per_unit, v->cols));
    } else {
        struct size size = each(rows_per_unit, snug_quantized_row_bytes(v->cols));
        step.in[0] = input(t, SNUG_DTYPE_U8, size, SNUG_FILL_RECORDS, LIMIT);
        content_of(t, step.in[0])->k = v->cols;
    }
    step.in[1] = matrix(t, n, v->cols);
    step.in[2] = vector_if(t, 2, n);
    step.out[0] = result(t, each(rows_per_unit, n));
    add_step(t, step);
}

/* One and a few rows under many outputs, and many rows under few. */
static void build_linear(struct snug_trial *t)
{
    add_linear(t, 1, 144 + t->variant->n);
    add_linear(t, 23, SNUG_PANEL + t->variant->n);
}

static void build_rope(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    struct size frequencies = v->row_each ? each(1, v->head_dim / 2) : fixed(1, v->head_dim / 2);
    step.in[0] = input(t, SNUG_DTYPE_F32, frequencies, SNUG_FILL_FREQUENCIES, 1);
    if (v->has[1])
        step.in[1] = INPUT_OF(t, each(1, 1), rope_positions);
    step.out[0] = output(t, rows(t, each(1, v->heads * v->head_dim)));
    add_step(t, step);
}

static void build_silu_mul(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, each(5, v->cols));
    step.in[1] = rows(t, each(5, v->cols));
    step.out[0] = v->in_place ? output(t, step.in[0]) : result(t, each(5, v->cols));
    add_step(t, step);
}

static void build_same(struct snug_trial *t)
{
    one_to_one(t, each(5, t->variant->cols), each(5, t->variant->cols));
}

static void build_residual(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    step.in[0] = rows(t, each(5, v->cols));
    step.in[1] = vector_if(t, 1, v->cols);
    step.in[2] = vector_if(t, 2, 1);
    if (v->has[3])
        step.in[3] = INPUT_OF(t, each(5, 1), mask);
    step.out[0] = output(t, rows(t, each(5, v->cols)));
    add_step(t, step);
}

static void build_last_row(struct snug_trial *t)
{
    one_to_one(t, each(5, t->variant->cols), fixed(1, t->variant->cols));
}

/* ---- keys and values ---- */

/* How many caches there are: one a tile, one of a picture, or one more than documents. */
static int cache(struct snug_trial *t, int64_t kv_heads, int64_t capacity, bool values)
{
    const struct snug_variant *v = t->variant;
    int64_t elements = values ? snug_v_cache_elements(capacity, v->head_dim)
                              : snug_k_cache_elements(capacity, v->head_dim);
    elements *= kv_heads;
    bool slotted = v->has[v->op == SNUG_OP_KIND_KV_STORE ? 2 : 3];
    if (v->sequence == SNUG_SEQUENCE_KIND_TILE)
        return mild(t, v->dtype, each(1, elements));
    int64_t caches = v->sequence == SNUG_SEQUENCE_KIND_PICTURE ? 1 : slotted ? UNITS + 1 : SLOT + 1;
    return mild(t, v->dtype, fixed(caches, elements));
}

static int64_t round_up(int64_t positions)
{
    return snug_panel_count(positions) * SNUG_PANEL;
}

static void build_kv_store(struct snug_trial *t)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    bool slotted = v->has[2], picture = v->sequence == SNUG_SEQUENCE_KIND_PICTURE;
    struct size keys = each(slotted ? 1 : KEY_ROWS, v->kv_heads * v->head_dim);
    step.rows_per_sequence = v->rows;
    step.capacity = slotted ? SHORT_CAPACITY : v->rows ? round_up(v->rows) : CAPACITY;
    if (v->sequence == SNUG_SEQUENCE_KIND_TILE)
        keys.rows_per_unit = v->rows;
    else if (picture && !v->has[4])
        keys = fixed(v->rows, keys.cols);
    step.in[0] = rows(t, keys);
    step.in[1] = rows(t, keys);
    if (slotted)
        step.in[2] = INPUT_OF(t, each(1, 1), slots);
    if (v->has[3])
        step.in[3] = INPUT_OF(t, each(1, 1), store_positions);
    if (v->has[4])
        step.in[4] = INPUT_OF(t, fixed(v->rows, 1), sources);
    step.out[0] = output(t, cache(t, v->kv_heads, step.capacity, false));
    step.out[1] = output(t, cache(t, v->kv_heads, step.capacity, true));
    add_step(t, step);
}

static void add_attention(struct snug_trial *t, int64_t kv_heads, int64_t rows_per_sequence)
{
    const struct snug_variant *v = t->variant;
    struct snug_step step = new_step(t);
    bool slotted = v->has[3], cross = v->sequence == SNUG_SEQUENCE_KIND_CROSS;
    int64_t rows_each = v->sequence == SNUG_SEQUENCE_KIND_TILE ? rows_per_sequence
                        : slotted                              ? 1
                                                               : QUERY_ROWS;
    step.kv_heads = kv_heads;
    step.heads = v->heads / v->kv_heads * kv_heads;
    step.rows_per_sequence = rows_per_sequence;
    step.capacity = rows_per_sequence ? round_up(rows_per_sequence) : CAPACITY;
    step.in[0] = mild(t, SNUG_DTYPE_F32, each(rows_each, step.heads * v->head_dim));
    step.in[1] = cache(t, kv_heads, step.capacity, false);
    step.in[2] = cache(t, kv_heads, step.capacity, true);
    if (slotted)
        step.in[3] = INPUT_OF(t, each(1, 1), slots);
    if (v->has[4])
        step.in[4] = cross ? INPUT_OF(t, each(rows_each, 1), first_keys)
                           : INPUT_OF(t, each(1, 1), attend_positions);
    if (v->has[5])
        step.in[5] = INPUT_OF(t, each(rows_each, 1), key_counts);
    step.out[0] = result(t, each(rows_each, step.heads * v->head_dim));
    add_step(t, step);
}

static void build_attention(struct snug_trial *t)
{
    add_attention(t, t->variant->kv_heads, t->variant->rows);
}

/* ---- all ---- */

typedef void build_fn(struct snug_trial *t);

static build_fn *const builders[SNUG_OP_KIND_COUNT] = {
    [SNUG_OP_KIND_PATCHES] = build_patches,
    [SNUG_OP_KIND_VISION_EMBED] = build_vision_embed,
    [SNUG_OP_KIND_DROP_CLS] = build_drop_cls,
    [SNUG_OP_KIND_PIXEL_SHUFFLE] = build_pixel_shuffle,
    [SNUG_OP_KIND_STORE_ROWS] = build_store_rows,
    [SNUG_OP_KIND_STORE_COLUMNS] = build_store_columns,
    [SNUG_OP_KIND_PAD_ROWS] = build_pad_rows,
    [SNUG_OP_KIND_ADD_ROWS] = build_add_rows,
    [SNUG_OP_KIND_EMBED] = build_embed,
    [SNUG_OP_KIND_LAYER_NORM] = build_norm,
    [SNUG_OP_KIND_RMS_NORM] = build_norm,
    [SNUG_OP_KIND_QUANTIZE] = build_quantize,
    [SNUG_OP_KIND_LINEAR] = build_linear,
    [SNUG_OP_KIND_ROPE] = build_rope,
    [SNUG_OP_KIND_KV_STORE] = build_kv_store,
    [SNUG_OP_KIND_ATTENTION] = build_attention,
    [SNUG_OP_KIND_GELU] = build_same,
    [SNUG_OP_KIND_SILU_MUL] = build_silu_mul,
    [SNUG_OP_KIND_RESIDUAL] = build_residual,
    [SNUG_OP_KIND_LAST_ROW] = build_last_row,
};

/* Tiles whose keys are more than a block: in a run of one tile, with as few heads as can be. */
static bool has_long_tiles(const struct snug_variant *v)
{
    return v->op == SNUG_OP_KIND_ATTENTION && v->many_rows > v->rows;
}

static void build_long_tiles(struct snug_trial *t, const struct snug_variant *variants, int count)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        if (!has_long_tiles(&variants[i]))
            continue;
        if (!any)
            snug_program_phase(&t->program, "long tiles", 1);
        any = true;
        t->variant = &variants[i];
        add_attention(t, 1, variants[i].many_rows);
    }
}

enum snug_status snug_trial_build(const struct snug_variant *variants, int count,
                                  const struct snug_allocator *allocator, struct snug_trial *out,
                                  struct snug_error *error)
{
    *out = (struct snug_trial){.allocator = allocator, .variants = variants};
    snug_program_init(&out->program, allocator);
    snug_program_phase(&out->program, "warm-up", UNITS);
    for (int i = 0; i < count; i++) {
        out->variant = &variants[i];
        SNUG_ASSERT(builders[variants[i].op]);
        builders[variants[i].op](out);
    }
    build_long_tiles(out, variants, count);
    if (out->program.out_of_memory)
        return snug_error_memory(error, (size_t)count * sizeof(struct snug_step),
                                 "a device's warm-up");
    return SNUG_STATUS_OK;
}

void snug_trial_free(struct snug_trial *trial)
{
    if (!trial->allocator)
        return;
    snug_free(trial->allocator, trial->contents);
    snug_free(trial->allocator, trial->of_step);
    snug_program_free(&trial->program);
    *trial = (struct snug_trial){0};
}

void snug_trial_place_weights(struct snug_trial *trial, unsigned char *base)
{
    for (int i = 0; i < trial->program.operand_count; i++)
        if (trial->program.operands[i].kind == SNUG_OPERAND_KIND_WEIGHT)
            trial->program.operands[i].weight = base + trial->contents[i].offset;
}

struct snug_run snug_trial_run(int phase, int64_t units)
{
    return (struct snug_run){.phase = phase,
                             .units = units,
                             .first_position = FIRST_POSITION,
                             .slot = SLOT,
                             .first_row = FIRST_ROW,
                             .valid_rows = VALID_ROWS};
}
