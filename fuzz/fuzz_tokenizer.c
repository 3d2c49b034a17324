/* Fuzz target: the input as a tokenizer.json; what loads must encode and decode a fixed text, and
 * be JSON to jansson, too, which does not see the large members of a file that loads. Seeds:
 * fuzz/corpus/tokenizer, tests/golden/tokenizers/nano/tokenizer.json.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "formats/tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct snug_tokenizer *tokenizer)
{
    static const char sample[] = "<|im_start|>user\nTotal: $12.50  caf\xC3\xA9 e\xCC\x81\xCC\x96 "
                                 "<x> abcabc \xE4\xBD\xA0<|im_end|>\n";
    const struct snug_allocator *heap = snug_allocator_heap();
    static const enum snug_added_tokens modes[] = {
        SNUG_ADDED_TOKENS_NONE, SNUG_ADDED_TOKENS_NOT_SPECIAL, SNUG_ADDED_TOKENS_ALL};
    for (int i = 0; i < 3; i++) {
        struct snug_ids ids;
        struct snug_text text;
        snug_ids_init(&ids, heap);
        snug_text_init(&text, heap, (size_t)1 << 24);
        if (snug_tokenizer_encode(tokenizer, sample, strlen(sample), modes[i], &ids, NULL) ==
            SNUG_STATUS_OK) {
            for (size_t k = 0; k < ids.count; k++) {
                size_t length;
                SNUG_ASSERT(snug_tokenizer_bytes(tokenizer, ids.data[k], &length) != NULL);
            }
            (void)!snug_tokenizer_decode(tokenizer, ids.data, ids.count, true, &text, NULL);
        }
        snug_text_free(&text);
        snug_ids_free(&ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snug_tokenizer *tokenizer = NULL;
    struct snug_error error;
    if (snug_tokenizer_load_json((const char *)data, size, "fuzz", snug_allocator_heap(),
                                 &tokenizer, &error) == SNUG_STATUS_OK) {
        json_t *root = NULL;
        SNUG_ASSERT(snug_json_parse((const char *)data, size, false, "fuzz", &root, &error) ==
                    SNUG_STATUS_OK);
        json_decref(root);
        use(tokenizer);
        snug_tokenizer_free(tokenizer);
    }
    return 0;
}
