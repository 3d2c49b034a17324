/* snug: the commands.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"extract", snug_cli_extract, "documents in, fields out"},
    {"eval", snug_cli_eval, "compare the fields with the truth: accuracy, intervals, baseline"},
    {"bench", snug_cli_bench,
     "measure this machine's limits, the kernels, or a model against them"},
    {"convert", snug_cli_convert, "quantise and pack a model once, to load at once and take less"},
    {"plan", snug_cli_plan, "what memory it will take, and whether it fits, before loading"},
    {"rehearse", snug_cli_rehearse, "documents of true size on a simulated device, memory only"},
    {"inspect", snug_cli_inspect, "what a model folder is, its sizes and its problems"},
    {"synth", snug_cli_synth, "a model folder of true shape with random weights, to measure with"},
    {"memory", snug_cli_memory, "plan the buffers of a file: offsets, peak, lower bound"},
    {"doctor", snug_cli_doctor, "what this machine offers and whether snug works on it"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_usage(FILE *stream)
{
    fprintf(stream, "snug reads business documents with a vision-language model: invoice, receipt\n"
                    "or statement in, fields out. With no -m a small embedded model shows the\n"
                    "whole path; for real documents give it an InternVL3 folder.\n\n"
                    "Usage: snug COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-9s %s\n", commands[i].name, commands[i].help);
    fprintf(stream,
            "\n'snug COMMAND --help' tells more; 'snug --version' the version.\n\n"
            "Examples:\n"
            "  snug extract samples/                    fields of every picture, JSON lines\n"
            "  snug extract invoice.png --format table  for people\n"
            "  snug extract scans/ -m InternVL3-8B -o out.jsonl\n"
            "  snug eval out.jsonl samples/truth.csv\n");
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is a write that fails, not the end */
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("snug %s\n", SNUG_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "snug: there is no command '%s'\nTry 'snug --help'.\n", argv[1]);
    return 2;
}
