/* What a run's documents met: the first device's memory and the rung of each, and what the ladder
 * did. Bounded: beyond SNUG_HISTORY_MOMENTS documents neighbours are merged, two and two, of which
 * the samples with the least and the most free memory are kept as they were.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_HISTORY_H
#define SNUG_GENERATE_HISTORY_H

#include "generate/ladder.h"

#define SNUG_HISTORY_MOMENTS 2000
#define SNUG_HISTORY_MARKS 500

/* As a document ended. */
struct snug_history_sample {
    int64_t document; /* from 1, in the order of rows */
    const char *name; /* must outlive the history */
    struct snug_ladder_memory memory;
};
struct snug_history_moment {
    int64_t first, count;                       /* documents */
    struct snug_history_sample lowest, highest; /* by free memory; what is not known is lowest */
    enum snug_rung rung;                        /* the last in the ladder's order that any ran on */
};
struct snug_history_mark {
    enum snug_event_kind kind;
    int64_t document; /* during it, or */
    bool at_start;    /* before it */
    enum snug_rung from, to;
    char name[80], why[160]; /* ends of names, beginnings of reasons */
};

struct snug_history {
    const struct snug_allocator *allocator;
    struct snug_history_moment *moments;
    int count;
    int64_t span;      /* documents of a moment; the last may have fewer */
    int64_t documents; /* in all */
    struct snug_history_mark *marks;
    int mark_count;
    int64_t marks_left_out; /* that came when there was no room left */
};

/* Takes all the memory it will ever have (about 600 KiB). Errors: MEMORY. */
SNUG_CHECK_RESULT enum snug_status snug_history_init(struct snug_history *history,
                                                     const struct snug_allocator *allocator,
                                                     struct snug_error *error);
void snug_history_free(struct snug_history *history); /* zeroed allowed */
/* The next document: its number is counted here. */
void snug_history_add(struct snug_history *history, const char *name, enum snug_rung rung,
                      const struct snug_ladder_memory *memory);
/* document: of the row that the event belongs to. Starts, and memory given back as it was asked
 * for, are not marked. */
void snug_history_mark(struct snug_history *history, int64_t document,
                       const struct snug_event *event);

#endif
