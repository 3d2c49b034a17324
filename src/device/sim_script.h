/* What stands after "sim:" on a command line: a profile's name, a size, or a script's file.
 *
 * A script is one JSON object: a machine, and what happens to it.
 *
 *     device        name of a profile     its figures, for the keys that are not given
 *     memory, reserved, granularity, read_gbs, f32_gflops, int8_gops, link_gbs
 *                                         as in a devices file (profile.h); without "device",
 *                                         memory is needed, granularity is 2 MiB, all else 0
 *     launch_us     number     5          of each launch, of each copy: 0 to 10^6
 *     copy_us       number     10
 *     events        list of objects       at most SNUG_SIM_MAX_EVENTS
 *
 * An event has one moment and one action:
 *
 *     document      integer    from 1     at the start of the first document from this one on, or
 *       token       integer    from 0     once so many tokens of it have been made (if they are)
 *     ms            number     from 0     at the first call at or after this virtual time
 *
 *     neighbour     size                  others hold so much from now on, as far as there is room
 *     fail          string                the next calls of this kind fail: take, take_host,
 *       count       integer    1          copy_to, copy_from, launch, synchronise, any
 *     lose          integer               the device is lost; so many attempts at reset fail
 *     link          number                copies run at so much of their speed from now on
 *
 * Anything else is FORMAT: an unknown key, a wrong type, null, two moments, two actions.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_SIM_SCRIPT_H
#define SNUG_DEVICE_SIM_SCRIPT_H

#include "device/sim.h"

#define SNUG_SIM_MAX_SCRIPT_BYTES (1u << 20)
#define SNUG_SIM_MAX_DOCUMENT 1000000000 /* and resets, and the count of calls that fail */
#define SNUG_SIM_MAX_MS 1e12
#define SNUG_SIM_MAX_LATENCY_US 1e6
#define SNUG_SIM_MIN_LINK 1e-6
#define SNUG_SIM_MAX_LINK 1e6

enum snug_sim_spec { SNUG_SIM_SPEC_PROFILE, SNUG_SIM_SPEC_SIZE, SNUG_SIM_SPEC_FILE };
/* Which one the text after "sim:" is: a FILE if it holds a '/' or ends in ".json", else a SIZE if
 * it is one (snug_size_parse), else the name of a PROFILE, known or not. */
enum snug_sim_spec snug_sim_spec_of(const char *text);

/* Of a profile's name or a size ("8GiB": a card that has so much to give, as fast as the profile
 * SNUG_SIM_CARD; if the list lacks that one, nothing takes time but the latencies). Errors: USAGE.
 */
#define SNUG_SIM_CARD "rtx4060-8gb"
SNUG_CHECK_RESULT enum snug_status
snug_sim_options_of_spec(const char *text, const struct snug_device_profiles *profiles,
                         struct snug_sim_options *options, struct snug_error *error);

struct snug_sim_script {
    struct snug_sim_options options; /* its events are those below */
    struct snug_sim_event *events;   /* documents' first, by document and token; then by time */
    size_t event_count;
    const struct snug_allocator *allocator;
};

/* Reads text[0..size), the contents of a script; `file` stands in messages, and its last part in
 * the device's name. *script: written only on success, free with snug_sim_script_free when no
 * device of it is open. Errors: FORMAT (naming file, event and key; also a "device" that is not in
 * `profiles`), LIMIT (file too long, nested too deep), MEMORY. Thread-safe. */
SNUG_CHECK_RESULT enum snug_status
snug_sim_script_parse(const char *text, size_t size, const char *file,
                      const struct snug_device_profiles *profiles,
                      const struct snug_allocator *allocator, struct snug_sim_script *script,
                      struct snug_error *error);
void snug_sim_script_free(struct snug_sim_script *script); /* zeroed allowed; leaves it zeroed */

#endif
