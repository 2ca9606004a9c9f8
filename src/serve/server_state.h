/*
 * What the server's files share: its parts, in the order in which they are made.
 */
#ifndef QUARRY_SERVE_SERVER_STATE_H
#define QUARRY_SERVE_SERVER_STATE_H

#include <quarry/cache.h>
#include <quarry/memory.h>

#include <keyspace/keyspace.h>

#include <serve/config_address.h>
#include <serve/data_dir.h>
#include <serve/host.h>
#include <serve/login.h>
#include <serve/net.h>
#include <serve/resp/admin.h>
#include <serve/scrape/scrape.h>
#include <serve/server.h>
#include <serve/server_checkup.h>
#include <serve/tenant_numbers.h>
#include <serve/tenants.h>
#include <serve/tsdb_store.h>
#include <serve/users.h>

/* Of all doors. */
#define SERVER_LISTENERS_MAX (6 * SERVE_ADDRESSES_MAX)

/* A setting that was changed while serving, besides the sources. */
struct server_override {
    char key[32], value[32];
};
/* As many as there are that CONFIG SET changes. */
#define SERVER_OVERRIDES_MAX 4u

struct server {
    const char *version;
    const struct serve_sources *sources;
    bool ends_by_usr1;
    const char *written_paths[2]; /* files that are written besides; NULL: none */
    char confined[96];            /* by what, for people */
    struct serve_config *config;  /* own; the one in force. Of the main thread */
    struct serve_config *started; /* own where another: what START settings are still as in */
    uint64_t begin_ns;            /* monotonic */

    struct os_machine machine;
    struct serve_budget budget;
    struct serve_data_dir data_dir;
    struct quarry_memory *memory;
    uint64_t started_ram_bytes; /* of the machine, when the server began */
    bool owns_memory;           /* where the process' malloc is another's */
    struct quarry_cache *cache;
    uint64_t cache_disk_limit; /* as it was told last; 0: none. Of the main thread */
    struct keyspace *keyspace; /* NULL: there is no key-value store */
    struct serve_tsdb *tsdb;   /* NULL: there is no time-series store */
    struct scrape *scrape;     /* NULL where there is no store */
    char instance[64];         /* label of its own page's series */
    struct serve_tenants *tenants;
    struct serve_tenant_numbers *tenant_numbers; /* NULL: there is no time-series store */
    struct serve_users *users;
    struct serve_tls *tls; /* NULL: no door has it */
    struct serve_net *net;
    struct serve_listener *listeners[SERVER_LISTENERS_MAX]; /* borrowed */
    const struct serve_door *doors[SERVER_LISTENERS_MAX];   /* of each listener */
    bool has_tls[SERVER_LISTENERS_MAX];
    uint32_t listener_count;
    bool has_door;       /* the memcached door is open */
    bool has_resp;       /* and the RESP door */
    bool has_http;       /* and the HTTP door */
    bool asks_for_login; /* doors do, since they were opened */

    struct os_mutex asked_mutex;          /* a leaf */
    struct server_refresh *asked_refresh; /* guarded by asked_mutex: see server_asked.c */
    struct server_change *asked_change;   /* likewise: see server_admin.c */
    bool is_forgotten;                    /* likewise: the server ends, nobody may ask any more */
    struct resp_settings told_settings;   /* likewise: what CONFIG GET tells */
    struct server_override overrides[SERVER_OVERRIDES_MAX]; /* by CONFIG SET; of the main thread */
    uint32_t override_count;
    struct server_checkup checkup; /* see server_checkup.h */
    struct server_told *told; /* guarded by asked_mutex; own: see server_told.h. NULL: none yet */

    _Atomic(uint64_t) connections_max;      /* as in force, for the doors; relaxed */
    _Atomic(uint64_t) idle_timeout_seconds; /* likewise; 0: none */
    _Atomic(uint32_t) pong_count;           /* workers that have answered the last ping; relaxed */
    _Atomic(bool) has_reload_failed;        /* the last one; relaxed */
    _Atomic(bool) is_ready;                 /* all doors serve, and it does not end; relaxed */
    _Atomic(uint32_t) is_immediate; /* the end shall not wait; relaxed, a signal follows it */
};

/* server_hooks.c: what the net and the doors ask of the server. `argument` is the server. */
void server_net_hooks(struct server *server, struct serve_hooks *ret_hooks);
enum quarry_status server_open_doors(struct server *server, struct quarry_error *error);
void server_close_doors(struct server *server);

/* Moves a connection to another tenant. False: that one has as many as it may. */
bool server_move_identity(struct server *server, const struct serve_identity *from,
                          const struct serve_identity *to);

/*
 * Logs a connection in for a door, by its worker, and counts it for its tenant. `answered`: called
 * once when the outcome is SERVE_LOGIN_PENDING, else never; it passes what it is told through
 * server_login_answered(). Returns: never SERVE_LOGIN_BUSY, which is logged and refused.
 */
enum serve_login_outcome server_login(struct server *server, struct serve_connection *connection,
                                      const struct serve_login_request *request,
                                      serve_login_answered_function *answered,
                                      struct serve_identity *ret_identity);
/* A login that was pending has ended. Returns: `identity`; NULL: refused, or its tenant is full. */
const struct serve_identity *server_login_answered(struct server *server,
                                                   struct serve_connection *connection,
                                                   const struct serve_identity *identity);

/* server.c: whether the log of the time series has been read, or there are none. Any thread. */
bool server_has_series(const struct server *server);

/* server_resp.c: the RESP door; its threads end before the net does. */
enum quarry_status server_open_resp(struct server *server, struct quarry_error *error);
void server_stop_resp(struct server *server);
void server_close_resp(struct server *server);
/* server_http.c: the HTTP door, likewise. */
enum quarry_status server_open_http(struct server *server, struct quarry_error *error);
void server_stop_http(struct server *server);
void server_close_http(struct server *server);
/* What of its settings a reload changes. */
void server_apply_http(struct server *server, const struct serve_config *config);
/* Gives the tenants of a configuration their numbers, in the keyspace and in the others. */
enum quarry_status server_name_tenants(struct server *server, const struct serve_config *config,
                                       struct quarry_error *error);

/* server_asked.c: what the doors are told later: connections, and certificates that are read. */
bool server_ask_connections(void *argument, struct serve_connection *connection);
bool server_ask_certificates(void *argument, struct serve_connection *connection);
/* By the main thread: reads certificates anew, if somebody has asked for it. */
void server_refresh_asked(struct server *server);
/* Forgets who has asked. */
void server_forget_asked(struct server *server);
struct resp_client;
/* All connections of the RESP door. `ret_clients`: own, of malloc. Waits for all workers. */
enum quarry_status server_list_clients(void *argument, struct resp_client **ret_clients,
                                       size_t *ret_count);

/* server_admin.c: what the RESP door's commands of administration ask. */
void server_admin_settings(struct server *server, struct resp_admin_settings *ret_settings);
/* By the main thread: what is in force, for CONFIG GET; and what CONFIG SET asks for. */
void server_note_settings(struct server *server);
void server_change_asked(struct server *server);
/* Reads all sources again, by the main thread, and waits for it. Threads: any other, but a
 * worker. Errors: those of reloading; QUARRY_BUSY, QUARRY_CANCELLED. */
enum quarry_status server_ask_reload(struct server *server, struct quarry_error *error);
/* The same with a value that holds besides, until the next reload. `value`: checked as a file's. */
enum quarry_status server_ask_change(struct server *server, const char *key, const char *value,
                                     struct quarry_error *error);
/* Answers who has asked, and lets nobody ask any more. */
void server_forget_change(struct server *server);

/* server_net.c: limits and certificates by the configuration, and listening. */
void server_net_limits(const struct serve_config *config, struct serve_limits *ret_limits);
/* Has the doors tell the limits that are in force now. */
void server_note_limits(struct server *server, const struct serve_config *config);
enum quarry_status server_tls_open(struct server *server, struct quarry_error *error);
enum quarry_status server_tls_reload(struct server *server, const struct serve_config *config,
                                     struct quarry_error *error);
enum quarry_status server_listen(struct server *server, struct quarry_error *error);

/* What the memcached door allows, and how much is logged, by a configuration. */
void server_allow(const struct serve_config *config);

/* Ends the server, by the main thread. */
void server_shut_down(void *argument, bool is_graceful);

/* server_reload.c: reads all sources again. Logs what came of it. */
enum quarry_status server_reload(struct server *server, struct quarry_error *error);
/* The same with a value that holds besides, until the next reload that is not one of these. */
enum quarry_status server_reload_with(struct server *server, const char *key, const char *value,
                                      struct quarry_error *error);

/* banner.c: logs what the server is. */
void server_log_banner(const struct server *server);
void server_log_ready(const struct server *server);

#endif
