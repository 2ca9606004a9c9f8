/*
 * What series there are: `quarry tsdb series|labels|top`.
 */
#include <cli/cmd_tsdb.h>

#include <stdlib.h>
#include <string.h>

#include <cli/tsdb_text.h>

/* match[], start, end, limit. */
#define PARAMS_MAX (TSDB_MATCHES_MAX + 3u)

struct words {
    struct api_question_param params[PARAMS_MAX];
    size_t count;
    char start[TSDB_TIME_BYTES], end[TSDB_TIME_BYTES];
};

static void add(struct words *words, const char *name, const char *value)
{
    Q_ASSERT(words->count < PARAMS_MAX);
    words->params[words->count++] = (struct api_question_param){name, value};
}

static int add_time(const struct tsdb_target *target, struct words *words, const char *name,
                    const char *text, char room[TSDB_TIME_BYTES])
{
    int64_t t_ms = 0;
    int code = tsdb_time_read(target->command, name, text, target->now_ms, 0, &t_ms);

    if (code == CLI_OK && text != NULL) {
        add(words, name + 2, tsdb_time_seconds(t_ms, room));
    }
    return code;
}

/* --match, --start, --end, --limit. */
static int add_options(const struct tsdb_target *target, struct words *words)
{
    const struct tsdb_command *command = target->command;

    for (uint32_t i = 0; i < command->match_count; i++) {
        add(words, "match[]", command->matches[i]);
    }
    if (command->limit != NULL) {
        add(words, "limit", command->limit);
    }
    int code = add_time(target, words, "--start", command->start, words->start);
    return code == CLI_OK ? add_time(target, words, "--end", command->end, words->end) : code;
}

static void print_texts(const struct json_value *texts)
{
    size_t length = 0;

    for (size_t i = 0; i < json_read_count(texts); i++) {
        const char *text = json_read_text(json_read_item(texts, i), &length);
        tsdb_text_put(stdout, text == NULL ? "" : text);
        puts("");
    }
}

static int print_series(const struct tsdb_command *command, const struct json_value *series)
{
    for (size_t i = 0; i < json_read_count(series); i++) {
        char *text = tsdb_text_labels(json_read_item(series, i));
        if (text == NULL) {
            return tsdb_tool_fail(command, QUARRY_NO_MEMORY, NULL);
        }
        tsdb_text_put(stdout, text);
        puts("");
        free(text);
    }
    return CLI_OK;
}

typedef int print_function(const struct tsdb_command *command, const struct json_value *data);

static int print_names(const struct tsdb_command *command, const struct json_value *data)
{
    (void)command;
    print_texts(data);
    return CLI_OK;
}

/* Asks, and prints what is answered. `question`: without its parameters. */
static int ask(const struct tsdb_command *command, struct api_question question,
               struct words *words, print_function *print)
{
    struct tsdb_target target;
    struct tsdb_answer answer;
    int code = tsdb_target_open(command, true, &target);

    if (code != CLI_OK) {
        return code;
    }
    code = add_options(&target, words);
    if (code == CLI_OK) {
        question.params = words->params;
        question.param_count = words->count;
        code = tsdb_target_ask(&target, &question, words->count > 0 ? words->params[0].value : NULL,
                               &answer);
    }
    if (code == CLI_OK) {
        if (command->is_json) {
            tsdb_answer_print(&answer);
        } else {
            code = print(command, answer.data);
        }
        tsdb_answer_free(&answer);
    }
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}

int tsdb_run_series(const struct tsdb_command *command)
{
    struct words words = {.count = 0};

    if (command->word_count + command->match_count > TSDB_MATCHES_MAX) {
        return tsdb_usage_error(command, "more than %u selectors", TSDB_MATCHES_MAX);
    }
    for (uint32_t i = 0; i < command->word_count; i++) {
        add(&words, "match[]", command->words[i]);
    }
    if (command->word_count + command->match_count == 0) {
        add(&words, "match[]", "{__name__=~\".+\"}");
    }
    return ask(command, (struct api_question){.path = "/api/v1/series"}, &words, print_series);
}

int tsdb_run_labels(const struct tsdb_command *command)
{
    struct words words = {.count = 0};
    struct api_question question = {.path = "/api/v1/labels"};

    if (command->word_count > 0) {
        question.path = "/api/v1/label/*/values";
        question.segment = command->words[0];
    }
    return ask(command, question, &words, print_names);
}

/* ---- top ------------------------------------------------------------------------------------ */

static void print_list(const struct json_value *data, const char *name, const char *title)
{
    const struct json_value *list = json_read_member(data, name);
    size_t width = 0, length = 0;

    for (size_t i = 0; i < json_read_count(list); i++) {
        const char *text =
            json_read_text(json_read_member(json_read_item(list, i), "name"), &length);
        width = size_max(width, text == NULL ? 0 : tsdb_text_width(text));
    }
    printf("\n%s:\n", title);
    for (size_t i = 0; i < json_read_count(list); i++) {
        const struct json_value *item = json_read_item(list, i);
        const char *text = json_read_text(json_read_member(item, "name"), &length);
        fputs("  ", stdout);
        tsdb_text_put_padded(stdout, text == NULL ? "" : text, size_min(width, 72));
        printf("  %12llu\n", (unsigned long long)json_read_u64(json_read_member(item, "value")));
    }
}

static int print_top(const struct tsdb_command *command, const struct json_value *data)
{
    const struct json_value *head = json_read_member(data, "headStats");
    char from[TSDB_TIME_BYTES], to[TSDB_TIME_BYTES];

    (void)command;
    printf("%llu series, %llu pairs of labels, %s to %s\n",
           (unsigned long long)json_read_u64(json_read_member(head, "numSeries")),
           (unsigned long long)json_read_u64(json_read_member(head, "numLabelPairs")),
           tsdb_time_text((int64_t)json_read_double(json_read_member(head, "minTime")), from),
           tsdb_time_text((int64_t)json_read_double(json_read_member(head, "maxTime")), to));
    print_list(data, "seriesCountByMetricName", "series by metric");
    print_list(data, "labelValueCountByLabelName", "values by label");
    print_list(data, "memoryInBytesByLabelName", "bytes of values by label");
    print_list(data, "seriesCountByLabelValuePair", "series by pair of label and value");
    return CLI_OK;
}

int tsdb_run_top(const struct tsdb_command *command)
{
    struct words words = {.count = 0};

    return ask(command, (struct api_question){.path = "/api/v1/status/tsdb"}, &words, print_top);
}
