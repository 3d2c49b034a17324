/* The heap behind the allocator interface, the process-wide allocator, and the counting one.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(_Alignof(max_align_t) >= 16, "malloc must align to 16 bytes");

/* ---- heap ---- */

static int quiet;               /* how many have entered */
static uint64_t quiet_requests; /* made meanwhile */
static uint64_t heap_bytes;

void snug_alloc_quiet_enter(void)
{
    __atomic_add_fetch(&quiet, 1, __ATOMIC_RELAXED);
}

void snug_alloc_quiet_leave(void)
{
    __atomic_sub_fetch(&quiet, 1, __ATOMIC_RELAXED);
}

uint64_t snug_alloc_quiet_requests(void)
{
    return __atomic_load_n(&quiet_requests, __ATOMIC_RELAXED);
}

uint64_t snug_alloc_heap_bytes(void)
{
    return __atomic_load_n(&heap_bytes, __ATOMIC_RELAXED);
}

static void count_request(void)
{
    if (__atomic_load_n(&quiet, __ATOMIC_RELAXED))
        __atomic_add_fetch(&quiet_requests, 1, __ATOMIC_RELAXED);
}

static void *count_block(void *memory)
{
    __atomic_add_fetch(&heap_bytes, malloc_usable_size(memory), __ATOMIC_RELAXED);
    return memory;
}

static void uncount_block(void *memory)
{
    __atomic_sub_fetch(&heap_bytes, malloc_usable_size(memory), __ATOMIC_RELAXED);
}

/* Zero bytes are asked for as one, so that NULL always means "refused". */
static void *heap_allocate(void *context, size_t bytes)
{
    (void)context;
    count_request();
    return count_block(malloc(bytes ? bytes : 1));
}

static void *heap_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    count_request();
    size_t before = malloc_usable_size(memory);
    void *grown = realloc(memory, bytes ? bytes : 1);
    if (grown)
        __atomic_sub_fetch(&heap_bytes, before, __ATOMIC_RELAXED);
    return grown ? count_block(grown) : NULL;
}

static void heap_release(void *context, void *memory)
{
    (void)context;
    uncount_block(memory);
    free(memory);
}

static const struct snug_allocator heap = {heap_allocate, heap_resize, heap_release, NULL};

const struct snug_allocator *snug_allocator_heap(void)
{
    return &heap;
}

/* Atomic so that a thread that only reads it never races with the start of a test. */
static const struct snug_allocator *global_allocator = &heap;

void snug_allocator_set_global(const struct snug_allocator *allocator)
{
    __atomic_store_n(&global_allocator, allocator ? allocator : &heap, __ATOMIC_RELEASE);
}

const struct snug_allocator *snug_allocator_global(void)
{
    return __atomic_load_n(&global_allocator, __ATOMIC_ACQUIRE);
}

/* ---- calls through an allocator ---- */

void *snug_alloc(const struct snug_allocator *allocator, size_t bytes)
{
    return allocator->allocate(allocator->context, bytes ? bytes : 1);
}

void *snug_alloc_array(const struct snug_allocator *allocator, size_t count, size_t size)
{
    size_t bytes = 0;

    return snug_mul_size(count, size, &bytes) ? snug_alloc(allocator, bytes) : NULL;
}

void *snug_calloc(const struct snug_allocator *allocator, size_t count, size_t size)
{
    void *memory = snug_alloc_array(allocator, count, size);

    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

void *snug_realloc_array(const struct snug_allocator *allocator, void *memory, size_t count,
                         size_t size)
{
    size_t bytes = 0;

    if (!snug_mul_size(count, size, &bytes))
        return NULL;
    return allocator->resize(allocator->context, memory, bytes ? bytes : 1);
}

void snug_free(const struct snug_allocator *allocator, void *memory)
{
    if (memory)
        allocator->release(allocator->context, memory);
}

char *snug_strndup(const struct snug_allocator *allocator, const char *text, size_t length)
{
    size_t bytes = 0;
    char *copy = snug_add_size(length, 1, &bytes) ? snug_alloc(allocator, bytes) : NULL;

    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *snug_strdup(const struct snug_allocator *allocator, const char *text)
{
    return snug_strndup(allocator, text, strlen(text));
}

enum snug_status snug_error_memory(struct snug_error *error, size_t bytes, const char *what)
{
    return snug_error_set(error, SNUG_STATUS_MEMORY, "out of memory: %zu bytes for %s", bytes,
                          what);
}

/* ---- counting ---- */

/* True if this request is the one to refuse. */
static bool counting_refuses(struct snug_counting_allocator *counting)
{
    uint64_t request = __atomic_add_fetch(&counting->requests, 1, __ATOMIC_RELAXED);

    if (request != counting->fail_at)
        return false;
    __atomic_store_n(&counting->failed, true, __ATOMIC_RELAXED);
    return true;
}

static void *counting_allocate(void *context, size_t bytes)
{
    struct snug_counting_allocator *counting = context;

    if (counting_refuses(counting))
        return NULL;
    void *memory = counting->parent->allocate(counting->parent->context, bytes);
    if (memory)
        __atomic_add_fetch(&counting->live, 1, __ATOMIC_RELAXED);
    return memory;
}

static void *counting_resize(void *context, void *memory, size_t bytes)
{
    struct snug_counting_allocator *counting = context;

    if (counting_refuses(counting))
        return NULL;
    void *resized = counting->parent->resize(counting->parent->context, memory, bytes);
    if (resized && !memory)
        __atomic_add_fetch(&counting->live, 1, __ATOMIC_RELAXED);
    return resized;
}

static void counting_release(void *context, void *memory)
{
    struct snug_counting_allocator *counting = context;

    if (!memory)
        return;
    counting->parent->release(counting->parent->context, memory);
    uint64_t before = __atomic_fetch_sub(&counting->live, 1, __ATOMIC_RELAXED);
    SNUG_ASSERT(before > 0);
}

void snug_counting_allocator_init(struct snug_counting_allocator *counting,
                                  const struct snug_allocator *parent, uint64_t fail_at)
{
    *counting = (struct snug_counting_allocator){
        .allocator = {counting_allocate, counting_resize, counting_release, counting},
        .parent = parent,
        .fail_at = fail_at,
    };
}
