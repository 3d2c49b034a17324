/* Stub */
#ifndef V
#define V
#include "program/execute.h"
static inline enum snug_status
snug_validate_device(const struct snug_program *program, const struct snug_placed *placed,
                     int space, const struct snug_device *device, const struct snug_ops *ops,
                     struct snug_pool *pool, const struct snug_allocator *allocator,
                     struct snug_error *error)
{
    (void)program;
    (void)placed;
    (void)space;
    (void)device;
    (void)ops;
    (void)pool;
    (void)allocator;
    (void)error;
    return 0;
}
#endif
