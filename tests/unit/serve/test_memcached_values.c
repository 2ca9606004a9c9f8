/*
 * The memcached door's large values: how they come and go, readers that are slow, values that
 * cannot be pinned, memory that fails; and what happens to them when the door leaves the cache's
 * epoch.
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

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_open(&rig);
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

/* A request with so many bytes of value. Own, to be freed. */
static char *store_of(const char *line, size_t value_bytes, size_t *ret_bytes)
{
    size_t line_bytes = strlen(line);
    char *text = malloc(line_bytes + value_bytes + 2);

    assert_non_null(text);
    memcpy(text, line, line_bytes);
    for (size_t i = 0; i < value_bytes; i++) {
        text[line_bytes + i] = (char)('a' + i % 23);
    }
    memcpy(text + line_bytes + value_bytes, "\r\n", 2);
    *ret_bytes = line_bytes + value_bytes + 2;
    return text;
}

static void store(const char *key, size_t value_bytes)
{
    char line[64];
    size_t byte_count;

    snprintf(line, sizeof line, "set %s 0 0 %zu\r\n", key, value_bytes);
    char *text = store_of(line, value_bytes, &byte_count);

    fake_clear(rig.connection);
    fake_send(rig.connection, text, byte_count);
    free(text);
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 8);
    assert_memory_equal(answer, "STORED\r\n", 8);
}

/* Checks that the answer is a value as store_of makes them, between two texts. */
static void check_value(const char *before, size_t value_bytes, const char *after)
{
    size_t byte_count;
    const char *answer = fake_answer(rig.connection, &byte_count);
    size_t start = strlen(before);

    assert_int_equal(byte_count, start + value_bytes + strlen(after));
    assert_memory_equal(answer, before, start);
    for (size_t i = 0; i < value_bytes; i++) {
        if (answer[start + i] != (char)('a' + i % 23)) {
            fail_msg("byte %zu of the value is another", i);
        }
    }
    assert_memory_equal(answer + start + value_bytes, after, strlen(after));
}

/* ---- how values come and go ------------------------------------------------------------------ */

static void a_large_value_is_read_straight_to_its_cell(void **state)
{
    (void)state;
    store("a", 1000000);
    assert_true(fake_counts(rig.connection).wanted_bytes == 0); /* it came in one piece */
    size_t byte_count;
    char *text = store_of("set a 0 0 1000000\r\n", 1000000, &byte_count);

    fake_clear(rig.connection);
    fake_send(rig.connection, text, 1000);
    fake_send(rig.connection, text + 1000, byte_count - 1000);
    free(text);
    assert_true(fake_counts(rig.connection).wanted_bytes > 900000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "get a\r\n", 7);
    fake_settle(rig.connection);
    check_value("VALUE a 0 1000000\r\n", 1000000, "\r\nEND\r\n");
}

static void a_small_value_is_copied_and_a_large_one_pointed_to(void **state)
{
    (void)state;
    store("small", 1024);
    store("large", 1025);
    fake_send(rig.connection, "get small\r\n", 11);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 0);
    fake_send(rig.connection, "get large\r\n", 11);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 1025);
    fake_send(rig.connection, "mg small v\r\n", 12);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 1025);
    fake_send(rig.connection, "mg large v\r\n", 12);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 2050);
}

static void open_slow(size_t value_bytes_max, size_t taken_a_turn)
{
    rig_close(&rig);
    rig_open_slow(&rig, taken_a_turn);
    quarry_cache_set_value_bytes_max(rig.cache, value_bytes_max);
}

static void a_slow_reader_has_little_waiting(void **state)
{
    (void)state;
    open_slow(Q_MIB(64), 100000);
    rig_set_pieces(&rig, 65536, false);
    store("a", 20000000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "get a\r\n", 7);
    assert_int_equal(reference_cache_pins(rig.cache) > 0, 1);
    fake_settle(rig.connection);
    check_value("VALUE a 0 20000000\r\n", 20000000, "\r\nEND\r\n");
    assert_true(fake_counts(rig.connection).waiting_max < 2 * SERVE_OUT_WAITING_MAX);
    assert_int_equal(fake_counts(rig.connection).copied, 0);
}

static void many_large_values_in_a_line_wait_for_their_reader(void **state)
{
    char line[1024] = "get";

    (void)state;
    open_slow(0x100000, 50000);
    store("a", 900000);
    for (int i = 0; i < 100; i++) {
        strcat(line, " a");
    }
    strcat(line, "\r\n");
    fake_clear(rig.connection);
    fake_send(rig.connection, line, strlen(line));
    fake_settle(rig.connection);
    size_t byte_count;

    (void)fake_answer(rig.connection, &byte_count);
    assert_int_equal(byte_count, 100 * (strlen("VALUE a 0 900000\r\n\r\n") + 900000) + 5);
    assert_true(fake_counts(rig.connection).waiting_max < 3 * SERVE_OUT_WAITING_MAX);
}

static void a_value_on_its_way_survives_its_deletion(void **state)
{
    struct serve_connection *other = rig_connect(&rig);

    (void)state;
    fake_close(other);
    open_slow(Q_MIB(64), 100000);
    rig_set_pieces(&rig, 65536, false);
    store("a", 5000000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "mg a v k\r\n", 10);
    other = rig_connect(&rig);
    rig_says(other, "delete a\r\n", "DELETED\r\n");
    fake_close(other);
    fake_settle(rig.connection);
    check_value("VA 5000000 ka\r\n", 5000000, "\r\n");
}

static void a_connection_may_close_in_the_middle_of_anything(void **state)
{
    static const char *const texts[] = {"set b 0 0 100000\r\nabc",
                                        "set b 0 0 3\r\nabc\r",
                                        "get a",
                                        "get a b c d",
                                        "mg a v",
                                        "ms b 5\r\n",
                                        "lru_crawler metadump",
                                        "watch\r\n"};

    (void)state;
    open_slow(Q_MIB(64), 100);
    store("a", 3000000);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct serve_connection *other = rig_connect(&rig);

        fake_send(other, texts[i], strlen(texts[i]));
        fake_close(other);
    }
    fake_send(rig.connection, "get a\r\n", 7);
    assert_true(reference_cache_pins(rig.cache) > 0); /* tear_down looks for what is left */
}

/* ---- memory that fails ----------------------------------------------------------------------- */

static void a_set_without_memory_deletes_what_was_there(void **state)
{
    (void)state;
    says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("set a 0 0 1\r\ny\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("get a\r\n", "END\r\n");
}

static void a_value_may_run_out_of_memory_while_it_comes(void **state)
{
    size_t byte_count;
    char *text = store_of("set a 0 0 100000\r\n", 100000, &byte_count);

    (void)state;
    rig_set_pieces(&rig, 10000, false);
    for (uint64_t skip = 0; skip < 10; skip++) {
        says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
        reference_cache_fail(rig.cache, skip, 1);
        fake_clear(rig.connection);
        fake_send(rig.connection, text, 5000);
        fake_send(rig.connection, text + 5000, byte_count - 5000);
        reference_cache_fail(rig.cache, 0, 0);
        size_t answer_bytes;
        const char *answer = fake_answer(rig.connection, &answer_bytes);

        assert_int_equal(answer_bytes, 43);
        assert_memory_equal(answer, "SERVER_ERROR out of memory storing object\r\n", 43);
        says("get a\r\n", "END\r\n");
    }
    free(text);
}

static void changes_without_memory_are_told_so(void **state)
{
    (void)state;
    says("set n 0 0 1\r\n9\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("incr n 1\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("ma n\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("md n I\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("ms n 1\r\nx\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("mg n v\r\n", "EN\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("mg n N10\r\n", "EN\r\n");
    says("set n 0 0 1\r\n9\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 1, 1);
    says("append n 0 0 1\r\n9\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("get n\r\n", "VALUE n 0 1\r\n9\r\nEND\r\n");
}

/* ---- values that cannot be pinned ------------------------------------------------------------ */

static int values_cut;

static void note_cut(void *argument, const struct serve_connection *connection)
{
    assert_ptr_equal(connection, rig.connection);
    (*(int *)argument)++;
}

/* A reader of 10,000 bytes a turn, which is less than a stretch, and a large value whose pins are
 * refused. */
static void open_unpinned(const char *key, size_t value_bytes)
{
    struct memcached_settings settings = {
        .hooks = {.argument = &values_cut, .value_cut = note_cut}};

    values_cut = 0;
    rig_close(&rig);
    rig_open_with(&rig, &settings, NULL);
    quarry_cache_set_value_bytes_max(rig.cache, Q_MIB(64));
    fake_close(rig.connection);
    rig.connection = fake_open(&(struct fake_options){
        .door = &memcached_door,
        .identity = {.tenant = quarry_cache_default_tenant(rig.cache), .rights = SERVE_ALL},
        .taken_a_turn = 10000});
    rig_set_pieces(&rig, 65536, true);
    store(key, value_bytes);
    fake_clear(rig.connection);
}

/* How often a large value was cut, by `stats`. */
static void check_values_cut(int count)
{
    struct serve_connection *other = rig_connect(&rig);
    char line[64];
    size_t byte_count;

    snprintf(line, sizeof line, "STAT values_cut %d\r\n", count);
    fake_send(other, "stats door\r\n", 12);
    const char *answer = fake_answer(other, &byte_count);

    assert_non_null(memmem(answer, byte_count, line, strlen(line)));
    assert_int_equal(values_cut, count);
    fake_close(other);
}

static void what_cannot_be_pinned_is_found_again_for_each_stretch(void **state)
{
    static const char *const requests[] = {"get a\r\n", "mg a v\r\n", "get b a\r\n"};
    static const char *const headers[] = {"VALUE a 0 20000000\r\n", "VA 20000000\r\n",
                                          "VALUE a 0 20000000\r\n"};
    static const char *const ends[] = {"\r\nEND\r\n", "\r\n", "\r\nEND\r\n"};

    (void)state;
    open_unpinned("a", 20000000);
    for (size_t i = 0; i < 3; i++) {
        fake_clear(rig.connection);
        fake_send(rig.connection, requests[i], strlen(requests[i]));
        assert_int_equal(reference_cache_pins(rig.cache), 0);
        fake_settle(rig.connection);
        check_value(headers[i], 20000000, ends[i]);
    }
    /* Copied as it waits, and never more than a stretch of it. */
    assert_true(fake_counts(rig.connection).copied > 0);
    assert_true(fake_counts(rig.connection).waiting_max < SERVE_OUT_WAITING_MAX + 2 * 65536);
    check_values_cut(0);
}

static void what_can_be_pinned_after_all_is(void **state)
{
    (void)state;
    open_unpinned("a", 5000000);
    fake_send(rig.connection, "get a\r\n", 7);
    rig_set_pieces(&rig, 65536, false);
    for (int i = 0; i < 100 && reference_cache_pins(rig.cache) == 0; i++) {
        fake_send(rig.connection, "mn\r\n", 4); /* turns; its answers are behind the value */
    }
    assert_true(reference_cache_pins(rig.cache) > 0);
    struct serve_connection *other = rig_connect(&rig);

    rig_says(other, "delete a\r\n", "DELETED\r\n");
    fake_close(other);
    fake_settle(rig.connection);
    size_t byte_count;
    const char *answer = fake_answer(rig.connection, &byte_count);
    size_t value_end = strlen("VALUE a 0 5000000\r\n") + 5000000;

    assert_true(byte_count > value_end + 7 + 4);
    assert_memory_equal(answer + value_end, "\r\nEND\r\nMN\r\n", 7 + 4);
    check_values_cut(0);
}

static void what_changes_before_it_has_gone_is_cut(void **state)
{
    static const char *const changes[] = {"delete a\r\n", "set a 0 0 1\r\nx\r\n",
                                          "append a 0 0 1\r\nx\r\n", "ms a 2 E900\r\nxy\r\n",
                                          "flush_all\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        open_unpinned("a", 5000000);
        fake_send(rig.connection, "get a\r\nget a\r\n", 14);
        struct serve_connection *other = rig_connect(&rig);

        fake_send(other, changes[i], strlen(changes[i]));
        fake_close(other);
        fake_settle(rig.connection);
        size_t byte_count;

        (void)fake_answer(rig.connection, &byte_count);
        assert_true(fake_is_closed(rig.connection));
        assert_true(byte_count < 5000000);
        check_values_cut(1);
    }
}

static void what_is_read_and_touched_meanwhile_is_not_cut(void **state)
{
    (void)state;
    open_unpinned("a", 5000000);
    fake_send(rig.connection, "get a\r\n", 7);
    struct serve_connection *other = rig_connect(&rig);

    rig_says(other, "touch a 100\r\n", "TOUCHED\r\n");
    rig_says(other, "mg a s t\r\n", "HD s5000000 t100\r\n");
    fake_close(other);
    fake_settle(rig.connection);
    check_value("VALUE a 0 5000000\r\n", 5000000, "\r\nEND\r\n");
    check_values_cut(0);
}

/* ---- out of the epoch, and in again ---------------------------------------------------------- */

/*
 * A count may wait for memory, so the door leaves the cache's epoch for it; what has been answered
 * by pointing is kept before: the reference cache overwrites what nobody is inside for.
 */
static void what_was_pointed_to_is_kept_when_the_door_steps_out(void **state)
{
    static const bool refuses[] = {false, true};
    static const char *const requests[] = {
        "get a\r\ndelete a\r\nincr n 1\r\nget n\r\n",
        "get a\r\ndelete a\r\nma n v\r\nget n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2; j++) {
            open_slow(Q_MIB(64), 1000);
            rig_set_pieces(&rig, 0, refuses[i]);
            store("a", 50000);
            says("set n 0 0 1\r\n7\r\n", "STORED\r\n");
            fake_clear(rig.connection);
            fake_send(rig.connection, requests[j], strlen(requests[j]));
            assert_int_equal(fake_counts(rig.connection).copied, refuses[i] ? 1 : 0);
            assert_int_equal(fake_counts(rig.connection).held, refuses[i] ? 0 : 1);
            fake_settle(rig.connection);
            check_value("VALUE a 0 50000\r\n", 50000,
                        j == 0 ? "\r\nEND\r\nDELETED\r\n8\r\nVALUE n 0 1\r\n8\r\nEND\r\n"
                               : "\r\nEND\r\nDELETED\r\nVA 1\r\n8\r\nVALUE n 0 1\r\n8\r\nEND\r\n");
        }
    }
}

/* The same over packets, with a get behind it: the door is inside again. */
static void a_packet_that_counts_steps_out_and_in(void **state)
{
    static const char packets[] =
        "\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01oooo\0\0\0\0\0\0\0\0a"
        "\x80\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01oooo\0\0\0\0\0\0\0\0a"
        "\x80\x05\x00\x01\x14\x00\x00\x00\x00\x00\x00\x15oooo\0\0\0\0\0\0\0\0"
        "\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0n"
        "\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01oooo\0\0\0\0\0\0\0\0n";
    size_t byte_count;

    (void)state;
    open_slow(Q_MIB(64), 1000);
    store("a", 50000);
    says("set n 0 0 1\r\n7\r\n", "STORED\r\n");
    fake_close(rig.connection);
    rig.connection = fake_open(&(struct fake_options){
        .door = &memcached_door,
        .identity = {.tenant = quarry_cache_default_tenant(rig.cache), .rights = SERVE_ALL},
        .taken_a_turn = 1000});
    fake_send(rig.connection, packets, sizeof packets - 1);
    assert_int_equal(fake_counts(rig.connection).held, 1);
    fake_settle(rig.connection);
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 28 + 50000 + 24 + 32 + 28 + 2);
    for (size_t i = 0; i < 50000; i++) {
        assert_int_equal(answer[28 + i], (char)('a' + i % 23));
    }
    assert_memory_equal(answer + byte_count - 2, "12", 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_value_is_read_straight_to_its_cell),
        TEST(a_small_value_is_copied_and_a_large_one_pointed_to),
        TEST(a_slow_reader_has_little_waiting),
        TEST(many_large_values_in_a_line_wait_for_their_reader),
        TEST(a_value_on_its_way_survives_its_deletion),
        TEST(a_connection_may_close_in_the_middle_of_anything),
        TEST(a_set_without_memory_deletes_what_was_there),
        TEST(a_value_may_run_out_of_memory_while_it_comes),
        TEST(changes_without_memory_are_told_so),
        TEST(what_cannot_be_pinned_is_found_again_for_each_stretch),
        TEST(what_can_be_pinned_after_all_is),
        TEST(what_changes_before_it_has_gone_is_cut),
        TEST(what_is_read_and_touched_meanwhile_is_not_cut),
        TEST(what_was_pointed_to_is_kept_when_the_door_steps_out),
        TEST(a_packet_that_counts_steps_out_and_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
