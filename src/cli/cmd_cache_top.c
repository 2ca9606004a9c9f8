/*
 * `quarry cache top`: a cache's figures with their rates, again and again.
 *
 *   on a terminal            the screen, drawn anew each interval until q is pressed
 *   elsewhere, or --once     one picture as text, of two looks an interval apart
 *   --json                   the same as one object on one line
 */
#include <cli/cmd_cache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cli/cache_picture.h>
#include <cli/cli.h>
#include <cli/json_write.h>
#include <cli/screen.h>

#include <os/os.h>

#define COMMAND     "cache"
#define ONCE_WIDTH  100u
#define ONCE_HEIGHT 40u
#define NOTE_BYTES  32u

/* Two looks, of which the older one is given up for a new one. */
struct looks {
    struct cache_sample samples[2];
    uint32_t count; /* of looks so far */
};

static struct cache_sample *sample_at(struct looks *looks, uint32_t which)
{
    return &looks->samples[which & 1];
}

static void sample_free(struct cache_sample *sample)
{
    cache_figures_free(&sample->general);
    cache_tenants_free(&sample->tenants);
}

static void looks_free(struct looks *looks)
{
    sample_free(&looks->samples[0]);
    sample_free(&looks->samples[1]);
}

static int look(struct cache_client *client, struct looks *looks)
{
    struct cache_sample *sample = sample_at(looks, looks->count);

    sample_free(sample);
    int code = cache_figures_read(client, "", &sample->general);
    sample->monotonic_ns = os_monotonic_ns(os_real());
    if (code == CLI_OK) {
        code = cache_tenants_read(client, &sample->general, &sample->tenants);
    }
    looks->count += code == CLI_OK;
    return code;
}

static struct cache_picture make_picture(const struct cache_command *command,
                                         const struct cache_client *client, struct looks *looks,
                                         const char *note)
{
    return (struct cache_picture){
        .address = client->connection.address,
        .note = note,
        .before = looks->count > 1 ? sample_at(looks, looks->count) : NULL,
        .now = sample_at(looks, looks->count - 1),
        .is_ascii = command->is_ascii,
    };
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

static int no_memory(void)
{
    return cli_failure(COMMAND, "no memory for a picture");
}

/* ---- one picture ---------------------------------------------------------------------------- */

static void json_rate(struct json *json, const char *name, double rate)
{
    if (rate >= 0.0) {
        json_double(json, name, rate);
    }
}

static void json_tenants(struct json *json, const struct cache_picture *picture)
{
    json_array(json, "tenants");
    for (uint32_t i = 0; i < picture->now->tenants.count; i++) {
        const struct cache_tenant *tenant = &picture->now->tenants.all[i];
        const struct cache_tenant *before = cache_tenant_before(picture, tenant);
        json_object(json, NULL);
        json_string(json, "name", tenant->name);
        json_u64(json, "item_count", tenant->item_count);
        json_u64(json, "item_bytes", tenant->item_bytes);
        if (before != NULL) {
            json_rate(json, "gets_per_second",
                      cache_tenant_rate(picture, before->get_count, tenant->get_count));
            json_rate(json, "sets_per_second",
                      cache_tenant_rate(picture, before->set_count, tenant->set_count));
            json_rate(json, "evictions_per_second",
                      cache_tenant_rate(picture, before->eviction_count, tenant->eviction_count));
        }
        json_object_end(json);
    }
    json_array_end(json);
}

static void print_json(const struct cache_picture *picture)
{
    static const struct {
        const char *name, *figure;
    } rates[] = {
        {"gets_per_second", "cmd_get"},
        {"sets_per_second", "cmd_set"},
        {"evictions_per_second", "evictions"},
        {"expired_per_second", "reclaimed"},
        {"received_bytes_per_second", "bytes_read"},
        {"sent_bytes_per_second", "bytes_written"},
    };
    const struct cache_figures *general = &picture->now->general;
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_string(&json, "address", picture->address);
    json_u64(&json, "uptime_seconds", cache_figures_number(general, "uptime"));
    json_u64(&json, "item_count", cache_figures_number(general, "curr_items"));
    json_u64(&json, "item_bytes", cache_figures_number(general, "bytes"));
    json_u64(&json, "limit_bytes", cache_figures_number(general, "limit_maxbytes"));
    json_u64(&json, "connection_count", cache_figures_number(general, "curr_connections"));
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        json_rate(&json, rates[i].name, cache_rate(picture, rates[i].figure));
    }
    json_rate(&json, "hit_percent", cache_hit_rate(picture));
    json_tenants(&json, picture);
    json_object_end(&json);
    json_finish(&json);
}

static int print_picture(const struct cache_picture *picture)
{
    struct canvas canvas = {0};

    if (canvas_reset(&canvas, ONCE_WIDTH, ONCE_HEIGHT) != QUARRY_OK) {
        return no_memory();
    }
    cache_picture_draw(&canvas, picture);
    canvas_print(&canvas, stdout, isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL);
    canvas_fini(&canvas);
    return cli_finish_output(COMMAND);
}

static void sleep_seconds(uint32_t seconds)
{
    struct timespec left = {.tv_sec = seconds};

    while (nanosleep(&left, &left) != 0) {
    }
}

static int show_once(const struct cache_command *command, struct cache_client *client,
                     struct looks *looks)
{
    char note[NOTE_BYTES];

    sleep_seconds(command->interval_s);
    int code = look(client, looks);
    if (code != CLI_OK) {
        return code;
    }
    format_clock("", note);
    const struct cache_picture picture = make_picture(command, client, looks, note);
    if (command->is_json) {
        print_json(&picture);
        return cli_finish_output(COMMAND);
    }
    return print_picture(&picture);
}

/* ---- the screen ----------------------------------------------------------------------------- */

static bool draw_screen(const struct cache_command *command, const struct cache_client *client,
                        struct looks *looks, struct canvas *canvas)
{
    uint32_t width, height;
    char note[NOTE_BYTES];

    format_clock("q quits  ", note);
    screen_size(&width, &height);
    if (canvas_reset(canvas, width, height) != QUARRY_OK) {
        return false;
    }
    const struct cache_picture picture = make_picture(command, client, looks, note);
    cache_picture_draw(canvas, &picture);
    screen_show(canvas);
    return true;
}

/* Waits out an interval; a change of the size ends it. Returns: whether q was pressed. */
static bool wait_interval(const struct cache_command *command)
{
    uint64_t left_ns = command->interval_s * Q_SECOND_NS;
    uint64_t end_ns = os_monotonic_ns(os_real()) + left_ns;
    enum screen_event event = SCREEN_NOTHING;

    while (left_ns > 0 && event == SCREEN_NOTHING) {
        event = screen_wait((uint32_t)size_ceil_div_u64(left_ns, Q_MS_NS));
        left_ns = sat_sub_u64(end_ns, os_monotonic_ns(os_real()));
    }
    return event == SCREEN_QUIT;
}

/* The screen is open; what a look says on stderr is said when it has been given back. */
static int run_screen(const struct cache_command *command, struct cache_client *client,
                      struct looks *looks)
{
    struct canvas canvas = {0};
    bool is_drawn = draw_screen(command, client, looks, &canvas), is_lost = false;

    while (is_drawn && !is_lost && !wait_interval(command)) {
        /* What is said would be lost on the screen: the end is known by a look that fails after. */
        is_lost = cache_client_is_closed(client);
        is_drawn = is_lost ||
                   (look(client, looks) == CLI_OK && draw_screen(command, client, looks, &canvas));
    }
    screen_close();
    canvas_fini(&canvas);
    if (is_lost) {
        (void)cli_failure(COMMAND, "%s: the server has closed the connection",
                          client->connection.address);
        return CLI_NO_CONNECTION;
    }
    return is_drawn ? CLI_OK
                    : cli_failure(COMMAND, "%s: no more figures", client->connection.address);
}

int cache_run_top(const struct cache_command *command, struct cache_client *client)
{
    bool is_live = isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1 && !command->is_once &&
                   !command->is_json;
    struct looks looks = {0};
    int code = look(client, &looks);

    if (code == CLI_OK) {
        code = is_live && screen_open() ? run_screen(command, client, &looks)
                                        : show_once(command, client, &looks);
    }
    looks_free(&looks);
    return code;
}
