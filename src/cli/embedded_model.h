/* What is linked into the program: the small model, the default schema, the devices known by name.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_EMBEDDED_MODEL_H
#define SNUG_CLI_EMBEDDED_MODEL_H

#include "base/files.h"

/* The folder "snug-nano", as if it lay on disk. */
struct snug_folder snug_embedded_model(const struct snug_allocator *allocator);
/* schemas/business-document.json. Static. */
struct snug_embedded_file snug_embedded_schema(void);
/* src/device/devices.json, for snug_device_profiles_parse. Static. */
struct snug_embedded_file snug_embedded_devices(void);

#endif
