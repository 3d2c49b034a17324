/* Documents through the whole product on a simulated device: the plan's peak is kept to the byte,
 * and rows are those of the host, whatever fails. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "device/sim.h"
#include "extract/reader.h"

#define DOCUMENTS 5

static const char *const samples[DOCUMENTS] = {
    "samples/receipt-01.png", "samples/tax-invoice-01.png", "samples/bank-statement-01.png",
    "samples/receipt-02.png", "samples/tax-invoice-02.png"};

struct world {
    struct snug_schema *schema;
    struct snug_folder folder;
    char *raw[DOCUMENTS]; /* what the host's run wrote */
    double confidence[DOCUMENTS];
    int64_t tokens[DOCUMENTS];
};

/* Tokens of an answer: enough to move in the middle of it, or all that the model has to say. */
static int64_t new_tokens(void)
{
    return getenv("SNUG_EXHAUSTIVE") ? 400 : getenv("SNUG_SLOW") ? 45 : 60;
}

/* Every how manyth rung: under a sanitizer a third of them, each of which is the same code. */
static size_t rung_step(void)
{
    return getenv("SNUG_SLOW") ? 3 : 1;
}

/* Rows as they come. */
struct run {
    const struct world *world; /* NULL: the first run, whose rows are kept */
    struct world *keep;
    size_t next, last, rows, errors; /* last: 0: all */
    const char *rungs[DOCUMENTS];
    int64_t moves[DOCUMENTS];
    char code[32];
};

static double confidence_sum(const struct snug_row *row)
{
    double sum = 0;
    for (size_t i = 0; i < row->field_count; i++)
        if (row->fields[i].value)
            sum += row->fields[i].confidence;
    return sum;
}

static bool next(void *context, const char **path, const char **document)
{
    struct run *run = context;
    if (run->next == (run->last ? run->last : DOCUMENTS))
        return false;
    *document = samples[run->next];
    *path = test_path(samples[run->next++]);
    return true;
}

static enum snug_status take(void *context, const struct snug_row *row, struct snug_error *error)
{
    struct run *run = context;
    size_t i = run->rows++;
    (void)error;
    if (row->status == SNUG_ROW_STATUS_ERROR) {
        run->errors++;
        snprintf(run->code, sizeof run->code, "%s", row->error_code);
        return SNUG_STATUS_OK;
    }
    run->rungs[i] = row->rung;
    run->moves[i] = row->move_count;
    if (run->keep) {
        run->keep->raw[i] = strdup(row->raw);
        run->keep->tokens[i] = row->tokens.output;
        run->keep->confidence[i] = confidence_sum(row);
        return SNUG_STATUS_OK;
    }
    assert_string_equal(row->document, samples[i]);
    if (strcmp(row->raw, run->world->raw[i]))
        fail_msg("%s: \"%s\" instead of \"%s\"", samples[i], row->raw, run->world->raw[i]);
    assert_true(confidence_sum(row) == run->world->confidence[i]);
    return SNUG_STATUS_OK;
}

static enum snug_status read_all(const struct world *w, const struct snug_reader_options *options,
                                 struct run *run, size_t *planned, struct snug_error *error)
{
    struct snug_reader *reader = NULL;
    struct snug_reader_documents documents = {.next = next, .row = take, .context = run};
    SNUG_TRY(
        snug_reader_open(&w->folder, w->schema, options, snug_allocator_heap(), &reader, error));
    if (planned)
        *planned = snug_reader_forecast(reader)->peak_bytes;
    enum snug_status status = snug_reader_read_all(reader, &documents, error);
    snug_reader_close(reader);
    return status;
}

static struct world open_world(void)
{
    struct world w = {
        .folder = {.path = test_path("models/snug-nano"), .allocator = snug_allocator_heap()}};
    struct snug_reader_options options = snug_reader_options_default();
    options.max_new_tokens = new_tokens();
    struct snug_blob blob = {0};
    struct snug_error error;
    struct run run = {.keep = &w};
    assert_ok(snug_file_read(test_path("schemas/business-document.json"), SNUG_MAX_SCHEMA_BYTES,
                             snug_allocator_heap(), &blob, &error));
    assert_ok(snug_schema_parse((const char *)blob.data, blob.size, "business-document",
                                snug_allocator_heap(), &w.schema, &error));
    snug_blob_free(&blob);
    assert_ok(read_all(&w, &options, &run, NULL, &error));
    assert_int_equal(run.rows, DOCUMENTS);
    assert_int_equal(run.errors, 0);
    return w;
}

static void close_world(struct world *w)
{
    snug_schema_free(w->schema);
    for (int i = 0; i < DOCUMENTS; i++)
        free(w->raw[i]);
}

static const struct snug_device *open_sim(uint64_t capacity, const struct snug_sim_event *events,
                                          size_t count)
{
    const struct snug_device *device;
    struct snug_error error;
    const struct snug_sim_options options = {.name = "sim:test",
                                             .capacity_bytes = capacity,
                                             .granularity_bytes = 1 << 16,
                                             .events = events,
                                             .event_count = count};
    assert_ok(snug_sim_open(&options, snug_allocator_heap(), &device, &error));
    return device;
}

static struct snug_reader_options options_of(const struct snug_device *device, const char *rungs)
{
    struct snug_reader_options options = snug_reader_options_default();
    options.max_new_tokens = new_tokens();
    options.devices[1] = device;
    options.device_count = 1;
    if (rungs)
        assert_true(snug_rungs_parse(rungs, &options.rungs));
    return options;
}

static const char *const all_rungs[] = {"resident",          "kv-offload", "reload",
                                        "reload-kv-offload", "stream",     "hybrid"};
#define RUNG_COUNT (sizeof all_rungs / sizeof *all_rungs)

/* On every rung the device holds what the plan said, to the byte. */
static void test_plan_holds(void **state)
{
    (void)state;
    struct world w = open_world();
    for (size_t i = 0; i < RUNG_COUNT; i += rung_step())
        for (size_t parallel = 1; parallel <= (rung_step() > 1 && i ? 1 : 3); parallel += 2) {
            const struct snug_device *device = open_sim(64 << 20, NULL, 0);
            struct snug_reader_options options = options_of(device, all_rungs[i]);
            struct run run = {.world = &w, .last = parallel};
            struct snug_error error;
            size_t planned = 0;
            options.parallel = (int64_t)parallel;
            assert_ok(read_all(&w, &options, &run, &planned, &error));
            assert_int_equal(run.rows, parallel);
            assert_int_equal(run.errors, 0);
            for (size_t d = 0; d < parallel; d++)
                assert_string_equal(run.rungs[d], all_rungs[i]);
            struct snug_sim_figures f = snug_sim_figures(device);
            if (f.peak_ours != planned)
                fail_msg("%s, %zu at once: planned %zu bytes, held %llu", all_rungs[i], parallel,
                         planned, (unsigned long long)f.peak_ours);
            snug_sim_close(device);
        }
    close_world(&w);
}

/* A neighbour, failing calls and a loss, one document at a time and three at once. */
static void test_disturbed(void **state)
{
    (void)state;
    static const struct snug_sim_event events[] = {
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 1,
         .token = 20,
         .call = SNUG_SIM_CALL_LAUNCH,
         .count = 1},
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 2,
         .token = 5,
         .call = SNUG_SIM_CALL_COPY_TO,
         .count = 2},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 3, .token = -1, .bytes = 60 << 20},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 3, .token = 33, .count = 0},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 4, .token = -1, .bytes = 0}};
    struct world w = open_world();
    for (int64_t parallel = rung_step() > 1 ? 3 : 1; parallel <= 3; parallel += 2) {
        const struct snug_device *device =
            open_sim(64 << 20, events, sizeof events / sizeof *events);
        struct snug_reader_options options = options_of(device, NULL);
        struct run run = {.world = &w};
        struct snug_error error;
        int64_t moves = 0;
        options.parallel = parallel;
        assert_ok(read_all(&w, &options, &run, NULL, &error));
        assert_int_equal(run.rows, DOCUMENTS);
        assert_int_equal(run.errors, 0);
        for (int d = 0; d < DOCUMENTS; d++)
            moves += run.moves[d];
        assert_true(moves >= 3);
        assert_int_equal(snug_sim_figures(device).losses, 1);
        assert_int_equal(snug_sim_figures(device).ours, 0);
        snug_sim_close(device);
    }
    close_world(&w);
}

/* The document ends on the host with the same bytes, and the next one has the device again. */
static void test_loss(void **state)
{
    (void)state;
    static const struct snug_sim_event event = {
        .kind = SNUG_SIM_EVENT_LOSE, .document = 2, .token = 40};
    struct world w = open_world();
    const struct snug_device *device = open_sim(64 << 20, &event, 1);
    struct snug_reader_options options = options_of(device, "resident,cpu");
    struct run run = {.world = &w};
    struct snug_error error;
    assert_ok(read_all(&w, &options, &run, NULL, &error));
    static const char *const wanted[DOCUMENTS] = {"resident", "cpu", "resident", "resident",
                                                  "resident"};
    for (int d = 0; d < DOCUMENTS; d++)
        assert_string_equal(run.rungs[d], wanted[d]);
    snug_sim_close(device);
    close_world(&w);
}

/* Without a fallback the run ends with the device's status, after the row of whom it concerns. */
static void test_no_fallback(void **state)
{
    (void)state;
    struct world w = open_world();
    for (int lose = 0; lose < 2; lose++) {
        const struct snug_sim_event event = {.kind =
                                                 lose ? SNUG_SIM_EVENT_LOSE : SNUG_SIM_EVENT_FAIL,
                                             .document = 2,
                                             .token = 10,
                                             .call = SNUG_SIM_CALL_LAUNCH,
                                             .count = !lose};
        const struct snug_device *device = open_sim(64 << 20, &event, 1);
        struct snug_reader_options options = options_of(device, NULL);
        struct run run = {.world = &w};
        struct snug_error error;
        options.no_fallback = true;
        enum snug_status status = read_all(&w, &options, &run, NULL, &error);
        assert_int_equal(status, lose ? SNUG_STATUS_DEVICE_LOST : SNUG_STATUS_DEVICE);
        assert_int_equal(run.rows, 2);
        assert_int_equal(run.errors, 1);
        assert_string_equal(run.code, lose ? "device_lost" : "device");
        snug_sim_close(device);
    }
    close_world(&w);
}

/* ---- every token, every 97th call ---- */

/* Reads the first document with faults or an event; the same bytes as on the host. */
static void read_first(const struct world *w, const char *rung, const struct snug_sim_event *event,
                       const struct snug_sim_fault *fault, const char *what, uint64_t number)
{
    const struct snug_device *device = open_sim(64 << 20, event, event ? 1 : 0);
    char rungs[64];
    snprintf(rungs, sizeof rungs, "%s,cpu", rung);
    struct snug_reader_options options = options_of(device, rungs);
    struct run run = {.world = w, .last = 1};
    struct snug_error error;
    if (fault)
        snug_sim_set_faults(device, fault, 1);
    enum snug_status status = read_all(w, &options, &run, NULL, &error);
    if (status || run.rows != 1 || run.errors)
        fail_msg("%s, %s %llu: %s", rungs, what, (unsigned long long)number,
                 status ? error.message : "an error row");
    assert_int_equal(snug_sim_figures(device).ours, 0);
    snug_sim_close(device);
}

/* How far apart the runs of a sweep are: all of them only where they are asked for. */
static uint64_t stride_of(uint64_t count)
{
    uint64_t some = getenv("SNUG_SLOW") ? 1 : 5;
    return getenv("SNUG_EXHAUSTIVE") || count <= some ? 1 : count / some;
}

/* The device fails, or is lost, before each token of a document, on each rung. */
static void test_every_token(void **state)
{
    (void)state;
    struct world w = open_world();
    int64_t tokens = w.tokens[0], stride = (int64_t)stride_of((uint64_t)tokens);
    uint64_t runs = 0;
    for (size_t r = 0; r < RUNG_COUNT; r += rung_step())
        for (int64_t token = stride > 1 ? (int64_t)(r % 3) : 0; token < tokens;
             token += stride, runs++) {
            const struct snug_sim_event event = {.kind = token % 2 ? SNUG_SIM_EVENT_FAIL
                                                                   : SNUG_SIM_EVENT_LOSE,
                                                 .document = 1,
                                                 .token = token,
                                                 .call = SNUG_SIM_CALL_LAUNCH,
                                                 .count = (uint64_t)(token % 2)};
            read_first(&w, all_rungs[r], &event, NULL, "token", (uint64_t)token);
        }
    print_message("snug-nano: %llu runs cut over, of %zu\n", (unsigned long long)runs,
                  RUNG_COUNT * (size_t)tokens);
    close_world(&w);
}

/* Every 97th call of a run fails, or loses the device, in turn. */
static void test_every_97th_call(void **state)
{
    (void)state;
    struct world w = open_world();
    uint64_t runs = 0, all = 0;
    for (size_t r = 0; r < RUNG_COUNT; r += rung_step()) {
        const struct snug_device *device = open_sim(64 << 20, NULL, 0);
        struct snug_reader_options options = options_of(device, all_rungs[r]);
        struct run run = {.world = &w, .last = 1};
        struct snug_error error;
        assert_ok(read_all(&w, &options, &run, NULL, &error));
        uint64_t calls = snug_sim_figures(device).calls[SNUG_SIM_CALL_ANY];
        snug_sim_close(device);
        all += calls / 97;
        for (uint64_t n = stride_of(calls / 97) > 1 ? 7 * r : 0; n < calls / 97;
             n += stride_of(calls / 97), runs++) {
            const struct snug_sim_fault fault = {.call = SNUG_SIM_CALL_ANY,
                                                 .at = 1 + 97 * n,
                                                 .count = n % 3 ? n % 3 : 1,
                                                 .lose = n % 3 == 0};
            read_first(&w, all_rungs[r], NULL, &fault, "call", fault.at);
        }
    }
    print_message("snug-nano: %llu runs with a failing call, of %llu\n", (unsigned long long)runs,
                  (unsigned long long)all);
    close_world(&w);
}

/* A forced rung that does not fit says what it needs. */
static void test_refused(void **state)
{
    (void)state;
    struct world w = open_world();
    const struct snug_device *device = open_sim(4 << 20, NULL, 0);
    struct snug_reader_options options = options_of(device, "resident");
    struct run run = {.world = &w};
    struct snug_error error;
    assert_int_equal(read_all(&w, &options, &run, NULL, &error), SNUG_STATUS_DOES_NOT_FIT);
    assert_non_null(strstr(error.message, "resident needs"));
    assert_non_null(strstr(error.message, "4.00 MiB"));
    assert_int_equal(snug_sim_figures(device).calls[SNUG_SIM_CALL_TAKE], 0);
    snug_sim_close(device);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_holds),
        cmocka_unit_test(test_disturbed),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_no_fallback),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_token),
        cmocka_unit_test(test_every_97th_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
