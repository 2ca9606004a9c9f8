/*
 * `quarry serve`: the server. All it does is in serve/server.c; here are its options, and what its
 * end means to whoever started it.
 */
#include <cli/cli.h>

#include <cli/serve_options.h>

#define COMMAND "serve"

static const char serve_help[] =
    "usage: quarry serve [OPTION...]\n"
    "\n"
    "Serves a cache to memcached's clients, in a memory that is never passed. Without options: on\n"
    "127.0.0.1:11211, with nine tenths of the machine's memory, and data in ./quarry-data.\n"
    "\n" SERVE_OPTIONS_HELP "\n"
    "Signals: TERM and INT end it when requests under way are done, a second one at once; HUP "
    "reads\n"
    "the configuration again, and keeps the old one when the new one is wrong; USR1 opens the log\n"
    "file again; QUIT logs where every thread is.\n"
    "\n"
    "Exit status: 0 when it ended as asked; 1 when something failed; 2 for a wrong command line; "
    "75\n"
    "when another process has the data or the address; 78 when settings are wrong.\n";

/* What a server that did not start, or failed, means to whoever started it. */
static int exit_code(enum quarry_status status)
{
    return status == QUARRY_OK ? CLI_OK : status == QUARRY_BUSY ? CLI_BUSY : CLI_FAILED;
}

static int run_serve(int argument_count, char **arguments)
{
    struct serve_sources sources;
    struct serve_config *config = NULL;
    struct quarry_error error = {0};
    int code = serve_options_parse(COMMAND, argument_count, arguments, NULL, NULL, &sources);

    if (code == CLI_OK) {
        code = serve_options_load(COMMAND, &sources, &config);
    }
    if (code != CLI_OK) {
        return code;
    }
    const struct serve_server_options options = {
        .version = QUARRY_VERSION,
        .sources = &sources,
        .config = config,
    };
    enum quarry_status status = serve_server_run(&options, &error);
    if (status != QUARRY_OK) {
        (void)cli_failure(COMMAND, "%s", error.text);
    }
    return exit_code(status);
}

const struct cli_command cli_command_serve = {
    .name = COMMAND,
    .summary = "serves a cache to memcached's clients",
    .help = serve_help,
    .run = run_serve,
};
