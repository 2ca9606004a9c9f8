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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long an answer may take; a machine that is busy has to be allowed for. */
#define PATIENCE_MS 60000
/* How often a conversation is had before its answers are believed to be others. */
#define TRIES 5
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
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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

static void print_step(const struct conversation *conversation, const struct step *step,
                       const struct peer *peer)
{
    fprintf(stderr, "%s:%d: \"%s\": memcached answers otherwise\n", conversation->file, step->line,
            conversation->title);
    print_escaped("wanted", step->text.bytes, step->text.byte_count);
    print_escaped("answer", peer->answer + peer->seen, peer->answer_bytes - peer->seen);
}

/* A pattern that ends in a number matches before all of it has come: a line end follows always. */
static bool is_answered(const struct step *step, struct peer *peer, uint64_t *cas)
{
    for (;;) {
        size_t matched = pattern_match(&step->text, peer->answer + peer->seen,
                                       peer->answer_bytes - peer->seen, cas);

        if (matched < SIZE_MAX - 1) {
            peer->seen += matched;
            return true;
        }
        if (matched == SIZE_MAX || !read_some(peer, PATIENCE_MS)) {
            return false;
        }
    }
}

static bool has_ended(struct peer *peer)
{
    while (read_some(peer, PATIENCE_MS)) {
    }
    return peer->is_closed && peer->seen == peer->answer_bytes;
}

/* Asks for something whose answer is known: nothing else is answered before it. */
static bool is_silent(const struct conversation *conversation, struct peer *peer)
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
    return is_answered(&step, peer, &cas);
}

/* One step of a conversation. Returns: whether it is as it is written. */
static bool do_step(const struct step *step, struct peer *peer, uint64_t *cas)
{
    size_t byte_count;
    char *bytes;

    switch (step->kind) {
    case STEP_SEND:
        bytes = pattern_fill(&step->text, *cas, &byte_count);
        send_all(peer, bytes, byte_count);
        free(bytes);
        return true;
    case STEP_EXPECT:
        return is_answered(step, peer, cas);
    case STEP_CLOSED:
        return has_ended(peer);
    case STEP_CLOCK:
        break;
    }
    Q_UNREACHABLE();
}

/* Has a conversation with a memcached of its own. Returns: whether it went as it is written. */
static bool try_converse(const struct conversation *conversation)
{
    struct peer peer = {.answer = malloc(ANSWER_BYTES_MAX)};
    const struct step *step = conversation->steps;
    const struct step *end = step + conversation->step_count;
    uint64_t cas = 0;

    assert_non_null(peer.answer);
    start(&peer);
    while (step < end && do_step(step, &peer, &cas)) {
        step++;
    }
    bool is_good = step == end && (peer.is_closed || is_silent(conversation, &peer));

    if (!is_good) {
        print_step(conversation, step < end ? step : end - 1, &peer);
    }
    stop(&peer);
    free(peer.answer);
    return is_good;
}

static void converse(const struct conversation *conversation)
{
    for (int tries = 0; tries < TRIES; tries++) {
        if (try_converse(conversation)) {
            return;
        }
    }
    fail();
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
    for (struct dirent *entry = readdir(files); entry != NULL; entry = readdir(files)) {
        char path[4096];

        if (strstr(entry->d_name, ".txt") != NULL) {
            snprintf(path, sizeof path, "%s/%s", CONVERSATIONS, entry->d_name);
            count += converse_all(path);
        }
    }
    closedir(files);
    assert_true(count > 50);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/socket", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcached_answers_as_the_conversations_say),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
