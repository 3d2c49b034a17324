/* PNM: PBM (P1, P4), PGM (P2, P5), PPM (P3, P6).
 *
 *     P1..P6  white space  width  white space  height  [white space  maxval 1..65535, not P1, P4]
 *     one white space character, then the samples, row by row
 *
 * A comment runs from '#' to the end of its line and counts as white space. P1..P3 write the
 * samples in decimal digits (P1 needs no space between them). P4 packs 8 pixels a byte, highest bit
 * first, rows of whole bytes; 1 is black. P5, P6: one byte a sample, two (high byte first) if
 * maxval > 255. A sample v becomes v * 255 / maxval, rounded; of maxval 65535 it is the high byte.
 * Further pictures in the file are passed over. Source: netpbm's pbm(5), pgm(5), ppm(5).
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#define MAX_MAXVAL 65535

/* A number of more digits is an error anyway; keeps the sum far from overflow. */
#define NUMBER_LIMIT ((int64_t)1 << 40)

struct pnm {
    struct snug_bytes *bytes;
    uint64_t end;              /* offset of the first byte behind the view */
    const unsigned char *view; /* the next byte, `left` of them */
    size_t left;
    bool bilevel, plain;
    int channels; /* 1 or 3 */
    int64_t width, height, maxval;
};

static enum snug_status damaged(const struct snug_image_source *source, const char *why,
                                struct snug_error *error)
{
    return snug_error_set(error, SNUG_STATUS_FORMAT, "%s: damaged PNM picture: %s", source->name,
                          why);
}

/* ---- text ---- */

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether there is a next byte: pnm->view[0]. */
static inline bool has_byte(struct pnm *pnm)
{
    if (pnm->left)
        return true;
    pnm->view = snug_bytes_view(pnm->bytes, pnm->end, &pnm->left);
    pnm->end += pnm->left;
    return pnm->left > 0;
}

static inline unsigned char take_byte(struct pnm *pnm)
{
    pnm->left--;
    return *pnm->view++;
}

static void skip_space(struct pnm *pnm)
{
    bool in_comment = false;
    while (has_byte(pnm)) {
        if (in_comment)
            in_comment = *pnm->view != '\n';
        else if (*pnm->view == '#')
            in_comment = true;
        else if (!is_space(*pnm->view))
            return;
        take_byte(pnm);
    }
}

/* Space, then digits. -1 if there are none or the number is absurd. */
static int64_t read_number(struct pnm *pnm)
{
    skip_space(pnm);
    int64_t number = -1;
    while (has_byte(pnm) && *pnm->view >= '0' && *pnm->view <= '9') {
        number = (number < 0 ? 0 : number) * 10 + (take_byte(pnm) - '0');
        if (number > NUMBER_LIMIT)
            return -1;
    }
    return number;
}

/* One digit 0 or 1 of P1, without space around it. -1 if it is something else. */
static int64_t read_bit(struct pnm *pnm)
{
    skip_space(pnm);
    if (!has_byte(pnm) || (*pnm->view != '0' && *pnm->view != '1'))
        return -1;
    return take_byte(pnm) - '0';
}

static enum snug_status read_header(const struct snug_image_source *source, struct pnm *pnm,
                                    struct snug_error *error)
{
    unsigned char mark[2];
    pnm->bytes = source->bytes;
    pnm->end = sizeof mark;
    if (!snug_bytes_read(source->bytes, 0, mark, sizeof mark) || source->bytes->size < 3)
        return damaged(source, "the file ends inside its header", error);
    char kind = (char)mark[1];
    pnm->bilevel = kind == '1' || kind == '4';
    pnm->plain = kind <= '3';
    pnm->channels = kind == '3' || kind == '6' ? 3 : 1;
    pnm->width = read_number(pnm);
    pnm->height = read_number(pnm);
    pnm->maxval = pnm->bilevel ? 1 : read_number(pnm);
    if (pnm->width < 1 || pnm->height < 1)
        return damaged(source, "no width and height in its header", error);
    if (pnm->maxval < 1 || pnm->maxval > MAX_MAXVAL)
        return damaged(source, "no largest value of 1..65535 in its header", error);
    if (!has_byte(pnm) || !is_space(*pnm->view))
        return damaged(source, "the file ends inside its header", error);
    take_byte(pnm);
    return SNUG_STATUS_OK;
}

/* ---- samples ---- */

/* The least number of bytes that the samples need: so a short file is found out before its pixels
 * are allocated. The size has been checked. */
static size_t least_bytes(const struct pnm *pnm)
{
    size_t width = (size_t)pnm->width, height = (size_t)pnm->height;
    size_t samples = width * height * (size_t)pnm->channels;
    if (pnm->plain)
        return pnm->bilevel ? samples : samples * 2 - 1;
    if (pnm->bilevel)
        return (width + 7) / 8 * height;
    return pnm->maxval > 255 ? samples * 2 : samples;
}

static unsigned char scale(int64_t value, int64_t maxval)
{
    if (maxval == 255)
        return (unsigned char)value;
    if (maxval == MAX_MAXVAL)
        return (unsigned char)(value >> 8);
    return (unsigned char)((value * 255 + maxval / 2) / maxval);
}

/* The next sample, 0..255; -1 if it is missing or beyond maxval. */
static int read_sample(struct pnm *pnm)
{
    int64_t value = -1;
    if (pnm->plain) {
        value = pnm->bilevel ? 1 - read_bit(pnm) : read_number(pnm);
    } else if (has_byte(pnm)) {
        value = take_byte(pnm);
        if (pnm->maxval > 255)
            value = has_byte(pnm) ? value << 8 | take_byte(pnm) : -1;
    }
    return value < 0 || value > pnm->maxval ? -1 : scale(value, pnm->maxval);
}

/* P4: 8 pixels a byte. */
static bool read_bits(struct pnm *pnm, unsigned char *rgb)
{
    unsigned char bits = 0;
    for (int64_t x = 0; x < pnm->width; x++) {
        if (x % 8 == 0) {
            if (!has_byte(pnm))
                return false;
            bits = take_byte(pnm);
        }
        memset(rgb + x * 3, bits >> (7 - x % 8) & 1 ? 0 : 255, 3);
    }
    return true;
}

static bool read_row(struct pnm *pnm, unsigned char *rgb)
{
    if (pnm->bilevel && !pnm->plain)
        return read_bits(pnm, rgb);
    for (int64_t x = 0; x < pnm->width; x++, rgb += 3) {
        int sample = 0;
        for (int c = 0; c < 3; c++) {
            if (c < pnm->channels)
                sample = read_sample(pnm);
            if (sample < 0)
                return false;
            rgb[c] = (unsigned char)sample;
        }
    }
    return true;
}

enum snug_status snug_pnm_read(struct snug_rows *rows, struct snug_error *error)
{
    const struct snug_image_source *source = rows->source;
    struct pnm pnm = {0};
    SNUG_TRY(read_header(source, &pnm, error));
    SNUG_TRY(snug_image_check(source, pnm.width, pnm.height, error));
    if (least_bytes(&pnm) > source->bytes->size - (pnm.end - pnm.left))
        return damaged(source, "the file ends before its pixels do", error);
    const struct snug_rows_needs needs = {
        .width = pnm.width, .height = pnm.height, .orientation = 1};
    SNUG_TRY(snug_rows_begin(rows, &needs, error));
    for (int64_t y = 0; y < pnm.height; y++) {
        if (!read_row(&pnm, snug_rows_next(rows)))
            return damaged(source,
                           pnm.plain ? "a value is missing, too large or no number"
                                     : "a value is larger than the header says",
                           error);
        SNUG_TRY(snug_rows_push(rows, error));
    }
    return SNUG_STATUS_OK;
}
