/*
 * The memcached door: what the server gives it, and what it gives the server.
 *
 * One door a process. memcached_open, then serve connections through `memcached_door`, then
 * memcached_close when no connection is left. It speaks the text protocol with all meta commands,
 * and the binary protocol to connections whose first byte is 0x80.
 *
 *     struct memcached_settings settings = {.cache = cache, .worker_count = 4};
 *     memcached_open(&settings, &error);
 *     listener.door = &memcached_door;
 *
 * What each command answers is in docs/memcached.md, with all that differs from memcached.
 */
#ifndef QUARRY_SERVE_DOOR_MEMCACHED_H
#define QUARRY_SERVE_DOOR_MEMCACHED_H

#include <serve/door.h>

#include <quarry/cache.h>

/* How many workers a server may have: each has counters of its own, 64-byte aligned. */
#define MEMCACHED_WORKERS_MAX 256u

/* What came of a login. */
enum memcached_login {
    MEMCACHED_GRANTED = 0,
    MEMCACHED_REFUSED,
    /* Being verified elsewhere; memcached_login_done is called for the connection later. */
    MEMCACHED_VERIFYING,
};

/* The longest user name, and the longest password, in bytes. */
#define MEMCACHED_USER_BYTES_MAX     63u
#define MEMCACHED_PASSWORD_BYTES_MAX 256u

/* Credentials as they came. Borrowed for the call. */
struct memcached_credentials {
    const char *user;
    size_t user_bytes;
    const char *password;
    size_t password_bytes;
};

/* What `stats` tells of the server around the door. Zero where it is not known. */
struct memcached_server_figures {
    uint64_t uptime_seconds;
    uint64_t connections, connections_ever, connections_rejected, connections_max;
    uint64_t bytes_read, bytes_written;
    uint64_t connection_bytes; /* of buffers */
    uint64_t accept_pauses, accept_pause_us;
    uint64_t idle_closed, too_slow_closed;
    uint64_t idle_timeout_seconds; /* 0: none */
    bool is_accepting;
};

/* The longest address of a connection, in bytes; what is longer is cut. */
#define MEMCACHED_ADDRESS_BYTES 120u

/* A connection, or a listening socket, as `stats conns` tells of it. */
struct memcached_connection_figures {
    uint64_t id;
    uint64_t idle_seconds;
    const char *state; /* memcached's word for what it is at; static storage */
    char peer[MEMCACHED_ADDRESS_BYTES], local[MEMCACHED_ADDRESS_BYTES]; /* local "": not told */
};

/* Where a server listens, for `stats settings`. */
struct memcached_address {
    char interface[MEMCACHED_ADDRESS_BYTES];   /* "": none */
    char unix_socket[MEMCACHED_ADDRESS_BYTES]; /* likewise */
    uint32_t port;
};

/* What the door asks of the server. Each may be NULL: then it is not there. */
struct memcached_hooks {
    void *argument; /* of all of them; borrowed until memcached_close */
    /*
     * Verifies credentials; GRANTED: *ret_identity is who that is. No word of it may tell a wrong
     * user from a wrong password, by its answer or by its time. By the connection's worker.
     */
    enum memcached_login (*login)(void *argument, struct serve_connection *connection,
                                  const struct memcached_credentials *credentials,
                                  struct serve_identity *ret_identity);
    /*
     * Whether an identity may make so many requests more now. By the worker, for each batch; NULL:
     * always.
     */
    bool (*admit)(void *argument, const struct serve_identity *identity, uint32_t request_count);
    /* A value has changed while a client read it, who is closed: for the log. */
    void (*value_cut)(void *argument, const struct serve_connection *connection);
    /* Ends the server, after what is in flight (`is_graceful`), or at once. */
    void (*shutdown)(void *argument, bool is_graceful);
    /*
     * Reads certificates anew; memcached_certificates_done is called for the connection later.
     * False: there are none.
     */
    bool (*ask_certificates)(void *argument, struct serve_connection *connection);
    void (*read_server)(void *argument, struct memcached_server_figures *ret_figures);
    /*
     * Gathers all connections; memcached_connections_done is called for this one later. False: no
     * memory.
     */
    bool (*ask_connections)(void *argument, struct serve_connection *connection);
    /* Sets the server's log level, 0 to 2. */
    void (*set_verbosity)(void *argument, uint32_t level);
};

/* What connections may speak. */
enum memcached_speech {
    MEMCACHED_SPEAKS_BOTH = 0, /* the first byte decides */
    MEMCACHED_SPEAKS_TEXT,
    MEMCACHED_SPEAKS_BINARY, /* a connection that begins otherwise is closed */
};

/* What the door is to be. Zero means the default of each. */
struct memcached_settings {
    struct quarry_cache *cache; /* borrowed until memcached_close */
    const char *version;        /* what `version` answers; static storage. NULL: a default */
    uint32_t worker_count;      /* 1 to MEMCACHED_WORKERS_MAX */
    bool refuses_flush;         /* flush_all is not allowed to anybody */
    bool refuses_dump;          /* nor stats cachedump and lru_crawler metadump */
    bool refuses_watch;
    bool allows_shutdown;    /* to those who have the right SERVE_ADMIN */
    bool has_debug_commands; /* debugtime */
    enum memcached_speech speech;
    uint32_t backlog; /* for `stats settings` */
    struct memcached_hooks hooks;
};

/* What the server calls. */
extern const struct serve_door memcached_door;

/*
 * Makes the door ready.
 *
 * `settings`: copied. Errors: QUARRY_BAD_INPUT, QUARRY_EXISTS (it is open).
 * Threads: one at a time, before there are connections.
 */
enum quarry_status memcached_open(const struct memcached_settings *settings,
                                  struct quarry_error *error);
/* Threads: when no connection is left. */
void memcached_close(void);

/*
 * Says how a login that was being verified has ended.
 *
 * `connection`: of the login; by its worker, from a posted function. `identity`: who it is now;
 * NULL: refused. Sends the answer, and has the connection read again.
 */
void memcached_login_done(struct serve_connection *connection,
                          const struct serve_identity *identity);

/*
 * Says what came of ask_certificates. `why`: borrowed for the call; NULL: they are read. By the
 * connection's worker, from a posted function.
 */
void memcached_certificates_done(struct serve_connection *connection, const char *why);
/* Says what came of ask_connections, likewise. `figures`: give; of malloc. */
void memcached_connections_done(struct serve_connection *connection,
                                struct memcached_connection_figures **figures, size_t count);

/* What a connection of the door is at, in memcached's words. Static storage. By its worker. */
const char *memcached_at(struct serve_connection *connection);

/* Says where the server listens. `address`: copied. Threads: before there are connections. */
void memcached_set_address(const struct memcached_address *address);
/* Says what the log's level is, as `verbosity` has it: 0 to 2. Threads: any. */
void memcached_set_verbosity(uint32_t level);

/*
 * The observer to be given to the cache: `watch evictions` tells what it hears. `argument` is not
 * looked at.
 */
void memcached_observe(void *argument, enum quarry_cache_event event,
                       const struct quarry_cache_hit *item);

/* Changes of settings that need no restart. Threads: any. */
void memcached_set_allowed(bool flush, bool dump, bool watch, bool shutdown);

#endif
