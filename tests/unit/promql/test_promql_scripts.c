/*
 * Scripts of PromQL: ours, and those of the folder that the environment names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <promql/function.h>
#include <promql/script.h>
#include <quarry/memory.h>

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account_options, &account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "query", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_account_state account_state;

    (void)state;
    quarry_account_read(account, &account_state);
    assert_int_equal(account_state.charged_bytes, 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(memory);
    return 0;
}

static void print_failed(void *argument, const struct promql_script_case *done)
{
    if (done->seen != NULL) {
        printf("%s:%u: %s\n    %s\n", (const char *)argument, done->line, done->text, done->seen);
    }
}

static struct promql_script_counts run_text(const char *name, const char *text, size_t count)
{
    char path[512];
    const struct promql_script_options options = {
        .account = account, .pool = pool, .report = print_failed, .argument = path};
    struct promql_script_counts counts;

    snprintf(path, sizeof(path), "%s", name);
    assert_int_equal(promql_script_run(&options,
                                       (struct quarry_tsdb_slice){.bytes = text, .count = count},
                                       &counts),
                     QUARRY_OK);
    return counts;
}

static struct promql_script_counts run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    static char text[1u << 20];

    assert_non_null(file);
    size_t count = fread(text, 1, sizeof(text), file);
    assert_true(count < sizeof(text));
    fclose(file);
    return run_text(path, text, count);
}

/* All scripts of a folder. Returns: cases that failed. */
static uint64_t run_folder(const char *path)
{
    struct dirent **entries;
    uint64_t case_count = 0, failed_count = 0;
    int count = scandir(path, &entries, NULL, alphasort);

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
        char inner[1024];

        if (dot != NULL && strcmp(dot, ".test") == 0) {
            snprintf(inner, sizeof(inner), "%s/%s", path, name);
            struct promql_script_counts counts = run_file(inner);
            printf("%-32s %llu of %llu\n", name,
                   (unsigned long long)(counts.case_count - counts.failed_count),
                   (unsigned long long)counts.case_count);
            case_count += counts.case_count;
            failed_count += counts.failed_count;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%s: %llu of %llu cases\n", path, (unsigned long long)(case_count - failed_count),
           (unsigned long long)case_count);
    assert_true(case_count > 0);
    return failed_count;
}

static void our_scripts_pass(void **state)
{
    (void)state;
    assert_int_equal(run_folder(SCRIPTS), 0);
}

static void the_named_folder_passes(void **state)
{
    const char *folder = getenv("QUARRY_PROMQL_TESTS");
    char path[4096];

    (void)state;
    if (folder == NULL || folder[0] == '\0') {
        skip();
    }
    /* Of the tree, where it is not of the folder that the test happens to run in. */
    bool is_here = folder[0] == '/' || access(folder, R_OK) == 0;
    snprintf(path, sizeof(path), "%s/%s", is_here ? "." : SOURCES, folder);
    assert_int_equal(run_folder(folder[0] == '/' ? folder : path), 0);
}

/* ---- what is in no script ------------------------------------------------------------------- */

static char all_scripts[1u << 20];
static size_t all_count;

/* Lines that begin with `eval` of all our scripts, one behind the other. */
static void gather_cases(void)
{
    struct dirent **entries;
    int count = scandir(SCRIPTS, &entries, NULL, alphasort);

    all_count = 0;
    for (int i = 0; i < count; i++) {
        char path[1024], line[4096];
        const char *dot = strrchr(entries[i]->d_name, '.');

        snprintf(path, sizeof(path), "%s/%s", SCRIPTS, entries[i]->d_name);
        FILE *file = dot != NULL && strcmp(dot, ".test") == 0 ? fopen(path, "rb") : NULL;
        free(entries[i]);
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            size_t bytes = strncmp(line, "eval", 4) == 0 ? strlen(line) : 0;
            assert_true(all_count + bytes < sizeof(all_scripts));
            memcpy(all_scripts + all_count, line, bytes);
            all_count += bytes;
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    free(entries);
    all_scripts[all_count] = '\0';
}

static bool is_of_word(char byte)
{
    return byte == '_' || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z');
}

/* Whether a case has the word, and one of `behind` next to it. */
static bool is_in_a_case(const char *word, const char *behind)
{
    for (const char *at = strstr(all_scripts, word); at != NULL; at = strstr(at + 1, word)) {
        if (!is_of_word(at[-1]) && strchr(behind, at[strlen(word)]) != NULL) {
            return true;
        }
    }
    return false;
}

static void every_function_and_operator_is_in_a_script(void **state)
{
    static const char *const modifiers[] = {
        "offset", "@",       "bool", "on",        "ignoring",   "group_left", "group_right",
        "by",     "without", "fill", "fill_left", "fill_right", "anchored",   "smoothed"};
    int missing_count = 0;

    (void)state;
    gather_cases();
    for (enum promql_function_id id = 0; id < PROMQL_FUNCTION_COUNT; id++) {
        const struct promql_function *function = promql_function_get(id);
        if (function->since != PROMQL_UNTIL_2_42 && !is_in_a_case(function->name, "(")) {
            print_error("no script calls %s\n", function->name);
            missing_count++;
        }
    }
    for (enum promql_aggregation i = PROMQL_SUM; i <= PROMQL_LIMIT_RATIO; i++) {
        if (!is_in_a_case(promql_aggregation_name(i), "( ")) {
            print_error("no script aggregates with %s\n", promql_aggregation_name(i));
            missing_count++;
        }
    }
    for (enum promql_operator i = PROMQL_ADD; i <= PROMQL_TRIM_LOWER; i++) {
        if (!is_in_a_case(promql_operator_name(i), " ")) {
            print_error("no script has the operator %s\n", promql_operator_name(i));
            missing_count++;
        }
    }
    for (size_t i = 0; i < sizeof(modifiers) / sizeof(modifiers[0]); i++) {
        if (!is_in_a_case(modifiers[i], " ()\n")) {
            print_error("no script has %s\n", modifiers[i]);
            missing_count++;
        }
    }
    assert_int_equal(missing_count, 0);
}

/* ---- the runner ----------------------------------------------------------------------------- */

/* How many of a text's cases fail. */
static uint64_t failures_of(const char *text)
{
    return run_text("text", text, strlen(text)).failed_count;
}

static void what_is_not_as_expected_fails(void **state)
{
    (void)state;
    assert_int_equal(failures_of("eval instant at 0 1 + 1\n  2\n"), 0);
    assert_int_equal(failures_of("eval instant at 0 1 + 1\n  3\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n  {} 2\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n  {a=\"b\"} 1\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n  {} {{count:1}}\n"), 1);
    assert_int_equal(failures_of("load 1m\n a 1 2\n\neval range from 0 to 1m step 1m a\n a 1 2\n"),
                     0);
    assert_int_equal(failures_of("load 1m\n a 1 2\n\neval range from 0 to 1m step 1m a\n a 1 3\n"),
                     1);
    assert_int_equal(failures_of("load 1m\n a 1 2\n\neval range from 0 to 1m step 1m a\n a 1\n"),
                     1);
    assert_int_equal(failures_of("load 1m\n a 1 2\n\neval range from 0 to 1m step 1m a\n a 1 _\n"),
                     1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n  expect fail\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 vector(1)\n  expect warn\n  {} 1\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 {\n  expect fail\n"), 0);
    assert_int_equal(failures_of("eval instant at 0 {\n  expect fail msg: else\n"), 1);
    assert_int_equal(failures_of("eval instant at 0 \"a\"\n  expect string \"a\"\n"), 0);
    assert_int_equal(failures_of("eval instant at 0 \"a\"\n  expect string \"b\"\n"), 1);
}

static void what_cannot_be_read_is_a_case_that_failed(void **state)
{
    static const char *const texts[] = {
        "evil\n",
        "load\n a 1\n",
        "load 1m\n a{ 1\n",
        "load 1m\n a 1x\n",
        "load 1m\n a 1+1\n",
        "load 1m\n a {{sum:1 sum:2}}\n",
        "load 1m\n a {{buckets:[1}}\n",
        "load 1m\n a{a=\"1\",a=\"2\"} 1\n",
        "load 1m\n a@st 0s 0s\n a 1\n",
        "load 1m\n a@st 0s\n b 1\n",
        "load 1m\n a@st 0s\n",
        "load_with_nhcb 1m\n a_bucket{le=\"1\"} 2\n a_bucket{le=\"2\"} 1\n",
        "eval instant at x 1\n",
        "eval instant at 0\n",
        "eval sometimes 1\n",
        "eval_often instant at 0 1\n  1\n",
        "eval range from 1m to 0 step 1m 1\n",
        "eval instant at 0 1\n  expect the worst\n",
        "eval instant at 0 1\n  expect warn\n  expect no_warn\n",
        "eval instant at 0 1\n  expect fail\n  expect fail\n",
        "eval instant at 0 vector(1)\n  {} 1 2\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (failures_of(texts[i]) != 1) {
            fail_msg("'%s' is not refused", texts[i]);
        }
    }
    assert_int_equal(failures_of("load 1m\n a 1\n\nload 1m\n a 1\n"), 1); /* out of order */
    assert_int_equal(failures_of("load 1m\n a 1\n\nclear\nload 1m\n a 1\n"), 0);
    assert_int_equal(failures_of("clear\nload 1m\n a 1\n\neval instant at 0 a\n  a 1\n"), 0);
}

static void memory_that_is_short_is_told(void **state)
{
    static const char text[] =
        "load 1m\n  a{b=\"c\"} 0+6x100 {{schema:0 count:1 sum:1 buckets:[1]}}x10\n\n"
        "eval instant at 10m sum(rate(a[5m]))\n  {} 0.1\n\n"
        "eval instant at 109m30s histogram_count(increase(a[2m] smoothed))\n  {b=\"c\"} 0\n\n"
        "eval instant at 109m30s histogram_count(a smoothed)\n  {b=\"c\"} 1\n\n"
        "eval instant at 10m limit_ratio(1, a)\n  a{b=\"c\"} 60\n\n"
        "eval instant at 10m a / on (b) a + 1 + 1\n  {b=\"c\"} 3\n";
    uint64_t grant_bytes = 1;
    bool has_passed = false;

    (void)state;
    for (; !has_passed; grant_bytes += 997) {
        const struct promql_script_options options = {
            .account = account, .pool = pool, .grant_bytes = grant_bytes};
        struct promql_script_counts counts;
        enum quarry_status status = promql_script_run(
            &options, (struct quarry_tsdb_slice){.bytes = text, .count = sizeof(text) - 1},
            &counts);

        has_passed = status == QUARRY_OK && counts.failed_count == 0;
        assert_true(has_passed || status == QUARRY_NO_MEMORY || counts.failed_count > 0);
        assert_true(grant_bytes < Q_MIB(16));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_scripts_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_named_folder_passes, set_up, tear_down),
        cmocka_unit_test(every_function_and_operator_is_in_a_script),
        cmocka_unit_test_setup_teardown(what_is_not_as_expected_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_a_case_that_failed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memory_that_is_short_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
