/* --device, --budget, --page and the model's name: what `plan` and `extract` ask about a machine.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_MACHINE_H
#define SNUG_CLI_MACHINE_H

#include "device/profile.h"
#include "models/builtin.h"

/* As the options gave them; NULL: not given. */
struct snug_machine_options {
    const char *device, *devices_file, *budget, *page;
};

struct snug_machine {
    struct snug_device_profile profile; /* "cpu": this machine, memory as it is free now */
    bool is_this;                       /* no named profile: this machine's CPU */
    size_t budget_bytes;                /* what may be taken */
    bool budget_stated;
    int64_t page_width, page_height;
};

/* -1 to go on, 2 (said so) if one of them makes no sense. */
int snug_cli_machine(const char *command, const struct snug_machine_options *options,
                     struct snug_machine *out);

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
