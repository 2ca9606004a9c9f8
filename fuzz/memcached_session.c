#include "memcached_session.h"

#include "unit/serve/fake_connection.h"
#include "unit/serve/reference_cache.h"

#include <serve/door_memcached.h>

#include <stdlib.h>
#include <string.h>

/* Bytes of the data that say how the rest of it is split. */
#define CONTROL_BYTES 4u
/* Values above are refused, so that no input takes long. */
#define VALUE_BYTES_MAX 65536u

static struct quarry_cache *cache;

static enum memcached_login login(void *argument, struct serve_connection *connection,
                                  const struct memcached_credentials *credentials,
                                  struct serve_identity *ret_identity)
{
    (void)argument;
    (void)connection;
    if (credentials->user_bytes != 1 || credentials->user[0] != 'u' ||
        credentials->password_bytes != 1 || credentials->password[0] != 'p') {
        return MEMCACHED_REFUSED;
    }
    *ret_identity = (struct serve_identity){
        .name = "u", .tenant = quarry_cache_default_tenant(cache), .rights = SERVE_ALL};
    return MEMCACHED_GRANTED;
}

static struct serve_connection *begin(const struct memcached_session *how, size_t taken_a_turn)
{
    cache = reference_cache_create(VALUE_BYTES_MAX);
    reference_cache_set_piece_bytes(cache, 5000);
    const struct memcached_settings settings = {
        .cache = cache, .worker_count = 1, .has_debug_commands = true, .hooks = {.login = login}};

    Q_ASSERT(memcached_open(&settings, NULL) == QUARRY_OK);
    struct fake_options options = {.door = &memcached_door,
                                   .needs_login = how->needs_login,
                                   .taken_a_turn = taken_a_turn};

    if (!how->needs_login) {
        options.identity = (struct serve_identity){
            .tenant = quarry_cache_default_tenant(cache), .rights = SERVE_ALL};
    }
    return fake_open(&options);
}

static void end(struct serve_connection *connection)
{
    fake_close(connection);
    memcached_close();
    quarry_cache_close(cache); /* asserts that nothing is pinned or half written */
}

/* Says it in pieces of `piece_bytes`. Returns: the answers, own; NULL for none. */
static char *say(const struct memcached_session *how, const uint8_t *data, size_t size,
                 size_t piece_bytes, size_t taken_a_turn, size_t *ret_bytes)
{
    struct serve_connection *connection = begin(how, taken_a_turn);

    fake_send(connection, how->start, how->start_bytes);
    for (size_t at = 0; at < size; at += piece_bytes) {
        fake_send(connection, data + at, size_min(piece_bytes, size - at));
    }
    fake_settle(connection);
    const char *answer = fake_answer(connection, ret_bytes);
    char *copy = malloc(*ret_bytes + 1);

    Q_ASSERT(copy != NULL);
    memcpy(copy, answer, *ret_bytes);
    end(connection);
    return copy;
}

/* Whether the answers may differ: figures of time, and what watchers are told, do. */
static bool is_steady(const uint8_t *data, size_t size)
{
    return memmem(data, size, "stats", 5) == NULL && memmem(data, size, "watch", 5) == NULL &&
           memmem(data, size, "\x80\x10", 2) == NULL;
}

void memcached_session(const struct memcached_session *how, const uint8_t *data, size_t size)
{
    if (size < CONTROL_BYTES) {
        return;
    }
    size_t piece_bytes = 1 + data[0] + (size_t)data[1] % 4 * 256;
    size_t taken_a_turn = data[2] < 128 ? 0 : 1 + (size_t)data[3] * 64;
    size_t whole_bytes;
    size_t split_bytes;

    data += CONTROL_BYTES;
    size -= CONTROL_BYTES;
    char *whole = say(how, data, size, size + 1, 0, &whole_bytes);
    char *split = say(how, data, size, piece_bytes, taken_a_turn, &split_bytes);

    if (is_steady(data, size)) {
        Q_ASSERT(whole_bytes == split_bytes);
        Q_ASSERT(memcmp(whole, split, whole_bytes) == 0);
    }
    free(whole);
    free(split);
}
