/* Any bytes as an answer: the parser, then everything that is done with its values.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"
#include "base/json.h"
#include "extract/normalise.h"
#include "extract/row.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct snug_schema *load_schema(void)
{
    static const char small[] =
        "{\"name\": \"s\", \"fields\": [{\"name\": \"ABN\", \"type\": \"id\", \"digits\": 11, "
        "\"checksum\": \"abn\"}, {\"name\": "
        "\"TOTAL\", \"type\": \"money\"}, {\"name\": \"DATE\", \"type\": \"date\"}, {\"name\": "
        "\"PERIOD\", \"type\": "
        "\"date_range\"}, {\"name\": \"PRICES\", \"type\": \"list\", \"item\": \"money\"}]}";
    const struct snug_allocator *heap = snug_allocator_heap();
    const char *root = getenv("SNUG_SOURCE_ROOT");
    struct snug_schema *schema = NULL;
    struct snug_blob blob = {0};
    char *path = snug_path_join(heap, root != NULL ? root : ".", "schemas/business-document.json");
    if (path == NULL ||
        snug_file_read(path, SNUG_MAX_SCHEMA_BYTES, heap, &blob, NULL) != SNUG_STATUS_OK ||
        snug_schema_parse((const char *)blob.data, blob.size, "schema", heap, &schema, NULL) !=
            SNUG_STATUS_OK) {
        if (snug_schema_parse(small, strlen(small), "schema", heap, &schema, NULL) !=
            SNUG_STATUS_OK)
            abort();
    }
    snug_blob_free(&blob);
    snug_free(heap, path);
    return schema;
}

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct snug_schema *schema;
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_answer answer = {0};
    if (schema == NULL)
        schema = load_schema();
    if (snug_answer_parse(schema, (const char *)data, size, heap, &answer, NULL) != SNUG_STATUS_OK)
        return 0;
    struct snug_text text;
    snug_text_init(&text, heap, (size_t)64 << 20);
    for (size_t i = 0; i < answer.field_count; i++) {
        const struct snug_value *value = &answer.values[i];
        check(value->start <= value->end && value->end <= size);
        if (value->text == NULL)
            continue;
        check(value->named && value->end > value->start &&
              snug_utf8_valid(value->text, strlen(value->text)));
        /* Whatever a text is, reading it as any type must hold. */
        for (int type = 0; type < SNUG_FIELD_TYPE_COUNT; type++) {
            struct snug_field field = schema->fields[i];
            field.type = (enum snug_field_type)type;
            snug_text_clear(&text);
            snug_normalise_value(&field, value->text, &text);
        }
    }
    struct snug_row row;
    snug_row_init(&row, heap);
    row.document = "fuzz.png";
    row.raw = (const char *)data;
    row.raw_bytes = size;
    check(snug_row_set_answer(&row, schema, NULL, 0, &answer, NULL, NULL) == SNUG_STATUS_OK);
    snug_text_clear(&text);
    snug_row_put_table(&row, &text);
    snug_text_clear(&text);
    snug_row_put_json(&row, &text);
    json_t *json = NULL;
    check(snug_json_parse(snug_text_c(&text), text.length, true, "row", &json, NULL) ==
          SNUG_STATUS_OK);
    json_decref(json);
    snug_row_free(&row);
    snug_text_free(&text);
    snug_answer_free(&answer);
    return 0;
}
