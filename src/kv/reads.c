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
 * Between giving it back and the second try others may take what has come free. Writers do not:
 * they are refused or wait where the budget is used up; other readers come here too, and wait.
 *
 * Rejected: handing its bytes out, with allocators of its own for blocks, decoders, indexes and
 * iterators. A reserve in one of the two allocators: what a slab is given back stays the slab's.
 *
 * Locking: `turn`, a word that is waited on: a read may take any time, and locks of all ranks.
 */
#include <kv/read.h>

/* Tables that are closed where the reserve cannot be taken again: more than a read opens, mostly.
 */
#define TABLES_CLOSED 16u

#define TURN_FREE    0u
#define TURN_TAKEN   1u
#define TURN_WAITERS 2u

struct kv_reads {
    _Atomic(void *) spare; /* struct quarry_kv_iterator, ended; NULL: there is none */
    _Atomic uint32_t turn;
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
    return is_whole;
}

static void take_again(struct quarry_kv *kv)
{
    if (try_take(kv)) {
        return;
    }
    (void)kv_table_cache_shrink(kv->table_cache, TABLES_CLOSED);
    (void)quarry_block_cache_shrink(kv->cache, KV_READ_RESERVE_BYTES);
    (void)try_take(kv);
}

bool kv_reserve_enter(struct quarry_kv *kv)
{
    if (kv->reads == NULL) {
        return false;
    }
    turn_lock(kv->reads);
    uint32_t count = give_back(kv);
    if (count == 0) {
        take_again(kv);
        count = give_back(kv);
    }
    if (count == 0) {
        turn_unlock(kv->reads);
    }
    return count != 0;
}

void kv_reserve_leave(struct quarry_kv *kv)
{
    take_again(kv);
    turn_unlock(kv->reads);
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
