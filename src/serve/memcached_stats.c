/*
 * `stats` and its groups, under memcached's names.
 *
 * What a name means here where it cannot mean what it does in memcached is in docs/memcached.md; a
 * figure of something that does not exist here is 0. Counts of the cache are those of the tenant
 * that the connection speaks for; classes of cells and other connections are shown to those who may
 * administrate.
 *
 * Cost: nothing on any request: everything is added up when it is asked for.
 */
#include <serve/memcached_stats.h>

#include <serve/memcached_request.h>
#include <serve/memcached_unfinished.h>
#include <serve/memcached_watch.h>

#include <os/os.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Where figures go. */
struct telling {
    struct memcached_turn *turn;
    memcached_stat_function *tell;
    enum memcached_step step; /* CLOSE once there was no memory; nothing is told then */
};

static void tell_text(struct telling *telling, const char *name, const char *value)
{
    if (telling->step == MEMCACHED_ON) {
        telling->step = telling->tell(telling->turn, name, value);
    }
}

static void tell_number(struct telling *telling, const char *name, uint64_t number)
{
    char text[MEMCACHED_NUMBER_BYTES + 1];

    *memcached_write_u64(text, number) = '\0';
    tell_text(telling, name, text);
}

static void tell_yes(struct telling *telling, const char *name, bool is_so)
{
    tell_text(telling, name, is_so ? "yes" : "no");
}

/* A name and its number, of those that are told in a row. */
struct figure {
    const char *name;
    uint64_t number;
};

static void tell_figures(struct telling *telling, const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tell_number(telling, figures[i].name, figures[i].number);
    }
}
#define TELL_FIGURES(telling, ...)                                                                 \
    do {                                                                                           \
        const struct figure figures_[] = {__VA_ARGS__};                                            \
        tell_figures(telling, figures_, sizeof figures_ / sizeof figures_[0]);                     \
    } while (0)

/* ---- the general group ---------------------------------------------------------------------- */

/* What all workers have counted. */
struct sums {
    uint64_t touch_requests, flush_requests, meta_requests;
    uint64_t logins, logins_refused;
    uint64_t yields;
    uint64_t store_too_large, store_no_memory;
    uint64_t requests, refused_by_limit, values_cut, values_waited;
};

static struct sums add_up(void)
{
    struct sums sums = {0};

    for (uint32_t i = 0; i < memcached.settings.worker_count; i++) {
        struct memcached_counters *worker = &memcached.workers[i];

        /* Relaxed: figures of different moments. */
        sums.touch_requests += atomic_load_relaxed_u64(&worker->touch_requests);
        sums.flush_requests += atomic_load_relaxed_u64(&worker->flush_requests);
        sums.meta_requests += atomic_load_relaxed_u64(&worker->meta_requests);
        sums.logins += atomic_load_relaxed_u64(&worker->logins);
        sums.logins_refused += atomic_load_relaxed_u64(&worker->logins_refused);
        sums.yields += atomic_load_relaxed_u64(&worker->yields);
        sums.store_too_large += atomic_load_relaxed_u64(&worker->store_too_large);
        sums.store_no_memory += atomic_load_relaxed_u64(&worker->store_no_memory);
        sums.requests += atomic_load_relaxed_u64(&worker->requests);
        sums.refused_by_limit += atomic_load_relaxed_u64(&worker->refused_by_limit);
        sums.values_cut += atomic_load_relaxed_u64(&worker->values_cut);
        sums.values_waited += atomic_load_relaxed_u64(&worker->values_waited);
    }
    return sums;
}

static void tell_time(struct telling *telling, const char *name, const struct timeval *time)
{
    char text[48];

    snprintf(text, sizeof text, "%lld.%06ld", (long long)time->tv_sec, (long)time->tv_usec);
    tell_text(telling, name, text);
}

static void tell_process(struct telling *telling, const struct memcached_server_figures *server)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    TELL_FIGURES(telling, {"pid", (uint64_t)getpid()}, {"uptime", server->uptime_seconds},
                 {"time", quarry_cache_now(memcached.settings.cache)});
    tell_text(telling, "version", memcached.settings.version);
    tell_text(telling, "libevent", "2.1");
    tell_number(telling, "pointer_size", 64);
    tell_time(telling, "rusage_user", &usage.ru_utime);
    tell_time(telling, "rusage_system", &usage.ru_stime);
    TELL_FIGURES(telling, {"max_connections", server->connections_max},
                 {"curr_connections", server->connections},
                 {"total_connections", server->connections_ever},
                 {"rejected_connections", server->connections_rejected},
                 {"connection_structures", server->connections}, {"response_obj_oom", 0},
                 {"response_obj_count", 0}, {"response_obj_bytes", 0}, {"read_buf_count", 0},
                 {"read_buf_bytes", server->connection_bytes}, {"read_buf_bytes_free", 0},
                 {"read_buf_oom", 0}, {"reserved_fds", 0});
}

static void tell_requests(struct telling *telling, const struct quarry_cache_tenant_stats *tenant,
                          const struct sums *sums)
{
    TELL_FIGURES(telling, {"cmd_get", tenant->get_hits + tenant->get_misses},
                 {"cmd_set", tenant->set_count}, {"cmd_flush", sums->flush_requests},
                 {"cmd_touch", tenant->touch_hits + tenant->touch_misses},
                 {"cmd_meta", sums->meta_requests}, {"get_hits", tenant->get_hits},
                 {"get_misses", tenant->get_misses}, {"get_expired", tenant->get_expired},
                 {"get_flushed", tenant->get_flushed}, {"delete_misses", tenant->delete_misses},
                 {"delete_hits", tenant->delete_hits}, {"incr_misses", tenant->incr_misses},
                 {"incr_hits", tenant->incr_hits}, {"decr_misses", tenant->decr_misses},
                 {"decr_hits", tenant->decr_hits}, {"cas_misses", tenant->cas_misses},
                 {"cas_hits", tenant->cas_hits}, {"cas_badval", tenant->cas_badval},
                 {"touch_hits", tenant->touch_hits}, {"touch_misses", tenant->touch_misses},
                 {"store_too_large", sums->store_too_large},
                 {"store_no_memory", sums->store_no_memory}, {"auth_cmds", sums->logins},
                 {"auth_errors", sums->logins_refused});
}

static void tell_server(struct telling *telling, const struct memcached_server_figures *server,
                        const struct sums *sums, const struct quarry_cache_stats *cache)
{
    struct memcached_watch_figures watch = memcached_watch_figures();
    uint32_t power = cache->index_slots == 0 ? 0 : bits_log2_ceil_u64(cache->index_slots);

    TELL_FIGURES(
        telling, {"bytes_read", server->bytes_read}, {"bytes_written", server->bytes_written},
        {"limit_maxbytes", cache->size_bytes}, {"accepting_conns", server->is_accepting ? 1 : 0},
        {"listen_disabled_num", server->accept_pauses},
        {"time_in_listen_disabled_us", server->accept_pause_us},
        {"threads", memcached.settings.worker_count}, {"conn_yields", sums->yields},
        {"hash_power_level", power}, {"hash_bytes", cache->index_bytes}, {"hash_is_expanding", 0},
        {"slab_reassign_rescues", cache->moved_items}, {"slab_reassign_chunk_rescues", 0},
        {"slab_reassign_evictions_nomem", 0}, {"slab_reassign_inline_reclaim", 0},
        {"slab_reassign_busy_items", 0}, {"slab_reassign_busy_deletes", 0},
        {"slab_reassign_running", 0}, {"slabs_moved", cache->moved_pages},
        {"lru_crawler_running", 0}, {"lru_crawler_starts", 0}, {"lru_maintainer_juggles", 0},
        {"malloc_fails", 0}, {"log_worker_dropped", 0}, {"log_worker_written", 0},
        {"log_watcher_skipped", watch.skipped}, {"log_watcher_sent", watch.sent},
        {"log_watchers", watch.watchers}, {"unexpected_napi_ids", 0}, {"round_robin_fallback", 0});
}

static void tell_items_in_all(struct telling *telling,
                              const struct quarry_cache_tenant_stats *tenant,
                              const struct quarry_cache_stats *cache)
{
    TELL_FIGURES(telling, {"bytes", tenant->item_bytes}, {"curr_items", tenant->item_count},
                 {"total_items", tenant->total_items}, {"slab_global_page_pool", 0},
                 {"expired_unfetched", tenant->expired_unfetched},
                 {"evicted_unfetched", tenant->evicted_unfetched}, {"evicted_active", 0},
                 {"evictions", tenant->evictions}, {"reclaimed", tenant->expired},
                 {"crawler_reclaimed", 0}, {"crawler_items_checked", cache->crawled_items},
                 {"lrutail_reflocked", 0}, {"moves_to_cold", 0}, {"moves_to_warm", 0},
                 {"moves_within_lru", tenant->promoted}, {"direct_reclaims", 0},
                 {"lru_bumps_dropped", 0});
}

static struct memcached_server_figures read_server(void)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    struct memcached_server_figures server = {.is_accepting = true};

    server.uptime_seconds = quarry_cache_now(memcached.settings.cache) - memcached.start_seconds;
    if (hooks->read_server != NULL) {
        hooks->read_server(hooks->argument, &server);
    }
    return server;
}

static void tell_general(struct telling *telling)
{
    struct memcached_server_figures server = read_server();
    struct quarry_cache_tenant_stats tenant;
    struct quarry_cache_stats cache;
    struct sums sums = add_up();

    quarry_cache_read_tenant(telling->turn->tenant, &tenant);
    quarry_cache_read_stats(memcached.settings.cache, &cache);
    tell_process(telling, &server);
    tell_requests(telling, &tenant, &sums);
    if (server.idle_timeout_seconds > 0) {
        tell_number(telling, "idle_kicks", server.idle_closed);
    }
    tell_server(telling, &server, &sums, &cache);
    tell_items_in_all(telling, &tenant, &cache);
}

/* What memcached has no names for. */
static void tell_door(struct telling *telling)
{
    struct sums sums = add_up();

    TELL_FIGURES(telling, {"requests", sums.requests}, {"refused_by_limit", sums.refused_by_limit},
                 {"values_cut", sums.values_cut}, {"values_waited", sums.values_waited},
                 {"values_waiting", memcached_unfinished_waiting()});
}

/* ---- settings ------------------------------------------------------------------------------- */

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? "NULL" : text;
}

static const char *const speeches[] = {"auto-negotiate", "ascii", "binary"};

/* What can be set, and what the names of memcached mean here. */
static void tell_settings_of_server(struct telling *telling)
{
    const struct memcached_settings *settings = &memcached.settings;
    struct memcached_server_figures server = read_server();
    struct quarry_cache_stats cache;

    quarry_cache_read_stats(settings->cache, &cache);
    TELL_FIGURES(telling, {"maxbytes", cache.size_bytes}, {"maxconns", server.connections_max},
                 {"tcpport", memcached.address.port}, {"udpport", 0});
    tell_text(telling, "inter", or_null(memcached.address.interface));
    TELL_FIGURES(telling, {"verbosity", atomic_load_relaxed_u32(&memcached.verbosity)},
                 {"oldest", 0});
    tell_text(telling, "evictions", "on");
    tell_text(telling, "domain_socket", or_null(memcached.address.unix_socket));
    tell_text(telling, "umask", "700");
    tell_yes(telling, "shutdown_command", atomic_load_relaxed_bool(&memcached.allows_shutdown));
    tell_text(telling, "growth_factor", "1.25");
    TELL_FIGURES(telling, {"chunk_size", 48}, {"num_threads", settings->worker_count},
                 {"num_threads_per_udp", 0});
    tell_text(telling, "stat_key_prefix", ":");
    tell_yes(telling, "detail_enabled", atomic_load_relaxed_bool(&memcached.counts_prefixes));
    tell_number(telling, "reqs_per_event", MEMCACHED_TURN_REQUESTS);
    tell_yes(telling, "cas_enabled", true);
    tell_number(telling, "tcp_backlog", settings->backlog);
    tell_text(telling, "binding_protocol", speeches[settings->speech]);
    bool needs_login = serve_connection_needs_login(telling->turn->connection);

    tell_yes(telling, "auth_enabled_sasl", needs_login);
    tell_yes(telling, "auth_enabled_ascii", needs_login);
    tell_number(telling, "item_size_max", cache.value_bytes_max);
    tell_yes(telling, "maxconns_fast", true);
}

static void tell_settings_of_cache(struct telling *telling)
{
    tell_number(telling, "hashpower_init", 0);
    tell_yes(telling, "slab_reassign", true);
    tell_number(telling, "slab_automove", atomic_load_relaxed_u32(&memcached.automove));
    tell_text(telling, "slab_automove_ratio", "0.80");
    TELL_FIGURES(telling, {"slab_automove_window", 30}, {"slab_chunk_max", 65536});
    tell_yes(telling, "lru_crawler", atomic_load_relaxed_bool(&memcached.has_crawler));
    TELL_FIGURES(telling,
                 {"lru_crawler_sleep", atomic_load_relaxed_u32(&memcached.crawler_sleep_us)},
                 {"lru_crawler_tocrawl", atomic_load_relaxed_u32(&memcached.crawler_to_crawl)},
                 {"tail_repair_time", 0});
    tell_yes(telling, "flush_enabled", !atomic_load_relaxed_bool(&memcached.refuses_flush));
    tell_yes(telling, "dump_enabled", !atomic_load_relaxed_bool(&memcached.refuses_dump));
    tell_text(telling, "hash_algorithm", "xxh3");
    tell_yes(telling, "lru_maintainer_thread", true);
    tell_yes(telling, "lru_segmented", !atomic_load_relaxed_bool(&memcached.is_flat_lru));
    TELL_FIGURES(telling, {"hot_lru_pct", atomic_load_relaxed_u32(&memcached.hot_percent)},
                 {"warm_lru_pct", atomic_load_relaxed_u32(&memcached.warm_percent)});
    tell_text(telling, "hot_max_factor", "0.20");
    tell_text(telling, "warm_max_factor", "2.00");
    tell_yes(telling, "temp_lru", atomic_load_relaxed_bool(&memcached.has_temporary_lru));
    TELL_FIGURES(telling, {"temporary_ttl", atomic_load_relaxed_u32(&memcached.temporary_ttl)},
                 {"idle_timeout", read_server().idle_timeout_seconds},
                 {"watcher_logbuf_size", 16384}, {"worker_logbuf_size", 0},
                 {"read_buf_mem_limit", 0});
    tell_yes(telling, "track_sizes", false);
    tell_yes(telling, "inline_ascii_response", false);
    tell_yes(telling, "ssl_enabled", serve_connection_is_encrypted(telling->turn->connection));
    tell_text(telling, "ssl_min_version", "tlsv1.2");
    tell_text(telling, "num_napi_ids", "(null)");
    tell_text(telling, "memory_file", "(null)");
}

static void tell_settings(struct telling *telling)
{
    tell_settings_of_server(telling);
    tell_settings_of_cache(telling);
}

/* ---- classes -------------------------------------------------------------------------------- */

/* More than a slab has. */
#define CLASSES_MAX 512u

/* "items:7:number", "7:chunk_size" */
static void tell_of_class(struct telling *telling, const char *prefix,
                          const struct quarry_cache_class_stats *class,
                          const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s%u:%s", prefix, class->class_id, figures[i].name);
        tell_number(telling, name, figures[i].number);
    }
}

static void tell_items_class(struct telling *telling, const struct quarry_cache_class_stats *class)
{
    const struct figure figures[] = {
        {"number", class->used_count},
        {"number_hot", 0},
        {"number_warm", 0},
        {"number_cold", class->used_count},
        {"age_hot", 0},
        {"age_warm", 0},
        {"age", 0},
        {"mem_requested", class->used_count * class->cell_bytes},
        {"evicted", 0},
        {"evicted_nonzero", 0},
        {"evicted_time", 0},
        {"outofmemory", 0},
        {"tailrepairs", 0},
        {"reclaimed", 0},
        {"expired_unfetched", 0},
        {"evicted_unfetched", 0},
        {"evicted_active", 0},
        {"crawler_reclaimed", 0},
        {"crawler_items_checked", 0},
        {"lrutail_reflocked", 0},
        {"moves_to_cold", 0},
        {"moves_to_warm", 0},
        {"moves_within_lru", 0},
        {"direct_reclaims", 0},
        {"hits_to_hot", 0},
        {"hits_to_warm", 0},
        {"hits_to_cold", 0},
        {"hits_to_temp", 0},
    };

    if (class->used_count > 0) {
        tell_of_class(telling, "items:", class, figures, sizeof figures / sizeof figures[0]);
    }
}

static void tell_slabs_class(struct telling *telling, const struct quarry_cache_class_stats *class)
{
    const struct figure figures[] = {
        {"chunk_size", class->cell_bytes},
        {"chunks_per_page", class->cells_per_page},
        {"total_pages", class->page_count},
        {"total_chunks", class->cell_count},
        {"used_chunks", class->used_count},
        {"free_chunks", class->cell_count - class->used_count},
        {"free_chunks_end", 0},
        {"get_hits", 0},
        {"cmd_set", 0},
        {"delete_hits", 0},
        {"incr_hits", 0},
        {"decr_hits", 0},
        {"cas_hits", 0},
        {"cas_badval", 0},
        {"touch_hits", 0},
    };

    if (class->page_count > 0) {
        tell_of_class(telling, "", class, figures, sizeof figures / sizeof figures[0]);
    }
}

static size_t read_classes(const struct telling *telling, struct quarry_cache_class_stats *classes)
{
    if (!memcached_may(telling->turn, SERVE_ADMIN)) {
        return 0; /* classes are shared by all tenants */
    }
    return size_min(quarry_cache_read_classes(memcached.settings.cache, classes, CLASSES_MAX),
                    CLASSES_MAX);
}

static void tell_items(struct telling *telling)
{
    struct quarry_cache_class_stats classes[CLASSES_MAX];
    size_t count = read_classes(telling, classes);

    for (size_t i = 0; i < count; i++) {
        tell_items_class(telling, &classes[i]);
    }
}

static void tell_slabs(struct telling *telling)
{
    struct quarry_cache_class_stats classes[CLASSES_MAX];
    size_t count = read_classes(telling, classes);
    uint64_t active = 0;
    uint64_t byte_count = 0;

    for (size_t i = 0; i < count; i++) {
        tell_slabs_class(telling, &classes[i]);
        active += classes[i].page_count > 0 ? 1 : 0;
        byte_count += classes[i].cell_count * classes[i].cell_bytes;
    }
    TELL_FIGURES(telling, {"active_slabs", active}, {"total_malloced", byte_count});
}

/* ---- connections ---------------------------------------------------------------------------- */

static void tell_connection_text(struct telling *telling, uint64_t id, const char *name,
                                 const char *value)
{
    char full[64];

    snprintf(full, sizeof full, "%llu:%s", (unsigned long long)id, name);
    tell_text(telling, full, value);
}

/* memcached's form of an address: "tcp:127.0.0.1:40000", "unix:/run/q.sock". */
static void tell_address(struct telling *telling, uint64_t id, const char *name,
                         const char *address)
{
    char text[160];
    bool is_unix = strncmp(address, "unix:", 5) == 0;

    snprintf(text, sizeof text, "%s%s", is_unix ? "" : "tcp:", address);
    tell_connection_text(telling, id, name, text);
}

static void tell_connection(struct telling *telling,
                            const struct memcached_connection_figures *connection)
{
    char seconds[MEMCACHED_NUMBER_BYTES + 1];

    tell_address(telling, connection->id, "addr", connection->peer);
    if (connection->local[0] != '\0') {
        tell_address(telling, connection->id, "listen_addr", connection->local);
    }
    tell_connection_text(telling, connection->id, "state", connection->state);
    *memcached_write_u64(seconds, connection->idle_seconds) = '\0';
    tell_connection_text(telling, connection->id, "secs_since_last_cmd", seconds);
}

/* Other workers' connections are asked of the server, which answers later; see below. */
static void tell_connections(struct telling *telling)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    struct serve_connection *connection = telling->turn->connection;
    struct memcached_state *state = telling->turn->state;

    if (!memcached_may(telling->turn, SERVE_ADMIN) || hooks->ask_connections == NULL) {
        struct memcached_connection_figures own = {.id = serve_connection_id(connection),
                                                   .state = memcached_at(connection)};

        snprintf(own.peer, sizeof own.peer, "%s", serve_connection_peer(connection));
        snprintf(own.local, sizeof own.local, "%s", serve_connection_local(connection));
        tell_connection(telling, &own);
        return;
    }
    if (!hooks->ask_connections(hooks->argument, connection)) {
        telling->step = MEMCACHED_CLOSE;
        return;
    }
    state->phase = MEMCACHED_ASKING;
    telling->turn->at -= 1; /* of the request: until all are told */
}

/* Connections told of before others have their turn: some tens of microseconds. */
#define STRETCH_CONNECTIONS 32u

enum memcached_step memcached_connections_phase(struct memcached_turn *turn)
{
    struct memcached_listing *listing = &turn->state->listing;
    bool is_text = turn->state->protocol == MEMCACHED_TEXT;
    struct telling telling = {turn, is_text ? memcached_tell_line : memcached_tell_packet,
                              MEMCACHED_ON};

    for (uint32_t i = 0; i < STRETCH_CONNECTIONS && listing->told < listing->count; i++) {
        tell_connection(&telling, &listing->figures[listing->told++]);
    }
    turn->state->turn_requests += 4 * STRETCH_CONNECTIONS; /* lines */
    if (telling.step != MEMCACHED_ON || listing->told < listing->count) {
        return telling.step;
    }
    free(listing->figures);
    turn->state->phase = MEMCACHED_REQUEST;
    turn->at += 1;
    return is_text ? memcached_say(turn, "END") : memcached_tell_packet(turn, "", "");
}

/* ---- tenants -------------------------------------------------------------------------------- */

/* "tenant:acme:curr_items": the names are those of the general group. */
static void tell_tenant(struct telling *telling, const struct quarry_cache_tenant *tenant)
{
    struct quarry_cache_tenant_stats stats;

    quarry_cache_read_tenant(tenant, &stats);
    const struct figure figures[] = {
        {"curr_items", stats.item_count},
        {"bytes", stats.item_bytes},
        {"limit_maxbytes", stats.quota_bytes},
        {"share_bytes", stats.share_bytes},
        {"cmd_get", stats.get_hits + stats.get_misses},
        {"get_hits", stats.get_hits},
        {"get_misses", stats.get_misses},
        {"cmd_set", stats.set_count},
        {"evictions", stats.evictions},
        {"evicted_unfetched", stats.evicted_unfetched},
        {"evicted_time", stats.evicted_age_seconds},
        {"reclaimed", stats.expired},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        char name[96];

        snprintf(name, sizeof name, "tenant:%s:%s", quarry_cache_tenant_name(tenant),
                 figures[i].name);
        tell_number(telling, name, figures[i].number);
    }
}

/* Who may not administrate sees his own alone. */
static void tell_tenants(struct telling *telling)
{
    const struct quarry_cache_tenant *tenant = NULL;

    if (!memcached_may(telling->turn, SERVE_ADMIN)) {
        tell_tenant(telling, telling->turn->tenant);
        return;
    }
    while ((tenant = quarry_cache_next_tenant(memcached.settings.cache, tenant)) != NULL) {
        tell_tenant(telling, tenant);
    }
}

/* ---- groups --------------------------------------------------------------------------------- */

static void tell_sizes(struct telling *telling)
{
    tell_text(telling, "sizes_status", "disabled");
}

bool memcached_tell_stats(struct memcached_turn *turn, struct memcached_word group,
                          memcached_stat_function *tell, enum memcached_step *ret_step)
{
    static const struct {
        const char *name;
        void (*tell)(struct telling *telling);
    } groups[] = {
        {"", tell_general},        {"settings", tell_settings}, {"items", tell_items},
        {"slabs", tell_slabs},     {"conns", tell_connections}, {"sizes", tell_sizes},
        {"tenants", tell_tenants}, {"door", tell_door},
    };
    struct telling telling = {turn, tell, MEMCACHED_ON};

    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (memcached_word_is(group, groups[i].name, strlen(groups[i].name))) {
            groups[i].tell(&telling);
            *ret_step = telling.step;
            return true;
        }
    }
    return false;
}

static void reset_worker(struct memcached_counters *worker)
{
    _Atomic uint64_t *const counters[] = {
        &worker->touch_requests,  &worker->flush_requests,  &worker->meta_requests,
        &worker->logins,          &worker->logins_refused,  &worker->yields,
        &worker->store_too_large, &worker->store_no_memory, &worker->values_cut,
        &worker->values_waited,
    };

    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        atomic_store_relaxed_u64(counters[i], 0); /* relaxed: the owner may add to what was */
    }
}

void memcached_reset_stats(struct memcached_turn *turn)
{
    quarry_cache_reset_tenant(turn->tenant);
    quarry_cache_reset_prefixes(turn->tenant);
    if (memcached_may(turn, SERVE_ADMIN)) {
        for (uint32_t i = 0; i < memcached.settings.worker_count; i++) {
            reset_worker(&memcached.workers[i]);
        }
    }
}
