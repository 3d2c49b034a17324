/* Greedy orders, then the exact search, capacity by capacity.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/plan.h"

#include "base/clock.h"
#include "memory/greedy.h"
#include "memory/search.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HEIGHT ((size_t)1 << 29) /* units that live together (search.h) */
#define IMPROVE_ROUNDS 200           /* orders tried before a search */
#define IMPROVE_WORK 20000000u       /* comparisons they may take */
#define DEFAULT_NODES 5000           /* of a search with the default options, */
#define DEFAULT_WORK 20000000u       /* for many intervals so many divided by count^2 */
#define RESTART_NODES 700            /* of the shortest run; measured on the MiniMalloc instances */
#define SLICE_NODES 120000           /* at the lower bound, before others are tried */

struct planner {
    const struct snug_plan_options *options;
    struct snug_interval *work;       /* [count] those with bytes, sizes rounded up */
    size_t *index;                    /* [count] where they come from */
    size_t *offsets, *trial;          /* [count] the best plan; one being made */
    int32_t *heights, *fixed, *found; /* [count] in units */
    size_t count, alignment;
    size_t peak, enough; /* peak: SIZE_MAX until there is a plan, and time does not count */
    struct snug_plan plan;
    struct snug_greedy *greedy;
    struct snug_search *search;
    const struct snug_allocator *allocator;
    double start_ms;
    bool stopped; /* the caller said so */
    size_t unit;
    bool exact; /* units are no rounding */
    int order;  /* the next run of the search */
};

struct snug_plan_options snug_plan_options_default(size_t count)
{
    size_t cost = count * count + 1;
    return (struct snug_plan_options){
        .nodes = cost > DEFAULT_WORK / DEFAULT_NODES ? DEFAULT_WORK / cost + 1 : DEFAULT_NODES};
}

/* True once it is time to end: the caller's stop, or the seconds. */
static bool halt(void *context)
{
    struct planner *p = context;
    if (!p->stopped && p->options->stop && p->options->stop(p->options->stop_context))
        p->stopped = true;
    return p->stopped || (p->peak != SIZE_MAX && p->options->seconds > 0 &&
                          snug_clock_ms() - p->start_ms >= p->options->seconds * 1e3);
}

/* ---- preparation ---- */

static int by_first(const void *left, const void *right)
{
    const struct snug_interval *a = left, *b = right;
    return a->first < b->first ? -1 : a->first > b->first;
}

static int by_last(const void *left, const void *right)
{
    const struct snug_interval *a = left, *b = right;
    return a->last < b->last ? -1 : a->last > b->last;
}

/* Largest sum of bytes alive in one step (it can only be largest where a life begins), and the ends
 * of pinned intervals. The sum of all has been checked. */
static enum snug_status find_lower_bound(struct planner *p, struct snug_error *error)
{
    size_t n = p->count, alive = 0, ended = 0;
    struct snug_interval *firsts = snug_alloc_array(p->allocator, n, sizeof *firsts);
    struct snug_interval *lasts = snug_alloc_array(p->allocator, n, sizeof *lasts);
    enum snug_status status = SNUG_STATUS_OK;
    if (firsts && lasts) {
        memcpy(firsts, p->work, n * sizeof *firsts);
        memcpy(lasts, p->work, n * sizeof *lasts);
        qsort(firsts, n, sizeof *firsts, by_first);
        qsort(lasts, n, sizeof *lasts, by_last);
    } else {
        status = snug_error_memory(error, 2 * n * sizeof *firsts, "the memory plan");
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        for (; lasts[ended].last < firsts[i].first; ended++)
            alive -= lasts[ended].bytes;
        alive += firsts[i].bytes;
        if (alive > p->plan.lower_bound_bytes)
            p->plan.lower_bound_bytes = alive;
        if (firsts[i].pinned && firsts[i].offset + firsts[i].bytes > p->plan.lower_bound_bytes)
            p->plan.lower_bound_bytes = firsts[i].offset + firsts[i].bytes;
    }
    snug_free(p->allocator, lasts);
    snug_free(p->allocator, firsts);
    return status;
}

/* Copies what has bytes, rounded up to the alignment, and checks sums and pins. */
static enum snug_status take_intervals(struct planner *p, const struct snug_interval *intervals,
                                       size_t count, struct snug_error *error)
{
    size_t total = 0, pinned_end = 0, pinned = 0;
    for (size_t i = 0; i < count; i++) {
        const struct snug_interval *from = &intervals[i];
        SNUG_ASSERT(from->first <= from->last);
        if (!from->bytes)
            continue;
        size_t end, bytes = (from->bytes + p->alignment - 1) & ~(p->alignment - 1);
        if (from->bytes > SIZE_MAX / 4 || !snug_add_size(total, bytes, &total) ||
            (from->pinned && (!snug_add_size(from->offset, bytes, &end) || end > SIZE_MAX / 4)))
            return snug_error_set(error, SNUG_STATUS_LIMIT, "the memory plan's sizes overflow");
        if (from->pinned && from->offset % p->alignment)
            return snug_error_set(
                error, SNUG_STATUS_SHAPE,
                "memory plan: interval %zu is pinned at %zu, which is no multiple "
                "of %zu",
                i, from->offset, p->alignment);
        if (from->pinned) {
            pinned_end = end > pinned_end ? end : pinned_end;
            pinned++;
        }
        p->work[p->count] = *from;
        p->work[p->count].bytes = bytes;
        p->index[p->count++] = i;
    }
    if (total > SIZE_MAX / 4)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "the memory plan's sizes overflow");
    if (!pinned)
        return SNUG_STATUS_OK;
    /* Pinned ones alone must be a plan. */
    struct snug_interval *alone = snug_alloc_array(p->allocator, pinned, sizeof *alone);
    if (!alone)
        return snug_error_memory(error, pinned * sizeof *alone, "the memory plan");
    pinned = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->work[i].pinned)
            alone[pinned++] = p->work[i];
    enum snug_status status =
        snug_plan_verify(alone, pinned, p->alignment, pinned_end, p->allocator, error);
    snug_free(p->allocator, alone);
    return status ? snug_error_prefix(error, status, "of the pinned intervals") : status;
}

static size_t greatest_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Chooses the unit: what divides all sizes, or more where the heights would not fit; then sizes are
 * rounded up. False if there can be no search. */
static bool choose_unit(struct planner *p)
{
    bool pinned = false;
    p->unit = 0;
    for (size_t i = 0; i < p->count; i++) {
        p->unit = greatest_divisor(p->unit, p->work[i].bytes);
        if (p->work[i].pinned)
            p->unit = greatest_divisor(p->unit, p->work[i].offset);
        pinned |= p->work[i].pinned;
    }
    p->exact = true;
    for (; p->peak / p->unit >= MAX_HEIGHT; p->unit *= 2)
        p->exact = false;
    if (pinned && !p->exact)
        return false; /* rounded, pinned intervals might overlap */
    for (size_t i = 0; i < p->count; i++) {
        p->heights[i] = (int32_t)((p->work[i].bytes + p->unit - 1) / p->unit);
        p->fixed[i] = p->work[i].pinned ? (int32_t)(p->work[i].offset / p->unit) : -1;
    }
    return true;
}

/* ---- the search, capacity by capacity ---- */

/* 1 1 2 1 1 2 4 1 ...: run i (from 1) of restarts that waste little whatever the right length is
 * (Luby, Sinclair, Zuckerman 1993). */
static uint64_t luby(uint64_t i)
{
    for (;;) {
        int bits = 63 - __builtin_clzll(i + 1);
        if (((uint64_t)1 << bits) == i + 1)
            return (uint64_t)1 << (bits - 1);
        i -= ((uint64_t)1 << bits) - 1;
    }
}

/* Runs at one capacity (in units) for at most `nodes`. A plan found becomes the best. */
static enum snug_search_outcome try_capacity(struct planner *p, size_t capacity, uint64_t nodes)
{
    enum snug_search_outcome outcome = SNUG_SEARCH_OUTCOME_STOPPED;
    uint64_t spent = 0;
    for (uint64_t run = 1; outcome == SNUG_SEARCH_OUTCOME_STOPPED && spent < nodes; run++) {
        uint64_t length = RESTART_NODES * luby(run), left = p->options->nodes - p->plan.nodes;
        if (p->plan.nodes >= p->options->nodes || halt(p))
            return outcome;
        uint64_t before = p->plan.nodes;
        outcome = snug_search_run(p->search, (int32_t)capacity, p->order++,
                                  length < left ? length : left, halt, p, p->found, &p->plan.nodes);
        spent += p->plan.nodes - before;
        p->order &= 0xffffff;
    }
    if (outcome == SNUG_SEARCH_OUTCOME_FOUND) {
        for (size_t i = 0; i < p->count; i++)
            p->trial[i] = (size_t)p->found[i] * p->unit;
        size_t peak = snug_greedy_settle(p->greedy, p->trial);
        if (peak < p->peak) {
            memcpy(p->offsets, p->trial, p->count * sizeof *p->offsets);
            p->peak = peak;
        }
    }
    return outcome;
}

static bool over(struct planner *p)
{
    return p->plan.nodes >= p->options->nodes || halt(p);
}

/* Narrows [low, high): low may be possible, high is the best plan; capacities up to `hard` were
 * given up for now. The lower bound first and for longest, then always the middle between hard and
 * high; when nothing is left between, all again, for twice as long. */
static void minimise(struct planner *p)
{
    size_t low = (p->plan.lower_bound_bytes + p->unit - 1) / p->unit, hard = low - 1;
    uint64_t slice = SLICE_NODES / 12;
    bool first = true;
    for (;;) {
        size_t high = (p->peak + p->unit - 1) / p->unit;
        if (low >= high) {
            p->plan.proven = p->exact || p->peak == p->plan.lower_bound_bytes;
            return;
        }
        if (over(p))
            return;
        size_t goal = first ? low : hard + (high - hard) / 2;
        if (goal >= high || goal <= hard) {
            slice *= 2;
            hard = low - 1;
            first = true;
            continue;
        }
        first = false;
        switch (try_capacity(p, goal, p->order ? slice : SLICE_NODES)) {
        case SNUG_SEARCH_OUTCOME_FOUND:
            break;
        case SNUG_SEARCH_OUTCOME_IMPOSSIBLE:
            low = goal + 1;
            hard = goal;
            break;
        default:
            hard = goal;
        }
    }
}

static enum snug_status search(struct planner *p, struct snug_error *error)
{
    if (!p->options->nodes || p->count > SNUG_MAX_SEARCH_INTERVALS || !choose_unit(p))
        return SNUG_STATUS_OK;
    enum snug_status status = snug_search_open(p->work, p->heights, p->fixed, (int)p->count,
                                               p->allocator, &p->search, error);
    if (status)
        return status;
    if (!p->options->capacity_bytes)
        minimise(p);
    else if (try_capacity(p, p->enough / p->unit, UINT64_MAX) == SNUG_SEARCH_OUTCOME_IMPOSSIBLE)
        p->plan.proven = p->exact;
    snug_search_close(p->search);
    return status;
}

/* ---- the whole ---- */

/* What is too much for the search has the improvements alone; else they are only its start. */
static uint64_t improve_work(const struct planner *p)
{
    uint64_t cost = (uint64_t)p->count * p->count / 4 + 1, rounds = IMPROVE_ROUNDS * cost;
    if (p->count > SNUG_MAX_SEARCH_INTERVALS && p->options->seconds > 0)
        return UINT64_MAX;
    return rounds < IMPROVE_WORK ? rounds : IMPROVE_WORK;
}

static enum snug_status make_plan(struct planner *p, struct snug_error *error)
{
    enum snug_status status = find_lower_bound(p, error);
    if (!status)
        status = snug_greedy_open(p->work, p->count, p->allocator, &p->greedy, error);
    if (status)
        return status;
    p->enough = p->options->capacity_bytes ? p->options->capacity_bytes : p->plan.lower_bound_bytes;
    /* The first order is let through whatever the time: there must be a plan. */
    snug_greedy_run(p->greedy, p->enough, halt, p, p->offsets, &p->peak);
    if (p->peak == SIZE_MAX)
        return snug_error_set(error, SNUG_STATUS_INTERRUPTED, "planning was interrupted");
    bool possible = p->enough >= p->plan.lower_bound_bytes;
    if (p->peak > p->enough && possible && p->options->nodes)
        snug_greedy_improve(p->greedy, p->enough, improve_work(p), halt, p, p->offsets, &p->peak);
    if (p->peak > p->enough && possible)
        status = search(p, error);
    p->plan.proven |= p->peak <= p->plan.lower_bound_bytes || !possible;
    return status;
}

enum snug_status snug_plan_search(struct snug_interval *intervals, size_t count, size_t alignment,
                                  const struct snug_plan_options *options,
                                  const struct snug_allocator *allocator, struct snug_plan *plan,
                                  struct snug_error *error)
{
    SNUG_ASSERT(alignment && !(alignment & (alignment - 1)));
    struct planner p = {.options = options,
                        .alignment = alignment,
                        .allocator = allocator,
                        .peak = SIZE_MAX,
                        .start_ms = snug_clock_ms()};
    enum snug_status status = SNUG_STATUS_OK;
    p.work = snug_alloc_array(allocator, count, sizeof *p.work);
    p.index = snug_alloc_array(allocator, count, sizeof *p.index);
    p.offsets = snug_alloc_array(allocator, count, sizeof *p.offsets);
    p.trial = snug_alloc_array(allocator, count, sizeof *p.trial);
    p.heights = snug_alloc_array(allocator, count, sizeof *p.heights);
    p.fixed = snug_alloc_array(allocator, count, sizeof *p.fixed);
    p.found = snug_alloc_array(allocator, count, sizeof *p.found);
    if (!p.work || !p.index || !p.offsets || !p.trial || !p.heights || !p.fixed || !p.found)
        status = snug_error_memory(error, count * sizeof *p.work, "the memory plan");
    if (!status)
        status = take_intervals(&p, intervals, count, error);
    if (!status && p.count)
        status = make_plan(&p, error);
    if (!status) {
        for (size_t i = 0; i < count; i++)
            if (!intervals[i].pinned)
                intervals[i].offset = 0;
        for (size_t i = 0; i < p.count; i++)
            intervals[p.index[i]].offset = p.offsets[i];
        p.plan.peak_bytes = p.count ? p.peak : 0;
        p.plan.proven |= !p.count;
        p.plan.seconds = (snug_clock_ms() - p.start_ms) / 1e3;
        *plan = p.plan;
    }
    snug_greedy_close(p.greedy);
    snug_free(allocator, p.found);
    snug_free(allocator, p.fixed);
    snug_free(allocator, p.heights);
    snug_free(allocator, p.trial);
    snug_free(allocator, p.offsets);
    snug_free(allocator, p.index);
    snug_free(allocator, p.work);
    return status;
}

enum snug_status snug_plan_place(struct snug_interval *intervals, size_t count, size_t alignment,
                                 const struct snug_allocator *allocator, struct snug_plan *plan,
                                 struct snug_error *error)
{
    struct snug_plan_options options = snug_plan_options_default(count);
    return snug_plan_search(intervals, count, alignment, &options, allocator, plan, error);
}
