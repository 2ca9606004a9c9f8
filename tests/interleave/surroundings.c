/*
 * What the product finds around it, in the place of sources of os/ and base/ that are left out: the
 * machine, exit hooks of threads, and what becomes of a failed assertion.
 */
#include "interleave/operations.h"
#include "interleave/schedule.h"

#define EXIT_HOOKS_MAX 4u

/* One machine for all runs, and no files of the kernel read in each schedule. */
void os_machine_read(const char *root, struct os_machine *ret_machine)
{
    (void)root;
    *ret_machine = (struct os_machine){
        .ram_bytes = Q_GIB(16), .cpu_count = 2, .address_limit_bytes = UINT64_MAX};
}

uint64_t os_resident_bytes(void)
{
    return 0;
}

static void (*exit_hooks[EXIT_HOOKS_MAX])(void);
static uint32_t exit_hook_count;
static _Thread_local bool is_armed;

enum quarry_status os_thread_exit_hook(void (*hook)(void))
{
    if (exit_hook_count == EXIT_HOOKS_MAX) {
        return QUARRY_TOO_MANY;
    }
    exit_hooks[exit_hook_count++] = hook;
    return QUARRY_OK;
}

enum quarry_status os_thread_exit_arm(void)
{
    is_armed = true;
    return QUARRY_OK;
}

void operations_exit_thread(void)
{
    for (int round = 0; is_armed && round < 4; round++) {
        is_armed = false;
        for (uint32_t i = exit_hook_count; i-- > 0;) {
            exit_hooks[i]();
        }
    }
}

void base_assert_failed(const char *file, int line, const char *function, const char *condition)
{
    schedule_finding(INTERLEAVE_ASSERTION, "%s:%d: %s: assertion failed: %s", file, line, function,
                     condition);
}
