/* Device profiles: what a named machine has, so that a plan can be made for it anywhere.
 *
 * A devices file is one JSON object with one key, "devices", a list of objects:
 *
 *     name          needed   1..31 of a-z 0-9 - . _, a letter or digit first; unique in the file
 *     kind          needed   "gpu" or "cpu"
 *     memory        needed   size: what is installed, above 0, at most 1 PiB
 *     title         string   for tables, at most 63 bytes; the name if missing
 *     reserved      size     0   gone before anything is ours: driver, context, ECC; below memory
 *     granularity   size     2 MiB (gpu), 4 KiB (cpu)   a power of two, at most memory
 *     read_gbs      number   0   device memory, 10^9 bytes a second
 *     f32_gflops    number   0   10^9 operations a second, a multiply-add is two
 *     int8_gops     number   0   the same for exact 8-bit products (dp4a, VNNI)
 *     link_gbs      number   0   host to device, one way
 *     source        string   where the figures come from; looked at by people only
 *
 * A size is an integer (bytes) or a string for snug_size_parse. Speeds are what the maker states as
 * peak; 0 is "not known, measure it". Anything else is FORMAT: an unknown key, a wrong type, null.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_DEVICE_PROFILE_H
#define SNUG_DEVICE_PROFILE_H

#include "base/alloc.h"

enum snug_device_kind { SNUG_DEVICE_KIND_CPU, SNUG_DEVICE_KIND_GPU, SNUG_DEVICE_KIND_COUNT };
const char *snug_device_kind_name(enum snug_device_kind kind); /* "cpu", "gpu" */

#define SNUG_MAX_DEVICES_BYTES (1u << 20) /* of a devices file */
#define SNUG_MAX_DEVICE_PROFILES 256      /* of one file, and of one list */
#define SNUG_MAX_DEVICE_MEMORY_BYTES (UINT64_C(1) << 50)
#define SNUG_MAX_DEVICE_SPEED 1e9 /* 10^18 a second */
#define SNUG_DEVICE_NAME_BYTES 32
#define SNUG_DEVICE_TITLE_BYTES 64

struct snug_device_profile {
    char name[SNUG_DEVICE_NAME_BYTES];   /* "v100-16gb" */
    char title[SNUG_DEVICE_TITLE_BYTES]; /* "NVIDIA Tesla V100 PCIe 16 GB" */
    enum snug_device_kind kind;
    uint64_t memory_bytes;      /* installed */
    uint64_t reserved_bytes;    /* < memory_bytes */
    uint64_t granularity_bytes; /* of what the device hands out; a power of two */
    double read_gbs, f32_gflops, int8_gops, link_gbs; /* 0: not known */
};

/* Owns its items; the zeroed struct with an allocator set is an empty list. */
struct snug_device_profiles {
    const struct snug_allocator *allocator;
    struct snug_device_profile *items;
    size_t count;
};

/* Reads text[0..size), the contents of a devices file; `file` stands in messages. *list: written
 * only on success, free with snug_device_profiles_free. Errors: FORMAT (naming file, device and
 * key; also more devices than SNUG_MAX_DEVICE_PROFILES), LIMIT (file too long, nested too deep),
 * MEMORY. Thread-safe. */
SNUG_CHECK_RESULT enum snug_status
snug_device_profiles_parse(const char *text, size_t size, const char *file,
                           const struct snug_allocator *allocator,
                           struct snug_device_profiles *list, struct snug_error *error);
void snug_device_profiles_free(struct snug_device_profiles *list);

/* Copies every profile of `more` into `list`, in place of one of the same name or at the end.
 * Errors: LIMIT, MEMORY; then *list is as it was. */
SNUG_CHECK_RESULT enum snug_status snug_device_profiles_add(struct snug_device_profiles *list,
                                                            const struct snug_device_profiles *more,
                                                            struct snug_error *error);

/* The profile of that name (capitals do not matter); *out points into the list. USAGE if there is
 * none: the message lists those there are. */
SNUG_CHECK_RESULT enum snug_status snug_device_profile_find(const struct snug_device_profiles *list,
                                                            const char *name,
                                                            const struct snug_device_profile **out,
                                                            struct snug_error *error);

/* What can be taken: memory less reserved, rounded down to the granularity. */
uint64_t snug_device_profile_usable_bytes(const struct snug_device_profile *profile);

#endif
