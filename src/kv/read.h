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
 * five of them: data, index and its top, filter and its top; beside a table's own memory.
 */
#define KV_READ_RESERVE_PIECES      8u
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
 * A read was refused memory: gives the reserve back to the budget, so that it can be done again.
 * Returns: whether there was any; then kv_reserve_leave must follow, in the same thread.
 */
Q_NODISCARD bool kv_reserve_enter(struct quarry_kv *kv);
void kv_reserve_leave(struct quarry_kv *kv);

/* Returns: own, ended before; NULL: there is none. */
struct quarry_kv_iterator *kv_spare_take(struct quarry_kv *kv);
/* `iterator`: given, ended. Returns: one to be freed; NULL: none. */
struct quarry_kv_iterator *kv_spare_give(struct quarry_kv *kv, struct quarry_kv_iterator *iterator);
/* Frees an iterator that has ended. NULL does nothing. */
void kv_iterator_free(struct quarry_kv *kv, struct quarry_kv_iterator *iterator);

#endif
