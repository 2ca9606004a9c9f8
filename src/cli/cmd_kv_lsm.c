/*
 * `quarry kv lsm`: the tree drawn, once or live.
 *
 * Live is what can change: a server's store. A directory is opened for reading, and is what it was
 * then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <os/os.h>

#include <cli/cmd_kv.h>
#include <cli/kv_picture.h>
#include <cli/screen.h>

#define WIDTH_DEFAULT 100u
#define NOTE_BYTES    32u

static void format_clock(char room[NOTE_BYTES])
{
    time_t now = time(NULL);
    struct tm parts;

    if (localtime_r(&now, &parts) == NULL ||
        strftime(room, NOTE_BYTES, "q quits  %H:%M:%S", &parts) == 0) {
        room[0] = '\0';
    }
}

/* ---- once ----------------------------------------------------------------------------------- */

/* Of the terminal that stdout is; a file has its own idea. */
static uint32_t terminal_width(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : WIDTH_DEFAULT;
}

static int show_once(const struct kv_command *command, const struct kv_target *target,
                     const struct kv_shape *shape)
{
    const struct kv_picture picture = {
        .name = target->name, .note = "", .now = shape, .is_ascii = command->is_ascii};
    struct canvas canvas = {0};

    if (command->is_json) {
        puts(shape->text.bytes);
        return cli_finish_output(command->name);
    }
    if (canvas_reset(&canvas, terminal_width(), KV_PICTURE_HEIGHT) != QUARRY_OK) {
        return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
    }
    kv_picture_draw(&canvas, &picture);
    canvas_print(&canvas, stdout, isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL);
    canvas_fini(&canvas);
    return cli_finish_output(command->name);
}

/* ---- live ----------------------------------------------------------------------------------- */

struct live {
    const struct kv_command *command;
    struct kv_target *target;
    struct kv_shape now, before;
    struct canvas canvas;
};

static bool draw(struct live *live)
{
    uint32_t width, height;
    char note[NOTE_BYTES];

    format_clock(note);
    screen_size(&width, &height);
    if (canvas_reset(&live->canvas, width, height) != QUARRY_OK) {
        return false;
    }
    const struct kv_picture picture = {.name = live->target->name,
                                       .note = note,
                                       .now = &live->now,
                                       .before = live->before.root != NULL ? &live->before : NULL,
                                       .is_ascii = live->command->is_ascii};
    kv_picture_draw(&live->canvas, &picture);
    screen_show(&live->canvas);
    return true;
}

/* Another look. What it says on stderr may be lost on the screen: the caller says it again. */
static int look_again(struct live *live)
{
    struct kv_shape shape;
    int code = kv_shape_read(live->target, &shape);

    if (code == CLI_OK) {
        kv_shape_free(&live->before);
        live->before = live->now;
        live->now = shape;
    }
    return code;
}

/* Waits out an interval. Returns: whether q was pressed. */
static bool wait_interval(const struct kv_command *command)
{
    uint64_t end_ns = os_monotonic_ns(os_real()) + command->interval_s * Q_SECOND_NS;
    enum screen_event event = SCREEN_NOTHING;
    uint64_t left_ns = command->interval_s * Q_SECOND_NS;

    while (left_ns > 0 && event == SCREEN_NOTHING) {
        event = screen_wait((uint32_t)size_ceil_div_u64(left_ns, Q_MS_NS));
        left_ns = sat_sub_u64(end_ns, os_monotonic_ns(os_real()));
    }
    return event == SCREEN_QUIT;
}

static int run_live(struct live *live)
{
    bool is_drawn = draw(live);
    int code = CLI_OK;

    while (is_drawn && code == CLI_OK && !wait_interval(live->command)) {
        code = look_again(live);
        is_drawn = code == CLI_OK && draw(live);
    }
    screen_close();
    canvas_fini(&live->canvas);
    if (code != CLI_OK) {
        return cli_failure(live->command->name, "%s: no more figures", live->target->name);
    }
    return is_drawn ? CLI_OK : kv_tool_fail(live->command, QUARRY_NO_MEMORY, NULL);
}

int kv_run_lsm(const struct kv_command *command, struct kv_target *target)
{
    struct live live = {.command = command, .target = target};
    bool is_live = target->client != NULL && !command->is_once && !command->is_json &&
                   isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1;
    int code = kv_shape_read(target, &live.now);

    if (code == CLI_OK) {
        code = is_live && screen_open() ? run_live(&live) : show_once(command, target, &live.now);
    }
    kv_shape_free(&live.now);
    kv_shape_free(&live.before);
    return code;
}
