/*
 * The door: what the server calls, its memory, its figures.
 *
 *     worker ─ input, filled ─ phases.c ─ handler, here or on the executor ─ answer.c ─ worker
 *
 * Counters are a worker's own, a page each, so that none is shared; who reads them adds them up.
 *
 * Locking: none. Threads: see http_open.
 */
#include <serve/http/phases.h>

#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_DEFAULT Q_MIB(64)
#define THREADS_DEFAULT      2u
/* Of a path, in the log. */
#define LOGGED_PATH_BYTES 200u

struct http_door_state http_the_door;

/* ---- figures -------------------------------------------------------------------------------- */

static struct http_counter_row *row_of(struct serve_connection *connection,
                                       const struct http_route *route)
{
    uint32_t worker = serve_worker_index(serve_connection_worker(connection));
    size_t row = route == NULL ? HTTP_ROUTES_MAX : (size_t)(route - http_the_door.settings.routes);

    return &http_the_door.counters[worker]->rows[row];
}

static void count_answer(struct http_counter_row *row, uint32_t status, uint64_t duration_ns)
{
    Q_ASSERT(status >= 100 && status < 600);
    atomic_bump_relaxed_u64(&row->answers[status / 100 - 1], 1);
    atomic_bump_relaxed_u64(&row->duration_ns, duration_ns);
}

static const char *method_name(const struct http_request *request)
{
    switch (request->head.method) {
    case HTTP_GET:
        return "GET";
    case HTTP_HEAD:
        return "HEAD";
    case HTTP_POST:
        return "POST";
    case HTTP_PUT:
        return "PUT";
    case HTTP_DELETE:
        return "DELETE";
    case HTTP_OPTIONS:
        return "OPTIONS";
    }
    return "-";
}

static void tell_log(const struct http_access *access)
{
    const struct http_door_hooks *hooks = &http_the_door.settings.hooks;

    if (hooks->log != NULL && atomic_load_relaxed_bool(&http_the_door.logs_access)) {
        hooks->log(hooks->argument, access);
    }
}

void http_note_answered(struct serve_connection *connection, const struct http_request *request)
{
    const struct http_call *call = &request->call;
    uint64_t duration_ns = sat_sub_u64(os_monotonic_ns(os_real()), request->begin_ns);
    char path[LOGGED_PATH_BYTES];

    count_answer(row_of(connection, call->route), call->status, duration_ns);
    (void)snprintf(path, sizeof path, "%.*s", (int)size_min(call->path.count, sizeof path - 1),
                   call->path.bytes);
    tell_log(&(struct http_access){.peer = serve_connection_peer(connection),
                                   .user = call->identity.name,
                                   .method = method_name(request),
                                   .path = path,
                                   .status = call->status,
                                   .answer_bytes = request->answer_bytes,
                                   .duration_ns = duration_ns});
}

void http_note_refused(struct serve_connection *connection, uint32_t status)
{
    count_answer(row_of(connection, NULL), status, 0);
    tell_log(&(struct http_access){.peer = serve_connection_peer(connection),
                                   .user = "",
                                   .method = "-",
                                   .path = "-",
                                   .status = status});
}

static void read_row(size_t row, struct http_route_counts *ret_counts)
{
    for (uint32_t worker = 0; worker < http_the_door.settings.worker_count; worker++) {
        const struct http_counter_row *counters = &http_the_door.counters[worker]->rows[row];

        for (size_t i = 0; i < HTTP_CLASSES; i++) {
            ret_counts->answers[i] += atomic_load_relaxed_u64(&counters->answers[i]);
        }
        ret_counts->duration_ns += atomic_load_relaxed_u64(&counters->duration_ns);
    }
}

size_t http_read_counts(struct http_route_counts *rows, size_t capacity)
{
    const struct http_door_settings *settings = &http_the_door.settings;

    Q_ASSERT(http_the_door.is_open);
    for (size_t i = 0; i <= settings->route_count && i < capacity; i++) {
        bool is_route = i < settings->route_count;
        rows[i] = (struct http_route_counts){.path = is_route ? settings->routes[i].path : NULL};
        read_row(is_route ? i : HTTP_ROUTES_MAX, &rows[i]);
    }
    return settings->route_count + 1;
}

void http_log_access(bool is_on)
{
    atomic_store_relaxed_bool(&http_the_door.logs_access, is_on);
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status check(const struct http_door_settings *settings,
                                struct quarry_error *error)
{
    if (http_the_door.is_open) {
        return error_set(error, QUARRY_EXISTS, "the HTTP door is open already");
    }
    bool is_good =
        settings->memory != NULL && settings->worker_count > 0 &&
        settings->worker_count <= HTTP_WORKERS_MAX && settings->thread_count <= HTTP_THREADS_MAX &&
        settings->route_count <= HTTP_ROUTES_MAX && settings->head_bytes_max <= HTTP_HEAD_BYTES_MAX;

    return is_good ? QUARRY_OK
                   : error_set(error, QUARRY_BAD_INPUT,
                               "the HTTP door's settings: workers, threads, routes or heads");
}

static void set_defaults(struct http_door_settings *settings)
{
    settings->thread_count = settings->thread_count == 0 ? THREADS_DEFAULT : settings->thread_count;
    settings->hosts = settings->hosts == NULL ? "" : settings->hosts;
    if (settings->head_bytes_max == 0) {
        settings->head_bytes_max = HTTP_HEAD_BYTES_DEFAULT;
    }
    if (settings->answer_bytes_max == 0) {
        settings->answer_bytes_max = ANSWER_BYTES_DEFAULT;
    }
}

static enum quarry_status open_pages(const struct http_door_settings *settings,
                                     struct serve_memory *ret_pages, struct quarry_error *error)
{
    struct quarry_memory *memory = settings->memory;
    const struct quarry_account_options account = {
        .name = "http", .is_all_pages = true, .ceiling_bytes = settings->memory_bytes_max};
    const struct quarry_lane_options lane = {.name = "http"};

    *ret_pages = (struct serve_memory){.memory = memory};
    enum quarry_status status = quarry_account_create(memory, &account, &ret_pages->account, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_lane_create(memory, &lane, &ret_pages->lane, error);
    if (status != QUARRY_OK) {
        quarry_account_destroy(ret_pages->account);
    }
    return status;
}

static enum quarry_status take_counters(struct quarry_error *error)
{
    for (uint32_t i = 0; i < http_the_door.settings.worker_count; i++) {
        http_the_door.counters[i] =
            serve_buffer_take_zeroed(&http_the_door.pages, sizeof(struct http_counters));
        if (http_the_door.counters[i] == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "no memory for %u workers of the HTTP door",
                             http_the_door.settings.worker_count);
        }
    }
    return QUARRY_OK;
}

static void give_all(void)
{
    for (uint32_t i = 0; i < http_the_door.settings.worker_count; i++) {
        serve_buffer_give(&http_the_door.pages, http_the_door.counters[i]);
    }
    quarry_lane_destroy(http_the_door.pages.lane);
    quarry_account_destroy(http_the_door.pages.account);
    http_the_door = (struct http_door_state){.is_open = false};
}

enum quarry_status http_open(const struct http_door_settings *settings, struct quarry_error *error)
{
    struct serve_memory pages;
    enum quarry_status status = check(settings, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = open_pages(settings, &pages, error);
    if (status != QUARRY_OK) {
        return status;
    }
    http_the_door = (struct http_door_state){.settings = *settings, .pages = pages};
    set_defaults(&http_the_door.settings);
    status = take_counters(error);
    if (status == QUARRY_OK) {
        status = http_executor_open(http_the_door.settings.thread_count, error);
    }
    if (status != QUARRY_OK) {
        give_all();
        return status;
    }
    http_the_door.is_open = true;
    return QUARRY_OK;
}

void http_stop(void)
{
    if (http_the_door.is_open && !http_the_door.is_stopped) {
        http_the_door.is_stopped = true;
        http_executor_stop();
    }
}

void http_close(void)
{
    if (http_the_door.is_open) {
        http_stop();
        give_all();
    }
}

/* ---- connections ---------------------------------------------------------------------------- */

static void open_connection(struct serve_connection *connection)
{
    struct http_state *state = serve_connection_state(connection);

    Q_ASSERT(http_the_door.is_open);
    Q_DCHECK(state->phase == HTTP_HEAD_PHASE && state->request == NULL);
}

static void close_connection(struct serve_connection *connection)
{
    struct http_state *state = serve_connection_state(connection);

    if (state->phase == HTTP_EXECUTING) {
        http_executor_forget(state->request);
    } else {
        http_request_end(state->request);
    }
    state->request = NULL;
}

static void begin_turn(struct serve_connection *connection)
{
    struct http_state *state = serve_connection_state(connection);

    state->turn_answers = 0;
}

static void end_turn(struct serve_connection *connection)
{
    (void)connection;
}

static enum serve_step input(struct serve_connection *connection, const char *bytes,
                             size_t byte_count, size_t *ret_consumed)
{
    struct http_turn turn = {.connection = connection,
                             .state = serve_connection_state(connection),
                             .at = bytes,
                             .end = bytes + byte_count,
                             .step = SERVE_MORE};

    http_go_on(&turn);
    *ret_consumed = (size_t)(turn.at - bytes);
    return turn.step;
}

/* Of a body, straight to where it belongs; or asked for the place. */
static enum serve_step filled(struct serve_connection *connection, size_t byte_count)
{
    struct http_turn turn = {.connection = connection,
                             .state = serve_connection_state(connection),
                             .at = "",
                             .end = "",
                             .step = SERVE_MORE};
    struct http_request *request = turn.state->request;

    Q_ASSERT(turn.state->phase == HTTP_BODY && request != NULL);
    Q_ASSERT(byte_count <= request->body.capacity - request->body.count);
    request->body.count += byte_count;
    turn.end = turn.at;
    http_go_on(&turn);
    return turn.step;
}

/* What is lent belongs to the request, which stays until all was taken. */
static bool hold(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    (void)borrowed;
    return true;
}

static void release(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    (void)borrowed;
}

const struct serve_door http_door = {
    .name = "http",
    .state_bytes = sizeof(struct http_state),
    .open = open_connection,
    .close = close_connection,
    .begin = begin_turn,
    .end = end_turn,
    .input = input,
    .filled = filled,
    .hold = hold,
    .release = release,
};

/* ---- what was asked of others ---------------------------------------------------------------- */

void http_login_done(struct serve_connection *connection, const struct serve_identity *identity)
{
    struct http_state *state = serve_connection_state(connection);

    Q_ASSERT(state->phase == HTTP_LOGIN);
    state->phase = HTTP_LOGGED_IN;
    if (identity != NULL) {
        http_note_login(connection, identity);
    }
}

void http_executed(struct serve_connection *connection, struct http_request *request)
{
    struct http_state *state = serve_connection_state(connection);

    Q_ASSERT(state->phase == HTTP_EXECUTING && state->request == request);
    state->phase = HTTP_ANSWERING;
    serve_connection_expect(connection, 0);
}
