/*
 * The commands that look into another process, on processes whose heaps are planted: what they say
 * is compared with what was planted.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "json.h"
#include "run.h"

#define MIB ((uint64_t)1 << 20)
/* What plant_all in fake_program.c comes to. */
#define PLANTED_SPARSE_BYTES ((uint64_t)22000 * (8192 - 256))
#define PLANTED_LIVE_BYTES   ((uint64_t)22000 * 256 + 40000 * 1024)
#define PLANTED_LARGE_BYTES  ((uint64_t)400 * 65536)
#define PLANTED_ALLOC_COUNT  (20000 + 2000 + 400 + 40000 + 300000)

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

static void assert_has_not(const char *text, const char *part)
{
    if (has(text, part)) {
        fail_msg("'%s' is in:\n%s", part, text);
    }
}

/* The number of the first such field behind `anchor`. */
static uint64_t number_after(const char *text, const char *anchor, const char *key)
{
    const char *at = strstr(text, anchor);
    uint64_t number = 0;

    if (at == NULL || !json_number(at, key, &number)) {
        fail_msg("no \"%s\" behind '%s' in:\n%s", key, anchor, text);
    }
    return number;
}

/* Within 5 %, as estimates from samples are to be. */
static void assert_near(uint64_t found, uint64_t planted)
{
    if (found < planted - planted / 20 || found > planted + planted / 20) {
        fail_msg("%llu is not within 5 %% of %llu", (unsigned long long)found,
                 (unsigned long long)planted);
    }
}

static struct run run_ok(int exit_code, const char *const *arguments)
{
    struct run run = run_quarry(&(struct run_options){0}, arguments);

    if (run.exit_code != exit_code) {
        fail_msg("exit code %d, not %d: %s%s", run.exit_code, exit_code, run.out, run.err);
    }
    return run;
}

/* Runs a command that ends with `CODE`. */
#define RUN_TO(CODE, ...) run_ok(CODE, (const char *const[]){__VA_ARGS__, NULL})

static struct run run_json(int exit_code, const char *const *arguments)
{
    struct run run = run_ok(exit_code, arguments);

    if (!json_is_valid(run.out, run.out + strlen(run.out))) {
        fail_msg("no JSON: %s", run.out);
    }
    assert_ptr_equal(strchr(run.out, '\n'), run.out + strlen(run.out) - 1);
    return run;
}

#define JSON_TO(CODE, ...) run_json(CODE, (const char *const[]){__VA_ARGS__, NULL})

/* One process with everything planted, for the tests that only look. */
static struct fake shared;

static int start_shared(void **state)
{
    (void)state;
    shared = fake_start("all");
    return 0;
}

static int stop_shared(void **state)
{
    (void)state;
    fake_stop(&shared);
    return 0;
}

/* ---- heap ----------------------------------------------------------------------------------- */

static void heap_shows_what_was_counted(void **state)
{
    struct run run = JSON_TO(0, "heap", shared.pid_text, "--json");

    (void)state;
    assert_has(run.out, "{\"view\":\"heap\",");
    assert_int_equal(number_after(run.out, "\"view\"", "pid"), shared.pid);
    assert_int_equal(number_after(run.out, "\"totals\"", "live_bytes"), PLANTED_LIVE_BYTES);
    assert_int_equal(number_after(run.out, "\"totals\"", "large_bytes"), PLANTED_LARGE_BYTES);
    assert_int_equal(number_after(run.out, "\"totals\"", "alloc_count"), PLANTED_ALLOC_COUNT);
    assert_int_equal(number_after(run.out, "\"waste\"", "span_free_bytes"), PLANTED_SPARSE_BYTES);
    assert_int_equal(number_after(run.out, "\"owner\":\"malloc\"", "sparse_span_count"), 22000);
    assert_int_equal(number_after(run.out, "\"owner\":\"cache\"", "sparse_span_count"), 0);
    assert_int_equal(number_after(run.out, "\"object_bytes\":256", "live_count"), 22000);
    assert_int_equal(number_after(run.out, "\"object_bytes\":256", "waste_bytes"),
                     PLANTED_SPARSE_BYTES);
    run_free(&run);
}

static void heap_estimates_what_was_planted_within_5_percent(void **state)
{
    struct run run = JSON_TO(0, "heap", shared.pid_text, "--json");
    const char *pinners = strstr(run.out, "\"pinning_stacks\"");
    const char *allocators = strstr(run.out, "\"allocating_stacks\"");

    (void)state;
    assert_non_null(pinners);
    assert_non_null(allocators);
    /* Most first: the cache, then the table; the request handler, then the cache. */
    assert_near(number_after(run.out, "\"stacks\"", "live_bytes"), 40000 * 1024);
    assert_near(number_after(allocators, "\"", "alloc_count"), 300000);
    assert_near(number_after(pinners, "\"", "pinned_span_bytes"), (uint64_t)20000 * (8192 - 256));
    assert_near(number_after(run.out, "\"totals\"", "pinned_span_bytes"), PLANTED_SPARSE_BYTES);
    assert_near(number_after(run.out, "\"waste\"", "rounding_bytes"), 40000 * 424 + 20000 * 6);
    run_free(&run);
}

static void heap_names_functions_files_and_lines(void **state)
{
    struct run json = JSON_TO(0, "heap", shared.pid_text, "--json", "--top", "1");
    struct run text = RUN_TO(0, "heap", shared.pid_text);
    const char *frames = strstr(json.out, "\"frames\":[");

    (void)state;
    assert_non_null(frames);
    assert_has(frames, "\"function\":\"fill_cache\"");
    assert_has(frames, "fake_program.c\",\"line\":");
    assert_has(frames, "\"function\":\"main\"");
    assert_has(text.out, "parse_config (fake_program.c:");
    assert_has(text.out, "main (fake_program.c:");
    assert_has(text.out, "pinning stacks");
    assert_has(text.out, "free in spans");
    /* The stack begins behind the malloc that took it. */
    assert_has_not(text.out, "fake_add");
    assert_has_not(text.out, "mem_profile_alloc");
    run_free(&json);
    run_free(&text);
}

/* A rebuild while it runs: what lies at its path is another program. */
static void a_program_whose_file_was_replaced_is_named_all_the_same(void **state)
{
    char folder[] = "/tmp/quarry-tools-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/program", folder);
    run_copy_program(FAKE_PROGRAM_PATH, path);
    struct fake fake = fake_start_program((const char *const[]){path, "all", NULL});
    assert_int_equal(unlink(path), 0);
    run_copy_program("/bin/true", path);
    struct run run = RUN_TO(0, "heap", fake.pid_text);
    assert_has(run.out, "parse_config (fake_program.c:");
    run_free(&run);
    fake_stop(&fake);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void heap_shows_one_profile_when_asked(void **state)
{
    struct run allocs = RUN_TO(0, "heap", shared.pid_text, "--profile", "allocs", "--top", "1");
    struct run lives = RUN_TO(0, "heap", shared.pid_text, "--profile", "lifetimes");
    struct run pinned = RUN_TO(0, "heap", shared.pid_text, "--profile", "fragmentation");

    (void)state;
    assert_has(allocs.out, "answer_request");
    assert_has_not(allocs.out, "parse_config");
    assert_has(allocs.out, "and 4 more");
    assert_has(lives.out, "freed at under 1 ms");
    assert_has(lives.out, "alive");
    assert_has(pinned.out, "open_session");
    assert_has_not(pinned.out, "load_table");
    assert_has_not(pinned.out, "size classes");
    run_free(&allocs);
    run_free(&lives);
    run_free(&pinned);
}

static void heap_changes_how_often_the_process_samples(void **state)
{
    struct fake fake = fake_start("healthy");
    struct run change = RUN_TO(0, "heap", fake.pid_text, "--sample", "256K");
    struct run after = JSON_TO(0, "heap", fake.pid_text, "--json");
    struct run off = RUN_TO(0, "heap", fake.pid_text, "--sample", "0");
    struct run text = RUN_TO(0, "heap", fake.pid_text);

    (void)state;
    assert_string_equal(change.out, "");
    assert_int_equal(number_after(after.out, "\"view\"", "sample_mean_bytes"), 256 << 10);
    assert_has(text.out, "Sampling is off");
    run_free(&change);
    run_free(&after);
    run_free(&off);
    run_free(&text);
    fake_stop(&fake);
}

static void a_profile_that_cannot_be_written_is_a_failure(void **state)
{
    struct run folder = RUN_TO(1, "heap", shared.pid_text, "--pprof", "/nowhere/heap.pb.gz");
    struct run full = RUN_TO(1, "heap", shared.pid_text, "--pprof", "/dev/full");

    (void)state;
    assert_has(folder.err, "/nowhere/heap.pb.gz: No such file or directory");
    assert_has(full.err, "/dev/full: No space left on device");
    run_free(&folder);
    run_free(&full);
}

/* ---- top ------------------------------------------------------------------------------------ */

static void top_prints_one_picture_where_there_is_no_terminal(void **state)
{
    struct run once = RUN_TO(0, "top", shared.pid_text, "--once");
    struct run plain = RUN_TO(0, "top", shared.pid_text, "--ascii");

    (void)state;
    assert_has(once.out, "budget");
    assert_has(once.out, "live 69.4 MiB");
    assert_has(once.out, "malloc");
    assert_has(once.out, "22000 of 22000");
    assert_has(once.out, "fill_cache (fake_program.c:");
    assert_has(once.out, "parse_config (fake_program.c:");
    assert_has(once.out, "\xe2\x96\x88"); /* a full block */
    for (const char *at = plain.out; *at != '\0'; at++) {
        assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
    }
    run_free(&once);
    run_free(&plain);
}

static void top_shows_accounts_where_there_are_some(void **state)
{
    struct fake fake = fake_start("budgeted");
    struct run text = RUN_TO(0, "top", fake.pid_text, "--ascii");
    struct run without = RUN_TO(0, "top", shared.pid_text, "--ascii");
    struct run json = JSON_TO(0, "top", fake.pid_text, "--json");
    struct run heap = RUN_TO(0, "heap", fake.pid_text);

    (void)state;
    assert_has(text.out, "pressure high  set aside 1 MiB of 2 MiB, 5 MiB used  accounts 3  "
                         "shifted 17 times");
    assert_has(text.out, "s set aside 1 MiB");
    assert_has(text.out, "\n(memory)  ");
    assert_has(text.out, "\n  kv  ");
    assert_has(text.out, "\n    block");
    assert_has(text.out, "     12.5         3        9");
    assert_has_not(text.out, "\x1b");
    assert_has_not(without.out, "pressure");
    assert_has_not(without.out, "(memory)");
    assert_has_not(without.out, "set aside");
    assert_has(json.out, "\"budget\":{\"pressure\":\"high\",\"account_count\":3");
    assert_int_equal(number_after(json.out, "\"ledger\"", "set_aside_bytes"), MIB);
    assert_int_equal(number_after(json.out, "\"kv.block", "target_bytes"), 44 * MIB);
    assert_int_equal(number_after(json.out, "\"kv.block", "refused_count"), 9);
    assert_int_equal(number_after(json.out, "\"kv.block", "growth_millihits_per_s_mib"), 12500);
    assert_has(heap.out, "the budget\n  pressure high");
    assert_has(heap.out, "\n    kv  ");
    assert_has_not(heap.out, "\x1b");
    run_free(&text);
    run_free(&without);
    run_free(&json);
    run_free(&heap);
    fake_stop(&fake);
}

static void the_doctor_sees_pressure_and_ceilings(void **state)
{
    struct fake fake = fake_start("budgeted");
    struct run run = JSON_TO(3, "doctor", fake.pid_text, "--json");

    (void)state;
    assert_has(run.out, "The pressure is high");
    assert_has(run.out, "was refused memory 9 times at its ceiling: 40 MiB of 48 MiB");
    assert_has(run.out, "\"cause\":\"ceiling\"");
    assert_has(run.out, "\"cause\":\"pressure\"");
    run_free(&run);
    fake_stop(&fake);
}

static void top_is_one_json_object_on_demand(void **state)
{
    struct run run = JSON_TO(0, "top", shared.pid_text, "--json");

    (void)state;
    assert_has(run.out, "{\"view\":\"top\",");
    assert_int_equal(number_after(run.out, "\"ledger\"", "limit_bytes"), 1 << 30);
    assert_int_equal(number_after(run.out, "\"owner\":\"malloc\"", "fragmentation_bytes"),
                     PLANTED_SPARSE_BYTES);
    assert_has(run.out, "\"classes\":[{");
    assert_has(run.out, "\"pinning_stacks\":[{");
    run_free(&run);
}

static void top_runs_in_a_terminal_until_q_is_pressed(void **state)
{
    const char *const arguments[] = {"top", shared.pid_text, NULL};
    static const unsigned short sizes[][2] = {{100, 30}, {1, 1}, {40, 10}, {300, 100}};
    static const char *const shown[] = {"q quits", "parse_config", NULL};

    (void)state;
    if (!run_has_terminals()) {
        skip();
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct run run =
            run_in_terminal(&(struct run_terminal){sizes[i][0], sizes[i][1], .resize_width = 60,
                                                   .awaited = i == 0 ? shown : NULL},
                            arguments);
        assert_int_equal(run.exit_code, 0);
        if (i == 0) {
            assert_has(run.out, "q quits");
            assert_has(run.out, "parse_config");
            assert_has(run.out, "\x1b[?1049l");
        }
        run_free(&run);
    }
}

static void top_ends_when_the_process_does(void **state)
{
    struct fake fake = fake_start("healthy");
    const char *const arguments[] = {"top", fake.pid_text, NULL};

    (void)state;
    if (!run_has_terminals()) {
        fake_stop(&fake);
        skip();
    }
    struct run run = run_in_terminal(
        &(struct run_terminal){100, 30, .awaited = AWAITED("q quits"), .victim = fake.pid},
        arguments);
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "has ended");
    run_free(&run);
    (void)close(fake.stdin_fd);
    assert_int_equal(waitpid(fake.pid, NULL, 0), fake.pid);
}

/* ---- map ------------------------------------------------------------------------------------ */

static void map_draws_the_heap_of_a_process(void **state)
{
    struct run picture = RUN_TO(0, "map", shared.pid_text);
    struct run json = JSON_TO(0, "map", shared.pid_text, "--json");
    char path[] = "/tmp/quarry-tools-map-XXXXXX";
    int fd = mkstemp(path);
    struct run saved = RUN_TO(0, "map", shared.pid_text, "--once", "--save", path);
    struct run again = RUN_TO(0, "map", path);

    (void)state;
    assert_true(fd >= 0);
    assert_has(picture.out, "process ");
    assert_has(picture.out, "of 256 MiB");
    assert_int_equal(number_after(json.out, "\"view\":\"map\"", "limit_bytes"), 256 * MIB);
    assert_has(again.out, "of 256 MiB");
    run_free(&picture);
    run_free(&json);
    run_free(&saved);
    run_free(&again);
    (void)close(fd);
    (void)unlink(path);
}

/* ---- doctor --------------------------------------------------------------------------------- */

static void the_doctor_names_the_stack_that_pins_most(void **state)
{
    struct run json = JSON_TO(3, "doctor", shared.pid_text, "--json");
    struct run text = RUN_TO(3, "doctor", shared.pid_text);
    const char *fragmentation = strstr(json.out, "\"cause\":\"fragmentation\"");

    (void)state;
    assert_non_null(fragmentation);
    assert_int_equal(number_after(json.out, "\"findings\"", "bytes"), PLANTED_SPARSE_BYTES);
    assert_has(fragmentation, "\"severity\":\"critical\"");
    assert_has(fragmentation, "3 % of their bytes are alive");
    assert_has(fragmentation,
               "91 % of them are pinned by objects that parse_config (fake_program.c:");
    assert_has(fragmentation, "\"function\":\"parse_config\"");
    assert_has(text.out, "1. critical: fragmentation, 166.5 MiB");
    assert_has(text.out, "parse_config (fake_program.c:");
    assert_has(text.out, "quarry_lifetime_begin");
    assert_has(text.out, "--profile fragmentation");
    run_free(&json);
    run_free(&text);
}

static void the_doctor_names_rounding_and_churn(void **state)
{
    struct run run = JSON_TO(3, "doctor", shared.pid_text, "--json");
    const char *rounding = strstr(run.out, "\"cause\":\"rounding\"");
    const char *churn = strstr(run.out, "\"cause\":\"churn\"");

    (void)state;
    assert_non_null(rounding);
    assert_has(rounding, "fill_cache (fake_program.c:");
    assert_has(rounding, "asks for 600 bytes on average and gets 1024");
    assert_non_null(churn);
    assert_has(churn, "answer_request");
    assert_has_not(run.out, "\"cause\":\"limit\"");
    assert_has_not(run.out, "\"cause\":\"growth\"");
    run_free(&run);
}

static void the_doctor_says_when_nothing_is_wrong(void **state)
{
    struct fake fake = fake_start("healthy");
    struct run text = RUN_TO(0, "doctor", fake.pid_text, "--heap");
    struct run json = JSON_TO(0, "doctor", fake.pid_text, "--heap", "--json");

    (void)state;
    assert_has(text.out, "Nothing is wrong.");
    assert_has(json.out, "\"findings\":[]");
    run_free(&text);
    run_free(&json);
    fake_stop(&fake);
}

/* What the machine is like is nobody's plant: whatever is found is of it, and the heap is well. */
static void the_doctor_looks_at_the_machine_too(void **state)
{
    struct fake fake = fake_start("healthy");
    struct run run = run_quarry(&(struct run_options){0},
                                (const char *const[]){"doctor", fake.pid_text, "--json", NULL});

    (void)state;
    assert_true(run.exit_code == 0 || run.exit_code == 3);
    assert_true(json_is_valid(run.out, run.out + strlen(run.out)));
    assert_has_not(run.out, "\"part\":\"heap\"");
    assert_true(has(run.out, "\"findings\":[]") || has(run.out, "\"part\":\"system\""));
    assert_int_equal(run.exit_code == 3, has(run.out, "\"severity\":\"warning\"") ||
                                             has(run.out, "\"severity\":\"critical\""));
    run_free(&run);
    fake_stop(&fake);
}

static void the_doctor_does_not_judge_small_heaps(void **state)
{
    struct fake fake = fake_start("small");
    struct run text = RUN_TO(0, "doctor", fake.pid_text, "--heap");
    struct run json = JSON_TO(0, "doctor", fake.pid_text, "--heap", "--json");

    (void)state;
    assert_has(text.out, "Too small to judge");
    assert_has(json.out, "\"is_too_small\":true");
    run_free(&text);
    run_free(&json);
    fake_stop(&fake);
}

static void the_doctor_sees_limits_caches_peaks_and_modes(void **state)
{
    static const char *const causes[] = {"limit", "free-pages", "thread-caches", "peak",
                                         "hardened"};
    struct fake fake = fake_start("crowded");
    struct run run = JSON_TO(3, "doctor", fake.pid_text, "--json");
    char wanted[64];

    (void)state;
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        (void)snprintf(wanted, sizeof(wanted), "\"cause\":\"%s\"", causes[i]);
        assert_has(run.out, wanted);
    }
    assert_has(run.out, "7 allocations were refused");
    assert_has(run.out, "cached by 4 threads, 3 MiB each");
    assert_int_equal(number_after(run.out, "\"free-pages\"", "bytes"), 20 * MIB);
    /* By bytes: the peak's 128 MiB above now come before the limit's 72 and the free 20. */
    assert_true(strstr(run.out, "\"cause\":\"peak\"") < strstr(run.out, "\"cause\":\"limit\""));
    assert_true(strstr(run.out, "\"cause\":\"limit\"") <
                strstr(run.out, "\"cause\":\"free-pages\""));
    run_free(&run);
    fake_stop(&fake);
}

static void the_doctor_knows_what_it_cannot_know(void **state)
{
    struct fake fake = fake_start("blind");
    struct run run = JSON_TO(3, "doctor", fake.pid_text, "--json");

    (void)state;
    assert_has(run.out, "who pins them is not known");
    assert_has(run.out, "\"cause\":\"sampling\"");
    run_free(&run);
    fake_stop(&fake);
}

static void the_doctor_sees_growth_when_it_looks_twice(void **state)
{
    struct fake fake = fake_start("growing");
    struct run once = JSON_TO(0, "doctor", fake.pid_text, "--heap", "--json");
    struct run twice =
        run_quarry(&(struct run_options){0},
                   (const char *const[]){"doctor", fake.pid_text, "--heap", "--watch", NULL});

    (void)state;
    assert_has_not(once.out, "leak_buffer");
    assert_true(twice.exit_code == 3);
    assert_has(twice.out, "growth");
    assert_has(twice.out, "leak_buffer (fake_program.c:");
    run_free(&once);
    run_free(&twice);
    fake_stop(&fake);
}

/* ---- what cannot be looked at --------------------------------------------------------------- */

static void assert_no_connection(const char *reason, const char *pid)
{
    static const char *const commands[] = {"heap", "top", "map", "doctor"};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct run run = RUN_TO(4, commands[i], pid);
        assert_string_equal(run.out, "");
        assert_has(run.err, reason);
        run_free(&run);
    }
}

static void a_process_that_is_none_is_said_to_be_so(void **state)
{
    pid_t child = fork();
    char pid[16];

    (void)state;
    if (child == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)snprintf(pid, sizeof(pid), "%d", (int)child);
    assert_no_connection("no process", pid);
}

static void a_process_of_another_malloc_is_told_how_to_start(void **state)
{
    char pid[16];

    (void)state;
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_no_connection("Start it with: quarry run -- COMMAND", pid);
}

static void a_process_that_does_not_answer_is_shown_as_it_was(void **state)
{
    struct fake fake = fake_start("silent");
    struct run json = JSON_TO(0, "heap", fake.pid_text, "--json");
    struct run text = RUN_TO(0, "heap", fake.pid_text);

    (void)state;
    assert_has(json.out, "\"is_stale\":true");
    assert_true(number_after(json.out, "\"view\"", "figures_age_ns") >= 1000000000);
    assert_has(text.out, "It has not answered yet");
    run_free(&json);
    run_free(&text);
    fake_stop(&fake);
}

static void a_process_that_answers_is_shown_as_it_is(void **state)
{
    bool is_fresh = false;

    /* On a busy machine it may answer too late. */
    (void)state;
    for (unsigned i = 0; i < 100 && !is_fresh; i++) {
        struct run run = JSON_TO(0, "heap", shared.pid_text, "--json");
        is_fresh = strstr(run.out, "\"is_stale\":false") != NULL &&
                   number_after(run.out, "\"view\"", "figures_age_ns") < 1000000000;
        run_free(&run);
    }
    assert_true(is_fresh);
}

static void a_wrong_command_line_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *reason;
        const char *arguments[6];
    } wrong[] = {
        {"a process number is missing", {"heap"}},
        {"a process number is missing", {"top"}},
        {"a process number is missing", {"doctor", "--json"}},
        {"a process number is wanted, not 'abc'", {"heap", "abc"}},
        {"a process number is wanted, not '0'", {"doctor", "0"}},
        {"a process number is wanted, not '99999999999'", {"top", "99999999999"}},
        {"one process at a time", {"heap", "1", "2"}},
        {"--profile is heap, allocs, lifetimes or fragmentation, not 'cpu'",
         {"heap", "1", "--profile", "cpu"}},
        {"--top takes a number from 0", {"heap", "1", "--top", "many"}},
        {"--sample takes a number of bytes like 512M, not 'much'",
         {"heap", "1", "--sample", "much"}},
        {"either --pprof or --json", {"heap", "1", "--pprof", "f", "--json"}},
        {"--sample goes alone", {"heap", "1", "--sample", "1M", "--json"}},
        {"--interval takes a number from 1 to 3600", {"top", "1", "--interval", "0"}},
        {"there is no option '--frob'", {"doctor", "--frob"}},
        {"a program is missing", {"run"}},
        {"a program is missing", {"run", "--report", "--"}},
        {"there is no option '--frob'", {"run", "--frob", "true"}},
        {"--limit takes a number of bytes like 512M, not 'x'", {"run", "--limit", "x", "true"}},
        {"--limit takes more than 0 bytes", {"run", "--limit", "0", "true"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct run run = run_quarry(&(struct run_options){0}, wrong[i].arguments);
        assert_int_equal(run.exit_code, 2);
        assert_string_equal(run.out, "");
        assert_has(run.err, wrong[i].reason);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_shows_what_was_counted),
        cmocka_unit_test(heap_estimates_what_was_planted_within_5_percent),
        cmocka_unit_test(heap_names_functions_files_and_lines),
        cmocka_unit_test(a_program_whose_file_was_replaced_is_named_all_the_same),
        cmocka_unit_test(heap_shows_one_profile_when_asked),
        cmocka_unit_test(heap_changes_how_often_the_process_samples),
        cmocka_unit_test(a_profile_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(top_prints_one_picture_where_there_is_no_terminal),
        cmocka_unit_test(top_shows_accounts_where_there_are_some),
        cmocka_unit_test(the_doctor_sees_pressure_and_ceilings),
        cmocka_unit_test(top_is_one_json_object_on_demand),
        cmocka_unit_test(top_runs_in_a_terminal_until_q_is_pressed),
        cmocka_unit_test(top_ends_when_the_process_does),
        cmocka_unit_test(map_draws_the_heap_of_a_process),
        cmocka_unit_test(the_doctor_names_the_stack_that_pins_most),
        cmocka_unit_test(the_doctor_names_rounding_and_churn),
        cmocka_unit_test(the_doctor_says_when_nothing_is_wrong),
        cmocka_unit_test(the_doctor_looks_at_the_machine_too),
        cmocka_unit_test(the_doctor_does_not_judge_small_heaps),
        cmocka_unit_test(the_doctor_sees_limits_caches_peaks_and_modes),
        cmocka_unit_test(the_doctor_knows_what_it_cannot_know),
        cmocka_unit_test(the_doctor_sees_growth_when_it_looks_twice),
        cmocka_unit_test(a_process_that_is_none_is_said_to_be_so),
        cmocka_unit_test(a_process_of_another_malloc_is_told_how_to_start),
        cmocka_unit_test(a_process_that_does_not_answer_is_shown_as_it_was),
        cmocka_unit_test(a_process_that_answers_is_shown_as_it_is),
        cmocka_unit_test(a_wrong_command_line_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, start_shared, stop_shared);
}
