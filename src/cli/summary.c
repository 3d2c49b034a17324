/* What a run took, and where it ran.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/summary.h"

#include "device/sim.h"

static double share(double part, double all)
{
    return all > 0 ? 100 * part / all : 0;
}

/* A line for every rung that was used, then the moves. */
static void put_rungs(struct snug_progress_bar *bar, const struct snug_ladder_stats *stats)
{
    double documents = 0, busy_ms = 0;
    for (int r = 0; r < SNUG_RUNG_COUNT; r++) {
        documents += (double)stats->documents[r];
        busy_ms += stats->busy_ms[r];
    }
    for (int r = 0; r < SNUG_RUNG_COUNT; r++)
        if (stats->documents[r] || stats->busy_ms[r] > 0)
            snug_progress_note(bar, "on %s: %lld documents (%.0f %%), %.1f s (%.0f %%)",
                               snug_rung_name((enum snug_rung)r), (long long)stats->documents[r],
                               share((double)stats->documents[r], documents),
                               stats->busy_ms[r] / 1000, share(stats->busy_ms[r], busy_ms));
    snug_progress_note(bar,
                       "moves: %llu down, %llu up, %llu retries; %.0f ms spent moving, %.1f %%",
                       (unsigned long long)stats->downs, (unsigned long long)stats->ups,
                       (unsigned long long)stats->retries, stats->moving_ms,
                       share(stats->moving_ms, busy_ms + stats->moving_ms));
}

static void put_trend(struct snug_progress_bar *bar, const struct snug_ladder *ladder)
{
    struct snug_pressure_trend trend = snug_ladder_trend(ladder);
    char slope[24], left[64] = "";
    if (!trend.falling)
        return;
    if (trend.documents == 0)
        snprintf(left, sizeof left, ": it is short");
    else if (trend.documents > 0)
        snprintf(left, sizeof left, ": short in about %lld documents", (long long)trend.documents);
    snug_progress_note(bar, "the device's memory falls by %s a document%s",
                       snug_format_bytes((uint64_t)-trend.slope_bytes, slope), left);
}

/* Of one device: planned, and ours at most. */
static void put_device(struct snug_progress_bar *bar, const struct snug_reader *reader, int space)
{
    const struct snug_ladder *ladder = snug_reader_ladder(reader);
    const struct snug_forecast *f = snug_reader_forecast(reader);
    const struct snug_device *device = ladder->options.devices[space];
    size_t planned = space == 1 ? f->host.count ? f->peak_bytes : 0 : f->second_bytes;
    char bytes[24], peak[24], least[24], free_text[48] = "";
    if (space == 1 && ladder->stats.watched)
        snprintf(free_text, sizeof free_text, "; free at least %s",
                 snug_format_bytes(ladder->stats.lowest_free_bytes, least));
    snug_progress_note(bar, "memory of %s: planned %s, reserved at most %s%s", device->name,
                       snug_format_bytes(planned, bytes),
                       snug_format_bytes(ladder->stats.peak_bytes[space], peak), free_text);
}

void snug_summary_put_memory(struct snug_progress_bar *bar, const struct snug_reader *reader)
{
    const struct snug_ladder *ladder = snug_reader_ladder(reader);
    const struct snug_forecast *f = snug_reader_forecast(reader);
    char planned[24], peak[24];
    bool simulated = false;
    unsigned long long runs = snug_ladder_runs(ladder), regions = snug_ladder_takes(ladder);
    unsigned long long blocks = snug_alloc_quiet_requests();
    snug_format_bytes(snug_memory_of_process("VmHWM"), peak);
    if (!ladder->options.device_count) {
        snug_progress_note(bar,
                           "memory: planned %s, peak %s; taken in %llu runs: %llu regions, %llu "
                           "blocks",
                           snug_format_bytes(f->peak_bytes, planned), peak, runs, regions, blocks);
        return;
    }
    put_rungs(bar, &ladder->stats);
    for (int space = 1; space <= ladder->options.device_count; space++) {
        put_device(bar, reader, space);
        simulated = simulated || snug_device_is_sim(ladder->options.devices[space]);
    }
    put_trend(bar, ladder);
    snug_progress_note(bar, "memory of the host: planned %s, peak of the process %s%s",
                       snug_format_bytes(f->host.count ? f->host_bytes : f->peak_bytes, planned),
                       peak, simulated ? " (with simulated devices, a speed test)" : "");
    snug_progress_note(bar, "taken in %llu runs: %llu regions, %llu blocks", runs, regions, blocks);
}
