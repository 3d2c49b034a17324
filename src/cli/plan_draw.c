/* A plan as a picture.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include "program/timeline_svg.h"

#define SVG_BYTES (16u << 20)

static enum snug_status draw(const struct plan *p, const struct snug_session *session,
                             const char *path, struct snug_error *error)
{
    char title[200];
    struct snug_text text;
    struct snug_file_writer *writer = NULL;
    snprintf(title, sizeof title, "%s, %lld tiles, %lld tokens, %lld at once, %s",
             p->source.folder.path, (long long)p->used_request.tiles,
             (long long)p->used_request.tokens, (long long)p->used_request.parallel,
             snug_rung_name(plan_used(p)->plan.rung));
    snug_text_init(&text, p->allocator, SVG_BYTES);
    enum snug_status status =
        snug_program_timeline_svg(snug_placed_view(&session->placed, session->main_space), title,
                                  session->peak_bytes, session->lower_bound_bytes, &text, error);
    if (!status)
        status = snug_file_writer_open(path, p->allocator, &writer, error);
    if (!status)
        status = snug_file_writer_write(writer, snug_text_c(&text), text.length, error);
    if (!status)
        status = snug_file_writer_commit(writer, error);
    else
        snug_file_writer_cancel(writer);
    snug_text_free(&text);
    return status;
}

enum snug_status plan_draw(const struct plan *p, const char *path, struct snug_error *error)
{
    struct snug_session session;
    SNUG_TRY(snug_forecast_session(&p->used_request, p->allocator, &session, error));
    enum snug_status status = draw(p, &session, path, error);
    snug_session_free(&session);
    return status;
}
