/* snug bench model: one model's vision tile, prompt, answer, load and memory.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

#include "formats/tokenizer.h"
#include "generate/session.h"

#include <stdio.h>
#include <string.h>

#define TOGETHER 4 /* documents decoded together */
#define MOST_TOKENS 4096

struct model_bench {
    struct bench *b;
    struct snug_model *model;
    struct snug_session session;
    int32_t ids[MOST_TOKENS];
};

/* The high-water mark falls back to what is in memory now. */
static void reset_high_water(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

static enum snug_status vision(struct model_bench *m, struct snug_error *error)
{
    const struct snug_vision_config *v = &m->model->config.vision;
    int64_t elements = 3 * v->image_side * v->image_side;
    int runs = m->b->quick ? 2 : 4;
    float *pixels = snug_calloc(snug_allocator_heap(), (size_t)elements, sizeof *pixels);
    if (!pixels)
        return snug_error_memory(error, (size_t)elements * 4, "a tile");
    for (int64_t i = 0; i < elements; i++)
        pixels[i] = (float)((i * 7919) % 1000) / 250.0f - 2;
    enum snug_status status = snug_session_begin(&m->session, MOST_TOKENS, runs, error);
    double best = 0;
    for (int i = 0; !status && i < runs; i++) { /* the first touches the pages */
        double from = snug_clock_ms();
        status = snug_session_see(&m->session, pixels, 1, error);
        double ms = snug_clock_ms() - from;
        best = i && (best == 0 || ms < best) ? ms : best;
    }
    if (!status)
        bench_add(m->b, "vision_tile", "1", best, "ms", 0, BENCH_LIMIT_NONE);
    snug_free(snug_allocator_heap(), pixels);
    return status;
}

/* Multiplications and additions of the tower for a picture of so many tiles: linear layers over the
 * rows that are computed, and attention over all keys. */
static double picture_work(const struct model_bench *m, int64_t tiles)
{
    const struct snug_model_config *c = &m->model->config;
    const struct snug_vision_config *v = &c->vision;
    double slots = (double)v->max_tiles, n = (double)c->rows_per_tile, d = (double)v->hidden;
    double used = (double)tiles, rows = (used < slots ? used + 1 : used) * n + slots;
    double keys = slots * (double)snug_padded_rows_per_tile(c);
    double linear = rows * (4 * d * d + 2 * d * (double)v->intermediate);
    double attention = 2 * d * (used * n * keys + (rows - used * n) * used * n);
    return 2 * (linear + attention) * (double)(v->layers + v->global_layers);
}

/* Llama's tower looks at a whole picture: two rows of two tiles, and one tile. */
static enum snug_status picture(struct model_bench *m, int64_t rows, int64_t columns,
                                struct snug_error *error)
{
    const struct snug_vision_config *v = &m->model->config.vision;
    int64_t tiles = rows * columns, bytes = 3 * v->image_side * v->image_side * tiles;
    struct snug_picture picture = {.tiles = tiles, .rows = rows, .columns = columns};
    char shape[32];
    unsigned char *pixels = snug_alloc(snug_allocator_heap(), (size_t)bytes);
    if (!pixels)
        return snug_error_memory(error, (size_t)bytes, "tiles");
    for (int64_t i = 0; i < bytes; i++)
        pixels[i] = (unsigned char)(i * 7919 % 251);
    picture.bytes = pixels;
    enum snug_status status = SNUG_STATUS_OK;
    double best = 0;
    for (int i = 0; !status && i < 2; i++) { /* the first touches the pages */
        status = snug_session_begin(&m->session, MOST_TOKENS, v->max_tiles, error);
        double from = snug_clock_ms();
        if (!status)
            status = snug_session_see_picture(&m->session, &picture, error);
        double ms = snug_clock_ms() - from;
        best = i == 0 || ms < best ? ms : best;
        if (m->b->quick)
            break;
    }
    snprintf(shape, sizeof shape, "%lldx%lld", (long long)rows, (long long)columns);
    if (!status)
        bench_add(m->b, "vision_picture", shape, best, "ms", picture_work(m, tiles) / best / 1e6,
                  BENCH_LIMIT_F32);
    snug_free(snug_allocator_heap(), pixels);
    return status;
}

static enum snug_status prefill(struct model_bench *m, int64_t tokens, struct snug_error *error)
{
    char name[32], shape[32];
    double best = 0;
    for (int i = 0; i < (tokens < 1000 && !m->b->quick ? 3 : 1); i++) {
        const float *logits;
        SNUG_TRY(snug_session_begin(&m->session, MOST_TOKENS, 0, error));
        double from = snug_clock_ms();
        SNUG_TRY(snug_session_prompt(&m->session, m->ids, tokens, &logits, error));
        double rate = (double)tokens / (snug_clock_ms() - from) * 1000;
        best = rate > best ? rate : best;
    }
    snprintf(name, sizeof name, "prefill_%lld", (long long)tokens);
    snprintf(shape, sizeof shape, "%lld", (long long)tokens);
    bench_add(m->b, name, shape, best, "tokens/s", 0, BENCH_LIMIT_NONE);
    return SNUG_STATUS_OK;
}

/* Bytes that a step of `count` documents reads: the text model's weights, and keys and values. */
static double step_bytes(const struct model_bench *m, int64_t context, int64_t count)
{
    const struct snug_text_config *t = &m->model->config.text;
    return (double)snug_model_step_bytes(m->model) +
           4.0 * (double)((t->layers - t->cross_layer_count) * t->kv_heads * t->head_dim * context *
                          count);
}

/* Steps at a context that is only claimed: keys and values are whatever lies there (numbers), which
 * costs the same as a prompt that was read. */
static enum snug_status decode(struct model_bench *m, int64_t context, int count,
                               struct snug_error *error)
{
    struct snug_session_token tokens[TOGETHER] = {{0}};
    const float *logits;
    char name[40], shape[32];
    double sum = 0;
    int steps = m->b->quick ? 2 : 12;
    for (int i = 0; i < count; i++) {
        SNUG_TRY(snug_session_begin_slot(&m->session, i, MOST_TOKENS, 0, error));
        m->session.slots[i].positions = context;
        tokens[i] = (struct snug_session_token){.slot = i, .id = m->ids[i]};
    }
    for (int i = 0; i <= steps; i++) {
        double from = snug_clock_ms();
        SNUG_TRY(snug_session_step_together(&m->session, tokens, count, &logits, error));
        sum += i ? snug_clock_ms() - from : 0;
    }
    for (int i = 0; i < count; i++)
        snug_session_end(&m->session, i);
    double ms = sum / steps;
    snprintf(name, sizeof name, count > 1 ? "decode_x4_%lld" : "decode_%lld", (long long)context);
    snprintf(shape, sizeof shape, "%dx%lld", count, (long long)context);
    bench_add(m->b, name, shape, 1000.0 * count / ms, "tokens/s",
              step_bytes(m, context, count) / ms / 1e6, BENCH_LIMIT_READ);
    return SNUG_STATUS_OK;
}

static enum snug_status measure(struct model_bench *m, struct snug_error *error)
{
    static const int64_t contexts[] = {512, 3584}, prompts[] = {128, 512, 3328};
    if (m->model->config.family == SNUG_FAMILY_LLAMA_VISION) {
        bench_peaks(m->b);
        SNUG_TRY(picture(m, 2, 2, error));
        SNUG_TRY(picture(m, 1, 1, error));
    } else
        SNUG_TRY(vision(m, error));
    for (int i = 0; i < (m->b->quick ? 1 : 3); i++)
        SNUG_TRY(prefill(m, prompts[i], error));
    bench_peaks(m->b);
    for (int i = 0; i < (m->b->quick ? 1 : 2); i++) {
        SNUG_TRY(decode(m, contexts[i], 1, error));
        SNUG_TRY(decode(m, contexts[i], TOGETHER, error));
    }
    return SNUG_STATUS_OK;
}

enum snug_status bench_model(struct bench *b, const struct snug_folder *folder,
                             const struct snug_model_options *options, struct snug_error *error)
{
    static struct model_bench m;
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_tokenizer *tokenizer = NULL;
    double before = (double)snug_memory_of_process("VmRSS"), start = snug_clock_ms();
    reset_high_water();
    m.b = b;
    enum snug_status status =
        snug_model_load(folder, snug_device_cpu(), b->pool, options, heap, &m.model, error);
    double model_ms = snug_clock_ms() - start;
    if (!status)
        status = snug_tokenizer_load(folder, heap, &tokenizer, error);
    double load_ms = snug_clock_ms() - start;
    if (!status) {
        struct snug_session_options session = snug_session_options_default();
        session.ops = b->ops;
        session.pool = b->pool;
        session.slots = TOGETHER;
        snug_session_init(&m.session, m.model, &session, heap);
        for (int i = 0; i < MOST_TOKENS; i++)
            m.ids[i] = (int32_t)(i * 31 % 250);
        bench_add(b, "load", "", load_ms, "ms", 0, BENCH_LIMIT_NONE);
        bench_add(b, "load_weights", "", model_ms, "ms", 0, BENCH_LIMIT_NONE);
        bench_add(b, "load_tokenizer", "", load_ms - model_ms, "ms", 0, BENCH_LIMIT_NONE);
        status = measure(&m, error);
    }
    if (!status) {
        double mib = 1 << 20, peak = (double)snug_memory_of_process("VmHWM") - before;
        double planned = (double)m.model->weights_bytes + (double)m.session.peak_bytes;
        bench_add(b, "memory_weights", "", (double)m.model->weights_bytes / mib, "MiB", 0,
                  BENCH_LIMIT_NONE);
        bench_add(b, "memory_planned", "4 documents", (double)m.session.peak_bytes / mib, "MiB", 0,
                  BENCH_LIMIT_NONE);
        bench_add(b, "memory_tokenizer", "", (double)snug_tokenizer_memory_bytes(tokenizer) / mib,
                  "MiB", 0, BENCH_LIMIT_NONE);
        bench_add(b, "memory_peak", "", peak / mib, "MiB", 0, BENCH_LIMIT_NONE);
        bench_add(b, "memory_above_plan", "with tokeniser", (peak - planned) / mib, "MiB", 0,
                  BENCH_LIMIT_NONE);
    }
    snug_session_free(&m.session);
    snug_tokenizer_free(tokenizer);
    snug_model_free(m.model);
    return status;
}
