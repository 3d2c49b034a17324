/* UTF-8 and growing text.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_TEXT_H
#define SNUG_BASE_TEXT_H

#include "base/alloc.h"

/* ---- UTF-8 (Unicode chapter 3, table 3-7: no surrogates, no overlong forms, at most U+10FFFF)
 * ---- */

/* Decodes the code point at text[0..length), length >= 1. Valid: returns its byte count,
 * *code_point set. Invalid: returns minus the length of the maximal invalid part (1..3). Unfinished
 * but valid so far (the text ends inside a sequence): returns 0. */
int snug_utf8_decode(const unsigned char *text, size_t length, uint32_t *code_point);
/* Writes 1..4 bytes; code_point must be valid. Returns the count. */
int snug_utf8_encode(uint32_t code_point, unsigned char out[4]);
bool snug_utf8_valid(const char *text, size_t length);

/* ---- a growing buffer with a stated maximum ---- */

/* data is NUL-terminated after every successful call (length does not count the NUL); NULL while
 * empty and never written. Once an append fails (refused or over `max_bytes`) the buffer remembers:
 * later appends do nothing, and snug_text_status tells. Not thread-safe. */
struct snug_text {
    const struct snug_allocator *allocator;
    char *data;
    size_t length, capacity, max_bytes;
    enum snug_status status; /* OK, MEMORY or LIMIT */
};
void snug_text_init(struct snug_text *text, const struct snug_allocator *allocator,
                    size_t max_bytes);
void snug_text_free(struct snug_text *text);
void snug_text_clear(struct snug_text *text); /* length 0, status OK, capacity kept */
void snug_text_append(struct snug_text *text, const void *bytes, size_t length);
void snug_text_puts(struct snug_text *text, const char *string);
void snug_text_putc(struct snug_text *text, char c);
void snug_text_printf(struct snug_text *text, const char *format, ...) SNUG_PRINTF(2, 3);
void snug_text_put_code_point(struct snug_text *text, uint32_t code_point);
/* Lossy: one U+FFFD per maximal invalid part (as Rust and Python do), also for an unfinished end.
 */
void snug_text_append_lossy(struct snug_text *text, const void *bytes, size_t length);
/* The NUL-terminated text ("" if empty), valid until the next append. */
const char *snug_text_c(const struct snug_text *text);
SNUG_CHECK_RESULT enum snug_status snug_text_status(const struct snug_text *text,
                                                    struct snug_error *error, const char *what);

/* ---- small helpers; ASCII only, locale-free ---- */
bool snug_ascii_is_space(char c);
bool snug_ascii_is_digit(char c);
char snug_ascii_lower(char c);
bool snug_text_equal_ignore_case(const char *a, const char *b);
bool snug_text_ends_with_ignore_case(const char *text, const char *suffix);
/* "11.0 MB" style: bytes in B, KiB, MiB, GiB with three figures, into out (at least 24 bytes). */
const char *snug_format_bytes(uint64_t bytes, char out[24]);
/* A size as people write it: "4096", "15841MiB", "1.5 GiB", "16GB". Digits, a fraction if there is
 * a unit, at most one space, then nothing or B, KiB, MiB, GiB, TiB (powers of 1024), KB, MB, GB, TB
 * (powers of 1000); capitals do not matter. A fraction of a byte is dropped. False, and *bytes
 * untouched, for anything else: signs, other units ("16G" could be either), 2^64 bytes and more. */
bool snug_size_parse(const char *text, uint64_t *bytes);

#endif
