/*
 * Answers that leave together: those of all connections that had their turn in a pass.
 */
#include "unit/serve/net_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <os/os.h>

/* More than an outbox has places for. */
#define CLIENTS 150u
/* Nearly as much as it takes of one. */
#define LONG_BYTES 8000u

static int keeper;

static int set_up(void **state)
{
    (void)state;
    rig_begin(&(struct serve_net_options){.worker_count = 1});
    keeper = client_open();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(keeper);
    rig_end();
    return 0;
}

static bool worker_stays(void *argument)
{
    (void)argument;
    return atomic_load_acquire_bool(&line_is_staying);
}

/* What is sent from here on comes to the worker in one pass, or few. */
static void hold_worker(void)
{
    client_send(keeper, "stay\n");
    rig_wait(worker_stays, NULL);
}

static void let_worker_go(void)
{
    char line[32];

    line_door_go();
    client_read_line(keeper, line, sizeof(line));
}

static void open_all(int fds[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fds[i] = client_open();
    }
    rig_wait_connections(count + 1);
}

static void each_is_answered_with_its_own(void **state)
{
    int fds[CLIENTS];
    char text[64];

    (void)state;
    open_all(fds, CLIENTS);
    struct serve_counters before = rig_counters();
    hold_worker();
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)snprintf(text, sizeof(text), "echo first of %u\necho second of %u\n", i, i);
        client_send(fds[i], text);
    }
    let_worker_go();
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)snprintf(text, sizeof(text), "first of %u\nsecond of %u\n", i, i);
        client_expect(fds[i], text);
    }
    struct serve_counters after = rig_counters();
    assert_int_equal(after.send_count - before.send_count, CLIENTS + 1);
    /* The loop tells of 32 at first, and of twice as many when it had as many to tell of. */
    assert_in_range(after.pass_count - before.pass_count, 1, CLIENTS / 4);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_close(fds[i]);
    }
}

static void long_ones_and_those_that_close_go_between(void **state)
{
    int fds[60];

    (void)state;
    open_all(fds, 60);
    hold_worker();
    for (unsigned i = 0; i < 60; i += 3) {
        client_send(fds[i], "echo short\n");
        client_send(fds[i + 1], "big 8000\nbig 200000\n");
        client_send(fds[i + 2], "echo last\nquit\n");
    }
    let_worker_go();
    for (unsigned i = 0; i < 60; i += 3) {
        client_expect(fds[i], "short\n");
        client_expect_pattern(fds[i + 1], 8000);
        client_expect_pattern(fds[i + 1], 200000);
        client_expect(fds[i + 2], "last\n");
        client_expect_end(fds[i + 2], false);
    }
    for (unsigned i = 0; i < 60; i++) {
        client_close(fds[i]);
    }
}

/* What sockets do not take is kept, in its order, and behind it what comes later. */
static void readers_that_take_nothing_miss_nothing(void **state)
{
    enum { READERS = 4, ROUNDS = 400 };
    unsigned round = 0;
    int fds[READERS];

    (void)state;
    for (unsigned i = 0; i < READERS; i++) {
        fds[i] = client_open();
        (void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
    }
    rig_wait_connections(READERS + 1);
    while (round < ROUNDS && rig_counters().waiting_bytes < (uint64_t)READERS * Q_KIB(32)) {
        hold_worker();
        for (unsigned i = 0; i < READERS; i++) {
            client_send(fds[i], "big 8000\n");
        }
        let_worker_go();
        round++;
    }
    assert_true(rig_counters().waiting_bytes > 0);
    for (unsigned i = 0; i < READERS; i++) {
        /* Through a small window they would come in hundreds of pieces. */
        (void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &(int){1 << 20}, sizeof(int));
        for (unsigned j = 0; j < round; j++) {
            client_expect_pattern(fds[i], LONG_BYTES);
        }
        client_send(fds[i], "echo end\n");
        client_expect(fds[i], "end\n");
        client_close(fds[i]);
    }
}

/* Resets come while answers for them are on their way. */
static void those_who_have_gone_leave_nothing(void **state)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        int fds[40];

        open_all(fds, 40);
        hold_worker();
        for (unsigned i = 0; i < 40; i++) {
            client_send(fds[i], "echo one\necho two\n");
            if (i % 2 == 0) {
                (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
                client_close(fds[i]);
            }
        }
        let_worker_go();
        for (unsigned i = 1; i < 40; i += 2) {
            client_expect(fds[i], "one\ntwo\n");
            client_close(fds[i]);
        }
        rig_wait_connections(1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_answered_with_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_ones_and_those_that_close_go_between, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(readers_that_take_nothing_miss_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_who_have_gone_leave_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
