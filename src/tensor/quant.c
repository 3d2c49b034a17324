/* Weights to integers. Rules: DESIGN 2.11 and 2.13.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "tensor/quant.h"

#include <math.h>

const char *snug_quant_name(enum snug_quant quant)
{
    static const char *const names[] = {"none", "q8", "q4"};
    return names[quant];
}

bool snug_quant_parse(const char *text, enum snug_quant *out)
{
    for (int i = SNUG_QUANT_NONE; i <= SNUG_QUANT_Q4; i++)
        if (!strcmp(text, snug_quant_name((enum snug_quant)i))) {
            *out = (enum snug_quant)i;
            return true;
        }
    return false;
}

/* The integer nearest to x, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a
 * fraction. Unlike rintf it becomes vector instructions everywhere. */
static inline float nearest(float x)
{
    float shifted = x + 0x1.8p23f;
    return shifted - 0x1.8p23f;
}

/* The f16 scale of `count` weights; false if one of them or the scale is not finite. */
static bool group_scale(enum snug_quant quant, const float *w, int64_t count, uint16_t *scale)
{
    float most = 0, signed_most = 0, poison = 0;
    for (int64_t i = 0; i < count; i++) {
        float size = fabsf(w[i]);
        poison += w[i] * 0.0f; /* NaN if anything is not finite */
        if (size > most) {
            most = size;
            signed_most = w[i];
        }
    }
    if (poison != 0)
        return false;
    *scale = snug_f32_to_f16(quant == SNUG_QUANT_Q4 ? signed_most / -8.0f : most / 127.0f);
    return (*scale & 0x7c00) != 0x7c00;
}

/* q of `count` weights, as floats, clamped to [low, high]; 0 where the scale is 0. */
static void quantise(const float *w, int64_t count, float scale, float low, float high, float *q)
{
    if (scale == 0) {
        memset(q, 0, (size_t)count * sizeof *q);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        float ratio = w[i] / scale; /* clamped first: a subnormal scale makes it large */
        ratio = ratio > high ? high : ratio;
        ratio = ratio < low ? low : ratio;
        q[i] = nearest(ratio);
    }
}

static void add_error(const float *w, const float *q, int64_t count, float scale,
                      struct snug_quant_error *error)
{
    double difference = 0, weight = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)w[i] - (double)(q[i] * scale);
        difference += d * d;
        weight += (double)w[i] * (double)w[i];
    }
    error->difference += difference;
    error->weight += weight;
}

/* Writes q of one output's group, terms [k, k + count), into its panel. panel: at the output's
 * first byte. */
static void store(enum snug_quant quant, const float *q, int64_t k, int64_t count,
                  unsigned char *panel)
{
    if (quant == SNUG_QUANT_Q8) {
        for (int64_t i = 0; i < count; i++)
            panel[(k + i) / 4 * 64 + (k + i) % 4] = (unsigned char)((int)q[i] + 128);
        return;
    }
    for (int64_t i = 0; i < count; i++) { /* the byte starts as 0x88, two zeros */
        unsigned char *byte = &panel[(k + i) / 8 * 64 + (k + i) % 4];
        int shift = (int)((k + i) & 4);
        *byte = (unsigned char)((*byte & (0xf0 >> shift)) | ((int)q[i] + 8) << shift);
    }
}

int64_t snug_quant_pack(enum snug_quant quant, enum snug_dtype dtype, const void *source, int64_t n,
                        int64_t k, int64_t first_panel, int64_t end_panel, unsigned char *q,
                        uint16_t *scales, struct snug_quant_error *error)
{
    int64_t group = quant == SNUG_QUANT_Q4 ? SNUG_Q4_GROUP : SNUG_QUANT_GROUP;
    int64_t groups = snug_quant_groups(quant, k), bytes = snug_quant_panel_bytes(quant, k);
    float low = quant == SNUG_QUANT_Q4 ? -8 : -127, high = quant == SNUG_QUANT_Q4 ? 7 : 127;
    size_t element = snug_dtype_size(dtype);
    float w[SNUG_QUANT_GROUP], integers[SNUG_QUANT_GROUP];

    SNUG_ASSERT(quant != SNUG_QUANT_NONE && first_panel >= 0 && end_panel <= snug_panel_count(n));
    for (int64_t panel = first_panel; panel < end_panel; panel++) {
        memset(q + panel * bytes, quant == SNUG_QUANT_Q4 ? 0x88 : 0x80, (size_t)bytes);
        memset(scales + panel * groups * SNUG_PANEL, 0,
               (size_t)(groups * SNUG_PANEL) * sizeof *scales);
        int64_t end = n - panel * SNUG_PANEL < SNUG_PANEL ? n : (panel + 1) * SNUG_PANEL;
        for (int64_t output = panel * SNUG_PANEL; output < end; output++) {
            const unsigned char *row =
                (const unsigned char *)source + (size_t)(output * k) * element;
            for (int64_t g = 0; g < groups; g++) {
                int64_t first = g * group, count = k - first < group ? k - first : group;
                uint16_t *scale = &scales[snug_quant_scale_index(quant, output, first, k)];
                snug_widen(dtype, row + (size_t)first * element, count, w);
                if (!group_scale(quant, w, count, scale))
                    return output;
                float wide = snug_f16_to_f32(*scale);
                quantise(w, count, wide, low, high, integers);
                store(quant, integers, first, count, q + panel * bytes + output % SNUG_PANEL * 4);
                if (error)
                    add_error(w, integers, count, wide, error);
            }
        }
    }
    return -1;
}
