/*
 * Reading memcached's command line.
 *
 *   arguments ─ getopt_long ─ a row of `flags` ─ line ─ memcached_settings.c ─ settings
 *
 * getopt_long is used because memcached uses it: abbreviations of long names, "-m64" and "-vvp 0"
 * are what scripts have. All options are read before any becomes a setting, because the last of
 * several holds, and because some mean nothing without others.
 *
 * Numbers are read more strictly than by memcached, which takes "-m 64x" for 64 and "-p x" for 0:
 * here they are refused, with the exit code that a number out of range has there.
 *
 * Nothing is printed, and no file is opened: a command line becomes a result, or an error.
 *
 * Source: behaviour of memcached 1.6.18, observed option by option.
 */
#include <cli/memcached_line.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a server may be told; above, settings refuse it in words that -m's user does not know. */
#define MIB_MAX         UINT64_C(16777215)
#define CONNECTIONS_MAX 1000000u
#define BACKLOG_MAX     65535u

/* ---- messages ------------------------------------------------------------------------------- */

int memcached_line_refuse(struct memcached_line *line, int code, const char *format, ...)
{
    va_list arguments;

    Q_ASSERT(code != 0);
    va_start(arguments, format);
    (void)vsnprintf(line->options->error, sizeof line->options->error, format, arguments);
    va_end(arguments);
    return code;
}

void memcached_line_note(struct memcached_line *line, bool is_warning, const char *format, ...)
{
    struct memcached_options *options = line->options;
    va_list arguments;

    if (options->note_count == MEMCACHED_NOTES_MAX) {
        return;
    }
    struct memcached_note *note = &options->notes[options->note_count++];
    note->is_warning = is_warning;
    va_start(arguments, format);
    (void)vsnprintf(note->text, sizeof note->text, format, arguments);
    va_end(arguments);
}

bool memcached_read_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && number <= most; at++) {
        if (!checked_mul_u64(number, 10, &number) ||
            !checked_add_u64(number, (uint64_t)(*at - '0'), &number)) {
            return false;
        }
    }
    *ret_number = number;
    return at != text && *at == '\0' && number >= least && number <= most;
}

/* ---- where to listen ------------------------------------------------------------------------ */

static int set_port(struct memcached_line *line, const char *value)
{
    uint64_t port = 0;

    if (strcmp(value, "-1") == 0) {
        line->port = MEMCACHED_ANY_PORT;
        return 0;
    }
    if (!memcached_read_number(value, 0, UINT16_MAX, &port)) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "ERROR: Invalid port number %s.",
                                     value);
    }
    line->port = (int32_t)port;
    return 0;
}

static int set_udp_port(struct memcached_line *line, const char *value)
{
    uint64_t port = 0;

    if (strcmp(value, "-1") != 0 && !memcached_read_number(value, 0, UINT16_MAX, &port)) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "ERROR: Invalid port number %s.",
                                     value);
    }
    if (strcmp(value, "0") != 0) {
        memcached_line_note(line, true, "-U %s: there is no UDP here; TCP is served", value);
    }
    return 0;
}

static int add_listen(struct memcached_line *line, const char *value)
{
    if (line->listen_count == MEMCACHED_LISTENS_MAX) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "-l: more than %u times",
                                     MEMCACHED_LISTENS_MAX);
    }
    line->listens[line->listen_count++] = value;
    return 0;
}

static int set_unix_path(struct memcached_line *line, const char *value)
{
    line->unix_path = value;
    return 0;
}

static int set_unix_mask(struct memcached_line *line, const char *value)
{
    char *end = NULL;
    unsigned long mode = strtoul(value, &end, 8);

    if (end == value || *end != '\0' || mode > 0777) {
        return memcached_line_refuse(line, 1, "-a takes a mode in octal like 0770, not '%s'",
                                     value);
    }
    line->unix_mask = (uint32_t)mode;
    return 0;
}

static int set_backlog(struct memcached_line *line, const char *value)
{
    uint64_t count = 0;

    if (!memcached_read_number(value, 0, INT32_MAX, &count)) {
        return memcached_line_refuse(line, 1, "-b takes a number, not '%s'", value);
    }
    line->backlog = (uint32_t)(count < 1 ? 1 : count > BACKLOG_MAX ? BACKLOG_MAX : count);
    return 0;
}

/* ---- how large ------------------------------------------------------------------------------ */

static int set_memory(struct memcached_line *line, const char *value)
{
    return memcached_read_number(value, 1, MIB_MAX, &line->mib)
               ? 0
               : memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                       "-m takes a number of MiB from 1 to %" PRIu64 ", not '%s'",
                                       MIB_MAX, value);
}

static int set_item_size(struct memcached_line *line, const char *value)
{
    static const char units[] = "kKmMgG";
    char digits[24] = "";
    size_t length = strlen(value);
    const char *unit = length > 0 ? strchr(units, value[length - 1]) : NULL;
    uint32_t shift = unit != NULL ? ((uint32_t)(unit - units) / 2 + 1) * 10 : 0;
    uint64_t number = 0;

    length -= unit != NULL;
    if (length >= sizeof digits) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "-I: the number is too long");
    }
    memcpy(digits, value, length);
    if (!memcached_read_number(digits, 0, UINT32_MAX, &number)) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "-I takes a size like 2m, not '%s'", value);
    }
    line->item_bytes = number << shift;
    return 0;
}

static int set_connections(struct memcached_line *line, const char *value)
{
    uint64_t count = 0;

    if (!memcached_read_number(value, 1, INT32_MAX, &count)) {
        return memcached_line_refuse(line, 1, "Maximum connections must be greater than 0");
    }
    if (count > CONNECTIONS_MAX) {
        memcached_line_note(line, true, "-c %s: %u connections are the most", value,
                            CONNECTIONS_MAX);
        count = CONNECTIONS_MAX;
    }
    line->connections = (uint32_t)count;
    return 0;
}

static int set_threads(struct memcached_line *line, const char *value)
{
    uint64_t count = 0;

    if (!memcached_read_number(value, 1, SERVE_WORKERS_MAX, &count)) {
        return memcached_line_refuse(line, 1,
                                     strcmp(value, "0") == 0
                                         ? "Number of threads must be greater than 0"
                                         : "-t takes a number of threads from 1 to 256");
    }
    if (count > 64) {
        memcached_line_note(line, true, "-t %s: more threads than CPUs make nothing faster", value);
    }
    line->threads = (uint32_t)count;
    return 0;
}

/* ---- what may be done ----------------------------------------------------------------------- */

static int set_protocol(struct memcached_line *line, const char *value)
{
    line->is_text_alone = strcmp(value, "ascii") == 0;
    line->is_binary_alone = strcmp(value, "binary") == 0;
    if (!line->is_text_alone && !line->is_binary_alone && strcmp(value, "auto") != 0) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "Invalid value for binding protocol: %s\n"
                                     " -- should be one of auto, binary, or ascii",
                                     value);
    }
    return 0;
}

static int set_delimiter(struct memcached_line *line, const char *value)
{
    if (strcmp(value, ":") != 0) {
        memcached_line_note(line, true, "-D %s: prefixes of keys end with ':' here", value);
    }
    line->counts_prefixes = true;
    return 0;
}

static int set_auth_file(struct memcached_line *line, const char *value)
{
    line->auth_path = value;
    return 0;
}

static int set_memory_file(struct memcached_line *line, const char *value)
{
    line->memory_path = value;
    return 0;
}

/* ---- the process ---------------------------------------------------------------------------- */

static int set_user(struct memcached_line *line, const char *value)
{
    line->options->user = value;
    return 0;
}

static int set_pid_path(struct memcached_line *line, const char *value)
{
    line->options->pid_path = value;
    return 0;
}

static int add_verbosity(struct memcached_line *line, const char *value)
{
    uint64_t level = 0;

    if (value != NULL && !memcached_read_number(value, 0, 3, &level)) {
        return memcached_line_refuse(line, 1, "--verbose takes a number from 0 to 3, not '%s'",
                                     value);
    }
    line->options->verbosity = value != NULL ? (uint32_t)level : line->options->verbosity + 1;
    return 0;
}

static int add_setting(struct memcached_line *line, const char *value)
{
    struct serve_sources *sources = &line->options->sources;
    struct memcached_options *options = line->options;
    const char *equals = strchr(value, '=');
    size_t length = strlen(value) + 1;

    if (equals == NULL || equals == value) {
        return memcached_line_refuse(line, 1, "--set takes SECTION.KEY=VALUE, not '%s'", value);
    }
    if (length > MEMCACHED_TEXTS_BYTES - options->text_bytes ||
        sources->assignment_count == SERVE_ASSIGNMENTS_MAX / 2) {
        return memcached_line_refuse(line, 1, "--set: too many settings");
    }
    char *copy = options->texts + options->text_bytes;
    memcpy(copy, value, length);
    copy[equals - value] = '\0';
    options->text_bytes += length;
    sources->assignments[sources->assignment_count++] = (struct serve_assignment){
        .key = copy, .value = copy + (equals - value) + 1, .origin = "--set"};
    return 0;
}

/* ---- options that say one thing ------------------------------------------------------------- */

/* What is checked as memcached does, and ignored. */
static int ignore_number(struct memcached_line *line, const char *name, const char *value,
                         const char *noun)
{
    uint64_t number = 0;

    if (!memcached_read_number(value, 1, INT32_MAX, &number)) {
        return memcached_line_refuse(line, 1, "%s must be greater than 0", noun);
    }
    memcached_line_note(line, false, "%s %s: has no meaning here, and is ignored", name, value);
    return 0;
}

static int ignore_requests(struct memcached_line *line, const char *value)
{
    return ignore_number(line, "-R", value, "Number of requests per event");
}

static int ignore_chunk(struct memcached_line *line, const char *value)
{
    return ignore_number(line, "-n", value, "Chunk size");
}

static int ignore_napi(struct memcached_line *line, const char *value)
{
    return ignore_number(line, "-N", value, "Maximum number of NAPI IDs");
}

static int ignore_factor(struct memcached_line *line, const char *value)
{
    char *end = NULL;
    double factor = strtod(value, &end);

    if (end == value || *end != '\0' || !(factor > 1.0)) {
        return memcached_line_refuse(line, 1, "Factor must be greater than 1");
    }
    memcached_line_note(line, false, "-f %s: has no meaning here, and is ignored", value);
    return 0;
}

/* Letters without a value. */
static int set_switch(struct memcached_line *line, int letter)
{
    struct memcached_options *options = line->options;

    switch (letter) {
    case 'A':
        line->allows_shutdown = true;
        return 0;
    case 'C':
        memcached_line_note(line, false, "-C: items have their cas number all the same");
        return 0;
    case 'F':
        line->refuses_flush = true;
        return 0;
    case 'L':
        memcached_line_note(line, false, "-L: huge pages are used where the kernel gives them");
        return 0;
    case 'M':
        line->never_evicts = true;
        return 0;
    case 'S':
        line->has_sasl = true;
        return 0;
    case 'V':
        options->task = MEMCACHED_VERSION;
        return 0;
    case 'W':
        line->refuses_watch = true;
        return 0;
    case 'X':
        line->refuses_dump = true;
        return 0;
    case 'Z':
        line->has_tls = true;
        return 0;
    case 'd':
        options->is_daemon = true;
        return 0;
    case 'h':
        options->task = MEMCACHED_HELP;
        return 0;
    case 'i':
        options->task = MEMCACHED_LICENSE;
        return 0;
    case 'k':
        memcached_line_note(line, true, "-k: memory is not locked: it could not be given back");
        return 0;
    case 'r':
        options->raises_core_limit = true;
        return 0;
    default:
        Q_UNREACHABLE();
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

#define LETTER_SET 256 /* --set has no letter */

struct flag {
    int letter;
    const char *name;
    int has_value;                                                /* as in getopt.h */
    int (*apply)(struct memcached_line *line, const char *value); /* NULL: set_switch */
};

static const struct flag flags[] = {
    {'p', "port", required_argument, set_port},
    {'U', "udp-port", required_argument, set_udp_port},
    {'s', "unix-socket", required_argument, set_unix_path},
    {'a', "unix-mask", required_argument, set_unix_mask},
    {'A', "enable-shutdown", no_argument, NULL},
    {'l', "listen", required_argument, add_listen},
    {'d', "daemon", no_argument, NULL},
    {'r', "enable-coredumps", no_argument, NULL},
    {'u', "user", required_argument, set_user},
    {'m', "memory-limit", required_argument, set_memory},
    {'M', "disable-evictions", no_argument, NULL},
    {'c', "conn-limit", required_argument, set_connections},
    {'k', "lock-memory", no_argument, NULL},
    {'v', "verbose", optional_argument, add_verbosity},
    {'h', "help", no_argument, NULL},
    {'i', "license", no_argument, NULL},
    {'V', "version", no_argument, NULL},
    {'P', "pidfile", required_argument, set_pid_path},
    {'f', "slab-growth-factor", required_argument, ignore_factor},
    {'n', "slab-min-size", required_argument, ignore_chunk},
    {'L', "enable-largepages", no_argument, NULL},
    {'D', NULL, required_argument, set_delimiter},
    {'t', "threads", required_argument, set_threads},
    {'R', "max-reqs-per-event", required_argument, ignore_requests},
    {'C', "disable-cas", no_argument, NULL},
    {'b', "listen-backlog", required_argument, set_backlog},
    {'B', "protocol", required_argument, set_protocol},
    {'I', "max-item-size", required_argument, set_item_size},
    {'S', "enable-sasl", no_argument, NULL},
    {'F', "disable-flush-all", no_argument, NULL},
    {'X', "disable-dumping", no_argument, NULL},
    {'W', "disable-watch", no_argument, NULL},
    {'Y', "auth-file", required_argument, set_auth_file},
    {'e', "memory-file", required_argument, set_memory_file},
    {'Z', "enable-ssl", no_argument, NULL},
    {'o', "extended", required_argument, memcached_line_read_extended},
    {'N', "napi-ids", required_argument, ignore_napi},
    {'N', "napi_ids", required_argument, ignore_napi},
    {LETTER_SET, "set", required_argument, add_setting},
};
#define FLAG_COUNT (sizeof flags / sizeof flags[0])

static const struct flag *find_flag(int letter)
{
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (flags[i].letter == letter) {
            return &flags[i];
        }
    }
    return NULL;
}

/* The table in the form that getopt_long reads. The letter v takes no value, "--verbose=2" does. */
static void make_tables(char letters[2 * FLAG_COUNT + 2], struct option names[FLAG_COUNT + 1])
{
    size_t name_count = 0;

    *letters++ = ':';
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (flag->letter < LETTER_SET) {
            *letters++ = (char)flag->letter;
            *letters = ':';
            letters += flag->has_value == required_argument;
        }
        if (flag->name != NULL) {
            names[name_count++] = (struct option){flag->name, flag->has_value, NULL, flag->letter};
        }
    }
    *letters = '\0';
    names[name_count] = (struct option){0};
}

static int refuse_option(struct memcached_line *line, int code, const char *given)
{
    return code == ':' ? memcached_line_refuse(line, 1,
                                               "option '%s' requires an argument\n"
                                               "Illegal argument \"?\"",
                                               given)
                       : memcached_line_refuse(
                             line, 1, "unrecognized option '%s'\nIllegal argument \"?\"", given);
}

static int apply_flag(struct memcached_line *line, const struct flag *flag)
{
    return flag->apply != NULL ? flag->apply(line, optarg) : set_switch(line, flag->letter);
}

static int read_arguments(struct memcached_line *line, int argument_count, char **arguments)
{
    char letters[2 * FLAG_COUNT + 2];
    struct option names[FLAG_COUNT + 1];
    int status = 0, code;

    make_tables(letters, names);
    optind = 0; /* begins anew, in glibc */
    opterr = 0;
    while (status == 0 && line->options->task == MEMCACHED_SERVE &&
           (code = getopt_long(argument_count, arguments, letters, names, NULL)) != -1) {
        status = code == '?' || code == ':' ? refuse_option(line, code, arguments[optind - 1])
                                            : apply_flag(line, find_flag(code));
    }
    for (int i = optind; status == 0 && i < argument_count; i++) {
        memcached_line_note(line, true, "'%.60s' is no option, and is ignored", arguments[i]);
    }
    return status;
}

int memcached_options_parse(int argument_count, char **arguments, char *const *environment,
                            struct memcached_options *ret_options)
{
    struct memcached_line line = {
        .options = ret_options,
        .port = MEMCACHED_DEFAULT_PORT,
        .mib = MEMCACHED_DEFAULT_MIB,
        .item_bytes = MEMCACHED_DEFAULT_ITEM_BYTES,
        .connections = MEMCACHED_DEFAULT_CONNECTIONS,
        .threads = MEMCACHED_DEFAULT_THREADS,
        .backlog = MEMCACHED_DEFAULT_BACKLOG,
        .unix_mask = 0700,
        .tls_version = 2,
    };

    memset(ret_options, 0, sizeof *ret_options);
    ret_options->sources.environment = environment;
    ret_options->sources.path = "/dev/null"; /* a command line of memcached's is all there is */
    int code = read_arguments(&line, argument_count, arguments);
    return code == 0 && ret_options->task == MEMCACHED_SERVE ? memcached_line_compose(&line) : code;
}
