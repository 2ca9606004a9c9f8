/*
 * `quarry check memory`: whether the ledger explains what the kernel says a process has.
 *
 *   --pid      the ledger, the kernel, the ledger again; judged here
 *   --server   the server does that to itself, and is asked for the figures; judged here too
 *
 * Locking: none; of one thread.
 */
#include <cli/check_memory.h>
#include <cli/cli.h>
#include <cli/doctor_server.h>
#include <cli/process.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define COMMAND     "check"
#define FAULT_BYTES 200u
/* Each waits 1.5 s; a process at rest looks every 2 s. */
#define REFRESH_TRIES 4u

static const char check_help[] =
    "usage: quarry check memory --pid PID [--json]\n"
    "       quarry check memory --server URL [--user NAME [--password-file FILE]] [--json]\n"
    "\n"
    "Puts what the heap's ledger has committed, owner by owner, beside what the kernel says is\n"
    "resident, and tells what is not explained. Program, libraries, files that are only read, the\n"
    "C library's heap, the first stack and page tables stand apart.\n"
    "\n"
    "  --json                one object on one line\n"
    "  --pid PID             a process under Quarry's malloc\n"
    "  --server URL          a server, at its HTTP door: http://HOST:PORT\n"
    "  --user NAME           logs in at the server\n"
    "  --password-file FILE  its first line is the password\n"
    "\n"
    "Exit status: 0 when the ledger explains 97 % or more of what it is to explain; 3 when not; 1\n"
    "when something failed; 2 for a wrong command line; 4 when there is no such process or "
    "server,\n"
    "or it may not be looked at; 75 when the server makes another report.\n";

struct check_options {
    const char *pid;
    struct doctor_server server; /* without URL: a process */
    bool is_json;
};

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_JSON = 256,
    OPTION_PID,
    OPTION_SERVER,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"pid", required_argument, NULL, OPTION_PID},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {NULL, 0, NULL, 0},
};

static void take_option(int code, struct check_options *options)
{
    switch (code) {
    case OPTION_JSON:
        options->is_json = true;
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

/* What makes sense together. */
static int check_together(int word_count, char **words, const struct check_options *options)
{
    const struct doctor_server *server = &options->server;

    if (word_count != 1 || strcmp(words[0], "memory") != 0) {
        return cli_usage_error(COMMAND, "there is one check: memory");
    }
    if ((options->pid == NULL) == (server->url == NULL)) {
        return cli_usage_error(COMMAND, "either --pid or --server is wanted");
    }
    if (server->url == NULL && (server->user != NULL || server->password_path != NULL)) {
        return cli_usage_error(COMMAND, "--user and --password-file go with --server");
    }
    if (server->password_path != NULL && server->user == NULL) {
        return cli_usage_error(COMMAND, "--password-file goes with --user");
    }
    return CLI_OK;
}

static int parse_options(int argument_count, char **arguments, struct check_options *options)
{
    int code;

    *options = (struct check_options){0};
    opterr = 0;
    while ((code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        if (code == '?') {
            return cli_usage_error(COMMAND, "there is no option '%s'", arguments[optind - 1]);
        }
        if (code == ':') {
            return cli_usage_error(COMMAND, "'%s' wants a value", arguments[optind - 1]);
        }
        take_option(code, options);
    }
    return check_together(argument_count - optind, arguments + optind, options);
}

/* ---- a process ------------------------------------------------------------------------------ */

static int kernel_said(uint32_t pid, enum quarry_status status)
{
    if (status == QUARRY_OK) {
        return CLI_OK;
    }
    (void)cli_failure(COMMAND, "the mappings of process %u %s", pid,
                      status == QUARRY_PERMISSION ? "may not be read" : "cannot be read");
    return status == QUARRY_IO ? CLI_FAILED : CLI_NO_CONNECTION;
}

/* Figures of now. A process at rest may need longer than one question waits. */
static int refresh(struct process *process)
{
    int code = process_refresh(process);

    for (uint32_t i = 1; code == CLI_OK && process->is_stale && i < REFRESH_TRIES; i++) {
        code = process_refresh(process);
    }
    return code == CLI_OK ? process_check_figures(process) : code;
}

/* Between two looks at the ledger, so that what changes meanwhile is seen. */
static int look_with(struct process *process, struct kernel_memory_files *files,
                     struct check_memory *check)
{
    int code = process_confine(COMMAND); /* before anything is read that the process wrote */

    if (code == CLI_OK) {
        code = refresh(process);
    }
    if (code == CLI_OK) {
        check->is_stale = process->is_stale;
        check->ledger_bytes = process->snapshot.totals->ledger.committed_bytes;
        code = kernel_said(process->pid, kernel_memory_read(files, &check->kernel));
    }
    if (code == CLI_OK) {
        code = refresh(process);
    }
    if (code == CLI_OK) {
        check->pid = process->pid;
        check->is_stale = check->is_stale || process->is_stale;
        check_memory_fill(&process->snapshot, check->ledger_bytes, check);
    }
    return code;
}

static int look_at_process(struct process *process, struct check_memory *check)
{
    struct kernel_memory_files files;
    int code = kernel_said(process->pid, kernel_memory_open(process->pid, &files));

    if (code == CLI_OK) {
        code = look_with(process, &files, check);
        kernel_memory_close(&files);
    }
    return code;
}

static int check_process(const char *pid, struct check_memory *check)
{
    struct process process;
    int code = process_open(COMMAND, pid, &process);

    if (code == CLI_OK) {
        code = look_at_process(&process, check);
        process_close(&process);
    }
    return code;
}

/* ---- a server ------------------------------------------------------------------------------- */

static int check_server(const struct doctor_server *server, struct check_memory *check)
{
    struct tsdb_http_answer answer;
    char fault[FAULT_BYTES] = "it has no figures";
    int code = doctor_server_fetch(COMMAND, server, "/api/v1/check/memory", &answer);

    if (code != CLI_OK) {
        return code;
    }
    struct json_value *document =
        answer.count == 0 ? NULL : json_read(answer.bytes, answer.count, fault, sizeof fault);
    if (document == NULL || !check_memory_read(document, check)) {
        code = cli_failure(COMMAND, "%s: no answer of a check: %s", server->url, fault);
    }
    json_read_free(document);
    tsdb_http_answer_free(&answer);
    return code;
}

/* ---- the round ------------------------------------------------------------------------------ */

static int run_check(int argument_count, char **arguments)
{
    static struct check_memory check; /* too large for a stack */
    struct check_options options;
    int code = parse_options(argument_count, arguments, &options);

    if (code == CLI_OK) {
        code = options.pid != NULL ? check_process(options.pid, &check)
                                   : check_server(&options.server, &check);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (options.is_json) {
        check_memory_print_json(&check);
    } else {
        check_memory_print_text(&check);
    }
    code = cli_finish_output(COMMAND);
    return code == CLI_OK && !check_memory_is_explained(&check) ? CLI_FOUND : code;
}

const struct cli_command cli_command_check = {
    .name = "check",
    .summary = "proves that the ledger explains what the kernel says is resident",
    .help = check_help,
    .run = run_check,
};
