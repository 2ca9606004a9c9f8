/*
 * Logins, and what a connection may do: rights and limits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "unit/serve/memcached_rig.h"

#include <string.h>

/* Who can log in here: joe, whose password is secret; slow, who has to be verified. */
static struct quarry_cache_tenant *tenant;
static uint32_t granted_rights;
static struct serve_connection *verified;
static uint32_t admitted;

static struct serve_identity joe(void)
{
    return (struct serve_identity){.name = "joe", .tenant = tenant, .rights = granted_rights};
}

static bool is(const char *text, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

static enum memcached_login login(void *argument, struct serve_connection *connection,
                                  const struct memcached_credentials *credentials,
                                  struct serve_identity *ret_identity)
{
    (void)argument;
    if (is(credentials->user, credentials->user_bytes, "slow")) {
        verified = connection;
        return MEMCACHED_VERIFYING;
    }
    if (!is(credentials->user, credentials->user_bytes, "joe") ||
        !is(credentials->password, credentials->password_bytes, "secret")) {
        return MEMCACHED_REFUSED;
    }
    *ret_identity = joe();
    return MEMCACHED_GRANTED;
}

static bool admit(void *argument, const struct serve_identity *identity, uint32_t request_count)
{
    (void)argument;
    (void)identity;
    if (admitted < request_count) {
        return false;
    }
    admitted -= request_count;
    return true;
}

static struct rig rig;

static void begin(uint32_t rights, bool has_limit)
{
    struct memcached_settings settings = {.version = "1.6.18"};

    settings.hooks.login = login;
    settings.hooks.admit = has_limit ? admit : NULL;
    granted_rights = rights;
    verified = NULL;
    rig_open_with(&rig, &settings,
                  &(struct fake_options){.door = &memcached_door, .needs_login = true});
    tenant = quarry_cache_default_tenant(rig.cache);
}

static int set_up(void **state)
{
    (void)state;
    begin(SERVE_ALL, false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void says(const char *sent, const char *answered)
{
    rig_says(rig.connection, sent, answered);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void a_login_names_user_and_password(void **state)
{
    (void)state;
    says("set x 0 0 10\r\njoe secret\r\n", "STORED\r\n");
    says("set x 0 0 1\r\ny\r\n", "STORED\r\n");
    says("get x\r\n", "VALUE x 0 1\r\ny\r\nEND\r\n");
}

static void a_login_names_the_user_as_its_key(void **state)
{
    (void)state;
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("get x\r\n", "END\r\n");
}

static void a_login_may_have_requests_behind_it(void **state)
{
    (void)state;
    says("set joe 0 0 6\r\nsecret\r\nset a 0 0 1\r\nx\r\nget a\r\n",
         "STORED\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
}

static void a_login_may_come_byte_by_byte(void **state)
{
    static const char text[] = "set joe 0 0 6\r\nsecret\r\nmn\r\n";
    size_t byte_count;

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        fake_send(rig.connection, &text[i], 1);
    }
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 12);
    assert_memory_equal(answer, "STORED\r\nMN\r\n", 12);
}

static void nothing_else_is_done_before_a_login(void **state)
{
    (void)state;
    says("get x\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("flush_all\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("stats\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("mg x v\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("set x\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("\r\n", "CLIENT_ERROR unauthenticated\r\n");
    says("   \n", "CLIENT_ERROR unauthenticated\r\n");
    says("version\r\n", "VERSION 1.6.18\r\n");
    says("quit\r\n", "");
    assert_true(fake_is_closed(rig.connection));
}

static void three_failures_end_the_connection(void **state)
{
    (void)state;
    says("set joe 0 0 5\r\nwrong\r\n", "CLIENT_ERROR authentication failure\r\n");
    says("set jim 0 0 6\r\nsecret\r\n", "CLIENT_ERROR authentication failure\r\n");
    assert_false(fake_is_closed(rig.connection));
    says("set x 0 0 9\r\njoe wrong\r\n", "CLIENT_ERROR authentication failure\r\n");
    assert_true(fake_is_closed(rig.connection));
}

static void a_login_that_succeeds_forgets_those_that_failed(void **state)
{
    (void)state;
    says("set joe 0 0 5\r\nwrong\r\n", "CLIENT_ERROR authentication failure\r\n");
    says("set joe 0 0 5\r\nwrong\r\n", "CLIENT_ERROR authentication failure\r\n");
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("get a\r\n", "END\r\n");
}

static void logins_that_make_no_sense_are_told_so(void **state)
{
    (void)state;
    says("set joe 0 0 6\r\nsecretxx", "CLIENT_ERROR bad command line termination\r\n");
    says("set joe 0 0 0\r\n\r\n", "CLIENT_ERROR bad authentication token format\r\n");
    says("set joe 0 0 3\r\n   \r\n", "CLIENT_ERROR bad authentication token format\r\n");
}

static void a_login_that_is_too_long_is_swallowed(void **state)
{
    char text[1200] = "set joe 0 0 1000\r\n";
    size_t length = strlen(text);

    (void)state;
    memset(text + length, 'x', 1000);
    memcpy(text + length + 1000, "\r\nversion\r\n", 12);
    says(text, "CLIENT_ERROR authentication failure\r\nVERSION 1.6.18\r\n");
}

static void a_stranger_cannot_send_lines_without_end(void **state)
{
    char text[3000];

    (void)state;
    memset(text, 'g', sizeof text);
    fake_send(rig.connection, text, sizeof text);
    assert_true(fake_is_closed(rig.connection));
}

static void a_login_may_take_its_time(void **state)
{
    (void)state;
    says("set slow 0 0 6\r\nsecret\r\nget a\r\n", "");
    assert_true(fake_waits(rig.connection));
    assert_ptr_equal(verified, rig.connection);
}

/* What is posted when a login has been verified: argument NULL refuses it. */
static void end_login(struct serve_connection *connection, void *argument)
{
    struct serve_identity identity = joe();

    memcached_login_done(connection, argument == NULL ? NULL : &identity);
}

static void a_login_that_took_its_time_is_answered_then(void **state)
{
    struct serve_worker *worker = serve_connection_worker(rig.connection);

    (void)state;
    says("set slow 0 0 6\r\nsecret\r\nget a\r\n", "");
    assert_true(serve_post(worker, serve_connection_id(rig.connection), end_login, NULL));
    says("", "CLIENT_ERROR authentication failure\r\nCLIENT_ERROR unauthenticated\r\n");
    says("set slow 0 0 6\r\nsecret\r\nget a\r\n", "");
    assert_true(serve_post(worker, serve_connection_id(rig.connection), end_login, &rig));
    says("", "STORED\r\nEND\r\n");
}

/* ---- packets -------------------------------------------------------------------------------- */

#define HEADER(opcode, key_bytes, body_bytes)                                                      \
    "\x80" opcode "\x00" key_bytes "\x00\x00\x00\x00\x00\x00\x00" body_bytes                       \
    "\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"

static void send_packet(const char *packet, size_t byte_count, uint16_t wanted_status)
{
    size_t answer_bytes;

    fake_clear(rig.connection);
    fake_send(rig.connection, packet, byte_count);
    fake_settle(rig.connection);
    const char *answer = fake_answer(rig.connection, &answer_bytes);

    assert_true(answer_bytes >= 24);
    assert_int_equal((uint8_t)answer[0], 0x81);
    assert_int_equal(endian_load_be_u16(answer + 6), wanted_status);
    assert_int_equal((uint8_t)answer[11], wanted_status == 0x20 ? 13 : (uint8_t)answer[11]);
    assert_int_equal((uint8_t)answer[15], 7);
}
#define SEND_PACKET(packet, status) send_packet(packet, sizeof(packet) - 1, status)

static void packets_log_in_by_plain(void **state)
{
    (void)state;
    SEND_PACKET(HEADER("\x20", "\x00", "\x00"), 0);
    SEND_PACKET(HEADER("\x21", "\x05", "\x10") "PLAIN\0joe\0secret", 0);
    SEND_PACKET(HEADER("\x00", "\x01", "\x01") "a", 1);
}

static void packets_of_strangers_end_the_connection(void **state)
{
    (void)state;
    SEND_PACKET(HEADER("\x0b", "\x00", "\x00"), 0);
    SEND_PACKET(HEADER("\x00", "\x01", "\x01") "a", 0x20);
    assert_true(fake_is_closed(rig.connection));
}

static void packets_that_fail_to_log_in_are_refused_three_times(void **state)
{
    (void)state;
    SEND_PACKET(HEADER("\x21", "\x05", "\x0f") "PLAIN\0joe\0wrong", 0x20);
    SEND_PACKET(HEADER("\x21", "\x05", "\x08") "PLAINjoe", 0x20);
    assert_false(fake_is_closed(rig.connection));
    SEND_PACKET(HEADER("\x21", "\x05", "\x10") "LOGIN\0joe\0secret", 0x20);
    assert_true(fake_is_closed(rig.connection));
}

/* ---- rights and limits ----------------------------------------------------------------------- */

static void who_may_only_read_changes_nothing(void **state)
{
    (void)state;
    granted_rights = SERVE_READ;
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
#define NO "CLIENT_ERROR not permitted to this user\r\n"
    says("set a 0 0 1\r\nx\r\n", NO);
    says("set a 0 0 5\r\nget b\r\nget a\r\n", NO "END\r\n");
    says("ms a 1\r\nx\r\n", NO);
    says("delete a\r\n", NO);
    says("incr a 1\r\n", NO);
    says("touch a 1\r\n", NO);
    says("gat 0 a\r\n", NO);
    says("mg a T10\r\n", NO);
    says("mg a N10\r\n", NO);
    says("md a\r\n", NO);
    says("ma a\r\n", NO);
    says("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    says("verbosity 1\r\n", NO);
    says("cache_memlimit 64\r\n", NO);
    says("watch\r\n", NO);
    says("lru_crawler sleep 1\r\n", NO);
    says("stats detail on\r\n", NO);
    says("get a\r\n", "END\r\n");
    says("mg a v\r\n", "EN\r\n");
    says("me a\r\n", "EN\r\n");
    says("mn\r\n", "MN\r\n");
    says("stats slabs\r\n", "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n");
    says("lru_crawler metadump all\r\n", "END\r\n");
}

static void who_may_only_write_reads_nothing(void **state)
{
    (void)state;
    granted_rights = SERVE_WRITE;
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    says("get a\r\n", NO);
    says("get a b c\r\nmn\r\n", NO "MN\r\n");
    says("mg a v\r\n", NO);
    says("stats\r\n", NO);
    says("lru_crawler metadump all\r\n", NO);
}

static void who_may_flush_flushes(void **state)
{
    (void)state;
    granted_rights = SERVE_FLUSH;
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("flush_all\r\n", "OK\r\n");
    says("set a 0 0 1\r\nx\r\n", NO);
}

static void tenants_do_not_see_each_other(void **state)
{
    struct quarry_cache_tenant *other;

    (void)state;
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    assert_int_equal(quarry_cache_add_tenant(rig.cache,
                                             &(struct quarry_cache_tenant_options){.name = "other"},
                                             &other, NULL),
                     QUARRY_OK);
    tenant = other;
    fake_close(rig.connection);
    rig.connection =
        fake_open(&(struct fake_options){.door = &memcached_door, .needs_login = true});
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    says("get a\r\n", "END\r\n");
    says("add a 0 0 1\r\ny\r\n", "STORED\r\n");
    says("flush_all\r\n", "OK\r\n");
    rig_says(rig.connection, "get a\r\n", "END\r\n");
    struct serve_connection *first = rig_connect(&rig);

    rig_says(first, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    fake_close(first);
}

static void who_asks_too_often_is_told_so(void **state)
{
    (void)state;
    rig_close(&rig);
    begin(SERVE_ALL, true);
    says("set joe 0 0 6\r\nsecret\r\n", "STORED\r\n");
    admitted = 2;
    says("get a\r\nget b\r\n", "END\r\nEND\r\n");
#define MANY "SERVER_ERROR too many requests\r\n"
    says("get a\r\nset a 0 0 3\r\nmn\n\r\nget b c\r\nversion\r\n", MANY MANY MANY MANY);
    admitted = 1;
    says("get a\r\n", "END\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_login_names_user_and_password),
        TEST(a_login_names_the_user_as_its_key),
        TEST(a_login_may_have_requests_behind_it),
        TEST(a_login_may_come_byte_by_byte),
        TEST(nothing_else_is_done_before_a_login),
        TEST(three_failures_end_the_connection),
        TEST(a_login_that_succeeds_forgets_those_that_failed),
        TEST(logins_that_make_no_sense_are_told_so),
        TEST(a_login_that_is_too_long_is_swallowed),
        TEST(a_stranger_cannot_send_lines_without_end),
        TEST(a_login_may_take_its_time),
        TEST(a_login_that_took_its_time_is_answered_then),
        TEST(packets_log_in_by_plain),
        TEST(packets_of_strangers_end_the_connection),
        TEST(packets_that_fail_to_log_in_are_refused_three_times),
        TEST(who_may_only_read_changes_nothing),
        TEST(who_may_only_write_reads_nothing),
        TEST(who_may_flush_flushes),
        TEST(tenants_do_not_see_each_other),
        TEST(who_asks_too_often_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
