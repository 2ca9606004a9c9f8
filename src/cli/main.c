/*
 * The `quarry` program: a table of commands, each in a file of its own (cmd_NAME.c).
 *
 *   quarry                what there is
 *   quarry COMMAND …      runs one
 *   quarry help COMMAND   says all about one; so does `quarry COMMAND --help`
 *
 * Results go to stdout, everything else to stderr. Exit codes are in cli.h.
 */
#include <cli/cli.h>

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/serve.h>

static cli_run_function run_help, run_version;

static const struct cli_command command_help = {
    .name = "help",
    .summary = "says what there is, or all about one command",
    .help = "usage: quarry help [COMMAND]\n",
    .run = run_help,
};

static const struct cli_command command_version = {
    .name = "version",
    .summary = "says which version this is",
    .help = "usage: quarry version\n",
    .run = run_version,
};

static const struct cli_command *const commands[] = {
    &cli_command_serve,  &cli_command_memcached,  &cli_command_cache, &cli_command_kv,
    &cli_command_tsdb,   &cli_command_run,        &cli_command_top,   &cli_command_heap,
    &cli_command_doctor, &cli_command_check,      &cli_command_map,   &cli_command_bench,
    &cli_command_config, &cli_command_completion, &command_help,      &command_version,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* ---- messages ------------------------------------------------------------------------------- */

#define MESSAGE_BYTES 8192u

/* What files and servers say may be in it: nothing that steers a terminal goes to one. */
static void put_printable(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
        const bool is_c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0; /* a control of 8 bits */
        const bool is_c0 = (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f;

        fputc(is_c0 || is_c1 ? '?' : byte, file);
        text += is_c1;
    }
}

Q_PRINTF(2, 0)
static void print_message(const char *command, const char *format, va_list arguments)
{
    char message[MESSAGE_BYTES];

    (void)fflush(stdout);
    if (command != NULL) {
        fprintf(stderr, "quarry %s: ", command);
    } else {
        fputs("quarry: ", stderr);
    }
    (void)vsnprintf(message, sizeof message, format, arguments);
    put_printable(stderr, message);
    fputc('\n', stderr);
}

int cli_usage_error(const char *command, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_message(command, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try 'quarry help%s%s'.\n", command != NULL ? " " : "",
            command != NULL ? command : "");
    return CLI_USAGE;
}

int cli_failure(const char *command, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_message(command, format, arguments);
    va_end(arguments);
    return CLI_FAILED;
}

char *cli_make_printable(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
    return text;
}

int cli_finish_output(const char *command)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return cli_failure(command, "stdout: %s", strerror(errno));
    }
    return CLI_OK;
}

/* ---- finding a command ---------------------------------------------------------------------- */

const struct cli_command *cli_command_at(size_t index)
{
    return index < COMMAND_COUNT ? commands[index] : NULL;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

/* The command that was probably meant, or NULL. */
static const char *nearest_command(const char *typed)
{
    struct nearest nearest;

    nearest_init(&nearest, typed);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        nearest_offer(&nearest, commands[i]->name);
    }
    return nearest.name;
}

static int unknown_command(const char *typed)
{
    const char *nearest = nearest_command(typed);

    if (nearest == NULL) {
        return cli_usage_error(NULL, "there is no command '%s'", typed);
    }
    return cli_usage_error(NULL, "there is no command '%s'; did you mean '%s'?", typed, nearest);
}

/* ---- help and version ----------------------------------------------------------------------- */

static void print_overview(void)
{
    puts("usage: quarry COMMAND [OPTION...]\n"
         "\n"
         "A storage server and a library for data that lives in memory, under one hard budget.\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    puts("\n"
         "A cache for memcached's clients, on 127.0.0.1:11211: quarry serve\n"
         "A program on Quarry's malloc: quarry run --report -- COMMAND\n"
         "See a heap at work: quarry map --demo\n"
         "All about a command: quarry help COMMAND");
}

static int print_help(const struct cli_command *command)
{
    char option[] = "--help", name[64];

    if (command->help == NULL) {
        (void)snprintf(name, sizeof name, "%s", command->name);
        return command->run(2, (char *[]){name, option, NULL});
    }
    fputs(command->help, stdout);
    return cli_finish_output(command->name);
}

static int run_help(int argument_count, char **arguments)
{
    if (argument_count > 2) {
        return cli_usage_error("help", "one command at a time");
    }
    if (argument_count < 2) {
        print_overview();
        return cli_finish_output("help");
    }
    const struct cli_command *command = find_command(arguments[1]);
    if (command == NULL) {
        return unknown_command(arguments[1]);
    }
    return print_help(command);
}

static int run_version(int argument_count, char **arguments)
{
    if (argument_count > 1) {
        return cli_usage_error("version", "no argument expected, and '%s' given", arguments[1]);
    }
    puts("quarry " QUARRY_VERSION);
    return cli_finish_output("version");
}

static bool is_either(const char *text, const char *one, const char *other)
{
    return strcmp(text, one) == 0 || strcmp(text, other) == 0;
}

/* Whether the terminal reads UTF-8: as the environment says, and where it says nothing, it does. */
static void set_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    bool is_said = false;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        is_said = is_said || (value != NULL && value[0] != '\0');
    }
    (void)setlocale(LC_CTYPE, is_said ? "" : "C.UTF-8");
}

/* "memcached", or "memcached-debug" as its tests call it: a link that stands in for it. */
static bool is_memcached(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

    return strncmp(name, "memcached", strlen("memcached")) == 0;
}

int main(int argument_count, char **arguments)
{
    if (!serve_confine_report()) {
        return cli_failure(NULL, "the kernel does not confine what makes a report");
    }
    set_locale();
    if (argument_count > 0 && is_memcached(arguments[0])) {
        return cli_command_memcached.run(argument_count, arguments);
    }
    if (argument_count < 2) {
        return run_help(0, NULL);
    }
    if (is_either(arguments[1], "--help", "-h")) {
        return run_help(argument_count - 1, arguments + 1);
    }
    if (strcmp(arguments[1], "--version") == 0) {
        return run_version(argument_count - 1, arguments + 1);
    }
    if (arguments[1][0] == '-') {
        return cli_usage_error(NULL, "there is no option '%s'", arguments[1]);
    }
    const struct cli_command *command = find_command(arguments[1]);
    if (command == NULL) {
        return unknown_command(arguments[1]);
    }
    if (argument_count == 3 && is_either(arguments[2], "--help", "-h")) {
        return print_help(command);
    }
    return command->run(argument_count - 1, arguments + 1);
}
