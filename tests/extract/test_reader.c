/* A document through the whole product: rows, damaged input, every allocation refused in turn.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "extract/reader.h"

/* The default schema, as the embedded model knows it. */
static struct snug_schema *make_schema(const struct snug_allocator *allocator)
{
    struct snug_schema *schema = NULL;
    struct snug_blob blob = {0};
    struct snug_error error;
    assert_ok(snug_file_read(test_path("schemas/business-document.json"), SNUG_MAX_SCHEMA_BYTES,
                             allocator, &blob, &error));
    assert_ok(snug_schema_parse((const char *)blob.data, blob.size, "business-document", allocator,
                                &schema, &error));
    snug_blob_free(&blob);
    return schema;
}

static struct snug_folder folder_of(const char *path, const struct snug_allocator *allocator)
{
    return (struct snug_folder){.path = test_path(path), .allocator = allocator};
}

/* The embedded model's folder reads a sample: fields, tokens and finish are there. */
static void test_reads(void **state)
{
    (void)state;
    struct snug_folder folder = folder_of("models/snug-nano", snug_allocator_heap());
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_reader *reader = NULL;
    struct snug_row row;
    struct snug_error error;
    assert_ok(snug_reader_open(&folder, schema, &options, snug_allocator_heap(), &reader, &error));
    assert_ok(snug_reader_read(reader, test_path("samples/receipt-01.png"), "r.png", &row, &error));
    assert_int_equal(row.status, SNUG_ROW_STATUS_OK);
    assert_string_equal(row.finish, "stop");
    assert_int_equal(row.field_count, 25);
    /* What the reference wrote for this page (tests/golden/nano); the page says $637.19. */
    size_t total = snug_schema_find(schema, "TOTAL"), bank = snug_schema_find(schema, "BANK_NAME");
    assert_string_equal(row.fields[total].value, "$837.19");
    assert_null(row.fields[bank].value);
    assert_true(row.fields[total].confidence > 0.5 && row.fields[total].confidence <= 1);
    assert_int_equal(row.tokens.image, 144);
    assert_true(row.tokens.prompt > 144 && row.tokens.output > 10);
    assert_true(row.timing.total >= row.timing.vision && row.timing.vision > 0);
    snug_row_free(&row);
    snug_reader_close(reader);
    snug_schema_free(schema);
}

static void test_limits(void **state)
{
    (void)state;
    struct snug_folder folder = folder_of("models/snug-nano", snug_allocator_heap());
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader_options options = snug_reader_options_default();
    options.max_new_tokens = 5;
    options.max_pixels = 336 * 336;
    struct snug_reader *reader = NULL;
    struct snug_row row;
    struct snug_error error;
    assert_ok(snug_reader_open(&folder, schema, &options, snug_allocator_heap(), &reader, &error));
    assert_ok(snug_reader_read(reader, test_path("samples/receipt-01.png"), "r.png", &row, &error));
    assert_int_equal(row.status, SNUG_ROW_STATUS_PARTIAL);
    assert_string_equal(row.finish, "length");
    assert_int_equal(row.tokens.output, 5);
    snug_row_free(&row);
    static const struct {
        const char *path, *code;
    } bad[] = {{"samples/no-such.png", "not_found"},
               {"samples/truth.csv", "unsupported"},
               {"samples", "io"},
               {"tests/golden/images/bad/png_cut_020.png", "bad_format"},
               {"tests/golden/images/bad/png_bomb.png", "limit"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_ok(snug_reader_read(reader, test_path(bad[i].path), bad[i].path, &row, &error));
        if (row.status != SNUG_ROW_STATUS_ERROR || strcmp(row.error_code, bad[i].code))
            fail_msg("%s: %s (%s), not %s", bad[i].path, row.error_code ? row.error_code : "ok",
                     row.error_message ? row.error_message : "", bad[i].code);
        snug_row_free(&row);
    }
    snug_reader_close(reader);
    snug_schema_free(schema);
}

static bool stop_at_once(void *context, enum snug_stage stage, int64_t tokens)
{
    (void)tokens;
    return stage != *(enum snug_stage *)context;
}

static void test_interrupted(void **state)
{
    (void)state;
    struct snug_folder folder = folder_of("tests/golden/internvl/hf-a", snug_allocator_heap());
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    for (enum snug_stage stage = SNUG_STAGE_DECODE_IMAGE; stage <= SNUG_STAGE_DECODE; stage++) {
        struct snug_reader_options options = snug_reader_options_default();
        options.progress = stop_at_once;
        options.progress_context = &stage;
        options.max_new_tokens = 4;
        struct snug_reader *reader = NULL;
        struct snug_row row;
        struct snug_error error;
        assert_ok(
            snug_reader_open(&folder, schema, &options, snug_allocator_heap(), &reader, &error));
        assert_int_equal(
            snug_reader_read(reader, test_path("samples/receipt-01.png"), "r", &row, &error),
            SNUG_STATUS_INTERRUPTED);
        snug_reader_close(reader);
    }
    snug_schema_free(schema);
}

/* Opens a reader and reads one document, all memory from `counting`. Text of what was refused into
 * why. */
static enum snug_status read_one(struct snug_counting_allocator *counting, const char *model,
                                 char why[512])
{
    struct snug_device device;
    struct snug_folder folder = folder_of(model, &counting->allocator);
    struct snug_schema *schema = NULL;
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_reader *reader = NULL;
    struct snug_row row;
    struct snug_error error = {0};
    static const char json[] =
        "{\"name\": \"s\", \"fields\": [{\"name\": \"TOTAL\", \"type\": \"money\"}]}";
    snug_device_counted(&device, counting);
    options.device = &device;
    options.max_tiles = 2;
    options.max_new_tokens = 2;
    enum snug_status status =
        snug_schema_parse(json, sizeof json - 1, "s", &counting->allocator, &schema, &error);
    if (!status)
        status = snug_reader_open(&folder, schema, &options, &counting->allocator, &reader, &error);
    if (!status)
        status =
            snug_reader_read(reader, test_path("samples/receipt-01.png"), "r.png", &row, &error);
    snprintf(why, 512, "%s", error.message);
    if (!status) {
        if (row.status == SNUG_ROW_STATUS_ERROR) {
            status = strcmp(row.error_code, "memory") ? SNUG_STATUS_FORMAT : SNUG_STATUS_MEMORY;
            snprintf(why, 512, "row: %s: %s", row.error_code, row.error_message);
        }
        snug_row_free(&row);
    }
    snug_reader_close(reader);
    snug_schema_free(schema);
    return status;
}

/* Every allocation of load and one document, refused once: MEMORY each time, nothing left, no
 * crash. */
static void test_refused_memory(void **state)
{
    (void)state;
    static const char *const models[2] = {"tests/golden/internvl/hf-a",
                                          "tests/golden/internvl/orig"};
    const char *few = getenv("SNUG_SWEEP_STRIDE");
    for (int m = 0; m < 2; m++) {
        uint64_t stride = few ? (uint64_t)strtoull(few, NULL, 10) : 1, total = 0;
        for (uint64_t n = 1;; n += stride) {
            struct snug_counting_allocator counting;
            char why[512];
            snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
            snug_allocator_set_global(&counting.allocator);
            enum snug_status status = read_one(&counting, models[m], why);
            snug_allocator_set_global(snug_allocator_heap());
            if (counting.live)
                fail_msg("%s: allocation %llu refused: %llu blocks left", models[m],
                         (unsigned long long)n, (unsigned long long)counting.live);
            total = counting.requests;
            if (!counting.failed) {
                assert_int_equal(status, SNUG_STATUS_OK);
                break;
            }
            if (status != SNUG_STATUS_MEMORY)
                fail_msg("%s: allocation %llu refused: status %s, %s", models[m],
                         (unsigned long long)n, snug_status_text(status), why);
        }
        print_message("%s: %llu allocations, every %llu. refused\n", models[m],
                      (unsigned long long)total, (unsigned long long)stride);
        assert_true(total > 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_interrupted),
                                       cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
