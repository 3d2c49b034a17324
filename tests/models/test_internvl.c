/* Configurations and checkpoints of InternVL that must be understood, or refused with a clear
 * message. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "fake_folder.h"

#include "base/text.h"
#include "models/model.h"

#include <math.h>

static void test_reads_layouts(void **state)
{
    (void)state;
    struct snug_error error;
    struct snug_model_config c;
    struct fake fake;
    fake_open(&fake, "tests/golden/internvl/hf-a");
    assert_ok(snug_model_config_read(&fake.folder, snug_allocator_heap(), &c, &error));
    assert_int_equal(c.layout, SNUG_LAYOUT_KIND_HF);
    assert_int_equal(c.text.head_dim, 16);
    assert_int_equal(c.text.kv_heads, 2);
    assert_int_equal(c.vision.run_layers, 3);
    assert_int_equal(c.tokens_per_tile, 4);
    assert_int_equal(c.tiles.max_tiles, 12);
    assert_true(c.text.rope.dynamic && c.text.rope.factor == 2.0 && c.text.rope.theta == 1e6);
    assert_int_equal(c.stop_id_count, 1);
    assert_int_equal(c.stop_ids[0], 1020);
    fake_close(&fake);
    fake_open(&fake, "tests/golden/internvl/orig");
    assert_ok(snug_model_config_read(&fake.folder, snug_allocator_heap(), &c, &error));
    assert_int_equal(c.layout, SNUG_LAYOUT_KIND_ORIGINAL);
    assert_false(c.vision.shuffle_transposed);
    assert_true(c.vision.qkv_bias);
    assert_int_equal(c.image_token_id, -1);
    assert_int_equal(c.stop_id_count, 2);
    fake_close(&fake);
}

/* What is changed, what must be said. */
static const struct refusal {
    const char *golden, *file, *from, *to;
    enum snug_status status;
    const char *says;
} refusals[] = {
    {"hf-a", "config.json", "\"model_type\": \"internvl\"", "\"model_type\": \"mllama\"",
     SNUG_STATUS_UNSUPPORTED, "mllama"},
    {"hf-a", "config.json", "\"downsample_ratio\": 0.5", "\"downsample_ratio\": 0.25",
     SNUG_STATUS_UNSUPPORTED, "downsample_ratio"},
    {"hf-a", "config.json", "\"text_config\"", "\"txt_config\"", SNUG_STATUS_FORMAT, "text_config"},
    {"hf-a", "config.json", "\"hidden_size\": 96", "\"hidden_size\": \"96\"", SNUG_STATUS_FORMAT,
     "hidden_size"},
    {"hf-a", "config.json", "\"hidden_size\": 96", "\"hidden_size\": -96", SNUG_STATUS_FORMAT,
     "hidden_size"},
    {"hf-a", "config.json", "\"hidden_size\": 96", "\"hidden_size\": 1e300", SNUG_STATUS_FORMAT,
     "hidden_size"},
    {"hf-a", "config.json", "\"hidden_size\": 96,", "", SNUG_STATUS_FORMAT, "hidden_size"},
    {"hf-a", "config.json", "\"hidden_size\": 96", "\"hidden_size\": 97", SNUG_STATUS_FORMAT,
     "divide"},
    {"hf-a", "config.json", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"",
     SNUG_STATUS_UNSUPPORTED, "relu"},
    {"hf-a", "config.json", "\"projector_hidden_act\": \"gelu\"",
     "\"projector_hidden_act\": \"tanh\"", SNUG_STATUS_UNSUPPORTED, "tanh"},
    {"hf-a", "config.json", "\"rope_type\": \"dynamic\"", "\"rope_type\": \"yarn\"",
     SNUG_STATUS_UNSUPPORTED, "yarn"},
    {"hf-a", "config.json", "\"use_sliding_window\": false", "\"use_sliding_window\": true",
     SNUG_STATUS_UNSUPPORTED, "use_sliding_window"},
    {"hf-a", "config.json", "\"image_seq_length\": 4", "\"image_seq_length\": 256",
     SNUG_STATUS_FORMAT, "image_seq_length"},
    {"hf-a", "config.json", "\"norm_type\": \"layer_norm\"", "\"norm_type\": \"batch_norm\"",
     SNUG_STATUS_UNSUPPORTED, "batch_norm"},
    {"hf-a", "config.json", "Qwen2ForCausalLM", "InternLM3ForCausalLM", SNUG_STATUS_UNSUPPORTED,
     "InternLM3"},
    {"hf-a", "config.json", "{", "[", SNUG_STATUS_FORMAT, "config.json"},
    {"hf-a", "config.json", "\"vision_feature_layer\": -1", "\"vision_feature_layer\": -9",
     SNUG_STATUS_FORMAT, "vision_feature_layer"},
    {"hf-a", "preprocessor_config.json", "\"height\": 56", "\"height\": 112",
     SNUG_STATUS_UNSUPPORTED, "size"},
    {"hf-a", "preprocessor_config.json", "0.229", "0.0", SNUG_STATUS_FORMAT, "image_std"},
    {"hf-a", "preprocessor_config.json", "\"resample\": 3", "\"resample\": 0",
     SNUG_STATUS_UNSUPPORTED, "resample"},
    {"hf-a", "generation_config.json", "\"eos_token_id\": 1020", "\"eos_token_id\": \"x\"",
     SNUG_STATUS_FORMAT, "eos_token_id"},
    {"orig", "config.json", "\"ps_version\": \"v2\"", "\"ps_version\": \"v3\"",
     SNUG_STATUS_UNSUPPORTED, "v3"},
    {"orig", "config.json", "\"force_image_size\": 28", "\"force_image_size\": 56",
     SNUG_STATUS_UNSUPPORTED, "force_image_size"},
    /* the checkpoint does not fit the configuration */
    {"hf-a", "config.json", "\"intermediate_size\": 160", "\"intermediate_size\": 161",
     SNUG_STATUS_MODEL, "[160, 96], but config.json calls for [161, 96]"},
    {"hf-a", "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4",
     SNUG_STATUS_MODEL, "layers.3.input_layernorm.weight [96] is missing"},
    {"hf-a", "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2",
     SNUG_STATUS_MODEL, "is not part of the model"},
    {"hf-a", "config.json", "\"use_qk_norm\": false", "\"use_qk_norm\": true", SNUG_STATUS_MODEL,
     "q_norm"},
    {"hf-a", "model.safetensors", "\"F32\"", "\"I32\"", SNUG_STATUS_UNSUPPORTED, "I32"},
    {"orig", "config.json", "\"qkv_bias\": true", "\"qkv_bias\": false", SNUG_STATUS_MODEL,
     "qkv.bias"},
};

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        struct snug_error error = {0};
        struct snug_model *model = NULL;
        struct fake fake;
        char path[64];
        snprintf(path, sizeof path, "tests/golden/internvl/%s", r->golden);
        fake_open(&fake, path);
        fake_replace(&fake, r->file, r->from, r->to);
        enum snug_status status = snug_model_load(&fake.folder, snug_device_cpu(), NULL, NULL,
                                                  snug_allocator_heap(), &model, &error);
        if (status != r->status || !strstr(error.message, r->says))
            fail_msg("%s %s -> %s: status %s, message '%s'; expected %s and '%s'", r->golden,
                     r->from, r->to, snug_status_text(status), error.message,
                     snug_status_text(r->status), r->says);
        snug_model_free(model);
        fake_close(&fake);
    }
}

static void test_rope(void **state)
{
    (void)state;
    /* Check values of internvl.md: base' for factor 2, M = 32768. */
    static const struct {
        int64_t head_dim, n;
        double base;
    } cases[] = {{64, 32768, 1e6},
                 {64, 40000, 1458507.08},
                 {64, 65536, 3108223.67},
                 {128, 40000, 1449795.74},
                 {128, 65536, 3052773.67}};
    struct snug_rope_config config = {
        .theta = 1e6, .dynamic = true, .factor = 2, .max_position = 32768};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float inv[128];
        snug_rope_frequencies(&config, cases[i].head_dim, cases[i].n, inv);
        assert_true(inv[0] == 1.0f);
        double expected = pow(cases[i].base, -2.0 / (double)cases[i].head_dim);
        if (fabs(inv[1] - expected) > 3e-6 * expected)
            fail_msg("head %lld, n %lld: %.9g, not %.9g", (long long)cases[i].head_dim,
                     (long long)cases[i].n, (double)inv[1], expected);
    }
}

/* Every allocation refused in turn: a clear error, nothing left behind. */
static void test_refused_memory(void **state)
{
    (void)state;
    struct snug_counting_allocator counting;
    struct snug_device device;
    for (uint64_t n = 1;; n++) {
        struct snug_folder folder = {.path = test_path("tests/golden/internvl/hf-b"),
                                     .allocator = &counting.allocator};
        struct snug_model *model = NULL;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        snug_allocator_set_global(&counting.allocator);
        snug_device_counted(&device, &counting);
        enum snug_status status =
            snug_model_load(&folder, &device, NULL, NULL, &counting.allocator, &model, &error);
        snug_model_free(model);
        snug_allocator_set_global(snug_allocator_heap());
        if (counting.live)
            fail_msg("allocation %llu refused: %llu blocks left", (unsigned long long)n,
                     (unsigned long long)counting.live);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            assert_true(n > 100);
            break;
        }
        if (status != SNUG_STATUS_MEMORY)
            fail_msg("allocation %llu refused: status %s, message '%s'", (unsigned long long)n,
                     snug_status_text(status), error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads_layouts),
                                       cmocka_unit_test(test_refuses), cmocka_unit_test(test_rope),
                                       cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
