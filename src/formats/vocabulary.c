/* The tokenizer's tables: byte symbols, token bytes -> id, pair of ids -> merge.
 * Open addressing with linear probing, at most half full. A slot is four bytes, the place of its
 * key in the list that is there anyway: 8 bytes a token, 20 a merge, one block each.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

/* Bytes 21-7E, A1-AC, AE-FF stand for themselves; the other 68, ascending, for U+0100, U+0101, ...
 */
uint32_t snug_byte_symbol(unsigned char byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0)
        return 0x121u + (byte - 0x7Fu);
    if (byte == 0xAD)
        return 0x143u;
    return byte;
}

static int symbol_byte(uint32_t code_point)
{
    if (code_point >= 0x100) {
        if (code_point <= 0x120)
            return (int)(code_point - 0x100);
        if (code_point <= 0x142)
            return (int)(code_point - 0x121 + 0x7F);
        return code_point == 0x143 ? 0xAD : -1;
    }
    return snug_byte_symbol((unsigned char)code_point) == code_point ? (int)code_point : -1;
}

size_t snug_byte_level_decode(const char *text, size_t length, unsigned char *out)
{
    const unsigned char *in = (const unsigned char *)text;
    size_t count = 0;
    for (size_t i = 0; i < length;) {
        uint32_t code_point = in[i];
        int bytes = 1;
        if (code_point >= 0x80) {
            bytes = snug_utf8_decode(in + i, length - i, &code_point);
            if (bytes <= 0)
                return SIZE_MAX;
        }
        int byte = symbol_byte(code_point);
        if (byte < 0)
            return SIZE_MAX;
        if (out)
            out[count] = (unsigned char)byte;
        count++;
        i += (size_t)bytes;
    }
    return count;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
}

static uint64_t hash_bytes(const unsigned char *bytes, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u ^ length;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word);
        bytes += 8;
        length -= 8;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < length; i++)
        tail = tail << 8 | bytes[i];
    return mix(hash ^ tail);
}

/* Slots for `count` keys, more than half of them empty for good. */
static enum snug_status reserve(struct snug_index *index, size_t count,
                                const struct snug_allocator *allocator, const char *what,
                                struct snug_error *error)
{
    SNUG_ASSERT(count <= SNUG_MAX_VOCABULARY);
    size_t slots = 2 * count + 15;
    index->slots = snug_calloc(allocator, slots, sizeof(*index->slots));
    if (!index->slots)
        return snug_error_memory(error, slots * sizeof(*index->slots), what);
    index->count = (uint32_t)slots;
    return SNUG_STATUS_OK;
}

/* Where the search for a key begins: the hash's upper half as a fraction of the slots, which need
 * not be a power of two. */
static uint32_t first_slot(const struct snug_index *index, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * index->count >> 32);
}

static uint32_t next_slot(const struct snug_index *index, uint32_t at)
{
    return at + 1 < index->count ? at + 1 : 0;
}

enum snug_status snug_vocabulary_reserve(struct snug_tokenizer *tokenizer, size_t tokens,
                                         struct snug_error *error)
{
    return reserve(&tokenizer->tokens, tokens, tokenizer->allocator, "the vocabulary", error);
}

/* The slot that holds these bytes, or the empty one where they belong. */
static uint32_t *vocabulary_slot(const struct snug_tokenizer *tokenizer, const unsigned char *bytes,
                                 size_t length)
{
    const struct snug_index *index = &tokenizer->tokens;
    uint32_t at = first_slot(index, hash_bytes(bytes, length));
    for (;; at = next_slot(index, at)) {
        uint32_t slot = index->slots[at];
        if (slot == 0)
            return &index->slots[at];
        uint32_t start = tokenizer->offsets[slot - 1];
        if (tokenizer->offsets[slot] - start == length &&
            memcmp(tokenizer->bytes + start, bytes, length) == 0)
            return &index->slots[at];
    }
}

int32_t snug_vocabulary_find(const struct snug_tokenizer *tokenizer, const unsigned char *bytes,
                             size_t length)
{
    return (int32_t)*vocabulary_slot(tokenizer, bytes, length) - 1;
}

bool snug_vocabulary_insert(struct snug_tokenizer *tokenizer, int32_t id)
{
    uint32_t start = tokenizer->offsets[id];
    uint32_t *slot =
        vocabulary_slot(tokenizer, tokenizer->bytes + start, tokenizer->offsets[id + 1] - start);
    if (*slot != 0)
        return false;
    *slot = (uint32_t)id + 1;
    return true;
}

enum snug_status snug_merges_reserve(struct snug_tokenizer *tokenizer, size_t merges,
                                     struct snug_error *error)
{
    tokenizer->merges = snug_alloc_array(tokenizer->allocator, merges, sizeof(*tokenizer->merges));
    if (!tokenizer->merges)
        return snug_error_memory(error, merges * sizeof(*tokenizer->merges), "the merges");
    tokenizer->merge_count = merges;
    return reserve(&tokenizer->merge_pairs, merges, tokenizer->allocator, "the merges", error);
}

static uint32_t *merge_slot(const struct snug_tokenizer *tokenizer, int32_t left, int32_t right)
{
    const struct snug_index *index = &tokenizer->merge_pairs;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t at = first_slot(index, mix(key));
    for (;; at = next_slot(index, at)) {
        uint32_t slot = index->slots[at];
        if (slot == 0 || (tokenizer->merges[slot - 1].left == left &&
                          tokenizer->merges[slot - 1].right == right))
            return &index->slots[at];
    }
}

const struct snug_merge *snug_merge_find(const struct snug_tokenizer *tokenizer, int32_t left,
                                         int32_t right)
{
    uint32_t slot = *merge_slot(tokenizer, left, right);
    return slot == 0 ? NULL : &tokenizer->merges[slot - 1];
}

void snug_merge_insert(struct snug_tokenizer *tokenizer, size_t rank,
                       const struct snug_merge *merge)
{
    SNUG_ASSERT(rank < tokenizer->merge_count);
    tokenizer->merges[rank] = *merge;
    *merge_slot(tokenizer, merge->left, merge->right) = (uint32_t)rank + 1;
}
