/* XML, as much of it as our SVG files use. Copyright snug contributors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_TESTS_XML_H
#define SNUG_TESTS_XML_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The text up to `stop`: nothing unescaped, nothing XML forbids. NULL if it is not so. */
static inline const char *xml_text(const char *at, char stop)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
    for (; *at && *at != stop; at++) {
        bool known = *at != '&';
        for (size_t e = 0; e < 4; e++)
            known = known || !strncmp(at, entities[e], strlen(entities[e]));
        if (!known || *at == '<' || *at == '>' || ((unsigned char)*at < 0x20 && *at != '\n'))
            return NULL;
    }
    return at;
}

/* NAME="VALUE" ...; up to '>' or "/>". */
static inline const char *xml_attributes(const char *at)
{
    while (*at == ' ') {
        size_t name =
            strspn(++at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
        if (!name || strncmp(at + name, "=\"", 2))
            return NULL;
        at = xml_text(at + name + 2, '"');
        if (!at || *at++ != '"')
            return NULL;
    }
    return at;
}

/* One element, everything in it balanced, nothing behind it but a new line. */
static inline bool xml_well_formed(const char *at)
{
    char open[16][16];
    int depth = 0;
    bool begun = false;
    while (*at && !(begun && !depth && !strcmp(at, "\n"))) {
        at = depth ? xml_text(at, '<') : at;
        if (!at || *at++ != '<' || (begun && !depth))
            return false;
        bool closes = *at == '/';
        at += closes;
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        if (!name || name > 15 || (!closes && depth == 16))
            return false;
        if (closes) {
            if (!depth-- || strlen(open[depth]) != name || strncmp(open[depth], at, name))
                return false;
            at += name;
        } else {
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)name, at);
            at = xml_attributes(at + name);
            if (!at)
                return false;
            depth -= *at == '/';
            at += *at == '/';
        }
        begun = true;
        if (*at++ != '>')
            return false;
    }
    return begun && !depth;
}

#endif
