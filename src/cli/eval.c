/* snug eval: fields against the truth.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/schema_file.h"

#include "base/files.h"
#include "extract/evaluate.h"

#include <errno.h>
#include <string.h>

#define MAX_TABLE_BYTES ((size_t)1 << 30)

static struct {
    const char *schema;
    int64_t seed, resamples;
    double target;
    bool json;
} settings = {.seed = 1, .resamples = 1000, .target = 0.99};

static const struct snug_option options[] = {
    {'s', "schema", SNUG_OPTION_KIND_TEXT, &settings.schema, 0, 0, "FILE",
     "the schema the fields were read with; default: business-document"},
    {0, "json", SNUG_OPTION_KIND_FLAG, &settings.json, 0, 0, NULL,
     "one JSON object instead of text"},
    {0, "resamples", SNUG_OPTION_KIND_INTEGER, &settings.resamples, 0, SNUG_MAX_RESAMPLES, "N",
     "of the bootstrap behind the intervals; default 1000, 0 for no intervals"},
    {0, "seed", SNUG_OPTION_KIND_INTEGER, &settings.seed, 0, 9007199254740992.0, "N",
     "of the bootstrap; default 1"},
    {0, "target-precision", SNUG_OPTION_KIND_NUMBER, &settings.target, 0, 1, "P",
     "which share of the values can be kept at this precision; default 0.99"},
};
static const struct snug_usage usage = {
    "snug eval OUT TRUTH.csv [options]",
    "Compares the rows of 'snug extract' (JSONL, JSON or CSV) with the truth: a CSV\n"
    "file whose first column holds the document (matched by the last part of its\n"
    "path) and the others the fields, NOT_FOUND or nothing where it has no such\n"
    "field. Every score comes with a 95 % interval and with what an empty answer\n"
    "would get.",
    "Exit codes: 0 compared, 2 wrong usage or unreadable file, 3 schema unusable.\n\n"
    "Example:\n"
    "  snug extract samples/ -o out.jsonl; snug eval out.jsonl samples/truth.csv\n",
    options, sizeof options / sizeof *options};

typedef enum snug_status parse_fn(const char *data, size_t length, const char *name,
                                  const struct snug_schema *schema,
                                  const struct snug_allocator *allocator,
                                  struct snug_documents *out, struct snug_error *error);

static enum snug_status read_table(const char *path, parse_fn *parse,
                                   const struct snug_schema *schema, struct snug_documents *out,
                                   struct snug_error *error)
{
    struct snug_blob blob = {0};
    enum snug_status status =
        snug_file_read(path, MAX_TABLE_BYTES, snug_allocator_heap(), &blob, error);
    if (!status)
        status = parse((const char *)blob.data, blob.size, path, schema, snug_allocator_heap(), out,
                       error);
    snug_blob_free(&blob);
    return status;
}

static int print_evaluation(const struct snug_evaluation *evaluation,
                            const struct snug_documents *truth)
{
    struct snug_text text;
    struct snug_error error;
    for (size_t i = 0; i < truth->ignored_count; i++)
        fprintf(stderr, "snug: column '%s' of the truth is no field of the schema and is ignored\n",
                truth->ignored[i]);
    snug_text_init(&text, snug_allocator_heap(), (size_t)64 << 20);
    if (settings.json)
        snug_evaluation_put_json(evaluation, &text);
    else
        snug_evaluation_put_text(evaluation, &text);
    enum snug_status status = snug_text_status(&text, &error, "the report");
    if (!status &&
        (fwrite(snug_text_c(&text), 1, text.length, stdout) != text.length || fflush(stdout)))
        status = snug_error_set(&error, SNUG_STATUS_IO, "standard output: %s", strerror(errno));
    snug_text_free(&text);
    return status ? snug_cli_fail(&error) : 0;
}

int snug_cli_eval(int argc, char **argv)
{
    int code = snug_cli_parse(&argc, argv, &usage);
    if (code >= 0)
        return code;
    if (argc != 3) {
        fprintf(stderr, "snug eval: takes two files: results and truth\nTry 'snug eval --help'.\n");
        return 2;
    }
    struct snug_schema *schema = NULL;
    struct snug_documents results = {0}, truth = {0};
    struct snug_evaluation evaluation = {0};
    struct snug_evaluation_options evaluate = {(uint64_t)settings.seed, (int)settings.resamples,
                                               settings.target};
    struct snug_error error;
    enum snug_status status =
        snug_cli_load_schema(settings.schema, snug_allocator_heap(), &schema, &error);
    code = status ? snug_cli_fail_as(3, &error) : 0;
    if (!status)
        status = read_table(argv[1], snug_predictions_parse, schema, &results, &error);
    if (!status)
        status = read_table(argv[2], snug_truth_parse, schema, &truth, &error);
    if (!status)
        status = snug_evaluate(schema, &truth, &results, &evaluate, snug_allocator_heap(),
                               &evaluation, &error);
    if (!status)
        code = print_evaluation(&evaluation, &truth);
    else if (!code)
        code = snug_cli_fail_as(2, &error);
    snug_evaluation_free(&evaluation);
    snug_documents_free(&truth);
    snug_documents_free(&results);
    snug_schema_free(schema);
    return code;
}
