/* Memory pressure: whether what a device has for us falls steadily from document to document, and
 * when it would be too little. Pure functions of the samples given.
 *
 * A sample is the memory that is free or ours when a document begins: our own taking and giving
 * does not move it, so what moves it are others. The slope is Theil and Sen's, the median of the
 * slopes between all pairs: unlike least squares it is not bent by a few documents at which others
 * took or gave much. A fall is steady if the line loses, over the samples, at least eight times
 * their usual distance from it (median): noise does not, and neither does a single step, however
 * high; stairs of a few documents' width do.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_GENERATE_PRESSURE_H
#define SNUG_GENERATE_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNUG_PRESSURE_SAMPLES 32 /* the last of so many are looked at, */
#define SNUG_PRESSURE_LEAST 12   /* of fewer nothing is said, */
#define SNUG_PRESSURE_AHEAD 8    /* and an alert is raised so many documents ahead */

/* Zeroed to start. */
struct snug_pressure {
    struct snug_pressure_sample {
        int64_t document;
        uint64_t bytes;
    } samples[SNUG_PRESSURE_SAMPLES]; /* a ring */
    int64_t count;                    /* of all so far */
    bool alerted;                     /* during the fall that goes on */
};

struct snug_pressure_trend {
    bool known;          /* enough samples */
    bool falling;        /* steadily */
    double slope_bytes;  /* a document; below 0: it gets less */
    uint64_t last_bytes; /* of the last sample */
    int64_t documents;   /* until there is less than is needed, if it falls: 0: there is now; -1:
                            never */
};

/* Numbers of documents rise. */
void snug_pressure_add(struct snug_pressure *pressure, int64_t document, uint64_t bytes);
/* need_bytes: of the same device, all that must be there; 0: nothing is needed. */
struct snug_pressure_trend snug_pressure_trend(const struct snug_pressure *pressure,
                                               uint64_t need_bytes);
/* Whether to raise an alert now: once a fall, at most SNUG_PRESSURE_AHEAD documents before memory
 * is short, and not after. *trend is what snug_pressure_trend says. */
bool snug_pressure_alert(struct snug_pressure *pressure, uint64_t need_bytes,
                         struct snug_pressure_trend *trend);

#endif
