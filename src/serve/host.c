/*
 * The machine.
 *
 * The budget is what memory.limit says, or nine tenths of what the kernel would let the process
 * have before it kills it: the tightest cgroup's limit, or RAM. The tenth is for what no budget
 * sees: page tables, socket buffers, and whatever else lives in the cgroup.
 *
 * What else of it may be in the way is the matter of checkup/.
 *
 * Locking: none. Cost: some files of /proc, once.
 */
#include <serve/host.h>

#include <stdio.h>
#include <sys/resource.h>

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

uint64_t serve_host_files_wanted(const struct serve_config *config)
{
    bool scrapes = serve_config_group_count(config, SERVE_SCRAPES) > 0;

    return serve_config_number(config, SERVE_NET_CONNECTIONS_MAX) + FILES_BESIDES +
           (scrapes ? FILES_OF_SCRAPES : 0);
}

uint64_t serve_host_raise_files(const struct serve_config *config)
{
    struct rlimit limit;
    uint64_t wanted = serve_host_files_wanted(config);

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
