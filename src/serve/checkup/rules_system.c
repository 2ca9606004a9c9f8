/*
 * What the machine stands in the way of.
 *
 *   root, files, backlog    what a server needs and was not given
 *   budget, cgroup          the kernel would end the process before the budget refuses anything
 *   overcommit, huge-pages  how the kernel counts and backs memory
 *   swap, clock, cpu-quota  what makes single requests slow
 *
 * Each is something that an administrator changes; what the kernel was asked for is in the advice.
 */
#include <serve/checkup/rules.h>

#include <inttypes.h>
#include <string.h>

/* The kernel's own, of page tables, socket buffers and what else is in the cgroup. */
#define BUDGET_PART 0.95
#define CGROUP_PART 0.95
#define FILES_PART  0.90
#define SWAP_BYTES  Q_MIB(1)
#define MILLI       1000u

/* What there is for the process: the cgroup's limit, or RAM. 0: not known. */
static uint64_t most_bytes(const struct checkup_host *host)
{
    bool is_tighter = host->cgroup_limit_bytes != 0 &&
                      (host->ram_bytes == 0 || host->cgroup_limit_bytes < host->ram_bytes);

    return is_tighter ? host->cgroup_limit_bytes : host->ram_bytes;
}

static enum checkup_severity budget_is_all(const struct checkup_facts *facts,
                                           struct checkup_finding *finding)
{
    uint64_t most = most_bytes(&facts->now->host), budget = facts->now->wanted.budget_bytes;
    char budget_text[SIZE_TEXT_BYTES], most_text[SIZE_TEXT_BYTES];

    if (most == 0 || checkup_part_of(budget, most) <= BUDGET_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, budget, "memory.limit is %s of the %s that the process may have.",
                size_format(budget, budget_text), size_format(most, most_text));
    return CHECKUP_WARNING;
}

/* What the cgroup has in all is no figure for this: the kernel fills it with files, and gives them
 * up first. */
static enum checkup_severity cgroup_is_full(const struct checkup_facts *facts,
                                            struct checkup_finding *finding)
{
    const struct checkup_host *host = &facts->now->host;
    char resident[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES];

    if (checkup_part_of(host->resident_bytes, host->cgroup_limit_bytes) < CGROUP_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(
        finding, host->resident_bytes, "%s of the process are resident, of the cgroup's %s.",
        size_format(host->resident_bytes, resident), size_format(host->cgroup_limit_bytes, limit));
    return CHECKUP_WARNING;
}

static enum checkup_severity overcommit_is_strict(const struct checkup_facts *facts,
                                                  struct checkup_finding *finding)
{
    const struct checkup_host *host = &facts->now->host;
    uint64_t left = sat_sub_u64(host->commit_limit_bytes, host->commit_used_bytes);
    uint64_t wanted =
        sat_sub_u64(facts->now->wanted.budget_bytes, facts->now->server.committed_bytes);
    char left_text[SIZE_TEXT_BYTES], wanted_text[SIZE_TEXT_BYTES];

    if (host->overcommit_mode != 2 || host->commit_limit_bytes == 0 || left >= wanted) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, wanted - left,
                "vm.overcommit_memory is 2: %s may still be committed on this machine, and %s are "
                "left of memory.limit.",
                size_format(left, left_text), size_format(wanted, wanted_text));
    return CHECKUP_WARNING;
}

static enum checkup_severity huge_pages_are_forced(const struct checkup_facts *facts,
                                                   struct checkup_finding *finding)
{
    if (facts->now->host.huge_pages != CHECKUP_HUGE_ALWAYS) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "Transparent huge pages are 'always'.");
    return CHECKUP_NOTE;
}

static enum checkup_severity files_are_few(const struct checkup_facts *facts,
                                           struct checkup_finding *finding)
{
    const struct checkup_host *host = &facts->now->host;
    uint64_t wanted = facts->now->wanted.files;
    bool is_near = checkup_part_of(host->file_count, host->file_limit) >= FILES_PART;

    if (host->file_limit == 0 || (host->file_limit >= wanted && !is_near)) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "%" PRIu64 " files may be open, %" PRIu64 " are, and %" PRIu64
                " may have to be: net.connections_max and some.",
                host->file_limit, host->file_count, wanted);
    return is_near ? CHECKUP_CRITICAL : CHECKUP_WARNING;
}

static enum checkup_severity backlog_is_cut(const struct checkup_facts *facts,
                                            struct checkup_finding *finding)
{
    uint64_t most = facts->now->host.somaxconn, wanted = facts->now->wanted.backlog;

    if (most == 0 || most >= wanted) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "The kernel cuts net.backlog, %" PRIu64 ", to %" PRIu64 ".", wanted,
                most);
    return CHECKUP_WARNING;
}

static enum checkup_severity is_swapped(const struct checkup_facts *facts,
                                        struct checkup_finding *finding)
{
    uint64_t bytes = facts->now->host.swapped_bytes;
    char text[SIZE_TEXT_BYTES];

    if (bytes < SWAP_BYTES) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, bytes, "%s of the process are swapped out.", size_format(bytes, text));
    return CHECKUP_WARNING;
}

static enum checkup_severity clock_is_slow(const struct checkup_facts *facts,
                                           struct checkup_finding *finding)
{
    static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"};
    const char *clock = facts->now->host.clock;

    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        if (strcmp(clock, slow[i]) == 0) {
            checkup_say(finding, 0, "The kernel's clock source is '%s'.", clock);
            return CHECKUP_WARNING;
        }
    }
    return CHECKUP_FINE;
}

static enum checkup_severity quota_is_below_threads(const struct checkup_facts *facts,
                                                    struct checkup_finding *finding)
{
    uint64_t quota = facts->now->host.cpu_quota_milli, threads = facts->now->wanted.threads;

    if (quota == 0 || threads <= 1 || quota >= threads * MILLI) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "The cgroup gives %" PRIu64 ".%02" PRIu64 " CPUs to %" PRIu64 " loops.",
                quota / MILLI, quota % MILLI / 10, threads);
    return CHECKUP_NOTE;
}

static enum checkup_severity is_root(const struct checkup_facts *facts,
                                     struct checkup_finding *finding)
{
    if (!facts->now->host.is_root) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0, "The process runs as root.");
    return CHECKUP_WARNING;
}

const struct checkup_rule checkup_rules_system[] = {
    {"budget-of-machine", budget_is_all,
     "That leaves less than a twentieth for page tables, sockets and all else: the kernel may kill "
     "the server.",
     "Lower memory.limit, or leave it at auto: nine tenths of what there is."},
    {"cgroup-limit", cgroup_is_full,
     "At the limit the kernel takes back what it can, and then kills.",
     "Lower memory.limit, move other processes out of the cgroup, or raise its memory.max "
     "(MemoryMax of the unit)."},
    {"overcommit", overcommit_is_strict,
     "Allocations will fail before the budget is used, as if it were smaller.",
     "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio; or lower memory.limit."},
    {"huge-pages", huge_pages_are_forced,
     "The kernel may back 2 MiB at the first touch of a page, more than the budget has charged; "
     "the heap asks for huge pages itself where they pay.",
     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
    {"files", files_are_few, "Without a file descriptor no connection is accepted.",
     "Raise the limit (LimitNOFILE of the unit, ulimit -n), or lower net.connections_max."},
    {"backlog", backlog_is_cut, "When many connect at once, some are refused or wait for seconds.",
     "sysctl net.core.somaxconn, or lower net.backlog."},
    {"swap", is_swapped, "A request that touches it waits for the disk.",
     "swapoff -a, MemorySwapMax=0 in the unit, or a lower memory.limit."},
    {"clock", clock_is_slow,
     "Each look at the clock is a slow system call, and each request has some.",
     "Choose tsc: echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"},
    {"cpu-quota", quota_is_below_threads,
     "Once the quota is used up all loops stand still to the end of its period, up to 100 ms.",
     "Lower server.threads, or raise the quota (CPUQuota of the unit)."},
    {"root", is_root,
     "It has no need of that, and a fault in it would be one of the whole machine.",
     "Start it as a user of its own (User= of the unit)."},
    {0},
};
