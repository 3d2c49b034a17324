/* Splitting a text into chunks by the two models' regular expressions, with PCRE2.
 *
 * The expressions are those of the files but for white space: PCRE2's \s with Unicode properties
 * also holds U+180E, the reference's engine has exactly the 25 members of White_Space, so the class
 * is written out. Every text is covered without gaps: each character begins some alternative.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

#define SPACES                                                                                     \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define AS_FILED(numbers)                                                                          \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers                          \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define AS_COMPILED(numbers)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^" SPACES           \
    "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACES "]*[\\r\\n]+|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

static const struct {
    const char *name, *filed, *compiled;
} patterns[SNUG_PATTERN_COUNT] = {
    [SNUG_PATTERN_QWEN2] = {"qwen2", AS_FILED("\\p{N}"), AS_COMPILED("\\p{N}")},
    [SNUG_PATTERN_LLAMA3] = {"llama3", AS_FILED("\\p{N}{1,3}"), AS_COMPILED("\\p{N}{1,3}")},
};

enum snug_pattern snug_pattern_from_regex(const char *regex)
{
    int i = 0;
    while (i < SNUG_PATTERN_COUNT && strcmp(regex, patterns[i].filed) != 0)
        i++;
    return (enum snug_pattern)i;
}

/* Whether a request of this thread was refused: PCRE2's compiler to machine code answers alike to
 * that and to a system that allows no executable memory, but only the second is no error. */
static _Thread_local bool allocation_refused;

/* In front of every block, because PCRE2 does not say how large what it gives back was. */
struct block_header {
    _Alignas(16) size_t total_bytes;
};

static void *pcre2_allocate(PCRE2_SIZE bytes, void *context)
{
    struct snug_splitter *splitter = context;
    size_t total = 0;
    struct block_header *block = snug_add_size(bytes, sizeof(*block), &total)
                                     ? snug_alloc(splitter->allocator, total)
                                     : NULL;
    allocation_refused |= !block;
    if (!block)
        return NULL;
    block->total_bytes = total;
    splitter->bytes += total;
    return block + 1;
}

static void pcre2_release(void *memory, void *context)
{
    struct snug_splitter *splitter = context;
    if (!memory)
        return;
    struct block_header *block = (struct block_header *)memory - 1;
    splitter->bytes -= block->total_bytes;
    snug_free(splitter->allocator, block);
}

static enum snug_status compile(struct snug_splitter *splitter, enum snug_pattern pattern,
                                struct snug_error *error)
{
    pcre2_compile_context *context = pcre2_compile_context_create(splitter->general);
    if (!context)
        return snug_error_memory(error, 0, "the pre-tokeniser");
    int code = 0;
    PCRE2_SIZE offset = 0;
    /* Anchored here rather than at the match: only so does the compiled code run it. */
    splitter->code = pcre2_compile((PCRE2_SPTR)patterns[pattern].compiled, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C,
                                   &code, &offset, context);
    pcre2_compile_context_free(context);
    if (splitter->code)
        return SNUG_STATUS_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
        return snug_error_memory(error, 0, "the pre-tokeniser");
    char message[128] = "";
    (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof(message));
    return snug_error_set(
        error, SNUG_STATUS_UNSUPPORTED,
        "PCRE2 cannot compile the pre-tokeniser's pattern (built without Unicode?): "
        "%s at %zu",
        message, (size_t)offset);
}

enum snug_status snug_splitter_init(struct snug_splitter *splitter, enum snug_pattern pattern,
                                    const struct snug_allocator *allocator,
                                    struct snug_error *error)
{
    *splitter = (struct snug_splitter){.allocator = allocator};
    enum snug_status status = SNUG_STATUS_OK;
    splitter->general = pcre2_general_context_create(pcre2_allocate, pcre2_release, splitter);
    if (!splitter->general)
        status = snug_error_memory(error, 0, "the pre-tokeniser");
    if (status == SNUG_STATUS_OK)
        status = compile(splitter, pattern, error);
    if (status == SNUG_STATUS_OK) {
        splitter->match = pcre2_match_context_create(splitter->general);
        splitter->data = pcre2_match_data_create(1, splitter->general);
        if (!splitter->match || !splitter->data)
            status = snug_error_memory(error, 0, "the pre-tokeniser");
    }
    if (status != SNUG_STATUS_OK) {
        snug_splitter_free(splitter);
        return status;
    }
    (void)pcre2_set_heap_limit(splitter->match, 64 * 1024); /* KiB */
    (void)pcre2_set_depth_limit(splitter->match, 100000);
    /* Without compiled code (no executable memory allowed, say) the interpreter gives the same. */
    allocation_refused = false;
    (void)pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE);
    if (allocation_refused) {
        snug_splitter_free(splitter);
        return snug_error_memory(error, 0, "the pre-tokeniser");
    }
    return SNUG_STATUS_OK;
}

void snug_splitter_free(struct snug_splitter *splitter)
{
    pcre2_match_data_free(splitter->data);
    pcre2_match_context_free(splitter->match);
    pcre2_code_free(splitter->code);
    pcre2_general_context_free(splitter->general);
    *splitter = (struct snug_splitter){0};
}

enum snug_status snug_splitter_next(const struct snug_splitter *splitter, const char *text,
                                    size_t length, size_t start, size_t *end,
                                    struct snug_error *error)
{
    /* One match looks at each character a few times (a run of spaces is walked back once), so this
     * many steps are enough, and a surprise ends in a status instead of a hang. */
    size_t steps = 10000 + 16 * (length - start < (1u << 26) ? length - start : (1u << 26));
    (void)pcre2_set_match_limit(splitter->match, (uint32_t)steps);
    int got = pcre2_match(splitter->code, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK,
                          splitter->data, splitter->match);
    if (got == PCRE2_ERROR_JIT_STACKLIMIT)
        got = pcre2_match(splitter->code, (PCRE2_SPTR)text, length, start,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, splitter->data, splitter->match);
    if (got == PCRE2_ERROR_NOMEMORY)
        return snug_error_memory(error, 0, "splitting a text");
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(splitter->data);
    if (got < 0 || bounds[1] <= start)
        return snug_error_set(error, SNUG_STATUS_LIMIT,
                              "splitting a text of %zu bytes stopped at byte %zu (PCRE2 error %d)",
                              length, start, got);
    *end = bounds[1];
    return SNUG_STATUS_OK;
}

enum snug_status snug_pretokenize(const char *pattern_name, const char *text, size_t length,
                                  const struct snug_allocator *allocator, snug_chunk_fn *chunk,
                                  void *context, struct snug_error *error)
{
    int pattern = 0;
    while (pattern < SNUG_PATTERN_COUNT && strcmp(pattern_name, patterns[pattern].name) != 0)
        pattern++;
    if (pattern == SNUG_PATTERN_COUNT)
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED, "unknown pre-tokeniser \"%s\"",
                              pattern_name);
    if (length > SNUG_MAX_ENCODE_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "a text of %zu bytes (at most %u)", length,
                              SNUG_MAX_ENCODE_BYTES);
    if (!snug_utf8_valid(text, length))
        return snug_error_set(error, SNUG_STATUS_FORMAT, "the text is not valid UTF-8");
    struct snug_splitter splitter;
    enum snug_status status =
        snug_splitter_init(&splitter, (enum snug_pattern)pattern, allocator, error);
    if (status != SNUG_STATUS_OK)
        return status;
    for (size_t start = 0, end = 0; start < length; start = end) {
        status = snug_splitter_next(&splitter, text, length, start, &end, error);
        if (status != SNUG_STATUS_OK)
            break;
        chunk(context, start, end - start);
    }
    snug_splitter_free(&splitter);
    return status;
}
