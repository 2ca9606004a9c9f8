#include "unit/base/cmocka_all.h"

#include "unit/serve/resp_door_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TALK(connection, text) resp_talk(connection, text, sizeof(text) - 1, 0)

static struct resp_door_rig rig;

static int begin(void **state)
{
    (void)state;
    resp_door_rig_open(&rig, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    resp_door_rig_close(&rig);
    return 0;
}

/* Talks on a connection of its own, and wants these answers. */
static void says_in(const char *sent, size_t piece_bytes, const char *answered)
{
    struct serve_connection *connection = resp_connect(false, 0);

    assert_string_equal(resp_talk(connection, sent, strlen(sent), piece_bytes), answered);
    fake_close(connection);
}

static void says(const char *sent, const char *answered)
{
    says_in(sent, 0, answered);
}

static void answers_do_not_depend_on_where_bytes_are_split(void **state)
{
    static const char sent[] =
        "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\nPING \"a b\"\r\n\r\n*0\r\n"
        "*3\r\n$3\r\nsEt\r\n$1\r\nk\r\n$5\r\nvalue\r\nGET k\r\nFOO a 'b c'\r\nGET\r\n"
        "MULTI\r\nGET k\r\nEXEC\r\n*1\r\n!x\r\n";
    static const char answered[] =
        "+PONG\r\n$2\r\n\r\n\r\n$3\r\na b\r\n+OK\r\n$5\r\nvalue\r\n"
        "-ERR unknown command 'FOO', with args beginning with: 'a' 'b c' \r\n"
        "-ERR wrong number of arguments for 'get' command\r\n"
        "+OK\r\n+QUEUED\r\n*1\r\n$5\r\nvalue\r\n"
        "-ERR Protocol error: expected '$', got '!'\r\n";

    (void)state;
    for (size_t step = 0; step < sizeof sent; step++) {
        says_in(sent, step, answered);
    }
}

static void a_wrong_request_closes(void **state)
{
    struct serve_connection *connection = resp_connect(false, 0);

    (void)state;
    assert_string_equal(TALK(connection, "*1\r\n$x\r\n"),
                        "-ERR Protocol error: invalid bulk length\r\n");
    assert_true(fake_is_closed(connection));
    fake_close(connection);
}

static void who_comes_by_a_browser_is_told_nothing(void **state)
{
    struct serve_connection *connection = resp_connect(false, 0);
    static const char sent[] = "POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n";

    (void)state;
    assert_string_equal(resp_talk(connection, sent, sizeof sent - 1, 0), "");
    assert_true(fake_is_closed(connection));
    fake_close(connection);
}

static void a_stranger_may_log_in_and_no_more(void **state)
{
    struct serve_connection *connection = resp_connect(true, 0);
    static const char sent[] = "GET k\r\nPING\r\nMULTI\r\nHELLO 3\r\nAUTH a b\r\n*11\r\n";

    (void)state;
    const char *answered = resp_talk(connection, sent, sizeof sent - 1, 0);
    assert_memory_equal(answered,
                        "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n"
                        "-NOAUTH Authentication required.\r\n-NOAUTH HELLO must be called",
                        122);
    assert_non_null(strstr(answered, "-WRONGPASS invalid username-password pair"));
    assert_non_null(strstr(answered, "-ERR Protocol error: unauthenticated multibulk length\r\n"));
    assert_true(fake_is_closed(connection));
    fake_close(connection);
}

static void rights_are_asked_for(void **state)
{
    struct serve_connection *connection = resp_connect(false, 0);
    static const char sent[] = "SET k v\r\nGET k\r\nFLUSHALL\r\nMULTI\r\nSET k v\r\nEXEC\r\n";

    (void)state;
    serve_connection_identity(connection)->rights = SERVE_READ;
    assert_string_equal(
        resp_talk(connection, sent, sizeof sent - 1, 0),
        "-NOPERM this user has no permissions to run the 'set' command\r\n$-1\r\n"
        "-NOPERM this user has no permissions to run the 'flushall' command\r\n+OK\r\n"
        "-NOPERM this user has no permissions to run the 'set' command\r\n"
        "-EXECABORT Transaction discarded because of previous errors.\r\n");
    fake_close(connection);
}

/* A request of SET with a value of so many bytes; own. */
static char *make_set(size_t value_bytes, size_t *ret_bytes)
{
    char *request = malloc(value_bytes + 64);
    int head = sprintf(request, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", value_bytes);

    for (size_t i = 0; i < value_bytes; i++) {
        request[(size_t)head + i] = (char)('a' + i % 23);
    }
    memcpy(request + head + value_bytes, "\r\n", 2);
    *ret_bytes = (size_t)head + value_bytes + 2;
    return request;
}

static void check_big(struct serve_connection *connection, size_t value_bytes)
{
    size_t answer_bytes = 0;
    char head[32];
    int head_bytes = snprintf(head, sizeof head, "+OK\r\n$%zu\r\n", value_bytes);

    const char *answer = fake_answer(connection, &answer_bytes);
    assert_int_equal(answer_bytes, (size_t)head_bytes + value_bytes + 2);
    assert_memory_equal(answer, head, (size_t)head_bytes);
    for (size_t i = 0; i < value_bytes; i++) {
        assert_int_equal(answer[(size_t)head_bytes + i], (char)('a' + i % 23));
    }
}

static void long_values_come_in_pieces_and_go_out_lent(void **state)
{
    static const size_t sizes[] = {2047, 4096, 16383, 16384, 70000, 1 << 20};
    static const size_t steps[] = {1000, 4096, 65536, 0};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
            struct serve_connection *connection = resp_connect(false, 10000);
            size_t byte_count;
            char *request = make_set(sizes[i], &byte_count);
            (void)resp_talk(connection, request, byte_count, steps[step]);
            assert_false(fake_expects(connection));
            (void)TALK(connection, "GET big\r\n");
            check_big(connection, sizes[i]);
            struct fake_counts counts = fake_counts(connection);
            if (sizes[i] >= 4096) {
                assert_int_equal(counts.borrowed_bytes, sizes[i]);
            }
            if (sizes[i] >= 70000 && steps[step] == 1000) {
                assert_true(counts.wanted_bytes > sizes[i] / 2);
            }
            fake_close(connection);
            free(request);
        }
    }
}

static void a_client_may_go_in_the_middle_of_anything(void **state)
{
    size_t byte_count;
    char *request = make_set(100000, &byte_count);

    (void)state;
    for (size_t cut = 1; cut < byte_count; cut += 7919) {
        struct serve_connection *connection = resp_connect(false, 100);
        fake_send(connection, "MULTI\r\nGET a\r\nWATCH b\r\n",
                  sizeof("MULTI\r\nGET a\r\nWATCH b\r\n") - 1);
        fake_send(connection, request, cut);
        fake_close(connection);
    }
    struct serve_connection *connection = resp_connect(false, 100);
    fake_send(connection, request, byte_count);
    fake_send(connection, "GET big\r\nGET big\r\nKEYS *\r\n",
              sizeof("GET big\r\nGET big\r\nKEYS *\r\n") - 1);
    fake_close(connection); /* with values held, and perhaps a job under way */
    free(request);
}

static void requests_of_many_words_are_gathered(void **state)
{
    enum { WORDS = 5001 };
    char *sent = malloc(WORDS * 16 + 32);
    int at = sprintf(sent, "*%d\r\n$4\r\nMSET\r\n", WORDS);

    (void)state;
    for (int i = 0; i < (WORDS - 1) / 2; i++) {
        at += sprintf(sent + at, "$5\r\nk%04d\r\n$1\r\nv\r\n", i);
    }
    says_in(sent, 0, "+OK\r\n");
    says_in(sent, 777, "+OK\r\n");
    says("EXISTS k0000 k2499 k2500\r\nDBSIZE\r\n", ":2\r\n:2500\r\n");
    free(sent);
}

static void what_is_too_long_is_answered_and_the_next_one_too(void **state)
{
    const struct resp_door_settings settings = {.request_bytes_max = 50000};
    size_t byte_count;
    char *request = make_set(60000, &byte_count);

    (void)state;
    resp_door_rig_close(&rig);
    resp_door_rig_open(&rig, &settings);
    struct serve_connection *connection = resp_connect(false, 0);
    (void)resp_talk(connection, request, byte_count, 5000);
    assert_string_equal(TALK(connection, "PING\r\n"),
                        "-OOM command not allowed when used memory > 'maxmemory'.\r\n+PONG\r\n");
    fake_close(connection);
    free(request);
}

static void transactions_are_as_in_redis(void **state)
{
    (void)state;
    says("EXEC\r\nDISCARD\r\nMULTI\r\nMULTI\r\nWATCH a\r\nPING\r\nEXEC\r\n",
         "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n+OK\r\n"
         "-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n"
         "+QUEUED\r\n*1\r\n+PONG\r\n");
    says("MULTI\r\nSET a\r\nSET a 1\r\nEXEC\r\nGET a\r\n",
         "+OK\r\n-ERR wrong number of arguments for 'set' command\r\n+QUEUED\r\n"
         "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
    says("MULTI\r\nSET a x\r\nINCR a\r\nGET a\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n"
         "-ERR value is not an integer or out of range\r\n$1\r\nx\r\n");
    says("MULTI\r\nSELECT 2\r\nSET b 1\r\nEXEC\r\nGET b\r\nSELECT 0\r\nGET b\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n$-1\r\n");
    says("MULTI\r\nEXEC a\r\nEXEC\r\n",
         "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
         "command\r\n-ERR EXEC without MULTI\r\n");
    says("MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");
}

static void a_watched_key_that_changes_stops_exec(void **state)
{
    struct serve_connection *watcher = resp_connect(false, 0), *other = resp_connect(false, 0);

    (void)state;
    (void)TALK(watcher, "WATCH a\r\nMULTI\r\nSET a mine\r\n");
    (void)TALK(other, "SET a other\r\n");
    fake_clear(watcher);
    assert_string_equal(TALK(watcher, "EXEC\r\nGET a\r\n"), "*-1\r\n$5\r\nother\r\n");
    fake_clear(watcher);
    assert_string_equal(TALK(watcher, "WATCH a\r\nUNWATCH\r\n"), "+OK\r\n+OK\r\n");
    (void)TALK(other, "SET a again\r\n");
    fake_clear(watcher);
    assert_string_equal(TALK(watcher, "MULTI\r\nGET a\r\nEXEC\r\n"),
                        "+OK\r\n+QUEUED\r\n*1\r\n$5\r\nagain\r\n");
    fake_close(other);
    fake_close(watcher);
}

static void a_queue_is_bounded(void **state)
{
    const struct resp_door_settings settings = {.queue_bytes_max = 1000};
    struct serve_connection *connection;

    (void)state;
    resp_door_rig_close(&rig);
    resp_door_rig_open(&rig, &settings);
    connection = resp_connect(false, 0);
    (void)TALK(connection, "MULTI\r\n");
    for (int i = 0; i < 20; i++) {
        (void)TALK(connection, "SET a 1\r\n");
    }
    fake_clear(connection);
    assert_string_equal(
        TALK(connection, "EXEC\r\nPING\r\n"),
        "-EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n");
    fake_close(connection);
}

static void slow_commands_keep_their_place(void **state)
{
    (void)state;
    says("SET a 1\r\nDBSIZE\r\nGET a\r\nKEYS *\r\nPING\r\nMULTI\r\nDBSIZE\r\nSET b 2\r\nEXEC\r\n"
         "DBSIZE\r\nECHO end\r\n",
         "+OK\r\n:1\r\n$1\r\n1\r\n*1\r\n$1\r\na\r\n+PONG\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:"
         "1\r\n"
         "+OK\r\n:2\r\n$3\r\nend\r\n");
}

static void long_answers_from_memory_go_out_as_they_are_taken(void **state)
{
    size_t byte_count, answer_bytes = 0;
    char *request = make_set(300000, &byte_count);
    struct serve_connection *connection = resp_connect(false, 50000);

    (void)state;
    (void)resp_talk(connection, request, byte_count, 0);
    fake_clear(connection);
    (void)TALK(connection, "MULTI\r\nGET big\r\nGET big\r\nGET big\r\nGET big\r\nEXEC\r\nPING\r\n");
    const char *answer = fake_answer(connection, &answer_bytes);
    assert_int_equal(answer_bytes, 5 + 4 * 9 + 4 + 4 * (9 + 300000 + 2) + 7);
    assert_memory_equal(answer + answer_bytes - 9, "\r\n+PONG\r\n", 9);
    assert_true(fake_counts(connection).waiting_max <= Q_MIB(1) + Q_KIB(256));
    fake_close(connection);
    free(request);
}

static void who_wants_no_answers_gets_none(void **state)
{
    (void)state;
    says("CLIENT REPLY OFF\r\nPING\r\nDBSIZE\r\nFOO\r\nCLIENT REPLY ON\r\nPING\r\n"
         "CLIENT REPLY SKIP\r\nPING\r\nECHO 1\r\n",
         "+OK\r\n+PONG\r\n$1\r\n1\r\n");
}

/* The error that ends it is not said either, and what it was written to is given back. */
static void who_wants_no_answers_and_says_nonsense_leaves_nothing(void **state)
{
    static const char *const modes[] = {"CLIENT REPLY SKIP\r\n*x\r\n", "CLIENT REPLY OFF\r\n*x\r\n",
                                        "CLIENT REPLY SKIP\r\n*1\r\n$-5\r\n"};
    uint64_t idle_bytes = resp_door_rig_bytes(&rig);

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct serve_connection *connection = resp_connect(false, 0);
        assert_string_equal(resp_talk(connection, modes[i], strlen(modes[i]), 0), "");
        assert_true(fake_is_closed(connection));
        fake_close(connection);
        assert_int_equal(resp_door_rig_bytes(&rig), idle_bytes);
    }
}

static void quitting_answers_what_was_before(void **state)
{
    struct serve_connection *connection = resp_connect(false, 0);

    (void)state;
    assert_string_equal(TALK(connection, "PING\r\nMULTI\r\nQUIT\r\nPING\r\n"),
                        "+PONG\r\n+OK\r\n+OK\r\n");
    assert_true(fake_is_closed(connection));
    fake_close(connection);
}

static void groups_that_are_missing_are_named(void **state)
{
    (void)state;
    says("HSET a b c\r\nSUBSCRIBE x\r\n",
         "-ERR unknown command 'HSET', with args beginning with: 'a' 'b' 'c' (no hashes here: see "
         "docs/resp.md)\r\n"
         "-ERR unknown command 'SUBSCRIBE', with args beginning with: 'x' (no pub/sub here: see "
         "docs/resp.md)\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_do_not_depend_on_where_bytes_are_split),
        TEST(a_wrong_request_closes),
        TEST(who_comes_by_a_browser_is_told_nothing),
        TEST(a_stranger_may_log_in_and_no_more),
        TEST(rights_are_asked_for),
        TEST(long_values_come_in_pieces_and_go_out_lent),
        TEST(a_client_may_go_in_the_middle_of_anything),
        TEST(requests_of_many_words_are_gathered),
        TEST(what_is_too_long_is_answered_and_the_next_one_too),
        TEST(transactions_are_as_in_redis),
        TEST(a_watched_key_that_changes_stops_exec),
        TEST(a_queue_is_bounded),
        TEST(slow_commands_keep_their_place),
        TEST(long_answers_from_memory_go_out_as_they_are_taken),
        TEST(who_wants_no_answers_gets_none),
        TEST(who_wants_no_answers_and_says_nonsense_leaves_nothing),
        TEST(quitting_answers_what_was_before),
        TEST(groups_that_are_missing_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
