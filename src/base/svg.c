/* Elements of SVG files.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "base/svg.h"

#include <math.h>
#include <string.h>

void snug_svg_put_fixed(struct snug_text *text, double value, int decimals)
{
    static const long long powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    long long scaled = llround(value * (double)powers[decimals]);
    unsigned long long size = (unsigned long long)(scaled < 0 ? -scaled : scaled);
    unsigned long long power = (unsigned long long)powers[decimals];
    snug_text_printf(text, "%s%llu", scaled < 0 ? "-" : "", size / power);
    if (decimals)
        snug_text_printf(text, ".%0*llu", decimals, size % power);
}

void snug_svg_put_escaped(struct snug_text *text, const char *string, size_t most)
{
    size_t length = strlen(string);
    for (size_t at = 0, count = 0; at < length && count < most; count++) {
        uint32_t c = 0xfffd;
        int bytes = snug_utf8_decode((const unsigned char *)string + at, length - at, &c);
        if (bytes <= 0 || c < 0x20 || c == 0xfffe || c == 0xffff)
            c = 0xfffd;
        at += bytes > 0 ? (size_t)bytes : bytes < 0 ? (size_t)-bytes : length - at;
        if (c == '&')
            snug_text_puts(text, "&amp;");
        else if (c == '<')
            snug_text_puts(text, "&lt;");
        else if (c == '>')
            snug_text_puts(text, "&gt;");
        else
            snug_text_put_code_point(text, c);
    }
}

void snug_svg_put_attribute(struct snug_text *text, const char *name, double value)
{
    snug_text_printf(text, " %s=\"", name);
    snug_svg_put_fixed(text, value, 2);
    snug_text_putc(text, '"');
}

void snug_svg_open_box(struct snug_text *text, const char *class, double x, double y, double width,
                       double height)
{
    snug_text_printf(text, "<rect class=\"%s\"", class);
    snug_svg_put_attribute(text, "x", x);
    snug_svg_put_attribute(text, "y", y);
    snug_svg_put_attribute(text, "width", width);
    snug_svg_put_attribute(text, "height", height);
}

void snug_svg_put_line(struct snug_text *text, const char *class, double x1, double y1, double x2,
                       double y2)
{
    snug_text_printf(text, "<line class=\"%s\"", class);
    snug_svg_put_attribute(text, "x1", x1);
    snug_svg_put_attribute(text, "y1", y1);
    snug_svg_put_attribute(text, "x2", x2);
    snug_svg_put_attribute(text, "y2", y2);
    snug_text_puts(text, "/>\n");
}

void snug_svg_open_label(struct snug_text *text, const char *class, double x, double y)
{
    snug_text_printf(text, "<text class=\"%s\"", class);
    snug_svg_put_attribute(text, "x", x);
    snug_svg_put_attribute(text, "y", y);
    snug_text_putc(text, '>');
}

void snug_svg_close_label(struct snug_text *text)
{
    snug_text_puts(text, "</text>\n");
}

double snug_svg_nice_step(double length, int parts, int *decimals)
{
    double step = pow(10, floor(log10(length / parts)));
    if (length / (5 * step) >= parts)
        step *= 5;
    else if (length / (2 * step) >= parts)
        step *= 2;
    *decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    if (*decimals > 6)
        *decimals = 6;
    return step;
}
