/* y = x w^T + bias, over tiles of gemm.c. Order: DESIGN 2.2.
 *
 * A task takes up to 48 rows and a range of panels. For each block of k it copies its rows of x
 * side by side (48 x 256 f32: 48 KiB, in the second cache), then passes every panel's block under
 * them. A single row (decoding) is bound by reading the weights: it goes along whole panels,
 * several at once. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ops/cpu/cpu.h"

#define CHUNK_ROWS 48
#define ALONE_BELOW_FMAS 200000
#define TASK_FMAS 100000 /* about 5 microseconds: below it, taking a task costs too much */
#define TASKS_A_THREAD 8
#define MOST_PANELS 64 /* 48 x 1024 f32 of y, 192 KiB, stay in the second cache between blocks */

struct linear {
    const struct snug_linear *args;
    int64_t row_chunks;
    int64_t panels_a_task;
};

/* One block of k for some rows and the panels [panel, end): the last one may be partly beyond n, so
 * it goes through a buffer. x: GEMM_LD apart. */
static void linear_block(const struct snug_linear *args, const float *x, int64_t row, int64_t rows,
                         int64_t panel, int64_t end, int64_t k)
{
    size_t element = args->w_dtype == SNUG_DTYPE_F32 ? 4 : 2;
    int64_t full = min_i64(end, args->n / SNUG_PANEL);
    bool last = args->k - k <= 256;
    struct gemm g = {.rows = rows,
                     .count = min_i64(256, args->k - k),
                     .x = x,
                     .dtype = args->w_dtype,
                     .panel_stride = args->k * SNUG_PANEL,
                     .y_ld = args->y_ld,
                     .mode = k == 0 ? GEMM_STORE : GEMM_ADD};

    if (full > panel) {
        g.panels = full - panel;
        g.w = (const char *)args->w + (size_t)((panel * args->k + k) * SNUG_PANEL) * element;
        g.y = args->y + row * args->y_ld + panel * SNUG_PANEL;
        g.bias = last && args->bias ? args->bias + panel * SNUG_PANEL : NULL;
        cpu_gemm(&g);
    }
    if (full < end) {
        float y[CHUNK_ROWS * SNUG_PANEL];
        int64_t first = full * SNUG_PANEL;
        g.panels = 1;
        g.w = (const char *)args->w + (size_t)((full * args->k + k) * SNUG_PANEL) * element;
        g.y = y;
        g.y_ld = SNUG_PANEL;
        g.bias = NULL;
        g.mode = GEMM_STORE;
        cpu_gemm(&g);
        for (int64_t r = 0; r < rows; r++) {
            float *out = args->y + (row + r) * args->y_ld + first;
            for (int64_t c = 0; c < args->n - first; c++) {
                float sum = k == 0 ? y[r * SNUG_PANEL + c] : out[c] + y[r * SNUG_PANEL + c];
                out[c] = last && args->bias ? sum + args->bias[first + c] : sum;
            }
        }
    }
}

/* Task index: row chunk fastest, so that threads read the same panels at about the same time. */
static void rows_task(void *context, int64_t index, int worker)
{
    const struct linear *l = context;
    const struct snug_linear *args = l->args;
    int64_t row = index % l->row_chunks * CHUNK_ROWS, rows = min_i64(CHUNK_ROWS, args->rows - row);
    int64_t panel = index / l->row_chunks * l->panels_a_task;
    int64_t end = min_i64(snug_panel_count(args->n), panel + l->panels_a_task);
    float x[CHUNK_ROWS * GEMM_LD];

    (void)worker;
    for (int64_t k = 0; k < args->k; k += 256) {
        size_t bytes = (size_t)min_i64(256, args->k - k) * sizeof(float);
        for (int64_t r = 0; r < rows; r++)
            memcpy(x + r * GEMM_LD, args->x + (row + r) * args->x_ld + k, bytes);
        linear_block(args, x, row, rows, panel, end, k);
    }
}

static void one_row_task(void *context, int64_t index, int worker)
{
    const struct linear *l = context;
    const struct snug_linear *args = l->args;
    int64_t panel = index * l->panels_a_task, wide = cpu_gemm_wide(1);
    int64_t end = min_i64(snug_panel_count(args->n), panel + l->panels_a_task);

    (void)worker;
    for (; panel < end; panel += wide)
        for (int64_t k = 0; k < args->k; k += 256)
            linear_block(args, args->x + k, 0, 1, panel, min_i64(end, panel + wide), k);
}

enum snug_status cpu_linear(const struct snug_linear *args, struct snug_pool *pool)
{
    enum snug_status status = snug_check_linear(args);
    if (status)
        return status;
    if (args->rows == 0)
        return SNUG_STATUS_OK;
    struct linear l = {.args = args, .row_chunks = ceil_div(args->rows, CHUNK_ROWS)};
    int64_t panels = snug_panel_count(args->n), rows = min_i64(args->rows, CHUNK_ROWS);
    int64_t panel_fmas = args->k * SNUG_PANEL * rows, wide = cpu_gemm_wide(rows);
    pool = pool_if(pool, panels * panel_fmas * l.row_chunks, ALONE_BELOW_FMAS);

    int64_t tasks = ceil_div(TASKS_A_THREAD * pool_threads(pool), l.row_chunks);
    l.panels_a_task = max_i64(ceil_div(panels, tasks), ceil_div(TASK_FMAS, panel_fmas));
    l.panels_a_task = ceil_div(min_i64(l.panels_a_task, MOST_PANELS), wide) * wide;
    snug_pool_run(pool, args->rows == 1 ? one_row_task : rows_task, &l,
                  l.row_chunks * ceil_div(panels, l.panels_a_task));
    return SNUG_STATUS_OK;
}
