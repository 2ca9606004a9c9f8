/*
 * A request with its answer: their memory, and the call of the handler.
 *
 *     run of pages   | struct http_request | head as it came, decoded in place |
 *     besides          parameters, a page · body · answer
 *
 * The head is copied, some hundred bytes, so that a request can outlive the turn in which it came:
 * on the executor, while its body comes, while a slow reader takes its answer. All memory is of the
 * account `http`, so that what clients have the server hold is bounded by the budget, and refused
 * with 503 when that is full.
 *
 * What may take long is done where the handler runs: decoding a body, parameters of a form,
 * compressing an answer.
 *
 * Locking: none; a request has one owner at a time. Cost: a run of pages a request.
 */
#include <serve/http/state.h>

#include <string.h>

#include <serve/http/target.h>

/* Shorter answers are not worth zlib's 260 KiB and 20 us; they fit into one packet. */
#define COMPRESS_BYTES_MIN 1024u

struct http_request *http_request_begin(const char *head, size_t head_bytes)
{
    struct http_door_settings *settings = &http_the_door.settings;
    struct http_request *request =
        serve_buffer_take(&http_the_door.pages, sizeof(struct http_request) + head_bytes);

    if (request == NULL) {
        return NULL;
    }
    memset(request, 0, offsetof(struct http_request, head));
    memset((char *)request + offsetof(struct http_request, framing), 0,
           sizeof *request - offsetof(struct http_request, framing));
    request->bytes = (char *)request + sizeof *request;
    request->head_bytes = head_bytes;
    memcpy(request->bytes, head, head_bytes);
    request->head.field_count = 0;
    request->head.target = (struct http_span){0};
    request->begin_ns = os_monotonic_ns(os_real());
    http_text_init(&request->body, &http_the_door.pages, 0);
    request->call.request = request;
    request->call.argument = settings->argument;
    request->call.path = request->call.body = (struct http_slice){"", 0};
    request->call.is_cancelled = &request->is_cancelled;
    http_text_init(&request->call.body_out, &http_the_door.pages, settings->answer_bytes_max);
    return request;
}

void http_request_end(struct http_request *request)
{
    if (request == NULL) {
        return;
    }
    if (request->call.end_state != NULL) {
        request->call.end_state(&request->call);
    }
    http_gzip_end(request->gzip);
    http_text_fini(&request->call.body_out);
    http_text_fini(&request->body);
    serve_buffer_give(&http_the_door.pages, request->params);
    serve_buffer_give(&http_the_door.pages, request);
}

/* ---- what was asked ------------------------------------------------------------------------- */

/* Adds parameters in front of those that are there. */
static int read_params(struct http_request *request, char *text, size_t text_bytes)
{
    if (text_bytes == 0) {
        return HTTP_WHOLE;
    }
    if (request->params == NULL) {
        request->params =
            serve_buffer_take(&http_the_door.pages, HTTP_PARAMS_MAX * sizeof(struct http_param));
        if (request->params == NULL) {
            return 503;
        }
    }
    return http_params_decode(text, text_bytes, request->params, &request->param_count) ? HTTP_WHOLE
                                                                                        : 400;
}

int http_request_read_target(struct http_request *request, struct http_slice place)
{
    const char *mark = memchr(place.bytes, '?', place.count);
    size_t path_bytes = mark == NULL ? place.count : (size_t)(mark - place.bytes);
    /* The place lies in our copy of the head, but for "/" of a target that has none. */
    bool is_own = place.bytes >= request->bytes &&
                  place.bytes + place.count <= request->bytes + request->head_bytes;
    char *room = is_own ? request->bytes + (place.bytes - request->bytes) : request->bytes;
    struct http_slice path = {place.bytes, path_bytes};

    if (!http_path_decode(path, room, &request->call.path)) {
        return 400;
    }
    return mark == NULL ? HTTP_WHOLE
                        : read_params(request, room + path_bytes + 1, place.count - path_bytes - 1);
}

/* Those of the form count before those of the target. */
static int read_form(struct http_request *request)
{
    struct http_param *params = request->params;
    size_t before = request->param_count;
    int status;

    if (params != NULL) { /* the form's are decoded behind them, and moved */
        struct http_param own[HTTP_PARAMS_MAX];
        memcpy(own, params, before * sizeof *params);
        status = read_params(request, request->body.bytes, request->body.count);
        size_t form = request->param_count - before;
        memmove(params, params + before, form * sizeof *params);
        memcpy(params + form, own, before * sizeof *params);
    } else {
        status = read_params(request, request->body.bytes, request->body.count);
    }
    return status;
}

static int decode_gzip(struct http_request *request)
{
    struct http_text decoded;
    struct http_text *body = &request->body;

    http_text_init(&decoded, &http_the_door.pages, body->bytes_max);
    enum quarry_status status = http_gzip_decode(body->bytes, body->count, &decoded);
    if (status != QUARRY_OK) {
        http_text_fini(&decoded);
        return quarry_status_http(status);
    }
    http_text_fini(body);
    *body = decoded;
    return HTTP_WHOLE;
}

static int read_body(struct http_request *request)
{
    const struct http_route *route = request->call.route;
    struct http_slice coding = {"", 0}, type = {"", 0};
    int status = HTTP_WHOLE;

    if (route->coding == HTTP_CODING_GZIP &&
        http_header(&request->call, "content-encoding", &coding) &&
        !http_slice_is(coding, "identity")) {
        status = decode_gzip(request);
    }
    if (status == HTTP_WHOLE && route->takes_form &&
        http_header(&request->call, "content-type", &type) &&
        http_slice_is(http_media_type(type), "application/x-www-form-urlencoded")) {
        return read_form(request);
    }
    if (status == HTTP_WHOLE && request->body.count > 0) {
        request->call.body = (struct http_slice){request->body.bytes, request->body.count};
    }
    return status;
}

/* ---- the handler ---------------------------------------------------------------------------- */

static bool is_compressible(const struct http_call *call)
{
    const char *type = call->content_type;
    bool is_text = type != NULL &&
                   (strncmp(type, "text/", 5) == 0 || strncmp(type, "application/json", 16) == 0 ||
                    strncmp(type, "application/openmetrics-text", 28) == 0);

    return is_text && !call->never_compress;
}

/* Puts what is to be sent in the place of what was made. False: no memory. */
static bool compress(struct http_request *request, bool is_last)
{
    struct http_text *made = &request->call.body_out, encoded;

    request->gzip = request->gzip == NULL ? http_gzip_begin() : request->gzip;
    http_text_init(&encoded, made->memory, SIZE_MAX);
    if (request->gzip == NULL ||
        !http_gzip_add(request->gzip, made->bytes, made->count, is_last, &encoded)) {
        http_text_fini(&encoded);
        return false;
    }
    encoded.bytes_max = made->bytes_max;
    http_text_fini(made);
    *made = encoded;
    return true;
}

/* Asks for a piece: the first one in the handler's own turn. */
static void make_piece(struct http_request *request)
{
    struct http_call *call = &request->call;

    request->sent_bytes = 0;
    if (request->was_run) {
        http_text_empty(&call->body_out);
    }
    request->outcome = call->more(call);
    if (call->body_out.is_failed) {
        request->outcome = HTTP_FAILED;
    }
    if (request->outcome == HTTP_DONE && request->is_compressed &&
        !compress(request, call->is_last)) {
        request->outcome = HTTP_FAILED;
    }
}

static void finish_whole(struct http_request *request)
{
    struct http_call *call = &request->call;

    if (call->body_out.is_failed) {
        http_refuse(request, 503, NULL);
    } else if (request->accepts_gzip && is_compressible(call) &&
               call->body_out.count >= COMPRESS_BYTES_MIN) {
        /* Without memory for it, it is sent as it is. */
        request->is_compressed = compress(request, true);
    }
}

static void call_handler(struct http_request *request)
{
    struct http_call *call = &request->call;
    int status = read_body(request);

    if (status != HTTP_WHOLE) {
        http_refuse(request, (uint32_t)status, NULL);
        return;
    }
    request->outcome = call->route->handler(call);
    call->status = call->status == 0 ? 200 : call->status;
    if (request->outcome != HTTP_DONE) {
        return;
    }
    if (call->more != NULL && !request->is_head) {
        make_piece(request);
    }
    if (request->outcome != HTTP_DONE) {
        return;
    }
    if (call->more == NULL || call->is_last) {
        call->more = NULL; /* a piece that is all there is is a whole answer */
        finish_whole(request);
    } else if (!request->is_head && request->accepts_gzip && is_compressible(call)) {
        request->is_compressed = true;
        request->outcome = compress(request, false) ? HTTP_DONE : HTTP_FAILED;
    }
}

void http_request_run(struct http_request *request)
{
    Q_ASSERT(request->call.route != NULL);
    request->outcome = HTTP_DONE;
    if (request->was_run) {
        make_piece(request);
    } else {
        call_handler(request);
        request->was_run = true;
    }
}

/* ---- what handlers ask ---------------------------------------------------------------------- */

bool http_param(const struct http_call *call, const char *name, struct http_slice *ret_value)
{
    const struct http_request *request = call->request;

    for (size_t i = 0; i < request->param_count; i++) {
        if (http_slice_equals(request->params[i].name, name)) {
            *ret_value = request->params[i].value;
            return true;
        }
    }
    return false;
}

size_t http_params(const struct http_call *call, const struct http_param **ret_params)
{
    *ret_params = call->request->params;
    return call->request->param_count;
}

bool http_header(const struct http_call *call, const char *name, struct http_slice *ret_value)
{
    const struct http_request *request = call->request;

    return http_field_find(request->bytes, &request->head, name, ret_value) > 0;
}

struct http_slice http_segment(const struct http_call *call, uint32_t index)
{
    Q_ASSERT(index < HTTP_SEGMENTS_MAX);
    return call->request->segments[index];
}

void http_say_field(struct http_call *call, const char *name, const char *value)
{
    size_t name_bytes = strlen(name), value_bytes = strlen(value);
    char *at = call->extra + call->extra_bytes;

    Q_ASSERT(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL);
    Q_ASSERT(name_bytes + value_bytes + 4 <= sizeof call->extra - call->extra_bytes);
    at = (char *)mempcpy(at, name, name_bytes);
    at = (char *)mempcpy(at, ": ", 2);
    at = (char *)mempcpy(at, value, value_bytes);
    at = (char *)mempcpy(at, "\r\n", 2);
    call->extra_bytes = (size_t)(at - call->extra);
}

void http_say_shared(struct http_call *call)
{
    http_say_field(call, "Access-Control-Allow-Headers",
                   "Accept, Authorization, Content-Type, Origin");
    http_say_field(call, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    http_say_field(call, "Access-Control-Allow-Origin", "*");
    http_say_field(call, "Access-Control-Expose-Headers", "Date");
}

void http_say_text(struct http_call *call, uint32_t status, const char *text)
{
    call->status = status;
    call->content_type = "text/plain; charset=utf-8";
    http_text_empty(&call->body_out);
    http_text_say(&call->body_out, text);
}

void http_say_status(struct http_call *call, enum quarry_status status)
{
    http_say_text(call, (uint32_t)quarry_status_http(status), quarry_status_text(status));
    http_text_say(&call->body_out, "\n");
}
