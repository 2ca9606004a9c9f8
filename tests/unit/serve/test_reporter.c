/*
 * The maker of reports: what it believes the server, and what becomes of one that is gone.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <serve/observe/reporter.h>

static const struct reporter_options plain_reporter = {.calls = CONFINE_CALLS_OFF};

/* The one child that this process has. */
static pid_t find_reporter(void)
{
    char path[64];
    long pid = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    fclose(file);
    return (pid_t)pid;
}

/* What an order says of which it is known that it is refused, by one who is there. */
static int ask_for_nothing(int end)
{
    static const char *const words[] = {"", NULL};

    return reporter_run(words, -1, end, end);
}

static void a_reporter_that_died_is_lost(void **state)
{
    siginfo_t facts;

    (void)state;
    assert_false(reporter_is_there());
    assert_int_equal(reporter_start(&plain_reporter, NULL), QUARRY_OK);
    assert_true(reporter_is_there());
    assert_int_equal(ask_for_nothing(2), EINVAL);
    const pid_t pid = find_reporter();
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &facts, WEXITED | WNOWAIT), 0);
    assert_false(reporter_is_there());
    assert_int_equal(ask_for_nothing(2), ECHILD);
    reporter_stop();
    assert_int_equal(waitpid(pid, NULL, 0), -1); /* it was waited for */
    /* Another one starts from nothing. */
    assert_int_equal(reporter_start(&plain_reporter, NULL), QUARRY_OK);
    assert_int_equal(ask_for_nothing(2), EINVAL);
    reporter_stop();
}

static void a_reporter_that_hangs_is_not_waited_for_without_end(void **state)
{
    const struct reporter_options options = {.calls = CONFINE_CALLS_OFF, .patience_ms = 1};
    int status;

    (void)state;
    assert_int_equal(reporter_start(&options, NULL), QUARRY_OK);
    const pid_t pid = find_reporter();
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_true(reporter_is_there()); /* nobody knows yet */
    assert_int_equal(ask_for_nothing(2), ECHILD);
    assert_false(reporter_is_there());
    assert_int_equal(ask_for_nothing(2), ECHILD);
    assert_int_equal(reporter_wait(true), -1);
    reporter_stop();
    assert_int_equal(kill(pid, SIGCONT), 0); /* and it finds that it is not wanted any more */
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Who has the server has what the reporter believes it. */
static void reports_about_others_and_to_files_are_refused(void **state)
{
    char folder[] = "/tmp/quarry-reporter-XXXXXX";
    char own[16], path[96];
    int ends[2];
    const char *const orders[][7] = {
        {"heap", own, "--pprof", path},
        {"heap", own, "--profile", "heap", "--pprof", path},
        {"heap", own, "--profile", "heap", "--pprof", "-", "--sample"},
        {"heap", "1", "--json", "--top", "1"},
        {"heap", own, "--json", "--top"},
        {"heap", own, "--json", "--top", "-1"},
        {"heap", own, "--symbol", "/etc/passwd"},
        {"map", own, "--save", path},
        {"doctor", "--server", "http://127.0.0.1:1", "--password-file", "/etc/passwd"},
        {"serve"},
        {""},
    };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/report", folder);
    snprintf(own, sizeof own, "%d", (int)getpid());
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(reporter_start(&plain_reporter, NULL), QUARRY_OK);
    assert_true(reporter_is_there());
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        assert_int_not_equal(reporter_run(orders[i], -1, ends[1], ends[1]), 0);
    }
    reporter_stop();
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(folder), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_about_others_and_to_files_are_refused),
        cmocka_unit_test(a_reporter_that_died_is_lost),
        cmocka_unit_test(a_reporter_that_hangs_is_not_waited_for_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
