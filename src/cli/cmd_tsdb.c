/*
 * `quarry tsdb`: a store of time series, in its directory or behind a server, asked, looked at,
 * copied, filled and emptied.
 *
 *     quarry tsdb VERB [WORD...] --dir DIR [OPTION...]
 *     quarry tsdb VERB [WORD...] [--server URL] [OPTION...]
 *
 * Verbs are the rows of a table (tsdb_verbs.c), which says what each takes; options the rows of
 * another, here. A help text is made of both. Options belong to verbs: one that a verb does not
 * take is refused.
 */
#include <cli/cmd_tsdb.h>

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cli/options.h>

#define COMMAND          "tsdb"
#define MEMORY_DEFAULT   Q_GIB(1)
#define NAME_BYTES       64u
#define OPTION_CODE_BASE 256
#define OPTIONS_MAX      32u
#define EVERY_VERB       UINT32_MAX

enum option_code {
    OPTION_DIRECTORY,
    OPTION_SERVER,
    OPTION_USER,
    OPTION_PASSWORD,
    OPTION_MEMORY,
    OPTION_TIME,
    OPTION_START,
    OPTION_END,
    OPTION_STEP,
    OPTION_MATCH,
    OPTION_LIMIT,
    OPTION_TABLE,
    OPTION_ASCII,
    OPTION_CREATE,
    OPTION_WINDOW,
    OPTION_WINDOWS,
    OPTION_STOP,
    OPTION_JSON,
};

static const struct tsdb_option {
    const char *name;
    const char *value; /* what it takes; NULL: nothing */
    enum option_code code;
    uint32_t takes; /* which verbs take it */
    const char *text;
} tsdb_options[] = {
    {"dir", "DIR", OPTION_DIRECTORY, TSDB_TAKES_DIRECTORY,
     "a store's directory, that nobody has open"},
    {"server", "URL", OPTION_SERVER, TSDB_TAKES_SERVER, "a server (" TSDB_URL_DEFAULT ")"},
    {"user", "NAME", OPTION_USER, TSDB_TAKES_SERVER, "logs in there"},
    {"password-file", "FILE", OPTION_PASSWORD, TSDB_TAKES_SERVER,
     "whose first line is the password; -: stdin"},
    {"memory", "BYTES", OPTION_MEMORY, TSDB_TAKES_DIRECTORY, "that the tool may use (1 GiB)"},
    {"time", "TIME", OPTION_TIME, TSDB_TAKES_TIME, "1700000000, 2023-11-14T22:13:20Z, now or -1h"},
    {"start", "TIME", OPTION_START, TSDB_TAKES_RANGE, "from this time on"},
    {"end", "TIME", OPTION_END, TSDB_TAKES_RANGE, "up to this time"},
    {"step", "DURATION", OPTION_STEP, TSDB_TAKES_STEP, "between two values: 15s, 1h30m"},
    {"match", "SELECTOR", OPTION_MATCH, TSDB_TAKES_MATCH, "these series; may be said again"},
    {"limit", "N", OPTION_LIMIT, TSDB_TAKES_LIMIT, "so many at most"},
    {"table", NULL, OPTION_TABLE, TSDB_TAKES_PLOT, "values instead of a picture"},
    {"ascii", NULL, OPTION_ASCII, TSDB_TAKES_ASCII, "letters instead of dots and blocks"},
    {"create", NULL, OPTION_CREATE, TSDB_TAKES_IMPORT, "makes the directory if there is none"},
    {"window", "DURATION", OPTION_WINDOW, TSDB_TAKES_IMPORT,
     "length of a new directory's windows (4h)"},
    {"windows", "N", OPTION_WINDOWS, TSDB_TAKES_IMPORT, "windows that are kept, up to 24 (24)"},
    {"stop", NULL, OPTION_STOP, TSDB_TAKES_IMPORT, "at the first damage"},
    {"json", NULL, OPTION_JSON, TSDB_TAKES_JSON, "what is printed is JSON; the API's, of answers"},
};
#define OPTION_COUNT (sizeof tsdb_options / sizeof tsdb_options[0])

int tsdb_usage_error(const struct tsdb_command *command, const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    fprintf(stderr, "quarry %s: ", command->name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nTry 'quarry %s --help'.\n", command->name);
    return CLI_USAGE;
}

/* ---- a command line ------------------------------------------------------------------------- */

static const char **text_of(struct tsdb_command *command, enum option_code code)
{
    switch ((int)code) {
    case OPTION_DIRECTORY:
        return &command->directory;
    case OPTION_SERVER:
        return &command->url;
    case OPTION_USER:
        return &command->user;
    case OPTION_PASSWORD:
        return &command->password_path;
    case OPTION_TIME:
        return &command->time;
    case OPTION_START:
        return &command->start;
    case OPTION_END:
        return &command->end;
    case OPTION_STEP:
        return &command->step;
    case OPTION_LIMIT:
        return &command->limit;
    case OPTION_WINDOW:
        return &command->window;
    default:
        return NULL;
    }
}

static bool *switch_of(struct tsdb_command *command, enum option_code code)
{
    switch ((int)code) {
    case OPTION_TABLE:
        return &command->is_table;
    case OPTION_ASCII:
        return &command->is_ascii;
    case OPTION_CREATE:
        return &command->creates;
    case OPTION_STOP:
        return &command->stops;
    case OPTION_JSON:
        return &command->is_json;
    default:
        return NULL;
    }
}

static int set_option(struct tsdb_command *command, const struct tsdb_option *option,
                      const char *text)
{
    const char **kept = text_of(command, option->code);
    bool *set = switch_of(command, option->code);

    if ((command->verb->takes & option->takes) == 0) {
        return tsdb_usage_error(command, "it takes no --%s", option->name);
    }
    if (set != NULL) {
        *set = true;
        return CLI_OK;
    }
    if (kept != NULL) {
        *kept = text;
        return CLI_OK;
    }
    switch ((int)option->code) {
    case OPTION_MEMORY:
        return option_bytes(command->name, "--memory", text, &command->memory_bytes);
    case OPTION_WINDOWS:
        return option_count(command->name, "--windows", text, 1, QUARRY_TSDB_WINDOWS_MAX,
                            &command->window_count);
    default:
        break;
    }
    Q_ASSERT(option->code == OPTION_MATCH);
    if (command->match_count == TSDB_MATCHES_MAX) {
        return tsdb_usage_error(command, "more than %u of --match", TSDB_MATCHES_MAX);
    }
    command->matches[command->match_count++] = text;
    return CLI_OK;
}

static int take_words(struct tsdb_command *command, int argument_count, char **arguments)
{
    const struct tsdb_verb *verb = command->verb;

    command->words = arguments + optind;
    command->word_count = (uint32_t)(argument_count - optind);
    if (command->word_count < verb->words_min) {
        return tsdb_usage_error(command, "something is missing: quarry %s %s", command->name,
                                verb->usage);
    }
    if (command->word_count > verb->words_max) {
        return tsdb_usage_error(command, "'%s' is one argument too many",
                                command->words[verb->words_max]);
    }
    if (command->url != NULL && command->directory != NULL) {
        return tsdb_usage_error(command, "either --dir or --server");
    }
    if (command->directory == NULL && (verb->takes & TSDB_TAKES_SERVER) == 0) {
        return tsdb_usage_error(command, "which store? --dir says its directory");
    }
    command->url = command->url == NULL ? TSDB_URL_DEFAULT : command->url;
    return CLI_OK;
}

static int parse(struct tsdb_command *command, int argument_count, char **arguments)
{
    struct option long_options[OPTIONS_MAX] = {{0}};
    int code = CLI_OK, option = 0;

    Q_STATIC_ASSERT(OPTION_COUNT < OPTIONS_MAX, "the last one closes the array");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        long_options[i] = (struct option){
            tsdb_options[i].name, tsdb_options[i].value == NULL ? no_argument : required_argument,
            NULL, OPTION_CODE_BASE + (int)i};
    }
    opterr = 0;
    optind = 1;
    while (code == CLI_OK &&
           (option = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        const char *given = arguments[optind - 1];
        if (option == ':') {
            return tsdb_usage_error(command, "'%s' takes a value", given);
        }
        if (option < OPTION_CODE_BASE) {
            return tsdb_usage_error(command, "there is no option '%s'", given);
        }
        code = set_option(command, &tsdb_options[option - OPTION_CODE_BASE], optarg);
    }
    return code == CLI_OK ? take_words(command, argument_count, arguments) : code;
}

/* ---- help ----------------------------------------------------------------------------------- */

size_t tsdb_verb_options(const struct tsdb_verb *verb,
                         struct cli_option ret_options[CLI_OPTIONS_MAX])
{
    size_t count = 0;

    Q_STATIC_ASSERT(OPTION_COUNT <= CLI_OPTIONS_MAX, "there is room for all of them");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct tsdb_option *option = &tsdb_options[i];
        if ((verb->takes & option->takes) != 0) {
            ret_options[count++] = (struct cli_option){option->name, option->value};
        }
    }
    return count;
}

static int print_verb(const struct tsdb_verb *verb)
{
    const bool has_directory = (verb->takes & TSDB_TAKES_DIRECTORY) != 0;
    const char *space = verb->usage[0] == '\0' ? "" : " ";

    if (has_directory) {
        printf("usage: quarry tsdb %s%s%s --dir DIR [OPTION...]\n", verb->name, space, verb->usage);
    }
    if ((verb->takes & TSDB_TAKES_SERVER) != 0) {
        printf("       quarry tsdb %s%s%s [--server URL] [OPTION...]\n", verb->name, space,
               verb->usage);
    }
    printf("\n%c%s.\n", verb->summary[0] & ~0x20, verb->summary + 1);
    if (verb->help != NULL) {
        printf("\n%s", verb->help);
    }
    puts("\nOptions:");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct tsdb_option *option = &tsdb_options[i];
        char name[NAME_BYTES];
        if ((verb->takes & option->takes) != 0) {
            (void)snprintf(name, sizeof name, "--%s%s%s", option->name,
                           option->value == NULL ? "" : " ",
                           option->value == NULL ? "" : option->value);
            printf("  %-22s %s\n", name, option->text);
        }
    }
    puts("\nExit status: 0; 1 when something failed; 2 for a wrong command line; 3 when something "
         "is\n"
         "damaged; 4 when a server cannot be reached; 75 when somebody else has the store open.");
    return cli_finish_output(COMMAND);
}

static int print_overview(void)
{
    puts(
        "usage: quarry tsdb VERB [WORD...] --dir DIR [OPTION...]\n"
        "       quarry tsdb VERB [WORD...] [--server URL] [OPTION...]\n"
        "       quarry tsdb VERB --help\n"
        "\n"
        "Works on a store of time series: in the directory DIR that nobody else has open, or on a\n"
        "server's through its HTTP door, which may be a Prometheus.");
    for (size_t i = 0; i < tsdb_verb_count; i++) {
        if (tsdb_verbs[i].group != NULL) {
            printf("\n%s:\n", tsdb_verbs[i].group);
        }
        printf("  %-10s %s\n", tsdb_verbs[i].name, tsdb_verbs[i].summary);
    }
    puts("\nExamples:\n"
         "  quarry tsdb range 'rate(http_requests_total[5m])' --start -6h\n"
         "  quarry tsdb top --limit 20\n"
         "  quarry tsdb import /var/lib/prometheus/data --dir /srv/tsdb --create\n"
         "  quarry tsdb export blocks /tmp/blocks --dir /srv/tsdb --start -1d");
    return cli_finish_output(COMMAND);
}

/* ---- the verbs ------------------------------------------------------------------------------ */

static const struct tsdb_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < tsdb_verb_count; i++) {
        if (strcmp(tsdb_verbs[i].name, name) == 0) {
            return &tsdb_verbs[i];
        }
    }
    return NULL;
}

static int unknown_verb(const char *typed)
{
    struct nearest nearest;

    nearest_init(&nearest, typed);
    for (size_t i = 0; i < tsdb_verb_count; i++) {
        nearest_offer(&nearest, tsdb_verbs[i].name);
    }
    return nearest.name == NULL
               ? cli_usage_error(COMMAND, "there is no 'tsdb %s'", typed)
               : cli_usage_error(COMMAND, "there is no 'tsdb %s'; did you mean '%s'?", typed,
                                 nearest.name);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run_tsdb(int argument_count, char **arguments)
{
    char name[NAME_BYTES];

    if (argument_count < 2) {
        return cli_usage_error(COMMAND, "what to do?");
    }
    if (is_help(arguments[1])) {
        return print_overview();
    }
    const struct tsdb_verb *verb = find_verb(arguments[1]);
    if (verb == NULL) {
        return unknown_verb(arguments[1]);
    }
    if (verb->run_own != NULL) {
        return verb->run_own(argument_count - 1, arguments + 1);
    }
    for (int i = 2; i < argument_count && strcmp(arguments[i], "--") != 0; i++) {
        if (is_help(arguments[i])) {
            return print_verb(verb);
        }
    }
    (void)snprintf(name, sizeof name, "tsdb %s", verb->name);
    struct tsdb_command command = {.verb = verb,
                                   .name = name,
                                   .memory_bytes = MEMORY_DEFAULT,
                                   .window_count = QUARRY_TSDB_WINDOWS_MAX};
    int code = parse(&command, argument_count - 1, arguments + 1);
    return code == CLI_OK ? verb->run(&command) : code;
}

const struct cli_command cli_command_tsdb = {
    .name = COMMAND,
    .summary = "asks, copies, fills and checks a store of time series; runs scripts of PromQL",
    .help = NULL, /* made of the tables */
    .run = run_tsdb,
};
