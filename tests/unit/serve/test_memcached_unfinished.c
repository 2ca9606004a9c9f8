/*
 * The memcached door's values that come in pieces, when too many of them come: who waits, in which
 * order, and what is left when he goes.
 *
 * The reference cache has 64 MiB; so large values have 8 MiB of places, and small ones as much.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "unit/serve/memcached_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Large values of LARGE_BYTES, and small ones of SMALL_BYTES, that have places at once. */
enum { LARGE_BYTES = 800000, LARGE_COUNT = 10, SMALL_BYTES = 65536, SMALL_COUNT = 128 };

static struct rig rig;
static struct serve_connection *holders[LARGE_COUNT];
static char *rest; /* of a large value, from its fourth byte, and its line end */

static int set_up(void **state)
{
    (void)state;
    rig_open(&rig);
    rest = malloc(LARGE_BYTES);
    assert_non_null(rest);
    memset(rest, 'x', LARGE_BYTES - 3);
    memcpy(rest + LARGE_BYTES - 3, "\r\n", 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(rest);
    rig_close(&rig);
    return 0;
}

static void send_text(struct serve_connection *connection, const char *text)
{
    fake_send(connection, text, strlen(text));
}

/* One that has sent the beginning of a large value of the key. */
static struct serve_connection *begin_large(const char *key)
{
    struct serve_connection *connection = rig_connect(&rig);
    char text[300];

    snprintf(text, sizeof text, "set %s 0 0 %d\r\nabc", key, LARGE_BYTES);
    send_text(connection, text);
    return connection;
}

static void check_answer(const struct serve_connection *connection, const char *text)
{
    size_t byte_count;
    const char *answer = fake_answer(connection, &byte_count);

    assert_int_equal(byte_count, strlen(text));
    assert_memory_equal(answer, text, byte_count);
}

/* Sends what is left of a large value. */
static void finish_large(struct serve_connection *connection)
{
    send_text(connection, rest);
    fake_settle(connection);
}

static void take_all_places(void)
{
    for (size_t i = 0; i < LARGE_COUNT; i++) {
        holders[i] = begin_large("held");
        assert_false(fake_waits(holders[i]));
    }
}

static void close_holders(size_t first)
{
    for (size_t i = first; i < LARGE_COUNT; i++) {
        fake_close(holders[i]);
    }
}

/* ---- who waits ------------------------------------------------------------------------------- */

static void a_value_that_finds_no_place_waits_and_is_stored(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *waiter = begin_large("k");

    assert_true(fake_waits(waiter));
    assert_true(fake_expects(waiter));
    send_text(waiter, rest);
    send_text(waiter, "get none\r\n"); /* behind it, and answered behind it */
    assert_true(fake_waits(waiter));
    check_answer(waiter, "");
    finish_large(holders[0]);
    check_answer(holders[0], "STORED\r\n");
    fake_settle(waiter);
    check_answer(waiter, "STORED\r\nEND\r\n");
    assert_false(fake_expects(waiter));
    rig_says(rig.connection, "mg k s f\r\n", "HD s800000 f0\r\n");
    fake_close(waiter);
    close_holders(0);
}

static void who_came_first_is_called_first(void **state)
{
    struct serve_connection *waiters[5];
    char key[2] = "a";

    (void)state;
    take_all_places();
    for (size_t i = 0; i < 5; i++, key[0]++) {
        waiters[i] = begin_large(key);
    }
    for (size_t i = 0; i < 5; i++) {
        fake_close(holders[i]);
        for (size_t j = 0; j < 5; j++) {
            fake_settle(waiters[j]);
            assert_int_equal(fake_waits(waiters[j]), j > i);
        }
    }
    for (size_t i = 0; i < 5; i++) {
        finish_large(waiters[i]);
        check_answer(waiters[i], "STORED\r\n");
        fake_close(waiters[i]);
    }
    close_holders(5);
}

/* There is a place for the second, but not for the first. */
static void a_smaller_value_does_not_pass_a_larger_one(void **state)
{
    struct serve_connection *first = rig_connect(&rig), *second = rig_connect(&rig);

    (void)state;
    take_all_places();
    send_text(first, "set a 0 0 1000000\r\nabc");
    send_text(second, "set b 0 0 300000\r\nabc");
    assert_true(fake_waits(first) && fake_waits(second));
    fake_close(first);
    fake_settle(second);
    assert_false(fake_waits(second));
    fake_close(second);
    close_holders(0);
}

static void what_comes_whole_waits_for_nobody(void **state)
{
    (void)state;
    rig_says(rig.connection, "set k 0 0 1\r\na\r\n", "STORED\r\n");
    take_all_places();
    struct serve_connection *waiter = begin_large("w");
    struct serve_connection *whole = rig_connect(&rig);
    char *text = malloc(LARGE_BYTES + 100);

    assert_non_null(text);
    int line_bytes = snprintf(text, 100, "set k 0 0 %d\r\nabc", LARGE_BYTES);

    memcpy(text + line_bytes, rest, LARGE_BYTES);
    rig_says(whole, text, "STORED\r\n");
    rig_says(whole, "append k 0 0 3\r\ndef\r\n", "STORED\r\n");
    free(text);
    fake_close(whole);
    fake_close(waiter);
    close_holders(0);
}

static void small_values_have_places_of_their_own(void **state)
{
    struct serve_connection *small[SMALL_COUNT + 1];
    char text[64];

    (void)state;
    take_all_places();
    struct serve_connection *large = begin_large("large");

    assert_true(fake_waits(large));
    snprintf(text, sizeof text, "set k 0 0 %d\r\nabc", SMALL_BYTES);
    for (size_t i = 0; i <= SMALL_COUNT; i++) {
        small[i] = rig_connect(&rig);
        send_text(small[i], text);
        assert_int_equal(fake_waits(small[i]), i == SMALL_COUNT);
    }
    fake_close(small[0]);
    fake_settle(small[SMALL_COUNT]);
    fake_settle(large);
    assert_false(fake_waits(small[SMALL_COUNT]));
    assert_true(fake_waits(large));
    for (size_t i = 1; i <= SMALL_COUNT; i++) {
        fake_close(small[i]);
    }
    fake_close(large);
    close_holders(0);
}

static void one_value_may_be_larger_than_all_places(void **state)
{
    (void)state;
    quarry_cache_set_value_bytes_max(rig.cache, Q_MIB(32));
    struct serve_connection *first = rig_connect(&rig), *second = rig_connect(&rig);

    send_text(first, "set a 0 0 20000000\r\nabc");
    assert_false(fake_waits(first));
    send_text(second, "set b 0 0 20000000\r\nabc");
    assert_true(fake_waits(second));
    fake_close(first);
    fake_settle(second);
    assert_false(fake_waits(second));
    fake_close(second);
}

static void what_is_too_large_is_refused_at_once(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *waiter = begin_large("k");

    rig_says(rig.connection, "set k 0 0 1100000\r\nabc",
             "SERVER_ERROR object too large for cache\r\n");
    assert_true(fake_waits(waiter));
    fake_close(waiter);
    close_holders(0);
}

/* ---- every form of a request ------------------------------------------------------------------
 */

/* Sends the beginning of a request, which waits, and then its rest. */
static void waits_and_says(const char *beginning, size_t byte_count, const char *answer,
                           size_t answer_bytes)
{
    struct serve_connection *waiter = rig_connect(&rig);
    size_t answered_bytes;

    take_all_places();
    fake_send(waiter, beginning, byte_count);
    assert_true(fake_waits(waiter));
    close_holders(0);
    fake_settle(waiter);
    assert_false(fake_waits(waiter));
    send_text(waiter, rest);
    fake_settle(waiter);
    const char *answered = fake_answer(waiter, &answered_bytes);

    assert_int_equal(answered_bytes, answer_bytes);
    assert_memory_equal(answered, answer, answer_bytes);
    fake_close(waiter);
}

static void every_form_of_a_store_waits(void **state)
{
    /* A packet: a set of the key n, flags and expiry 0; 8 + 1 + 800,000 bytes of body. */
    static const char packet[] =
        "\x80\x01\x00\x01\x08\x00\x00\x00\x00\x0c\x35\x09oooo\0\0\0\0\0\0\0\0"
        "\0\0\0\0\0\0\0\0nabc";
    static const char stored[] = "\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00oooo";

    (void)state;
#define TEXT(text) text, sizeof(text) - 1
    waits_and_says(TEXT("ms key 800000 Oq k\r\nabc"), TEXT("HD Oq kkey\r\n"));
    waits_and_says(TEXT("ms key 800000 q\r\nabc"), TEXT(""));
    waits_and_says(TEXT("set key 0 0 800000 noreply\r\nabc"), TEXT(""));
    waits_and_says(TEXT("append key 0 0 800000\r\nabc"), TEXT("NOT_STORED\r\n"));
    waits_and_says(TEXT("add key 0 0 800000\r\nabc"), TEXT("NOT_STORED\r\n"));
    rig_says(rig.connection, "delete key\r\n", "DELETED\r\n");
    waits_and_says(TEXT("add key 0 0 800000\r\nabc"), TEXT("STORED\r\n"));
#undef TEXT
    struct serve_connection *waiter = rig_connect(&rig);
    size_t byte_count;

    take_all_places();
    fake_send(waiter, packet, sizeof packet - 1);
    assert_true(fake_waits(waiter));
    close_holders(0);
    fake_settle(waiter);
    fake_send(waiter, rest, LARGE_BYTES - 3);
    const char *answer = fake_answer(waiter, &byte_count);

    assert_int_equal(byte_count, 24);
    assert_memory_equal(answer, stored, sizeof stored - 1);
    fake_close(waiter);
}

/* ---- who goes ------------------------------------------------------------------------------- */

static void a_waiter_that_closes_is_passed_over(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *gone = begin_large("a"), *other = begin_large("b");

    fake_close(gone);
    fake_close(holders[0]);
    fake_settle(other);
    assert_false(fake_waits(other));
    fake_close(other);
    close_holders(1);
}

/* He was called, and closes before he runs: his place is the next one's. */
static void a_waiter_that_closes_when_it_was_called_gives_its_place_on(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *gone = begin_large("a"), *other = begin_large("b");

    fake_close(holders[0]);
    fake_close(gone);
    fake_settle(other);
    assert_false(fake_waits(other));
    finish_large(other);
    check_answer(other, "STORED\r\n");
    fake_close(other);
    close_holders(1);
}

static void a_call_that_fails_is_made_again_in_its_order(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *first = begin_large("a"), *second = begin_large("b");

    fake_fail_posts(1);
    fake_close(holders[0]);
    fake_settle(first);
    fake_settle(second);
    assert_true(fake_waits(first) && fake_waits(second));
    finish_large(holders[1]); /* two places, and two who wait */
    fake_settle(first);
    fake_settle(second);
    assert_false(fake_waits(first) || fake_waits(second));
    finish_large(first);
    finish_large(second);
    check_answer(first, "STORED\r\n");
    check_answer(second, "STORED\r\n");
    fake_close(first);
    fake_close(second);
    close_holders(1);
}

/* A value without memory, one whose line end is none, one that is not stored: each gives its place
 * back, and one more waits each time. */
static void every_end_of_a_value_gives_its_place_back(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *waiters[3];

    for (size_t i = 0; i < 3; i++) {
        waiters[i] = begin_large("k");
        assert_true(fake_waits(waiters[i]));
    }
    fake_send(holders[0], rest, LARGE_BYTES - 3);
    send_text(holders[0], "no");
    check_answer(holders[0], "CLIENT_ERROR bad data chunk\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    fake_settle(waiters[0]); /* its turn, without memory to begin */
    check_answer(waiters[0], "SERVER_ERROR out of memory storing object\r\n");
    fake_settle(waiters[1]);
    assert_false(fake_waits(waiters[1]));
    finish_large(waiters[1]);
    fake_settle(waiters[2]);
    assert_false(fake_waits(waiters[2]));
    for (size_t i = 0; i < 3; i++) {
        fake_close(waiters[i]);
    }
    close_holders(0);
}

/* ---- readers that are slow ------------------------------------------------------------------- */

/* Who takes his answers one byte at a time has no place meanwhile. */
static void a_place_is_asked_for_when_the_answers_were_taken(void **state)
{
    struct serve_connection *slow = fake_open(&(struct fake_options){
        .door = &memcached_door,
        .identity = {.tenant = quarry_cache_default_tenant(rig.cache), .rights = SERVE_ALL},
        .taken_a_turn = 1});

    (void)state;
    send_text(slow, "get a\r\nget b\r\nset k 0 0 800000\r\nabc");
    take_all_places(); /* all of them */
    assert_false(fake_waits(slow));
    fake_settle(slow);
    check_answer(slow, "END\r\nEND\r\n");
    assert_true(fake_waits(slow));
    fake_close(holders[0]);
    fake_settle(slow);
    fake_clear(slow);
    finish_large(slow);
    check_answer(slow, "STORED\r\n");
    fake_close(slow);
    close_holders(1);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void says_of_the_door(const char *line)
{
    size_t byte_count;

    fake_clear(rig.connection);
    send_text(rig.connection, "stats door\r\n");
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_non_null(memmem(answer, byte_count, line, strlen(line)));
}

static void waiting_is_counted(void **state)
{
    (void)state;
    take_all_places();
    struct serve_connection *waiter = begin_large("k");

    says_of_the_door("STAT values_waited 1\r\n");
    says_of_the_door("STAT values_waiting 1\r\n");
    fake_close(waiter);
    rig_says(rig.connection, "stats reset\r\n", "RESET\r\n");
    says_of_the_door("STAT values_waited 0\r\n");
    says_of_the_door("STAT values_waiting 0\r\n");
    close_holders(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_that_finds_no_place_waits_and_is_stored),
        TEST(who_came_first_is_called_first),
        TEST(a_smaller_value_does_not_pass_a_larger_one),
        TEST(what_comes_whole_waits_for_nobody),
        TEST(small_values_have_places_of_their_own),
        TEST(one_value_may_be_larger_than_all_places),
        TEST(what_is_too_large_is_refused_at_once),
        TEST(every_form_of_a_store_waits),
        TEST(a_waiter_that_closes_is_passed_over),
        TEST(a_waiter_that_closes_when_it_was_called_gives_its_place_on),
        TEST(a_call_that_fails_is_made_again_in_its_order),
        TEST(every_end_of_a_value_gives_its_place_back),
        TEST(a_place_is_asked_for_when_the_answers_were_taken),
        TEST(waiting_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
