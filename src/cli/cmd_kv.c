/*
 * `quarry kv`: a store, in its directory or behind a server, looked at, changed, copied and mended.
 *
 *     quarry kv VERB DIR [WORD...] [OPTION...]
 *     quarry kv VERB --server[=ADDRESS] [WORD...] [OPTION...]
 *
 * Verbs are the rows of a table (kv_verbs.c), which says what each takes; options the rows of
 * another, here. A help text is made of both, so that it cannot tell of what is not there. ldb's
 * words are aliases where it has the same thing.
 *
 * Options belong to verbs: one that a verb does not take is refused.
 */
#include <cli/cmd_kv.h>

#include <getopt.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cli/options.h>

#define COMMAND          "kv"
#define MEMORY_DEFAULT   Q_MIB(256)
#define INTERVAL_MAX_S   3600u
#define NAME_BYTES       64u
#define ANY_VERB         0u
#define OPTION_CODE_BASE 256
#define OPTIONS_MAX      64u

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_FROM,
    OPTION_TO,
    OPTION_MAX,
    OPTION_REVERSE,
    OPTION_COUNT_ONLY,
    OPTION_NO_VALUE,
    OPTION_HEX,
    OPTION_KEY_HEX,
    OPTION_VALUE_HEX,
    OPTION_TTL,
    OPTION_CREATE,
    OPTION_YES,
    OPTION_MOVE,
    OPTION_ID,
    OPTION_KEEP,
    OPTION_ONCE,
    OPTION_ASCII,
    OPTION_INTERVAL,
    OPTION_SKIP,
    OPTION_COMMAND,
    OPTION_DIRECTORY,
    OPTION_SERVER,
    OPTION_ADDRESS,
    OPTION_USER,
    OPTION_PASSWORD,
    OPTION_DATABASE,
    OPTION_TENANT,
    OPTION_READ_ONLY,
    OPTION_SET,
    OPTION_MEMORY,
    OPTION_JSON,
};

static const struct kv_option {
    const char *name;
    const char *value; /* what it takes; NULL: nothing; "=X": it may */
    enum option_code code;
    uint32_t takes;   /* which verbs take it; ANY_VERB */
    const char *text; /* NULL: another name of the row above */
} kv_options[] = {
    {"from", "KEY", OPTION_FROM, KV_TAKES_RANGE, "from this key on"},
    {"to", "KEY", OPTION_TO, KV_TAKES_RANGE, "up to and without this key"},
    {"max", "N", OPTION_MAX, KV_TAKES_MAX, "so many keys at most"},
    {"max_keys", "N", OPTION_MAX, KV_TAKES_MAX, NULL},
    {"reverse", NULL, OPTION_REVERSE, KV_TAKES_REVERSE, "from the last key to the first"},
    {"count-only", NULL, OPTION_COUNT_ONLY, KV_TAKES_COUNT_ONLY, "how many there are, alone"},
    {"count_only", NULL, OPTION_COUNT_ONLY, KV_TAKES_COUNT_ONLY, NULL},
    {"no-value", NULL, OPTION_NO_VALUE, KV_TAKES_NO_VALUE, "keys alone"},
    {"no_value", NULL, OPTION_NO_VALUE, KV_TAKES_NO_VALUE, NULL},
    {"hex", NULL, OPTION_HEX, KV_TAKES_KEY_HEX, "keys and values are hex digits, in and out"},
    {"key-hex", NULL, OPTION_KEY_HEX, KV_TAKES_KEY_HEX, "keys are"},
    {"key_hex", NULL, OPTION_KEY_HEX, KV_TAKES_KEY_HEX, NULL},
    {"value-hex", NULL, OPTION_VALUE_HEX, KV_TAKES_VALUE_HEX, "values are"},
    {"value_hex", NULL, OPTION_VALUE_HEX, KV_TAKES_VALUE_HEX, NULL},
    {"ttl", "S", OPTION_TTL, KV_TAKES_TTL, "it expires after so many seconds"},
    {"create", NULL, OPTION_CREATE, KV_TAKES_CREATE, "makes the store if there is none"},
    {"create_if_missing", NULL, OPTION_CREATE, KV_TAKES_CREATE, NULL},
    {"yes", NULL, OPTION_YES, KV_TAKES_YES, "does not ask"},
    {"move", NULL, OPTION_MOVE, KV_TAKES_MOVE, "the files go into the store: no copies are made"},
    {"move_files", NULL, OPTION_MOVE, KV_TAKES_MOVE, NULL},
    {"id", "N", OPTION_ID, KV_TAKES_ID, "which backup (the latest)"},
    {"keep", "N", OPTION_KEEP, KV_TAKES_KEEP, "so many backups stay"},
    {"once", NULL, OPTION_ONCE, KV_TAKES_LIVE, "one picture; so it is where there is no terminal"},
    {"ascii", NULL, OPTION_ASCII, KV_TAKES_LIVE, "no block elements"},
    {"interval", "S", OPTION_INTERVAL, KV_TAKES_LIVE, "seconds between pictures (1)"},
    {"skip-others", NULL, OPTION_SKIP, KV_TAKES_SKIP, "what is no string is left out"},
    {"command", "WORD", OPTION_COMMAND, KV_TAKES_COMMAND,
     "properties, scan, verify, blocks (properties)"},
    {"db", "DIR", OPTION_DIRECTORY, ANY_VERB, "the store's directory, if it is not the first word"},
    {"server", "=ADDRESS", OPTION_SERVER, KV_TAKES_SERVER,
     "asks the server, at " REDIS_ADDRESS_DEFAULT ", HOST:PORT or unix:PATH"},
    {"addr", "ADDRESS", OPTION_ADDRESS, KV_TAKES_SERVER, "the same, with an address"},
    {"user", "NAME", OPTION_USER, KV_TAKES_SERVER, "logs in there"},
    {"password-file", "FILE", OPTION_PASSWORD, KV_TAKES_SERVER,
     "whose first line is the password; -: stdin"},
    {"database", "N", OPTION_DATABASE, KV_TAKES_DATABASE,
     "of a directory that a server made: that database's keys, as its clients see them"},
    {"tenant", "NAME", OPTION_TENANT, KV_TAKES_DATABASE, "that tenant's"},
    {"read-only", NULL, OPTION_READ_ONLY, KV_TAKES_READ_ONLY,
     "takes no lock and writes nothing; what only reads does so in any case"},
    {"set", "NAME=VALUE", OPTION_SET, KV_TAKES_STORE,
     "an option of the store, by Quarry's or RocksDB's name: write_buffer_bytes=16m"},
    {"memory", "BYTES", OPTION_MEMORY, ANY_VERB, "what it may use (256M)"},
    {"json", NULL, OPTION_JSON, ANY_VERB, "for scripts"},
};
#define OPTION_COUNT (sizeof kv_options / sizeof kv_options[0])

/* Those without a value. */
static bool *switch_of(struct kv_command *command, enum option_code code)
{
    switch ((int)code) {
    case OPTION_REVERSE:
        return &command->is_reverse;
    case OPTION_COUNT_ONLY:
        return &command->is_count_only;
    case OPTION_NO_VALUE:
        return &command->is_no_value;
    case OPTION_KEY_HEX:
        return &command->is_key_hex;
    case OPTION_VALUE_HEX:
        return &command->is_value_hex;
    case OPTION_CREATE:
        return &command->creates;
    case OPTION_YES:
        return &command->is_yes;
    case OPTION_MOVE:
        return &command->is_move;
    case OPTION_ONCE:
        return &command->is_once;
    case OPTION_ASCII:
        return &command->is_ascii;
    case OPTION_SKIP:
        return &command->skips_others;
    case OPTION_READ_ONLY:
        return &command->is_read_only;
    case OPTION_JSON:
        return &command->is_json;
    default:
        return NULL;
    }
}

/* Those whose value is text. */
static const char **text_of(struct kv_command *command, enum option_code code)
{
    switch ((int)code) {
    case OPTION_FROM:
        return &command->from;
    case OPTION_TO:
        return &command->to;
    case OPTION_COMMAND:
        return &command->command;
    case OPTION_DIRECTORY:
        return &command->path;
    case OPTION_USER:
        return &command->user;
    case OPTION_PASSWORD:
        return &command->password_path;
    case OPTION_TENANT:
        return &command->tenant;
    default:
        return NULL;
    }
}

/* Kept until it is known what is opened; wrong ones are told at once. */
static int keep_setting(struct kv_command *command, const char *text)
{
    struct quarry_kv_options ignored;

    if (command->setting_count == KV_SETTINGS_MAX) {
        return kv_usage_error(command, "%u --set at most", KV_SETTINGS_MAX);
    }
    command->settings[command->setting_count++] = text;
    return kv_store_options(command, NULL, &ignored);
}

static int set_number(struct kv_command *command, enum option_code code, const char *text)
{
    uint32_t number = 0;
    int status = CLI_OK;

    switch ((int)code) {
    case OPTION_MAX:
        status = option_count(command->name, "--max", text, 0, UINT32_MAX, &number);
        command->max = number;
        return status;
    case OPTION_TTL:
        status = option_count(command->name, "--ttl", text, 1, UINT32_MAX, &number);
        command->ttl_ms = (uint64_t)number * 1000;
        return status;
    case OPTION_ID:
        return option_count(command->name, "--id", text, 1, UINT32_MAX, &command->id);
    case OPTION_KEEP:
        return option_count(command->name, "--keep", text, 1, UINT32_MAX, &command->keep);
    case OPTION_INTERVAL:
        return option_count(command->name, "--interval", text, 1, INTERVAL_MAX_S,
                            &command->interval_s);
    case OPTION_DATABASE:
        command->has_database = true;
        return option_count(command->name, "--database", text, 0, KEYSPACE_DATABASES_MAX - 1,
                            &command->database);
    default:
        return option_bytes(command->name, "--memory", text, &command->memory_bytes);
    }
}

static int set_option(struct kv_command *command, const struct kv_option *option, const char *text)
{
    bool *set = switch_of(command, option->code);
    const char **kept = text_of(command, option->code);

    if (option->takes != ANY_VERB && (command->verb->takes & option->takes) == 0) {
        return kv_usage_error(command, "it takes no --%s", option->name);
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
    case OPTION_HEX:
        command->is_key_hex = command->is_value_hex = true;
        return CLI_OK;
    case OPTION_SERVER:
    case OPTION_ADDRESS:
        command->is_server = true;
        command->address = text != NULL ? text : command->address;
        return CLI_OK;
    case OPTION_SET:
        return keep_setting(command, text);
    default:
        return set_number(command, option->code, text);
    }
}

static void make_long_options(struct option long_options[OPTIONS_MAX])
{
    Q_STATIC_ASSERT(OPTION_COUNT < OPTIONS_MAX, "the last one closes the array");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *value = kv_options[i].value;
        int has_argument = value == NULL     ? no_argument
                           : value[0] == '=' ? optional_argument
                                             : required_argument;
        long_options[i] =
            (struct option){kv_options[i].name, has_argument, NULL, OPTION_CODE_BASE + (int)i};
    }
    long_options[OPTION_COUNT] = (struct option){0};
}

/* ---- a command line ------------------------------------------------------------------------- */

/* DIR is the first word, unless it was said otherwise. */
static int take_words(struct kv_command *command, int argument_count, char **arguments)
{
    const struct kv_verb *verb = command->verb;

    command->words = arguments + optind;
    command->word_count = (uint32_t)(argument_count - optind);
    if (!verb->has_no_path && command->path == NULL && !command->is_server) {
        if (command->word_count == 0) {
            return kv_usage_error(command, "which store? Its directory comes first");
        }
        command->path = *command->words++;
        command->word_count--;
    }
    if (command->is_server && command->path != NULL) {
        return kv_usage_error(command, "either --db or --server");
    }
    if (command->tenant != NULL && !command->has_database && !command->is_server) {
        command->has_database = true;
    }
    if (command->word_count < verb->words_min) {
        return kv_usage_error(command, "something is missing: quarry %s %s", command->name,
                              verb->usage);
    }
    if (command->word_count > verb->words_max) {
        return kv_usage_error(command, "'%s' is one argument too many%s",
                              command->words[verb->words_max],
                              command->is_server ? "; an address comes as --server=ADDRESS" : "");
    }
    return CLI_OK;
}

static int parse(struct kv_command *command, int argument_count, char **arguments)
{
    struct option long_options[OPTIONS_MAX];
    int code = CLI_OK, option = 0;

    make_long_options(long_options);
    opterr = 0;
    optind = 1;
    while (code == CLI_OK &&
           (option = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        const char *given = arguments[optind - 1];
        if (option == ':') {
            return kv_usage_error(command, "'%s' takes a value", given);
        }
        if (option < OPTION_CODE_BASE) {
            return kv_usage_error(command, "there is no option '%s'", given);
        }
        code = set_option(command, &kv_options[option - OPTION_CODE_BASE], optarg);
    }
    return code == CLI_OK ? take_words(command, argument_count, arguments) : code;
}

int kv_usage_error(const struct kv_command *command, const char *format, ...)
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

/* ---- keys and values ------------------------------------------------------------------------ */

static int read_text(const struct kv_command *command, const char *text, bool is_hex,
                     struct kv_bytes *ret_bytes)
{
    switch (kv_text_read(text, strlen(text), is_hex, ret_bytes)) {
    case KV_TEXT_FINE:
        return CLI_OK;
    case KV_TEXT_NOT_HEX:
        return kv_usage_error(command,
                              "'%.100s' is not hex: pairs of digits, 0x before them or not", text);
    case KV_TEXT_NO_MEMORY:
        break;
    }
    return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
}

int kv_command_key(const struct kv_command *command, const char *text, struct kv_bytes *ret_key)
{
    return read_text(command, text, command->is_key_hex, ret_key);
}

int kv_command_value(const struct kv_command *command, const char *text, struct kv_bytes *ret_value)
{
    return read_text(command, text, command->is_value_hex, ret_value);
}

int kv_command_range(const struct kv_command *command, struct kv_command_range *ret_range)
{
    int code = CLI_OK;

    *ret_range = (struct kv_command_range){0};
    if (command->from != NULL) {
        code = kv_command_key(command, command->from, &ret_range->from_bytes);
        ret_range->from = kv_bytes_slice(&ret_range->from_bytes);
    }
    if (code == CLI_OK && command->to != NULL) {
        code = kv_command_key(command, command->to, &ret_range->to_bytes);
        ret_range->to = kv_bytes_slice(&ret_range->to_bytes);
    }
    if (code == CLI_OK && command->from != NULL && command->to != NULL &&
        kv_slice_compare(ret_range->from, ret_range->to) > 0) {
        code = kv_usage_error(command, "--to comes before --from");
    }
    return code;
}

void kv_command_range_free(struct kv_command_range *range)
{
    kv_bytes_free(&range->from_bytes);
    kv_bytes_free(&range->to_bytes);
}

int kv_confirm(const struct kv_command *command, const char *what)
{
    char answer[16] = "";

    if (command->is_yes) {
        return CLI_OK;
    }
    if (isatty(STDIN_FILENO) != 1) {
        return kv_usage_error(command, "%s: say --yes", what);
    }
    fprintf(stderr, "%s. Type yes: ", what);
    return fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0
               ? CLI_OK
               : cli_failure(command->name, "nothing was done");
}

/* ---- help ----------------------------------------------------------------------------------- */

static void print_option(const struct kv_option *option)
{
    const char *value = option->value == NULL ? "" : option->value;
    bool is_optional = value[0] == '=';
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof name, "--%s%s%s%s", option->name,
                   is_optional        ? "["
                   : value[0] == '\0' ? ""
                                      : " ",
                   value, is_optional ? "]" : "");
    printf("  %-22s %s\n", name, option->text);
}

/* Other names of an option are not. */
static bool is_told(const struct kv_option *option, uint32_t takes)
{
    return option->text != NULL && (option->takes == ANY_VERB || (option->takes & takes) != 0);
}

static void print_options(uint32_t takes)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_told(&kv_options[i], takes)) {
            print_option(&kv_options[i]);
        }
    }
}

size_t kv_verb_options(const struct kv_verb *verb, struct cli_option ret_options[CLI_OPTIONS_MAX])
{
    size_t count = 0;

    Q_STATIC_ASSERT(OPTION_COUNT <= CLI_OPTIONS_MAX, "there is room for all of them");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_told(&kv_options[i], verb->takes)) {
            ret_options[count++] = (struct cli_option){kv_options[i].name, kv_options[i].value};
        }
    }
    return count;
}

static int print_verb(const struct kv_verb *verb)
{
    bool has_server = (verb->takes & KV_TAKES_SERVER) != 0;

    printf("usage: quarry kv %s%s%s%s [OPTION...]\n", verb->name, verb->has_no_path ? "" : " DIR",
           verb->usage[0] == '\0' ? "" : " ", verb->usage);
    if (has_server) {
        printf("       quarry kv %s --server[=ADDRESS]%s%s [OPTION...]\n", verb->name,
               verb->usage[0] == '\0' ? "" : " ", verb->usage);
    }
    for (size_t i = 0; i < KV_ALIASES_MAX && verb->aliases[i] != NULL; i++) {
        printf("%s%s", i == 0 ? "also: " : ", ", verb->aliases[i]);
    }
    printf("%s\n%c%s.\n", verb->aliases[0] != NULL ? "\n" : "", verb->summary[0] & ~0x20,
           verb->summary + 1);
    if (verb->help != NULL) {
        printf("\n%s", verb->help);
    }
    puts("\nOptions:");
    print_options(verb->takes);
    puts("\nExit status: 0; 1 when something failed or was not found; 2 for a wrong command line;\n"
         "3 when a check found something wrong; 4 when a server cannot be reached; 75 when "
         "somebody\n"
         "else has the store open.");
    return cli_finish_output(COMMAND);
}

static int print_overview(void)
{
    puts("usage: quarry kv VERB DIR [WORD...] [OPTION...]\n"
         "       quarry kv VERB --server[=ADDRESS] [WORD...] [OPTION...]\n"
         "       quarry kv VERB --help\n"
         "\n"
         "Works on a store of keys and values: Quarry's, RocksDB's or LevelDB's, in the directory "
         "DIR\n"
         "that nobody else has open; or on a server's, through its RESP door.");
    for (size_t i = 0; i < kv_verb_count; i++) {
        if (kv_verbs[i].group != NULL) {
            printf("\n%s:\n", kv_verbs[i].group);
        }
        printf("  %-14s %s\n", kv_verbs[i].name, kv_verbs[i].summary);
    }
    puts("\nExamples:\n"
         "  quarry kv put /var/db greeting hello --create\n"
         "  quarry kv scan /var/db --from a --to b --max 20\n"
         "  quarry kv lsm --server\n"
         "  quarry kv dump /var/db --hex > db.dump; quarry kv load /new/db db.dump --hex --create\n"
         "  quarry kv import-rocksdb /var/old /var/new");
    return cli_finish_output(COMMAND);
}

/* ---- the verbs ------------------------------------------------------------------------------ */

static bool is_verb(const struct kv_verb *verb, const char *name)
{
    bool is_it = strcmp(verb->name, name) == 0;

    for (size_t i = 0; i < KV_ALIASES_MAX && verb->aliases[i] != NULL; i++) {
        is_it = is_it || strcmp(verb->aliases[i], name) == 0;
    }
    return is_it;
}

static const struct kv_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < kv_verb_count; i++) {
        if (is_verb(&kv_verbs[i], name)) {
            return &kv_verbs[i];
        }
    }
    return NULL;
}

static int unknown_verb(const char *typed)
{
    struct nearest nearest;

    nearest_init(&nearest, typed);
    for (size_t i = 0; i < kv_verb_count; i++) {
        nearest_offer(&nearest, kv_verbs[i].name);
        for (size_t j = 0; j < KV_ALIASES_MAX && kv_verbs[i].aliases[j] != NULL; j++) {
            nearest_offer(&nearest, kv_verbs[i].aliases[j]);
        }
    }
    return nearest.name == NULL
               ? cli_usage_error(COMMAND, "there is no verb '%s'", typed)
               : cli_usage_error(COMMAND, "there is no verb '%s'; did you mean '%s'?", typed,
                                 nearest.name);
}

static int run_verb(const struct kv_command *command)
{
    struct kv_target target;

    if (command->verb->need == KV_NEEDS_NOTHING) {
        return command->verb->run(command, NULL);
    }
    int code = kv_target_open(command, command->verb->need == KV_NEEDS_WRITING, &target);
    if (code == CLI_OK) {
        code = command->verb->run(command, &target);
        code = kv_target_close(&target, code);
    }
    return code;
}

static bool wants_help(int argument_count, char **arguments)
{
    for (int i = 2; i < argument_count && strcmp(arguments[i], "--") != 0; i++) {
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static int run_kv(int argument_count, char **arguments)
{
    char name[NAME_BYTES];

    if (argument_count < 2 || strcmp(arguments[1], "help") == 0 ||
        strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0) {
        return print_overview();
    }
    const struct kv_verb *verb = find_verb(arguments[1]);
    if (verb == NULL) {
        return unknown_verb(arguments[1]);
    }
    if (wants_help(argument_count, arguments)) {
        return print_verb(verb);
    }
    (void)snprintf(name, sizeof name, "kv %s", verb->name);
    struct kv_command command = {
        .verb = verb,
        .name = name,
        .address = REDIS_ADDRESS_DEFAULT,
        .memory_bytes = MEMORY_DEFAULT,
        .max = UINT64_MAX,
        .interval_s = 1,
        .is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0,
    };
    int code = parse(&command, argument_count - 1, arguments + 1);
    return code == CLI_OK ? run_verb(&command) : code;
}

const struct cli_command cli_command_kv = {
    .name = COMMAND,
    .summary = "works on a key-value store: get, scan, backup, repair, import…",
    .help = NULL, /* made of the tables */
    .run = run_kv,
};
