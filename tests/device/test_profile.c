/* Tests of device/profile.c: the built-in file, every refusal, lists that override, every
 * allocation refused. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "base/text.h"
#include "device/profile.h"

#include <dirent.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct snug_device_profiles parse_text(const char *text)
{
    struct snug_device_profiles list = {0};
    struct snug_error error;
    assert_ok(snug_device_profiles_parse(text, strlen(text), "test.json", snug_allocator_heap(),
                                         &list, &error));
    return list;
}

static struct snug_blob read_file(const char *name)
{
    struct snug_blob blob = {0};
    struct snug_error error;
    assert_ok(snug_file_read(test_path(name), 1 << 20, snug_allocator_heap(), &blob, &error));
    return blob;
}

static const struct snug_device_profile *find(const struct snug_device_profiles *list,
                                              const char *name)
{
    const struct snug_device_profile *profile = NULL;
    struct snug_error error;
    assert_ok(snug_device_profile_find(list, name, &profile, &error));
    return profile;
}

/* ---- the built-in file ---- */

static void test_built_in(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int gib;
    } known[] = {{"v100-16gb", 16},  {"v100-32gb", 32},      {"t4-16gb", 16},
                 {"p100-16gb", 16},  {"rtx2080ti-11gb", 11}, {"rtx3060-12gb", 12},
                 {"rtx4060-8gb", 8}, {"rtx3090-24gb", 24},   {"rtx4090-24gb", 24},
                 {"l4-24gb", 24},    {"a10-24gb", 24},       {"a100-40gb", 40},
                 {"a100-80gb", 80},  {"h100-80gb", 80},      {"cpu-8gb", 8},
                 {"cpu-16gb", 16},   {"cpu-32gb", 32},       {"cpu-64gb", 64}};
    struct snug_blob blob = read_file("src/device/devices.json");
    struct snug_device_profiles list = {0};
    struct snug_error error;
    assert_ok(snug_device_profiles_parse((const char *)blob.data, blob.size, "devices.json",
                                         snug_allocator_heap(), &list, &error));
    assert_int_equal(list.count, COUNT(known));
    for (size_t i = 0; i < COUNT(known); i++) {
        const struct snug_device_profile *p = find(&list, known[i].name);
        bool cpu = !strncmp(p->name, "cpu-", 4);
        assert_true(p->memory_bytes == (uint64_t)known[i].gib << 30);
        assert_int_equal(p->kind, cpu ? SNUG_DEVICE_KIND_CPU : SNUG_DEVICE_KIND_GPU);
        assert_int_equal(p->granularity_bytes, cpu ? 4096 : 2 << 20);
        /* a figure in the wrong unit shows here */
        double most = cpu ? 0 : 1e6, least = cpu ? 0 : 1e3;
        if (p->f32_gflops < least || p->f32_gflops > most || p->int8_gops < p->f32_gflops ||
            p->int8_gops > most || p->read_gbs < least / 10 || p->read_gbs > most / 100 ||
            p->link_gbs < (cpu ? 0 : 4) || p->link_gbs > (cpu ? 0 : 1000))
            fail_msg("%s: a speed that cannot be", p->name);
        if (p->reserved_bytes < 500u << 20 || p->reserved_bytes > p->memory_bytes / 8)
            fail_msg("%s: reserved is %llu", p->name, (unsigned long long)p->reserved_bytes);
    }
    const struct snug_device_profile *v100 = find(&list, "V100-16GB");
    assert_string_equal(v100->name, "v100-16gb");
    assert_true(v100->memory_bytes - v100->reserved_bytes == UINT64_C(15841) << 20);
    assert_true(snug_device_profile_usable_bytes(v100) == UINT64_C(15840) << 20);
    snug_device_profiles_free(&list);
    snug_blob_free(&blob);
}

static void test_values(void **state)
{
    (void)state;
    struct snug_device_profiles list =
        parse_text("{\"devices\": [{\"name\": \"card\", \"title\": \"A card\", \"kind\": \"gpu\","
                   "\"memory\": \"1.5GiB\", \"reserved\": 1000, \"granularity\": \"64KiB\","
                   "\"read_gbs\": 1.5, \"f32_gflops\": 2, \"int8_gops\": 3e2, \"link_gbs\": 0.25},"
                   "{\"name\": \"1_b.c-d\", \"kind\": \"cpu\", \"memory\": 1125899906842624},"
                   "{\"name\": \"g\", \"kind\": \"gpu\", \"memory\": \"16GB\"}]}");
    assert_int_equal(list.count, 3);
    const struct snug_device_profile *p = &list.items[0];
    assert_string_equal(p->title, "A card");
    assert_true(p->memory_bytes == UINT64_C(3) << 29 && p->reserved_bytes == 1000);
    assert_int_equal(p->granularity_bytes, 65536);
    assert_true(snug_device_profile_usable_bytes(p) == (UINT64_C(3) << 29) - 65536);
    assert_true(p->read_gbs == 1.5 && p->f32_gflops == 2 && p->int8_gops == 300);
    assert_true(p->link_gbs == 0.25);
    p = &list.items[1];
    assert_string_equal(p->title, "1_b.c-d");
    assert_true(p->memory_bytes == UINT64_C(1) << 50 && p->reserved_bytes == 0);
    assert_int_equal(p->granularity_bytes, 4096);
    assert_true(p->read_gbs == 0 && p->f32_gflops == 0 && p->int8_gops == 0 && p->link_gbs == 0);
    assert_int_equal(list.items[2].granularity_bytes, 2 << 20);
    assert_string_equal(snug_device_kind_name(list.items[2].kind), "gpu");
    snug_device_profiles_free(&list);
    list = parse_text("{\"devices\": []}");
    assert_int_equal(list.count, 0);
    snug_device_profiles_free(&list);
}

/* ---- refusals ---- */

/* tests/device/malformed/NAME.json, and what the message must hold beside the file's name. */
static const struct malformed {
    const char *name, *words[3];
} malformed[] = {
    {"cut-short", {"line"}},
    {"list-at-top", {"\"devices\""}},
    {"devices-object", {"\"devices\""}},
    {"key-beside", {"version"}},
    {"device-not-object", {"device 1", "object"}},
    {"name-missing", {"device 2", "\"name\" is missing"}},
    {"name-null", {"device 2", "\"name\" must be a string"}},
    {"name-empty", {"device 2", "\"name\""}},
    {"name-long", {"device 2", "\"name\"", "32"}},
    {"name-colon", {"device 2", "sim:card"}},
    {"name-space", {"device 2", "my card"}},
    {"name-capital", {"device 2", "V100"}},
    {"name-dash-first", {"device 2", "-m"}},
    {"name-escape", {"device 2", "control"}},
    {"name-nul", {"line"}},
    {"name-twice", {"device 2 (good)", "earlier"}},
    {"key-twice", {"memory"}},
    {"key-unknown", {"device 2 (card)", "\"memroy\""}},
    {"kind-missing", {"(card)", "\"kind\" is missing"}},
    {"kind-unknown", {"(card)", "tpu"}},
    {"kind-number", {"(card)", "\"kind\""}},
    {"title-control", {"(card)", "\"title\"", "control"}},
    {"title-long", {"(card)", "\"title\"", "64"}},
    {"source-number", {"(card)", "\"source\""}},
    {"memory-missing", {"(card)", "\"memory\" is missing"}},
    {"memory-zero", {"(card)", "\"memory\" is 0"}},
    {"memory-negative", {"(card)", "\"memory\""}},
    {"memory-real", {"(card)", "\"memory\""}},
    {"memory-infinite", {"line"}},
    {"memory-words", {"(card)", "\"memory\""}},
    {"memory-unit", {"(card)", "\"memory\"", "GiB"}},
    {"memory-huge", {"(card)", "\"memory\""}},
    {"memory-overflow", {"(card)", "\"memory\""}},
    {"memory-int64", {"line"}},
    {"reserved-all", {"(card)", "\"reserved\""}},
    {"reserved-more", {"(card)", "\"reserved\""}},
    {"reserved-null", {"(card)", "\"reserved\""}},
    {"granularity-zero", {"(card)", "\"granularity\""}},
    {"granularity-odd", {"(card)", "\"granularity\"", "power of two"}},
    {"granularity-over", {"(card)", "\"granularity\""}},
    {"speed-words", {"(card)", "\"read_gbs\""}},
    {"speed-negative", {"(card)", "\"f32_gflops\""}},
    {"speed-huge", {"(card)", "\"int8_gops\""}},
    {"speed-true", {"(card)", "\"link_gbs\""}},
    {"not-utf8", {"line"}},
};

static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/device/malformed/%s.json", malformed[i].name);
        struct snug_blob blob = read_file(path);
        struct snug_device_profiles list = {0};
        struct snug_error error = {0};
        enum snug_status status = snug_device_profiles_parse(
            (const char *)blob.data, blob.size, "mine.json", snug_allocator_heap(), &list, &error);
        bool told = strstr(error.message, "mine.json") != NULL;
        for (size_t w = 0; w < 3 && malformed[i].words[w]; w++)
            told = told && strstr(error.message, malformed[i].words[w]);
        if (status != SNUG_STATUS_FORMAT || !told || list.items)
            fail_msg("%s: %s: %s", malformed[i].name, snug_status_text(status), error.message);
        snug_blob_free(&blob);
    }
    size_t files = 0; /* none lies there that is not tried */
    DIR *folder = opendir(test_path("tests/device/malformed"));
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        files += strstr(entry->d_name, ".json") != NULL;
    closedir(folder);
    assert_int_equal(files, COUNT(malformed));
}

static void test_limits(void **state)
{
    (void)state;
    struct snug_text text;
    struct snug_device_profiles list = {0};
    struct snug_error error = {0};
    snug_text_init(&text, snug_allocator_heap(), 4u << 20);
    for (int extra = 0; extra < 2; extra++) {
        snug_text_clear(&text);
        snug_text_puts(&text, "{\"devices\": [");
        for (int i = 0; i < SNUG_MAX_DEVICE_PROFILES + extra; i++)
            snug_text_printf(&text, "%s{\"name\": \"d%d\", \"kind\": \"cpu\", \"memory\": 4096}",
                             i ? "," : "", i);
        snug_text_puts(&text, "]}");
        enum snug_status status = snug_device_profiles_parse(text.data, text.length, "many.json",
                                                             snug_allocator_heap(), &list, &error);
        assert_int_equal(status, extra ? SNUG_STATUS_FORMAT : SNUG_STATUS_OK);
        snug_device_profiles_free(&list);
    }
    assert_non_null(strstr(error.message, "many.json"));
    while (text.length <= SNUG_MAX_DEVICES_BYTES)
        snug_text_puts(&text, "                                                                ");
    assert_int_equal(snug_device_profiles_parse(text.data, text.length, "long.json",
                                                snug_allocator_heap(), &list, &error),
                     SNUG_STATUS_LIMIT);
    snug_text_free(&text);
}

/* ---- lists ---- */

static void test_add_and_find(void **state)
{
    (void)state;
    struct snug_device_profiles list =
        parse_text("{\"devices\": [{\"name\": \"a\", \"kind\": \"cpu\", \"memory\": \"1GiB\"},"
                   "{\"name\": \"b\", \"kind\": \"cpu\", \"memory\": \"1GiB\"}]}");
    struct snug_device_profiles more =
        parse_text("{\"devices\": [{\"name\": \"c\", \"kind\": \"gpu\", \"memory\": \"3GiB\"},"
                   "{\"name\": \"a\", \"kind\": \"gpu\", \"memory\": \"2GiB\"}]}");
    struct snug_error error;
    assert_ok(snug_device_profiles_add(&list, &more, &error));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].name, "a");
    assert_true(list.items[0].memory_bytes == UINT64_C(2) << 30);
    assert_int_equal(list.items[0].kind, SNUG_DEVICE_KIND_GPU);
    assert_true(find(&list, "b")->memory_bytes == UINT64_C(1) << 30);
    assert_true(find(&list, "c") == &list.items[2]);

    const struct snug_device_profile *none = NULL;
    assert_int_equal(snug_device_profile_find(&list, "v100", &none, &error), SNUG_STATUS_USAGE);
    assert_null(none);
    assert_non_null(strstr(error.message, "v100"));
    assert_non_null(strstr(error.message, "a, b, c"));
    snug_device_profiles_free(&list);
    assert_int_equal(snug_device_profile_find(&list, "a", &none, &error), SNUG_STATUS_USAGE);
    assert_ok(snug_device_profiles_add(&list, &more, &error)); /* onto an empty list */
    assert_int_equal(list.count, 2);
    snug_device_profiles_free(&list);
    snug_device_profiles_free(&more);
}

static void test_full_list(void **state)
{
    (void)state;
    struct snug_device_profiles list = {.allocator = snug_allocator_heap()};
    struct snug_device_profile profile = {.name = "x0", .memory_bytes = 1};
    struct snug_device_profiles one = {.items = &profile, .count = 1};
    struct snug_error error;
    for (int i = 0; i < SNUG_MAX_DEVICE_PROFILES; i++) {
        snprintf(profile.name, sizeof profile.name, "x%d", i);
        assert_ok(snug_device_profiles_add(&list, &one, &error));
    }
    assert_ok(snug_device_profiles_add(&list, &one, &error)); /* in place of the last */
    snprintf(profile.name, sizeof profile.name, "y");
    assert_int_equal(snug_device_profiles_add(&list, &one, &error), SNUG_STATUS_LIMIT);
    assert_int_equal(list.count, SNUG_MAX_DEVICE_PROFILES);
    snug_device_profiles_free(&list);
}

/* The JSON library's own memory included. */
static void test_allocation_failures(void **state)
{
    (void)state;
    struct snug_blob blob = read_file("src/device/devices.json");
    struct snug_device_profiles more =
        parse_text("{\"devices\": [{\"name\": \"c\", \"kind\": \"gpu\", \"memory\": \"9MiB\"}]}");
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        struct snug_device_profiles list = {0};
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_allocator_set_global(&counting.allocator);
        enum snug_status status = snug_device_profiles_parse(
            (const char *)blob.data, blob.size, "devices.json", &counting.allocator, &list, &error);
        snug_allocator_set_global(snug_allocator_heap());
        if (!status) {
            status = snug_device_profiles_add(&list, &more, &error);
            assert_int_equal(list.count, status ? 18 : 19);
        }
        snug_device_profiles_free(&list);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            assert_in_range(fail_at, 10, UINT32_MAX); /* something was refused */
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    snug_device_profiles_free(&more);
    snug_blob_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),           cmocka_unit_test(test_values),
        cmocka_unit_test(test_malformed),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_add_and_find),       cmocka_unit_test(test_full_list),
        cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
