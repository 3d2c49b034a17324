/* What a step costs in bytes and operations, and what a placed phase costs in time on machines
 * whose speeds are known: estimates, for choosing placements and for telling people what to expect.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_PROGRAM_COST_H
#define SNUG_PROGRAM_COST_H

#include "program/execute.h"

/* Of a step in a run: units and first_position are looked at. */
struct snug_work snug_step_work(const struct snug_program *program, const struct snug_step *step,
                                const struct snug_run *run);

/* Speeds of a space; 0: takes no time. */
struct snug_speed {
    double read_gbs, f32_gflops, int8_gops; /* as reached, not as printed on the box */
    double link_gbs;                        /* a device's: between the host and it */
    double launch_us, copy_us;
};

/* Where the time of a run goes, in milliseconds. */
struct snug_cost {
    double total_ms;
    double busy_ms[SNUG_MAX_SPACES];   /* computing */
    double copy_ms[SNUG_MAX_SPACES];   /* of a device's link, beside computing or not */
    double waited_ms[SNUG_MAX_SPACES]; /* a device's launches for copies */
    double copied_bytes[SNUG_MAX_SPACES];
};

/* The run of a placed phase on a clock for each queue (device.h), host steps one after the other
 * with all. speeds: [spaces]. */
struct snug_cost snug_placed_cost(const struct snug_placed *placed, const struct snug_run *run,
                                  const struct snug_speed *speeds);

#endif
