/* Any bytes as CSV, as truth and as results (which may be JSON), scored against each other.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/csv.h"
#include "extract/evaluate.h"
#include "extract/row.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read and written again reads the same. */
static void round_trip(const char *data, size_t size)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_csv csv = {0}, again = {0};
    bool more = true, more_again = true;
    if (snug_csv_open(&csv, data, size, "fuzz", heap, NULL) != SNUG_STATUS_OK)
        abort();
    while (snug_csv_next(&csv, &more, NULL) == SNUG_STATUS_OK && more) {
        struct snug_text text;
        snug_text_init(&text, heap, (size_t)64 << 20);
        for (size_t i = 0; i < csv.count; i++) {
            snug_text_puts(&text, i > 0 ? ",\"" : "\"");
            for (const char *at = csv.cells[i]; *at != '\0'; at++)
                snug_text_puts(&text, *at == '"' ? "\"\"" : (char[2]){*at, '\0'});
            snug_text_putc(&text, '"');
        }
        if (snug_csv_open(&again, snug_text_c(&text), text.length, "again", heap, NULL) !=
                SNUG_STATUS_OK ||
            snug_csv_next(&again, &more_again, NULL) != SNUG_STATUS_OK || again.count != csv.count)
            abort();
        for (size_t i = 0; i < csv.count; i++)
            if (strcmp(csv.cells[i], again.cells[i]) != 0)
                abort();
        snug_csv_close(&again);
        snug_text_free(&text);
    }
    snug_csv_close(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char schema_text[] =
        "{\"name\": \"s\", \"fields\": [{\"name\": \"T\", \"type\": \"text\"}, {\"name\": \"M\", "
        "\"type\": \"money\"}, {\"name\": "
        "\"L\", \"type\": \"list\"}, {\"name\": \"D\", \"type\": \"date\"}]}";
    static struct snug_schema *schema;
    const struct snug_allocator *heap = snug_allocator_heap();
    if (schema == NULL && snug_schema_parse(schema_text, strlen(schema_text), "s", heap, &schema,
                                            NULL) != SNUG_STATUS_OK)
        abort();
    if (size > 1 << 14)
        return 0;
    round_trip((const char *)data, size);
    struct snug_documents truth = {0}, results = {0};
    bool a = snug_truth_parse((const char *)data, size, "t", schema, heap, &truth, NULL) ==
             SNUG_STATUS_OK;
    bool b = snug_predictions_parse((const char *)data, size, "r", schema, heap, &results, NULL) ==
             SNUG_STATUS_OK;
    struct snug_evaluation_options options = {.seed = 1, .resamples = 2, .target_precision = 0.9};
    struct snug_evaluation evaluation = {0};
    if (a && b &&
        snug_evaluate(schema, &truth, &results, &options, heap, &evaluation, NULL) ==
            SNUG_STATUS_OK) {
        struct snug_text text;
        snug_text_init(&text, heap, (size_t)16 << 20);
        snug_evaluation_put_text(&evaluation, &text);
        snug_evaluation_put_json(&evaluation, &text);
        snug_text_free(&text);
        snug_evaluation_free(&evaluation);
    }
    snug_documents_free(&truth);
    snug_documents_free(&results);
    return 0;
}
