/*
 * `quarry config`: what a server's settings are, where they come from, and whether they are right.
 *
 *   show       all of them, as a file that could be read back; --origin says where each is from
 *   check      a file, with everything that is wrong in it
 *   password   the hash of a password, for [user NAME] and users.file
 *   generate   files for the engines that make many nodes one service
 */
#include <cli/cli.h>

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cli/config_generate.h>
#include <cli/json_write.h>
#include <cli/serve_options.h>

#define COMMAND "config"
/* Where origins stand, beside values. */
#define ORIGIN_COLUMN 40

static const char config_help[] =
    "usage: quarry config show [--origin] [--json] [OPTION...]\n"
    "       quarry config check FILE\n"
    "       quarry config password\n"
    "       quarry config generate nutcracker|haproxy|prometheus --nodes HOST:PORT,HOST:PORT,...\n"
    "                    [--protocol PROTOCOL] [--listen ADDRESS:PORT]\n"
    "\n"
    "show prints the settings that `quarry serve` with the same options would have, as a file "
    "that\n"
    "can be read back. What is set in several places is taken from the last of: default, file,\n"
    "environment (QUARRY_CACHE_SIZE for cache.size), options.\n"
    "\n"
    "  --origin                says where each comes from\n"
    "  --json                  as JSON, with types, defaults and help\n"
    "\n"
    "check says everything that is wrong in a file.\n"
    "\n"
    "password reads a password, and prints its hash for a [user NAME] or a file of users.\n"
    "\n"
    "generate prints a configuration of another engine, for many nodes:\n"
    "  nutcracker              a proxy in front of caches, or of stores by --protocol redis\n"
    "  haproxy                 a balancer that knows which nodes are well\n"
    "  prometheus              the parts of prometheus.yml that spread series over nodes, and ask "
    "all\n"
    "  --nodes LIST            HOST:PORT,HOST:PORT,...: the doors that clients would connect to\n"
    "  --protocol PROTOCOL     theirs: memcached, redis or http\n"
    "  --listen ADDRESS:PORT   where the engine listens\n"
    "\n"
    "docs/configuration.md has all settings. Exit status: 78 when something is wrong with them.\n"
    "\n"
    "Options, as of `quarry serve`:\n" SERVE_OPTIONS_HELP;

struct show {
    bool has_origins;
    bool is_json;
};

/* ---- show, as a file ------------------------------------------------------------------------ */

static void print_line(const char *name, const char *value, bool is_hidden, const char *origin,
                       const struct show *show)
{
    int width = printf("%s%s = %s", is_hidden ? "; " : "", name, is_hidden ? "(hidden)" : value);

    if (show->has_origins) {
        printf("%*s; %s", width < ORIGIN_COLUMN ? ORIGIN_COLUMN - width : 1, "", origin);
    }
    putchar('\n');
}

static void print_settings(const struct serve_config *config, const struct show *show)
{
    char buffer[SERVE_VALUE_TEXT_BYTES];
    const char *section = "";
    size_t section_bytes = 0;

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        enum serve_key key = (enum serve_key)i;
        const char *name = serve_setting(key)->key, *dot = strchr(name, '.');
        if ((size_t)(dot - name) != section_bytes || strncmp(name, section, section_bytes) != 0) {
            section = name;
            section_bytes = (size_t)(dot - name);
            printf("%s[%.*s]\n", i > 0 ? "\n" : "", (int)section_bytes, section);
        }
        print_line(dot + 1, serve_config_format(config, key, buffer), false,
                   serve_config_origin(config, key), show);
    }
}

static bool is_secret(enum serve_group_kind kind, uint32_t which)
{
    return kind == SERVE_USERS && which == SERVE_USER_PASSWORD;
}

static void print_groups(const struct serve_config *config, enum serve_group_kind kind,
                         const char *noun, const struct show *show)
{
    char buffer[SERVE_VALUE_TEXT_BYTES];

    for (uint32_t i = 0; i < serve_config_group_count(config, kind); i++) {
        printf("\n[%s %s]\n", noun, serve_config_group_name(config, kind, i));
        for (uint32_t j = 0; j < serve_group_setting_count(kind); j++) {
            const char *value = serve_config_group_format(config, kind, i, j, buffer);
            print_line(serve_group_setting(kind, j)->key, value,
                       is_secret(kind, j) && value[0] != '\0',
                       serve_config_group_origin(config, kind, i, j), show);
        }
    }
}

/* ---- show, as JSON -------------------------------------------------------------------------- */

static const char *const type_names[] = {
    [SERVE_TYPE_BYTES] = "bytes",   [SERVE_TYPE_DURATION] = "duration",
    [SERVE_TYPE_COUNT] = "count",   [SERVE_TYPE_BOOL] = "bool",
    [SERVE_TYPE_TEXT] = "text",     [SERVE_TYPE_ADDRESS] = "address",
    [SERVE_TYPE_CHOICE] = "choice", [SERVE_TYPE_WORDS] = "words",
};

static void json_setting(struct json *json, const struct serve_setting *setting, const char *value,
                         const char *origin)
{
    json_object(json, NULL);
    json_string(json, "key", setting->key);
    json_string(json, "value", value);
    json_string(json, "origin", origin);
    json_string(json, "default", setting->initial);
    json_string(json, "type", type_names[setting->type]);
    json_bool(json, "reload", setting->is_live);
    json_string(json, "help", setting->help);
    json_object_end(json);
}

static void json_group(struct json *json, const struct serve_config *config,
                       enum serve_group_kind kind, uint32_t index)
{
    char buffer[SERVE_VALUE_TEXT_BYTES];

    json_object(json, NULL);
    json_string(json, "name", serve_config_group_name(config, kind, index));
    json_array(json, "settings");
    for (uint32_t i = 0; i < serve_group_setting_count(kind); i++) {
        const char *value = serve_config_group_format(config, kind, index, i, buffer);
        json_setting(json, serve_group_setting(kind, i),
                     is_secret(kind, i) && value[0] != '\0' ? "(hidden)" : value,
                     serve_config_group_origin(config, kind, index, i));
    }
    json_array_end(json);
    json_object_end(json);
}

static void json_groups(struct json *json, const struct serve_config *config,
                        enum serve_group_kind kind, const char *name)
{
    json_array(json, name);
    for (uint32_t i = 0; i < serve_config_group_count(config, kind); i++) {
        json_group(json, config, kind, i);
    }
    json_array_end(json);
}

static void print_json(const struct serve_config *config)
{
    char buffer[SERVE_VALUE_TEXT_BYTES];
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_array(&json, "settings");
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        enum serve_key key = (enum serve_key)i;
        json_setting(&json, serve_setting(key), serve_config_format(config, key, buffer),
                     serve_config_origin(config, key));
    }
    json_array_end(&json);
    json_groups(&json, config, SERVE_TENANTS, "tenants");
    json_groups(&json, config, SERVE_USERS, "users");
    json_object_end(&json);
    json_finish(&json);
}

static bool show_option(void *argument, const char *name)
{
    struct show *show = argument;

    show->has_origins = show->has_origins || strcmp(name, "origin") == 0;
    show->is_json = show->is_json || strcmp(name, "json") == 0;
    return strcmp(name, "origin") == 0 || strcmp(name, "json") == 0;
}

static int run_show(int argument_count, char **arguments)
{
    struct show show = {0};
    struct serve_sources sources;
    struct serve_config *config = NULL;
    int code =
        serve_options_parse(COMMAND, argument_count, arguments, show_option, &show, &sources);

    if (code == CLI_OK) {
        code = serve_options_load(COMMAND, &sources, &config);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (show.is_json) {
        print_json(config);
    } else {
        print_settings(config, &show);
        print_groups(config, SERVE_TENANTS, "tenant", &show);
        print_groups(config, SERVE_USERS, "user", &show);
    }
    serve_config_destroy(config);
    return cli_finish_output(COMMAND);
}

/* ---- check ---------------------------------------------------------------------------------- */

static int run_check(int argument_count, char **arguments)
{
    struct serve_config *config = NULL;

    if (argument_count != 2) {
        return cli_usage_error(COMMAND, "check takes the name of a file");
    }
    const struct serve_sources sources = {.path = arguments[1]};
    int code = serve_options_load(COMMAND, &sources, &config);
    if (code != CLI_OK) {
        return code;
    }
    printf("%s: nothing is wrong\n", arguments[1]);
    serve_config_destroy(config);
    return cli_finish_output(COMMAND);
}

/* ---- password ------------------------------------------------------------------------------- */

/* A line of stdin without its end; what is typed on a terminal is not shown. Returns: its bytes. */
static size_t read_password(char *text, size_t capacity)
{
    struct termios before, quiet;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;

    if (is_terminal) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        fputs("Password: ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    if (fgets(text, (int)capacity, stdin) == NULL) {
        text[0] = '\0';
    }
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    return strcspn(text, "\r\n");
}

static int run_password(int argument_count, char **arguments)
{
    char text[SERVE_PASSWORD_BYTES_MAX + 3] = {0}, hash[SERVE_PASSWORD_HASH_BYTES];
    struct quarry_error error = {0};

    if (argument_count != 1) {
        return cli_usage_error(COMMAND, "password takes it from stdin, not '%s'", arguments[1]);
    }
    size_t bytes = read_password(text, sizeof text);
    enum quarry_status status = serve_password_hash(text, bytes, hash, &error);
    explicit_bzero(text, sizeof text);
    if (status != QUARRY_OK) {
        return cli_failure(COMMAND, "%s", error.text);
    }
    puts(hash);
    return cli_finish_output(COMMAND);
}

static int run_config(int argument_count, char **arguments)
{
    static const struct {
        const char *name;
        cli_run_function *run;
    } parts[] = {{"show", run_show},
                 {"check", run_check},
                 {"password", run_password},
                 {"generate", config_generate}};

    for (size_t i = 0; argument_count > 1 && i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(arguments[1], parts[i].name) == 0) {
            return parts[i].run(argument_count - 1, arguments + 1);
        }
    }
    return argument_count < 2
               ? cli_usage_error(COMMAND, "show, check, password or generate?")
               : cli_usage_error(COMMAND, "show, check, password or generate, not '%s'",
                                 arguments[1]);
}

const struct cli_command cli_command_config = {
    .name = COMMAND,
    .summary = "shows and checks settings, hashes passwords, makes files for proxies",
    .help = config_help,
    .run = run_config,
};
