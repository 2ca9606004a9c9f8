/*
 * What the commands of administration ask of the server: figures, settings, clients, users.
 *
 * A struct of functions that the server gives when the door is opened, so that the door can be
 * tested without one. Each may be NULL: then there is nothing of the kind, and figures are zero.
 *
 * Threads: read_figures, read_settings and shutdown from any, at once; the others wait for workers
 * or for the main thread, so they are called by threads of the executor alone.
 */
#ifndef QUARRY_SERVE_RESP_SERVER_HOOKS_H
#define QUARRY_SERVE_RESP_SERVER_HOOKS_H

#include <base/base.h>

struct serve_connection;

#define RESP_ADDRESS_BYTES 120u
#define RESP_USER_BYTES    64u
#define RESP_TENANT_BYTES  32u

/* What the server has counted since it began. */
struct resp_figures {
    uint64_t uptime_seconds;
    uint64_t connections, connections_ever, connections_rejected;
    uint64_t bytes_read, bytes_written;
    uint64_t waiting_bytes; /* of answers that their readers have not taken */
    uint64_t turns, receives, sends;
    uint64_t lag_max_ns;      /* the longest that a worker has kept its connections waiting */
    uint64_t total_ram_bytes; /* of the machine */
};

/* What is in force now. Texts: "" where there is none. */
struct resp_settings {
    uint64_t memory_limit_bytes;
    uint64_t connections_max;
    uint64_t idle_timeout_seconds; /* 0: none */
    uint64_t bulk_bytes_max;
    uint32_t databases;
    uint32_t backlog;
    uint32_t threads;        /* workers */
    uint16_t port, tls_port; /* 0: none */
    uint16_t unix_mode;      /* 0600 */
    uint8_t durability;      /* of enum resp_durability */
    bool needs_login;
    char bind[RESP_ADDRESS_BYTES];
    char unix_socket[RESP_ADDRESS_BYTES];
    char data_path[1024], config_path[1024], log_path[1024];
    char log_level[16];
};
enum resp_durability { RESP_DURABLE_NONE, RESP_DURABLE_PROCESS, RESP_DURABLE_POWER };

/* A connection of the door, as CLIENT LIST tells of it. */
struct resp_client {
    uint64_t id;            /* of the session: CLIENT ID */
    uint64_t connection_id; /* of the net, which kill_client takes */
    uint64_t age_seconds, idle_seconds;
    uint64_t waiting_bytes; /* of answers */
    uint32_t watched_keys;
    int32_t queued; /* commands in MULTI; -1: not in it */
    uint8_t protocol, database;
    bool is_waiting; /* for the executor */
    bool is_encrypted;
    char command[32]; /* its last one; "": none yet */
    char name[64];
    char user[RESP_USER_BYTES];
    char peer[RESP_ADDRESS_BYTES], local[RESP_ADDRESS_BYTES];
};

/* A user of the configuration. */
struct resp_user {
    char name[RESP_USER_BYTES];
    char tenant[RESP_TENANT_BYTES]; /* "": the default one */
    uint32_t rights;                /* of enum serve_right */
};

struct resp_hooks {
    void *argument; /* of all of them; borrowed until the door is closed */
    void (*read_figures)(void *argument, struct resp_figures *ret_figures);
    void (*read_settings)(void *argument, struct resp_settings *ret_settings);
    /*
     * Changes a setting by its key ("memory.limit") and a value as the configuration has it.
     * Errors: as serve_config_set and a reload; all is as it was then.
     */
    enum quarry_status (*change_setting)(void *argument, const char *key, const char *value,
                                         struct quarry_error *error);
    /* All connections of the door. `ret_clients`: own, of malloc. Errors: NO_MEMORY, CANCELLED. */
    enum quarry_status (*list_clients)(void *argument, struct resp_client **ret_clients,
                                       size_t *ret_count);
    /* Ends a connection, by its connection_id. False: there is none. */
    bool (*kill_client)(void *argument, uint64_t connection_id);
    /* All users, by name. `ret_users`: own, of malloc. Errors: NO_MEMORY. */
    enum quarry_status (*list_users)(void *argument, struct resp_user **ret_users,
                                     size_t *ret_count);
    /* Ends the server, after what is in flight (`is_graceful`), or at once. */
    void (*shutdown)(void *argument, bool is_graceful);
};

#endif
