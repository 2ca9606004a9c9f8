/*
 * Attaching to a process and getting figures of now.
 *
 *   /proc/PID/maps -> segment -> "please refresh" -> look until the refresh count has risen -> copy
 *
 * The process refreshes in its background thread, so an answer takes up to a second. A process
 * that is stopped, or dead, does not answer; its last figures are still worth a lot, and are shown
 * with their age.
 */
#include <cli/cli.h>
#include <cli/process.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <serve/serve.h>

#define ANSWER_WAIT_NS (1500 * Q_MS_NS)
#define ANSWER_LOOK_NS (20 * Q_MS_NS)
/* A process that is asked again and again is at most this far behind. */
#define STALE_NS (5 * Q_SECOND_NS)
/* The kernel's own limit is 2^22. */
#define PID_MAX    4194304u
#define PATH_BYTES 64
/* Of /proc/PID/stat, its number, name and state. */
#define STAT_BYTES 128

bool process_parse_pid(const char *text, uint32_t *ret_pid)
{
    uint32_t pid = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && pid <= PID_MAX; at++) {
        pid = pid * 10 + (uint32_t)(*at - '0');
    }
    if (at == text || *at != '\0' || pid == 0 || pid > PID_MAX) {
        return false;
    }
    *ret_pid = pid;
    return true;
}

/* ---- `quarry run` stands for what it runs --------------------------------------------------- */

static bool is_same_program(uint32_t pid)
{
    char path[PATH_BYTES], own[4096], other[4096];

    (void)snprintf(path, sizeof(path), "/proc/%u/exe", pid);
    ssize_t own_length = readlink("/proc/self/exe", own, sizeof(own));
    ssize_t other_length = readlink(path, other, sizeof(other));
    return own_length > 0 && own_length == other_length &&
           memcmp(own, other, (size_t)own_length) == 0;
}

/* A server has a child of its own, which makes its reports. */
static bool is_reporter(unsigned long pid)
{
    char path[PATH_BYTES], name[PATH_BYTES] = "";

    (void)snprintf(path, sizeof(path), "/proc/%lu/comm", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_ours =
        fgets(name, sizeof(name), file) != NULL && strcmp(name, SERVE_REPORTER_NAME "\n") == 0;
    (void)fclose(file);
    return is_ours;
}

/* The program that a `quarry run` runs, which is its only child; or `pid` itself. */
static uint32_t resolve_run(uint32_t pid)
{
    char path[PATH_BYTES], children[PATH_BYTES] = "", *end;

    if (!is_same_program(pid)) {
        return pid;
    }
    (void)snprintf(path, sizeof(path), "/proc/%u/task/%u/children", pid, pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return pid;
    }
    size_t length = fread(children, 1, sizeof(children) - 1, file);
    (void)fclose(file);
    children[length] = '\0';
    unsigned long child = strtoul(children, &end, 10);
    bool is_only = end > children && end[strspn(end, " \n")] == '\0';
    return is_only && child <= PID_MAX && !is_reporter(child) ? (uint32_t)child : pid;
}

/* ---- attaching ------------------------------------------------------------------------------ */

static int no_connection(const char *command, enum quarry_status status,
                         const struct quarry_error *error)
{
    (void)cli_failure(command, "%s", error->text);
    if (status == QUARRY_BAD_INPUT) {
        fputs("Start it with: quarry run -- COMMAND\n", stderr);
    } else if (status == QUARRY_PERMISSION) {
        fputs("Only the user that a process runs as, and root, may look at its heap.\n", stderr);
    }
    return CLI_NO_CONNECTION;
}

int process_open(const char *command, const char *pid_text, struct process *ret_process)
{
    struct quarry_error error = {0};
    struct process process = {.command = command};

    if (!process_parse_pid(pid_text, &process.pid)) {
        return cli_usage_error(command, "a process number is wanted, not '%s'", pid_text);
    }
    process.pid = resolve_run(process.pid);
    enum quarry_status status = mem_stats_attach(process.pid, &process.reader, &error);
    if (status != QUARRY_OK) {
        return no_connection(command, status, &error);
    }
    *ret_process = process;
    return CLI_OK;
}

int process_confine(const char *command)
{
    return serve_confine_report_files()
               ? CLI_OK
               : cli_failure(command, "the kernel does not confine what makes a report");
}

void process_close(struct process *process)
{
    mem_stats_detach(&process->reader);
}

/* A process that has ended and was not waited for has a number still, and nothing else. */
bool process_is_alive(const struct process *process)
{
    char path[PATH_BYTES], text[STAT_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%u/stat", process->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may have any characters in it */
    return name_end != NULL && strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0;
}

/* ---- figures of now ------------------------------------------------------------------------- */

static enum quarry_status look(struct process *process, struct quarry_error *error)
{
    struct mem_stats_snapshot snapshot;
    enum quarry_status status = mem_stats_snapshot(&process->reader, &snapshot, error);

    if (status == QUARRY_OK) {
        process->snapshot = snapshot;
        uint64_t now_ns = os_monotonic_ns(os_real());
        process->age_ns = sat_sub_u64(now_ns, snapshot.head->refresh_monotonic_ns);
        memcpy(process->title, snapshot.head->command, sizeof(process->title));
        (void)cli_make_printable(process->title);
    }
    return status;
}

int process_refresh(struct process *process)
{
    struct quarry_error error = {0};
    enum quarry_status status = look(process, &error);
    uint64_t last_count = status == QUARRY_OK ? process->snapshot.head->refresh_count : 0;
    uint64_t end_ns = os_monotonic_ns(os_real()) + ANSWER_WAIT_NS;

    process->is_stale =
        status != QUARRY_OK || mem_stats_ask_refresh(&process->reader, NULL) != QUARRY_OK;
    bool is_waiting = !process->is_stale;
    while (is_waiting) {
        os_sleep_ns(ANSWER_LOOK_NS);
        status = look(process, &error);
        process->is_stale =
            status == QUARRY_OK && process->snapshot.head->refresh_count == last_count;
        is_waiting =
            process->is_stale && process_is_alive(process) && os_monotonic_ns(os_real()) < end_ns;
    }
    return status == QUARRY_OK ? CLI_OK : cli_failure(process->command, "%s", error.text);
}

enum quarry_status process_look(struct process *process, struct quarry_error *error)
{
    enum quarry_status status = look(process, error);

    process->is_stale = process->age_ns > STALE_NS;
    /* Where it cannot be asked, the age of its figures says so. */
    (void)mem_stats_ask_refresh(&process->reader, NULL);
    return status;
}

int process_check_figures(const struct process *process)
{
    if (process->snapshot.is_refreshed) {
        return CLI_OK;
    }
    return cli_failure(process->command,
                       "process %u has published no figures yet, and does not answer",
                       process->pid);
}
