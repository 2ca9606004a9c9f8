/*
 * The command line of `quarry map`: one source of a map, and how it is shown.
 */
#include <cli/map_options.h>

#include <getopt.h>
#include <langinfo.h>
#include <string.h>
#include <unistd.h>

#include <cli/cli.h>
#include <cli/process.h>

#define SECONDS_MAX 86400u

const char map_help[] =
    "usage: quarry map FILE [--json] [--ascii]\n"
    "       quarry map PID [--once] [--json] [--ascii] [--save FILE]\n"
    "       quarry map --server URL [--user NAME [--password-file FILE]] [--once] [--json] "
    "[--ascii]\n"
    "                  [--save FILE]\n"
    "       quarry map --demo [--seconds N] [--once] [--json] [--ascii] [--save FILE]\n"
    "\n"
    "Draws a map of a page heap: a cell for each chunk of 4 MiB of each lane, as high as it is in\n"
    "use, in the colour of what the rest of it is.\n"
    "\n"
    "FILE is a snapshot (docs/formats/heap-map.md); '-' is stdin. PID is a process under Quarry's\n"
    "malloc, drawn once a second on a terminal until q is pressed; ./123 is a file of that name.\n"
    "\n"
    "  --demo        run a heap with a budget of 256 MiB in this process and show it at work. On "
    "a\n"
    "                terminal it runs until q is pressed; elsewhere it prints a frame each second\n"
    "                and ends\n"
    "  --seconds N   end after N seconds (10 where there is no terminal)\n"
    "  --once        one frame, after 3 seconds or those of --seconds\n"
    "  --json        one object a line instead of pictures\n"
    "  --by WHAT     what colours say: fill (what the rest of a cell is), owner, lifetime\n"
    "  --server URL  the heap of a server: http://HOST:PORT\n"
    "  --user NAME   logs in at the server\n"
    "  --password-file FILE  its first line is the password\n"
    "  --ascii       no block elements; the default where the locale is not UTF-8\n"
    "  --save FILE   write the last frame's snapshot there\n"
    "\n"
    "Exit status: 0; 1 when the file cannot be read or is no heap map; 2 for a wrong command "
    "line;\n"
    "4 when there is no such process, it does not run under Quarry, or it may not be looked at.\n";

/* ---- options -------------------------------------------------------------------------------- */

static int parse_seconds(const char *text, uint32_t *ret_seconds)
{
    uint32_t seconds = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && seconds <= SECONDS_MAX; at++) {
        seconds = seconds * 10 + (uint32_t)(*at - '0');
    }
    if (*at != '\0' || seconds == 0 || seconds > SECONDS_MAX) {
        return cli_usage_error("map", "--seconds takes a number from 1 to %u, not '%s'",
                               SECONDS_MAX, text);
    }
    *ret_seconds = seconds;
    return CLI_OK;
}

enum option_code {
    OPTION_DEMO = 256,
    OPTION_ONCE,
    OPTION_JSON,
    OPTION_ASCII,
    OPTION_SECONDS,
    OPTION_SAVE,
    OPTION_BY,
    OPTION_SERVER,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
};

static const struct option long_options[] = {
    {"demo", no_argument, NULL, OPTION_DEMO},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"ascii", no_argument, NULL, OPTION_ASCII},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"by", required_argument, NULL, OPTION_BY},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {NULL, 0, NULL, 0},
};

static int parse_by(const char *text, enum map_by *ret_by)
{
    static const char *const words[] = {
        [MAP_BY_FILL] = "fill", [MAP_BY_OWNER] = "owner", [MAP_BY_LIFETIME] = "lifetime"};

    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_by = (enum map_by)i;
            return CLI_OK;
        }
    }
    return cli_usage_error("map", "--by takes fill, owner or lifetime, not '%.40s'", text);
}

static int set_option(struct map_options *options, int code, const char *given)
{
    switch (code) {
    case OPTION_DEMO:
        options->is_demo = true;
        return CLI_OK;
    case OPTION_ONCE:
        options->is_once = true;
        return CLI_OK;
    case OPTION_JSON:
        options->is_json = true;
        return CLI_OK;
    case OPTION_ASCII:
        options->is_ascii = true;
        return CLI_OK;
    case OPTION_SECONDS:
        return parse_seconds(optarg, &options->seconds);
    case OPTION_SAVE:
        options->save = optarg;
        return CLI_OK;
    case OPTION_BY:
        return parse_by(optarg, &options->by);
    case OPTION_SERVER:
        options->server = optarg;
        return CLI_OK;
    case OPTION_USER:
        options->user = optarg;
        return CLI_OK;
    case OPTION_PASSWORD_FILE:
        options->password_path = optarg;
        return CLI_OK;
    case ':':
        return cli_usage_error("map", "'%s' takes a value", given);
    default:
        return cli_usage_error("map", "there is no option '%s'", given);
    }
}

static int check_options(const struct map_options *options, int file_count)
{
    bool has_source = options->file != NULL || options->pid != NULL || options->server != NULL;

    if (options->server != NULL && (options->file != NULL || options->pid != NULL)) {
        return cli_usage_error("map", "either a file, a process or a server");
    }
    if (options->server == NULL && (options->user != NULL || options->password_path != NULL)) {
        return cli_usage_error("map", "--user and --password-file go with --server");
    }
    if (file_count > 1) {
        return cli_usage_error("map", "one file at a time");
    }
    if (options->is_demo && has_source) {
        return cli_usage_error("map", "either a file or --demo");
    }
    if (!options->is_demo && !has_source) {
        return cli_usage_error("map", "a file is missing, or a process, or --demo");
    }
    if (options->file != NULL && (options->is_once || options->save != NULL)) {
        return cli_usage_error("map", "--once, --seconds and --save go with --demo");
    }
    if (!options->is_demo && options->seconds > 0) {
        return cli_usage_error("map", "--once, --seconds and --save go with --demo");
    }
    return CLI_OK;
}

/* Digits are a process; a file of such a name is given with its folder. */
static void set_source(struct map_options *options, const char *given)
{
    uint32_t pid;

    if (given != NULL && process_parse_pid(given, &pid)) {
        options->pid = given;
    } else if (given != NULL) {
        options->file = given;
    }
}

int map_options_parse(int argument_count, char **arguments, struct map_options *ret_options)
{
    int status = CLI_OK, code = 0;

    *ret_options = (struct map_options){
        .is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0,
        .is_terminal = isatty(STDOUT_FILENO) == 1,
    };
    opterr = 0;
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        status = set_option(ret_options, code, arguments[optind - 1]);
    }
    if (status != CLI_OK) {
        return status;
    }
    set_source(ret_options, arguments[optind]);
    return check_options(ret_options, argument_count - optind);
}
