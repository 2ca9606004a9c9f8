/*
 * `quarry bench blocks` as its users run it: short sittings, with a look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. RocksDB's caches are
 * measured where their library is, and said to be absent elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/run_bench.h"

#define MIB 1048576.0

static struct bench_run run;

static const char *const policies[] = {"quarry", "lru", "clock", "two_queue", "s3_fifo"};
#define POLICY_COUNT (sizeof policies / sizeof policies[0])

static void every_policy_misses_less_in_a_larger_cache(void **state)
{
    (void)state;
    bench_json("blocks --quick --json --rows 'miss_web_*'", &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 1 + 8 * POLICY_COUNT);
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        double small = figure(find_line(&run, "miss_web_1", policies[i], 0), "miss_ratio");
        double large = figure(find_line(&run, "miss_web_25", policies[i], 0), "miss_ratio");
        assert_true(large > 0 && large < small && small < 1);
        const struct flat_json *sized = find_line(&run, "miss_web_10_bytes", policies[i], 0);
        assert_true(figure(sized, "byte_miss_ratio") > 0);
        assert_true(figure(sized, "byte_miss_ratio") < 1);
    }
}

static void one_policy_is_the_best_of_a_row(void **state)
{
    (void)state;
    size_t best_count = 0;
    double best = 1;

    bench_json("blocks --quick --json --rows miss_cdn_5", &run);
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        const struct flat_json *line = find_line(&run, "miss_cdn_5", policies[i], 0);
        double ratio = figure(line, "miss_ratio");
        best = ratio < best ? ratio : best;
    }
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        const struct flat_json *line = find_line(&run, "miss_cdn_5", policies[i], 0);
        if (flat_json_find(line, "is_best")->is_true) {
            best_count++;
            assert_true(figure(line, "miss_ratio") == best);
        }
    }
    assert_int_equal(best_count, 1);
    assert_non_null(flat_json_text(find_line(&run, "miss_cdn_5", "quarry", 0), "best_peer"));
}

/* What a line about the mix must say; nothing of one that is absent. */
static void check_mix(const char *row, const char *subject, bool is_ours)
{
    const struct flat_json *line = find_line(&run, row, subject, 0);

    assert_non_null(line);
    if (!is_ours && is_absent(line)) {
        return;
    }
    double wall_ns = figure(line, "wall_ns_per_operation");
    double product = wall_ns * figure(line, "operations_per_second");
    assert_true(product > 0.99e9 && product < 1.01e9);
    if (strncmp(subject, "cb_", 3) == 0) {
        assert_null(flat_json_find(line, "ratio"));
        return;
    }
    /* A quarter of the keys fits, and low ones are wanted most. */
    assert_true(figure(line, "hit_percent") > 40 && figure(line, "hit_percent") < 95);
    assert_true(figure(line, "cpu_ns_per_operation") > 0);
    assert_true(figure(line, "peak_rss_bytes") > 16 * MIB);
}

static void caches_do_the_same_mix(void **state)
{
    (void)state;
    static const char *const subjects[] = {"rocksdb_lru", "rocksdb_hcc", "cb_lru", "cb_hcc"};

    bench_json("blocks --quick --json --rows 'cache_bench_*t'", &run);
    assert_int_equal(run.exit_code, 0);
    static const char *const rows[] = {"cache_bench_1t", "cache_bench_2t", "cache_bench_lean_1t",
                                       "cache_bench_lean_2t"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_mix(rows[i], "quarry", true);
        for (size_t n = 0; n < sizeof subjects / sizeof subjects[0]; n++) {
            check_mix(rows[i], subjects[n], false);
        }
    }
}

static void what_is_in_the_cache_is_hit(void **state)
{
    (void)state;
    static const char *const rows[] = {"hit_512kib", "hit_64mib", "hit_1gib"};

    bench_json("blocks --quick --json --rows 'hit_*' --against rocksdb_lru", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct flat_json *line = find_line(&run, rows[i], "quarry", 0);
        assert_non_null(line);
        assert_true(figure(line, "hit_percent") > 95);
        assert_null(find_line(&run, rows[i], "rocksdb_hcc", 0));
    }
}

static void a_storm_loads_a_block_once(void **state)
{
    (void)state;
    bench_json("blocks --quick --json --rows single_flight", &run);
    const struct flat_json *line = find_line(&run, "single_flight", "quarry", 0);
    assert_non_null(line);
    assert_true(figure(line, "loads_per_operation") == 1);
    assert_true(figure(line, "wall_ns_per_operation") >= 20000);
    assert_null(find_line(&run, "single_flight", "rocksdb_lru", 0));
}

static void inserting_is_measured_or_a_peer_says_why_not(void **state)
{
    (void)state;
    bench_json("blocks --quick --json --rows insert_evict", &run);
    const struct flat_json *line = find_line(&run, "insert_evict", "quarry", 0);
    assert_true(figure(line, "wall_ns_per_operation") > 10);
    assert_null(flat_json_find(line, "hit_percent"));
    line = find_line(&run, "insert_evict", "rocksdb_hcc", 0);
    assert_true(is_absent(line) || figure(line, "ratio") > 0);
}

static void instructions_are_counted_or_said_to_be_absent(void **state)
{
    (void)state;
    bench_json("blocks --json --instructions --rows hit_512kib --against lru", &run);
    const struct flat_json *line = find_line(&run, "instr_hit_512kib", "quarry", 0);
    if (line == NULL) {
        assert_true(is_absent(find_line(&run, "instructions", "quarry", 0)));
    } else if (!is_absent(line)) {
        assert_true(figure(line, "instructions_per_operation") > 50);
        assert_true(figure(line, "instructions_per_operation") < 5000);
    }
}

static void a_peer_that_is_not_installed_is_said_to_be_absent(void **state)
{
    (void)state;
    char text[8192];

    assert_int_equal(
        bench_text_without_path("blocks --quick --rows cache_bench_1t --against cb_lru", text,
                                sizeof text),
        0);
    assert_non_null(strstr(text, "rocksdb-tools is not installed"));
}

static void help_names_every_row(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "miss_web",
        "miss_cdn",
        "miss_recommender",
        "miss_orm",
        "miss_phases",
        "cache_bench_1t",
        "cache_bench_lean_2t",
        "miss_block_device",
        "hit_512kib",
        "hit_64mib",
        "hit_1gib",
        "insert_evict",
        "single_flight",
    };
    assert_help_names("blocks", rows, sizeof rows / sizeof rows[0]);
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"blocks --bogus", "--bogus"},
        {"blocks --rounds 0", "from 1"},
        {"blocks --rounds 102", "to 101"},
        {"blocks --against lru,foo", "foo: there are lru, clock"},
        {"blocks extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "blocks",
        "blocks policy lru web 0 10",
        "blocks policy nobody web 0 10 unit",
        "blocks policy lru nowhere 0 10 unit",
        "blocks policy lru web 0 0 unit",
        "blocks policy lru web 0 10 pounds",
        "blocks policy lru web 96001 10 unit",
        "blocks cache no_such_row 1 1",
        "blocks cache hit_512kib 0 1",
    };
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "`quarry bench blocks`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_misses_less_in_a_larger_cache),
        cmocka_unit_test(one_policy_is_the_best_of_a_row),
        cmocka_unit_test(caches_do_the_same_mix),
        cmocka_unit_test(what_is_in_the_cache_is_hit),
        cmocka_unit_test(a_storm_loads_a_block_once),
        cmocka_unit_test(inserting_is_measured_or_a_peer_says_why_not),
        cmocka_unit_test(instructions_are_counted_or_said_to_be_absent),
        cmocka_unit_test(a_peer_that_is_not_installed_is_said_to_be_absent),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
