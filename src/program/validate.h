/* Warm-up: before a device is used, every kernel that a program runs there runs once and is
 * compared with the scalar reference, bit by bit.
 *
 * The arithmetic is the same whatever the placement, and a fallback is harmless only as long as
 * that is true. So it is not taken on trust: another driver, another compiler or a damaged card
 * shows here and not in a document. Copyright snug contributors. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SNUG_PROGRAM_VALIDATE_H
#define SNUG_PROGRAM_VALIDATE_H

#include "program/execute.h"

/* Looks at the steps of `program` that `space` computes in `placed`, and runs one of every kind
 * that leads to another kernel or code path (op, element types, quantisation, which operands there
 * are, width, heads) on `device` with `ops`, on small operands that it makes up, and on the host
 * with snug_ops_ref(). program is finished; both are only read. pool may be NULL. On a dry device
 * nothing is done; the CPU's own (device->host) is no device to be validated.
 *
 * Takes one region of the device and one of pinned memory, of 1 to 4 MB for small models and 5 MB
 * for one of 10^9 parameters, and about as much of the allocator; and 10 to 80 ms of one core,
 * nearly all of it for the reference. All is given back, whatever the outcome. Errors: DEVICE
 * (naming the op whose bits differ; and what the device's calls return), DEVICE_LOST, MEMORY,
 * UNSUPPORTED (a step of a kind that nothing is known about here: it is not passed over).
 */
SNUG_CHECK_RESULT enum snug_status
snug_validate_device(const struct snug_program *program, const struct snug_placed *placed,
                     int space, const struct snug_device *device, const struct snug_ops *ops,
                     struct snug_pool *pool, const struct snug_allocator *allocator,
                     struct snug_error *error);

#endif
