/* The tables that the kernels' one source becomes, one for every instruction set it is compiled
 * for. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_OPS_CPU_BACKENDS_H
#define SNUG_OPS_CPU_BACKENDS_H

#include "ops/op.h"

const struct snug_ops *snug_avx2_ops(void);
const struct snug_ops *snug_avxvnni_ops(void);
const struct snug_ops *snug_avx512_ops(void);
const struct snug_ops *snug_avx512vnni_ops(void);
/* What each can do at most. */
struct snug_peaks;
const struct snug_peaks *snug_avx2_peaks(void);
const struct snug_peaks *snug_avxvnni_peaks(void);
const struct snug_peaks *snug_avx512_peaks(void);
const struct snug_peaks *snug_avx512vnni_peaks(void);
const struct snug_peaks *snug_generic16_peaks(void);
/* The 16-lane code path in plain C, slow: for tests where no processor has AVX-512. */
const struct snug_ops *snug_generic16_ops(void);

#endif
