/*
 * `quarry top PID`: a heap's figures, again and again. With --server: top_server.c.
 *
 *   on a terminal            the screen, drawn anew each interval until q is pressed
 *   elsewhere, or --once     one picture as text
 *   --json                   one object on one line
 *
 * On the screen each look asks for the figures of the next, so that keys are never waited for by
 * the process that is looked at.
 */
#include <cli/cli.h>
#include <cli/heap_json.h>
#include <cli/options.h>
#include <cli/process.h>
#include <cli/screen.h>
#include <cli/top_picture.h>
#include <cli/top_server.h>

#include <getopt.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MAX_S 3600u
#define ONCE_WIDTH     100u
#define ONCE_HEIGHT    52u
#define JSON_STACKS    20u
#define NOTE_BYTES     48u

static const char top_help[] =
    "usage: quarry top PID [--interval S] [--once] [--json] [--ascii]\n"
    "       quarry top --server URL [--user NAME [--password-file FILE]] [--interval S] [--once]\n"
    "                  [--json] [--ascii]\n"
    "\n"
    "Shows what a process under Quarry's malloc does with its memory, live: the budget, "
    "fragmentation\n"
    "by owner and lifetime, size classes with their waste, the stacks that hold most, and those "
    "that\n"
    "pin most free memory. Of a server: the budget by owner, requests, hits, times, its stores, "
    "and\n"
    "what its doctor finds.\n"
    "\n"
    "  --server URL  a server's HTTP door: http://HOST:PORT\n"
    "  --user NAME   logs in at the server\n"
    "  --password-file FILE  its first line is the password\n"
    "  --interval S  seconds between looks (1)\n"
    "  --once        one picture; the default where there is no terminal\n"
    "  --json        one object on one line\n"
    "  --ascii       no block elements; the default where the locale is not UTF-8\n"
    "\n"
    "q ends it; r looks at once, and for findings too.\n"
    "\n"
    "Exit status: 0; 1 when something failed; 2 for a wrong command line; 4 when there is no such\n"
    "process or server, it does not run under Quarry, or it may not be looked at.\n";

struct top_options {
    const char *pid, *server, *user, *password_path;
    uint32_t interval_s;
    bool is_once, is_json, is_ascii, is_terminal;
};

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_INTERVAL = 256,
    OPTION_ONCE,
    OPTION_JSON,
    OPTION_ASCII,
    OPTION_SERVER,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
};

static const struct option long_options[] = {
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"ascii", no_argument, NULL, OPTION_ASCII},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {NULL, 0, NULL, 0},
};

static int set_option(struct top_options *options, int code, const char *given)
{
    switch (code) {
    case OPTION_INTERVAL:
        return option_count("top", "--interval", optarg, 1, INTERVAL_MAX_S, &options->interval_s);
    case OPTION_ONCE:
        options->is_once = true;
        return CLI_OK;
    case OPTION_JSON:
        options->is_json = true;
        return CLI_OK;
    case OPTION_ASCII:
        options->is_ascii = true;
        return CLI_OK;
    case OPTION_SERVER:
        options->server = optarg;
        return CLI_OK;
    case OPTION_USER:
        options->user = optarg;
        return CLI_OK;
    case OPTION_PASSWORD_FILE:
        options->password_path = optarg;
        return CLI_OK;
    case ':':
        return cli_usage_error("top", "'%s' takes a value", given);
    default:
        return cli_usage_error("top", "there is no option '%s'", given);
    }
}

/* A process or a server; who logs in does so at a server. */
static int check_options(const struct top_options *options, int word_count)
{
    if (options->server == NULL && word_count != 1) {
        return cli_usage_error("top", word_count == 0 ? "a process number is missing"
                                                      : "one process at a time");
    }
    if (options->server != NULL && word_count != 0) {
        return cli_usage_error("top", "either a process or a server");
    }
    if (options->server == NULL && (options->user != NULL || options->password_path != NULL)) {
        return cli_usage_error("top", "--user and --password-file go with --server");
    }
    if (options->password_path != NULL && options->user == NULL) {
        return cli_usage_error("top", "--password-file goes with --user");
    }
    return CLI_OK;
}

static int parse_options(int argument_count, char **arguments, struct top_options *options)
{
    int status = CLI_OK, code = 0;

    *options = (struct top_options){
        .interval_s = 1,
        .is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0,
        .is_terminal = isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1,
    };
    opterr = 0;
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        status = set_option(options, code, arguments[optind - 1]);
    }
    options->pid = arguments[optind];
    return status == CLI_OK ? check_options(options, argument_count - optind) : status;
}

/* ---- one picture ---------------------------------------------------------------------------- */

static int no_memory(void)
{
    return cli_failure("top", "no memory for a picture");
}

static void format_clock(uint64_t wall_ns, const char *before, char note[NOTE_BYTES])
{
    time_t seconds = (time_t)(wall_ns / Q_SECOND_NS);
    struct tm local;
    char clock[16] = "";

    if (localtime_r(&seconds, &local) != NULL) {
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", &local);
    }
    (void)snprintf(note, NOTE_BYTES, "%s%s", before, clock);
}

static uint32_t once_width(void)
{
    struct winsize size;

    if (isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
        size.ws_col > 0) {
        return size.ws_col;
    }
    return ONCE_WIDTH;
}

static int print_picture(const struct top_options *options, const struct top_picture *picture)
{
    struct canvas canvas = {0};
    int code = CLI_OK;

    if (canvas_reset(&canvas, once_width(), ONCE_HEIGHT) != QUARRY_OK) {
        return no_memory();
    }
    if (top_picture_draw(&canvas, picture) != QUARRY_OK) {
        code = no_memory();
    } else {
        canvas_print(&canvas, stdout, options->is_terminal && getenv("NO_COLOR") == NULL);
    }
    canvas_fini(&canvas);
    return code == CLI_OK ? cli_finish_output("top") : code;
}

/* Returns: what is found, until the next call. */
static const struct doctor_report *examine(const struct process *process, struct symbols *symbols)
{
    static struct doctor_report report; /* too large for a stack */

    doctor_examine(process, symbols, NULL, &report);
    return &report;
}

static int show_once(const struct top_options *options, const struct process *process,
                     struct symbols *symbols)
{
    char note[NOTE_BYTES];

    if (options->is_json) {
        if (heap_json_print(stdout, process, symbols, "top", JSON_STACKS) != QUARRY_OK) {
            return no_memory();
        }
        return cli_finish_output("top");
    }
    format_clock(process->snapshot.head->refresh_wall_ns, "", note);
    const struct top_picture picture = {
        .process = process,
        .symbols = symbols,
        .report = examine(process, symbols),
        .note = note,
        .allocations_per_s = -1.0,
        .is_ascii = options->is_ascii,
    };
    return print_picture(options, &picture);
}

/* ---- the screen ----------------------------------------------------------------------------- */

/* What the last look saw, to know how fast things go. */
struct rate {
    uint64_t alloc_count;
    uint64_t monotonic_ns;
    double per_s; /* below 0: not known yet */
};

static void rate_update(struct rate *rate, const struct mem_stats_snapshot *snapshot)
{
    uint64_t now_ns = snapshot->head->refresh_monotonic_ns;
    uint64_t count = snapshot->totals->alloc_count;

    if (now_ns == rate->monotonic_ns) {
        return; /* the same figures */
    }
    if (rate->monotonic_ns != 0 && now_ns > rate->monotonic_ns) {
        rate->per_s = (double)sat_sub_u64(count, rate->alloc_count) * (double)Q_SECOND_NS /
                      (double)(now_ns - rate->monotonic_ns);
    }
    rate->alloc_count = count;
    rate->monotonic_ns = now_ns;
}

static enum quarry_status draw_screen(const struct top_options *options,
                                      const struct process *process, struct symbols *symbols,
                                      struct rate *rate, struct canvas *canvas)
{
    enum quarry_status status = symbols_update(symbols, &process->snapshot);
    uint32_t width, height;
    char note[NOTE_BYTES];

    rate_update(rate, &process->snapshot);
    format_clock(process->snapshot.head->refresh_wall_ns, "q quits  ", note);
    screen_size(&width, &height);
    if (status == QUARRY_OK) {
        status = canvas_reset(canvas, width, height);
    }
    if (status == QUARRY_OK) {
        const struct top_picture picture = {
            .process = process,
            .symbols = symbols,
            .report = examine(process, symbols),
            .note = note,
            .allocations_per_s = rate->per_s,
            .is_ascii = options->is_ascii,
        };
        status = top_picture_draw(canvas, &picture);
    }
    if (status == QUARRY_OK) {
        screen_show(canvas);
    }
    return status;
}

/* Waits out an interval, drawing again when the size changes. Returns: whether q was pressed. */
static bool wait_interval(const struct top_options *options)
{
    uint64_t end_ns = os_monotonic_ns(os_real()) + options->interval_s * Q_SECOND_NS;
    uint64_t left_ns = options->interval_s * Q_SECOND_NS;
    enum screen_event event = SCREEN_NOTHING;

    while (left_ns > 0 && event == SCREEN_NOTHING) {
        event = screen_wait((uint32_t)size_ceil_div_u64(left_ns, Q_MS_NS));
        left_ns = sat_sub_u64(end_ns, os_monotonic_ns(os_real()));
    }
    return event == SCREEN_QUIT;
}

/* The screen is open, and given back before anything is said. */
static int run_screen(const struct top_options *options, struct process *process,
                      struct symbols *symbols)
{
    struct rate rate = {.per_s = -1.0};
    struct quarry_error error = {0};
    struct canvas canvas = {0};
    enum quarry_status status = draw_screen(options, process, symbols, &rate, &canvas);
    bool is_alive = true;

    while (status == QUARRY_OK && is_alive && !wait_interval(options)) {
        is_alive = process_is_alive(process);
        if (is_alive) {
            status = process_look(process, &error);
        }
        if (is_alive && status == QUARRY_OK) {
            status = draw_screen(options, process, symbols, &rate, &canvas);
        }
    }
    screen_close();
    canvas_fini(&canvas);
    if (status != QUARRY_OK) {
        return cli_failure("top", "%s",
                           error.text[0] != '\0' ? error.text : quarry_status_text(status));
    }
    if (!is_alive) {
        fprintf(stderr, "quarry top: process %u has ended\n", process->pid);
    }
    return CLI_OK;
}

static int show(const struct top_options *options, struct process *process)
{
    struct symbols *symbols;

    if (symbols_create(&process->snapshot, process->pid, &symbols) != QUARRY_OK) {
        return no_memory();
    }
    bool is_live = options->is_terminal && !options->is_once && !options->is_json;
    int code = is_live && screen_open() ? run_screen(options, process, symbols)
                                        : show_once(options, process, symbols);
    symbols_destroy(symbols);
    return code;
}

static int show_server(const struct top_options *options)
{
    const struct top_server top = {
        .url = options->server,
        .user = options->user,
        .password_path = options->password_path,
        .interval_s = options->interval_s,
        .is_live = options->is_terminal && !options->is_once && !options->is_json,
        .is_json = options->is_json,
        .is_ascii = options->is_ascii,
        .is_coloured = options->is_terminal && getenv("NO_COLOR") == NULL,
    };

    return top_server_show(&top);
}

static int run_top(int argument_count, char **arguments)
{
    struct top_options options;
    struct process process;
    int code = parse_options(argument_count, arguments, &options);

    if (code == CLI_OK && options.server != NULL) {
        return show_server(&options);
    }
    if (code == CLI_OK) {
        code = process_open("top", options.pid, &process);
    }
    if (code != CLI_OK) {
        return code;
    }
    code = process_refresh(&process);
    if (code == CLI_OK) {
        code = process_check_figures(&process);
    }
    if (code == CLI_OK) {
        code = show(&options, &process);
    }
    process_close(&process);
    return code;
}

const struct cli_command cli_command_top = {
    .name = "top",
    .summary = "shows the heap of a process, or what a server does, live",
    .help = top_help,
    .run = run_top,
};
