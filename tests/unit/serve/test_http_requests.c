/*
 * What the HTTP door makes of requests, case by case: each is sent whole, in two pieces at every
 * byte, and byte by byte, and is answered with the same bytes.
 *
 * A case's answers: "@200" is that of /hello; "@400!" a refusal in the status' own words, after
 * which the connection is closed; "@404" one after which it is not; anything else stands for
 * itself. What is refused and closed has another request behind it, which must not be executed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/http/state.h>

#include "unit/serve/http_rig.h"

#define HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

struct http_case {
    const char *name;
    const char *request;
    size_t request_bytes; /* 0: as a text */
    const char *answers;
};

#define BYTES(literal)     (literal), sizeof(literal) - 1
#define TEXT(literal)      (literal), 0
#define FIELD(line)        TEXT("GET /hello HTTP/1.1\r\nHost: a\r\n" line "\r\n\r\n")
#define POST(header, body) TEXT("POST /echo HTTP/1.1\r\nHost: a\r\n" header "\r\n\r\n" body)
#define CHUNKED(body)      POST("Transfer-Encoding: chunked", body)
#define ECHOED(length, body)                                                                       \
    "HTTP/1.1 200 OK\nContent-Type: application/octet-stream\nContent-Length: " length "\n\n" body

static const struct http_case cases[] = {
    /* what is well formed */
    {"a get", TEXT(HELLO), "@200"},
    {"blanks around values", TEXT("GET /hello HTTP/1.1\r\nHost:  \t a \t\r\nX:\r\n\r\n"), "@200"},
    {"names in any case", TEXT("GET /hello HTTP/1.1\r\nhOST: a\r\n\r\n"), "@200"},
    {"an empty host", TEXT("GET /hello HTTP/1.1\r\nHost:\r\n\r\n"), "@200"},
    {"a host with a port", TEXT("GET /hello HTTP/1.1\r\nHost: a.b-c_d:9090\r\n\r\n"), "@200"},
    {"an address of IPv6", TEXT("GET /hello HTTP/1.1\r\nHost: [::1]:9090\r\n\r\n"), "@200"},
    {"a later minor version", TEXT("GET /hello HTTP/1.7\r\nHost: a\r\n\r\n"), "@200"},
    {"absolute form", TEXT("GET http://b:80/hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@200"},
    {"absolute form of https", TEXT("GET HTTPS://b/hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), "@200"},
    {"absolute form without path", TEXT("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\nContent-Length: 19\n\n"
     "404 page not found\n"},
    {"an escaped path", TEXT("GET /h%65llo HTTP/1.1\r\nHost: a\r\n\r\n"), "@200"},
    {"bytes beyond ASCII in a value", FIELD("X: \xc3\xa9\xff"), "@200"},
    {"an empty line before", TEXT("\r\n" HELLO), "@200"},
    {"two in a row", TEXT(HELLO HELLO), "@200@200"},
    {"two with an empty line between", TEXT(HELLO "\r\n" HELLO), "@200@200"},
    {"a length of nothing", FIELD("Content-Length: 0"), "@200"},
    {"a length with zeros", POST("Content-Length: 0003", "abc"), ECHOED("3", "abc")},
    {"a body and another request",
     TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" HELLO),
     ECHOED("3", "abc") "@200"},
    {"no body where one could be", POST("X: y", ""), ECHOED("0", "")},
    {"chunks", CHUNKED("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" HELLO), ECHOED("5", "abcde") "@200"},
    {"no chunks", CHUNKED("0\r\n\r\n"), ECHOED("0", "")},
    {"a size in capitals with zeros", CHUNKED("00000A\r\n0123456789\r\n0\r\n\r\n"),
     ECHOED("10", "0123456789")},
    {"a trailer", CHUNKED("1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n" HELLO),
     ECHOED("1", "a") "@200"},
    {"a coding in capitals", POST("Transfer-Encoding: CHUNKED", "0\r\n\r\n"), ECHOED("0", "")},
    {"an expectation", POST("Expect: 100-continue\r\nContent-Length: 2", "ok"),
     "HTTP/1.1 100 Continue\n\n" ECHOED("2", "ok")},
    {"an expectation without a body", FIELD("Expect: 100-Continue"), "@200"},
    {"version 1.0", TEXT("GET /hello HTTP/1.0\r\n\r\n"),
     "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 6\n"
     "Connection: close\n\nhello\n!"},
    {"version 1.0 that stays", TEXT("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
     "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 6\n"
     "Connection: keep-alive\n\nhello\n"},
    {"a connection that is to close", FIELD("Connection: foo, Close"),
     "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 6\n"
     "Connection: close\n\nhello\n!"},
    {"the header alone", TEXT("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 6\n\n"},
    {"what may be asked", TEXT("OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 204 No Content\nAllow: POST, PUT, OPTIONS\n\n"},
    {"what may be asked anywhere", TEXT("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 204 No Content\nAllow: GET, HEAD, POST, OPTIONS\n\n"},
    {"a path that nobody has", TEXT("GET /hello/ HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\nContent-Length: 19\n\n"
     "404 page not found\n"},
    {"dots are no way up", TEXT("GET /x/../hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\nContent-Length: 19\n\n"
     "404 page not found\n"},
    {"a method that it does not have", TEXT("PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "HTTP/1.1 405 Method Not Allowed\nContent-Type: text/plain; charset=utf-8\n"
     "Content-Length: 19\nAllow: GET, HEAD, OPTIONS\n\nMethod Not Allowed\n"},

    /* lines */
    {"LF alone behind the first line", TEXT("GET /hello HTTP/1.1\nHost: a\r\n\r\n"), "@400!"},
    {"LF alone behind a field", TEXT("GET /hello HTTP/1.1\r\nHost: a\n\r\n"), "@400!"},
    {"LF alone at the end", TEXT("GET /hello HTTP/1.1\r\nHost: a\r\n\n"), "@400!"},
    {"CR alone in a value", FIELD("X: a\rb"), "@400!"},
    {"CR alone at the beginning", TEXT("\rGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"two empty lines before", TEXT("\r\n\r\n" HELLO), "@400!"},
    {"a line that goes on", FIELD("X: a\r\n b"), "@400!"},
    {"a line that goes on by a tab", FIELD("X: a\r\n\tb"), "@400!"},
    {"a first line that goes on", TEXT("GET /hello HTTP/1.1\r\n Host: a\r\n\r\n"), "@400!"},
    {"TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "@400!"},
    {"no target", TEXT("GET HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an empty target", TEXT("GET  HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"no version", TEXT("GET /hello\r\nHost: a\r\n\r\n"), "@400!"},
    {"blanks behind the version", TEXT("GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n"), "@400!"},
    {"two blanks", TEXT("GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a tab between", TEXT("GET\t/hello\tHTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a version in small letters", TEXT("GET /hello http/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a version with more digits", TEXT("GET /hello HTTP/1.10\r\nHost: a\r\n\r\n"), "@400!"},
    {"another version", TEXT("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n"), "@505!"},
    {"the preface of HTTP/2", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "@505!"},
    {"a method that is none", TEXT("G@T /hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a method that is not known", TEXT("BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@501!"},
    {"a method in small letters", TEXT("get /hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@501!"},
    {"a tunnel", TEXT("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), "@501!"},

    /* fields */
    {"a blank before the colon", FIELD("Content-Length : 5"), "@400!"},
    {"a field without a colon", FIELD("nothing"), "@400!"},
    {"a field without a name", FIELD(": x"), "@400!"},
    {"a name that is none", FIELD("a(b: x"), "@400!"},
    {"a name beyond ASCII", FIELD("\xc3\xa9: x"), "@400!"},
    {"NUL in a value", BYTES("GET /hello HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), "@400!"},
    {"NUL in a name", BYTES("GET /hello HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n"), "@400!"},
    {"a control byte in a value", FIELD("X: a\x01"), "@400!"},
    {"DEL in a value", FIELD("X: a\x7f"), "@400!"},

    /* hosts */
    {"no host", TEXT("GET /hello HTTP/1.1\r\n\r\n"), "@400!"},
    {"two hosts", TEXT("GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "@400!"},
    {"a list of hosts", TEXT("GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n"), "@400!"},
    {"a host with a path", TEXT("GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n"), "@400!"},
    {"a host with a user", TEXT("GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n"), "@400!"},
    {"a port that is none", TEXT("GET /hello HTTP/1.1\r\nHost: a:8x\r\n\r\n"), "@400!"},
    {"an address that does not end", TEXT("GET /hello HTTP/1.1\r\nHost: [::1\r\n\r\n"), "@400!"},
    {"absolute form with a user", TEXT("GET http://u@b/hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "@400!"},
    {"absolute form without a host", TEXT("GET http:///hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "@400!"},
    {"absolute form without Host", TEXT("GET http://b/hello HTTP/1.1\r\n\r\n"), "@400!"},
    {"absolute form of something else", TEXT("GET ftp://b/hello HTTP/1.1\r\nHost: a\r\n\r\n"),
     "@400!"},

    /* targets */
    {"a target without a slash", TEXT("GET hello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an asterisk that is no option", TEXT("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a fragment", TEXT("GET /hello#x HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"bytes beyond ASCII in a target", TEXT("GET /h\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"NUL in a target", BYTES("GET /hello\0 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an escaped NUL", TEXT("GET /hello%00 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an escaped slash", TEXT("GET /%2fhello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an escaped line end", TEXT("GET /hello%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a slash that is overlong", TEXT("GET /%c0%afhello HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a character that is cut", TEXT("GET /hello%e2%82 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a surrogate", TEXT("GET /%ed%a0%80 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an escape that is none", TEXT("GET /hello%6 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"an escape of other digits", TEXT("GET /hello%6g HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a parameter with NUL", TEXT("GET /hello?x=%00 HTTP/1.1\r\nHost: a\r\n\r\n"), "@400!"},
    {"a parameter with a bad escape", TEXT("GET /hello?%zz=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
     "@400!"},

    /* lengths */
    {"two lengths that differ", POST("Content-Length: 3\r\nContent-Length: 4", "abcd"), "@400!"},
    {"two lengths that do not", POST("Content-Length: 3\r\nContent-Length: 3", "abc"), "@400!"},
    {"a list of lengths", POST("Content-Length: 3, 3", "abc"), "@400!"},
    {"a length with a sign", POST("Content-Length: +3", "abc"), "@400!"},
    {"a length below zero", POST("Content-Length: -1", "abc"), "@400!"},
    {"a length in hexadecimal", POST("Content-Length: 0x3", "abc"), "@400!"},
    {"an empty length", POST("Content-Length:", "abc"), "@400!"},
    {"a length and chunks", POST("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
     "@400!"},
    {"chunks and a length", POST("Transfer-Encoding: chunked\r\nContent-Length: 3", "0\r\n\r\n"),
     "@400!"},
    {"chunks twice", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
     "@400!"},
    {"chunks in 1.0", TEXT("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "@400!"},
    {"a coding before chunks", POST("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), "@501!"},
    {"a coding that hides", POST("Transfer-Encoding: xchunked", "0\r\n\r\n"), "@501!"},
    {"a coding that is nothing", POST("Transfer-Encoding: identity", "abc"), "@501!"},
    {"a length beyond the limit", POST("Content-Length: 65537", "abc"), "@413!"},
    {"a length beyond numbers", POST("Content-Length: 99999999999999999999999", "abc"), "@413!"},
    {"a body where none is taken", FIELD("Content-Length: 1"), "@413!"},
    {"chunks where none are taken", FIELD("Transfer-Encoding: chunked"), "@413!"},
    {"a body for nobody", TEXT("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
     "HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\nContent-Length: 19\n"
     "Connection: close\n\n404 page not found\n!"},

    /* chunks */
    {"a chunk with an extension", CHUNKED("3;a=b\r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk with a blank", CHUNKED("3 \r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk in hexadecimal of C", CHUNKED("0x3\r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk without a size", CHUNKED("\r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk below zero", CHUNKED("-1\r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk with too many digits", CHUNKED("000000003\r\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a size that ends with LF", CHUNKED("3\nabc\r\n0\r\n\r\n"), "@400!"},
    {"a chunk that is longer", CHUNKED("3\r\nabcd\r\n0\r\n\r\n"), "@400!"},
    {"a chunk that ends with LF", CHUNKED("3\r\nabc\n0\r\n\r\n"), "@400!"},
    {"a chunk beyond the limit", CHUNKED("10001\r\nabc"),
     ""}, /* nothing is known before its bytes are there: see chunks_are_limited_as_they_come */
    {"a trailer that is none", CHUNKED("0\r\n: x\r\n\r\n"), "@400!"},
    {"a trailer with a blank", CHUNKED("0\r\nX : y\r\n\r\n"), "@400!"},
    {"a trailer that ends with LF", CHUNKED("0\r\nX: y\n\r\n"), "@400!"},
    {"an end with LF", CHUNKED("0\r\n\n"), "@400!"},

    /* what is encoded, what is expected */
    {"an encoding that is not taken", POST("Content-Encoding: br\r\nContent-Length: 1", "x"),
     "@415!"},
    {"gzip that is none", POST("Content-Encoding: gzip\r\nContent-Length: 1", "x"), "@400"},
    {"an expectation of something else", FIELD("Expect: tea"), "@417!"},
    {"an expectation that is refused", POST("Expect: 100-continue\r\nContent-Length: 65537", ""),
     "@413!"},
};

/* ---- what is expected ----------------------------------------------------------------------- */

static size_t put_refusal(char *out, size_t room, unsigned status, bool closes)
{
    const char *reason = http_reason(status);

    return (size_t)snprintf(
        out, room,
        "HTTP/1.1 %u %s\n%sContent-Type: text/plain; charset=utf-8\nContent-Length: %zu\n%s\n%s\n",
        status, reason, status == 503 ? "Retry-After: 1\n" : "", strlen(reason) + 1,
        closes ? "Connection: close\n" : "", reason);
}

/* Writes the answers of a case. Returns: whether the connection is closed. */
static bool expand(const char *answers, char *out, size_t room)
{
    static const char hello[] = "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\n"
                                "Content-Length: 6\n\nhello\n";
    size_t used = 0;
    bool closes = false;

    out[0] = '\0';
    for (const char *at = answers; *at != '\0';) {
        if (*at != '@') {
            closes = at[0] == '!' && at[1] == '\0';
            out[used] = *at;
            used += closes ? 0 : 1;
            at++;
            continue;
        }
        unsigned status = (unsigned)strtoul(at + 1, NULL, 10);
        closes = at[4] == '!';
        used += status == 200 ? (size_t)snprintf(out + used, room - used, "%s", hello)
                              : put_refusal(out + used, room - used, status, closes);
        at += closes ? 5 : 4;
    }
    out[used] = '\0';
    return closes;
}

/* A request, and behind one that is refused another. */
static size_t request_of(const struct http_case *one, bool closes, char *room, size_t room_bytes)
{
    size_t bytes = one->request_bytes != 0 ? one->request_bytes : strlen(one->request);
    size_t more = closes ? strlen(HELLO) : 0;

    assert_true(bytes + more <= room_bytes);
    memcpy(room, one->request, bytes);
    memcpy(room + bytes, HELLO, more);
    return bytes + more;
}

static void check_answer(const struct http_case *one, const char *expected, bool closes,
                         const char *request, size_t bytes, size_t piece_bytes)
{
    bool is_closed = false;
    uint32_t calls = atomic_load_relaxed_u32(&http_rig_calls);
    char *answer = http_rig_ask(request, bytes, piece_bytes, &is_closed);

    if (strcmp(answer, expected) != 0 || is_closed != closes) {
        print_error("%s, in pieces of %zu: %s\n%s\n--- instead of\n%s\n", one->name, piece_bytes,
                    is_closed ? "closed" : "open", answer, expected);
    }
    assert_string_equal(answer, expected);
    assert_int_equal(is_closed, closes);
    if (closes && strncmp(expected, "HTTP/1.1 200", 12) != 0) {
        assert_int_equal(atomic_load_relaxed_u32(&http_rig_calls), calls);
    }
    free(answer);
}

static int open_rig(void **state)
{
    (void)state;
    http_rig_open(0);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    http_rig_close();
    return 0;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void every_case_is_answered_exactly(void **state)
{
    char expected[2048], request[2048];

    (void)state;
    assert_true(sizeof cases / sizeof cases[0] >= 120);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool closes = expand(cases[i].answers, expected, sizeof expected);
        size_t bytes = request_of(&cases[i], closes, request, sizeof request);

        check_answer(&cases[i], expected, closes, request, bytes, 0);
    }
}

static void every_case_is_answered_alike_byte_by_byte(void **state)
{
    char expected[2048], request[2048];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool closes = expand(cases[i].answers, expected, sizeof expected);
        size_t bytes = request_of(&cases[i], closes, request, sizeof request);

        check_answer(&cases[i], expected, closes, request, bytes, 1);
        check_answer(&cases[i], expected, closes, request, bytes, 7);
    }
}

/* In two pieces, at each byte. */
static void every_case_is_answered_alike_at_every_split(void **state)
{
    char expected[2048], request[2048];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool closes = expand(cases[i].answers, expected, sizeof expected);
        size_t bytes = request_of(&cases[i], closes, request, sizeof request);

        for (size_t at = 1; at < bytes; at++) {
            struct serve_connection *connection = http_rig_connect(NULL);
            char *first = http_rig_say(connection, request, at, 0);
            char *second = http_rig_say(connection, request + at, bytes - at, 0);
            char whole[4096];

            (void)snprintf(whole, sizeof whole, "%s%s", first, second);
            if (strcmp(whole, expected) != 0) {
                print_error("%s, split at %zu:\n%s\n", cases[i].name, at, whole);
            }
            assert_string_equal(whole, expected);
            assert_int_equal(fake_is_closed(connection), closes);
            free(first);
            free(second);
            fake_close(connection);
        }
    }
}

/* A head of so many bytes: the target or a field makes up for what lacks. */
static char *head_of(size_t bytes, bool in_target)
{
    char *text = malloc(bytes + 1);
    int used = in_target ? snprintf(text, bytes, "GET /hello?")
                         : snprintf(text, bytes, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    const char *end = in_target ? " HTTP/1.1\r\nHost: a\r\n\r\n" : "\r\n\r\n";

    memset(text + used, 'x', bytes - (size_t)used);
    memcpy(text + bytes - strlen(end), end, strlen(end) + 1);
    return text;
}

static void check_head(size_t bytes, bool in_target, const char *answers, size_t piece_bytes)
{
    char expected[512];
    char *head = head_of(bytes, in_target);
    bool is_closed = false, closes = expand(answers, expected, sizeof expected);
    char *answer = http_rig_ask(head, bytes, piece_bytes, &is_closed);

    assert_string_equal(answer, expected);
    assert_int_equal(is_closed, closes);
    free(answer);
    free(head);
}

static void heads_are_limited_to_the_byte(void **state)
{
    static const size_t pieces[] = {0, 1, 1000, HTTP_HEAD_BYTES_DEFAULT};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        check_head(HTTP_HEAD_BYTES_DEFAULT, false, "@200", pieces[i]);
        check_head(HTTP_HEAD_BYTES_DEFAULT + 1, false, "@431!", pieces[i]);
        check_head(HTTP_HEAD_BYTES_DEFAULT, true, "@200", pieces[i]);
        check_head(HTTP_HEAD_BYTES_DEFAULT + 100, true, "@414!", pieces[i]);
    }
}

static void fields_are_limited_to_one(void **state)
{
    char text[4096] = "GET /hello HTTP/1.1\r\nHost: a\r\n", expected[512];
    bool is_closed = false;

    (void)state;
    for (size_t i = 1; i < HTTP_FIELDS_MAX; i++) {
        (void)strcat(text, "X: y\r\n");
    }
    size_t bytes = strlen(text);

    (void)strcpy(text + bytes, "\r\n");
    char *answer = http_rig_ask(text, strlen(text), 0, &is_closed);
    (void)expand("@200", expected, sizeof expected);
    assert_string_equal(answer, expected);
    free(answer);

    (void)strcpy(text + bytes, "X: y\r\n\r\n");
    answer = http_rig_ask(text, strlen(text), 0, &is_closed);
    (void)expand("@431!", expected, sizeof expected);
    assert_string_equal(answer, expected);
    assert_true(is_closed);
    free(answer);
}

static void chunks_are_limited_as_they_come(void **state)
{
    char text[Q_KIB(80)], expected[512];
    static const size_t sizes[] = {Q_KIB(64), Q_KIB(64) + 1};
    bool is_closed = false;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int used = snprintf(text, sizeof text,
                            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "8000\r\n%0*d\r\n%zx\r\n%0*d\r\n0\r\n\r\n",
                            0x8000, 0, sizes[i] - 0x8000, (int)sizes[i] - 0x8000, 0);
        char *answer = http_rig_ask(text, (size_t)used, 5000, &is_closed);

        assert_int_equal(is_closed, i == 1);
        if (i == 1) {
            (void)expand("@413!", expected, sizeof expected);
            assert_string_equal(answer, expected);
        } else {
            assert_non_null(strstr(answer, "Content-Length: 65536\n"));
        }
        free(answer);
    }
}

static void trailers_are_limited(void **state)
{
    char text[Q_KIB(16)], expected[512];
    bool is_closed = false;

    (void)state;
    int used = snprintf(text, sizeof text,
                        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "0\r\nX: %0*d\r\n\r\n",
                        (int)HTTP_TRAILER_BYTES_MAX, 0);
    char *answer = http_rig_ask(text, (size_t)used, 0, &is_closed);

    (void)expand("@400!", expected, sizeof expected);
    assert_string_equal(answer, expected);
    assert_true(is_closed);
    free(answer);
}

static void a_hundred_at_once_are_answered_in_order(void **state)
{
    char text[Q_KIB(16)] = "", expected[Q_KIB(32)] = "";
    bool is_closed = true;

    (void)state;
    for (int i = 0; i < 100; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "GET %s?n=%d HTTP/1.1\r\nHost: a\r\n\r\n",
                       i % 7 == 3 ? "/slow" : "/params", i);
        used = strlen(expected);
        (void)snprintf(expected + used, sizeof expected - used, "%s",
                       i % 7 == 3 ? "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\n"
                                    "Content-Length: 6\n\nhello\n"
                                  : "");
        used = strlen(expected);
        if (i % 7 != 3) {
            (void)snprintf(expected + used, sizeof expected - used,
                           "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: %d\n\n"
                           "n=%d\n",
                           i < 10 ? 4 : 5, i);
        }
    }
    for (size_t piece_bytes = 0; piece_bytes < 200; piece_bytes += 67) {
        char *answer = http_rig_ask(text, strlen(text), piece_bytes, &is_closed);

        assert_string_equal(answer, expected);
        assert_false(is_closed);
        free(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_case_is_answered_exactly, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(every_case_is_answered_alike_byte_by_byte, open_rig,
                                        close_rig),
        cmocka_unit_test_setup_teardown(every_case_is_answered_alike_at_every_split, open_rig,
                                        close_rig),
        cmocka_unit_test_setup_teardown(heads_are_limited_to_the_byte, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(fields_are_limited_to_one, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(chunks_are_limited_as_they_come, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(trailers_are_limited, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(a_hundred_at_once_are_answered_in_order, open_rig,
                                        close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
