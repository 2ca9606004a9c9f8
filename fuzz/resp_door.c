/*
 * Fuzzes whole sessions of the RESP door: what is answered does not depend on how the bytes are
 * split, nor on how fast they are read; whatever comes, nothing is left behind.
 *
 *     bytes   | how they are split, two | how the reader takes them, two | what is sent … |
 */
#include "unit/serve/resp_door_rig.h"

#include <stdlib.h>
#include <string.h>

#define CONTROL_BYTES 4u
/* Sessions of one store: each is emptied by a deletion of a range, and those add up. */
#define SESSIONS_MAX 100u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __lsan_is_turned_off(void);

/* Files of the store that lives on between inputs are known by pages, which LeakSanitizer does not
 * look into: it would take them for lost. What a session leaves is seen by the door's account. */
int __lsan_is_turned_off(void)
{
    return 1;
}

static struct resp_door_rig rig;
static uint32_t session_count; /* since it was opened; 0: it is not */
static uint64_t idle_bytes;    /* of the door without connections */

static void close_rig(void)
{
    if (session_count > 0) {
        resp_door_rig_close(&rig); /* asserts that nothing is left behind */
        session_count = 0;
    }
}

static void open_rig(void)
{
    static bool is_noted;
    const struct resp_door_settings settings = {
        .bulk_bytes_max = Q_MIB(1), .queue_bytes_max = Q_KIB(16), .reply_bytes_max = Q_MIB(2)};

    if (!is_noted) {
        is_noted = atexit(close_rig) == 0;
    }
    if (session_count >= SESSIONS_MAX) {
        close_rig();
    }
    if (session_count++ == 0) {
        resp_door_rig_open(&rig, &settings);
        idle_bytes = resp_door_rig_bytes(&rig);
    }
}

/* The answers of a session of its own, to an empty store; own. */
static char *say(const uint8_t *data, size_t size, size_t piece_bytes, size_t taken_a_turn,
                 bool needs_login)
{
    struct serve_connection *connection;

    resp_door_rig_empty(&rig);
    connection = resp_connect(needs_login, taken_a_turn);
    char *answer = strdup(resp_talk(connection, (const char *)data, size, piece_bytes));

    Q_ASSERT(answer != NULL);
    fake_close(connection);
    Q_ASSERT_MSG(resp_door_rig_bytes(&rig) == idle_bytes, "a session left memory behind");
    return answer;
}

/* Whether a session has nothing that differs from one to the next: ids, times, what is random, what
 * others have done before it. */
static bool is_steady(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"info",     "client",   "hello", "slowlog", "memory",
                                        "random",   "latency",  "debug", "config",  "time",
                                        "lastsave", "command",  "scan",  "acl",     "kv.",
                                        "object",   "shutdown", "wait",  "save",    "role"};
    char *lower = malloc(size + 1);
    bool steady = true;

    Q_ASSERT(lower != NULL);
    for (size_t i = 0; i < size; i++) {
        lower[i] = data[i] >= 'A' && data[i] <= 'Z' ? (char)(data[i] | 0x20) : (char)data[i];
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        steady &= memmem(lower, size, words[i], strlen(words[i])) == NULL;
    }
    free(lower);
    return steady;
}

/* Sleeps and pauses would only take time. */
static bool is_idle_talk(const uint8_t *data, size_t size)
{
    return memmem(data, size, "leep", 4) != NULL || memmem(data, size, "LEEP", 4) != NULL ||
           memmem(data, size, "ause", 4) != NULL || memmem(data, size, "AUSE", 4) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CONTROL_BYTES || size > Q_KIB(64) || is_idle_talk(data, size)) {
        return 0;
    }
    open_rig();
    size_t piece_bytes = 1 + data[0] + (size_t)data[1] % 4 * 256;
    size_t taken_a_turn = data[2] < 128 ? 0 : 1 + (size_t)data[3] * 64;
    bool needs_login = data[2] % 16 == 1;

    data += CONTROL_BYTES;
    size -= CONTROL_BYTES;
    char *whole = say(data, size, 0, 0, needs_login);
    char *split = say(data, size, piece_bytes, taken_a_turn, needs_login);
    if (is_steady(data, size)) {
        Q_ASSERT(strcmp(whole, split) == 0);
    }
    free(whole);
    free(split);
    return 0;
}
