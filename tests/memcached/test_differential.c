/*
 * Says every conversation to the memcached that is installed, which must answer as the files say:
 * so that what they say is memcached's behaviour and not ours. The memcached door is held to the
 * same files by tests/unit/serve/test_memcached_conversations.c.
 *
 * Conversations with a reason (`~`) are those in which memcached is known to answer otherwise;
 * those that move the clock cannot be had. A memcached is started for each conversation, on a
 * socket of its own in a folder of its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "memcached/conversation.h"

#include <base/base.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long an answer may take; a machine that is busy has to be allowed for. */
#define PATIENCE_MS 20000
/* The largest answer of a conversation. */
#define ANSWER_BYTES_MAX (4u << 20)

struct peer {
    pid_t pid;
    int socket;
    char path[64];
    char *answer;
    size_t answer_bytes;
    size_t seen;
    bool is_closed;
};

static char folder[] = "/tmp/quarry-memcached-XXXXXX";

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(connection >= 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (connect(connection, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(connection);
        return -1;
    }
    return connection;
}

static void start(struct peer *peer)
{
    snprintf(peer->path, sizeof peer->path, "%s/socket", folder);
    unlink(peer->path);
    peer->pid = fork();
    assert_true(peer->pid >= 0);
    if (peer->pid == 0) {
        execl(MEMCACHED, MEMCACHED, "-u", "root", "-s", peer->path, "-t", "1", (char *)NULL);
        _exit(127);
    }
    for (int tries = 0; tries < PATIENCE_MS; tries++) {
        peer->socket = connect_to(peer->path);
        if (peer->socket >= 0) {
            return;
        }
        usleep(1000);
    }
    fail_msg("%s does not start", MEMCACHED);
}

static void stop(struct peer *peer)
{
    int status;

    close(peer->socket);
    kill(peer->pid, SIGKILL);
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
}

/* Reads what there is, waiting for some of it. Returns: false: nothing came. */
static bool read_some(struct peer *peer, int patience_ms)
{
    struct pollfd ready = {.fd = peer->socket, .events = POLLIN};

    if (peer->is_closed || poll(&ready, 1, patience_ms) <= 0) {
        return false;
    }
    ssize_t count = recv(peer->socket, peer->answer + peer->answer_bytes,
                         ANSWER_BYTES_MAX - peer->answer_bytes, 0);

    if (count <= 0) {
        peer->is_closed = true;
        return false;
    }
    peer->answer_bytes += (size_t)count;
    return true;
}

static void send_all(struct peer *peer, const char *bytes, size_t byte_count)
{
    while (byte_count > 0) {
        struct pollfd ready = {.fd = peer->socket, .events = POLLOUT | POLLIN};

        assert_true(poll(&ready, 1, PATIENCE_MS) > 0);
        if ((ready.revents & POLLIN) != 0 && !read_some(peer, 0) && peer->is_closed) {
            return;
        }
        ssize_t count = send(peer->socket, bytes, byte_count, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count < 0 && errno != EAGAIN) {
            return; /* it has closed, as the conversation may expect */
        }
        bytes += count > 0 ? count : 0;
        byte_count -= count > 0 ? (size_t)count : 0;
    }
}

static void fail_step(const struct conversation *conversation, const struct step *step,
                      const struct peer *peer)
{
    fprintf(stderr, "%s:%d: \"%s\": memcached answers otherwise\n", conversation->file, step->line,
            conversation->title);
    print_escaped("wanted", step->text.bytes, step->text.byte_count);
    print_escaped("answer", peer->answer + peer->seen, peer->answer_bytes - peer->seen);
    fail();
}

/* A pattern that ends in a number matches before all of it has come: a line end follows always. */
static void expect(const struct conversation *conversation, const struct step *step,
                   struct peer *peer, uint64_t *cas)
{
    for (;;) {
        size_t matched = pattern_match(&step->text, peer->answer + peer->seen,
                                       peer->answer_bytes - peer->seen, cas);

        if (matched < SIZE_MAX - 1) {
            peer->seen += matched;
            return;
        }
        if (matched == SIZE_MAX || !read_some(peer, PATIENCE_MS)) {
            fail_step(conversation, step, peer);
        }
    }
}

static void expect_end(const struct conversation *conversation, const struct step *step,
                       struct peer *peer)
{
    while (read_some(peer, PATIENCE_MS)) {
    }
    if (!peer->is_closed || peer->seen != peer->answer_bytes) {
        fail_step(conversation, step, peer);
    }
}

/* Asks for something whose answer is known, and that nothing else was answered before it. */
static void expect_nothing_more(const struct conversation *conversation, struct peer *peer)
{
    static char text[] = "MN\r\n";
    static char packet[24] = "\x81\x0a";
    static uint8_t kinds[24];
    bool is_packets = conversation->steps[0].text.bytes[0] == (char)0x80;
    struct step step = {.line = conversation->line};
    uint64_t cas = 0;

    step.text = is_packets ? (struct pattern){packet, kinds, sizeof packet, 0}
                           : (struct pattern){text, kinds, 4, 0};
    if (is_packets) {
        char noop[24] = "\x80\x0a";

        send_all(peer, noop, sizeof noop);
    } else {
        send_all(peer, "mn\r\n", 4);
    }
    expect(conversation, &step, peer, &cas);
}

static void converse(const struct conversation *conversation)
{
    struct peer peer = {.answer = malloc(ANSWER_BYTES_MAX)};
    uint64_t cas = 0;
    bool ends = false;

    assert_non_null(peer.answer);
    start(&peer);
    for (size_t i = 0; i < conversation->step_count; i++) {
        const struct step *step = &conversation->steps[i];

        if (step->kind == STEP_SEND) {
            size_t byte_count;
            char *bytes = pattern_fill(&step->text, cas, &byte_count);

            send_all(&peer, bytes, byte_count);
            free(bytes);
        } else if (step->kind == STEP_EXPECT) {
            expect(conversation, step, &peer, &cas);
        } else if (step->kind == STEP_CLOSED) {
            expect_end(conversation, step, &peer);
            ends = true;
        }
    }
    if (!ends) {
        expect_nothing_more(conversation, &peer);
    }
    stop(&peer);
    free(peer.answer);
}

static bool can_be_had(const struct conversation *conversation)
{
    for (size_t i = 0; i < conversation->step_count; i++) {
        if (conversation->steps[i].kind == STEP_CLOCK) {
            return false;
        }
    }
    return conversation->reason[0] == '\0' && conversation->step_count > 0;
}

static size_t converse_all(const char *path)
{
    struct conversations all = conversations_read(path);
    size_t count = 0;

    for (size_t i = 0; i < all.count; i++) {
        if (can_be_had(&all.at[i])) {
            converse(&all.at[i]);
            count++;
        }
    }
    conversations_free(&all);
    return count;
}

static void memcached_answers_as_the_conversations_say(void **state)
{
    DIR *files = opendir(CONVERSATIONS);
    size_t count = 0;

    (void)state;
    assert_non_null(files);
    assert_non_null(mkdtemp(folder));
    for (struct dirent *entry = readdir(files); entry != NULL; entry = readdir(files)) {
        char path[4096];

        if (strstr(entry->d_name, ".txt") != NULL) {
            snprintf(path, sizeof path, "%s/%s", CONVERSATIONS, entry->d_name);
            count += converse_all(path);
        }
    }
    closedir(files);
    char path[64];

    snprintf(path, sizeof path, "%s/socket", folder);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    assert_true(count > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcached_answers_as_the_conversations_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
