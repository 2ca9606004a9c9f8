/*
 * Answers on the wire.
 *
 *     HTTP/1.1 200 OK
 *     Date, what keeps browsers from mischief, Content-Type, the handler's own fields
 *     Content-Length: N            an answer that is whole
 *     Transfer-Encoding: chunked   one in pieces, to HTTP/1.1
 *     Connection: close            one in pieces, to HTTP/1.0; and wherever it ends
 *
 * A small body is copied behind its head, and one write takes both. A large one is lent from where
 * it was made, a stretch at a time; the next stretch follows when the reader has taken the last, so
 * that what waits for a slow one is never above a stretch, and is charged to this door.
 *
 * Invariant: what is lent stays until the reader has taken it: a step that lends says HTTP_WAITS,
 * even with the last stretch.
 *
 * Locking: none. Cost: a head is about 400 bytes and a microsecond.
 */
#include <serve/http/state.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of a body, to be copied: less than a socket's buffer takes at once. */
#define COPIED_BYTES_MAX Q_KIB(16)
/* Lent at a time: what a socket's buffer takes, some times over. */
#define LENT_BYTES_MAX Q_KIB(256)
/* All of a head; serve_out_room gives no more. */
#define HEAD_BYTES Q_KIB(4)

/* A page of a stranger shall neither show this in a frame nor guess what it is, and what is shown
 * here shall load nothing from elsewhere. Nothing is to be kept: figures are of now. */
static const char guards[] = "X-Content-Type-Options: nosniff\r\n"
                             "X-Frame-Options: DENY\r\n"
                             "Referrer-Policy: no-referrer\r\n"
                             "Cross-Origin-Resource-Policy: same-origin\r\n";
static const char policy[] =
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
/* A page of ours runs what lies beside it, and asks whom it came from. */
static const char page_policy[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n";
static const char fresh[] = "Cache-Control: no-store\r\n";
static const char lasting[] = "Cache-Control: private, max-age=31536000, immutable\r\n";

const struct serve_replies serve_replies_http = {
    .too_many = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
                "Content-Length: 0\r\n\r\n",
    .refused = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
               "Content-Length: 0\r\n\r\n",
    .too_long = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
                "Content-Length: 0\r\n\r\n",
};

const char *http_reason(uint32_t status)
{
    static const struct {
        uint32_t status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

/* ---- heads ---------------------------------------------------------------------------------- */

/* A head under way, in room for all that one may have. */
struct head_out {
    char *at, *end;
};

static void put(struct head_out *out, const char *text, size_t bytes)
{
    Q_ASSERT(bytes <= (size_t)(out->end - out->at));
    memcpy(out->at, text, bytes);
    out->at += bytes;
}

static void put_words(struct head_out *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_number(struct head_out *out, const char *name, uint64_t number)
{
    char line[64];
    int bytes = snprintf(line, sizeof line, "%s: %" PRIu64 "\r\n", name, number);

    put(out, line, (size_t)bytes);
}

/* strftime's names are a language's; these are English always. */
static void put_date(struct head_out *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = (time_t)(os_wall_ns(os_real()) / Q_SECOND_NS);
    struct tm date;
    char line[64];

    if (gmtime_r(&now, &date) == NULL) {
        return;
    }
    int bytes = snprintf(line, sizeof line, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n",
                         days + (ptrdiff_t)date.tm_wday * 3, date.tm_mday,
                         months + (ptrdiff_t)date.tm_mon * 3, date.tm_year + 1900, date.tm_hour,
                         date.tm_min, date.tm_sec);
    put(out, line, (size_t)bytes);
}

static void put_beginning(struct head_out *out, uint32_t status)
{
    char line[64];
    int bytes =
        snprintf(line, sizeof line, "HTTP/1.1 %" PRIu32 " %s\r\n", status, http_reason(status));

    Q_ASSERT(bytes > 0 && (size_t)bytes < sizeof line);
    put(out, line, (size_t)bytes);
    put_date(out);
    put(out, guards, sizeof guards - 1);
}

static void put_policy(struct head_out *out, bool is_page, bool is_lasting)
{
    put_words(out, is_page ? page_policy : policy);
    put_words(out, is_lasting ? lasting : fresh);
}

/* When to come back, unless it is said in `extra`. */
static void put_retry(struct head_out *out, uint32_t status, struct http_slice extra)
{
    static const char name[] = "Retry-After: ";

    if ((status == 429 || status == 503) &&
        memmem(extra.bytes, extra.count, name, sizeof name - 1) == NULL) {
        put_words(out, "Retry-After: 1\r\n");
    }
}

void http_refuse_stranger(struct http_turn *turn, uint32_t status)
{
    const char *reason = http_reason(status);
    char *room = serve_out_room(turn->connection, HEAD_BYTES);
    struct head_out out = {room, room == NULL ? NULL : room + HEAD_BYTES};

    turn->step = SERVE_CLOSE;
    if (room == NULL) {
        return;
    }
    put_beginning(&out, status);
    put_policy(&out, false, false);
    put_retry(&out, status, (struct http_slice){"", 0});
    put_words(&out, "Content-Type: text/plain; charset=utf-8\r\n");
    put_number(&out, "Content-Length", strlen(reason) + 1);
    put_words(&out, "Connection: close\r\n\r\n");
    put_words(&out, reason);
    put_words(&out, "\n");
    serve_out_advance(turn->connection, (size_t)(out.at - room));
}

void http_refuse(struct http_request *request, uint32_t status, const char *text)
{
    http_say_text(&request->call, status, text != NULL ? text : http_reason(status));
    if (text == NULL) {
        http_text_say(&request->call.body_out, "\n");
    }
    request->call.more = NULL;
    request->is_compressed = false;
    request->call.extra_bytes = status == 405 || status == 401 ? request->call.extra_bytes : 0;
}

static bool is_in_pieces(const struct http_request *request)
{
    return request->call.more != NULL;
}

static bool is_chunked(const struct http_request *request)
{
    return is_in_pieces(request) && request->head.minor > 0;
}

static void put_length(struct head_out *out, struct http_request *request)
{
    const struct http_call *call = &request->call;

    if (call->content_type != NULL) {
        put_words(out, "Content-Type: ");
        put_words(out, call->content_type);
        put_words(out, "\r\n");
    }
    if (request->is_compressed) {
        put_words(out, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    }
    if (is_chunked(request)) {
        put_words(out, "Transfer-Encoding: chunked\r\n");
    } else if (is_in_pieces(request)) {
        request->closes = true; /* its end is that of the stream */
    } else if (call->status != 204) {
        put_number(out, "Content-Length", call->body_out.count);
    }
}

bool http_answer_head(struct http_turn *turn, struct http_request *request)
{
    const struct http_call *call = &request->call;
    char *room = serve_out_room(turn->connection, HEAD_BYTES);
    struct head_out out = {room, room == NULL ? NULL : room + HEAD_BYTES};

    if (room == NULL) {
        return false;
    }
    put_beginning(&out, call->status);
    put_policy(&out, call->is_page, call->is_lasting);
    put_retry(&out, call->status, (struct http_slice){call->extra, call->extra_bytes});
    put_length(&out, request);
    put(&out, call->extra, call->extra_bytes);
    if (request->closes) {
        put_words(&out, "Connection: close\r\n");
    } else if (request->head.minor == 0) {
        put_words(&out, "Connection: keep-alive\r\n");
    }
    put_words(&out, "\r\n");
    serve_out_advance(turn->connection, (size_t)(out.at - room));
    return true;
}

/* ---- bodies --------------------------------------------------------------------------------- */

static bool chunk_begin(struct http_turn *turn, size_t bytes)
{
    char line[32];
    int count = snprintf(line, sizeof line, "%zx\r\n", bytes);

    return serve_out_copy(turn->connection, line, (size_t)count);
}

static enum http_sending chunk_end(struct http_turn *turn, const struct http_request *request,
                                   bool had_bytes)
{
    static const char ends[] = "\r\n0\r\n\r\n";
    const char *begin = had_bytes ? ends : ends + 2;
    size_t bytes = (had_bytes ? 2u : 0u) + (request->call.is_last ? 5u : 0u);

    return serve_out_copy(turn->connection, begin, bytes) ? HTTP_SENT : HTTP_BROKEN;
}

static enum http_sending lend(struct http_turn *turn, struct http_request *request)
{
    const struct http_text *text = &request->call.body_out;
    struct serve_borrowed borrowed = {
        .bytes = text->bytes + request->sent_bytes,
        .byte_count = size_min(text->count - request->sent_bytes, LENT_BYTES_MAX)};

    request->sent_bytes += borrowed.byte_count;
    return serve_out_borrow(turn->connection, &borrowed) ? HTTP_WAITS : HTTP_BROKEN;
}

enum http_sending http_answer_body(struct http_turn *turn, struct http_request *request)
{
    const struct http_text *text = &request->call.body_out;
    bool chunks = is_chunked(request);

    if (request->is_head || request->call.status == 204) {
        return HTTP_SENT;
    }
    if (request->sent_bytes == 0 && text->count > 0) {
        request->answer_bytes += text->count;
        if (chunks && !chunk_begin(turn, text->count)) {
            return HTTP_BROKEN;
        }
        if (text->count <= COPIED_BYTES_MAX) {
            request->sent_bytes = text->count;
            if (!serve_out_copy(turn->connection, text->bytes, text->count)) {
                return HTTP_BROKEN;
            }
        }
    }
    if (request->sent_bytes < text->count) {
        return lend(turn, request);
    }
    return chunks ? chunk_end(turn, request, text->count > 0) : HTTP_SENT;
}
