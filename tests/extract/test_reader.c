/* A document through the whole product: rows, damaged input, every allocation refused in turn.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "extract/reader.h"

#include <math.h>

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

/* A page that costs more than it may is refused, the next one read. */
static void test_page_bytes(void **state)
{
    (void)state;
    struct snug_folder folder = folder_of("models/snug-nano", snug_allocator_heap());
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_reader *reader = NULL;
    struct snug_row row;
    struct snug_error error;
    /* what the sample costs in the model's one tile */
    const struct snug_tile_options tiles = {.tile_side = 336,
                                            .min_tiles = 1,
                                            .max_tiles = 1,
                                            .thumbnail = true,
                                            .filter = SNUG_FILTER_BICUBIC};
    options.max_new_tokens = 5;
    options.max_page_bytes = snug_page_bytes(336, 336, &tiles);
    assert_ok(snug_reader_open(&folder, schema, &options, snug_allocator_heap(), &reader, &error));
    static const struct {
        const char *path, *code;
    } pages[] = {{"samples/receipt-01.png", NULL},
                 {"tests/golden/images/internvl/src/11_2480x3508.png", "does_not_fit"},
                 {"samples/receipt-01.png", NULL}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_ok(snug_reader_read(reader, test_path(pages[i].path), "page", &row, &error));
        if (pages[i].code &&
            (row.status != SNUG_ROW_STATUS_ERROR || strcmp(row.error_code, pages[i].code) ||
             !strstr(row.error_message, "2480 x 3508")))
            fail_msg("%s: %s", pages[i].path, row.error_message ? row.error_message : "ok");
        if (!pages[i].code && row.status != SNUG_ROW_STATUS_PARTIAL)
            fail_msg("%s: %s", pages[i].path, row.error_message ? row.error_message : "no row");
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

/* Every how manyth allocation a sweep refuses. */
static uint64_t sweep_stride(void)
{
    const char *wanted = getenv("SNUG_SWEEP_STRIDE");
    return wanted ? (uint64_t)strtoull(wanted, NULL, 10) : getenv("SNUG_SLOW") ? 3 : 1;
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
    static const char *const models[] = {"tests/golden/internvl/hf-a", "tests/golden/internvl/orig",
                                         "tests/golden/mllama/tiny-a"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        uint64_t stride = sweep_stride(), total = 0;
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

/* ---- several documents at once ---- */

enum { PATHS = 9 };
/* Of one to four tiles, so that a larger one comes while others run; some are no pictures. */
static const char *const paths[PATHS] = {"samples/receipt-01.png",
                                         "samples/bank-statement-01.png",
                                         "samples/truth.csv",
                                         "samples/tax-invoice-01.png",
                                         "samples/receipt-02.png",
                                         "tests/golden/images/bad/png_cut_020.png",
                                         "samples/bank-statement-02.png",
                                         "samples/receipt-03.png",
                                         "samples/no-such.png"};

/* A list of documents that is handed out, and the rows that come back, without their timing. */
struct list {
    int64_t count, next, rows;
    char *json[PATHS];
    const char *document[PATHS], *code[PATHS]; /* of the row; code: NULL, or an error's */
    int64_t refuse_row;                        /* -1: never */
    double decode_ms;
};

static bool next_document(void *context, const char **path, const char **document)
{
    struct list *list = context;
    if (list->next == list->count)
        return false;
    *path = test_path(paths[list->next]);
    *document = paths[list->next++];
    return true;
}

static enum snug_status take_row(void *context, const struct snug_row *row,
                                 struct snug_error *error)
{
    struct list *list = context;
    struct snug_row copy = *row;
    struct snug_text text;
    static const char *const codes[] = {"memory", "not_found", "unsupported", "bad_format",
                                        "non_finite"};
    if (list->rows == list->refuse_row)
        return snug_error_set(error, SNUG_STATUS_IO, "no more rows, please");
    copy.timing = (struct snug_timing){NAN, NAN, NAN, NAN, NAN};
    snug_text_init(&text, snug_allocator_heap(), SNUG_MAX_ANSWER_BYTES);
    snug_row_put_json(&copy, &text);
    list->document[list->rows] = row->document;
    for (size_t i = 0; row->error_code && i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(row->error_code, codes[i]))
            list->code[list->rows] = codes[i];
    list->json[list->rows++] = strdup(snug_text_c(&text));
    snug_text_free(&text);
    return SNUG_STATUS_OK;
}

static void free_list(struct list *list)
{
    for (int64_t i = 0; i < list->rows; i++)
        free(list->json[i]);
}

static struct snug_reader *open_reader(const char *model, const struct snug_schema *schema,
                                       const struct snug_reader_options *options)
{
    struct snug_folder folder = folder_of(model, snug_allocator_heap());
    struct snug_reader *reader = NULL;
    struct snug_error error;
    assert_ok(snug_reader_open(&folder, schema, options, snug_allocator_heap(), &reader, &error));
    return reader;
}

static enum snug_status read_list(struct snug_reader *reader, struct list *list, int64_t count,
                                  struct snug_error *error)
{
    struct snug_reader_documents documents = {
        .next = next_document, .row = take_row, .context = list};
    *list = (struct list){.count = count, .refuse_row = list->refuse_row};
    enum snug_status status = snug_reader_read_all(reader, &documents, error);
    list->decode_ms = documents.decode_ms;
    return status;
}

/* Each document by snug_reader_read. */
static struct list read_alone(struct snug_reader *reader)
{
    struct list list = {.count = PATHS, .refuse_row = -1};
    struct snug_error error;
    for (int i = 0; i < PATHS; i++) {
        struct snug_row row;
        assert_ok(snug_reader_read(reader, test_path(paths[i]), paths[i], &row, &error));
        assert_ok(take_row(&list, &row, &error));
        snug_row_free(&row);
    }
    return list;
}

static void check_list(const struct list *want, const struct list *have, const char *what,
                       int64_t number)
{
    assert_int_equal(want->rows, have->rows);
    for (int64_t i = 0; i < want->rows; i++)
        if (strcmp(want->json[i], have->json[i]))
            fail_msg("%s, %lld: row %lld is\n%s\nand alone\n%s", what, (long long)number,
                     (long long)i, have->json[i], want->json[i]);
}

/* Rows of batches of several sizes are those of each document alone, in the same order. */
static void check_together(const char *model, struct snug_reader_options options,
                           const int64_t *sizes, size_t count)
{
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader *reader = open_reader(model, schema, &options);
    struct list want = read_alone(reader);
    struct snug_error error;
    snug_reader_close(reader);
    assert_string_equal(want.code[2], "unsupported");
    assert_string_equal(want.code[5], "bad_format");
    assert_string_equal(want.code[8], "not_found");
    assert_null(want.code[1]);
    for (size_t s = 0; s < count; s++) {
        struct snug_pool *pool;
        struct list have = {.refuse_row = -1};
        assert_ok(snug_pool_create(1 + (int)(s % 3), snug_allocator_heap(), &pool, &error));
        options.pool = pool;
        options.parallel = sizes[s];
        reader = open_reader(model, schema, &options);
        for (int again = 0; again < 2 - (count == 1); again++) { /* then with room for all */
            assert_ok(read_list(reader, &have, PATHS, &error));
            check_list(&want, &have, model, sizes[s]);
            assert_true(have.decode_ms > 0);
            free_list(&have);
        }
        assert_ok(read_list(reader, &have, 0, &error));
        assert_int_equal(have.rows, 0);
        snug_reader_close(reader);
        snug_pool_destroy(pool);
    }
    free_list(&want);
    snug_schema_free(schema);
}

static void test_together(void **state)
{
    (void)state;
    static const char *const models[] = {"tests/golden/internvl/hf-a", "tests/golden/internvl/hf-b",
                                         "tests/golden/internvl/orig",
                                         "tests/golden/mllama/tiny-b"};
    static const int64_t sizes[] = {2, 1, 3, 4, 64};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct snug_reader_options options = snug_reader_options_default();
        options.max_tiles = 3;
        options.max_new_tokens = 9;
        options.kv_dtype = m == 1 ? SNUG_DTYPE_F32 : SNUG_DTYPE_F16;
        if (m == 2) {
            options.sampling = (struct snug_sampling){.temperature = 1, .top_p = 0.9f, .seed = 3};
            options.prefill_chunk = 100;
        }
        check_together(models[m], options, sizes, sizeof sizes / sizeof *sizes);
    }
    static const int64_t three = 3; /* answers that end */
    check_together("models/snug-nano", snug_reader_options_default(), &three, 1);
}

/* Says no at the n-th call. */
static bool stop_later(void *context, enum snug_stage stage, int64_t tokens)
{
    int64_t *left = context;
    (void)stage, (void)tokens;
    return (*left)-- > 0;
}

/* Stopped anywhere, the rows of what is finished come, in order; after that the reader serves on.
 */
static void test_interrupted_together(void **state)
{
    (void)state;
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_error error;
    int64_t left = INT64_MAX, most = 0;
    options.max_tiles = 2;
    options.max_new_tokens = 9;
    options.parallel = 3;
    options.progress = stop_later;
    options.progress_context = &left;
    struct snug_reader *reader = open_reader("tests/golden/internvl/hf-a", schema, &options);
    struct list whole = {.refuse_row = -1};
    assert_ok(read_list(reader, &whole, PATHS, &error));
    /* asked between the steps of a run, too: close together at first, then farther apart */
    for (int64_t calls = 0;; calls += 5 + calls / (getenv("SNUG_SLOW") ? 2 : 8)) {
        struct list some = {.refuse_row = -1};
        left = calls;
        enum snug_status status = read_list(reader, &some, PATHS, &error);
        if (!status) {
            check_list(&whole, &some, "not stopped", calls);
            free_list(&some);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_INTERRUPTED);
        int64_t at = 0;
        for (int64_t i = 0; i < some.rows; i++) {
            while (at < whole.rows && some.document[i] != whole.document[at])
                at++;
            assert_true(at < whole.rows);
            assert_string_equal(some.json[i], whole.json[at]);
        }
        most = some.rows > most ? some.rows : most;
        free_list(&some);
    }
    assert_true(most >= 5);
    left = INT64_MAX;
    struct list refused = {.refuse_row = 4}; /* whoever takes the rows may end it, too */
    assert_int_equal(read_list(reader, &refused, PATHS, &error), SNUG_STATUS_IO);
    assert_string_equal(error.message, "no more rows, please");
    assert_int_equal(refused.rows, 4);
    free_list(&refused);
    free_list(&whole);
    snug_reader_close(reader);
    snug_schema_free(schema);
}

/* A token that one document alone comes to, after its first: its row of the embedding is damaged.
 */
static void test_non_finite_together(void **state)
{
    (void)state;
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    struct snug_reader_options options = snug_reader_options_default();
    struct snug_error error;
    bool seen[PATHS][2000] = {{false}};
    int32_t ids[PATHS][8] = {{0}};
    options.max_tiles = 2;
    options.max_new_tokens = 8;
    options.parallel = 3;
    options.sampling = (struct snug_sampling){.temperature = 2, .top_p = 1}; /* all different */
    struct snug_reader *reader = open_reader("tests/golden/internvl/hf-a", schema, &options);
    for (int i = 0; i < PATHS; i++) {
        struct snug_bytes bytes = {0};
        struct snug_arena arena;
        struct snug_reading reading;
        snug_arena_init(&arena, snug_allocator_heap());
        if (!snug_bytes_open(test_path(paths[i]), SNUG_MAX_DOCUMENT_BYTES, snug_allocator_heap(),
                             &bytes, &error) &&
            !snug_reader_ask(reader, &bytes, &arena, &reading, &error)) {
            for (int64_t t = 0; t < reading.prompt_count; t++)
                seen[i][reading.prompt_ids[t]] = true;
            for (int64_t t = 0; t < reading.count; t++)
                seen[i][ids[i][t] = reading.ids[t]] = true;
        }
        snug_bytes_close(&bytes);
        snug_arena_free(&arena);
    }
    const struct snug_model *model = snug_reader_model(reader);
    int32_t damaged = -1;
    for (int t = 1; t < 7 && damaged < 0; t++) { /* of the second document */
        damaged = ids[1][t];
        for (int i = 0; i < PATHS; i++)
            if (i != 1 && seen[i][damaged])
                damaged = -1, i = PATHS;
    }
    assert_true(damaged >= 0);
    struct list before = {.refuse_row = -1}, after = {.refuse_row = -1};
    assert_ok(read_list(reader, &before, PATHS, &error));
    for (size_t w = 0; w < model->weight_count; w++)
        for (int64_t k = 0;
             !strcmp(model->weights[w].name, "text.embed.weight") && k < model->config.text.hidden;
             k++) {
            size_t size = snug_dtype_size(model->weights[w].dtype);
            int64_t at = snug_panel_index(damaged, k, model->config.text.hidden);
            memset(model->region.base + model->weights[w].offset + (size_t)at * size, 0xff, size);
        }
    assert_ok(read_list(reader, &after, PATHS, &error));
    assert_int_equal(after.rows, PATHS);
    for (int i = 0; i < PATHS; i++) {
        if (i != 1)
            assert_string_equal(after.json[i], before.json[i]);
        else if (!after.code[i] || strcmp(after.code[i], "non_finite") ||
                 !strstr(after.json[i], "op embed"))
            fail_msg("row %s", after.json[i]);
    }
    free_list(&before);
    free_list(&after);
    snug_reader_close(reader);
    snug_schema_free(schema);
}

/* Every allocation of reading some documents together, refused once: it costs one row at most, the
 * others are as ever, and nothing is left. */
static void test_refused_memory_together(void **state)
{
    (void)state;
    struct snug_schema *schema = make_schema(snug_allocator_heap());
    uint64_t stride = sweep_stride(), total = 0;
    struct list whole = {.refuse_row = -1};
    int64_t lists_refused = 0;
    for (uint64_t n = 0;; n += n ? stride : 1) { /* 0: none is refused */
        struct snug_counting_allocator counting;
        struct snug_device device;
        struct snug_folder folder = folder_of("tests/golden/internvl/orig", &counting.allocator);
        struct snug_reader_options options = snug_reader_options_default();
        struct snug_reader *reader = NULL;
        struct snug_error error;
        struct list some = {.refuse_row = -1};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
        snug_device_counted(&device, &counting);
        options.device = &device;
        options.max_tiles = 2;
        options.max_new_tokens = 4;
        options.parallel = 2;
        options.sampling.temperature = 1;
        assert_ok(
            snug_reader_open(&folder, schema, &options, &counting.allocator, &reader, &error));
        uint64_t opened = counting.requests;
        counting.fail_at = n ? opened + n : 0;
        enum snug_status status = read_list(reader, &some, 5, &error);
        snug_reader_close(reader);
        assert_int_equal(counting.live, 0);
        if (n == 0) {
            assert_ok(status);
            whole = some;
            total = counting.requests - opened;
            continue;
        }
        int64_t lost = 0;
        for (int64_t i = 0; i < some.rows; i++)
            if (strcmp(some.json[i], whole.json[i])) {
                /* or what was refused was the text of another error */
                if ((!some.code[i] || strcmp(some.code[i], "memory")) &&
                    !strstr(some.json[i], "out of memory, also for the message"))
                    fail_msg("allocation %llu refused: %s", (unsigned long long)n, some.json[i]);
                lost++;
            }
        if (status == SNUG_STATUS_MEMORY)
            lists_refused++;
        else
            assert_int_equal(some.rows, 5);
        bool all = !counting.failed;
        if (lost != (all || status ? 0 : 1))
            fail_msg("allocation %llu refused: %lld rows lost", (unsigned long long)n,
                     (long long)lost);
        free_list(&some);
        if (all)
            break;
    }
    print_message("%llu allocations, every %llu. refused\n", (unsigned long long)total,
                  (unsigned long long)stride);
    assert_true(total > 50);
    assert_int_equal(lists_refused, 1); /* the list itself: the first */
    free_list(&whole);
    snug_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads),
                                       cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_page_bytes),
                                       cmocka_unit_test(test_interrupted),
                                       cmocka_unit_test(test_together),
                                       cmocka_unit_test(test_interrupted_together),
                                       cmocka_unit_test(test_non_finite_together),
                                       cmocka_unit_test(test_refused_memory_together),
                                       cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
