/* Names of tensors in Hugging Face folders.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "models/names.h"

#include <stdio.h>
#include <string.h>

void snug_name_of_layer(const char *pattern, int layer, char *out, size_t size)
{
    const char *mark = strstr(pattern, "%d");
    if (mark)
        snprintf(out, size, "%.*s%d%s", (int)(mark - pattern), pattern, layer, mark + 2);
    else
        snprintf(out, size, "%s", pattern);
}

void snug_name_form_b(const char *form_a, char *out, size_t size)
{
    if (!strncmp(form_a, "language_model.model.", 21))
        snprintf(out, size, "model.language_model.%s", form_a + 21);
    else if (!strncmp(form_a, "language_model.lm_head", 22))
        snprintf(out, size, "%s", form_a + 15);
    else
        snprintf(out, size, "model.%s", form_a);
}
