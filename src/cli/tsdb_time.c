/*
 * Times of command lines, and times for people.
 *
 * Locking: none.
 */
#include <cli/tsdb_target.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cli/cmd_tsdb.h>

static struct http_slice slice_of(const char *text)
{
    return (struct http_slice){text, strlen(text)};
}

/* "now", "-1h", "now-1h", "now+5m". */
static bool read_relative(const char *text, int64_t now_ms, int64_t *ret_ms)
{
    const bool says_now = strncmp(text, "now", 3) == 0;
    const char *rest = says_now ? text + 3 : text;
    int64_t span_ms;

    if (says_now && *rest == '\0') {
        *ret_ms = now_ms;
        return true;
    }
    if ((*rest != '-' && !(says_now && *rest == '+')) ||
        !api_read_duration(slice_of(rest + 1), &span_ms) || span_ms < 0) {
        return false;
    }
    /* A number alone is seconds since 1970, of which there are some before that. */
    if (!says_now && strspn(rest + 1, "0123456789.") == strlen(rest + 1)) {
        return false;
    }
    *ret_ms = *rest == '-' ? now_ms - span_ms : now_ms + span_ms;
    return true;
}

int tsdb_time_read(const struct tsdb_command *command, const char *option, const char *text,
                   int64_t now_ms, int64_t fallback_ms, int64_t *ret_ms)
{
    if (text == NULL) {
        *ret_ms = fallback_ms;
        return CLI_OK;
    }
    if (read_relative(text, now_ms, ret_ms) || api_read_time(slice_of(text), ret_ms)) {
        return CLI_OK;
    }
    return tsdb_usage_error(command,
                            "%s: '%.100s' is no time: seconds since 1970, 2023-11-14T22:13:20Z, "
                            "now or -1h are wanted",
                            option, text);
}

int tsdb_duration_read(const struct tsdb_command *command, const char *option, const char *text,
                       int64_t *ret_ms)
{
    if (api_read_duration(slice_of(text), ret_ms) && *ret_ms > 0) {
        return CLI_OK;
    }
    return tsdb_usage_error(command, "%s: '%.100s' is no duration above 0: 15s, 1h30m or 0.5",
                            option, text);
}

const char *tsdb_time_seconds(int64_t t_ms, char room[TSDB_TIME_BYTES])
{
    const uint64_t distance = t_ms < 0 ? (uint64_t)0 - (uint64_t)t_ms : (uint64_t)t_ms;

    (void)snprintf(room, TSDB_TIME_BYTES, "%s%llu.%03u", t_ms < 0 ? "-" : "",
                   (unsigned long long)(distance / 1000), (unsigned)(distance % 1000));
    return room;
}

const char *tsdb_time_text(int64_t t_ms, char room[TSDB_TIME_BYTES])
{
    const int64_t rest_ms = (t_ms % 1000 + 1000) % 1000;
    const time_t seconds = (time_t)((t_ms - rest_ms) / 1000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(room, TSDB_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        return tsdb_time_seconds(t_ms, room);
    }
    if (rest_ms != 0) {
        const size_t length = strlen(room);
        (void)snprintf(room + length, TSDB_TIME_BYTES - length, ".%03d", (int)rest_ms);
    }
    return room;
}
