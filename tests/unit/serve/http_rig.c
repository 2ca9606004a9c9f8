#include "unit/serve/http_rig.h"

#include <serve/http/head.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct quarry_memory *http_rig_memory;
bool http_rig_verifies_later;
size_t http_rig_number_max;
uint32_t http_rig_admitted_max;
char http_rig_logged[256];
_Atomic uint32_t http_rig_calls, http_rig_ends;

/* ---- handlers ------------------------------------------------------------------------------- */

static enum http_outcome hello(struct http_call *call)
{
    (void)atomic_add_relaxed_u32(&http_rig_calls, 1);
    http_say_text(call, 200, "hello\n");
    return HTTP_DONE;
}

static enum http_outcome echo(struct http_call *call)
{
    (void)atomic_add_relaxed_u32(&http_rig_calls, 1);
    call->content_type = "application/octet-stream";
    http_text_add(&call->body_out, call->body.bytes, call->body.count);
    return HTTP_DONE;
}

static enum http_outcome raw(struct http_call *call)
{
    struct http_slice coding = {"", 0};

    (void)http_header(call, "Content-Encoding", &coding);
    call->content_type = "text/plain";
    http_text_format(&call->body_out, "%.*s %zu\n", (int)coding.count, coding.bytes,
                     call->body.count);
    return HTTP_DONE;
}

static enum http_outcome say_params(struct http_call *call)
{
    const struct http_param *params;
    size_t count = http_params(call, &params);

    call->content_type = "text/plain";
    for (size_t i = 0; i < count; i++) {
        http_text_add(&call->body_out, params[i].name.bytes, params[i].name.count);
        http_text_say(&call->body_out, "=");
        http_text_add(&call->body_out, params[i].value.bytes, params[i].value.count);
        http_text_say(&call->body_out, "\n");
    }
    return HTTP_DONE;
}

static enum http_outcome say_segments(struct http_call *call)
{
    struct http_slice first = http_segment(call, 0), second = http_segment(call, 1);

    call->content_type = "text/plain";
    http_text_add(&call->body_out, first.bytes, first.count);
    http_text_say(&call->body_out, " ");
    http_text_add(&call->body_out, second.bytes, second.count);
    return HTTP_DONE;
}

static size_t number_of(const struct http_call *call, const char *name)
{
    struct http_slice value = {"", 0};

    size_t number = 0;

    (void)http_param(call, name, &value);
    for (size_t i = 0; i < value.count && http_is_digit(value.bytes[i]); i++) {
        number = size_min(number * 10 + (size_t)(value.bytes[i] - '0'), UINT32_MAX);
    }
    return size_min(number, http_rig_number_max);
}

static void add_pattern(struct http_text *text, size_t bytes)
{
    char *room = bytes == 0 ? NULL : http_text_room(text, bytes);

    for (size_t i = 0; room != NULL && i < bytes; i++) {
        room[i] = (char)('a' + i % 26);
    }
    text->count += room == NULL ? 0 : bytes;
}

static enum http_outcome big(struct http_call *call)
{
    call->content_type = "application/octet-stream";
    add_pattern(&call->body_out, number_of(call, "n"));
    return HTTP_DONE;
}

static void end_pieces(struct http_call *call)
{
    free(call->state);
    (void)atomic_add_relaxed_u32(&http_rig_ends, 1);
}

static enum http_outcome more_pieces(struct http_call *call)
{
    size_t *left = call->state;

    if (*left == SIZE_MAX) {
        return HTTP_FAILED;
    }
    add_pattern(&call->body_out, *left == 0 ? 0 : number_of(call, "size"));
    *left -= *left == 0 ? 0 : 1;
    call->is_last = *left == 0;
    return HTTP_DONE;
}

static enum http_outcome begin_pieces(struct http_call *call)
{
    size_t *left = malloc(sizeof *left);

    Q_ASSERT(left != NULL);
    *left = number_of(call, "n");
    call->content_type = "text/plain";
    if (http_rig_number_max == SIZE_MAX) { /* strangers' numbers are not waited for */
        call->pause_ns = number_of(call, "pause_ms") * Q_MS_NS;
    }
    call->state = left;
    call->end_state = end_pieces;
    call->more = more_pieces;
    return HTTP_DONE;
}

static enum http_outcome break_off(struct http_call *call)
{
    size_t *left = call->state;

    if (--*left == 0) {
        return HTTP_FAILED;
    }
    http_text_say(&call->body_out, "part\n");
    return HTTP_DONE;
}

static enum http_outcome begin_break(struct http_call *call)
{
    (void)begin_pieces(call);
    *(size_t *)call->state = 3;
    call->more = break_off;
    return HTTP_DONE;
}

static enum http_outcome change(struct http_call *call)
{
    (void)atomic_add_relaxed_u32(&http_rig_calls, 1);
    http_say_text(call, 200, "changed\n");
    return HTTP_DONE;
}

static enum http_outcome who(struct http_call *call)
{
    http_say_text(call, 200, call->identity.name);
    return HTTP_DONE;
}

static enum http_outcome fail(struct http_call *call)
{
    (void)call;
    return HTTP_FAILED;
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET, .path = "/hello", .handler = hello},
    {.methods = HTTP_GET, .path = "/slow", .runs_on = HTTP_ON_EXECUTOR, .handler = hello},
    {.methods = HTTP_POST | HTTP_PUT,
     .path = "/echo",
     .body_bytes_max = Q_KIB(64),
     .coding = HTTP_CODING_GZIP,
     .handler = echo},
    {.methods = HTTP_POST,
     .path = "/echo-slow",
     .body_bytes_max = Q_KIB(64),
     .coding = HTTP_CODING_GZIP,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = echo},
    {.methods = HTTP_POST,
     .path = "/raw",
     .body_bytes_max = 100,
     .coding = HTTP_CODING_OWN,
     .handler = raw},
    {.methods = HTTP_GET | HTTP_POST,
     .path = "/params",
     .body_bytes_max = Q_KIB(64),
     .takes_form = true,
     .handler = say_params},
    {.methods = HTTP_GET, .path = "/item/*/of/*", .handler = say_segments},
    {.methods = HTTP_GET, .path = "/big", .handler = big},
    {.methods = HTTP_GET, .path = "/pieces", .handler = begin_pieces},
    {.methods = HTTP_GET,
     .path = "/pieces-slow",
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = begin_pieces},
    {.methods = HTTP_GET, .path = "/break", .handler = begin_break},
    {.methods = HTTP_POST,
     .path = "/change",
     .rights = SERVE_ALL,
     .is_change = true,
     .handler = change},
    {.methods = HTTP_GET, .path = "/who", .rights = SERVE_READ, .handler = who},
    {.methods = HTTP_GET, .path = "/fail", .handler = fail},
};

/* ---- hooks ---------------------------------------------------------------------------------- */

static bool is_right(struct http_slice user, struct http_slice password)
{
    return http_slice_equals(user, "ann") && http_slice_equals(password, "secret");
}

static struct serve_identity ann(void)
{
    return (struct serve_identity){.name = "ann", .rights = SERVE_READ | SERVE_WRITE};
}

static void answer_login(struct serve_connection *connection, void *argument)
{
    struct serve_identity identity = ann();

    if (connection != NULL) {
        http_login_done(connection, argument != NULL ? &identity : NULL);
    }
}

static bool later_is_right;

void http_rig_answer_login(struct serve_connection *connection)
{
    (void)serve_post(serve_connection_worker(connection), serve_connection_id(connection),
                     answer_login, later_is_right ? &later_is_right : NULL);
    fake_settle(connection);
}

static enum http_login login(void *argument, struct serve_connection *connection,
                             struct http_slice user, struct http_slice password,
                             struct serve_identity *ret_identity)
{
    (void)argument;
    (void)connection;
    if (http_rig_verifies_later) {
        later_is_right = is_right(user, password);
        return HTTP_VERIFYING;
    }
    *ret_identity = ann();
    return is_right(user, password) ? HTTP_GRANTED : HTTP_REFUSED;
}

static bool admit(void *argument, const struct serve_identity *identity, uint32_t request_count)
{
    (void)argument;
    (void)identity;
    if (http_rig_admitted_max < request_count) {
        return false;
    }
    http_rig_admitted_max -= request_count;
    return true;
}

static void log_access(void *argument, const struct http_access *access)
{
    (void)argument;
    (void)snprintf(http_rig_logged, sizeof http_rig_logged, "%s %s %s %u %u", access->user,
                   access->method, access->path, access->status, (unsigned)access->answer_bytes);
}

/* ---- opening -------------------------------------------------------------------------------- */

void http_rig_open(uint64_t limit_bytes)
{
    const struct quarry_memory_options options = {
        .limit_bytes = limit_bytes == 0 ? Q_MIB(256) : limit_bytes, .has_no_thread = true};
    enum quarry_status status = quarry_memory_create(&options, &http_rig_memory, NULL);
    const struct http_door_settings settings = {
        .memory = http_rig_memory,
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .hosts = "quarry.example, other.example",
        .worker_count = 1,
        .thread_count = 1,
        .hooks = {.login = login, .admit = admit, .log = log_access},
    };

    Q_ASSERT(status == QUARRY_OK);
    http_rig_verifies_later = false;
    http_rig_number_max = SIZE_MAX;
    http_rig_admitted_max = UINT32_MAX;
    http_rig_logged[0] = '\0';
    status = http_open(&settings, NULL);
    Q_ASSERT(status == QUARRY_OK);
    http_log_access(true);
}

void http_rig_close(void)
{
    struct quarry_account_state root;

    http_close();
    if (quarry_memory_accounts(http_rig_memory, &root, 1) != 0) {
        Q_ASSERT(root.charged_bytes == 0);
    }
    quarry_memory_destroy(http_rig_memory);
}

struct serve_connection *http_rig_connect(const struct http_rig_options *rig_options)
{
    struct fake_options options = {.door = &http_door, .may_yield_empty = true};

    if (rig_options != NULL) {
        options.needs_login = rig_options->needs_login;
        options.taken_a_turn = rig_options->taken_a_turn;
    }
    if (!options.needs_login) {
        options.identity.rights = SERVE_ALL;
    }
    return fake_open(&options);
}

/* ---- asking --------------------------------------------------------------------------------- */

static bool is_everywhere(const char *line, size_t count)
{
    static const char *const names[] = {"Date: ",
                                        "X-Content-Type-Options: ",
                                        "X-Frame-Options: ",
                                        "Content-Security-Policy: ",
                                        "Referrer-Policy: ",
                                        "Cross-Origin-Resource-Policy: ",
                                        "Cache-Control: no-store"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (count >= strlen(names[i]) && memcmp(line, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Without the lines that are everywhere, and without CR. */
static char *shorten(const char *answer, size_t bytes)
{
    char *text = malloc(bytes + 1), *out = text;

    Q_ASSERT(text != NULL);
    for (const char *at = answer, *end = answer + bytes; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline == NULL ? end : newline + 1;

        if (!is_everywhere(at, (size_t)(next - at))) {
            for (; at < next; at++) {
                if (*at != '\r') {
                    *out++ = *at;
                }
            }
        }
        at = next;
    }
    *out = '\0';
    return text;
}

char *http_rig_say(struct serve_connection *connection, const char *bytes, size_t byte_count,
                   size_t piece_bytes)
{
    size_t answer_bytes = 0;

    piece_bytes = piece_bytes == 0 ? byte_count : piece_bytes;
    fake_clear(connection);
    for (size_t at = 0; at < byte_count; at += piece_bytes) {
        fake_send(connection, bytes + at, size_min(piece_bytes, byte_count - at));
        if (!http_rig_verifies_later) {
            fake_await(connection);
        }
    }
    const char *answer = fake_answer(connection, &answer_bytes);

    return shorten(answer, answer_bytes);
}

char *http_rig_ask(const char *bytes, size_t byte_count, size_t piece_bytes, bool *ret_closed)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    char *answer = http_rig_say(connection, bytes, byte_count, piece_bytes);

    *ret_closed = fake_is_closed(connection);
    fake_close(connection);
    return answer;
}
