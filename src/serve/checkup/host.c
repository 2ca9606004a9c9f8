/*
 * What the machine gives a process, from /proc and /sys.
 *
 *   ram, cgroup, CPUs         os_machine_read
 *   overcommit                /proc/sys/vm/overcommit_memory; CommitLimit, Committed_AS of meminfo
 *   huge pages                /sys/kernel/mm/transparent_hugepage/enabled: the word in brackets
 *   files                     /proc/PID/limits, the names in /proc/PID/fd
 *   resident, swapped, root   /proc/PID/status: RssAnon, RssShmem, VmSwap, Uid (the effective one)
 *   backlog, clock            /proc/sys/net/core/somaxconn, current_clocksource
 *
 * A container may hide any of them: what cannot be read is not known, and no rule speaks of it.
 * A process other than this one has the limits of its own; the machine's are the same.
 *
 * Locking: none. Cost: ten small files, and a folder with a name for each open file.
 */
#include <serve/checkup/checkup.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#define PATH_BYTES 512u
#define LINE_BYTES 512u

/* Where files are looked for: under a root, and those of a process in its folder. */
struct place {
    const char *root;
    char process[32]; /* "/proc/self", "/proc/123" */
};

static FILE *open_file(const char *root, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s%s", root, folder, name);

    return length < 0 || (size_t)length >= sizeof path ? NULL : fopen(path, "re");
}

/* A file's first line without its end; "" when there is none. Returns: `ret_line`. */
static char *read_line(const char *root, const char *path, char ret_line[LINE_BYTES])
{
    FILE *file = open_file(root, "", path);

    ret_line[0] = '\0';
    if (file != NULL) {
        if (fgets(ret_line, (int)LINE_BYTES, file) == NULL) {
            ret_line[0] = '\0';
        }
        (void)fclose(file);
        ret_line[strcspn(ret_line, "\n")] = '\0';
    }
    return ret_line;
}

static uint64_t read_number(const char *root, const char *path)
{
    char line[LINE_BYTES];

    return strtoull(read_line(root, path, line), NULL, 10);
}

/* A number on the line that begins with `name`, after `skipped` words. 0: there is none. */
static uint64_t read_field(const char *root, const char *folder, const char *file_name,
                           const char *name, uint32_t skipped)
{
    FILE *file = open_file(root, folder, file_name);
    char line[LINE_BYTES];
    uint64_t number = 0;

    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            const char *at = line + strlen(name);
            for (uint32_t i = 0; i < skipped; i++) {
                at += strspn(at, " \t");
                at += strcspn(at, " \t");
            }
            at += strspn(at, " \t");
            number = strncmp(at, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(at, NULL, 10);
            break;
        }
    }
    (void)fclose(file);
    return number;
}

/* Of a name in kibibytes. */
static uint64_t read_kib(const char *root, const char *folder, const char *file_name,
                         const char *name)
{
    return sat_mul_u64(read_field(root, folder, file_name, name, 0), 1024);
}

static uint64_t count_files(const struct place *place)
{
    char path[PATH_BYTES];
    uint64_t count = 0;
    int length = snprintf(path, sizeof path, "%s%s/fd", place->root, place->process);
    DIR *folder = length < 0 || (size_t)length >= sizeof path ? NULL : opendir(path);

    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(folder);
    return count;
}

/* "always [madvise] never": the word in brackets. */
static enum checkup_huge_pages read_huge_pages(const char *root)
{
    char line[LINE_BYTES];
    const char *chosen =
        strchr(read_line(root, "/sys/kernel/mm/transparent_hugepage/enabled", line), '[');

    if (chosen == NULL) {
        return CHECKUP_HUGE_UNKNOWN;
    }
    return strncmp(chosen, "[always]", 8) == 0    ? CHECKUP_HUGE_ALWAYS
           : strncmp(chosen, "[madvise]", 9) == 0 ? CHECKUP_HUGE_ADVISED
                                                  : CHECKUP_HUGE_NEVER;
}

/* Uid: real, effective, saved and of files. A process without the line is not known to be root. */
static bool read_is_root(const struct place *place)
{
    return read_field(place->root, place->process, "/status", "Pid:", 0) != 0 &&
           read_field(place->root, place->process, "/status", "Uid:", 1) == 0;
}

static void read_machine(const char *root, struct checkup_host *host)
{
    char line[LINE_BYTES];
    struct os_machine machine;

    os_machine_read(root, &machine);
    host->ram_bytes = machine.ram_bytes;
    host->cgroup_limit_bytes = machine.cgroup_limit_bytes;
    host->cpu_count = machine.cpu_count;
    host->cpu_quota_milli = machine.cpu_quota_milli;
    host->overcommit_mode = read_number(root, "/proc/sys/vm/overcommit_memory");
    host->commit_limit_bytes = read_kib(root, "", "/proc/meminfo", "CommitLimit:");
    host->commit_used_bytes = read_kib(root, "", "/proc/meminfo", "Committed_AS:");
    host->somaxconn = read_number(root, "/proc/sys/net/core/somaxconn");
    host->huge_pages = read_huge_pages(root);
    (void)snprintf(
        host->clock, sizeof host->clock, "%.*s", (int)sizeof host->clock - 1,
        read_line(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", line));
}

void checkup_read_host(const char *root, uint32_t pid, struct checkup_host *ret_host)
{
    struct place place = {.root = root, .process = "/proc/self"};

    *ret_host = (struct checkup_host){0};
    if (pid != 0) {
        (void)snprintf(place.process, sizeof place.process, "/proc/%" PRIu32, pid);
    }
    read_machine(root, ret_host);
    ret_host->resident_bytes = sat_add_u64(read_kib(root, place.process, "/status", "RssAnon:"),
                                           read_kib(root, place.process, "/status", "RssShmem:"));
    ret_host->swapped_bytes = read_kib(root, place.process, "/status", "VmSwap:");
    ret_host->file_limit = read_field(root, place.process, "/limits", "Max open files", 0);
    ret_host->file_count = count_files(&place);
    ret_host->is_root = read_is_root(&place);
}
