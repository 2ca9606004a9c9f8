/*
 * Durability `power`: answers wait until what they answer for is on the disk.
 *
 *     worker     write ─ write ─ answers withheld ──────────────┐       ┌ run: answers go out
 *                                        waiting ─> under way ──┼─> done┘
 *     sync thread                                   quarry_kv_sync ─ post to each worker
 *
 * A command writes with durability `process`, and its worker goes on with others. A connection that
 * has written is not read from until its answers are out. One thread syncs for all who wait when it
 * begins; those who come meanwhile are of the next round. So a sync is paid once for as many writes
 * as come while the one before it is under way.
 *
 * Clients who are answered together write again together, but not at one moment: a round that began
 * with the first of them would be theirs alone. So where several waited in the last round, this one
 * begins when no more have come for a moment, or half the time of a sync has passed. Who writes
 * alone is never waited for.
 *
 * Another client may read what is not on the disk yet. If it then writes, its answer waits for a
 * sync too, and the log is one: nothing that was acknowledged is built on what a power cut takes.
 *
 * Invariants:
 *   1. A connection is in one list at most, of its worker, as sync_place says.
 *   2. Answers that were withheld leave only after a sync that began after their writes.
 *   3. After a sync that failed they do not leave at all: the client is told, and closed.
 *
 * Locking: a mutex, a leaf, for all lists; links lie in the connections' states, which close under
 * it. Memory: a list for each worker.
 */
#include <serve/resp/state.h>

#include <string.h>

#define POST_AGAIN_NS (1 * Q_MS_NS)
/* A moment in which others may come; with the kernel's timers it is up to twice as long. */
#define GATHER_STEP_NS (50 * Q_US_NS)
/* However long a sync took. */
#define GATHER_NS_MAX (2 * Q_MS_NS)

static struct {
    struct os_mutex mutex;
    /* guarded by mutex: of each worker, by enum resp_sync_place - 1 */
    struct serve_list lists[RESP_WORKERS_MAX][3];
    bool has_failed[RESP_WORKERS_MAX]; /* those who are done */
    struct serve_worker *workers[RESP_WORKERS_MAX];
    uint64_t waiting_count;

    _Atomic uint32_t turn; /* a futex: changes when somebody waits, or at the end */
    _Atomic bool is_stopping;
    struct os_thread thread;
    void *stack;
    bool is_running;
} sync_state;

/* Of the last round; the thread's own. */
struct pace {
    uint64_t round_count; /* who waited */
    uint64_t sync_ns;
};

static uint32_t worker_index(const struct resp_state *state)
{
    return serve_worker_index(serve_connection_worker(state->session.connection));
}

static struct serve_list *list_of(uint32_t worker, enum resp_sync_place place)
{
    Q_ASSERT(place != RESP_SYNC_NONE);
    return &sync_state.lists[worker][place - 1];
}

static struct resp_state *state_at(struct serve_link *link)
{
    return serve_list_entry(link, struct resp_state, sync_link);
}

/* ---- workers -------------------------------------------------------------------------------- */

void resp_sync_wait(struct resp_state *state)
{
    uint32_t worker = worker_index(state);

    Q_ASSERT(!state->is_syncing && state->session.has_written);
    state->is_syncing = true;
    state->session.has_written = false;
    os_mutex_lock(&sync_state.mutex);
    Q_ASSERT(state->sync_place == RESP_SYNC_NONE);
    sync_state.workers[worker] = serve_connection_worker(state->session.connection);
    serve_list_append(list_of(worker, RESP_SYNC_WAITING), &state->sync_link);
    state->sync_place = RESP_SYNC_WAITING;
    bool is_first = sync_state.waiting_count++ == 0;
    os_mutex_unlock(&sync_state.mutex);
    if (is_first) {
        /* Release: pairs with the acquire in run. */
        (void)atomic_add_release_u32(&sync_state.turn, 1);
        os_futex_wake(&sync_state.turn, 1);
    }
}

void resp_sync_forget(struct resp_state *state)
{
    os_mutex_lock(&sync_state.mutex);
    if (state->sync_place != RESP_SYNC_NONE) {
        serve_list_remove(list_of(worker_index(state), state->sync_place), &state->sync_link);
        sync_state.waiting_count -= state->sync_place == RESP_SYNC_WAITING ? 1 : 0;
        state->sync_place = RESP_SYNC_NONE;
    }
    os_mutex_unlock(&sync_state.mutex);
}

/* In a turn of a connection whose writes are on the disk, or not: `argument`. */
static void released(struct serve_connection *connection, void *argument)
{
    const bool *has_failed = argument;

    if (connection == NULL) {
        return;
    }
    struct resp_state *state = resp_state_of(connection);
    state->is_syncing = false;
    serve_connection_release(connection, !*has_failed);
    if (*has_failed) { /* invariant 3 */
        static const char words[] = "-MISCONF the disk failed: what was written is not kept\r\n";
        (void)serve_out_copy(connection, words, sizeof words - 1);
        state->closes = true;
    }
}

/* The next of a worker's who is done. Its id; 0: there is none. */
static uint64_t take_done(uint32_t worker, bool *ret_has_failed)
{
    uint64_t id = 0;

    os_mutex_lock(&sync_state.mutex);
    struct serve_link *link = serve_list_first(list_of(worker, RESP_SYNC_DONE));
    if (link != NULL) {
        struct resp_state *state = state_at(link);
        serve_list_remove(list_of(worker, RESP_SYNC_DONE), link);
        state->sync_place = RESP_SYNC_NONE;
        id = serve_connection_id(state->session.connection);
    }
    *ret_has_failed = sync_state.has_failed[worker];
    os_mutex_unlock(&sync_state.mutex);
    return id;
}

/* By a worker: `argument` is its place in `workers`. */
static void done(struct serve_connection *connection, void *argument)
{
    struct serve_worker **place = argument;
    uint32_t worker = (uint32_t)(place - sync_state.workers);
    bool has_failed = false;

    (void)connection; /* nobody's */
    for (uint64_t id; (id = take_done(worker, &has_failed)) != 0;) {
        serve_worker_run(*place, id, released, &has_failed);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void move_all(struct serve_list *from, struct serve_list *to, enum resp_sync_place place)
{
    for (struct serve_link *link; (link = serve_list_first(from)) != NULL;) {
        serve_list_remove(from, link);
        serve_list_append(to, link);
        state_at(link)->sync_place = place;
    }
}

static uint64_t count_waiting(void)
{
    os_mutex_lock(&sync_state.mutex);
    uint64_t count = sync_state.waiting_count;
    os_mutex_unlock(&sync_state.mutex);
    return count;
}

/* Waits for those who come with the first ones. */
static void gather(const struct pace *pace)
{
    uint64_t begin_ns = os_monotonic_ns(os_real()), count = count_waiting(), before = 0;
    uint64_t limit_ns = pace->sync_ns / 2 < GATHER_NS_MAX ? pace->sync_ns / 2 : GATHER_NS_MAX;

    while (count > before && (count > 1 || pace->round_count > 1) &&
           os_monotonic_ns(os_real()) - begin_ns < limit_ns) {
        os_sleep_ns(GATHER_STEP_NS);
        before = count;
        count = count_waiting();
    }
}

/* Those who wait are under way. Returns: whether there are any. */
static bool begin_round(struct pace *pace)
{
    os_mutex_lock(&sync_state.mutex);
    bool has_any = sync_state.waiting_count > 0;
    pace->round_count = sync_state.waiting_count;
    for (uint32_t i = 0; has_any && i < resp_the_door.settings.worker_count; i++) {
        move_all(list_of(i, RESP_SYNC_WAITING), list_of(i, RESP_SYNC_UNDER_WAY),
                 RESP_SYNC_UNDER_WAY);
    }
    sync_state.waiting_count = 0;
    os_mutex_unlock(&sync_state.mutex);
    return has_any;
}

/* Those under way are done. Returns: the worker, who is to be told; NULL: nobody is. */
static struct serve_worker *end_round(uint32_t worker, bool has_failed)
{
    struct serve_list *done_list = list_of(worker, RESP_SYNC_DONE);

    os_mutex_lock(&sync_state.mutex);
    bool has_any = list_of(worker, RESP_SYNC_UNDER_WAY)->count > 0;
    /* Who is done already and was not told yet is told the worse of the two. */
    sync_state.has_failed[worker] =
        has_failed || (done_list->count > 0 && sync_state.has_failed[worker]);
    move_all(list_of(worker, RESP_SYNC_UNDER_WAY), done_list, RESP_SYNC_DONE);
    struct serve_worker *told = has_any ? sync_state.workers[worker] : NULL;
    os_mutex_unlock(&sync_state.mutex);
    return told;
}

static void tell(struct serve_worker *told, uint32_t worker)
{
    /* A post that fails: no memory for a message now, or the end, which nobody waits for. */
    while (!serve_post(told, 0, done, &sync_state.workers[worker]) &&
           !atomic_load_acquire_bool(&sync_state.is_stopping)) {
        os_sleep_ns(POST_AGAIN_NS);
    }
}

static void sync_round(void)
{
    const struct resp_door_hooks *hooks = &resp_the_door.settings.hooks;
    struct quarry_error error = {0};
    bool has_failed =
        quarry_kv_sync(keyspace_kv(resp_the_door.settings.keyspace), &error) != QUARRY_OK;

    if (has_failed && hooks->sync_failed != NULL) {
        hooks->sync_failed(hooks->argument, &error);
    }
    for (uint32_t i = 0; i < resp_the_door.settings.worker_count; i++) {
        struct serve_worker *told = end_round(i, has_failed);
        if (told != NULL) {
            tell(told, i);
        }
    }
}

static void run(void *argument)
{
    struct pace pace = {0};

    (void)argument;
    for (;;) {
        /* Acquire: pairs with the release of who waits, or stops. */
        uint32_t turn = atomic_load_acquire_u32(&sync_state.turn);

        gather(&pace);
        if (begin_round(&pace)) {
            uint64_t begin_ns = os_monotonic_ns(os_real());
            sync_round();
            pace.sync_ns = os_monotonic_ns(os_real()) - begin_ns;
        } else if (atomic_load_acquire_bool(&sync_state.is_stopping)) {
            return;
        } else {
            os_futex_wait(&sync_state.turn, turn, UINT64_MAX);
        }
    }
}

enum quarry_status resp_sync_open(struct quarry_error *error)
{
    os_mutex_init(&sync_state.mutex, OS_RANK_LEAF, 0);
    for (uint32_t i = 0; i < RESP_WORKERS_MAX; i++) {
        for (uint32_t place = 0; place < 3; place++) {
            serve_list_init(&sync_state.lists[i][place]);
        }
    }
    sync_state.waiting_count = 0;
    atomic_store_relaxed_bool(&sync_state.is_stopping, false); /* nobody else is there */
    sync_state.stack = serve_buffer_take(&resp_the_door.pages, OS_THREAD_STACK_BYTES);
    if (sync_state.stack == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the thread that syncs");
    }
    enum quarry_status status = os_thread_start(&sync_state.thread, "quarry-sync", sync_state.stack,
                                                OS_THREAD_STACK_BYTES, run, NULL);
    sync_state.is_running = status == QUARRY_OK;
    if (status != QUARRY_OK) {
        serve_buffer_give(&resp_the_door.pages, sync_state.stack);
        return error_set(error, status, "cannot start the thread that syncs");
    }
    return QUARRY_OK;
}

void resp_sync_stop(void)
{
    if (!sync_state.is_running) {
        return;
    }
    /* Release: pairs with the acquires in run and tell. */
    atomic_store_release_bool(&sync_state.is_stopping, true);
    (void)atomic_add_release_u32(&sync_state.turn, 1);
    os_futex_wake(&sync_state.turn, 1);
    os_thread_join(&sync_state.thread);
    serve_buffer_give(&resp_the_door.pages, sync_state.stack);
    sync_state.is_running = false;
}
