/* Byte-pair encoding of one chunk: a heap of candidate pairs over a linked list of symbols, so that
 * a chunk of a hundred thousand letters costs n log n, not n^2.
 *
 * Repeat: of all neighbouring pairs that have a merge, take the lowest rank (ties: the leftmost)
 * and put the merged token in their place. A candidate whose symbols have changed since it was
 * pushed is stale and is dropped when it comes up. Source: Sennrich et al. 2016; the order of
 * merges as in Hugging Face tokenizers.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

static bool less(const struct snug_bpe_candidate *a, const struct snug_bpe_candidate *b)
{
    return a->key < b->key;
}

static void heap_push(struct snug_bpe_work *work, struct snug_bpe_candidate candidate)
{
    SNUG_ASSERT(work->heap_count < work->heap_capacity);
    size_t at = work->heap_count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!less(&candidate, &work->heap[parent]))
            break;
        work->heap[at] = work->heap[parent];
        at = parent;
    }
    work->heap[at] = candidate;
}

static struct snug_bpe_candidate heap_pop(struct snug_bpe_work *work)
{
    struct snug_bpe_candidate top = work->heap[0];
    size_t count = --work->heap_count;
    if (count == 0)
        return top;
    struct snug_bpe_candidate last = work->heap[count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && less(&work->heap[child + 1], &work->heap[child]))
            child++;
        if (!less(&work->heap[child], &last))
            break;
        work->heap[at] = work->heap[child];
        at = child;
    }
    work->heap[at] = last;
    return top;
}

static void push_pair(struct snug_tokenizer *tokenizer, int32_t position)
{
    struct snug_bpe_work *work = &tokenizer->bpe_work;
    const struct snug_bpe_symbol *symbol = &work->symbols[position];
    if (symbol->next < 0)
        return;
    int32_t right = work->symbols[symbol->next].id;
    const struct snug_merge *merge = snug_merge_find(tokenizer, symbol->id, right);
    if (!merge)
        return;
    uint64_t rank = (uint64_t)(merge - tokenizer->merges);
    uint64_t key = rank << 32 | (uint32_t)position;
    heap_push(work, (struct snug_bpe_candidate){
                        .key = key, .left = symbol->id, .right = right, .id = merge->id});
}

/* Room for n symbols. Every merge takes one candidate off the heap and puts at most two on, so it
 * never holds more than the n - 1 first ones and n - 1 later ones. */
static enum snug_status reserve(struct snug_tokenizer *tokenizer, size_t n,
                                struct snug_error *error)
{
    struct snug_bpe_work *work = &tokenizer->bpe_work;
    if (n > work->symbol_capacity) {
        size_t capacity = n < 64 ? 64 : n;
        void *grown = snug_realloc_array(tokenizer->allocator, work->symbols, capacity,
                                         sizeof(*work->symbols));
        if (!grown)
            return snug_error_memory(error, capacity * sizeof(*work->symbols), "symbols of a text");
        work->symbols = grown;
        work->symbol_capacity = capacity;
    }
    if (2 * n > work->heap_capacity) {
        size_t capacity = 2 * (n < 64 ? 64 : n);
        void *grown =
            snug_realloc_array(tokenizer->allocator, work->heap, capacity, sizeof(*work->heap));
        if (!grown)
            return snug_error_memory(error, capacity * sizeof(*work->heap), "merges of a text");
        work->heap = grown;
        work->heap_capacity = capacity;
    }
    return SNUG_STATUS_OK;
}

static void merge_all(struct snug_tokenizer *tokenizer)
{
    struct snug_bpe_work *work = &tokenizer->bpe_work;
    while (work->heap_count > 0) {
        struct snug_bpe_candidate top = heap_pop(work);
        int32_t position = (int32_t)(uint32_t)top.key;
        struct snug_bpe_symbol *left = &work->symbols[position];
        if (left->id != top.left || left->next < 0)
            continue;
        struct snug_bpe_symbol *right = &work->symbols[left->next];
        if (right->id != top.right)
            continue;
        left->id = top.id;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0)
            work->symbols[left->next].previous = position;
        if (left->previous >= 0)
            push_pair(tokenizer, left->previous);
        push_pair(tokenizer, position);
    }
}

enum snug_status snug_bpe_encode(struct snug_tokenizer *tokenizer, const unsigned char *chunk,
                                 size_t length, struct snug_ids *ids, struct snug_error *error)
{
    SNUG_ASSERT(length >= 1 && length <= INT32_MAX / 4);
    if (length == 1)
        return snug_ids_append(ids, tokenizer->byte_ids[chunk[0]], 1, error);
    if (tokenizer->ignore_merges) {
        int32_t id = snug_vocabulary_find(tokenizer, chunk, length);
        if (id >= 0)
            return snug_ids_append(ids, id, 1, error);
    }
    enum snug_status status = reserve(tokenizer, length, error);
    if (status != SNUG_STATUS_OK)
        return status;
    struct snug_bpe_work *work = &tokenizer->bpe_work;
    int32_t count = (int32_t)length;
    for (int32_t i = 0; i < count; i++)
        work->symbols[i] = (struct snug_bpe_symbol){.id = tokenizer->byte_ids[chunk[i]],
                                                    .previous = i - 1,
                                                    .next = i + 1 < count ? i + 1 : -1};
    work->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        push_pair(tokenizer, i);
    merge_all(tokenizer);
    for (int32_t i = 0; i >= 0; i = work->symbols[i].next) {
        status = snug_ids_append(ids, work->symbols[i].id, 1, error);
        if (status != SNUG_STATUS_OK)
            return status;
    }
    return SNUG_STATUS_OK;
}

void snug_bpe_work_free(struct snug_bpe_work *work, const struct snug_allocator *allocator)
{
    snug_free(allocator, work->symbols);
    snug_free(allocator, work->heap);
    *work = (struct snug_bpe_work){0};
}
