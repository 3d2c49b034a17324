/* Pieces of SVG files. Every number is written by snug_svg_put_fixed, so that a locale with decimal
 * commas cannot spoil the file, and every name by snug_svg_put_escaped.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_BASE_SVG_H
#define SNUG_BASE_SVG_H

#include "base/text.h"

/* With `decimals` (0 to 6) digits after the point. */
void snug_svg_put_fixed(struct snug_text *text, double value, int decimals);
/* At most `most` characters as XML text; what XML cannot hold becomes U+FFFD. */
void snug_svg_put_escaped(struct snug_text *text, const char *string, size_t most);
/* NAME="VALUE" with two digits. */
void snug_svg_put_attribute(struct snug_text *text, const char *name, double value);
/* A rectangle of a CSS class; the caller ends it, with "/>" or with what is in it. */
void snug_svg_open_box(struct snug_text *text, const char *class, double x, double y, double width,
                       double height);
void snug_svg_put_line(struct snug_text *text, const char *class, double x1, double y1, double x2,
                       double y2);
/* Opens a text element; the caller writes what it says and closes it. */
void snug_svg_open_label(struct snug_text *text, const char *class, double x, double y);
void snug_svg_close_label(struct snug_text *text);
/* The largest of 1, 2, 5 times a power of ten that cuts `length` (above 0) into at least `parts`;
 * digits after the point in *decimals. */
double snug_svg_nice_step(double length, int parts, int *decimals);

#endif
