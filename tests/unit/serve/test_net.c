/*
 * Conversations with a net: whatever way bytes come, the answers are the same.
 */
#include "unit/serve/net_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* Lets the server see what was sent before more is: its counter has to move. */
static void let_arrive(uint64_t received_bytes)
{
    for (unsigned i = 0; i < 100000 && rig_counters().received_bytes < received_bytes; i++) {
        os_yield();
    }
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
        let_arrive(before + start);
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
    client_send(keeper, "turn 300\n");
    os_sleep_ns(50 * Q_MS_NS);
    assert_true(client_try_send(busy, requests, 100000)); /* both while the worker is kept */
    client_send(other, "turn 0\n");
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
        let_arrive(before + 20000);
        assert_true(client_try_send(fd, request + 20000, 20000));
        let_arrive(before + 40000);
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

/* ---- who is who ----------------------------------------------------------------------------- */

static void connections_know_their_ends(void **state)
{
    struct sockaddr_in own;
    socklen_t bytes = sizeof(own);
    char text[300];
    int fd = client_open();

    (void)state;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &bytes), 0);
    client_send(fd, "who\n");
    (void)sprintf(text, "name= rights=0 login=0 tls=0 peer=127.0.0.1:%u local=%s\n",
                  ntohs(own.sin_port), serve_listener_name(listener));
    client_expect(fd, text);
    client_close(fd);
}

static void the_local_end_is_exact_where_all_addresses_are_listened_on(void **state)
{
    char text[300], name[64];
    struct serve_address address;

    (void)state;
    rig_end();
    rig_create(NULL);
    rig_listen((struct serve_listener_options){.address = "*:0"});
    (void)snprintf(name, sizeof(name), "127.0.0.2:%u", serve_listener_port(listener));
    assert_false(serve_listener_is_loopback(listener));
    rig_start();
    assert_int_equal(serve_address_parse(name, &address, NULL), QUARRY_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &address.any, address.bytes), 0);
    client_send(fd, "who\n");
    (void)snprintf(text, sizeof(text), " local=%s\n", name);
    char answer[300];
    ssize_t count = recv(fd, answer, sizeof(answer) - 1, 0);
    assert_true(count > 0);
    answer[count] = '\0';
    assert_non_null(strstr(answer, text));
    client_close(fd);
}

static _Atomic int64_t admitted_count, left_count;

static void count_left(void *argument, const struct serve_identity *identity)
{
    (void)argument;
    if (strncmp(identity->name, "uid", 3) == 0) {
        (void)atomic_add_relaxed_i64(&left_count, 1);
    }
}

static bool admit_by_uid(void *argument, const struct serve_peer *peer,
                         struct serve_identity *identity)
{
    uint32_t *uid = argument;

    if (!peer->has_credentials || peer->pid != getpid() || peer->uid != *uid) {
        return false;
    }
    (void)snprintf(identity->name, sizeof(identity->name), "uid%u", peer->uid);
    identity->rights = SERVE_ALL;
    (void)atomic_add_relaxed_i64(&admitted_count, 1);
    return true;
}

static void unix_begin(const char *path, mode_t mode, uint32_t *uid)
{
    rig_end();
    rig_create(&(struct serve_net_options){
        .hooks = {.argument = uid, .admit = admit_by_uid, .left = count_left}});
    rig_listen((struct serve_listener_options){.address = path, .unix_mode = mode});
    rig_start();
}

static void a_unix_socket_has_its_mode_and_knows_its_clients(void **state)
{
    char folder[] = "/tmp/quarry-net-XXXXXX", path[64], wanted[200];
    uint32_t uid = geteuid();
    struct stat file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "unix:%s/q.sock", folder);
    mode_t mask = umask(0);
    unix_begin(path, 0, &uid);
    assert_int_equal(stat(path + 5, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    (void)umask(mask);
    int fd = client_open();
    client_send(fd, "who\n");
    (void)snprintf(wanted, sizeof(wanted), "name=uid%u rights=15 login=0 tls=0 peer=%s local=%s\n",
                   uid, path, path);
    client_expect(fd, wanted);
    client_close(fd);
    rig_wait_connections(0);
    assert_int_equal(admitted_count, 1); /* who was let in is told of once it has left */
    assert_int_equal(left_count, 1);
    unix_begin(path, 0666, &uid);
    assert_int_equal(stat(path + 5, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0666);
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_int_not_equal(stat(path + 5, &file), 0); /* it goes with the server */
    assert_int_equal(rmdir(folder), 0);
}

static void who_is_not_admitted_is_told(void **state)
{
    char folder[] = "/tmp/quarry-net-XXXXXX", path[64];
    uint32_t uid = geteuid() + 1;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "unix:%s/q.sock", folder);
    unix_begin(path, 0, &uid);
    int fd = client_open();
    client_expect(fd, "SERVER_ERROR connection refused\r\n");
    client_expect_end(fd, true);
    client_close(fd);
    rig_wait_connections(0);
    assert_int_equal(rig_counters().refused_count, 1);
    assert_int_equal(left_count, admitted_count);
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_int_equal(rmdir(folder), 0);
}

static void a_stale_socket_is_removed_and_a_living_one_is_not(void **state)
{
    char folder[] = "/tmp/quarry-net-XXXXXX", path[64];
    struct serve_address address;
    struct quarry_error error = {0};
    uint32_t uid = geteuid();

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "unix:%s/q.sock", folder);
    assert_int_equal(serve_address_parse(path, &address, NULL), QUARRY_OK);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, &address.any, address.bytes), 0);
    client_close(dead);
    unix_begin(path, 0, &uid);
    struct serve_net *other = NULL;
    struct quarry_memory *other_memory = NULL;
    struct serve_listener_options same = {.address = path, .door = &line_door};
    assert_int_equal(quarry_memory_create(&(struct quarry_memory_options){.limit_bytes = Q_MIB(64)},
                                          &other_memory, NULL),
                     QUARRY_OK);
    assert_int_equal(
        serve_net_create(&(struct serve_net_options){.memory = other_memory}, &other, NULL),
        QUARRY_OK);
    assert_int_equal(serve_net_listen(other, &same, NULL, &error), QUARRY_BUSY);
    assert_non_null(strstr(error.text, path));
    same.address = serve_listener_name(listener);
    serve_net_destroy(other);
    quarry_memory_destroy(other_memory);
    int fd = client_open(); /* it is still there */
    client_close(fd);
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_int_equal(rmdir(folder), 0);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    char file[] = "/tmp/quarry-net-XXXXXX", path[64];
    struct serve_listener_options options = {.address = path, .door = &line_door};
    struct quarry_error error = {0};

    (void)state;
    int fd = mkstemp(file);
    assert_int_equal(close(fd), 0);
    (void)snprintf(path, sizeof(path), "unix:%s", file);
    rig_end();
    rig_create(NULL);
    assert_int_equal(serve_net_listen(net, &options, NULL, &error), QUARRY_EXISTS);
    assert_int_equal(unlink(file), 0);
}

static void a_port_that_is_taken_is_told(void **state)
{
    char address[64];
    struct serve_listener_options options = {.address = address, .door = &line_door};
    struct quarry_error error = {0};

    (void)state;
    rig_end();
    rig_create(NULL);
    rig_listen((struct serve_listener_options){0});
    (void)snprintf(address, sizeof(address), "%s", serve_listener_name(listener));
    assert_int_equal(serve_net_listen(net, &options, NULL, &error), QUARRY_BUSY);
    assert_non_null(strstr(error.text, address));
    options.address = "192.0.2.1:0"; /* of nobody */
    assert_int_equal(serve_net_listen(net, &options, NULL, &error), QUARRY_NOT_FOUND);
}

/* ---- workers -------------------------------------------------------------------------------- */

static void few_connections_are_spread_evenly(void **state)
{
    int fds[8];

    (void)state;
    rig_end();
    rig_begin(&(struct serve_net_options){.worker_count = 4});
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = client_open();
    }
    rig_wait_connections(8);
    for (uint32_t i = 0; i < 4; i++) {
        struct serve_counters counters;
        serve_worker_read_counters(serve_net_worker(net, i), &counters);
        assert_int_equal(counters.current_count, 2);
    }
    client_close(fds[0]);
    client_close(fds[4]); /* of the same worker: each was given out in turn */
    rig_wait_connections(6);
    fds[0] = client_open();
    fds[4] = client_open();
    rig_wait_connections(8);
    for (uint32_t i = 0; i < 4; i++) {
        struct serve_counters counters;
        serve_worker_read_counters(serve_net_worker(net, i), &counters);
        assert_int_equal(counters.current_count, 2);
    }
    for (unsigned i = 0; i < 8; i++) {
        client_close(fds[i]);
    }
}

static void posted_answers_come_in_order(void **state)
{
    int fd = client_open();
    char text[64];

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        (void)sprintf(text, "wait %u\necho %u\n", i, i);
        client_send(fd, text);
    }
    for (unsigned i = 0; i < 50; i++) {
        (void)sprintf(text, "later %u\n%u\n", i, i);
        client_expect(fd, text);
    }
    assert_int_equal(rig_counters().posted_count, 50);
    client_close(fd);
}

static bool is_gone_told(void *argument)
{
    return line_gone_count == *(int64_t *)argument;
}

static void a_posted_answer_to_nobody_is_told_so(void **state)
{
    int64_t wanted = line_gone_count + 40;
    struct linger none = {.l_onoff = 1};

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        int fd = client_open();
        client_send(fd, i % 2 == 0 ? "post x\nquit\n" : "echo y\npost x\nquit\n");
        if (i % 2 == 1) {
            client_expect(fd, "y\n");
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        }
        client_close(fd);
    }
    rig_wait(is_gone_told, &wanted);
    rig_wait_connections(0);
}

static void a_posted_answer_to_a_net_that_ends_is_told_so(void **state)
{
    int64_t before = line_gone_count;
    int fd = client_open();

    (void)state;
    client_send(fd, "echo y\n");
    client_expect(fd, "y\n");
    for (unsigned i = 0; i < 20; i++) {
        client_send(fd, "post x\n");
    }
    client_send(fd, "wait z\n");
    client_close(fd);
    rig_end(); /* waits for the threads that post, and ends */
    assert_in_range(line_gone_count - before, 0, 21);
    rig_begin(NULL);
}

static void *hammer(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 60; i++) {
        int fd = client_open();
        client_send(fd, "echo a\nwait b\nbig 200000\n");
        client_expect(fd, "a\nlater b\n");
        client_expect_pattern(fd, 200000);
        client_send(fd, "quit\n");
        client_expect_end(fd, false);
        client_close(fd);
    }
    return NULL;
}

static void many_clients_at_once_are_served(void **state)
{
    pthread_t threads[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    rig_wait_connections(0);
    assert_int_equal(rig_counters().accepted_count, 360);
}

static void a_flood_of_connections_leaves_nothing_behind(void **state)
{
    int good = client_open();

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        int fd = client_open();
        if (i % 3 == 0) {
            client_send(fd, "echo x\nput 10\nabc");
        }
        client_close(fd);
        if (i % 100 == 0) {
            client_send(good, "echo y\n");
            client_expect(good, "y\n");
        }
    }
    rig_wait_connections(1);
    client_close(good);
}

/* ---- drain ---------------------------------------------------------------------------------- */

static void a_drain_ends_idle_connections_and_finishes_others(void **state)
{
    char body[1000];
    int idle = client_open(), reader = client_open(), writer = client_open();

    (void)state;
    memset(body, 'b', sizeof(body));
    client_send(idle, "echo x\n");
    client_expect(idle, "x\n");
    client_send(reader, "big 20000000\n");
    client_send(writer, "echo y\nput 1000\n");
    client_expect(writer, "y\n");
    rig_wait_connections(3);
    serve_net_begin_drain(net);
    client_expect_end(idle, false);
    assert_false(serve_net_wait_drained(net, 50 * Q_MS_NS));
    client_expect_pattern(reader, 20000000);
    client_expect_end(reader, false);
    char text[64];
    assert_true(client_try_send(writer, body, sizeof(body)));
    (void)sprintf(text, "stored 1000 %016" PRIx64 "\n", line_hash(0, body, sizeof(body)));
    client_expect(writer, text);
    client_expect_end(writer, false);
    client_close(idle);
    client_close(reader);
    client_close(writer);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
}

static void a_drain_does_not_wait_for_ever(void **state)
{
    (void)state;
    rig_end();
    rig_begin(&(struct serve_net_options){.limits = {.drain_ns = 300 * Q_MS_NS}});
    int fd = client_open();
    client_send(fd, "put 1000\n");
    rig_wait_connections(1);
    os_sleep_ns(20 * Q_MS_NS);
    uint64_t begin_ns = os_monotonic_ns(os_real());
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_in_range(os_monotonic_ns(os_real()) - begin_ns, 280 * Q_MS_NS, 5 * Q_SECOND_NS);
    client_expect_end(fd, true);
    client_close(fd);
}

static void who_comes_at_the_last_moment_is_answered(void **state)
{
    int fds[50];
    unsigned answered = 0;

    /* Connected and sent before the drain began, though nobody may have accepted yet. */
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        fds[i] = client_open();
        client_send(fds[i], "echo late\n");
    }
    serve_net_begin_drain(net);
    for (unsigned i = 0; i < 50; i++) {
        char text[5];
        answered += client_read(fds[i], text, 5) == 5;
        client_close(fds[i]);
    }
    assert_int_equal(answered, 50);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
}

static void a_net_that_was_never_started_ends(void **state)
{
    (void)state;
    rig_end();
    rig_create(NULL);
    rig_listen((struct serve_listener_options){0});
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
}

/* Begins a net in a memory of so many bytes. Returns whether it could; nothing may be left. */
static bool net_begins_in(uint64_t limit_bytes)
{
    struct quarry_memory_options options = {.limit_bytes = limit_bytes, .has_no_thread = true};
    struct serve_listener_options door = {.address = "127.0.0.1:0", .door = &line_door};
    struct quarry_ledger ledger;
    struct serve_net *tried = NULL;

    if (quarry_memory_create(&options, &memory, NULL) != QUARRY_OK) {
        return false;
    }
    enum quarry_status status = serve_net_create(
        &(struct serve_net_options){.memory = memory, .worker_count = 2}, &tried, NULL);
    status = status == QUARRY_OK ? serve_net_listen(tried, &door, NULL, NULL) : status;
    status = status == QUARRY_OK ? serve_net_start(tried, NULL) : status;
    serve_net_destroy(tried);
    assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    assert_int_equal(ledger.in_use_bytes, 0);
    quarry_memory_destroy(memory);
    return status == QUARRY_OK;
}

static void a_net_for_which_there_is_no_memory_leaves_nothing(void **state)
{
    unsigned failed = 0, descriptors = 0;

    (void)state;
    rig_end();
    descriptors = rig_descriptor_count();
    for (uint64_t limit = Q_KIB(128); !net_begins_in(limit); limit += Q_KIB(8)) {
        assert_true(limit < Q_MIB(16));
        failed++;
    }
    assert_true(failed > 50);
    assert_int_equal(rig_descriptor_count(), descriptors);
    rig_begin(NULL);
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
        TEST(a_reset_ends_a_connection),
        TEST(connections_know_their_ends),
        TEST(the_local_end_is_exact_where_all_addresses_are_listened_on),
        TEST(a_unix_socket_has_its_mode_and_knows_its_clients),
        TEST(who_is_not_admitted_is_told),
        TEST(a_stale_socket_is_removed_and_a_living_one_is_not),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(a_port_that_is_taken_is_told),
        TEST(few_connections_are_spread_evenly),
        TEST(posted_answers_come_in_order),
        TEST(a_posted_answer_to_nobody_is_told_so),
        TEST(a_posted_answer_to_a_net_that_ends_is_told_so),
        TEST(many_clients_at_once_are_served),
        TEST(a_flood_of_connections_leaves_nothing_behind),
        TEST(a_drain_ends_idle_connections_and_finishes_others),
        TEST(a_drain_does_not_wait_for_ever),
        TEST(who_comes_at_the_last_moment_is_answered),
        TEST(a_net_that_was_never_started_ends),
        TEST(a_net_for_which_there_is_no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
