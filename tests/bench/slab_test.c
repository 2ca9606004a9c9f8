/*
 * `quarry bench slab` as its users run it: short sittings, with a look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. glibc is the malloc
 * that every machine has; under a sanitizer, whose malloc keeps all others out, every malloc must
 * be absent and say why, while the slab is measured all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/run_bench.h"

static const char *const rows[] = {
    "pair_64b",         "pair_256b",    "pair_1kib",    "pair_4kib",       "pair_64b_2t",
    "pair_256b_2t",     "pair_1kib_2t", "pair_4kib_2t", "batch_64b",       "batch_256b",
    "batch_1kib",       "batch_4kib",   "batch_64b_2t", "batch_256b_2t",   "batch_1kib_2t",
    "batch_4kib_2t",    "replace",      "replace_2t",   "arena_alloc_32b", "arena_alloc_32b_2t",
    "waste_log_normal", "move_pages",
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

static struct bench_run run;

/* Whether glibc was measured; where a sanitizer keeps it out the line must say so. */
static bool has_glibc(const char *row)
{
    const struct flat_json *line = find_line(&run, row, "glibc", 0);

    assert_non_null(line);
#ifdef __SANITIZE_ADDRESS__
    assert_true(is_absent(line));
    return false;
#else
    assert_false(is_absent(line));
    return true;
#endif
}

static void check_times(const char *row)
{
    const struct flat_json *line = find_line(&run, row, "quarry", 0);

    assert_non_null(line);
    assert_false(is_absent(line));
    assert_true(figure(line, "wall_ns_per_pair") > 0.1);
    assert_true(figure(line, "cpu_ns_per_pair") > 0);
    if (has_glibc(row)) {
        double ratio = figure(line, "wall_ns_per_pair") /
                       figure(find_line(&run, row, "glibc", 0), "wall_ns_per_pair");
        assert_true(figure(line, "ratio") > ratio - 0.01 && figure(line, "ratio") < ratio + 0.01);
        assert_string_equal(flat_json_text(line, "best_peer"), "glibc");
    }
}

static void pairs_batches_and_replacements_have_times(void **state)
{
    (void)state;
    bench_json("slab --quick --json --against glibc --rows '[pbr][ae]*'", &run);
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(flat_json_text(&run.line[0], "row"), "machine");
    for (size_t i = 0; i < 18; i++) {
        check_times(rows[i]);
    }
    assert_null(find_line(&run, "arena_alloc_32b", "quarry", 0));
    assert_null(find_line(&run, "pair_64b", "mimalloc", 0));
}

static void an_arena_has_times_beside_malloc(void **state)
{
    (void)state;
    bench_json("slab --quick --json --against glibc --rows 'arena_*'", &run);
    assert_int_equal(run.exit_code, 0);
    check_times("arena_alloc_32b");
    check_times("arena_alloc_32b_2t");
}

static void waste_is_a_part_of_what_was_asked_for(void **state)
{
    (void)state;
    bench_json("slab --quick --json --against glibc --rows 'waste_*'", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = find_line(&run, "waste_log_normal", "quarry", 0);
    /* Eight classes a doubling round up by a sixteenth on the average. */
    assert_true(figure(line, "cell_waste_percent") > 0.1);
    assert_true(figure(line, "cell_waste_percent") < 8);
    if (has_glibc("waste_log_normal")) {
        line = find_line(&run, "waste_log_normal", "glibc", 0);
        /* It rounds up to 16 and 8 more, of some 785 bytes. */
        assert_true(figure(line, "cell_waste_percent") > 0.5);
        assert_true(figure(line, "cell_waste_percent") < 3);
        assert_true(figure(line, "resident_waste_percent") > figure(line, "cell_waste_percent"));
    }
}

static void pages_are_moved_while_they_are_read(void **state)
{
    (void)state;
    bench_json("slab --quick --json --rows move_pages", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = find_line(&run, "move_pages", "quarry", 0);
    assert_non_null(line);
    assert_true(figure(line, "pages_per_second") > 0);
    assert_true(figure(line, "checked_words") > 1000);
    assert_true(figure(line, "lock_cpu_us_max") > 0);
    assert_null(find_line(&run, "move_pages", "glibc", 0));
}

static void instructions_are_counted_or_said_to_be_absent(void **state)
{
    (void)state;
    bench_json("slab --json --instructions --rows pair_64b --against glibc", &run);
    const struct flat_json *line = find_line(&run, "instr_pair_64b", "quarry", 0);
    if (line == NULL) {
        assert_true(is_absent(find_line(&run, "instructions", "quarry", 0)));
    } else if (!is_absent(line)) {
        assert_true(figure(line, "instructions_per_pair") > 10);
        assert_true(figure(line, "instructions_per_pair") < 2000);
    }
}

static void help_names_every_row(void **state)
{
    (void)state;
    assert_help_names("slab", rows, ROW_COUNT);
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"slab --bogus", "--bogus"},
        {"slab --rounds 0", "from 1"},
        {"slab --against glibc,foo", "foo: there are quarry_malloc, glibc"},
        {"slab extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "slab",
        "slab quarry",
        "slab nobody probe",
        "slab quarry row no_such_row 1",
        "slab quarry row pair_64b 0",
        "slab quarry row pair_64b",
        "slab quarry probe 1",
    };
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "see its help");
}

static void a_child_whose_library_is_not_in_force_measures_nothing(void **state)
{
    (void)state;
    char text[4096];

    assert_int_equal(child_text("slab mimalloc row pair_64b 1", text, sizeof text), 3);
    assert_non_null(strstr(text, "malloc is in"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_batches_and_replacements_have_times),
        cmocka_unit_test(an_arena_has_times_beside_malloc),
        cmocka_unit_test(waste_is_a_part_of_what_was_asked_for),
        cmocka_unit_test(pages_are_moved_while_they_are_read),
        cmocka_unit_test(instructions_are_counted_or_said_to_be_absent),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
        cmocka_unit_test(a_child_whose_library_is_not_in_force_measures_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
