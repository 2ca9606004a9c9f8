/*
 * The machine.
 *
 * The budget is what memory.limit says, or nine tenths of what the kernel would let the process
 * have before it kills it: the tightest cgroup's limit, or RAM. The tenth is for what no budget
 * sees: page tables, socket buffers, and whatever else lives in the cgroup.
 *
 * Warnings are for what an operator can change and would want to know before the first bad night.
 * Each names the figure that was found and what to do. What is as it should be says nothing.
 *
 * Locking: none. Cost: some files of /proc, once.
 */
#include <serve/host.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <serve/log.h>

/* Of nobody's memory: where the machine says nothing. */
#define BUDGET_FALLBACK_BYTES Q_GIB(1)
/* File descriptors besides connections: listeners, events, the log, files of stores, libraries. */
#define FILES_BESIDES 128u
/* What is fetched at a time, and connections that are kept. */
#define FILES_OF_SCRAPES 512u

void serve_budget_choose(const struct serve_config *config, const struct os_machine *machine,
                         struct serve_budget *ret_budget)
{
    uint64_t asked = serve_config_number(config, SERVE_MEMORY_LIMIT), most = machine->ram_bytes;
    const char *whose = "RAM's";
    char text[SIZE_TEXT_BYTES];

    if (asked != 0) {
        ret_budget->bytes = size_align_down_u64(asked, 4096);
        snprintf(ret_budget->why, sizeof ret_budget->why, "%.90s",
                 serve_config_origin(config, SERVE_MEMORY_LIMIT));
        return;
    }
    if (machine->cgroup_limit_bytes != 0 && (most == 0 || machine->cgroup_limit_bytes < most)) {
        most = machine->cgroup_limit_bytes;
        whose = "the cgroup's";
    }
    if (most == 0) {
        *ret_budget = (struct serve_budget){.bytes = BUDGET_FALLBACK_BYTES,
                                            .why = "the machine does not say what it has"};
        return;
    }
    ret_budget->bytes = size_align_down_u64(most / 10 * 9, 4096);
    snprintf(ret_budget->why, sizeof ret_budget->why, "nine tenths of %s %s", whose,
             size_format(most, text));
}

static uint64_t files_wanted(const struct serve_config *config)
{
    bool scrapes = serve_config_group_count(config, SERVE_SCRAPES) > 0;

    return serve_config_number(config, SERVE_NET_CONNECTIONS_MAX) + FILES_BESIDES +
           (scrapes ? FILES_OF_SCRAPES : 0);
}

uint64_t serve_host_raise_files(const struct serve_config *config)
{
    struct rlimit limit;
    uint64_t wanted = files_wanted(config);

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = size_min_u64(wanted, limit.rlim_max),
                                .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return limit.rlim_cur;
}

/* ---- warnings ------------------------------------------------------------------------------- */

/* A number that a file of /proc or /sys begins with. Returns: false when it cannot be read. */
static bool read_number(const char *path, uint64_t *ret_number)
{
    char text[32] = {0};
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(text, sizeof text, file) != NULL && text[0] >= '0' && text[0] <= '9';
    (void)fclose(file);
    *ret_number = strtoull(text, NULL, 10);
    return is_read;
}

static void warn_of_memory(const struct os_machine *machine, const struct serve_budget *budget)
{
    uint64_t most = machine->ram_bytes;

    if (machine->cgroup_limit_bytes != 0 && (most == 0 || machine->cgroup_limit_bytes < most)) {
        most = machine->cgroup_limit_bytes;
    }
    if (most != 0 && budget->bytes > most / 20 * 19) {
        serve_log(SERVE_LOG_WARNING,
                  "memory.limit leaves less than a twentieth of what there is for all else: the "
                  "kernel may kill the server; lower it, or leave it at auto",
                  serve_log_bytes("limit_bytes", budget->bytes),
                  serve_log_bytes("there_is_bytes", most));
    }
}

static void warn_of_files(const struct serve_config *config, uint64_t file_limit)
{
    if (file_limit != 0 && file_limit < files_wanted(config)) {
        serve_log(SERVE_LOG_WARNING,
                  "fewer files may be open than net.connections_max needs: raise the limit "
                  "(LimitNOFILE of the unit, ulimit -n), or lower the setting",
                  serve_log_count("limit", file_limit),
                  serve_log_count("needed", files_wanted(config)));
    }
}

static void warn_of_backlog(const struct serve_config *config)
{
    uint64_t most = 0, wanted = serve_config_number(config, SERVE_NET_BACKLOG);

    if (read_number("/proc/sys/net/core/somaxconn", &most) && most < wanted) {
        serve_log(SERVE_LOG_WARNING,
                  "the kernel cuts net.backlog: raise net.core.somaxconn (sysctl), or lower it",
                  serve_log_count("somaxconn", most), serve_log_count("backlog", wanted));
    }
}

static void warn_of_user(void)
{
    if (geteuid() == 0) {
        serve_log(SERVE_LOG_WARNING,
                  "runs as root, which it has no need of: start it as a user of its own");
    }
}

void serve_host_warn(const struct serve_config *config, const struct os_machine *machine,
                     const struct serve_budget *budget, uint64_t file_limit)
{
    warn_of_memory(machine, budget);
    warn_of_files(config, file_limit);
    warn_of_backlog(config);
    warn_of_user();
}
