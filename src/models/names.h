/* Names of tensors in Hugging Face folders.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_MODELS_NAMES_H
#define SNUG_MODELS_NAMES_H

#include <stddef.h>

/* A pattern with its one "%d", if there is one, replaced. */
void snug_name_of_layer(const char *pattern, int layer, char *out, size_t size);

/* Form a, "language_model.model.norm.weight", to form b, "model.language_model.norm.weight": what
 * raw state dicts and folders saved again write. Every other part goes under "model.", the head to
 * the top. */
void snug_name_form_b(const char *form_a, char *out, size_t size);

#endif
