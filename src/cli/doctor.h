/* What the files of `snug doctor` share.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_DOCTOR_H
#define SNUG_CLI_DOCTOR_H

#include "cli/cli.h"
#include "cli/embedded_model.h"
#include "cli/machine.h"

#define DOCTOR_DEVICE_WIDTH 18 /* of names, where rungs are among them */

/* The i-th id of a made-up prompt: plain tokens of the embedded model, and some of any other. */
int32_t doctor_plain_id(const struct snug_model *model, int64_t i);

/* Prints what the devices (simulated ones) hold, runs a small document on each rung, compares its
 * logits with those of the rung `cpu`. Returns the number of problems. */
int doctor_check_devices(const struct snug_folder *folder, const struct snug_device *const *devices,
                         int device_count, struct snug_pool *pool);

#endif
