/* Tests of models/synthesis.c: the same bytes however the rows are cut, numbers of the promised
 * sizes, and, by running such models, finite activations with the outliers that were asked for.
 *
 *     models_test_synthesis DIR      prints what the inputs of the folder's linear layers are like
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "formats/safetensors_write.h"
#include "generate/session.h"
#include "models/builtin.h"
#include "models/synthesis.h"

#include <math.h>
#include <unistd.h>

/* FNV-1a over the elements of one tensor. */
#define KNOWN_HASH 0x1096df8df9222ec6u

/* ---- one tensor ---- */

struct wanted {
    const char *name;
    struct snug_weight_request request;
    struct snug_shape shape;
    char candidate[SNUG_WEIGHT_NAME_BYTES];
    bool found;
};

static enum snug_status look(void *context, const struct snug_weight_request *request,
                             const struct snug_shape *shape, struct snug_error *error)
{
    struct wanted *wanted = context;
    (void)error;
    if (strcmp(request->name, wanted->name))
        return SNUG_STATUS_OK;
    wanted->request = *request;
    wanted->request.name = wanted->name;
    snprintf(wanted->candidate, sizeof wanted->candidate, "%s", request->candidates[0]);
    wanted->request.candidates[0] = wanted->candidate;
    wanted->shape = *shape;
    wanted->found = true;
    return SNUG_STATUS_OK;
}

static void config_of(const char *name, struct snug_model_config *config)
{
    struct snug_builtin builtin = {0};
    struct snug_error error;
    assert_ok(snug_builtin_open(name, 0, snug_allocator_heap(), &builtin, &error));
    assert_ok(snug_model_config_read(&builtin.folder, snug_allocator_heap(), config, &error));
    snug_builtin_close(&builtin);
}

/* The whole tensor, `cut` rows at a time. */
static uint16_t *make(const struct snug_synthesis *s, const char *name, int64_t cut,
                      struct snug_synthesis_tensor *tensor)
{
    struct wanted wanted = {.name = name};
    struct snug_error error;
    assert_ok(snug_model_visit_weights(s->config, look, &wanted, &error));
    assert_true(wanted.found);
    assert_ok(snug_synthesis_begin(s, &wanted.request, &wanted.shape, tensor, &error));
    uint16_t *out = malloc((size_t)(tensor->rows * tensor->row_elements) * sizeof *out);
    for (int64_t row = 0; row < tensor->rows; row += cut)
        snug_synthesis_rows(tensor, row, cut < tensor->rows - row ? cut : tensor->rows - row,
                            out + row * tensor->row_elements);
    return out;
}

static void test_cuts_seeds_names(void **state)
{
    (void)state;
    static const char *const names[] = {"text.layer.0.gate.weight", "text.layer.1.down.weight",
                                        "vision.position", "vision.layer.1.scale2",
                                        "text.layer.0.norm2.weight"};
    static struct snug_synthesis_tensor tensor;
    struct snug_model_config config;
    config_of("tiny-rms", &config);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct snug_synthesis s = {&config, 3, 0.01}, other = {&config, 4, 0.01};
        uint16_t *whole = make(&s, names[i], 1 << 20, &tensor);
        uint16_t *cut = make(&s, names[i], 3, &tensor);
        uint16_t *different = make(&other, names[i], 3, &tensor);
        size_t bytes = (size_t)(tensor.rows * tensor.row_elements) * sizeof *whole;
        assert_memory_equal(whole, cut, bytes);
        assert_int_not_equal(memcmp(whole, different, bytes), 0);
        free(whole);
        free(cut);
        free(different);
    }
    /* q and k have one shape, but not the same numbers */
    struct snug_synthesis s = {&config, 3, 0};
    uint16_t *q = make(&s, "vision.layer.0.q.weight", 64, &tensor);
    uint16_t *k = make(&s, "vision.layer.0.k.weight", 64, &tensor);
    assert_int_not_equal(memcmp(q, k, 64 * 64 * sizeof *q), 0);
    free(q);
    free(k);
}

static void test_distribution(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double mean, deviation;
    } cases[] = {
        {"text.layer.3.q.weight", 0, 0.02},
        {"text.layer.3.o.weight", 0, 0.02 / 6.928203},             /* sqrt(2 * 24) */
        {"text.layer.3.down.weight", 0, 0.6 / 69.7424 / 6.928203}, /* sqrt(4864) */
        {"text.layer.3.norm1.weight", 1, 0.05},
        {"vision.layer.7.fc1.weight", 0, 0.6 / 32},
        {"vision.layer.7.scale1", 0.1, 0.01},
        {"vision.patch.weight", 0, 0.02},
    };
    static struct snug_synthesis_tensor tensor;
    struct snug_model_config config;
    config_of("internvl3-1b", &config);
    struct snug_synthesis s = {&config, 1, 0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t *data = make(&s, cases[i].name, 100, &tensor);
        int64_t count = tensor.rows * tensor.row_elements;
        double sum = 0, squares = 0, fourth = 0;
        for (int64_t j = 0; j < count; j++) {
            double d = (double)snug_bf16_to_f32(data[j]) - cases[i].mean;
            sum += d;
            squares += d * d;
            fourth += d * d * d * d;
        }
        double mean = sum / (double)count, variance = squares / (double)count;
        double kurtosis = fourth / (double)count / (variance * variance);
        /* 4.5 standard errors; the sum of four uniform numbers has kurtosis 2.7, the normal
         * distribution 3 */
        double slack = 4.5 / sqrt((double)count);
        if (fabs(mean) > cases[i].deviation * slack ||
            fabs(sqrt(variance) / cases[i].deviation - 1) > slack + 1e-3 ||
            fabs(kurtosis - 2.7) > 6 * slack + 0.01)
            fail_msg("%s: mean %g off, deviation %g, kurtosis %g", cases[i].name, mean,
                     sqrt(variance), kurtosis);
        free(data);
    }
}

/* The numbers are part of the interface: the same folder on every machine. */
static void test_known_numbers(void **state)
{
    (void)state;
    static struct snug_synthesis_tensor tensor;
    struct snug_model_config config;
    config_of("tiny", &config);
    struct snug_synthesis s = {&config, 1, 0.01};
    uint16_t *data = make(&s, "text.layer.0.gate.weight", 7, &tensor);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < tensor.rows * tensor.row_elements; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    free(data);
    if (hash != KNOWN_HASH)
        fail_msg("hash %llx", (unsigned long long)hash);
}

/* ---- whole models ---- */

#define MOST_TENSORS 160
struct writing {
    const struct snug_synthesis *synthesis;
    struct snug_safetensors_writer *writer;
    struct snug_tensor_spec specs[MOST_TENSORS];
    char names[MOST_TENSORS][SNUG_WEIGHT_NAME_BYTES];
    size_t count;
};

static enum snug_status list_tensor(void *context, const struct snug_weight_request *request,
                                    const struct snug_shape *shape, struct snug_error *error)
{
    struct writing *w = context;
    (void)error;
    assert_true(w->count < MOST_TENSORS);
    snprintf(w->names[w->count], sizeof w->names[0], "%s", request->candidates[0]);
    w->specs[w->count] = (struct snug_tensor_spec){w->names[w->count], SNUG_DTYPE_BF16, *shape};
    w->count++;
    return SNUG_STATUS_OK;
}

static enum snug_status write_tensor(void *context, const struct snug_weight_request *request,
                                     const struct snug_shape *shape, struct snug_error *error)
{
    static struct snug_synthesis_tensor tensor;
    static uint16_t row[1 << 19];
    struct writing *w = context;
    SNUG_TRY(snug_synthesis_begin(w->synthesis, request, shape, &tensor, error));
    assert_true(tensor.row_elements <= 1 << 19);
    for (int64_t i = 0; i < tensor.rows; i++) {
        snug_synthesis_rows(&tensor, i, 1, row);
        SNUG_TRY(snug_safetensors_writer_write(w->writer, row,
                                               (size_t)tensor.row_elements * sizeof *row, error));
    }
    return SNUG_STATUS_OK;
}

/* Channels of one input of a linear layer, counted over all tokens. */
struct input {
    char name[64];
    int64_t rows, cols, large;
    int32_t *large_rows; /* of each channel: tokens with |x| >= 6 */
};
struct measure {
    struct snug_session *session;
    struct input inputs[512];
    int count;
    bool finite;
};

static bool trace(void *context, const struct snug_step *step, const char *name, const float *data,
                  int64_t rows, int64_t cols)
{
    struct measure *m = context;
    const float *x = snug_executor_operand(&m->session->executor, step->in[0]);
    for (int64_t i = 0; i < rows * cols; i++)
        m->finite &= isfinite(data[i]) != 0;
    if (step->op != SNUG_OP_KIND_LINEAR)
        return true;
    struct input *input = m->inputs;
    while (input < m->inputs + m->count && strcmp(input->name, name))
        input++;
    if (input == m->inputs + m->count) {
        assert_true(m->count++ < 512);
        snprintf(input->name, sizeof input->name, "%s", name);
        input->cols = step->k;
        input->large_rows = calloc((size_t)step->k, sizeof *input->large_rows);
    }
    input->rows += rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < step->k; c++)
            if (fabsf(x[r * step->k + c]) >= 6) {
                input->large++;
                input->large_rows[c]++;
            }
    return true;
}

/* Runs a picture (half white, half grey noise) and a prompt. */
static void run_model(const struct snug_folder *folder, struct measure *m)
{
    struct snug_error error;
    struct snug_model *model = NULL;
    struct snug_session session;
    struct snug_session_options options = snug_session_options_default();
    const float *logits;
    int32_t ids[320];
    assert_ok(snug_model_load(folder, snug_device_cpu(), NULL, NULL, snug_allocator_heap(), &model,
                              &error));
    int64_t side = model->config.vision.image_side, elements = 3 * side * side;
    bool llama = model->config.family == SNUG_FAMILY_LLAMA_VISION;
    float *pixels = malloc((size_t)elements * sizeof *pixels);
    const struct snug_picture picture = {.tiles = 1, .rows = 1, .columns = 1, .pixels = pixels};
    uint32_t seed = 7;
    for (int64_t i = 0; i < elements; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = i % (side * side) < side * side / 2 ? 2.4f : (float)(seed >> 8) * 0x1p-22f - 2;
    }
    for (int i = 0; i < 320; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = llama               ? (int32_t)((seed >> 8) % 128000)
                 : i >= 8 && i < 264 ? 151667
                                     : (int32_t)((seed >> 8) % 151643);
        if (llama && i == 0)
            ids[i] = (int32_t)model->config.image_token_id;
    }
    *m = (struct measure){.session = &session, .finite = true};
    options.trace = trace;
    options.trace_context = m;
    snug_session_init(&session, model, &options, snug_allocator_heap());
    assert_ok(snug_session_begin(&session, 324, 1, &error));
    assert_ok(snug_session_see_picture(&session, &picture, &error));
    assert_ok(snug_session_prompt(&session, ids, 320, &logits, &error));
    assert_ok(snug_session_step(&session, 17, &logits, &error));
    float low = logits[0], high = logits[0];
    for (int64_t i = 1; i < model->config.text.vocabulary; i++) {
        low = fminf(low, logits[i]);
        high = fmaxf(high, logits[i]);
    }
    m->finite &= isfinite(low) && isfinite(high);
    assert_true(high - low > 0.1f && high - low < 100.0f);
    snug_session_free(&session);
    snug_model_free(model);
    free(pixels);
}

static void measure_free(struct measure *m)
{
    for (int i = 0; i < m->count; i++)
        free(m->inputs[i].large_rows);
}

/* Channels that are large for at least 95 % of the tokens. */
static int64_t steady(const struct input *input)
{
    int64_t count = 0;
    for (int64_t c = 0; c < input->cols; c++)
        count += input->large_rows[c] * 100 >= input->rows * 95;
    return count;
}

static void run_builtin(const char *name, double outliers, struct measure *m)
{
    static struct writing writing;
    char folder[64] = "/tmp/snug-test-XXXXXX", path[128];
    struct snug_builtin builtin = {0};
    struct snug_embedded_file files[2];
    struct snug_model_config config;
    struct snug_blob blob = {0};
    struct snug_error error;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    config_of(name, &config);
    struct snug_synthesis synthesis = {&config, 5, outliers};
    writing = (struct writing){.synthesis = &synthesis};
    assert_ok(snug_model_visit_weights(&config, list_tensor, &writing, &error));
    assert_ok(snug_safetensors_writer_open(path, writing.specs, writing.count, NULL, 0,
                                           snug_allocator_heap(), &writing.writer, &error));
    assert_ok(snug_model_visit_weights(&config, write_tensor, &writing, &error));
    assert_ok(snug_safetensors_writer_commit(writing.writer, &error));
    assert_ok(snug_builtin_open(name, 0, snug_allocator_heap(), &builtin, &error));
    assert_ok(snug_file_map(path, &blob, &error));
    files[0] = builtin.files[0];
    files[1] = (struct snug_embedded_file){"model.safetensors", blob.data, blob.size};
    struct snug_folder made = {
        .path = name, .files = files, .file_count = 2, .allocator = snug_allocator_heap()};
    run_model(&made, m);
    snug_blob_free(&blob);
    snug_builtin_close(&builtin);
    unlink(path);
    rmdir(folder);
}

/* Inputs that hold no outliers: pixels, and of Llama what comes from the tower unnormalised, or
 * from values without bias that read no constant channel. */
static bool is_plain(const char *model, const char *input)
{
    bool llama = !strcmp(model, "tiny-llama"), tower = !strncmp(input, "vision.", 7);
    bool attention = strstr(input, "attention") != NULL;
    bool of_pictures = !strncmp(input, "text.layer.3.", 13) &&
                       (attention || !strcmp(input + 13, "k") || !strcmp(input + 13, "v"));
    return strstr(input, "patch") ||
           (llama && ((tower && attention) || !strncmp(input, "projector", 9) || of_pictures));
}

static void test_models(void **state)
{
    (void)state;
    static struct measure m;
    static const char *const names[] = {"tiny", "tiny-rms", "tiny-llama"};
    for (int i = 0; i < 6; i++) {
        double outliers = i % 2 ? 0.01 : 0;
        run_builtin(names[i / 2], outliers, &m);
        assert_true(m.finite);
        assert_true(m.count > 25);
        for (int j = 0; j < m.count; j++) {
            const struct input *input = &m.inputs[j];
            bool plain = is_plain(names[i / 2], input->name);
            /* one of up to 128 channels, as often as attention's heads share it */
            int64_t wanted =
                outliers > 0 && !plain ? (int64_t)(0.01 * (double)input->cols + 0.5) : 0;
            if (outliers > 0 && !plain && !wanted)
                wanted = 1;
            if (!strncmp(input->name, "text", 4) && strstr(input->name, "attention"))
                wanted *= 2; /* heads share them */
            int64_t found = steady(input), rest = input->large;
            for (int64_t c = 0; c < input->cols; c++)
                if (input->large_rows[c] * 100 >= input->rows * 95)
                    rest -= input->large_rows[c];
            if (found != wanted || rest * 1000 > input->rows * input->cols)
                fail_msg("%s, outliers %g, %s: %lld of %lld channels, expected %lld; %lld others "
                         "in %lld rows",
                         names[i / 2], outliers, input->name, (long long)found,
                         (long long)input->cols, (long long)wanted, (long long)rest,
                         (long long)input->rows);
        }
        measure_free(&m);
    }
}

static int print_measures(const char *path)
{
    static struct measure m;
    struct snug_folder folder = {.path = path, .allocator = snug_allocator_heap()};
    run_model(&folder, &m);
    printf("%-28s %6s %6s %8s %8s %8s\n", "input of", "tokens", "width", "|x|>=6", "steady",
           "others");
    for (int i = 0; i < m.count; i++) {
        const struct input *input = &m.inputs[i];
        double all = (double)(input->rows * input->cols), rest = (double)input->large;
        for (int64_t c = 0; c < input->cols; c++)
            if (input->large_rows[c] * 100 >= input->rows * 95)
                rest -= input->large_rows[c];
        printf("%-28s %6lld %6lld %7.3f%% %7.3f%% %7.3f%%\n", input->name, (long long)input->rows,
               (long long)input->cols, 100 * (double)input->large / all,
               100 * (double)steady(input) / (double)input->cols, 100 * rest / all);
    }
    printf("%s\n", m.finite ? "all finite" : "NOT FINITE");
    measure_free(&m);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts_seeds_names),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_known_numbers),
        cmocka_unit_test(test_models),
    };
    if (argc > 1)
        return print_measures(argv[1]);
    return cmocka_run_group_tests_name("models/synthesis", tests, NULL, NULL);
}
