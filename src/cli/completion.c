/*
 * What can stand at each place of a command line: the same for every shell.
 *
 * A place is what has been chosen so far: "" at first, then "kv", then "kv get". Each has options
 * and words, as one line of text each that a shell's script takes apart:
 *
 *   options   json profile=heap|allocs pprof=FILE report?=FILE
 *             NAME: it takes no value; NAME=KIND: it takes one; NAME?=KIND: one behind "=" or none
 *   words     STORE - FILE...
 *             the kind of each; the last may come again where it ends in "..."
 *
 * Kinds: FILE and DIR (names of files and folders), STORE (a folder that is no word when --db or
 * --server says where the store is), PID (a process), PROGRAM (a command, whose own options
 * follow), a|b|c (one of these), and anything else is known to nobody.
 *
 * Commands are taken from their table, and verbs and options of `kv` and `tsdb` from theirs. All
 * others read their options in ways of their own and describe them in prose: for them there is a
 * table here, and a test (tests/assets/test_completion.py) holds every place to its --help.
 */
#include <cli/completion.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cli/cmd_kv.h>
#include <cli/cmd_tsdb.h>

/* The line of a script that the places stand for. */
#define MARK "# places\n"

#define SERVE_OPTIONS                                                                              \
    "config=FILE memory=BYTES data=DIR durability=none|process|power memcached=ADDRESS "           \
    "resp=ADDRESS http=ADDRESS threads=N insecure log-format=auto|human|logfmt|json "              \
    "log-level=debug|info|warning|error user=NAME set=SETTING"
#define CACHE_OPTIONS "addr=ADDRESS user=NAME password-file=FILE json"
#define BENCH_OPTIONS "json quick against=LIST rounds=N help"

struct place {
    const char *command, *verb; /* verb: NULL: the command takes none */
    const char *options, *words;
};

static const struct place places[] = {
    {"serve", NULL, SERVE_OPTIONS " help", ""},
    {"memcached", NULL,
     "port=N udp-port=N unix-socket=FILE unix-mask=MASK enable-shutdown listen=ADDRESS daemon "
     "enable-coredumps user=NAME memory-limit=N disable-evictions conn-limit=N lock-memory verbose "
     "help license version pidfile=FILE slab-growth-factor=N slab-min-size=N enable-largepages "
     "threads=N max-reqs-per-event=N disable-cas listen-backlog=N protocol=ascii|binary|auto "
     "max-item-size=N enable-sasl disable-flush-all disable-dumping disable-watch auth-file=FILE "
     "memory-file=FILE enable-ssl napi-ids=N extended=LIST set=SETTING",
     ""},
    {"cache", "stats", CACHE_OPTIONS " all", "settings|items|slabs|conns"},
    {"cache", "tenants", CACHE_OPTIONS, ""},
    {"cache", "top", CACHE_OPTIONS " interval=S once ascii", ""},
    {"cache", "get", CACHE_OPTIONS, "- FILE"},
    {"cache", "set", CACHE_OPTIONS " ttl=S flags=N add replace", "- FILE"},
    {"cache", "delete", CACHE_OPTIONS, "-"},
    {"cache", "flush", CACHE_OPTIONS " yes", ""},
    {"cache", "dump", CACHE_OPTIONS " limit=N", ""},
    {"run", NULL, "limit=BYTES report?=FILE sample=BYTES hardened help", "PROGRAM FILE..."},
    {"top", NULL, "server=URL user=NAME password-file=FILE interval=S once json ascii help", "PID"},
    {"heap", NULL,
     "profile=heap|allocs|lifetimes|fragmentation pprof=FILE json top=N cpu=FILE symbol=ADDRESSES "
     "sample=BYTES help",
     "PID"},
    {"doctor", NULL, "json watch heap pid=PID server=URL user=NAME password-file=FILE help", "PID"},
    {"check", "memory", "pid=PID server=URL user=NAME password-file=FILE json help", ""},
    {"map", NULL,
     "server=URL user=NAME password-file=FILE by=WHAT demo once json ascii seconds=N save=FILE "
     "help",
     "FILE"},
    {"bench", "pages",
     BENCH_OPTIONS " instructions rows=PATTERN iterations=N spike-bytes=BYTES spike-seconds=N", ""},
    {"bench", "malloc", BENCH_OPTIONS " row=PATTERN instructions story=restart programs", ""},
    {"bench", "slab", BENCH_OPTIONS " rows=PATTERN instructions", ""},
    {"bench", "blocks", BENCH_OPTIONS " rows=PATTERN instructions", ""},
    {"bench", "cache", BENCH_OPTIONS " rows=PATTERN minutes=N", ""},
    {"bench", "kv",
     BENCH_OPTIONS " rows=PATTERN instructions keys=N value-bytes=N compression=NAME "
                   "database=BYTES log=BYTES files=N directory=DIR",
     ""},
    {"bench", "resp", BENCH_OPTIONS " rows=PATTERN keys=N directory=DIR", ""},
    {"bench", "tsdb", BENCH_OPTIONS " rows=PATTERN directory=DIR", ""},
    {"bench", "promql", BENCH_OPTIONS " rows=PATTERN series=N directory=DIR", ""},
    {"bench", "stories", "json quick seconds=N scale=PERCENT folder=DIR help",
     "pauses|spikes|scaling|restart|blocks"},
    {"config", "show", "origin json " SERVE_OPTIONS, ""},
    {"config", "check", "", "FILE"},
    {"config", "password", "", ""},
    {"config", "generate", "nodes=LIST protocol=memcached|redis|http listen=ADDRESS",
     "nutcracker|haproxy|prometheus"},
    {"completion", NULL, "help", "bash|zsh|fish"},
    {"version", NULL, "help", ""},
    /* Options are in the verb's own table; what it takes is not told by words of its usage. */
    {"kv", "backup", NULL, "create|list|verify|prune DIR DIR"},
    {"tsdb", "export", NULL, "blocks|openmetrics FILE"},
    {"tsdb", "test", "json as-written quiet", "FILE..."},
};
#define PLACE_COUNT (sizeof places / sizeof places[0])

static const struct place *find_place(const char *command, const char *verb)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (strcmp(places[i].command, command) == 0 && places[i].verb != NULL &&
            strcmp(places[i].verb, verb) == 0) {
            return &places[i];
        }
    }
    return NULL;
}

/* ---- options and words of a verb ------------------------------------------------------------ */

/* What a word of a usage stands for, by what occurs in it: "[FILE]", "FILE|FOLDER...". */
static const char *kind_of(const char *word, size_t length)
{
    static const char *const kinds[][2] = {
        {"FILE", "FILE"}, {"PATH", "FILE"}, {"DIR", "DIR"},     {"SRC", "DIR"},
        {"DST", "DIR"},   {"DEST", "DIR"},  {"BACKUPS", "DIR"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (memmem(word, length, kinds[i][0], strlen(kinds[i][0])) != NULL) {
            return kinds[i][1];
        }
    }
    return "-";
}

static void write_usage(const char *usage, const char *space)
{
    for (const char *at = usage; *at != '\0';) {
        size_t length = strcspn(at, " ");
        bool repeats = memmem(at, length, "...", 3) != NULL;
        printf("%s%s%s", space, kind_of(at, length), repeats ? "..." : "");
        space = " ";
        at += length + strspn(at + length, " ");
    }
}

static void write_options(const struct cli_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = options[i].value != NULL ? options[i].value : "";
        bool is_optional = value[0] == '=';
        printf("%s%s%s%s ", options[i].name, is_optional ? "?" : "",
               value[0] != '\0' && !is_optional ? "=" : "", value);
    }
    fputs("help", stdout);
}

/* ---- places --------------------------------------------------------------------------------- */

static void begin_place(const struct completion_shell *shell, const char *command, const char *verb)
{
    printf("%s%s%s%s%s", shell->before_name, command, verb[0] != '\0' ? " " : "", verb,
           shell->before_options);
}

static void write_place(const struct completion_shell *shell, const struct place *place)
{
    begin_place(shell, place->command, place->verb != NULL ? place->verb : "");
    printf("%s%s%s%s", place->options, shell->before_words, place->words, shell->after_words);
}

static void write_kv(const struct completion_shell *shell)
{
    struct cli_option options[CLI_OPTIONS_MAX];

    for (size_t i = 0; i < kv_verb_count; i++) {
        const struct kv_verb *verb = &kv_verbs[i];
        const struct place *place = find_place("kv", verb->name);
        begin_place(shell, "kv", verb->name);
        write_options(options, kv_verb_options(verb, options));
        fputs(shell->before_words, stdout);
        fputs(verb->has_no_path ? "" : "STORE", stdout);
        if (place != NULL) {
            fputs(place->words, stdout);
        } else {
            write_usage(verb->usage, verb->has_no_path ? "" : " ");
        }
        fputs(shell->after_words, stdout);
    }
}

static void write_tsdb(const struct completion_shell *shell)
{
    struct cli_option options[CLI_OPTIONS_MAX];

    for (size_t i = 0; i < tsdb_verb_count; i++) {
        const struct tsdb_verb *verb = &tsdb_verbs[i];
        const struct place *place = find_place("tsdb", verb->name);
        if (verb->run_own != NULL) {
            Q_ASSERT(place != NULL && place->options != NULL);
            write_place(shell, place);
            continue;
        }
        begin_place(shell, "tsdb", verb->name);
        write_options(options, tsdb_verb_options(verb, options));
        fputs(shell->before_words, stdout);
        if (place != NULL) {
            fputs(place->words, stdout);
        } else {
            write_usage(verb->usage, "");
        }
        fputs(shell->after_words, stdout);
    }
}

static bool is_of_table(const char *command)
{
    return strcmp(command, "kv") != 0 && strcmp(command, "tsdb") != 0;
}

/* ---- what comes first ----------------------------------------------------------------------- */

static void write_commands(void)
{
    for (size_t i = 0; cli_command_at(i) != NULL; i++) {
        printf("%s%s", i > 0 ? "|" : "", cli_command_at(i)->name);
    }
}

static void write_verbs_of_table(const char *command)
{
    bool is_first = true;

    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (places[i].verb != NULL && strcmp(places[i].command, command) == 0) {
            printf("%s%s", is_first ? "" : "|", places[i].verb);
            is_first = false;
        }
    }
}

static void write_verbs(const char *command)
{
    if (is_of_table(command)) {
        write_verbs_of_table(command);
        return;
    }
    const bool is_kv = strcmp(command, "kv") == 0;
    const size_t count = is_kv ? kv_verb_count : tsdb_verb_count;
    for (size_t i = 0; i < count; i++) {
        printf("%s%s", i > 0 ? "|" : "", is_kv ? kv_verbs[i].name : tsdb_verbs[i].name);
    }
}

static bool has_own_place(const char *command)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (places[i].verb == NULL && strcmp(places[i].command, command) == 0) {
            return true;
        }
    }
    return false;
}

/* Of commands with verbs, and of `help`: what comes first is one of several. */
static void write_choices(const struct completion_shell *shell, const char *command)
{
    begin_place(shell, command, "");
    printf("help%s", shell->before_words);
    if (strcmp(command, "help") == 0) {
        write_commands();
    } else {
        write_verbs(command);
    }
    fputs(shell->after_words, stdout);
}

static void write_places(const struct completion_shell *shell)
{
    begin_place(shell, "", "");
    printf("help version%s", shell->before_words);
    write_commands();
    fputs(shell->after_words, stdout);
    for (size_t i = 0; cli_command_at(i) != NULL; i++) {
        if (!has_own_place(cli_command_at(i)->name)) {
            write_choices(shell, cli_command_at(i)->name);
        }
    }
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (is_of_table(places[i].command)) {
            write_place(shell, &places[i]);
        }
    }
    write_kv(shell);
    write_tsdb(shell);
}

void completion_write(const struct completion_shell *shell)
{
    const char *mark = strstr(shell->script, MARK);

    Q_ASSERT(mark != NULL);
    printf("%.*s", (int)(mark - shell->script), shell->script);
    write_places(shell);
    fputs(mark + strlen(MARK), stdout);
}
