/*
 * What the commands of the `quarry` program share.
 */
#ifndef QUARRY_CLI_CLI_H
#define QUARRY_CLI_CLI_H

#include <base/base.h>

/* Exit codes, for scripts. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,        /* what was asked for could not be done; stderr says why */
    CLI_USAGE = 2,         /* what was asked for makes no sense */
    CLI_FOUND = 3,         /* doctor: something is wrong, and is described */
    CLI_NO_CONNECTION = 4, /* no such process, or not one of Quarry's */
    CLI_BUSY = 75,         /* serve: somebody else has the data, or the address; try again later */
    CLI_BAD_CONFIG = 78,   /* settings are wrong; stderr says which and why */
};

/* `arguments[0]` is the command's name. Returns: an exit code. */
typedef int cli_run_function(int argument_count, char **arguments);

struct cli_command {
    const char *name;
    const char *summary; /* one line, for `quarry help` */
    const char *help;    /* all of it, for `quarry help NAME`; NULL: it prints its own on --help */
    cli_run_function *run;
};

extern const struct cli_command cli_command_bench;
extern const struct cli_command cli_command_cache;
extern const struct cli_command cli_command_completion;
extern const struct cli_command cli_command_check;
extern const struct cli_command cli_command_config;
extern const struct cli_command cli_command_doctor;
extern const struct cli_command cli_command_heap;
extern const struct cli_command cli_command_kv;
extern const struct cli_command cli_command_map;
extern const struct cli_command cli_command_memcached;
extern const struct cli_command cli_command_run;
extern const struct cli_command cli_command_serve;
extern const struct cli_command cli_command_top;
extern const struct cli_command cli_command_tsdb;

/* The commands in the order of `quarry help`; NULL behind the last. */
const struct cli_command *cli_command_at(size_t index);

/* An option of a verb, as completion offers it. */
struct cli_option {
    const char *name;  /* without dashes */
    const char *value; /* what it takes; NULL: nothing; "=X": it may */
};
#define CLI_OPTIONS_MAX 64u /* of a verb */

/* Prints "quarry COMMAND: text" and where to read on to stderr. Returns: CLI_USAGE. */
int cli_usage_error(const char *command, const char *format, ...) Q_PRINTF(2, 3);
/* Prints "quarry COMMAND: text" to stderr. Returns: CLI_FAILED. */
int cli_failure(const char *command, const char *format, ...) Q_PRINTF(2, 3);

/*
 * Makes a text from another process fit for a terminal, in place: what is not printable ASCII
 * becomes '?'. Returns: `text`.
 */
char *cli_make_printable(char *text);

/* Whether all that was printed has reached stdout; says on stderr when not. Returns: an exit code.
 */
int cli_finish_output(const char *command);

#endif
