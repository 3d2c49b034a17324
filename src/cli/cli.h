/* The command line: one file a command. Only here anything is printed, and only here the program
 * ends. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#ifndef SNUG_CLI_CLI_H
#define SNUG_CLI_CLI_H

#include "base/text.h"
#include "models/model.h"

#include <signal.h>
#include <stdio.h>

#define SNUG_VERSION "0.1.0"

/* Each returns the exit code. argv[0] is the command's name. */
int snug_cli_extract(int argc, char **argv);
int snug_cli_eval(int argc, char **argv);
/* The values of --quantize and --quantize-skip; -1 to go on, 2 (said so) if one is unknown. */
int snug_cli_quantize(const char *command, const char *quantize, const char *skip,
                      struct snug_model_options *out);

int snug_cli_bench(int argc, char **argv);
int snug_cli_convert(int argc, char **argv);
int snug_cli_inspect(int argc, char **argv);
int snug_cli_plan(int argc, char **argv);
int snug_cli_memory(int argc, char **argv);
int snug_cli_doctor(int argc, char **argv);
int snug_cli_rehearse(int argc, char **argv);
int snug_cli_synth(int argc, char **argv);

/* ---- options: one table a command, from which both the parsing and the help are made ---- */

enum snug_option_kind {
    SNUG_OPTION_KIND_FLAG,
    SNUG_OPTION_KIND_TEXT,
    SNUG_OPTION_KIND_INTEGER,
    SNUG_OPTION_KIND_NUMBER
};
struct snug_option {
    char letter;      /* 0: none */
    const char *name; /* without the dashes; NULL: a heading of the help, in `help` */
    enum snug_option_kind kind;
    void *target;           /* bool *, const char **, int64_t *, double * */
    double low, high;       /* of a number, both included */
    const char *value_name; /* "DIR" */
    const char *help;
};
struct snug_usage {
    const char *synopsis; /* "snug extract DOCS... [options]" */
    const char *about;    /* a paragraph, lines of at most 80 columns */
    const char *examples; /* at the end of the help */
    const struct snug_option *options;
    size_t option_count;
};

/* Options may stand anywhere; "--" ends them. What is left is moved to argv[1 .. *argc - 1].
 * Returns -1 to go on, or the exit code: 0 after --help (printed to stdout), 2 after a wrong option
 * (message on stderr, pointing to --help). */
int snug_cli_parse(int *argc, char **argv, const struct snug_usage *usage);

/* "snug: MESSAGE" on stderr, wrapped at the terminal's width; returns the exit code of the status.
 */
int snug_cli_fail(const struct snug_error *error);
/* The same with exit code `code`. */
int snug_cli_fail_as(int code, const struct snug_error *error);
/* The same of a model or schema that cannot be opened: 4 for memory, 2 for wrong usage, else 3. */
int snug_cli_fail_to_open(const struct snug_error *error);

/* A line of a report on stdout: NAME in `width` columns, then the text. */
void snug_cli_row(int width, const char *name, const char *format, ...) SNUG_PRINTF(3, 4);

/* ---- Ctrl-C ---- */
/* Set by SIGINT and SIGTERM; a second one ends the program at once. */
extern volatile sig_atomic_t snug_cli_interrupted;
void snug_cli_catch_signals(void);

/* ---- progress on stderr ---- */
struct snug_progress_bar {
    bool terminal, quiet, shown;
    size_t done, total;
    double start_ms, drawn_ms;
};
void snug_progress_start(struct snug_progress_bar *bar, size_t total, bool quiet);
/* What is being done to which document now; redrawn at most ten times a second. */
void snug_progress_update(struct snug_progress_bar *bar, const char *document, const char *stage,
                          int64_t tokens);
void snug_progress_clear(struct snug_progress_bar *bar); /* before printing anything else */
/* A line above the bar. */
void snug_progress_note(struct snug_progress_bar *bar, const char *format, ...) SNUG_PRINTF(2, 3);
/* "snug: MESSAGE" above the bar, wrapped at the terminal's width. */
void snug_progress_tell(struct snug_progress_bar *bar, const char *message);

/* Columns of the terminal behind a stream, 80 if unknown. */
int snug_cli_columns(FILE *stream);

#endif
