/*
 * `quarry memcached`: the server, by memcached's command line. Options become settings in
 * memcached_options.c; here they are run, and said what is said of them.
 *
 * `-h` and `-V` have the shape of memcached's, because test harnesses look in them for what a
 * server can do: "sasl", "enable-ssl", "unix-socket" are there; what Quarry has not (storage on
 * disks, a proxy) is not.
 */
#include <cli/cli.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cli/memcached_options.h>
#include <cli/memcached_process.h>

#define VERSION_LINE "memcached " MEMCACHED_LIKE " (Quarry " QUARRY_VERSION ")\n"

static const char memcached_help[] = VERSION_LINE
    "usage: quarry memcached [OPTION...]\n"
    "\n"
    "Serves as memcached does, by memcached's own options; docs/memcached.md says what each does\n"
    "here. A link to quarry that is called memcached does the same.\n"
    "\n"
    "-p, --port=<num>          TCP port (default: 11211); -1: one that is free; 0: none\n"
    "-U, --udp-port=<num>      accepted; there is no UDP\n"
    "-s, --unix-socket=<file>  unix socket instead of TCP\n"
    "-a, --unix-mask=<mask>    who may use it, in octal (default: 700)\n"
    "-A, --enable-shutdown     allows the command \"shutdown\"\n"
    "-l, --listen=<addr>       addresses, with commas between: <addr>[:<port>] (default: "
    "127.0.0.1);\n"
    "                          with -Z, notls:<addr> is not encrypted\n"
    "-d, --daemon              goes to the background when it serves\n"
    "-r, --enable-coredumps    raises the limit of core files\n"
    "-u, --user=<user>         becomes that user (as root only)\n"
    "-m, --memory-limit=<num>  memory for items, their index and all, in MiB (default: 64)\n"
    "-M, --disable-evictions   a full cache refuses instead of evicting\n"
    "-c, --conn-limit=<num>    connections at a time (default: 1024)\n"
    "-k, --lock-memory         accepted; memory is not locked\n"
    "-v, --verbose             says what it does; -vv says more\n"
    "-h, --help                says this\n"
    "-i, --license             says the licence\n"
    "-V, --version             says the version\n"
    "-P, --pidfile=<file>      writes the number of the process to a file\n"
    "-f, --slab-growth-factor=<num> accepted; classes of sizes are fixed\n"
    "-n, --slab-min-size=<bytes> accepted\n"
    "-L, --enable-largepages   accepted; huge pages are used anyway\n"
    "-D <char>                 counts what is done by prefixes of keys, which end with ':'\n"
    "-t, --threads=<num>       threads that serve (default: 4)\n"
    "-R, --max-reqs-per-event  accepted; a connection has its share by time\n"
    "-C, --disable-cas         accepted; items have their cas all the same\n"
    "-b, --listen-backlog=<num> connections that wait to be accepted (default: 1024)\n"
    "-B, --protocol=<name>     ascii, binary or auto (default: auto); each connection chooses\n"
    "-I, --max-item-size=<num> the largest item, with k, m or g (default: 1m, min: 1k, max: "
    "1024m)\n"
    "-S, --enable-sasl         asks for a login by SASL; users are in the file that -Y or\n"
    "                          MEMCACHED_SASL_PWDB names\n"
    "-F, --disable-flush-all   refuses the command flush_all\n"
    "-X, --disable-dumping     refuses stats cachedump and lru_crawler metadump\n"
    "-W, --disable-watch       refuses the command watch\n"
    "-Y, --auth-file=<file>    asks for a login; lines of user:password\n"
    "-e, --memory-file=<file>  items outlive the process, in the folder <file>.quarry; SIGUSR1 "
    "ends\n"
    "                          it in order, as SIGTERM does\n"
    "-Z, --enable-ssl          TLS\n"
    "-N, --napi-ids            accepted\n"
    "-o, --extended            more, with commas between:\n"
    "   - idle_timeout:        seconds until an idle connection is closed (default: 0, never)\n"
    "   - ssl_chain_cert:      certificate with those that signed it, PEM\n"
    "   - ssl_key:             its key, PEM\n"
    "   - ssl_verify_mode:     clients' certificates: 0 none, 1 optional, 2 and 3 required\n"
    "   - ssl_ca_cert:         who signs clients' certificates, PEM\n"
    "   - ssl_ciphers:         of TLS 1.2, in OpenSSL's words\n"
    "   - ssl_min_version:     2 for TLS 1.2 (default), 3 for TLS 1.3\n"
    "   - ssl_session_cache:   keeps sessions in the server\n"
    "   - ssl_kernel_tls:      has the kernel encrypt where it can\n"
    "   others of memcached's are accepted, and listed with -v\n"
    "--set=<section.key=value> any setting of 'quarry config show'\n";

static const char license_text[] = VERSION_LINE
    "\n"
    "Quarry is under the Apache License, version 2.0: http://www.apache.org/licenses/LICENSE-2.0\n"
    "No code of memcached's is in it. It uses libevent, OpenSSL, inih and libxcrypt, each under "
    "its\n"
    "own licence.\n";

/* What is told when the server serves. */
struct running {
    const struct memcached_options *options;
    struct memcached_daemon daemon;
};

static int print(const char *text)
{
    fputs(text, stdout);
    return cli_finish_output("memcached");
}

static void print_notes(const struct memcached_options *options)
{
    for (uint32_t i = 0; i < options->note_count; i++) {
        const struct memcached_note *note = &options->notes[i];
        if (note->is_warning || options->verbosity > 0) {
            fprintf(stderr, "%s%s\n", note->is_warning ? "WARNING: " : "", note->text);
        }
    }
}

static void ready(void *argument, struct serve_listener *const *listeners, uint32_t count)
{
    struct running *running = argument;

    if (running->options->pid_path != NULL) {
        (void)memcached_write_pid(running->options->pid_path);
    }
    (void)memcached_write_ports(listeners, count);
    memcached_daemon_ready(&running->daemon);
}

static void tell(void *argument, const char *text)
{
    (void)argument;
    fprintf(stderr, "%s\n", text);
}

/* Returns: an exit code; what is wrong has been said. */
static int load(const struct memcached_options *options, struct serve_config **ret_config)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        serve_config_load(&options->sources, tell, NULL, ret_config, &error);

    if (status != QUARRY_OK) {
        return MEMCACHED_EXIT_USAGE;
    }
    if (options->needs_users && !serve_config_has_users(*ret_config)) {
        fputs(
            "Error initializing sasl: there are no users. Name a file of lines user:password with "
            "-Y, or in MEMCACHED_SASL_PWDB\n",
            stderr);
        serve_config_destroy(*ret_config);
        return 1;
    }
    return 0;
}

static int serve(struct running *running, struct serve_config *config)
{
    const struct memcached_options *options = running->options;
    struct quarry_error error = {0};
    const struct serve_server_options server = {
        .version = QUARRY_VERSION,
        .sources = &options->sources,
        .config = config,
        .ready = ready,
        .argument = running,
        .ends_by_usr1 = options->is_restartable,
        .written_paths = {options->pid_path, memcached_ports_path()},
    };
    enum quarry_status status = serve_server_run(&server, &error);

    if (options->pid_path != NULL && status == QUARRY_OK) {
        (void)unlink(options->pid_path);
    }
    if (status != QUARRY_OK) {
        fprintf(stderr, "%s\n", error.text);
        return MEMCACHED_EXIT_OS;
    }
    if (options->verbosity > 0) {
        fputs("Exiting normally\n", stderr);
    }
    return CLI_OK;
}

/* Each step may be the last. */
static int prepare(struct running *running)
{
    const struct memcached_options *options = running->options;
    int code = options->raises_core_limit ? memcached_raise_core_limit() : 0;

    if (code == 0 && options->is_daemon) {
        code = memcached_daemon_begin(options->verbosity > 0, &running->daemon);
    }
    if (code == 0 && options->user != NULL) {
        code = memcached_become(options->user);
    }
    return code;
}

static int run_memcached(int argument_count, char **arguments)
{
    static struct memcached_options options; /* large, and one */
    struct running running = {.options = &options, .daemon = {.ready_fd = -1}};
    struct serve_config *config = NULL;
    int code = memcached_options_parse(argument_count, arguments, environ, &options);

    if (code != 0) {
        fprintf(stderr, "%s\n", options.error);
        return code;
    }
    switch (options.task) {
    case MEMCACHED_HELP:
        return print(memcached_help);
    case MEMCACHED_VERSION:
        return print(VERSION_LINE);
    case MEMCACHED_LICENSE:
        return print(license_text);
    case MEMCACHED_SERVE:
        break;
    }
    print_notes(&options);
    code = prepare(&running);
    code = code == 0 ? load(&options, &config) : code;
    return code == 0 ? serve(&running, config) : code;
}

const struct cli_command cli_command_memcached = {
    .name = "memcached",
    .summary = "serves as memcached does, by memcached's own command line",
    .help = memcached_help,
    .run = run_memcached,
};
