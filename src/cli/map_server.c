/*
 * `quarry map --server`: snapshots of /api/v1/heap/map, drawn as those of files and processes are.
 *
 * On the screen nothing is said on stderr: while the server does not answer, its last map stays,
 * and the note at the top says why. A snapshot is looked through before it takes the place of the
 * one before, so that there is always one to be drawn.
 *
 * Locking: none; of one thread.
 */
#include <cli/map_server.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cli/cli.h>
#include <cli/map_file.h>
#include <cli/map_json.h>
#include <cli/screen.h>
#include <cli/tsdb_http.h>

#define COMMAND         "map"
#define FRAME_MS        1000u
#define QUIET_TIMEOUT_S 5u /* keys wait as long */
#define TITLE_BYTES     80u
#define NOTE_BYTES      64u
#define HTTP_OK         200u

struct look {
    struct tsdb_http http;
    struct tsdb_http_answer answer; /* the snapshot that `view` lies in */
    struct page_heap_map_view view;
    char fault[TSDB_HTTP_FAULT_BYTES]; /* of the last try; "": it succeeded */
};

/* Takes an answer in, if it is a map. `answer`: given. Returns: an exit code. */
static int take(struct look *look, struct tsdb_http_answer *answer)
{
    struct page_heap_map_view view;
    struct quarry_error error = {0};

    if (answer->code != HTTP_OK) {
        (void)snprintf(look->fault, sizeof look->fault, "answered %u: %.150s", answer->code,
                       answer->bytes == NULL ? "" : answer->bytes);
    } else if (page_heap_map_parse((const uint8_t *)answer->bytes, answer->count, &view, &error) !=
               QUARRY_OK) {
        (void)snprintf(look->fault, sizeof look->fault, "no heap map: %.150s", error.text);
    } else {
        tsdb_http_answer_free(&look->answer);
        look->answer = *answer;
        look->view = view;
        look->fault[0] = '\0';
        return CLI_OK;
    }
    look->fault[strcspn(look->fault, "\r\n")] = '\0';
    (void)cli_make_printable(look->fault);
    tsdb_http_answer_free(answer);
    return CLI_FAILED;
}

static int look_again(struct look *look)
{
    struct tsdb_http_answer answer;
    int code = tsdb_http_ask(&look->http, "/api/v1/heap/map", NULL, NULL, 0, &answer);

    if (code != CLI_OK) {
        memcpy(look->fault, look->http.fault, sizeof look->fault);
        return code;
    }
    code = take(look, &answer);
    if (code != CLI_OK && look->http.quiet_timeout_s == 0) {
        (void)cli_failure(COMMAND, "%s: %s", look->http.url, look->fault);
    }
    return code;
}

static void format_note(const struct look *look, const char *keys, char note[NOTE_BYTES])
{
    time_t seconds = (time_t)(look->view.wall_ns / Q_SECOND_NS);
    char text[32] = "";
    struct tm utc;

    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
    }
    (void)snprintf(note, NOTE_BYTES, "%s%s%s", keys, look->fault[0] == '\0' ? "" : "NO ANSWER  ",
                   text);
}

static int draw(const struct map_server *map, const struct look *look, const char *keys,
                struct canvas *canvas, uint32_t width, uint32_t height)
{
    char title[TITLE_BYTES], note[NOTE_BYTES];
    const struct map_picture picture = {
        .view = &look->view,
        .title = title,
        .note = note,
        .sentence = look->fault,
        .by = map->by,
        .is_ascii = map->is_ascii,
    };

    (void)snprintf(title, sizeof title, "server %.70s", map->url);
    format_note(look, keys, note);
    if (canvas_reset(canvas, width, height) != QUARRY_OK) {
        return CLI_FAILED;
    }
    map_picture_draw(canvas, &picture);
    return CLI_OK;
}

static int no_memory(void)
{
    return cli_failure(COMMAND, "no memory for a picture");
}

static int print_map(const struct map_server *map, const struct look *look)
{
    struct canvas canvas = {0};

    if (map->is_json) {
        map_json_print(stdout, &look->view, NULL, NULL);
        return cli_finish_output(COMMAND);
    }
    if (draw(map, look, "", &canvas, map->width, map->height) != CLI_OK) {
        return no_memory();
    }
    canvas_print(&canvas, stdout, map->is_coloured);
    canvas_fini(&canvas);
    return cli_finish_output(COMMAND);
}

/* The screen is open, and given back before anything is said. */
static int run_screen(const struct map_server *map, struct look *look)
{
    struct canvas canvas = {0};
    enum screen_event event = SCREEN_NOTHING;
    int code = CLI_OK;

    look->http.quiet_timeout_s = QUIET_TIMEOUT_S;
    while (code == CLI_OK && event != SCREEN_QUIT) {
        uint32_t width, height;

        screen_size(&width, &height);
        code = draw(map, look, "q quits   ", &canvas, width, height);
        if (code == CLI_OK) {
            screen_show(&canvas);
            event = screen_wait(FRAME_MS);
        }
        if (event != SCREEN_QUIT && event != SCREEN_RESIZED) {
            (void)look_again(look); /* what is wrong is drawn */
        }
    }
    screen_close();
    canvas_fini(&canvas);
    return code == CLI_OK ? CLI_OK : no_memory();
}

static int save(const struct map_server *map, const struct look *look)
{
    struct quarry_error error = {0};

    if (map->save == NULL ||
        map_file_write(map->save, look->answer.bytes, look->answer.count, &error) == QUARRY_OK) {
        return CLI_OK;
    }
    return cli_failure(COMMAND, "%s", error.text);
}

int map_server_show(const struct map_server *map)
{
    struct look look = {.fault = ""};
    int code = tsdb_http_open(&look.http, COMMAND, map->url, map->user, map->password_path);

    if (code != CLI_OK) {
        return code;
    }
    code = look_again(&look);
    if (code == CLI_OK) {
        code = map->is_live && screen_open() ? run_screen(map, &look) : print_map(map, &look);
    }
    if (code == CLI_OK) {
        code = save(map, &look);
    }
    tsdb_http_answer_free(&look.answer);
    tsdb_http_close(&look.http);
    return code;
}
