/* The trend of a device's memory.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "generate/pressure.h"

#include <math.h>
#include <stdlib.h>

#define STEADY 8 /* times the usual distance from the line */
#define PAIRS (SNUG_PRESSURE_SAMPLES * (SNUG_PRESSURE_SAMPLES - 1) / 2)

void snug_pressure_add(struct snug_pressure *pressure, int64_t document, uint64_t bytes)
{
    pressure->samples[pressure->count++ % SNUG_PRESSURE_SAMPLES] =
        (struct snug_pressure_sample){document, bytes};
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts them. */
static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* Samples as numbers, the oldest first, relative to it: bytes may be beyond what a double holds
 * exactly, differences that matter are not. */
static int unroll(const struct snug_pressure *pressure, double *x, double *y)
{
    int64_t kept =
        pressure->count < SNUG_PRESSURE_SAMPLES ? pressure->count : SNUG_PRESSURE_SAMPLES;
    for (int64_t i = 0; i < kept; i++) {
        const struct snug_pressure_sample *first, *s;
        first = &pressure->samples[(pressure->count - kept) % SNUG_PRESSURE_SAMPLES];
        s = &pressure->samples[(pressure->count - kept + i) % SNUG_PRESSURE_SAMPLES];
        x[i] = (double)(s->document - first->document);
        y[i] = (double)(int64_t)(s->bytes - first->bytes);
    }
    return (int)kept;
}

static double slope_of(const double *x, const double *y, int count)
{
    double slopes[PAIRS];
    int pairs = 0;
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++)
            if (x[j] > x[i])
                slopes[pairs++] = (y[j] - y[i]) / (x[j] - x[i]);
    return pairs ? median(slopes, pairs) : 0;
}

/* Half of the samples are no further from the line of that slope. */
static double distance_of(const double *x, const double *y, int count, double slope)
{
    double rest[SNUG_PRESSURE_SAMPLES], sorted[SNUG_PRESSURE_SAMPLES];
    for (int i = 0; i < count; i++)
        rest[i] = sorted[i] = y[i] - slope * x[i];
    double level = median(sorted, count);
    for (int i = 0; i < count; i++)
        rest[i] = fabs(rest[i] - level);
    return median(rest, count);
}

struct snug_pressure_trend snug_pressure_trend(const struct snug_pressure *pressure,
                                               uint64_t need_bytes)
{
    struct snug_pressure_trend trend = {.documents = -1};
    double x[SNUG_PRESSURE_SAMPLES], y[SNUG_PRESSURE_SAMPLES];
    int count = unroll(pressure, x, y);
    if (count)
        trend.last_bytes = pressure->samples[(pressure->count - 1) % SNUG_PRESSURE_SAMPLES].bytes;
    if (count < SNUG_PRESSURE_LEAST)
        return trend;
    trend.known = true;
    trend.slope_bytes = slope_of(x, y, count);
    trend.falling =
        trend.slope_bytes < 0 && -trend.slope_bytes * (x[count - 1] - x[0]) >=
                                     STEADY * distance_of(x, y, count, trend.slope_bytes);
    if (!trend.falling || !need_bytes)
        return trend;
    if (trend.last_bytes < need_bytes) {
        trend.documents = 0;
        return trend;
    }
    double left = floor((double)(trend.last_bytes - need_bytes) / -trend.slope_bytes) + 1;
    trend.documents = left < (double)(INT64_MAX / 2) ? (int64_t)left : -1;
    return trend;
}

bool snug_pressure_alert(struct snug_pressure *pressure, uint64_t need_bytes,
                         struct snug_pressure_trend *trend)
{
    *trend = snug_pressure_trend(pressure, need_bytes);
    if (!trend->falling) {
        pressure->alerted = false;
        return false;
    }
    if (pressure->alerted || trend->documents < 1 || trend->documents > SNUG_PRESSURE_AHEAD)
        return false;
    pressure->alerted = true;
    return true;
}
