/* The table of the scalar reference: the law for every other backend.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/ref/ref.h"

const struct snug_ops *snug_ops_ref(void)
{
    static const struct snug_ops ops = {
        .name = "ref",
        .linear = snug_ref_linear,
        .quantize = snug_ref_quantize,
        .linear_quantized = snug_ref_linear_quantized,
        .layer_norm = snug_ref_layer_norm,
        .rms_norm = snug_ref_rms_norm,
        .residual = snug_ref_residual,
        .add_rows = snug_ref_add_rows,
        .gelu = snug_ref_gelu,
        .silu_mul = snug_ref_silu_mul,
        .rope = snug_ref_rope,
        .kv_store = snug_ref_kv_store,
        .attention = snug_ref_attention,
        .patches = snug_ref_patches,
        .vision_embed = snug_ref_vision_embed,
        .drop_cls = snug_ref_drop_cls,
        .pixel_shuffle = snug_ref_pixel_shuffle,
        .embed = snug_ref_embed,
        .logit_stats = snug_ref_logit_stats,
    };
    return &ops;
}
