/*
 * The door: an exploration in a child process, and what it found.
 *
 * A child, because a finding leaves the product under test in the middle of something: the child
 * writes what it found to a page that it shares with its parent and ends. A signal is a finding as
 * well, told with its schedule by the handler.
 */
#include "interleave/interleave.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/base/cmocka_all.h"

#include "interleave/operations.h"
#include "interleave/schedule.h"

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

static void on_signal(int number)
{
    schedule_finding(INTERLEAVE_CRASH, "signal %d (%s)", number, strsignal(number));
}

static void catch_signals(void)
{
    static char stack[65536];
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = (int)(SA_ONSTACK | SA_RESETHAND)};

    (void)sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

static void child(const struct interleave_scenario *scenario, const struct interleave_plant *plant,
                  struct interleave_result *result)
{
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    catch_signals();
    operations_plant(plant, &result->plant_count);
    schedule_explore(scenario, result);
    _exit(0);
}

void interleave_explore(const struct interleave_scenario *scenario,
                        const struct interleave_plant *plant, struct interleave_result *ret_result)
{
    struct interleave_result *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    uint64_t begin_ns = os_monotonic_ns(os_real());

    assert_true(shared != MAP_FAILED);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child(scenario, plant, shared);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *ret_result = *shared;
    ret_result->elapsed_ns = os_monotonic_ns(os_real()) - begin_ns;
    (void)munmap(shared, sizeof *shared);
    if (status != 0 && ret_result->verdict == INTERLEAVE_CLEAN) {
        ret_result->verdict = INTERLEAVE_CRASH;
        (void)snprintf(ret_result->text, sizeof ret_result->text, "the child ended with %#x\n",
                       (unsigned)status);
    }
}

const char *interleave_verdict_name(enum interleave_verdict verdict)
{
    static const char *const names[] = {
        [INTERLEAVE_CLEAN] = "clean",       [INTERLEAVE_ASSERTION] = "assertion",
        [INTERLEAVE_DEADLOCK] = "deadlock", [INTERLEAVE_LIVELOCK] = "livelock",
        [INTERLEAVE_RACE] = "race",         [INTERLEAVE_CRASH] = "crash",
        [INTERLEAVE_UNSTEADY] = "unsteady", [INTERLEAVE_UNBOUNDED] = "unbounded",
    };

    return names[verdict];
}

static void tell(const struct interleave_scenario *scenario, const struct interleave_result *result,
                 const char *what)
{
    print_message("  %s: %s: %llu schedules, %llu steps, %.2f s\n", scenario->name, what,
                  (unsigned long long)result->schedule_count,
                  (unsigned long long)result->step_count, (double)result->elapsed_ns / 1e9);
}

/* Names the line of a race, by a program that comes with the compiler. */
static void tell_code(const struct interleave_result *result)
{
    char command[256];
    Dl_info info;

    if (result->code != 0 && dladdr((const void *)result->code, &info) != 0) {
        (void)snprintf(command, sizeof command, "addr2line -i -f -e /proc/%d/exe %#lx >&2",
                       (int)getpid(), result->code - 1 - (uintptr_t)info.dli_fbase);
        (void)!system(command);
    }
}

void interleave_expect_clean(const struct interleave_scenario *scenario)
{
    static struct interleave_result result;

    interleave_explore(scenario, NULL, &result);
    if (result.verdict != INTERLEAVE_CLEAN) {
        (void)fputs(result.text, stderr);
        tell_code(&result);
        fail_msg("%s: %s after %llu schedules", scenario->name,
                 interleave_verdict_name(result.verdict),
                 (unsigned long long)result.schedule_count);
    }
    tell(scenario, &result, "clean");
}

void interleave_expect_found(const struct interleave_scenario *scenario,
                             const struct interleave_plant *plant)
{
    static struct interleave_result result;

    interleave_explore(scenario, plant, &result);
    tell(scenario, &result, interleave_verdict_name(result.verdict));
    if (getenv("INTERLEAVE_SHOW") != NULL) {
        (void)fputs(result.text, stderr);
    }
    if (result.plant_count == 0) {
        fail_msg("%s: no schedule met the planted bug in %s", scenario->name, plant->function);
    }
    if (result.verdict == INTERLEAVE_CLEAN || result.verdict == INTERLEAVE_UNSTEADY ||
        result.verdict == INTERLEAVE_UNBOUNDED) {
        fail_msg("%s: the bug planted in %s was not found: %s %s", scenario->name, plant->function,
                 interleave_verdict_name(result.verdict), result.text);
    }
}
