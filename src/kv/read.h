/*
 * Reading: what gets and iterators of a store share.
 *
 * *The reserve.* Reads must not fail because writers have used up the budget. When a store is
 * opened a stretch of memory is taken for them, and charged. A read that is refused memory gives
 * that stretch back to the budget and is done once more, one such read at a time; then the stretch
 * is taken again, or by a later read if there is no room for it yet.
 *
 * *The spare.* An iterator is one piece of memory for all that it consists of; the last one that
 * ended is kept for the next.
 */
#ifndef QUARRY_KV_READ_H
#define QUARRY_KV_READ_H

#include <kv/view.h>

/*
 * The reserve. A slab's page for cells of a size is 64 KiB at least, and a read may come to need
 * six of them: two blocks of data, index and its top, filter and its top. As much again is for a
 * table's own memory, what a cache that was never used takes for itself, and what walks keep for
 * longer: 1.3 KiB for each run that they are over. Twice as much would have room for twice as many
 * walks in a budget that is used up, and takes as much from the cache of those of 8 MiB.
 */
#define KV_READ_RESERVE_PIECES      12u
#define KV_READ_RESERVE_PIECE_BYTES Q_KIB(64)
#define KV_READ_RESERVE_BYTES       (KV_READ_RESERVE_PIECES * KV_READ_RESERVE_PIECE_BYTES)

struct kv_reads;

/*
 * Makes kv->reads, when accounts, pool and cache are there. Errors: QUARRY_NO_MEMORY.
 * A store without one reads all the same, and has neither reserve nor spare.
 */
enum quarry_status kv_reads_create(struct quarry_kv *kv, struct quarry_error *error);
/* Nothing is read any more. kv->reads is NULL then; NULL does nothing. */
void kv_reads_destroy(struct quarry_kv *kv);

/*
 * A read was refused memory: waits for its turn and gives the reserve back to the budget, so that
 * it can be done again. Returns: whether the store has one; then kv_reserve_leave must follow, in
 * the same thread.
 */
Q_NODISCARD bool kv_reserve_enter(struct quarry_kv *kv);
/* Takes again what there is room for, without giving up the turn. Returns: whether that is all. */
bool kv_reserve_restore(struct quarry_kv *kv);
void kv_reserve_leave(struct quarry_kv *kv);
/*
 * Between enter and leave, refused once more: gives up the turn, waits for a moment, and has it
 * again. `own_count`: iterators that the caller is. `try_count`: 0 at first. Returns: whether there
 * was anything to wait for: another iterator, a flush, a compaction; for 10 s in all.
 */
Q_NODISCARD bool kv_reserve_wait(struct quarry_kv *kv, uint32_t own_count, uint32_t *try_count);

/* Memory has come back: takes what is missing of the reserve, unless a read is at it. Cost: a load,
 * where nothing is. Threads: any. */
void kv_reserve_refill(struct quarry_kv *kv);

/* Closes tables that nobody uses, evicts blocks that nobody holds, and gives back the arena that
 * waits for the next memtable. */
void kv_reads_make_room(struct quarry_kv *kv);

/* Returns: own, ended before; NULL: there is none. */
struct quarry_kv_iterator *kv_spare_take(struct quarry_kv *kv);
/* `iterator`: given, ended. Returns: one to be freed; NULL: none. */
struct quarry_kv_iterator *kv_spare_give(struct quarry_kv *kv, struct quarry_kv_iterator *iterator);
/* Frees an iterator that has ended. NULL does nothing. */
void kv_iterator_free(struct quarry_kv *kv, struct quarry_kv_iterator *iterator);

#endif
