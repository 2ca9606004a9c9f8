/*
 * `quarry cache`: a cache's server, looked at and spoken with through its memcached door. It is a
 * client as any other: it works against memcached, too.
 */
#include <cli/cli.h>

#include <getopt.h>
#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cli/cache_text.h>
#include <cli/cmd_cache.h>
#include <cli/options.h>

#define COMMAND        "cache"
#define INTERVAL_MAX_S 3600u

static const char cache_help[] =
    "usage: quarry cache stats [GROUP] [--all] [OPTION...]\n"
    "       quarry cache tenants [OPTION...]\n"
    "       quarry cache top [--interval S] [--once] [OPTION...]\n"
    "       quarry cache get KEY [FILE] [OPTION...]\n"
    "       quarry cache set KEY [FILE] [--ttl S] [--flags N] [--add|--replace] [OPTION...]\n"
    "       quarry cache delete KEY [OPTION...]\n"
    "       quarry cache flush [--yes] [OPTION...]\n"
    "       quarry cache dump [--limit N] [OPTION...]\n"
    "\n"
    "Speaks with a cache through its memcached door.\n"
    "\n"
    "  stats    what matters most; --all: everything; GROUP: settings, items, slabs, conns…\n"
    "  tenants  items, memory, hits and evictions of each tenant\n"
    "  top      the same with rates, live; q ends it\n"
    "  get      writes the value to stdout or FILE, byte for byte\n"
    "  set      stores stdin or FILE, byte for byte\n"
    "  flush    drops all items of the tenant, after asking\n"
    "  dump     lists items: key, size, time to live, idle time\n"
    "\n"
    "  --addr ADDRESS        HOST:PORT or unix:PATH (" CACHE_ADDRESS_DEFAULT ")\n"
    "  --user NAME           logs in\n"
    "  --password-file FILE  whose first line is the password; -: stdin\n"
    "  --json                for scripts\n"
    "  --interval S          of top: seconds between looks (1)\n"
    "  --once                of top: one picture; the default where there is no terminal\n"
    "  --ascii               of top: no block elements\n"
    "\n"
    "Exit status: 0; 1 when something failed, the key was not found or was not stored; 2 for a\n"
    "wrong command line; 4 when the server cannot be reached.\n";

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_ADDRESS = 256,
    OPTION_USER,
    OPTION_PASSWORD,
    OPTION_JSON,
    OPTION_YES,
    OPTION_ONCE,
    OPTION_ASCII,
    OPTION_ALL,
    OPTION_ADD,
    OPTION_REPLACE,
    OPTION_INTERVAL,
    OPTION_TTL,
    OPTION_FLAGS,
    OPTION_LIMIT,
};

static const struct option long_options[] = {
    {"addr", required_argument, NULL, OPTION_ADDRESS},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD},
    {"json", no_argument, NULL, OPTION_JSON},
    {"yes", no_argument, NULL, OPTION_YES},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"ascii", no_argument, NULL, OPTION_ASCII},
    {"all", no_argument, NULL, OPTION_ALL},
    {"add", no_argument, NULL, OPTION_ADD},
    {"replace", no_argument, NULL, OPTION_REPLACE},
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"ttl", required_argument, NULL, OPTION_TTL},
    {"flags", required_argument, NULL, OPTION_FLAGS},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {NULL, 0, NULL, 0},
};

/* Those without a value. */
static bool *switch_of(struct cache_command *command, int code)
{
    switch (code) {
    case OPTION_JSON:
        return &command->is_json;
    case OPTION_YES:
        return &command->is_yes;
    case OPTION_ONCE:
        return &command->is_once;
    case OPTION_ASCII:
        return &command->is_ascii;
    case OPTION_ALL:
        return &command->is_all;
    case OPTION_ADD:
        return &command->is_add;
    case OPTION_REPLACE:
        return &command->is_replace;
    default:
        return NULL;
    }
}

static int set_option(struct cache_command *command, int code, const char *given)
{
    bool *set = switch_of(command, code);

    if (set != NULL) {
        *set = true;
        return CLI_OK;
    }
    switch (code) {
    case OPTION_ADDRESS:
        command->client.address = optarg;
        return CLI_OK;
    case OPTION_USER:
        command->client.user = optarg;
        return CLI_OK;
    case OPTION_PASSWORD:
        command->client.password_path = optarg;
        return CLI_OK;
    case OPTION_INTERVAL:
        return option_count(COMMAND, "--interval", optarg, 1, INTERVAL_MAX_S, &command->interval_s);
    case OPTION_TTL:
        return option_count(COMMAND, "--ttl", optarg, 0, INT32_MAX, &command->ttl_s);
    case OPTION_FLAGS:
        return option_count(COMMAND, "--flags", optarg, 0, UINT32_MAX, &command->flags);
    case OPTION_LIMIT:
        return option_count(COMMAND, "--limit", optarg, 1, UINT32_MAX, &command->limit);
    case ':':
        return cli_usage_error(COMMAND, "'%s' takes a value", given);
    default:
        return cli_usage_error(COMMAND, "there is no option '%s'", given);
    }
}

static int parse_options(int argument_count, char **arguments, struct cache_command *command)
{
    int status = CLI_OK, code = 0;

    *command = (struct cache_command){
        .client = {.address = CACHE_ADDRESS_DEFAULT},
        .interval_s = 1,
        .is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0,
    };
    opterr = 0;
    optind = 1;
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        status = set_option(command, code, arguments[optind - 1]);
    }
    for (int i = optind; status == CLI_OK && i < argument_count; i++) {
        if (command->word_count == CACHE_WORDS_MAX) {
            return cli_usage_error(COMMAND, "'%s' is one argument too many", arguments[i]);
        }
        command->words[command->word_count++] = arguments[i];
    }
    return status == CLI_OK && command->is_add && command->is_replace
               ? cli_usage_error(COMMAND, "either --add or --replace")
               : status;
}

/* ---- stats and tenants ---------------------------------------------------------------------- */

int cache_run_stats(const struct cache_command *command, struct cache_client *client)
{
    const char *group = command->word_count > 0 ? command->words[0] : "";
    struct cache_figures figures;

    if (strlen(group) > 60 || strcspn(group, " \r\n") != strlen(group)) {
        return cli_usage_error(COMMAND, "'%s' is no group of figures", group);
    }
    int code = cache_figures_read(client, group, &figures);
    if (code != CLI_OK) {
        return code;
    }
    if (figures.is_refused) {
        cache_figures_free(&figures);
        return cli_failure(COMMAND, "%s has no group '%s'", client->connection.address, group);
    }
    if (command->is_json) {
        cache_json_figures(stdout, &figures);
    } else if (group[0] == '\0' && !command->is_all) {
        cache_text_summary(stdout, client->connection.address, &figures);
    } else {
        cache_text_figures(stdout, &figures);
    }
    cache_figures_free(&figures);
    return cli_finish_output(COMMAND);
}

int cache_run_tenants(const struct cache_command *command, struct cache_client *client)
{
    struct cache_figures general;
    struct cache_tenants tenants;
    int code = cache_figures_read(client, "", &general);

    if (code != CLI_OK) {
        return code;
    }
    code = cache_tenants_read(client, &general, &tenants);
    cache_figures_free(&general);
    if (code != CLI_OK) {
        return code;
    }
    if (!tenants.is_whole) {
        fprintf(stderr,
                "quarry cache: %s does not tell its tenants apart, or not to this user: these are "
                "the figures of the connection's own\n",
                client->connection.address);
    }
    if (command->is_json) {
        cache_json_tenants(stdout, &tenants);
    } else {
        cache_text_tenants(stdout, &tenants);
    }
    cache_tenants_free(&tenants);
    return cli_finish_output(COMMAND);
}

/* ---- flush ---------------------------------------------------------------------------------- */

static bool is_confirmed(const char *address)
{
    char answer[16] = "";

    fprintf(stderr, "All items at %s will be gone. Type yes: ", address);
    return fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

int cache_run_flush(const struct cache_command *command, struct cache_client *client)
{
    char *line = NULL;

    if (!command->is_yes && isatty(STDIN_FILENO) != 1) {
        return cli_usage_error(COMMAND, "flush drops all items: say --yes");
    }
    if (!command->is_yes && !is_confirmed(client->connection.address)) {
        return cli_failure(COMMAND, "nothing was done");
    }
    int code = cache_client_say(client, "flush_all\r\n");
    code = code == CLI_OK ? cache_client_line(client, &line) : code;
    return code != CLI_OK || strcmp(line, "OK") == 0 ? code : cache_client_refused(client, line);
}

/* ---- the parts ------------------------------------------------------------------------------ */

static const struct part {
    const char *name;
    uint32_t words_min, words_max;
    cache_part_function *run;
} parts[] = {
    {"stats", 0, 1, cache_run_stats}, {"tenants", 0, 0, cache_run_tenants},
    {"top", 0, 0, cache_run_top},     {"get", 1, 2, cache_run_get},
    {"set", 1, 2, cache_run_set},     {"delete", 1, 1, cache_run_delete},
    {"flush", 0, 0, cache_run_flush}, {"dump", 0, 0, cache_run_dump},
};
#define PART_COUNT (sizeof parts / sizeof parts[0])

static int unknown_part(const char *typed)
{
    struct nearest nearest;

    nearest_init(&nearest, typed);
    for (size_t i = 0; i < PART_COUNT; i++) {
        nearest_offer(&nearest, parts[i].name);
    }
    return nearest.name == NULL
               ? cli_usage_error(COMMAND,
                                 "stats, tenants, top, get, set, delete, flush or dump, "
                                 "not '%s'",
                                 typed)
               : cli_usage_error(COMMAND, "there is no '%s'; did you mean '%s'?", typed,
                                 nearest.name);
}

static const struct part *find_part(const char *name)
{
    for (size_t i = 0; i < PART_COUNT; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            return &parts[i];
        }
    }
    return NULL;
}

static int run_part(const struct part *part, const struct cache_command *command)
{
    struct cache_client client;

    if (command->word_count < part->words_min) {
        return cli_usage_error(COMMAND, "%s: a key is missing", part->name);
    }
    if (command->word_count > part->words_max) {
        return cli_usage_error(COMMAND, "%s: '%s' is one argument too many", part->name,
                               command->words[part->words_max]);
    }
    int code = cache_client_open(&command->client, &client);
    if (code == CLI_OK) {
        code = part->run(command, &client);
        cache_client_close(&client);
    }
    return code;
}

static int run_cache(int argument_count, char **arguments)
{
    struct cache_command command;

    if (argument_count < 2) {
        return cli_usage_error(COMMAND, "stats, tenants, top, get, set, delete, flush or dump?");
    }
    const struct part *part = find_part(arguments[1]);
    if (part == NULL) {
        return unknown_part(arguments[1]);
    }
    int code = parse_options(argument_count - 1, arguments + 1, &command);
    return code == CLI_OK ? run_part(part, &command) : code;
}

const struct cli_command cli_command_cache = {
    .name = COMMAND,
    .summary = "speaks with a cache: figures, tenants, items, live view",
    .help = cache_help,
    .run = run_cache,
};
