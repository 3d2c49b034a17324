/* The exact search for offsets within a capacity.
 *
 * Every plan can be made canonical: as long as some interval could lie lower, all others staying,
 * it moves there. So it is enough to look for canonical plans, built in non-decreasing order of
 * offset, where each interval lies at its `base`: the lowest place above all that was placed
 * before and lives when it does. (The idea is that of the MiniMalloc paper, Moffitt 2023.) A node
 * of the search is a set of intervals still to be placed, and the offset `current` below which
 * nothing may be placed any more. Then
 *
 *  - an interval whose base is below `current` (or at it, where that choice has failed already)
 *    floats: it must come to rest on another that is still to be placed, and one such must close
 *    the gap under it, that is begin below base + height. So least(floating) = the lowest end of
 *    any that can close its gap; if there is none, the node is impossible;
 *  - at each instant, what is to be placed must fit one on the other, each no lower than `least`:
 *    the makespan of jobs with release times on one machine, exact when taken by release time;
 *  - where no remaining interval joins two instants, the two sides are problems of their own;
 *  - where the second lowest at an instant is too high for all to fit above it, the lowest comes
 *    first there and the others above its end;
 *  - the next decision is the tightest instant at which something can lie at the lowest base of
 *    all: each that can is tried there, and those that failed float from then on.
 *
 * Instants are the maximal sets of intervals alive together; others add nothing.
 * Pinned intervals are obstacles that base steps over.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "memory/search.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NEVER INT32_MAX
#define PREFERENCES 4
#define NODES_BETWEEN_QUESTIONS 256

struct trail {
    int index;
    int32_t base;
};

struct preference {
    double key[3];
    int index;
};

struct snug_search {
    const struct snug_allocator *allocator;
    const struct snug_interval *intervals;
    const int32_t *height, *fixed;
    int count, instants;
    int *begin, *end;     /* [count] instants an interval lives in: [begin, end) */
    int *neighbour_start; /* [count + 1] into neighbours */
    uint16_t *neighbours; /* who lives at the same time */
    int *rank;            /* [count] preference, lower first */
    int32_t *top;         /* [count] highest end of what was placed and lives with it */
    int32_t *base;        /* [count] top, moved above obstacles */
    int32_t *failed;      /* [count] bases below this one have been tried or passed */
    int32_t *least;       /* [count] no lower in any plan of this node */
    int32_t *offset;      /* [count] where it lies or lay last */
    bool *placed;         /* [count] */
    int *crossing;        /* [instants] unplaced that live at this instant and the next */
    int32_t *stack, *sum; /* [instants] of one node: makespans, heights of the unplaced */
    int *first, *skip;    /* [instants] of one node: the lowest there; next to look at */
    int *choices;         /* [instants] how many can lie lowest there, of the node `mark` */
    uint64_t *mark;
    int32_t *above;             /* [instants] where all but the first begin at least */
    uint16_t *list;             /* room for the lists of all levels */
    struct trail *failed_trail; /* failed[] to restore */
    size_t failed_count;
    struct preference *wanted; /* [count] */
    int64_t *total;            /* [instants] bytes alive */
    uint16_t *floating;        /* [count] of one node */
    struct trail *trail;       /* tops to restore, one a pair of neighbours at most */
    size_t trail_count;
    bool obstacles;
    int32_t capacity;
    bool fewest; /* of equally tight instants, that with the fewest choices */
    uint64_t nodes, node_limit;
    bool (*halt)(void *context);
    void *halt_context;
};

static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* ---- preparation ---- */

struct event {
    int step;
    int index; /* of the interval; ends before beginnings */
    bool ends;
};

static int by_step(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    if (a->ends != b->ends)
        return a->ends ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Numbers the maximal sets: one is complete where an end follows a beginning. A life that ends in
 * step 3 does so after it, at 4. */
static enum snug_status number_instants(struct snug_search *s, struct snug_error *error)
{
    struct event *events = snug_alloc_array(s->allocator, 2 * (size_t)s->count, sizeof *events);
    if (!events)
        return snug_error_memory(error, 2 * (size_t)s->count * sizeof *events, "the memory plan");
    for (int i = 0; i < s->count; i++) {
        events[2 * i] = (struct event){s->intervals[i].first, i, false};
        events[2 * i + 1] = (struct event){s->intervals[i].last + 1, i, true};
    }
    qsort(events, 2 * (size_t)s->count, sizeof *events, by_step);
    int instant = 0;
    bool grown = false;
    for (int i = 0; i < 2 * s->count; i++) {
        if (!events[i].ends) {
            s->begin[events[i].index] = instant;
            grown = true;
            continue;
        }
        instant += grown;
        grown = false;
        s->end[events[i].index] = instant;
    }
    s->instants = instant;
    snug_free(s->allocator, events);
    return SNUG_STATUS_OK;
}

static bool meet(const struct snug_search *s, int a, int b)
{
    return s->begin[a] < s->end[b] && s->begin[b] < s->end[a];
}

static enum snug_status list_neighbours(struct snug_search *s, struct snug_error *error)
{
    size_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        total = 0;
        for (int i = 0; i < s->count; i++) {
            s->neighbour_start[i] = (int)total;
            for (int j = 0; j < s->count; j++) {
                if (i == j || !meet(s, i, j))
                    continue;
                if (pass)
                    s->neighbours[total] = (uint16_t)j;
                total++;
            }
        }
        s->neighbour_start[s->count] = (int)total;
        if (pass)
            break;
        s->neighbours = snug_alloc_array(s->allocator, total, sizeof *s->neighbours);
        s->trail = snug_alloc_array(s->allocator, total, sizeof *s->trail);
        if (!s->neighbours || !s->trail)
            return snug_error_memory(error, total * (sizeof *s->neighbours + sizeof *s->trail),
                                     "the memory plan");
    }
    return SNUG_STATUS_OK;
}

enum snug_status snug_search_open(const struct snug_interval *intervals, const int32_t *heights,
                                  const int32_t *fixed, int count,
                                  const struct snug_allocator *allocator, struct snug_search **out,
                                  struct snug_error *error)
{
    SNUG_ASSERT(count > 0 && count <= SNUG_MAX_SEARCH_INTERVALS);
    size_t n = (size_t)count, levels = 2 * n * (n + 3);
    enum snug_status status = SNUG_STATUS_MEMORY;
    struct snug_search *s = snug_calloc(allocator, 1, sizeof *s);
    if (!s)
        return snug_error_memory(error, sizeof *s, "the memory plan");
    s->allocator = allocator;
    s->intervals = intervals;
    s->height = heights;
    s->fixed = fixed;
    s->count = count;
    for (int i = 0; i < count; i++)
        s->obstacles |= fixed[i] >= 0;
    int **ints[] = {&s->begin, &s->end,  &s->neighbour_start, &s->rank, &s->crossing,
                    &s->first, &s->skip, &s->choices};
    int32_t **heights_of[] = {&s->top,    &s->base,  &s->failed, &s->least,
                              &s->offset, &s->stack, &s->sum,    &s->above};
    bool refused = false;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        refused |= !(*ints[i] = snug_alloc_array(allocator, n + 1, sizeof **ints[i]));
    for (size_t i = 0; i < sizeof heights_of / sizeof *heights_of; i++)
        refused |= !(*heights_of[i] = snug_calloc(allocator, n, sizeof **heights_of[i]));
    refused |= !(s->placed = snug_calloc(allocator, n, sizeof *s->placed));
    refused |= !(s->floating = snug_alloc_array(allocator, n, sizeof *s->floating));
    refused |= !(s->list = snug_alloc_array(allocator, levels, sizeof *s->list));
    refused |= !(s->failed_trail = snug_alloc_array(allocator, levels, sizeof *s->failed_trail));
    refused |= !(s->mark = snug_calloc(allocator, n, sizeof *s->mark));
    refused |= !(s->wanted = snug_alloc_array(allocator, n, sizeof *s->wanted));
    refused |= !(s->total = snug_alloc_array(allocator, n, sizeof *s->total));
    if (refused)
        status = snug_error_memory(error, levels * sizeof *s->list, "the memory plan's search");
    else
        status = number_instants(s, error);
    if (!status)
        status = list_neighbours(s, error);
    if (status) {
        snug_search_close(s);
        return status;
    }
    *out = s;
    return SNUG_STATUS_OK;
}

void snug_search_close(struct snug_search *s)
{
    if (!s)
        return;
    void *owned[] = {s->begin,  s->end,          s->neighbour_start, s->neighbours, s->rank,
                     s->top,    s->base,         s->failed,          s->least,      s->offset,
                     s->placed, s->crossing,     s->stack,           s->list,       s->floating,
                     s->trail,  s->failed_trail, s->wanted,          s->total,      s->sum,
                     s->first,  s->skip,         s->above,           s->choices,    s->mark};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        snug_free(s->allocator, owned[i]);
    snug_free(s->allocator, s);
}

/* ---- orders of preference ---- */

static int by_preference(const void *left, const void *right)
{
    const struct preference *a = left, *b = right;
    for (int i = 0; i < 3; i++)
        if (a->key[i] != b->key[i])
            return a->key[i] > b->key[i] ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Ranks by three keys, larger first: T most bytes alive during the life, A area, W lifetime,
 * S size. */
static void rank_by(struct snug_search *s, int order)
{
    static const char keys[PREFERENCES][4] = {"TWA", "TAW", "TSW", "WAT"};
    memset(s->total, 0, (size_t)s->count * sizeof *s->total);
    for (int i = 0; i < s->count; i++)
        for (int t = s->begin[i]; t < s->end[i]; t++)
            s->total[t] += s->height[i];
    for (int i = 0; i < s->count; i++) {
        int64_t most = 0;
        for (int t = s->begin[i]; t < s->end[i]; t++)
            most = s->total[t] > most ? s->total[t] : most;
        double life = (double)s->intervals[i].last - s->intervals[i].first + 1;
        s->wanted[i].index = i;
        for (int k = 0; k < 3; k++) {
            char name = keys[order % PREFERENCES][k];
            double key = name == 'T'   ? (double)most
                         : name == 'A' ? life * s->height[i]
                         : name == 'W' ? life
                                       : s->height[i];
            /* shuffled versions: keys are scaled by up to a half; T, which is coarse, is kept */
            uint64_t luck = scramble((uint64_t)order << 32 | (uint64_t)i << 2 | (uint64_t)k);
            if (order >= 2 * PREFERENCES && name != 'T')
                key *= 1 + (double)(luck >> 40) / (double)(1 << 25);
            s->wanted[i].key[k] = key;
        }
    }
    qsort(s->wanted, (size_t)s->count, sizeof *s->wanted, by_preference);
    for (int i = 0; i < s->count; i++)
        s->rank[s->wanted[i].index] = i;
}

/* ---- one placement and its undoing ---- */

/* The lowest place for `index` at or above its top that no obstacle disturbs. */
static int32_t above_obstacles(const struct snug_search *s, int index)
{
    int32_t base = s->top[index];
    if (!s->obstacles)
        return base;
    for (bool moved = true; moved;) {
        moved = false;
        for (int n = s->neighbour_start[index]; n < s->neighbour_start[index + 1]; n++) {
            int j = s->neighbours[n];
            if (s->fixed[j] >= 0 && s->fixed[j] < base + s->height[index] &&
                base < s->fixed[j] + s->height[j]) {
                base = s->fixed[j] + s->height[j];
                moved = true;
            }
        }
    }
    return base;
}

static void place(struct snug_search *s, int index)
{
    int32_t top = s->base[index] + s->height[index];
    s->offset[index] = s->base[index];
    s->placed[index] = true;
    for (int t = s->begin[index]; t + 1 < s->end[index]; t++)
        s->crossing[t]--;
    for (int n = s->neighbour_start[index]; n < s->neighbour_start[index + 1]; n++) {
        int j = s->neighbours[n];
        if (s->placed[j] || s->top[j] >= top)
            continue;
        s->trail[s->trail_count++] = (struct trail){j, s->top[j]};
        s->top[j] = top;
        s->base[j] = above_obstacles(s, j);
    }
}

static void unplace(struct snug_search *s, int index, size_t trail_count)
{
    while (s->trail_count > trail_count) {
        struct trail *last = &s->trail[--s->trail_count];
        s->top[last->index] = last->base;
        s->base[last->index] = above_obstacles(s, last->index);
    }
    s->placed[index] = false;
    for (int t = s->begin[index]; t + 1 < s->end[index]; t++)
        s->crossing[t]++;
}

/* ---- what a node can be known to cost ---- */

static bool floats(const struct snug_search *s, int index, int32_t current)
{
    return s->base[index] < current || s->base[index] < s->failed[index];
}

/* Lower bounds for those that float, by relaxation until nothing changes; false if one has nobody
 * who could close the gap under it. */
static bool bound_floating(struct snug_search *s, int floating)
{
    for (bool changed = floating > 0; changed;) {
        changed = false;
        for (int f = 0; f < floating; f++) {
            int i = s->floating[f];
            int32_t gap_end = s->base[i] + s->height[i], lowest = s->least[i];
            for (int n = s->neighbour_start[i]; n < s->neighbour_start[i + 1]; n++) {
                int j = s->neighbours[n];
                if (s->placed[j] || s->least[j] >= gap_end)
                    continue;
                int32_t end = s->least[j] + s->height[j];
                lowest = end < lowest ? end : lowest;
            }
            changed |= lowest < s->least[i];
            s->least[i] = lowest;
        }
    }
    for (int f = 0; f < floating; f++)
        if (s->least[s->floating[f]] == NEVER)
            return false;
    return true;
}

/* Sorts by least, then preference. Lists come nearly sorted from the level above. */
static void sort_list(const struct snug_search *s, uint16_t *list, int count)
{
    for (int i = 1; i < count; i++) {
        uint16_t moving = list[i];
        int32_t least = s->least[moving];
        int rank = s->rank[moving], at = i;
        for (; at; at--) {
            int32_t other = s->least[list[at - 1]];
            if (other < least || (other == least && s->rank[list[at - 1]] < rank))
                break;
            list[at] = list[at - 1];
        }
        list[at] = moving;
    }
}

/* One more interval at these instants: what is piled up, and the sum of the heights. */
static inline void pile(int32_t *restrict stack, int32_t *restrict sum, int instants, int32_t least,
                        int32_t height)
{
    for (int t = 0; t < instants; t++) {
        stack[t] = (stack[t] > least ? stack[t] : least) + height;
        sum[t] += height;
    }
}

static int next_open(int *skip, int t)
{
    while (skip[t] != t) {
        skip[t] = skip[skip[t]];
        t = skip[t];
    }
    return t;
}

/* Where the second lowest of an instant is too high for all of them to fit above it, the lowest
 * comes first there, and the others above its end. Raises `least`; true if any was raised. The list
 * is sorted by least. */
static bool find_firsts(struct snug_search *s, const uint16_t *list, int count, int begin, int end)
{
    bool raised = false;
    for (int t = begin; t < end; t++) {
        s->skip[t] = t;
        s->first[t] = -1;
        s->above[t] = 0;
    }
    s->skip[end] = end;
    for (int i = 0; i < count; i++) {
        int index = list[i];
        for (int t = next_open(s->skip, s->begin[index]); t < s->end[index];
             t = next_open(s->skip, t + 1)) {
            if (s->first[t] < 0) {
                s->first[t] = index;
                continue;
            }
            s->skip[t] = t + 1;
            if (s->least[index] > s->capacity - s->sum[t])
                s->above[t] = s->least[s->first[t]] + s->height[s->first[t]];
        }
    }
    for (int i = 0; i < count; i++) {
        int index = list[i];
        int32_t least = s->least[index];
        for (int t = s->begin[index]; t < s->end[index]; t++)
            if (s->above[t] > least && s->first[t] != index)
                least = s->above[t];
        raised |= least > s->least[index];
        s->least[index] = least;
    }
    return raised;
}

/* Bounds and sorts the list; false if the node is impossible. [*begin, *end): its instants;
 * *lowest_end: of those that can be placed now. */
static bool examine(struct snug_search *s, uint16_t *list, int count, int32_t current, int *begin,
                    int *end)
{
    int floating = 0;
    *begin = INT_MAX, *end = 0;
    for (int i = 0; i < count; i++) {
        int index = list[i];
        *begin = s->begin[index] < *begin ? s->begin[index] : *begin;
        *end = s->end[index] > *end ? s->end[index] : *end;
        if (floats(s, index, current)) {
            s->least[index] = NEVER;
            s->floating[floating++] = (uint16_t)index;
            continue;
        }
        s->least[index] = s->base[index];
    }
    if (!bound_floating(s, floating))
        return false;
    do {
        sort_list(s, list, count);
        for (int t = *begin; t < *end; t++)
            s->stack[t] = s->sum[t] = 0;
        for (int i = 0; i < count; i++) {
            int index = list[i];
            pile(s->stack + s->begin[index], s->sum + s->begin[index],
                 s->end[index] - s->begin[index], s->least[index], s->height[index]);
        }
        for (int t = *begin; t < *end; t++)
            if (s->stack[t] > s->capacity)
                return false;
    } while (find_firsts(s, list, count, *begin, *end));
    return true;
}

/* ---- the search ---- */

static enum snug_search_outcome search_node(struct snug_search *s, uint16_t *list, int count,
                                            int32_t current);

static bool is_split(const struct snug_search *s, int begin, int end)
{
    for (int t = begin; t + 1 < end; t++)
        if (!s->crossing[t])
            return true;
    return false;
}

/* Parts that no interval joins are searched one by one. */
static enum snug_search_outcome search_parts(struct snug_search *s, uint16_t *list, int count,
                                             int32_t current, int end)
{
    enum snug_search_outcome outcome = SNUG_SEARCH_OUTCOME_FOUND;
    uint16_t *rest = list + count, *part = rest + count;
    int rest_count = count, part_count;
    memcpy(rest, list, (size_t)count * sizeof *rest);
    /* The first part by time is taken off until nothing is left. */
    while (rest_count && outcome == SNUG_SEARCH_OUTCOME_FOUND) {
        int first = INT_MAX, until, kept = 0;
        for (int i = 0; i < rest_count; i++)
            first = s->begin[rest[i]] < first ? s->begin[rest[i]] : first;
        for (until = first; until + 1 < end && s->crossing[until]; until++)
            ;
        part_count = 0;
        for (int i = 0; i < rest_count; i++) {
            if (s->begin[rest[i]] <= until)
                part[part_count++] = rest[i];
            else
                rest[kept++] = rest[i];
        }
        rest_count = kept;
        outcome = search_node(s, part, part_count, current);
    }
    return outcome;
}

/* The instant to decide: the tightest of those where something can be placed at the lowest base. */
static int choose_instant(const struct snug_search *s, const uint16_t *list, int count,
                          int32_t current, int32_t *base)
{
    int chosen = -1;
    *base = NEVER;
    for (int i = 0; i < count; i++)
        if (!floats(s, list[i], current) && s->base[list[i]] < *base)
            *base = s->base[list[i]];
    for (int i = 0; i < count; i++) {
        int index = list[i];
        if (floats(s, index, current) || s->base[index] != *base)
            continue;
        for (int t = s->begin[index]; t < s->end[index]; t++) {
            s->choices[t] = s->mark[t] == s->nodes ? s->choices[t] + 1 : 1;
            s->mark[t] = s->nodes;
        }
    }
    for (int i = 0; i < count; i++) {
        int index = list[i];
        if (floats(s, index, current) || s->base[index] != *base)
            continue;
        for (int t = s->begin[index]; t < s->end[index]; t++)
            if (chosen < 0 || s->stack[t] > s->stack[chosen] ||
                (s->fewest && s->stack[t] == s->stack[chosen] &&
                 s->choices[t] < s->choices[chosen]))
                chosen = t;
    }
    return chosen;
}

/* Whatever can lie at the lowest base at the tightest instant is tried there; what fails there
 * floats from then on. */
static enum snug_search_outcome search_instant(struct snug_search *s, const uint16_t *list,
                                               int count, int32_t current)
{
    enum snug_search_outcome outcome = SNUG_SEARCH_OUTCOME_IMPOSSIBLE;
    uint16_t *below = s->list + (list - s->list) + count;
    int32_t base;
    int instant = choose_instant(s, list, count, current, &base);
    for (int i = 0; i < count && outcome == SNUG_SEARCH_OUTCOME_IMPOSSIBLE; i++) {
        int index = list[i];
        if (s->base[index] != base || floats(s, index, current) || s->begin[index] > instant ||
            s->end[index] <= instant)
            continue;
        memcpy(below, list, (size_t)i * sizeof *below);
        memcpy(below + i, list + i + 1, (size_t)(count - i - 1) * sizeof *below);
        size_t trail_count = s->trail_count;
        place(s, index);
        outcome = search_node(s, below, count - 1, base);
        unplace(s, index, trail_count);
        s->failed_trail[s->failed_count++] = (struct trail){index, s->failed[index]};
        s->failed[index] = base + 1;
    }
    return outcome;
}

/* Places what is in the list, nothing below `current`. The state is as before when it returns; only
 * offset[] keeps what was found. */
static enum snug_search_outcome search_node(struct snug_search *s, uint16_t *list, int count,
                                            int32_t current)
{
    int begin, end;
    if (!count)
        return SNUG_SEARCH_OUTCOME_FOUND;
    if (s->halt && s->nodes % NODES_BETWEEN_QUESTIONS == 0 && s->halt(s->halt_context))
        return SNUG_SEARCH_OUTCOME_STOPPED;
    enum snug_search_outcome outcome = SNUG_SEARCH_OUTCOME_IMPOSSIBLE;
    size_t failed_count = s->failed_count;
    while (outcome == SNUG_SEARCH_OUTCOME_IMPOSSIBLE) {
        if (++s->nodes >= s->node_limit) {
            outcome = SNUG_SEARCH_OUTCOME_STOPPED;
            break;
        }
        if (!examine(s, list, count, current, &begin, &end))
            break;
        if (is_split(s, begin, end)) {
            outcome = search_parts(s, list, count, current, end);
            break;
        }
        outcome = search_instant(s, list, count, current);
    }
    while (s->failed_count > failed_count) {
        s->failed_count--;
        s->failed[s->failed_trail[s->failed_count].index] = s->failed_trail[s->failed_count].base;
    }
    return outcome;
}

enum snug_search_outcome snug_search_run(struct snug_search *s, int32_t capacity, int order,
                                         uint64_t nodes, bool (*halt)(void *context), void *context,
                                         int32_t *offsets, uint64_t *used)
{
    int count = 0;
    s->capacity = capacity;
    s->nodes = 0;
    s->node_limit = nodes;
    s->halt = halt;
    s->halt_context = context;
    s->trail_count = s->failed_count = 0;
    memset(s->mark, 0, (size_t)s->count * sizeof *s->mark);
    memset(s->crossing, 0, (size_t)(s->count + 1) * sizeof *s->crossing);
    rank_by(s, order);
    s->fewest = order / PREFERENCES % 2;
    for (int i = 0; i < s->count; i++) {
        s->placed[i] = s->fixed[i] >= 0;
        s->top[i] = s->failed[i] = 0;
        if (s->placed[i]) {
            s->offset[i] = s->fixed[i];
            if (s->fixed[i] + s->height[i] > capacity)
                return SNUG_SEARCH_OUTCOME_IMPOSSIBLE;
            continue;
        }
        s->base[i] = above_obstacles(s, i);
        s->list[count++] = (uint16_t)i;
        for (int t = s->begin[i]; t + 1 < s->end[i]; t++)
            s->crossing[t]++;
    }
    enum snug_search_outcome outcome = search_node(s, s->list, count, 0);
    if (outcome == SNUG_SEARCH_OUTCOME_FOUND)
        memcpy(offsets, s->offset, (size_t)s->count * sizeof *offsets);
    *used += s->nodes;
    return outcome;
}
