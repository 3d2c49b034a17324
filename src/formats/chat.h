/* Prompts built natively. No template engine: a known template is recognised by its shape, any
 * other refused when a prompt must be built. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_FORMATS_CHAT_H
#define SNUG_FORMATS_CHAT_H

#include "formats/tokenizer.h"

enum snug_chat_kind {
    SNUG_CHAT_KIND_UNKNOWN,      /* not one of ours; `reason` says what was found */
    SNUG_CHAT_KIND_INTERNVL_HF,  /* internvl3.md 8.2: the -hf template, no default system prompt */
    SNUG_CHAT_KIND_INTERNVL_ORIG /* internvl3.md 8.1: conversation form "internvl2_5" */
};

struct snug_chat_format {
    enum snug_chat_kind kind;
    char image_placeholder[32]; /* "<IMG_CONTEXT>" or "<image>" as the template writes it (HF) */
    bool video;       /* the template writes "<video>\n" for a video part (else nothing) */
    char reason[160]; /* UNKNOWN: why; else empty */
};

/* Recognises the text of a Jinja template (white space, "\n" escapes and the loop variable's name
 * normalised; the video branch optional). */
void snug_chat_recognise(const char *jinja, size_t length, struct snug_chat_format *out);
/* Template of a folder: chat_template.jinja, chat_template.json, then tokenizer_config.json
 * (string, or list with "default"). original_layout: the template files are ignored and the kind is
 * INTERNVL_ORIG. No template at all: UNKNOWN with a reason. Errors only for unreadable files. */
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

/* Renders messages exactly as the template would (HF). Errors: UNSUPPORTED if kind is UNKNOWN,
 * naming the reason and the option that helps. */
SNUG_CHECK_RESULT enum snug_status snug_chat_render(const struct snug_chat_format *format,
                                                    const struct snug_chat_message *messages,
                                                    size_t count, bool add_generation_prompt,
                                                    struct snug_text *out,
                                                    struct snug_error *error);

/* ---- what extraction needs: one user turn, some pictures, trusted frame and untrusted text ----
 */

/* Names of the special tokens that stand for a picture; ids looked up in the tokenizer. */
struct snug_image_tokens {
    int32_t begin, context, end; /* <img>, <IMG_CONTEXT>, </img>; -1 = none */
    int64_t per_tile;            /* visual tokens a tile */
};

/* Appends the ids of: system block (system_text NULL: the layout's default - none for HF, the
 * sentence of internvl3.md 8.1 for ORIG; "" : none), user turn with `images` pictures in front (HF:
 * placeholder +
 * "\n" each as the template does; ORIG: "<image>\n" each), then user_text, then the assistant's
 * opening. tile_counts[i]: tiles of picture i, expanded to begin + context * per_tile * tiles +
 * end. The ids are those of the whole string encoded at once, except that user_text and system_text
 * cannot bring in a token whose special flag is set (nor begin, context, end): such contents are
 * encoded as plain text. Added tokens with special = false (field names of snug-nano) are
 * recognised as everywhere. */
SNUG_CHECK_RESULT enum snug_status
snug_chat_prompt_ids(const struct snug_chat_format *format, struct snug_tokenizer *tokenizer,
                     const struct snug_image_tokens *image, const int64_t *tile_counts,
                     size_t images, const char *system_text, const char *user_text,
                     struct snug_ids *ids, struct snug_error *error);

#endif
