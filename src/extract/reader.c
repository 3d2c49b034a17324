/* One document through the model: picture, tiles, prompt, tokens, text.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/reader_internal.h"

#include "base/clock.h"
#include "extract/confidence.h"

#include <sha2.h>

const char *snug_stage_text(enum snug_stage stage)
{
    static const char *const names[] = {"decoding the picture", "looking", "reading the prompt",
                                        "writing"};
    return names[stage];
}

/* ---- asking ---- */

bool snug_reader_goes_on(struct snug_reader *reader, enum snug_stage stage, int64_t tokens)
{
    reader->stage = stage;
    reader->stage_tokens = tokens;
    return !reader->options.progress ||
           reader->options.progress(reader->options.progress_context, stage, tokens);
}

bool snug_reader_still_goes_on(void *context)
{
    const struct snug_reader *reader = context;
    return reader->options.progress(reader->options.progress_context, reader->stage,
                                    reader->stage_tokens);
}

enum snug_status snug_reader_interrupted(struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "interrupted");
}

/* The picture as tiles of bytes, straight from its file. */
static enum snug_status make_tiles(struct snug_asking *asking, struct snug_bytes *bytes,
                                   struct snug_error *error)
{
    struct snug_reader *reader = asking->reader;
    const struct snug_image_limits limits = {.max_pixels = reader->options.max_pixels,
                                             .max_bytes = reader->options.max_page_bytes};
    double start = snug_clock_ms();
    if (!snug_reader_goes_on(reader, SNUG_STAGE_DECODE_IMAGE, 0))
        return snug_reader_interrupted(error);
    enum snug_status status = snug_tiles_read(bytes, &limits, &reader->tiles, reader->allocator,
                                              &asking->grid, &asking->pixels, error);
    asking->out->image_tokens =
        reader->image_tokens.per_tile ? asking->grid.tiles * reader->image_tokens.per_tile : 1;
    asking->out->timing.decode_image = snug_clock_ms() - start;
    return status;
}

/* The ladder is about to look at the picture, or to read the prompt. */
static bool on_stage(void *context, bool prompt)
{
    struct snug_asking *asking = context;
    return snug_reader_goes_on(asking->reader, prompt ? SNUG_STAGE_PREFILL : SNUG_STAGE_VISION, 0);
}

/* First 8 bytes of the file's SHA-256, little-endian (DESIGN 2.9). */
static enum snug_status document_number(struct snug_bytes *bytes, uint64_t *out,
                                        struct snug_error *error)
{
    SHA2_CTX context;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint64_t number = 0;
    size_t count;
    SHA256Init(&context);
    for (uint64_t at = 0; at < bytes->size; at += count) {
        const unsigned char *data = snug_bytes_view(bytes, at, &count);
        if (!data)
            return snug_bytes_status(bytes, error);
        SHA256Update(&context, data, count);
    }
    SHA256Final(digest, &context);
    for (int i = 7; i >= 0; i--)
        number = number << 8 | digest[i];
    *out = number;
    return SNUG_STATUS_OK;
}

/* Room for the answer, in the arena. */
static enum snug_status make_room(struct snug_asking *asking, struct snug_error *error)
{
    size_t room = (size_t)snug_reader_answer_tokens(asking->reader);
    asking->generation = (struct snug_generation){
        .ids = snug_arena_calloc(asking->arena, room, sizeof(int32_t)),
        .log_probabilities = snug_arena_calloc(asking->arena, room, sizeof(double))};
    if (!asking->generation.ids || !asking->generation.log_probabilities)
        return snug_error_memory(error, room * (sizeof(int32_t) + sizeof(double)), "the answer");
    return SNUG_STATUS_OK;
}

/* The answer's text without special tokens, and where each token's text ends in it. */
static enum snug_status detokenise(struct snug_reader *reader, struct snug_arena *arena,
                                   struct snug_reading *out, struct snug_error *error)
{
    struct snug_detokenizer state = {0};
    struct snug_text text;
    size_t *ends = snug_arena_calloc(arena, (size_t)out->count + 1, sizeof *ends);
    if (!ends)
        return snug_error_memory(error, (size_t)out->count * sizeof *ends, "the answer");
    snug_text_init(&text, reader->allocator, SNUG_MAX_ANSWER_BYTES);
    for (int64_t i = 0; i < out->count; i++) {
        snug_detokenizer_push(&state, reader->tokenizer, out->ids[i], true, &text);
        ends[i] = text.length;
    }
    snug_detokenizer_finish(&state, &text);
    if (out->count)
        ends[out->count - 1] = text.length;
    enum snug_status status = snug_text_status(&text, error, "the answer");
    out->ends = ends;
    out->raw_bytes = text.length;
    out->raw = status ? NULL : snug_arena_strndup(arena, snug_text_c(&text), text.length);
    if (!status && !out->raw)
        status = snug_error_memory(error, text.length, "the answer");
    snug_text_free(&text);
    return status;
}

static enum snug_status copy_prompt(const struct snug_ids *prompt, struct snug_arena *arena,
                                    struct snug_reading *out, struct snug_error *error)
{
    int32_t *copy = snug_arena_alloc(arena, prompt->count * sizeof *copy);
    if (!copy)
        return snug_error_memory(error, prompt->count * sizeof *copy, "the prompt");
    memcpy(copy, prompt->data, prompt->count * sizeof *copy);
    out->prompt_ids = copy;
    out->prompt_count = (int64_t)prompt->count;
    return SNUG_STATUS_OK;
}

enum snug_status snug_asking_open(struct snug_asking *asking, struct snug_reader *reader,
                                  struct snug_bytes *bytes, struct snug_arena *arena,
                                  struct snug_reading *out, struct snug_error *error)
{
    *asking = (struct snug_asking){
        .reader = reader, .arena = arena, .out = out, .start_ms = snug_clock_ms()};
    *out = (struct snug_reading){0};
    snug_ids_init(&asking->prompt, reader->allocator);
    enum snug_status status = document_number(bytes, &asking->document, error);
    if (!status)
        status = make_tiles(asking, bytes, error);
    if (!status)
        status = snug_chat_prompt_ids(&reader->chat, reader->tokenizer, &reader->image_tokens,
                                      &asking->grid.tiles, 1, reader->options.system,
                                      snug_text_c(&reader->prompt), &asking->prompt, error);
    if (!status)
        status = copy_prompt(&asking->prompt, arena, out, error);
    if (!status)
        status = make_room(asking, error);
    return status;
}

/* Positions that prompt and answer may take. */
static int64_t positions_of(const struct snug_asking *asking)
{
    return (int64_t)asking->prompt.count + snug_reader_answer_tokens(asking->reader);
}

enum snug_status snug_asking_start(struct snug_asking *asking, struct snug_error *error)
{
    struct snug_reader *reader = asking->reader;
    const struct snug_request request = {
        .name = asking->name,
        .prompt = asking->prompt.data,
        .prompt_count = (int64_t)asking->prompt.count,
        .picture = {.tiles = asking->grid.tiles,
                    .rows = asking->grid.rows,
                    .columns = asking->grid.columns,
                    .bytes = asking->pixels},
        .tokens = positions_of(asking),
        .options = {.max_new_tokens = snug_reader_answer_tokens(reader),
                    .sampling = reader->options.sampling,
                    .document = asking->document,
                    .stop_ids = reader->stop_ids,
                    .stop_id_count = reader->stop_id_count,
                    .detect_loops = true},
        .out = &asking->generation,
        .stage = on_stage,
        .stage_context = asking};
    SNUG_TRY(snug_ladder_start(&reader->ladder, &asking->answer, &request, error));
    if (snug_ladder_may_replay(&reader->ladder))
        return SNUG_STATUS_OK;
    snug_free(reader->allocator, asking->pixels);
    asking->pixels = NULL;
    return SNUG_STATUS_OK;
}

bool snug_reader_gives_up(const struct snug_reader *reader, enum snug_status status)
{
    return reader->options.no_fallback &&
           (status == SNUG_STATUS_DEVICE || status == SNUG_STATUS_DEVICE_LOST ||
            status == SNUG_STATUS_DOES_NOT_FIT) &&
           reader->options.device_count;
}

/* The moves, for the row. */
static enum snug_status copy_moves(const struct snug_asking *asking, struct snug_error *error)
{
    const struct snug_answering *a = &asking->answer;
    struct snug_reading *out = asking->out;
    int64_t count = a->move_count < SNUG_MAX_MOVES ? a->move_count : SNUG_MAX_MOVES;
    struct snug_move *moves = snug_arena_calloc(asking->arena, (size_t)count + 1, sizeof *moves);
    if (!moves)
        return snug_error_memory(error, (size_t)count * sizeof *moves, "the answer");
    memcpy(moves, a->moves, (size_t)count * sizeof *moves);
    out->rung = a->rung;
    out->moves = moves;
    out->move_count = count;
    return SNUG_STATUS_OK;
}

enum snug_status snug_asking_finish(struct snug_asking *asking, struct snug_error *error)
{
    struct snug_reading *out = asking->out;
    const struct snug_generation *generation = &asking->generation;
    if (asking->answer.status)
        return snug_error_set(error, asking->answer.status, "%s", asking->answer.error.message);
    out->ids = generation->ids;
    out->log_probabilities = generation->log_probabilities;
    out->count = generation->count;
    out->finish = generation->finish;
    out->timing.vision = generation->vision_ms;
    out->timing.prefill = generation->prefill_ms;
    out->timing.decode = generation->decode_ms;
    SNUG_TRY(copy_moves(asking, error));
    enum snug_status status = detokenise(asking->reader, asking->arena, out, error);
    out->timing.total = snug_clock_ms() - asking->start_ms;
    return status;
}

void snug_asking_free(struct snug_asking *asking)
{
    if (!asking->reader)
        return;
    snug_ladder_end(&asking->reader->ladder, &asking->answer);
    snug_free(asking->reader->allocator, asking->pixels);
    snug_ids_free(&asking->prompt);
    *asking = (struct snug_asking){0};
}

static enum snug_status ask(struct snug_reader *reader, const char *name, struct snug_bytes *bytes,
                            struct snug_arena *arena, struct snug_reading *out,
                            struct snug_error *error)
{
    struct snug_asking asking;
    enum snug_status status = snug_asking_open(&asking, reader, bytes, arena, out, error);
    asking.name = name;
    if (!status)
        status = snug_asking_start(&asking, error);
    while (!status && !asking.answer.over) {
        if (!snug_reader_goes_on(reader, SNUG_STAGE_DECODE, asking.generation.count))
            status = snug_reader_interrupted(error);
        else
            status = snug_ladder_advance(&reader->ladder, error);
    }
    if (!status)
        status = snug_asking_finish(&asking, error);
    snug_asking_free(&asking);
    return status;
}

enum snug_status snug_reader_ask(struct snug_reader *reader, struct snug_bytes *bytes,
                                 struct snug_arena *arena, struct snug_reading *out,
                                 struct snug_error *error)
{
    return ask(reader, bytes->name, bytes, arena, out, error);
}

_Static_assert(SNUG_MAX_ROW_MOVES >= SNUG_MAX_MOVES, "a row has room for the moves");

/* ---- rows ---- */

static enum snug_status set_fields(const struct snug_reader *reader,
                                   const struct snug_reading *reading, struct snug_row *row,
                                   struct snug_error *error)
{
    struct snug_answer answer = {0};
    size_t count = reader->schema->field_count;
    double *confidences = snug_arena_calloc(&row->arena, count, sizeof *confidences);
    if (!confidences)
        return snug_error_memory(error, count * sizeof *confidences, "the fields");
    enum snug_status status = snug_answer_parse(reader->schema, reading->raw, reading->raw_bytes,
                                                reader->allocator, &answer, error);
    if (status)
        return status;
    for (size_t i = 0; i < count; i++)
        confidences[i] =
            snug_field_confidence(answer.values[i].start, answer.values[i].end, reading->ends,
                                  reading->log_probabilities, (size_t)reading->count);
    status = snug_row_set_answer(row, reader->schema, NULL, 0, &answer, confidences, error);
    snug_answer_free(&answer);
    return status;
}

void snug_reader_init_row(const struct snug_reader *reader, const char *document,
                          struct snug_row *row)
{
    snug_row_init(row, reader->allocator);
    row->document = document;
    row->model = reader->model->name;
    row->rung = snug_rung_name(reader->ladder.plan.rung);
}

enum snug_status snug_reader_fill_row(const struct snug_reader *reader,
                                      const struct snug_reading *reading, double start_ms,
                                      struct snug_row *row, struct snug_error *error)
{
    row->raw = snug_arena_strndup(&row->arena, reading->raw, reading->raw_bytes);
    if (!row->raw)
        return snug_error_memory(error, reading->raw_bytes, "the answer");
    row->raw_bytes = reading->raw_bytes;
    row->finish = snug_finish_text(reading->finish);
    row->status =
        reading->finish == SNUG_FINISH_STOP ? SNUG_ROW_STATUS_OK : SNUG_ROW_STATUS_PARTIAL;
    row->tokens =
        (struct snug_row_tokens){reading->image_tokens, reading->prompt_count, reading->count};
    row->timing = reading->timing;
    row->rung = snug_rung_name(reading->rung);
    for (int64_t i = 0; i < reading->move_count; i++)
        row->moves[i] = (struct snug_row_move){
            reading->moves[i].token, snug_rung_name(reading->moves[i].from),
            snug_rung_name(reading->moves[i].to), snug_status_text(reading->moves[i].cause)};
    row->move_count = reading->move_count;
    enum snug_status status = set_fields(reader, reading, row, error);
    row->timing.total = snug_clock_ms() - start_ms;
    return status;
}

static enum snug_status read_file(struct snug_reader *reader, const char *path,
                                  const char *document, struct snug_row *row,
                                  struct snug_error *error)
{
    struct snug_bytes bytes = {0};
    struct snug_reading reading = {0};
    struct snug_arena arena;
    double start = snug_clock_ms();
    snug_arena_init(&arena, reader->allocator);
    enum snug_status status =
        snug_bytes_open(path, SNUG_MAX_DOCUMENT_BYTES, reader->allocator, &bytes, error);
    if (!status)
        status = ask(reader, document, &bytes, &arena, &reading, error);
    snug_bytes_close(&bytes);
    if (!status)
        status = snug_reader_fill_row(reader, &reading, start, row, error);
    snug_arena_free(&arena);
    return status;
}

enum snug_status snug_reader_read(struct snug_reader *reader, const char *path,
                                  const char *document, struct snug_row *row,
                                  struct snug_error *error)
{
    struct snug_error local;
    snug_reader_init_row(reader, document, row);
    enum snug_status status = read_file(reader, path, document, row, &local);
    if (status == SNUG_STATUS_INTERRUPTED || snug_reader_gives_up(reader, status)) {
        snug_row_free(row);
        return snug_error_set(error, status, "%s", local.message);
    }
    if (status)
        snug_row_set_error(row, status, local.message);
    return SNUG_STATUS_OK;
}
