/* The tokenizer's tables: byte symbols, token bytes -> id, pair of ids -> merge.
 * Open addressing with linear probing, at most half full: 16 bytes a merge, 4 bytes a token, one
 * block each, which loads a vocabulary of 128,000 tokens and 280,000 merges in well under a second.
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

/* A power of two, at least twice `count`. */
static size_t table_size(size_t count)
{
    size_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return size;
}

enum snug_status snug_vocabulary_reserve(struct snug_tokenizer *tokenizer, size_t tokens,
                                         struct snug_error *error)
{
    size_t size = table_size(tokens);
    tokenizer->slots = snug_calloc(tokenizer->allocator, size, sizeof(*tokenizer->slots));
    if (!tokenizer->slots)
        return snug_error_memory(error, size * sizeof(*tokenizer->slots), "the vocabulary");
    tokenizer->slot_mask = size - 1;
    return SNUG_STATUS_OK;
}

/* The slot that holds these bytes, or the empty one where they belong. */
static uint32_t *vocabulary_slot(const struct snug_tokenizer *tokenizer, const unsigned char *bytes,
                                 size_t length)
{
    size_t at = hash_bytes(bytes, length) & tokenizer->slot_mask;
    for (;; at = (at + 1) & tokenizer->slot_mask) {
        uint32_t slot = tokenizer->slots[at];
        if (slot == 0)
            return &tokenizer->slots[at];
        uint32_t start = tokenizer->offsets[slot - 1];
        if (tokenizer->offsets[slot] - start == length &&
            memcmp(tokenizer->bytes + start, bytes, length) == 0)
            return &tokenizer->slots[at];
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
    size_t size = table_size(merges);
    tokenizer->merges = snug_alloc_array(tokenizer->allocator, size, sizeof(*tokenizer->merges));
    if (!tokenizer->merges)
        return snug_error_memory(error, size * sizeof(*tokenizer->merges), "the merges");
    for (size_t i = 0; i < size; i++)
        tokenizer->merges[i].left = -1;
    tokenizer->merge_mask = size - 1;
    return SNUG_STATUS_OK;
}

static struct snug_merge *merge_slot(const struct snug_tokenizer *tokenizer, int32_t left,
                                     int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = mix(key) & tokenizer->merge_mask;
    for (;; at = (at + 1) & tokenizer->merge_mask) {
        struct snug_merge *merge = &tokenizer->merges[at];
        if (merge->left < 0 || (merge->left == left && merge->right == right))
            return merge;
    }
}

const struct snug_merge *snug_merge_find(const struct snug_tokenizer *tokenizer, int32_t left,
                                         int32_t right)
{
    const struct snug_merge *merge = merge_slot(tokenizer, left, right);
    return merge->left < 0 ? NULL : merge;
}

void snug_merge_insert(struct snug_tokenizer *tokenizer, int32_t left, int32_t right, int32_t rank,
                       int32_t id)
{
    *merge_slot(tokenizer, left, right) =
        (struct snug_merge){.left = left, .right = right, .rank = rank, .id = id};
}
