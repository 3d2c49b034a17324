/* Arena: blocks of doubling size in a list, the newest first; small requests are cut off the front
 * block, large ones get a block of their own behind it, so that the front block's rest is not lost.
 * Invariant: fill_bytes <= capacity_bytes in every block, both multiples of 16.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define ALIGNMENT 16u
#define FIRST_BLOCK_BYTES ((size_t)4096 - 64) /* with its header and malloc's, one page */
#define LAST_BLOCK_BYTES ((size_t)1 << 20)

struct snug_arena_block {
    struct snug_arena_block *next;
    size_t capacity_bytes, fill_bytes;
    _Alignas(ALIGNMENT) unsigned char data[];
};

void snug_arena_init(struct snug_arena *arena, const struct snug_allocator *allocator)
{
    *arena = (struct snug_arena){.allocator = allocator};
}

static struct snug_arena_block *block_create(struct snug_arena *arena, size_t capacity_bytes)
{
    size_t bytes = 0;

    if (!snug_add_size(capacity_bytes, sizeof(struct snug_arena_block), &bytes))
        return NULL;
    struct snug_arena_block *block = snug_alloc(arena->allocator, bytes);
    if (block) {
        block->next = NULL;
        block->capacity_bytes = capacity_bytes;
        block->fill_bytes = 0;
    }
    return block;
}

/* A block with room for bytes (a multiple of 16), linked in; NULL if refused. */
static struct snug_arena_block *block_for(struct snug_arena *arena, size_t bytes)
{
    struct snug_arena_block *front = arena->first;

    if (front && bytes <= front->capacity_bytes - front->fill_bytes)
        return front;

    size_t next_bytes = FIRST_BLOCK_BYTES;
    if (front) {
        next_bytes = front->capacity_bytes;
        if (next_bytes < LAST_BLOCK_BYTES)
            next_bytes *= 2;
        if (next_bytes > LAST_BLOCK_BYTES)
            next_bytes = LAST_BLOCK_BYTES;
    }
    bool oversize = bytes > next_bytes / 2;
    struct snug_arena_block *block = block_create(arena, oversize ? bytes : next_bytes);
    if (!block)
        return NULL;
    if (oversize && front) { /* full from the start: keep the front block in front */
        block->next = front->next;
        front->next = block;
    } else {
        block->next = front;
        arena->first = block;
    }
    return block;
}

void *snug_arena_alloc(struct snug_arena *arena, size_t bytes)
{
    size_t padded = 0;

    /* zero bytes still give a pointer of their own */
    if (!snug_add_size(bytes ? bytes : 1, ALIGNMENT - 1, &padded))
        return NULL;
    padded &= ~(size_t)(ALIGNMENT - 1);
    struct snug_arena_block *block = block_for(arena, padded);
    if (!block)
        return NULL;
    void *memory = block->data + block->fill_bytes;
    block->fill_bytes += padded;
    arena->used_bytes += padded;
    return memory;
}

void *snug_arena_calloc(struct snug_arena *arena, size_t count, size_t size)
{
    size_t bytes = 0;
    void *memory = snug_mul_size(count, size, &bytes) ? snug_arena_alloc(arena, bytes) : NULL;

    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

char *snug_arena_strndup(struct snug_arena *arena, const char *text, size_t length)
{
    size_t bytes = 0;
    char *copy = snug_add_size(length, 1, &bytes) ? snug_arena_alloc(arena, bytes) : NULL;

    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *snug_arena_strdup(struct snug_arena *arena, const char *text)
{
    return snug_arena_strndup(arena, text, strlen(text));
}

char *snug_arena_printf(struct snug_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    char *out = NULL;

    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length >= 0)
        out = snug_arena_alloc(arena, (size_t)length + 1);
    if (out)
        vsnprintf(out, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return out;
}

void snug_arena_free(struct snug_arena *arena)
{
    struct snug_arena_block *block = arena->first;

    while (block) {
        struct snug_arena_block *next = block->next;
        snug_free(arena->allocator, block);
        block = next;
    }
    arena->first = NULL;
    arena->used_bytes = 0;
}
