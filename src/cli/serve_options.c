/*
 * Options of a server.
 *
 * Each is a short name for a setting: "--memory 2g" is "--set memory.limit=2g". Nothing is looked
 * at here but its form; values are read with those of the other sources (serve/config_load.c), so
 * that messages are the same wherever a value comes from.
 *
 * getopt_long is not used: it would take "--mem" for "--memory", and what a script says today shall
 * not become ambiguous by an option of tomorrow.
 */
#include <cli/serve_options.h>

#include <string.h>
#include <unistd.h>

#include <cli/cli.h>

struct option_name {
    const char *name;
    const char *key;   /* of the setting; NULL: see set_option */
    const char *value; /* of an option that takes none; NULL: it takes one */
};

static const struct option_name names[] = {
    {"config", NULL, NULL},
    {"memory", "memory.limit", NULL},
    {"data", "server.data", NULL},
    {"durability", "server.durability", NULL},
    {"memcached", "memcached.listen", NULL},
    {"resp", "resp.listen", NULL},
    {"http", "http.listen", NULL},
    {"threads", "server.threads", NULL},
    {"insecure", "server.insecure", "on"},
    {"log-format", "log.format", NULL},
    {"log-level", "log.level", NULL},
    {"user", "security.user", NULL},
    {"set", NULL, NULL},
};
#define NAME_COUNT (sizeof names / sizeof names[0])

/* Origins outlive the sources, in the messages of a reload: of each option one, with its dashes. */
static const char *origin_of(size_t which)
{
    static const char *const origins[NAME_COUNT] = {
        "--config",    "--memory", "--data",    "--durability", "--memcached",
        "--resp",      "--http",   "--threads", "--insecure",   "--log-format",
        "--log-level", "--user",   "--set",
    };

    Q_ASSERT(which < NAME_COUNT && strcmp(origins[which] + 2, names[which].name) == 0);
    return origins[which];
}

static int add(const char *command, struct serve_sources *sources, const char *key,
               const char *value, const char *origin)
{
    if (sources->assignment_count == SERVE_ASSIGNMENTS_MAX) {
        return cli_usage_error(command, "more than %u settings; a --config FILE has room for more",
                               SERVE_ASSIGNMENTS_MAX);
    }
    sources->assignments[sources->assignment_count++] =
        (struct serve_assignment){.key = key, .value = value, .origin = origin};
    return CLI_OK;
}

/* "cache.size=1g" is taken apart in place: the arguments are the program's own. */
static int add_set(const char *command, struct serve_sources *sources, char *value)
{
    char *equals = strchr(value, '=');

    if (equals == NULL || equals == value) {
        return cli_usage_error(command, "--set takes SECTION.KEY=VALUE, not '%s'", value);
    }
    *equals = '\0';
    return add(command, sources, value, equals + 1, "--set");
}

static int set_option(const char *command, struct serve_sources *sources, size_t which, char *value)
{
    const char *name = names[which].name;

    if (names[which].key != NULL) {
        return add(command, sources, names[which].key, value, origin_of(which));
    }
    if (strcmp(name, "config") == 0) {
        sources->path = value;
        return CLI_OK;
    }
    Q_ASSERT(strcmp(name, "set") == 0);
    return add_set(command, sources, value);
}

static size_t find_name(const char *name, size_t length)
{
    size_t which = 0;

    while (which < NAME_COUNT &&
           (strlen(names[which].name) != length || memcmp(names[which].name, name, length) != 0)) {
        which++;
    }
    return which;
}

static int unknown_option(const char *command, const char *typed)
{
    struct nearest nearest;

    nearest_init(&nearest, typed + strspn(typed, "-"));
    for (size_t i = 0; i < NAME_COUNT; i++) {
        nearest_offer(&nearest, names[i].name);
    }
    return nearest.name == NULL
               ? cli_usage_error(command, "there is no option '%s'", typed)
               : cli_usage_error(command, "there is no option '%s'; did you mean '--%s'?", typed,
                                 nearest.name);
}

/* One option at `*at`, which is moved behind it. */
static int parse_one(const char *command, int argument_count, char **arguments, int *at,
                     struct serve_sources *sources)
{
    char *text = arguments[(*at)++], *value = strchr(text, '=');
    size_t length = value != NULL ? (size_t)(value - text) : strlen(text);
    size_t which =
        length > 2 && strncmp(text, "--", 2) == 0 ? find_name(text + 2, length - 2) : NAME_COUNT;
    static char on[] = "on";

    if (which == NAME_COUNT) {
        return unknown_option(command, text);
    }
    if (names[which].value != NULL) {
        return value == NULL ? set_option(command, sources, which, on)
                             : cli_usage_error(command, "'--%s' takes no value", names[which].name);
    }
    if (value == NULL && *at == argument_count) {
        return cli_usage_error(command, "'%s' takes a value", text);
    }
    return set_option(command, sources, which, value != NULL ? value + 1 : arguments[(*at)++]);
}

int serve_options_parse(const char *command, int argument_count, char **arguments,
                        serve_own_option *own, void *own_argument,
                        struct serve_sources *ret_sources)
{
    int code = CLI_OK;

    *ret_sources = (struct serve_sources){.environment = environ};
    for (int at = 1; at < argument_count && code == CLI_OK;) {
        const char *text = arguments[at];
        if (text[0] != '-') {
            return cli_usage_error(command, "no argument expected, and '%s' given", text);
        }
        if (own != NULL && strncmp(text, "--", 2) == 0 && own(own_argument, text + 2)) {
            at++;
            continue;
        }
        code = parse_one(command, argument_count, arguments, &at, ret_sources);
    }
    return code;
}

static void tell(void *argument, const char *text)
{
    (void)cli_failure(argument, "%s", text);
}

int serve_options_load(const char *command, const struct serve_sources *sources,
                       struct serve_config **ret_config)
{
    struct quarry_error error = {0};
    char name[32] = {0};

    strncpy(name, command, sizeof name - 1);
    enum quarry_status status = serve_config_load(sources, tell, name, ret_config, &error);
    if (status == QUARRY_OK) {
        return CLI_OK;
    }
    return status == QUARRY_NO_MEMORY ? CLI_FAILED : CLI_BAD_CONFIG;
}
