/* Search for added tokens: leftmost, then longest, left to right, none overlapping.
 *
 * The patterns lie sorted by bytes. From a place in the text the range of patterns that still agree
 * is narrowed byte by byte, which is a walk down their trie without storing it. Most places end at
 * the first byte; the longest walk is the longest pattern (at most SNUG_MAX_ADDED_TOKEN_BYTES). A
 * hit that is refused (a control token in untrusted text, no single word) is passed over as a
 * whole, as the reference does. Source: Hugging Face tokenizers, added_vocabulary.rs.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_content(const void *a, const void *b)
{
    const struct snug_added_token *x = a, *y = b;
    int order = memcmp(x->content, y->content, x->length < y->length ? x->length : y->length);
    if (order != 0)
        return order;
    return (x->length > y->length) - (x->length < y->length);
}

bool snug_added_set_init(struct snug_added_set *set, struct snug_added_token *tokens, size_t count,
                         size_t *duplicate)
{
    *set = (struct snug_added_set){.tokens = tokens, .count = count};
    if (count == 0)
        return true;
    qsort(tokens, count, sizeof(*tokens), compare_content);
    for (size_t i = 1; i < count; i++) {
        if (compare_content(&tokens[i - 1], &tokens[i]) == 0) {
            *duplicate = i;
            return false;
        }
    }
    size_t at = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (at < count && (unsigned char)tokens[at].content[0] < b)
            at++;
        set->first[b] = (uint32_t)at;
    }
    return true;
}

const struct snug_added_token *snug_added_set_find(const struct snug_added_set *set,
                                                   const char *content, size_t length)
{
    if (set->count == 0 || length == 0)
        return NULL;
    unsigned first = (unsigned char)content[0];
    size_t low = set->first[first], count = set->first[first + 1] - low;
    struct snug_added_token key = {.content = content, .length = length};
    return count == 0
               ? NULL
               : bsearch(&key, set->tokens + low, count, sizeof(*set->tokens), compare_content);
}

/* First index in [low, high) whose byte at depth is >= byte. All of them are longer than depth. */
static size_t lower_bound(const struct snug_added_set *set, size_t low, size_t high, size_t depth,
                          unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->tokens[middle].content[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest pattern that text[0..length), length >= 1, begins with; NULL if none. */
static const struct snug_added_token *longest(const struct snug_added_set *set, const char *text,
                                              size_t length)
{
    unsigned first = (unsigned char)text[0];
    size_t low = set->first[first], high = set->first[first + 1];
    const struct snug_added_token *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        if (set->tokens[low].length == depth)
            best = &set->tokens[low++]; /* the shortest comes first */
        if (depth == length)
            break;
        unsigned byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return best;
}

bool snug_is_white_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* \w of the reference's engine: Alphabetic, marks, decimal numbers, connectors, the two joiners. */
static bool is_word(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* circled and squared letters are Alphabetic, but symbols by category */
        return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
               (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
               (c >= 0x1F170 && c <= 0x1F189);
    }
}

/* The code point that ends at text[end), end >= 1, and where it starts. text is valid UTF-8. */
static uint32_t code_point_before(const char *text, size_t end, size_t *start)
{
    size_t at = end - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    uint32_t code_point = 0;
    (void)snug_utf8_decode((const unsigned char *)text + at, end - at, &code_point);
    *start = at;
    return code_point;
}

static uint32_t code_point_at(const char *text, size_t length, size_t at, size_t *end)
{
    uint32_t code_point = 0;
    int bytes = snug_utf8_decode((const unsigned char *)text + at, length - at, &code_point);
    *end = at + (bytes > 0 ? (size_t)bytes : 1);
    return code_point;
}

static bool refused(const struct snug_added_scan *scan, const struct snug_added_token *token,
                    size_t start, size_t end)
{
    const struct snug_added_filter *filter = scan->filter;
    if (filter->mode == SNUG_ADDED_TOKENS_NONE ||
        (filter->mode == SNUG_ADDED_TOKENS_NOT_SPECIAL && token->special))
        return true;
    for (size_t i = 0; i < filter->banned_count; i++)
        if (filter->banned[i] == token->id)
            return true;
    if (!token->single_word)
        return false;
    size_t ignored;
    return (start > 0 && is_word(code_point_before(scan->text, start, &ignored))) ||
           (end < scan->length && is_word(code_point_at(scan->text, scan->length, end, &ignored)));
}

bool snug_added_scan_next(struct snug_added_scan *scan, struct snug_added_hit *hit)
{
    const struct snug_added_set *set = scan->set;
    while (set->count > 0 && scan->position < scan->length) {
        size_t start = scan->position;
        const struct snug_added_token *token =
            longest(set, scan->text + start, scan->length - start);
        if (!token) {
            scan->position++;
            continue;
        }
        size_t end = start + token->length, other;
        scan->position = end;
        if (refused(scan, token, start, end))
            continue;
        while (token->lstrip && start > scan->plain_start &&
               snug_is_white_space(code_point_before(scan->text, start, &other)))
            start = other;
        while (token->rstrip && end < scan->length &&
               snug_is_white_space(code_point_at(scan->text, scan->length, end, &other)))
            end = other;
        *hit = (struct snug_added_hit){.start = start, .end = end, .id = token->id};
        scan->plain_start = end;
        return true;
    }
    scan->position = scan->length;
    return false;
}
