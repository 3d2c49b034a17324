/* Allocators are passed in, so that a sweep can fail every allocation in turn.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_ALLOC_H
#define SNUG_BASE_ALLOC_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* All three take the context first. resize(ctx, NULL, n) allocates; release(ctx, NULL) does
 * nothing. allocate and resize return NULL when refused. Memory is aligned to 16 bytes.
 * Implementations must be safe to call from several threads. */
struct snug_allocator {
    void *(*allocate)(void *context, size_t bytes);
    void *(*resize)(void *context, void *memory, size_t bytes);
    void (*release)(void *context, void *memory);
    void *context;
};

/* malloc, realloc, free. Static; never freed. */
const struct snug_allocator *snug_allocator_heap(void);

/* Between enter and leave nothing should be allocated (a model's steps): what the heap's allocator
 * is asked for all the same is given, and counted. Any thread. */
void snug_alloc_quiet_enter(void);
void snug_alloc_quiet_leave(void);
uint64_t snug_alloc_quiet_requests(void); /* so far */
/* Bytes of the heap's blocks that are in use now, as the C library counts them (libraries that call
 * malloc themselves are not in it). */
uint64_t snug_alloc_heap_bytes(void);

/* The allocator that library hooks without a context argument (jansson) use: process-wide, set once
 * before the first use; the heap until then. */
void snug_allocator_set_global(const struct snug_allocator *allocator);
const struct snug_allocator *snug_allocator_global(void);

/* NULL when refused or when count * size overflows; zero bytes give a unique pointer.
 * snug_alloc does not clear, snug_calloc does. */
void *snug_alloc(const struct snug_allocator *allocator, size_t bytes);
void *snug_alloc_array(const struct snug_allocator *allocator, size_t count, size_t size);
void *snug_calloc(const struct snug_allocator *allocator, size_t count, size_t size);
void *snug_realloc_array(const struct snug_allocator *allocator, void *memory, size_t count,
                         size_t size);
void snug_free(const struct snug_allocator *allocator, void *memory);
char *snug_strdup(const struct snug_allocator *allocator, const char *text);
char *snug_strndup(const struct snug_allocator *allocator, const char *text, size_t length);

/* "out of memory: N bytes for WHAT", status MEMORY. */
enum snug_status snug_error_memory(struct snug_error *error, size_t bytes, const char *what);

/* Checked products and sums: false on overflow, *result untouched. */
static inline bool snug_mul_size(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}
static inline bool snug_add_size(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

/* An allocator that counts, and fails the n-th request (1-based; 0 = never) of its parent: for
 * tests and for `--memory-report`. Thread-safe. */
struct snug_counting_allocator {
    struct snug_allocator allocator; /* hand out &counting.allocator */
    const struct snug_allocator *parent;
    uint64_t requests; /* allocate and resize calls so far */
    uint64_t fail_at;  /* the request to refuse; 0 = none */
    uint64_t live;     /* blocks not yet released */
    bool failed;       /* the refusal has happened */
};
void snug_counting_allocator_init(struct snug_counting_allocator *counting,
                                  const struct snug_allocator *parent, uint64_t fail_at);

/* Arena: many small things of one lifetime (model, document, page), freed together.
 * Not thread-safe. The zeroed struct with an allocator set is an empty arena. */
struct snug_arena_block;
struct snug_arena {
    const struct snug_allocator *allocator;
    struct snug_arena_block *first;
    size_t used_bytes; /* handed out, with padding */
};
void snug_arena_init(struct snug_arena *arena, const struct snug_allocator *allocator);
void *snug_arena_alloc(struct snug_arena *arena,
                       size_t bytes); /* 16-byte aligned, not cleared, NULL if refused */
void *snug_arena_calloc(struct snug_arena *arena, size_t count, size_t size);
char *snug_arena_strdup(struct snug_arena *arena, const char *text);
char *snug_arena_strndup(struct snug_arena *arena, const char *text, size_t length);
char *snug_arena_printf(struct snug_arena *arena, const char *format, ...) SNUG_PRINTF(2, 3);
void snug_arena_free(struct snug_arena *arena); /* frees all; the arena is empty and usable again */

#endif
