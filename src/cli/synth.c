/* snug synth: a model folder of true shape with random weights, streamed to disk.
 *
 *     created -> weights -> index, if there are shards -> tokeniser and the rest -> config.json
 *
 * config.json is written last, by rename: a folder that was not finished has none, and nothing
 * loads it. Ctrl-C and every failure remove what was written; only a kill leaves a part of a
 * folder. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/json.h"
#include "formats/safetensors_write.h"
#include "formats/synth_tokenizer.h"
#include "models/builtin.h"
#include "models/synthesis.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct {
    const char *arch;
    int64_t seed, layers;
    double outliers;
    bool quiet;
} settings = {.seed = 1};

static const struct snug_option options[] = {
    {'a', "arch", SNUG_OPTION_KIND_TEXT, &settings.arch, 0, 0, "NAME",
     "whose shape: internvl3-1b, -2b, -8b, -14b or -38b, llama-3.2-11b-vision or -90b-vision; "
     "tiny, "
     "tiny-rms and tiny-llama are for tests"},
    {'s', "seed", SNUG_OPTION_KIND_INTEGER, &settings.seed, 0, 9007199254740992.0, "N",
     "of the random numbers; the same seed gives the same folder (default 1)"},
    {0, "outliers", SNUG_OPTION_KIND_NUMBER, &settings.outliers, 0, SNUG_MAX_OUTLIERS, "F",
     "plant outliers: in every linear layer's input a fraction F of the channels, at least one, "
     "is beyond 6 for nearly every token (default 0: none; at most 0.01)"},
    {0, "layers", SNUG_OPTION_KIND_INTEGER, &settings.layers, 1, SNUG_MAX_LAYERS, "N",
     "only N layers of the text model and of the vision tower (default: all)"},
    {'q', "quiet", SNUG_OPTION_KIND_FLAG, &settings.quiet, 0, 0, NULL, "no report, no progress"},
};
static const struct snug_usage usage = {
    "snug synth DIR --arch NAME [options]",
    "Writes a model folder of true shape with random bf16 weights and a made-up\n"
    "tokeniser of true size: for measuring speed and memory without a download. It\n"
    "loads and runs like the real one; what it answers means nothing. DIR is created,\n"
    "or must be empty.",
    "Exit codes: 0 written, 1 writing failed or the disk is too full, 2 wrong\n"
    "usage, 4 not enough memory, 130 interrupted. A folder that is not finished is\n"
    "removed, unless the program was killed; it then has no config.json.\n\n"
    "Examples:\n"
    "  snug synth /tmp/8b --arch internvl3-8b\n"
    "  snug synth /tmp/1b --arch internvl3-1b --outliers 0.005 --seed 7\n",
    options, sizeof options / sizeof *options};

/* As the tools that write real folders cut them. */
#define SHARD_BYTES UINT64_C(5000000000)
/* One piece of the stream. */
#define CHUNK_BYTES (1u << 20)
/* Tokeniser, configuration, index, headers and what a file system needs itself. */
#define SIDE_BYTES (UINT64_C(32) << 20)
#define INDEX_NAME "model.safetensors.index.json"

struct tensor {
    struct snug_weight_request request; /* names in the arena */
    struct snug_shape shape;
    uint64_t bytes;
    int shard;
};

struct job {
    const struct snug_allocator *allocator;
    const char *path;
    struct snug_arena arena;
    struct snug_builtin builtin;
    struct snug_model_config config;
    struct snug_synthesis synthesis;
    struct snug_synthesis_tensor *recipe;
    struct tensor *tensors;
    struct snug_tensor_spec *specs; /* the same, in the same order */
    size_t count, capacity;
    int64_t parameters;
    uint64_t total_bytes; /* of all tensors */
    int shards;
    uint16_t *chunk;
    size_t chunk_elements;
    bool created;      /* the folder itself is ours */
    int shards_begun;  /* files that may be there, to be removed */
    size_t side_begun; /* of side_names */
    struct snug_progress_bar bar;
    uint64_t done_bytes;
};

/* In the order in which they are written; config.json makes the folder one. */
static const char *const side_names[] = {INDEX_NAME,
                                         "tokenizer.json",
                                         "tokenizer_config.json",
                                         "chat_template.jinja",
                                         "generation_config.json",
                                         "preprocessor_config.json",
                                         "config.json"};
#define SIDE_COUNT (sizeof side_names / sizeof *side_names)

static enum snug_status no_memory(struct snug_error *error)
{
    return snug_error_memory(error, CHUNK_BYTES, "the folder's plan");
}

/* ---- the plan ---- */

static enum snug_status grow(struct job *job, struct snug_error *error)
{
    if (job->count < job->capacity)
        return SNUG_STATUS_OK;
    size_t capacity = job->capacity ? 2 * job->capacity : 256;
    struct tensor *tensors =
        snug_realloc_array(job->allocator, job->tensors, capacity, sizeof *tensors);
    if (!tensors)
        return no_memory(error);
    job->tensors = tensors;
    struct snug_tensor_spec *specs =
        snug_realloc_array(job->allocator, job->specs, capacity, sizeof *specs);
    if (!specs)
        return no_memory(error);
    job->specs = specs;
    job->capacity = capacity;
    return SNUG_STATUS_OK;
}

/* Lists a tensor; begins a shard where it does not fit into the one before. */
static enum snug_status plan_tensor(void *context, const struct snug_weight_request *request,
                                    const struct snug_shape *shape, struct snug_error *error)
{
    struct job *job = context;
    SNUG_TRY(grow(job, error));
    struct tensor *tensor = &job->tensors[job->count];
    *tensor = (struct tensor){.request = {.n = request->n, .k = request->k}, .shape = *shape};
    tensor->request.name = snug_arena_strdup(&job->arena, request->name);
    tensor->request.candidates[0] = snug_arena_strdup(&job->arena, request->candidates[0]);
    if (!tensor->request.name || !tensor->request.candidates[0])
        return no_memory(error);
    struct snug_tensor_spec *spec = &job->specs[job->count];
    *spec =
        (struct snug_tensor_spec){tensor->request.candidates[0], SNUG_DTYPE_BF16, tensor->shape};
    SNUG_TRY(snug_tensor_spec_bytes(spec, &tensor->bytes, error));
    uint64_t in_shard = tensor->bytes;
    int last = job->count ? job->tensors[job->count - 1].shard : 0;
    for (size_t i = job->count; i > 0 && job->tensors[i - 1].shard == last; i--)
        in_shard += job->tensors[i - 1].bytes;
    bool fits = in_shard <= SHARD_BYTES || in_shard == tensor->bytes;
    tensor->shard = fits ? last : last + 1;
    job->shards = tensor->shard + 1;
    job->parameters += request->k ? request->n * request->k : request->n;
    job->total_bytes += tensor->bytes;
    job->count++;
    return SNUG_STATUS_OK;
}

static enum snug_status plan(struct job *job, struct snug_error *error)
{
    SNUG_TRY(
        snug_builtin_open(settings.arch, settings.layers, job->allocator, &job->builtin, error));
    SNUG_TRY(snug_model_config_read(&job->builtin.folder, job->allocator, &job->config, error));
    job->synthesis =
        (struct snug_synthesis){&job->config, (uint64_t)settings.seed, settings.outliers};
    SNUG_TRY(snug_model_visit_weights(&job->config, plan_tensor, job, error));
    job->recipe = snug_alloc(job->allocator, sizeof *job->recipe);
    if (!job->recipe)
        return no_memory(error);
    int64_t widest = CHUNK_BYTES / sizeof *job->chunk;
    for (size_t i = 0; i < job->count; i++) {
        SNUG_TRY(snug_synthesis_begin(&job->synthesis, &job->tensors[i].request,
                                      &job->tensors[i].shape, job->recipe, error));
        if (job->recipe->row_elements > widest)
            widest = job->recipe->row_elements;
    }
    job->chunk_elements = (size_t)widest;
    job->chunk = snug_alloc_array(job->allocator, job->chunk_elements, sizeof *job->chunk);
    return job->chunk ? SNUG_STATUS_OK : no_memory(error);
}

/* ---- the folder ---- */

/* Something is there already that is not an empty folder. Errors: USAGE, IO. */
static enum snug_status check_target(const char *path, bool *exists, struct snug_error *error)
{
    struct stat info;
    *exists = !lstat(path, &info);
    if (!*exists)
        return errno == ENOENT ? SNUG_STATUS_OK
                               : snug_error_set(error, SNUG_STATUS_IO, "cannot create %s: %s", path,
                                                strerror(errno));
    DIR *folder = opendir(path);
    if (!folder && errno == ENOTDIR)
        return snug_error_set(error, SNUG_STATUS_USAGE, "%s is there and is no folder", path);
    if (!folder)
        return snug_error_set(error, SNUG_STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        empty &= !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    closedir(folder);
    return empty ? SNUG_STATUS_OK
                 : snug_error_set(error, SNUG_STATUS_USAGE,
                                  "%s is not empty; give the name of a new folder", path);
}

/* Says what will be written, and whether the disk has room for it. The folder exists. */
static enum snug_status check_disk(const struct job *job, struct snug_error *error)
{
    struct statvfs disk;
    char want[24], have[24];
    uint64_t needed = job->total_bytes + SIDE_BYTES;
    if (statvfs(job->path, &disk))
        return snug_error_set(error, SNUG_STATUS_IO, "%s: cannot ask for the free space: %s",
                              job->path, strerror(errno));
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (!settings.quiet)
        fprintf(stderr,
                "%s: %zu tensors, %.3f G parameters: %" PRIu64
                " bytes of weights in %d file%s, about 8 MB of others, to %s\n",
                settings.arch, job->count, (double)job->parameters / 1e9, job->total_bytes,
                job->shards, job->shards == 1 ? "" : "s", job->path);
    if (available < needed)
        return snug_error_set(error, SNUG_STATUS_IO,
                              "%s: the folder takes %s, but only %s of the disk is free", job->path,
                              snug_format_bytes(needed, want), snug_format_bytes(available, have));
    return SNUG_STATUS_OK;
}

static void shard_name(const struct job *job, int shard, char out[64])
{
    if (job->shards == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", shard + 1, job->shards);
}

/* Removes what was written: nothing else can be in the folder. */
static void remove_all(const struct job *job)
{
    for (int i = 0; i < job->shards_begun + (int)job->side_begun; i++) {
        char name[64];
        if (i < job->shards_begun)
            shard_name(job, i, name);
        else
            snprintf(name, sizeof name, "%s", side_names[i - job->shards_begun]);
        char *path = snug_path_join(job->allocator, job->path, name);
        if (path)
            (void)unlink(path);
        snug_free(job->allocator, path);
    }
    if (job->created)
        (void)rmdir(job->path);
}

/* ---- weights ---- */

static enum snug_status go_on(struct job *job, struct snug_error *error)
{
    if (snug_cli_interrupted)
        return snug_error_set(error, SNUG_STATUS_INTERRUPTED,
                              "interrupted; what was written to %s is removed", job->path);
    job->bar.done = (size_t)(job->done_bytes >> 20);
    snug_progress_update(&job->bar, job->path, "MiB written to", 0);
    return SNUG_STATUS_OK;
}

static enum snug_status write_tensor(struct job *job, const struct tensor *tensor,
                                     struct snug_safetensors_writer *writer,
                                     struct snug_error *error)
{
    SNUG_TRY(snug_synthesis_begin(&job->synthesis, &tensor->request, &tensor->shape, job->recipe,
                                  error));
    int64_t rows = job->recipe->rows, width = job->recipe->row_elements;
    int64_t step = (int64_t)job->chunk_elements / width;
    for (int64_t row = 0; row < rows; row += step) {
        int64_t count = step < rows - row ? step : rows - row;
        size_t bytes = (size_t)(count * width) * sizeof *job->chunk;
        snug_synthesis_rows(job->recipe, row, count, job->chunk);
        SNUG_TRY(snug_safetensors_writer_write(writer, job->chunk, bytes, error));
        job->done_bytes += bytes;
        SNUG_TRY(go_on(job, error));
    }
    return SNUG_STATUS_OK;
}

/* Tensors [first, end) are the shard's. */
static enum snug_status write_shard(struct job *job, int shard, size_t first, size_t end,
                                    struct snug_error *error)
{
    static const struct snug_metadata_entry format = {"format", "pt"};
    struct snug_safetensors_writer *writer = NULL;
    char name[64];
    shard_name(job, shard, name);
    char *path = snug_path_join(job->allocator, job->path, name);
    if (!path)
        return no_memory(error);
    job->shards_begun = shard + 1;
    enum snug_status status = snug_safetensors_writer_open(
        path, job->specs + first, end - first, &format, 1, job->allocator, &writer, error);
    for (size_t i = first; i < end && !status; i++)
        status = write_tensor(job, &job->tensors[i], writer, error);
    if (!status) {
        status = snug_safetensors_writer_commit(writer, error);
        writer = NULL;
    }
    snug_safetensors_writer_cancel(writer);
    snug_free(job->allocator, path);
    return status;
}

static enum snug_status write_weights(struct job *job, struct snug_error *error)
{
    size_t first = 0;
    while (first < job->count) {
        size_t end = first;
        int shard = job->tensors[first].shard;
        while (end < job->count && job->tensors[end].shard == shard)
            end++;
        SNUG_TRY(write_shard(job, shard, first, end, error));
        first = end;
    }
    return SNUG_STATUS_OK;
}

/* ---- the other files ---- */

static void put_index(const struct job *job, struct snug_text *text)
{
    snug_text_printf(
        text, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {\n",
        job->total_bytes);
    for (size_t i = 0; i < job->count; i++) {
        char name[64];
        shard_name(job, job->tensors[i].shard, name);
        snug_text_puts(text, "    ");
        snug_json_put_string(text, job->tensors[i].request.candidates[0]);
        snug_text_printf(text, ": \"%s\"%s\n", name, i + 1 < job->count ? "," : "");
    }
    snug_text_puts(text, "  }\n}\n");
}

static enum snug_status put_side(const struct job *job, const char *name, struct snug_text *text,
                                 struct snug_error *error)
{
    bool llama = job->config.family == SNUG_FAMILY_LLAMA_VISION;
    if (!strcmp(name, INDEX_NAME))
        put_index(job, text);
    else if (!strcmp(name, "tokenizer.json"))
        SNUG_TRY((llama ? snug_synth_llama_tokenizer : snug_synth_tokenizer)(text, job->allocator,
                                                                             error));
    else if (!strcmp(name, "tokenizer_config.json"))
        (llama ? snug_synth_llama_tokenizer_config : snug_synth_tokenizer_config)(text);
    else if (!strcmp(name, "chat_template.jinja"))
        snug_text_puts(text, llama ? snug_synth_llama_chat_template() : snug_synth_chat_template());
    else {
        struct snug_blob blob = {0};
        SNUG_TRY(snug_folder_read(&job->builtin.folder, name, SNUG_MAX_CONFIG_BYTES, &blob, error));
        snug_text_append(text, blob.data, blob.size);
        snug_blob_free(&blob);
    }
    return snug_text_status(text, error, name);
}

static enum snug_status write_side(struct job *job, const char *name, struct snug_error *error)
{
    struct snug_file_writer *writer = NULL;
    struct snug_text text;
    snug_text_init(&text, job->allocator, SNUG_MAX_TOKENIZER_BYTES);
    char *path = snug_path_join(job->allocator, job->path, name);
    enum snug_status status = path ? put_side(job, name, &text, error) : no_memory(error);
    if (!status)
        status = go_on(job, error);
    if (!status)
        status = snug_file_writer_open(path, job->allocator, &writer, error);
    if (!status)
        status = snug_file_writer_write(writer, snug_text_c(&text), text.length, error);
    if (!status) {
        status = snug_file_writer_commit(writer, error);
        writer = NULL;
    }
    snug_file_writer_cancel(writer);
    snug_free(job->allocator, path);
    snug_text_free(&text);
    return status;
}

static enum snug_status write_folder(struct job *job, struct snug_error *error)
{
    bool exists = false;
    SNUG_TRY(check_target(job->path, &exists, error));
    SNUG_TRY(plan(job, error));
    if (!exists && mkdir(job->path, 0777))
        return snug_error_set(error, SNUG_STATUS_IO, "cannot create %s: %s", job->path,
                              strerror(errno));
    job->created = !exists;
    SNUG_TRY(check_disk(job, error));
    snug_progress_start(&job->bar, (size_t)(job->total_bytes >> 20), settings.quiet);
    SNUG_TRY(write_weights(job, error));
    for (size_t i = 0; i < SIDE_COUNT; i++) {
        job->side_begun = i + 1;
        if (i || job->shards > 1)
            SNUG_TRY(write_side(job, side_names[i], error));
    }
    return SNUG_STATUS_OK;
}

int snug_cli_synth(int argc, char **argv)
{
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code >= 0)
        return code;
    if (argc != 2 || !settings.arch) {
        fprintf(stderr, "snug synth: %s\nTry 'snug synth --help'.\n",
                argc != 2 ? "which folder? one, to be made" : "which --arch?");
        return 2;
    }
    struct snug_error error = {0};
    struct job job = {.allocator = snug_allocator_heap(), .path = argv[1]};
    snug_arena_init(&job.arena, job.allocator);
    snug_cli_catch_signals();
    enum snug_status status = write_folder(&job, &error);
    snug_progress_clear(&job.bar);
    if (status)
        remove_all(&job);
    snug_free(job.allocator, job.chunk);
    snug_free(job.allocator, job.recipe);
    snug_free(job.allocator, job.specs);
    snug_free(job.allocator, job.tensors);
    snug_builtin_close(&job.builtin);
    snug_arena_free(&job.arena);
    return status ? snug_cli_fail(&error) : 0;
}
