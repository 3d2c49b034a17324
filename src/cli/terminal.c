/* The terminal: messages, progress bar, signals.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

volatile sig_atomic_t snug_cli_interrupted;

static void on_signal(int signal_number)
{
    if (snug_cli_interrupted)
        _exit(128 + signal_number);
    snug_cli_interrupted = 1;
}

void snug_cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int snug_cli_columns(FILE *stream)
{
    struct winsize size;
    if (isatty(fileno(stream)) && !ioctl(fileno(stream), TIOCGWINSZ, &size) && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

/* "snug: MESSAGE", words kept whole if a terminal reads it. */
static void print_message(const char *message)
{
    int width = isatty(STDERR_FILENO) ? snug_cli_columns(stderr) : 1 << 30, column = 5;
    fputs("snug:", stderr);
    while (*message) {
        size_t word = strcspn(message, " ");
        bool fits = column + 1 + (int)word <= width;
        fprintf(stderr, "%s%.*s", fits ? " " : "\n      ", (int)word, message);
        column = (fits ? column + 1 : 6) + (int)word;
        message += word + (message[word] == ' ');
    }
    fputc('\n', stderr);
}

int snug_cli_fail_as(int code, const struct snug_error *error)
{
    print_message(error->message);
    return code;
}

int snug_cli_fail(const struct snug_error *error)
{
    return snug_cli_fail_as(snug_status_exit_code(error->status), error);
}

void snug_cli_row(int width, const char *name, const char *format, ...)
{
    va_list arguments;
    printf("%-*s ", width, name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* ---- progress ---- */

void snug_progress_start(struct snug_progress_bar *bar, size_t total, bool quiet)
{
    *bar = (struct snug_progress_bar){.terminal = isatty(STDERR_FILENO) != 0,
                                      .quiet = quiet,
                                      .total = total,
                                      .start_ms = snug_clock_ms()};
}

void snug_progress_clear(struct snug_progress_bar *bar)
{
    if (bar->shown)
        fputs("\r\033[K", stderr);
    bar->shown = false;
}

/* The end of a text that fits `columns`, whole characters only. */
static const char *fit_end(const char *text, int columns)
{
    int width = 0;
    const char *at = text + strlen(text);
    while (at > text) {
        const char *before = at - 1;
        while (before > text && ((unsigned char)*before & 0xC0) == 0x80)
            before--;
        uint32_t code_point = '?';
        int cell = 1;
        if (snug_utf8_decode((const unsigned char *)before, (size_t)(at - before), &code_point) > 0)
            cell = utf8proc_charwidth((utf8proc_int32_t)code_point);
        if (width + cell > columns)
            break;
        width += cell;
        at = before;
    }
    return at;
}

void snug_progress_update(struct snug_progress_bar *bar, const char *document, const char *stage,
                          int64_t tokens)
{
    double now = snug_clock_ms();
    if (bar->quiet || !bar->terminal || (bar->shown && now - bar->drawn_ms < 100))
        return;
    char left[64] = "", count[32] = "";
    double elapsed = (now - bar->start_ms) / 1000;
    if (bar->done) {
        double rest = elapsed / (double)bar->done * (double)(bar->total - bar->done);
        snprintf(left, sizeof left, ", %d:%02d left", (int)rest / 60, (int)rest % 60);
    }
    if (tokens > 0)
        snprintf(count, sizeof count, " %lld tokens", (long long)tokens);
    char text[160];
    snprintf(text, sizeof text, "%zu/%zu%s  %s%s  ", bar->done, bar->total, left, stage, count);
    int room = snug_cli_columns(stderr) - 1 - (int)strlen(text);
    fprintf(stderr, "\r\033[K%s%s", text, room > 0 ? fit_end(document, room) : "");
    fflush(stderr);
    bar->shown = true;
    bar->drawn_ms = now;
}

void snug_progress_note(struct snug_progress_bar *bar, const char *format, ...)
{
    if (bar->quiet)
        return;
    va_list arguments;
    snug_progress_clear(bar);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void snug_progress_tell(struct snug_progress_bar *bar, const char *message)
{
    if (bar->quiet)
        return;
    snug_progress_clear(bar);
    print_message(message);
}

int snug_cli_fail_to_open(const struct snug_error *error)
{
    int code = snug_status_exit_code(error->status);
    return snug_cli_fail_as(code == 4 || code == 2 ? code : 3, error);
}
