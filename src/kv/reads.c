/*
 * The reserve of reads, and the spare iterator.
 *
 *     reserve   │ 64 KiB │ 64 KiB │ … │   runs of pages, charged, nobody's
 *
 * Reads take memory in three places: blocks from the cache, tables and their parts, iterators and
 * copies from the pool. So the reserve is pages: it is given back whole, what it was can become any
 * of these, and the read is done again as if nothing had been. Then as many of the pieces are taken
 * as there is room for. What such a read has left in the cache, blocks that nobody holds and open
 * tables that nobody counts, goes first: it must not cost the next one its reserve. What an
 * iterator holds on to stays missing until it ends.
 *
 * Between giving it back and the second try others may take what has come free: a flush, or a
 * writer that has waited. Other readers come here too, and wait. Where the second try is refused as
 * well, what others hold is waited for, without the turn, so that they can end: flushes and
 * compactions that are under way, iterators that are open. A stepped store has one thread, which
 * cannot wait for itself.
 *
 * What a read with the reserve needs is bounded: a get has one table open at a time, a walk goes
 * over to being frugal (walk_sources.c). Nothing here depends on how many files there are.
 *
 * Rejected: handing its bytes out, with allocators of its own for blocks, decoders, indexes and
 * iterators. A reserve in one of the two allocators: what a slab is given back stays the slab's.
 *
 * Locking: `turn`, a word that is waited on: a read may take any time, and locks of all ranks.
 */
#include <kv/read.h>

#include <os/os.h>

#include <kv/background_parts.h>

/* Tables that are closed where the reserve cannot be taken again: more than a read opens, mostly.
 */
#define TABLES_CLOSED 16u

/* How long others are waited for: 10 s, in naps. Whoever ends a read tells nobody; a shorter nap
 * costs more looks in a store that has no memory, and no other. */
#define WAIT_NS        UINT64_C(2000000)
#define WAIT_TRIES_MAX 5000u
#define IDLE_TRIES_MAX 100u

#define TURN_FREE    0u
#define TURN_TAKEN   1u
#define TURN_WAITERS 2u

struct kv_reads {
    _Atomic(void *) spare; /* struct quarry_kv_iterator, ended; NULL: there is none */
    _Atomic uint32_t turn;
    _Atomic bool is_missing; /* a piece, and nobody has a turn: a hint */
    /* whoever has the turn */
    void *pieces[KV_READ_RESERVE_PIECES]; /* NULL: missing */
};

/* ---- the reserve ---------------------------------------------------------------------------- */

static void turn_lock(struct kv_reads *reads)
{
    uint32_t seen = TURN_FREE;

    /* Acquire: pairs with the release in turn_unlock. */
    if (atomic_cas_acquire_u32(&reads->turn, &seen, TURN_TAKEN)) {
        return;
    }
    while (atomic_exchange_acquire_u32(&reads->turn, TURN_WAITERS) != TURN_FREE) {
        os_futex_wait(&reads->turn, TURN_WAITERS, UINT64_MAX);
    }
}

static void turn_unlock(struct kv_reads *reads)
{
    /* Release: pairs with the acquire in turn_lock. */
    if (atomic_exchange_acq_rel_u32(&reads->turn, TURN_FREE) == TURN_WAITERS) {
        os_futex_wake(&reads->turn, 1);
    }
}

static uint32_t give_back(struct quarry_kv *kv)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < KV_READ_RESERVE_PIECES; i++) {
        if (kv->reads->pieces[i] != NULL) {
            quarry_account_pages_free(kv->part[KV_PART_READ], kv->lane, kv->reads->pieces[i]);
            kv->reads->pieces[i] = NULL;
            count++;
        }
    }
    return count;
}

/* Takes what is missing. Returns: whether it is whole. */
static bool try_take(struct quarry_kv *kv)
{
    bool is_whole = true;

    for (uint32_t i = 0; i < KV_READ_RESERVE_PIECES; i++) {
        if (kv->reads->pieces[i] == NULL &&
            quarry_account_pages_alloc(kv->part[KV_PART_READ], kv->lane,
                                       KV_READ_RESERVE_PIECE_BYTES / QUARRY_PAGE_BYTES,
                                       &kv->reads->pieces[i]) != QUARRY_OK) {
            kv->reads->pieces[i] = NULL;
            is_whole = false;
        }
    }
    /* Relaxed: a hint. */
    atomic_store_relaxed_bool(&kv->reads->is_missing, !is_whole);
    return is_whole;
}

bool kv_reserve_restore(struct quarry_kv *kv)
{
    quarry_reserve_end(kv->memory); /* what is kept for the background does not pay for this one */
    bool is_whole = try_take(kv);
    if (!is_whole) {
        (void)kv_table_cache_shrink(kv->table_cache, TABLES_CLOSED);
        (void)quarry_block_cache_shrink(kv->cache, KV_READ_RESERVE_BYTES);
        is_whole = try_take(kv);
    }
    quarry_reserve_begin(kv->memory);
    return is_whole;
}

bool kv_reserve_enter(struct quarry_kv *kv)
{
    if (kv->reads == NULL) {
        return false;
    }
    turn_lock(kv->reads);
    quarry_reserve_begin(kv->memory); /* below what ceilings keep for the background: one read */
    if (give_back(kv) == 0) {
        kv_reads_make_room(kv);
    }
    return true;
}

void kv_reserve_leave(struct quarry_kv *kv)
{
    (void)kv_reserve_restore(kv);
    quarry_reserve_end(kv->memory);
    turn_unlock(kv->reads);
}

void kv_reserve_refill(struct quarry_kv *kv)
{
    uint32_t seen = TURN_FREE;

    /* Relaxed: a hint. Acquire: pairs with the release in turn_unlock. */
    if (kv->reads != NULL && atomic_load_relaxed_bool(&kv->reads->is_missing) &&
        atomic_cas_acquire_u32(&kv->reads->turn, &seen, TURN_TAKEN)) {
        (void)try_take(kv);
        turn_unlock(kv->reads);
    }
}

bool kv_reserve_wait(struct quarry_kv *kv, uint32_t own_count, uint32_t *try_count)
{
    /* Relaxed: a look. */
    bool has_others = atomic_load_relaxed_u32(&kv->iterator_count) > own_count;

    /* With nothing under way it is other threads that have it, for a moment. */
    bool is_idle = !has_others && !kv_background_is_at_work(kv);
    if (kv->options.is_stepped || *try_count >= (is_idle ? IDLE_TRIES_MAX : WAIT_TRIES_MAX)) {
        return false;
    }
    (*try_count)++;
    kv_reserve_leave(kv);
    kv_background_wake(kv);
    os_sleep_ns(WAIT_NS);
    return kv_reserve_enter(kv);
}

void kv_reads_make_room(struct quarry_kv *kv)
{
    (void)kv_table_cache_shrink(kv->table_cache, UINT32_MAX);
    (void)quarry_block_cache_shrink(kv->cache, KV_READ_RESERVE_BYTES);
    (void)quarry_arena_keeper_reclaim(kv->keeper, KV_READ_RESERVE_BYTES);
}

/* ---- the spare ------------------------------------------------------------------------------ */

struct quarry_kv_iterator *kv_spare_take(struct quarry_kv *kv)
{
    /* Acquire: pairs with the release in kv_spare_give. */
    return kv->reads == NULL ? NULL : atomic_exchange_acquire_ptr(&kv->reads->spare, NULL);
}

struct quarry_kv_iterator *kv_spare_give(struct quarry_kv *kv, struct quarry_kv_iterator *iterator)
{
    /* Release: pairs with the acquire in kv_spare_take. */
    return kv->reads == NULL ? iterator : atomic_exchange_acq_rel_ptr(&kv->reads->spare, iterator);
}

/* ---- making it ------------------------------------------------------------------------------ */

enum quarry_status kv_reads_create(struct quarry_kv *kv, struct quarry_error *error)
{
    Q_ASSERT(kv->reads == NULL);
    kv->reads = kv_memory_take(&kv->small[KV_PART_READ], sizeof(*kv->reads));
    if (kv->reads != NULL && try_take(kv)) {
        return QUARRY_OK;
    }
    kv_reads_destroy(kv);
    return error_set(error, QUARRY_NO_MEMORY, "no memory for the reserve of reads: %zu bytes",
                     (size_t)KV_READ_RESERVE_BYTES);
}

void kv_reads_destroy(struct quarry_kv *kv)
{
    if (kv->reads == NULL) {
        return;
    }
    /* Relaxed: nobody reads any more. */
    kv_iterator_free(kv, atomic_load_relaxed_ptr(&kv->reads->spare));
    (void)give_back(kv);
    kv_memory_give(&kv->small[KV_PART_READ], kv->reads);
    kv->reads = NULL;
}
