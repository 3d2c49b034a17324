/* The words a model is asked with.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_PROMPT_H
#define SNUG_EXTRACT_PROMPT_H

#include "base/text.h"
#include "extract/schema.h"

/* Appends the user's text of a request: the instruction lines (the schema's own, or the default
 * two, which the embedded model is trained on), then one field name a line, with " (hint)" behind
 * it if `hints` is set and the field has one. No new line after the last.
 * fields: indices into schema->fields in the order to ask for, each < field_count; NULL asks for
 * all, and `count` is then ignored. A prompt of the schema that does not end in a new line gets
 * one. Errors: USAGE if no field is asked for; those of snug_text. Thread-safe. */
SNUG_CHECK_RESULT enum snug_status snug_prompt_write(const struct snug_schema *schema,
                                                     const size_t *fields, size_t count, bool hints,
                                                     struct snug_text *out,
                                                     struct snug_error *error);

#endif
