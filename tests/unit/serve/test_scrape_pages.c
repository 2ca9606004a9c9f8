/*
 * What pages become: labels, stale markers, the report, limits; without a network.
 */
#include "unit/serve/scrape_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scrape_job plain = {.name = "j", .targets = "h:80"};

#define OWN "instance=\"h:80\",job=\"j\""

static struct target *open_one(struct scrape_job job)
{
    rig_open(&job, 1);
    return rig_target("");
}

static void samples_get_the_labels_of_their_target(void **state)
{
    struct target *target = open_one((struct scrape_job){
        .name = "j", .targets = "h", .labels = "env=prod, rack = 4", .path = "/m"});

    (void)state;
    assert_string_equal(target->facts->url, "http://h:80/m");
    rig_page(target, 1000, "# TYPE a counter\na 1\nb{x=\"1\",le=\"+Inf\"} 2 # no comment\n");
    rig_expect("a|b", "");
    rig_page(target, 2000, "a 1\nb{x=\"1\",le=\"+Inf\"} 2\n");
    rig_expect("a|b", "a{env=\"prod\"," OWN ",rack=\"4\"} 2000=1\n"
                      "b{env=\"prod\"," OWN ",le=\"+Inf\",rack=\"4\",x=\"1\"} 2000=2\n");
}

static void labels_that_both_have_are_exported(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000,
             "a{job=\"x\"} 1\n"
             "b{job=\"x\",exported_job=\"y\"} 2\n"
             "c{job=\"x\",instance=\"z\",exported_exported_job=\"w\",exported_job=\"v\"} 3\n"
             "d{job=\"\"} 4\n");
    rig_expect("a", "a{exported_job=\"x\"," OWN "} 1000=1\n");
    rig_expect("b", "b{exported_exported_job=\"x\",exported_job=\"y\"," OWN "} 1000=2\n");
    rig_expect("c", "c{exported_exported_exported_job=\"x\",exported_exported_job=\"w\","
                    "exported_instance=\"z\",exported_job=\"v\"," OWN "} 1000=3\n");
    rig_expect("d", "d{" OWN "} 1000=4\n");
}

static void labels_are_honoured_where_the_job_says_so(void **state)
{
    struct target *target =
        open_one((struct scrape_job){.name = "j", .targets = "h:80", .honors_labels = true});

    (void)state;
    rig_page(target, 1000, "a{job=\"x\"} 1\nb{instance=\"\",job=\"y\"} 2\nc 3\n");
    rig_expect("a|b|c", "a{instance=\"h:80\",job=\"x\"} 1000=1\n"
                        "b{job=\"y\"} 1000=2\n"
                        "c{" OWN "} 1000=3\n");
}

static void series_that_vanish_end_with_a_stale_marker(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_page(target, 2000, "a 2\n");
    rig_page(target, 3000, "a 3\n");
    rig_page(target, 4000, "a 4\nb 4\n");
    rig_expect_values("a|b", "a 1000=1 2000=2 3000=3 4000=4\nb 1000=1 2000=stale 4000=4\n");
}

static void one_series_written_in_two_ways_goes_on(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a{x=\"1\",y=\"2\"} 1\n");
    rig_page(target, 2000, "a{y=\"2\",x=\"1\"} 2\n");
    rig_page(target, 3000, "a{y=\"2\",x=\"1\",} 3\n");
    rig_expect_values("a", "a 1000=1 2000=2 3000=3\n");
    assert_int_equal(target->table.line_count, 1);
    assert_int_equal(target->table.series_count, 1);
}

static void a_page_that_does_not_come_ends_all_series(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_no_page(target, 2000);
    rig_no_page(target, 3000);
    rig_page(target, 4000, "a 4\n");
    rig_expect_values("a|b", "a 1000=1 2000=stale 4000=4\nb 1000=1 2000=stale\n");
    rig_expect_values("up", "up 1000=1 2000=0 3000=0 4000=1\n");
    rig_expect_values("scrape_samples_scraped",
                      "scrape_samples_scraped 1000=2 2000=0 3000=0 4000=1\n");
}

static void a_page_with_a_fault_leaves_no_sample(void **state)
{
    static const char *const pages[] = {"a 2\nb 2\n!garbage\n", "!garbage\n",
                                        "a 2\nb 2\na{x=\"\xff\"} 1\n",
                                        "a 2\nb{x=\"1\",x=\"2\"} 3\n"};

    (void)state;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        struct scrape_job job = plain;
        char name[16], expected[128];
        (void)snprintf(name, sizeof name, "j%zu", i);
        job.name = name;
        struct target *target = open_one(job);
        rig_page(target, 1000, "a 1\nb 1\n");
        rig_page(target, 2000, pages[i]);
        assert_int_equal(target->health, SCRAPE_DOWN);
        assert_true(target->error[0] != '\0');
        rig_page(target, 3000, "a 3\nb 3\n");
        assert_int_equal(target->health, SCRAPE_UP);
        char *text = rig_read("a|b", RIG_BASE_MS, true);
        (void)snprintf(expected, sizeof expected,
                       "a{instance=\"h:80\",job=\"j%zu\"} 1000=1 2000=stale 3000=3\n", i);
        assert_non_null(strstr(text, expected));
        expected[0] = 'b';
        assert_non_null(strstr(text, expected));
        free(text);
        rig_close();
    }
    assert_int_equal(rig_series_count("a|b"), 8);
}

static void the_report_says_what_prometheus_says(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_page(target, 2000, "a 1\nb 1\nc 1\n");
    rig_page(target, 3000, "a 1\nb x\n");
    rig_page(target, 4000, "a 1\nb 1\nc 1\n");
    rig_expect("up", "up{" OWN "} 1000=1 2000=1 3000=0 4000=1\n");
    rig_expect_values("scrape_samples_scraped",
                      "scrape_samples_scraped 1000=2 2000=3 3000=1 4000=3\n");
    rig_expect_values("scrape_samples_post_metric_relabeling",
                      "scrape_samples_post_metric_relabeling 1000=2 2000=3 3000=1 4000=3\n");
    rig_expect_values("scrape_series_added", "scrape_series_added 1000=2 2000=1 3000=0 4000=0\n");
    assert_int_equal(rig_series_count("scrape_duration_seconds"), 1);
}

static void times_of_the_page_are_taken_and_not_followed(void **state)
{
    struct target *target = open_one(plain);
    char page[64];

    (void)state;
    (void)snprintf(page, sizeof page, "a 1 %lld\nb 1\n", (long long)RIG_BASE_MS + 500);
    rig_page(target, 1000, page);
    rig_page(target, 2000, "c 1\n");
    rig_expect_values("a|b", "a 500=1\nb 1000=1 2000=stale\n");
}

static void times_of_the_page_are_ignored_where_the_job_says_so(void **state)
{
    struct target *target =
        open_one((struct scrape_job){.name = "j", .targets = "h:80", .ignores_times = true});

    (void)state;
    rig_page(target, 1000, "a 1 1600000000000\n");
    rig_page(target, 2000, "b 1\n");
    rig_expect_values("a", "a 1000=1 2000=stale\n");
}

static void openmetrics_is_read_as_such(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_openmetrics(target, 1000, "# TYPE a counter\na_total 1 # {t=\"1\"} 0.5\n# EOF\n");
    assert_int_equal(target->health, SCRAPE_UP);
    rig_openmetrics(target, 2000, "a_total 2\n");
    assert_int_equal(target->health, SCRAPE_DOWN);
    rig_expect_values("a_total", "a_total 1000=1 2000=stale\n");
}

static void a_limit_that_is_passed_fails_the_page(void **state)
{
    static const struct {
        struct scrape_job job;
        const char *page;
    } cases[] = {
        {{.name = "samples", .targets = "h:80", .sample_count_max = 2}, "a 2\nb 2\nc 2\nd 2\n"},
        {{.name = "labels", .targets = "h:80", .label_count_max = 4},
         "a 2\nb{x=\"1\",y=\"2\"} 2\n"},
        {{.name = "names", .targets = "h:80", .label_name_bytes_max = 10},
         "b{eleven_long=\"1\"} 2\n"},
        {{.name = "values", .targets = "h:80", .label_value_bytes_max = 7},
         "b{x=\"12345678\"} 2\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct target *target = open_one(cases[i].job);
        char expected[96];
        rig_page(target, 1000, "a 1\n");
        assert_int_equal(target->health, SCRAPE_UP);
        rig_page(target, 2000, cases[i].page);
        assert_int_equal(target->health, SCRAPE_DOWN);
        (void)snprintf(expected, sizeof expected,
                       "a{instance=\"h:80\",job=\"%s\"} 1000=1 2000=stale\n", cases[i].job.name);
        char *text = rig_read("a", RIG_BASE_MS, true);
        assert_non_null(strstr(text, expected));
        free(text);
        rig_close();
    }
    assert_int_equal(rig_series_count("b|c|d"), 0);
    char *text = rig_read("scrape_samples_scraped", RIG_BASE_MS, true);
    assert_non_null(strstr(text, "job=\"samples\"} 1000=1 2000=4\n"));
    free(text);
}

static void samples_that_are_refused_leave_the_others(void **state)
{
    struct target *target = open_one(plain);
    struct scrape_counts counts;

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_page(target, 2000, "a 2\na 3\nb 2\n"); /* one moment has one value: the first */
    rig_expect_values("a|b", "a 1000=1 2000=2\nb 1000=1 2000=2\n");
    rig_page(target, 2500, "a 9 1000\nb 3\na 2 1700000002000\n"); /* 1970 is too old */
    rig_expect_values("a|b", "a 1000=1 2000=2 2500=stale\nb 1000=1 2000=2 2500=3\n");
    scrape_read_counts(rig.scrape, &counts);
    assert_int_equal(counts.refused_count, 1);
    assert_int_equal(counts.scrape_count, 3);
    assert_int_equal(counts.failed_count, 0);
}

static void a_target_that_goes_ends_later_with_markers(void **state)
{
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\n");
    rig_apply(NULL, 0);
    assert_int_equal(rig.scrape->target_count, 0);
    assert_int_equal(target->phase, TARGET_ENDING);
    rig_expect_values("a|up", "a 1000=1\nup 1000=1\n");
    target->stale_ms = RIG_BASE_MS + 2000;
    target->due_ns = 0;
    scrape_turn(rig.scrape);
    rig_expect_values("a|up", "a 1000=1 2000=stale\nup 1000=1 2000=stale\n");
    assert_int_equal(rig_series_count("scrape_.*"), 4);
    assert_int_equal(rig.scrape->schedule.count, 0);
}

static void a_target_that_is_replaced_does_not_end_what_goes_on(void **state)
{
    const struct scrape_job other = {.name = "j", .targets = "h:80", .path = "/other"};
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_apply(&other, 1);
    struct target *next = rig_target("/other");
    assert_ptr_not_equal(next, target);
    rig_page(next, 3000, "a 3\n");
    target->stale_ms = RIG_BASE_MS + 2000;
    target->due_ns = 0;
    schedule_move(&rig.scrape->schedule, target);
    scrape_turn(rig.scrape);
    rig_expect_values("a|b|up", "a 1000=1 3000=3\nb 1000=1 2000=stale\nup 1000=1 3000=1\n");
    assert_int_equal(rig.scrape->schedule.count, 1);
}

static void a_target_keeps_its_series_over_a_reload(void **state)
{
    const struct scrape_job slower = {
        .name = "j", .targets = "h:80, g:80", .interval_ns = 60 * Q_SECOND_NS};
    struct target *target = open_one(plain);

    (void)state;
    rig_page(target, 1000, "a 1\nb 1\n");
    rig_apply(&slower, 1);
    assert_int_equal(rig.scrape->target_count, 2);
    assert_ptr_equal(rig_target("//h:80"), target);
    assert_int_equal(target->facts->job->settings.interval_ns, 60 * Q_SECOND_NS);
    rig_page(target, 2000, "a 2\n");
    rig_expect_values("a|b", "a 1000=1 2000=2\nb 1000=1 2000=stale\n");
}

static void lines_of_pages_that_fail_do_not_pile_up(void **state)
{
    struct target *target = open_one(plain);
    char *page = malloc(1 << 16);

    (void)state;
    for (int64_t turn = 0; turn < 20; turn++) {
        size_t used = 0;
        for (int i = 0; i < 500; i++) {
            used += (size_t)sprintf(page + used, "a{n=\"%lld-%d\"} 1\n", (long long)turn, i);
        }
        (void)sprintf(page + used, "!\n");
        rig_page(target, 1000 * (turn + 1), page);
        assert_in_range(target->table.line_count, 1, 1500);
    }
    free(page);
    assert_int_equal(rig_series_count("a"), 0);
}

/* The account's ceiling rises until a page is taken whole: before that it fails as a whole. */
static void without_memory_a_page_fails_and_the_next_one_is_taken(void **state)
{
    static char page[1 << 16];
    struct target *target = open_one(plain);
    struct quarry_account_state account;
    size_t used = 0;
    int64_t t_ms = 0;
    uint32_t failed_count = 0;

    (void)state;
    for (int i = 0; i < 1200; i++) {
        used += (size_t)sprintf(page + used, "a{n=\"%d\"} 1\n", i);
    }
    quarry_account_read(rig.scrape->memory.account, &account);
    for (uint64_t ceiling = account.charged_bytes; target->health != SCRAPE_UP; ceiling += 3000) {
        assert_int_equal(quarry_account_set_bounds(rig.scrape->memory.account, 0, ceiling),
                         QUARRY_OK);
        rig_page(target, t_ms += 1000, page);
        failed_count += target->health == SCRAPE_DOWN ? 1 : 0;
        assert_int_equal(rig_series_count("a"), target->health == SCRAPE_UP ? 1200 : 0);
    }
    assert_in_range(failed_count, 20, 2000);
    rig_page(target, t_ms += 1000, "b 1\n");
    assert_int_equal(target->table.series_count, 1);
}

static void keys_are_read_as_they_were_written(void **state)
{
    const struct tsdb_label labels[] = {{QUARRY_TSDB_TEXT("a"), QUARRY_TSDB_TEXT("1")},
                                        {QUARRY_TSDB_TEXT("b"), QUARRY_TSDB_TEXT("two")}};
    struct tsdb_label read[4];
    char key[64];
    size_t bytes = tsdb_labels_encode((struct tsdb_labels){labels, 2}, key, sizeof key);

    (void)state;
    assert_int_equal(series_key_labels((struct tsdb_slice){key, bytes}, read, 4), 2);
    assert_memory_equal(read[1].value.bytes, "two", 3);
    assert_int_equal(series_key_labels((struct tsdb_slice){key, bytes}, read, 1), 0);
    for (size_t cut = 1; cut < bytes; cut++) { /* what is cut off is no key, but between labels */
        size_t count = series_key_labels((struct tsdb_slice){key, cut}, read, 4);
        assert_int_equal(count, cut == 8 ? 1 : 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(samples_get_the_labels_of_their_target),
        TEST(labels_that_both_have_are_exported),
        TEST(labels_are_honoured_where_the_job_says_so),
        TEST(series_that_vanish_end_with_a_stale_marker),
        TEST(one_series_written_in_two_ways_goes_on),
        TEST(a_page_that_does_not_come_ends_all_series),
        TEST(a_page_with_a_fault_leaves_no_sample),
        TEST(the_report_says_what_prometheus_says),
        TEST(times_of_the_page_are_taken_and_not_followed),
        TEST(times_of_the_page_are_ignored_where_the_job_says_so),
        TEST(openmetrics_is_read_as_such),
        TEST(a_limit_that_is_passed_fails_the_page),
        TEST(samples_that_are_refused_leave_the_others),
        TEST(a_target_that_goes_ends_later_with_markers),
        TEST(a_target_that_is_replaced_does_not_end_what_goes_on),
        TEST(a_target_keeps_its_series_over_a_reload),
        TEST(lines_of_pages_that_fail_do_not_pile_up),
        TEST(without_memory_a_page_fails_and_the_next_one_is_taken),
        TEST(keys_are_read_as_they_were_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
