/* The reader: a model, a schema, and documents, one after the other or several at once. Bytes of a
 * picture in, a row of fields out. This is where the floors below come together. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_READER_H
#define SNUG_EXTRACT_READER_H

#include "extract/forecast.h"
#include "extract/row.h"
#include "extract/schema.h"
#include "formats/chat.h"
#include "generate/ladder.h"

/* What a document is in the middle of, for a progress bar. */
enum snug_stage {
    SNUG_STAGE_DECODE_IMAGE,
    SNUG_STAGE_VISION,
    SNUG_STAGE_PREFILL,
    SNUG_STAGE_DECODE
};
const char *snug_stage_text(enum snug_stage stage);

struct snug_reader_options {
    const struct snug_ops *ops;       /* NULL: the best this processor runs */
    struct snug_pool *pool;           /* may be NULL */
    const struct snug_device *device; /* of the host's memory; NULL: the CPU */
    /* Where it runs beside the host (ladder.h): devices, which of the ladder's rungs in which order
     * (count 0: all), what may be taken of each device (0: what is free), how fast they are. */
    const struct snug_device *devices[SNUG_MAX_SPACES]; /* [1 ..]; must outlive the reader */
    int device_count;
    struct snug_rung_list rungs;
    bool no_fallback; /* a device's failure ends the run instead of moving down */
    size_t device_budget_bytes[SNUG_MAX_SPACES];
    struct snug_speed speeds[SNUG_MAX_SPACES];
    void (*event)(void *context, const struct snug_event *event); /* may be NULL */
    void *event_context;
    struct snug_model_options model; /* how weights are held */
    enum snug_dtype kv_dtype;        /* F16 or F32 */
    int64_t min_tiles, max_tiles;    /* 0: as the model's folder says */
    int64_t max_new_tokens;          /* 0: as generation_config.json says, else 800 + 40 a field */
    int64_t max_pixels;              /* 0: SNUG_MAX_PIXELS */
    size_t max_page_bytes; /* memory for making a picture into tiles (snug_page_bytes), beyond it
                              DOES_NOT_FIT before it is decoded; 0: no limit */
    int64_t vision_batch, prefill_chunk; /* 0: the session's defaults */
    int64_t parallel;    /* documents that decode together, to SNUG_MAX_PARALLEL; 0: one */
    size_t budget_bytes; /* 0: what the system has free */
    int threads;         /* to plan for; 0: the pool's */
    int64_t page_width, page_height; /* the largest page planned for; 0: SNUG_PAGE_... */
    bool elastic;                    /* gives the region back whenever no document is under way */
    struct snug_sampling sampling;
    bool hints;
    enum snug_chat_kind chat; /* UNKNOWN: as the folder's template says */
    const char *system;       /* system text; NULL: the layout's own; "": none */
    /* Called now and then; false interrupts the document. May be NULL. */
    bool (*progress)(void *context, enum snug_stage stage, int64_t tokens);
    void *progress_context;
};
struct snug_reader_options snug_reader_options_default(void);

/* A4 at 300 dots an inch. */
#define SNUG_PAGE_WIDTH 2480
#define SNUG_PAGE_HEIGHT 3508

struct snug_reader; /* opaque */

/* Everything but the weights and the region: configuration, tokeniser, prompt, and so all that a
 * forecast needs. plan_only: a folder without a tokeniser will do; the prompt's length is then
 * bounded by its bytes. To be closed, or gone on with by snug_reader_load. Errors: those of
 * snug_reader_open. */
SNUG_CHECK_RESULT enum snug_status
snug_reader_prepare(const struct snug_folder *folder, const struct snug_schema *schema,
                    const struct snug_reader_options *options, bool plan_only,
                    const struct snug_allocator *allocator, struct snug_reader **out,
                    struct snug_error *error);
/* What the largest document that the options allow is made of, for snug_forecast_make. Whoever
 * plans for another machine changes the placing (snug_forecast_on_device). */
SNUG_CHECK_RESULT enum snug_status snug_reader_request(const struct snug_reader *reader,
                                                       struct snug_forecast_request *out,
                                                       struct snug_error *error);

/* Tokens of an answer at most: they belong to the request and never depend on memory. */
int64_t snug_reader_answer_tokens(const struct snug_reader *reader);

/* Loads the model of a folder. schema, pool and folder's strings must outlive the reader. What it
 * will take is worked out before anything large is loaded, and refused if it is above the budget or
 * what is free; then weights are loaded and the region for the largest document is taken, so that
 * no document fails for memory later. An unknown chat template is an error here, because prompts
 * must be built. Errors: those of snug_model_load and the tokeniser, DOES_NOT_FIT. One thread at a
 * time. */
SNUG_CHECK_RESULT enum snug_status
snug_reader_open(const struct snug_folder *folder, const struct snug_schema *schema,
                 const struct snug_reader_options *options, const struct snug_allocator *allocator,
                 struct snug_reader **out, struct snug_error *error);
void snug_reader_close(struct snug_reader *reader); /* NULL allowed */
const struct snug_model *snug_reader_model(const struct snug_reader *reader);
/* As it was worked out at open. */
const struct snug_forecast *snug_reader_forecast(const struct snug_reader *reader);
/* Its ladder and the session on it, to look at; the session changes when the rung does. */
const struct snug_ladder *snug_reader_ladder(const struct snug_reader *reader);
const struct snug_session *snug_reader_session(const struct snug_reader *reader);

/* What the model said, before anything is read into it. Arrays belong to `arena`. */
struct snug_reading {
    const int32_t *prompt_ids;
    int64_t prompt_count;
    const int32_t *ids;
    const double *log_probabilities;
    const size_t *ends; /* end of each token's text in raw */
    int64_t count;
    enum snug_finish finish;
    const char *raw; /* decoded without special tokens */
    size_t raw_bytes;
    int64_t image_tokens;
    struct snug_timing timing; /* milliseconds */
    enum snug_rung rung;       /* where the last token was made */
    const struct snug_move *moves;
    int64_t move_count; /* at most SNUG_MAX_MOVES */
};

/* One picture through the model; bytes->name stands in messages. Read twice, first for the
 * document's number. Errors: those of the picture,
 * DOES_NOT_FIT, MEMORY, NON_FINITE, INTERRUPTED. */
SNUG_CHECK_RESULT enum snug_status
snug_reader_ask(struct snug_reader *reader, struct snug_bytes *bytes, struct snug_arena *arena,
                struct snug_reading *out, struct snug_error *error);

/* A document file to a row. A document's own failure makes an error row and returns OK; only
 * INTERRUPTED (the document is not finished, no row) comes back as a status, and, where there is no
 * fallback, DEVICE, DEVICE_LOST and DOES_NOT_FIT. `document` is the path to show. */
SNUG_CHECK_RESULT enum snug_status snug_reader_read(struct snug_reader *reader, const char *path,
                                                    const char *document, struct snug_row *row,
                                                    struct snug_error *error);

/* ---- many documents ---- */

struct snug_reader_documents {
    /* The next document: the file, and the path to show, which must live until its row has been
     * handed over. False: there is none. */
    bool (*next)(void *context, const char **path, const char **document);
    /* Takes a row, valid during the call. Rows come in the order of `next`. A status that is not OK
     * ends it all. */
    enum snug_status (*row)(void *context, const struct snug_row *row, struct snug_error *error);
    void *context;
    double decode_ms; /* out: wall time of all steps together */
};

/* Every document to a row, as snug_reader_read makes it; up to options.parallel of them are written
 * together. A document joins as soon as a slot is free. One that needs a larger region than there
 * is waits until those before it have ended. Rows differ from those of one document at a time in
 * their timing only: `decode` is wall time from the first token to the last, others' pictures and
 * prompts included, and `total` waiting too. Errors: INTERRUPTED, after the rows of all finished
 * documents have been handed over; what `row` returned; MEMORY for the list of what is under way;
 * where there is no fallback DEVICE, DEVICE_LOST and DOES_NOT_FIT, after error rows of those that
 * were under way. */
SNUG_CHECK_RESULT enum snug_status snug_reader_read_all(struct snug_reader *reader,
                                                        struct snug_reader_documents *documents,
                                                        struct snug_error *error);

#endif
