/*
 * Places for values that come in pieces.
 *
 *     small  │ reserved bytes ░░░░░░░░░░░······│     waiting:  c ─ d ─ e     called:  b
 *     large  │ reserved bytes ░░░░░░░░░░░░░░░░░│     waiting:  z             called:
 *              up to an 8th of the cache each           in order               posted for
 *
 * What has not come whole cannot be evicted, nor can its pages be moved. So a value that comes in
 * pieces has a place before it begins, as large as all of it, and who finds none waits for one: his
 * connection is not read from. Since a place is for the whole value, whoever has one can finish,
 * and since a sender who does not is cut by the net's deadline of bodies, places come free; that is
 * why nothing may wait for his reader when he asks (memcached_store.c): he would have the deadline
 * of readers instead.
 *
 * Small values, of one piece, have places of their own: large ones, which may take long and have
 * every right to, keep nobody waiting whose line was merely split.
 *
 * Invariants:
 *  1. The places of a pool are no more than its part of the cache, or one value.
 *  2. Who waits is called in the order in which he came: while anybody waits, nobody passes him.
 *  3. A place is taken for a waiter before he is called. From then until he runs, or closes, he is
 *     in `called`, so that who is in no list is not touched by other threads.
 *  4. Nobody waits in front of a free place: who goes to wait looks at the places after he has said
 *     that he waits, and who gives one back looks for waiters afterwards. All four accesses are
 *     sequentially consistent, so that one of the two sees the other.
 *
 * A call is a post, which fails when the waiter's worker is ending, or has no memory for it. Then
 * he goes back to the front, his place is given back, and the next value to end, or to wait, calls
 * him again. There is another: the post had no room because of others that are yet to be read.
 *
 * Locking: a mutex a pool, a leaf, for the lists; nothing is called inside. Posts are outside, by
 * the number of the connection, which may be gone by then. Memory: the link is in the state of the
 * connection, where the write will be.
 *
 * Rejected: to refuse at the limit, as it was: of a hundred clients with a value of 1 MiB each, to
 * a cache of 64 MiB, most were told that it is out of memory. Places that grow with what has come:
 * many begin, and none of them can finish. A connection that goes on being read while it waits: its
 * bytes would lie in buffers that nothing bounds.
 */
#include <serve/memcached_unfinished.h>

#include <os/os.h>

#include <serve/list.h>

/* What a pool may have in any case: a small part of every cache. */
#define PART_BYTES_MIN Q_MIB(1)

enum pool_kind { SMALL = 0, LARGE, POOL_COUNT };

struct pool {
    /* atomic, sequentially consistent: invariant 4 */
    _Atomic uint64_t reserved_bytes;
    _Atomic uint64_t waiting_count; /* written under mutex */
    struct os_mutex mutex;
    /* guarded by mutex: of struct memcached_waiter */
    struct serve_list waiting; /* in the order in which they came */
    struct serve_list called;
} Q_ALIGNED(Q_CACHE_LINE_BYTES);

static struct pool pools[POOL_COUNT];

/* The cache's size and its largest value, as they were at: the second of its clock. Atomic. */
static _Atomic uint32_t read_at;
static _Atomic uint64_t part_bytes;
static _Atomic uint64_t value_bytes_max;

void memcached_unfinished_open(void)
{
    for (size_t i = 0; i < POOL_COUNT; i++) {
        atomic_store_seq_cst_u64(&pools[i].reserved_bytes, 0);
        atomic_store_seq_cst_u64(&pools[i].waiting_count, 0);
        os_mutex_init(&pools[i].mutex, OS_RANK_LEAF, 0);
        serve_list_init(&pools[i].waiting);
        serve_list_init(&pools[i].called);
    }
    atomic_store_relaxed_u32(&read_at, 0); /* relaxed: nobody else is there */
}

void memcached_unfinished_close(void)
{
    for (size_t i = 0; i < POOL_COUNT; i++) {
        Q_ASSERT(atomic_load_seq_cst_u64(&pools[i].reserved_bytes) == 0); /* nobody is left */
        Q_ASSERT(pools[i].waiting.count == 0 && pools[i].called.count == 0);
    }
}

uint64_t memcached_unfinished_waiting(void)
{
    return atomic_load_seq_cst_u64(&pools[SMALL].waiting_count) +
           atomic_load_seq_cst_u64(&pools[LARGE].waiting_count);
}

/* ---- places --------------------------------------------------------------------------------- */

static struct pool *pool_of(uint64_t value_bytes)
{
    return &pools[value_bytes <= MEMCACHED_PIECE_BYTES ? SMALL : LARGE];
}

/*
 * The cache's size may change; reading it costs microseconds, and locks of the cache's, so that is
 * done once a second, and outside of ours.
 */
static void read_cache(void)
{
    uint32_t now = quarry_cache_now(memcached.settings.cache);
    struct quarry_cache_stats stats;

    /* Relaxed, all: who is a little late has the figures of a second ago. */
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&read_at) != now)) {
        quarry_cache_read_stats(memcached.settings.cache, &stats);
        atomic_store_relaxed_u64(
            &part_bytes, size_max_u64(stats.size_bytes / MEMCACHED_UNFINISHED_PART / POOL_COUNT,
                                      PART_BYTES_MIN));
        atomic_store_relaxed_u64(&value_bytes_max, stats.value_bytes_max);
        atomic_store_relaxed_u32(&read_at, now);
    }
}

static bool try_reserve(struct pool *pool, uint64_t byte_count)
{
    uint64_t most = atomic_load_relaxed_u64(&part_bytes); /* relaxed: as above */
    uint64_t reserved = atomic_load_seq_cst_u64(&pool->reserved_bytes);

    do {
        if (reserved != 0 && reserved + byte_count > most) { /* invariant 1 */
            return false;
        }
    } while (!atomic_cas_weak_seq_cst_u64(&pool->reserved_bytes, &reserved, reserved + byte_count));
    return true;
}

static void give_back(struct pool *pool, uint64_t byte_count)
{
    uint64_t before = atomic_sub_seq_cst_u64(&pool->reserved_bytes, byte_count);

    Q_ASSERT(before >= byte_count);
}

/* ---- calling -------------------------------------------------------------------------------- */

/* Who is to be told. */
struct call {
    struct serve_worker *worker;
    uint64_t connection_id;
    uint64_t byte_count;
};

static struct memcached_waiter *waiter_at(struct serve_link *link)
{
    return serve_list_entry(link, struct memcached_waiter, link);
}

/* By the worker of one who waited: he runs next. He may have closed, and is in no list then. */
static void called(struct serve_connection *connection, void *argument)
{
    if (connection == NULL) {
        return;
    }
    struct memcached_state *state = serve_connection_state(connection);
    struct memcached_storing *storing = &state->storing;
    struct pool *pool = argument;

    Q_ASSERT(state->phase == MEMCACHED_QUEUED && storing->waiter.is_waiting);
    os_mutex_lock(&pool->mutex);
    Q_ASSERT(storing->waiter.is_called);
    serve_list_remove(&pool->called, &storing->waiter.link);
    os_mutex_unlock(&pool->mutex);
    storing->waiter.is_waiting = false;
    storing->place_bytes = storing->waiter.byte_count;
}

/* Takes a place for the first who waits. False: nobody does, or there is none. */
static bool take_first_locked(struct pool *pool, struct call *ret_call) Q_REQUIRES(&pool->mutex)
{
    struct serve_link *link = serve_list_first(&pool->waiting);

    if (link == NULL || !try_reserve(pool, waiter_at(link)->byte_count)) {
        return false;
    }
    struct memcached_waiter *waiter = waiter_at(link);

    serve_list_remove(&pool->waiting, link);
    serve_list_append(&pool->called, link);
    (void)atomic_sub_seq_cst_u64(&pool->waiting_count, 1);
    waiter->is_called = true;
    *ret_call = (struct call){waiter->worker, waiter->connection_id, waiter->byte_count};
    return true;
}

/* The call did not reach him. He may have closed meanwhile, and given his place back himself. */
static void wait_again_locked(struct pool *pool, const struct call *call) Q_REQUIRES(&pool->mutex)
{
    struct serve_link *link = serve_list_first(&pool->called);

    while (link != NULL && waiter_at(link)->connection_id != call->connection_id) {
        link = serve_list_next(&pool->called, link);
    }
    if (link != NULL) {
        waiter_at(link)->is_called = false;
        serve_list_remove(&pool->called, link);
        serve_list_prepend(&pool->waiting, link);
        (void)atomic_add_seq_cst_u64(&pool->waiting_count, 1);
        give_back(pool, call->byte_count);
    }
}

/* Calls the first who waits, if there is a place for him. */
static bool call_first(struct pool *pool)
{
    struct call call;

    os_mutex_lock(&pool->mutex);
    bool is_taken = take_first_locked(pool, &call);
    os_mutex_unlock(&pool->mutex);
    if (!is_taken) {
        return false;
    }
    if (serve_post(call.worker, call.connection_id, called, pool)) {
        return true;
    }
    os_mutex_lock(&pool->mutex);
    wait_again_locked(pool, &call);
    os_mutex_unlock(&pool->mutex);
    return false;
}

static void call_waiters(struct pool *pool)
{
    if (Q_LIKELY(atomic_load_seq_cst_u64(&pool->waiting_count) == 0)) {
        return;
    }
    read_cache();
    while (call_first(pool)) {
    }
}

/* ---- a value -------------------------------------------------------------------------------- */

/* Goes to the end of those who wait. He may be called before this returns. */
static void wait_for_place(struct pool *pool, struct memcached_turn *turn)
{
    struct memcached_waiter *waiter = &turn->state->storing.waiter;

    *waiter = (struct memcached_waiter){
        .worker = serve_connection_worker(turn->connection),
        .connection_id = serve_connection_id(turn->connection),
        .byte_count = turn->state->storing.value_bytes,
        .has_asked = true,
        .is_waiting = true,
    };
    os_mutex_lock(&pool->mutex);
    serve_list_append(&pool->waiting, &waiter->link);
    (void)atomic_add_seq_cst_u64(&pool->waiting_count, 1);
    os_mutex_unlock(&pool->mutex);
    call_waiters(pool); /* invariant 4 */
}

bool memcached_unfinished_may_begin(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;

    if (storing->waiter.has_asked) {
        return !storing->waiter.is_waiting;
    }
    struct pool *pool = pool_of(storing->value_bytes);

    read_cache();
    if (Q_LIKELY(atomic_load_seq_cst_u64(&pool->waiting_count) == 0) && /* invariant 2 */
        try_reserve(pool, storing->value_bytes)) {
        storing->place_bytes = storing->value_bytes;
        return true;
    }
    /* Relaxed: as above. */
    if (storing->value_bytes > atomic_load_relaxed_u64(&value_bytes_max)) {
        return true;
    }
    memcached_count(&turn->counters->values_waited);
    wait_for_place(pool, turn);
    return false;
}

void memcached_unfinished_end(struct memcached_storing *storing)
{
    struct pool *pool = pool_of(storing->value_bytes);

    give_back(pool, storing->place_bytes);
    storing->place_bytes = 0;
    call_waiters(pool);
}

/* Takes one who waits out of his list. Returns: how much of a place was taken for him. */
static uint64_t remove_locked(struct pool *pool, struct memcached_waiter *waiter)
    Q_REQUIRES(&pool->mutex)
{
    serve_list_remove(waiter->is_called ? &pool->called : &pool->waiting, &waiter->link);
    if (!waiter->is_called) {
        (void)atomic_sub_seq_cst_u64(&pool->waiting_count, 1);
    }
    return waiter->is_called ? waiter->byte_count : 0;
}

void memcached_unfinished_forget(struct memcached_storing *storing)
{
    struct pool *pool = pool_of(storing->value_bytes);

    if (storing->waiter.is_waiting) {
        os_mutex_lock(&pool->mutex);
        storing->place_bytes = remove_locked(pool, &storing->waiter);
        os_mutex_unlock(&pool->mutex);
    }
    memcached_unfinished_end(storing); /* who stood behind him may be the first now */
}
