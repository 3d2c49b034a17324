/* The scalar reference: the functions that ref.c puts in the table. Arguments and errors: ops/op.h.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_REF_REF_H
#define SNUG_OPS_REF_REF_H

#include "ops/check.h"
#include "ops/op.h"

enum snug_status snug_ref_linear(const struct snug_linear *args, struct snug_pool *pool);
enum snug_status snug_ref_quantize(const struct snug_quantize *args, struct snug_pool *pool);
enum snug_status snug_ref_linear_quantized(const struct snug_linear_quantized *args,
                                           struct snug_pool *pool);
enum snug_status snug_ref_layer_norm(const struct snug_norm *args, struct snug_pool *pool);
enum snug_status snug_ref_rms_norm(const struct snug_norm *args, struct snug_pool *pool);
enum snug_status snug_ref_residual(const struct snug_residual *args, struct snug_pool *pool);
enum snug_status snug_ref_add_rows(const struct snug_add_rows *args, struct snug_pool *pool);
enum snug_status snug_ref_gelu(const struct snug_unary *args, struct snug_pool *pool);
enum snug_status snug_ref_silu_mul(const struct snug_unary *args, struct snug_pool *pool);
enum snug_status snug_ref_rope(const struct snug_rope *args, struct snug_pool *pool);
enum snug_status snug_ref_kv_store(const struct snug_kv_store *args, struct snug_pool *pool);
enum snug_status snug_ref_attention(const struct snug_attention *args, struct snug_pool *pool);
enum snug_status snug_ref_patches(const struct snug_patches *args, struct snug_pool *pool);
enum snug_status snug_ref_vision_embed(const struct snug_vision_embed *args,
                                       struct snug_pool *pool);
enum snug_status snug_ref_drop_cls(const struct snug_drop_cls *args, struct snug_pool *pool);
enum snug_status snug_ref_pixel_shuffle(const struct snug_pixel_shuffle *args,
                                        struct snug_pool *pool);
enum snug_status snug_ref_embed(const struct snug_embed *args, struct snug_pool *pool);
enum snug_status snug_ref_logit_stats(struct snug_logit_stats *args, struct snug_pool *pool);

/* Element `index` of an array of f32, f16 or bf16, widened exactly. */
static inline float snug_ref_element(enum snug_dtype dtype, const void *array, int64_t index)
{
    switch (dtype) {
    case SNUG_DTYPE_F16:
        return snug_f16_to_f32(((const uint16_t *)array)[index]);
    case SNUG_DTYPE_BF16:
        return snug_bf16_to_f32(((const uint16_t *)array)[index]);
    default:
        return ((const float *)array)[index];
    }
}

/* Rule 3's tree over 32 lanes: lane i += lane i + 16, then i + 8, ... */
static inline float snug_ref_tree(float lane[32])
{
    for (int width = 16; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] = lane[i] + lane[i + width];
    return lane[0];
}

#endif
