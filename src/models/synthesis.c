/* Random weights of a true shape.
 *
 * Element i of a tensor is mean + deviation * z(mix(key + i * step)): key from seed and name, mix a
 * 64-bit finaliser, z the sum of its four 16-bit parts, centred and divided by its deviation:
 * nearly normal, at most 3.46 deviations away. One integer hash an element, no state, no branches,
 * one rounding: the same bits everywhere.
 *
 * Sizes. A matrix of k columns has deviation 0.02, or 0.6 / sqrt(k) where rows are longer than 900:
 * then an input of size 1 gives an output of size 0.6 at most, whatever the model's width. o and
 * down of the text model (o and fc2 of Llama's tower) are divided by sqrt(2 layers), as usual, so
 * that the residual stream grows slowly; the projector's last matrix by 10, so that pictures are as
 * large as words.
 *
 * Outliers. A fraction F of the channels of every linear layer's input (not the pixels) shall have
 * |x| >= 6 for nearly every token while the others stay below. Each such channel has a target T of
 * 10 to 14 with a sign:
 *   after a norm with bias, in v and in fc1 (biases), the bias is T; it is the same for all tokens.
 *   after a norm without bias: the residual stream holds a constant m in these channels (put there
 *     by embedding, positions or projector, and hardly touched by patches, o, down or the layer
 * scales), and the norm's weight is T / (m / rms), with the rms to be expected at this depth. v
 * without bias, gate and up: the row reads the constant channels of its own input. Columns that
 * meet an outlier are made smaller (COLUMN), as training does; else a hundredth of the channels
 * would outshout all others. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/synthesis.h"

#include <math.h>
#include <stdio.h>

#define TARGET 10.0f     /* T is this to 1.4 times this */
#define GATE 4.5f        /* gate and up of an outlying channel: silu(4.5) * 4.5 = 20 */
#define COLUMN 0.25f     /* factor of weights that meet an outlier */
#define QUIET_ROW 0.1f   /* factor of rows that write into a constant channel */
#define TEXT_HOLD 0.25f  /* m of the text model */
#define VISION_HOLD 1.0f /* m of a tower without biases in its norms */
#define EMBEDDING 0.02f
/* What the tower's residual stream is without outliers: white paper is 2.4 in every pixel. */
#define VISION_RMS 1.2f

/* Sets of channels that are outliers together. */
enum space {
    SPACE_NONE,
    SPACE_TEXT,      /* the text model's residual stream and what its norms give */
    SPACE_VISION,    /* the tower's */
    SPACE_SHUFFLED,  /* the projector's input */
    SPACE_PROJECTED, /* between its two matrices */
    SPACE_VALUE,     /* v, by layer */
    SPACE_MIXED,     /* attention's result: each head's copy of SPACE_VALUE */
    SPACE_MLP,       /* by layer */
};

/* What happens in the columns listed (a vector is one row). */
enum rule {
    RULE_NONE,
    RULE_SCALE,      /* times column_factor */
    RULE_SET,        /* = column_value */
    RULE_ADD,        /* + column_value */
    RULE_ROWS_SCALE, /* rows: deviation times row_factor */
    RULE_ROWS_READ,  /* rows: the same, and the columns are row_sign * column_value */
};

/* ---- numbers from a counter ---- */

static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#define STEP 0x9e3779b97f4a7c15u

/* Centred sum of four 16-bit numbers; its deviation is 37837.2. */
static inline float draw(uint64_t key, uint64_t index)
{
    uint64_t x = mix(key + index * STEP);
    uint64_t pairs = (x & 0x0000ffff0000ffffu) + (x >> 16 & 0x0000ffff0000ffffu);
    return (float)((int32_t)((pairs & 0x3ffff) + (pairs >> 32)) - 131070);
}
#define DRAW_DEVIATION 37837.2f

/* Rounded to nearest even; finite values only. */
static inline uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint64_t hash_text(uint64_t seed, const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return mix(hash ^ mix(seed + STEP));
}

/* In [0, 1). */
static float uniform(uint64_t key, uint64_t index)
{
    return (float)(mix(key + index * STEP) >> 40) * 0x1p-24f;
}

static void fill(uint64_t key, uint64_t first, int64_t count, float mean, float deviation,
                 uint16_t *out)
{
    float factor = deviation / DRAW_DEVIATION;
    for (int64_t i = 0; i < count; i++)
        out[i] = to_bf16(mean + draw(key, first + (uint64_t)i) * factor);
}

/* ---- which channels ---- */

/* One channel in each of `count` equal parts of [0, n). */
static bool choose(const struct snug_synthesis *s, const char *name, int64_t n, int32_t *list,
                   float *target, int *count)
{
    uint64_t key = hash_text(s->seed, name);
    int64_t wanted = s->outliers > 0 ? (int64_t)(s->outliers * (double)n + 0.5) : 0;
    if (s->outliers > 0 && !wanted)
        wanted = 1;
    if (wanted > SNUG_MAX_OUTLIER_CHANNELS)
        return false;
    for (int64_t i = 0; i < wanted; i++) {
        int64_t begin = i * n / wanted, end = (i + 1) * n / wanted;
        list[i] =
            (int32_t)(begin + (int64_t)(uniform(key, 3 * (uint64_t)i) * (float)(end - begin)));
        float sign = uniform(key, 3 * (uint64_t)i + 1) < 0.5f ? -1.0f : 1.0f;
        target[i] = sign * TARGET * (1.0f + 0.4f * uniform(key, 3 * (uint64_t)i + 2));
    }
    *count = (int)wanted;
    return true;
}

/* The place a weight has in the model. */
struct place {
    bool text;
    int layer; /* -1: outside the layers */
    const char *part;
};

static struct place place_of(const char *name)
{
    struct place place = {!strncmp(name, "text.", 5) || !strncmp(name, "lm_head", 7), -1, name};
    static const char *const stacks[] = {".layer.", ".local.", ".global."};
    for (int i = 0; i < 3; i++) {
        const char *stack = strstr(name, stacks[i]);
        int length = 0;
        if (!stack)
            continue;
        stack += strlen(stacks[i]);
        (void)sscanf(stack, "%d.%n", &place.layer, &length);
        place.part = stack + length;
    }
    return place;
}

/* Copies v's channels to every head that reads them. False: too many. */
static bool expand_heads(int64_t heads, int64_t kv_heads, int64_t head_dim, int32_t *list,
                         float *target, int *count)
{
    int32_t of_v[SNUG_MAX_OUTLIER_CHANNELS];
    float target_of_v[SNUG_MAX_OUTLIER_CHANNELS];
    int n = 0, group = (int)(heads / kv_heads);
    memcpy(of_v, list, (size_t)*count * sizeof *list);
    memcpy(target_of_v, target, (size_t)*count * sizeof *target);
    if ((int64_t)*count * group > SNUG_MAX_OUTLIER_CHANNELS)
        return false;
    for (int i = 0; i < *count; i++)
        for (int g = 0; g < group; g++) {
            int64_t head = of_v[i] / head_dim * group + g;
            list[n] = (int32_t)(head * head_dim + of_v[i] % head_dim);
            target[n++] = target_of_v[i];
        }
    *count = n;
    return true;
}

static enum snug_status choose_space(const struct snug_synthesis *s, const struct place *place,
                                     enum space space, int32_t *list, float *target, int *count,
                                     struct snug_error *error)
{
    const struct snug_text_config *t = &s->config->text;
    const struct snug_vision_config *v = &s->config->vision;
    const char *side = place->text ? "text" : "vision";
    int64_t n[] = {[SPACE_NONE] = 0,
                   [SPACE_TEXT] = t->hidden,
                   [SPACE_VISION] = v->hidden,
                   [SPACE_SHUFFLED] = 4 * v->hidden,
                   [SPACE_PROJECTED] = t->hidden,
                   [SPACE_VALUE] = place->text ? t->kv_heads * t->head_dim : v->hidden,
                   [SPACE_MIXED] = place->text ? t->kv_heads * t->head_dim : v->hidden,
                   [SPACE_MLP] = place->text ? t->intermediate : v->intermediate};
    char name[64];
    *count = 0;
    if (space == SPACE_NONE)
        return SNUG_STATUS_OK;
    if (space >= SPACE_VALUE)
        snprintf(name, sizeof name, "channels of %s %d %s", side, place->layer,
                 space == SPACE_MLP ? "mlp" : "value");
    else
        snprintf(name, sizeof name, "channels of %d", (int)space);
    bool fits = choose(s, name, n[space], list, target, count);
    if (fits && space == SPACE_MIXED && place->text)
        fits = expand_heads(t->heads, t->kv_heads, t->head_dim, list, target, count);
    return fits ? SNUG_STATUS_OK
                : snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                                 "the model is too wide for outliers in more than %d channels",
                                 SNUG_MAX_OUTLIER_CHANNELS);
}

/* ---- sizes ---- */

static float matrix_deviation(int64_t k)
{
    float wide = 0.6f / sqrtf((float)k);
    return wide < 0.02f ? wide : 0.02f;
}

/* Size of a matrix's output for inputs of size 1. */
static float gain(int64_t k)
{
    return matrix_deviation(k) * sqrtf((float)k);
}

/* The rms to be expected of the text model's residual stream where `halves` of its 2 * layers
 * blocks have written; an estimate, good to a factor of 1.5. */
static float text_rms(const struct snug_synthesis *s, int halves)
{
    const struct snug_text_config *t = &s->config->text;
    float f = (float)s->outliers, g = gain(t->hidden), squared = COLUMN * COLUMN;
    float mixed = 0.2f * g, product = g * g * sqrtf(0.25f + 0.1875f * g * g);
    float o = mixed * mixed + f * squared * 1.45f * TARGET * TARGET;
    float down = product * product + f * squared * 400.0f;
    float go = gain(t->heads * t->head_dim), gd = gain(t->intermediate);
    float growth = (go * go * o + gd * gd * down) / (2.0f * 2.0f * (float)t->layers);
    float channels = fmaxf(f, 1.0f / (float)t->hidden);
    return sqrtf(EMBEDDING * EMBEDDING + channels * TEXT_HOLD * TEXT_HOLD + (float)halves * growth);
}

static float vision_rms(const struct snug_synthesis *s)
{
    float f = fmaxf((float)s->outliers, 1.0f / (float)s->config->vision.hidden);
    return sqrtf(VISION_RMS * VISION_RMS + f * VISION_HOLD * VISION_HOLD);
}

/* ---- the recipe of each weight ---- */

/* Sizes of vectors that are not norms or scales. */
#define BIAS 0.02f

struct recipe {
    const char *part;      /* after the layer; else the whole name */
    float mean, deviation; /* deviation 0: as matrix_deviation says */
    enum space columns, rows;
    enum rule column_rule, row_rule;
};

static const struct recipe vision_recipes[] = {
    {"vision.cls", 0, EMBEDDING, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.position", 0, EMBEDDING, SPACE_VISION, SPACE_NONE, RULE_ADD, RULE_NONE},
    {"vision.patch.weight", 0, 0, SPACE_NONE, SPACE_VISION, RULE_NONE, RULE_ROWS_SCALE},
    {"vision.patch.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"norm1.weight", 1, 0.05f, SPACE_VISION, SPACE_NONE, RULE_SET, RULE_NONE},
    {"norm1.bias", 0, BIAS, SPACE_VISION, SPACE_NONE, RULE_SET, RULE_NONE},
    {"q.weight", 0, 0, SPACE_VISION, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"k.weight", 0, 0, SPACE_VISION, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"v.weight", 0, 0, SPACE_VISION, SPACE_VALUE, RULE_SCALE, RULE_ROWS_READ},
    {"q.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"k.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"v.bias", 0, BIAS, SPACE_VALUE, SPACE_NONE, RULE_SET, RULE_NONE},
    {"q_norm.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"k_norm.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"o.weight", 0, 0, SPACE_MIXED, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"o.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"scale1", 0.1f, 0.01f, SPACE_VISION, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"norm2.weight", 1, 0.05f, SPACE_VISION, SPACE_NONE, RULE_SET, RULE_NONE},
    {"norm2.bias", 0, BIAS, SPACE_VISION, SPACE_NONE, RULE_SET, RULE_NONE},
    {"fc1.weight", 0, 0, SPACE_VISION, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"fc1.bias", 0, BIAS, SPACE_MLP, SPACE_NONE, RULE_SET, RULE_NONE},
    {"fc2.weight", 0, 0, SPACE_MLP, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"fc2.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"scale2", 0.1f, 0.01f, SPACE_VISION, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"attention_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"mlp_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.position_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.tile_position", 0, EMBEDDING, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.pre_tile", 0, EMBEDDING, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.pre_tile_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.post_tile", 0, EMBEDDING, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.post_tile_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.ln_pre.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.ln_pre.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.ln_post.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"vision.ln_post.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"projector.linear.weight", 0, 0, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"projector.linear.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"projector.layer_norm.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"projector.layer_norm.bias", 0, BIAS, SPACE_SHUFFLED, SPACE_NONE, RULE_SET, RULE_NONE},
    {"projector.linear_1.weight", 0, 0, SPACE_SHUFFLED, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"projector.linear_1.bias", 0, BIAS, SPACE_PROJECTED, SPACE_NONE, RULE_SET, RULE_NONE},
    {"projector.linear_2.weight", 0, 0, SPACE_PROJECTED, SPACE_TEXT, RULE_SCALE, RULE_ROWS_SCALE},
    {"projector.linear_2.bias", 0, BIAS / 10, SPACE_TEXT, SPACE_NONE, RULE_ADD, RULE_NONE},
};
static const struct recipe text_recipes[] = {
    {"text.embed.weight", 0, EMBEDDING, SPACE_TEXT, SPACE_NONE, RULE_ADD, RULE_NONE},
    {"text.norm.weight", 1, 0.05f, SPACE_TEXT, SPACE_NONE, RULE_SET, RULE_NONE},
    {"lm_head.weight", 0, 0, SPACE_TEXT, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"norm1.weight", 1, 0.05f, SPACE_TEXT, SPACE_NONE, RULE_SET, RULE_NONE},
    {"q.weight", 0, 0, SPACE_TEXT, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"k.weight", 0, 0, SPACE_TEXT, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"v.weight", 0, 0, SPACE_TEXT, SPACE_NONE, RULE_SCALE, RULE_NONE},
    {"q.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"k.bias", 0, BIAS, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"v.bias", 0, BIAS, SPACE_VALUE, SPACE_NONE, RULE_SET, RULE_NONE},
    {"q_norm.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"k_norm.weight", 1, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"attention_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"mlp_gate", 0.5f, 0.05f, SPACE_NONE, SPACE_NONE, RULE_NONE, RULE_NONE},
    {"o.weight", 0, 0, SPACE_MIXED, SPACE_TEXT, RULE_SCALE, RULE_ROWS_SCALE},
    {"norm2.weight", 1, 0.05f, SPACE_TEXT, SPACE_NONE, RULE_SET, RULE_NONE},
    {"gate.weight", 0, 0, SPACE_TEXT, SPACE_MLP, RULE_SCALE, RULE_ROWS_READ},
    {"up.weight", 0, 0, SPACE_TEXT, SPACE_MLP, RULE_SCALE, RULE_ROWS_READ},
    {"down.weight", 0, 0, SPACE_MLP, SPACE_TEXT, RULE_SCALE, RULE_ROWS_SCALE},
};

static const struct recipe *find_recipe(const struct place *place)
{
    const struct recipe *recipes = place->text ? text_recipes : vision_recipes;
    size_t count = place->text ? sizeof text_recipes / sizeof *text_recipes
                               : sizeof vision_recipes / sizeof *vision_recipes;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(recipes[i].part, place->part))
            return &recipes[i];
    SNUG_ASSERT(!"a weight of the model");
    return NULL;
}

static bool is_part(const struct place *place, const char *part)
{
    return !strcmp(place->part, part);
}

/* What the tower does without where its norms or its v have no biases, and the reverse. */
static struct recipe adapted(const struct snug_synthesis *s, const struct place *place)
{
    const struct snug_vision_config *v = &s->config->vision;
    struct recipe recipe = *find_recipe(place);
    if (!s->outliers)
        return recipe;
    /* no bias: the row reads the constant channels, but in layers that look at pictures */
    if (place->text && s->config->family == SNUG_FAMILY_LLAMA_VISION &&
        is_part(place, "v.weight") && !s->config->text.cross_layer[place->layer]) {
        recipe.rows = SPACE_VALUE;
        recipe.row_rule = RULE_ROWS_READ;
    }
    if (place->text)
        return recipe;
    bool norm = is_part(place, "norm1.weight") || is_part(place, "norm2.weight");
    bool holds =
        is_part(place, "vision.position") || is_part(place, "scale1") || is_part(place, "scale2");
    if (!v->rms_norm && (norm || holds))
        recipe.column_rule = RULE_NONE;
    if ((is_part(place, "v.weight") && (v->qkv_bias || !v->rms_norm)) ||
        (is_part(place, "vision.patch.weight") && !v->rms_norm))
        recipe.row_rule = RULE_NONE;
    return recipe;
}

/* The values that stand in the columns, or are added there; target: of those channels. */
static void set_values(const struct snug_synthesis *s, const struct place *place,
                       const float *target, struct snug_synthesis_tensor *out)
{
    float hold = place->text || !strncmp(place->part, "projector", 9) ? TEXT_HOLD : VISION_HOLD;
    int halves = is_part(place, "text.norm.weight")
                     ? 2 * (int)s->config->text.layers
                     : 2 * place->layer + is_part(place, "norm2.weight");
    bool norm = strstr(place->part, "norm") && strstr(place->part, ".weight");
    bool rectified = is_part(place, "fc1.bias") || is_part(place, "projector.linear_1.bias");
    for (int i = 0; i < out->column_count; i++) {
        float size = fabsf(target[i]), sign = target[i] < 0 ? -1.0f : 1.0f;
        if (out->row_rule == RULE_ROWS_READ)
            out->column_value[i] = sign * (is_part(place, "v.weight") ? TARGET : GATE) /
                                   ((float)out->column_count * size);
        else if (out->column_rule == RULE_ADD)
            out->column_value[i] = sign * hold;
        else if (norm)
            out->column_value[i] =
                size * (place->text ? text_rms(s, halves) : vision_rms(s)) / hold;
        else
            out->column_value[i] = rectified ? size : target[i];
    }
}

static bool is_tile_table(const struct place *place)
{
    return is_part(place, "vision.tile_position") || is_part(place, "vision.pre_tile") ||
           is_part(place, "vision.post_tile");
}

enum snug_status snug_synthesis_begin(const struct snug_synthesis *synthesis,
                                      const struct snug_weight_request *request,
                                      const struct snug_shape *shape,
                                      struct snug_synthesis_tensor *out, struct snug_error *error)
{
    struct place place = place_of(request->name);
    struct recipe recipe = adapted(synthesis, &place);
    float target[SNUG_MAX_OUTLIER_CHANNELS], layers = (float)synthesis->config->text.layers;
    out->row_elements = request->k ? request->k : shape->dims[shape->rank - 1];
    out->rows = (request->k ? request->n * request->k : request->n) / out->row_elements;
    out->key = hash_text(synthesis->seed, request->candidates[0]);
    out->mean = recipe.mean;
    out->deviation = recipe.deviation > 0 ? recipe.deviation : matrix_deviation(request->k);
    if (place.text && (is_part(&place, "o.weight") || is_part(&place, "down.weight")))
        out->deviation /= sqrtf(2.0f * layers);
    bool llama = synthesis->config->family == SNUG_FAMILY_LLAMA_VISION;
    if (!place.text && llama && (is_part(&place, "o.weight") || is_part(&place, "fc2.weight")))
        out->deviation /= sqrtf(2.0f * (float)synthesis->config->vision.layers);
    out->slots = llama && is_tile_table(&place) ? synthesis->config->vision.max_tiles : 0;
    if (is_part(&place, "projector.linear_2.weight"))
        out->deviation /= 10.0f;
    out->column_rule = recipe.column_rule;
    out->row_rule = recipe.row_rule;
    out->row_factor = recipe.row_rule == RULE_ROWS_READ ? 0.25f : QUIET_ROW;
    /* the layer scales of a tower without biases keep the constant channels as they are */
    out->column_factor = recipe.mean > 0 ? 0.0f : COLUMN;
    SNUG_TRY(choose_space(synthesis, &place, recipe.rows, out->row_list, target, &out->row_count,
                          error));
    /* gate must be positive: silu takes the rest away */
    for (int i = 0; i < out->row_count; i++)
        out->row_sign[i] = target[i] < 0 && !is_part(&place, "gate.weight") ? -1.0f : 1.0f;
    SNUG_TRY(choose_space(synthesis, &place, recipe.columns, out->column_list, target,
                          &out->column_count, error));
    set_values(synthesis, &place, target, out);
    return SNUG_STATUS_OK;
}

/* The place of `row` in the list, or -1. The list is in order. */
static int find_row(const struct snug_synthesis_tensor *tensor, int64_t row)
{
    int low = 0, high = tensor->row_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (tensor->row_list[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tensor->row_count && tensor->row_list[low] == row ? low : -1;
}

/* Row `id` of a table of tiles: zeros in the slots that such a picture does not use. */
static void clear_slots(const struct snug_synthesis_tensor *tensor, int64_t id, uint16_t *out)
{
    int64_t used = snug_tile_aspect_tiles((int)id, tensor->slots);
    int64_t each = tensor->row_elements / tensor->slots;
    memset(out + used * each, 0, (size_t)((tensor->slots - used) * each) * sizeof *out);
}

void snug_synthesis_rows(const struct snug_synthesis_tensor *tensor, int64_t first, int64_t count,
                         uint16_t *out)
{
    for (int64_t row = first; row < first + count; row++, out += tensor->row_elements) {
        uint64_t start = (uint64_t)row * (uint64_t)tensor->row_elements;
        int listed = tensor->row_rule == RULE_NONE ? -1 : find_row(tensor, row);
        float deviation = tensor->deviation * (listed < 0 ? 1.0f : tensor->row_factor);
        fill(tensor->key, start, tensor->row_elements, tensor->mean, deviation, out);
        if (tensor->slots)
            clear_slots(tensor, row, out);
        bool reads = listed >= 0 && tensor->row_rule == RULE_ROWS_READ;
        if (tensor->column_rule == RULE_NONE && !reads)
            continue;
        for (int i = 0; i < tensor->column_count; i++) {
            int32_t column = tensor->column_list[i];
            float drawn = draw(tensor->key, start + (uint64_t)column) / DRAW_DEVIATION;
            float value = tensor->mean + drawn * deviation, set = tensor->column_value[i];
            if (reads)
                value = tensor->row_sign[listed] * set;
            else if (tensor->column_rule == RULE_SET)
                value = set;
            else
                value =
                    tensor->column_rule == RULE_ADD ? value + set : value * tensor->column_factor;
            out[column] = to_bf16(value);
        }
    }
}
