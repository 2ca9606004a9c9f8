/*
 * `quarry doctor PID`: what holds memory, why, and what to change, in words.
 *
 *   one look     doctor_examine on the figures of now
 *   --watch      two looks, two seconds apart: what grows is seen too
 *   --server     no look of ours: a server examines itself and is asked what it found
 *
 * Findings come by bytes, most first, each as its number, its sentences and an arrow with the
 * advice.
 */
#include <cli/cli.h>
#include <cli/doctor.h>
#include <cli/doctor_machine.h>
#include <cli/doctor_server.h>
#include <cli/doctor_text.h>
#include <cli/heap_json.h>
#include <cli/heap_text.h>
#include <cli/process.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define WATCH_NS         (2 * Q_SECOND_NS)
#define STACK_FRAMES_MAX 6u

static const char doctor_help[] =
    "usage: quarry doctor PID [--watch] [--heap] [--json]\n"
    "       quarry doctor --server URL [--user NAME [--password-file FILE]] [--json]\n"
    "\n"
    "Says what holds memory in a process under Quarry's malloc, why, and what to change: "
    "fragmentation\n"
    "and who pins it, caches, free memory on its way back, rounding, the limit, the peak; and what "
    "of\n"
    "the machine is in its way. Of a server, its doors and stores too.\n"
    "\n"
    "  --watch               looks twice, two seconds apart, and names what grows\n"
    "  --heap                the heap alone, and not the machine\n"
    "  --json                one object on one line\n"
    "  --pid PID             the same as PID alone\n"
    "  --server URL          asks a server what it finds in itself: http://HOST:PORT\n"
    "  --user NAME           logs in at the server\n"
    "  --password-file FILE  its first line is the password\n"
    "\n"
    "Heaps under 5 MiB are too small to judge.\n"
    "\n"
    "Exit status: 0 when there is nothing to change; 3 when there is a warning or worse; 1 when\n"
    "something failed; 2 for a wrong command line; 4 when there is no such process or server, the\n"
    "process does not run under Quarry, or it may not be looked at; 75 when the server makes "
    "another\n"
    "report.\n";

struct doctor_options {
    const char *pid;
    struct doctor_server server; /* without URL: a process is looked at */
    bool is_json, is_watching, is_heap_alone;
};

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_JSON = 256,
    OPTION_WATCH,
    OPTION_HEAP,
    OPTION_PID,
    OPTION_SERVER,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"watch", no_argument, NULL, OPTION_WATCH},
    {"heap", no_argument, NULL, OPTION_HEAP},
    {"pid", required_argument, NULL, OPTION_PID},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {NULL, 0, NULL, 0},
};

static void take_option(int code, struct doctor_options *options)
{
    switch (code) {
    case OPTION_JSON:
        options->is_json = true;
        break;
    case OPTION_WATCH:
        options->is_watching = true;
        break;
    case OPTION_HEAP:
        options->is_heap_alone = true;
        break;
    case OPTION_PID:
        options->pid = optarg;
        break;
    case OPTION_SERVER:
        options->server.url = optarg;
        break;
    case OPTION_USER:
        options->server.user = optarg;
        break;
    default:
        options->server.password_path = optarg;
        break;
    }
}

/* Of a server: what makes sense together. `has_process`: one was named too. */
static int check_server(const struct doctor_options *options, bool has_process)
{
    const struct doctor_server *server = &options->server;

    if (server->url == NULL && (server->user != NULL || server->password_path != NULL)) {
        return cli_usage_error("doctor", "--user and --password-file go with --server");
    }
    if (server->url != NULL && has_process) {
        return cli_usage_error("doctor", "either a process or a server");
    }
    if (server->url != NULL && (options->is_watching || options->is_heap_alone)) {
        return cli_usage_error("doctor", "--watch and --heap go with a process");
    }
    if (server->password_path != NULL && server->user == NULL) {
        return cli_usage_error("doctor", "--password-file goes with --user");
    }
    return CLI_OK;
}

static int take_process(int word_count, char **words, struct doctor_options *options)
{
    const int count = word_count + (options->pid != NULL ? 1 : 0);

    if (options->server.url == NULL && count != 1) {
        return cli_usage_error("doctor", count == 0 ? "a process number is missing"
                                                    : "one process at a time");
    }
    if (word_count > 0) {
        options->pid = words[0];
    }
    options->server.is_json = options->is_json;
    return check_server(options, count > 0);
}

static int parse_options(int argument_count, char **arguments, struct doctor_options *options)
{
    int code;

    *options = (struct doctor_options){0};
    opterr = 0;
    while ((code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        if (code == '?') {
            return cli_usage_error("doctor", "there is no option '%s'", arguments[optind - 1]);
        }
        if (code == ':') {
            return cli_usage_error("doctor", "'%s' wants a value", arguments[optind - 1]);
        }
        take_option(code, options);
    }
    return take_process(argument_count - optind, arguments + optind, options);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_text(const struct process *process, struct symbols *symbols,
                       const struct doctor_report *report, const struct checkup_report *machine)
{
    const struct figures figures = figures_of(&process->snapshot);
    char committed[SIZE_TEXT_BYTES], objects[SIZE_TEXT_BYTES], bytes[SIZE_TEXT_BYTES];

    printf("process %u: %s\n", process->pid, process->title);
    printf("%s committed, %s of it live objects", size_format(figures.committed_bytes, committed),
           size_format(figures.object_bytes, objects));
    if (process->is_stale) {
        printf("; figures are %.1f s old", (double)process->age_ns / (double)Q_SECOND_NS);
    }
    putchar('\n');
    if (report->is_too_small) {
        printf("\nToo small to judge: from %s on there is something to say.\n",
               size_format(DOCTOR_SMALL_BYTES, bytes));
    } else if (report->count + machine->count == 0) {
        puts("\nNothing is wrong.");
    }
    for (uint32_t i = 0; i < report->count; i++) {
        const struct doctor_finding *finding = &report->finding[i];
        doctor_text_finding(i + 1, doctor_severity_names[finding->severity], finding->cause,
                            finding->bytes, finding->text, finding->advice);
        if (finding->stack != DOCTOR_NO_STACK) {
            heap_text_frames(stdout, symbols, &process->snapshot.stacks[finding->stack], "      ",
                             STACK_FRAMES_MAX);
        }
    }
    doctor_machine_print(machine, report->count);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_finding(struct json *json, const struct process *process, struct symbols *symbols,
                        const struct doctor_finding *finding)
{
    json_object(json, NULL);
    json_string(json, "cause", finding->cause);
    json_string(json, "part", "heap");
    json_string(json, "severity", doctor_severity_names[finding->severity]);
    json_u64(json, "bytes", finding->bytes);
    json_string(json, "text", finding->text);
    json_string(json, "advice", finding->advice);
    if (finding->stack != DOCTOR_NO_STACK) {
        heap_json_frames(json, symbols, &process->snapshot.stacks[finding->stack]);
    }
    json_object_end(json);
}

static void print_json(const struct process *process, struct symbols *symbols,
                       const struct doctor_report *report, const struct checkup_report *machine)
{
    const struct figures figures = figures_of(&process->snapshot);
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_string(&json, "view", "doctor");
    json_u64(&json, "pid", process->pid);
    json_string(&json, "command", process->snapshot.head->command);
    json_u64(&json, "committed_bytes", figures.committed_bytes);
    json_u64(&json, "object_bytes", figures.object_bytes);
    json_u64(&json, "figures_age_ns", process->age_ns);
    json_bool(&json, "is_stale", process->is_stale);
    json_bool(&json, "is_too_small", report->is_too_small);
    json_array(&json, "findings");
    for (uint32_t i = 0; i < report->count; i++) {
        put_finding(&json, process, symbols, &report->finding[i]);
    }
    doctor_machine_put(&json, machine);
    json_array_end(&json);
    json_object_end(&json);
    json_finish(&json);
}

/* ---- the round ------------------------------------------------------------------------------ */

static int exit_code_of(const struct doctor_report *report, const struct checkup_report *machine)
{
    bool has_warning = doctor_machine_has_warning(machine);

    for (uint32_t i = 0; i < report->count; i++) {
        has_warning = has_warning || report->finding[i].severity >= DOCTOR_WARNING;
    }
    return has_warning ? CLI_FOUND : CLI_OK;
}

static int examine(const struct doctor_options *options, const struct process *process,
                   const struct doctor_before *before)
{
    static struct doctor_report report; /* too large for a stack, both */
    static struct checkup_report machine;
    struct symbols *symbols;

    if (symbols_create(&process->snapshot, process->pid, &symbols) != QUARRY_OK) {
        return cli_failure("doctor", "no memory for symbols");
    }
    doctor_examine(process, symbols, before, &report);
    if (!options->is_heap_alone) {
        doctor_machine_examine(process->pid, &machine);
    }
    if (options->is_json) {
        print_json(process, symbols, &report, &machine);
    } else {
        print_text(process, symbols, &report, &machine);
    }
    symbols_destroy(symbols);
    int code = cli_finish_output("doctor");
    return code == CLI_OK ? exit_code_of(&report, &machine) : code;
}

static int watch(const struct doctor_options *options, struct process *process)
{
    struct doctor_before before;

    if (doctor_before_init(&before, &process->snapshot) != QUARRY_OK) {
        return cli_failure("doctor", "no memory for a second look");
    }
    os_sleep_ns(WATCH_NS);
    int code = process_refresh(process);
    if (code == CLI_OK) {
        code = examine(options, process, &before);
    }
    doctor_before_fini(&before);
    return code;
}

static int run_doctor(int argument_count, char **arguments)
{
    struct doctor_options options;
    struct process process;
    int code = parse_options(argument_count, arguments, &options);

    if (code == CLI_OK && options.server.url != NULL) {
        return doctor_server_ask(&options.server);
    }
    if (code == CLI_OK) {
        code = process_open("doctor", options.pid, &process);
    }
    if (code != CLI_OK) {
        return code;
    }
    code = process_confine("doctor");
    if (code == CLI_OK) {
        code = process_refresh(&process);
    }
    if (code == CLI_OK) {
        code = process_check_figures(&process);
    }
    if (code == CLI_OK) {
        code = options.is_watching ? watch(&options, &process) : examine(&options, &process, NULL);
    }
    process_close(&process);
    return code;
}

const struct cli_command cli_command_doctor = {
    .name = "doctor",
    .summary = "says what holds a process' or a server's memory, why, and what to change",
    .help = doctor_help,
    .run = run_doctor,
};
