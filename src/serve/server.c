/*
 * The server: its parts begun in order, a main thread that waits for signals, and the end.
 *
 *   begin   user ▸ maker of reports ▸ folder ▸ CONFINE FILES ▸ limit ▸ cache ▸ tenants ▸ stores ▸
 *           users ▸ certificates ▸ net ▸ doors ▸ listen ▸ scraper ▸ CONFINE CALLS ▸ start
 *   end     drain ▸ workers ▸ scraper ▸ users ▸ net ▸ doors ▸ certificates ▸ stores ▸ tenants ▸
 * cache ▸ folder ▸ maker of reports
 *
 * The folder is first, so that of two servers on one folder the second has touched nothing;
 * listening is last, so that who can connect is served. Sockets wait in the kernel from listen to
 * start.
 *
 * The main thread does what no request waits for: signals, the log's left-out lines, the watchdog.
 * All signals that mean something are blocked, for it and so for all threads after it, and taken by
 * sigtimedwait: there is no handler, and so nothing that a handler may not do.
 *
 * The watchdog is fed when every worker has answered what was posted to it since it was fed last: a
 * loop that hangs, or is slower than the manager allows, brings the server down and up again.
 *
 * Invariants:
 *   1. What begins is ended in the reverse order, however far the begin came.
 *   2. Nothing answers before everything has begun.
 *
 * Locking: the state is the main thread's; what workers read of it is const after the start, or
 * atomic.
 */
#include <serve/server.h>

#include <signal.h>
#include <string.h>
#include <time.h>

#include <quarry/lifetime.h>

#include <serve/cache_store.h>
#include <serve/door_memcached.h>
#include <serve/kv_store.h>
#include <serve/log.h>
#include <serve/notify.h>
#include <serve/observe/reporter.h>
#include <serve/server_confine.h>
#include <serve/server_scrape.h>
#include <serve/server_state.h>
#include <serve/server_told.h>
#include <serve/threads.h>
#include <serve/tsdb_export.h>

/* How often the main thread looks around, and how often while it waits for connections to end. */
#define TICK_NS            (1 * Q_SECOND_NS)
#define DRAIN_TICK_NS      (20 * Q_MS_NS)
#define SERIES_PATIENCE_NS (2 * Q_SECOND_NS)

/* ---- beginning ------------------------------------------------------------------------------ */

static enum quarry_status open_log(const struct server *server, struct quarry_error *error)
{
    const struct serve_log_options options = {
        .level = (enum serve_log_level)serve_config_number(server->config, SERVE_LOG_LEVEL),
        .format = (enum serve_log_format)serve_config_number(server->config, SERVE_LOG_FORMAT),
        .path = serve_config_text(server->config, SERVE_LOG_FILE),
    };

    return serve_log_open(&options, error);
}

/* The process' own memory with the server's limit; where its malloc is another's, one of our own.
 */
static enum quarry_status open_memory(struct server *server, struct quarry_error *error)
{
    struct quarry_memory_options options = {.limit_bytes = server->budget.bytes};

    server->memory = quarry_process_memory();
    server->owns_memory = server->memory == NULL;
    if (server->owns_memory) {
        return quarry_memory_create(&options, &server->memory, error);
    }
    enum quarry_status status = quarry_memory_set_limit(server->memory, server->budget.bytes);
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "memory.limit: %s", quarry_status_text(status));
}

static enum quarry_status open_users(struct server *server, struct quarry_error *error)
{
    const struct serve_users_options options = {
        .find_tenant = serve_tenants_find,
        .argument = server->tenants,
    };
    enum quarry_status status = serve_users_create(&options, &server->users, error);

    return status == QUARRY_OK ? serve_users_load(server->users, server->config, error) : status;
}

static enum quarry_status open_net(struct server *server, struct quarry_error *error)
{
    struct serve_net_options options = {
        .memory = server->memory,
        .worker_count = (uint32_t)serve_config_number(server->config, SERVE_SERVER_THREADS),
    };

    server_net_limits(server->config, &options.limits);
    server_net_hooks(server, &options.hooks);
    server_note_limits(server, server->config);
    return serve_net_create(&options, &server->net, error);
}

static enum quarry_status open_cache(struct server *server, struct quarry_error *error)
{
    enum quarry_status status = serve_cache_open(server->memory, server->config, &server->data_dir,
                                                 memcached_observe, &server->cache, error);

    return status == QUARRY_OK
               ? serve_tenants_create(server->cache, server->config, &server->tenants, error)
               : status;
}

static enum quarry_status open_store(struct server *server, struct quarry_error *error)
{
    return serve_kv_open(server->memory, server->config, &server->data_dir, server->budget.bytes,
                         &server->keyspace, error);
}

static enum quarry_status open_series(struct server *server, struct quarry_error *error)
{
    enum quarry_status status = serve_tsdb_open(server->memory, server->config, &server->data_dir,
                                                server->budget.bytes, &server->tsdb, error);

    if (status == QUARRY_OK && server->tsdb != NULL) {
        status = serve_tenant_numbers_open(server->data_dir.path, &server->tenant_numbers, error);
    }
    if (status == QUARRY_OK) {
        status = server_name_tenants(server, server->config, error);
    }
    if (status == QUARRY_OK) {
        serve_tsdb_apply(server->tsdb, server->tenants, NULL, server->config);
    }
    return status;
}

bool server_has_series(const struct server *server)
{
    return server->tsdb == NULL || quarry_tsdb_ready(server->tsdb->tsdb);
}

static enum quarry_status start_net(struct server *server, struct quarry_error *error)
{
    return serve_net_start(server->net, error);
}

static enum quarry_status open_data_dir(struct server *server, struct quarry_error *error)
{
    if (strcmp(serve_config_text(server->config, SERVE_SERVER_DATA), SERVE_DATA_OFF) == 0) {
        return QUARRY_OK; /* nothing is kept */
    }
    return serve_data_dir_open(&server->data_dir,
                               serve_config_text(server->config, SERVE_SERVER_DATA), error);
}

/* While there is one thread, and nothing is confined. */
static enum quarry_status start_reporter(struct server *server, struct quarry_error *error)
{
    const struct reporter_options options = {
        .calls = (enum confine_calls)serve_config_number(server->config, SERVE_SECURITY_SECCOMP),
        .has_files = serve_config_number(server->config, SERVE_SECURITY_LANDLOCK) != 0,
    };

    return serve_config_wants_http(server->config) ? reporter_start(&options, error) : QUARRY_OK;
}

/* Its folder may have to be made where nothing can be any more later. */
static enum quarry_status prepare_export(struct server *server, struct quarry_error *error)
{
    const char *path = serve_config_text(server->config, SERVE_TSDB_EXPORT_ON_PURGE);

    return path[0] != '\0' ? serve_tsdb_export_prepare(path, error) : QUARRY_OK;
}

static enum quarry_status begin(struct server *server, struct quarry_error *error)
{
    static enum quarry_status (*const steps[])(struct server *, struct quarry_error *) = {
        start_reporter,       open_data_dir,    prepare_export, server_confine_files,
        open_memory,          open_cache,       open_store,     open_series,
        open_users,           server_tls_open,  open_net,       server_open_doors,
        server_open_resp,     server_open_http, server_listen,  server_open_scrape,
        server_confine_calls,
    };
    enum quarry_status status = QUARRY_OK;

    (void)serve_host_raise_files(server->config);
    os_machine_read("", &server->machine);
    server->started_ram_bytes = server->machine.ram_bytes;
    serve_budget_choose(server->config, &server->machine, &server->budget);
    server->asks_for_login = serve_config_has_users(server->config);
    for (size_t i = 0; status == QUARRY_OK && i < sizeof steps / sizeof steps[0]; i++) {
        status = steps[i](server, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    server_log_banner(server);
    server_checkup_begin(server);
    return start_net(server, error);
}

/* ---- ending --------------------------------------------------------------------------------- */

/* Each part may not have begun. */
static void end(struct server *server)
{
    if (server->net != NULL) {
        serve_net_stop(server->net);
    }
    server_forget_asked(server);
    server_forget_change(server);       /* executor threads wait for it */
    server_stop_resp(server);           /* its threads post to the net until they have ended */
    server_stop_http(server);           /* so do its */
    server_close_scrape(server);        /* it tells of all of them */
    serve_users_destroy(server->users); /* its thread posts to the net, too */
    serve_net_destroy(server->net);
    server_close_http(server);
    server_close_resp(server);
    server_close_doors(server);
    serve_tls_destroy(server->tls);
    serve_tsdb_close(server->tsdb);
    serve_tenant_numbers_close(server->tenant_numbers);
    serve_kv_close(server->keyspace);
    serve_tenants_destroy(server->tenants);
    quarry_cache_close(server->cache);
    if (server->owns_memory) {
        quarry_memory_destroy(server->memory);
    }
    serve_data_dir_close(&server->data_dir);
    reporter_stop();
    server_told_release(server, server->told);
    if (server->config != server->started) {
        serve_config_destroy(server->config);
    }
    serve_config_destroy(server->started);
}

/* ---- signals -------------------------------------------------------------------------------- */

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};

static void make_signal_set(sigset_t *set)
{
    (void)sigemptyset(set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaddset(set, signals[i]);
    }
}

/* Before there is a second thread: they inherit it. */
static void block_signals(sigset_t *ret_before)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;

    make_signal_set(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, ret_before);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    os_threads_admit(SIGPROF); /* observe/cpu.c */
}

/* Returns: a signal that has come; 0: none did. */
static int wait_for_signal(uint64_t timeout_ns)
{
    const struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / Q_SECOND_NS),
                                     .tv_nsec = (long)(timeout_ns % Q_SECOND_NS)};
    sigset_t set;

    make_signal_set(&set);
    int signal = sigtimedwait(&set, NULL, &timeout);
    return signal > 0 ? signal : 0;
}

static void reopen_log(void)
{
    struct quarry_error error = {0};

    if (serve_log_reopen(&error) != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "the log cannot be opened again",
                  serve_log_text("why", error.text));
    }
}

/* Returns: whether it is one that ends the server. */
static bool handle_signal(struct server *server, int signal)
{
    struct quarry_error error = {0};

    switch (signal) {
    case SIGTERM:
    case SIGINT:
        return true;
    case SIGHUP:
        (void)server_reload(server, &error);
        return false;
    case SIGUSR1:
        if (server->ends_by_usr1) {
            return true;
        }
        reopen_log();
        return false;
    case SIGUSR2: /* our own, see server_asked.c and server_admin.c */
        server_refresh_asked(server);
        server_change_asked(server);
        return false;
    case SIGQUIT:
        serve_threads_log();
        return false;
    default:
        return false;
    }
}

/* ---- the main thread's round ----------------------------------------------------------------- */

static void pong(struct serve_connection *connection, void *argument)
{
    struct server *server = argument;

    (void)connection;
    (void)atomic_add_relaxed_u32(&server->pong_count, 1);
}

struct watchdog {
    uint64_t period_ns; /* 0: nobody wants to be told */
    uint64_t next_ns;
    bool is_asking; /* workers were asked, and not all have answered */
};

static void ask_workers(struct server *server)
{
    uint32_t count = serve_net_worker_count(server->net);

    atomic_store_relaxed_u32(&server->pong_count, 0);
    for (uint32_t i = 0; i < count; i++) {
        (void)serve_post(serve_net_worker(server->net, i), 0, pong, server);
    }
}

/* Workers that are late are not asked again: the manager's patience is what counts. */
static void feed_watchdog(struct server *server, struct watchdog *watchdog, uint64_t now_ns)
{
    if (watchdog->period_ns == 0) {
        return;
    }
    if (watchdog->is_asking &&
        atomic_load_relaxed_u32(&server->pong_count) == serve_net_worker_count(server->net)) {
        watchdog->is_asking = false;
        serve_notify("WATCHDOG=1");
    }
    if (!watchdog->is_asking && now_ns >= watchdog->next_ns) {
        watchdog->is_asking = true;
        watchdog->next_ns = now_ns + watchdog->period_ns;
        ask_workers(server);
    }
}

static void serve(struct server *server)
{
    struct watchdog watchdog = {.period_ns = serve_notify_watchdog_ns()};
    uint64_t tick_ns =
        watchdog.period_ns != 0 ? size_min_u64(TICK_NS, watchdog.period_ns / 4 + 1) : TICK_NS;

    while (!handle_signal(server, wait_for_signal(tick_ns))) {
        uint64_t now_ns = os_monotonic_ns(os_real());
        serve_log_tell_left_out(now_ns);
        feed_watchdog(server, &watchdog, now_ns);
        serve_cache_tell_disk(server->cache, &server->cache_disk_limit);
        server_checkup_turn(server, now_ns);
    }
}

/* Lets requests under way finish, until a second signal or the net's own limit. */
static void drain(struct server *server)
{
    uint64_t begin_ns = os_monotonic_ns(os_real());
    bool is_immediate = atomic_load_relaxed_u32(&server->is_immediate) != 0;

    atomic_store_relaxed_bool(&server->is_ready, false);

    serve_notify("STOPPING=1\nSTATUS=finishing requests");
    serve_log(SERVE_LOG_INFO, "ending: requests under way are finished",
              serve_log_count("connections", serve_net_connection_count(server->net)));
    serve_net_begin_drain(server->net);
    if (server->has_resp) {
        resp_pause_stop(); /* what a CLIENT PAUSE holds is a request under way */
    }
    while (!is_immediate && !serve_net_wait_drained(server->net, DRAIN_TICK_NS)) {
        is_immediate = handle_signal(server, wait_for_signal(0));
    }
    serve_log(SERVE_LOG_INFO, "ended", serve_log_text("how", is_immediate ? "at once" : "in order"),
              serve_log_seconds("seconds", os_monotonic_ns(os_real()) - begin_ns));
}

/* A log of time series that is short has been read before the server says that it is ready. Behind
 * a long one only their writers wait. */
static void wait_for_series(const struct server *server)
{
    uint64_t patience_end_ns = os_monotonic_ns(os_real()) + SERIES_PATIENCE_NS;

    while (!server_has_series(server) && os_monotonic_ns(os_real()) < patience_end_ns) {
        os_sleep_ns(Q_MS_NS);
    }
}

enum quarry_status serve_server_run(const struct serve_server_options *options,
                                    struct quarry_error *error)
{
    struct server server = {
        .version = options->version,
        .sources = options->sources,
        .config = options->config,
        .started = options->config,
        .ends_by_usr1 = options->ends_by_usr1,
        .written_paths = {options->written_paths[0], options->written_paths[1]},
        .begin_ns = os_monotonic_ns(os_real()),
        .data_dir = {.lock_fd = -1},
    };
    sigset_t before;

    Q_ASSERT(options->config != NULL && options->sources != NULL);
    enum quarry_status status = server_become_user(server.config, error);
    if (status == QUARRY_OK) {
        status = open_log(&server, error);
    }
    if (status != QUARRY_OK) {
        serve_config_destroy(server.config);
        return status;
    }
    os_mutex_init(&server.asked_mutex, OS_RANK_LEAF, 0);
    server_checkup_init(&server);
    block_signals(&before);
    status = begin(&server, error);
    if (status == QUARRY_OK) {
        server_note_settings(&server);
        server_tell_config(&server);
        wait_for_series(&server);
        atomic_store_relaxed_bool(&server.is_ready, true);
        server_log_ready(&server);
        if (options->ready != NULL) {
            options->ready(options->argument, server.listeners, server.listener_count);
        }
        serve(&server);
        drain(&server);
    }
    end(&server);
    serve_log_tell_left_out(UINT64_MAX);
    serve_log_close();
    /* What came too late to matter would be taken by default when it is let in: as a death. */
    while (wait_for_signal(0) != 0) {
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
