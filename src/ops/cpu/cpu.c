/* The table of one instruction set's kernels.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

const struct snug_ops *SIMD_NAME(ops)(void)
{
    static const struct snug_ops ops = {
        .name = SIMD_BACKEND,
        .linear = cpu_linear,
        .quantize = cpu_quantize,
        .linear_quantized = cpu_linear_quantized,
        .layer_norm = cpu_layer_norm,
        .rms_norm = cpu_rms_norm,
        .residual = cpu_residual,
        .add_rows = cpu_add_rows,
        .gelu = cpu_gelu,
        .silu_mul = cpu_silu_mul,
        .rope = cpu_rope,
        .kv_store = cpu_kv_store,
        .attention = cpu_attention,
        .patches = cpu_patches,
        .vision_embed = cpu_vision_embed,
        .drop_cls = cpu_drop_cls,
        .pixel_shuffle = cpu_pixel_shuffle,
        .embed = cpu_embed,
        .logit_stats = cpu_logit_stats,
    };
    return &ops;
}
