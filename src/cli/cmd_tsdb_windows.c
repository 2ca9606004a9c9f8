/*
 * The ring of windows: `quarry tsdb windows`.
 *
 *     2023-11-14 20:00:00  sealed   12 series    40,000 samples   1.2 MiB  [######++++··········]
 *
 * A bar is as long as the window's memory is beside that of the largest one: what holds something,
 * then what is charged beyond it.
 */
#include <cli/cmd_tsdb.h>

#include <langinfo.h>
#include <stdio.h>
#include <string.h>

#define BAR_WIDTH 24u

static uint64_t number(const struct json_value *window, const char *name)
{
    return json_read_u64(json_read_member(window, name));
}

static uint64_t charged_of(const struct json_value *window)
{
    return number(window, "openBytes") + number(window, "sealedBytes");
}

static uint64_t used_of(const struct json_value *window)
{
    return number(window, "openUsedBytes") + number(window, "sealedUsedBytes");
}

static void print_bar(const struct json_value *window, uint64_t most, bool is_ascii)
{
    const uint64_t charged =
        most == 0 ? 0 : size_ceil_div_u64(charged_of(window) * BAR_WIDTH, most);
    const uint64_t used = most == 0 ? 0 : used_of(window) * BAR_WIDTH / most;

    for (uint64_t i = 0; i < charged; i++) {
        fputs(is_ascii ? (i < used ? "#" : "+") : (i < used ? "\xe2\x96\x88" : "\xe2\x96\x91"),
              stdout);
    }
}

static void print_window(const struct json_value *window, uint32_t shard_count, uint64_t most,
                         bool is_ascii)
{
    const uint64_t sealed_count = number(window, "sealedShards");
    const uint64_t sample_count = number(window, "samples");
    const uint64_t charged = charged_of(window), used = used_of(window);
    char start[TSDB_TIME_BYTES], end[TSDB_TIME_BYTES], each[16] = "-";
    char charged_text[SIZE_TEXT_BYTES], slack_text[SIZE_TEXT_BYTES];

    if (sample_count > 0) {
        (void)snprintf(each, sizeof each, "%.2f", (double)charged / (double)sample_count);
    }
    printf("%s  %s  %-7s %9llu %12llu %11s %9s %11s  ",
           tsdb_time_text((int64_t)json_read_double(json_read_member(window, "startMs")), start),
           tsdb_time_text((int64_t)json_read_double(json_read_member(window, "endMs")), end) + 11,
           sealed_count == shard_count ? "sealed"
           : sealed_count > 0          ? "sealing"
                                       : "open",
           (unsigned long long)number(window, "series"), (unsigned long long)sample_count,
           size_format(charged, charged_text), each,
           size_format(charged > used ? charged - used : 0, slack_text));
    print_bar(window, most, is_ascii);
    puts("");
}

static void print_windows(const struct tsdb_command *command, const struct json_value *data)
{
    const struct json_value *windows = json_read_member(data, "windows");
    const size_t count = json_read_count(windows);
    const bool is_ascii = command->is_ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    uint64_t most = 0;

    for (size_t i = 0; i < count; i++) {
        most = size_max_u64(most, charged_of(json_read_item(windows, i)));
    }
    if (count == 0) {
        puts("no windows");
        return;
    }
    printf("%-19s  %-8s  %-7s %9s %12s %11s %9s %11s\n", "from (UTC)", "to", "state", "series",
           "samples", "memory", "B/sample", "slack");
    for (size_t i = 0; i < count; i++) {
        print_window(json_read_item(windows, i), (uint32_t)number(data, "shards"), most, is_ascii);
    }
}

int tsdb_run_windows(const struct tsdb_command *command)
{
    const struct api_question question = {.path = "/api/v1/status/windows"};
    struct tsdb_target target;
    struct tsdb_answer answer;
    int code = tsdb_target_open(command, true, &target);

    if (code != CLI_OK) {
        return code;
    }
    code = tsdb_target_ask(&target, &question, NULL, &answer);
    if (code == CLI_OK) {
        if (command->is_json) {
            tsdb_answer_print(&answer);
        } else {
            print_windows(command, answer.data);
        }
        tsdb_answer_free(&answer);
    }
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
