/*
 * What clients cannot do to a net: too many, too slow, too long, too much.
 */
#include "unit/serve/net_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <os/os.h>

static struct serve_net_options options;

static int set_up(void **state)
{
    (void)state;
    options = (struct serve_net_options){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_end();
    return 0;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void one_connection_too_many_is_told_and_closed(void **state)
{
    int fds[5];

    (void)state;
    options.limits.connections_max = 5;
    rig_begin(&options);
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = client_open();
    }
    rig_wait_connections(5);
    for (unsigned i = 0; i < 20; i++) {
        int fd = client_open();
        client_expect(fd, "ERROR Too many open connections\r\n");
        client_expect_end(fd, false);
        client_close(fd);
    }
    assert_int_equal(rig_counters().turned_away_count, 20);
    assert_int_equal(rig_news[SERVE_NEWS_TOO_MANY], 20);
    client_close(fds[0]);
    rig_wait_connections(4);
    fds[0] = client_open();
    client_send(fds[0], "echo in\n");
    client_expect(fds[0], "in\n");
    for (unsigned i = 0; i < 5; i++) {
        client_close(fds[i]);
    }
}

static void limits_change_while_running(void **state)
{
    (void)state;
    options.limits.connections_max = 1;
    rig_begin(&options);
    int first = client_open(), second = client_open();
    client_expect(second, "ERROR Too many open connections\r\n");
    client_close(second);
    serve_net_set_limits(net, &(struct serve_limits){0});
    second = client_open();
    client_send(second, "echo in\n");
    client_expect(second, "in\n");
    client_close(second);
    client_close(first);
}

static uint64_t cpu_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * Q_SECOND_NS + (uint64_t)time.tv_nsec;
}

static bool has_no_descriptors(void *argument)
{
    return rig_counters().no_descriptor_count >= *(uint64_t *)argument;
}

static void no_descriptors_is_no_busy_loop_and_passes(void **state)
{
    struct rlimit old, low;
    uint64_t wanted = 3;
    int fds[4];

    (void)state;
    rig_begin(&options);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    /* Two more than are open, and both are used up: the first connection finds none. */
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    low = old;
    low.rlim_cur = (rlim_t)lowest;
    assert_int_equal(close(lowest), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct serve_address address;
    assert_int_equal(serve_address_parse(serve_listener_name(listener), &address, NULL), QUARRY_OK);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(connect(fds[i], &address.any, address.bytes), 0);
    }
    uint64_t begin_ns = os_monotonic_ns(os_real()), begin_cpu_ns = cpu_ns();
    rig_wait(has_no_descriptors, &wanted);
    uint64_t cpu = cpu_ns() - begin_cpu_ns, wall = os_monotonic_ns(os_real()) - begin_ns;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(wall >= 150 * Q_MS_NS); /* two pauses of 100 ms */
    assert_true(cpu < wall / 4);        /* the waiting test's own included */
    /* Three were told; the fourth is served now. */
    unsigned served = 0;
    for (unsigned i = 0; i < 4; i++) {
        char text[64] = {0};
        (void)client_try_send(fds[i], "echo in\nquit\n", 13);
        (void)client_read(fds[i], text, sizeof(text) - 1);
        served += strcmp(text, "in\n") == 0;
        assert_true(strcmp(text, "in\n") == 0 || text[0] == 'E' || text[0] == '\0');
        client_close(fds[i]);
    }
    assert_true(served >= 1 || rig_counters().no_descriptor_count >= 4);
    int fd = client_open();
    client_send(fd, "echo again\n");
    client_expect(fd, "again\n");
    client_close(fd);
}

/* ---- slow writers --------------------------------------------------------------------------- */

/* Who is not too slow may be so where the machine stands still for some time: then it is cut as it
 * should be, and tries again. */
#define ATTEMPTS_MAX 100u

static void an_unfinished_line_is_cut(void **state)
{
    (void)state;
    options.limits.line_deadline_ns = 400 * Q_MS_NS;
    rig_begin(&options);
    int slow = client_open(), good = client_open();
    for (unsigned i = 0; i < 30; i++) { /* a byte now and then does not help */
        if (!client_try_send(slow, "x", 1)) {
            break;
        }
        client_send(good, "echo y\n");
        client_expect(good, "y\n");
        os_sleep_ns(50 * Q_MS_NS);
    }
    client_expect_end(slow, true);
    assert_int_equal(rig_counters().slow_writer_count, 1);
    assert_int_equal(rig_news[SERVE_NEWS_SLOW_WRITER], 1);
    client_send(good, "echo still here\n");
    client_expect(good, "still here\n");
    client_close(slow);
    client_close(good);
}

/* 100 bytes each 25 ms are 4 KB a second. */
static bool is_stored_steadily(void)
{
    char body[100], text[12] = {0};
    int fd = client_open();

    memset(body, 'g', sizeof(body));
    bool is_sent = client_try_send(fd, "put 4000\n", 9);
    for (unsigned i = 0; is_sent && i < 40; i++) {
        is_sent = client_try_send(fd, body, sizeof(body));
        os_sleep_ns(25 * Q_MS_NS);
    }
    bool is_stored = is_sent && client_read(fd, text, sizeof(text)) == sizeof(text);
    client_close(fd);
    assert_true(!is_stored || memcmp(text, "stored 4000 ", sizeof(text)) == 0);
    return is_stored;
}

static void a_body_that_does_not_come_is_cut(void **state)
{
    unsigned spoiled = 0;

    (void)state;
    options.limits.body_grace_ns = 300 * Q_MS_NS;
    rig_begin(&options);
    int slow = client_open();
    client_send(slow, "put 100000\nabc");
    while (!is_stored_steadily()) {
        assert_true(++spoiled < ATTEMPTS_MAX);
    }
    client_expect_end(slow, true);
    assert_int_equal(rig_counters().slow_writer_count, 1 + spoiled);
    client_close(slow);
}

static bool is_answered_all_along(void)
{
    char answer[2] = {0};
    bool is = true;
    int fd = client_open();

    for (unsigned i = 0; is && i < 20; i++) {
        is = client_try_send(fd, "echo y\n", 7) && client_read(fd, answer, 2) == 2;
        assert_true(!is || memcmp(answer, "y\n", 2) == 0);
        os_sleep_ns(50 * Q_MS_NS);
    }
    client_close(fd);
    return is;
}

static void who_is_idle_is_closed_if_asked_for(void **state)
{
    uint64_t spoiled = 0;

    (void)state;
    options.limits.idle_timeout_ns = 400 * Q_MS_NS;
    rig_begin(&options);
    int idle = client_open();
    while (!is_answered_all_along()) {
        assert_true(++spoiled < ATTEMPTS_MAX);
    }
    client_expect_end(idle, true);
    rig_wait_connections(0);
    assert_in_range(rig_counters().idle_count, 1 + spoiled, 2 + spoiled); /* or after its last */
    client_close(idle);
}

static void a_line_without_an_end_is_refused(void **state)
{
    static char line[Q_KIB(100)];

    (void)state;
    options.limits.input_bytes_max = Q_KIB(64);
    rig_begin(&options);
    memset(line, 'x', sizeof(line));
    int fd = client_open();
    client_send(fd, "echo before\n");
    (void)client_try_send(fd, line, sizeof(line));
    client_expect(fd, "before\nCLIENT_ERROR line too long\r\n");
    client_expect_end(fd, false);
    assert_int_equal(rig_counters().too_long_count, 1);
    client_close(fd);
}

static void a_stranger_may_say_less(void **state)
{
    static char line[Q_KIB(20)];
    struct serve_listener_options login = {.needs_login = true};

    (void)state;
    rig_create(&options);
    rig_listen(login);
    rig_start();
    memset(line, 'x', sizeof(line));
    int stranger = client_open(), guest = client_open();
    client_send(guest, "login ann\nwho\n");
    client_expect(guest, "welcome ann\nname=ann rights=15 login=1");
    assert_true(client_try_send(guest, line, sizeof(line)));
    client_send(guest, "\n");
    (void)client_try_send(stranger, line, sizeof(line));
    client_expect(stranger, "CLIENT_ERROR line too long\r\n");
    char text[200] = {0};
    client_read_line(guest, text, sizeof(text)); /* the rest of `who` */
    client_expect(guest, "what?\n");
    client_close(stranger);
    client_close(guest);
}

/* ---- slow readers --------------------------------------------------------------------------- */

static bool one_was_cut(void *argument)
{
    return rig_counters().slow_reader_count >= *(uint64_t *)argument;
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
    uint64_t wanted = 1;

    (void)state;
    options.limits.reader_patience_ns = 400 * Q_MS_NS;
    rig_begin(&options);
    int fd = client_open();
    client_send(fd, "big 100000000\n");
    rig_wait(one_was_cut, &wanted);
    rig_wait_connections(0);
    assert_int_equal(rig_counters().waiting_bytes, 0);
    client_close(fd);
}

/* Takes so little that the kernel does not tell of room: what it has for the reader falls, though.
 * Returns whether nobody was cut. */
static bool is_read_slowly(void)
{
    char bytes[8000];
    uint64_t before = rig_counters().slow_reader_count;
    int fd = client_open();

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){32768}, sizeof(int));
    client_send(fd, "big 100000000\n");
    bool is_given = true;
    for (unsigned i = 0; is_given && i < 60; i++) {
        is_given = client_read(fd, bytes, sizeof(bytes)) == sizeof(bytes);
        os_sleep_ns(40 * Q_MS_NS);
    }
    bool is_cut = rig_counters().slow_reader_count != before;
    assert_true(is_given || is_cut);
    client_close(fd);
    return !is_cut;
}

static void a_reader_that_is_slow_but_takes_is_not_cut(void **state)
{
    unsigned spoiled = 0;

    (void)state;
    options.limits.reader_patience_ns = 600 * Q_MS_NS;
    rig_begin(&options);
    while (!is_read_slowly()) {
        assert_true(++spoiled < ATTEMPTS_MAX);
    }
}

static bool one_has_paused(void *argument)
{
    (void)argument;
    return atomic_load_relaxed_i64(&line_pause_count) > 0;
}

/* Its door is not run while a byte of them waits. */
static void a_door_can_wait_until_its_answers_were_taken(void **state)
{
    enum { ASKED = 60 };

    (void)state;
    atomic_store_relaxed_i64(&line_pause_count, 0);
    rig_begin(&options);
    int fd = client_open();
    for (unsigned i = 0; i < ASKED; i++) {
        client_send(fd, "big 300000\ncalm\n");
    }
    rig_wait(one_has_paused, NULL); /* the kernel has as much as it takes */
    uint64_t turns = rig_counters().turn_count;
    os_sleep_ns(200 * Q_MS_NS);
    assert_int_equal(rig_counters().turn_count, turns);
    assert_in_range(rig_counters().waiting_bytes, 1, 300000);
    for (unsigned i = 0; i < ASKED; i++) {
        client_expect_pattern(fd, 300000);
        client_expect(fd, "calm\n");
    }
    assert_in_range(atomic_load_relaxed_i64(&line_pause_count), 1, ASKED);
    client_close(fd);
}

/* Nobody reads from it, so nobody is told of its end. */
static void who_waits_and_has_ended_too_early_is_closed(void **state)
{
    int fds[4];

    (void)state;
    rig_begin(&options);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = client_open();
    }
    client_send(fds[0], "await 1000\nabc"); /* stays */
    client_send(fds[1], "await 1000\nabc");
    client_send(fds[2], "await 7\nabc"); /* the others are not read yet, but here */
    client_send(fds[3], "await 8\nabc");
    os_sleep_ns(100 * Q_MS_NS);
    client_send(fds[2], "defg");
    client_send(fds[3], "defg");
    assert_int_equal(shutdown(fds[2], SHUT_WR), 0);
    assert_int_equal(shutdown(fds[3], SHUT_WR), 0);
    client_close(fds[1]);
    rig_wait_connections(2);
    os_sleep_ns(1500 * Q_MS_NS);
    rig_wait_connections(2);
    client_expect_end(fds[3], true);
    client_close(fds[3]);
    client_close(fds[2]);
    client_close(fds[0]);
}

static bool all_wait_or_are_cut(void *argument)
{
    static uint64_t last;
    uint64_t sent = rig_counters().sent_bytes;
    bool is_quiet = sent == last && rig_counters().slow_reader_count >= *(uint64_t *)argument;

    last = sent;
    os_sleep_ns(50 * Q_MS_NS);
    return is_quiet && sent > 0;
}

static void all_readers_together_are_bounded_and_the_worst_are_cut(void **state)
{
    enum { READERS = 60 };
    int fds[READERS];

    (void)state;
    options.limits.output_bytes_max = Q_MIB(8);
    rig_begin(&options);
    atomic_store_relaxed_bool(&line_can_hold, false);
    int good = client_open();
    for (unsigned i = 0; i < READERS; i++) {
        fds[i] = client_open();
        client_send(fds[i], "big 100000000\n");
        client_send(good, "big 1000\n");
        client_expect_pattern(good, 1000);
        assert_true(rig_counters().waiting_bytes <= Q_MIB(8) + Q_MIB(2) + Q_MIB(2));
    }
    rig_wait(all_wait_or_are_cut, &(uint64_t){READERS / 2});
    assert_true(rig_counters().waiting_bytes <= Q_MIB(8));
    assert_in_range(rig_counters().slow_reader_count, READERS / 2, READERS - 5);
    assert_true(rig_charged_bytes() < Q_MIB(14));
    client_send(good, "echo fine\n");
    client_expect(good, "fine\n");
    for (unsigned i = 0; i < READERS; i++) {
        client_close(fds[i]);
    }
    client_close(good);
    rig_wait_connections(0);
    assert_int_equal(rig_counters().waiting_bytes, 0);
    atomic_store_relaxed_bool(&line_can_hold, true);
}

/* What a door holds is its store's, which has a cap of its own for it. */
static void what_a_door_holds_is_not_counted_and_cuts_nobody(void **state)
{
    enum { READERS = 8 };
    int fds[READERS];

    (void)state;
    options.limits.output_bytes_max = Q_MIB(1);
    rig_begin(&options);
    for (unsigned i = 0; i < READERS; i++) {
        fds[i] = client_open();
        client_send(fds[i], "big 20000000\n");
    }
    rig_wait(all_wait_or_are_cut, &(uint64_t){0});
    assert_true(line_held_count > 0);
    assert_true(rig_counters().waiting_bytes <= READERS * Q_KIB(8));
    for (unsigned i = 0; i < READERS; i++) {
        client_expect_pattern(fds[i], 20000000);
        client_close(fds[i]);
    }
    assert_int_equal(rig_counters().slow_reader_count, 0);
}

static bool input_is_counted(void *argument)
{
    (void)argument;
    return rig_counters().waiting_bytes >= Q_KIB(12); /* of a read of 16 */
}

static bool nothing_is_counted(void *argument)
{
    (void)argument;
    return rig_counters().waiting_bytes == 0;
}

/* Requests behind an answer that is not taken wait for the same reader. */
static void what_waits_behind_a_slow_reader_is_counted(void **state)
{
    static char lines[Q_KIB(48)];

    (void)state;
    memset(lines, 'x', sizeof(lines));
    memcpy(lines, "big 20000000xxx\n", 16);
    for (size_t i = 23; i < sizeof(lines); i += 8) {
        lines[i] = '\n';
    }
    options.worker_count = 1;
    rig_begin(&options);
    int other = client_open();
    int fd = client_open();
    assert_true(client_try_send(fd, lines, sizeof(lines)));
    os_sleep_ns(100 * Q_MS_NS);
    client_send(other, "echo x\n"); /* who needs the shared buffer, in which they may lie */
    client_expect(other, "x\n");
    client_close(other);
    rig_wait(input_is_counted, NULL);
    client_expect_pattern(fd, 20000000);
    for (size_t i = 2; i < sizeof(lines) / 8; i++) {
        client_expect(fd, "what?\n");
    }
    rig_wait(nothing_is_counted, NULL);
    client_close(fd);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void two_thousand_idle_connections_cost_less_than_a_kibibyte_each(void **state)
{
    enum { IDLE = 2000 };
    static int fds[IDLE];

    (void)state;
    rig_begin(&options);
    int first = client_open();
    client_send(first, "echo x\n");
    client_expect(first, "x\n");
    uint64_t charged = rig_charged_bytes(), resident = os_resident_bytes();
    for (unsigned i = 0; i < IDLE; i++) {
        fds[i] = client_open();
        client_send(fds[i], i % 2 == 0 ? "echo x\n" : "put 3\nabc");
    }
    for (unsigned i = 0; i < IDLE; i++) {
        char text[40];
        client_read_line(fds[i], text, sizeof(text));
    }
    rig_wait_connections(IDLE + 1);
    uint64_t each = (rig_charged_bytes() - charged) / IDLE;
    uint64_t resident_each = (sat_sub_u64(os_resident_bytes(), resident)) / IDLE;
    print_message("an idle connection: %" PRIu64 " bytes charged, %" PRIu64 " resident\n", each,
                  resident_each);
    assert_in_range(each, 1, 1024);
    if (!OS_UNDER_TSAN && !OS_UNDER_ASAN) {
        assert_true(resident_each <= Q_KIB(2));
    }
    for (unsigned i = 0; i < IDLE; i++) {
        client_close(fds[i]);
    }
    rig_wait_connections(1);
    assert_true(rig_charged_bytes() <= charged + Q_KIB(128)); /* and it comes back */
    client_close(first);
}

static void no_memory_ends_a_connection_and_no_more(void **state)
{
    (void)state;
    rig_begin(&options);
    int good = client_open();
    client_send(good, "echo x\n");
    client_expect(good, "x\n");
    struct quarry_ledger ledger;
    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    assert_int_equal(quarry_memory_set_limit(memory, ledger.committed_bytes + Q_KIB(64)),
                     QUARRY_OK);
    int greedy = client_open();
    atomic_store_relaxed_bool(&line_can_hold, false);
    client_send(greedy, "big 100000000\n");
    char bytes[4096];
    while (client_read(greedy, bytes, sizeof(bytes)) == sizeof(bytes)) {
    }
    client_send(good, "echo y\n");
    client_expect(good, "y\n");
    assert_true(rig_counters().no_memory_count >= 1);
    client_close(greedy);
    client_close(good);
    atomic_store_relaxed_bool(&line_can_hold, true);
    assert_int_equal(quarry_memory_set_limit(memory, Q_MIB(256)), QUARRY_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_connection_too_many_is_told_and_closed),
        TEST(limits_change_while_running),
        TEST(no_descriptors_is_no_busy_loop_and_passes),
        TEST(an_unfinished_line_is_cut),
        TEST(a_door_can_wait_until_its_answers_were_taken),
        TEST(who_waits_and_has_ended_too_early_is_closed),
        TEST(a_body_that_does_not_come_is_cut),
        TEST(who_is_idle_is_closed_if_asked_for),
        TEST(a_line_without_an_end_is_refused),
        TEST(a_stranger_may_say_less),
        TEST(a_reader_that_takes_nothing_is_cut),
        TEST(a_reader_that_is_slow_but_takes_is_not_cut),
        TEST(all_readers_together_are_bounded_and_the_worst_are_cut),
        TEST(what_a_door_holds_is_not_counted_and_cuts_nobody),
        TEST(what_waits_behind_a_slow_reader_is_counted),
        TEST(two_thousand_idle_connections_cost_less_than_a_kibibyte_each),
        TEST(no_memory_ends_a_connection_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
