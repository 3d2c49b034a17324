/* Brings a Jinja chat template into a canonical form, so that templates that print the same in the
 * same way compare equal however they are spelt: white space inside tags, tags that strip white
 * space, trim_blocks and lstrip_blocks (always on for chat templates), escapes, quotes, m['role']
 * or m.role, the loop variables' names, text printed raw or by an expression.
 *
 * The subset: for, if, elif, else, the printing of texts and values joined by +, `is string`, ==.
 * What is outside it is not understood, which is an answer, not an error. Templates that need more
 * of Jinja are known by the digest of their words. Source: Jinja 3 template documentation;
 * templates in tests/golden/chat.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/chat_internal.h"

#include <string.h>

#define MAX_LOOPS 4
#define MAX_NAME 64

struct lexer {
    const char *text; /* the whole template */
    size_t length;
    size_t at, end; /* the inside of the tag being read */
    char *out;      /* the canonical form; NULL: the digest instead */
    size_t used;
    uint64_t digest;
    bool literal; /* the last item is a literal still open */
    const char *loops[MAX_LOOPS];
    size_t loop_lengths[MAX_LOOPS];
    int depth;
};

/* ---- writing items ---- */

static bool put(struct lexer *lexer, const char *bytes, size_t length)
{
    if (memchr(bytes, '\0', length))
        return false;
    if (!lexer->out) {
        for (size_t i = 0; i < length; i++) /* FNV-1a */
            lexer->digest = (lexer->digest ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
        return true;
    }
    if (length >= SNUG_CHAT_CANONICAL_BYTES - lexer->used)
        return false;
    memcpy(lexer->out + lexer->used, bytes, length);
    lexer->used += length;
    lexer->out[lexer->used] = '\0';
    return true;
}

static bool puts_item(struct lexer *lexer, const char *text)
{
    return put(lexer, text, strlen(text));
}

static bool end_item(struct lexer *lexer)
{
    char end = SNUG_CHAT_ITEM_END;
    return put(lexer, &end, 1);
}

static bool close_literal(struct lexer *lexer)
{
    bool open = lexer->literal;
    lexer->literal = false;
    return !open || end_item(lexer);
}

/* Joins the literal before it. A line break of any kind is one "\n". */
static bool put_literal(struct lexer *lexer, const char *bytes, size_t length)
{
    if (length == 0)
        return true;
    if (memchr(bytes, SNUG_CHAT_ITEM_END, length) || (!lexer->literal && !put(lexer, "\"", 1)))
        return false;
    lexer->literal = true;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (c == '\r') {
            if (i + 1 < length && bytes[i + 1] == '\n')
                continue;
            c = '\n';
        }
        if (!put(lexer, &c, 1))
            return false;
    }
    return true;
}

/* ---- reading the inside of a tag ---- */

static bool is_name(char c)
{
    return c == '_' || snug_ascii_is_digit(c) ||
           (snug_ascii_lower(c) >= 'a' && snug_ascii_lower(c) <= 'z');
}

static void skip_space(struct lexer *lexer)
{
    while (lexer->at < lexer->end && snug_ascii_is_space(lexer->text[lexer->at]))
        lexer->at++;
}

static bool at_end(struct lexer *lexer)
{
    skip_space(lexer);
    return lexer->at == lexer->end;
}

static bool accept(struct lexer *lexer, const char *symbol)
{
    size_t length = strlen(symbol);
    skip_space(lexer);
    if (length > lexer->end - lexer->at || memcmp(lexer->text + lexer->at, symbol, length) != 0)
        return false;
    lexer->at += length;
    return true;
}

/* The name at the place, length 0 if there is none; not passed over. */
static size_t peek_name(struct lexer *lexer, const char **name)
{
    skip_space(lexer);
    size_t at = lexer->at;
    *name = lexer->text + at;
    if (at < lexer->end && snug_ascii_is_digit(lexer->text[at]))
        return 0;
    while (at < lexer->end && is_name(lexer->text[at]))
        at++;
    return at - lexer->at;
}

static bool accept_word(struct lexer *lexer, const char *word)
{
    const char *name;
    size_t length = peek_name(lexer, &name);
    if (length != strlen(word) || memcmp(name, word, length) != 0)
        return false;
    lexer->at += length;
    return true;
}

/* The character behind a backslash in a string; 0: none we know. */
static char unescape(const struct lexer *lexer, size_t at)
{
    static const char from[] = "nt\\'\"", to[] = "\n\t\\'\"";
    const char *escape =
        at < lexer->end && lexer->text[at] != '\0' ? strchr(from, lexer->text[at]) : NULL;
    return escape ? to[escape - from] : '\0';
}

/* A quoted string into buffer; its length, or SIZE_MAX if there is none we can read. */
static size_t read_string(struct lexer *lexer, char buffer[MAX_NAME])
{
    skip_space(lexer);
    if (lexer->at == lexer->end ||
        (lexer->text[lexer->at] != '\'' && lexer->text[lexer->at] != '"'))
        return SIZE_MAX;
    char quote = lexer->text[lexer->at++];
    size_t used = 0;
    while (lexer->at < lexer->end && used < MAX_NAME) {
        char c = lexer->text[lexer->at++];
        if (c == quote)
            return used;
        if (c == '\\' && (c = unescape(lexer, lexer->at++)) == '\0')
            return SIZE_MAX;
        buffer[used++] = c;
    }
    return SIZE_MAX;
}

/* name, name.key, name['key'], ... */
static bool put_value(struct lexer *lexer)
{
    const char *name;
    size_t length = peek_name(lexer, &name);
    if (length == 0)
        return false;
    lexer->at += length;
    int loop = lexer->depth - 1;
    while (loop >= 0 &&
           (lexer->loop_lengths[loop] != length || memcmp(lexer->loops[loop], name, length) != 0))
        loop--;
    char variable[2] = {'$', (char)('0' + loop)};
    if (!(loop >= 0 ? put(lexer, variable, 2) : put(lexer, name, length)))
        return false;
    for (;;) {
        char buffer[MAX_NAME];
        if (accept(lexer, "[")) {
            size_t key = read_string(lexer, buffer);
            if (key == SIZE_MAX || !accept(lexer, "]") || !put(lexer, ".", 1) ||
                !put(lexer, buffer, key))
                return false;
        } else if (accept(lexer, ".")) {
            size_t key = peek_name(lexer, &name);
            if (key == 0 || !put(lexer, ".", 1) || !put(lexer, name, key))
                return false;
            lexer->at += key;
        } else {
            return true;
        }
    }
}

/* {{ term + term ... }} */
static bool read_print(struct lexer *lexer)
{
    do {
        char buffer[MAX_NAME];
        skip_space(lexer);
        if (lexer->at < lexer->end &&
            (lexer->text[lexer->at] == '\'' || lexer->text[lexer->at] == '"')) {
            size_t length = read_string(lexer, buffer);
            if (length == SIZE_MAX || !put_literal(lexer, buffer, length))
                return false;
        } else if (!close_literal(lexer) || !put_value(lexer) || !end_item(lexer)) {
            return false;
        }
    } while (accept(lexer, "+"));
    return at_end(lexer);
}

static bool read_condition(struct lexer *lexer)
{
    if (!put_value(lexer))
        return false;
    if (accept_word(lexer, "is"))
        return accept_word(lexer, "string") && puts_item(lexer, " is string");
    if (accept(lexer, "==")) {
        char buffer[MAX_NAME];
        size_t length = read_string(lexer, buffer);
        return length != SIZE_MAX && puts_item(lexer, " == ") && put(lexer, buffer, length);
    }
    return true;
}

static bool read_for(struct lexer *lexer)
{
    const char *name;
    size_t length = peek_name(lexer, &name);
    if (length == 0 || lexer->depth == MAX_LOOPS)
        return false;
    lexer->at += length;
    char head[] = "for $0 in ";
    head[5] = (char)('0' + lexer->depth);
    if (!accept_word(lexer, "in") || !puts_item(lexer, head) || !put_value(lexer))
        return false;
    lexer->loops[lexer->depth] = name;
    lexer->loop_lengths[lexer->depth++] = length;
    return true;
}

/* {% ... %} */
static bool read_block(struct lexer *lexer)
{
    if (!close_literal(lexer))
        return false;
    bool fine;
    if (accept_word(lexer, "for")) {
        fine = read_for(lexer);
    } else if (accept_word(lexer, "endfor")) {
        fine = lexer->depth-- > 0 && puts_item(lexer, "endfor");
    } else if (accept_word(lexer, "if")) {
        fine = puts_item(lexer, "if ") && read_condition(lexer);
    } else if (accept_word(lexer, "elif")) {
        fine = puts_item(lexer, "elif ") && read_condition(lexer);
    } else if (accept_word(lexer, "else")) {
        fine = puts_item(lexer, "else");
    } else {
        fine = accept_word(lexer, "endif") && puts_item(lexer, "endif");
    }
    return fine && at_end(lexer) && end_item(lexer);
}

/* ---- the words of a tag ---- */

/* A string, always in double quotes. A line break of any kind is one "\n". */
static bool put_string(struct lexer *lexer)
{
    char quote = lexer->text[lexer->at++];
    if (!put(lexer, "\"", 1))
        return false;
    while (lexer->at < lexer->end) {
        char c = lexer->text[lexer->at++];
        if (c == quote)
            return put(lexer, "\"", 1);
        if (c == '\\' && (c = unescape(lexer, lexer->at++)) == '\0')
            return false;
        if (c == '\r' && lexer->at < lexer->end && lexer->text[lexer->at] == '\n')
            continue;
        c = c == '\r' ? '\n' : c;
        if (((c == '"' || c == '\\') && !put(lexer, "\\", 1)) || !put(lexer, &c, 1))
            return false;
    }
    return false;
}

/* Any tag, "{" or "%": its names, numbers, strings and signs, a space before each. */
static bool read_words(struct lexer *lexer, char kind)
{
    if (!close_literal(lexer) || !put(lexer, &kind, 1))
        return false;
    for (;;) {
        skip_space(lexer);
        if (lexer->at == lexer->end)
            return end_item(lexer);
        size_t start = lexer->at;
        char c = lexer->text[start];
        if ((unsigned char)c < 0x20 || !put(lexer, " ", 1))
            return false;
        if (c == '"' || c == '\'') {
            if (!put_string(lexer))
                return false;
            continue;
        }
        while (lexer->at < lexer->end && is_name(lexer->text[lexer->at]))
            lexer->at++;
        lexer->at += lexer->at == start; /* a sign */
        if (!put(lexer, lexer->text + start, lexer->at - start))
            return false;
    }
}

/* ---- text and tags ---- */

/* Where the tag that opens at `open` closes (the index of "%}", "}}", "#}"), strings passed over.
 */
static bool find_close(const struct lexer *lexer, size_t open, size_t *close)
{
    char kind = lexer->text[open + 1];
    char end = kind == '{' ? '}' : kind, quote = 0;
    for (size_t i = open + 2; i + 1 < lexer->length; i++) {
        char c = lexer->text[i];
        if (quote) {
            if (c == '\\')
                i++;
            else if (c == quote)
                quote = 0;
        } else if (c == end && lexer->text[i + 1] == '}') {
            *close = i;
            return true;
        } else if (kind != '#' && (c == '\'' || c == '"')) {
            quote = c;
        }
    }
    return false;
}

static size_t find_open(const struct lexer *lexer, size_t from)
{
    for (size_t i = from; i + 1 < lexer->length; i++)
        if (lexer->text[i] == '{' &&
            (lexer->text[i + 1] == '{' || lexer->text[i + 1] == '%' || lexer->text[i + 1] == '#'))
            return i;
    return lexer->length;
}

/* Raw text [start, end) between two tags; kinds are the second character of the tags' brackets, 0
 * at the template's ends. */
static bool put_raw(struct lexer *lexer, size_t start, size_t end, char before, bool strip_before,
                    char after, bool strip_after)
{
    const char *text = lexer->text;
    if (strip_before) {
        while (start < end && snug_ascii_is_space(text[start]))
            start++;
    } else if (before == '%' || before == '#') { /* trim_blocks */
        if (start + 1 < end && text[start] == '\r' && text[start + 1] == '\n')
            start += 2;
        else if (start < end && (text[start] == '\n' || text[start] == '\r'))
            start++;
    }
    if (strip_after) {
        while (end > start && snug_ascii_is_space(text[end - 1]))
            end--;
    } else if (after == '%' || after == '#') { /* lstrip_blocks */
        size_t line = end;
        while (line > start && (text[line - 1] == ' ' || text[line - 1] == '\t'))
            line--;
        if (line == 0 || text[line - 1] == '\n')
            end = line;
    } else if (after == 0 && end > start && text[end - 1] == '\n') {
        end -=
            end - start > 1 && text[end - 2] == '\r' ? 2 : 1; /* one final line break is dropped */
    }
    return put_literal(lexer, text + start, end - start);
}

static bool read_tag(struct lexer *lexer, char kind)
{
    if (kind == '#')
        return true;
    if (!lexer->out)
        return read_words(lexer, kind);
    return kind == '{' ? read_print(lexer) : read_block(lexer);
}

/* The whole template, piece by piece; false: *at..*at_length is the piece not understood. */
static bool read_template(struct lexer *lexer, const char **at, size_t *at_length)
{
    const char *jinja = lexer->text;
    size_t length = lexer->length, position = 0;
    char before = 0;
    bool strip_before = false;
    for (;;) {
        size_t open = find_open(lexer, position), close = length;
        char kind = open < length ? jinja[open + 1] : '\0';
        *at = jinja + position;
        *at_length = length - position;
        bool strip_after = open + 2 < length && jinja[open + 2] == '-';
        if (!put_raw(lexer, position, open, before, strip_before, kind, strip_after))
            return false;
        if (kind == '\0')
            return close_literal(lexer);
        *at = jinja + open;
        *at_length = length - open;
        if (!find_close(lexer, open, &close))
            return false;
        *at_length = close + 2 - open;
        lexer->at = open + 2 + (strip_after ? 1 : 0);
        if (lexer->at > close)
            return false;
        strip_before = close > lexer->at && jinja[close - 1] == '-';
        lexer->end = close - (strip_before ? 1 : 0);
        if (!read_tag(lexer, kind))
            return false;
        before = kind;
        position = close + 2;
    }
}

bool snug_chat_canonical(const char *jinja, size_t length, char out[SNUG_CHAT_CANONICAL_BYTES],
                         const char **at, size_t *at_length)
{
    struct lexer lexer = {.text = jinja, .length = length, .out = out};
    out[0] = '\0';
    return read_template(&lexer, at, at_length);
}

bool snug_chat_digest(const char *jinja, size_t length, uint64_t *digest)
{
    struct lexer lexer = {.text = jinja, .length = length, .digest = UINT64_C(0xcbf29ce484222325)};
    const char *at;
    size_t at_length;
    if (!read_template(&lexer, &at, &at_length))
        return false;
    *digest = lexer.digest;
    return true;
}
