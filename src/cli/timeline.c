/* The run as a picture: collecting and writing.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/timeline.h"

#include "device/sim.h"
#include "generate/ladder_svg.h"

#include <stdio.h>

#define SVG_BYTES (4u << 20)

enum snug_status snug_run_timeline_open(struct snug_run_timeline *timeline, const char *path,
                                        struct snug_error *error)
{
    SNUG_TRY(snug_history_init(&timeline->history, snug_allocator_heap(), error));
    return snug_file_writer_open(path, snug_allocator_heap(), &timeline->writer, error);
}

void snug_run_timeline_free(struct snug_run_timeline *timeline)
{
    snug_file_writer_cancel(timeline->writer);
    timeline->writer = NULL;
    snug_history_free(&timeline->history);
}

struct snug_ladder_memory snug_cli_device_memory(const struct snug_reader *reader)
{
    const struct snug_ladder *ladder = snug_reader_ladder(reader);
    struct snug_ladder_memory memory = ladder->ended;
    if (memory.known && snug_device_is_sim(ladder->options.devices[1]))
        memory.other_bytes = snug_sim_figures(ladder->options.devices[1]).neighbour;
    return memory;
}

static enum snug_rung rung_of(const char *name)
{
    struct snug_rung_list list;
    return name && snug_rungs_parse(name, &list) ? list.items[0] : SNUG_RUNG_CPU;
}

void snug_run_timeline_row(struct snug_run_timeline *timeline, const struct snug_reader *reader,
                           const struct snug_row *row)
{
    const struct snug_ladder_memory memory = snug_cli_device_memory(reader);
    if (timeline->writer)
        snug_history_add(&timeline->history, row->document, rung_of(row->rung), &memory);
}

void snug_run_timeline_event(struct snug_run_timeline *timeline, int64_t document,
                             const struct snug_event *event)
{
    if (timeline->writer)
        snug_history_mark(&timeline->history, document, event);
}

enum snug_status snug_run_timeline_finish(struct snug_run_timeline *timeline,
                                          const struct snug_reader *reader,
                                          struct snug_error *error)
{
    const struct snug_ladder *ladder = snug_reader_ladder(reader);
    char title[200];
    struct snug_text text;
    struct snug_file_writer *writer = timeline->writer;
    if (!writer)
        return SNUG_STATUS_OK;
    timeline->writer = NULL;
    snprintf(title, sizeof title, "%s on %s", snug_reader_model(reader)->name,
             ladder->options.device_count ? ladder->options.devices[1]->name : "cpu");
    snug_text_init(&text, snug_allocator_heap(), SVG_BYTES);
    enum snug_status status = snug_ladder_svg(&timeline->history, title, &text, error);
    if (!status)
        status = snug_file_writer_write(writer, snug_text_c(&text), text.length, error);
    if (!status)
        status = snug_file_writer_commit(writer, error);
    else
        snug_file_writer_cancel(writer);
    snug_text_free(&text);
    return status;
}
