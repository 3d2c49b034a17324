/* What the readers of answers share: the store of values, and cleaning.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_PARSE_INTERNAL_H
#define SNUG_EXTRACT_PARSE_INTERNAL_H

#include "base/text.h"
#include "extract/parse.h"
#include "extract/value.h"

/* Bytes with a meaning in the clean copy of an answer, which has the length and the offsets of the
 * raw one. Where the raw text has these bytes, the clean one has SNUG_CLEAN_NOTHING. */
#define SNUG_CLEAN_NOTHING '\001' /* was markup or a control character: skip it */
#define SNUG_CLEAN_END '\002'     /* the end of a turn: whatever was being read is over */
#define SNUG_CLEAN_BREAK '\003'   /* <br>: an item ends here, or a space */

struct snug_range {
    size_t start, end;
};

/* Copies raw[0..length) to clean with the bytes above in place of special tokens, <br>, backslashes
 * before punctuation and control characters. */
void snug_clean_copy(const char *raw, size_t length, char *clean);

/* Moves both ends inwards over white space, quotes, bold and code marks; the text of a link for the
 * link. */
void snug_clean_trim(const char *clean, struct snug_range *range);

/* Appends the range without its markup; control characters become spaces, invalid UTF-8 U+FFFD. */
void snug_clean_append(const char *clean, struct snug_range range, struct snug_text *out);

/* Splits the pieces of a list (lines, or one line) into items and appends them joined by " | ".
 * *real: whether one of them is more than a placeholder. *covered: from the first to the last
 * item. */
void snug_list_build(const char *clean, const struct snug_range *pieces, size_t count,
                     const struct snug_field *field, const char *absent, struct snug_text *out,
                     bool *real, struct snug_range *covered);

/* Stores a value if the field has no real one yet. text is copied if real. */
SNUG_CHECK_RESULT enum snug_status snug_answer_store(struct snug_answer *answer, size_t field,
                                                     const char *text, size_t length, bool real,
                                                     struct snug_range range);
/* Keeps an unknown key aside, if there is room. Ranges of `clean`. */
SNUG_CHECK_RESULT enum snug_status snug_answer_keep(struct snug_answer *answer, const char *clean,
                                                    struct snug_range key, struct snug_range value);

/* The two readers. Both fill `answer`, which has its arena and values. */
SNUG_CHECK_RESULT enum snug_status snug_answer_read_lines(const struct snug_schema *schema,
                                                          const char *clean, size_t length,
                                                          struct snug_answer *answer);
SNUG_CHECK_RESULT enum snug_status snug_answer_read_json(const struct snug_schema *schema,
                                                         const char *raw, size_t length,
                                                         struct snug_answer *answer);

#endif
