/* Events as JSON Lines and as notes.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/events.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_EVENT_BYTES (1u << 16)

static enum snug_status write_error(const struct snug_event_log *log, int number,
                                    struct snug_error *error)
{
    return snug_error_set(error, number == ENOENT ? SNUG_STATUS_NOT_FOUND : SNUG_STATUS_IO,
                          "cannot write %s: %s", log->path, strerror(number));
}

enum snug_status snug_event_log_open(struct snug_event_log *log, const char *path,
                                     struct snug_error *error)
{
    *log = (struct snug_event_log){.path = path, .start_ms = snug_clock_ms()};
    if (!path)
        return SNUG_STATUS_OK;
    log->file = !strcmp(path, "-") || !strcmp(path, "/dev/stderr") ? stderr : fopen(path, "we");
    return log->file ? SNUG_STATUS_OK : write_error(log, errno, error);
}

static void put_event(const struct snug_event *event, double at_ms, struct snug_text *t)
{
    snug_text_printf(t, "{\"event\": \"%s\", \"at_ms\": ", snug_event_kind_name(event->kind));
    snug_json_put_double(t, at_ms);
    snug_text_puts(t, ", \"document\": ");
    snug_json_put_string(t, event->document);
    snug_text_printf(t, ", \"number\": %" PRId64 ", \"token\": %" PRId64 ", \"step\": %" PRId64,
                     event->number, event->token, event->step);
    snug_text_printf(t,
                     ", \"from\": \"%s\", \"to\": \"%s\", \"cause\": ", snug_rung_name(event->from),
                     snug_rung_name(event->to));
    snug_json_put_string(t, event->cause ? snug_status_text(event->cause) : NULL);
    snug_text_puts(t, ", \"why\": ");
    snug_json_put_string(t, event->why);
    snug_text_printf(t, ", \"bytes\": %zu, \"free_bytes\": %" PRIu64 ", \"ms\": ", event->bytes,
                     event->free_bytes);
    snug_json_put_double(t, event->ms);
    snug_text_printf(t, ", \"documents\": %" PRId64 "}\n", event->documents);
}

/* To a microsecond: more would be digits without meaning. */
static double rounded(double ms)
{
    return (double)(int64_t)(ms * 1000 + 0.5) / 1000;
}

void snug_event_log_put(struct snug_event_log *log, const struct snug_event *event)
{
    struct snug_event copy = *event;
    struct snug_text text;
    if (!log->file || log->status)
        return;
    copy.ms = rounded(event->ms);
    snug_text_init(&text, snug_allocator_heap(), MAX_EVENT_BYTES);
    put_event(&copy, rounded(snug_clock_ms() - log->start_ms), &text);
    log->status = snug_text_status(&text, &log->error, "an event");
    if (!log->status &&
        (fwrite(snug_text_c(&text), 1, text.length, log->file) != text.length || fflush(log->file)))
        log->status = write_error(log, errno, &log->error);
    snug_text_free(&text);
}

enum snug_status snug_event_log_finish(struct snug_event_log *log, struct snug_error *error)
{
    if (log->status)
        *error = log->error;
    return log->status;
}

void snug_event_log_close(struct snug_event_log *log)
{
    if (log->file && log->file != stderr)
        fclose(log->file); /* flushed with every event; there is nothing left to fail */
    log->file = NULL;
}

/* ---- for people ---- */

void snug_event_note(const struct snug_event *event, char note[SNUG_ERROR_MESSAGE_BYTES])
{
    char where[200] = "", token[40] = "", bytes[24];
    const char *from = snug_rung_name(event->from), *to = snug_rung_name(event->to);
    if (event->token > 0)
        snprintf(token, sizeof token, ", token %lld", (long long)event->token);
    if (event->document)
        snprintf(where, sizeof where, "%s%s: ", event->document, token);
    *note = 0;
    switch (event->kind) {
    case SNUG_EVENT_KIND_DOWN:
    case SNUG_EVENT_KIND_UP:
        if (!event->bytes)
            snprintf(note, SNUG_ERROR_MESSAGE_BYTES, "%s%s is left, for no other rung: %s", where,
                     from, event->why);
        else if (event->from == event->to) /* other layers on the host, fewer documents at once */
            snprintf(note, SNUG_ERROR_MESSAGE_BYTES, "%s%s, placed anew: %s (%.0f ms)", where, to,
                     event->why, event->ms);
        else
            snprintf(note, SNUG_ERROR_MESSAGE_BYTES, "%s%s -> %s: %s (%.0f ms)", where, from, to,
                     event->why, event->ms);
        break;
    case SNUG_EVENT_KIND_RETRY:
        snprintf(note, SNUG_ERROR_MESSAGE_BYTES, "%s%s could not be entered: %s", where, to,
                 event->why);
        break;
    case SNUG_EVENT_KIND_GIVE:
        snprintf(note, SNUG_ERROR_MESSAGE_BYTES,
                 "%s of the device given back: %s (from now on after every document, --elastic)",
                 snug_format_bytes(event->bytes, bytes), event->why);
        break;
    case SNUG_EVENT_KIND_ALERT:
        snprintf(note, SNUG_ERROR_MESSAGE_BYTES, "alert: %s%s", where, event->why);
        break;
    case SNUG_EVENT_KIND_START:
    case SNUG_EVENT_KIND_COUNT:
        break;
    }
}
