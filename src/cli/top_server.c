/*
 * `quarry top --server`.
 *
 *   on a terminal            a look each interval; findings at the start, each five minutes, and
 *                            when r is pressed, for they cost the server half a second of a CPU
 *   elsewhere, or --once     two looks an interval apart, so that there are rates; one picture
 *   --json                   the same as one object on one line
 *
 * On the screen nothing is said on stderr: what is wrong stands in the picture, with the figures of
 * the last look, until the server answers again. A server that was started anew has other counters:
 * its first look has no rates.
 *
 * Locking: none; of one thread.
 */
#include <cli/top_server.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cli/cli.h>
#include <cli/json_write.h>
#include <cli/screen.h>
#include <cli/server_picture.h>

#include <os/os.h>

#define COMMAND         "top"
#define ONCE_WIDTH      100u
#define ONCE_HEIGHT     52u
#define NOTE_BYTES      48u
#define QUIET_TIMEOUT_S 5u /* keys wait as long */
#define FINDINGS_NS     (300 * Q_SECOND_NS)

/* Too large for a stack. */
struct looks {
    struct tsdb_http http;
    struct server_figures looks[2]; /* the newer one is [newest] */
    struct server_findings findings;
    uint32_t newest, count;
    uint64_t findings_ns; /* when they were asked for; 0: never */
    bool is_failing;      /* the last look failed: http.fault says why */
};

static int look(struct looks *looks)
{
    uint32_t next = (looks->newest + 1) % 2;
    int code = server_figures_ask(&looks->http, &looks->looks[next]);

    looks->is_failing = code != CLI_OK;
    if (code == CLI_OK) {
        looks->newest = next;
        looks->count++;
    }
    return code;
}

static int look_for_findings(struct looks *looks)
{
    looks->findings_ns = os_monotonic_ns(os_real());
    return server_findings_ask(&looks->http, &looks->findings);
}

static const struct server_figures *before_of(const struct looks *looks)
{
    return looks->count > 1 ? &looks->looks[(looks->newest + 1) % 2] : NULL;
}

static void format_clock(const char *before, char note[NOTE_BYTES])
{
    time_t seconds = time(NULL);
    struct tm local;
    char clock[16] = "";

    if (localtime_r(&seconds, &local) != NULL) {
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    }
    (void)snprintf(note, NOTE_BYTES, "%s%s", before, clock);
}

static int draw(const struct top_server *top, const struct looks *looks, const char *keys,
                struct canvas *canvas, uint32_t width, uint32_t height)
{
    char note[NOTE_BYTES];
    const struct server_picture picture = {
        .url = top->url,
        .note = note,
        .before = before_of(looks),
        .now = &looks->looks[looks->newest],
        .findings = &looks->findings,
        .fault = looks->is_failing ? looks->http.fault : "",
        .is_ascii = top->is_ascii,
    };

    format_clock(keys, note);
    if (canvas_reset(canvas, width, height) != QUARRY_OK) {
        return CLI_FAILED;
    }
    server_picture_draw(canvas, &picture);
    return CLI_OK;
}

/* ---- one picture ---------------------------------------------------------------------------- */

/* What scripts are told, by name. */
static const struct {
    const char *name;
    enum server_figure figure;
} told_figures[] =
    {
        {"committed_bytes", SERVER_COMMITTED},
        {"limit_bytes", SERVER_LIMIT},
        {"peak_bytes", SERVER_PEAK},
        {"pressure_level", SERVER_PRESSURE},
        {"connection_count", SERVER_CONNECTIONS},
        {"connections_max", SERVER_CONNECTIONS_MAX},
        {"loop_lag_max_seconds", SERVER_LAG_SECONDS},
        {"cache_size_bytes", SERVER_CACHE_SIZE},
        {"cache_charged_bytes", SERVER_CACHE_BYTES},
        {"cache_item_count", SERVER_CACHE_ITEMS},
        {"kv_charged_bytes", SERVER_KV_BYTES},
        {"kv_key_count", SERVER_KV_KEYS},
        {"kv_memtable_count", SERVER_KV_MEMTABLES},
        {"kv_level0_file_count", SERVER_KV_LEVEL0_FILES},
        {"kv_waited_seconds", SERVER_KV_WAITED_SECONDS},
        {"tsdb_charged_bytes", SERVER_TSDB_BYTES},
        {"tsdb_series_count", SERVER_TSDB_SERIES},
        {"tsdb_window_count", SERVER_TSDB_WINDOWS},
        {"scrape_target_count", SERVER_SCRAPE_TARGETS},
},
  told_rates[] = {
      {"cpu", SERVER_CPU_SECONDS},
      {"received_bytes_per_second", SERVER_RECEIVED},
      {"sent_bytes_per_second", SERVER_SENT},
      {"http_answers_per_second", SERVER_HTTP_ANSWERS},
      {"resp_commands_per_second", SERVER_RESP_COMMANDS},
      {"cache_hits_per_second", SERVER_CACHE_HITS},
      {"cache_misses_per_second", SERVER_CACHE_MISSES},
      {"cache_sets_per_second", SERVER_CACHE_SETS},
      {"cache_evictions_per_second", SERVER_CACHE_EVICTIONS},
      {"kv_puts_per_second", SERVER_KV_PUTS},
      {"kv_gets_per_second", SERVER_KV_GETS},
      {"tsdb_samples_per_second", SERVER_TSDB_SAMPLES},
      {"tsdb_refused_per_second", SERVER_TSDB_REFUSED},
      {"scrape_failures_per_second", SERVER_SCRAPE_FAILURES},
};
#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

/* What is not known is null. */
static void put_known(struct json *json, const char *name, double value)
{
    json_double(json, name, value < 0 ? (double)NAN : value);
}

/* Nearly all are whole numbers, and are told as such. */
static void put_figure(struct json *json, const char *name, double value)
{
    if (value >= 0 && value < 9e15 && value == floor(value)) {
        json_u64(json, name, (uint64_t)value);
    } else {
        json_double(json, name, value);
    }
}

static void put_lists(struct json *json, const struct looks *looks)
{
    const struct server_figures *now = &looks->looks[looks->newest];

    json_array(json, "owners");
    for (uint32_t i = 0; i < now->owner_count; i++) {
        json_object(json, NULL);
        json_string(json, "owner", now->owner[i].name);
        json_u64(json, "in_use_bytes", now->owner[i].in_use_bytes);
        json_object_end(json);
    }
    json_array_end(json);
    json_bool(json, "are_findings_told", looks->findings.is_told);
    json_array(json, "findings");
    for (uint32_t i = 0; i < looks->findings.count; i++) {
        const struct server_finding *finding = &looks->findings.finding[i];
        json_object(json, NULL);
        json_string(json, "severity", finding->severity);
        json_string(json, "cause", finding->cause);
        json_string(json, "text", finding->text);
        json_object_end(json);
    }
    json_array_end(json);
}

static void print_json(const struct top_server *top, const struct looks *looks)
{
    const struct server_figures *now = &looks->looks[looks->newest], *before = before_of(looks);
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_string(&json, "view", "top-server");
    json_string(&json, "server", top->url);
    put_known(&json, "uptime_seconds", now->wall_seconds - now->value[SERVER_START_SECONDS]);
    for (size_t i = 0; i < COUNT_OF(told_figures); i++) {
        put_figure(&json, told_figures[i].name, now->value[told_figures[i].figure]);
    }
    for (size_t i = 0; i < COUNT_OF(told_rates); i++) {
        put_known(&json, told_rates[i].name, server_rate(before, now, told_rates[i].figure));
    }
    put_known(&json, "requests_per_second", server_requests_rate(before, now));
    put_known(&json, "cache_hit_percent", server_hit_percent(before, now));
    put_known(&json, "resp_p99_seconds", server_p99_seconds(before, now));
    put_lists(&json, looks);
    json_object_end(&json);
    json_finish(&json);
}

static uint32_t once_width(void)
{
    struct winsize size;

    return isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
                   size.ws_col > 0
               ? size.ws_col
               : ONCE_WIDTH;
}

static int show_once(const struct top_server *top, struct looks *looks)
{
    struct canvas canvas = {0};
    int code = look(looks);

    if (code == CLI_OK) {
        code = look_for_findings(looks);
    }
    if (code == CLI_OK) {
        os_sleep_ns(top->interval_s * Q_SECOND_NS);
        code = look(looks);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (top->is_json) {
        print_json(top, looks);
        return cli_finish_output(COMMAND);
    }
    code = draw(top, looks, "", &canvas, once_width(), ONCE_HEIGHT);
    if (code == CLI_OK) {
        canvas_print(&canvas, stdout, top->is_coloured);
        code = cli_finish_output(COMMAND);
    } else {
        (void)cli_failure(COMMAND, "no memory for a picture");
    }
    canvas_fini(&canvas);
    return code;
}

/* ---- the screen ----------------------------------------------------------------------------- */

static int draw_screen(const struct top_server *top, const struct looks *looks,
                       struct canvas *canvas)
{
    uint32_t width, height;

    screen_size(&width, &height);
    int code = draw(top, looks, "q quits  r looks  ", canvas, width, height);
    if (code == CLI_OK) {
        screen_show(canvas);
    }
    return code;
}

/* Waits out an interval, drawing again when the size changes. */
static enum screen_event wait_interval(const struct top_server *top, const struct looks *looks,
                                       struct canvas *canvas)
{
    uint64_t left_ns = top->interval_s * Q_SECOND_NS;
    uint64_t end_ns = os_monotonic_ns(os_real()) + left_ns;
    enum screen_event event = SCREEN_NOTHING;

    while (left_ns > 0 && (event == SCREEN_NOTHING || event == SCREEN_RESIZED)) {
        event = screen_wait((uint32_t)size_ceil_div_u64(left_ns, Q_MS_NS));
        left_ns = sat_sub_u64(end_ns, os_monotonic_ns(os_real()));
        if (event == SCREEN_RESIZED && draw_screen(top, looks, canvas) != CLI_OK) {
            return SCREEN_QUIT;
        }
    }
    return event;
}

/* Findings: where they are old, or were asked for. What does not answer is asked again later. */
static void renew_findings(struct looks *looks, bool is_asked)
{
    uint64_t age_ns = os_monotonic_ns(os_real()) - looks->findings_ns;

    if (!looks->is_failing && (is_asked || looks->findings_ns == 0 || age_ns >= FINDINGS_NS)) {
        (void)look_for_findings(looks);
    }
}

/* The screen is open, and given back before anything is said. The first look has been taken. */
static int run_screen(const struct top_server *top, struct looks *looks)
{
    struct canvas canvas = {0};
    int code = draw_screen(top, looks, &canvas); /* findings may take a second: not a blank one */
    enum screen_event event = SCREEN_AGAIN;

    while (code == CLI_OK && event != SCREEN_QUIT) {
        renew_findings(looks, event == SCREEN_AGAIN);
        code = draw_screen(top, looks, &canvas);
        if (code == CLI_OK) {
            event = wait_interval(top, looks, &canvas);
        }
        if (code == CLI_OK && event != SCREEN_QUIT) {
            (void)look(looks);
        }
    }
    screen_close();
    canvas_fini(&canvas);
    return code == CLI_OK ? CLI_OK : cli_failure(COMMAND, "no memory for a picture");
}

static int show(const struct top_server *top, struct looks *looks)
{
    int code;

    if (!top->is_live) {
        return show_once(top, looks);
    }
    code = look(looks); /* with words: there is no screen yet */
    if (code != CLI_OK) {
        return code;
    }
    if (!screen_open()) {
        return show_once(top, looks);
    }
    looks->http.quiet_timeout_s = QUIET_TIMEOUT_S;
    return run_screen(top, looks);
}

int top_server_show(const struct top_server *top)
{
    struct looks *looks = calloc(1, sizeof *looks);

    if (looks == NULL) {
        return cli_failure(COMMAND, "no memory for figures");
    }
    int code = tsdb_http_open(&looks->http, COMMAND, top->url, top->user, top->password_path);
    if (code == CLI_OK) {
        code = show(top, looks);
        tsdb_http_close(&looks->http);
    }
    free(looks);
    return code;
}
