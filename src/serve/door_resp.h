/*
 * The RESP door: what the server gives it, and what it gives the server.
 *
 * One door a process. resp_open, then serve connections through `resp_door`; when the net has been
 * stopped resp_stop, and when it is destroyed resp_close. It speaks RESP2 and RESP3, and lines.
 *
 *     struct resp_door_settings settings = {.memory = memory, .keyspace = keyspace, …};
 *     resp_open(&settings, &error);
 *     listener.door = &resp_door;
 *     listener.replies = &serve_replies_resp;
 *
 * What each command answers is in docs/resp.md, with all that differs from Redis.
 */
#ifndef QUARRY_SERVE_DOOR_RESP_H
#define QUARRY_SERVE_DOOR_RESP_H

#include <keyspace/keyspace.h>
#include <serve/door.h>
#include <serve/limits.h>

/* How many workers a server may have. */
#define RESP_WORKERS_MAX 256u
/* Threads of the executor. */
#define RESP_SLOW_THREADS_MAX 64u

/* The longest user name, and the longest password, in bytes. */
#define RESP_LOGIN_USER_BYTES_MAX     63u
#define RESP_LOGIN_PASSWORD_BYTES_MAX 256u

/* What came of a login. */
enum resp_login {
    RESP_GRANTED = 0,
    RESP_REFUSED,
    /* Being verified elsewhere; resp_login_done is called for the connection later. */
    RESP_VERIFYING,
};

/* Credentials as they came. Borrowed for the call. */
struct resp_credentials {
    const char *user;
    size_t user_bytes;
    const char *password;
    size_t password_bytes;
};

/* What the door asks of the server. Each may be NULL: then it is not there. */
struct resp_door_hooks {
    void *argument; /* of all of them; borrowed until resp_close */
    /* As the memcached door's (door_memcached.h). */
    enum resp_login (*login)(void *argument, struct serve_connection *connection,
                             const struct resp_credentials *credentials,
                             struct serve_identity *ret_identity);
    /* An identity is nobody's any more (RESET), where a login is asked for. */
    void (*logout)(void *argument, const struct serve_identity *identity);
    /* Whether an identity may make so many requests more now. NULL: always. */
    bool (*admit)(void *argument, const struct serve_identity *identity, uint32_t request_count);
    /* The name of the tenant of an identity: which keys are its. NULL: all see the same. */
    const char *(*tenant_name)(void *argument, const struct serve_identity *identity);
    /* Writes for durability `power` could not be synced: their connections end. For the log. */
    void (*sync_failed)(void *argument, const struct quarry_error *error);
};

/* What the door is to be. Zero means the default of each. */
struct resp_door_settings {
    struct quarry_memory *memory; /* borrowed until resp_close, as the keyspace */
    struct keyspace *keyspace;
    uint32_t worker_count;      /* 1 to RESP_WORKERS_MAX */
    uint32_t databases;         /* 1 to KEYSPACE_DATABASES_MAX; 16 */
    uint32_t slow_thread_count; /* of the executor; 2 */
    uint64_t bulk_bytes_max;    /* of a word; 32 MiB */
    uint64_t request_bytes_max; /* of a request that comes in pieces; twice the former */
    uint64_t queue_bytes_max;   /* of what one MULTI has queued; 1 MiB */
    uint64_t reply_bytes_max;   /* of an answer that is made in memory; 64 MiB */
    bool syncs;                 /* answers to writes wait until those are on the disk */
    struct resp_door_hooks hooks;
};

/* What the server calls, and what clients are told that it does not take. */
extern const struct serve_door resp_door;
extern const struct serve_replies serve_replies_resp;

/*
 * Makes the door ready, and starts its threads, `quarry-resp-0` and so on, and `quarry-sync`.
 *
 * `settings`: copied. Errors: QUARRY_BAD_INPUT, QUARRY_EXISTS (it is open), QUARRY_NO_MEMORY,
 * QUARRY_TOO_MANY. Threads: one at a time, before there are connections.
 */
enum quarry_status resp_open(const struct resp_door_settings *settings, struct quarry_error *error);
/* Ends its threads, whose posts may be refused by now. Threads: when no connection is left. */
void resp_stop(void);
/* Ends the door; stops it if need be. Nothing that was posted is outstanding any more. */
void resp_close(void);

/*
 * Says how a login that was being verified has ended, as memcached_login_done does. `identity`:
 * who it is now; NULL: refused.
 */
void resp_login_done(struct serve_connection *connection, const struct serve_identity *identity);

#endif
