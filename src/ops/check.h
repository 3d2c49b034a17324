/* The shape checks that every backend makes before it computes: one place, so that all refuse the
 * same. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_CHECK_H
#define SNUG_OPS_CHECK_H

#include "ops/op.h"

/* OK, or SHAPE: a count below its minimum (rows, sequences, tiles and counts may be 0: nothing to
 * do), a row distance shorter than the row, a data type that is not a float of 32 or 16 bits, a
 * missing operand, an id or position out of range. */
enum snug_status snug_check_linear(const struct snug_linear *args);
enum snug_status snug_check_quantize(const struct snug_quantize *args);
enum snug_status snug_check_linear_quantized(const struct snug_linear_quantized *args);
enum snug_status snug_check_norm(const struct snug_norm *args);
enum snug_status snug_check_residual(const struct snug_residual *args);
enum snug_status snug_check_add_rows(const struct snug_add_rows *args);
enum snug_status snug_check_gelu(const struct snug_unary *args);
enum snug_status snug_check_silu_mul(const struct snug_unary *args);
enum snug_status snug_check_rope(const struct snug_rope *args);
enum snug_status snug_check_kv_store(const struct snug_kv_store *args);
enum snug_status snug_check_attention(const struct snug_attention *args);
enum snug_status snug_check_patches(const struct snug_patches *args);
enum snug_status snug_check_vision_embed(const struct snug_vision_embed *args);
enum snug_status snug_check_drop_cls(const struct snug_drop_cls *args);
enum snug_status snug_check_pixel_shuffle(const struct snug_pixel_shuffle *args);
enum snug_status snug_check_embed(const struct snug_embed *args);
enum snug_status snug_check_logit_stats(const struct snug_logit_stats *args);

#endif
