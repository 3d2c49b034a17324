/* JSON: parsing through jansson behind limits, typed look-ups, and writing.
 *
 * jansson's hooks carry no context, so every block that they hand out starts with a hidden header
 * naming the allocator it came from: the process-wide allocator may change (tests do it) while
 * values live. The hooks are set before main, because a value made before they are set could not be
 * freed after. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/limits.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- jansson's memory ---- */

/* In front of every block: where it came from, and its neighbours among the blocks of the same
 * parse. */
struct hook_header {
    _Alignas(16) const struct snug_allocator *allocator;
    struct hook_header *previous, *next;
};

/* A parse under way. jansson 2.14 does not survive a refused allocation everywhere (a token's
 * buffer that cannot grow loses characters, and the scan for its closing quote then runs past the
 * end), so a refusal does not come back to it: it jumps out, and all blocks of the parse are
 * released. */
struct parse {
    struct hook_header ring;
    jmp_buf refused;
};
static _Thread_local struct parse *current_parse;

static void unlink_block(struct hook_header *block)
{
    block->previous->next = block->next;
    block->next->previous = block->previous;
}

static void *hook_allocate(size_t bytes)
{
    const struct snug_allocator *allocator = snug_allocator_global();
    size_t total = 0;
    struct hook_header *block = snug_add_size(bytes, sizeof(struct hook_header), &total)
                                    ? snug_alloc(allocator, total)
                                    : NULL;

    if (!block && current_parse)
        longjmp(current_parse->refused, 1);
    if (!block)
        return NULL;
    *block = (struct hook_header){allocator, block, block};
    if (current_parse) {
        block->previous = &current_parse->ring;
        block->next = current_parse->ring.next;
        block->next->previous = block;
        current_parse->ring.next = block;
    }
    return block + 1;
}

static void hook_release(void *memory)
{
    if (memory) {
        struct hook_header *block = (struct hook_header *)memory - 1;
        unlink_block(block);
        snug_free(block->allocator, block);
    }
}

__attribute__((constructor)) static void hooks_install(void)
{
    json_set_alloc_funcs(hook_allocate, hook_release);
}

/* ---- parsing ---- */

/* Whether brackets nest deeper than allowed, up to where jansson would stop at the latest: both
 * read strings alike as far as the text is well formed. *line: where. */
static bool nests_too_deep(const char *data, size_t length, int *line)
{
    int depth = 0;
    bool in_string = false;

    *line = 1;
    for (size_t i = 0; i < length; i++) {
        char c = data[i];

        if (c == '\n')
            ++*line;
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > SNUG_MAX_JSON_DEPTH)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

/* NULL and *refused if memory was refused; NULL alone if the text is at fault. */
static json_t *load(const char *data, size_t length, size_t flags, json_error_t *trouble,
                    bool *refused)
{
    struct parse parse;

    parse.ring = (struct hook_header){NULL, &parse.ring, &parse.ring};
    if (setjmp(parse.refused)) {
        current_parse = NULL;
        while (parse.ring.next != &parse.ring)
            hook_release(parse.ring.next + 1);
        *refused = true;
        return NULL;
    }
    current_parse = &parse;
    json_t *value = json_loadb(data, length, flags, trouble);
    current_parse = NULL;
    unlink_block(&parse.ring); /* the blocks stay linked to each other */
    return value;
}

enum snug_status snug_json_parse(const char *data, size_t length, bool allow_nul, const char *name,
                                 json_t **out, struct snug_error *error)
{
    int line = 0;

    if (nests_too_deep(data, length, &line))
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: line %d: JSON nested deeper than %d",
                              name, line, SNUG_MAX_JSON_DEPTH);

    json_error_t trouble;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | (allow_nul ? JSON_ALLOW_NUL : 0);
    bool refused = false;
    json_t *value = load(length ? data : "", length, flags, &trouble, &refused);

    if (refused)
        return snug_error_set(error, SNUG_STATUS_MEMORY, "out of memory: %s (%zu bytes of JSON)",
                              name, length);
    if (!value)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: line %d, column %d: %s", name,
                              trouble.line, trouble.column, trouble.text);
    *out = value;
    return SNUG_STATUS_OK;
}

/* ---- look-ups ---- */

/* *out: the key's value, NULL if it is missing or null. */
static enum snug_status find(json_t *object, const char *key, json_t **out, const char *name,
                             struct snug_error *error)
{
    if (!json_is_object(object))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: an object with \"%s\" was expected",
                              name, key);
    json_t *value = json_object_get(object, key);
    *out = json_is_null(value) ? NULL : value;
    return SNUG_STATUS_OK;
}

static enum snug_status wrong_type(const char *key, const char *expected, const char *name,
                                   struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: \"%s\" must be %s", name, key, expected);
}

enum snug_status snug_json_get_int(json_t *object, const char *key, int64_t low, int64_t high,
                                   int64_t *out, const char *name, struct snug_error *error)
{
    json_t *value = NULL;
    enum snug_status status = find(object, key, &value, name, error);

    if (status != SNUG_STATUS_OK || !value)
        return status;
    if (!json_is_integer(value))
        return wrong_type(key, "an integer", name, error);
    int64_t number = json_integer_value(value);
    if (number < low || number > high)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: \"%s\" is %lld, but must be from %lld to %lld", name, key,
                              (long long)number, (long long)low, (long long)high);
    *out = number;
    return SNUG_STATUS_OK;
}

enum snug_status snug_json_get_double(json_t *object, const char *key, double *out,
                                      const char *name, struct snug_error *error)
{
    json_t *value = NULL;
    enum snug_status status = find(object, key, &value, name, error);

    if (status != SNUG_STATUS_OK || !value)
        return status;
    if (!json_is_number(value))
        return wrong_type(key, "a number", name, error);
    *out = json_number_value(value);
    return SNUG_STATUS_OK;
}

enum snug_status snug_json_get_bool(json_t *object, const char *key, bool *out, const char *name,
                                    struct snug_error *error)
{
    json_t *value = NULL;
    enum snug_status status = find(object, key, &value, name, error);

    if (status != SNUG_STATUS_OK || !value)
        return status;
    if (!json_is_boolean(value))
        return wrong_type(key, "true or false", name, error);
    *out = json_is_true(value);
    return SNUG_STATUS_OK;
}

enum snug_status snug_json_get_string(json_t *object, const char *key, const char **out,
                                      const char *name, struct snug_error *error)
{
    json_t *value = NULL;
    enum snug_status status = find(object, key, &value, name, error);

    if (status != SNUG_STATUS_OK || !value)
        return status;
    if (!json_is_string(value))
        return wrong_type(key, "a string", name, error);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return wrong_type(key, "a string without U+0000", name, error);
    *out = json_string_value(value);
    return SNUG_STATUS_OK;
}

/* ---- writing ---- */

/* The letter of the two-character escape, 0 if there is none. */
static char escape_letter(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

void snug_json_put_string_n(struct snug_text *text, const char *string, size_t length)
{
    if (!string) {
        snug_text_puts(text, "null");
        return;
    }
    size_t run = 0; /* start of what needs no escape and is not yet appended */
    snug_text_putc(text, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)string[i];
        char letter = escape_letter(string[i]);

        if (c >= 0x20 && !letter)
            continue;
        snug_text_append_lossy(text, string + run, i - run);
        if (letter) {
            snug_text_putc(text, '\\');
            snug_text_putc(text, letter);
        } else {
            snug_text_printf(text, "\\u%04x", c);
        }
        run = i + 1;
    }
    snug_text_append_lossy(text, string + run, length - run);
    snug_text_putc(text, '"');
}

void snug_json_put_string(struct snug_text *text, const char *string)
{
    snug_json_put_string_n(text, string, string ? strlen(string) : 0);
}

void snug_json_put_double(struct snug_text *text, double value)
{
    char digits[32];

    if (!isfinite(value)) {
        snug_text_puts(text, "null");
        return;
    }
    if (fabs(value) < 1e15 && value == trunc(value)) { /* 100, where %g would write 1e+02 */
        snprintf(digits, sizeof digits, "%.0f", value);
    } else {
        for (int precision = 1; precision <= DBL_DECIMAL_DIG; precision++) {
            snprintf(digits, sizeof digits, "%.*g", precision, value);
            if (strtod(digits, NULL) == value)
                break;
        }
    }
    for (char *c = digits; *c; c++) { /* a host program may have set a locale */
        if (*c == ',')
            *c = '.';
    }
    snug_text_puts(text, digits);
}
