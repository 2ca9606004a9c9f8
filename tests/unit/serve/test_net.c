/*
 * Conversations with a net: whatever way bytes come, the answers are the same.
 */
#include "unit/serve/net_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <os/os.h>

#include "unit/base/random.h"

static int set_up(void **state)
{
    (void)state;
    rig_begin(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_end();
    return 0;
}

/* ---- splits --------------------------------------------------------------------------------- */

static const char conversation[] = "echo one\n"
                                   "put 10\n0123456789"
                                   "echo two\nnonsense\n"
                                   "big 70\n"
                                   "put 3\nabcput 1\n\n"
                                   "echo last\nquit\n";

static size_t conversation_answers(char *answers, size_t capacity)
{
    char pattern[71] = {0};

    for (size_t i = 0; i < 70; i++) {
        pattern[i] = line_pattern_byte(i);
    }
    return (size_t)snprintf(answers, capacity,
                            "one\nstored 10 %016" PRIx64 "\ntwo\nwhat?\n%s"
                            "stored 3 %016" PRIx64 "\nstored 1 %016" PRIx64 "\nlast\n",
                            line_hash(0, "0123456789", 10), pattern, line_hash(0, "abc", 3),
                            line_hash(0, "\n", 1));
}

static void converse(const size_t *ends, size_t end_count)
{
    char wanted[1000], answers[1000];
    size_t wanted_bytes = conversation_answers(wanted, sizeof(wanted));
    uint64_t before = rig_counters().received_bytes;
    int fd = client_open();
    size_t start = 0;

    for (size_t i = 0; i < end_count; i++) {
        assert_true(client_try_send(fd, conversation + start, ends[i] - start));
        start = ends[i];
        rig_wait_received(before + start);
    }
    assert_true(client_try_send(fd, conversation + start, sizeof(conversation) - 1 - start));
    size_t bytes = client_read(fd, answers, sizeof(answers) - 1);
    answers[bytes] = '\0';
    assert_string_equal(answers, wanted);
    assert_int_equal(bytes, wanted_bytes);
    client_close(fd);
}

static void every_split_of_a_conversation_gives_the_same_answers(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof(conversation) - 1; i++) {
        converse(&i, 1);
    }
}

static void byte_by_byte_gives_the_same_answers(void **state)
{
    size_t ends[sizeof(conversation)];

    (void)state;
    for (size_t i = 0; i < sizeof(conversation) - 2; i++) {
        ends[i] = i + 1;
    }
    converse(ends, sizeof(conversation) - 2);
}

static void random_pieces_give_the_same_answers(void **state)
{
    uint64_t random = 4711;

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        size_t ends[8];
        size_t at = 0, count = 0;
        while (count < 8) {
            at += 1 + random_u64(&random) % 20;
            if (at >= sizeof(conversation) - 1) {
                break;
            }
            ends[count++] = at;
        }
        converse(ends, count);
    }
}

/* ---- pipelines and fairness ----------------------------------------------------------------- */

static void a_pipeline_is_answered_in_order(void **state)
{
    static char requests[30 * 5000], answers[30 * 5000], got[30 * 5000];
    size_t request_bytes = 0, answer_bytes = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        request_bytes += (size_t)sprintf(requests + request_bytes, "echo number %u\n", i);
        answer_bytes += (size_t)sprintf(answers + answer_bytes, "number %u\n", i);
    }
    int fd = client_open();
    assert_true(client_try_send(fd, requests, request_bytes));
    assert_int_equal(client_read(fd, got, answer_bytes), answer_bytes);
    assert_memory_equal(got, answers, answer_bytes);
    assert_true(rig_counters().yield_count >= 100);
    client_close(fd);
}

static bool worker_stays(void *argument)
{
    (void)argument;
    return atomic_load_acquire_bool(&line_is_staying);
}

static void a_pipeline_does_not_keep_others_waiting(void **state)
{
    static char requests[10 * 20000];

    (void)state;
    rig_end();
    rig_begin(&(struct serve_net_options){.worker_count = 1});
    for (unsigned i = 0; i < 20000; i++) {
        memcpy(requests + (size_t)i * 10, "echo abcd\n", 10);
    }
    int keeper = client_open(), busy = client_open(), other = client_open();
    char kept[32], answered[32];
    (void)setsockopt(busy, SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    client_send(keeper, "stay\n");
    rig_wait(worker_stays, NULL);
    assert_true(client_try_send(busy, requests, 100000)); /* both while the worker is kept */
    client_send(other, "turn\n");
    line_door_go();
    client_read_line(keeper, kept, sizeof(kept));
    client_read_line(other, answered, sizeof(answered));
    /* Of the 500 shares of `busy`, few came before it. */
    assert_in_range(strtoull(answered, NULL, 10), strtoull(kept, NULL, 10) + 1,
                    strtoull(kept, NULL, 10) + 4);
    client_close(keeper);
    client_close(busy);
    client_close(other);
}

static void an_answer_in_one_piece_costs_one_read_and_one_write(void **state)
{
    (void)state;
    rig_end();
    rig_begin(&(struct serve_net_options){.worker_count = 1});
    int fd = client_open();
    client_send(fd, "echo warm\n");
    client_expect(fd, "warm\n");
    rig_wait_connections(1);
    struct serve_counters before = rig_counters();
    for (unsigned i = 0; i < 200; i++) {
        client_send(fd, "echo x\n");
        client_expect(fd, "x\n");
    }
    struct serve_counters after = rig_counters();
    assert_int_equal(after.receive_count - before.receive_count, 200);
    assert_int_equal(after.send_count - before.send_count, 200);
    assert_in_range(after.pass_count - before.pass_count, 199, 203);
    client_close(fd);
}

/* ---- bodies --------------------------------------------------------------------------------- */

static void put_of(int fd, size_t bytes, uint64_t seed)
{
    char *body = malloc(bytes);
    char text[100];

    for (size_t i = 0; i < bytes; i++) {
        body[i] = (char)random_u64(&seed);
    }
    (void)sprintf(text, "put %zu\n", bytes);
    client_send(fd, text);
    assert_true(client_try_send(fd, body, bytes));
    (void)sprintf(text, "stored %zu %016" PRIx64 "\n", bytes, line_hash(0, body, bytes));
    client_expect(fd, text);
    free(body);
}

static void bodies_of_any_size_arrive_where_they_are_wanted(void **state)
{
    static const size_t sizes[] = {1, 2, 1000, 65535, 65536, 65537, 300000, 5000000};
    int fd = client_open();

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put_of(fd, sizes[i], i + 1);
    }
    client_close(fd);
}

static void answers_may_be_borrowed_from_requests(void **state)
{
    enum { LONG = 60000 };
    static char request[LONG + 6], answer[LONG + 6];
    int fd = client_open();

    /* Short, then so long that the rest of it is read into the connection's own buffer. */
    (void)state;
    client_send(fd, "lend a\nlend bb\nlend c");
    client_send(fd, "cc\n");
    client_expect(fd, "a\nbb\nccc\n");
    memcpy(request, "lend ", 5);
    for (size_t i = 0; i < LONG; i++) {
        request[5 + i] = line_pattern_byte(i);
    }
    request[5 + LONG] = '\n';
    for (unsigned round = 0; round < 5; round++) {
        uint64_t before = rig_counters().received_bytes;
        assert_true(client_try_send(fd, request, 20000));
        rig_wait_received(before + 20000);
        assert_true(client_try_send(fd, request + 20000, 20000));
        rig_wait_received(before + 40000);
        assert_true(client_try_send(fd, request + 40000, sizeof(request) - 40000));
        client_send(fd, "lend aft");
        assert_int_equal(client_read(fd, answer, LONG + 1), LONG + 1);
        assert_memory_equal(answer, request + 5, LONG + 1);
        client_send(fd, "er\n");
        client_expect(fd, "after\n");
    }
    client_close(fd);
}

/* ---- answers that wait ---------------------------------------------------------------------- */

static void a_large_answer_comes_whole(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "big 104857600\necho after\n");
    client_expect_pattern(fd, 104857600);
    client_expect(fd, "after\n");
    client_close(fd);
}

static void what_cannot_be_held_is_copied(void **state)
{
    int fd = client_open();

    (void)state;
    atomic_store_relaxed_bool(&line_can_hold, false);
    client_send(fd, "big 20000000\necho after\n");
    os_sleep_ns(20 * Q_MS_NS);
    assert_int_equal(line_held_count, 0);
    client_expect_pattern(fd, 20000000);
    client_expect(fd, "after\n");
    client_close(fd);
    atomic_store_relaxed_bool(&line_can_hold, true);
}

static bool is_paused(void *argument)
{
    uint64_t *sent = argument;
    uint64_t before = *sent;

    *sent = rig_counters().sent_bytes;
    os_sleep_ns(20 * Q_MS_NS);
    return *sent > 0 && *sent == before && rig_counters().waiting_bytes > 0;
}

static void a_reader_that_takes_nothing_costs_a_bounded_amount(void **state)
{
    uint64_t sent = 0;
    int fd = client_open();

    (void)state;
    client_send(fd, "big 104857600\n");
    rig_wait(is_paused, &sent);
    assert_true(rig_counters().waiting_bytes <= SERVE_OUT_WAITING_MAX + 2 * LINE_PATTERN_BYTES);
    client_expect_pattern(fd, 104857600);
    client_close(fd);
    rig_wait_connections(0);
    assert_int_equal(rig_counters().waiting_bytes, 0);
}

static void requests_are_read_while_little_waits(void **state)
{
    static char requests[8 * 30000];
    int fd = client_open();

    /* A client that sends all of it before it reads, as naive ones do. */
    (void)state;
    for (unsigned i = 0; i < 30000; i++) {
        memcpy(requests + (size_t)i * 8, "echo 12\n", 8);
    }
    assert_true(client_try_send(fd, requests, sizeof(requests)));
    for (unsigned i = 0; i < 30000; i++) {
        client_expect(fd, "12\n");
    }
    client_close(fd);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void who_half_closes_gets_all_answers(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "echo a\nbig 5000000\necho b\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    client_expect(fd, "a\n");
    client_expect_pattern(fd, 5000000);
    client_expect(fd, "b\n");
    client_expect_end(fd, false);
    client_close(fd);
    rig_wait_connections(0);
}

static void who_half_closes_gets_a_posted_answer(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "wait a\necho b\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    client_expect(fd, "later a\nb\n");
    client_expect_end(fd, false);
    client_close(fd);
}

static void a_close_by_the_door_loses_no_answer(void **state)
{
    static char rest[200000];
    int fd = client_open();

    /* Bytes after `quit` that nobody reads must not make the kernel reset the connection. */
    (void)state;
    memset(rest, 'x', sizeof(rest));
    client_send(fd, "big 300000\nquit\n");
    (void)client_try_send(fd, rest, sizeof(rest));
    client_expect_pattern(fd, 300000);
    client_expect_end(fd, false);
    client_close(fd);
    rig_wait_connections(0);
}

static bool all_have_come(void *argument)
{
    return rig_counters().accepted_count == *(uint64_t *)argument;
}

static void what_is_withheld_comes_when_it_is_released(void **state)
{
    char line[16];
    int fd = client_open();

    (void)state;
    client_send(fd, "keep a\necho b\nkeep c\n");
    client_expect(fd, "kept a\nlater a\nb\nkept c\nlater c\n");
    client_send(fd, "keep d\n");
    ssize_t early = recv(fd, line, sizeof(line), MSG_DONTWAIT);
    assert_true(early < 0); /* it takes 2 ms at least */
    client_expect(fd, "kept d\nlater d\n");
    client_close(fd);
}

static void what_is_dropped_never_comes_and_all_else_does(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "drop a\necho b\n");
    client_expect(fd, "later a\nb\n");
    client_close(fd);
}

static void what_waits_for_its_reader_is_not_dropped_with_the_rest(void **state)
{
    int fd = client_open();

    (void)state;
    for (unsigned i = 0; i < 8; i++) { /* each in a turn of its own, until too much waits */
        client_send(fd, "big 900000\n");
        os_sleep_ns(5 * Q_MS_NS);
    }
    client_send(fd, "drop a\necho b\n");
    for (unsigned i = 0; i < 8; i++) {
        client_expect_pattern(fd, 900000);
        os_sleep_ns(5 * Q_MS_NS);
    }
    client_expect(fd, "later a\nb\n");
    client_close(fd);
}

static void who_goes_while_his_answers_are_withheld_leaves_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        int fd = client_open();
        client_send(fd, i % 2 == 0 ? "big 3000000\nkeep a\n" : "drop a\n");
        client_close(fd);
    }
    rig_wait_connections(0);
}

static void a_reset_ends_a_connection(void **state)
{
    struct linger none = {.l_onoff = 1};
    uint64_t wanted = 50;

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        int fd = client_open();
        client_send(fd, i % 2 == 0 ? "put 100000\nabc" : "big 50000000\n");
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        client_close(fd);
    }
    rig_wait(all_have_come, &wanted);
    rig_wait_connections(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_split_of_a_conversation_gives_the_same_answers),
        TEST(byte_by_byte_gives_the_same_answers),
        TEST(random_pieces_give_the_same_answers),
        TEST(a_pipeline_is_answered_in_order),
        TEST(a_pipeline_does_not_keep_others_waiting),
        TEST(an_answer_in_one_piece_costs_one_read_and_one_write),
        TEST(bodies_of_any_size_arrive_where_they_are_wanted),
        TEST(answers_may_be_borrowed_from_requests),
        TEST(a_large_answer_comes_whole),
        TEST(what_cannot_be_held_is_copied),
        TEST(a_reader_that_takes_nothing_costs_a_bounded_amount),
        TEST(requests_are_read_while_little_waits),
        TEST(who_half_closes_gets_all_answers),
        TEST(who_half_closes_gets_a_posted_answer),
        TEST(a_close_by_the_door_loses_no_answer),
        TEST(what_is_withheld_comes_when_it_is_released),
        TEST(what_is_dropped_never_comes_and_all_else_does),
        TEST(what_waits_for_its_reader_is_not_dropped_with_the_rest),
        TEST(who_goes_while_his_answers_are_withheld_leaves_nothing),
        TEST(a_reset_ends_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
