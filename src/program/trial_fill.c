/* Numbers for a trial: made up, the same every time. What kernels get wrong is mostly at the edges:
 * exact zeros, subnormals, magnitudes far apart, rows with as many outliers as may leave and with
 * one more. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/math.h"
#include "program/trial.h"

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* In (-limit, limit): one in 16 zero, one in 16 small; the first of an array is neither. */
static float plain(uint32_t *seed, float limit, bool first)
{
    uint32_t kind = first ? 2 : next_random(seed) & 15;
    float value =
        ((float)(next_random(seed) | 1u) * 0x1p-23f - 1) * limit; /* exact but for limit */
    return kind == 0 ? 0 : kind == 1 ? value * 0x1p-14f : value;
}

static void store(enum snug_dtype dtype, void *out, int64_t index, float value)
{
    switch (dtype) {
    case SNUG_DTYPE_F16:
        ((uint16_t *)out)[index] = snug_f32_to_f16(value);
        return;
    case SNUG_DTYPE_BF16:
        ((uint16_t *)out)[index] = (uint16_t)(snug_f32_bits(value) >> 16);
        return;
    case SNUG_DTYPE_F32:
        ((float *)out)[index] = value;
        return;
    default:
        SNUG_ASSERT(dtype == SNUG_DTYPE_U8); /* records, before something writes them */
        ((unsigned char *)out)[index] = (unsigned char)snug_f32_bits(value);
    }
}

static void fill_plain(enum snug_dtype dtype, void *out, int64_t count, float limit, uint32_t *seed)
{
    for (int64_t i = 0; i < count; i++)
        store(dtype, out, i, plain(seed, limit, i == 0));
}

/* Outliers of magnitude limit and more: none, one, as many as leave a quantised row, one more. */
static int64_t outliers_of(int64_t row, int64_t cols)
{
    int64_t most = cols / SNUG_QUANT_GROUP;
    return row % 8 == 1 ? 1 : row % 8 == 3 ? most : row % 8 == 5 ? most + 1 : 0;
}

static void fill_row(float *x, int64_t row, int64_t cols, float limit, uint32_t *seed)
{
    bool subnormal = row % 8 == 2, large = row % 8 == 4;
    int64_t outliers = outliers_of(row, cols);
    fill_plain(SNUG_DTYPE_F32, x, cols, limit, seed);
    /* Some subnormals at the end only: a product of many takes processors long. */
    for (int64_t c = 0; subnormal && c < cols; c++)
        x[c] = c + 8 < cols ? 0 : x[c] * 0x1p-130f;
    for (int64_t c = 0; large && c < cols; c++)
        x[c] *= 0x1p10f;
    for (int64_t i = 0; i < outliers && i < cols; i++) {
        int64_t c = (i + 1) * cols / (outliers + 1);
        float value = limit * (1 + (float)(next_random(seed) & 31));
        x[c] = next_random(seed) & 1 ? value : -value;
    }
}

static void fill_records(unsigned char *out, int64_t rows, const struct snug_content *content,
                         uint32_t *seed)
{
    float x[SNUG_TRIAL_TERMS];
    SNUG_ASSERT(content->k <= SNUG_TRIAL_TERMS);
    for (int64_t r = 0; r < rows; r++) {
        fill_row(x, r, content->k, content->limit, seed);
        struct snug_quantize args = {.rows = 1,
                                     .k = content->k,
                                     .x = x,
                                     .x_ld = content->k,
                                     .threshold = content->limit,
                                     .y = out + r * snug_quantized_row_bytes(content->k)};
        SNUG_ASSERT(!snug_ops_ref()->quantize(&args, NULL));
    }
}

void snug_trial_fill(const struct snug_trial *trial, int operand, int64_t rows, uint32_t seed,
                     void *out)
{
    const struct snug_content *content = &trial->contents[operand];
    const struct snug_operand *o = &trial->program.operands[operand];
    float *x = out;
    seed = (seed << 16) + (uint32_t)operand;
    switch (content->fill) {
    case SNUG_FILL_PLAIN:
        fill_plain(o->dtype, out, rows * o->cols, content->limit, &seed);
        return;
    case SNUG_FILL_ROWS:
        for (int64_t r = 0; r < rows; r++)
            fill_row(x + r * o->cols, r, o->cols, content->limit, &seed);
        return;
    case SNUG_FILL_FREQUENCIES:
        for (int64_t i = 0; i < rows * o->cols; i++)
            x[i] = (float)(next_random(&seed) + 1) * 0x1p-24f;
        return;
    case SNUG_FILL_RECORDS:
        fill_records(out, rows, content, &seed);
        return;
    case SNUG_FILL_INTEGERS:
        for (int64_t i = 0; i < rows * o->cols; i++)
            ((int32_t *)out)[i] = content->integers[i % content->integer_count];
        return;
    case SNUG_FILL_VECTOR:
    case SNUG_FILL_PANELS:
        break;
    }
    SNUG_ASSERT(!"an operand that is no weight");
}

/* ---- weights ---- */

/* Panel by panel, so that 16 rows of the source are all there is of it. */
static void fill_panels(const struct snug_operand *o, const struct snug_content *content,
                        unsigned char *out, uint32_t *seed)
{
    float source[SNUG_PANEL * SNUG_TRIAL_TERMS];
    int64_t n = content->n, k = content->k;
    bool quantised = o->quant != SNUG_QUANT_NONE;
    uint16_t *scales =
        (uint16_t *)(void *)(out + (quantised ? snug_quant_bytes(o->quant, n, k) : 0));
    SNUG_ASSERT(k <= SNUG_TRIAL_TERMS);
    for (int64_t panel = 0; panel < snug_panel_count(n); panel++) {
        int64_t left = n - panel * SNUG_PANEL, rows = left < SNUG_PANEL ? left : SNUG_PANEL;
        fill_plain(quantised ? SNUG_DTYPE_F32 : o->dtype, source, rows * k, content->limit, seed);
        if (quantised)
            SNUG_ASSERT(snug_quant_pack(o->quant, SNUG_DTYPE_F32, source, rows, k, 0, 1,
                                        out + panel * snug_quant_panel_bytes(o->quant, k),
                                        scales + panel * snug_quant_scale_count(o->quant, 1, k),
                                        NULL) < 0);
        else
            snug_panel_pack(o->dtype, source, rows, k, 0, 1,
                            out + (size_t)(panel * k * SNUG_PANEL) * snug_dtype_size(o->dtype));
    }
}

void snug_trial_fill_weights(const struct snug_trial *trial, unsigned char *base)
{
    for (int i = 0; i < trial->program.operand_count; i++) {
        const struct snug_operand *o = &trial->program.operands[i];
        const struct snug_content *content = &trial->contents[i];
        uint32_t seed = 77u + (uint32_t)i;
        if (o->kind != SNUG_OPERAND_KIND_WEIGHT)
            continue;
        if (content->fill == SNUG_FILL_PANELS)
            fill_panels(o, content, base + content->offset, &seed);
        else
            fill_plain(o->dtype, base + content->offset, content->n, content->limit, &seed);
    }
}
