/* Devices before they are used: the true ops pass for every model, whatever is wrong is found and
 * named, and nothing is left behind. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#include "../check.h"

#include "base/clock.h"
#include "device/sim.h"
#include "generate/session.h"
#include "models/placement.h"
#include "program/trial.h"
#include "program/validate.h"

/* A model's program, placed on a device that is never used for anything else. */
struct world {
    const char *name;
    struct snug_model *model;
    struct snug_program program;
    struct snug_placed placed;
    const struct snug_device *device;
};

static const struct {
    const char *folder;
    enum snug_quant quant;
    enum snug_dtype kv;
    int slots;
} worlds[] = {
    {"tests/golden/internvl/hf-a", SNUG_QUANT_NONE, SNUG_DTYPE_F16, 3},
    {"tests/golden/internvl/hf-a", SNUG_QUANT_Q8, SNUG_DTYPE_F32, 1},
    {"tests/golden/internvl/hf-a", SNUG_QUANT_Q4, SNUG_DTYPE_F16, 1},
    {"tests/golden/internvl/hf-b", SNUG_QUANT_NONE, SNUG_DTYPE_F32, 1},
    {"tests/golden/internvl/orig", SNUG_QUANT_NONE, SNUG_DTYPE_F16, 1},
    {"tests/golden/mllama/tiny-a", SNUG_QUANT_NONE, SNUG_DTYPE_F16, 2},
    {"tests/golden/mllama/tiny-a", SNUG_QUANT_Q8, SNUG_DTYPE_F16, 1},
    {"models/snug-nano", SNUG_QUANT_NONE, SNUG_DTYPE_F16, 1},
};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))
#define MLLAMA 5

static const struct snug_device *open_sim(bool guard)
{
    const struct snug_device *device;
    struct snug_error error;
    const struct snug_sim_options options = {.name = "sim:test",
                                             .capacity_bytes = (uint64_t)1 << 30,
                                             .granularity_bytes = 4096,
                                             .guard = guard};
    assert_ok(snug_sim_open(&options, snug_allocator_heap(), &device, &error));
    return device;
}

static void open_world(struct world *w, int index)
{
    struct snug_error error;
    struct snug_program_handles handles;
    struct snug_folder folder = {.path = test_path(worlds[index].folder),
                                 .allocator = snug_allocator_heap()};
    struct snug_model_options model_options = {.quantize = worlds[index].quant,
                                               .outlier_threshold = 6};
    const struct snug_program_options options = {.vision_batch = 2,
                                                 .tiles = 2,
                                                 .prefill_chunk = 64,
                                                 .capacity = 256,
                                                 .kv_dtype = worlds[index].kv,
                                                 .slots = worlds[index].slots};
    *w = (struct world){.name = worlds[index].folder, .device = open_sim(index % 2 == 1)};
    assert_ok(
        snug_model_outline(&folder, &model_options, snug_allocator_heap(), &w->model, &error));
    assert_ok(snug_model_program(w->model, &options, snug_allocator_heap(), &w->program, &handles,
                                 &error));
    struct snug_placing placing = {.devices = {NULL, w->device}, .device_count = 1};
    unsigned char *home = malloc((size_t)w->program.operand_count);
    unsigned char *compute = malloc((size_t)w->program.step_count);
    snug_placing_program(&placing, w->model, &w->program, home, compute);
    const struct snug_placement placement = {.spaces = 2, .home = home, .compute = compute};
    assert_ok(snug_placed_make(&w->program, &placement, snug_allocator_heap(), &w->placed, &error));
    free(home);
    free(compute);
}

static void close_world(struct world *w)
{
    assert_int_equal(snug_sim_figures(w->device).ours, 0);
    snug_sim_close(w->device);
    snug_placed_free(&w->placed);
    snug_program_free(&w->program);
    snug_model_free(w->model);
}

static enum snug_status validate_on(const struct world *w, const struct snug_device *device,
                                    const struct snug_ops *ops, struct snug_error *error)
{
    return snug_validate_device(&w->program, &w->placed, 1, device, ops, NULL,
                                snug_allocator_heap(), error);
}

static enum snug_status validate(const struct world *w, const struct snug_ops *ops,
                                 struct snug_error *error)
{
    return validate_on(w, w->device, ops, error);
}

/* Under a sanitizer every sixth of a sweep: each run is the same code. */
static uint64_t stride(void)
{
    return getenv("SNUG_SLOW") ? 6 : 1;
}

/* ---- what is right passes ---- */

static void list_variants(const struct world *w)
{
    struct snug_variant *variants;
    struct snug_error error;
    char name[SNUG_VARIANT_NAME_BYTES];
    int count;
    assert_ok(snug_variants_find(&w->program, &w->placed, 1, snug_allocator_heap(), &variants,
                                 &count, &error));
    for (int i = 0; i < count; i++)
        printf("    %s, %d terms\n", snug_variant_name(&variants[i], name), (int)variants[i].cols);
    snug_free(snug_allocator_heap(), variants);
}

static void test_true_ops(void **state)
{
    (void)state;
    struct snug_backend backends[8];
    size_t count = snug_ops_list(backends);
    for (int i = 0; i < WORLDS; i++) {
        struct world w;
        struct snug_error error;
        open_world(&w, i);
        for (size_t b = 0; b < count; b++) {
            if (!backends[b].runnable || (stride() > 1 && backends[b].ops != snug_ops_find(NULL)))
                continue;
            double start = snug_clock_ms();
            enum snug_status status = validate(&w, backends[b].ops, &error);
            if (status)
                fail_msg("%s, %s: %s", w.name, backends[b].ops->name, error.message);
            if (getenv("SNUG_TEST_VERBOSE"))
                printf("%s, %s, %s: %.1f ms, %llu bytes of the device\n", w.name,
                       snug_quant_name(worlds[i].quant), backends[b].ops->name,
                       snug_clock_ms() - start,
                       (unsigned long long)snug_sim_figures(w.device).peak_ours);
        }
        if (getenv("SNUG_TEST_VERBOSE"))
            list_variants(&w);
        close_world(&w);
    }
}

/* On a dry device nothing is done, and what a device does not compute is not looked at. */
static void test_nothing_to_do(void **state)
{
    (void)state;
    struct world w;
    struct snug_error error;
    open_world(&w, 0);
    assert_ok(validate_on(&w, snug_device_dry(), snug_ops_ref(), &error));
    memset(w.placed.compute, SNUG_SPACE_HOST, (size_t)w.program.step_count);
    assert_ok(validate(&w, snug_ops_ref(), &error));
    assert_int_equal(snug_sim_figures(w.device).calls[SNUG_SIM_CALL_ANY], 0);
    close_world(&w);
}

/* A step of a kind that nobody has heard of is not passed over. */
static void test_unknown_step(void **state)
{
    (void)state;
    struct world w;
    struct snug_error error;
    open_world(&w, 0);
    w.program.steps[3].op = SNUG_OP_KIND_COUNT;
    assert_int_equal(validate(&w, snug_ops_ref(), &error), SNUG_STATUS_UNSUPPORTED);
    close_world(&w);
}

/* ---- ops that are wrong ---- */

/* What becomes of an op: bit 0 of the first or the last value that it writes is wrong, or it writes
 * nothing at all. */
enum harm { HARM_FIRST, HARM_LAST, HARM_IDLE, HARM_COUNT };
static const char *const harm_names[HARM_COUNT] = {"first value flipped", "last value flipped",
                                                   "nothing written"};
static struct {
    enum harm harm;
    bool first, met;
} flip;

static void harm_with(enum harm harm)
{
    flip.harm = harm;
    flip.first = harm == HARM_FIRST;
    flip.met = false;
}

static bool is_idle(void)
{
    flip.met |= flip.harm == HARM_IDLE;
    return flip.harm == HARM_IDLE;
}

static void flip_bit(void *values, int64_t count, size_t size)
{
    unsigned char *at = values;
    flip.met = true;
    at[flip.first ? 0 : (size_t)(count - 1) * size] ^= 1;
}

static void flip_rows(float *y, int64_t rows, int64_t cols, int64_t ld)
{
    flip_bit(y, (rows - 1) * ld + cols, sizeof *y);
}

/* NAME calls the reference, then flips. */
#define FLIPPED(op, type, change)                                                                  \
    static enum snug_status flipped_##op(const struct type *a, struct snug_pool *pool)             \
    {                                                                                              \
        enum snug_status status = is_idle() ? SNUG_STATUS_OK : snug_ops_ref()->op(a, pool);        \
        if (!status && !is_idle())                                                                 \
            change;                                                                                \
        return status;                                                                             \
    }

FLIPPED(linear, snug_linear, flip_rows(a->y, a->rows, a->n, a->y_ld))
FLIPPED(quantize, snug_quantize,
        flip_bit(a->y, flip.first ? 1 : a->rows *snug_quantized_row_bytes(a->k), 1))
FLIPPED(linear_quantized, snug_linear_quantized, flip_rows(a->y, a->rows, a->n, a->y_ld))
FLIPPED(layer_norm, snug_norm, flip_rows(a->y, a->rows, a->cols, a->y_ld))
FLIPPED(rms_norm, snug_norm, flip_rows(a->y, a->rows, a->cols, a->y_ld))
FLIPPED(residual, snug_residual, flip_bit(a->x, a->rows * a->cols, 4))
FLIPPED(add_rows, snug_add_rows, flip_bit(a->x, a->rows * a->cols, 4))
FLIPPED(gelu, snug_unary, flip_bit(a->y, a->count, 4))
FLIPPED(silu_mul, snug_unary, flip_bit(a->y, a->count, 4))
FLIPPED(rope, snug_rope, flip_rows(a->x, a->rows, a->heads * a->head_dim, a->x_ld))
FLIPPED(attention, snug_attention,
        flip_rows(a->out, a->sequences * a->rows_per_sequence, a->heads * a->head_dim, a->out_ld))
FLIPPED(patches, snug_patches, flip_bit(a->y, a->tiles * 3 * a->side * a->side, 4))
FLIPPED(vision_embed, snug_vision_embed, flip_bit(a->y, a->tiles *(1 + a->count) * a->d, 4))
FLIPPED(drop_cls, snug_drop_cls, flip_bit(a->y, a->tiles * a->count * a->d, 4))
FLIPPED(pixel_shuffle, snug_pixel_shuffle, flip_bit(a->y, a->tiles * a->grid * a->grid * a->d, 4))
FLIPPED(embed, snug_embed, flip_bit(a->y, a->rows * a->d, 4))

/* The first key stored of the first cache written; the last value of the last one. */
static enum snug_status flipped_kv_store(const struct snug_kv_store *a, struct snug_pool *pool)
{
    enum snug_status status = is_idle() ? SNUG_STATUS_OK : snug_ops_ref()->kv_store(a, pool);
    size_t size = snug_dtype_size(a->dtype);
    int64_t s = flip.first ? 0 : a->sequences - 1;
    int64_t slot = a->slots ? a->slots[s] : s;
    int64_t first = a->positions ? a->positions[s] : a->first_position;
    int64_t k_head = snug_k_cache_elements(a->capacity, a->head_dim);
    int64_t v_head = snug_v_cache_elements(a->capacity, a->head_dim);
    int64_t last = first + a->rows_per_sequence - 1;
    if (status || is_idle())
        return status;
    if (flip.first)
        flip_bit((char *)a->k_cache + (size_t)(slot * a->kv_heads * k_head +
                                               snug_panel_index(first, 0, a->head_dim)) *
                                          size,
                 1, size);
    else
        flip_bit((char *)a->v_cache +
                     (size_t)(((slot + 1) * a->kv_heads - 1) * v_head +
                              snug_panel_index(a->head_dim - 1, last, a->capacity)) *
                         size,
                 1, size);
    return status;
}

#define OPS(X)                                                                                     \
    X(linear, "linear")                                                                            \
    X(quantize, "quantize")                                                                        \
    X(linear_quantized, "linear")                                                                  \
    X(layer_norm, "layer_norm")                                                                    \
    X(rms_norm, "rms_norm")                                                                        \
    X(residual, "residual")                                                                        \
    X(add_rows, "add_rows")                                                                        \
    X(gelu, "gelu")                                                                                \
    X(silu_mul, "silu_mul")                                                                        \
    X(rope, "rope")                                                                                \
    X(kv_store, "kv_store")                                                                        \
    X(attention, "attention")                                                                      \
    X(patches, "patches")                                                                          \
    X(vision_embed, "vision_embed")                                                                \
    X(drop_cls, "drop_cls")                                                                        \
    X(pixel_shuffle, "pixel_shuffle")                                                              \
    X(embed, "embed")
enum {
#define X(op, name) OP_##op,
    OPS(X)
#undef X
        OP_COUNT
};

static struct snug_ops with_flipped(int op, const char **name)
{
    struct snug_ops ops = *snug_ops_ref();
    switch (op) {
#define X(member, text)                                                                            \
    case OP_##member:                                                                              \
        ops.member = flipped_##member;                                                             \
        *name = text;                                                                              \
        break;
        OPS(X)
#undef X
    }
    return ops;
}

/* Every op of the table but logit_stats, which no step calls, is used by one world or another. */
static void test_wrong_ops(void **state)
{
    (void)state;
    bool used[OP_COUNT] = {false};
    for (int i = 0; i < WORLDS; i++) {
        struct world w;
        open_world(&w, i);
        for (int n = 0; n < HARM_COUNT * OP_COUNT; n++) {
            struct snug_error error;
            const char *name;
            if ((n + i) % (stride() > 1 ? 3 : 2)) /* each op in some world all the same */
                continue;
            char expected[64];
            struct snug_ops ops = with_flipped(n / HARM_COUNT, &name);
            harm_with((enum harm)(n % HARM_COUNT));
            enum snug_status status = validate(&w, &ops, &error);
            snprintf(expected, sizeof expected, "op %s", name);
            if (flip.met != (status == SNUG_STATUS_DEVICE))
                fail_msg("%s: %s, %s: %s", w.name, name, harm_names[flip.harm],
                         status ? error.message : "nothing was found");
            if (status && (strncmp(error.message, expected, strlen(expected)) ||
                           !strstr(error.message, "gives other bits than the reference (")))
                fail_msg("%s of %s: %s", name, w.name, error.message);
            used[n / HARM_COUNT] |= flip.met;
        }
        close_world(&w);
    }
    for (int op = 0; op < OP_COUNT; op++)
        assert_true(used[op]);
}

/* The message says what is wrong, and where. */
static void test_message(void **state)
{
    (void)state;
    struct world w;
    struct snug_error error;
    const char *name;
    struct snug_ops ops = with_flipped(OP_linear_quantized, &name);
    open_world(&w, 1);
    harm_with(HARM_FIRST);
    assert_int_equal(validate(&w, &ops, &error), SNUG_STATUS_DEVICE);
    assert_memory_equal(error.message, "op linear (q8, bias): gives other bits than the ", 48);
    assert_non_null(strstr(error.message, "(1 of 432 values, first: "));
    assert_non_null(strstr(error.message, "; the device is not used"));
    close_world(&w);
}

/* ---- results that come back wrong ---- */

/* A device whose n-th copy to the host has one bit wrong, at its end. */
static struct {
    const struct snug_device *real;
    uint64_t at, number;
} tampering;

static enum snug_status tampering_copy(const struct snug_device *device,
                                       const struct snug_copy *copy, uint64_t *ticket,
                                       struct snug_error *error)
{
    (void)device;
    const struct snug_device *real = tampering.real;
    SNUG_TRY(real->copy(real, copy, ticket, error));
    if (copy->direction == SNUG_DIRECTION_TO_DEVICE || ++tampering.number != tampering.at)
        return SNUG_STATUS_OK;
    SNUG_TRY(real->synchronise(real, error));
    ((unsigned char *)copy->to)[copy->bytes - 1] ^= 1;
    return SNUG_STATUS_OK;
}

/* Every result is compared to its end: of steps that are no op of the table, too. */
static void test_every_result(void **state)
{
    (void)state;
    struct world w;
    struct snug_error error;
    open_world(&w, MLLAMA);
    struct snug_device device = *w.device;
    device.copy = tampering_copy;
    tampering.real = w.device;
    for (tampering.at = 1;; tampering.at += stride()) {
        tampering.number = 0;
        enum snug_status status = validate_on(&w, &device, snug_ops_ref(), &error);
        if (tampering.number < tampering.at) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        if (status != SNUG_STATUS_DEVICE || !strstr(error.message, "gives other bits"))
            fail_msg("copy %llu: %s", (unsigned long long)tampering.at,
                     status ? error.message : "nothing was found");
    }
    assert_true(tampering.at > 60);
    close_world(&w);
}

/* ---- calls that fail ---- */

static void sweep_faults(const struct world *w, enum snug_sim_call call, bool lose)
{
    struct snug_error error;
    uint64_t before = snug_sim_figures(w->device).calls[call];
    assert_ok(validate(w, snug_ops_ref(), &error));
    uint64_t calls = snug_sim_figures(w->device).calls[call] - before;
    assert_true(calls > 0);
    for (uint64_t at = 1; at <= calls; at += stride() + (at > 20 ? calls / 20 : 0)) {
        const struct snug_sim_fault fault = {.call = call, .at = at, .count = 1, .lose = lose};
        bool take = call == SNUG_SIM_CALL_TAKE || call == SNUG_SIM_CALL_TAKE_HOST;
        enum snug_status expected = lose   ? SNUG_STATUS_DEVICE_LOST
                                    : take ? SNUG_STATUS_MEMORY
                                           : SNUG_STATUS_DEVICE;
        snug_sim_set_faults(w->device, &fault, 1);
        enum snug_status status = validate(w, snug_ops_ref(), &error);
        snug_sim_set_faults(w->device, NULL, 0);
        if (status != expected)
            fail_msg("%s, %s number %llu%s: %s instead of %s", w->name, snug_sim_call_name(call),
                     (unsigned long long)at, lose ? " loses the device" : " fails",
                     snug_status_text(status), snug_status_text(expected));
        assert_int_equal(snug_sim_figures(w->device).ours, 0);
        if (lose)
            assert_ok(w->device->reset(w->device, &error));
    }
    assert_ok(validate(w, snug_ops_ref(), &error));
}

static void test_faults(void **state)
{
    (void)state;
    static const int indices[2] = {0, MLLAMA};
    for (int i = 0; i < 2; i++) {
        struct world w;
        open_world(&w, indices[i]);
        for (int call = SNUG_SIM_CALL_TAKE; call < SNUG_SIM_CALL_COUNT; call++)
            for (int lose = 0; lose < 2; lose++)
                sweep_faults(&w, (enum snug_sim_call)call, lose);
        close_world(&w);
    }
}

static void test_allocations(void **state)
{
    (void)state;
    struct world w;
    struct snug_error error;
    open_world(&w, MLLAMA);
    for (uint64_t fail_at = 1;; fail_at += stride()) {
        struct snug_counting_allocator counting;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = snug_validate_device(
            &w.program, &w.placed, 1, w.device, snug_ops_ref(), NULL, &counting.allocator, &error);
        assert_int_equal(counting.live, 0);
        assert_int_equal(snug_sim_figures(w.device).ours, 0);
        assert_int_equal(status, counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK);
        if (!counting.failed)
            break;
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_true_ops),     cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_unknown_step), cmocka_unit_test(test_wrong_ops),
        cmocka_unit_test(test_message),      cmocka_unit_test(test_every_result),
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
