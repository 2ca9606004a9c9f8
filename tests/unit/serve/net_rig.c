#include "unit/serve/net_rig.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <os/os.h>

struct quarry_memory *memory;
struct serve_net *net;
struct serve_listener *listener;
_Atomic uint64_t rig_news[SERVE_NEWS_NO_MEMORY + 1];
static unsigned descriptor_count;

static void rig_tell(void *argument, enum serve_news news, const char *peer, const char *text)
{
    (void)argument;
    if (peer == NULL || text == NULL || text[0] == '\0') {
        fail_msg("news %d without words", (int)news);
    }
    (void)atomic_add_relaxed_u64(&rig_news[news], 1);
}

unsigned rig_descriptor_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

/* Nobody is cut for being slow, as a test's own clients are on a busy machine, unless it says so.
 */
static void be_patient(struct serve_limits *limits)
{
    uint64_t *const durations[] = {&limits->line_deadline_ns, &limits->body_grace_ns,
                                   &limits->reader_patience_ns, &limits->drain_ns};

    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        *durations[i] = *durations[i] == 0 ? 3600 * Q_SECOND_NS : *durations[i];
    }
}

void rig_create(const struct serve_net_options *options)
{
    struct serve_net_options complete = {0};
    struct quarry_memory_options memory_options = {.limit_bytes = Q_MIB(256)};
    struct quarry_error error = {0};

    if (options != NULL) {
        complete = *options;
    }
    be_patient(&complete.limits);
    memset(rig_news, 0, sizeof(rig_news));
    descriptor_count = rig_descriptor_count();
    assert_int_equal(quarry_memory_create(&memory_options, &memory, &error), QUARRY_OK);
    complete.memory = memory;
    complete.worker_count = complete.worker_count == 0 ? 2 : complete.worker_count;
    if (complete.hooks.tell == NULL) {
        complete.hooks.tell = rig_tell;
    }
    if (serve_net_create(&complete, &net, &error) != QUARRY_OK) {
        fail_msg("serve_net_create: %s", error.text);
    }
}

void rig_listen(struct serve_listener_options options)
{
    struct quarry_error error = {0};

    options.address = options.address == NULL ? "127.0.0.1:0" : options.address;
    options.door = options.door == NULL ? &line_door : options.door;
    if (serve_net_listen(net, &options, &listener, &error) != QUARRY_OK) {
        fail_msg("serve_net_listen: %s", error.text);
    }
}

void rig_start(void)
{
    struct quarry_error error = {0};

    if (serve_net_start(net, &error) != QUARRY_OK) {
        fail_msg("serve_net_start: %s", error.text);
    }
}

void rig_begin(const struct serve_net_options *options)
{
    rig_create(options);
    rig_listen((struct serve_listener_options){0});
    rig_start();
}

void rig_end(void)
{
    struct quarry_error error = {0};
    struct quarry_ledger ledger;

    serve_net_stop(net);
    line_door_join();
    serve_net_destroy(net);
    net = NULL;
    assert_int_equal(line_open_count, 0);
    assert_int_equal(line_held_count, 0);
    assert_int_equal(line_turn_depth, 0);
    assert_int_equal(quarry_memory_validate(memory, &error), QUARRY_OK);
    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    assert_int_equal(ledger.in_use_bytes, 0);
    quarry_memory_destroy(memory);
    memory = NULL;
    assert_int_equal(rig_descriptor_count(), descriptor_count);
}

/* ---- clients -------------------------------------------------------------------------------- */

int client_open(void)
{
    struct serve_address address;
    struct quarry_error error = {0};
    struct timeval patience = {.tv_sec = RIG_PATIENCE_S};

    assert_int_equal(serve_address_parse(serve_listener_name(listener), &address, &error),
                     QUARRY_OK);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, &address.any, address.bytes) != 0) {
        fail_msg("connect to %s: %s", serve_listener_name(listener), strerror(errno));
    }
    return fd;
}

void client_close(int fd)
{
    assert_int_equal(close(fd), 0);
}

bool client_try_send(int fd, const char *bytes, size_t byte_count)
{
    while (byte_count > 0) {
        ssize_t sent = send(fd, bytes, byte_count, MSG_NOSIGNAL);
        if (sent < 0) {
            return false;
        }
        bytes += sent;
        byte_count -= (size_t)sent;
    }
    return true;
}

void client_send(int fd, const char *text)
{
    assert_true(client_try_send(fd, text, strlen(text)));
}

size_t client_read(int fd, char *ret_bytes, size_t byte_count)
{
    size_t done = 0;

    while (done < byte_count) {
        ssize_t bytes = recv(fd, ret_bytes + done, byte_count - done, 0);
        if (bytes <= 0) {
            break;
        }
        done += (size_t)bytes;
    }
    return done;
}

void client_read_line(int fd, char *ret_line, size_t capacity)
{
    size_t count = 0;

    do {
        assert_true(count < capacity);
        assert_int_equal(client_read(fd, ret_line + count, 1), 1);
    } while (ret_line[count++] != '\n');
    ret_line[count - 1] = '\0';
}

void client_expect(int fd, const char *text)
{
    char bytes[4096];
    size_t wanted = strlen(text);

    assert_true(wanted < sizeof(bytes));
    size_t count = client_read(fd, bytes, wanted);
    bytes[count] = '\0';
    assert_string_equal(bytes, text);
}

void client_expect_end(int fd, bool may_be_reset)
{
    char byte;
    ssize_t bytes = recv(fd, &byte, 1, 0);

    if (bytes != 0 && !(may_be_reset && bytes < 0 && errno == ECONNRESET)) {
        fail_msg("the connection did not end: %zd, %s", bytes, strerror(errno));
    }
}

void client_expect_pattern(int fd, uint64_t byte_count)
{
    char bytes[16384];

    for (uint64_t at = 0; at < byte_count;) {
        size_t wanted = size_min(sizeof(bytes), byte_count - at);
        size_t count = client_read(fd, bytes, wanted);
        assert_int_equal(count, wanted);
        for (size_t i = 0; i < count; i++) {
            if (bytes[i] != line_pattern_byte(at + i)) {
                fail_msg("byte %zu of the pattern is wrong", (size_t)(at + i));
            }
        }
        at += count;
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

void rig_wait(bool (*condition)(void *argument), void *argument)
{
    uint64_t begin_ns = os_monotonic_ns(os_real());

    while (!condition(argument)) {
        if (os_monotonic_ns(os_real()) - begin_ns > RIG_PATIENCE_S * Q_SECOND_NS) {
            fail_msg("waited for %u seconds", RIG_PATIENCE_S);
        }
        os_sleep_ns(Q_MS_NS);
    }
}

struct serve_counters rig_counters(void)
{
    struct serve_counters counters;

    serve_net_read_counters(net, &counters);
    return counters;
}

static bool bytes_have_come(void *argument)
{
    return rig_counters().received_bytes >= *(uint64_t *)argument;
}

void rig_wait_received(uint64_t byte_count)
{
    rig_wait(bytes_have_come, &byte_count);
}

static bool connections_are(void *argument)
{
    uint64_t *count = argument;
    struct serve_counters counters = rig_counters();

    return serve_net_connection_count(net) == *count && counters.current_count == *count;
}

void rig_wait_connections(uint64_t count)
{
    rig_wait(connections_are, &count);
}

uint64_t rig_charged_bytes(void)
{
    struct quarry_account_state states[8];
    size_t count = quarry_memory_accounts(memory, states, 8);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(states[i].name, "net") == 0) {
            return states[i].charged_bytes;
        }
    }
    fail_msg("there is no account 'net'");
    return 0;
}
