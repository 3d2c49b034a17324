/* snug inspect: what a model folder is, its sizes, and its problems.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/embedded_model.h"

#include "formats/chat.h"
#include "models/model.h"

#include <string.h>

static struct {
    bool tensors;
} settings;

static const struct snug_option options[] = {
    {0, "tensors", SNUG_OPTION_KIND_FLAG, &settings.tensors, 0, 0, NULL,
     "list every tensor: type, shape, file"},
};
static const struct snug_usage usage = {
    "snug inspect [DIR] [options]",
    "Says what a model folder is, how large, and what is wrong with it, without\n"
    "loading it. With no DIR: the embedded model.",
    "Exit codes: 0 usable, 2 wrong usage, 3 some problem was found.\n\n"
    "Examples:\n"
    "  snug inspect models/InternVL3-8B\n"
    "  snug inspect models/InternVL3-8B --tensors | less\n",
    options, sizeof options / sizeof *options};

struct inspection {
    struct snug_folder folder;
    struct snug_model model; /* configuration and list of weights only */
    struct snug_safetensors *checkpoint;
    int problems;
};

#define row(...) snug_cli_row(16, __VA_ARGS__)

static void problem(struct inspection *i, const char *part, const char *message)
{
    row(part, "PROBLEM: %s", message);
    i->problems++;
}

static void print_vision(const struct snug_model_config *c)
{
    const struct snug_vision_config *v = &c->vision;
    char global[32] = "";
    if (v->global_layers)
        snprintf(global, sizeof global, " and %lld global", (long long)v->global_layers);
    row("vision", "%lld%s layers of %lld, %lld heads of %lld, %s%s", (long long)v->layers, global,
        (long long)v->hidden, (long long)v->heads, (long long)v->head_dim,
        v->rms_norm ? "RMSNorm" : "LayerNorm", v->qk_norm ? ", q/k norm" : "");
}

static void print_pictures(const struct snug_model_config *c)
{
    const struct snug_tile_options *t = &c->tiles;
    const char *thumbnail = t->thumbnail && t->max_tiles > 1 ? " and a thumbnail" : "";
    char what[64];
    if (c->tokens_per_tile)
        snprintf(what, sizeof what, "%lld tokens a tile", (long long)c->tokens_per_tile);
    else
        snprintf(what, sizeof what, "one token, %lld rows a tile in %lld layers",
                 (long long)c->rows_per_tile, (long long)c->text.cross_layer_count);
    row("pictures", "tiles of %lld x %lld, %lld to %lld%s, %s", (long long)t->tile_side,
        (long long)t->tile_side, (long long)t->min_tiles, (long long)t->max_tiles, thumbnail, what);
}

static void print_config(const struct snug_model_config *c)
{
    const struct snug_text_config *t = &c->text;
    char bytes[24], of_tiles[24];
    row("architecture", "%s (%s layout)", c->architecture,
        c->layout == SNUG_LAYOUT_KIND_HF ? "Hugging Face" : "original");
    print_vision(c);
    row("text", "%lld layers of %lld, %lld heads of %lld over %lld, MLP %lld, %lld token rows",
        (long long)t->layers, (long long)t->hidden, (long long)t->heads, (long long)t->head_dim,
        (long long)t->kv_heads, (long long)t->intermediate, (long long)t->vocabulary);
    row("positions", "%lld trained, theta %g%s", (long long)t->rope.max_position, t->rope.theta,
        t->rope.dynamic  ? ", dynamic scaling beyond"
        : t->rope.llama3 ? ", scaled by bands"
                         : "");
    print_pictures(c);
    uint64_t layer = 2u * 2u * (uint64_t)(t->kv_heads * t->head_dim);
    uint64_t kv = layer * (uint64_t)(t->layers - t->cross_layer_count);
    uint64_t tile = layer * (uint64_t)(t->cross_layer_count * c->rows_per_tile);
    if (tile)
        row("key/value cache", "%s a token, %s a tile in f16", snug_format_bytes(kv, bytes),
            snug_format_bytes(tile, of_tiles));
    else
        row("key/value cache", "%s a token in f16", snug_format_bytes(kv, bytes));
}

static void inspect_weights(struct inspection *i)
{
    struct snug_error error;
    char bytes[24], parts[64];
    enum snug_status status = snug_safetensors_open_folder(&i->folder, &i->checkpoint, &error);
    if (!status)
        status = snug_model_weights_list(&i->model, i->checkpoint, i->folder.path, &error);
    if (status) {
        problem(i, "weights", error.message);
        return;
    }
    int64_t by_type[SNUG_DTYPE_COUNT] = {0};
    for (size_t n = 0; n < snug_safetensors_count(i->checkpoint); n++)
        by_type[snug_safetensors_at(i->checkpoint, n)->dtype]++;
    row("weights", "%zu tensors, %.3f G parameters, %s in memory",
        snug_safetensors_count(i->checkpoint), (double)i->model.parameters / 1e9,
        snug_format_bytes(i->model.weights_bytes, bytes));
    if (i->model.converted)
        row("converted", "%s%s%s, mapped where it lies", snug_quant_name(i->model.options.quantize),
            i->model.options.quantize_skip ? ", as stored: " : "",
            snug_parts_format(i->model.options.quantize_skip, parts));
    for (int d = 0; d < SNUG_DTYPE_COUNT; d++)
        if (by_type[d])
            row("", "%lld of type %s", (long long)by_type[d], snug_dtype_name((enum snug_dtype)d));
}

static const char *prompt_name(enum snug_chat_kind kind)
{
    if (kind == SNUG_CHAT_KIND_INTERNVL_ORIG)
        return "InternVL, original conversation form";
    return kind == SNUG_CHAT_KIND_LLAMA ? "Llama, instruct template"
                                        : "InternVL, Hugging Face template";
}

static void inspect_words(struct inspection *i)
{
    struct snug_error error;
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_chat_format chat;
    bool original = i->model.config.layout == SNUG_LAYOUT_KIND_ORIGINAL;
    enum snug_status status =
        snug_tokenizer_load(&i->folder, snug_allocator_heap(), &tokenizer, &error);
    if (status)
        problem(i, "tokeniser", error.message);
    else {
        row("tokeniser", "%d ids", (int)snug_tokenizer_size(tokenizer));
        bool llama = i->model.config.family == SNUG_FAMILY_LLAMA_VISION;
        const char *token = llama ? "<|image|>" : "<IMG_CONTEXT>";
        if (snug_tokenizer_added_id(tokenizer, token) < 0)
            problem(i, "tokeniser", llama ? "it has no <|image|>" : "it has no <IMG_CONTEXT>");
    }
    status = snug_chat_load(&i->folder, original, snug_allocator_heap(), &chat, &error);
    if (status)
        problem(i, "prompt", error.message);
    else if (chat.kind == SNUG_CHAT_KIND_UNKNOWN)
        problem(i, "prompt", chat.reason);
    else
        row("prompt", "%s", prompt_name(chat.kind));
    snug_tokenizer_free(tokenizer);
}

static void list_tensors(const struct inspection *i)
{
    for (size_t n = 0; i->checkpoint && n < snug_safetensors_count(i->checkpoint); n++) {
        const struct snug_tensor_view *view = snug_safetensors_at(i->checkpoint, n);
        char shape[128];
        printf("%-5s %-18s %s  (%s)\n", snug_dtype_name(view->dtype),
               snug_shape_format(&view->shape, shape), view->name,
               snug_safetensors_shard_name(i->checkpoint, view->shard));
    }
}

int snug_cli_inspect(int argc, char **argv)
{
    int code = snug_cli_parse(&argc, argv, &usage), count = argc - 1;
    if (code >= 0)
        return code;
    if (count > 1) {
        fprintf(stderr, "snug inspect: one folder at a time\nTry 'snug inspect --help'.\n");
        return 2;
    }
    struct snug_error error;
    struct inspection i = {.folder = snug_embedded_model(snug_allocator_heap())};
    if (count)
        i.folder = (struct snug_folder){.path = argv[1], .allocator = snug_allocator_heap()};
    i.model.allocator = snug_allocator_heap();
    row("folder", "%s%s", i.folder.path, count ? "" : " (embedded)");
    enum snug_status status = SNUG_STATUS_OK;
    if (count && !snug_path_is_directory(argv[1]))
        status = snug_error_set(&error, SNUG_STATUS_NOT_FOUND, "%s: no such folder", argv[1]);
    if (!status)
        status = snug_model_config_read(&i.folder, snug_allocator_heap(), &i.model.config, &error);
    if (status)
        problem(&i, "configuration", error.message);
    else {
        print_config(&i.model.config);
        inspect_weights(&i);
        inspect_words(&i);
        if (settings.tensors)
            list_tensors(&i);
    }
    row("verdict", i.problems ? "%d problem%s: snug cannot use this folder as it is" : "usable",
        i.problems, i.problems == 1 ? "" : "s");
    snug_model_weights_free(&i.model);
    snug_safetensors_close(i.checkpoint);
    return i.problems ? 3 : 0;
}
