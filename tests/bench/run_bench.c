/*
 * Running `quarry bench` and its child program for tests, and looking things up in what they print.
 */
#include "bench/run_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Runs a program with its stderr beside its stdout. Returns: the output's end. */
static FILE *start_program(const char *program, const char *arguments)
{
    char command[1024];

    (void)snprintf(command, sizeof command, "'%s' %s 2>&1", program, arguments);
    /* NOLINTNEXTLINE(cert-env33-c): the command is a constant of a test */
    FILE *output = popen(command, "r");
    assert_non_null(output);
    return output;
}

/* Likewise, of `quarry bench`. */
static FILE *start(const char *arguments)
{
    char line[512];

    (void)snprintf(line, sizeof line, "bench %s", arguments);
    return start_program(BENCH_PROGRAM, line);
}

static int finish(FILE *output)
{
    int status = pclose(output);

    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Runs it and parses every line it prints. */
void bench_json(const char *arguments, struct bench_run *ret_run)
{
    char line[4096];
    FILE *output = start(arguments);

    ret_run->line_count = 0;
    while (fgets(line, sizeof line, output) != NULL) {
        assert_true(ret_run->line_count < BENCH_RUN_LINES);
        if (!flat_json_parse(line, &ret_run->line[ret_run->line_count++])) {
            fail_msg("not a flat JSON object: %s", line);
        }
    }
    ret_run->exit_code = finish(output);
}

/* Keeps the beginning of what a program prints, to its end. Returns: its exit code. */
static int keep_text(FILE *output, char *text, size_t text_bytes)
{
    char rest[512];
    size_t used = fread(text, 1, text_bytes - 1, output);

    text[used] = '\0';
    while (fread(rest, 1, sizeof rest, output) > 0) {
    }
    return finish(output);
}

int bench_text(const char *arguments, char *text, size_t text_bytes)
{
    return keep_text(start(arguments), text, text_bytes);
}

int child_text(const char *arguments, char *text, size_t text_bytes)
{
    return keep_text(start_program(BENCH_CHILD, arguments), text, text_bytes);
}

/* The n-th line of a row and subject, or NULL. */
const struct flat_json *find_line(const struct bench_run *run, const char *row, const char *subject,
                                  size_t n)
{
    for (size_t i = 0; i < run->line_count; i++) {
        const char *its_row = flat_json_text(&run->line[i], "row");
        const char *its_subject = flat_json_text(&run->line[i], "subject");
        assert_non_null(its_row);
        assert_non_null(its_subject);
        if (strcmp(its_row, row) == 0 && strcmp(its_subject, subject) == 0 && n-- == 0) {
            return &run->line[i];
        }
    }
    return NULL;
}

bool is_absent(const struct flat_json *line)
{
    const struct flat_json_field *absent = flat_json_find(line, "absent");

    if (absent != NULL) {
        assert_int_equal(absent->kind, FLAT_JSON_BOOL);
        assert_true(absent->is_true);
        assert_non_null(flat_json_text(line, "reason"));
    }
    return absent != NULL;
}

double figure(const struct flat_json *line, const char *key)
{
    double number = 0;

    if (!flat_json_number(line, key, &number)) {
        fail_msg("%s %s has no number '%s'", flat_json_text(line, "row"),
                 flat_json_text(line, "subject"), key);
    }
    return number;
}

int bench_text_without_path(const char *arguments, char *text, size_t text_bytes)
{
    char line[1024];

    (void)snprintf(line, sizeof line, "PATH=/nowhere '%s' bench %s 2>&1", BENCH_PROGRAM, arguments);
    /* NOLINTNEXTLINE(cert-env33-c): the command is a constant of a test */
    FILE *output = popen(line, "r");
    assert_non_null(output);
    return keep_text(output, text, text_bytes);
}

void assert_wrong_lines(const struct bench_wrong *wrong, size_t count)
{
    char text[4096];

    for (size_t i = 0; i < count; i++) {
        int exit_code = bench_text(wrong[i].arguments, text, sizeof text);
        if (exit_code != 2 || strstr(text, wrong[i].words) == NULL) {
            fail_msg("bench %s: exit %d, said: %s", wrong[i].arguments, exit_code, text);
        }
    }
}

void assert_child_refuses(const char *const *arguments, size_t count, const char *words)
{
    char text[4096];

    for (size_t i = 0; i < count; i++) {
        int exit_code = child_text(arguments[i], text, sizeof text);
        if (exit_code != 2 || strstr(text, words) == NULL) {
            fail_msg("%s: exit %d, said: %s", arguments[i], exit_code, text);
        }
    }
}

void assert_help_names(const char *name, const char *const *rows, size_t count)
{
    static char text[16384];
    char arguments[64];

    (void)snprintf(arguments, sizeof arguments, "%s --help", name);
    assert_int_equal(bench_text(arguments, text, sizeof text), 0);
    for (size_t i = 0; i < count; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "\n    %s ", rows[i]);
        if (strstr(text, line) == NULL) {
            fail_msg("%s is not in the help of bench %s", rows[i], name);
        }
    }
}
