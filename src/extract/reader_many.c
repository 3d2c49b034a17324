/* Many documents through the model, several at once.
 *
 * A document is a job in a ring, in the order it came:
 *
 *     EMPTY -> OPEN (tiles and prompt made, waits for room) -> RUNNING (in a slot) -> DONE (has a
 * row)
 *
 * A broken picture goes from EMPTY to DONE. The oldest job's row is handed over as soon as it is
 * done, so that rows keep their order; the ring bounds how many finished ones wait for a slow one.
 * At most one job is OPEN: no picture is decoded before a slot is free for it.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "extract/reader_internal.h"

#include "base/clock.h"

#define JOBS_A_SLOT 16 /* so many rows wait at most, for each slot */

enum job_state { JOB_EMPTY, JOB_OPEN, JOB_RUNNING, JOB_DONE };

struct job {
    enum job_state state;
    struct snug_row row;
    struct snug_arena arena; /* what the model said, until the row is made of it */
    struct snug_reading reading;
    struct snug_asking asking;
    double start_ms;
};

struct many {
    struct snug_reader *reader;
    struct snug_reader_documents *documents;
    struct job *jobs; /* ring */
    int64_t window;   /* its size */
    int64_t first;    /* the oldest job whose row has not been handed over */
    int64_t end;      /* after the youngest; first <= end <= first + window */
    int64_t running;
    bool drained; /* no documents are left to come */
};

static struct job *job_at(const struct many *many, int64_t number)
{
    return &many->jobs[number % many->window];
}

/* The youngest job, if it waits for room. */
static struct job *open_job(const struct many *many)
{
    struct job *job = many->end > many->first ? job_at(many, many->end - 1) : NULL;
    return job && job->state == JOB_OPEN ? job : NULL;
}

static void release(struct job *job)
{
    snug_asking_free(&job->asking);
    snug_arena_free(&job->arena);
}

/* The job has its row, good or bad. */
static void settle(struct many *many, struct job *job, enum snug_status status,
                   const struct snug_error *error)
{
    if (status)
        snug_row_set_error(&job->row, status, error->message);
    if (job->state == JOB_RUNNING)
        many->running--;
    release(job);
    job->state = JOB_DONE;
}

/* A document's own failure becomes its row; an interruption goes on up, and so does, with its row,
 * the end of a run that is to have no fallback. */
static enum snug_status settle_failure(struct many *many, struct job *job, enum snug_status status,
                                       struct snug_error *local, struct snug_error *error)
{
    if (status == SNUG_STATUS_INTERRUPTED)
        return snug_error_set(error, status, "%s", local->message);
    settle(many, job, status, local);
    return snug_reader_gives_up(many->reader, status)
               ? snug_error_set(error, status, "%s", local->message)
               : SNUG_STATUS_OK;
}

/* Takes the next document and makes its tiles and prompt. */
static enum snug_status open_next(struct many *many, struct snug_error *error)
{
    struct snug_reader *reader = many->reader;
    const char *path, *document;
    struct snug_bytes bytes = {0};
    struct snug_error local;
    if (!snug_reader_goes_on(reader, SNUG_STAGE_DECODE_IMAGE, 0))
        return snug_reader_interrupted(error);
    if (!many->documents->next(many->documents->context, &path, &document)) {
        many->drained = true;
        return SNUG_STATUS_OK;
    }
    struct job *job = job_at(many, many->end++);
    *job = (struct job){.state = JOB_OPEN, .start_ms = snug_clock_ms()};
    snug_arena_init(&job->arena, reader->allocator);
    snug_reader_init_row(reader, document, &job->row);
    enum snug_status status =
        snug_bytes_open(path, SNUG_MAX_DOCUMENT_BYTES, reader->allocator, &bytes, &local);
    if (!status)
        status = snug_asking_open(&job->asking, reader, &bytes, &job->arena, &job->reading, &local);
    job->asking.name = document;
    snug_bytes_close(&bytes);
    return status ? settle_failure(many, job, status, &local, error) : SNUG_STATUS_OK;
}

/* The answer is over: its row is made. */
static void finish(struct many *many, struct job *job)
{
    struct snug_error local;
    enum snug_status status = snug_asking_finish(&job->asking, &local);
    if (!status)
        status =
            snug_reader_fill_row(many->reader, &job->reading, job->start_ms, &job->row, &local);
    settle(many, job, status, &local);
}

/* Puts the open job into a slot: pictures, prompt, first token. */
static enum snug_status start(struct many *many, struct job *job, struct snug_error *error)
{
    struct snug_error local;
    enum snug_status status = snug_asking_start(&job->asking, &local);
    job->state = JOB_RUNNING;
    many->running++;
    if (status)
        return settle_failure(many, job, status, &local, error);
    if (job->asking.answer.over)
        finish(many, job);
    return SNUG_STATUS_OK;
}

/* Whether a document can be opened, or the open one can join those that run. */
static bool may_start(const struct many *many)
{
    const struct job *job = open_job(many);
    if (!snug_ladder_has_room(&many->reader->ladder))
        return false;
    return job || (!many->drained && many->end - many->first < many->window);
}

/* One step of every running job; some may have to wait for a slot. A failure that concerns all ends
 * them all. */
static enum snug_status advance(struct many *many, struct snug_error *error)
{
    struct snug_error local;
    int64_t tokens = 0;
    for (int64_t i = many->first; i < many->end; i++)
        if (job_at(many, i)->state == JOB_RUNNING)
            tokens += job_at(many, i)->asking.generation.count;
    if (!snug_reader_goes_on(many->reader, SNUG_STAGE_DECODE, tokens))
        return snug_reader_interrupted(error);
    double before = snug_clock_ms();
    enum snug_status status = snug_ladder_advance(&many->reader->ladder, &local);
    many->documents->decode_ms += snug_clock_ms() - before;
    if (status == SNUG_STATUS_INTERRUPTED)
        return snug_reader_interrupted(error);
    enum snug_status ends = SNUG_STATUS_OK;
    for (int64_t i = many->first; i < many->end; i++) {
        struct job *job = job_at(many, i);
        if (job->state != JOB_RUNNING)
            continue;
        if (status)
            ends = settle_failure(many, job, status, &local, error);
        else if (job->asking.answer.over)
            finish(many, job);
    }
    return ends;
}

/* Hands over rows from the oldest on. all: also those behind one that is not done, which is
 * dropped. */
static enum snug_status hand_over(struct many *many, bool all, struct snug_error *error)
{
    enum snug_status status = SNUG_STATUS_OK;
    while (!status && many->first < many->end) {
        struct job *job = job_at(many, many->first);
        if (job->state != JOB_DONE && !all)
            break;
        if (job->state == JOB_DONE)
            status = many->documents->row(many->documents->context, &job->row, error);
        release(job);
        snug_row_free(&job->row);
        job->state = JOB_EMPTY;
        many->first++;
    }
    return status;
}

/* Whatever is left, without a row. */
static void drop(struct many *many)
{
    for (; many->first < many->end; many->first++) {
        struct job *job = job_at(many, many->first);
        release(job);
        snug_row_free(&job->row);
    }
}

enum snug_status snug_reader_read_all(struct snug_reader *reader,
                                      struct snug_reader_documents *documents,
                                      struct snug_error *error)
{
    struct many many = {.reader = reader,
                        .documents = documents,
                        .window = JOBS_A_SLOT *
                                  (reader->options.parallel ? reader->options.parallel : 1)};
    documents->decode_ms = 0;
    many.jobs = snug_calloc(reader->allocator, (size_t)many.window, sizeof *many.jobs);
    if (!many.jobs)
        return snug_error_memory(error, (size_t)many.window * sizeof *many.jobs, "the documents");
    enum snug_status status = SNUG_STATUS_OK;
    while (!status) {
        status = hand_over(&many, false, error);
        if (status)
            break;
        struct job *job = open_job(&many);
        if (may_start(&many))
            status = job ? start(&many, job, error) : open_next(&many, error);
        else if (many.running)
            status = advance(&many, error);
        else
            break;
    }
    if (status == SNUG_STATUS_INTERRUPTED || snug_reader_gives_up(reader, status)) {
        enum snug_status handed = hand_over(&many, true, error);
        status = handed ? handed : status;
    }
    drop(&many);
    snug_free(reader->allocator, many.jobs);
    return status;
}
