/*
 * Expressions: `quarry tsdb query|range`.
 *
 * What is printed is made of the API's JSON, wherever that comes from.
 */
#include <cli/cmd_tsdb.h>

#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cli/tsdb_plot.h>
#include <cli/tsdb_text.h>

#define HOUR_MS       INT64_C(3600000)
#define WIDTH_DEFAULT 100u
#define PLOT_HEIGHT   20u
#define NAME_WIDTH    72u

/* ---- query ---------------------------------------------------------------------------------- */

/* The number of a [time, "value"]. */
static const char *value_text(const struct json_value *point)
{
    size_t length = 0;
    const char *text = json_read_text(json_read_item(point, 1), &length);

    return text == NULL ? "" : text;
}

static int64_t time_of(const struct json_value *point)
{
    return (int64_t)llround(json_read_double(json_read_item(point, 0)) * 1000);
}

static void print_histogram(const struct json_value *histogram)
{
    size_t length = 0;
    const char *count = json_read_text(json_read_member(histogram, "count"), &length);
    const char *sum = json_read_text(json_read_member(histogram, "sum"), &length);

    fputs("histogram of ", stdout);
    tsdb_text_put(stdout, count == NULL ? "?" : count);
    fputs(", sum ", stdout);
    tsdb_text_put(stdout, sum == NULL ? "?" : sum);
}

static int no_memory(const struct tsdb_command *command)
{
    return tsdb_tool_fail(command, QUARRY_NO_MEMORY, NULL);
}

/* Points of one series below each other. */
static void print_points(const struct json_value *points, bool are_histograms)
{
    char text[TSDB_TIME_BYTES];

    for (size_t i = 0; i < json_read_count(points); i++) {
        const struct json_value *point = json_read_item(points, i);
        printf("  %s  ", tsdb_time_text(time_of(point), text));
        if (are_histograms) {
            print_histogram(json_read_item(point, 1));
        } else {
            tsdb_text_put(stdout, value_text(point));
        }
        puts("");
    }
}

static void print_row(const struct json_value *series, const char *name, size_t width)
{
    const struct json_value *value = json_read_member(series, "value");
    const struct json_value *histogram = json_read_member(series, "histogram");

    if (value == NULL && histogram == NULL) {
        tsdb_text_put(stdout, name);
        puts("");
        print_points(json_read_member(series, "values"), false);
        print_points(json_read_member(series, "histograms"), true);
        return;
    }
    tsdb_text_put_padded(stdout, name, width);
    if (histogram != NULL) {
        fputs("  ", stdout);
        print_histogram(json_read_item(histogram, 1));
        puts("");
    } else {
        fputs("  ", stdout);
        tsdb_text_put(stdout, value_text(value));
        puts("");
    }
}

static char **make_names(const struct json_value *result, size_t *ret_width)
{
    const size_t count = json_read_count(result);
    char **names = calloc(count + 1, sizeof *names);

    *ret_width = 0;
    for (size_t i = 0; names != NULL && i < count; i++) {
        names[i] = tsdb_text_labels(json_read_member(json_read_item(result, i), "metric"));
        *ret_width = size_max(*ret_width, names[i] == NULL ? 0 : tsdb_text_width(names[i]));
    }
    *ret_width = size_min(*ret_width, NAME_WIDTH);
    return names;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; names != NULL && i < count; i++) {
        free(names[i]);
    }
    free(names);
}

static void print_annotations(const struct tsdb_answer *answer, const char *kind)
{
    const struct json_value *texts = json_read_member(answer->document, kind);
    size_t length = 0;

    for (size_t i = 0; i < json_read_count(texts); i++) {
        const char *text = json_read_text(json_read_item(texts, i), &length);
        fprintf(stderr, "%.*s: ", (int)strlen(kind) - 1, kind);
        tsdb_text_put(stderr, text == NULL ? "" : text);
        fputc('\n', stderr);
    }
}

static int print_series(const struct tsdb_command *command, const struct json_value *result)
{
    const size_t count = json_read_count(result);
    size_t width = 0;
    char **names = make_names(result, &width);

    if (names == NULL) {
        return no_memory(command);
    }
    if (count == 0) {
        puts("no series");
    }
    for (size_t i = 0; i < count; i++) {
        print_row(json_read_item(result, i), names[i] == NULL ? "?" : names[i], width);
    }
    free_names(names, count);
    return CLI_OK;
}

static int print_result(const struct tsdb_command *command, const struct tsdb_answer *answer)
{
    const struct json_value *result = json_read_member(answer->data, "result");
    size_t length = 0;
    const char *type = json_read_text(json_read_member(answer->data, "resultType"), &length);
    int code = CLI_OK;

    if (type != NULL && (strcmp(type, "scalar") == 0 || strcmp(type, "string") == 0)) {
        tsdb_text_put(stdout, value_text(result));
        puts("");
    } else {
        code = print_series(command, result);
    }
    print_annotations(answer, "warnings");
    print_annotations(answer, "infos");
    return code;
}

int tsdb_run_query(const struct tsdb_command *command)
{
    char seconds[TSDB_TIME_BYTES];
    struct api_question_param params[3] = {{"query", command->words[0]}, {"time", seconds}};
    struct tsdb_target target;
    struct tsdb_answer answer;
    int64_t t_ms = 0;
    int code = tsdb_target_open(command, true, &target);

    if (code != CLI_OK) {
        return code;
    }
    code = tsdb_time_read(command, "--time", command->time, target.now_ms, target.now_ms, &t_ms);
    if (code == CLI_OK) {
        (void)tsdb_time_seconds(t_ms, seconds);
        params[2] = (struct api_question_param){"limit", command->limit};
        const struct api_question question = {.path = "/api/v1/query",
                                              .params = params,
                                              .param_count = command->limit != NULL ? 3 : 2};
        code = tsdb_target_ask(&target, &question, command->words[0], &answer);
    }
    if (code == CLI_OK) {
        if (command->is_json) {
            tsdb_answer_print(&answer);
        } else {
            code = print_result(command, &answer);
        }
        tsdb_answer_free(&answer);
    }
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}

/* ---- range ---------------------------------------------------------------------------------- */

struct steps {
    int64_t start_ms, end_ms, step_ms;
};

/* Of the terminal; where there is none, what fits into most. */
static uint32_t plot_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    const unsigned long said = columns == NULL ? 0 : strtoul(columns, NULL, 10);
    return said >= CANVAS_WIDTH_MIN && said <= CANVAS_SIDE_MAX ? (uint32_t)said : WIDTH_DEFAULT;
}

/* A step that gives a point for each two columns, in whole seconds. */
static int64_t default_step_ms(const struct steps *steps)
{
    const int64_t points = (int64_t)plot_width() / 2;
    const int64_t step_ms = (steps->end_ms - steps->start_ms) / points;

    return step_ms < 1000 ? 1000 : (step_ms + 999) / 1000 * 1000;
}

static int read_steps(const struct tsdb_command *command, int64_t now_ms, struct steps *ret_steps)
{
    int code = tsdb_time_read(command, "--end", command->end, now_ms, now_ms, &ret_steps->end_ms);

    if (code == CLI_OK) {
        code = tsdb_time_read(command, "--start", command->start, now_ms,
                              ret_steps->end_ms - HOUR_MS, &ret_steps->start_ms);
    }
    if (code == CLI_OK && ret_steps->start_ms > ret_steps->end_ms) {
        code = tsdb_usage_error(command, "--start is behind --end");
    }
    if (code != CLI_OK) {
        return code;
    }
    ret_steps->step_ms = default_step_ms(ret_steps);
    return command->step == NULL
               ? CLI_OK
               : tsdb_duration_read(command, "--step", command->step, &ret_steps->step_ms);
}

/* One series as numbers. */
struct drawn {
    int64_t *t_ms;
    double *values;
    size_t count;
};

static bool read_points(const struct json_value *points, struct drawn *ret_drawn)
{
    const size_t count = json_read_count(points);

    ret_drawn->t_ms = calloc(count + 1, sizeof *ret_drawn->t_ms);
    ret_drawn->values = calloc(count + 1, sizeof *ret_drawn->values);
    if (ret_drawn->t_ms == NULL || ret_drawn->values == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct json_value *point = json_read_item(points, i);
        ret_drawn->t_ms[i] = time_of(point);
        ret_drawn->values[i] = strtod(value_text(point), NULL);
    }
    ret_drawn->count = count;
    return true;
}

static void print_legend(size_t index, const char *name, const struct drawn *drawn,
                         bool has_letters)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    char text[4][TSDB_NUMBER_BYTES];
    size_t count = 0;

    for (size_t i = 0; i < drawn->count; i++) {
        if (!isnan(drawn->values[i])) {
            low = fmin(low, drawn->values[i]);
            high = fmax(high, drawn->values[i]);
            sum += drawn->values[i];
            count++;
        }
    }
    if (has_letters) {
        printf("%c ", tsdb_plot_letter(index));
    } else if (isatty(STDOUT_FILENO) == 1) {
        printf("\x1b[38;5;%dm\xe2\x96\xa0\x1b[0m ", canvas_looks[tsdb_plot_colour(index)].of_256);
    }
    tsdb_text_put(stdout, name);
    if (count > 0) {
        printf("   min %s  avg %s  max %s  last %s", tsdb_text_number(low, text[0]),
               tsdb_text_number(sum / (double)count, text[1]), tsdb_text_number(high, text[2]),
               tsdb_text_number(drawn->values[drawn->count - 1], text[3]));
    }
    puts("");
}

static bool is_plain(const struct tsdb_command *command)
{
    return command->is_ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

static int draw(const struct tsdb_command *command, const struct steps *steps,
                const struct drawn *drawn, size_t count, char **names)
{
    const bool is_coloured = isatty(STDOUT_FILENO) == 1;
    struct tsdb_plot_series series[TSDB_PLOT_SERIES_MAX];
    struct canvas canvas = {0};
    const struct tsdb_plot plot = {.series = series,
                                   .series_count = size_min(count, TSDB_PLOT_SERIES_MAX),
                                   .start_ms = steps->start_ms,
                                   .end_ms = steps->end_ms,
                                   .step_ms = steps->step_ms,
                                   .has_letters = is_plain(command) || (!is_coloured && count > 1)};

    for (size_t i = 0; i < plot.series_count; i++) {
        series[i] = (struct tsdb_plot_series){drawn[i].t_ms, drawn[i].values, drawn[i].count};
    }
    if (canvas_reset(&canvas, plot_width(), PLOT_HEIGHT) != QUARRY_OK) {
        return no_memory(command);
    }
    tsdb_plot_draw(&canvas, &plot);
    canvas_print(&canvas, stdout, is_coloured);
    canvas_fini(&canvas);
    for (size_t i = 0; i < plot.series_count; i++) {
        print_legend(i, names[i] == NULL ? "?" : names[i], &drawn[i], plot.has_letters);
    }
    if (count > plot.series_count) {
        printf("and %zu series that are not drawn\n", count - plot.series_count);
    }
    return CLI_OK;
}

static int plot_result(const struct tsdb_command *command, const struct steps *steps,
                       const struct json_value *result)
{
    const size_t count = json_read_count(result);
    struct drawn *drawn = calloc(count + 1, sizeof *drawn);
    size_t width = 0;
    char **names = make_names(result, &width);
    bool is_fine = drawn != NULL && names != NULL;

    for (size_t i = 0; i < count && is_fine; i++) {
        is_fine = read_points(json_read_member(json_read_item(result, i), "values"), &drawn[i]);
    }
    int code = is_fine ? draw(command, steps, drawn, count, names) : no_memory(command);
    for (size_t i = 0; i < count && drawn != NULL; i++) {
        free(drawn[i].t_ms);
        free(drawn[i].values);
    }
    free(drawn);
    free_names(names, count);
    return code;
}

static int show_range(const struct tsdb_command *command, const struct steps *steps,
                      const struct tsdb_answer *answer)
{
    const struct json_value *result = json_read_member(answer->data, "result");

    if (command->is_json) {
        tsdb_answer_print(answer);
        return CLI_OK;
    }
    if (command->is_table || json_read_count(result) == 0) {
        return print_result(command, answer);
    }
    int code = plot_result(command, steps, result);
    print_annotations(answer, "warnings");
    print_annotations(answer, "infos");
    return code;
}

static int ask_range(const struct tsdb_command *command, struct tsdb_target *target,
                     const struct steps *steps)
{
    char start[TSDB_TIME_BYTES], end[TSDB_TIME_BYTES], step[TSDB_TIME_BYTES];
    const struct api_question_param params[] = {
        {"query", command->words[0]},
        {"start", tsdb_time_seconds(steps->start_ms, start)},
        {"end", tsdb_time_seconds(steps->end_ms, end)},
        {"step", tsdb_time_seconds(steps->step_ms, step)},
        {"limit", command->limit},
    };
    const struct api_question question = {.path = "/api/v1/query_range",
                                          .params = params,
                                          .param_count = command->limit != NULL ? 5 : 4};
    struct tsdb_answer answer;
    int code = tsdb_target_ask(target, &question, command->words[0], &answer);

    if (code == CLI_OK) {
        code = show_range(command, steps, &answer);
        tsdb_answer_free(&answer);
    }
    return code;
}

int tsdb_run_range(const struct tsdb_command *command)
{
    struct tsdb_target target;
    struct steps steps = {0};
    int code = tsdb_target_open(command, true, &target);

    if (code != CLI_OK) {
        return code;
    }
    code = read_steps(command, target.now_ms, &steps);
    if (code == CLI_OK) {
        code = ask_range(command, &target, &steps);
    }
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
