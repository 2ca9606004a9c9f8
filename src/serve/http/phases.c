/*
 * A conversation: requests one after the other, each through its phases.
 *
 *     head ── route ── login ── body ── handler ── answer ── head …
 *               │        │        │        │          │
 *            refused   waits    comes    waits      waits for its reader
 *
 * A request is answered before the next one is looked at, so answers keep their order. What is
 * refused before its body has come ends the connection: where the next request begins would have to
 * be believed to somebody who was just refused.
 *
 * Invariants:
 *   1. What is said depends on the bytes alone, not on the pieces in which they come: a head is
 *      looked at when it is whole, a body when it is.
 *   2. A handler runs once for a request that is whole and allowed, and for none other.
 *   3. Nothing of a body is kept beyond the route's limit, and nothing of it before the request was
 *      allowed.
 *
 * Locking: none; a connection's worker is the only one, but for what the executor has.
 *
 * Cost of a small request on a worker: a run of pages, and no other allocation.
 */
#include <serve/http/phases.h>

#include <stdio.h>
#include <string.h>

/* Answered before others have their turn. */
#define ANSWERS_A_TURN 16u
/* Failed logins, after which a connection is closed. */
#define LOGINS_MAX 3u
/* What is behind the part of a chunked body that came, at least. */
#define CHUNKS_END_BYTES 5u

/* ---- small steps ---------------------------------------------------------------------------- */

/* Ends the turn. Returns: false, for those that return whether the turn goes on. */
static bool stop(struct http_turn *turn, enum serve_step step)
{
    turn->step = step;
    return false;
}

static size_t left_bytes(const struct http_turn *turn)
{
    return (size_t)(turn->end - turn->at);
}

static bool begin_answer(struct http_turn *turn)
{
    turn->state->phase = HTTP_ANSWERING;
    serve_connection_expect(turn->connection, 0);
    return true;
}

static bool has_body(const struct http_request *request)
{
    return request->framing.is_chunked || request->framing.content_bytes > 0;
}

/* Answers without the handler. What is left of the body is not waited for. */
static bool refuse(struct http_turn *turn, uint32_t status, const char *text)
{
    struct http_request *request = turn->state->request;

    request->closes |= has_body(request);
    http_refuse(request, status, text);
    return begin_answer(turn);
}

/* The same where it is not known what comes behind. */
static bool refuse_and_close(struct http_turn *turn, uint32_t status)
{
    turn->state->request->closes = true;
    return refuse(turn, status, NULL);
}

/* ---- the head ------------------------------------------------------------------------------- */

/* A line that is left from the request before is allowed once. Returns: false: more is to come. */
static bool skip_empty_line(struct http_turn *turn)
{
    struct http_state *state = turn->state;

    if (!state->has_empty_line && turn->at < turn->end && *turn->at == '\r') {
        if (left_bytes(turn) == 1) {
            return false;
        }
        if (turn->at[1] == '\n') {
            turn->at += 2;
            state->has_empty_line = true;
        }
    }
    return true;
}

static bool read_head(struct http_turn *turn, size_t head_bytes)
{
    struct http_state *state = turn->state;
    struct http_request *request = http_request_begin(turn->at, head_bytes);

    if (request == NULL) {
        http_refuse_stranger(turn, 503);
        http_note_refused(turn->connection, 503);
        return false;
    }
    state->request = request;
    state->line_at = 0;
    state->has_empty_line = false;
    turn->at += head_bytes;
    int status = http_head_parse(request->bytes, head_bytes, &request->head);
    if (status == HTTP_WHOLE) {
        status = http_framing_read(request->bytes, &request->head, &request->framing);
    }
    if (status != HTTP_WHOLE) {
        return refuse_and_close(turn, (uint32_t)status);
    }
    request->is_head = request->head.method == HTTP_HEAD;
    request->closes = !request->framing.keeps_alive;
    return http_route_request(turn);
}

static bool take_head(struct http_turn *turn)
{
    struct http_state *state = turn->state;
    size_t line_at = state->line_at, head_bytes = 0;

    if (!skip_empty_line(turn) || turn->at == turn->end) {
        return stop(turn, SERVE_MORE);
    }
    if (state->turn_answers >= ANSWERS_A_TURN ||
        serve_out_waiting(turn->connection) >= SERVE_OUT_WAITING_MAX) {
        return stop(turn, SERVE_YIELD);
    }
    int status = http_head_scan(turn->at, left_bytes(turn), &line_at,
                                http_the_door.settings.head_bytes_max, &head_bytes);

    state->line_at = (uint32_t)line_at;
    if (status == HTTP_MORE) {
        return stop(turn, SERVE_MORE);
    }
    if (status != HTTP_WHOLE) {
        http_refuse_stranger(turn, (uint32_t)status);
        http_note_refused(turn->connection, (uint32_t)status);
        return false;
    }
    return read_head(turn, head_bytes);
}

/* ---- the route ------------------------------------------------------------------------------ */

/* Whether the body may come. Returns: HTTP_WHOLE; 413, 415. */
static uint32_t check_body(const struct http_request *request)
{
    const struct http_route *route = request->call.route;
    struct http_slice coding = {"", 0};
    bool is_encoded = http_header(&request->call, "content-encoding", &coding) &&
                      !http_slice_is(coding, "identity");

    if (!has_body(request)) {
        return HTTP_WHOLE;
    }
    if (request->framing.content_bytes > route->body_bytes_max || route->body_bytes_max == 0) {
        return 413;
    }
    if (is_encoded && (route->coding == HTTP_CODING_NONE ||
                       (route->coding == HTTP_CODING_GZIP && !http_slice_is(coding, "gzip")))) {
        return 415;
    }
    return HTTP_WHOLE;
}

static bool refuse_method(struct http_turn *turn, uint32_t methods)
{
    const struct http_door_settings *settings = &http_the_door.settings;
    struct http_request *request = turn->state->request;
    char allowed[HTTP_ALLOW_BYTES];

    if (methods == 0 && !http_slice_equals(request->framing.place, "*")) {
        return refuse(turn, 404, "404 page not found\n");
    }
    methods = methods == 0 ? HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS : methods;
    http_methods_print(methods, allowed);
    http_say_field(&request->call, "Allow", allowed);
    if (request->head.method != HTTP_OPTIONS) {
        return refuse(turn, 405, NULL);
    }
    if (http_route_is_shared(settings->routes, settings->route_count, request->call.path)) {
        http_say_shared(&request->call);
    }
    request->closes |= has_body(request);
    request->call.status = 204;
    return begin_answer(turn);
}

bool http_route_request(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;
    struct http_door_settings *settings = &http_the_door.settings;
    uint32_t methods = 0;

    if (request->head.method == 0) {
        return refuse_and_close(turn, 501);
    }
    int status = http_request_read_target(request, request->framing.place);
    if (status != HTTP_WHOLE) {
        return refuse_and_close(turn, (uint32_t)status);
    }
    request->call.route =
        http_route_find(settings->routes, settings->route_count, request->call.path,
                        request->head.method, request->segments, &methods);
    if (request->call.route == NULL) {
        return refuse_method(turn, methods);
    }
    request->call.method = request->is_head ? HTTP_GET : request->head.method;
    request->accepts_gzip = http_accepts_gzip(request->bytes, &request->head);
    request->body.bytes_max = request->call.route->body_bytes_max;
    const char *why = !request->call.route->is_change
                          ? NULL
                          : http_change_refused(request->bytes, &request->head, &request->framing,
                                                settings->hosts);
    return why != NULL ? refuse(turn, 403, why) : http_authorize(turn);
}

/* ---- who asks ------------------------------------------------------------------------------- */

static bool ask_for_login(struct http_turn *turn)
{
    http_say_field(&turn->state->request->call, "WWW-Authenticate",
                   "Basic realm=\"quarry\", charset=\"UTF-8\"");
    return refuse(turn, 401, NULL);
}

static bool fail_login(struct http_turn *turn)
{
    struct http_state *state = turn->state;

    state->failed_logins++;
    state->request->closes |= state->failed_logins >= LOGINS_MAX;
    return ask_for_login(turn);
}

static bool go_on_allowed(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;
    const struct http_door_hooks *hooks = &http_the_door.settings.hooks;
    uint32_t rights = request->call.route->rights;

    if ((request->call.identity.rights & rights) != rights) {
        return refuse(turn, 403, NULL);
    }
    if (hooks->admit != NULL && rights != 0 &&
        !hooks->admit(hooks->argument, &request->call.identity, 1)) {
        return refuse(turn, 429, NULL);
    }
    uint32_t status = check_body(request);
    if (status != HTTP_WHOLE) {
        return refuse(turn, status, NULL);
    }
    if (!has_body(request)) {
        return http_execute(turn);
    }
    if (request->framing.expects_continue) {
        static const char words[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!serve_out_copy(turn->connection, words, sizeof words - 1)) {
            return stop(turn, SERVE_CLOSE);
        }
    }
    turn->state->chunked = (struct http_chunked){0};
    turn->state->phase = request->framing.is_chunked ? HTTP_CHUNKS : HTTP_BODY;
    return true;
}

static bool log_in(struct http_turn *turn, const struct http_credentials *credentials)
{
    struct http_state *state = turn->state;
    const struct http_door_hooks *hooks = &http_the_door.settings.hooks;
    struct serve_identity identity = {.rights = 0};

    if (hooks->login == NULL) {
        return fail_login(turn);
    }
    /* Before the hook is called: its answer may be posted while it runs. */
    state->phase = HTTP_LOGIN;
    switch (hooks->login(hooks->argument, turn->connection, credentials->name,
                         credentials->password, &identity)) {
    case HTTP_VERIFYING:
        return stop(turn, SERVE_WAIT);
    case HTTP_GRANTED:
        http_note_login(turn->connection, &identity);
        return go_on_allowed(turn);
    case HTTP_REFUSED:
        break;
    }
    return fail_login(turn);
}

void http_note_login(struct serve_connection *connection, const struct serve_identity *identity)
{
    struct http_state *state = serve_connection_state(connection);

    Q_ASSERT(identity->rights != 0);
    *serve_connection_identity(connection) = *identity;
    state->request->call.identity = *identity;
    state->is_logged_in = true;
    state->failed_logins = 0;
}

/* Who needs no login, or has shown a certificate, is known by the connection; others by each
 * request. */
bool http_authorize(struct http_turn *turn)
{
    struct http_state *state = turn->state;
    struct http_request *request = state->request;
    const struct serve_identity *known = serve_connection_identity(turn->connection);
    struct http_credentials credentials;

    if (request->call.route->rights == 0) {
        return go_on_allowed(turn);
    }
    if (known->rights != 0 && !state->is_logged_in) {
        request->call.identity = *known;
        return go_on_allowed(turn);
    }
    switch (http_authorization_read(request->bytes, &request->head, &credentials)) {
    case HTTP_AUTHORIZED_BY_NOTHING:
        return ask_for_login(turn);
    case HTTP_AUTHORIZED_BADLY:
        return fail_login(turn);
    case HTTP_AUTHORIZED_BY_PASSWORD:
        break;
    }
    return log_in(turn, &credentials);
}

static bool go_on_logged_in(struct http_turn *turn)
{
    return turn->state->request->call.identity.rights != 0 ? go_on_allowed(turn) : fail_login(turn);
}

/* ---- the body ------------------------------------------------------------------------------- */

static bool body_failed(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;

    http_text_fini(&request->body);
    return refuse_and_close(turn, 503);
}

/* What has come is copied; the rest is to be read straight to where it belongs. */
static bool take_body(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;
    struct http_text *body = &request->body;
    uint64_t left = request->framing.content_bytes - body->count;
    size_t here = (size_t)size_min_u64(left, left_bytes(turn));

    http_text_add(body, turn->at, here);
    if (body->is_failed) {
        return body_failed(turn);
    }
    turn->at += here;
    left -= here;
    if (left == 0) {
        return http_execute(turn);
    }
    char *room = http_text_room(body, (size_t)size_min_u64(left, QUARRY_PAGE_BYTES));
    if (room == NULL) {
        return body_failed(turn);
    }
    serve_connection_want(turn->connection, room,
                          (size_t)size_min_u64(left, body->capacity - body->count));
    serve_connection_expect(turn->connection, left);
    return stop(turn, SERVE_MORE);
}

static bool take_chunks(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;
    struct http_text *body = &request->body;

    for (;;) {
        size_t used = 0, data = 0;
        enum http_chunk chunk =
            http_chunked_next(&turn->state->chunked, turn->at, left_bytes(turn), &used, &data);

        turn->at += used;
        if (chunk == HTTP_CHUNK_BAD) {
            return refuse_and_close(turn, 400);
        }
        if (chunk == HTTP_CHUNK_END) {
            return http_execute(turn);
        }
        if (chunk == HTTP_CHUNK_MORE) {
            serve_connection_expect(turn->connection, CHUNKS_END_BYTES);
            return stop(turn, SERVE_MORE);
        }
        if (data > body->bytes_max - body->count) {
            return refuse_and_close(turn, 413);
        }
        http_text_add(body, turn->at, data);
        if (body->is_failed) {
            return body_failed(turn);
        }
        turn->at += data;
    }
}

/* ---- the handler ---------------------------------------------------------------------------- */

/* Who has gone is noticed by his missing bytes: one more than none. */
static bool wait_for_executor(struct http_turn *turn)
{
    turn->state->phase = HTTP_EXECUTING;
    serve_connection_expect(turn->connection, 1);
    http_executor_take(turn->connection, turn->state->request);
    return stop(turn, SERVE_WAIT);
}

bool http_execute(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;

    (void)snprintf(request->call.peer, sizeof request->call.peer, "%s",
                   serve_connection_peer(turn->connection));
    if (request->call.route->runs_on == HTTP_ON_EXECUTOR) {
        return wait_for_executor(turn);
    }
    http_request_run(request);
    return begin_answer(turn);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static bool finish(struct http_turn *turn)
{
    struct http_state *state = turn->state;
    struct http_request *request = state->request;
    bool closes = request->closes;

    http_note_answered(turn->connection, request);
    state->request = NULL;
    state->phase = HTTP_HEAD_PHASE;
    state->turn_answers++;
    http_request_end(request);
    return closes ? stop(turn, SERVE_CLOSE) : true;
}

/* The executor, or its handler, has come to nothing. */
static bool fail(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;

    if (request->is_head_sent) {
        return stop(turn, SERVE_CLOSE); /* without its end: the client sees that it is cut */
    }
    request->outcome = HTTP_DONE;
    request->closes = true;
    http_refuse(request, 500, NULL);
    return true;
}

static bool next_piece(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;

    request->wants_piece = false;
    return http_execute(turn);
}

static bool take_answer(struct http_turn *turn)
{
    struct http_request *request = turn->state->request;

    if (request->outcome == HTTP_FAILED) {
        return fail(turn);
    }
    if (request->wants_piece) {
        return next_piece(turn);
    }
    if (!request->is_head_sent) {
        if (!http_answer_head(turn, request)) {
            return stop(turn, SERVE_CLOSE);
        }
        request->is_head_sent = true;
    }
    switch (http_answer_body(turn, request)) {
    case HTTP_BROKEN:
        return stop(turn, SERVE_CLOSE);
    case HTTP_WAITS:
        return stop(turn, SERVE_PAUSE);
    case HTTP_SENT:
        break;
    }
    bool is_whole = request->call.more == NULL || request->call.is_last || request->is_head;
    request->wants_piece = !is_whole;
    return is_whole ? finish(turn) : stop(turn, SERVE_PAUSE);
}

/* ---- all of it ------------------------------------------------------------------------------ */

void http_go_on(struct http_turn *turn)
{
    bool goes_on = true;

    while (goes_on) {
        switch (turn->state->phase) {
        case HTTP_HEAD_PHASE:
            goes_on = take_head(turn);
            break;
        case HTTP_LOGGED_IN:
            goes_on = go_on_logged_in(turn);
            break;
        case HTTP_BODY:
            goes_on = take_body(turn);
            break;
        case HTTP_CHUNKS:
            goes_on = take_chunks(turn);
            break;
        case HTTP_ANSWERING:
            goes_on = take_answer(turn);
            break;
        case HTTP_LOGIN:
        case HTTP_EXECUTING:
            goes_on = stop(turn, SERVE_WAIT);
            break;
        }
    }
}
