/*
 * `quarry run`: the environment that a program gets, its end, its signals, and the report.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "run.h"

#define TEXT_BYTES 65536

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

static void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("'%s' is in:\n%s", part, text);
    }
}

/* ---- the environment ------------------------------------------------------------------------ */

#define SHOW "echo \"preload=$LD_PRELOAD settings=$QUARRY_MALLOC;\""

static void the_library_is_preloaded(void **state)
{
    struct run run = RUN("run", "--", "/bin/sh", "-c", SHOW);

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "/lib/libquarry-malloc.so settings=;");
    assert_string_equal(run.err, "");
    run_free(&run);
}

static void options_become_settings_of_the_library(void **state)
{
    struct run run = RUN("run", "--limit", "512M", "--sample", "64K", "--hardened", "--report",
                         "/bin/sh", "-c", SHOW);

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "settings=limit=536870912,sample=65536,hardened=1,report=1;");
    run_free(&run);
}

static void what_the_user_had_set_stays(void **state)
{
    (void)state;
    assert_int_equal(setenv("QUARRY_MALLOC", "hardened=1", 1), 0);
    struct run with = RUN("run", "--limit", "1G", "/bin/sh", "-c", SHOW);
    struct run without = RUN("run", "/bin/sh", "-c", SHOW);
    assert_int_equal(unsetenv("QUARRY_MALLOC"), 0);
    assert_has(with.out, "settings=hardened=1,limit=1073741824;");
    assert_has(without.out, "settings=hardened=1;");
    run_free(&with);
    run_free(&without);
}

static void options_behind_the_program_are_the_programs(void **state)
{
    struct run run = RUN("run", "/bin/sh", "-c", "echo $0 $1", "--limit", "--report");

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(run.out, "--limit --report\n");
    run_free(&run);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void the_exit_code_is_the_programs(void **state)
{
    struct run well = RUN("run", "true"), badly = RUN("run", "--", "/bin/sh", "-c", "exit 42");
    struct run killed = RUN("run", "/bin/sh", "-c", "kill -9 $$");
    struct run reported = RUN("run", "--report", "/bin/sh", "-c", "kill -TERM $$");

    (void)state;
    assert_int_equal(well.exit_code, 0);
    assert_int_equal(badly.exit_code, 42);
    assert_int_equal(killed.exit_code, 128 + SIGKILL);
    assert_int_equal(reported.exit_code, 128 + SIGTERM);
    assert_has(reported.err, "was ended by signal 15 (Terminated)");
    run_free(&well);
    run_free(&badly);
    run_free(&killed);
    run_free(&reported);
}

static void a_program_that_cannot_be_run_is_named(void **state)
{
    struct run none = RUN("run", "no-such-program-anywhere"), folder = RUN("run", "/tmp");

    (void)state;
    assert_int_equal(none.exit_code, 127);
    assert_string_equal(none.err,
                        "quarry run: no-such-program-anywhere: No such file or directory\n");
    assert_int_equal(folder.exit_code, 126);
    assert_string_equal(folder.err, "quarry run: /tmp: Permission denied\n");
    run_free(&none);
    run_free(&folder);
}

static void stdin_and_stdout_are_the_programs(void **state)
{
    const struct run_options options = {.stdin_path = FAKE_PROGRAM_PATH};
    struct run run = run_quarry(
        &options, (const char *const[]){"run", "/bin/sh", "-c", "head -c 4 | tail -c 3", NULL});

    (void)state;
    assert_string_equal(run.out, "ELF");
    run_free(&run);
}

/* ---- signals -------------------------------------------------------------------------------- */

struct started {
    pid_t pid;
    int stdin_fd;
    int stdout_fd;
};

/* Waits until the program has said something. */
static void await_line(const struct started *started)
{
    char byte = '\0';

    while (byte != '\n') {
        assert_int_equal(read(started->stdout_fd, &byte, 1), 1);
    }
}

/* Starts `quarry run [--report] fake_program leaving`, and waits until it is ready. */
static struct started start_run(const char *option)
{
    struct started started = {0};
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    started.pid = fork();
    assert_true(started.pid >= 0);
    if (started.pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[1]);
        (void)close(out[0]);
        alarm(240);
        (void)execl(QUARRY_CLI_PATH, "quarry", "run", option, FAKE_PROGRAM_PATH, "leaving",
                    (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    started.stdin_fd = in[1];
    started.stdout_fd = out[0];
    await_line(&started);
    return started;
}

static int end_run(struct started *started)
{
    int status = 0;

    (void)close(started->stdin_fd);
    assert_int_equal(waitpid(started->pid, &status, 0), started->pid);
    (void)close(started->stdout_fd);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void signals_are_passed_on(void **state)
{
    struct started noted = start_run("--");
    struct started ended = start_run("--");

    (void)state;
    assert_int_equal(kill(noted.pid, SIGUSR1), 0);
    await_line(&noted); /* which it says again when it ends */
    assert_int_equal(end_run(&noted), 100 + SIGUSR1);
    assert_int_equal(kill(ended.pid, SIGTERM), 0);
    /* Waited for before its stdin is closed, at which it would end by itself. */
    int status = 0;
    assert_int_equal(waitpid(ended.pid, &status, 0), ended.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
    (void)close(ended.stdin_fd);
    (void)close(ended.stdout_fd);
}

static void its_number_stands_for_the_programs(void **state)
{
    struct started started = start_run("--");
    char pid[16];

    (void)state;
    (void)snprintf(pid, sizeof(pid), "%d", (int)started.pid);
    struct run run = RUN("doctor", pid, "--json");
    assert_int_equal(run.exit_code, 3);
    assert_has(run.out, "parse_config");
    run_free(&run);
    assert_int_equal(end_run(&started), 0);
}

/* ---- the report ----------------------------------------------------------------------------- */

static void read_text(const char *path, char *text)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t length = fread(text, 1, TEXT_BYTES - 1, file);
    assert_true(length > 0 && length < TEXT_BYTES - 1);
    text[length] = '\0';
    (void)fclose(file);
}

static bool has_attached(const struct started *started)
{
    char path[32], line[512];
    bool is_found = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)started->pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    while (!is_found && fgets(line, sizeof(line), maps) != NULL) {
        is_found = strstr(line, "/SYSV") != NULL;
    }
    (void)fclose(maps);
    return is_found;
}

/* Waits until `quarry run` looks at the program's figures, a minute at most. */
static void await_attachment(const struct started *started)
{
    for (int i = 0; !has_attached(started); i++) {
        assert_true(i < 6000);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static void the_report_tells_what_the_last_figures_were(void **state)
{
    char path[] = "/tmp/quarry-report-XXXXXX", option[64], *text = malloc(TEXT_BYTES);
    int fd = mkstemp(path);

    (void)state;
    assert_non_null(text);
    assert_true(fd >= 0);
    (void)snprintf(option, sizeof(option), "--report=%s", path);
    struct started started = start_run(option);
    await_attachment(&started);
    assert_int_equal(end_run(&started), 0);
    read_text(path, text);
    assert_has(text, "ended with 0");
    assert_has(text, "resident  peak ");
    assert_has(text, " MiB s over time");
    assert_has(text, "236.9 MiB, 69.4 MiB of it live");
    assert_has(text, "166.5 MiB   70.3 %  free in spans");
    assert_has(text, "rounding to size classes");
    assert_has(text, "fill_cache (fake_program.c:");
    assert_has(text, "parse_config (fake_program.c:");
    assert_has(text, "pinning stacks");
    free(text);
    (void)close(fd);
    (void)unlink(path);
}

static void a_program_without_figures_is_reported_with_its_memory(void **state)
{
    struct run run = RUN("run", "--report", "sleep", "0.2");

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.err, "sleep (process ");
    assert_has(run.err, "resident  peak ");
    assert_has(run.err, "no statistics were seen");
    assert_has_not(run.err, "not known");
    run_free(&run);
}

static void a_report_that_cannot_be_written_is_said_before_anything_runs(void **state)
{
    struct run run = RUN("run", "--report=/nowhere/report", "echo", "here");

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, "quarry run: /nowhere/report: No such file or directory\n");
    run_free(&run);
}

/* ---- the library ---------------------------------------------------------------------------- */

/* Runs it with stderr in a file. Returns: its exit code. */
static int run_alone(const char *program, const char *err_path)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (freopen(err_path, "w", stderr) != NULL) {
            (void)execl(program, "quarry", "run", "true", (char *)NULL);
        }
        _exit(125);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_missing_library_is_named_with_its_places(void **state)
{
    char folder[] = "/tmp/quarry-run-XXXXXX", bin[64], program[80], err_path[64];
    char *text = malloc(TEXT_BYTES);

    (void)state;
    assert_non_null(text);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(bin, sizeof(bin), "%s/bin", folder);
    (void)snprintf(program, sizeof(program), "%s/quarry", bin);
    (void)snprintf(err_path, sizeof(err_path), "%s/err", folder);
    assert_int_equal(mkdir(bin, 0700), 0);
    run_copy_program(QUARRY_CLI_PATH, program);
    assert_int_equal(run_alone(program, err_path), 1);
    read_text(err_path, text);
    assert_has(text, "quarry run: libquarry-malloc.so is not in /tmp/quarry-run-");
    free(text);
    (void)unlink(err_path);
    (void)unlink(program);
    (void)rmdir(bin);
    (void)rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_is_preloaded),
        cmocka_unit_test(options_become_settings_of_the_library),
        cmocka_unit_test(what_the_user_had_set_stays),
        cmocka_unit_test(options_behind_the_program_are_the_programs),
        cmocka_unit_test(the_exit_code_is_the_programs),
        cmocka_unit_test(a_program_that_cannot_be_run_is_named),
        cmocka_unit_test(stdin_and_stdout_are_the_programs),
        cmocka_unit_test(signals_are_passed_on),
        cmocka_unit_test(its_number_stands_for_the_programs),
        cmocka_unit_test(the_report_tells_what_the_last_figures_were),
        cmocka_unit_test(a_program_without_figures_is_reported_with_its_memory),
        cmocka_unit_test(a_report_that_cannot_be_written_is_said_before_anything_runs),
        cmocka_unit_test(a_missing_library_is_named_with_its_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
