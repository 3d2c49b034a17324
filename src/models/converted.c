/* Converted folders: what they say of themselves, and how they are made.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/converted.h"

#include "formats/safetensors_write.h"
#include "models/weights.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

static const char *metadata(const struct snug_safetensors *checkpoint, const char *key)
{
    const struct snug_metadata_entry *entries;
    size_t count = snug_safetensors_metadata(checkpoint, &entries);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(entries[i].key, key))
            return entries[i].value;
    return NULL;
}

enum snug_status snug_converted_options(const struct snug_safetensors *checkpoint,
                                        const char *folder, struct snug_model_options *options,
                                        bool *converted, struct snug_error *error)
{
    const char *version = metadata(checkpoint, SNUG_CONVERTED_KEY);
    const char *quantize = metadata(checkpoint, "quantize");
    const char *skip = metadata(checkpoint, "quantize_skip");
    struct snug_model_options held = *options;
    *converted = version != NULL;
    if (!version)
        return SNUG_STATUS_OK;
    if (strcmp(version, SNUG_CONVERTED_VERSION))
        return snug_error_set(error, SNUG_STATUS_UNSUPPORTED,
                              "%s: converted to format %.20s, this snug reads format %s; convert "
                              "the model again",
                              folder, version, SNUG_CONVERTED_VERSION);
    if (!quantize || !snug_quant_parse(quantize, &held.quantize) || !skip ||
        !snug_parts_parse(skip, &held.quantize_skip))
        return snug_error_set(error, SNUG_STATUS_FORMAT,
                              "%s: a converted folder whose quantize and quantize_skip are missing "
                              "or unknown; convert the model again",
                              folder);
    if (options->quantize != SNUG_QUANT_NONE && options->quantize != held.quantize)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "%s: converted with --quantize %s, so it cannot be read as %s; give "
                              "the original folder",
                              folder, quantize, snug_quant_name(options->quantize));
    if (options->quantize_skip && options->quantize_skip != held.quantize_skip)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "%s: converted with --quantize-skip '%s'; that cannot be changed "
                              "now; give the original folder",
                              folder, skip);
    *options = held;
    return SNUG_STATUS_OK;
}

/* ---- making ---- */

/* All of a model folder but its weights that snug, or whoever looks at the folder, wants to find.
 */
static const char *const companions[] = {"config.json",
                                         "generation_config.json",
                                         "preprocessor_config.json",
                                         "tokenizer.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "processor_config.json",
                                         "LICENSE",
                                         "video_preprocessor_config.json"};
#define COMPANION_COUNT (sizeof companions / sizeof *companions)

struct conversion {
    const struct snug_folder *in;
    const char *out_path;
    const struct snug_allocator *allocator;
    struct snug_pool *pool;
    struct snug_model model; /* list of weights; nothing loaded */
    struct snug_safetensors *checkpoint;
    struct snug_safetensors_writer *writer;
    snug_convert_report_fn *report;
    bool (*go_on)(void *context);
    void *context;
};

/* The out folder: made, or empty, or left by a conversion that was killed. */
static enum snug_status prepare_folder(const struct conversion *c, struct snug_error *error)
{
    struct stat a, b;
    if (!c->in->files && !stat(c->in->path, &a) && !stat(c->out_path, &b) && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        return snug_error_set(error, SNUG_STATUS_USAGE, "%s: in and out are one folder",
                              c->out_path);
    if (!mkdir(c->out_path, 0777))
        return SNUG_STATUS_OK;
    if (errno != EEXIST)
        return snug_error_set(error, SNUG_STATUS_IO, "%s: cannot be made: %s", c->out_path,
                              strerror(errno));
    if (!snug_path_is_directory(c->out_path))
        return snug_error_set(error, SNUG_STATUS_USAGE, "%s: is not a folder", c->out_path);
    DIR *folder = opendir(c->out_path);
    const struct dirent *entry;
    enum snug_status status = SNUG_STATUS_OK;
    if (!folder)
        return snug_error_set(error, SNUG_STATUS_IO, "%s: %s", c->out_path, strerror(errno));
    while (!status && (entry = readdir(folder))) {
        bool known = entry->d_name[0] == '.' || strstr(entry->d_name, "model.safetensors.");
        for (size_t i = 0; i < COMPANION_COUNT; i++)
            known |= !strcmp(entry->d_name, companions[i]);
        if (!known)
            status = snug_error_set(error, SNUG_STATUS_USAGE,
                                    "%s: is not empty (%.80s); give a new folder", c->out_path,
                                    entry->d_name);
    }
    closedir(folder);
    return status;
}

static enum snug_status write_file(const struct conversion *c, const char *name, const void *data,
                                   size_t size, struct snug_error *error)
{
    struct snug_file_writer *writer;
    char *path = snug_path_join(c->allocator, c->out_path, name);
    if (!path)
        return snug_error_memory(error, strlen(name), "a path");
    enum snug_status status = snug_file_writer_open(path, c->allocator, &writer, error);
    snug_free(c->allocator, path);
    if (status)
        return status;
    status = snug_file_writer_write(writer, data, size, error);
    if (!status)
        return snug_file_writer_commit(writer, error);
    snug_file_writer_cancel(writer);
    return status;
}

static enum snug_status copy_companions(const struct conversion *c, struct snug_error *error)
{
    for (size_t i = 0; i < COMPANION_COUNT; i++) {
        struct snug_blob blob;
        if (!snug_folder_has(c->in, companions[i]))
            continue;
        SNUG_TRY(snug_folder_read(c->in, companions[i], SNUG_MAX_TOKENIZER_BYTES, &blob, error));
        enum snug_status status = write_file(c, companions[i], blob.data, blob.size, error);
        snug_blob_free(&blob);
        if (status)
            return status;
    }
    return SNUG_STATUS_OK;
}

/* Header of the out file. Quantised weights first, then other matrices, then vectors: so all
 * matrices begin at multiples of 64 bytes (of 32, where k is odd). */
static int kind_of(const struct snug_weight *w)
{
    return w->quant ? 0 : w->k ? 1 : 2;
}

static enum snug_status open_weights(struct conversion *c, struct snug_error *error)
{
    char skip[64];
    const struct snug_model_options *o = &c->model.options;
    const struct snug_metadata_entry entries[] = {
        {"format", "pt"},
        {SNUG_CONVERTED_KEY, SNUG_CONVERTED_VERSION},
        {"quantize", snug_quant_name(o->quantize)},
        {"quantize_skip", snug_parts_format(o->quantize_skip, skip)}};
    size_t count = 0;
    struct snug_tensor_spec *specs =
        snug_calloc(c->allocator, c->model.weight_count, sizeof *specs);
    char *path = snug_path_join(c->allocator, c->out_path, "model.safetensors");
    enum snug_status status = SNUG_STATUS_OK;
    if (!specs || !path)
        status = snug_error_memory(error, c->model.weight_count * sizeof *specs, "the header");
    for (int kind = 0; !status && kind < 3; kind++)
        for (size_t i = 0; i < c->model.weight_count; i++) {
            const struct snug_weight *w = &c->model.weights[i];
            if (kind_of(w) != kind)
                continue;
            specs[count].name = w->name;
            snug_weight_converted_shape(w, &specs[count].dtype, &specs[count].shape);
            count++;
        }
    if (!status)
        status = snug_safetensors_writer_open(path, specs, count, entries, 4, c->allocator,
                                              &c->writer, error);
    snug_free(c->allocator, path);
    snug_free(c->allocator, specs);
    return status;
}

static enum snug_status write_weight(struct conversion *c, const struct snug_weight *weight,
                                     struct snug_error *error)
{
    struct snug_weight here = *weight;
    struct snug_quant_error deviation = {0};
    size_t bytes = weight->bytes ? weight->bytes : 1;
    unsigned char *buffer = snug_alloc(c->allocator, bytes);
    if (!buffer)
        return snug_error_memory(error, bytes, weight->name);
    here.offset = 0;
    enum snug_status status = snug_weight_pack(&here, buffer, c->pool, &deviation, error);
    if (!status)
        status = snug_safetensors_writer_write(c->writer, buffer, weight->bytes, error);
    snug_free(c->allocator, buffer);
    snug_safetensors_discard(c->checkpoint, weight->view);
    if (!status && weight->quant && c->report)
        c->report(c->context, weight, &deviation);
    return status;
}

static enum snug_status write_weights(struct conversion *c, struct snug_error *error)
{
    for (int kind = 0; kind < 3; kind++)
        for (size_t i = 0; i < c->model.weight_count; i++) {
            if (kind_of(&c->model.weights[i]) != kind)
                continue;
            if (c->go_on && !c->go_on(c->context))
                return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
            SNUG_TRY(write_weight(c, &c->model.weights[i], error));
        }
    enum snug_status status = snug_safetensors_writer_commit(c->writer, error);
    c->writer = NULL;
    return status;
}

static enum snug_status convert(struct conversion *c, struct snug_error *error)
{
    bool already = false;
    struct snug_model_options asked = c->model.options;
    SNUG_TRY(snug_model_config_read(c->in, c->allocator, &c->model.config, error));
    SNUG_TRY(snug_safetensors_open_folder(c->in, &c->checkpoint, error));
    SNUG_TRY(snug_converted_options(c->checkpoint, c->in->path, &asked, &already, error));
    if (already)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "%s: is a converted folder; convert the original one", c->in->path);
    SNUG_TRY(snug_model_weights_list(&c->model, c->checkpoint, c->in->path, error));
    SNUG_TRY(prepare_folder(c, error));
    SNUG_TRY(copy_companions(c, error));
    SNUG_TRY(open_weights(c, error));
    return write_weights(c, error);
}

enum snug_status snug_convert(const struct snug_folder *in, const char *out_path,
                              const struct snug_model_options *options, struct snug_pool *pool,
                              snug_convert_report_fn *report, bool (*go_on)(void *context),
                              void *context, const struct snug_allocator *allocator,
                              uint64_t *bytes, struct snug_error *error)
{
    struct conversion c = {.in = in,
                           .out_path = out_path,
                           .allocator = allocator,
                           .pool = pool,
                           .model = {.allocator = allocator, .options = *options},
                           .report = report,
                           .go_on = go_on,
                           .context = context};
    struct snug_error local = {0};
    snug_arena_init(&c.model.arena, allocator);
    enum snug_status status = convert(&c, &local);
    snug_safetensors_writer_cancel(c.writer);
    *bytes = c.model.weights_bytes;
    snug_model_weights_free(&c.model);
    snug_safetensors_close(c.checkpoint);
    return status ? snug_error_set(error, status, "%s", local.message) : status;
}
