/* What the reader's files share: one document on its way from bytes to a row.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_READER_INTERNAL_H
#define SNUG_EXTRACT_READER_INTERNAL_H

#include "extract/reader.h"

struct snug_reader {
    size_t embedded_bytes; /* of the folder's files, if they are within the program */
    const struct snug_allocator *allocator;
    const struct snug_schema *schema;
    struct snug_reader_options options;
    struct snug_model *model;
    struct snug_tokenizer *tokenizer;
    struct snug_chat_format chat;
    struct snug_image_tokens image_tokens;
    struct snug_tile_options tiles;
    int32_t stop_ids[SNUG_MAX_STOP_IDS + 1];
    int stop_id_count;
    struct snug_text prompt; /* the user's text, the same for every document */
    struct snug_forecast forecast;
    struct snug_ladder ladder;
    enum snug_stage stage; /* reported last */
    int64_t stage_tokens;
};

/* Reports a stage; false: the caller of the reader wants to stop. */
bool snug_reader_goes_on(struct snug_reader *reader, enum snug_stage stage, int64_t tokens);
/* The same stage again, between the steps of a run (context: the reader, with a progress). */
bool snug_reader_still_goes_on(void *context);
enum snug_status snug_reader_interrupted(struct snug_error *error);

/* One question to the model:
 *
 *     open     picture decoded into tiles, prompt made; no slot is needed yet
 *     start    on the ladder: tiles seen, prompt read, first token taken
 *     (snug_ladder_advance, with others or alone, until `answer` is over)
 *     finish   the answer's text
 *
 * free at any time: releases all that is not in the arena, and its place on the ladder. */
struct snug_asking {
    struct snug_reader *reader;
    const char *name;         /* for events */
    struct snug_arena *arena; /* the caller's, for what *out points to */
    struct snug_reading *out;
    unsigned char *pixels; /* tiles as bytes, until they are not looked at again */
    struct snug_tile_grid grid;
    struct snug_ids prompt;
    uint64_t document; /* its number for the sampler */
    struct snug_generation generation;
    struct snug_answering answer;
    double start_ms;
};

/* *out is zeroed first; arena and out must live as long as the asking. Errors: the picture's,
 * MEMORY, INTERRUPTED. Freed in any case. */
SNUG_CHECK_RESULT enum snug_status
snug_asking_open(struct snug_asking *asking, struct snug_reader *reader, struct snug_bytes *bytes,
                 struct snug_arena *arena, struct snug_reading *out, struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status snug_asking_start(struct snug_asking *asking,
                                                     struct snug_error *error);
/* A status that ends the run: asked for by no_fallback. */
bool snug_reader_gives_up(const struct snug_reader *reader, enum snug_status status);
/* Once the answer is over: its status, or that of making its text. */
SNUG_CHECK_RESULT enum snug_status snug_asking_finish(struct snug_asking *asking,
                                                      struct snug_error *error);
void snug_asking_free(struct snug_asking *asking); /* zeroed allowed */

/* A row of the reader's model where nothing else is known yet. */
void snug_reader_init_row(const struct snug_reader *reader, const char *document,
                          struct snug_row *row);
/* Fills it from what the model said, all of it copied into the row's arena. start_ms: when the
 * document was opened. Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_reader_fill_row(const struct snug_reader *reader,
                                                        const struct snug_reading *reading,
                                                        double start_ms, struct snug_row *row,
                                                        struct snug_error *error);

#endif
