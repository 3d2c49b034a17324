/* MiniMalloc's CSV.
 *
 *   file    = header line*            lines end in \n, \r\n or the file's end; empty ones are
 * passed over header  = names, comma-separated  id, lower, upper, size, in any order, and offset if
 * wanted line    = a cell for each name    no quotes; spaces and tabs around a cell mean nothing
 *
 * id: 1 to 256 bytes, once in the file. lower < upper: 64-bit integers. size: from 1. offset:
 * empty, or where the buffer lies and must stay. A byte order mark is passed over. Other columns
 * (MiniMalloc knows alignment, hint and gaps) would change what is asked, so they are refused.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/minimalloc.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum column { COLUMN_ID, COLUMN_LOWER, COLUMN_UPPER, COLUMN_SIZE, COLUMN_OFFSET, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"id", "lower", "upper", "size", "offset"};

struct cell {
    const char *text;
    size_t bytes;
};

struct reader {
    const char *at, *end, *name;
    size_t line;
    int columns[COLUMN_COUNT]; /* which column of the file, -1 */
    int column_count;
    size_t capacity;
    struct snug_minimalloc *out;
    struct snug_error *error;
};

static enum snug_status wrong(struct reader *r, const char *what)
{
    return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s:%zu: %s", r->name, r->line, what);
}

/* The next line that is not empty; *more is false at the end. */
static enum snug_status next_line(struct reader *r, struct cell *line, bool *more)
{
    for (*more = false; r->at < r->end && !*more;) {
        const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
        stop = stop ? stop : r->end;
        *line = (struct cell){r->at, (size_t)(stop - r->at)};
        r->at = stop < r->end ? stop + 1 : stop;
        r->line++;
        if (line->bytes && line->text[line->bytes - 1] == '\r')
            line->bytes--;
        if (line->bytes > SNUG_MAX_MINIMALLOC_LINE_BYTES)
            return snug_error_set(r->error, SNUG_STATUS_LIMIT,
                                  "%s:%zu: the line has %zu bytes, more than %d", r->name, r->line,
                                  line->bytes, SNUG_MAX_MINIMALLOC_LINE_BYTES);
        if (memchr(line->text, '\0', line->bytes))
            return wrong(r, "a NUL byte: this is no CSV");
        *more = line->bytes > 0;
    }
    return SNUG_STATUS_OK;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next cell off the line; false if there is none. *open: the line goes on after it. */
static bool take_cell(struct cell *line, bool *open, struct cell *cell)
{
    if (!*open)
        return false;
    const char *comma = memchr(line->text, ',', line->bytes);
    size_t bytes = comma ? (size_t)(comma - line->text) : line->bytes;
    *cell = (struct cell){line->text, bytes};
    *open = comma != NULL;
    line->text += bytes + *open;
    line->bytes -= bytes + *open;
    while (cell->bytes && blank(cell->text[cell->bytes - 1]))
        cell->bytes--;
    while (cell->bytes && blank(*cell->text)) {
        cell->text++;
        cell->bytes--;
    }
    return true;
}

static enum snug_status read_header(struct reader *r)
{
    struct cell line, cell;
    bool more, open = true;
    SNUG_TRY(next_line(r, &line, &more));
    if (!more)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s is empty: it should begin with the line id,lower,upper,size",
                              r->name);
    for (; take_cell(&line, &open, &cell); r->column_count++) {
        int column = 0;
        while (column < COLUMN_COUNT && (strlen(column_names[column]) != cell.bytes ||
                                         memcmp(column_names[column], cell.text, cell.bytes)))
            column++;
        int shown = cell.bytes > 64 ? 64 : (int)cell.bytes;
        if (column == COLUMN_COUNT)
            return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                                  "%s:%zu: unknown column '%.*s'; known are id, lower, upper, size "
                                  "and offset",
                                  r->name, r->line, shown, cell.text);
        if (r->columns[column] >= 0)
            return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s:%zu: column '%s' twice",
                                  r->name, r->line, column_names[column]);
        r->columns[column] = r->column_count;
    }
    for (int c = 0; c < COLUMN_OFFSET; c++)
        if (r->columns[c] < 0)
            return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s:%zu: column '%s' is missing",
                                  r->name, r->line, column_names[c]);
    return SNUG_STATUS_OK;
}

/* A whole number from low, in 64 bits. */
static enum snug_status read_number(struct reader *r, enum column column, struct cell cell,
                                    int64_t low, int64_t *out)
{
    int64_t value = 0;
    bool minus = cell.bytes > 1 && *cell.text == '-', wide = false;
    for (size_t i = minus; i < cell.bytes; i++) {
        if (!snug_ascii_is_digit(cell.text[i]) || !cell.bytes)
            return snug_error_set(
                r->error, SNUG_STATUS_FORMAT, "%s:%zu: %s is no whole number: '%.*s'", r->name,
                r->line, column_names[column], cell.bytes > 64 ? 64 : (int)cell.bytes, cell.text);
        int digit = cell.text[i] - '0';
        wide |= __builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, minus ? -digit : digit, &value);
    }
    if (!cell.bytes)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s:%zu: %s is missing", r->name,
                              r->line, column_names[column]);
    if (wide)
        return snug_error_set(r->error, SNUG_STATUS_LIMIT, "%s:%zu: %s does not fit 64 bits",
                              r->name, r->line, column_names[column]);
    if (value < low)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s:%zu: %s is %" PRId64 ", less than %" PRId64, r->name, r->line,
                              column_names[column], value, low);
    *out = value;
    return SNUG_STATUS_OK;
}

static enum snug_status grow(struct reader *r)
{
    struct snug_minimalloc *m = r->out;
    if (m->count == SNUG_MAX_MINIMALLOC_ROWS)
        return snug_error_set(r->error, SNUG_STATUS_LIMIT, "%s:%zu: more than %d buffers", r->name,
                              r->line, SNUG_MAX_MINIMALLOC_ROWS);
    if (m->count < r->capacity)
        return SNUG_STATUS_OK;
    size_t wanted = r->capacity ? 2 * r->capacity : 256;
    void *rows = snug_realloc_array(m->allocator, m->rows, wanted, sizeof *m->rows);
    m->rows = rows ? rows : m->rows;
    void *intervals = snug_realloc_array(m->allocator, m->intervals, wanted, sizeof *m->intervals);
    m->intervals = intervals ? intervals : m->intervals;
    if (!rows || !intervals)
        return snug_error_memory(r->error, wanted * sizeof *m->rows, r->name);
    r->capacity = wanted;
    return SNUG_STATUS_OK;
}

static enum snug_status read_row(struct reader *r, struct cell line)
{
    struct cell cells[COLUMN_COUNT] = {{0}}, cell;
    int64_t lower, upper, size, offset = 0;
    bool open = true;
    int count = 0;
    for (; take_cell(&line, &open, &cell); count++)
        for (int c = 0; c < COLUMN_COUNT; c++)
            if (r->columns[c] == count)
                cells[c] = cell;
    if (count != r->column_count)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s:%zu: %d cells, where the header has %d", r->name, r->line, count,
                              r->column_count);
    struct cell id = cells[COLUMN_ID];
    if (!id.bytes)
        return wrong(r, "id is missing");
    if (id.bytes > SNUG_MAX_MINIMALLOC_ID_BYTES)
        return snug_error_set(r->error, SNUG_STATUS_LIMIT, "%s:%zu: id is longer than %d bytes",
                              r->name, r->line, SNUG_MAX_MINIMALLOC_ID_BYTES);
    if (memchr(id.text, '"', id.bytes) || memchr(id.text, '\r', id.bytes))
        return wrong(r, "id holds a quote or a line end: quoted cells are not supported");
    SNUG_TRY(read_number(r, COLUMN_LOWER, cells[COLUMN_LOWER], INT64_MIN, &lower));
    SNUG_TRY(read_number(r, COLUMN_UPPER, cells[COLUMN_UPPER], INT64_MIN, &upper));
    SNUG_TRY(read_number(r, COLUMN_SIZE, cells[COLUMN_SIZE], 1, &size));
    if (lower >= upper)
        return snug_error_set(r->error, SNUG_STATUS_FORMAT,
                              "%s:%zu: lower (%" PRId64 ") must be less than upper (%" PRId64 ")",
                              r->name, r->line, lower, upper);
    bool pinned = cells[COLUMN_OFFSET].bytes > 0;
    if (pinned)
        SNUG_TRY(read_number(r, COLUMN_OFFSET, cells[COLUMN_OFFSET], 0, &offset));
    SNUG_TRY(grow(r));
    struct snug_minimalloc *m = r->out;
    m->rows[m->count] = (struct snug_minimalloc_row){id.text, id.bytes, lower, upper};
    m->intervals[m->count++] =
        (struct snug_interval){.bytes = (size_t)size, .offset = (size_t)offset, .pinned = pinned};
    return SNUG_STATUS_OK;
}

static int by_time(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static int time_number(const int64_t *times, size_t count, int64_t time)
{
    const int64_t *found = bsearch(&time, times, count, sizeof *times, by_time);
    return (int)(found - times);
}

/* Only the order of the times matters: they become numbers of the distinct ones. */
static enum snug_status number_times(struct reader *r)
{
    struct snug_minimalloc *m = r->out;
    size_t distinct = 0;
    int64_t *times = snug_alloc_array(m->allocator, 2 * m->count, sizeof *times);
    if (!times)
        return snug_error_memory(r->error, 2 * m->count * sizeof *times, r->name);
    for (size_t i = 0; i < m->count; i++) {
        times[2 * i] = m->rows[i].lower;
        times[2 * i + 1] = m->rows[i].upper;
    }
    qsort(times, 2 * m->count, sizeof *times, by_time);
    for (size_t i = 0; i < 2 * m->count; i++)
        if (!distinct || times[distinct - 1] != times[i])
            times[distinct++] = times[i];
    for (size_t i = 0; i < m->count; i++) {
        m->intervals[i].first = time_number(times, distinct, m->rows[i].lower);
        m->intervals[i].last = time_number(times, distinct, m->rows[i].upper) - 1;
    }
    snug_free(m->allocator, times);
    return SNUG_STATUS_OK;
}

static int by_id(const void *left, const void *right)
{
    const struct cell *a = left, *b = right;
    size_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = memcmp(a->text, b->text, common);
    if (order)
        return order;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return a->text < b->text ? -1 : a->text > b->text;
}

static enum snug_status refuse_double_ids(struct reader *r, const char *data)
{
    struct snug_minimalloc *m = r->out;
    enum snug_status status = SNUG_STATUS_OK;
    struct cell *ids = snug_alloc_array(m->allocator, m->count, sizeof *ids);
    if (!ids)
        return snug_error_memory(r->error, m->count * sizeof *ids, r->name);
    for (size_t i = 0; i < m->count; i++)
        ids[i] = (struct cell){m->rows[i].id, m->rows[i].id_bytes};
    qsort(ids, m->count, sizeof *ids, by_id);
    for (size_t i = 1; i < m->count && !status; i++) {
        if (ids[i].bytes != ids[i - 1].bytes ||
            memcmp(ids[i].text, ids[i - 1].text, ids[i].bytes) != 0)
            continue;
        size_t line = 1;
        for (const char *at = data; at < ids[i].text; at++)
            line += *at == '\n';
        status = snug_error_set(r->error, SNUG_STATUS_FORMAT, "%s:%zu: id '%.*s' stands here again",
                                r->name, line, (int)ids[i].bytes, ids[i].text);
    }
    snug_free(m->allocator, ids);
    return status;
}

enum snug_status snug_minimalloc_parse(const char *data, size_t length, const char *name,
                                       const struct snug_allocator *allocator,
                                       struct snug_minimalloc *out, struct snug_error *error)
{
    struct snug_minimalloc instance = {.allocator = allocator};
    struct reader r = {
        .at = data, .end = data + length, .name = name, .out = &instance, .error = error};
    struct cell line;
    bool more = true;
    for (int c = 0; c < COLUMN_COUNT; c++)
        r.columns[c] = -1;
    if (length >= 3 && !memcmp(data, "\xef\xbb\xbf", 3))
        r.at += 3;
    enum snug_status status = read_header(&r);
    while (!status && more) {
        status = next_line(&r, &line, &more);
        if (!status && more)
            status = read_row(&r, line);
    }
    if (!status)
        status = refuse_double_ids(&r, data);
    if (!status)
        status = number_times(&r);
    if (status)
        snug_minimalloc_free(&instance);
    else
        *out = instance;
    return status;
}

void snug_minimalloc_free(struct snug_minimalloc *instance)
{
    if (instance->allocator) {
        snug_free(instance->allocator, instance->rows);
        snug_free(instance->allocator, instance->intervals);
    }
    *instance = (struct snug_minimalloc){0};
}

void snug_minimalloc_put(const struct snug_minimalloc *instance, struct snug_text *text)
{
    snug_text_puts(text, "id,lower,upper,size,offset\n");
    for (size_t i = 0; i < instance->count; i++) {
        const struct snug_minimalloc_row *row = &instance->rows[i];
        snug_text_append(text, row->id, row->id_bytes);
        snug_text_printf(text, ",%" PRId64 ",%" PRId64 ",%zu,%zu\n", row->lower, row->upper,
                         instance->intervals[i].bytes, instance->intervals[i].offset);
    }
}
