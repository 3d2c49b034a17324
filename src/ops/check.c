/* Shape checks of the ops.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/check.h"

#define REFUSE_UNLESS(condition)                                                                   \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return SNUG_STATUS_SHAPE;                                                              \
    } while (0)

static bool is_weight(enum snug_dtype dtype)
{
    return dtype == SNUG_DTYPE_F32 || dtype == SNUG_DTYPE_F16 || dtype == SNUG_DTYPE_BF16;
}

static bool is_cache(enum snug_dtype dtype)
{
    return dtype == SNUG_DTYPE_F32 || dtype == SNUG_DTYPE_F16;
}

enum snug_status snug_check_linear(const struct snug_linear *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->n >= 1 && args->k >= 1 && is_weight(args->w_dtype));
    REFUSE_UNLESS(args->rows == 0 || (args->x_ld >= args->k && args->y_ld >= args->n));
    REFUSE_UNLESS(args->rows == 0 || (args->x && args->w && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_quantize(const struct snug_quantize *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->k >= 1 && args->threshold >= 0);
    REFUSE_UNLESS(args->rows == 0 || (args->x_ld >= args->k && args->x && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_linear_quantized(const struct snug_linear_quantized *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->n >= 1 && args->k >= 1);
    REFUSE_UNLESS(args->quant == SNUG_QUANT_Q8 || args->quant == SNUG_QUANT_Q4);
    REFUSE_UNLESS(args->rows == 0 || (args->y_ld >= args->n && args->x && args->y));
    REFUSE_UNLESS(args->rows == 0 || (args->w && args->w_scales));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_norm(const struct snug_norm *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->cols >= 1);
    REFUSE_UNLESS(args->rows == 0 || (args->x_ld >= args->cols && args->y_ld >= args->cols));
    REFUSE_UNLESS(args->rows == 0 || (args->x && args->w && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_residual(const struct snug_residual *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->cols >= 1);
    REFUSE_UNLESS(args->rows == 0 || (args->x && args->y));
    REFUSE_UNLESS(!args->g || !args->gate);
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_add_rows(const struct snug_add_rows *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->cols >= 1 && args->table_rows >= 1 &&
                  is_weight(args->table_dtype));
    REFUSE_UNLESS(args->rows == 0 || (args->x && args->table && args->gate));
    for (int64_t r = 0; args->index && r < args->rows; r++)
        REFUSE_UNLESS(args->index[r] >= -1 && args->index[r] < args->table_rows);
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_gelu(const struct snug_unary *args)
{
    REFUSE_UNLESS(args->count >= 0 && (args->count == 0 || (args->x && args->y)));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_silu_mul(const struct snug_unary *args)
{
    REFUSE_UNLESS(args->count >= 0 && (args->count == 0 || (args->x && args->up && args->y)));
    return SNUG_STATUS_OK;
}

/* Every sequence's cache is one of `caches`, and its rows end at or below `room` positions. */
static bool in_caches(int64_t sequences, const int32_t *slots, int64_t caches,
                      const int32_t *positions, int64_t first_position, int64_t rows, int64_t room)
{
    for (int64_t s = 0; slots && s < sequences; s++)
        if (slots[s] < 0 || slots[s] >= caches)
            return false;
    if (!positions)
        return first_position <= room && rows <= room - first_position;
    for (int64_t s = 0; s < sequences; s++)
        if (positions[s] < 0 || positions[s] > room || rows > room - positions[s])
            return false;
    return true;
}

/* Two sequences that write one cache would write in no order. */
static bool all_differ(const int32_t *slots, int64_t count)
{
    for (int64_t i = 1; slots && i < count; i++)
        for (int64_t j = 0; j < i; j++)
            if (slots[i] == slots[j])
                return false;
    return true;
}

enum snug_status snug_check_rope(const struct snug_rope *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->heads >= 1 && args->head_dim >= 2 &&
                  args->head_dim <= SNUG_MAX_HEAD_DIM && args->head_dim % 2 == 0);
    REFUSE_UNLESS(args->first_position >= 0 && args->first_position <= SNUG_MAX_CONTEXT &&
                  args->rows <= SNUG_MAX_CONTEXT - args->first_position);
    REFUSE_UNLESS(args->rows == 0 || args->x_ld / args->head_dim >= args->heads);
    REFUSE_UNLESS(args->rows == 0 || (args->x && args->inv_freq));
    REFUSE_UNLESS(args->inv_freq_ld == 0 || args->inv_freq_ld >= args->head_dim / 2);
    for (int64_t r = 0; args->positions && r < args->rows; r++)
        REFUSE_UNLESS(args->positions[r] >= 0 && args->positions[r] < SNUG_MAX_CONTEXT);
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_kv_store(const struct snug_kv_store *args)
{
    bool empty = args->sequences == 0 || args->rows_per_sequence == 0;

    REFUSE_UNLESS(args->sequences >= 0 && args->rows_per_sequence >= 0 && args->kv_heads >= 1 &&
                  args->head_dim >= 1 && args->head_dim <= SNUG_MAX_HEAD_DIM);
    REFUSE_UNLESS(args->capacity >= 0 && args->capacity % SNUG_PANEL == 0 && is_cache(args->dtype));
    REFUSE_UNLESS(args->first_position >= 0 &&
                  in_caches(args->sequences, args->slots, args->caches, args->positions,
                            args->first_position, args->rows_per_sequence, args->capacity) &&
                  all_differ(args->slots, args->sequences));
    REFUSE_UNLESS(empty || (args->k_ld / args->head_dim >= args->kv_heads &&
                            args->v_ld / args->head_dim >= args->kv_heads));
    REFUSE_UNLESS(empty || (args->k && args->v && args->k_cache && args->v_cache));
    REFUSE_UNLESS(!args->source || args->sequences == 1);
    for (int64_t r = 0; args->source && r < args->rows_per_sequence; r++)
        REFUSE_UNLESS(args->source[r] >= 0 && args->source[r] < args->source_rows);
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_attention(const struct snug_attention *args)
{
    bool empty = args->sequences == 0 || args->rows_per_sequence == 0;

    REFUSE_UNLESS(args->sequences >= 0 && args->rows_per_sequence >= 0 && args->heads >= 1 &&
                  args->kv_heads >= 1 && args->heads % args->kv_heads == 0 && args->head_dim >= 1 &&
                  args->head_dim <= SNUG_MAX_HEAD_DIM);
    REFUSE_UNLESS(args->capacity >= 0 && args->capacity % SNUG_PANEL == 0 && is_cache(args->dtype));
    REFUSE_UNLESS(args->keys >= 0 && args->keys <= args->capacity && args->first_position >= 0);
    REFUSE_UNLESS(in_caches(args->sequences, args->slots, args->caches,
                            args->causal ? args->positions : NULL,
                            args->causal ? args->first_position : 0,
                            args->causal ? args->rows_per_sequence : 0, args->keys));
    REFUSE_UNLESS(empty || (args->q_ld / args->head_dim >= args->heads &&
                            args->out_ld / args->head_dim >= args->heads));
    REFUSE_UNLESS(!args->first_keys == !args->key_counts && !(args->first_keys && args->causal));
    for (int64_t i = 0; args->first_keys && i < args->sequences; i++)
        REFUSE_UNLESS(args->first_keys[i] >= 0 && args->key_counts[i] >= 0 &&
                      args->first_keys[i] <= args->keys &&
                      args->key_counts[i] <= args->keys - args->first_keys[i]);
    REFUSE_UNLESS(empty || (args->q && args->out));
    REFUSE_UNLESS(empty || args->keys == 0 || (args->k_cache && args->v_cache));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_patches(const struct snug_patches *args)
{
    REFUSE_UNLESS(args->tiles >= 0 && args->patch >= 1 && args->side >= 1);
    REFUSE_UNLESS(args->side % args->patch == 0);
    REFUSE_UNLESS(args->tiles == 0 || (args->pixels && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_vision_embed(const struct snug_vision_embed *args)
{
    REFUSE_UNLESS(args->tiles >= 0 && args->count >= 0 && args->d >= 1);
    REFUSE_UNLESS(args->tiles == 0 || (args->cls && args->y));
    REFUSE_UNLESS(args->tiles == 0 || args->count == 0 || args->x);
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_drop_cls(const struct snug_drop_cls *args)
{
    REFUSE_UNLESS(args->tiles >= 0 && args->count >= 0 && args->d >= 1);
    REFUSE_UNLESS(args->tiles == 0 || args->count == 0 || (args->x && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_pixel_shuffle(const struct snug_pixel_shuffle *args)
{
    REFUSE_UNLESS(args->tiles >= 0 && args->grid >= 0 && args->grid % 2 == 0 && args->d >= 1);
    REFUSE_UNLESS(args->tiles == 0 || args->grid == 0 || (args->x && args->y));
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_embed(const struct snug_embed *args)
{
    REFUSE_UNLESS(args->rows >= 0 && args->d >= 1 && args->vocabulary >= 1 &&
                  is_weight(args->table_dtype));
    REFUSE_UNLESS(args->rows == 0 || (args->ids && args->table && args->y));
    for (int64_t r = 0; r < args->rows; r++) {
        if (args->image_row && args->image_row[r] >= 0)
            REFUSE_UNLESS(args->features && args->image_row[r] < args->feature_rows);
        else
            REFUSE_UNLESS(args->ids[r] >= 0 && args->ids[r] < args->vocabulary);
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_check_logit_stats(const struct snug_logit_stats *args)
{
    REFUSE_UNLESS(args->count >= 1 && args->logits);
    return SNUG_STATUS_OK;
}
