/* Any bytes as a MiniMalloc file: read, planned, verified, written and read again.
 * Seeds: fuzz/corpus/minimalloc, tests/data/minimalloc-bad.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/minimalloc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct snug_minimalloc *instance)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_text text;
    struct snug_minimalloc again = {0};
    snug_text_init(&text, heap, (size_t)64 << 20);
    snug_minimalloc_put(instance, &text);
    if (snug_minimalloc_parse(snug_text_c(&text), text.length, "again", heap, &again, NULL) ||
        again.count != instance->count)
        abort();
    for (size_t i = 0; i < again.count; i++)
        if (again.intervals[i].offset != instance->intervals[i].offset ||
            again.intervals[i].bytes != instance->intervals[i].bytes ||
            again.intervals[i].first != instance->intervals[i].first ||
            again.intervals[i].last != instance->intervals[i].last)
            abort();
    snug_minimalloc_free(&again);
    snug_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_minimalloc instance = {0};
    struct snug_plan_options options = {.nodes = 200};
    struct snug_plan plan;
    if (size > 1 << 14 ||
        snug_minimalloc_parse((const char *)data, size, "fuzz", heap, &instance, NULL))
        return 0;
    if (instance.count <= 64 &&
        !snug_plan_search(instance.intervals, instance.count, 1, &options, heap, &plan, NULL)) {
        if (plan.peak_bytes < plan.lower_bound_bytes ||
            snug_plan_verify(instance.intervals, instance.count, 1, plan.peak_bytes, heap, NULL))
            abort();
        round_trip(&instance);
    }
    snug_minimalloc_free(&instance);
    return 0;
}
