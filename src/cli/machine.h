/* --device, --budget, --page and the model's name: what commands ask about a machine.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_MACHINE_H
#define SNUG_CLI_MACHINE_H

#include "device/sim_script.h"
#include "models/builtin.h"
#include "program/cost.h"

/* As the options gave them; NULL: not given. */
struct snug_machine_options {
    const char *device, *devices_file, *budget, *page;
};

/* A device beside the host. */
struct snug_machine_device {
    struct snug_device_profile profile;
    bool simulated;
    struct snug_sim_script script; /* its options; events, if they come from a file */
    size_t budget_bytes;           /* what may be taken */
};

struct snug_machine {
    struct snug_device_profile profile; /* of the first device; without one of the host ("cpu": this
                                           machine, memory as it is free now) */
    bool is_this;                       /* nothing named: this machine's CPU */
    size_t budget_bytes;                /* what may be taken of that */
    bool budget_stated;
    struct snug_machine_device devices[SNUG_MAX_SPACES]; /* [1 ..] */
    int device_count;
    int64_t page_width, page_height;
};

/* -1 to go on, 2 (said so) if one of them makes no sense. Free with snug_machine_free. */
int snug_cli_machine(const char *command, const struct snug_machine_options *options,
                     struct snug_machine *out);
void snug_machine_free(struct snug_machine *machine); /* zeroed allowed */

/* Opens the machine's devices; all must be simulated. dry: without memory and arithmetic. -1 to go
 * on, 2 (said so) if one is not here. Close with snug_machine_close_devices before
 * snug_machine_free.
 */
int snug_machine_open_devices(const char *command, const struct snug_machine *machine, bool dry,
                              const struct snug_device *devices[SNUG_MAX_SPACES]);
void snug_machine_close_devices(const struct snug_device *devices[SNUG_MAX_SPACES]);

/* ---- speeds, for estimates ---- */

/* Of peak figures, what the kernels reach: 0.6 to 0.75 was measured on CPUs (SPEED.md). */
#define SNUG_SPEED_SHARE 0.7
/* This machine's processors, measured in about 0.2 s; 0 where that was not possible. */
struct snug_speed snug_cli_host_speed(void);
struct snug_speed snug_cli_profile_speed(const struct snug_device_profile *profile);

/* Where a model's files are: a folder, a built-in architecture, or (NULL, "snug-nano") the embedded
 * model. */
struct snug_model_source {
    struct snug_folder folder;
    struct snug_builtin builtin; /* private; the struct must stay where it is */
};
/* Errors: NOT_FOUND, naming what is known. Free with snug_model_source_close. */
SNUG_CHECK_RESULT enum snug_status snug_model_source_open(const char *name,
                                                          const struct snug_allocator *allocator,
                                                          struct snug_model_source *out,
                                                          struct snug_error *error);
void snug_model_source_close(struct snug_model_source *source);

#endif
