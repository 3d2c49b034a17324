/* MiniMalloc's eleven instances, within the capacity they are known for.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "formats/minimalloc.h"

/* By nodes, not by time: the same on a slow machine. Three times what they take. */
#define NODES 500000

static void test_instances(void **state)
{
    (void)state;
    for (char letter = 'A'; letter <= 'K'; letter++) {
        struct snug_minimalloc instance = {0};
        struct snug_plan_options options = {.capacity_bytes = 1048576, .nodes = NODES};
        struct snug_blob blob = {0};
        struct snug_plan plan;
        struct snug_error error;
        char name[64];
        snprintf(name, sizeof name, "tests/data/minimalloc/%c.1048576.csv", letter);
        assert_ok(snug_file_read(test_path(name), 1 << 20, snug_allocator_heap(), &blob, &error));
        assert_ok(snug_minimalloc_parse((const char *)blob.data, blob.size, name,
                                        snug_allocator_heap(), &instance, &error));
        assert_ok(snug_plan_search(instance.intervals, instance.count, 1, &options,
                                   snug_allocator_heap(), &plan, &error));
        assert_ok(snug_plan_verify(instance.intervals, instance.count, 1, plan.peak_bytes,
                                   snug_allocator_heap(), &error));
        print_message("%c: %zu buffers, %.3f s, %llu nodes, peak %zu, lower bound %zu\n", letter,
                      instance.count, plan.seconds, (unsigned long long)plan.nodes, plan.peak_bytes,
                      plan.lower_bound_bytes);
        if (plan.peak_bytes > options.capacity_bytes)
            fail_msg("%c: peak %zu", letter, plan.peak_bytes);
        snug_minimalloc_free(&instance);
        snug_blob_free(&blob);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_instances)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
