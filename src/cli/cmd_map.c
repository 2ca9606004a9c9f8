/*
 * `quarry map`: a heap map from a file, of a process, or of the demonstration.
 *
 *   FILE              read, drawn once                              map_file, map_picture
 *   --server URL      likewise, of a server                         map_server
 *   PID               a terminal: once a second until q             process, screen
 *                     no terminal: drawn once
 *   --demo            a terminal: ten frames a second until q       screen
 *                     no terminal: a frame a second, then the end
 *   --json            the same frames, an object a line             map_json
 *
 * Whatever is shown goes through one struct frame, so that a picture from a file and a live one
 * cannot differ.
 */
#include <cli/cli.h>
#include <cli/demo.h>
#include <cli/map_file.h>
#include <cli/map_json.h>
#include <cli/map_options.h>
#include <cli/map_picture.h>
#include <cli/map_rates.h>
#include <cli/map_server.h>
#include <cli/process.h>
#include <cli/screen.h>

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SECONDS      10u
#define DEFAULT_ONCE_SECONDS 3u
#define LIVE_FRAME_MS        100u
#define PROCESS_FRAME_MS     1000u
#define PLAIN_WIDTH          80u
#define PLAIN_HEIGHT         24u
#define NOTE_BYTES           64u
#define TITLE_BYTES          80u

/* Everything that is shown at one time. `reading` and `live` are NULL for a map from a file. */
struct frame {
    const struct page_heap_map_view *view;
    const struct demo_reading *reading;
    const struct map_live *live;
    const char *title;
    char note[NOTE_BYTES];
};

/* ---- frames
 * -----------------------------------------------------------------------------------------------
 */

static void draw_frame(struct canvas *canvas, const struct frame *frame,
                       const struct map_options *options)
{
    const struct map_picture picture = {
        .view = frame->view,
        .title = frame->title,
        .note = frame->note,
        .live = frame->live,
        .sentence = frame->reading != NULL ? frame->reading->sentence : "",
        .by = options->by,
        .is_ascii = options->is_ascii,
    };

    map_picture_draw(canvas, &picture);
}

static void plain_size(const struct map_options *options, uint32_t *ret_width, uint32_t *ret_height)
{
    struct winsize size;

    *ret_width = PLAIN_WIDTH;
    *ret_height = PLAIN_HEIGHT;
    if (options->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 1) {
        *ret_width = size.ws_col;
        *ret_height = size.ws_row - 1u; /* the shell's next line */
    }
}

/* Prints a frame as JSON or as a picture. Returns: an exit code. */
static int print_frame(const struct map_options *options, const struct frame *frame)
{
    struct canvas canvas = {0};
    uint32_t width, height;

    if (options->is_json) {
        map_json_print(stdout, frame->view, frame->reading, frame->live);
        return cli_finish_output("map");
    }
    plain_size(options, &width, &height);
    if (canvas_reset(&canvas, width, height) != QUARRY_OK) {
        return cli_failure("map", "no memory for a picture");
    }
    draw_frame(&canvas, frame, options);
    canvas_print(&canvas, stdout, options->is_terminal && getenv("NO_COLOR") == NULL);
    canvas_fini(&canvas);
    return cli_finish_output("map");
}

/* ---- a file
 * -------------------------------------------------------------------------------------------------
 */

static void format_wall_time(uint64_t wall_ns, char note[NOTE_BYTES])
{
    time_t seconds = (time_t)(wall_ns / Q_SECOND_NS);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(note, NOTE_BYTES, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0) {
        note[0] = '\0';
    }
}

static int show_file(const struct map_options *options)
{
    struct page_heap_map_view view;
    struct quarry_error error = {0};
    uint8_t *bytes = NULL;
    size_t byte_count = 0;

    Q_ASSERT(options->file != NULL); /* check_options saw to it */
    if (map_file_read(options->file, &bytes, &byte_count, &error) != QUARRY_OK) {
        return cli_failure("map", "%s", error.text);
    }
    const char *name = strcmp(options->file, "-") == 0 ? "stdin" : options->file;
    int code = CLI_FAILED;
    if (page_heap_map_parse(bytes, byte_count, &view, &error) != QUARRY_OK) {
        (void)cli_failure("map", "%s: %s", name, error.text);
    } else {
        struct frame frame = {.view = &view, .title = name};
        format_wall_time(view.wall_ns, frame.note);
        code = print_frame(options, &frame);
    }
    free(bytes);
    return code;
}

/* ---- a process ------------------------------------------------------------------------------ */

/* What is drawn of a process; borrows from it. */
struct process_frame {
    struct page_heap_map_view view;
    struct frame frame;
    char title[TITLE_BYTES];
};

static enum quarry_status make_process_frame(const struct process *process, const char *keys,
                                             struct process_frame *ret_frame,
                                             struct quarry_error *error)
{
    const struct mem_stats_snapshot *snapshot = &process->snapshot;
    char wall[NOTE_BYTES];

    if (snapshot->map_bytes == 0) {
        return error_set(error, QUARRY_NOT_FOUND,
                         "process %u shows no map: its heap is too large for one, or too new",
                         process->pid);
    }
    enum quarry_status status =
        page_heap_map_parse(snapshot->map, snapshot->map_bytes, &ret_frame->view, error);
    if (status == QUARRY_OK) {
        (void)snprintf(ret_frame->title, TITLE_BYTES, "process %u: %.48s", process->pid,
                       snapshot->head->command);
        ret_frame->frame = (struct frame){.view = &ret_frame->view, .title = ret_frame->title};
        format_wall_time(ret_frame->view.wall_ns, wall);
        (void)snprintf(ret_frame->frame.note, NOTE_BYTES, "%s%.40s", keys, wall);
    }
    return status;
}

static enum quarry_status draw_process(const struct map_options *options,
                                       const struct process *process, struct canvas *canvas,
                                       struct quarry_error *error)
{
    struct process_frame taken = {0};
    uint32_t width, height;
    enum quarry_status status = make_process_frame(process, "q quits   ", &taken, error);

    if (status != QUARRY_OK) {
        return status;
    }
    screen_size(&width, &height);
    if (canvas_reset(canvas, width, height) != QUARRY_OK) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a picture");
    }
    draw_frame(canvas, &taken.frame, options);
    screen_show(canvas);
    return QUARRY_OK;
}

/* On the screen, which is open; it is given back before anything is said. */
static int run_process_live(const struct map_options *options, struct process *process)
{
    struct quarry_error error = {0};
    struct canvas canvas = {0};
    enum quarry_status status = draw_process(options, process, &canvas, &error);
    bool is_alive = true;

    while (status == QUARRY_OK && is_alive && screen_wait(PROCESS_FRAME_MS) != SCREEN_QUIT) {
        is_alive = process_is_alive(process);
        if (is_alive) {
            status = process_look(process, &error);
        }
        if (is_alive && status == QUARRY_OK) {
            status = draw_process(options, process, &canvas, &error);
        }
    }
    screen_close();
    canvas_fini(&canvas);
    return status == QUARRY_OK ? CLI_OK : cli_failure("map", "%s", error.text);
}

static int print_process(const struct map_options *options, const struct process *process)
{
    struct quarry_error error = {0};
    struct process_frame taken = {0};

    if (make_process_frame(process, "", &taken, &error) != QUARRY_OK) {
        return cli_failure("map", "%s", error.text);
    }
    return print_frame(options, &taken.frame);
}

static int save_process_map(const struct map_options *options, const struct process *process)
{
    struct quarry_error error = {0};

    if (options->save == NULL || map_file_write(options->save, process->snapshot.map,
                                                process->snapshot.map_bytes, &error) == QUARRY_OK) {
        return CLI_OK;
    }
    return cli_failure("map", "%s", error.text);
}

static int show_process(const struct map_options *options)
{
    bool is_plain =
        options->is_once || options->is_json || !options->is_terminal || isatty(STDIN_FILENO) != 1;
    struct process process;
    int code = process_open("map", options->pid, &process);

    if (code != CLI_OK) {
        return code;
    }
    code = process_refresh(&process);
    if (code == CLI_OK) {
        code = process_check_figures(&process);
    }
    if (code == CLI_OK) {
        code = !is_plain && screen_open() ? run_process_live(options, &process)
                                          : print_process(options, &process);
    }
    if (code == CLI_OK) {
        code = save_process_map(options, &process);
    }
    process_close(&process);
    return code;
}

/* ---- a server ------------------------------------------------------------------------------- */

static int show_server(const struct map_options *options)
{
    bool is_plain =
        options->is_once || options->is_json || !options->is_terminal || isatty(STDIN_FILENO) != 1;
    struct map_server map = {
        .url = options->server,
        .user = options->user,
        .password_path = options->password_path,
        .save = options->save,
        .by = options->by,
        .is_live = !is_plain,
        .is_json = options->is_json,
        .is_ascii = options->is_ascii,
        .is_coloured = options->is_terminal && getenv("NO_COLOR") == NULL,
    };

    plain_size(options, &map.width, &map.height);
    return map_server_show(&map);
}

/* ---- the demonstration ---------------------------------------------------------------------- */

/* What one frame of the demonstration is made of. */
struct demo_frame {
    struct demo_map map;
    struct demo_reading reading;
    struct map_live live;
    struct frame frame;
};

static int take_frame(struct demo *demo, struct map_rates *rates, const char *keys,
                      struct demo_frame *taken)
{
    struct quarry_error error = {0};

    if (demo_take_map(demo, &taken->map, &error) != QUARRY_OK) {
        return cli_failure("map", "%s", error.text);
    }
    demo_read(demo, &taken->reading);
    taken->live = map_rates_add(rates, &taken->reading);
    taken->frame = (struct frame){
        .view = &taken->map.view,
        .reading = &taken->reading,
        .live = &taken->live,
        .title = "Quarry: a page heap at work",
    };
    (void)snprintf(taken->frame.note, NOTE_BYTES, "%s%.1f s", keys,
                   (double)taken->reading.elapsed_ns / (double)Q_SECOND_NS);
    return CLI_OK;
}

static int save_map(const struct map_options *options, const struct demo_map *map)
{
    struct quarry_error error = {0};

    if (options->save == NULL ||
        map_file_write(options->save, map->bytes, map->byte_count, &error) == QUARRY_OK) {
        return CLI_OK;
    }
    return cli_failure("map", "%s", error.text);
}

/* Sleeps until the demonstration has gone on for that long. */
static void wait_until(struct demo *demo, uint64_t elapsed_ns)
{
    struct demo_reading reading;

    demo_read(demo, &reading);
    os_sleep_ns(sat_sub_u64(elapsed_ns, reading.elapsed_ns));
}

static int run_plain(const struct map_options *options, struct demo *demo)
{
    uint32_t default_seconds = options->is_once ? DEFAULT_ONCE_SECONDS : DEFAULT_SECONDS;
    uint32_t seconds = options->seconds > 0 ? options->seconds : default_seconds;
    uint32_t second = options->is_once ? seconds : 1;
    struct map_rates rates = {0};
    struct demo_frame taken;
    int code = CLI_OK;

    for (; second <= seconds && code == CLI_OK; second++) {
        wait_until(demo, second * Q_SECOND_NS);
        code = take_frame(demo, &rates, "", &taken);
        if (code == CLI_OK) {
            code = print_frame(options, &taken.frame);
        }
        if (code == CLI_OK && !options->is_json && second < seconds) {
            fputs("\n", stdout);
        }
    }
    return code == CLI_OK ? save_map(options, &taken.map) : code;
}

/* One live frame. */
static int show_live(const struct map_options *options, struct demo *demo, struct map_rates *rates,
                     struct canvas *canvas, struct demo_frame *taken)
{
    uint32_t width, height;
    int code = take_frame(demo, rates, "q quits   ", taken);

    if (code != CLI_OK) {
        return code;
    }
    screen_size(&width, &height);
    if (canvas_reset(canvas, width, height) != QUARRY_OK) {
        return cli_failure("map", "no memory for a picture");
    }
    draw_frame(canvas, &taken->frame, options);
    screen_show(canvas);
    return CLI_OK;
}

/* On the screen, which is open. */
static int run_live(const struct map_options *options, struct demo *demo)
{
    uint64_t end_ns = options->seconds > 0 ? options->seconds * Q_SECOND_NS : UINT64_MAX;
    struct map_rates rates = {0};
    struct canvas canvas = {0};
    struct demo_frame taken;
    int code;

    do {
        code = show_live(options, demo, &rates, &canvas, &taken);
    } while (code == CLI_OK && taken.reading.elapsed_ns < end_ns &&
             screen_wait(LIVE_FRAME_MS) != SCREEN_QUIT);
    screen_close();
    canvas_fini(&canvas);
    return code == CLI_OK ? save_map(options, &taken.map) : code;
}

static int show_demo(const struct map_options *options)
{
    bool is_plain =
        options->is_once || options->is_json || !options->is_terminal || isatty(STDIN_FILENO) != 1;
    struct quarry_error error = {0};
    struct demo *demo;

    if (demo_create(&demo, &error) != QUARRY_OK) {
        return cli_failure("map", "the demonstration cannot begin: %s", error.text);
    }
    int code = !is_plain && screen_open() ? run_live(options, demo) : run_plain(options, demo);
    demo_destroy(demo);
    return code;
}

static int run_map(int argument_count, char **arguments)
{
    struct map_options options;
    int code = map_options_parse(argument_count, arguments, &options);

    if (code != CLI_OK) {
        return code;
    }
    if (options.server != NULL) {
        return show_server(&options);
    }
    if (options.pid != NULL) {
        return show_process(&options);
    }
    return options.is_demo ? show_demo(&options) : show_file(&options);
}

const struct cli_command cli_command_map = {
    .name = "map",
    .summary = "draws a map of a heap: of a process, a snapshot, or a demonstration (--demo)",
    .help = map_help,
    .run = run_map,
};
