/*
 * What the commands of administration share: settings, figures, CLIENT PAUSE.
 *
 * Counts that the server and the store keep are never set back: CONFIG RESETSTAT writes down what
 * they are, and what is told later is the difference.
 *
 * CLIENT PAUSE is two words: what is paused, and until when. A command that it holds is sent to the
 * executor, whose thread sleeps there on a futex that the pause's end and every change of it wake.
 * So a pause occupies threads of the executor, and what waits for the disk waits with it; commands
 * that end a pause never go there.
 *
 * Invariant: `saved` and `base` are written under the mutex, a leaf.
 *
 * Rejected: a list of paused connections for each worker, with timers: more of the net for a
 * command that is used for seconds, at a fail-over that there is not here.
 */
#include <serve/resp/admin_state.h>

#include <os/os.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <serve/resp/latency.h>
#include <serve/resp/slowlog.h>

/* A pause that is made shorter while somebody is about to sleep is seen so much later at most. */
#define PAUSE_NAP_MS 100u

static struct {
    bool is_open;
    struct resp_admin_settings settings; /* const while open */
    char run_id[41];                     /* likewise */
    struct os_mutex mutex;
    struct resp_figures base;             /* guarded by mutex, as all to the empty line */
    struct resp_store_figures store_base; /* at the last reset */
    uint64_t saved_seconds, saved_writes;
    bool has_save_failed;

    _Atomic(uint32_t) pause;       /* enum resp_pause; the futex. Relaxed but where it is said */
    _Atomic(uint64_t) pause_until; /* ms; UINT64_MAX never is */
    _Atomic(bool) is_stopped;
} admin;

static void read_store(struct resp_store_figures *ret_figures);

/* Without random bytes the clock's must do: it only has to be another one than before. */
static void choose_run_id(void)
{
    uint64_t words[2] = {os_wall_ns(os_real()), os_monotonic_ns(os_real())};

    (void)os_random(words, sizeof words);
    (void)snprintf(admin.run_id, sizeof admin.run_id, "%016llx%016llx%08x",
                   (unsigned long long)words[0], (unsigned long long)words[1], (unsigned)getpid());
}

enum quarry_status resp_admin_open(const struct resp_admin_settings *settings,
                                   struct quarry_error *error)
{
    Q_ASSERT(!admin.is_open && settings->keyspace != NULL && settings->memory != NULL);
    enum quarry_status status = resp_counts_open(settings->worker_count + 1, error);

    if (status != QUARRY_OK) {
        return status;
    }
    admin.settings = *settings;
    choose_run_id();
    os_mutex_init(&admin.mutex, OS_RANK_LEAF, 0);
    admin.base = (struct resp_figures){0};
    admin.saved_seconds = keyspace_now_ms(settings->keyspace) / 1000;
    admin.has_save_failed = false;
    read_store(&admin.store_base);
    admin.saved_writes = admin.store_base.writes;
    atomic_store_relaxed_u32(&admin.pause, RESP_PAUSE_NONE);
    atomic_store_relaxed_bool(&admin.is_stopped, false);
    resp_slowlog_open(settings->slowlog_us,
                      (uint32_t)size_min(settings->slowlog_length, RESP_SLOWLOG_LENGTH_MAX));
    resp_latency_open(settings->latency_ms);
    resp_acl_log_open();
    admin.is_open = true;
    return QUARRY_OK;
}

void resp_admin_close(void)
{
    if (!admin.is_open) {
        return;
    }
    admin.is_open = false;
    resp_acl_log_close();
    resp_latency_close();
    resp_slowlog_close();
    resp_counts_close();
}

const char *resp_run_id(void)
{
    return admin.run_id;
}

const struct resp_admin_settings *resp_admin_settings(void)
{
    Q_ASSERT(admin.is_open);
    return &admin.settings;
}

/* ---- what the door tells -------------------------------------------------------------------- */

void resp_admin_note(const struct resp_call *call, uint32_t row, uint64_t duration_ns,
                     bool is_error)
{
    Q_ASSERT(admin.is_open);
    struct serve_connection *connection = call->session->connection;

    resp_counts_note(call->command, row, call->now_ms, duration_ns, is_error);
    resp_latency_note(call->command, call->now_ms, duration_ns);
    resp_slowlog_note(call, connection == NULL ? "" : serve_connection_peer(connection),
                      duration_ns);
}

void resp_admin_note_rejected(const struct resp_command *command, uint32_t row)
{
    resp_counts_note_rejected(command, row);
}

void resp_admin_note_error(const char *text)
{
    resp_counts_note_error(text);
}

/* ---- figures -------------------------------------------------------------------------------- */

/* All of both are counts since the server began, or levels: those are not to be set back. */
static void subtract(struct resp_figures *figures, const struct resp_figures *base)
{
    figures->connections_ever -= base->connections_ever;
    figures->connections_rejected -= base->connections_rejected;
    figures->bytes_read -= base->bytes_read;
    figures->bytes_written -= base->bytes_written;
    figures->turns -= base->turns;
    figures->receives -= base->receives;
    figures->sends -= base->sends;
}

static void read_figures(struct resp_figures *ret_figures)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;

    *ret_figures = (struct resp_figures){0};
    if (hooks->read_figures != NULL) {
        hooks->read_figures(hooks->argument, ret_figures);
    }
}

void resp_admin_read_figures(struct resp_figures *ret_figures)
{
    read_figures(ret_figures);
    os_mutex_lock(&admin.mutex);
    subtract(ret_figures, &admin.base);
    os_mutex_unlock(&admin.mutex);
}

void resp_admin_read_settings(struct resp_settings *ret_settings)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;

    *ret_settings = (struct resp_settings){.databases = 16};
    if (hooks->read_settings != NULL) {
        hooks->read_settings(hooks->argument, ret_settings);
    }
}

static void read_store(struct resp_store_figures *ret_figures)
{
    struct quarry_kv_stats stats;
    struct keyspace_figures figures;

    quarry_kv_read_stats(keyspace_kv(admin.settings.keyspace), &stats);
    keyspace_read_figures(admin.settings.keyspace, &figures);
    *ret_figures = (struct resp_store_figures){
        .hits = stats.get_hit_count,
        .misses = sat_sub_u64(stats.get_count, stats.get_hit_count),
        .writes = stats.put_count + stats.delete_count + stats.range_delete_count,
        .expired = figures.expired_dropped_count,
    };
}

void resp_admin_read_store(struct resp_store_figures *ret_figures)
{
    read_store(ret_figures);
    os_mutex_lock(&admin.mutex);
    ret_figures->hits = sat_sub_u64(ret_figures->hits, admin.store_base.hits);
    ret_figures->misses = sat_sub_u64(ret_figures->misses, admin.store_base.misses);
    ret_figures->writes = sat_sub_u64(ret_figures->writes, admin.store_base.writes);
    ret_figures->expired = sat_sub_u64(ret_figures->expired, admin.store_base.expired);
    os_mutex_unlock(&admin.mutex);
}

void resp_admin_reset(void)
{
    struct resp_figures figures;
    struct resp_store_figures store;

    read_figures(&figures);
    read_store(&store);
    resp_counts_reset();
    os_mutex_lock(&admin.mutex);
    admin.base = figures;
    admin.store_base = store;
    os_mutex_unlock(&admin.mutex);
}

/* ---- saving --------------------------------------------------------------------------------- */

uint64_t resp_saved_seconds(void)
{
    os_mutex_lock(&admin.mutex);
    uint64_t seconds = admin.saved_seconds;
    os_mutex_unlock(&admin.mutex);
    return seconds;
}

uint64_t resp_changes_since_saved(void)
{
    struct resp_store_figures store;

    read_store(&store);
    os_mutex_lock(&admin.mutex);
    uint64_t changes = sat_sub_u64(store.writes, admin.saved_writes);
    os_mutex_unlock(&admin.mutex);
    return changes;
}

void resp_note_saved(struct keyspace *keyspace, bool is_done)
{
    struct resp_store_figures store;
    uint64_t now_seconds = keyspace_now_ms(keyspace) / 1000;

    read_store(&store);
    os_mutex_lock(&admin.mutex);
    admin.has_save_failed = !is_done;
    if (is_done) {
        admin.saved_seconds = now_seconds;
        admin.saved_writes = store.writes;
    }
    os_mutex_unlock(&admin.mutex);
}

bool resp_last_save_failed(void)
{
    os_mutex_lock(&admin.mutex);
    bool has_failed = admin.has_save_failed;
    os_mutex_unlock(&admin.mutex);
    return has_failed;
}

/* ---- CLIENT PAUSE --------------------------------------------------------------------------- */

void resp_pause_begin(enum resp_pause what, uint64_t until_ms)
{
    /* Whoever sees what is paused sees until when: pairs with the acquire in resp_pause_holds. */
    atomic_store_relaxed_u64(&admin.pause_until, until_ms);
    atomic_store_release_u32(&admin.pause, (uint32_t)what);
    os_futex_wake(&admin.pause, UINT32_MAX);
}

void resp_pause_end(void)
{
    resp_pause_begin(RESP_PAUSE_NONE, 0);
}

void resp_pause_stop(void)
{
    atomic_store_relaxed_bool(&admin.is_stopped, true);
    resp_pause_end();
}

/* Ends of pauses, and what looks at connections, go through. */
static bool is_exempt(const struct resp_command *command)
{
    return strncmp(command->name, "client", 6) == 0 || (command->flags & RESP_NO_AUTH) != 0;
}

bool resp_pause_holds(const struct resp_command *command, uint64_t now_ms)
{
    /* Pairs with the release in resp_pause_begin. */
    uint32_t pause = atomic_load_acquire_u32(&admin.pause);

    return Q_UNLIKELY(pause != RESP_PAUSE_NONE) &&
           now_ms < atomic_load_relaxed_u64(&admin.pause_until) && !is_exempt(command) &&
           (pause == RESP_PAUSE_ALL || (command->flags & RESP_WRITES) != 0);
}

void resp_pause_wait(const struct resp_command *command)
{
    while (!atomic_load_relaxed_bool(&admin.is_stopped)) {
        uint32_t pause = atomic_load_relaxed_u32(&admin.pause);
        uint64_t now_ms = keyspace_now_ms(admin.settings.keyspace);
        uint64_t until_ms = atomic_load_relaxed_u64(&admin.pause_until);

        if (!resp_pause_holds(command, now_ms)) {
            return;
        }
        os_futex_wait(&admin.pause, pause,
                      size_min_u64(sat_sub_u64(until_ms, now_ms), PAUSE_NAP_MS) * Q_MS_NS);
    }
}
