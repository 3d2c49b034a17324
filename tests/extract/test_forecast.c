/* What is said beforehand: consumers add up, the peak is the smallest budget, remedies help, models
 * without a tokeniser or without weights can be planned. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "extract/reader.h"
#include "models/builtin.h"

static struct snug_schema *make_schema(void)
{
    struct snug_schema *schema = NULL;
    struct snug_error error;
    static const char json[] =
        "{\"name\": \"s\", \"fields\": [{\"name\": \"TOTAL\", \"type\": \"money\"}]}";
    assert_ok(
        snug_schema_parse(json, sizeof json - 1, "s", snug_allocator_heap(), &schema, &error));
    return schema;
}

static size_t sum(const struct snug_consumers *list)
{
    size_t bytes = 0;
    for (int i = 0; i < list->count; i++)
        bytes += list->items[i].bytes;
    return bytes;
}

static size_t bytes_of(const struct snug_consumers *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].name, name))
            return list->items[i].bytes;
    fail_msg("no consumer %s", name);
    return 0;
}

/* Every model known by name, on the host and on a card, alone and four at once. */
static void test_adds_up(void **state)
{
    (void)state;
    struct snug_schema *schema = make_schema();
    for (size_t i = 0; i < snug_builtin_count(); i++)
        for (int variant = 0; variant < 4; variant++) {
            struct snug_builtin builtin;
            struct snug_reader_options options = snug_reader_options_default();
            struct snug_reader *reader = NULL;
            struct snug_forecast_request request;
            struct snug_forecast f, wider;
            struct snug_error error;
            options.model.quantize = variant & 1 ? SNUG_QUANT_Q8 : SNUG_QUANT_NONE;
            options.parallel = variant & 2 ? 4 : 1;
            assert_ok(snug_builtin_open(snug_builtin_name(i), 0, snug_allocator_heap(), &builtin,
                                        &error));
            assert_ok(snug_reader_prepare(&builtin.folder, schema, &options, true,
                                          snug_allocator_heap(), &reader, &error));
            assert_ok(snug_reader_request(reader, &request, &error));
            for (int host = 0; host < 2; host++) {
                request.placing = (struct snug_placing){.device_count = 0};
                if (!host)
                    snug_forecast_on_device(&request, 2 << 20);
                assert_ok(snug_forecast_make(&request, snug_allocator_heap(), &f, &error));
                assert_int_equal(sum(&f.device), f.peak_bytes);
                assert_int_equal(sum(&f.host), f.host_bytes);
                assert_true(f.lower_bound_bytes <= f.peak_bytes);
                assert_int_equal(host, f.host.count == 0);
                assert_true(f.peak_bytes >= f.weights_bytes + f.region_bytes);
                assert_int_equal(bytes_of(host ? &f.device : &f.host, "document"),
                                 request.document_bytes);
            }
            /* Keys and values: 2 x kv heads x head x 2 bytes a layer and position, or, in
             * cross-attention layers, row of a picture (both in steps of 16). */
            const struct snug_text_config *t = &request.model->config.text;
            int64_t self = t->layers - t->cross_layer_count;
            int64_t rows = (request.tiles * request.model->config.rows_per_tile + 15) / 16 * 16;
            assert_int_equal(f.kv_bytes, 4 * t->kv_heads * t->head_dim *
                                             (self * f.capacity + t->cross_layer_count * rows));
            request.tokens += 16;
            assert_ok(snug_forecast_make(&request, snug_allocator_heap(), &wider, &error));
            assert_int_equal(wider.kv_bytes - f.kv_bytes, 64 * self * t->kv_heads * t->head_dim);
            assert_true(wider.peak_bytes >= f.peak_bytes);
            snug_reader_close(reader);
            snug_builtin_close(&builtin);
        }
    snug_schema_free(schema);
}

/* A folder whose weights are there, and the same folder's configuration alone, take the same, but
 * for a head of its own where nobody can see that there is none (hf-b). */
static void test_config_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"hf-b", "orig"};
    for (size_t i = 0; i < 2; i++) {
        char path[96];
        struct snug_blob blob = {0};
        struct snug_error error;
        struct snug_model *whole = NULL, *bare = NULL;
        snprintf(path, sizeof path, "tests/golden/internvl/%s", names[i]);
        struct snug_folder folder = {.path = test_path(path), .allocator = snug_allocator_heap()};
        assert_ok(snug_model_outline(&folder, NULL, snug_allocator_heap(), &whole, &error));
        assert_ok(snug_folder_read(&folder, "config.json", SNUG_MAX_CONFIG_BYTES, &blob, &error));
        struct snug_embedded_file file = {"config.json", blob.data, blob.size};
        struct snug_folder alone = {
            .path = "alone", .files = &file, .file_count = 1, .allocator = snug_allocator_heap()};
        assert_ok(snug_model_outline(&alone, NULL, snug_allocator_heap(), &bare, &error));
        size_t head = snug_model_part_bytes(bare, SNUG_PART_LM_HEAD) -
                      snug_model_part_bytes(whole, SNUG_PART_LM_HEAD);
        assert_int_equal(head > 0, i == 0);
        assert_int_equal(whole->weights_bytes + head, bare->weights_bytes);
        snug_blob_free(&blob);
        snug_model_free(whole);
        snug_model_free(bare);
    }
}

static enum snug_status open_within(const char *path, size_t budget,
                                    const struct snug_reader_options *base,
                                    struct snug_error *error)
{
    struct snug_folder folder = {.path = test_path(path), .allocator = snug_allocator_heap()};
    struct snug_schema *schema = make_schema();
    struct snug_reader_options options = *base;
    struct snug_reader *reader = NULL;
    options.budget_bytes = budget;
    enum snug_status status =
        snug_reader_open(&folder, schema, &options, snug_allocator_heap(), &reader, error);
    snug_reader_close(reader);
    snug_schema_free(schema);
    return status;
}

static size_t peak_of(const char *path, const struct snug_reader_options *options)
{
    struct snug_folder folder = {.path = test_path(path), .allocator = snug_allocator_heap()};
    struct snug_schema *schema = make_schema();
    struct snug_reader *reader = NULL;
    struct snug_forecast_request request;
    struct snug_forecast f;
    struct snug_error error;
    assert_ok(snug_reader_prepare(&folder, schema, options, true, snug_allocator_heap(), &reader,
                                  &error));
    assert_ok(snug_reader_request(reader, &request, &error));
    assert_ok(snug_forecast_make(&request, snug_allocator_heap(), &f, &error));
    snug_reader_close(reader);
    snug_schema_free(schema);
    return f.peak_bytes;
}

/* The peak runs, a byte less is refused, and each remedy that is named keeps within the budget. */
static void test_budget(void **state)
{
    (void)state;
    static const char *const paths[] = {"models/snug-nano", "tests/golden/internvl/hf-a"};
    for (size_t i = 0; i < 2; i++)
        for (int64_t parallel = 1; parallel <= 3; parallel += 2) {
            struct snug_reader_options options = snug_reader_options_default();
            struct snug_error error;
            options.parallel = parallel;
            size_t peak = peak_of(paths[i], &options);
            assert_ok(open_within(paths[i], peak, &options, &error));
            assert_int_equal(open_within(paths[i], peak - 1, &options, &error),
                             SNUG_STATUS_DOES_NOT_FIT);
            assert_non_null(strstr(error.message, "(1 bytes) more than the budget"));
            assert_non_null(strstr(error.message, "--quantize q8"));
            assert_int_equal(strstr(error.message, "--parallel 2") != NULL, parallel == 3);
            options.model.quantize = SNUG_QUANT_Q8;
            assert_ok(open_within(paths[i], peak - 1, &options, &error));
            assert_int_equal(open_within(paths[i], 1 << 20, &options, &error),
                             SNUG_STATUS_DOES_NOT_FIT);
            assert_non_null(strstr(error.message, "no option alone"));
        }
}

static void test_most(void **state)
{
    (void)state;
    struct snug_folder folder = {.path = test_path("models/snug-nano"),
                                 .allocator = snug_allocator_heap()};
    struct snug_schema *schema = make_schema();
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_reader *reader = NULL;
    struct snug_forecast_request request;
    struct snug_forecast f;
    struct snug_error error;
    int64_t most;
    assert_ok(snug_reader_prepare(&folder, schema, &options, false, snug_allocator_heap(), &reader,
                                  &error));
    assert_ok(snug_reader_request(reader, &request, &error));
    request.parallel = 7;
    assert_ok(snug_forecast_make(&request, snug_allocator_heap(), &f, &error));
    assert_ok(
        snug_forecast_most_documents(&request, f.peak_bytes, snug_allocator_heap(), &most, &error));
    assert_int_equal(most, 7);
    assert_ok(snug_forecast_most_documents(&request, f.peak_bytes - 1, snug_allocator_heap(), &most,
                                           &error));
    assert_int_equal(most, 6);
    request.parallel = 1;
    request.tokens = 5000;
    assert_ok(snug_forecast_make(&request, snug_allocator_heap(), &f, &error));
    assert_ok(
        snug_forecast_most_tokens(&request, f.peak_bytes, snug_allocator_heap(), &most, &error));
    assert_int_equal(most, 5008); /* in steps of 16 */
    assert_ok(snug_forecast_most_tiles(&request, 1 << 20, snug_allocator_heap(), &most, &error));
    assert_int_equal(most, 0);
    snug_reader_close(reader);
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds_up),
        cmocka_unit_test(test_config_alone),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
