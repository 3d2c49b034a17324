/* Tests of device/sim_script.c: what a script means, every refusal, the example that users get,
 * every allocation refused. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "base/text.h"
#include "device/sim_script.h"

#include <dirent.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GIB(n) ((uint64_t)(n) << 30)

static struct snug_blob read_file(const char *name)
{
    struct snug_blob blob = {0};
    struct snug_error error;
    assert_ok(snug_file_read(test_path(name), 1 << 20, snug_allocator_heap(), &blob, &error));
    return blob;
}

static struct snug_device_profiles built_in(void)
{
    struct snug_blob blob = read_file("src/device/devices.json");
    struct snug_device_profiles list = {0};
    struct snug_error error;
    assert_ok(snug_device_profiles_parse((const char *)blob.data, blob.size, "devices.json",
                                         snug_allocator_heap(), &list, &error));
    snug_blob_free(&blob);
    return list;
}

static struct snug_sim_script parse(const char *text, const char *file)
{
    struct snug_device_profiles profiles = built_in();
    struct snug_sim_script script = {0};
    struct snug_error error;
    assert_ok(snug_sim_script_parse(text, strlen(text), file, &profiles, snug_allocator_heap(),
                                    &script, &error));
    snug_device_profiles_free(&profiles);
    return script;
}

static void assert_speeds(const struct snug_sim_options *options, double read, double f32,
                          double int8, double link, double launch_us, double copy_us)
{
    const double got[] = {options->read_gbs, options->f32_gflops, options->int8_gops,
                          options->link_gbs, options->launch_us,  options->copy_us};
    const double expected[] = {read, f32, int8, link, launch_us, copy_us};
    for (size_t i = 0; i < COUNT(got); i++)
        if (got[i] != expected[i])
            fail_msg("%s: figure %zu is %g, not %g", options->name, i, got[i], expected[i]);
}

/* ---- what stands after "sim:" ---- */

static void test_spec(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum snug_sim_spec spec;
    } cases[] = {{"v100-16gb", SNUG_SIM_SPEC_PROFILE}, {"8GiB", SNUG_SIM_SPEC_SIZE},
                 {"1.5 gib", SNUG_SIM_SPEC_SIZE},      {"8G", SNUG_SIM_SPEC_PROFILE},
                 {"", SNUG_SIM_SPEC_PROFILE},          {"a.json", SNUG_SIM_SPEC_FILE},
                 {"a.JSON", SNUG_SIM_SPEC_FILE},       {"./a", SNUG_SIM_SPEC_FILE},
                 {"/tmp/8GiB", SNUG_SIM_SPEC_FILE},    {"json", SNUG_SIM_SPEC_PROFILE}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum snug_sim_spec spec = snug_sim_spec_of(cases[i].text);
        if (spec != cases[i].spec)
            fail_msg("%s: %d, not %d", cases[i].text, (int)spec, (int)cases[i].spec);
    }
}

static void test_options_of_spec(void **state)
{
    (void)state;
    struct snug_device_profiles profiles = built_in(), none = {.allocator = snug_allocator_heap()};
    struct snug_sim_options options = {0};
    struct snug_error error;
    assert_ok(snug_sim_options_of_spec("V100-16GB", &profiles, &options, &error));
    assert_string_equal(options.name, "sim:v100-16gb");
    assert_true(options.capacity_bytes == UINT64_C(15840) << 20);
    assert_true(options.granularity_bytes == 2 << 20 && !options.dry && !options.event_count);
    assert_speeds(&options, 900, 14100, 56500, 15.75, 5, 10);

    assert_ok(snug_sim_options_of_spec("8GiB", &profiles, &options, &error));
    assert_string_equal(options.name, "sim:8GiB");
    assert_true(options.capacity_bytes == GIB(8) && options.granularity_bytes == 2 << 20);
    assert_speeds(&options, 272, 15100, 30200, 15.75, 5, 10); /* as SNUG_SIM_CARD's */
    assert_ok(snug_sim_options_of_spec("5MiB", &none, &options, &error));
    assert_true(options.capacity_bytes == 4 << 20);
    assert_speeds(&options, 0, 0, 0, 0, 5, 10);

    static const char *const bad[] = {"0", "1MiB", "2000TiB", "v200", ""};
    for (size_t i = 0; i < COUNT(bad); i++) {
        enum snug_status status = snug_sim_options_of_spec(bad[i], &profiles, &options, &error);
        if (status != SNUG_STATUS_USAGE || !strstr(error.message, bad[i]))
            fail_msg("%s: %s: %s", bad[i], snug_status_text(status), error.message);
    }
    assert_true(options.capacity_bytes == 4 << 20);
    snug_device_profiles_free(&profiles);
}

/* ---- scripts ---- */

static void test_machine(void **state)
{
    (void)state;
    struct snug_sim_script script = parse("{\"memory\": \"9MiB\"}", "a/b/small.json");
    assert_string_equal(script.options.name, "sim:small.json");
    assert_true(script.options.capacity_bytes == 8 << 20);
    assert_true(script.options.granularity_bytes == 2 << 20 && !script.event_count);
    assert_speeds(&script.options, 0, 0, 0, 0, 5, 10);
    snug_sim_script_free(&script);

    script = parse("{\"device\": \"V100-16gb\", \"memory\": \"8GiB\", \"granularity\": \"64KiB\","
                   "\"link_gbs\": 3, \"launch_us\": 0, \"copy_us\": 2.5, \"events\": []}",
                   "x");
    assert_true(script.options.capacity_bytes == GIB(8) - ((uint64_t)543 << 20));
    assert_true(script.options.granularity_bytes == 65536 && !script.options.event_count);
    assert_speeds(&script.options, 900, 14100, 56500, 3, 0, 2.5);
    snug_sim_script_free(&script);
    snug_sim_script_free(&script); /* zeroed */

    script = parse("{\"memory\": \"4GiB\", \"reserved\": \"1GiB\", \"read_gbs\": 1,"
                   "\"f32_gflops\": 2, \"int8_gops\": 3, \"link_gbs\": 4}",
                   "x");
    assert_true(script.options.capacity_bytes == GIB(3));
    assert_speeds(&script.options, 1, 2, 3, 4, 5, 10);
    snug_sim_script_free(&script);
}

/* In the order of their moments; those of one moment in the file's. */
static void test_events(void **state)
{
    (void)state;
    struct snug_sim_script script =
        parse("{\"memory\": \"8GiB\", \"events\": ["
              "{\"ms\": 7.5, \"link\": 0.25},"
              "{\"document\": 4, \"token\": 2, \"fail\": \"copy_from\", \"count\": 3},"
              "{\"document\": 4, \"lose\": 1},"
              "{\"ms\": 0, \"link\": 2},"
              "{\"document\": 1, \"token\": 9, \"neighbour\": 5},"
              "{\"document\": 4, \"fail\": \"any\"},"
              "{\"document\": 4, \"token\": 0, \"neighbour\": \"1KiB\"}]}",
              "x");
    static const struct snug_sim_event expected[] = {
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 1, .token = 9, .bytes = 5},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 4, .token = -1, .count = 1},
        {.kind = SNUG_SIM_EVENT_FAIL, .document = 4, .token = -1, .count = 1},
        {.kind = SNUG_SIM_EVENT_NEIGHBOUR, .document = 4, .token = 0, .bytes = 1024},
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 4,
         .token = 2,
         .call = SNUG_SIM_CALL_COPY_FROM,
         .count = 3},
        {.kind = SNUG_SIM_EVENT_LINK, .document = -1, .token = -1, .at_ms = 0, .factor = 2},
        {.kind = SNUG_SIM_EVENT_LINK, .document = -1, .token = -1, .at_ms = 7.5, .factor = 0.25}};
    assert_int_equal(script.event_count, COUNT(expected));
    assert_ptr_equal(script.options.events, script.events);
    assert_int_equal(script.options.event_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct snug_sim_event *e = &expected[i], *got = &script.events[i];
        if (got->kind != e->kind || got->document != e->document || got->token != e->token ||
            got->at_ms != e->at_ms || got->bytes != e->bytes || got->call != e->call ||
            got->count != e->count || got->factor != e->factor)
            fail_msg("event %zu: kind %d at document %lld, token %lld, %g ms: %llu bytes, call %d, "
                     "count %llu, factor %g",
                     i, (int)got->kind, (long long)got->document, (long long)got->token, got->at_ms,
                     (unsigned long long)got->bytes, (int)got->call, (unsigned long long)got->count,
                     got->factor);
    }
    snug_sim_script_free(&script);
}

static void test_every_call(void **state)
{
    (void)state;
    for (int i = 0; i < SNUG_SIM_CALL_COUNT; i++) {
        char text[128];
        snprintf(text, sizeof text,
                 "{\"memory\": \"8GiB\", \"events\": [{\"document\": 1, \"fail\": \"%s\"}]}",
                 snug_sim_call_name((enum snug_sim_call)i));
        struct snug_sim_script script = parse(text, "x");
        assert_int_equal(script.events[0].call, i);
        snug_sim_script_free(&script);
    }
}

/* ---- refusals ---- */

/* tests/device/malformed-sim/NAME.json, and what the message must hold beside the file's name. */
static const struct malformed {
    const char *name, *words[3];
} malformed[] = {
    {"cut-short", {"line"}},
    {"list-at-top", {"object", "\"device\""}},
    {"nothing", {"\"memory\" is missing", "\"device\""}},
    {"key-unknown", {"\"evnets\"", "events"}},
    {"key-twice", {"memory"}},
    {"not-utf8", {"line"}},
    {"device-unknown", {"\"device\"", "v200-16gb", "v100-16gb"}},
    {"device-number", {"\"device\"", "string"}},
    {"device-null", {"\"device\"", "string"}},
    {"memory-zero", {"\"memory\" is 0"}},
    {"memory-unit", {"\"memory\"", "GiB"}},
    {"reserved-more", {"\"reserved\""}},
    {"granularity-odd", {"\"granularity\"", "power of two"}},
    {"speed-negative", {"\"link_gbs\""}},
    {"launch-huge", {"\"launch_us\"", "1000000"}},
    {"copy-words", {"\"copy_us\""}},
    {"events-object", {"\"events\"", "list"}},
    {"event-number", {"event 2", "object"}},
    {"event-key-unknown", {"event 2", "\"neighbor\"", "neighbour"}},
    {"moment-missing", {"event 2", "\"document\" is missing", "\"ms\""}},
    {"moment-twice", {"event 2", "\"ms\"", "\"document\""}},
    {"token-alone", {"event 2", "\"document\" is missing"}},
    {"token-with-ms", {"event 2", "\"token\" goes with \"document\""}},
    {"token-negative", {"event 2", "\"token\"", "from 0"}},
    {"document-zero", {"event 2", "\"document\"", "from 1"}},
    {"document-real", {"event 2", "\"document\"", "whole"}},
    {"document-huge", {"event 2", "\"document\"", "1000000000"}},
    {"ms-negative", {"event 2", "\"ms\""}},
    {"ms-null", {"event 2", "\"ms\""}},
    {"action-missing", {"event 2", "\"neighbour\" is missing", "\"lose\""}},
    {"action-twice", {"event 2", "\"link\"", "\"lose\""}},
    {"neighbour-negative", {"event 2", "\"neighbour\"", "size"}},
    {"neighbour-huge", {"event 2", "\"neighbour\"", "at most"}},
    {"fail-unknown", {"event 2", "\"fail\" is \"copy\"", "copy_to"}},
    {"fail-true", {"event 2", "\"fail\"", "string"}},
    {"count-zero", {"event 2", "\"count\"", "from 1"}},
    {"count-alone", {"event 2", "\"count\" goes with \"fail\""}},
    {"lose-negative", {"event 2", "\"lose\"", "from 0"}},
    {"lose-true", {"event 2", "\"lose\""}},
    {"link-zero", {"event 2", "\"link\""}},
    {"link-words", {"event 2", "\"link\""}},
};

static void test_malformed(void **state)
{
    (void)state;
    struct snug_device_profiles profiles = built_in();
    for (size_t i = 0; i < COUNT(malformed); i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/device/malformed-sim/%s.json", malformed[i].name);
        struct snug_blob blob = read_file(path);
        struct snug_sim_script script = {0};
        struct snug_error error = {0};
        enum snug_status status =
            snug_sim_script_parse((const char *)blob.data, blob.size, "mine.json", &profiles,
                                  snug_allocator_heap(), &script, &error);
        bool told = strstr(error.message, "mine.json") != NULL;
        for (size_t w = 0; w < 3 && malformed[i].words[w]; w++)
            told = told && strstr(error.message, malformed[i].words[w]);
        if (status != SNUG_STATUS_FORMAT || !told || script.events)
            fail_msg("%s: %s: %s", malformed[i].name, snug_status_text(status), error.message);
        snug_blob_free(&blob);
    }
    size_t files = 0; /* none lies there that is not tried */
    DIR *folder = opendir(test_path("tests/device/malformed-sim"));
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        files += strstr(entry->d_name, ".json") != NULL;
    closedir(folder);
    assert_int_equal(files, COUNT(malformed));
    snug_device_profiles_free(&profiles);
}

/* As many events as may be, in the worst order for sorting; one more; a file too long. */
static void test_limits(void **state)
{
    (void)state;
    struct snug_device_profiles profiles = {.allocator = snug_allocator_heap()};
    struct snug_text text;
    snug_text_init(&text, snug_allocator_heap(), 4u << 20);
    for (int extra = 0; extra < 2; extra++) {
        struct snug_sim_script script = {0};
        struct snug_error error = {0};
        snug_text_clear(&text);
        snug_text_puts(&text, "{\"memory\": \"1GiB\", \"events\": [");
        for (int i = SNUG_SIM_MAX_EVENTS + extra; i > 0; i--)
            snug_text_printf(&text, "{\"document\": %d, \"lose\": %d}%s", i, i, i > 1 ? "," : "]}");
        enum snug_status status = snug_sim_script_parse(
            text.data, text.length, "many.json", &profiles, snug_allocator_heap(), &script, &error);
        assert_int_equal(status, extra ? SNUG_STATUS_FORMAT : SNUG_STATUS_OK);
        for (size_t i = 0; i < script.event_count; i++)
            assert_true(script.events[i].document == (int64_t)i + 1 &&
                        script.events[i].count == i + 1);
        if (extra)
            assert_non_null(strstr(error.message, "many.json"));
        snug_sim_script_free(&script);
    }
    struct snug_sim_script script = {0};
    while (text.length <= SNUG_SIM_MAX_SCRIPT_BYTES)
        snug_text_puts(&text, "                                                                ");
    assert_int_equal(snug_sim_script_parse(text.data, text.length, "long.json", &profiles,
                                           snug_allocator_heap(), &script, NULL),
                     SNUG_STATUS_LIMIT);
    snug_text_free(&text);
}

/* ---- the example that users get: what docs/devices.md says of it happens ---- */

static void test_example(void **state)
{
    (void)state;
    struct snug_blob blob = read_file("samples/sim/neighbour.json");
    struct snug_sim_script script = parse((const char *)blob.data, "samples/sim/neighbour.json");
    const struct snug_device *device = NULL;
    struct snug_error error;
    uint64_t expected = 0;
    script.options.dry = true;
    assert_ok(snug_sim_open(&script.options, snug_allocator_heap(), &device, &error));
    assert_string_equal(device->name, "sim:neighbour.json");
    for (int64_t document = 1; document <= 8; document++) {
        device->mark(device, document, -1);
        expected = (UINT64_C(15840) << 20) - (document >= 3 && document < 6 ? GIB(6) : 0);
        for (int64_t token = 0; token < 40; token++) {
            uint64_t bytes = 0;
            device->mark(device, document, token);
            assert_ok(device->free_bytes(device, &bytes, &error));
            assert_true(bytes == expected);
        }
    }
    device->mark(device, 8, 40);
    assert_int_equal(device->free_bytes(device, &expected, &error), SNUG_STATUS_DEVICE_LOST);
    assert_int_equal(device->reset(device, &error), SNUG_STATUS_DEVICE_LOST);
    assert_int_equal(device->reset(device, &error), SNUG_STATUS_DEVICE_LOST);
    assert_ok(device->reset(device, &error));
    device->mark(device, 8, 40); /* once only */
    assert_ok(device->free_bytes(device, &expected, &error));
    snug_sim_close(device);
    snug_sim_script_free(&script);
    snug_blob_free(&blob);
}

/* docs/devices.md shows the very file. */
static void test_example_in_docs(void **state)
{
    (void)state;
    struct snug_blob page = read_file("docs/devices.md"),
                     file = read_file("samples/sim/neighbour.json");
    struct snug_text shown;
    snug_text_init(&shown, snug_allocator_heap(), 1 << 16);
    snug_text_puts(&shown, "    ");
    for (size_t i = 0; i < file.size; i++) {
        snug_text_putc(&shown, (char)file.data[i]);
        if (file.data[i] == '\n' && i + 1 < file.size)
            snug_text_puts(&shown, "    ");
    }
    assert_non_null(strstr((const char *)page.data, snug_text_c(&shown)));
    snug_text_free(&shown);
    snug_blob_free(&page);
    snug_blob_free(&file);
}

/* The JSON library's own memory included. */
static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_device_profiles profiles = built_in();
    struct snug_blob blob = read_file("fuzz/corpus/sim_script/full.json");
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_sim_script script = {0};
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_allocator_set_global(&counting.allocator);
        enum snug_status status =
            snug_sim_script_parse((const char *)blob.data, blob.size, "full.json", &profiles,
                                  &counting.allocator, &script, &error);
        snug_allocator_set_global(snug_allocator_heap());
        assert_int_equal(script.event_count, status ? 0 : 8);
        snug_sim_script_free(&script);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            assert_in_range(fail_at, 10, UINT32_MAX); /* something was refused */
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    snug_blob_free(&blob);
    snug_device_profiles_free(&profiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spec),
                                       cmocka_unit_test(test_options_of_spec),
                                       cmocka_unit_test(test_machine),
                                       cmocka_unit_test(test_events),
                                       cmocka_unit_test(test_every_call),
                                       cmocka_unit_test(test_malformed),
                                       cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_example),
                                       cmocka_unit_test(test_example_in_docs),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
