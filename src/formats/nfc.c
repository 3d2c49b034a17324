/* NFC: canonical decomposition, ordering of combining marks, composition.
 * utf8proc knows the characters and composes; the ordering is ours, because utf8proc's own
 * exchanges neighbours and takes minutes for a text of nothing but marks in the wrong order.
 * Source: Unicode Standard Annex 15.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

/* No code point below U+0300 is changed by NFC, nor composes with another below it. */
static bool plainly_nfc(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0xCC)
            return false;
    return true;
}

static enum snug_status reserve(void **memory, size_t *capacity, size_t count, size_t size,
                                const struct snug_allocator *allocator, struct snug_error *error)
{
    if (count <= *capacity)
        return SNUG_STATUS_OK;
    size_t wanted = count < 256 ? 256 : count + count / 2;
    void *grown = snug_realloc_array(allocator, *memory, wanted, size);
    if (!grown)
        return snug_error_memory(error, wanted * size, "normalising a text");
    *memory = grown;
    *capacity = wanted;
    return SNUG_STATUS_OK;
}

static enum snug_status reserve_points(struct snug_nfc_work *work, size_t count,
                                       const struct snug_allocator *allocator,
                                       struct snug_error *error)
{
    void *memory = work->points;
    enum snug_status status =
        reserve(&memory, &work->capacity, count, sizeof(*work->points), allocator, error);
    work->points = memory;
    return status;
}

#define DECOMPOSE_OPTIONS (UTF8PROC_STABLE | UTF8PROC_DECOMPOSE)
#define MAX_DECOMPOSITION 8 /* canonical ones have at most 4 code points */

static enum snug_status decompose(struct snug_nfc_work *work,
                                  const struct snug_allocator *allocator, const char *text,
                                  size_t length, size_t *count, struct snug_error *error)
{
    *count = 0;
    for (size_t i = 0; i < length;) {
        enum snug_status status =
            reserve_points(work, *count + MAX_DECOMPOSITION, allocator, error);
        if (status != SNUG_STATUS_OK)
            return status;
        uint32_t code_point = 0;
        int bytes = snug_utf8_decode((const unsigned char *)text + i, length - i, &code_point);
        SNUG_ASSERT(bytes > 0); /* the caller has checked the text */
        i += (size_t)bytes;
        if (code_point < 0xC0) { /* nothing there decomposes */
            work->points[(*count)++] = (utf8proc_int32_t)code_point;
            continue;
        }
        int boundary = 0;
        utf8proc_ssize_t got =
            utf8proc_decompose_char((utf8proc_int32_t)code_point, work->points + *count,
                                    MAX_DECOMPOSITION, DECOMPOSE_OPTIONS, &boundary);
        if (got < 0 || got > MAX_DECOMPOSITION)
            return snug_error_set(error, SNUG_STATUS_FORMAT, "cannot normalise U+%04X",
                                  (unsigned)code_point);
        *count += (size_t)got;
    }
    return SNUG_STATUS_OK;
}

static unsigned combining_class(utf8proc_int32_t code_point)
{
    if (code_point < 0x300)
        return 0;
    return (unsigned)utf8proc_get_property(code_point)->combining_class & 0xFFu;
}

static void sort_short(utf8proc_int32_t *run, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        utf8proc_int32_t point = run[i];
        unsigned class = combining_class(point);
        size_t at = i;
        for (; at > 0 && combining_class(run[at - 1]) > class; at--)
            run[at] = run[at - 1];
        run[at] = point;
    }
}

/* Counting sort by class, stable: linear however long the run. */
static enum snug_status sort_long(struct snug_nfc_work *work,
                                  const struct snug_allocator *allocator, utf8proc_int32_t *run,
                                  size_t count, struct snug_error *error)
{
    void *memory = work->run;
    enum snug_status status =
        reserve(&memory, &work->run_capacity, count, sizeof(*work->run), allocator, error);
    work->run = memory;
    if (status != SNUG_STATUS_OK)
        return status;
    size_t start[257] = {0};
    for (size_t i = 0; i < count; i++)
        start[combining_class(run[i]) + 1]++;
    for (size_t c = 1; c < 257; c++)
        start[c] += start[c - 1];
    for (size_t i = 0; i < count; i++)
        work->run[start[combining_class(run[i])]++] = run[i];
    memcpy(run, work->run, count * sizeof(*run));
    return SNUG_STATUS_OK;
}

static enum snug_status order(struct snug_nfc_work *work, const struct snug_allocator *allocator,
                              size_t count, struct snug_error *error)
{
    for (size_t i = 0; i < count;) {
        if (combining_class(work->points[i]) == 0) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < count && combining_class(work->points[end]) != 0)
            end++;
        if (end - i <= 32) {
            sort_short(work->points + i, end - i);
        } else {
            enum snug_status status = sort_long(work, allocator, work->points + i, end - i, error);
            if (status != SNUG_STATUS_OK)
                return status;
        }
        i = end;
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_nfc(struct snug_nfc_work *work, const struct snug_allocator *allocator,
                          const char *text, size_t length, const char **out, size_t *out_length,
                          struct snug_error *error)
{
    if (plainly_nfc(text, length)) {
        *out = text;
        *out_length = length;
        return SNUG_STATUS_OK;
    }
    size_t count;
    enum snug_status status = decompose(work, allocator, text, length, &count, error);
    if (status == SNUG_STATUS_OK)
        status = order(work, allocator, count, error);
    if (status != SNUG_STATUS_OK)
        return status;
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(work->points, (utf8proc_ssize_t)count,
                                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (composed < 0)
        return snug_error_set(error, SNUG_STATUS_FORMAT, "cannot normalise a text: %s",
                              utf8proc_errmsg(composed));
    void *memory = work->text;
    status = reserve(&memory, &work->text_capacity, (size_t)composed * 4, 1, allocator, error);
    work->text = memory;
    if (status != SNUG_STATUS_OK)
        return status;
    size_t used = 0;
    for (utf8proc_ssize_t i = 0; i < composed; i++)
        used +=
            (size_t)snug_utf8_encode((uint32_t)work->points[i], (unsigned char *)work->text + used);
    *out = work->text;
    *out_length = used;
    return SNUG_STATUS_OK;
}

void snug_nfc_work_free(struct snug_nfc_work *work, const struct snug_allocator *allocator)
{
    snug_free(allocator, work->points);
    snug_free(allocator, work->run);
    snug_free(allocator, work->text);
    *work = (struct snug_nfc_work){0};
}
