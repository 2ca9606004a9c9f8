/*
 * The `quarry` program as its users meet it: what it says, where, and with which exit code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "json.h"
#include "run.h"

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void assert_has(const char *text, const char *part)
{
    if (!has(text, part)) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

/* A command line that is refused: exit code 2, nothing on stdout, and a reason. */
static void assert_refused(const char *reason, const char *const *arguments)
{
    struct run run = run_quarry(&(struct run_options){0}, arguments);

    assert_int_equal(run.exit_code, 2);
    assert_string_equal(run.out, "");
    assert_has(run.err, reason);
    assert_has(run.err, "Try 'quarry help");
    run_free(&run);
}

#define REFUSED(reason, ...) assert_refused(reason, (const char *const[]){__VA_ARGS__, NULL})

/* ---- commands ------------------------------------------------------------------------------- */

static void without_arguments_it_says_what_there_is(void **state)
{
    struct run run = run_quarry(&(struct run_options){0}, (const char *const[]){NULL});

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "usage: quarry COMMAND");
    assert_has(run.out, "  map ");
    assert_has(run.out, "quarry map --demo");
    assert_string_equal(run.err, "");
    run_free(&run);
}

static void help_is_the_same_however_it_is_asked_for(void **state)
{
    struct run first = RUN("help"), second = RUN("--help"), third = RUN("-h");

    (void)state;
    assert_int_equal(first.exit_code + second.exit_code + third.exit_code, 0);
    assert_string_equal(first.out, second.out);
    assert_string_equal(first.out, third.out);
    run_free(&first);
    run_free(&second);
    run_free(&third);
}

static void help_of_bench_names_all_benchmarks(void **state)
{
    (void)state;
    struct run help = RUN("help", "bench"), own = RUN("bench", "--help");
    static const char *const names[] = {"\n    pages ",  "\n    malloc ", "\n    slab ",
                                        "\n    blocks ", "\n    cache ",  "\n    kv ",
                                        "\n    resp ",   "\n    tsdb ",   "\n    promql "};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_has(help.out, names[i]);
        assert_has(own.out, names[i]);
    }
    run_free(&help);
    run_free(&own);
}

static void help_of_a_command_names_its_options(void **state)
{
    struct run help = RUN("help", "map"), option = RUN("map", "--help");

    (void)state;
    assert_int_equal(help.exit_code, 0);
    assert_int_equal(option.exit_code, 0);
    assert_string_equal(help.out, option.out);
    assert_has(help.out, "usage: quarry map FILE");
    assert_has(help.out, "--seconds N");
    assert_has(help.out, "--save FILE");
    assert_has(help.out, "Exit status:");
    run_free(&help);
    run_free(&option);
}

static void the_version_is_one_line(void **state)
{
    struct run option = RUN("--version"), command = RUN("version");

    (void)state;
    assert_int_equal(option.exit_code, 0);
    assert_int_equal(strncmp(option.out, "quarry 0.", 9), 0);
    assert_ptr_equal(strchr(option.out, '\n'), option.out + strlen(option.out) - 1);
    assert_string_equal(option.out, command.out);
    run_free(&option);
    run_free(&command);
}

static void an_unknown_command_is_told_its_nearest(void **state)
{
    (void)state;
    REFUSED("there is no command 'mpa'; did you mean 'map'?", "mpa");
    REFUSED("there is no command 'maps'; did you mean 'map'?", "maps");
    REFUSED("there is no command 'halp'; did you mean 'help'?", "help", "halp");
    REFUSED("there is no command 'frobnicate'\n", "frobnicate");
    REFUSED("there is no command ''\n", "");
    REFUSED("there is no command 'x'\n", "x");
}

static void a_wrong_command_line_is_refused_with_its_reason(void **state)
{
    (void)state;
    REFUSED("there is no option '--frob'", "--frob");
    REFUSED("quarry map: a file is missing", "map");
    REFUSED("there is no option '--frob'", "map", "--frob");
    REFUSED("one file at a time", "map", "one", "two");
    REFUSED("either a file or --demo", "map", "--demo", "one");
    REFUSED("'--seconds' takes a value", "map", "--demo", "--seconds");
    REFUSED("from 1 to 86400, not '0'", "map", "--demo", "--seconds", "0");
    REFUSED("from 1 to 86400, not '2s'", "map", "--demo", "--seconds", "2s");
    REFUSED("from 1 to 86400, not '-1'", "map", "--demo", "--seconds", "-1");
    REFUSED("from 1 to 86400, not '99999999999999999999'", "map", "--demo", "--seconds",
            "99999999999999999999");
    REFUSED("go with --demo", "map", "file", "--once");
    REFUSED("one command at a time", "help", "map", "help");
    REFUSED("no argument expected", "version", "please");
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    const struct run_options options = {.stdout_path = "/dev/full"};
    struct run run = run_quarry(&options, (const char *const[]){"help", NULL});

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, "stdout: No space left on device");
    run_free(&run);
}

/* ---- files
 * -------------------------------------------------------------------------------------------------
 */

/* A snapshot of the demonstration, made once. */
struct saved {
    char path[64];
    char folder[32];
    uint8_t bytes[1 << 16];
    size_t byte_count;
};

static int save_once(void **state)
{
    static struct saved saved;

    strcpy(saved.folder, "/tmp/quarry-cli-XXXXXX");
    assert_non_null(mkdtemp(saved.folder));
    (void)snprintf(saved.path, sizeof(saved.path), "%s/heap.map", saved.folder);
    struct run run =
        RUN("map", "--demo", "--once", "--seconds", "2", "--save", saved.path, "--ascii");
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "window-1");
    run_free(&run);
    FILE *file = fopen(saved.path, "rbe");
    assert_non_null(file);
    saved.byte_count = fread(saved.bytes, 1, sizeof(saved.bytes), file);
    fclose(file);
    assert_true(saved.byte_count > 64 && saved.byte_count < sizeof(saved.bytes));
    *state = &saved;
    return 0;
}

static int remove_saved(void **state)
{
    const struct saved *saved = *state;

    (void)unlink(saved->path);
    return rmdir(saved->folder);
}

/* Writes some bytes beside the snapshot, and draws them. */
static struct run map_bytes(const struct saved *saved, const void *bytes, size_t byte_count,
                            char path[96])
{
    (void)snprintf(path, 96, "%s/damaged.map", saved->folder);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, byte_count, file), byte_count);
    assert_int_equal(fclose(file), 0);
    struct run run = RUN("map", path);
    (void)unlink(path);
    return run;
}

static void a_written_file_is_drawn(void **state)
{
    const struct saved *saved = *state;
    struct run run = RUN("map", saved->path);

    assert_int_equal(run.exit_code, 0);
    assert_string_equal(run.err, "");
    assert_has(run.out, saved->path);
    assert_has(run.out, " UTC\n");
    assert_has(run.out, "of 256 MiB");
    assert_has(run.out, "\ngeneral  ");
    assert_has(run.out, "\nslab  ");
    assert_has(run.out, "a cell is 4 MiB");
    assert_has(run.out, "\xe2\x96\x88"); /* a full block */
    assert_false(has(run.out, "\x1b"));
    run_free(&run);
}

static void stdin_is_a_file_named_by_a_dash(void **state)
{
    const struct saved *saved = *state;
    const struct run_options options = {.stdin_path = saved->path};
    struct run run = run_quarry(&options, (const char *const[]){"map", "-", NULL});

    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "stdin");
    assert_has(run.out, "\ngeneral  ");
    run_free(&run);
}

/* Characters of the longest line. */
static size_t widest_line(const char *text)
{
    size_t widest = 0, width = 0;

    for (; *text != '\0'; text++) {
        width = *text == '\n' ? 0 : width + (((unsigned char)*text & 0xc0) != 0x80);
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void a_picture_fits_80_columns(void **state)
{
    const struct saved *saved = *state;
    struct run run = RUN("map", saved->path);

    assert_in_range(widest_line(run.out), 60, 80);
    run_free(&run);
}

static void without_utf_8_a_picture_is_ascii(void **state)
{
    const struct saved *saved = *state;
    const struct run_options options = {.locale = "C"};
    struct run run = run_quarry(&options, (const char *const[]){"map", saved->path, NULL});
    struct run asked = RUN("map", "--ascii", saved->path);

    for (const char *at = run.out; *at != '\0'; at++) {
        assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
    }
    assert_has(run.out, "####");
    assert_string_equal(run.out, asked.out);
    run_free(&run);
    run_free(&asked);
}

static void a_written_file_is_json_on_demand(void **state)
{
    const struct saved *saved = *state;
    struct run run = RUN("map", "--json", saved->path);
    uint64_t limit_bytes;

    assert_int_equal(run.exit_code, 0);
    assert_true(json_is_valid(run.out, run.out + strlen(run.out)));
    assert_true(json_number(run.out, "limit_bytes", &limit_bytes));
    assert_int_equal(limit_bytes, 256 << 20);
    assert_false(has(run.out, "resident_bytes"));
    run_free(&run);
}

static void a_missing_file_is_named(void **state)
{
    struct run run = RUN("map", "/nowhere/heap.map");

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, "quarry map: /nowhere/heap.map: No such file or directory\n");
    run_free(&run);
}

static void a_folder_is_no_file(void **state)
{
    struct run run = RUN("map", "/tmp");

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_string_equal(run.err, "quarry map: /tmp: Is a directory\n");
    run_free(&run);
}

static void garbage_is_named_and_said_what_is_wrong_with(void **state)
{
    static const char garbage[] = "PNG or something, long enough to have a header: "
                                  "0123456789012345678901234567890123456789";
    char path[96];
    struct run run = map_bytes(*state, garbage, sizeof(garbage), path);

    assert_int_equal(run.exit_code, 1);
    assert_string_equal(run.out, "");
    assert_has(run.err, path);
    assert_has(run.err, "not a heap map: it does not begin with QHEAPMAP");
    run_free(&run);
}

static void a_truncated_file_is_said_to_be_so(void **state)
{
    const struct saved *saved = *state;
    char path[96], wanted[64];
    struct run run = map_bytes(saved, saved->bytes, saved->byte_count - 5, path);

    (void)snprintf(wanted, sizeof(wanted), "counts make %zu", saved->byte_count);
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, wanted);
    run_free(&run);
    run = map_bytes(saved, "", 0, path);
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, "0 bytes, and the header alone has 64");
    run_free(&run);
}

static void a_later_version_is_said_to_be_so(void **state)
{
    const struct saved *saved = *state;
    uint8_t bytes[sizeof(saved->bytes)];
    char path[96];

    memcpy(bytes, saved->bytes, saved->byte_count);
    bytes[8] = 7;
    struct run run = map_bytes(saved, bytes, saved->byte_count, path);
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, "heap map of version 7; this program reads version 1");
    run_free(&run);
}

static void a_hostile_name_cannot_reach_the_terminal(void **state)
{
    const struct saved *saved = *state;
    uint8_t bytes[sizeof(saved->bytes)];
    char path[96];

    memcpy(bytes, saved->bytes, saved->byte_count);
    memcpy(bytes + 64 + 16, "\x1b[31m\"%s\xff\n", 11);
    struct run run = map_bytes(saved, bytes, saved->byte_count, path);
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "?[31m\"%s");
    assert_false(has(run.out, "\x1b"));
    assert_false(has(run.out, "\xff"));
    run_free(&run);
}

static void numbers_that_make_no_sense_are_drawn_all_the_same(void **state)
{
    const struct saved *saved = *state;
    uint8_t bytes[sizeof(saved->bytes)];
    char path[96];

    memcpy(bytes, saved->bytes, saved->byte_count);
    memset(bytes + 32, 0xff, 16); /* the year 2554, and 16 EiB committed */
    memset(bytes + 48, 0, 8);     /* of nothing */
    memset(bytes + 56, 0xff, 8);  /* all of it metadata */
    struct run run = map_bytes(saved, bytes, saved->byte_count, path);
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "16 EiB of 0 B");
    run_free(&run);
}

static void what_cannot_be_saved_is_a_failure(void **state)
{
    struct run run =
        RUN("map", "--demo", "--once", "--seconds", "1", "--save", "/nowhere/heap.map");

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, "/nowhere/heap.map: No such file or directory");
    run_free(&run);
}

/* ---- the demonstration ---------------------------------------------------------------------- */

static uint64_t number_of(const char *line, const char *key)
{
    uint64_t number;

    if (!json_number(line, key, &number)) {
        fail_msg("no \"%s\" in %s", key, line);
    }
    return number;
}

static void check_line(const char *line, const char *end)
{
    if (!json_is_valid(line, end)) {
        fail_msg("no JSON: %.*s", (int)(end - line), line);
    }
    uint64_t committed_bytes = number_of(line, "committed_bytes");
    assert_int_equal(number_of(line, "limit_bytes"), 256 << 20);
    assert_in_range(committed_bytes, 1 << 20, 256 << 20);
    assert_in_range(number_of(line, "in_use_bytes"), 1 << 20, 256 << 20);
    assert_true(number_of(line, "resident_bytes") > 0);
    assert_true(number_of(line, "allocated_bytes") >= number_of(line, "in_use_bytes"));
    assert_has(line, "\"lanes\":[{\"lane\":\"general\",");
    assert_has(line, "\"event\":\"");
}

static void the_demonstration_prints_a_json_object_a_second(void **state)
{
    struct run run = RUN("map", "--demo", "--seconds", "2", "--json");
    uint64_t last_elapsed_ns = 0;
    int line_count = 0;

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(run.err, "");
    for (char *line = run.out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        check_line(line, end);
        assert_true(number_of(line, "elapsed_ns") >= last_elapsed_ns + 500000000);
        last_elapsed_ns = number_of(line, "elapsed_ns");
        line_count++;
    }
    assert_int_equal(line_count, 2);
    run_free(&run);
}

static void the_demonstration_draws_a_frame_a_second(void **state)
{
    struct run run = RUN("map", "--demo", "--seconds", "2");
    int frame_count = 0;

    (void)state;
    assert_int_equal(run.exit_code, 0);
    for (const char *at = run.out; (at = strstr(at, "a page heap at work")) != NULL; at++) {
        frame_count++;
    }
    assert_int_equal(frame_count, 2);
    assert_has(run.out, "process RSS ");
    assert_in_range(widest_line(run.out), 60, 80);
    run_free(&run);
}

static void in_a_terminal_it_runs_until_q_is_pressed(void **state)
{
    static const char *const arguments[] = {"map", "--demo", NULL};

    (void)state;
    if (!run_has_terminals()) {
        skip();
    }
    struct run run =
        run_in_terminal(&(struct run_terminal){80, 24, .resize_width = 120,
                                               .awaited = AWAITED("q quits", "general")},
                        arguments);
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "q quits");
    assert_has(run.out, "general");
    assert_has(run.out, "\x1b[?1049h"); /* took the screen, and gave it back */
    assert_has(run.out, "\x1b[?1049l");
    run_free(&run);
}

static void in_a_terminal_of_any_size_it_draws(void **state)
{
    static const char *const arguments[] = {"map", "--demo", NULL};
    static const unsigned short sizes[][2] = {{1, 1}, {20, 5}, {40, 10}, {300, 100}};

    (void)state;
    if (!run_has_terminals()) {
        skip();
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct run run = run_in_terminal(
            &(struct run_terminal){sizes[i][0], sizes[i][1], .resize_width = 30}, arguments);
        assert_int_equal(run.exit_code, 0);
        run_free(&run);
    }
}

/* ---- the checker itself --------------------------------------------------------------------- */

static void the_checker_knows_json(void **state)
{
    static const char *const good[] = {"{}", "[1,-0.5e+3,\"a\\u00e9\\n\",true,null]",
                                       " {\"a\":{\"b\":[]},\"c\":0}\n"};
    static const char *const bad[] = {"",       "{",   "{\"a\"}", "[1,]",       "01",  "\"\\x\"",
                                      "{a:1}",  "1 2", "\"\n\"",  "[1}",        "nul", "{\"a\":1,}",
                                      "\"open", "+1",  "1.",      "[\"\\u12\"]"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(json_is_valid(good[i], good[i] + strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (json_is_valid(bad[i], bad[i] + strlen(bad[i]))) {
            fail_msg("'%s' passes for JSON", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_arguments_it_says_what_there_is),
        cmocka_unit_test(help_is_the_same_however_it_is_asked_for),
        cmocka_unit_test(help_of_bench_names_all_benchmarks),
        cmocka_unit_test(help_of_a_command_names_its_options),
        cmocka_unit_test(the_version_is_one_line),
        cmocka_unit_test(an_unknown_command_is_told_its_nearest),
        cmocka_unit_test(a_wrong_command_line_is_refused_with_its_reason),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(a_written_file_is_drawn),
        cmocka_unit_test(stdin_is_a_file_named_by_a_dash),
        cmocka_unit_test(a_picture_fits_80_columns),
        cmocka_unit_test(without_utf_8_a_picture_is_ascii),
        cmocka_unit_test(a_written_file_is_json_on_demand),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_folder_is_no_file),
        cmocka_unit_test(garbage_is_named_and_said_what_is_wrong_with),
        cmocka_unit_test(a_truncated_file_is_said_to_be_so),
        cmocka_unit_test(a_later_version_is_said_to_be_so),
        cmocka_unit_test(a_hostile_name_cannot_reach_the_terminal),
        cmocka_unit_test(numbers_that_make_no_sense_are_drawn_all_the_same),
        cmocka_unit_test(what_cannot_be_saved_is_a_failure),
        cmocka_unit_test(the_demonstration_prints_a_json_object_a_second),
        cmocka_unit_test(the_demonstration_draws_a_frame_a_second),
        cmocka_unit_test(in_a_terminal_it_runs_until_q_is_pressed),
        cmocka_unit_test(in_a_terminal_of_any_size_it_draws),
        cmocka_unit_test(the_checker_knows_json),
    };
    return cmocka_run_group_tests(tests, save_once, remove_saved);
}
