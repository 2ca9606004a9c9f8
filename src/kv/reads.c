/*
 * The reserve of reads, and the spare iterator.
 *
 *     reserve   │ a block of the cache │ an object of the pool │   both charged, nobody's
 *
 * Reads take memory in two places: blocks from the cache, all else from the pool. So the reserve is
 * one of each. It is given back whole, so that pages that it was in can be used for anything, and
 * the read is done again as if nothing had been. Rejected: handing its bytes out, with allocators
 * of its own for blocks, decoders, indexes and iterators.
 *
 * Between giving it back and the second try others may take what has come free. Writers do not:
 * they are refused or wait where the budget is used up; other readers come here too, and wait.
 *
 * Locking: `turn`, a word that is waited on: a read may take any time, and locks of all ranks.
 */
#include <kv/read.h>

#define TURN_FREE    0u
#define TURN_TAKEN   1u
#define TURN_WAITERS 2u

struct kv_reads {
    _Atomic(void *) spare; /* struct quarry_kv_iterator, ended; NULL: there is none */
    _Atomic uint32_t turn;
    /* whoever has the turn */
    struct quarry_block block;
    void *object;
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

static void give_back(struct quarry_kv *kv)
{
    quarry_block_release(kv->cache, &kv->reads->block);
    kv_memory_give(&kv->small[KV_PART_READ], kv->reads->object);
    kv->reads->object = NULL;
}

/* Takes what is missing. Returns: whether it is whole. */
static bool take_again(struct quarry_kv *kv)
{
    struct kv_reads *reads = kv->reads;

    if (reads->object == NULL) {
        reads->object = kv_memory_take(&kv->small[KV_PART_READ], KV_READ_RESERVE_BYTES / 2);
    }
    if (reads->block.data == NULL &&
        quarry_block_alloc(kv->cache, KV_READ_RESERVE_BYTES / 2, 0, &reads->block) != QUARRY_OK) {
        reads->block = (struct quarry_block){0};
    }
    return reads->object != NULL && reads->block.data != NULL;
}

bool kv_reserve_enter(struct quarry_kv *kv)
{
    if (kv->reads == NULL) {
        return false;
    }
    turn_lock(kv->reads);
    if (kv->reads->object == NULL && kv->reads->block.data == NULL) {
        (void)take_again(kv);
    }
    if (kv->reads->object == NULL && kv->reads->block.data == NULL) {
        turn_unlock(kv->reads);
        return false;
    }
    give_back(kv);
    return true;
}

void kv_reserve_leave(struct quarry_kv *kv)
{
    (void)take_again(kv);
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
    if (kv->reads != NULL && take_again(kv)) {
        return QUARRY_OK;
    }
    kv_reads_destroy(kv);
    return error_set(error, QUARRY_NO_MEMORY, "no memory for the reserve of reads: %zu bytes",
                     KV_READ_RESERVE_BYTES);
}

void kv_reads_destroy(struct quarry_kv *kv)
{
    if (kv->reads == NULL) {
        return;
    }
    /* Relaxed: nobody reads any more. */
    kv_iterator_free(kv, atomic_load_relaxed_ptr(&kv->reads->spare));
    give_back(kv);
    kv_memory_give(&kv->small[KV_PART_READ], kv->reads);
    kv->reads = NULL;
}
