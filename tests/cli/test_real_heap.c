/*
 * The tools on a program that runs on Quarry's own malloc.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "fake.h"
#include "json.h"
#include "pprof.pb-c.h"
#include "run.h"

/* What real_program.c keeps, in the size classes of its requests: whole pages, and 208. */
#define KEPT_COUNT  12122
#define LIVE_BYTES  ((uint64_t)900 * 65536 + (uint64_t)KEPT_COUNT * 208)
#define LIVE_COUNT  (900 + KEPT_COUNT)
#define FREED_BYTES ((uint64_t)400000 * 208)
/* That it maps past its malloc, when it is called so. */
#define PAST_BYTES  ((uint64_t)64 << 20)
#define PROFILE_MAX ((size_t)1 << 22)

static struct fake program;

/* The background thread counts once a second. Figures that it was asked for now are of the end. */
static int await_figures(void)
{
    bool is_fresh = false;

    for (int i = 0; !is_fresh && i < 60; i++) {
        struct run run = RUN("heap", program.pid_text, "--json");
        is_fresh = strstr(run.out, "\"is_stale\":false") != NULL;
        run_free(&run);
    }
    return is_fresh ? 0 : -1;
}

/* One sample in 2 KiB: 11,000 of what is alive, whose sum is off by 1 % (one in 10^7 times by 5).
 */
static int start(void **state)
{
    (void)state;
    program = fake_start_program(
        (const char *const[]){QUARRY_CLI_PATH, "run", "--sample", "8K", REAL_PROGRAM_PATH, NULL});
    return await_figures();
}

static int stop(void **state)
{
    (void)state;
    fake_stop(&program);
    return 0;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

static void assert_near(int64_t found, int64_t planted, int64_t percent)
{
    if (100 * llabs(found - planted) > percent * planted) {
        fail_msg("%lld is not within %lld %% of %lld", (long long)found, (long long)percent,
                 (long long)planted);
    }
}

static void the_doctor_names_the_stack_that_pins(void **state)
{
    struct run run = RUN("doctor", program.pid_text, "--json");
    const char *found = strstr(run.out, "\"cause\":\"fragmentation\"");

    (void)state;
    assert_int_equal(run.exit_code, 3);
    assert_non_null(found);
    assert_true(json_is_valid(run.out, run.out + strlen(run.out)));
    assert_has(found, "pinned by objects that parse_config (real_program.c:");
    assert_has(found, "\"function\":\"parse_config\"");
    run_free(&run);
}

static int64_t sum_of(const Quarry__Pprof__Profile *profile, size_t value)
{
    int64_t sum = 0;

    for (size_t i = 0; i < profile->n_sample; i++) {
        sum += profile->sample[i]->value[value];
    }
    return sum;
}

static Quarry__Pprof__Profile *read_profile(const char *path)
{
    uint8_t *bytes = malloc(PROFILE_MAX);
    gzFile file = gzopen(path, "rb");

    assert_non_null(bytes);
    assert_non_null(file);
    int count = gzread(file, bytes, (unsigned)PROFILE_MAX);
    assert_true(count > 0 && (size_t)count < PROFILE_MAX);
    assert_int_equal(gzclose(file), Z_OK);
    Quarry__Pprof__Profile *profile = quarry__pprof__profile__unpack(NULL, (size_t)count, bytes);
    free(bytes);
    assert_non_null(profile);
    return profile;
}

static void a_profile_sums_up_to_the_live_bytes_within_5_percent(void **state)
{
    char path[] = "/tmp/quarry-real-XXXXXX";
    int fd = mkstemp(path);
    struct run run = RUN("heap", program.pid_text, "--pprof", path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(run.exit_code, 0);
    Quarry__Pprof__Profile *profile = read_profile(path);
    assert_int_equal(profile->n_sample_type, 4);
    assert_near(sum_of(profile, 3), LIVE_BYTES, 5);
    assert_near(sum_of(profile, 1), LIVE_BYTES + FREED_BYTES, 12);
    quarry__pprof__profile__free_unpacked(profile, NULL);
    run_free(&run);
    (void)close(fd);
    (void)unlink(path);
}

static void counted_figures_are_the_programs(void **state)
{
    struct run run = RUN("heap", program.pid_text, "--json");
    const char *totals = strstr(run.out, "\"totals\"");
    uint64_t large_bytes, live_bytes, alloc_count, free_count;

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_non_null(totals);
    assert_true(json_number(totals, "large_bytes", &large_bytes));
    assert_true(json_number(totals, "live_bytes", &live_bytes));
    assert_true(json_number(totals, "alloc_count", &alloc_count));
    assert_true(json_number(totals, "free_count", &free_count));
    /* The C library has some objects of its own. */
    assert_int_equal(large_bytes, 900 * 65536);
    assert_in_range(live_bytes, LIVE_BYTES - large_bytes, LIVE_BYTES - large_bytes + 65536);
    assert_in_range(alloc_count, LIVE_COUNT + 400000, LIVE_COUNT + 401000);
    assert_in_range(free_count, 400000, 401000);
    run_free(&run);
}

static void its_map_shows_pages_in_use(void **state)
{
    struct run run = RUN("map", program.pid_text, "--json");
    uint64_t in_use_bytes;

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_true(json_number(run.out, "in_use_bytes", &in_use_bytes));
    assert_true(in_use_bytes > LIVE_BYTES);
    run_free(&run);
}

static void the_ledger_explains_what_is_resident(void **state)
{
    struct run run = RUN("check", "memory", "--pid", program.pid_text, "--json");
    uint64_t committed_bytes, wanted_bytes, unexplained_bytes;

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_true(json_is_valid(run.out, run.out + strlen(run.out)));
    assert_has(run.out, "\"is_explained\":true");
    assert_true(json_number(run.out, "committed_bytes", &committed_bytes));
    assert_true(json_number(run.out, "wanted_bytes", &wanted_bytes));
    assert_true(json_number(run.out, "unexplained_bytes", &unexplained_bytes));
    assert_true(committed_bytes >= LIVE_BYTES && wanted_bytes >= LIVE_BYTES);
    assert_true(100 * unexplained_bytes <= 3 * wanted_bytes);
    run_free(&run);
}

static void memory_past_the_ledger_is_found(void **state)
{
    struct fake past = fake_start_program(
        (const char *const[]){QUARRY_CLI_PATH, "run", REAL_PROGRAM_PATH, "past", NULL});
    struct run run = RUN("check", "memory", "--pid", past.pid_text, "--json");
    uint64_t ledger_bytes, unexplained_bytes;

    (void)state;
    assert_int_equal(run.exit_code, 3);
    assert_has(run.out, "\"is_explained\":false");
    assert_true(json_number(run.out, "ledger_bytes", &ledger_bytes));
    assert_true(json_number(run.out, "unexplained_bytes", &unexplained_bytes));
    assert_true(unexplained_bytes + ledger_bytes >= PAST_BYTES);
    run_free(&run);
    run = RUN("check", "memory", "--pid", past.pid_text);
    assert_int_equal(run.exit_code, 3);
    assert_has(run.out, "resident and not explained\n\nBAD: ");
    run_free(&run);
    fake_stop(&past);
}

static void a_report_follows_its_end(void **state)
{
    const struct run_options options = {.stdin_path = "/dev/null"};
    struct run run = run_quarry(&options, (const char *const[]){"run", "--report", "--sample",
                                                                "16K", REAL_PROGRAM_PATH, NULL});

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.err, "resident  peak ");
    assert_has(run.err, "free in spans");
    assert_has(run.err, "load_row (real_program.c:");
    assert_has(run.err, "parse_config (real_program.c:");
    assert_has(run.err, "0 refused");
    run_free(&run);
}

static void a_limit_makes_allocations_fail(void **state)
{
    struct run run = RUN("run", "--report", "--limit", "32M", REAL_PROGRAM_PATH);

    (void)state;
    assert_int_equal(run.exit_code, 1);
    assert_has(run.err, "ended with 1");
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_doctor_names_the_stack_that_pins),
        cmocka_unit_test(a_profile_sums_up_to_the_live_bytes_within_5_percent),
        cmocka_unit_test(counted_figures_are_the_programs),
        cmocka_unit_test(its_map_shows_pages_in_use),
        cmocka_unit_test(the_ledger_explains_what_is_resident),
        cmocka_unit_test(memory_past_the_ledger_is_found),
        cmocka_unit_test(a_report_follows_its_end),
        cmocka_unit_test(a_limit_makes_allocations_fail),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
