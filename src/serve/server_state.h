/*
 * What the server's files share: its parts, in the order in which they are made.
 */
#ifndef QUARRY_SERVE_SERVER_STATE_H
#define QUARRY_SERVE_SERVER_STATE_H

#include <quarry/cache.h>
#include <quarry/memory.h>

#include <serve/config_address.h>
#include <serve/data_dir.h>
#include <serve/host.h>
#include <serve/net.h>
#include <serve/server.h>
#include <serve/tenants.h>
#include <serve/users.h>

/* Of all doors. */
#define SERVER_LISTENERS_MAX (2 * SERVE_ADDRESSES_MAX)

struct server {
    const char *version;
    const struct serve_sources *sources;
    bool ends_by_usr1;
    struct serve_config *config;  /* own; the one in force. Of the main thread */
    struct serve_config *started; /* own where another: what START settings are still as in */
    uint64_t begin_ns;            /* monotonic */

    struct os_machine machine;
    struct serve_budget budget;
    struct serve_data_dir data_dir;
    struct quarry_memory *memory;
    bool owns_memory; /* where the process' malloc is another's */
    struct quarry_cache *cache;
    uint64_t cache_disk_limit; /* as it was told last; 0: none. Of the main thread */
    struct serve_tenants *tenants;
    struct serve_users *users;
    struct serve_tls *tls; /* NULL: no door has it */
    struct serve_net *net;
    struct serve_listener *listeners[SERVER_LISTENERS_MAX]; /* borrowed */
    bool has_tls[SERVER_LISTENERS_MAX];
    uint32_t listener_count;
    bool has_door;       /* the memcached door is open */
    bool asks_for_login; /* doors do, since they were opened */

    struct os_mutex asked_mutex;          /* a leaf */
    struct server_refresh *asked_refresh; /* guarded by asked_mutex: see server_asked.c */

    _Atomic(uint64_t) connections_max; /* as in force, for the doors; relaxed */
    _Atomic(uint32_t) pong_count;      /* workers that have answered the last ping; relaxed */
    _Atomic(uint32_t) is_immediate;    /* the end shall not wait; relaxed, a signal follows it */
};

/* server_hooks.c: what the net and the doors ask of the server. `argument` is the server. */
void server_net_hooks(struct server *server, struct serve_hooks *ret_hooks);
enum quarry_status server_open_doors(struct server *server, struct quarry_error *error);
void server_close_doors(struct server *server);

/* server_asked.c: what the doors are told later: connections, and certificates that are read. */
bool server_ask_connections(void *argument, struct serve_connection *connection);
bool server_ask_certificates(void *argument, struct serve_connection *connection);
/* By the main thread: reads certificates anew, if somebody has asked for it. */
void server_refresh_asked(struct server *server);
/* Forgets who has asked. */
void server_forget_asked(struct server *server);

/* server_net.c: limits and certificates by the configuration, and listening. */
void server_net_limits(const struct serve_config *config, struct serve_limits *ret_limits);
enum quarry_status server_tls_open(struct server *server, struct quarry_error *error);
enum quarry_status server_tls_reload(struct server *server, const struct serve_config *config,
                                     struct quarry_error *error);
enum quarry_status server_listen(struct server *server, struct quarry_error *error);

/* What the memcached door allows, and how much is logged, by a configuration. */
void server_allow(const struct serve_config *config);

/* server_reload.c: reads all sources again. Logs what came of it. */
void server_reload(struct server *server);

/* banner.c: logs what the server is. */
void server_log_banner(const struct server *server);
void server_log_ready(const struct server *server);

#endif
