/* Figures of a run's memory as JSON: docs/formats.md, 6.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/memory_report.h"

#include "base/json.h"
#include "cli/timeline.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define REPORT_BYTES (1u << 20) /* between two writes */

static const char *const alert_names[SNUG_ALERT_COUNT] = {"inactive-split", "free", "leak"};

bool snug_memory_report_alerts(struct snug_memory_report *report, const char *text)
{
    while (*text) {
        char item[64];
        size_t length = strcspn(text, ","), name = strcspn(text, "="), kind = 0;
        if (length >= sizeof item || name >= length)
            return false;
        memcpy(item, text, length);
        item[length] = item[name] = 0;
        while (kind < SNUG_ALERT_COUNT && strcmp(alert_names[kind], item))
            kind++;
        if (kind == SNUG_ALERT_COUNT || !snug_size_parse(item + name + 1, &report->limits[kind]))
            return false;
        report->has_limit[kind] = true;
        text += length;
        if (*text && !*++text)
            return false;
    }
    return true;
}

enum snug_status snug_memory_report_open(struct snug_memory_report *report, const char *path,
                                         struct snug_error *error)
{
    return snug_file_writer_open(path, snug_allocator_heap(), &report->writer, error);
}

/* Writes report->text, if there is a file, and empties it. A failure is kept for the end: the
 * documents are worth more. */
static void flush(struct snug_memory_report *report)
{
    if (report->writer && !report->status)
        report->status = snug_text_status(&report->text, &report->error, "the memory report");
    if (report->writer && !report->status)
        report->status = snug_file_writer_write(report->writer, snug_text_c(&report->text),
                                                report->text.length, &report->error);
    snug_text_clear(&report->text);
}

void snug_memory_report_start(struct snug_memory_report *report, const struct snug_reader *reader)
{
    report->reader = reader;
    report->lowest_free = UINT64_MAX;
    snug_text_init(&report->text, snug_allocator_heap(), REPORT_BYTES);
    snug_text_puts(&report->text, "{\n  \"documents\": [");
    flush(report);
}

void snug_memory_report_free(struct snug_memory_report *report)
{
    snug_file_writer_cancel(report->writer);
    report->writer = NULL;
    if (report->text.allocator)
        snug_text_free(&report->text);
}

/* What the report itself holds is not the document's. */
static uint64_t heap_in_use(const struct snug_memory_report *report)
{
    return snug_alloc_heap_bytes() - report->text.capacity;
}

static void raise_alert(struct snug_memory_report *report, enum snug_alert_kind kind, bool above,
                        uint64_t value, char note[200])
{
    char have[24], limit[24];
    bool wrong = above ? value > report->limits[kind] : value < report->limits[kind];
    if (!report->has_limit[kind] || report->raised[kind] || !wrong)
        return;
    report->raised[kind] = true;
    snprintf(note, 200, "alert %s: %s, the limit is %s", alert_names[kind],
             snug_format_bytes(value, have), snug_format_bytes(report->limits[kind], limit));
}

void snug_memory_report_between(struct snug_memory_report *report, char note[200])
{
    uint64_t heap = heap_in_use(report);
    uint64_t more = heap > report->heap_before ? heap - report->heap_before : 0;
    *note = 0;
    if (report->open) {
        snug_text_printf(&report->text, ", \"heap_bytes_after\": %" PRIu64 "}", heap);
        flush(report);
        report->open = false;
        if (report->count > 1 && snug_reader_session(report->reader)->options.slots == 1) {
            report->leaked += more;
            raise_alert(report, SNUG_ALERT_LEAK, true, more, note);
        }
    }
    report->heap_before = heap_in_use(report);
}

/* Where it was read, and what the first device had then. */
static void put_device(const struct snug_memory_report *report, const struct snug_row *row,
                       struct snug_text *t)
{
    const struct snug_ladder_memory m = snug_cli_device_memory(report->reader);
    snug_text_puts(t, ", \"rung\": ");
    snug_json_put_string(t, row->rung);
    if (m.known)
        snug_text_printf(t,
                         ", \"device\": {\"free_bytes\": %" PRIu64 ", \"our_bytes\": %" PRIu64
                         ", \"other_bytes\": %" PRIu64 "}",
                         m.free_bytes, m.our_bytes, m.other_bytes);
    else
        snug_text_puts(t, ", \"device\": null");
}

void snug_memory_report_row(struct snug_memory_report *report, const struct snug_row *row,
                            char note[200])
{
    const struct snug_memory_stats *s = &snug_reader_session(report->reader)->stats;
    uint64_t available = snug_memory_available();
    struct snug_text *t = &report->text;
    *note = 0;
    if (report->open) /* several at once: rows follow each other */
        snug_text_putc(t, '}');
    report->open = true;
    report->lowest_free = available < report->lowest_free ? available : report->lowest_free;
    snug_text_puts(t, report->count++ ? ",\n    {\"document\": " : "\n    {\"document\": ");
    snug_json_put_string(t, row->document);
    put_device(report, row, t);
    snug_text_printf(t,
                     ", \"allocated_bytes\": %" PRIu64 ", \"allocated_bytes_peak\": %" PRIu64
                     ", \"reserved_bytes\": %" PRIu64 ", \"free_bytes\": %" PRIu64
                     ", \"process_peak_bytes\": %" PRIu64 ", \"heap_bytes_before\": %" PRIu64,
                     s->allocated_bytes.current, s->allocated_bytes.peak, s->reserved_bytes.current,
                     available, snug_memory_of_process("VmHWM"), report->heap_before);
    flush(report);
    raise_alert(report, SNUG_ALERT_INACTIVE_SPLIT, true, s->inactive_split_bytes.peak, note);
    raise_alert(report, SNUG_ALERT_FREE, false, available, note);
}

static void put_rounded(struct snug_text *t, double value, double parts)
{
    snug_json_put_double(t, round(value * parts) / parts);
}

static void put_planned(const struct snug_forecast *f, struct snug_text *t)
{
    snug_text_puts(t, "  \"planned\": {\"consumers\": [");
    for (int i = 0; i < f->device.count; i++)
        snug_text_printf(t, "%s{\"name\": \"%s\", \"bytes\": %zu}", i ? ", " : "",
                         f->device.items[i].name, f->device.items[i].bytes);
    snug_text_printf(t,
                     "], \"peak_bytes\": %zu, \"lower_bound_bytes\": %zu, \"region_bytes\": %zu, "
                     "\"region_lower_bound_bytes\": %zu, \"plan_gap\": %.6f},\n",
                     f->peak_bytes, f->lower_bound_bytes, f->region_bytes,
                     f->region_lower_bound_bytes,
                     f->region_bytes ? (double)(f->region_bytes - f->region_lower_bound_bytes) /
                                           (double)f->region_bytes
                                     : 0.0);
}

static void put_phases(const struct snug_session *s, struct snug_text *t)
{
    snug_text_puts(t, "  \"phases\": [");
    for (int p = 0; p < s->program.phase_count; p++) {
        const struct snug_moment *m = &s->timeline.moments[s->timeline.phase_peak_step[p]];
        snug_text_printf(t,
                         "%s\n    {\"name\": \"%s\", \"allocated_bytes\": %zu, "
                         "\"requested_bytes\": %zu, \"inactive_split_bytes\": %zu, "
                         "\"largest_free_bytes\": %zu}",
                         p ? "," : "", s->program.phases[p].name, m->live_bytes, m->requested_bytes,
                         s->peak_bytes - m->live_bytes, m->largest_free);
    }
    snug_text_puts(t, "\n  ],\n");
}

static void put_ladder(const struct snug_ladder *ladder, struct snug_text *t)
{
    const struct snug_ladder_stats *s = &ladder->stats;
    const struct snug_pressure_trend trend = snug_ladder_trend(ladder);
    snug_text_puts(t, "  \"ladder\": {\"rungs\": [");
    for (int i = 0; i < ladder->options.rungs.count; i++) {
        enum snug_rung rung = ladder->options.rungs.items[i];
        snug_text_printf(t, "%s\n    {\"name\": \"%s\", \"documents\": %" PRId64 ", \"ms\": ",
                         i ? "," : "", snug_rung_name(rung), s->documents[rung]);
        put_rounded(t, s->busy_ms[rung], 1000);
        snug_text_putc(t, '}');
    }
    snug_text_printf(t,
                     "\n  ], \"down\": %" PRIu64 ", \"up\": %" PRIu64 ", \"retries\": %" PRIu64
                     ", \"moving_ms\": ",
                     s->downs, s->ups, s->retries);
    put_rounded(t, s->moving_ms, 1000);
    snug_text_puts(t, ", \"lowest_free_bytes\": ");
    if (s->watched)
        snug_text_printf(t, "%" PRIu64 ", \"peak_bytes\": %" PRIu64, s->lowest_free_bytes,
                         s->peak_bytes[1]);
    else
        snug_text_puts(t, "null, \"peak_bytes\": null");
    if (!trend.known) {
        snug_text_puts(t, ", \"trend\": null},\n");
        return;
    }
    snug_text_puts(t, ", \"trend\": {\"bytes_a_document\": ");
    put_rounded(t, trend.slope_bytes, 1);
    snug_text_printf(
        t, ", \"falling\": %s, \"short_in_documents\": ", trend.falling ? "true" : "false");
    if (trend.documents >= 0)
        snug_text_printf(t, "%" PRId64 "}},\n", trend.documents);
    else
        snug_text_puts(t, "null}},\n");
}

static void put_run(const struct snug_memory_report *report, struct snug_text *t)
{
    const struct snug_session *s = snug_reader_session(report->reader);
    snug_text_puts(t, report->open ? "}\n  ],\n" : "\n  ],\n");
    put_planned(snug_reader_forecast(report->reader), t);
    put_phases(s, t);
    put_ladder(snug_reader_ladder(report->reader), t);
    snug_text_printf(t, "  \"process_peak_bytes\": %" PRIu64 ",\n",
                     snug_memory_of_process("VmHWM"));
    snug_text_printf(t, "  \"regions_taken_after_start\": %" PRIu64 ",\n",
                     snug_ladder_takes(snug_reader_ladder(report->reader)));
    snug_text_printf(t, "  \"blocks_taken_in_runs\": %" PRIu64 ",\n  \"runs\": %" PRIu64 ",\n",
                     snug_alloc_quiet_requests(),
                     snug_ladder_runs(snug_reader_ladder(report->reader)));
    snug_text_printf(t, "  \"leaked_bytes\": %" PRIu64 ",\n  \"lowest_free_bytes\": %" PRIu64 ",\n",
                     report->leaked, report->lowest_free);
    snug_text_puts(t, "  \"alerts\": [");
    for (int k = 0, n = 0; k < SNUG_ALERT_COUNT; k++)
        if (report->raised[k])
            snug_text_printf(t, "%s\"%s\"", n++ ? ", " : "", alert_names[k]);
    snug_text_puts(t, "],\n  \"region\": ");
    snug_memory_stats_put_json(&s->stats, t);
    snug_text_puts(t, "\n}\n");
}

enum snug_status snug_memory_report_finish(struct snug_memory_report *report,
                                           struct snug_error *error)
{
    if (!report->writer)
        return SNUG_STATUS_OK;
    put_run(report, &report->text);
    flush(report);
    if (report->status) {
        *error = report->error;
        return report->status;
    }
    struct snug_file_writer *writer = report->writer;
    report->writer = NULL;
    return snug_file_writer_commit(writer, error);
}
