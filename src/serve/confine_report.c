/*
 * A process that makes a report: what it takes from itself.
 *
 *     limits ▸ SYSTEM CALLS ▸ words are read, the server is found ▸ FILES ▸ figures, stacks, names
 *
 * A reporter is free, for it runs a program; what it runs is not to be. The loader is done when
 * main begins: nothing is executed from there on, and no file is opened but to be read.
 *
 * Files are taken late: with them goes the right to look into a process that is not confined by the
 * same hand, so the server's statistics, which are behind /proc/PID/maps, must be open. That is
 * little to go wrong: lines of the kernel's, and a header of a fixed size. Names of modules, by
 * which files are opened, are the server's word, and come behind.
 *
 * Invariants: 1. The environment is the reporter's, which took it before the server began.
 *
 * Locking: none.
 */
#include <serve/confine_report.h>

#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Files that are open at a time: the three, one that is read, one of debug information. */
#define OPEN_FILES_MAX 64
/* Names of a large program take one. */
#define CPU_SECONDS_MAX 60

enum place { CALLS, FILES, PLACES };

/* Returns: NULL: this makes no report for a reporter, or cannot be confined. */
static const char *read_wish(void)
{
    const char *wish = getenv(SERVE_REPORT_VARIABLE);

    return wish != NULL && strlen(wish) == PLACES && confine_is_possible() ? wish : NULL;
}

/* Where a limit is lower already it stays. */
static void limit(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0 && limit.rlim_max > most) {
        limit = (struct rlimit){most, most};
        (void)setrlimit(resource, &limit);
    }
}

static bool is_fine(enum quarry_status status)
{
    return status == QUARRY_OK || status == QUARRY_UNSUPPORTED || status == QUARRY_PERMISSION;
}

bool serve_confine_report(void)
{
    const char *wish = read_wish();

    if (wish == NULL) {
        return true;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, OPEN_FILES_MAX);
    limit(RLIMIT_CPU, CPU_SECONDS_MAX);
    if (confine_privileges(NULL) != QUARRY_OK) {
        return false;
    }
    const int how = wish[CALLS] - '0';
    return (how != CONFINE_CALLS_ERRNO && how != CONFINE_CALLS_KILL) ||
           is_fine(confine_calls_apply(CONFINE_REPORT, (enum confine_calls)how, NULL));
}

/* ---- files ------------------------------------------------------------------------------------
 */

static int allow_module(struct dl_phdr_info *module, size_t bytes, void *argument)
{
    (void)bytes;
    if (module->dlpi_name != NULL && module->dlpi_name[0] == '/') {
        (void)confine_files_allow(argument, module->dlpi_name, CONFINE_READ);
    }
    return 0;
}

bool serve_confine_report_files(void)
{
    static const char *const read[] = {"/proc/self/exe", "/usr", "/lib", "/lib64", "/proc", "/sys"};
    const char *wish = read_wish();
    struct confine_files files;

    if (wish == NULL || wish[FILES] != '1') {
        return true;
    }
    enum quarry_status status = confine_files_begin(&files, 0, NULL);
    if (status != QUARRY_OK) {
        return is_fine(status);
    }
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        (void)confine_files_allow(&files, read[i], CONFINE_READ);
    }
    (void)dl_iterate_phdr(allow_module, &files);
    return is_fine(confine_files_apply(&files, NULL));
}
