/*
 * Answers of the HTTP door: whole and in pieces, compressed, to slow readers; who may ask; what the
 * budget refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <serve/http/state.h>

#include "unit/serve/http_rig.h"

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

/* Asks over a connection, and compares all that is answered. */
static void expect_on(struct serve_connection *connection, const char *request, const char *answer)
{
    char *said = http_rig_say(connection, request, strlen(request), 0);

    assert_string_equal(said, answer);
    free(said);
}

/* The same of its first line. */
static void expect_first_on(struct serve_connection *connection, const char *request,
                            const char *line)
{
    char *said = http_rig_say(connection, request, strlen(request), 0);

    assert_true(strncmp(said, line, strlen(line)) == 0 && said[strlen(line)] == '\n');
    free(said);
}

static void expect_first(const char *request, const char *line)
{
    struct serve_connection *connection = http_rig_connect(NULL);

    expect_first_on(connection, request, line);
    fake_close(connection);
}

/* The bytes that were answered, as they came. */
static const char *ask_raw(struct serve_connection *connection, const char *request,
                           size_t *ret_bytes)
{
    fake_clear(connection);
    fake_send(connection, request, strlen(request));
    fake_await(connection);
    return fake_answer(connection, ret_bytes);
}

static const char *body_of(const char *answer, size_t bytes, size_t *ret_bytes)
{
    const char *end = memmem(answer, bytes, "\r\n\r\n", 4);

    assert_non_null(end);
    *ret_bytes = bytes - (size_t)(end + 4 - answer);
    return end + 4;
}

/* ---- heads ---------------------------------------------------------------------------------- */

static void every_answer_keeps_browsers_from_mischief(void **state)
{
    static const char *const lines[] = {
        "\r\nX-Content-Type-Options: nosniff\r\n",
        "\r\nX-Frame-Options: DENY\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
        "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nCross-Origin-Resource-Policy: same-origin\r\n",
        "\r\nCache-Control: no-store\r\n",
        "\r\nDate: "};
    static const char *const requests[] = {"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03"};

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct serve_connection *connection = http_rig_connect(NULL);
        size_t bytes = 0;
        const char *answer = ask_raw(connection, requests[i], &bytes);

        for (size_t j = 0; j < sizeof lines / sizeof lines[0]; j++) {
            assert_non_null(memmem(answer, bytes, lines[j], strlen(lines[j])));
        }
        fake_close(connection);
    }
}

static void dates_are_those_of_the_standard(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    size_t bytes = 0;
    const char *answer = ask_raw(connection, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", &bytes);
    const char *date = memmem(answer, bytes, "Date: ", 6);
    struct tm read = {0};

    (void)state;
    assert_non_null(date);
    const char *end = strptime(date + 6, "%a, %d %b %Y %H:%M:%S GMT", &read);
    assert_non_null(end);
    assert_true(strncmp(end, "\r\n", 2) == 0);
    assert_true(llabs((long long)timegm(&read) - (long long)time(NULL)) < 60);
    fake_close(connection);
}

/* ---- parameters ----------------------------------------------------------------------------- */

static void parameters_are_decoded_those_of_the_form_first(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);

    (void)state;
    expect_on(connection,
              "GET /params?query=up%7Ba%3D%22b%22%7D&match[]=a+b&&match[]=%2B&flag&=x&e= "
              "HTTP/1.1\r\nHost: a\r\n\r\n",
              "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 50\n\n"
              "query=up{a=\"b\"}\nmatch[]=a b\nmatch[]=+\nflag=\n=x\ne=\n");
    expect_on(connection,
              "POST /params?a=1&b=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
              "Content-Type: application/x-www-form-urlencoded; charset=x\r\n\r\na=%33&c=4",
              "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 16\n\n"
              "a=3\nc=4\na=1\nb=2\n");
    expect_first_on(connection,
                    "POST /params HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                    "Content-Type: application/x-www-form-urlencoded\r\n\r\na=%3",
                    "HTTP/1.1 400 Bad Request");
    fake_close(connection);
}

static void as_many_parameters_as_allowed_and_no_more(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    char request[2048];

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        size_t used = (size_t)snprintf(request, sizeof request, "GET /params?");
        for (uint32_t j = 0; j < HTTP_PARAMS_MAX + i; j++) {
            used += (size_t)snprintf(request + used, sizeof request - used, "&a=b");
        }
        (void)snprintf(request + used, sizeof request - used, " HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_first_on(connection, request,
                        i == 0 ? "HTTP/1.1 200 OK" : "HTTP/1.1 400 Bad Request");
    }
    fake_close(connection);
}

static void segments_stand_for_themselves(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);

    (void)state;
    expect_on(connection, "GET /item/a%20b/of/%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n",
              "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 6\n\na b \xc3\xa9");
    expect_first_on(connection, "GET /item//of/x HTTP/1.1\r\nHost: a\r\n\r\n",
                    "HTTP/1.1 404 Not Found");
    expect_first_on(connection, "GET /item/x/of/y/z HTTP/1.1\r\nHost: a\r\n\r\n",
                    "HTTP/1.1 404 Not Found");
    fake_close(connection);
}

/* ---- gzip ----------------------------------------------------------------------------------- */

static size_t gunzip(const char *bytes, size_t count, char *room, size_t room_bytes)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)count};

    assert_int_equal(inflateInit2(&stream, 31), Z_OK);
    stream.next_out = (Bytef *)room;
    stream.avail_out = (uInt)room_bytes;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    size_t made = room_bytes - stream.avail_out;
    (void)inflateEnd(&stream);
    return made;
}

static size_t gzip(const char *bytes, size_t count, char *room, size_t room_bytes)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)count};

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = (Bytef *)room;
    stream.avail_out = (uInt)room_bytes;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t made = room_bytes - stream.avail_out;
    (void)deflateEnd(&stream);
    return made;
}

/* Posts a body. Returns: the first line of the answer, without its version; static. */
static const char *post_gzip(const char *path, const char *body, size_t body_bytes,
                             size_t piece_bytes)
{
    static char line[64];
    char *request = malloc(body_bytes + 256);
    struct serve_connection *connection = http_rig_connect(NULL);
    int used = snprintf(request, 256,
                        "POST %s HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, body_bytes);

    memcpy(request + used, body, body_bytes);
    char *answer = http_rig_say(connection, request, (size_t)used + body_bytes, piece_bytes);

    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(answer + 9, "\n"), answer + 9);
    free(answer);
    free(request);
    fake_close(connection);
    return line;
}

static void bodies_are_decoded_up_to_the_limit(void **state)
{
    static char plain[Q_KIB(64) + 1], packed[Q_KIB(70)];
    static const char *const paths[] = {"/echo", "/echo-slow"};

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (char)(i * i >> 5);
    }
    for (size_t i = 0; i < 2; i++) {
        size_t bytes = gzip(plain, Q_KIB(64), packed, sizeof packed);
        assert_string_equal(post_gzip(paths[i], packed, bytes, 0), "200 OK");
        assert_string_equal(post_gzip(paths[i], packed, bytes, 999), "200 OK");
        assert_string_equal(post_gzip(paths[i], packed, bytes - 1, 0), "400 Bad Request");
        packed[bytes] = 'x';
        assert_string_equal(post_gzip(paths[i], packed, bytes + 1, 0), "400 Bad Request");
        packed[bytes - 6] ^= 1;
        assert_string_equal(post_gzip(paths[i], packed, bytes, 0), "400 Bad Request");
        bytes = gzip(plain, Q_KIB(64) + 1, packed, sizeof packed);
        assert_string_equal(post_gzip(paths[i], packed, bytes, 0), "413 Content Too Large");
    }
}

static void bombs_do_not_go_off(void **state)
{
    char *zeros = calloc(1, Q_MIB(32)), packed[Q_KIB(48)];

    (void)state;
    assert_non_null(zeros);
    size_t bytes = gzip(zeros, Q_MIB(32), packed, sizeof packed);

    assert_string_equal(post_gzip("/echo", packed, bytes, 0), "413 Content Too Large");
    free(zeros);
}

static void a_route_may_have_its_own_encoding(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);

    (void)state;
    expect_on(connection,
              "POST /raw HTTP/1.1\r\nHost: a\r\nContent-Encoding: snappy\r\nContent-Length: 3\r\n"
              "\r\nabc",
              "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 9\n\nsnappy 3\n");
    fake_close(connection);
}

static void answers_are_compressed_for_those_who_ask(void **state)
{
    static const struct {
        const char *accept;
        bool is_packed;
    } cases[] = {{"gzip", true},
                 {"br, GZIP;q=0.5", true},
                 {"gzip;q=0", false},
                 {"gzip; q=0.000", false},
                 {"*", true},
                 {"*;q=0", false},
                 {"identity", false},
                 {"", false},
                 {"gzip;q=0, *", false},
                 {"deflate, x-gzip", true}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct serve_connection *connection = http_rig_connect(NULL);
        char request[256], plain[Q_KIB(8)];
        size_t bytes = 0, body_bytes = 0;

        (void)snprintf(request, sizeof request,
                       "GET /pieces?n=3&size=2000 HTTP/1.0\r\nAccept-Encoding: %s\r\n\r\n",
                       cases[i].accept);
        const char *answer = ask_raw(connection, request, &bytes);
        const char *body = body_of(answer, bytes, &body_bytes);
        bool is_packed = memmem(answer, bytes, "Content-Encoding: gzip\r\n", 24) != NULL;

        assert_int_equal(is_packed, cases[i].is_packed);
        assert_int_equal(is_packed ? gunzip(body, body_bytes, plain, sizeof plain) : body_bytes,
                         6000);
        fake_close(connection);
    }
}

static void short_answers_are_not_compressed(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);

    (void)state;
    expect_on(connection, "GET /hello HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
              "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 6\n\n"
              "hello\n");
    fake_close(connection);
}

/* ---- long answers --------------------------------------------------------------------------- */

static void check_pattern(const char *body, size_t bytes, size_t piece_bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(body[i], 'a' + (int)(i % piece_bytes % 26));
    }
}

static void large_answers_are_lent_a_stretch_at_a_time(void **state)
{
    static const size_t taken[] = {0, 1000, Q_KIB(100)};
    static const size_t sizes[] = {0, 1, Q_KIB(16), Q_KIB(16) + 1, Q_KIB(256), Q_MIB(2) + 7};

    (void)state;
    for (size_t i = 0; i < 18; i++) {
        const struct http_rig_options options = {.taken_a_turn = taken[i % 3]};
        struct serve_connection *connection = http_rig_connect(&options);
        char request[128];
        size_t bytes = 0, body_bytes = 0, size = sizes[i / 3];

        (void)snprintf(request, sizeof request, "GET /big?n=%zu HTTP/1.1\r\nHost: a\r\n\r\n", size);
        const char *answer = ask_raw(connection, request, &bytes);
        const char *body = body_of(answer, bytes, &body_bytes);

        assert_int_equal(body_bytes, size);
        check_pattern(body, body_bytes, SIZE_MAX);
        struct fake_counts counts = fake_counts(connection);
        assert_true(counts.waiting_max <= Q_KIB(256) + 4096);
        assert_int_equal(counts.borrowed_bytes, size > Q_KIB(16) ? size : 0);
        expect_first_on(connection, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
        fake_close(connection);
    }
}

/* Decodes chunks. Returns: how many bytes of them are whole; *ret_ended: the last one was there. */
static size_t unchunk(const char *at, size_t bytes, char *room, bool *ret_ended)
{
    const char *end = at + bytes;
    size_t made = 0;

    *ret_ended = false;
    while (at < end) {
        char *line_end;
        size_t size = strtoul(at, &line_end, 16);

        assert_true(strncmp(line_end, "\r\n", 2) == 0);
        at = line_end + 2;
        if (size == 0) {
            *ret_ended = strncmp(at, "\r\n", 2) == 0 && at + 2 == end;
            return made;
        }
        memcpy(room + made, at, size);
        made += size;
        at += size;
        assert_true(strncmp(at, "\r\n", 2) == 0);
        at += 2;
    }
    return made;
}

static void answers_in_pieces_wait_for_their_reader(void **state)
{
    static const char *const paths[] = {"/pieces", "/pieces-slow"};
    static const size_t taken[] = {0, 777}, sizes[] = {0, 10, 5000, 20000, 300000};
    char *plain = malloc(Q_MIB(4));

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        const struct http_rig_options options = {.taken_a_turn = taken[i % 2]};
        struct serve_connection *connection = http_rig_connect(&options);
        char request[128];
        size_t bytes = 0, body_bytes = 0, size = sizes[i / 4];
        bool has_ended = false;

        (void)snprintf(request, sizeof request, "GET %s?n=7&size=%zu HTTP/1.1\r\nHost: a\r\n\r\n",
                       paths[i / 2 % 2], size);
        const char *answer = ask_raw(connection, request, &bytes);
        const char *body = body_of(answer, bytes, &body_bytes);

        assert_non_null(memmem(answer, bytes, "\r\nTransfer-Encoding: chunked\r\n", 30));
        assert_int_equal(unchunk(body, body_bytes, plain, &has_ended), 7 * size);
        assert_true(has_ended);
        check_pattern(plain, 7 * size, size == 0 ? 1 : size);
        assert_true(fake_counts(connection).waiting_max <= Q_KIB(256) + 4096);
        expect_first_on(connection, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
        fake_close(connection);
    }
    free(plain);
}

static void pieces_are_compressed_as_one_stream(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    char packed[Q_KIB(64)], plain[Q_KIB(64)];
    size_t bytes = 0, body_bytes = 0;
    bool has_ended = false;
    const char *answer = ask_raw(connection,
                                 "GET /pieces-slow?n=5&size=9000 HTTP/1.1\r\nHost: a\r\n"
                                 "Accept-Encoding: gzip\r\n\r\n",
                                 &bytes);
    const char *body = body_of(answer, bytes, &body_bytes);
    size_t packed_bytes = unchunk(body, body_bytes, packed, &has_ended);

    (void)state;
    assert_true(has_ended);
    assert_int_equal(gunzip(packed, packed_bytes, plain, sizeof plain), 45000);
    check_pattern(plain, 45000, 9000);
    fake_close(connection);
}

static void pieces_for_version_1_0_end_with_the_stream(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    size_t bytes = 0, body_bytes = 0;
    const char *answer = ask_raw(
        connection, "GET /pieces?n=3&size=100 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &bytes);

    (void)state;
    (void)body_of(answer, bytes, &body_bytes);
    assert_int_equal(body_bytes, 300);
    assert_null(memmem(answer, bytes, "Transfer-Encoding", 17));
    assert_null(memmem(answer, bytes, "Content-Length", 14));
    assert_non_null(memmem(answer, bytes, "\r\nConnection: close\r\n", 21));
    assert_true(fake_is_closed(connection));
    fake_close(connection);
}

static void an_answer_that_fails_has_no_end(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    size_t bytes = 0, body_bytes = 0;
    char plain[64];
    bool has_ended = true;
    const char *answer = ask_raw(connection, "GET /break HTTP/1.1\r\nHost: a\r\n\r\n", &bytes);
    const char *body = body_of(answer, bytes, &body_bytes);

    (void)state;
    assert_int_equal(unchunk(body, body_bytes, plain, &has_ended), 10);
    assert_false(has_ended);
    assert_true(fake_is_closed(connection));
    fake_close(connection);
    expect_first("GET /fail HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 500 Internal Server Error");
}

static void the_header_alone_makes_no_pieces(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    uint32_t ends = atomic_load_relaxed_u32(&http_rig_ends);

    (void)state;
    expect_on(connection, "HEAD /pieces-slow?n=3&size=100 HTTP/1.1\r\nHost: a\r\n\r\n",
              "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n");
    assert_int_equal(atomic_load_relaxed_u32(&http_rig_ends), ends + 1);
    fake_close(connection);
}

/* ---- connections that go -------------------------------------------------------------------- */

static void a_client_that_goes_leaves_nothing_behind(void **state)
{
    static const char *const requests[] = {
        "GET /hel",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pieces?n=1000000&size=10000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pieces-slow?n=1000000&size=10000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /big?n=3000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    const struct http_rig_options options = {.taken_a_turn = 100};

    (void)state; /* the rig's end asserts it */
    for (size_t round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
            struct serve_connection *connection = http_rig_connect(&options);

            fake_send(connection, requests[i], strlen(requests[i]));
            fake_close(connection);
        }
    }
}

/* ---- who asks ------------------------------------------------------------------------------- */

#define WHO "GET /who HTTP/1.1\r\nHost: a\r\n"
#define ANN "YW5uOnNlY3JldA==" /* ann:secret */

static const struct http_rig_options with_login = {.needs_login = true};

static void passwords_are_asked_for_where_rights_are(void **state)
{
    struct serve_connection *connection = http_rig_connect(&with_login);

    (void)state;
    expect_first_on(connection, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    expect_on(connection, WHO "\r\n",
              "HTTP/1.1 401 Unauthorized\nContent-Type: text/plain; charset=utf-8\n"
              "Content-Length: 13\nWWW-Authenticate: Basic realm=\"quarry\", charset=\"UTF-8\"\n\n"
              "Unauthorized\n");
    expect_on(connection, WHO "Authorization: Basic " ANN "\r\n\r\n",
              "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 3\n\nann");
    expect_first_on(connection, WHO "authorization: BEARER  " ANN "\r\n\r\n", "HTTP/1.1 200 OK");
    /* Each request speaks for itself. */
    expect_first_on(connection, WHO "\r\n", "HTTP/1.1 401 Unauthorized");
    assert_false(fake_is_closed(connection));
    fake_close(connection);
}

static void three_wrong_passwords_close_the_connection(void **state)
{
    static const char *const wrong[] = {
        "Basic YW5uOndyb25n",     "Basic",          "Basic YW5u", "Digest " ANN,
        "Basic YW5uOnNlY3JldA", /* right, but for its end */
        "Basic YW5uOnNlY3J=dA==", "Basic " ANN "x", "Bearer ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct serve_connection *connection = http_rig_connect(&with_login);
        char request[256];
        bool is_right = i == 4;

        (void)snprintf(request, sizeof request, WHO "Authorization: %s\r\n\r\n", wrong[i]);
        for (int j = 0; j < 3; j++) {
            assert_false(fake_is_closed(connection));
            expect_first_on(connection, request,
                            is_right ? "HTTP/1.1 200 OK" : "HTTP/1.1 401 Unauthorized");
        }
        assert_int_equal(fake_is_closed(connection), !is_right);
        fake_close(connection);
    }
}

static void a_login_may_take_its_time(void **state)
{
    struct serve_connection *connection = http_rig_connect(&with_login);
    static const char request[] = WHO "Authorization: Basic " ANN "\r\n\r\n" WHO "\r\n";
    size_t bytes = 0;

    (void)state;
    http_rig_verifies_later = true;
    fake_send(connection, request, sizeof request - 1);
    assert_true(fake_waits(connection));
    (void)fake_answer(connection, &bytes);
    assert_int_equal(bytes, 0);
    http_rig_answer_login(connection);
    const char *answer = fake_answer(connection, &bytes);
    assert_non_null(memmem(answer, bytes, "\r\n\r\nannHTTP/1.1 401 Unauthorized\r\n", 32));
    fake_send(connection, request, 20);
    fake_close(connection);

    connection = http_rig_connect(&with_login); /* that goes while it is verified */
    fake_send(connection, request, sizeof request - 1);
    assert_true(fake_waits(connection));
    fake_close(connection);
}

static void rights_and_rates_are_kept(void **state)
{
    struct serve_connection *connection = http_rig_connect(&with_login);

    (void)state;
    expect_first_on(connection,
                    "POST /change HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " ANN
                    "\r\n\r\n",
                    "HTTP/1.1 403 Forbidden");
    http_rig_admitted_max = 1;
    expect_first_on(connection, WHO "Authorization: Basic " ANN "\r\n\r\n", "HTTP/1.1 200 OK");
    expect_on(connection, WHO "Authorization: Basic " ANN "\r\n\r\n",
              "HTTP/1.1 429 Too Many Requests\nRetry-After: 1\n"
              "Content-Type: text/plain; charset=utf-8\nContent-Length: 18\n\nToo Many Requests\n");
    expect_first_on(connection, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    fake_close(connection);
}

static void changes_are_for_hosts_that_are_ours(void **state)
{
    static const struct {
        const char *lines;
        bool is_ours;
    } cases[] = {
        {"Host: localhost", true},
        {"Host: LOCALHOST:9090", true},
        {"Host: 127.0.0.1:9090", true},
        {"Host: 10.1.2.3", true},
        {"Host: [::1]:9090", true},
        {"Host: quarry.example", true},
        {"Host: Other.Example:80", true},
        {"Host: evil.example", false},
        {"Host: quarry.example.evil", false},
        {"Host: 127.0.0.1.evil.example", false},
        {"Host: 127.1", false},
        {"Host:", false},
        {"Host: localhost.", false},
        {"Host: localhost:9090\r\nOrigin: http://localhost:9090", true},
        {"Host: localhost:9090\r\nOrigin: http://evil.example", false},
        {"Host: localhost:9090\r\nOrigin: http://localhost:80", false},
        {"Host: localhost:9090\r\nOrigin: null", false},
        {"Host: localhost:9090\r\nOrigin: http://localhost:9090/x", false},
        {"Host: evil.example\r\nAuthorization: Basic " ANN, true},
        {"Host: evil.example\r\nOrigin: http://a.example\r\nAuthorization: Basic " ANN, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[512];

        (void)snprintf(request, sizeof request, "POST /change HTTP/1.1\r\n%s\r\n\r\n",
                       cases[i].lines);
        expect_first(request, cases[i].is_ours ? "HTTP/1.1 200 OK" : "HTTP/1.1 403 Forbidden");
    }
    expect_first("POST http://evil.example/change HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 "HTTP/1.1 403 Forbidden");
}

/* ---- figures and budgets -------------------------------------------------------------------- */

static void answers_are_counted_and_logged(void **state)
{
    struct http_route_counts rows[HTTP_ROUTES_MAX + 1];
    size_t count;

    (void)state;
    expect_first("GET /hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    assert_string_equal(http_rig_logged, " GET /hello 200 6");
    expect_first("GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found");
    assert_string_equal(http_rig_logged, " GET /nobody 404 19");
    expect_first("GET / HTTP/1.1\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request");
    assert_string_equal(http_rig_logged, " - - 400 0");
    http_log_access(false);
    expect_first("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    assert_string_equal(http_rig_logged, " - - 400 0");
    count = http_read_counts(rows, sizeof rows / sizeof rows[0]);
    assert_string_equal(rows[0].path, "/hello");
    assert_int_equal(rows[0].answers[1], 2);
    assert_true(rows[0].duration_ns > 0);
    assert_null(rows[count - 1].path);
    assert_int_equal(rows[count - 1].answers[3], 2);
}

/* Every number of pages that there may be: what does not fit is refused, and nothing is lost. */
static void without_memory_requests_are_refused(void **state)
{
    static const char *const requests[] = {
        "GET /params?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pieces?n=2&size=30000 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    uint32_t refused = 0, answered = 0;

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        for (uint64_t left = 0; left <= 12; left++) {
            struct quarry_account_state account;
            bool is_closed = false;

            http_rig_open(0);
            quarry_account_read(http_the_door.pages.account, &account);
            uint64_t ceiling = account.charged_bytes + left * QUARRY_PAGE_BYTES;
            assert_int_equal(quarry_account_set_bounds(http_the_door.pages.account, 0, ceiling),
                             QUARRY_OK);
            char *answer = http_rig_ask(requests[i], strlen(requests[i]), 0, &is_closed);
            bool is_refused = strncmp(answer, "HTTP/1.1 503 ", 13) == 0;

            /* A piece that there is no room for ends an answer before its end, or is 500. */
            refused += is_refused || strncmp(answer, "HTTP/1.1 500 ", 13) == 0 ? 1 : 0;
            answered += strncmp(answer, "HTTP/1.1 200 ", 13) == 0 ? 1 : 0;
            if (left == 0) {
                assert_true(is_refused);
            }
            if (left == 12) {
                assert_true(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
            }
            free(answer);
            http_rig_close();
        }
    }
    assert_true(refused >= 10 && answered >= 40);
    assert_int_equal(refused + answered, 5 * 13);
}

static void settings_that_are_none_are_refused(void **state)
{
    struct http_door_settings settings = {.memory = http_rig_memory, .worker_count = 1};
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(http_open(&settings, &error), QUARRY_EXISTS);
    http_close();
    settings.worker_count = 0;
    assert_int_equal(http_open(&settings, &error), QUARRY_BAD_INPUT);
    settings.worker_count = 1;
    settings.thread_count = HTTP_THREADS_MAX + 1;
    assert_int_equal(http_open(&settings, &error), QUARRY_BAD_INPUT);
    settings.thread_count = 0;
    settings.head_bytes_max = HTTP_HEAD_BYTES_MAX + 1;
    assert_int_equal(http_open(&settings, &error), QUARRY_BAD_INPUT);
}

/* Fails at each of what it takes from the budget. */
static void opening_fails_as_a_whole(void **state)
{
    uint32_t failed = 0;

    (void)state;
    for (uint64_t limit = Q_KIB(128);; limit += Q_KIB(16)) {
        const struct quarry_memory_options options = {.limit_bytes = limit, .has_no_thread = true};
        struct quarry_memory *memory;
        struct quarry_account_state root;

        if (quarry_memory_create(&options, &memory, NULL) != QUARRY_OK) {
            continue;
        }
        const struct http_door_settings settings = {
            .memory = memory, .worker_count = 3, .thread_count = 2};
        enum quarry_status status = http_open(&settings, NULL);

        if (status == QUARRY_OK) {
            http_close();
        }
        if (quarry_memory_accounts(memory, &root, 1) != 0) {
            assert_int_equal(root.charged_bytes, 0);
        }
        quarry_memory_destroy(memory);
        if (status == QUARRY_OK) {
            break;
        }
        assert_true(status == QUARRY_NO_MEMORY || status == QUARRY_NO_ADDRESS);
        failed++;
    }
    assert_true(failed > 3);
}

static void pieces_come_after_their_pauses(void **state)
{
    struct serve_connection *connection = http_rig_connect(NULL);
    size_t bytes = 0, body_bytes = 0;
    const char *answer =
        ask_raw(connection, "GET /pieces-slow?n=4&size=3&pause_ms=2 HTTP/1.0\r\n\r\n", &bytes);
    const char *body = body_of(answer, bytes, &body_bytes);

    (void)state;
    assert_int_equal(body_bytes, 12);
    assert_memory_equal(body, "abcabcabcabc", 12);
    fake_close(connection);
}

/* Beside one that is not due for an hour others are answered; and the door closes at once. */
static void a_pause_keeps_no_thread_and_no_end(void **state)
{
    static const char slow[] =
        "GET /pieces-slow?n=2&size=3&pause_ms=3600000 HTTP/1.1\r\nHost: a\r\n\r\n";
    struct serve_connection *paused[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t bytes = 0;

        paused[i] = http_rig_connect(NULL);
        fake_send(paused[i], slow, sizeof slow - 1);
        for (;;) {
            fake_settle(paused[i]);
            const char *answer = fake_answer(paused[i], &bytes);
            if (bytes > 5 && memmem(answer, bytes, "abc\r\n", 5) != NULL) {
                break;
            }
            (void)sched_yield();
        }
    }
    expect_first("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    for (size_t i = 0; i < 3; i++) {
        fake_close(paused[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_answer_keeps_browsers_from_mischief),
        TEST(dates_are_those_of_the_standard),
        TEST(pieces_come_after_their_pauses),
        TEST(a_pause_keeps_no_thread_and_no_end),
        TEST(parameters_are_decoded_those_of_the_form_first),
        TEST(as_many_parameters_as_allowed_and_no_more),
        TEST(segments_stand_for_themselves),
        TEST(bodies_are_decoded_up_to_the_limit),
        TEST(bombs_do_not_go_off),
        TEST(a_route_may_have_its_own_encoding),
        TEST(answers_are_compressed_for_those_who_ask),
        TEST(short_answers_are_not_compressed),
        TEST(large_answers_are_lent_a_stretch_at_a_time),
        TEST(answers_in_pieces_wait_for_their_reader),
        TEST(pieces_are_compressed_as_one_stream),
        TEST(pieces_for_version_1_0_end_with_the_stream),
        TEST(an_answer_that_fails_has_no_end),
        TEST(the_header_alone_makes_no_pieces),
        TEST(a_client_that_goes_leaves_nothing_behind),
        TEST(passwords_are_asked_for_where_rights_are),
        TEST(three_wrong_passwords_close_the_connection),
        TEST(a_login_may_take_its_time),
        TEST(rights_and_rates_are_kept),
        TEST(changes_are_for_hosts_that_are_ours),
        TEST(answers_are_counted_and_logged),
        cmocka_unit_test(without_memory_requests_are_refused),
        TEST(settings_that_are_none_are_refused),
        cmocka_unit_test(opening_fails_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
