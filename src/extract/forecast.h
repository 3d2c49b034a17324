/* What reading documents will take, worked out before anything is loaded: the model's own program,
 * laid out, and everything beside it. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_EXTRACT_FORECAST_H
#define SNUG_EXTRACT_FORECAST_H

#include "generate/session.h"

struct snug_forecast_request {
    const struct snug_model *model;      /* an outline will do */
    int64_t tiles;                       /* of the largest document, thumbnail included */
    int64_t tokens;                      /* of the largest document: prompt and answer */
    int64_t parallel;                    /* documents that decode together */
    int64_t vision_batch, prefill_chunk; /* 0: the session's defaults */
    enum snug_dtype kv_dtype;
    size_t document_bytes; /* a page on its way to tiles */
    size_t tokenizer_bytes;
    size_t embedded_bytes; /* of a model within the program: its pages are read while it loads */
    int threads;           /* that compute */
    struct snug_placing placing; /* zeroed: on the host, all of it counts */
    size_t granularity;          /* of what the devices hand out; a power of two */
    /* Beside a device: for snug_forecast_most_...; 0: no limit. */
    size_t host_budget_bytes, second_budget_bytes;
};
/* Everything on one device that hands out memory so, which need not be there: for plans. */
void snug_forecast_on_device(struct snug_forecast_request *request, size_t granularity);

/* A share of the peak. Scratch of the phases overlays, and keys and values may lie where pictures
 * were looked at: what is not alive when the region is fullest counts as 0 bytes. */
struct snug_consumer {
    const char *name;
    size_t bytes;
    size_t alone_bytes; /* what it takes by itself */
};
#define SNUG_MAX_CONSUMERS 20
struct snug_consumers {
    struct snug_consumer items[SNUG_MAX_CONSUMERS];
    int count;
};

struct snug_forecast {
    struct snug_consumers device, host; /* host: beside another device; else empty */
    struct snug_consumers second;       /* of a second device; else empty */
    size_t peak_bytes;                  /* sum of device: the smallest budget that is enough */
    size_t second_bytes;                /* sum of second */
    /* No plan of this program is below it, on a device that hands out memory in such pieces. */
    size_t lower_bound_bytes;
    size_t host_bytes; /* sum of host */
    size_t weights_bytes, region_bytes, region_lower_bound_bytes;
    size_t kv_bytes;   /* keys and values of one document */
    size_t step_bytes; /* read by one token of one document, at its full context */
    int64_t capacity;  /* positions of a document */
};

/* Memory that the process takes beside what is planned: its program, libraries and small things,
 * and for each thread what its stack grows to (both measured, with room to spare). */
#define SNUG_PROCESS_BYTES ((size_t)103 << 17)
#define SNUG_THREAD_BYTES ((size_t)64 << 10)

/* Errors: LIMIT, MEMORY. Thread-safe. */
SNUG_CHECK_RESULT enum snug_status snug_forecast_make(const struct snug_forecast_request *request,
                                                      const struct snug_allocator *allocator,
                                                      struct snug_forecast *out,
                                                      struct snug_error *error);

/* The session that a forecast looks at: laid out on a dry device, nothing taken. Free with
 * snug_session_free. Errors: LIMIT, MEMORY. */
SNUG_CHECK_RESULT enum snug_status
snug_forecast_session(const struct snug_forecast_request *request,
                      const struct snug_allocator *allocator, struct snug_session *out,
                      struct snug_error *error);

/* Largest values of one member of the request, the others as they are, that keep the peak within
 * budget_bytes, and host and second device within the request's budgets; 0 if even the least (1
 * document, 1 tile, 16 tokens beyond the tiles') does not. Each tile brings per_tile tokens. */
SNUG_CHECK_RESULT enum snug_status
snug_forecast_most_documents(const struct snug_forecast_request *request, size_t budget_bytes,
                             const struct snug_allocator *allocator, int64_t *out,
                             struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status
snug_forecast_most_tiles(const struct snug_forecast_request *request, size_t budget_bytes,
                         const struct snug_allocator *allocator, int64_t *out,
                         struct snug_error *error);
SNUG_CHECK_RESULT enum snug_status
snug_forecast_most_tokens(const struct snug_forecast_request *request, size_t budget_bytes,
                          const struct snug_allocator *allocator, int64_t *out,
                          struct snug_error *error);

#endif
