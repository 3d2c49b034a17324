/* Writing safetensors (the format: safetensors.c). What is written here the reader takes: the same
 * limits, no holes, no name twice.
 *
 *     u64 N | {"__metadata__":{...},"a":{...},...}, padded with spaces | data of a, b, ...
 *
 * 8 + N is a multiple of SNUG_SAFETENSORS_ALIGNMENT, so that a mapping of the file is aligned.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors_write.h"

#include "base/json.h"

#include <stdlib.h>

#define LENGTH_BYTES 8
#define METADATA_KEY "__metadata__"

struct snug_safetensors_writer {
    const struct snug_allocator *allocator;
    struct snug_file_writer *file;
    uint64_t missing; /* bytes of data still to come */
    bool failed;      /* a write has failed; commit tells */
};

enum snug_status snug_tensor_spec_bytes(const struct snug_tensor_spec *tensor, uint64_t *bytes,
                                        struct snug_error *error)
{
    const struct snug_shape *shape = &tensor->shape;
    uint64_t bits = (uint64_t)snug_dtype_bits(tensor->dtype);
    if (shape->rank < 0 || shape->rank > SNUG_MAX_TENSOR_RANK)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "tensor '%s': rank %d, at most %d",
                              tensor->name, shape->rank, SNUG_MAX_TENSOR_RANK);
    bool empty = false, fits = true;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0)
            return snug_error_set(error, SNUG_STATUS_FORMAT, "tensor '%s': a dimension of %lld",
                                  tensor->name, (long long)shape->dims[i]);
        empty |= shape->dims[i] == 0;
    }
    for (int i = 0; i < shape->rank && !empty; i++)
        fits = fits && !__builtin_mul_overflow(bits, (uint64_t)shape->dims[i], &bits);
    if (!fits || bits > INT64_MAX)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "tensor '%s': its size overflows",
                              tensor->name);
    if (empty)
        bits = 0;
    if (bits % 8)
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "tensor '%s': %llu bits of type %s are no whole number of bytes",
                              tensor->name, (unsigned long long)bits,
                              snug_dtype_name(tensor->dtype));
    *bytes = bits / 8;
    return SNUG_STATUS_OK;
}

static int compare_string(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Refuses text that is not UTF-8, and text that stands there twice. `names` is sorted. */
static enum snug_status check_names(const char **names, size_t count, const char *what,
                                    struct snug_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!snug_utf8_valid(names[i], strlen(names[i])))
            return snug_error_set(error, SNUG_STATUS_FORMAT, "%s '%s' is not UTF-8", what,
                                  names[i]);
    qsort(names, count, sizeof *names, compare_string);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(names[i - 1], names[i]))
            return snug_error_set(error, SNUG_STATUS_FORMAT, "%s '%s' stands there twice", what,
                                  names[i]);
    return SNUG_STATUS_OK;
}

static enum snug_status check_tensor_names(const struct snug_tensor_spec *tensors, size_t count,
                                           const struct snug_allocator *allocator,
                                           struct snug_error *error)
{
    if (count > SNUG_MAX_TENSORS)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%zu tensors, at most %d", count,
                              SNUG_MAX_TENSORS);
    const char **names = snug_alloc_array(allocator, count, sizeof *names);
    if (!names)
        return snug_error_memory(error, count * sizeof *names, "the tensors' names");
    enum snug_status status = SNUG_STATUS_OK;
    for (size_t i = 0; i < count && !status; i++) {
        names[i] = tensors[i].name;
        if (strlen(names[i]) > SNUG_MAX_TENSOR_NAME_BYTES)
            status = snug_error_set(error, SNUG_STATUS_LIMIT,
                                    "a tensor's name has %zu bytes, at most %d", strlen(names[i]),
                                    SNUG_MAX_TENSOR_NAME_BYTES);
        else if (!strcmp(names[i], METADATA_KEY))
            status = snug_error_set(error, SNUG_STATUS_FORMAT, "a tensor cannot be called %s",
                                    METADATA_KEY);
    }
    if (!status)
        status = check_names(names, count, "tensor", error);
    snug_free(allocator, names);
    return status;
}

static enum snug_status check_metadata(const struct snug_metadata_entry *metadata, size_t count,
                                       const struct snug_allocator *allocator,
                                       struct snug_error *error)
{
    const char **keys = snug_alloc_array(allocator, count, sizeof *keys);
    if (!keys)
        return snug_error_memory(error, count * sizeof *keys, "the metadata's keys");
    enum snug_status status = SNUG_STATUS_OK;
    for (size_t i = 0; i < count && !status; i++) {
        keys[i] = metadata[i].key;
        if (!snug_utf8_valid(metadata[i].value, strlen(metadata[i].value)))
            status = snug_error_set(error, SNUG_STATUS_FORMAT, "metadata '%s' is not UTF-8",
                                    metadata[i].key);
    }
    if (!status)
        status = check_names(keys, count, "metadata key", error);
    snug_free(allocator, keys);
    return status;
}

/* Appends one entry; *offset is where its data begins and, afterwards, ends. */
static enum snug_status put_tensor(struct snug_text *header, const struct snug_tensor_spec *tensor,
                                   uint64_t *offset, struct snug_error *error)
{
    uint64_t bytes, end;
    SNUG_TRY(snug_tensor_spec_bytes(tensor, &bytes, error));
    if (__builtin_add_overflow(*offset, bytes, &end) || end > INT64_MAX)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "tensor '%s': the file's size overflows",
                              tensor->name);
    snug_json_put_string(header, tensor->name);
    snug_text_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", snug_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->shape.rank; i++)
        snug_text_printf(header, "%s%lld", i ? "," : "", (long long)tensor->shape.dims[i]);
    snug_text_printf(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*offset,
                     (unsigned long long)end);
    *offset = end;
    return SNUG_STATUS_OK;
}

/* The JSON object with its padding; *data_bytes: all tensors together. */
static enum snug_status make_header(struct snug_text *header,
                                    const struct snug_tensor_spec *tensors, size_t count,
                                    const struct snug_metadata_entry *metadata,
                                    size_t metadata_count, uint64_t *data_bytes,
                                    struct snug_error *error)
{
    const char *separator = "";
    uint64_t offset = 0;
    snug_text_putc(header, '{');
    if (metadata_count) {
        snug_text_puts(header, "\"" METADATA_KEY "\":{");
        for (size_t i = 0; i < metadata_count; i++) {
            snug_text_puts(header, i ? "," : "");
            snug_json_put_string(header, metadata[i].key);
            snug_text_putc(header, ':');
            snug_json_put_string(header, metadata[i].value);
        }
        snug_text_putc(header, '}');
        separator = ",";
    }
    for (size_t i = 0; i < count; i++) {
        snug_text_puts(header, separator);
        separator = ",";
        SNUG_TRY(put_tensor(header, &tensors[i], &offset, error));
    }
    snug_text_putc(header, '}');
    while (snug_text_status(header, NULL, "") == SNUG_STATUS_OK &&
           (LENGTH_BYTES + header->length) % SNUG_SAFETENSORS_ALIGNMENT)
        snug_text_putc(header, ' ');
    *data_bytes = offset;
    return snug_text_status(header, error, "a safetensors header");
}

static enum snug_status write_header(struct snug_safetensors_writer *writer,
                                     const struct snug_text *header, struct snug_error *error)
{
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)((uint64_t)header->length >> 8 * i);
    SNUG_TRY(snug_file_writer_write(writer->file, length, sizeof length, error));
    return snug_file_writer_write(writer->file, snug_text_c(header), header->length, error);
}

enum snug_status
snug_safetensors_writer_open(const char *path, const struct snug_tensor_spec *tensors, size_t count,
                             const struct snug_metadata_entry *metadata, size_t metadata_count,
                             const struct snug_allocator *allocator,
                             struct snug_safetensors_writer **out, struct snug_error *error)
{
    struct snug_text header;
    struct snug_safetensors_writer *writer = NULL;
    uint64_t data_bytes = 0;
    snug_text_init(&header, allocator, SNUG_MAX_SAFETENSORS_HEADER_BYTES);
    enum snug_status status = check_tensor_names(tensors, count, allocator, error);
    if (!status)
        status = check_metadata(metadata, metadata_count, allocator, error);
    if (!status)
        status = make_header(&header, tensors, count, metadata, metadata_count, &data_bytes, error);
    if (status) {
        status = snug_error_prefix(error, status, "%s", path);
        goto out;
    }
    writer = snug_calloc(allocator, 1, sizeof *writer);
    if (!writer) {
        status = snug_error_memory(error, sizeof *writer, path);
        goto out;
    }
    writer->allocator = allocator;
    writer->missing = data_bytes;
    status = snug_file_writer_open(path, allocator, &writer->file, error);
    if (!status)
        status = write_header(writer, &header, error);
    if (!status)
        *out = writer;
    else
        snug_safetensors_writer_cancel(writer);
out:
    snug_text_free(&header);
    return status;
}

enum snug_status snug_safetensors_writer_write(struct snug_safetensors_writer *writer,
                                               const void *bytes, size_t length,
                                               struct snug_error *error)
{
    SNUG_ASSERT(length <= writer->missing);
    enum snug_status status = snug_file_writer_write(writer->file, bytes, length, error);
    if (status)
        writer->failed = true;
    else
        writer->missing -= length;
    return status;
}

enum snug_status snug_safetensors_writer_commit(struct snug_safetensors_writer *writer,
                                                struct snug_error *error)
{
    SNUG_ASSERT(writer->missing == 0 || writer->failed);
    enum snug_status status = snug_file_writer_commit(writer->file, error);
    snug_free(writer->allocator, writer);
    return status;
}

void snug_safetensors_writer_cancel(struct snug_safetensors_writer *writer)
{
    if (!writer)
        return;
    snug_file_writer_cancel(writer->file);
    snug_free(writer->allocator, writer);
}
