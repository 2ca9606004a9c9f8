/*
 * The machine that the server finds itself on: how much memory it may have, what stands in its way.
 */
#ifndef QUARRY_SERVE_HOST_H
#define QUARRY_SERVE_HOST_H

#include <os/os.h>

#include <serve/config.h>

/* How much memory, and why so much. */
struct serve_budget {
    uint64_t bytes;
    char why[96]; /* "nine tenths of the cgroup's 2 GiB", "--memory" */
};

/* Errors: none. A machine that tells neither gets 1 GiB. */
void serve_budget_choose(const struct serve_config *config, const struct os_machine *machine,
                         struct serve_budget *ret_budget);

/*
 * Raises the limit of open files as far as is allowed, towards what the configuration needs.
 * Returns: what it is then.
 */
uint64_t serve_host_raise_files(const struct serve_config *config);

/* As many as may have to be open, by a configuration. */
uint64_t serve_host_files_wanted(const struct serve_config *config);

#endif
