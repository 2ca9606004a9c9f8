/*
 * What the verbs of `quarry tsdb` share: a command line, and the table of verbs.
 */
#ifndef QUARRY_CLI_CMD_TSDB_H
#define QUARRY_CLI_CMD_TSDB_H

#include <cli/cli.h>
#include <cli/tsdb_target.h>

/* Of --match. */
#define TSDB_MATCHES_MAX 32u

/* A command line of `quarry tsdb`. */
struct tsdb_command {
    const struct tsdb_verb *verb;
    const char *name; /* for messages: "tsdb query" */
    char **words;     /* what stands behind the verb */
    uint32_t word_count;

    const char *directory; /* NULL: the server */
    const char *url;
    const char *user, *password_path;
    uint64_t memory_bytes;

    const char *time, *start, *end, *step; /* NULL: not said */
    const char *matches[TSDB_MATCHES_MAX];
    uint32_t match_count;
    const char *limit;
    const char *window;    /* of a directory that is made */
    uint32_t window_count; /* that are kept */
    bool is_json, is_ascii, is_table, stops, creates;
};

/* Options that not every verb takes. */
enum tsdb_takes {
    TSDB_TAKES_DIRECTORY = 1u << 0,
    TSDB_TAKES_SERVER = 1u << 1,
    TSDB_TAKES_TIME = 1u << 2,
    TSDB_TAKES_RANGE = 1u << 3, /* --start, --end */
    TSDB_TAKES_STEP = 1u << 4,
    TSDB_TAKES_MATCH = 1u << 5,
    TSDB_TAKES_LIMIT = 1u << 6,
    TSDB_TAKES_JSON = 1u << 7,
    TSDB_TAKES_PLOT = 1u << 8,   /* --ascii, --table */
    TSDB_TAKES_IMPORT = 1u << 9, /* --format, --stop, --create, --window, --windows */
    TSDB_TAKES_ASCII = 1u << 11,

    TSDB_TAKES_ANYWHERE = TSDB_TAKES_DIRECTORY | TSDB_TAKES_SERVER,
};

/* Returns: an exit code. */
typedef int tsdb_verb_function(const struct tsdb_command *command);

#define TSDB_WORDS_MANY UINT32_MAX

struct tsdb_verb {
    const char *name;
    const char *group;   /* heading in the overview, of the first of a group */
    const char *usage;   /* what stands behind the name */
    const char *summary; /* one line */
    const char *help;    /* the rest, or NULL */
    uint32_t words_min, words_max;
    uint32_t takes; /* of enum tsdb_takes */
    tsdb_verb_function *run;
    cli_run_function *run_own; /* instead: it reads its options itself */
};

extern const struct tsdb_verb tsdb_verbs[];
extern const size_t tsdb_verb_count;

/* What --help says it takes, in that order. Returns: how many. */
size_t tsdb_verb_options(const struct tsdb_verb *verb,
                         struct cli_option ret_options[CLI_OPTIONS_MAX]);

tsdb_verb_function tsdb_run_query, tsdb_run_range;                 /* cmd_tsdb_query.c */
tsdb_verb_function tsdb_run_series, tsdb_run_labels, tsdb_run_top; /* cmd_tsdb_names.c */
tsdb_verb_function tsdb_run_windows;                               /* cmd_tsdb_windows.c */
tsdb_verb_function tsdb_run_verify, tsdb_run_snapshot;             /* cmd_tsdb_care.c */
tsdb_verb_function tsdb_run_import;                                /* cmd_tsdb_import.c */
tsdb_verb_function tsdb_run_export;                                /* cmd_tsdb_export.c */
cli_run_function tsdb_run_test;                                    /* cmd_tsdb_test.c */

/* "quarry tsdb query: …", and where to read on. Returns: CLI_USAGE. */
int tsdb_usage_error(const struct tsdb_command *command, const char *format, ...) Q_PRINTF(2, 3);
/* Says what went wrong, and what to do about it. Returns: an exit code. */
int tsdb_tool_fail(const struct tsdb_command *command, enum quarry_status status,
                   const struct quarry_error *error);

#endif
