/* Any bytes as a schema; what is accepted must be usable.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/prompt.h"
#include "extract/validate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_schema *schema = NULL;
    if (snug_schema_parse((const char *)data, size, "fuzz.json", heap, &schema, NULL) !=
        SNUG_STATUS_OK)
        return 0;
    struct snug_text prompt;
    snug_text_init(&prompt, heap, (size_t)16 << 20);
    if (snug_prompt_write(schema, NULL, 0, true, &prompt, NULL) != SNUG_STATUS_OK)
        abort();
    snug_text_free(&prompt);
    const char **values = snug_alloc_array(heap, schema->field_count, sizeof *values);
    for (size_t i = 0; values != NULL && i < schema->field_count; i++) {
        const char *name = schema->fields[i].name;
        if (snug_schema_find(schema, name) != i ||
            snug_schema_match(schema, name, strlen(name)) != i)
            abort();
        values[i] = i % 3 == 0 ? "12 | 7" : i % 3 == 1 ? "$5.00" : "01/02/2024";
    }
    struct snug_warnings warnings = {0};
    if (values != NULL && snug_validate(schema, values, heap, &warnings, NULL) != SNUG_STATUS_OK)
        abort();
    snug_warnings_free(&warnings);
    snug_free(heap, values);
    snug_schema_free(schema);
    return 0;
}
