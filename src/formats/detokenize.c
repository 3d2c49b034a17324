/* Ids back to text, at once or one at a time.
 *
 * State between two ids: 0 to 3 bytes that begin a character but do not finish it. Whatever is
 * decided is given out: a finished character as it is, an invalid part as one U+FFFD per maximal
 * part (Unicode chapter 3). A special token left out does not touch the state, so the bytes round
 * it may join.
 *
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/tokenizer_internal.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

const unsigned char *snug_tokenizer_bytes(const struct snug_tokenizer *tokenizer, int32_t id,
                                          size_t *length)
{
    *length = 0;
    if (id < 0 || id >= tokenizer->size || !(tokenizer->flags[id] & SNUG_TOKEN_FLAG_PRESENT))
        return NULL;
    *length = tokenizer->offsets[id + 1] - tokenizer->offsets[id];
    return tokenizer->bytes + tokenizer->offsets[id];
}

/* The first two bytes of a surrogate (ED A0 to ED BF). They are invalid already, but the
 * reference's streaming decoder gives its verdict only on the third byte; the text is the same in
 * the end. */
static bool is_surrogate_start(const struct snug_detokenizer *state)
{
    return state->pending_bytes == 2 && state->pending[0] == 0xED && state->pending[1] >= 0xA0 &&
           state->pending[1] <= 0xBF;
}

/* One byte joins the pending ones. At most four parts are decided by it. */
static void push_byte(struct snug_detokenizer *state, unsigned char byte, struct snug_text *text)
{
    state->pending[state->pending_bytes++] = byte;
    while (state->pending_bytes > 0 && !is_surrogate_start(state)) {
        uint32_t code_point;
        int bytes = snug_utf8_decode(state->pending, (size_t)state->pending_bytes, &code_point);
        if (bytes == 0)
            return;
        if (bytes > 0) {
            snug_text_append(text, state->pending, (size_t)bytes);
        } else {
            snug_text_puts(text, REPLACEMENT);
            bytes = -bytes;
        }
        state->pending_bytes -= bytes;
        memmove(state->pending, state->pending + bytes, (size_t)state->pending_bytes);
    }
}

/* Bytes from bytes[0] on that are whole valid characters. */
static size_t valid_prefix(const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint32_t code_point;
        int got = bytes[at] < 0x80 ? 1 : snug_utf8_decode(bytes + at, length - at, &code_point);
        if (got <= 0)
            break;
        at += (size_t)got;
    }
    return at;
}

void snug_detokenizer_push(struct snug_detokenizer *state, const struct snug_tokenizer *tokenizer,
                           int32_t id, bool skip_special, struct snug_text *text)
{
    size_t length;
    const unsigned char *bytes = snug_tokenizer_bytes(tokenizer, id, &length);
    if (!bytes || (skip_special && snug_tokenizer_is_special(tokenizer, id)))
        return;
    for (size_t i = 0; i < length;) {
        if (state->pending_bytes == 0) {
            size_t whole = valid_prefix(bytes + i, length - i);
            if (whole > 0)
                snug_text_append(text, bytes + i, whole);
            i += whole;
            if (i == length)
                break;
        }
        push_byte(state, bytes[i++], text);
    }
}

void snug_detokenizer_finish(struct snug_detokenizer *state, struct snug_text *text)
{
    snug_text_append_lossy(text, state->pending, (size_t)state->pending_bytes);
    state->pending_bytes = 0;
}

enum snug_status snug_tokenizer_decode(const struct snug_tokenizer *tokenizer, const int32_t *ids,
                                       size_t count, bool skip_special, struct snug_text *text,
                                       struct snug_error *error)
{
    struct snug_detokenizer state = {0};
    for (size_t i = 0; i < count; i++)
        snug_detokenizer_push(&state, tokenizer, ids[i], skip_special, text);
    snug_detokenizer_finish(&state, text);
    return snug_text_status(text, error, "decoding");
}
