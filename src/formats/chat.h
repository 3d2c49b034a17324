/* Prompts built natively. No template engine: a known template is recognised by its shape, any
 * other refused when a prompt must be built. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_FORMATS_CHAT_H
#define SNUG_FORMATS_CHAT_H

#include "formats/tokenizer.h"

enum snug_chat_kind {
    SNUG_CHAT_KIND_UNKNOWN,       /* not one of ours; `reason` says what was found */
    SNUG_CHAT_KIND_INTERNVL_HF,   /* internvl3.md 8.2: the -hf template, no default system prompt */
    SNUG_CHAT_KIND_INTERNVL_ORIG, /* internvl3.md 8.1: conversation form "internvl2_5" */
    SNUG_CHAT_KIND_LLAMA,         /* llama-3.2-vision.md 7.2: the instruct models' */
    SNUG_CHAT_KIND_LLAMA_BASE     /* the same, base models: BOS, pictures, text; no template */
};

/* The names that snug_chat_kind_parse knows, for messages. */
#define SNUG_CHAT_KIND_NAMES "internvl-hf, internvl-orig, llama or llama-base"
/* False, and *kind untouched, for any other name. */
bool snug_chat_kind_parse(const char *name, enum snug_chat_kind *kind);

/* Zero but for the kind is a good format of every kind: LLAMA's is then the hub's. */
struct snug_chat_format {
    enum snug_chat_kind kind;
    char image_placeholder[32]; /* "<IMG_CONTEXT>" or "<image>" as the template writes it (HF) */
    bool video;    /* the template writes "<video>\n" for a video part (else nothing) */
    bool trims;    /* LLAMA: the template strips white space off every text (else the system's) */
    bool no_bos;   /* LLAMA, LLAMA_BASE: bos_token is the empty text */
    char bos[32];  /* what bos_token is instead of "<|begin_of_text|>"; "": that */
    char date[32]; /* LLAMA: "Today Date" of prompts without pictures. "": 26 Jul 2024, which the
                      template prints where there is no clock, as prompts must not depend on the
                      day */
    char reason[160]; /* UNKNOWN: why; else empty */
};

/* Recognises the text of a Jinja template. InternVL's by what they print (white space, "\n" escapes
 * and the loop variable's name normalised; the video branch optional), Llama's by the digest of
 * their words (chat_internal.h). */
void snug_chat_recognise(const char *jinja, size_t length, struct snug_chat_format *out);
/* Template of a folder: chat_template.jinja, chat_template.json, then tokenizer_config.json
 * (string, or list with "default"). original_layout: the template files are ignored and the kind is
 * INTERNVL_ORIG. No template at all: UNKNOWN with a reason. LLAMA: bos is tokenizer_config.json's
 * bos_token, if it has one. Errors only for unreadable files. */
SNUG_CHECK_RESULT enum snug_status snug_chat_load(const struct snug_folder *folder,
                                                  bool original_layout,
                                                  const struct snug_allocator *allocator,
                                                  struct snug_chat_format *out,
                                                  struct snug_error *error);

enum snug_chat_part_kind {
    SNUG_CHAT_PART_KIND_TEXT,
    SNUG_CHAT_PART_KIND_IMAGE,
    SNUG_CHAT_PART_KIND_VIDEO
};
struct snug_chat_part {
    enum snug_chat_part_kind kind;
    const char *text; /* TEXT only */
};
struct snug_chat_message {
    const char *role;
    const struct snug_chat_part *parts;
    size_t part_count;
    bool is_string; /* content was a plain string (one TEXT part), not a list */
};

/* Renders messages exactly as the template would. Errors: UNSUPPORTED if kind is UNKNOWN, naming
 * the reason and the option that helps.
 * LLAMA also refuses (UNSUPPORTED): a system message beside a picture, in the template's words; no
 * message at all; answers of tools; a system message that the template would print as a list. Tools
 * and tool calls cannot be said in these structs. LLAMA_BASE takes one user message only. */
SNUG_CHECK_RESULT enum snug_status snug_chat_render(const struct snug_chat_format *format,
                                                    const struct snug_chat_message *messages,
                                                    size_t count, bool add_generation_prompt,
                                                    struct snug_text *out,
                                                    struct snug_error *error);

/* ---- what extraction needs: one user turn, some pictures, trusted frame and untrusted text ----
 */

/* Special tokens that stand for a picture; ids looked up in the tokenizer by name
 * (snug_tokenizer_added_id), as files of others hold them elsewhere: Llama's <|image|> is 128256 in
 * the hub's, 128011 in some. */
struct snug_image_tokens {
    int32_t begin, context, end; /* <img>, <IMG_CONTEXT>, </img>; -1 = none. Llama: context alone */
    int64_t per_tile;            /* visual tokens a tile; 0: one token a picture (Llama) */
};

/* Appends the ids of: system block (system_text NULL: the layout's default - none for HF and Llama,
 * the sentence of internvl3.md 8.1 for ORIG; "" : none), user turn with `images` pictures in front
 * (HF: placeholder + "\n" each as the template does; ORIG: "<image>\n" each; LLAMA: nothing but the
 * picture), then user_text, then the assistant's opening. tile_counts[i]: tiles of picture i,
 * expanded to begin + context * per_tile * tiles + end. LLAMA, LLAMA_BASE: one context a picture,
 * tile_counts may be NULL; one BOS in front, which the caller must not add again; a system_text
 * beside pictures, or to LLAMA_BASE, is UNSUPPORTED. The ids are those of the whole string encoded
 * at once, except that user_text and system_text cannot bring in a token whose special flag is set
 * (nor begin, context, end): such contents are encoded as plain text. Added tokens with special =
 * false (field names of snug-nano) are recognised as everywhere. */
SNUG_CHECK_RESULT enum snug_status
snug_chat_prompt_ids(const struct snug_chat_format *format, struct snug_tokenizer *tokenizer,
                     const struct snug_image_tokens *image, const int64_t *tile_counts,
                     size_t images, const char *system_text, const char *user_text,
                     struct snug_ids *ids, struct snug_error *error);

#endif
