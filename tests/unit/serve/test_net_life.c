/*
 * What a net is around its conversations: addresses, workers, posted answers, the end.
 */
#include "unit/serve/net_rig.h"

#include <arpa/inet.h>
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
    rig_end(); /* while threads post */
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

struct report {
    _Atomic uint32_t workers;
    uint64_t ids[8];
    uint32_t count;
    uint64_t idle_ns;
};

static void note_connection(struct serve_connection *connection, void *argument)
{
    struct report *report = argument;

    report->ids[report->count++ % 8] = serve_connection_id(connection);
    report->idle_ns = size_max_u64(report->idle_ns, serve_connection_idle_ns(connection));
}

static struct report report;

/* On each worker in turn, as a door would do it. */
static void report_on(struct serve_connection *connection, void *argument)
{
    struct serve_worker *worker = argument;
    uint32_t next = serve_worker_index(worker) + 1;

    assert_null(connection);
    serve_worker_each(worker, note_connection, &report);
    if (next < serve_net_worker_count(serve_worker_net(worker))) {
        worker = serve_net_worker(serve_worker_net(worker), next);
        (void)serve_post(worker, 0, report_on, worker);
    } else {
        atomic_store_release_u32(&report.workers, next);
    }
}

static bool report_is_made(void *argument)
{
    (void)argument;
    return atomic_load_acquire_u32(&report.workers) == 2;
}

static void a_door_can_report_on_all_connections(void **state)
{
    int fds[5];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = client_open();
    }
    rig_wait_connections(5);
    os_sleep_ns(20 * Q_MS_NS);
    memset(&report, 0, sizeof(report));
    assert_true(serve_post(serve_net_worker(net, 0), 0, report_on, serve_net_worker(net, 0)));
    rig_wait(report_is_made, NULL);
    assert_int_equal(report.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_int_not_equal(report.ids[i], report.ids[j]);
        }
    }
    assert_in_range(report.idle_ns, 20 * Q_MS_NS, 3600 * Q_SECOND_NS);
    for (unsigned i = 0; i < 5; i++) {
        client_close(fds[i]);
    }
}

/* A connection that has gone leaves a slot behind, which must not be taken for somebody. */
static void what_is_posted_to_nobody_finds_nobody(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        int fd = client_open();
        client_send(fd, "echo x\n");
        client_expect(fd, "x\n");
        client_close(fd);
    }
    rig_wait_connections(0);
    memset(&report, 0, sizeof(report));
    assert_true(serve_post(serve_net_worker(net, 0), 0, report_on, serve_net_worker(net, 0)));
    rig_wait(report_is_made, NULL);
    assert_int_equal(report.count, 0);
}

static uint32_t some_count;

static void note_some(struct serve_connection *connection, void *argument)
{
    some_count += serve_connection_is_busy(connection) ? 1000 : 1;
    (void)argument;
}

/* A few slots at a time, as one does it who must not keep a worker from others. */
static void report_some(struct serve_connection *connection, void *argument)
{
    struct serve_worker *worker = argument;
    uint32_t first = 0, stretches = 0;

    (void)connection;
    do {
        first = serve_worker_some(worker, first, 2, note_some, NULL);
        stretches++;
    } while (first != 0);
    assert_true(stretches > 2);
    atomic_store_release_u32(&report.workers, 2);
}

static void connections_can_be_told_in_stretches(void **state)
{
    int fds[9];

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        fds[i] = client_open();
        client_send(fds[i], i < 3 ? "echo x\nhal" : "echo x\n");
        client_expect(fds[i], "x\n");
    }
    rig_wait_connections(9);
    some_count = 0;
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store_relaxed_u32(&report.workers, 0);
        assert_true(serve_post(serve_net_worker(net, i), 0, report_some, serve_net_worker(net, i)));
        rig_wait(report_is_made, NULL);
    }
    assert_int_equal(some_count, 3006);
    for (unsigned i = 0; i < 9; i++) {
        client_close(fds[i]);
    }
}

/* One of the things that clients do to servers. */
static void misbehave(int fd, uint64_t what)
{
    static const char *const sayings[] = {
        "echo a\n",           "echo unfinished", "put 100000\nabc",      "put 5\n12345echo x\n",
        "big 300000\n",       "big 90000000\n",  "wait a\necho b\n",     "post a\nquit\n",
        "echo a\nquit\nmore", "\n\n\n\n",        "post b\nbig 999999\n", "wait c\nquit\n",
    };
    struct linger none = {.l_onoff = 1};
    char bytes[5000];

    for (unsigned i = 0; i < 3; i++) {
        const char *saying = sayings[(what >> (8 * i)) % 12];
        (void)client_try_send(fd, saying, strlen(saying));
    }
    if ((what >> 32) % 4 == 0) {
        (void)shutdown(fd, SHUT_WR);
    }
    if ((what >> 36) % 2 == 0) {
        (void)recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        os_sleep_ns((what >> 40) % 8 * Q_MS_NS);
    }
    if ((what >> 48) % 3 == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    }
}

static void *vandal(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    for (unsigned i = 0; i < 150; i++) {
        int fd = client_open();
        misbehave(fd, random_u64(&random));
        client_close(fd);
    }
    return NULL;
}

static void clients_that_do_anything_leave_nothing_behind(void **state)
{
    static const struct serve_limits narrow = {.connections_max = 30,
                                               .idle_timeout_ns = 20 * Q_MS_NS,
                                               .line_deadline_ns = 10 * Q_MS_NS,
                                               .body_grace_ns = 10 * Q_MS_NS,
                                               .reader_patience_ns = 5 * Q_MS_NS,
                                               .linger_ns = 5 * Q_MS_NS,
                                               .drain_ns = 50 * Q_MS_NS,
                                               .output_bytes_max = Q_MIB(1)};
    pthread_t threads[6];

    (void)state;
    rig_end();
    rig_begin(&(struct serve_net_options){.worker_count = 3, .limits = narrow});
    for (uintptr_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, vandal, (void *)(i + 1)), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        os_sleep_ns(5 * Q_MS_NS);
        serve_net_set_limits(net, &narrow);
    }
    for (unsigned i = 0; i < 6; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_int_equal(rig_counters().current_count, 0);
    assert_int_equal(rig_counters().waiting_bytes, 0);
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
    rig_wait_received(9); /* else it is idle */
    uint64_t begin_ns = os_monotonic_ns(os_real());
    serve_net_begin_drain(net);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
    assert_true(os_monotonic_ns(os_real()) - begin_ns >= 280 * Q_MS_NS);
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
        TEST(a_door_can_report_on_all_connections),
        TEST(what_is_posted_to_nobody_finds_nobody),
        TEST(connections_can_be_told_in_stretches),
        TEST(clients_that_do_anything_leave_nothing_behind),
        TEST(a_drain_ends_idle_connections_and_finishes_others),
        TEST(a_drain_does_not_wait_for_ever),
        TEST(who_comes_at_the_last_moment_is_answered),
        TEST(a_net_that_was_never_started_ends),
        TEST(a_net_for_which_there_is_no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
