/* A made-up byte-level BPE tokeniser of true size: Qwen2's with InternVL3's added tokens, or
 * Llama-3's with Llama-3.2-Vision's.
 *
 * Token 256 + r comes from merge r, as in real files. Merges are made in this order, so that what
 * is frequent merges first: pieces of words; a list of words, each merged until it is one token,
 * behind a space and without, in small letters, capitals and with a capital; all pairs of letters,
 * punctuation and white space; the characters of two and three bytes that documents hold; triples
 * and quadruples of letters until the vocabulary is full. No two merges make the same bytes.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/synth_tokenizer.h"

#include "base/json.h"
#include "base/limits.h"
#include "formats/synth_words.h"

#include <stdio.h>
#include <string.h>

#define BYTES 256
#define MAX_TOKEN 48                            /* bytes of one token, and of a word of the list */
#define POOL_BYTES (SNUG_SYNTH_VOCABULARY * 8u) /* of all tokens */
#define SLOTS (1u << 19)

/* The two patterns, which pretokenize.c knows by their text, differ in how numbers are cut. */
#define PATTERN(number)                                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" number "| "                      \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

struct added {
    const char *content;
    bool special;
};

/* In order of id, from 151643 on. */
static const struct added qwen2_added[] = {
    {"<|endoftext|>", true},
    {"<|im_start|>", true},
    {"<|im_end|>", true},
    {"<|object_ref_start|>", true},
    {"<|object_ref_end|>", true},
    {"<|box_start|>", true},
    {"<|box_end|>", true},
    {"<|quad_start|>", true},
    {"<|quad_end|>", true},
    {"<|vision_start|>", true},
    {"<|vision_end|>", true},
    {"<|vision_pad|>", true},
    {"<|image_pad|>", true},
    {"<|video_pad|>", true},
    {"<tool_call>", false},
    {"</tool_call>", false},
    {"<|fim_prefix|>", false},
    {"<|fim_middle|>", false},
    {"<|fim_suffix|>", false},
    {"<|fim_pad|>", false},
    {"<|repo_name|>", false},
    {"<|file_sep|>", false},
    {"<img>", true},
    {"</img>", true},
    {"<IMG_CONTEXT>", true},
    {"<quad>", true},
    {"</quad>", true},
    {"<ref>", true},
    {"</ref>", true},
    {"<box>", true},
    {"</box>", true},
};

/* From 128000 on; reserved ones fill the ids up to the last, which is <|image|>. */
static const struct added llama_added[] = {
    {"<|begin_of_text|>", true},
    {"<|end_of_text|>", true},
    {"<|reserved_special_token_0|>", true},
    {"<|reserved_special_token_1|>", true},
    {"<|finetune_right_pad_id|>", true},
    {"<|step_id|>", true},
    {"<|start_header_id|>", true},
    {"<|end_header_id|>", true},
    {"<|eom_id|>", true},
    {"<|eot_id|>", true},
    {"<|python_tag|>", true},
};
#define LLAMA_FIRST_RESERVED 2 /* the number of the first behind those of the list */

struct family {
    const char *pattern;
    const struct added *added;
    int listed;           /* of the added tokens */
    int vocabulary, size; /* without and with the added tokens */
    bool is_llama;
};
static const struct family qwen2 = {.pattern = PATTERN("\\p{N}"),
                                    .added = qwen2_added,
                                    .listed = sizeof qwen2_added / sizeof *qwen2_added,
                                    .vocabulary = SNUG_SYNTH_VOCABULARY,
                                    .size = SNUG_SYNTH_TOKENIZER_SIZE};
static const struct family llama = {.pattern = PATTERN("\\p{N}{1,3}"),
                                    .added = llama_added,
                                    .listed = sizeof llama_added / sizeof *llama_added,
                                    .vocabulary = SNUG_SYNTH_LLAMA_VOCABULARY,
                                    .size = SNUG_SYNTH_LLAMA_TOKENIZER_SIZE,
                                    .is_llama = true};

struct token {
    uint32_t start, length; /* in the pool */
    int32_t left, right;    /* -1: a byte */
};

struct maker {
    struct token *tokens;
    unsigned char *pool;
    int32_t *slots; /* id + 1 by the hash of the bytes; 0: empty */
    int32_t count, limit;
    uint32_t used; /* of the pool */
    int32_t byte_ids[BYTES];
};

/* ---- the table ---- */

static bool is_printed(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* The slot that holds these bytes, or the empty one where they belong. */
static uint32_t find_slot(const struct maker *m, const unsigned char *bytes, uint32_t length)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    for (uint32_t slot = (hash ^ hash >> 15) & (SLOTS - 1);; slot = (slot + 1) & (SLOTS - 1)) {
        if (!m->slots[slot])
            return slot;
        const struct token *token = &m->tokens[m->slots[slot] - 1];
        if (token->length == length && !memcmp(m->pool + token->start, bytes, length))
            return slot;
    }
}

static int32_t append(struct maker *m, uint32_t slot, const unsigned char *bytes, uint32_t length,
                      int32_t left, int32_t right)
{
    SNUG_ASSERT(length <= POOL_BYTES - m->used);
    memcpy(m->pool + m->used, bytes, length);
    m->tokens[m->count] = (struct token){m->used, length, left, right};
    m->used += length;
    m->slots[slot] = m->count + 1;
    return m->count++;
}

/* Both tokens' bytes into out; 0 if that is too long for a token. */
static uint32_t join(const struct maker *m, int32_t left, int32_t right, unsigned char *out)
{
    const struct token *a = &m->tokens[left], *b = &m->tokens[right];
    if (a->length + b->length > MAX_TOKEN)
        return 0;
    memcpy(out, m->pool + a->start, a->length);
    memcpy(out + a->length, m->pool + b->start, b->length);
    return a->length + b->length;
}

/* The token that this pair merges to, -1 if it does not merge. */
static int32_t merged(const struct maker *m, int32_t left, int32_t right)
{
    unsigned char bytes[MAX_TOKEN];
    uint32_t length = join(m, left, right, bytes);
    int32_t id = length ? m->slots[find_slot(m, bytes, length)] - 1 : -1;
    return id >= 0 && m->tokens[id].left == left && m->tokens[id].right == right ? id : -1;
}

/* A new merge, unless the vocabulary is full or the bytes are a token already. */
static int32_t merge(struct maker *m, int32_t left, int32_t right)
{
    unsigned char bytes[MAX_TOKEN];
    uint32_t length = join(m, left, right, bytes);
    if (!length || m->count == m->limit)
        return -1;
    uint32_t slot = find_slot(m, bytes, length);
    return m->slots[slot] ? -1 : append(m, slot, bytes, length, left, right);
}

/* ---- making merges ---- */

/* Encodes the bytes with the merges that exist, then merges what is left, from the left. */
static void learn(struct maker *m, const char *text, size_t length)
{
    int32_t ids[MAX_TOKEN];
    size_t n = length;
    SNUG_ASSERT(length <= MAX_TOKEN);
    for (size_t i = 0; i < n; i++)
        ids[i] = m->byte_ids[(unsigned char)text[i]];
    while (n > 1) {
        size_t place = n;
        int32_t best = INT32_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            int32_t id = merged(m, ids[i], ids[i + 1]);
            if (id >= 0 && id < best) {
                best = id;
                place = i;
            }
        }
        for (size_t i = 0; i + 1 < n && place == n; i++)
            if ((best = merge(m, ids[i], ids[i + 1])) >= 0)
                place = i;
        if (place == n)
            return;
        ids[place] = best;
        memmove(ids + place + 1, ids + place + 2, (n - place - 2) * sizeof *ids);
        n--;
    }
}

enum form { FORM_SMALL, FORM_CAPITAL, FORM_CAPITALS };

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Every word of a list in one form. */
static void learn_list(struct maker *m, const char *list, const char *before, enum form form)
{
    for (const char *word = list; *word; word += strspn(word, " ")) {
        char text[MAX_TOKEN];
        size_t head = strlen(before), length = strcspn(word, " ");
        SNUG_ASSERT(head + length <= sizeof text);
        memcpy(text, before, head);
        for (size_t i = 0; i < length; i++)
            text[head + i] =
                form == FORM_CAPITALS || (form == FORM_CAPITAL && !i) ? upper(word[i]) : word[i];
        learn(m, text, head + length);
        word += length;
    }
}

static void learn_words(struct maker *m, const char *before, enum form form)
{
    for (size_t i = 0; i < sizeof synth_words / sizeof *synth_words; i++)
        learn_list(m, synth_words[i], before, form);
}

static const char letters[] = "etaoinshrdlcumwfgypbvkjxqz"; /* the frequent ones first */
#define LETTERS 26

static void learn_two(struct maker *m, char first, char second)
{
    char text[2] = {first, second};
    learn(m, text, 2);
}

static void learn_pairs(struct maker *m)
{
    static const char marks[] = ".,:;-_/()[]{}<>|*#$%&@!?'\"+=~`^\\";
    for (int i = 0; i < LETTERS; i++) {
        learn_two(m, ' ', letters[i]);
        learn_two(m, ' ', upper(letters[i]));
    }
    for (int sum = 0; sum < 2 * LETTERS - 1; sum++)
        for (int i = 0; i <= sum; i++)
            if (i < LETTERS && sum - i < LETTERS) {
                char a = letters[i], b = letters[sum - i];
                learn_two(m, a, b);
                learn_two(m, upper(a), b);
                learn_two(m, upper(a), upper(b));
            }
    for (const char *a = marks; *a; a++) {
        learn_two(m, ' ', *a);
        learn_two(m, *a, '\n');
        for (const char *b = marks; *b; b++)
            learn_two(m, *a, *b);
        for (int i = 0; i < LETTERS; i++) { /* one mark may stand before a word */
            learn_two(m, *a, letters[i]);
            learn_two(m, *a, upper(letters[i]));
        }
    }
    for (const char *c = " \n\t-=_.*"; *c; c++) { /* runs */
        char run[32];
        memset(run, *c, sizeof run);
        for (size_t length = 2; length <= sizeof run; length++)
            learn(m, run, length);
    }
}

/* The characters [first, last], of two or three bytes each. */
static void learn_characters(struct maker *m, uint32_t first, uint32_t last)
{
    for (uint32_t c = first; c <= last; c++) {
        unsigned char bytes[4];
        int length = snug_utf8_encode(c, bytes);
        learn(m, (const char *)bytes, (size_t)length);
    }
}

/* Three and four letters, behind a space too, until the vocabulary is full. */
static void learn_groups(struct maker *m)
{
    int32_t pairs[LETTERS * LETTERS];
    int count = 0;
    for (int sum = 0; sum < 2 * LETTERS - 1; sum++)
        for (int i = 0; i <= sum; i++)
            if (i < LETTERS && sum - i < LETTERS) {
                unsigned char text[2] = {(unsigned char)letters[i],
                                         (unsigned char)letters[sum - i]};
                pairs[count++] = m->slots[find_slot(m, text, 2)] - 1;
            }
    int32_t space = m->byte_ids[' '];
    for (int i = 0; i < count; i++) {
        merge(m, space, pairs[i]);
        for (int j = 0; j < LETTERS; j++)
            merge(m, pairs[i], m->byte_ids[(unsigned char)letters[j]]);
    }
    for (int sum = 0; sum < 2 * count - 1; sum++)
        for (int i = 0; i <= sum; i++)
            if (i < count && sum - i < count)
                merge(m, pairs[i], pairs[sum - i]);
    SNUG_ASSERT(m->count == m->limit);
}

/* Two and three digits, which Llama's pattern leaves together. */
static void learn_numbers(struct maker *m)
{
    for (int number = 0; number < 1000; number++) {
        char text[3] = {(char)('0' + number / 100), (char)('0' + number / 10 % 10),
                        (char)('0' + number % 10)};
        if (number < 100)
            learn(m, text + 1, 2);
        learn(m, text, 3);
    }
}

static void make_vocabulary(struct maker *m, const struct family *family)
{
    m->limit = family->vocabulary;
    for (int printed = 1; printed >= 0; printed--)
        for (int byte = 0; byte < BYTES; byte++)
            if (is_printed(byte) == (printed == 1)) {
                unsigned char c = (unsigned char)byte;
                m->byte_ids[byte] = append(m, find_slot(m, &c, 1), &c, 1, -1, -1);
            }
    if (family->is_llama)
        learn_numbers(m);
    learn_list(m, synth_pieces, "", FORM_SMALL);
    learn_words(m, " ", FORM_SMALL);
    learn_words(m, " ", FORM_CAPITAL);
    learn_words(m, "", FORM_SMALL);
    learn_words(m, "", FORM_CAPITAL);
    learn_words(m, "", FORM_CAPITALS);
    learn_words(m, " ", FORM_CAPITALS);
    learn_pairs(m);
    learn_characters(m, 0x80, 0x7ff);
    learn_characters(m, 0x2010, 0x20bf); /* dashes, quotes, currencies */
    learn_characters(m, 0x3000, 0x30ff); /* kana */
    learn_characters(m, 0x4e00, 0x9fff); /* Chinese */
    learn_characters(m, 0xac00, 0xd7a3); /* Korean */
    learn_groups(m);
}

/* ---- writing ---- */

/* The token's bytes as characters: those that print stand for themselves, the others for U+0100 and
 * on. */
static void put_symbols(struct snug_text *out, const struct maker *m, int32_t id)
{
    const struct token *token = &m->tokens[id];
    for (uint32_t i = 0; i < token->length; i++) {
        int byte = m->pool[token->start + i];
        uint32_t c = (uint32_t)byte;
        if (!is_printed(byte)) {
            c = 0x100;
            for (int lower = 0; lower < byte; lower++)
                c += !is_printed(lower);
        }
        if (c == '"' || c == '\\')
            snug_text_putc(out, '\\');
        snug_text_put_code_point(out, c);
    }
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

/* The added token `index`; its content may be in the buffer. */
static struct added added_token(const struct family *family, int index, char buffer[48])
{
    if (index < family->listed)
        return family->added[index];
    if (index == family->size - family->vocabulary - 1)
        return (struct added){"<|image|>", true};
    (void)snprintf(buffer, 48, "<|reserved_special_token_%d|>",
                   index - family->listed + LLAMA_FIRST_RESERVED);
    return (struct added){buffer, true};
}

static void put_added(struct snug_text *out, const struct family *family)
{
    int count = family->size - family->vocabulary;
    snug_text_puts(out, "  \"added_tokens\": [\n");
    for (int i = 0; i < count; i++) {
        char buffer[48];
        struct added token = added_token(family, i, buffer);
        snug_text_printf(out,
                         "    {\n      \"id\": %d,\n      \"content\": \"%s\",\n"
                         "      \"single_word\": false,\n      \"lstrip\": false,\n"
                         "      \"rstrip\": false,\n      \"normalized\": false,\n"
                         "      \"special\": %s\n    }%s\n",
                         family->vocabulary + i, token.content, boolean(token.special),
                         i + 1 < count ? "," : "");
    }
    snug_text_puts(out, "  ],\n");
}

#define LEVEL                                                                                      \
    "\"type\": \"ByteLevel\",\n"                                                                   \
    "    \"add_prefix_space\": false,\n"                                                           \
    "    \"trim_offsets\": false,\n"                                                               \
    "    \"use_regex\": false\n"
#define BOS "{\"SpecialToken\": {\"id\": \"<|begin_of_text|>\", \"type_id\": 0}}"
#define TEXT(name, type) "{\"Sequence\": {\"id\": \"" name "\", \"type_id\": " type "}}"

/* Llama's puts <|begin_of_text|> in front, for programs that do; snug's prompts have it already. */
static void put_post_processor(struct snug_text *out, const struct family *family)
{
    if (!family->is_llama)
        snug_text_puts(out, "  \"post_processor\": {\n    " LEVEL "  },\n");
    else
        snug_text_printf(
            out,
            "  \"post_processor\": {\n    \"type\": \"Sequence\",\n"
            "    \"processors\": [{\n    " LEVEL "    }, {\n"
            "    \"type\": \"TemplateProcessing\",\n"
            "    \"single\": [" BOS ", " TEXT(
                "A", "0") "],\n"
                          "    \"pair\": [" BOS ", " TEXT("A", "0") ", " TEXT(
                              "B",
                              "1") "],\n"
                                   "    \"special_tokens\": {\"<|begin_of_text|>\": {\n"
                                   "      \"id\": \"<|begin_of_text|>\", \"ids\": [%d],\n"
                                   "      \"tokens\": [\"<|begin_of_text|>\"]}}\n    }]\n  },\n",
            family->vocabulary);
}

static void put_pipeline(struct snug_text *out, const struct family *family)
{
    snug_text_puts(out, family->is_llama ? "  \"normalizer\": null,\n"
                                         : "  \"normalizer\": {\n    \"type\": \"NFC\"\n  },\n");
    snug_text_puts(out, "  \"pre_tokenizer\": {\n    \"type\": \"Sequence\",\n"
                        "    \"pretokenizers\": [\n      {\n        \"type\": \"Split\",\n"
                        "        \"pattern\": {\n          \"Regex\": ");
    snug_json_put_string(out, family->pattern);
    snug_text_puts(out, "\n        },\n        \"behavior\": \"Isolated\",\n"
                        "        \"invert\": false\n      },\n      {\n        " LEVEL
                        "      }\n    ]\n  },\n");
    put_post_processor(out, family);
    snug_text_puts(out, "  \"decoder\": {\n    " LEVEL "  },\n");
}

static void put_model(struct snug_text *out, const struct maker *m, const struct family *family)
{
    snug_text_printf(out,
                     "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                     "    \"unk_token\": null,\n    \"continuing_subword_prefix\": \"\",\n"
                     "    \"end_of_word_suffix\": \"\",\n    \"fuse_unk\": false,\n"
                     "    \"byte_fallback\": false,\n    \"ignore_merges\": %s,\n"
                     "    \"vocab\": {\n",
                     boolean(family->is_llama));
    for (int32_t id = 0; id < m->count; id++) {
        snug_text_puts(out, "      \"");
        put_symbols(out, m, id);
        snug_text_printf(out, "\": %d%s\n", (int)id, id + 1 < m->count ? "," : "");
    }
    snug_text_puts(out, "    },\n    \"merges\": [\n");
    for (int32_t id = BYTES; id < m->count; id++) {
        snug_text_puts(out, "      \"");
        put_symbols(out, m, m->tokens[id].left);
        snug_text_putc(out, ' ');
        put_symbols(out, m, m->tokens[id].right);
        snug_text_puts(out, id + 1 < m->count ? "\",\n" : "\"\n");
    }
    snug_text_puts(out, "    ]\n  }\n}\n");
}

static enum snug_status write_tokenizer(struct snug_text *out, const struct family *family,
                                        const struct snug_allocator *allocator,
                                        struct snug_error *error)
{
    struct maker m = {0};
    enum snug_status status;
    m.tokens = snug_alloc_array(allocator, (size_t)family->vocabulary, sizeof *m.tokens);
    m.pool = snug_alloc(allocator, POOL_BYTES);
    m.slots = snug_calloc(allocator, SLOTS, sizeof *m.slots);
    if (m.tokens && m.pool && m.slots) {
        make_vocabulary(&m, family);
        snug_text_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                            "  \"padding\": null,\n");
        put_added(out, family);
        put_pipeline(out, family);
        put_model(out, &m, family);
        status = snug_text_status(out, error, "tokenizer.json");
    } else
        status = snug_error_memory(error, SLOTS * sizeof *m.slots, "the tokeniser");
    snug_free(allocator, m.slots);
    snug_free(allocator, m.pool);
    snug_free(allocator, m.tokens);
    return status;
}

enum snug_status snug_synth_tokenizer(struct snug_text *out, const struct snug_allocator *allocator,
                                      struct snug_error *error)
{
    SNUG_ASSERT(qwen2.vocabulary + qwen2.listed == qwen2.size);
    return write_tokenizer(out, &qwen2, allocator, error);
}

enum snug_status snug_synth_llama_tokenizer(struct snug_text *out,
                                            const struct snug_allocator *allocator,
                                            struct snug_error *error)
{
    return write_tokenizer(out, &llama, allocator, error);
}

static void put_added_decoder(struct snug_text *out, const struct family *family)
{
    int count = family->size - family->vocabulary;
    snug_text_puts(out, "  \"added_tokens_decoder\": {\n");
    for (int i = 0; i < count; i++) {
        char buffer[48];
        struct added token = added_token(family, i, buffer);
        snug_text_printf(out,
                         "    \"%d\": {\n      \"content\": \"%s\",\n      \"lstrip\": false,\n"
                         "      \"normalized\": false,\n      \"rstrip\": false,\n"
                         "      \"single_word\": false,\n      \"special\": %s\n    }%s\n",
                         family->vocabulary + i, token.content, boolean(token.special),
                         i + 1 < count ? "," : "");
    }
    snug_text_puts(out, "  },\n");
}

void snug_synth_tokenizer_config(struct snug_text *out)
{
    snug_text_puts(out, "{\n  \"add_bos_token\": false,\n  \"add_prefix_space\": false,\n");
    put_added_decoder(out, &qwen2);
    snug_text_puts(out, "  \"bos_token\": null,\n"
                        "  \"clean_up_tokenization_spaces\": false,\n"
                        "  \"context_image_token\": \"<IMG_CONTEXT>\",\n"
                        "  \"end_image_token\": \"</img>\",\n  \"eos_token\": \"<|im_end|>\",\n"
                        "  \"errors\": \"replace\",\n  \"extra_special_tokens\": {\n"
                        "    \"context_image_token\": \"<IMG_CONTEXT>\",\n"
                        "    \"end_image_token\": \"</img>\",\n"
                        "    \"start_image_token\": \"<img>\"\n  },\n"
                        "  \"model_max_length\": 8192,\n  \"pad_token\": \"<|endoftext|>\",\n"
                        "  \"processor_class\": \"InternVLProcessor\",\n"
                        "  \"return_token_type_ids\": false,\n"
                        "  \"split_special_tokens\": false,\n  \"start_image_token\": \"<img>\",\n"
                        "  \"tokenizer_class\": \"Qwen2Tokenizer\",\n  \"unk_token\": null\n}\n");
}

void snug_synth_llama_tokenizer_config(struct snug_text *out)
{
    snug_text_puts(out, "{\n");
    put_added_decoder(out, &llama);
    snug_text_puts(out, "  \"bos_token\": \"<|begin_of_text|>\",\n"
                        "  \"clean_up_tokenization_spaces\": false,\n"
                        "  \"eos_token\": \"<|eot_id|>\",\n"
                        "  \"model_input_names\": [\n    \"input_ids\",\n"
                        "    \"attention_mask\"\n  ],\n"
                        "  \"model_max_length\": 131072,\n"
                        "  \"pad_token\": \"<|finetune_right_pad_id|>\",\n"
                        "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}
