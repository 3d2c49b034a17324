/* The prompt: bytes matter here, the embedded model has seen no other.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/prompt.h"

#include <string.h>

enum snug_status snug_prompt_write(const struct snug_schema *schema, const size_t *fields,
                                   size_t count, bool hints, struct snug_text *out,
                                   struct snug_error *error)
{
    if (fields == NULL)
        count = schema->field_count;
    if (count == 0)
        return snug_error_set(error, SNUG_STATUS_USAGE, "no field is asked for");
    if (schema->prompt != NULL) {
        snug_text_puts(out, schema->prompt);
        if (schema->prompt[strlen(schema->prompt) - 1] != '\n')
            snug_text_putc(out, '\n');
    } else {
        snug_text_puts(out,
                       "Extract the following fields from this business document.\n"
                       "Write one line per field, exactly as FIELD: value, in this order. Write ");
        snug_text_puts(out, schema->absent);
        snug_text_puts(out, " where the document does not show the field.\n");
    }
    for (size_t i = 0; i < count; i++) {
        size_t index = fields != NULL ? fields[i] : i;
        SNUG_ASSERT(index < schema->field_count);
        const struct snug_field *field = &schema->fields[index];
        if (i > 0)
            snug_text_putc(out, '\n');
        snug_text_puts(out, field->name);
        if (hints && field->hint != NULL) {
            snug_text_puts(out, " (");
            snug_text_puts(out, field->hint);
            snug_text_putc(out, ')');
        }
    }
    return snug_text_status(out, error, "prompt");
}
