/* A small document on every rung of the ladder: the same bits as on the CPU?
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include "base/clock.h"
#include "generate/rungs.h"

#include <string.h>

#define row(...) snug_cli_row(DOCTOR_DEVICE_WIDTH, __VA_ARGS__)

#define WORDS 32 /* of the prompt, beside the picture's tokens */
#define STEPS 4

struct check {
    const struct snug_device *const *devices;
    int device_count;
    struct snug_pool *pool;
    struct snug_model *model;
    struct snug_rung_request request;
    int32_t *ids;
    int64_t count;
    unsigned char *pixels; /* of one tile */
    size_t logits_bytes;   /* of the prompt's end and each step */
    float *expected, *have;
    int fitting; /* rungs of the device that did */
};

int32_t doctor_plain_id(const struct snug_model *model, int64_t i)
{
    int64_t plain = model->config.text.vocabulary < 396 ? model->config.text.vocabulary : 396;
    int64_t id = i * 37 % plain;
    return (int32_t)(id == model->config.image_token_id ? (id + 1) % plain : id);
}

/* ---- the devices ---- */

static void print_devices(const struct check *c)
{
    char all[24], free_text[24], ours[24], others[24];
    for (int i = 1; i <= c->device_count; i++) {
        struct snug_sim_figures f = snug_sim_figures(c->devices[i]);
        uint64_t free_now = 0;
        struct snug_error error;
        if (c->devices[i]->free_bytes(c->devices[i], &free_now, &error)) {
            row(c->devices[i]->name, "%s", error.message);
            continue;
        }
        row(c->devices[i]->name, "%s: %s free, %s ours, %s held by others",
            snug_format_bytes(free_now + f.ours + f.neighbour, all),
            snug_format_bytes(free_now, free_text), snug_format_bytes(f.ours, ours),
            snug_format_bytes(f.neighbour, others));
    }
}

/* Whether each device has handed out what was planned; else says so. */
static bool is_as_planned(const struct check *c, const struct snug_rung_plan *plan,
                          struct snug_error *error)
{
    for (int i = 1; i <= plan->placing.device_count; i++) {
        uint64_t ours = snug_sim_figures(c->devices[i]).ours;
        if (ours == plan->need_bytes[i])
            continue;
        (void)snug_error_set(error, SNUG_STATUS_DEVICE,
                             "%zu bytes were planned, %llu are taken of %s", plan->need_bytes[i],
                             (unsigned long long)ours, c->devices[i]->name);
        return false;
    }
    return true;
}

/* ---- the document ---- */

static enum snug_status make_document(struct check *c, struct snug_error *error)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    const struct snug_model_config *config = &c->model->config;
    int64_t images = config->tokens_per_tile ? config->tokens_per_tile : 1;
    int64_t elements = 3 * config->vision.image_side * config->vision.image_side;
    int64_t image_id = config->image_token_id;
    if (image_id < 0) /* not in config.json: any that the prompt does not use will do */
        image_id = config->text.embedding_rows - 1;
    c->count = images + WORDS;
    c->logits_bytes = (STEPS + 1) * (size_t)config->text.vocabulary * sizeof(float);
    c->ids = snug_alloc_array(heap, (size_t)c->count, sizeof *c->ids);
    c->pixels = snug_alloc(heap, (size_t)elements);
    c->expected = snug_alloc(heap, c->logits_bytes);
    c->have = snug_alloc(heap, c->logits_bytes);
    if (!c->ids || !c->pixels || !c->expected || !c->have)
        return snug_error_memory(error, 2 * c->logits_bytes, "the check");
    for (int64_t i = 0; i < c->count; i++)
        c->ids[i] = i >= 3 && i < 3 + images ? (int32_t)image_id : doctor_plain_id(c->model, i);
    for (int64_t i = 0; i < elements; i++)
        c->pixels[i] = (unsigned char)(i * 97 % 251);
    c->request = (struct snug_rung_request){.model = c->model,
                                            .session = snug_session_options_default(),
                                            .tokens = c->count + STEPS,
                                            .tiles = 1,
                                            .device_count = c->device_count,
                                            .whole = true};
    c->request.session.ops = snug_ops_find(NULL);
    c->request.session.pool = c->pool;
    c->request.session.device = snug_device_cpu();
    c->request.session.image_token_id = image_id;
    c->request.session.slots = 2; /* one slot is for the rung `narrow` to leave out */
    return SNUG_STATUS_OK;
}

static enum snug_status run_document(const struct check *c, struct snug_session *session,
                                     float *out, struct snug_error *error)
{
    const struct snug_picture picture = {.tiles = 1, .rows = 1, .columns = 1, .bytes = c->pixels};
    size_t row_bytes = c->logits_bytes / (STEPS + 1);
    int64_t vocabulary = c->model->config.text.vocabulary;
    const float *logits = NULL;
    SNUG_TRY(snug_session_begin(session, c->request.tokens, 1, error));
    SNUG_TRY(snug_session_see_picture(session, &picture, error));
    SNUG_TRY(snug_session_prompt(session, c->ids, c->count, &logits, error));
    memcpy(out, logits, row_bytes);
    for (int64_t i = 1; i <= STEPS; i++) {
        SNUG_TRY(snug_session_step(session, doctor_plain_id(c->model, i), &logits, error));
        memcpy(out + i * vocabulary, logits, row_bytes);
    }
    return SNUG_STATUS_OK;
}

/* ---- rungs ---- */

/* Memory as it is now, with nothing held. */
static enum snug_status set_free(struct check *c, struct snug_error *error)
{
    c->request.free_bytes[SNUG_SPACE_HOST] = (size_t)snug_memory_available();
    c->request.granularity[SNUG_SPACE_HOST] = 4096;
    for (int i = 1; i <= c->device_count; i++) {
        uint64_t free_now;
        SNUG_TRY(c->devices[i]->free_bytes(c->devices[i], &free_now, error));
        c->request.devices[i] = c->devices[i];
        c->request.free_bytes[i] = (size_t)free_now;
        c->request.granularity[i] = c->devices[i]->granularity;
    }
    return SNUG_STATUS_OK;
}

/* Where it fits, logits and the milliseconds that they took. */
static enum snug_status run_rung(struct check *c, const struct snug_rung_plan *plan, float *out,
                                 double *ms, struct snug_error *error)
{
    struct snug_session session;
    struct snug_session_options options = c->request.session;
    options.placing = plan->placing;
    options.slots = plan->slots;
    SNUG_TRY(snug_model_hold(c->model, &plan->placing, c->pool, error));
    snug_session_init(&session, c->model, &options, snug_allocator_heap());
    enum snug_status status =
        snug_session_reserve(&session, c->request.tokens, c->request.tiles, error);
    if (!status && !is_as_planned(c, plan, error))
        status = SNUG_STATUS_DEVICE;
    double start = snug_clock_ms();
    if (!status)
        status = run_document(c, &session, out, error);
    *ms = snug_clock_ms() - start;
    snug_session_free(&session);
    snug_model_drop(c->model);
    return status;
}

/* Whether all is well, which is printed. What does not fit is no problem. */
static bool check_rung(struct check *c, enum snug_rung rung)
{
    bool reference = rung == SNUG_RUNG_CPU;
    const char *name = snug_rung_name(rung);
    struct snug_rung_plan plan = {0};
    struct snug_error error = {0};
    char device[24], host[24];
    double ms = 0;
    enum snug_status status = set_free(c, &error);
    if (!status)
        status = snug_rung_plan(&c->request, rung, &plan, &error);
    size_t bytes = plan.need_bytes[1] + plan.need_bytes[2];
    snug_format_bytes(bytes, device);
    snug_format_bytes(plan.need_bytes[SNUG_SPACE_HOST], host);
    if (!status && !plan.fits) {
        row(name, "does not fit: needs %s, and %s of the host", device, host);
        return true;
    }
    c->fitting += !reference;
    if (!status)
        status = run_rung(c, &plan, reference ? c->expected : c->have, &ms, &error);
    bool same = reference || (!status && !memcmp(c->have, c->expected, c->logits_bytes));
    if (status)
        row(name, "PROBLEM: %s", error.message);
    else if (!same)
        row(name, "PROBLEM: other bits than cpu");
    else
        row(name, "%s, %.1f ms, device %s, host %s",
            reference ? "what others are compared with" : "same bits as cpu", ms, device, host);
    return !status && same;
}

/* After everything was given back. */
static int check_nothing_held(const struct check *c)
{
    int problems = 0;
    for (int i = 1; i <= c->device_count; i++) {
        uint64_t ours = snug_sim_figures(c->devices[i]).ours;
        if (ours)
            row(c->devices[i]->name, "PROBLEM: %llu bytes were not given back",
                (unsigned long long)ours);
        problems += ours > 0;
    }
    return problems;
}

static int check_rungs(struct check *c)
{
    struct snug_rung_list rungs = snug_rungs_all(true);
    int problems = 0;
    if (!check_rung(c, SNUG_RUNG_CPU))
        return 1;
    for (int i = 0; i < rungs.count; i++)
        if (rungs.items[i] != SNUG_RUNG_CPU)
            problems += !check_rung(c, rungs.items[i]);
    if (!c->fitting)
        row("rungs", "PROBLEM: none of them fits, so nothing was checked");
    return problems + !c->fitting + check_nothing_held(c);
}

int doctor_check_devices(const struct snug_folder *folder, const struct snug_device *const *devices,
                         int device_count, struct snug_pool *pool)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct check c = {.devices = devices, .device_count = device_count, .pool = pool};
    struct snug_error error;
    int problems = 1;
    enum snug_status status =
        snug_model_open(folder, snug_device_cpu(), NULL, heap, &c.model, &error);
    if (!status)
        status = make_document(&c, &error);
    if (status) {
        row("model", "PROBLEM: %s", error.message);
    } else {
        row("model", "%s, %.1f M parameters", c.model->name, (double)c.model->parameters / 1e6);
        print_devices(&c);
        problems = check_rungs(&c);
    }
    snug_free(heap, c.ids);
    snug_free(heap, c.pixels);
    snug_free(heap, c.expected);
    snug_free(heap, c.have);
    snug_model_free(c.model);
    return problems;
}
