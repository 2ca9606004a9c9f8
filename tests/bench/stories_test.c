/*
 * `quarry bench stories`: its plots and pages by themselves, and a quick sitting of every story.
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

#include <bench/stories/story.h>

#include "bench/run_bench.h"

#define FILE_BYTES 65536u

static struct bench_run run;
static char folder[] = "/tmp/quarry-stories-XXXXXX";

/* ---- looking at pictures -------------------------------------------------------------------- */

static void read_whole(const char *path, char text[FILE_BYTES])
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t bytes = fread(text, 1, FILE_BYTES - 1, file);
    text[bytes] = '\0';
    assert_true(bytes < FILE_BYTES - 1);
    assert_int_equal(fclose(file), 0);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part)) {
        count++;
    }
    return count;
}

/* Walks over the tags: each that is opened is closed, in order, and text holds no markup. */
static void assert_tags_match(const char *text)
{
    char open[8][16];
    size_t depth = 0;

    while ((text = strchr(text, '<')) != NULL) {
        const char *end = strchr(text, '>');
        assert_non_null(end);
        size_t name = text[1] == '/' ? 2 : 1;
        size_t bytes = strcspn(text + name, " >/");
        assert_true(bytes > 0 && bytes < sizeof open[0]);
        if (name == 2) {
            assert_true(depth > 0);
            assert_int_equal(strlen(open[depth - 1]), bytes);
            assert_memory_equal(open[--depth], text + name, bytes);
        } else if (end[-1] != '/') {
            assert_true(depth < 8);
            (void)snprintf(open[depth++], sizeof open[0], "%.*s", (int)bytes, text + name);
        }
        text = end;
    }
    assert_int_equal(depth, 0);
}

static void assert_is_picture(const char *text, size_t lines)
{
    assert_memory_equal(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39);
    assert_non_null(strstr(text, "prefers-color-scheme:dark"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_int_equal(count_of(text, "<path class=\"line "), lines);
    assert_tags_match(text);
}

/* ---- by themselves -------------------------------------------------------------------------- */

static void draw(const struct stories_plot *plot, char text[FILE_BYTES])
{
    FILE *file = fmemopen(text, FILE_BYTES, "w");

    assert_non_null(file);
    stories_plot_write(plot, file);
    assert_int_equal(fclose(file), 0);
}

static void a_plot_is_whole_whatever_its_points_are(void **state)
{
    (void)state;
    static struct stories_plot plot;
    static char text[FILE_BYTES];
    static const enum stories_scale scales[] = {STORIES_LINEAR, STORIES_LOG, STORIES_SHARES};

    for (size_t i = 0; i < 3; i++) {
        plot = (struct stories_plot){.title = "a < b & c",
                                     .x_title = "x",
                                     .y_title = "y",
                                     .x_scale = scales[i],
                                     .y_scale = i == 0 ? STORIES_LINEAR : STORIES_LOG};
        draw(&plot, text);
        assert_is_picture(text, 0);
        struct stories_line *line = stories_plot_line(&plot, "<one>", STORIES_QUARRY);
        (void)stories_plot_line(&plot, "none", STORIES_PEER);
        stories_line_add(line, 0, 0);
        stories_line_add(line, -1, -1);
        stories_line_add(line, 1, 0.0 / 0.0);
        stories_line_add(line, 1, 1e300 * 1e300);
        assert_int_equal(line->point_count, 2);
        stories_line_add(line, 1, 5);
        stories_line_add(line, 1000, 5000);
        draw(&plot, text);
        assert_is_picture(text, 2);
        assert_non_null(strstr(text, "&lt;one&gt;"));
        assert_non_null(strstr(text, "a &lt; b &amp; c"));
        for (size_t n = 0; n < 2 * STORIES_POINTS_MAX; n++) {
            stories_line_add(line, (double)n + 1, 1);
        }
        assert_int_equal(line->point_count, STORIES_POINTS_MAX);
    }
}

static void names_at_the_ends_of_lines_lie_apart(void **state)
{
    (void)state;
    static struct stories_plot plot;
    static char text[FILE_BYTES];
    double last = 0;
    size_t count = 0;

    plot = (struct stories_plot){.title = "t", .x_title = "x", .y_title = "y"};
    for (unsigned i = 0; i < STORIES_LINES_MAX; i++) {
        struct stories_line *line = stories_plot_line(&plot, "name", i % STORIES_INKS);
        stories_line_add(line, 0, 1);
        stories_line_add(line, 1, 0.01 * (i % 3));
    }
    draw(&plot, text);
    for (const char *at = strstr(text, "<text x=\"724.0\" y=\""); at != NULL;
         at = strstr(at + 1, "<text x=\"724.0\" y=\"")) {
        double y = strtod(at + 19, NULL);
        assert_true(y > 60 && y < 445);
        assert_true(count == 0 || y - last > 15);
        last = y;
        count++;
    }
    assert_int_equal(count, STORIES_LINES_MAX);
}

static void a_page_keeps_its_prose(void **state)
{
    (void)state;
    static char text[FILE_BYTES];
    char path[128];

    (void)snprintf(path, sizeof path, "%s/page.md", folder);
    assert_true(stories_page_put(folder, "page", "one\n"));
    read_whole(path, text);
    assert_string_equal(text, "<!-- figures: begin -->\none\n<!-- figures: end -->\n");
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("# before\n\n<!-- figures: begin -->\nold\nold\n<!-- figures: end -->\nafter\n",
                file);
    assert_int_equal(fclose(file), 0);
    assert_true(stories_page_put(folder, "page", "two\n"));
    read_whole(path, text);
    assert_string_equal(text,
                        "# before\n\n<!-- figures: begin -->\ntwo\n<!-- figures: end -->\nafter\n");
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    assert_false(stories_page_put(folder, "page", "three\n"));
    assert_int_equal(remove(path), 0);
    assert_false(stories_page_put("/nowhere", "page", "four\n"));
}

static void a_loss_is_said(void **state)
{
    (void)state;
    static const struct stories_column columns[] = {{"a", "less", 1, true}, {"b", "any", 0, false}};
    static struct stories_result result = {.column = columns, .column_count = 2};
    static char text[FILE_BYTES];

    stories_row_add(&result, "quarry", true)->figure[0] = 3;
    stories_row_add(&result, "one", false)->figure[0] = 2;
    stories_row_add(&result, "two", false)->absent_reason = "not here";
    FILE *file = fmemopen(text, FILE_BYTES, "w");
    assert_non_null(file);
    stories_write_table(&result, file);
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text, "| quarry | 3.0 | – |\n"));
    assert_non_null(strstr(text, "| two | not here |  |\n"));
    assert_non_null(strstr(
        text, "- less: quarry 3.0, the best peer, one, 2.0: 1.50 times as much, **a loss**.\n"));
}

/* ---- the whole ------------------------------------------------------------------------------ */

static double figure_of(const char *row, const char *subject, const char *key)
{
    const struct flat_json *line = find_line(&run, row, subject, 0);

    assert_non_null(line);
    assert_false(is_absent(line));
    return figure(line, key);
}

/* Whether a malloc that is preloaded is in force: a sanitizer's own goes before all. */
static bool has_mallocs(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

/* Those who are here have figures; their lines, and the marks, stand in the page and the picture.
 */
static void check_files(const char *story, size_t extra_lines)
{
    static char text[FILE_BYTES];
    char path[128];
    size_t lines = extra_lines;

    for (size_t i = 0; i < run.line_count; i++) {
        lines += strcmp(flat_json_text(&run.line[i], "row"), story) == 0 &&
                         !is_absent(&run.line[i]) && strcmp(story, "scaling") != 0
                     ? 1
                     : 0;
    }
    (void)snprintf(path, sizeof path, "%s/%s.svg", folder, story);
    read_whole(path, text);
    assert_is_picture(text, lines);
    assert_int_equal(remove(path), 0);
    (void)snprintf(path, sizeof path, "%s/%s.md", folder, story);
    read_whole(path, text);
    assert_non_null(strstr(text, "<!-- figures: begin -->\n"));
    assert_non_null(strstr(text, "quick: figures mean little"));
    assert_non_null(strstr(text, "|---|"));
    assert_int_equal(remove(path), 0);
}

/* Of the stories whose subjects are mallocs. */
static void check_mallocs(void)
{
    assert_true(figure_of("spikes", "glibc", "rss_peak_mib") > 8);
    assert_true(figure_of("spikes", "quarry", "rss_mean_mib") <=
                figure_of("spikes", "quarry", "rss_peak_mib"));
    assert_true(figure_of("spikes", "quarry", "cpu_ns_per_pair") > 0);
    assert_true(figure_of("restart", "quarry, lifetimes", "live_end_mib") > 0);
    assert_true(figure_of("restart", "glibc", "waste_worst_mib") >=
                figure_of("restart", "glibc", "waste_mean_mib"));
}

static void every_story_has_its_rows_and_its_plot(void **state)
{
    (void)state;
    char arguments[128];

    (void)snprintf(arguments, sizeof arguments, "stories --quick --json --folder %s", folder);
    bench_json(arguments, &run);
    assert_int_equal(run.exit_code, 0);
    if (has_mallocs()) {
        check_mallocs();
    } else {
        assert_true(is_absent(find_line(&run, "spikes", "quarry", 0)));
    }
    assert_true(figure_of("scaling", "1 thread", "cache_mallocs_per_us") > 0);
    assert_true(figure_of("scaling", "256 threads", "tree_model_per_us") > 0);
    assert_true(figure_of("scaling", "256 threads", "cache_model_per_us") >=
                figure_of("scaling", "1 thread", "tree_model_per_us"));
    assert_true(figure_of("pauses", "quarry", "p50_us") <=
                figure_of("pauses", "quarry", "worst_us"));
    assert_true(figure_of("pauses", "quarry", "resident_mib") > 0);
    assert_true(figure_of("blocks", "quarry", "rss_per_budget_worst") > 1);
    assert_true(figure_of("blocks", "quarry", "hit_percent") > 0);
    assert_true(figure_of("blocks", "quarry", "found") <= figure_of("blocks", "quarry", "planted"));
    check_files("spikes", 0);
    check_files("blocks", 1);
    check_files("scaling", 4);
    check_files("restart", 0);
    check_files("pauses", 0);
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"stories nobody", "'nobody'"},
        {"stories spikes --bogus", "--bogus"},
        {"stories --seconds 0", "from 1"},
        {"stories --scale 1001", "to 1000"},
    };
    static const char *const refused[] = {
        "stories",
        "stories bursts nobody 1 1000 8388608 0",
        "stories bursts glibc 0 1000 8388608 0",
        "stories bursts glibc 1 1000 1 0",
        "stories carve oven 1 1",
        "stories carve tree 0 1",
        "stories carve tree 9 1",
        "stories carve handover 1 1",
        "stories churn 0 8388608",
        "stories churn 1 1",
        "stories pauses prometheus quarry 1 1 1",
        "stories pauses quarry quarry 1 1 0",
    };

    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
    assert_child_refuses(refused, sizeof refused / sizeof refused[0], "`quarry bench stories`");
}

static void help_names_every_story(void **state)
{
    (void)state;
    static const char *const names[] = {"pauses", "spikes", "scaling", "restart", "blocks"};
    assert_help_names("stories", names, sizeof names / sizeof names[0]);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plot_is_whole_whatever_its_points_are),
        cmocka_unit_test(names_at_the_ends_of_lines_lie_apart),
        cmocka_unit_test(a_page_keeps_its_prose),
        cmocka_unit_test(a_loss_is_said),
        cmocka_unit_test(every_story_has_its_rows_and_its_plot),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(help_names_every_story),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
