/* Options and their help, from one table.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 26

static void print_wrapped(FILE *stream, const char *text, int indent, int width)
{
    int column = indent;
    bool first = true;
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (!first && column + 1 + (int)word > width) {
            fprintf(stream, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(stream, "%s%.*s", first ? "" : " ", (int)word, text);
        column += (int)word + (first ? 0 : 1);
        first = false;
        text += word;
        text += *text ? 1 : 0;
    }
    fputc('\n', stream);
}

static void print_help(const struct snug_usage *usage)
{
    printf("Usage: %s\n\n%s\n", usage->synopsis, usage->about);
    for (size_t i = 0; i < usage->option_count; i++) {
        const struct snug_option *option = &usage->options[i];
        char left[96], letter[8] = "    ";
        if (!option->name) {
            printf("\n%s\n", option->help);
            continue;
        }
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name,
                 option->value_name ? " " : "", option->value_name ? option->value_name : "");
        if ((int)strlen(left) >= HELP_COLUMN)
            printf("%s\n%*s", left, HELP_COLUMN, "");
        else
            printf("%-*s", HELP_COLUMN, left);
        print_wrapped(stdout, option->help, HELP_COLUMN, 79);
    }
    printf("  -h, --help\n");
    if (usage->examples)
        printf("\n%s", usage->examples);
}

static int wrong(const char *command, const char *format, const char *a, const char *b)
{
    fprintf(stderr, "snug %s: ", command);
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\nTry 'snug %s --help'.\n", command);
    return 2;
}

static const struct snug_option *find_option(const struct snug_usage *usage, const char *name,
                                             size_t length, char letter)
{
    for (size_t i = 0; i < usage->option_count; i++) {
        const struct snug_option *option = &usage->options[i];
        if (option->name &&
            (letter ? option->letter == letter
                    : strlen(option->name) == length && !strncmp(option->name, name, length)))
            return option;
    }
    return NULL;
}

/* The whole of text as a number in the option's range. */
static bool set_number(const struct snug_option *option, const char *text)
{
    char *end;
    errno = 0;
    if (option->kind == SNUG_OPTION_KIND_NUMBER) {
        double value = strtod(text, &end);
        if (end == text || *end || errno || !isfinite(value) || value < option->low ||
            value > option->high)
            return false;
        *(double *)option->target = value;
        return true;
    }
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)value < option->low || (double)value > option->high)
        return false;
    *(int64_t *)option->target = value;
    return true;
}

static int set_option(const char *command, const struct snug_option *option, const char *value)
{
    char range[96];
    switch (option->kind) {
    case SNUG_OPTION_KIND_FLAG:
        *(bool *)option->target = true;
        return -1;
    case SNUG_OPTION_KIND_TEXT:
        *(const char **)option->target = value;
        return -1;
    default:
        if (set_number(option, value))
            return -1;
        snprintf(range, sizeof range, "--%s takes a %snumber from %.16g to %.16g, not ",
                 option->name, option->kind == SNUG_OPTION_KIND_INTEGER ? "whole " : "",
                 option->low, option->high);
        return wrong(command, "%s'%s'", range, value);
    }
}

int snug_cli_parse(int *argc, char **argv, const struct snug_usage *usage)
{
    bool options_end = false;
    int kept = 1, count = *argc;
    for (int i = 1; i < count; i++) {
        char *word = argv[i];
        if (options_end || word[0] != '-' || !word[1]) {
            argv[kept++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            options_end = true;
            continue;
        }
        if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
            print_help(usage);
            return 0;
        }
        bool is_long = word[1] == '-';
        const char *name = word + (is_long ? 2 : 1), *value = NULL;
        size_t length = is_long ? strcspn(name, "=") : 1;
        const struct snug_option *option = find_option(usage, name, length, is_long ? 0 : name[0]);
        if (!option)
            return wrong(argv[0], "unknown option '%s'%s", word, "");
        if (name[length])
            value = name + length + (is_long ? 1 : 0);
        if (option->kind == SNUG_OPTION_KIND_FLAG && value)
            return wrong(argv[0], "option '--%s' takes no value%s", option->name, "");
        if (option->kind != SNUG_OPTION_KIND_FLAG && !value) {
            if (i + 1 == count)
                return wrong(argv[0], "option '--%s' needs a value: %s", option->name,
                             option->value_name);
            value = argv[++i];
        }
        int code = set_option(argv[0], option, value);
        if (code >= 0)
            return code;
    }
    *argc = kept;
    return -1;
}

int snug_cli_quantize(const char *command, const char *quantize, const char *skip,
                      struct snug_model_options *out)
{
    if (!snug_quant_parse(quantize, &out->quantize)) {
        fprintf(stderr, "snug %s: --quantize is q8, q4 or none, not '%s'\n", command, quantize);
        return 2;
    }
    if (!snug_parts_parse(skip, &out->quantize_skip)) {
        fprintf(stderr,
                "snug %s: --quantize-skip is a list of vision, projector, text and lm_head, not "
                "'%s'\n",
                command, skip);
        return 2;
    }
    return -1;
}
