/* Configurations and checkpoints of Llama-3.2-Vision that must be understood, or refused with a
 * clear message. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "fake_folder.h"

#include "models/model.h"

#define TINY_A "tests/golden/mllama/tiny-a"
#define TINY_B "tests/golden/mllama/tiny-b"
#define CONFIG "config.json"
#define PROCESSOR "preprocessor_config.json"
#define WEIGHTS "model.safetensors"

/* ---- understood ---- */

static struct snug_model_config read_config(struct fake *fake)
{
    struct snug_model_config c;
    struct snug_error error;
    assert_ok(snug_model_config_read(&fake->folder, snug_allocator_heap(), &c, &error));
    fake_close(fake);
    return c;
}

static void test_reads_tiny(void **state)
{
    (void)state;
    struct fake fake;
    fake_open(&fake, TINY_A);
    struct snug_model_config c = read_config(&fake);
    assert_int_equal(c.family, SNUG_FAMILY_LLAMA_VISION);
    assert_int_equal(c.text.vocabulary, 587);
    assert_int_equal(c.text.embedding_rows, 595);
    assert_int_equal(c.image_token_id, 587);
    assert_int_equal(c.text.cross_layer_count, 2);
    for (int i = 0; i < 6; i++)
        assert_int_equal(c.text.cross_layer[i], i == 1 || i == 4);
    assert_int_equal(c.text.kv_heads, 2);
    assert_int_equal(c.text.head_dim, 16);
    assert_true(c.text.eps == 1e-5f && c.vision.eps == 1e-5f);
    assert_true(c.text.rope.llama3 && c.text.rope.factor == 8 && c.text.rope.theta == 10000);
    assert_int_equal(c.text.rope.original_position, 64);
    assert_int_equal(c.vision.layers, 5);
    assert_int_equal(c.vision.global_layers, 2);
    assert_int_equal(c.vision.head_dim, 20);
    assert_int_equal(c.vision.max_tiles, 4);
    assert_int_equal(c.vision.taken_count, 3);
    assert_int_equal(c.vision.taken[2], 3);
    assert_int_equal(c.rows_per_tile, 17);
    assert_int_equal(c.tiles.tiling, SNUG_TILING_FIT);
    assert_int_equal(c.tiles.tile_side, 56);
    assert_int_equal(c.tiles.max_tiles, 4);
    assert_int_equal(c.tiles.filter, SNUG_FILTER_BILINEAR);
    assert_int_equal(c.stop_id_count, 3);
    assert_int_equal(c.stop_ids[2], 580);
    assert_int_equal(c.stored, SNUG_DTYPE_F32);

    fake_open(&fake, TINY_B); /* as later releases write it: rope_parameters, dtype */
    c = read_config(&fake);
    assert_true(c.text.rope.llama3 && c.text.rope.theta == 500000);
    assert_int_equal(c.text.rope.original_position, 128);
    assert_int_equal(c.text.kv_heads, 1);
    for (int i = 0; i < 7; i++)
        assert_int_equal(c.text.cross_layer[i], i == 2 || i == 3 || i == 6);
    assert_int_equal(c.vision.taken[0], 3); /* the list's order counts */
    assert_int_equal(c.vision.taken[1], 0);
    assert_int_equal(c.vision.taken[2], 2);
    assert_int_equal(c.rows_per_tile, 10);
    assert_int_equal(c.stored, SNUG_DTYPE_BF16);
}

/* The figures of the published models. */
static void test_reads_large(void **state)
{
    (void)state;
    struct fake fake;
    fake_open(&fake, TINY_A); /* pictures of 448, as the base model's may be */
    fake_replace(&fake, CONFIG, "\"image_size\": 56", "\"image_size\": 448");
    fake_replace(&fake, PROCESSOR, "\"height\": 56", "\"height\": 448");
    fake_replace(&fake, PROCESSOR, "\"width\": 56", "\"width\": 448");
    struct snug_model_config c = read_config(&fake);
    assert_int_equal(c.rows_per_tile, 1025);
    assert_int_equal(c.tiles.tile_side, 448);

    fake_open(&fake, TINY_A); /* every fifth of a hundred layers */
    fake_replace(&fake, CONFIG, "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 100");
    fake_replace(&fake, CONFIG, "[1, 4]",
                 "[3, 8, 13, 18, 23, 28, 33, 38, 43, 48, 53, 58, 63, 68, 73, 78, 83, 88, 93, 98]");
    c = read_config(&fake);
    assert_int_equal(c.text.cross_layer_count, 20);
    for (int i = 0; i < 100; i++)
        assert_int_equal(c.text.cross_layer[i], i % 5 == 3);
}

/* What is spelt in more than one way, or left out. */
static void test_reads_spellings(void **state)
{
    static const struct {
        const char *file, *from, *to;
        int64_t image_token_id, max_tiles;
    } cases[] = {
        {CONFIG, "\"image_token_index\": 587", "\"image_token_id\": 588", 588, 4},
        {CONFIG, "\"image_token_index\": 587", "\"image_token_id\": 594", 594, 4},
        {CONFIG, "\"image_token_index\": 587", "\"image_token_id\": null", 587, 4},
        {CONFIG, "\"image_token_index\": 587,", "", 587, 4},
        {CONFIG, "\"image_size\": 56", "\"image_size\": [56, 56]", 587, 4},
        {CONFIG, "\"max_num_tiles\"", "\"unknown\": {}, \"max_num_tiles\"", 587, 4},
        {CONFIG, "[[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]", "null", 587,
         4},
        {PROCESSOR, "\"max_image_tiles\": 4", "\"max_image_tiles\": 2", 587, 2},
        {PROCESSOR, "\"max_image_tiles\": 4,", "", 587, 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake fake;
        fake_open(&fake, TINY_A);
        fake_replace(&fake, cases[i].file, cases[i].from, cases[i].to);
        struct snug_model_config c = read_config(&fake);
        assert_int_equal(c.image_token_id, cases[i].image_token_id);
        assert_int_equal(c.tiles.max_tiles, cases[i].max_tiles);
        assert_int_equal(c.vision.max_tiles, 4);
    }
    struct fake fake; /* the defaults of the family, where a folder leaves them out */
    fake_open(&fake, TINY_A);
    fake_replace(&fake, CONFIG, "\"rms_norm_eps\": 1e-05,", "");
    fake_replace(&fake, CONFIG, "\"norm_eps\": 1e-05,", "");
    fake_replace(&fake, CONFIG, "\"rope_theta\": 10000.0,", "");
    struct snug_model_config c = read_config(&fake);
    assert_true(c.text.eps == 1e-5f && c.vision.eps == 1e-5f && c.text.rope.theta == 500000);
}

/* ---- refused ---- */

#define METADATA "\"__metadata__\":{\"format\":\"pt\"},"
#define ADDED(name) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"

/* What is changed in tiny-a, what must be said. */
static const struct refusal {
    const char *file, *from, *to;
    enum snug_status status;
    const char *says;
} refusals[] = {
    /* the whole */
    {CONFIG, "\"text_config\"", "\"txt_config\"", SNUG_STATUS_FORMAT, "text_config"},
    {CONFIG, "\"vision_config\"", "\"vis_config\"", SNUG_STATUS_FORMAT, "vision_config"},
    {CONFIG, "mllama_text_model", "llama", SNUG_STATUS_UNSUPPORTED, "model_type"},
    {CONFIG, "mllama_vision_model", "clip", SNUG_STATUS_UNSUPPORTED, "model_type"},
    {CONFIG, "\"image_token_index\": 587", "\"image_token_index\": 595", SNUG_STATUS_FORMAT,
     "\"image_token_index\" is 595, but must be from 0 to 594"},
    {CONFIG, "\"image_token_index\": 587", "\"image_token_id\": 595", SNUG_STATUS_FORMAT,
     "\"image_token_id\" is 595"},
    {CONFIG, "\"image_token_index\": 587", "\"image_token_index\": -1", SNUG_STATUS_FORMAT,
     "image_token_index"},
    {CONFIG, "\"image_token_index\": 587", "\"image_token_index\": \"587\"", SNUG_STATUS_FORMAT,
     "image_token_index"},
    /* text */
    {CONFIG, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true",
     SNUG_STATUS_UNSUPPORTED, "tie_word_embeddings"},
    {CONFIG, "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", SNUG_STATUS_UNSUPPORTED,
     "text_config: hidden_act is gelu"},
    {CONFIG, "\"hidden_size\": 64", "\"hidden_size\": 65", SNUG_STATUS_FORMAT,
     "text_config: hidden_size 65"},
    {CONFIG, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", SNUG_STATUS_FORMAT,
     "num_key_value_heads 3"},
    {CONFIG, "\"num_attention_heads\": 4", "\"num_attention_heads\": 64", SNUG_STATUS_UNSUPPORTED,
     "a head of 1"},
    {CONFIG, "\"vocab_size\": 587,", "", SNUG_STATUS_FORMAT,
     "text_config: key \"vocab_size\" is missing"},
    {CONFIG, "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 0", SNUG_STATUS_FORMAT, "rms_norm_eps"},
    {CONFIG, "\"cross_attention_layers\": [1, 4],", "", SNUG_STATUS_FORMAT,
     "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "4", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "null", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[1, 6]", SNUG_STATUS_FORMAT,
     "text_config: cross_attention_layers must be a list of different layers from 0 to 5"},
    {CONFIG, "[1, 4]", "[-1, 4]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[4, 4]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[1, 4.0]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[1, \"4\"]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    {CONFIG, "[1, 4]", "[1, null]", SNUG_STATUS_FORMAT, "text_config: cross_attention_layers"},
    /* rope */
    {CONFIG, "\"rope_type\": \"llama3\"", "\"rope_type\": \"yarn\"", SNUG_STATUS_UNSUPPORTED,
     "yarn"},
    {CONFIG, "\"factor\": 8.0", "\"factor\": 0.5", SNUG_STATUS_FORMAT, "factor"},
    {CONFIG, "\"factor\": 8.0,", "", SNUG_STATUS_FORMAT, "factor"},
    {CONFIG, "\"factor\": 8.0", "\"factor\": \"8\"", SNUG_STATUS_FORMAT, "factor"},
    {CONFIG, "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 0", SNUG_STATUS_FORMAT,
     "low_freq_factor"},
    {CONFIG, "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0", SNUG_STATUS_FORMAT,
     "high_freq_factor"},
    {CONFIG, "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1e300", SNUG_STATUS_FORMAT,
     "high_freq_factor"},
    {CONFIG, "\"original_max_position_embeddings\": 64", "\"original_max_position_embeddings\": 0",
     SNUG_STATUS_FORMAT, "original_max_position_embeddings"},
    {CONFIG, "\"high_freq_factor\": 4.0,\n   \"original_max_position_embeddings\": 64",
     "\"high_freq_factor\": 4.0", SNUG_STATUS_FORMAT, "original_max_position_embeddings"},
    {CONFIG, "\"rope_theta\": 10000.0", "\"rope_theta\": 1", SNUG_STATUS_FORMAT, "rope_theta"},
    {CONFIG, "\"rope_scaling\": {", "\"rope_parameters\": 8, \"rope_scaling\": {",
     SNUG_STATUS_FORMAT, "rope_parameters must be an object"},
    {CONFIG, "\"rope_scaling\": {", "\"rope_scaling\": [], \"other\": {", SNUG_STATUS_FORMAT,
     "rope_scaling must be an object"},
    /* vision */
    {CONFIG, "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_pytorch_tanh\"",
     SNUG_STATUS_UNSUPPORTED, "hidden_act is gelu_pytorch_tanh"},
    {CONFIG, "\"num_channels\": 3", "\"num_channels\": 1", SNUG_STATUS_UNSUPPORTED, "num_channels"},
    {CONFIG, "\"hidden_size\": 40", "\"hidden_size\": 41", SNUG_STATUS_UNSUPPORTED,
     "vision_config: hidden_size must divide by attention_heads"},
    {CONFIG, "\"attention_heads\": 2", "\"attention_heads\": 3", SNUG_STATUS_UNSUPPORTED,
     "attention_heads"},
    {CONFIG, "\"attention_heads\": 2,", "", SNUG_STATUS_FORMAT, "attention_heads"},
    {CONFIG, "\"patch_size\": 14", "\"patch_size\": 15", SNUG_STATUS_UNSUPPORTED, "patch_size"},
    {CONFIG, "\"image_size\": 56,\n  \"patch_size\": 14",
     "\"image_size\": 16384, \"patch_size\": 1", SNUG_STATUS_LIMIT,
     "vision_config: image_size 16384 in patches of 1"},
    {CONFIG, "\"image_size\": 56", "\"image_size\": [56, 28]", SNUG_STATUS_UNSUPPORTED,
     "image_size"},
    {CONFIG, "\"num_global_layers\": 2", "\"num_global_layers\": 0", SNUG_STATUS_FORMAT,
     "num_global_layers"},
    {CONFIG, "\"norm_eps\": 1e-05", "\"norm_eps\": 0", SNUG_STATUS_FORMAT, "norm_eps"},
    {CONFIG, "\"norm_eps\": 1e-05", "\"norm_eps\": 1", SNUG_STATUS_FORMAT, "norm_eps"},
    {CONFIG, "\"norm_eps\": 1e-05", "\"norm_eps\": \"x\"", SNUG_STATUS_FORMAT, "norm_eps"},
    {CONFIG, "\"norm_eps\": 1e-05", "\"norm_eps\": 1e-60", SNUG_STATUS_FORMAT, "norm_eps"},
    {CONFIG, "\"max_num_tiles\": 4", "\"max_num_tiles\": 0", SNUG_STATUS_FORMAT, "max_num_tiles"},
    {CONFIG, "\"max_num_tiles\": 4", "\"max_num_tiles\": 17", SNUG_STATUS_FORMAT,
     "\"max_num_tiles\" is 17, but must be from 1 to 16"},
    {CONFIG, "\"max_num_tiles\": 4", "\"max_num_tiles\": 1000000000000", SNUG_STATUS_FORMAT,
     "max_num_tiles"},
    {CONFIG, "\"max_num_tiles\": 4", "\"max_num_tiles\": 5", SNUG_STATUS_UNSUPPORTED,
     "vision_config: supported_aspect_ratios"},
    {CONFIG, "[1, 2], [1, 3]", "[1, 3], [1, 2]", SNUG_STATUS_UNSUPPORTED,
     "supported_aspect_ratios is not the list of all 8 [rows, columns] of at most 4 tiles"},
    {CONFIG, ", [4, 1]]", "]", SNUG_STATUS_UNSUPPORTED, "vision_config: supported_aspect_ratios"},
    {CONFIG, "[4, 1]]", "[4, 1], [1, 1]]", SNUG_STATUS_UNSUPPORTED,
     "vision_config: supported_aspect_ratios"},
    {CONFIG, "[[1, 1],", "[[1, 1, 1],", SNUG_STATUS_UNSUPPORTED,
     "vision_config: supported_aspect_ratios"},
    {CONFIG, "[[1, 1],", "[\"1\",", SNUG_STATUS_UNSUPPORTED,
     "vision_config: supported_aspect_ratios"},
    {CONFIG, "[0, 1, 3]", "[0, 1, 5]", SNUG_STATUS_FORMAT,
     "vision_config: intermediate_layers_indices must be a list of at most 16 layers from 0 to 4"},
    {CONFIG, "[0, 1, 3]", "[-1, 1, 3]", SNUG_STATUS_FORMAT,
     "vision_config: intermediate_layers_indices"},
    {CONFIG, "[0, 1, 3]", "[0, 1, 1.5]", SNUG_STATUS_FORMAT,
     "vision_config: intermediate_layers_indices"},
    {CONFIG, "[0, 1, 3]", "[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]", SNUG_STATUS_FORMAT,
     "vision_config: intermediate_layers_indices"},
    {CONFIG, "[0, 1, 3]", "{}", SNUG_STATUS_FORMAT, "vision_config: intermediate_layers_indices"},
    {CONFIG, "[0, 1, 3]", "[0, 1]", SNUG_STATUS_FORMAT,
     "vision_output_dim is 160, but hidden_size 40 and 2 intermediate_layers_indices make 120"},
    {CONFIG, "\"vision_output_dim\": 160", "\"vision_output_dim\": 200", SNUG_STATUS_FORMAT,
     "vision_config: vision_output_dim is 200"},
    {CONFIG, "\"vision_output_dim\": 160,", "", SNUG_STATUS_FORMAT, "vision_output_dim"},
    /* the image processor */
    {PROCESSOR, "\"max_image_tiles\": 4", "\"max_image_tiles\": 5", SNUG_STATUS_FORMAT,
     "\"max_image_tiles\" is 5, but must be from 1 to 4"},
    {PROCESSOR, "\"max_image_tiles\": 4", "\"max_image_tiles\": 0", SNUG_STATUS_FORMAT,
     "max_image_tiles"},
    {PROCESSOR, "\"height\": 56", "\"height\": 112", SNUG_STATUS_UNSUPPORTED, "size"},
    {PROCESSOR, "\"height\": 56,\n  \"width\": 56", "\"height\": 112, \"width\": 112",
     SNUG_STATUS_FORMAT, "size is 112, but the vision tower takes 56"},
    {PROCESSOR, "0.26862954", "0", SNUG_STATUS_FORMAT, "image_std"},
    {PROCESSOR, "\"resample\": 2", "\"resample\": 0", SNUG_STATUS_UNSUPPORTED, "resample"},
    /* the checkpoint does not fit the configuration, or lacks something */
    {WEIGHTS, "global_transformer.layers.1.gate_attn", "global_transformer.layers.1.gate_atten",
     SNUG_STATUS_MODEL, "tensor vision_model.global_transformer.layers.1.gate_attn [1] is missing"},
    {WEIGHTS, "cross_attn_mlp_gate", "cross_attn_mlp_gates", SNUG_STATUS_MODEL,
     "language_model.model.layers.1.cross_attn_mlp_gate [1] is missing"},
    {WEIGHTS, "vision_model.pre_tile_positional_embedding.gate",
     "vision_model.pre_tile_positional_embedding.gated", SNUG_STATUS_MODEL,
     "tensor vision_model.pre_tile_positional_embedding.gate [1] is missing"},
    {WEIGHTS, "\"shape\":[9,2720]", "\"shape\":[10,2448]", SNUG_STATUS_MODEL,
     "tile_embedding.weight has shape [10, 2448], but config.json calls for [9, 2720]"},
    {WEIGHTS, "\"shape\":[9,160]", "\"shape\":[160,9]", SNUG_STATUS_MODEL,
     "tile_positional_embedding.embedding.weight has shape [160, 9], but config.json calls for "
     "[9, 160]"},
    {WEIGHTS, "\"shape\":[40,3,14,14]", "\"shape\":[40,588]", SNUG_STATUS_MODEL,
     "patch_embedding.weight has shape [40, 588], but config.json calls for [40, 3, 14, 14]"},
    {WEIGHTS, "layers.1.cross_attn.q_proj", "layers.1.self_attn.q_proj", SNUG_STATUS_MODEL,
     "tensor language_model.model.layers.1.cross_attn.q_proj.weight [64, 64] is missing"},
    {CONFIG, "[1, 4]", "[1, 3]", SNUG_STATUS_MODEL,
     "tensor language_model.model.layers.3.cross_attn.q_proj.weight [64, 64] is missing"},
    {CONFIG, "\"vocab_size\": 587", "\"vocab_size\": 595", SNUG_STATUS_MODEL,
     "embed_tokens.weight has shape [595, 64], but config.json calls for [603, 64]"},
    {WEIGHTS, METADATA, METADATA ADDED("surplus.weight"), SNUG_STATUS_MODEL,
     "surplus.weight [0] is not part of the model"},
    {WEIGHTS, METADATA, METADATA ADDED("model.vision_model.class_embedding"), SNUG_STATUS_MODEL,
     "tensors vision_model.class_embedding and model.vision_model.class_embedding are the same "
     "weight, but both are there"},
    {WEIGHTS, METADATA, METADATA ADDED("lm_head.weight"), SNUG_STATUS_MODEL,
     "tensors language_model.lm_head.weight and lm_head.weight are the same weight"},
};

static enum snug_status load(struct fake *fake, struct snug_error *error)
{
    struct snug_model *model = NULL;
    enum snug_status status = snug_model_load(&fake->folder, snug_device_cpu(), NULL, NULL,
                                              snug_allocator_heap(), &model, error);
    snug_model_free(model);
    return status;
}

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        struct snug_error error = {0};
        struct fake fake;
        char file[64];
        fake_open(&fake, TINY_A);
        fake_replace(&fake, r->file, r->from, r->to);
        enum snug_status status = load(&fake, &error);
        /* what is wrong with the checkpoint is told of the folder, or of its file */
        snprintf(file, sizeof file, "%s", r->status == SNUG_STATUS_MODEL ? "" : r->file);
        if (status != r->status || !strstr(error.message, r->says) || !strstr(error.message, file))
            fail_msg("%s: %s -> %s: status %s, message '%s'; expected %s and '%s'", r->file,
                     r->from, r->to, snug_status_text(status), error.message,
                     snug_status_text(r->status), r->says);
        fake_close(&fake);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_tiny), cmocka_unit_test(test_reads_large),
        cmocka_unit_test(test_reads_spellings), cmocka_unit_test(test_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
