/*
 * Durability `power` over real sockets: a disk that is slow, that fails, and that loses power.
 */
#include "unit/serve/net_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <keyspace/keyspace.h>
#include <os/os.h>
#include <quarry/vfs.h>
#include <serve/door_resp.h>
#include <serve/resp/admin.h>

static struct quarry_vfs *disk, *faulty;
static struct keyspace *keyspace;
static _Atomic uint64_t failed_syncs;

static void sync_failed(void *argument, const struct quarry_error *error)
{
    (void)argument;
    (void)error;
    (void)atomic_add_relaxed_u64(&failed_syncs, 1);
}

static struct quarry_kv_options store_options(struct quarry_vfs *vfs)
{
    return (struct quarry_kv_options){.vfs = vfs,
                                      .create_if_missing = true,
                                      .write_buffer_bytes = Q_MIB(1),
                                      .memory_bytes = Q_MIB(64)};
}

static void open_door(void)
{
    struct quarry_error error = {0};
    const struct resp_admin_settings admin = {.memory = memory,
                                              .keyspace = keyspace,
                                              .version = "0",
                                              .worker_count = 2,
                                              .slowlog_us = -1};
    const struct resp_door_settings settings = {.memory = memory,
                                                .keyspace = keyspace,
                                                .worker_count = 2,
                                                .syncs = true,
                                                .hooks = {.sync_failed = sync_failed}};

    assert_int_equal(resp_admin_open(&admin, &error), QUARRY_OK);
    assert_int_equal(resp_open(&settings, &error), QUARRY_OK);
    rig_listen((struct serve_listener_options){
        .door = &resp_door, .replies = &serve_replies_resp, .identity = {.rights = SERVE_ALL}});
    rig_start();
}

static int begin(void **state)
{
    struct quarry_error error = {0};
    const struct keyspace_options options = {.now_ms = NULL};

    (void)state;
    rig_create(NULL);
    atomic_store_relaxed_u64(&failed_syncs, 0);
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &faulty), QUARRY_OK);
    struct quarry_kv_options kv_options = store_options(faulty);
    assert_int_equal(keyspace_open(memory, "/db", &kv_options, &options, &keyspace, &error),
                     QUARRY_OK);
    open_door();
    return 0;
}

static int end(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    serve_net_stop(net);
    resp_stop();
    serve_net_destroy(net);
    net = NULL;
    resp_close();
    resp_admin_close();
    quarry_vfs_fault_set(faulty, 0, NULL);
    (void)keyspace_close(keyspace, &error);
    quarry_vfs_fault_destroy(faulty);
    quarry_vfs_memory_destroy(disk);
    quarry_memory_destroy(memory);
    return 0;
}

static _Atomic uint64_t sync_ns; /* how long a sync takes */

static void take_time(void *argument, enum quarry_vfs_operation operation, const char *path,
                      uint64_t index)
{
    (void)argument, (void)operation, (void)path, (void)index;
    os_sleep_ns(atomic_load_relaxed_u64(&sync_ns));
}

static void make_syncs(uint64_t duration_ns, enum quarry_status status)
{
    const struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_SYNC, .notice = take_time, .status = status};

    atomic_store_relaxed_u64(&sync_ns, duration_ns);

    quarry_vfs_fault_set(faulty, 0, &fault);
}

static bool nothing_has_come(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static void answers_to_writes_wait_for_the_disk_and_reads_do_not(void **state)
{
    int writer = client_open(), reader = client_open();

    (void)state;
    client_send(reader, "GET k\r\n");
    client_expect(reader, "$-1\r\n");
    make_syncs(300 * Q_MS_NS, QUARRY_OK);
    uint64_t begin_ns = os_monotonic_ns(os_real());
    client_send(writer, "SET k 1\r\nGET k\r\n");
    client_send(reader, "PING\r\n");
    client_expect(reader, "+PONG\r\n");
    assert_true(nothing_has_come(writer));
    client_expect(writer, "+OK\r\n$1\r\n1\r\n");
    assert_true(os_monotonic_ns(os_real()) - begin_ns >= 250 * Q_MS_NS);
    client_close(writer);
    client_close(reader);
}

static void answers_keep_their_order_with_slow_commands_between(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd,
                "SET a 1\r\nDBSIZE\r\nSET b 2\r\nMULTI\r\nSET c 3\r\nDBSIZE\r\nEXEC\r\nGET c\r\n"
                "SET d 4\r\nQUIT\r\n");
    client_expect(fd,
                  "+OK\r\n:1\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:3\r\n$1\r\n3\r\n"
                  "+OK\r\n+OK\r\n");
    client_expect_end(fd, false);
    client_close(fd);
}

static void a_sync_is_shared_by_all_who_wait(void **state)
{
    enum { CLIENTS = 16, ROUNDS = 10 };
    int fds[CLIENTS];

    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open();
    }
    make_syncs(5 * Q_MS_NS, QUARRY_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            client_send(fds[i], "INCR n\r\n");
        }
        for (int i = 0; i < CLIENTS; i++) {
            char line[32];
            client_read_line(fds[i], line, sizeof line);
            assert_int_equal(line[0], ':');
        }
    }
    assert_true(quarry_vfs_fault_hits(faulty, 0) < CLIENTS * ROUNDS / 2);
    for (int i = 0; i < CLIENTS; i++) {
        client_close(fds[i]);
    }
}

static void a_sync_that_fails_ends_who_waits_for_it(void **state)
{
    int fd = client_open(), other = client_open();

    (void)state;
    client_send(other, "PING\r\n");
    client_expect(other, "+PONG\r\n");
    make_syncs(0, QUARRY_IO);
    client_send(fd, "PING\r\nSET k 1\r\nGET k\r\n");
    client_expect(fd, "-MISCONF the disk failed: what was written is not kept\r\n");
    client_expect_end(fd, true);
    assert_true(atomic_load_relaxed_u64(&failed_syncs) >= 1);
    client_send(other, "PING\r\n");
    client_expect(other, "+PONG\r\n");
    client_close(fd);
    client_close(other);
}

/* Opens what a loss of power leaves now, and looks for keys up to `count`. */
static void check_after_power_cut(unsigned count, uint64_t seed)
{
    struct quarry_vfs *left;
    struct quarry_memory *own;
    struct quarry_error error = {0};
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(128)};

    assert_int_equal(quarry_vfs_memory_crash(disk, 30, seed, &left), QUARRY_OK);
    assert_int_equal(quarry_memory_create(&options, &own, &error), QUARRY_OK);
    struct quarry_kv_options kv_options = store_options(left);
    struct keyspace *after;
    const struct keyspace_options key_options = {.now_ms = NULL};
    if (keyspace_open(own, "/db", &kv_options, &key_options, &after, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "key%u", i);
        struct keyspace_value value;
        const struct keyspace_scope scope = {0};
        enum quarry_status status = keyspace_read(
            after, &scope, (struct quarry_kv_slice){key, (size_t)length}, false, &value, &error);
        assert_int_equal(status, QUARRY_OK);
        keyspace_value_release(&value);
    }
    assert_int_equal(keyspace_close(after, &error), QUARRY_OK);
    quarry_memory_destroy(own);
    quarry_vfs_memory_destroy(left);
}

static void what_was_answered_survives_a_loss_of_power(void **state)
{
    int fd = client_open();
    unsigned acknowledged = 0;

    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        char request[400];
        int length = 0;
        for (unsigned i = 0; i < 8; i++) {
            length += snprintf(request + length, sizeof request - (size_t)length,
                               "SET key%u value\r\n", acknowledged + i);
        }
        assert_true(client_try_send(fd, request, (size_t)length));
        for (unsigned i = 0; i < 8; i++) {
            client_expect(fd, "+OK\r\n");
        }
        acknowledged += 8;
        check_after_power_cut(acknowledged, round + 1);
    }
    client_close(fd);
}

static void who_goes_while_he_waits_leaves_nothing(void **state)
{
    (void)state;
    make_syncs(3 * Q_MS_NS, QUARRY_OK);
    for (int i = 0; i < 30; i++) {
        int fd = client_open();
        client_send(fd, i % 3 == 0 ? "SET a 1\r\nDBSIZE\r\n" : "SET a 1\r\nSET b 2\r\n");
        if (i % 2 == 0) {
            os_sleep_ns(Q_MS_NS);
        }
        client_close(fd);
    }
    rig_wait_connections(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(answers_to_writes_wait_for_the_disk_and_reads_do_not),
        TEST(answers_keep_their_order_with_slow_commands_between),
        TEST(a_sync_is_shared_by_all_who_wait),
        TEST(a_sync_that_fails_ends_who_waits_for_it),
        TEST(what_was_answered_survives_a_loss_of_power),
        TEST(who_goes_while_he_waits_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
